//! Sessions on one of the stores, whose time can pass: for what both promise of signing in.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{net::IpAddr, time::Duration};

use axum_device_sessions::{
    Client, Clock, EndOutcome, EndReason, EndTarget, Location, MemoryStore, PostgresStore, Session, SessionId,
    SessionStore, Sessions, SessionsBuilder, SignIn, Signal, SignedIn, store::Retention,
};

use super::{http::on, support::TestDb};

/// Sessions on one of the stores, whose time can pass.
pub(crate) struct World {
    pub(crate) sessions: Sessions,
    pub(crate) base: Base,
}

#[allow(clippy::large_enum_variant, reason = "one a test")]
pub(crate) enum Base {
    Memory(Clock),
    Postgres { db: TestDb, store: PostgresStore },
}

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// What lives is not to run out by itself: 3,000 days are longer than anything here.
fn settings(builder: SessionsBuilder) -> SessionsBuilder {
    let place = |address: IpAddr| {
        let mut place = Location::default();
        place.country_code = Some(if address == home() { "DE" } else { "RU" }.to_owned());
        Some(place)
    };
    builder.idle_timeout(DAY * 3_000).absolute_lifetime(DAY * 3_000).locator(place)
}

pub(crate) fn home() -> IpAddr {
    IpAddr::from([192, 0, 2, 1])
}

impl World {
    pub(crate) async fn in_memory() -> Self {
        let clock = Clock::manual();
        let builder = on(MemoryStore::with_clock(clock.clone())).clock(clock.clone());
        Self { sessions: settings(builder).build().await.unwrap(), base: Base::Memory(clock) }
    }

    pub(crate) async fn on_postgres() -> Self {
        let db = TestDb::new().await;
        let [store, own] =
            [PostgresStore::connect(db.url()).await.unwrap(), PostgresStore::connect(db.url()).await.unwrap()];
        store.migrate().await.unwrap();
        Self { sessions: settings(on(own)).build().await.unwrap(), base: Base::Postgres { db, store } }
    }

    pub(crate) async fn days_pass(&self, days: u32) {
        match &self.base {
            Base::Memory(clock) => clock.advance(DAY * days),
            // All that is there becomes older.
            Base::Postgres { db, .. } => {
                let by = format!("- interval '{days} days'");
                let sql = format!(
                    "ALTER TABLE device_sessions.sessions DISABLE TRIGGER USER; \
                     UPDATE device_sessions.sessions SET created_at = created_at {by}, expires_at = expires_at {by}, \
                         last_activity_at = last_activity_at {by}, ended_at = ended_at {by}; \
                     ALTER TABLE device_sessions.sessions ENABLE TRIGGER USER; \
                     UPDATE device_sessions.devices SET last_seen_at = last_seen_at {by}; \
                     UPDATE device_sessions.countries SET last_seen_at = last_seen_at {by}"
                );
                db.connect().await.batch_execute(&sql).await.unwrap();
            }
        }
    }

    pub(crate) async fn purge(&self) {
        match &self.base {
            // Its upkeep does, every quarter of an hour of what is left of a day.
            Base::Memory(_) => {
                for _ in 0..100 {
                    tokio::time::advance(Duration::from_secs(900)).await;
                    tokio::task::yield_now().await;
                }
            }
            Base::Postgres { store, .. } => while store.purge(Retention::new(DAY, 30 * DAY)).await.unwrap().more {},
        }
    }

    pub(crate) async fn sign_in(&self, user: &str, device: &str) -> SignedIn {
        let client = Client::new(None, Some(home())).device_id(device);
        self.sessions.sign_in(SignIn::new(user).client(client)).await.unwrap()
    }

    pub(crate) async fn end(&self, signed_in: &SignedIn) {
        let target = EndTarget::One { id: signed_in.session.id, user: None };
        let ended = self.sessions.end(target, EndReason::Logout, None).await.unwrap();
        assert!(matches!(ended, EndOutcome::Ended(_)), "{ended:?}");
    }

    pub(crate) async fn rename(&self, user: &str, id: SessionId, name: &str) -> Option<Session> {
        self.sessions.rename(&user.into(), id, name).await.unwrap()
    }

    pub(crate) async fn live(&self, user: &str) -> Vec<SessionId> {
        self.sessions.list(&user.into(), None).await.unwrap().iter().map(|session| session.id).collect()
    }

    pub(crate) async fn ends(&self, user: &str) -> Vec<(SessionId, EndReason)> {
        let history = self.sessions.history(&user.into()).await.unwrap();
        history.into_iter().filter_map(|one| Some((one.id, one.ended?.reason))).collect()
    }
}

pub(crate) fn is_new(signed_in: &SignedIn) -> bool {
    signed_in.signals.contains(&Signal::NewDevice)
}

/// Ids of installations have 16 characters or more.
pub(crate) const PHONE: &str = "the app on the phone";
pub(crate) const TABLET: &str = "the app on the tablet";

/// Each on both stores.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod memory {
            // The upkeep's own pauses pass when the test says so.
            $(#[tokio::test(start_paused = true)]
            async fn $name() {
                super::$name(crate::world::World::in_memory().await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::world::World::on_postgres().await).await;
            })*
        }
    };
}

pub(crate) use on_both;
