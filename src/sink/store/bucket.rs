//! An output below a prefix of a bucket.
//!
//! Parts go up under names that hold a checksum of their content (`sink/layout.rs`), so that a put which is repeated, or answered
//! twice, writes what is there already. Only the manifest is put under a condition. Its answer may be lost, and a store may then call
//! our own write somebody else's; so each write has an id in its text, and what is there is read back before anything is believed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::path::Path as Location;
use object_store::{GetResult, ObjectStoreExt as _, PutMode, PutPayload, UpdateVersion};
use tokio::io::AsyncWriteExt as _;

use super::upload::{self, Notes};
use super::{Creation, LocalFile, NextManifest, Objects, Replacement, Sharing, Store, StoreError, failed, probe};
use crate::sink::layout::DATA;
use crate::sink::manifest::{MANIFEST, Manifest};
use crate::sink::staging::{Staging, StagingError};
use crate::units::ByteCount;

/// How often a manifest is put again where the store refused it although nobody had replaced the one before it.
const MOST_PUTS: u32 = 5;
/// Where it is noted which uploads have begun.
const UPLOADS: &str = "_uploads";

/// Whether conditional writes are relied on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Writers {
    /// Another process may write at any time, so the store must heed the conditions of a write.
    #[default]
    Any,
    /// Somebody has promised that there is only one.
    One,
}

/// A prefix in a bucket.
#[derive(Clone)]
pub struct Bucket {
    objects: Arc<dyn Objects>,
    prefix: String,
    told: String,
    writers: Writers,
    /// The manifest that was read or written last, as the store names its versions.
    seen: Arc<Mutex<Option<Seen>>>,
    /// Whether the store lists the uploads that are open, once that is known.
    lists_uploads: Arc<OnceLock<bool>>,
}

/// A manifest as it was read or written.
#[derive(Clone, Debug)]
struct Seen {
    version: UpdateVersion,
    write_id: Option<String>,
    generation: Option<u64>,
}

impl Seen {
    fn of(json: &[u8], version: UpdateVersion) -> Self {
        Self { version, write_id: Manifest::write_id_of(json), generation: Manifest::generation_of(json).ok() }
    }

    /// Whether that is still the one that is there. Stores do not always name a version in the same way, so the text decides.
    fn is(&self, other: &Self) -> bool {
        if self.write_id.is_some() { self.write_id == other.write_id } else { self.version == other.version }
    }
}

impl Bucket {
    /// The objects of a bucket whose names begin with `prefix`; `told` is its address for a person.
    pub fn new(objects: Arc<dyn Objects>, prefix: &str, told: &str, writers: Writers) -> Self {
        let (prefix, told) = (prefix.to_owned(), told.to_owned());
        Self { objects, prefix, told, writers, seen: Arc::default(), lists_uploads: Arc::default() }
    }

    fn location(&self, path: &str) -> Result<Location, StoreError> {
        let whole = if self.prefix.is_empty() { path.to_owned() } else { format!("{}/{path}", self.prefix) };
        Location::parse(whole).map_err(|source| failed("naming", path)(source.into()))
    }

    /// The address of a file, for errors.
    fn named(&self, path: &str) -> String {
        format!("{}/{path}", self.told)
    }

    fn failed(&self, doing: &'static str, path: &str) -> impl FnOnce(object_store::Error) -> StoreError + use<> {
        let path = self.named(path);
        move |source| StoreError::Object { doing, path, source }
    }

    fn seen(&self) -> MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notes(&self) -> Result<Notes, StoreError> {
        Ok(Notes {
            objects: Arc::clone(&self.objects),
            folder: self.location(UPLOADS)?,
            told: self.told.clone(),
            lists_uploads: Arc::clone(&self.lists_uploads),
        })
    }

    async fn get(&self, path: &str) -> Result<Option<GetResult>, StoreError> {
        match self.objects.get(&self.location(path)?).await {
            Ok(found) => Ok(Some(found)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.failed("reading", path)(source)),
        }
    }

    /// The manifest that is there, with its version.
    async fn found(&self) -> Result<Option<(Vec<u8>, Seen)>, StoreError> {
        let Some(found) = self.get(MANIFEST).await? else { return Ok(None) };
        let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        let json = found.bytes().await.map_err(self.failed("reading", MANIFEST))?;
        Ok(Some((json.to_vec(), Seen::of(&json, version))))
    }

    /// One conditional put, and what it came to whatever its answer was; none where it may be put again.
    async fn put_manifest(&self, next: NextManifest<'_>) -> Result<Option<Replacement>, StoreError> {
        let before = self.seen().clone();
        if before.as_ref().is_some_and(|before| before.generation != next.expected)
            && let Some((found, _)) = self.found().await?
        {
            return Ok(Some(Replacement::Refused { found }));
        }
        let mode = before.clone().map_or(PutMode::Create, |seen| PutMode::Update(seen.version));
        let payload = PutPayload::from(next.json.to_vec());
        let refused = match self.objects.put_opts(&self.location(MANIFEST)?, payload, mode.into()).await {
            Ok(put) => {
                *self.seen() = Some(Seen::of(next.json, UpdateVersion { e_tag: put.e_tag, version: put.version }));
                return Ok(Some(Replacement::Done));
            }
            Err(refused) => refused,
        };
        let is_about_the_condition = matches!(
            refused,
            object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. }
                | object_store::Error::NotFound { .. }
        );
        match self.found().await? {
            Some((_, found)) if next.write_id.is_some() && found.write_id.as_deref() == next.write_id => {
                *self.seen() = Some(found);
                Ok(Some(Replacement::Done))
            }
            _ if !is_about_the_condition => Err(self.failed("replacing", MANIFEST)(refused)),
            Some((_, found)) if before.as_ref().is_some_and(|before| before.is(&found)) => {
                *self.seen() = Some(found);
                Ok(None)
            }
            Some((found, _)) => Ok(Some(Replacement::Refused { found })),
            // A manifest that went is written again.
            None => {
                *self.seen() = None;
                Ok(None)
            }
        }
    }

    /// Where no condition is heeded, a look has to do.
    async fn put_manifest_alone(&self, next: NextManifest<'_>) -> Result<Replacement, StoreError> {
        if let Some((found, _)) = self.found().await?
            && Manifest::generation_of(&found).ok() != next.expected
        {
            return Ok(Replacement::Refused { found });
        }
        let payload = PutPayload::from(next.json.to_vec());
        let put = self.objects.put(&self.location(MANIFEST)?, payload).await;
        put.map_err(self.failed("replacing", MANIFEST))?;
        Ok(Replacement::Done)
    }
}

#[async_trait]
impl Store for Bucket {
    fn told(&self) -> String {
        self.told.clone()
    }

    fn file(&self, path: &str) -> PathBuf {
        PathBuf::from(self.named(path))
    }

    fn sharing(&self) -> Sharing {
        Sharing::Conditional
    }

    fn write_id(&self) -> Option<String> {
        Some(format!("{:016x}", rand::random::<u64>()))
    }

    async fn read_manifest(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let (json, seen) = self.found().await?.unzip();
        *self.seen() = seen;
        Ok(json)
    }

    async fn replace_manifest(&self, _staging: &Staging, next: NextManifest<'_>) -> Result<Replacement, StoreError> {
        if self.writers == Writers::One {
            return self.put_manifest_alone(next).await;
        }
        for _ in 0..MOST_PUTS {
            if let Some(replacement) = self.put_manifest(next).await? {
                return Ok(replacement);
            }
        }
        let why = format!("the store refused it {MOST_PUTS} times, although nothing had taken its place");
        Err(self.failed("replacing", MANIFEST)(object_store::Error::Generic { store: "bucket", source: why.into() }))
    }

    async fn create(&self, _staging: &Staging, path: &str, content: &[u8]) -> Result<Creation, StoreError> {
        let told = |found: Vec<u8>| if found == content { Creation::Done } else { Creation::Refused { found } };
        let mode = match self.writers {
            Writers::Any => PutMode::Create,
            // Where no condition is heeded, a look has to do.
            Writers::One => match self.read(path).await? {
                Some(found) => return Ok(told(found)),
                None => PutMode::Overwrite,
            },
        };
        let payload = PutPayload::from(content.to_vec());
        match self.objects.put_opts(&self.location(path)?, payload, mode.into()).await {
            Ok(_) => Ok(Creation::Done),
            Err(refused) => match self.read(path).await? {
                Some(found) => Ok(told(found)),
                None => Err(self.failed("writing", path)(refused)),
            },
        }
    }

    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(found) = self.get(path).await? else { return Ok(None) };
        Ok(Some(found.bytes().await.map_err(self.failed("reading", path))?.to_vec()))
    }

    async fn tail(&self, path: &str, size: ByteCount, bytes: u64) -> Result<Bytes, StoreError> {
        let range = size.get().saturating_sub(bytes)..size.get();
        self.objects.get_range(&self.location(path)?, range).await.map_err(self.failed("reading", path))
    }

    async fn reveal(&self, staging: &Staging, path: &str) -> Result<(), StoreError> {
        let (notes, location) = (self.notes()?, self.location(path)?);
        let (size, of_part) = (staging.size(path), path.starts_with(DATA));
        let (staging, named, path) = (staging.clone(), self.named(path), path.to_owned());
        let staged = path.clone();
        let runtime = tokio::runtime::Handle::current();
        // Reading, hashing and signing pieces of megabytes would hold up a thread of the runtime.
        let upload = tokio::task::spawn_blocking(move || {
            runtime.block_on(upload::upload(&notes, &location, (&staging, &staged), &named))
        });
        let uploaded = upload.await.map_err(|source| failed("uploading", &self.told)(source.into()))?;
        match uploaded {
            // A part's name holds its checksum: what is there under it, of its size, is the part.
            Err(_) if of_part && self.size(&path).await? == size => Ok(()),
            uploaded => uploaded,
        }
    }

    fn settle(&self, _path: &str) -> Result<(), StoreError> {
        Ok(())
    }

    async fn size(&self, path: &str) -> Result<Option<ByteCount>, StoreError> {
        match self.objects.head(&self.location(path)?).await {
            Ok(found) => Ok(Some(ByteCount::new(found.size))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.failed("looking at", path)(source)),
        }
    }

    async fn local(&self, path: &str, copy: &Path) -> Result<LocalFile, StoreError> {
        let found = self.objects.get(&self.location(path)?).await.map_err(self.failed("reading", path))?;
        let written = LocalFile::copy(copy.to_owned());
        let writing = |error| StagingError::of("writing", copy)(error);
        let mut file = tokio::fs::File::create(copy).await.map_err(writing)?;
        let mut stream = found.into_stream();
        while let Some(bytes) = stream.try_next().await.map_err(self.failed("reading", path))? {
            file.write_all(&bytes).await.map_err(writing)?;
        }
        file.flush().await.map_err(writing)?;
        Ok(written)
    }

    async fn unlink(&self, path: &str) -> Result<(), StoreError> {
        match self.objects.delete(&self.location(path)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.failed("removing", path)(source)),
        }
    }

    fn settle_removed(&self, _paths: &[String]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn move_to(&self, path: &str, target: &str) -> Result<(), StoreError> {
        let copied = self.objects.copy(&self.location(path)?, &self.location(target)?).await;
        copied.map_err(self.failed("moving", path))?;
        self.unlink(path).await
    }

    fn remove_empty_folders_of(&self, _paths: &[String]) -> Result<(), StoreError> {
        Ok(())
    }

    /// Looks at the table alone: the rest of a bucket is not ours to look through.
    async fn parquet_files(&self) -> Result<Vec<String>, StoreError> {
        let below = if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) };
        let listed = self.objects.list(Some(&self.location(DATA)?)).map_ok(|object| object.location.to_string());
        let parquet = listed.try_filter(|path| std::future::ready(path.ends_with(".parquet")));
        let paths: Vec<String> = parquet.try_collect().await.map_err(self.failed("listing", DATA))?;
        let mut paths: Vec<String> =
            paths.iter().filter_map(|path| path.strip_prefix(&below)).map(str::to_owned).collect();
        paths.sort_unstable();
        Ok(paths)
    }

    async fn abort_uploads(&self) -> Result<(), StoreError> {
        self.notes()?.clear_all().await
    }

    async fn probe(&self, staging: &Staging) -> Result<(), StoreError> {
        probe::clear(&*self.objects, staging, &self.told).await?;
        match self.writers {
            Writers::One => Ok(()),
            Writers::Any => {
                let name = format!("_probe-{:016x}", rand::random::<u64>());
                probe::probe(&*self.objects, &self.location(&name)?, staging, &self.told).await
            }
        }
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Bucket")
            .field("told", &self.told)
            .field("writers", &self.writers)
            .finish_non_exhaustive()
    }
}
