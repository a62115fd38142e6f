//! The journal as its callers see it: on a real disk, over crashes, refusals and damage.

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

/// Pages wait a moment for those that are on their way; one that never comes holds nobody up.
#[tokio::test]
async fn a_page_is_durable_without_those_that_never_come() {
    let scene = Scene::begin().await;
    let never = scene.ledger.admit().await.unwrap();
    for number in 1..=3 {
        scene.buy(page(walk(1, number), &[10 * i64::from(number)])).await.unwrap();
    }
    assert_eq!(scene.journal.replay().unwrap().len(), 3);
    drop(never);
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_kill() {
    let scene = Scene::begin().await;
    let first = scene.buy(page(walk(1, 1), &[10, 20])).await.unwrap();
    let event = scene.journal.commit_events(vec!["{\"split\":1}".to_owned()], Upkeep::default()).await.unwrap();
    let copy = scene.snapshot();
    let journal = Journal::open(copy.path()).unwrap();
    let replayed = journal.replay().unwrap();
    assert_eq!(sequences(&replayed), [first, event]);
    let expected =
        Replayed::Page { sequence: first, fact: page(walk(1, 1), &[10, 20]).fact, position: EpochSeconds::new(10) };
    assert_eq!(replayed[0], expected);
    let bodies: Vec<_> = journal.pages(&region("US"), seconds(0, 1_000)).unwrap().map(|page| page.unwrap()).collect();
    assert_eq!(bodies[0].body, page(walk(1, 1), &[10, 20]).body);
    assert_eq!(bodies[0].request_id.as_deref(), Some("request"));
    assert_eq!(journal.held_pages(), 1);
}

#[tokio::test]
async fn pages_and_events_replay_in_the_order_in_which_they_became_durable() {
    let mut scene = Scene::begin().await;
    let mut expected = Vec::new();
    for number in 1..=6 {
        expected.push(scene.buy(page(walk(1, number), &[i64::from(number)])).await.unwrap());
        expected.push(scene.journal.commit_events(vec![number.to_string()], Upkeep::default()).await.unwrap());
        scene = scene.crash().await;
    }
    assert_eq!(sequences(&scene.journal.replay().unwrap()), expected);
    assert_eq!(expected, (1..=12).collect::<Vec<i64>>());
}

#[tokio::test]
async fn many_pages_at_once_each_get_a_place_of_their_own() {
    let scene = Scene::begin().await;
    let scene_ref = &scene;
    let buying = (1..=200).map(|number| async move { scene_ref.buy(page(walk(1, number), &[5])).await.unwrap() });
    let got: BTreeSet<i64> = futures::future::join_all(buying).await.into_iter().collect();
    assert_eq!(got, (1..=200).collect());
    assert_eq!(scene.read("US", seconds(0, 10)).len(), 200);
    assert_eq!(scene.ledger.counts().attempts, 200);
}

#[tokio::test]
async fn a_page_is_not_bought_twice_and_its_neighbours_in_the_transaction_stand() {
    let scene = Scene::begin().await;
    scene.buy(page(walk(1, 1), &[10])).await.unwrap();
    let (again, next) = tokio::join!(scene.buy(page(walk(1, 1), &[10])), scene.buy(page(walk(1, 2), &[11])));
    assert_eq!(again.unwrap_err().to_string(), "US window 1 scan 0 page 1 was bought twice");
    next.unwrap();
    assert_eq!(scene.read("US", seconds(0, 100)).len(), 2);
    for purpose in [
        Purpose::Newest,
        Purpose::WithoutFilters,
        Purpose::WithoutRange,
        Purpose::KnownSecond,
        Purpose::ConfirmOldest,
        Purpose::ConfirmNewest,
        Purpose::Count { anchor: EpochSeconds::new(-7) },
        Purpose::Recheck { from: EpochSeconds::new(-7) },
        Purpose::Place { anchor: EpochSeconds::new(-7), question: 2 },
    ] {
        let address = PageAddress { purpose, ..walk(1, 1) };
        scene.buy(page(address.clone(), &[10])).await.unwrap();
        assert!(matches!(scene.buy(page(address, &[10])).await, Err(JournalError::BoughtTwice { .. })));
    }
    // What the table of purposes writes, it must read back: a purpose that it did not know once damaged every later start.
    assert_eq!(scene.journal.replay().unwrap().len(), 11);
}

#[tokio::test]
async fn the_row_keys_of_a_closed_window_go_and_what_lies_between_them_stays() {
    let scene = Scene::begin().await;
    let newest = PageAddress { purpose: Purpose::Newest, ..walk(1, 1) };
    for address in [walk(1, 1), walk(1, 2), newest, walk(1, 3), walk(1, 4), walk(2, 1), walk(1, 5)] {
        scene.buy(page(address, &[10])).await.unwrap();
    }
    let kept = || -> Vec<i64> {
        let tool = scene.tool();
        let mut keys = tool.prepare("SELECT sequence FROM row_keys ORDER BY sequence").unwrap();
        keys.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    scene.journal.commit_events(vec!["close".to_owned()], closing(1)).await.unwrap();
    // Behind the first page of a window that is open nothing goes yet.
    assert_eq!(kept(), [3, 6, 7]);
    scene.journal.commit_events(vec!["close".to_owned()], closing(2)).await.unwrap();
    assert_eq!(kept(), [3]);
}

/// The database once took the size of a page for a quarter of what it is, and kept four times the memory.
#[test]
fn the_writer_keeps_little_of_the_file_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let cache = |connection: &Connection| -> i64 {
        connection.pragma_query_value(None, "cache_size", |row| row.get(0)).unwrap()
    };
    let made = recovery::open(folder.path()).unwrap();
    assert_eq!(cache(&made.connection), -recovery::WRITER_CACHE_KIB);
    drop(made);
    let opened = recovery::open(folder.path()).unwrap();
    assert_eq!(cache(&opened.connection), -recovery::WRITER_CACHE_KIB);
}

#[tokio::test]
async fn pages_of_closed_windows_are_not_replayed_even_if_they_land_late() {
    let scene = Scene::begin().await;
    scene.buy(page(walk(1, 1), &[10])).await.unwrap();
    let open = scene.buy(page(walk(2, 1), &[20])).await.unwrap();
    let event = scene.journal.commit_events(vec!["close".to_owned()], closing(1)).await.unwrap();
    scene.buy(page(walk(1, 2), &[11])).await.unwrap();
    assert_eq!(sequences(&scene.journal.replay().unwrap()), [open, event]);
    assert_eq!(scene.read("US", seconds(0, 100)).len(), 3, "their bodies are still owed to the output");
    assert!(matches!(scene.buy(page(walk(1, 1), &[10])).await, Err(JournalError::BoughtTwice { .. })));
}

#[tokio::test]
async fn pages_come_ordered_by_second_and_only_where_they_meet_the_range() {
    let scene = Scene::begin().await;
    let mut expected = Vec::new();
    for number in 1..=150 {
        let second = i64::from(number * 37 % 101);
        let sequence = scene.buy(page(walk(1, number), &[second, second + 3])).await.unwrap();
        if second < 60 && second + 4 > 20 {
            expected.push((second, sequence));
        }
    }
    expected.sort_unstable();
    let found: Vec<i64> = scene.read("US", seconds(20, 60)).into_iter().map(|(sequence, _)| sequence).collect();
    assert_eq!(found, expected.iter().map(|(_, sequence)| *sequence).collect::<Vec<_>>());
    let rows = scene.journal.count_rows(&region("US"), seconds(20, 60)).unwrap();
    let beginning = expected.iter().filter(|(second, _)| *second >= 20).count();
    assert_eq!(rows, RowCount::new(2 * beginning as u64));
    assert!(scene.read("GB", seconds(20, 60)).is_empty());
    assert!(scene.read("US", seconds(60, 20)).is_empty());
}

/// Pages that reach over the same seconds were once counted in each of them: where there were more of them than a part may hold
/// rows, slices of one second each were cut, tens of thousands of them, and the run did not end.
#[tokio::test]
async fn pages_that_repeat_each_other_are_counted_where_they_begin() {
    let scene = Scene::begin().await;
    for number in 1..=40 {
        scene.buy(page(walk(1, number), &[i64::from(number), 1_000])).await.unwrap();
    }
    let rows = |start, end| scene.journal.count_rows(&region("US"), seconds(start, end)).unwrap().get();
    assert_eq!([rows(0, 1_001), rows(1, 2), rows(500, 501)], [80, 2, 0]);
}

#[tokio::test]
async fn evidence_and_empty_pages_never_reach_the_output() {
    let scene = Scene::begin().await;
    scene.buy(page(PageAddress { purpose: Purpose::WithoutFilters, ..walk(1, 1) }, &[10])).await.unwrap();
    scene.buy(page(PageAddress { purpose: Purpose::WithoutRange, ..walk(1, 1) }, &[10])).await.unwrap();
    scene.buy(page(walk(1, 9), &[])).await.unwrap();
    assert!(scene.read("US", seconds(0, 1_000)).is_empty());
    assert_eq!(scene.journal.replay().unwrap().len(), 3, "the planner sees them");
}

#[tokio::test]
async fn a_page_without_a_usable_row_stands_at_its_position() {
    let scene = Scene::begin().await;
    let mut unusable = page(walk(1, 1), &[]);
    unusable.fact.slots = 10;
    scene.buy(unusable).await.unwrap();
    assert_eq!(scene.read("US", seconds(500, 501)).len(), 1);
    assert!(scene.read("US", seconds(501, 900)).is_empty());
    // Nor does one stand where its rows are, if none of them is delivered: they may be of any time.
    scene.buy(NewPage { delivers: false, position: EpochSeconds::new(600), ..page(walk(1, 2), &[700]) }).await.unwrap();
    assert_eq!(scene.read("US", seconds(600, 601)).len(), 1);
    assert!(scene.read("US", seconds(601, 900)).is_empty());
}

#[tokio::test]
async fn released_bodies_are_gone_and_their_facts_stay() {
    let scene = Scene::begin().await;
    let early = scene.buy(page(walk(1, 1), &[10, 20])).await.unwrap();
    let late = scene.buy(page(walk(1, 2), &[20, 21])).await.unwrap();
    assert_eq!(scene.journal.release_bodies(&region("GB"), EpochSeconds::new(900)).await.unwrap(), 0);
    assert_eq!(scene.journal.release_bodies(&region("US"), EpochSeconds::new(20)).await.unwrap(), 0);
    assert_eq!(scene.journal.release_bodies(&region("US"), EpochSeconds::new(21)).await.unwrap(), 1);
    assert_eq!(scene.journal.held_pages(), 1);
    let scene = scene.crash().await;
    assert_eq!(scene.journal.held_pages(), 1);
    assert_eq!(scene.read("US", seconds(0, 100)).into_iter().map(|(sequence, _)| sequence).collect::<Vec<_>>(), [late]);
    assert_eq!(sequences(&scene.journal.replay().unwrap()), [early, late]);
}

/// Windows are read side by side: what the first of them released lay on every page of the table, and each page was written anew.
#[tokio::test]
async fn released_bodies_lie_until_their_neighbours_are_released_too() {
    let scene = Scene::begin().await;
    for number in 1..=300 {
        scene.buy(page(walk(1, number), &[if number % 3 == 0 { 50 } else { 5 }])).await.unwrap();
    }
    let lying = |scene: &Scene| -> (i64, i64) {
        let sql = "SELECT (SELECT count(*) FROM bodies), (SELECT count(*) FROM released)";
        scene.tool().query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    assert_eq!(scene.journal.release_bodies(&region("US"), EpochSeconds::new(6)).await.unwrap(), 200);
    assert_eq!(scene.journal.release_bodies(&region("US"), EpochSeconds::new(6)).await.unwrap(), 0);
    assert_eq!((scene.journal.held_pages(), lying(&scene)), (100, (300, 200)));
    let scene = scene.crash().await;
    assert_eq!((scene.journal.held_pages(), lying(&scene)), (100, (300, 200)));
    assert_eq!(JournalView::open(scene.folder.path()).unwrap().unwrap().held_pages().unwrap(), 100);
    assert_eq!(scene.read("US", seconds(0, 100)).len(), 100);
    assert_eq!(scene.journal.release_bodies(&region("US"), EpochSeconds::new(51)).await.unwrap(), 100);
    assert_eq!((scene.journal.held_pages(), lying(&scene)), (0, (0, 0)));
}

#[tokio::test]
async fn pages_of_another_region_give_their_rows_up_where_a_decision_says_so() {
    let scene = Scene::begin().await;
    let of = |own_region, other_region| Check { own_region, other_region, ..Check::default() };
    for (number, at, check) in
        [(1, 19, of(0, 1)), (2, 20, of(0, 1)), (3, 20, of(1, 1)), (4, 20, of(0, 0)), (5, 30, of(0, 1))]
    {
        let mut page = page(walk(1, number), &[at]);
        page.fact.check = check;
        scene.buy(page).await.unwrap();
    }
    let not_its_own = vec![(region("US"), seconds(20, 30)), (region("GB"), seconds(0, 100))];
    scene.journal.commit_events(vec!["again".to_owned()], Upkeep { not_its_own, ..Upkeep::default() }).await.unwrap();
    let left =
        |scene: &Scene| scene.read("US", seconds(0, 100)).into_iter().map(|(sequence, _)| sequence).collect::<Vec<_>>();
    assert_eq!((left(&scene), scene.journal.held_pages()), (vec![1, 3, 4, 5], 4));
    let scene = scene.crash().await;
    assert_eq!((left(&scene), scene.journal.held_pages()), (vec![1, 3, 4, 5], 4));
    assert!(
        matches!(scene.buy(page(walk(1, 2), &[20])).await, Err(JournalError::BoughtTwice { .. })),
        "its facts stay"
    );
}

#[tokio::test]
async fn a_release_larger_than_one_piece_drops_everything() {
    let scene = Scene::begin().await;
    let count = tables::RELEASE_AT_ONCE as u32 + 5;
    let scene_ref = &scene;
    let buying = (1..=count).map(|number| async move { scene_ref.buy(page(walk(1, number), &[5])).await.unwrap() });
    futures::future::join_all(buying).await;
    let released = scene.journal.release_bodies(&region("US"), EpochSeconds::new(6)).await.unwrap();
    assert_eq!(released, u64::from(count));
    assert_eq!(scene.journal.held_pages(), 0);
}

#[tokio::test]
async fn a_changed_body_is_refused_with_its_place() {
    let scene = Scene::begin().await;
    scene.buy(page(walk(1, 1), &[10])).await.unwrap();
    scene.buy(page(walk(1, 2), &[20])).await.unwrap();
    let swap = "UPDATE bodies SET body = (SELECT body FROM bodies WHERE sequence = 1) WHERE sequence = 2";
    assert_eq!(scene.tool().execute(swap, []).unwrap(), 1);
    let read: Vec<_> = scene.journal.pages(&region("US"), seconds(0, 100)).unwrap().collect();
    assert_eq!(read.len(), 2, "nothing comes after the damage");
    assert!(read[0].is_ok());
    match &read[1] {
        Err(JournalError::Damaged { place, .. }) => assert_eq!(place, "the body of page 2"),
        other => panic!("{other:?}"),
    }
    for change in ["body = x'00'", "length = -1", "length = 999999999999", "request_id = NULL", "end = 22"] {
        scene.tool().execute(&format!("UPDATE bodies SET {change} WHERE sequence = 1"), []).unwrap();
        let read: Vec<_> = scene.journal.pages(&region("US"), seconds(0, 15)).unwrap().collect();
        assert!(matches!(read[..], [Err(JournalError::Damaged { .. })]), "{change}");
    }
}

#[tokio::test]
async fn a_body_that_is_gone_and_was_not_released_is_damage() {
    let scene = Scene::begin().await;
    scene.buy(page(walk(1, 1), &[10])).await.unwrap();
    assert_eq!(scene.tool().execute("DELETE FROM bodies", []).unwrap(), 1);
    let read: Vec<_> = scene.journal.pages(&region("US"), seconds(0, 100)).unwrap().collect();
    assert!(
        matches!(&read[..], [Err(JournalError::Damaged { place, .. })] if place == "the body of page 1"),
        "{read:?}"
    );
}

/// A database goes on without a word from what was moved out of its log before.
#[tokio::test]
async fn a_journal_that_lost_its_log_is_refused() {
    let scene = Scene::begin().await;
    scene.buy(page(walk(1, 1), &[10])).await.unwrap();
    let copy = scene.snapshot();
    fs::copy(scene.folder.path().join(mark::NAME), copy.path().join(mark::NAME)).unwrap();
    fs::remove_file(copy.path().join("journal.sqlite-wal")).unwrap();
    assert!(matches!(Journal::open(copy.path()), Err(JournalError::Emptied { .. })));
}

/// It ended with 7 each time, and `--adopt` did not help.
#[tokio::test]
async fn what_stands_in_the_place_of_a_file_is_a_bad_state() {
    for name in ["journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm", "lock", "begun", "ballast"] {
        let scene = Scene::begin().await;
        let copy = scene.snapshot();
        let place = copy.path().join(name);
        let _there_may_be_none = fs::remove_file(&place);
        fs::create_dir(&place).unwrap();
        let refused = Journal::open(copy.path()).unwrap_err();
        assert!(matches!(&refused, JournalError::NoFile { file, .. } if *file == place), "{name}: {refused}");
        assert!(refused.is_about_a_bad_state(), "{name}");
    }
    #[cfg(unix)]
    {
        let folder = tempfile::tempdir().unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("lock")).unwrap();
        assert!(matches!(Journal::open(folder.path()), Err(JournalError::NoFile { found: "no file", .. })));
    }
}

#[tokio::test]
async fn changed_facts_and_events_are_refused_with_their_place() {
    for (change, wanted) in [
        ("UPDATE row_keys SET keys = x'00112233445566778899aabbccddeeff'", "page 1"),
        ("UPDATE row_keys SET keys = x'00'", "page 1"),
        ("UPDATE pages SET scan = 1", "page 1"),
        ("UPDATE pages SET purpose = 'odd'", "page 1"),
        ("UPDATE pages SET position = 9", "page 1"),
        ("DELETE FROM pages", "reading the page facts"),
        ("UPDATE events SET json = 'other'", "event 2"),
        ("UPDATE parts SET record = '{}'", "part p"),
    ] {
        let scene = Scene::begin().await;
        scene.buy(page(walk(1, 1), &[10])).await.unwrap();
        scene.journal.commit_events(vec!["{}".to_owned()], Upkeep::default()).await.unwrap();
        scene.journal.prepare_part(part("p")).await.unwrap();
        assert_eq!(scene.tool().execute(change, []).unwrap(), 1);
        let read = scene.journal.replay().and_then(|_| scene.journal.parts());
        match read {
            Err(JournalError::Damaged { place, .. }) => assert_eq!(place, wanted, "{change}"),
            other => panic!("{change}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_not_repaired() {
    let scene = Scene::begin().await;
    for number in 1..=100 {
        scene.buy(page(walk(1, number), &[10])).await.unwrap();
    }
    let Scene { folder, journal, ledger } = scene;
    journal.close().await.unwrap();
    drop(ledger);
    let path = folder.path().join("journal.sqlite");
    let whole = fs::read(&path).unwrap();
    let page_bytes = usize::try_from(recovery::PAGE_BYTES).unwrap();
    let pages = whole.len() / page_bytes;
    let mut refused = 0;
    for broken in 0..pages {
        let mut bytes = whole.clone();
        bytes[broken * page_bytes..broken * page_bytes + 64].fill(0xEE);
        fs::write(&path, &bytes).unwrap();
        match Journal::open(folder.path()) {
            Err(JournalError::Damaged { file, .. }) => {
                assert_eq!(file, path);
                refused += 1;
            }
            Err(other) => panic!("page {broken}: {other}"),
            Ok(journal) => journal.close().await.unwrap(),
        }
    }
    assert!(refused * 10 >= pages * 9, "{refused} of {pages} broken pages were refused");
}

#[tokio::test]
async fn a_cut_or_foreign_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.sqlite");
    fs::write(&path, "this is a note, not a database, and it is long enough to be read as one".repeat(20)).unwrap();
    assert!(matches!(Journal::open(folder.path()), Err(JournalError::Damaged { .. })));
    assert!(matches!(JournalView::open(folder.path()), Err(JournalError::Damaged { .. })));
    fs::remove_file(&path).unwrap();
    Journal::open(folder.path()).unwrap().close().await.unwrap();
    let whole = fs::read(&path).unwrap();
    // A page of the database and more: within the last one there may be nothing to lose.
    fs::write(&path, &whole[..whole.len() - usize::try_from(recovery::PAGE_BYTES).unwrap() - 1_000]).unwrap();
    assert!(matches!(Journal::open(folder.path()), Err(JournalError::Damaged { .. })));
}

#[tokio::test]
async fn a_second_opening_is_refused_until_the_first_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path()).unwrap();
    assert!(matches!(Journal::open(folder.path()), Err(JournalError::Locked { .. })));
    let other = journal.clone();
    journal.close().await.unwrap();
    assert!(matches!(other.learn("rate", "1").await, Err(JournalError::Closed)));
    Journal::open(folder.path()).unwrap();
}

#[tokio::test]
async fn a_state_has_one_question() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path()).unwrap();
    let question = |fingerprint: &str| StoredQuestion {
        fingerprint: fingerprint.to_owned(),
        json: format!("{{\"asked\":\"{fingerprint}\"}}"),
    };
    assert_eq!(journal.question().unwrap(), None);
    journal.remember_question(question("a")).await.unwrap();
    journal.remember_question(question("a")).await.unwrap();
    let refused = journal.remember_question(question("b")).await.unwrap_err().to_string();
    assert_eq!(refused, "the state belongs to another question: asked is \"a\" there, and \"b\" was asked");
    assert_eq!(journal.question().unwrap(), Some(question("a")));
    journal.replace_question(question("b")).await.unwrap();
    journal.remember_question(question("b")).await.unwrap();
    assert_eq!(journal.question().unwrap(), Some(question("b")));
}

#[tokio::test]
async fn a_run_begins_only_after_the_one_before_has_ended() {
    let scene = Scene::begin().await;
    let journal = &scene.journal;
    scene.buy(page(walk(1, 1), &[10])).await.unwrap();
    let refused = journal.begin_run(new_run("run-2")).await.unwrap_err();
    assert!(matches!(refused, JournalError::RunUnfinished { run } if run == "run-1"));
    assert!(matches!(
        journal.finish_run("other", RunOutcome::Complete).await,
        Err(JournalError::UnknownRun { run }) if run == "other"
    ));
    journal.finish_run("run-1", RunOutcome::Complete).await.unwrap();
    assert_eq!(journal.latest_run().unwrap().unwrap().outcome, Some(RunOutcome::Complete));
    assert!(matches!(journal.begin_run(new_run("run-1")).await, Err(JournalError::RunExists { .. })));
    assert_eq!(scene.read("US", seconds(0, 100)).len(), 1, "a refused run has forgotten nothing");
    let begun = journal.begin_run(new_run("run-2")).await.unwrap();
    assert_eq!(journal.latest_run().unwrap(), Some(begun));
    assert!(journal.replay().unwrap().is_empty());
    assert_eq!(journal.held_pages(), 0);
    assert!(matches!(scene.ledger.admit().await, Err(LedgerError::Journal(JournalError::RunEnded))));
}

#[tokio::test]
async fn a_run_that_is_given_up_for_another_has_an_outcome_at_once() {
    let scene = Scene::begin().await;
    scene.journal.begin_run_anew(new_run("run-2")).await.unwrap();
    let tool = scene.tool();
    let mut runs = tool.prepare("SELECT id, outcome FROM runs ORDER BY number").unwrap();
    let runs = runs.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let runs: Vec<(String, Option<String>)> = runs.map(|run| run.unwrap()).collect();
    let ended = Some(RunOutcome::Incomplete.name().to_owned());
    assert_eq!(runs, [("run-1".to_owned(), ended), ("run-2".to_owned(), None)]);
}

#[tokio::test]
async fn without_a_run_nothing_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path()).unwrap();
    assert!(matches!(journal.ledger(limits(None)), Err(JournalError::NoRun)));
    assert!(matches!(journal.commit_events(vec!["{}".to_owned()], Upkeep::default()).await, Err(JournalError::NoRun)));
    assert_eq!(journal.latest_run().unwrap(), None);
    assert!(journal.replay().unwrap().is_empty());
}

/// Rows that are null were once counted as one, however many there were.
#[tokio::test]
async fn rejected_rows_that_say_nothing_are_told_apart_by_their_place() {
    let scene = Scene::begin().await;
    let of = |number: u32, seconds: &[i64], texts: &[(u32, &str)]| {
        let row =
            |(index, text): &(u32, &str)| RejectedRow { index: *index, why: "w".into(), text: (*text).to_owned() };
        NewPage { rejected: texts.iter().map(row).collect(), ..page(walk(1, number), seconds) }
    };
    let own = r#"{"video_id":null,"create_time":1767213318}"#;
    scene.buy(of(1, &[5, 6], &[(1, "null"), (2, "null"), (4, own)])).await.unwrap();
    scene.buy(of(2, &[6, 7], &[(1, "null"), (3, own)])).await.unwrap();
    scene.buy(of(3, &[5], &[(1, "null"), (2, "null")])).await.unwrap();
    let kept: Vec<_> = scene.journal.rejected("run-1").unwrap().map(|row| row.unwrap().row).collect();
    let told: Vec<_> = kept.iter().map(|row| (row.index, row.text.as_str())).collect();
    assert_eq!(told, [(1, "null"), (2, "null"), (4, own), (1, "null")]);
}

#[tokio::test]
async fn rejected_rows_are_kept_once_a_run_and_region() {
    let scene = Scene::begin().await;
    let odd = |number: u32| {
        let row = |index, text: &str| RejectedRow { index, why: "no id".to_owned(), text: text.to_owned() };
        NewPage { rejected: vec![row(0, "{}"), row(1, "{}"), row(2, "null")], ..page(walk(1, number), &[5]) }
    };
    scene.buy(odd(1)).await.unwrap();
    scene.buy(odd(2)).await.unwrap();
    let mut elsewhere = odd(3);
    elsewhere.fact.address.region = region("GB");
    scene.buy(elsewhere).await.unwrap();
    let kept: Vec<_> = scene.journal.rejected("run-1").unwrap().map(|row| row.unwrap()).collect();
    let told: Vec<_> = kept
        .iter()
        .map(|kept| format!("{}: {} #{} {}", kept.region, kept.page, kept.row.index, kept.row.text))
        .collect();
    assert_eq!(
        told,
        [
            "US: US window 1 scan 0 page 1 #0 {}",
            "US: US window 1 scan 0 page 1 #1 {}",
            "US: US window 1 scan 0 page 1 #2 null",
            "GB: GB window 1 scan 0 page 3 #0 {}",
            "GB: GB window 1 scan 0 page 3 #1 {}",
            "GB: GB window 1 scan 0 page 3 #2 null",
        ]
    );
    assert_eq!(scene.journal.rejected("run-0").unwrap().count(), 0);
}

/// Whether a row is right on one page is told by all that it came on: those that are kept are bounded, and more of them leave a sign.
#[tokio::test]
async fn a_rejected_row_names_the_pages_that_it_came_on() {
    let scene = Scene::begin().await;
    let odd = |number: u32| {
        let row = RejectedRow { index: 0, why: "no id".to_owned(), text: r#"{"a":1}"#.to_owned() };
        NewPage { rejected: vec![row], ..page(walk(1, number), &[5]) }
    };
    let kept = || scene.journal.rejected("run-1").unwrap().map(|row| row.unwrap()).collect::<Vec<_>>();
    // The address of page 1 is the beginning of page 12's.
    for number in [12, 1, 2] {
        scene.buy(odd(number)).await.unwrap();
    }
    let of = |number: u32| format!("US window 1 scan 0 page {number}");
    assert_eq!((kept()[0].page.clone(), kept()[0].other_pages.clone()), (of(12), vec![of(1), of(2)]));
    for number in 13..90 {
        scene.buy(odd(number)).await.unwrap();
    }
    let all = kept();
    let [row] = &all[..] else { panic!("{all:?}") };
    let more = row.other_pages.iter().filter(|page| *page == "…").count();
    assert_eq!((more, row.other_pages.last().map(String::as_str)), (1, Some("…")));
    assert!(row.other_pages.len() < 50, "{}", row.other_pages.len());
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

#[tokio::test]
async fn a_part_goes_from_prepared_to_published_to_superseded() {
    let scene = Scene::begin().await;
    let journal = &scene.journal;
    let states = || journal.parts().unwrap().into_iter().map(|(part, state)| (part.path, state)).collect::<Vec<_>>();
    let refused = journal.publish_part("a").await.unwrap_err().to_string();
    assert_eq!(refused, "part a cannot become published: it is unknown");
    journal.prepare_part(part("a")).await.unwrap();
    journal.prepare_part(part("a")).await.unwrap();
    journal.prepare_part(part("b")).await.unwrap();
    assert!(matches!(journal.supersede_part("a").await, Err(JournalError::PartState { .. })));
    journal.publish_part("a").await.unwrap();
    journal.publish_part("a").await.unwrap();
    assert_eq!(states(), [("a".to_owned(), PartState::Published), ("b".to_owned(), PartState::Prepared)]);
    assert!(matches!(journal.forget_part("a").await, Err(JournalError::PartState { .. })));
    assert!(matches!(journal.prepare_part(part("a")).await, Err(JournalError::PartState { .. })));
    journal.forget_part("b").await.unwrap();
    journal.forget_part("b").await.unwrap();
    journal.supersede_part("a").await.unwrap();
    journal.supersede_part("a").await.unwrap();
    assert_eq!(journal.parts().unwrap(), [(part("a"), PartState::Superseded)]);
    journal.forget_part("a").await.unwrap();
    assert_eq!(journal.parts().unwrap(), []);
}

#[tokio::test]
async fn a_part_that_waits_for_the_end_of_its_run_is_published_with_the_others() {
    let scene = Scene::begin().await;
    let journal = &scene.journal;
    for path in ["a", "b"] {
        journal.hold_part(part(path)).await.unwrap();
    }
    let states = || journal.parts().unwrap().into_iter().map(|(part, state)| (part.path, state)).collect::<Vec<_>>();
    assert_eq!(states(), [("a".to_owned(), PartState::Held), ("b".to_owned(), PartState::Held)]);
    let known = Change { taken_over: vec![part("c")], published: vec!["a".to_owned()], ..Change::default() };
    journal.commit_change(Change { superseded: vec!["b".to_owned()], ..known }).await.unwrap();
    let named = |path: &str, state| (path.to_owned(), state);
    let expected =
        [named("a", PartState::Published), named("b", PartState::Superseded), named("c", PartState::Published)];
    assert_eq!(states(), expected);
    assert!(matches!(journal.hold_part(part("a")).await, Err(JournalError::PartState { .. })));
    journal.hold_part_again(part("a")).await.unwrap();
    assert_eq!(states()[0], named("a", PartState::Held));
}

#[tokio::test]
async fn a_run_knows_what_it_reads_how_far_it_was_extended_and_what_ended_its_last_start() {
    let scene = Scene::begin().await;
    let journal = &scene.journal;
    let latest = || journal.latest_run().unwrap().unwrap();
    assert_eq!((latest().begun, latest().spent_at), (new_run("run-1"), None));
    journal.tell_spent("run-1", Some(EpochSeconds::new(7))).await.unwrap();
    assert_eq!(latest().spent_at, Some(EpochSeconds::new(7)));
    journal.tell_spent("run-1", None).await.unwrap();
    assert_eq!(latest().spent_at, None);
    let extended = |run: &str| Change { extends: Some((run.to_owned(), seconds(0, 2_000))), ..Change::default() };
    journal.commit_change(extended("run-1")).await.unwrap();
    assert_eq!(latest().begun, NewRun { range: seconds(0, 2_000), ..new_run("run-1") });
    let refused = journal.commit_change(extended("another")).await;
    assert!(matches!(refused, Err(JournalError::UnknownRun { .. })));
    journal.finish_run("run-1", RunOutcome::Closed).await.unwrap();
    assert_eq!(latest().outcome, Some(RunOutcome::Closed));
}

#[tokio::test]
async fn a_change_is_made_whole_or_not_at_all() {
    let scene = Scene::begin().await;
    let journal = &scene.journal;
    for path in ["a", "b"] {
        journal.prepare_part(part(path)).await.unwrap();
    }
    journal.publish_part("a").await.unwrap();
    journal.finish_run("run-1", RunOutcome::Incomplete).await.unwrap();
    let change = Change {
        superseded: vec!["a".to_owned()],
        published: vec!["b".to_owned()],
        events: vec!["1".to_owned(), "2".to_owned()],
        upkeep: closing(7),
        goes_on: Some("run-1".to_owned()),
        ..Change::default()
    };
    let states = || journal.parts().unwrap().into_iter().map(|(part, state)| (part.path, state)).collect::<Vec<_>>();
    let outcome = || journal.latest_run().unwrap().unwrap().outcome;
    let before = (states(), outcome());
    // The last of the steps is the one that is refused.
    for wrong in [
        Change { goes_on: Some("another".to_owned()), ..change.clone() },
        Change { published: vec!["b".to_owned(), "unknown".to_owned()], ..change.clone() },
    ] {
        let refused = journal.commit_change(wrong).await.unwrap_err();
        assert!(matches!(refused, JournalError::UnknownRun { .. } | JournalError::PartState { .. }), "{refused}");
        assert_eq!((states(), outcome()), before);
        assert_eq!(journal.replay().unwrap(), []);
    }
    journal.commit_change(change).await.unwrap();
    assert_eq!(states(), [("a".to_owned(), PartState::Superseded), ("b".to_owned(), PartState::Published)]);
    assert_eq!((outcome(), sequences(&journal.replay().unwrap()).len()), (None, 2));
}

#[tokio::test]
async fn a_part_may_take_the_place_of_a_published_one_of_the_same_path() {
    let scene = Scene::begin().await;
    let journal = &scene.journal;
    journal.prepare_part(part("a")).await.unwrap();
    journal.publish_part("a").await.unwrap();
    let again = PartRecord { rows: RowCount::new(99), ..part("a") };
    journal.replace_part(again.clone()).await.unwrap();
    assert_eq!(journal.parts().unwrap(), [(again.clone(), PartState::Prepared)]);
    journal.publish_part("a").await.unwrap();
    assert_eq!(journal.parts().unwrap(), [(again, PartState::Published)]);
}

/// A database that was removed while it was open once took everything that was written to it, and nobody found it again.
#[tokio::test]
async fn a_journal_that_vanishes_accepts_nothing_more_and_says_so() {
    let scene = Scene::begin().await;
    scene.buy(page(walk(0, 1), &[5])).await.unwrap();
    std::fs::remove_dir_all(scene.folder.path()).unwrap();
    let lost = scene.buy(page(walk(0, 2), &[6])).await.unwrap_err();
    assert!(matches!(lost, JournalError::Vanished { .. }), "{lost}");
    assert!(matches!(scene.journal.clone().close().await, Err(JournalError::Vanished { .. })));
}

#[tokio::test]
async fn what_was_learned_outlives_the_run() {
    let scene = Scene::begin().await;
    scene.journal.learn("rate", "10").await.unwrap();
    scene.journal.learn("rate", "12").await.unwrap();
    scene.journal.finish_run("run-1", RunOutcome::Incomplete).await.unwrap();
    scene.journal.begin_run(new_run("run-2")).await.unwrap();
    let scene = scene.crash().await;
    assert_eq!(scene.journal.learned("rate").unwrap().as_deref(), Some("12"));
    assert_eq!(scene.journal.learned("cap").unwrap(), None);
}

#[tokio::test]
async fn max_credits_hold_over_crashes_and_a_crash_costs_its_open_remainder() {
    let mut scene = Scene::begin().await;
    let mut sent = 0;
    let mut page_number = 0;
    for start in 0..20 {
        let ledger = scene.journal.ledger(limits(Some(30))).unwrap();
        for _ in 0..3 {
            let Ok(attempt) = ledger.admit().await else { break };
            sent += 1;
            page_number += 1;
            scene.journal.commit_page(page(walk(1, page_number), &[5]), attempt).await.unwrap();
        }
        if start == 0 {
            assert_eq!(ledger.counts().possibly_charged, 0);
        }
        scene = scene.crash().await;
    }
    assert!(sent > 3 && sent <= 30, "{sent}");
    let ledger = scene.journal.ledger(limits(Some(30))).unwrap();
    match ledger.admit().await {
        Err(LedgerError::Exhausted { spent, max }) => assert_eq!((spent.get(), max.get()), (30, 30)),
        other => panic!("{other:?}"),
    }
    let counts = ledger.counts();
    assert_eq!(counts.attempts, sent);
    assert_eq!(counts.attempts + counts.possibly_charged, 30);
    // A larger bound lets the same run go on.
    scene.journal.ledger(limits(Some(31))).unwrap().admit().await.unwrap();
}

#[tokio::test]
async fn a_clean_close_gives_back_what_was_not_sent() {
    let scene = Scene::begin().await;
    scene.buy(page(walk(1, 1), &[10])).await.unwrap();
    scene.buy(page(walk(1, 2), &[])).await.unwrap();
    scene.ledger.admit().await.unwrap().ended(AttemptEnd::Throttled);
    scene.ledger.admit_again().await.unwrap().ended(AttemptEnd::Failed);
    drop(scene.ledger.admit().await.unwrap());
    let expected = Counts {
        attempts: 4,
        answered_pages: 2,
        pages_with_rows: 1,
        retries: 1,
        throttled: 1,
        astray: 0,
        possibly_charged: 1,
    };
    assert_eq!(scene.ledger.counts(), expected);
    let Scene { folder, journal, .. } = scene;
    journal.close().await.unwrap();
    let journal = Journal::open(folder.path()).unwrap();
    assert_eq!(journal.ledger(limits(None)).unwrap().counts(), expected);
}

#[tokio::test]
async fn the_end_of_an_attempt_is_as_durable_as_its_page() {
    let scene = Scene::begin().await;
    scene.buy(page(walk(1, 1), &[10])).await.unwrap();
    let copy = scene.snapshot();
    let journal = Journal::open(copy.path()).unwrap();
    let counts = journal.ledger(limits(None)).unwrap().counts();
    assert_eq!((counts.attempts, counts.answered_pages), (1, 1));
    assert!(counts.possibly_charged <= 4, "the open block of the killed start: {counts:?}");
}

#[tokio::test]
async fn what_was_in_flight_at_a_kill_is_possibly_charged() {
    let scene = Scene::begin().await;
    let mut in_flight = Vec::new();
    for _ in 0..6 {
        in_flight.push(scene.ledger.admit().await.unwrap());
    }
    let copy = scene.snapshot();
    let counts = Journal::open(copy.path()).unwrap().ledger(limits(None)).unwrap().counts();
    assert_eq!(counts.attempts, 0);
    assert_eq!(counts.possibly_charged, 6, "a block of four was reserved, and then one by one, before six were sent");
}

#[tokio::test]
async fn commits_refill_the_reservation_along_the_way() {
    let scene = Scene::begin().await;
    let data_version =
        |tool: &Connection| -> i64 { tool.pragma_query_value(None, "data_version", |row| row.get(0)).unwrap() };
    let tool = scene.tool();
    scene.buy(page(walk(1, 1), &[1])).await.unwrap();
    for number in 2..=20 {
        let before = data_version(&tool);
        let attempt = scene.ledger.admit().await.unwrap();
        assert_eq!(data_version(&tool), before, "admitting page {number} needed a commit of its own");
        scene.journal.commit_page(page(walk(1, number), &[1]), attempt).await.unwrap();
        assert_ne!(data_version(&tool), before);
    }
}

#[tokio::test]
async fn the_first_failure_of_the_database_stops_the_journal_for_good() {
    let scene = Scene::begin().await;
    scene.tool().execute_batch("ALTER TABLE learned RENAME TO hidden").unwrap();
    let first = scene.journal.learn("rate", "1").await.unwrap_err().to_string();
    assert!(first.contains("has stopped") && first.contains("learned"), "{first}");
    scene.tool().execute_batch("ALTER TABLE hidden RENAME TO learned").unwrap();
    let later = scene.journal.learn("rate", "1").await.unwrap_err().to_string();
    assert_eq!(later, first, "the cause would be gone, and still nothing is tried again");
    assert!(matches!(scene.buy_unpaid().await, Err(JournalError::Stopped { .. })));
    let Scene { folder, journal, ledger } = scene;
    assert!(matches!(journal.close().await, Err(JournalError::Stopped { .. })));
    drop(ledger);
    Journal::open(folder.path()).unwrap().learn("rate", "1").await.unwrap();
}

impl Scene {
    async fn buy_unpaid(&self) -> Result<i64, JournalError> {
        self.journal.ask(Job::Page { page: Box::new(page(walk(9, 9), &[1])), attempt: None }).await
    }

    /// Makes the database as full as it is: from now on it may not grow.
    async fn fill_the_disk(&self) {
        self.journal.ask(Job::Fill).await.unwrap();
    }
}

#[tokio::test]
async fn on_a_full_disk_answers_in_flight_still_land_and_nothing_new_is_sent() {
    let scene = Scene::begin().await;
    scene.buy(page(walk(1, 1), &[10])).await.unwrap();
    let ballast = scene.folder.path().join("ballast");
    assert!(ballast.exists());
    let mut in_flight = Vec::new();
    for number in 2..=5 {
        let mut large = page(walk(1, number), &[10]);
        large.body = (0..200_000_u32).flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        in_flight.push((large, scene.ledger.admit().await.unwrap()));
    }
    scene.fill_the_disk().await;
    let landing = in_flight.into_iter().map(|(page, attempt)| scene.journal.commit_page(page, attempt));
    for landed in futures::future::join_all(landing).await {
        landed.unwrap();
    }
    assert!(!ballast.exists());
    assert!(matches!(scene.journal.learn("rate", "1").await, Err(JournalError::DiskFull { .. })));
    let refused = async {
        loop {
            if let Err(refused) = scene.ledger.admit().await {
                return refused;
            }
        }
    };
    assert!(matches!(refused.await, LedgerError::Journal(JournalError::DiskFull { .. })));
    let Scene { folder, journal, ledger } = scene;
    assert!(matches!(journal.close().await, Err(JournalError::DiskFull { .. })));
    drop(ledger);
    let journal = Journal::open(folder.path()).unwrap();
    assert!(ballast.exists(), "made again");
    assert_eq!(journal.held_pages(), 5);
    assert_eq!(journal.pages(&region("US"), seconds(0, 100)).unwrap().filter(|page| page.is_ok()).count(), 5);
}

#[tokio::test]
async fn an_onlooker_sees_what_is_durable_while_a_run_holds_the_folder() {
    let empty = tempfile::tempdir().unwrap();
    assert!(JournalView::open(empty.path()).unwrap().is_none());
    assert!(JournalView::open(&empty.path().join("nowhere")).unwrap().is_none());
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0, "looking makes nothing");
    let scene = Scene::begin().await;
    let view = JournalView::open(scene.folder.path()).unwrap().unwrap();
    assert_eq!(view.counts().unwrap(), Counts::default());
    scene.buy(page(walk(1, 1), &[10])).await.unwrap();
    scene.journal.learn("rate", "9").await.unwrap();
    scene.journal.prepare_part(part("a")).await.unwrap();
    assert_eq!(view.latest_run().unwrap().unwrap().begun, new_run("run-1"));
    assert_eq!(view.counts().unwrap().answered_pages, 1);
    assert_eq!(view.replay().unwrap().len(), 1);
    assert_eq!(view.held_pages().unwrap(), 1);
    assert_eq!(view.learned("rate").unwrap().as_deref(), Some("9"));
    assert_eq!(view.parts().unwrap().len(), 1);
    assert_eq!(view.question().unwrap(), None);
}

#[tokio::test]
async fn an_onlooker_reads_a_journal_that_was_closed() {
    let Scene { folder, journal, .. } = Scene::begin().await;
    journal.close().await.unwrap();
    assert!(log_is_empty(folder.path()));
    let view = JournalView::open(folder.path()).unwrap().unwrap();
    assert!(view.latest_run().unwrap().is_some());
}

fn log_is_empty(folder: &Path) -> bool {
    fs::metadata(folder.join("journal.sqlite-wal")).map_or(true, |log| log.len() == 0)
}

#[tokio::test]
async fn the_log_stays_bounded_while_pages_pour_in() {
    let scene = Scene::begin().await;
    for number in 1..=1_200 {
        scene.buy(page(walk(1, number), &[i64::from(number)])).await.unwrap();
    }
    let log = fs::metadata(scene.folder.path().join("journal.sqlite-wal")).unwrap().len();
    assert!(log < 24 * 1024 * 1024, "{log} bytes");
    // After each move of the log the mark is told what would be lost with it from then on.
    let least = mark::least(&scene.folder.path().join("journal.sqlite"));
    assert!(least > Some((1, 1_000)), "{least:?}");
}

#[test]
fn handles_and_readers_may_move_between_threads() {
    fn shared<T: Clone + Send + Sync>() {}
    fn moved<T: Send>() {}
    shared::<Journal>();
    shared::<Ledger>();
    moved::<Attempt>();
    moved::<PageReader>();
    moved::<RejectedReader>();
    moved::<JournalView>();
}
