//! What the receiver answers, and what becomes of the event for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::Response,
};
use axum_device_sessions::Notifier;
use futures_util::stream;
use reqwest::Client;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use tokio::{sync::mpsc, time::timeout};

use super::{ended, endpoint::Endpoint, pause, refused, told, webhook};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// `src/notice/webhook/mod.rs` goes through all of them.
#[tokio::test]
async fn delivered_refused_or_to_be_tried_again() {
    for status in [200, 201, 202, 204] {
        webhook(&Endpoint::status(status).await.url).deliver(&ended()).await.unwrap();
    }
    for status in [400, 401, 403, 404, 408, 422, 429, 500, 502, 503, 504] {
        let failure = webhook(&Endpoint::status(status).await.url).deliver(&ended()).await.unwrap_err();
        assert_eq!(pause(&failure), None, "{status}: when is left to us");
        assert!(told(&failure).contains(&format!("answered with status {status}")), "{failure:?}");
    }
    let failure = webhook(&Endpoint::status(410).await.url).deliver(&ended()).await.unwrap_err();
    assert!(refused(&failure) && told(&failure).contains("wants no more"), "{failure:?}");
}

#[tokio::test]
async fn the_receivers_wish_is_passed_on() {
    for status in [301, 404, 429, 502, 503, 504] {
        let endpoint = Endpoint::with(status, &[("retry-after", "120")]).await;
        let failure = webhook(&endpoint.url).deliver(&ended()).await.unwrap_err();
        assert_eq!(pause(&failure), Some(120.0), "{status}");
    }
    let in_an_hour = || {
        let then = OffsetDateTime::now_utc() + time::Duration::HOUR;
        let date = then.format(&Rfc2822).unwrap().replace("+0000", "GMT");
        Response::builder().status(503).header("retry-after", date).body(Body::empty()).unwrap()
    };
    let failure = webhook(&Endpoint::answering(in_an_hour).await.url).deliver(&ended()).await.unwrap_err();
    // The fraction of the second is lost in writing; the rest is what it took to come here.
    let seconds = pause(&failure).unwrap();
    assert!((3_500.0..=3_600.0).contains(&seconds), "{seconds}");
    for past_or_nothing in ["0", "Fri, 31 Dec 1999 23:59:59 GMT", "soon", "-5", ""] {
        let answer = move || {
            let answer = Response::builder().status(503).header("retry-after", past_or_nothing);
            answer.body(Body::empty()).unwrap()
        };
        let failure = webhook(&Endpoint::answering(answer).await.url).deliver(&ended()).await.unwrap_err();
        assert_eq!(pause(&failure), None, "{past_or_nothing:?}");
    }
}

/// It would carry the event wherever an answer says.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Endpoint::content().await;
    for status in [301, 302, 303, 307, 308] {
        let location = elsewhere.url.clone();
        let redirecting = Endpoint::answering(move || {
            Response::builder().status(status).header("location", &location).body(Body::empty()).unwrap()
        })
        .await;
        let failure = webhook(&redirecting.url).deliver(&ended()).await.unwrap_err();
        assert_eq!((pause(&failure), redirecting.got().len()), (None, 1), "{status}: tried again later");
        assert!(told(&failure).contains("redirects are not followed: give the webhook its new URL"), "{failure:?}");
        assert!(!told(&failure).contains(&elsewhere.url), "{failure:?}");
        assert!(elsewhere.got().is_empty(), "{status}");

        // What one writes first: the library's own client, as it comes.
        Client::builder().no_proxy().build().unwrap().post(&redirecting.url).body("personal").send().await.unwrap();
        let naively = elsewhere.got.lock().unwrap().drain(..).map(|got| got.body).collect::<Vec<_>>();
        let expected = if status < 307 { "" } else { "personal" };
        assert_eq!(naively, [expected], "{status}: it goes there, from 307 on with all it has");
    }
}

/// Counts what is taken of it, and says when it is dropped.
struct Endless {
    chunks: Arc<AtomicUsize>,
    over: mpsc::UnboundedSender<()>,
}

impl Drop for Endless {
    fn drop(&mut self) {
        _ = self.over.send(());
    }
}

/// It is neither waited for nor kept, and no word of it gets into a log.
#[tokio::test]
async fn an_answer_without_end() {
    const CHUNK: &[u8] = &[b'x'; 16 * 1024];
    let (over, mut ends) = mpsc::unbounded_channel();
    let chunks = Arc::new(AtomicUsize::new(0));
    for status in [200, 500] {
        let (counting, over) = (Arc::clone(&chunks), over.clone());
        let endpoint = Endpoint::answering(move || {
            let endless = Endless { chunks: Arc::clone(&counting), over: over.clone() };
            let body = stream::unfold(endless, async |endless| {
                endless.chunks.fetch_add(1, Ordering::SeqCst);
                Some((Ok::<_, std::convert::Infallible>(Bytes::from_static(CHUNK)), endless))
            });
            Response::builder().status(status).body(Body::from_stream(body)).unwrap()
        })
        .await;
        let delivered = timeout(PATIENCE, webhook(&endpoint.url).deliver(&ended())).await.unwrap();
        assert_eq!(delivered.is_ok(), status == 200);
        timeout(PATIENCE, ends.recv()).await.unwrap().unwrap();

        // Naively it is read as long as it comes: here until it is more than fits between two sockets.
        let before = chunks.load(Ordering::SeqCst);
        let client = Client::builder().no_proxy().build().unwrap();
        let mut naively = client.post(&endpoint.url).send().await.unwrap();
        let mut read = 0;
        while read < 64 << 20 {
            read += naively.chunk().await.unwrap().unwrap().len();
        }
        assert!(chunks.load(Ordering::SeqCst) - before > 1_000);
        drop(naively);
        timeout(PATIENCE, ends.recv()).await.unwrap().unwrap();
    }
    let failing = || Response::builder().status(500).body(Body::from("at hunter2 in line 5")).unwrap();
    let failure = webhook(&Endpoint::answering(failing).await.url).deliver(&ended()).await.unwrap_err();
    assert!(!told(&failure).contains("hunter2"), "{}", told(&failure));
}
