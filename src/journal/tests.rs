//! The journal as its callers see it: on a real disk, over crashes, refusals and damage.

mod credits;
mod damage;
mod onlooker;
mod pages;
mod rejected;
mod runs;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;

use super::record::{RangeEnds, RejectedRow, Upkeep};
use super::*;
use crate::plan::fact::{Check, PageAddress, PageFact, Purpose, RowKey, VideoKey, WindowId};
use crate::plan::reads::Reads;
use crate::units::{ByteCount, Credits, PageNumber};

/// Lets a connection that a test had limited grow again: the room that giving up the ballast makes on a real disk.
pub(super) fn find_room(connection: &Connection) {
    connection.pragma_update_and_check(None, "max_page_count", 1_000_000, |_| Ok(())).unwrap();
}

pub(super) fn region(code: &str) -> Region {
    code.parse().unwrap()
}

pub(super) fn seconds(start: i64, end: i64) -> TimeRange {
    TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(end))
}

pub(super) fn new_run(id: &str) -> NewRun {
    let (output, partition) = ("out".to_owned(), "day".to_owned());
    let (range, began_at) = (seconds(0, 1_000), EpochSeconds::new(2_000));
    let reads = vec![Reads {
        region: "US".parse().unwrap(),
        ranges: vec![seconds(0, 10), seconds(20, 1_000)],
        beside: Default::default(),
    }];
    NewRun { id: id.to_owned(), range, reads, ends: RangeEnds::ByClock, began_at, output, partition }
}

pub(super) fn walk(window: u32, page: u32) -> PageAddress {
    let purpose = Purpose::Walk { window: WindowId(window), scan: 0 };
    PageAddress { region: region("US"), purpose, page: PageNumber::new(page).unwrap() }
}

/// A page whose rows stand at the given seconds.
pub(super) fn page(address: PageAddress, at: &[i64]) -> NewPage {
    let key = |second: &i64| RowKey { second: EpochSeconds::new(*second), video: VideoKey(*second as u64 + 7) };
    let rows: Vec<RowKey> = at.iter().map(key).collect();
    let body = format!("{{\"data\":{at:?},\"of\":{:?}}}", address.page).into_bytes();
    let fact = PageFact {
        address,
        fetched_at: EpochSeconds::new(3_000),
        slots: at.len() as u32,
        rows,
        check: Default::default(),
    };
    NewPage {
        fact,
        fetched_at_ms: 3_000_123,
        request_id: Some("request".to_owned()),
        body,
        delivers: !at.is_empty(),
        rejected: Vec::new(),
        position: EpochSeconds::new(at.first().copied().unwrap_or(500)),
    }
}

pub(super) fn closing(window: u32) -> Upkeep {
    Upkeep { closed: vec![WindowId(window)], ..Upkeep::default() }
}

pub(super) fn limits(max: Option<u64>) -> Limits {
    Limits { max_credits: max.map(Credits::new), block: 4 }
}

/// An open journal with a run and its ledger, in a folder of its own.
struct Scene {
    folder: TempDir,
    journal: Journal,
    ledger: Ledger,
}

impl Scene {
    async fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        journal.begin_run(new_run("run-1")).await.unwrap();
        let ledger = journal.ledger(limits(None)).unwrap();
        Self { folder, journal, ledger }
    }

    async fn buy(&self, page: NewPage) -> Result<i64, JournalError> {
        let attempt = self.ledger.admit().await.unwrap();
        self.journal.commit_page(page, attempt).await
    }

    fn read(&self, code: &str, range: TimeRange) -> Vec<(i64, Vec<u8>)> {
        let pages = self.journal.pages(&region(code), range).unwrap();
        pages.map(|page| page.unwrap()).map(|page| (page.sequence, page.body)).collect()
    }

    /// Ends the writer as a kill does, and opens the journal again.
    async fn crash(self) -> Self {
        self.journal.ask(Job::Crash).await.unwrap();
        let Self { folder, journal, ledger } = self;
        drop((journal, ledger));
        let journal = Journal::open(folder.path()).unwrap();
        let ledger = journal.ledger(limits(None)).unwrap();
        Self { folder, journal, ledger }
    }

    /// What a kill at this moment would leave on disk, without the locks and memory of the process.
    fn snapshot(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        for name in ["journal.sqlite", "journal.sqlite-wal"] {
            fs::copy(self.folder.path().join(name), copy.path().join(name)).unwrap();
        }
        copy
    }

    /// A connection of a person's own tool.
    fn tool(&self) -> Connection {
        Connection::open(self.folder.path().join("journal.sqlite")).unwrap()
    }
}

fn sequences(replayed: &[Replayed]) -> Vec<i64> {
    replayed.iter().map(Replayed::sequence).collect()
}

pub(super) fn part(path: &str) -> PartRecord {
    PartRecord {
        path: path.to_owned(),
        region: region("US"),
        range: seconds(0, 10),
        run: "run-1".to_owned(),
        rows: RowCount::new(3),
        bytes: ByteCount::new(300),
        sha256: "00".to_owned(),
        duplicates: 0,
        kept_in_extra: 0,
        extra_fields: Default::default(),
        schema: 2,
        carried: false,
    }
}
