//! Whether rows of one second keep their order, and what was believed because they seemed to. Pure.
//!
//! Rows that cannot be told from others are proven by their places, which takes it that rows of one second stand in the same order each
//! time. That they do not may show after a window was believed on it. Then what rests on it is listed.

use super::event::{Lacks, PlanEvent};
use super::evidence::observation::Rules;
use super::evidence::premise::{Premise, Refutation};
use super::fact::{PageFact, Purpose};
use super::planner::{Decision, Planner};
use super::walk::Walk;
use super::window::Window;
use crate::api::contract::TimeOrder;
use crate::units::TimeRange;

impl Planner {
    /// Learns in which order rows of one second stand on a page.
    pub(super) fn learn_order(&mut self, page: &PageFact) {
        let is_newest_first = match page.address.purpose {
            Purpose::Walk { window, scan } => {
                let walk = self.windows.get(&window).and_then(|window| window.walk());
                let Some(scan) = walk.map(Walk::scan).filter(|walked| walked.number == scan) else { return };
                scan.order() == TimeOrder::NewestFirst
            }
            Purpose::Newest | Purpose::ConfirmNewest => true,
            Purpose::ConfirmOldest => false,
            _ => return,
        };
        if page.check.is_astray() || self.profile.order.ties_move {
            return;
        }
        let has_moved =
            self.region_mut(&page.address.region).is_some_and(|plan| plan.again.ties.take(page, is_newest_first));
        self.profile.order.ties_move |= has_moved;
    }

    /// Tells what of a window that is about to be over is believed because rows of one second keep their order.
    pub(super) fn believe_ties(&self, window: &Window) -> Option<PlanEvent> {
        let rules = Rules { is_habit: self.profile.short_is_habit(), ..Rules::USUAL };
        if self.profile.order.ties_move || self.profile.order.sort_ignored || !window.evidence.is_blind(rules) {
            return None;
        }
        let range = window.evidence.undecided(window.range);
        let hides = self.profile.short_pages_hide().then_some(Refutation::Premise(Premise::ShortHidesNothing));
        let refuted: Vec<Refutation> = hides.into_iter().collect();
        let and_ties: Vec<Refutation> =
            refuted.iter().cloned().chain([Refutation::Premise(Premise::StableTies)]).collect();
        let open = |refuted: &[Refutation]| -> Vec<TimeRange> {
            window.evidence.uncovered(range, rules, refuted).iter().map(|open| open.seconds).collect()
        };
        let anyhow = open(&refuted);
        let ranges: Vec<TimeRange> = open(&and_ties).into_iter().flat_map(|open| open.without(&anyhow)).collect();
        (!ranges.is_empty()).then(|| PlanEvent::TiesBelieved { region: window.region.clone(), ranges })
    }

    /// Whether it is known and not told that rows of one second do not keep their order.
    pub(super) fn is_untold_that_ties_move(&self) -> bool {
        self.profile.order.ties_move && !self.profile.order.is_told
    }

    /// Tells that they do not, and lists what was believed because they seemed to.
    pub(super) fn tell_ties_move(&self) -> Option<Decision> {
        if !self.is_untold_that_ties_move() {
            return None;
        }
        let believed =
            self.regions.iter().flat_map(|plan| plan.again.ties.believed().iter().map(|range| (&plan.region, *range)));
        let listed = believed.map(|(region, range)| PlanEvent::lacking(region, range, Lacks::StableTies));
        Some(Decision::Record(listed.chain([PlanEvent::TiesMove]).collect()))
    }
}

#[cfg(test)]
mod tests;
