//! `merge`: the accounts of all shards become one manifest. Nothing is sent.
//!
//! The order is the promise. Everything is looked at first: that the accounts are of one question and tile it, that every part is there,
//! that neighbours saw the same where they meet. Then `_SUCCESS` goes, parts that take the place of others get their names, and one
//! manifest lists everything: before it nothing has changed for a reader who goes by it, after it everything. Then what was replaced
//! goes, and `_SUCCESS` comes where nothing is missing. A process that dies on the way is gone on for by the same command.

mod union;

use std::collections::BTreeSet;
use std::path::Path;

use crate::failpoint::{self, CrashStep};
use crate::plan::fact::RowKey;
use crate::sink::account::{Lack, Lacking};
use crate::sink::manifest::{Manifest, Status};
use crate::sink::publish::{Output, Standing, accounts};
use crate::sink::reading::keys_held;
use crate::sink::shard::Seam;
use crate::units::{ByteCount, RowCount, TimeRange};

use super::{ExportError, clock};
use union::{Group, Told, Waiting};

pub use union::MergeError;

/// An output whose shards are merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergedOutput {
    /// How many accounts were taken in; none where all had been before.
    pub shards: usize,
    /// What readers see: parts.
    pub parts: usize,
    /// Their rows.
    pub rows: RowCount,
    /// Their sizes.
    pub bytes: ByteCount,
    /// The range of the question.
    pub range: TimeRange,
    /// What of the question is not there.
    pub lacking: Lacking,
    /// Whether that is enough to be complete.
    pub is_whole: bool,
    /// Seams at which neighbours did not see the same.
    pub seams: usize,
}

/// Merges the shards' accounts of an output.
///
/// # Errors
/// Where they cannot be merged, by name; then nothing was changed. Where the disk fails, the same command goes on.
pub async fn merge(folder: &Path) -> Result<MergedOutput, ExportError> {
    let found = accounts(folder).await?;
    let none = || MergeError::NoShards { output: folder.display().to_string() };
    let first = found.first().ok_or_else(none)?;
    let known: Vec<String> = found.iter().flat_map(|account| &account.parts).map(|part| part.path.clone()).collect();
    let (output, manifest) = Output::open_to_merge(folder, &first.identity, &known).await?;
    // What was read before the locks were held may be old.
    let accounts = accounts(folder).await?;
    let Some(group) = Group::of(&accounts, manifest.as_ref()) else {
        return finish(&output, manifest.ok_or_else(none)?, (0, 0)).await;
    };
    group.check(&output.told(), manifest.as_ref())?;
    refuse_lost(&output, &group.open).await?;
    let (mut next, parts) = group.merged(manifest);
    let seams = compare_seams(&output, &mut next, &group.open, &parts).await?;
    publish(&output, &mut next, parts).await?;
    finish(&output, next, (group.open.len(), seams)).await
}

/// Every part of the shards is there: under its name, or still waiting for it.
async fn refuse_lost(output: &Output, open: &[Told<'_>]) -> Result<(), ExportError> {
    let mut lost = Vec::new();
    for told in open {
        for part in &told.account.parts {
            if output.standing_of_shard(told.shard.name, part).await? != Standing::Whole {
                lost.push(part.path.clone());
            }
        }
    }
    match lost.first() {
        None => Ok(()),
        Some(example) => Err(ExportError::PartsNotWhole { count: lost.len(), example: example.clone() }),
    }
}

/// What neighbours saw of each other's time is compared: a row that the owner of its second does not have makes its seconds a gap, which
/// the next run reads again. Gives the number of seams at which something lacked.
async fn compare_seams(
    output: &Output,
    next: &mut Manifest,
    open: &[Told<'_>],
    parts: &Waiting,
) -> Result<usize, ExportError> {
    let mut differing = 0;
    for (seam, name) in open.iter().flat_map(|told| told.shard.seams.iter().map(|seam| (seam, told.shard.name))) {
        let sound = next.account.sound(&seam.region, &[]);
        let is_told = |row: &&RowKey| sound.iter().any(|range| range.contains(row.second));
        let seen: BTreeSet<RowKey> = seam.rows.iter().filter(is_told).copied().collect();
        let held = held(output, next, (seam, &seen), parts).await?;
        let lacking = || seen.difference(&held).map(|row| row.second);
        let (Some(first), Some(last)) = (lacking().min(), lacking().max()) else { continue };
        differing += 1;
        let range = TimeRange::new(first, last.shifted(1));
        let why = format!(
            "shard {name} saw rows of it that the shard which read it did not; they came or went between the two"
        );
        let listed = next.account.gaps.iter().filter(|gap| gap.region == seam.region).map(|gap| gap.range);
        let new = range.without(&listed.collect::<Vec<_>>()).into_iter();
        let region = &seam.region;
        let lacks = new.map(|range| Lack { region: region.clone(), range, why: why.clone(), fault: None, lacks: None });
        next.account.gaps.extend(lacks.collect::<Vec<_>>());
    }
    next.account.gaps.sort_by(|one, other| (&one.region, one.range).cmp(&(&other.region, other.range)));
    Ok(differing)
}

/// Which of the rows that a seam's walk saw are in the parts that are to be listed.
async fn held(
    output: &Output,
    next: &Manifest,
    (seam, seen): (&Seam, &BTreeSet<RowKey>),
    parts: &Waiting,
) -> Result<BTreeSet<RowKey>, ExportError> {
    let mut held = BTreeSet::new();
    let is_asked = |range: TimeRange| seen.iter().any(|row| range.contains(row.second));
    for part in next.parts.iter().filter(|part| part.region == seam.region && is_asked(part.range)) {
        let writer = parts.iter().find(|(_, own)| own.path == part.path).map(|(name, _)| *name);
        let file = output.file_of_shard(writer, part);
        let (part, seen) = (part.clone(), seen.clone());
        let found = tokio::task::spawn_blocking(move || keys_held((&part, &file), &seen)).await?;
        held.extend(found?);
    }
    Ok(held)
}

/// Shows everything at once.
async fn publish(output: &Output, next: &mut Manifest, parts: Waiting) -> Result<(), ExportError> {
    next.status = if next.is_whole() { Status::Complete } else { Status::Incomplete };
    next.written_at = clock::wall();
    output.clear_success().await?;
    for (name, part) in &parts {
        output.reveal_of_shard(*name, part).await?;
    }
    failpoint::pass(CrashStep::HeldRevealed);
    Ok(output.commit(next).await?)
}

/// What was replaced goes, and `_SUCCESS` comes where nothing is missing. Repeating it is harmless.
async fn finish(
    output: &Output,
    manifest: Manifest,
    (shards, seams): (usize, usize),
) -> Result<MergedOutput, ExportError> {
    output.remove(&manifest.superseded).await?;
    let is_whole = manifest.is_whole() && manifest.status == Status::Complete;
    if is_whole && !output.is_described(true).await? {
        output.write_success().await?;
    }
    let sum = |number: fn(&crate::journal::record::PartRecord) -> u64| manifest.parts.iter().map(number).sum();
    Ok(MergedOutput {
        shards,
        parts: manifest.parts.len(),
        rows: RowCount::new(sum(|part| part.rows.get())),
        bytes: ByteCount::new(sum(|part| part.bytes.get())),
        range: manifest.range,
        lacking: manifest.lacking(),
        is_whole,
        seams,
    })
}
