//! One at a time for each user, or session: whoever floods one account with sign-ins, or one session with refreshes, waits here,
//! and not on connections of the pool.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OwnedMutexGuard;

type Turn = Arc<tokio::sync::Mutex<()>>;

/// Those who are at it, and those who wait.
#[derive(Debug)]
pub(crate) struct Turns<K>(Mutex<HashMap<K, Turn>>);

/// The turn of one; the next one's when it is dropped.
pub(super) struct Taken<K: Eq + Hash> {
    turns: Arc<Turns<K>>,
    of: K,
    held: Option<OwnedMutexGuard<()>>,
    turn: Option<Turn>,
}

impl<K: Clone + Eq + Hash> Turns<K> {
    /// Waits for those who came before, in their order.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has not been there.
    pub(super) async fn take(self: &Arc<Self>, of: &K) -> Taken<K> {
        let turn = Arc::clone(self.turns().entry(of.clone()).or_default());
        // Dropped while waiting, it tidies up all the same.
        let mut taken = Taken { turns: Arc::clone(self), of: of.clone(), held: None, turn: Some(Arc::clone(&turn)) };
        taken.held = Some(turn.lock_owned().await);
        taken
    }
}

impl<K> Turns<K> {
    fn turns(&self) -> MutexGuard<'_, HashMap<K, Turn>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Drop for Taken<K> {
    fn drop(&mut self) {
        drop(self.held.take());
        drop(self.turn.take());
        let mut turns = self.turns.turns();
        // Nobody waits: only the map has it. Whoever comes next takes it under this lock.
        if turns.get(&self.of).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            turns.remove(&self.of);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::UserId;

    #[tokio::test]
    async fn one_at_a_time_and_nothing_is_left_behind() {
        let turns = Arc::new(Turns::default());
        let ahmed = UserId::from("ahmed");
        let first = turns.take(&ahmed).await;
        let other = turns.take(&"lena".into()).await;
        let mut second = tokio_test_poll(&turns, &ahmed);
        assert!(second.as_mut().now().is_none(), "waits for the first");
        drop(tokio_test_poll(&turns, &ahmed));
        drop(first);
        let second = second.await;
        drop((second, other));
        assert!(turns.turns().is_empty());
    }

    /// A waiter that has been polled once.
    fn tokio_test_poll(
        turns: &Arc<Turns<UserId>>,
        user: &UserId,
    ) -> std::pin::Pin<Box<dyn Future<Output = Taken<UserId>>>> {
        let (turns, user) = (Arc::clone(turns), user.clone());
        let mut waiting: std::pin::Pin<Box<dyn Future<Output = Taken<UserId>>>> =
            Box::pin(async move { turns.take(&user).await });
        assert!(waiting.as_mut().now().is_none());
        waiting
    }

    trait Now {
        type Output;
        fn now(self) -> Option<Self::Output>;
    }

    impl<F: Future + ?Sized> Now for std::pin::Pin<&mut F> {
        type Output = F::Output;
        fn now(self) -> Option<F::Output> {
            match self.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            }
        }
    }
}
