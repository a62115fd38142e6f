//! The gate: what a window's pages do not prove is read again within a budget, or listed with what is missing. Pure.
//!
//! A walk says when it has read its window; its pages are then held against the kernel of `evidence`. What no certificate covers
//! becomes a window of its own, which is the cheapest question about it: it asks from just there, and ends with the first row beyond.
//! Where that has been done often enough, the seconds are listed, and the next start of the ended run reads them again, as all that is unproven.
//! Where rows come in no order there is nothing to hold: such windows are believed as their walks say.

use super::event::{Ending, Lacks, PlanEvent};
use super::evidence::observation::{Rules, Series, Turn};
use super::evidence::premise::{Missing, Premise, Refutation};
use super::evidence::run::WindowEvidence;
use super::fact::{PageFact, Purpose, WindowId};
use super::planner::{Decision, PlanContext, Planner};
use super::walk::{Scan, Walk};
use super::window::{Rereads, Window};
use crate::api::contract::{Region, SOURCE, TimeOrder};
use crate::units::{EpochSeconds, TimeRange};

/// How often the same seconds are read again before they are listed: at once, and twice more, each time after trouble had time to pass.
const MOST_TIMES: u32 = 3;
/// Rows that a region may always read again by the gate, beside a share of what it has read.
const FEW_ROWS: u64 = 400;
/// That share: one in so many.
const SHARE: u64 = 20;

/// Seconds that a window's pages do not prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unproven {
    seconds: TimeRange,
    lacks: Lacks,
}

impl Planner {
    /// The decisions that finish a window: of what its pages do not prove, some is listed with them, and the rest read again after them.
    pub(super) fn gate(
        &self,
        (id, window): (WindowId, &Window),
        ending: Ending,
        decision: Decision,
        context: &PlanContext,
    ) -> Decision {
        let finishes = |event: &PlanEvent| matches!(event, PlanEvent::WindowFinished { window, .. } if *window == id);
        match decision {
            Decision::Record(finishing) if finishing.iter().any(finishes) => {
                let (lists, again) = self.open_at_the_end((window, ending), &finishing, context);
                let counted = window.walk().filter(|_| context.tuning.confirm_after > 0).and_then(|walk| {
                    let listed = self.uncounted_of(window, &[lists.as_slice(), &finishing].concat());
                    self.counted(window, walk, (&listed, &read_again_in(&again)))
                });
                let on_ties = self.believe_ties(window);
                Decision::Record(
                    lists.into_iter().chain(counted).chain(finishing).chain(on_ties).chain(again).collect(),
                )
            }
            other => other,
        }
    }

    /// Of what a window's pages do not prove, what is listed, and what is read again.
    fn open_at_the_end(
        &self,
        (window, ending): (&Window, Ending),
        listed: &[PlanEvent],
        context: &PlanContext,
    ) -> (Vec<PlanEvent>, Vec<PlanEvent>) {
        let (mut lists, mut again) = (Vec::new(), Vec::new());
        let mut next = self.next_window;
        let Some(plan) = self.region(&window.region) else { return (lists, again) };
        let mut budget = (FEW_ROWS + plan.finished_rows() / SHARE).saturating_sub(plan.again.rows);
        for Unproven { seconds: range, lacks } in self.unproven_of(window, window.range, ending, listed) {
            let rows = self.rows_of(window, range);
            let is_spent = window.again.times >= MOST_TIMES || rows > budget;
            if is_spent || range.start < plan.published_until {
                lists.push(PlanEvent::lacking(&window.region, range, lacks));
                continue;
            }
            budget -= rows;
            let times = window.again.times + 1;
            let not_before = (times > 1).then(|| context.now.shifted(context.tuning.confirm_after));
            let (new, rest) = (WindowId(next), WindowId(next + 1));
            next += 2;
            again.push(PlanEvent::SecondsReadAgain {
                window: new,
                rest,
                region: window.region.clone(),
                range,
                times,
                not_before,
                rows,
                lacks,
            });
            // What lies beyond may be what cannot be read.
            again.extend(window.bounded.then_some(PlanEvent::WindowBounded { window: new }));
        }
        (lists, again)
    }

    /// Up to where a walk has settled its window and its pages prove it, where that is something and not all.
    pub(super) fn proven_within<'a>(&self, window: &'a Window) -> Option<(&'a Walk, EpochSeconds)> {
        let walk = window.walk().filter(|_| !window.begins_anew())?;
        let watermark = self.proven_until(window, walk);
        (watermark > window.range.start && watermark < window.range.end).then_some((walk, watermark))
    }

    /// Up to where (exclusive) a walk has settled its window and its pages prove it.
    pub(super) fn proven_until(&self, window: &Window, walk: &Walk) -> EpochSeconds {
        let watermark = TimeRange::new(window.range.start, walk.watermark());
        let open = self.unproven_of(window, watermark, Ending::RowBeyond, &[]);
        open.first().map_or(watermark.end, |first| first.seconds.start)
    }

    /// What the pages of a window that is read do not prove, apart from what is listed; neighbours as one.
    fn unproven_of(&self, window: &Window, range: TimeRange, ending: Ending, events: &[PlanEvent]) -> Vec<Unproven> {
        let is_believed = matches!(ending, Ending::NothingThere | Ending::Listed) || self.profile.order.sort_ignored;
        if is_believed {
            return Vec::new();
        }
        let listed = self.listed_of(window, events);
        let undecided = window.evidence.undecided(range).without(&listed);
        let Some((first, last)) = undecided.first().zip(undecided.last()) else { return Vec::new() };
        let rules = Rules { is_habit: self.profile.short_is_habit(), ..Rules::USUAL };
        let ties = self.profile.order.ties_move.then_some(Refutation::Premise(Premise::StableTies));
        let hides = self.profile.short_pages_hide().then_some(Refutation::Premise(Premise::ShortHidesNothing));
        let refuted: Vec<Refutation> = ties.into_iter().chain(hides).collect();
        let uncovered = window.evidence.uncovered(TimeRange::new(first.start, last.end), rules, &refuted);
        let has_strayed = window.evidence.has_strayed(self.profile.min_stays_loose());
        let open = uncovered.iter().filter_map(|open| Some((open.seconds, lack_of(open.missing, has_strayed)?)));
        let open = open.flat_map(|(seconds, lacks)| {
            seconds.without(&listed).into_iter().map(move |seconds| Unproven { seconds, lacks })
        });
        self.joined(window, open)
    }

    /// What of a window is listed, or is about to be.
    fn listed_of(&self, window: &Window, events: &[PlanEvent]) -> Vec<TimeRange> {
        self.listed_for(window, events, |_| true)
    }

    /// The same without what shows how many rows it holds: all of a second came that does not fit one page.
    pub(super) fn uncounted_of(&self, window: &Window, events: &[PlanEvent]) -> Vec<TimeRange> {
        self.listed_for(window, events, |lacks| lacks != Some(Lacks::OnePage))
    }

    fn listed_for(
        &self,
        window: &Window,
        events: &[PlanEvent],
        counts: impl Fn(Option<Lacks>) -> bool,
    ) -> Vec<TimeRange> {
        let lists = events.iter().filter_map(|event| match event {
            PlanEvent::UnprovenListed { range, lacks, .. } => Some((*range, *lacks)),
            PlanEvent::RowGone { range, .. } => Some((*range, None)),
            _ => None,
        });
        let listed = self.gaps.iter().chain(&self.unproven).filter(|listed| listed.region == window.region);
        let listed = lists.chain(listed.map(|listed| (listed.range, listed.lacks)));
        let listed = listed.filter(|(range, lacks)| range.overlaps(window.range) && counts(*lacks));
        listed.map(|(range, _)| range).collect()
    }

    /// Stretches between which no row is likely to lie are read again as one.
    fn joined(&self, window: &Window, open: impl Iterator<Item = Unproven>) -> Vec<Unproven> {
        let mut joined: Vec<Unproven> = Vec::new();
        for next in open {
            let is_near = |last: &Unproven| {
                let between = TimeRange::new(last.seconds.end, next.seconds.start);
                between.is_empty() || self.rows_of(window, between) == u64::from(SOURCE.page_size)
            };
            match joined.last_mut().filter(|last| is_near(last)) {
                Some(last) => last.seconds.end = next.seconds.end,
                None => joined.push(next),
            }
        }
        joined
    }

    /// About how many rows it takes to read some seconds again: those that they hold, and a page of those around them.
    fn rows_of(&self, window: &Window, range: TimeRange) -> u64 {
        let Some(plan) = self.region(&window.region) else { return 0 };
        // Where the lower bound is not kept to, all that lies before is read as well.
        let start = if self.profile.bounds.min_is_loose {
            plan.extent.oldest.unwrap_or(range.start).min(range.start)
        } else {
            range.start
        };
        let early = if self.profile.bounds.min_is_loose { self.profile.early_pages_a_scan() } else { 0 };
        let pages = 1 + u64::from(early);
        (self.density(plan) * range.end.since(start) as f64).min(1e15) as u64 + pages * u64::from(SOURCE.page_size)
    }

    /// Folds in that seconds of a finished window are read again.
    pub(super) fn read_again(
        &mut self,
        (id, rest): (WindowId, WindowId),
        region: &Region,
        range: TimeRange,
        (again, rows): (Rereads, u64),
    ) {
        self.carve_out((id, rest), region, range);
        if let Some(window) = self.windows.get_mut(&id) {
            window.again = again;
            window.evidence.take_over(&self.last_evidence, range);
        }
        if let Some(plan) = self.region_mut(region) {
            plan.again.rows += rows;
        }
    }

    /// A window's evidence learns of a scan that begins.
    pub(super) fn begin_evidence(&mut self, id: WindowId, scan: Scan) {
        // That the upper bound was known to be inclusive may have been learned of pages that a later start does not read.
        let meant = self.windows.get(&id).map(|window| match window.bounded {
            true => window.range.end,
            false => self.range_of(&window.region).end,
        });
        let is_exact = scan.order() == TimeOrder::OldestFirst && meant == Some(scan.asked_max.shifted(1));
        let end = if is_exact { scan.asked_max.shifted(1) } else { self.asked_end(&scan) };
        let Some(window) = self.windows.get_mut(&id) else { return };
        let purpose = Purpose::Walk { window: id, scan: scan.number };
        let series = Series::of_scan((&window.region, purpose), &scan, end);
        window.evidence.begin(scan.number, series);
    }

    /// A window's evidence learns from a page of it.
    pub(super) fn fold_evidence(&mut self, page: &PageFact, turn: Turn) {
        let Purpose::Walk { window, .. } = page.address.purpose else { return };
        if let Some(window) = self.windows.get_mut(&window).filter(|window| !window.is_over()) {
            window.evidence.fold(page, turn);
        }
    }

    /// A window is over, and its evidence is of use for what follows at once alone.
    pub(super) fn leave_evidence(&mut self, id: WindowId) {
        if let Some(window) = self.windows.get_mut(&id) {
            let start = window.range.start;
            self.last_evidence = std::mem::replace(&mut window.evidence, WindowEvidence::new(start));
        }
    }
}

/// The seconds that these decisions read again.
fn read_again_in(events: &[PlanEvent]) -> Vec<TimeRange> {
    let ranges = events.iter().filter_map(|event| match event {
        PlanEvent::SecondsReadAgain { range, .. } => Some(*range),
        _ => None,
    });
    ranges.collect()
}

/// What a run may ask for again. What takes another look long enough after is left to the confirmation of a region's ends, and that
/// answers disagree to those who read again what is in doubt.
fn lack_of(missing: Missing, has_strayed: bool) -> Option<Lacks> {
    match missing {
        Missing::SecondReading(_) if has_strayed => Some(Lacks::SecondReading),
        Missing::Reading => Some(Lacks::Reading),
        Missing::OlderBracket => Some(Lacks::ToBefore),
        Missing::NewerBracket => Some(Lacks::ToAfter),
        Missing::FullPages(_) => Some(Lacks::FullPages),
        Missing::Ids(_) => Some(Lacks::Rows),
        Missing::Withdrawn(Premise::StableTies | Premise::MirroredTies) => Some(Lacks::StableTies),
        Missing::Withdrawn(Premise::ShortHidesNothing) => Some(Lacks::WholePages),
        Missing::SecondReading(_) | Missing::EndWitness(_) | Missing::Withdrawn(_) => None,
    }
}

#[cfg(test)]
mod tests;
