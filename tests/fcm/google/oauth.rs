//! Access tokens for assertions.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use axum::{
    body::Bytes,
    extract::{Form, FromRequest, Request},
    response::{IntoResponse, Response},
};
use jsonwebtoken::{Algorithm, Validation};
use serde_json::{Value, json};

use super::{Asked, EMAIL, Says, Shared};
use crate::keys::KEYS;

/// <https://developers.google.com/identity/protocols/oauth2/service-account>, the tab HTTP/REST.
pub(super) async fn exchange(shared: &Shared, headers: BTreeMap<String, String>, body: Bytes) -> Response {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let request = Request::post("/token").header("content-type", headers["content-type"].clone());
    let form = Form::<BTreeMap<String, String>>::from_request(request.body(body.into()).unwrap(), &()).await;
    let Ok(Form(form)) = form else { return refusal("invalid_request", "no form") };
    let assertion = form.get("assertion").cloned().unwrap_or_default();
    let mut known = shared.known.lock().unwrap();
    known.asked.push(Asked { assertion: assertion.clone(), body: text, headers });
    if let Some(says) = known.next_token.pop_front() {
        return says.into_response();
    }
    if form.len() != 2 || form["grant_type"] != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
        return refusal("unsupported_grant_type", "Invalid grant_type");
    }
    let mut rules = Validation::new(Algorithm::RS256);
    rules.set_issuer(&[EMAIL]);
    rules.set_audience(&[format!("{}/token", shared.url)]);
    rules.set_required_spec_claims(&["iss", "aud", "exp"]);
    rules.validate_exp = false;
    let Ok(read) = jsonwebtoken::decode::<Value>(&assertion, &KEYS.verifying, &rules) else {
        return refusal("invalid_grant", "Invalid JWT Signature.");
    };
    let now = time::OffsetDateTime::now_utc().unix_timestamp() + shared.ahead.load(Ordering::SeqCst);
    let (issued, ends) = (read.claims["iat"].as_i64().unwrap(), read.claims["exp"].as_i64().unwrap());
    if !(issued <= now + 60 && now < ends && ends - issued <= 3_600) {
        return refusal(
            "invalid_grant",
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and \
             exp values in the JWT claim.",
        );
    }
    if read.claims["scope"] != "https://www.googleapis.com/auth/firebase.messaging" {
        return refusal("invalid_scope", "Invalid OAuth scope or ID token audience provided.");
    }
    let token = format!("ya29.c.b0AXv0zTP{}{}", "x".repeat(80), known.asked.len());
    known.good.insert(token.clone());
    let mut granted = json!({ "access_token": token, "token_type": "Bearer" });
    if let Some(expires_in) = &known.expires_in {
        granted["expires_in"] = expires_in.clone();
    }
    Says::new(200, granted.to_string()).into_response()
}

fn refusal(error: &str, description: &str) -> Response {
    Says::new(400, json!({ "error": error, "error_description": description }).to_string()).into_response()
}
