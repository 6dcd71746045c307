//! A WebSocket that is closed when its session ends, on whatever node that happens.
//!
//! ```sh
//! cargo run --example websocket    # every password is "demo"
//! ```
//!
//! | route | who is let in |
//! |---|---|
//! | `GET /ws` | a page of this site, by the session cookie; programs, by `Authorization: Bearer` |
//! | `GET /ws/token` | scripts that hold a token: `new WebSocket(url, ["bearer", token])` |
//! | `POST /sign-in` `{"username", "password", "cookie": bool}` | everybody |
//! | `/sessions/..`, `/auth/..` | the mounted routes, `GET /sessions/events` among them |
//!
//! There is none that takes the token from the query string: browsers, proxies and servers write URLs into their logs and
//! histories, and whoever reads them would be signed in.
//!
//! `DATABASE_URL`, `BIND` and `SIGNING_SECRET` are those of `examples/browser.rs`.

#![expect(clippy::print_stdout, reason = "it talks to people in a terminal")]

use std::{env, error::Error as StdError, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{
        FromRef, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket},
    },
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use axum_device_sessions::{
    AccessTokens, Client, CurrentSession, MemoryStore, PostgresStore, SessionValidationLayer, Sessions, SignIn,
    SignedIn, routes,
};
use serde::Deserialize;
use tokio::{sync::watch, time::timeout};

/// Of the range for applications (RFC 6455 §7.4.2): the session is over, so do not connect again before signing in.
const SESSION_ENDED: u16 = 4001;
/// Service restart (IANA's registry of close codes): connect again, after a random moment.
const SERVICE_RESTART: u16 = 1012;
/// Keeps proxies from closing what looks idle, and finds out about clients that went away without a word.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a client may take to answer the closing frame.
const GOODBYE: Duration = Duration::from_millis(500);

#[derive(Clone, FromRef)]
struct App {
    sessions: Sessions,
    /// Each socket holds a receiver: axum's graceful shutdown does not wait for upgraded connections.
    sockets: Arc<watch::Sender<()>>,
}

fn app(app: App) -> Router {
    let layer = SessionValidationLayer::new(app.sessions.clone());
    // Where a source of its own is named, the usual ones do not count: hence two routes.
    let by_subprotocol = layer.clone().credential(subprotocol_token);
    Router::new()
        .route("/ws", get(socket))
        .nest("/sessions", routes::sessions())
        .nest("/auth", routes::auth())
        .layer(layer)
        .merge(Router::new().route("/ws/token", get(socket)).layer(by_subprotocol))
        .route("/sign-in", post(sign_in))
        .with_state(app)
}

/// A browser lets a script set no header of a WebSocket but this one: `Sec-WebSocket-Protocol: bearer, <token>`. A JWT has
/// only characters that may stand there.
fn subprotocol_token(request: &Parts) -> Option<String> {
    let offered = request.headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let (scheme, token) = offered.split_once(',')?;
    (scheme.trim() == "bearer").then(|| token.trim().to_owned())
}

/// Not called without a live session, nor by cookie from another site's page: the layer looks at `Origin`.
async fn socket(State(app): State<App>, session: CurrentSession, upgrade: WebSocketUpgrade) -> Response {
    let open = app.sockets.subscribe();
    // Selected where it was offered: browsers close a connection whose server selects none of theirs. Never the token.
    upgrade.protocols(["bearer"]).on_upgrade(move |socket| async move {
        serve_until_over(socket, session, &app.sessions).await;
        drop(open);
    })
}

async fn serve_until_over(mut socket: WebSocket, session: CurrentSession, sessions: &Sessions) {
    let (ended, closing) = (session.ended(), sessions.closing());
    let over = async {
        tokio::select! {
            biased;
            reason = ended => (SESSION_ENDED, reason.to_string()),
            () = closing => (SERVICE_RESTART, "restarting".to_owned()),
        }
    };
    // Around all of it, sending included: a client that reads nothing must not put its end off.
    let (code, reason) = tokio::select! {
        biased;
        over = over => over,
        () = echo(&mut socket) => return,
    };
    // A closing frame has room for 123 bytes, and what somebody wrote into the database may be longer.
    let reason: String = reason.chars().take(30).collect();
    let goodbye = async {
        let frame = CloseFrame { code, reason: reason.into() };
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            // Until the client's own closing frame: closed before that, what we said might never arrive.
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    let _too_slow = timeout(GOODBYE, goodbye).await;
}

/// The application's own part. Returns when the client has gone.
async fn echo(socket: &mut WebSocket) {
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    loop {
        let answer = tokio::select! {
            _ = heartbeat.tick() => Message::Ping(Default::default()),
            received = socket.recv() => match received {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => message,
                // Pings have been answered, and a closing frame too.
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return,
            },
        };
        if socket.send(answer).await.is_err() {
            return;
        }
    }
}

#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: String,
    #[serde(default)]
    cookie: bool,
}

/// Checking the password is the application's own affair.
async fn sign_in(
    State(sessions): State<Sessions>,
    client: Client,
    Json(Credentials { username, password, cookie }): Json<Credentials>,
) -> Result<SignedIn, Response> {
    if password != "demo" {
        return Err(StatusCode::UNAUTHORIZED.into_response());
    }
    let sign_in = SignIn::new(username).client(client);
    let sign_in = if cookie { sign_in.cookie() } else { sign_in };
    sessions.sign_in(sign_in).await.map_err(IntoResponse::into_response)
}

async fn sessions() -> Result<Sessions, Box<dyn StdError>> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    let secret = env::var("SIGNING_SECRET").map_or_else(|_| secret.to_vec(), String::into_bytes);
    let builder = match env::var("DATABASE_URL") {
        Ok(url) => {
            let store = PostgresStore::connect(&url).await?;
            store.migrate().await?;
            Sessions::builder(store)
        }
        Err(_) => Sessions::builder(MemoryStore::new()),
    };
    Ok(builder.access_tokens(AccessTokens::hs256(secret)?).build().await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let sessions = sessions().await?;
    let sockets = Arc::new(watch::Sender::new(()));
    let bind = env::var("BIND").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = tokio::net::TcpListener::bind(&bind).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let app = app(App { sessions: sessions.clone(), sockets: Arc::clone(&sockets) });
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let streams = sessions.clone();
    let stop = async move {
        _ = tokio::signal::ctrl_c().await;
        // Sockets and streams end now; or else streams would be waited for without end.
        streams.close_streams();
    };
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    // Bounded, as each takes at most GOODBYE.
    sockets.closed().await;
    Ok(sessions.shutdown().await?)
}
