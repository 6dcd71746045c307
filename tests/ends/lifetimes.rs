//! How long sessions and tokens last, by a clock that the test moves.

use std::time::Duration;

use axum::Router;
use axum_device_sessions::{Clock, MemoryStore, SessionStore, SessionValidationLayer, Sessions, SessionsBuilder};

use crate::http::{ACCESS, Token, app, bearer, get, on, sign_in};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);
const DAY: i64 = 24 * 60 * 60;

/// An application in which a test moves the time, of the node and of the store as one.
struct Timed {
    clock: Clock,
    sessions: Sessions,
    app: Router,
}

impl Timed {
    async fn new(set: impl FnOnce(SessionsBuilder) -> SessionsBuilder) -> Self {
        let clock = Clock::manual();
        Self::on(MemoryStore::with_clock(clock.clone()), clock, set).await
    }

    async fn on(store: impl SessionStore, clock: Clock, set: impl FnOnce(SessionsBuilder) -> SessionsBuilder) -> Self {
        let sessions = set(on(store).clock(clock.clone())).build().await.expect("agrees");
        let app = app().layer(SessionValidationLayer::new(sessions.clone()));
        Self { clock, sessions, app }
    }

    /// Signs in, with a token that is good for a year: what ends is the session.
    async fn sign_in(&self) -> String {
        let signed_in = sign_in(&self.sessions, "ahmed").await;
        Token { expires_in: 365 * DAY, ..ACCESS }.of(signed_in.session.id)
    }

    async fn me(&self, token: &str) -> String {
        get(&self.app, "/me", &[bearer(token)]).await.line()
    }
}

#[tokio::test]
async fn idle_sessions_expire() {
    let set = |b: SessionsBuilder| b.idle_timeout(1_000 * SECOND).activity_interval(10 * SECOND);
    let timed = Timed::new(set).await;
    // Two intervals longer: another node may hold requests that it has not written yet.
    let idle = 1_020 * SECOND;
    let (used, unused, written) = (timed.sign_in().await, timed.sign_in().await, timed.sign_in().await);
    timed.clock.advance(idle - MILLI);
    assert_eq!(timed.me(&used).await, "200 ahmed");
    assert_eq!(timed.me(&written).await, "200 ahmed");
    timed.sessions.flush_activity().await.unwrap();
    timed.clock.advance(MILLI);
    assert_eq!(timed.me(&unused).await, "401 session_ended idle");
    timed.clock.advance(idle - 2 * MILLI);
    assert_eq!(timed.me(&used).await, "200 ahmed", "each request starts it anew");
    timed.clock.advance(MILLI);
    assert_eq!(timed.me(&written).await, "401 session_ended idle");
    timed.clock.advance(idle - 2 * MILLI);
    assert_eq!(timed.me(&used).await, "200 ahmed");
    timed.clock.advance(idle);
    assert_eq!(timed.me(&used).await, "401 session_ended idle");
    assert_eq!(timed.me(&used).await, "401 session_ended idle", "being refused is no activity");
    assert_eq!(timed.sessions.list(&"ahmed".into(), None).await.unwrap(), [], "nor is any of them listed");
}

#[tokio::test]
async fn sessions_expire_however_busy_they_are() {
    let timed = Timed::new(|b| b.absolute_lifetime(3_600 * SECOND).idle_timeout(1_000 * SECOND)).await;
    let token = timed.sign_in().await;
    for _ in 0..6 {
        timed.clock.advance(599 * SECOND);
        assert_eq!(timed.me(&token).await, "200 ahmed");
    }
    timed.clock.advance(6 * SECOND - MILLI);
    assert_eq!(timed.me(&token).await, "200 ahmed");
    timed.clock.advance(MILLI);
    assert_eq!(timed.me(&token).await, "401 session_ended absolute");
    assert_eq!(timed.sessions.list(&"ahmed".into(), None).await.unwrap(), []);
}

/// The token goes, the session stays: refresh, do not sign in again.
#[tokio::test]
async fn access_tokens_expire() {
    let timed = Timed::new(|b| b.access_token_ttl(60 * SECOND)).await;
    let signed_in = sign_in(&timed.sessions, "ahmed").await;
    assert!(signed_in.expires_in <= 60 * SECOND && signed_in.expires_in >= 57 * SECOND);
    assert_eq!(timed.me(&signed_in.access_token).await, "200 ahmed");
    timed.clock.advance(signed_in.expires_in);
    assert_eq!(timed.me(&signed_in.access_token).await, "200 ahmed", "as long as the client was told");
    // Whole seconds, and two of leeway.
    timed.clock.advance(3 * SECOND);
    assert_eq!(timed.me(&signed_in.access_token).await, "401 token_expired");
    assert_eq!(timed.sessions.list(&"ahmed".into(), None).await.unwrap().len(), 1);
    assert_eq!(timed.me(&ACCESS.of(signed_in.session.id)).await, "200 ahmed");
}

#[tokio::test]
async fn an_access_token_lives_no_longer_than_its_session() {
    let timed = Timed::new(|b| b.access_token_ttl(3_600 * SECOND).absolute_lifetime(60 * SECOND)).await;
    assert!(sign_in(&timed.sessions, "ahmed").await.expires_in <= 60 * SECOND);
}

/// An operator or NTP sets the clock of one node; the database keeps its own. Neither what is in memory nor what is read
/// again after the step is over for it, and new sessions are as good as any.
#[tokio::test]
async fn a_step_of_the_wall_clock_signs_nobody_out() {
    for step in [DAY, -DAY] {
        let database = Clock::manual();
        let node = Clock::manual();
        let set =
            |b: SessionsBuilder| b.idle_timeout(3_600 * SECOND).absolute_lifetime(7_200 * SECOND).max_age(60 * SECOND);
        let timed = Timed::on(MemoryStore::with_clock(database.clone()), node.clone(), set).await;
        let pass = |span| {
            database.advance(span);
            node.advance(span);
        };
        let before = sign_in(&timed.sessions, "ahmed").await.access_token;
        assert_eq!(timed.me(&before).await, "200 ahmed");
        node.step_wall(step);
        assert_eq!(timed.me(&before).await, "200 ahmed", "from memory, {step}");
        pass(120 * SECOND);
        assert_eq!(timed.me(&before).await, "200 ahmed", "read again, {step}");
        let after = sign_in(&timed.sessions, "ahmed").await.access_token;
        assert_eq!(timed.me(&after).await, "200 ahmed", "signed in after it, {step}");
        assert_eq!(timed.sessions.list(&"ahmed".into(), None).await.unwrap().len(), 2);
        // And it makes nothing last longer.
        pass(1_000 * SECOND);
        assert_eq!(timed.me(&before).await, "401 token_expired", "{step}");
        pass(3_600 * SECOND);
        assert_eq!(timed.sessions.list(&"ahmed".into(), None).await.unwrap(), [], "{step}");
    }
}
