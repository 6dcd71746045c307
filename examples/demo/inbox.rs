//! What would go out: the demo's own notifier, in place of FCM, APNs and a mail server. It hands pushes to the simulated
//! devices, and keeps everything where the page shows it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum_device_sessions::{EndReason, EventKind, Message, NotDelivered, Notice, Notifier, UserId, Wants};

use crate::{Changed, devices::Devices};

/// By whom the simulated devices say they are reached.
pub(crate) const PROVIDER: &str = "demo-inbox";

/// Something that went out.
#[derive(Clone)]
pub(crate) struct Letter {
    pub(crate) id: String,
    pub(crate) user: UserId,
    pub(crate) kind: Kind,
    pub(crate) to: String,
    pub(crate) subject: String,
    pub(crate) text: String,
    /// "That was not me": a secret of the user's.
    pub(crate) not_me: Option<String>,
    pub(crate) at: time::OffsetDateTime,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Push,
    Mail,
    /// To the application itself.
    Event,
}

pub(crate) struct Inbox {
    letters: Mutex<VecDeque<Letter>>,
    changed: Changed,
}

/// Of all users together.
const KEPT: usize = 500;

impl Inbox {
    pub(crate) fn new(changed: Changed) -> Self {
        Self { letters: Mutex::default(), changed }
    }

    /// The newest first.
    pub(crate) fn of(&self, user: &UserId) -> Vec<Letter> {
        self.letters().iter().filter(|letter| letter.user == *user).take(30).cloned().collect()
    }

    fn put(&self, letter: Letter) {
        let mut letters = self.letters();
        // "At least once": the same one may come again, and is known by its id.
        if letters.iter().any(|known| known.id == letter.id) {
            return;
        }
        letters.push_front(letter);
        letters.truncate(KEPT);
        drop(letters);
        self.changed.ring();
    }

    fn letters(&self) -> MutexGuard<'_, VecDeque<Letter>> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way out.
pub(crate) struct Outside {
    pub(crate) devices: Arc<Devices>,
    pub(crate) inbox: Arc<Inbox>,
}

impl Notifier for Outside {
    fn wants(&self) -> Wants {
        Wants::push(PROVIDER).and(Wants::mail()).and(Wants::events([EventKind::LoginDisowned]))
    }

    async fn deliver(&self, notice: &Notice) -> Result<(), NotDelivered> {
        let event = &notice.event;
        let device = &event.device_name;
        let address = || event.ip_address.map(|ip| ip.to_string());
        let place = event.location.clone().or_else(address).unwrap_or_else(|| "an unknown place".to_owned());
        let (kind, to, subject, text, not_me) = match &notice.message {
            Message::ForceLogout { target } => {
                let reason = event.reason.as_ref().map_or("", EndReason::as_str);
                self.devices.force_logout(&target.token, event.session_id, reason);
                let text = format!("force_logout ({reason}), with the id of its session");
                (Kind::Push, device.clone(), "Signed out".to_owned(), text, None)
            }
            Message::NewLogin { target } => {
                let to = self.devices.name(&target.token).unwrap_or_else(|| "another device".to_owned());
                (Kind::Push, to, "New sign-in".to_owned(), format!("{device}, {place}"), None)
            }
            Message::NewLoginMail { disown_url } => {
                let to = format!("{}@example.com", event.user_id);
                let text = "We have not seen this device before. If it was you, there is nothing to do.".to_owned();
                (Kind::Mail, to, format!("New sign-in: {device}, {place}"), text, disown_url.clone())
            }
            Message::Event => {
                let text = format!("{device} was somebody else. Now ask for a new password.");
                (Kind::Event, "your service".to_owned(), event.kind.to_string(), text, None)
            }
            _ => return Err(NotDelivered::refused("not asked for")),
        };
        let (id, user, at) = (notice.id.to_string(), event.user_id.clone(), event.at);
        self.inbox.put(Letter { id, user, kind, to, subject, text, not_me, at });
        Ok(())
    }
}
