//! A sign-in that is interrupted in the middle, after each of its statements in turn: the connection is cut, the backend is
//! killed, the client goes away, the server crashes. Either all of it has happened or nothing: never an old session that
//! ended for a new one that is not there, never two live ones of one device.

#![cfg(feature = "postgres")]

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum_device_sessions::{
    Client as Caller, Error, ErrorKind, Location, OnLimit, SessionLimit, Sessions, SignIn, SignedIn,
};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

use crate::{
    cluster::{self, told},
    dropped::leftovers,
    proxy::{Held, Proxy},
    support::{TestDb, eventually},
};

/// What each statement of a sign-in is told by, in the order in which they run.
const STATEMENTS: [&str; 9] = [
    "pg_advisory_xact_lock",
    "WITH wanted AS",
    "WHERE id = ANY",
    "ARRAY (SELECT country_code",
    "AS doomed",
    "INSERT INTO device_sessions.sessions",
    "INSERT INTO device_sessions.devices",
    "INSERT INTO device_sessions.countries",
    COMMIT,
];
/// Not `BEGIN .. READ COMMITTED`.
const COMMIT: &str = "COMMIT\0";

/// A node whose way to the database can be interrupted. Its user is about to lose two sessions for a new one: the earlier
/// one of the device, and one too many.
struct Subject {
    db: TestDb,
    proxy: Proxy,
    sessions: Sessions,
    limit: Arc<AtomicU32>,
    sql: Client,
}

impl Subject {
    async fn on(db: TestDb) -> Self {
        let proxy = Proxy::to(db.url()).await;
        let limit = Arc::new(AtomicU32::new(3));
        let asked = Arc::clone(&limit);
        let place = |_: IpAddr| {
            let mut place = Location::default();
            place.country_code = Some("DE".to_owned());
            Some(place)
        };
        let builder = cluster::builder(&proxy.url(db.url())).await.locator(place);
        let of_user = SessionLimit::of_user(move |_| Some(asked.load(Ordering::SeqCst)));
        // Nothing else is to run on the connections.
        let builder = builder.max_sessions_per_user(of_user, OnLimit::EndOldest).activity_interval(3_600 * SECOND);
        let sessions = builder.build().await.unwrap();
        told(&sessions).await;
        let sql = db.connect().await;
        Self { db, proxy, sessions, limit, sql }
    }

    async fn sign_in(&self, user: &str, device: &str) -> Result<SignedIn, Error> {
        let client = Caller::new(None, Some([192, 0, 2, 1].into())).device_id(format!("the app on the {device}"));
        self.sessions.sign_in(SignIn::new(user).client(client)).await
    }

    /// Three sessions, of which one may stay when the phone signs in again.
    async fn prepare(&self, user: &str) {
        self.limit.store(3, Ordering::SeqCst);
        for device in ["phone", "tablet", "laptop"] {
            self.sign_in(user, device).await.unwrap();
        }
        self.limit.store(2, Ordering::SeqCst);
    }

    /// The sign-in, up to where the server has answered this statement and the node does not know yet.
    async fn up_to(&self, user: &str, statement: &str) -> (Held, JoinHandle<Result<SignedIn, Error>>) {
        let held = self.proxy.hold(statement);
        let client = Caller::new(None, Some([192, 0, 2, 1].into())).device_id("the app on the phone");
        let (sessions, sign_in) = (self.sessions.clone(), SignIn::new(user).client(client));
        let signing_in = tokio::spawn(async move { sessions.sign_in(sign_in).await });
        held.answered().await;
        (held, signing_in)
    }

    /// Reason of the end, in the order of sign-ins, when all has come to rest.
    async fn state(&self, user: &str) -> Vec<Option<String>> {
        eventually("nothing is left", || async { leftovers(&self.sql).await.is_empty() }).await;
        let rows = "SELECT end_reason FROM device_sessions.sessions WHERE user_id = $1 ORDER BY created_at";
        self.sql.query(rows, &[&user]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// All or nothing; and the next one is served.
    async fn check(&self, user: &str, what: &str, all: bool) {
        let state = self.state(user).await;
        assert_eq!(state, if all { after() } else { before() }, "{what}");
        eventually("the next one is served", || async { self.sign_in(user, "phone").await.is_ok() }).await;
        let live = self.state(user).await.iter().filter(|end| end.is_none()).count();
        assert_eq!(live, 2, "{what}");
        let twice = "SELECT count(*) FROM (SELECT FROM device_sessions.sessions WHERE ended_at IS NULL AND user_id = $1 \
                     GROUP BY device_key HAVING count(*) > 1) AS twice";
        assert_eq!(self.sql.query_one(twice, &[&user]).await.unwrap().get::<_, i64>(0), 0, "{what}");
    }
}

/// One for each statement, and none that the proxy could take for it.
fn user_of(statement: &str) -> String {
    format!("user-{}", STATEMENTS.iter().position(|one| *one == statement).unwrap())
}

const SECOND: Duration = Duration::from_secs(1);

fn before() -> Vec<Option<String>> {
    vec![None; 3]
}

fn after() -> Vec<Option<String>> {
    [Some("replaced"), Some("limit"), None, None].map(|end| end.map(str::to_owned)).to_vec()
}

#[tokio::test]
async fn a_connection_that_is_cut() {
    let subject = Subject::on(TestDb::new().await).await;
    for statement in STATEMENTS {
        let user = &user_of(statement);
        subject.prepare(user).await;
        let (held, signing_in) = subject.up_to(user, statement).await;
        held.cut();
        assert_eq!(signing_in.await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable, "{statement}");
        // What the server has committed is committed, whether it is known or not.
        subject.check(user, statement, statement == COMMIT).await;
    }
}

#[tokio::test]
async fn a_backend_that_is_killed() {
    let subject = Subject::on(TestDb::new().await).await;
    // A committed one is not in the middle of anything.
    for statement in &STATEMENTS[..STATEMENTS.len() - 1] {
        let user = &user_of(statement);
        subject.prepare(user).await;
        let (held, signing_in) = subject.up_to(user, statement).await;
        let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() \
                    AND state = 'idle in transaction' AND strpos(query, $1) > 0";
        // Also: it stands where it was to stand. Soon: what is held may be the answer to BEGIN, which went along with it.
        let killed = async || subject.sql.query_one(kill, &[statement]).await.unwrap().get::<_, i64>(0) == 1;
        eventually(statement, killed).await;
        held.release();
        assert_eq!(signing_in.await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable, "{statement}");
        subject.check(user, statement, false).await;
    }
}

/// Begun, it is carried out: what it would have ended it ends, and the new one is there, though nobody has its token.
#[tokio::test]
async fn a_client_that_goes_away() {
    let subject = Subject::on(TestDb::new().await).await;
    for statement in STATEMENTS {
        let user = &user_of(statement);
        subject.prepare(user).await;
        let (held, signing_in) = subject.up_to(user, statement).await;
        signing_in.abort();
        assert!(signing_in.await.unwrap_err().is_cancelled());
        held.release();
        eventually("it is carried out", || async { subject.state(user).await == after() }).await;
        subject.check(user, statement, true).await;
    }
}

/// The runtime goes with all that runs on it, as when a process ends: nothing of the transaction is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_ends() {
    let db = TestDb::new().await;
    let subject = Subject::on(db).await;
    for statement in &STATEMENTS[..STATEMENTS.len() - 1] {
        let user = &user_of(statement);
        subject.prepare(user).await;
        let proxy = Proxy::to(subject.db.url()).await;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (url, whose) = (proxy.url(subject.db.url()), user.clone());
        let (start, started) = tokio::sync::oneshot::channel();
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        runtime.spawn(async move {
            let place = |_: IpAddr| {
                let mut place = Location::default();
                place.country_code = Some("DE".to_owned());
                Some(place)
            };
            let builder = cluster::builder(&url).await.locator(place);
            let sessions = builder.max_sessions_per_user(2, OnLimit::EndOldest).build().await.unwrap();
            start.send(()).unwrap();
            gone.await.unwrap();
            let client = Caller::new(None, Some([192, 0, 2, 1].into())).device_id("the app on the phone");
            sessions.sign_in(SignIn::new(whose.as_str()).client(client)).await
        });
        started.await.unwrap();
        let held = proxy.hold(statement);
        go.send(()).unwrap();
        held.answered().await;
        runtime.shutdown_background();
        subject.check(user, statement, false).await;
        drop(held);
    }
}

#[tokio::test]
async fn a_server_that_crashes() {
    for statement in ["INSERT INTO device_sessions.sessions", COMMIT] {
        // A node each: what one does when its database is back commits too.
        let mut subject = Subject::on(TestDb::own_cluster(&[]).await).await;
        let user = &user_of(statement);
        subject.prepare(user).await;
        let (held, signing_in) = subject.up_to(user, statement).await;
        subject.db.server().stop_immediate();
        held.cut();
        assert_eq!(signing_in.await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable, "{statement}");
        subject.db.server().start_again().unwrap();
        subject.sql = subject.db.connect().await;
        // On disk when it was answered.
        subject.check(user, statement, statement == COMMIT).await;
    }
}

/// The control: without a transaction there is something in the middle.
#[tokio::test]
async fn two_statements_leave_half_of_it() {
    let subject = Subject::on(TestDb::new().await).await;
    subject.prepare("naive").await;
    let proxy = Proxy::to(subject.db.url()).await;
    let (client, connection) = tokio_postgres::connect(&proxy.url(subject.db.url()), NoTls).await.unwrap();
    tokio::spawn(connection);
    let held = proxy.hold("'replaced'");
    let signing_in = tokio::spawn(async move {
        let end = "UPDATE device_sessions.sessions SET ended_at = now(), end_reason = 'replaced' \
                   WHERE id = (SELECT min(id::text)::uuid FROM device_sessions.sessions)";
        client.batch_execute(end).await?;
        let insert = "INSERT INTO device_sessions.sessions (id, user_id, expires_at, device_name, device_type) \
                      VALUES (gen_random_uuid(), 'naive', now() + interval '1 day', 'Naive', 'other')";
        client.batch_execute(insert).await
    });
    held.answered().await;
    held.cut();
    assert!(signing_in.await.unwrap().is_err());
    let state = subject.state("naive").await;
    assert!(state != before() && state != after(), "the control must be caught: {state:?}");
    println!("without a transaction: {state:?}");
}
