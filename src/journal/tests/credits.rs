//! Credits: reserved, spent and given back, over crashes.

use super::*;

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
