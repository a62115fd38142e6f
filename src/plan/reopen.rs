//! Seconds that were done and are read again: the gaps of a run that had ended, and what a lost part held. Pure.
//!
//! A reopened range gets a window of its own, and the time beside it stays done, so nothing else is read. The range is in
//! no part, and so not covered, until it is filled: published whole, in one step.

use super::choose::finished;
use super::event::{Ending, PlanEvent};
use super::fact::WindowId;
use super::planner::{Listed, Planner};
use super::region::RegionPlan;
use super::window::{State, Window};
use crate::api::contract::Region;
use crate::units::TimeRange;

/// A second that has failed before is asked with the patience of a parked window.
const PARKED_ONCE: u32 = 1;

/// Why seconds are read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reopening {
    /// They could not be read.
    Gap,
    /// What was delivered of them is lost; in words for a person.
    Lost(String),
}

/// What is wanted of a plan that cannot give it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("region {region}: {range} cannot be read again, because it is not done")]
pub struct NotDone {
    /// The region.
    pub region: Region,
    /// The seconds.
    pub range: TimeRange,
}

impl Planner {
    /// Ranges that are read again and not filled yet.
    pub fn reopened(&self) -> &[Listed] {
        &self.reopened
    }

    /// The decisions that open a range again.
    ///
    /// # Errors
    /// Where a second of it is not done, or lies in no region of the run.
    pub fn reopening(&self, region: &Region, range: TimeRange, why: &Reopening) -> Result<Vec<PlanEvent>, NotDone> {
        let refused = || NotDone { region: region.clone(), range };
        let plan = self.region(region).filter(|plan| plan.range.covers(range) && !range.is_empty());
        let plan = plan.ok_or_else(refused)?;
        let mut next = self.next_window;
        let mut number = || {
            next += 1;
            WindowId(next - 1)
        };
        let mut events = Vec::new();
        for (id, window) in self.windows_in(plan, range).filter(|(_, window)| !window.is_over()) {
            // A part reaches into a running window as far as its walk has settled; what is left gets a walk of its own.
            let walk = window.walk().ok_or_else(refused)?;
            let settled = walk.settled();
            if settled < range.end.min(window.range.end) {
                return Err(refused());
            }
            if settled < window.range.end {
                events.push(PlanEvent::WindowSplit { window: id, at: settled, new: number() });
            }
            events.extend(self.settle_believed(window, walk));
            events.push(finished(id, Ending::RowBeyond, walk));
        }
        let (window, rest) = (number(), number());
        let text = match why {
            Reopening::Gap => "it was a gap, and is being read again".to_owned(),
            Reopening::Lost(text) => text.clone(),
        };
        events.push(PlanEvent::RangeReopened { window, rest, region: region.clone(), range, why: text });
        if *why == Reopening::Gap {
            // A later second may still fail, so nothing beyond the gap is asked.
            events.push(PlanEvent::WindowBounded { window });
            events.push(PlanEvent::WindowParked { window, times: PARKED_ONCE });
        }
        Ok(events)
    }

    /// The first reopened range of a region, once every second of it is read or listed again.
    pub fn next_fill(&self, region: &Region) -> Option<TimeRange> {
        let first = self.reopened.iter().filter(|open| open.region == *region).map(|open| open.range).min()?;
        self.region(region).is_some_and(|plan| plan.done_until >= first.end).then_some(first)
    }

    /// Everything that is in no part of the run for another reason than that nobody has come there yet.
    pub fn lacking(&self) -> Vec<Listed> {
        let open = self.reopened.iter().flat_map(|open| {
            let pieces = open.range.without(&self.gaps_of(&open.region));
            pieces.into_iter().map(|range| Listed { range, ..open.clone() })
        });
        self.gaps.iter().cloned().chain(open).collect()
    }

    /// The seconds of a region whose rows are all in published parts of the run.
    pub fn covered(&self, plan: &RegionPlan) -> Vec<TimeRange> {
        let mut missing = self.gaps_of(&plan.region);
        missing.extend(self.reopened.iter().filter(|open| open.region == plan.region).map(|open| open.range));
        TimeRange::new(plan.range.start, plan.published_until).without(&missing)
    }

    /// A region's gaps.
    pub fn gaps_of(&self, region: &Region) -> Vec<TimeRange> {
        self.gaps.iter().filter(|gap| gap.region == *region).map(|gap| gap.range).collect()
    }

    /// The seconds of a region that are read or listed, whether or not a hole lies before them.
    pub fn done(&self, plan: &RegionPlan) -> Vec<TimeRange> {
        let over = self.windows_in(plan, plan.range).filter(|(_, window)| window.is_over());
        let first = TimeRange::new(plan.range.start, plan.done_until);
        let mut done: Vec<TimeRange> = over.map(|(_, window)| window.range).chain([first]).collect();
        done.retain(|range| !range.is_empty());
        done.sort_unstable();
        done
    }

    fn windows_in(&self, plan: &RegionPlan, range: TimeRange) -> impl Iterator<Item = (WindowId, &Window)> {
        let windows = plan.windows.values().filter_map(|id| Some((*id, self.windows.get(id)?)));
        windows.filter(move |(_, window)| window.range.overlaps(range))
    }

    /// Folds a reopening in. What is done on both sides of the range stays done.
    pub(super) fn reopen(&mut self, (id, rest): (WindowId, WindowId), region: &Region, range: TimeRange, why: &str) {
        self.next_window = self.next_window.max(id.0 + 1).max(rest.0 + 1);
        self.gaps = cut_out(&self.gaps, region, range);
        self.unproven = cut_out(&self.unproven, region, range);
        self.reopened.push(Listed { region: region.clone(), range, why: why.to_owned() });
        let Some(plan) = self.regions.iter_mut().find(|plan| plan.region == *region) else { return };
        // What is left of the first window is no share of the region to be cut any more.
        plan.is_cut = true;
        let mut done = vec![];
        if range.start < plan.done_until {
            done.push(TimeRange::new(range.end, plan.done_until));
            plan.done_until = range.start;
        }
        let ids: Vec<WindowId> = plan.windows.values().copied().collect();
        for over in ids {
            let Some(window) = self.windows.get_mut(&over).filter(|window| window.range.overlaps(range)) else {
                continue;
            };
            plan.windows.remove(&window.range.start);
            let before = TimeRange::new(window.range.start, range.start);
            done.push(TimeRange::new(range.end, window.range.end));
            if before.is_empty() {
                self.windows.remove(&over);
            } else {
                window.range = before;
                plan.windows.insert(before.start, over);
            }
        }
        let mut window = Window::new(region.clone(), range);
        window.bounded = self.learned.sort_ignored;
        plan.windows.insert(range.start, id);
        self.windows.insert(id, window);
        // Only what held the range's end reaches beyond it.
        if let Some(after) = done.into_iter().find(|range| !range.is_empty()) {
            let mut window = Window::new(region.clone(), after);
            window.state = State::Over;
            plan.windows.insert(after.start, rest);
            self.windows.insert(rest, window);
        }
    }
}

/// What is listed of a region outside `range`.
fn cut_out(listed: &[Listed], region: &Region, range: TimeRange) -> Vec<Listed> {
    let left = |one: &Listed| match one.region == *region {
        true => one.range.without(&[range]),
        false => vec![one.range],
    };
    listed.iter().flat_map(|one| left(one).into_iter().map(|range| Listed { range, ..one.clone() })).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::contract::Filters;
    use crate::plan::event::StretchReason;
    use crate::plan::fact::{PageAddress, PageFact, Purpose, RowKey, VideoKey};
    use crate::plan::planner::{Decision, PlanContext};
    use crate::units::{EpochSeconds, PageNumber};

    fn us() -> Region {
        "US".parse().unwrap()
    }

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(end))
    }

    /// A plan that knows the region's newest page, as the journal keeps it.
    fn new_planner() -> Planner {
        let mut planner = Planner::new(&[us()], Filters::default(), range(0, 100));
        planner.apply_page(&page(Purpose::Newest, &[97, 96]));
        planner
    }

    fn page(purpose: Purpose, seconds: &[i64]) -> PageFact {
        let rows =
            seconds.iter().map(|second| RowKey { second: EpochSeconds::new(*second), video: VideoKey(*second as u64) });
        PageFact {
            address: PageAddress { region: us(), purpose, page: PageNumber::FIRST },
            fetched_at: EpochSeconds::new(1_000),
            slots: seconds.len() as u32,
            rows: rows.collect(),
        }
    }

    /// A plan and everything that was decided, so that it can be made again.
    struct Told {
        planner: Planner,
        events: Vec<PlanEvent>,
    }

    impl Told {
        fn new() -> Self {
            let planner = new_planner();
            let mut told = Self { planner, events: vec![] };
            let opening = told.planner.opening();
            told.tell(opening);
            told
        }

        /// A run of [0, 100) that ended with the gaps [30, 31) and [60, 61).
        fn ended() -> Self {
            let mut told = Self::new();
            let split = |window: u32, at, new: u32| PlanEvent::WindowSplit {
                window: WindowId(window),
                at: EpochSeconds::new(at),
                new: WindowId(new),
            };
            told.tell(vec![split(0, 30, 1), split(1, 31, 2), split(2, 60, 3), split(3, 61, 4)]);
            for window in [1, 3] {
                told.tell(vec![PlanEvent::GapListed { window: WindowId(window), why: "HTTP 500".to_owned() }]);
            }
            for window in [0, 2, 4] {
                told.finish(window);
            }
            told.tell(vec![PlanEvent::SlicePublished { region: us(), until: EpochSeconds::new(100) }]);
            assert!(told.planner.is_done());
            told
        }

        fn finish(&mut self, window: u32) {
            let ending = Ending::RowBeyond;
            let (window, rows, pages, excess, beyond, opening) = (WindowId(window), 10, 1, 0, vec![], vec![]);
            self.tell(vec![PlanEvent::WindowFinished { window, ending, rows, pages, excess, beyond, opening }]);
        }

        fn reopen(&mut self, start: i64, end: i64, why: &Reopening) {
            let events = self.planner.reopening(&us(), range(start, end), why).unwrap();
            self.tell(events);
        }

        /// One of the windows that are not over is read, or given up.
        fn settle_one(&mut self, choice: i64, fails: bool) {
            let windows: Vec<WindowId> = self.planner.regions()[0].windows.values().copied().collect();
            let open: Vec<WindowId> = windows
                .into_iter()
                .filter(|id| self.planner.windows.get(id).is_some_and(|window| !window.is_over()))
                .collect();
            let Some(window) = open.get(usize::try_from(choice).unwrap() % open.len().max(1)).copied() else { return };
            if fails {
                self.tell(vec![PlanEvent::GapListed { window, why: "HTTP 500".to_owned() }]);
            } else {
                self.finish(window.0);
            }
        }

        fn fill(&mut self, start: i64, end: i64) {
            assert_eq!(self.planner.next_fill(&us()), Some(range(start, end)));
            self.tell(vec![PlanEvent::RangeFilled { region: us(), range: range(start, end) }]);
        }

        /// Applies decisions as the journal gives them back, and holds that windows tile and a replay gives the same plan.
        fn tell(&mut self, events: Vec<PlanEvent>) {
            for event in events {
                let event = serde_json::from_str(&serde_json::to_string(&event).unwrap()).unwrap();
                self.planner.apply_event(&event);
                self.events.push(event);
            }
            let mut again = new_planner();
            self.events.iter().for_each(|event| again.apply_event(event));
            assert_eq!(self.view(&again), self.view(&self.planner));
            let plan = &self.planner.regions()[0];
            let mut at = plan.done_until;
            for (start, id) in &plan.windows {
                assert_eq!(*start, at, "windows do not tile: {:?}", self.planner);
                at = self.planner.window_range(*id).unwrap().end;
            }
            assert_eq!(at, plan.range.end);
        }

        fn view(&self, planner: &Planner) -> String {
            format!("{planner:?}")
        }

        fn covered(&self) -> Vec<TimeRange> {
            self.planner.covered(&self.planner.regions()[0])
        }

        fn next(&self) -> Decision {
            self.planner.next(None, &PlanContext::usual())
        }
    }

    #[test]
    fn a_reopened_gap_is_the_only_thing_that_is_asked_again() {
        let mut told = Told::ended();
        told.reopen(30, 31, &Reopening::Gap);
        assert!(!told.planner.is_done());
        assert_eq!(told.covered(), [range(0, 30), range(31, 60), range(61, 100)]);
        assert_eq!(told.planner.done(&told.planner.regions()[0]), [range(0, 30), range(31, 100)]);
        let Decision::Record(events) = told.next() else { panic!("{:?}", told.next()) };
        let [PlanEvent::StretchStarted { anchor, why: StretchReason::First, .. }] = events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(anchor, EpochSeconds::new(30));
        told.tell(events);
        let Decision::Ask(task) = told.next() else { panic!("{:?}", told.next()) };
        let asked = (task.query.min_create_time, task.query.max_create_time);
        assert_eq!(asked, (Some(EpochSeconds::new(29)), Some(EpochSeconds::new(31))), "nothing but the gap");
        assert_eq!(task.query.page, PageNumber::FIRST);
    }

    #[test]
    fn what_a_lost_part_held_is_read_like_any_window() {
        let mut told = Told::ended();
        told.reopen(40, 50, &Reopening::Lost("its part is missing".to_owned()));
        let Decision::Record(events) = told.next() else { panic!("{:?}", told.next()) };
        told.tell(events);
        let Decision::Ask(task) = told.next() else { panic!("{:?}", told.next()) };
        let rows = [40, 44, 45, 46, 47, 48, 49, 50, 51, 52];
        told.planner.apply_page(&page(task.address.purpose, &rows));
        let Decision::Record(events) = told.planner.next(Some(task.window), &PlanContext::usual()) else { panic!() };
        assert!(matches!(events[..], [PlanEvent::WindowFinished { ending: Ending::RowBeyond, .. }]), "{events:?}");
    }

    #[test]
    fn gaps_are_reopened_in_any_order_and_filled_from_the_left() {
        for order in [[30, 60], [60, 30]] {
            let mut told = Told::ended();
            order.iter().for_each(|start| told.reopen(*start, start + 1, &Reopening::Gap));
            assert_eq!(told.planner.gaps(), []);
            assert_eq!(told.planner.lacking().len(), 2);
            let windows = |told: &Told| told.planner.regions()[0].windows.clone();
            let of = |told: &Told, start| windows(told)[&EpochSeconds::new(start)].0;
            told.finish(of(&told, 60));
            assert_eq!(told.planner.next_fill(&us()), None);
            told.finish(of(&told, 30));
            assert!(told.planner.is_done());
            told.fill(30, 31);
            told.fill(60, 61);
            assert_eq!((told.covered(), told.planner.lacking()), (vec![range(0, 100)], vec![]));
        }
    }

    #[test]
    fn a_gap_that_fails_again_is_listed_again_and_can_be_reopened_again() {
        let mut told = Told::ended();
        for _ in 0..3 {
            told.reopen(30, 31, &Reopening::Gap);
            assert_eq!(told.planner.gaps().len(), 1, "the other one stays");
            let window = told.planner.regions()[0].windows[&EpochSeconds::new(30)];
            told.tell(vec![PlanEvent::GapListed { window, why: "HTTP 500".to_owned() }]);
            assert_eq!(told.planner.lacking().len(), 2, "a gap within what is reopened is listed once");
            told.fill(30, 31);
            assert!(told.planner.is_done());
            assert_eq!(told.covered(), [range(0, 30), range(31, 60), range(61, 100)]);
        }
    }

    #[test]
    fn a_lost_part_may_hold_gaps_and_unproven_seconds() {
        let mut told = Told::ended();
        let why = "it was not sure".to_owned();
        told.tell(vec![PlanEvent::UnprovenListed { region: us(), range: range(20, 45), why }]);
        told.reopen(25, 40, &Reopening::Lost("its part is missing".to_owned()));
        assert_eq!(
            told.planner.unproven().iter().map(|listed| listed.range).collect::<Vec<_>>(),
            [range(20, 25), range(40, 45)]
        );
        assert_eq!(told.covered(), [range(0, 25), range(40, 60), range(61, 100)]);
        let lacking: Vec<(TimeRange, String)> =
            told.planner.lacking().into_iter().map(|listed| (listed.range, listed.why)).collect();
        assert_eq!(
            lacking,
            [(range(60, 61), "HTTP 500".to_owned()), (range(25, 40), "its part is missing".to_owned())]
        );
    }

    #[test]
    fn what_a_running_walk_has_settled_can_be_reopened_and_the_rest_goes_on() {
        let mut told = Told::new();
        told.tell(vec![PlanEvent::StretchStarted {
            window: WindowId(0),
            stretch: 0,
            anchor: EpochSeconds::new(0),
            asked_min: EpochSeconds::new(-1),
            asked_max: EpochSeconds::new(100),
            at: EpochSeconds::new(1_000),
            why: StretchReason::First,
        }]);
        let purpose = Purpose::Walk { window: WindowId(0), stretch: 0 };
        told.planner.apply_page(&page(purpose, &[40, 41, 42, 43, 44, 45, 46, 47, 48, 49]));
        let settled = told.planner.settled(&us());
        assert_eq!(settled, EpochSeconds::new(40));
        assert!(told.planner.reopening(&us(), range(10, 41), &Reopening::Gap).is_err());
        let events = told.planner.reopening(&us(), range(10, 20), &Reopening::Gap).unwrap();
        events.iter().for_each(|event| told.planner.apply_event(event));
        let plan = &told.planner.regions()[0];
        let ranges = plan.windows.values().map(|id| told.planner.window_range(*id).unwrap());
        assert_eq!(plan.done_until, EpochSeconds::new(10));
        assert_eq!(ranges.collect::<Vec<_>>(), [range(10, 20), range(20, 40), range(40, 100)]);
    }

    #[test]
    fn what_is_not_done_cannot_be_reopened() {
        let told = Told::new();
        for wrong in [range(0, 5), range(-5, 3), range(7, 7)] {
            assert!(told.planner.reopening(&us(), wrong, &Reopening::Gap).is_err(), "{wrong}");
        }
        let other = "GB".parse().unwrap();
        assert!(Told::ended().planner.reopening(&other, range(0, 5), &Reopening::Gap).is_err());
    }

    proptest! {
        /// Whatever is opened again, finished or given up in any order, windows tile, a replay agrees (both checked by `tell`),
        /// and in the end everything is covered but for what is listed.
        #[test]
        fn any_order_of_repairs_accounts_for_every_second(steps in prop::collection::vec((0..100_i64, 1..40_i64, 0..4_u8), 0..30)) {
            let mut told = Told::ended();
            for (start, length, step) in steps {
                let wanted = range(start, (start + length).min(100));
                let open = told.planner.reopened().iter().any(|open| open.range.overlaps(wanted));
                match step {
                    0 | 1 if !open => {
                        let why = if step == 0 { Reopening::Gap } else { Reopening::Lost("lost".to_owned()) };
                        // Parts and gaps are not cut by what is opened.
                        if let Ok(events) = told.planner.reopening(&us(), wanted, &why) {
                            told.tell(events);
                        }
                    }
                    _ => told.settle_one(start, step == 2),
                }
                while let Some(range) = told.planner.next_fill(&us()) {
                    told.tell(vec![PlanEvent::RangeFilled { region: us(), range }]);
                }
            }
            while !told.planner.is_done() {
                told.settle_one(0, false);
            }
            while let Some(range) = told.planner.next_fill(&us()) {
                told.tell(vec![PlanEvent::RangeFilled { region: us(), range }]);
            }
            prop_assert!(told.planner.reopened().is_empty());
            prop_assert_eq!(told.covered(), range(0, 100).without(&told.planner.gaps_of(&us())));
            prop_assert_eq!(told.planner.done(&told.planner.regions()[0]), [range(0, 100)]);
        }
    }
}
