//! An output in a folder of this machine: files are moved, removed and listed durably.
//!
//! It goes through `object_store`. Two things are done
//! beside it, because its local store does not: removed names are synced, and after a rename every folder up to the output
//! folder is synced, since a folder that an earlier, killed attempt had made would otherwise not be. Files are staged without it:
//! its own uploads stand beside their goal under a visible name (`part.parquet#1`), which readers of whole folders would take
//! for data.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;
use object_store::{ObjectStore as _, ObjectStoreExt as _};

use super::{Creation, LocalFile, NextManifest, Replacement, Sharing, Store, StoreError, failed};
use crate::sink::manifest::{MANIFEST, Manifest};
use crate::sink::staging::{Staging, sync_folder};
use crate::units::ByteCount;

/// A local output folder.
#[derive(Clone, Debug)]
pub struct Folder {
    objects: LocalFileSystem,
    root: PathBuf,
    /// Where its manifest lies, below the folder.
    manifest: String,
}

impl Folder {
    /// The folder at `root`, which exists.
    ///
    /// # Errors
    /// Where it cannot be resolved.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let objects = LocalFileSystem::new_with_prefix(root).map_err(failed("opening", &root.display().to_string()))?;
        Ok(Self { objects: objects.with_fsync(true), root: root.to_owned(), manifest: MANIFEST.to_owned() })
    }

    /// The same folder, of which another file is the manifest: a shard's account.
    #[must_use]
    pub fn with_manifest(self, place: String) -> Self {
        Self { manifest: place, ..self }
    }

    /// Makes the names of `path` and of its folders durable.
    fn sync_upwards(&self, path: &str) -> Result<(), StoreError> {
        let folders = Path::new(path).ancestors().skip(1);
        folders.map(|folder| self.root.join(folder)).try_for_each(|folder| Ok(sync_folder(&folder)?))
    }
}

#[async_trait]
impl Store for Folder {
    fn told(&self) -> String {
        self.root.display().to_string()
    }

    fn file(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn sharing(&self) -> Sharing {
        Sharing::Locked
    }

    fn write_id(&self) -> Option<String> {
        None
    }

    async fn read_manifest(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(&self.manifest).await
    }

    /// The lock is held, so nobody comes between the look and the rename who heeds it.
    async fn replace_manifest(&self, staging: &Staging, next: NextManifest<'_>) -> Result<Replacement, StoreError> {
        if let Some(found) = self.read_manifest().await?
            && Manifest::generation_of(&found).ok() != next.expected
        {
            return Ok(Replacement::Refused { found });
        }
        staging.write(&self.manifest, next.json)?;
        self.reveal(staging, &self.manifest).await?;
        Ok(Replacement::Done)
    }

    /// The lock is held, so nobody comes between the look and the rename who heeds it.
    async fn create(&self, staging: &Staging, path: &str, content: &[u8]) -> Result<Creation, StoreError> {
        match self.read(path).await? {
            Some(found) if found == content => return Ok(Creation::Done),
            Some(found) => return Ok(Creation::Refused { found }),
            None => {}
        }
        staging.write(path, content)?;
        self.reveal(staging, path).await?;
        Ok(Creation::Done)
    }

    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let found = match self.objects.get(&location(path)?).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(failed("reading", path)(source)),
        };
        Ok(Some(found.bytes().await.map_err(failed("reading", path))?.to_vec()))
    }

    async fn tail(&self, path: &str, size: ByteCount, bytes: u64) -> Result<Bytes, StoreError> {
        let range = size.get().saturating_sub(bytes)..size.get();
        self.objects.get_range(&location(path)?, range).await.map_err(failed("reading", path))
    }

    async fn reveal(&self, staging: &Staging, path: &str) -> Result<(), StoreError> {
        let staged = location(&staging.location(path))?;
        self.objects.rename(&staged, &location(path)?).await.map_err(failed("revealing", path))
    }

    fn settle(&self, path: &str) -> Result<(), StoreError> {
        self.sync_upwards(path)
    }

    async fn size(&self, path: &str) -> Result<Option<ByteCount>, StoreError> {
        match self.objects.head(&location(path)?).await {
            Ok(found) => Ok(Some(ByteCount::new(found.size))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(failed("looking at", path)(source)),
        }
    }

    async fn local(&self, path: &str, _copy: &Path) -> Result<LocalFile, StoreError> {
        Ok(LocalFile::original(self.root.join(path)))
    }

    async fn unlink(&self, path: &str) -> Result<(), StoreError> {
        match self.objects.delete(&location(path)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(failed("removing", path)(source)),
        }
    }

    /// Syncs each folder once. One that is not there holds none of the names.
    fn settle_removed(&self, paths: &[String]) -> Result<(), StoreError> {
        let folders: BTreeSet<PathBuf> =
            paths.iter().map(|path| self.root.join(Path::new(path).parent().unwrap_or(Path::new("")))).collect();
        let there = folders.iter().filter(|folder| folder.is_dir());
        there.into_iter().try_for_each(|folder| Ok(sync_folder(folder)?))
    }

    async fn move_to(&self, path: &str, target: &str) -> Result<(), StoreError> {
        self.objects.rename(&location(path)?, &location(target)?).await.map_err(failed("moving", path))?;
        self.sync_upwards(target)?;
        self.sync_upwards(path)
    }

    fn remove_empty_folders_of(&self, paths: &[String]) -> Result<(), StoreError> {
        let below = |path: &String| Path::new(path).ancestors().skip(1).map(Path::to_owned).collect::<Vec<_>>();
        let mut folders: Vec<PathBuf> = paths.iter().flat_map(below).filter(|path| path.parent().is_some()).collect();
        folders.sort_by_key(|folder| std::cmp::Reverse(folder.components().count()));
        folders.dedup();
        for folder in folders {
            let _what_is_not_empty_stays = std::fs::remove_dir(self.root.join(folder));
        }
        Ok(sync_folder(&self.root)?)
    }

    async fn parquet_files(&self) -> Result<Vec<String>, StoreError> {
        let listed = self.objects.list(None).map_ok(|object| object.location.to_string());
        let parquet = listed.try_filter(|path| std::future::ready(path.ends_with(".parquet")));
        let mut paths: Vec<String> = parquet.try_collect().await.map_err(failed("listing", "the output folder"))?;
        paths.sort_unstable();
        Ok(paths)
    }

    async fn abort_uploads(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn probe(&self, _staging: &Staging) -> Result<(), StoreError> {
        Ok(())
    }
}

fn location(path: &str) -> Result<Location, StoreError> {
    Location::parse(path).map_err(|source| failed("naming", path)(source.into()))
}
