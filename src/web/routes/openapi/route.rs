//! One route, as the document tells of it.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ContentBuilder, HttpMethod, Paths, Ref, RefOr, Required, Response, ResponseBuilder, Schema, Type,
        path::{Operation, OperationBuilder, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        schema::{ArrayBuilder, Object},
        security::SecurityRequirement,
    },
};

use super::{
    headers,
    prefix::Prefix,
    problems::{self, Causes, usual},
};

pub(super) struct Route {
    method: HttpMethod,
    path: &'static str,
    operation: OperationBuilder,
    problems: BTreeMap<u16, Causes>,
}

/// The type by which the document has it among its schemas.
pub(super) fn schema<T: ToSchema>() -> RefOr<Schema> {
    Ref::from_schema_name(T::name()).into()
}

pub(super) fn list_of<T: ToSchema>() -> RefOr<Schema> {
    ArrayBuilder::new().items(schema::<T>()).into()
}

pub(super) fn text() -> RefOr<Schema> {
    Object::with_type(Type::String).into()
}

/// What a type has for fields.
pub(super) fn fields<T: PartialSchema>() -> Object {
    match T::schema() {
        RefOr::T(Schema::Object(object)) => object,
        _ => Object::new(),
    }
}

impl Route {
    /// Named for programs, and for people.
    pub(super) fn new(method: HttpMethod, path: &'static str, (id, summary): (&str, &str)) -> Self {
        let operation = OperationBuilder::new().operation_id(Some(id)).summary(Some(summary));
        // Of any route, where the layer is not around it.
        Self { method, path, operation, problems: BTreeMap::new() }.problem(500, &["internal_error"])
    }

    pub(super) const fn path(&self) -> &'static str {
        self.path
    }

    pub(super) fn about(self, text: &str) -> Self {
        Self { operation: self.operation.description(Some(text)), ..self }
    }

    /// For those who are signed in.
    pub(super) fn by_session(self) -> Self {
        self.credentials(false)
            .problem(400, &["invalid_request"])
            .problem(401, problems::UNAUTHORIZED)
            .problem(503, &["temporarily_unavailable"])
            .same_site()
    }

    /// For those who have proved who they are a short while ago, where the application wants that.
    pub(super) fn by_fresh_session(self) -> Self {
        self.by_session().problem(401, &["fresh_auth_required"])
    }

    /// A cookie is a credential too, so it must not be another site that makes the browser send it; reading is harmless.
    pub(super) fn same_site(self) -> Self {
        if self.method == HttpMethod::Get { self } else { self.problem(403, &["cross_site_request"]) }
    }

    /// Which it takes; a body may be another.
    pub(super) fn credentials(self, or_none: bool) -> Self {
        let none: [&str; 0] = [];
        let either = ["bearer", "cookie"].map(|name| SecurityRequirement::new(name, none)).into_iter();
        let neither = or_none.then(SecurityRequirement::default);
        Self { operation: self.operation.securities(Some(either.chain(neither))), ..self }
    }

    /// It asks for no session.
    pub(super) fn open(self) -> Self {
        Self { operation: self.operation.securities(Some([])), ..self }
    }

    pub(super) fn in_path(self, name: &str, about: &str, of: RefOr<Schema>) -> Self {
        let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True);
        let parameter = parameter.description(Some(about)).schema(Some(of));
        Self { operation: self.operation.parameter(parameter), ..self }
    }

    /// Each field of a type, but for these, is a parameter that may be left out.
    pub(super) fn query<T: PartialSchema>(mut self, but: &[&str]) -> Self {
        for (name, mut of) in fields::<T>().properties {
            if but.contains(&name.as_str()) {
                continue;
            }
            let about = match &mut of {
                RefOr::T(Schema::Object(object)) => {
                    // Absent, never `null`.
                    object.schema_type = Type::String.into();
                    object.description.take()
                }
                RefOr::T(Schema::OneOf(one)) => {
                    let reference = one.items.first().cloned();
                    let about = match &reference {
                        Some(RefOr::Ref(reference)) => Some(reference.description.clone()),
                        _ => None,
                    };
                    if let Some(RefOr::Ref(reference)) = reference {
                        of = Ref::new(reference.ref_location).into();
                    }
                    about
                }
                RefOr::Ref(reference) => Some(std::mem::take(&mut reference.description)),
                RefOr::T(_) => None,
            };
            let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query);
            let parameter = parameter.required(Required::False).description(about).schema(Some(of));
            self.operation = self.operation.parameter(parameter);
        }
        self
    }

    pub(super) fn takes(self, required: bool, kind: &str, of: impl Into<RefOr<Schema>>, example: Value) -> Self {
        let content = ContentBuilder::new().schema(Some(of)).example(Some(example)).build();
        let required = if required { Required::True } else { Required::False };
        let body = RequestBodyBuilder::new().content(kind, content).required(Some(required)).build();
        Self { operation: self.operation.request_body(Some(body)), ..self }
    }

    pub(super) fn answers(self, status: u16, response: Response) -> Self {
        Self { operation: self.operation.response(status.to_string(), response), ..self }
    }

    /// With these codes, which mean what they always mean.
    pub(super) fn problem(mut self, status: u16, codes: &[&'static str]) -> Self {
        self.problems.entry(status).or_default().extend(usual(status, codes));
        self
    }

    /// With a code that means something more here.
    pub(super) fn problem_if(mut self, status: u16, code: &'static str, when: &'static str) -> Self {
        self.problems.entry(status).or_default().insert(code, when);
        self
    }

    pub(super) fn add_to(self, paths: &mut Paths, prefix: &Prefix, tag: &str) {
        let mut route = self;
        for name in prefix.parameters() {
            route = route.in_path(name, "Of the application.", text());
        }
        let mut operation: Operation = route.operation.tag(tag).build();
        for (status, causes) in &route.problems {
            let response = match problems::shared(*status, causes) {
                Some(shared) => shared.into(),
                None => RefOr::T(problems::response(*status, causes)),
            };
            operation.responses.responses.insert(status.to_string(), response);
        }
        paths.add_path_operation(prefix.join(route.path), vec![route.method], operation);
    }
}

/// An answer without a body.
pub(super) fn empty(about: &str) -> ResponseBuilder {
    ResponseBuilder::new().description(about).header("Cache-Control", headers::no_store())
}

/// An answer with a body.
pub(super) fn body(about: &str, kind: &str, of: impl Into<RefOr<Schema>>) -> ResponseBuilder {
    empty(about).content(kind, ContentBuilder::new().schema(Some(of)).build())
}

pub(super) fn json(about: &str, of: impl Into<RefOr<Schema>>) -> ResponseBuilder {
    body(about, "application/json", of)
}
