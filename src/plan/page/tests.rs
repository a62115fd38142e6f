use super::*;
use crate::plan::fact::{PageAddress, Purpose, WindowId};
use crate::plan::testing::{at, page_of, us};
use crate::units::PageNumber;

/// What was asked of each page here: these seconds, the last one included.
const ASKED: (i64, i64) = (100, 900);

/// What came before a page; ids are seconds, as on all pages here.
#[derive(Clone, Default)]
struct Before {
    previous: Vec<i64>,
    came_before: bool,
    held: Vec<i64>,
    /// What the page before showed, where all pages so far lay before what was asked.
    early: Option<Vec<i64>>,
    frontier: Option<i64>,
    order_is_proven: bool,
    watermark: i64,
    misdated: Vec<u64>,
    listed: (i64, i64),
    healing: Vec<i64>,
}

fn keys(seconds: &[i64]) -> Vec<RowKey> {
    seconds.iter().map(|second| RowKey { second: at(*second), video: VideoKey(*second as u64) }).collect()
}

fn page(seconds: &[i64]) -> PageFact {
    let purpose = Purpose::Walk { window: WindowId(0), scan: 0 };
    page_of(PageAddress { region: us(), purpose, page: PageNumber::FIRST }, at(1_000), seconds.iter().copied())
}

/// What a page is, in a walk with an order and in one without.
fn seen(page: &PageFact, before: &Before) -> (View, Finding) {
    let (previous, held) = (keys(&before.previous), keys(&before.held));
    let early = before.early.as_deref().map(keys);
    let frontier = before.frontier.map(at);
    let at_frontier = previous.iter().filter(|row| Some(row.second) == frontier).map(|row| row.video).collect();
    let misdated = before.misdated.iter().copied().map(VideoKey).collect();
    let reading = Reading {
        page,
        asked_min: at(ASKED.0),
        asked_max: at(ASKED.1),
        previous: &previous,
        came_before: before.came_before,
        held: &held,
        early: early.as_deref(),
        frontier,
        at_frontier: &at_frontier,
        order_is_proven: before.order_is_proven,
        watermark: at(before.watermark),
        misdated: &misdated,
        listed: TimeRange::new(at(before.listed.0), at(before.listed.1)),
        healing: before.healing.iter().copied().map(at).collect(),
    };
    (reading.view(), reading.unordered())
}

/// A page after the rows of seconds 200 to 209.
fn after_a_page() -> Before {
    Before { previous: (200..210).collect(), frontier: Some(209), ..Before::default() }
}

fn finding(seconds: &[i64], before: &Before) -> Finding {
    seen(&page(seconds), before).0.finding
}

#[test]
fn what_a_page_without_a_row_that_was_asked_for_is() {
    let first = Before { early: Some(Vec::new()), ..Before::default() };
    let after_early = Before { early: Some((80..90).collect()), ..Before::default() };
    let five = [90, 91, 92, 93, 94];
    let late = [901, 902, 903, 904, 905];
    let rules: [(&str, &[i64], &Before, Finding); 9] = [
        ("no row at all", &[], &after_a_page(), Finding::Empty),
        ("a few rows outside are wrong dates", &five[..4], &first, Finding::Unusable),
        ("five rows before it, and none has come yet", &five, &first, Finding::Early(at(90))),
        ("five rows before it that go on from such", &five, &after_early, Finding::Early(at(90))),
        ("five rows before it that go back", &[70, 71, 72, 73, 74], &after_early, Finding::OutsideAsked(at(70))),
        (
            "five rows before it of which one has come",
            &[89, 91, 92, 93, 94],
            &after_early,
            Finding::OutsideAsked(at(89)),
        ),
        ("five rows before it after rows that were asked for", &five, &after_a_page(), Finding::OutsideAsked(at(90))),
        ("five rows beyond it after others", &late, &after_a_page(), Finding::Empty),
        ("five rows beyond it as the first", &late, &first, Finding::OutsideAsked(at(901))),
    ];
    for (rule, seconds, before, wanted) in rules {
        assert_eq!(finding(seconds, before), wanted, "{rule}");
        assert_eq!(seen(&page(seconds), before).1, wanted, "{rule}, where rows have no order");
    }
    for unordered in [[94, 93, 92, 91, 90], [905, 904, 903, 902, 901]] {
        let first_second = at(unordered[0]);
        assert_eq!(finding(&unordered, &after_early), Finding::OutsideAsked(first_second), "early rows in no order");
        assert_eq!(finding(&unordered, &after_a_page()), Finding::OutsideAsked(first_second), "late rows in no order");
    }
}

#[test]
fn rows_that_cannot_be_placed_are_the_same_page_where_they_came_before() {
    let unplaced = PageFact { slots: 10, ..page(&[]) };
    let twice = Before { came_before: true, ..after_a_page() };
    assert_eq!(seen(&unplaced, &after_a_page()).0.finding, Finding::Unusable);
    assert_eq!(seen(&unplaced, &twice).0.finding, Finding::SamePage);
}

#[test]
fn a_page_of_another_region_is_no_other_finding() {
    for seconds in [&[210, 211, 212][..], &[1, 2, 3, 4, 5], &[]] {
        let mut page = PageFact { slots: 10, ..page(seconds) };
        page.check.standing = Standing::OtherRegion;
        assert_eq!(seen(&page, &after_a_page()), (View::of(Finding::OtherRegion), Finding::OtherRegion), "{seconds:?}");
    }
}

#[test]
fn what_a_page_with_rows_is_against_the_one_before() {
    let plain = after_a_page();
    let next: Vec<i64> = (210..220).collect();
    let same: Vec<i64> = (200..210).collect();
    let shifted: Vec<i64> = (201..211).collect();
    let cases: [(&str, &[i64], Finding, Finding); 8] = [
        ("it goes on", &next, Finding::Rows, Finding::Rows),
        ("the same rows", &same, Finding::SamePage, Finding::SamePage),
        ("all but the first, and one more", &shifted, Finding::ShiftedByOne, Finding::Rows),
        ("all but the first, and none more", &same[1..], Finding::ShiftedByOne, Finding::Rows),
        (
            "all but the first, and two more",
            &[&same[1..], &[210, 211]].concat(),
            Finding::Repeated(at(201)),
            Finding::Rows,
        ),
        ("the last row again", &[209, 210, 211, 212], Finding::Repeated(at(209)), Finding::Rows),
        ("a row twice", &[210, 211, 211, 212], Finding::Repeated(at(211)), Finding::Rows),
        ("half of it goes back", &[213, 212, 211, 210], Finding::Disordered, Finding::Rows),
    ];
    for (rule, seconds, ordered, unordered) in cases {
        let (view, without_order) = seen(&page(seconds), &plain);
        assert_eq!((view.finding, without_order), (ordered, unordered), "{rule}");
    }
}

#[test]
fn a_row_that_comes_again_is_no_sign_where_its_second_is_settled_listed_or_read_again() {
    let again = [209, 210, 211, 212];
    let base = after_a_page();
    assert_eq!(finding(&again, &base), Finding::Repeated(at(209)));
    let expected = [
        ("below the low watermark", Before { watermark: 210, ..base.clone() }),
        ("listed", Before { listed: (209, 210), ..base.clone() }),
        ("read again", Before { healing: vec![209], ..base.clone() }),
    ];
    for (why, before) in expected {
        assert_eq!(finding(&again, &before), Finding::Rows, "{why}");
    }
    let elsewhere = [
        Before { watermark: 209, ..base.clone() },
        Before { listed: (210, 300), ..base.clone() },
        Before { healing: vec![210], ..base },
    ];
    for before in elsewhere {
        assert_eq!(finding(&again, &before), Finding::Repeated(at(209)));
    }
}

/// A row of the page before that stands beyond all that was reached may have a wrong date: the two pages meet at the last second reached.
#[test]
fn a_row_that_comes_again_beyond_what_was_reached_is_a_doubt_of_where_the_pages_meet() {
    let before = Before { previous: vec![200, 201, 202, 800], frontier: Some(202), ..Before::default() };
    assert_eq!(finding(&[203, 204, 205, 800], &before), Finding::Repeated(at(202)));
}

/// One row that does not fit among others is a wrong date, once they are known to go up; until then it may be how rows come here.
#[test]
fn rows_out_of_order_are_strays_or_no_order_at_all() {
    let proven = Before { order_is_proven: true, ..after_a_page() };
    let one = [210, 211, 500, 212, 213, 214];
    let two = [210, 500, 211, 212, 501, 213, 214, 215, 216];
    let flat = [210, 500, 210];
    /// A page, what came before it, what it is, and its strays.
    type Case<'a> = (&'a str, &'a [i64], &'a Before, Finding, &'a [i64]);
    let cases: [Case<'_>; 7] = [
        ("one among rows that go up", &one, &after_a_page(), Finding::Rows, &[500]),
        ("one of the time before", &[150, 210, 211, 212, 213], &after_a_page(), Finding::Rows, &[150]),
        ("two where six go up", &two, &after_a_page(), Finding::Rows, &[500, 501]),
        ("two of eight where five go up", &two[..8], &after_a_page(), Finding::Disordered, &[]),
        ("two of eight where an order is proven", &two[..8], &proven, Finding::Rows, &[500, 501]),
        ("more than a quarter", &[210, 500, 211, 501, 212, 213], &proven, Finding::Disordered, &[]),
        ("one among rows that do not go up", &flat, &after_a_page(), Finding::Disordered, &[]),
    ];
    for (rule, seconds, before, wanted, strays) in cases {
        let view = seen(&page(seconds), before).0;
        assert_eq!((view.finding, view.strays), (wanted, keys(strays)), "{rule}");
    }
}

#[test]
fn rows_that_leap_at_the_end_of_a_page_are_held_back_until_the_next_shows_them_right() {
    let before = after_a_page();
    let leaps: [(&str, &[i64], usize); 5] = [
        ("the last leaps", &[210, 212, 214, 216, 300], 1),
        ("the last two leap", &[210, 212, 214, 300, 301], 2),
        ("three leap: that is how rows lie here", &[210, 212, 300, 301, 302], 0),
        ("half of what the page spans, and a second", &[210, 212, 214, 216, 220], 0),
        ("a second more than that", &[210, 212, 214, 216, 221], 1),
    ];
    for (rule, seconds, many) in leaps {
        let view = seen(&page(seconds), &before).0;
        let sure = seconds.len() - many;
        assert_eq!((view.rows, view.held), (keys(&seconds[..sure]), keys(&seconds[sure..])), "{rule}");
    }
    let held = Before { held: vec![300], ..before };
    let right = seen(&page(&[301, 302, 303]), &held).0;
    assert_eq!((right.rows, right.strays), (keys(&[300, 301, 302, 303]), Vec::new()));
    let wrong = seen(&page(&[220, 221, 222]), &held).0;
    assert_eq!((wrong.rows, wrong.strays), (keys(&[220, 221, 222]), keys(&[300])));
    // A page without rows in order says nothing of them.
    assert_eq!(seen(&page(&[]), &held).0.held, keys(&[300]));
}

#[test]
fn a_row_known_for_its_wrong_date_is_no_row_that_was_asked_for() {
    let before = Before { misdated: vec![213], ..after_a_page() };
    let view = seen(&page(&[210, 211, 212, 213]), &before).0;
    assert_eq!((view.finding, view.rows), (Finding::Rows, keys(&[210, 211, 212])));
}

#[test]
fn a_page_is_plain_where_each_of_its_places_holds_a_row_in_order() {
    let full: Vec<i64> = (210..220).collect();
    let is_plain = |seconds: &[i64], slots| {
        let page = PageFact { slots, ..page(seconds) };
        seen(&page, &after_a_page()).0.is_plain(&page)
    };
    assert!(is_plain(&full, 10));
    assert!(!is_plain(&full[1..], 9), "a place is free");
    assert!(!is_plain(&full[1..], 10), "a row cannot be placed");
    assert!(!is_plain(&[&full[1..], &[500]].concat(), 10), "a row leaps");
}

#[test]
fn the_longest_run_keeps_most_rows_that_never_go_back() {
    let cases: [(&[i64], &[i64]); 5] = [
        (&[], &[]),
        (&[3, 3, 4], &[3, 3, 4]),
        (&[9, 1, 2, 3], &[1, 2, 3]),
        (&[1, 9, 2, 3], &[1, 2, 3]),
        (&[4, 3, 2], &[2]),
    ];
    for (rows, wanted) in cases {
        assert_eq!(longest_run(&keys(rows)).len(), wanted.len(), "{rows:?}");
        assert!(wanted.len() < 2 || longest_run(&keys(rows)) == keys(wanted), "{rows:?}");
    }
    assert_eq!([&[][..], &[5], &[5, 5], &[5, 6, 6, 7]].map(|rows| ascents(&keys(rows))), [0, 0, 0, 2]);
}
