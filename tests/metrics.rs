//! The numbers that operators watch, under the names that the documentation gives.
#![cfg(feature = "metrics")]
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "support/cluster.rs"]
mod cluster;
mod support;

use std::collections::BTreeMap;

use axum_device_sessions::{EndReason, EndTarget, SignIn};
use cluster::{ask, node, refused};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use support::{TestDb, eventually};

/// Counters, and how many values each histogram was given.
fn numbers(snapshotter: &Snapshotter, sum: &mut BTreeMap<String, u64>) {
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let value = match value {
            DebugValue::Counter(count) => count,
            DebugValue::Histogram(values) => values.len() as u64,
            DebugValue::Gauge(_) => 0,
        };
        *sum.entry(key.key().name().trim_start_matches("device_sessions_").to_owned()).or_default() += value;
    }
}

#[tokio::test]
async fn every_number_is_counted_once_for_what_it_counts() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    // This runtime has one thread: its tasks count here as well.
    let _guard = metrics::set_default_local_recorder(&recorder);
    let db = TestDb::own_cluster(&[]).await;
    let (a, b) = (node(db.url()).await, node(db.url()).await);
    let signed_in = a.sign_in(SignIn::new("ahmed")).await.unwrap();
    for _ in 0..10 {
        ask(&b, &signed_in).await;
    }
    let mut sum = BTreeMap::new();
    numbers(&snapshotter, &mut sum);
    assert_eq!((sum["misses_total"], sum["hits_total"], sum["load_batch_size"]), (1, 9, 1), "{sum:?}");
    b.flush_activity().await.unwrap();
    a.end(EndTarget::One { id: signed_in.session.id, user: None }, EndReason::Logout, None).await.unwrap();
    refused(&b, &signed_in).await;
    db.server().stop_immediate();
    eventually("the loss of the leases is counted", || {
        numbers(&snapshotter, &mut sum);
        let lost = sum.get("leases_lost_total").copied().unwrap_or_default();
        async move { lost >= 2 }
    })
    .await;
    let other = {
        db.server().start_again().unwrap();
        eventually("it is back", || async { a.sign_in(SignIn::new("lena")).await.is_ok() }).await;
        a.sign_in(SignIn::new("sam")).await.unwrap()
    };
    db.server().stop_immediate();
    eventually("a failed load is counted", || {
        numbers(&snapshotter, &mut sum);
        let failed = sum.get("load_failures_total").copied().unwrap_or_default();
        let ask = ask(&b, &other);
        async move {
            ask.await;
            failed >= 1
        }
    })
    .await;
    for name in ["notifications_total", "end_seen_seconds", "activity_batch_size"] {
        assert!(sum.get(name).is_some_and(|count| *count >= 1), "{name}: {sum:?}");
    }
}
