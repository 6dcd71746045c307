//! The design that one writes first: a cache, LISTEN to empty it, reconnect when the connection breaks. No lease, no
//! beat, no reading again.

use std::{
    collections::HashSet,
    future::poll_fn,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::{delete, get, post},
};
use deadpool_postgres::{Manager, Pool, Runtime};
use serde_json::{Value, json};
use tokio_postgres::{AsyncMessage, NoTls};
use uuid::Uuid;

#[derive(Clone)]
struct Naive {
    pool: Pool,
    valid: Arc<Mutex<HashSet<Uuid>>>,
}

/// Serves in this process; what matters is that its nodes share nothing but the database.
pub(crate) async fn serve(database: &str, listen: Option<&str>) -> String {
    let store = axum_device_sessions::PostgresStore::connect(database).await.unwrap();
    store.migrate().await.unwrap();
    let manager = Manager::new(database.parse().unwrap(), NoTls);
    let pool = Pool::builder(manager).max_size(8).runtime(Runtime::Tokio1).build().unwrap();
    let naive = Naive { pool, valid: Arc::default() };
    if let Some(listen) = listen {
        tokio::spawn(empty_when_told(listen.parse().unwrap(), Arc::clone(&naive.valid)));
    }
    let app = Router::new()
        .route("/auth/login", post(login))
        .route("/me", get(me))
        .route("/sessions/{id}", delete(end))
        .with_state(naive);
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

type Answer = Result<(StatusCode, Json<Value>), StatusCode>;

fn away<E>(_: E) -> StatusCode {
    StatusCode::SERVICE_UNAVAILABLE
}

async fn login(State(naive): State<Naive>, Json(who): Json<Value>) -> Answer {
    let id = Uuid::now_v7();
    let user = who["username"].as_str().unwrap_or_default();
    let insert = "INSERT INTO device_sessions.sessions (id, user_id, expires_at, device_name, device_type) \
                  VALUES ($1, $2, now() + interval '1 day', 'Naive', 'other')";
    naive.pool.get().await.map_err(away)?.execute(insert, &[&id, &user]).await.map_err(away)?;
    Ok((StatusCode::OK, Json(json!({ "access_token": id, "session": { "id": id } }))))
}

async fn me(State(naive): State<Naive>, headers: HeaderMap) -> Answer {
    let token = headers["authorization"].to_str().unwrap().trim_start_matches("Bearer ").parse().unwrap();
    if naive.valid.lock().unwrap().contains(&token) {
        return Ok((StatusCode::OK, Json(json!({}))));
    }
    let select = "SELECT ended_at IS NULL FROM device_sessions.sessions WHERE id = $1";
    let live = naive.pool.get().await.map_err(away)?.query_opt(select, &[&token]).await.map_err(away)?;
    if live.is_some_and(|row| row.get(0)) {
        naive.valid.lock().unwrap().insert(token);
        return Ok((StatusCode::OK, Json(json!({}))));
    }
    Ok((StatusCode::UNAUTHORIZED, Json(json!({ "code": "session_ended" }))))
}

async fn end(State(naive): State<Naive>, Path(id): Path<Uuid>) -> Result<StatusCode, StatusCode> {
    let update = "UPDATE device_sessions.sessions SET ended_at = now() WHERE id = $1";
    naive.pool.get().await.map_err(away)?.execute(update, &[&id]).await.map_err(away)?;
    naive.valid.lock().unwrap().remove(&id);
    Ok(StatusCode::NO_CONTENT)
}

async fn empty_when_told(config: tokio_postgres::Config, valid: Arc<Mutex<HashSet<Uuid>>>) {
    loop {
        if let Ok((client, mut connection)) = config.connect(NoTls).await {
            let listening = tokio::spawn(async move {
                client.batch_execute("LISTEN device_sessions_changes").await?;
                // Kept for as long as the connection lasts.
                std::future::pending::<Result<(), tokio_postgres::Error>>().await
            });
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notification(told) = message {
                    valid.lock().unwrap().retain(|id| id.to_string() != told.payload());
                }
            }
            listening.abort();
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
}
