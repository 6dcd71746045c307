//! Events in this process, wherever they happen.

use std::{
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use futures_core::Stream;
use tokio::sync::mpsc::{self, error::TrySendError};

use super::{NotDelivered, Notifier};
use crate::event::{Event, EventKind, Notice, Wants};

/// The events of all nodes: see [`Sessions::events`](crate::Sessions::events).
///
/// A [`Stream`] that ends when `Sessions` does. Drop it when it is not needed any more.
#[derive(Debug)]
#[must_use = "it tells nothing unless it is read"]
pub struct EventStream(mpsc::Receiver<Result<Event, MissedEvents>>);

impl EventStream {
    /// The next event, or how many have been missed; `None` when `Sessions` has been shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropped, nothing is lost.
    pub async fn next(&mut self) -> Option<Result<Event, MissedEvents>> {
        self.0.recv().await
    }
}

impl Stream for EventStream {
    type Item = Result<Event, MissedEvents>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

/// A reader was over a thousand events behind, and has missed some. Nobody else waits for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissedEvents {
    /// How many.
    pub count: u64,
}

impl std::fmt::Display for MissedEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} events were missed: they were read too slowly", self.count)
    }
}

impl std::error::Error for MissedEvents {}

/// Those who read the events in this process.
#[derive(Debug, Default)]
pub(crate) struct Readers(Mutex<Vec<Reader>>);

#[derive(Debug)]
struct Reader {
    to: mpsc::Sender<Result<Event, MissedEvents>>,
    missed: u64,
}

impl Readers {
    pub(crate) fn add(&self) -> EventStream {
        let (to, stream) = mpsc::channel(BEHIND);
        self.readers().push(Reader { to, missed: 0 });
        EventStream(stream)
    }

    /// Somebody still reads.
    pub(super) fn are_there(&self) -> bool {
        let mut readers = self.readers();
        readers.retain(|reader| !reader.to.is_closed());
        !readers.is_empty()
    }

    pub(super) fn close(&self) {
        self.readers().clear();
    }

    fn tell(&self, event: &Event) {
        self.readers().retain_mut(|reader| reader.tell(event));
    }

    fn readers(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    /// Never waits. `false`: it is gone.
    fn tell(&mut self, event: &Event) -> bool {
        if self.missed > 0 {
            match self.to.try_send(Err(MissedEvents { count: self.missed })) {
                Ok(()) => self.missed = 0,
                Err(TrySendError::Full(_)) => {
                    self.missed += 1;
                    return true;
                }
                Err(TrySendError::Closed(_)) => return false,
            }
        }
        match self.to.try_send(Ok(event.clone())) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.missed += 1;
                true
            }
            Err(TrySendError::Closed(_)) => false,
        }
    }
}

/// Tells the readers of this process.
pub(super) struct Here(pub(super) std::sync::Arc<Readers>);

impl Notifier for Here {
    fn wants(&self) -> Wants {
        Wants::events(EventKind::ALL.iter().copied())
    }

    async fn deliver(&self, notice: &Notice) -> Result<(), NotDelivered> {
        self.0.tell(&notice.event);
        Ok(())
    }
}

/// Events that a reader may be behind.
const BEHIND: usize = 1_024;
