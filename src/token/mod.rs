//! Access tokens: JWTs (RFC 7519, RFC 9068) that carry a session id, signed by one key and accepted from several.
//!
//! jsonwebtoken does the signatures and nothing else (but that of HS256 is checked without it, see [`verifier`]). Its claim checks take a token without `iss` and `aud` for one with
//! the right ones, know nothing of `typ`, `crit` and `iat`, and read the system's clock; so header and claims are read and
//! judged here, over the clock that the caller passes.

mod access;
mod alert;
mod claims;
mod device;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
#[cfg(feature = "jwks")]
pub(crate) mod issuer;
mod jwk;
mod keys;
pub(crate) mod pem;
pub(crate) mod refresh;
mod sign;
#[cfg(test)]
mod tests;
mod verifier;
mod verify;

pub use access::AccessTokens;
pub(crate) use access::TokenKeys;
pub(crate) use alert::AlertLinks;
pub(crate) use device::{DeviceCookie, DeviceCookies, app_device_key};
#[cfg(feature = "jwks")]
pub use issuer::{Issuer, IssuerClaims};
#[cfg(feature = "fcm")]
pub(crate) use keys::rsa_pair;
pub use keys::{SigningKey, VerifyingKey};
pub(crate) use sign::{NewToken, check_claims};
pub(crate) use verify::{TokenRefusal, TokenUse, VerifiedToken};
