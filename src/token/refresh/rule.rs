//! The refresh rule: pure and synchronous, over the standard library alone.
//!
//! `tests/refresh_model` goes through every history of two tabs, a thief, an end, a failover and two nodes with this very
//! file, and `tests/refresh_mutants.rs` shows that it notices each deliberate mistake (`cfg!(mutant = "..")`) in it.
//!
//! # Words
//!
//! A session counts its token pairs: a pair is a *generation*, and a refresh makes the next one. The *root* of the current
//! generation is the generation that was first consumed to make it. Generations between the root and the current one were
//! made for the same root, given up, and are *void*.

use std::{cmp::Ordering, time::Duration};

/// The number of a token pair. The first of a session is [`FIRST`].
pub(crate) type Generation = u64;

/// The generation that a sign-in makes.
pub(crate) const FIRST: Generation = 1;

/// An instant of the database's clock, in microseconds since 1970: no node's own clock has a say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DbTime(pub(crate) i64);

impl DbTime {
    /// Zero where `earlier` is ahead, as after a failover to a server whose clock is behind.
    fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// How forgiving the rule is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// For so long a consumed token is answered with the same successor.
    pub(crate) grace: Duration,
    /// For so long after its first use a token may be used again if the answer never arrived; `None` is the life of the
    /// session.
    pub(crate) lost_response_window: Option<Duration>,
}

impl Settings {
    /// Why these two cannot go together, if they cannot.
    pub(crate) fn contradiction(&self) -> Option<&'static str> {
        (self.grace.is_zero() && self.lost_response_window != Some(Duration::ZERO)).then_some(
            "a refresh grace of zero with a lost-response window would sign a user out who refreshes in two tabs at once: \
             set both to zero (RFC 9700 to the letter), or give a grace",
        )
    }

    fn in_grace(&self, now: DbTime, of: DbTime) -> bool {
        now.since(of) < self.grace
    }

    fn in_window(&self, now: DbTime, of: DbTime) -> bool {
        self.lost_response_window.is_none_or(|window| now.since(of) < window)
    }
}

/// What the row of a session says of its tokens: counters and times, and nothing from which a token could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) current: Generation,
    /// The refresh that made `current`; `None` where a sign-in or the server itself did.
    pub(crate) rotation: Option<Rotation>,
    /// Access tokens of generations below are refused, but for those of `at_root`. Only ever raised.
    pub(crate) at_floor: Generation,
    /// The root for which the generations up to `at_floor` were given up: between the two everything is void.
    pub(crate) at_root: Option<Generation>,
    /// When the chain was last broken: by a re-authentication, or by a failover that lost a rotation.
    pub(crate) broken_at: Option<DbTime>,
    pub(crate) ended: bool,
}

/// Where the current generation came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rotation {
    /// The generation first consumed to make the current one. Rotating forward keeps it.
    pub(crate) root: Generation,
    /// When the root was first consumed. No retry moves it.
    pub(crate) consumed_at: DbTime,
    /// When the current generation was last handed out before it was known to have arrived.
    pub(crate) handed_at: DbTime,
    /// The current generation has been used, so somebody has it.
    pub(crate) seen: bool,
}

impl State {
    /// A session just signed in: one generation, nothing consumed.
    pub(crate) const fn new() -> Self {
        Self { current: FIRST, rotation: None, at_floor: FIRST, at_root: None, broken_at: None, ended: false }
    }

    fn is_void(&self, generation: Generation) -> bool {
        self.at_root.is_some_and(|root| root < generation && generation < self.at_floor)
    }
}

/// What becomes of a refresh. Tokens of `state.current` are handed out for the first two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// A new generation.
    Rotate(State, Cause),
    /// The current generation once more. The state may be as it was; then nothing needs writing.
    Again(State),
    /// Two parties hold tokens of this session, and nobody can say which is the owner: end it, in the same transaction.
    Reuse(Reuse),
    /// A token from before the chain was broken, in the grace of that. It gets nothing and does nothing.
    Superseded,
    /// The session had ended.
    Ended,
}

/// Why a new generation was made, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Refresh,
    /// The answer to an earlier refresh never arrived. It raises `at_floor`: the other nodes are to be told.
    LostResponse,
    /// The database lost a rotation that it had acknowledged. It raises `at_floor` too.
    StateLost,
}

/// How a reuse was noticed, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// Older than the root.
    Stale,
    /// The root itself, after its successor was used or after the window.
    LatePrev,
    /// Of a generation that was given up.
    Void,
}

/// What becomes of a refresh with a token of generation `presented`, whose MAC was good.
///
/// | presented | when | decision |
/// |---|---|---|
/// | any | the session has ended | [`Ended`](Decision::Ended) |
/// | current | made by a refresh and handed out within the grace | the same again, and it counts as seen |
/// | current | else | rotate |
/// | the root | within the grace of `handed_at` | the same successor again |
/// | the root | later, successor never seen, within the window | rotate forward: same root, `at_floor` is the new generation, `at_root` the root |
/// | the root | later still, or its successor was seen | reuse: `LatePrev` |
/// | older, or void | within the grace of `broken_at` | [`Superseded`](Decision::Superseded) |
/// | void | | reuse: `Void` |
/// | older | | reuse: `Stale` |
/// | newer | | take it as current and rotate; `at_floor` is what was presented: `StateLost` |
///
/// "Within" is strictly less, so a grace of zero is none.
///
/// # Reasons
///
/// - **The same successor**, not one each: two tabs share a store, and the one whose token was given up would be signed out.
/// - **Rotate forward after the grace**, not the same successor: a thief who refreshes just before the owner and keeps still
///   would share every generation and never be found. Forward, one of the two is left behind, and is found when it
///   refreshes next.
/// - **A fixed root**: the second answer may be lost as well. If the given-up generation became the root (or `current - 1`
///   were taken for it), the honest client's token would be stale after one retry.
/// - **`consumed_at` is fixed**: or the window would be as long as somebody keeps retrying.
/// - **`handed_at` moves until the successor was seen**: a retry that is answered has to have the whole grace, or the other
///   tab's request, a moment later, makes void what the first has just stored. **Not after**, nor past the window: else
///   whoever has the root keeps the grace open for ever.
/// - **The current generation within the grace is handed out again**: a tab that loads while another refreshes would
///   rotate, and then the other's doubled request is stale. It runs from `handed_at`, not from when the generation was
///   made, because a retry may have been answered since. That it was presented proves that it arrived.
/// - **`at_floor`**: whoever was left behind is to be refused at once, and so to refresh, and so to be found. **`at_root` is
///   exempt**: a refused access token of the root would tell a thief who only watches that the grace is open just now.
/// - **Newer than current** can only be ours, lost by a failover or a restore. Refusing it signs out everybody whom the
///   failover met. `at_floor` is raised because which generations below were void is lost, too.
/// - **`broken_at`**: after a re-authentication the tokens from before it get nothing (ASVS 7.2.4: who knew them must not
///   come along), but a tab that refreshed in the same moment is no theft. The same for one that a failover overtook.
/// - **Counters and the database's clock only**: clocks of nodes differ, and times from tokens are older than the row.
///
/// # What still signs an honest client out
///
/// - A token that was used before it was stored, and then lost in a crash.
/// - A second tab whose request arrives later than the grace, after the first was answered.
/// - A late answer that is stored over a newer one.
/// - The answer to a re-authentication that is lost: what the client still has is from before.
///
/// So clients store before they use, never store a lower generation, refresh one at a time, and have an HTTP timeout that
/// differs from the grace.
///
/// # What a thief can still do
///
/// Hit the grace of the owner each time, or keep it open: a thief who presents the root more often than the grace is
/// handed whatever the owner is handed. With a grace and a window of zero this ends, and with it all forbearance.
pub(crate) fn refresh(state: &State, presented: Generation, now: DbTime, settings: &Settings) -> Decision {
    if state.ended && !cfg!(mutant = "answers_after_end") {
        return Decision::Ended;
    }
    match presented.cmp(&state.current) {
        Ordering::Equal => of_current(state, now, settings),
        Ordering::Less => of_consumed(state, presented, now, settings),
        Ordering::Greater if cfg!(mutant = "state_lost_is_reuse") => Decision::Reuse(Reuse::Stale),
        Ordering::Greater => {
            let at_floor = if cfg!(mutant = "state_lost_keeps_floor") { state.at_floor } else { presented };
            let found = State { at_floor, at_root: None, broken_at: Some(now), ..*state };
            Decision::Rotate(rotated(found, presented, now), Cause::StateLost)
        }
    }
}

fn of_current(state: &State, now: DbTime, settings: &Settings) -> Decision {
    if let Some(made) = state.rotation {
        let since = if cfg!(mutant = "fresh_since_made") { made.consumed_at } else { made.handed_at };
        if settings.in_grace(now, since) && !cfg!(mutant = "no_fresh_hand_out") {
            let seen = !cfg!(mutant = "fresh_not_seen") || made.seen;
            return Decision::Again(State { rotation: Some(Rotation { seen, ..made }), ..*state });
        }
    }
    Decision::Rotate(rotated(*state, state.current, now), Cause::Refresh)
}

fn of_consumed(state: &State, presented: Generation, now: DbTime, settings: &Settings) -> Decision {
    let cur_minus_one = cfg!(mutant = "root_is_cur_minus_one");
    let is_root = |made: &Rotation| presented == if cur_minus_one { state.current - 1 } else { made.root };
    let Some(made) = state.rotation.filter(is_root) else {
        return gone(state, presented, now, settings);
    };
    let seen = made.seen && !cfg!(mutant = "seen_ignored");
    let in_window = settings.in_window(now, made.consumed_at);
    if settings.in_grace(now, made.handed_at) || (cfg!(mutant = "same_successor_past_grace") && !seen) {
        let moves = (!seen || cfg!(mutant = "sliding_grace"))
            && (in_window || cfg!(mutant = "slides_past_window"))
            && !cfg!(mutant = "fixed_grace");
        let handed_at = if moves { now } else { made.handed_at };
        return Decision::Again(State { rotation: Some(Rotation { handed_at, ..made }), ..*state });
    }
    if seen || !in_window {
        return Decision::Reuse(Reuse::LatePrev);
    }
    let current = state.current.saturating_add(1);
    let root = if cfg!(mutant = "no_fixed_root") { state.current } else { made.root };
    let consumed_at = if cfg!(mutant = "window_restarts") { now } else { made.consumed_at };
    let forward = State {
        current,
        rotation: Some(Rotation { root, consumed_at, handed_at: now, seen: false }),
        at_floor: if cfg!(mutant = "no_at_floor") { state.at_floor } else { current },
        at_root: (!cfg!(mutant = "no_at_root")).then_some(made.root),
        ..*state
    };
    Decision::Rotate(forward, Cause::LostResponse)
}

fn gone(state: &State, presented: Generation, now: DbTime, settings: &Settings) -> Decision {
    let just_broken = state.broken_at.is_some_and(|broken_at| settings.in_grace(now, broken_at));
    if just_broken && !cfg!(mutant = "no_amnesty") {
        return Decision::Superseded;
    }
    Decision::Reuse(if state.is_void(presented) { Reuse::Void } else { Reuse::Stale })
}

/// An ordinary step: `consumed` becomes the root of the next generation.
fn rotated(state: State, consumed: Generation, now: DbTime) -> State {
    let made = Rotation { root: consumed, consumed_at: now, handed_at: now, seen: false };
    State { current: consumed.saturating_add(1), rotation: Some(made), ..state }
}

/// What becomes of the news that an access token was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Confirmation {
    /// Write this state: the current generation has arrived.
    Seen(State),
    /// Nothing to write.
    Known,
    /// A generation that was given up is in use after all: end the session, as for a refresh.
    Reuse,
}

/// An access token of generation `used` was let in by a node, at any time before.
///
/// Sent once for each generation, within a second and within the grace; a lost one costs no more than that a late retry of
/// the root is taken for a lost answer. For a void generation it is proof that two parties have tokens: the one who was
/// left behind got in before the floor was raised, or on a node that had not yet heard of it.
pub(crate) fn confirm(state: &State, used: Generation) -> Confirmation {
    if state.ended {
        return Confirmation::Known;
    }
    if state.is_void(used) && !cfg!(mutant = "void_confirmation_ignored") {
        return Confirmation::Reuse;
    }
    match state.rotation {
        Some(made) if used == state.current && !made.seen => {
            Confirmation::Seen(State { rotation: Some(Rotation { seen: true, ..made }), ..*state })
        }
        // A generation that no refresh made has no root whose retry it could forbid.
        _ => Confirmation::Known,
    }
}

/// Whether an access token of this generation is refused, as `token_expired`: an innocent client refreshes and goes on,
/// and whoever was left behind is found by that.
pub(crate) const fn below_floor(at_floor: Generation, at_root: Option<Generation>, generation: Generation) -> bool {
    let is_root = matches!(at_root, Some(root) if root == generation);
    generation < at_floor && !is_root
}

/// The server makes a new generation by itself, after a re-authentication: all earlier tokens are done with, and no retry
/// leads from them to the new ones. `None` for a session that has ended.
pub(crate) fn rotate_by_server(state: &State, now: DbTime) -> Option<State> {
    if state.ended {
        return None;
    }
    let next = rotated(*state, state.current, now);
    let at_floor = if cfg!(mutant = "reauth_keeps_floor") { state.at_floor } else { next.current };
    let rotation = next.rotation.filter(|_| cfg!(mutant = "reauth_opens_grace"));
    Some(State { rotation, at_floor, at_root: None, broken_at: Some(now), ..next })
}
