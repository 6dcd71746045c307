//! Telling others, as asked for by the application and by those who were told.

use std::sync::Arc;

use super::{Sessions, in_time};
use crate::{
    error::{Error, ErrorKind},
    event::PushTarget,
    notice::EventStream,
    session::SessionId,
    store::{Alert, Disowned},
};

impl Sessions {
    /// The events of all nodes, a hand in psql included, from now on: a [`Stream`](futures_core::Stream). For a dashboard, a
    /// cache, a live view. Each process that asks gets all of them, once or more often, those of one session in their order.
    ///
    /// Nobody waits for its reader: whoever is over a thousand behind misses some, and is told how many. What happens while this
    /// process is away, or cannot reach the database for a minute, is not kept for it either: for what must not be lost there is [`notify`](crate::SessionsBuilder::notify).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`].
    ///
    /// # Cancel safety
    ///
    /// Dropped, nothing is listened to.
    pub async fn events(&self) -> Result<EventStream, Error> {
        in_time("listening to events", self.0.desk.listen()).await
    }

    /// Where the device of this session can be reached by push: it is told when the session is ended by somebody else, and when
    /// somebody signs in on a new device. `None` forgets it, as does the end of the session. Where the same device was
    /// known for another session, it is forgotten there. The mounted route does it (`PUT /sessions/current/push-target`).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] where no notifier here pushes to this provider, or the token is empty, over 2,048 bytes or not
    /// of plain ASCII; [`ErrorKind::InvalidToken`] where there is no such live session; [`ErrorKind::Unavailable`].
    ///
    /// # Cancel safety
    ///
    /// Dropped, it is carried out all the same.
    pub async fn set_push_target(&self, id: SessionId, target: Option<PushTarget>) -> Result<(), Error> {
        let known = |target: &PushTarget| target.is_plausible() && self.0.desk.providers.contains(&target.provider);
        if !target.as_ref().is_none_or(known) {
            return Err(Error::new(ErrorKind::InvalidInput, "nobody here pushes to such a target"));
        }
        let store = Arc::clone(&self.0.store);
        let is_live = self.detached(REACHING, async move { store.set_push_target(id, target).await }).await?;
        if is_live { Ok(()) } else { Err(Error::new(ErrorKind::InvalidToken, REACHING)) }
    }

    /// The sign-in that the link in a mail is about; `link` is the last part of its address. For a page of the application's
    /// own: [`routes::alerts`](crate::routes::alerts) has one. It changes nothing, however often a mail scanner asks.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidLink`] where it is none of ours or too old; [`ErrorKind::Unavailable`].
    ///
    /// # Cancel safety
    ///
    /// Drop it at any time.
    pub async fn alert(&self, link: &str) -> Result<Alert, Error> {
        let alert = self.read_link(link)?;
        in_time(LOOKING, self.0.store.alert(alert)).await?.ok_or_else(|| Error::new(ErrorKind::InvalidLink, LOOKING))
    }

    /// "No, that was not me": ends that session, and any that its device has signed in with since, as
    /// [`RevokedByAlert`](crate::EndReason::RevokedByAlert), forgets the device (the next sign-in there is on a new one), and
    /// tells the application by the event `login.disowned` that the password should change. Once for each link.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidLink`] where it is none of ours, too old, or has been used; [`ErrorKind::Unavailable`]: it may or may not
    /// have been done; try again.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it is carried out all the same.
    pub async fn disown(&self, link: &str) -> Result<Disowned, Error> {
        let alert = self.read_link(link)?;
        let inner = Arc::clone(&self.0);
        self.detached(DISOWNING, async move {
            let disowned = inner.store.disown(alert).await?;
            let disowned = disowned.ok_or_else(|| Error::new(ErrorKind::InvalidLink, DISOWNING))?;
            inner.learn_of(&disowned.ended);
            Ok(disowned)
        })
        .await
    }

    fn read_link(&self, link: &str) -> Result<uuid::Uuid, Error> {
        let links = self.0.alert_links.as_ref();
        let alert = links.and_then(|links| links.read(link, self.0.clock.wall()));
        alert.ok_or_else(|| Error::new(ErrorKind::InvalidLink, "reading a link"))
    }
}

const REACHING: &str = "setting a push target";
const LOOKING: &str = "looking at a sign-in";
const DISOWNING: &str = "disowning a sign-in";
