//! TLS to Postgres: a real server with `ssl=on`, the right and a wrong CA, for the pool and the listener alike.

#![cfg(feature = "tls")]

use std::{error::Error as _, fs, os::unix::fs::MetadataExt as _, path::PathBuf};

use axum_device_sessions::{AccessTokens, Coherence, PostgresStore, Sessions};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::support::{TestDb, eventually};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn file(&self, name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("ads-{}-{name}.pem", std::process::id()));
        fs::write(&path, self.0.pem()).unwrap();
        path
    }
}

/// A server that speaks TLS with a certificate of this authority for this name.
async fn server(authority: &Authority, name: &str) -> TestDb {
    let db = TestDb::own_cluster(&[]).await;
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority.0).unwrap();
    let directory = db.server().data_dir();
    let owner = fs::metadata(&directory).unwrap();
    for (file, pem) in [("server.crt", certificate.pem()), ("server.key", key.serialize_pem())] {
        let path = directory.join(file);
        fs::write(&path, pem).unwrap();
        std::os::unix::fs::chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    let psql = db.connect().await;
    psql.batch_execute("ALTER SYSTEM SET ssl = on").await.unwrap();
    psql.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    eventually("ssl is on", || async {
        let row = db.connect().await.query_one("SHOW ssl", &[]).await.unwrap();
        row.get::<_, String>(0) == "on"
    })
    .await;
    db
}

async fn start(url: &str) -> Sessions {
    let store = PostgresStore::connect(url).await.unwrap();
    store.migrate().await.unwrap();
    let tokens = AccessTokens::hs256("0123456789abcdefghijklmnopqrstuv").unwrap();
    let sessions = Sessions::builder(store).access_tokens(tokens).build().await.unwrap();
    eventually("the listener works", || async { sessions.health().coherence == Coherence::Lease }).await;
    sessions
}

fn why(error: &axum_device_sessions::ConfigError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn every_connection_is_encrypted_and_the_right_ca_is_asked_for() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (right, wrong) = (authority.file("right"), stranger.file("wrong"));
    let db = server(&authority, "localhost").await;
    let by_name = db.url().replace("127.0.0.1", "localhost");

    for ssl in ["sslmode=require".to_owned(), format!("sslmode=verify-full&sslrootcert={}", right.display())] {
        let sessions = start(&format!("{by_name}?{ssl}")).await;
        let watcher = db.connect().await;
        let row = watcher
            .query_one(
                "SELECT count(*) FILTER (WHERE ssl), count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                 WHERE application_name = 'axum-device-sessions'",
                &[],
            )
            .await
            .unwrap();
        let (encrypted, all): (i64, i64) = (row.get(0), row.get(1));
        assert!(all >= 3, "a pooled connection, the listener and the beat: {all}");
        assert_eq!(encrypted, all, "{ssl}");
        drop(sessions);
        eventually("the node is gone", || async {
            let sql = "SELECT FROM pg_stat_activity WHERE application_name = 'axum-device-sessions'";
            watcher.query(sql, &[]).await.unwrap().is_empty()
        })
        .await;
    }

    let certificate = "invalid peer certificate";
    for (url, says) in [
        (format!("{by_name}?sslmode=verify-full&sslrootcert={}", wrong.display()), certificate),
        (format!("{}?sslmode=verify-full&sslrootcert={}", db.url(), right.display()), "not valid for name"),
        (format!("{by_name}?sslmode=require&sslrootcert={}", wrong.display()), certificate),
        (format!("{by_name}?sslmode=verify-full&sslrootcert=/nowhere"), "cannot be read"),
    ] {
        let error = why(&PostgresStore::connect(&url).await.unwrap_err());
        assert!(error.contains(says), "{error}");
    }
    for file in [right, wrong] {
        fs::remove_file(file).unwrap();
    }
}

#[tokio::test]
async fn a_server_without_tls_is_not_talked_to_in_the_clear() {
    let db = TestDb::new().await;
    let error = PostgresStore::connect(&format!("{}?sslmode=require", db.url())).await.unwrap_err();
    assert!(why(&error).contains("TLS"), "{}", why(&error));
}
