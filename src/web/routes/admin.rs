//! What administrators may do over HTTP.

use std::time::Duration;

use axum::{
    Json,
    extract::{
        Query,
        rejection::{JsonRejection, QueryRejection},
    },
};
use axum_core::response::Response;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{
    super::respond::json,
    handlers::{Handle, invalid_request},
};
use crate::{
    error::Error,
    network::Network,
    session::{DeviceType, EndReason, Session, SessionId, UserId},
    sessions::by,
    store::SessionFilter,
};

/// An extractor that lets in administrators only, and says who they are: see
/// [`admin_routes`](super::admin_routes).
pub trait Administrator {
    /// Who it is, 1 to 255 bytes, kept with each session that they end.
    fn actor(&self) -> String;
}

/// Whose sessions, and what is to become of them. What is unknown is refused: a condition with a typing error in its
/// name would be no condition.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = AdminRequest, description = "Whose sessions, and what is to become of them."))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Asked {
    /// Of this user.
    user: Option<UserId>,
    /// Of these ids.
    ids: Option<Vec<SessionId>>,
    /// Whose device is called exactly this.
    device_name: Option<String>,
    /// Of this kind of client.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<DeviceType>))]
    device_type: Option<String>,
    /// Last known at an address of this network: `203.0.113.0/24`, or one address.
    network: Option<String>,
    /// Signed in before then.
    #[serde(default, with = "time::serde::rfc3339::option")]
    created_before: Option<OffsetDateTime>,
    /// The `next` of the page before.
    after: Option<SessionId>,
    /// Why: one of the known reasons.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<EndReason>))]
    reason: Option<String>,
    /// Everybody's; instead of all conditions.
    #[serde(default)]
    everyone: bool,
    /// Only count them.
    #[serde(default)]
    dry_run: bool,
}

impl Asked {
    fn filter(&self) -> Result<SessionFilter, &'static str> {
        let device_type = match self.device_type.as_deref() {
            None => None,
            Some(kind @ ("web" | "ios" | "android" | "other")) => Some(DeviceType::from(kind)),
            Some(_) => return Err("deviceType is web, ios, android or other"),
        };
        let network = self.network.as_deref().map(str::parse::<Network>).transpose();
        let network = network.map_err(|_| "network is an address, or an address and a prefix: 203.0.113.0/24")?;
        Ok(SessionFilter {
            user: self.user.clone(),
            ids: self.ids.clone(),
            device_name: self.device_name.clone(),
            device_type,
            network,
            created_before: self.created_before,
            issuer: None,
        })
    }
}

/// A session, and whose it is.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = OwnedSession))]
#[serde(rename_all = "camelCase")]
pub(super) struct Owned {
    user_id: UserId,
    #[serde(flatten)]
    session: Session,
}

/// Some of the sessions.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = SessionPage))]
pub(super) struct Page {
    sessions: Vec<Owned>,
    /// For `after`; `null` on the last page.
    #[cfg_attr(feature = "openapi", schema(required))]
    next: Option<SessionId>,
}

/// What has been done.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = AdminEnded))]
pub(super) struct Done {
    ended: usize,
    /// There are more: send it again.
    more: bool,
}

/// What would be done.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = AdminMatching))]
pub(super) struct Matching {
    matching: usize,
}

pub(super) async fn list<G>(
    _guard: G,
    handle: Handle,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Error> {
    let for_a_list = |asked: &Asked| asked.reason.is_none() && !asked.everyone && !asked.dry_run;
    let Some(Query(asked)) = asked.ok().filter(|Query(asked)| for_a_list(asked)) else {
        return Ok(invalid_request("the query names user, deviceName, deviceType, network, createdBefore, after"));
    };
    let filter = match asked.filter() {
        Ok(filter) => filter,
        Err(wrong) => return Ok(invalid_request(wrong)),
    };
    let admin = handle.sessions.admin();
    let page = by(handle.deadline, "listing sessions", admin.list(&filter, asked.after)).await?;
    let owned = |session: Session| Owned { user_id: session.user_id.clone(), session };
    Ok(json(&Page { sessions: page.sessions.into_iter().map(owned).collect(), next: page.next }))
}

pub(super) async fn end<G: Administrator>(
    guard: G,
    handle: Handle,
    asked: Result<Json<Asked>, JsonRejection>,
) -> Result<Response, Error> {
    let Some(Json(asked)) = asked.ok().filter(|Json(asked)| asked.after.is_none()) else {
        return Ok(invalid_request("the body is JSON with a reason, and with whose sessions or `everyone`"));
    };
    let reason = asked.reason.as_deref().map(EndReason::from);
    let Some(reason) = reason.filter(|reason| !matches!(reason, EndReason::Other(_))) else {
        return Ok(invalid_request("a known reason is needed: revoked_by_admin, for example"));
    };
    let filter = match asked.filter() {
        // An empty body must not end everything.
        Ok(filter) if (filter == SessionFilter::everyone()) != asked.everyone => {
            return Ok(invalid_request("say whose sessions, or else `everyone`: true"));
        }
        Ok(filter) => filter,
        Err(wrong) => return Ok(invalid_request(wrong)),
    };
    let admin = handle.sessions.admin();
    if asked.dry_run {
        let matching = by(handle.deadline, "counting sessions", admin.count(&filter)).await?;
        return Ok(json(&Matching { matching }));
    }
    // A step begun just before may still take its time.
    let (actor, until) = (guard.actor(), handle.deadline - STEP);
    let ending = admin.end_until(&filter, &reason, &actor, Some(until));
    let (ended, more) = by(handle.deadline, "ending sessions", ending).await?;
    Ok(json(&Done { ended, more }))
}

const STEP: Duration = Duration::from_secs(2);
