//! Sessions in Postgres, through a deadpool pool.
//!
//! Every query is an unnamed one (`query_typed`, one round trip, built-in types only), so it works behind a pooler in
//! transaction mode. Every write is an `INSERT`, or an `UPDATE .. WHERE ended_at IS NULL`: nothing is upserted.

mod activity;
mod admit;
mod import;
mod lend;
mod listen;
mod migrate;
mod outbox;
mod outbox_sql;
mod primary;
mod row;
mod sql;
#[cfg(feature = "tls")]
mod tls;
mod tokens;
mod transport;
mod upkeep;
mod walk;

use std::{sync::Arc, time::Duration};

use deadpool_postgres::{Pool, Runtime};
use tokio::sync::mpsc;
use tokio_postgres::types::{ToSql, Type};

pub use self::migrate::{MIGRATIONS, Migration};
use self::{
    lend::{Lender, Write},
    listen::Listener,
    sql::Sql,
    transport::Address,
};
use super::{
    Activity, Admit, Admitted, Arrival, ChangeFeed, Changes, Confirmed, EndOutcome, EndRequest, EndTarget, Expire,
    Expired, Imported, InUse, Loaded, NewSession, Purged, Retention, Rotate, Rotated, SessionFilter, SessionStore,
    StoreFuture, Walked, sealed,
};
use crate::{
    clock::Clock,
    error::{ConfigError, Error},
    session::{Session, SessionId, UserId},
};

/// Keeps sessions in Postgres 13 or later.
///
/// The connections must reach the one writable primary: a read replica answers with the past, and a session that was
/// signed out would be let in.
#[derive(Debug)]
pub struct PostgresStore {
    lender: Lender,
    sql: Sql,
    listen: Option<Address>,
}

impl PostgresStore {
    /// Connects to a database by URL (`postgres://user:password@host/database`) or by key-value string, with a pool
    /// of ten connections. Tries one connection, so that a wrong address is found here and not at the first request.
    ///
    /// Sets what the URL leaves open: `keepalives_idle` 10 s and `tcp_user_timeout` 10 s (a dead network is found only
    /// by the first when idle and only by the second while a query runs), `connect_timeout` 2 s, `application_name`,
    /// `target_session_attrs=read-write` where several hosts are named. A standby is refused in any case.
    ///
    /// TLS as the URL's `sslmode` says, with the feature `tls`: `verify-full` checks the server's name and certificate
    /// against the system's roots, or those in `sslrootcert=FILE`; `require` encrypts, and checks nobody unless
    /// `sslrootcert` is given; `disable` (the default, and what `prefer` and `allow` come to) speaks plain TCP or a Unix
    /// socket.
    ///
    /// A node holds two connections besides the pool: see [`listen_url`](Self::listen_url).
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where the URL cannot be read or the database cannot be reached.
    pub async fn connect(url: &str) -> Result<Self, ConfigError> {
        let address = Address::parse("the database URL", url)?;
        let pool = Pool::builder(address.manager())
            .max_size(10)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|cause| ConfigError::because("the connection pool cannot be built", cause))?;
        let cancel = address.cancel();
        let store = Self { listen: Some(address), ..Self::over(pool, cancel)? };
        let tried = store.lender.borrow("connecting to the database").await.map_err(|cause| {
            ConfigError::because("the database cannot be reached: is the address right and the server up?", cause)
        })?;
        tried.give_back();
        Ok(store)
    }

    /// Uses a pool of the application's own, with its TLS and its limits. It may be shared with other code.
    ///
    /// At least two connections; writes hold at most half of them, so that a lock somewhere never keeps requests from
    /// being checked. Waiting for, making and recycling a connection are bounded by this crate whatever the pool says.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where the pool has fewer than two connections.
    pub fn from_pool(pool: Pool) -> Result<Self, ConfigError> {
        Self::over(pool, transport::plain_cancel())
    }

    fn over(pool: Pool, cancel: Arc<lend::Cancel>) -> Result<Self, ConfigError> {
        Ok(Self { lender: Lender::new(pool, cancel)?, sql: Sql::new(DEFAULT_SCHEMA), listen: None })
    }

    /// Where the two connections go over which this node is told of changes made elsewhere. They must reach the same
    /// primary directly, not through a pooler in transaction mode, which swallows `LISTEN`.
    ///
    /// By default the address given to [`connect`](Self::connect); after [`from_pool`](Self::from_pool) there is none.
    /// Without it, or where it turns out deaf, nothing is lost but efficiency: each session in use is read again every
    /// `max_staleness`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where the URL cannot be read.
    pub fn listen_url(self, url: &str) -> Result<Self, ConfigError> {
        Ok(Self { listen: Some(Address::parse("the listen URL", url)?), ..self })
    }

    /// Another schema than `device_sessions` for the tables.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] unless it is a plain lower-case name: `[a-z_][a-z0-9_]*`, at most 40 characters, not `pg_..`. A
    /// reserved word of SQL (`user`, `order`) passes here, and `migrate()` then says that it is none.
    pub fn schema(mut self, name: &str) -> Result<Self, ConfigError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty()
            || name.len() > 40
            || name.starts_with("pg_")
            || !name.chars().all(plain)
            || name.starts_with(|c: char| c.is_ascii_digit())
        {
            return Err(ConfigError::new(format!(
                "{name:?} cannot be the schema's name: use lower-case letters, digits and _, at most 40, no digit and no pg_ first"
            )));
        }
        self.sql = Sql::new(name);
        Ok(self)
    }

    /// Brings the schema to the version of this crate: applies the numbered files of `migrations/` that are missing,
    /// in one transaction, under an advisory lock, so that any number of nodes may do it at once. Does nothing when
    /// there is nothing to do. Needs a role that may create tables (and the schema, unless it exists).
    ///
    /// Prefer your own tool? Its input is [`MIGRATIONS`]; `build()` only checks that they have run.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) where the database cannot be asked, [`ErrorKind::Schema`](crate::ErrorKind::Schema) where it refuses.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it rolls back.
    pub async fn migrate(&self) -> Result<(), Error> {
        migrate::run(&self.lender, self.sql.schema()).await
    }

    async fn read(
        &self,
        doing: &'static str,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Loaded, Error> {
        let client = self.lender.borrow(doing).await?;
        let rows = client.query(doing, sql, parameters).await?;
        client.give_back();
        row::loaded(&rows)
    }

    async fn end_rows(&self, request: &EndRequest) -> Result<EndOutcome, Error> {
        let write = self.lender.begin(ENDING).await?;
        let outcome = match &request.target {
            EndTarget::One { id, user } => self.end_one(&write, *id, user.as_ref(), request).await?,
            EndTarget::Others { user, keep } => self.end_many(&write, user, Some(*keep), Some(*keep), request).await?,
            EndTarget::All { user, caller } => self.end_many(&write, user, *caller, None, request).await?,
            EndTarget::These { ids } => self.end_these(&write, ids, request).await?,
        };
        write.commit().await?;
        Ok(outcome)
    }

    async fn end_one(
        &self,
        write: &Write,
        id: SessionId,
        user: Option<&UserId>,
        request: &EndRequest,
    ) -> Result<EndOutcome, Error> {
        let (id, user) = (id.as_uuid(), user.map(UserId::as_str));
        let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = vec![(&id, Type::UUID), (&user, Type::TEXT)];
        let reason = request.reason.as_str();
        let with_cause = [parameters.clone(), vec![(&reason, Type::TEXT), (&request.by, Type::TEXT)]].concat();
        let ended = write.query(&self.sql.end_one, &with_cause).await?;
        if !ended.is_empty() {
            return row::ended_ids(&ended).map(EndOutcome::Ended);
        }
        parameters.truncate(2);
        let found = write.query(&self.sql.how_it_ended, &parameters).await?;
        Ok(match found.first().map(row::ended).transpose()?.flatten() {
            Some(ended) => EndOutcome::AlreadyEnded(ended),
            None => EndOutcome::NotFound,
        })
    }

    /// The user's lock first, then the rows in the order of their ids: two of these never wait for each other in a
    /// circle, and none misses a session that is being made.
    async fn end_many(
        &self,
        write: &Write,
        user: &UserId,
        caller: Option<SessionId>,
        keep: Option<SessionId>,
        request: &EndRequest,
    ) -> Result<EndOutcome, Error> {
        let user = user.as_str();
        write.query(&self.sql.lock_user, &[(&user, Type::TEXT)]).await?;
        let live = write.query(&self.sql.lock_live_rows, &[(&user, Type::TEXT)]).await?;
        let live = row::ids(&live)?;
        if let Some(caller) = caller.filter(|caller| !live.contains(caller)) {
            let caller = caller.as_uuid();
            let found = write.query(&self.sql.how_it_ended, &[(&caller, Type::UUID), (&user, Type::TEXT)]).await?;
            return Ok(EndOutcome::CallerEnded(found.first().map(row::ended).transpose()?.flatten()));
        }
        let doomed: Vec<_> = live.iter().filter(|id| Some(**id) != keep).map(SessionId::as_uuid).collect();
        let reason = request.reason.as_str();
        let ended = write
            .query(
                &self.sql.end_these,
                &[(&doomed, Type::UUID_ARRAY), (&reason, Type::TEXT), (&request.by, Type::TEXT)],
            )
            .await?;
        row::ended_ids(&ended).map(EndOutcome::Ended)
    }

    async fn end_these(&self, write: &Write, ids: &[SessionId], request: &EndRequest) -> Result<EndOutcome, Error> {
        let ids: Vec<_> = ids.iter().map(SessionId::as_uuid).collect();
        let reason = request.reason.as_str();
        let parameters: [(&(dyn ToSql + Sync), Type); 3] =
            [(&ids, Type::UUID_ARRAY), (&reason, Type::TEXT), (&request.by, Type::TEXT)];
        let ended = write.query(&self.sql.end_in_order, &parameters).await?;
        row::ended_ids(&ended).map(EndOutcome::Ended)
    }
}

impl sealed::Sealed for PostgresStore {}

impl SessionStore for PostgresStore {
    fn check(&self) -> StoreFuture<'_, ()> {
        Box::pin(migrate::check(&self.lender, self.sql.schema()))
    }

    fn create(&self, new: NewSession) -> StoreFuture<'_, Session> {
        Box::pin(admit::create(&self.lender, &self.sql, new))
    }

    fn admit(&self, arrival: Arrival, admit: Admit) -> StoreFuture<'_, Admitted> {
        Box::pin(admit::admit(&self.lender, &self.sql, arrival, admit))
    }

    fn rename<'a>(&'a self, id: SessionId, user: &'a UserId, name: &'a str) -> StoreFuture<'a, Option<Session>> {
        Box::pin(admit::rename(&self.lender, &self.sql, id, user, name))
    }

    fn import(&self, rows: Vec<Imported>) -> StoreFuture<'_, usize> {
        Box::pin(import::import(&self.lender, &self.sql, rows))
    }

    fn load<'a>(&'a self, ids: &'a [SessionId]) -> StoreFuture<'a, Loaded> {
        Box::pin(async move {
            // A miss alone is the usual case, and `= $1` costs two thirds of `= ANY($1)`.
            if let [id] = ids {
                return self.read(LOADING, &self.sql.load_one, &[(&id.as_uuid(), Type::UUID)]).await;
            }
            let ids: Vec<_> = ids.iter().map(SessionId::as_uuid).collect();
            self.read(LOADING, &self.sql.load_many, &[(&ids, Type::UUID_ARRAY)]).await
        })
    }

    fn list<'a>(&'a self, user: &'a UserId) -> StoreFuture<'a, Loaded> {
        Box::pin(async move { self.read(LISTING, &self.sql.list, &[(&user.as_str(), Type::TEXT)]).await })
    }

    fn history<'a>(&'a self, user: &'a UserId, within: Duration, limit: usize) -> StoreFuture<'a, Loaded> {
        Box::pin(async move {
            let (limit, within) = (i64::try_from(limit).unwrap_or(i64::MAX), seconds(within));
            let parameters: [(&(dyn ToSql + Sync), Type); 3] =
                [(&user.as_str(), Type::TEXT), (&limit, Type::INT8), (&within, Type::FLOAT8)];
            self.read(LISTING, &self.sql.history, &parameters).await
        })
    }

    fn walk<'a>(&'a self, filter: &'a SessionFilter, after: Option<SessionId>) -> StoreFuture<'a, Walked> {
        Box::pin(walk::step(&self.lender, self.sql.schema(), filter, after))
    }

    fn end(&self, request: EndRequest) -> StoreFuture<'_, EndOutcome> {
        Box::pin(async move { self.end_rows(&request).await })
    }

    fn record_activity(&self, batch: Vec<Activity>) -> StoreFuture<'_, Vec<SessionId>> {
        Box::pin(async move { activity::record(&self.lender, &self.sql.activity, &batch).await })
    }

    fn rotate(&self, id: SessionId, rotate: Rotate) -> StoreFuture<'_, Rotated> {
        Box::pin(async move { tokens::rotate(&self.lender, &self.sql, id, rotate).await.map(Rotated) })
    }

    fn confirm(&self, used: Vec<InUse>) -> StoreFuture<'_, Confirmed> {
        Box::pin(async move { tokens::confirm(&self.lender, &self.sql, &used).await })
    }

    fn expire(&self, request: Expire) -> StoreFuture<'_, Expired> {
        Box::pin(upkeep::expire(&self.lender, &self.sql, request))
    }

    fn purge(&self, retention: Retention) -> StoreFuture<'_, Purged> {
        Box::pin(upkeep::purge(&self.lender, &self.sql, retention))
    }

    fn changes(&self, clock: &Clock, max_staleness: Duration) -> Changes {
        let Some(address) = self.listen.clone() else { return Changes::Untold };
        let (feed, changes) = mpsc::channel(1_024);
        let listener = Listener {
            address,
            schema: self.sql.schema().to_owned(),
            clock: clock.clone(),
            max_staleness,
            primary: Arc::clone(self.lender.primary()),
            feed,
        };
        tokio::spawn(listener.run());
        Changes::Feed(ChangeFeed(changes))
    }
}

fn seconds(span: Duration) -> f64 {
    span.as_secs_f64()
}

pub(crate) const DEFAULT_SCHEMA: &str = "device_sessions";
const LOADING: &str = "loading sessions";
const LISTING: &str = "listing sessions";
const ENDING: &str = "ending sessions";
