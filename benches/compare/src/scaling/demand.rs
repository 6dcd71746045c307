//! What the traffic asks of one server of Postgres.

use super::{
    costs::Costs,
    model::Traffic,
    service::{Service, Settings},
};

pub struct Demand {
    /// Cores of the database that each part keeps busy.
    pub cores: [(&'static str, f64); 8],
    pub beats: f64,
    pub deliveries: f64,
    /// Commits a second that are flushed to disk before they are answered.
    pub durable_commits: f64,
    /// The share of the time in which some commit that notifies is under way: there is one at a time.
    pub notifying: f64,
    /// Bytes a second.
    pub wal: f64,
    pub disk: f64,
    pub node_memory: f64,
    pub connections: f64,
    /// Seconds that one walk over all live rows takes.
    pub walk: f64,
    /// Seconds in which one core reads all active sessions of all nodes anew.
    pub cold: f64,
}

/// Of the sessions that end, those that somebody ends, each in a transaction of its own. The others run out, by the hundred.
const ENDED_BY_SOMEBODY: f64 = 0.5;
const MICRO: f64 = 1e-6;

impl Demand {
    pub fn of(service: &Service, settings: &Settings, traffic: &Traffic, costs: &Costs) -> Self {
        let nodes = service.nodes;
        let beats = nodes * 3.0 / settings.max_staleness;
        let sign_ins = service.sign_ins();
        let ends = sign_ins * ENDED_BY_SOMEBODY;
        let confirming = traffic.confirmed / nodes;
        let confirm_commits = nodes * confirming / (1.0 + confirming * costs.confirm_ms / 1e3);
        // A step, and as long a pause; one node at a time. It begins anew every 15 minutes at the earliest.
        let walk = service.live() / 2_000.0 * 2.0 * costs.walk_step_ms / 1e3;
        let walking = 0.5 * (walk / 900.0).min(1.0);
        let cores = [
            ("loads", traffic.loads * costs.load_us * MICRO),
            ("activity", traffic.flushed * costs.flush_us * MICRO),
            ("refresh", traffic.refreshes * costs.refresh_us * MICRO),
            ("confirm", traffic.confirmed * costs.confirm_us * MICRO),
            ("sign-in", sign_ins * costs.sign_in_us * MICRO),
            ("end", ends * costs.end_us * MICRO),
            ("beats and ends told", (beats + ends) * nodes * costs.wake_us * MICRO),
            ("walk", walking),
        ];
        Self {
            cores,
            beats,
            deliveries: sign_ins * nodes,
            durable_commits: sign_ins + ends + traffic.refreshes + confirm_commits,
            notifying: ends * costs.commit_ms / 1e3,
            wal: Self::wal(service, traffic, costs),
            disk: service.live() * (1.0 + settings.history_days / service.session_days) * costs.disk_row,
            node_memory: traffic.held * costs.session_bytes,
            connections: nodes * 12.0,
            walk,
            cold: service.active() * costs.load_us * MICRO,
        }
    }

    /// Each change, and once between two checkpoints each page with a change on it.
    fn wal(service: &Service, traffic: &Traffic, costs: &Costs) -> f64 {
        let changes = traffic.flushed + traffic.refreshes;
        let distinct = service.active() * (1.0 + costs.checkpoint_s / service.visit);
        let untouched = (1.0 - (distinct / service.live()).min(1.0)).powf(costs.rows_a_page);
        let pages = service.live() / costs.rows_a_page * (1.0 - untouched);
        changes * costs.wal_row + (pages / costs.checkpoint_s).min(changes) * 8_192.0
    }

    pub fn all_cores(&self) -> f64 {
        self.cores.iter().map(|(_, cores)| cores).sum()
    }

    /// What keeps the database busiest.
    pub fn busiest(&self) -> (&'static str, f64) {
        self.cores.into_iter().fold(("", 0.0), |most, one| if one.1 > most.1 { one } else { most })
    }
}
