//! Before a region is done, one page tells by its number whether as many rows came as lie before it.

use super::Due;
use crate::plan::choose::doubted;
use crate::plan::event::PlanEvent;
use crate::plan::fact::{Purpose, WindowId};
use crate::plan::learned::Learned;
use crate::plan::places::Stands;
use crate::plan::planner::{Decision, PlanContext, Planner};
use crate::plan::region::RegionPlan;
use crate::plan::reopen::Reopening;
use crate::plan::walk::Walk;
use crate::plan::window::Window;
use crate::units::{EpochSeconds, TimeRange};

impl Planner {
    /// A page that tells how many rows lie before it is asked for before its region is done.
    pub(super) fn ask_place(
        &self,
        (id, window): (WindowId, &Window),
        plan: &RegionPlan,
        context: &PlanContext,
    ) -> Option<Due> {
        let Stands::Ask(question) = self.stands(plan, context.tuning.confirm_after) else { return None };
        let purpose = Purpose::Place { anchor: question.anchor, question: question.number };
        let due = question.due.unwrap_or(context.now);
        Some(self.when_due((id, window), plan, (purpose, due), context))
    }

    /// How a region's rows stand to their places, where those tell.
    pub(in crate::plan) fn stands(&self, plan: &RegionPlan, confirm_after: i64) -> Stands {
        let Learned { bounds, order, .. } = &self.learned;
        // Where rows come while the run reads, more of them lie there than came, and that is how it is.
        let is_untold =
            order.sort_ignored || order.repeats > 0 || bounds.min_is_loose || self.learned.min_seems_loose();
        if is_untold { Stands::Whole } else { plan.again.places.stands(self.learned.last_page(), confirm_after) }
    }

    /// How many rows a window has shown, without what is listed of it; none where that is known.
    pub(in crate::plan) fn counted(
        &self,
        window: &Window,
        walk: &Walk,
        (listed, again): (&[TimeRange], &[TimeRange]),
    ) -> Option<PlanEvent> {
        let (region, range) = (window.region.clone(), window.range);
        let cuts: Vec<EpochSeconds> = listed.iter().chain(again).flat_map(|cut| [cut.start, cut.end]).collect();
        let mut counted = walk.counted(&cuts);
        counted.retain(|one| !listed.iter().any(|listed| listed.overlaps(one.range)));
        let is_known = self.region(&region)?.again.places.holds(range, &counted);
        (!is_known).then_some(PlanEvent::RowsCounted { region, range, counted })
    }

    /// Seconds of which rows were skipped are read again once their region is done; what has been read again often enough is listed, and so
    /// is all of a run that was closed.
    pub(in crate::plan) fn read_missed_again(&self) -> Option<Decision> {
        let missed = |plan: &RegionPlan| Some(self.missed(plan)).filter(|missed| !missed.is_empty());
        let (plan, missed) = self.regions.iter().find_map(|plan| Some((plan, missed(plan)?)))?;
        let reads = !plan.again.places.is_spent() && !self.has_left();
        let why = "by the numbers of its pages it holds more rows than came";
        let mut next = self.next_window;
        let mut events = Vec::new();
        for range in missed {
            let opened = self.reopening_from(&mut next, &plan.region, range, &Reopening::Places).ok();
            events.extend(opened.filter(|_| reads).unwrap_or_else(|| vec![doubted(&plan.region, range, why)]));
        }
        events.push(PlanEvent::RowsMissed { region: plan.region.clone() });
        Some(Decision::Record(events))
    }

    /// Seconds of a region that is done of which rows were skipped.
    pub(in crate::plan) fn missed(&self, plan: &RegionPlan) -> Vec<TimeRange> {
        match plan.is_done().then(|| self.stands(plan, 0)) {
            Some(Stands::Missed(missed)) => missed,
            _ => Vec::new(),
        }
    }
}
