//! What it does.

use axum::{
    Router,
    extract::{Path, State},
    http::Method,
    routing::get as to,
};
use axum_device_sessions::{EndReason, Error, Sessions, SignIn};
use tokio::{sync::Barrier, task::JoinSet};

use super::{
    get,
    http::bearer,
    notified::{MOSCOW, World, caller},
    post, scan,
};

#[tokio::test]
async fn get_does_nothing_and_post_does_it_once() {
    for world in World::both().await {
        let (laptop, link) = world.somebody_signs_in("ahmed").await;
        world.is_reached(&laptop, "laptop").await;
        let sent = [bearer(&laptop.access_token)];
        let known: Vec<_> = world.notices("ahmed").await.iter().map(|notice| notice.id).collect();
        for app in &world.apps {
            for answer in scan(app, &format!("/alerts/{link}")).await {
                assert!([200, 405].contains(&answer.status.as_u16()), "{}", answer.status);
            }
            for _twice in 0..2 {
                let answer = get(app, &link).await;
                assert_eq!(answer.status, 200);
                assert!(answer.text().contains("Moscow, Russia, 203.0.113.7"), "{}", answer.text());
            }
            assert_eq!(super::http::get(app, "/me", &sent).await.line(), "200 ahmed", "still in");
        }
        assert_eq!(world.since("ahmed", &known).await, "", "and nothing was told");

        assert_eq!(post(&world.apps[1], &link).await.status, 200);
        for app in &world.apps {
            let refused =
                async || super::http::get(app, "/me", &sent).await.line() == "401 session_ended revoked_by_alert";
            super::support::eventually("both nodes refuse it", refused).await;
        }
        let told = "force_logout laptop revoked_by_alert, login.disowned, session.ended revoked_by_alert";
        assert_eq!(world.since("ahmed", &known).await, told);
        let disowned = world.events_of("ahmed", "login.disowned").await;
        assert_eq!(disowned[0].event.session_id, laptop.session.id);
        assert_eq!((disowned[0].event.reason.as_ref(), disowned[0].event.actor.as_deref()), (None, None));
        let ended = world.events_of("ahmed", "session.ended").await;
        assert_eq!(ended[0].event.reason, Some(EndReason::RevokedByAlert));
        assert_eq!(ended[0].event.actor.as_deref(), Some("the alert"));

        for app in &world.apps {
            assert_eq!(post(app, &link).await.status, 410, "once");
            let answer = get(app, &link).await;
            assert_eq!(answer.status, 200);
            assert!(answer.text().contains("You have reported this sign-in"), "{}", answer.text());
        }
        if let Some(sql) = world.sql() {
            let devices = "SELECT count(*) FROM device_sessions.devices WHERE user_id = 'ahmed'";
            assert_eq!(sql.query_one(devices, &[]).await.unwrap().get::<_, i64>(0), 1, "the phone");
        }
        let kinds: Vec<_> = world.on("ahmed", "laptop").await.signals.iter().map(|one| one.kind()).collect();
        assert_eq!(kinds, ["new_device"], "not known any more");
        // Whoever reads the old mail again ends nothing.
        assert_eq!(post(&world.apps[0], &link).await.status, 410);
        assert_eq!(world.nodes[0].list(&"ahmed".into(), None).await.unwrap().len(), 2);
    }
}

/// The control: a link that does what it says when it is followed.
#[tokio::test]
async fn the_same_scanner_ends_the_session_of_a_naive_link() {
    async fn naive(State(sessions): State<Sessions>, Path(link): Path<String>) -> Result<&'static str, Error> {
        sessions.disown(&link).await.map(|_| "done")
    }
    let [world, _] = World::both().await;
    let (laptop, link) = world.somebody_signs_in("ahmed").await;
    let app = Router::new().route("/naive/{link}", to(naive)).with_state(world.nodes[0].clone());
    scan(&app, &format!("/naive/{link}")).await;
    let line = super::http::get(&world.apps[0], "/me", &[bearer(&laptop.access_token)]).await.line();
    assert_eq!(line, "401 session_ended revoked_by_alert", "the control must lose");
}

/// It had ended before: the password is as known to somebody as it was.
#[tokio::test]
async fn a_session_that_had_ended() {
    for world in World::both().await {
        let (laptop, link) = world.somebody_signs_in("ahmed").await;
        world.end(laptop.session.id, EndReason::Logout, None).await;
        let known: Vec<_> = world.notices("ahmed").await.iter().map(|notice| notice.id).collect();
        assert_eq!(post(&world.apps[1], &link).await.status, 200);
        assert_eq!(world.since("ahmed", &known).await, "login.disowned");
        assert_eq!(world.on("ahmed", "laptop").await.signals.len(), 1, "its device is new again");
        let line = super::http::get(&world.apps[0], "/me", &[bearer(&laptop.access_token)]).await.line();
        assert_eq!(line, "401 session_ended logout", "as it had");
    }
}

/// Whoever it was has signed in there again, which is told to nobody: the device is known. That session goes too.
#[tokio::test]
async fn what_the_same_device_has_become_since() {
    for world in World::both().await {
        let (_laptop, link) = world.somebody_signs_in("ahmed").await;
        let again = world.sign_in(SignIn::new("ahmed").client(caller("laptop", MOSCOW))).await;
        let half = world.sign_in(SignIn::new("ahmed").client(caller("laptop", MOSCOW)).second_factor_to_come()).await;
        assert_eq!(post(&world.apps[1], &link).await.status, 200);
        for (signed_in, path, method) in [(&again, "/me", Method::GET), (&half, "/confirm", Method::POST)] {
            let refused = async || {
                let line = world.asks(0, method.clone(), path, signed_in).await.line();
                line == "401 session_ended revoked_by_alert"
            };
            super::support::eventually(&format!("{}: {path} is refused", world.name()), refused).await;
        }
        let left = world.nodes[0].list(&"ahmed".into(), None).await.unwrap();
        assert_eq!(left.len(), 1, "the phone is not touched");
    }
}

/// Of many who press the button at once, on two nodes, one is told that it was done by them, and once it is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_once() {
    let mut rounds = 0;
    for world in World::both().await {
        for round in 0..5 {
            let user = format!("user-{round}");
            let (_laptop, link) = world.somebody_signs_in(&user).await;
            let known: Vec<_> = world.notices(&user).await.iter().map(|notice| notice.id).collect();
            let start = std::sync::Arc::new(Barrier::new(8));
            let mut pressing = JoinSet::new();
            for number in 0..8 {
                let (app, link, start) = (world.apps[number % 2].clone(), link.clone(), start.clone());
                pressing.spawn(async move {
                    start.wait().await;
                    post(&app, &link).await.status.as_u16()
                });
            }
            let mut answers = pressing.join_all().await;
            answers.sort_unstable();
            assert_eq!(answers, [200, 410, 410, 410, 410, 410, 410, 410]);
            assert_eq!(world.since(&user, &known).await, "login.disowned, session.ended revoked_by_alert");
            rounds += 1;
        }
    }
    println!("{rounds} rounds of 8 at once: one 200 each");
}

/// Signing in there again and again does not help: either that sign-in ends too, or its device is new and it is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn against_a_sign_in_of_the_same_device() {
    let world = World::on_postgres(|builder| builder).await;
    let (mut before, mut after) = (0, 0);
    for round in 0..30 {
        let user = format!("user-{round}");
        let (_laptop, link) = world.somebody_signs_in(&user).await;
        let (node, whose) = (world.nodes[0].clone(), user.clone());
        let signing_in =
            tokio::spawn(
                async move { node.sign_in(SignIn::new(whose).client(caller("laptop", MOSCOW))).await.unwrap() },
            );
        world.nodes[1].disown(&link).await.unwrap();
        let again = signing_in.await.unwrap();
        let is_live = world.nodes[1].list(&user.as_str().into(), None).await.unwrap().len() == 2;
        let told = world.events_of(&user, "login.new_device").await.len();
        // Known and in, and nobody heard of it: that must not be.
        match (is_live, again.signals.is_empty(), told) {
            (false, true, 1) => before += 1,
            (true, false, 2) => after += 1,
            other => panic!("round {round}: (is live, known, told) = {other:?}"),
        }
    }
    println!("30 sign-ins against a disowning: {before} ended by it, {after} new and told");
}
