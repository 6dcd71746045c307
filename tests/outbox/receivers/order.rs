//! Of each session the events arrive in their order, whatever fails in between, on whatever node.

use std::{
    collections::{HashMap, HashSet},
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum_device_sessions::{Delivery, EventKind, NotDelivered, Notice, Notifier, Sessions, SignIn, Wants};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{
    builder, end, outbox,
    support::{TestDb, eventually},
};

const SESSIONS: usize = 24;
const LIFE: [&str; 4] = ["session.created", "session.refreshed", "session.renamed", "session.ended"];

/// Fails, hangs and panics, differently each time; at the tenth attempt at the latest it works.
#[derive(Clone, Default)]
struct Flaky {
    is_down: Arc<AtomicBool>,
    attempts: Arc<AtomicUsize>,
    under_way: Arc<Mutex<HashSet<Uuid>>>,
    at_once: Arc<AtomicUsize>,
    arrived: Arc<Mutex<Vec<(Uuid, String)>>>,
}

enum Fate {
    Arrives,
    Fails,
    Hangs,
    Panics,
}

fn fate(notice: Uuid, attempt: u32) -> Fate {
    // Random bytes of a random id, another one each time.
    let bytes = notice.as_bytes();
    let at = usize::try_from(attempt).unwrap() % 5;
    match (bytes[at] ^ bytes[15 - at]) % 10 {
        _ if attempt >= 10 => Fate::Arrives,
        0..3 => Fate::Fails,
        3 => Fate::Hangs,
        4 => Fate::Panics,
        _ => Fate::Arrives,
    }
}

/// Gone however the delivery ends.
struct UnderWay<'a>(&'a Flaky, Uuid);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.lock().unwrap().remove(&self.1);
    }
}

impl Flaky {
    fn per_session(&self) -> HashMap<Uuid, Vec<String>> {
        let mut per_session = HashMap::<_, Vec<_>>::new();
        for (session, kind) in self.arrived.lock().unwrap().iter() {
            per_session.entry(*session).or_default().push(kind.clone());
        }
        // Twice in a row is within what is promised: an answer that came too late on a busy machine.
        per_session.values_mut().for_each(Vec::dedup);
        per_session
    }
}

impl Notifier for Flaky {
    fn wants(&self) -> Wants {
        Wants::events(EventKind::ALL.iter().copied())
    }

    async fn deliver(&self, notice: &Notice) -> Result<(), NotDelivered> {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        if self.is_down.load(Ordering::Relaxed) {
            return Err(NotDelivered::retry("down"));
        }
        let session = notice.event.session_id.as_uuid();
        if !self.under_way.lock().unwrap().insert(session) {
            self.at_once.fetch_add(1, Ordering::Relaxed);
        }
        let _under_way = UnderWay(self, session);
        tokio::task::yield_now().await;
        match fate(notice.id, notice.attempt) {
            Fate::Arrives => {
                self.arrived.lock().unwrap().push((session, notice.event.kind.to_string()));
                Ok(())
            }
            Fate::Fails => Err(NotDelivered::retry("not now")),
            Fate::Hangs => pending().await,
            // Without the noise of a message.
            Fate::Panics => std::panic::resume_unwind(Box::new("on purpose")),
        }
    }
}

async fn live(sessions: Sessions, user: String) {
    let signed_in = sessions.sign_in(SignIn::new(user.clone())).await.unwrap();
    sessions.refresh(&signed_in.refresh_token, None).await.unwrap();
    sessions.rename(&user.into(), signed_in.session.id, "Mine").await.unwrap();
    end(&sessions, signed_in.session.id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_is_kept_whatever_fails() {
    let db = TestDb::new().await;
    let (flaky, good) = (Flaky::default(), super::notices::Told::everything());
    flaky.is_down.store(true, Ordering::Relaxed);
    let patience =
        Delivery::default().first_retry(Duration::from_millis(2)).attempts(30).timeout(Duration::from_secs(1));
    let mut nodes = Vec::new();
    for _ in 0..2 {
        let node = builder(&db).await.delivery(patience).notify("flaky", flaky.clone()).notify("good", good.clone());
        nodes.push(node.build().await.unwrap());
    }
    let mut lives = JoinSet::new();
    for n in 0..SESSIONS {
        lives.spawn(live(nodes[n % 2].clone(), format!("user-{n}")));
    }
    // Down until half of them are over; the other sink's notices arrive all the same.
    for _ in 0..SESSIONS / 2 {
        lives.join_next().await.unwrap().unwrap();
    }
    eventually("the good one is told", async || good.notices().len() >= SESSIONS / 2 * LIFE.len()).await;
    assert_eq!(flaky.arrived.lock().unwrap().len(), 0, "down");
    flaky.is_down.store(false, Ordering::Relaxed);
    while let Some(done) = lives.join_next().await {
        done.unwrap();
    }
    let sql = db.connect().await;
    eventually("nothing is left", async || {
        outbox::pauses_end(&sql).await;
        outbox::poke(&sql).await;
        outbox::letters(&sql).await == 0
    })
    .await;
    let arrived = flaky.per_session();
    assert_eq!(arrived.len(), SESSIONS);
    for (session, kinds) in &arrived {
        assert_eq!(kinds, &LIFE, "{session}");
    }
    assert_eq!(flaky.at_once.load(Ordering::Relaxed), 0, "one at a time of each session");
    let (all, attempts) = (SESSIONS * LIFE.len(), flaky.attempts.load(Ordering::Relaxed));
    println!("{all} events, {attempts} attempts, {} arrivals", flaky.arrived.lock().unwrap().len());
    assert!(attempts > all);
    good.count(all).await;
}

/// The control: a worker that takes whatever is due.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_lanes_an_end_overtakes_its_creation() {
    let db = TestDb::new().await;
    let flaky = Flaky::default();
    let recorder = builder(&db).await.notify("naive", flaky.clone()).build().await.unwrap();
    // Registered, and nobody delivers.
    recorder.shutdown().await.unwrap();
    let mut lives = JoinSet::new();
    for n in 0..SESSIONS {
        lives.spawn(live(recorder.clone(), format!("user-{n}")));
    }
    lives.join_all().await;
    let sql = db.connect().await;
    let mut reordered = 0;
    while outbox::letters(&sql).await > 0 {
        let claim = "UPDATE device_sessions.outbox SET attempts = attempts + 1 WHERE seq IN ( \
            SELECT seq FROM device_sessions.outbox WHERE due_at <= statement_timestamp() ORDER BY due_at, seq LIMIT 16 \
            FOR UPDATE SKIP LOCKED) RETURNING seq, notice_id, attempts, session_id, kind";
        for row in sql.query(claim, &[]).await.unwrap() {
            let (seq, attempt): (i64, i32) = (row.get("seq"), row.get("attempts"));
            let settle = match fate(row.get("notice_id"), attempt.unsigned_abs()) {
                Fate::Arrives => {
                    flaky.arrived.lock().unwrap().push((row.get("session_id"), row.get("kind")));
                    "DELETE FROM device_sessions.outbox WHERE seq = $1"
                }
                _ => {
                    "UPDATE device_sessions.outbox SET due_at = statement_timestamp() + interval '5 ms' WHERE seq = $1"
                }
            };
            sql.execute(settle, &[&seq]).await.unwrap();
        }
    }
    for kinds in flaky.per_session().values() {
        reordered += usize::from(kinds != &LIFE);
    }
    println!("without lanes: {reordered} of {SESSIONS} sessions were told in another order");
    assert!(reordered > 0);
}
