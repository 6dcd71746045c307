//! A walk over live rows by key, so many a statement, whatever is looked for: no statement takes long, and what an
//! administrator asks for once needs no index.

use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::{lend::Lender, row};
use crate::{
    error::{Error, ErrorKind},
    session::{SessionId, UserId},
    store::{NOWHERE, SessionFilter, Walked},
};

/// Live rows looked at in a step.
const STEP: usize = 1_000;

pub(super) async fn step(
    lender: &Lender,
    schema: &str,
    filter: &SessionFilter,
    after: Option<SessionId>,
) -> Result<Walked, Error> {
    let client = lender.borrow(WALKING).await?;
    let table = format!("{schema}.sessions");
    let mut place = None;
    if let Some(after) = after.map(|id| id.as_uuid()) {
        let sql = format!("SELECT user_id FROM {table} WHERE id = $1");
        let found = client.query(WALKING, &sql, &[(&after, Type::UUID)]).await?;
        let Some(row) = found.first() else {
            client.give_back();
            return Err(Error::new(ErrorKind::InvalidInput, NOWHERE));
        };
        place = Some((row::get::<String>(row, "user_id")?, after));
    }
    let (after_user, after_id) = place.unzip();
    let user = filter.user.as_ref().map(UserId::as_str);
    let ids: Option<Vec<Uuid>> = filter.ids.as_ref().map(|ids| ids.iter().map(SessionId::as_uuid).collect());
    let device_type = filter.device_type.map(|kind| kind.as_str());
    let network = filter.network.map(|network| network.to_string());
    let mut parameters = Parameters::default();
    // What the index is walked by: only what is asked for, or the planner has to plan for everything.
    let by = [
        parameters.when(&after_user, Type::TEXT, "(user_id, id) > ($"),
        parameters.when(&after_id, Type::UUID, "$)").replace(" AND ", ", "),
        parameters.when(&user, Type::TEXT, "user_id = $"),
        parameters.when(&ids, Type::UUID_ARRAY, "id = ANY($)"),
    ];
    // What is asked of each row on the way.
    let meant = [
        parameters.when(&filter.device_name, Type::TEXT, "device_name = $"),
        parameters.when(&device_type, Type::TEXT, "device_type = $"),
        parameters.when(&network, Type::TEXT, "ip_address <<= $::text::inet"),
        parameters.when(&filter.created_before, Type::TIMESTAMPTZ, "created_at < $"),
        parameters.when(&filter.issuer, Type::TEXT, "issuer = $"),
    ];
    let sql = format!(
        "SELECT id, expires_at > clock_timestamp(){} AS meant FROM {table} WHERE ended_at IS NULL{} \
         ORDER BY user_id, id LIMIT {STEP}",
        meant.concat(),
        by.concat(),
    );
    let rows = client.query(WALKING, &sql, &parameters.0).await?;
    client.give_back();
    let mut matching = Vec::new();
    for row in &rows {
        // NULL where there is no address.
        if row::get::<Option<bool>>(row, "meant")?.unwrap_or(false) {
            matching.push(row::id(row)?);
        }
    }
    let next = if rows.len() == STEP { rows.last().map(row::id).transpose()? } else { None };
    Ok(Walked { matching, next })
}

#[derive(Default)]
struct Parameters<'a>(Vec<(&'a (dyn ToSql + Sync), Type)>);

impl<'a> Parameters<'a> {
    /// A condition on a parameter, where there is one; `$` stands for its place.
    fn when<T: ToSql + Sync>(&mut self, value: &'a Option<T>, of_type: Type, condition: &str) -> String {
        let Some(value) = value else { return String::new() };
        self.0.push((value, of_type));
        format!(" AND {}", condition.replace('$', &format!("${}", self.0.len())))
    }
}

const WALKING: &str = "looking through live sessions";
