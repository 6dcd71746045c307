//! The page in a real browser: clicks, keys, and what happens by itself.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    middleware::{map_request, map_response},
    response::Response,
    routing::post,
};
use axum_device_sessions::{EndReason, EndTarget, SessionId, Sessions, UserId};
use http::{HeaderValue, header};
use tokio::net::TcpListener;

use super::{PAGE, chromium::Browser, http::in_memory, site, support::eventually, theme};

/// What browsers say that the policy has kept from running or loading.
type Reports = Arc<Mutex<Vec<String>>>;

/// A site on a port of its own, under the name by which a browser takes a `Secure` cookie over plain http.
pub(crate) struct Site {
    pub(crate) sessions: Sessions,
    pub(crate) home: String,
    reports: Reports,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::with(in_memory().await).await
    }

    pub(crate) async fn with(sessions: Sessions) -> Self {
        let app = site(&sessions, theme().logo("/logo.svg").unwrap());
        Self::serving(sessions, app).await
    }

    /// The policy, as it is, with an address to complain to.
    pub(crate) async fn serving(sessions: Sessions, app: Router) -> Self {
        async fn complained(State(reports): State<Reports>, report: String) {
            reports.lock().unwrap().push(report);
        }
        async fn reported(mut response: Response) -> Response {
            if let Some(policy) = response.headers().get(header::CONTENT_SECURITY_POLICY) {
                let policy = format!("{}; report-uri /reports", policy.to_str().unwrap());
                let policy = HeaderValue::try_from(policy).unwrap();
                response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
            }
            response
        }
        async fn logo() -> ([(header::HeaderName, &'static str); 1], &'static str) {
            let logo = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 28 28"><rect width="28" height="28" rx="8" fill="#2f5bd0"/><path d="M8 14.5l4 4 8-9" fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round" stroke-linejoin="round"/></svg>"##;
            ([(header::CONTENT_TYPE, "image/svg+xml")], logo)
        }
        // From somewhere in the world, as those who use it are.
        async fn from_afar(mut request: Request) -> Request {
            request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([203, 0, 113, 9], 40_000))));
            request
        }
        let reports = Reports::default();
        let more = Router::new().route("/reports", post(complained)).with_state(Arc::clone(&reports));
        let app = app
            .route("/logo.svg", axum::routing::get(logo))
            .layer(map_response(reported))
            .layer(map_request(from_afar))
            .merge(more);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let home = format!("http://localhost:{}{PAGE}", listener.local_addr().unwrap().port());
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { sessions, home, reports }
    }

    /// Through the form that the page sends to.
    pub(crate) async fn sign_in(&self, browser: &Browser, user: &str) {
        browser.go_to(&self.home).await;
        self.is_left(browser, "").await;
        browser.fill_in("#user", user).await;
        browser.click("#sign-in").await;
        browser.arrives_at(&self.home).await;
    }

    /// Sent to the form, for this reason.
    pub(crate) async fn is_left(&self, browser: &Browser, reason: &str) {
        let form = self.home.replace(PAGE, "/sign-in");
        browser.arrives_at(&format!("{form}?next={PAGE}&reason={reason}")).await;
    }

    pub(crate) async fn ids(&self, user: &str) -> Vec<SessionId> {
        let live = self.sessions.list(&UserId::from(user), None).await.unwrap();
        live.iter().map(|session| session.id).collect()
    }

    /// What there was to complain of; with the browser's own word, for what it does not report.
    pub(crate) async fn complaints(&self, browser: &Browser) -> Vec<String> {
        let mut all = self.reports.lock().unwrap().clone();
        all.extend(browser.complaints().await);
        all
    }
}

/// The whole way by forms alone.
#[tokio::test]
async fn without_scripts() {
    let site = Site::start().await;
    let [laptop, tablet] = [Browser::without_scripts().await, Browser::without_scripts().await];
    for browser in [&laptop, &tablet] {
        site.sign_in(browser, "<b>ahmed</b>").await;
    }
    laptop.go_to(&site.home).await;
    assert_eq!((laptop.count(".devices li").await, laptop.count(".current .end").await), (2, 0));

    laptop.click("li:not(.current) summary").await;
    laptop.fill_in("li:not(.current) input[name=name]", "Kitchen tablet").await;
    laptop.click("li:not(.current) .rename button").await;
    laptop.arrives_at(&format!("{}?done=renamed", site.home)).await;
    assert!(laptop.text_of("li:not(.current) h2").await.starts_with("Kitchen tablet"));
    assert_eq!(laptop.text_of("[role=status]").await, "The new name is saved.");

    laptop.click(".end button").await;
    laptop.arrives_at(&format!("{}?done=signed_out", site.home)).await;
    assert_eq!(laptop.count(".devices li").await, 1);
    tablet.go_to(&site.home).await;
    site.is_left(&tablet, "revoked_by_user").await;
    assert_eq!(tablet.text_of("#reason").await, "revoked_by_user");

    tablet.fill_in("#user", "<b>ahmed</b>").await;
    tablet.click("#sign-in").await;
    tablet.arrives_at(&site.home).await;
    laptop.go_to(&site.home).await;
    laptop.click("#others").await;
    laptop.has("the question", "#cancel", 1).await;
    laptop.click("#cancel").await;
    laptop.has("both still", ".devices li", 2).await;
    laptop.click("#others").await;
    laptop.has("the question", "#confirm", 1).await;
    laptop.click("#confirm").await;
    laptop.arrives_at(&format!("{}?done=others", site.home)).await;
    assert_eq!(laptop.count(".devices li").await, 1);

    laptop.click("#everywhere").await;
    laptop.has("the question", "#confirm", 1).await;
    laptop.click("#confirm").await;
    site.is_left(&laptop, "revoked_by_user").await;
    assert!(laptop.cookie("__Host-session").await.is_null());
    for browser in [laptop, tablet] {
        assert_eq!(site.complaints(&browser).await, Vec::<String>::new());
        browser.close().await;
    }
}

#[tokio::test]
async fn it_leaves_by_itself_when_its_session_is_ended_elsewhere() {
    let site = Site::start().await;
    let [laptop, tablet] = [Browser::open().await, Browser::open().await];
    for browser in [&laptop, &tablet] {
        site.sign_in(browser, "ahmed").await;
    }
    // It sees what is new when somebody comes back to it; not under their hands.
    assert_eq!(laptop.count(".devices li").await, 1);
    laptop.click(".rename summary").await;
    laptop.script("dispatchEvent(new Event('focus'))").await;
    laptop.click(".rename summary").await;
    laptop.script("document.querySelector('#everywhere').focus(); dispatchEvent(new Event('focus'))").await;
    laptop.has("the other device", ".devices li", 2).await;
    assert_eq!(laptop.script("return document.activeElement.id").await, "everywhere", "the focus stays where it was");

    laptop.click(".end button").await;
    laptop.has("the page without it", ".devices li", 1).await;
    site.is_left(&tablet, "revoked_by_user").await; // and nobody has touched it
    assert_eq!(laptop.text_of("[role=status]").await, "The device is signed out.");
    assert_eq!(laptop.url().await, site.home, "told once, not on each reload");

    // So does a question.
    laptop.click("#everywhere").await;
    laptop.has("the question", "#confirm", 1).await;
    let id = site.ids("ahmed").await[0];
    site.sessions.end(EndTarget::One { id, user: None }, EndReason::RevokedByAdmin, None).await.unwrap();
    site.is_left(&laptop, "revoked_by_admin").await;
    for browser in [laptop, tablet] {
        assert_eq!(site.complaints(&browser).await, Vec::<String>::new());
        browser.close().await;
    }
}

/// The control for both: what the policy keeps out is complained of.
#[tokio::test]
async fn what_the_policy_keeps_out_is_complained_of() {
    let sessions = in_memory().await;
    let inline = "<!doctype html><title>x</title><p style='color: red'>x</p><script>document.title = 'y'</script>";
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'";
    let page = move || async move { ([(header::CONTENT_SECURITY_POLICY, policy)], axum::response::Html(inline)) };
    let app = site(&sessions, theme()).route("/inline", axum::routing::get(page));
    let site = Site::serving(sessions, app).await;
    let browser = Browser::open().await;
    browser.go_to(&site.home.replace(PAGE, "/inline")).await;
    assert_eq!(browser.script("return document.title").await, "x");
    eventually("two reports", || async { site.reports.lock().unwrap().len() == 2 }).await;
    assert!(browser.complaints().await.iter().any(|line| line.contains("Content Security Policy")));
    browser.close().await;
}
