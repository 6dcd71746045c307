//! Who is calling: what a request says of it, read without any settings.

use std::{net::IpAddr, sync::Arc};

use super::{Browser, Inner, Sessions};
use crate::{
    error::Error,
    fields::{Fields, UserAgentAlone},
    origin::Whence,
    session::{DeviceKey, UserId},
    token::{DeviceCookie, app_device_key},
};

/// The raw record of a caller.
#[derive(Clone)]
pub(crate) struct Calling {
    /// The other end of the connection.
    pub(crate) peer: Option<IpAddr>,
    /// What was sent, but for credentials.
    pub(crate) fields: Arc<dyn Fields + Send + Sync>,
    pub(crate) browser: Browser,
    /// The id of the device, where the application says it.
    pub(crate) device_id: Option<Box<str>>,
    /// It was a request that a browser sends its cookies with, so one can be set on the answer.
    pub(crate) takes_cookies: bool,
}

impl Default for Calling {
    fn default() -> Self {
        Self {
            peer: None,
            fields: Arc::new(UserAgentAlone(None)),
            browser: Browser::default(),
            device_id: None,
            takes_cookies: false,
        }
    }
}

/// The device below a sign-in.
pub(super) struct Identity {
    pub(super) key: DeviceKey,
    /// To be set, or set anew.
    pub(super) cookie: Option<DeviceCookie>,
}

impl Sessions {
    /// Which device it is: by the id that an app gives, else by its cookie, else it is a new one. `None` where there is
    /// nothing to know it by, and no answer to set a cookie on.
    pub(super) fn identity(&self, calling: &Calling, user: &UserId) -> Result<Option<Identity>, Error> {
        // Empty is what is left of none: all such devices would be one.
        let given = calling.device_id.as_deref().filter(|id| !id.is_empty());
        let app = given.or_else(|| crate::device::app_device_id(&*calling.fields));
        if let Some(id) = app {
            return Ok(Some(Identity { key: app_device_key(id, user), cookie: None }));
        }
        let (Some(cookies), true) = (&self.0.device_cookies, calling.takes_cookies) else { return Ok(None) };
        let browser = &calling.browser;
        let loopback = browser.loopback_device.as_ref().filter(|_| self.is_on_loopback(browser));
        let sent = browser.device.as_ref().or(loopback);
        let cookie = match sent.and_then(|value| cookies.read(value)) {
            Some(known) => known,
            None => cookies.mint()?,
        };
        Ok(Some(Identity { key: cookie.key(user), cookie: Some(cookie) }))
    }
}

impl Sessions {
    pub(crate) fn whence(&self, peer: Option<IpAddr>, fields: &dyn Fields) -> Whence {
        self.0.whence(peer, fields)
    }
}

impl Inner {
    pub(super) fn whence(&self, peer: Option<IpAddr>, fields: &dyn Fields) -> Whence {
        Whence::of(&self.settings.client_ip, peer, fields)
    }
}
