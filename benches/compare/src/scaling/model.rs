//! The formulas of `docs/scaling.md`. A visit begins and ends at random (memoryless, as are its requests), so that all of them are
//! closed; sessions differ in how busy they are, and the formulas are summed over that.

use super::service::{Balancing, Service, Settings};

/// What happens a second, and what a node holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    pub requests: f64,
    /// Rows read because a node did not have them, or not young enough.
    pub loads: f64,
    /// Rows of activity written.
    pub flushed: f64,
    pub refreshes: f64,
    /// Rows looked at, and once for each refresh written, because a node meets a token that it does not know to be in use.
    pub confirmed: f64,
    /// Tokens that a node holds, each with its session.
    pub held: f64,
}

impl Traffic {
    pub fn of(service: &Service, settings: &Settings) -> Self {
        let room = Room::of(service, settings);
        let mut traffic = Self { requests: service.requests(), held: room.held, ..Self::default() };
        let active = service.active();
        let leaving = 1.0 / service.visit;
        let reading = settings.reading_lives();
        for (share, rate) in service.classes() {
            let pair = Pair::of(service, settings, rate);
            let pairs = active * share * service.nodes_a_session();
            let back = comes_back(service, reading.min(room.forgets));
            let visit =
                loads_a_visit(pair.rate, leaving, reading, room.forgets) - back * pair.rate / (pair.rate + leaving);
            traffic.loads += pairs * leaving * visit;
            traffic.flushed += pairs * pair.rate * first_of(pair.rate, leaving, settings.activity_interval);
            traffic.refreshes += active * share * pair.refreshes;
            traffic.confirmed +=
                active * share * (pair.refreshes + pair.confirmed_again(service, reading.min(room.forgets)));
        }
        traffic
    }
}

/// One session on one node.
struct Pair {
    /// Its requests a second there.
    rate: f64,
    /// Of the session, on whichever node.
    refreshes: f64,
    /// Of these, in the middle of a visit.
    on_the_way: f64,
    /// Nodes that a token is put in on.
    nodes_a_token: f64,
}

impl Pair {
    fn of(service: &Service, settings: &Settings, rate: f64) -> Self {
        let leaving = 1.0 / service.visit;
        let comes = rate / (rate + leaving);
        let lives = settings.token_lives();
        // The first request of a visit finds its token expired, unless the session was here lately; so does each first one
        // after the token's life.
        let outlives = (-leaving * lives).exp() * comes;
        let back = comes_back(service, lives);
        let refreshes = leaving * comes * (1.0 - back + back * outlives.sqrt()) / (1.0 - outlives);
        let on_the_way = refreshes - leaving * comes * (1.0 - back);
        match service.balancing {
            Balancing::Random => {
                let each = rate / service.nodes;
                let missed = (leaving + each * (-(leaving + each) * lives).exp()) / (leaving + each);
                let nodes_a_token = service.nodes * (1.0 - missed) + missed;
                Self { rate: (rate + refreshes) / service.nodes, refreshes, on_the_way, nodes_a_token }
            }
            // The refresh goes where the request behind it goes.
            Balancing::Sticky => Self { rate, refreshes, on_the_way, nodes_a_token: 1.0 },
        }
    }

    /// By the other nodes, where they still believe what they read before the refresh.
    fn confirmed_again(&self, service: &Service, believed: f64) -> f64 {
        let others = service.nodes_a_session() - 1.0;
        let asked = self.rate * believed;
        let holds = asked / (1.0 + asked) * (1.0 - (1.0 - (-asked).exp()) / asked);
        self.on_the_way * others * holds * self.rate / (self.rate + 1.0 / service.visit)
    }
}

/// The share of visits that begin within what is left of something that lives so long, and was made anew during the last visit.
fn comes_back(service: &Service, lives: f64) -> f64 {
    let leaving = 1.0 / service.visit;
    let gone = (-leaving * lives).exp();
    let left = lives - (1.0 / leaving - lives * gone / (1.0 - gone));
    service.active() * leaving / (service.live() - service.active()) * left
}

/// The share of requests that are the first of their session in an interval.
fn first_of(rate: f64, leaving: f64, interval: f64) -> f64 {
    let both = rate + leaving;
    (leaving + rate * (1.0 - (-both * interval).exp()) / (both * interval)) / both
}

/// Loads of a session on a node in a visit. Between two of them lies the life of a reading and the wait for a request; unless the
/// node forgets sessions that were not asked for in so long, and one has been forgotten.
fn loads_a_visit(rate: f64, leaving: f64, reading_lives: f64, forgets: f64) -> f64 {
    let comes = rate / (rate + leaving);
    let forgotten = rate * (-rate * forgets).exp();
    let either = forgotten + leaving;
    let lived = (-either * reading_lives).exp();
    let again = forgotten / either * (1.0 - lived) + lived * comes;
    comes / (1.0 - again)
}

/// What a node has room for.
struct Room {
    held: f64,
    /// After how long without a request the least recently used one goes.
    forgets: f64,
}

impl Room {
    fn of(service: &Service, settings: &Settings) -> Self {
        let (capacity, lives) = (settings.max_cached_sessions, settings.access_token_ttl);
        let pairs = service.active() * service.nodes_a_session() / service.nodes;
        let leaving = 1.0 / service.visit + 1.0 / settings.token_lives();
        let of = |(share, rate)| (share, Pair::of(service, settings, rate));
        let classes: Vec<(f64, Pair)> = service.classes().map(of).collect();
        let put_in: f64 = classes.iter().map(|(share, pair)| share * pair.refreshes * pair.nodes_a_token).sum();
        let wanted = service.active() / service.nodes * put_in * lives;
        if wanted <= capacity {
            return Self { held: wanted, forgets: f64::INFINITY };
        }
        // Distinct tokens asked for within a span; the span in which there are as many as there is room for.
        let distinct = |span: f64| -> f64 {
            let of = |(share, pair): &(f64, Pair)| {
                let (rate, both) = (pair.rate, pair.rate + leaving);
                share * pairs * rate * (leaving * span + rate * (1.0 - (-both * span).exp()) / both) / both
            };
            classes.iter().map(of).sum()
        };
        let (mut short, mut long) = (0.0, lives);
        for _ in 0..60 {
            let middle = (short + long) / 2.0;
            *(if distinct(middle) < capacity { &mut short } else { &mut long }) = middle;
        }
        Self { held: capacity, forgets: short }
    }
}
