//! The database goes away while somebody shows their second factor: all of it is done, or nothing.

use super::gate::Gate;
use super::site::{Browser, Node, count, end_of};
use super::support::{TestDb, eventually};
use super::{confirm, confirmed, half_in, row};

const AWAY: &str = "503 temporarily_unavailable";

async fn backends(sql: &tokio_postgres::Client, what: &str) -> i64 {
    let all = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    count(sql, &format!("{all} AND {what}")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_it_and_in_the_middle_of_it() {
    let db = TestDb::new().await;
    let gate = Gate::to(db.url()).await;
    let minutes = std::time::Duration::from_secs(600);
    let node = Node::at(&gate.url(db.url()), |builder| builder.outage_grace(minutes)).await;
    let (sql, holder) = (db.connect().await, db.connect().await);
    for by_cookie in [false, true] {
        let mut browser = Browser::default();
        let earlier = browser.login(&node, "ahmed", by_cookie).await;
        let half = half_in(&mut browser, &node, "ahmed", by_cookie).await;
        gate.shut();
        let answer = confirm(&mut browser, &node, &half).await;
        assert_eq!(answer.line(), AWAY);
        assert_eq!(answer.headers.get("set-cookie"), None, "what the browser has stays");
        gate.open();
        eventually("it is back", async || node.me(&earlier.sent).await == "200 ahmed").await;
        eventually("pending", async || node.me(&half.sent).await == super::REQUIRED).await;

        // The earlier session is to be replaced, but somebody holds its row.
        let hold = format!("BEGIN; SELECT FROM device_sessions.sessions WHERE id = '{}' FOR UPDATE", earlier.id);
        holder.batch_execute(&hold).await.unwrap();
        let (mut shows, from, half_in) = (browser.clone(), node.clone(), half.clone());
        let confirming = tokio::spawn(async move { confirm(&mut shows, &from, &half_in).await });
        eventually("in the middle of it", async || backends(&sql, "wait_event_type = 'Lock'").await == 1).await;
        gate.shut();
        assert_eq!(confirming.await.unwrap().line(), AWAY);
        holder.batch_execute("ROLLBACK").await.unwrap();
        gate.open();
        eventually("nobody is in the middle of it", async || backends(&sql, "state LIKE '%transaction%'").await == 0)
            .await;
        assert_eq!(row(&sql, &half.id).await, "pending", "nothing half-done");
        assert_eq!(end_of(&sql, &earlier.id).await, None);
        eventually("it is back", async || node.me(&half.sent).await == super::REQUIRED).await;

        let full = confirmed(&mut browser, &node, &half).await;
        assert_eq!(end_of(&sql, &earlier.id).await, Some(("replaced".into(), Some(full.id.clone()))));
        assert_eq!(node.me(&full.sent).await, "200 ahmed");
    }
}
