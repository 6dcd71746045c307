//! Sign-ins, a mistake in the setup, and an outage.

use axum::http::Method;
use serde_json::{Value, json};

use super::{
    answers::{JSON, SOMEBODY, from_elsewhere, logout_token, of, staff},
    http::{Answer, Sent, bearer},
    operations,
    world::{Ask, World, whole},
};

/// What the application's own login answers.
pub(crate) async fn sign_ins(world: &World) {
    let login = async |wanted: Value, sent: Vec<Sent>| {
        let ask = Ask { path: "/login", sent, body: Some((JSON, wanted.to_string())), ..Ask::default() };
        whole(world.open(&Method::POST, ask).await).await
    };
    let check = |component: &str, answer: &Answer| world.checker.check_component(component, answer).unwrap();
    let tokens = login(json!({ "user": "u-1" }), vec![]).await;
    check("SignedIn", &tokens);
    check("SignedIn", &login(json!({ "user": "u-2", "cookie": true }), vec![]).await);
    check("SignedIn", &login(json!({ "user": "u-3", "second_factor": true }), vec![]).await);
    check("SignedIn", &login(json!({ "user": "u-4", "second_factor": true, "cookie": true }), vec![]).await);
    check("SignInForbidden", &login(json!({ "user": "disabled" }), vec![]).await);
    check("SignInForbidden", &login(json!({ "user": "u-5", "refused": true }), vec![]).await);
    check("SignInForbidden", &login(json!({ "user": "u-6", "cookie": true }), vec![from_elsewhere()]).await);
    check("InvalidRequest", &login(json!({ "user": "" }), vec![]).await);
    for _ in 0..3 {
        login(json!({ "user": "many" }), vec![]).await;
    }
    let refused = login(json!({ "user": "many" }), vec![]).await;
    check("SessionLimitReached", &refused);
    assert_eq!(refused.json()["sessions"].as_array().unwrap().len(), 3);
    let full = vec![bearer(tokens.json()["access_token"].as_str().unwrap())];
    let again = Ask { path: "/second-factor", sent: full, ..Ask::default() };
    check("NotPending", &whole(world.open(&Method::POST, again).await).await);
    let link = Ask { path: "/link", ..Ask::default() };
    check("LinkInvalid", &whole(world.open(&Method::GET, link).await).await);
}

/// Each route says so at once, whatever else it is asked.
pub(crate) async fn the_layer_is_missing(world: &World) {
    for (method, path, _) in operations(world.checker.document()) {
        let body = Some((JSON, "{}".to_owned()));
        let sent = vec![staff()];
        let ask = Ask { path: &path, named: SOMEBODY, sent, body, without_layer: true, ..Ask::default() };
        let answer = world.ask(method.parse().unwrap(), ask).await;
        assert_eq!(answer.status, 500, "{method} {path}");
    }
}

/// By sessions of which this node knows nothing yet: the others go on for a while.
pub(crate) async fn the_database_is_away(world: &World) {
    let link = world.link("mia").await;
    let mut cold = Vec::new();
    for user in 0..20 {
        cold.push(world.sign_in(&format!("cold-{user}")).await);
    }
    world.db.server().stop_immediate();
    for (method, path, operation) in operations(world.checker.document()) {
        if operation["responses"]["503"].is_null() {
            continue;
        }
        let session = cold.pop().unwrap();
        let body = match &*path {
            "/auth/refresh" => Some((JSON, json!({ "refresh_token": session.refresh_token }).to_string())),
            "/auth/backchannel-logout" => Some(logout_token(world)),
            "/admin/sessions/end" => Some((JSON, json!({ "reason": "revoked_by_admin", "user": "sam" }).to_string())),
            _ => None,
        };
        let (named, sent) = if path.starts_with("/alerts") { (&*link, vec![]) } else { (SOMEBODY, of(&session)) };
        let sent = if path.starts_with("/admin") { vec![staff()] } else { sent };
        let answer = world.ask(method.parse().unwrap(), Ask { path: &path, named, sent, body, ..Ask::default() }).await;
        assert_eq!(answer.status, 503, "{method} {path}");
    }
}
