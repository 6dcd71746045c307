//! The page: for whoever has the mail, whatever their mail program makes of it.

use axum::http::{Method, header};

use super::{
    get,
    http::{Answer, ask},
    notified::World,
    post,
};

fn check_headers(answer: &Answer) {
    let policy = "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        assert_eq!(answer.header(&name), Some(value), "{name}");
    }
    let text = answer.text();
    for foreign in ["<script", "http:", "https:", " src=", " href=", "url(", "@import", "<style", " style="] {
        assert!(!text.contains(foreign), "{foreign} in {text}");
    }
    assert!(answer.headers.get(header::SET_COOKIE).is_none());
}

/// Names of devices come from whoever signs in: out of its User-Agent, or as its owner calls it.
#[tokio::test]
async fn it_says_what_was_told_and_loads_and_runs_nothing() {
    let world = World::on_postgres(|builder| builder).await;
    let (_laptop, link) = world.somebody_signs_in("ahmed").await;
    let name = r#"</dd><script>alert("1")</script>'&"#;
    let told = "UPDATE device_sessions.alerts SET details = jsonb_set(details, '{deviceName}', to_jsonb($1::text)), \
                created_at = '2026-10-04 08:05:59Z'";
    world.sql().unwrap().execute(told, &[&name]).await.unwrap();
    let page = get(&world.apps[1], &link).await;
    check_headers(&page);
    let escaped = "<dd>&lt;/dd&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&#39;&amp;</dd>";
    assert!(page.text().contains(escaped), "{}", page.text());
    assert!(page.text().contains("<dd>Moscow, Russia, 203.0.113.7</dd>"));
    assert!(page.text().contains("<dd>4 October 2026, 08:05 UTC</dd>"));
    assert!(page.text().contains("<form method=\"post\"><button>"), "a form, and no script");
}

#[tokio::test]
async fn each_of_its_answers() {
    for world in World::both().await {
        let (_laptop, link) = world.somebody_signs_in("ahmed").await;
        for answer in [
            get(&world.apps[0], &link).await,
            get(&world.apps[0], "none").await,
            post(&world.apps[0], "none").await,
            post(&world.apps[0], &link).await,
            post(&world.apps[0], &link).await,
            get(&world.apps[0], &link).await,
        ] {
            check_headers(&answer);
        }
        let other = Method::PUT;
        assert_eq!(ask(&world.apps[0], other, &format!("/alerts/{link}"), &[]).await.status, 405);
        let head = ask(&world.apps[0], Method::HEAD, &format!("/alerts/{link}"), &[]).await;
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    }
}

/// Some send `Origin: null` with the form (Fetch, "append a request `Origin` header"); a mail program's own view sends what it
/// likes. Nobody needs to be signed in here, and whoever is, as somebody else, is left alone.
#[tokio::test]
async fn the_form_works_from_anywhere_and_for_anybody() {
    for world in World::both().await {
        for (user, origin, site) in [
            ("ahmed", "null", "same-origin"),
            ("lena", "null", "cross-site"),
            ("mia", "https://mail.example.com", "cross-site"),
        ] {
            let (_laptop, link) = world.somebody_signs_in(user).await;
            let bystander = world.on("sam", "tablet").await;
            let sent = [
                ("origin", origin.to_owned()),
                ("sec-fetch-site", site.to_owned()),
                ("content-type", "application/x-www-form-urlencoded".to_owned()),
                ("cookie", "__Host-session=garbage".to_owned()),
            ];
            let uri = format!("/alerts/{link}");
            assert_eq!(ask(&world.apps[1], Method::POST, &uri, &sent).await.status, 200, "{user}");
            assert_eq!(world.asks(0, Method::GET, "/me", &bystander).await.line(), "200 sam");
        }
    }
}
