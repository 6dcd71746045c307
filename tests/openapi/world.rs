//! A service with everything mounted, on a real socket; and one that has forgotten the layer.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Json, Router,
    extract::{FromRequestParts, State},
    http::{Method, StatusCode, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use axum_device_sessions::{
    AccessTokens, Client, Coherence, CurrentSession, Error, FreshSession, Issue, Issuer, Message, OnLimit,
    PendingSession, PostgresStore, SessionId, SessionValidationLayer, Sessions, SignIn, SignInPolicy, SignedIn, UserId,
    Wants,
    routes::{self, Administrator},
};
use serde_json::Value;
use tokio::net::TcpListener;

use super::{
    checker::Checker,
    http::{Answer, SECRET, Sent},
    idp::{API, Idp},
    notices::Told,
    support::{TestDb, eventually},
};

pub(crate) struct World {
    pub(crate) checker: Checker,
    pub(crate) sessions: Sessions,
    pub(crate) idp: Idp,
    pub(crate) db: TestDb,
    pub(crate) sql: tokio_postgres::Client,
    mails: Told,
    client: reqwest::Client,
    /// Where the service is, and where the one without the layer is.
    at: [SocketAddr; 2],
}

/// One request, by the path in the document.
#[derive(Default)]
pub(crate) struct Ask<'a> {
    pub(crate) path: &'a str,
    /// What stands in it for `{id}` or `{link}`.
    pub(crate) named: &'a str,
    pub(crate) query: &'a str,
    pub(crate) sent: Vec<Sent>,
    pub(crate) body: Option<(&'a str, String)>,
    pub(crate) without_layer: bool,
}

impl World {
    pub(crate) async fn new() -> Self {
        let (db, idp) = (TestDb::own_cluster(&[]).await, Idp::start().await);
        let (mails, push) = (Told::of(Wants::mail()), Told::of(Wants::push("fcm")));
        let store = PostgresStore::connect(db.url()).await.unwrap();
        store.migrate().await.unwrap();
        let issuer = Issuer::new(idp.url.as_str()).audience(API).adopt_sessions(Duration::from_secs(3_600));
        let issuer = issuer.user(|claims| Some(UserId::from(claims.subject())));
        let sessions = Sessions::builder(store)
            .access_tokens(AccessTokens::hs256(SECRET).unwrap())
            .accept_tokens_of(issuer)
            .max_sessions_per_user(3, OnLimit::Refuse)
            .require_fresh(Duration::from_secs(600))
            .notify("mails", mails.clone())
            .notify("push", push)
            .alert_links("https://shop.example/alerts")
            .on_issue(async |issuing| {
                let disabled = issuing.user_id().as_str() == "disabled";
                Ok(if disabled { Issue::refuse() } else { Issue::allow() })
            })
            .build()
            .await
            .unwrap();
        eventually("told of changes", async || sessions.health().coherence == Coherence::Lease).await;
        let at = [serve(app(&sessions)).await, serve(mounted()).await];
        let (client, sql) = (reqwest::Client::new(), db.connect().await);
        Self { checker: Checker::new(), sessions, idp, db, sql, mails, client, at }
    }

    pub(crate) async fn sign_in(&self, user: &str) -> SignedIn {
        self.sessions.sign_in(SignIn::new(user)).await.unwrap()
    }

    /// The secret of a link in a mail to this user.
    pub(crate) async fn link(&self, user: &str) -> String {
        for device in ["a first device, at least sixteen", "another device, also sixteen and more"] {
            let client = Client::new(None, None).device_id(device);
            self.sessions.sign_in(SignIn::new(user).client(client)).await.unwrap();
        }
        let to_user = || {
            let of_user = self.mails.notices().into_iter().find(|notice| notice.event.user_id == UserId::from(user))?;
            let Message::NewLoginMail { disown_url: Some(url) } = of_user.message else { return None };
            Some(url.rsplit('/').next()?.to_owned())
        };
        eventually("a mail", async || to_user().is_some()).await;
        to_user().unwrap()
    }

    /// One that was complete an hour ago.
    pub(crate) async fn stale(&self, user: &str) -> SignedIn {
        let signed_in = self.sign_in(user).await;
        let back = "UPDATE device_sessions.sessions SET authenticated_at = now() - interval '1 hour' WHERE id = $1";
        self.sql.execute(back, &[&signed_in.session.id.as_uuid()]).await.unwrap();
        signed_in
    }

    /// The answer, which is as the document has it.
    pub(crate) async fn ask(&self, method: Method, ask: Ask<'_>) -> Answer {
        let path = ask.path;
        let response = self.open(&method, ask).await;
        let answer = whole(response).await;
        self.checker.check(method.as_str(), path, &answer).unwrap_or_else(|why| panic!("{why}"));
        answer
    }

    pub(crate) async fn open(&self, method: &Method, ask: Ask<'_>) -> reqwest::Response {
        let path = ask.path.replace("{id}", ask.named).replace("{link}", ask.named);
        let url = format!("http://{}{path}{}", self.at[usize::from(ask.without_layer)], ask.query);
        let request = ask
            .sent
            .iter()
            .fold(self.client.request(method.clone(), url), |request, (name, value)| request.header(*name, value));
        let request = match ask.body {
            Some((kind, body)) => request.header("content-type", kind).body(body),
            None => request,
        };
        request.send().await.unwrap()
    }
}

pub(crate) async fn whole(response: reqwest::Response) -> Answer {
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, body: response.bytes().await.unwrap().to_vec() }
}

async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

fn mounted<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .nest("/sessions", routes::sessions())
        .nest("/auth", routes::auth())
        .nest("/alerts", routes::alerts())
        .merge(routes::jwks())
        .nest("/auth/backchannel-logout", routes::backchannel_logout())
        .nest("/admin/sessions", routes::admin_routes::<Staff, _>())
}

fn app(sessions: &Sessions) -> Router {
    mounted()
        .route("/login", post(login))
        .route("/second-factor", post(second_factor))
        .route("/fresh", get(async |_: FreshSession| {}))
        .route("/link", get(async |State(sessions): State<Sessions>| sessions.alert("none").await.map(drop)))
        .layer(SessionValidationLayer::new(sessions.clone()))
        .with_state(sessions.clone())
}

/// The application's own, with each answer that a sign-in can have.
async fn login(State(sessions): State<Sessions>, client: Client, Json(wanted): Json<Value>) -> Result<SignedIn, Error> {
    let mut sign_in = SignIn::new(wanted["user"].as_str().unwrap_or_default()).client(client);
    if wanted["cookie"] == true {
        sign_in = sign_in.cookie();
    }
    if wanted["second_factor"] == true {
        sign_in = sign_in.second_factor_to_come();
    }
    if wanted["refused"] == true {
        sign_in = sign_in.policy(|_| SignInPolicy::Refuse);
    }
    sessions.sign_in(sign_in).await
}

async fn second_factor(State(sessions): State<Sessions>, pending: PendingSession) -> Result<SignedIn, Error> {
    sessions.confirm(&pending).await
}

/// A guard: whoever is signed in and says so.
pub(crate) struct Staff;

impl<S: Send + Sync> FromRequestParts<S> for Staff {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        if parts.headers.contains_key("x-staff") {
            return Ok(Self);
        }
        let session = CurrentSession::from_request_parts(parts, state).await;
        let _somebody: SessionId = session.map_err(IntoResponse::into_response)?.id();
        Err(StatusCode::FORBIDDEN.into_response())
    }
}

impl Administrator for Staff {
    fn actor(&self) -> String {
        "staff".to_owned()
    }
}
