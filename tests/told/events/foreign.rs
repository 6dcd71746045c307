//! Sessions that another issuer signs in begin here when they are first seen.

use axum_device_sessions::EndReason;

use crate::{
    accepting::{LONGEST, node, of},
    idp::{Idp, unique},
    notices::Told,
    support::TestDb,
};

#[tokio::test]
async fn a_session_of_another_issuer() {
    let (db, idp, told) = (TestDb::new().await, Idp::start().await, Told::everything());
    let settings = |builder: axum_device_sessions::SessionsBuilder| {
        builder.accept_tokens_of(of(&idp).adopt_sessions(LONGEST)).notify("events", told.clone())
    };
    let nodes = [node(&db, settings).await, node(&db, settings).await];
    let token = idp.sign("lena", &unique());
    for node in [&nodes[0], &nodes[1], &nodes[0]] {
        assert_eq!(node.me(&token).await, "200 lena");
    }
    let target = axum_device_sessions::EndTarget::All { user: "lena".into(), caller: None };
    nodes[1].sessions.end(target, EndReason::RevokedByAdmin, None).await.unwrap();
    nodes[0].refuses(&token, "401 session_ended revoked_by_admin").await;
    let notices = told.count(2).await;
    assert_eq!(told.texts(), ["session.created", "session.ended revoked_by_admin"], "once, and of no device: not new");
    assert_eq!(notices[0].event.user_id.as_str(), "lena");
}
