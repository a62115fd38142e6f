//! `sort`: whether rows come by time where that is asked.

use super::base::{Base, base};
use super::{Rule, Scope};
use crate::check::answer::Row;
use crate::check::finding::RuleVerdict;
use crate::check::seen::{Halt, Seen, Sight};

/// The share of a page's rows that must stand in order: a row with a wrong date does not make a disorder.
const KEPT: f64 = 0.8;
/// The share below which a page of several seconds is in no order: ten rows in random order keep about five.
const LOST: f64 = 0.7;
/// Seconds that a page must hold before its order says anything, and all pages together before it is believed.
const TELLING: usize = 5;
const BELIEVED: usize = 6;

/// The rule.
pub(in crate::check) struct Sort;

impl Rule for Sort {
    fn name(&self) -> &'static str {
        "sort"
    }

    fn judge(&self, seen: &Seen, scope: &Scope) -> Result<RuleVerdict, Halt> {
        let base = base(seen, scope)?;
        let pages = Pages::read(seen, &base)?;
        let rests_on = [pages.oldest.number, pages.later.number, pages.newest.number];
        match pages.are_sorted() {
            Some(true) => {
                Ok(RuleVerdict::new("honoured", rests_on, "pages come oldest first and newest first as asked"))
            }
            Some(false) => Ok(RuleVerdict::new("ignored", rests_on, "rows do not come in the asked order of time")),
            None => Ok(RuleVerdict::unknown(rests_on, "too few different seconds came to see an order")),
        }
    }
}

/// The first two pages and the newest one.
struct Pages<'a> {
    oldest: Sight<'a>,
    later: Sight<'a>,
    newest: Sight<'a>,
}

impl<'a> Pages<'a> {
    fn read(seen: &'a Seen, base: &Base) -> Result<Self, Halt> {
        let oldest = base.later_page(seen, 0)?;
        let later = base.later_page(seen, 1)?;
        let newest = seen.page(&base.whole().newest_first())?;
        Ok(Self { oldest, later, newest })
    }

    fn are_sorted(&self) -> Option<bool> {
        let upwards = [self.oldest, self.later].map(|sight| seconds(&sight.page.rows));
        let downwards: Vec<i64> = seconds(&self.newest.page.rows).into_iter().map(|second| -second).collect();
        let all = [&upwards[0], &upwards[1], &downwards];
        if all.iter().any(|seconds| distinct(seconds) >= TELLING && kept(seconds) < LOST) {
            return Some(false);
        }
        let is_kept = all.iter().all(|seconds| kept(seconds) >= KEPT);
        let told: usize = all.iter().map(|seconds| distinct(seconds).saturating_sub(1)).sum();
        let (first, last) = (middle(&upwards[0])?, -middle(&downwards)?);
        let shows_both_ways = told >= BELIEVED && distinct(&downwards) > 1 && first <= last;
        // Seconds that fill whole pages: the one end shows one of them, the other end a later one.
        let shows_both_ends = upwards[0].len() >= TELLING && downwards.len() >= TELLING && first < last;
        (is_kept && (shows_both_ways || shows_both_ends)).then_some(true)
    }
}

/// Whether rows come by time where that is asked; false where nothing shows it.
pub(super) fn is_sorted(seen: &Seen, base: &Base) -> Result<bool, Halt> {
    Ok(Pages::read(seen, base)?.are_sorted() == Some(true))
}

/// The newest page.
pub(super) fn newest<'a>(seen: &'a Seen, base: &Base) -> Result<Sight<'a>, Halt> {
    seen.page(&base.whole().newest_first())
}

fn seconds(rows: &[Row]) -> Vec<i64> {
    rows.iter().map(|row| row.second).collect()
}

fn middle(seconds: &[i64]) -> Option<i64> {
    let mut sorted = seconds.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}

fn distinct(seconds: &[i64]) -> usize {
    let mut sorted = seconds.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted.len()
}

/// The share of the seconds that stand in ascending order.
fn kept(seconds: &[i64]) -> f64 {
    if seconds.is_empty() { 1.0 } else { in_order(seconds).len() as f64 / seconds.len() as f64 }
}

/// The places of a longest ascending run among the seconds; what is left out of it stands out of order.
pub(super) fn in_order(seconds: &[i64]) -> Vec<usize> {
    let mut best: Vec<(usize, Option<usize>)> = Vec::with_capacity(seconds.len());
    for (place, second) in seconds.iter().enumerate() {
        let before = (0..place).filter(|other| seconds.get(*other).is_some_and(|earlier| earlier <= second));
        let chosen = before.max_by_key(|other| best.get(*other).map_or(0, |run| run.0));
        best.push((chosen.and_then(|other| best.get(other)).map_or(1, |run| run.0 + 1), chosen));
    }
    let mut at = (0..best.len()).max_by_key(|place| best.get(*place).map_or(0, |run| run.0));
    let mut places = Vec::new();
    while let Some(place) = at {
        places.push(place);
        at = best.get(place).and_then(|run| run.1);
    }
    places.reverse();
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::answer::Page;
    use crate::check::testing::page;

    fn sorted(pages: [&[i64]; 3]) -> Option<bool> {
        let pages: Vec<Page> = pages.iter().map(|seconds| page(seconds)).collect();
        let sight = |number: usize| Sight { number, page: &pages[number] };
        Pages { oldest: sight(0), later: sight(1), newest: sight(2) }.are_sorted()
    }

    #[test]
    fn an_order_is_seen_in_both_directions() {
        assert_eq!(sorted([&[1, 2, 3, 4, 5], &[6, 7, 8, 9, 10], &[99, 98, 97, 96, 95]]), Some(true));
        assert_eq!(
            sorted([&[1, 2, 3, 900, 5], &[6, 7, 8, 9, 10], &[99, 98, 97, 96, 95]]),
            Some(true),
            "one wrong date"
        );
        assert_eq!(sorted([&[1, 2, 3, 4, 5], &[6, 7, 8, 9, 10], &[1, 2, 3, 4, 5]]), Some(false), "one page for all");
        assert_eq!(sorted([&[7, 2, 9, 4, 1, 3], &[6, 70, 8, 2, 10, 1], &[4, 98, 17, 96, 5, 1]]), Some(false));
    }

    #[test]
    fn too_few_seconds_show_none() {
        assert_eq!(sorted([&[5; 10], &[5; 10], &[5; 10]]), None);
        assert_eq!(sorted([&[1, 2], &[], &[2, 1]]), None);
        assert_eq!(sorted([&[5; 10], &[5; 10], &[9; 10]]), Some(true), "full seconds, the newest is another one");
    }

    #[test]
    fn the_longest_run_leaves_out_what_is_out_of_order() {
        assert_eq!(in_order(&[1, 9, 2, 2, 3]), [0, 2, 3, 4]);
        assert_eq!(in_order(&[]), [0_usize; 0]);
    }
}
