//! What tests of a whole plan share: a region, ranges, and pages of rows whose second is their id.

use super::event::PlanEvent;
use super::fact::{PageAddress, PageFact, RowKey, VideoKey, WindowId};
use super::planner::{Decision, NoPage, PlanContext, Planner, Task};
use crate::api::contract::{Filters, Region, TimeOrder};
use crate::units::{EpochSeconds, TimeRange};

/// Decisions after which a plan is not read on.
const MOST_DECISIONS: u32 = 500;

pub(super) fn us() -> Region {
    "US".parse().unwrap()
}

pub(super) fn range(start: i64, end: i64) -> TimeRange {
    TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(end))
}

pub(super) fn at(second: i64) -> EpochSeconds {
    EpochSeconds::new(second)
}

/// A plan of US, of so many windows of a hundred seconds each, from 0 on; none has begun.
pub(super) fn windows_of_a_hundred(windows: u32) -> Planner {
    let mut plan = Planner::new(&[us()], Filters::default(), range(0, 100 * i64::from(windows)));
    plan.opening().iter().for_each(|event| plan.apply_event(event));
    for new in 1..windows {
        let (window, start) = (WindowId(new - 1), at(100 * i64::from(new)));
        plan.apply_event(&PlanEvent::WindowSplit { window, at: start, new: WindowId(new) });
    }
    plan
}

/// A page of rows at these seconds, in this order.
pub(super) fn page_of(address: PageAddress, at: EpochSeconds, seconds: impl IntoIterator<Item = i64>) -> PageFact {
    let row = |second: i64| RowKey { second: EpochSeconds::new(second), video: VideoKey(second as u64) };
    let rows: Vec<RowKey> = seconds.into_iter().map(row).collect();
    let slots = u32::try_from(rows.len()).unwrap();
    PageFact { address, fetched_at: at, slots, rows, check: Default::default() }
}

/// The answer of a service that has a row at every fourth second from 0 to `newest`; of the rows of its page, those that are kept.
pub(super) fn served(task: &Task, newest: i64, at: EpochSeconds, keeps: impl Fn(i64) -> bool) -> PageFact {
    served_in_places(10, (task, newest, at), keeps)
}

/// The same where a page has so many places.
pub(super) fn served_in_places(
    places: usize,
    (task, newest, at): (&Task, i64, EpochSeconds),
    keeps: impl Fn(i64) -> bool,
) -> PageFact {
    let min = task.query.min_create_time.map_or(i64::MIN, EpochSeconds::get);
    let max = task.query.max_create_time.map_or(i64::MAX, EpochSeconds::get);
    let mut seconds: Vec<i64> = (0..=newest).step_by(4).filter(|second| (min..=max).contains(second)).collect();
    if task.query.order == TimeOrder::NewestFirst {
        seconds.reverse();
    }
    let page = usize::try_from(task.query.page.get() - 1).unwrap();
    let rows = seconds.into_iter().skip(page * places).take(places).filter(|second| keeps(*second));
    page_of(task.address.clone(), at, rows)
}

/// Reads a plan to its end by one worker, with this answer to each question; none is a refusal.
pub(super) fn read_to_the_end(plan: &mut Planner, answer: impl FnMut(&Task, EpochSeconds) -> Option<PageFact>) {
    let opening = plan.opening();
    opening.iter().for_each(|event| plan.apply_event(event));
    read_on(plan, answer);
}

/// Reads on by one worker to the end of a plan that has begun.
pub(super) fn read_on(plan: &mut Planner, mut answer: impl FnMut(&Task, EpochSeconds) -> Option<PageFact>) {
    let mut now = EpochSeconds::new(1_000);
    for _ in 0..MOST_DECISIONS {
        let context = PlanContext { now, idle_workers: 1, ..PlanContext::usual().confirming(20) };
        match plan.next(None, &context) {
            Decision::Record(events) => events.iter().for_each(|event| plan.apply_event(event)),
            Decision::Wait(until) => now = until,
            Decision::Ask(task) => {
                plan.set_out(&task);
                let page = answer(&task, now);
                plan.came_back(&task);
                match page {
                    Some(page) => plan.apply_page(&page),
                    None => {
                        let missing = (&task.address, NoPage::BeyondTheEnd);
                        let Some(Decision::Record(events)) = plan.without_page(missing, task.window, &context) else {
                            break;
                        };
                        events.iter().for_each(|event| plan.apply_event(event));
                    }
                }
            }
            _ => break,
        }
    }
}
