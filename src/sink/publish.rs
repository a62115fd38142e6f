//! The output folder: who owns it, and how files become visible in it.
//!
//! [`Output`] holds the folder's lock for as long as it lives. It never decides when a part may be seen: the exporter calls
//! `stage`, tells its journal, calls [`Output::reveal`], tells its journal again. Every step here is durable when it returns and
//! may be repeated after a crash. Dropping a future half-way is safe for the same reason.
//!
//! ```text
//! OUT/.lock              held by the kernel for one process; empty
//! OUT/.staging/          files being written
//! OUT/data/query_region=…/…   parts: the root of the table, with nothing else in it
//! OUT/_manifest.json     the owner and the list of parts
//! OUT/_rejected/…        rows that no column can take
//! OUT/_damaged/…         parts that were not what they should be, moved aside
//! OUT/_shards/2-of-4.…   a shard's account, its lock, and the folder of its files being written
//! OUT/_SUCCESS           empty; there only while the manifest's range is covered whole
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::api::contract::Region;
use crate::failpoint::{self, Step};
use crate::folder;
use crate::journal::record::PartRecord;
use crate::sink::identity::Identity;
use crate::sink::layout::DATA;
use crate::sink::manifest::{MANIFEST, Manifest, ManifestError, SUCCESS};
use crate::sink::rejected::StagedRejected;
use crate::sink::shard::ShardName;
use crate::sink::staging::{Staging, StagingError};
use crate::sink::store::{Store, StoreError};
use crate::units::{ByteCount, TimeRange};

mod owner;
mod shards;

use owner::{foreign_files, lock, move_into_the_table, refuse_another_owner, refuse_foreign_files, refuse_links};

pub use shards::{accounts, is_of_another_shard};

/// The lock's name in the output folder.
const LOCK: &str = ".lock";
/// Where damaged parts are moved to; readers skip a folder of such a name, and no `*.parquet` pattern finds the files.
const DAMAGED: &str = "_damaged";
/// Where rows lie that no column can take.
const REJECTED: &str = "_rejected";
/// How often one part's file is set aside.
const MOST_SET_ASIDE: u32 = 100;
/// Foreign files that an error names before it only counts them.
const NAMED: usize = 3;

/// Why the output folder could not be used.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Another process writes into it.
    #[error("another run holds the output folder {}", folder.display())]
    Locked {
        /// The output folder.
        folder: PathBuf,
    },
    /// Another process writes a shard of it.
    #[error("another run holds shard {shard} of the output folder {}", folder.display())]
    ShardLocked {
        /// The output folder.
        folder: PathBuf,
        /// The shard.
        shard: ShardName,
    },
    /// A run of the whole question is at work on it, or was when it ended without a word.
    #[error("run {run} of the whole question has not ended in the output folder {}, so no shard can begin there", folder.display())]
    RunAtWork {
        /// The output folder.
        folder: PathBuf,
        /// The run; `another` where it is not known.
        run: String,
    },
    /// Shards have read what no manifest lists yet.
    #[error("the output folder {} holds what shards have read and `merge` has not taken in: {shards}", folder.display())]
    NotMerged {
        /// The output folder.
        folder: PathBuf,
        /// The shards.
        shards: String,
    },
    /// It holds the answer to another question.
    #[error("the output folder {} belongs to another question: {differences}", folder.display())]
    AnotherQuestion {
        /// The output folder.
        folder: PathBuf,
        /// In what this one differs, for a person.
        differences: String,
        /// Whether it is only laid out in another partition.
        is_layout_alone: bool,
    },
    /// Its manifest is not the one that was last written or read here.
    #[error(
        "the manifest of the output folder {} was replaced meanwhile by something else: generation {expected} was expected, and \
         {found} is there",
        folder.display()
    )]
    Replaced {
        /// The output folder.
        folder: PathBuf,
        /// The generation that should be there.
        expected: u64,
        /// What is there: a generation, or no manifest.
        found: String,
    },
    /// It holds Parquet that no manifest lists.
    #[error(
        "the output folder {} holds Parquet that this program did not write there ({count} files, such as {examples})",
        folder.display()
    )]
    Foreign {
        /// The output folder.
        folder: PathBuf,
        /// How many.
        count: usize,
        /// The first few.
        examples: String,
    },
    /// A part is neither staged nor published as it was recorded.
    #[error("the part {path} is lost: {found}, but {recorded} were recorded")]
    Lost {
        /// Its path below the output folder.
        path: String,
        /// What is there.
        found: String,
        /// What should be there.
        recorded: ByteCount,
    },
    /// The same part was damaged so often that something else is wrong.
    #[error("the part {path} was damaged {MOST_SET_ASIDE} times; what was found is in {DAMAGED}")]
    TooManySetAside {
        /// Its path below the output folder.
        path: String,
    },
    /// The folder's manifest cannot be trusted.
    #[error("the output folder {}: {source}", folder.display())]
    Manifest {
        /// The output folder.
        folder: PathBuf,
        /// Why.
        source: ManifestError,
    },
    /// The disk.
    #[error(transparent)]
    Disk(#[from] StagingError),
    /// The disk, through the store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

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

/// On whose behalf an output folder is opened: what is written, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seat {
    /// The output as a whole: its manifest and `_SUCCESS`.
    Whole,
    /// One shard of it: its account. What readers are shown is not the shard's to change.
    Shard {
        name: ShardName,
        /// The parts that the output's manifest lists.
        shown: BTreeMap<String, (Region, TimeRange)>,
    },
}

impl Seat {
    /// Where what is said of the output lies, below its folder.
    fn account(&self) -> String {
        match self {
            Self::Whole => MANIFEST.to_owned(),
            Self::Shard { name, .. } => name.account(),
        }
    }
}

/// A locked output folder that belongs to one question.
#[derive(Debug)]
pub struct Output {
    store: Store,
    staging: Staging,
    seat: Seat,
    /// The generation of the manifest that is there; none where there is none.
    generation: Mutex<Option<u64>>,
    /// Held, never read: the kernel lets go of the locks when the process ends.
    _locks: Vec<File>,
}

impl Output {
    /// Makes the folder where it is missing, locks it, and checks whose it is. Gives also its manifest, where it has one.
    ///
    /// `known` are paths of parts that the journal has prepared or published, which a manifest may not list yet. Staged files are
    /// left alone: reveal what was prepared, then call [`Output::discard_staging_but`]. Parts of an output of format 1 are moved into the
    /// table's folder, where its manifest, as it is given here, says that they are. A part that the manifest's run has
    /// revealed and that nobody knows, because the state was lost, is moved aside.
    ///
    /// # Errors
    /// Where another process holds the folder, another question owns it, it holds Parquet that is neither in its manifest nor
    /// `known`, its manifest cannot be read, or the disk fails.
    pub async fn open(
        output: &Path,
        identity: &Identity,
        known: &[String],
    ) -> Result<(Self, Option<Manifest>), OutputError> {
        folder::make(output).map_err(StagingError::of("making the output folder", output))?;
        refuse_links(output)?;
        let (lock, store) = (lock(output)?, Store::open(output)?);
        shards::refuse_at_work(output)?;
        let manifest = read(&store, MANIFEST).await?;
        refuse_another_owner(output, identity, manifest.as_ref())?;
        shards::refuse_unmerged(&store, manifest.as_ref()).await?;
        Self::open_whole(output, (store, vec![lock]), manifest, known).await
    }

    async fn open_whole(
        output: &Path,
        (store, locks): (Store, Vec<File>),
        manifest: Option<Manifest>,
        known: &[String],
    ) -> Result<(Self, Option<Manifest>), OutputError> {
        let data = output.join(DATA);
        let make_data = || folder::make(&data).map_err(StagingError::of("making the folder of the parts", &data));
        if let Some(manifest) = manifest.as_ref().filter(|manifest| manifest.manifest_version == 1) {
            make_data()?;
            move_into_the_table(&store, manifest).await?;
        }
        let foreign = foreign_files(&store, manifest.as_ref(), known).await?;
        refuse_foreign_files(output, &foreign, manifest.as_ref())?;
        make_data()?;
        let staging = Staging::open(output)?;
        let generation = Mutex::new(manifest.as_ref().map(|manifest| manifest.generation));
        let opened = Self { store, staging, seat: Seat::Whole, generation, _locks: locks };
        opened.set_all_aside(foreign).await?;
        Ok((opened, manifest))
    }

    async fn set_all_aside(&self, foreign: Vec<String>) -> Result<(), OutputError> {
        for path in foreign {
            let aside = self.set_aside(&path).await?;
            tracing::warn!(part.path = path, ?aside, "a part that neither manifest nor state knows was moved aside");
        }
        Ok(())
    }

    /// The manifest of a folder that is not opened, as it stands; none where there is none.
    ///
    /// # Errors
    /// Where it cannot be read, or cannot be trusted.
    pub async fn look(output: &Path) -> Result<Option<Manifest>, OutputError> {
        if !output.is_dir() {
            return Ok(None);
        }
        read(&Store::open(output)?, MANIFEST).await
    }

    /// Where files are written before they are revealed.
    pub fn staging(&self) -> Staging {
        self.staging.clone()
    }

    /// Where a published part lies on the disk, or one that waits.
    pub fn part_file(&self, part: &PartRecord) -> PathBuf {
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

    /// The folder, for a person.
    pub fn folder(&self) -> String {
        self.store.root().display().to_string()
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
            None if self.seat != Seat::Whole => match self.store.size(&self.staging.location(&part.path)).await? {
                Some(found) if found == part.bytes => Standing::Whole,
                _ => Standing::Missing,
            },
            Some(found) => Standing::Damaged { found },
            None => Standing::Missing,
        })
    }

    /// The same of a part that waits under its staging name, or has its own name already.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn standing_of_held(&self, part: &PartRecord) -> Result<Standing, OutputError> {
        match self.store.size(&self.staging.location(&part.path)).await? {
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
        match self.store.size(&self.staging.location(&part.path)).await? {
            Some(bytes) if bytes == part.bytes => {
                self.move_to(&part.path, [Step::PartRenamed, Step::PartRevealed]).await?;
                Ok(Revealed::Moved)
            }
            _ if self.holds(part).await? => {
                self.store.sync_upwards(&part.path)?;
                Ok(Revealed::Already)
            }
            Some(bytes) => Err(lost(format!("{bytes} are staged"))),
            None => Err(lost("nothing of that size is there".to_owned())),
        }
    }

    /// Removes parts, durably. What is not there is removed already. A shard removes nothing that readers are shown.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn remove(&self, paths: &[String]) -> Result<(), OutputError> {
        let is_its_own = |path: &&String| match &self.seat {
            Seat::Whole => true,
            Seat::Shard { shown, .. } => !shown.contains_key(*path),
        };
        let paths: Vec<String> = paths.iter().filter(is_its_own).cloned().collect();
        self.take_away(&paths, [Step::FormerUnlinked, Step::FormerRemoved]).await
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
        self.move_to(&rejected.path, [Step::RejectedRenamed, Step::RejectedRevealed]).await
    }

    /// Removes a file of rejected rows, where a former start left one.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn remove_rejected(&self, path: &str) -> Result<(), OutputError> {
        if self.store.file(path).exists() { self.remove(&[path.to_owned()]).await } else { Ok(()) }
    }

    /// Replaces the manifest by this one, which gets the next generation: a reader sees the former one or this one, whole. This is the
    /// one moment at which anything changes for who goes by the manifest.
    ///
    /// # Errors
    /// [`OutputError::Replaced`] where another manifest is there than the last one that was read or written here; or the disk fails.
    pub async fn commit(&self, manifest: &mut Manifest) -> Result<(), OutputError> {
        let expected = *self.generation();
        let place = self.seat.account();
        let found = self.store.read(&place).await?.map(|json| Manifest::generation_of(&json)).transpose();
        let found = found.map_err(of_the_manifest(self.store.root()))?;
        // A manifest that went is written again; one that came is somebody else's.
        if found.is_some() && found != expected {
            let told =
                |generation: Option<u64>| generation.map_or("no manifest".to_owned(), |number| number.to_string());
            let (folder, expected) = (self.store.root().to_owned(), expected.unwrap_or(0));
            return Err(OutputError::Replaced { folder, expected, found: told(found) });
        }
        manifest.generation = expected.unwrap_or(0).max(manifest.generation) + 1;
        let json = manifest.to_json().map_err(of_the_manifest(self.store.root()))?;
        self.put(&place, &json, [Step::ManifestRenamed, Step::ManifestRevealed]).await?;
        *self.generation() = Some(manifest.generation);
        Ok(())
    }

    fn generation(&self) -> MutexGuard<'_, Option<u64>> {
        self.generation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that the manifest's range is covered whole: the last step of a run that is.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn write_success(&self) -> Result<(), OutputError> {
        if self.seat != Seat::Whole {
            return Ok(());
        }
        self.put(SUCCESS, b"", [Step::SuccessRenamed, Step::SuccessRevealed]).await
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

    /// Takes that back: the first step of a run that will change something.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn clear_success(&self) -> Result<(), OutputError> {
        if self.seat != Seat::Whole {
            return Ok(());
        }
        self.take_away(&[SUCCESS.to_owned()], [Step::SuccessUnlinked, Step::SuccessCleared]).await
    }

    async fn put(&self, path: &str, content: &[u8], steps: [Step; 2]) -> Result<(), OutputError> {
        self.staging.write(path, content)?;
        self.move_to(path, steps).await
    }

    /// Gives what is staged its final name, then makes the name durable; the steps are those two.
    async fn move_to(&self, path: &str, [renamed, revealed]: [Step; 2]) -> Result<(), OutputError> {
        self.store.rename_staged(&self.staging, path).await?;
        failpoint::pass(renamed);
        self.store.sync_upwards(path)?;
        failpoint::pass(revealed);
        Ok(())
    }

    /// Removes files, then makes their absence durable; the steps are those two. Also what is not there is synced: an earlier
    /// process may have died between the two.
    async fn take_away(&self, paths: &[String], [unlinked, removed]: [Step; 2]) -> Result<(), OutputError> {
        for path in paths {
            self.store.unlink(path).await?;
            failpoint::pass(unlinked);
        }
        self.store.sync_folders_of(paths)?;
        if !paths.is_empty() {
            failpoint::pass(removed);
        }
        Ok(())
    }
}

/// The manifest at a path below the output folder, or a shard's account; none where there is none.
async fn read(store: &Store, path: &str) -> Result<Option<Manifest>, OutputError> {
    let manifest = store.read(path).await?.map(|json| Manifest::parse(&json)).transpose();
    manifest.map_err(of_the_manifest(store.root()))
}

fn of_the_manifest(folder: &Path) -> impl FnOnce(ManifestError) -> OutputError {
    let folder = folder.to_owned();
    move |source| OutputError::Manifest { folder, source }
}

#[cfg(test)]
mod tests;
