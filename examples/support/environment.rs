//! What an example is told by its environment and arguments. Nothing is required; what is set must make sense.

#![allow(dead_code, reason = "the quickstart and the demo use a part of it each")]

use std::{
    borrow::Cow, env, error::Error as StdError, fmt, io, os::unix::ffi::OsStringExt, process::ExitCode, time::Duration,
};

use axum_device_sessions::{ClientIp, ConfigError, Error, OnLimit, SessionsBuilder};
use tokio_postgres::config::{Config, Host};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::local_postgres::LocalPostgres;

const NAME: &str = env!("CARGO_CRATE_NAME");

/// Postgres' own.
const DEFAULT_PORT: u16 = 5432;

/// Short, so that nobody has to wait for the end of the story.
const STORY_ACTIVITY_INTERVAL: Duration = Duration::from_millis(200);

type Setting = fn(SessionsBuilder, Duration) -> SessionsBuilder;

/// Spans of time, in milliseconds. Unset ones follow the crate's defaults.
const SETTINGS: [(&str, Setting); 8] = [
    ("MAX_STALENESS_MS", SessionsBuilder::max_staleness),
    ("MAX_AGE_MS", SessionsBuilder::max_age),
    ("ACTIVITY_INTERVAL_MS", SessionsBuilder::activity_interval),
    ("IDLE_TIMEOUT_MS", SessionsBuilder::idle_timeout),
    ("ABSOLUTE_LIFETIME_MS", SessionsBuilder::absolute_lifetime),
    ("ACCESS_TOKEN_TTL_MS", SessionsBuilder::access_token_ttl),
    ("REFRESH_GRACE_MS", SessionsBuilder::refresh_grace),
    ("LOST_RESPONSE_WINDOW_MS", SessionsBuilder::lost_response_window),
];

/// Nothing is forgiven, and that is a choice.
const MAY_BE_ZERO: [&str; 2] = ["REFRESH_GRACE_MS", "LOST_RESPONSE_WINDOW_MS"];

/// Where the sessions are kept.
#[derive(Debug)]
pub(crate) enum Database {
    /// `DATABASE_URL`. `shown` is what may be printed of it.
    Given { url: String, shown: String },
    /// Ours alone, gone when this value is dropped.
    Private(LocalPostgres),
    /// In this process. `why` says how to get Postgres.
    Memory { why: String },
}

pub(crate) struct Environment {
    pub(crate) story: bool,
    pub(crate) bind: String,
    pub(crate) signing_secret: Vec<u8>,
    /// A way around a pooler in front of `DATABASE_URL`.
    pub(crate) listen_url: Option<String>,
    settings: Vec<(&'static str, Setting, Duration)>,
    session_limit: Option<(u32, OnLimit)>,
    client_ip: Option<ClientIp>,
    /// Where pushes and mails are posted to, if not to a receiver of this program's own.
    pub(crate) notice_url: Option<String>,
    /// Where events go, and what they are signed with.
    #[cfg_attr(not(feature = "webhook"), expect(dead_code, reason = "refused where it is set"))]
    pub(crate) webhook: Option<(String, String)>,
    /// How the world reaches this service, for the links in mails.
    pub(crate) public_url: Option<String>,
    /// A MaxMind file: where on earth addresses are.
    #[cfg_attr(not(feature = "geoip"), expect(dead_code, reason = "refused where it is set"))]
    pub(crate) geoip_file: Option<String>,
    // Last, as fields are dropped in order: a private server outlives nothing of the above that may use it.
    pub(crate) database: Database,
}

impl Environment {
    /// Starts the private Postgres, where it comes to that, when all else has been found right.
    pub(crate) fn read(has_story: bool) -> Result<Self, Failure> {
        let story = arguments(has_story)?;
        log_to_stderr()?;
        let mut settings = Vec::new();
        for (name, setting) in SETTINGS {
            if let Some(value) = variable(name)? {
                settings.push((name, setting, milliseconds(name, &value)?));
            }
        }
        if story {
            hurry(&mut settings);
        }
        let session_limit = session_limit()?;
        let client_ip = client_ip()?;
        // The story has a server of its own, and may run beside the one that is listening.
        let bind = if story { None } else { variable("BIND")? };
        let bind = bind.unwrap_or_else(|| if story { "127.0.0.1:0" } else { "127.0.0.1:3000" }.to_owned());
        let signing_secret = match env::var_os("SIGNING_SECRET") {
            Some(secret) => secret.into_vec(),
            None => random_secret()?,
        };
        let (database_url, listen_url) = (database_url("DATABASE_URL")?, database_url("LISTEN_URL")?);
        if listen_url.is_some() && database_url.is_none() {
            return Err(Failure::setting("LISTEN_URL is another way to DATABASE_URL, which is not set"));
        }
        let database = database_url.map_or_else(Database::of_this_machine, Database::given);
        let geoip_file = variable("GEOIP_FILE")?;
        if geoip_file.is_some() && cfg!(not(feature = "geoip")) {
            return Err(Failure::setting(format!(
                "GEOIP_FILE needs the feature geoip: cargo run --features geoip --example {NAME}"
            )));
        }
        let notice_url = if story { None } else { variable("NOTICE_URL")? };
        let webhook = webhook()?;
        let public_url = if story { None } else { variable("PUBLIC_URL")? };
        Ok(Self {
            story,
            bind,
            signing_secret,
            listen_url,
            settings,
            session_limit,
            client_ip,
            notice_url,
            webhook,
            public_url,
            geoip_file,
            database,
        })
    }

    /// What devices say they are reached by. A story's own in a database of others: what it waits for must not arrive
    /// elsewhere.
    pub(crate) fn provider(&self) -> Result<String, Failure> {
        if self.story && matches!(self.database, Database::Given { .. }) {
            let number = getrandom::u32().map_err(|cause| Failure::because("no random number", cause))?;
            return Ok(format!("story-{number}"));
        }
        Ok("demo".to_owned())
    }

    /// What was set, and nothing else.
    pub(crate) fn settings(&self, builder: SessionsBuilder) -> SessionsBuilder {
        let builder = self.settings.iter().fold(builder, |builder, (_, setting, value)| setting(builder, *value));
        let builder = match self.session_limit {
            Some((limit, on_limit)) => builder.max_sessions_per_user(limit, on_limit),
            None => builder,
        };
        match &self.client_ip {
            Some(client_ip) => builder.client_ip(client_ip.clone()),
            None => builder,
        }
    }
}

impl Database {
    fn given(url: String) -> Self {
        let shown = readable(&url).map_or_else(|| "a place of your own".to_owned(), |config| shown(&config));
        Self::Given { url, shown }
    }

    fn of_this_machine() -> Self {
        if LocalPostgres::find().is_none() {
            let why = "no Postgres found: set DATABASE_URL, or install its server (apt-get install postgresql)";
            return Self::Memory { why: why.into() };
        }
        LocalPostgres::start(&[]).map_or_else(
            |cause| {
                eprintln!("a private Postgres did not start: {cause}");
                Self::Memory { why: "the Postgres of this machine did not start: set DATABASE_URL".into() }
            },
            Self::Private,
        )
    }

    /// With its password: for connecting, not for printing.
    pub(crate) fn url(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Given { url, .. } => Some(url.into()),
            Self::Private(server) => Some(server.url().into()),
            Self::Memory { .. } => None,
        }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given { shown, .. } => write!(f, "postgres at {shown}"),
            Self::Private(server) => {
                write!(f, "postgres at 127.0.0.1:{}/postgres (private, throw-away)", server.port())
            }
            Self::Memory { why } => write!(f, "memory ({why})"),
        }
    }
}

/// Host, port and database; never user or password.
fn shown(config: &Config) -> String {
    let named = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(directory) => directory.display().to_string(),
    });
    let mut hosts: Vec<String> = named.collect();
    if hosts.is_empty() {
        hosts = config.get_hostaddrs().iter().map(ToString::to_string).collect();
    }
    // One port for all hosts, or one for each.
    let ports = config.get_ports();
    let port = |at| ports.get(at).or(ports.first()).copied().unwrap_or(DEFAULT_PORT);
    let places: Vec<_> = hosts.iter().enumerate().map(|(at, host)| format!("{host}:{}", port(at))).collect();
    let database = config.get_dbname().or(config.get_user()).unwrap_or("postgres");
    format!("{}/{database}", places.join(","))
}

fn arguments(has_story: bool) -> Result<bool, Failure> {
    let given: Vec<_> = env::args_os().skip(1).collect();
    let story = if has_story { " [-- --story]" } else { "" };
    match given.as_slice() {
        [] => Ok(false),
        [asked] if has_story && asked == "--story" => Ok(true),
        _ => Err(Failure::setting(format!("usage: cargo run --example {NAME}{story}"))),
    }
}

/// On stderr: what is printed on stdout is for whoever pastes from it.
fn log_to_stderr() -> Result<(), Failure> {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::WARN.into());
    let filter = filter.from_env().map_err(|cause| Failure::setting(format!("RUST_LOG cannot be read: {cause}")))?;
    let ansi = io::IsTerminal::is_terminal(&io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(ansi).init();
    Ok(())
}

/// Set but empty is a mistake (`NAME=$TYPO`), not a way to say "the default".
fn variable(name: &str) -> Result<Option<String>, Failure> {
    match env::var(name) {
        Ok(value) if value.is_empty() => Err(Failure::setting(format!("{name} is empty: give a value, or unset it"))),
        Ok(value) => Ok(Some(value)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(Failure::setting(format!("{name} is not text"))),
    }
}

/// Neither the text nor why it cannot be read is printed: in a wrong URL the password may be anywhere.
fn database_url(name: &str) -> Result<Option<String>, Failure> {
    let url = variable(name)?;
    // Key-value strings are left to the crate.
    if url.as_ref().is_some_and(|url| url.starts_with("postgres") && readable(url).is_none()) {
        let wanted = "postgres://user:password@host:port/database";
        return Err(Failure::setting(format!("{name} cannot be read: give {wanted}")));
    }
    Ok(url)
}

/// What the driver makes of it, without the options if need be: the crate knows more of them (`sslmode=verify-full`).
fn readable(url: &str) -> Option<Config> {
    url.parse().ok().or_else(|| url.split('?').next()?.parse().ok())
}

/// `MAX_SESSIONS` a user, and `ON_LIMIT` what becomes of a sign-in that would be one too many.
fn session_limit() -> Result<Option<(u32, OnLimit)>, Failure> {
    let (limit, on_limit) = (variable("MAX_SESSIONS")?, variable("ON_LIMIT")?);
    let Some(limit) = limit else {
        let alone = Failure::setting("ON_LIMIT says what happens at MAX_SESSIONS, which is not set");
        return if on_limit.is_some() { Err(alone) } else { Ok(None) };
    };
    let wrong = || Failure::setting(format!("MAX_SESSIONS is {limit:?}: give a whole number, 1 or more"));
    let limit = limit.parse::<u32>().ok().filter(|limit| *limit > 0).ok_or_else(wrong)?;
    let on_limit = match on_limit.as_deref() {
        None | Some("end_least_recently_active") => OnLimit::EndLeastRecentlyActive,
        Some("end_oldest") => OnLimit::EndOldest,
        Some("refuse") => OnLimit::Refuse,
        Some(other) => {
            let names = "end_least_recently_active, end_oldest or refuse";
            return Err(Failure::setting(format!("ON_LIMIT is {other:?}: give {names}")));
        }
    };
    Ok(Some((limit, on_limit)))
}

/// `TRUSTED_PROXIES`, networks with commas between, whose `X-Forwarded-For` is believed; and `COUNTRY_HEADER`, in which
/// they say where the client is.
fn client_ip() -> Result<Option<ClientIp>, Failure> {
    let (proxies, country) = (variable("TRUSTED_PROXIES")?, variable("COUNTRY_HEADER")?);
    let Some(proxies) = proxies else {
        let alone = Failure::setting("COUNTRY_HEADER is believed of TRUSTED_PROXIES, which is not set");
        return if country.is_some() { Err(alone) } else { Ok(None) };
    };
    let wrong = |cause: ConfigError| Failure::setting(format!("TRUSTED_PROXIES, COUNTRY_HEADER: {cause}"));
    let client_ip = ClientIp::x_forwarded_for(proxies.split(',').map(str::trim)).map_err(wrong)?;
    match country {
        Some(name) => client_ip.country_header(&name).map(Some).map_err(wrong),
        None => Ok(Some(client_ip)),
    }
}

/// `WEBHOOK_URL`, and `WEBHOOK_SECRET` that its receiver has too.
fn webhook() -> Result<Option<(String, String)>, Failure> {
    let (url, secret) = (variable("WEBHOOK_URL")?, variable("WEBHOOK_SECRET")?);
    match (url, secret) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) if cfg!(not(feature = "webhook")) => Err(Failure::setting(
            "WEBHOOK_URL needs the feature webhook: cargo run --features webhook --example quickstart",
        )),
        (Some(url), Some(secret)) => Ok(Some((url, secret))),
        _ => Err(Failure::setting("WEBHOOK_URL and WEBHOOK_SECRET are of no use without each other")),
    }
}

fn milliseconds(name: &str, value: &str) -> Result<Duration, Failure> {
    let least = u64::from(!MAY_BE_ZERO.contains(&name));
    match value.parse() {
        Ok(span) if span >= least => Ok(Duration::from_millis(span)),
        _ => {
            let what = format!("{name} is {value:?}: give a whole number of milliseconds, {least} or more");
            Err(Failure::setting(what))
        }
    }
}

fn hurry(settings: &mut Vec<(&'static str, Setting, Duration)>) {
    let value = |wanted: &str| settings.iter().find(|(name, ..)| *name == wanted).map(|(.., value)| *value);
    if value("ACTIVITY_INTERVAL_MS").is_none() {
        // As the crate has it for its own default, which is never over a tenth of the idle timeout either.
        let most = value("IDLE_TIMEOUT_MS").map_or(Duration::MAX, |idle| idle / 20);
        let interval = STORY_ACTIVITY_INTERVAL.min(most);
        settings.push(("ACTIVITY_INTERVAL_MS", SessionsBuilder::activity_interval, interval));
    }
}

fn random_secret() -> Result<Vec<u8>, Failure> {
    let mut secret = vec![0; 32];
    getrandom::fill(&mut secret).map_err(|cause| Failure::because("no randomness for a signing secret", cause))?;
    Ok(secret)
}

/// Why the program stops. Status 2: it was told something that makes no sense. Status 1: all else.
#[derive(Debug)]
pub(crate) struct Failure {
    status: u8,
    text: String,
}

impl Failure {
    pub(crate) fn setting(text: impl Into<String>) -> Self {
        Self { status: 2, text: text.into() }
    }

    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { status: 1, text: text.into() }
    }

    pub(crate) fn because(text: impl fmt::Display, cause: impl StdError) -> Self {
        Self::new(format!("{text}: {}", with_causes(&cause)))
    }

    pub(crate) fn report(self) -> ExitCode {
        eprintln!("{NAME}: {}", self.text);
        self.status.into()
    }
}

/// A setting that the crate refuses; or it could not ask the database, which has an `Error` for its cause.
impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let could_not_ask = error.source().is_some_and(|cause| cause.is::<Error>());
        Self { status: if could_not_ask { 1 } else { 2 }, text: with_causes(&error) }
    }
}

macro_rules! failure_from {
    ($($error:ty),+) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::new(with_causes(&error))
            }
        })+
    };
}

failure_from!(Error, io::Error, tokio::task::JoinError, reqwest::Error, tokio_postgres::Error);

fn with_causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Some errors say what their cause says.
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
