//! What one would write by hand in place of the crate's flush: statements on plain connections.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use time::OffsetDateTime;
use tokio::task::JoinSet;
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use super::Server;

/// Where all requests come from.
pub const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 8));

/// The same effect: the newest wins, ended rows stay as they are, the address goes along, ages so that clocks do not matter.
const RAW: &str = "UPDATE device_sessions.sessions s \
    SET last_activity_at = seen.at, ip_address = coalesce(seen.ip, s.ip_address) \
    FROM (SELECT id, statement_timestamp() - age * interval '1 second' AS at, ip \
        FROM unnest($1::uuid[], $2::float8[], $3::inet[]) AS one (id, age, ip)) AS seen \
    WHERE s.id = seen.id AND s.ended_at IS NULL AND s.last_activity_at < seen.at";

/// And without ever waiting for a row that somebody holds.
const SKIPPING: &str = "WITH held AS ( \
        SELECT s.id, seen.at, seen.ip FROM device_sessions.sessions s \
        JOIN (SELECT id, statement_timestamp() - age * interval '1 second' AS at, ip \
            FROM unnest($1::uuid[], $2::float8[], $3::inet[]) AS one (id, age, ip)) AS seen USING (id) \
        WHERE s.ended_at IS NULL AND s.last_activity_at < seen.at FOR NO KEY UPDATE OF s SKIP LOCKED \
    ) UPDATE device_sessions.sessions s \
    SET last_activity_at = held.at, ip_address = coalesce(held.ip, s.ip_address) FROM held WHERE s.id = held.id";

/// The least that writes a time into each row.
const BARE: &str = "UPDATE device_sessions.sessions s SET last_activity_at = seen.at \
    FROM unnest($1::uuid[], $2::timestamptz[]) AS seen (id, at) WHERE s.id = seen.id";

const SINGLE: &str = "UPDATE device_sessions.sessions SET last_activity_at = now() WHERE id = $1 AND ended_at IS NULL";

const LAZILY: &str = "SET synchronous_commit = off";

/// One connection with the statements prepared, each chunk a transaction that does not wait for the disk.
pub struct Batches {
    client: Client,
    raw: Statement,
    skipping: Statement,
    bare: Statement,
}

impl Batches {
    pub async fn connect(server: &Server) -> Self {
        let client = server.connect().await;
        client.batch_execute(LAZILY).await.expect("anybody may");
        let raw = client.prepare(RAW).await.expect("plain SQL");
        let skipping = client.prepare(SKIPPING).await.expect("plain SQL");
        let bare = client.prepare(BARE).await.expect("plain SQL");
        Self { client, raw, skipping, bare }
    }

    pub async fn raw(&self, ids: &[Uuid]) {
        self.execute(&self.raw, ids).await;
    }

    pub async fn skipping(&self, ids: &[Uuid]) {
        self.execute(&self.skipping, ids).await;
    }

    async fn execute(&self, statement: &Statement, ids: &[Uuid]) {
        let (ages, addresses) = (vec![0.0_f64; ids.len()], vec![ADDRESS; ids.len()]);
        let written = self.client.execute(statement, &[&ids, &ages, &addresses]).await.expect("nobody is in its way");
        assert_eq!(usize::try_from(written), Ok(ids.len()));
    }

    pub async fn bare(&self, ids: &[Uuid]) {
        let times = vec![OffsetDateTime::now_utc(); ids.len()];
        let written = self.client.execute(&self.bare, &[&ids, &times]).await.expect("nobody is in its way");
        assert_eq!(usize::try_from(written), Ok(ids.len()));
    }
}

/// A statement a row, by several connections at once.
pub struct Singles(Vec<(Arc<Client>, Statement)>);

impl Singles {
    pub async fn connect(server: &Server, clients: usize, lazily: bool) -> Self {
        let mut all = Vec::new();
        for _ in 0..clients {
            let client = server.connect().await;
            if lazily {
                client.batch_execute(LAZILY).await.expect("anybody may");
            }
            let single = client.prepare(SINGLE).await.expect("plain SQL");
            all.push((Arc::new(client), single));
        }
        Self(all)
    }

    pub async fn write(&self, ids: &[Uuid]) {
        let mut tasks = JoinSet::new();
        for (part, (client, single)) in ids.chunks(ids.len().div_ceil(self.0.len())).zip(&self.0) {
            let (client, single, part) = (Arc::clone(client), single.clone(), part.to_vec());
            tasks.spawn(async move {
                for id in part {
                    let written = client.execute(&single, &[&id]).await.expect("nobody is in its way");
                    assert_eq!(written, 1);
                }
            });
        }
        tasks.join_all().await;
    }
}
