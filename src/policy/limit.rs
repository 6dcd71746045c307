//! How many sessions a user may have, and which end when there is one too many. Pure.

use std::{cmp::Reverse, fmt, sync::Arc};

use time::OffsetDateTime;

use crate::session::{DeviceType, SessionId, UserId};

/// How many sessions a user may have at once. A number is the same for everybody: `10.into()`.
#[derive(Clone)]
pub struct SessionLimit(Rule);

#[derive(Clone)]
enum Rule {
    All(u32),
    User(Arc<OfUser>),
    ClientType(Arc<OfClientType>),
}

type OfUser = dyn Fn(&UserId) -> Option<u32> + Send + Sync;
type OfClientType = dyn Fn(&UserId, DeviceType) -> Option<u32> + Send + Sync;

impl SessionLimit {
    /// So many for this user, of all kinds of clients together; `None`: as many as they like. Asked at each sign-in, under a
    /// lock: it answers from memory.
    pub fn of_user(limit: impl Fn(&UserId) -> Option<u32> + Send + Sync + 'static) -> Self {
        Self(Rule::User(Arc::new(limit)))
    }

    /// So many of this kind of client for this user; those of other kinds are counted apart. `None`: as many as they like,
    /// zero: none of this kind. Asked at each sign-in, under a lock: it answers from memory.
    ///
    /// The kind is what the client says of itself: whoever wants to can be another one.
    pub fn of_client_type(limit: impl Fn(&UserId, DeviceType) -> Option<u32> + Send + Sync + 'static) -> Self {
        Self(Rule::ClientType(Arc::new(limit)))
    }

    /// Nobody could sign in.
    pub(crate) const fn is_zero(&self) -> bool {
        matches!(self.0, Rule::All(0))
    }

    /// How many for a user and a kind of client, and whether only that kind counts.
    pub(crate) fn of(&self, user: &UserId, kind: DeviceType) -> Option<(u32, Option<DeviceType>)> {
        match &self.0 {
            Rule::All(limit) => Some((*limit, None)),
            Rule::User(limit) => limit(user).map(|limit| (limit, None)),
            Rule::ClientType(limit) => limit(user, kind).map(|limit| (limit, Some(kind))),
        }
    }
}

impl From<u32> for SessionLimit {
    fn from(limit: u32) -> Self {
        Self(Rule::All(limit))
    }
}

impl fmt::Debug for SessionLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rule::All(limit) => write!(f, "SessionLimit({limit})"),
            Rule::User(_) | Rule::ClientType(_) => f.debug_struct("SessionLimit").finish_non_exhaustive(),
        }
    }
}

/// What happens to a sign-in that would be one session too many. The new session is never the one that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnLimit {
    /// Those that were not used for longest end, as `limit`. What another node has seen within the last
    /// `activity_interval` does not count yet.
    EndLeastRecentlyActive,
    /// Those that were signed in first end, as `limit`.
    EndOldest,
    /// The sign-in is refused: 409 `session_limit_reached`, with the list of what there is, so that the user can choose.
    Refuse,
}

/// A session that counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    pub(crate) id: SessionId,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) last_seen_at: OffsetDateTime,
}

/// Which are to end, so that there is room for one more: all that are too many, also where the limit was higher before.
/// `None`: there can be no room.
pub(crate) fn make_room(mut there: Vec<Counted>, limit: u32, on_limit: OnLimit) -> Option<Vec<SessionId>> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let too_many = there.len().saturating_add(1).saturating_sub(limit);
    if too_many == 0 {
        return Some(Vec::new());
    }
    if limit == 0 || on_limit == OnLimit::Refuse {
        return None;
    }
    there.sort_by_key(|one| {
        let first = if on_limit == OnLimit::EndOldest { one.created_at } else { one.last_seen_at };
        (Reverse(first), Reverse(one.created_at), Reverse(one.id))
    });
    Some(there.iter().rev().take(too_many).map(|one| one.id).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn counted(id: u128, created: i64, seen: i64) -> Counted {
        let at = |seconds| OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds);
        let id = SessionId::from(Uuid::from_u128(id));
        Counted { id, created_at: at(created), last_seen_at: at(seen) }
    }

    #[test]
    fn who_goes() {
        let there = vec![counted(1, 10, 90), counted(2, 20, 40), counted(3, 30, 60)];
        let gone = |limit, on_limit| {
            let ids = make_room(there.clone(), limit, on_limit)?;
            Some(ids.iter().map(|id| id.as_uuid().as_u128()).collect::<Vec<_>>())
        };
        assert_eq!(gone(4, OnLimit::EndOldest), Some(vec![]));
        assert_eq!(gone(3, OnLimit::EndOldest), Some(vec![1]));
        assert_eq!(gone(3, OnLimit::EndLeastRecentlyActive), Some(vec![2]));
        assert_eq!(gone(2, OnLimit::EndLeastRecentlyActive), Some(vec![2, 3]), "all that are too many");
        assert_eq!(gone(1, OnLimit::EndOldest), Some(vec![1, 2, 3]));
        assert_eq!(gone(4, OnLimit::Refuse), Some(vec![]));
        assert_eq!(gone(3, OnLimit::Refuse), None);
        assert_eq!(gone(0, OnLimit::EndOldest), None, "none may be in, so none ends for it");
    }

    proptest! {
        #[test]
        fn there_is_room_for_one_and_no_more(
            there in proptest::collection::vec((any::<u128>(), 0_i64..50, 0_i64..50), 0..30), limit in 1_u32..12,
            oldest in any::<bool>(),
        ) {
            let there: Vec<_> = there.into_iter().map(|(id, created, seen)| counted(id, created, seen)).collect();
            let on_limit = if oldest { OnLimit::EndOldest } else { OnLimit::EndLeastRecentlyActive };
            let gone = make_room(there.clone(), limit, on_limit).unwrap();
            let left = there.len() - gone.len();
            prop_assert!(left < limit as usize);
            prop_assert!(gone.is_empty() || left + 1 == limit as usize, "no more than needed");
            let key = |one: &Counted| if oldest { one.created_at } else { one.last_seen_at };
            let stays = there.iter().filter(|one| !gone.contains(&one.id)).map(key).min();
            let goes = there.iter().filter(|one| gone.contains(&one.id)).map(key).max();
            prop_assert!(stays.zip(goes).is_none_or(|(stays, goes)| goes <= stays));
        }
    }
}
