//! What makes a refresh token and who can: the server secret, and not the database, even one that was set back.

#![cfg(all(feature = "postgres", feature = "routes", feature = "metrics"))]

use axum_device_sessions::{AccessTokens, ConfigError, MemoryStore, Sessions, SessionsBuilder};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tokio_postgres::Client;

use crate::{
    http,
    refresh::{Node, Pair, generation_of, naive, past_the_grace, tokens_in_row, two_nodes, whole_row},
    support::{TestDb, eventually},
};

const OLD: &[u8] = b"the old server secret, 32 bytes or more";
const NEW: &[u8] = b"the new server secret, 32 bytes or more";
const REUSE: &str = "401 session_ended refresh_reuse";

async fn with_secrets(db: &TestDb, secrets: &[&'static [u8]]) -> Node {
    let add = |builder: SessionsBuilder, secret: &&'static [u8]| builder.server_secret(secret);
    Node::with(db.url(), |builder| secrets.iter().fold(builder, add)).await
}

#[tokio::test]
async fn a_node_with_another_secret_knows_nothing_of_the_token() {
    let db = TestDb::new().await;
    let sql = db.connect().await;
    let (one, same) = (with_secrets(&db, &[OLD]).await, with_secrets(&db, &[OLD]).await);
    let others = [with_secrets(&db, &[NEW]).await, Node::on(db.url()).await];
    let signed_in = one.sign_in("ahmed").await;
    let before = whole_row(&sql, signed_in.session.id).await;
    for other in &others {
        assert_eq!(other.refresh(&signed_in.refresh_token).await.line(), "401 invalid_token");
        assert_eq!(whole_row(&sql, signed_in.session.id).await, before, "and does nothing");
        assert_eq!(other.me(&signed_in.access_token).await, "200 ahmed", "access tokens have keys of their own");
    }
    assert_eq!(same.refresh(&signed_in.refresh_token).await.status, 200);
}

/// As the documentation of `server_secret` has it: at every step, what one node makes the other takes.
#[tokio::test]
async fn a_secret_is_changed_without_signing_anybody_out() {
    let db = TestDb::new().await;
    let sql = db.connect().await;
    let rollout: [&[&'static [u8]]; 4] = [&[OLD], &[OLD, NEW], &[NEW, OLD], &[NEW]];
    let mut of_last_step = None::<(axum_device_sessions::SessionId, Pair)>;
    for step in rollout.windows(2) {
        let nodes = [with_secrets(&db, step[0]).await, with_secrets(&db, step[1]).await];
        for (from, to) in [(0, 1), (1, 0)] {
            // Between the last two steps the old tokens have been replaced, or have run out.
            let signed_in = nodes[from].sign_in("ahmed").await;
            let pair = Pair::of(&nodes[to].refresh(&signed_in.refresh_token).await);
            past_the_grace(&sql, signed_in.session.id).await;
            let third = Pair::of(&nodes[from].refresh(&pair.refresh).await);
            of_last_step.get_or_insert((signed_in.session.id, third));
        }
        let (id, pair) = of_last_step.take().unwrap();
        past_the_grace(&sql, id).await;
        of_last_step = Some((id, Pair::of(&nodes[1].refresh(&pair.refresh).await)));
    }
    let (old, new) = (with_secrets(&db, &[OLD]).await, with_secrets(&db, &[NEW]).await);
    let made_by_old = old.sign_in("ahmed").await;
    assert_eq!(new.refresh(&made_by_old.refresh_token).await.line(), "401 invalid_token", "gone for good");
}

fn refused<T>(built: Result<T, ConfigError>, words: &[&str]) {
    let Err(error) = built else { panic!("accepted; expected a refusal that says {words:?}") };
    for word in words {
        assert!(error.to_string().contains(word), "no {word:?} in: {error}");
    }
}

#[tokio::test]
async fn asymmetric_keys_need_a_server_secret() {
    let pem = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem();
    let key = || axum_device_sessions::SigningKey::es256_pem(&pem).unwrap();
    let builder = |store| Sessions::builder(store).access_tokens(AccessTokens::signing_with(key()));
    refused(builder(MemoryStore::new()).build().await, &["no server secret", ".server_secret(..)", "every node"]);
    for weak in [&b""[..], b"short", &[7; 64]] {
        refused(builder(MemoryStore::new()).server_secret(weak).build().await, &["32 random bytes", "openssl rand"]);
    }
    let node = Node::of(builder(MemoryStore::new()).server_secret(OLD).build().await.unwrap());
    let pair = Pair::of(&node.refresh(&node.sign_in("ahmed").await.refresh_token).await);
    assert_eq!(node.me(&pair.access).await, "200 ahmed");
}

/// Every row of every table, as text.
async fn dump(sql: &Client) -> String {
    let tables = "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                  WHERE c.relkind IN ('r', 'm', 'p') AND n.nspname !~ '^(pg_|information_schema)'";
    let mut all = String::new();
    for table in sql.query(tables, &[]).await.unwrap() {
        let table: String = table.get(0);
        for row in sql.query(&format!("SELECT t::text FROM {table} t"), &[]).await.unwrap() {
            all.push_str(row.get(0));
            all.push('\n');
        }
    }
    all
}

/// Whoever reads the database, backups included, has names and times, and cannot make a token of them.
#[tokio::test]
async fn the_database_holds_nothing_to_make_a_token_of() {
    let (_db, nodes, sql) = two_nodes().await;
    let signed_in = nodes[0].sign_in("ahmed").await;
    let id = signed_in.session.id;
    let mut tokens = vec![Pair::from(&signed_in)];
    for _ in 0..3 {
        let pair = Pair::of(&nodes[0].refresh(&tokens.last().unwrap().refresh).await);
        past_the_grace(&sql, id).await;
        tokens.push(pair);
    }
    let dumped = dump(&sql).await;
    assert!(dumped.contains(&id.to_string()), "the dump has the session: {dumped}");
    for pair in &tokens {
        let mac = URL_SAFE_NO_PAD.decode(&pair.refresh).unwrap().split_off(25);
        let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        let signature = pair.access.rsplit('.').next().unwrap();
        for secret in [&pair.refresh, &pair.refresh[34..], &hex, &URL_SAFE_NO_PAD.encode(&mac), &pair.access, signature]
        {
            assert!(!dumped.contains(secret), "{secret} is in the database");
        }
    }
    assert!(!dumped.contains(std::str::from_utf8(http::SECRET).unwrap()));

    // Body by the row, MAC by whatever can be had: nothing, another generation's, that of a key made of what is there.
    let before = whole_row(&sql, id).await;
    let forge = |generation: u64, mac: &[u8]| {
        let body = [&[1], &id.as_uuid().as_bytes()[..], &generation.to_be_bytes()[..]].concat();
        URL_SAFE_NO_PAD.encode([&body, mac].concat())
    };
    let own = URL_SAFE_NO_PAD.decode(&tokens[3].refresh).unwrap();
    assert_eq!(forge(4, &own[25..]), tokens[3].refresh, "that is how it is made");
    let by_row = |generation: u64, key: &[u8]| {
        let body = [&[1], &id.as_uuid().as_bytes()[..], &generation.to_be_bytes()[..]].concat();
        aws_lc_rs::hmac::sign(&aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key), &body).as_ref().to_vec()
    };
    let session = id.as_uuid();
    for generation in [1, 2, 4, 5, u64::MAX] {
        let keys = [&b""[..], session.as_bytes(), before.as_bytes(), b"ahmed", b"axum-device-sessions"];
        for mac in [vec![0; 32], own[25..].to_vec()].into_iter().chain(keys.map(|key| by_row(generation, key))) {
            let forged = forge(generation, &mac);
            if tokens.iter().all(|pair| pair.refresh != forged) {
                assert_eq!(nodes[1].refresh(&forged).await.line(), "401 invalid_token");
            }
        }
    }
    assert_eq!(whole_row(&sql, id).await, before, "none of them did anything");
}

fn refreshes(snapshotter: &Snapshotter, reason: &str) -> u64 {
    let counted = snapshotter.snapshot().into_vec().into_iter().filter_map(|(key, _, _, value)| {
        let matches = key.key().name() == "device_sessions_refreshes_total"
            && key.key().labels().any(|label| label.value() == reason);
        if let (true, DebugValue::Counter(count)) = (matches, value) { Some(count) } else { None }
    });
    counted.sum()
}

/// A failover, or a restore, that lost acknowledged refreshes: the client has what only our server can have made.
#[tokio::test]
async fn a_database_that_was_set_back_takes_the_clients_word() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    // This runtime has one thread: its tasks count here as well.
    let _guard = metrics::set_default_local_recorder(&recorder);
    let (_db, nodes, sql) = two_nodes().await;
    for lost in [1, 2, 5] {
        let signed_in = nodes[0].sign_in("ahmed").await;
        let id = signed_in.session.id;
        let mut pairs = vec![Pair::from(&signed_in)];
        for _ in 0..lost {
            let pair = Pair::of(&nodes[0].refresh(&pairs.last().unwrap().refresh).await);
            past_the_grace(&sql, id).await;
            pairs.push(pair);
        }
        let set_back = "UPDATE device_sessions.sessions SET generation = 1, root = NULL, consumed_at = NULL, \
                        handed_at = NULL, seen = false WHERE id = $1";
        sql.execute(set_back, &[&id.as_uuid()]).await.unwrap();
        let (had, newest) = (lost + 1, pairs.last().unwrap());
        for node in &nodes {
            assert_eq!(node.me(&newest.access).await, "200 ahmed");
        }
        let next = Pair::of(&nodes[1].refresh(&newest.refresh).await);
        assert_eq!(generation_of(&next.refresh), had + 1);
        assert_eq!(refreshes(&snapshotter, "state_lost"), 1, "the operator is told");
        let row = tokens_in_row(&sql, id).await;
        assert_eq!(row, format!("{} of {had}, floor {had}", had + 1));
        for node in &nodes {
            assert_eq!(node.me(&newest.access).await, "200 ahmed");
            assert_eq!(node.me(&next.access).await, "200 ahmed");
            // Which of the older ones were void is lost as well.
            let older = &pairs[pairs.len() - 2];
            eventually("told", || async { node.me(&older.access).await == "401 token_expired" }).await;
            // A tab that the failover overtook.
            assert_eq!(node.refresh(&older.refresh).await.line(), "401 invalid_token");
        }
        assert_eq!(Pair::of(&nodes[0].refresh(&newest.refresh).await).refresh, next.refresh, "and this is no fork");
        past_the_grace(&sql, id).await;
        assert_eq!(nodes[0].refresh(&signed_in.refresh_token).await.line(), REUSE);
    }
}

/// The control: what is not in the row is no token.
#[tokio::test]
async fn the_naive_design_signs_out_whom_a_failover_met() {
    let db = TestDb::new().await;
    let sql = db.connect().await;
    let first = naive::table(&sql).await;
    let second = naive::refresh(&sql, first).await.unwrap();
    sql.execute("UPDATE naive SET token = $1", &[&first]).await.unwrap();
    assert_eq!(naive::refresh(&sql, second).await, None, "the control must lose");
}
