//! Whether this holds for a size: what services of 100 thousand to 100 million users ask of one Postgres, by formulas over measured
//! costs; and a simulation of their requests, a thousandth of them, that checks the formulas. `docs/scaling.md` explains both.
//!
//! `cargo run --release --bin scaling`. No database, no network, the same figures each time. A cost is overridden from the
//! environment: `COMMIT_MS=0.3 SESSION_BYTES=800 cargo run --release --bin scaling`.

use compare::{
    record::{note, row},
    scaling::{
        costs::Costs,
        demand::Demand,
        model::Traffic,
        service::{Balancing, Service, Settings},
        simulation::{Counted, simulate},
    },
};

const SECTION: &str = "Scaling";
const ASSUMED: &str = "Assumed: two live sessions a user; at the peak one user in twenty is on a visit, of 15 min on average, with a request \
    every 5 s on average (log-normal, sigma 1); a session lives 30 days. Rows are computed, but for those that say simulated";

fn main() {
    let costs = Costs::from_env();
    for cost in costs.list() {
        note(SECTION, &format!("{} = {} {}: {}", cost.name, cost.value, cost.unit, cost.source));
    }
    note(SECTION, ASSUMED);
    let setups = setups();
    setups.iter().for_each(|setup| on_paper(setup, &costs));
    let mut largest =
        [("loads", 0.0), ("activity", 0.0), ("refreshes", 0.0), ("tokens held", 0.0), ("confirmations", 0.0)];
    for setup in setups.iter().filter(|setup| setup.simulated) {
        for ((_, most), one) in largest.iter_mut().zip(simulated(setup)) {
            *most = one.abs().max(*most);
        }
    }
    let figures = largest.map(|(what, most): (_, f64)| (what, most, "%"));
    row(SECTION, "largest difference between a formula and its simulation", &figures);
}

struct Setup {
    name: String,
    service: Service,
    settings: Settings,
    simulated: bool,
}

/// Users, nodes, and whether the simulation is to run over it: of every kind one is enough.
const SIZES: [(f64, f64, bool); 4] = [(100e3, 3.0, false), (1e6, 3.0, false), (10e6, 10.0, true), (100e6, 100.0, true)];

fn setups() -> Vec<Setup> {
    let defaults = Settings::default();
    // Room for all, and rows of activity a thirtieth as often.
    let roomy = Settings { activity_interval: 300.0, max_cached_sessions: 5e6, ..defaults };
    let tuned = Settings { max_cached_sessions: 500_000.0, max_age: 3_600.0, access_token_ttl: 3_600.0, ..roomy };
    let kinds = [
        ("any node, defaults", Balancing::Random, defaults),
        ("any node, room for all, activity every 5 min", Balancing::Random, roomy),
        ("sticky, defaults", Balancing::Sticky, defaults),
        ("sticky, activity every 5 min", Balancing::Sticky, Settings { activity_interval: 300.0, ..defaults }),
        ("sticky, activity every 5 min, tokens and readings an hour", Balancing::Sticky, tuned),
    ];
    let mut setups = Vec::new();
    for (users, nodes, simulated) in SIZES {
        for (kind, balancing, settings) in kinds {
            let name = format!("{} users, {nodes} nodes, {kind}", in_words(users));
            setups.push(Setup { name, service: Service::of(users, nodes, balancing), settings, simulated });
        }
    }
    setups
}

fn in_words(users: f64) -> String {
    if users >= 1e6 { format!("{} M", users / 1e6) } else { format!("{} k", users / 1e3) }
}

fn on_paper(Setup { name, service, settings, .. }: &Setup, costs: &Costs) {
    let traffic = Traffic::of(service, settings);
    let demand = Demand::of(service, settings, &traffic, costs);
    let (part, busiest) = demand.busiest();
    let figures = [
        ("requests", traffic.requests, "/s"),
        ("loads", traffic.loads, "/s"),
        ("hits", 100.0 * (1.0 - traffic.loads / traffic.requests), "%"),
        ("activity", traffic.flushed, "rows/s"),
        ("refreshes", traffic.refreshes, "/s"),
        ("confirmations", traffic.confirmed, "rows/s"),
        ("sign-ins", service.sign_ins(), "/s"),
        ("beats", demand.beats, "/s"),
        ("ends delivered", demand.deliveries, "/s"),
        ("durable commits", demand.durable_commits, "/s"),
        ("of what two cores did", demand.durable_commits / costs.durable_commits, "times"),
        ("commits that notify under way", 100.0 * demand.notifying, "% of the time"),
        ("log", demand.wal / 1e6, "MB/s"),
        ("disk", demand.disk / 1e9, "GB"),
        ("tokens held", traffic.held, "a node"),
        ("cache", demand.node_memory / 1e6, "MB a node"),
        ("connections", demand.connections, ""),
        ("walk over live rows", demand.walk / 60.0, "min"),
        ("reading all active sessions anew", demand.cold, "core seconds"),
        ("database", demand.all_cores(), "cores"),
        ("of them", busiest, part),
    ];
    row(SECTION, name, &figures);
}

/// How far the simulation is off the formulas, in percent.
fn simulated(Setup { name, service, settings, .. }: &Setup) -> [f64; 5] {
    let quick = std::env::var_os("QUICK").is_some();
    // As many sessions on a visit for each size.
    let scale = service.active() / if quick { 1_000.0 } else { 5_000.0 };
    let minutes = if quick { 30.0 } else { 60.0 };
    let paper = Traffic::of(service, settings);
    let Counted { traffic: counted, requests_simulated } =
        simulate(service, settings, scale, (settings.access_token_ttl / 60.0 + 30.0) * 60.0, minutes * 60.0);
    let pairs = [
        ("loads", "/s", paper.loads, counted.loads),
        ("activity", "rows/s", paper.flushed, counted.flushed),
        ("refreshes", "/s", paper.refreshes, counted.refreshes),
        ("tokens held", "a node", paper.held, counted.held),
        ("confirmations", "rows/s", paper.confirmed, counted.confirmed),
    ];
    let mut figures = vec![
        ("requests", counted.requests, "/s"),
        ("hits", 100.0 * (1.0 - counted.loads / counted.requests), "%"),
        ("hits by the formula", 100.0 * (1.0 - paper.loads / paper.requests), "%"),
    ];
    let off = pairs.map(|(what, unit, paper, counted)| {
        let off = 100.0 * (counted / paper - 1.0);
        figures.push((what, counted, unit));
        figures.push(("off its formula", off, "%"));
        off
    });
    figures.push(("requests simulated", requests_simulated, ""));
    row(SECTION, &format!("simulated, 1:{scale:.0}: {name}"), &figures);
    off
}
