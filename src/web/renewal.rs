//! A session cookie that is old enough to be made anew, on the answer to a request that carried it.

use axum_core::response::Response;
use http::{HeaderMap, HeaderValue, header};

use super::{
    cookie,
    extract::Judgement,
    layer::{Shared, Who},
};
use crate::sessions::{CurrentSession, Sessions, Verdict};

/// What the answer to this request may have to do besides.
pub(super) struct Renewal {
    sessions: Sessions,
    current: CurrentSession,
}

impl Renewal {
    /// Allocates only for a cookie that is due. Of several layers the inner one sees to it, and the others find it done.
    #[allow(clippy::infallible_destructuring_match, reason = "there is a second variant with `test-util`")]
    pub(super) fn of(shared: &Shared, judgement: &Judgement) -> Option<Box<Self>> {
        let Verdict::Live(current) = &judgement.verdict else { return None };
        if !judgement.arrival.by_cookie {
            return None;
        }
        let sessions = match &shared.who {
            Who::Sessions(sessions) => sessions,
            #[cfg(any(test, feature = "test-util"))]
            Who::Fake(_) => return None,
        };
        if !sessions.is_old(current) {
            return None;
        }
        Some(Box::new(Self { sessions: sessions.clone(), current: current.clone() }))
    }

    /// Whether this answer can take it: now that its head is there. What the handler itself says of the cookie stands, and
    /// nobody's credential gets into an answer that a shared cache is meant to keep; another one will come.
    pub(super) fn is_for(&self, response: &Response) -> bool {
        let headers = response.headers();
        !cookie::is_set_by(headers) && !says(headers, &["public", "s-maxage"]) && self.sessions.may_renew(&self.current)
    }

    /// The answer with the new cookie; as it was, where there is none.
    pub(super) async fn put_into(self: Box<Self>, mut response: Response) -> Response {
        if let Some(renewed) = self.sessions.renew(&self.current).await {
            let headers = response.headers_mut();
            cookie::set(headers, &renewed);
            if !says(headers, &["private", "no-store"]) {
                headers.append(header::CACHE_CONTROL, HeaderValue::from_static("private"));
            }
        }
        response
    }
}

/// Whether `Cache-Control` has one of these (RFC 9111 §5.2).
fn says(headers: &HeaderMap, directives: &[&str]) -> bool {
    let lines = headers.get_all(header::CACHE_CONTROL).iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).any(|one| {
        let name = one.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        directives.iter().any(|directive| name.eq_ignore_ascii_case(directive.as_bytes()))
    })
}
