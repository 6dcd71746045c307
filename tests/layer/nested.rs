//! A layer inside of a layer: the inner one takes over the verdict and keeps its own rules. And other sources of tokens.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get as to;
use axum_device_sessions::{
    Claims, Clock, CurrentSession, MemoryStore, PostgresStore, SessionRejection, SessionValidationLayer, Sessions,
};

use crate::{
    http::{ACCESS, COOKIE, Token, bearer, cookie, get, in_memory, on, sign_in},
    support::TestDb,
};

async fn session(session: CurrentSession) -> String {
    session.user_id().to_string()
}

fn to_login(rejection: &SessionRejection, _: &Parts) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, "/login")], rejection.code()).into_response()
}

/// Two layers of one `Sessions` around `/plain`, `/strict`, `/required` and `/replaced`, and between them whatever
/// `meanwhile` does.
fn two_layers<F, Fut>(sessions: &Sessions, meanwhile: F) -> Router
where
    F: Fn() -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    async fn last_activity(session: CurrentSession) -> String {
        session.session().last_activity_at.unix_timestamp().to_string()
    }
    async fn run<F, Fut>(State(meanwhile): State<F>, request: Request, next: Next) -> Response
    where
        F: Fn() -> Fut,
        Fut: Future<Output = ()>,
    {
        meanwhile().await;
        next.run(request).await
    }
    let layer = SessionValidationLayer::new(sessions.clone());
    Router::new()
        .route("/plain", to(last_activity).layer(layer.clone()))
        .route("/strict", to(last_activity).layer(layer.clone().strict()))
        .route("/required", to(|| async { "open" }).layer(layer.clone().required()))
        .route("/replaced", to(session).layer(layer.clone().on_reject(to_login)))
        .layer(from_fn_with_state(meanwhile, run::<F, Fut>))
        .layer(layer)
}

/// An hour passes between the two layers: were the request judged or counted again, the inner time would show.
#[tokio::test]
async fn an_inner_layer_counts_no_second_activity() {
    let clock = Clock::manual();
    let sessions = on(MemoryStore::with_clock(clock.clone())).clock(clock.clone()).build().await.unwrap();
    let moved = clock.clone();
    let app = two_layers(&sessions, move || {
        moved.advance(Duration::from_secs(3_600));
        async {}
    });
    for path in ["/plain", "/strict"] {
        let signed_in = sign_in(&sessions, "ahmed").await;
        let sent = [bearer(Token { expires_in: 86_400, ..ACCESS }.of(signed_in.session.id))];
        let seen = signed_in.session.created_at.unix_timestamp();
        assert_eq!(get(&app, path, &sent).await.line(), format!("200 {seen}"), "{path}");
    }
}

/// The verdict of the outer layer stands, also where the session ends while the request is on its way; `strict` asks
/// again. The end is made by hand in the database, so nothing but a read can find it.
#[tokio::test]
async fn an_inner_strict_layer_reads_and_a_plain_one_takes_over() {
    let db = TestDb::new().await;
    let store = PostgresStore::connect(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    let sessions = on(store).build().await.unwrap();
    let hand = Arc::new(db.connect().await);
    let app = two_layers(&sessions, move || {
        let hand = Arc::clone(&hand);
        async move {
            hand.batch_execute("UPDATE device_sessions.sessions SET ended_at = now()").await.unwrap();
        }
    });
    for (path, status) in [("/plain", 200), ("/required", 200), ("/strict", 401)] {
        let token = sign_in(&sessions, "ahmed").await.access_token;
        assert_eq!(get(&app, path, &[bearer(&token)]).await.status, status, "{path}");
    }
    let token = sign_in(&sessions, "ahmed").await.access_token;
    assert_eq!(get(&app, "/strict", &[bearer(&token)]).await.line(), "401 session_ended revoked_by_admin");
}

/// What the inner layer asks for on top of judging still holds.
#[tokio::test]
async fn an_inner_layer_keeps_its_own_rules() {
    let sessions = in_memory().await;
    let app = two_layers(&sessions, || async {});
    let live = [bearer(sign_in(&sessions, "ahmed").await.access_token)];
    for (path, sent, answer) in [
        ("/required", &[][..], "401 missing_token"),
        ("/required", &live, "200 open"),
        ("/replaced", &[], "303 missing_token"),
        ("/replaced", &[bearer("garbage")], "303 invalid_token"),
        ("/replaced", &live, "200 ahmed"),
        ("/strict", &[], "401 missing_token"),
    ] {
        assert_eq!(get(&app, path, sent).await.line(), answer, "{path} {sent:?}");
    }
}

#[tokio::test]
async fn an_inner_layer_of_other_sessions_judges_by_itself() {
    let (outer, inner) = (Sessions::in_memory(), Sessions::in_memory());
    let app = Router::new()
        .route("/", to(session))
        .layer(SessionValidationLayer::new(inner.clone()))
        .layer(SessionValidationLayer::new(outer.clone()));
    let (outer, inner) = (sign_in(&outer, "ahmed").await, sign_in(&inner, "lena").await);
    assert_eq!(get(&app, "/", &[bearer(outer.access_token)]).await.line(), "401 invalid_token");
    assert_eq!(get(&app, "/", &[bearer(inner.access_token)]).await.line(), "200 lena");
}

fn own_header(parts: &Parts) -> Option<String> {
    Some(parts.headers.get("x-token")?.to_str().ok()?.to_owned())
}

#[tokio::test]
async fn another_source_replaces_header_and_cookie() {
    let sessions = in_memory().await;
    let layer = SessionValidationLayer::new(sessions.clone()).credential(own_header);
    let app = Router::new().route("/", to(session)).layer(layer);
    let signed_in = sign_in(&sessions, "ahmed").await;
    let own = |token: String| ("x-token", token);
    for (sent, answer) in [
        (vec![], "401 missing_token"),
        (vec![own(signed_in.access_token.clone())], "200 ahmed"),
        (vec![own("garbage".to_owned())], "401 invalid_token"),
        (vec![own(COOKIE.of(signed_in.session.id))], "401 invalid_token"),
        (vec![bearer(&signed_in.access_token), cookie(COOKIE.of(signed_in.session.id))], "401 missing_token"),
        (vec![own(signed_in.access_token.clone()), bearer("garbage")], "200 ahmed"),
    ] {
        assert_eq!(get(&app, "/", &sent).await.line(), answer, "{sent:?}");
    }
}

/// The outer layer saw no session in this request, so the inner one's is the first use of it.
#[tokio::test]
async fn a_session_from_another_source_is_active_too() {
    let sessions = in_memory().await;
    let layer = SessionValidationLayer::new(sessions.clone());
    let app = Router::new().route("/", to(session).layer(layer.clone().credential(own_header))).layer(layer);
    let token = sign_in(&sessions, "ahmed").await.access_token;
    assert_eq!(sessions.health().queued_activity, 0);
    assert_eq!(get(&app, "/", &[("x-token", token)]).await.line(), "200 ahmed");
    assert_eq!(sessions.health().queued_activity, 1);
}

/// `strict` looks again at the session that the outer layer found, wherever its token was, and at no other.
#[tokio::test]
async fn an_inner_strict_layer_keeps_the_outer_source() {
    let sessions = in_memory().await;
    let layer = SessionValidationLayer::new(sessions.clone());
    let app = Router::new().route("/", to(session).layer(layer.clone().strict())).layer(layer.credential(own_header));
    let (ahmed, lena) = (sign_in(&sessions, "ahmed").await, sign_in(&sessions, "lena").await);
    let (own, header) = (("x-token", ahmed.access_token), bearer(lena.access_token));
    for (sent, answer) in [
        (vec![own.clone()], "200 ahmed"),
        (vec![own, header.clone()], "200 ahmed"),
        (vec![header.clone()], "401 missing_token"),
        (vec![("x-token", "garbage".to_owned()), header], "401 invalid_token"),
    ] {
        assert_eq!(get(&app, "/", &sent).await.line(), answer, "{sent:?}");
    }
}

/// Claims that are not what the handler takes are a refusal like any other.
#[tokio::test]
async fn a_replaced_answer_replaces_that_to_claims_too() {
    let sessions = in_memory().await;
    let app = Router::new()
        .route("/", to(|Claims(number): Claims<u64>| async move { number.to_string() }))
        .layer(SessionValidationLayer::new(sessions.clone()).on_reject(to_login));
    let token = sign_in(&sessions, "ahmed").await.access_token;
    assert_eq!(get(&app, "/", &[bearer(token)]).await.line(), "303 token_expired");
    assert_eq!(get(&app, "/", &[]).await.line(), "303 missing_token");
}
