//! On whose word a session ended: for each way to end.

use std::time::Duration;

use axum::http::Method;
use axum_device_sessions::{EndReason, OnLimit, SessionFilter, SessionId, SessionsBuilder, SignIn, SignedIn};

use crate::notified::{Base, World, caller};

/// Reason and actor, as told of this session.
async fn told(world: &World, id: SessionId) -> (String, Option<String>) {
    let ended = async || {
        let of_it = |notice: &axum_device_sessions::Notice| notice.event.session_id == id;
        world.events.notices().into_iter().filter(of_it).find_map(|notice| {
            let reason = notice.event.reason.as_ref()?.to_string();
            (notice.event.kind.as_str() == "session.ended").then_some((reason, notice.event.actor))
        })
    };
    crate::support::eventually(&format!("{}: the end of {id} is told", world.name()), async || ended().await.is_some())
        .await;
    let told = ended().await.unwrap();
    if let Some(sql) = world.sql() {
        let row = "SELECT end_reason, ended_by FROM device_sessions.sessions WHERE id = $1";
        for row in sql.query(row, &[&id.as_uuid()]).await.unwrap() {
            assert_eq!(told, (row.get(0), row.get(1)), "as the row has it");
        }
    }
    told
}

fn limited(builder: SessionsBuilder) -> SessionsBuilder {
    builder.max_sessions_per_user(3, OnLimit::EndOldest).refresh_grace(Duration::ZERO)
}

#[tokio::test]
async fn of_each_way_to_end() {
    for world in [World::on_postgres(limited).await, World::in_memory(limited).await] {
        let world = &world;
        let check = async |what: &str, id: SessionId, reason: EndReason, actor: Option<String>| {
            let found = told(world, id).await;
            println!("{:8} {what:20} {} by {}", world.name(), found.0, found.1.as_deref().unwrap_or("nobody"));
            assert_eq!(found, (reason.to_string(), actor), "{}: {what}", world.name());
        };
        let by = |signed_in: &SignedIn| Some(signed_in.session.id.to_string());
        let one = world.on("ahmed", "one").await;
        world.asks(0, Method::POST, "/auth/logout", &one).await;
        check("logout", one.session.id, EndReason::Logout, by(&one)).await;

        let [one, two] = [world.on("ahmed", "one").await, world.on("ahmed", "two").await];
        let path = format!("/sessions/{}", two.session.id);
        assert_eq!(world.asks(0, Method::DELETE, &path, &one).await.status, 204);
        check("another device", two.session.id, EndReason::RevokedByUser, by(&one)).await;
        let two = world.on("ahmed", "two").await;
        assert_eq!(world.asks(0, Method::DELETE, "/sessions/others", &one).await.status, 200);
        check("the others", two.session.id, EndReason::RevokedByUser, by(&one)).await;
        let again = world.on("ahmed", "one").await;
        check("the same device", one.session.id, EndReason::Replaced, by(&again)).await;
        for device in ["two", "three"] {
            world.on("ahmed", device).await;
        }
        let fourth = world.on("ahmed", "four").await;
        check("one too many", again.session.id, EndReason::Limit, by(&fourth)).await;

        let lena = world.on("lena", "one").await;
        let filter = SessionFilter::everyone().of_user("lena");
        let ended = world.nodes[1].admin().end(&filter, EndReason::AccountDisabled, "staff: sam").await.unwrap();
        assert_eq!(ended, 1);
        check("an administrator", lena.session.id, EndReason::AccountDisabled, Some("staff: sam".into())).await;
        let lena = world.on("lena", "one").await;
        world.nodes[1].refresh(&lena.refresh_token, None).await.unwrap();
        world.nodes[1].refresh(&lena.refresh_token, None).await.unwrap_err();
        check("a stolen token", lena.session.id, EndReason::RefreshReuse, None).await;
        let (laptop, link) = world.somebody_signs_in("mia").await;
        world.nodes[1].disown(&link).await.unwrap();
        check("an alert", laptop.session.id, EndReason::RevokedByAlert, Some("the alert".into())).await;
        let Some(sql) = world.sql() else { continue };
        let set = "UPDATE device_sessions.sessions SET ended_at = now()";
        for (what, statement, reason, actor) in [
            ("a hand", set.to_owned(), EndReason::RevokedByAdmin, "postgres"),
            ("a hand, deleting", "DELETE FROM device_sessions.sessions".into(), EndReason::RevokedByAdmin, "postgres"),
            ("a hand that says so", format!("{set}, end_reason = 'fraud', ended_by = 'me'"), "fraud".into(), "me"),
        ] {
            let sam = world.on("sam", "one").await;
            sql.batch_execute(&format!("{statement} WHERE id = '{}'", sam.session.id)).await.unwrap();
            check(what, sam.session.id, reason, Some(actor.into())).await;
        }
    }
}

/// Time has no name, and tells once.
#[tokio::test]
async fn of_what_runs_out() {
    let minute = Duration::from_secs(60);
    let idle = move |builder: SessionsBuilder| builder.idle_timeout(minute);
    let absolute =
        move |builder: SessionsBuilder| builder.absolute_lifetime(minute).activity_interval(Duration::from_secs(1));
    for (world, reason) in [
        (World::on_postgres(idle).await, EndReason::Idle),
        (World::in_memory(idle).await, EndReason::Idle),
        (World::on_postgres(absolute).await, EndReason::Absolute),
        (World::in_memory(absolute).await, EndReason::Absolute),
    ] {
        let sign_in = SignIn::new("ahmed").client(caller("phone", None));
        let phone = world.sign_in(sign_in).await;
        world.is_reached(&phone, "phone").await;
        match &world.base {
            Base::Memory(clock) => clock.advance(3 * minute),
            Base::Postgres(_, sql) => {
                let earlier = "UPDATE device_sessions.sessions SET last_activity_at = last_activity_at - interval '3 min', \
                               expires_at = expires_at - interval '3 min'";
                sql.batch_execute(earlier).await.unwrap();
            }
        }
        assert_eq!(told(&world, phone.session.id).await, (reason.to_string(), None));
        let told = world.since("ahmed", &[]).await;
        assert_eq!(told, format!("session.created, session.ended {reason}"), "{}: and no push", world.name());
    }
}
