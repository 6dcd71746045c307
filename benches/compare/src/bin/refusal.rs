//! From the end of a session on one node to its first refusal on another: two processes on one Postgres. The first ends sessions,
//! the second (this program once more) asks its own Router with the token until it is refused. It starts a Postgres of its own.
//! `cargo run --release --bin refusal`; with `QUICK=1` the short form.

use compare::{
    database::{SETTINGS, Server, refusal},
    record::note,
};

fn main() {
    let mut arguments = std::env::args().skip(1);
    if let Some(refusal::SECOND) = arguments.next().as_deref() {
        return refusal::second(&arguments.next().expect("a URL"));
    }
    note(refusal::SECTION, SETTINGS);
    refusal::first(&Server::start());
}
