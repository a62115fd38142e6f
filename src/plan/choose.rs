//! Deciding what a worker does next. Pure: reads the plan, changes nothing.

use super::ends::End;
use super::event::{Again, Contradiction, Ending, PlanEvent, ScanReason};
use super::fact::{PageAddress, Purpose, WindowId};
use super::page::Finding;
use super::planner::{Backlog, Decision, NoPage, PlanContext, Planner, Task};
use super::region::{Emptiness, RegionPlan};
use super::walk::step::Unproven;
use super::walk::{Walk, WalkStep};
use super::window::Window;
use crate::units::PageNumber;

mod context;
mod cutting;
mod finishing;
mod listing;

pub(super) use listing::doubted;
use listing::{lacking, listing};

/// Pages of one second after which a cap of the service is not asked for again by a later start.
const PAGES_OF_A_CAP: u32 = 30;

impl Planner {
    /// The next move of a worker: of the window that it reads, or of any if it has none or its window is over.
    pub fn next(&self, reads: Option<WindowId>, context: &PlanContext) -> Decision {
        if let Some(late) = self
            .leave_unplaced()
            .or_else(|| self.list_late())
            .or_else(|| self.list_mixed_regions())
            .or_else(|| self.list_believed())
            .or_else(|| self.tell_ties_move())
            .or_else(|| self.tell_false_end())
            .or_else(|| self.read_again_whole().filter(|_| !context.is_publishing))
            .or_else(|| self.list_mixed_answers(context.tuning.confirm_after).filter(|_| !context.is_publishing))
        {
            return late;
        }
        let window = reads.and_then(|id| Some((id, self.windows.get(&id).filter(|window| !window.is_over())?)));
        match window {
            Some((id, window)) => self.next_of(id, window, context),
            None => self.next_free(context),
        }
    }

    /// The next move where a page beyond the first of a window does not come; none where that is no doubt that the walk can settle.
    pub fn without_page(
        &self,
        (address, why): (&PageAddress, NoPage),
        id: WindowId,
        context: &PlanContext,
    ) -> Option<Decision> {
        let Purpose::Walk { scan, .. } = address.purpose else { return None };
        let mut window = self.windows.get(&id)?.clone();
        let refused = (why == NoPage::BeyondTheEnd).then(|| {
            window.evidence.refused((scan, address.page.get()), context.now);
            PlanEvent::EndRefused { window: id, scan, page: address.page, at: context.now }
        });
        let walk = window.walk()?;
        let plan = self.region(&window.region)?;
        let step = walk.refused_step(&self.walk_context(plan, context))?;
        let decided = match self.act((id, &window), walk, step, context) {
            Decision::Record(events) => events,
            // Nothing is to be decided yet, so that it did not come is kept.
            _ => vec![PlanEvent::PageRefused { window: id }],
        };
        Some(Decision::Record(refused.into_iter().chain(decided).collect()))
    }

    /// What follows where a page could not be had: its window is tried again later; an end's page is not, since nothing hangs on it
    /// but whether the end is believed.
    pub fn park(&self, address: &PageAddress, id: WindowId) -> Vec<PlanEvent> {
        let end = match address.purpose {
            Purpose::ConfirmOldest => Some(End::Oldest),
            Purpose::ConfirmNewest => Some(End::Newest),
            _ => None,
        };
        if let Some((end, plan)) = end.zip(self.region(&address.region)) {
            return self.leave_in_doubt(plan, end);
        }
        if let (Purpose::Recheck { .. }, Some(plan)) = (address.purpose, self.region(&address.region)) {
            return Self::leave_recheck(plan);
        }
        if let Purpose::Place { .. } = address.purpose {
            return vec![PlanEvent::PlaceUntold { region: address.region.clone(), page: Some(address.page) }];
        }
        if Self::asks_minimum(address) {
            return vec![PlanEvent::MinimumUntold];
        }
        let times = self.windows.get(&id).map(|window| window.parked + 1);
        times.map(|times| PlanEvent::WindowParked { window: id, times }).into_iter().collect()
    }

    pub(super) fn next_of(&self, id: WindowId, window: &Window, context: &PlanContext) -> Decision {
        if self.is_left_alone(&window.region) {
            return Decision::Idle;
        }
        let Some(walk) = window.walk() else { return self.begin(id, window, context) };
        let Some(plan) = self.region(&window.region) else { return Decision::Idle };
        let is_leftmost = plan.windows.values().next() == Some(&id);
        if let Some(contradiction) = self.contradiction(plan) {
            return Decision::Stop(contradiction);
        }
        if plan.looks_empty() {
            // One window asks the region's questions; the others wait for the answers.
            return if is_leftmost { self.next_of_empty((id, window), plan, walk, context) } else { Decision::Idle };
        }
        if walk.misses_a_known_row(plan.extent.newest) && self.is_another_at_it(id, plan) {
            return Decision::Idle;
        }
        if self.wants_newest(plan, walk) && (is_leftmost || plan.neighbour().is_some()) {
            // Where a neighbour reads the end, any walk may be the first to need it.
            let is_asked = self.is_newest_asked(plan);
            return self.probe((id, plan), Purpose::Newest).filter(|_| !is_asked).map_or(Decision::Idle, ask);
        }
        if window.begins_anew() {
            return self.start_again(id, window, context);
        }
        let mut walk_context = self.walk_context(plan, context);
        walk_context.bounds.proves_anchor &= self.in_order().next().is_some_and(|(first, _)| first == id);
        if let Some(decision) = self.ask_minimum_meanwhile(id, plan, context) {
            return decision;
        }
        let step = self.at_seams(window, walk, walk.step(&walk_context));
        if matches!(step, WalkStep::Ask(_))
            && let Some(joined) = self.join_idle(id, window, plan)
        {
            return Decision::Record(vec![joined]);
        }
        self.act((id, window), walk, step, context)
    }

    /// Whether an earlier window of the region finds out whether a known row is gone: what it finds is so for the others too.
    fn is_another_at_it(&self, id: WindowId, plan: &RegionPlan) -> bool {
        let windows =
            plan.windows.values().take_while(|other| **other != id).filter_map(|other| self.windows.get(other));
        let mut walking = windows.filter(|window| window.parked == 0 && !window.is_over());
        walking.any(|window| window.walk().is_some_and(|walk| walk.misses_a_known_row(plan.extent.newest)))
    }

    fn start_again(&self, id: WindowId, window: &Window, context: &PlanContext) -> Decision {
        Decision::Record(vec![self.scan((id, window), window.range.start, ScanReason::Restart, context)])
    }

    pub(super) fn act(
        &self,
        (id, window): (WindowId, &Window),
        walk: &Walk,
        step: WalkStep,
        context: &PlanContext,
    ) -> Decision {
        let region = || window.region.clone();
        let is_astray = matches!(step, WalkStep::Finish { ending: Ending::Listed, .. });
        let brought_nothing = walk.frontier().is_none() || walk.has_brought_nothing_known();
        let may_pass = is_astray || walk.scan().why == ScanReason::KnownRow || brought_nothing;
        let is_at_the_cap = walk.scan_pages() >= self.profile.last_page().max(PAGES_OF_A_CAP);
        let again = match (may_pass, is_at_the_cap) {
            (true, _) => Again::Always,
            (false, true) => Again::Never,
            (false, false) => Again::Once,
        };
        let listed = |unproven: Unproven| {
            unproven.iter().map(|(range, why)| listing(&window.region, *range, (why, again))).collect::<Vec<_>>()
        };
        match step {
            WalkStep::Ask(page) => self.in_turn(id, window, walk, page),
            // What has been asked before its turn is read first: it is paid for.
            WalkStep::Anchor { why: ScanReason::Scheduled, .. } if self.is_ahead(window, walk) => {
                walk.next_page().map_or(Decision::Idle, |page| self.in_turn(id, window, walk, page))
            }
            WalkStep::List(unproven) => Decision::Record(listed(unproven)),
            WalkStep::ListLacking(range, lacks) => {
                Decision::Record(vec![lacking(&window.region, range, (lacks, again))])
            }
            WalkStep::Anchor { at, why, unproven } => {
                let mut events = listed(unproven);
                events.push(self.scan((id, window), at, why, context));
                Decision::Record(events)
            }
            WalkStep::Finish { ending, unproven } => {
                let mut events = listed(unproven);
                events.extend(self.gone(window, walk, ending));
                events.extend(self.settle_believed(window, walk));
                events.extend(self.nothing_follows(window, walk, ending));
                events.push(self.finished_at_seams(id, window, walk, ending));
                if ending == Ending::EmptyPage && !walk.is_bounded() {
                    events.extend(self.nothing_beyond(window, walk));
                }
                let finishing = self.confirm((id, window), walk, events, context);
                self.gate((id, window), ending, finishing, context)
            }
            WalkStep::Bisect(at) => Decision::Record(vec![
                PlanEvent::WindowSplit { window: id, at, new: WindowId(self.next_window) },
                PlanEvent::WindowBounded { window: id },
            ]),
            WalkStep::ReadAgain => self.start_again(id, window, context),
            WalkStep::ReadBounded => Decision::Record(self.bound_near((id, window), walk)),
            WalkStep::SortIgnored => Decision::Record(self.ignore_sort()),
            WalkStep::PageNumberCountsRows => Decision::Stop(Contradiction::PageNumberCountsRows { region: region() }),
            WalkStep::MinIsLoose => Decision::Record(self.stop_cutting()),
            WalkStep::Wait(until) => Decision::Wait(until),
            WalkStep::RangeNotHonoured(seen) => Decision::Stop(Contradiction::RangeNotHonoured {
                region: region(),
                range: self.range_of(&window.region),
                seen,
            }),
        }
    }

    /// What all answers together say against the contract.
    fn contradiction(&self, plan: &RegionPlan) -> Option<Contradiction> {
        let region = plan.region.clone();
        if self.profile.answers_are_the_same() {
            return Some(Contradiction::SameAnswer { region });
        }
        let newest = plan.extent.newest.filter(|_| plan.newest_is_second());
        let is_missing =
            plan.opens_after_the_newest() || plan.newest_stays_second() || self.profile.first_pages_are_missing(newest);
        is_missing.then_some(Contradiction::PagesCountedFromZero { region })
    }

    /// The window to begin anew where a former process ended at a contradiction: what its pages show may be mended by now.
    pub fn contradicted(&self, context: &PlanContext) -> Option<PlanEvent> {
        let mut windows = self.in_order();
        let (window, _) =
            windows.find(|(id, window)| matches!(self.next_of(*id, window, context), Decision::Stop(_)))?;
        Some(PlanEvent::AskedAnew { window })
    }

    /// What is settled stays so; the rest is read within bounds.
    fn ignore_sort(&self) -> Vec<PlanEvent> {
        let mut events = Vec::new();
        let mut new = self.next_window;
        for (id, window) in &self.windows {
            if let Some((walk, watermark)) = self.proven_within(window) {
                events.push(PlanEvent::WindowSplit { window: *id, at: watermark, new: WindowId(new) });
                events.extend(self.settle_believed(window, walk));
                events.push(self.finished(*id, Ending::RowBeyond, walk));
                new += 1;
            }
        }
        events.push(PlanEvent::SortIgnored);
        events
    }

    fn next_of_empty(
        &self,
        (id, window): (WindowId, &Window),
        plan: &RegionPlan,
        walk: &Walk,
        context: &PlanContext,
    ) -> Decision {
        let emptiness = plan.emptiness(!self.filters.is_empty());
        // An answer that contradicts another, or that no other confirms, is asked once more.
        // A page without filters says nothing of one with them, so that one is asked a third time.
        let needed = if self.filters.is_empty() { 1 } else { 2 };
        let was_read_again = walk.scan().number >= needed && walk.scan_pages() > 0;
        let is_sure = plan.times_empty() > needed || plan.is_empty_without_filters() || was_read_again;
        let is_asked_again = emptiness == Ok(Emptiness::AskAgain);
        let asks_again = is_asked_again || (emptiness == Ok(Emptiness::Believed) && !is_sure);
        let finish = |events| self.confirm((id, window), walk, events, context);
        let nothing_there = || self.finished(id, Ending::NothingThere, walk);
        let doubt = |why| finish(vec![doubted(&plan.region, plan.range, why), nothing_there()]);
        match emptiness {
            _ if asks_again && walk.scan_pages() == 0 => ask_first(self, id, window, walk),
            _ if asks_again => {
                Decision::Record(vec![self.scan((id, window), window.range.start, ScanReason::Doubt, context)])
            }
            // Where another region has shown rows of the asked time, seconds are understood, and one row here shows a wrong one. Where
            // one row is all that there is, nobody can tell.
            Err(Contradiction::SecondsNotUnderstood { .. })
                if plan.shows_one_row_alone() || self.regions.iter().any(RegionPlan::has_shown_rows) =>
            {
                let why = "it answers no row, and the row that it shows without a range is not found by its second";
                doubt(why)
            }
            // What ends the run must not come of one trouble, in which all pages come empty.
            Err(Contradiction::RangeHidesRows { .. })
                if let Some(apart) =
                    plan.ends.apart_from(context.tuning.confirm_after).filter(|at| walk.last_page_at() < *at) =>
            {
                match walk.scan_pages() {
                    0 => ask_first(self, id, window, walk),
                    _ if context.now < apart => Decision::Wait(apart),
                    _ => {
                        let again = self.scan((id, window), window.range.start, ScanReason::Doubt, context);
                        Decision::Record(vec![again])
                    }
                }
            }
            // Where another region shows rows of the asked time, the range is kept to, and only this region is in doubt.
            Err(Contradiction::RangeHidesRows { .. }) if self.regions.iter().any(RegionPlan::has_shown_rows) => {
                let why = "it answers no row, yet a row of it is there when no range is asked";
                doubt(why)
            }
            Err(contradiction) => Decision::Stop(contradiction),
            Ok(Emptiness::Believed | Emptiness::AskAgain) => finish(vec![nothing_there()]),
            Ok(emptiness @ (Emptiness::Unproven | Emptiness::OneRow)) => {
                let why = match (emptiness, plan.answers.failed) {
                    (Emptiness::OneRow, _) => "it answers no row, yet a row that shows a time within it is there",
                    (_, true) => "it answers no row, and what would confirm that it is empty could not be had",
                    _ => "the region answers no row at all, not even without a range, so its code may be wrong",
                };
                doubt(why)
            }
            Ok(Emptiness::Ask(purpose)) => self.probe((id, plan), purpose).map_or(Decision::Idle, ask),
        }
    }

    fn next_free(&self, context: &PlanContext) -> Decision {
        let help: fn(&Self, &PlanContext) -> Option<Decision> = |planner, _| planner.help();
        let choices = [Self::resume, Self::open_next, Self::share, help, Self::open_any, Self::retry_parked];
        let found = choices.iter().find_map(|choice| choice(self, context));
        found.or_else(|| self.first_wait(context)).unwrap_or(Decision::Idle)
    }

    /// The second until which the first of those waits that nobody reads.
    fn first_wait(&self, context: &PlanContext) -> Option<Decision> {
        let free = self.in_order().filter(|(_, window)| is_free(window) || !window.is_due(context.now));
        let moves = free.map(|(id, window)| self.next_of(id, window, context));
        let moves = moves.chain(self.parked().map(|parked| self.retry(parked, context)));
        let waits = moves.filter_map(|next| match next {
            Decision::Wait(until) => Some(until),
            _ => None,
        });
        waits.min().map(Decision::Wait)
    }

    /// Whether the region's newest page is still to be asked. No walk may end before it has come; where a neighbour reads the region's
    /// end, a walk ends with a row of the neighbour's time, and only an empty page makes it worth a request.
    fn wants_newest(&self, plan: &RegionPlan, walk: &Walk) -> bool {
        let is_needed = plan.neighbour().is_none() || walk.last_finding() == Finding::Empty;
        // Where nothing but older rows has come, it tells whether the range holds any.
        let may_have_rows = plan.has_rows() || Self::may_read_past(walk);
        may_have_rows && !plan.newest_page.is_read && !self.profile.order.sort_ignored && is_needed
    }

    fn is_newest_asked(&self, plan: &RegionPlan) -> bool {
        let mut windows = plan.windows.values().filter_map(|id| self.windows.get(id));
        windows.any(|window| window.on_way.iter().any(|address| address.purpose == Purpose::Newest))
    }

    /// A window that was begun and that nobody reads, the earliest first.
    fn resume(&self, context: &PlanContext) -> Option<Decision> {
        let mut moves = self.in_order().filter(|(_, window)| is_free(window));
        moves.find_map(|(id, window)| self.next_of(id, window, context).unless_idle())
    }

    /// The next part of a region that nobody has begun, unless too much is unpublished already.
    fn open_next(&self, context: &PlanContext) -> Option<Decision> {
        (context.backlog == Backlog::Small).then(|| self.open_any(context)).flatten()
    }

    fn open_any(&self, context: &PlanContext) -> Option<Decision> {
        self.first_cut(context).or_else(|| {
            let (id, window) = self.in_order().find(|(_, window)| window.is_waiting() && window.is_due(context.now))?;
            Some(self.begin(id, window, context))
        })
    }

    /// The windows of all regions of which something is asked, in the order of time.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (WindowId, &Window)> {
        let ids = self.asked_regions().flat_map(|plan| plan.windows.values());
        ids.filter_map(|id| Some((*id, self.windows.get(id)?)))
    }
}

impl Decision {
    pub(super) fn unless_idle(self) -> Option<Self> {
        (!matches!(self, Self::Idle | Self::Wait(_))).then_some(self)
    }
}

/// Whether it was begun and nobody reads it.
fn is_free(window: &Window) -> bool {
    !window.is_assigned() && window.parked == 0 && window.walk().is_some()
}

pub(super) fn ask(task: Task) -> Decision {
    Decision::Ask(Box::new(task))
}

fn ask_first(planner: &Planner, id: WindowId, window: &Window, walk: &Walk) -> Decision {
    ask(planner.walk_task(id, window, walk, PageNumber::FIRST))
}

#[cfg(test)]
mod tests;
