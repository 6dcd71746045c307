//! What a person gets.

use axum_device_sessions::{Email, PushTarget};
use axum_device_sessions::{EventKind, MailText, Message, NewLoginMail, Notice, Notifier, Wants};

use super::{FROM, LINK, TO, header, mail, notice, only, parsed, plain, server};

#[tokio::test]
async fn envelope_headers_and_both_parts() {
    let server = server().await;
    let (mail, notice) = (plain(&server).service_name("Example & Sons"), notice());
    assert_eq!(mail.wants(), Wants::mail());
    mail.deliver(&notice).await.unwrap();

    let arrived = only(&server);
    assert_eq!((arrived.from.as_str(), &arrived.to[..]), ("security@example.com", &[TO.to_owned()][..]));
    let (headers, parts) = parsed(&arrived.data);
    let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let all = ["From", "To", "Subject", "Message-ID", "Auto-Submitted", "MIME-Version", "Date", "Content-Type"];
    assert_eq!(names, all, "and no others");
    assert_eq!(header(&headers, "From"), "Exämple <security@example.com>");
    assert_eq!(header(&headers, "To"), TO);
    assert_eq!(header(&headers, "Subject"), "New sign-in to your Example & Sons account");
    assert_eq!(header(&headers, "Message-ID"), format!("<{}@example.com>", notice.event.id));
    assert_eq!(header(&headers, "Auto-Submitted"), "auto-generated");
    assert!(header(&headers, "Content-Type").starts_with("multipart/alternative;"));
    let sent = mailparse::dateparse(header(&headers, "Date")).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(now.abs_diff(u64::try_from(sent).unwrap()) < 60, "when it is sent, not when it happened");

    let [(first, text), (second, html)] = &parts[..] else { panic!("{parts:?}") };
    // RFC 2046 §5.1.4: the plainest first.
    assert_eq!((first.as_str(), second.as_str()), ("text/plain", "text/html"));
    let expected = format!(
        "There was a new sign-in to your Example & Sons account.\n\n\
         Device: Chrome on Windows\nPlace: Moscow, Russia (203.0.113.7)\nTime: 4 October 2024, 00:00 UTC\n\n\
         If this was you, there is nothing to do.\n\n\
         If it was not you, say so on this page, and that device is signed out:\n{LINK}\n"
    );
    assert_eq!(text.replace("\r\n", "\n").trim_end(), expected.trim_end());
    let escaped = LINK.replace('&', "&amp;");
    assert!(html.contains(&format!("<a href=\"{escaped}\">{escaped}</a>")), "{html}");
    for fact in [
        "your Example &amp; Sons account",
        "Chrome on Windows",
        "Moscow, Russia (203.0.113.7)",
        "4 October 2024, 00:00 UTC",
    ] {
        assert!(html.contains(fact), "{fact}: {html}");
    }
    // Nothing is loaded from anywhere, so nobody learns who has opened it.
    for remote in ["src=", "<link", "url(", "@import", "<script"] {
        assert!(!html.contains(remote), "{remote}");
    }
    assert_eq!(html.matches("http").count(), 2, "the link, and no other: {html}");
}

#[tokio::test]
async fn without_a_link_and_with_little_known() {
    let server = server().await;
    let mut notice = Notice::fake(EventKind::LoginNewDevice, Message::NewLoginMail { disown_url: None });
    notice.event.location = None;
    notice.event.ip_address = None;
    plain(&server).deliver(&notice).await.unwrap();
    let (headers, parts) = parsed(&only(&server).data);
    assert_eq!(header(&headers, "Subject"), "New sign-in to your account");
    for (_, part) in parts {
        assert!(part.contains("change your password and sign out that device"), "{part}");
        assert!(!part.contains("Place") && !part.contains("http"), "{part}");
    }
}

/// So that whoever gets it twice can tell.
#[tokio::test]
async fn a_second_attempt_is_the_same_mail() {
    let server = server().await;
    let (mail, notice) = (plain(&server), notice());
    for _ in 0..2 {
        mail.deliver(&notice).await.unwrap();
    }
    mail.deliver(&super::notice()).await.unwrap();
    let ids: Vec<_> =
        server.arrived().iter().map(|mail| header(&parsed(&mail.data).0, "Message-ID").to_owned()).collect();
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2], "another event is another mail");
}

#[tokio::test]
async fn a_template_of_the_applications_own() {
    let server = server().await;
    let german = |mail: NewLoginMail| async move {
        if mail.to != TO {
            return Ok(mail.english());
        }
        let (device, place, link) =
            (mail.device(), mail.place().unwrap(), mail.disown_url.as_deref().unwrap().to_owned());
        let service = mail.service_name.unwrap();
        let words = MailText::new(
            format!("Neue Anmeldung für {service}"),
            format!("Gerät: {device}, Ort: {place}, {}. Nicht du? {link}", mail.event.user_id),
        );
        Ok(if mail.event.kind == EventKind::LoginSuspicious { words.html("<p>Grüße</p>") } else { words })
    };
    let with = plain(&server).service_name("Beispiel").template(german);
    let mut notice = notice();
    with.deliver(&notice).await.unwrap();
    let (headers, parts) = parsed(&only(&server).data);
    assert_eq!(header(&headers, "Subject"), "Neue Anmeldung für Beispiel");
    let expected = format!("Gerät: Chrome on Windows, Ort: Moscow, Russia (203.0.113.7), ahmed. Nicht du? {LINK}");
    let [(kind, text)] = &parts[..] else { panic!("in plain text alone: {parts:?}") };
    assert_eq!((kind.as_str(), text.trim_end()), ("text/plain", expected.as_str()));

    notice.event.kind = EventKind::LoginSuspicious;
    with.deliver(&notice).await.unwrap();
    let (_, parts) = parsed(&server.arrived()[1].data);
    assert_eq!(parts[1].1.trim_end(), "<p>Grüße</p>");

    // It goes to its own event's user, whoever that is, and falls back.
    let url = format!("smtp://127.0.0.1:{}", server.port);
    let by_user = Email::smtp(&url, FROM, |user| async move { Ok(Some(format!("{user}@example.net"))) }).unwrap();
    by_user.template(german).deliver(&notice).await.unwrap();
    let third = &server.arrived()[2];
    assert_eq!(third.to, ["ahmed@example.net"]);
    assert_eq!(header(&parsed(&third.data).0, "Subject"), "New sign-in to your account");
}

#[tokio::test]
async fn who_gets_none() {
    let server = server().await;
    let url = format!("smtp://127.0.0.1:{}", server.port);
    let nobody = Email::smtp(&url, FROM, |_| async { Ok(None) }).unwrap();
    nobody.deliver(&notice()).await.unwrap();

    let away = Email::smtp(&url, FROM, |_| async { Err("the users' database is away".into()) }).unwrap();
    assert_eq!(super::fails(&away).await, "not delivered: the users' database is away");
    let wordless = mail(&url).template(|_| async { Err("no such language".into()) });
    assert_eq!(super::fails(&wordless).await, "not delivered: no such language");

    let target = PushTarget::new("fcm", "t");
    for message in [Message::Event, Message::NewLogin { target: target.clone() }, Message::ForceLogout { target }] {
        let error = mail(&url).deliver(&Notice::fake(EventKind::SessionEnded, message)).await.unwrap_err();
        assert_eq!(super::told(&error), "cannot be delivered: this is no message to be sent by mail");
    }
    assert_eq!(server.opened(), 0);
}

/// Domains beyond ASCII as they are in the DNS.
#[tokio::test]
async fn international_domains() {
    let server = server().await;
    let url = format!("smtp://127.0.0.1:{}", server.port);
    let to = |address: &'static str| {
        Email::smtp(&url, "a@bücher.example", move |_| async move { Ok(Some(address.to_owned())) })
    };
    to(" lena@müller.example ").unwrap().deliver(&notice()).await.unwrap();
    let arrived = only(&server);
    assert_eq!(arrived.from, "a@xn--bcher-kva.example");
    assert_eq!(arrived.to, ["lena@xn--mller-kva.example"]);
    assert!(arrived.data.is_ascii());
    let said = super::fails(&to("lená@example.org").unwrap()).await;
    assert!(said.starts_with("cannot be delivered") && !said.contains("len"), "{said}");
}
