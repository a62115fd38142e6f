//! Two windows that meet, read page by page: what differs there is read again, and what that costs.

use std::collections::BTreeSet;

use super::*;
use crate::api::contract::{Filters, Region, TimeOrder};
use crate::plan::fact::{PageAddress, PageFact, Purpose, VideoKey};
use crate::plan::planner::{Decision, PlanContext, Task};
use crate::units::{EpochSeconds, PageNumber};

const LEFT: WindowId = WindowId(0);
const RIGHT: WindowId = WindowId(1);
const END: i64 = 600;

enum Entry {
    Event(PlanEvent),
    Page(PageFact),
}

/// A row a second, the windows `[0, at)` and `[at, 600)`, and whoever is told to reads a page.
struct Run {
    planner: Planner,
    log: Vec<Entry>,
    closed: Vec<WindowId>,
    truth: Vec<RowKey>,
    /// A row that shows this second in place of its own.
    misdated: Option<RowKey>,
    seen: BTreeSet<VideoKey>,
    walked: u32,
}

fn row(second: i64, video: u64) -> RowKey {
    RowKey { second: EpochSeconds::new(second), video: VideoKey(video) }
}

fn new_planner() -> Planner {
    let us: Region = "US".parse().unwrap();
    let mut planner =
        Planner::new(&[us], Filters::default(), TimeRange::new(EpochSeconds::new(0), EpochSeconds::new(END)));
    // Of this service it is known that page 1 is the first, so that no walk goes on from its last second to learn it.
    planner.profile.bounds.anchor_came = true;
    planner
}

impl Run {
    fn cut_at(at: i64) -> Self {
        let truth = (0..END).map(|second| row(second, second as u64)).collect();
        let planner = new_planner();
        let mut run =
            Self { planner, log: vec![], closed: vec![], truth, misdated: None, seen: BTreeSet::new(), walked: 0 };
        run.record(run.planner.opening());
        run.record(vec![PlanEvent::WindowSplit { window: LEFT, at: EpochSeconds::new(at), new: RIGHT }]);
        // The first page, and the newest one, without which no walk goes on.
        run.read(LEFT);
        run.read(LEFT);
        run
    }

    fn record(&mut self, events: Vec<PlanEvent>) {
        for event in events {
            let event: PlanEvent = serde_json::from_str(&serde_json::to_string(&event).unwrap()).unwrap();
            if let PlanEvent::WindowFinished { window, .. } = event {
                self.closed.push(window);
            }
            self.planner.apply_event(&event);
            self.log.push(Entry::Event(event));
        }
    }

    fn next(&mut self, window: WindowId) -> Option<Task> {
        let context = PlanContext { idle_workers: 1, ..PlanContext::usual() };
        while self.planner.window_range(window).is_some() && !self.closed.contains(&window) {
            match self.planner.next(Some(window), &context) {
                Decision::Record(events) => self.record(events),
                Decision::Ask(task) => return Some(*task),
                other => panic!("{other:?}"),
            }
        }
        None
    }

    /// Reads a page for a window, unless it is over.
    fn read(&mut self, window: WindowId) -> bool {
        let Some(task) = self.next(window) else { return false };
        let (min, max) = (task.query.min_create_time.unwrap(), task.query.max_create_time.unwrap());
        let mut rows = self.truth.clone();
        rows.retain(|row| min <= row.second && row.second <= max);
        if task.query.order == TimeOrder::NewestFirst {
            rows.reverse();
        }
        rows.iter_mut().for_each(|row| *row = self.misdated.filter(|wrong| wrong.video == row.video).unwrap_or(*row));
        let rows: Vec<RowKey> = rows.into_iter().skip((task.query.page.get() as usize - 1) * 10).take(10).collect();
        self.seen.extend(rows.iter().map(|row| row.video));
        self.walked += u32::from(matches!(task.address.purpose, Purpose::Walk { .. }));
        let slots = rows.len() as u32;
        let page = PageFact {
            address: task.address,
            fetched_at: EpochSeconds::new(1_000),
            slots,
            rows,
            check: Default::default(),
        };
        self.planner.apply_page(&page);
        self.log.push(Entry::Page(page));
        true
    }

    fn finish(&mut self, window: WindowId) {
        while self.read(window) {}
    }

    /// Reads a window until its next page is of a seam.
    fn read_to_the_seam(&mut self, window: WindowId) {
        for _ in 0..END {
            self.next(window).unwrap();
            if self.reads_seam(window) {
                return;
            }
            self.read(window);
        }
        panic!("no seam was read");
    }

    fn reads_seam(&self, window: WindowId) -> bool {
        let walk = self.planner.windows.get(&window).and_then(Window::walk);
        walk.is_some_and(|walk| matches!(walk.scan().why, ScanReason::Seam { .. }))
    }

    fn hide(&mut self, video: u64) -> RowKey {
        let place = self.truth.iter().position(|row| row.video == VideoKey(video)).unwrap();
        self.truth.remove(place)
    }

    fn show(&mut self, row: RowKey) {
        let place = self.truth.partition_point(|other| other.second <= row.second);
        self.truth.insert(place, row);
    }

    /// The process dies, and pages of windows that are over are not replayed.
    fn restart(&mut self) {
        let mut planner = new_planner();
        for entry in &self.log {
            match entry {
                Entry::Event(event) => planner.apply_event(event),
                Entry::Page(page) => match page.address.purpose {
                    Purpose::Walk { window, .. } if self.closed.contains(&window) => {}
                    _ => planner.apply_page(page),
                },
            }
        }
        assert_eq!(planner.profile().seams, self.planner.profile().seams);
        self.planner = planner;
    }

    fn sums(&self) -> (u32, u64, usize) {
        (self.walked, self.planner.profile().seams, self.planner.unproven().len())
    }
}

/// Pages of both windows where nothing differs, with the empty page at the end.
const HONEST: u32 = 31 + 30 + 1;

#[test]
fn an_honest_service_pays_nothing_whoever_comes_second() {
    for order in [[LEFT, RIGHT], [RIGHT, LEFT]] {
        let mut run = Run::cut_at(301);
        for window in order {
            run.finish(window);
            run.restart();
        }
        assert_eq!((run.sums(), run.planner.is_done()), ((HONEST, 0, 0), true), "{order:?}");
    }
}

/// The right window is over before the left one sees the row: its first page is only in its last event.
#[test]
fn a_row_that_the_owner_was_not_shown_is_read_again_for_one_request() {
    let mut run = Run::cut_at(301);
    let hidden = run.hide(304);
    run.finish(RIGHT);
    run.show(hidden);
    run.restart();
    run.read_to_the_seam(LEFT);
    run.restart();
    assert!(run.reads_seam(LEFT));
    assert_eq!(run.planner.windows.get(&LEFT).and_then(Window::walk).unwrap().scan().anchor, hidden.second);
    run.finish(LEFT);
    assert_eq!((run.sums(), run.planner.is_done()), ((HONEST + 1, 1, 0), true));
}

#[test]
fn a_row_that_came_after_the_owners_first_page_is_read_again_while_the_owner_reads_on() {
    let mut run = Run::cut_at(301);
    run.read(RIGHT);
    run.show(row(305, 9_000));
    run.finish(LEFT);
    run.finish(RIGHT);
    assert_eq!((run.sums().1, run.sums().2, run.seen.len()), (1, 0, 601));
    assert!(run.planner.is_done());
}

#[test]
fn a_row_that_does_not_come_again_is_taken_for_deleted() {
    let mut run = Run::cut_at(301);
    let hidden = run.hide(304);
    run.finish(RIGHT);
    run.show(hidden);
    run.read_to_the_seam(LEFT);
    run.hide(304);
    run.finish(LEFT);
    assert_eq!((run.sums(), run.planner.is_done()), ((HONEST + 1, 1, 0), true));
}

/// The last row of a page shows a wrong date right behind the window's end, so that the walk seemed to be past it.
#[test]
fn an_end_is_not_witnessed_by_a_row_that_the_owner_would_have_shown() {
    for (at, wrong) in [(300, 300), (301, 301), (301, 302), (302, 303), (303, 303)] {
        let mut run = Run::cut_at(at);
        run.misdated = Some(row(wrong, 299));
        run.read(RIGHT);
        run.finish(LEFT);
        run.restart();
        run.finish(RIGHT);
        let missing: Vec<u64> = (0..600).filter(|video| !run.seen.contains(&VideoKey(*video))).collect();
        assert_eq!((missing, run.planner.unproven().len()), (vec![], 0), "{at} {wrong}");
        assert!(run.planner.is_done() && run.walked <= HONEST + 3, "{at} {wrong}: {}", run.walked);
    }
}

/// All that the left window's last page shows beyond its end came since: the next page shows that it is at its end, and costs no more than reading
/// that second again.
#[test]
fn where_all_rows_beyond_the_end_are_new_to_the_owner_the_next_page_is_the_witness() {
    let mut run = Run::cut_at(309);
    let hidden = run.hide(309);
    run.finish(RIGHT);
    run.show(hidden);
    run.finish(LEFT);
    assert_eq!((run.sums(), run.seen.len(), run.planner.is_done()), ((HONEST + 1, 0, 0), 600, true));
}

#[test]
fn a_reading_that_brings_more_is_repeated_until_one_brings_nothing() {
    for (differing, readings, listed) in [(1, 2, 0), (2, 3, 0), (3, 3, 1)] {
        let mut run = Run::cut_at(301);
        let hidden = run.hide(304);
        run.finish(RIGHT);
        run.show(hidden);
        run.read_to_the_seam(LEFT);
        for number in 0..differing {
            run.show(row(304, 9_000 + number));
            run.read(LEFT);
        }
        run.finish(LEFT);
        assert_eq!(run.sums(), (HONEST + readings, 1, listed), "{differing}");
    }
}

#[test]
fn seconds_that_cannot_be_had_again_are_listed_and_the_window_is_over() {
    let mut run = Run::cut_at(301);
    let hidden = run.hide(304);
    run.finish(RIGHT);
    run.show(hidden);
    run.read_to_the_seam(LEFT);
    let walks = Purpose::Walk { window: LEFT, scan: 0 };
    let address = PageAddress { region: "US".parse().unwrap(), purpose: walks, page: PageNumber::FIRST };
    run.record(run.planner.park(&address, LEFT));
    run.finish(LEFT);
    assert_eq!((run.sums(), run.planner.is_done()), ((HONEST, 1, 1), true));
    let listed = run.planner.unproven().first().unwrap();
    assert_eq!(listed.range, TimeRange::new(hidden.second, hidden.second.shifted(1)));
}

/// The left window is over, and its pages forgotten, before the right one begins.
#[test]
fn an_owner_that_begins_later_reads_again_what_it_lacks() {
    let mut run = Run::cut_at(301);
    run.finish(LEFT);
    let hidden = run.hide(304);
    run.restart();
    run.read(RIGHT);
    run.restart();
    run.show(hidden);
    run.read_to_the_seam(RIGHT);
    run.restart();
    run.finish(RIGHT);
    assert_eq!((run.sums(), run.planner.is_done()), ((HONEST + 1, 1, 0), true));
}

/// Eight rows of the left window's beginning go before its last page: that begins eight rows too late.
#[test]
fn a_last_page_that_skipped_the_neighbours_rows_skipped_its_own() {
    let mut run = Run::cut_at(305);
    run.read(RIGHT);
    (0..29).for_each(|_| assert!(run.read(LEFT)));
    for video in 0..8 {
        run.hide(video);
    }
    assert!((300..304).all(|video| !run.seen.contains(&VideoKey(video))));
    run.read_to_the_seam(LEFT);
    run.restart();
    run.finish(LEFT);
    run.finish(RIGHT);
    assert_eq!((run.sums().1, run.sums().2, run.seen.len()), (1, 0, 600));
}

#[test]
fn a_journal_without_seams_is_read_as_before() {
    let old = r#"{"event":"window_finished","window":3,"ending":"row_beyond","rows":10,"pages":1}"#;
    let event: PlanEvent = serde_json::from_str(old).unwrap();
    assert_eq!(serde_json::to_string(&event).unwrap(), old);
}
