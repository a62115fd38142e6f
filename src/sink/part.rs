//! A finished slice of time becomes one sorted Parquet file in the staging folder.
//!
//! Pages come ordered by the first second of their span, then by sequence. A row leaves memory once the next page begins after
//! it, so what waits is one set of overlapping pages: in an ascending walk about a page, in a second that fills many pages that
//! second. Beside them stand one batch ([`BATCH_ROWS`], [`BATCH_BYTES`]), one row group ([`Packaging`]), and eight bytes for each video
//! of the slice.
//!
//! The rule for a video that came more than once: of the same second, the answer that was fetched last stands. Should its
//! `create_time` have changed between two answers, the row with the earlier time stands, because the other may come after
//! it was written. Either way it stands once, and every other coming is counted as a duplicate.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::error::Error;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;

use crate::api::reply::BodyError;
use crate::journal::record::{PartRecord, StoredPage};
use crate::sink::columns::{self, Packaging};
use crate::sink::decode::{self, RawRow, RowBatch};
use crate::sink::layout::{Layout, LayoutError, Slice};
use crate::sink::staging::{Sealed, StagedFile, Staging, StagingError};
use crate::sink::videos::Videos;
use crate::units::{EpochSeconds, RowCount, TimeRange};

/// Rows that are turned into columns at once, at most.
pub const BATCH_ROWS: usize = 4096;
/// Bytes of row text that are turned into columns at once, about.
pub const BATCH_BYTES: usize = 8 << 20;

/// Why a part could not be written. What was staged of it is worth nothing and is overwritten by the next attempt.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// The slice has no place in the output.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The journal did not give the pages back.
    #[error("reading the pages of {range} back failed: {source}")]
    Pages {
        /// The slice.
        range: TimeRange,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A stored page is not what it was judged to be.
    #[error("stored page {sequence} cannot be read: {source}")]
    Body {
        /// The page's place in the journal.
        sequence: i64,
        /// Why.
        source: BodyError,
    },
    /// A stored row is not what it was judged to be.
    #[error("a row of stored page {sequence} cannot be read: {source}")]
    Row {
        /// The page's place in the journal.
        sequence: i64,
        /// Why.
        source: serde_json::Error,
    },
    /// A page came after rows that belong behind its own were written.
    #[error(
        "stored page {sequence} holds {second}, but rows before {written} are written: pages must come by their first second"
    )]
    Order {
        /// The page's place in the journal.
        sequence: i64,
        /// The second that came too late.
        second: EpochSeconds,
        /// Rows before this second are written.
        written: EpochSeconds,
    },
    /// A former part cannot be carried over.
    #[error("the former part {path} cannot be carried over: {source}")]
    Former {
        /// The former part's path below the output folder.
        path: String,
        /// Why.
        source: ParquetError,
    },
    /// A former part has other columns than this version writes.
    #[error("the former part {path} has other columns than schema version {}", columns::SCHEMA_VERSION)]
    FormerSchema {
        /// The former part's path below the output folder.
        path: String,
    },
    /// Parquet could not be written, which includes a disk that would not take it.
    #[error("writing {path} failed: {source}")]
    Encode {
        /// The part's path below the output folder.
        path: String,
        /// Why.
        source: ParquetError,
    },
    /// Columns did not fit together.
    #[error("making the columns of {path} failed: {source}")]
    Columns {
        /// The part's path below the output folder.
        path: String,
        /// Why.
        source: ArrowError,
    },
    /// The disk.
    #[error(transparent)]
    Staging(#[from] StagingError),
}

/// Writes parts into one staging folder.
#[derive(Clone, Debug)]
pub struct Parts {
    pub(super) staging: Staging,
    pub(super) layout: Layout,
    pub(super) packaging: Packaging,
}

impl Parts {
    /// A writer of parts that go where `layout` says, packed as `packaging` says.
    pub const fn new(staging: Staging, layout: Layout, packaging: Packaging) -> Self {
        Self { staging, layout, packaging }
    }

    /// Writes the rows of `pages` that lie in the slice, sorted by `(create_time, video_id)`, each video once, as a staged and
    /// synced file; nothing where there are none. Blocks. Writing the same slice again gives the same rows in the same place.
    ///
    /// `pages` come ordered by the start of their span, then by sequence, and hold every page whose span meets the slice.
    ///
    /// # Errors
    /// Where a page cannot be read or comes out of order, or the disk fails.
    pub fn stage<E: Into<Box<dyn Error + Send + Sync>>>(
        &self,
        slice: &Slice,
        pages: impl Iterator<Item = Result<StoredPage, E>>,
    ) -> Result<Option<PartRecord>, PartError> {
        let mut merge = Merge::new(self, slice)?;
        for page in pages {
            let page = page.map_err(|source| PartError::Pages { range: slice.range, source: source.into() })?;
            merge.add(&page)?;
        }
        merge.finish()
    }
}

/// Rows of a slice on their way into order.
struct Merge<'a> {
    part: PartFile<'a>,
    range: TimeRange,
    held: BTreeMap<(EpochSeconds, String), RawRow>,
    /// Rows before this second are written.
    written: EpochSeconds,
    videos: Videos,
    duplicates: u64,
}

impl<'a> Merge<'a> {
    fn new(parts: &'a Parts, slice: &'a Slice) -> Result<Self, PartError> {
        Ok(Self {
            part: PartFile::new(parts, slice)?,
            range: slice.range,
            held: BTreeMap::new(),
            written: slice.range.start,
            videos: Videos::default(),
            duplicates: 0,
        })
    }

    fn add(&mut self, page: &StoredPage) -> Result<(), PartError> {
        self.write_before(page.span.start.min(self.range.end))?;
        let rows = decode::rows(page).map_err(|source| PartError::Body { sequence: page.sequence, source })?;
        let range = self.range;
        rows.into_iter().filter(|row| range.contains(row.identity.second)).try_for_each(|row| self.hold(row))
    }

    fn hold(&mut self, row: RawRow) -> Result<(), PartError> {
        let second = row.identity.second;
        if second < self.written {
            return Err(PartError::Order { sequence: row.fetch.sequence, second, written: self.written });
        }
        match self.held.entry((second, row.identity.video_id.clone())) {
            Entry::Vacant(place) => {
                place.insert(row);
            }
            Entry::Occupied(mut place) => {
                self.duplicates += 1;
                if row.fetch.sequence >= place.get().fetch.sequence {
                    place.insert(row);
                }
            }
        }
        Ok(())
    }

    fn write_before(&mut self, second: EpochSeconds) -> Result<(), PartError> {
        self.written = self.written.max(second);
        while let Some(first) = self.held.first_entry() {
            if first.key().0 >= self.written {
                break;
            }
            let row = first.remove();
            if self.videos.insert(&row.identity.video_id) {
                self.part.append(&row)?;
            } else {
                self.duplicates += 1;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Option<PartRecord>, PartError> {
        self.write_before(self.range.end)?;
        let record = self.part.finish()?;
        Ok(record.map(|record| PartRecord { duplicates: self.duplicates, ..record }))
    }
}

/// One part being written; no file exists before its first row.
pub(super) struct PartFile<'a> {
    parts: &'a Parts,
    slice: &'a Slice,
    path: String,
    writer: Option<ArrowWriter<StagedFile>>,
    batch: RowBatch,
    batch_bytes: usize,
    rows: u64,
}

impl<'a> PartFile<'a> {
    pub(super) fn new(parts: &'a Parts, slice: &'a Slice) -> Result<Self, PartError> {
        let path = parts.layout.path(slice)?;
        Ok(Self { parts, slice, path, writer: None, batch: RowBatch::new(), batch_bytes: 0, rows: 0 })
    }

    fn append(&mut self, row: &RawRow) -> Result<(), PartError> {
        self.batch.append(row).map_err(|source| PartError::Row { sequence: row.fetch.sequence, source })?;
        self.batch_bytes += row.text.len();
        if self.batch.rows() >= BATCH_ROWS || self.batch_bytes >= BATCH_BYTES { self.write_batch() } else { Ok(()) }
    }

    fn write_batch(&mut self) -> Result<(), PartError> {
        if self.batch.rows() == 0 {
            return Ok(());
        }
        let batch = self.batch.take().map_err(|source| PartError::Columns { path: self.path.clone(), source })?;
        self.batch_bytes = 0;
        self.write(&batch)
    }

    /// Adds rows that are columns already, in order. A row group ends at its number of rows, which the writer counts, or where it
    /// takes too much memory.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), PartError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.begin()?,
        };
        let encoded = writer.write(batch).and_then(|()| {
            let full = writer.memory_size() >= self.parts.packaging.row_group_bytes;
            if full { writer.flush() } else { Ok(()) }
        });
        encoded.map_err(|source| self.encode_error(source))?;
        self.rows += batch.num_rows() as u64;
        self.writer = Some(writer);
        Ok(())
    }

    fn begin(&self) -> Result<ArrowWriter<StagedFile>, PartError> {
        let properties = columns::writer_properties(&self.parts.packaging);
        let file = self.parts.staging.create(&self.path)?;
        properties
            .and_then(|properties| ArrowWriter::try_new(file, columns::schema(), Some(properties)))
            .map_err(|source| self.encode_error(source))
    }

    pub(super) fn finish(mut self) -> Result<Option<PartRecord>, PartError> {
        self.write_batch()?;
        let Some(writer) = self.writer.take() else { return Ok(None) };
        let file = writer.into_inner().map_err(|source| self.encode_error(source))?;
        let Sealed { bytes, sha256 } = file.seal()?;
        Ok(Some(PartRecord {
            region: self.slice.region.clone(),
            range: self.slice.range,
            run: self.slice.run.clone(),
            rows: RowCount::new(self.rows),
            bytes,
            sha256,
            duplicates: 0,
            kept_in_extra: self.batch.kept_in_extra(),
            path: self.path,
        }))
    }

    fn encode_error(&self, source: ParquetError) -> PartError {
        PartError::Encode { path: self.path.clone(), source }
    }
}
