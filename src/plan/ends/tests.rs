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
    let walk = Purpose::Walk { window: WindowId(0), stretch: 0 };
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
    let walk = Purpose::Walk { window: WindowId(0), stretch: 0 };
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
