//! Those who look on, and the log beside the database.

use super::*;

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
