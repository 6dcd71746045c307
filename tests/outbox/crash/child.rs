//! This test again, as another process: a node that delivers until it is killed.

use std::{env, process::Stdio};

use axum_device_sessions::{AccessTokens, Delivery, PostgresStore, Sessions};
use tokio::process::{Child, Command};

use super::{
    support::{TestDb, eventually},
    wire::{Arrived, Receiver, Remote},
};

/// Killed when dropped.
pub(crate) struct Node(Child);

impl Node {
    pub(crate) async fn start(db: &TestDb, receiver: &Receiver, naive: bool) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "crash::child::the_child", "--ignored", "--nocapture"]).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
        command.env("CHILD_DATABASE", db.url()).env("CHILD_RECEIVER", receiver.address.to_string());
        command.envs(naive.then_some(("CHILD_NAIVE", "1")));
        let child = command.spawn().unwrap();
        let sql = db.connect().await;
        eventually("the other process has registered", async || {
            sql.query_one("SELECT count(*) > 0 FROM device_sessions.sinks", &[]).await.unwrap().get(0)
        })
        .await;
        Self(child)
    }

    /// SIGKILL; returns when all its connections are gone.
    pub(crate) async fn kill(mut self, db: &TestDb) {
        self.0.kill().await.unwrap();
        let sql = db.connect().await;
        eventually("its last statement has ended", async || {
            let others = "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() \
                          AND application_name = 'the child'";
            sql.query_one(others, &[]).await.unwrap().get(0)
        })
        .await;
    }
}

#[tokio::test]
#[ignore = "not a test: what the others start"]
async fn the_child() {
    let (Ok(database), Ok(receiver)) = (env::var("CHILD_DATABASE"), env::var("CHILD_RECEIVER")) else { return };
    let database = format!("{database}?application_name=the%20child");
    if env::var_os("CHILD_NAIVE").is_some() {
        return naive(&database, receiver).await;
    }
    let builder = Sessions::builder(PostgresStore::connect(&database).await.unwrap());
    let builder = builder.access_tokens(AccessTokens::hs256(super::SECRET).unwrap());
    // A receiver that is held up for as long as the test takes is waited for.
    let builder = builder.delivery(Delivery::default().timeout(std::time::Duration::from_secs(60)));
    let _node = builder.notify("remote", Remote(receiver)).build().await.unwrap();
    std::future::pending().await
}

/// The control: what has been taken is gone, so nobody tells it twice.
async fn naive(database: &str, receiver: String) {
    let (client, connection) = tokio_postgres::connect(database, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let register = "INSERT INTO device_sessions.sinks VALUES \
        ('remote', '{session.created,session.ended}', NULL, false, now() + interval '1 hour')";
    client.batch_execute(register).await.unwrap();
    let remote = Remote(receiver);
    loop {
        let take = "DELETE FROM device_sessions.outbox RETURNING notice_id, event_id, kind, session_id";
        for row in client.query(take, &[]).await.unwrap() {
            let arrived = Arrived { notice: row.get(0), event: row.get(1), kind: row.get(2), session: row.get(3) };
            remote.tell(&arrived).await.unwrap();
        }
    }
}
