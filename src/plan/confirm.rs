//! Before a region's last window is finished, both of its ends are confirmed by answers apart in time. Pure.

use super::choose::{ask, doubted};
use super::ends::{Confirmation, End};
use super::event::{Ending, PlanEvent, ScanReason};
use super::fact::{Purpose, RowKey, WindowId};
use super::planner::{Decision, PlanContext, Planner};
use super::region::RegionPlan;
use super::reopen::Reopening;
use super::walk::Walk;
use super::window::Window;
use crate::api::contract::Region;
use crate::units::{EpochSeconds, TimeRange};

mod minimum;
mod order;
mod places;
mod short_pages;

use short_pages::believes;

/// How often a region's seconds that were taken for the end, though rows are known beyond them, are read again before they are listed.
const MOST_REFUTATIONS: u32 = 12;

impl Planner {
    /// Finishes a window by these decisions; where it is its region's last, not before both ends are confirmed.
    pub(super) fn confirm(
        &self,
        (id, window): (WindowId, &Window),
        walk: &Walk,
        finishing: Vec<PlanEvent>,
        context: &PlanContext,
    ) -> Decision {
        let Some(plan) = self.region(&window.region) else { return Decision::Idle };
        if context.tuning.confirm_after <= 0 {
            return Decision::Record(finishing);
        }
        let holds_nothing =
            |event: &PlanEvent| matches!(event, PlanEvent::WindowFinished { ending: Ending::NothingThere, .. });
        // Whatever order rows come in, one row shows that a region is not empty.
        let has_own_end = !finishing.iter().any(holds_nothing);
        if let Some(asks) = self.confirm_bounded((id, window), walk, &finishing, context).filter(|_| has_own_end) {
            return asks;
        }
        if (self.profile.order.sort_ignored && has_own_end) || !is_last(plan, self, id, &finishing) {
            return Decision::Record(finishing);
        }
        // What is believed is known before it is asked for again.
        let believed: Vec<PlanEvent> = finishing.iter().filter(|event| believes(event)).cloned().collect();
        if !believed.is_empty() {
            return Decision::Record(believed);
        }
        let mut waits: Option<EpochSeconds> = None;
        let meets = self.meets_its_neighbour(plan, &finishing);
        for (end, purpose) in [(End::Newest, Purpose::ConfirmNewest), (End::Oldest, Purpose::ConfirmOldest)] {
            match self.confirmation(plan, end, context.tuning.confirm_after) {
                Confirmation::Done => {}
                _ if meets && end == End::Newest => {}
                // The region's oldest page would be that of all time.
                _ if end == End::Oldest && self.profile.bounds.min_is_loose => {}
                Confirmation::Ask(due) => {
                    let may_be_told = end == End::Oldest && due <= context.now && waits.is_none() && !meets;
                    let told = may_be_told.then(|| self.begins_whole((id, window), (plan, walk), &finishing, context));
                    match told.unwrap_or(Ok(false)) {
                        Err(decision) => return decision,
                        Ok(true) => continue,
                        Ok(false) => {}
                    }
                    match self.when_due((id, window), plan, (purpose, due), context) {
                        Due::Now(decision) => return decision,
                        Due::Later(due) => waits = Some(waits.map_or(due, |first| first.min(due))),
                    }
                }
                Confirmation::Unseen(unseen)
                    if unseen.start >= walk.watermark() && window.range.contains(unseen.start) =>
                {
                    // What the window was about to list is read once more instead, now that trouble had time to pass.
                    let lists = finishing.iter().any(|event| matches!(event, PlanEvent::UnprovenListed { .. }));
                    let at = if lists { walk.watermark().max(window.range.start) } else { unseen.start };
                    return Decision::Record(vec![self.scan((id, window), at, ScanReason::Confirm, context)]);
                }
                // What is done already is opened again once the rest is done.
                Confirmation::Unseen(_) => return Decision::Record(finishing),
                Confirmation::Doubtful(_) => return Decision::Record(self.leave_in_doubt(plan, end)),
            }
        }
        // How the page that is asked again is to be read may hang on it.
        match self.minimum_due((id, window), plan, context).or_else(|| self.recheck((id, window), plan, context)) {
            None => {}
            Some(Due::Now(decision)) => return decision,
            Some(Due::Later(due)) => waits = Some(waits.map_or(due, |first| first.min(due))),
        }
        if let Some(until) = waits {
            return Decision::Wait(until);
        }
        // How many rows came is known before it is held against their places.
        if let Some(counted) = self.counted(window, walk, (&self.uncounted_of(window, &finishing), &[])) {
            return Decision::Record(vec![counted]);
        }
        match self.ask_place((id, window), plan, context) {
            None => Decision::Record(finishing),
            Some(Due::Now(decision)) => decision,
            Some(Due::Later(due)) => Decision::Wait(due),
        }
    }

    /// A question that confirms something is asked once it is due, by one worker of the window.
    fn when_due(
        &self,
        (id, window): (WindowId, &Window),
        plan: &RegionPlan,
        (purpose, due): (Purpose, EpochSeconds),
        context: &PlanContext,
    ) -> Due {
        // Another worker of the same window has set out for it.
        if window.on_way.iter().any(|address| address.purpose == purpose) {
            return Due::Now(Decision::Idle);
        }
        if due <= context.now || due > context.now.shifted(context.tuning.confirm_after) {
            return Due::Now(self.probe((id, plan), purpose).map_or(Decision::Idle, ask));
        }
        Due::Later(due)
    }

    /// No row beyond a window ends a reading within its own bounds, and all its pages may have met one trouble. So its last page is asked
    /// once more, long enough after, or the empty one behind it where that is full: always where rows come in no order, else where no page
    /// with free places came before the empty one.
    fn confirm_bounded(
        &self,
        (id, window): (WindowId, &Window),
        walk: &Walk,
        finishing: &[PlanEvent],
        context: &PlanContext,
    ) -> Option<Decision> {
        let lists =
            |event: &PlanEvent| matches!(event, PlanEvent::UnprovenListed { range, .. } if range.covers(window.range));
        let is_open = !finishing.iter().any(lists) && (self.profile.order.sort_ignored || walk.ends_in_silence());
        let ended_at = walk.unconfirmed_end().filter(|_| is_open)?;
        let due = ended_at.shifted(context.tuning.confirm_after);
        if due > context.now && ended_at <= context.now {
            return Some(Decision::Wait(due));
        }
        let scan = self.scan((id, window), window.range.start, ScanReason::ConfirmEnd, context);
        Some(Decision::Record(vec![scan]))
    }

    /// What is listed of an end that cannot be confirmed.
    pub(super) fn leave_in_doubt(&self, plan: &RegionPlan, end: End) -> Vec<PlanEvent> {
        let why = "its end could not be confirmed: what was asked of it again, long enough after, did not show the rows that were read";
        let why = if end == End::Oldest { why.replace("its end", "its beginning") } else { why.to_owned() };
        let range = match self.confirmation(plan, end, 0) {
            Confirmation::Doubtful(range) | Confirmation::Unseen(range) => range,
            _ => plan.ends.doubtful(end, plan.range),
        };
        let read = range.without(&plan.kept).into_iter();
        let settled = PlanEvent::EndSettled { region: plan.region.clone(), end };
        read.map(|range| doubted(&plan.region, range, &why)).chain([settled]).collect()
    }

    /// Time that is done and is read again: rows of it came late, or were skipped.
    pub(super) fn read_again_whole(&self) -> Option<Decision> {
        self.reopen_unseen()
            .or_else(|| self.read_refuted_again())
            .or_else(|| self.read_missed_again())
            .or_else(|| self.read_leaps_again())
            .or_else(|| self.read_unordered_again())
    }

    /// Time that is done, and holds rows that no walk has seen, is opened again.
    pub(super) fn reopen_unseen(&self) -> Option<Decision> {
        let (plan, (end, unseen)) = self.regions.iter().find_map(|plan| Some((plan, self.unseen(plan)?)))?;
        // What is kept of former runs is not read. Of what lies around it, the outermost is opened again, and the rest is in doubt.
        let mut read = unseen.without(&plan.kept);
        let is_in_vain = plan.ends.refutations >= MOST_REFUTATIONS;
        let outermost = match end {
            _ if is_in_vain => None,
            End::Newest => read.pop(),
            End::Oldest => (!read.is_empty()).then(|| read.remove(0)),
        };
        let events = outermost.and_then(|range| self.reopening(&plan.region, range, &Reopening::Unseen).ok());
        let why = "rows came beyond it that no page of it had shown";
        let doubts = read.into_iter().map(|range| doubted(&plan.region, range, why));
        // What cannot be opened again is listed.
        let events = events.unwrap_or_else(|| self.leave_in_doubt(plan, end));
        Some(Decision::Record(doubts.chain(events).collect()))
    }

    /// Seconds of a region that is done which hold rows that no walk has seen.
    pub(super) fn unseen(&self, plan: &RegionPlan) -> Option<(End, TimeRange)> {
        let refuted = || plan.ends.refuted(plan.extent.newest).map(|range| (End::Newest, range));
        let any = || refuted().or_else(|| self.unseen_at_the_ends(plan).next());
        // A run that was closed asks nothing any more.
        (plan.is_done() && !self.has_left()).then(any).flatten()
    }

    /// What holds rows of a region that no walk has seen, and is opened again once the rest of it is done.
    pub(super) fn unseen_at_the_ends(&self, plan: &RegionPlan) -> impl Iterator<Item = (End, TimeRange)> {
        [End::Newest, End::Oldest].into_iter().filter_map(|end| match self.confirmation(plan, end, 0) {
            Confirmation::Unseen(range) => Some((end, range)),
            _ => None,
        })
    }

    /// Regions of which nothing is left but to wait until their ends may be confirmed.
    pub fn waiting_regions(&self, context: &PlanContext) -> Vec<Region> {
        let open = |plan: &&RegionPlan| !plan.is_done();
        let waits = |id: &WindowId| {
            let window = self.windows.get(id).filter(|window| !window.is_over());
            window.is_none_or(|window| matches!(self.next_of(*id, window, context), Decision::Wait(_)))
        };
        let waiting = self.regions.iter().filter(open).filter(|plan| plan.windows.values().all(waits));
        waiting.map(|plan| plan.region.clone()).collect()
    }

    pub(super) fn read_ends_again(&mut self, id: WindowId) {
        let Some(region) = self.window_region(id).cloned() else { return };
        if let Some(plan) = self.region_mut(&region) {
            plan.ends.read_again();
        }
    }

    /// A window's rows among the outermost that are known of its region.
    pub(super) fn edges(&self, id: WindowId) -> Vec<RowKey> {
        let Some(window) = self.windows.get(&id) else { return Vec::new() };
        self.region(&window.region).map_or_else(Vec::new, |plan| plan.ends.edges(window.range))
    }

    /// What a window that is over showed of its region's ends, where its pages are not there any more to learn from.
    pub(super) fn learn_edges(&mut self, id: WindowId, rows: u64, edges: &[RowKey]) {
        let is_forgotten = |window: &&Window| window.walk().is_none_or(|walk| walk.total_slots() != rows);
        let Some(window) = self.windows.get(&id).filter(is_forgotten) else { return };
        let (region, range) = (window.region.clone(), window.range);
        if let Some(plan) = self.region_mut(&region) {
            plan.ends.learn_edges(range, rows, edges);
        }
    }

    /// Whether the last window before a neighbour's time ends, or has ended, with a row of that time, or is read within its own bounds:
    /// then what is read has no end of its own.
    fn meets_its_neighbour(&self, plan: &RegionPlan, finishing: &[PlanEvent]) -> bool {
        let is_last =
            |id: &WindowId| self.windows.get(id).is_some_and(|window| Some(window.range.end) == plan.neighbour());
        let meets = |event: &PlanEvent| match event {
            PlanEvent::WindowFinished { window, ending: Ending::RowBeyond, .. } => is_last(window),
            _ => false,
        };
        let is_bounded = |id: &WindowId| self.windows.get(id).is_some_and(|window| window.bounded);
        let ends = plan.windows.values().any(|id| is_last(id) && is_bounded(id));
        plan.neighbour().is_some() && (plan.neighbours.seen_beyond.is_some() || ends || finishing.iter().any(meets))
    }

    fn confirmation(&self, plan: &RegionPlan, end: End, confirm_after: i64) -> Confirmation {
        let is_a_seam = match end {
            End::Oldest => plan.neighbours.beside.before,
            End::Newest => plan.neighbours.seen_beyond.is_some(),
        };
        if is_a_seam {
            return Confirmation::Done;
        }
        plan.ends.confirmation(end, confirm_after, plan.range, plan.newest_page.rows.first().copied())
    }
}

/// When a question that confirms something is asked.
enum Due {
    Now(Decision),
    Later(EpochSeconds),
}

/// Whether nothing of a region is left once these decisions are made.
fn is_last(plan: &RegionPlan, planner: &Planner, id: WindowId, finishing: &[PlanEvent]) -> bool {
    let finishes = |other: WindowId| {
        finishing.iter().any(|event| matches!(event, PlanEvent::WindowFinished { window, .. } if *window == other))
    };
    let mut others = plan.windows.values().filter(|other| **other != id);
    others.all(|other| finishes(*other) || planner.is_over(*other))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::contract::Filters;
    use crate::plan::reads::{Beside, Reads};
    use crate::plan::testing::{range, served, us};

    fn fold(plan: &mut Planner, events: &[PlanEvent]) {
        events.iter().for_each(|event| plan.apply_event(event));
    }

    /// A shard of [0, 200) that reads [100, 150) between two others.
    fn between_two() -> Planner {
        let beside = Beside { before: true, after: Some(EpochSeconds::new(200)) };
        let reads = Reads { region: us(), ranges: vec![range(100, 150)], beside };
        let mut plan = Planner::reading(&[reads], Filters::default(), range(0, 200));
        let opening = plan.opening();
        fold(&mut plan, &opening);
        plan
    }

    /// Rows every four seconds until `newest`, which is told anew for each question; gives the purposes that were asked.
    fn read_all(plan: &mut Planner, newest: impl Fn(&[Purpose]) -> i64) -> Vec<Purpose> {
        let (mut asked, mut now) = (Vec::new(), EpochSeconds::new(1_000));
        for _ in 0..200 {
            let context = PlanContext { now, idle_workers: 1, ..PlanContext::usual().confirming(20) };
            match plan.next(None, &context) {
                Decision::Record(events) => fold(plan, &events),
                Decision::Wait(until) => now = until,
                Decision::Ask(task) => {
                    plan.set_out(&task);
                    plan.came_back(&task);
                    plan.apply_page(&served(&task, newest(&asked), now, |_| true));
                    asked.push(task.address.purpose);
                }
                _ => break,
            }
        }
        asked
    }

    fn seen_beyond(plan: &Planner) -> Option<Vec<i64>> {
        let seen = plan.regions()[0].neighbours.seen_beyond.as_ref()?;
        Some(seen.iter().map(|row| row.second.get()).collect())
    }

    #[test]
    fn what_ends_at_a_neighbour_is_proven_by_a_row_of_the_neighbours_and_by_nothing_else() {
        let mut plan = between_two();
        let asked = read_all(&mut plan, |_| 190);
        assert!(plan.is_done() && plan.unproven().is_empty());
        assert!(asked.iter().all(|purpose| matches!(purpose, Purpose::Walk { .. })), "{asked:?}");
        assert_eq!(asked.len(), 2, "13 rows, and those beyond on the same page: {asked:?}");
        assert_eq!(seen_beyond(&plan).unwrap()[..2], [152, 156]);
    }

    #[test]
    fn where_rows_end_before_the_neighbour_that_end_is_confirmed_and_the_beginning_is_not() {
        let mut plan = between_two();
        let asked = read_all(&mut plan, |_| 120);
        assert!(plan.is_done() && plan.unproven().is_empty());
        let count = |wanted| asked.iter().filter(|purpose| **purpose == wanted).count();
        let counted = [Purpose::Newest, Purpose::ConfirmNewest, Purpose::ConfirmOldest].map(count);
        assert_eq!((counted, seen_beyond(&plan)), ([1, 1, 0], None), "{asked:?}");
    }

    /// Rows were silent for a while, from the walk's second page to the newest page; once the end is confirmed they are there.
    #[test]
    fn a_row_of_the_neighbours_that_comes_late_makes_the_end_be_read_again() {
        let mut plan = between_two();
        let newest = |asked: &[Purpose]| if asked.contains(&Purpose::Newest) { 190 } else { 120 };
        let asked = read_all(&mut plan, |asked| if asked.len() < 2 { 120 } else { newest(asked) });
        assert!(plan.is_done() && plan.unproven().is_empty(), "{asked:?}");
        assert_eq!(seen_beyond(&plan).map(|seen| seen.contains(&152)), Some(true), "{asked:?}");
    }

    /// A run of [0, 200) whose first window is read within its own bounds, up to `end`; until `well_at` no page of that from `lost` on has
    /// a row. Gives the rows that came, and how often an end was asked again.
    fn read_bounded(end: i64, lost: u32, well_at: i64) -> (Planner, BTreeSet<i64>, usize) {
        let mut plan = Planner::new(&[us()], Filters::default(), range(0, 200));
        let mut events = plan.opening();
        events.push(PlanEvent::WindowSplit { window: WindowId(0), at: EpochSeconds::new(end), new: WindowId(1) });
        events.push(PlanEvent::WindowBounded { window: WindowId(0) });
        fold(&mut plan, &events);
        let (mut rows, mut again, mut now) = (BTreeSet::new(), 0, EpochSeconds::new(1_000));
        let confirms = |event: &&PlanEvent| matches!(event, PlanEvent::ScanStarted { why: ScanReason::ConfirmEnd, .. });
        for _ in 0..200 {
            let context = PlanContext { now, idle_workers: 1, ..PlanContext::usual().confirming(20) };
            match plan.next(None, &context) {
                Decision::Record(events) => {
                    again += events.iter().filter(confirms).count();
                    fold(&mut plan, &events);
                }
                Decision::Wait(until) => now = until,
                Decision::Ask(task) => {
                    let is_lost = task.window == WindowId(0) && task.address.page.get() >= lost && now.get() < well_at;
                    let page = served(&task, 196, now, |_| !is_lost);
                    rows.extend(page.rows.iter().map(|row| row.second.get()));
                    plan.set_out(&task);
                    plan.came_back(&task);
                    plan.apply_page(&page);
                }
                _ => break,
            }
        }
        (plan, rows, again)
    }

    /// Two full pages and two empty ones in one moment of trouble were taken for all that such a window holds, and so was nothing at all.
    #[test]
    fn a_window_within_its_own_bounds_ends_with_an_empty_page_that_comes_again_later() {
        for (end, lost, is_asked_again) in [(77, 9, true), (77, 3, true), (77, 2, true), (77, 1, true), (97, 9, false)]
        {
            let (plan, rows, again) = read_bounded(end, lost, 1_010);
            assert!(plan.is_done() && plan.unproven().is_empty(), "{end} {lost}: {:?}", plan.unproven());
            assert_eq!(rows.len(), 50, "{end} {lost}: {rows:?}");
            assert_eq!(again > 0, is_asked_again, "{end} {lost}");
        }
    }
}
