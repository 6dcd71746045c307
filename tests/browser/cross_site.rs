//! Requests that another site made the browser send: refused where a cookie counts, and nowhere else.

use axum::Router;
use axum::http::{Method, Request, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{any, post as to_post};
use axum_device_sessions::{
    Client, CurrentSession, Error, ErrorKind, MemoryStore, SessionValidationLayer, Sessions, SignIn,
};

use super::http::{COOKIE, LONG_AGO, Sent, Token, ask, bearer, cookie, get, in_memory, on, post, sign_in};
use super::{cookie_for, header, read, site};

const OURS: &str = "https://app.example";
const TRUSTED: &str = "https://admin.example:8443";
const FOREIGN: &str = "https://evil.example";

/// `Sec-Fetch-Site` and `Origin` of a request to `app.example`, and whether it is another site's.
const REQUESTS: [(Option<&str>, Option<&str>, bool); 24] = [
    // No browser, or an old one that says nothing.
    (None, None, false),
    (Some(""), None, false),
    // An old browser.
    (None, Some(OURS), false),
    (None, Some(TRUSTED), false),
    (None, Some(FOREIGN), true),
    (None, Some("null"), true),
    (None, Some("https://app.example:444"), true),
    (None, Some("https://app.example.evil.example"), true),
    (None, Some("not an origin"), true),
    // One of today.
    (Some("same-origin"), None, false),
    (Some("same-origin"), Some(OURS), false),
    (Some("none"), None, false),
    (Some("same-site"), None, true),
    (Some("same-site"), Some("https://other.app.example"), true),
    (Some("same-site"), Some(TRUSTED), false),
    (Some("cross-site"), None, true),
    (Some("cross-site"), Some(FOREIGN), true),
    (Some("cross-site"), Some("null"), true),
    (Some("cross-site"), Some(TRUSTED), false),
    (Some("cross-site"), Some("https://admin.example"), true),
    // From http to https: the host is the same, the origin is not.
    (Some("cross-site"), Some("http://app.example"), true),
    (Some("Same-Origin"), Some(FOREIGN), true),
    (Some("something new"), None, true),
    (Some("something new"), Some(FOREIGN), true),
];

fn sent(site: Option<&str>, origin: Option<&str>) -> Vec<Sent> {
    let host = header("host", "app.example");
    let site = site.map(|site| header("sec-fetch-site", site));
    [Some(host), site, origin.map(|origin| header("origin", origin))].into_iter().flatten().collect()
}

async fn trusting() -> Sessions {
    on(MemoryStore::new())
        .trusted_origin(TRUSTED)
        .trusted_origin("http://localhost:5173")
        .build()
        .await
        .expect("builds")
}

#[tokio::test]
async fn which_requests_are_refused() {
    let sessions = trusting().await;
    let app = site(&sessions);
    let of_cookie = cookie_for(&sessions, "ahmed").await;
    let signed_in = sign_in(&sessions, "ahmed").await;
    let same_session = COOKIE.of(signed_in.session.id);
    let access = signed_in.access_token;
    // What it is on /page, a handler that takes the session, and on /open, one that takes nothing.
    let credentials: [(&str, Vec<Sent>, bool, [&str; 2]); 7] = [
        ("cookie", vec![cookie(&of_cookie)], true, ["200 ahmed", "200 open"]),
        (
            "cookie beside another scheme",
            vec![cookie(&of_cookie), header("authorization", "Basic dTpw")],
            true,
            ["200 ahmed", "200 open"],
        ),
        ("Bearer", vec![bearer(&access)], false, ["200 ahmed", "200 open"]),
        ("Bearer beside a cookie", vec![bearer(&access), cookie(same_session)], false, ["200 ahmed", "200 open"]),
        ("Bearer beside a stale cookie", vec![bearer(&access), cookie("garbage")], false, ["200 ahmed", "200 open"]),
        ("stale cookie", vec![cookie("garbage")], false, ["401 invalid_token", "200 open"]),
        ("none", vec![], false, ["401 missing_token", "200 open"]),
    ];
    let methods = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PURGE"];
    let mut refused = 0;
    for (fetch_site, origin, foreign) in REQUESTS {
        for method in methods {
            let changes = !["GET", "HEAD", "OPTIONS"].contains(&method);
            for (credential, with, by_cookie, lines) in &credentials {
                let sent = [sent(fetch_site, origin), with.clone()].concat();
                for (path, line) in ["/page", "/open"].into_iter().zip(lines) {
                    let answer = ask(&app, method.parse().unwrap(), path, &sent).await;
                    let expected = if foreign && changes && *by_cookie { "403 cross_site_request" } else { *line };
                    let got = if method == "HEAD" { answer.status.as_str().to_owned() } else { answer.line() };
                    let expected = if method == "HEAD" { &expected[..3] } else { expected };
                    assert_eq!(got, expected, "{method} {path} {fetch_site:?} {origin:?} {credential}");
                    refused += u32::from(answer.status == 403);
                }
            }
        }
    }
    // 15 of the rows, 6 methods, 2 paths, 2 credentials.
    assert_eq!(refused, 15 * 6 * 2 * 2);
}

#[tokio::test]
async fn upgrades_need_an_origin() {
    let sessions = trusting().await;
    let app = site(&sessions);
    let of_cookie = cookie_for(&sessions, "ahmed").await;
    let access = sign_in(&sessions, "ahmed").await.access_token;
    for (fetch_site, origin, passes) in [
        (None, None, false),
        (None, Some(OURS), true),
        (None, Some(TRUSTED), true),
        (None, Some(FOREIGN), false),
        (None, Some("null"), false),
        (None, Some(""), false),
        // `Origin` has to do by itself ..
        (Some("same-origin"), None, false),
        (Some("same-origin"), Some(OURS), true),
        (Some("same-origin"), Some(FOREIGN), false),
        (Some("none"), Some(FOREIGN), false),
        // .. and nothing may be said against it.
        (Some("cross-site"), Some(OURS), false),
        (Some("same-site"), Some("https://other.app.example"), false),
        (Some("cross-site"), Some(FOREIGN), false),
        (Some("cross-site"), Some(TRUSTED), true),
    ] {
        let upgrade = [header("connection", "Upgrade"), header("upgrade", "websocket")];
        for (method, uri, upgrade) in [
            (Method::GET, "/page", upgrade.to_vec()),
            (Method::POST, "/page", upgrade.to_vec()),
            // RFC 8441: over HTTP/2 there is no such header.
            (Method::CONNECT, "https://app.example/page", vec![]),
        ] {
            let sent = [sent(fetch_site, origin), upgrade].concat();
            let name = format!("{method} {fetch_site:?} {origin:?}");
            // What is said after the 200 to a CONNECT is the tunnel's.
            let through = if method == Method::CONNECT { "200" } else { "200 ahmed" };
            let line = if passes { through } else { "403 cross_site_request" };
            let with = |credential| [sent.clone(), vec![credential]].concat();
            assert_eq!(ask(&app, method.clone(), uri, &with(cookie(&of_cookie))).await.line(), line, "{name}");
            // Nobody else's script has a token to send.
            assert_eq!(ask(&app, method.clone(), uri, &with(bearer(&access))).await.line(), through, "{name}");
            assert_eq!(ask(&app, method, uri, &sent).await.line(), "401 missing_token", "{name}");
        }
    }
}

#[tokio::test]
async fn who_may_be_signed_in() {
    let sessions = trusting().await;
    let login = |checked: bool| {
        let sessions = sessions.clone();
        any(move |client: Client| async move {
            let sign_in = SignIn::new("ahmed").client(client).cookie();
            let sign_in = if checked { sign_in.cross_site_checked() } else { sign_in };
            sessions.sign_in(sign_in).await.map(|_| "signed in")
        })
    };
    let by_token = sessions.clone();
    let tokens = to_post(move |client: Client| async move {
        by_token.sign_in(SignIn::new("ahmed").client(client)).await.map(|_| "signed in")
    });
    let app = Router::new().route("/login", login(false)).route("/callback", login(true)).route("/tokens", tokens);
    for (fetch_site, origin, foreign) in REQUESTS {
        let sent = sent(fetch_site, origin);
        // A sign-in changes something, whatever the method.
        for method in [Method::POST, Method::GET] {
            let line = if foreign { "403 cross_site_request" } else { "200 signed in" };
            assert_eq!(ask(&app, method.clone(), "/login", &sent).await.line(), line, "{fetch_site:?} {origin:?}");
            assert_eq!(ask(&app, method, "/callback", &sent).await.line(), "200 signed in");
        }
        assert_eq!(post(&app, "/tokens", &sent).await.line(), "200 signed in", "no cookie is set by it");
    }
    let before = sessions.list(&"ahmed".into(), None).await.unwrap().len();
    post(&app, "/login", &sent(None, Some(FOREIGN))).await;
    assert_eq!(sessions.list(&"ahmed".into(), None).await.unwrap().len(), before, "nobody is signed in by it");
    let error: Error = match post_error(&sessions).await {
        Err(error) => error,
        Ok(()) => panic!("signed in"),
    };
    assert_eq!((error.kind(), error.into_response().status()), (ErrorKind::CrossSite, StatusCode::FORBIDDEN));
}

async fn post_error(sessions: &Sessions) -> Result<(), Error> {
    use axum::extract::FromRequestParts;
    let request = Request::post("/").header("sec-fetch-site", "cross-site").body(()).expect("a request");
    let Ok(client) = Client::from_request_parts(&mut request.into_parts().0, &()).await;
    sessions.sign_in(SignIn::new("ahmed").client(client).cookie()).await.map(drop)
}

/// A refused request does nothing at all: not even what a page does by being asked for.
#[tokio::test]
async fn a_refused_request_is_nobodys_activity() {
    let sessions = in_memory().await;
    let app = site(&sessions);
    let with = [cookie(cookie_for(&sessions, "ahmed").await), header("sec-fetch-site", "cross-site")];
    // Once by a read and once from memory.
    for _ in 0..2 {
        assert_eq!(post(&app, "/page", &with).await.status, 403);
        assert_eq!(sessions.health().queued_activity, 0);
    }
    // A link on another site is followed by the user.
    assert_eq!(get(&app, "/page", &with).await.status, 200);
    assert_eq!(sessions.health().queued_activity, 1);
}

#[tokio::test]
async fn nobody_is_signed_out_by_another_site() {
    let sessions = in_memory().await;
    let app = site(&sessions);
    let token = cookie_for(&sessions, "ahmed").await;
    let id = read(&token)[1]["session_id"].as_str().unwrap().to_owned();
    let foreign = header("sec-fetch-site", "cross-site");
    for (method, path) in
        [(Method::POST, "/auth/logout"), (Method::DELETE, "/sessions"), (Method::DELETE, "/sessions/others")]
    {
        let answer = ask(&app, method, path, &[cookie(&token), foreign.clone()]).await;
        assert_eq!((answer.line().as_str(), answer.headers.get("set-cookie")), ("403 cross_site_request", None));
    }
    // Logout takes what has expired, but from its own site only.
    let expired = Token { expires_in: LONG_AGO, ..COOKIE }.of(&*id);
    let answer = post(&app, "/auth/logout", &[cookie(&expired), foreign]).await;
    assert_eq!((answer.line().as_str(), answer.headers.get("set-cookie")), ("401 token_expired", None));
    assert_eq!(get(&app, "/page", &[cookie(&token)]).await.status, 200);
    assert_eq!(post(&app, "/auth/logout", &[cookie(&expired)]).await.status, 204);
}

#[tokio::test]
async fn the_refusal_is_the_applications_if_it_likes() {
    let sessions = in_memory().await;
    let layer = SessionValidationLayer::new(sessions.clone());
    let own = layer.clone().on_reject(|rejection, parts| {
        (StatusCode::IM_A_TEAPOT, format!("{} {} {}", rejection.status(), rejection.code(), parts.uri)).into_response()
    });
    let with = [cookie(cookie_for(&sessions, "ahmed").await), header("sec-fetch-site", "cross-site")];
    let page = || {
        Router::new().route("/", any(|session: Option<CurrentSession>| async move { session.is_some().to_string() }))
    };
    let answer = post(&page().layer(own), "/", &with).await;
    assert_eq!(answer.line(), "418 403 Forbidden cross_site_request /");
    // However a layer stands, and under another one.
    for app in [
        page().layer(layer.clone().required()),
        page().layer(layer.clone().strict()),
        page().layer(layer.clone()).layer(layer),
    ] {
        assert_eq!(post(&app, "/", &with).await.line(), "403 cross_site_request");
        assert_eq!(get(&app, "/", &with).await.line(), "200 true");
    }
}

#[tokio::test]
async fn what_is_no_origin_is_refused_at_start() {
    for origin in [
        "",
        "app.example",
        "https://app.example/",
        "https://app.example/x",
        "ftp://app.example",
        "null",
        "https://bücher.example",
        "*",
    ] {
        let error = on(MemoryStore::new()).trusted_origin(TRUSTED).trusted_origin(origin).build().await.unwrap_err();
        assert!(error.to_string().contains("trusted_origin") && error.to_string().contains(origin), "{error}");
    }
}
