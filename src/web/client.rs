//! Who is calling, for signing in.

use std::{convert::Infallible, fmt, net::IpAddr, sync::Arc};

use axum_core::{
    extract::FromRequestParts,
    response::{IntoResponseParts, ResponseParts},
};
use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};

use super::{
    csrf::{self, Head},
    extract::peer,
};
use crate::{
    device::HINTS,
    fields::Fields,
    sessions::{Calling, Sessions, SignIn},
};

/// Who is calling, as the request tells it: for [`SignIn::client`]. A raw record that proves nothing; needs no layer.
///
/// [`Sessions::sign_in`] makes of it, by its own settings:
///
/// * **What it runs on**, in words, for the list of devices: from `User-Agent`, from Client Hints (`Sec-CH-UA` ..; ask for
///   them by [`ClientHints`]), and from what native apps say of themselves:
///
///   | header | |
///   |---|---|
///   | `Device-Id` | the id of this installation, random, 16 to 128 visible ASCII characters, kept as long as the app is installed |
///   | `Device-Platform` | system and version: `iOS 18.5`, `Android 15` |
///   | `Device-Model` | `iPhone16,2`, `SM-S921B`, `Pixel 9` |
///   | `Device-Name` | what its owner calls it, in UTF-8, which may be percent-encoded |
///   | `App-Name` | the app |
///   | `App-Version` | its version; not shown anywhere yet |
///
/// * **Which device it is**: by `Device-Id`, else by a cookie of its own, `__Host-device`, that the answer sets. The same
///   device that signs in again replaces its session.
/// * **Where it is**: the address at the other end of the connection, where the server was started with
///   `into_make_service_with_connect_info`, or what a trusted proxy says
///   ([`client_ip`](crate::SessionsBuilder::client_ip)).
/// * Whether **another site** made a browser send the request, and the session cookie that it had before: what
///   [`SignIn::cookie`] needs.
///
/// All of these are a client's own words. They are shown to the user, and compared with what was before; nothing is opened
/// by them.
#[derive(Clone, Default)]
pub struct Client(Calling);

/// It has what was sent, and some of that is nobody's business.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Client");
        shown.field("user_agent", &self.0.fields.text("user-agent")).field("peer", &self.0.peer).finish_non_exhaustive()
    }
}

impl Client {
    /// Made by hand, where the caller is no HTTP client. Of the browser it knows nothing, so [`SignIn::cookie`] takes it
    /// for a request of the service's own pages: do not make one of a browser's request.
    #[must_use]
    pub fn new(user_agent: Option<&str>, ip_address: Option<IpAddr>) -> Self {
        let mut fields = HeaderMap::new();
        let value = user_agent.map(|text| HeaderValue::from_bytes(text.replace(char::is_control, " ").as_bytes()));
        if let Some(Ok(value)) = value {
            fields.insert(header::USER_AGENT, value);
        }
        Self(Calling { peer: ip_address, fields: Arc::new(fields), ..Calling::default() })
    }

    /// What the device is known by, where the application knows it by other means than `Device-Id`: something random that
    /// stays with the device, and that no other client can guess.
    #[must_use]
    pub fn device_id(self, id: impl Into<Box<str>>) -> Self {
        Self(Calling { device_id: Some(id.into()), ..self.0 })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let browser = csrf::browser(Head::of_parts(parts));
        let mut fields = parts.headers.clone();
        // What is of use to nobody here, and to a thief.
        for credential in [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE] {
            fields.remove(credential);
        }
        let (peer, fields) = (peer(&parts.extensions), Arc::new(fields));
        // With what another site posts, a browser sends no `SameSite=Lax` cookie: one that is set on the answer would take the
        // place of the one that it has.
        let takes_cookies = !browser.cross_site || parts.method.is_safe();
        Ok(Self(Calling { peer, fields, browser, device_id: None, takes_cookies }))
    }
}

impl SignIn {
    /// From which device: see [`Client`]. Needed for [`cookie`](Self::cookie).
    pub fn client(self, client: Client) -> Self {
        self.from(client.0)
    }
}

impl Sessions {
    /// The address of a client, by the setting [`client_ip`](crate::SessionsBuilder::client_ip): for the application's own
    /// limits on attempts, say.
    #[must_use]
    pub fn ip_address_of(&self, client: &Client) -> Option<IpAddr> {
        self.whence(client.0.peer, &*client.0.fields).ip_address
    }
}

/// Asks a browser for the Client Hints by which Windows 11 and the models of phones can be told: answer the page of the
/// sign-in form with it, `(ClientHints, Html(..))`. Chrome, Edge and their kin send them from the next request on, over
/// https and to localhost; Firefox and Safari send none.
///
/// Sets `Accept-CH` (RFC 8942 §3.1).
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a name for one header")]
pub struct ClientHints;

impl IntoResponseParts for ClientHints {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        parts.headers_mut().append(HeaderName::from_static("accept-ch"), HeaderValue::from_static(HINTS));
        Ok(parts)
    }
}

impl Fields for HeaderMap {
    fn lines(&self, name: &str) -> Vec<&[u8]> {
        self.get_all(name).iter().map(HeaderValue::as_bytes).collect()
    }
}
