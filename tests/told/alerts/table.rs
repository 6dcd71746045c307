//! The table: what somebody does, and what is told of it.

use std::time::Duration;

use axum::http::Method;
use axum_device_sessions::{EndReason, ErrorKind, ImportSession, SessionId, SignIn, SignInPolicy, SignedIn};
use time::OffsetDateTime;

use crate::notified::{BERLIN, MOSCOW, World, caller, keyless};

/// A user of their own for each row. With a phone, which their app has told how to reach, they have been signed in before.
struct Row<'w> {
    world: &'w World,
    user: String,
    phone: SignedIn,
}

impl Row<'_> {
    fn by(&self, device: &str) -> SignIn {
        SignIn::new(self.user.as_str()).client(caller(device, None))
    }

    async fn on(&self, device: &str) -> SignedIn {
        self.world.sign_in(self.by(device)).await
    }

    /// Another device, reached under its name, of which all has been told already.
    async fn has(&self, device: &str) -> SignedIn {
        let signed_in = self.on(device).await;
        self.world.is_reached(&signed_in, device).await;
        signed_in
    }

    async fn confirm(&self, node: usize, pending: &SignedIn) {
        assert_eq!(self.world.asks(node, Method::POST, "/confirm", pending).await.status, 200);
    }
}

/// A row: first what was before, then what happens, and what is told of it.
async fn row<T>(
    world: &World,
    what: &str,
    before: impl AsyncFnOnce(&Row<'_>) -> T,
    happens: impl AsyncFnOnce(&Row<'_>, T),
    told: &str,
) {
    let user = what.to_owned();
    let phone = world.on(&user, "phone").await;
    world.is_reached(&phone, "phone").await;
    let row = Row { world, user, phone };
    let before = before(&row).await;
    let known: Vec<_> = world.notices(&row.user).await.iter().map(|notice| notice.id).collect();
    happens(&row, before).await;
    let found = world.since(&row.user, &known).await;
    println!("{:8} {what:55} {found}", world.name());
    assert_eq!(found, told, "{}: {what}", world.name());
}

async fn nothing(_: &Row<'_>) {}

const ALERT: &str = "login.new_device, mail, new_login phone, session.created";

#[tokio::test]
async fn who_is_told_of_a_sign_in() {
    for world in World::both().await {
        let world = &world;
        // The first device of a user: no row has it before it.
        world.on("somebody", "phone").await;
        assert_eq!(world.since("somebody", &[]).await, "session.created", "the first device of all");
        println!("{:8} {:55} session.created", world.name(), "the first device");

        row(world, "a second device", nothing, async |row, ()| drop(row.on("laptop").await), ALERT).await;
        let same = async |row: &Row<'_>, ()| drop(row.on("phone").await);
        row(world, "the same device", nothing, same, "session.created, session.ended replaced").await;
        let known = async |row: &Row<'_>| world.end(row.on("laptop").await.session.id, EndReason::Logout, None).await;
        let again = async |row: &Row<'_>, ()| drop(row.on("laptop").await);
        row(world, "a device from before, signed out since", known, again, "session.created").await;
        let refresh = async |row: &Row<'_>, ()| {
            world.nodes[0].refresh(&row.phone.refresh_token, None).await.unwrap();
        };
        row(world, "a refresh", nothing, refresh, "session.refreshed").await;
        let prove = async |row: &Row<'_>, ()| {
            assert_eq!(world.asks(1, Method::POST, "/reauthenticate", &row.phone).await.status, 200);
        };
        row(world, "a re-authentication", nothing, prove, "").await;

        let laptops = async |row: &Row<'_>| {
            row.has("laptop").await;
            // These are not told: ended, not complete, without an app that can be reached.
            let ended = row.has("ended").await;
            world.end(ended.session.id, EndReason::Logout, None).await;
            world.later(Duration::from_secs(2 * 3_600)).await;
            world.sign_in(row.by("pending").second_factor_to_come()).await;
            row.on("unreached").await;
        };
        let told = "login.new_device, mail, new_login laptop, new_login phone, session.created";
        row(world, "each other device is told", laptops, async |row, ()| drop(row.on("tablet").await), told).await;
        let others = async |_: &Row<'_>| {
            let other = world.on("neighbour", "their own").await;
            world.is_reached(&other, "their-own").await;
        };
        row(world, "nobody else's is", others, async |row, ()| drop(row.on("laptop").await), ALERT).await;

        for (policy, what, told) in [
            (SignInPolicy::Allow, "policy: allow", "session.created"),
            (SignInPolicy::Tell, "policy: tell", ALERT),
            (SignInPolicy::RequireSecondFactor, "policy: a second factor first", ""),
        ] {
            let sign_in = async |row: &Row<'_>, ()| drop(world.sign_in(row.by("laptop").policy(move |_| policy)).await);
            row(world, what, nothing, sign_in, told).await;
        }
        let refuse = async |row: &Row<'_>, ()| {
            let sign_in = row.by("laptop").policy(|_| SignInPolicy::Refuse);
            assert_eq!(world.nodes[0].sign_in(sign_in).await.unwrap_err().kind(), ErrorKind::SignInRefused);
        };
        row(world, "policy: refuse", nothing, refuse, "").await;

        let pending = async |row: &Row<'_>| world.sign_in(row.by("laptop").second_factor_to_come()).await;
        let unconfirmed = async |row: &Row<'_>, ()| drop(pending(row).await);
        row(world, "the password alone", nothing, unconfirmed, "").await;
        for (node, what) in [(0, "the second factor"), (1, "the second factor, on the other node")] {
            row(world, what, pending, async |row, half: SignedIn| row.confirm(node, &half).await, ALERT).await;
        }
        let end = async |_: &Row<'_>, half: SignedIn| {
            world.end(half.session.id, EndReason::RevokedByAdmin, None).await;
        };
        row(world, "the second factor, given up", pending, end, "").await;
        let quiet = async |row: &Row<'_>| {
            world.sign_in(row.by("laptop").second_factor_to_come().policy(|_| SignInPolicy::Allow)).await
        };
        let confirm = async |row: &Row<'_>, half: SignedIn| row.confirm(1, &half).await;
        row(world, "policy: allow, then the second factor", quiet, confirm, "session.created").await;

        let import = async |row: &Row<'_>, ()| {
            let one = ImportSession::new(SessionId::new(), row.user.as_str(), OffsetDateTime::now_utc());
            assert_eq!(world.nodes[0].import([one]).await.unwrap(), 1);
        };
        row(world, "a session taken over from elsewhere", nothing, import, "").await;
    }
}

/// Not twice of what is the same, nor too often of what is not.
#[tokio::test]
async fn how_often() {
    for world in World::both().await {
        let world = &world;
        let hours = |hours: u64| Duration::from_secs(hours * 3_600);
        let by_nothing = async |row: &Row<'_>, address| {
            let sign_in = SignIn::new(row.user.as_str()).client(keyless(address));
            drop(world.sign_in(sign_in).await);
        };
        let once = async |row: &Row<'_>| by_nothing(row, None).await;
        let again = async |row: &Row<'_>, ()| by_nothing(row, None).await;
        let unknown = "login.new_device, session.created";
        row(world, "what shows nothing to know it by", nothing, again, ALERT).await;
        row(world, ".. again, and looks the same", once, again, unknown).await;
        let elsewhere = async |row: &Row<'_>, ()| by_nothing(row, BERLIN).await;
        row(world, ".. again, from elsewhere", once, elsewhere, ALERT).await;
        let a_day = async |row: &Row<'_>| {
            once(row).await;
            world.later(hours(25)).await;
        };
        row(world, ".. again, a day later", a_day, again, ALERT).await;

        let four = async |row: &Row<'_>, ()| {
            for device in ["laptop", "tablet", "watch", "television"] {
                row.on(device).await;
            }
        };
        let told = "4 login.new_device, 3 mail, 3 new_login phone, 4 session.created";
        row(world, "four new devices in an hour", nothing, four, told).await;
        let three = async |row: &Row<'_>| {
            for device in ["laptop", "tablet", "watch"] {
                row.on(device).await;
            }
            world.later(hours(1) + Duration::from_secs(1)).await;
        };
        row(world, "the fourth after an hour", three, async |row, ()| drop(row.on("television").await), ALERT).await;
        let neighbours = async |_: &Row<'_>| {
            for device in ["a", "b", "c", "d", "e"] {
                world.on("a neighbour", device).await;
            }
        };
        row(world, "others have had theirs", neighbours, async |row, ()| drop(row.on("laptop").await), ALERT).await;

        // Forgotten, it is new again.
        let disowned = async |row: &Row<'_>| {
            row.on("laptop").await;
            world.nodes[1].disown(&world.link(&row.user).await).await.unwrap();
        };
        row(world, "a device that was disowned", disowned, async |row, ()| drop(row.on("laptop").await), ALERT).await;
        let disowned = async |row: &Row<'_>| {
            once(row).await;
            world.nodes[1].disown(&world.link(&row.user).await).await.unwrap();
        };
        row(world, "what looks like one that was disowned", disowned, again, ALERT).await;

        // What is unusual besides.
        let from = async |row: &Row<'_>, device: &str, address| {
            let sign_in = SignIn::new(row.user.as_str()).client(caller(device, address));
            drop(world.sign_in(sign_in).await);
        };
        let in_moscow = async |row: &Row<'_>| from(row, "phone", MOSCOW).await;
        let both = "login.new_device, login.suspicious, mail, session.created";
        row(world, "a new device in a new country", in_moscow, async |row, ()| from(row, "laptop", BERLIN).await, both)
            .await;
        let in_berlin = async |row: &Row<'_>, ()| from(row, "phone", BERLIN).await;
        let told = "login.suspicious, session.created, session.ended replaced";
        row(world, "a known device in a new country", in_moscow, in_berlin, told).await;
        let guessed = async |row: &Row<'_>, ()| drop(world.sign_in(row.by("phone").failed_attempts(5)).await);
        row(world, "a known device after failures", nothing, guessed, told).await;
    }
}
