//! Taking a token apart, and finding the key that its signature is of.

use std::sync::Arc;

use jsonwebtoken::Algorithm;

pub(crate) use super::source::Fetched;
use super::{
    key_set::{self, Key},
    sealed::Foreign,
    source::{KeySource, Known, LookUp},
    verify::Issuers,
};
use crate::token::{
    claims::{Members, text},
    keys::MAX_KID,
    verify::decode,
};

/// The longest token of an issuer that is looked at, in bytes. Twice what ours may have: an issuer that writes every role
/// and group of a user into it does not ask us. Longer headers are refused by most servers anyway.
const MAX_TOKEN: usize = 16 * 1024;

impl Issuers {
    /// The issuer that a token says it is of. Unverified: it only chooses whose rules apply.
    pub(super) fn claimed<'t>(&self, token: &'t str) -> Option<(usize, &Foreign, Unverified<'t>)> {
        if self.all.is_empty() || token.len() > MAX_TOKEN {
            return None;
        }
        let (message, signature) = token.rsplit_once('.')?;
        let (header, payload) = message.split_once('.').filter(|(_, rest)| !rest.contains('.'))?;
        let payload = decode(payload, "").ok()?;
        let members: Members<'_> = serde_json::from_str(&payload).ok()?;
        let issuer = members.text("iss")?;
        let (index, foreign) = self.all.iter().enumerate().find(|(_, foreign)| *foreign.issuer == *issuer)?;
        drop(issuer);
        Some((index, foreign, Unverified { message, header, signature, payload }))
    }
}

/// A token taken apart, of which nothing is proved yet.
pub(super) struct Unverified<'t> {
    message: &'t str,
    header: &'t str,
    signature: &'t str,
    pub(super) payload: String,
}

pub(super) enum Opened {
    /// The signature is that of one of these keys.
    By(Arc<Known>),
    NeedsKeys(PendingKeys),
}

impl Unverified<'_> {
    /// Checks header and signature.
    pub(super) fn open(
        &self,
        foreign: &Foreign,
        accepts_type: impl Fn(Option<&str>) -> bool,
    ) -> Result<Opened, &'static str> {
        let header = decode(self.header, "header is not base64url of text")?;
        let header: Members<'_> =
            serde_json::from_str(&header).map_err(|_| "header is no object or names a member twice")?;
        // RFC 7515 §4.1.11: an extension that is critical and not understood. We understand none.
        if header.get("crit").is_some() {
            return Err("critical header extension");
        }
        let typ = header.get("typ").map(|typ| text(typ).ok_or("unusable `typ`")).transpose()?;
        if !accepts_type(typ.as_deref()) {
            return Err("not a `typ` that belongs here");
        }
        let kid = header.text("kid").filter(|kid| (1..=MAX_KID).contains(&kid.len())).ok_or("no usable `kid`")?;
        // Before a fetch, so that a token that could never be good causes none.
        let algorithm = header.text("alg").and_then(|name| key_set::algorithm(&name));
        let algorithm = algorithm.filter(|algorithm| foreign.source.accepts(*algorithm)).ok_or("no accepted `alg`")?;
        match foreign.source.look_up(&kid) {
            LookUp::Found(known) => {
                let key = known.keys.get(&kid).ok_or("`kid` of no known key")?;
                self.is_signed_by(key, algorithm)?;
                Ok(Opened::By(known))
            }
            LookUp::Unknown => Err("`kid` of no known key"),
            LookUp::Ask => {
                Ok(Opened::NeedsKeys(PendingKeys { source: Arc::clone(&foreign.source), kid: kid.as_ref().into() }))
            }
        }
    }

    fn is_signed_by(&self, key: &Key, algorithm: Algorithm) -> Result<(), &'static str> {
        // The key says the algorithm and the token only repeats it.
        if key.algorithm != algorithm {
            return Err("not the algorithm of its key");
        }
        if key.verifies(self.message, self.signature) { Ok(()) } else { Err("signature is wrong") }
    }
}

/// A key that the issuer has to be asked for.
#[derive(Debug)]
pub(crate) struct PendingKeys {
    source: Arc<KeySource>,
    kid: Box<str>,
}

impl PendingKeys {
    /// Asks, together with everybody who waits for keys of this issuer. No more than one fetch a cooldown.
    ///
    /// # Cancel safety
    ///
    /// The fetch goes on for whoever else waits.
    pub(crate) async fn wait(self) -> Fetched {
        self.source.ask(&self.kid).await
    }
}
