//! From what was set to settings that work: what is not set follows from what is, and contradictions are refused.

use std::{sync::Arc, time::Duration};

use super::{DAY, Parts, SessionsBuilder, Settings};
use crate::{
    error::ConfigError,
    event::{Wants, is_name},
    notice::Sink,
    policy::Lifetimes,
    store::{Retention, outbox::STREAM},
    token::{
        AccessTokens, AlertLinks, DeviceCookies,
        refresh::{self, RefreshTokens, ServerSecrets},
    },
};

impl SessionsBuilder {
    /// Every field is named, so that a new one cannot be forgotten here.
    pub(crate) fn checked(self) -> Result<(Settings, Parts), ConfigError> {
        let Self {
            store,
            access_tokens,
            #[cfg(feature = "jwks")]
            issuers,
            idle_timeout,
            absolute_lifetime,
            access_token_ttl,
            activity_interval,
            max_staleness,
            load_timeout,
            max_age,
            max_cached_sessions,
            outage_grace,
            history,
            scrub_after,
            refresh_grace,
            lost_response_window,
            server_secrets,
            require_fresh,
            on_issue,
            trusted_origins,
            insecure_cookie_on_loopback,
            session_limit,
            client_ip,
            locator,
            sinks,
            delivery,
            alert_links: alert_base,
            clock,
        } = self;
        #[cfg(feature = "jwks")]
        let access_tokens = access_tokens.or_else(|| (!issuers.is_empty()).then(AccessTokens::none));
        let trusted_origins = trusted_origins?;
        let access_tokens = access_tokens.ok_or_else(|| {
            ConfigError::new("no keys: call `.access_tokens(AccessTokens::hs256(&secret)?)` before `build()`")
        })?;
        let refresh_hangs_on_keys = server_secrets.is_empty() && access_tokens.signs();
        let secrets = secrets(server_secrets, &access_tokens)?;
        let refresh_tokens = secrets.as_ref().map(RefreshTokens::new).transpose()?;
        let device_cookies = secrets.as_ref().map(DeviceCookies::new).transpose()?;
        let alert_links = secrets.as_ref().map(AlertLinks::new).transpose()?.map(Arc::new);
        check_sinks(&sinks)?;
        let delivery = delivery.checked()?;
        let alert_base = alert_base.map(|base| check_base(&base)).transpose()?;
        if alert_base.is_some() && alert_links.is_none() {
            return Err(ConfigError::new(
                "alert_links without a secret to sign them with: call `.server_secret(..)`, or leave them out where nobody is \
                 signed in",
            ));
        }
        let activity_interval = activity_interval.unwrap_or_else(|| Duration::from_secs(10).min(idle_timeout / 20));
        let scrub_after = scrub_after.unwrap_or_else(|| Duration::from_secs(14 * DAY).min(history));
        let load_timeout = load_timeout.unwrap_or_else(|| Duration::from_secs(2).min(max_staleness / 2));
        for (name, span) in [
            ("idle_timeout", idle_timeout),
            ("absolute_lifetime", absolute_lifetime),
            ("access_token_ttl", access_token_ttl),
            ("activity_interval", activity_interval),
            ("max_staleness", max_staleness),
            ("load_timeout", load_timeout),
            ("max_age", max_age),
            ("require_fresh", require_fresh.unwrap_or(LONGEST)),
        ] {
            if span < Duration::from_millis(1) || span > LONGEST {
                return Err(ConfigError::new(format!(
                    "{name} is {span:?}: it must be between 1 ms and 100 years (for \"never\", take 100 years)"
                )));
            }
        }
        if activity_interval > idle_timeout / 10 {
            return Err(ConfigError::new(format!(
                "activity_interval ({activity_interval:?}) is over a tenth of idle_timeout ({idle_timeout:?}): active \
                 sessions could be taken for idle; make it at most {:?}",
                idle_timeout / 10
            )));
        }
        if load_timeout >= max_staleness {
            return Err(ConfigError::new(format!(
                "load_timeout ({load_timeout:?}) must be less than max_staleness ({max_staleness:?}): what a slower \
                 read brings could not be believed any more"
            )));
        }
        if outage_grace > LONGEST_GRACE {
            return Err(ConfigError::new(format!(
                "outage_grace is {outage_grace:?}: for so long nobody could be signed out during an outage; make it \
                 at most {LONGEST_GRACE:?}"
            )));
        }
        if history > LONGEST || scrub_after > history {
            return Err(ConfigError::new(format!(
                "scrub_after ({scrub_after:?}) must be at most history ({history:?}), and that at most 100 years: a row \
                 that is gone cannot be scrubbed"
            )));
        }
        // Zero is strict, and what is not set follows.
        let lost_response_window = lost_response_window.or_else(|| refresh_grace.is_zero().then_some(Duration::ZERO));
        let refresh = refresh::Settings { grace: refresh_grace, lost_response_window };
        if let Some(why) = refresh.contradiction() {
            return Err(ConfigError::new(why));
        }
        if session_limit.as_ref().is_some_and(|(limit, _)| limit.is_zero()) {
            return Err(ConfigError::new(
                "max_sessions_per_user is 0: nobody could sign in; make it at least 1, or leave it out for no limit",
            ));
        }
        if max_cached_sessions == 0 {
            return Err(ConfigError::new(
                "max_cached_sessions is 0: every request would read the database; give it room",
            ));
        }
        let settings = Settings {
            lives: Lifetimes { idle: idle_timeout, idle_allowance: 2 * activity_interval },
            absolute_lifetime,
            access_token_ttl,
            activity_interval,
            max_staleness,
            load_timeout,
            max_age,
            max_cached_sessions,
            outage_grace,
            refresh,
            require_fresh,
            retention: Retention::new(scrub_after, history),
            trusted_origins,
            insecure_cookie_on_loopback,
            session_limit,
            client_ip,
            upkeep_interval: (idle_timeout.min(absolute_lifetime) / 20).clamp(UPKEEP_AT_MOST, UPKEEP_AT_LEAST),
        };
        Ok((
            settings,
            Parts {
                store,
                access_tokens,
                #[cfg(feature = "jwks")]
                issuers,
                refresh_tokens,
                refresh_hangs_on_keys,
                device_cookies,
                on_issue,
                locator,
                sinks,
                delivery,
                alert_links,
                alert_base,
                clock,
            },
        ))
    }
}

/// Each under a name of its own, and each device reached by one.
fn check_sinks(sinks: &[Sink]) -> Result<(), ConfigError> {
    for (at, sink) in sinks.iter().enumerate() {
        if sink.wants == Wants::default() {
            return Err(ConfigError::new(format!(
                "the notifier {:?} wants nothing: name some kinds of events",
                sink.name
            )));
        }
        let provider = sink.wants.push.as_deref();
        for name in [Some(sink.name.as_str()), provider].into_iter().flatten() {
            if !is_name(name) || name.starts_with(STREAM) {
                return Err(ConfigError::new(format!(
                    "{name:?} cannot name a notifier or a provider: 1 to 40 of a-z, 0-9, - and _, and not stream-.."
                )));
            }
        }
        let others = &sinks[..at];
        if others.iter().any(|other| other.name == sink.name) {
            return Err(ConfigError::new(format!(
                "two notifiers are called {:?}: each needs a name of its own",
                sink.name
            )));
        }
        if let Some(provider) = provider.filter(|_| others.iter().any(|other| other.wants.push == sink.wants.push)) {
            return Err(ConfigError::new(format!(
                "two notifiers push to the devices of {provider:?}: each device would be told twice"
            )));
        }
    }
    Ok(())
}

/// Without the slash at its end.
fn check_base(base: &str) -> Result<String, ConfigError> {
    let rest = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://"));
    let plain = |rest: &str| {
        !rest.is_empty()
            && !rest.starts_with('/')
            && rest.chars().all(|c| c.is_ascii_graphic() && !"?#<>\"@".contains(c))
    };
    if !rest.is_some_and(plain) {
        return Err(ConfigError::new(format!(
            "alert_links is {base:?}: give the whole address, as https://app.example.com/alerts, without a user or a query"
        )));
    }
    Ok(base.trim_end_matches('/').to_owned())
}

/// `None` where nobody is signed in.
fn secrets(given: Vec<Vec<u8>>, tokens: &AccessTokens) -> Result<Option<ServerSecrets>, ConfigError> {
    if !tokens.signs() {
        return Ok(None);
    }
    let mut secrets = given;
    // Beside one of its own, for refresh tokens from before it was given.
    for own in tokens.secrets() {
        if !secrets.contains(&own) {
            secrets.push(own);
        }
    }
    if secrets.is_empty() {
        return Err(ConfigError::new(
            "no server secret: with asymmetric keys, call `.server_secret(..)` with 32 random bytes or more, the same on \
             every node (refresh tokens are signed with it)",
        ));
    }
    ServerSecrets::new(secrets).map(Some)
}

/// A session that has run out is refused at once; these bound how soon its row says so.
const UPKEEP_AT_MOST: Duration = Duration::from_millis(250);
const UPKEEP_AT_LEAST: Duration = Duration::from_secs(15 * 60);
const LONGEST_GRACE: Duration = Duration::from_secs(60 * 60);
/// Far enough for "never", near enough that no sum of times overflows.
const LONGEST: Duration = Duration::from_secs(100 * 366 * DAY);
