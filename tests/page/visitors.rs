//! Who comes without a live session, or with too old a one, or from another site; and what a visitor sees while the
//! database is away.

use std::time::{Duration, Instant};

use axum::Router;
use axum_device_sessions::{
    Client, Clock, MemoryStore, PostgresStore, SessionValidationLayer, Sessions, SignIn,
    routes::{self, PageTheme},
};

use super::{
    LAPTOP, PAGE, PHONE,
    gate::Gate,
    http::{COOKIE, LONG_AGO, Token, bearer, in_memory, on},
    jar::{Jar, names},
    site,
    support::{TestDb, eventually},
    theme,
};

#[tokio::test]
async fn who_is_not_signed_in_is_sent_to_sign_in() {
    let sessions = in_memory().await;
    let app = site(&sessions, theme());
    let mut nobody = Jar::new(&app, LAPTOP);
    let expired = Token { expires_in: LONG_AGO, ..COOKIE }.of("0199f0a0-0000-7000-8000-000000000000");
    let unknown = COOKIE.of("0199f0a0-0000-7000-8000-000000000000");
    for cookie in [None, Some("nonsense"), Some(&*expired), Some(&*unknown)] {
        nobody.cookies = cookie.map(|token| ("__Host-session".to_owned(), token.to_owned())).into_iter().collect();
        // What the visitor adds to the path is not handed on.
        let answer = nobody.get(&format!("{PAGE}?next=//evil.example&done=others")).await;
        assert_eq!(nobody.led(&answer), "/sign-in?next=/account/devices&reason=", "{cookie:?}");
        for path in ["rename", "sign-out", "sign-out-others", "sign-out-everywhere", "log-out"] {
            let answer = nobody.post(&format!("{PAGE}/{path}"), &[("confirmed", "yes")]).await;
            assert_eq!(nobody.led(&answer), "/sign-in?next=/account/devices&reason=", "{path}");
            // It may be an older answer than that of a new sign-in: it must not take that one's cookie.
            assert!(!answer.headers.contains_key("set-cookie"));
        }
    }
    let mut program = Jar::new(&app, "curl/8").with(bearer("nonsense").0, &bearer("nonsense").1);
    let answer = program.get(PAGE).await;
    assert_eq!(program.led(&answer), "/sign-in?next=/account/devices&reason=");
}

#[tokio::test]
async fn without_a_sign_in_form_a_page_says_so() {
    let sessions = in_memory().await;
    let mut nobody = Jar::new(&site(&sessions, PageTheme::new("Example")), LAPTOP);
    let answer = nobody.get(PAGE).await;
    assert_eq!(answer.status, 401);
    assert!(answer.text().contains("<h1>You are signed out</h1>"), "{}", answer.text());
    let mut laptop = nobody.sign_in("ahmed").await;
    let answer = laptop.post(&format!("{PAGE}/log-out"), &[]).await;
    assert!(answer.status == 401 && !laptop.cookies.contains_key("__Host-session"));
}

#[tokio::test]
async fn a_second_factor_that_is_still_to_come_is_asked_for() {
    async fn half(
        axum::extract::State(sessions): axum::extract::State<Sessions>,
        client: Client,
    ) -> Result<axum_device_sessions::SignedIn, axum_device_sessions::Error> {
        sessions.sign_in(SignIn::new("ahmed").client(client).cookie().second_factor_to_come()).await
    }
    let sessions = in_memory().await;
    let more = Router::new().route("/half", axum::routing::post(half)).with_state(sessions.clone());
    let mut jar = Jar::new(&site(&sessions, theme()).merge(more), LAPTOP);
    assert_eq!(jar.post("/half", &[]).await.status, 200);
    let answer = jar.get(PAGE).await;
    assert_eq!(jar.led(&answer), "/sign-in?next=/account/devices&reason=");
}

#[tokio::test]
async fn ending_takes_a_fresh_sign_in_where_that_is_wanted() {
    let clock = Clock::manual();
    let store = MemoryStore::with_clock(clock.clone());
    let minute = Duration::from_secs(60);
    let sessions = on(store).clock(clock.clone()).require_fresh(5 * minute).build().await.unwrap();
    let plain = site(&sessions, theme());
    let proving = site(&sessions, theme().reauthenticate_url("/prove?to={page}").unwrap());
    let mut laptop = Jar::new(&plain, LAPTOP).sign_in("ahmed").await;
    let mut again = Jar::new(&proving, LAPTOP);
    let _phone = Jar::new(&plain, PHONE).sign_in("ahmed").await;
    let id = laptop.id_of(PAGE, "Safari on iPhone").await;
    clock.advance(6 * minute);
    again.cookies.clone_from(&laptop.cookies);
    for path in ["sign-out", "sign-out-others", "sign-out-everywhere"] {
        for form in [&[("id", &*id)][..], &[("confirmed", "yes")]] {
            let answer = laptop.post(&format!("{PAGE}/{path}"), form).await;
            assert_eq!(answer.status, 403, "{path}");
            assert!(answer.text().contains("<h1>Is it you?</h1>") && answer.text().contains("href=\"/sign-in?next="));
            let answer = again.post(&format!("{PAGE}/{path}"), form).await;
            assert_eq!(again.led(&answer), "/prove?to=/account/devices");
        }
    }
    assert_eq!(names(&laptop.get(PAGE).await).len(), 2, "nothing has ended");
    let answer = laptop.post(&format!("{PAGE}/rename"), &[("id", &id), ("name", "Mine")]).await;
    assert_eq!(laptop.led(&answer), format!("{PAGE}?done=renamed"), "a name is no such matter");
    let mut laptop = laptop.sign_in("ahmed").await;
    let answer = laptop.post(&format!("{PAGE}/sign-out"), &[("id", &id)]).await;
    assert_eq!(laptop.led(&answer), format!("{PAGE}?done=signed_out"));
}

/// With the control: the same form of the page's own is carried out.
#[tokio::test]
async fn another_site_s_form_is_refused_in_words() {
    let sessions = in_memory().await;
    let app = site(&sessions, theme());
    let laptop = Jar::new(&app, LAPTOP).sign_in("ahmed").await;
    let _phone = Jar::new(&app, PHONE).sign_in("ahmed").await;
    let mut forged = Jar::new(&app, LAPTOP).with("sec-fetch-site", "cross-site").with("origin", "https://evil.example");
    forged.cookies.clone_from(&laptop.cookies);
    for path in ["rename", "sign-out", "sign-out-others", "sign-out-everywhere", "log-out"] {
        let answer = forged.post(&format!("{PAGE}/{path}"), &[("confirmed", "yes")]).await;
        assert_eq!(answer.status, 403, "{path}");
        assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
        assert!(answer.text().contains("<html lang=\"en\">") && answer.text().contains("<h1>This was not done</h1>"));
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert!(answer.headers["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
        assert!(!answer.headers.contains_key("set-cookie"));
    }
    let mut russian = forged.with("accept-language", "ru");
    let answer = russian.post(&format!("{PAGE}/log-out"), &[]).await;
    assert!(answer.text().contains("<html lang=\"ru\">") && answer.text().contains("<h1>Действие не выполнено</h1>"));
    // A script reads JSON.
    let mut script = russian;
    for accept in ["*/*", "application/json, text/html;q=0.5, */*;q=0.1", "text/html, application/problem+json"] {
        script = script.with("accept", accept);
        assert_eq!(script.post(&format!("{PAGE}/log-out"), &[]).await.line(), "403 cross_site_request", "{accept}");
    }
    let mut own = script.with("sec-fetch-site", "same-origin").with("origin", "https://app.example");
    assert_eq!(names(&own.get(PAGE).await).len(), 2, "all of it was refused");
    let answer = own.post(&format!("{PAGE}/sign-out-others"), &[("confirmed", "yes")]).await;
    assert_eq!(own.led(&answer), format!("{PAGE}?done=others"));
}

#[tokio::test]
async fn while_the_database_is_away_everybody_stays_signed_in() {
    let db = TestDb::new().await;
    let gate = Gate::to(db.url()).await;
    let store = PostgresStore::connect(&gate.url(db.url())).await.unwrap();
    store.migrate().await.unwrap();
    let sessions = on(store).outage_grace(Duration::from_secs(600)).build().await.unwrap();
    let app = site(&sessions, theme());
    let mut laptop = Jar::new(&app, LAPTOP).sign_in("ahmed").await;
    let id = laptop.id_of(PAGE, "Chrome on Windows").await;
    let cookies = laptop.cookies.clone();
    gate.shut();
    for (path, form) in [
        ("", None),
        ("/rename", Some([("id", &*id), ("name", "x")])),
        ("/sign-out", Some([("id", "0199f0a0-0000-7000-8000-000000000000"), ("name", "")])),
        ("/sign-out-others", Some([("confirmed", "yes"), ("name", "")])),
        ("/sign-out-everywhere", Some([("confirmed", "yes"), ("name", "")])),
        ("/log-out", Some([("name", ""), ("id", "")])),
    ] {
        let asked = Instant::now();
        let path = format!("{PAGE}{path}");
        let answer = match form {
            None => laptop.get(&path).await,
            Some(form) => laptop.post(&path, &form).await,
        };
        println!("{path}: {} after {:?}", answer.status, asked.elapsed());
        assert_eq!((answer.status.as_u16(), &answer.headers["retry-after"]), (503, &"2".parse().unwrap()), "{path}");
        assert!(answer.text().contains("<h1>Not available just now</h1>") && answer.text().contains("Try again"));
        assert!(asked.elapsed() < Duration::from_secs(4));
    }
    assert_eq!(laptop.cookies, cookies, "the cookie stays");
    gate.open();
    eventually("it is back", async || {
        let mut jar = Jar::new(&app, LAPTOP);
        jar.cookies.clone_from(&cookies);
        jar.get(PAGE).await.status == 200
    })
    .await;
}

/// Nothing in memory either: nobody is known to be signed in, or not to be.
#[tokio::test]
async fn a_session_that_cannot_be_checked_is_not_sent_to_sign_in() {
    let db = TestDb::new().await;
    let gate = Gate::to(db.url()).await;
    let store = PostgresStore::connect(&gate.url(db.url())).await.unwrap();
    store.migrate().await.unwrap();
    let sessions = on(store).build().await.unwrap();
    gate.shut();
    let mut jar = Jar::new(&site(&sessions, theme()), LAPTOP);
    let token = COOKIE.of("0199f0a0-0000-7000-8000-000000000000");
    jar.cookies.insert("__Host-session".to_owned(), token);
    let answer = jar.get(PAGE).await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("You are still signed in"));
}

/// A mistake in the setup is for whoever made it.
#[tokio::test]
async fn without_the_layer_the_page_says_what_is_missing() {
    let app = Router::new().nest(PAGE, routes::page(theme()));
    let answer = Jar::new(&app, LAPTOP).get(PAGE).await;
    assert_eq!(answer.line(), "500 internal_error");
    let app = app.layer(SessionValidationLayer::fake("ahmed"));
    assert_eq!(Jar::new(&app, LAPTOP).get(PAGE).await.line(), "500 internal_error", "a fake has no store");
}
