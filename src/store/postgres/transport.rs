//! How bytes get to Postgres: plain, or through TLS as the URL's `sslmode` says (feature `tls`).
//!
//! tokio-postgres reads no further than `sslmode=require`, so `verify-full` and `sslrootcert` are read here.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use deadpool_postgres::{Manager, ManagerConfig, RecyclingMethod};
use tokio_postgres::{
    AsyncMessage, Client, Config, Error, NoTls,
    config::{SslMode, TargetSessionAttrs},
};

use super::lend::Cancel;
use crate::error::ConfigError;

/// A server's address, and the way there.
#[derive(Clone, Debug)]
pub(super) struct Address {
    pub(super) config: Config,
    transport: Transport,
}

#[derive(Clone)]
enum Transport {
    Plain,
    #[cfg(feature = "tls")]
    Tls(tokio_postgres_rustls::MakeRustlsConnect),
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain => "Plain",
            #[cfg(feature = "tls")]
            Self::Tls(_) => "Tls",
        })
    }
}

/// What a connection sends by itself: notices and notifications. To be polled until it says that it has ended.
pub(super) type Messages = Box<dyn FnMut(&mut Context<'_>) -> Poll<Option<Result<AsyncMessage, Error>>> + Send>;

impl Address {
    /// `name` is what the caller calls it.
    pub(super) fn parse(name: &str, url: &str) -> Result<Self, ConfigError> {
        let (rest, ssl) = Ssl::split_from(url);
        let mut config: Config = rest.parse().map_err(|cause: Error| {
            // The cause names the option, never its value; the URL itself may hold a password.
            ConfigError::because(format!("{name} cannot be read: see its source() for the option at fault"), cause)
        })?;
        // One that is spelt so that we did not see it: never to be overruled by what follows.
        if config.get_ssl_mode() != SslMode::Prefer {
            return Err(ConfigError::new(format!(
                "{name}: sslmode cannot be read: write it plainly, and percent-encode `@` and `?` in the password"
            )));
        }
        let transport = ssl.transport()?;
        config.ssl_mode(match transport {
            Transport::Plain => SslMode::Disable,
            #[cfg(feature = "tls")]
            Transport::Tls(_) => SslMode::Require,
        });
        fill_in(&mut config);
        Ok(Self { config, transport })
    }

    pub(super) fn manager(&self) -> Manager {
        let fast = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        match &self.transport {
            Transport::Plain => Manager::from_config(self.config.clone(), NoTls, fast),
            #[cfg(feature = "tls")]
            Transport::Tls(tls) => Manager::from_config(self.config.clone(), tls.clone(), fast),
        }
    }

    /// How a query of this server's is cancelled: the way it was reached.
    pub(super) fn cancel(&self) -> Arc<Cancel> {
        match self.transport.clone() {
            Transport::Plain => plain_cancel(),
            #[cfg(feature = "tls")]
            Transport::Tls(tls) => Arc::new(move |token| {
                let tls = tls.clone();
                // Best effort: the connection is given up either way.
                Box::pin(async move { drop(token.cancel_query(tls).await) })
            }),
        }
    }

    /// A connection outside of the pool. It goes on only while its messages are polled.
    pub(super) async fn connect(&self) -> Result<(Client, Messages), Error> {
        match &self.transport {
            Transport::Plain => {
                let (client, mut connection) = self.config.connect(NoTls).await?;
                Ok((client, Box::new(move |cx| connection.poll_message(cx))))
            }
            #[cfg(feature = "tls")]
            Transport::Tls(tls) => {
                let (client, mut connection) = self.config.connect(tls.clone()).await?;
                Ok((client, Box::new(move |cx| connection.poll_message(cx))))
            }
        }
    }
}

/// For a pool of the application's own. It says nothing of its TLS, and where that is required nothing is cancelled.
pub(super) fn plain_cancel() -> Arc<Cancel> {
    Arc::new(|token| Box::pin(async move { drop(token.cancel_query(NoTls).await) }))
}

/// What the URL leaves open, as `PostgresStore::connect` says.
fn fill_in(config: &mut Config) {
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(2));
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(Duration::from_secs(10));
    }
    // The driver's default is the kernel's: two hours.
    if config.get_keepalives_idle() == Config::new().get_keepalives_idle() {
        config.keepalives_idle(Duration::from_secs(10));
        config.keepalives_interval(Duration::from_secs(3)).keepalives_retries(3);
    }
    if config.get_application_name().is_none() {
        config.application_name("axum-device-sessions");
    }
    // Of several the primary. Not for one alone: it would refuse a role whose transactions are read-only by default.
    if config.get_hosts().len() > 1 {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
}

/// `sslmode` and `sslrootcert` of a URL, as libpq names them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ssl {
    mode: Option<String>,
    root_certificates: Option<String>,
}

impl Ssl {
    /// The URL or key-value string without them, and what they were.
    fn split_from(url: &str) -> (String, Self) {
        let mut ssl = Self::default();
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            // A password may hold a `?`, and the driver reads it so.
            let after_password = url.rfind('@').unwrap_or_default();
            let Some(mark) = url[after_password..].find('?') else { return (url.to_owned(), ssl) };
            let (address, query) = (&url[..after_password + mark], &url[after_password + mark + 1..]);
            let kept: Vec<_> = query.split('&').filter(|pair| !ssl.takes(pair)).collect();
            let rest = if kept.is_empty() { address.to_owned() } else { format!("{address}?{}", kept.join("&")) };
            return (rest, ssl);
        }
        let kept: Vec<_> = pairs(url).into_iter().filter(|pair| !ssl.takes(pair)).collect();
        (kept.join(" "), ssl)
    }

    fn takes(&mut self, pair: &str) -> bool {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = value.trim_matches('\'').to_owned();
        match name {
            "sslmode" => self.mode = Some(value),
            "sslrootcert" => self.root_certificates = Some(value.replace("%2F", "/").replace("%2f", "/")),
            _ => return false,
        }
        true
    }

    /// As libpq reads it, but for `prefer`: encryption that an attacker can switch off is none.
    fn transport(&self) -> Result<Transport, ConfigError> {
        match self.mode.as_deref() {
            None | Some("disable" | "allow" | "prefer") if self.root_certificates.is_none() => Ok(Transport::Plain),
            None | Some("disable" | "allow" | "prefer") => {
                Err(ConfigError::new("sslrootcert is given but TLS is not asked for: add sslmode=verify-full"))
            }
            Some("require" | "verify-full") => self.tls(),
            Some("verify-ca") => Err(ConfigError::new(
                "sslmode=verify-ca accepts any server that the CA has ever signed: use sslmode=verify-full",
            )),
            Some(_) => Err(ConfigError::new("sslmode must be disable, require or verify-full")),
        }
    }

    #[cfg(not(feature = "tls"))]
    fn tls(&self) -> Result<Transport, ConfigError> {
        let mode = self.mode.as_deref().unwrap_or_default();
        Err(ConfigError::new(format!("sslmode={mode} needs TLS: enable this crate's feature `tls`")))
    }

    #[cfg(feature = "tls")]
    fn tls(&self) -> Result<Transport, ConfigError> {
        let verified = self.mode.as_deref() == Some("verify-full") || self.root_certificates.is_some();
        super::tls::connector(verified, self.root_certificates.as_deref()).map(Transport::Tls)
    }
}

/// The pairs of a key-value string; a quoted value may hold spaces, and `\` takes the next character as it is.
fn pairs(text: &str) -> Vec<&str> {
    let (mut quoted, mut escaped, mut start) = (false, false, 0);
    let mut found = Vec::new();
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\'' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => {
                found.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    found.push(&text[start..]);
    found.retain(|pair| !pair.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssl_settings_are_taken_out_and_the_rest_stays() {
        let ssl = |mode: &str, roots: Option<&str>| Ssl {
            mode: Some(mode.to_owned()),
            root_certificates: roots.map(str::to_owned),
        };
        for (url, rest, expected) in [
            ("postgres://u:p@h/d", "postgres://u:p@h/d", Ssl::default()),
            ("postgres://u@h/d?sslmode=require", "postgres://u@h/d", ssl("require", None)),
            (
                "postgresql://u@h/d?a=b&sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem&c=d",
                "postgresql://u@h/d?a=b&c=d",
                ssl("verify-full", Some("/etc/ca.pem")),
            ),
            ("postgres://u:p?w@h/d?sslmode=require", "postgres://u:p?w@h/d", ssl("require", None)),
            ("host=h sslmode=require user=u", "host=h user=u", ssl("require", None)),
            (
                r"host=h password='a sslmode=disable \' b' sslmode=verify-full",
                r"host=h password='a sslmode=disable \' b'",
                ssl("verify-full", None),
            ),
        ] {
            assert_eq!(Ssl::split_from(url), (rest.to_owned(), expected), "{url}");
        }
    }

    #[test]
    fn modes_that_would_deceive_are_refused_with_what_to_do() {
        for (url, says) in [
            ("postgres://h/d?sslmode=verify-ca", "verify-full"),
            ("postgres://h/d?sslmode=yes", "must be"),
            ("postgres://h/d?ssl%6Dode=require", "cannot be read"),
            ("postgres://h/d?sslrootcert=/x", "add sslmode=verify-full"),
        ] {
            let error = Address::parse("the URL", url).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
        #[cfg(not(feature = "tls"))]
        assert!(Address::parse("the URL", "postgres://h/d?sslmode=require").unwrap_err().to_string().contains("`tls`"));
    }

    #[test]
    fn an_unreadable_url_is_not_repeated() {
        let error = Address::parse("the URL", "postgres://u:hunter2@h:port/d").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}
