//! Reading answers and rejected rows back in a stream, a bounded piece at a time, so that a long read neither fills the
//! memory nor keeps the log from being moved into the database.

use std::collections::VecDeque;
use std::sync::Arc;

use lz4_flex::block::decompress;
use rusqlite::{OptionalExtension as _, Row, params};

use super::codec::body_checksum;
use super::error::JournalError;
use super::held::{BEFORE_ALL, Place};
use super::reader::Reader;
use super::record::{RejectedRecord, RejectedRow, StoredPage};
use super::schema::BETWEEN_PAGES;
use super::shared::Shared;
use crate::api::contract::Region;
use crate::units::{EpochSeconds, TimeRange};

/// Answers read at once, still compressed.
const PIECE: usize = 64;
/// Memory for pages of the database, in KiB. Each answer is read once, so what was read is worth nothing afterwards.
const CACHE_KIB: i64 = 256;
/// A byte of an LZ4 block stands for so many at most.
const LARGEST_RATIO: usize = 256;

/// The pages of a region whose span meets a range and whose body is still held, ordered by the first second of their span,
/// then by sequence. Each is checked; after an error nothing more comes. Blocking.
pub struct PageReader {
    reader: Reader,
    shared: Arc<Shared>,
    region: Region,
    range: TimeRange,
    piece: VecDeque<Compressed>,
    after: Place,
    late_only: bool,
    ended: bool,
}

/// A stored page as it lies in its table.
struct Compressed {
    page: StoredPage,
    length: i64,
    checksum: [u8; 8],
}

impl PageReader {
    pub(super) fn new(
        reader: Reader,
        shared: Arc<Shared>,
        (region, range): (Region, TimeRange),
    ) -> Result<Self, JournalError> {
        let after = BEFORE_ALL;
        // A negative number is one of KiB.
        let bounded = reader.connection.pragma_update(None, "cache_size", -CACHE_KIB);
        bounded.map_err(reader.failed("reading pages"))?;
        let (piece, late_only) = (VecDeque::new(), false);
        Ok(Self { reader, shared, region, range, piece, after, late_only, ended: range.is_empty() })
    }

    pub(super) fn of_late_pages(self) -> Self {
        Self { late_only: true, ..self }
    }

    fn read(&mut self) -> Result<Option<StoredPage>, JournalError> {
        loop {
            if let Some(found) = self.piece.pop_front() {
                return self.unpack(found).map(Some);
            }
            let mut places = self.shared.held().next(&self.region, self.range, self.after, PIECE);
            let Some(last) = places.last() else { return Ok(None) };
            self.after = *last;
            if self.late_only {
                let held = self.shared.held();
                places.retain(|place| held.is_late(&self.region, place));
            }
            self.piece = self.read_piece(&places)?;
        }
    }

    fn read_piece(&self, places: &[Place]) -> Result<VecDeque<Compressed>, JournalError> {
        let failed = self.reader.failed("reading pages");
        let sql = "SELECT sequence, first, end, fetched_at_ms, request_id, length, checksum, body FROM bodies \
                   WHERE sequence = ?1";
        // One reading for all: each begins with a look at what was committed since, and then all it knew of the file is worth nothing.
        let reading = self.reader.connection.unchecked_transaction().map_err(&failed)?;
        let mut statement = reading.prepare_cached(sql).map_err(&failed)?;
        let mut piece = VecDeque::with_capacity(places.len());
        for place in places {
            match statement.query_row([place.1], Compressed::read).optional().map_err(&failed)? {
                // Released since; its body may lie there still.
                _ if !self.shared.held().contains(&self.region, *place) => {}
                Some(found) => piece.push_back(found),
                None => return Err(self.reader.damaged(format!("the body of page {}", place.1), "it is gone")),
            }
        }
        Ok(piece)
    }

    fn unpack(&self, found: Compressed) -> Result<StoredPage, JournalError> {
        let Compressed { page, length, checksum } = found;
        let damaged = |why: String| self.reader.damaged(format!("the body of page {}", page.sequence), why);
        let length = usize::try_from(length).ok().filter(|length| *length / LARGEST_RATIO <= page.body.len());
        let length = length.ok_or_else(|| damaged("its length cannot be".to_owned()))?;
        let body = decompress(&page.body, length).map_err(|error| damaged(error.to_string()))?;
        if body.len() != length || body_checksum(&self.region, &page, &body) != checksum {
            return Err(damaged("its checksum does not fit".to_owned()));
        }
        Ok(StoredPage { body, ..page })
    }
}

impl Compressed {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let page = StoredPage {
            sequence: row.get(0)?,
            fetched_at_ms: row.get(3)?,
            request_id: row.get(4)?,
            span: TimeRange::new(EpochSeconds::new(row.get(1)?), EpochSeconds::new(row.get(2)?)),
            body: row.get(7)?,
        };
        Ok(Self { page, length: row.get(5)?, checksum: row.get(6)? })
    }
}

impl Iterator for PageReader {
    type Item = Result<StoredPage, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let read = self.read();
        self.ended = !matches!(read, Ok(Some(_)));
        read.transpose()
    }
}

/// The rejected rows of one run in their order of arrival. After an error nothing more comes. Blocking.
pub struct RejectedReader {
    reader: Reader,
    run: String,
    piece: VecDeque<(i64, RejectedRecord)>,
    after: i64,
    ended: bool,
}

impl RejectedReader {
    pub(super) fn new(reader: Reader, run: &str) -> Self {
        Self { reader, run: run.to_owned(), piece: VecDeque::new(), after: 0, ended: false }
    }

    fn read(&mut self) -> Result<Option<RejectedRecord>, JournalError> {
        if self.piece.is_empty() {
            self.piece = self.next_piece()?;
        }
        let Some((number, record)) = self.piece.pop_front() else { return Ok(None) };
        self.after = number;
        Ok(Some(record))
    }

    fn next_piece(&self) -> Result<VecDeque<(i64, RejectedRecord)>, JournalError> {
        let failed = self.reader.failed("reading rejected rows");
        let sql = "SELECT j.number, j.region, j.page, j.place, j.why, j.text FROM rejected j \
                   JOIN runs r ON r.number = j.run WHERE r.id = ?1 AND j.number > ?2 ORDER BY j.number LIMIT ?3";
        let mut statement = self.reader.connection.prepare_cached(sql).map_err(&failed)?;
        let mut rows = statement.query(params![self.run, self.after, PIECE as i64]).map_err(&failed)?;
        let mut piece = VecDeque::new();
        while let Some(row) = rows.next().map_err(&failed)? {
            let number: i64 = row.get(0).map_err(&failed)?;
            let region: String = row.get(1).map_err(&failed)?;
            let region = Region::try_from(region);
            let region = region.map_err(|error| self.reader.damaged(format!("rejected row {number}"), error))?;
            piece.push_back((number, rejected_record((number, region), row).map_err(&failed)?));
        }
        Ok(piece)
    }
}

fn rejected_record((number, region): (i64, Region), row: &Row<'_>) -> rusqlite::Result<RejectedRecord> {
    let rejected = RejectedRow { index: row.get(3)?, why: row.get(4)?, text: row.get(5)? };
    let pages: String = row.get(2)?;
    let mut pages = pages.split(BETWEEN_PAGES).map(str::to_owned);
    let page = pages.next().unwrap_or_default();
    Ok(RejectedRecord { number, region, page, other_pages: pages.collect(), row: rejected })
}

impl Iterator for RejectedReader {
    type Item = Result<RejectedRecord, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let read = self.read();
        self.ended = !matches!(read, Ok(Some(_)));
        read.transpose()
    }
}
