//! Throughput, latency and the CPU time of the server, over HTTP on loopback. Each variant has a server process of its own
//! (the program `serve`), and wrk asks one at a time. Where the machine has `taskset` and two CPUs or more, the server
//! runs on the first and wrk on the second. Needs wrk and Postgres' programs.
//! `cargo build --release --bin serve --bin http && target/release/http`; `QUICK=1` for a short run.

#[path = "../../../../examples/support/local_postgres.rs"]
mod local_postgres;

use compare::{
    harness::{self, median, of_rounds},
    load::{self, Load, Server},
    peers::{self, VARIANTS, Variant},
    record::{self, Goal},
};
use local_postgres::LocalPostgres;

const SECTION: &str = "Over HTTP";

struct Measured {
    variant: &'static Variant,
    server: Server,
    rounds: Vec<Load>,
}

fn main() {
    load::require_wrk();
    // Each variant has a pool, and all are there at once.
    let settings = [("fsync", "on"), ("max_connections", "400")];
    let postgres = LocalPostgres::start(&settings).expect("Postgres' programs are installed");
    let (rounds, seconds) = if harness::is_quick() { (1, 1) } else { (5, 2) };
    let variants = VARIANTS.iter().filter(|variant| variant.over_http);
    let start = |variant| Measured { variant, server: Server::start(variant, &postgres.url()), rounds: Vec::new() };
    let mut measured: Vec<_> = variants.map(start).collect();
    // They sign their clients in at the same time.
    for it in &mut measured {
        it.server.wait();
    }
    for it in measured.iter().filter(|_| !harness::is_quick()) {
        it.server.load(1);
    }
    for order in harness::rounds(rounds, measured.len()) {
        for index in order {
            let it = &mut measured[index];
            if it.variant.lead_in > 0 && !harness::is_quick() {
                it.server.load(it.variant.lead_in);
            }
            it.rounds.push(it.server.load(seconds));
        }
    }
    tell(&measured, rounds, seconds);
}

fn tell(measured: &[Measured], rounds: usize, seconds: u32) {
    let figures = |id: &str, figure: fn(&Load) -> f64| -> Vec<f64> {
        measured.iter().find(|it| it.variant.id == id).expect("it is always there").rounds.iter().map(figure).collect()
    };
    let throughput = |load: &Load| load.per_second;
    let cpu = |load: &Load| load.cpu_micros.unwrap_or(f64::NAN);
    let faster = |id, other| of_rounds(&figures(id, throughput), &figures(other, throughput), |a, b| a / b);
    let cheaper = |id, other| of_rounds(&figures(id, cpu), &figures(other, cpu), |a, b| b / a);
    for Measured { variant, .. } in measured {
        let id = variant.id;
        let figure = |figure| median(&figures(id, figure));
        let mut row = vec![("requests", figure(throughput), "/s"), ("of bare", faster(id, "bare"), "x")];
        if figure(cpu).is_finite() {
            row.extend([("server CPU a request", figure(cpu), "us"), ("CPU, bare/this", cheaper(id, "bare"), "x")]);
        }
        row.extend([("p50", figure(|load| load.p50_micros), "us"), ("p99", figure(|load| load.p99_micros), "us")]);
        record::row(SECTION, variant.name, &row);
    }
    if median(&figures("ours", cpu)).is_finite() {
        record::goal(SECTION, "server CPU a request, bare/ours", cheaper("ours", "bare"), "x", Goal::AtLeast(0.85));
    }
    let text = "throughput, ours/bare: {} x; the aim is 0.895, what a layer that only hands on an `Arc` once had.";
    record::note(SECTION, &text.replace("{}", &record::short(faster("ours", "bare"))));
    // What stands in the way of the goal below, where it is missed.
    let most = |id| record::short(faster(id, "tower-sessions-memory"));
    record::note(
        SECTION,
        &format!(
            "throughput, bare/tower-sessions (memory): {} x, extension/tower-sessions (memory): {} x: what a layer that does nothing has, and \
             one that hands on the same `Arc` to all.",
            most("bare"),
            most("extension"),
        ),
    );
    let lasting = record::short(faster("ours", "tower-sessions-memory-save"));
    let text = "throughput, ours/tower-sessions (memory, always_save): {} x: there too a session lasts for as long as it is used.";
    record::note(SECTION, &text.replace("{}", &lasting));
    for (name, other, least) in
        [("tower-sessions (memory)", "tower-sessions-memory", 1.2), ("tutorial", "tutorial", 5.0)]
    {
        record::goal(SECTION, &format!("throughput, ours/{name}"), faster("ours", other), "x", Goal::AtLeast(least));
    }
    record::note(
        SECTION,
        &format!(
            "{rounds} rounds of {seconds} s for each variant, in another order each time{}. wrk with one thread and 32 \
             connections that are kept open sends requests of pseudo-random ones of {} clients, with four header lines each. \
             Figures are medians of the rounds; ratios are medians of each round's ratio. Not one request failed, or the \
             program would have.",
            if harness::is_quick() { "; a short run, without warming up" } else { ", after 1 s to warm up" },
            peers::SESSIONS,
        ),
    );
    record::note(
        SECTION,
        &format!(
            "{} Postgres is private, on loopback, with `fsync`, on whichever CPU is free; its CPU time is not in the server's.",
            load::pinning()
        ),
    );
    for Measured { variant, .. } in measured {
        record::note(SECTION, &format!("{}: {}.", variant.name, variant.note));
    }
}
