//! The address of the client, by an explicit choice of who is believed.

use std::net::IpAddr;

use super::forwarded;
use crate::{error::ConfigError, fields::Fields, network::Network};

/// So many hops are looked at, from the last one. Real chains have a handful; a header may have thousands.
const MAX_HOPS: usize = 64;

/// Headers that never hold an address: to name one is a mistake, and some hold what must not end up in a list of devices.
const NO_ADDRESS: [&str; 8] =
    ["authorization", "proxy-authorization", "cookie", "set-cookie", "host", "origin", "referer", "user-agent"];

/// What stands for "unknown", "several" or "a network without a country" where a code of a country is expected.
/// Placeholders with a digit (`T1`, `A1`, `A2`, `O1`) are no letters anyway.
const NO_COUNTRY: [[u8; 2]; 4] = [*b"XX", *b"ZZ", *b"AP", *b"EU"];

/// Where the address of a client is taken from. Default: [`socket`](Self::socket).
///
/// Any client can send any header, so a header counts only where the application says which proxies set it:
///
/// | in front of the application | write |
/// |---|---|
/// | nothing | [`ClientIp::socket()`](Self::socket) |
/// | proxies or load balancers that append to `X-Forwarded-For` (nginx, HAProxy, AWS, Azure, Google) | [`ClientIp::x_forwarded_for(..)`](Self::x_forwarded_for) |
/// | proxies that append to `Forwarded` (RFC 7239) | [`ClientIp::forwarded(..)`](Self::forwarded) |
/// | a platform with a header of its own (Cloudflare, Fly.io) | [`ClientIp::header(..)`](Self::header) |
///
/// Whatever the choice, the address of the connection comes first: a header of a peer that is in none of the `trusted`
/// networks means nothing. That address is known only if the application is served with
/// `into_make_service_with_connect_info::<SocketAddr>()`. **Without it no address is known at all**, whatever the
/// headers say: nobody can tell who sent them.
///
/// Addresses are never used to refuse a session. They are shown to the user, and located by a
/// [`Locator`](crate::Locator). IPv4 addresses inside of IPv6 (`::ffff:203.0.113.7`) count as the IPv4 address
/// everywhere.
///
/// ```
/// use axum_device_sessions::ClientIp;
///
/// # fn main() -> Result<(), axum_device_sessions::ConfigError> {
/// let behind_nginx = ClientIp::x_forwarded_for(["10.0.0.0/8", "fd00::/8"])?;
/// let behind_cloudflare_and_nginx =
///     ClientIp::header("CF-Connecting-IP", ["10.0.0.0/8"])?.country_header("CF-IPCountry")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ClientIp {
    source: Source,
    /// Empty for the socket, and only then.
    trusted: Vec<Network>,
    country: Option<String>,
}

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    Socket,
    XForwardedFor,
    Forwarded,
    Header(String),
}

impl ClientIp {
    /// The peer of the connection. No header is believed. The default.
    ///
    /// Behind a proxy this is the proxy's address, the same for everyone.
    pub fn socket() -> Self {
        Self::default()
    }

    /// The last hop of `X-Forwarded-For` that is none of the application's own proxies, as each appends the address it
    /// was called from.
    ///
    /// All lines of the header count, as one list, read from its end: entries in the `trusted` networks are passed over,
    /// the first other one is the client. What a client sends itself stands to the left of that and is never reached.
    /// Where an entry cannot be read, the hop that wrote it is all that is known. If every entry is trusted, the
    /// first one is the client. Ports, brackets and quotes are taken off. At most the last 64 entries are looked at.
    ///
    /// `trusted`: networks from which the application's own proxies call, each other included: `["10.0.0.0/8"]`. Clients
    /// in them can forge their address.
    ///
    /// # Errors
    ///
    /// There is no network, one cannot be read, or one is everybody (`0.0.0.0/0`).
    pub fn x_forwarded_for(trusted: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, ConfigError> {
        Self::from_header(Source::XForwardedFor, trusted)
    }

    /// The same with the `for` parameters of `Forwarded`
    /// ([RFC 7239](https://www.rfc-editor.org/rfc/rfc7239#section-5.2)).
    ///
    /// An identifier that is no address (`unknown`, `_hidden`) counts as one that cannot be read.
    ///
    /// # Errors
    ///
    /// As for [`x_forwarded_for`](Self::x_forwarded_for).
    pub fn forwarded(trusted: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, ConfigError> {
        Self::from_header(Source::Forwarded, trusted)
    }

    /// The one address in a header of the platform's own: `CF-Connecting-IP`, `Fly-Client-IP`, `True-Client-IP`,
    /// `X-Real-IP`.
    ///
    /// Where the header is missing, there twice, or no single address, the peer is all that is known.
    ///
    /// **The platform must overwrite what the client sends**, and nobody else may reach the `trusted` peers: whoever
    /// gets to the inner proxy directly, around the platform, can send this header as well. So let only the platform's
    /// networks in.
    ///
    /// # Errors
    ///
    /// As for [`x_forwarded_for`](Self::x_forwarded_for); or the name is no header name, or one of a header that holds
    /// something else.
    pub fn header(
        name: impl AsRef<str>,
        trusted: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, ConfigError> {
        Self::from_header(Source::Header(header_name(name.as_ref())?), trusted)
    }

    /// Besides, a header in which a trusted proxy says in which country the client is, as an ISO 3166-1 alpha-2 code:
    /// `CF-IPCountry`, `CloudFront-Viewer-Country`. Default: none.
    ///
    /// It is believed from trusted peers only, under the conditions of [`header`](Self::header). What is not two letters
    /// means nothing, and so do `XX`, `ZZ`, `EU` and `AP`, which stand for "unknown".
    ///
    /// # Errors
    ///
    /// The name is no header name, or one of a header that holds something else; or this is
    /// [`socket()`](Self::socket), which trusts nobody.
    pub fn country_header(self, name: impl AsRef<str>) -> Result<Self, ConfigError> {
        if self.trusted.is_empty() {
            return Err(ConfigError::new(
                "country_header: ClientIp::socket() trusts nobody, so it would be any client's word; name the proxies \
                 that set it, as in ClientIp::header(\"CF-Connecting-IP\", [\"10.0.0.0/8\"])",
            ));
        }
        Ok(Self { country: Some(header_name(name.as_ref())?), ..self })
    }

    fn from_header(source: Source, trusted: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, ConfigError> {
        let trusted: Vec<_> =
            trusted.into_iter().map(|text| trusted_network(text.as_ref())).collect::<Result<_, _>>()?;
        if trusted.is_empty() {
            return Err(ConfigError::new(
                "client address: a header was chosen, but no proxy that sets it; give the networks of your proxies, as \
                 [\"10.0.0.0/8\"], or use ClientIp::socket()",
            ));
        }
        Ok(Self { source, trusted, country: None })
    }

    /// The address of a request that came over a connection from `peer`.
    pub(crate) fn resolve(&self, peer: Option<IpAddr>, fields: &dyn Fields) -> Option<IpAddr> {
        let peer = peer?.to_canonical();
        if !self.trusts(peer) {
            return Some(peer);
        }
        Some(match &self.source {
            Source::Socket => peer,
            Source::XForwardedFor => {
                let lines = fields.lines("x-forwarded-for");
                let entries = lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
                self.client(peer, entries, forwarded::address)
            }
            Source::Forwarded => {
                let lines = fields.lines("forwarded");
                let entries = lines.iter().rev().flat_map(|line| forwarded::elements_from_right(line));
                self.client(peer, entries, forwarded::element)
            }
            Source::Header(name) => match fields.lines(name)[..] {
                [line] => forwarded::address(line).unwrap_or(peer),
                _ => peer,
            },
        })
    }

    /// The ISO 3166-1 alpha-2 code of the country in which a trusted proxy says that the client is.
    pub(crate) fn country(&self, peer: Option<IpAddr>, fields: &dyn Fields) -> Option<[u8; 2]> {
        let name = self.country.as_deref()?;
        if !self.trusts(peer?.to_canonical()) {
            return None;
        }
        let mut code = <[u8; 2]>::try_from(fields.text(name)?.trim_ascii().as_bytes()).ok()?;
        code.make_ascii_uppercase();
        (code.iter().all(u8::is_ascii_uppercase) && !NO_COUNTRY.contains(&code)).then_some(code)
    }

    /// Walks the hops from the last to the first, as far as each was written down by one that is trusted.
    fn client<'a>(
        &self,
        peer: IpAddr,
        entries: impl Iterator<Item = &'a [u8]>,
        read: fn(&[u8]) -> Option<IpAddr>,
    ) -> IpAddr {
        let mut known = peer;
        // Empty elements of a list mean nothing (RFC 9110 §5.6.1.2), but cost work.
        for entry in entries.take(MAX_HOPS).map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty()) {
            let Some(address) = read(entry) else { break };
            known = address;
            if !self.trusts(address) {
                break;
            }
        }
        known
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }
}

fn trusted_network(text: &str) -> Result<Network, ConfigError> {
    let network: Network = text.trim().parse().map_err(|error| {
        ConfigError::because(
            format!("trusted network {text:?}: write an address, or one with a prefix: 10.0.0.0/8"),
            error,
        )
    })?;
    if network.is_everyone() {
        return Err(ConfigError::new(format!(
            "trusted network {text:?} is everybody, so every client could forge its address; give the networks of your \
             own proxies alone, as 10.0.0.0/8"
        )));
    }
    Ok(network)
}

/// The name in lower case, as fields are asked for.
fn header_name(name: &str) -> Result<String, ConfigError> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(ConfigError::new(format!("{name:?} is no header name; write it alone, as CF-Connecting-IP")));
    }
    let name = name.to_ascii_lowercase();
    match &*name {
        "x-forwarded-for" | "forwarded" => Err(ConfigError::new(format!(
            "{name} is a list to which clients add; use ClientIp::x_forwarded_for(..) or ClientIp::forwarded(..)"
        ))),
        _ if NO_ADDRESS.contains(&&*name) => Err(ConfigError::new(format!(
            "{name} never says where a client is; give the header that your platform sets, as CF-Connecting-IP"
        ))),
        _ => Ok(name),
    }
}
