//! A recorded run under examination: which seconds of a region its pages prove, and what the others lack. Pure.
//!
//! This is where a checker comes in: it gives everything that was asked and answered, in the order in which it became durable, and
//! compares what the plan believes with what follows.

use super::ledger::{Ledger, Uncovered};
use super::observation::{Observation, Rules, Series, Turn};
use super::premise::{Certificate, Refutation};
use crate::plan::fact::{PageFact, Purpose};
use crate::plan::walk::Scan;
use crate::units::{EpochSeconds, TimeRange};

/// One durable page, and how it was asked.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    /// The page.
    pub fact: &'a PageFact,
    /// The scan that it belongs to and the first second that this was not meant to reach; none for a probe.
    pub scan: Option<(&'a Scan, EpochSeconds)>,
    /// Whether the page before it had come when it was asked.
    pub turn: Turn,
}

/// What a recording comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// Why seconds are whole, in their order.
    pub certified: Vec<Certificate>,
    /// The other seconds of the range, in their order, with what they lack.
    pub uncovered: Vec<Uncovered>,
}

impl Examined {
    /// Whether every one of these seconds is certified or lies within what is listed.
    pub fn holds(&self, seconds: TimeRange, listed: &[TimeRange]) -> bool {
        let open = self.uncovered.iter().map(|open| open.seconds.intersection(seconds));
        open.filter(|open| !open.is_empty()).all(|open| open.without(listed).is_empty())
    }
}

/// Examines the pages of one region, of which this is known not to hold.
pub fn examine(
    pages: impl IntoIterator<Item = Observation>,
    range: TimeRange,
    rules: Rules,
    refuted: impl IntoIterator<Item = Refutation>,
) -> Examined {
    let mut ledger = Ledger::new(rules, range);
    refuted.into_iter().for_each(|refutation| ledger.refute(refutation));
    pages.into_iter().for_each(|page| ledger.fold(page));
    let uncovered = ledger.settle();
    Examined { certified: ledger.certificates().cloned().collect(), uncovered }
}

/// A recorded page as an observation, where it is one of the region's rows within the range: probes without the user's filters or
/// without the range say nothing about its rows.
pub fn observed(recorded: &Recorded<'_>, range: TimeRange) -> Option<Observation> {
    let fact = recorded.fact;
    let series = match (fact.address.purpose, recorded.scan) {
        (Purpose::Walk { .. }, Some((scan, end))) => {
            Series::of_scan((&fact.address.region, fact.address.purpose), scan, end)
        }
        (Purpose::Newest | Purpose::ConfirmNewest | Purpose::ConfirmOldest, _) => Series::of_end(fact, range),
        _ => return None,
    };
    Some(Observation::of(fact, series, recorded.turn))
}

#[cfg(test)]
mod tests;
