//! What is to be known of each variant before it is set up.

#[derive(Debug)]
pub struct Variant {
    /// For command lines, files and databases.
    pub id: &'static str,
    /// In tables.
    pub name: &'static str,
    pub has_sessions: bool,
    /// Needed in process too, where ours keeps its sessions in memory.
    pub needs_postgres: bool,
    pub connect_info: ConnectInfo,
    /// It writes a session at intervals, on a request, so that after a pause all sessions are due together. Seconds of load
    /// over HTTP, before its turn, that bring them back to what they are under steady load.
    pub lead_in: u32,
    pub in_process: bool,
    pub over_http: bool,
    /// The one without a layer to which this one adds something. Ours have each one that gets the same credentials.
    pub bare: &'static str,
    /// How it is set up.
    pub note: &'static str,
}

/// Whether the application is served with the addresses of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectInfo {
    /// Its documentation does not ask for it.
    Without,
    /// Its documentation serves so, and a request is answered without it.
    Documented,
    /// No request is answered without it.
    Required,
}

const FLOOR: Variant = Variant {
    id: "",
    name: "",
    has_sessions: false,
    needs_postgres: false,
    connect_info: ConnectInfo::Without,
    lead_in: 0,
    in_process: true,
    over_http: true,
    bare: "bare",
    note: "",
};
const BARE: Variant = Variant { over_http: false, ..FLOOR };
const MEMORY: Variant = Variant { has_sessions: true, ..FLOOR };
const POSTGRES: Variant = Variant { needs_postgres: true, ..MEMORY };
const OURS: Variant = Variant { connect_info: ConnectInfo::Documented, ..MEMORY };

pub const VARIANTS: &[Variant] = &[
    Variant {
        id: "bare",
        name: "bare",
        note: "a router with the route alone; its clients send the same tokens as those of ours",
        ..FLOOR
    },
    Variant {
        id: "bare-rs256",
        name: "bare, RS256",
        note: "the same with the tokens of `ours, RS256`, which are longer",
        ..BARE
    },
    Variant { id: "bare-es256", name: "bare, ES256", note: "with those of `ours, ES256`", ..BARE },
    Variant { id: "bare-eddsa", name: "bare, EdDSA", note: "with those of `ours, EdDSA`", ..BARE },
    Variant { id: "bare-cookie", name: "bare, with cookies", note: "with the cookies of `ours, by cookie`", ..BARE },
    Variant {
        id: "extension",
        name: "extension",
        note: "axum's `Extension` with one fixed `Arc`, which the handler takes: the floor of any layer that hands on a session",
        ..FLOOR
    },
    Variant { id: "from_fn", name: "from_fn", note: "an empty `axum::middleware::from_fn`", ..FLOOR },
    Variant {
        id: "ours",
        name: "ours",
        note: "as in the README (HS256, `PostgresStore::connect`, `CurrentSession` taken by the handler, served with \
               `ConnectInfo`); in process over `MemoryStore` and without `ConnectInfo`: a request whose session is in memory \
               goes the same way",
        ..OURS
    },
    Variant {
        id: "ours-rs256",
        name: "ours, RS256",
        note: "the same with an RSA key of 2048 bits; what it adds is added to `bare, RS256`, and so on with the others",
        over_http: false,
        bare: "bare-rs256",
        ..OURS
    },
    Variant {
        id: "ours-es256",
        name: "ours, ES256",
        note: "the same with a key on P-256",
        over_http: false,
        bare: "bare-es256",
        ..OURS
    },
    Variant {
        id: "ours-eddsa",
        name: "ours, EdDSA",
        note: "the same with an Ed25519 key",
        over_http: false,
        bare: "bare-eddsa",
        ..OURS
    },
    Variant {
        id: "ours-cookie",
        name: "ours, by cookie",
        note: "the same by the cookies of a sign-in with `SignIn::cookie`: the session's and the device's, as a browser sends them",
        bare: "bare-cookie",
        ..OURS
    },
    Variant {
        id: "bare-few",
        name: "bare, 16 sessions",
        note: "with the tokens of `ours, 16 sessions`",
        bare: "bare-few",
        ..BARE
    },
    Variant {
        id: "from_fn-few",
        name: "from_fn, 16 sessions",
        note: "`from_fn` with the same; it is what the others of 16 are divided by",
        over_http: false,
        bare: "bare-few",
        ..FLOOR
    },
    Variant {
        id: "ours-few",
        name: "ours, 16 sessions",
        note: "`ours`, where only 16 of the 2,000 clients ask: what it still adds is work, and the rest is waiting for memory",
        over_http: false,
        bare: "bare-few",
        ..OURS
    },
    Variant {
        id: "tower-sessions-memory",
        name: "tower-sessions (memory)",
        note: "tower-sessions 0.14, `MemoryStore`, `Expiry::OnInactivity`; one value in the session, read by the handler",
        ..MEMORY
    },
    Variant {
        id: "tower-sessions-memory-save",
        name: "tower-sessions (memory, always_save)",
        note: "the same `with_always_save(true)`: without it a session that is used but not changed expires all the same",
        ..MEMORY
    },
    Variant {
        id: "tower-sessions-caching",
        name: "tower-sessions (moka, Postgres)",
        note: "the same with `CachingSessionStore` of `MokaStore`, with room for all, and sqlx's `PostgresStore` (default pool)",
        ..POSTGRES
    },
    Variant {
        id: "tower-sessions-caching-save",
        name: "tower-sessions (moka, Postgres, always_save)",
        note: "the same `with_always_save(true)`",
        ..POSTGRES
    },
    Variant {
        id: "tower-sessions-postgres",
        name: "tower-sessions (Postgres)",
        note: "the same with sqlx's `PostgresStore` alone",
        ..POSTGRES
    },
    Variant {
        id: "tower-sessions-postgres-save",
        name: "tower-sessions (Postgres, always_save)",
        note: "the same `with_always_save(true)`",
        ..POSTGRES
    },
    Variant {
        id: "axum-login-memory",
        name: "axum-login (memory)",
        note: "axum-login 0.18, tower-sessions' `MemoryStore` and users in a `HashMap`, as its overview has them; the handler takes \
               `AuthSession` and looks at its user",
        over_http: false,
        ..MEMORY
    },
    Variant {
        id: "axum-login-postgres",
        name: "axum-login (Postgres)",
        note: "axum-login 0.18 after its example for SQLite: sessions in sqlx's `PostgresStore`, a backend that selects the user \
               by its id on each request",
        ..POSTGRES
    },
    Variant {
        id: "axum-session-postgres",
        name: "axum_session (Postgres)",
        note: "axum_session 0.22 with axum_session_sqlx 0.12 and `SessionConfig::default`; one value in the session, read by the \
               handler. It keeps sessions in memory and writes each at most every 10 s, on a request that waits for it. A second of \
               load before each turn takes the writes that the pause left due; not in process, where turns are so short that \
               most of such writes would fall into them",
        in_process: false,
        lead_in: 1,
        ..POSTGRES
    },
    Variant {
        id: "session-guard-postgres",
        name: "session-guard (Postgres)",
        note: "session-guard 0.3.2, `Guard::new` over `PgStore::migrated`, `AuthSession` taken by the handler, served with \
               `ConnectInfo`, as its quick start has it. It reads a session on each request and writes it at most every 60 s; over HTTP \
               two seconds of load before each turn take the writes that the pause left due",
        connect_info: ConnectInfo::Required,
        lead_in: 2,
        ..POSTGRES
    },
    Variant {
        id: "tutorial",
        name: "tutorial",
        note: "what the usual tutorial ends in: a `from_fn` that decodes HS256 with jsonwebtoken, then, over a pool of 16 of \
               deadpool-postgres, a prepared SELECT of the session and a prepared UPDATE of its last activity",
        ..POSTGRES
    },
    Variant {
        id: "jwt-moka",
        name: "jsonwebtoken and moka",
        note: "a `from_fn` that decodes HS256 with jsonwebtoken and finds the session in a `moka::future::Cache`; nothing tells it of \
               an end, and no activity is recorded",
        ..MEMORY
    },
];
