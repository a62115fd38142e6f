//! Any order of repairs.

use proptest::prelude::*;

use super::*;

/// What was read of [0, 100), opened again and settled in any order.
fn repair(mut told: Told, steps: Vec<(i64, i64, u8)>) -> Result<(), TestCaseError> {
    let kept = told.kept.clone();
    for (start, length, step) in steps {
        let wanted = range(start, (start + length).min(100));
        match step {
            0 | 1 => {
                let why = if step == 0 { Reopening::Gap } else { Reopening::Lost("lost".to_owned()) };
                // Parts and gaps are not cut by what is opened.
                for wanted in wanted.without(&kept) {
                    if let Ok(events) = told.planner.reopening(&us(), wanted, &why) {
                        told.tell(events);
                    }
                }
            }
            _ => told.settle_one(start, step == 2),
        }
        while let Some(range) = told.planner.next_fill(&us()) {
            told.tell(vec![PlanEvent::RangeFilled { region: us(), range }]);
        }
    }
    let mut left = 1_000;
    while !told.planner.is_done() {
        told.settle_one(0, false);
        left -= 1;
        prop_assert!(left > 0, "nothing is left to ask, and it is not done: {:?}", told.planner);
    }
    while let Some(range) = told.planner.next_fill(&us()) {
        told.tell(vec![PlanEvent::RangeFilled { region: us(), range }]);
    }
    prop_assert!(told.planner.reopened().is_empty());
    // What is kept before all that is read, or behind it, is none of the region's range.
    let plan = &told.planner.regions()[0];
    let but: Vec<TimeRange> = told.planner.gaps_of(&us()).into_iter().chain(kept).collect();
    prop_assert_eq!(told.covered(), plan.range.without(&but));
    prop_assert_eq!(told.planner.done(plan), [plan.range]);
    Ok(())
}

proptest! {
    /// Whatever is opened again, finished or given up in any order, windows tile, a replay agrees (both checked by `tell`),
    /// and in the end everything is covered but for what is listed.
    #[test]
    fn any_order_of_repairs_accounts_for_every_second(steps in prop::collection::vec((0..100_i64, 1..40_i64, 0..4_u8), 0..30)) {
        repair(Told::ended(), steps)?;
    }

    /// The same beside seconds that are kept of former runs, wherever these lie: what touches them was once never done again.
    #[test]
    fn any_order_of_repairs_beside_what_is_kept_accounts_for_every_second(
        kept in prop::collection::vec((0..20_i64, 1..6_i64), 0..5),
        steps in prop::collection::vec((0..20_i64, 1..10_i64, 0..4_u8), 0..20),
    ) {
        let kept: Vec<TimeRange> = kept.iter().map(|(start, length)| range(start * 5, (start + length).min(20) * 5)).collect();
        let read = range(0, 100).without(&kept);
        prop_assume!(!read.is_empty());
        let kept = range(0, 100).without(&read);
        repair(Told::ended_beside(&kept), steps.into_iter().map(|(start, length, step)| (start * 5, length * 5, step)).collect())?;
    }
}
