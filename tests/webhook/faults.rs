//! Receivers that are away, that go away, and that never answer.

use std::{env, future::Future, time::Duration};

use axum_device_sessions::Notifier;
use reqwest::Client;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::oneshot,
    time::timeout,
};

use super::{ended, endpoint::Endpoint, pause, told, webhook};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

const GOOD: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks/unguessable-4711", listener.local_addr().unwrap());
    (listener, url)
}

/// The next connection, when the whole of a request has come by it.
async fn asked(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let mut request = Vec::new();
    // Bodies here end with this, and have it nowhere else.
    while !request.ends_with(b"}}") {
        assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "closed too soon");
    }
    stream
}

/// Lets it run until the receiver has the request, and then gives it up, as the worker does after its timeout.
async fn give_up(delivery: impl Future, listener: &TcpListener) -> TcpStream {
    tokio::select! {
        _ = delivery => panic!("nobody has answered"),
        stream = asked(listener) => stream,
    }
}

#[tokio::test]
async fn one_that_hangs_is_let_go() {
    let (listener, url) = listener().await;
    let webhook = webhook(&url);
    let notice = ended();
    let mut given_up = give_up(webhook.deliver(&notice), &listener).await;
    let read = timeout(PATIENCE, given_up.read(&mut [0; 16])).await.expect("its connection is closed");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");

    // The next attempt has a connection of its own, and nothing of the last one.
    let answering = async { asked(&listener).await.write_all(GOOD).await };
    let (delivered, answered) =
        timeout(PATIENCE, async { tokio::join!(webhook.deliver(&notice), answering) }).await.unwrap();
    delivered.unwrap();
    answered.unwrap();

    // What one writes first: a task for it, so that nobody waits. Given up, it goes on; here until it is answered.
    let (done, naively) = oneshot::channel();
    let task = tokio::spawn(async move {
        let client = Client::builder().no_proxy().build().unwrap();
        _ = done.send(client.post(url).body("{{}}").send().await.unwrap().status());
    });
    let mut open = give_up(task, &listener).await;
    open.write_all(GOOD).await.unwrap();
    assert_eq!(timeout(PATIENCE, naively).await.unwrap().unwrap(), 204, "it was given up and goes on");
}

#[tokio::test]
async fn one_that_is_away_or_goes_away() {
    let (listener, url) = listener().await;
    let webhook = webhook(&url);
    let notice = ended();
    // In the middle of its answer, too.
    for answer in [&b""[..], b"HTTP/1.1 200 O", b"no HTTP at all\r\n\r\n"] {
        let closing = async { asked(&listener).await.write_all(answer).await };
        let (delivered, answered) = tokio::join!(webhook.deliver(&notice), closing);
        answered.unwrap();
        let failure = delivered.unwrap_err();
        assert_eq!(pause(&failure), None, "to be tried again");
        assert!(!told(&failure).contains("unguessable"), "{}", told(&failure));
    }
    drop(listener);
    let failure = webhook.deliver(&notice).await.unwrap_err();
    assert_eq!(pause(&failure), None, "to be tried again");
    assert!(!told(&failure).contains("unguessable"), "{}", told(&failure));

    let naively = Client::builder().no_proxy().build().unwrap().post(&url).send().await.unwrap_err();
    assert!(told(&naively).contains("unguessable"), "the library's error has the URL: {}", told(&naively));
}

/// By `http` it would read all of it. The environment is a process's own, so this test is run again in another one.
#[tokio::test]
async fn a_proxy_is_not_on_the_way_to_this_machine() {
    const INSIDE: &str = "TEST_WEBHOOK_TO";
    if let Ok(url) = env::var(INSIDE) {
        webhook(&url).deliver(&ended()).await.unwrap();
        Client::new().post(url).body("naively").send().await.unwrap();
        return;
    }
    let (endpoint, proxy) = (Endpoint::content().await, Endpoint::content().await);
    let mut again = Command::new(env::current_exe().unwrap());
    again.args(["--exact", "faults::a_proxy_is_not_on_the_way_to_this_machine"]).kill_on_drop(true);
    for (name, value) in [("HTTP_PROXY", &proxy.url), ("http_proxy", &proxy.url), (INSIDE, &endpoint.url)] {
        again.env(name, value);
    }
    for name in ["NO_PROXY", "no_proxy", "REQUEST_METHOD"] {
        again.env_remove(name);
    }
    let ran = timeout(PATIENCE, again.output()).await.unwrap().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
    assert!(endpoint.one().headers.contains_key("webhook-id"));
    assert_eq!(&proxy.one().body[..], b"naively");
}
