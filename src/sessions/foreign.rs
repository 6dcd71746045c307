//! Sessions that another issuer signs in: its tokens, and registering its sessions.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Inner, KnownToken, Refusal, Refused, Sessions, identify::Unidentified, keys::KeySet, validate::Newcomer};
use crate::{
    cache::Row,
    clock::Tick,
    device,
    error::{Error, ErrorKind},
    fields::UserAgentAlone,
    session::{SessionId, UserId},
    store::NewSession,
    token::{
        TokenUse, VerifiedToken,
        issuer::{Fetched, ForeignToken, KeyStamp, Outcome, PendingKeys},
    },
};

/// What is kept of a foreign token besides.
#[derive(Debug)]
pub(super) struct Foreign {
    issuer: Arc<str>,
    stamp: KeyStamp,
    /// Its session is to be registered if it is unknown, for so long.
    adopt_for: Option<Duration>,
}

impl Sessions {
    /// `None`: no token of another issuer.
    pub(super) fn verify_foreign(
        &self,
        set: &KeySet,
        token: &str,
        now: Tick,
    ) -> Option<Result<Arc<KnownToken>, Unidentified>> {
        Some(match self.0.issuers.verify(token, self.0.clock.wall())? {
            Outcome::NeedsKeys(pending) => Err(Unidentified::NeedsKeys(pending)),
            Outcome::Done(Err(refusal)) => Err(Unidentified::Refused(refusal.into())),
            Outcome::Done(Ok(ForeignToken {
                issuer,
                user_id,
                session_id,
                expires_in,
                claims,
                stamp,
                adopt_for,
                ..
            })) => {
                let verified = VerifiedToken {
                    session_id,
                    user_id,
                    generation: None,
                    age: Duration::ZERO,
                    expires_in,
                    pending: false,
                    of_another_key: false,
                    claims: Some(claims),
                };
                let foreign = Foreign { issuer, stamp, adopt_for };
                Ok(self.known(set, TokenUse::Access, verified, Some(foreign), now))
            }
        })
    }

    /// Whether the keys by which a remembered token was verified still hold.
    pub(super) fn issuer_still_holds(&self, known: &KnownToken) -> bool {
        known.foreign.as_ref().is_none_or(|foreign| self.0.issuers.holds(foreign.stamp))
    }

    /// The token, once its issuer has been asked for its key.
    pub(super) async fn fetch_keys_and_identify(
        &self,
        token: &[u8],
        keys: PendingKeys,
        deadline: Instant,
    ) -> Result<Arc<KnownToken>, Option<Refused>> {
        match tokio::time::timeout_at(deadline, keys.wait()).await {
            Ok(Fetched::Found) => match self.identify(token, TokenUse::Access, self.tick()) {
                Ok(known) => Ok(known),
                Err(Unidentified::Refused(refused)) => Err(Some(refused)),
                Err(Unidentified::NeedsKeys(_)) => Err(None),
            },
            Ok(Fetched::UnknownKid) => Err(Some(Refused { why: Refusal::InvalidToken, named: None })),
            Ok(Fetched::Unavailable) | Err(_) => Err(None),
        }
    }
}

impl Sessions {
    /// Registers the session of a token whose session is unknown, where its issuer's are; for a request, and not for whoever
    /// waits for its end. `false`: it is not to be. Runs to its end even if the request goes away, once at a time.
    pub(super) async fn adopt(&self, token: &Arc<KnownToken>, newcomer: Option<Newcomer>) -> Result<bool, Error> {
        let (Some(newcomer), true) = (newcomer, token.may_be_adopted()) else { return Ok(false) };
        let (inner, token) = (Arc::clone(&self.0), Arc::clone(token));
        self.detached(ADOPTING, async move {
            let Some(Foreign { issuer, adopt_for: Some(longest), .. }) = token.foreign.as_deref() else {
                return Ok(false);
            };
            let _one = inner.refreshing.take(&token.state.id()).await;
            inner.register(token.state.id(), token.user_id.clone(), issuer, *longest, newcomer).await?;
            Ok(true)
        })
        .await
    }
}

impl Inner {
    /// Adds the row, unless another request or node was faster.
    pub(super) async fn register(
        &self,
        id: SessionId,
        user_id: UserId,
        issuer: &str,
        longest: Duration,
        (user_agent, whence): Newcomer,
    ) -> Result<(), Error> {
        let loaded = self.store.load(&[id]).await?;
        if !loaded.sessions.is_empty() {
            return Ok(());
        }
        let device = device::describe(&UserAgentAlone(user_agent.as_deref()));
        let issuer = Some(issuer.to_owned());
        let (ip_address, location) = (whence.ip_address, whence.located(self.locator.as_deref()));
        let new =
            NewSession { user_agent, ip_address, location, issuer, ..NewSession::new(id, user_id, device, longest) };
        let created = self.store.create(new).await;
        self.desk.poke();
        match created {
            // There already.
            Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
            created => created.map(drop),
        }
    }
}

impl KnownToken {
    /// Whether a row can be its session's: ids of issuers may be the same UUIDs.
    pub(super) fn may_be_of(&self, row: &Row) -> bool {
        match &self.foreign {
            Some(foreign) if foreign.adopt_for.is_some() => row.issuer() == Some(&*foreign.issuer),
            // Signed in here, or registered by other means.
            _ => row.issuer().is_none(),
        }
    }

    /// Whether its session is registered at first sight.
    pub(super) fn may_be_adopted(&self) -> bool {
        self.foreign.as_ref().is_some_and(|foreign| foreign.adopt_for.is_some())
    }
}

const ADOPTING: &str = "registering a session of another issuer";
