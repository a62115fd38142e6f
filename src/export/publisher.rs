//! From durable pages to published parts, one slice at a time; and what a slice replaces of former runs.
//!
//! The order is the promise: staged and synced, prepared in the journal, revealed, published in the journal, the slice
//! recorded, superseded parts removed, bodies released. Each step may be the last before a crash; the next start goes on.

use std::sync::Arc;

use crate::api::contract::Region;
use crate::failpoint::{self, Step};
use crate::journal::record::{PartRecord, PartState};
use crate::journal::{Journal, JournalError};
use crate::plan::event::PlanEvent;
use crate::sink::layout::{Layout, Slice};
use crate::sink::part::{PartError, Parts, Staged};
use crate::sink::publish::{Output, OutputError};
use crate::units::{EpochSeconds, TimeRange};

use super::ExportError;
use super::stager::Stager;

/// Everything that publishing needs; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Publisher {
    pub(super) journal: Journal,
    pub(super) output: Arc<Output>,
    pub(super) parts: Parts,
    pub(super) stager: Stager,
    pub(super) layout: Layout,
    pub(super) run: String,
    pub(super) run_range: TimeRange,
    /// Whether former parts in the range are replaced; not where history is kept.
    pub(super) replaces: Replaces,
}

/// What a run does to parts of former runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replaces {
    /// Takes the place of what it covers.
    WhatItCovers,
    /// Keeps every snapshot but the one of the same day.
    SameSnapshot,
}

/// What publishing one slice did.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) event: PlanEvent,
    pub(super) parts: Vec<PartRecord>,
}

impl Publisher {
    /// Publishes one slice and releases its pages. Cancelling it is like a crash: the next start goes on.
    pub(super) async fn publish(&self, slice: Slice, gone: Vec<TimeRange>) -> Result<Published, ExportError> {
        let part = self.stage(&slice).await?;
        if let Some(part) = &part {
            failpoint::pass(Step::PartStaged);
            self.journal.prepare_part(part.clone()).await?;
            self.output.reveal(part).await?;
            self.journal.publish_part(&part.path).await?;
        }
        let event = self.record(&slice.region, slice.range.end, &gone).await?;
        Ok(Published { event, parts: part.into_iter().collect() })
    }

    /// The same of time in which nothing was found, however long it is: one record, and no part.
    pub(super) async fn pass_over(&self, empty: Slice, gone: Vec<TimeRange>) -> Result<Published, ExportError> {
        let event = self.record(&empty.region, empty.range.end, &gone).await?;
        Ok(Published { event, parts: Vec::new() })
    }

    /// Records that everything below `until` is published; then what it replaces goes, and its pages are released.
    async fn record(&self, region: &Region, until: EpochSeconds, gone: &[TimeRange]) -> Result<PlanEvent, ExportError> {
        let event = PlanEvent::SlicePublished { region: region.clone(), until };
        self.journal.commit_events(vec![super::event_json(&event)?], Vec::new()).await?;
        failpoint::pass(Step::SliceRecorded);
        self.replace(region, until, gone).await?;
        self.journal.release_bodies(region, until).await?;
        Ok(event)
    }

    pub(super) async fn stage(&self, slice: &Slice) -> Result<Option<PartRecord>, ExportError> {
        let (parts, journal, slice) = (self.parts.clone(), self.journal.clone(), slice.clone());
        let region = slice.region.clone();
        let staged = self.stager.run(move || {
            let pages = journal.pages(&slice.region, slice.range)?;
            parts.stage(&slice, pages).map_err(ExportError::from)
        });
        let Staged { part, aside } = staged.await??;
        if !aside.is_empty() {
            let rows = aside.into_iter().map(|aside| (aside.sequence, aside.row)).collect();
            self.journal.set_aside(&region, rows).await?;
        }
        Ok(part)
    }

    /// Removes former parts of the region whose share of this run's range lies below `until`; first their rows outside the
    /// range, or in what this run could not read (`gone`), are carried over.
    pub(super) async fn replace(
        &self,
        region: &Region,
        until: EpochSeconds,
        gone: &[TimeRange],
    ) -> Result<(), ExportError> {
        let gone = self.without_rows(region, gone)?;
        let carried_before = self.own_ranges(region)?;
        for former in self.former_parts(region)? {
            let share = former.range.intersection(self.run_range);
            if share.is_empty() || share.end > until {
                continue;
            }
            let kept = kept_ranges(former.range, self.run_range, &gone).into_iter();
            let pieces = kept.flat_map(|range| self.layout.partition.cut(range));
            // A process that died before it could supersede the former part may have carried some of it over.
            let keep = pieces.filter(|piece| !carried_before.contains(piece)).collect();
            for carried in self.carry(&former, keep).await? {
                self.journal.prepare_part(carried.clone()).await?;
                self.output.reveal(&carried).await?;
                self.journal.publish_part(&carried.path).await?;
                failpoint::pass(Step::CarriedPublished);
            }
            self.journal.supersede_part(&former.path).await?;
            self.output.remove(std::slice::from_ref(&former.path)).await?;
        }
        Ok(())
    }

    /// What each part covers that this run has published in the region.
    fn own_ranges(&self, region: &Region) -> Result<Vec<TimeRange>, JournalError> {
        let live = self.journal.parts()?.into_iter().filter(|(_, state)| *state == PartState::Published);
        let own = live.filter(|(part, _)| part.run == self.run && part.region == *region);
        Ok(own.map(|(part, _)| part.range).collect())
    }

    /// Those of the gaps in which this run delivered nothing: what it has of a gap's rows is newer than what was there.
    fn without_rows(&self, region: &Region, gaps: &[TimeRange]) -> Result<Vec<TimeRange>, JournalError> {
        let own = self.own_ranges(region)?;
        let delivered = |gap: &&TimeRange| own.iter().any(|range| range.overlaps(**gap));
        Ok(gaps.iter().filter(|gap| !delivered(gap)).copied().collect())
    }

    fn former_parts(&self, region: &Region) -> Result<Vec<PartRecord>, JournalError> {
        let live = self.journal.parts()?.into_iter().filter(|(_, state)| *state == PartState::Published);
        let of_region = live.map(|(part, _)| part).filter(|part| part.region == *region && part.run != self.run);
        Ok(of_region.filter(|part| self.may_replace(part)).collect())
    }

    fn may_replace(&self, part: &PartRecord) -> bool {
        let snapshot = self.layout.snapshot.map(|second| second.day_start());
        match (self.replaces, crate::sink::layout::snapshot_of(&part.path)) {
            (Replaces::WhatItCovers, _) => true,
            (Replaces::SameSnapshot, Some(day)) => snapshot.is_some_and(|second| second.to_string().starts_with(day)),
            (Replaces::SameSnapshot, None) => false,
        }
    }

    pub(super) async fn carry(
        &self,
        former: &PartRecord,
        keep: Vec<TimeRange>,
    ) -> Result<Vec<PartRecord>, ExportError> {
        if keep.is_empty() {
            return Ok(Vec::new());
        }
        let (parts, former, run) = (self.parts.clone(), former.clone(), self.run.clone());
        let file = self.output.part_file(&former);
        Ok(self.stager.run(move || parts.carry_over((&former, &file), &keep, &run)).await??)
    }
}

/// The seconds of a former part that this run does not replace: those outside its range, and those that it could not read.
fn kept_ranges(former: TimeRange, run: TimeRange, gone: &[TimeRange]) -> Vec<TimeRange> {
    let outside = [TimeRange::new(former.start, run.start), TimeRange::new(run.end, former.end)];
    let kept = outside.into_iter().chain(gone.iter().copied()).map(|range| range.intersection(former));
    kept.filter(|range| !range.is_empty()).collect()
}

impl From<PartError> for ExportError {
    fn from(error: PartError) -> Self {
        Self::Part(error)
    }
}

impl From<OutputError> for ExportError {
    fn from(error: OutputError) -> Self {
        Self::Output(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(end))
    }

    #[test]
    fn a_former_part_keeps_what_lies_outside_the_range_and_in_gaps() {
        assert_eq!(kept_ranges(range(0, 100), range(0, 100), &[]), vec![]);
        assert_eq!(kept_ranges(range(0, 100), range(50, 200), &[range(60, 61)]), vec![range(0, 50), range(60, 61)]);
        assert_eq!(kept_ranges(range(150, 300), range(50, 200), &[range(60, 61)]), vec![range(200, 300)]);
    }
}
