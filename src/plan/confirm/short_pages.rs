//! A short page that was believed, asked again before its region is done.

use super::Due;
use crate::plan::choose::doubted;
use crate::plan::event::PlanEvent;
use crate::plan::fact::{Purpose, WindowId};
use crate::plan::planner::{Decision, PlanContext, Planner};
use crate::plan::region::RegionPlan;
use crate::plan::reopen::Reopening;
use crate::plan::window::Window;

pub(super) fn believes(event: &PlanEvent) -> bool {
    matches!(event, PlanEvent::ShortPagesBelieved { .. })
}

impl Planner {
    /// A short page that was believed is asked again before its region is done.
    pub(super) fn recheck(
        &self,
        (id, window): (WindowId, &Window),
        plan: &RegionPlan,
        context: &PlanContext,
    ) -> Option<Due> {
        let recheck = &plan.again.recheck;
        let (due, (from, _)) = recheck.due(context.tuning.confirm_after).zip(recheck.question())?;
        let is_believed = !self.profile.short_pages_hide();
        is_believed.then(|| self.when_due((id, window), plan, (Purpose::Recheck { from }, due), context))
    }

    /// A short page that was believed cannot be had again.
    pub(in crate::plan) fn leave_recheck(plan: &RegionPlan) -> Vec<PlanEvent> {
        let why = "a page was short here, and could not be had again to tell whether it left rows out";
        let listed = plan.again.recheck.range().map(|range| doubted(&plan.region, range, why));
        listed.into_iter().chain([PlanEvent::ShortPagesRefuted { region: plan.region.clone() }]).collect()
    }

    /// Seconds of which a short page is not believed any more are read again once their region is done; what cannot be is listed, and so is
    /// all of a run that was closed, since that asks nothing any more.
    pub(in crate::plan) fn read_refuted_again(&self) -> Option<Decision> {
        let refuted = |plan: &&RegionPlan| plan.is_done() && !plan.again.recheck.refuted().is_empty();
        let plan = self.regions.iter().find(refuted)?;
        let reads = !plan.again.recheck.is_spent() && !self.has_left();
        let why = "pages were short here, or held rows that cannot be placed, and one of them showed other rows when it was asked again";
        let mut next = self.next_window;
        let mut events = Vec::new();
        let refuted = plan.again.recheck.refuted().iter().flat_map(|range| range.without(&plan.kept)).collect();
        for range in self.aligned(&plan.region, refuted) {
            let opened = self.reopening_from(&mut next, &plan.region, range, &Reopening::ShortPages).ok();
            events.extend(opened.filter(|_| reads).unwrap_or_else(|| vec![doubted(&plan.region, range, why)]));
        }
        events.push(PlanEvent::ShortPagesRefuted { region: plan.region.clone() });
        Some(Decision::Record(events))
    }
}
