//! One at a time for each user: whoever floods one account with sign-ins waits here, and not on connections of the pool.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OwnedMutexGuard;

use crate::session::UserId;

type Turn = Arc<tokio::sync::Mutex<()>>;

/// Those who are at it, and those who wait.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<UserId, Turn>>);

/// The turn of one; the next one's when it is dropped.
pub(super) struct Taken {
    turns: Arc<Turns>,
    user: UserId,
    held: Option<OwnedMutexGuard<()>>,
    turn: Option<Turn>,
}

impl Turns {
    /// Waits for those who came before, in their order.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has not been there.
    pub(super) async fn take(self: &Arc<Self>, user: &UserId) -> Taken {
        let turn = Arc::clone(self.turns().entry(user.clone()).or_default());
        // Dropped while waiting, it tidies up all the same.
        let mut taken =
            Taken { turns: Arc::clone(self), user: user.clone(), held: None, turn: Some(Arc::clone(&turn)) };
        taken.held = Some(turn.lock_owned().await);
        taken
    }

    fn turns(&self) -> MutexGuard<'_, HashMap<UserId, Turn>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        drop(self.held.take());
        drop(self.turn.take());
        let mut turns = self.turns.turns();
        // Nobody waits: only the map has it. Whoever comes next takes it under this lock.
        if turns.get(&self.user).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            turns.remove(&self.user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn tokio_test_poll(turns: &Arc<Turns>, user: &UserId) -> std::pin::Pin<Box<dyn Future<Output = Taken>>> {
        let (turns, user) = (Arc::clone(turns), user.clone());
        let mut waiting: std::pin::Pin<Box<dyn Future<Output = Taken>>> =
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
