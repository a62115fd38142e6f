use super::*;
use crate::plan::fact::{PageAddress, VideoKey, WindowId};
use crate::units::PageNumber;

fn second(at: i64) -> EpochSeconds {
    EpochSeconds::new(at)
}

fn page(purpose: Purpose, at: i64, seconds: &[i64]) -> PageFact {
    let row = |of: &i64| RowKey { second: second(*of), video: VideoKey(of.unsigned_abs()) };
    let address = PageAddress { region: "US".parse().unwrap(), purpose, page: PageNumber::FIRST };
    let (slots, rows) = (seconds.len() as u32, seconds.iter().map(row).collect());
    PageFact { address, fetched_at: second(at), slots, rows, check: Default::default() }
}

#[test]
fn what_was_taken_for_the_end_is_refuted_with_what_lies_right_behind_it() {
    let range = |start, end| TimeRange::new(second(start), second(end));
    let mut ends = Ends::default();
    [range(30, 50), range(50, 70), range(80, 90)].into_iter().for_each(|taken| ends.nothing_follows(taken));
    let cases = [(None, None), (Some(49), None), (Some(50), Some(range(30, 70))), (Some(95), Some(range(30, 70)))];
    for (newest, refuted) in cases {
        assert_eq!(ends.refuted(newest.map(second)), refuted, "{newest:?}");
    }
    ends.extend();
    assert_eq!(ends.refuted(Some(second(50))), Some(range(30, 70)), "it is not forgotten");
    ends.reopened(range(30, 70));
    assert_eq!(ends.refuted(Some(second(95))), Some(range(80, 90)));
    ends.is_read();
    assert_eq!(ends.refuted(Some(second(95))), None);
}

/// A page that came oldest first where the newest was asked for says nothing: the end's last row has to be read again.
#[test]
fn what_is_read_again_elsewhere_confirms_no_end() {
    let range = TimeRange::new(second(0), second(100));
    let walk = Purpose::Walk { window: WindowId(0), scan: 0 };
    let mut ends = Ends::default();
    ends.learn(&page(walk, 1_000, &[10, 20, 30]), |_| true);
    ends.learn(&page(Purpose::ConfirmNewest, 1_030, &[10, 20]), |_| true);
    let found = |ends: &Ends| ends.confirmation(End::Newest, 20, range, None);
    let unseen = Confirmation::Unseen(TimeRange::new(second(30), second(100)));
    assert_eq!(found(&ends), unseen);
    ends.reopened(TimeRange::new(second(10), second(20)));
    assert_eq!(found(&ends), unseen);
    ends.reopened(TimeRange::new(second(30), second(100)));
    assert_eq!(found(&ends), Confirmation::Done);
}

#[test]
fn how_many_rows_came_is_known_of_seconds_whose_rows_are_all_remembered() {
    let walk = Purpose::Walk { window: WindowId(0), scan: 0 };
    let mut ends = Ends::default();
    ends.learn(&page(walk, 1_000, &(0..30).collect::<Vec<_>>()), |_| true);
    let told = |ends: &Ends, start: i64, end: i64| ends.rows_of(TimeRange::new(second(start), second(end)));
    assert_eq!(told(&ends, 0, 50), Some((30, Some((second(29), 1)))), "none is forgotten");
    ends.learn(&page(walk, 1_000, &(30..100).collect::<Vec<_>>()), |_| true);
    assert_eq!(told(&ends, 60, 80), Some((20, Some((second(79), 1)))));
    assert_eq!(told(&ends, 59, 80), None, "more rows may have come of the first second that is remembered");
    assert_eq!(told(&ends, 5, 40), Some((35, Some((second(39), 1)))));
    assert_eq!((told(&ends, 5, 41), told(&ends, 45, 55)), (None, None));
}

/// Rows of these seconds and ids on a page.
fn rows_on(purpose: Purpose, at: i64, rows: impl IntoIterator<Item = (i64, u64)>) -> PageFact {
    let rows: Vec<RowKey> =
        rows.into_iter().map(|(of, id)| RowKey { second: second(of), video: VideoKey(id) }).collect();
    PageFact { slots: rows.len() as u32, rows, ..page(purpose, at, &[]) }
}

/// What the newest page, asked later, comes to where it shows these rows.
fn told_by(mut ends: Ends, rows: impl IntoIterator<Item = (i64, u64)>) -> Confirmation {
    let mut rows: Vec<(i64, u64)> = rows.into_iter().collect();
    rows.sort_unstable_by(|one, other| other.cmp(one));
    ends.learn(&rows_on(Purpose::ConfirmNewest, 1_030, rows), |_| true);
    ends.confirmation(End::Newest, 20, TimeRange::new(second(0), second(100)), Some(row_of(50)))
}

fn row_of(of: i64) -> RowKey {
    RowKey { second: second(of), video: VideoKey(of.unsigned_abs()) }
}

/// Seed 10168885: a wrong date beyond the range ended a walk amid a second of more rows than were remembered, and the newest page, which
/// showed nine of the others, confirmed that end.
#[test]
fn a_row_of_the_outermost_second_that_no_walk_has_seen_is_told_however_many_it_holds() {
    let walk = Purpose::Walk { window: WindowId(0), scan: 0 };
    let read = |of_the_last: u64| {
        let mut ends = Ends::default();
        ends.learn(&page(walk, 1_000, &(0..30).collect::<Vec<_>>()), |_| true);
        ends.learn(&rows_on(walk, 1_000, (0..of_the_last).map(|id| (50, 1_000 + id))), |_| true);
        ends
    };
    let unseen = Confirmation::Unseen(TimeRange::new(second(50), second(100)));
    for rows in [20_u64, 70, 1_000] {
        let last = |from: u64| (from..from + 10).map(|id| (50, 1_000 + id));
        assert_eq!(told_by(read(rows), last(rows - 10)), Confirmation::Done, "{rows}");
        assert_eq!(told_by(read(rows), last(rows - 1)), unseen, "{rows}");
    }
    assert_eq!(told_by(read(1_001), [(50, 9_999)]), Confirmation::Done, "its rows are not all remembered");
    assert_eq!(read(70).edges(TimeRange::new(second(0), second(100))).len(), 100);
    assert!(read(5_000).edges(TimeRange::new(second(0), second(100))).len() <= 1_041);
}

/// What a later start knows of a window that is over is what its end said: of the seconds that more rows came of, no more is whole.
#[test]
fn of_a_window_that_is_over_nothing_but_its_edges_is_held_against_an_end() {
    let window = TimeRange::new(second(0), second(60));
    let edges: Vec<RowKey> = [49, 50].map(row_of).to_vec();
    let walk = Purpose::Walk { window: WindowId(1), scan: 0 };
    let told = |slots: u64, row: i64| {
        let mut ends = Ends::default();
        ends.learn(&page(walk, 1_000, &[]), |_| true);
        ends.learn_edges(window, slots, &edges);
        told_by(ends, [(50, 50), (row, 9_999)])
    };
    let unseen = |from: i64| Confirmation::Unseen(TimeRange::new(second(from), second(100)));
    assert_eq!([told(2, 49), told(2, 50), told(2, 55)], [unseen(49), unseen(50), unseen(50)]);
    assert_eq!([told(9, 49), told(9, 50), told(9, 55)], [Confirmation::Done, unseen(50), unseen(50)]);
    let mut ends = Ends::default();
    ends.learn(&page(walk, 1_000, &[20, 50]), |_| true);
    ends.learn_edges(window, 9, &[]);
    assert_eq!(told_by(ends, [(50, 50), (55, 9_999)]), Confirmation::Done, "of all its rows nobody knows any more");
}
