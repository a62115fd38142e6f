//! From durable pages to published parts, one slice at a time; and what a run replaces of former runs.
//!
//! The order is the promise. New time: staged and synced, prepared in the journal, revealed, listed in the manifest, published in the
//! journal, the slice recorded, bodies released. Time of which readers see something already: staged and synced, held in the
//! journal, the slice recorded, bodies released; `delivery` shows all of it at once when the run ends. Each step may be the last before a
//! crash; the next start goes on.

use std::path::Path;
use std::sync::Arc;

use crate::api::contract::Region;
use crate::failpoint::{self, CrashStep};
use crate::journal::record::{PartRecord, PartState, Upkeep};
use crate::journal::{Journal, JournalError};
use crate::plan::event::PlanEvent;
use crate::plan::reads::NotRead;
use crate::replica::Replica;
use crate::sink::coverage::Reader;
use crate::sink::layout::{Layout, Slice};
use crate::sink::manifest::Manifest;
use crate::sink::part::{PartError, Parts};
use crate::sink::publish::{Output, OutputError, Standing};
use crate::sink::staging::Leave;
use crate::units::{EpochSeconds, TimeRange};

use super::ExportError;
use super::ahead::{Ahead, Begun};
use super::commits::Commits;
use super::stager::Stager;

/// Everything that publishing needs; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Publisher {
    pub(super) journal: Journal,
    /// What ships the journal, where a copy of it is kept elsewhere.
    pub(super) replica: Option<Arc<Replica>>,
    pub(super) output: Arc<Output>,
    pub(super) commits: Arc<Commits>,
    pub(super) parts: Parts,
    pub(super) stager: Stager,
    pub(super) ahead: Ahead,
    pub(super) layout: Layout,
    pub(super) run: String,
    pub(super) began_at: EpochSeconds,
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

/// What the end of a run replaces.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    /// Parts of former runs that go, by path.
    pub(super) former: Vec<String>,
    /// Seconds of theirs that were not read again, and whose rows are lost with them.
    pub(super) lost: Vec<(Region, TimeRange)>,
}

impl Publisher {
    /// Publishes one slice and releases its pages. Of seconds that no reader sees anything of yet, it commits the slice at once; what
    /// would take the place of something waits for the run's end. Of seconds that were left, a few rows take no whole answer's place.
    /// The rows of the slice that is likely to follow are read meanwhile. Cancelling it is like a crash: the next start goes on.
    pub(super) async fn publish(
        &self,
        (slice, next): (Slice, Option<Slice>),
        not_read: NotRead,
    ) -> Result<Published, ExportError> {
        let is_new = self.is_new(&slice.region, slice.range).await?;
        if !is_new && not_read.is_left(slice.range) {
            return self.pass_over(slice, not_read).await;
        }
        let is_read = not_read.all.iter().all(|not_read| !not_read.overlaps(slice.range));
        self.journal.take_up_to(&slice.region, slice.range.end);
        let mut part = self.stage(&slice, next).await?;
        if let Some(staged) = part.take_if(|_| !is_new) {
            let former = || self.former_parts(&slice.region);
            part = Some(self.take_in(staged, former, &not_read.in_part).await?);
        }
        if let Some(part) = &part {
            failpoint::pass(CrashStep::PartStaged);
            if is_new && is_read {
                self.journal.prepare_part(part.clone()).await?;
                // No file is where readers look that a start elsewhere would not know.
                self.journal.shipped().await?;
                self.output.reveal(part).await?;
                self.commit_new(std::slice::from_ref(part), (&slice.region, &[slice.range]), &[]).await?;
                self.journal.publish_part(&part.path).await?;
                self.journal.ship();
            } else {
                self.keep_elsewhere(part).await?;
                self.journal.hold_part(part.clone()).await?;
            }
        } else if is_new {
            self.note_empty(&slice, &not_read).await;
        }
        let event = self.record(&slice.region, slice.range.end).await?;
        Ok(Published { event, parts: part.into_iter().collect() })
    }

    /// The same of time in which nothing was found, however long it is: one record, and no part.
    pub(super) async fn pass_over(&self, empty: Slice, not_read: NotRead) -> Result<Published, ExportError> {
        self.journal.take_up_to(&empty.region, empty.range.end);
        // What has come since it was found to be empty.
        self.journal.owe(&empty.region, empty.range);
        if self.is_new(&empty.region, empty.range).await? {
            self.note_empty(&empty, &not_read).await;
        }
        let event = self.record(&empty.region, empty.range.end).await?;
        Ok(Published { event, parts: Vec::new() })
    }

    pub(super) fn reader(&self) -> Reader<'_> {
        Reader { run: &self.run, at: self.began_at }
    }

    /// Shows readers parts of seconds that they saw nothing of.
    pub(super) async fn commit_new(
        &self,
        parts: &[PartRecord],
        (region, read): (&Region, &[TimeRange]),
        superseded: &[String],
    ) -> Result<(), ExportError> {
        let change = |manifest: &mut Manifest| {
            let is_replaced = |path: &String| superseded.contains(path) || parts.iter().any(|part| part.path == *path);
            manifest.parts.retain(|part| !is_replaced(&part.path));
            manifest.parts.extend(parts.iter().cloned());
            manifest.parts.sort_by(|one, other| one.path.cmp(&other.path));
            manifest.superseded = superseded.to_vec();
            manifest.account.coverage.read(region, read, self.reader());
        };
        self.commits.commit(change).await
    }

    /// Keeps a part that waits for the end of the run where the state is kept, if it is on this machine's disk alone: its pages are released
    /// before it is shown.
    pub(super) async fn keep_elsewhere(&self, part: &PartRecord) -> Result<(), ExportError> {
        match &self.replica {
            Some(replica) if self.output.stages_beside_the_state() => {
                replica.keep(&part.path, &self.output.staging().file(&part.path)).await?;
                failpoint::pass(CrashStep::HeldKept);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn note_empty(&self, empty: &Slice, not_read: &NotRead) {
        let read = empty.range.without(&not_read.all);
        let note = |manifest: &mut Manifest| manifest.account.coverage.read(&empty.region, &read, self.reader());
        self.commits.note(note).await;
    }

    /// Whether readers see nothing of these seconds that this run did not put there.
    pub(super) async fn is_new(&self, region: &Region, range: TimeRange) -> Result<bool, JournalError> {
        let occupied = self.occupied(region).await?;
        Ok(occupied.iter().all(|other| !other.overlaps(range)))
    }

    /// The seconds of a region that former runs have read, or of which their parts hold rows, where this run takes their place.
    pub(super) async fn occupied(&self, region: &Region) -> Result<Vec<TimeRange>, JournalError> {
        let mut occupied: Vec<TimeRange> = self.former_parts(region)?.iter().map(|part| part.range).collect();
        if self.replaces == Replaces::WhatItCovers {
            let of_others = |manifest: &Manifest| manifest.account.coverage.of_others(region, &self.run);
            occupied.extend(self.commits.read(of_others).await);
        }
        occupied.extend(self.output.shown_to_readers(region));
        Ok(occupied)
    }

    /// Records that everything below `until` is in a durable part; then its pages are released.
    async fn record(&self, region: &Region, until: EpochSeconds) -> Result<PlanEvent, ExportError> {
        let event = PlanEvent::SlicePublished { region: region.clone(), until };
        self.journal.commit_events(vec![super::event_json(&event)?], Upkeep::default()).await?;
        failpoint::pass(CrashStep::SliceRecorded);
        self.journal.release_bodies(region, until).await?;
        Ok(event)
    }

    /// The same, whose parts are staged beside those that wait for the run's end: until the journal says otherwise, those are what is
    /// delivered of their seconds.
    pub(super) fn beside_what_waits(&self) -> Self {
        Self { parts: self.parts.clone().beside_what_is_staged(), ..self.clone() }
    }

    /// Writes a slice's rows as a staged part, and begins to make that of the next.
    pub(super) async fn stage(&self, slice: &Slice, next: Option<Slice>) -> Result<Option<PartRecord>, ExportError> {
        let begin = |slice, leave| Begun::new((slice, leave), &self.parts, &self.journal, &self.stager);
        let begun = self.ahead.take(slice, &self.parts, &self.journal);
        let part = begun.map_or_else(|| begin(slice.clone(), Leave::given()), Ok)?;
        if let Some(next) = next {
            self.ahead.put(begin(next, Leave::default())?);
        }
        part.staged().await
    }

    /// A staged part, with the rows that these parts hold of seconds which were read in part, and that have not come.
    pub(super) async fn take_in(
        &self,
        staged: PartRecord,
        former: impl FnOnce() -> Result<Vec<PartRecord>, JournalError>,
        in_part: &[TimeRange],
    ) -> Result<PartRecord, ExportError> {
        let mut seconds: Vec<TimeRange> = in_part.iter().map(|range| range.intersection(staged.range)).collect();
        seconds.retain(|range| !range.is_empty());
        if seconds.is_empty() {
            return Ok(staged);
        }
        let mut there = Vec::new();
        for part in former()? {
            let is_concerned = seconds.iter().any(|range| range.overlaps(part.range));
            if is_concerned && self.output.standing_of_held(&part).await? == Standing::Whole {
                there.push((part.clone(), self.output.local(&part).await?));
            }
        }
        if there.is_empty() {
            return Ok(staged);
        }
        let parts = self.parts.clone();
        let take_in = move || {
            let there: Vec<(&PartRecord, &Path)> = there.iter().map(|(part, file)| (part, &**file)).collect();
            parts.take_in(staged, &there, &seconds)
        };
        Ok(self.stager.run(take_in).await??)
    }

    /// Finds the parts of former runs of which this run has read something (`read`), and keeps what it has not read of them in
    /// parts of its own, which wait like those of replaced time.
    pub(super) async fn replace(&self, region: &Region, read: &[TimeRange]) -> Result<Replaced, ExportError> {
        let mut replaced = Replaced::default();
        for former in self.former_parts(region)? {
            let kept = former.range.without(read);
            if kept == [former.range] {
                continue;
            }
            if self.output.holds(&former).await? {
                let pieces = kept.into_iter().flat_map(|range| self.layout.partition.cut(range)).collect();
                for carried in self.carry(&former, pieces).await? {
                    self.journal.hold_part(carried).await?;
                    failpoint::pass(CrashStep::CarriedHeld);
                }
            } else {
                replaced.lost.extend(kept.into_iter().map(|range| (region.clone(), range)));
            }
            replaced.former.push(former.path);
        }
        Ok(replaced)
    }

    /// Gives every part that waited for the run's end its final name.
    pub(super) async fn reveal_held(&self) -> Result<Vec<PartRecord>, ExportError> {
        let held = self.own_parts_that(|state| state == PartState::Held)?;
        if !self.output.shows_what_replaces() {
            return Ok(held);
        }
        self.journal.shipped().await?;
        for part in &held {
            self.output.reveal(part).await?;
        }
        failpoint::pass(CrashStep::HeldRevealed);
        Ok(held)
    }

    /// Parts of this run that are published, or wait for its end.
    pub(super) fn own_parts(&self) -> Result<Vec<PartRecord>, JournalError> {
        self.own_parts_that(|state| matches!(state, PartState::Published | PartState::Held))
    }

    pub(super) fn own_parts_that(&self, is: impl Fn(PartState) -> bool) -> Result<Vec<PartRecord>, JournalError> {
        let parts = self.journal.parts()?.into_iter().filter(|(_, state)| is(*state));
        Ok(parts.map(|(part, _)| part).filter(|part| part.run == self.run).collect())
    }

    pub(super) fn former_parts(&self, region: &Region) -> Result<Vec<PartRecord>, JournalError> {
        let live = self.journal.parts()?.into_iter().filter(|(_, state)| *state == PartState::Published);
        // What a start of this run has carried over is of former runs all the same.
        let is_former = |part: &PartRecord| part.region == *region && (part.run != self.run || part.carried);
        let of_region = live.map(|(part, _)| part).filter(is_former);
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
        let file = self.output.local(&former).await?;
        Ok(self.stager.run(move || parts.carry_over((&former, &file), &keep, &run)).await??)
    }
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
