//! The table of the rule, line by line. That the lines together keep what they promise is for `tests/refresh_model`.

use std::time::Duration;

use super::rule::{
    Cause, Confirmation, DbTime, Decision, FIRST, Generation, Reuse, Rotation, Settings, State, below_floor, confirm,
    refresh, rotate_by_server,
};

const GRACE: Settings = Settings { grace: Duration::from_secs(10), lost_response_window: None };
const LITERAL: Settings = Settings { grace: Duration::ZERO, lost_response_window: Some(Duration::ZERO) };

fn at(seconds: i64) -> DbTime {
    DbTime(seconds * 1_000_000)
}

/// What an accepted refresh leaves behind.
fn given(decision: Decision) -> State {
    match decision {
        Decision::Rotate(state, _) | Decision::Again(state) => state,
        refused => panic!("{refused:?}"),
    }
}

fn ask(state: &State, presented: Generation, seconds: i64) -> Decision {
    refresh(state, presented, at(seconds), &GRACE)
}

/// A session that refreshed once, at 100 s.
fn refreshed() -> State {
    given(ask(&State::new(), FIRST, 100))
}

fn seen(state: &State) -> State {
    match confirm(state, state.current) {
        Confirmation::Seen(state) => state,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_current_generation_rotates_and_is_handed_out_again_while_fresh() {
    let second = refreshed();
    let made = Rotation { root: 1, consumed_at: at(100), handed_at: at(100), seen: false };
    assert_eq!(second, State { current: 2, rotation: Some(made), ..State::new() });
    assert_eq!(ask(&second, 2, 109), Decision::Again(seen(&second)));
    assert_eq!(given(ask(&second, 2, 110)).current, 3);
    // A sign-in hands out nothing that a second tab could have doubled.
    assert_eq!(given(ask(&State::new(), 1, 0)).current, 2);
}

#[test]
fn the_root_gets_the_same_successor_within_the_grace_of_the_last_answer() {
    let once_more = given(ask(&refreshed(), 1, 109));
    assert_eq!(once_more.rotation.map(|made| (made.handed_at, made.consumed_at)), Some((at(109), at(100))));
    assert_eq!(given(ask(&once_more, 1, 118)).current, 2);
    // Once it was seen, no retry moves the grace.
    assert_eq!(ask(&seen(&refreshed()), 1, 109), Decision::Again(seen(&refreshed())));
    assert_eq!(ask(&seen(&refreshed()), 1, 110), Decision::Reuse(Reuse::LatePrev));
}

#[test]
fn a_lost_answer_rotates_forward_from_the_same_root_however_late() {
    let Decision::Rotate(third, Cause::LostResponse) = ask(&refreshed(), 1, 1_000_000) else {
        panic!("it is forgiven")
    };
    assert_eq!((third.current, third.at_floor, third.at_root), (3, 3, Some(1)));
    assert_eq!(third.rotation.map(|made| (made.root, made.consumed_at)), Some((1, at(100))));
    assert_eq!(ask(&third, 2, 1_000_001), Decision::Reuse(Reuse::Void));
    assert_eq!(confirm(&third, 2), Confirmation::Reuse);
    assert!(below_floor(3, Some(1), 2) && !below_floor(3, Some(1), 1) && !below_floor(3, Some(1), 3));
    let fourth = given(ask(&third, 3, 1_000_010));
    assert_eq!((fourth.at_floor, fourth.at_root), (3, Some(1)));
    assert_eq!(ask(&fourth, 2, 1_000_010), Decision::Reuse(Reuse::Void));
    assert_eq!(ask(&fourth, 1, 1_000_010), Decision::Reuse(Reuse::Stale));
}

#[test]
fn a_window_bounds_lateness_and_the_grace() {
    let settings = Settings { lost_response_window: Some(Duration::from_secs(60)), ..GRACE };
    let ask = |state: &State, seconds| refresh(state, 1, at(seconds), &settings);
    assert!(matches!(ask(&refreshed(), 159), Decision::Rotate(_, Cause::LostResponse)));
    assert_eq!(ask(&refreshed(), 160), Decision::Reuse(Reuse::LatePrev));
    let third = given(ask(&refreshed(), 159));
    assert_eq!(ask(&third, 168), Decision::Again(third), "in the grace, and no further");
    assert_eq!(ask(&third, 169), Decision::Reuse(Reuse::LatePrev));
}

#[test]
fn with_zeros_every_replay_is_reuse() {
    let second = given(refresh(&State::new(), 1, at(0), &LITERAL));
    assert_eq!(refresh(&second, 1, at(0), &LITERAL), Decision::Reuse(Reuse::LatePrev));
    assert_eq!(given(refresh(&second, 2, at(0), &LITERAL)).current, 3);
    assert!(LITERAL.contradiction().is_none() && GRACE.contradiction().is_none());
    for window in [None, Some(Duration::from_micros(1))] {
        assert!(Settings { lost_response_window: window, ..LITERAL }.contradiction().is_some());
    }
    assert!(Settings { lost_response_window: Some(Duration::ZERO), ..GRACE }.contradiction().is_none());
}

#[test]
fn a_newer_generation_than_the_row_knows_is_taken_as_current() {
    let Decision::Rotate(found, Cause::StateLost) = ask(&refreshed(), 7, 200) else { panic!("it is ours") };
    assert_eq!((found.current, found.at_floor, found.at_root), (8, 7, None));
    assert_eq!(given(ask(&found, 7, 205)).current, 8);
    assert_eq!(ask(&found, 2, 205), Decision::Superseded);
    assert_eq!(ask(&found, 2, 210), Decision::Reuse(Reuse::Stale));
}

#[test]
fn nothing_leads_past_a_reauthentication() {
    let renewed = rotate_by_server(&refreshed(), at(105)).unwrap();
    assert_eq!((renewed.current, renewed.rotation, renewed.at_floor, renewed.at_root), (3, None, 3, None));
    assert_eq!(ask(&renewed, 2, 114), Decision::Superseded);
    assert_eq!(ask(&renewed, 2, 115), Decision::Reuse(Reuse::Stale));
    assert_eq!(given(ask(&renewed, 3, 105)).current, 4);
}

#[test]
fn nothing_follows_an_end() {
    let ended = State { ended: true, ..refreshed() };
    for presented in 0..5 {
        assert_eq!(ask(&ended, presented, 100), Decision::Ended);
        assert_eq!(confirm(&ended, presented), Confirmation::Known);
    }
    assert_eq!(rotate_by_server(&ended, at(100)), None);
}

#[test]
fn a_clock_that_went_back_signs_nobody_out() {
    assert_eq!(given(ask(&seen(&refreshed()), 1, -50)).current, 2);
}

#[test]
fn a_confirmation_is_written_once_and_only_where_it_can_matter() {
    assert_eq!(confirm(&State::new(), FIRST), Confirmation::Known);
    assert_eq!(confirm(&seen(&refreshed()), 2), Confirmation::Known);
    assert_eq!(confirm(&refreshed(), 1), Confirmation::Known);
    assert_eq!(confirm(&refreshed(), 9), Confirmation::Known);
}
