//! One reading of a file.

use std::{
    error::Error as StdError,
    fmt,
    fs::{self, Metadata},
    io::{self, Read},
    net::IpAddr,
    path::Path,
    time::SystemTime,
};

use maxminddb::{LookupResult, MaxMindDbError, PathElement::Key, Reader};
use serde::Deserialize;

use super::ENGLISH;
use crate::{
    error::BoxError,
    place::{Location, Position},
};

/// The content of a file, and which file it was.
pub(super) struct Database {
    reader: Reader<Vec<u8>>,
    stamp: Stamp,
}

/// By what a file is told from the one that was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    /// Device and inode: a file that was renamed into place may be of the same second and length.
    node: Option<(u64, u64)>,
}

/// Why a file is not taken.
#[derive(Debug)]
pub(super) enum Unusable {
    Unreadable(BoxError),
    Damaged(BoxError),
    /// Its type.
    NoPlaces(String),
}

impl Stamp {
    /// Blocks.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|metadata| Self::new(&metadata))
    }

    fn new(metadata: &Metadata) -> Self {
        Self { modified: metadata.modified().ok(), length: metadata.len(), node: node(metadata) }
    }
}

#[cfg(unix)]
fn node(metadata: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
const fn node(_: &Metadata) -> Option<(u64, u64)> {
    None
}

impl Database {
    /// Reads and checks the whole file. Blocks.
    pub(super) fn read(path: &Path) -> Result<Self, Unusable> {
        let (bytes, stamp) = bytes(path).map_err(|error| Unusable::Unreadable(error.into()))?;
        let damaged = |error: MaxMindDbError| Unusable::Damaged(error.into());
        let reader = Reader::from_source(bytes).map_err(damaged)?;
        // What is wrong inside of it would else be found out by some user's sign-in, and never told.
        reader.verify().map_err(damaged)?;
        let database = Self { reader, stamp };
        if database.has_places().map_err(damaged)? {
            return Ok(database);
        }
        Err(Unusable::NoPlaces(database.reader.metadata().database_type.clone()))
    }

    /// Without the check of the whole.
    #[cfg(test)]
    pub(super) fn unchecked(bytes: Vec<u8>) -> Option<Self> {
        let stamp = Stamp { modified: None, length: 0, node: None };
        Some(Self { reader: Reader::from_source(bytes).ok()?, stamp })
    }

    pub(super) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// When the data was put together, in seconds since 1970.
    pub(super) fn build_epoch(&self) -> u64 {
        self.reader.metadata().build_epoch
    }

    /// The place of an address. What is missing or of the wrong type is unknown, without harm to the rest.
    pub(super) fn locate(&self, address: IpAddr, language: &str) -> Option<Location> {
        let record = self.reader.lookup(address).ok().filter(LookupResult::has_data).map(Record)?;
        // Where the address is; else where its network was registered, which is often the same.
        let country = ["country", "registered_country"].into_iter().find(|field| record.code(field).is_some());
        let location = Location {
            city: record.name("city", language).map(str::to_owned),
            country: country.and_then(|field| record.name(field, language)).map(str::to_owned),
            country_code: country.and_then(|field| record.code(field)).map(str::to_owned),
            position: record.position(),
        };
        (location != Location::default()).then_some(location)
    }

    /// Whether any address is somewhere. Types have many names, so it is the content that counts.
    fn has_places(&self) -> Result<bool, MaxMindDbError> {
        for network in self.reader.networks(Default::default())? {
            let record = Record(network?);
            if record.code("country").or_else(|| record.code("registered_country")).is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A number of any type: the reader takes each for itself alone, and files differ.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Whole(u32),
    Real(f64),
}

struct Record<'a>(LookupResult<'a, Vec<u8>>);

impl<'a> Record<'a> {
    fn code(&self, field: &str) -> Option<&'a str> {
        self.0.decode_path(&[Key(field), Key("iso_code")]).ok().flatten()
    }

    fn name(&self, field: &str, language: &str) -> Option<&'a str> {
        let name = |language| self.0.decode_path(&[Key(field), Key("names"), Key(language)]).ok().flatten();
        name(language).or_else(|| name(ENGLISH))
    }

    fn position(&self) -> Option<Position> {
        let number = |name| self.0.decode_path(&[Key("location"), Key(name)]).ok().flatten();
        let degrees = |name| {
            Some(match number(name)? {
                Number::Whole(number) => number.into(),
                Number::Real(number) => number,
            })
        };
        let accuracy = match number("accuracy_radius") {
            Some(Number::Whole(kilometres)) => Some(kilometres),
            _ => None,
        };
        Position::new(degrees("latitude")?, degrees("longitude")?, accuracy)
    }
}

/// All of a file that stayed the same while it was read.
fn bytes(path: &Path) -> io::Result<(Vec<u8>, Stamp)> {
    // A device or a pipe may never end, and a pipe without a writer not even open.
    let regular = |metadata: Metadata| match metadata.is_file() {
        true => Ok(metadata),
        false => Err(io::Error::other("it is no regular file")),
    };
    regular(fs::metadata(path)?)?;
    let mut file = fs::File::open(path)?;
    let metadata = regular(file.metadata()?)?;
    let stamp = Stamp::new(&metadata);
    let mut bytes = Vec::with_capacity(usize::try_from(stamp.length).unwrap_or_default());
    file.read_to_end(&mut bytes)?;
    let unchanged =
        Stamp::new(&file.metadata()?) == stamp && u64::try_from(bytes.len()).is_ok_and(|n| n == stamp.length);
    if unchanged { Ok((bytes, stamp)) } else { Err(io::Error::other("it changed while it was read")) }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(_) => f.write_str("it cannot be read"),
            Self::Damaged(_) => f.write_str("it is damaged, or of another format"),
            Self::NoPlaces(kind) => write!(f, "it is of type {kind:?} and tells the country of no address"),
        }
    }
}

impl StdError for Unusable {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Unreadable(cause) | Self::Damaged(cause) => Some(&**cause),
            Self::NoPlaces(_) => None,
        }
    }
}
