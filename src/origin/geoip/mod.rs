//! Places of addresses out of a file in MaxMind's format.

mod database;
#[cfg(test)]
mod tests;
mod watch;

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::sync::watch as channel;

use self::database::Database;
use super::Locator;
use crate::{error::ConfigError, place::Location};

/// The language in which every file has its names.
const ENGLISH: &str = "en";

/// Places of addresses out of a City or Country file in
/// [MaxMind's format](https://maxmind.github.io/MaxMind-DB/) (GeoLite2, GeoIP2, DB-IP, and others with the same fields).
///
/// No file comes with this crate: the application brings one, and replaces it when a newer one is out. **A replaced file
/// is taken over without a restart.** It is looked at every 10 s; one that is missing, damaged or half-written leaves the
/// old one in place, is reported with `tracing::warn!`, and is tried again at the next look. Best write the new file
/// beside the old one and rename it over it (`geoipupdate` does).
///
/// The file is held in memory as it is, about 60 MB for GeoLite2-City and twice that while a new one is read. It is not
/// mapped: a mapped file that is replaced is undefined behaviour. An answer takes a few microseconds and no lock.
///
/// Clones are the same file; the last one that is dropped ends the looking.
///
/// ```no_run
/// # async fn f() -> Result<(), axum_device_sessions::ConfigError> {
/// use axum_device_sessions::GeoIp;
///
/// let places = GeoIp::open("/var/lib/GeoIP/GeoLite2-City.mmdb").await?.language("de");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct GeoIp {
    file: Arc<File>,
    language: Arc<str>,
}

/// What the clones share.
struct File {
    path: PathBuf,
    database: ArcSwap<Database>,
    /// How often the file is looked at. That it is gone tells the task to end.
    every: channel::Sender<Duration>,
}

impl GeoIp {
    /// Reads the file, and starts the task that looks for a newer one.
    ///
    /// The whole file is checked, on a thread for blocking work: about a second for 140 MB.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is not in this format, is damaged, or says of no address in which country it is (one of
    /// networks or providers, say).
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, ConfigError> {
        let path = path.into();
        let database = watch::read(path.clone()).await.map_err(|cause| unusable(&path, cause))?;
        let (every, changes) = channel::channel(watch::EVERY);
        let seen = database.stamp();
        let file = Arc::new(File { path, database: ArcSwap::from_pointee(database), every });
        tokio::spawn(watch::run(Arc::downgrade(&file), file.path.clone(), seen, changes));
        Ok(Self { file, language: ENGLISH.into() })
    }

    /// How often the file is looked at, for all clones: its time, length and (on Unix) inode. At least a millisecond.
    /// Default: 10 s.
    pub fn check_every(self, interval: Duration) -> Self {
        self.file.every.send_replace(interval.max(Duration::from_millis(1)));
        self
    }

    /// The language of the names, as the file calls it: `"de"`, `"pt-BR"`, `"zh-CN"`. A name that is not there in that
    /// language is told in English. Default: `"en"`.
    pub fn language(self, language: impl AsRef<str>) -> Self {
        Self { language: language.as_ref().into(), ..self }
    }
}

impl Locator for GeoIp {
    fn locate(&self, address: IpAddr) -> Option<Location> {
        self.file.database.load().locate(address.to_canonical(), &self.language)
    }
}

impl fmt::Debug for GeoIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GeoIp")
            .field("path", &self.file.path)
            .field("build_epoch", &self.file.database.load().build_epoch())
            .finish_non_exhaustive()
    }
}

fn unusable(path: &Path, cause: database::Unusable) -> ConfigError {
    let path = path.display();
    let what = match &cause {
        database::Unusable::Unreadable(_) => format!("GeoIp: {path} cannot be read; give the path of an .mmdb file"),
        database::Unusable::Damaged(_) => {
            format!("GeoIp: {path} is not an undamaged file in MaxMind's format; give a City or Country .mmdb file")
        }
        database::Unusable::NoPlaces(kind) => format!(
            "GeoIp: {path} is of type {kind:?} and tells the country of no address; give a City or Country .mmdb file"
        ),
    };
    ConfigError::because(what, cause)
}
