//! A notifier that keeps what it is told, and answers as the test wants.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::sync::{Arc, Mutex};

use axum_device_sessions::{EventKind, Message, NotDelivered, Notice, Notifier, Wants};

use super::support::eventually;

/// Cheap to clone: all of them hold the same.
#[derive(Clone)]
pub(crate) struct Told {
    wants: Wants,
    notices: Arc<Mutex<Vec<Notice>>>,
    answer: Arc<Answer>,
}

type Answer = dyn Fn(&Notice) -> Result<(), NotDelivered> + Send + Sync;

impl Told {
    pub(crate) fn of(wants: Wants) -> Self {
        Self::answering(wants, |_| Ok(()))
    }

    pub(crate) fn everything() -> Self {
        Self::of(Wants::events(EventKind::ALL.iter().copied()))
    }

    pub(crate) fn answering(
        wants: Wants,
        answer: impl Fn(&Notice) -> Result<(), NotDelivered> + Send + Sync + 'static,
    ) -> Self {
        Self { wants, notices: Arc::default(), answer: Arc::new(answer) }
    }

    pub(crate) fn notices(&self) -> Vec<Notice> {
        self.notices.lock().unwrap().clone()
    }

    /// `session.ended revoked_by_user`, `force_logout`, `new_login`, `mail`: each in the order of its arrival.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.notices().iter().map(text).collect()
    }

    /// Waits until there are so many.
    pub(crate) async fn count(&self, count: usize) -> Vec<Notice> {
        eventually(&format!("{count} notices"), async || self.notices().len() >= count).await;
        let notices = self.notices();
        assert_eq!(notices.len(), count, "{:?}", self.texts());
        notices
    }
}

pub(crate) fn text(notice: &Notice) -> String {
    let reason = notice.event.reason.as_ref().map(|reason| format!(" {reason}")).unwrap_or_default();
    match &notice.message {
        Message::Event => format!("{}{reason}", notice.event.kind),
        Message::ForceLogout { target } => format!("force_logout {}{reason}", target.token),
        Message::NewLogin { target } => format!("new_login {}", target.token),
        Message::NewLoginMail { .. } => "mail".to_owned(),
        other => format!("{other:?}"),
    }
}

impl Notifier for Told {
    fn wants(&self) -> Wants {
        self.wants.clone()
    }

    async fn deliver(&self, notice: &Notice) -> Result<(), NotDelivered> {
        let answer = (self.answer)(notice);
        if answer.is_ok() {
            self.notices.lock().unwrap().push(notice.clone());
        }
        answer
    }
}
