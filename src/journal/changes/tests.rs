//! What is shipped is what was committed, however it was cut into pieces.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::journal::record::{Change, PartState, RunOutcome};
use crate::journal::shipping::{Deadline, Lease, Shipping};
use crate::journal::tests::{closing, limits, new_run, page, part, region, walk};
use crate::journal::{AttemptEnd, Journal, JournalError, Ledger, LedgerError, restore};
use crate::units::EpochSeconds;

/// A journal that is shipped, and what its copy was given.
struct Shipped {
    folder: TempDir,
    journal: Journal,
    shipping: Arc<Shipping>,
    ledger: Ledger,
    copy: Vec<Vec<u8>>,
}

fn a_lease() -> Lease {
    Lease::Held(Deadline::after(Duration::from_secs(600)))
}

impl Shipped {
    async fn begin(at_risk: u64, max_credits: Option<u64>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shipping = Shipping::new(at_risk, Duration::ZERO, a_lease());
        let journal = Journal::open_shipped(folder.path(), shipping.clone()).unwrap();
        journal.begin_run(new_run("run-1")).await.unwrap();
        let ledger = journal.ledger(limits(max_credits)).unwrap();
        Self { folder, journal, shipping, ledger, copy: Vec::new() }
    }

    async fn ship(&mut self, extent: Extent, last: bool) {
        let changes = self.journal.changes(extent, last).await.unwrap();
        changes.are_shipped(&self.shipping);
        if extent == Extent::Whole {
            self.copy.clear();
        }
        self.copy.extend(changes.pieces);
    }

    /// The journal that the copy makes elsewhere.
    fn restored(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let pieces = self.copy.iter().map(|piece| Ok::<_, JournalError>(("a piece".to_owned(), piece.clone())));
        restore(folder.path(), pieces).unwrap();
        folder
    }
}

/// Every row of every table as text; of the runs without what the copy is told otherwise.
fn rows_of(folder: &Path) -> Vec<String> {
    let connection = Connection::open(folder.join("journal.sqlite")).unwrap();
    let mut all = Vec::new();
    for table in tables(&connection).unwrap() {
        let mut every = connection.prepare(&format!("SELECT * FROM {}", table.name)).unwrap();
        let mut rows = every.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let columns = (0..table.columns).filter(|column| table.reserved != Some(*column));
            let values: Vec<Value> = columns.map(|column| row.get(column).unwrap()).collect();
            all.push(format!("{}: {values:?}", table.name));
        }
    }
    all.sort();
    all
}

#[derive(Clone, Debug)]
enum Step {
    Buy(u32, u32, i64),
    Decide,
    CloseWindow(u32),
    Release(i64),
    Prepare(u8),
    Publish(u8),
    GiveUp(u8),
    Learn(u8),
    Refused,
    BeginRun,
    Ship,
    ShipWhole,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_u32..3, 1_u32..9, 0_i64..60).prop_map(|(window, page, second)| Step::Buy(window, page, second)),
        2 => Just(Step::Decide),
        1 => (0_u32..3).prop_map(Step::CloseWindow),
        2 => (0_i64..70).prop_map(Step::Release),
        1 => (0_u8..3).prop_map(Step::Prepare),
        1 => (0_u8..3).prop_map(Step::Publish),
        1 => (0_u8..3).prop_map(Step::GiveUp),
        1 => (0_u8..3).prop_map(Step::Learn),
        1 => Just(Step::Refused),
        1 => Just(Step::BeginRun),
        4 => Just(Step::Ship),
        1 => Just(Step::ShipWhole),
    ]
}

impl Shipped {
    /// What a rule of the journal refuses changes nothing, which is as good.
    async fn step(&mut self, number: usize, step: Step) {
        match step {
            Step::Buy(window, number, second) => {
                // The copy may not know of the run yet.
                let admitted = tokio::time::timeout(Duration::from_millis(1), self.ledger.admit()).await;
                if let Ok(Ok(attempt)) = admitted {
                    let _perhaps_bought =
                        self.journal.commit_page(page(walk(window, number), &[second]), attempt).await;
                }
            }
            Step::Decide => drop(self.journal.commit_events(vec![format!("\"{number}\"")], Default::default()).await),
            Step::CloseWindow(window) => drop(self.journal.commit_events(Vec::new(), closing(window)).await),
            Step::Release(below) => {
                drop(self.journal.release_bodies(&region("US"), EpochSeconds::new(below)).await);
            }
            Step::Prepare(name) => drop(self.journal.prepare_part(part(&name.to_string())).await),
            Step::Publish(name) => drop(self.journal.publish_part(&name.to_string()).await),
            Step::GiveUp(name) => drop(self.journal.give_part_up(&name.to_string()).await),
            Step::Learn(name) => drop(self.journal.learn(&name.to_string(), &number.to_string()).await),
            Step::Refused => {
                let superseded = vec!["nobody".to_owned()];
                let (taken_over, published) = (vec![part("other")], vec!["unknown".to_owned()]);
                let change = Change { superseded, taken_over, published, ..Change::default() };
                assert!(self.journal.commit_change(change).await.is_err());
            }
            Step::BeginRun => {
                self.journal.begin_run_anew(new_run(&format!("run at {number}"))).await.unwrap();
                self.ledger = self.journal.ledger(limits(None)).unwrap();
            }
            Step::Ship => self.ship(Extent::Touched, false).await,
            Step::ShipWhole => self.ship(Extent::Whole, false).await,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn what_was_shipped_makes_the_same_journal(steps in prop::collection::vec(any_step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut shipped = Shipped::begin(1_000, None).await;
            shipped.ship(Extent::Touched, false).await;
            for (number, step) in steps.into_iter().enumerate() {
                shipped.step(number, step).await;
                if matches!(number % 20, 0) {
                    shipped.ship(Extent::Touched, false).await;
                }
            }
            shipped.ship(Extent::Touched, true).await;
            let restored = shipped.restored();
            let wanted = rows_of(shipped.folder.path());
            assert_eq!(rows_of(restored.path()), wanted);
            let there = Journal::open(restored.path()).unwrap();
            let (here, whole) = (there.latest_run().unwrap(), shipped.journal.latest_run().unwrap());
            assert_eq!(here, whole);
        });
    }
}

/// The note of a row that was touched once made its second upsert fail, which stopped the journal for good.
#[tokio::test]
async fn a_row_may_be_replaced_again_before_it_is_shipped() {
    let mut shipped = Shipped::begin(1_000, None).await;
    for json in ["1", "2", "3"] {
        shipped.journal.learn("rate", json).await.unwrap();
        shipped.journal.hold_part(part("x")).await.unwrap();
    }
    shipped.ship(Extent::Touched, true).await;
    let restored = shipped.restored();
    assert_eq!(Journal::open(restored.path()).unwrap().learned("rate").unwrap().as_deref(), Some("3"));
}

#[tokio::test]
async fn what_came_and_went_between_two_shipments_takes_no_room() {
    let mut shipped = Shipped::begin(1_000, None).await;
    shipped.ship(Extent::Touched, false).await;
    for number in 1..=100 {
        shipped.step(0, Step::Buy(0, number, i64::from(number))).await;
    }
    shipped.journal.begin_run_anew(new_run("run-2")).await.unwrap();
    let changes = shipped.journal.changes(Extent::Touched, false).await.unwrap();
    let bytes: usize = changes.pieces.iter().map(Vec::len).sum();
    assert!(bytes < 1_000, "{bytes}");
    assert!(shipped.journal.changes(Extent::Touched, false).await.unwrap().pieces.is_empty(), "nothing has changed");
}

#[tokio::test]
async fn no_more_is_sent_than_the_copy_has_reserved_and_none_before_it_knows_of_the_run() {
    let mut shipped = Shipped::begin(3, Some(5)).await;
    let ledger = shipped.ledger.clone();
    let waits = tokio::spawn(async move {
        let mut sent = 0;
        loop {
            match ledger.admit().await {
                Ok(attempt) => attempt.ended(AttemptEnd::Failed),
                Err(LedgerError::Exhausted { .. }) => return sent,
                Err(LedgerError::Journal(error)) => panic!("{error}"),
            }
            sent += 1;
        }
    });
    let reserved = |restored: &TempDir| {
        let connection = Connection::open(restored.path().join("journal.sqlite")).unwrap();
        connection.query_row("SELECT reserved FROM runs", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(shipped.ledger.counts().attempts, 0);
    for most in [3, 5] {
        shipped.shipping.wanted().await;
        shipped.ship(Extent::Touched, false).await;
        assert_eq!(reserved(&shipped.restored()), most);
        // Who waits takes what it was given before anything else is looked at.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(waits.await.unwrap(), 5);
    assert_eq!(reserved(&shipped.restored()), 5);
}

#[tokio::test]
async fn attempts_that_nobody_saw_the_end_of_take_nothing_from_what_may_be_sent_later() {
    let mut shipped = Shipped::begin(3, None).await;
    for _ in 0..4 {
        shipped.ship(Extent::Touched, false).await;
        for _ in 0..2 {
            let admitted = tokio::time::timeout(Duration::from_secs(10), shipped.ledger.admit()).await;
            drop(admitted.expect("the copy knows of what was lost").unwrap());
        }
    }
}

#[tokio::test]
async fn a_run_that_ended_leaves_nothing_in_doubt() {
    let mut shipped = Shipped::begin(50, None).await;
    shipped.ship(Extent::Touched, false).await;
    let attempt = shipped.ledger.admit().await.unwrap();
    shipped.journal.commit_page(page(walk(0, 1), &[5]), attempt).await.unwrap();
    shipped.journal.finish_run("run-1", RunOutcome::Complete).await.unwrap();
    shipped.ship(Extent::Touched, false).await;
    let restored = shipped.restored();
    let there = Journal::open(restored.path()).unwrap();
    let counts = there.ledger(limits(None)).unwrap().counts();
    assert_eq!((counts.attempts, counts.possibly_charged), (1, 0));
    assert_eq!(there.parts().unwrap(), Vec::<(_, PartState)>::new());
}

#[test]
fn bytes_that_are_no_piece_are_refused_and_never_panic() {
    let mut connection = Connection::open_in_memory().unwrap();
    super::super::schema::create(&mut connection).unwrap();
    let press = |bytes: &[u8]| zstd::bulk::compress(bytes, 1).unwrap();
    let is_no_piece = |piece: &[u8]| matches!(apply(&connection, piece), Err(NotApplied::NoPiece(_)));
    assert!(is_no_piece(b"not zstd"));
    for odd in [&[9][..], &[STANDS], &[STANDS, 99], &[GONE, 9, 2, 255, 255, 255, 255], &[GONE, 9, 2, 1, 0, 0, 0, 255]] {
        assert!(is_no_piece(&press(odd)), "{odd:?}");
    }
    assert!(apply(&connection, &press(&[])).is_ok() && apply(&connection, &press(&[ALL_GONE])).is_ok());
}

#[test]
fn every_table_of_the_journal_is_shipped() {
    let mut connection = Connection::open_in_memory().unwrap();
    super::super::schema::create(&mut connection).unwrap();
    let mut statement =
        connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").unwrap();
    let there: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut shipped = TABLES_IN_ORDER.map(str::to_owned).to_vec();
    shipped.sort();
    assert_eq!(there, shipped);
    for table in tables(&connection).unwrap() {
        assert!((1..=2).contains(&table.key.len()), "{}", table.name);
    }
}
