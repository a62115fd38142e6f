//! `past_the_end`: what a page after the last row is.

use super::base::{Base, base};
use super::windows::{FITS, windows};
use super::{Rule, Scope};
use crate::check::answer::Shape;
use crate::check::finding::RuleVerdict;
use crate::check::question::Question;
use crate::check::seen::{Halt, Heard, Seen};

/// Pages after the first one: enough to be past the end of a stretch that fits on one page, also where `page_num` counts rows.
const FAR: u32 = 20;

/// The rule.
pub(in crate::check) struct PastTheEnd;

impl Rule for PastTheEnd {
    fn name(&self) -> &'static str {
        "past_the_end"
    }

    fn judge(&self, seen: &Seen, scope: &Scope) -> Result<RuleVerdict, Halt> {
        let base = base(seen, scope)?;
        let Some(stretch) = on_one_page(seen, &base)? else {
            return Halt::unknown("no stretch of time whose rows fit on one page was found");
        };
        let first = seen.page(&stretch)?;
        let mut rests_on = vec![first.number];
        for pages in [1, FAR] {
            let past = seen.heard(&stretch.clone().on_page(base.first_page + pages))?;
            rests_on.push(past.number());
            match past {
                Heard::Page(sight) if sight.page.is_empty() => {
                    let (word, what) = told(sight.page.shape);
                    return Ok(RuleVerdict::new(word, rests_on, format!("a page past the last row comes with {what}")));
                }
                Heard::Page(sight) if pages == FAR && sight.page.shared_with(first.page) > 0 => {
                    return Ok(RuleVerdict::new(
                        "repeats",
                        rests_on,
                        "a page past the last row holds rows that came before",
                    ));
                }
                Heard::Page(_) => {}
                Heard::Refused { code, message, .. } => {
                    let why = format!("a page past the last row is refused with {code}: {message}");
                    return Ok(RuleVerdict::new(format!("refused_{code}"), rests_on, why));
                }
            }
        }
        Ok(RuleVerdict::unknown(rests_on, "rows came on every page that was asked"))
    }
}

/// A stretch of time whose rows fit on one page, with room left.
fn on_one_page(seen: &Seen, base: &Base) -> Result<Option<Question>, Halt> {
    let alone = base.alone();
    let page = seen.page(&alone)?.page;
    if !page.is_empty() && page.len() <= FITS {
        return Ok(Some(alone));
    }
    let whole = windows(seen, base)?.into_iter().find(|window| window.is_whole);
    Ok(whole.map(|window| base.within(window.first - 1, window.last + 1)))
}

/// The word for an empty page, and what it is for a person.
pub(super) fn told(shape: Shape) -> (&'static str, &'static str) {
    match shape {
        Shape::List => ("empty_brackets", "an empty list"),
        Shape::Null => ("empty_null", "null in place of the rows"),
        Shape::Missing => ("empty_missing", "nothing in place of the rows"),
        Shape::NoContent => ("empty_no_content", "no body at all (204)"),
    }
}
