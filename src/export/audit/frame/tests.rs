//! Where pages are placed, and how often.

use super::*;
use crate::export::audit::testing::{dice, range};

fn frame(ranges: &[TimeRange], seconds: &[i64]) -> Frame {
    let mut census = Census::of(Scope { region: "US".parse().unwrap(), ranges: ranges.to_vec() });
    seconds.iter().for_each(|second| census.row(EpochSeconds::new(*second)));
    Frame::new(vec![census])
}

/// The seconds where pages are placed; a row stands for its own.
fn places(frame: &Frame, seconds: &[i64], count: usize) -> Vec<i64> {
    let mut dice = dice(7);
    let second = |place: Place| match place.start {
        Start::Row(number) => seconds[usize::try_from(number).unwrap()],
        Start::Second(second) | Start::Behind(second, _) => second.get(),
    };
    (0..count).map(|_| second(frame.place(&mut dice).unwrap())).collect()
}

#[test]
fn evenly_spread_rows_cost_next_to_nothing_more() {
    let seconds: Vec<i64> = (0..20_000).map(|number| number * 50).collect();
    let frame = frame(&[range(0, 1_000_000)], &seconds);
    assert!((1.0..1.05).contains(&frame.inflation()), "{}", frame.inflation());
    let early = places(&frame, &seconds, 4_000).into_iter().filter(|second| *second < 100_000).count();
    assert!((320..480).contains(&early), "a tenth of the time has a tenth of the places: {early}");
}

#[test]
fn a_hole_among_rows_is_looked_at_as_if_its_rows_were_there() {
    for length in [1_000, 10_000, 100_000, 300_000] {
        let hole = range(500_000, 500_000 + length);
        let there = (0..20_000).map(|number| number * 50);
        let seconds: Vec<i64> = there.filter(|second| !hole.contains(EpochSeconds::new(*second))).collect();
        let frame = frame(&[range(0, 1_000_000)], &seconds);
        let inside = places(&frame, &seconds, 40_000).into_iter();
        let inside = inside.filter(|second| hole.contains(EpochSeconds::new(*second))).count() as i64;
        assert!(inside * 25 > length * 7 / 10, "{inside} of 40000 places for a hole of {length} seconds in 1000000");
    }
}

#[test]
fn what_is_before_the_first_row_and_after_the_last_is_looked_at_too() {
    let seconds: Vec<i64> = (3_000..7_000).map(|number| number * 100).collect();
    let frame = frame(&[range(0, 1_000_000)], &seconds);
    let places = places(&frame, &seconds, 4_000);
    let early = places.iter().filter(|second| **second < 299_900).count();
    let late = places.iter().filter(|second| **second > 700_000).count();
    assert!(early > 500 && late > 500, "{early} and {late}");
    assert!(frame.inflation() <= 1.0 + MOST_HOLES_WEIGH + TIME_WEIGHS + 1e-9, "{}", frame.inflation());
}

#[test]
fn a_second_that_fills_pages_makes_no_holes_beside_it() {
    let seconds: Vec<i64> =
        (0..1_000).flat_map(|number| vec![number * 1_000; if number % 100 == 0 { 500 } else { 1 }]).collect();
    let frame = frame(&[range(0, 1_000_000)], &seconds);
    let weigh = |is_behind: bool| {
        let holes = frame.holes.iter().filter(|hole| (hole.known > 0) == is_behind);
        holes.map(|hole| hole.rows).sum::<f64>() / as_float(frame.rows())
    };
    assert!(weigh(false) + TIME_WEIGHS < 0.1, "beside it: {}", weigh(false));
    assert!((0.2..0.25).contains(&weigh(true)), "behind its rows: {}", weigh(true));
}

/// The end of such a second was looked at by no page: the numbers of the rows that are known do not reach it.
#[test]
fn behind_the_rows_of_a_second_that_fills_pages_a_page_is_placed() {
    let seconds: Vec<i64> = (0..1_000).chain([500; 999]).collect();
    let frame = frame(&[range(0, 1_000)], &{
        let mut sorted = seconds;
        sorted.sort_unstable();
        sorted
    });
    let mut dice = dice(7);
    let behind = Start::Behind(EpochSeconds::new(500), 1_000);
    let placed = (0..4_000).filter(|_| frame.place(&mut dice).unwrap().start == behind).count();
    assert!((370..530).contains(&placed), "a ninth of all: {placed}");
}

#[test]
fn what_is_not_looked_at_has_no_places() {
    let ranges = [range(0, 100), range(900, 1_000)];
    let seconds: Vec<i64> = (0..100).chain(400..600).chain(900..1_000).collect();
    let frame = frame(&ranges, &seconds);
    assert_eq!(frame.rows(), 200);
    let looked_at: Vec<i64> = (0..100).chain(900..1_000).collect();
    let inside = |second: &i64| ranges.iter().any(|range| range.contains(EpochSeconds::new(*second)));
    assert!(places(&frame, &looked_at, 1_000).iter().all(inside));
}

#[test]
fn an_output_without_rows_is_looked_at_all_over() {
    let frame = frame(&[range(0, 1_000)], &[]);
    assert_eq!((frame.rows(), frame.inflation() as u64), (0, 1));
    let late = places(&frame, &[], 1_000).into_iter().filter(|second| *second >= 500).count();
    assert!((400..600).contains(&late), "{late}");
    assert!(Frame::new(vec![]).place(dice(1)).is_none());
}
