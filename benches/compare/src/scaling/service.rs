//! What is put in: a service, and the settings of the crate that move its loads.

/// A service at its peak.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    pub users: f64,
    /// Sessions that have not ended, of a user.
    pub live_sessions_a_user: f64,
    /// Of the users, that are on a visit at the peak, with one session each.
    pub active_share: f64,
    /// Requests a second of a session on a visit: the mean, and how far sessions differ (sigma of a log-normal distribution).
    pub rate: f64,
    pub spread: f64,
    /// Mean length of a visit, in seconds.
    pub visit: f64,
    pub nodes: f64,
    pub balancing: Balancing,
    /// From sign-in to end, in days; and how much more than on average is going on at the peak.
    pub session_days: f64,
    pub peak: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balancing {
    /// Each request goes to any node.
    Random,
    /// The requests of a session go to one node.
    Sticky,
}

/// Of the crate, in seconds where they are times. The defaults are the crate's.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub activity_interval: f64,
    pub max_age: f64,
    pub max_staleness: f64,
    pub access_token_ttl: f64,
    pub max_cached_sessions: f64,
    pub history_days: f64,
}

impl Service {
    pub fn of(users: f64, nodes: f64, balancing: Balancing) -> Self {
        Self {
            users,
            live_sessions_a_user: 2.0,
            active_share: 0.05,
            rate: 0.2,
            spread: 1.0,
            visit: 900.0,
            nodes,
            balancing,
            session_days: 30.0,
            peak: 3.0,
        }
    }

    pub fn active(&self) -> f64 {
        self.users * self.active_share
    }

    pub fn live(&self) -> f64 {
        self.users * self.live_sessions_a_user
    }

    pub fn requests(&self) -> f64 {
        self.active() * self.rate
    }

    /// Sign-ins a second at the peak, and as many ends.
    pub fn sign_ins(&self) -> f64 {
        self.live() / (self.session_days * 86_400.0) * self.peak
    }

    /// How many nodes a session's requests are spread over.
    pub fn nodes_a_session(&self) -> f64 {
        match self.balancing {
            Balancing::Random => self.nodes,
            Balancing::Sticky => 1.0,
        }
    }

    /// Sessions by how busy they are: their share, and their requests a second.
    pub fn classes(&self) -> impl Iterator<Item = (f64, f64)> {
        const STEPS: i32 = 400;
        let at = |step: i32| f64::from(step) * 10.0 / f64::from(STEPS) - 5.0;
        let density = |z: f64| (-z * z / 2.0).exp();
        let all: f64 = (0..=STEPS).map(|step| density(at(step))).sum();
        let (rate, spread) = (self.rate, self.spread);
        (0..=STEPS).map(move |step| {
            let z = at(step);
            (density(z) / all, rate * (spread * z - spread * spread / 2.0).exp())
        })
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            activity_interval: 10.0,
            max_age: 600.0,
            max_staleness: 5.0,
            access_token_ttl: 900.0,
            max_cached_sessions: 100_000.0,
            history_days: 30.0,
        }
    }
}

impl Settings {
    /// Readings are made anew up to a tenth earlier.
    pub fn reading_lives(&self) -> f64 {
        self.max_age * 0.95
    }

    /// Access tokens are up to a twentieth shorter.
    pub fn token_lives(&self) -> f64 {
        self.access_token_ttl * 0.975
    }
}
