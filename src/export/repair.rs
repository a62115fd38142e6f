//! What a start finds missing of its own run: parts that are not what they should be, and the gaps of a run that had ended.
//!
//! Deciding is apart from doing: [`ranges_to_open`] says what is read again, the session does it. The order is the promise:
//! `_SUCCESS` goes first, a damaged file is moved aside, and one transaction gives the lost parts up and opens their time
//! again. Before it nothing has changed, after it the run is an unfinished one.

use crate::api::contract::Region;
use crate::journal::Journal;
use crate::journal::record::{Change, PartRecord, PartState};
use crate::plan::planner::Planner;
use crate::plan::reopen::Reopening;
use crate::sink::publish::{Output, Standing};
use crate::units::{Credits, RowCount, TimeRange};

use super::ExportError;
use super::machine::upkeep;

/// Rows that a credit buys at most.
const PAGE_ROWS: u64 = crate::api::contract::SOURCE.page_size as u64;

/// Whether a run had ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HadEnded {
    /// It had, so what it could not read may be tried again.
    Yes,
    /// It goes on anyway.
    No,
}

/// A part that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LostPart {
    pub(super) part: PartRecord,
    pub(super) standing: Standing,
}

/// What is found missing.
#[derive(Debug, Default)]
pub(super) struct Repair {
    /// Parts that the run has read.
    pub(super) lost: Vec<LostPart>,
    /// Parts that hold rows of earlier runs, carried over: no walk of this run can read them again.
    pub(super) beyond: Vec<PartRecord>,
    /// What is read again.
    pub(super) ranges: Vec<(Region, TimeRange, Reopening)>,
}

impl LostPart {
    fn text(&self) -> String {
        match self.standing {
            Standing::Damaged { found } => format!(
                "part {} is damaged (it has {found}, and {} were recorded), so its time is read again",
                self.part.path, self.part.bytes
            ),
            Standing::Missing | Standing::Whole => {
                format!("part {} is missing, so its time is read again", self.part.path)
            }
        }
    }
}

impl Repair {
    /// Looks at every part that a run has published, and at its gaps if it has ended.
    ///
    /// # Errors
    /// Where the disk fails.
    pub(super) async fn find(
        output: &Output,
        planner: &Planner,
        own: &[PartRecord],
        ended: HadEnded,
    ) -> Result<Self, ExportError> {
        let mut repair = Self::default();
        for part in own {
            match output.standing_of_held(part).await? {
                Standing::Whole => {}
                _ if part.carried => repair.beyond.push(part.clone()),
                standing => repair.lost.push(LostPart { part: part.clone(), standing }),
            }
        }
        for plan in planner.regions() {
            let of_region = |part: &&PartRecord| part.region == plan.region && !part.carried;
            let live: Vec<TimeRange> = own.iter().filter(of_region).map(|part| part.range).collect();
            let lost = repair.lost.iter().filter(|lost| of_region(&&lost.part));
            let open = planner.reopened().iter().filter(|open| open.region == plan.region);
            let open: Vec<TimeRange> = open.map(|open| open.range).collect();
            // What is being read again already needs no second opening.
            let lost = lost.filter(|lost| !open.iter().any(|open| open.covers(lost.part.range)));
            let lost: Vec<(TimeRange, String)> = lost.map(|lost| (lost.part.range, lost.text())).collect();
            let doubts = planner.unproven().iter().filter(|doubt| doubt.may_pass && doubt.region == plan.region);
            let doubts = planner.aligned(&plan.region, doubts.map(|doubt| doubt.range).collect());
            let ranges = ranges_to_open((&planner.gaps_of(&plan.region), &doubts), &lost, &live, ended);
            repair.ranges.extend(ranges.into_iter().map(|(range, why)| (plan.region.clone(), range, why)));
        }
        Ok(repair)
    }

    /// Whether there is nothing to repair.
    pub(super) fn is_empty(&self) -> bool {
        self.lost.is_empty() && self.ranges.is_empty()
    }

    /// Tells a person what is read again, and about what it costs.
    pub(super) fn tell(&self, run: &str) {
        let rows: u64 = self.lost.iter().map(|lost| lost.part.rows.get()).sum();
        for lost in &self.lost {
            tracing::warn!(part.path = lost.part.path, part.rows = lost.part.rows.get(), "{}", lost.text());
        }
        if !self.lost.is_empty() {
            let (rows, credits) = (RowCount::new(rows), Credits::new(rows.div_ceil(PAGE_ROWS)));
            let parts = self.lost.len();
            tracing::warn!(run, parts, "what the lost parts held is bought again: {rows}, for about {credits}");
        }
        let gaps = self.ranges.iter().filter(|(_, _, why)| *why == Reopening::Gap).count();
        if gaps > 0 {
            tracing::info!(run, gaps, "the gaps of the run are read again, and nothing else of it");
        }
        let doubts = self.ranges.iter().filter(|(_, _, why)| *why == Reopening::Doubt).count();
        if doubts > 0 {
            tracing::info!(run, doubts, "what was in doubt when the run ended is read again");
        }
    }

    /// Opens the ranges in the plan; what is to become durable for that is in the change.
    ///
    /// # Errors
    /// Where a range is not done, which no part of it can have been published.
    pub(super) fn open(&self, planner: &mut Planner) -> Result<Change, ExportError> {
        let mut change =
            Change { superseded: self.lost.iter().map(|lost| lost.part.path.clone()).collect(), ..Change::default() };
        for (region, range, why) in &self.ranges {
            for event in planner.reopening(region, *range, why)? {
                change.events.push(super::event_json(&event)?);
                change.upkeep.extend(upkeep(planner, std::slice::from_ref(&event)));
                planner.apply_event(&event);
            }
        }
        Ok(change)
    }
}

/// How many parts the state knows, where not one of them is in the output; none where one is, or there are none to look for.
///
/// # Errors
/// Where the disk fails.
pub(super) async fn lost_altogether(journal: &Journal, output: &Output) -> Result<Option<usize>, ExportError> {
    let mut missing = 0;
    for (part, state) in journal.parts()? {
        if state == PartState::Superseded {
            continue;
        }
        if output.standing_of_held(&part).await? != Standing::Missing {
            return Ok(None);
        }
        missing += 1;
    }
    Ok(Some(missing).filter(|missing| *missing > 0))
}

/// What is opened of one region: the lost ranges, and of a run that has ended the gaps and what is in doubt for a while. Lost ranges
/// and gaps grow until they hold every gap and every live part that they touch whole; what is in doubt holds every gap, and the rows
/// beside it in its part are carried over, so that nothing else is bought again.
fn ranges_to_open(
    (gaps, doubts): (&[TimeRange], &[TimeRange]),
    lost: &[(TimeRange, String)],
    live: &[TimeRange],
    ended: HadEnded,
) -> Vec<(TimeRange, Reopening)> {
    let of_gaps = gaps.iter().filter(|_| ended == HadEnded::Yes).map(|gap| (*gap, Reopening::Gap));
    let of_doubts = doubts.iter().filter(|_| ended == HadEnded::Yes).map(|doubt| (*doubt, Reopening::Doubt));
    let of_lost = lost.iter().map(|(range, text)| (*range, Reopening::Lost(text.clone())));
    let whole = of_lost.chain(of_gaps).map(|(range, why)| (grown(range, gaps, live), why));
    let mut open: Vec<(TimeRange, Reopening)> =
        whole.chain(of_doubts.map(|(range, why)| (grown(range, gaps, &[]), why))).collect();
    open.sort_by_key(|(range, _)| *range);
    open.into_iter().fold(Vec::new(), |mut merged, (range, why)| {
        match merged.last_mut() {
            Some((last, first)) if last.overlaps(range) => {
                *last = hull(*last, range);
                if *first == Reopening::Gap {
                    *first = why;
                }
            }
            _ => merged.push((range, why)),
        }
        merged
    })
}

fn grown(range: TimeRange, gaps: &[TimeRange], live: &[TimeRange]) -> TimeRange {
    let touching = gaps.iter().chain(live).filter(|other| other.overlaps(range));
    let larger = touching.fold(range, |sum, other| hull(sum, *other));
    if larger == range { range } else { grown(larger, gaps, live) }
}

fn hull(one: TimeRange, other: TimeRange) -> TimeRange {
    TimeRange::new(one.start.min(other.start), one.end.max(other.end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::EpochSeconds;

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(end))
    }

    fn lost(start: i64, end: i64) -> (TimeRange, String) {
        (range(start, end), format!("part {start}"))
    }

    fn opened(gaps: &[TimeRange], lost: &[(TimeRange, String)], live: &[TimeRange], ended: HadEnded) -> Vec<TimeRange> {
        ranges_to_open((gaps, &[]), lost, live, ended).into_iter().map(|(range, _)| range).collect()
    }

    #[test]
    fn gaps_are_opened_once_a_run_has_ended_and_lost_parts_always() {
        let (gaps, gone, live) =
            ([range(30, 31), range(60, 61)], [lost(40, 50)], [range(0, 30), range(31, 40), range(40, 50)]);
        assert_eq!(opened(&gaps, &gone, &live, HadEnded::Yes), [range(30, 31), range(40, 50), range(60, 61)]);
        assert_eq!(opened(&gaps, &gone, &live, HadEnded::No), [range(40, 50)]);
        assert_eq!(opened(&gaps, &[], &live, HadEnded::No), []);
    }

    #[test]
    fn what_was_in_doubt_is_opened_once_a_run_has_ended_and_nothing_beside_it() {
        let live = [range(0, 30), range(30, 50)];
        let open = |ended| ranges_to_open((&[range(60, 61)], &[range(40, 60)]), &[], &live, ended);
        assert_eq!(open(HadEnded::Yes), [(range(40, 60), Reopening::Doubt), (range(60, 61), Reopening::Gap)]);
        assert_eq!(open(HadEnded::No), []);
    }

    #[test]
    fn a_lost_part_within_a_gap_opens_the_gap_whole_and_once() {
        let gaps = [range(30, 40)];
        let open = ranges_to_open((&gaps, &[]), &[lost(33, 36)], &[range(33, 36)], HadEnded::Yes);
        assert_eq!(open, [(range(30, 40), Reopening::Lost("part 33".to_owned()))]);
        assert_eq!(opened(&gaps, &[lost(33, 36)], &[range(33, 36)], HadEnded::No), [range(30, 40)]);
    }

    #[test]
    fn no_live_part_is_cut_in_two() {
        // A repair that was cut short leaves parts that hold the same seconds.
        let live = [range(0, 20), range(10, 12), range(18, 25), range(25, 30)];
        assert_eq!(opened(&[], &[lost(10, 12)], &live, HadEnded::No), [range(0, 25)]);
    }
}
