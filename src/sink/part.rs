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
use crate::sink::staging::{Names, Sealed, StagedFile, Staging, StagingError};
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

    /// Removes what was staged of a part that is not wanted any more.
    ///
    /// # Errors
    /// Where the disk does not allow it.
    pub fn discard(&self, part: &PartRecord) -> Result<(), StagingError> {
        self.staging.remove(&part.path)
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

    /// The second half: writes what the first one hands over. On two threads they write the file that [`Parts::stage`] writes.
    ///
    /// # Errors
    /// Where the disk fails, or the first half has.
    pub fn encode(&self, slice: &Slice, pieces: &Receiver<Piece>) -> Result<Option<PartRecord>, PartError> {
        let mut part = PartFile::new(self, slice)?;
        loop {
            match pieces.recv() {
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
    rows: u64,
    /// Whether no row will come any more.
    is_ending: bool,
}

impl<'a> PartFile<'a> {
    pub(super) fn new(parts: &'a Parts, slice: &'a Slice) -> Result<Self, PartError> {
        let path = parts.layout.path(slice)?;
        Ok(Self { parts, slice, path, writer: None, rows: 0, is_ending: false })
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
        let file = self.parts.staging.create_part(&self.path)?;
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
mod tests {
    use std::fs::File;
    use std::path::Path;

    use parquet::basic::{Compression, Encoding, LogicalType, Type as PhysicalType};
    use parquet::file::metadata::RowGroupMetaData;
    use parquet::file::properties::ReaderProperties;
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::file::serialized_reader::ReadOptionsBuilder;
    use proptest::prelude::*;

    use super::*;
    use crate::sink::columns::{CREATE_TIME, Encodings};
    use crate::sink::staging::sha256_of;
    use crate::sink::testing::{EXAMPLE, NEW_YEAR, given, page, parts, range, row, slice, triples};

    fn staged(pages: Vec<StoredPage>, wanted: TimeRange) -> (Option<PartRecord>, Vec<(i64, String, i64)>) {
        let folder = tempfile::tempdir().unwrap();
        let parts = parts(folder.path());
        let record = parts.stage(&slice(wanted), given(pages)).unwrap();
        let rows = record.as_ref().map(|record| triples(&parts.staging.file(&record.path))).unwrap_or_default();
        (record, rows)
    }

    #[test]
    fn a_part_holds_its_slice_in_order_and_nothing_else() {
        let pages = vec![
            page(1, &[row(-1, "1", 0), row(0, "20", 0), row(0, "10", 0)]),
            page(2, &[row(59, "3", 0), row(60, "4", 0)]),
        ];
        let (record, rows) = staged(pages, range(0, 60));
        let ids: Vec<&str> = rows.iter().map(|(_, id, _)| id.as_str()).collect();
        assert_eq!(ids, ["10", "20", "3"]);
        let record = record.unwrap();
        assert_eq!((record.rows.get(), record.duplicates), (3, 0));
        assert_eq!(
            record.path,
            "data/query_region=US/date=2026-01-01/part-20260101T000000Z-20260101T000100Z-r1.parquet"
        );
    }

    #[test]
    fn a_slice_without_rows_makes_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let parts = parts(folder.path());
        let pages = given(vec![page(1, &[row(100, "1", 0)]), page(2, &[])]);
        assert_eq!(parts.stage(&slice(range(0, 60)), pages).unwrap(), None);
        assert_eq!(std::fs::read_dir(folder.path().join(".staging")).unwrap().count(), 0);
    }

    #[test]
    fn of_a_video_that_came_twice_the_later_fetch_stands() {
        let later = page(9, &[row(5, "7", 90), row(8, "8", 90)]);
        let earlier = page(2, &[row(5, "7", 20), row(9, "9", 20)]);
        let (record, rows) = staged(vec![later, earlier], range(0, 60));
        assert_eq!(rows[0], (5, "7".to_owned(), 90));
        assert_eq!((rows.len(), record.unwrap().duplicates), (3, 1));
    }

    #[test]
    fn a_video_whose_time_changed_stands_once() {
        let pages = vec![page(1, &[row(5, "7", 1)]), page(2, &[row(30, "7", 2), row(31, "8", 2)])];
        let (record, rows) = staged(pages, range(0, 60));
        assert_eq!(rows, [(5, "7".to_owned(), 1), (31, "8".to_owned(), 2)]);
        assert_eq!(record.unwrap().duplicates, 1);
    }

    #[test]
    fn the_record_has_the_files_size_and_checksum() {
        let folder = tempfile::tempdir().unwrap();
        let parts = parts(folder.path());
        let record = parts.stage(&slice(range(0, 60)), given(vec![page(1, &[row(5, "7", 1)])])).unwrap().unwrap();
        let file = parts.staging.file(&record.path);
        assert_eq!(record.bytes.get(), std::fs::metadata(&file).unwrap().len());
        assert_eq!(record.sha256, sha256_of(File::open(&file).unwrap()).unwrap());
        let again = parts.stage(&slice(range(0, 60)), given(vec![page(1, &[row(5, "7", 1)])])).unwrap().unwrap();
        assert_eq!(again, record);
    }

    /// As two threads do it.
    fn in_halves(
        parts: &Parts,
        wanted: TimeRange,
        pages: Vec<StoredPage>,
    ) -> (Result<(), PartError>, Result<Option<PartRecord>, PartError>) {
        let slice = slice(wanted);
        let (send, receive) = std::sync::mpsc::sync_channel(0);
        std::thread::scope(|scope| {
            let pages = pages.into_iter().map(Ok::<_, std::io::Error>);
            let decoding = scope.spawn(|| Parts::decode(&slice, pages, send));
            let encoded = parts.encode(&slice, &receive);
            drop(receive);
            (decoding.join().unwrap(), encoded)
        })
    }

    #[test]
    fn two_halves_write_the_file_that_one_writes() {
        let pages = |rows: i64| -> Vec<StoredPage> {
            let of_page = |page: i64| {
                (page * 10..(page * 10 + 10).min(rows)).map(|n| row(n / 10, &format!("{n:06}"), n)).collect::<Vec<_>>()
            };
            (0..(rows + 9) / 10).map(|at| page(at, &of_page(at))).collect()
        };
        let full = BATCH_ROWS as i64;
        for rows in [0, 1, full - 1, full, full + 1, 2 * full, 2 * full + 500] {
            let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let whole = parts(one.path()).stage(&slice(range(0, 3600)), given(pages(rows))).unwrap();
            let (decoded, encoded) = in_halves(&parts(two.path()), range(0, 3600), pages(rows));
            decoded.unwrap();
            assert_eq!(encoded.unwrap(), whole, "{rows}");
            assert_eq!(whole.map_or(0, |part| part.rows.get()), rows as u64);
        }
    }

    #[test]
    fn where_one_half_fails_the_other_ends() {
        let folder = tempfile::tempdir().unwrap();
        let (decoded, encoded) = in_halves(
            &parts(folder.path()),
            range(0, 60),
            vec![page(1, &[row(9, "9", 0)]), page(2, &[row(3, "3", 0)])],
        );
        assert!(matches!(decoded, Err(PartError::Order { .. })), "{decoded:?}");
        assert!(matches!(encoded, Err(PartError::Unfinished(_))), "{encoded:?}");
        let of_page = |page: i64| (0..10).map(|n| row(page, &format!("{page:04}{n}"), n)).collect::<Vec<_>>();
        let pages = (0..900).map(|at| page(at, &of_page(at))).collect();
        let nowhere = parts(folder.path());
        std::fs::remove_dir_all(folder.path().join(".staging")).unwrap();
        let (decoded, encoded) = in_halves(&nowhere, range(0, 3600), pages);
        assert!(decoded.is_ok() && matches!(encoded, Err(PartError::Staging(_))), "{decoded:?} {encoded:?}");
    }

    #[test]
    fn pages_out_of_order_are_refused_before_a_row_is_misplaced() {
        let folder = tempfile::tempdir().unwrap();
        let pages = [page(1, &[row(9, "9", 0)]), page(2, &[row(3, "3", 0)])];
        let failed = parts(folder.path()).stage(&slice(range(0, 60)), pages.into_iter().map(Ok::<_, std::io::Error>));
        let text = failed.unwrap_err().to_string();
        assert!(text.starts_with("stored page 2 holds 2026-01-01T00:00:03Z, but rows before"), "{text}");
    }

    #[test]
    fn a_journal_that_fails_is_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let pages = std::iter::once(Err(std::io::Error::other("page 4 is damaged")));
        let text = parts(folder.path()).stage(&slice(range(0, 60)), pages).unwrap_err().to_string();
        assert!(text.ends_with("back failed: page 4 is damaged"), "{text}");
    }

    #[test]
    fn row_groups_end_at_their_rows_or_at_their_memory() {
        let groups = |packaging| {
            let folder = tempfile::tempdir().unwrap();
            let parts = Parts { packaging, ..parts(folder.path()) };
            let many = |from: i64| (from..from + 10).map(|n| row(n / 100, &format!("{n:06}"), n)).collect::<Vec<_>>();
            let pages = (0..900).map(|number| page(number, &many(number * 10))).collect();
            let record = parts.stage(&slice(range(0, 3600)), given(pages)).unwrap().unwrap();
            assert_eq!(record.rows.get(), 9000);
            let reader = SerializedFileReader::new(File::open(parts.staging.file(&record.path)).unwrap()).unwrap();
            reader.metadata().num_row_groups()
        };
        assert_eq!(groups(Packaging { row_group_rows: 2000, ..Packaging::default() }), 5);
        assert_eq!(groups(Packaging { row_group_bytes: 1, ..Packaging::default() }), 3);
    }

    /// Rows of more than one batch, so that the part is not small.
    const OF_EVERY_COLUMN: i64 = 5_000;

    /// A part of the vendor's row under many ids, which do not follow time, with text that no dictionary holds to its end.
    fn of_every_column(folder: &Path, encodings: Encodings) -> SerializedFileReader<File> {
        packed_with(folder, Packaging { encodings, ..Packaging::default() })
    }

    fn packed_with(folder: &Path, packaging: Packaging) -> SerializedFileReader<File> {
        let parts = Parts { packaging, ..parts(folder) };
        let example: serde_json::Value = serde_json::from_str(EXAMPLE).unwrap();
        let row = |number: i64| {
            let mut row = example["data"][0].clone();
            row["create_time"] = (NEW_YEAR + number / 10).into();
            row["video_id"] = (number * 617 % OF_EVERY_COLUMN).to_string().into();
            row["unknown"] = format!("{number:02000}").into();
            row["video_desc"] = format!("{number:0500}").into();
            row.to_string()
        };
        let pages = (0..OF_EVERY_COLUMN / 10).map(|at| page(at, &(at * 10..at * 10 + 10).map(row).collect::<Vec<_>>()));
        let record = parts.stage(&slice(range(0, 3600)), given(pages.collect())).unwrap().unwrap();
        assert_eq!(record.rows.get(), OF_EVERY_COLUMN as u64);
        let filters = ReaderProperties::builder().set_read_bloom_filter(true).build();
        let options = ReadOptionsBuilder::new().with_reader_properties(filters).build();
        let file = File::open(parts.staging.file(&record.path)).unwrap();
        SerializedFileReader::new_with_options(file, options).unwrap()
    }

    #[test]
    fn a_reader_skips_row_groups_by_times_and_by_the_filter_of_ids() {
        let folder = tempfile::tempdir().unwrap();
        let reader = packed_with(folder.path(), Packaging { row_group_rows: 500, ..Packaging::default() });
        let groups = reader.metadata().row_groups();
        assert_eq!(groups.len(), 10);
        let place = |name: &str| groups[0].columns().iter().position(|one| one.column_path().string() == name).unwrap();
        let (time, id) = (place(CREATE_TIME), place(VIDEO_ID));
        let bounds = |group: &RowGroupMetaData, column: usize| {
            let statistics = group.column(column).statistics().unwrap().clone();
            (statistics.min_bytes_opt().unwrap().to_vec(), statistics.max_bytes_opt().unwrap().to_vec())
        };
        // Ten rows a second: a second is in one row group, and is asked for in one alone.
        let may_hold = |second: i64| {
            let moment = (NEW_YEAR + second) * 1000;
            let milliseconds = |bytes: Vec<u8>| i64::from_le_bytes(bytes.try_into().unwrap());
            let holds = |(least, greatest)| (milliseconds(least)..=milliseconds(greatest)).contains(&moment);
            groups.iter().filter(|group| holds(bounds(group, time))).count()
        };
        assert!((0..500).all(|second| may_hold(second) == 1));
        assert_eq!(may_hold(500), 0);
        // An id may be anywhere by its bounds. Of the nine groups that lack it the filter leaves one in a hundred.
        let (mut by_bounds, mut by_filter) = (0, 0);
        for number in (0..OF_EVERY_COLUMN).step_by(50) {
            let wanted = number.to_string();
            let maybe = |group: &RowGroupMetaData| {
                let (least, greatest) = bounds(group, id);
                (least.as_slice()..=greatest.as_slice()).contains(&wanted.as_bytes())
            };
            by_bounds += groups.iter().filter(|group| maybe(group)).count();
            let filter = |at| reader.get_row_group(at).unwrap().get_column_bloom_filter(id).unwrap().clone();
            by_filter += (0..groups.len()).filter(|at| filter(*at).check(&wanted.as_str())).count();
        }
        assert!(by_bounds > 900, "{by_bounds}");
        assert!((100..=118).contains(&by_filter), "{by_filter}");
    }

    #[test]
    fn a_file_has_nothing_that_a_reader_of_two_years_ago_refuses() {
        let folder = tempfile::tempdir().unwrap();
        let reader = of_every_column(folder.path(), Encodings::Compatible);
        for column in reader.metadata().row_group(0).columns() {
            let path = column.column_path().string();
            for encoding in column.encodings() {
                let is_known = match encoding {
                    Encoding::PLAIN | Encoding::RLE | Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY => true,
                    Encoding::DELTA_BINARY_PACKED => [CREATE_TIME, "data_size"].contains(&path.as_str()),
                    _ => false,
                };
                assert!(is_known, "{path} has {encoding}");
            }
            let known = [PhysicalType::BOOLEAN, PhysicalType::INT32, PhysicalType::INT64, PhysicalType::BYTE_ARRAY];
            assert!(known.contains(&column.column_type()), "{path} is {}", column.column_type());
        }
        let file = reader.metadata().file_metadata();
        let keys: Vec<&str> = file.key_value_metadata().unwrap().iter().map(|pair| pair.key.as_str()).collect();
        assert_eq!(keys, [columns::SCHEMA_VERSION_KEY]);
        let schema = file.schema_descr();
        let amount = schema.columns().iter().find(|column| column.name() == "total_video_sale_gmv_amt").unwrap();
        assert_eq!(amount.logical_type_ref(), Some(&LogicalType::decimal(4, 18)));
    }

    #[test]
    fn the_file_is_packed_as_the_table_of_columns_says() {
        let folder = tempfile::tempdir().unwrap();
        let reader = of_every_column(folder.path(), Encodings::Compatible);
        let group = reader.metadata().row_group(0);
        let column = |name: &str| group.columns().iter().find(|column| column.column_path().string() == name).unwrap();
        let encoded = |name: &str, encoding| column(name).encodings().any(|used| used == encoding);
        assert!(encoded(CREATE_TIME, Encoding::DELTA_BINARY_PACKED));
        assert!(encoded("height", Encoding::RLE_DICTIONARY));
        assert!(
            !encoded("total_digg_cnt", Encoding::RLE_DICTIONARY) && !encoded("video_desc", Encoding::RLE_DICTIONARY)
        );
        assert!(group.columns().iter().all(|column| matches!(column.compression(), Compression::ZSTD(_))));
        assert!(column(VIDEO_ID).bloom_filter_offset().is_some());
        assert!(group.columns().iter().all(|column| column.offset_index_offset().is_some()));
        assert_eq!(group.sorting_columns().unwrap().len(), 2);
        let versions = reader.metadata().file_metadata().key_value_metadata().unwrap();
        assert!(
            versions.iter().any(|pair| pair.key == columns::SCHEMA_VERSION_KEY && pair.value.as_deref() == Some("2"))
        );
    }

    #[test]
    fn compact_is_what_only_the_newest_readers_take() {
        let folder = tempfile::tempdir().unwrap();
        let reader = of_every_column(folder.path(), Encodings::Compact);
        let group = reader.metadata().row_group(0);
        let used = |name: &str, encoding| {
            let column = group.columns().iter().find(|column| column.column_path().string() == name).unwrap();
            column.encodings().any(|used| used == encoding)
        };
        assert!(used("total_digg_cnt", Encoding::BYTE_STREAM_SPLIT) && used(VIDEO_ID, Encoding::DELTA_BYTE_ARRAY));
    }

    #[test]
    fn a_part_of_few_rows_has_no_index_and_ids_that_follow_time_no_filter() {
        let folder = tempfile::tempdir().unwrap();
        let parts = parts(folder.path());
        let rows: Vec<String> = (0..10).map(|n| row(n, &format!("{n:03}"), n)).collect();
        let record = parts.stage(&slice(range(0, 60)), given(vec![page(1, &rows)])).unwrap().unwrap();
        let reader = SerializedFileReader::new(File::open(parts.staging.file(&record.path)).unwrap()).unwrap();
        let id =
            reader.metadata().row_group(0).columns().iter().find(|column| column.column_path().string() == VIDEO_ID);
        let id = id.unwrap();
        assert!(id.bloom_filter_offset().is_none() && id.offset_index_offset().is_none());
        assert_eq!(id.statistics().unwrap().min_bytes_opt().unwrap(), b"000");
        assert_eq!(id.statistics().unwrap().max_bytes_opt().unwrap(), b"009");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn however_pages_overlap_each_video_stands_once_in_order_as_last_fetched(
            fetched in prop::collection::vec(prop::collection::vec((0..40_i64, 0..30_i64), 0..10), 0..12),
        ) {
            // A video keeps its second: the second is part of the id.
            let id = |(second, number): (i64, i64)| format!("{second:02}{number:02}");
            let pages: Vec<StoredPage> = fetched.iter().zip(1..).map(|(keys, sequence)| {
                page(sequence, &keys.iter().map(|key| row(key.0, &id(*key), sequence)).collect::<Vec<_>>())
            }).collect();
            let mut expected = BTreeMap::new();
            let mut inside = 0;
            for (keys, sequence) in fetched.iter().zip(1..) {
                for key in keys.iter().filter(|key| (5..30).contains(&key.0)) {
                    expected.insert((key.0, id(*key)), sequence);
                    inside += 1;
                }
            }
            let (record, rows) = staged(pages, range(5, 30));
            let duplicates = record.map_or(0, |record| record.duplicates);
            prop_assert_eq!(duplicates, inside - expected.len() as u64);
            let expected: Vec<_> = expected.into_iter().map(|((second, id), likes)| (second, id, likes)).collect();
            prop_assert_eq!(rows, expected);
        }
    }
}
