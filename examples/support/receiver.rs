//! What a push service and a mail server are elsewhere: a receiver on this machine that prints what arrives over HTTP; and
//! the notifier that sends to it, as an application would write one for a provider of its own.

use std::time::Duration;

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use axum_device_sessions::{Message, NotDelivered, Notice, Notifier, Wants};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};

use crate::environment::Failure;

/// Sends to `NOTICE_URL`, or to a [`Receiver`].
pub(crate) struct Outside {
    pub(crate) url: String,
    /// What devices say that they are reached by.
    pub(crate) provider: String,
    http: reqwest::Client,
}

impl Outside {
    pub(crate) fn new(url: String, provider: String) -> Result<Self, Failure> {
        Ok(Self { url, provider, http: reqwest::Client::builder().no_proxy().build()? })
    }
}

impl Notifier for Outside {
    fn wants(&self) -> Wants {
        Wants::push(&self.provider).and(Wants::mail())
    }

    async fn deliver(&self, notice: &Notice) -> Result<(), NotDelivered> {
        let event = &notice.event;
        let address = || event.ip_address.map(|ip| ip.to_string());
        let place = event.location.clone().or_else(address).unwrap_or_else(|| "an unknown place".to_owned());
        let device = &event.device_name;
        let message = match &notice.message {
            Message::ForceLogout { target } => json!({
                "id": notice.id, "push": target.token, "action": "force_logout",
                "sessionId": event.session_id, "reason": event.reason,
            }),
            Message::NewLogin { target } => json!({
                "id": notice.id, "push": target.token, "action": "new_login",
                "sessionId": event.session_id, "device": device, "place": place,
            }),
            Message::NewLoginMail { disown_url } => json!({
                "id": notice.id, "mail": event.user_id, "sessionId": event.session_id,
                "subject": format!("New sign-in: {device}, {place}"), "notMe": disown_url,
            }),
            _ => return Err(NotDelivered::refused("not asked for")),
        };
        let sent = self.http.post(&self.url).json(&message).send().await;
        // Its address is left out of what is logged.
        let answer = sent.map_err(|cause| NotDelivered::retry(cause.without_url()))?;
        match answer.status().is_success() {
            true => Ok(()),
            false => Err(NotDelivered::retry(format!("answered {}", answer.status()))),
        }
    }
}

/// Prints what arrives, and keeps it for the story.
pub(crate) struct Receiver {
    pub(crate) url: String,
    arrived: mpsc::UnboundedReceiver<Value>,
    /// Nobody has waited for them yet: push and mail arrive in any order.
    unasked: Vec<Value>,
}

impl Receiver {
    pub(crate) async fn start() -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/", listener.local_addr()?);
        let (arriving, arrived) = mpsc::unbounded_channel();
        let app = Router::new().route("/", post(receive)).with_state(arriving);
        tokio::spawn(async { axum::serve(listener, app).await });
        Ok(Self { url, arrived, unasked: Vec::new() })
    }

    /// The next that is meant, printed on the way.
    pub(crate) async fn expect(&mut self, what: &str, is_meant: impl Fn(&Value) -> bool) -> Result<Value, Failure> {
        let meant = async {
            loop {
                if let Some(at) = self.unasked.iter().position(&is_meant) {
                    return Some(self.unasked.remove(at));
                }
                self.unasked.push(self.arrived.recv().await?);
            }
        };
        let arrived = timeout(Duration::from_secs(20), meant).await.ok().flatten();
        let message = arrived.ok_or_else(|| Failure::new(format!("{what} should have arrived")))?;
        println!("   {}", told(&message));
        Ok(message)
    }

    /// Prints whatever arrives.
    pub(crate) fn print(mut self) {
        tokio::spawn(async move {
            while let Some(message) = self.arrived.recv().await {
                println!("{}", told(&message));
            }
        });
    }
}

async fn receive(State(arriving): State<mpsc::UnboundedSender<Value>>, Json(message): Json<Value>) -> StatusCode {
    // Nobody reads any more.
    let _stopping = arriving.send(message);
    StatusCode::NO_CONTENT
}

fn told(message: &Value) -> String {
    let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
    match (message["push"].as_str(), message["action"].as_str()) {
        (Some(to), Some("force_logout")) => format!("[push] to {to}: force_logout ({})", text("reason")),
        (Some(to), _) => format!("[push] to {to}: new sign-in on {}, {}", text("device"), text("place")),
        (None, _) => format!("[mail] to {}: {}. Not you? {}", text("mail"), text("subject"), text("notMe")),
    }
}
