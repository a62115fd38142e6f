//! `ties`: the order of rows that share a second.
//!
//! Rows in a fresh order agree by chance, two of them every other time. So the answers that show them must make that chance small before
//! the order is called stable; one that disagrees is enough to call it fresh.

use super::base::{Base, base};
use super::order::is_sorted;
use super::windows::FITS;
use super::{Rule, Scope};
use crate::check::answer::{Page, Row};
use crate::check::finding::RuleVerdict;
use crate::check::question::Question;
use crate::check::seen::{Halt, Seen, Sight};

/// The chance that rows in a fresh order look stable, as the logarithm of its inverse: one in two hundred.
const SURE: f64 = 5.3;
/// How often the page is asked for the sake of this alone.
const MOST_ASKED: usize = 9;

/// The rule.
pub(in crate::check) struct Ties;

impl Rule for Ties {
    fn name(&self) -> &'static str {
        "ties"
    }

    fn judge(&self, seen: &Seen, scope: &Scope) -> Result<RuleVerdict, Halt> {
        let base = base(seen, scope)?;
        if !is_sorted(seen, &base)? {
            return Halt::unknown("rows come in no order of time, so the order within a second says nothing");
        }
        let Some(question) = most_telling(seen, &base) else {
            return Halt::unknown("no two rows of one second came");
        };
        let mut readings = vec![seen.page(&question)?];
        for _ in 1..MOST_ASKED {
            if let Some(other) = disagreement(&readings) {
                let why = "the same question brings rows of one second in another order";
                return Ok(RuleVerdict::new("fresh", [readings.first().map_or(0, |first| first.number), other], why));
            }
            if sureness(&readings) >= SURE {
                break;
            }
            let last = readings.last().map_or(0, |sight| sight.number);
            readings.push(seen.heard_after(&question, last)?.page()?);
        }
        mirrored(seen, &base, readings)
    }
}

/// The question whose page shows most rows that share their second. What was asked before the first such question decides.
fn most_telling(seen: &Seen, base: &Base) -> Option<Question> {
    let is_plain =
        |asked: &Question| asked.filters.is_empty() && !asked.newest_first && asked.page_size == base.whole().page_size;
    let mut told: Vec<(Question, f64)> = Vec::new();
    for (sight, asked) in seen.pages().filter(|(_, asked)| is_plain(asked)) {
        if told.iter().all(|(other, _)| other != asked) {
            told.push((asked.clone(), orders(sight.page)));
        }
    }
    // The first of the best: asking it again does not make another one the best.
    let best = told.into_iter().reduce(|best, other| if other.1 > best.1 { other } else { best });
    best.filter(|(_, orders)| *orders > 0.0).map(|(question, _)| question)
}

/// The logarithm of the number of orders that the rows of a page could have within their seconds.
fn orders(page: &Page) -> f64 {
    seconds(page).into_iter().map(|second| log_factorial(of(page, second).count())).sum()
}

fn seconds(page: &Page) -> Vec<i64> {
    let mut seconds: Vec<i64> = page.rows.iter().map(|row| row.second).collect();
    seconds.sort_unstable();
    seconds.dedup();
    seconds
}

fn of(page: &Page, second: i64) -> impl DoubleEndedIterator<Item = &Row> {
    page.rows.iter().filter(move |row| row.second == second)
}

fn log_factorial(count: usize) -> f64 {
    (2..=count).map(|factor| (factor as f64).ln()).sum()
}

/// The rows of one second that both pages hold, in the order of each.
fn common<'a>(one: &'a Page, other: &'a Page, second: i64) -> (Vec<&'a str>, Vec<&'a str>) {
    let ids = |page: &'a Page, beside: &Page| {
        of(page, second).filter(|row| beside.has(row)).map(|row| row.video_id.as_str()).collect()
    };
    (ids(one, other), ids(other, one))
}

/// An answer whose rows stand in another order than in the first, or are others although the second fills the page.
fn disagreement(readings: &[Sight<'_>]) -> Option<usize> {
    let first = readings.first()?.page;
    let differs = |other: &&Sight<'_>| {
        seconds(first).into_iter().any(|second| {
            let (here, there) = common(first, other.page, second);
            let fills = of(first, second).count() == first.rows.len() && first.rows.len() > 2;
            here != there || (fills && here.len() * 2 < first.rows.len() && !other.page.rows.is_empty())
        })
    };
    readings.iter().skip(1).find(differs).map(|sight| sight.number)
}

/// How sure it is that agreeing answers are no chance.
fn sureness(readings: &[Sight<'_>]) -> f64 {
    let Some(first) = readings.first() else { return 0.0 };
    let told = |other: &Sight<'_>| -> f64 {
        seconds(first.page)
            .into_iter()
            .map(|second| log_factorial(common(first.page, other.page, second).0.len()))
            .sum()
    };
    readings.iter().skip(1).map(told).sum()
}

/// Whether newest first is oldest first reversed, within a second too.
fn mirrored(seen: &Seen, base: &Base, readings: Vec<Sight<'_>>) -> Result<RuleVerdict, Halt> {
    let rests_on: Vec<usize> = readings.iter().map(|sight| sight.number).collect();
    let Some(first) = readings.first() else { return Halt::unknown("nothing came") };
    if sureness(&readings) < SURE {
        return Ok(RuleVerdict::unknown(rests_on, "too few rows share a second to tell a stable order from chance"));
    }
    // A second whose rows all fit on a page shows both ends of it.
    let rows = |second: &i64| of(first.page, *second).count();
    let second = seconds(first.page).into_iter().max_by_key(|second| (rows(second) <= FITS, rows(second)));
    let Some(second) = second else { return Halt::unknown("nothing came") };
    let alone = base.within(second - 1, second + 1);
    let (upwards, downwards) = (seen.page(&alone)?, seen.page(&alone.clone().newest_first())?);
    let rests_on = rests_on.into_iter().chain([upwards.number, downwards.number]);
    let (here, mut there) = common(upwards.page, downwards.page, second);
    there.reverse();
    if here.len() < 2 {
        let why = "rows of one second come in the same order each time, but newest first did not show the same ones";
        return Ok(RuleVerdict::unknown(rests_on, why));
    }
    if here == there {
        let why = "rows of one second come in the same order each time, and newest first reverses it";
        return Ok(RuleVerdict::new("stable", rests_on, why));
    }
    let why = "rows of one second come in the same order each time, but newest first does not reverse it";
    Ok(RuleVerdict::new("unmirrored", rests_on, why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::page;

    fn reordered(page: &Page, places: &[usize]) -> Page {
        Page { rows: places.iter().map(|place| page.rows[*place].clone()).collect(), ..page.clone() }
    }

    #[test]
    fn agreeing_answers_grow_sure_as_fast_as_chance_allows() {
        let full = page(&[1, 5, 5, 5, 9]);
        let sight = |number: usize| Sight { number, page: &full };
        assert!((sureness(&[sight(0), sight(1)]) - 6_f64.ln()).abs() < 1e-9);
        assert!(sureness(&[sight(0), sight(1), sight(2)]) < SURE && sureness(&[sight(0)]) == 0.0);
        assert!(sureness(&[sight(0), sight(1), sight(2), sight(3)]) >= SURE);
    }

    #[test]
    fn one_other_order_is_enough() {
        let full = page(&[1, 5, 5, 5, 9]);
        let (other, grown) = (reordered(&full, &[0, 2, 1, 3, 4]), reordered(&full, &[0, 1, 3, 4]));
        let readings =
            |second: &Page| disagreement(&[Sight { number: 0, page: &full }, Sight { number: 1, page: second }]);
        assert_eq!(readings(&other), Some(1));
        assert_eq!(readings(&grown), None, "a row that went away is no other order");
        assert_eq!(readings(&full), None);
    }
}
