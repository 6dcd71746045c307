//! Encrypted or not at all, and nothing told of what is secret.

use std::sync::{Arc, Mutex};

use axum_device_sessions::{Email, Notifier};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Tokio1Executor,
    message::Message,
    transport::smtp::{
        AsyncSmtpTransportBuilder as Builder, Error,
        client::{Certificate, Tls as NaiveTls, TlsParameters},
    },
};

use super::{LINK, TO, fails, mail, notice, only, server};
use crate::server::{Encryption, Mishap, PASSWORD, Server, USER};

const ENCODED: &str = "p%40ss%2Fw%3Ard%231";

fn by(tls: Encryption, server: &Server) -> Email {
    let url = match tls {
        Encryption::Implicit => format!("smtps://{USER}:{ENCODED}@localhost:{}/app.example.com", server.port),
        _ => format!("smtp://{USER}:{ENCODED}@127.0.0.1:{}?tls=required", server.port),
    };
    mail(&url)
}

#[tokio::test]
async fn with_tls_name_and_password() {
    for (tls, name) in [(Encryption::Implicit, "app.example.com"), (Encryption::StartTls, "[127.0.0.1]")] {
        let server = Server::start(tls).await;
        let said = fails(&by(tls, &server)).await;
        assert!(
            said.starts_with("not delivered") && said.contains("UnknownIssuer"),
            "of an authority that nobody knows: {said}"
        );
        let mail = by(tls, &server).root_certificate_pem(&server.root).unwrap();
        for _ in 0..2 {
            mail.deliver(&notice()).await.unwrap();
        }
        let arrived = server.arrived();
        assert_eq!((arrived.len(), arrived[0].encrypted, &arrived[0].to[..]), (2, true, &[TO.to_owned()][..]));
        let commands = server.commands();
        assert_eq!(
            commands.iter().filter(|line| **line == format!("EHLO {name}")).count(),
            commands.iter().filter(|line| line.starts_with("EHLO")).count(),
            "{commands:?}"
        );
        assert_eq!(commands.iter().filter(|line| line.starts_with("AUTH")).count(), 1, "signed in once for both");

        // Another server, with a certificate of another authority for the same name.
        let stranger = Server::start(tls).await;
        let said = fails(&by(tls, &stranger).root_certificate_pem(&server.root).unwrap()).await;
        assert!(said.starts_with("not delivered"), "{said}");
        assert!(!stranger.commands().iter().any(|line| line.starts_with("AUTH") || line.starts_with("MAIL")));
    }
}

/// The certificate must be for the very name in the URL.
#[tokio::test]
async fn for_another_name() {
    for tls in [Encryption::Implicit, Encryption::StartTls] {
        let server = Server::named(&["mail.example.com"], tls).await;
        let said = fails(&by(tls, &server).root_certificate_pem(&server.root).unwrap()).await;
        assert!(said.starts_with("not delivered") && said.contains("not valid for name"), "{said}");
        assert!(!server.commands().iter().any(|line| line.starts_with("AUTH") || line.starts_with("MAIL")));
    }
}

/// Whoever stands in between can take the offer of STARTTLS out of the server's words.
#[tokio::test]
async fn no_tls_no_mail() {
    let server = server().await;
    let url = format!("smtp://127.0.0.1:{}", server.port);
    let said = fails(&mail(&format!("{url}?tls=required"))).await;
    assert_eq!(said, "not delivered: the mail server offers no STARTTLS: nothing was sent");
    let commands = server.commands();
    assert!(commands.iter().all(|line| line.starts_with("EHLO") || line == "QUIT"), "{commands:?}");

    naive(&format!("{url}?tls=opportunistic"), |transport| transport).await.unwrap();
    let arrived = only(&server);
    let in_the_clear = String::from_utf8(arrived.data).unwrap().contains(LINK);
    assert!(in_the_clear && !arrived.encrypted, "naively the link is there for all to read");
}

/// Before TLS anybody can have said it.
#[tokio::test]
async fn what_was_said_before_tls() {
    let server = Server::start(Encryption::StartTls).await;
    let forged = "250-mail.example.com\r\n250 AUTH PLAIN\r\n235 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n";
    server.mishap(Mishap::Adds("STARTTLS", forged));
    let mail = by(Encryption::StartTls, &server).root_certificate_pem(&server.root).unwrap();
    let said = fails(&mail).await;
    assert!(said.starts_with("not delivered: no TLS with the mail server"), "{said}");
    server.mishap(None);
    mail.deliver(&notice()).await.unwrap();

    server.mishap(Mishap::Adds("STARTTLS", forged));
    let root = Certificate::from_pem(server.root.as_bytes()).unwrap();
    let tls = TlsParameters::builder("127.0.0.1".to_owned()).add_root_certificate(root).build().unwrap();
    let url = format!("smtp://{USER}:s3cret-guess@127.0.0.1:{}?tls=required", server.port);
    naive(&url, |transport| transport.tls(NaiveTls::Required(tls))).await.expect("naively it is delivered");
    assert_eq!(server.arrived().len(), 1, "though the server does not even accept the password");
}

/// Neither by what we say ourselves, nor by what a server makes us repeat.
#[tokio::test]
async fn secrets_are_not_told() {
    let mut told = Vec::new();
    let (implicit, plain) = (Server::start(Encryption::Implicit).await, server().await);
    let encrypted = by(Encryption::Implicit, &implicit).root_certificate_pem(&implicit.root).unwrap();
    told.push(format!("{encrypted:?}"));
    let seen = Arc::new(Mutex::new(String::new()));
    let by_template = Arc::clone(&seen);
    let wordy = super::plain(&plain).template(move |mail| {
        *by_template.lock().unwrap() = format!("{mail:?} {:?}", mail.english());
        async { Err("enough".into()) }
    });
    told.push(fails(&wordy).await);
    told.push(seen.lock().unwrap().clone());
    assert!(told[2].contains("NewLoginMail") && told[2].contains("MailText"), "{told:?}");
    for answer in
        [format!("535 5.7.8 {USER} has not {PASSWORD}"), format!("454 4.7.0 {PASSWORD} later"), format!("{PASSWORD}\n")]
    {
        implicit.says("AUTH", &answer);
        let said = fails(&encrypted).await;
        assert!(said.starts_with("not delivered: the mail server did not accept name and password: "), "{said}");
        told.push(said);
    }
    implicit.mishap(None);
    let wrong = format!("smtps://{USER}:s3cret-guess@localhost:{}", implicit.port);
    let wrong = mail(&wrong).root_certificate_pem(&implicit.root).unwrap();
    told.push(fails(&wrong).await);
    assert!(told.last().unwrap().ends_with("name and password: 535"), "{told:?}");

    let clear = super::plain(&plain);
    for line in ["MAIL", "RCPT", "DATA", "."] {
        for code in ["450 4.2.0", "550 5.1.1", "junk"] {
            plain.says(line, &format!("{code} <{TO}>: {LINK} {TO}"));
            told.push(fails(&clear).await);
        }
        plain.says(line, &format!("550 {TO} is not known"));
        told.push(fails(&clear).await);
    }
    for url in
        ["smtps://mailer:s3cret-guess@", "smtp://mailer:s3cret-guess@mail.example.com", "smtps://mailer:s3cret/guess@h"]
    {
        let error = Email::smtp(url, super::FROM, |_| async { Ok(None) }).unwrap_err();
        told.push(format!("{error} {error:?}"));
    }
    let plain_auth = STANDARD.encode(format!("\0{USER}\0{PASSWORD}"));
    for secret in
        [PASSWORD, ENCODED, "s3cret", &plain_auth, &STANDARD.encode(PASSWORD), TO, "lena", LINK, "s3cret-t0ken"]
    {
        for said in &told {
            assert!(!said.contains(secret), "{secret}: {said}");
        }
    }

    // What one logs first.
    plain.says("RCPT", &format!("550 5.1.1 <{TO}>: no such user"));
    let error = naive(&format!("smtp://127.0.0.1:{}", plain.port), |transport| transport).await.unwrap_err();
    assert!(error.to_string().contains(TO), "naively the address is in the log: {error}");
}

/// What one takes first: lettre as it comes.
async fn naive(url: &str, set: impl FnOnce(Builder) -> Builder) -> Result<(), Error> {
    let transport = set(AsyncSmtpTransport::<Tokio1Executor>::from_url(url).unwrap()).build::<Tokio1Executor>();
    let message = Message::builder().from("a@example.com".parse().unwrap()).to(TO.parse().unwrap());
    transport.send(message.body(LINK.to_owned()).unwrap()).await.map(drop)
}
