//! Whether the pool and the listener talk to the same server. After a failover one of them may still be connected to
//! the old primary, or the pool may have come to a standby: what is read there is not what the listener tells of.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::listen::within;

/// One database on one server in one history of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    system: Option<String>,
    database: Option<String>,
    timeline: Option<String>,
}

impl Identity {
    /// Fails on a standby: it has no current WAL, and no business answering us.
    ///
    /// The timeline is that of the current WAL file, since the control file lags after a promotion.
    pub(super) async fn read(client: &Client) -> Result<Self, String> {
        let found = within(client.simple_query(
            "SELECT (SELECT system_identifier FROM pg_control_system()), \
             (SELECT oid FROM pg_database WHERE datname = current_database()), \
             CASE WHEN pg_is_in_recovery() THEN NULL ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END",
        ))
        .await?;
        let row = found.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let text = |column| row.and_then(|row| row.get(column)).map(str::to_owned);
        match text(2) {
            None => Err("this server is a standby: connect to the primary".into()),
            timeline => Ok(Self { system: text(0), database: text(1), timeline }),
        }
    }
}

/// Where the pool and the listener are, as far as they are anywhere.
#[derive(Debug, Default)]
pub(super) struct Primary {
    places: Mutex<Places>,
    differs: Notify,
}

#[derive(Debug, Default)]
struct Places {
    listener: Option<Identity>,
    /// Of its newest connection.
    pool: Option<Identity>,
}

impl Places {
    fn agree(&self) -> bool {
        match (&self.listener, &self.pool) {
            (Some(listener), Some(pool)) => listener == pool,
            _ => true,
        }
    }
}

impl Primary {
    /// The listener has connected here. `false`: the pool is elsewhere.
    #[must_use]
    pub(super) fn listener_is_at(&self, identity: Identity) -> bool {
        let mut places = self.places();
        places.listener = Some(identity);
        places.agree()
    }

    pub(super) fn listener_is_gone(&self) {
        self.places().listener = None;
    }

    /// A connection of the pool has come to this server. Where that is not the listener's, both are wrong until they
    /// agree: the listener connects anew, and the caller must not use the connection.
    #[must_use]
    pub(super) fn pool_is_at(&self, identity: Identity) -> bool {
        let mut places = self.places();
        places.pool = Some(identity);
        let agree = places.agree();
        drop(places);
        if !agree {
            self.differs.notify_one();
        }
        agree
    }

    /// Waits for a disagreement.
    pub(super) async fn differs(&self) {
        self.differs.notified().await;
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
