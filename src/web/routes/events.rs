//! Telling a page that its session is over: server-sent events (WHATWG HTML §9.2).

use std::{convert::Infallible, future::ready, time::Duration};

use axum::response::sse::{Event, KeepAlive, Sse};
use axum_core::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde::Serialize;

use super::handlers::Handle;
use crate::{session::EndReason, sessions::CurrentSession};

/// The data of the event `ended`.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = SessionOver))]
pub(super) struct Over {
    reason: EndReason,
}

/// One event at most: `ended`, with the reason. Then, or when the service shuts down, the stream is over.
pub(super) async fn events(current: CurrentSession, handle: Handle) -> Response {
    let (ended, closing) = (current.ended(), handle.sessions.closing());
    let over = async move {
        tokio::select! {
            // In this order: who is told why need not come back to ask.
            biased;
            reason = ended => Event::default().event("ended").json_data(Over { reason }).ok(),
            () = closing => None,
        }
    };
    // At once, so that the page knows that the stream is open, and when to come back should it break off.
    let first = stream::iter([Event::default().retry(COME_BACK).comment("open")]);
    let last = stream::once(over).filter_map(ready);
    let events = first.chain(last).map(Ok::<_, Infallible>);
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response();
    // Proxies of nginx's kind would keep it until a buffer is full.
    response.headers_mut().insert("x-accel-buffering", http::HeaderValue::from_static("no"));
    response
}

/// Below the idle timeout of the proxies in use (nginx and AWS have 60 s, some mobile networks 30 s).
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Soon, and not all at once with the first request of the next page.
const COME_BACK: Duration = Duration::from_secs(3);
