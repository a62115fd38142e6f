//! A journal's database file.

use std::cell::RefCell;
use std::path::Path;

use keyapi_export::journal::record::{NewPage, NewRun, PartRecord, RangeEnds, RejectedRow, StoredQuestion};
use keyapi_export::journal::{AttemptEnd, Journal, JournalError, JournalView, Limits};
use keyapi_export::plan::fact::{PageAddress, PageFact, Purpose, RowKey, VideoKey, WindowId};
use keyapi_export::units::{ByteCount, EpochSeconds, PageNumber, RowCount, TimeRange};
use tempfile::TempDir;

const FILE: &str = "journal.sqlite";
const EVERYTHING: TimeRange = TimeRange { start: EpochSeconds::new(i64::MIN), end: EpochSeconds::new(i64::MAX) };
const LIMITS: Limits = Limits { max_credits: None, block: 4 };

thread_local! {
    /// One state folder for all inputs of a thread, so that its ballast is written once.
    static STATE: RefCell<TempDir> = RefCell::new(super::folder());
}

/// The bytes are the database; a start and an onlooker read everything of it.
pub(crate) fn journal(bytes: &[u8]) {
    STATE.with_borrow(|state| {
        for name in [FILE, "journal.sqlite-wal", "journal.sqlite-shm", "journal.sqlite-journal"] {
            // Mostly they are not there.
            let _gone = std::fs::remove_file(state.path().join(name));
        }
        std::fs::write(state.path().join(FILE), bytes).expect("a database");
        names_its_place(look(state.path()));
        names_its_place(super::block_on(start(state.path())));
    });
}

fn names_its_place(read: Result<(), JournalError>) {
    if let Err(error) = read {
        let text = error.to_string();
        assert!(text.contains(FILE), "names no place: {text}");
    }
}

fn look(folder: &Path) -> Result<(), JournalError> {
    let Some(view) = JournalView::open(folder)? else { return Ok(()) };
    view.question()?;
    view.latest_run()?;
    view.counts()?;
    view.parts()?;
    view.replay()?;
    Ok(())
}

/// What a start reads, until something is found to be damaged.
async fn start(folder: &Path) -> Result<(), JournalError> {
    let journal = Journal::open(folder)?;
    let read = read(&journal);
    // The folder must be free again for the next input, whatever was read.
    let closed = journal.close().await;
    read.and(closed)
}

fn read(journal: &Journal) -> Result<(), JournalError> {
    journal.question()?;
    let run = journal.latest_run()?;
    let replayed = journal.replay()?;
    let is_one_order = replayed.is_sorted_by(|one, next| one.sequence() < next.sequence());
    assert!(is_one_order, "pages and events have no order");
    journal.parts()?;
    journal.learned("rate")?;
    let region = "US".parse().expect("a region");
    journal.count_rows(&region, EVERYTHING)?;
    for page in journal.pages(&region, EVERYTHING)? {
        page?;
    }
    if let Some(run) = run {
        for rejected in journal.rejected(&run.begun.id)? {
            rejected?;
        }
        journal.ledger(LIMITS)?.counts();
    }
    Ok(())
}

/// A new journal, one in mid-run, and one whose run is finished.
pub(super) fn good() -> Vec<Vec<u8>> {
    [0, 3, 40].iter().map(|pages| super::block_on(written(*pages)).expect("a sound journal")).collect()
}

async fn written(pages: u32) -> Result<Vec<u8>, JournalError> {
    let folder = super::folder();
    let journal = Journal::open(folder.path())?;
    journal.remember_question(StoredQuestion { fingerprint: "f1".to_owned(), json: "{}".to_owned() }).await?;
    if pages > 0 {
        begin(&journal, pages).await?;
    }
    journal.close().await?;
    Ok(std::fs::read(folder.path().join(FILE)).expect("the journal's file"))
}

async fn begin(journal: &Journal, pages: u32) -> Result<(), JournalError> {
    let range = TimeRange::new(EpochSeconds::new(0), EpochSeconds::new(1_000));
    let (output, partition) = ("out".to_owned(), "day".to_owned());
    let (reads, ends, began_at) = (Vec::new(), RangeEnds::Absolute, EpochSeconds::new(2_000));
    journal.begin_run(NewRun { id: "r1".to_owned(), range, reads, ends, began_at, output, partition }).await?;
    let ledger = journal.ledger(LIMITS)?;
    journal.commit_events(vec![r#"{"event":"window_opened"}"#.to_owned()], Default::default()).await?;
    for number in 1..=pages {
        let attempt = ledger.admit().await.expect("a credit");
        journal.commit_page(a_page(number), attempt).await?;
    }
    ledger.admit_again().await.expect("a credit").ended(AttemptEnd::Throttled);
    journal.prepare_part(a_part(range)).await?;
    journal.learn("rate", r#"{"limit":9.5,"used":8.0}"#).await
}

fn a_page(number: u32) -> NewPage {
    let second = EpochSeconds::new(i64::from(number) * 10);
    let rows: Vec<RowKey> =
        (0..10).map(|row| RowKey { second, video: VideoKey(u64::from(number) * 100 + row) }).collect();
    let address = PageAddress {
        region: "US".parse().expect("a region"),
        purpose: Purpose::Walk { window: WindowId(0), scan: 0 },
        page: PageNumber::new(number).expect("a page number"),
    };
    NewPage {
        fact: PageFact { address, fetched_at: EpochSeconds::new(3_000), slots: 11, rows, check: Default::default() },
        fetched_at_ms: 3_000_123,
        request_id: Some(format!("request-{number}")),
        body: include_bytes!("../../fixtures/vendor_page.json").to_vec(),
        delivers: true,
        rejected: vec![RejectedRow { index: 10, why: "it is no row".to_owned(), text: number.to_string() }],
        position: second,
    }
}

fn a_part(range: TimeRange) -> PartRecord {
    PartRecord {
        path: "data/query_region=US/part.parquet".to_owned(),
        region: "US".parse().expect("a region"),
        range,
        run: "r1".to_owned(),
        rows: RowCount::new(10),
        bytes: ByteCount::new(100),
        sha256: "00".repeat(32),
        duplicates: 1,
        kept_in_extra: 2,
        extra_fields: Default::default(),
        schema: 2,
        carried: false,
    }
}
