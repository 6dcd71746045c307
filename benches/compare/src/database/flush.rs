//! What it costs to write down the last activity of many sessions: through the store, and by hand.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use axum_device_sessions::{PostgresStore, SessionId, SessionStore as _, store::Activity};
use uuid::Uuid;

use super::{
    Server,
    counters::Counters,
    float,
    node::INSERT,
    quick,
    rival::{ADDRESS, Batches, Singles},
    scattered,
    spread::Spread,
};
use crate::{
    harness,
    record::{Goal, goal, note, row},
};

const SECTION: &str = "Flush";
/// Rows a statement, as the crate's writer sends them.
const CHUNK: usize = 1_000;
/// More than so many are handed over by four chunks, which the store writes over two connections.
const MANY: usize = 10 * CHUNK;
const CLIENTS: usize = 8;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Variant {
    Ours,
    Raw,
    /// Never waits for a row that somebody holds: what the crate promises besides.
    Skipping,
    Bare,
    /// A statement a row, which waits for the disk (as Postgres does by itself), or does not.
    Single,
    SingleLazily,
}

impl Variant {
    const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours (`record_activity`)",
            Self::Raw => "raw UPDATE FROM unnest, same effect",
            Self::Skipping => "the same, rows that somebody holds skipped",
            Self::Bare => "barest UPDATE FROM unnest",
            Self::Single => "single updates by 8 clients",
            Self::SingleLazily => "single updates by 8 clients, synchronous_commit=off",
        }
    }
}

struct Table {
    ids: Vec<Uuid>,
    store: PostgresStore,
    counters: Counters,
    batches: Batches,
    singles: Singles,
    lazy_singles: Singles,
    drawn: usize,
}

impl Table {
    /// Each row has been written once since the last checkpoint, and has had its next version on its page.
    async fn fill(server: &Server, rows: usize) -> Self {
        let store = PostgresStore::connect(&server.url()).await.expect("the server is up");
        store.migrate().await.expect("ours to migrate");
        let counters = Counters::new(server.connect().await).await;
        let ids: Vec<_> = (0..rows).map(|_| SessionId::new().as_uuid()).collect();
        let quiet =
            "ALTER TABLE device_sessions.sessions SET (autovacuum_enabled = off); SET device_sessions.quiet = 'on'";
        counters.0.batch_execute(quiet).await.expect("ours to set");
        let insert = format!(
            "{INSERT} (SELECT id, 'user-' || n FROM unnest($1::uuid[]) WITH ORDINALITY AS one (id, n)) AS one (id, user_id)"
        );
        for part in ids.chunks(100_000) {
            counters.0.execute(&insert, &[&part]).await.expect("migrated");
        }
        counters.0.batch_execute("VACUUM ANALYZE device_sessions.sessions").await.expect("ours to vacuum");
        counters.checkpoint().await;
        let all = "UPDATE device_sessions.sessions SET last_activity_at = last_activity_at + interval '1 s'";
        counters.0.batch_execute(all).await.expect("ours to write");
        let batches = Batches::connect(server).await;
        let singles = Singles::connect(server, CLIENTS, false).await;
        let lazy_singles = Singles::connect(server, CLIENTS, true).await;
        Self { ids, store, counters, batches, singles, lazy_singles, drawn: 0 }
    }

    /// So many different sessions, from all over the table, in the order in which the crate sends them.
    fn draw(&mut self, count: usize) -> Vec<Uuid> {
        let mut drawn = BTreeSet::new();
        while drawn.len() < count {
            self.drawn += 1;
            drawn.insert(self.ids[scattered(self.drawn) % self.ids.len()]);
        }
        drawn.into_iter().collect()
    }

    /// The time, and the WAL.
    async fn write(&mut self, variant: Variant, count: usize) -> (Duration, i64) {
        let ids = self.draw(count);
        let wal = self.counters.wal().await;
        let since = Instant::now();
        match variant {
            Variant::Ours => {
                for chunk in ids.chunks(if ids.len() > MANY { 4 * CHUNK } else { CHUNK }) {
                    record(&self.store, chunk).await;
                }
            }
            Variant::Raw => {
                for chunk in ids.chunks(CHUNK) {
                    self.batches.raw(chunk).await;
                }
            }
            Variant::Skipping => {
                for chunk in ids.chunks(CHUNK) {
                    self.batches.skipping(chunk).await;
                }
            }
            Variant::Bare => {
                for chunk in ids.chunks(CHUNK) {
                    self.batches.bare(chunk).await;
                }
            }
            Variant::Single => self.singles.write(&ids).await,
            Variant::SingleLazily => self.lazy_singles.write(&ids).await,
        }
        (since.elapsed(), self.counters.wal().await - wal)
    }
}

async fn record(store: &PostgresStore, ids: &[Uuid]) {
    let batch = ids.iter().map(|id| Activity::new(SessionId::from(*id), Duration::ZERO, Some(ADDRESS))).collect();
    assert_eq!(store.record_activity(batch).await.expect("the server is up"), [], "nobody is in its way");
}

pub async fn run(server: &Server) {
    let (rows, sizes): (_, &[(usize, usize)]) = if quick() {
        (100_000, &[(1_000, 10), (10_000, 5)])
    } else {
        (1_000_000, &[(1_000, 40), (10_000, 40), (100_000, 9)])
    };
    let mut table = Table::fill(server, rows).await;
    for (count, rounds) in sizes {
        of_size(&mut table, *count, *rounds).await;
    }
    after_a_checkpoint(&mut table).await;
    hot(server, table, rows).await;
    note(
        SECTION,
        &format!(
            "{rows} live sessions with the crate's own schema; each flush is of other sessions, drawn at random and sorted by id, in chunks of \
         {CHUNK}. Ours is `SessionStore::record_activity`, which the crate's writer calls; with more than {MANY} rows it is \
         given four chunks at a time, as the writer does, and writes them over two connections. The raw and the barest statement are prepared on one \
         connection with synchronous_commit=off, a transaction each. Rounds are interleaved, their order changes from round to round. The table \
         is out of autovacuum's reach meanwhile, and has been written once all over since the last checkpoint: no full-page images but where \
         the name of a row says so. Single updates (prepared, synchronous_commit=on as by default) are of fewer rows a round: 4,000, or 8,000 \
         with it off; compared are times a row."
        ),
    );
}

/// Times in µs a row, WAL in bytes a row.
#[derive(Default)]
struct Measured {
    times: Spread,
    wal: Spread,
}

impl Measured {
    fn add(&mut self, count: usize, (time, wal): (Duration, i64)) {
        self.times.add(time.as_secs_f64() * 1e6 / float(count));
        self.wal.add(bytes(wal) / float(count));
    }
}

async fn of_size(table: &mut Table, count: usize, rounds: usize) {
    let mut variants =
        vec![(Variant::Ours, count), (Variant::Raw, count), (Variant::Skipping, count), (Variant::Bare, count)];
    let largest = count == if quick() { 10_000 } else { 100_000 };
    if largest {
        variants.extend([(Variant::Single, 4_000), (Variant::SingleLazily, 8_000)]);
    }
    let mut measured: Vec<_> = variants.iter().map(|_| Measured::default()).collect();
    // The first flush of all makes its connection and its plans.
    for (variant, _) in &variants {
        table.write(*variant, CHUNK).await;
    }
    // Not in turn: what one leaves to the server's background processes would always fall to the same other one.
    for order in harness::rounds(rounds, variants.len()) {
        for n in order {
            let (variant, count) = variants[n];
            measured[n].add(count, table.write(variant, count).await);
        }
    }
    let of = |a: usize, b: usize| measured[a].times.median() / measured[b].times.median();
    for (n, ((variant, _), measured)) in variants.iter().zip(&measured).enumerate() {
        let figures = [
            ("median", measured.times.median(), "µs/row"),
            ("p10", measured.times.percentile(10), "µs/row"),
            ("p90", measured.times.percentile(90), "µs/row"),
            ("WAL", measured.wal.median(), "B/row"),
            ("of the raw statement", of(n, 1), "×"),
        ];
        row(SECTION, &format!("{count} rows: {}", variant.name()), &figures);
    }
    if count == 10_000 {
        goal(SECTION, "flush of 10 k rows, of the raw statement", of(0, 1), "×", Goal::AtMost(1.15));
    }
    if largest {
        let what = format!("flush of {} k rows, of single updates by {CLIENTS} clients", count / 1_000);
        goal(SECTION, &what, of(0, 4), "×", Goal::AtMost(0.05));
    }
}

/// When each page goes into the WAL as a whole, once.
async fn after_a_checkpoint(table: &mut Table) {
    for variant in [Variant::Ours, Variant::Raw] {
        table.counters.checkpoint().await;
        let mut measured = Measured::default();
        measured.add(10_000, table.write(variant, 10_000).await);
        let figures = [("once", measured.times.median(), "µs/row"), ("WAL", measured.wal.median(), "B/row")];
        row(SECTION, &format!("10000 rows right after a checkpoint: {}", variant.name()), &figures);
    }
}

/// Of the crate's updates alone: everybody else's connections are closed first.
async fn hot(server: &Server, mut table: Table, rows: usize) {
    let batches: Vec<_> = (0..10).map(|_| table.draw(rows / 100)).collect();
    let Table { counters, store, batches: others, singles, lazy_singles, .. } = table;
    drop((store, others, singles, lazy_singles));
    counters.all_told().await;
    let before = counters.updates().await;
    let store = PostgresStore::connect(&server.url()).await.expect("the server is up");
    for ids in &batches {
        for chunk in ids.chunks(CHUNK) {
            record(&store, chunk).await;
        }
    }
    drop(store);
    counters.all_told().await;
    let after = counters.updates().await;
    let (all, hot) = (after.all - before.all, after.hot - before.hot);
    row(SECTION, "ours, ten flushes of one row in a hundred", &[("updates", bytes(all), ""), ("HOT", bytes(hot), "")]);
    goal(SECTION, "HOT updates", bytes(hot) * 100.0 / bytes(all), "%", Goal::AtLeast(95.0));
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
const fn bytes(count: i64) -> f64 {
    count as f64
}
