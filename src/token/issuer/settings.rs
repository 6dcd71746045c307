//! What is known of an issuer before it has issued anything.

use std::{fmt, sync::Arc, time::Duration};

use super::claims::IssuerClaims;
use crate::session::UserId;

pub(super) type UserMapping = Arc<dyn Fn(&IssuerClaims<'_>) -> Option<UserId> + Send + Sync>;

/// Somebody else whose access tokens are accepted: an identity provider that publishes its keys (JWKS).
///
/// ```
/// # use axum_device_sessions::{Issuer, UserId};
/// // One of those that are known by name:
/// let keycloak = Issuer::keycloak("https://id.example.com/realms/shop", "shop-web");
/// let auth0 = Issuer::auth0("shop.eu.auth0.com", "https://api.shop.example");
/// let supabase = Issuer::supabase("https://abcdefghijklmnopqrst.supabase.co");
///
/// // Any other. Its keys are found by OpenID Connect Discovery, unless it is told where they are.
/// let other = Issuer::new("https://login.example.com")
///     .audience("https://api.shop.example")
///     .typ(["at+jwt", "JWT"])
///     .session_claim("sid")
///     .user(|claims| Some(UserId::from(format!("login|{}", claims.subject()))));
/// ```
///
/// A token must be of a `typ` that is listed, signed by a key that the issuer publishes, for this audience, and name a
/// session: a session id that is no UUID becomes one, derived from it and the issuer. `exp` and `sub` are required; `crit`
/// and keys that the token brings along are refused and ignored. Settings are checked when the crate's are built.
///
/// **Keys** are fetched when the first token comes, again in the background every ten minutes while tokens come, and at
/// once for a token of an unknown key, but never more often than every ten seconds. While the issuer cannot be reached the
/// known keys go on; a token of an unknown key is then answered by 503, since nothing was learnt about it. A key that the
/// issuer took back is refused from the next fetch on.
#[must_use]
pub struct Issuer {
    pub(super) issuer: String,
    pub(super) audiences: Vec<String>,
    pub(super) parties: Vec<String>,
    pub(super) logout_audiences: Vec<String>,
    pub(super) jwks_url: Option<String>,
    pub(super) types: Vec<String>,
    pub(super) untyped: bool,
    pub(super) session_claim: String,
    pub(super) required: Vec<(String, String)>,
    pub(super) user: Option<UserMapping>,
    pub(super) algorithms: Vec<String>,
    pub(super) leeway: Duration,
    pub(super) longest_session: Option<Duration>,
}

impl Issuer {
    /// The issuer whose tokens have exactly this `iss`, which for OpenID Connect is an `https` URL. Every character
    /// counts, a slash at the end too.
    pub fn new(issuer: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audiences: Vec::new(),
            parties: Vec::new(),
            logout_audiences: Vec::new(),
            jwks_url: None,
            types: vec!["at+jwt".into()],
            untyped: false,
            session_claim: "sid".into(),
            required: Vec::new(),
            user: None,
            algorithms: DEFAULT_ALGORITHMS.map(Into::into).to_vec(),
            leeway: Duration::from_secs(2),
            longest_session: None,
        }
    }

    /// A token must have this `aud`, alone or among others. No default: without it, a token that the issuer made for any
    /// other application would be good here. May be called several times; one of them is enough.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// A token must have been issued to this client (`azp`, or `client_id` as RFC 9068 names it). Beside
    /// [`audience`](Self::audience) both must hold. It may stand instead of it, for issuers that leave `aud` out, as
    /// Keycloak does until it is told otherwise: then a token is good here because *our* client asked for it. May be
    /// called several times; one of them is enough.
    pub fn authorized_party(mut self, client_id: impl Into<String>) -> Self {
        self.parties.push(client_id.into());
        self
    }

    /// The `aud` of logout tokens (OpenID Connect Back-Channel Logout), which is the id of the client that the issuer
    /// knows this application by. Default: the values of [`authorized_party`](Self::authorized_party), or else of
    /// [`audience`](Self::audience). May be called several times.
    pub fn logout_audience(mut self, client_id: impl Into<String>) -> Self {
        self.logout_audiences.push(client_id.into());
        self
    }

    /// Where the keys are. Default: what `{iss}/.well-known/openid-configuration` says, in which `issuer` must be equal.
    /// `https`, but for the loopback address.
    pub fn jwks_url(mut self, url: impl Into<String>) -> Self {
        self.jwks_url = Some(url.into());
        self
    }

    /// The accepted values of the header `typ`, in any case, with or without `application/`. Default `at+jwt` (RFC 9068).
    /// Many issuers write `JWT`, in ID tokens as well: list it if this one does, and see that `aud` tells the two apart.
    pub fn typ<T: Into<String>>(mut self, accepted: impl IntoIterator<Item = T>) -> Self {
        self.types = accepted.into_iter().map(Into::into).collect();
        self
    }

    /// Accepts tokens without a `typ` too. Default: refused. For issuers that write none.
    pub fn accept_untyped(mut self) -> Self {
        self.untyped = true;
        self
    }

    /// The claim that has the issuer's id of the session. Default `sid`, as in OpenID Connect. A token without it is
    /// refused: there would be nothing to list and nothing to end. In logout tokens it is always `sid`.
    pub fn session_claim(mut self, name: impl Into<String>) -> Self {
        self.session_claim = name.into();
        self
    }

    /// A further claim that must be this text. For marks that an issuer puts on its access tokens; Keycloak writes
    /// `"typ": "Bearer"` among the claims. May be called several times; all must hold.
    pub fn require(mut self, claim: impl Into<String>, value: impl Into<String>) -> Self {
        self.required.push((claim.into(), value.into()));
        self
    }

    /// Whose token it is, in the application's own ids; `None` refuses the token. Default: `sub` as it is. Where another
    /// issuer is accepted too, or the application's own tokens are, the default is refused when the settings are built:
    /// the same `sub` may be two people. It is asked once a token, not once a request. For logout tokens it is asked
    /// too, and these have little more than `sub`.
    pub fn user(mut self, mapping: impl Fn(&IssuerClaims<'_>) -> Option<UserId> + Send + Sync + 'static) -> Self {
        self.user = Some(Arc::new(mapping));
        self
    }

    /// The accepted signature algorithms. Default RS256, ES256 and EdDSA, which issuers use unless told otherwise; further
    /// RS384, RS512, PS256, PS384, PS512, ES384. A key has one algorithm: its `alg`, or without one the first of this list
    /// that fits it. Shared secrets (HS256) are never taken from a key set.
    pub fn algorithms<T: Into<String>>(mut self, accepted: impl IntoIterator<Item = T>) -> Self {
        self.algorithms = accepted.into_iter().map(Into::into).collect();
        self
    }

    /// How far the issuer's clock may differ: a token is accepted for so long after `exp` and before `nbf`. Default 2 s,
    /// at most 60 s, as [`AccessTokens::leeway`](crate::AccessTokens::leeway).
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Registers a session the first time that a good token of it comes, so that a service that does not sign people in has
    /// the list of devices and the remote sign-out all the same. Default: not; a token whose session is not in the
    /// database is then refused.
    ///
    /// `longest_session` is how long a session of this issuer can last at most (Keycloak's "SSO Session Max"). Its row is kept for
    /// so long, ended or not: a token of a session that was ended here may come for as long, and stays refused.
    /// The times of the list begin at first sight, and the issuer's own session goes on when it is ended here.
    ///
    /// **An ended session stays ended**, one that was idle for too long as well. Where the issuer then hands out tokens of the same
    /// session again, they are refused: set `idle_timeout` to at least the issuer's own, or have the client ask for a new
    /// session (`prompt=login`). Deleting a row by hand makes the session unknown, and so adopted again: end it instead.
    pub fn adopt_sessions(mut self, longest_session: Duration) -> Self {
        self.longest_session = Some(longest_session);
        self
    }

    pub(super) fn is_mapped(&self) -> bool {
        self.user.is_some()
    }
}

const DEFAULT_ALGORITHMS: [&str; 3] = ["RS256", "ES256", "EdDSA"];

/// The mapping is code, the rest no secret.
impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("issuer", &self.issuer)
            .field("audiences", &self.audiences)
            .field("parties", &self.parties)
            .field("jwks_url", &self.jwks_url)
            .field("types", &self.types)
            .field("session_claim", &self.session_claim)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}
