//! What is done to the database while the clients go on.

use std::{process::Command, time::Duration};

use super::{
    stall::{Hold, Stall},
    support::TestDb,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Nothing,
    /// Again and again: there is always a gap.
    ListenerTerminated,
    /// `kill -9`: the server takes it for a crash and restarts all of its processes.
    BackendKilled,
    /// `pg_ctl stop -m immediate`, and a start.
    ServerCrashed,
    /// By a proxy that stays open.
    ListenerHeld,
    /// SIGSTOP: the kernel still acknowledges what is sent.
    ListenerStopped,
    BothHeld,
    TriggersMissing,
}

/// From a fifth of the time to two thirds of it: before and after it all is well.
pub(crate) async fn make(fault: Fault, db: &TestDb, stall: &Stall, soak: Duration) {
    let lasts = soak * 7 / 15;
    tokio::time::sleep(soak / 5).await;
    match fault {
        Fault::Nothing => {}
        Fault::ListenerTerminated => {
            let psql = db.connect().await;
            let rounds = u32::try_from(lasts.as_millis() / 300).expect("minutes");
            for _ in 0..rounds {
                psql.batch_execute(&format!("SELECT pg_terminate_backend(pid) FROM ({LISTENERS}) AS l")).await.unwrap();
                tokio::time::sleep(lasts / rounds).await;
            }
        }
        Fault::BackendKilled => {
            let psql = db.connect().await;
            let row = psql.query_one("SELECT pg_backend_pid()", &[]).await.unwrap();
            signal("KILL", row.get(0));
        }
        Fault::ServerCrashed => {
            db.server().stop_immediate();
            tokio::time::sleep(lasts / 3).await;
            db.server().start_again().unwrap();
        }
        Fault::ListenerHeld => {
            stall.hold(Hold::Listeners);
            tokio::time::sleep(lasts).await;
            stall.hold(Hold::Nothing);
        }
        Fault::BothHeld => {
            stall.hold(Hold::Everything);
            tokio::time::sleep(lasts).await;
            stall.hold(Hold::Nothing);
        }
        Fault::ListenerStopped => {
            let psql = db.connect().await;
            let pids: Vec<i32> = psql.query(LISTENERS, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
            assert!(!pids.is_empty(), "somebody listens");
            pids.iter().for_each(|pid| signal("STOP", *pid));
            tokio::time::sleep(lasts).await;
            pids.iter().for_each(|pid| signal("CONT", *pid));
        }
        Fault::TriggersMissing => {
            let psql = db.connect().await;
            psql.batch_execute("ALTER TABLE device_sessions.sessions DISABLE TRIGGER tell_update").await.unwrap();
            tokio::time::sleep(lasts).await;
            psql.batch_execute("ALTER TABLE device_sessions.sessions ENABLE ALWAYS TRIGGER tell_update").await.unwrap();
        }
    }
}

const LISTENERS: &str = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN %' AND pid <> pg_backend_pid()";

fn signal(name: &str, pid: i32) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(sent.success(), "kill -{name} {pid}");
}
