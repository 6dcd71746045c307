//! What a device is known by: a random id in a signed cookie on the web, the id that a native app gives. Neither is a
//! credential: it opens nothing, it only says that this device was here before.

use aws_lc_rs::digest::{Context, SHA256};

use super::refresh::{Seal, ServerSecrets};
use crate::{
    error::{ConfigError, Error},
    session::{DeviceKey, UserId},
};

/// version ‖ 128 random bits, sealed.
const VERSION: u8 = 1;
const BODY: usize = 1 + 16;

/// Makes the values of device cookies, and reads those that it or another node made.
#[derive(Debug)]
pub(crate) struct DeviceCookies(Seal);

impl DeviceCookies {
    pub(crate) fn new(secrets: &ServerSecrets) -> Result<Self, ConfigError> {
        Seal::new(secrets, "device cookie v1").map(Self)
    }

    /// The value for a device that is new here.
    pub(crate) fn mint(&self) -> Result<DeviceCookie, Error> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|cause| Error::unavailable("making a device's id", cause))?;
        Ok(self.sign(id))
    }

    /// The device of a cookie, if it is one of these: to be set anew, by the key that makes.
    pub(crate) fn read(&self, value: &str) -> Option<DeviceCookie> {
        let body = self.0.open::<BODY>(value)?;
        let (version, id) = body.split_first()?;
        (*version == VERSION).then_some(())?;
        Some(self.sign(id.try_into().ok()?))
    }

    fn sign(&self, id: [u8; 16]) -> DeviceCookie {
        DeviceCookie { id, value: self.0.seal(&[&[VERSION], &id[..]].concat()) }
    }
}

/// A device of the web.
#[derive(Clone)]
pub(crate) struct DeviceCookie {
    id: [u8; 16],
    pub(crate) value: String,
}

impl DeviceCookie {
    /// What it is known by as a device of this user.
    pub(crate) fn key(&self, user: &UserId) -> DeviceKey {
        key(b"web", user, &self.id)
    }
}

/// What a device with a native app is known by as one of this user.
pub(crate) fn app_device_key(id: &str, user: &UserId) -> DeviceKey {
    key(b"app", user, id.as_bytes())
}

/// Two users of one device have nothing in common in the database, and an id of one kind is none of the other.
fn key(kind: &[u8; 3], user: &UserId, id: &[u8]) -> DeviceKey {
    let mut hash = Context::new(&SHA256);
    hash.update(b"axum-device-sessions device v1");
    hash.update(kind);
    hash.update(&(user.as_str().len() as u64).to_be_bytes());
    hash.update(user.as_str().as_bytes());
    hash.update(id);
    let mut key = [0; 32];
    key.copy_from_slice(hash.finish().as_ref());
    DeviceKey(key)
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    const MAC: usize = 32;

    fn cookies(first: u8, others: &[u8]) -> DeviceCookies {
        let secret = |seed: &u8| (0..32).map(|byte| byte ^ seed).collect();
        let secrets = std::iter::once(&first).chain(others).map(secret).collect();
        DeviceCookies::new(&ServerSecrets::new(secrets).unwrap()).unwrap()
    }

    #[test]
    fn a_device_is_known_again_also_after_the_secret_has_changed() {
        let cookie = cookies(1, &[]).mint().unwrap();
        let again = cookies(2, &[1]).read(&cookie.value).unwrap();
        let user = UserId::from("ahmed");
        assert_eq!(cookie.key(&user), again.key(&user));
        assert_ne!(cookie.value, again.value, "set anew by the key that makes");
        assert!(cookies(2, &[3]).read(&cookie.value).is_none());
        assert_eq!(cookie.value.len(), 66);
    }

    #[test]
    fn a_key_is_of_one_device_one_user_and_one_kind() {
        let (ahmed, lena) = (UserId::from("ahmed"), UserId::from("lena"));
        let cookie = cookies(1, &[]).mint().unwrap();
        assert_ne!(cookie.key(&ahmed), cookie.key(&lena));
        assert_ne!(app_device_key("ab", &UserId::from("c")), app_device_key("b", &UserId::from("ca")));
        let (web, app) = (key(b"web", &ahmed, b"x"), key(b"app", &ahmed, b"x"));
        assert_ne!(web, app);
        assert_ne!(cookies(1, &[]).mint().unwrap().key(&ahmed), cookie.key(&ahmed));
    }

    proptest! {
        #[test]
        fn nothing_else_is_read(text in "\\PC*", bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(cookies(1, &[2]).read(&text).is_none());
            prop_assert!(cookies(1, &[2]).read(&URL_SAFE_NO_PAD.encode(bytes)).is_none());
        }

        #[test]
        fn a_changed_bit_is_noticed(bit in 0..(BODY + MAC) * 8) {
            let cookie = cookies(1, &[]).mint().unwrap();
            let mut bytes = URL_SAFE_NO_PAD.decode(&cookie.value).unwrap();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(cookies(1, &[]).read(&URL_SAFE_NO_PAD.encode(bytes)).is_none());
        }
    }
}
