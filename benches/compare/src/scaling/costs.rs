//! What things cost, measured once by hand but for what says that it is estimated or assumed. Each can be overridden from the
//! environment by its name.

/// A figure, what it is, and how it was taken.
pub struct Cost {
    pub name: &'static str,
    pub value: f64,
    pub unit: &'static str,
    pub source: &'static str,
}

macro_rules! costs {
    ($($field:ident, $name:literal, $default:literal, $unit:literal, $source:literal;)*) => {
        /// Of one server of Postgres and one node.
        #[derive(Clone, Copy, Debug)]
        pub struct Costs { $(pub $field: f64,)* }

        impl Costs {
            /// The defaults, or what the environment says.
            pub fn from_env() -> Self {
                Self { $($field: from_env($name, $default),)* }
            }

            pub fn list(&self) -> Vec<Cost> {
                vec![$(Cost { name: $name, value: self.$field, unit: $unit, source: $source },)*]
            }
        }
    };
}

costs! {
    load_us, "LOAD_US", 7.1, "us/row", "256 ids a statement, all columns, one backend";
    flush_us, "FLUSH_US", 16.0, "us/row", "the real statement, 1,000 rows a chunk, 1 M rows; 10 with neighbours, 21 after a checkpoint";
    confirm_us, "CONFIRM_US", 25.0, "us/row", "estimated: a lock, a read and at most one write of a row";
    refresh_us, "REFRESH_US", 690.0, "us", "two cores by 2,904 transactions a second of 32 clients, the clients included";
    sign_in_us, "SIGN_IN_US", 1_400.0, "us", "estimated: twice a refresh, as it has twice the statements";
    end_us, "END_US", 455.0, "us", "two cores by 4,398 ends a second of 8 clients, triggers and clients included";
    wake_us, "WAKE_US", 21.0, "us", "a notification and a listening backend, whatever it listens to: 948 a second with 100, 289 with 300";
    walk_step_ms, "WALK_STEP_MS", 29.0, "ms", "2,000 live rows in the order of their users, all in memory";
    commit_ms, "COMMIT_MS", 1.0, "ms", "assumed, 0.23 to 2.3 seen: a durable commit; those that notify go one after the other";
    durable_commits, "DURABLE_COMMITS", 2_900.0, "/s", "refreshes of 32 clients on two cores; larger servers do more";
    confirm_ms, "CONFIRM_MS", 3.0, "ms", "estimated: five round trips and a commit, during which the next batch gathers";
    wal_row, "WAL_ROW", 190.0, "B", "a row of activity on a page that is in the log since the checkpoint";
    checkpoint_s, "CHECKPOINT_S", 900.0, "s", "assumed, from one checkpoint to the next: checkpoint_timeout; Postgres' default is 300";
    rows_a_page, "ROWS_A_PAGE", 9.0, "", "404 bytes a row, fillfactor 50";
    disk_row, "DISK_ROW", 1_320.0, "B", "910 of the table; 156 of its indexes and 168 of devices when packed, taken as three quarters full";
    session_bytes, "SESSION_BYTES", 1_000.0, "B", "assumed, the goal: a token held with its session; see docs/benchmarks.md";
}

fn from_env(name: &str, default: f64) -> f64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")),
        Err(_) => default,
    }
}
