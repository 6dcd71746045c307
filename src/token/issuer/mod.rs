//! Tokens that others issue: an identity provider signs, publishes its keys (JWKS, RFC 7517) and says by back-channel when
//! somebody has logged out.
//!
//! What a token claims of itself, `iss` first, only chooses whose rules it is held to. Verifying is synchronous while the
//! key is at hand; else it says what must be awaited ([`PendingKeys`]), and "could not find out" stays apart from "no".

mod claims;
mod fetch;
mod key_set;
mod logout;
mod open;
mod presets;
mod sealed;
mod settings;
mod source;
#[cfg(test)]
mod tests;
mod verify;

pub use claims::IssuerClaims;
pub use settings::Issuer;
pub(crate) use {
    logout::{Logout, LogoutOutcome, LogoutTarget},
    open::{Fetched, PendingKeys},
    verify::{ForeignToken, Issuers, KeyStamp, Outcome},
};
