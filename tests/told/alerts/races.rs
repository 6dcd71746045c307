//! Two nodes at once.

use axum_device_sessions::{Client as Caller, SignIn};
use tokio::task::JoinSet;

use crate::notified::{World, caller};

/// Two new devices at once, each on a node of its own; and one new device at once on both: each is told once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_is_told_once() {
    let world = World::on_postgres(|builder| builder).await;
    let mut mails = 0;
    for round in 0..10 {
        for (what, devices, alerts) in [("two", ["laptop", "tablet"], 2), ("one", ["laptop", "laptop"], 1)] {
            let user = format!("{what}-{round}");
            let phone = world.on(&user, "phone").await;
            world.is_reached(&phone, &user).await;
            let mut signing_in = JoinSet::new();
            for (node, device) in world.nodes.iter().zip(devices) {
                let (node, user, caller): (_, _, Caller) = (node.clone(), user.clone(), caller(device, None));
                signing_in.spawn(async move { node.sign_in(SignIn::new(user).client(caller)).await.unwrap() });
            }
            signing_in.join_all().await;
            let times = |count: usize, text: &str| {
                if count == 1 { text.to_owned() } else { format!("{count} {text}") }
            };
            let mut told = vec![
                times(alerts, "login.new_device"),
                times(alerts, "mail"),
                times(alerts, &format!("new_login {user}")),
                "3 session.created".to_owned(),
            ];
            told.extend((alerts == 1).then(|| "session.ended replaced".to_owned()));
            assert_eq!(world.since(&user, &[]).await, told.join(", "));
            mails += alerts;
        }
    }
    println!("20 times two sign-ins at once on two nodes: {mails} mails");
}

/// The limit holds whoever signs in where: six new devices at once on two nodes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_than_three_an_hour_whoever_comes_when() {
    let world = World::on_postgres(|builder| builder).await;
    world.on("ahmed", "phone").await;
    let mut signing_in = JoinSet::new();
    for number in 0..6 {
        let node = world.nodes[number % 2].clone();
        let caller = caller(&format!("device {number}"), None);
        signing_in.spawn(async move { node.sign_in(SignIn::new("ahmed").client(caller)).await.unwrap() });
    }
    signing_in.join_all().await;
    assert_eq!(world.since("ahmed", &[]).await, "6 login.new_device, 3 mail, 7 session.created");
}
