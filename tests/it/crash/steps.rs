//! Every named step: a run dies there, dies again at each step of the recovery, and then ends as if nothing had happened.
//!
//! A step that no case reaches fails its test, so no name can outlive its place in the code.

use keyapi_export::failpoint::CrashStep;
use keyapi_export::simulator::Density;

use super::scene::{MAX_IN_FLIGHT, Scene};
use crate::support::{Job, asks_nothing_more, files_below, holds_exactly_the_truth, is_whole, serve};

/// What leads a start to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The second day's run.
    SecondDay,
    /// A run in folders that are not there yet.
    FirstDay,
    /// A start after one that died at this step in folders that were not there.
    AfterDeathAt(CrashStep),
    /// The same of one that died with a part prepared, whose staged file is lost.
    AfterLossOfStaged,
    /// A run whose state is lost while its output is there.
    StateLost,
    /// A run of hundreds of pages.
    ManyPages,
    /// The second day's run, into a bucket.
    BucketAlone,
    /// The second day's run, of an output that is a table too.
    TableAlone,
    /// A run whose state is in a bucket: `tests/it/away.rs` dies there.
    AwayAlone,
}

fn way_to(step: CrashStep) -> Way {
    match step {
        // Only time of which nobody has seen anything is published before the run ends.
        CrashStep::DatabaseConfigured | CrashStep::PartPrepared | CrashStep::PartPublished => Way::FirstDay,
        CrashStep::RecoveryRevealed | CrashStep::RecoveryPublished => Way::AfterDeathAt(CrashStep::PartPrepared),
        CrashStep::RecoveryForgotten => Way::AfterLossOfStaged,
        CrashStep::TakeoverPublished => Way::StateLost,
        CrashStep::LogMoved => Way::ManyPages,
        CrashStep::TableRenamed | CrashStep::TableRevealed | CrashStep::TableUnlinked | CrashStep::TableRemoved => {
            Way::TableAlone
        }
        CrashStep::HeldKept | CrashStep::SegmentPut | CrashStep::SegmentShipped => Way::AwayAlone,
        CrashStep::ManifestClaimed | CrashStep::UploadBegun | CrashStep::UploadSent => Way::BucketAlone,
        _ => Way::SecondDay,
    }
}

/// The steps that every start passes before it asks for anything: what recovery consists of.
const RECOVERY: [CrashStep; 10] = [
    CrashStep::StateLocked,
    CrashStep::BallastWritten,
    CrashStep::DatabaseOpened,
    CrashStep::StateSynced,
    CrashStep::QuestionKept,
    CrashStep::OutputOpened,
    CrashStep::RecoveryDiscarded,
    CrashStep::SuccessCleared,
    CrashStep::ManifestRenamed,
    CrashStep::ManifestRevealed,
];

/// A case: the folders as they are when the step is armed.
fn on_the_way_to(step: CrashStep, scene: Scene) -> Scene {
    let scene = scene.again();
    match way_to(step) {
        Way::SecondDay | Way::ManyPages | Way::BucketAlone | Way::TableAlone | Way::AwayAlone => scene,
        Way::FirstDay => scene.without_a_first_day(),
        Way::StateLost => scene.without_state(),
        Way::AfterDeathAt(before) => {
            let scene = scene.without_a_first_day();
            assert!(scene.dies_at(before), "{} is not on the way to {}", before.name(), step.name());
            scene
        }
        Way::AfterLossOfStaged => {
            let scene = scene.without_a_first_day();
            assert!(scene.dies_at(CrashStep::PartPrepared));
            let staged = files_below(&scene.job.staging());
            assert_eq!(staged.len(), 1, "{staged:?}");
            std::fs::remove_file(&staged[0]).unwrap();
            scene
        }
    }
}

/// Dies at the step, at each step of recovery in turn, and then goes on to the end.
fn survives_death_at(step: CrashStep, scene: Scene) -> Scene {
    let scene = on_the_way_to(step, scene);
    assert!(scene.dies_at(step), "no run passes {}", step.name());
    let again = RECOVERY.iter().filter(|again| scene.dies_at(**again)).count();
    let story = format!("death at {}, and {again} times in recovery", step.name());
    // A run that has ended is recovered by a new one, if the range has moved on; else there is less to do.
    let has_ended = matches!(step, CrashStep::RunFinished | CrashStep::JournalClosed);
    assert!(again == RECOVERY.len() || has_ended, "{story}");
    scene.ends_as_if_nothing_had_happened(2, &story);
    scene
}

fn each_survives(steps: impl Iterator<Item = CrashStep>) {
    if !cfg!(debug_assertions) {
        println!("skipped: a release build has no steps to die at");
        return;
    }
    steps
        .filter(|step| !matches!(way_to(*step), Way::ManyPages | Way::BucketAlone | Way::TableAlone | Way::AwayAlone))
        .fold(Scene::new(), |scene, step| survives_death_at(step, scene));
}

/// The steps at which something of a bucket changes; `CRASH_BUCKET=all` dies at all the others too.
#[cfg(feature = "cloud")]
const OF_THE_BUCKET: [CrashStep; 3] = [CrashStep::UploadBegun, CrashStep::HeldRevealed, CrashStep::ManifestClaimed];

#[cfg(feature = "cloud")]
#[test]
fn the_steps_of_a_bucket_are_survived_also_twice() {
    if !cfg!(debug_assertions) {
        println!("skipped: a release build has no steps to die at");
        return;
    }
    let Some(lake) = crate::support::Lake::start() else { return };
    let is_long = std::env::var_os("CRASH_BUCKET").is_some();
    let steps = CrashStep::ALL
        .iter()
        .copied()
        .filter(|step| !matches!(way_to(*step), Way::ManyPages | Way::TableAlone | Way::AwayAlone));
    let steps = steps.filter(|step| is_long || OF_THE_BUCKET.contains(step));
    let scene = steps.fold(Scene::in_lake(&lake), |scene, step| {
        let scene = survives_death_at(step, scene);
        assert_eq!(lake.open_uploads(), 0, "{} left an upload", step.name());
        let names = lake.names();
        let is_known = |name: &String| {
            ["data/", "_manifest.json", "_SUCCESS", "_rejected/"].iter().any(|known| name.starts_with(known))
        };
        assert!(names.iter().all(is_known), "{} left an orphan: {names:?}", step.name());
        scene
    });
    drop(scene);
}

/// The steps at which something of a table changes, in the order of a start; `CRASH_TABLE=all` dies at all the others too.
const OF_THE_TABLE: [CrashStep; 5] = [
    CrashStep::TableUnlinked,
    CrashStep::TableRemoved,
    CrashStep::ManifestRevealed,
    CrashStep::TableRenamed,
    CrashStep::TableRevealed,
];

/// Dead between the manifest and the log, the table's readers see what they saw before; whatever start comes next puts the rest.
#[test]
fn the_steps_of_a_table_are_survived_also_twice() {
    if !cfg!(debug_assertions) {
        println!("skipped: a release build has no steps to die at");
        return;
    }
    let is_long = std::env::var_os("CRASH_TABLE").is_some();
    // What a table has listed is removed long after the commit, at steps of its own.
    let is_passed = |step: &CrashStep| !matches!(step, CrashStep::FormerUnlinked | CrashStep::FormerRemoved);
    let is_of_a_folder =
        |step: &CrashStep| !matches!(way_to(*step), Way::ManyPages | Way::BucketAlone | Way::AwayAlone);
    let steps = CrashStep::ALL.iter().copied().filter(|step| is_passed(step) && is_of_a_folder(step));
    let steps = steps.filter(|step| is_long || OF_THE_TABLE.contains(step));
    steps.fold(Scene::of_a_table(), |scene, step| survives_death_at(step, scene));
    #[cfg(feature = "cloud")]
    if is_long && let Some(lake) = crate::support::Lake::start() {
        let scene = Scene::of_a_table_in_lake(&lake);
        OF_THE_TABLE.into_iter().fold(scene, |scene, step| survives_death_at(step, scene));
    }
}

fn third_of_the_steps(third: usize) -> impl Iterator<Item = CrashStep> {
    CrashStep::ALL.iter().copied().skip(third).step_by(3)
}

#[test]
fn the_first_third_of_the_steps_is_survived_also_twice() {
    each_survives(third_of_the_steps(0));
}

#[test]
fn the_second_third_of_the_steps_is_survived_also_twice() {
    each_survives(third_of_the_steps(1));
}

#[test]
fn the_last_third_of_the_steps_is_survived_also_twice() {
    each_survives(third_of_the_steps(2));
}

#[test]
fn a_death_while_the_log_is_moved_in_mid_run_loses_nothing() {
    if !cfg!(debug_assertions) {
        println!("skipped: a release build has no steps to die at");
        return;
    }
    let simulator = serve(|service| {
        service.world.rows = 4_000;
        service.world.density = Density::Bursty;
    });
    // One request at a time, so that each page is a transaction of its own and the log grows quickly.
    let job = Job::of(&simulator).with("--max-in-flight 1");
    assert!(job.run_where(&[("KEYAPI_FAILPOINT", CrashStep::LogMoved.name().to_owned())]).is_none());
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    holds_exactly_the_truth(&simulator, &job);
    is_whole(&job);
    assert!(simulator.stats().repeated_purchases <= 1 + crate::support::END_LOOKS, "{:?}", simulator.stats());
    asks_nothing_more(&simulator, &job);
}

/// What is superseded is not read again: of a former part whose uncovered seconds hold no row nothing was carried over, and the
/// next start must not look for it where it was.
#[test]
fn a_former_part_that_is_gone_is_not_looked_for_again() {
    if !cfg!(debug_assertions) {
        println!("skipped: a release build has no steps to die at");
        return;
    }
    let mut scene = Scene::with_nothing_to_carry();
    for step in [CrashStep::FormerUnlinked, CrashStep::FormerRemoved] {
        scene = survives_death_at(step, scene);
    }
}

/// With one request at a time nothing else is written between the reservation and the answer, so a credit that was taken before its
/// reservation was durable shows.
#[test]
fn no_request_is_sent_that_the_journal_has_not_reserved() {
    if !cfg!(debug_assertions) {
        println!("skipped: a release build has no steps to die at");
        return;
    }
    for passing in 1..=4 {
        let simulator = serve(|service| service.world.rows = 300);
        let job = Job::of(&simulator).with("--max-in-flight 1");
        let step = format!("{}:{passing}", CrashStep::PageAnswered.name());
        assert!(job.run_where(&[("KEYAPI_FAILPOINT", step)]).is_none());
        let journal = rusqlite::Connection::open(job.state().join("journal.sqlite")).unwrap();
        let reserved: i64 = journal.query_row("SELECT reserved FROM runs", [], |row| row.get(0)).unwrap();
        let sent = simulator.stats().requests;
        assert!(sent >= passing && reserved >= i64::try_from(sent).unwrap(), "{sent} were sent, {reserved} reserved");
    }
}

/// A run that was given up for a fresh one was once called ended before the fresh one had begun: after a death in between, the
/// same command without `--fresh` found nothing left to do, and its rows were never asked for.
#[test]
fn a_fresh_run_that_dies_as_it_begins_leaves_a_run_to_go_on_with() {
    if !cfg!(debug_assertions) {
        println!("skipped: a release build has no steps to die at");
        return;
    }
    for step in [CrashStep::RunFinished, CrashStep::RunBegun] {
        let simulator = serve(|service| service.world.rows = 1_000);
        let job = Job::of(&simulator);
        let dying = |step: &str| [("KEYAPI_FAILPOINT", step.to_owned())];
        assert!(job.run_where(&dying("page.committed:9")).is_none());
        assert!(job.start_as("--fresh", &dying(step.name())).survives().is_none(), "{} is not passed", step.name());
        let ended = job.run();
        assert_eq!(ended.code, 0, "{}: {ended}", step.name());
        holds_exactly_the_truth(&simulator, &job);
        is_whole(&job);
        asks_nothing_more(&simulator, &job);
    }
}

/// Every pair of steps, by hand only: `CRASH_PAIRS=all`, or a share of the first steps such as `2/4`.
#[test]
fn any_two_deaths_in_a_row_lose_nothing() {
    let Some(wanted) = std::env::var("CRASH_PAIRS").ok().filter(|_| cfg!(debug_assertions)) else {
        println!("skipped: run it by hand with CRASH_PAIRS=all");
        return;
    };
    let (share, shares) = match wanted.split_once('/') {
        Some((share, shares)) => (share.parse::<usize>().unwrap(), shares.parse::<usize>().unwrap()),
        None => (1, 1),
    };
    let mut scene = Scene::new();
    let mut pairs = 0;
    let is_passed = |step: &CrashStep| {
        !matches!(way_to(*step), Way::ManyPages | Way::BucketAlone | Way::TableAlone | Way::AwayAlone)
    };
    let first: Vec<CrashStep> = CrashStep::ALL.iter().copied().filter(is_passed).collect();
    for first in first.iter().copied().skip(first.len() * (share - 1) / shares).take(first.len().div_ceil(shares)) {
        for second in CrashStep::ALL.iter().copied() {
            scene = on_the_way_to(first, scene);
            assert!(scene.dies_at(first), "no run passes {}", first.name());
            let died = scene.dies_at(second);
            pairs += u64::from(died);
            let story = format!("death at {}, then at {} ({died})", first.name(), second.name());
            scene.ends_as_if_nothing_had_happened(3, &story);
        }
    }
    println!("{pairs} pairs of deaths survived, {MAX_IN_FLIGHT} requests on their way at most");
}
