//! Issuers that are known by name. Each says what of its documentation it rests on.

use super::settings::Issuer;

impl Issuer {
    /// A realm of Keycloak: `https://id.example.com/realms/shop`, and the id of the client that users sign in with.
    ///
    /// The realm's URL is the `iss`, the keys are at `/protocol/openid-connect/certs`, the session is `sid`. The header's
    /// `typ` is `JWT`, or `at+jwt` where the client is set to RFC 9068; since ID tokens say `JWT` too, the *claim* `typ`
    /// must be `Bearer`. **`aud`** never names the client itself, and is missing until an audience mapper is set up: so
    /// [`authorized_party`](Self::authorized_party) is required instead. Better is both: give the client scope an
    /// audience mapper and add [`audience`](Self::audience). Tokens of service accounts have no session and are refused.
    pub fn keycloak(realm_url: &str, client_id: impl Into<String>) -> Self {
        let (realm, client_id) = (realm_url.trim_end_matches('/'), client_id.into());
        Self::new(realm)
            .jwks_url(format!("{realm}/protocol/openid-connect/certs"))
            .typ(["JWT", "at+jwt"])
            .require("typ", "Bearer")
            .session_claim("sid")
            .logout_audience(&client_id)
            .authorized_party(client_id)
    }

    /// A tenant of Auth0, by its domain (`shop.eu.auth0.com`, or the custom one that its tokens name), and the identifier
    /// of the API that access tokens are for.
    ///
    /// The `iss` is the domain's URL with a slash at the end, the keys are at `/.well-known/jwks.json`, `typ` is `JWT` or,
    /// with the RFC 9068 profile, `at+jwt`. **Access tokens name no session by themselves**, and `sid` cannot be set in
    /// them: add a post-login Action with `api.accessToken.setCustomClaim("session_id", event.session.id)`, or give the
    /// claim that you have to [`session_claim`](Self::session_claim). For back-channel logout set
    /// [`logout_audience`](Self::logout_audience) to the application's client id.
    pub fn auth0(domain: &str, audience: impl Into<String>) -> Self {
        let domain = domain.strip_prefix("https://").unwrap_or(domain).trim_end_matches('/');
        Self::new(format!("https://{domain}/"))
            .jwks_url(format!("https://{domain}/.well-known/jwks.json"))
            .typ(["JWT", "at+jwt"])
            .session_claim("session_id")
            .audience(audience)
    }

    /// A project of Supabase: `https://abcdefghijklmnopqrst.supabase.co`.
    ///
    /// The `iss` is `/auth/v1` of it, the keys are at `/.well-known/jwks.json` below that, `typ` is `JWT`, `aud` is
    /// `authenticated`, and the session is `session_id`. The project must sign with an asymmetric key: one that still uses
    /// the shared secret publishes no keys, and then nothing can be verified here.
    pub fn supabase(project_url: &str) -> Self {
        let auth = format!("{}/auth/v1", project_url.trim_end_matches('/'));
        Self::new(auth.as_str())
            .jwks_url(format!("{auth}/.well-known/jwks.json"))
            .typ(["JWT"])
            .session_claim("session_id")
            .audience("authenticated")
    }
}
