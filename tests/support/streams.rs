//! A real server on a port of its own, and clients of its streams of events.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{future::Future, net::SocketAddr, time::Duration};

use axum::Router;
use axum_device_sessions::SignedIn;
use http::HeaderMap;
use reqwest::{Client, RequestBuilder, Response};
use tokio::{net::TcpListener, time::timeout};

/// When to come back, and a comment: at once, so that whoever is in between passes the head on.
const OPENING: &str = "retry: 3000\n: open\n\n";

/// Far longer than anything here takes, on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Serves for as long as the test runs, and says where.
pub(crate) async fn serve(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

pub(crate) fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

/// Waits, but not for ever.
pub(crate) async fn within_patience<T>(what: &str, doing: impl Future<Output = T>) -> T {
    timeout(PATIENCE, doing).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// A stream that is open.
pub(crate) struct Events {
    answer: Response,
    text: String,
}

impl Events {
    pub(crate) async fn of(base: &str, signed_in: &SignedIn) -> Self {
        Self::open(client().get(format!("{base}/sessions/events")).bearer_auth(&signed_in.access_token)).await
    }

    /// Returns when its first bytes have come.
    pub(crate) async fn open(request: RequestBuilder) -> Self {
        let answer = async {
            loop {
                let answer = request.try_clone().expect("it has no body").send().await.unwrap();
                // Some tests give a read so little time that a busy machine may be late with it.
                if answer.status() != 503 {
                    return answer;
                }
            }
        };
        let answer = within_patience("another answer than 503", answer).await;
        assert_eq!(answer.status(), 200);
        let mut this = Self { answer, text: String::new() };
        while !this.text.contains("\n\n") {
            assert!(this.more().await, "closed before it said anything");
        }
        assert_eq!(this.text, OPENING);
        this
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.answer.headers()
    }

    /// `false`: it has been ended as HTTP says, by the last chunk. A connection that breaks off is a panic.
    async fn more(&mut self) -> bool {
        let chunk = within_patience("a chunk", self.answer.chunk()).await.expect("a stream that ends cleanly");
        let Some(chunk) = chunk else { return false };
        self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        true
    }

    /// Whether nothing has come since, as far as this client has read.
    pub(crate) async fn is_silent(&mut self) -> bool {
        timeout(Duration::ZERO, self.answer.chunk()).await.is_err()
    }

    /// All that it says until it is over, without comments.
    pub(crate) async fn all_it_says(mut self) -> String {
        while self.more().await {}
        self.text.split_inclusive("\n\n").filter(|block| block.contains("event:")).collect()
    }

    /// It is told of the end, once and with this reason, and of nothing else; then it is over.
    pub(crate) async fn says(self, reason: &str) {
        assert_eq!(self.all_it_says().await, ended(reason));
    }
}

/// The event as it is sent.
pub(crate) fn ended(reason: &str) -> String {
    format!("event: ended\ndata: {{\"reason\":\"{reason}\"}}\n\n")
}
