//! Giving workers something to do: the planner is asked, its decisions become durable, and the request follows.

use std::time::Duration;

use crate::api::contract::Region;
use crate::fetch::job::Asks;
use crate::fetch::retry::Patience;
use crate::journal::record::Upkeep;
use crate::plan::event::PlanEvent;
use crate::plan::fact::WindowId;
use crate::plan::planner::{Backlog, Decision, PlanContext, Planner, Task};
use crate::plan::region::RegionPlan;

use super::{Effect, Landed, Machine, Moment, Note, Probing, Publishing};
use crate::export::Ending;

/// Decisions in a row without a request, beside one for each open window, beyond which the planner is broken.
const MOST_DECISIONS: usize = 1_000;

/// What follows once a decision is durable and applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// A worker that reads this window is given its next page, after so many decisions in a row.
    GoOn(WindowId, u32),
    /// Whoever is idle is given something, after so many decisions in a row.
    Hire(u32),
    /// Nothing by itself.
    Nothing,
}

/// What came of looking for something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Work,
    /// Not yet: a decision comes first.
    Decision,
    Nothing,
}

impl Machine {
    /// Gives every worker that the rate can use something to do.
    pub(in crate::export) fn hire(&mut self, moment: &Moment) {
        let is_held = self.regions.holds();
        if !self.is_ending() && !is_held && self.recording.is_none() && self.idle_at != Some(self.staff()) {
            self.hire_on(0, moment);
            self.send(moment);
        }
    }

    fn hire_on(&mut self, decisions: u32, moment: &Moment) {
        let mut decisions = decisions;
        while !self.is_ending() && !self.regions.holds() && self.busy() < self.pool.useful_workers() {
            match self.employ(None, decisions, moment) {
                Found::Work => decisions = 0,
                Found::Decision => return,
                Found::Nothing => {
                    self.idle_at = Some(self.staff());
                    return;
                }
            }
        }
    }

    /// A worker that brought a page of a window goes on with it, unless there are more workers than the rate can use.
    pub(super) fn go_on_with(&mut self, window: WindowId, moment: &Moment) {
        let is_over_staffed = self.busy() >= self.pool.useful_workers();
        if !self.is_ending() && !is_over_staffed {
            self.employ(Some(window), 0, moment);
        }
    }

    /// Decisions are durable: they are applied, and whoever waited for them goes on.
    pub(super) fn take_recorded(&mut self, events: &[PlanEvent], moment: &Moment) {
        self.changed();
        self.is_reopening = false;
        // That a region is given up, or done, may settle what is thought of the others, and nothing else may come.
        let ends =
            |event: &PlanEvent| matches!(event, PlanEvent::WindowGivenUp { .. } | PlanEvent::WindowFinished { .. });
        self.minds |= events.iter().any(ends);
        for event in events {
            self.tell_decision(event);
            self.planner.apply_event(event);
        }
        match self.recording.take() {
            _ if self.is_ending() => {}
            Some(Then::GoOn(window, decisions)) => {
                self.employ(Some(window), decisions, moment);
            }
            // All who are idle are hired before anything else is taken in: what is left is shared evenly among them, and where each
            // came in turn, the one before would be idle again, and the shares get ever smaller.
            Some(Then::Hire(decisions)) => self.hire_on(decisions, moment),
            Some(Then::Nothing) | None => {}
        }
    }

    /// What decides how many more jobs may begin.
    fn staff(&self) -> (usize, usize) {
        (self.busy(), self.pool.useful_workers())
    }

    /// Workers that have something to do: whoever came back goes on once what he brought is taken in.
    fn busy(&self) -> usize {
        let back = self.landed.iter().filter(|landed| !matches!(landed, Landed::Published { .. })).count();
        self.pool.busy() + back
    }

    /// Finds the next job of a worker, and begins it.
    fn employ(&mut self, reads: Option<WindowId>, decisions: u32, moment: &Moment) -> Found {
        match self.next_move(reads, moment) {
            Decision::Record(_) if decisions as usize >= MOST_DECISIONS + self.open_windows() => {
                self.is_broken = true;
                self.stuck = Some(self.what_is_open());
                Found::Nothing
            }
            Decision::Record(events) => {
                let decisions = decisions + 1;
                let then = reads.map_or(Then::Hire(decisions), |window| Then::GoOn(window, decisions));
                self.record(events, then);
                Found::Decision
            }
            Decision::Ask(task) => {
                self.begin(*task, moment);
                Found::Work
            }
            Decision::Idle => {
                if reads.is_none() {
                    self.waits_no_more(moment);
                }
                Found::Nothing
            }
            Decision::Wait(until) => {
                self.waits_until = Some(until);
                self.waiting = self.planner.waiting_regions(&self.context(moment)).into_iter().collect();
                self.minds = true;
                if self.pool.is_empty() && !std::mem::replace(&mut self.told_of_wait, true) {
                    let wait = Duration::from_secs(u64::try_from(until.since(moment.wall)).unwrap_or(0));
                    self.effects.push_back(Effect::Note(Note::WaitsToConfirm { wait }));
                }
                Found::Nothing
            }
            Decision::Stop(contradiction) => {
                self.end(Ending::Contradicted(contradiction));
                Found::Nothing
            }
        }
    }

    fn next_move(&self, reads: Option<WindowId>, moment: &Moment) -> Decision {
        let context = self.context(moment);
        match self.settings.probing {
            Some(Probing { credits, seed }) => {
                self.planner.next_probe(credits.saturating_sub(self.asked), seed, &context)
            }
            None => self.planner.next(reads, &context),
        }
    }

    /// Where commits are slow, all of them may have ended when a decision is due.
    fn open_windows(&self) -> usize {
        self.planner.regions().iter().map(|plan| plan.windows.len()).sum()
    }

    fn begin(&mut self, task: Task, moment: &Moment) {
        let asks = self.attribution.asks(&task.address);
        self.begin_again(task, asks, moment);
    }

    pub(super) fn begin_again(&mut self, task: Task, asks: Asks, moment: &Moment) {
        self.planner.set_out(&task);
        self.asked = self.asked.saturating_add(1);
        let is_parked = self.planner.is_parked(task.window);
        let patience = if is_parked { Patience::Short } else { self.attribution.patience_with(&task.address) };
        self.pool.begin(task, (asks, patience), moment.now);
    }

    /// Sends decisions to the journal; until they are durable, nothing else is decided.
    pub(super) fn record(&mut self, events: Vec<PlanEvent>, then: Then) {
        if self.is_broken {
            return;
        }
        let upkeep = upkeep(&self.planner, &events);
        self.recording = Some(then);
        self.is_reopening = events.iter().any(|event| matches!(event, PlanEvent::RangeReopened { .. }));
        self.effects.push_back(Effect::Record(events, upkeep));
    }

    pub(super) fn context(&self, moment: &Moment) -> PlanContext {
        let tuning = self.settings.tuning;
        let room = u64::from(tuning.window_pages) * self.settings.max_in_flight as u64;
        PlanContext {
            now: moment.wall,
            idle_workers: self.pool.useful_workers().saturating_sub(self.busy()).max(1),
            tuning,
            backlog: if moment.held_pages > room { Backlog::Large } else { Backlog::Small },
            is_publishing: self.publishing == Publishing::Busy,
        }
    }
}

/// What decisions do to stored pages, before they are applied to the plan. What is read again in place of rows that were taken although
/// they name another region is not to stand beside them.
pub(in crate::export) fn upkeep(planner: &Planner, events: &[PlanEvent]) -> Upkeep {
    let reopened = events.iter().filter_map(|event| match event {
        PlanEvent::RangeReopened { region, range, .. } => Some((region.clone(), *range)),
        _ => None,
    });
    let is_mixed = |region: &Region| planner.region(region).is_some_and(RegionPlan::has_shown_its_own_and_another);
    let not_its_own = reopened.filter(|(region, _)| is_mixed(region)).collect();
    Upkeep { closed: events.iter().filter_map(closes).collect(), not_its_own }
}

/// The window that a decision is the last of.
fn closes(event: &PlanEvent) -> Option<WindowId> {
    match event {
        PlanEvent::WindowFinished { window, .. }
        | PlanEvent::GapListed { window, .. }
        | PlanEvent::WindowGivenUp { window, .. }
        | PlanEvent::WindowLeft { window } => Some(*window),
        _ => None,
    }
}
