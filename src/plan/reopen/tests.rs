//! Seconds that are read again, in any order: windows tile, and a replay gives the same plan.

use super::*;
use crate::api::contract::Filters;
use crate::plan::event::{Again, ScanReason};
use crate::plan::fact::{PageAddress, PageFact, Purpose};
use crate::plan::planner::{Decision, PlanContext};
use crate::plan::reads::Reads;
use crate::plan::testing::{page_of, range, read_on, served, us};
use crate::units::{EpochSeconds, PageNumber};

mod orders;

/// A plan that knows the region's newest page, as the journal keeps it, beside seconds that are kept.
fn new_planner(kept: &[TimeRange]) -> Planner {
    let reads = Reads::of(us(), range(0, 100), kept);
    let mut planner = Planner::reading(&[reads], Filters::default(), range(0, 100));
    planner.apply_page(&page(Purpose::Newest, &[97, 96]));
    planner
}

fn page(purpose: Purpose, seconds: &[i64]) -> PageFact {
    let address = PageAddress { region: us(), purpose, page: PageNumber::FIRST };
    page_of(address, EpochSeconds::new(1_000), seconds.iter().copied())
}

/// A plan and everything that was decided, so that it can be made again.
struct Told {
    planner: Planner,
    kept: Vec<TimeRange>,
    events: Vec<PlanEvent>,
}

impl Told {
    fn new() -> Self {
        Self::beside(&[])
    }

    fn beside(kept: &[TimeRange]) -> Self {
        let mut told = Self { planner: new_planner(kept), kept: kept.to_vec(), events: vec![] };
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

    /// A run of [0, 100) that ended without a gap, beside seconds that are kept.
    fn ended_beside(kept: &[TimeRange]) -> Self {
        let mut told = Self::beside(kept);
        while !told.planner.is_done() {
            told.settle_one(0, false);
        }
        let until = told.planner.regions()[0].range.end;
        told.tell(vec![PlanEvent::SlicePublished { region: us(), until }]);
        told
    }

    fn finish(&mut self, window: u32) {
        let ending = Ending::RowBeyond;
        let (window, rows, pages, excess, beyond, opening) = (WindowId(window), 10, 1, 0, vec![], vec![]);
        self.tell(vec![PlanEvent::WindowFinished {
            window,
            ending,
            rows,
            pages,
            excess,
            beyond,
            opening,
            edges: vec![],
        }]);
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
        let mut again = new_planner(&self.kept);
        self.events.iter().for_each(|event| again.apply_event(event));
        assert_eq!(self.view(&again), self.view(&self.planner));
        let open: Vec<TimeRange> = self.planner.reopened().iter().map(|open| open.range).collect();
        let overlap = |(at, one): (usize, &TimeRange)| open[at + 1..].iter().any(|other| other.overlaps(*one));
        assert!(!open.iter().enumerate().any(overlap), "a second would be filled twice: {open:?}");
        let plan = &self.planner.regions()[0];
        let mut at = plan.done_until;
        for (start, id) in &plan.windows {
            assert_eq!(*start, plan.past_kept(at), "windows do not tile: {:?}", self.planner);
            at = self.planner.window_range(*id).unwrap().end;
        }
        assert_eq!(plan.past_kept(at), plan.range.end);
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
    let [PlanEvent::ScanStarted { anchor, why: ScanReason::First, .. }] = events[..] else { panic!("{events:?}") };
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
    told.tell(vec![PlanEvent::UnprovenListed {
        region: us(),
        range: range(20, 45),
        why,
        again: Again::Never,
        lacks: None,
    }]);
    told.reopen(25, 40, &Reopening::Lost("its part is missing".to_owned()));
    assert_eq!(
        told.planner.unproven().iter().map(|listed| listed.range).collect::<Vec<_>>(),
        [range(20, 25), range(40, 45)]
    );
    assert_eq!(told.covered(), [range(0, 25), range(40, 60), range(61, 100)]);
    let lacking: Vec<(TimeRange, String)> =
        told.planner.lacking().into_iter().map(|listed| (listed.range, listed.why)).collect();
    assert_eq!(lacking, [(range(60, 61), "HTTP 500".to_owned()), (range(25, 40), "its part is missing".to_owned())]);
}

#[test]
fn what_a_running_walk_has_settled_can_be_reopened_and_the_rest_goes_on() {
    let mut told = Told::new();
    told.tell(vec![PlanEvent::ScanStarted {
        window: WindowId(0),
        scan: 0,
        anchor: EpochSeconds::new(0),
        asked_min: EpochSeconds::new(-1),
        asked_max: EpochSeconds::new(100),
        at: EpochSeconds::new(1_000),
        why: ScanReason::First,
    }]);
    let purpose = Purpose::Walk { window: WindowId(0), scan: 0 };
    told.planner.apply_page(&page(purpose, &[31, 32, 33, 34, 35, 36, 37, 38, 39, 40]));
    // The last page settles nothing before another has followed it, so one more comes than is settled.
    assert_eq!(told.planner.watermark(&us()), EpochSeconds::new(0));
    let mut second = page(purpose, &[41, 42, 43, 44, 45, 46, 47, 48, 49, 50]);
    second.address.page = PageNumber::new(2).unwrap();
    told.planner.apply_page(&second);
    let watermark = told.planner.watermark(&us());
    assert_eq!(watermark, EpochSeconds::new(40));
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

/// What was in no part yet was once filled apart, and with that what lay before it was released unpublished.
#[test]
fn what_is_in_no_part_yet_is_read_again_and_published_in_its_turn() {
    let mut told = Told::new();
    told.finish(0);
    told.tell(vec![PlanEvent::SlicePublished { region: us(), until: EpochSeconds::new(40) }]);
    told.reopen(60, 100, &Reopening::Unseen);
    assert_eq!((told.planner.reopened(), told.planner.next_fill(&us())), (&[][..], None));
    assert_eq!(told.covered(), [range(0, 40)]);
    told.settle_one(0, false);
    assert!(told.planner.is_done());
    told.reopen(30, 70, &Reopening::Unseen);
    let open: Vec<TimeRange> = told.planner.reopened().iter().map(|open| open.range).collect();
    assert_eq!((open, told.covered()), (vec![range(30, 40)], vec![range(0, 30)]));
    told.settle_one(0, false);
    told.fill(30, 40);
    assert_eq!(told.covered(), [range(0, 40)]);
}

/// A doubt was read again, and before it was filled the numbers of pages opened time that overlaps it. Each was filled apart, and what
/// they shared twice: the second time its pages were released already, and its rows were taken away with exit code 0.
#[test]
fn what_is_opened_over_an_open_range_is_filled_once() {
    for (first, second, fills) in [
        ((10, 60), (40, 90), vec![(10, 60), (60, 90)]),
        ((40, 90), (10, 60), vec![(10, 40), (40, 90)]),
        ((40, 60), (10, 90), vec![(10, 40), (40, 60), (60, 90)]),
        ((10, 90), (40, 60), vec![(10, 90)]),
    ] {
        let mut told = Told::new();
        told.finish(0);
        told.tell(vec![PlanEvent::SlicePublished { region: us(), until: EpochSeconds::new(100) }]);
        told.reopen(first.0, first.1, &Reopening::Doubt);
        told.settle_one(0, false);
        told.reopen(second.0, second.1, &Reopening::Places);
        let outermost = range(first.0.min(second.0), first.1.max(second.1));
        assert_eq!((told.planner.next_fill(&us()), told.covered()), (None, range(0, 100).without(&[outermost])));
        told.settle_one(0, false);
        fills.iter().for_each(|(start, end)| told.fill(*start, *end));
        assert_eq!((told.planner.reopened(), told.covered()), (&[][..], vec![range(0, 100)]));
    }
}

/// Each page came as the first of its question for a while: a last page of 1 was learned of it, and nobody asked beyond that again, so what was
/// listed stayed so for ever.
#[test]
fn a_last_page_that_was_learned_of_a_trouble_leaves_nothing_in_doubt_for_ever() {
    let mut listed = 0;
    for trouble in [3..9, 3..20, 0..12, 0..40, 2..80] {
        let mut plan = Planner::new(&[us()], Filters::default(), range(0, 1_600));
        plan.opening().iter().for_each(|event| plan.apply_event(event));
        let mut asked = 0;
        let mut read = |plan: &mut Planner| {
            read_on(plan, |task, now| {
                let mut first = task.clone();
                first.query.page = if trouble.contains(&asked) { PageNumber::FIRST } else { task.query.page };
                asked += 1;
                Some(served(&first, 1_596, now, |_| true))
            });
            assert!(plan.is_done(), "{trouble:?}");
            plan.unproven().iter().filter(|one| one.may_pass).map(|one| one.range).collect::<Vec<_>>()
        };
        for start in 0..3 {
            let doubts = read(&mut plan);
            listed += doubts.len();
            if start == 2 {
                assert_eq!(plan.unproven(), [], "{trouble:?}");
            }
            for range in plan.aligned(&us(), TimeRange::merged(&doubts)) {
                let events = plan.reopening(&us(), range, &Reopening::Doubt).unwrap();
                events.iter().for_each(|event| plan.apply_event(event));
            }
        }
    }
    assert!(listed > 0, "the trouble left nothing in doubt");
}
