//! What was done by the order of rows is read again where they turn out to come in none.

use crate::plan::event::{Ending, PlanEvent};
use crate::plan::fact::WindowId;
use crate::plan::planner::{Decision, Planner};
use crate::plan::region::RegionPlan;
use crate::plan::reopen::Reopening;
use crate::units::TimeRange;

/// Windows of a region that are remembered so: few pages show an order beyond question, from which on none is put in doubt.
const MOST_BY_ORDER: usize = 64;

impl Planner {
    /// A window was ended by a row beyond it, which is evidence in an order alone.
    pub(in crate::plan) fn remember_by_order(&mut self, id: WindowId, ending: Ending) {
        if ending != Ending::RowBeyond || self.profile.order.sort_ignored || self.profile.order_is_beyond_question() {
            return;
        }
        let Some(window) = self.windows.get(&id) else { return };
        let (region, range, bounded) = (window.region.clone(), window.range, window.bounded);
        if let Some(plan) =
            self.region_mut(&region).filter(|plan| !bounded && plan.again.by_order.len() < MOST_BY_ORDER)
        {
            plan.again.by_order.push(range);
        }
    }

    /// Where rows come in no order, or seemed to while trouble lasted, windows that were done by it are read again, within their bounds.
    pub(in crate::plan) fn read_unordered_again(&self) -> Option<Decision> {
        if !self.profile.order.sort_ignored || self.has_left() {
            return None;
        }
        self.read_done_again(&Reopening::Order, |plan| TimeRange::merged(&plan.again.by_order))
    }

    /// Reads seconds of the first region that is done and has such again.
    pub(in crate::plan) fn read_done_again(
        &self,
        why: &Reopening,
        ranges_of: impl Fn(&RegionPlan) -> Vec<TimeRange>,
    ) -> Option<Decision> {
        let ranges = |plan| Some((plan, ranges_of(plan))).filter(|(_, ranges)| !ranges.is_empty());
        let (plan, ranges) = self.regions.iter().filter(|plan| plan.is_done()).find_map(ranges)?;
        let mut next = self.next_window;
        let open = |range| self.reopening_from(&mut next, &plan.region, range, why).ok();
        let events: Vec<PlanEvent> = ranges.into_iter().filter_map(open).flatten().collect();
        (!events.is_empty()).then_some(Decision::Record(events))
    }
}
