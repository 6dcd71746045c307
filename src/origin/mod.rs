//! Where a request comes from: whose word on its address is believed, and where on earth that is.

mod address;
mod location;

pub use self::{address::ClientIp, location::Locator};
