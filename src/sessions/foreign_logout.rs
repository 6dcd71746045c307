//! Another issuer's word that a session has ended (OpenID Connect Back-Channel Logout).

use tokio::time::Instant;

use super::{Sessions, by, validate::Newcomer};
use crate::{
    error::{Error, ErrorKind},
    session::{EndReason, UserId},
    store::{EndTarget, SessionFilter},
    token::issuer::{Fetched, Logout, LogoutOutcome, LogoutTarget, Outcome},
};

impl Sessions {
    /// An OpenID Connect back-channel logout. `Ok`: done, or done before. `InvalidToken`: no logout token for us.
    pub(crate) async fn backchannel_logout(&self, token: &str, deadline: Instant) -> Result<(), Error> {
        by(deadline, LOGGING_OUT, self.logout_by_issuer(token)).await
    }

    async fn logout_by_issuer(&self, token: &str) -> Result<(), Error> {
        let invalid = || Error::new(ErrorKind::InvalidToken, LOGGING_OUT);
        let unavailable = || Error::new(ErrorKind::Unavailable, "fetching the keys of an issuer");
        let verify = || self.0.issuers.verify_logout(token, self.0.clock.wall()).ok_or_else(invalid);
        let mut outcome = verify()?;
        if let Outcome::NeedsKeys(keys) = outcome {
            match keys.wait().await {
                Fetched::Found => outcome = verify()?,
                Fetched::UnknownKid => return Err(invalid()),
                Fetched::Unavailable => return Err(unavailable()),
            }
        }
        match outcome {
            Outcome::Done(LogoutOutcome::Repeated) => Ok(()),
            Outcome::Done(LogoutOutcome::End(logout)) => {
                self.carry_out(&logout).await?;
                // Not before: an issuer that is told "could not" comes again with the same token.
                self.0.issuers.logged_out(logout, self.0.clock.wall());
                Ok(())
            }
            Outcome::Done(LogoutOutcome::Refused(why)) => {
                tracing::debug!(why, "logout token refused");
                Err(invalid())
            }
            Outcome::NeedsKeys(_) => Err(unavailable()),
        }
    }

    async fn carry_out(&self, logout: &Logout) -> Result<(), Error> {
        let actor = Some(logout.issuer.to_string());
        match (&logout.target, logout.adopt_for) {
            (LogoutTarget::Session { session_id, user_id }, None) => {
                // Not another issuer's, whose ids may be UUIDs as well.
                let loaded = self.0.store.load(&[*session_id]).await?;
                if loaded.sessions.iter().any(|session| session.issuer.is_some()) {
                    return Ok(());
                }
                let target = EndTarget::One { id: *session_id, user: user_id.clone() };
                self.end(target, EndReason::Logout, actor).await.map(drop)
            }
            (LogoutTarget::Session { session_id, user_id }, Some(longest)) => {
                // Also one that has not been seen here yet: its tokens are still about.
                // Whose it is may be left out; then its tokens are refused for naming somebody else.
                let user = user_id.clone().unwrap_or_else(|| UserId::from("-"));
                self.0.register(*session_id, user, &logout.issuer, longest, Newcomer::default()).await?;
                let one = SessionFilter::everyone().with_ids([*session_id]).of_issuer(&*logout.issuer);
                self.admin().end(&one, EndReason::Logout, &logout.issuer).await.map(drop)
            }
            (LogoutTarget::User(user), adopted) => {
                // What was signed in since the logout is not meant. By two clocks, so about.
                let until = logout.issued_at + CLOCKS_DIFFER;
                let theirs = SessionFilter::everyone().of_user(user.clone()).created_before(until);
                let theirs = if adopted.is_some() { theirs.of_issuer(&*logout.issuer) } else { theirs };
                self.admin().end(&theirs, EndReason::Logout, &logout.issuer).await.map(drop)
            }
        }
    }
}

const LOGGING_OUT: &str = "logging out by an issuer's word";
/// Between an issuer's clock and the database's.
const CLOCKS_DIFFER: time::Duration = time::Duration::seconds(5);
