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

/// Where the listener is, as far as it is anywhere.
#[derive(Debug, Default)]
pub(super) struct Primary {
    listener: Mutex<Option<Identity>>,
    differs: Notify,
}

impl Primary {
    /// The listener has connected here.
    pub(super) fn is(&self, identity: Identity) {
        *self.listener() = Some(identity);
    }

    pub(super) fn forget(&self) {
        *self.listener() = None;
    }

    /// A connection of the pool has come to this server. Where that is not the listener's, both are wrong until they
    /// agree: the listener connects anew, and the caller must not use the connection.
    pub(super) fn agrees_with(&self, pooled: &Identity) -> bool {
        let agrees = self.listener().as_ref().is_none_or(|listener| listener == pooled);
        if !agrees {
            self.differs.notify_one();
        }
        agrees
    }

    /// Waits for a disagreement.
    pub(super) async fn differs(&self) {
        self.differs.notified().await;
    }

    fn listener(&self) -> MutexGuard<'_, Option<Identity>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
