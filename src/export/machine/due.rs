//! What may be published next: slices from the left of each region, or a range that was read again.

use super::ending::DRAIN;
use super::vocabulary::Urgency;
use super::{Due, Effect, Machine, Moment, Publishing};
use crate::export::Ending;
use crate::plan::region::RegionPlan;
use crate::sink::union::Naming;
use crate::units::{EpochSeconds, TimeRange};

/// How often a full part is looked for while pages come, in pages.
const LOOK_EVERY_PAGES: u64 = 512;

impl Machine {
    /// Offers what may be published, where nothing is being published.
    pub(in crate::export) fn offer(&mut self, moment: &Moment) {
        if self.publishing != Publishing::Idle || self.is_reopening || self.is_broken {
            return;
        }
        let due = self.due(moment);
        if due.is_empty() {
            self.publishing = Publishing::NothingDue;
            return;
        }
        self.publishing = Publishing::Busy;
        self.effects.push_back(Effect::Publish(due));
    }

    fn due(&self, moment: &Moment) -> Vec<Due> {
        if self.settings.probing.is_some() {
            return Vec::new();
        }
        let Some(urgency) = self.urgency(moment) else { return Vec::new() };
        let regions = self.planner.regions().iter();
        regions
            .filter_map(|plan| if self.is_reopened(plan) { self.due_fill(plan) } else { self.due_slice(plan, urgency) })
            .collect()
    }

    /// Where something is read again slices wait: they would release pages that a reopened range still needs.
    fn is_reopened(&self, plan: &RegionPlan) -> bool {
        self.planner.reopened().iter().any(|open| open.region == plan.region)
    }

    fn due_slice(&self, plan: &RegionPlan, urgency: Urgency) -> Option<Due> {
        let from = plan.past_kept(plan.published_until);
        let watermark = if plan.is_done() { plan.range.end } else { self.planner.watermark(&plan.region) };
        if watermark <= from {
            return None;
        }
        // A part holds a gap whole or not at all, so that its range says nothing that is not so; what is kept it does not hold.
        let not_read = self.planner.not_read(&plan.region);
        let edge = next_edge(&not_read.all, from, watermark);
        let is_flushed = plan.is_done() || edge.is_some();
        let urgency = if is_flushed { Urgency::Flush } else { urgency };
        let range = TimeRange::new(from, edge.unwrap_or(watermark));
        Some(Due::Slice { region: plan.region.clone(), range, not_read, urgency })
    }

    /// The first reopened range of a region, once it is read.
    fn due_fill(&self, plan: &RegionPlan) -> Option<Due> {
        let range = self.planner.next_fill(&plan.region)?;
        let mut not_read = self.planner.not_read(&plan.region);
        not_read.all.retain(|gap| gap.overlaps(range));
        let listed = self.planner.unproven().iter().filter(|listed| listed.region == plan.region);
        let within = listed.map(|listed| listed.range.intersection(range));
        let unproven: Vec<TimeRange> = within.flat_map(|range| range.without(&not_read.all)).collect();
        let unproven = TimeRange::merged(&unproven);
        // Rows that were taken although they name another region are given up for what is read in their place.
        let rows_before = if plan.has_shown_its_own_and_another() { Naming::NoOther } else { Naming::Any };
        Some(Due::Fill { region: plan.region.clone(), range, not_read, unproven, rows_before })
    }

    /// Whether the time budget is over by more than what a stop may take: what is settled then waits for the next start.
    fn is_overdue(&self, moment: &Moment) -> bool {
        self.settings.time.is_some_and(|time| moment.now > time.saturating_add(DRAIN))
    }

    /// How urgent publishing is; none where the run must end soon and everything is safe in the journal.
    fn urgency(&self, moment: &Moment) -> Option<Urgency> {
        match &self.ending {
            _ if self.hurried => None,
            None if self.pages.is_multiple_of(LOOK_EVERY_PAGES) => Some(Urgency::Look),
            None => Some(Urgency::Calm),
            Some(Ending::Contradicted(_)) => None,
            Some(Ending::TimeSpent) if self.is_overdue(moment) => None,
            Some(_) => Some(Urgency::Flush),
        }
    }
}

/// The first beginning or end of a gap after `from`, up to and with `until`.
pub(in crate::export) fn next_edge(
    gaps: &[TimeRange],
    from: EpochSeconds,
    until: EpochSeconds,
) -> Option<EpochSeconds> {
    let edges = gaps.iter().flat_map(|gap| [gap.start, gap.end]);
    edges.filter(|edge| *edge > from && *edge <= until).min()
}
