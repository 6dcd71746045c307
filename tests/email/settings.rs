//! What cannot work is said at the start, with what to do.

use axum_device_sessions::{ConfigError, Email};

use super::FROM;

fn with(url: &str, from: &str) -> Result<Email, ConfigError> {
    Email::smtp(url, from, |_| async { Ok(None) })
}

#[tokio::test]
async fn urls() {
    for url in [
        "smtps://mail.example.com",
        "smtps://u:p@mail.example.com:4650/app.example.com",
        "smtps://u:p@[2001:db8::1]?tls=required",
        "smtp://mail.example.com?tls=required",
        "smtp://localhost",
        "smtp://LOCALHOST:2525",
        "smtp://127.1.2.3",
        "smtp://[::1]:25",
    ] {
        with(url, FROM).unwrap_or_else(|why| panic!("{url}: {why}"));
    }
    for (url, why) in [
        ("smtp://mail.example.com", "in plain text"),
        ("smtp://10.0.0.1:25", "in plain text"),
        ("smtp://localhost.example.com", "in plain text"),
        ("smtp://127.0.0.1.example.com", "in plain text"),
        ("smtp://u:p@mail.example.com?tls=opportunistic", "tls=required"),
        ("smtp://localhost?tls=none", "tls=required"),
        ("smtps://mail.example.com?starttls", "tls=required"),
        ("https://mail.example.com", "scheme"),
        ("mail.example.com:25", "host"),
        ("mail.example.com", "cannot be read"),
        ("smtps://", "host"),
        ("smtps://bücher.example", "host"),
        ("smtps://u:p@w@mail.example.com", ""),
        ("smtps://u:p/w@mail.example.com", "cannot be read"),
        ("smtps://u:1#2@mail.example.com", "`#`"),
        ("smtps://u@mail.example.com", "without a password"),
        ("smtps://:p@mail.example.com", "without a name"),
        ("smtps://u:%ff@mail.example.com", "UTF-8"),
        ("smtps://mail.example.com/a%20b", "EHLO"),
    ] {
        match with(url, FROM) {
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains(why) && text.contains("smtps://user:password@host"), "{url}: {text}");
                assert!(!text.contains("example.com"), "{url}: {text}");
            }
            // The last `@` counts: that is what was meant.
            Ok(_) => assert!(why.is_empty(), "{url} should be refused"),
        }
    }
}

#[tokio::test]
async fn senders() {
    for from in ["security@example.com", "Example <security@example.com>", "\"A, B\" <a@example.com>"] {
        with("smtp://localhost", from).unwrap();
    }
    for from in ["", "Example", "Example <security>", "a@example.com, b@example.com", "sécurité@example.com"] {
        let error = with("smtp://localhost", from).unwrap_err().to_string();
        assert!(error.starts_with("the mail's sender"), "{from}: {error}");
    }
}

#[tokio::test]
async fn root_certificates() {
    let secure = || with("smtps://mail.example.com", FROM).unwrap();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for pem in ["", "a file", "-----BEGIN PUBLIC KEY-----", "-----BEGIN CERTIFICATE-----", broken] {
        let error = secure().root_certificate_pem(pem).unwrap_err().to_string();
        assert!(error.contains("as PEM"), "{pem}: {error}");
    }
    let key = rcgen::generate_simple_self_signed(["mail.example.com".to_owned()]).unwrap();
    secure().root_certificate_pem(key.cert.pem()).unwrap();
    let error = with("smtp://localhost", FROM).unwrap().root_certificate_pem(key.cert.pem()).unwrap_err();
    assert!(error.to_string().contains("asks for no TLS"));
}

/// Nothing of it needs a runtime: it is made where the application reads its settings.
#[test]
fn without_a_runtime() {
    with("smtps://mail.example.com", FROM).unwrap();
}
