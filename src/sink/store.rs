//! Where an output's files lie, behind one interface: a folder, or a bucket.
//!
//! A file is first staged on this machine ([`Staging`]), whole and synced, and then given its final name here: a folder renames, a
//! bucket uploads. The manifest is replaced only where it is still the one that was read or written last; that is the one
//! moment at which readers see anything change. No listing is ever believed: it finds what nobody knows, so that it can be told.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::path::Path as Location;

use crate::sink::address::{Address, BucketAddress};
use crate::sink::staging::{Staging, StagingError};
use crate::units::ByteCount;

mod bucket;
#[cfg(feature = "cloud")]
mod cloud;
mod folder;
mod objects;
mod probe;
#[cfg(test)]
pub(crate) mod testing;
mod upload;

pub use bucket::{Bucket, Writers};
pub use folder::Folder;
pub use objects::Objects;

/// Why an output could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store would not do it.
    #[error("{doing} {path} failed: {source}")]
    Object {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: String,
        /// Why it failed.
        source: object_store::Error,
    },
    /// The disk would not do it.
    #[error(transparent)]
    Disk(#[from] StagingError),
    /// Buckets are left out of this program.
    #[error("{output} is in a bucket, and this program was built without the cargo feature `cloud`")]
    NoCloud {
        /// The address.
        output: String,
    },
    /// The bucket cannot be addressed as the environment says.
    #[error("the bucket of {output} cannot be used: {source}")]
    Setup {
        /// The address.
        output: String,
        /// Why.
        source: object_store::Error,
    },
    /// The store does not keep two writers from replacing each other's manifest.
    #[error("the store of {output} does not heed the conditions of a write: {found}")]
    Unconditional {
        /// The address.
        output: String,
        /// What it did.
        found: String,
    },
}

/// A manifest that is to take the place of another.
#[derive(Clone, Copy, Debug)]
pub struct NextManifest<'a> {
    /// Its JSON text.
    pub json: &'a [u8],
    /// The generation of the manifest that it replaces; none where there was none.
    pub expected: Option<u64>,
    /// What tells this write from every other, and stands in the text.
    pub write_id: Option<&'a str>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// It is there.
    Done,
    /// Another manifest is there than the expected one; nothing was changed.
    Refused {
        /// Its JSON text.
        found: Vec<u8>,
    },
}

/// What became of a file that was to be put where none stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Creation {
    /// It is there.
    Done,
    /// Another one stands there; nothing was changed.
    Refused {
        /// Its content.
        found: Vec<u8>,
    },
}

/// Whether another process may be writing into an output at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// The kernel's lock keeps others out for as long as the output is open.
    Locked,
    /// Only the condition on the manifest does.
    Conditional,
}

/// The files of one output. Paths are below the output, with `/` between their levels.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// The output, for a person.
    fn told(&self) -> String;

    /// A file of it, for a person; a folder's is its path.
    fn file(&self, path: &str) -> PathBuf;

    /// Who else may write.
    fn sharing(&self) -> Sharing;

    /// A word for a write of the manifest that no other write has; none where the lock makes it needless.
    fn write_id(&self) -> Option<String>;

    /// The manifest's JSON text; none where there is none. It is the one that [`Store::replace_manifest`] replaces next.
    ///
    /// # Errors
    /// Where the store fails.
    async fn read_manifest(&self) -> Result<Option<Vec<u8>>, StoreError>;

    /// Puts the manifest in the place of the one that was read or written last, and of no other. One that is gone may be
    /// written again. Durable only after [`Store::settle`].
    ///
    /// # Errors
    /// Where the store fails. Whether the manifest was replaced is then looked at, and an answer that was lost is no error.
    async fn replace_manifest(&self, staging: &Staging, next: NextManifest<'_>) -> Result<Replacement, StoreError>;

    /// Puts a small file where none stands, whole or not at all. Where the same content stands there, that is as good. Durable only after
    /// [`Store::settle`].
    ///
    /// # Errors
    /// Where the store fails. Whether the file was put is then looked at, and an answer that was lost is no error.
    async fn create(&self, staging: &Staging, path: &str, content: &[u8]) -> Result<Creation, StoreError>;

    /// The content of a small file; none where there is no such file.
    ///
    /// # Errors
    /// Where the store fails.
    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// The last bytes of a file of this size, `bytes` of them at most.
    ///
    /// # Errors
    /// Where the store fails, or there is no such file.
    async fn tail(&self, path: &str, size: ByteCount, bytes: u64) -> Result<Bytes, StoreError>;

    /// Gives what is staged for `path` its final name, over what stands there. Durable only after [`Store::settle`]; repeating it is
    /// harmless.
    ///
    /// # Errors
    /// Where nothing is staged, or the store fails.
    async fn reveal(&self, staging: &Staging, path: &str) -> Result<(), StoreError>;

    /// Makes that last.
    ///
    /// # Errors
    /// Where the disk fails.
    fn settle(&self, path: &str) -> Result<(), StoreError>;

    /// The size of a file; none where there is no such file.
    ///
    /// # Errors
    /// Where the store fails.
    async fn size(&self, path: &str) -> Result<Option<ByteCount>, StoreError>;

    /// Copies a file to a place on this machine, or says where it lies there already.
    ///
    /// # Errors
    /// Where the store or the disk fails, or there is no such file.
    async fn local(&self, path: &str, copy: &Path) -> Result<LocalFile, StoreError>;

    /// Removes a file; one that is not there is removed already. Durable only after [`Store::settle_removed`].
    ///
    /// # Errors
    /// Where the store fails.
    async fn unlink(&self, path: &str) -> Result<(), StoreError>;

    /// Makes it last that these files are gone.
    ///
    /// # Errors
    /// Where the disk fails.
    fn settle_removed(&self, paths: &[String]) -> Result<(), StoreError>;

    /// Moves a file to where none stands, durably.
    ///
    /// # Errors
    /// Where it is not there, or the store fails.
    async fn move_to(&self, path: &str, target: &str) -> Result<(), StoreError>;

    /// Removes the folders in which these files were, where nothing is left in them, up to the output itself.
    ///
    /// # Errors
    /// Where the disk fails.
    fn remove_empty_folders_of(&self, paths: &[String]) -> Result<(), StoreError>;

    /// Every file that a reader of Parquet would find, in order.
    ///
    /// # Errors
    /// Where the store fails.
    async fn parquet_files(&self) -> Result<Vec<String>, StoreError>;

    /// Gives up the uploads that a former process, of whatever state, had begun and not ended.
    ///
    /// # Errors
    /// Where the store fails. What it will not give up is told, and tried again by the next start.
    async fn abort_uploads(&self) -> Result<(), StoreError>;

    /// Makes sure that the store refuses a manifest whose predecessor is not there any more; takes away what a process left that died within this.
    ///
    /// # Errors
    /// Where it does not, or fails; where the disk does.
    async fn probe(&self, staging: &Staging) -> Result<(), StoreError>;
}

/// A file that can be opened on this machine. A copy is removed with it.
#[derive(Debug)]
pub struct LocalFile {
    path: PathBuf,
    is_copy: bool,
}

impl LocalFile {
    /// The file itself.
    pub fn original(path: PathBuf) -> Self {
        Self { path, is_copy: false }
    }

    fn copy(path: PathBuf) -> Self {
        Self { path, is_copy: true }
    }

    /// Whether it is a copy.
    pub const fn is_copy(&self) -> bool {
        self.is_copy
    }
}

impl std::ops::Deref for LocalFile {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl Drop for LocalFile {
    fn drop(&mut self) {
        if self.is_copy {
            // What is left over is in a folder that is emptied later.
            let _left_over = std::fs::remove_file(&self.path);
        }
    }
}

/// Opens an output to read it, or to write into it. Nothing is sent, and nothing is made.
///
/// # Errors
/// A folder that cannot be resolved; a bucket that cannot be addressed as the environment says.
pub fn open(address: &Address, writers: Writers) -> Result<Arc<dyn Store>, StoreError> {
    match address {
        Address::Folder(folder) => Ok(Arc::new(Folder::open(folder)?)),
        #[cfg(feature = "cloud")]
        Address::Bucket(bucket) => Ok(Arc::new(cloud::open(bucket, &address.to_string(), writers)?)),
        #[cfg(not(feature = "cloud"))]
        Address::Bucket(_) => {
            let _unused = writers;
            Err(StoreError::NoCloud { output: address.to_string() })
        }
    }
}

/// The objects of a bucket, for what is no output. Nothing is sent.
///
/// # Errors
/// A bucket that cannot be addressed as the environment says.
pub fn objects(address: &BucketAddress, told: &str) -> Result<Arc<dyn Objects>, StoreError> {
    #[cfg(feature = "cloud")]
    return cloud::objects(address, told);
    #[cfg(not(feature = "cloud"))]
    {
        let _unused = address;
        Err(StoreError::NoCloud { output: told.to_owned() })
    }
}

/// Makes sure that the conditions of a write are heeded, by an object of this name, which is gone then.
///
/// # Errors
/// [`StoreError::Unconditional`] where they are not; a store that fails.
pub async fn require_conditions(objects: &dyn Objects, name: &Location, told: &str) -> Result<(), StoreError> {
    probe::require(objects, name, told).await
}

/// Names what was being done to an object.
pub fn failed_at(doing: &'static str, path: &str) -> impl FnOnce(object_store::Error) -> StoreError + use<> {
    failed(doing, path)
}

fn failed(doing: &'static str, path: &str) -> impl FnOnce(object_store::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |source| StoreError::Object { doing, path, source }
}

#[cfg(test)]
mod tests;
