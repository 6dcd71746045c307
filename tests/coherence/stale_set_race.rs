//! The race that a cache in front of a database loses by default: a load reads "live", the session ends, the load
//! stores "live", and whoever holds the token is let in until the entry runs out.
//!
//! Each schedule is run against this crate and, as a control, against `moka`'s `get_with` and `invalidate`.

#![cfg(feature = "postgres")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::http::StatusCode;
use axum_device_sessions::{
    EndOutcome, EndReason, EndTarget, Error, ErrorKind, PostgresStore, SessionId, SessionStore, SignedIn, UserId,
    store::EndRequest,
};
use moka::sync::Cache;
use tokio::runtime::Handle;
use tokio::sync::Barrier;
use tokio::task::{JoinSet, spawn_blocking};

use crate::{
    node::{Node, cold, migrated},
    proxy::Proxy,
    support::TestDb,
};

/// The query of a miss, in every store's dress.
const LOAD: &str = "WHERE id = ";

/// A cache as one would write it: the load inside of `get_with`, `invalidate` after the end.
#[derive(Clone)]
struct Naive {
    cache: Cache<SessionId, bool>,
    store: Arc<PostgresStore>,
}

impl Naive {
    fn new(store: PostgresStore) -> Self {
        Self { cache: Cache::new(10_000), store: Arc::new(store) }
    }

    async fn is_let_in(&self, id: SessionId) -> bool {
        let (this, runtime) = (self.clone(), Handle::current());
        let load = move || {
            let ids = [id];
            let found = runtime.block_on(until_answered(|| this.store.load(&ids)));
            found.sessions.first().is_some_and(|session| session.ended.is_none())
        };
        let cache = self.cache.clone();
        spawn_blocking(move || cache.get_with(id, load)).await.expect("no panic")
    }

    async fn end(&self, target: EndTarget) {
        let request = EndRequest::new(target, EndReason::Logout, None);
        let ended = until_answered(|| self.store.end(request.clone())).await;
        let EndOutcome::Ended(ended) = ended else { panic!("{ended:?}") };
        for (id, _) in ended {
            self.cache.invalidate(&id);
        }
    }
}

/// A pool that is asked too much says so; then it is asked again.
async fn until_answered<T, Fut: Future<Output = Result<T, Error>>>(mut ask: impl FnMut() -> Fut) -> T {
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}"),
        }
    }
}

/// Three ways to end the second of a user's two sessions.
fn targets([caller, doomed]: [SessionId; 2]) -> [EndTarget; 3] {
    let user = UserId::from("ahmed");
    [
        EndTarget::One { id: doomed, user: None },
        EndTarget::Others { user: user.clone(), keep: caller },
        EndTarget::All { user, caller: None },
    ]
}

#[tokio::test]
async fn a_held_load_lets_nobody_in_after_the_end() {
    let db = TestDb::new().await;
    migrated(&db).await;
    let client = db.connect().await;
    let proxy = Proxy::to(db.url()).await;
    for way in 0..3 {
        let signed_in: [SignedIn; 2] = cold(&client, "ahmed", 2).await.try_into().expect("two");
        let node = Node::new(PostgresStore::connect(&proxy.url(db.url())).await.expect("connect")).await;
        let doomed = &signed_in[1];
        let target = targets(signed_in.each_ref().map(|one| one.session.id))[way].clone();

        let held = proxy.hold(LOAD);
        let before = tokio::spawn(node.get(doomed));
        held.answered().await;
        let ended = node.sessions.end(target.clone(), EndReason::Logout, None).await.expect("ended");
        assert!(matches!(ended, EndOutcome::Ended(_)), "{ended:?}");
        assert!(!node.is_let_in(doomed).await, "while the load is held: {target:?}");
        held.release();
        let asked_before = before.await.expect("no panic").status();
        println!("{target:?}: the request from before the end got {asked_before}");
        for _ in 0..3 {
            assert!(!node.is_let_in(doomed).await, "after the load has landed: {target:?}");
        }
        // Somebody waits for a read that begins after the end, too.
        let elsewhere = Node::new(PostgresStore::connect(db.url()).await.expect("connect")).await;
        assert!(!elsewhere.is_let_in(doomed).await);
    }
}

#[tokio::test]
async fn get_with_lets_them_in() {
    let db = TestDb::new().await;
    migrated(&db).await;
    let client = db.connect().await;
    let proxy = Proxy::to(db.url()).await;
    for way in 0..3 {
        let ids: [SessionId; 2] = cold(&client, "ahmed", 2)
            .await
            .iter()
            .map(|one| one.session.id)
            .collect::<Vec<_>>()
            .try_into()
            .expect("two");
        let naive = Naive::new(PostgresStore::connect(&proxy.url(db.url())).await.expect("connect"));
        let held = proxy.hold(LOAD);
        let before = {
            let naive = naive.clone();
            tokio::spawn(async move { naive.is_let_in(ids[1]).await })
        };
        held.answered().await;
        naive.end(targets(ids)[way].clone()).await;
        held.release();
        assert!(before.await.expect("no panic"));
        assert!(naive.is_let_in(ids[1]).await, "the control must lose");
        let row = naive.store.load(&ids[1..]).await.expect("loaded").sessions.remove(0);
        assert!(row.ended.is_some(), "though it has ended");
    }
}

const ROUNDS: usize = 200;
const SESSIONS: usize = 50;
const READERS: usize = 4;

/// Sessions that end while they are used.
struct Round {
    over: Vec<AtomicBool>,
    late: AtomicUsize,
    barrier: Barrier,
}

/// Runs one round: for each session some readers that read until it is refused or they have read enough, and one who
/// ends it. Returns how many were let in that asked after the end had been acknowledged, then and at last.
async fn round<Let, LetIn, End, Ending>(let_in: Let, end: End) -> (usize, usize)
where
    Let: Fn(usize) -> LetIn + Clone + Send + Sync + 'static,
    LetIn: Future<Output = bool> + Send,
    End: Fn(usize) -> Ending + Clone + Send + Sync + 'static,
    Ending: Future<Output = ()> + Send,
{
    let round = Arc::new(Round {
        over: (0..SESSIONS).map(|_| AtomicBool::new(false)).collect(),
        late: AtomicUsize::new(0),
        barrier: Barrier::new(SESSIONS * (READERS + 1)),
    });
    let mut tasks = JoinSet::new();
    for session in 0..SESSIONS {
        let (this, end) = (Arc::clone(&round), end.clone());
        tasks.spawn(async move {
            this.barrier.wait().await;
            end(session).await;
            this.over[session].store(true, Ordering::SeqCst);
        });
        for _ in 0..READERS {
            let (this, let_in) = (Arc::clone(&round), let_in.clone());
            tasks.spawn(async move {
                this.barrier.wait().await;
                for _ in 0..20 {
                    let asked_after = this.over[session].load(Ordering::SeqCst);
                    let live = let_in(session).await;
                    if live && asked_after {
                        this.late.fetch_add(1, Ordering::SeqCst);
                    }
                    if asked_after || !live {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            });
        }
    }
    tasks.join_all().await;
    let mut stuck = 0;
    for session in 0..SESSIONS {
        stuck += usize::from(let_in(session).await);
    }
    (round.late.load(Ordering::SeqCst), stuck)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_rounds_of_requests_and_ends_let_nobody_in_late() {
    let db = TestDb::new().await;
    let node = Node::new(migrated(&db).await).await;
    let client = db.connect().await;
    let (mut late, mut stuck) = (0, 0);
    for _ in 0..ROUNDS {
        let signed_in = Arc::new(cold(&client, "ahmed", SESSIONS).await);
        let (readers, enders) = ((node.clone(), Arc::clone(&signed_in)), (node.clone(), signed_in));
        let let_in = move |session: usize| {
            let (node, signed_in) = readers.clone();
            async move {
                loop {
                    match node.status(&signed_in[session]).await {
                        StatusCode::SERVICE_UNAVAILABLE => {}
                        status => return status == StatusCode::OK,
                    }
                }
            }
        };
        let end = move |session: usize| {
            let (node, signed_in) = enders.clone();
            async move {
                let target = EndTarget::One { id: signed_in[session].session.id, user: None };
                until_answered(|| node.sessions.end(target.clone(), EndReason::Logout, None)).await;
            }
        };
        let (more_late, more_stuck) = round(let_in, end).await;
        (late, stuck) = (late + more_late, stuck + more_stuck);
    }
    println!("this crate: {late} let in late, {stuck} of {} stuck", ROUNDS * SESSIONS);
    assert_eq!((late, stuck), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_rounds_against_get_with_let_some_in() {
    let db = TestDb::new().await;
    let naive = Naive::new(migrated(&db).await);
    let client = db.connect().await;
    let (mut late, mut stuck, mut rounds) = (0, 0, 0);
    while late + stuck == 0 && rounds < ROUNDS {
        let ids: Arc<Vec<_>> =
            Arc::new(cold(&client, "ahmed", SESSIONS).await.iter().map(|one| one.session.id).collect());
        let (readers, enders) = ((naive.clone(), Arc::clone(&ids)), (naive.clone(), ids));
        let let_in = move |session: usize| {
            let (naive, ids) = readers.clone();
            async move { naive.is_let_in(ids[session]).await }
        };
        let end = move |session: usize| {
            let (naive, ids) = enders.clone();
            async move { naive.end(EndTarget::One { id: ids[session], user: None }).await }
        };
        let (more_late, more_stuck) = round(let_in, end).await;
        (late, stuck, rounds) = (late + more_late, stuck + more_stuck, rounds + 1);
    }
    println!("get_with: {late} let in late, {stuck} stuck in {rounds} rounds of {SESSIONS}");
    assert!(late + stuck > 0, "the control must lose");
}
