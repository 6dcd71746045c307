//! What every store promises: one suite, run on each of them, and on Postgres once more under role defaults that
//! break careless code.

#![cfg(feature = "postgres")]

mod support;

use std::net::IpAddr;
use std::time::Duration;

use axum_device_sessions::{
    Device, DeviceType, EndOutcome, EndReason, EndTarget, Ended, ErrorKind, FormFactor, Location, MemoryStore,
    Position, PostgresStore, Session, SessionFilter, SessionId, SessionStore, UserId,
    store::{Activity, EndRequest, Expire, Idle, NewSession, Retention},
};
use support::TestDb;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&super::MemoryStore::new()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                let db = super::TestDb::new().await;
                super::$name(&super::postgres_store(&db).await).await;
            })*
        }
        mod postgres_with_hostile_defaults {
            $(#[tokio::test]
            async fn $name() {
                let db = super::TestDb::new().await;
                super::make_hostile(&db, "serializable").await;
                super::$name(&super::postgres_store(&db).await).await;
            })*
        }
        mod postgres_at_repeatable_read {
            $(#[tokio::test]
            async fn $name() {
                let db = super::TestDb::new().await;
                super::make_hostile(&db, "repeatable read").await;
                super::$name(&super::postgres_store(&db).await).await;
            })*
        }
    };
}

contract!(
    every_field_survives,
    what_is_not_known_is_null,
    a_duplicate_id_is_refused_and_changes_nothing,
    unknown_ids_are_not_found,
    one_is_ended_once_and_for_ever,
    another_users_session_is_not_found_and_lives_on,
    others_are_ended_and_the_caller_stays,
    all_are_ended,
    a_caller_that_is_not_live_ends_nobody,
    a_caller_that_has_expired_ends_nobody,
    the_list_shows_the_users_live_sessions,
    activity_moves_forward_never_back,
    activity_revives_nobody_and_leaves_nothing_over,
    the_address_of_the_newest_request_wins,
    the_newest_of_two_in_a_batch_counts,
    a_place_goes_with_its_address,
    of_many_ends_at_once_one_is_first,
    these_are_ended_whoevers_they_are,
    what_has_run_out_is_ended_with_its_reason_and_moment,
    what_is_not_idle_for_certain_is_not_ended,
    the_old_are_removed_and_the_young_stay,
    the_history_is_the_newest_ends_and_what_lives,
    a_walk_meets_what_is_meant_and_lives,
    a_walk_from_nowhere_is_refused,
);

async fn postgres_store(db: &TestDb) -> PostgresStore {
    let store = PostgresStore::connect(db.url()).await.expect("connect");
    store.migrate().await.expect("migrate");
    store
}

/// In effect as with `ALTER ROLE .. SET`, for whoever connects to this database.
async fn make_hostile(db: &TestDb, isolation: &str) {
    let client = db.connect().await;
    for setting in [
        &format!("default_transaction_isolation = '{isolation}'"),
        "default_transaction_read_only = on",
        "synchronous_commit = off",
        "timezone = 'Pacific/Kiritimati'",
        "datestyle = 'German'",
        "search_path = ''",
    ] {
        client.batch_execute(&format!("ALTER DATABASE {} SET {setting}", db.name())).await.expect("a setting");
    }
    let shown = db.connect().await.query_one("SHOW transaction_isolation", &[]).await.expect("shown");
    assert_eq!(shown.get::<_, &str>(0), isolation);
}

fn new_session(user: &str) -> NewSession {
    NewSession::new(SessionId::new(), UserId::from(user), Device::named("Chrome on Windows"), DAY)
}

async fn create(store: &dyn SessionStore, user: &str) -> Session {
    store.create(new_session(user)).await.expect("created")
}

async fn load(store: &dyn SessionStore, id: SessionId) -> Session {
    let mut loaded = store.load(&[id]).await.expect("loaded").sessions;
    assert_eq!(loaded.len(), 1);
    loaded.remove(0)
}

async fn listed(store: &dyn SessionStore, user: &str) -> Vec<SessionId> {
    let mut ids: Vec<_> =
        store.list(&user.into()).await.expect("listed").sessions.iter().map(|session| session.id).collect();
    ids.sort();
    ids
}

fn one(id: SessionId, user: Option<&str>) -> EndTarget {
    EndTarget::One { id, user: user.map(UserId::from) }
}

fn others(user: &str, keep: SessionId) -> EndTarget {
    EndTarget::Others { user: user.into(), keep }
}

fn all(user: &str, caller: Option<SessionId>) -> EndTarget {
    EndTarget::All { user: user.into(), caller }
}

async fn end(store: &dyn SessionStore, target: EndTarget, reason: EndReason) -> EndOutcome {
    store.end(EndRequest::new(target, reason, Some("test".to_owned()))).await.expect("answered")
}

/// Ends one session and returns how it ended.
async fn end_it(store: &dyn SessionStore, id: SessionId) -> Ended {
    match end(store, one(id, None), EndReason::Logout).await {
        EndOutcome::Ended(mut done) if done.len() == 1 && done[0].0 == id => done.remove(0).1,
        other => panic!("not ended: {other:?}"),
    }
}

async fn every_field_survives(store: &dyn SessionStore) {
    let mut device = Device::named("Сафари на телефоне Лены 📱");
    device.kind = DeviceType::Web;
    device.form_factor = Some(FormFactor::Phone);
    device.os = Some("iOS".into());
    device.os_version = Some("18.1".into());
    device.browser = Some("Safari".into());
    device.browser_version = Some("18".into());
    device.model = Some("iPhone \"Ł\" '; --".into());
    let mut new = NewSession::new(SessionId::new(), "лена@例え.jp".into(), device.clone(), 90 * DAY);
    new.user_agent = Some("Mozilla/5.0 (iPhone)".into());
    new.ip_address = Some("2001:db8::7:1".parse().expect("an address"));
    new.metadata = Some(serde_json::json!({"tenant": 7, "a": [null, true, 1.5, "ü"], "b": {"c": {}}}));
    let created = store.create(new.clone()).await.expect("created");
    assert_eq!((created.id, &created.user_id), (new.id, &new.user_id));
    assert_eq!(created.device, device);
    assert_eq!(created.ip_address, new.ip_address);
    assert_eq!(created.metadata, new.metadata);
    assert_eq!(created.last_activity_at, created.created_at);
    assert_eq!(created.absolute_expires_at - created.created_at, 90 * DAY);
    assert_eq!(created.ended, None);
    assert!(!created.is_current);

    let loaded = store.load(&[new.id]).await.expect("loaded");
    assert!(loaded.now >= created.created_at, "the store's own clock");
    assert_eq!(loaded.sessions, std::slice::from_ref(&created));
    assert_eq!(store.list(&new.user_id).await.expect("listed").sessions, [created]);
}

async fn what_is_not_known_is_null(store: &dyn SessionStore) {
    let created = create(store, "ahmed").await;
    assert_eq!(created.device, Device::named("Chrome on Windows"));
    assert_eq!((created.ip_address, &created.location, &created.country_code), (None, &None, &None));
    assert_eq!((&created.metadata, &created.ended), (&None, &None));
    assert_eq!(load(store, created.id).await, created);
}

async fn a_duplicate_id_is_refused_and_changes_nothing(store: &dyn SessionStore) {
    let created = create(store, "ahmed").await;
    let again = NewSession::new(created.id, "mallory".into(), Device::named("Other"), 2 * DAY);
    let error = store.create(again.clone()).await.expect_err("a duplicate");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(load(store, created.id).await, created);
    // Nor is an ended one brought back.
    let ended = end_it(store, created.id).await;
    store.create(again).await.expect_err("a duplicate");
    assert_eq!(load(store, created.id).await.ended, Some(ended));
    assert!(listed(store, "mallory").await.is_empty());
}

async fn unknown_ids_are_not_found(store: &dyn SessionStore) {
    let known = create(store, "ahmed").await;
    assert!(store.load(&[]).await.expect("loaded").sessions.is_empty());
    assert!(store.load(&[SessionId::new()]).await.expect("loaded").sessions.is_empty());
    let mixed = [SessionId::new(), known.id, SessionId::new()];
    assert_eq!(store.load(&mixed).await.expect("loaded").sessions, [known]);
    assert!(store.list(&"nobody".into()).await.expect("listed").sessions.is_empty());
    assert_eq!(end(store, one(SessionId::new(), None), EndReason::Logout).await, EndOutcome::NotFound);
}

async fn one_is_ended_once_and_for_ever(store: &dyn SessionStore) {
    let (session, spared) = (create(store, "ahmed").await, create(store, "ahmed").await);
    let EndOutcome::Ended(done) = end(store, one(session.id, Some("ahmed")), EndReason::RevokedByUser).await else {
        panic!("not ended")
    };
    let [(id, first)] = &done[..] else { panic!("one was named: {done:?}") };
    assert_eq!(*id, session.id);
    assert_eq!((&first.reason, first.by.as_deref()), (&EndReason::RevokedByUser, Some("test")));
    assert!(first.at >= session.created_at);

    let own_word = EndReason::Other("fraud_team".into());
    for target in [one(session.id, Some("ahmed")), one(session.id, None)] {
        let again = store.end(EndRequest::new(target, own_word.clone(), None)).await.expect("answered");
        assert_eq!(again, EndOutcome::AlreadyEnded(first.clone()));
    }
    assert_eq!(load(store, session.id).await.ended.as_ref(), Some(first));
    assert_eq!(listed(store, "ahmed").await, [spared.id]);
    // A reason of the application's own survives, and so does that nobody is named.
    store.end(EndRequest::new(one(spared.id, None), own_word.clone(), None)).await.expect("ended");
    let ended = load(store, spared.id).await.ended.expect("ended");
    assert_eq!((ended.reason, ended.by), (own_word, None));
}

async fn another_users_session_is_not_found_and_lives_on(store: &dyn SessionStore) {
    let session = create(store, "ahmed").await;
    assert_eq!(end(store, one(session.id, Some("lena")), EndReason::Logout).await, EndOutcome::NotFound);
    assert_eq!(load(store, session.id).await, session);
    end_it(store, session.id).await;
    assert_eq!(end(store, one(session.id, Some("lena")), EndReason::Logout).await, EndOutcome::NotFound, "no oracle");
}

async fn others_are_ended_and_the_caller_stays(store: &dyn SessionStore) {
    let caller = create(store, "ahmed").await;
    let mut doomed = [create(store, "ahmed").await.id, create(store, "ahmed").await.id];
    doomed.sort();
    let before = create(store, "ahmed").await;
    let first = end_it(store, before.id).await;
    let stranger = create(store, "lena").await;
    let EndOutcome::Ended(mut done) = end(store, others("ahmed", caller.id), EndReason::RevokedByUser).await else {
        panic!("not ended")
    };
    done.sort_by_key(|(id, _)| *id);
    assert_eq!(done.iter().map(|(id, _)| *id).collect::<Vec<_>>(), doomed, "the one that had ended does not count");
    for (id, ended) in done {
        assert_eq!(ended.reason, EndReason::RevokedByUser);
        assert_eq!(load(store, id).await.ended, Some(ended));
    }
    assert_eq!(load(store, before.id).await.ended, Some(first));
    assert_eq!((load(store, caller.id).await, load(store, stranger.id).await), (caller.clone(), stranger));
    let again = end(store, others("ahmed", caller.id), EndReason::RevokedByUser).await;
    assert_eq!(again, EndOutcome::Ended(Vec::new()), "nobody is left, and that is no error");
}

async fn all_are_ended(store: &dyn SessionStore) {
    let stranger = create(store, "lena").await;
    for by_a_session in [true, false] {
        let mut sessions = [create(store, "ahmed").await.id, create(store, "ahmed").await.id];
        sessions.sort();
        let target = all("ahmed", by_a_session.then_some(sessions[0]));
        let EndOutcome::Ended(done) = end(store, target, EndReason::CredentialChange).await else {
            panic!("not ended")
        };
        let mut ended: Vec<_> = done.into_iter().map(|(id, _)| id).collect();
        ended.sort();
        assert_eq!(ended, sessions, "the caller too");
        assert!(listed(store, "ahmed").await.is_empty());
    }
    assert_eq!(end(store, all("ahmed", None), EndReason::Logout).await, EndOutcome::Ended(Vec::new()));
    assert_eq!(load(store, stranger.id).await, stranger);
}

async fn a_caller_that_is_not_live_ends_nobody(store: &dyn SessionStore) {
    let spared = create(store, "ahmed").await;
    let ended = create(store, "ahmed").await.id;
    let how = end_it(store, ended).await;
    let strangers = create(store, "lena").await.id;
    let strangers_ended = create(store, "lena").await.id;
    end_it(store, strangers_ended).await;
    for (caller, expected) in [(ended, Some(how)), (SessionId::new(), None), (strangers, None), (strangers_ended, None)]
    {
        for target in [others("ahmed", caller), all("ahmed", Some(caller))] {
            let outcome = end(store, target, EndReason::RevokedByUser).await;
            assert_eq!(outcome, EndOutcome::CallerEnded(expected.clone()));
        }
    }
    assert_eq!(load(store, spared.id).await, spared);
    assert_eq!(load(store, strangers).await.ended, None);
}

async fn a_caller_that_has_expired_ends_nobody(store: &dyn SessionStore) {
    let spared = create(store, "ahmed").await;
    let mut expired = new_session("ahmed");
    expired.absolute_lifetime = Duration::ZERO;
    let expired = store.create(expired).await.expect("created").id;
    for target in [others("ahmed", expired), all("ahmed", Some(expired))] {
        assert_eq!(end(store, target, EndReason::RevokedByUser).await, EndOutcome::CallerEnded(None));
    }
    assert_eq!(load(store, spared.id).await, spared);
    // What the user is told he ended is what the list had shown.
    let EndOutcome::Ended(done) = end(store, all("ahmed", None), EndReason::RevokedByUser).await else {
        panic!("not ended")
    };
    assert_eq!(done.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [spared.id]);
}

async fn the_list_shows_the_users_live_sessions(store: &dyn SessionStore) {
    let mut live = [create(store, "ahmed").await.id, create(store, "ahmed").await.id];
    live.sort();
    create(store, "lena").await;
    end_it(store, create(store, "ahmed").await.id).await;
    let mut expired = new_session("ahmed");
    expired.absolute_lifetime = Duration::ZERO;
    let expired = store.create(expired).await.expect("created").id;
    assert_eq!(listed(store, "ahmed").await, live);
    // A load shows what there is; the judge knows what to make of it.
    assert_eq!(load(store, expired).await.id, expired);
}

async fn record(store: &dyn SessionStore, batch: Vec<Activity>) {
    assert_eq!(store.record_activity(batch).await.expect("recorded"), [], "nothing is locked");
}

async fn activity_moves_forward_never_back(store: &dyn SessionStore) {
    let (session, other) = (create(store, "ahmed").await, create(store, "ahmed").await);
    record(store, Vec::new()).await;
    record(store, vec![Activity::new(session.id, Duration::from_secs(3_600), None)]).await;
    assert_eq!(load(store, session.id).await, session, "from before the sign-in");
    record(store, vec![Activity::new(session.id, Duration::ZERO, None)]).await;
    let moved = load(store, session.id).await;
    assert!(moved.last_activity_at > session.last_activity_at);
    let mut nothing_else = session.clone();
    nothing_else.last_activity_at = moved.last_activity_at;
    assert_eq!(moved, nothing_else);
    record(store, vec![Activity::new(session.id, Duration::from_secs(60), None)]).await;
    assert_eq!(load(store, session.id).await, moved, "an older one that comes late");
    assert_eq!(load(store, other.id).await, other);
}

async fn activity_revives_nobody_and_leaves_nothing_over(store: &dyn SessionStore) {
    let (ended, live) = (create(store, "ahmed").await.id, create(store, "ahmed").await);
    end_it(store, ended).await;
    let before = load(store, ended).await;
    let missing = SessionId::new();
    let now = |id| Activity::new(id, Duration::ZERO, Some(IpAddr::from([192, 0, 2, 1])));
    record(store, vec![now(ended), now(live.id), now(missing)]).await;
    assert_eq!(load(store, ended).await, before);
    assert!(store.load(&[missing]).await.expect("loaded").sessions.is_empty());
    assert!(load(store, live.id).await.last_activity_at > live.last_activity_at, "the others are written");
}

async fn the_address_of_the_newest_request_wins(store: &dyn SessionStore) {
    let id = create(store, "ahmed").await.id;
    let (home, train): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), "2001:db8::2".parse().expect("an address"));
    record(store, vec![Activity::new(id, Duration::ZERO, Some(home))]).await;
    record(store, vec![Activity::new(id, Duration::from_secs(60), Some(train))]).await;
    assert_eq!(load(store, id).await.ip_address, Some(home), "an older one says nothing");
    record(store, vec![Activity::new(id, Duration::ZERO, None)]).await;
    assert_eq!(load(store, id).await.ip_address, Some(home), "unknown leaves what is known");
    record(store, vec![Activity::new(id, Duration::ZERO, Some(train))]).await;
    assert_eq!(load(store, id).await.ip_address, Some(train));
}

/// A session that was forgotten and found again between two flushes is in the queue twice.
async fn the_newest_of_two_in_a_batch_counts(store: &dyn SessionStore) {
    let (home, train) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
    for newest_first in [true, false] {
        let session = create(store, "ahmed").await;
        record(store, vec![Activity::new(session.id, Duration::ZERO, None)]).await;
        let floor = load(store, session.id).await.last_activity_at;
        let newest = Activity::new(session.id, Duration::ZERO, Some(train));
        // Both are newer than the row.
        let older = Activity::new(session.id, Duration::from_nanos(1_000), Some(home));
        record(store, if newest_first { vec![newest, older] } else { vec![older, newest] }).await;
        let found = load(store, session.id).await;
        assert!(found.last_activity_at > floor);
        assert_eq!(found.ip_address, Some(train), "newest first: {newest_first}");
    }
}

/// Among others that have a place, and alone: batches without any place are written by a statement of their own.
async fn a_place_goes_with_its_address(store: &dyn SessionStore) {
    let (home, train) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
    let seen = |id, ip: Option<IpAddr>, city: Option<&str>| {
        let mut seen = Activity::new(id, Duration::ZERO, ip);
        seen.location = city.map(|city| {
            let mut place = Location::default();
            (place.city, place.country_code) = (Some(city.to_owned()), Some("RU".to_owned()));
            place.position = Position::new(55.75, 37.62, Some(5));
            place
        });
        seen
    };
    for alone in [false, true] {
        let (id, other) = (create(store, "ahmed").await.id, create(store, "ahmed").await.id);
        let moscow = (Some("Moscow, RU".to_owned()), Some("RU".to_owned()), Position::new(55.75, 37.62, Some(5)));
        for (ip, city, known) in [
            (Some(home), Some("Moscow"), moscow.clone()),
            (Some(home), None, moscow.clone()),
            (None, None, moscow),
            (Some(train), None, (None, None, None)),
        ] {
            let others = (!alone).then(|| seen(other, Some(home), Some("Zelenograd")));
            record(store, [seen(id, ip, city)].into_iter().chain(others).collect()).await;
            let found = load(store, id).await;
            assert_eq!((found.location, found.country_code, found.position), known, "alone: {alone}, from {ip:?}");
        }
        assert_eq!(load(store, id).await.ip_address, Some(train));
    }
}

async fn of_many_ends_at_once_one_is_first(store: &dyn SessionStore) {
    for _ in 0..10 {
        let (session, caller) = (create(store, "ahmed").await.id, create(store, "ahmed").await.id);
        let (a, b, c, d) = tokio::join!(
            end(store, one(session, None), EndReason::Logout),
            end(store, one(session, Some("ahmed")), EndReason::RevokedByUser),
            end(store, one(session, None), EndReason::RevokedByAlert),
            end(store, others("ahmed", caller), EndReason::CredentialChange),
        );
        let kept = load(store, session).await.ended.expect("ended");
        let mut firsts = 0;
        for outcome in [a, b, c, d] {
            match outcome {
                EndOutcome::Ended(done) => {
                    firsts += done.len();
                    assert!(done.iter().all(|(id, ended)| *id == session && *ended == kept));
                }
                EndOutcome::AlreadyEnded(ended) => assert_eq!(ended, kept),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(firsts, 1);
        end_it(store, caller).await;
    }
}

async fn lives_for(store: &dyn SessionStore, user: &str, lifetime: Duration) -> Session {
    let mut new = new_session(user);
    new.absolute_lifetime = lifetime;
    store.create(new).await.expect("created")
}

/// A round over all rows whenever it is asked for.
async fn expire(store: &dyn SessionStore, idle: Option<Idle>) -> Vec<(SessionId, Ended)> {
    let expired = store.expire(Expire::new(idle, Duration::ZERO)).await.expect("expired");
    assert!(!expired.more);
    expired.ended
}

async fn these_are_ended_whoevers_they_are(store: &dyn SessionStore) {
    let (mine, hers, spared) = (create(store, "ahmed").await, create(store, "lena").await, create(store, "lena").await);
    let before = create(store, "ahmed").await.id;
    let first = end_it(store, before).await;
    let over = lives_for(store, "sam", Duration::ZERO).await.id;
    let ids = vec![hers.id, mine.id, before, SessionId::new(), over, mine.id];
    let end_these = async |ids| match end(store, EndTarget::These { ids }, EndReason::RevokedByAdmin).await {
        EndOutcome::Ended(done) => done,
        other => panic!("not ended: {other:?}"),
    };
    let mut done = end_these(ids.clone()).await;
    done.sort_by_key(|(id, _)| *id);
    let mut expected = [hers.id, mine.id, over];
    expected.sort();
    assert_eq!(done.iter().map(|(id, _)| *id).collect::<Vec<_>>(), expected, "each once");
    for (id, ended) in done {
        assert_eq!((&ended.reason, ended.by.as_deref()), (&EndReason::RevokedByAdmin, Some("test")));
        assert_eq!(load(store, id).await.ended, Some(ended));
    }
    assert_eq!(load(store, before).await.ended, Some(first));
    assert_eq!(load(store, spared.id).await, spared);
    assert_eq!((end_these(ids).await, end_these(Vec::new()).await), (Vec::new(), Vec::new()));
}

async fn what_has_run_out_is_ended_with_its_reason_and_moment(store: &dyn SessionStore) {
    let (live, ended) = (create(store, "ahmed").await, create(store, "ahmed").await.id);
    let how = end_it(store, ended).await;
    let over = lives_for(store, "ahmed", Duration::ZERO).await;
    let done = expire(store, None).await;
    let [(id, absolute)] = &done[..] else { panic!("one is over: {done:?}") };
    assert_eq!((*id, &absolute.reason, &absolute.by), (over.id, &EndReason::Absolute, &None));
    assert_eq!(absolute.at, over.absolute_expires_at, "when it was over, not when it was found");
    assert_eq!(load(store, over.id).await.ended.as_ref(), Some(absolute));

    let idle = expire(store, Some(Idle::new(Duration::ZERO, Duration::ZERO))).await;
    let [(id, idle)] = &idle[..] else { panic!("one is idle: {idle:?}") };
    assert_eq!((*id, &idle.reason, idle.at), (live.id, &EndReason::Idle, live.last_activity_at));
    assert_eq!(load(store, live.id).await.ended.as_ref(), Some(idle));
    assert_eq!(expire(store, Some(Idle::new(Duration::ZERO, Duration::ZERO))).await, [], "each once");
    assert_eq!(load(store, ended).await.ended, Some(how));

    // Both at once: whichever came first; at the same moment the absolute end, as requests are told.
    for (lifetime, timeout, allowance, reason) in [
        (3_000, 1_000, 1_000, EndReason::Idle),
        (3_000, 1_000, 2_000, EndReason::Absolute),
        (3_000, 5_000, 0, EndReason::Absolute),
    ] {
        let micros = Duration::from_micros;
        let both = lives_for(store, "ahmed", micros(lifetime)).await;
        support::eventually("it is over", async || {
            store.load(&[both.id]).await.expect("loaded").now > both.absolute_expires_at + micros(5_000)
        })
        .await;
        let done = expire(store, Some(Idle::new(micros(timeout), micros(allowance)))).await;
        let [(id, ended)] = &done[..] else { panic!("one: {done:?}") };
        let at = if reason == EndReason::Idle { both.created_at + micros(timeout) } else { both.absolute_expires_at };
        assert_eq!((*id, &ended.reason, ended.at), (both.id, &reason, at), "{lifetime} {timeout} {allowance}");
    }
}

async fn what_is_not_idle_for_certain_is_not_ended(store: &dyn SessionStore) {
    let session = create(store, "ahmed").await;
    for idle in [None, Some(Idle::new(DAY, Duration::ZERO)), Some(Idle::new(Duration::ZERO, DAY))] {
        assert_eq!(expire(store, idle).await, []);
    }
    assert_eq!(load(store, session.id).await, session);
}

async fn the_old_are_removed_and_the_young_stay(store: &dyn SessionStore) {
    let live = create(store, "ahmed").await;
    let mut new = new_session("ahmed");
    new.ip_address = Some([192, 0, 2, 1].into());
    let ended = store.create(new).await.expect("created").id;
    end_it(store, ended).await;
    let before = load(store, ended).await;
    let purge = async |scrub_after, history| {
        let purged = store.purge(Retention::new(scrub_after, history)).await.expect("purged");
        (purged.scrubbed, purged.deleted, purged.more)
    };
    assert_eq!(purge(DAY, DAY).await, (0, 0, false));
    assert_eq!(load(store, ended).await, before);
    assert_eq!(purge(Duration::ZERO, DAY).await, (1, 0, false));
    let mut without_address = before.clone();
    without_address.ip_address = None;
    assert_eq!(load(store, ended).await, without_address, "and nothing else");
    assert_eq!(purge(Duration::ZERO, DAY).await, (0, 0, false), "once");
    assert_eq!(purge(Duration::ZERO, Duration::ZERO).await, (0, 1, false));
    assert!(store.load(&[ended]).await.expect("loaded").sessions.is_empty());
    assert_eq!(load(store, live.id).await, live, "of any age");
    // Never scrubbed before.
    end_it(store, live.id).await;
    assert_eq!(purge(Duration::ZERO, Duration::ZERO).await, (0, 1, false));
}

async fn the_history_is_the_newest_ends_and_what_lives(store: &dyn SessionStore) {
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(create(store, "ahmed").await.id);
    }
    let (live, over) = (create(store, "ahmed").await.id, lives_for(store, "ahmed", Duration::ZERO).await.id);
    end_it(store, create(store, "lena").await.id).await;
    for place in [2, 0, 3, 1] {
        end_it(store, ids[place]).await;
    }
    let history = async |limit| {
        let loaded = store.history(&"ahmed".into(), Duration::from_secs(86_400), limit).await.expect("listed");
        let (mut ended, live): (Vec<_>, Vec<_>) = loaded.sessions.into_iter().partition(|one| one.ended.is_some());
        ended.sort_by_key(|one| std::cmp::Reverse(one.ended.as_ref().map(|ended| ended.at)));
        let ids = |sessions: Vec<Session>| sessions.iter().map(|one| one.id).collect::<Vec<_>>();
        let mut live = ids(live);
        live.sort();
        (ids(ended), live)
    };
    let mut living = vec![live, over];
    living.sort();
    assert_eq!(history(100).await, (vec![ids[1], ids[3], ids[0], ids[2]], living.clone()));
    assert_eq!(history(2).await, (vec![ids[1], ids[3]], living));
    assert!(
        store.history(&"nobody".into(), Duration::from_secs(86_400), 100).await.expect("listed").sessions.is_empty()
    );
}

async fn a_walk_meets_what_is_meant_and_lives(store: &dyn SessionStore) {
    let (mine, hers) = (create(store, "ahmed").await.id, create(store, "lena").await.id);
    end_it(store, create(store, "lena").await.id).await;
    lives_for(store, "lena", Duration::ZERO).await;
    let walk = async |filter, after| {
        let walked = store.walk(&filter, after).await.expect("walked");
        assert_eq!(walked.next, None, "there are few");
        walked.matching
    };
    let mut all = walk(SessionFilter::everyone(), None).await;
    let rest = walk(SessionFilter::everyone(), Some(all[0])).await;
    assert_eq!(rest, all[1..], "on after the first");
    all.sort();
    let mut expected = [mine, hers];
    expected.sort();
    assert_eq!(all, expected);
    assert_eq!(walk(SessionFilter::everyone().of_user("lena"), None).await, [hers]);
    assert_eq!(walk(SessionFilter::everyone().with_ids([mine]).of_user("lena"), None).await, []);
    // It may stand on one that has ended meanwhile.
    end_it(store, all[0]).await;
    store.walk(&SessionFilter::everyone(), Some(all[0])).await.expect("walked on");
}

/// To go on after a row that is gone would look like the end of the walk, with most of it not done.
async fn a_walk_from_nowhere_is_refused(store: &dyn SessionStore) {
    create(store, "ahmed").await;
    let error = store.walk(&SessionFilter::everyone(), Some(SessionId::new())).await.expect_err("from where?");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}
