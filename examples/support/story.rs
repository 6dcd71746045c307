//! The story of a lost phone, told over real HTTP. Every step is checked; the first wrong answer ends it.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use axum_device_sessions::SessionId;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio_postgres::{NoTls, types::Type};

use crate::{
    environment::{Database, Failure},
    receiver::Receiver,
};

const LAPTOP: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
    Version/26.0 Mobile/15E148 Safari/604.1";
const TABLET: &str = "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
    Version/17.5 Mobile/15E148 Safari/604.1";
const THIEF: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 OPR/125.0.0.0";
const WORK: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";

pub(crate) async fn tell(
    server: SocketAddr,
    database: &Database,
    (provider, mut receiver): (String, Receiver),
) -> Result<(), Failure> {
    let user = protagonist(database)?;

    println!("\n1. The user {user} signs in, on a laptop and on a phone.");
    let laptop = Device::sign_in(server, &user, LAPTOP).await?;
    laptop.is_reached_by(&provider, "the laptop").await?;
    let phone = Device::sign_in(server, &user, PHONE).await?;
    phone.is_reached_by(&provider, "the phone").await?;
    for device in [&laptop, &phone] {
        let me = device.ask(Method::GET, "/me").await?.with(StatusCode::OK)?;
        expect("/me", &me, &json!({ "user": user, "sessionId": device.id, "deviceName": device.name }))?;
        println!("   Signed in: {}.", device.name);
    }

    println!("\n   The phone is a new device, so its owner is told: on the laptop and by mail.");
    receiver.expect("a push to the laptop", |told| of(told, "new_login", &phone)).await?;
    receiver.expect("a mail", |told| told["mail"] == user && told["sessionId"] == phone.id).await?;

    println!("\n2. Both are in the list of devices, as each of them sees it:");
    for device in [&laptop, &phone] {
        device.sees(&[&laptop, &phone]).await?;
    }

    println!("\n3. The phone is lost. The laptop signs it out.");
    laptop.ask(Method::DELETE, &format!("/sessions/{}", phone.id)).await?.with(StatusCode::NO_CONTENT)?;
    println!("   DELETE /sessions/{{the phone's id}}: 204.");
    println!("   The phone is told at once, wherever it is:");
    receiver.expect("a push to the phone", |told| of(told, "force_logout", &phone)).await?;

    println!("\n4. Whoever found the phone tries it.");
    phone.is_refused("revoked_by_user").await?;

    println!("\n5. Somebody else knows the password.");
    let thief = Device::sign_in(server, &user, THIEF).await?;
    let mail = receiver.expect("a mail", |told| told["mail"] == user && told["sessionId"] == thief.id).await?;
    let link = text(&mail, "/notMe")?;
    for method in [Method::GET, Method::GET, Method::POST] {
        thief.follow(method, &link).await?;
    }
    thief.is_refused("revoked_by_alert").await?;

    println!("\n6. Two more devices sign in, and the laptop signs out all others.");
    let tablet = Device::sign_in(server, &user, TABLET).await?;
    let work = Device::sign_in(server, &user, WORK).await?;
    laptop.sees(&[&laptop, &tablet, &work]).await?;
    let answer = laptop.ask(Method::DELETE, "/sessions/others").await?.with(StatusCode::OK)?;
    expect("the answer", &answer, &json!({ "revoked": 2 }))?;
    println!("\n   DELETE /sessions/others: {answer}");
    for device in [&tablet, &work] {
        device.is_refused("revoked_by_user").await?;
    }
    laptop.sees(&[&laptop]).await?;

    println!("\n7. The laptop stays in use. Its activity is written down now and then, not by each request.");
    activity_is_written(&laptop, database).await?;

    println!("\n8. The laptop logs out.");
    laptop.ask(Method::POST, "/auth/logout").await?.with(StatusCode::NO_CONTENT)?;
    println!("   POST /auth/logout: 204.");
    laptop.is_refused("logout").await?;

    println!("\nEvery answer was as it should be.");
    Ok(())
}

/// A push of this kind about this device.
fn of(told: &Value, action: &str, device: &Device) -> bool {
    told["action"] == action && told["sessionId"] == device.id
}

/// Somebody who has no other devices: in a database that others use too, a user of this run alone.
fn protagonist(database: &Database) -> Result<String, Failure> {
    match database {
        Database::Given { .. } => {
            let number = getrandom::u32().map_err(|cause| Failure::because("no random number", cause))?;
            Ok(format!("user-{number}"))
        }
        Database::Private(_) | Database::Memory { .. } => Ok("ahmed".to_owned()),
    }
}

/// A client with the User-Agent of a real one.
struct Device {
    http: reqwest::Client,
    server: SocketAddr,
    name: String,
    id: String,
    token: String,
}

impl Device {
    async fn sign_in(server: SocketAddr, user: &str, user_agent: &str) -> Result<Self, Failure> {
        // A proxy of the environment is none of this story's business.
        let http =
            reqwest::Client::builder().user_agent(user_agent).no_proxy().timeout(Duration::from_secs(5)).build()?;
        let login = http.post(format!("http://{server}/auth/login"));
        let login = login.json(&json!({ "username": user, "password": "demo" }));
        let body = Answer::of("POST /auth/login", login).await?.with(StatusCode::OK)?;
        Ok(Self {
            name: text(&body, "/session/deviceName")?,
            id: text(&body, "/session/id")?,
            token: text(&body, "/access_token")?,
            http,
            server,
        })
    }

    /// As an app does when it is started.
    async fn is_reached_by(&self, provider: &str, token: &str) -> Result<(), Failure> {
        let target = json!({ "provider": provider, "token": token.replace(' ', "-") });
        let asked = format!("PUT /sessions/current/push-target from {}", self.name);
        let request = self.http.put(format!("http://{}/sessions/current/push-target", self.server));
        let request = request.bearer_auth(&self.token).json(&target);
        Answer::of(&asked, request).await?.with(StatusCode::NO_CONTENT).map(drop)
    }

    /// The link in a mail, without being signed in.
    async fn follow(&self, method: Method, link: &str) -> Result<(), Failure> {
        let answer = self.http.request(method.clone(), link).send().await?;
        println!("   {method} of the link in the mail: {}.", answer.status().as_u16());
        match method {
            // Programs that look for viruses in mails follow links too.
            Method::GET => self.ask(Method::GET, "/me").await?.with(StatusCode::OK).map(drop),
            _ => Ok(()),
        }
    }

    async fn ask(&self, method: Method, path: &str) -> Result<Answer, Failure> {
        let asked = format!("{method} {path} from {}", self.name);
        let request = self.http.request(method, format!("http://{}{path}", self.server)).bearer_auth(&self.token);
        Answer::of(&asked, request).await
    }

    /// The list is of these devices, itself marked; and prints it.
    async fn sees(&self, devices: &[&Self]) -> Result<(), Failure> {
        let list = self.ask(Method::GET, "/sessions").await?.with(StatusCode::OK)?;
        let rows = list.as_array().ok_or_else(|| Failure::new(format!("the list of devices is {list}")))?;
        print_table(rows)?;
        let mut found: Vec<_> = rows.iter().map(|row| (text(row, "/id").ok(), row["isCurrent"] == true)).collect();
        let mut wanted: Vec<_> = devices.iter().map(|device| (Some(device.id.clone()), device.id == self.id)).collect();
        found.sort();
        wanted.sort();
        if found != wanted {
            return Err(Failure::new(format!("the list seen from {} should be {wanted:?}, not {list}", self.name)));
        }
        Ok(())
    }

    async fn is_refused(&self, reason: &str) -> Result<(), Failure> {
        let answer = self.ask(Method::GET, "/me").await?.with(StatusCode::UNAUTHORIZED)?;
        expect("the code", &answer["code"], &json!("session_ended"))?;
        expect("the reason", &answer["reason"], &json!(reason))?;
        println!("   {}: GET /me is refused with 401, session_ended, {reason}.", self.name);
        Ok(())
    }
}

struct Answer {
    asked: String,
    status: StatusCode,
    body: String,
}

impl Answer {
    async fn of(asked: &str, request: reqwest::RequestBuilder) -> Result<Self, Failure> {
        let response = request.send().await?;
        Ok(Self { asked: asked.to_owned(), status: response.status(), body: response.text().await? })
    }

    /// The body, if the status is this one.
    fn with(self, status: StatusCode) -> Result<Value, Failure> {
        let Self { asked, status: got, body } = self;
        if got != status {
            // A body with a success may hold a token.
            let body = if got.is_success() { String::new() } else { format!(": {body}") };
            return Err(Failure::new(format!("{asked} should be answered with {status}, not {got}{body}")));
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&body).map_err(|cause| Failure::because(format!("{asked}: the answer is no JSON"), cause))
    }
}

/// Asks the database itself where there is one: the list shows this node's unwritten activity too.
async fn activity_is_written(device: &Device, database: &Database) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_secs(30);
    let connected = match database.url() {
        Some(url) => tokio_postgres::connect(&url, NoTls).await.ok(),
        None => None,
    };
    // No database, or one that wants TLS.
    let Some((database, connection)) = connected else {
        device.ask(Method::GET, "/me").await?.with(StatusCode::OK)?;
        while device.ask(Method::GET, "/health").await?.with(StatusCode::OK)?["queuedActivity"] != 0 {
            wait_until(deadline).await?;
        }
        println!("   It has been written: /health has no queued activity any more.");
        return Ok(());
    };
    tokio::spawn(connection);
    let id: SessionId = device.id.parse().map_err(|_| Failure::new("the session's id is no UUID"))?;
    let last_activity = async || -> Result<OffsetDateTime, Failure> {
        let sql = "SELECT last_activity_at FROM device_sessions.sessions WHERE id = $1";
        let row = database.query_typed(sql, &[(&id.as_uuid(), Type::UUID)]).await?;
        let row = row.first().ok_or_else(|| Failure::new("the laptop has no row in the database"))?;
        Ok(row.try_get(0)?)
    };
    let before = last_activity().await?;
    println!("   In the database it was last active at {}.", time_of_day(before));
    device.ask(Method::GET, "/me").await?.with(StatusCode::OK)?;
    let after = loop {
        match last_activity().await? {
            now if now > before => break now,
            _ => wait_until(deadline).await?,
        }
    };
    println!("   After one more request and a flush:   {}.", time_of_day(after));
    Ok(())
}

async fn wait_until(deadline: Instant) -> Result<(), Failure> {
    if Instant::now() > deadline {
        return Err(Failure::new("the laptop's activity was not written within 30 s"));
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(())
}

fn print_table(rows: &[Value]) -> Result<(), Failure> {
    let line = |name: &str, place: &str, active: &str, mark: &str| {
        println!("   {}", format!("{name:<20}  {place:<16}  {active:<12}  {mark}").trim_end());
    };
    println!();
    line("DEVICE", "PLACE", "LAST ACTIVE", "");
    for row in rows {
        let place = text(row, "/location").or_else(|_| text(row, "/ipAddress")).unwrap_or_else(|_| "-".to_owned());
        let at = text(row, "/lastActivityAt")?;
        let at = OffsetDateTime::parse(&at, &Rfc3339).map_err(|cause| Failure::because("lastActivityAt", cause))?;
        let mark = if row["isCurrent"] == true { "this device" } else { "" };
        line(&text(row, "/deviceName")?, &place, &ago(OffsetDateTime::now_utc() - at), mark);
    }
    Ok(())
}

/// Nothing in the story takes a minute.
fn ago(span: time::Duration) -> String {
    match span.whole_seconds() {
        ..2 => "just now".to_owned(),
        seconds => format!("{seconds} s ago"),
    }
}

fn time_of_day(at: OffsetDateTime) -> String {
    let (hour, minute, second, milli) = at.time().as_hms_milli();
    format!("{hour:02}:{minute:02}:{second:02}.{milli:03} UTC")
}

fn text(value: &Value, pointer: &str) -> Result<String, Failure> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    // Not the value itself: there may be a token in it.
    found.map(str::to_owned).ok_or_else(|| Failure::new(format!("the answer should have a text at {pointer}")))
}

fn expect(what: &str, got: &Value, wanted: &Value) -> Result<(), Failure> {
    if got == wanted { Ok(()) } else { Err(Failure::new(format!("{what} should be {wanted}, not {got}"))) }
}
