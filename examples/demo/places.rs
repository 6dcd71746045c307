//! Where the simulated devices are: addresses that are set aside for documentation (RFC 5737), so nobody's, on a map that
//! is made up.

use std::net::IpAddr;

use axum_device_sessions::Location;

/// An application opens a file: `GeoIp`, with the feature `geoip`.
pub(crate) fn locate(address: IpAddr) -> Option<Location> {
    let (_, city, country, code) = PLACES.iter().find(|(known, ..)| address.to_string() == *known)?;
    let mut location = Location::default();
    location.city = Some((*city).to_owned());
    location.country = Some((*country).to_owned());
    location.country_code = Some((*code).to_owned());
    Some(location)
}

pub(crate) const MOSCOW: &str = "203.0.113.7";
pub(crate) const ISTANBUL: &str = "198.51.100.23";
pub(crate) const SAO_PAULO: &str = "192.0.2.44";

const PLACES: [(&str, &str, &str, &str); 3] = [
    (MOSCOW, "Moscow", "Russia", "RU"),
    (ISTANBUL, "Istanbul", "Türkiye", "TR"),
    (SAO_PAULO, "São Paulo", "Brazil", "BR"),
];
