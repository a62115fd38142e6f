use super::{Examined, Recorded, examine, observed};
use crate::plan::event::ScanReason;
use crate::plan::evidence::observation::{Rules, Turn};
use crate::plan::evidence::premise::{Missing, Rule};
use crate::plan::evidence::testing::second;
use crate::plan::fact::{PageAddress, PageFact, Purpose, RowKey, VideoKey, WindowId};
use crate::plan::walk::Scan;
use crate::units::{PageNumber, TimeRange};

const RANGE: (i64, i64) = (100, 1_000);

fn range() -> TimeRange {
    TimeRange::new(second(RANGE.0), second(RANGE.1))
}

fn fact(purpose: Purpose, number: u32, at: i64, seconds: &[i64]) -> PageFact {
    let address = PageAddress { region: "US".parse().unwrap(), purpose, page: PageNumber::new(number).unwrap() };
    let rows = seconds.iter().map(|at| RowKey { second: second(*at), video: VideoKey(*at as u64) }).collect();
    PageFact {
        address,
        fetched_at: second(at),
        slots: u32::try_from(seconds.len()).unwrap(),
        rows,
        check: Default::default(),
    }
}

fn scan(number: u32, anchor: i64) -> Scan {
    let (asked_min, asked_max) = (second(anchor - 1), second(RANGE.1));
    Scan { number, anchor: second(anchor), asked_min, asked_max, started_at: second(5_000), why: ScanReason::First }
}

/// A row every three seconds of the range: two windows that meet at 550, and the newest page before them.
fn honest() -> (Vec<PageFact>, Vec<Scan>) {
    walked(&(RANGE.0..RANGE.1).step_by(3).collect::<Vec<i64>>())
}

fn walked(rows: &[i64]) -> (Vec<PageFact>, Vec<Scan>) {
    let newest: Vec<i64> = rows.iter().rev().take(10).copied().collect();
    let mut facts = vec![fact(Purpose::Newest, 1, 4_000, &newest)];
    let mut at = 5_000;
    for (window, from, until) in [(0, RANGE.0, 550), (1, 550, RANGE.1)] {
        let purpose = Purpose::Walk { window: WindowId(window), scan: 0 };
        let own: Vec<i64> = rows.iter().copied().filter(|row| *row >= from).collect();
        for (index, page) in
            own.chunks(10).enumerate().take_while(|(index, _)| *index == 0 || own[index * 10 - 1] < until)
        {
            at += 1;
            facts.push(fact(purpose, u32::try_from(index).unwrap() + 1, at, page));
        }
        if window == 1 {
            facts.push(fact(purpose, u32::try_from(own.len().div_ceil(10)).unwrap() + 1, at + 1, &[]));
        }
    }
    (facts, vec![scan(0, RANGE.0), scan(0, 550)])
}

fn examined(facts: &[PageFact], scans: &[Scan], rules: Rules) -> Examined {
    let pages = facts.iter().filter_map(|fact| {
        let scan = match fact.address.purpose {
            Purpose::Walk { window, .. } => Some((&scans[window.0 as usize], second(RANGE.1))),
            _ => None,
        };
        observed(&Recorded { fact, scan, turn: Turn::InTurn }, range())
    });
    examine(pages, range(), rules, [])
}

#[test]
fn an_honest_walk_of_two_windows_certifies_every_second() {
    let (facts, scans) = honest();
    let examined = examined(&facts, &scans, Rules::USUAL);
    assert_eq!(examined.uncovered, []);
    assert!(examined.holds(range(), &[]));
    assert!(examined.certified.iter().any(|certificate| certificate.rule == Rule::End));
}

#[test]
fn a_page_that_never_came_leaves_its_seconds_open() {
    let (mut facts, scans) = honest();
    // The third page of the first window: the seconds 160 to 187.
    facts.remove(3);
    let examined = examined(&facts, &scans, Rules::USUAL);
    let open = TimeRange::new(second(157), second(191));
    assert!(!examined.holds(range(), &[]) && examined.holds(range(), &[open]), "{:?}", examined.uncovered);
    assert!(examined.holds(TimeRange::new(second(100), second(157)), &[]));
}

#[test]
fn without_a_second_witness_the_end_stays_open() {
    let (facts, scans) = honest();
    let examined = examined(&facts[1..], &scans, Rules::USUAL);
    let open: Vec<Missing> = examined.uncovered.iter().map(|open| open.missing).collect();
    assert_eq!(open, [Missing::EndWitness(Rules::USUAL.confirm_after)]);
    assert!(examined.holds(TimeRange::new(second(100), second(997)), &[]));
}

#[test]
fn a_night_without_rows_is_asked_about_again() {
    let rows: Vec<i64> = (RANGE.0..RANGE.1).step_by(3).filter(|at| !(300..520).contains(at)).collect();
    let (facts, scans) = walked(&rows);
    let once = examined(&facts, &scans, Rules::USUAL);
    assert!(once.uncovered.iter().any(|open| open.missing == Missing::SecondReading(Rules::USUAL.confirm_after)));
    // A lower standard takes the first reading's word.
    assert_eq!(examined(&facts, &scans, Rules { leap: 1_000, ..Rules::USUAL }).uncovered, []);
}
