//! The provider token: one for all, never too old, never too new.

use std::collections::HashSet;

use axum_device_sessions::{Apns, Notifier};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    DEVICE, World, another,
    apple::{Apple, KEY_ID, TEAM_ID, TOPIC},
    force_logout, whole,
};

/// Its header and claims.
fn parts(authorization: &str) -> [Value; 2] {
    let token = authorization.strip_prefix("bearer ").unwrap();
    let parts: Vec<_> = token.split('.').take(2).map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
    [0, 1].map(|which| serde_json::from_slice(&parts[which]).unwrap())
}

/// As at <https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns>:
/// `{ "alg" : "ES256", "kid" : "ABC123DEFG" }` and `{ "iss": "DEF123GHIJ", "iat": 1437179036 }`.
#[tokio::test]
async fn what_it_says() {
    let world = World::new().await;
    world.apns.deliver(&force_logout(DEVICE)).await.unwrap();
    let seen = world.apple.single();
    let [header, claims] = parts(seen.token());
    assert_eq!(header, json!({ "alg": "ES256", "kid": KEY_ID }));
    assert_eq!(claims, json!({ "iss": TEAM_ID, "iat": claims["iat"] }));
    assert!(claims["iat"].is_i64());
    assert_eq!(seen.status, 200, "the signature and the time are right, by another library");

    // Another key, and its signature is not.
    let strange = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let error = another(&world.apple.url, &strange).deliver(&force_logout(DEVICE)).await.unwrap_err();
    assert!(whole(&error).contains("403 InvalidProviderToken"), "{error:?}");
}

/// Apple's files name the curve twice and begin with these letters; our other tests' keys name it once.
#[tokio::test]
async fn a_key_as_apple_writes_it() {
    let world = World::new().await;
    let mut der = world.key.serialize_der();
    let private = der.windows(4).position(|bytes| bytes == [2, 1, 1, 4]).unwrap();
    // The lengths of all that it is in: the whole, the octet string, the sequence.
    for length in [2, private - 3, private - 1] {
        der[length] += 12;
    }
    let curve = [0xa0, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    der.splice(private + 37..private + 37, curve);
    let body = STANDARD.encode(&der);
    assert!(body.starts_with("MIGTAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBHkwdwIBAQQg"), "{}", &body[..48]);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----");
    let apns = Apns::new(pem, KEY_ID, TEAM_ID, TOPIC).unwrap().endpoint(&world.apple.url).unwrap();
    apns.deliver(&force_logout(DEVICE)).await.unwrap();
    assert_eq!(world.apple.single().status, 200);
}

#[tokio::test]
async fn renewed_between_20_and_60_minutes() {
    let world = World::new().await;
    // At 0, 19, 39 minutes; at 50; and from then on.
    for minutes in [0, 19, 20, 11, 19, 20, 11] {
        world.pass(minutes);
        world.apns.deliver(&force_logout(DEVICE)).await.unwrap();
    }
    let seen = world.apple.seen();
    let token = |which: usize| seen[which].token();
    assert_eq!([token(1), token(2)], [token(0); 2]);
    assert_ne!(token(3), token(0));
    assert_eq!([token(4), token(5)], [token(3); 2]);
    let age = |which: usize| parts(token(which))[1]["iat"].as_i64().unwrap();
    assert_eq!((age(3) - age(0), age(6) - age(3)), (50 * 60, 50 * 60));
}

/// Ten hours, a delivery every minute: Apple never complains, where a token for each delivery, or one for ever, is refused.
#[tokio::test]
async fn ten_hours() {
    let world = World::new().await;
    for _ in 0..600 {
        world.apns.deliver(&force_logout(DEVICE)).await.unwrap();
        world.pass(1);
    }
    assert_eq!(world.apple.tokens(), 600 / 40);

    // One for ever.
    let first = world.apple.seen()[0].token().to_owned();
    assert_eq!(naive(&world.apple, &first).await, (403, "ExpiredProviderToken".to_owned()));

    // One for each.
    world.pass(60);
    let each = || another(&world.apple.url, &world.key).clock(world.clock.clone());
    each().deliver(&force_logout(DEVICE)).await.unwrap();
    let error = each().deliver(&force_logout(DEVICE)).await.unwrap_err();
    assert_eq!(error.to_string(), "not delivered");
    assert!(whole(&error).contains("429 TooManyProviderTokenUpdates"), "{error:?}");
}

async fn naive(apple: &Apple, authorization: &str) -> (u16, String) {
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let request = client.post(format!("{}/3/device/{DEVICE}", apple.url)).header("authorization", authorization);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json::<Value>().await.unwrap()["reason"].as_str().unwrap().to_owned())
}

/// A hundred find the token too old at once, or are told so by Apple: there is one new one.
#[tokio::test]
async fn one_for_all_who_need_it() {
    let world = World::new().await;
    let notices: Vec<_> = (0..100).map(|device| force_logout(&format!("{device:064x}"))).collect();
    let all = || async {
        for delivered in join_all(notices.iter().map(|notice| world.apns.deliver(notice))).await {
            delivered.unwrap();
        }
    };
    all().await;
    assert_eq!((world.apple.seen().len(), world.apple.tokens()), (100, 1));
    world.pass(50);
    all().await;
    assert_eq!((world.apple.seen().len(), world.apple.tokens()), (200, 2));

    // Early, by Apple's word.
    world.apple.expire();
    all().await;
    let seen = world.apple.seen();
    assert_eq!(world.apple.tokens(), 3);
    let (refused, delivered): (Vec<_>, Vec<_>) = seen[200..].iter().partition(|seen| seen.status == 403);
    assert!((1..=100).contains(&refused.len()), "each asked once in vain at most: {}", refused.len());
    assert_eq!(delivered.len(), 100);
    assert_eq!(delivered.iter().map(|seen| seen.token()).collect::<HashSet<_>>().len(), 1);
}

/// A clock that is hours behind makes every token expired: a new one is tried once, and not for every delivery.
#[tokio::test]
async fn a_clock_that_is_wrong() {
    let world = World::new().await;
    world.clock.step_wall(-7_200);
    let error = world.apns.deliver(&force_logout(DEVICE)).await.unwrap_err();
    assert_eq!(error.to_string(), "not delivered");
    assert!(whole(&error).contains("403 ExpiredProviderToken") && whole(&error).contains("clock"), "{error:?}");
    assert_eq!((world.apple.seen().len(), world.apple.tokens()), (2, 2));
    for _ in 0..50 {
        world.apns.deliver(&force_logout(DEVICE)).await.unwrap_err();
    }
    assert_eq!((world.apple.seen().len(), world.apple.tokens()), (52, 2));

    // Set right: at the latest with the next token, and here with the next that Apple's word brings.
    world.clock.step_wall(7_200);
    world.pass(20);
    world.apns.deliver(&force_logout(DEVICE)).await.unwrap();
    assert_eq!((world.apple.seen().len(), world.apple.tokens()), (54, 3));
}
