//! Holds what a run believes against its evidence: what is done and not listed follows from the pages that it folded, or is told.
//!
//! It knows what the journal keeps, in its order, and nothing of the truth.

use std::collections::BTreeMap;
use std::fmt;

use crate::api::contract::{Region, TimeOrder};
use crate::plan::event::PlanEvent;
use crate::plan::evidence::ledger::Uncovered;
use crate::plan::evidence::observation::{Observation, Rules, Turn};
use crate::plan::evidence::premise::{Certificate, Missing, Premise, Refutation};
use crate::plan::evidence::recording::{Examined, Recorded, examine, observed};
use crate::plan::fact::{Check, PageAddress, PageFact, Purpose, WindowId};
use crate::plan::planner::{Listed, Planner};
use crate::plan::walk::Scan;
use crate::units::{EpochSeconds, TimeRange};

/// Everything that a run has decided and read, as evidence.
#[derive(Debug)]
pub(super) struct Checker {
    range: TimeRange,
    rules: Rules,
    /// Every scan with the first second that it was not meant to reach.
    scans: BTreeMap<(WindowId, u32), (Scan, EpochSeconds)>,
    regions: BTreeMap<Region, Seen>,
    /// Whether the plan has found that rows come in no order.
    is_unsorted: bool,
}

/// What a region showed, in the order in which it became durable, and what was published meanwhile.
#[derive(Debug, Default)]
struct Seen {
    pages: Vec<Observation>,
    /// Up to which second, and after how many pages.
    published: Vec<(EpochSeconds, usize)>,
}

/// Seconds that the run believes and nothing certifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Uncertified {
    pub(super) region: Region,
    /// Which seconds, and what they lack.
    pub(super) open: Uncovered,
    /// How many of the region's pages were durable when they were published; none where they lack it to the end.
    pub(super) published_after: Option<usize>,
}

impl Uncertified {
    /// Whether all that is missing is another look later: the plan asks for none that is apart in time.
    pub(super) fn waits(&self) -> bool {
        waits(self.open.missing)
    }

    /// Whether the kernel is never too weak for what is missing, so that it would be the plan that believes too much: on no seed that
    /// the tests walk.
    pub(super) fn is_exact(&self) -> bool {
        let is_strong = matches!(self.open.missing, Missing::OlderBracket | Missing::Withdrawn(Premise::StableTies));
        is_strong && self.published_after.is_none()
    }

    /// The same where every answer holds the rows that were asked for: then only lists without order, and ties that are neither mirrored
    /// nor the same, can be too much for the kernel.
    pub(super) fn is_exact_of_whole_answers(&self) -> bool {
        let is_weak = matches!(
            self.open.missing,
            Missing::Reading | Missing::Withdrawn(Premise::Order) | Missing::Withdrawn(Premise::MirroredTies)
        );
        !is_weak && !self.waits() && self.published_after.is_none()
    }

    /// What is missing, without how much of it.
    pub(super) fn lacks(&self) -> String {
        let when = if self.published_after.is_some() { " when it was published" } else { "" };
        let what = match self.open.missing {
            Missing::FullPages(_) => "full pages".to_owned(),
            Missing::Ids(_) => "ids".to_owned(),
            Missing::SecondReading(_) => "a second reading".to_owned(),
            Missing::EndWitness(_) => "a second witness of the end".to_owned(),
            Missing::Withdrawn(premise) => format!("{premise:?}, which is refuted"),
            other => format!("{other:?}"),
        };
        what + when
    }
}

impl fmt::Display for Uncertified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Uncovered { seconds, .. } = self.open;
        write!(f, "{}: [{}, {}) lacks {}", self.region, seconds.start.get(), seconds.end.get(), self.lacks())
    }
}

/// Whether all that is missing is another look later.
fn waits(missing: Missing) -> bool {
    matches!(missing, Missing::EndWitness(_) | Missing::SecondReading(_))
}

impl Checker {
    /// Nothing is known of the range; answers so many seconds apart are two witnesses.
    pub(super) fn new(range: TimeRange, confirm_after: i64) -> Self {
        let rules = Rules { confirm_after, ..Rules::USUAL };
        Self { range, rules, scans: BTreeMap::new(), regions: BTreeMap::new(), is_unsorted: false }
    }

    /// Takes a decision in, as it becomes durable; the plan is the one that made it.
    pub(super) fn decided(&mut self, event: &PlanEvent, planner: &Planner) {
        match event {
            PlanEvent::ScanStarted { window, scan, anchor, asked_min, asked_max, at, why } => {
                let (number, anchor, started_at, why) = (*scan, *anchor, *at, *why);
                let (asked_min, asked_max) = (*asked_min, *asked_max);
                let scan = Scan { number, anchor, asked_min, asked_max, started_at, why };
                let end = match scan.order() {
                    TimeOrder::NewestFirst => anchor.shifted(1),
                    TimeOrder::OldestFirst if planner.profile().bounds.max_inclusive => {
                        asked_max.shifted(1).min(self.range.end)
                    }
                    TimeOrder::OldestFirst | TimeOrder::MostViewedFirst => asked_max,
                };
                self.scans.insert((*window, number), (scan, end));
            }
            PlanEvent::SlicePublished { region, until } => {
                let seen = self.regions.entry(region.clone()).or_default();
                seen.published.push((*until, seen.pages.len()));
            }
            PlanEvent::SortIgnored => self.is_unsorted = true,
            // It says of the list what an empty page does.
            PlanEvent::EndRefused { window, scan, page, at } => {
                let Some(region) = planner.window_region(*window).cloned() else { return };
                let purpose = Purpose::Walk { window: *window, scan: *scan };
                let address = PageAddress { region, purpose, page: *page };
                let (fetched_at, slots, rows) = (*at, 0, Vec::new());
                self.read(&PageFact { address, fetched_at, slots, rows, check: Check::default() }, Turn::InTurn);
            }
            _ => {}
        }
    }

    /// Takes a page in, as it becomes durable.
    pub(super) fn read(&mut self, fact: &PageFact, turn: Turn) {
        if fact.check.is_astray() {
            return;
        }
        let scan = match fact.address.purpose {
            Purpose::Walk { window, scan } => self.scans.get(&(window, scan)),
            _ => None,
        };
        let scan = scan.map(|(scan, end)| (scan, *end));
        if let Some(page) = observed(&Recorded { fact, scan, turn }, self.range) {
            self.regions.entry(fact.address.region.clone()).or_default().pages.push(page);
        }
    }

    /// What is done, not listed and not certified.
    pub(super) fn uncertified(&self, planner: &Planner) -> Vec<Uncertified> {
        let listed: Vec<&Listed> = planner.gaps().iter().chain(planner.unproven()).collect();
        let mut all = Vec::new();
        let nothing = Seen::default();
        for plan in planner.regions() {
            let done = TimeRange::new(self.range.start, planner.watermark(&plan.region).max(plan.published_until));
            let out: Vec<TimeRange> =
                listed.iter().filter(|listed| listed.region == plan.region).map(|listed| listed.range).collect();
            let seen = self.regions.get(&plan.region).unwrap_or(&nothing);
            let examined = self.examined(&seen.pages);
            let mut take = |open: Uncovered, within: TimeRange, published_after: Option<usize>| {
                let believed = within.intersection(open.seconds);
                let rest = if believed.is_empty() { Vec::new() } else { believed.without(&out) };
                all.extend(rest.into_iter().map(|seconds| Uncertified {
                    region: plan.region.clone(),
                    open: Uncovered { seconds, ..open },
                    published_after,
                }));
            };
            for open in &examined.uncovered {
                if !self.is_certified_alone(&seen.pages, open) {
                    take(*open, done, None);
                }
            }
            for (after, early) in self.published_early(seen, &examined) {
                let before = self.examined(seen.pages.get(..after).unwrap_or_default());
                for (late, open) in early.iter().flat_map(|late| before.uncovered.iter().map(move |open| (late, open)))
                {
                    take(*open, *late, Some(after));
                }
            }
        }
        all
    }

    fn examined(&self, pages: &[Observation]) -> Examined {
        let refuted = self.is_unsorted.then_some(Refutation::Premise(Premise::Order));
        examine(pages.iter().cloned(), self.range, self.rules, refuted)
    }

    /// Whether the pages of one window alone certify what was certified only while ties seemed to keep their order, or lack no more for it than
    /// another look: what was taken back is told of first, though another certificate needs nothing of that. A row that stands out of order on
    /// another page, or may, brackets nothing anywhere; so all pages of a region may come to less than those.
    fn is_certified_alone(&self, pages: &[Observation], open: &Uncovered) -> bool {
        let ties = Premise::StableTies;
        if open.missing != Missing::Withdrawn(ties) {
            return false;
        }
        let mut windows: BTreeMap<WindowId, Vec<Observation>> = BTreeMap::new();
        for page in pages {
            if let Purpose::Walk { window, .. } = page.series.purpose {
                windows.entry(window).or_default().push(page.clone());
            }
        }
        let order = self.is_unsorted.then_some(Premise::Order);
        let refuted = || order.into_iter().chain([ties]).map(Refutation::Premise);
        let mut alone = windows.into_values().map(|pages| examine(pages, self.range, self.rules, refuted()));
        alone.any(|examined| {
            let mut lacking = examined.uncovered.iter().filter(|lacking| lacking.seconds.overlaps(open.seconds));
            lacking.all(|lacking| waits(lacking.missing))
        })
    }

    /// Seconds that were published before the certificate that they have in the end could be made, by the number of pages that were
    /// durable.
    fn published_early(&self, seen: &Seen, examined: &Examined) -> BTreeMap<usize, Vec<TimeRange>> {
        let index: BTreeMap<_, usize> = seen.pages.iter().zip(1..).map(|(page, number)| (page.id(), number)).collect();
        let last = |certificate: &Certificate| {
            certificate.observations.iter().filter_map(|(_, id)| index.get(id)).max().copied().unwrap_or(0)
        };
        let made: Vec<(TimeRange, usize)> =
            examined.certified.iter().map(|certificate| (certificate.seconds, last(certificate))).collect();
        let mut early: BTreeMap<usize, Vec<TimeRange>> = BTreeMap::new();
        let mut from = self.range.start;
        for (until, after) in seen.published.iter().filter(|(_, after)| *after < seen.pages.len()) {
            let slice = TimeRange::new(from, *until);
            from = from.max(*until);
            let late = made.iter().filter(|(seconds, last)| last > after && seconds.overlaps(slice));
            let late: Vec<TimeRange> = late.map(|(seconds, _)| seconds.intersection(slice)).collect();
            if !late.is_empty() {
                early.entry(*after).or_default().extend(late);
            }
        }
        early
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::{Scenario, uniform};
    use super::*;

    const DAY: i64 = 86_400;

    /// A page that never came, or a scan that never was, leaves seconds without a certificate.
    #[test]
    fn what_is_believed_without_its_page_is_named() {
        let mut outcome = Scenario::of(uniform(2_000, DAY, 3), DAY).run();
        assert!(outcome.uncertified().iter().all(Uncertified::waits), "{:?}", outcome.uncertified());
        let mut checker = outcome.checker.take().unwrap();
        for seen in checker.regions.values_mut() {
            let middle = seen.pages.len() / 2;
            let page = seen.pages.remove(middle);
            let lost = page.rows.get(5).unwrap().second;
            let open = checker_of(seen, checker.range).uncertified(&outcome.planner);
            assert!(open.iter().any(|one| one.open.seconds.contains(lost) && !one.waits()), "{lost}: {open:?}");
        }
    }

    fn checker_of(seen: &Seen, range: TimeRange) -> Checker {
        let mut checker = Checker::new(range, 20);
        let pages = seen.pages.clone();
        checker.regions.insert("US".parse().unwrap(), Seen { pages, published: Vec::new() });
        checker
    }
}
