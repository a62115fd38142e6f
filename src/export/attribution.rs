//! Whether a page that cannot be had is at fault, or the service. Pure; time is a duration since the process began.
//!
//! A page is at fault where anything else came after its attempts began, or, where it failed before, after that failure. Where
//! nothing did, a harmless page is asked to tell the two apart.
//!
//! How deep pages are served nobody knows. Once several later pages of walks have been at fault, and none so deep has come since, another is asked
//! just often enough to know that it was no accident, and nothing is asked to tell whether it is at fault.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::fetch::job::Asks;
use crate::fetch::retry::Patience;
use crate::plan::fact::{PageAddress, Purpose};
use crate::units::PageNumber;

/// Pages that are remembered as failed: more than workers can be at at once.
const MOST_REMEMBERED: usize = 10_000;

/// Later pages at fault in a row, from which on it is likely that others as deep are.
const LATER_AT_FAULT: u32 = 3;

/// What the answers of one process say of the service, and of the pages that failed.
#[derive(Debug, Default)]
pub(super) struct Attribution {
    /// When the service was last seen well.
    last_well: Duration,
    /// Whether a harmless page is being asked.
    is_probing: bool,
    /// The pages whose last job failed, and when.
    failed: BTreeMap<PageAddress, Duration>,
    /// Later pages that were at fault since one as deep came.
    later: LaterPages,
}

/// Pages of walks beyond their questions' first that were at fault, since one as deep came.
#[derive(Debug, Default)]
struct LaterPages {
    /// How many.
    times: u32,
    /// The lowest of their numbers.
    lowest: Option<PageNumber>,
    /// When the last of them failed.
    last: Duration,
}

impl LaterPages {
    fn takes(address: &PageAddress) -> bool {
        matches!(address.purpose, Purpose::Walk { .. }) && address.page > PageNumber::FIRST
    }

    fn came(&mut self, address: &PageAddress) {
        if Self::takes(address) && self.lowest.is_some_and(|lowest| lowest <= address.page) {
            *self = Self::default();
        }
    }

    fn failed(&mut self, address: &PageAddress, now: Duration) {
        if Self::takes(address) {
            self.times += 1;
            self.lowest = Some(self.lowest.map_or(address.page, |lowest| lowest.min(address.page)));
            self.last = now;
        }
    }

    /// Whether a page is likely to be at fault as they were.
    fn hold(&self, address: &PageAddress) -> bool {
        let is_as_deep = self.lowest.is_some_and(|lowest| lowest <= address.page);
        Self::takes(address) && is_as_deep && self.times >= LATER_AT_FAULT
    }
}

/// What follows from a failed job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultVerdict {
    /// The page is at fault: its walk goes on without it, or its window is tried again after the others.
    Page,
    /// Nobody knows: ask a harmless page.
    Probe,
    /// Nobody knows, and a harmless page is being asked.
    Wait,
}

impl Attribution {
    /// Whether the page was asked for before, by a job that failed.
    pub(super) fn asks(&self, address: &PageAddress) -> Asks {
        if self.failed.contains_key(address) { Asks::Again } else { Asks::First }
    }

    /// How often the page is asked: one that failed, while the service has been seen well since, just often enough to know that it was no
    /// accident.
    pub(super) fn patience_with(&self, address: &PageAddress) -> Patience {
        let is_at_fault = self.failed.get(address).is_some_and(|failed| self.last_well > *failed);
        if is_at_fault || self.later.hold(address) { Patience::Short } else { Patience::Full }
    }

    /// A page is durable.
    pub(super) fn came(&mut self, address: &PageAddress, now: Duration) {
        self.failed.remove(address);
        self.later.came(address);
        self.last_well = now;
    }

    /// The harmless page came, or it did not.
    pub(super) fn probed(&mut self, came: Option<Duration>) {
        self.is_probing = false;
        self.last_well = came.unwrap_or(self.last_well);
    }

    /// A job is over after some of its attempts, or all, had failed, and that says nothing of the page.
    pub(super) fn stopped(&mut self, address: PageAddress, now: Duration) {
        self.remember(address, now);
    }

    /// Every attempt of a job failed that began at `began`. A [`FaultVerdict::Probe`] is to be carried out.
    pub(super) fn failed(&mut self, address: PageAddress, (began, now): (Duration, Duration)) -> FaultVerdict {
        let before = self.remember(address.clone(), now);
        // As long as other pages come between those that are likely to be at fault, the service is well.
        let is_likely = self.later.hold(&address) && self.last_well > self.later.last;
        if is_likely || self.last_well > before.unwrap_or(began) {
            self.later.failed(&address, now);
            return FaultVerdict::Page;
        }
        if std::mem::replace(&mut self.is_probing, true) { FaultVerdict::Wait } else { FaultVerdict::Probe }
    }

    /// Gives when the page failed before.
    fn remember(&mut self, address: PageAddress, now: Duration) -> Option<Duration> {
        let before = self.failed.insert(address, now);
        if self.failed.len() > MOST_REMEMBERED {
            self.failed.pop_first();
        }
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fact::WindowId;

    fn page_of(region: &str) -> PageAddress {
        PageAddress { region: region.parse().unwrap(), purpose: Purpose::Newest, page: PageNumber::FIRST }
    }

    fn page() -> PageAddress {
        page_of("US")
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn fails(attribution: &mut Attribution, began: u64, now: u64) -> FaultVerdict {
        attribution.failed(page(), (at(began), at(now)))
    }

    #[test]
    fn a_page_that_fails_while_others_come_is_at_fault() {
        let mut attribution = Attribution::default();
        attribution.came(&page_of("GB"), at(5));
        assert_eq!(fails(&mut attribution, 4, 9), FaultVerdict::Page);
    }

    #[test]
    fn a_page_that_failed_is_asked_a_little_once_the_service_is_seen_well() {
        let mut attribution = Attribution::default();
        assert_eq!(fails(&mut attribution, 4, 9), FaultVerdict::Probe);
        assert_eq!(attribution.patience_with(&page()), Patience::Full);
        attribution.probed(None);
        assert_eq!(attribution.patience_with(&page()), Patience::Full);
        attribution.probed(Some(at(10)));
        assert_eq!(
            (attribution.patience_with(&page()), attribution.patience_with(&page_of("GB"))),
            (Patience::Short, Patience::Full)
        );
        assert_eq!(fails(&mut attribution, 9, 12), FaultVerdict::Page);
        assert_eq!(attribution.patience_with(&page()), Patience::Full, "not since it failed again");
    }

    #[test]
    fn a_page_that_fails_while_nothing_comes_is_not_at_fault_however_often() {
        let mut attribution = Attribution::default();
        attribution.came(&page_of("GB"), at(3));
        assert_eq!(fails(&mut attribution, 4, 9), FaultVerdict::Probe);
        assert_eq!(fails(&mut attribution, 9, 20), FaultVerdict::Wait);
        attribution.probed(None);
        assert_eq!(fails(&mut attribution, 20, 30), FaultVerdict::Probe);
    }

    /// With one request on its way at a time the probe came back before the page was asked again, so that no page was ever
    /// found to be at fault, and every start ended with 5.
    #[test]
    fn one_worker_alone_finds_a_page_at_fault() {
        let mut attribution = Attribution::default();
        assert_eq!(fails(&mut attribution, 0, 9), FaultVerdict::Probe);
        attribution.probed(Some(at(10)));
        assert_eq!(attribution.asks(&page()), Asks::Again);
        assert_eq!(fails(&mut attribution, 10, 20), FaultVerdict::Page);
        assert_eq!(
            fails(&mut attribution, 20, 30),
            FaultVerdict::Probe,
            "what was seen before the last failure is used up"
        );
    }

    /// Only the last failed page of each window was remembered, so that two were asked again and again without leave.
    #[test]
    fn each_of_two_pages_that_failed_is_asked_again() {
        let mut attribution = Attribution::default();
        fails(&mut attribution, 0, 9);
        attribution.failed(page_of("GB"), (at(0), at(9)));
        assert_eq!((attribution.asks(&page()), attribution.asks(&page_of("GB"))), (Asks::Again, Asks::Again));
    }

    /// Where later pages stopped to be served, each was asked eight times, and so was a harmless one: runs of some hundred rows took 12,000 requests.
    #[test]
    fn later_pages_are_asked_a_little_once_several_were_at_fault() {
        let later = |number: u32| PageAddress {
            region: "US".parse().unwrap(),
            purpose: Purpose::Walk { window: WindowId(0), scan: number },
            page: PageNumber::new(number).unwrap(),
        };
        let mut attribution = Attribution::default();
        for (number, second) in [(5, 10), (7, 20), (4, 30)] {
            assert_eq!(attribution.patience_with(&later(9)), Patience::Full);
            attribution.came(&page(), at(second + 1));
            assert_eq!(attribution.failed(later(number), (at(second), at(second + 2))), FaultVerdict::Page);
        }
        let patience = [later(3), later(4), later(9), page()].map(|page| attribution.patience_with(&page));
        assert_eq!(patience, [Patience::Full, Patience::Short, Patience::Short, Patience::Full]);
        // Between two of them another page must have come, or nobody knows.
        assert_eq!(attribution.failed(later(8), (at(40), at(42))), FaultVerdict::Probe);
        attribution.came(&page(), at(50));
        assert_eq!(attribution.failed(later(6), (at(51), at(52))), FaultVerdict::Page);
        attribution.came(&later(3), at(60));
        assert_eq!(attribution.patience_with(&later(9)), Patience::Short, "it is not as deep");
        attribution.came(&later(4), at(61));
        assert_eq!(attribution.patience_with(&later(9)), Patience::Full);
    }

    #[test]
    fn a_page_that_came_is_asked_for_the_first_time_when_it_is_wanted_again() {
        let mut attribution = Attribution::default();
        fails(&mut attribution, 0, 9);
        attribution.came(&page(), at(10));
        assert_eq!(attribution.asks(&page()), Asks::First);
    }
}
