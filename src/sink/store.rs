//! Moving, removing and listing files of the output folder, durably.
//!
//! It goes through `object_store`, so that a cloud can follow as another way to reveal what was staged. Two things are done
//! beside it, because its local store does not: removed names are synced, and after a rename every folder up to the output
//! folder is synced, since a folder that an earlier, killed attempt had made would otherwise not be. Files are staged without it:
//! its own uploads stand beside their goal under a visible name (`part.parquet#1`), which readers of whole folders would take
//! for data.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use futures::TryStreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;
use object_store::{ObjectStore as _, ObjectStoreExt as _};

use crate::sink::staging::{Staging, StagingError, sync_folder};
use crate::units::ByteCount;

/// Why the output folder could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store would not do it.
    #[error("{doing} {path} failed: {source}")]
    Object {
        /// What was being done.
        doing: &'static str,
        /// To what, below the output folder.
        path: String,
        /// Why it failed.
        source: object_store::Error,
    },
    /// The disk would not do it.
    #[error(transparent)]
    Disk(#[from] StagingError),
}

/// A local output folder.
#[derive(Clone, Debug)]
pub struct Store {
    objects: LocalFileSystem,
    root: PathBuf,
}

impl Store {
    /// The folder at `root`, which exists.
    ///
    /// # Errors
    /// Where it cannot be resolved.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let objects = LocalFileSystem::new_with_prefix(root).map_err(failed("opening", &root.display().to_string()))?;
        Ok(Self { objects: objects.with_fsync(true), root: root.to_owned() })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a file of the folder lies on the disk.
    pub fn file(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Moves what is staged for `path` there, as `staging` has it, over what stands there. Durable only after [`Store::sync_upwards`].
    ///
    /// # Errors
    /// Where nothing is staged, or the disk fails. What was staged is then either still there or moved.
    pub async fn rename_staged(&self, staging: &Staging, path: &str) -> Result<(), StoreError> {
        let staged = location(&staging.location(path))?;
        self.objects.rename(&staged, &location(path)?).await.map_err(failed("revealing", path))
    }

    /// Moves a file to where none stands, durably.
    ///
    /// # Errors
    /// Where it is not there, or the disk fails.
    pub async fn move_to(&self, path: &str, target: &str) -> Result<(), StoreError> {
        self.objects.rename(&location(path)?, &location(target)?).await.map_err(failed("moving", path))?;
        self.sync_upwards(target)?;
        self.sync_upwards(path)
    }

    /// Makes the names of `path` and of its folders durable.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn sync_upwards(&self, path: &str) -> Result<(), StoreError> {
        let folders = Path::new(path).ancestors().skip(1);
        folders.map(|folder| self.root.join(folder)).try_for_each(|folder| Ok(sync_folder(&folder)?))
    }

    /// The size of a file; none where there is no such file.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn size(&self, path: &str) -> Result<Option<ByteCount>, StoreError> {
        match self.objects.head(&location(path)?).await {
            Ok(found) => Ok(Some(ByteCount::new(found.size))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(failed("looking at", path)(source)),
        }
    }

    /// The content of a small file; none where there is no such file.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let found = match self.objects.get(&location(path)?).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(failed("reading", path)(source)),
        };
        Ok(Some(found.bytes().await.map_err(failed("reading", path))?.to_vec()))
    }

    /// Removes a file; one that is not there is removed already. Durable only after [`Store::sync_folders_of`].
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn unlink(&self, path: &str) -> Result<(), StoreError> {
        match self.objects.delete(&location(path)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(failed("removing", path)(source)),
        }
    }

    /// Makes durable what became of the names in the folders of these files, each folder once. One that is not there holds none.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn sync_folders_of(&self, paths: &[String]) -> Result<(), StoreError> {
        let folders: BTreeSet<PathBuf> =
            paths.iter().map(|path| self.root.join(Path::new(path).parent().unwrap_or(Path::new("")))).collect();
        let there = folders.iter().filter(|folder| folder.is_dir());
        there.into_iter().try_for_each(|folder| Ok(sync_folder(folder)?))
    }

    /// Removes the folders in which these files were, where nothing is left in them, up to the output folder.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn remove_empty_folders_of(&self, paths: &[String]) -> Result<(), StoreError> {
        let below = |path: &String| Path::new(path).ancestors().skip(1).map(Path::to_owned).collect::<Vec<_>>();
        let mut folders: Vec<PathBuf> = paths.iter().flat_map(below).filter(|path| path.parent().is_some()).collect();
        folders.sort_by_key(|folder| std::cmp::Reverse(folder.components().count()));
        folders.dedup();
        for folder in folders {
            let _what_is_not_empty_stays = std::fs::remove_dir(self.root.join(folder));
        }
        Ok(sync_folder(&self.root)?)
    }

    /// Every file whose name ends in `.parquet`, below any folder, in order.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn parquet_files(&self) -> Result<Vec<String>, StoreError> {
        let listed = self.objects.list(None).map_ok(|object| object.location.to_string());
        let parquet = listed.try_filter(|path| std::future::ready(path.ends_with(".parquet")));
        let mut paths: Vec<String> = parquet.try_collect().await.map_err(failed("listing", "the output folder"))?;
        paths.sort_unstable();
        Ok(paths)
    }
}

fn location(path: &str) -> Result<Location, StoreError> {
    Location::parse(path).map_err(|source| failed("naming", path)(source.into()))
}

fn failed(doing: &'static str, path: &str) -> impl FnOnce(object_store::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Object { doing, path, source }
}
