use super::*;
use crate::api::contract::{Filters, TimeOrder};
use crate::plan::ends::Ends;
use crate::plan::event::PlanEvent;
use crate::plan::fact::{PageAddress, PageFact, Purpose, RowKey, VideoKey, WindowId};
use crate::plan::planner::Task;
use crate::plan::reopen::Reopening;
use crate::plan::testing::{page_of, range, read_on, served, us};
use crate::units::PageNumber;

fn ends(seconds: impl IntoIterator<Item = i64>) -> Ends {
    let purpose = Purpose::Walk { window: WindowId(0), scan: 0 };
    let address = PageAddress { region: us(), purpose, page: PageNumber::FIRST };
    let mut ends = Ends::default();
    // Each row has its own id, also those of one second.
    let mut page = page_of(address, EpochSeconds::new(1_000), seconds);
    page.rows.iter_mut().zip(0..).for_each(|(row, number)| row.video.0 = number);
    ends.learn(&page, |_| true);
    ends
}

#[test]
fn a_second_is_found_from_which_the_last_rows_fill_their_pages() {
    let from = |ends: &Ends, margin| ends.fills_pages_from(10, margin).map(EpochSeconds::get);
    let spread = ends((0..25).map(|row| row * 4));
    assert_eq!((from(&spread, 0), from(&spread, 1)), (Some(60), Some(60)), "the last ten");
    assert_eq!(from(&ends(0..25), 0), Some(15));
    assert_eq!(from(&ends(0..25), 1), None, "as it is asked, a row stands before each");
    let tied = ends((0..14).chain(14..16).chain([15]).chain(16..25));
    assert_eq!(from(&tied, 0), Some(6), "the tenth from the end is the second of its second");
    assert_eq!(from(&ends(vec![7; 10]), 1), Some(7), "there are no others");
    assert_eq!(from(&ends(0..9), 0), None);
    assert_eq!(from(&ends(vec![7; 50]), 0), None, "nobody remembers those before");
}

/// A plan of a service whose short pages hide rows, which has read rows at every fourth second up to 96.
fn read() -> Planner {
    let mut plan = Planner::new(&[us()], Filters::default(), range(0, 200));
    plan.opening().iter().for_each(|event| plan.apply_event(event));
    read_on(&mut plan, |task, now| Some(served(task, 96, now, |_| true)));
    plan.apply_event(&PlanEvent::ShortPagesHide);
    plan
}

#[test]
fn what_is_read_again_begins_where_pages_come_full() {
    let plan = read();
    let aligned = |ranges: &[(i64, i64)]| {
        let ranges = ranges.iter().map(|(start, end)| range(*start, *end)).collect();
        let aligned = plan.aligned(&us(), ranges).into_iter();
        aligned.map(|range| (range.start.get(), range.end.get())).collect::<Vec<_>>()
    };
    assert_eq!(aligned(&[(20, 60)]), [(20, 60)], "its pages are full");
    assert_eq!(aligned(&[(92, 97)]), [(60, 97)]);
    assert_eq!(aligned(&[(20, 97)]), [(20, 60), (60, 97)]);
    assert_eq!(aligned(&[(0, 8), (20, 64), (70, 80), (92, 97)]), [(0, 8), (20, 60), (60, 97)]);
    assert_eq!(aligned(&[(60, 61)]), [(60, 61)]);
    assert_eq!(aligned(&[]), []);
}

#[test]
fn nothing_is_widened_where_short_pages_are_believed_or_former_runs_have_read() {
    let believing = Planner::new(&[us()], Filters::default(), range(0, 200));
    assert_eq!(believing.aligned(&us(), vec![range(92, 97)]), [range(92, 97)]);
    let mut plan = read();
    plan.regions[0].kept = vec![range(70, 80)];
    assert_eq!(plan.aligned(&us(), vec![range(92, 97)]), [range(92, 97)]);
    assert_eq!(plan.aligned(&us(), vec![range(20, 70), range(80, 97)]), [range(20, 70), range(80, 97)]);
    plan.regions[0].kept = vec![range(10, 20)];
    assert_eq!(plan.aligned(&us(), vec![range(92, 97)]), [range(60, 97)]);
}

/// What a service with these rows answers.
fn answer(rows: &[RowKey], task: &Task, now: EpochSeconds) -> PageFact {
    let mut page = served(task, -1, now, |_| true);
    let (min, max) = (task.query.min_create_time.unwrap(), task.query.max_create_time.unwrap());
    let mut asked: Vec<RowKey> = rows.iter().filter(|row| (min..=max).contains(&row.second)).copied().collect();
    if task.query.order == TimeOrder::NewestFirst {
        asked.reverse();
    }
    let first = usize::try_from(task.query.page.get() - 1).unwrap() * 10;
    page.rows = asked.into_iter().skip(first).take(10).collect();
    page.slots = u32::try_from(page.rows.len()).unwrap();
    page
}

/// Reads a region of these rows, of whose pages those of the questions in `trouble` hold at most five; then what is in doubt once more, as
/// the next start does. Gives what is listed after each.
fn half_pages(rows: &[RowKey], trouble: std::ops::Range<usize>) -> [Vec<TimeRange>; 2] {
    let mut plan = Planner::new(&[us()], Filters::default(), range(0, 1_000));
    plan.opening().iter().for_each(|event| plan.apply_event(event));
    let mut asked = 0;
    let mut both = [vec![], vec![]];
    for listed in &mut both {
        read_on(&mut plan, |task, now| {
            let mut page = answer(rows, task, now);
            if trouble.contains(&asked) {
                page.rows.truncate(5);
                page.slots = page.slots.min(5);
            }
            asked += 1;
            Some(page)
        });
        assert!(plan.is_done());
        *listed = plan.unproven().iter().map(|one| one.range).collect();
        for range in plan.aligned(&us(), listed.clone()) {
            let events = plan.reopening(&us(), range, &Reopening::Doubt).unwrap();
            events.iter().for_each(|event| plan.apply_event(event));
        }
    }
    both
}

#[test]
fn pages_that_left_rows_out_for_a_while_leave_nothing_in_doubt_for_ever() {
    let mut listed = 0;
    for count in (31..61).step_by(2) {
        for start in 0..8 {
            for length in [1, 2, 4] {
                // Each third second has two rows.
                let second =
                    |number: i64| EpochSeconds::new(number / 4 * 12 + number % 4 * 4 - i64::from(number % 4 == 3) * 4);
                let rows: Vec<RowKey> = (0..count)
                    .map(|number| RowKey { second: second(number), video: VideoKey(number as u64) })
                    .collect();
                let [first, second] = half_pages(&rows, start..start + length);
                listed += u32::from(!first.is_empty());
                assert_eq!(second, [], "{count} {start} {length}: {first:?}");
            }
        }
    }
    assert!(listed > 20, "the kind is met: {listed}");
}
