//! The server: where it is, how it is spoken to, and the connections to it that are kept.
//!
//! A connection belongs to the delivery that uses it, and comes back only when all its answers have been read. So a delivery
//! that is dropped halfway closes its connection, and the next one cannot take the answers to this one for its own.

use std::{
    fmt, io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lettre::{
    Address,
    transport::smtp::{
        authentication::{Credentials, Mechanism},
        client::{AsyncSmtpConnection, Certificate, TlsParameters},
        extension::ClientId,
    },
};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use url::Url;

use super::{
    super::NotDelivered,
    before_tls::BeforeTls,
    transaction::{self, told},
};
use crate::{device::percent_decoded, error::ConfigError, network::is_loopback};

/// To each address of the server. The whole is bounded by whoever delivers.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// For the answer of a connection that has been idle, and for that to a QUIT.
const SOON: Duration = Duration::from_secs(1);
/// Well below what servers wait for a command (RFC 5321 §4.5.3.2.7 asks for five minutes of them, and not all obey).
const KEPT_FOR: Duration = Duration::from_secs(30);
const KEPT: usize = 4;

pub(super) struct Server {
    host: String,
    port: u16,
    security: Security,
    hello: ClientId,
    credentials: Option<Credentials>,
    idle: Mutex<Vec<(AsyncSmtpConnection, Instant)>>,
}

enum Security {
    Loopback,
    StartTls(TlsParameters),
    Implicit(TlsParameters),
}

const ADVICE: &str = "give `smtps://user:password@host`, `smtp://user:password@host?tls=required`, or `smtp://localhost` for a server on this machine";

impl Server {
    /// What is wrong is told without the URL: the password is in it.
    pub(super) fn at(url: &str) -> Result<Self, ConfigError> {
        let wrong = |why: &str| ConfigError::new(format!("the mail server's URL cannot be used, {why}: {ADVICE}"));
        let url = Url::parse(url).map_err(|cause| {
            ConfigError::because(
                format!("the mail server's URL cannot be read (is `@` in the password `%40`?): {ADVICE}"),
                cause,
            )
        })?;
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte)) {
            return Err(wrong("its host is no name (in ASCII) and no address"));
        }
        let required = match url.query() {
            None => false,
            Some("tls=required") => true,
            Some(_) => return Err(wrong("all that can stand behind its `?` is `tls=required`")),
        };
        if url.fragment().is_some() {
            return Err(wrong("there is a `#` in it (in the password it is `%23`)"));
        }
        let tls = || parameters(&host, None);
        let (security, port) = match url.scheme() {
            "smtps" => (Security::Implicit(tls()?), 465),
            "smtp" if required => (Security::StartTls(tls()?), 587),
            "smtp" if is_loopback(&host) => (Security::Loopback, 25),
            "smtp" => return Err(wrong("the mail's secret link would go over the network in plain text")),
            _ => return Err(wrong("its scheme is neither `smtps` nor `smtp`")),
        };
        let decoded =
            |text: &str| percent_decoded(text.as_bytes()).ok_or_else(|| wrong("its name or password is not UTF-8"));
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            ("", Some(_)) | (_, None) => {
                return Err(wrong("it has a name without a password, or a password without a name"));
            }
            (name, Some(password)) => Some(Credentials::new(decoded(name)?, decoded(password)?)),
        };
        let hello = match url.path().trim_matches('/') {
            "" => ClientId::default(),
            name if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte)) => {
                ClientId::Domain(name.to_owned())
            }
            _ => return Err(wrong("its path is no name to give in EHLO")),
        };
        let port = url.port().unwrap_or(port);
        Ok(Self { host, port, security, hello, credentials, idle: Mutex::default() })
    }

    pub(super) fn trusting(mut self, pem: &[u8]) -> Result<Self, ConfigError> {
        self.security = match self.security {
            Security::Implicit(_) => Security::Implicit(parameters(&self.host, Some(pem))?),
            Security::StartTls(_) => Security::StartTls(parameters(&self.host, Some(pem))?),
            Security::Loopback => {
                return Err(ConfigError::new(
                    "the mail server has a root certificate, but its URL asks for no TLS: say `smtps://` or `?tls=required`",
                ));
            }
        };
        Ok(self)
    }

    pub(super) async fn deliver(&self, from: &Address, to: &Address, mail: &[u8]) -> Result<(), NotDelivered> {
        let mut connection = match self.kept().await {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let sent = transaction::send(&mut connection, from, to, mail).await;
        match &sent {
            Ok(()) => self.keep(connection),
            // What is between us and this server is not clear any more.
            Err(_) => drop(timeout(SOON, connection.abort()).await),
        }
        sent
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, NotDelivered> {
        let retry = |doing: &'static str| move |error| NotDelivered::retry(told(doing, &error));
        let unreachable = "the mail server cannot be reached";
        let mut connection = match &self.security {
            Security::StartTls(tls) => {
                let stream =
                    self.tcp().await.map_err(|cause| NotDelivered::retry(format!("{unreachable}: {cause}")))?;
                let stream = Box::new(BeforeTls::new(stream));
                let connecting = AsyncSmtpConnection::connect_with_transport(stream, &self.hello);
                let mut connection = connecting.await.map_err(retry(unreachable))?;
                if !connection.can_starttls() {
                    return Err(NotDelivered::retry("the mail server offers no STARTTLS: nothing was sent"));
                }
                connection.starttls(tls.clone(), &self.hello).await.map_err(retry("no TLS with the mail server"))?;
                connection
            }
            Security::Implicit(_) | Security::Loopback => {
                let tls = if let Security::Implicit(tls) = &self.security { Some(tls.clone()) } else { None };
                let place = (self.host.as_str(), self.port);
                let connecting =
                    AsyncSmtpConnection::connect_tokio1(place, Some(CONNECT_WITHIN), &self.hello, tls, None);
                connecting.await.map_err(retry(unreachable))?
            }
        };
        if let Some(credentials) = &self.credentials {
            let signing_in = connection.auth(&[Mechanism::Plain, Mechanism::Login], credentials);
            signing_in.await.map_err(retry("the mail server did not accept name and password"))?;
        }
        Ok(connection)
    }

    async fn tcp(&self) -> io::Result<TcpStream> {
        match timeout(CONNECT_WITHIN, TcpStream::connect((self.host.as_str(), self.port))).await {
            Ok(connected) => connected,
            Err(_late) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// One that is idle and answers. The youngest: where it does not, the others will not either.
    async fn kept(&self) -> Option<AsyncSmtpConnection> {
        let (mut connection, since) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        if since.elapsed() < KEPT_FOR && timeout(SOON, connection.test_connected()).await.unwrap_or(false) {
            return Some(connection);
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        None
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| since.elapsed() < KEPT_FOR);
        if idle.len() < KEPT {
            idle.push((connection, Instant::now()));
        }
    }
}

/// TLS 1.2 or later, by the operating system's authorities and these.
fn parameters(host: &str, pem: Option<&[u8]>) -> Result<TlsParameters, ConfigError> {
    let advice = "the mail server's root certificate cannot be used: give the authority's certificate as PEM";
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(pem) = pem {
        // A file without any would pass for one of none.
        if !String::from_utf8_lossy(pem).contains("-----BEGIN CERTIFICATE-----") {
            return Err(ConfigError::new(advice));
        }
        let certificate = Certificate::from_pem(pem).map_err(|cause| ConfigError::because(advice, cause))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build().map_err(|cause| ConfigError::because(advice, cause))
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}
