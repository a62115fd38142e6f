//! An output: who owns it, and how files become visible in it.
//!
//! [`Output`] is open for one process: of a folder it holds the lock for as long as it lives, of a bucket it has claimed the manifest,
//! and another process that claims it later makes the next commit fail. It never decides when a part may be seen: the exporter calls
//! `stage`, tells its journal, calls [`Output::reveal`], tells its journal again. Every step here is durable when it returns and
//! may be repeated after a crash. Dropping a future half-way is safe for the same reason.
//!
//! ```text
//! OUT/.lock              held by the kernel for one process; empty; of a folder only
//! OUT/.staging/          files being written; of a bucket it is STATE/.staging/
//! OUT/data/query_region=…/…   parts: the root of the table, with nothing else in it but a table's log
//! OUT/data/_delta_log/…  the log, where the output is kept as a table too
//! OUT/_manifest.json     the owner and the list of parts
//! OUT/_rejected/…        rows that no column can take
//! OUT/_damaged/…         parts that were not what they should be, moved aside
//! OUT/_shards/2-of-4.…   a shard's account, its lock, and the folder of its files being written; of a folder only
//! OUT/_uploads/…         of a bucket only: notes of the uploads in pieces that are under way
//! OUT/_probe-…           there for a moment at a start: whether a bucket heeds the conditions of a write
//! OUT/_SUCCESS           empty; there only while the manifest's range is covered whole
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};

use crate::api::contract::Region;
use crate::failpoint::{self, CrashStep};
use crate::folder;
use crate::journal::record::PartRecord;
use crate::sink::identity::Identity;
use crate::sink::layout::DATA;
use crate::sink::manifest::{MANIFEST, Manifest, ManifestError, SUCCESS};
use crate::sink::rejected::StagedRejected;
use crate::sink::shard::ShardName;
use crate::sink::staging::{Names, Staging, StagingError};
use crate::sink::store::{LocalFile, Sharing, Store};
use crate::units::{ByteCount, TimeRange};

mod commit;
mod error;
mod owner;
mod shards;
mod table;
mod target;

pub use error::OutputError;
pub use shards::{accounts, is_of_another_shard};
pub use table::TableStanding;
pub use target::{Target, described_at};

pub(in crate::sink) use table::replay as replay_log;

use owner::{foreign_files, move_into_the_table, refuse_another_owner, refuse_foreign_files};
use table::Log;

/// The lock's name in the output folder.
const LOCK: &str = ".lock";
/// Where damaged parts are moved to; readers skip a folder of such a name, and no `*.parquet` pattern finds the files.
const DAMAGED: &str = "_damaged";
/// Where rows lie that no column can take.
const REJECTED: &str = "_rejected";
/// Parts that are looked at at once: a bucket answers each look after a while.
const LOOKS_AT_ONCE: usize = 16;
/// Parts of a region whose footers are read at a run's end: of a bucket each takes two requests.
const MOST_LOOKED_AT: usize = 64;
/// How often one part's file is set aside.
const MOST_SET_ASIDE: u32 = 100;
/// How often a bucket is looked through for files that are nobody's, and how long between.
const LOOKS_AT_FOREIGN_FILES: u32 = 5;
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
/// Foreign files that an error names before it only counts them.
const NAMED: usize = 3;

/// What [`Output::reveal`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revealed {
    /// The part was staged, and is visible from here on.
    Moved,
    /// The part was visible already.
    Already,
}

/// What stands where a published part should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A file of the recorded size.
    Whole,
    /// None.
    Missing,
    /// A file of another size.
    Damaged {
        /// Its size.
        found: ByteCount,
    },
}

/// On whose behalf an output is opened: what is written, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seat {
    /// The output as a whole: its manifest and `_SUCCESS`.
    Whole,
    /// One shard of a folder: its account. What readers are shown is not the shard's to change.
    Shard {
        name: ShardName,
        /// The parts that the output's manifest lists.
        shown: BTreeMap<String, (Region, TimeRange)>,
    },
}

impl Seat {
    /// Where what is said of the output lies, below it.
    fn account(&self) -> String {
        match self {
            Self::Whole => MANIFEST.to_owned(),
            Self::Shard { name, .. } => name.account(),
        }
    }
}

/// An output that belongs to one question, open for one process.
#[derive(Debug)]
pub struct Output {
    store: Arc<dyn Store>,
    described: String,
    writer: String,
    staging: Staging,
    seat: Seat,
    /// The generation of the manifest that is there; none where there is none.
    generation: Mutex<Option<u64>>,
    /// What the table's log says; as it begins where the output is no table.
    log: Mutex<Log>,
    /// Parts that were put into a bucket and that no manifest lists yet.
    unlisted: Mutex<BTreeSet<String>>,
    /// Held, never read: the kernel lets go of the locks when the process ends.
    _locks: Vec<File>,
}

impl Output {
    /// Makes the folder where it is missing, locks it, and checks whose it is; a bucket's manifest is claimed instead. Gives also its
    /// manifest, where it has one.
    ///
    /// `known` are paths of parts that the journal has prepared or published, which a manifest may not list yet. Staged files are
    /// left alone: reveal what was prepared, then call [`Output::discard_staging_but`]. Parts of an output of format 1 are moved into the
    /// table's folder, where its manifest, as it is given here, says that they are. A part that the manifest's run has
    /// revealed and that nobody knows, because the state was lost, is moved aside, and the manifest that is given says nothing of its seconds.
    ///
    /// # Errors
    /// Where another process holds the output, another question owns it, it holds Parquet that is neither in its manifest nor
    /// `known`, its manifest cannot be read, its store cannot keep two writers apart, or the store fails.
    pub async fn open(
        target: impl Into<Target>,
        identity: &Identity,
        known: &[String],
    ) -> Result<(Self, Option<Manifest>), OutputError> {
        let target = target.into();
        let (store, lock) = target.begin()?;
        if let Some(folder) = target.address.folder() {
            shards::refuse_at_work(folder)?;
        }
        let opened = Self::of(store, lock.into_iter().collect(), &target);
        opened.try_out().await?;
        let manifest = opened.read(identity).await?;
        if let Some(folder) = target.address.folder() {
            shards::refuse_unmerged(folder, manifest.as_ref()).await?;
        }
        let aside = opened.take(manifest.as_ref(), known).await?;
        Ok((opened, manifest.map(|manifest| manifest.without(&aside))))
    }

    fn of(store: Arc<dyn Store>, locks: Vec<File>, target: &Target) -> Self {
        let (beside, names) = match store.sharing() {
            Sharing::Locked => (store.file(""), Names::BySlice),
            Sharing::Conditional => (target.local.clone(), Names::ByContent),
        };
        Self {
            store,
            described: target.described(),
            writer: target.writer.clone(),
            staging: Staging::at(&beside).naming(names),
            seat: Seat::Whole,
            generation: Mutex::default(),
            log: Mutex::default(),
            unlisted: Mutex::default(),
            _locks: locks,
        }
    }

    /// Tries whether conditions are heeded in a bucket.
    async fn try_out(&self) -> Result<(), OutputError> {
        if self.store.sharing() == Sharing::Conditional {
            self.staging.make()?;
            self.store.probe(&self.staging).await?;
        }
        Ok(())
    }

    /// The manifest, which is that of the same question; none where there is none.
    async fn read(&self, identity: &Identity) -> Result<Option<Manifest>, OutputError> {
        let manifest = self.store.read_manifest().await?.map(|json| Manifest::parse(&json)).transpose();
        let manifest = manifest.map_err(self.of_the_manifest())?;
        refuse_another_owner(&self.described, identity, manifest.as_ref())?;
        Ok(manifest)
    }

    /// Makes the output this process's, once it is clear whose it is. Gives the paths of parts that were moved aside.
    async fn take(&self, manifest: Option<&Manifest>, known: &[String]) -> Result<Vec<String>, OutputError> {
        if let Some(manifest) = manifest.filter(|manifest| manifest.manifest_version == 1) {
            self.make_data()?;
            move_into_the_table(&*self.store, manifest).await?;
        }
        *self.generation() = manifest.map(|manifest| manifest.generation);
        let foreign = self.only_ours(manifest, known).await?;
        self.make_data()?;
        self.staging.make()?;
        self.claim(manifest).await?;
        self.open_log_without(manifest, &foreign).await?;
        self.set_all_aside(&foreign).await?;
        Ok(foreign)
    }

    /// Files of the manifest's own run that neither it nor the state knows. In a bucket others may be those of a process that began since the
    /// manifest was read, or of one that has lost and takes them back at this moment, so they are looked for again before they are refused.
    async fn only_ours(&self, manifest: Option<&Manifest>, known: &[String]) -> Result<Vec<String>, OutputError> {
        let mut looks = if self.store.sharing() == Sharing::Conditional { LOOKS_AT_FOREIGN_FILES } else { 1 };
        loop {
            let mut found = foreign_files(&*self.store, manifest, known).await?;
            let in_the_log = self.in_the_log(&found, manifest, known).await?;
            found.retain(|path| !in_the_log.contains(path));
            looks -= 1;
            match refuse_foreign_files(&self.described, &found, manifest) {
                Ok(()) => return Ok(found),
                Err(refusal) => {
                    self.refuse_newer_than(manifest).await?;
                    if looks == 0 {
                        return Err(refusal);
                    }
                }
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    async fn set_all_aside(&self, foreign: &[String]) -> Result<(), OutputError> {
        for path in foreign {
            let aside = self.set_aside(path).await?;
            tracing::warn!(part.path = path, ?aside, "a part that neither manifest nor state knows was moved aside");
        }
        Ok(())
    }

    /// Makes the folder of the parts; a bucket has no folders.
    fn make_data(&self) -> Result<(), OutputError> {
        if self.store.sharing() == Sharing::Conditional {
            return Ok(());
        }
        let data = self.store.file(DATA);
        Ok(folder::make(&data).map_err(StagingError::of("making the folder of the parts", &data))?)
    }

    /// Whether what is staged lies in the state's folder, and not beside what readers see.
    pub fn stages_beside_the_state(&self) -> bool {
        self.store.sharing() == Sharing::Conditional
    }

    /// Where files are written before they are revealed.
    pub fn staging(&self) -> Staging {
        self.staging.clone()
    }

    /// A published part, or one that waits, as a file of this machine; of a part that is in a bucket alone it is a copy.
    ///
    /// # Errors
    /// Where it cannot be copied.
    pub async fn local(&self, part: &PartRecord) -> Result<LocalFile, OutputError> {
        let staged = self.staging.file(&part.path);
        let is_published = self.store.sharing() == Sharing::Locked && self.store.file(&part.path).exists();
        if !is_published && staged.exists() {
            return Ok(LocalFile::original(staged));
        }
        Ok(self.store.local(&part.path, &self.staging.place_for_copy()).await?)
    }

    /// Where a published part lies in a folder, or one that waits.
    #[cfg(test)]
    pub(crate) fn part_file(&self, part: &PartRecord) -> PathBuf {
        let (published, staged) = (self.store.file(&part.path), self.staging.file(&part.path));
        if !published.exists() && staged.exists() { staged } else { published }
    }

    /// Whether a published part is there with its recorded size.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn holds(&self, part: &PartRecord) -> Result<bool, OutputError> {
        Ok(self.standing(part).await? == Standing::Whole)
    }

    /// The output's address, for a person.
    pub fn told(&self) -> String {
        self.store.told()
    }

    /// What stands where a published part should. Only its size is looked at: reading every byte at every start would take
    /// as long as reading the whole output, and is what `verify` does.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn standing(&self, part: &PartRecord) -> Result<Standing, OutputError> {
        Ok(match self.store.size(&part.path).await? {
            Some(found) if found == part.bytes => Standing::Whole,
            // What a shard has read in place of something else waits for `merge`.
            None if self.seat != Seat::Whole && self.staging.size(&part.path) == Some(part.bytes) => Standing::Whole,
            Some(found) => Standing::Damaged { found },
            None => Standing::Missing,
        })
    }

    /// The same of many parts, in their order.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn standings(&self, parts: &[PartRecord]) -> Result<Vec<Standing>, OutputError> {
        let looks: Vec<_> = parts.iter().map(|part| self.standing(part)).collect();
        futures::stream::iter(looks).buffered(LOOKS_AT_ONCE).try_collect().await
    }

    /// The same of a part that waits under its staging name, or has its own name already.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn standing_of_held(&self, part: &PartRecord) -> Result<Standing, OutputError> {
        match self.staging.size(&part.path) {
            Some(found) if found == part.bytes => Ok(Standing::Whole),
            _ => self.standing(part).await,
        }
    }

    /// Moves what stands at a part's path to a place that no reader of Parquet looks at, durably, and says where. Where
    /// nothing stands there, nothing is done.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn set_aside(&self, path: &str) -> Result<Option<PathBuf>, OutputError> {
        if self.store.size(path).await?.is_none() {
            return Ok(None);
        }
        for number in 1..=MOST_SET_ASIDE {
            let aside = format!("{DAMAGED}/{}.{number}.damaged", path.replace('/', ","));
            if self.store.size(&aside).await?.is_none() {
                self.store.move_to(path, &aside).await?;
                return Ok(Some(self.store.file(&aside)));
            }
        }
        Err(OutputError::TooManySetAside { path: path.to_owned() })
    }

    /// Makes a staged part visible, durably. Repeating it is harmless.
    ///
    /// # Errors
    /// [`OutputError::Lost`] where the part is neither staged nor visible with its recorded size; or the disk fails.
    pub async fn reveal(&self, part: &PartRecord) -> Result<Revealed, OutputError> {
        let lost = |found: String| OutputError::Lost { path: part.path.clone(), found, recorded: part.bytes };
        match self.staging.size(&part.path) {
            Some(bytes) if bytes == part.bytes => {
                self.unlisted().insert(part.path.clone());
                self.move_to(&part.path, [CrashStep::PartRenamed, CrashStep::PartRevealed]).await?;
                Ok(Revealed::Moved)
            }
            _ if self.holds(part).await? => {
                self.store.settle(&part.path)?;
                Ok(Revealed::Already)
            }
            Some(bytes) => Err(lost(format!("{bytes} are staged"))),
            None => Err(lost("nothing of that size is there".to_owned())),
        }
    }

    /// Removes parts, durably. What is not there is removed already. A shard removes nothing that readers are shown; and what a table has
    /// listed stays for those who read a former version of it, until [`Output::vacuum`].
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn remove(&self, paths: &[String]) -> Result<(), OutputError> {
        let is_its_own = |path: &&String| match &self.seat {
            Seat::Whole => true,
            Seat::Shard { shown, .. } => !shown.contains_key(*path),
        };
        let kept = self.kept_for_readers_of_the_table();
        let is_kept = |path: &&String| kept.contains(*path);
        let paths: Vec<String> = paths.iter().filter(|path| is_its_own(path) && !is_kept(path)).cloned().collect();
        self.take_away(&paths, [CrashStep::FormerUnlinked, CrashStep::FormerRemoved]).await
    }

    /// Removes the folders in which these parts were, where nothing is left in them.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn remove_empty_folders_of(&self, paths: &[String]) -> Result<(), OutputError> {
        Ok(self.store.remove_empty_folders_of(paths)?)
    }

    /// Empties the staging folder, but for what is staged for these paths. Reveal first what was prepared: it is staged too.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn discard_staging_but(&self, paths: &[String]) -> Result<(), OutputError> {
        Ok(self.staging.discard_but(paths)?)
    }

    /// Makes a staged file of rejected rows visible, over a former one.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn reveal_rejected(&self, rejected: &StagedRejected) -> Result<(), OutputError> {
        self.move_to(&rejected.path, [CrashStep::RejectedRenamed, CrashStep::RejectedRevealed]).await?;
        Ok(self.staging.remove(&rejected.path)?)
    }

    /// Removes a file of rejected rows, where a former start left one.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn remove_rejected(&self, path: &str) -> Result<(), OutputError> {
        match self.store.size(path).await? {
            Some(_) => self.remove(&[path.to_owned()]).await,
            None => Ok(()),
        }
    }

    fn generation(&self) -> MutexGuard<'_, Option<u64>> {
        self.generation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unlisted(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.unlisted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of_the_manifest(&self) -> impl FnOnce(ManifestError) -> OutputError + use<> {
        of_the_manifest(&self.described)
    }

    /// Says that the manifest's range is covered whole: the last step of a run that is.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn write_success(&self) -> Result<(), OutputError> {
        if self.seat != Seat::Whole {
            return Ok(());
        }
        self.staging.write(SUCCESS, b"")?;
        self.move_to(SUCCESS, [CrashStep::SuccessRenamed, CrashStep::SuccessRevealed]).await?;
        Ok(self.staging.remove(SUCCESS)?)
    }

    /// Whether the manifest that is there, or was when it was read or written last, is of this generation.
    pub fn is_at(&self, generation: u64) -> bool {
        *self.generation() == Some(generation)
    }

    /// Whether there is a manifest, and `_SUCCESS` where it should be.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn is_described(&self, should_succeed: bool) -> Result<bool, OutputError> {
        let has_manifest = self.store.size(&self.seat.account()).await?.is_some();
        let should_succeed = should_succeed && self.seat == Seat::Whole;
        Ok(has_manifest && (!should_succeed || self.store.size(SUCCESS).await?.is_some()))
    }

    /// Takes that back: the first step of a run that will change something. In a bucket it may be that of somebody who took the output over and
    /// has finished: then it stays.
    ///
    /// # Errors
    /// [`OutputError::Replaced`] in that case; where the disk fails.
    pub async fn clear_success(&self) -> Result<(), OutputError> {
        if self.seat != Seat::Whole {
            return Ok(());
        }
        if self.store.sharing() == Sharing::Conditional {
            if self.store.size(SUCCESS).await?.is_none() {
                failpoint::pass(CrashStep::SuccessUnlinked);
                failpoint::pass(CrashStep::SuccessCleared);
                return Ok(());
            }
            self.refuse_others_manifest().await?;
        }
        self.take_away(&[SUCCESS.to_owned()], [CrashStep::SuccessUnlinked, CrashStep::SuccessCleared]).await
    }

    /// Gives what is staged its final name, then makes the name durable; the steps are those two.
    async fn move_to(&self, path: &str, [renamed, revealed]: [CrashStep; 2]) -> Result<(), OutputError> {
        if let Err(error) = self.store.reveal(&self.staging, path).await {
            return Err(self.or_replaced(error).await);
        }
        failpoint::pass(renamed);
        self.store.settle(path)?;
        failpoint::pass(revealed);
        Ok(())
    }

    /// Removes files, then makes their absence durable; the steps are those two. Also what is not there is synced: an earlier
    /// process may have died between the two.
    async fn take_away(&self, paths: &[String], [unlinked, removed]: [CrashStep; 2]) -> Result<(), OutputError> {
        for path in paths {
            self.store.unlink(path).await?;
            failpoint::pass(unlinked);
        }
        self.store.settle_removed(paths)?;
        if !paths.is_empty() {
            failpoint::pass(removed);
        }
        Ok(())
    }
}

fn of_the_manifest(output: &str) -> impl FnOnce(ManifestError) -> OutputError + use<> {
    let output = output.to_owned();
    move |source| OutputError::Manifest { output, source }
}

#[cfg(test)]
mod bucket_tests;
#[cfg(test)]
mod tests;
