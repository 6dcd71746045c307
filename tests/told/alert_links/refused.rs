//! Links that are no links: nothing ends by them, and nothing is told.

use std::time::Duration;

use axum::{Router, extract::State, http::Method, routing::post as to_post};
use axum_device_sessions::{
    AccessTokens, Client, Clock, Error, ErrorKind, MemoryStore, PostgresStore, Sessions, SignIn, SignedIn, Wants,
};

use super::{
    get,
    http::{on, post as post_to},
    notices::Told,
    notified::{Base, World, application, caller},
    post,
    support::TestDb,
};

const DAY: Duration = Duration::from_secs(86_400);

/// Seven days, and not a second more: by the clock of the node that is asked.
#[tokio::test]
async fn an_old_one() {
    for world in World::both().await {
        let (laptop, link) = world.somebody_signs_in("ahmed").await;
        // The link is good until a second after its sign-in, a second more or less for the seconds that it counts in.
        let second = Duration::from_secs(1);
        let (app, clock) = match &world.base {
            Base::Memory(clock) => (world.apps[0].clone(), clock.clone()),
            Base::Postgres(db, _) => {
                let clock = Clock::manual();
                let store = PostgresStore::connect(db.url()).await.unwrap();
                let later = on(store).clock(clock.clone()).build().await.unwrap();
                (application(&later), clock)
            }
        };
        clock.advance(7 * DAY - 60 * second);
        assert_eq!(get(&app, &link).await.status, 200, "a minute before");
        clock.advance(61 * second);
        for _twice in 0..2 {
            assert_eq!(get(&app, &link).await.status, 410);
            assert_eq!(post(&app, &link).await.status, 410);
        }
        if world.sql().is_some() {
            assert_eq!(world.asks(0, Method::GET, "/me", &laptop).await.line(), "200 ahmed");
            // By a node whose clock is right it is good: it was not used up.
            assert_eq!(post(&world.apps[0], &link).await.status, 200, "the control");
        }
    }
}

#[tokio::test]
async fn what_is_none() {
    for world in World::both().await {
        let (laptop, link) = world.somebody_signs_in("ahmed").await;
        let (other, others) = world.somebody_signs_in("lena").await;
        let half = link.len() / 2;
        let flipped = |at: usize| {
            let mut bytes = link.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            String::from_utf8(bytes).unwrap()
        };
        let mut wrong: Vec<String> = (0..link.len() - 1).map(flipped).collect();
        wrong.extend([
            link[..link.len() - 1].to_owned(),
            link[1..].to_owned(),
            format!("{link}A"),
            format!("{link}%00"),
            format!("{link}%FF"),
            format!("{}{}", &link[..half], &others[half..]),
            "garbage".to_owned(),
            "%20".to_owned(),
            "A".repeat(10_000),
            // Made by the same secret, for something else.
            laptop.refresh_token.clone(),
            laptop.access_token.clone(),
            laptop.session.id.to_string(),
            world.events_of("ahmed", "login.new_device").await[0].event.id.to_string(),
        ]);
        let known: Vec<_> = world.notices("ahmed").await.iter().map(|notice| notice.id).collect();
        for link in &wrong {
            for answer in [get(&world.apps[0], link).await, post(&world.apps[1], link).await] {
                assert_eq!(answer.status, 410, "{link}");
                assert!(answer.text().contains("This link does not work any more"), "{link}");
                assert!(!answer.text().contains("Moscow"), "it shows nothing");
            }
        }
        let kind = world.nodes[0].alert("garbage").await.unwrap_err().kind();
        assert_eq!(kind, ErrorKind::InvalidLink);
        assert_eq!(world.since("ahmed", &known).await, "", "nothing ended, nothing was told");
        println!("{}: {} links that are none", world.name(), wrong.len());
        // The other one's is for the other's session alone.
        assert_eq!(post(&world.apps[0], &others).await.status, 200);
        assert_eq!(world.asks(0, Method::GET, "/me", &laptop).await.line(), "200 ahmed");
        let line = world.asks(0, Method::GET, "/me", &other).await.line();
        assert_eq!(line, "401 session_ended revoked_by_alert");
        assert_eq!(post(&world.apps[0], &link).await.status, 200, "the control");
    }
}

async fn login(State(sessions): State<Sessions>, client: Client) -> Result<SignedIn, Error> {
    sessions.sign_in(SignIn::new("ahmed").client(client)).await
}

/// A cookie by which a browser is known is sealed by the same secret; it opens nothing here.
#[tokio::test]
async fn a_device_cookie() {
    let world = World::on_postgres(|builder| builder).await;
    let app = Router::new().route("/login", to_post(login)).with_state(world.nodes[0].clone());
    let answer = post_to(&app, "/login", &[]).await;
    let mut lines = answer.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap());
    let cookie = lines.find_map(|line| line.strip_prefix("__Host-device=")).unwrap();
    assert_eq!(post(&world.apps[0], cookie.split(';').next().unwrap()).await.status, 410);
}

/// As `server_secret` says: first accepted, then the one that makes, then alone.
#[tokio::test]
async fn by_another_secret() {
    let [old, new] = ["one secret: 0123456789abcdefghij", "another one: 0123456789abcdefghi"];
    let db = TestDb::new().await;
    let (url, sql) = (db.url().to_owned(), db.connect().await);
    let node = async |secrets: &[&str]| {
        let store = PostgresStore::connect(&url).await.unwrap();
        store.migrate().await.unwrap();
        secrets.iter().fold(on(store), |builder, secret| builder.server_secret(secret))
    };
    let world = World::of([node(&[old]).await], Told::of(Wants::push("fcm")), Base::Postgres(db, sql)).await;
    let (_laptop, link) = world.somebody_signs_in("ahmed").await;
    for (secrets, status) in [(&[old][..], 200), (&[old, new], 200), (&[new, old], 200), (&[new], 410)] {
        let app = application(&node(secrets).await.build().await.unwrap());
        assert_eq!(get(&app, &link).await.status, status, "{} secrets", secrets.len());
    }
    let app = application(&node(&[new, old]).await.build().await.unwrap());
    assert_eq!(post(&app, &link).await.status, 200);
}

/// Nobody is signed in here, so nobody is told of anything: there is nothing to open.
#[tokio::test]
async fn without_a_secret() {
    let tokens = AccessTokens::hs256("0123456789abcdefghijklmnopqrstuv").unwrap();
    let sessions = Sessions::builder(MemoryStore::new()).access_tokens(tokens).build().await.unwrap();
    sessions.sign_in(SignIn::new("ahmed").client(caller("phone", None))).await.unwrap();
    let app = application(&sessions);
    assert_eq!(get(&app, "anything").await.status, 410);
    assert_eq!(post(&app, "").await.status, 404, "no route");
}
