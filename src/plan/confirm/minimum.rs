//! Questions about the lower bound that are like no other, where it seems not to be kept to.

use super::Due;
use crate::plan::choose::ask;
use crate::plan::fact::{PageAddress, Purpose, WindowId};
use crate::plan::planner::{Decision, PlanContext, Planner};
use crate::plan::profile::{MOST_EARLY_PAGES, MinimumQuestion};
use crate::plan::region::RegionPlan;
use crate::plan::walk::Walk;
use crate::plan::window::Window;

impl Planner {
    /// Asks it in the course of the reading, once it is due. The first window that is not over does so: it is joined to no other while the
    /// answer is on its way.
    pub(in crate::plan) fn ask_minimum_meanwhile(
        &self,
        id: WindowId,
        plan: &RegionPlan,
        context: &PlanContext,
    ) -> Option<Decision> {
        let is_first = plan.windows.values().find(|other| !self.is_over(**other)) == Some(&id);
        match self.ask_minimum(id, plan, context).filter(|_| is_first)? {
            Due::Now(decision) => Some(decision),
            Due::Later(_) => None,
        }
    }

    /// Whether a walk that has shown nothing but rows older than what is asked comes to its own time within few pages.
    pub(in crate::plan) fn may_read_past(walk: &Walk) -> bool {
        walk.early_pages_to_go().is_some_and(|pages| pages <= MOST_EARLY_PAGES)
    }

    /// When it is asked before a region is done.
    pub(super) fn minimum_due(
        &self,
        (id, window): (WindowId, &Window),
        plan: &RegionPlan,
        context: &PlanContext,
    ) -> Option<Due> {
        // Another worker of the same window has set out for it.
        let is_on_way = window.on_way.iter().any(Self::asks_minimum);
        if is_on_way { Some(Due::Now(Decision::Idle)) } else { self.ask_minimum(id, plan, context) }
    }

    /// The next question about the lower bound, where it seems not to be kept to; one at a time.
    fn ask_minimum(&self, id: WindowId, plan: &RegionPlan, context: &PlanContext) -> Option<Due> {
        let question = self.profile.minimum_question().filter(|_| context.tuning.confirm_after > 0)?;
        let task = self.minimum_task((id, plan), question)?;
        let mut on_way = self.windows.values().flat_map(|window| &window.on_way);
        if on_way.any(Self::asks_minimum) {
            return None;
        }
        let due = question.since.map_or(context.now, |since| since.shifted(context.tuning.confirm_after));
        Some(if due <= context.now { Due::Now(ask(task)) } else { Due::Later(due) })
    }

    /// Whether it is a question about the lower bound that is like no other.
    pub(in crate::plan) fn asks_minimum(address: &PageAddress) -> bool {
        address.purpose == Purpose::Bounds && MinimumQuestion::has_number(address.page.get())
    }
}
