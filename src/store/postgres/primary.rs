//! Whether the pool and the listener talk to the same server. After a failover one of them may still be connected to
//! the old primary, or the pool may have come to a standby: what is read there is not what the listener tells of.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::Notify;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::listen::within;

/// One database on one server in one history of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity(Arc<[Option<String>; 3]>);

impl Identity {
    /// System, database and timeline. Fails on a standby: it has no current WAL, and no business answering us.
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
            timeline => Ok(Self(Arc::new([text(0), text(1), timeline]))),
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
    /// Of the connection that was last borrowed.
    pool: Option<Identity>,
    /// Of each pooled connection, by the instant at which it was made: a pool that is shared with other code shows us
    /// connections that are no longer new.
    connections: HashMap<Instant, Identity>,
}

impl Primary {
    /// The listener has connected here. `false`: the pool is elsewhere.
    #[must_use]
    pub(super) fn listener_is_at(&self, identity: Identity) -> bool {
        let mut places = self.places();
        let agree = places.pool.as_ref().is_none_or(|pool| *pool == identity);
        places.listener = Some(identity);
        agree
    }

    pub(super) fn listener_is_gone(&self) {
        self.places().listener = None;
    }

    /// Where the connection made at this instant goes, if it has been asked.
    pub(super) fn known(&self, made: Instant) -> Option<Identity> {
        self.places().connections.get(&made).cloned()
    }

    pub(super) fn remember(&self, made: Instant, identity: Identity) {
        let mut places = self.places();
        // Connections come and go. Forgetting costs a question each.
        if places.connections.len() >= MOST_CONNECTIONS {
            places.connections.clear();
        }
        places.connections.insert(made, identity);
    }

    /// A connection of the pool that goes there is about to be used. Where that is not the listener's place, both are
    /// wrong until they agree: the listener connects anew, and the caller must not use the connection.
    #[must_use]
    pub(super) fn pool_is_at(&self, identity: Identity) -> bool {
        let mut places = self.places();
        let agree = places.listener.as_ref().is_none_or(|listener| *listener == identity);
        places.pool = Some(identity);
        drop(places);
        if !agree {
            self.differs.notify_waiters();
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

const MOST_CONNECTIONS: usize = 1_000;
