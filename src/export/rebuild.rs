//! An output written anew from its own parts: another partition, size or packing, or this schema version. Nothing is sent.
//!
//! The order is the promise. Everything is staged and synced first. Then the manifest names the new parts among what is about to go, so
//! that a process which dies while they get their names leaves nothing behind: whoever opens the output next removes them. Then they
//! get their names, and one manifest lists them in place of the former ones: before it nothing has changed for a reader, after it
//! everything. The state learns of it last, as from any manifest that is ahead of it.
//!
//! To the runs, parts that were written anew are those of another run: what they hold is carried over. A run that may still be gone on
//! with counts on its own parts, so none may be left: an unfinished one is refused, and one that ended with gaps is closed before.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::failpoint::{self, CrashStep};
use crate::journal::Journal;
use crate::journal::record::{Change, PartRecord, RunOutcome};
use crate::replica::Away;
use crate::sink::address::Address;
use crate::sink::chains::{Chain, chains, small_neighbours};
use crate::sink::columns::{Packaging, SCHEMA_VERSION};
use crate::sink::identity::Identity;
use crate::sink::layout::{Layout, Partition, snapshot_second};
use crate::sink::manifest::{MANIFEST_VERSION, Manifest, Status};
use crate::sink::part::Parts;
use crate::sink::publish::Output;
use crate::sink::rewrite::Source;
use crate::sink::store::Writers;
use crate::units::{ByteCount, EpochSeconds, RowCount};

use super::commits::Commits;
use super::opening::{self, Opened, question_of};
use super::stager::Stager;
use super::state::OpenState;
use super::wanted::Wanted;
use super::{DamagedState, ExportError};

/// What a person asked for.
#[derive(Clone, Debug)]
pub struct Rebuild {
    /// The state folder.
    pub state: PathBuf,
    /// Where the state is kept, if that is a bucket; the folder is then the one that is worked in.
    pub away: Option<Away>,
    /// The output.
    pub output: Address,
    /// Who else may write into it, where it is in a bucket.
    pub writers: Writers,
    /// This moment.
    pub now: EpochSeconds,
    /// Which parts are written anew.
    pub which: Which,
    /// Parquet's packing.
    pub packaging: Packaging,
    /// Rows at which a part is full.
    pub part_rows: RowCount,
}

/// Which parts are written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All of them; in this partition, or in the one that the output has.
    All(Option<Partition>),
    /// Neighbours within a folder that are smaller than this become one.
    Small(ByteCount),
}

/// Parts of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// How they are laid out, for a person.
    pub layout: String,
    /// How many there are.
    pub parts: usize,
    /// Their rows.
    pub rows: RowCount,
    /// Their sizes.
    pub bytes: ByteCount,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// The output as it was.
    pub before: Contents,
    /// The output as it is.
    pub after: Contents,
    /// Parts whose rows lie in new ones.
    pub written_anew: usize,
}

/// Writes an output anew.
///
/// # Errors
/// Where it cannot, for whatever reason; the output then is what it was, or what it is to be, and the same command goes on.
pub async fn rebuild(request: &Rebuild) -> Result<Rebuilt, ExportError> {
    let told = request.output.to_string();
    let found = Output::look(&request.output).await?.ok_or(ExportError::NoOutput { output: told })?;
    let state = OpenState::open(&request.state, request.away.as_ref(), DamagedState::Refused).await?;
    let result = write_anew(request, &state.journal, &found).await;
    // What it has to say matters more than a journal that could not be put away, unless there is nothing else to say.
    let closed = state.close().await;
    let rebuilt = result?;
    closed?;
    Ok(rebuilt)
}

async fn write_anew(request: &Rebuild, journal: &Journal, found: &Manifest) -> Result<Rebuilt, ExportError> {
    refuse_unfinished(request, journal, found)?;
    let opened = opening::open(&request.wanted(found), journal).await?;
    if let Some(example) = opened.lost.first() {
        return Err(ExportError::PartsNotWhole { count: opened.lost.len(), example: example.path.clone() });
    }
    let before = Contents::of(&opened.manifest);
    let identity = request.identity(&opened.manifest);
    let chains = request.chains(&opened.manifest)?;
    request.require_room(&opened, &chains)?;
    let staged = request.stage(&opened, &chains, identity.partition).await;
    let new = staged.inspect_err(|_| {
        // What was staged is worth nothing, and the room may be needed; the next start empties the folder too.
        let _emptied_later = opened.output.discard_staging_but(&[]);
    })?;
    let old: Vec<String> = chains.into_iter().flat_map(|chain| chain.parts).map(|part| part.path).collect();
    let change = Replacement { identity, new, old };
    let commits = Commits::new(journal, Arc::clone(&opened.output), opened.manifest.clone());
    if change.changes(&opened.manifest) {
        close_what_ended_with_gaps(journal).await?;
        opened.output.clear_success().await?;
        change.publish(&opened.output, &commits).await?;
        change.tell(&opened.output, journal).await?;
    }
    commits.keep_account(journal).await?;
    let is_whole = |manifest: &Manifest| manifest.status == Status::Complete && manifest.is_whole();
    if commits.read(is_whole).await && !opened.output.is_described(true).await? {
        opened.output.write_success().await?;
    }
    let after = commits.read(Contents::of).await;
    Ok(Rebuilt { before, after, written_anew: change.old.len() })
}

/// A run that is gone on with takes its own parts for what it has read: without them it would take the rows that they held away.
fn refuse_unfinished(request: &Rebuild, journal: &Journal, found: &Manifest) -> Result<(), ExportError> {
    let output = || request.output.to_string();
    match journal.latest_run()? {
        Some(run) if run.outcome.is_none() => Err(ExportError::Unfinished { output: output(), run: run.begun.id }),
        Some(run) if run.begun.id == found.run => Ok(()),
        _ if found.status == Status::Complete => Ok(()),
        _ => {
            let (state, run) = (request.state.display().to_string(), found.run.clone());
            Err(ExportError::UnknownToState { output: output(), state, run })
        }
    }
}

/// What is missing is then read by a run of its own.
async fn close_what_ended_with_gaps(journal: &Journal) -> Result<(), ExportError> {
    match journal.latest_run()? {
        Some(run) if run.outcome == Some(RunOutcome::Incomplete) => {
            Ok(journal.finish_run(&run.begun.id, RunOutcome::Closed).await?)
        }
        _ => Ok(()),
    }
}

impl Rebuild {
    fn wanted(&self, found: &Manifest) -> Wanted {
        Wanted::as_found(found, (&self.state, &self.output), self.writers, self.now)
    }

    fn identity(&self, manifest: &Manifest) -> Identity {
        let had = manifest.identity.clone();
        match self.which {
            Which::All(Some(partition)) => Identity { partition, ..had },
            Which::All(None) | Which::Small(_) => had,
        }
    }

    fn chains(&self, manifest: &Manifest) -> Result<Vec<Chain>, ExportError> {
        let chains = chains(manifest)?;
        Ok(match self.which {
            Which::All(_) => chains,
            Which::Small(below) => small_neighbours(&chains, manifest.identity.partition, below, self.part_rows),
        })
    }

    /// Both copies lie on the disk for a while. How large the new one is depends on its packing; it is about as large as the former one.
    fn require_room(&self, opened: &Opened, chains: &[Chain]) -> Result<(), ExportError> {
        let bytes = chains.iter().flat_map(|chain| &chain.parts).map(|part| part.bytes.get());
        let needed = ByteCount::new(bytes.sum());
        let output = opened.output.told();
        let disk = match &self.output {
            Address::Folder(folder) => folder,
            // They are staged beside the state.
            Address::Bucket(_) => &self.state,
        };
        let room = rustix::fs::statvfs(disk);
        let room = room.map_err(|source| ExportError::Room { output: output.clone(), source: source.into() })?;
        let free = ByteCount::new(room.f_bavail.saturating_mul(room.f_frsize));
        if needed <= free { Ok(()) } else { Err(ExportError::NoRoom { output, free, needed }) }
    }

    /// Writes the chains' rows into the staging folder, cut for a partition.
    async fn stage(
        &self,
        opened: &Opened,
        chains: &[Chain],
        partition: Partition,
    ) -> Result<Vec<PartRecord>, ExportError> {
        let stager = Stager::start().map_err(ExportError::Thread)?;
        let name = format!("{:x}{:04x}", self.now.get(), rand::random::<u16>());
        let mut staged = Vec::new();
        for chain in chains {
            let snapshot = chain.parts.first().and_then(|part| snapshot_second(&part.path));
            let parts = Parts::new(opened.output.staging(), Layout { partition, snapshot }, self.packaging);
            let mut files = Vec::new();
            for part in &chain.parts {
                files.push(opened.output.local(part).await?);
            }
            let sources = chain.parts.iter().zip(&files).map(|(part, file)| (part.clone(), file.to_path_buf()));
            let (sources, name) = (sources.collect::<Vec<Source>>(), name.clone());
            let (range, most_rows) = (chain.range, self.part_rows);
            let written = stager.run(move || parts.rewrite(&sources, range, most_rows, &name)).await??;
            drop(files);
            failpoint::pass(CrashStep::PartStaged);
            tracing::info!(region = %chain.region, %range, parts = written.len(), "written anew");
            staged.extend(written);
        }
        Ok(staged)
    }
}

/// What takes the place of what.
struct Replacement {
    identity: Identity,
    new: Vec<PartRecord>,
    old: Vec<String>,
}

impl Replacement {
    fn changes(&self, manifest: &Manifest) -> bool {
        !self.old.is_empty() || manifest.identity != self.identity
    }

    async fn publish(&self, output: &Output, commits: &Commits) -> Result<(), ExportError> {
        let announced = |manifest: &mut Manifest| {
            manifest.manifest_version = MANIFEST_VERSION;
            manifest.superseded = self.new.iter().map(|part| part.path.clone()).collect();
        };
        commits.commit(announced).await?;
        for part in &self.new {
            output.reveal(part).await?;
        }
        failpoint::pass(CrashStep::HeldRevealed);
        let listed = |manifest: &mut Manifest| {
            env!("CARGO_PKG_VERSION").clone_into(&mut manifest.tool_version);
            manifest.schema_version = SCHEMA_VERSION;
            manifest.identity = self.identity.clone();
            let old: BTreeSet<&String> = self.old.iter().collect();
            manifest.parts.retain(|part| !old.contains(&part.path));
            manifest.parts.extend(self.new.iter().cloned());
            manifest.parts.sort_by(|one, other| one.path.cmp(&other.path));
            manifest.superseded.clone_from(&self.old);
        };
        commits.commit_same_rows(listed).await
    }

    /// After the commit: the state learns of it, and what nobody is shown any more goes.
    async fn tell(&self, output: &Output, journal: &Journal) -> Result<(), ExportError> {
        let change = Change { superseded: self.old.clone(), taken_over: self.new.clone(), ..Change::default() };
        journal.commit_change(change).await?;
        journal.replace_question(question_of(&self.identity)).await?;
        failpoint::pass(CrashStep::FormerSuperseded);
        output.remove(&self.old).await?;
        for path in &self.old {
            journal.forget_part(path).await?;
        }
        Ok(output.remove_empty_folders_of(&self.old)?)
    }
}

impl Contents {
    fn of(manifest: &Manifest) -> Self {
        let sum = |number: fn(&PartRecord) -> u64| manifest.parts.iter().map(number).sum();
        Self {
            layout: manifest.identity.layout_text(),
            parts: manifest.parts.len(),
            rows: RowCount::new(sum(|part| part.rows.get())),
            bytes: ByteCount::new(sum(|part| part.bytes.get())),
        }
    }
}
