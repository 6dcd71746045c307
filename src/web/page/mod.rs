//! The page of a user's devices: HTML forms, and what they do.
//!
//! [`theme`] is what the application says, [`strings`] are the words. A request becomes a [`visit::Visit`] (how to answer)
//! and a [`visit::Visitor`] (whose session); [`actions`] does what is asked; [`views`] are the templates.

mod actions;
mod address;
mod assets;
mod colour;
mod plural;
mod strings;
mod theme;
mod times;
mod views;
mod visit;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    middleware::map_response_with_state,
    routing::{MethodRouter, get, post},
};
use axum_core::response::Response;
use http::{HeaderMap, HeaderValue, Uri, header};

use self::{assets::Asset, strings::Strings};
pub use self::{strings::PageStrings, theme::PageTheme};

/// What all requests to one mounted page share.
pub(super) struct Page {
    name: String,
    logo: Option<String>,
    links: Vec<(String, String)>,
    login: Option<address::Address>,
    reauthenticate: Option<address::Address>,
    /// Those that are offered; at least one.
    strings: Vec<Arc<Strings>>,
    css: Asset,
    js: Asset,
    policy: HeaderValue,
}

/// `events`: the stream by which the page is told that its session is over.
pub(super) fn router<S: Clone + Send + Sync + 'static>(theme: PageTheme, events: MethodRouter<Arc<Page>>) -> Router<S> {
    let page = Arc::new(Page::new(theme));
    Router::new()
        .route("/", get(actions::list))
        .route("/rename", post(actions::rename).get(actions::home))
        .route("/sign-out", post(actions::sign_out).get(actions::home))
        .route("/sign-out-others", post(actions::sign_out_others).get(actions::ask_others))
        .route("/sign-out-everywhere", post(actions::sign_out_everywhere).get(actions::ask_everywhere))
        .route("/log-out", post(actions::log_out).get(actions::home))
        .route("/events", events)
        .route("/page.css", get(css))
        .route("/page.js", get(js))
        .layer(DefaultBodyLimit::max(super::routes::BODY))
        .layer(map_response_with_state(Arc::clone(&page), guarded))
        .with_state(page)
}

impl Page {
    fn new(theme: PageTheme) -> Self {
        let (css, policy) = (theme.css(), theme.policy());
        let PageTheme { name, logo, links, login, reauthenticate, mut strings, language, .. } = theme;
        if let Some(fixed) = language {
            strings.retain(|strings| strings.language() == fixed);
        }
        Self {
            name,
            logo,
            links,
            login,
            reauthenticate,
            strings: strings.iter().map(PageStrings::shared).collect(),
            css,
            js: Asset::new("text/javascript; charset=utf-8", include_str!("page.js").to_owned()),
            // Addresses have been looked through: there is nothing in it that a header cannot have.
            policy: HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'")),
        }
    }
}

async fn css(State(page): State<Arc<Page>>, uri: Uri, headers: HeaderMap) -> Response {
    page.css.answer(&uri, &headers)
}

async fn js(State(page): State<Arc<Page>>, uri: Uri, headers: HeaderMap) -> Response {
    page.js.answer(&uri, &headers)
}

/// On every answer, also those that axum makes by itself (405).
async fn guarded(State(page): State<Arc<Page>>, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, page.policy.clone());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Not `no-referrer`: with that, browsers send the forms with `Origin: null`, as another site's would be.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    // What has an `ETag` says itself how long it is to be kept.
    if !headers.contains_key(header::ETAG) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}
