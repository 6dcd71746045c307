//! The simulated devices: apps of this service's users that come over real HTTP, with the headers of real ones, and do what a
//! client is to do (docs/clients.md).

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use axum_device_sessions::{SessionId, UserId};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Changed, environment::Failure, inbox::PROVIDER, places};

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Iphone,
    Galaxy,
    Edge,
}

impl Kind {
    /// What it says of itself, and where it is.
    fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Iphone => &[
                ("user-agent", "Shop/4.2 CFNetwork/3826.500.131 Darwin/24.5.0"),
                ("device-platform", "iOS 18.5"),
                ("device-model", "iPhone16,2"),
                ("app-name", "Shop"),
                ("x-forwarded-for", places::MOSCOW),
            ],
            Self::Galaxy => &[
                ("user-agent", "okhttp/5.1.0"),
                ("device-platform", "Android 15"),
                ("device-model", "SM-S921B"),
                ("app-name", "Shop"),
                ("x-forwarded-for", places::ISTANBUL),
            ],
            Self::Edge => &[
                (
                    "user-agent",
                    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
                ),
                ("sec-ch-ua", r#""Chromium";v="142", "Microsoft Edge";v="142", "Not_A Brand";v="99""#),
                ("sec-ch-ua-mobile", "?0"),
                ("sec-ch-ua-platform", r#""Windows""#),
                ("sec-ch-ua-platform-version", r#""15.0.0""#),
                ("x-forwarded-for", places::SAO_PAULO),
            ],
        }
    }
}

/// One of them, and what it holds.
#[derive(Clone)]
pub(crate) struct Simulated {
    pub(crate) number: u32,
    pub(crate) user: UserId,
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) place: String,
    pub(crate) state: State,
    /// Random, made when the app is installed: its `Device-Id`, and where it is pushed to.
    installation: String,
    /// What a browser keeps in its place.
    cookies: String,
    session: Option<SessionId>,
    access: String,
    refresh: String,
}

#[derive(Clone)]
pub(crate) enum State {
    Online { says: String },
    SignedOut { reason: String, by: &'static str },
}

pub(crate) struct Devices {
    here: String,
    http: reqwest::Client,
    list: Mutex<Vec<Simulated>>,
    next: AtomicU32,
    changed: Changed,
}

impl Devices {
    pub(crate) fn new(here: String, changed: Changed) -> Result<Self, Failure> {
        // A proxy of the environment is none of this program's business.
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { here, http, list: Mutex::default(), next: AtomicU32::new(1), changed })
    }

    pub(crate) fn of(&self, user: &UserId) -> Vec<Simulated> {
        self.list().iter().filter(|device| device.user == *user).cloned().collect()
    }

    /// A device nobody has seen before.
    pub(crate) async fn add(&self, user: &UserId, kind: Kind) -> Result<(), Failure> {
        let random = [getrandom::u64(), getrandom::u64()];
        let [Ok(one), Ok(two)] = random else { return Err(Failure::new("no random number")) };
        let device = Simulated {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            user: user.clone(),
            kind,
            name: String::new(),
            place: String::new(),
            state: State::Online { says: "Has just signed in.".to_owned() },
            installation: format!("{one:016x}{two:016x}"),
            cookies: String::new(),
            session: None,
            access: String::new(),
            refresh: String::new(),
        };
        self.sign_in(device).await
    }

    /// The same device once more: it is known by its id, so nobody is alarmed.
    pub(crate) async fn sign_in_again(&self, user: &UserId, number: u32) -> Result<(), Failure> {
        match self.find(user, number) {
            Some(device) => self.sign_in(device).await,
            None => Ok(()),
        }
    }

    pub(crate) fn remove(&self, user: &UserId, number: u32) {
        self.list().retain(|device| device.number != number || device.user != *user);
        self.changed.ring();
    }

    async fn sign_in(&self, mut device: Simulated) -> Result<(), Failure> {
        let credentials = json!({ "username": device.user, "password": "demo" });
        let request = self.request(&device, Method::POST, "/api/auth/login").json(&credentials);
        let answer = request.send().await?.error_for_status()?;
        let cookies = answer.headers().get_all("set-cookie").iter().filter_map(|cookie| cookie.to_str().ok());
        let kept: Vec<_> = cookies.filter_map(|cookie| cookie.split(';').next()).map(str::to_owned).collect();
        if !kept.is_empty() {
            device.cookies = kept.join("; ");
        }
        let body: Value = answer.json().await?;
        let text = |at: &str| body.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        device.session = text("/session/id").parse().ok();
        device.name = text("/session/deviceName");
        device.place = text("/session/location");
        (device.access, device.refresh) = (text("/access_token"), text("/refresh_token"));
        device.state = State::Online { says: "Has just signed in.".to_owned() };
        let target = json!({ "provider": PROVIDER, "token": device.installation });
        let registers = self.request(&device, Method::PUT, "/sessions/current/push-target").json(&target);
        // Stored before it is used.
        let registers = registers.bearer_auth(&device.access);
        self.put(device);
        registers.send().await?.error_for_status()?;
        Ok(())
    }

    /// A request of the app, with what each answer means to it.
    pub(crate) async fn open_app(&self, user: &UserId, number: u32) -> Result<(), Failure> {
        for after in ["", ", after a refresh"] {
            let Some(device) = self.find(user, number) else { return Ok(()) };
            let answer = self.request(&device, Method::GET, "/api/me").bearer_auth(&device.access).send().await?;
            let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap_or_default());
            match (status, body["code"].as_str()) {
                (StatusCode::OK, _) => {
                    let says = format!("GET /api/me: 200{after}.");
                    self.change(number, |device| device.state = State::Online { says });
                }
                (StatusCode::UNAUTHORIZED, Some("token_expired")) => {
                    self.refresh(&device).await?;
                    continue;
                }
                (StatusCode::UNAUTHORIZED, _) => {
                    let reason = body["reason"].as_str().unwrap_or("invalid_token").to_owned();
                    self.change(number, |device| device.forget(reason.clone(), "by its next request, 401"));
                }
                // Nothing is known, so nothing is given up.
                _ => self.change(number, |device| {
                    device.state =
                        State::Online { says: format!("GET /api/me: {}. It keeps its tokens.", status.as_u16()) };
                }),
            }
            break;
        }
        Ok(())
    }

    async fn refresh(&self, device: &Simulated) -> Result<(), Failure> {
        let body = json!({ "refresh_token": device.refresh });
        let answer = self.request(device, Method::POST, "/api/auth/refresh").json(&body).send().await?;
        let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap_or_default());
        let text = |at: &str| body[at].as_str().unwrap_or_default().to_owned();
        self.change(device.number, |known| match status {
            // Not over tokens of a later sign-in.
            StatusCode::OK if known.refresh == device.refresh => {
                (known.access, known.refresh) = (text("access_token"), text("refresh_token"));
            }
            StatusCode::UNAUTHORIZED => known.forget(text("reason"), "by its refresh, 401"),
            _ => {}
        });
        Ok(())
    }

    /// A push has arrived. It may be late, when somebody has signed in again: so the id is compared.
    pub(crate) fn force_logout(&self, installation: &str, session: SessionId, reason: &str) {
        let told = |device: &&mut Simulated| device.installation == installation && device.session == Some(session);
        if let Some(device) = self.list().iter_mut().find(told) {
            device.forget(reason.to_owned(), "by push");
        }
        self.changed.ring();
    }

    pub(crate) fn name(&self, installation: &str) -> Option<String> {
        self.list().iter().find(|device| device.installation == installation).map(|device| device.name.clone())
    }

    fn request(&self, device: &Simulated, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.here));
        let request =
            device.kind.headers().iter().fold(request, |request, (name, value)| request.header(*name, *value));
        match device.kind {
            Kind::Iphone | Kind::Galaxy => request.header("device-id", &device.installation),
            // A browser has a cookie for that.
            Kind::Edge => request.header("cookie", &device.cookies),
        }
    }

    fn put(&self, device: Simulated) {
        let mut list = self.list();
        match list.iter_mut().find(|known| known.number == device.number) {
            Some(known) => *known = device,
            None => list.push(device),
        }
        drop(list);
        self.changed.ring();
    }

    fn find(&self, user: &UserId, number: u32) -> Option<Simulated> {
        self.list().iter().find(|device| device.number == number && device.user == *user).cloned()
    }

    fn change(&self, number: u32, change: impl FnOnce(&mut Simulated)) {
        if let Some(device) = self.list().iter_mut().find(|device| device.number == number) {
            change(device);
        }
        self.changed.ring();
    }

    fn list(&self) -> MutexGuard<'_, Vec<Simulated>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Simulated {
    fn forget(&mut self, reason: String, by: &'static str) {
        self.session = None;
        self.access.clear();
        self.refresh.clear();
        self.state = State::SignedOut { reason, by };
    }
}
