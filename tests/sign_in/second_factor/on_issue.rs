//! The application is asked once more before anybody is in.

use std::io;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};
use std::time::Duration;

use axum_device_sessions::{Issue, MemoryStore, SessionsBuilder};
use serde_json::{Value, json};

use super::http::{self, get};
use super::site::{Browser, Node, two};
use super::{REQUIRED, confirm, confirmed, half_in, row};

#[derive(Clone, Copy)]
enum Says {
    Role(&'static str),
    No,
    DoesNotKnow,
    Nothing,
}

fn asking(says: &Arc<Mutex<Says>>, asked: &Arc<AtomicUsize>) -> impl Fn(SessionsBuilder) -> SessionsBuilder + use<> {
    let (says, asked) = (Arc::clone(says), Arc::clone(asked));
    move |builder| {
        let (says, asked) = (Arc::clone(&says), Arc::clone(&asked));
        builder.on_issue(move |_| {
            asked.fetch_add(1, Ordering::Relaxed);
            let says = *says.lock().unwrap();
            async move {
                match says {
                    Says::Role(role) => Ok(Issue::with_claims(&json!({ "role": role }))?),
                    Says::No => Ok(Issue::refuse()),
                    Says::DoesNotKnow => Err(io::Error::other("the directory is away").into()),
                    Says::Nothing => std::future::pending().await,
                }
            }
        })
    }
}

#[tokio::test]
async fn it_has_the_last_word() {
    let (says, asked) = (Arc::new(Mutex::new(Says::Role("reader"))), Arc::default());
    let (_db, [node, _], sql) = two(asking(&says, &asked)).await;
    for by_cookie in [false, true] {
        *says.lock().unwrap() = Says::Role("reader");
        let mut browser = Browser::default();
        let half = half_in(&mut browser, &node, "ahmed", by_cookie).await;
        let before = asked.load(Ordering::Relaxed);
        for (answer, line) in [(Says::DoesNotKnow, "503 temporarily_unavailable"), (Says::No, "403 account_disabled")] {
            *says.lock().unwrap() = answer;
            assert_eq!(confirm(&mut browser, &node, &half).await.line(), line);
            assert_eq!(row(&sql, &half.id).await, "pending", "until its ten minutes are over");
            assert_eq!(node.me(&half.sent).await, REQUIRED);
        }
        *says.lock().unwrap() = Says::Role("admin");
        let full = confirmed(&mut browser, &node, &half).await;
        assert_eq!(asked.load(Ordering::Relaxed), before + 3);
        let claims: Value = get(&node.app, "/claims", &full.sent).await.json();
        assert_eq!(claims["role"], "admin", "as it is now");
    }
}

/// In paused time: every answer of ours comes within four seconds.
#[tokio::test(start_paused = true)]
async fn where_it_says_nothing_we_do() {
    let (says, asked) = (Arc::new(Mutex::new(Says::Role("reader"))), Arc::default());
    let node = Node::of(asking(&says, &asked)(http::on(MemoryStore::new())).build().await.unwrap());
    let mut browser = Browser::default();
    let half = half_in(&mut browser, &node, "ahmed", false).await;
    *says.lock().unwrap() = Says::Nothing;
    let (began, four) = (tokio::time::Instant::now(), Duration::from_secs(4));
    let answer = tokio::time::timeout(10 * four, confirm(&mut browser, &node, &half)).await;
    let line = answer.map_or_else(|_| "nothing".to_owned(), |answer| answer.line());
    println!("{line} after {:?}", began.elapsed());
    assert_eq!(line, "503 temporarily_unavailable");
    assert!(began.elapsed() < four);
    *says.lock().unwrap() = Says::Role("reader");
    confirmed(&mut browser, &node, &half).await;
}
