//! The variants that are compared: each a router that answers `GET /` with "ok" to whoever has a session, and the header
//! lines of clients who have one. Those of Postgres get a database of their own.

mod axum_login;
mod axum_session;
mod by_hand;
pub mod client;
mod floor;
mod ours;
mod session_guard;
mod table;
mod tower_sessions;

use axum::Router;
use tokio_postgres::NoTls;

use self::{client::Credential, tower_sessions::Save};

pub use table::{ConnectInfo, VARIANTS, Variant};

/// Clients, each with a session of its own.
pub const SESSIONS: usize = 2_000;
/// So few that all of what a request looks at stays near the processor.
const FEW: usize = 16;

#[derive(Clone, Debug)]
pub struct Peer {
    pub app: Router,
    pub credentials: Vec<Credential>,
}

impl Peer {
    /// The same, where the others have gone to sleep.
    fn of_few(mut self) -> Self {
        self.credentials.truncate(FEW);
        self
    }
}

/// # Panics
///
/// Where anything is not as it should be: a benchmark has nobody to tell it to.
pub async fn set_up(id: &str, database: Option<&str>) -> Peer {
    let url = || database.expect("this variant needs Postgres");
    match id {
        "bare" => floor::bare(ours::in_memory(ours::hs256()).await),
        "bare-rs256" => floor::bare(ours::in_memory(ours::rs256()).await),
        "bare-es256" => floor::bare(ours::in_memory(ours::es256()).await),
        "bare-eddsa" => floor::bare(ours::in_memory(ours::eddsa()).await),
        "bare-cookie" => floor::bare(ours::by_cookie(None).await),
        "extension" => floor::extension().await,
        "from_fn" => floor::from_fn_alone().await,
        "bare-few" => floor::bare(ours::in_memory(ours::hs256()).await).of_few(),
        "from_fn-few" => floor::from_fn_alone().await.of_few(),
        "ours-few" => ours::in_memory(ours::hs256()).await.of_few(),
        "ours" => ours::by_header(database).await,
        "ours-rs256" => ours::in_memory(ours::rs256()).await,
        "ours-es256" => ours::in_memory(ours::es256()).await,
        "ours-eddsa" => ours::in_memory(ours::eddsa()).await,
        "ours-cookie" => ours::by_cookie(database).await,
        "tower-sessions-memory" => tower_sessions::memory(Save::IfChanged).await,
        "tower-sessions-memory-save" => tower_sessions::memory(Save::Always).await,
        "tower-sessions-caching" => tower_sessions::caching(url(), Save::IfChanged).await,
        "tower-sessions-caching-save" => tower_sessions::caching(url(), Save::Always).await,
        "tower-sessions-postgres" => tower_sessions::postgres(url(), Save::IfChanged).await,
        "tower-sessions-postgres-save" => tower_sessions::postgres(url(), Save::Always).await,
        "axum-login-memory" => axum_login::memory().await,
        "axum-login-postgres" => axum_login::postgres(url()).await,
        "axum-session-postgres" => axum_session::postgres(url()).await,
        "session-guard-postgres" => session_guard::postgres(url()).await,
        "tutorial" => by_hand::tutorial(url()).await,
        "jwt-moka" => by_hand::cached().await,
        other => panic!("no variant {other}"),
    }
}

/// A new database for this variant on the server of this URL.
pub async fn create_database(server: &str, id: &str) -> String {
    let (client, connection) = tokio_postgres::connect(server, NoTls).await.expect("the server is there");
    let connection = tokio::spawn(connection);
    client.batch_execute(&format!(r#"CREATE DATABASE "{id}""#)).await.expect("the server is new");
    drop(client);
    connection.await.expect("it does not panic").expect("it ends in order");
    let (server, _) = server.rsplit_once('/').expect("the URL names a database");
    format!("{server}/{id}")
}
