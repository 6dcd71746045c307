//! A cold start: a node that has nothing in memory gets requests of 100,000 sessions at once, beside a cache that sends a query a
//! miss; and what a single miss waits. It starts a Postgres of its own. `cargo run --release --bin cold`; with `QUICK=1` the
//! short form.

use compare::{
    database::{SETTINGS, Server, cold},
    record::note,
};

#[tokio::main]
async fn main() {
    note("Cold start", SETTINGS);
    cold::run(&Server::start()).await;
}
