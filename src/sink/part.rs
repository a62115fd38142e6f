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
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use arrow::array::{AsArray as _, RecordBatch};
use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::errors::ParquetError;

use crate::journal::kept::KeptFields;
use crate::journal::record::{PartRecord, StoredPage};
use crate::sink::columns::{self, Nature, Packaging, VIDEO_ID};
use crate::sink::decode::{Cut, FetchedRows, RowBatch};
use crate::sink::layout::{Layout, LayoutError, Slice};
use crate::sink::staging::{Leave, Names, Sealed, StagedFile, Staging, StagingError};
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
    /// A page holds no rows that can be read.
    #[error(transparent)]
    Cut(#[from] Cut),
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
    /// A former part has other columns than its schema version has, or is of a later one.
    #[error(
        "the former part {path} has other columns than a part of schema version {} or before",
        columns::SCHEMA_VERSION
    )]
    FormerSchema {
        /// The former part's path below the output folder.
        path: String,
    },
    /// A published part is not what was recorded, so its rows are not to be trusted with its place.
    #[error("the part {path} is damaged: {found}")]
    Damaged {
        /// Its path below the output folder.
        path: String,
        /// What was found.
        found: String,
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
        /// The part's path below the output folder, or its seconds where it has none yet.
        path: String,
        /// Why.
        source: ArrowError,
    },
    /// The rows of a part ended before its last: whoever reads them has failed.
    #[error("the rows of {0} ended early")]
    Unfinished(String),
    /// The disk.
    #[error(transparent)]
    Staging(#[from] StagingError),
}

/// Rows on their way from the half that reads pages to the half that writes a file.
#[derive(Debug)]
pub enum Piece {
    /// The next rows; more may follow.
    Rows(RecordBatch),
    /// The last rows, where any are left, and what is told of all.
    Last(Option<RecordBatch>, Totals),
}

/// What is told of all rows of a slice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    duplicates: u64,
    extra_fields: KeptFields,
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

    /// The same, whose files never take the place of one that is staged: each is named by its content.
    #[must_use]
    pub fn beside_what_is_staged(self) -> Self {
        Self { staging: self.staging.naming(Names::ByContent), ..self }
    }

    /// Whether files of these go where those of the others do, under the same names.
    pub fn stage_alike(&self, other: &Self) -> bool {
        self.staging == other.staging
    }

    /// Writes the rows of `pages` that lie in the slice, sorted by `(create_time, video_id)`, each video once, as a staged and
    /// synced file; nothing where there are none. Blocks. Writing the same slice again gives the same rows in the same place.
    ///
    /// `pages` come ordered by the start of their span, then by sequence, and hold every page whose span meets the slice.
    ///
    /// # Errors
    /// Where the journal cannot give a page back or gives it out of order, or the disk fails.
    pub fn stage<E: Into<Box<dyn Error + Send + Sync>>>(
        &self,
        slice: &Slice,
        pages: impl Iterator<Item = Result<StoredPage, E>>,
    ) -> Result<Option<PartRecord>, PartError> {
        let mut merge = Merge::new(slice, Taker::Part(Box::new(PartFile::new(self, slice)?)));
        merge.add_all(pages)?;
        merge.finish()
    }

    /// The first half of [`Parts::stage`]: makes columns of the pages' rows, and hands them over. Blocks while the second half is busy; ends
    /// early, and without an error, where that has failed.
    ///
    /// # Errors
    /// Where the journal cannot give a page back or gives it out of order.
    pub fn decode<E: Into<Box<dyn Error + Send + Sync>>>(
        slice: &Slice,
        pages: impl Iterator<Item = Result<StoredPage, E>>,
        pieces: SyncSender<Piece>,
    ) -> Result<(), PartError> {
        let mut merge = Merge::new(slice, Taker::OtherHalf(pieces));
        merge.add_all(pages)?;
        merge.finish().map(drop)
    }

    /// The second half: writes what the first one hands over, and puts nothing on the disk before it may. On two threads they write the file
    /// that [`Parts::stage`] writes.
    ///
    /// # Errors
    /// Where the disk fails, or the first half has, or the part is not wanted any more.
    pub fn encode(
        &self,
        slice: &Slice,
        pieces: &Receiver<Piece>,
        leave: Leave,
    ) -> Result<Option<PartRecord>, PartError> {
        let mut part = PartFile { leave: Some(leave), ..PartFile::new(self, slice)? };
        loop {
            match pieces.recv() {
                _ if part.leave.as_ref().is_some_and(Leave::is_refused) => {
                    return Err(PartError::Unfinished(part.path));
                }
                Ok(Piece::Rows(rows)) => part.write(&rows)?,
                Ok(Piece::Last(rows, totals)) => return part.finish_with(rows, totals),
                Err(_) => return Err(PartError::Unfinished(part.path)),
            }
        }
    }
}

/// Rows of a slice on their way into order.
struct Merge<'a> {
    taker: Taker<'a>,
    batch: RowBatch,
    range: TimeRange,
    held: BTreeMap<(EpochSeconds, String), HeldRow>,
    /// Rows before this second are written.
    written: EpochSeconds,
    videos: Videos,
    duplicates: u64,
}

/// Who takes rows that are in order.
enum Taker<'a> {
    /// The part, at once.
    Part(Box<PartFile<'a>>),
    /// Another thread.
    OtherHalf(SyncSender<Piece>),
    /// Nobody any more.
    Nobody,
}

/// A row that waits for what belongs before it.
struct HeldRow {
    page: Arc<FetchedRows>,
    /// Its place on the page.
    place: usize,
}

impl<'a> Merge<'a> {
    fn new(slice: &Slice, taker: Taker<'a>) -> Self {
        Self {
            taker,
            batch: RowBatch::new(slice.region.clone()),
            range: slice.range,
            held: BTreeMap::new(),
            written: slice.range.start,
            videos: Videos::default(),
            duplicates: 0,
        }
    }

    fn add_all<E: Into<Box<dyn Error + Send + Sync>>>(
        &mut self,
        pages: impl Iterator<Item = Result<StoredPage, E>>,
    ) -> Result<(), PartError> {
        for page in pages {
            let page = page.map_err(|source| PartError::Pages { range: self.range, source: source.into() })?;
            self.add(page)?;
            if matches!(self.taker, Taker::Nobody) {
                break;
            }
        }
        Ok(())
    }

    fn add(&mut self, page: StoredPage) -> Result<(), PartError> {
        self.write_before(page.span.start.min(self.range.end))?;
        let page = Arc::new(FetchedRows::read(page)?);
        for place in 0..page.len() {
            let row = page.get(place)?;
            if self.range.contains(row.second) {
                self.hold((row.second, row.video_id.to_owned()), HeldRow { page: Arc::clone(&page), place })?;
            }
        }
        Ok(())
    }

    fn hold(&mut self, key: (EpochSeconds, String), row: HeldRow) -> Result<(), PartError> {
        let (second, sequence) = (key.0, row.page.fetch.sequence);
        if second < self.written {
            return Err(PartError::Order { sequence, second, written: self.written });
        }
        match self.held.entry(key) {
            Entry::Vacant(place) => {
                place.insert(row);
            }
            Entry::Occupied(mut place) => {
                self.duplicates += 1;
                if sequence >= place.get().page.fetch.sequence {
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
            let ((_, video_id), row) = first.remove_entry();
            if self.videos.insert(&video_id) {
                self.append(&row)?;
            } else {
                self.duplicates += 1;
            }
        }
        Ok(())
    }

    fn append(&mut self, row: &HeldRow) -> Result<(), PartError> {
        self.batch.append(&row.page, row.place)?;
        if self.batch.rows() < BATCH_ROWS && self.batch.bytes() < BATCH_BYTES {
            return Ok(());
        }
        let rows = self.columns()?;
        match &mut self.taker {
            Taker::Part(part) => part.write(&rows)?,
            // Why the other half ended is its to tell.
            Taker::OtherHalf(pieces) if pieces.send(Piece::Rows(rows)).is_err() => self.taker = Taker::Nobody,
            Taker::OtherHalf(_) | Taker::Nobody => {}
        }
        Ok(())
    }

    fn columns(&mut self) -> Result<RecordBatch, PartError> {
        self.batch.take().map_err(|source| PartError::Columns { path: self.range.to_string(), source })
    }

    fn finish(mut self) -> Result<Option<PartRecord>, PartError> {
        self.write_before(self.range.end)?;
        let rows = if self.batch.rows() > 0 { Some(self.columns()?) } else { None };
        let totals = Totals { duplicates: self.duplicates, extra_fields: self.batch.kept().clone() };
        match self.taker {
            Taker::Part(part) => part.finish_with(rows, totals),
            Taker::OtherHalf(pieces) => {
                // Why the other half ended is its to tell.
                let _ = pieces.send(Piece::Last(rows, totals));
                Ok(None)
            }
            Taker::Nobody => Ok(None),
        }
    }
}

/// One part being written; no file exists before its first row.
pub(super) struct PartFile<'a> {
    parts: &'a Parts,
    slice: &'a Slice,
    path: String,
    writer: Option<ArrowWriter<StagedFile>>,
    /// What its file waits for, where it may not be written at once.
    leave: Option<Leave>,
    rows: u64,
    /// Whether no row will come any more.
    is_ending: bool,
}

impl<'a> PartFile<'a> {
    pub(super) fn new(parts: &'a Parts, slice: &'a Slice) -> Result<Self, PartError> {
        let path = parts.layout.path(slice)?;
        Ok(Self { parts, slice, path, writer: None, leave: None, rows: 0, is_ending: false })
    }

    /// Adds rows that are columns already, in order. A row group ends at its number of rows, which the writer counts, or where it
    /// takes too much memory.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), PartError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.begin(batch)?,
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

    fn begin(&self, first: &RecordBatch) -> Result<ArrowWriter<StagedFile>, PartError> {
        let ids = first.column_by_name(VIDEO_ID).and_then(|column| column.as_string_opt::<i32>());
        let ids_follow_time = ids.is_some_and(|ids| columns::follow_time(ids.iter()));
        let nature = Nature { is_small: self.is_ending, ids_follow_time };
        let properties = columns::writer_properties(&self.parts.packaging, nature);
        let staging = &self.parts.staging;
        let file = match &self.leave {
            Some(leave) => staging.create_part_later(&self.path, leave.clone()),
            None => staging.create_part(&self.path)?,
        };
        properties
            .and_then(|properties| {
                // Without the Arrow schema every reader sees the same types: those of Parquet.
                let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
                ArrowWriter::try_new_with_options(file, columns::schema(), options)
            })
            .map_err(|source| self.encode_error(source))
    }

    /// Adds the last rows that come, so that a part of few rows is packed as one.
    pub(super) fn write_last(&mut self, batch: &RecordBatch) -> Result<(), PartError> {
        self.is_ending = true;
        self.write(batch)
    }

    fn finish_with(mut self, last: Option<RecordBatch>, totals: Totals) -> Result<Option<PartRecord>, PartError> {
        if let Some(rows) = last {
            self.write_last(&rows)?;
        }
        let Totals { duplicates, extra_fields } = totals;
        let kept_in_extra = extra_fields.total();
        Ok(self.finish()?.map(|record| PartRecord { duplicates, kept_in_extra, extra_fields, ..record }))
    }

    pub(super) fn finish(mut self) -> Result<Option<PartRecord>, PartError> {
        let Some(writer) = self.writer.take() else { return Ok(None) };
        let file = writer.into_inner().map_err(|source| self.encode_error(source))?;
        let Sealed { bytes, sha256 } = file.seal()?;
        let path = self.parts.staging.name_by_content(self.path, &sha256)?;
        Ok(Some(PartRecord {
            region: self.slice.region.clone(),
            range: self.slice.range,
            run: self.slice.run.clone(),
            rows: RowCount::new(self.rows),
            bytes,
            sha256,
            duplicates: 0,
            kept_in_extra: 0,
            extra_fields: KeptFields::default(),
            schema: columns::SCHEMA_VERSION,
            carried: false,
            path,
        }))
    }

    fn encode_error(&self, source: ParquetError) -> PartError {
        PartError::Encode { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests;
