//! Putting decisions into requests: how a scan asks its bounds, and the probes of a region. Pure.

use super::answer::Expected;
use super::ends::End;
use super::event::{PlanEvent, ScanReason};
use super::fact::{PageAddress, Purpose, WindowId};
use super::planner::{PlanContext, Planner, Task};
use super::profile::{BoundQuestion, MinimumQuestion};
use super::region::RegionPlan;
use super::walk::{Scan, Walk};
use super::window::Window;
use crate::api::contract::{Filters, PageQuery, Region, TimeOrder};
use crate::units::{EpochSeconds, PageNumber, TimeRange};

impl Planner {
    /// A scan as it will be asked. Bounds of unknown inclusivity are asked a second wider; so does an exclusive one need it.
    pub(super) fn scan(
        &self,
        (id, window): (WindowId, &Window),
        anchor: EpochSeconds,
        why: ScanReason,
        context: &PlanContext,
    ) -> PlanEvent {
        let end = match why {
            ScanReason::FromEnd => anchor.shifted(1),
            _ if window.bounded => window.range.end,
            _ => self.range_of(&window.region).end,
        };
        PlanEvent::ScanStarted {
            window: id,
            scan: window.next_scan(),
            anchor,
            asked_min: if self.profile.bounds.min_inclusive { anchor } else { anchor.shifted(-1) },
            asked_max: if self.profile.bounds.max_inclusive { end.shifted(-1) } else { end },
            at: context.now,
            why,
        }
    }

    /// The end (exclusive) of the time that a scan surely asks for.
    pub(super) fn asked_end(&self, scan: &Scan) -> EpochSeconds {
        match scan.order() {
            TimeOrder::NewestFirst => scan.anchor.shifted(1),
            _ if self.profile.bounds.max_inclusive => scan.asked_max.shifted(1),
            TimeOrder::OldestFirst | TimeOrder::MostViewedFirst => scan.asked_max,
        }
    }

    pub(super) fn walk_task(&self, id: WindowId, window: &Window, walk: &Walk, page: PageNumber) -> Task {
        let scan = walk.scan();
        let purpose = Purpose::Walk { window: id, scan: scan.number };
        Task {
            address: PageAddress { region: window.region.clone(), purpose, page },
            query: PageQuery {
                region: window.region.clone(),
                filters: self.filters.clone(),
                min_create_time: Some(scan.asked_min),
                max_create_time: Some(scan.asked_max),
                order: scan.order(),
                page,
            },
            expected: Expected {
                may_begin_early: self.profile.min_stays_loose() && scan.order() == TimeOrder::OldestFirst,
                ..self.expected(&window.region, self.row_due(window, walk, page))
            },
            position: walk.position().max(window.range.start),
            window: id,
        }
    }

    /// What an answer of a region is measured by, where this row is due.
    pub(super) fn expected(&self, region: &Region, row: Option<EpochSeconds>) -> Expected {
        let is_unplaced = self.profile.unplaced.is_habit(region);
        Expected { habit: self.habit(region), row, is_unplaced, may_begin_early: false }
    }

    /// The second of a known row that stands on this page of a walk or after it. Where it did not come once, it is not expected again
    /// before that is confirmed.
    fn row_due(&self, window: &Window, walk: &Walk, page: PageNumber) -> Option<EpochSeconds> {
        let scan = walk.scan();
        if walk.is_bounded() || self.profile.order.sort_ignored {
            // Where rows come in no order, an empty page follows any row.
            return None;
        }
        let newest = self.region(&window.region)?.extent.newest.filter(|newest| *newest <= scan.asked_max)?;
        let is_doubted = matches!(
            scan.why,
            ScanReason::Doubt | ScanReason::KnownRow | ScanReason::FromEnd | ScanReason::Seam { .. }
        );
        let follows = if page == PageNumber::FIRST { newest >= scan.anchor } else { Some(newest) > walk.last_shown() };
        (follows && !is_doubted).then_some(newest)
    }

    /// A region's range as it is asked: a second wider at a bound that is not known to be inclusive.
    fn exact_range(&self, TimeRange { start, end }: TimeRange) -> (EpochSeconds, EpochSeconds) {
        let min = if self.profile.bounds.min_inclusive { start } else { start.shifted(-1) };
        (min, if self.profile.bounds.max_inclusive { end.shifted(-1) } else { end })
    }

    /// Newest first, but that what lies between the range and a known row comes after the range.
    fn probe_order(plan: &RegionPlan, purpose: Purpose) -> TimeOrder {
        let lies_after = plan.known_row().is_some_and(|known| known >= plan.range.end);
        match purpose {
            Purpose::KnownSecond if lies_after => TimeOrder::OldestFirst,
            Purpose::ConfirmOldest | Purpose::Recheck { .. } | Purpose::Place { .. } => TimeOrder::OldestFirst,
            _ => TimeOrder::NewestFirst,
        }
    }

    /// A question about the region as a whole, asked for one of its windows; none where there is nothing to ask by.
    pub(super) fn probe(&self, (window, plan): (WindowId, &RegionPlan), purpose: Purpose) -> Option<Task> {
        let TimeRange { start, end } = plan.range;
        let whole = Some((start.shifted(-1), end));
        let amid = plan.again.recheck.amid();
        let (range, number) = match purpose {
            Purpose::WithoutRange => (None, PageNumber::new(plan.next_without_range()).ok()?),
            Purpose::KnownSecond => {
                let known = plan.known_row().unwrap_or(start);
                let (first, last) = (known.min(start), known.max(end));
                (Some((first.shifted(-1), last.shifted(1))), PageNumber::new(plan.next_known_second()).ok()?)
            }
            Purpose::Bounds => {
                let (number, question) = self.profile.bound_question()?;
                (Some(question.range(plan.newest_page.last_second?)), PageNumber::new(number).ok()?)
            }
            Purpose::WithoutFilters => (whole, PageNumber::new(plan.next_without_filters()).ok()?),
            Purpose::ConfirmOldest | Purpose::ConfirmNewest => {
                let end = if purpose == Purpose::ConfirmOldest { End::Oldest } else { End::Newest };
                (Some(self.exact_range(plan.range)), PageNumber::new(plan.ends.next_question(end)).ok()?)
            }
            Purpose::Recheck { from } => {
                let (_, number) = plan.again.recheck.question()?;
                let (exact, max) = self.exact_range(TimeRange::new(from, end));
                // It has an upper bound of its own, so that no answer to another question can be taken for this one.
                let max = plan.again.recheck.max_of_its_own(max);
                (Some((amid.map_or(exact, |(min, _)| min), max)), PageNumber::new(number).ok()?)
            }
            Purpose::Place { anchor, .. } => {
                let asked = self.place_question(plan, anchor)?;
                let (min, max) = self.exact_range(TimeRange::new(anchor, end));
                (Some((min, asked.max_of_its_own(max))), PageNumber::new(asked.page).ok()?)
            }
            // It is asked of a stretch of time, not of the region as a whole.
            Purpose::Count { .. } => return None,
            Purpose::Newest | Purpose::Walk { .. } => {
                (Some(self.exact_range(plan.range)), PageNumber::new(plan.next_newest()).ok()?)
            }
        };
        let row = plan
            .extent
            .newest
            .filter(|_| matches!(purpose, Purpose::Newest | Purpose::ConfirmOldest | Purpose::ConfirmNewest));
        let may_begin_early =
            matches!(purpose, Purpose::Recheck { .. } | Purpose::Place { .. }) && self.profile.min_stays_loose();
        let keeps_filters = !matches!(purpose, Purpose::WithoutRange | Purpose::KnownSecond | Purpose::WithoutFilters);
        Some(Task {
            address: PageAddress { region: plan.region.clone(), purpose, page: number },
            query: PageQuery {
                region: plan.region.clone(),
                filters: if keeps_filters { self.filters.clone() } else { Filters::default() },
                min_create_time: range.map(|(min, _)| min),
                max_create_time: range.map(|(_, max)| max),
                order: Self::probe_order(plan, purpose),
                page: match purpose {
                    Purpose::Place { .. } => number,
                    Purpose::Recheck { .. } => amid.map_or(PageNumber::FIRST, |(_, page)| page),
                    _ => PageNumber::FIRST,
                },
            },
            expected: Expected { may_begin_early, ..self.expected(&plan.region, row) },
            position: start,
            window,
        })
    }

    /// A question about the lower bound that no answer to another can be taken for: no other has its upper bound.
    pub(super) fn minimum_task(
        &self,
        (window, plan): (WindowId, &RegionPlan),
        question: MinimumQuestion,
    ) -> Option<Task> {
        let second = question.second(plan.newest_page.last_second?);
        let page = PageNumber::new(question.number).ok()?;
        Some(Task {
            address: PageAddress { region: plan.region.clone(), purpose: Purpose::Bounds, page },
            query: PageQuery {
                region: plan.region.clone(),
                filters: self.filters.clone(),
                min_create_time: Some(second),
                max_create_time: Some(second),
                order: TimeOrder::OldestFirst,
                page: PageNumber::FIRST,
            },
            expected: Expected { may_begin_early: true, ..self.expected(&plan.region, None) },
            position: second,
            window,
        })
    }
}

impl BoundQuestion {
    /// What is asked about a row of this second.
    fn range(self, known: EpochSeconds) -> (EpochSeconds, EpochSeconds) {
        match self {
            Self::Both => (known, known),
            Self::Lower => (known, known.shifted(1)),
            Self::Upper => (known.shifted(-1), known),
        }
    }
}

#[cfg(test)]
mod tests;
