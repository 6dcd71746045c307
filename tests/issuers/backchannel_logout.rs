//! OpenID Connect Back-Channel Logout: which sessions an issuer's word ends, on every node, and that it counts once.

#![cfg(all(feature = "jwks", feature = "postgres", feature = "routes"))]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::http::header;
use axum_device_sessions::{AccessTokens, Issuer, SessionId, UserId};
use tokio::task::JoinSet;

use crate::{
    accepting::{LONGEST, Node, adopting, began_minutes_ago, node, node_at, of, put_in, rows},
    http::{Answer, SECRET, bearer, delete, sign_in},
    idp::{Idp, now, unique},
    stall::{Hold, Stall},
    support::TestDb,
};

const OVER: &str = "401 session_ended logout";

/// OpenID Connect Back-Channel Logout 1.0 §2.8.
fn assert_done(answer: &Answer) {
    assert_eq!((answer.line().as_str(), answer.text()), ("200", ""));
    assert_eq!(answer.header(&header::CACHE_CONTROL), Some("no-store"));
}

/// Its users have the names that ours have.
fn same_names(idp: &Idp) -> Issuer {
    of(idp).adopt_sessions(LONGEST).user(|claims| Some(UserId::from(claims.subject())))
}

#[tokio::test]
async fn of_one_session() {
    let (db, idp) = (TestDb::new().await, Idp::start().await);
    let (one, two, sql) = (adopting(&db, &idp).await, adopting(&db, &idp).await, db.connect().await);
    for (sid, with_sub) in [(unique(), true), (unique(), false), ("no uuid".to_owned(), true), ("bare".into(), false)] {
        let (token, other) = (idp.sign("lena", &sid), idp.sign("lena", &unique()));
        for node in [&one, &two] {
            assert_eq!((node.me(&token).await, node.me(&other).await), ("200 lena".into(), "200 lena".into()));
        }
        let logout = idp.logout().claim("sid", sid);
        let logout = if with_sub { logout.claim("sub", "lena") } else { logout };
        assert_done(&one.logged_out(&logout.sign(&idp.key)).await);
        let ended = Instant::now();
        assert_eq!(one.me(&token).await, OVER, "on this node at once");
        two.refuses(&token, OVER).await;
        let took = ended.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
        println!("refused by the other node after {took:?}");
        assert_eq!((one.me(&other).await, two.me(&other).await), ("200 lena".into(), "200 lena".into()));
    }
    let ended: Vec<_> = rows(&sql).await.into_iter().filter_map(|row| row.ended).collect();
    assert_eq!(ended, vec![("logout".to_owned(), Some(idp.url.clone())); 4]);
}

/// Everything of that user that this issuer had signed in by then, and nothing else.
#[tokio::test]
async fn of_a_user() {
    let (db, idp, other) = (TestDb::new().await, Idp::start().await, Idp::start().await);
    let own = || AccessTokens::hs256(SECRET).unwrap();
    let start = async || {
        let all = |idp: &Idp, other: &Idp| (same_names(idp), same_names(other));
        let (first, second) = all(&idp, &other);
        node(&db, |builder| builder.access_tokens(own()).accept_tokens_of(first).accept_tokens_of(second)).await
    };
    let (one, two, sql) = (start().await, start().await, db.connect().await);
    let gone = [idp.sign("lena", "laptop"), idp.sign("lena", "phone")];
    let mut stays = vec![
        (idp.sign("sam", "sam's"), "200 sam"),
        (other.sign("lena", "laptop"), "200 lena"),
        (sign_in(&one.sessions, "lena").await.access_token, "200 lena"),
    ];
    let are_let_in = async |node: &Node, tokens: &[(String, &str)]| {
        for (token, line) in tokens {
            assert_eq!(node.me(token).await, *line);
        }
    };
    for node in [&one, &two] {
        are_let_in(node, &gone.clone().map(|token| (token, "200 lena"))).await;
        are_let_in(node, &stays).await;
    }
    began_minutes_ago(&sql, 10).await;
    // The provider's word comes a minute late, and she is back already.
    stays.push((idp.sign("lena", "back again"), "200 lena"));
    are_let_in(&one, &stays).await;
    let logout = idp.logout().claim("sub", "lena").claim("iat", now() - 60).sign(&idp.key);
    assert_done(&one.logged_out(&logout).await);
    for token in &gone {
        assert_eq!(one.me(token).await, OVER);
        two.refuses(token, OVER).await;
    }
    for node in [&one, &two] {
        are_let_in(node, &stays).await;
    }

    // Once more, to whom it was told and to whom it was not: nothing that has begun since is meant.
    assert_done(&one.logged_out(&logout).await);
    assert_done(&two.logged_out(&logout).await);
    for node in [&one, &two] {
        are_let_in(node, &stays).await;
    }
    let ended: Vec<_> = rows(&sql).await.into_iter().filter_map(|row| row.ended).collect();
    assert_eq!(ended, vec![("logout".to_owned(), Some(idp.url.clone())); 2]);
    let naively = "SELECT count(*) FROM device_sessions.sessions WHERE user_id = 'lena' AND ended_at IS NULL";
    let naively: i64 = sql.query_one(naively, &[]).await.unwrap().get(0);
    assert_eq!(naively, 3, "naively, all of the user's, these go too");
}

/// The provider did not get our answer and says it again, when she has just signed in anew: to clocks that differ by
/// seconds she may have been there before.
#[tokio::test]
async fn the_same_token_twice() {
    let (db, idp) = (TestDb::new().await, Idp::start().await);
    let node = adopting(&db, &idp).await;
    let logout = idp.logout().claim("sub", "lena");
    let (before, after) = (idp.sign("lena", "before"), idp.sign("lena", "after"));
    assert_eq!(node.me(&before).await, "200 lena");
    assert_done(&node.logged_out(&logout.sign(&idp.key)).await);
    assert_eq!(node.me(&before).await, OVER);
    assert_eq!(node.me(&after).await, "200 lena");
    for _ in 0..3 {
        assert_done(&node.logged_out(&logout.sign(&idp.key)).await);
        assert_eq!(node.me(&after).await, "200 lena");
    }
    // Naively each time, as if it were another.
    assert_done(&node.logged_out(&logout.claim("jti", "another").sign(&idp.key)).await);
    assert_eq!(node.me(&after).await, OVER);
}

/// The token is still about, and comes later.
#[tokio::test]
async fn of_a_session_that_was_never_seen() {
    let (db, idp) = (TestDb::new().await, Idp::start().await);
    let (one, two, sql) = (adopting(&db, &idp).await, adopting(&db, &idp).await, db.connect().await);
    for sid in [unique(), "no uuid".to_owned()] {
        let logout = idp.logout().claim("sub", "lena").claim("sid", &*sid).sign(&idp.key);
        assert_done(&one.logged_out(&logout).await);
        for node in [&one, &two, &adopting(&db, &idp).await] {
            assert_eq!(node.me(&idp.sign("lena", &sid)).await, OVER);
        }
    }
    assert_eq!(rows(&sql).await.len(), 2);
    // Naively it ends what is there, which is nothing.
    let sid = unique();
    let ends = "UPDATE device_sessions.sessions SET ended_at = now() WHERE id = $1";
    assert_eq!(sql.execute(ends, &[&uuid::Uuid::parse_str(&sid).unwrap()]).await.unwrap(), 0);
    assert_eq!(one.me(&idp.sign("lena", &sid)).await, "200 lena");
}

/// Told to one node while its first requests arrive at both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn against_first_sight() {
    let (db, idp) = (TestDb::new().await, Idp::start().await);
    let (one, two) = (Arc::new(adopting(&db, &idp).await), Arc::new(adopting(&db, &idp).await));
    for round in 0..15 {
        let sid = unique();
        let logout = idp.logout().claim("sub", "lena").claim("sid", &*sid).sign(&idp.key);
        let mut asking = JoinSet::new();
        for turn in 0..8 {
            let (node, token) = (Arc::clone([&one, &two][turn % 2]), idp.sign("lena", &sid));
            asking.spawn(async move { node.me(&token).await });
            if turn == round % 8 {
                let (node, logout) = (Arc::clone(&one), logout.clone());
                asking.spawn(async move { node.logged_out(&logout).await.line() });
            }
        }
        for line in asking.join_all().await {
            assert!(["200", "200 lena", OVER].contains(&line.as_str()), "{line}");
        }
        let token = idp.sign("lena", &sid);
        assert_eq!(one.me(&token).await, OVER, "after the 200");
        two.refuses(&token, OVER).await;
    }
}

/// It had ended elsewhere, and this node has not been told: after its 200 it knows.
#[tokio::test]
async fn of_what_had_ended_elsewhere() {
    let (db, idp) = (TestDb::new().await, Idp::start().await);
    let stall = Stall::to(db.url()).await;
    let issuer = of(&idp).adopt_sessions(LONGEST);
    // So long that only its own word counts.
    let hour = Duration::from_secs(3_600);
    let deaf = node_at(&stall.url(db.url()), |builder| builder.max_staleness(hour).accept_tokens_of(issuer)).await;
    let other = adopting(&db, &idp).await;
    for logout in [idp.logout().claim("sub", "lena").claim("sid", "one"), idp.logout().claim("sub", "lena")] {
        let sid = logout.claims["sid"].as_str().unwrap_or("two").to_owned();
        let token = idp.sign("lena", &sid);
        assert_eq!(deaf.me(&token).await, "200 lena");
        stall.hold(Hold::Listeners);
        assert_eq!(delete(&other.app, "/sessions", &[bearer(&token)]).await.status, 200);
        assert_eq!(deaf.me(&token).await, "200 lena", "it has not been told");
        assert_done(&deaf.logged_out(&logout.sign(&idp.key)).await);
        assert_eq!(deaf.me(&token).await, "401 session_ended revoked_by_user", "{logout:?}");
        stall.hold(Hold::Nothing);
    }
}

/// Sessions that others sign in, by hand or by another service: the id is enough, if the user is right.
#[tokio::test]
async fn without_adopting() {
    let (db, idp) = (TestDb::new().await, Idp::start().await);
    let node = node(&db, |builder| builder.accept_tokens_of(of(&idp))).await;
    let sql = db.connect().await;
    let sids = [unique(), unique(), unique()];
    for (sid, user) in sids.iter().zip(["lena", "lena", "sam"]) {
        put_in(&sql, SessionId::from(uuid::Uuid::parse_str(sid).unwrap()), user).await;
    }
    let tokens = [idp.sign("lena", &sids[0]), idp.sign("lena", &sids[1]), idp.sign("sam", &sids[2])];
    let all = async || [node.me(&tokens[0]).await, node.me(&tokens[1]).await, node.me(&tokens[2]).await];
    assert_eq!(all().await, ["200 lena", "200 lena", "200 sam"]);
    let logout = |sub: &str, sid: &str| idp.logout().claim("sub", sub).claim("sid", sid).sign(&idp.key);
    assert_done(&node.logged_out(&logout("lena", &sids[0])).await);
    assert_eq!(all().await, [OVER, "200 lena", "200 sam"]);
    // Nothing to do is done.
    for (sub, sid) in [("lena", &*sids[2]), ("lena", &unique()), ("lena", &sids[0]), ("nobody", "no uuid")] {
        assert_done(&node.logged_out(&logout(sub, sid)).await);
    }
    assert_eq!(all().await, [OVER, "200 lena", "200 sam"]);
    assert_done(&node.logged_out(&idp.logout().claim("sub", "lena").sign(&idp.key)).await);
    assert_eq!(all().await, [OVER, OVER, "200 sam"]);
    assert_eq!(rows(&sql).await.len(), 3, "none was added");
}
