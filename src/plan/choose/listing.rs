//! What later answers say of seconds that were taken for whole: it is listed before anybody asks on.

use crate::api::contract::Region;
use crate::plan::event::{Again, Lacks, PlanEvent};
use crate::plan::planner::{Decision, Planner};
use crate::units::TimeRange;

impl Planner {
    /// A row whose date lies where everything was settled may have missed its slice.
    pub(super) fn list_late(&self) -> Option<Decision> {
        let (region, second) = self.late.first()?;
        let why = "a row of this second came far out of order, after the second had been settled".to_owned();
        let range = TimeRange::new(*second, second.shifted(1));
        Some(Decision::Record(vec![unproven(region, range, &why)]))
    }

    /// Pages of another region were taken, and later ones are of the asked one.
    pub(super) fn list_mixed_regions(&self) -> Option<Decision> {
        let plan = self.regions.iter().find(|plan| plan.has_mixed_regions())?;
        let why = "it was answered with rows of another region, as later answers show";
        // They came one after the other from the region's beginning on, and what lies between and before them was asked with them.
        let last = plan.names.of_another_region.iter().map(|page| page.end).max();
        let walked = last.map(|last| TimeRange::new(plan.range.start, last));
        let ranges = walked.into_iter().chain(plan.names.probes_of_another_region.iter().copied());
        Some(Decision::Record(ranges.map(|range| doubted(&plan.region, range, why)).collect()))
    }

    /// Short pages that were believed may have hidden rows, now that one has.
    pub(super) fn list_believed(&self) -> Option<Decision> {
        // Where rows come in no order, nothing is looked at around a short page that others follow.
        let may_hide =
            self.profile.order.sort_ignored && self.profile.short.followed > 0 && !self.profile.short_is_habit();
        if self.profile.short.is_told || !(may_hide || self.profile.short_pages_hide()) {
            return None;
        }
        let listed = self.believed.iter().map(|(region, range)| unproven_short(region, *range));
        Some(Decision::Record(listed.chain([PlanEvent::ShortPagesHide]).collect()))
    }

    pub(super) fn tell_false_end(&self) -> Option<Decision> {
        let last_page = self.profile.untold_end()?;
        Some(Decision::Record(vec![PlanEvent::FalseEndSeen { last_page }]))
    }
}

/// Lists seconds, for later starts to read again or not.
pub(super) fn listing(region: &Region, range: TimeRange, (why, again): (&str, Again)) -> PlanEvent {
    PlanEvent::UnprovenListed { region: region.clone(), range, why: why.to_owned(), again, lacks: None }
}

/// The same where it is known what would prove them.
pub(super) fn lacking(region: &Region, range: TimeRange, (lacks, again): (Lacks, Again)) -> PlanEvent {
    let (region, why) = (region.clone(), lacks.why().to_owned());
    PlanEvent::UnprovenListed { region, range, why, again, lacks: Some(lacks) }
}

impl PlanEvent {
    /// Lists what its pages do not prove: the next start reads it once more.
    pub(in crate::plan) fn lacking(region: &Region, range: TimeRange, lacks: Lacks) -> Self {
        lacking(region, range, (lacks, Again::Once))
    }
}

/// Lists what the next start reads once more.
fn unproven(region: &Region, range: TimeRange, why: &str) -> PlanEvent {
    listing(region, range, (why, Again::Once))
}

/// Lists what may be the service's trouble of a while.
pub(in crate::plan) fn doubted(region: &Region, range: TimeRange, why: &str) -> PlanEvent {
    listing(region, range, (why, Again::Always))
}

/// Lists seconds in which pages were short that may have left rows out.
pub(super) fn unproven_short(region: &Region, range: TimeRange) -> PlanEvent {
    unproven(region, range, "pages were short here, and short pages of this service leave rows out")
}
