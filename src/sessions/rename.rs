//! Names that owners give.

use std::sync::Arc;

use super::{Sessions, in_time};
use crate::{
    device,
    error::{Error, ErrorKind},
    session::{Session, SessionId, UserId},
};

impl Sessions {
    /// Gives a session a name of its owner's. Where its device is known, the name stays with that: later sessions on it
    /// have it too. `None` where this user has no such live session.
    ///
    /// The name is trimmed, and has 1 to 64 characters, none of them a control character and some of them visible.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for another name; [`ErrorKind::Unavailable`]: it may or may not have been renamed.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it is carried out all the same.
    pub async fn rename(&self, user: &UserId, id: SessionId, name: &str) -> Result<Option<Session>, Error> {
        let name = device::valid_name(name).ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, "a name has 1 to 64 characters, no control characters")
        })?;
        let (inner, user) = (Arc::clone(&self.0), user.clone());
        self.detached("renaming a session", async move {
            let renamed = in_time("renaming a session", inner.store.rename(id, &user, &name)).await;
            // Also where it is not known whether it was carried out.
            inner.cache.mark_stale(id);
            inner.desk.poke();
            let now = inner.clock.tick();
            let seen = inner.cache.last_seen(id);
            Ok(renamed?.map(|session| inner.up_to_date(session, seen, now, inner.clock.wall())))
        })
        .await
    }
}
