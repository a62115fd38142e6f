//! `page_overlap`: whether pages follow on each other, or share rows, and which number the first one has.

use super::base::base;
use super::{Rule, Scope};
use crate::check::answer::{Page, Row};
use crate::check::finding::RuleVerdict;
use crate::check::seen::{Halt, Seen};

/// The share of a page that must be its predecessor without the first row, in order, to say that `page_num` counts rows.
const SHIFTED: f64 = 0.7;
/// The share of a page's rows that its predecessor may hold too where rows only come and go, or stand in a new order.
const STRAY: f64 = 0.4;
/// The share of a page's rows that must be its predecessor's to call them the same.
const SAME: f64 = 0.9;

/// The rule.
pub(in crate::check) struct PageOverlap;

impl Rule for PageOverlap {
    fn name(&self) -> &'static str {
        "page_overlap"
    }

    fn judge(&self, seen: &Seen, scope: &Scope) -> Result<RuleVerdict, Halt> {
        let base = base(seen, scope)?;
        let first = base.later_page(seen, 0)?;
        let second = base.later_page(seen, 1)?;
        let third = base.later_page(seen, 2)?;
        let rests_on = [first.number, second.number, third.number];
        if second.page.rows.is_empty() {
            return Ok(RuleVerdict::unknown(rests_on, "all rows stand on one page"));
        }
        let pairs = [(first.page, second.page), (second.page, third.page)];
        let verdict = |word: &str, why: &str| Ok(RuleVerdict::new(word, rests_on, why));
        let all = |holds: fn(&Page, &Page) -> bool| pairs.iter().all(|(before, after)| holds(before, after));
        if all(is_same) {
            return verdict("same_rows", "different pages hold the same rows");
        }
        if all(is_shifted) {
            return verdict(
                "row_offset",
                "each page is the one before it without the first row: `page_num` counts rows",
            );
        }
        if !all(is_apart) {
            return Ok(RuleVerdict::unknown(rests_on, "neighbouring pages share rows, and no rule shows in it"));
        }
        match base.first_page {
            0 => verdict("from_zero", "pages share no rows, but page 1 is the second one and page 0 the first"),
            _ => verdict("none", "pages follow on each other from page 1"),
        }
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn has_its_first(before: &Page, after: &Page) -> bool {
    before.rows.first().is_some_and(|row| after.has(row))
}

fn is_same(before: &Page, after: &Page) -> bool {
    has_its_first(before, after)
        && share(after.shared_with(before), after.rows.len()) >= SAME
        && share(before.shared_with(after), before.rows.len()) >= SAME
}

/// Rows of the later page that stand in the earlier one from its second row on, in the same order.
fn is_shifted(before: &Page, after: &Page) -> bool {
    let rest: Vec<&Row> = before.rows.iter().skip(1).collect();
    let (mut next, mut found) = (0, 0);
    for row in &after.rows {
        if let Some(place) = rest.iter().skip(next).position(|other| other.video_id == row.video_id) {
            next += place + 1;
            found += 1;
        }
    }
    rest.len() > 1 && !has_its_first(before, after) && share(found, rest.len()) >= SHIFTED
}

fn is_apart(before: &Page, after: &Page) -> bool {
    share(after.shared_with(before), after.rows.len()) <= STRAY
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::page;

    #[test]
    fn neighbours_are_apart_shifted_or_the_same() {
        let first = page(&[1, 2, 3, 4, 5, 6]);
        let kinds = |after: &[i64]| {
            let after = page(after);
            (is_apart(&first, &after), is_shifted(&first, &after), is_same(&first, &after))
        };
        assert_eq!(kinds(&[7, 8, 9, 10]), (true, false, false));
        assert_eq!(kinds(&[6, 7, 8, 9, 10]), (true, false, false), "an insertion before the page shows a row again");
        assert_eq!(kinds(&[2, 3, 4, 5, 6, 7]), (false, true, false));
        assert_eq!(kinds(&[1, 2, 3, 4, 5, 6]), (false, false, true));
        assert_eq!(kinds(&[6, 2, 5, 1, 3, 4]), (false, false, true), "in another order");
        assert_eq!(kinds(&[]), (true, false, false));
    }
}
