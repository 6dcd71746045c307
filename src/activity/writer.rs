//! The task that writes activity down.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

use super::{Queue, Recorder, Seen};
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
        self.unwritten.sort_unstable_keys();
        let mut left_over = Queue::new();
        let mut flushed = Ok(());
        let at_once = if self.unwritten.len() > MANY { 4 * CHUNK } else { CHUNK };
        while flushed.is_ok() && !self.unwritten.is_empty() {
            flushed = self.write_last(at_once, &mut left_over).await;
        }
        // In a place of their own: the one that was as large as everything goes.
        left_over.append(&mut self.unwritten);
        self.unwritten = left_over;
        self.recorder.unwritten.store(self.unwritten.len(), Ordering::Release);
        flushed
    }

    /// A statement, or a few, for the last of them. What was there but could not be written goes to `left_over`; after a failure all stay.
    async fn write_last(&mut self, at_once: usize, left_over: &mut Queue) -> Result<(), Error> {
        let from = self.unwritten.len().saturating_sub(at_once);
        let chunk = &self.unwritten.as_slice()[from..];
        let activity = chunk.iter().filter_map(|(id, seen)| self.activity(*id, seen)).collect();
        // After all of them have been taken: whoever sees it finds them so.
        self.recorder.taken.fetch_add(1, Ordering::Release);
        let locked: HashSet<_> = match self.store.record_activity(activity).await {
            Ok(locked) => locked.into_iter().collect(),
            Err(error) => {
                chunk.values().for_each(|seen| seen.session.put_back());
                return Err(error);
            }
        };
        let (chunk_len, before) = (chunk.len(), left_over.len());
        left_over.extend(self.unwritten.drain(from..).filter(|(id, _)| locked.contains(id)));
        left_over[before..].values().for_each(|seen| seen.session.put_back());
        telemetry::activity_written(chunk_len - (left_over.len() - before));
        Ok(())
    }

    /// As an age at this moment, so that the clocks of nodes and database need not agree.
    fn activity(&self, id: SessionId, seen: &Seen) -> Option<Activity> {
        seen.session.take();
        let at = seen.session.at()?;
        // Here and not on the way of a request.
        let location = seen.whence.located(self.locator.as_deref());
        Some(Activity { id, age: self.clock.tick().since(at), ip_address: seen.whence.ip_address, location })
    }
}
