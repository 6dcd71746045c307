//! Which live sessions an administrator means.

use time::OffsetDateTime;

use crate::{
    network::Network,
    session::{DeviceType, Session, SessionId, UserId},
};

/// Live sessions by what they have in common: everyone's, narrowed by each method that is called.
///
/// ```
/// # use axum_device_sessions::{Error, SessionFilter};
/// # fn f(breach_closed: time::OffsetDateTime) -> Result<SessionFilter, Error> {
/// let suspects = SessionFilter::everyone().created_before(breach_closed).from_network("203.0.113.0/24".parse()?);
/// # Ok(suspects)
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct SessionFilter {
    pub(crate) user: Option<UserId>,
    pub(crate) ids: Option<Vec<SessionId>>,
    pub(crate) device_name: Option<String>,
    pub(crate) device_type: Option<DeviceType>,
    pub(crate) network: Option<Network>,
    pub(crate) created_before: Option<OffsetDateTime>,
    pub(crate) issuer: Option<String>,
}

impl SessionFilter {
    /// Every live session of every user.
    pub const fn everyone() -> Self {
        Self {
            user: None,
            ids: None,
            device_name: None,
            device_type: None,
            network: None,
            created_before: None,
            issuer: None,
        }
    }

    /// Of this user only.
    pub fn of_user(self, user: impl Into<UserId>) -> Self {
        Self { user: Some(user.into()), ..self }
    }

    /// Of these ids only; none of them is no session.
    pub fn with_ids(self, ids: impl IntoIterator<Item = SessionId>) -> Self {
        Self { ids: Some(ids.into_iter().collect()), ..self }
    }

    /// On a device of exactly this name ("Chrome on Windows") only.
    pub fn on_device(self, name: impl Into<String>) -> Self {
        Self { device_name: Some(name.into()), ..self }
    }

    /// On this kind of client only.
    pub fn on_device_type(self, device_type: DeviceType) -> Self {
        Self { device_type: Some(device_type), ..self }
    }

    /// Last seen at an address of this network only. A session without an address is not meant.
    pub fn from_network(self, network: Network) -> Self {
        Self { network: Some(network), ..self }
    }

    /// Signed in before this time, by the database's clock, only.
    pub fn created_before(self, time: OffsetDateTime) -> Self {
        Self { created_before: Some(time), ..self }
    }

    /// Registered as a session of this issuer only.
    #[cfg(feature = "jwks")]
    pub(crate) fn of_issuer(self, issuer: impl Into<String>) -> Self {
        Self { issuer: Some(issuer.into()), ..self }
    }

    /// The user, where nothing but the user is asked for.
    pub(crate) fn just_user(&self) -> Option<&UserId> {
        let user = self.user.as_ref()?;
        (*self == Self::everyone().of_user(user.clone())).then_some(user)
    }

    pub(crate) fn matches(&self, session: &Session) -> bool {
        self.user.as_ref().is_none_or(|user| *user == session.user_id)
            && self.ids.as_ref().is_none_or(|ids| ids.contains(&session.id))
            && self.device_name.as_ref().is_none_or(|name| *name == session.device.name)
            && self.device_type.is_none_or(|kind| kind == session.device.kind)
            && self.network.is_none_or(|network| session.ip_address.is_some_and(|ip| network.contains(ip)))
            && self.created_before.is_none_or(|time| session.created_at < time)
            && self.issuer.as_ref().is_none_or(|issuer| session.issuer.as_ref() == Some(issuer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn just_a_user_is_told_from_a_user_and_more() {
        let ahmed = SessionFilter::everyone().of_user("ahmed");
        assert_eq!(ahmed.just_user().map(UserId::as_str), Some("ahmed"));
        assert_eq!(ahmed.with_ids([]).just_user(), None);
        assert_eq!(SessionFilter::everyone().just_user(), None);
    }
}
