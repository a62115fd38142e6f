//! Reading the journal. Every stored value is checked on its way out; what cannot be is damage, named with its place.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row};

use super::book::{Account, Tally};
use super::bought::Bought;
use super::codec::{decode_keys, encode_keys, event_checksum, keys_checksum, standing_from};
use super::error::JournalError;
use super::held::{Held, HeldPage};
use super::job::purpose_from;
use super::record::{
    FormerRun, NewRun, PartRecord, PartState, RangeEnds, Replayed, RunOutcome, RunRecord, StoredQuestion,
};
use super::schema::{self, Found};
use crate::api::contract::Region;
use crate::plan::fact::{Check, PageAddress, PageFact, WindowId};
use crate::units::{EpochSeconds, PageNumber, TimeRange};

const LATEST_RUN: &str = "(SELECT max(number) FROM runs)";
/// The columns of a run's ledger, as [`ledger`] reads them.
const LEDGER: &str = "number, reserved, attempts, pages, pages_with_rows, retries, throttled, astray";

/// What the writer counts along; taken over only when the transaction is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The next entry's place in the order of pages and events.
    pub(super) next_sequence: i64,
    /// Bytes of bodies written since the log was last moved into the database.
    pub(super) written_bytes: u64,
}

/// A read-only connection to one journal.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) connection: Connection,
    pub(super) file: PathBuf,
}

impl Reader {
    pub(super) fn new(connection: Connection, file: PathBuf) -> Self {
        Self { connection, file }
    }

    pub(super) fn inspect(&self) -> Result<Found, JournalError> {
        schema::inspect(&self.connection, &self.file)
    }

    pub(super) fn question(&self) -> Result<Option<StoredQuestion>, JournalError> {
        let sql = "SELECT fingerprint, json FROM question";
        let read = |row: &Row<'_>| Ok(StoredQuestion { fingerprint: row.get(0)?, json: row.get(1)? });
        self.connection.query_row(sql, [], read).optional().map_err(self.failed("reading the question"))
    }

    pub(super) fn latest_run(&self) -> Result<Option<RunRecord>, JournalError> {
        let sql = format!(
            "SELECT id, range_start, range_end, began_at, output, partition, outcome, reads, ends, spent_at FROM runs \
             WHERE number = {LATEST_RUN}"
        );
        let read = |row: &Row<'_>| {
            let range = TimeRange::new(EpochSeconds::new(row.get(1)?), EpochSeconds::new(row.get(2)?));
            let (id, began_at) = (row.get(0)?, EpochSeconds::new(row.get(3)?));
            let (reads, ends): (String, String) = (row.get(7)?, row.get(8)?);
            let (output, partition, none) = (row.get(4)?, row.get(5)?, Vec::new());
            let ends = RangeEnds::from_name(&ends).unwrap_or(RangeEnds::Absolute);
            let begun = NewRun { id, range, reads: none, ends, began_at, output, partition };
            let outcome: Option<String> = row.get(6)?;
            let outcome = outcome.as_deref().and_then(RunOutcome::from_name);
            Ok((RunRecord { begun, outcome, spent_at: row.get::<_, Option<i64>>(9)?.map(EpochSeconds::new) }, reads))
        };
        let found =
            self.connection.query_row(&sql, [], read).optional().map_err(self.failed("reading the latest run"))?;
        let Some((mut run, reads)) = found else { return Ok(None) };
        let place = || format!("what run {} reads", run.begun.id);
        run.begun.reads = serde_json::from_str(&reads).map_err(|error| self.damaged(place(), error))?;
        Ok(Some(run))
    }

    /// The runs that began last, the latest first, at most so many.
    pub(super) fn runs(&self, most: usize) -> Result<Vec<FormerRun>, JournalError> {
        let failed = self.failed("reading the runs");
        let sql = format!(
            "SELECT {LEDGER}, id, range_start, range_end, began_at, outcome, reads FROM runs ORDER BY number DESC LIMIT ?1"
        );
        let read = |row: &Row<'_>| {
            let outcome: Option<String> = row.get(12)?;
            Ok(FormerRun {
                counts: ledger(row)?.1.counts(),
                id: row.get(8)?,
                range: TimeRange::new(EpochSeconds::new(row.get(9)?), EpochSeconds::new(row.get(10)?)),
                reads: serde_json::from_str(&row.get::<_, String>(13)?).ok(),
                began_at: EpochSeconds::new(row.get(11)?),
                outcome: outcome.as_deref().and_then(RunOutcome::from_name),
            })
        };
        let mut statement = self.connection.prepare_cached(&sql).map_err(&failed)?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let runs = statement.query_map([most], read).map_err(&failed)?;
        runs.collect::<rusqlite::Result<_>>().map_err(failed)
    }

    /// The latest run's number and ledger.
    pub(super) fn account(&self) -> Result<Option<(i64, Account)>, JournalError> {
        let sql = format!("SELECT {LEDGER} FROM runs WHERE number = {LATEST_RUN}");
        self.connection.query_row(&sql, [], ledger).optional().map_err(self.failed("reading the ledger"))
    }

    /// Where the writer goes on.
    pub(super) fn cursor(&self) -> Result<Cursor, JournalError> {
        let sql = "SELECT 1 + max(coalesce((SELECT max(sequence) FROM pages), 0), coalesce((SELECT max(sequence) FROM events), 0))";
        let last =
            self.connection.query_row(sql, [], |row| row.get(0)).map_err(self.failed("finding the last page"))?;
        Ok(Cursor { next_sequence: last, written_bytes: 0 })
    }

    pub(super) fn held_pages(&self) -> Result<u64, JournalError> {
        let sql = "SELECT (SELECT count(*) FROM bodies) - (SELECT count(*) FROM released)";
        self.connection.query_row(sql, [], |row| count(row, 0)).map_err(self.failed("counting the pages"))
    }

    /// The pages that hold a body.
    pub(super) fn held(&self) -> Result<Held, JournalError> {
        let failed = self.failed("looking for pages that wait");
        let sql = "SELECT sequence, region, first, end, slots FROM bodies \
                   WHERE NOT EXISTS (SELECT 1 FROM released WHERE released.sequence = bodies.sequence)";
        let mut statement = self.connection.prepare_cached(sql).map_err(&failed)?;
        let mut rows = statement.query([]).map_err(&failed)?;
        let mut held = Held::default();
        while let Some(row) = rows.next().map_err(&failed)? {
            let (sequence, region): (i64, String) = (|| Ok((row.get(0)?, row.get(1)?)))().map_err(&failed)?;
            let (first, end, slots) = (|| Ok((row.get(2)?, row.get(3)?, row.get(4)?)))().map_err(&failed)?;
            let region = Region::try_from(region)
                .map_err(|error| self.damaged(format!("the body of page {sequence}"), error))?;
            let span = TimeRange::new(EpochSeconds::new(first), EpochSeconds::new(end));
            held.add(HeldPage { region, sequence, span, slots });
        }
        let mut statement = self.connection.prepare_cached("SELECT sequence FROM released").map_err(&failed)?;
        for sequence in statement.query_map([], |row| row.get(0)).map_err(&failed)? {
            held.add_released(sequence.map_err(&failed)?);
        }
        Ok(held)
    }

    /// What the current run has bought.
    pub(super) fn bought(&self) -> Result<Bought, JournalError> {
        let failed = self.failed("looking for pages that were bought");
        let mut bought = Bought::default();
        let numbers = |sql: &str| -> rusqlite::Result<Vec<i64>> {
            self.connection.prepare_cached(sql)?.query_map([], |row| row.get(0))?.collect()
        };
        for window in numbers("SELECT window FROM closed_windows").map_err(&failed)? {
            u32::try_from(window).into_iter().for_each(|window| bought.close(WindowId(window)));
        }
        let keyed: BTreeSet<i64> = numbers("SELECT sequence FROM row_keys").map_err(&failed)?.into_iter().collect();
        let sql = "SELECT sequence, region, purpose, window, scan, page FROM pages ORDER BY sequence";
        let mut statement = self.connection.prepare_cached(sql).map_err(&failed)?;
        let mut rows = statement.query([]).map_err(&failed)?;
        let mut last: Option<Region> = None;
        while let Some(row) = rows.next().map_err(&failed)? {
            let sequence: i64 = row.get(0).map_err(&failed)?;
            let address = address(row, &mut last).map_err(&failed)?;
            let odd = || self.damaged(format!("page {sequence}"), "a column holds what was never written");
            let address = address.ok_or_else(odd)?;
            bought.insert(&address);
            if keyed.contains(&sequence) {
                bought.insert_keys(address.purpose, sequence);
            }
        }
        Ok(bought)
    }

    pub(super) fn rows_astray(&self) -> Result<(u64, u64), JournalError> {
        let sql = "SELECT coalesce(sum(outside), 0), coalesce(sum(other_region), 0) FROM pages";
        let read = |row: &Row<'_>| Ok((count(row, 0)?, count(row, 1)?));
        self.connection.query_row(sql, [], read).map_err(self.failed("counting rows"))
    }

    pub(super) fn learned(&self, name: &str) -> Result<Option<String>, JournalError> {
        let sql = "SELECT json FROM learned WHERE name = ?1";
        self.connection
            .query_row(sql, [name], |row| row.get(0))
            .optional()
            .map_err(self.failed("reading what was learned"))
    }

    pub(super) fn parts(&self) -> Result<Vec<(PartRecord, PartState)>, JournalError> {
        let failed = self.failed("reading the parts");
        let mut statement =
            self.connection.prepare_cached("SELECT path, state, record FROM parts ORDER BY path").map_err(&failed)?;
        let mut rows = statement.query([]).map_err(&failed)?;
        let mut parts = Vec::new();
        while let Some(row) = rows.next().map_err(&failed)? {
            parts.push(self.part(row)?);
        }
        Ok(parts)
    }

    fn part(&self, row: &Row<'_>) -> Result<(PartRecord, PartState), JournalError> {
        let failed = self.failed("reading the parts");
        let (path, state, record): (String, String, String) =
            (|| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))().map_err(failed)?;
        let damaged = |why: &dyn ToString| self.damaged(format!("part {path}"), why.to_string());
        let record: PartRecord = serde_json::from_str(&record).map_err(|error| damaged(&error))?;
        let state = match state.as_str() {
            "prepared" => PartState::Prepared,
            "held" => PartState::Held,
            "published" => PartState::Published,
            "superseded" => PartState::Superseded,
            other => return Err(damaged(&format!("no such state: {other}"))),
        };
        if record.path == path { Ok((record, state)) } else { Err(damaged(&"its record names another path")) }
    }

    /// Events and pages of open windows, in the order in which they became durable.
    pub(super) fn replay(&self) -> Result<Vec<Replayed>, JournalError> {
        let mut entries = self.events()?;
        entries.extend(self.open_pages()?);
        entries.sort_by_key(Replayed::sequence);
        Ok(entries)
    }

    fn events(&self) -> Result<Vec<Replayed>, JournalError> {
        let failed = self.failed("reading the events");
        let sql = "SELECT sequence, json, checksum FROM events ORDER BY sequence";
        let mut statement = self.connection.prepare_cached(sql).map_err(&failed)?;
        let mut rows = statement.query([]).map_err(&failed)?;
        let mut events = Vec::new();
        while let Some(row) = rows.next().map_err(&failed)? {
            let (sequence, json, stored): (i64, String, [u8; 8]) =
                (|| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))().map_err(&failed)?;
            if event_checksum(sequence, &json) != stored {
                return Err(self.damaged(format!("event {sequence}"), "its checksum does not fit"));
            }
            events.push(Replayed::Event { sequence, json });
        }
        Ok(events)
    }

    fn open_pages(&self) -> Result<Vec<Replayed>, JournalError> {
        let failed = self.failed("reading the page facts");
        let sql = "SELECT k.sequence, p.region, p.purpose, p.window, p.scan, p.page, p.fetched_at, p.slots, p.position, \
                   k.keys, k.checksum, p.standing, p.outside, p.own_region, p.other_region, p.print FROM row_keys k LEFT JOIN pages p ON p.sequence = k.sequence \
                   WHERE NOT EXISTS (SELECT 1 FROM closed_windows c WHERE c.run = p.run AND c.window = p.window) ORDER BY k.sequence";
        let mut statement = self.connection.prepare_cached(sql).map_err(&failed)?;
        let mut rows = statement.query([]).map_err(&failed)?;
        let mut pages = Vec::new();
        while let Some(row) = rows.next().map_err(&failed)? {
            pages.push(self.open_page(&StoredFact::read(row).map_err(&failed)?)?);
        }
        Ok(pages)
    }

    fn open_page(&self, stored: &StoredFact) -> Result<Replayed, JournalError> {
        let sequence = stored.sequence;
        let damaged = |why| self.damaged(format!("page {sequence}"), why);
        let fact = stored.fact().ok_or_else(|| damaged("a column holds what was never written"))?;
        let position = stored.position;
        if keys_checksum(sequence, &fact, (position, &encode_keys(&fact.rows))) != stored.checksum {
            return Err(damaged("the checksum of its rows does not fit"));
        }
        Ok(Replayed::Page { sequence, fact, position })
    }

    pub(super) fn failed(&self, doing: &'static str) -> impl Fn(rusqlite::Error) -> JournalError + use<> {
        JournalError::read(doing, &self.file)
    }

    pub(super) fn damaged(&self, place: impl Into<String>, why: impl ToString) -> JournalError {
        JournalError::damaged(&self.file, place, why)
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }
}

/// A page's fact as its tables hold it.
struct StoredFact {
    sequence: i64,
    region: String,
    purpose: String,
    window: i64,
    scan: i64,
    page: u32,
    fetched_at: EpochSeconds,
    slots: u32,
    position: EpochSeconds,
    keys: Vec<u8>,
    checksum: [u8; 8],
    standing: String,
    check: Check,
}

impl StoredFact {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            sequence: row.get(0)?,
            region: row.get(1)?,
            purpose: row.get(2)?,
            window: row.get(3)?,
            scan: row.get(4)?,
            page: row.get(5)?,
            fetched_at: EpochSeconds::new(row.get(6)?),
            slots: row.get(7)?,
            position: EpochSeconds::new(row.get(8)?),
            keys: row.get(9)?,
            checksum: row.get(10)?,
            standing: row.get(11)?,
            check: Check {
                outside: row.get(12)?,
                own_region: row.get(13)?,
                other_region: row.get(14)?,
                print: row.get::<_, i64>(15)?.cast_unsigned(),
                ..Check::default()
            },
        })
    }

    fn fact(&self) -> Option<PageFact> {
        let region = Region::try_from(self.region.clone()).ok()?;
        let page = PageNumber::new(self.page).ok()?;
        let address = PageAddress { region, purpose: purpose_from(&self.purpose, self.window, self.scan)?, page };
        let check = Check { standing: standing_from(&self.standing)?, ..self.check };
        let (fetched_at, slots, rows) = (self.fetched_at, self.slots, decode_keys(&self.keys)?);
        Some(PageFact { address, fetched_at, slots, rows, check })
    }
}

/// A page's address as `bought` reads it; none where a column holds what is none. Most pages are of the region of the one before.
fn address(row: &Row<'_>, last: &mut Option<Region>) -> rusqlite::Result<Option<PageAddress>> {
    let (region, purpose) = (row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_str()?);
    if last.as_ref().is_none_or(|last| last.as_str() != region) {
        *last = Region::try_from(region.to_owned()).ok();
    }
    let (purpose, page) = (purpose_from(purpose, row.get(3)?, row.get(4)?), PageNumber::new(row.get(5)?));
    Ok(last.clone().zip(purpose).zip(page.ok()).map(|((region, purpose), page)| PageAddress { region, purpose, page }))
}

/// A run's number and ledger.
fn ledger(row: &Row<'_>) -> rusqlite::Result<(i64, Account)> {
    let tally = Tally {
        attempts: count(row, 2)?,
        pages: count(row, 3)?,
        pages_with_rows: count(row, 4)?,
        retries: count(row, 5)?,
        throttled: count(row, 6)?,
        astray: count(row, 7)?,
    };
    Ok((row.get(0)?, Account { reserved: count(row, 1)?, tally }))
}

/// A count that the database holds as a signed number.
fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let stored: i64 = row.get(column)?;
    u64::try_from(stored).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, stored))
}
