//! Set while it ends, and set by two at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum_device_sessions::{EndReason, EndTarget, ErrorKind, PushTarget, SessionId, Sessions, SignIn};
use tokio::{sync::Barrier, task::JoinSet};
use tokio_postgres::{Client, error::SqlState};

use super::{
    kept,
    notified::{Base, World},
    support::{TestDb, eventually},
};

async fn set(node: &Sessions, id: SessionId, token: &str) -> Result<(), ErrorKind> {
    node.set_push_target(id, Some(PushTarget::new("fcm", token))).await.map_err(|error| error.kind())
}

async fn signed_in(node: &Sessions, user: &str) -> SessionId {
    node.sign_in(SignIn::new(user)).await.unwrap().session.id
}

async fn left_behind(sql: &Client) -> i64 {
    let left = "SELECT count(*) FROM device_sessions.push_targets t \
                LEFT JOIN device_sessions.sessions s ON s.id = t.session_id AND s.ended_at IS NULL WHERE s.id IS NULL";
    sql.query_one(left, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_is_left_behind_by_a_session_that_ends_meanwhile() {
    let world = World::on_postgres(|builder| builder).await;
    let (sql, mut set_first) = (world.sql().unwrap(), 0);
    for round in 0..100 {
        let id = signed_in(&world.nodes[0], "ahmed").await;
        let (start, node) = (Arc::new(Barrier::new(2)), world.nodes[1].clone());
        let starting = Arc::clone(&start);
        let ending = tokio::spawn(async move {
            starting.wait().await;
            let one = EndTarget::One { id, user: None };
            node.end(one, EndReason::RevokedByAdmin, None).await.unwrap();
        });
        start.wait().await;
        let was_set = set(&world.nodes[0], id, &format!("token-{round}")).await;
        ending.await.unwrap();
        assert!(matches!(was_set, Ok(()) | Err(ErrorKind::InvalidToken)), "{was_set:?}");
        set_first += usize::from(was_set.is_ok());
        assert_eq!(left_behind(sql).await, 0, "round {round}");
    }
    // Each that was set has been told of the end.
    world.settled().await;
    assert_eq!(world.push.texts().len(), set_first);
    println!("100 targets set while their sessions ended: {set_first} before the end, and told; 0 left behind");
}

/// The control: looked at first, then added, as one writes it.
#[tokio::test]
async fn without_the_lock_one_is() {
    let world = World::on_postgres(|builder| builder).await;
    let Base::Postgres(db, sql) = &world.base else { panic!("on Postgres") };
    let id = signed_in(&world.nodes[0], "ahmed").await;
    let naive = db.connect().await;
    naive.batch_execute("BEGIN").await.unwrap();
    let look = "SELECT FROM device_sessions.sessions WHERE id = $1 AND ended_at IS NULL";
    assert_eq!(naive.query(look, &[&id.as_uuid()]).await.unwrap().len(), 1);
    world.end(id, EndReason::RevokedByAdmin, None).await;
    let add = "INSERT INTO device_sessions.push_targets (session_id, provider, token) VALUES ($1, 'fcm', 'naive')";
    naive.execute(add, &[&id.as_uuid()]).await.unwrap();
    naive.batch_execute("COMMIT").await.unwrap();
    assert_eq!(left_behind(sql).await, 1, "the control must lose");
}

/// At the stricter levels a transaction sees what was there when it began: also the trigger of an end within it.
#[tokio::test]
async fn a_hand_that_began_before_it_was_set() {
    let world = World::on_postgres(|builder| builder).await;
    let Base::Postgres(db, sql) = &world.base else { panic!("on Postgres") };
    for level in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
        let id = signed_in(&world.nodes[0], "ahmed").await;
        let hand = db.connect().await;
        hand.batch_execute(&format!("BEGIN ISOLATION LEVEL {level}; SELECT FROM device_sessions.sessions"))
            .await
            .unwrap();
        set(&world.nodes[0], id, "token").await.unwrap();
        let end = "UPDATE device_sessions.sessions SET ended_at = now() WHERE id = $1";
        match hand.execute(end, &[&id.as_uuid()]).await {
            Ok(_) => hand.batch_execute("COMMIT").await.unwrap(),
            Err(refused) => {
                assert_eq!(refused.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE), "{level}");
                hand.batch_execute("ROLLBACK").await.unwrap();
                hand.execute(end, &[&id.as_uuid()]).await.unwrap();
            }
        }
        assert_eq!(left_behind(sql).await, 0, "{level}");
        let told = async || world.push.texts().iter().filter(|text| text.starts_with("force_logout token")).count();
        eventually(level, async || told().await > 0).await;
    }
    eventually("each was told", async || world.push.texts().len() == 3).await;
}

/// Two sessions, one device, at once: both are told that it was done, and one has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_token_twice_at_once() {
    let world = World::on_postgres(|builder| builder).await;
    let ids = [signed_in(&world.nodes[0], "ahmed").await, signed_in(&world.nodes[1], "lena").await];
    for round in 0..100 {
        let (start, token) = (Arc::new(Barrier::new(2)), format!("token-{round}"));
        let mut setting = JoinSet::new();
        for (node, id) in world.nodes.iter().zip(ids) {
            let (node, start, token) = (node.clone(), Arc::clone(&start), token.clone());
            setting.spawn(async move {
                start.wait().await;
                set(&node, id, &token).await
            });
        }
        assert_eq!(setting.join_all().await, [Ok(()), Ok(())], "round {round}");
        let targets = kept(world.sql().unwrap()).await;
        assert_eq!(targets.iter().filter(|(_, kept)| *kept == token).count(), 1, "{targets:?}");
    }
}

async fn deadlocks(sql: &Client) -> i64 {
    let count = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    sql.query_one(count, &[]).await.unwrap().get(0)
}

/// The control: two that take the token of the other's session, each from its own on, as one writes it.
#[tokio::test]
async fn in_no_order_two_do() {
    let world = World::on_postgres(|builder| builder).await;
    let Base::Postgres(db, sql) = &world.base else { panic!("on Postgres") };
    for device in ["one", "other"] {
        world.is_reached(&world.on("ahmed", device).await, device).await;
    }
    let (one, other) = (db.connect().await, db.connect().await);
    let take = "DELETE FROM device_sessions.push_targets WHERE token = $1";
    for (client, own) in [(&one, "one"), (&other, "other")] {
        client.batch_execute("BEGIN").await.unwrap();
        assert_eq!(client.execute(take, &[&own]).await.unwrap(), 1);
    }
    let (first, second) = tokio::join!(one.execute(take, &[&"other"]), async {
        let second = other.execute(take, &[&"one"]).await;
        // Whichever of the two is given up, the other one goes on.
        other.batch_execute("ROLLBACK").await.unwrap();
        second
    });
    let failed: Vec<_> = [first, second].into_iter().filter_map(Result::err).collect();
    assert_eq!(failed.iter().map(|error| error.code()).collect::<Vec<_>>(), [Some(&SqlState::T_R_DEADLOCK_DETECTED)]);
    drop((one, other));
    eventually("it is counted", async || deadlocks(sql).await == 1).await;
}

fn soak_time() -> Duration {
    Duration::from_secs(std::env::var("SOAK_SECS").map_or(3, |text| text.parse().unwrap()))
}

/// Sessions that pass four tokens around among themselves while they end and are signed in anew, on two nodes, and while the
/// provider calls some of them gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_in_a_circle() {
    let db = TestDb::own_cluster(&[("deadlock_timeout", "100ms")]).await;
    let world = World::over(db, |notice| {
        let is_gone = notice.event.session_id.as_uuid().as_bytes()[15].is_multiple_of(2);
        if is_gone { Err(axum_device_sessions::NotDelivered::gone("UNREGISTERED")) } else { Ok(()) }
    })
    .await;
    let (until, done) = (Instant::now() + soak_time(), Arc::new(AtomicUsize::new(0)));
    let mut working = JoinSet::new();
    for worker in 0..8_usize {
        let (node, done) = (world.nodes[worker % 2].clone(), Arc::clone(&done));
        working.spawn(async move {
            // Three users, so that "all of them" are several.
            let user = format!("user-{}", worker % 3);
            let mut id = signed_in(&node, &user).await;
            for turn in 0.. {
                if Instant::now() > until {
                    return;
                }
                let token = format!("token-{}", (worker + turn) % 4);
                match set(&node, id, &token).await {
                    Ok(()) => drop(done.fetch_add(1, Ordering::Relaxed)),
                    Err(ErrorKind::InvalidToken) => id = signed_in(&node, &user).await,
                    Err(other) => panic!("{other:?}"),
                }
                if turn % 8 == worker {
                    let all = EndTarget::All { user: user.as_str().into(), caller: None };
                    node.end(all, EndReason::RevokedByAdmin, None).await.unwrap();
                }
            }
        });
    }
    while let Some(worked) = working.join_next().await {
        worked.unwrap();
    }
    let sql = world.sql().unwrap();
    world.settled().await;
    let (found, left) = (deadlocks(sql).await, left_behind(sql).await);
    let (told, set) = (world.push.texts().len(), done.load(Ordering::Relaxed));
    println!("{set} targets set, {told} told, {found} deadlocks, {left} left behind");
    assert!(set > 100 && told > 0, "it was busy");
    assert_eq!((found, left), (0, 0));
}
