//! Mail about sign-ins, by real SMTP: what arrives, what the server's answers come to, what nobody gets to see.

#![allow(clippy::unwrap_used, reason = "a test")]
#![cfg(all(feature = "email", feature = "test-util"))]

mod answers;
mod arrives;
mod cut_off;
mod hostile;
mod secure;
mod server;
mod settings;
mod wire;

use std::error::Error as _;

use axum_device_sessions::{Email, EventKind, Message, NotDelivered, Notice, Notifier};
use server::{Arrived, Encryption, Server};

const FROM: &str = "Exämple <security@example.com>";
const TO: &str = "lena@example.org";
const LINK: &str = "https://app.example.com/disown?token=s3cret-t0ken&lang=en";

/// To Lena, by this URL.
fn mail(url: &str) -> Email {
    Email::smtp(url, FROM, |_| async { Ok(Some(TO.to_owned())) }).unwrap()
}

fn plain(server: &Server) -> Email {
    mail(&format!("smtp://127.0.0.1:{}", server.port))
}

fn notice() -> Notice {
    Notice::fake(EventKind::LoginNewDevice, Message::NewLoginMail { disown_url: Some(LINK.to_owned()) })
}

/// With its causes.
fn told(error: &NotDelivered) -> String {
    format!("{error}: {}", error.source().unwrap())
}

async fn fails(mail: &Email) -> String {
    let error = mail.deliver(&notice()).await.unwrap_err();
    assert!(
        format!("{error:?}").contains(&format!("{:?}", error.source().unwrap().to_string())),
        "for both of them are looked at"
    );
    told(&error)
}

/// The one mail that has arrived.
fn only(server: &Server) -> Arrived {
    let [mail] = &server.arrived()[..] else { panic!("{} mails", server.arrived().len()) };
    mail.clone()
}

type Pairs = Vec<(String, String)>;

/// Its headers in order, and its parts by their type.
fn parsed(data: &[u8]) -> (Pairs, Pairs) {
    let mail = mailparse::parse_mail(data).unwrap();
    let headers = mail.headers.iter().map(|header| (header.get_key(), header.get_value())).collect();
    let body = |part: &mailparse::ParsedMail<'_>| (part.ctype.mimetype.clone(), part.get_body().unwrap());
    let parts = if mail.subparts.is_empty() { vec![body(&mail)] } else { mail.subparts.iter().map(body).collect() };
    (headers, parts)
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> &'a str {
    let mut found = headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
    let (_, value) = found.next().unwrap_or_else(|| panic!("no {name}"));
    assert!(found.next().is_none(), "{name} twice");
    value
}

async fn server() -> Server {
    Server::start(Encryption::None).await
}
