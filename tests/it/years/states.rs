//! A state that is lost or damaged: what the output's manifest says is gone on from.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use rusqlite::Connection;

use super::{ENDS, ends_whole, now, range_of, serve_today, truth};
use crate::support::{
    Job, asks_nothing_more, batches, holds_exactly_the_truth, identities, identities_of_manifest, is_whole,
    parquet_files, same, serve, until,
};

#[test]
fn a_lost_state_of_a_complete_output_is_made_again_for_nothing() {
    let simulator = serve(|service| service.world.rows = 1_000);
    let job = Job::of(&simulator);
    assert_eq!(job.run().code, 0);
    for _ in 0..2 {
        std::fs::remove_dir_all(job.state()).unwrap();
        let ended = ends_whole(&simulator, &job, "", (0, 0));
        assert!(ended.stderr.contains("was lost or is a new one"), "{ended}");
        asks_nothing_more(&simulator, &job);
    }
    holds_exactly_the_truth(&simulator, &job);
    // What is lost of the output then is read again all the same.
    std::fs::remove_dir_all(job.state()).unwrap();
    let file = &parquet_files(&job.out())[5];
    let rows = batches(file).iter().map(RecordBatch::num_rows).sum();
    std::fs::remove_file(file).unwrap();
    ends_whole(&simulator, &job, "", (rows, 1));
    holds_exactly_the_truth(&simulator, &job);
}

#[test]
fn a_state_that_is_lost_in_mid_run_leaves_what_was_published() {
    let simulator = serve(|service| service.world.rows = 4_000);
    let job = Job::of(&simulator).with("--max-in-flight 2");
    assert_eq!(job.run_with("--max-credits 250").code, 4);
    let held = identities(&job.out()).len();
    assert!(held > 1_000, "{held}");
    let kept = parquet_files(&job.out());
    std::fs::remove_dir_all(job.state()).unwrap();
    ends_whole(&simulator, &job, "", (4_000 - held, 2));
    holds_exactly_the_truth(&simulator, &job);
    let now = parquet_files(&job.out());
    assert!(kept.iter().all(|file| now.contains(file)), "{kept:?}");
    // The same where a process is killed and takes its state with it.
    let job = Job::of(&simulator).with("--max-in-flight 2");
    simulator.change(|service| service.limits.latency_ms = 3.0).unwrap();
    let mut running = job.start();
    until("some parts", || parquet_files(&job.out()).len() > 5 || !running.is_alive());
    assert!(running.kill());
    simulator.change(|service| service.limits.latency_ms = 0.0).unwrap();
    std::fs::remove_dir_all(job.state()).unwrap();
    let held = identities_of_manifest(&job.out()).len();
    assert!(held > 0);
    ends_whole(&simulator, &job, "", (4_000 - held, 2));
    holds_exactly_the_truth(&simulator, &job);
}

#[test]
fn a_relative_range_beside_a_lost_state_is_refreshed_with_one_warning() {
    let simulator = serve_today(2_000);
    let job = Job::of(&simulator).with_range_text("-36000s", "now");
    assert_eq!(job.run().code, 0);
    std::fs::remove_dir_all(job.state()).unwrap();
    let end = now();
    until("the clock to move on", || now() > end);
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    assert_eq!(ended.stderr.matches("was lost or is a new one").count(), 1, "{ended}");
    let later = truth(&simulator, "US", range_of(&ended));
    let found = identities(&job.out());
    same(&found.into_iter().filter(|row| row.1 >= range_of(&ended).start.get()).collect::<Vec<_>>(), &later);
    is_whole(&job);
}

/// A run of a relative range that is lost with its state in the middle: what it had published is not bought again.
#[test]
fn a_state_that_is_lost_in_the_middle_of_a_relative_run_leaves_what_was_published() {
    let simulator = serve_today(4_000);
    let job = Job::of(&simulator).with_range_text("-36000s", "now").with("--max-in-flight 2 --partition day");
    let job = job.with_variable("KEYAPI_EXPORT_OUTPUT__PART_ROWS", "300");
    assert_eq!(job.run_with("--max-credits 150").code, 4);
    let held = identities(&job.out()).len();
    assert!(held > 500, "{held}");
    std::fs::remove_dir_all(job.state()).unwrap();
    let end = now();
    until("the clock to move on", || now() > end);
    let before = simulator.stats().requests;
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    let asked = simulator.stats().requests - before;
    let rows = truth(&simulator, "US", range_of(&ended)).len();
    let most = ((rows - held) as u64).div_ceil(10) + 3 * ENDS;
    assert!(asked <= most, "{asked} requests where {most} are enough: {ended}");
    let found = identities(&job.out()).into_iter().filter(|row| row.1 >= range_of(&ended).start.get());
    same(&found.collect::<Vec<_>>(), &truth(&simulator, "US", range_of(&ended)));
    is_whole(&job);
}

/// What befalls a database's file.
type Damage = fn(&Path);

#[test]
fn a_damaged_state_is_refused_and_adopt_goes_on_without_it() {
    let simulator = serve(|service| service.world.rows = 1_000);
    let job = Job::of(&simulator);
    assert_eq!(job.run().code, 0);
    let requests = simulator.stats().requests;
    let aside = |number: u32| PathBuf::from(format!("{}.aside-{number}", job.state().display()));
    let database = job.state().join("journal.sqlite");
    let damages: [(&str, Damage); 3] = [
        ("emptied", |file| std::fs::write(file, "").unwrap()),
        ("overwritten", |file| std::fs::write(file, vec![7; 40_000]).unwrap()),
        ("of another version", |file| {
            Connection::open(file).unwrap().pragma_update(None, "user_version", 1).unwrap();
        }),
    ];
    for ((name, damage), number) in damages.into_iter().zip(1..) {
        damage(&database);
        let refused = job.run();
        assert_eq!(refused.code, 7, "{name}: {refused}");
        assert!(refused.error().contains("--adopt"), "{name}: {refused}");
        let ended = job.start_as("--adopt", &[]).wait();
        assert_eq!(ended.code, 0, "{name}: {ended}");
        assert!(aside(number).join("journal.sqlite").exists(), "{name}");
        // A sound state is not moved.
        assert_eq!(job.start_as("--adopt", &[]).wait().code, 0);
        assert!(!aside(number + 1).exists(), "{name}");
        asks_nothing_more(&simulator, &job);
    }
    assert_eq!(simulator.stats().requests, requests);
    is_whole(&job);
    std::fs::write(&database, "").unwrap();
    std::fs::remove_file(job.out().join("_manifest.json")).unwrap();
    let refused = job.start_as("--adopt", &[]).wait();
    assert_eq!(refused.code, 7, "{refused}");
    assert!(refused.error().contains("no manifest from which to go on"), "{refused}");
}
