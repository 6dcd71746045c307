//! What the application makes of what is unusual.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum_device_sessions::{Client, Error, ErrorKind, SignIn, SignInPolicy, Signal, SignedIn};
use serde_json::json;

use super::http::in_memory;
use super::site::{Browser, Node, count, two};
use super::{answer_to, half_in};

const LIVE: &str = "SELECT count(*) FROM device_sessions.sessions WHERE ended_at IS NULL AND NOT pending";

#[tokio::test]
async fn allow_tell_and_refuse() {
    let (_db, [node, _], sql) = two(|builder| builder).await;
    let first = Browser::default().login(&node, "ahmed", true).await;
    for cookie in [false, true] {
        for policy in ["allow", "tell"] {
            let wanted = json!({ "user": "ahmed", "cookie": cookie, "policy": policy });
            let mut browser = Browser::default();
            let answer = browser.login_with(&node, &wanted).await;
            let told = browser.is_in(&answer);
            assert_eq!((told.signals.as_str(), told.body.get("second_factor_required")), ("new_device", None));
            assert_eq!(node.me(&told.sent).await, "200 ahmed");
        }
        // Not even with a second factor that was to come anyway.
        for second_factor in [false, true] {
            let before = everything(&sql).await;
            let mut browser = Browser::default();
            let wanted =
                json!({ "user": "ahmed", "cookie": cookie, "policy": "refuse", "second_factor": second_factor });
            let answer = browser.login_with(&node, &wanted).await;
            assert_eq!(answer.line(), "403 sign_in_refused");
            assert!(browser.jar.is_empty(), "no cookie of either kind");
            assert_eq!(everything(&sql).await, before, "nothing written");
        }
    }
    assert_eq!(node.me(&first.sent).await, "200 ahmed");
}

async fn everything(sql: &tokio_postgres::Client) -> String {
    let all = "SELECT (SELECT string_agg(s::text, E'\\n' ORDER BY id) FROM device_sessions.sessions s) || \
               coalesce((SELECT string_agg(d::text, E'\\n' ORDER BY key) FROM device_sessions.devices d), '')";
    sql.query_one(all, &[]).await.unwrap().get(0)
}

/// With signals, without any, and where a second factor is to come whatever it says.
#[tokio::test]
async fn it_is_asked_once_and_told_all() {
    let (_db, [node, _], _sql) = two(|builder| builder).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let told = Arc::new(Mutex::new(Vec::new()));
    let sign_in = async |id: &str, failed: u32, second_factor: bool| {
        let (asked, told) = (Arc::clone(&asked), Arc::clone(&told));
        let client = Client::new(None, None).device_id(format!("{id}-0123456789abcdef"));
        let sign_in = SignIn::new("ahmed").client(client).failed_attempts(failed).policy(move |signals| {
            asked.fetch_add(1, Ordering::Relaxed);
            *told.lock().unwrap() = signals.iter().map(Signal::kind).collect();
            SignInPolicy::Allow
        });
        let sign_in = if second_factor { sign_in.second_factor_to_come() } else { sign_in };
        node.sessions.sign_in(sign_in).await.unwrap()
    };
    for (number, (id, failed, second_factor, signals)) in [
        ("a", 0, false, &[][..]),
        ("a", 4, false, &[]),
        ("b", 0, false, &["new_device"]),
        ("c", 5, true, &["new_device", "failures_before"]),
    ]
    .into_iter()
    .enumerate()
    {
        let signed_in = sign_in(id, failed, second_factor).await;
        assert_eq!((asked.load(Ordering::Relaxed), signed_in.pending), (number + 1, second_factor));
        assert_eq!(*told.lock().unwrap(), signals);
        let kinds: Vec<_> = signed_in.signals.iter().map(Signal::kind).collect();
        assert_eq!(kinds, signals, "and the same afterwards");
    }
}

/// The default: told, and let in, signals or none.
#[tokio::test]
async fn nobody_is_refused_by_itself() {
    let (_db, [node, _], sql) = two(|builder| builder).await;
    for (number, signals) in ["", "new_device", "new_device"].into_iter().enumerate() {
        assert_eq!(Browser::default().login(&node, "ahmed", false).await.signals, signals);
        assert_eq!(count(&sql, LIVE).await, i64::try_from(number).unwrap() + 1);
    }
    half_in(&mut Browser::default(), &node, "ahmed", false).await;
}

/// A mistake of the application's, in the middle of the transaction.
#[tokio::test]
async fn one_that_panics_leaves_nothing_locked() {
    let (_db, [node, other], sql) = two(|builder| builder).await;
    let memory = Node::of(in_memory().await);
    for node in [&node, &memory] {
        for _ in 0..3 {
            let client = Client::new(None, None).device_id("0123456789abcdef");
            let sign_in = SignIn::new("ahmed").client(client).policy(|_| panic!("of the test"));
            let error: Error = node.sessions.sign_in(sign_in).await.map(|_: SignedIn| ()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert_eq!(answer_to(error).await.line(), "503 temporarily_unavailable");
        }
        let next = Browser::default().login(node, "ahmed", false).await;
        assert_eq!((node.me(&next.sent).await.as_str(), next.signals.as_str()), ("200 ahmed", ""), "none was known");
        assert_eq!(node.listed(&next.sent).await.len(), 1);
    }
    let next = Browser::default().login(&other, "ahmed", false).await;
    assert_eq!(other.me(&next.sent).await, "200 ahmed");
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT pid = pg_backend_pid() \
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    println!("advisory locks held: {}", count(&sql, held).await);
    let open =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE '%transaction%'";
    assert_eq!(count(&sql, open).await, 0, "no transaction is open");
}
