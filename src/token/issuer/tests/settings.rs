//! Promises: what cannot work is refused at start; the issuers that are known by name are held to what they document; a
//! session id and a user of one issuer are never those of another.

use serde_json::{Value, json};

use super::{super::claims::session_id, Forged, ISSUER, Issuer, Issuers, SESSION, TestKey, issuer, knowing, verify};
use crate::{clock::Clock, session::UserId, token::TokenRefusal};

fn seal(issuers: Vec<Issuer>, own: Option<&str>) -> Result<Issuers, String> {
    Issuers::seal(issuers, own, &Clock::manual()).map_err(|error| error.to_string())
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let of = |url: &str| issuer().jwks_url(url);
    let table = [
        (Issuer::new(""), "give the `iss`"),
        (Issuer::new("https://id.example\u{1f}").audience("api"), "give the `iss`"),
        (Issuer::new(ISSUER), "`authorized_party`"),
        (Issuer::new(ISSUER).logout_audience("web"), "`authorized_party`"),
        (Issuer::new(ISSUER).audience(""), "is empty"),
        (issuer().authorized_party(""), "is empty"),
        (issuer().logout_audience(""), "is empty"),
        (issuer().session_claim(""), "is empty"),
        (issuer().require("typ", ""), "is empty"),
        (issuer().require("", "Bearer"), "is empty"),
        (issuer().typ([""; 0]), "`accept_untyped`"),
        (issuer().typ(["at+jwt", "logout+jwt"]), "not that of an access token"),
        (issuer().typ(["Application/LOGOUT+jwt"]), "not that of an access token"),
        (issuer().typ(["dpop+jwt"]), "not that of an access token"),
        (issuer().typ(["session+jwt"]), "not that of an access token"),
        (issuer().leeway(std::time::Duration::from_secs(61)), "too long"),
        (issuer().algorithms(["HS256"]), "cannot be accepted"),
        (issuer().algorithms(["none"]), "cannot be accepted"),
        (issuer().algorithms(["ES512"]), "cannot be accepted"),
        (issuer().algorithms([""; 0]), "no algorithm"),
        (of("http://id.example/keys"), "`https` URL"),
        (of("http://127.0.0.1.example/keys"), "`https` URL"),
        (of("http://localhost.example/keys"), "`https` URL"),
        (of("ftp://127.0.0.1/keys"), "`https` URL"),
        (of("file:///etc/keys"), "`https` URL"),
        (of("https://user:secret@id.example/keys"), "`https` URL"),
        (of("keys"), "`https` URL"),
        (Issuer::new("tenant").audience("api"), "`https` URL"),
    ];
    for (issuer, says) in table {
        let shown = format!("{issuer:?}");
        let error = seal(vec![issuer], None).unwrap_err();
        assert!(error.contains(says), "{shown}: {error}");
    }
    for fine in [
        issuer(),
        issuer().typ([""; 0]).accept_untyped(),
        Issuer::new(ISSUER).authorized_party("web"),
        issuer()
            .algorithms(["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "Ed25519"]),
        of("http://127.0.0.1:8080/keys"),
        of("http://[::1]:8080/keys"),
        of("http://localhost/keys"),
        Issuer::new("tenant").audience("api").jwks_url("https://id.example/keys"),
    ] {
        let shown = format!("{fine:?}");
        assert!(seal(vec![fine], None).is_ok(), "{shown}");
    }
}

#[test]
fn several_issuers_need_to_say_whose_their_tokens_are() {
    let other = || Issuer::new("https://other.example").audience("api");
    let mapped = |issuer: Issuer| issuer.user(|claims| Some(claims.subject().into()));
    assert!(seal(vec![issuer()], None).is_ok());
    assert!(seal(vec![issuer()], Some("axum-device-sessions")).unwrap_err().contains("`user`"));
    assert!(seal(vec![issuer(), mapped(other())], None).unwrap_err().contains(ISSUER));
    assert!(seal(vec![mapped(issuer()), mapped(other())], Some("axum-device-sessions")).is_ok());
    assert!(seal(vec![mapped(issuer()), mapped(issuer())], None).unwrap_err().contains("two issuers"));
    assert!(seal(vec![mapped(issuer())], Some(ISSUER)).unwrap_err().contains("two issuers"));
    assert!(seal(Vec::new(), None).is_ok());
}

#[test]
fn a_mapping_says_whose_token_it_is() {
    let key = TestKey::es256("1");
    let mapping = |claims: &super::super::IssuerClaims<'_>| {
        assert!(!format!("{claims:?}").contains("lena"));
        let tenant = claims.get("tenant").and_then(Value::as_str)?;
        Some(UserId::from(format!("{}|{tenant}|{}", claims.issuer(), claims.subject())))
    };
    let issuers = knowing(issuer().user(mapping), &[&key]);
    let token = Forged::good(&key).claim("tenant", json!("t1")).sign(&key);
    assert_eq!(verify(&issuers, &token).unwrap().user_id.as_str(), "https://id.example|t1|lena");
    let unwanted = verify(&issuers, &Forged::good(&key).sign(&key));
    assert_eq!(unwanted, Err(TokenRefusal::Invalid("a user that the application does not want")));
    for unusable in ["", "a\0b", &"u".repeat(256)] {
        let unusable = unusable.to_owned();
        let issuers = knowing(issuer().user(move |_| Some(unusable.as_str().into())), &[&key]);
        let refused = verify(&issuers, &Forged::good(&key).sign(&key));
        assert_eq!(refused, Err(TokenRefusal::Invalid("mapped to an unusable user id")));
    }
}

#[test]
fn a_session_id_that_is_no_uuid_becomes_one() {
    assert_eq!(session_id(ISSUER, SESSION).to_string(), SESSION);
    assert_eq!(session_id(ISSUER, &SESSION.to_uppercase()).to_string(), SESSION);
    // Written down in databases: it must never change.
    assert_eq!(session_id(ISSUER, "s1").to_string(), "7a498625-c663-586d-8e09-5a4fbe9b2e51");
    assert_eq!(session_id(ISSUER, "s1").as_uuid().get_version_num(), 5);
    let mut all = vec![
        session_id(ISSUER, "s1"),
        session_id(ISSUER, "s2"),
        session_id("https://other.example", "s1"),
        session_id("https://id.examples", "1"),
        session_id("https://id.example", ""),
        session_id(&SESSION[1..], "0"),
        session_id("", &SESSION[1..]),
    ];
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
}

/// As <https://phasetwo.io/tutorials/clients/audience/> and the like show them: no `aud` of the client itself, `typ` among
/// the claims.
#[test]
fn keycloak() {
    let key = TestKey::rs256("1");
    let realm = "https://id.example/realms/shop";
    let issuers = knowing(Issuer::keycloak("https://id.example/realms/shop/", "shop-web"), &[&key]);
    let good = || {
        let token = Forged::good(&key).without("aud").header("typ", json!("JWT")).claim("iss", json!(realm));
        token.claim("typ", json!("Bearer")).claim("azp", json!("shop-web")).claim("sid", json!("n0tAnUuid"))
    };
    let refused = |forged: Forged| verify(&issuers, &forged.sign(&key)).unwrap_err();
    let verified = verify(&issuers, &good().sign(&key)).unwrap();
    assert_eq!((verified.session_id, &*verified.sid), (session_id(realm, "n0tAnUuid"), "n0tAnUuid"));
    assert!(verify(&issuers, &good().claim("aud", json!("account")).sign(&key)).is_ok());
    assert!(verify(&issuers, &good().header("typ", json!("at+jwt")).sign(&key)).is_ok());
    let another = TokenRefusal::Invalid("issued to another client");
    assert_eq!(refused(good().claim("azp", json!("another"))), another);
    assert_eq!(refused(good().claim("azp", json!("another")).claim("client_id", json!("shop-web"))), another);
    assert_eq!(refused(good().without("azp")), TokenRefusal::Invalid("no usable `azp` or `client_id`"));
    let unmarked = TokenRefusal::Invalid("without a claim that is required");
    for other in ["ID", "Refresh", "Logout", "bearer"] {
        assert_eq!(refused(good().claim("typ", json!(other))), unmarked, "{other}");
    }
    assert_eq!(refused(good().without("typ")), unmarked);
    assert_eq!(refused(good().without("sid")), TokenRefusal::Invalid("no session id"), "a service account");

    // With an audience mapper, both.
    let both = knowing(Issuer::keycloak(realm, "shop-web").audience("api"), &[&key]);
    assert!(verify(&both, &good().sign(&key)).is_err());
    assert!(verify(&both, &good().claim("aud", json!(["account", "api"])).sign(&key)).is_ok());
    assert!(verify(&both, &good().claim("aud", json!("api")).claim("azp", json!("x")).sign(&key)).is_err());
}

#[test]
fn auth0() {
    let key = TestKey::rs256("1");
    let api = "https://api.shop.example";
    for domain in ["shop.eu.auth0.com", "https://shop.eu.auth0.com/"] {
        let issuers = knowing(Issuer::auth0(domain, api), &[&key]);
        let good = || {
            let token = Forged::good(&key).without("sid").claim("iss", json!("https://shop.eu.auth0.com/"));
            token.claim("aud", json!([api, "https://shop.eu.auth0.com/userinfo"])).claim("sub", json!("auth0|123456"))
        };
        let with_session = || good().claim("session_id", json!("s1"));
        for typ in ["JWT", "at+jwt"] {
            assert!(verify(&issuers, &with_session().header("typ", json!(typ)).sign(&key)).is_ok());
        }
        // An ID token is for the client.
        assert!(verify(&issuers, &with_session().claim("aud", json!("client")).sign(&key)).is_err());
        assert_eq!(verify(&issuers, &good().sign(&key)), Err(TokenRefusal::Invalid("no session id")));
        let without_slash = with_session().claim("iss", json!("https://shop.eu.auth0.com"));
        assert!(issuers.verify(&without_slash.sign(&key), super::now()).is_none());
    }
}

#[test]
fn supabase() {
    let key = TestKey::es256("1");
    for project in ["https://abcdefghijklmnopqrst.supabase.co", "https://abcdefghijklmnopqrst.supabase.co/"] {
        let issuers = knowing(Issuer::supabase(project), &[&key]);
        let good = || {
            let token = Forged::good(&key).without("sid").header("typ", json!("JWT"));
            let token = token.claim("iss", json!("https://abcdefghijklmnopqrst.supabase.co/auth/v1"));
            token.claim("aud", json!("authenticated")).claim("session_id", json!(SESSION))
        };
        assert_eq!(verify(&issuers, &good().sign(&key)).unwrap().session_id.to_string(), SESSION);
        assert!(verify(&issuers, &good().claim("aud", json!("anon")).sign(&key)).is_err());
        assert!(verify(&issuers, &good().without("session_id").sign(&key)).is_err());
    }
}
