//! What the answers of a server come to (RFC 5321 §4.2.1), and what is told of them.

use std::time::Duration;

use axum_device_sessions::Notifier;

use super::{TO, fails, notice, only, plain, server};
use crate::server::Mishap;

#[tokio::test]
async fn passing_and_lasting_refusals() {
    let server = server().await;
    let mail = plain(&server);
    for (command, answer, expected) in [
        ("MAIL", "451 4.3.0 later", "not delivered: the mail server did not take the sender: 451 (4.3.0)"),
        ("RCPT", "450 4.2.0 greylisted", "not delivered: the mail server did not take the recipient: 450 (4.2.0)"),
        (
            "RCPT",
            "550 5.1.1 nobody of that name",
            "cannot be delivered: the mail server refused the recipient: 550 (5.1.1)",
        ),
        ("RCPT", "550 no words with numbers", "cannot be delivered: the mail server refused the recipient: 550"),
        ("DATA", "421 4.7.0 busy", "not delivered: the mail server did not take DATA: 421 (4.7.0)"),
        (".", "452 4.3.1 full", "not delivered: the mail server did not take the mail: 452 (4.3.1)"),
        (".", "554 5.7.1 spam", "cannot be delivered: the mail server refused the mail: 554 (5.7.1)"),
        // Who we are is put right in the settings; the mails are for keeping until then.
        ("MAIL", "530 5.7.0 who are you?", "not delivered: the mail server did not take the sender: 530 (5.7.0)"),
        // No leave to go on, though no refusal either.
        ("DATA", "250 fine", "not delivered: the mail server answered DATA with 250"),
        (".", "354 go on", "not delivered: the mail server answered the mail with 354"),
        (
            "RCPT",
            "what?",
            "not delivered: the mail server did not take the recipient: its answer was broken off, or is not SMTP",
        ),
    ] {
        server.says(command, answer);
        assert_eq!(fails(&mail).await, expected, "{command}: {answer}");
    }
    assert_eq!(server.arrived().len(), 0);
    server.mishap(None);
    mail.deliver(&notice()).await.unwrap();
    assert_eq!(only(&server).to, [TO]);
    assert_eq!(server.opened(), 12, "after a refusal a new connection");
}

#[tokio::test]
async fn a_server_that_goes_away() {
    let server = server().await;
    let mail = plain(&server);
    // The greeting, within the mail, and at its end: nobody can know whether it was taken.
    for at in ["EHLO", "MAIL", "Subject:", "."] {
        server.mishap(Mishap::HangsUp(at));
        let said = fails(&mail).await;
        assert!(said.starts_with("not delivered: the mail server"), "{at}: {said}");
    }
    server.mishap(None);
    mail.deliver(&notice()).await.unwrap();
    assert_eq!(server.arrived().len(), 1);

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let said = fails(&super::mail(&format!("smtp://127.0.0.1:{nobody}"))).await;
    assert!(said.starts_with("not delivered: the mail server cannot be reached: "), "{said}");
}

/// Connections are kept for the next mail, as long as they live.
#[tokio::test]
async fn connections_are_used_again() {
    let server = server().await;
    let mail = plain(&server);
    for _ in 0..3 {
        mail.deliver(&notice()).await.unwrap();
    }
    assert_eq!((server.opened(), server.open()), (1, 1));
    server.hang_up().await;
    mail.deliver(&notice()).await.unwrap();
    assert_eq!((server.opened(), server.open()), (2, 1), "the next mail does not suffer for it");

    // At once, and no more are kept than a few.
    let many: Vec<_> = (0..8).map(|_| notice()).collect();
    let sending = many.iter().map(|notice| mail.deliver(notice));
    for sent in futures_util::future::join_all(sending).await {
        sent.unwrap();
    }
    assert_eq!((server.opened(), server.arrived().len()), (9, 12));
    server.are_open(4).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    mail.deliver(&notice()).await.unwrap();
    assert_eq!(server.opened(), 10, "and not for long");
    server.are_open(1).await;
    drop(mail);
    server.all_closed().await;
}
