//! Settings that cannot work are refused at `build()`, or where they are made, with a message that says what to do.

use std::time::Duration;

use axum_device_sessions::{
    AccessTokens, ConfigError, MemoryStore, PostgresStore, Sessions, SessionsBuilder, SigningKey, VerifyingKey,
};

use crate::support::TestDb;

const SECRET: &[u8] = b"a secret of the tests, long enough for HS256";
const HOUR: Duration = Duration::from_secs(3_600);
const FOREVER: Duration = Duration::MAX;

fn builder() -> SessionsBuilder {
    Sessions::builder(MemoryStore::new()).access_tokens(AccessTokens::hs256(SECRET).expect("a good secret"))
}

/// The message of a refusal: with all of the words in it, and nothing of a secret.
fn refused<T>(result: Result<T, ConfigError>, words: &[&str]) {
    let Err(error) = result else { panic!("accepted; expected a refusal that says {words:?}") };
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "no {word:?} in: {message}");
    }
    assert!(!format!("{error:?}").contains("a secret of the tests"), "{error:?}");
}

#[tokio::test]
async fn settings_that_contradict_each_other() {
    let ms = Duration::from_millis;
    type Set = fn(SessionsBuilder) -> SessionsBuilder;
    let cases: &[(Set, &[&str])] = &[
        (
            |b| b.activity_interval(HOUR).idle_timeout(9 * HOUR),
            &["activity_interval", "tenth of idle_timeout", "at most 3240s"],
        ),
        (|b| b.load_timeout(HOUR).max_staleness(HOUR), &["load_timeout", "less than max_staleness"]),
        (|b| b.load_timeout(2 * HOUR).max_staleness(HOUR), &["load_timeout", "less than max_staleness"]),
        (|b| b.outage_grace(HOUR + Duration::from_millis(1)), &["outage_grace", "at most 3600s"]),
        (|b| b.max_cached_sessions(0), &["max_cached_sessions", "give it room"]),
    ];
    for (set, words) in cases {
        refused(set(builder()).build().await, words);
    }
    // At the edge, and with what follows from the rest.
    let agree: &[Set] = &[
        |b| b,
        |b| b.activity_interval(HOUR).idle_timeout(10 * HOUR),
        |b| b.max_staleness(Duration::from_millis(4)),
        |b| b.idle_timeout(Duration::from_secs(2)).absolute_lifetime(Duration::from_secs(2)),
        |b| b.max_cached_sessions(1),
        |b| b.outage_grace(HOUR),
        |b| b.access_token_ttl(100 * 365 * 24 * HOUR).idle_timeout(100 * 365 * 24 * HOUR),
    ];
    for (number, set) in agree.iter().enumerate() {
        assert!(set(builder()).build().await.is_ok(), "case {number}");
    }
    assert!(builder().load_timeout(ms(99)).max_staleness(ms(100)).build().await.is_ok());
}

/// Every span, at either end of what can be meant.
#[tokio::test]
async fn spans_of_no_length_or_without_end() {
    type Set = fn(SessionsBuilder, Duration) -> SessionsBuilder;
    let spans: [(&str, Set); 7] = [
        ("idle_timeout", |b, span| b.activity_interval(Duration::from_millis(1)).idle_timeout(span)),
        ("absolute_lifetime", |b, span| b.absolute_lifetime(span)),
        ("access_token_ttl", |b, span| b.access_token_ttl(span)),
        ("activity_interval", |b, span| b.activity_interval(span)),
        ("max_staleness", |b, span| b.load_timeout(Duration::from_millis(1)).max_staleness(span)),
        ("load_timeout", |b, span| b.load_timeout(span)),
        ("max_age", |b, span| b.max_age(span)),
    ];
    for (name, set) in spans {
        for span in [Duration::ZERO, Duration::from_micros(999), 101 * 366 * 24 * HOUR, FOREVER] {
            refused(set(builder(), span).build().await, &[name, "between 1 ms and 100 years"]);
        }
    }
}

#[tokio::test]
async fn keys_that_protect_nothing() {
    refused(Sessions::builder(MemoryStore::new()).build().await, &["no keys", "access_tokens("]);
    let pem = b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----";
    for (secret, words) in [
        (&b""[..], &["32 random bytes", "openssl rand"][..]),
        (b"a secret", &["32 random bytes", "has 8", "openssl rand"]),
        (&[7; 31], &["32 random bytes", "has 31"]),
        (&[7; 64], &["one byte repeated", "openssl rand"]),
        (&[0; 32], &["one byte repeated"]),
        (pem, &["PEM", "`eddsa_pem`"]),
    ] {
        refused(AccessTokens::hs256(secret), words);
        refused(SigningKey::hs256(secret), words);
        refused(VerifyingKey::hs256(secret), words);
    }
    assert!(AccessTokens::hs256(b"exactly 32 bytes are long enough").is_ok());
    assert!(SigningKey::es256_pem("not a key").is_err() && VerifyingKey::rs256_pem(pem).is_err());
}

#[tokio::test]
async fn keys_that_cannot_be_told_apart() {
    let build = |tokens| Sessions::builder(MemoryStore::new()).access_tokens(tokens).build();
    let tokens = || AccessTokens::hs256(SECRET).expect("a good secret");
    let other = || VerifyingKey::hs256(b"another secret, long enough for HS256 too").expect("a good secret");
    let same = VerifyingKey::hs256(SECRET).unwrap();
    refused(build(tokens().also_accept(same)).await, &["two keys have the id", "also_accept", "with_kid"]);
    let asymmetric = VerifyingKey::eddsa_pem(ED25519).unwrap();
    refused(build(tokens().also_accept(asymmetric)).await, &["HS256 and asymmetric", "keep to one"]);
    let named = |kid: &str| other().with_kid(kid);
    refused(
        build(tokens().also_accept(named("a").unwrap()).also_accept(named("a").unwrap())).await,
        &["two keys", "\"a\""],
    );
    for kid in ["", "a\nb", "ü", &"x".repeat(129)] {
        refused(named(kid), &["kid", "1 to 128 bytes"]);
    }
    assert!(build(tokens().also_accept(other())).await.is_ok());
    assert!(build(AccessTokens::verify_only(other())).await.is_ok());
}

#[tokio::test]
async fn names_and_leeway_of_tokens() {
    let build = |tokens| Sessions::builder(MemoryStore::new()).access_tokens(tokens).build();
    let tokens = || AccessTokens::hs256(SECRET).expect("a good secret");
    refused(build(tokens().issuer("")).await, &["issuer", "must not be empty"]);
    refused(build(tokens().audience("")).await, &["audience", "must not be empty"]);
    refused(build(tokens().leeway(Duration::from_secs(61))).await, &["leeway", "at most 60s", "NTP"]);
    assert!(build(tokens().leeway(Duration::from_secs(60))).await.is_ok());
    assert!(build(tokens().leeway(Duration::ZERO)).await.is_ok());
}

#[tokio::test]
async fn a_missing_schema() {
    let db = TestDb::new().await;
    let build = async || {
        let store = PostgresStore::connect(db.url()).await.unwrap();
        let tokens = AccessTokens::hs256(SECRET).unwrap();
        Sessions::builder(store).access_tokens(tokens).build().await
    };
    refused(build().await, &["schema is missing", "migrate()", "migrations/"]);
    let tables: i64 = db
        .connect()
        .await
        .query_one("SELECT count(*) FROM pg_namespace WHERE nspname = 'device_sessions'", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(tables, 0, "build() only looks");

    PostgresStore::connect(db.url()).await.unwrap().migrate().await.unwrap();
    assert!(build().await.is_ok());
    db.connect().await.execute("DELETE FROM device_sessions.migrations", &[]).await.unwrap();
    refused(build().await, &["older than this version", "migrate()"]);
}

#[tokio::test]
async fn a_database_that_is_not_there() {
    refused(
        PostgresStore::connect("postgres://127.0.0.1:1/none").await,
        &["cannot be reached", "is the address right"],
    );
    refused(PostgresStore::connect("postgres://u:hidden@h/db?no_such_option=hidden").await, &["URL cannot be read"]);
    let secret_url = PostgresStore::connect("postgres://u:hidden@h/db?no_such_option=x").await.unwrap_err();
    assert!(!format!("{secret_url} {secret_url:?}").contains("hidden"), "a password in: {secret_url:?}");

    let db = TestDb::own_cluster(&[]).await;
    let store = PostgresStore::connect(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    db.server().stop_immediate();
    let tokens = AccessTokens::hs256(SECRET).unwrap();
    let built = Sessions::builder(store).access_tokens(tokens).build().await;
    refused(built, &["database could not be asked", "up and reachable"]);
}

#[tokio::test]
async fn a_schema_or_pool_that_cannot_be_used() {
    let db = TestDb::new().await;
    for name in ["", "Sessions", "a-b", "1a", "a.b", "a\"; DROP TABLE x; --", "ü", &"x".repeat(41)] {
        let store = PostgresStore::connect(db.url()).await.unwrap();
        refused(store.schema(name), &["cannot be the schema's name", "lower-case"]);
    }
    let manager = deadpool_postgres::Manager::new(db.url().parse().unwrap(), tokio_postgres::NoTls);
    let pool = deadpool_postgres::Pool::builder(manager).max_size(1).build().unwrap();
    refused(PostgresStore::from_pool(pool), &["at least two connections"]);
}

const ED25519: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
";
