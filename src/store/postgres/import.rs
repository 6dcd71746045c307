//! Rows of another system.

use tokio_postgres::types::{ToSql, Type};

use super::{lend::Lender, seconds, sql::Sql};
use crate::{error::Error, store::Imported};

/// Adds them, all or none; those whose ids are there already stay as they are. Says how many were added.
pub(super) async fn import(lender: &Lender, sql: &Sql, mut rows: Vec<Imported>) -> Result<usize, Error> {
    // Who adds the same id waits for us: in one order, so that none waits in a circle.
    rows.sort_by_key(|row| row.new.id);
    let write = lender.begin("importing sessions").await?;
    // See `tell_events` in the schema.
    write.batch(&format!("SET LOCAL {}.quiet = 'on'", sql.schema())).await?;
    let mut added = 0;
    for rows in rows.chunks(CHUNK) {
        let parameters = Columns::of(rows);
        added += write.query(&sql.import, &parameters.each()).await?.len();
    }
    write.commit().await?;
    Ok(added)
}

/// Rows a statement: each is far from its timeout.
const CHUNK: usize = 1_000;

/// An array for each column.
struct Columns<'a>(Vec<(Box<dyn ToSql + Sync + Send + 'a>, Type)>);

impl<'a> Columns<'a> {
    fn of(rows: &'a [Imported]) -> Self {
        fn column<'a, T: ToSql + Sync + Send + 'a>(
            rows: &'a [Imported],
            kind: Type,
            value: impl Fn(&'a Imported) -> T,
        ) -> (Box<dyn ToSql + Sync + Send + 'a>, Type) {
            (Box::new(rows.iter().map(value).collect::<Vec<_>>()), kind)
        }
        Self(vec![
            column(rows, Type::UUID_ARRAY, |row| row.new.id.as_uuid()),
            column(rows, Type::TEXT_ARRAY, |row| row.new.user_id.as_str()),
            column(rows, Type::TIMESTAMPTZ_ARRAY, |row| row.created_at),
            column(rows, Type::TIMESTAMPTZ_ARRAY, |row| row.last_activity_at),
            column(rows, Type::FLOAT8_ARRAY, |row| seconds(row.new.absolute_lifetime)),
            column(rows, Type::TEXT_ARRAY, |row| row.new.device.name.as_str()),
            column(rows, Type::TEXT_ARRAY, |row| row.new.device.kind.as_str()),
            column(rows, Type::TEXT_ARRAY, |row| row.new.device.form_factor.map(|form| form.as_str())),
            column(rows, Type::TEXT_ARRAY, |row| row.new.device.os.as_deref()),
            column(rows, Type::TEXT_ARRAY, |row| row.new.device.os_version.as_deref()),
            column(rows, Type::TEXT_ARRAY, |row| row.new.device.browser.as_deref()),
            column(rows, Type::TEXT_ARRAY, |row| row.new.device.browser_version.as_deref()),
            column(rows, Type::TEXT_ARRAY, |row| row.new.device.model.as_deref()),
            column(rows, Type::TEXT_ARRAY, |row| row.new.user_agent.as_deref()),
            column(rows, Type::INET_ARRAY, |row| row.new.ip_address),
            column(rows, Type::JSONB_ARRAY, |row| row.new.metadata.as_ref()),
            column(rows, Type::JSONB_ARRAY, |row| row.new.claims.as_ref()),
        ])
    }

    fn each(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        self.0.iter().map(|(values, kind)| (&**values as &(dyn ToSql + Sync), kind.clone())).collect()
    }
}
