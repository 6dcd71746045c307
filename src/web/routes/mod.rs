//! Routes to mount under any prefix, in an application of any state. They find their [`Sessions`](crate::Sessions) in
//! the [`SessionValidationLayer`](crate::SessionValidationLayer) around them.
//!
//! | route | answer | else |
//! |---|---|---|
//! | `GET /sessions` | 200, the user's devices, newest activity first | |
//! | `GET /sessions/current` | 200, the session that asks | |
//! | `DELETE /sessions/{id}` | 204, also if it had ended before | 404 unknown or another user's; 409 `current_session` |
//! | `DELETE /sessions/others` | 200 `{"revoked": n}` | |
//! | `DELETE /sessions` | 200 `{"revoked": n}`, this one too | |
//! | `POST /auth/logout` | 204; takes a live access token, or one that has expired but is right otherwise | 401 without one; 401 `session_ended` if it had ended |
//!
//! All of them answer 401 without a live session and 503 while the database cannot be asked; errors are
//! `application/problem+json` (RFC 9457) with a stable `code`; nothing may be cached.

mod handlers;

use axum::{
    Router, middleware,
    routing::{delete, get, post},
};

/// The user's own sessions: list them, sign them out. Nest it: `.nest("/sessions", routes::sessions())`.
pub fn sessions<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(handlers::list).delete(handlers::end_all))
        .route("/current", get(handlers::current))
        .route("/others", delete(handlers::end_others))
        .route("/{id}", delete(handlers::end_one))
        .layer(middleware::map_response(handlers::no_store))
}

/// Logout. Nest it: `.nest("/auth", routes::auth())`. It judges its own credential: an access token that has expired,
/// but is otherwise right, still signs its session out.
pub fn auth<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/logout", post(handlers::logout)).layer(middleware::map_response(handlers::no_store))
}
