//! What the document is by itself.

use std::collections::BTreeSet;

use axum::{Router, http::header};
use axum_device_sessions::{
    EndReason, EndTarget, SessionValidationLayer,
    routes::{self, OpenApi},
};
use serde_json::{Value, json};

use super::{everything, http, operations};

/// <https://spec.openapis.org/oas/3.1/schema/2022-10-07>, Apache-2.0.
const OFFICIAL: &str = include_str!("oas-3.1-schema-2022-10-07.json");

fn is_openapi(document: &Value) -> bool {
    let official: Value = serde_json::from_str(OFFICIAL).unwrap();
    jsonschema::validator_for(&official).unwrap().is_valid(document)
}

/// Every reference, wherever it stands.
fn references(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(object) => {
            let own = object.get("$ref").and_then(Value::as_str);
            own.into_iter().chain(object.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

fn dangling(document: &Value) -> Vec<&str> {
    references(document).into_iter().filter(|reference| document.pointer(&reference[1..]).is_none()).collect()
}

#[test]
fn it_is_openapi_3_1() {
    let document = everything().to_value();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(is_openapi(&document));
    assert!(is_openapi(&OpenApi::new().to_value()));
    assert_eq!(dangling(&document), Vec::<&str>::new());
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(jsonschema::meta::is_valid(schema), "{name}");
    }
    let operations = operations(&document);
    let ids: BTreeSet<_> =
        operations.iter().map(|(.., operation)| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), operations.len(), "each has a name of its own");
    let size = document.to_string().len();
    println!("{} operations, {} references, {size} bytes", operations.len(), references(&document).len());
    // The controls: what would be wrong is found.
    for wrong in
        ["/info/title", "/paths/~1sessions/get/responses/200/description", "/components/securitySchemes/bearer/type"]
    {
        let mut broken = document.clone();
        *broken.pointer_mut(wrong).unwrap() = Value::Null;
        assert!(!is_openapi(&broken), "{wrong}");
    }
    let mut broken = document.clone();
    broken["components"]["schemas"].as_object_mut().unwrap().remove("EndReason");
    assert_eq!(dangling(&broken)[0], "#/components/schemas/EndReason");
}

/// Fields of a type appear by themselves, under the names and only under the names that are on the wire.
#[tokio::test]
async fn a_session_has_the_keys_of_its_schema() {
    let sessions = http::in_memory().await;
    let (phone, laptop) = (http::sign_in(&sessions, "ahmed").await, http::sign_in(&sessions, "ahmed").await);
    let one = EndTarget::One { id: phone.session.id, user: None };
    sessions.end(one, EndReason::RevokedByUser, None).await.unwrap();
    let app = http::app().layer(SessionValidationLayer::new(sessions));
    let sent = [http::bearer(laptop.access_token)];
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let live = keys(&http::get(&app, "/sessions", &sent).await.json()[0]);
    let ended = keys(&http::get(&app, "/sessions?state=ended", &sent).await.json()[0]);
    let schema = OpenApi::new().to_value()["components"]["schemas"]["Session"].take();
    assert_eq!(keys(&schema["properties"]), ended);
    let required: BTreeSet<String> = serde_json::from_value(schema["required"].clone()).unwrap();
    assert_eq!(required, live, "what is not known is null, and there");
    assert!(live.is_subset(&ended) && ended.len() == live.len() + 2, "{ended:?}");
}

/// What the host says of its prefixes holds in the paths.
#[test]
fn it_is_where_the_application_has_it() {
    let document = OpenApi::new().sessions_at("/shops/{shop}/devices").unwrap().auth_at("/").unwrap();
    let document = document.title("Shop", "1.4.0").to_value();
    assert_eq!((&document["info"]["title"], &document["info"]["version"]), (&json!("Shop"), &json!("1.4.0")));
    let paths: Vec<_> = document["paths"].as_object().unwrap().keys().collect();
    let below = ["", "/current", "/current/push-target", "/events", "/others", "/{id}"];
    let mut expected = below.map(|path| format!("/shops/{{shop}}/devices{path}")).to_vec();
    expected.splice(0..0, ["/logout".to_owned(), "/refresh".to_owned()]);
    assert_eq!(paths, expected.iter().collect::<Vec<_>>());
    let parameters = &document["paths"]["/shops/{shop}/devices/{id}"]["delete"]["parameters"];
    let names: Vec<_> = parameters.as_array().unwrap().iter().map(|one| (&one["name"], &one["in"])).collect();
    assert_eq!(names, [(&json!("id"), &json!("path")), (&json!("shop"), &json!("path"))]);
    assert!(is_openapi(&document));
    assert!(OpenApi::new().without_auth().to_value()["paths"]["/auth/logout"].is_null());
}

#[test]
fn what_is_no_prefix_is_refused() {
    for wrong in [
        "",
        "sessions",
        "/sessions/",
        "//",
        "/a b",
        "/{}",
        "/{*rest}",
        "/a?b",
        "/a#b",
        "/{id}",
        "/x/{link}",
        "/{a}b",
        "/ü",
    ] {
        let why = OpenApi::new().sessions_at(wrong).unwrap_err().to_string();
        assert!(why.contains("no prefix of a path") && why.contains("/account/devices"), "{why}");
    }
    // Where axum would not know which of two to take.
    let why = OpenApi::new().alerts_at("/sessions").unwrap_err().to_string();
    assert!(why.starts_with("/sessions/{} would stand for two routes"), "{why}");
    assert!(OpenApi::new().admin_at("/sessions").is_err());
    assert!(OpenApi::new().backchannel_logout_at("/auth/logout").is_err());
    assert!(OpenApi::new().auth_at("/sessions").is_ok(), "all paths differ");
}

#[tokio::test]
async fn it_is_served_to_everybody() {
    let app: Router = Router::new().merge(routes::openapi(&everything()));
    let answer = http::get(&app, "/openapi.json", &[]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header(&header::CONTENT_TYPE), Some("application/json"));
    assert_eq!(answer.header(&header::CACHE_CONTROL), Some("no-store"));
    assert_eq!(answer.json(), everything().to_value());
}

/// For hosts that have a document of their own, made by the library that most use.
#[test]
fn it_merges_into_another_document() {
    let ours: utoipa::openapi::OpenApi = serde_json::from_value(everything().to_value()).unwrap();
    let mut host = utoipa::openapi::OpenApiBuilder::new().build();
    host.paths.add_path_operation(
        "/orders",
        vec![utoipa::openapi::HttpMethod::Get],
        utoipa::openapi::path::Operation::new(),
    );
    host.merge(ours);
    let merged = serde_json::to_value(&host).unwrap();
    assert_eq!(
        merged["paths"].as_object().unwrap().len(),
        everything().to_value()["paths"].as_object().unwrap().len() + 1
    );
    assert!(merged["components"]["schemas"]["Session"].is_object());
    assert!(merged["components"]["securitySchemes"]["cookie"].is_object());
    assert_eq!(dangling(&merged), Vec::<&str>::new());
}
