//! What the notifiers that speak HTTP have in common.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, Response, Url, header::RETRY_AFTER, redirect};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use super::NotDelivered;
use crate::{clock::Clock, error::ConfigError, network};

/// Nothing is followed: a redirect would carry what is sent to somebody else. The proxy of the environment is none of this
/// very machine's business. The caller's timeout bounds the whole.
pub(super) fn client(builder: ClientBuilder, is_loopback: bool) -> Result<Client, ConfigError> {
    let builder = if is_loopback { builder.no_proxy() } else { builder };
    builder
        .redirect(redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .user_agent(concat!("axum-device-sessions/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|cause| ConfigError::because("the HTTP client cannot be made", cause))
}

/// Secrets and personal data are sent: so `https`, but for this very machine; and nothing in the URL that logs would keep.
#[cfg(any(feature = "fcm", feature = "apns"))]
pub(super) fn is_safe(url: &Url) -> bool {
    let hidden = url.scheme() == "https" || url.scheme() == "http" && is_loopback(url);
    hidden && url.username().is_empty() && url.password().is_none()
}

pub(super) fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(network::is_loopback)
}

/// The receiver's own wish, by `Retry-After` (RFC 9110 §10.2.3). `None` where it leaves it to us, by "now" too.
pub(super) fn wishes(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    pause(text.trim(), Clock::default().wall())
}

/// What a status other than success means, where the receiver's own rules say nothing else.
#[cfg(any(feature = "fcm", feature = "apns"))]
pub(super) fn failed(status: reqwest::StatusCode, wish: Option<Duration>, cause: String) -> NotDelivered {
    let passing = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
    if passing { retry(wish, cause) } else { NotDelivered::refused(cause) }
}

/// Later, at the receiver's wish if it has one.
pub(super) fn retry(wish: Option<Duration>, cause: String) -> NotDelivered {
    match wish {
        Some(pause) => NotDelivered::retry_after(pause, cause),
        None => NotDelivered::retry(cause),
    }
}

/// Seconds, or the time when it ends.
fn pause(text: &str, now: OffsetDateTime) -> Option<Duration> {
    /// More cannot be meant; RFC 9111 §1.2.2 reads its seconds so.
    const MOST: u64 = 1 << 31;
    let pause = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(text.parse().unwrap_or(MOST).min(MOST))
    } else {
        Duration::try_from(date(text)? - now).ok()?
    };
    (!pause.is_zero()).then_some(pause)
}

/// RFC 9110 §5.6.7: one form for senders, and two of old that have to be understood. Whatever they say of the day of the
/// week does not matter here.
fn date(text: &str) -> Option<OffsetDateTime> {
    // `Wednesday, 06-Nov-94 08:49:37 GMT` has 33.
    if text.len() > 40 {
        return None;
    }
    let date = if let Some((_, rest)) = text.split_once(", ") {
        // `Sun, 06 Nov 1994 08:49:37 GMT`; `Sunday, 06-Nov-94 08:49:37 GMT`
        rest.replacen('-', " ", 2)
    } else {
        // `Sun Nov  6 08:49:37 1994`
        let words: Vec<_> = text.split_ascii_whitespace().collect();
        let [_, month, day, time, year] = words[..] else { return None };
        format!("{day} {month} {year} {time} GMT")
    };
    OffsetDateTime::parse(&date, &Rfc2822).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(unix: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(unix).unwrap()
    }

    /// The three forms of one moment.
    fn forms(at: OffsetDateTime) -> [String; 3] {
        let (weekday, month) = (at.weekday().to_string(), at.month().to_string());
        let (day, year, short) = (at.day(), at.year(), &month[..3]);
        let time = format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second());
        [
            format!("{}, {day:02} {short} {year} {time} GMT", &weekday[..3]),
            format!("{weekday}, {day:02}-{short}-{:02} {time} GMT", year % 100),
            format!("{} {short} {day:2} {time} {year}", &weekday[..3]),
        ]
    }

    /// Those of RFC 9110 §5.6.7 and §10.2.3.
    #[test]
    fn the_published_examples() {
        let moment = at(784_111_777);
        let written = ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"];
        assert_eq!(forms(moment), written);
        for text in written {
            assert_eq!(pause(text, moment - SECOND), Some(SECOND), "{text}");
            assert_eq!(pause(text, moment), None, "{text}: now is no wish");
            assert_eq!(pause(text, moment + SECOND), None, "{text}: nor is what has been");
        }
        assert_eq!(pause("Fri, 31 Dec 1999 23:59:59 GMT", at(946_684_798)), Some(SECOND));
        assert_eq!(pause("120", moment), Some(120 * SECOND));
    }

    #[test]
    fn what_says_nothing_of_use() {
        for text in
            ["", "0", "000", "-1", "+1", "1.5", "1 ", "soon", "12s", "0x10", "\u{0663}", ", ", "Sun, ", "a b c d e"]
        {
            assert_eq!(pause(text, at(0)), None, "{text:?}");
        }
        let comments = format!("Sun, {}06 Nov 1994 08:49:37 GMT", "(".repeat(10_000));
        assert_eq!(pause(&comments, at(0)), None);
        let most = Some(Duration::from_secs(1 << 31));
        assert_eq!([pause("2147483649", at(0)), pause(&"9".repeat(1_000), at(0))], [most, most]);
    }

    proptest! {
        /// Up to 2049, as a year of two digits cannot say more.
        #[test]
        fn a_moment_to_come(now in 0_i64..2_000_000_000, seconds in 1_u32..500_000_000, nanos in 0_u32..1_000_000_000) {
            let then = at(now) + time::Duration::seconds(seconds.into());
            // Not to the second, as the clock is not.
            let now = at(now) - time::Duration::nanoseconds(nanos.into());
            let expected = Duration::new(seconds.into(), nanos);
            for text in forms(then) {
                prop_assert_eq!(pause(&text, now), Some(expected), "{}", text);
            }
            prop_assert_eq!(pause(&seconds.to_string(), now), Some(Duration::from_secs(seconds.into())));
        }

        /// Whatever it is: read or not, without a panic, and never for nothing.
        #[test]
        fn anything(text in "\\PC{0,50}|[A-Za-z]{3,9},? [0-9A-Za-z :(+-]{0,40}", now in 0_i64..4_000_000_000) {
            prop_assert_ne!(pause(&text, at(now)), Some(Duration::ZERO));
        }
    }
}
