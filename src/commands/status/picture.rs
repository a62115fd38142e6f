//! A region's axis of time as one line of characters. Pure.

use crate::units::{EpochSeconds, RowCount, TimeRange};

/// The longest picture: with a region's code before it, it fits into 80 columns.
pub(in crate::commands) const COLUMNS: usize = 60;
/// Rows a second in parts, from the fewest to the most of the region.
const DENSITIES: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What the characters mean, in the order in which a picture's legend names them.
pub(in crate::commands) const LEGEND: [(&[char], &str); 7] = [
    (&DENSITIES, "▁ to █ rows a second in parts"),
    (&[NO_ROWS], "_ no rows"),
    (&[READ], "+ read, not in a part yet"),
    (&[AT_WORK], "> being read"),
    (&[UNREAD], ". not read"),
    (&[GAP], "G gap"),
    (&[UNPROVEN], "? unproven"),
];
const NO_ROWS: char = '_';
const READ: char = '+';
const AT_WORK: char = '>';
const UNREAD: char = '.';
const GAP: char = 'G';
const UNPROVEN: char = '?';

/// What a picture is drawn from. Ranges of a kind do not overlap.
#[derive(Clone, Debug, Default)]
pub(in crate::commands) struct Axis<'a> {
    /// The seconds from the left to the right.
    pub(in crate::commands) range: Option<TimeRange>,
    /// What readers of the output see.
    pub(in crate::commands) covered: &'a [TimeRange],
    /// What is read, whether or not it is in a part.
    pub(in crate::commands) read: &'a [TimeRange],
    /// Where somebody reads.
    pub(in crate::commands) positions: &'a [EpochSeconds],
    pub(in crate::commands) gaps: &'a [TimeRange],
    pub(in crate::commands) unproven: &'a [TimeRange],
    /// The parts' ranges and rows.
    pub(in crate::commands) parts: &'a [(TimeRange, RowCount)],
}

/// The line, at most so many characters long, never longer than the range has seconds.
///
/// Each character stands for an equal share of the range. A gap, an unproven range and a reader show however short they are, in this
/// order; otherwise it shows what most of its seconds are.
pub(in crate::commands) fn line(axis: &Axis<'_>, columns: usize) -> String {
    let Some(range) = axis.range.filter(|range| !range.is_empty()) else { return String::new() };
    let cells = cells(range, columns);
    let densities: Vec<f64> = cells.iter().map(|cell| density(*cell, axis.parts)).collect();
    let most = densities.iter().copied().fold(0.0, f64::max);
    cells.iter().zip(densities).map(|(cell, density)| character(axis, *cell, density / most)).collect()
}

fn cells(range: TimeRange, columns: usize) -> Vec<TimeRange> {
    let count = i64::try_from(columns).unwrap_or(i64::MAX).clamp(1, range.seconds());
    let edge = |place: i64| {
        let passed = i128::from(range.seconds()) * i128::from(place) / i128::from(count);
        range.start.shifted(i64::try_from(passed).unwrap_or(i64::MAX))
    };
    (0..count).map(|place| TimeRange::new(edge(place), edge(place + 1))).collect()
}

fn character(axis: &Axis<'_>, cell: TimeRange, density: f64) -> char {
    let touches = |ranges: &[TimeRange]| ranges.iter().any(|range| range.overlaps(cell));
    if touches(axis.gaps) {
        return GAP;
    }
    if touches(axis.unproven) {
        return UNPROVEN;
    }
    if axis.positions.iter().any(|position| cell.contains(*position)) {
        return AT_WORK;
    }
    let (covered, read) = (seconds(cell, axis.covered), seconds(cell, axis.read));
    if covered * 2 >= cell.seconds() {
        shade(density)
    } else if covered.max(read) * 2 >= cell.seconds() {
        READ
    } else {
        UNREAD
    }
}

/// The share of the largest density, as a bar's height; not a number where there is no row at all.
fn shade(share: f64) -> char {
    if share.is_nan() || share <= 0.0 {
        return NO_ROWS;
    }
    let steps = DENSITIES.iter().zip(1_u8..).find(|(_, step)| share <= f64::from(*step) / 8.0);
    steps.map_or('█', |(shade, _)| *shade)
}

fn seconds(cell: TimeRange, ranges: &[TimeRange]) -> i64 {
    ranges.iter().map(|range| range.intersection(cell).seconds()).sum()
}

/// Rows a second, where each part's rows are spread over its time.
#[expect(clippy::cast_precision_loss, reason = "for a picture; rows and seconds are far below 2^52")]
fn density(cell: TimeRange, parts: &[(TimeRange, RowCount)]) -> f64 {
    let rows = |(range, rows): &(TimeRange, RowCount)| {
        let share = range.intersection(cell).seconds() as f64 / range.seconds().max(1) as f64;
        rows.get() as f64 * share
    };
    parts.iter().map(rows).sum::<f64>() / cell.seconds().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(end))
    }

    fn of(axis: Axis<'_>) -> String {
        line(&Axis { range: Some(range(0, 100)), ..axis }, 10)
    }

    #[test]
    fn a_run_at_work_shows_what_is_dense_read_being_read_and_left() {
        let axis = Axis {
            covered: &[range(0, 40)],
            read: &[range(0, 63)],
            positions: &[EpochSeconds::new(63)],
            parts: &[(range(0, 10), RowCount::new(100)), (range(10, 30), RowCount::new(25))],
            ..Axis::default()
        };
        assert_eq!(of(axis), "█▁▁_++>...");
    }

    #[test]
    fn a_gap_of_one_second_shows_and_hides_what_else_is_there() {
        let axis = Axis {
            covered: &[range(0, 55), range(56, 100)],
            gaps: &[range(55, 56)],
            unproven: &[range(54, 62), range(99, 100)],
            positions: &[EpochSeconds::new(55), EpochSeconds::new(65)],
            ..Axis::default()
        };
        assert_eq!(of(axis), "_____G?__?");
    }

    #[test]
    fn a_character_shows_what_most_of_its_seconds_are() {
        let axis = Axis { covered: &[range(0, 14), range(26, 30)], read: &[range(0, 17)], ..Axis::default() };
        assert_eq!(of(axis), "_+........");
    }

    #[test]
    fn a_short_range_has_no_more_characters_than_seconds_and_none_has_none() {
        let all = Axis { range: Some(range(5, 8)), covered: &[range(5, 8)], ..Axis::default() };
        assert_eq!(line(&all, 10), "___");
        assert_eq!(line(&Axis { range: Some(range(5, 5)), ..Axis::default() }, 10), "");
        assert_eq!(line(&Axis::default(), 10), "");
    }

    #[test]
    fn the_cells_are_the_range_without_a_hole() {
        for (seconds, columns) in [(7, 3), (86_400 * 366, 60), (60, 60), (61, 60)] {
            let whole = range(1_000, 1_000 + seconds);
            let cells = cells(whole, columns);
            assert_eq!(TimeRange::merged(&cells), [whole]);
            assert!(cells.iter().all(|cell| !cell.is_empty()) && cells.len() == columns);
        }
    }

    #[test]
    fn every_shade_is_used() {
        let shades: String = (0..=8_u8).map(|eighths| shade(f64::from(eighths) / 8.0)).collect();
        assert_eq!(shades, "_▁▂▃▄▅▆▇█");
        assert_eq!(shade(f64::NAN), NO_ROWS);
    }
}
