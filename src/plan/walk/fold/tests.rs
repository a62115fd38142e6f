use super::*;
use crate::api::contract::Filters;
use crate::plan::fact::{PageAddress, Purpose, WindowId};
use crate::plan::planner::{PlanContext, Planner};
use crate::plan::testing::{at, page_of, range, us};
use crate::plan::walk::{Scan, WalkStep};
use crate::units::PageNumber;

const END: i64 = 10_000;

fn scan(number: u32, anchor: i64, why: ScanReason) -> Scan {
    Scan { number, anchor: at(anchor), asked_min: at(anchor), asked_max: at(END), started_at: at(1_000), why }
}

/// Reads the next page of a walk, of the ten seconds from this one on; what it is, and what the walk wants then.
fn read(walk: &mut Walk, first: i64) -> (Finding, WalkStep) {
    read_rows(walk, first..first + 10, None)
}

/// The same of a row a second, of which one may show another second.
fn read_rows(walk: &mut Walk, rows: std::ops::Range<i64>, wrong: Option<(i64, i64)>) -> (Finding, WalkStep) {
    let page = PageNumber::new(walk.scan_pages() + 1).unwrap();
    let purpose = Purpose::Walk { window: WindowId(0), scan: walk.scan().number };
    let mut page = page_of(PageAddress { region: us(), purpose, page }, at(1_000), rows);
    for row in &mut page.rows {
        row.second = wrong.filter(|(from, _)| row.second == at(*from)).map_or(row.second, |(_, to)| at(to));
    }
    walk.apply(&page);
    let planner = Planner::new(&[us()], Filters::default(), range(0, END));
    let context = PlanContext { now: at(1_000), ..PlanContext::usual().confirming(20) };
    let step = walk.step(&planner.walk_context(planner.region(&us()).unwrap(), &context));
    (walk.last.finding, step)
}

/// A walk that has read seconds 0 to 20, and looks again for what comes after `anchor`.
fn looking_from(anchor: i64, why: ScanReason) -> Walk {
    let mut walk = Walk::new(range(0, END), None, scan(0, 0, ScanReason::First));
    read(&mut walk, 0);
    read(&mut walk, 10);
    walk.restart(scan(1, anchor, why), None);
    walk
}

#[test]
fn a_scan_that_looks_for_what_was_skipped_shows_the_rows_that_it_begins_with() {
    for (anchor, why) in [(19, ScanReason::Doubt), (9, ScanReason::Disorder), (9, ScanReason::Seam { until: at(15) })] {
        assert_eq!(read(&mut looking_from(anchor, why), anchor).0, Finding::Rows, "{why:?}");
        let mut walk = looking_from(anchor, why);
        let looks_again = |step: &WalkStep| matches!(step, WalkStep::Anchor { at: again, .. } if *again == at(anchor));
        let (finding, step) = read(&mut walk, 500);
        assert!(finding == Finding::Unjoined, "{why:?}: {finding:?}");
        assert!(looks_again(&step), "{why:?}: {step:?}");
        // The same again is how it is.
        walk.restart(scan(2, anchor, ScanReason::Doubt), None);
        assert_eq!(read(&mut walk, 500).0, Finding::Rows, "{why:?}");
    }
}

/// What lay between the two was skipped without a word.
#[test]
fn where_two_pages_go_back_in_time_both_are_read_again() {
    let mut walk = looking_from(0, ScanReason::Restart);
    [0, 10, 500].into_iter().for_each(|first| drop(read(&mut walk, first)));
    let (finding, step) = read(&mut walk, 30);
    assert_eq!(finding, Finding::Disordered);
    assert_eq!(step, WalkStep::Anchor { at: at(19), why: ScanReason::Disorder, unproven: Vec::new() });
}

/// The last row that the service serves of a question had a wrong date. The scan that looked for more went on from there, with other rows of that
/// second, and what lies between was missing with exit 0 (seed 10777262).
#[test]
fn a_doubt_that_goes_on_from_a_row_awaits_it() {
    let doubt = |wrong| {
        let mut walk = Walk::new(range(0, END), None, scan(0, 0, ScanReason::First));
        read(&mut walk, 0);
        read_rows(&mut walk, 10..20, wrong);
        let anchor = wrong.map_or(19, |(_, to)| to);
        walk.restart(scan(1, anchor, ScanReason::Doubt), None);
        read(&mut walk, anchor).1
    };
    assert_eq!(doubt(None), WalkStep::Ask(PageNumber::new(2).unwrap()));
    let back = WalkStep::Anchor { at: at(18), why: ScanReason::Doubt, unproven: Vec::new() };
    assert_eq!([21, 25, 90].map(|to| doubt(Some((19, to)))), [back.clone(), back.clone(), back]);
}
