//! A service on either store, and time that can pass.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, State},
    http::Request,
    routing::{get, post as to_post},
};
use axum_device_sessions::{
    Client as Caller, Clock, CurrentSession, EndReason, EndTarget, Error, Location, MemoryStore, PendingSession,
    Position, PostgresStore, SessionStore, SessionValidationLayer, Sessions, SessionsBuilder, SignIn, SignInPolicy,
    Signal, SignedIn, store::Retention,
};
use time::OffsetDateTime;
use tokio_postgres::Client;

use super::{
    http::{ask_with, bearer, on, post},
    support::TestDb,
};

pub(crate) const MOSCOW: Option<&str> = Some("203.0.113.7");
pub(crate) const BERLIN: Option<&str> = Some("198.51.100.9");
pub(crate) const POTSDAM: Option<&str> = Some("192.0.2.1");

const DAY: Duration = Duration::from_secs(86_400);

fn places(address: IpAddr) -> Option<Location> {
    let IpAddr::V4(address) = address else { return None };
    let (city, country, code, (north, east)) = match address.octets()[0] {
        203 => ("Moscow", "Russia", "RU", (55.75, 37.62)),
        198 => ("Berlin", "Germany", "DE", (52.52, 13.4)),
        192 => ("Potsdam", "Germany", "DE", (52.4, 13.06)),
        _ => return None,
    };
    let mut place = Location::default();
    (place.city, place.country, place.country_code) = (Some(city.into()), Some(country.into()), Some(code.into()));
    place.position = Position::new(north, east, Some(20));
    Some(place)
}

/// A client on the device of this name.
pub(crate) fn caller(device: &str, address: Option<&str>) -> Caller {
    let address = address.map(|address| address.parse().unwrap());
    Caller::new(None, address).device_id(format!("the installation on the {device}"))
}

pub(crate) fn kinds(signed_in: &SignedIn) -> Vec<&'static str> {
    signed_in.signals.iter().map(Signal::kind).collect()
}

pub(crate) struct World {
    pub(crate) sessions: Sessions,
    past: Past,
    app: Router,
}

enum Past {
    Postgres(Box<(Client, TestDb)>),
    Memory(Clock, Mutex<Duration>),
}

async fn confirm(State(sessions): State<Sessions>, pending: PendingSession) -> Result<SignedIn, Error> {
    sessions.confirm(&pending).await
}

impl World {
    pub(crate) async fn both() -> [Self; 2] {
        let db = TestDb::new().await;
        let store = PostgresStore::connect(db.url()).await.unwrap();
        store.migrate().await.unwrap();
        let clock = Clock::manual();
        let memory = MemoryStore::with_clock(clock.clone());
        [
            Self::with(on(store), Past::Postgres(Box::new((db.connect().await, db)))).await,
            Self::with(on(memory).clock(clock.clone()), Past::Memory(clock, Mutex::default())).await,
        ]
    }

    async fn with(builder: SessionsBuilder, past: Past) -> Self {
        let builder = builder.idle_timeout(500 * DAY).absolute_lifetime(1_000 * DAY).access_token_ttl(400 * DAY);
        let sessions = builder.locator(places).build().await.unwrap();
        let app = Router::new()
            .route("/", get(|_: CurrentSession| async {}))
            .route("/confirm", to_post(confirm))
            .with_state(sessions.clone())
            .layer(SessionValidationLayer::new(sessions.clone()));
        Self { sessions, past, app }
    }

    pub(crate) async fn sign_in(&self, device: &str, address: Option<&str>) -> SignedIn {
        self.sessions.sign_in(SignIn::new("ahmed").client(caller(device, address))).await.unwrap()
    }

    /// What a sign-in would find; it is refused, so nothing comes of it.
    pub(crate) async fn look(&self, device: &str) -> Vec<Signal> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let found = Arc::clone(&seen);
        let sign_in = SignIn::new("ahmed").client(caller(device, None)).policy(move |signals| {
            *found.lock().unwrap() = signals.to_vec();
            SignInPolicy::Refuse
        });
        self.sessions.sign_in(sign_in).await.unwrap_err();
        seen.lock().unwrap().clone()
    }

    /// The second factor of a pending session; the status of the answer.
    pub(crate) async fn confirm(&self, pending: &SignedIn) -> u16 {
        post(&self.app, "/confirm", &[bearer(&pending.access_token)]).await.status.as_u16()
    }

    /// A request of this session from there, written down.
    pub(crate) async fn travels(&self, signed_in: &SignedIn, to: Option<&str>) {
        if let Past::Memory(clock, passed) = &self.past {
            clock.advance(Duration::from_secs(1));
            *passed.lock().unwrap() += Duration::from_secs(1);
        }
        let (name, value) = bearer(&signed_in.access_token);
        let mut request = Request::get("/").header(name, value).body(Body::empty()).unwrap();
        let peer = SocketAddr::new(to.unwrap().parse().unwrap(), 50_000);
        request.extensions_mut().insert(ConnectInfo(peer));
        assert_eq!(ask_with(&self.app, request).await.status, 200);
        self.sessions.flush_activity().await.unwrap();
    }

    pub(crate) async fn end(&self, signed_in: &SignedIn) {
        let target = EndTarget::One { id: signed_in.session.id, user: None };
        self.sessions.end(target, EndReason::Logout, None).await.unwrap();
    }

    pub(crate) async fn end_all(&self) {
        let target = EndTarget::All { user: "ahmed".into(), caller: None };
        self.sessions.end(target, EndReason::Logout, None).await.unwrap();
    }

    /// So many days pass: on a clock of our own, or by moving all that was into the past.
    pub(crate) async fn later(&self, days: u32) {
        match &self.past {
            Past::Memory(clock, passed) => {
                clock.advance(days * DAY);
                *passed.lock().unwrap() += days * DAY;
            }
            Past::Postgres(past) => {
                let back = format!(
                    "UPDATE device_sessions.sessions SET created_at = created_at - interval '{days} days', \
                     last_activity_at = last_activity_at - interval '{days} days', \
                     expires_at = expires_at - interval '{days} days'; \
                     UPDATE device_sessions.devices SET first_seen_at = first_seen_at - interval '{days} days', \
                     last_seen_at = last_seen_at - interval '{days} days'; \
                     UPDATE device_sessions.countries SET last_seen_at = last_seen_at - interval '{days} days'"
                );
                past.0.batch_execute(&back).await.unwrap();
            }
        }
    }

    pub(crate) async fn now(&self) -> OffsetDateTime {
        match &self.past {
            Past::Memory(_, passed) => OffsetDateTime::now_utc() + *passed.lock().unwrap(),
            Past::Postgres(past) => past.0.query_one("SELECT now()", &[]).await.unwrap().get(0),
        }
    }

    /// Deletes what has ended. In memory the task for it does that, some time.
    pub(crate) async fn purge(&self) {
        let Past::Postgres(past) = &self.past else { return };
        let (sql, db) = &**past;
        let store = PostgresStore::connect(db.url()).await.unwrap();
        store.purge(Retention::new(Duration::ZERO, Duration::ZERO)).await.unwrap();
        let left = "SELECT count(*) FROM device_sessions.sessions WHERE ended_at IS NOT NULL";
        assert_eq!(sql.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 0);
    }

    /// So many devices of the user's are known, and these countries; in memory that is nobody's to see.
    pub(crate) async fn knows(&self, devices: i64, countries: &[&str]) {
        let Past::Postgres(past) = &self.past else { return };
        let known = "SELECT (SELECT count(*) FROM device_sessions.devices), ARRAY (SELECT country_code \
                     FROM device_sessions.countries ORDER BY 1)";
        let row = past.0.query_one(known, &[]).await.unwrap();
        assert_eq!((row.get(0), row.get::<_, Vec<&str>>(1)), (devices, countries.to_vec()));
    }
}

/// All that was logged.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Since the last time: the lines of sign-ins.
    pub(crate) fn sign_ins(&self) -> String {
        let all = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        all.lines().filter(|line| line.contains("sign-in")).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
