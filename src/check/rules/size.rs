//! `page_size`: what comes where more than ten rows a page are asked.

use super::base::base;
use super::{Rule, Scope};
use crate::api::contract::SOURCE;
use crate::check::finding::RuleVerdict;
use crate::check::seen::{Halt, Heard, Seen};

/// The sizes that are asked for, rows: a larger one only where the one before was served.
const LARGER: u32 = 20;
const LARGEST: u32 = 100;

/// The rule.
pub(in crate::check) struct PageSize;

impl Rule for PageSize {
    fn name(&self) -> &'static str {
        "page_size"
    }

    fn judge(&self, seen: &Seen, scope: &Scope) -> Result<RuleVerdict, Halt> {
        let base = base(seen, scope)?;
        let (first, later) = (base.later_page(seen, 0)?, base.later_page(seen, 1)?);
        let documented = SOURCE.page_size as usize;
        let larger = seen.heard(&base.whole().sized(LARGER))?;
        let rests_on = [first.number, larger.number()];
        let sight = match larger {
            Heard::Refused { code, message, .. } => {
                let why = format!("{LARGER} rows a page are refused with {code}: {message}");
                return Ok(RuleVerdict::new("refused", rests_on, why));
            }
            Heard::Page(sight) => sight,
        };
        let rows = sight.page.len();
        if rows > documented {
            let largest = seen.heard(&base.whole().sized(LARGEST))?;
            let most = largest.page().map_or(rows, |sight| sight.page.len().max(rows));
            let why = format!("{rows} rows came where {LARGER} were asked, and {most} at most where {LARGEST} were");
            return Ok(RuleVerdict::new("honoured", [first.number, sight.number, largest.number()], why));
        }
        let is_more_there = later.page.rows.iter().any(|row| !first.page.has(row));
        if rows == 0 || !is_more_there {
            return Ok(RuleVerdict::unknown(
                rests_on,
                format!("{rows} rows came where {LARGER} were asked, and no more are known"),
            ));
        }
        Ok(RuleVerdict::new(
            "clamped",
            rests_on,
            format!("{rows} rows came where {LARGER} were asked and more were there"),
        ))
    }
}
