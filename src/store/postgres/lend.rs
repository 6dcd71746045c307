//! Borrowing a connection so that nothing is ever left behind on it.
//!
//! A connection goes back to the pool only after its work is known to be done. On an error, a timeout or a dropped
//! future it is closed instead: the next borrower must neither wait behind an orphaned query nor stand in somebody
//! else's transaction (deadpool's recycling checks for neither).

use std::{
    fmt,
    ops::Deref,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::{Object, Pool};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_postgres::{
    CancelToken, Row, SimpleQueryMessage,
    error::SqlState,
    types::{ToSql, Type},
};

use super::primary::{Identity, Primary};
use crate::error::{ConfigError, Error, ErrorKind};

pub(super) struct Lender {
    pool: Pool,
    /// Writes may wait for row locks; half of the pool is never theirs.
    writes: Arc<Semaphore>,
    primary: Arc<Primary>,
    cancel: Arc<Cancel>,
}

impl fmt::Debug for Lender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lender").field("pool", &self.pool.status()).finish_non_exhaustive()
    }
}

impl Lender {
    pub(super) fn new(pool: Pool, cancel: Arc<Cancel>) -> Result<Self, ConfigError> {
        let size = pool.status().max_size;
        if size < 2 {
            return Err(ConfigError::new(
                "the pool needs at least two connections: writes use half of them and must leave one for reads",
            ));
        }
        Ok(Self { pool, writes: Arc::new(Semaphore::new(size / 2)), primary: Arc::default(), cancel })
    }

    /// A connection, for statements outside of a transaction.
    pub(super) async fn borrow(&self, doing: &'static str) -> Result<Lent, Error> {
        // Around the pool's own limits, of which a pool by default has none, and which it needs a runtime for.
        let client = timeout(BORROW, self.pool.get())
            .await
            .map_err(|late| Error::unavailable(doing, late))?
            .map_err(|cause| Error::unavailable(doing, cause))?;
        let made = Object::metrics(&client).created;
        let lent = Lent { client: Some(client), cancel: Arc::clone(&self.cancel) };
        let identity = match self.primary.known(made) {
            Some(identity) => identity,
            None => {
                let identity = Identity::read(&lent).await.map_err(|cause| Error::unavailable(doing, cause))?;
                self.primary.remember(made, identity.clone());
                identity
            }
        };
        if !self.primary.pool_is_at(identity) {
            return Err(Error::unavailable(doing, "the pool reaches another server than the listener"));
        }
        Ok(lent)
    }

    /// Shared with the listener.
    pub(super) const fn primary(&self) -> &Arc<Primary> {
        &self.primary
    }

    /// A transaction whose commit is on disk when it returns, whatever the role's defaults are.
    pub(super) async fn begin(&self, doing: &'static str) -> Result<Write, Error> {
        self.writer(doing, BEGIN_DURABLE).await
    }

    /// A transaction whose commit a crash of the server may forget.
    pub(super) async fn begin_lazily_durable(&self, doing: &'static str) -> Result<Write, Error> {
        self.writer(doing, BEGIN_LAZY).await
    }

    /// Such a transaction of one statement, all of it sent together: locks are held no longer than the server takes. For any
    /// lock the statement waits 20 ms at most, and then has done nothing. On an error, or dropped, it may have been done.
    pub(super) async fn write_unless_held(
        &self,
        doing: &'static str,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<AtOnce, Error> {
        let write = self.writer(doing, BEGIN_UNLESS_HELD).await?;
        // By the first of these, which asks what time it is as well.
        write.has_begun.store(true, Ordering::Relaxed);
        let begin = write.client.simple_query(write.begin);
        let execute = write.client.execute_typed(sql, parameters);
        let commit = write.client.batch_execute("COMMIT");
        let all = async {
            let (begun, executed, committed) = tokio::join!(biased; begin, execute, commit);
            let at = seconds_of(&begun?);
            let written = match executed {
                // COMMIT then rolls back, and succeeds.
                Err(cause) if cause.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => None,
                executed => Some(executed?),
            };
            committed.map(|()| (at, written))
        };
        let (at, written) = write.within(all).await?;
        write.client.give_back();
        let at = at.ok_or_else(|| Error::unavailable(doing, "the server did not say what time it is"))?;
        Ok(AtOnce { at, written })
    }

    /// Whether two more transactions can begin, neither wait for another to end, and then somebody else's begin as well.
    pub(super) fn has_spare_writes(&self) -> bool {
        self.writes.available_permits() >= 3
    }

    async fn writer(&self, doing: &'static str, begin: &'static str) -> Result<Write, Error> {
        let permit = timeout(WAIT, Arc::clone(&self.writes).acquire_owned())
            .await
            .map_err(|cause| Error::unavailable(doing, cause))?
            .map_err(|cause| Error::unavailable(doing, cause))?;
        let client = self.borrow(doing).await?;
        Ok(Write { client, doing, begin, has_begun: AtomicBool::new(false), patience: ANSWER, _permit: permit })
    }
}

/// What became of [`Lender::write_unless_held`].
pub(super) struct AtOnce {
    /// The `now()` of the transaction: seconds since 1970.
    pub(super) at: f64,
    /// How many rows it has written, unless some lock was held.
    pub(super) written: Option<u64>,
}

fn seconds_of(answer: &[SimpleQueryMessage]) -> Option<f64> {
    answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    })
}

/// A borrowed connection. Dropped before [`Lent::give_back`], it is closed, and what it was doing is cancelled: a
/// backend that waits for a lock does not notice that its client has gone, and they would add up.
pub(super) struct Lent {
    client: Option<Object>,
    cancel: Arc<Cancel>,
}

/// Asks the server to cancel what a connection is doing.
pub(super) type Cancel = dyn Fn(CancelToken) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

impl Lent {
    /// One statement outside of a transaction, in bounded time.
    pub(super) async fn query(
        &self,
        doing: &'static str,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, Error> {
        let answer = timeout(ANSWER, self.query_typed(sql, parameters)).await;
        answer.map_err(|late| Error::unavailable(doing, late))?.map_err(|cause| failed(doing, cause))
    }

    /// The work is done and the connection is clean.
    pub(super) fn give_back(mut self) {
        drop(self.client.take());
    }
}

impl Deref for Lent {
    type Target = tokio_postgres::Client;

    #[expect(clippy::expect_used, reason = "only `give_back` and `drop` take it, and both consume")]
    fn deref(&self) -> &Self::Target {
        self.client.as_ref().expect("present until given back")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(timeout(CANCELLING, (self.cancel)(client.cancel_token())));
        }
        drop(Object::take(client));
    }
}

/// A transaction. It begins with its first statement, which is sent along with BEGIN: one way there and back for both. Were BEGIN alone
/// to fail, say because it is cancelled, that statement would be carried out by itself: it has to be one that can be asked for
/// again. Dropped before [`Write::commit`], its connection is closed and the server rolls back.
pub(super) struct Write {
    client: Lent,
    doing: &'static str,
    begin: &'static str,
    has_begun: AtomicBool,
    patience: Duration,
    _permit: OwnedSemaphorePermit,
}

impl Write {
    /// Waits for answers as long as a migration may take.
    pub(super) fn patient(self) -> Self {
        Self { patience: Duration::from_secs(60), ..self }
    }

    pub(super) async fn query(&self, sql: &str, parameters: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<Row>, Error> {
        self.within(self.client.query_typed(sql, parameters)).await
    }

    /// How many rows it has written.
    pub(super) async fn execute(&self, sql: &str, parameters: &[(&(dyn ToSql + Sync), Type)]) -> Result<u64, Error> {
        self.within(self.client.execute_typed(sql, parameters)).await
    }

    pub(super) async fn batch(&self, sql: &str) -> Result<(), Error> {
        self.within(self.client.batch_execute(sql)).await
    }

    /// Reached only if every statement succeeded: COMMIT of a failed transaction answers with success and rolls back.
    pub(super) async fn commit(self) -> Result<(), Error> {
        // Whether it was carried out is not known when its answer is lost.
        self.within(self.client.batch_execute("COMMIT")).await.map_err(|error| error.again_if(true))?;
        self.client.give_back();
        Ok(())
    }

    /// The server's own timeouts come first where it still answers; this one is for where it does not.
    async fn within<T>(&self, work: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Error> {
        let all = async {
            if self.has_begun.swap(true, Ordering::Relaxed) {
                return work.await;
            }
            // Sent in this order.
            let (begun, done) = tokio::join!(biased; self.client.batch_execute(self.begin), work);
            begun.and(done)
        };
        timeout(self.patience, all)
            .await
            .map_err(|cause| Error::unavailable(self.doing, cause))?
            .map_err(|cause| failed(self.doing, cause))
    }
}

/// What a driver error means. A schema that is not there is the operator's to mend; all else may pass.
pub(super) fn failed(doing: &'static str, cause: tokio_postgres::Error) -> Error {
    let kind = match cause.code() {
        Some(&SqlState::UNDEFINED_TABLE | &SqlState::INVALID_SCHEMA_NAME | &SqlState::UNDEFINED_COLUMN) => {
            ErrorKind::Schema
        }
        // The last: a NUL in text.
        Some(&SqlState::UNIQUE_VIOLATION | &SqlState::CHECK_VIOLATION | &SqlState::CHARACTER_NOT_IN_REPERTOIRE) => {
            ErrorKind::InvalidInput
        }
        // A NUL in metadata: JSON can hold it, jsonb cannot.
        Some(&SqlState::UNTRANSLATABLE_CHARACTER) => ErrorKind::InvalidClaims,
        _ => ErrorKind::Unavailable,
    };
    // A connection that turns out closed, a deadlock, a serialization failure: the next try meets another world.
    let passing = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::ADMIN_SHUTDOWN];
    let again = cause.is_closed() || cause.code().is_some_and(|code| passing.contains(code));
    let error = match Refused::of(&cause) {
        Some(refused) => Error::because(kind, doing, refused),
        None => Error::because(kind, doing, cause),
    };
    error.again_if(again)
}

/// What the server said no with. Not its details: they quote rows, and rows hold personal data.
#[derive(Debug)]
pub(super) struct Refused {
    code: String,
    message: String,
}

impl Refused {
    fn of(error: &tokio_postgres::Error) -> Option<Self> {
        let refusal = error.as_db_error()?;
        Some(Self { code: refusal.code().code().to_owned(), message: refusal.message().to_owned() })
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.code)
    }
}

impl std::error::Error for Refused {}

/// A busy pool is told to the client within a second: waiting longer helps nobody who is behind it.
const WAIT: Duration = Duration::from_secs(1);
/// Waiting for a connection, making one and recycling it, together.
const BORROW: Duration = Duration::from_millis(1_500);
const CANCELLING: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(3);

/// A role's defaults must not matter: REPEATABLE READ would take its snapshot before the lock is held.
const BEGIN_DURABLE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
    SET LOCAL synchronous_commit = on; SET LOCAL statement_timeout = '2500ms'; SET LOCAL lock_timeout = '2s'; \
    SET LOCAL idle_in_transaction_session_timeout = '5s'";
const BEGIN_LAZY: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
    SET LOCAL synchronous_commit = off; SET LOCAL statement_timeout = '2500ms'; SET LOCAL lock_timeout = '2s'; \
    SET LOCAL idle_in_transaction_session_timeout = '5s'";
const BEGIN_UNLESS_HELD: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
    SET LOCAL synchronous_commit = off; SET LOCAL statement_timeout = '2500ms'; SET LOCAL lock_timeout = '20ms'; \
    SET LOCAL idle_in_transaction_session_timeout = '5s'; SELECT extract(epoch FROM now())";
