//! What the output says of itself: the manifest while a run goes on and at its end, the rejected rows, `_SUCCESS`.
//!
//! The end of a run is one commit: what it replaces is revealed beside what it takes the place of, then the manifest is replaced, then the
//! former files go. A reader who goes by the manifest sees before, or after.

use std::collections::{BTreeMap, BTreeSet};

use crate::failpoint::{self, CrashStep};
use crate::journal::record::{Change, PartRecord, PartState, RunOutcome};
use crate::journal::{JournalError, Ledger};
use crate::plan::planner::{Listed, Planner};
use crate::plan::region::RegionPlan;
use crate::sink::account::{Lack, Share};
use crate::sink::columns::SCHEMA_VERSION;
use crate::sink::history::{History, Reading, Unusual};
use crate::sink::manifest::{MANIFEST_VERSION, Manifest, Status};
use crate::sink::publish::Standing;
use crate::sink::shard::Seam;
use crate::units::{EpochSeconds, RowCount, TimeRange};

use super::counters::counters;
use super::publisher::{Publisher, Replaced};
use super::{Delivered, Ending, ExportError, ExportRequest};

mod moved;
mod rejected;
mod shares;

/// The last steps of a start, and the first.
pub(super) struct Delivery<'a> {
    request: &'a ExportRequest,
    publisher: Publisher,
    range: TimeRange,
    /// Parts that were not there when this start began.
    missing_before: BTreeSet<String>,
}

/// What a start left.
#[derive(Debug)]
pub(super) struct Left {
    /// What lies in the output by the run.
    pub(super) delivered: Delivered,
    /// Whether all that the run was asked for is there.
    pub(super) is_whole: bool,
    /// Parts of former runs that hold something of it, and their rows.
    pub(super) former: (u64, u64),
    /// Gaps in it.
    pub(super) gaps: Vec<Listed>,
    /// What of it is not proven.
    pub(super) unproven: Vec<Listed>,
    /// Holes and gaps outside it.
    pub(super) elsewhere: Vec<Listed>,
    /// What of it is unlike the runs before.
    pub(super) unusual: Vec<Unusual>,
}

/// What a manifest is to say.
struct Telling<'a> {
    status: Status,
    shares: Vec<Share>,
    parts: Vec<PartRecord>,
    replaced: &'a Replaced,
    counters: BTreeMap<String, u64>,
    rejected: u64,
    /// What the run has read, once it has ended.
    readings: Vec<Reading>,
}

impl<'a> Delivery<'a> {
    pub(super) fn new(request: &'a ExportRequest, publisher: Publisher, range: TimeRange) -> Self {
        Self { request, publisher, range, missing_before: BTreeSet::new() }
    }

    /// Looks at every part, so that the end can tell what has vanished since.
    pub(super) async fn look_around(&mut self) -> Result<(), ExportError> {
        self.missing_before = self.not_whole().await?.into_iter().map(|part| part.path).collect();
        Ok(())
    }

    async fn not_whole(&self) -> Result<Vec<PartRecord>, ExportError> {
        let parts = self.published_parts()?;
        let standings = self.publisher.output.standings(&parts).await?;
        let missing = parts.into_iter().zip(standings).filter(|(_, standing)| *standing != Standing::Whole);
        Ok(missing.map(|(part, _)| part).collect())
    }

    /// Nothing may say that the output is whole while a part of it has vanished or changed since this start began. Parts of
    /// earlier runs that were gone before are not this run's to judge.
    async fn refuse_what_vanished(&self, replaced: &Replaced) -> Result<(), ExportError> {
        let mut lost = self.not_whole().await?;
        lost.retain(|part| {
            let is_own = part.run == self.publisher.run && !part.carried;
            (is_own || !self.missing_before.contains(&part.path)) && !replaced.former.contains(&part.path)
        });
        match lost.first() {
            None => Ok(()),
            Some(first) => Err(ExportError::PartsVanished { count: lost.len(), example: first.path.clone() }),
        }
    }

    /// Says that a run is at work, before it changes anything.
    pub(super) async fn write_running(&self, planner: &Planner) -> Result<(), ExportError> {
        let (replaced, parts) = (Replaced::default(), self.published_parts()?);
        let shares = self.shares_so_far(planner).await?;
        let (counters, rejected) = (BTreeMap::new(), 0);
        let telling = Telling {
            status: Status::Running,
            shares,
            parts,
            replaced: &replaced,
            counters,
            rejected,
            readings: Vec::new(),
        };
        self.write(telling).await?;
        self.publisher.commits.keep_account(&self.publisher.journal).await
    }

    /// Ends a start: what was replaced goes, the manifest tells the state, and `_SUCCESS` comes last, if it is earned.
    pub(super) async fn finish(
        &self,
        planner: &mut Planner,
        ending: &Ending,
        ledger: &Ledger,
    ) -> Result<Left, ExportError> {
        let is_done = *ending == Ending::Complete;
        if is_done {
            self.publisher.deliver_late(planner).await?;
        }
        let replaced = if is_done { self.replaced(planner).await? } else { Replaced::default() };
        let held = if is_done { self.publisher.reveal_held().await? } else { Vec::new() };
        if is_done {
            self.refuse_what_vanished(&replaced).await?;
            self.list_what_moved(planner).await?;
        }
        self.forget_what_is_delivered(planner).await?;
        self.write_rejected().await?;
        let mut parts = self.published_parts()?;
        parts.retain(|part| !replaced.former.contains(&part.path));
        parts.extend(held.iter().cloned());
        let mut shares = if is_done { self.shares(planner)? } else { self.shares_so_far(planner).await? };
        self.tell_left(planner, &mut shares).await;
        let readings = if is_done { self.readings(planner, &shares).await? } else { Vec::new() };
        let delivered = self.delivered()?;
        let is_read = is_done && !planner.has_left();
        let status = if is_read { Status::Complete } else { Status::Incomplete };
        let (counters, rejected) = (counters(planner, ledger, &delivered), delivered.rejected);
        self.note_seams(planner).await;
        self.write(Telling { status, shares, parts, replaced: &replaced, counters, rejected, readings }).await?;
        self.take_away(&held, &replaced).await?;
        let left = self.left(planner, delivered).await;
        left.unusual.iter().for_each(|unusual| tracing::warn!("{unusual}"));
        if left.is_whole {
            self.publisher.output.write_success().await?;
        }
        self.publisher.commits.keep_account(&self.publisher.journal).await?;
        if is_done {
            for plan in planner.regions() {
                self.publisher.journal.take_late(&plan.region, TimeRange::EVER);
                self.publisher.journal.release_bodies(&plan.region, EpochSeconds::MAX).await?;
            }
            let outcome = match (left.is_whole, is_read) {
                (true, _) => RunOutcome::Complete,
                (false, true) => RunOutcome::Incomplete,
                (false, false) => RunOutcome::Closed,
            };
            self.publisher.journal.finish_run(&self.publisher.run, outcome).await?;
        }
        Ok(left)
    }

    /// Says again what a run that has ended said of its output, where it is not said there any more.
    pub(super) async fn confirm(&self, planner: &Planner, ledger: &Ledger) -> Result<Left, ExportError> {
        let delivered = self.delivered()?;
        let mut left = self.left(planner, delivered.clone()).await;
        let is_told = |manifest: &Manifest| {
            let is_listed = manifest.table.as_ref().is_none_or(|table| table.version.is_some());
            // One that was restored from an older copy stands where another should.
            let is_there = self.publisher.output.is_at(manifest.generation);
            let is_kept = manifest.retain_seconds == self.request.retain_seconds;
            left.is_whole == self.is_enough(manifest) && is_kept && is_listed && is_there
        };
        let is_told = self.publisher.commits.read(is_told).await;
        if !is_told || !self.publisher.output.is_described(left.is_whole).await? {
            let (counters, rejected) = (counters(planner, ledger, &delivered), delivered.rejected);
            let (shares, parts, replaced) = (self.shares(planner)?, self.published_parts()?, Replaced::default());
            let telling = Telling {
                status: Status::Complete,
                shares,
                parts,
                replaced: &replaced,
                counters,
                rejected,
                readings: Vec::new(),
            };
            self.publisher.output.clear_success().await?;
            self.note_seams(planner).await;
            self.write(telling).await?;
            left = self.left(planner, delivered).await;
            if left.is_whole {
                self.publisher.output.write_success().await?;
            }
            self.publisher.commits.keep_account(&self.publisher.journal).await?;
        }
        Ok(left)
    }

    /// What a shard has seen of its neighbours' time, for `merge` to compare.
    async fn note_seams(&self, planner: &Planner) {
        let seam = |plan: &RegionPlan| {
            Some(Seam {
                region: plan.region.clone(),
                at: plan.neighbour()?,
                rows: plan.neighbours.seen_beyond.clone()?,
            })
        };
        let seams: Vec<Seam> = planner.regions().iter().filter_map(seam).collect();
        let note = |manifest: &mut Manifest| {
            if let Some(shard) = &mut manifest.shard {
                shard.seams = seams;
            }
        };
        self.publisher.commits.note(note).await;
    }

    /// What of former runs this one takes the place of: all seconds of which it has every row, and of the others those for which it has a
    /// part, which holds what they had.
    async fn replaced(&self, planner: &Planner) -> Result<Replaced, ExportError> {
        let mut replaced = Replaced::default();
        let own = self.publisher.own_parts()?;
        for plan in planner.regions() {
            let in_part = planner.not_read(&plan.region).in_part;
            let covered = planner.covered(plan).into_iter();
            let mut read: Vec<TimeRange> = covered.flat_map(|range| range.without(&in_part)).collect();
            let own = own.iter().filter(|part| part.region == plan.region && !part.carried);
            read.extend(own.flat_map(|part| in_part.iter().map(|range| range.intersection(part.range))));
            read.retain(|range| !range.is_empty());
            let Replaced { former, lost } = self.publisher.replace(&plan.region, &read).await?;
            replaced.former.extend(former);
            replaced.lost.extend(lost);
        }
        Ok(replaced)
    }

    /// After the commit: the journal learns of it, and what nobody is shown any more goes.
    async fn take_away(&self, held: &[PartRecord], replaced: &Replaced) -> Result<(), ExportError> {
        if held.is_empty() && replaced.former.is_empty() {
            return Ok(());
        }
        let (journal, output) = (&self.publisher.journal, &self.publisher.output);
        let published = held.iter().map(|part| part.path.clone()).collect();
        let change = Change { superseded: replaced.former.clone(), published, ..Change::default() };
        journal.commit_change(change).await?;
        failpoint::pass(CrashStep::FormerSuperseded);
        output.remove(&replaced.former).await?;
        for path in &replaced.former {
            journal.forget_part(path).await?;
        }
        Ok(())
    }

    /// What lies in the output by this run.
    pub(super) fn delivered(&self) -> Result<Delivered, ExportError> {
        let mut sum = Delivered { rejected: self.rejected()?.values().sum(), ..Delivered::default() };
        (sum.outside, sum.other_region) = self.publisher.journal.rows_astray()?;
        // What was carried over this run did not read.
        for part in self.publisher.own_parts()?.iter().filter(|part| !part.carried) {
            sum.parts += 1;
            sum.rows += part.rows.get();
            sum.bytes += part.bytes.get();
            sum.duplicates += part.duplicates;
            sum.extra_fields.merge(&part.extra_fields);
        }
        Ok(sum)
    }

    fn published_parts(&self) -> Result<Vec<PartRecord>, JournalError> {
        let parts = self.publisher.journal.parts()?.into_iter();
        Ok(parts.filter(|(_, state)| *state == PartState::Published).map(|(part, _)| part).collect())
    }

    /// Whether what the output holds is all that was asked for, by what is asked for now.
    fn is_enough(&self, manifest: &Manifest) -> bool {
        let lacking = self.request.lacking(&manifest.account, self.range);
        lacking.is_nothing() && lacking.rejected.get() <= self.request.max_rejected
    }

    async fn left(&self, planner: &Planner, delivered: Delivered) -> Left {
        self.publisher
            .commits
            .read(|manifest| {
                let lacking = self.request.lacking(&manifest.account, self.range);
                let elsewhere = manifest.account.elsewhere(&self.request.regions, self.range);
                let is_former = |part: &&PartRecord| {
                    let is_own = part.run == self.publisher.run && !part.carried;
                    !is_own && self.request.regions.contains(&part.region) && part.range.overlaps(self.range)
                };
                let former = manifest.parts.iter().filter(is_former);
                Left {
                    former: former.fold((0, 0), |sum, part| (sum.0 + 1, sum.1 + part.rows.get())),
                    is_whole: manifest.status == Status::Complete,
                    gaps: listed(lacking.gaps),
                    unproven: listed(lacking.unproven).into_iter().map(|listed| as_planned(listed, planner)).collect(),
                    elsewhere: listed(elsewhere),
                    unusual: manifest.unusual.clone(),
                    delivered,
                }
            })
            .await
    }

    /// Replaces the manifest. One that would say complete says so only if the account does.
    async fn write(&self, telling: Telling<'_>) -> Result<(), ExportError> {
        let Telling { status, shares, parts, replaced, counters, rejected, readings } = telling;
        let request = self.request;
        let change = |manifest: &mut Manifest| {
            manifest.manifest_version = MANIFEST_VERSION;
            env!("CARGO_PKG_VERSION").clone_into(&mut manifest.tool_version);
            manifest.schema_version = SCHEMA_VERSION;
            manifest.identity = request.identity.clone();
            manifest.run.clone_from(&self.publisher.run);
            manifest.began_at = self.publisher.began_at;
            manifest.regions.clone_from(&request.regions);
            manifest.range = self.range;
            manifest.max_rejected = request.max_rejected;
            manifest.confirm_after_seconds = request.tuning.confirming().as_secs();
            manifest.retain_seconds = request.retain_seconds;
            manifest.parts = parts;
            manifest.superseded.clone_from(&replaced.former);
            manifest.account = manifest.account.after(self.publisher.reader(), &shares);
            for (region, range) in &replaced.lost {
                manifest.account.coverage.lose(region, &[*range]);
            }
            manifest.rejected_rows = RowCount::new(rejected);
            manifest.counters = counters;
            // A shard sees some days of some regions, which tells nothing of the runs before.
            if manifest.shard.is_none() {
                manifest.unusual = readings.iter().flat_map(|reading| manifest.history.unusual(reading)).collect();
                manifest.history = readings.iter().fold(std::mem::take(&mut manifest.history), History::with);
            }
            manifest.status = match status {
                Status::Complete if !manifest.is_whole() => Status::Incomplete,
                told => told,
            };
        };
        self.publisher.commits.commit(change).await
    }
}

/// What is unproven, and whether the next start reads it again.
fn as_planned(listed: Listed, planner: &Planner) -> Listed {
    let is_of_it = |doubt: &&Listed| doubt.region == listed.region && doubt.range.overlaps(listed.range);
    let may_pass = planner.unproven().iter().filter(is_of_it).any(|doubt| doubt.may_pass);
    Listed { may_pass, ..listed }
}

pub(super) fn listed(lacks: Vec<Lack>) -> Vec<Listed> {
    let listed =
        |Lack { region, range, why, fault, lacks }| Listed { region, range, why, fault, may_pass: false, lacks };
    lacks.into_iter().map(listed).collect()
}
