//! The task that writes activity down.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};

use super::{Recorder, Seen};
use crate::{
    clock::{Clock, jittered},
    error::Error,
    store::{Activity, SessionStore},
    telemetry,
};

/// Rows a statement. Its row locks are held for tens of milliseconds, and ends wait for them.
const CHUNK: usize = 1_000;

/// What the handle asks of the writer.
#[derive(Debug)]
pub(crate) enum Command {
    /// Write now, answer when done.
    Flush(oneshot::Sender<Result<(), Error>>),
    /// The same, and end.
    Stop(oneshot::Sender<Result<(), Error>>),
}

#[derive(Debug)]
pub(crate) struct Writer {
    recorder: Arc<Recorder>,
    store: Arc<dyn SessionStore>,
    clock: Clock,
    interval: Duration,
}

impl Writer {
    pub(crate) fn new(recorder: Arc<Recorder>, store: Arc<dyn SessionStore>, clock: Clock, interval: Duration) -> Self {
        Self { recorder, store, clock, interval }
    }

    /// Writes every interval, jittered so that nodes that started together do not write together, until it is stopped
    /// or the last handle is gone; then once more.
    pub(crate) async fn run(self, mut commands: mpsc::Receiver<Command>) {
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
    async fn flush(&self) -> Result<(), Error> {
        let mut queued = self.recorder.take_all();
        // Neighbours in the table go into one statement.
        queued.sort_unstable_by_key(|seen| seen.session.id());
        while !queued.is_empty() {
            let chunk: Vec<_> = queued.drain(..queued.len().min(CHUNK)).collect();
            match self.store.record_activity(self.ages(&chunk)).await {
                Ok(left_over) => {
                    telemetry::activity_written(chunk.len() - left_over.len().min(chunk.len()));
                    let left_over: HashSet<_> = left_over.into_iter().collect();
                    self.recorder.put_back(chunk.into_iter().filter(|seen| left_over.contains(&seen.session.id())));
                }
                Err(error) => {
                    self.recorder.put_back(chunk);
                    self.recorder.put_back(queued);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// As ages at this moment, so that the clocks of nodes and database need not agree.
    fn ages(&self, chunk: &[Seen]) -> Vec<Activity> {
        let row = |seen: &Seen| {
            seen.session.take();
            let at = seen.session.at()?;
            let age = self.clock.tick().since(at);
            Some(Activity { id: seen.session.id(), age, ip_address: seen.ip_address })
        };
        chunk.iter().filter_map(row).collect()
    }
}
