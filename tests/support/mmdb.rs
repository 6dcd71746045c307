//! Files of places in MaxMind's format, made up by the tests: the repository carries none of others. Used by the unit
//! tests as well, by its path.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    fs,
    net::{IpAddr, Ipv6Addr},
    path::Path,
};

use maxminddb_writer::{Database, metadata::IpVersion};
use serde::Serialize;

/// A file in the making: IPv6, with IPv4 in `::/96`, as MaxMind's are.
pub(crate) struct Mmdb(Database);

/// What a record is made of, in the types of the format.
#[derive(Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum Value {
    Text(String),
    Double(f64),
    Float(f32),
    I32(i32),
    U16(u16),
    U32(u32),
    U64(u64),
    List(Vec<Self>),
    // A map would not keep the order, and files differ in it.
    #[serde(serialize_with = "pairs")]
    Map(Vec<(String, Self)>),
}

fn pairs<S: serde::Serializer>(pairs: &[(String, Value)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(key, value)| (key, value)))
}

pub(crate) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

pub(crate) fn map<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::Map(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// Names by language.
pub(crate) fn names<const N: usize>(names: [(&str, &str); N]) -> Value {
    map([("names", map(names.map(|(language, name)| (language, text(name)))))])
}

/// A country in English.
pub(crate) fn country(code: &str, name: &str) -> Value {
    map([("iso_code", text(code)), ("names", map([("en", text(name))]))])
}

/// The record of a City file.
pub(crate) fn city(name: &str, country_code: &str, country_name: &str, (latitude, longitude): (f64, f64)) -> Value {
    map([
        ("city", names([("en", name)])),
        ("country", country(country_code, country_name)),
        (
            "location",
            map([
                ("accuracy_radius", Value::U16(20)),
                ("latitude", Value::Double(latitude)),
                ("longitude", Value::Double(longitude)),
            ]),
        ),
    ])
}

impl Mmdb {
    /// An empty file that says it is of this type ("GeoLite2-City") and was built then.
    pub(crate) fn new(kind: &str, build_epoch: u64) -> Self {
        let mut database = Database::default();
        let about = &mut database.metadata;
        about.binary_format_major_version = 2;
        about.build_epoch = build_epoch;
        about.database_type = kind.to_owned();
        about.description.insert("en".to_owned(), "made up by a test".to_owned());
        about.ip_version = IpVersion::V6;
        about.languages = vec!["en".to_owned()];
        Self(database)
    }

    /// The record of all addresses of a network: `203.0.113.0/24`.
    pub(crate) fn with(mut self, network: &str, record: Value) -> Self {
        let (address, prefix) = network.split_once('/').expect("a network has a prefix");
        let prefix: usize = prefix.parse().expect("a prefix is a number");
        let (bits, prefix) = match address.parse().expect("a network has an address") {
            IpAddr::V4(address) => (u128::from(u32::from(address)), 96 + prefix),
            IpAddr::V6(address) => (Ipv6Addr::to_bits(address), prefix),
        };
        let record = self.0.insert_value(record).expect("a record can be written");
        self.0.insert_node((0..prefix).map(|depth| bits >> (127 - depth) & 1 == 1), record);
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.write_to(Vec::new()).expect("nothing fails in memory")
    }

    /// Puts the file in place the way it should be done: all at once.
    pub(crate) fn put(&self, path: &Path) {
        let beside = path.with_extension("new");
        fs::write(&beside, self.bytes()).expect("write beside");
        fs::rename(beside, path).expect("rename into place");
    }
}
