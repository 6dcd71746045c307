//! The task that writes activity down.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

use super::{Queue, Recorder};
use crate::{
    clock::{Clock, jittered},
    error::Error,
    origin::Locator,
    session::SessionId,
    store::{Activity, SessionStore},
    telemetry,
};

/// Rows a statement. Its row locks are held for tens of milliseconds, and ends wait for them.
const CHUNK: usize = 1_000;
/// More than so many, a tenth of a second's work, are handed over by several statements' worth: the store may write two at once.
const MANY: usize = 10 * CHUNK;

/// What the handle asks of the writer.
#[derive(Debug)]
pub(crate) enum Command {
    /// Write now, answer when done.
    Flush(oneshot::Sender<Result<(), Error>>),
    /// The same, and end.
    Stop(oneshot::Sender<Result<(), Error>>),
}

pub(crate) struct Writer {
    recorder: Arc<Recorder>,
    store: Arc<dyn SessionStore>,
    locator: Option<Arc<dyn Locator>>,
    clock: Clock,
    interval: Duration,
    /// Taken from the recorder and not written yet.
    unwritten: Queue,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("recorder", &self.recorder).finish_non_exhaustive()
    }
}

impl Writer {
    pub(crate) fn new(
        recorder: Arc<Recorder>,
        store: Arc<dyn SessionStore>,
        locator: Option<Arc<dyn Locator>>,
        clock: Clock,
        interval: Duration,
    ) -> Self {
        Self { recorder, store, locator, clock, interval, unwritten: Queue::new() }
    }

    /// Writes every interval, jittered so that nodes that started together do not write together, until it is stopped
    /// or the last handle is gone; then once more.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            let pause = tokio::time::sleep(jittered(self.interval, 5));
            let command = tokio::select! {
                command = commands.recv() => Some(command),
                () = pause => None,
            };
            let flushed = self.flush().await;
            if let Err(error) = &flushed {
                tracing::warn!(error = error as &dyn std::error::Error, "cannot record activity; it is kept");
            }
            match command {
                None => {}
                // Whoever asked may have gone.
                Some(Some(Command::Flush(reply))) => drop(reply.send(flushed)),
                Some(Some(Command::Stop(reply))) => return drop(reply.send(flushed)),
                Some(None) => return,
            }
        }
    }

    /// Everything that is queued, in chunks. After a failure the rest stays queued.
    async fn flush(&mut self) -> Result<(), Error> {
        self.recorder.take(&mut self.unwritten);
        // Neighbours in the table go into one statement.
        let mut ids: Vec<_> = self.unwritten.keys().copied().collect();
        ids.sort_unstable();
        let mut flushed = Ok(());
        for chunk in ids.chunks(if ids.len() > MANY { 4 * CHUNK } else { CHUNK }) {
            flushed = self.write(chunk).await;
            if flushed.is_err() {
                break;
            }
        }
        self.recorder.unwritten.store(self.unwritten.len(), Ordering::Release);
        flushed
    }

    /// A statement, or a few. What could not be written stays.
    async fn write(&mut self, chunk: &[SessionId]) -> Result<(), Error> {
        let activity = chunk.iter().filter_map(|id| self.activity(*id)).collect();
        let written = self.store.record_activity(activity).await;
        let left_over: HashSet<_> = match &written {
            Ok(left_over) => left_over.iter().copied().collect(),
            Err(_) => chunk.iter().copied().collect(),
        };
        for id in chunk {
            if !left_over.contains(id) {
                self.unwritten.remove(id);
            } else if let Some(seen) = self.unwritten.get(id) {
                seen.session.put_back();
            }
        }
        written.map(|_| telemetry::activity_written(chunk.len() - left_over.len().min(chunk.len())))
    }

    /// As an age at this moment, so that the clocks of nodes and database need not agree.
    fn activity(&self, id: SessionId) -> Option<Activity> {
        let seen = self.unwritten.get(&id)?;
        seen.session.take();
        let at = seen.session.at()?;
        // Here and not on the way of a request.
        let location = seen.whence.located(self.locator.as_deref());
        Some(Activity { id, age: self.clock.tick().since(at), ip_address: seen.whence.ip_address, location })
    }
}
