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
//! OUT/_SUCCESS           empty; there only while the manifest's range is covered whole
//! ```

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::failpoint::{self, Step};
use crate::folder;
use crate::journal::record::PartRecord;
use crate::sink::layout::DATA;
use crate::sink::manifest::{MANIFEST, Manifest, ManifestError, SUCCESS};
use crate::sink::rejected::StagedRejected;
use crate::sink::staging::{Staging, StagingError};
use crate::sink::store::{Store, StoreError};
use crate::units::ByteCount;

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
    /// It holds the answer to another question.
    #[error(
        "the output folder {} belongs to another question ({owner})",
        folder.display()
    )]
    AnotherQuestion {
        /// The output folder.
        folder: PathBuf,
        /// The owner's question, as JSON.
        owner: String,
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

/// A locked output folder that belongs to one question.
#[derive(Debug)]
pub struct Output {
    store: Store,
    staging: Staging,
    /// Held, never read: the kernel lets go of the lock when the process ends.
    _lock: File,
}

impl Output {
    /// Makes the folder where it is missing, locks it, and checks whose it is. Gives also its manifest, where it has one.
    ///
    /// `fingerprint` is the question's. `known` are paths of parts that the journal has prepared or published, which a manifest may
    /// not list yet. Staged files are left alone: reveal what was prepared, then call [`Output::discard_staging`].
    ///
    /// # Errors
    /// Where another process holds the folder, another question owns it, it holds Parquet that is neither in its manifest nor
    /// `known`, its manifest cannot be read, or the disk fails.
    pub async fn open(
        output: &Path,
        fingerprint: &str,
        known: &[String],
    ) -> Result<(Self, Option<Manifest>), OutputError> {
        folder::make(output).map_err(StagingError::of("making the output folder", output))?;
        refuse_links(output)?;
        let lock = lock(output)?;
        let store = Store::open(output)?;
        let manifest = store.read(MANIFEST).await?.map(|json| Manifest::parse(&json)).transpose();
        let manifest = manifest.map_err(of_the_manifest(output))?;
        refuse_another_owner(output, fingerprint, manifest.as_ref())?;
        refuse_foreign_files(output, &store, |path| {
            let listed = manifest.iter().flat_map(|manifest| &manifest.parts).any(|part| part.path == path);
            listed || known.iter().any(|known| known == path)
        })
        .await?;
        let data = output.join(DATA);
        folder::make(&data).map_err(StagingError::of("making the folder of the parts", &data))?;
        let staging = Staging::open(output)?;
        Ok((Self { store, staging, _lock: lock }, manifest))
    }

    /// Where files are written before they are revealed.
    pub fn staging(&self) -> Staging {
        self.staging.clone()
    }

    /// Where a published part lies on the disk.
    pub fn part_file(&self, part: &PartRecord) -> PathBuf {
        self.store.file(&part.path)
    }

    /// Whether a published part is there with its recorded size.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn holds(&self, part: &PartRecord) -> Result<bool, OutputError> {
        Ok(self.standing(part).await? == Standing::Whole)
    }

    /// Whether a part is staged, whole or not.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn has_staged(&self, part: &PartRecord) -> Result<bool, OutputError> {
        Ok(self.store.size(&Staging::location(&part.path)).await?.is_some())
    }

    /// What stands where a published part should. Only its size is looked at: reading every byte at every start would take
    /// as long as reading the whole output, and is what `verify` does.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn standing(&self, part: &PartRecord) -> Result<Standing, OutputError> {
        Ok(match self.store.size(&part.path).await? {
            Some(found) if found == part.bytes => Standing::Whole,
            Some(found) => Standing::Damaged { found },
            None => Standing::Missing,
        })
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
        match self.store.size(&Staging::location(&part.path)).await? {
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

    /// Removes parts, durably. What is not there is removed already.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn remove(&self, paths: &[String]) -> Result<(), OutputError> {
        self.take_away(paths, [Step::FormerUnlinked, Step::FormerRemoved]).await
    }

    /// Empties the staging folder. Reveal first what was prepared: it is staged too.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn discard_staging(&self) -> Result<(), OutputError> {
        Ok(self.staging.discard()?)
    }

    /// Makes a staged file of rejected rows visible, over a former one.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn reveal_rejected(&self, rejected: &StagedRejected) -> Result<(), OutputError> {
        self.move_to(&rejected.path, [Step::RejectedRenamed, Step::RejectedRevealed]).await
    }

    /// Replaces the manifest: a reader sees the former one or this one, whole.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn write_manifest(&self, manifest: &Manifest) -> Result<(), OutputError> {
        let json = manifest.to_json().map_err(of_the_manifest(&self.store.file("")))?;
        self.put(MANIFEST, &json, [Step::ManifestRenamed, Step::ManifestRevealed]).await
    }

    /// Says that the manifest's range is covered whole: the last step of a run that is.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn write_success(&self) -> Result<(), OutputError> {
        self.put(SUCCESS, b"", [Step::SuccessRenamed, Step::SuccessRevealed]).await
    }

    /// Whether there is a manifest, and `_SUCCESS` where it should be.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn is_described(&self, should_succeed: bool) -> Result<bool, OutputError> {
        let has_manifest = self.store.size(MANIFEST).await?.is_some();
        Ok(has_manifest && (!should_succeed || self.store.size(SUCCESS).await?.is_some()))
    }

    /// Takes that back: the first step of a run that will change something.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn clear_success(&self) -> Result<(), OutputError> {
        self.take_away(&[SUCCESS.to_owned()], [Step::SuccessUnlinked, Step::SuccessCleared]).await
    }

    async fn put(&self, path: &str, content: &[u8], steps: [Step; 2]) -> Result<(), OutputError> {
        self.staging.write(path, content)?;
        self.move_to(path, steps).await
    }

    /// Gives what is staged its final name, then makes the name durable; the steps are those two.
    async fn move_to(&self, path: &str, [renamed, revealed]: [Step; 2]) -> Result<(), OutputError> {
        self.store.rename_staged(path).await?;
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

/// What lies in the output under a name of ours lies in the output itself: a link there would have it written elsewhere.
fn refuse_links(output: &Path) -> Result<(), OutputError> {
    let names = [LOCK, MANIFEST, SUCCESS, DATA, REJECTED, DAMAGED];
    names.into_iter().map(|name| output.join(name)).try_for_each(|place| {
        folder::refuse_link(&place).map_err(|error| StagingError::of("opening", &place)(error).into())
    })
}

fn of_the_manifest(folder: &Path) -> impl FnOnce(ManifestError) -> OutputError {
    let folder = folder.to_owned();
    move |source| OutputError::Manifest { folder, source }
}

fn lock(folder: &Path) -> Result<File, OutputError> {
    let path = folder.join(LOCK);
    let mut options = File::options();
    let file =
        options.create(true).truncate(false).write(true).open(&path).map_err(StagingError::of("creating", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OutputError::Locked { folder: folder.to_owned() }),
        Err(TryLockError::Error(source)) => Err(StagingError::of("locking", &path)(source).into()),
    }
}

fn refuse_another_owner(folder: &Path, fingerprint: &str, manifest: Option<&Manifest>) -> Result<(), OutputError> {
    match manifest.filter(|manifest| manifest.fingerprint != fingerprint) {
        None => Ok(()),
        Some(other) => {
            Err(OutputError::AnotherQuestion { folder: folder.to_owned(), owner: other.question.to_string() })
        }
    }
}

async fn refuse_foreign_files(folder: &Path, store: &Store, is_ours: impl Fn(&str) -> bool) -> Result<(), OutputError> {
    let mut foreign = store.parquet_files().await?;
    foreign.retain(|path| !is_ours(path));
    if foreign.is_empty() {
        return Ok(());
    }
    let count = foreign.len();
    foreign.truncate(NAMED);
    Err(OutputError::Foreign { folder: folder.to_owned(), count, examples: foreign.join(", ") })
}

#[cfg(test)]
mod tests;
