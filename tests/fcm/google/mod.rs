//! Google: issues access tokens for assertions that it verifies, and takes messages that are as documented. It remembers what
//! it was asked, and can be told to answer something else.

mod messages;
mod oauth;

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, atomic::AtomicI64},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use axum_device_sessions::Fcm;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};

use self::{messages::is_message, oauth::exchange};
use crate::{
    answers::{EXPIRED, INVALID_VALUE},
    keys::KEYS,
};

pub(crate) const PROJECT: &str = "myproject-b5ae1";
pub(crate) const EMAIL: &str = "firebase-adminsdk-fbsvc@myproject-b5ae1.iam.gserviceaccount.com";
pub(crate) const KEY_ID: &str = "1f2e3d4c5b6a79880716253443526170a9b8c7d6";
pub(crate) const MESSAGES: &str = "/v1/projects/myproject-b5ae1/messages:send";

/// What it is told to answer instead of what it would.
#[derive(Clone, Debug)]
pub(crate) struct Says {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Says {
    pub(crate) fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl IntoResponse for Says {
    fn into_response(self) -> Response {
        let mut response = (StatusCode::from_u16(self.status).unwrap(), self.body).into_response();
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        response
    }
}

/// An assertion as it came, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) assertion: String,
    pub(crate) body: String,
    pub(crate) headers: BTreeMap<String, String>,
}

/// A message as it came.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) uri: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
}

pub(crate) struct Google {
    pub(crate) url: String,
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    url: String,
    known: Mutex<Known>,
    /// Requests for access tokens, refused ones included.
    pub(crate) exchanges: watch::Sender<usize>,
    /// Whoever asks for an access token waits until this is false.
    pub(crate) holds: watch::Sender<bool>,
    /// How far its clock is ahead, in seconds.
    pub(crate) ahead: AtomicI64,
}

#[derive(Default)]
struct Known {
    asked: Vec<Asked>,
    sent: Vec<Sent>,
    good: HashSet<String>,
    expires_in: Option<Value>,
    next_token: VecDeque<Says>,
    next_message: VecDeque<Says>,
}

impl Google {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            url: url.clone(),
            known: Mutex::new(Known { expires_in: Some(json!(3_600)), ..Known::default() }),
            exchanges: watch::Sender::new(0),
            holds: watch::Sender::new(false),
            ahead: AtomicI64::new(0),
        });
        let app = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, shared }
    }

    /// The file that the console makes, for this server.
    pub(crate) fn key_file(&self) -> Value {
        json!({
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": KEY_ID,
            "private_key": KEYS.private,
            "client_email": EMAIL,
            "client_id": "100000000000000000001",
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": format!("{}/token", self.url),
            "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
            "client_x509_cert_url": "https://www.googleapis.com/robot/v1/metadata/x509/firebase-adminsdk",
            "universe_domain": "googleapis.com",
        })
    }

    pub(crate) fn fcm(&self) -> Fcm {
        Fcm::from_service_account(&self.key_file().to_string()).unwrap().endpoint(&self.url).unwrap()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.shared.known.lock().unwrap()
    }

    pub(crate) fn exchanges(&self) -> usize {
        *self.shared.exchanges.borrow()
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.known().asked.clone()
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.known().sent.clone()
    }

    pub(crate) fn tokens_live(&self, expires_in: Option<Value>) {
        self.known().expires_in = expires_in;
    }

    /// All access tokens of before are refused from now on.
    pub(crate) fn revoke(&self) {
        self.known().good.clear();
    }

    pub(crate) fn next_token(&self, says: Says) {
        self.known().next_token.push_back(says);
    }

    pub(crate) fn next_message(&self, says: Says) {
        self.known().next_message.push_back(says);
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let told: BTreeMap<_, _> =
        headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    if method != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    if uri.path() == "/token" {
        shared.exchanges.send_modify(|count| *count += 1);
        shared.holds.subscribe().wait_for(|holds| !holds).await.unwrap();
        return exchange(&shared, told, body).await;
    }
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let mut known = shared.known.lock().unwrap();
    known.sent.push(Sent { uri: uri.to_string(), headers: told, body });
    let sent = known.sent.last().unwrap();
    let bearer = sent.headers.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
    if !bearer.is_some_and(|token| known.good.contains(token)) {
        return Says::new(401, EXPIRED).into_response();
    }
    let accepted = uri == MESSAGES && sent.headers["content-type"] == "application/json" && is_message(&sent.body);
    match known.next_message.pop_front() {
        Some(says) => says.into_response(),
        None if accepted => {
            Says::new(200, r#"{"name":"projects/myproject-b5ae1/messages/0:15000%31bd1c96"}"#).into_response()
        }
        None => Says::new(400, INVALID_VALUE).into_response(),
    }
}
