//! The parts of an output as files of this machine, while it is verified. Those of a bucket are copied one after the other, each once:
//! of each that is sound the keys of its videos are kept, eight bytes a row, until all parts can be compared.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::StringArray;
use parquet::errors::ParquetError;
use tokio::runtime::Handle;

use super::{MISSING, open, texts};
use crate::journal::record::PartRecord;
use crate::sink::columns::VIDEO_ID;
use crate::sink::store::{LocalFile, Sharing, Store, StoreError};
use crate::sink::videos;

/// The parts, and where their copies and keys lie.
pub(super) struct Files {
    store: Arc<dyn Store>,
    runtime: Handle,
    scratch: Option<Scratch>,
    /// Names that were given to copies and keys; a manifest's own words are no names of files here.
    named: Cell<u64>,
    keys: BTreeMap<String, PathBuf>,
}

impl Files {
    /// The parts of an output. Of a bucket, copies lie in the system's folder for temporary files.
    ///
    /// # Errors
    /// Where that folder cannot be used.
    pub(super) fn of(store: Arc<dyn Store>) -> std::io::Result<Self> {
        let scratch = match store.sharing() {
            Sharing::Locked => None,
            Sharing::Conditional => Some(Scratch::new()?),
        };
        Ok(Self { store, runtime: Handle::current(), scratch, named: Cell::new(0), keys: BTreeMap::new() })
    }

    /// One part as a file. Blocks.
    ///
    /// # Errors
    /// A phrase that follows the part's path.
    pub(super) fn local(&self, part: &PartRecord) -> Result<LocalFile, String> {
        let copy = self.place();
        match self.runtime.block_on(self.store.local(&part.path, &copy)) {
            Err(StoreError::Object { source: object_store::Error::NotFound { .. }, .. }) => Err(MISSING.to_owned()),
            local => local.map_err(|error| format!("cannot be read: {error}")),
        }
    }

    /// Whether a part's file has the size that is recorded. Blocks.
    pub(super) fn has_its_size(&self, part: &PartRecord) -> bool {
        self.runtime.block_on(self.store.size(&part.path)).is_ok_and(|found| found == Some(part.bytes))
    }

    /// Keeps the keys of a part's videos, where its file is a copy that is about to go.
    ///
    /// # Errors
    /// Where the copy cannot be read, or the keys cannot be written.
    pub(super) fn keep_keys(&mut self, part: &PartRecord, file: &LocalFile) -> Result<(), ParquetError> {
        if !file.is_copy() {
            return Ok(());
        }
        let place = self.place();
        let mut kept = BufWriter::new(File::create(&place)?);
        each_key((file, part.schema), |key| Ok(kept.write_all(&key.to_le_bytes())?))?;
        kept.flush()?;
        self.keys.insert(part.path.clone(), place);
        Ok(())
    }

    /// The keys of a part's videos, one after the other.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub(super) fn keys(&self, part: &PartRecord, mut take: impl FnMut(u64)) -> Result<(), ParquetError> {
        let Some(kept) = self.keys.get(&part.path) else {
            return each_key((&self.store.file(&part.path), part.schema), |key| {
                take(key);
                Ok(())
            });
        };
        let mut kept = BufReader::new(File::open(kept)?);
        let mut key = [0; 8];
        loop {
            match kept.read_exact(&mut key) {
                Ok(()) => take(u64::from_le_bytes(key)),
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn place(&self) -> PathBuf {
        self.named.set(self.named.get() + 1);
        self.scratch.as_ref().map_or_else(PathBuf::new, |scratch| scratch.folder.join(self.named.get().to_string()))
    }
}

/// A folder of our own that goes with us.
struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    fn new() -> std::io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("keyapi-export-verify-{:016x}", rand::random::<u64>()));
        make_private(&folder)?;
        Ok(Self { folder })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left over is in the system's folder for such.
        let _left_over = std::fs::remove_dir_all(&self.folder);
    }
}

/// Nobody else has business in it.
fn make_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// The keys of the videos of a part that lies at a file and has columns of a schema version.
fn each_key(file: (&Path, u32), mut take: impl FnMut(u64) -> Result<(), ParquetError>) -> Result<(), ParquetError> {
    for batch in open(file, &[VIDEO_ID])? {
        let batch = batch?;
        let ids = texts(&batch, VIDEO_ID).into_iter().flat_map(StringArray::iter).flatten();
        ids.map(videos::key).try_for_each(&mut take)?;
    }
    Ok(())
}
