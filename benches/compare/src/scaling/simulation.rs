//! Requests one after the other, through nodes with caches. Nothing here knows the formulas.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{
    model::Traffic,
    node::Node,
    random::{Random, mix},
    service::{Balancing, Service, Settings},
};

/// What was counted, a second; `held` is of a node.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    pub traffic: Traffic,
    pub requests_simulated: f64,
}

struct Simulation<'a> {
    service: &'a Service,
    settings: &'a Settings,
    random: Random,
    nodes: Vec<Node>,
    sessions: Vec<Session>,
    events: BinaryHeap<Reverse<(u64, u32)>>,
    count: Count,
}

#[derive(Clone, Copy, Default)]
struct Session {
    rate: f64,
    /// When its visit ends, in microseconds; 0: it is on none.
    leaves: u64,
    generation: u32,
    expires: f64,
    seen: bool,
}

#[derive(Clone, Copy, Default)]
struct Count {
    requests: u64,
    loads: u64,
    flushed: u64,
    refreshes: u64,
    confirmed: u64,
}

/// Whole ones, so that an event comes at exactly the time it was put down for.
fn micros(seconds: f64) -> u64 {
    (seconds * 1e6) as u64
}

/// Somebody comes.
const ARRIVAL: u32 = u32::MAX;

/// The service scaled down by `scale` in users and in the room of each node. `warm_up` and `measured` are seconds of simulated time.
pub fn simulate(service: &Service, settings: &Settings, scale: f64, warm_up: f64, measured: f64) -> Counted {
    let service = Service { users: service.users / scale, ..*service };
    let settings = Settings { max_cached_sessions: (settings.max_cached_sessions / scale).round(), ..*settings };
    let mut simulation = Simulation::new(&service, &settings);
    simulation.run_until(warm_up);
    simulation.count = Count::default();
    let (mut held, mut looks) = (0, 0);
    for minute in 1..=(measured / 60.0) as u32 {
        simulation.run_until(warm_up + f64::from(minute) * 60.0);
        held += simulation.nodes.iter().map(Node::len).sum::<usize>();
        looks += simulation.nodes.len();
    }
    let Count { requests, loads, flushed, refreshes, confirmed } = simulation.count;
    let a_second = |count: u64| count as f64 / measured * scale;
    Counted {
        traffic: Traffic {
            requests: a_second(requests),
            loads: a_second(loads),
            flushed: a_second(flushed),
            refreshes: a_second(refreshes),
            confirmed: a_second(confirmed),
            held: held as f64 / looks as f64 * scale,
        },
        requests_simulated: requests as f64,
    }
}

impl<'a> Simulation<'a> {
    fn new(service: &'a Service, settings: &'a Settings) -> Self {
        let mut random = Random::new(1);
        let nodes = (0..service.nodes as usize)
            .map(|_| {
                let flushed_next = random.unit() * settings.activity_interval;
                Node::new(settings.max_cached_sessions as usize, settings.access_token_ttl, flushed_next)
            })
            .collect();
        let spread = service.spread;
        let mut session = || {
            let rate = service.rate * (spread * random.normal() - spread * spread / 2.0).exp();
            Session { rate, ..Session::default() }
        };
        let sessions = (0..service.live() as usize).map(|_| session()).collect();
        let mut simulation =
            Self { service, settings, random, nodes, sessions, events: BinaryHeap::new(), count: Count::default() };
        for _ in 0..service.active() as usize {
            simulation.arrive(0.0);
        }
        simulation.at(0.0, ARRIVAL);
        simulation
    }

    fn at(&mut self, when: f64, what: u32) {
        self.events.push(Reverse((micros(when), what)));
    }

    fn run_until(&mut self, end: f64) {
        while let Some(&Reverse((micros, what))) = self.events.peek() {
            let now = micros as f64 / 1e6;
            if now >= end {
                return;
            }
            self.events.pop();
            if what == ARRIVAL {
                self.arrive(now);
                let wait = self.random.exponential(self.service.visit / self.service.active());
                self.at(now + wait, ARRIVAL);
            } else if micros < self.sessions[what as usize].leaves {
                self.request(what, now);
                self.go_on(what, now);
            } else {
                self.sessions[what as usize].leaves = 0;
            }
        }
    }

    /// A visit of a session that is not on one begins.
    fn arrive(&mut self, now: f64) {
        let who = loop {
            let who = self.random.below(self.sessions.len());
            if self.sessions[who].leaves == 0 {
                break who;
            }
        };
        self.sessions[who].leaves = micros(now + self.random.exponential(self.service.visit)).max(1);
        self.go_on(who as u32, now);
    }

    /// Its next request, or it leaves before.
    fn go_on(&mut self, who: u32, now: f64) {
        let Session { rate, leaves, .. } = self.sessions[who as usize];
        let next = micros(now + self.random.exponential(1.0 / rate));
        self.events.push(Reverse((next.min(leaves), who)));
    }

    fn request(&mut self, who: u32, now: f64) {
        self.count.requests += 1;
        if now >= self.sessions[who as usize].expires {
            self.refresh(who, now);
        }
        self.judge(who, now, true);
    }

    fn refresh(&mut self, who: u32, now: f64) {
        self.count.refreshes += 1;
        let jitter = 1.0 - 0.05 * self.random.unit();
        let session = &mut self.sessions[who as usize];
        session.generation += 1;
        session.seen = false;
        session.expires = now + self.settings.access_token_ttl * jitter;
        // By what the node knows of the session, which it reads if it knows nothing.
        self.judge(who, now, false);
    }

    fn judge(&mut self, who: u32, now: f64, by_token: bool) {
        let node = match self.service.balancing {
            Balancing::Random => self.random.below(self.nodes.len()),
            Balancing::Sticky => (mix(u64::from(who) + 1) % self.nodes.len() as u64) as usize,
        };
        let (node, session) = (&mut self.nodes[node], &mut self.sessions[who as usize]);
        let held = node.look_up(who, session.generation, now);
        if now >= held.read_again_at {
            self.count.loads += 1;
            let jitter = (mix(u64::from(who)) % 256) as f64 / 255.0;
            held.read_again_at = now + self.settings.max_age * (1.0 - 0.1 * jitter);
            // A refresh reads before it writes.
            let newest = (session.generation, session.seen);
            (held.generation, held.seen) = if by_token { newest } else { (session.generation - 1, true) };
        }
        if by_token && held.used != session.generation {
            held.used = session.generation;
            if held.generation != session.generation || !held.seen {
                self.count.confirmed += 1;
                session.seen = true;
            }
        }
        if node.queue(who, now, self.settings.activity_interval) {
            self.count.flushed += 1;
        }
    }
}
