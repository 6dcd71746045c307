//! One read under way for a session, and who waits for it.
//!
//! The race that this and `loader.rs` exist for: a flight reads "live", the session ends, the flight stores "live". Whoever
//! learns of a change marks the flight void, under the lock in which a landing flight decides whether to store. Void
//! or not, its reading may answer those who had asked *before* it was sent: they might as well have been a moment
//! quicker.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::{Notify, SetOnce};

use super::{
    reading::Reading,
    standing::{Place, Places},
    state::State,
};
use crate::{error::Error, session::UserId};

/// Reads under way for one session, who waits for them to tell of a change, and where its tokens stand in front. Behind one
/// pointer: sessions are many, and most are neither being read, nor waited for, nor asked for again and again.
#[derive(Debug, Default)]
pub(super) struct Flights(Option<Box<Asked>>);

#[derive(Debug, Default)]
struct Asked {
    current: Option<Arc<Flight>>,
    changed: Option<Arc<Notify>>,
    in_front: Places,
}

impl Flights {
    /// A change was told. What has not been sent yet will see it anyway.
    pub(super) fn make_void(&mut self) {
        if let Some(flight) = self.current() {
            flight.void.store(flight.is_sent(), Ordering::Relaxed);
        }
    }

    /// Tells of changes from here on.
    pub(super) fn changed(&mut self) -> Arc<Notify> {
        Arc::clone(self.0.get_or_insert_default().changed.get_or_insert_default())
    }

    /// The same, if anybody has ever asked for it.
    pub(super) fn waited_for(&self) -> Option<Arc<Notify>> {
        self.0.as_ref()?.changed.clone()
    }

    pub(super) fn current(&self) -> Option<&Arc<Flight>> {
        self.0.as_ref()?.current.as_ref()
    }

    pub(super) fn begin(&mut self, flight: Arc<Flight>) {
        self.0.get_or_insert_default().current = Some(flight);
    }

    /// Takes this one out, unless it has landed before.
    pub(super) fn land(&mut self, flight: &Arc<Flight>) -> Option<Arc<Flight>> {
        self.0.as_mut()?.current.take_if(|current| Arc::ptr_eq(current, flight))
    }

    /// After that: with the next, or without any.
    pub(super) fn go_on(&mut self, next: Option<Arc<Flight>>) {
        if let Some(next) = next {
            self.begin(next);
        } else {
            self.put_down();
        }
    }

    /// What is put there counts until [`Flights::leave_front`].
    pub(super) fn stand_in_front(&mut self, place: Place) {
        self.0.get_or_insert_default().in_front.add(place);
    }

    /// Nothing that is in front counts any more.
    pub(super) fn leave_front(&mut self) {
        if let Some(asked) = &mut self.0 {
            asked.in_front.void_all();
            self.put_down();
        }
    }

    #[cfg(test)]
    pub(super) const fn size_of_asked() -> usize {
        size_of::<Asked>()
    }

    fn put_down(&mut self) {
        let idle = |Asked { current, changed, in_front }: &Asked| {
            current.is_none() && changed.is_none() && in_front.is_empty()
        };
        self.0.take_if(|asked| idle(asked));
    }
}

#[derive(Debug)]
pub(super) struct Flight {
    pub(super) state: Arc<State>,
    /// Of the token that asked first: mostly the row's, and then kept once.
    pub(super) user: Option<UserId>,
    /// This and the next two are read and written under the lock of the state's flights.
    pub(super) sent: AtomicBool,
    pub(super) void: AtomicBool,
    /// For those who need a read that begins after this one was sent.
    next: Mutex<Option<Pilot>>,
    /// `None`: nobody is left to land it.
    pub(super) landed: SetOnce<Option<Landed>>,
}

#[derive(Debug)]
pub(super) struct Landed {
    pub(super) found: Found,
    pub(super) void: bool,
}

pub(super) type Found = Result<Arc<Reading>, Arc<Error>>;

impl Flight {
    pub(super) fn is_sent(&self) -> bool {
        self.sent.load(Ordering::Relaxed)
    }

    pub(super) fn next(&self) -> MutexGuard<'_, Option<Pilot>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever has it lands the flight. If that fails (a panic on the way), those who wait are told so.
#[derive(Debug)]
pub(super) struct Pilot(pub(super) Arc<Flight>);

impl Pilot {
    pub(super) fn new(state: &Arc<State>, user: Option<&UserId>) -> Self {
        Self(Arc::new(Flight {
            state: Arc::clone(state),
            user: user.cloned(),
            sent: AtomicBool::new(false),
            void: AtomicBool::new(false),
            next: Mutex::new(None),
            landed: SetOnce::new(),
        }))
    }

    pub(super) fn flight(&self) -> Arc<Flight> {
        Arc::clone(&self.0)
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        // Refused where it has landed.
        let _ = self.0.landed.set(None);
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, task::Context, task::Poll, task::Waker};

    use super::{
        super::{standing::Counts, state::Registry},
        *,
    };
    use crate::session::SessionId;

    /// The control: while somebody is there to land it, they wait.
    #[test]
    fn who_waits_for_a_flight_that_nobody_lands_is_told() {
        let pilot = Pilot::new(&Arc::new(Registry::new()).find_or_make(SessionId::new()), None);
        let flight = pilot.flight();
        let mut waiting = pin!(flight.landed.wait());
        let mut look = || waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(look().is_pending());
        drop(pilot);
        assert!(matches!(look(), Poll::Ready(None)));
    }

    /// A read that fails tells of no change, so what stands in front stays there; and the next change must find it.
    #[test]
    fn a_flight_that_lands_leaves_the_places_to_the_next_change() {
        let pilot = Pilot::new(&Arc::new(Registry::new()).find_or_make(SessionId::new()), None);
        let (counts, mut flights) = (Counts::new(1), Flights::default());
        flights.stand_in_front(counts.place(0));
        flights.begin(pilot.flight());
        assert!(flights.land(&pilot.flight()).is_some());
        flights.go_on(None);
        assert_eq!(counts.of(0), 0);
        flights.leave_front();
        assert_eq!(counts.of(0), 1);
        assert!(flights.0.is_none(), "nothing is kept of it");
    }
}
