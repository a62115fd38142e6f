//! The parts of an output as files, while it is verified. Those of a bucket are copied one after the other, each once: of each that is
//! sound the keys of its videos are kept, eight bytes a row, until all parts can be compared.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::StringArray;
use parquet::errors::ParquetError;

use super::{MISSING, open, texts};
use crate::journal::record::PartRecord;
use crate::sink::columns::VIDEO_ID;
use crate::sink::copies::Copies;
use crate::sink::store::{LocalFile, Store, StoreError};
use crate::sink::videos;

/// The parts, and what is kept of their copies.
pub(super) struct Files {
    copies: Copies,
    keys: BTreeMap<String, PathBuf>,
}

impl Files {
    /// The parts of an output.
    ///
    /// # Errors
    /// Where copies have no place.
    pub(super) fn of(store: Arc<dyn Store>) -> std::io::Result<Self> {
        Ok(Self { copies: Copies::of(store)?, keys: BTreeMap::new() })
    }

    /// One part as a file. Blocks.
    ///
    /// # Errors
    /// A phrase that follows the part's path.
    pub(super) fn local(&self, part: &PartRecord) -> Result<LocalFile, String> {
        match self.copies.local(part) {
            Err(StoreError::Object { source: object_store::Error::NotFound { .. }, .. }) => Err(MISSING.to_owned()),
            local => local.map_err(|error| format!("cannot be read: {error}")),
        }
    }

    /// Whether a part's file has the size that is recorded. Blocks.
    pub(super) fn has_its_size(&self, part: &PartRecord) -> bool {
        self.copies.has_its_size(part)
    }

    /// Keeps the keys of a part's videos, where its file is a copy that is about to go.
    ///
    /// # Errors
    /// Where the copy cannot be read, or the keys cannot be written.
    pub(super) fn keep_keys(&mut self, part: &PartRecord, file: &LocalFile) -> Result<(), ParquetError> {
        if !file.is_copy() {
            return Ok(());
        }
        let place = self.copies.place();
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
            return each_key((&self.copies.file(part), part.schema), |key| {
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
