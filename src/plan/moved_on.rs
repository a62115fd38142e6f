//! A run that the time has passed by: its range is extended, or it is closed and what it has not read is left. Pure.

use super::event::{Ending, PlanEvent};
use super::fact::WindowId;
use super::planner::Planner;
use super::region::RegionPlan;
use super::window::{Window, WindowState};
use crate::api::contract::Region;
use crate::units::{EpochSeconds, TimeRange};

impl Planner {
    /// The decisions that make the run's range end at `until`, each region's new seconds in a window of its own; none where it ends
    /// there already or later.
    pub fn extending(&self, until: EpochSeconds) -> Vec<PlanEvent> {
        let new = TimeRange::new(self.range.end, until);
        if new.is_empty() {
            return Vec::new();
        }
        let regions = self.regions.iter().zip(self.next_window..);
        let extended = |(plan, id): (&RegionPlan, u32)| PlanEvent::RangeExtended {
            window: WindowId(id),
            region: plan.region.clone(),
            range: new,
        };
        regions.map(extended).collect()
    }

    /// The decisions that end the run as it stands: what its walks have settled stays, the rest is left unread. None where it is done.
    /// Nobody may be on the way.
    pub fn closing(&self) -> Vec<PlanEvent> {
        let mut next = self.next_window;
        let mut events = Vec::new();
        for (id, window) in self.windows.iter().filter(|(_, window)| !window.is_over()) {
            let mut left = *id;
            if let Some((walk, watermark)) = self.proven_within(window) {
                left = WindowId(next);
                next += 1;
                events.push(PlanEvent::WindowSplit { window: *id, at: watermark, new: left });
                events.extend(self.settle_believed(window, walk));
                events.push(self.finished(*id, Ending::RowBeyond, walk));
            }
            events.push(PlanEvent::WindowLeft { window: left });
        }
        events
    }

    /// Whether the run was closed, and something was left.
    pub fn has_left(&self) -> bool {
        !self.left.is_empty()
    }

    /// The seconds of a region that were left when the run was closed.
    pub fn left_of_region(&self, region: &Region) -> Vec<TimeRange> {
        self.left.iter().filter(|(of, _)| of == region).map(|(_, range)| *range).collect()
    }

    /// Folds an extension in: what was known of the newest rows was of the range as it was.
    pub(super) fn extend(&mut self, id: WindowId, region: &Region, new: TimeRange) {
        self.range.end = self.range.end.max(new.end);
        self.next_window = self.next_window.max(id.0 + 1);
        let mut window = Window::new(region.clone(), new);
        window.bounded = self.profile.order.sort_ignored;
        self.windows.insert(id, window);
        if let Some(plan) = self.region_mut(region) {
            plan.extend(new);
            plan.windows.insert(new.start, id);
        }
    }

    /// Folds a window in that was left.
    pub(super) fn leave(&mut self, id: WindowId) {
        let Some(window) = self.windows.get_mut(&id) else { return };
        window.state = WindowState::Over;
        let (region, range) = (window.region.clone(), window.range);
        self.left.push((region.clone(), range));
        self.merge_done(&region);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::contract::{Filters, TimeOrder};
    use crate::plan::fact::{PageFact, Purpose, RowKey, VideoKey};
    use crate::plan::planner::{Decision, PlanContext, Task};
    use crate::plan::reads::Reads;
    use crate::plan::testing::{page_of, read_on};

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(end))
    }

    fn us() -> Region {
        "US".parse().unwrap()
    }

    fn fold(plan: &mut Planner, events: &[PlanEvent]) {
        events.iter().for_each(|event| plan.apply_event(event));
    }

    fn opened(reads: &[TimeRange]) -> Planner {
        let reads = Reads { region: us(), ranges: reads.to_vec(), beside: Default::default() };
        let mut plan = Planner::reading(&[reads], Filters::default(), range(0, 100));
        let opening = plan.opening();
        fold(&mut plan, &opening);
        plan
    }

    /// Answers with rows every ten seconds until `newest`, and counts the requests.
    fn read_all(plan: &mut Planner, newest: i64) -> Vec<Task> {
        let mut asked = Vec::new();
        for _ in 0..100 {
            match plan.next(None, &PlanContext { idle_workers: 1, ..PlanContext::usual() }) {
                Decision::Record(events) => fold(plan, &events),
                Decision::Ask(task) => {
                    plan.set_out(&task);
                    plan.came_back(&task);
                    plan.apply_page(&answer(&task, newest));
                    asked.push(*task);
                }
                _ => break,
            }
        }
        asked
    }

    fn answer(task: &Task, newest: i64) -> PageFact {
        let (min, max) = (task.query.min_create_time.unwrap().get(), task.query.max_create_time.unwrap().get());
        let mut seconds: Vec<i64> = (0..=newest).step_by(10).filter(|second| (min..=max).contains(second)).collect();
        if task.address.purpose == Purpose::Newest {
            seconds.reverse();
        }
        let page = usize::try_from(task.query.page.get() - 1).unwrap();
        let seconds: Vec<i64> = seconds.into_iter().skip(page * 10).take(10).collect();
        let row = |second: &i64| RowKey { second: EpochSeconds::new(*second), video: VideoKey(*second as u64) };
        PageFact {
            address: task.address.clone(),
            fetched_at: EpochSeconds::new(1),
            slots: u32::try_from(seconds.len()).unwrap(),
            rows: seconds.iter().map(row).collect(),
            check: Default::default(),
        }
    }

    #[test]
    fn a_run_that_is_extended_reads_the_new_time_and_nothing_else() {
        let mut plan = opened(&[range(0, 100)]);
        read_all(&mut plan, 190);
        assert!(plan.is_done());
        let events = plan.extending(EpochSeconds::new(200));
        fold(&mut plan, &events);
        assert!(!plan.is_done() && plan.extending(EpochSeconds::new(200)).is_empty());
        let asked = read_all(&mut plan, 190);
        assert!(plan.is_done());
        let walks = asked.iter().filter(|task| matches!(task.address.purpose, Purpose::Walk { .. }));
        let least = walks.map(|task| task.query.min_create_time.unwrap().get()).min().unwrap();
        assert!(least >= 99, "{least}");
        assert_eq!(plan.regions()[0].range, range(0, 200));
        let addresses: std::collections::BTreeSet<_> = asked.iter().map(|task| &task.address).collect();
        assert_eq!(addresses.len(), asked.len(), "each question has an address of its own");
    }

    /// A walk that asked only for the time as it was says nothing of what came later.
    #[test]
    fn an_empty_page_of_before_does_not_end_the_new_time() {
        let mut plan = opened(&[range(0, 100)]);
        let context = PlanContext { idle_workers: 1, ..PlanContext::usual() };
        let task = loop {
            match plan.next(None, &context) {
                Decision::Record(events) => fold(&mut plan, &events),
                Decision::Ask(task) => break task,
                other => panic!("{other:?}"),
            }
        };
        plan.apply_page(&answer(&task, 0));
        let events = plan.extending(EpochSeconds::new(200));
        fold(&mut plan, &events);
        let asked = read_all(&mut plan, 190);
        assert!(plan.is_done());
        let asks_later = |task: &&Task| task.query.max_create_time.is_some_and(|max| max.get() > 190);
        assert!(asked.iter().any(|task| asks_later(&task)), "{asked:?}");
        assert!(plan.regions()[0].last_second() >= Some(EpochSeconds::new(190)));
    }

    /// A page that came empty where the range ended said nothing of the rows after it, so no row there makes it a false end.
    #[test]
    fn rows_of_the_new_time_do_not_contradict_an_empty_page_of_before() {
        let answer = |task: &Task, at: EpochSeconds| {
            let (min, max) = (task.query.min_create_time.unwrap().get(), task.query.max_create_time.unwrap().get());
            let mut seconds: Vec<i64> = (5..=195).step_by(10).filter(|second| (min..=max).contains(second)).collect();
            if task.query.order == TimeOrder::NewestFirst {
                seconds.reverse();
            }
            let before = (task.query.page.get() as usize - 1) * 10;
            page_of(task.address.clone(), at, seconds.into_iter().skip(before).take(10))
        };
        for pages in 1..=4 {
            let mut plan = opened(&[range(0, 100)]);
            let mut left = pages;
            loop {
                match plan.next(None, &PlanContext { idle_workers: 1, ..PlanContext::usual() }) {
                    Decision::Record(events) => fold(&mut plan, &events),
                    Decision::Ask(task) if left > 0 => {
                        plan.apply_page(&answer(&task, EpochSeconds::new(1_000)));
                        left -= 1;
                    }
                    _ => break,
                }
            }
            let events = plan.extending(EpochSeconds::new(200));
            fold(&mut plan, &events);
            let mut asked = 0;
            read_on(&mut plan, |task, at| {
                asked += 1;
                Some(answer(task, at))
            });
            assert!(plan.is_done() && plan.unproven.is_empty(), "after {pages} pages: {:?}", plan.unproven);
            assert_eq!(plan.profile.ends.false_ends, 0, "after {pages} pages");
            assert!(asked <= 9, "{asked} pages after {pages}");
        }
    }

    #[test]
    fn a_region_of_which_nothing_was_read_is_extended_by_its_new_time_alone() {
        let mut plan = opened(&[]);
        assert!(plan.is_done());
        let events = plan.extending(EpochSeconds::new(150));
        fold(&mut plan, &events);
        assert_eq!((plan.regions()[0].range, plan.is_done()), (range(100, 150), false));
        read_all(&mut plan, 190);
        assert!(plan.is_done());
        let mut plan = opened(&[range(10, 20)]);
        let events = plan.extending(EpochSeconds::new(150));
        fold(&mut plan, &events);
        assert_eq!(plan.regions()[0].read(), [range(10, 20), range(100, 150)]);
    }

    #[test]
    fn a_run_that_is_closed_keeps_what_it_has_settled_and_leaves_the_rest() {
        let mut plan = Planner::new(&[us()], Filters::default(), range(0, 1000));
        let opening = plan.opening();
        fold(&mut plan, &opening);
        let context = PlanContext { idle_workers: 1, ..PlanContext::usual() };
        // The newest page and three of the walk: the last of them may have to be looked for again.
        for _ in 0..4 {
            let task = loop {
                match plan.next(None, &context) {
                    Decision::Record(events) => fold(&mut plan, &events),
                    Decision::Ask(task) => break task,
                    other => panic!("{other:?}"),
                }
            };
            plan.apply_page(&answer(&task, 1000));
        }
        let watermark = plan.watermark(&us());
        assert!(watermark > EpochSeconds::new(0) && watermark < EpochSeconds::new(300), "{watermark}");
        let events = plan.closing();
        fold(&mut plan, &events);
        assert!(plan.is_done() && plan.closing().is_empty());
        assert_eq!(plan.left_of_region(&us()), [TimeRange::new(watermark, EpochSeconds::new(1000))]);
        assert_eq!(plan.gaps(), []);
        fold(&mut plan, &[PlanEvent::SlicePublished { region: us(), until: EpochSeconds::new(1000) }]);
        assert_eq!(plan.covered(&plan.regions()[0]), [TimeRange::new(EpochSeconds::new(0), watermark)]);
    }

    #[test]
    fn what_is_kept_is_not_asked_for_and_what_lies_beside_it_is() {
        let mut plan = opened(&[range(0, 30), range(70, 90)]);
        let asked = read_all(&mut plan, 190);
        assert!(plan.is_done());
        assert!(asked.len() <= 5, "{asked:?}");
        assert_eq!(plan.regions()[0].range, range(0, 90));
        fold(&mut plan, &[PlanEvent::SlicePublished { region: us(), until: EpochSeconds::new(90) }]);
        assert_eq!(plan.covered(&plan.regions()[0]), [range(0, 30), range(70, 90)]);
    }
}
