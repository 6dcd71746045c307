//! Answers against the document.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use axum::http::header;
use serde_json::{Value, json};

use super::{everything, http::Answer, operations};

/// Cheap to clone: all of them have seen the same.
#[derive(Clone)]
pub(crate) struct Checker {
    document: Arc<Value>,
    seen: Arc<Mutex<BTreeSet<String>>>,
}

impl Checker {
    pub(crate) fn new() -> Self {
        Self { document: Arc::new(everything().to_value()), seen: Arc::default() }
    }

    pub(crate) fn document(&self) -> &Value {
        &self.document
    }

    /// An answer of a documented route.
    pub(crate) fn check(&self, method: &str, path: &str, answer: &Answer) -> Result<(), String> {
        let status = answer.status.as_u16();
        let name = format!("{method} {path} {status}");
        let response = &self.document["paths"][path][method.to_lowercase()]["responses"][status.to_string()];
        let (reference, response) = self.resolve(response).ok_or_else(|| format!("{name} is not in the document"))?;
        let code = self.fits(response, answer).map_err(|why| format!("{name}: {why}: {}", answer.text()))?;
        self.note(&name, &code);
        if let Some(component) = reference.and_then(|reference| reference.strip_prefix("#/components/responses/")) {
            self.note(component, &code);
        }
        Ok(())
    }

    /// An answer of a route of the application's own, that the document has for it to refer to.
    pub(crate) fn check_component(&self, component: &str, answer: &Answer) -> Result<(), String> {
        let response = &self.document["components"]["responses"][component];
        let code = self.fits(response, answer).map_err(|why| format!("{component}: {why}: {}", answer.text()))?;
        self.note(component, &code);
        Ok(())
    }

    fn note(&self, what: &str, code: &str) {
        self.seen.lock().unwrap().insert(format!("{what} {code}").trim_end().to_owned());
    }

    pub(crate) fn seen(&self) -> BTreeSet<String> {
        self.seen.lock().unwrap().clone()
    }

    /// What there is to be seen, in the same words.
    pub(crate) fn documented(&self) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        let mut add = |name: &str, response: &Value| {
            let codes = self.resolve(response).map(|(_, response)| codes(response)).unwrap_or_default();
            all.extend(codes.iter().map(|code| format!("{name} {code}").trim_end().to_owned()));
        };
        for (method, path, operation) in operations(&self.document) {
            for (status, response) in operation["responses"].as_object().unwrap() {
                add(&format!("{method} {path} {status}"), response);
            }
        }
        for (name, response) in self.document["components"]["responses"].as_object().unwrap() {
            add(name, response);
        }
        all
    }

    /// Status and code of every problem, as the description of `code` has them.
    pub(crate) fn pairs(&self) -> BTreeSet<(u16, String)> {
        let about = &self.document["components"]["schemas"]["Problem"]["properties"]["code"]["description"];
        let pair = |line: &str| {
            let (status, rest) = line.strip_prefix("* ")?.split_once(" `")?;
            Some((status.parse().ok()?, rest.split_once('`')?.0.to_owned()))
        };
        about.as_str().unwrap().lines().filter_map(pair).collect()
    }

    /// Where it refers to, and what is there.
    fn resolve<'a>(&'a self, value: &'a Value) -> Option<(Option<&'a str>, &'a Value)> {
        match value["$ref"].as_str() {
            Some(reference) => Some((Some(reference), self.document.pointer(reference.strip_prefix('#')?)?)),
            None => value.is_object().then_some((None, value)),
        }
    }

    /// The code of a problem; empty for any other answer.
    fn fits(&self, response: &Value, answer: &Answer) -> Result<String, String> {
        self.headers_fit(response, answer)?;
        let Some(content) = response["content"].as_object() else {
            let empty = answer.body.is_empty();
            return if empty { Ok(String::new()) } else { Err("a body, and none is documented".into()) };
        };
        let kind = answer.header(&header::CONTENT_TYPE).and_then(|kind| kind.split(';').next()).unwrap_or_default();
        let media = content.get(kind).ok_or_else(|| format!("the type {kind:?} is not documented"))?;
        let body = if kind.ends_with("json") { answer.json() } else { json!(answer.text()) };
        self.valid(&media["schema"], &body)?;
        let problem = kind == "application/problem+json";
        let code = body["code"].as_str().filter(|_| problem).unwrap_or_default().to_owned();
        let status = answer.status.as_u16();
        if problem && !(body["status"] == status && self.pairs().contains(&(status, code.clone()))) {
            return Err(format!("{status} and {code} do not go together"));
        }
        Ok(code)
    }

    fn headers_fit(&self, response: &Value, answer: &Answer) -> Result<(), String> {
        let none = serde_json::Map::new();
        let documented = response["headers"].as_object().unwrap_or(&none);
        for (name, header) in documented {
            let (_, header) = self.resolve(header).ok_or("refers to nothing")?;
            let values: Vec<_> = answer.headers.get_all(name).iter().collect();
            if values.is_empty() && header["required"] == true {
                return Err(format!("without {name}"));
            }
            for value in values {
                self.valid(&header["schema"], &json!(value.to_str().unwrap()))
                    .map_err(|why| format!("{name}: {why}"))?;
            }
        }
        for name in [header::CACHE_CONTROL, header::WWW_AUTHENTICATE, header::RETRY_AFTER, header::SET_COOKIE] {
            if answer.headers.contains_key(&name) && !documented.keys().any(|known| name == known.as_str()) {
                return Err(format!("with {name}, which is not documented"));
            }
        }
        Ok(())
    }

    /// With the document's own schemas around it. No key may be there that the schema does not name.
    pub(crate) fn valid(&self, schema: &Value, instance: &Value) -> Result<(), String> {
        let whole =
            json!({ "allOf": [schema], "unevaluatedProperties": false, "components": self.document["components"] });
        let validator = jsonschema::options().should_validate_formats(true).build(&whole).unwrap();
        validator.validate(instance).map_err(|error| format!("{error} at {:?}", error.instance_path().to_string()))
    }
}

/// The codes that a response may have; one that is empty where it is no problem.
fn codes(response: &Value) -> Vec<String> {
    let narrowed = &response["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"]["code"]["enum"];
    match narrowed.as_array() {
        Some(codes) => codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect(),
        None => vec![String::new()],
    }
}
