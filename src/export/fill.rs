//! A reopened range, once it is read again: published whole, in place of whatever the run had published of it, and with what that had of it
//! beyond this reading: a row that was once shown stays.
//!
//! The order is the promise: everything staged and synced, prepared in the journal, revealed, listed in the manifest; then one
//! transaction publishes the new parts, gives the former ones up and says that the range is filled; then former files are removed and
//! pages released. Before that transaction the next start does all of it again, since the pages are there; after it nothing is
//! left to do but to remove. Where former runs' parts are to be replaced, the parts wait for the run's end, as all such do.

use std::path::Path;

use crate::api::contract::Region;
use crate::journal::JournalError;
use crate::journal::record::{Change, PartRecord};
use crate::plan::event::PlanEvent;
use crate::plan::reads::NotRead;
use crate::sink::layout::{Partition, Slice};
use crate::sink::publish::Standing;
use crate::sink::store::LocalFile;
use crate::sink::union::Naming;
use crate::units::TimeRange;

use super::ExportError;
use super::machine::next_edge;
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
    /// Which rows stay that this run had delivered of it.
    pub(super) rows_before: Naming,
}

impl Fill {
    /// The range in pieces, in order: the slices, and what parts before it hold between them. Each lies in one folder, and none holds a gap, or what
    /// is unproven, and something else.
    fn pieces(&self, before: &[PartRecord], partition: Partition) -> Vec<TimeRange> {
        let edges = [self.not_read.all.as_slice(), &self.unproven].concat();
        let held = TimeRange::merged(&before.iter().map(|part| part.range).collect::<Vec<_>>());
        let between = self.range.without(&self.slices);
        let between = between.iter().flat_map(|range| held.iter().map(|held| held.intersection(*range)));
        let mut pieces = self.slices.clone();
        for range in between.filter(|range| !range.is_empty()) {
            let mut from = range.start;
            while from < range.end {
                let until = next_edge(&edges, from, range.end).unwrap_or(range.end);
                pieces.extend(partition.cut(TimeRange::new(from, until)));
                from = until;
            }
        }
        pieces.sort_unstable();
        pieces
    }
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
        self.journal.take_late(&fill.region, fill.range);
        let before = self.own_parts_in(&fill.region, fill.range)?;
        // Looked for before anything is staged under the name of one of them.
        let there = self.there(&before).await?;
        let mut reading = Vec::new();
        for range in fill.pieces(&before, self.layout.partition) {
            let slice = Slice { region: fill.region.clone(), range, run: self.run.clone() };
            let is_read = fill.slices.contains(&range) && (is_new || !fill.not_read.is_left(range));
            let staged = if is_read { self.stage(&slice, None).await? } else { None };
            reading.push((slice, staged));
        }
        let mut parts = Vec::new();
        for part in self.unite(reading, there, fill.rows_before).await? {
            parts.push(self.take_in(part, || self.former_parts(&fill.region), &fill.not_read.in_part).await?);
        }
        for wider in before.iter().filter(|part| !fill.range.covers(part.range)) {
            parts.extend(self.carry(wider, wider.range.without(&[fill.range])).await?);
        }
        let event = PlanEvent::RangeFilled { region: fill.region.clone(), range: fill.range };
        let stays = |path: &String| parts.iter().any(|part| part.path == *path);
        let superseded: Vec<String> = before.into_iter().map(|part| part.path).filter(|path| !stays(path)).collect();
        let published = self.show(&fill, &parts, &superseded, is_new).await?;
        let events = vec![super::event_json(&event)?];
        let change = Change { superseded: superseded.clone(), published, events, ..Change::default() };
        self.journal.commit_change(change).await?;
        self.output.remove(&superseded).await?;
        self.journal.release_bodies(&fill.region, fill.range.end).await?;
        Ok(Published { event, parts })
    }

    /// Those of these parts that are whole, with their files.
    async fn there(&self, parts: &[PartRecord]) -> Result<Vec<(PartRecord, LocalFile)>, ExportError> {
        let mut there = Vec::new();
        for part in parts {
            if self.output.standing_of_held(part).await? == Standing::Whole {
                there.push((part.clone(), self.output.local(part).await?));
            }
        }
        Ok(there)
    }

    /// What the run had shown before, and this reading does not, stays: it was served and paid for, and whether it was deleted meanwhile or left
    /// out of the later answer nobody knows.
    async fn unite(
        &self,
        reading: Vec<(Slice, Option<PartRecord>)>,
        before: Vec<(PartRecord, LocalFile)>,
        rows: Naming,
    ) -> Result<Vec<PartRecord>, ExportError> {
        let parts = self.parts.clone();
        let unite = move || {
            let before: Vec<(&PartRecord, &Path)> = before.iter().map(|(part, file)| (part, &**file)).collect();
            parts.unite(reading, &before, rows)
        };
        Ok(self.stager.run(unite).await??)
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

    /// Parts of this run that hold some of a range.
    fn own_parts_in(&self, region: &Region, range: TimeRange) -> Result<Vec<PartRecord>, JournalError> {
        let own = self.own_parts()?.into_iter().filter(|part| part.region == *region && !part.carried);
        Ok(own.filter(|part| part.range.overlaps(range)).collect())
    }
}

#[cfg(test)]
pub(super) mod tests;
