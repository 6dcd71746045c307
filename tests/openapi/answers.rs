//! Whatever the document says of statuses, codes, headers and bodies is what comes over the wire.

use axum::http::Method;
use axum_device_sessions::{EndReason, EndTarget, SessionId, SignIn, SignedIn};
use serde_json::json;

use super::{
    http::{COOKIE, LONG_AGO, Sent, Token, bearer, cookie},
    idp::unique,
    operations,
    outer::{sign_ins, the_database_is_away, the_layer_is_missing},
    world::{Ask, World, whole},
};

pub(crate) const JSON: &str = "application/json";
pub(crate) const SOMEBODY: &str = "0199f7c1-93c2-7d4e-8a01-000000000000";

pub(crate) fn of(signed_in: &SignedIn) -> Vec<Sent> {
    vec![bearer(&signed_in.access_token)]
}

pub(crate) fn staff() -> Sent {
    ("x-staff", "yes".to_owned())
}

pub(crate) fn from_elsewhere() -> Sent {
    ("sec-fetch-site", "cross-site".to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_documented_answer_is_given_and_no_other() {
    let world = World::new().await;
    what_succeeds(&world).await;
    what_is_wrong_with_a_request(&world).await;
    what_is_wrong_with_a_credential(&world).await;
    other_sites(&world).await;
    sign_ins(&world).await;
    the_layer_is_missing(&world).await;
    the_database_is_away(&world).await;
    let (seen, documented) = (world.checker.seen(), world.checker.documented());
    assert_eq!(documented.difference(&seen).collect::<Vec<_>>(), Vec::<&String>::new(), "documented, and never seen");
    assert_eq!(seen.difference(&documented).collect::<Vec<_>>(), Vec::<&String>::new(), "seen, and not documented");
    let operations = operations(world.checker.document()).len();
    println!("{operations} operations: {} pairs of status and code, each seen over HTTP", seen.len());
}

async fn what_succeeds(world: &World) {
    let (phone, laptop) = (world.sign_in("ahmed").await, world.sign_in("ahmed").await);
    let (id, sent) = (phone.session.id.to_string(), of(&laptop));
    let of_laptop = |path| Ask { path, sent: sent.clone(), ..Ask::default() };
    for path in ["/sessions", "/sessions/current"] {
        world.ask(Method::GET, of_laptop(path)).await;
    }
    let name = (JSON, r#"{"deviceName":"Kitchen"}"#.to_owned());
    world.ask(Method::PATCH, Ask { named: &id, body: Some(name), ..of_laptop("/sessions/{id}") }).await;
    let target = (JSON, r#"{"provider":"fcm","token":"abc"}"#.to_owned());
    world.ask(Method::PUT, Ask { body: Some(target), ..of_laptop("/sessions/current/push-target") }).await;
    world.ask(Method::DELETE, of_laptop("/sessions/current/push-target")).await;
    world.ask(Method::DELETE, Ask { named: &id, ..of_laptop("/sessions/{id}") }).await;
    let ended = world.ask(Method::GET, Ask { query: "?state=ended", ..of_laptop("/sessions") }).await;
    assert_eq!(ended.json()[0]["endReason"], "revoked_by_user");
    world.ask(Method::DELETE, of_laptop("/sessions/others")).await;
    stream(world, &laptop).await;

    let lena = world.sign_in("lena").await;
    let token = json!({ "refresh_token": lena.refresh_token }).to_string();
    let new = Ask { path: "/auth/refresh", body: Some((JSON, token)), ..Ask::default() };
    let new = world.ask(Method::POST, new).await.json()["access_token"].as_str().unwrap().to_owned();
    world.ask(Method::POST, Ask { path: "/auth/logout", sent: vec![bearer(new)], ..Ask::default() }).await;

    let link = world.link("sam").await;
    let page = || Ask { path: "/alerts/{link}", named: &link, ..Ask::default() };
    world.ask(Method::GET, page()).await;
    world.ask(Method::POST, page()).await;
    world.ask(Method::POST, page()).await;
    world.ask(Method::GET, Ask { named: "none", ..page() }).await;

    world.ask(Method::GET, Ask { path: "/.well-known/jwks.json", ..Ask::default() }).await;
    let logout = logout_token(world);
    world.ask(Method::POST, Ask { path: "/auth/backchannel-logout", body: Some(logout), ..Ask::default() }).await;

    let admin = |path| Ask { path, sent: vec![staff()], ..Ask::default() };
    let page = world.ask(Method::GET, Ask { query: "?user=sam", ..admin("/admin/sessions") }).await;
    assert_eq!(page.json()["sessions"][0]["userId"], "sam");
    for dry_run in [true, false] {
        let body = json!({ "reason": "revoked_by_admin", "user": "sam", "dryRun": dry_run });
        world.ask(Method::POST, Ask { body: Some((JSON, body.to_string())), ..admin("/admin/sessions/end") }).await;
    }
}

/// It ends with its session, and says why as the document has it.
async fn stream(world: &World, signed_in: &SignedIn) {
    let ask = Ask { path: "/sessions/events", sent: of(signed_in), ..Ask::default() };
    let open = world.open(&Method::GET, ask).await;
    let all = Ask { path: "/sessions", sent: of(signed_in), ..Ask::default() };
    world.ask(Method::DELETE, all).await;
    let answer = whole(open).await;
    world.checker.check("GET", "/sessions/events", &answer).unwrap();
    let (_, over) = answer.text().split_once("event: ended\ndata: ").expect("the last event");
    let over = serde_json::from_str(over.trim()).unwrap();
    world.checker.valid(&json!({ "$ref": "#/components/schemas/SessionOver" }), &over).unwrap();
    assert_eq!(over, json!({ "reason": "revoked_by_user" }));
}

pub(crate) fn logout_token(world: &World) -> (&'static str, String) {
    let token = world.idp.logout().claim("sid", unique()).sign(&world.idp.key);
    ("application/x-www-form-urlencoded", format!("logout_token={token}"))
}

async fn what_is_wrong_with_a_request(world: &World) {
    let ahmed = world.sign_in("ahmed-2").await;
    let (own, sent) = (ahmed.session.id.to_string(), of(&ahmed));
    let id = |named, body| Ask { path: "/sessions/{id}", named, sent: sent.clone(), body, ..Ask::default() };
    let name = || Some((JSON, r#"{"deviceName":"Kitchen"}"#.to_owned()));
    world.ask(Method::DELETE, id(SOMEBODY, None)).await;
    world.ask(Method::DELETE, id("no-uuid", None)).await;
    world.ask(Method::DELETE, id(&own, None)).await;
    world.ask(Method::PATCH, id(SOMEBODY, name())).await;
    world.ask(Method::PATCH, id(&own, Some((JSON, "{}".to_owned())))).await;
    world.ask(Method::PATCH, id(&own, Some((JSON, r#"{"deviceName":""}"#.to_owned())))).await;
    let list = Ask { path: "/sessions", query: "?state=lost", sent: sent.clone(), ..Ask::default() };
    world.ask(Method::GET, list).await;
    let pigeon = (JSON, r#"{"provider":"pigeon","token":"abc"}"#.to_owned());
    let path = "/sessions/current/push-target";
    world.ask(Method::PUT, Ask { path, sent: sent.clone(), body: Some(pigeon), ..Ask::default() }).await;
    for path in ["/auth/refresh", "/auth/backchannel-logout"] {
        world.ask(Method::POST, Ask { path, ..Ask::default() }).await;
    }
    let admin = |path| Ask { path, sent: vec![staff()], ..Ask::default() };
    world.ask(Method::GET, Ask { query: "?colour=red", ..admin("/admin/sessions") }).await;
    world.ask(Method::POST, admin("/admin/sessions/end")).await;
    for (method, path) in [(Method::GET, "/admin/sessions"), (Method::POST, "/admin/sessions/end")] {
        let answer = whole(world.open(&method, Ask { path, sent: sent.clone(), ..Ask::default() }).await).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (403, 0), "the guard's");
        if method == Method::GET {
            world.checker.check(method.as_str(), path, &answer).unwrap();
        }
    }
}

/// Each code of a 401, and two credentials at once, wherever the document has them.
async fn what_is_wrong_with_a_credential(world: &World) {
    let (ended, other) = (world.sign_in("ended").await, world.sign_in("other").await);
    let one = EndTarget::One { id: ended.session.id, user: None };
    world.sessions.end(one, EndReason::RevokedByAdmin, None).await.unwrap();
    let pending = world.sessions.sign_in(SignIn::new("half").second_factor_to_come());
    let pending = pending.await.unwrap();
    let stale = world.stale("stale").await;
    let old = SessionId::new();
    for (code, sent) in [
        ("missing_token", vec![]),
        ("invalid_token", vec![bearer("none")]),
        ("token_expired", vec![cookie(Token { expires_in: LONG_AGO, ..COOKIE }.of(old)), from_elsewhere()]),
        ("session_ended", of(&ended)),
        ("second_factor_required", of(&pending)),
        ("fresh_auth_required", of(&stale)),
        (
            "invalid_request",
            vec![bearer(&other.access_token), cookie(Token { user: "ended", ..COOKIE }.of(ended.session.id))],
        ),
    ] {
        for (method, path, operation) in operations(world.checker.document()) {
            let status = if code == "invalid_request" { "400" } else { "401" };
            let by_session = operation["security"].as_array().is_some_and(|ways| !ways.is_empty());
            let documented = world.checker.documented().contains(&format!("{method} {path} {status} {code}"));
            if !by_session || !documented {
                continue;
            }
            let method: Method = method.parse().unwrap();
            let ask = Ask { path: &path, named: SOMEBODY, sent: sent.clone(), ..Ask::default() };
            let answer = world.ask(method, ask).await;
            assert!(answer.text().contains(&format!("\"code\":\"{code}\"")), "{path}: {}", answer.text());
        }
    }
    // A refresh is judged by its own token.
    for token in ["none", &ended.refresh_token] {
        let body = Some((JSON, json!({ "refresh_token": token }).to_string()));
        world.ask(Method::POST, Ask { path: "/auth/refresh", body, ..Ask::default() }).await;
    }
    let fresh = Ask { path: "/fresh", sent: of(&stale), ..Ask::default() };
    let fresh = whole(world.open(&Method::GET, fresh).await).await;
    world.checker.check_component("FreshAuthRequired", &fresh).unwrap();
}

/// What changes something, by a cookie that another site makes a browser send.
async fn other_sites(world: &World) {
    let session = world.sign_in("browser").await.session.id;
    let sent = vec![cookie(Token { user: "browser", ..COOKIE }.of(session)), from_elsewhere(), staff()];
    for (method, path, operation) in operations(world.checker.document()) {
        let method: Method = method.parse().unwrap();
        if method.is_safe() || operation["responses"]["403"].is_null() {
            continue;
        }
        let answer =
            world.ask(method, Ask { path: &path, named: SOMEBODY, sent: sent.clone(), ..Ask::default() }).await;
        assert!(answer.text().contains("cross_site_request"), "{path}: {}", answer.text());
    }
    assert_eq!(world.sessions.list(&"browser".into(), None).await.unwrap().len(), 1, "and nothing was done");
}
