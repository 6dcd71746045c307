//! What the page of a user with 50 sessions costs the server, beside the JSON list of the same. `cargo bench --bench page
//! --features page,test-util`. In memory and without a network, alternating: what is measured is the writing, not the database.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

use std::time::{Duration, Instant};

use axum::{Router, body::Body, extract::FromRequestParts as _};
use axum_device_sessions::{
    Client, SessionValidationLayer, Sessions, SignIn,
    routes::{self, PageTheme},
};
use http::{Request, header};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

const SESSIONS: usize = 50;
const ROUNDS: usize = 2_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let sessions = Sessions::in_memory();
        let chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36";
        for _ in 1..SESSIONS {
            let client = Client::new(Some(chrome), Some([203, 0, 113, 7].into()));
            sessions.sign_in(SignIn::new("ahmed").client(client)).await.unwrap();
        }
        let (mut parts, ()) = Request::get("/").header("user-agent", chrome).body(()).unwrap().into_parts();
        let client = Client::from_request_parts(&mut parts, &()).await.unwrap();
        let here = sessions.sign_in(SignIn::new("ahmed").client(client)).await.unwrap();
        let bearer = format!("Bearer {}", here.access_token);
        let app = Router::new()
            .nest("/sessions", routes::sessions())
            .nest("/devices", routes::page(PageTheme::new("Example")))
            .layer(SessionValidationLayer::new(sessions));
        let ask = |path| {
            let request = Request::get(path).header(header::AUTHORIZATION, &bearer).body(Body::empty()).unwrap();
            let app = app.clone();
            async move {
                let asked = Instant::now();
                let answer = app.oneshot(request).await.unwrap();
                assert_eq!(answer.status(), 200);
                let length = answer.into_body().collect().await.unwrap().to_bytes().len();
                (asked.elapsed(), length)
            }
        };
        let (mut list, mut page, mut lengths) = (Vec::new(), Vec::new(), [0; 2]);
        for _ in 0..ROUNDS {
            let (took, length) = ask("/sessions").await;
            list.push(took);
            lengths[0] = length;
            let (took, length) = ask("/devices").await;
            page.push(took);
            lengths[1] = length;
        }
        println!("{SESSIONS} sessions, {ROUNDS} rounds, medians: JSON {:?}, {} bytes", median(list), lengths[0]);
        println!("page {:?}, {} bytes", median(page), lengths[1]);
    });
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
