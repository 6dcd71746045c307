//! The name of a device is the intruder's to choose, and it stands in a mail that people believe.

use axum_device_sessions::{Email, MailText, Notifier};

use super::{FROM, TO, fails, header, notice, only, parsed, plain, server};

#[tokio::test]
async fn names_of_devices_and_places() {
    let server = server().await;
    plain(&server).deliver(&notice()).await.unwrap();
    let tags = parsed(&only(&server).data).1[1].1.matches('<').count();
    for (name, shown) in [
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("\"><img src=x onerror='a()'>", "\"><img src=x onerror='a()'>"),
        ("x\r\nBcc: victim@example.net\r\n\r\nhello", "xBcc: victim@example[.]nethello"),
        ("https://evil.example/login", "https[:]//evil[.]example/login"),
        ("Sign in at www.evil.example", "Sign in at www[.]evil[.]example"),
        ("t.co/x", "t[.]co/x"),
        ("mail support@evil.рф", "mail support@evil[.]рф"),
        ("evil\u{3002}example \u{ff0e}com", "evil[.]example [.]com"),
        ("\u{202e}gpj.exe\u{2028}", "gpj[.]exe"),
        ("Opera 12.5 on Windows 8.1, Washington, D.C.", "Opera 12.5 on Windows 8.1, Washington, D.C."),
    ] {
        let server = super::server().await;
        let mut notice = notice();
        notice.event.device_name = name.to_owned();
        notice.event.location = Some(name.to_owned());
        plain(&server).deliver(&notice).await.unwrap();

        let arrived = only(&server);
        assert_eq!(arrived.to, [TO]);
        let (headers, parts) = parsed(&arrived.data);
        assert_eq!(headers.len(), 8, "{headers:?}");
        assert_eq!(header(&headers, "Subject"), "New sign-in to your account", "nothing of it gets into a header");
        let text = parts[0].1.replace("\r\n", "\n");
        assert!(text.contains(&format!("\nDevice: {shown}\nPlace: {shown} (203.0.113.7)\nTime: ")), "{text}");
        let escaped = |text: &str| {
            text.replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&quot;")
                .replace('\'', "&#39;")
        };
        let html = &parts[1].1;
        assert!(html.contains(&format!("<td>{}</td>", escaped(shown))), "{html}");
        assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
        // The rest of it is the same whoever signs in.
        assert_eq!(html.matches('<').count(), tags, "{html}");
    }

    // As one writes it first.
    let (markup, lines) = ("<script>alert(1)</script>", "x\r\nBcc: victim@example.net\r\n\r\nhello");
    assert!(format!("<td>{markup}</td>").contains("<script"));
    let naive = format!("From: a@example.com\r\nSubject: {lines} signed in\r\nTo: {TO}\r\n\r\nhello");
    assert_eq!(header(&parsed(naive.as_bytes()).0, "Bcc"), "victim@example.net", "naively it adds a recipient");
}

/// A name is not as long as the mail.
#[tokio::test]
async fn long_names() {
    let server = server().await;
    let mut notice = notice();
    notice.event.device_name = "a".repeat(100_000);
    plain(&server).deliver(&notice).await.unwrap();
    let (_, parts) = parsed(&only(&server).data);
    assert!(parts[0].1.contains(&format!("Device: {}\r\n", "a".repeat(100))));
}

/// What the application gives is not trusted to be one line, or to end where it ends, either.
#[tokio::test]
async fn templates() {
    let server = server().await;
    let text = "first\r\n.\r\nMAIL FROM:<eve@example.net>\n.\nRSET\r.\rlast";
    let mail = plain(&server).template(move |_| async move {
        let subject = format!("one\r\nBcc: eve@example.net\n\n{}", "long ".repeat(1000));
        Ok(MailText::new(subject, text).html(text))
    });
    mail.deliver(&notice()).await.unwrap();
    let arrived = only(&server);
    assert_eq!(arrived.to, [TO]);
    let (headers, parts) = parsed(&arrived.data);
    assert_eq!(headers.len(), 8, "{headers:?}");
    let subject = header(&headers, "Subject");
    assert!(subject.starts_with("one  Bcc: eve@example.net  long long") && subject.len() <= 200, "{subject}");
    for (_, part) in parts {
        let lines: Vec<_> = part.split(['\r', '\n']).filter(|line| !line.is_empty()).collect();
        assert_eq!(lines, ["first", ".", "MAIL FROM:<eve@example.net>", ".", "RSET", ".", "last"]);
    }
    let commands = server.commands();
    assert_eq!(commands.iter().filter(|line| line.starts_with("MAIL")).count(), 1, "{commands:?}");
    // RFC 5321 §2.3.8: a CR or LF alone ends a line for some servers, and not for others.
    let data = String::from_utf8(arrived.data).unwrap().replace("\r\n", "");
    assert!(!data.contains(['\r', '\n']));
}

#[tokio::test]
async fn addresses() {
    let server = server().await;
    let url = format!("smtp://127.0.0.1:{}", server.port);
    for address in [
        "lena@example.org\r\nRCPT TO:<eve@example.net>",
        "lena@example.org>\r\nRCPT TO:<eve@example.net",
        "lena@example.org, eve@example.net",
        "Lena <lena@example.org>",
        "lena@example.org> SIZE=1",
        "lena",
        "@example.org",
        "",
    ] {
        let mail = Email::smtp(&url, FROM, move |_| async move { Ok(Some(address.to_owned())) }).unwrap();
        let said = fails(&mail).await;
        assert_eq!(said, "cannot be delivered: what `address_of` has given for this user is no address of mail");
    }
    assert_eq!(server.opened(), 0);
    assert!(Email::smtp(&url, "a@example.com\r\nBcc: eve@example.net", |_| async { Ok(None) }).is_err());
}
