//! The headers of answers. Each stands where it is used, not among the components: `utoipa` leaves those out when it merges.

use utoipa::openapi::{
    Header, HeaderBuilder, Type,
    extensions::Extensions,
    schema::{Object, ObjectBuilder},
};

pub(super) fn no_store() -> Header {
    header("No cache may keep it.", text().enum_values(Some(["no-store"])))
}

pub(super) fn kept_for_a_while() -> Header {
    header("So long may it be kept.", text().enum_values(Some(["public, max-age=300"])))
}

pub(super) fn challenge() -> Header {
    header("What is wrong with the credential (RFC 6750 §3, RFC 9470 §3).", text().pattern(Some("^Bearer realm=")))
}

pub(super) fn retry_after() -> Header {
    header("In how many seconds to try again.", text().pattern(Some("^[1-9][0-9]*$")))
}

pub(super) fn cleared_cookie() -> Header {
    maybe("Takes the session cookie back, where one was sent.", text().pattern(Some("Max-Age=0;")))
}

pub(super) fn set_cookies() -> Header {
    let about = "`__Host-device`, by which a browser is known again; and the session cookie, where that was wanted.";
    maybe(about, text().pattern(Some("^__Host-")))
}

/// Of a status that is not about credentials alone.
pub(super) fn maybe_challenge() -> Header {
    maybe("Where it is the credentials that are wrong (RFC 6750 §3).", text().pattern(Some("^Bearer realm=")))
}

fn text() -> ObjectBuilder {
    Object::builder().schema_type(Type::String)
}

fn maybe(about: &str, schema: ObjectBuilder) -> Header {
    HeaderBuilder::new().schema(Some(schema)).description(Some(about)).build()
}

/// One that is always there. The type has no field for that.
fn header(about: &str, schema: ObjectBuilder) -> Header {
    let required = Extensions::from_iter([("required", true)]);
    HeaderBuilder::new().schema(Some(schema)).description(Some(about)).extensions(Some(required)).build()
}
