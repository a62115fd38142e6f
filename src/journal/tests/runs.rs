//! Runs, parts, and what outlives them.

use super::*;

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
