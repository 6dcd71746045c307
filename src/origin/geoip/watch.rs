//! The task that looks for a newer file.

use std::{
    error::Error as StdError,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{sync::watch::Receiver, task::spawn_blocking};

use super::{
    File,
    database::{Database, Stamp, Unusable},
};

/// A look costs one system call, and files are replaced daily or weekly.
pub(super) const EVERY: Duration = Duration::from_secs(10);

/// Reads a file on a thread for blocking work.
pub(super) async fn read(path: PathBuf) -> Result<Database, Unusable> {
    let read = spawn_blocking(move || Database::read(&path));
    // It fails with the runtime, or if the reader panics.
    read.await.unwrap_or_else(|error| Err(Unusable::Damaged(error.into())))
}

/// Takes over each newer file until the last handle is gone.
pub(super) async fn run(file: Weak<File>, path: PathBuf, mut current: Stamp, mut every: Receiver<Duration>) {
    // The state of which a failure was reported: tried again at each look, but not told again.
    let mut reported = None;
    loop {
        let interval = *every.borrow_and_update();
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            changed = every.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        }
        let stamp = stamp(path.clone()).await;
        if stamp == Some(current) {
            reported = None;
            continue;
        }
        match read(path.clone()).await {
            Ok(database) => {
                let Some(file) = file.upgrade() else { return };
                current = database.stamp();
                reported = None;
                tracing::info!(path = %path.display(), build_epoch = database.build_epoch(), "read a newer file of places");
                file.database.store(Arc::new(database));
            }
            Err(error) => {
                if reported != Some(stamp) {
                    report(&path, &error);
                }
                reported = Some(stamp);
            }
        }
    }
}

/// `None` where there is no file.
async fn stamp(path: PathBuf) -> Option<Stamp> {
    spawn_blocking(move || Stamp::of(&path)).await.ok()?.ok()
}

fn report(path: &Path, error: &Unusable) {
    let error: &(dyn StdError + 'static) = error;
    tracing::warn!(path = %path.display(), error, "cannot use the newer file of places; the old one is kept");
}
