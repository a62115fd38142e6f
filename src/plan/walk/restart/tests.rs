use super::*;
use crate::plan::fact::{PageAddress, Purpose, VideoKey, WindowId};
use crate::plan::testing::{at, page_of, range, us};
use crate::plan::walk::mode::Mode;
use crate::units::PageNumber;

const END: i64 = 1_000;

fn scan(number: u32, anchor: i64, why: ScanReason) -> Scan {
    Scan { number, anchor: at(anchor), asked_min: at(anchor), asked_max: at(END), started_at: at(1_000), why }
}

/// Folds the next page of the running scan in, of a row in each of these seconds.
fn read(walk: &mut Walk, seconds: std::ops::Range<i64>) {
    let page = PageNumber::new(walk.scan_pages() + 1).unwrap();
    let purpose = Purpose::Walk { window: WindowId(0), scan: walk.scan().number };
    walk.apply(&page_of(PageAddress { region: us(), purpose, page }, at(1_000), seconds));
}

/// A walk of the seconds from 0 to 500 that has read those to 29, on three pages.
fn walk() -> Walk {
    let mut walk = Walk::new(range(0, 500), None, scan(0, 0, ScanReason::First));
    [0..10, 10..20, 20..30].into_iter().for_each(|seconds| read(&mut walk, seconds));
    walk
}

/// Where a walk stands once another scan has begun.
#[derive(Debug, PartialEq, Eq)]
struct Stands {
    /// The last second seen that it goes on from.
    frontier: Option<i64>,
    /// Below this nothing is read again.
    watermark: i64,
    /// The known rows of the anchor's second that are to come before anything is believed.
    awaits: Vec<u64>,
}

fn restarted(anchor: i64, why: ScanReason) -> Walk {
    let mut walk = walk();
    walk.restart(scan(1, anchor, why), None);
    walk
}

fn stands(walk: &Walk) -> Stands {
    Stands {
        frontier: walk.frontier().map(EpochSeconds::get),
        watermark: walk.watermark().get(),
        awaits: walk.anchor.awaited.iter().map(|video| video.0).collect(),
    }
}

#[test]
fn what_a_scan_keeps_of_the_one_before() {
    let before = walk().watermark().get();
    assert_eq!((before, walk().frontier()), (19, Some(at(29))));
    let goes_on = Stands { frontier: Some(29), watermark: before, awaits: vec![29] };
    let anew = |watermark| Stands { frontier: None, watermark, awaits: Vec::new() };
    let rules = [
        ("it goes on from the last second", 29, ScanReason::Scheduled, goes_on),
        (
            "so it does at the cap",
            29,
            ScanReason::Cap,
            Stands { frontier: Some(29), watermark: before, awaits: vec![29] },
        ),
        ("and in doubt", 29, ScanReason::Doubt, Stands { frontier: Some(29), watermark: before, awaits: vec![29] }),
        (
            "of rows that came twice none is awaited",
            29,
            ScanReason::Repeat,
            Stands { frontier: Some(29), watermark: before, awaits: vec![] },
        ),
        ("from further back it begins anew", 15, ScanReason::Doubt, anew(15)),
        (
            "past a second that stays in doubt it begins anew, and the page before is still to be followed",
            30,
            ScanReason::PastFullSecond,
            anew(before),
        ),
        ("a look around a short page takes nothing back", 5, ScanReason::ShortPage, anew(before)),
        (
            "a question about a known row moves nothing",
            29,
            ScanReason::KnownRow,
            Stands { frontier: Some(29), watermark: before, awaits: vec![] },
        ),
    ];
    for (rule, anchor, why, wanted) in rules {
        assert_eq!(stands(&restarted(anchor, why)), wanted, "{rule}");
    }
}

#[test]
fn doubts_of_one_second_are_counted_until_a_new_row_comes_or_another_second_is_doubted() {
    let mut walk = walk();
    let doubt = |walk: &mut Walk, number, anchor| {
        walk.restart(scan(number, anchor, ScanReason::Doubt), None);
        (walk.doubts.doubts_at.map(|(second, times)| (second.get(), times)), walk.doubts.fruitless)
    };
    assert_eq!(doubt(&mut walk, 1, 29), (Some((29, 1)), 0));
    assert_eq!(doubt(&mut walk, 2, 29), (Some((29, 2)), 1), "the first brought nothing");
    read(&mut walk, 29..39);
    assert_eq!(doubt(&mut walk, 3, 38), (Some((38, 1)), 0), "the second did");
    walk.restart(scan(4, 38, ScanReason::Confirm), None);
    assert_eq!((walk.doubts.doubts_at, walk.doubts.fruitless, walk.doubts.is_confirming), (None, 0, true));
}

#[test]
fn a_wider_question_is_in_no_doubt_yet() {
    let mut walk = walk();
    walk.restart(scan(1, 29, ScanReason::Doubt), None);
    walk.restart(scan(2, 29, ScanReason::Doubt), None);
    let wider = Scan { asked_max: at(END + 100), ..scan(3, 29, ScanReason::Restart) };
    walk.restart(wider, None);
    assert_eq!((walk.doubts.doubts_at, walk.doubts.fruitless), (None, 0));
}

/// Where the last rows leapt ahead and their scan goes on from them, they are the last seen; what was sure before is where to look again.
#[test]
fn rows_that_leapt_ahead_are_the_last_seen_where_a_scan_goes_on_from_them() {
    let mut walk = walk();
    let page = PageNumber::new(4).unwrap();
    let purpose = Purpose::Walk { window: WindowId(0), scan: 0 };
    let address = PageAddress { region: us(), purpose, page };
    walk.apply(&page_of(address, at(1_000), (30..39).chain([400])));
    assert_eq!(walk.frontier(), Some(at(38)));
    let mut ahead = walk.clone();
    ahead.restart(scan(1, 400, ScanReason::Cap), None);
    assert_eq!((ahead.frontier(), ahead.known_before()), (Some(at(400)), Some(at(38))));
    walk.restart(scan(1, 38, ScanReason::Scheduled), None);
    assert_eq!(walk.frontier(), Some(at(38)), "one that goes on from elsewhere says nothing of them");
}

#[test]
fn how_a_scan_reads_follows_from_why_it_begins() {
    let mode = |anchor, why, bounded: bool| {
        let mut walk = walk();
        let bounded = bounded.then(|| Bounded::new(true, BTreeSet::new()));
        walk.restart(scan(1, anchor, why), bounded);
        match walk.mode {
            Mode::Ordered => "in order",
            Mode::Bounded(_) => "within its bounds",
            Mode::FromEnd(_) => "from the other end",
            Mode::Seam(_) => "beyond its end",
        }
    };
    assert_eq!(mode(29, ScanReason::Scheduled, false), "in order");
    assert_eq!(mode(29, ScanReason::Scheduled, true), "within its bounds");
    assert_eq!(mode(29, ScanReason::FromEnd, false), "from the other end");
    assert_eq!(mode(500, ScanReason::Seam { until: at(510) }, false), "beyond its end");
    assert_eq!(mode(29, ScanReason::Seam { until: at(40) }, false), "in order", "those seconds are its own");
}

/// The page that a row came twice on was not counted, and of its rows one came on no page of the readings that followed: two of them held
/// as many rows as were known of the second, and it was taken for whole.
#[test]
fn the_rows_of_the_page_that_repeats_one_are_known_of_the_second_that_is_read_again() {
    let mut walk = Walk::new(range(0, 500), None, scan(0, 5, ScanReason::First));
    let fold = |walk: &mut Walk, videos: &[u64]| {
        let page = PageNumber::new(walk.scan_pages() + 1).unwrap();
        let purpose = Purpose::Walk { window: WindowId(0), scan: walk.scan().number };
        let mut page = page_of(PageAddress { region: us(), purpose, page }, at(1_000), 0..videos.len() as i64);
        for (row, video) in page.rows.iter_mut().zip(videos) {
            *row = RowKey { second: at(5), video: VideoKey(*video) };
        }
        walk.apply(&page);
    };
    let first: Vec<u64> = (0..10).collect();
    fold(&mut walk, &first);
    fold(&mut walk, &[9, 77]);
    for reading in 1..=2 {
        walk.restart(scan(reading, 5, ScanReason::Repeat), None);
        fold(&mut walk, &first);
        fold(&mut walk, &[]);
    }
    assert!(walk.heals.iter().any(Heal::needs_another_reading), "{:?}", walk.heals);
}
