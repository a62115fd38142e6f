//! Folding journalled decisions into the plan. Pure.

use super::{Listed, Planner};
use crate::api::contract::Region;
use crate::plan::event::{Again, Ending, Lacks, PlanEvent, ScanReason};
use crate::plan::fact::WindowId;
use crate::plan::places::Places;
use crate::plan::walk::{Scan, Walk};
use crate::plan::window::{Rereads, Window, WindowState};
use crate::units::{EpochSeconds, PageNumber, TimeRange};

/// How often the newest page, or what would confirm an empty answer, may fail before the run goes on without it.
const NEWEST_FAILURES: u32 = 2;

impl Planner {
    /// Folds one journalled decision in.
    pub fn apply_event(&mut self, event: &PlanEvent) {
        self.region_given_up(event);
        match event {
            PlanEvent::WindowOpened { window, region, range } => self.open(*window, region, *range),
            PlanEvent::WindowSplit { window, at, new } => self.split(*window, *at, *new),
            PlanEvent::ScanStarted { window, scan, anchor, asked_min, asked_max, at, why } => {
                let (number, anchor, started_at, why) = (*scan, *anchor, *at, *why);
                let (asked_min, asked_max) = (*asked_min, *asked_max);
                let scan = Scan { number, anchor, asked_min, asked_max, started_at, why };
                self.count_seam(*window, why);
                if why == ScanReason::Confirm {
                    self.read_ends_again(*window);
                }
                self.with_window(*window, |window| window.begin(scan));
                self.begin_evidence(*window, scan);
            }
            PlanEvent::WindowFinished { window, rows, excess, ending, beyond, opening, edges, .. } => {
                self.profile.take_ending(*ending);
                self.remember_by_order(*window, *ending);
                self.learn_edges(*window, *rows, edges);
                self.remember_empty(*window, *ending);
                self.keep_seams((*window, *ending), beyond, opening);
                self.finish(*window, rows.saturating_sub(*excess));
            }
            PlanEvent::GapListed { window, why } => self.list_gap(*window, why),
            PlanEvent::WindowGivenUp { window, fault } => self.give_window_up(*window, fault),
            PlanEvent::RegionKnown { region } => {
                if let Some(plan) = self.region_mut(region) {
                    plan.answers.is_known = true;
                }
            }
            PlanEvent::UnprovenListed { region, range, why, again, lacks } => {
                self.list_unproven(region, *range, (why, *again, *lacks));
            }
            PlanEvent::SecondsReadAgain { window, rest, region, range, times, not_before, rows, .. } => {
                let again = Rereads { times: *times, not_before: *not_before };
                self.read_again((*window, *rest), region, *range, (again, *rows));
            }
            PlanEvent::SlicePublished { region, until } => {
                if let Some(plan) = self.region_mut(region) {
                    plan.published_until = plan.published_until.max(*until);
                }
            }
            PlanEvent::SortIgnored => {
                self.profile.order.sort_ignored = true;
                self.windows.values_mut().filter(|window| !window.is_over()).for_each(|window| window.bounded = true);
            }
            PlanEvent::WindowBounded { window } => {
                self.profile.unplaced.is_read_anew(*window);
                self.with_window(*window, Window::bound);
            }
            PlanEvent::RangeReopened { window, rest, region, range, why, was_unproven } => {
                if *was_unproven {
                    self.read_twice.push((region.clone(), *range));
                    self.profile.doubt_last_page();
                }
                self.reopen((*window, *rest), region, *range, why);
            }
            PlanEvent::RangeExtended { window, region, range } => self.extend(*window, region, *range),
            PlanEvent::WindowLeft { window } => self.leave(*window),
            PlanEvent::RangeFilled { region, range } => {
                self.reopened.retain(|open| open.region != *region || !range.covers(open.range));
            }
            PlanEvent::MinIsLoose => self.profile.bounds.min_is_loose = true,
            PlanEvent::MinimumUntold => self.profile.minimum_is_untold(),
            PlanEvent::WindowsJoined { window, until } => self.join(*window, *until),
            PlanEvent::AskedAnew { window } => self.ask_anew(*window),
            PlanEvent::FalseEndSeen { last_page } => self.profile.take_end(*last_page),
            PlanEvent::EndSettled { region, end } => {
                if let Some(plan) = self.region_mut(region) {
                    plan.ends.settle(*end);
                }
            }
            PlanEvent::NothingFollows { region, range } => {
                if let Some(plan) = self.region_mut(region) {
                    plan.ends.nothing_follows(*range);
                }
            }
            PlanEvent::RowGone { region, range } => {
                if let Some(plan) = self.region_mut(region) {
                    plan.row_gone(*range);
                }
            }
            PlanEvent::EndRefused { window, scan, page, at } => {
                self.with_window(*window, |window| window.evidence.refused((*scan, page.get()), *at));
            }
            PlanEvent::PageRefused { window } => self.with_window(*window, Window::refused),
            PlanEvent::WindowParked { window, times } => self.park_window(*window, *times),
            PlanEvent::PageTaken { window, scan, page, has_more } => {
                self.take_waiting(*window, *scan, page.get(), *has_more);
            }
            PlanEvent::CountTaken { window, scan, page } => self.take_counted(*window, *scan, *page),
            PlanEvent::ShortPagesBelieved { region, range, least, others } => {
                self.believed.push((region.clone(), *range));
                if let Some(plan) = self.region_mut(region) {
                    let newest = plan.extent.newest;
                    let pages = least.iter().chain(others).filter(|page| !page.may_be_the_last(newest));
                    pages.for_each(|page| plan.again.recheck.believe(page));
                }
            }
            PlanEvent::TiesBelieved { region, ranges } => {
                if let Some(plan) = self.region_mut(region) {
                    plan.again.ties.believe(ranges);
                }
            }
            PlanEvent::TiesMove => {
                self.profile.order.ties_move = true;
                self.profile.order.is_told = true;
            }
            PlanEvent::RowsCounted { region, range, counted } => {
                self.with_places(region, |places| places.count(*range, counted));
            }
            PlanEvent::RowsMissed { region } => self.with_places(region, Places::is_missed),
            PlanEvent::PlaceUntold { region, page } => {
                self.with_places(region, |places| places.not_served(page.map_or(0, PageNumber::get)));
            }
            PlanEvent::ShortPagesRefuted { region } => {
                if let Some(plan) = self.region_mut(region) {
                    plan.again.recheck.is_settled();
                }
            }
            PlanEvent::ShortPagesHide => {
                self.profile.short.is_told = true;
                self.believed.clear();
            }
        }
    }

    pub(super) fn with_window(&mut self, id: WindowId, change: impl FnOnce(&mut Window)) {
        if let Some(window) = self.windows.get_mut(&id) {
            change(window);
        }
    }

    fn with_places(&mut self, region: &Region, change: impl FnOnce(&mut Places)) {
        if let Some(plan) = self.region_mut(region) {
            change(&mut plan.again.places);
        }
    }

    fn open(&mut self, id: WindowId, region: &Region, range: TimeRange) {
        self.next_window = self.next_window.max(id.0 + 1);
        self.windows.insert(id, Window::new(region.clone(), range));
        if let Some(plan) = self.region_mut(region) {
            plan.windows.insert(range.start, id);
        }
    }

    fn split(&mut self, id: WindowId, at: EpochSeconds, new: WindowId) {
        self.next_window = self.next_window.max(new.0 + 1);
        let Some(window) = self.windows.get_mut(&id) else { return };
        let part = window.split_off(at);
        let (region, start) = (part.region.clone(), part.range.start);
        self.windows.insert(new, part);
        if let Some(plan) = self.region_mut(&region) {
            plan.sizing.is_cut = true;
            plan.windows.insert(start, new);
        }
    }

    fn join(&mut self, id: WindowId, until: EpochSeconds) {
        let Some(window) = self.windows.get_mut(&id) else { return };
        let (region, end) = (window.region.clone(), window.range.end);
        window.extend(until);
        let Some(plan) = self.regions.iter_mut().find(|plan| plan.region == region) else { return };
        let joined: Vec<EpochSeconds> = plan.windows.range(end..until).map(|(start, _)| *start).collect();
        for start in joined {
            let joined = plan.windows.remove(&start);
            joined.and_then(|id| self.windows.remove(&id));
        }
    }

    fn ask_anew(&mut self, id: WindowId) {
        self.profile.ask_anew();
        let Some(window) = self.windows.get_mut(&id) else { return };
        window.ask_anew();
        let region = window.region.clone();
        if let Some(plan) = self.region_mut(&region) {
            plan.ask_anew();
        }
    }

    /// A walk that ends at a row far beyond its window has shown that nothing lies between.
    fn remember_empty(&mut self, id: WindowId, ending: Ending) {
        let Some(window) = self.windows.get(&id).filter(|_| ending == Ending::RowBeyond) else { return };
        let (region, empty) = (window.region.clone(), window.walk().and_then(Walk::empty_beyond));
        if let (Some(plan), Some(empty)) = (self.region_mut(&region), empty) {
            plan.extent.empty = empty;
        }
    }

    fn finish(&mut self, id: WindowId, rows: u64) {
        self.leave_evidence(id);
        let Some(window) = self.windows.get_mut(&id) else { return };
        window.state = WindowState::Over;
        let (region, range, is_again) = (window.region.clone(), window.range, window.is_read_again());
        if let Some(plan) = self.region_mut(&region) {
            plan.again.ties.believe_no_more(range);
            if is_again { plan.finished_again(rows) } else { plan.count_finished(range, rows) }
        }
        self.merge_done(&region);
    }

    fn list_gap(&mut self, id: WindowId, why: &str) {
        let Some(window) = self.windows.get_mut(&id) else { return };
        window.state = WindowState::Over;
        let (region, range) = (window.region.clone(), window.range);
        self.gaps.push(Listed {
            region: region.clone(),
            range,
            why: why.to_owned(),
            fault: None,
            may_pass: false,
            lacks: None,
        });
        self.merge_done(&region);
    }

    fn list_unproven(&mut self, region: &Region, range: TimeRange, (why, again, lacks): (&str, Again, Option<Lacks>)) {
        let may_pass = match again {
            Again::Never => false,
            Again::Once => !self.read_twice.iter().any(|(of, twice)| of == region && twice.overlaps(range)),
            Again::Always => true,
        };
        self.unproven.push(Listed { region: region.clone(), range, why: why.to_owned(), fault: None, may_pass, lacks });
        self.late.retain(|(of, second)| of != region || !range.contains(*second));
        if let Some(plan) = self.region_mut(region) {
            plan.again.places.forget_but(range, |beside| plan.ends.rows_of(beside));
            plan.again.ties.believe_no_more(range);
            plan.names.of_another_region.retain(|page| !range.covers(*page));
            plan.names.probes_of_another_region.retain(|page| !range.covers(*page));
        }
        for window in self.windows.values_mut().filter(|window| window.region == *region) {
            if let WindowState::Walking(walk) = &mut window.state {
                walk.is_listed(range);
            }
        }
    }

    /// Where the newest page itself cannot be had, the run goes on without it.
    fn park_window(&mut self, id: WindowId, times: u32) {
        let Some(window) = self.windows.get_mut(&id) else { return };
        window.parked = times;
        let region = window.region.clone();
        if let Some(plan) = self.region_mut(&region).filter(|plan| plan.has_rows() && !plan.newest_page.is_read)
            && times >= NEWEST_FAILURES
        {
            plan.newest_page.is_read = true;
            plan.newest_page.is_unknown = true;
        }
        if let Some(plan) = self.region_mut(&region).filter(|plan| plan.looks_empty()) {
            plan.answers.failed |= times >= NEWEST_FAILURES;
        }
    }

    /// Windows that are over and touch what is done become part of it and are forgotten.
    pub(in crate::plan) fn merge_done(&mut self, region: &Region) {
        let Some(plan) = self.regions.iter_mut().find(|plan| plan.region == *region) else { return };
        loop {
            plan.done_until = plan.past_kept(plan.done_until);
            let Some(id) = plan.windows.get(&plan.done_until).copied() else { return };
            let Some(window) = self.windows.get(&id).filter(|window| window.is_over()) else { return };
            plan.windows.remove(&window.range.start);
            plan.done_until = window.range.end;
            self.windows.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests;
