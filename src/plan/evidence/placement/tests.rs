use std::collections::BTreeSet;

use super::{Edge, OpenSide, Reading, Side, in_every_longest_run};
use crate::plan::evidence::observation::{Observation, Series, Turn};
use crate::plan::evidence::testing::{page, second, series};
use crate::plan::fact::VideoKey;

fn reading(pages: &[Observation]) -> Reading<'_> {
    let reading = Reading::new(pages.iter().collect(), None);
    let strays: BTreeSet<VideoKey> = reading.strays().collect();
    reading.bracketed(&strays)
}

#[test]
fn rows_that_some_longest_run_leaves_out_stand_out_of_order() {
    let runs: [(&[i64], &[bool]); 5] = [
        (&[1, 1, 2], &[true, true, true]),
        (&[1, 2, 9, 3, 4], &[true, true, false, true, true]),
        (&[1, 9, 2], &[true, false, false]),
        (&[5, 1, 2, 3], &[false, true, true, true]),
        (&[2, 1], &[false, false]),
    ];
    for (seconds, expected) in runs {
        let seconds: Vec<_> = seconds.iter().map(|at| second(*at)).collect();
        assert_eq!(in_every_longest_run(&seconds), expected, "{seconds:?}");
    }
}

#[test]
fn a_zone_reaches_from_the_last_earlier_row_to_the_first_later_one() {
    let pages = [page(&series(0), 2, &[(1, 1), (2, 2), (2, 3)]), page(&series(0), 3, &[(2, 4), (3, 5), (4, 6)])];
    let zone = reading(&pages).zone(second(2), 1).unwrap();
    assert_eq!(zone.rows.iter().map(|row| row.video.0).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!((zone.pages, zone.older.second(), zone.newer.second()), ((0, 1), second(1), second(3)));
    // With two rows on each side the nearer ones may be of it.
    assert_eq!(reading(&pages).zone(second(2), 2).unwrap_err(), OpenSide::Older);
    let wide = reading(&pages[..]).zone(second(3), 2).unwrap_err();
    assert_eq!(wide, OpenSide::Newer);
}

#[test]
fn nothing_closes_a_zone_at_an_edge_that_nobody_knows() {
    let pages = [page(&series(0), 2, &[(2, 1), (3, 2), (4, 3)])];
    assert_eq!(reading(&pages).zone(second(2), 1).unwrap_err(), OpenSide::Older);
    assert_eq!(reading(&pages).zone(second(4), 1).unwrap_err(), OpenSide::Newer);
    let opening = [page(&series(0), 1, &[(2, 1), (3, 2), (4, 3)])];
    let zone = reading(&opening).zone(second(2), 1).unwrap();
    assert_eq!(zone.older, Side::Edge(Edge::Bound, second(-1)));
}

#[test]
fn a_row_that_came_twice_brackets_nothing() {
    let pages = [page(&series(0), 2, &[(0, 8), (1, 1)]), page(&series(0), 3, &[(1, 1), (2, 2), (3, 3)])];
    let zone = reading(&pages).zone(second(2), 1).unwrap();
    assert_eq!(zone.rows.iter().map(|row| row.video.0).collect::<Vec<_>>(), [1, 1, 2]);
}

#[test]
fn a_list_from_its_end_is_read_the_other_way_round() {
    let newest = Series { is_newest_first: true, ..series(1) };
    let pages = [page(&newest, 1, &[(4, 1), (3, 2)]), page(&newest, 2, &[(3, 3), (2, 4)])];
    let reading = reading(&pages);
    assert_eq!(reading.rows().map(|row| row.video.0).collect::<Vec<_>>(), [4, 3, 2, 1]);
    let zone = reading.zone(second(4), 1).unwrap();
    assert_eq!((zone.rows.len(), zone.pages), (1, (0, 0)));
    assert!(matches!(zone.newer, Side::Edge(Edge::Bound, _)));
    assert_eq!(reading.zone(second(3), 1).unwrap().pages, (0, 1));
}

#[test]
fn the_last_page_before_an_empty_one_is_the_last() {
    let pages = [page(&series(0), 1, &[(1, 1)]), page(&series(0), 2, &[(2, 2), (2, 3)])];
    let end = page(&series(0), 3, &[]);
    let reading = Reading::new(pages.iter().collect(), Some(&end));
    assert!(reading.is_last(1) && !reading.is_last(0));
    assert!(!Reading::new(pages.iter().collect(), None).is_last(1));
}

#[test]
fn a_page_asked_before_its_turn_is_none_that_insertions_cannot_skip() {
    let early = Observation { turn: Turn::Early, ..page(&series(0), 2, &[(2, 2)]) };
    let pages = [page(&series(0), 1, &[(1, 1)]), early];
    assert!(!reading(&pages).is_in_turn((0, 1)) && reading(&pages).is_in_turn((1, 1)));
}

#[test]
fn the_mean_distance_leaves_the_largest_out() {
    let pages = [page(&series(0), 1, &[(1, 1), (3, 2), (5, 3), (99, 4)])];
    assert_eq!(reading(&pages).mean_distance((0, 0)), 2);
}
