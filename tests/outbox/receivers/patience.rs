//! How often, how soon and how long: pauses, the last attempt, and what comes after it.

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum_device_sessions::{Delivery, EventKind, NotDelivered, Notice, Notifier, SignIn, Wants};

use super::{
    builder,
    notices::{Told, text},
    outbox,
    support::{TestDb, eventually},
};

fn quick() -> Delivery {
    Delivery::default().first_retry(Duration::from_millis(1))
}

fn creations() -> Wants {
    Wants::events([EventKind::SessionCreated])
}

#[tokio::test]
async fn the_last_attempt_makes_a_dead_letter_that_can_be_revived() {
    let db = TestDb::new().await;
    let (works, tries) = (Arc::new(AtomicBool::new(false)), Arc::<AtomicUsize>::default());
    let (working, tried) = (Arc::clone(&works), Arc::clone(&tries));
    let told = Told::answering(creations(), move |_| {
        tried.fetch_add(1, Ordering::Relaxed);
        if working.load(Ordering::Relaxed) { Ok(()) } else { Err(NotDelivered::retry("the disk is full")) }
    });
    let sessions = builder(&db).await.delivery(quick().attempts(3)).notify("test", told.clone()).build().await.unwrap();
    let id = sessions.sign_in(SignIn::new("ahmed")).await.unwrap().session.id;
    let admin = sessions.admin();
    eventually("it is given up", async || !admin.dead_letters(None).await.unwrap().is_empty()).await;
    let dead = admin.dead_letters(None).await.unwrap();
    let [letter] = &dead[..] else { panic!("{dead:?}") };
    assert_eq!((letter.notifier.as_str(), letter.purpose, letter.attempts), ("test", "event", 3));
    assert_eq!((letter.event.session_id, letter.error.as_str()), (id, "the disk is full"));
    assert_eq!(tries.load(Ordering::Relaxed), 3);
    assert!(admin.dead_letters(Some(letter.id)).await.unwrap().is_empty(), "after the last one");
    works.store(true, Ordering::Relaxed);
    assert_eq!(admin.deliver_again([letter.id, letter.id + 1_000]).await.unwrap(), 1);
    let notices = told.count(1).await;
    assert_eq!((notices[0].event.id, notices[0].attempt), (letter.event.id, 1));
    assert_eq!(admin.deliver_again([letter.id]).await.unwrap(), 0, "delivered");
}

#[tokio::test]
async fn what_is_refused_is_not_tried_again() {
    let db = TestDb::new().await;
    let told = Told::answering(creations(), |_| Err(NotDelivered::refused("401")));
    let sessions = builder(&db).await.delivery(quick()).notify("test", told).build().await.unwrap();
    sessions.sign_in(SignIn::new("ahmed")).await.unwrap();
    let admin = sessions.admin();
    eventually("it is given up", async || !admin.dead_letters(None).await.unwrap().is_empty()).await;
    assert_eq!(admin.dead_letters(None).await.unwrap()[0].attempts, 1);
}

/// Never answers, and counts how often that is noticed to be of no use.
#[derive(Clone, Default)]
struct Silent {
    begun: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

struct Guard(Arc<AtomicUsize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Notifier for Silent {
    fn wants(&self) -> Wants {
        creations()
    }

    async fn deliver(&self, _: &Notice) -> Result<(), NotDelivered> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let _guard = Guard(Arc::clone(&self.dropped));
        pending().await
    }
}

#[tokio::test]
async fn a_slow_delivery_is_dropped_and_tried_again() {
    let db = TestDb::new().await;
    let silent = Silent::default();
    let delivery = quick().attempts(3).timeout(Duration::from_millis(20));
    let sessions = builder(&db).await.delivery(delivery).notify("test", silent.clone()).build().await.unwrap();
    sessions.sign_in(SignIn::new("ahmed")).await.unwrap();
    let admin = sessions.admin();
    eventually("it is given up", async || !admin.dead_letters(None).await.unwrap().is_empty()).await;
    assert_eq!(admin.dead_letters(None).await.unwrap()[0].error, "no answer within 20ms");
    assert_eq!((silent.begun.load(Ordering::Relaxed), silent.dropped.load(Ordering::Relaxed)), (3, 3));
}

#[tokio::test]
async fn a_panic_is_an_attempt_that_failed() {
    let db = TestDb::new().await;
    let told = Told::answering(creations(), |notice| {
        assert!(notice.attempt > 2, "on purpose");
        Ok(())
    });
    let sessions = builder(&db).await.delivery(quick()).notify("test", told.clone()).build().await.unwrap();
    sessions.sign_in(SignIn::new("ahmed")).await.unwrap();
    assert_eq!(told.count(1).await[0].attempt, 3);
}

/// Answers the very first notice as the test wants, and keeps when each arrives.
#[derive(Clone)]
struct Clocked {
    first: Arc<Mutex<Option<NotDelivered>>>,
    begun: Arc<Mutex<Vec<(Instant, Notice)>>>,
}

impl Notifier for Clocked {
    fn wants(&self) -> Wants {
        creations()
    }

    async fn deliver(&self, notice: &Notice) -> Result<(), NotDelivered> {
        self.begun.lock().unwrap().push((Instant::now(), notice.clone()));
        match self.first.lock().unwrap().take() {
            Some(refusal) => Err(refusal),
            None => Ok(()),
        }
    }
}

const PAUSE: Duration = Duration::from_secs(3);
const LONG: Duration = Duration::from_secs(3_600);

/// How many notices were sent within the pause that the first answer asks for, if it does; and whether others had all.
async fn sent_within_the_pause(refusal: NotDelivered) -> usize {
    let db = TestDb::new().await;
    let clocked = Clocked { first: Arc::new(Mutex::new(Some(refusal))), begun: Arc::default() };
    let other = Told::of(creations());
    // No other one is under way when the pause is asked for.
    let delivery = Delivery::default().at_once(1).first_retry(Duration::from_millis(1));
    let node = builder(&db).await.delivery(delivery).notify("busy", clocked.clone()).notify("other", other.clone());
    let sessions = node.build().await.unwrap();
    for n in 0..4 {
        sessions.sign_in(SignIn::new(format!("user-{n}"))).await.unwrap();
    }
    let notices = other.count(4).await;
    assert!(notices.iter().all(|notice| text(notice) == "session.created"));
    let sql = db.connect().await;
    eventually("all have arrived", async || outbox::letters(&sql).await == 0).await;
    let begun = clocked.begun.lock().unwrap().clone();
    let (first, rest) = begun.split_first().unwrap();
    assert_eq!(rest.len(), 4);
    rest.iter().filter(|(at, _)| at.duration_since(first.0) < PAUSE).count()
}

#[tokio::test]
async fn retry_after_pauses_the_receiver_and_no_other() {
    assert_eq!(sent_within_the_pause(NotDelivered::retry_after(PAUSE, "429")).await, 0);
    let control = sent_within_the_pause(NotDelivered::retry("500")).await;
    println!("{control} of 4 were sent at once where no pause was asked for");
    assert!(control > 0);
}

/// A receiver that asks for a year gets an hour; nothing overflows.
#[tokio::test]
async fn a_pause_has_a_bound() {
    let db = TestDb::new().await;
    let told = Told::answering(creations(), |_| Err(NotDelivered::retry_after(Duration::MAX, "429")));
    let sessions = builder(&db).await.notify("busy", told).build().await.unwrap();
    sessions.sign_in(SignIn::new("ahmed")).await.unwrap();
    let sql = db.connect().await;
    let due = "SELECT coalesce(max(extract(epoch FROM due_at - statement_timestamp())), 0)::float8 \
               FROM device_sessions.outbox WHERE last_error IS NOT NULL";
    let pause = async || sql.query_one(due, &[]).await.unwrap().get::<_, f64>(0);
    eventually("it has been tried", async || pause().await > 0.0).await;
    let pause = pause().await;
    assert!(pause <= LONG.as_secs_f64(), "{pause}");
    assert!(pause > LONG.as_secs_f64() / 2.0, "{pause}");
}
