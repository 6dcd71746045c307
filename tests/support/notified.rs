//! A service on either store that tells all it can: events, push, mail. Two nodes where the store can have them.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use axum::{Router, extract::State, http::Method, routing::post as to_post};
use axum_device_sessions::{
    Client as Caller, Clock, CurrentSession, Delivery, EndReason, EndTarget, Error, Location, MemoryStore, Message,
    NotDelivered, Notice, PendingSession, Position, PostgresStore, PushTarget, SessionId, SessionValidationLayer,
    Sessions, SessionsBuilder, SignIn, SignedIn, Wants, routes,
};
use tokio_postgres::Client;

use super::{
    http::{self, Answer, ask, bearer, on},
    notices::{Told, text},
    support::{TestDb, eventually},
};

pub(crate) const MOSCOW: Option<&str> = Some("203.0.113.7");
pub(crate) const BERLIN: Option<&str> = Some("198.51.100.9");
pub(crate) const LINKS: &str = "https://app.example.com/alerts";

fn places(address: IpAddr) -> Option<Location> {
    let IpAddr::V4(address) = address else { return None };
    let (city, country, code, (north, east)) = match address.octets()[0] {
        203 => ("Moscow", "Russia", "RU", (55.75, 37.62)),
        198 => ("Berlin", "Germany", "DE", (52.52, 13.4)),
        _ => return None,
    };
    let mut place = Location::default();
    (place.city, place.country, place.country_code) = (Some(city.into()), Some(country.into()), Some(code.into()));
    place.position = Position::new(north, east, Some(20));
    Some(place)
}

/// A client on the device of this name.
pub(crate) fn caller(device: &str, address: Option<&str>) -> Caller {
    keyless(address).device_id(format!("the installation on the {device}"))
}

/// One that shows nothing that it is known by.
pub(crate) fn keyless(address: Option<&str>) -> Caller {
    Caller::new(None, address.map(|address| address.parse().unwrap()))
}

async fn confirm(State(sessions): State<Sessions>, pending: PendingSession) -> Result<SignedIn, Error> {
    sessions.confirm(&pending).await
}

async fn prove_anew(State(sessions): State<Sessions>, current: CurrentSession) -> Result<SignedIn, Error> {
    sessions.reauthenticated(&current).await
}

pub(crate) fn application(sessions: &Sessions) -> Router {
    Router::new()
        .route("/confirm", to_post(confirm))
        .route("/reauthenticate", to_post(prove_anew))
        .with_state(sessions.clone())
        .merge(http::app())
        .nest("/alerts", routes::alerts())
        .layer(SessionValidationLayer::new(sessions.clone()))
}

pub(crate) struct World {
    /// In memory both are the same.
    pub(crate) nodes: [Sessions; 2],
    pub(crate) apps: [Router; 2],
    pub(crate) events: Told,
    pub(crate) push: Told,
    pub(crate) mail: Told,
    pub(crate) base: Base,
    asked: AtomicU32,
}

#[allow(clippy::large_enum_variant, reason = "one a test")]
pub(crate) enum Base {
    Memory(Clock),
    Postgres(TestDb, Client),
}

impl World {
    pub(crate) async fn both() -> [Self; 2] {
        [Self::on_postgres(|builder| builder).await, Self::in_memory(|builder| builder).await]
    }

    pub(crate) async fn on_postgres(settings: impl Fn(SessionsBuilder) -> SessionsBuilder) -> Self {
        Self::on_database(TestDb::new().await, settings, Told::of(Wants::push("fcm"))).await
    }

    /// Whose push is answered so.
    pub(crate) async fn over(
        db: TestDb,
        answer: impl Fn(&Notice) -> Result<(), NotDelivered> + Send + Sync + 'static,
    ) -> Self {
        Self::on_database(db, |builder| builder, Told::answering(Wants::push("fcm"), answer)).await
    }

    async fn on_database(db: TestDb, settings: impl Fn(SessionsBuilder) -> SessionsBuilder, push: Told) -> Self {
        let store = PostgresStore::connect(db.url()).await.unwrap();
        store.migrate().await.unwrap();
        let other = PostgresStore::connect(db.url()).await.unwrap();
        let sql = db.connect().await;
        let builders = [settings(on(store)), settings(on(other))];
        Self::of(builders, push, Base::Postgres(db, sql)).await
    }

    pub(crate) async fn in_memory(settings: impl Fn(SessionsBuilder) -> SessionsBuilder) -> Self {
        let clock = Clock::manual();
        let builder = settings(on(MemoryStore::with_clock(clock.clone())).clock(clock.clone()));
        Self::of([builder], Told::of(Wants::push("fcm")), Base::Memory(clock)).await
    }

    /// Of one builder or two.
    pub(crate) async fn of(builders: impl IntoIterator<Item = SessionsBuilder>, push: Told, base: Base) -> Self {
        let (events, mail) = (Told::everything(), Told::of(Wants::mail()));
        let mut nodes = Vec::new();
        for builder in builders {
            let builder = builder.notify("events", events.clone()).notify("push", push.clone());
            let builder = builder.notify("mail", mail.clone()).delivery(Delivery::default().at_once(1_000));
            // Whoever's clock is moved on goes on with the token that they have.
            let builder = builder.access_token_ttl(Duration::from_secs(10 * 86_400));
            nodes.push(builder.alert_links(LINKS).locator(places).build().await.unwrap());
        }
        let nodes = [nodes[0].clone(), nodes.last().unwrap().clone()];
        let apps = [application(&nodes[0]), application(&nodes[1])];
        Self { nodes, apps, events, push, mail, base, asked: AtomicU32::new(0) }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self.base {
            Base::Memory(_) => "memory",
            Base::Postgres(..) => "postgres",
        }
    }

    pub(crate) fn sql(&self) -> Option<&Client> {
        match &self.base {
            Base::Memory(_) => None,
            Base::Postgres(_, sql) => Some(sql),
        }
    }

    pub(crate) async fn sign_in(&self, sign_in: SignIn) -> SignedIn {
        self.nodes[0].sign_in(sign_in).await.unwrap()
    }

    pub(crate) async fn on(&self, user: &str, device: &str) -> SignedIn {
        self.sign_in(SignIn::new(user).client(caller(device, None))).await
    }

    /// Its app has told where it is reached.
    pub(crate) async fn is_reached(&self, signed_in: &SignedIn, token: &str) {
        self.nodes[0].set_push_target(signed_in.session.id, Some(PushTarget::new("fcm", token))).await.unwrap();
    }

    pub(crate) async fn end(&self, id: SessionId, reason: EndReason, by: Option<&str>) {
        let target = EndTarget::One { id, user: None };
        self.nodes[0].end(target, reason, by.map(str::to_owned)).await.unwrap();
    }

    /// A request to one of the nodes, by this session.
    pub(crate) async fn asks(&self, node: usize, method: Method, uri: &str, by: &SignedIn) -> Answer {
        ask(&self.apps[node], method, uri, &[bearer(&by.access_token)]).await
    }

    /// So much older is all that anybody was told of.
    pub(crate) async fn later(&self, by: Duration) {
        match &self.base {
            Base::Memory(clock) => clock.advance(by),
            Base::Postgres(_, sql) => {
                let older = "UPDATE device_sessions.alerts SET created_at = created_at - $1 * interval '1 second'";
                sql.execute(older, &[&by.as_secs_f64()]).await.unwrap();
            }
        }
    }

    /// All that was to be told has been.
    pub(crate) async fn settled(&self) {
        match &self.base {
            Base::Postgres(_, sql) => {
                let left = "SELECT count(*) FROM device_sessions.outbox";
                let none = async || sql.query_one(left, &[]).await.unwrap().get::<_, i64>(0) == 0;
                eventually("nothing is left to be told", none).await;
            }
            Base::Memory(_) => {
                // What was there before is told no later than the last of these, which wait for each other.
                let user = format!("asked {}", self.asked.fetch_add(1, Ordering::Relaxed));
                let id = self.on(&user, "lane").await.session.id;
                for name in 0..8 {
                    self.nodes[0].rename(&user.as_str().into(), id, &format!("name {name}")).await.unwrap();
                }
                let own = |notice: &&Notice| notice.event.session_id == id;
                let told = async || self.events.notices().iter().filter(own).count() == 9;
                eventually("nothing is left to be told", told).await;
            }
        }
    }

    /// All that was told of this user, in the order of its arrival.
    pub(crate) async fn notices(&self, user: &str) -> Vec<Notice> {
        self.settled().await;
        let all = [&self.events, &self.push, &self.mail].map(Told::notices).concat();
        all.into_iter().filter(|notice| notice.event.user_id.as_str() == user).collect()
    }

    /// Events of this kind of this user.
    pub(crate) async fn events_of(&self, user: &str, kind: &str) -> Vec<Notice> {
        let of_kind = |notice: &Notice| notice.event.kind.as_str() == kind && matches!(notice.message, Message::Event);
        self.notices(user).await.into_iter().filter(of_kind).collect()
    }

    /// What was told of this user after the first so many, in one line: "login.new_device, mail, 2 new_login phone".
    pub(crate) async fn since(&self, user: &str, known: &[uuid::Uuid]) -> String {
        let notices = self.notices(user).await;
        let mut counted = BTreeMap::<String, usize>::new();
        for notice in notices.iter().filter(|notice| !known.contains(&notice.id)) {
            *counted.entry(text(notice)).or_default() += 1;
        }
        let one = |(text, count): (&String, &usize)| if *count == 1 { text.clone() } else { format!("{count} {text}") };
        counted.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// The link in the last mail to this user, without what all of them begin with.
    pub(crate) async fn link(&self, user: &str) -> String {
        let mails = self.notices(user).await;
        let link = mails.iter().rev().find_map(|notice| match &notice.message {
            Message::NewLoginMail { disown_url } => disown_url.as_deref()?.strip_prefix(LINKS)?.strip_prefix('/'),
            _ => None,
        });
        link.unwrap_or_else(|| panic!("no mail to {user}")).to_owned()
    }

    /// Another device of theirs is known, and then somebody signs in on the laptop: that one, and the link in the mail.
    pub(crate) async fn somebody_signs_in(&self, user: &str) -> (SignedIn, String) {
        self.on(user, "phone").await;
        let laptop = self.sign_in(SignIn::new(user).client(caller("laptop", MOSCOW))).await;
        (laptop, self.link(user).await)
    }
}
