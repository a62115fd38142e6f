//! What shards and the whole output's runs must know of each other: who is at work, and what nobody has taken in yet.
//!
//! A shard holds its own lock and looks whether somebody holds the output's; whoever takes the output's lock looks whether somebody holds a
//! shard's. Each takes its own first, so of two that begin at once at least one sees the other.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::owner::{self, described, foreign_files, lock_file, refuse_foreign_files, refuse_links};
use super::{LOCK, Output, OutputError, Seat, Standing, Target};
use crate::api::contract::Region;
use crate::failpoint::{self, CrashStep};
use crate::folder;
use crate::journal::record::PartRecord;
use crate::sink::identity::Identity;
use crate::sink::manifest::{Manifest, ManifestError, Status};
use crate::sink::shard::{SHARDS, ShardName};
use crate::sink::staging::{Staging, StagingError};
use crate::sink::store::{Folder, Store as _};
use crate::units::TimeRange;

/// How the name of a shard's lock ends.
const LOCK_ENDING: &str = "lock";
/// How the name of a shard's account ends.
const ACCOUNT_ENDING: &str = "json";

/// An output folder on a shard's behalf, and on that of the one who takes the shards' accounts in.
impl Output {
    /// The same for the one who takes the shards' accounts in. `known` are the parts of those accounts.
    ///
    /// # Errors
    /// Those of [`Output::open`]; and a shard that is at work.
    pub async fn open_to_merge(
        output: &Path,
        identity: &Identity,
        known: &[String],
    ) -> Result<(Self, Option<Manifest>), OutputError> {
        refuse_links(output)?;
        let mut locks = vec![owner::lock(output)?];
        locks.extend(lock_all(output)?);
        let opened = Self::of(Arc::new(Folder::open(output)?), locks, &Target::from(output));
        let manifest = opened.read(identity).await?;
        let aside = opened.take(manifest.as_ref(), known).await?;
        Ok((opened, manifest.map(|manifest| manifest.without(&aside))))
    }

    /// Makes the folder where it is missing, and locks one shard of it. Gives also the shard's account, where it has one. `known` are
    /// paths of parts that the shard's journal has prepared or published; `shown` is the output's manifest. Parts of other shards are
    /// not this one's to judge.
    ///
    /// # Errors
    /// Where another process holds the shard, a run of the whole question is at work, the folder holds Parquet that no shard has
    /// written there and no manifest lists, the account cannot be read, or the disk fails.
    pub async fn open_shard(
        output: &Path,
        name: ShardName,
        shown: Option<&Manifest>,
        known: &[String],
    ) -> Result<(Self, Option<Manifest>), OutputError> {
        folder::make(output).map_err(StagingError::of("making the output folder", output))?;
        refuse_links(output)?;
        let lock = lock(output, name)?;
        refuse_run_at_work(output, shown)?;
        let store = Folder::open(output)?.with_manifest(name.account());
        let mut opened = Self::of(Arc::new(store), vec![lock], &Target::from(output));
        let account = account_of(&opened.described, name, opened.store.read_manifest().await?)?;
        let mut foreign = foreign_files(&*opened.store, shown, known).await?;
        let listed = |path: &String| account.iter().flat_map(|account| &account.parts).any(|part| part.path == *path);
        foreign.retain(|path| !listed(path) && !is_of_another_shard(path, name));
        refuse_foreign_files(&opened.described, &foreign, account.as_ref())?;
        opened.make_data()?;
        opened.staging = Staging::named(output, &staging(name));
        opened.staging.make()?;
        *opened.generation() = account.as_ref().map(|account| account.generation);
        let parts = shown.iter().flat_map(|shown| &shown.parts);
        let shown = parts.map(|part| (part.path.clone(), (part.region.clone(), part.range))).collect();
        opened.seat = Seat::Shard { name, shown };
        opened.set_all_aside(&foreign).await?;
        Ok((opened, account.map(|account| account.without(&foreign))))
    }

    /// The seconds of a region of which readers are shown something that is not this one's to change.
    pub fn shown_to_readers(&self, region: &Region) -> Vec<TimeRange> {
        match &self.seat {
            Seat::Whole => Vec::new(),
            Seat::Shard { shown, .. } => {
                shown.values().filter(|(of, _)| of == region).map(|(_, range)| *range).collect()
            }
        }
    }

    /// Whether parts that take the place of others are shown by this one; where a shard wrote them, `merge` does it.
    pub fn shows_what_replaces(&self) -> bool {
        self.seat == Seat::Whole
    }

    /// What stands where a part of a shard should: under its name, or waiting for it.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn standing_of_shard(&self, name: ShardName, part: &PartRecord) -> Result<Standing, OutputError> {
        match self.staging_of(name).size(&part.path) {
            Some(found) if found == part.bytes => Ok(Standing::Whole),
            _ => self.standing(part).await,
        }
    }

    /// Where a part lies on the disk; where a shard wrote it, it may wait there.
    pub fn file_of_shard(&self, name: Option<ShardName>, part: &PartRecord) -> PathBuf {
        let published = self.store.file(&part.path);
        match name {
            Some(name) if !published.exists() => self.staging_of(name).file(&part.path),
            _ => published,
        }
    }

    fn staging_of(&self, name: ShardName) -> Staging {
        Staging::named(&self.store.file(""), &staging(name))
    }

    /// Makes what a shard staged in place of something else visible, durably. Repeating it is harmless.
    ///
    /// # Errors
    /// [`OutputError::Lost`] where the part is neither staged nor visible with its recorded size; or the disk fails.
    pub async fn reveal_of_shard(&self, name: ShardName, part: &PartRecord) -> Result<(), OutputError> {
        let staging = self.staging_of(name);
        if staging.size(&part.path) == Some(part.bytes) {
            self.store.reveal(&staging, &part.path).await?;
            failpoint::pass(CrashStep::PartRenamed);
        } else if !self.holds(part).await? {
            let found = "nothing of that size is there".to_owned();
            return Err(OutputError::Lost { path: part.path.clone(), found, recorded: part.bytes });
        }
        Ok(self.store.settle(&part.path)?)
    }
}

/// The folder, below the output folder, in which a shard writes its files before readers may see them.
pub(super) fn staging(name: ShardName) -> String {
    format!("{SHARDS}/{}.staging", name.file_name())
}

/// Holds one shard.
pub(super) fn lock(output: &Path, name: ShardName) -> Result<File, OutputError> {
    let shards = output.join(SHARDS);
    folder::make(&shards).map_err(StagingError::of("making the folder of the shards", &shards))?;
    let locked = lock_file(&shards.join(format!("{}.{LOCK_ENDING}", name.file_name())))?;
    locked.ok_or_else(|| OutputError::ShardLocked { output: described(output), shard: name })
}

/// Holds every shard that has ever begun.
pub(super) fn lock_all(output: &Path) -> Result<Vec<File>, OutputError> {
    let held = |(shard, path): (ShardName, PathBuf)| {
        lock_file(&path)?.ok_or_else(|| OutputError::ShardLocked { output: described(output), shard })
    };
    named(output, LOCK_ENDING)?.into_iter().map(held).collect()
}

pub(super) fn refuse_at_work(output: &Path) -> Result<(), OutputError> {
    lock_all(output).map(drop)
}

/// Refuses a shard while a run of the whole question is at work. The lock is looked at and not made: it is not the shard's.
pub(super) fn refuse_run_at_work(output: &Path, shown: Option<&Manifest>) -> Result<(), OutputError> {
    let at_work = |run: &str| OutputError::RunAtWork { output: described(output), run: run.to_owned() };
    if let Some(running) = shown.filter(|shown| shown.status == Status::Running) {
        return Err(at_work(&running.run));
    }
    let path = output.join(LOCK);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(StagingError::of("opening", &path)(source).into()),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(at_work("another")),
        Err(TryLockError::Error(source)) => Err(StagingError::of("locking", &path)(source).into()),
    }
}

/// Refuses to go on beside accounts that no manifest has taken in.
pub(super) async fn refuse_unmerged(output: &Path, manifest: Option<&Manifest>) -> Result<(), OutputError> {
    let is_open = |account: &&Manifest| !manifest.is_some_and(|manifest| manifest.has_merged(account));
    let accounts = accounts(output).await?;
    let open = accounts.iter().filter(is_open).filter_map(|account| Some(account.shard.as_ref()?.name.to_string()));
    let shards = open.collect::<Vec<_>>().join(", ");
    if shards.is_empty() { Ok(()) } else { Err(OutputError::NotMerged { output: described(output), shards }) }
}

/// The accounts of all shards of an output folder, in the order of their names, as they stand.
///
/// # Errors
/// One that cannot be read; the disk.
pub async fn accounts(output: &Path) -> Result<Vec<Manifest>, OutputError> {
    let names = named(output, ACCOUNT_ENDING)?;
    let mut accounts = Vec::new();
    for (name, _) in names {
        let json = Folder::open(output)?.with_manifest(name.account()).read_manifest().await?;
        accounts.extend(account_of(&described(output), name, json)?);
    }
    Ok(accounts)
}

/// Reads a shard's account, which says itself of which shard it is.
fn account_of(output: &str, shard: ShardName, json: Option<Vec<u8>>) -> Result<Option<Manifest>, OutputError> {
    let is_its_own = |account: Manifest| match account.shard.as_ref().map(|part| part.name) {
        Some(name) if name == shard => Ok(account),
        Some(other) => Err(ManifestError::Damaged(format!("it is the account of shard {other}"))),
        None => Err(ManifestError::Damaged("it is the account of no shard".to_owned())),
    };
    let failed = |why| OutputError::Account { output: output.to_owned(), account: shard.account(), shard, why };
    json.map(|json| Manifest::parse(&json).and_then(is_its_own)).transpose().map_err(failed)
}

/// Files of `_shards/` that are named after a shard and end so, in order.
fn named(output: &Path, ending: &str) -> Result<Vec<(ShardName, PathBuf)>, OutputError> {
    let folder = output.join(SHARDS);
    let failed = || StagingError::of("listing", &folder);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed()(source).into()),
    };
    let mut named = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed())?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).and_then(ShardName::of_file_name);
        let has_ending = path.extension().is_some_and(|found| found == ending);
        named.extend(stem.filter(|_| has_ending).map(|name| (name, path)));
    }
    named.sort();
    Ok(named)
}

/// Whether a part, by its name, is of another shard of the same cut.
pub fn is_of_another_shard(path: &str, own: ShardName) -> bool {
    let ending = path.strip_suffix(".parquet").and_then(|stem| stem.rsplit_once('_'));
    let name = ending.and_then(|(_, name)| ShardName::of_file_name(name));
    name.is_some_and(|name| name != own && name.of() == own.of())
}
