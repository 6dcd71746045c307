//! What each variant adds to a request in process, without a network: `Service::call` on the router, one at a time, on
//! one thread. `cargo run --release --bin in_process`; `QUICK=1` for a short run. Without Postgres' programs on the machine
//! the variants that need them are left out.

#[path = "../../../../examples/support/local_postgres.rs"]
mod local_postgres;

use std::time::{Duration, Instant};

use axum::{Extension, Router, extract};
use compare::{
    harness::{self, Random, median, of_rounds, percentile},
    peers::{
        self, ConnectInfo, VARIANTS, Variant,
        client::{self, Credential},
    },
    record::{self, Goal},
};
use local_postgres::LocalPostgres;
use tokio::task::{unconstrained, yield_now};
use tower::Service as _;

const SECTION: &str = "In process";
/// How long one turn is: so short that all turns of a round meet the machine in the same mood, and far longer than it takes to bring
/// its sessions back into the processor's cache.
const TURN: Duration = Duration::from_millis(20);
const ROUNDS: usize = 75;

struct Measured {
    variant: &'static Variant,
    app: Router,
    credentials: Vec<Credential>,
    random: Random,
    /// In each turn.
    requests: u32,
    /// Nanoseconds a request, of each turn.
    figures: Vec<f64>,
}

fn main() {
    let server = LocalPostgres::start(&[("fsync", "on")]);
    let url = server.as_ref().map(LocalPostgres::url).map_err(|cause| {
        record::note(SECTION, &format!("Without the variants that need Postgres, which did not start: {cause}"));
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let measured = runtime.block_on(measure(url.ok().as_deref()));
    tell(&measured);
}

async fn measure(server: Option<&str>) -> Vec<Measured> {
    let mut measured = Vec::new();
    for variant in VARIANTS.iter().filter(|it| it.in_process && (server.is_some() || !it.needs_postgres)) {
        measured.push(Measured::set_up(variant, server).await);
    }
    for order in harness::rounds(if harness::is_quick() { 3 } else { ROUNDS }, measured.len()) {
        for index in order {
            measured[index].turn().await;
        }
    }
    measured
}

impl Measured {
    async fn set_up(variant: &'static Variant, server: Option<&str>) -> Self {
        let database = match server {
            Some(server) if variant.needs_postgres => Some(peers::create_database(server, variant.id).await),
            _ => None,
        };
        let mut peer = peers::set_up(variant.id, database.as_deref()).await;
        if variant.connect_info == ConnectInfo::Required {
            peer.app = peer.app.layer(Extension(extract::ConnectInfo(client::ADDRESS)));
        }
        client::check(variant, &peer).await;
        // As `axum::serve` does: else each call makes the routes of its handlers anew.
        let (app, credentials) = (peer.app.with_state(()), peer.credentials);
        let mut this = Self { variant, app, credentials, random: Random::default(), requests: 0, figures: Vec::new() };
        this.warm_up().await;
        this
    }

    /// Each client asks once or more, and the number of requests for one turn is found.
    async fn warm_up(&mut self) {
        for client in 0..self.credentials.len() {
            self.ask(client).await;
        }
        let (mut asked, begin) = (0, Instant::now());
        while begin.elapsed() < 10 * TURN {
            self.random_requests(8).await;
            asked += 8;
        }
        self.requests = (asked / 10).max(8);
    }

    async fn turn(&mut self) {
        // What other variants left to do is done before, and the CPU's caches are ours again.
        yield_now().await;
        self.random_requests(self.requests / 4).await;
        let begin = Instant::now();
        self.random_requests(self.requests).await;
        self.figures.push(begin.elapsed().as_secs_f64() * 1e9 / f64::from(self.requests));
    }

    async fn random_requests(&mut self, count: u32) {
        // Tokio would make a task that never waits pause now and then. A server has a task for each connection, which
        // pauses by itself after each request.
        unconstrained(async {
            for _ in 0..count {
                let client = self.random.below(self.credentials.len());
                self.ask(client).await;
            }
        })
        .await;
    }

    async fn ask(&mut self, client: usize) {
        let answer = self.app.call(client::request(&self.credentials[client])).await.expect("infallible");
        assert_eq!(answer.status(), 200, "{}", self.variant.name);
    }
}

fn tell(measured: &[Measured]) {
    let one = |id: &str| measured.iter().find(|it| it.variant.id == id).expect("it is always there");
    let added = |id: &str| of_rounds(&one(id).figures, &one(one(id).variant.bare).figures, |it, bare| it - bare);
    // With as many sessions.
    let of_empty =
        |id: &str| added(id) / added(if one(id).variant.bare == "bare-few" { "from_fn-few" } else { "from_fn" });
    for Measured { variant, figures, .. } in measured {
        let mut row = vec![
            ("a request", median(figures), "ns"),
            ("p10", percentile(figures, 10), "ns"),
            ("p90", percentile(figures, 90), "ns"),
        ];
        if !variant.id.starts_with("bare") {
            let (added, of_empty) = (added(variant.id), of_empty(variant.id));
            row.extend([("added over bare", added, "ns"), ("of what from_fn adds", of_empty, "x")]);
        }
        record::row(SECTION, variant.name, &row);
    }
    for (id, algorithm) in
        [("ours", "HS256"), ("ours-rs256", "RS256"), ("ours-es256", "ES256"), ("ours-eddsa", "EdDSA")]
    {
        let what = format!("added over bare, of what an empty from_fn adds: {algorithm}");
        record::goal(SECTION, &what, of_empty(id), "x", Goal::AtMost(1.8));
    }
    record::note(
        SECTION,
        &format!(
            "The aim is 1.0. {} rounds; in each, every variant has one turn of some {} ms, in another order each time: requests of \
             pseudo-random ones of {} clients, one after the other on one thread. A request is built anew for each call with four \
             header lines, the credential's bytes read and copied as a server does that has just received them, and its answer \
             dropped, which every row includes. A request: the median of the turns, and \
             p10 to p90 of them. Added: the median of the rounds' differences to bare. What goes on beside requests, such as \
             writing down activity every 10 s, is not in here; it is over HTTP.",
            one("bare").figures.len(),
            TURN.as_millis(),
            peers::SESSIONS,
        ),
    );
    record::note(
        SECTION,
        "Postgres is private, on loopback, with `fsync`; its variants wait for it with one request at a time.",
    );
    for Measured { variant, .. } in measured {
        record::note(SECTION, &format!("{}: {}.", variant.name, variant.note));
    }
}
