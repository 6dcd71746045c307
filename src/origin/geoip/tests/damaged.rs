//! Files with a few wrong bytes.

use std::{fs, net::IpAddr, sync::LazyLock};

use proptest::{collection::vec, prelude::*, sample::Index};

use super::{Directory, cities};
use crate::origin::geoip::database::Database;

static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(|| cities(1).bytes());

fn asked() -> impl Iterator<Item = IpAddr> {
    ["203.0.113.9", "203.0.113.255", "0.0.0.0", "255.255.255.255", "2001:db8::7", "::", "ffff::"]
        .into_iter()
        .map(|address| address.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn damage_is_told_or_does_no_harm(
        wrong in vec((any::<Index>(), any::<u8>()), 0..6), length: Option<Index>, more in vec(any::<u8>(), 0..8),
    ) {
        let mut bytes = WHOLE.clone();
        for (at, byte) in wrong {
            let at = at.index(bytes.len());
            bytes[at] ^= byte;
        }
        if let Some(length) = length {
            bytes.truncate(length.index(bytes.len()));
        }
        bytes.extend(more);
        // As it is read, and as if nothing had been checked.
        let unchecked = Database::unchecked(bytes.clone());
        let directory = Directory::new();
        fs::write(directory.file(), &bytes).unwrap();
        for database in unchecked.into_iter().chain(Database::read(&directory.file())) {
            for address in asked() {
                drop(database.locate(address, "en"));
            }
        }
    }
}
