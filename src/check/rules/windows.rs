//! Where the bounds are tried: stretches of time whose first and last second hold known rows.

use super::base::Base;
use super::order::{in_order, is_sorted, newest};
use crate::api::contract::SOURCE;
use crate::check::seen::{Halt, Seen};

/// Rows that a stretch may hold to be seen whole on one page, with room for rows that come meanwhile.
pub(super) const FITS: usize = SOURCE.page_size as usize - 2;
/// Rows that a stretch around a lone row should hold.
const WANTED: f64 = 5.0;
/// How often such a stretch is measured before it is given up.
const MEASURES: usize = 6;
/// A bound may be rounded to seconds, minutes or the like. Two seconds whose distance none of these divides are not both next to a
/// multiple of anything that people round to.
const ROUND: [i64; 3] = [2, 3, 5];

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// A second that holds a row, and the last such one.
    pub(super) first: i64,
    pub(super) last: i64,
    /// Whether all its rows, and those of the seconds beside it, stand on one page.
    pub(super) is_whole: bool,
}

/// Up to two stretches, each with a row in between where there is one.
pub(super) fn windows(seen: &Seen, base: &Base) -> Result<Vec<Window>, Halt> {
    if is_sorted(seen, base)? { among_known(seen, base) } else { around_rows(seen, base) }
}

/// Rows come by time, so the first pages show all rows of their stretch.
fn among_known(seen: &Seen, base: &Base) -> Result<Vec<Window>, Halt> {
    let mut known = Vec::new();
    for page in 0..3 {
        let sight = base.later_page(seen, page)?;
        known.extend(sight.page.rows.iter().filter(|row| base.holds(row)).map(|row| row.second));
    }
    let ordered: Vec<i64> = in_order(&known).into_iter().filter_map(|place| known.get(place).copied()).collect();
    let seconds = counted(&ordered);
    let mut found: Vec<Window> = Vec::new();
    // The first second may go on before the range, and the last one on the next page.
    for around in seconds.windows(5) {
        let [_, (first, _), _, (last, _), _] = around else { continue };
        let fits = around.iter().map(|(_, rows)| rows).sum::<usize>() <= FITS;
        if fits && found.len() < 2 && found.iter().all(|other| is_another(other.first, *first)) {
            found.push(Window { first: *first, last: *last, is_whole: true });
        }
    }
    if found.len() < 2 { from_both_ends(seen, base, &seconds) } else { Ok(found) }
}

/// Rows stand so close that a stretch fills pages: its beginning is seen from the one end of time, and its end from the other.
fn from_both_ends(seen: &Seen, base: &Base, seconds: &[(i64, usize)]) -> Result<Vec<Window>, Halt> {
    let newest = newest(seen, base)?.page.rows.iter().filter(|row| base.holds(row)).map(|row| row.second).max();
    let (Some((first, _)), Some(last)) = (seconds.first(), newest) else { return Ok(Vec::new()) };
    let outer = Window { first: *first, last, is_whole: false };
    if last - first < 4 {
        return Ok(vec![outer]);
    }
    let within = base.within(first + 1, last - 1);
    let next = seen.page(&within)?.page.rows.iter().map(|row| row.second).filter(|second| second > first).min();
    let before =
        seen.page(&within.newest_first())?.page.rows.iter().map(|row| row.second).filter(|second| *second < last).max();
    let inner = next.zip(before).filter(|(next, before)| next < before);
    let inner = inner.map(|(first, last)| Window { first, last, is_whole: false });
    Ok([Some(outer), inner.filter(|inner| is_another(inner.first, outer.first))].into_iter().flatten().collect())
}

/// Rows come in no order, so a stretch is widened around a row until some stand in it.
fn around_rows(seen: &Seen, base: &Base) -> Result<Vec<Window>, Halt> {
    let first = base.later_page(seen, 0)?;
    let rows = first.page.rows.iter().filter(|row| base.holds(row)).map(|row| row.second);
    let mut found: Vec<Window> = Vec::new();
    for second in rows {
        if found.len() == 2 {
            break;
        }
        if found.iter().all(|other| is_another(other.first, second)) {
            match measured(seen, base, second)? {
                Some(window) => found.push(window),
                None => break,
            }
        }
    }
    Ok(found)
}

fn measured(seen: &Seen, base: &Base, second: i64) -> Result<Option<Window>, Halt> {
    let mut width = 1_i64;
    for _ in 0..MEASURES {
        let sight = seen.page(&base.within(second - width, second + width))?;
        let mut inside: Vec<i64> = sight.page.rows.iter().map(|row| row.second).collect();
        inside.retain(|other| (other - second).abs() <= width);
        inside.sort_unstable();
        let seconds = counted(&inside);
        if seconds.len() >= 3 && sight.page.len() <= FITS {
            let window =
                |first: &(i64, usize), last: &(i64, usize)| Window { first: first.0, last: last.0, is_whole: true };
            return Ok(seconds.first().zip(seconds.last()).map(|(first, last)| window(first, last)));
        }
        let rows = sight.page.len().max(1) as f64;
        let wider = if sight.page.len() > FITS {
            (width / 4).max(1)
        } else {
            (width as f64 * (WANTED / rows).clamp(2.0, 8.0)) as i64
        };
        if wider == width {
            return Ok(None);
        }
        width = wider;
    }
    Ok(None)
}

/// Each second with its rows.
fn counted(ascending: &[i64]) -> Vec<(i64, usize)> {
    let mut seconds: Vec<(i64, usize)> = Vec::new();
    for second in ascending {
        match seconds.last_mut() {
            Some((last, rows)) if last == second => *rows += 1,
            _ => seconds.push((*second, 1)),
        }
    }
    seconds
}

fn is_another(one: i64, other: i64) -> bool {
    let apart = (one - other).abs();
    apart > 0 && ROUND.iter().all(|round| apart % round != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_seconds_are_told_apart_by_whatever_people_round_to() {
        assert!(is_another(10, 17) && is_another(17, 10));
        assert!(!is_another(10, 10) && !is_another(10, 12) && !is_another(10, 13) && !is_another(0, 3_600));
    }

    #[test]
    fn seconds_are_counted() {
        assert_eq!(counted(&[1, 1, 4]), [(1, 2), (4, 1)]);
    }
}
