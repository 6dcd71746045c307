//! What the page's script does, and when it had better not.

use std::sync::{Arc, Mutex};

use axum::{
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use axum_device_sessions::{EndReason, EndTarget, SignIn, routes::PageTheme};
use http::header;
use serde_json::json;

use super::{PAGE, chromium::Browser, clicks::Site, http::in_memory, site, support::eventually};

/// Says when the list that it asks for has been looked through, and put in its place or not.
const LOOKS_AGAIN: &str = "const parse = DOMParser.prototype.parseFromString;
    await new Promise((done) => {
        DOMParser.prototype.parseFromString = function (...all) { setTimeout(done); return parse.apply(this, all) };
        dispatchEvent(new Event('focus'));
    })";

/// A window gets the focus by the very click that is meant for a button: a list put in place between pressing and letting go
/// would take the button away.
#[tokio::test]
async fn nothing_is_replaced_under_somebody_s_hands() {
    let site = Site::start().await;
    let browser = Browser::open().await;
    let another = async || site.sessions.sign_in(SignIn::new("ahmed")).await.unwrap();
    another().await;
    site.sign_in(&browser, "ahmed").await;
    assert_eq!(browser.count(".devices li").await, 2);

    another().await;
    browser.click(".rename summary").await;
    browser.fill_in(".rename[open] input[name=name]", "half a na").await;
    browser.script(LOOKS_AGAIN).await;
    assert_eq!(browser.script("return document.querySelector('.rename[open] [name=name]').value").await, "half a na");
    assert_eq!(browser.count(".devices li").await, 2);
    browser.click(".rename summary").await;

    let middle = "const box = document.querySelector('.end button').getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2]";
    let at = browser.script(middle).await;
    let mouse = async |what: &str| {
        let event = json!({ "type": what, "x": at[0], "y": at[1], "button": "left", "clickCount": 1 });
        browser.devtools("Input.dispatchMouseEvent", event).await;
    };
    mouse("mousePressed").await;
    browser.script(LOOKS_AGAIN).await;
    assert_eq!(browser.count(".devices li").await, 2);
    mouse("mouseReleased").await;
    eventually("it was a click", || async { browser.count("[role=status]").await == 1 }).await;
    assert_eq!(browser.text_of("[role=status]").await, "The device is signed out.");
    assert_eq!(browser.count(".devices li").await, 2, "one less, and the other new one");

    // The control: with nobody's hands on it, the list is put in its place.
    another().await;
    browser.script(LOOKS_AGAIN).await;
    assert_eq!(browser.count(".devices li").await, 3);
    browser.close().await;
}

/// Where no stream gets through, the page asks for itself what has become of its session: not as a user's activity, which
/// would keep it alive for as long as the window is open. And where there is nowhere to sign in, it says so.
#[tokio::test]
async fn without_streams_and_without_a_sign_in_form_it_does_not_go_on_as_if_nothing_were() {
    type Asked = Arc<Mutex<Vec<String>>>;
    async fn overheard(State(asked): State<Asked>, request: Request, next: Next) -> Response {
        if request.uri().path().ends_with("/events") {
            return http::StatusCode::BAD_GATEWAY.into_response();
        }
        if request.uri().path() == PAGE {
            let accept = request.headers().get(header::ACCEPT).map(|accept| accept.to_str().unwrap());
            asked.lock().unwrap().push(accept.unwrap_or_default().to_owned());
        }
        next.run(request).await
    }
    let (sessions, asked) = (in_memory().await, Asked::default());
    let app = site(&sessions, PageTheme::new("Example"));
    let app = app.layer(from_fn_with_state(Arc::clone(&asked), overheard));
    let site = Site::serving(sessions, app).await;
    let browser = Browser::open().await;
    browser.go_to(&site.home.replace(PAGE, "/sign-in")).await;
    browser.fill_in("#user", "ahmed").await;
    browser.click("#sign-in").await;
    browser.arrives_at(&site.home).await;
    // Not the second that it asks: a browser may give it the focus before, and then it looks too.
    let by_itself = || async { asked.lock().unwrap().iter().any(|accept| accept == "text/event-stream") };
    eventually("it asks by itself", by_itself).await;

    let id = site.ids("ahmed").await[0];
    site.sessions.end(EndTarget::One { id, user: None }, EndReason::RevokedByAdmin, None).await.unwrap();
    browser.script("dispatchEvent(new Event('focus'))").await;
    browser.has("a page that says so", ".card h1", 1).await;
    assert_eq!(browser.text_of(".card h1").await, "You are signed out");
    browser.close().await;
}
