//! Where a request comes from: whose word on its address is believed, and where on earth that is.

mod address;
mod location;
mod whence;

pub(crate) use self::whence::Whence;
pub use self::{address::ClientIp, location::Locator};
