//! Where a request comes from: whose word on its address is believed, and where on earth that is.

mod address;
mod forwarded;
#[cfg(feature = "geoip")]
mod geoip;
mod location;
#[cfg(test)]
mod tests;

mod whence;

#[cfg(feature = "geoip")]
pub use self::geoip::GeoIp;
pub(crate) use self::whence::Whence;
pub use self::{address::ClientIp, location::Locator};
