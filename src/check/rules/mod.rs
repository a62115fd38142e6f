//! One rule for each property: which questions it asks, and what their answers mean. Pure.
//!
//! What comes is believed sooner than what does not come: an absence counts only where a known row must have stood.

mod base;
mod bounds;
mod ends;
mod filters;
mod key;
mod last_page;
mod order;
mod overlap;
mod size;
mod ties;
mod windows;

#[cfg(test)]
mod tests;

use super::finding::RuleVerdict;
use super::seen::{Halt, Seen};
use crate::api::contract::Region;

pub use key::Latency;
pub(super) use key::{key, latency};

/// What a check is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The region.
    pub region: Region,
    /// The first second of the range.
    pub from: i64,
    /// The first second after it.
    pub to: i64,
}

/// How one property is found out.
pub(super) trait Rule {
    /// The property's name.
    fn name(&self) -> &'static str;

    /// The verdict.
    ///
    /// # Errors
    /// [`Halt`] where something is to be asked first, or nothing can be known.
    fn judge(&self, seen: &Seen, scope: &Scope) -> Result<RuleVerdict, Halt>;
}

/// Every rule, in the order of worth: the first credits go to the first.
pub(super) fn all() -> Vec<Box<dyn Rule>> {
    let mut rules: Vec<Box<dyn Rule>> = vec![
        Box::new(base::TimeUnit),
        Box::new(order::Sort),
        Box::new(overlap::PageOverlap),
        Box::new(bounds::MIN),
        Box::new(bounds::MAX),
        Box::new(ends::PastTheEnd),
        Box::new(size::PageSize),
    ];
    rules.extend(filters::ALL.map(|filter| Box::new(filter) as Box<dyn Rule>));
    rules.push(Box::new(last_page::LastPage));
    rules.push(Box::new(ties::Ties));
    rules
}
