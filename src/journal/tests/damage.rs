//! Files that are damaged, lost or full.

use super::*;

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
