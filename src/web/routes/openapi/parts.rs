//! What routes refer to: schemas, shared answers, ways to sign in; and what the derives cannot know.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, ComponentsBuilder, Object, RefOr, Schema, Type,
        schema::{AnyOfBuilder, ObjectBuilder},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{
    super::{
        admin::{Done, Matching, Page},
        auth::RefreshToken,
        events::Over,
        handlers::{Changes, Revoked, State},
    },
    headers,
    problems::{self, SHARED, usual},
    route::{json as answer, schema},
};
use crate::{
    event::PushTarget,
    session::{EndReason, Session, UserId},
    web::{
        cookie::COOKIE,
        rejection::Problem,
        respond::{CookieResponse, TokenResponse},
    },
};

pub(super) fn components() -> Components {
    let mut components = ComponentsBuilder::new();
    components = with::<Session>(components);
    components = with::<Problem>(components);
    components = with::<TokenResponse<'_>>(components);
    components = with::<CookieResponse<'_>>(components);
    components = with::<RefreshToken>(components);
    components = with::<Changes>(components);
    components = with::<Revoked>(components);
    components = with::<Over>(components);
    components = with::<PushTarget>(components);
    components = with::<State>(components);
    components = with::<Page>(components);
    components = with::<Done>(components);
    components = with::<Matching>(components);
    #[cfg(feature = "jwks")]
    {
        components = with::<super::super::backchannel::LogoutToken>(components);
    }
    let components = SHARED.iter().fold(components, |components, (name, status, codes)| {
        components.response(*name, problems::response(*status, &usual(*status, codes)))
    });
    let signed_in = AnyOfBuilder::new().item(schema::<TokenResponse<'_>>()).item(schema::<CookieResponse<'_>>());
    let about = "Signed in: a token response, or a session and its cookie.";
    let signed_in = answer(about, signed_in).header("Set-Cookie", headers::set_cookies()).build();
    let bearer = "An access token, as a sign-in or a refresh brought it.";
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").description(Some(bearer));
    let cookie = ApiKeyValue::with_description(COOKIE, "The session cookie of a browser.");
    components
        .response("SignedIn", signed_in)
        .security_scheme("bearer", SecurityScheme::Http(bearer.build()))
        .security_scheme("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)))
        .build()
}

/// With what it consists of.
fn with<T: ToSchema>(components: ComponentsBuilder) -> ComponentsBuilder {
    let mut parts = Vec::new();
    T::schemas(&mut parts);
    components.schemas_from_iter(parts).schema(T::name(), T::schema())
}

impl PartialSchema for UserId {
    fn schema() -> RefOr<Schema> {
        let about = "The application's own id of a user.";
        ObjectBuilder::new().schema_type(Type::String).description(Some(about)).examples(["ahmed"]).into()
    }
}

impl ToSchema for UserId {
    fn name() -> Cow<'static, str> {
        "UserId".into()
    }
}

/// Not closed: a hand in the database may give another, and a later version may know more.
impl PartialSchema for EndReason {
    fn schema() -> RefOr<Schema> {
        let known = [
            Self::Logout,
            Self::RevokedByUser,
            Self::RevokedByAdmin,
            Self::RevokedByAlert,
            Self::Replaced,
            Self::Limit,
            Self::Idle,
            Self::Absolute,
            Self::RefreshReuse,
            Self::CredentialChange,
            Self::AccountDisabled,
        ];
        let about = "Why a session ended. There may be others than these.";
        Object::builder()
            .schema_type(Type::String)
            .description(Some(about))
            .examples(known.map(|reason| reason.as_str().to_owned()))
            .into()
    }
}

impl ToSchema for EndReason {
    fn name() -> Cow<'static, str> {
        "EndReason".into()
    }
}

/// What the types of `utoipa` cannot say.
pub(super) fn finished(mut document: Value) -> Value {
    flatten_session(&mut document["components"]["schemas"]);
    tidy(&mut document);
    document
}

/// `serde(flatten)` comes as a composition, and an `Option` as what may be missing. On the wire a session is one object, all of whose
/// fields are there, `null` where not known; and two more if it has ended.
fn flatten_session(schemas: &mut Value) {
    let mut parts = [("Device", true), ("Ended", false)].map(|(name, always)| {
        let part = schemas.as_object_mut().and_then(|schemas| schemas.remove(name));
        (part.unwrap_or_default(), always)
    });
    let Some(session) = schemas.get_mut("Session") else { return };
    let own = session["allOf"].as_array_mut().and_then(Vec::pop).unwrap_or_default();
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (part, always) in parts.iter_mut().chain([&mut (own, true)]) {
        let Some(fields) = part["properties"].as_object_mut() else { continue };
        if *always {
            required.extend(fields.keys().cloned());
        }
        properties.append(fields);
    }
    // What comes after the first paragraph says in words what is said here.
    let description = session["description"].as_str().and_then(|text| text.split("\n\n").next()).map(str::to_owned);
    *session = json!({ "type": "object", "description": description, "properties": properties, "required": required });
}

/// Descriptions without the sentences that are for readers of Rust.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                match value {
                    Value::String(text) if name == "description" && text.contains("[`") => {
                        let kept = text.split_inclusive(". ").filter(|sentence| !sentence.contains("[`"));
                        *text = kept.collect::<String>().trim_end().to_owned();
                    }
                    value => tidy(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}
