//! Sessions of another system, taken over.

use std::{fmt, net::IpAddr, sync::Arc};

use serde::Serialize;
use time::OffsetDateTime;

use super::{
    Sessions,
    issue::{self, object},
};
use crate::{
    device,
    error::{Error, ErrorKind},
    fields::UserAgentAlone,
    session::{SessionId, UserId},
    store::{Imported, NewSession},
    token::check_claims,
};

/// A session of another system, for [`Sessions::import`].
#[must_use = "nothing is imported before `Sessions::import`"]
pub struct ImportSession {
    id: SessionId,
    user_id: UserId,
    created_at: OffsetDateTime,
    last_activity_at: OffsetDateTime,
    user_agent: Option<String>,
    ip_address: Option<IpAddr>,
    device_name: Option<String>,
    claims: Result<Option<serde_json::Value>, Error>,
    metadata: Result<Option<serde_json::Value>, Error>,
}

impl ImportSession {
    /// The session of this user, signed in at that time. `id` is what the claim `session_id` of its tokens says, where it has
    /// tokens that go on being accepted; else a new one.
    pub fn new(id: SessionId, user: impl Into<UserId>, created_at: OffsetDateTime) -> Self {
        Self {
            id,
            user_id: user.into(),
            created_at,
            last_activity_at: created_at,
            user_agent: None,
            ip_address: None,
            device_name: None,
            claims: Ok(None),
            metadata: Ok(None),
        }
    }

    /// When it was last used. Default: when it was signed in.
    pub fn last_activity_at(self, at: OffsetDateTime) -> Self {
        Self { last_activity_at: at.max(self.created_at), ..self }
    }

    /// The User-Agent at its sign-in: its name is made of it.
    pub fn user_agent(self, user_agent: impl Into<String>) -> Self {
        // No header has any, and Postgres takes no NUL.
        Self { user_agent: Some(user_agent.into().replace(char::is_control, " ")), ..self }
    }

    /// Where it was last seen.
    pub fn ip_address(self, ip_address: IpAddr) -> Self {
        Self { ip_address: Some(ip_address), ..self }
    }

    /// What its owner called it. One that could not be given here (see [`Sessions::rename`]) is left out: the rest counts.
    pub fn device_name(self, name: impl Into<String>) -> Self {
        Self { device_name: Some(name.into()), ..self }
    }

    /// See [`SignIn::claims`](crate::SignIn::claims).
    pub fn claims(self, claims: &impl Serialize) -> Self {
        let claims = object(claims, "claims must serialise to a JSON object");
        let claims = claims.and_then(|claims| check_claims(&claims).map(|()| claims));
        Self { claims: claims.map(|claims| Some(serde_json::Value::Object(claims))), ..self }
    }

    /// See [`SignIn::metadata`](crate::SignIn::metadata).
    pub fn metadata(self, metadata: &impl Serialize) -> Self {
        Self { metadata: issue::metadata(metadata), ..self }
    }

    fn row(self, lifetime: std::time::Duration) -> Result<Imported, Error> {
        issue::check_user(&self.user_id)?;
        // Postgres knows none, and would call it a failure that may pass.
        if self.created_at.year() < 1 {
            return Err(Error::new(ErrorKind::InvalidInput, "a session was signed in after the year 0"));
        }
        let fields = UserAgentAlone(self.user_agent.as_deref());
        let mut device = device::describe(&fields);
        if let Some(name) = self.device_name.as_deref().and_then(device::valid_name) {
            device.name = name;
        }
        let new = NewSession {
            user_agent: device::user_agent(&fields),
            ip_address: self.ip_address,
            metadata: self.metadata?,
            claims: self.claims?,
            ..NewSession::new(self.id, self.user_id, device, lifetime)
        };
        Ok(Imported::new(new, self.created_at, self.last_activity_at))
    }
}

/// Claims are the application's, and may be personal.
impl fmt::Debug for ImportSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportSession").field("id", &self.id).field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

impl Sessions {
    /// Takes over sessions of another system, a few thousand at a time, all or none. An id that is there already stays as it
    /// is, so it can be repeated; returns how many were added.
    ///
    /// They live as if they had been signed in here at their `created_at`: what is too old by
    /// [`idle_timeout`](crate::SessionsBuilder::idle_timeout) or
    /// [`absolute_lifetime`](crate::SessionsBuilder::absolute_lifetime) ends soon after; a time in the future counts as
    /// now. Their devices are not known: the first sign-in of each user after it is silent, as the first one ever, but for
    /// what their times say ([`LongAbsence`](crate::Signal::LongAbsence)). Limits do not count here; the next sign-in sees
    /// to it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] and [`ErrorKind::InvalidClaims`] for what cannot be used; then nothing of this call is
    /// imported. [`ErrorKind::Unavailable`]: it may or may not have been; repeat it.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it is carried out all the same.
    pub async fn import(&self, sessions: impl IntoIterator<Item = ImportSession> + Send) -> Result<usize, Error> {
        let lifetime = self.0.settings.absolute_lifetime;
        let mut rows = sessions.into_iter().map(|one| one.row(lifetime)).collect::<Result<Vec<_>, _>>()?;
        // Two that import the same wait for each other in one order.
        rows.sort_by_key(|row| row.new.id);
        let inner = Arc::clone(&self.0);
        self.detached("importing sessions", async move {
            let ids: Vec<_> = rows.iter().map(|row| row.new.id).collect();
            let imported = inner.store.import(rows).await;
            // Their tokens may have been refused a moment ago; also where it is not known whether it was carried out.
            ids.into_iter().for_each(|id| inner.cache.mark_stale(id));
            imported
        })
        .await
    }
}
