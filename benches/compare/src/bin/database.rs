//! What the database has to do: statements, rows and WAL of a million warm requests, and what the flush of last activity costs
//! beside what one would write by hand. It starts a Postgres of its own. `cargo run --release --bin database`; with `QUICK=1`
//! the short form; with `-- requests` or `-- flush` the one or the other alone.

use compare::{
    database::{SETTINGS, Server, flush, million},
    record::note,
};

#[tokio::main]
async fn main() {
    let only = std::env::args().nth(1);
    assert!(
        only.as_deref().is_none_or(|part| ["requests", "flush"].contains(&part)),
        "there is `requests`, and `flush`"
    );
    let wanted = |part| only.as_deref().is_none_or(|only| only == part);
    if wanted("requests") {
        note("Database", SETTINGS);
        million::run(&Server::start()).await;
    }
    if wanted("flush") {
        note("Flush", SETTINGS);
        flush::run(&Server::start()).await;
    }
}
