//! Pages and decisions: durable, in order, once, and released.

use super::*;

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
