//! Many deliveries at once and one access token among them. All of a test runs on one thread, so each of the deliveries is
//! begun before the server can answer the first.

use std::sync::Mutex;

use axum_device_sessions::{Fcm, NotDelivered, Notifier};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    RETRY, becomes, force_logout,
    google::{EMAIL, Google, Says},
    keys::signed,
    told,
};

const AT_ONCE: usize = 100;

async fn deliver_all(fcm: &Fcm) -> Vec<Result<(), NotDelivered>> {
    let notices: Vec<_> = (0..AT_ONCE).map(|_| force_logout()).collect();
    join_all(notices.iter().map(|notice| fcm.deliver(notice))).await
}

#[tokio::test]
async fn a_hundred_deliveries_are_one_exchange() {
    let google = Google::start().await;
    let fcm = google.fcm();
    assert!(deliver_all(&fcm).await.iter().all(Result::is_ok));
    assert_eq!((google.exchanges(), google.sent().len()), (1, AT_ONCE));

    // All find their token refused: one more.
    google.revoke();
    assert!(deliver_all(&fcm).await.iter().all(Result::is_ok));
    assert_eq!((google.exchanges(), google.sent().len()), (2, 3 * AT_ONCE));
    println!("{AT_ONCE} deliveries: 1 exchange; {AT_ONCE} with a revoked token: 1 more");
}

#[tokio::test]
async fn a_token_that_does_not_last_serves_all_that_wait_for_it() {
    let google = Google::start().await;
    google.tokens_live(Some(json!(0)));
    assert!(deliver_all(&google.fcm()).await.iter().all(Result::is_ok));
    assert_eq!(google.exchanges(), 1);
}

#[tokio::test]
async fn a_failure_is_shared_and_not_kept() {
    let google = Google::start().await;
    let fcm = google.fcm();
    google.next_token(Says::new(500, ""));
    for outcome in deliver_all(&fcm).await {
        let error = outcome.unwrap_err();
        assert_eq!(becomes(&error), RETRY);
        assert!(told(&error).contains("no access token: 500"), "{}", told(&error));
    }
    assert_eq!((google.exchanges(), google.sent().len()), (1, 0));
    fcm.deliver(&force_logout()).await.unwrap();
    assert_eq!(google.exchanges(), 2);
}

/// The worker drops a delivery that takes too long. Others may be waiting for what it had asked for.
#[tokio::test]
async fn who_gives_up_takes_nobody_with_him() {
    let google = Google::start().await;
    let fcm = google.fcm();
    google.shared.holds.send_replace(true);
    let mut exchanges = google.shared.exchanges.subscribe();
    let (first, second) = (force_logout(), force_logout());
    let mut waiting = Box::pin(fcm.deliver(&second));
    {
        let mut asking = Box::pin(fcm.deliver(&first));
        tokio::select! {
            biased;
            _ = &mut asking => panic!("nobody has answered"),
            _ = &mut waiting => panic!("nobody has answered"),
            asked = exchanges.wait_for(|count| *count >= 1) => { asked.unwrap(); }
        }
    }
    google.shared.holds.send_replace(false);
    waiting.await.unwrap();
    assert_eq!((google.exchanges(), google.sent().len()), (2, 1));
}

/// The control: looks for a token, and asks for one where there is none.
struct Naive<'a> {
    google: &'a Google,
    client: reqwest::Client,
    token: Mutex<Option<String>>,
}

impl Naive<'_> {
    async fn deliver(&self) -> bool {
        let kept = self.token.lock().unwrap().clone();
        let token = match kept {
            Some(token) => token,
            None => self.exchange().await,
        };
        *self.token.lock().unwrap() = Some(token.clone());
        let url = format!("{}{}", self.google.url, crate::google::MESSAGES);
        let body = json!({ "message": {
            "token": crate::TARGET, "data": {}, "android": { "priority": "HIGH", "ttl": "60s" },
        } });
        self.client.post(url).bearer_auth(token).json(&body).send().await.unwrap().status().is_success()
    }

    async fn exchange(&self) -> String {
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        let url = format!("{}/token", self.google.url);
        let claims = json!({
            "iss": EMAIL, "scope": "https://www.googleapis.com/auth/firebase.messaging", "aud": url, "iat": now,
            "exp": now + 3_600,
        });
        let assertion = signed(&claims);
        let form = format!("grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion={assertion}");
        let request = self.client.post(url).header("content-type", "application/x-www-form-urlencoded").body(form);
        let granted: Value = request.send().await.unwrap().json().await.unwrap();
        granted["access_token"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn without_a_single_flight_each_would_ask() {
    let google = Google::start().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let naive = Naive { google: &google, client, token: Mutex::new(None) };
    assert!(join_all((0..AT_ONCE).map(|_| naive.deliver())).await.iter().all(|delivered| *delivered));
    assert_eq!(google.exchanges(), AT_ONCE);
    println!("{AT_ONCE} deliveries of a naive client: {} exchanges", google.exchanges());
}
