//! The settings of an issuer, checked, and what is made of them.

use std::{fmt, sync::Arc};

use super::{
    fetch::{self, Fetcher},
    key_set,
    settings::{Issuer, UserMapping},
    source::KeySource,
};
use crate::{
    clock::Clock,
    error::ConfigError,
    token::{access::MAX_LEEWAY, verify::short_type},
};

/// An issuer whose settings are in order, with its keys.
pub(super) struct Foreign {
    pub(super) issuer: Arc<str>,
    pub(super) audiences: Vec<String>,
    pub(super) parties: Vec<String>,
    pub(super) logout_audiences: Vec<String>,
    types: Vec<String>,
    untyped: bool,
    pub(super) session_claim: String,
    pub(super) required: Vec<(String, String)>,
    pub(super) user: Option<UserMapping>,
    pub(super) leeway: time::Duration,
    pub(super) source: Arc<KeySource>,
    pub(super) longest_session: Option<std::time::Duration>,
}

impl Issuer {
    /// Checks everything that can be checked without asking the issuer.
    pub(super) fn seal(self, clock: Clock) -> Result<Foreign, ConfigError> {
        let Self {
            issuer,
            audiences,
            parties,
            logout_audiences,
            jwks_url,
            types,
            untyped,
            session_claim,
            required,
            user,
            algorithms,
            leeway,
            longest_session,
        } = self;
        let wrong = |what: &str| Err(ConfigError::new(format!("issuer {issuer:?}: {what}")));

        if issuer.is_empty() || issuer.chars().any(char::is_control) {
            return wrong("give the `iss` of its tokens");
        }
        if audiences.is_empty() && parties.is_empty() {
            return wrong(
                "without an audience, tokens that were made for other applications would be good here: give \
                 `audience`, or `authorized_party` if the issuer writes no `aud`",
            );
        }
        let texts = [&audiences, &parties, &logout_audiences].into_iter().flatten();
        let pairs = required.iter().flat_map(|(claim, value)| [claim, value]);
        if texts.chain(pairs).chain([&session_claim]).any(String::is_empty) {
            return wrong("an audience, a client id or the name of a claim is empty: leave it out or name it");
        }
        if types.is_empty() && !untyped {
            return wrong("no `typ` is accepted, so no token would be: give one or use `accept_untyped`");
        }
        if let Some(typ) = types.iter().find(|typ| NEVER.iter().any(|no| short_type(typ).eq_ignore_ascii_case(no))) {
            return wrong(&format!("`typ` {typ:?} is not that of an access token: take it off the list"));
        }
        if leeway > MAX_LEEWAY {
            return wrong(&format!("a leeway of {leeway:?} is too long: give at most {MAX_LEEWAY:?}"));
        }
        if longest_session.is_some_and(|longest| longest < MIN_SESSION || longest > MAX_SESSION) {
            return wrong(
                "`adopt_sessions` takes how long a session of it can last at most: a minute to a hundred years",
            );
        }
        let mut accepted = Vec::new();
        for name in &algorithms {
            match key_set::algorithm(name) {
                Some(algorithm) => accepted.push(algorithm),
                None => return wrong(&format!("the algorithm {name:?} cannot be accepted: see `Issuer::algorithms`")),
            }
        }
        if accepted.is_empty() {
            return wrong("no algorithm is accepted: leave `algorithms` out or name one");
        }

        let logout_audiences = match (logout_audiences.is_empty(), parties.is_empty()) {
            (false, _) => logout_audiences,
            (true, false) => parties.clone(),
            (true, true) => audiences.clone(),
        };
        let issuer: Arc<str> = issuer.into();
        let fetcher = Fetcher::new(Arc::clone(&issuer), jwks_url.as_deref(), fetch::TIME_LIMIT)?;
        Ok(Foreign {
            source: KeySource::new(Arc::clone(&issuer), fetcher, accepted, clock),
            issuer,
            audiences,
            parties,
            logout_audiences,
            types,
            untyped,
            session_claim,
            required,
            user,
            // At most a minute, so it is always representable.
            leeway: time::Duration::try_from(leeway).unwrap_or(time::Duration::ZERO),
            longest_session,
        })
    }
}

impl Foreign {
    pub(super) fn accepts_type(&self, typ: Option<&str>) -> bool {
        match typ {
            None => self.untyped,
            Some(typ) => self.types.iter().any(|accepted| short_type(accepted).eq_ignore_ascii_case(short_type(typ))),
        }
    }
}

impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Foreign").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

const MIN_SESSION: std::time::Duration = std::time::Duration::from_secs(60);
const MAX_SESSION: std::time::Duration = std::time::Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// Signed by the same keys, and made for something else.
const NEVER: [&str; 4] = ["logout+jwt", "dpop+jwt", "session+jwt", "secevent+jwt"];
