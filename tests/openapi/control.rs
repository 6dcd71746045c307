//! The checker itself.

use axum::http::{Method, StatusCode};
use serde_json::Value;

use super::{
    answers::of,
    http::Answer,
    world::{Ask, World, whole},
};

/// What is not as the document says is found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_differs_is_found() {
    let world = World::new().await;
    let ahmed = world.sign_in("ahmed").await;
    let good = || async {
        let ask = Ask { path: "/sessions/current", sent: of(&ahmed), ..Ask::default() };
        whole(world.open(&Method::GET, ask).await).await
    };
    let refused = || async {
        let ask = Ask { path: "/sessions/current", ..Ask::default() };
        whole(world.open(&Method::GET, ask).await).await
    };
    let found = |answer: &Answer| world.checker.check("GET", "/sessions/current", answer).unwrap_err();
    let with = |answer: Answer, key: &str, value: Value| {
        let mut body = answer.json();
        body[key] = value;
        Answer { body: body.to_string().into_bytes(), ..answer }
    };
    assert!(world.checker.check("GET", "/sessions/current", &good().await).is_ok(), "the control of the control");
    assert!(found(&Answer { status: StatusCode::IM_A_TEAPOT, ..good().await }).contains("418"));
    assert!(found(&with(good().await, "token", "secret".into())).contains("token"));
    assert!(found(&with(good().await, "createdAt", "yesterday".into())).contains("date-time"));
    let mut session = good().await.json();
    session.as_object_mut().unwrap().remove("formFactor");
    assert!(found(&Answer { body: session.to_string().into_bytes(), ..good().await }).contains("formFactor"));
    assert!(found(&with(refused().await, "code", "made_up".into())).contains("made_up"));
    let mut without = refused().await;
    without.headers.remove("www-authenticate");
    assert!(found(&without).contains("WWW-Authenticate"));
    let mut kept = good().await;
    kept.headers.insert("cache-control", "public".parse().unwrap());
    assert!(found(&kept).contains("Cache-Control"));
    let mut set = good().await;
    set.headers.insert("set-cookie", "a=b".parse().unwrap());
    assert!(found(&set).contains("set-cookie"));
}
