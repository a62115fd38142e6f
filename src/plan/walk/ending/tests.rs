//! The last page that a service serves lies within one second: whatever comes instead of the next, no row is missing without a word.

use std::collections::BTreeSet;

use crate::api::contract::{Filters, SOURCE};
use crate::plan::fact::{PageFact, RowKey, VideoKey};
use crate::plan::planner::{Planner, Task};
use crate::plan::testing::{page_of, range, read_to_the_end, us};
use crate::units::EpochSeconds;

/// The last page that is served.
const CAP: u32 = 5;
const SIZE: usize = SOURCE.page_size as usize;

/// The page that is asked for, where its rows stand in this order.
fn page(task: &Task, at: EpochSeconds, rows: &[(i64, u64)]) -> PageFact {
    let wanted = task.query.min_create_time.unwrap().get()..=task.query.max_create_time.unwrap().get();
    let skipped = usize::try_from(task.query.page.get() - 1).unwrap() * SIZE;
    let asked = rows.iter().filter(|(second, _)| wanted.contains(second)).skip(skipped).take(SIZE);
    let rows: Vec<RowKey> =
        asked.map(|(second, id)| RowKey { second: EpochSeconds::new(*second), video: VideoKey(*id) }).collect();
    let slots = u32::try_from(rows.len()).unwrap();
    PageFact { slots, rows, ..page_of(task.address.clone(), at, []) }
}

/// The seconds of rows that are neither shown nor listed once the run is done.
fn missing(rows: &[(i64, u64)], answer: impl Fn(&Task, EpochSeconds, usize) -> Option<PageFact>) -> BTreeSet<i64> {
    let mut plan = Planner::new(&[us()], Filters::default(), range(0, 200));
    let (mut shown, mut asked) = (BTreeSet::new(), 0);
    read_to_the_end(&mut plan, |task, at| {
        asked += 1;
        let page = answer(task, at, asked)?;
        shown.extend(page.rows.iter().map(|row| row.video.0));
        Some(page)
    });
    assert!(plan.is_done());
    let is_listed = |second: i64| plan.unproven().iter().any(|listed| listed.range.contains(EpochSeconds::new(second)));
    let missing = rows.iter().filter(|(second, id)| !shown.contains(id) && !is_listed(*second));
    missing.map(|(second, _)| *second).collect()
}

/// Rows always came newest first. The pages up to the cap were full of the newest second, the next one was refused, and the walk went on past
/// that second. What lay before it was taken for read.
#[test]
fn no_page_beyond_the_cap_says_that_rows_come_oldest_first() {
    let before = (0..26).map(|id| (i64::try_from(id).unwrap() * 4, id));
    let newest_first: Vec<(i64, u64)> = before.chain((26..100).map(|id| (150, id))).rev().collect();
    let refuses = |task: &Task, at, _| (task.query.page.get() <= CAP).then(|| page(task, at, &newest_first));
    assert_eq!(missing(&newest_first, refuses), BTreeSet::new());
    let serves_none = |task: &Task, at, _| {
        let rows: &[(i64, u64)] = if task.query.page.get() <= CAP { &newest_first } else { &[] };
        Some(page(task, at, rows))
    };
    assert_eq!(missing(&newest_first, serves_none), BTreeSet::new());
}

/// Rows of one second come in the same order from both ends. Of the last page that is served a row was left out, so that it looked like the
/// last of all.
#[test]
fn a_last_page_with_a_free_place_may_be_the_cap_too() {
    let one_second: Vec<(i64, u64)> = (0..57).map(|id| (100, id)).collect();
    let lacks_one = |task: &Task, at, number| {
        let rows: &[(i64, u64)] = if task.query.page.get() <= CAP { &one_second } else { &[] };
        let mut page = page(task, at, rows);
        if task.query.page.get() == CAP && number < 10 {
            page.rows.remove(1);
            page.slots -= 1;
        }
        Some(page)
    };
    assert_eq!(missing(&one_second, lacks_one), BTreeSet::new());
}
