//! The schema, as numbered files. Applied only when asked; checked at every `build()`.

use tokio_postgres::types::Type;

use super::{
    DEFAULT_SCHEMA,
    lend::{Lender, Refused},
};
use crate::error::{Error, ErrorKind};

/// One numbered SQL file of `migrations/`. It records itself in the table `migrations` of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Migration {
    /// Its number: they are applied in this order, without gaps.
    pub version: i32,
    /// The file's name.
    pub name: &'static str,
    /// The file's text, for the schema `device_sessions`.
    pub sql: &'static str,
}

/// Every migration, in order: for those who apply them with a tool of their own.
pub const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "0001_sessions.sql", sql: include_str!("../../../migrations/0001_sessions.sql") },
    Migration { version: 2, name: "0002_notify.sql", sql: include_str!("../../../migrations/0002_notify.sql") },
    Migration { version: 3, name: "0003_upkeep.sql", sql: include_str!("../../../migrations/0003_upkeep.sql") },
    Migration { version: 4, name: "0004_refresh.sql", sql: include_str!("../../../migrations/0004_refresh.sql") },
    Migration { version: 5, name: "0005_issuers.sql", sql: include_str!("../../../migrations/0005_issuers.sql") },
    Migration { version: 6, name: "0006_devices.sql", sql: include_str!("../../../migrations/0006_devices.sql") },
    Migration { version: 7, name: "0007_notices.sql", sql: include_str!("../../../migrations/0007_notices.sql") },
];

pub(super) async fn run(lender: &Lender, schema: &str) -> Result<(), Error> {
    let write = lender.begin(MIGRATING).await?;
    // Transaction-scoped: a session's lock would leak into the pool if this future were dropped. Other nodes wait for
    // it rather than fail, so their patience must outlast a migration.
    write.batch("SET LOCAL lock_timeout = '60s'; SET LOCAL statement_timeout = '60s'").await?;
    let write = write.patient();
    write.query(LOCK, &[(&schema, Type::TEXT)]).await.map_err(as_schema)?;
    let table = write.query(EXISTS, &[(&format!("{schema}.migrations"), Type::TEXT)]).await?;
    let mut applied = 0;
    if table.first().is_some_and(|row| row.try_get(0).unwrap_or(false)) {
        let found = write.query(&newest(schema), &[]).await?;
        applied = found.first().and_then(|row| row.try_get(0).ok()).unwrap_or(0);
    }
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > applied) {
        tracing::info!(migration = migration.name, schema, "applying");
        write.batch(&migration.sql.replace(DEFAULT_SCHEMA, schema)).await.map_err(as_schema)?;
    }
    write.commit().await
}

pub(super) async fn check(lender: &Lender, schema: &str) -> Result<(), Error> {
    let client = lender.borrow(CHECKING).await?;
    let found = client.query(CHECKING, &newest(schema), &[]).await?;
    client.give_back();
    let version: i32 = found.first().and_then(|row| row.try_get(0).ok()).unwrap_or(0);
    let wanted = MIGRATIONS.last().map_or(0, |migration| migration.version);
    if version < wanted {
        return Err(Error::because(ErrorKind::Schema, CHECKING, format!("version {version} found, {wanted} needed")));
    }
    // A newer schema is fine: nodes of two versions run side by side during a deployment.
    let client = lender.borrow(CHECKING).await?;
    let found = client.query(CHECKING, &refused(schema), &[]).await?;
    client.give_back();
    match found.first().and_then(|row| row.try_get::<_, Option<String>>(0).ok().flatten()) {
        None => Ok(()),
        Some(tables) => Err(Error::because(ErrorKind::Schema, CHECKING, format!("this role may not use {tables}"))),
    }
}

/// What each sign-in on a new device needs, whether anybody is told of it or not: a role whose grants are of an older version
/// would find out by users who cannot sign in. What a newer version has taken away is not asked for.
fn refused(schema: &str) -> String {
    format!(
        "SELECT string_agg(DISTINCT name, ', ') FROM (VALUES ('sinks', 'SELECT'), ('outbox', 'INSERT'), \
            ('push_targets', 'SELECT'), ('alerts', 'SELECT'), ('alerts', 'INSERT')) AS needed (name, privilege) \
         WHERE NOT has_table_privilege(to_regclass('{schema}.' || name), privilege)"
    )
}

fn newest(schema: &str) -> String {
    format!("SELECT coalesce(max(version), 0) FROM {schema}.migrations")
}

/// The server answered and refused: no retry will mend that.
fn as_schema(error: Error) -> Error {
    let refused = std::error::Error::source(&error).is_some_and(|cause| cause.is::<Refused>());
    if refused { error.of_kind(ErrorKind::Schema) } else { error }
}

const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended($1 || ' migrate', 0))::text";
const EXISTS: &str = "SELECT to_regclass($1) IS NOT NULL";
const MIGRATING: &str = "migrating the schema";
const CHECKING: &str = "checking the schema's version";
