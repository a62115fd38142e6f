use super::*;
use crate::plan::fact::VideoKey;
use crate::plan::testing::{at, range};

const BOTH: [End; 2] = [End::Oldest, End::Newest];

fn row(second: i64) -> RowKey {
    RowKey { second: at(second), video: VideoKey(second.unsigned_abs()) }
}

/// A side that has seen a row at each of these seconds.
fn seen(end: End, seconds: impl IntoIterator<Item = i64>) -> Side {
    let mut side = Side::default();
    seconds.into_iter().for_each(|second| side.see(end, row(second)));
    side
}

#[test]
fn the_outermost_rows_are_remembered_and_which_were_forgotten_is_known() {
    let cases = [(End::Oldest, (0, 40), Some(41)), (End::Newest, (59, 99), Some(58))];
    for (end, (first, last), forgotten) in cases {
        let side = seen(end, 0..100);
        let remembered = side.seen.first().zip(side.seen.last()).map(|(first, last)| (first.second, last.second));
        assert_eq!(remembered, Some((at(first), at(last))), "{end:?}");
        assert_eq!((side.seen.len(), side.forgotten), (ROWS_KEPT, forgotten.map(at)), "{end:?}");
    }
    for end in BOTH {
        let few = seen(end, 0..ROWS_KEPT as i64);
        assert_eq!(few.forgotten, None, "{end:?}: there is room for them");
    }
}

/// Else a row of a dense last second would be taken for one that nobody has seen.
#[test]
fn all_rows_of_the_outermost_second_are_remembered_up_to_a_thousand() {
    for end in BOTH {
        let mut side = Side::default();
        let one = |id| RowKey { second: at(7), video: VideoKey(id) };
        (0..1_000).for_each(|id| side.see(end, one(id)));
        assert_eq!((side.seen.len(), side.forgotten), (1_000, None), "{end:?}");
        side.see(end, one(1_000));
        assert_eq!((side.seen.len(), side.forgotten), (1_000, Some(at(7))), "{end:?}");
        assert_eq!(side.unseen(end, &[one(5_000)]), None, "{end:?}: it may be one of those that were forgotten");
    }
}

#[test]
fn a_row_is_unseen_only_where_none_was_forgotten() {
    let cases = [
        ("none is", End::Newest, &[98, 99][..], None),
        ("one behind the end", End::Newest, &[99, 120], Some(120)),
        ("the innermost of several", End::Newest, &[120, 110, 130], Some(110)),
        ("among those that were forgotten", End::Newest, &[-5], None),
        ("one before the beginning", End::Oldest, &[-5, 0], Some(-5)),
        ("the innermost of several", End::Oldest, &[-5, -9], Some(-5)),
        ("among those that were forgotten", End::Oldest, &[120], None),
    ];
    for (rule, end, rows, unseen) in cases {
        let side = seen(end, 0..100);
        let rows: Vec<RowKey> = rows.iter().map(|second| row(*second)).collect();
        assert_eq!(side.unseen(end, &rows), unseen.map(at), "{end:?}: {rule}");
    }
}

#[test]
fn the_next_known_row_inwards_is_the_nearest_one() {
    let side = seen(End::Newest, [10, 20, 30]);
    let cases = [
        (End::Newest, 25, Some(20)),
        (End::Newest, 20, Some(20)),
        (End::Newest, 9, None),
        (End::Oldest, 25, Some(30)),
        (End::Oldest, 30, Some(30)),
        (End::Oldest, 31, None),
    ];
    for (end, second, inside) in cases {
        assert_eq!(side.inside(end, at(second)), inside.map(at), "{end:?} from {second}");
    }
}

#[test]
fn what_lies_beyond_an_end_stays_within_the_range() {
    let cases = [
        (End::Oldest, None, (0, 100)),
        (End::Newest, None, (0, 100)),
        (End::Oldest, Some(30), (0, 31)),
        (End::Newest, Some(30), (30, 100)),
        (End::Oldest, Some(100), (0, 100)),
        (End::Newest, Some(-3), (0, 100)),
    ];
    for (end, second, (from, to)) in cases {
        let beyond = Side::default().beyond(end, second.map(at), range(0, 100));
        assert_eq!(beyond, range(from, to), "{end:?} of {second:?}");
    }
}

/// A window's pages are gone after a restart, and its outermost rows alone are known.
#[test]
fn of_a_window_that_showed_more_rows_than_its_edges_what_lies_beyond_those_alone_is_whole() {
    let cases = [
        (End::Newest, &[80, 90][..], Some(80)),
        (End::Newest, &[], Some(99)),
        (End::Oldest, &[10, 20], Some(20)),
        (End::Oldest, &[], Some(0)),
    ];
    for (end, edges, forgotten) in cases {
        let mut side = seen(end, edges.iter().copied());
        let edges: Vec<RowKey> = edges.iter().map(|second| row(*second)).collect();
        side.forget_but(end, range(0, 100), &edges);
        assert_eq!(side.forgotten, forgotten.map(at), "{end:?} {edges:?}");
    }
}
