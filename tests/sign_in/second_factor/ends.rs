//! How a session ends whose second factor never came.

use std::time::Duration;

use axum::{
    Router,
    extract::FromRequestParts,
    http::{Method, Request, StatusCode, request::Parts},
};
use axum_device_sessions::{
    Clock, EndReason, EndTarget, SessionFilter, SessionValidationLayer,
    routes::{self, Administrator},
};
use serde_json::json;

use super::http::{ask_with, delete, get};
use super::site::{Browser, In, Node, count, end_of, two};
use super::{REQUIRED, confirm, half_in, row};

struct Staff;

impl<S: Send + Sync> FromRequestParts<S> for Staff {
    type Rejection = StatusCode;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self)
    }
}

impl Administrator for Staff {
    fn actor(&self) -> String {
        "staff".to_owned()
    }
}

#[tokio::test]
async fn whatever_ends_all_of_a_users_sessions_ends_it() {
    let (_db, nodes, sql) = two(|builder| builder).await;
    for (number, how) in ["DELETE /sessions/others", "DELETE /sessions", "admin route", "admin", "sign out everywhere"]
        .into_iter()
        .enumerate()
    {
        let user = format!("user-{number}");
        let mut waiting = Browser::default();
        let half = half_in(&mut waiting, &nodes[0], &user, number % 2 == 0).await;
        let live = Browser::default().login(&nodes[1], &user, false).await;
        for node in &nodes {
            assert_eq!(
                (node.me(&half.sent).await.as_str(), node.me(&live.sent).await),
                (REQUIRED, format!("200 {user}"))
            );
        }
        let admin = nodes[0].sessions.admin();
        match how {
            "admin" => {
                let filter = SessionFilter::everyone().of_user(user.as_str());
                admin.end(&filter, EndReason::RevokedByAdmin, "staff").await.unwrap();
            }
            "sign out everywhere" => {
                admin.end_all(&user.as_str().into(), EndReason::CredentialChange, "staff").await.unwrap();
            }
            "admin route" => {
                let app = Router::new()
                    .nest("/admin", routes::admin_routes::<Staff, _>())
                    .layer(SessionValidationLayer::new(nodes[0].sessions.clone()));
                let body = json!({ "user": user, "reason": "revoked_by_admin" });
                let request = Request::post("/admin/end").header("content-type", "application/json");
                let answer = ask_with(&app, request.body(body.to_string().into()).unwrap()).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                println!("{how}: {}", answer.text());
            }
            route => {
                let path = route.split_once(' ').unwrap().1;
                let answer = delete(&nodes[0].app, path, &live.sent).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                println!("{how}: {}", answer.text());
            }
        }
        let (reason, _by) = end_of(&sql, &half.id).await.unwrap_or_else(|| panic!("{how} left it"));
        for node in &nodes {
            node.answers(&half.sent, &format!("401 session_ended {reason}")).await;
        }
        let answer = confirm(&mut waiting, &nodes[1], &half).await;
        assert_eq!(answer.line(), format!("401 session_ended {reason}"), "{how}");
        assert_eq!(row(&sql, &half.id).await, format!("pending {reason}"), "{how}");
        let history = nodes[0].sessions.history(&user.into()).await.unwrap();
        assert!(history.iter().all(|one| one.id != half.session()), "{how}: it was never complete");
    }
}

/// Given up by the application, and by its user.
#[tokio::test]
async fn it_is_given_up() {
    let (_db, nodes, sql) = two(|builder| builder).await;
    let mut browser = Browser::default();
    let half = half_in(&mut browser, &nodes[0], "ahmed", true).await;
    let target = EndTarget::One { id: half.session(), user: None };
    nodes[0].sessions.end(target, EndReason::Logout, None).await.unwrap();
    nodes[1].answers(&half.sent, "401 session_ended logout").await;
    let again = half_in(&mut browser, &nodes[0], "ahmed", true).await;
    let answer = browser.send(&nodes[1].app, Method::POST, "/auth/logout", None).await;
    assert_eq!((answer.status.as_u16(), browser.jar.contains_key("__Host-session")), (204, false));
    assert_eq!(row(&sql, &again.id).await, "pending logout");
    assert!(browser.device().is_some());
}

/// By the token's clock, and by the row's.
#[tokio::test]
async fn after_ten_minutes() {
    let clock = Clock::manual();
    let (_db, [node, other], sql) = two(|builder| builder.clock(clock.clone())).await;
    let minutes = Duration::from_secs(60);
    let ends = "SELECT extract(epoch FROM expires_at - created_at)::int8 FROM device_sessions.sessions";
    let mut browser = Browser::default();
    let half = half_in(&mut browser, &node, "ahmed", false).await;
    assert_eq!(count(&sql, ends).await, 600);
    clock.advance(10 * minutes - Duration::from_secs(1));
    assert_eq!(node.me(&half.sent).await, REQUIRED);
    // And the leeway of two seconds.
    clock.advance(Duration::from_secs(4));
    assert_eq!(node.me(&half.sent).await, "401 token_expired");
    assert_eq!(confirm(&mut browser, &node, &half).await.line(), "401 token_expired");

    let half = half_in(&mut browser, &node, "ahmed", false).await;
    assert_eq!(other.me(&half.sent).await, REQUIRED);
    let over = "UPDATE device_sessions.sessions SET expires_at = clock_timestamp()";
    sql.batch_execute(over).await.unwrap();
    assert_eq!(confirm(&mut browser, &node, &half).await.status, 401, "whatever is in memory");
    for node in [&node, &other] {
        node.answers(&half.sent, "401 session_ended absolute").await;
        assert_eq!(node.sessions.history(&"ahmed".into()).await.unwrap(), []);
    }
    assert_eq!(count(&sql, "SELECT count(*) FROM device_sessions.sessions WHERE NOT pending").await, 0);
}

/// Whoever has the password could fill the table.
#[tokio::test]
async fn a_user_has_five() {
    let (_db, nodes, sql) = two(|builder| builder).await;
    let live = Browser::default().login(&nodes[0], "ahmed", false).await;
    let lenas = half_in(&mut Browser::default(), &nodes[0], "lena", false).await;
    let mut halves: Vec<In> = Vec::new();
    for number in 0..8 {
        halves.push(half_in(&mut Browser::default(), &nodes[number % 2], "ahmed", false).await);
        let first = halves.len().saturating_sub(5);
        for (at, half) in halves.iter().enumerate() {
            let ended = (at < first).then(|| ("limit".to_owned(), Some(halves[at + 5].id.clone())));
            assert_eq!(end_of(&sql, &half.id).await, ended, "{at} of {}", halves.len());
        }
    }
    for node in &nodes {
        node.answers(&halves[0].sent, "401 session_ended limit").await;
        assert_eq!(node.me(&halves[7].sent).await, REQUIRED);
        assert_eq!(node.me(&lenas.sent).await, REQUIRED);
        assert_eq!(node.me(&live.sent).await, "200 ahmed");
    }
}

/// What was never complete does not push out of the history what was.
#[tokio::test]
async fn many_of_them_hide_no_history() {
    let (_db, [node, _], sql) = two(|builder| builder).await;
    let mut browser = Browser::default();
    let first = browser.login(&node, "ahmed", false).await;
    let live = browser.login(&node, "ahmed", false).await;
    let told = async |node: &Node| {
        let answer = get(&node.app, "/sessions?state=ended", &live.sent).await.json();
        answer.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(told(&node).await, [first.id.as_str()]);
    // As many as the history tells, each ended since.
    let flood = "INSERT INTO device_sessions.sessions \
                    (id, user_id, expires_at, device_name, device_type, pending, ended_at, end_reason) \
                 SELECT gen_random_uuid(), 'ahmed', now(), 'x', 'other', true, now(), 'limit' FROM generate_series(1, 100)";
    sql.batch_execute(flood).await.unwrap();
    assert_eq!(told(&node).await, [first.id.as_str()]);
}
