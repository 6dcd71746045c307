//! A delivery that takes too long is dropped, at whatever it was just waiting for.

use axum_device_sessions::Notifier;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor, message::Message};
use tokio::net::TcpListener;

use super::{fails, notice, plain, server};
use crate::server::{Mishap, Server, soon};

/// Until the server has this line, and answers nothing.
async fn dropped_at(server: &Server, line: &'static str, delivering: impl Future) {
    server.mishap(Mishap::Late(line));
    tokio::select! {
        biased;
        _delivered = delivering => panic!("it should hang"),
        () = server.heard(line, 1) => {}
    }
}

/// What one takes first: a transport with a pool.
struct Naive(AsyncSmtpTransport<Tokio1Executor>);

impl Naive {
    fn new(server: &Server) -> Self {
        let url = format!("smtp://127.0.0.1:{}", server.port);
        Self(AsyncSmtpTransport::<Tokio1Executor>::from_url(&url).unwrap().build())
    }

    async fn deliver(&self) -> Result<(), lettre::transport::smtp::Error> {
        let mail = Message::builder().from("a@example.com".parse().unwrap()).to(super::TO.parse().unwrap());
        self.0.send(mail.body("hello".to_owned()).unwrap()).await.map(drop)
    }
}

/// Its tasks have done what there is to do.
async fn settled() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_connection_is_closed() {
    for line in ["EHLO", "MAIL", "RCPT", "DATA", "."] {
        let server = server().await;
        let mail = plain(&server);
        dropped_at(&server, line, mail.deliver(&notice())).await;
        server.all_closed().await;
        server.mishap(None);
        mail.deliver(&notice()).await.unwrap();
        assert_eq!(server.opened(), 2);
    }
    let server = server().await;
    let naive = Naive::new(&server);
    dropped_at(&server, "RCPT", naive.deliver()).await;
    settled().await;
    assert_eq!(server.open(), 1, "naively it is kept, in the middle of a conversation");
}

/// A late answer to one mail is no answer to the next.
#[tokio::test]
async fn nobody_elses_answer_is_taken() {
    let server = server().await;
    let mail = plain(&server);
    dropped_at(&server, ".", mail.deliver(&notice())).await;
    server.release();
    server.all_closed().await;
    server.says(".", "554 5.7.1 spam");
    assert_eq!(fails(&mail).await, "cannot be delivered: the mail server refused the mail: 554 (5.7.1)");

    let server = super::server().await;
    let naive = Naive::new(&server);
    dropped_at(&server, ".", naive.deliver()).await;
    settled().await;
    server.release();
    server.says(".", "554 5.7.1 spam");
    naive
        .deliver()
        .await
        .expect("naively the refused mail counts as delivered: it takes the answers to the one before");
    assert_eq!(server.opened(), 1);
}

/// Nothing else waits for it either: another delivery goes on by a connection of its own.
#[tokio::test]
async fn others_do_not_wait() {
    let server = server().await;
    let mail = plain(&server);
    mail.deliver(&notice()).await.unwrap();
    server.mishap(Mishap::Late("."));
    let first = notice();
    let mut hanging = std::pin::pin!(mail.deliver(&first));
    tokio::select! {
        _delivered = &mut hanging => panic!("it should hang"),
        () = server.heard(".", 2) => {}
    }
    server.mishap(None);
    mail.deliver(&notice()).await.unwrap();
    server.release();
    hanging.await.unwrap();
    assert_eq!(server.opened(), 2);
}

/// One that takes the connection and says nothing, not even a greeting or a word of TLS.
#[tokio::test]
async fn a_silent_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap();
    for url in [format!("smtp://{place}"), format!("smtp://{place}?tls=required"), format!("smtps://{place}")] {
        let (mail, notice) = (super::mail(&url), notice());
        let mut taken = tokio::select! {
            _delivered = mail.deliver(&notice) => panic!("it should hang"),
            taken = listener.accept() => taken.unwrap().0,
        };
        soon(tokio::io::copy(&mut taken, &mut tokio::io::sink())).await.expect("its end");
    }
}
