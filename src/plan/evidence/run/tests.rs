use super::WindowEvidence;
use crate::plan::event::ScanReason;
use crate::plan::evidence::observation::{Rules, Series, Turn};
use crate::plan::evidence::premise::Missing;
use crate::plan::evidence::testing::second;
use crate::plan::fact::{PageAddress, PageFact, Purpose, RowKey, VideoKey, WindowId};
use crate::plan::walk::Scan;
use crate::units::{PageNumber, TimeRange};

/// A window of the seconds from 0 up to, not including, this one.
const END: i64 = 60;

fn window() -> TimeRange {
    TimeRange::new(second(0), second(END))
}

fn scan(number: u32, anchor: i64) -> Scan {
    let (asked_min, asked_max) = (second(anchor - 1), second(1_000));
    let (anchor, started_at, why) = (second(anchor), second(5_000), ScanReason::First);
    Scan { number, anchor, asked_min, asked_max, started_at, why }
}

/// A scan, its page and that one's rows, each `(second, id)`.
type Answer = (u32, u32, Vec<(i64, u64)>);

/// A page of a scan, of `(second, id)`.
fn fact((scan, page): (u32, u32), rows: &[(i64, u64)]) -> PageFact {
    let purpose = Purpose::Walk { window: WindowId(0), scan };
    let row = |&(at, id): &(i64, u64)| RowKey { second: second(at), video: VideoKey(id) };
    PageFact {
        address: PageAddress { region: "US".parse().unwrap(), purpose, page: PageNumber::new(page).unwrap() },
        fetched_at: second(5_000 + i64::from(100 * scan + page)),
        slots: u32::try_from(rows.len()).unwrap(),
        rows: rows.iter().map(row).collect(),
        check: Default::default(),
    }
}

/// The n-th page of a list with a row every second, its second for its id.
fn honest(page: u32) -> Vec<(i64, u64)> {
    let from = i64::from(page - 1) * 10;
    (from..from + 10).map(|at| (at, at as u64)).collect()
}

fn read(pages: &[Answer], anchors: &[i64]) -> WindowEvidence {
    let mut evidence = WindowEvidence::new(second(0));
    for (number, anchor) in (0..).zip(anchors) {
        let purpose = Purpose::Walk { window: WindowId(0), scan: number };
        let series = Series::of_scan((&"US".parse().unwrap(), purpose), &scan(number, *anchor), second(1_000));
        evidence.begin(number, series);
    }
    for (scan, page, rows) in pages {
        evidence.fold(&fact((*scan, *page), rows), Turn::InTurn);
    }
    evidence
}

fn walked(pages: u32) -> Vec<Answer> {
    (1..=pages).map(|page| (0, page, honest(page))).collect()
}

fn lacks(evidence: &WindowEvidence) -> Vec<((i64, i64), Missing)> {
    let open = evidence.uncovered(evidence.undecided(window()), Rules::USUAL, &[]).into_iter();
    open.map(|open| ((open.seconds.start.get(), open.seconds.end.get()), open.missing)).collect()
}

#[test]
fn pages_that_go_on_from_each_other_are_covered_as_they_come_and_forgotten() {
    let evidence = read(&walked(7), &[0]);
    assert_eq!(evidence.covered_until(), second(59), "the last page counts once another has followed it");
    assert_eq!(lacks(&evidence), []);
    assert!(evidence.open.len() <= 2, "{}", evidence.open.len());
}

#[test]
fn what_no_page_goes_beyond_lacks_what_stands_after_it() {
    assert_eq!(lacks(&read(&walked(4), &[0])), [((39, 60), Missing::NewerBracket)]);
}

/// A page may end with a wrong date, far beyond the window, and the list goes on before that.
#[test]
fn a_row_beyond_the_window_is_its_end_only_where_no_row_of_it_came_later() {
    let leaping = |page: u32| [&honest(page)[..9], &[(500, 500)]].concat();
    let evidence = read(&[(0, 1, honest(1)), (0, 2, leaping(2))], &[0]);
    assert!(evidence.undecided(window()).is_empty(), "nothing says otherwise");
    let evidence = read(&[(0, 1, honest(1)), (0, 2, leaping(2)), (0, 3, honest(3))], &[0]);
    assert_eq!(evidence.undecided(window()), TimeRange::new(second(9), second(60)), "the list goes on");
    let evidence = read(&[(0, 1, honest(1)), (0, 2, leaping(2)), (1, 1, honest(2))], &[0, 10]);
    assert_eq!(evidence.undecided(window()), TimeRange::new(second(9), second(60)), "it was read again");
    let evidence = read(&[(0, 1, honest(1)), (0, 2, leaping(2)), (0, 3, vec![(501, 501)])], &[0]);
    assert!(evidence.undecided(window()).is_empty(), "the list goes on beyond it");
}

#[test]
fn a_page_that_never_came_leaves_its_seconds_open() {
    let mut pages = walked(7);
    pages.remove(3);
    let evidence = read(&pages, &[0]);
    assert_eq!(evidence.covered_until(), second(19));
    let open = lacks(&evidence);
    assert_eq!(open.iter().map(|(seconds, _)| *seconds).collect::<Vec<_>>(), [(29, 41)], "{open:?}");
}

#[test]
fn the_order_in_which_pages_come_changes_nothing() {
    let mut pages = walked(7);
    pages.swap(3, 4);
    let evidence = read(&pages, &[0]);
    assert_eq!((evidence.covered_until(), lacks(&evidence)), (second(59), vec![]));
}

#[test]
fn a_scan_that_begins_with_the_last_rows_goes_on() {
    let mut pages = walked(3);
    for page in 1..=5 {
        let from = 19 + i64::from(page) * 10;
        pages.push((1, page, (from..from + 10).map(|at| (at, at as u64)).collect()));
    }
    let evidence = read(&pages, &[0, 29]);
    assert_eq!((evidence.covered_until(), lacks(&evidence)), (second(68), vec![]));
    let without = read(&pages, &[0, 31]);
    assert_eq!(without.covered_until(), second(19), "what begins later proves nothing of what lies between");
}

/// A row that comes twice may have pushed another out between the two pages.
#[test]
fn a_row_that_comes_twice_leaves_its_second_open() {
    let mut pages = walked(7);
    pages[1].2 = (10..19).map(|at| (at, at as u64)).chain([(20, 77)]).collect();
    pages[2].2 = [(20, 77)].into_iter().chain((20..29).map(|at| (at, at as u64))).collect();
    let evidence = read(&pages, &[0]);
    assert_eq!(evidence.covered_until(), second(9));
    assert!(lacks(&evidence).contains(&((20, 21), Missing::Ids(1))), "{:?}", lacks(&evidence));
}

#[test]
fn what_is_read_again_by_a_window_of_its_own_takes_along_what_is_known_of_it() {
    let mut pages = walked(7);
    pages[2].2.truncate(8);
    let evidence = read(&pages, &[0]);
    let open = lacks(&evidence);
    assert!(open.iter().all(|(_, missing)| matches!(missing, Missing::FullPages(2))), "{open:?}");
    let mut later = WindowEvidence::new(second(27));
    later.take_over(&evidence, TimeRange::new(second(27), second(31)));
    assert!(!later.former.is_empty() && later.former.len() < evidence.open.len());
    assert_eq!(later.covered_until(), second(27));
}

#[test]
fn what_one_window_keeps_is_bounded() {
    // Short pages are never taken at once.
    let short = |page: u32| (0, page, honest(page).into_iter().take(9).collect());
    let evidence = read(&(1..=3_000).map(short).collect::<Vec<_>>(), &[0]);
    assert!(evidence.open.len() <= super::MOST_OPEN);
    assert!(evidence.covered_until() > second(19_000));
}
