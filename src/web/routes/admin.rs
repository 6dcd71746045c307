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
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Asked {
    user: Option<UserId>,
    ids: Option<Vec<SessionId>>,
    device_name: Option<String>,
    device_type: Option<String>,
    network: Option<String>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    created_before: Option<OffsetDateTime>,
    after: Option<SessionId>,
    reason: Option<String>,
    #[serde(default)]
    everyone: bool,
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Owned {
    user_id: UserId,
    #[serde(flatten)]
    session: Session,
}

#[derive(Serialize)]
struct Page {
    sessions: Vec<Owned>,
    next: Option<SessionId>,
}

#[derive(Serialize)]
struct Done {
    ended: usize,
    more: bool,
}

#[derive(Serialize)]
struct Matching {
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
