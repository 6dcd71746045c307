//! Serving an application until it is told to stop, and stopping in order.

use std::{future::IntoFuture, net::SocketAddr, time::Duration};

use axum::Router;
use axum_device_sessions::Sessions;
use tokio::{net::TcpListener, sync::oneshot, time::timeout};

use crate::environment::Failure;

/// Serves until `stop`, then writes down the last activity.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    sessions: Sessions,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Failure> {
    let (stopping, stopped) = oneshot::channel();
    // The connection's address goes with each request: it is shown in the list of devices.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let streams = sessions.clone();
    let serving = axum::serve(listener, app).with_graceful_shutdown(async move {
        stop.await;
        streams.close_streams();
        let _ = stopping.send(());
    });
    // Requests under way may finish, but a client that never does must not keep the process alive.
    let overdue = async move {
        let _ = stopped.await;
        tokio::time::sleep(FINISH_REQUESTS).await;
    };
    tokio::select! {
        served = serving.into_future() => served?,
        () = overdue => {}
    }
    // The database may be away just now. That is no reason not to stop.
    if !timeout(FLUSH, sessions.shutdown()).await.is_ok_and(|flushed| flushed.is_ok()) {
        eprintln!("the last activity could not be written");
    }
    Ok(())
}

/// Together 1.5 s: whoever sends SIGTERM sends SIGKILL soon after.
const FINISH_REQUESTS: Duration = Duration::from_millis(500);
const FLUSH: Duration = Duration::from_secs(1);
