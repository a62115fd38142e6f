//! Whether rows of one second keep their order, and what was believed because they seemed to. Pure.
//!
//! Rows that cannot be told from others are proven by their places, which takes it that rows of one second stand in the same order each
//! time. That they do not may show after a window was believed on it. Then what rests on it is listed.

use std::collections::BTreeMap;

use super::choose::lacking;
use super::event::PlanEvent;
use super::evidence::disagreement::changes_places;
use super::evidence::observation::Rules;
use super::evidence::premise::{Premise, Refutation};
use super::fact::{PageFact, Purpose, VideoKey};
use super::gate::reason::Lacks;
use super::planner::{Decision, Planner};
use super::walk::Walk;
use super::window::Window;
use crate::api::contract::TimeOrder;
use crate::units::{EpochSeconds, TimeRange};

/// Seconds of a region of which an order is kept, about 0.1 KB each; beyond that, the earliest are forgotten.
const MOST_SECONDS: usize = 10_000;
/// Rows of one second whose order is kept, the first ones: each page is compared with all of them.
const MOST_ROWS: usize = 100;
/// Orders of one second that are kept.
const MOST_ORDERS: usize = 3;

/// What a region's pages tell of the order in which rows of one second stand.
#[derive(Clone, Debug, Default)]
pub(super) struct Ties {
    /// By the direction and the second: the orders in which its rows came, the last one last. Rows of one second alone tell nothing, but
    /// where they end a page.
    orders: BTreeMap<(IsNewestFirst, EpochSeconds), Vec<Order>>,
    /// Seconds that are believed because rows of one second keep their order.
    believed: Vec<TimeRange>,
}

type IsNewestFirst = bool;

/// The rows of one second as the pages of one question showed them.
#[derive(Clone, Debug)]
struct Order {
    of: Purpose,
    page: u32,
    rows: Vec<VideoKey>,
}

impl Ties {
    /// Takes a page in; whether rows of one second stand in another order than before.
    fn take(&mut self, page: &PageFact, is_newest_first: IsNewestFirst) -> bool {
        let (of, number) = (page.address.purpose, page.address.page.get());
        let runs: Vec<_> = page.rows.chunk_by(|one, next| one.second == next.second).collect();
        let mut has_moved = false;
        for (place, run) in runs.iter().enumerate() {
            let Some(second) = run.first().map(|row| row.second) else { continue };
            let is_last = place + 1 == runs.len();
            let known = self.orders.get(&(is_newest_first, second));
            if run.len() < 2 && !is_last && known.is_none() {
                continue;
            }
            let orders = self.orders.entry((is_newest_first, second)).or_default();
            let rows = run.iter().map(|row| row.video);
            match orders.last_mut().filter(|last| last.of == of && last.page + 1 == number && place == 0) {
                Some(last) => {
                    last.rows.extend(rows.take(MOST_ROWS.saturating_sub(last.rows.len())));
                    last.page = number;
                }
                None => orders.push(Order { of, page: number, rows: rows.collect() }),
            }
            if let Some((last, others)) = orders.split_last() {
                has_moved |= others.iter().any(|other| changes_places(&other.rows, &last.rows));
            }
            if orders.len() > MOST_ORDERS {
                orders.remove(1);
            }
        }
        while self.orders.len() > MOST_SECONDS {
            self.orders.pop_first();
        }
        has_moved
    }

    /// These seconds are believed so.
    pub(super) fn believe(&mut self, ranges: &[TimeRange]) {
        self.believed.extend(ranges);
    }

    /// These seconds are listed, or what is believed of them is told anew.
    pub(super) fn believe_no_more(&mut self, range: TimeRange) {
        self.believed = self.believed.iter().flat_map(|believed| believed.without(&[range])).collect();
    }
}

impl Planner {
    /// Learns in which order rows of one second stand on a page.
    pub(super) fn learn_order(&mut self, page: &PageFact) {
        let is_newest_first = match page.address.purpose {
            Purpose::Walk { window, stretch } => {
                let walk = self.windows.get(&window).and_then(|window| window.walk());
                let Some(stretch) = walk.map(Walk::stretch).filter(|walked| walked.number == stretch) else { return };
                stretch.order() == TimeOrder::NewestFirst
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
            self.regions.iter().flat_map(|plan| plan.again.ties.believed.iter().map(|range| (&plan.region, *range)));
        let listed = believed.map(|(region, range)| lacking(region, range, Lacks::StableTies));
        Some(Decision::Record(listed.chain([PlanEvent::TiesMove]).collect()))
    }
}

#[cfg(test)]
mod tests;
