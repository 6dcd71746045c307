//! What the templates are filled with. All of it is escaped but [`Moment`], which sees to that itself.

use std::borrow::Cow;

use askama::Template;
use time::OffsetDateTime;

use super::{Page, address::Home, strings::Strings, times::Moment};
use crate::session::{self, DeviceType, EndReason, FormFactor, Session};

/// The list.
#[derive(Template)]
#[template(path = "page/list.html")]
pub(super) struct List<'a> {
    pub(super) page: &'a Page,
    pub(super) here: &'a Home,
    pub(super) t: &'a Strings,
    /// By which the times were counted.
    pub(super) now: String,
    pub(super) notice: Option<Notice<'a>>,
    pub(super) devices: Vec<Device<'a>>,
    pub(super) history: Vec<Past<'a>>,
}

/// Is it meant?
#[derive(Template)]
#[template(path = "page/question.html")]
pub(super) struct Question<'a> {
    pub(super) page: &'a Page,
    pub(super) here: &'a Home,
    pub(super) t: &'a Strings,
    pub(super) title: &'a str,
    pub(super) text: &'a str,
    pub(super) action: &'static str,
    pub(super) button: &'a str,
}

/// What stands in the way, and how to go on.
#[derive(Template)]
#[template(path = "page/message.html")]
pub(super) struct Message<'a> {
    pub(super) page: &'a Page,
    pub(super) here: &'a Home,
    pub(super) t: &'a Strings,
    pub(super) title: &'a str,
    pub(super) text: &'a str,
    pub(super) way_on: Option<(&'a str, &'a str)>,
}

/// What has been done.
pub(super) struct Notice<'a> {
    pub(super) text: &'a str,
    pub(super) is_refusal: bool,
}

impl<'a> Notice<'a> {
    /// Of a known word alone: anybody can write a link with something else in it.
    pub(super) fn of(done: &str, t: &'a Strings) -> Option<Self> {
        let (text, is_refusal) = match done {
            "signed_out" => (&t.done_signed_out, false),
            "others" => (&t.done_others, false),
            "renamed" => (&t.done_renamed, false),
            "gone" => (&t.done_gone, false),
            "current" => (&t.done_current, true),
            "name" => (&t.done_name, true),
            _ => return None,
        };
        Some(Self { text, is_refusal })
    }
}

/// One that is signed in.
pub(super) struct Device<'a> {
    pub(super) id: String,
    pub(super) name: &'a str,
    pub(super) icon: &'static str,
    pub(super) place: Cow<'a, str>,
    pub(super) created: Moment<'a>,
    /// `None`: just now, since it asks.
    pub(super) active: Option<Moment<'a>>,
    pub(super) is_current: bool,
}

impl<'a> Device<'a> {
    pub(super) fn of(session: &'a Session, t: &'a Strings, now: OffsetDateTime) -> Self {
        let address = || session.ip_address.map(|address| Cow::Owned(address.to_string()));
        let place = session.location.as_deref().map(Cow::Borrowed).or_else(address);
        let moment = |at| Moment { at, now, strings: t };
        Self {
            id: session.id.to_string(),
            name: &session.device.name,
            icon: icon(&session.device),
            place: place.unwrap_or(Cow::Borrowed(&t.unknown_place)),
            created: moment(session.created_at),
            active: (!session.is_current).then(|| moment(session.last_activity_at)),
            is_current: session.is_current,
        }
    }
}

/// One of `icons.html`.
fn icon(device: &session::Device) -> &'static str {
    match (device.form_factor, device.kind) {
        (Some(FormFactor::Desktop), _) => "desktop",
        (Some(FormFactor::Phone), _) => "phone",
        (Some(FormFactor::Tablet), _) => "tablet",
        (Some(FormFactor::Tv), _) => "tv",
        (Some(FormFactor::Console), _) => "console",
        (Some(FormFactor::Watch), _) => "watch",
        (None, DeviceType::Ios | DeviceType::Android) => "phone",
        (None, DeviceType::Web) => "desktop",
        (None, DeviceType::Other) => "other",
    }
}

/// One that is not any more.
pub(super) struct Past<'a> {
    pub(super) name: &'a str,
    pub(super) reason: &'a str,
    pub(super) ended: Moment<'a>,
}

impl<'a> Past<'a> {
    pub(super) fn of(session: &'a Session, t: &'a Strings, now: OffsetDateTime) -> Option<Self> {
        let ended = session.ended.as_ref()?;
        let reason = match &ended.reason {
            EndReason::Logout => &t.reason_logout,
            EndReason::RevokedByUser => &t.reason_revoked_by_user,
            EndReason::RevokedByAdmin => &t.reason_revoked_by_admin,
            EndReason::RevokedByAlert => &t.reason_revoked_by_alert,
            EndReason::Replaced => &t.reason_replaced,
            EndReason::Limit => &t.reason_limit,
            EndReason::Idle => &t.reason_idle,
            EndReason::Absolute => &t.reason_absolute,
            EndReason::RefreshReuse => &t.reason_refresh_reuse,
            EndReason::CredentialChange => &t.reason_credential_change,
            EndReason::AccountDisabled => &t.reason_account_disabled,
            // Somebody's own words, in no language that is known.
            EndReason::Other(_) => &t.reason_other,
        };
        Some(Self { name: &session.device.name, reason, ended: Moment { at: ended.at, now, strings: t } })
    }
}
