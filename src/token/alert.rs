//! The links by which a user says that a sign-in was somebody else: in a mail, so anybody may come to read one. Each is good
//! for one thing, once, for a while.

use time::OffsetDateTime;
use uuid::Uuid;

use super::refresh::{Seal, ServerSecrets};
use crate::error::ConfigError;

/// version ‖ which alert ‖ until when, in seconds since 1970, sealed.
const VERSION: u8 = 1;
const BODY: usize = 1 + 16 + 8;

/// Makes links and reads them.
#[derive(Debug)]
pub(crate) struct AlertLinks(Seal);

impl AlertLinks {
    pub(crate) fn new(secrets: &ServerSecrets) -> Result<Self, ConfigError> {
        Seal::new(secrets, "alert link v1").map(Self)
    }

    /// The same each time.
    pub(crate) fn make(&self, alert: Uuid, until: OffsetDateTime) -> String {
        let until = until.unix_timestamp().max(0).unsigned_abs();
        self.0.seal(&[&[VERSION], &alert.as_bytes()[..], &until.to_be_bytes()].concat())
    }

    /// Which alert it is about; `None` where nobody here has made it, or it is too late.
    pub(crate) fn read(&self, text: &str, now: OffsetDateTime) -> Option<Uuid> {
        let body = self.0.open::<BODY>(text)?;
        let (alert, until) = body.strip_prefix(&[VERSION])?.split_at_checked(16)?;
        let until = u64::from_be_bytes(until.try_into().ok()?);
        let now = now.unix_timestamp().max(0).unsigned_abs();
        (now < until).then_some(Uuid::from_bytes(alert.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_good_until_its_time_and_by_every_secret_that_is_accepted() {
        let secret = |seed: u8| (0..32).map(|byte| byte ^ seed).collect::<Vec<u8>>();
        let links = |seeds: &[u8]| {
            let secrets = seeds.iter().copied().map(secret).collect();
            AlertLinks::new(&ServerSecrets::new(secrets).unwrap()).unwrap()
        };
        let (alert, until) = (Uuid::now_v7(), OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000));
        let second = time::Duration::SECOND;
        let link = links(&[1]).make(alert, until);
        assert_eq!(links(&[2, 1]).read(&link, until - second), Some(alert));
        assert_eq!(links(&[1]).read(&link, until), None);
        assert_eq!(links(&[2]).read(&link, until - second), None);
        let other = links(&[1]).make(Uuid::now_v7(), until);
        let swapped = format!("{}{}", &other[..other.len() / 2], &link[link.len() / 2..]);
        assert_eq!(links(&[1]).read(&swapped, until - second), None, "half of one and half of another");
    }
}
