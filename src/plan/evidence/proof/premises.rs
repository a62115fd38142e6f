//! Each premise is needed: without it some small world makes a claim false.

use super::Tally;
use super::sampled::{Dice, world};
use crate::plan::evidence::premise::Premise;

/// Worlds that are tried for a counter-example to each premise.
const WORLDS: u64 = 200_000;
/// Worlds that are tried after the first one, for a smaller one.
const SMALLER: u64 = 2_000;

/// The smallest false claim among many worlds, with a premise left out.
fn counter_example(dropped: Premise) -> Option<String> {
    let (mut tally, mut dice) = (Tally::default(), Dice(7));
    let mut left = WORLDS;
    while left > 0 {
        let (scenario, rules) = world(&mut dice);
        tally.try_world(&scenario, rules, Some(dropped));
        left = if tally.refuted.is_some() { left.min(SMALLER) - 1 } else { left - 1 };
    }
    tally.refuted.map(|(_, text)| text)
}

/// One test for each premise.
macro_rules! is_needed {
    ($($name:ident: $premise:ident,)*) => {
        $(#[test]
        fn $name() {
            let found = counter_example(Premise::$premise);
            println!("{}", found.as_deref().unwrap_or("none"));
            assert!(found.is_some(), "no world refutes the kernel without {:?}", Premise::$premise);
        })*
    };
}

is_needed! {
    without_order_a_claim_is_false: Order,
    without_dates_a_claim_is_false: Dates,
    without_bounds_a_claim_is_false: Bounds,
    with_deletions_a_claim_is_false: NoDeletion,
    with_insertions_out_of_turn_a_claim_is_false: NoInsertion,
    with_pages_that_are_always_empty_a_claim_is_false: EmptyIsEnd,
    with_unstable_ties_a_claim_is_false: StableTies,
    with_ties_that_are_not_mirrored_a_claim_is_false: MirroredTies,
    with_pages_that_hide_rows_a_claim_is_false: ShortHidesNothing,
    with_poor_answers_a_claim_is_false: AnswersWhole,
    with_trouble_that_lasts_a_claim_is_false: TroublePasses,
}
