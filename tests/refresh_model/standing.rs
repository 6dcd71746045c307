//! What must hold in each world, whatever comes next.

use std::time::Duration;

use crate::{
    rule::{
        Cause, Confirmation, Decision, Generation, Settings, State, below_floor, confirm, refresh, rotate_by_server,
    },
    step::Next,
    world::{NOW, Scenario, World, bit},
};

/// What must hold wherever one stands, for every token that anybody may have.
pub(crate) fn standing(world: &World, scenario: &Scenario) -> Option<&'static str> {
    let (state, truth) = (world.row.state(), &world.truth);
    for small in 1..=scenario.top {
        let generation = Generation::from(small);
        let void = truth.void & bit(small) > 0;
        let refused = below_floor(state.at_floor, state.at_root, generation);
        let decision = refresh(&state, generation, NOW, &scenario.settings());
        if void && !refused {
            return Some("an access token of a void pair is let in");
        }
        if void && matches!(decision, Decision::Rotate(..) | Decision::Again(_)) {
            return Some("a void pair is accepted again");
        }
        if !void && confirm(&state, generation) == Confirmation::Reuse {
            return Some("the confirmation of a pair that is not void ends the session");
        }
        if small < truth.barrier && !refused {
            return Some("an access token from before a re-authentication is let in");
        }
        if generation == state.current && refused {
            return Some("an access token of the current pair is refused");
        }
        let answered = matches!(decision, Decision::Again(_) | Decision::Rotate(_, Cause::LostResponse));
        if generation < state.current && answered && refused {
            return Some("a refused access token tells a thief that its refresh token would be answered now");
        }
    }
    None
}

/// The session has ended: whatever comes, now or later, is refused.
pub(crate) fn ended(world: &World) -> Next {
    let state = State { ended: true, ..world.row.state() };
    let settings = Settings { grace: Duration::MAX, lost_response_window: None };
    for generation in 0..=state.current + 2 {
        let refused = refresh(&state, generation, NOW, &settings) == Decision::Ended;
        if !refused || confirm(&state, generation) != Confirmation::Known || rotate_by_server(&state, NOW).is_some() {
            return Next::Violation("something is accepted after the end");
        }
    }
    Next::Ended
}
