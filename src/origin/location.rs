//! Sources of places, and what of their answers is kept.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use iso3166::Country;

use crate::place::{Location, Position};

/// The longest name of a city or country, in characters.
const MAX_NAME: usize = 64;

/// Tells where on earth an address is. Every `Fn(IpAddr) -> Option<Location>` is one; `GeoIp` (feature `geoip`) reads a
/// file.
///
/// It is asked when a user signs in and when activity is written down, so never in the way of a request, but on a task
/// of the runtime: **answer from memory, within microseconds, and never block**. A source over the network keeps a cache
/// of its own, answers `None` where that has nothing, and fills it meanwhile.
///
/// It is not asked about addresses that are nowhere: private, loopback, link-local, those of carrier-grade NAT. Its
/// answers are cut to 64 characters a name, and control characters, and those that change the direction of text, are
/// taken out.
///
/// ```
/// use std::net::IpAddr;
/// use axum_device_sessions::{Location, Locator};
///
/// fn office(address: IpAddr) -> Option<Location> {
///     (address == IpAddr::from([198, 51, 100, 7])).then(|| {
///         let mut location = Location::default();
///         location.city = Some("Berlin".to_owned());
///         location.country_code = Some("DE".to_owned());
///         location
///     })
/// }
///
/// let berlin = office.locate(IpAddr::from([198, 51, 100, 7]));
/// assert_eq!(berlin.and_then(|location| location.text()).as_deref(), Some("Berlin, DE"));
/// ```
pub trait Locator: Send + Sync + 'static {
    /// Where this address is; `None` where that is not known. One that panics does not know either.
    fn locate(&self, address: IpAddr) -> Option<Location>;
}

impl<F> Locator for F
where
    F: Fn(IpAddr) -> Option<Location> + Send + Sync + 'static,
{
    fn locate(&self, address: IpAddr) -> Option<Location> {
        self(address)
    }
}

/// What of an answer can be stored and shown: it may come from a third party's file or service.
pub(crate) fn cleaned(location: Location) -> Location {
    let Location { city, country, country_code, position } = location;
    let city = city.as_deref().and_then(clean_name);
    let on_the_globe = |at: Position| Position::new(at.latitude, at.longitude, at.accuracy_km);
    // Sources that know nothing say zero and zero, which is in the Gulf of Guinea.
    let is_null_island = |at: &Position| at.latitude == 0.0 && at.longitude == 0.0 && city.is_none();
    Location {
        position: position.and_then(on_the_globe).filter(|at| !is_null_island(at)),
        country: country.as_deref().and_then(clean_name),
        country_code: country_code.as_deref().and_then(clean_code),
        city,
    }
}

/// A place of which only the code of its country is known.
pub(crate) fn of_country(code: &str) -> Location {
    let country_code = clean_code(code);
    let country = country_code.as_deref().and_then(country_name).map(str::to_owned);
    Location { country, country_code, ..Location::default() }
}

/// The English name of a country, as people call it.
fn country_name(code: &str) -> Option<&'static str> {
    Some(match code {
        // Shortened further than they would be beside others.
        "BA" => "Bosnia and Herzegovina",
        "GB" => "United Kingdom",
        "US" => "United States",
        // Not in the standard; every source of places says it so.
        "XK" => "Kosovo",
        "AQ" => "Antarctica",
        _ => Country::from_alpha2(code)?.data().name,
    })
}

fn clean_code(code: &str) -> Option<String> {
    let code = code.trim().to_ascii_uppercase();
    (code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase())).then_some(code)
}

fn clean_name(name: &str) -> Option<String> {
    // No source has a name near this long: what comes after it need not be looked at.
    let visible: String = name.chars().take(4 * MAX_NAME).filter(|c| !turns_text(*c)).map(without_control).collect();
    let words = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    let bounded: String = words.chars().take(MAX_NAME).collect();
    let name = bounded.trim_end();
    (!name.is_empty()).then(|| name.to_owned())
}

fn without_control(c: char) -> char {
    if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }
}

/// Characters without a shape that change the direction of the text around them (Unicode `Bidi_Control`), and the byte
/// order mark. Joiners stay: Persian and Hindi are written with them.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Whether this address is somewhere: not private, loopback, link-local, of carrier-grade NAT, or otherwise of one network
/// alone. (The standard library's `is_global` is not stable.)
///
/// Addresses for documentation count as public: nobody has them, so no source knows them, and examples and tests need
/// some that are looked up.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// By the [IANA registry](https://www.iana.org/assignments/iana-ipv4-special-registry) of special addresses.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let this_network = a == 0;
    let carrier_nat = a == 100 && (64..128).contains(&b);
    let protocols = (a, b, c) == (192, 0, 0);
    let relays = (a, b, c) == (192, 88, 99);
    let benchmarks = a == 198 && (b == 18 || b == 19);
    let multicast_and_reserved = a >= 224;
    !(this_network
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || carrier_nat
        || protocols
        || relays
        || benchmarks
        || multicast_and_reserved)
}

/// Only `2000::/3` is given out at all; what is not public in it is in the
/// [IANA registry](https://www.iana.org/assignments/iana-ipv6-special-registry).
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let inner = |high: u16, low: u16| is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match (a, b, c, d, e, f) {
        // NAT64 and 6to4 have an IPv4 address inside.
        (0x64, 0xff9b, 0, 0, 0, 0) => inner(g, h),
        (0x2002, high, low, ..) => inner(high, low),
        // Teredo, ORCHID, benchmarks and other protocols.
        (0x2001, 0..=0x1ff, ..) => false,
        _ => a & 0xe000 == 0x2000,
    }
}
