use super::*;
use crate::api::contract::{Filters, TimeOrder};
use crate::units::PageNumber;

/// Seconds 100 to 200 of US, oldest first.
fn question() -> PageQuery {
    PageQuery {
        region: "US".parse().unwrap(),
        filters: Filters::default(),
        min_create_time: Some(EpochSeconds::new(100)),
        max_create_time: Some(EpochSeconds::new(200)),
        order: TimeOrder::OldestFirst,
        page: PageNumber::FIRST,
    }
}

fn tied(habit: RegionHabit, rows: &[(i64, Option<&str>)]) -> Tied {
    tied_as(Expected { habit, ..Expected::default() }, rows)
}

fn tied_as(expected: Expected, rows: &[(i64, Option<&str>)]) -> Tied {
    let candidate = |(&(second, region), index)| {
        let key = RowKey { second: EpochSeconds::new(second), video: VideoKey(u64::from(index) + 1) };
        Candidate { index, key, region }
    };
    tie_rows(&question(), expected, &rows.iter().zip(0..).map(candidate).collect::<Vec<_>>(), [])
}

fn of_times(seconds: &[i64]) -> Tied {
    tied(RegionHabit::Own, &seconds.iter().map(|second| (*second, Some("US"))).collect::<Vec<_>>())
}

fn of_regions(habit: RegionHabit, regions: &[&'static str]) -> Tied {
    let rows: Vec<_> = regions.iter().zip(100..).map(|(region, second)| (second, Some(*region))).collect();
    tied(habit, &rows)
}

#[test]
fn rows_within_the_bounds_in_their_widest_meaning_are_delivered() {
    let tied = of_times(&[100, 150, 200]);
    assert_eq!((tied.delivered, tied.set_aside, tied.doubt), (vec![0, 1, 2], vec![], None));
    assert_eq!((tied.check.standing, tied.check.own_region), (Standing::Answers, 3));
}

#[test]
fn single_rows_outside_are_kept_apart_and_prove_nothing() {
    let tied = of_times(&[100, 7, 200]);
    assert_eq!((tied.rows.len(), tied.delivered, tied.doubt), (2, vec![0, 2], None));
    let why = "`create_time` 1970-01-01T00:00:07Z lies outside what was asked, so it cannot be believed";
    assert_eq!(tied.set_aside, [(1, why.to_owned())]);
}

#[test]
fn a_page_mostly_outside_is_doubted_and_what_lies_inside_is_kept_where_it_stays_so() {
    let tied = of_times(&[97, 98, 100]);
    assert_eq!((tied.rows.len(), tied.delivered, tied.set_aside.len()), (1, vec![2], 2));
    let why = "the answer is that to another question: 2 of its 3 rows lie outside the asked time, from \
               1970-01-01T00:01:40Z to 1970-01-01T00:03:20Z; the first of them is of 1970-01-01T00:01:37Z";
    assert_eq!(tied.doubt.map(|doubt| doubt.to_string()).as_deref(), Some(why));
}

#[test]
fn a_page_wholly_outside_is_the_evidence_of_that_and_nothing_of_it_is_delivered() {
    let many = of_times(&[1, 2, 3, 4, 5]);
    assert_eq!((many.check.standing, many.rows.len(), many.delivered.len()), (Standing::Outside, 5, 0));
    assert!(many.doubt.is_some() && many.set_aside.is_empty());
    // Fewer may be wrong dates, so that they are kept.
    let few = of_times(&[1, 2, 3, 4]);
    assert_eq!((few.check.standing, few.set_aside.len(), few.delivered.len()), (Standing::Answers, 4, 0));
}

/// Such rows were taken for advertisements, and asked again for ever.
#[test]
fn older_rows_stand_where_they_belong_where_the_lower_bound_is_not_kept_to() {
    let of = |may_begin_early, seconds: &[i64]| {
        let rows: Vec<_> = seconds.iter().map(|second| (*second, Some("US"))).collect();
        let tied = tied_as(Expected { may_begin_early, ..Expected::default() }, &rows);
        (tied.rows.len(), tied.delivered.len(), tied.set_aside.len(), tied.doubt.is_some())
    };
    let (some, all) = ([96, 97, 98, 100], [95, 96, 97, 98, 99]);
    assert_eq!([of(true, &some), of(true, &all)], [(4, 1, 0, false), (5, 0, 0, false)]);
    assert_eq!([of(false, &some), of(false, &all)], [(1, 1, 3, true), (5, 0, 0, true)]);
    assert_eq!(of(true, &[100, 7, 101]), (2, 2, 1, false), "a wrong date stands among others");
    assert_eq!(of(true, &[98, 100, 201]), (1, 1, 2, true), "a later row is another matter");
    assert_eq!(of(true, &[7]), (1, 0, 1, true), "one alone may be a wrong date");
}

#[test]
fn a_page_of_another_region_is_doubted_until_the_region_is_known_to_be_something_else() {
    let foreign = ["GB", "GB", "GB"];
    let standing = |habit| of_regions(habit, &foreign).check.standing;
    assert_eq!(standing(RegionHabit::Own), Standing::OtherRegion);
    assert_eq!(standing(RegionHabit::Unknown), Standing::Answers);
    assert!(of_regions(RegionHabit::Own, &foreign).rows.is_empty());
    assert_eq!(
        of_regions(RegionHabit::Unknown, &foreign).doubt.map(|doubt| doubt.to_string()).as_deref(),
        Some("the answer is that to another question: its rows are of region GB, and US was asked")
    );
    let other = of_regions(RegionHabit::Another, &foreign);
    assert_eq!((other.doubt, other.delivered), (None, vec![0, 1, 2]));
}

#[test]
fn single_rows_of_another_region_are_delivered_and_counted() {
    let mixed = of_regions(RegionHabit::Own, &["GB", "us", "GB", "GB"]);
    assert_eq!((mixed.doubt, mixed.delivered.len()), (None, 4));
    assert_eq!((mixed.check.own_region, mixed.check.other_region), (1, 3));
    // One row alone may be such a row: the page is asked again, and delivered where it stays so.
    let alone = of_regions(RegionHabit::Own, &["GB"]);
    assert_eq!((alone.doubt.is_some(), alone.delivered), (true, vec![0]));
}

#[test]
fn rows_that_name_no_region_say_nothing() {
    let tied = tied(RegionHabit::Own, &[(100, None), (101, None), (102, None)]);
    assert_eq!((tied.doubt, tied.delivered.len()), (None, 3));
}

#[test]
fn an_empty_answer_is_doubted_where_a_row_is_known_that_it_should_show() {
    let due = Some(EpochSeconds::new(150));
    let empty =
        |row| tied(RegionHabit::Own, &[]).empty(Expected { habit: RegionHabit::Own, row, ..Expected::default() }).doubt;
    assert_eq!((empty(None), empty(due)), (None, Some(Doubt::KnownRowMissing(EpochSeconds::new(150)))));
}

#[test]
fn the_print_is_that_of_the_rows_in_any_order() {
    let print = |rows: &[(i64, u64)]| {
        let row = |&(second, id): &(i64, u64)| {
            let key = RowKey { second: EpochSeconds::new(second), video: VideoKey(id) };
            Candidate { index: 0, key, region: None }
        };
        super::print(&rows.iter().map(row).collect::<Vec<_>>())
    };
    assert_eq!(print(&[(1, 7), (2, 8)]), print(&[(2, 8), (1, 7)]));
    assert_ne!(print(&[(1, 7), (2, 8)]), print(&[(1, 7), (2, 9)]));
    assert_eq!(print(&[]), 0);
}

/// A last page of rows that nobody can place, which came again in place of every page beyond it, was another page each time: 80 such rows, and
/// the run was refused with 6.
#[test]
fn the_print_holds_the_rows_that_cannot_be_placed_where_they_tell_themselves_apart() {
    let page = |texts: &[&str]| {
        let row = |text: &&str| Row::Unusable { why: String::new(), text: (*text).to_owned() };
        let answer = PageAnswer { rows: texts.iter().map(row).collect(), ..PageAnswer::default() };
        tie(&question(), Expected::default(), &answer).check.print
    };
    let (one, other) = (r#"{"create_time":1764547200}"#, r#"{"create_time":1764547201}"#);
    assert_eq!(page(&[one, other, "null"]), page(&["null", other, one]));
    assert_ne!(page(&[one]), page(&[other]));
    assert_ne!(page(&[one]), 0);
    // Pages of rows that are all alike are not one page for that.
    assert_eq!((page(&[]), page(&["null"]), page(&["{}", "[]"]), page(&[one, one])), (0, 0, 0, 0));
}

/// Ids that are made of their second alone once gave every page the same print, and the run was refused with 6.
#[test]
fn pages_of_other_rows_have_other_prints_also_where_ids_hold_their_seconds() {
    let page_from = |first: u64| {
        let rows: Vec<Candidate<'_>> = (first..first + 10)
            .zip(0..)
            .map(|(second, index)| {
                let at = EpochSeconds::new(i64::try_from(second).unwrap());
                Candidate { index, key: RowKey { second: at, video: VideoKey((second << 32) + 7) }, region: None }
            })
            .collect();
        (print(&rows), print(&rows.into_iter().rev().collect::<Vec<_>>()))
    };
    let prints: std::collections::BTreeSet<u64> = (0..1_000).map(|page| page_from(1_764_547_200 + page).0).collect();
    assert_eq!(prints.len(), 1_000);
    let (forwards, backwards) = page_from(1_764_547_200);
    assert_eq!(forwards, backwards, "the order is no matter");
}

/// The row in whose place it came was lost where pages were few: the copy stood out of the order of the others, as a row with a wrong date.
#[test]
fn the_place_of_a_row_that_stands_there_already_is_free() {
    let row = |index: u32, second: i64, video: u64| {
        let key = RowKey { second: EpochSeconds::new(second), video: VideoKey(video) };
        Candidate { index, key, region: Some("US") }
    };
    let rows = [row(0, 110, 1), row(1, 120, 2), row(2, 130, 3), row(3, 110, 1), row(4, 140, 2)];
    let tied = tie_rows(&question(), Expected::default(), &rows, []);
    let videos: Vec<u64> = tied.rows.iter().map(|row| row.video.0).collect();
    assert_eq!((videos, tied.twins), (vec![1, 2, 3], 2));
    assert_eq!(tied.delivered, [0, 1, 2, 3, 4], "the sink keeps each once, and counts the others");
}
