//! A reopened range, once it is read again: published whole, in place of whatever the run had published of it.
//!
//! The order is the promise: everything staged and synced, prepared in the journal, revealed, listed in the manifest; then one
//! transaction publishes the new parts, gives the former ones up and says that the range is filled; then former files are removed and
//! pages released. Before that transaction the next start does all of it again, since the pages are there; after it nothing is
//! left to do but to remove. Where former runs' parts are to be replaced, the parts wait for the run's end, as all such do.

use crate::api::contract::Region;
use crate::journal::JournalError;
use crate::journal::record::{Change, PartRecord};
use crate::plan::event::PlanEvent;
use crate::plan::reads::NotRead;
use crate::sink::carry::rows_within;
use crate::sink::layout::Slice;
use crate::units::TimeRange;

use super::ExportError;
use super::publisher::{Published, Publisher};

/// A reopened range that is read again, as it is to be published.
#[derive(Debug)]
pub(super) struct Fill {
    pub(super) region: Region,
    pub(super) range: TimeRange,
    /// The range, cut into parts; none of them holds a gap, or what is unproven, and something else.
    pub(super) slices: Vec<TimeRange>,
    /// What of the range could not be read this time either, or was left.
    pub(super) not_read: NotRead,
    /// What of the range was read this time, and may lack rows; apart from what was not read.
    pub(super) unproven: Vec<TimeRange>,
}

impl Publisher {
    /// Publishes a reopened range whole, in place of whatever this run had published of it. Cancelling it is like a crash.
    pub(super) async fn fill(&self, fill: Fill) -> Result<Published, ExportError> {
        match self.is_new(&fill.region, fill.range).await? {
            true => self.fill_as(fill, true).await,
            false => self.beside_what_waits().fill_as(fill, false).await,
        }
    }

    async fn fill_as(&self, fill: Fill, is_new: bool) -> Result<Published, ExportError> {
        let before = self.own_parts_in(&fill.region, fill.range)?;
        let is_whole = |range: &&TimeRange| is_new || !fill.not_read.is_left(**range);
        let mut parts = Vec::new();
        for range in fill.slices.iter().filter(is_whole) {
            let slice = Slice { region: fill.region.clone(), range: *range, run: self.run.clone() };
            if let Some(staged) = self.stage(&slice).await? {
                let known = || Ok([self.former_parts(&fill.region)?, before.clone()].concat());
                parts.push(self.take_in(staged, known, &fill.not_read.in_part).await?);
            }
        }
        let mut kept = Vec::new();
        for doubtful in fill.not_read.all.iter().chain(&fill.unproven) {
            let doubtful = doubtful.intersection(fill.range);
            // One by one, so that rows of one part make up for none of another.
            let slices: Vec<TimeRange> = fill.slices.iter().map(|slice| slice.intersection(doubtful)).collect();
            let between = doubtful.without(&slices);
            for piece in slices.into_iter().chain(between).filter(|piece| !piece.is_empty()) {
                self.keep_the_richer(piece, &before, &mut parts, &mut kept).await?;
            }
        }
        for wider in before.iter().filter(|part| !fill.range.covers(part.range)) {
            parts.extend(self.carry(wider, wider.range.without(&[fill.range])).await?);
        }
        let event = PlanEvent::RangeFilled { region: fill.region.clone(), range: fill.range };
        let stays = |path: &String| kept.contains(path) || parts.iter().any(|part| part.path == *path);
        let superseded: Vec<String> = before.into_iter().map(|part| part.path).filter(|path| !stays(path)).collect();
        let published = self.show(&fill, &parts, &superseded, is_new).await?;
        let events = vec![super::event_json(&event)?];
        let change = Change { superseded: superseded.clone(), published, events, ..Change::default() };
        self.journal.commit_change(change).await?;
        self.output.remove(&superseded).await?;
        self.journal.release_bodies(&fill.region, fill.range.end).await?;
        Ok(Published { event, parts })
    }

    /// Shows readers the filled range, where nothing of former runs stands there, and gives the paths of what it has shown; else the
    /// parts wait for the run's end.
    async fn show(
        &self,
        fill: &Fill,
        parts: &[PartRecord],
        superseded: &[String],
        is_new: bool,
    ) -> Result<Vec<String>, ExportError> {
        if !is_new {
            for part in parts {
                self.keep_elsewhere(part).await?;
                self.journal.hold_part_again(part.clone()).await?;
            }
            return Ok(Vec::new());
        }
        for part in parts {
            self.journal.replace_part(part.clone()).await?;
            self.journal.shipped().await?;
            self.output.reveal(part).await?;
        }
        self.commit_new(parts, (&fill.region, &fill.range.without(&fill.not_read.all)), superseded).await?;
        Ok(parts.iter().map(|part| part.path.clone()).collect())
    }

    /// Rows that were delivered are not given up for fewer: where a gap failed again, or what was unproven is so again, what stood
    /// there stays.
    async fn keep_the_richer(
        &self,
        doubtful: TimeRange,
        before: &[PartRecord],
        parts: &mut Vec<PartRecord>,
        kept: &mut Vec<String>,
    ) -> Result<(), ExportError> {
        let inside: Vec<&PartRecord> = before.iter().filter(|part| doubtful.covers(part.range)).collect();
        // After a crash in mid-fill new parts may stand beside those whose place they take.
        let beside = doubtful.without(&inside.iter().map(|part| part.range).collect::<Vec<_>>());
        let is_wider = |part: &&PartRecord| part.range.overlaps(doubtful) && !doubtful.covers(part.range);
        let mut had: u64 = inside.iter().map(|part| part.rows.get()).sum();
        for wider in before.iter().filter(is_wider) {
            had += self.rows_in(wider, &beside).await?;
        }
        let has: u64 = parts.iter().filter(|part| doubtful.covers(part.range)).map(|part| part.rows.get()).sum();
        if has >= had {
            return Ok(());
        }
        parts.retain(|part| !doubtful.covers(part.range));
        kept.extend(inside.iter().map(|part| part.path.clone()));
        for wider in before.iter().filter(is_wider) {
            parts.extend(self.carry(wider, beside.clone()).await?);
        }
        Ok(())
    }

    /// How many rows of one of this run's parts lie in these seconds.
    async fn rows_in(&self, part: &PartRecord, ranges: &[TimeRange]) -> Result<u64, ExportError> {
        if !ranges.iter().any(|range| range.overlaps(part.range)) {
            return Ok(0);
        }
        let (part, ranges) = (part.clone(), ranges.to_vec());
        let file = self.output.local(&part).await?;
        Ok(self.stager.run(move || rows_within((&part, &file), &ranges)).await??)
    }

    /// Parts of this run that hold some of a range.
    fn own_parts_in(&self, region: &Region, range: TimeRange) -> Result<Vec<PartRecord>, JournalError> {
        let own = self.own_parts()?.into_iter().filter(|part| part.region == *region && !part.carried);
        Ok(own.filter(|part| part.range.overlaps(range)).collect())
    }
}

#[cfg(test)]
mod tests;
