//! What cannot be meant is refused before anything is bought or changed: another question, another output, a stranger's folder.

use crate::support::{Ended, Job, exports_exactly, files_below, holds_exactly_the_truth, serve, until};

fn refused(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code, 2, "{ended}");
    for word in words {
        assert!(ended.error().contains(word), "`{word}` is not told: {ended}");
    }
    assert!(ended.error().contains("hint: "), "no hint: {ended}");
    assert!(ended.stdout.is_empty(), "{ended}");
}

#[test]
fn another_question_in_the_same_state_is_refused() {
    let simulator = serve(|service| service.world.rows = 1_000);
    let job = Job::of(&simulator);
    exports_exactly(&simulator, &job);
    let requests = simulator.stats().requests;
    let files = files_below(&job.out());
    for other in ["--sales-flag 1", "--is-ad true", "--max-duration 60", "--partition none"] {
        refused(&job.run_with(other), &["the state belongs to another question", "--state"]);
    }
    assert_eq!(simulator.stats().requests, requests, "a refused question was asked");
    assert_eq!(files_below(&job.out()), files, "a refusal changed the output");
}

#[test]
fn the_same_question_in_other_words_of_pace_is_the_same_question() {
    let simulator = serve(|service| service.world.rows = 1_000);
    let job = Job::of(&simulator);
    exports_exactly(&simulator, &job);
    let requests = simulator.stats().requests;
    let again = job.run_with("--qps 7 --max-in-flight 3 --anchor-pages 50 --consistency deep");
    assert_eq!(again.code, 0, "{again}");
    assert_eq!(simulator.stats().requests, requests);
}

#[test]
fn another_partition_is_refused_while_a_run_is_unfinished() {
    let simulator = serve(|service| service.limits.latency_ms = 10.0);
    let job = Job::of(&simulator);
    let mut running = job.start();
    until("some pages", || simulator.stats().pages > 60);
    assert!(running.is_alive() && running.kill());
    let requests = simulator.stats().requests;
    refused(&job.run_with("--partition month"), &["belongs to another question", "month", "use another --out"]);
    assert_eq!(simulator.stats().requests, requests, "a refused command asked the service");
    simulator.change(|service| service.limits.latency_ms = 0.0).unwrap();
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    holds_exactly_the_truth(&simulator, &job);
}

/// A finished run was once said to have lost its parts, or silently done nothing, where its folder or cut was named otherwise.
#[test]
fn another_output_or_partition_is_refused_after_a_run_is_finished() {
    let simulator = serve(|service| service.world.rows = 1_000);
    let job = Job::of(&simulator);
    exports_exactly(&simulator, &job);
    let requests = simulator.stats().requests;
    let elsewhere = job.folder().join("elsewhere");
    let ended = job.run_with(&format!("--out {}", elsewhere.display()));
    assert_eq!(ended.code, 7, "{ended}");
    assert!(ended.error().contains("none of the") && ended.error().contains("--out"), "{ended}");
    refused(&job.run_with("--partition month"), &["belongs to another question", "month", "use another --out"]);
    assert_eq!(simulator.stats().requests, requests, "a refused command asked the service");
}

#[test]
fn parquet_of_somebody_else_in_the_output_is_refused_and_left_alone() {
    let simulator = serve(|_| {});
    let job = Job::of(&simulator);
    let stranger = job.out().join("data/query_region=US/date=2025-12-01/mine.parquet");
    std::fs::create_dir_all(stranger.parent().unwrap()).unwrap();
    std::fs::write(&stranger, b"PAR1 of somebody else").unwrap();
    refused(&job.run(), &["Parquet that this program did not write", "mine.parquet", "choose another --out"]);
    assert_eq!(simulator.stats().requests, 0);
    assert_eq!(std::fs::read(&stranger).unwrap(), b"PAR1 of somebody else");
}

#[test]
fn an_output_of_a_format_that_is_not_known_is_refused_and_left_alone() {
    let simulator = serve(|_| {});
    let job = Job::of(&simulator);
    std::fs::create_dir_all(job.out()).unwrap();
    let manifest = r#"{"manifest_version": 4}"#;
    std::fs::write(job.out().join("_manifest.json"), manifest).unwrap();
    refused(&job.run(), &["format version 4", "use the version that wrote it"]);
    refused(&job.verify(), &["format version 4", "use the version of this program that wrote it"]);
    assert_eq!(simulator.stats().requests, 0);
    assert_eq!(std::fs::read_to_string(job.out().join("_manifest.json")).unwrap(), manifest);
    assert!(!job.out().join("data").exists(), "something was begun in it");
}

#[test]
fn the_output_of_another_question_is_refused() {
    let simulator = serve(|service| service.world.rows = 1_000);
    let job = Job::of(&simulator);
    exports_exactly(&simulator, &job);
    let requests = simulator.stats().requests;
    let state = job.folder().join("another_state").display().to_string();
    let ended = job.run_with(&format!("--sales-flag 1 --state {state}"));
    refused(&ended, &["belongs to another question", "its filters are", "use another --out"]);
    assert_eq!(simulator.stats().requests, requests);
}

#[test]
fn what_is_missing_is_asked_for_by_name() {
    let simulator = serve(|_| {});
    refused(&Job::of(&simulator).without_variable("KEYAPI_TOKEN").run(), &["no key for the service", "KEYAPI_TOKEN"]);
    refused(&Job::of(&simulator).with_range_text("2025-12-05", "2025-12-05").run(), &["holds no second"]);
    refused(&Job::of(&simulator).with_range_text("2099-01-01", "2099-01-02").run(), &["holds no second"]);
    assert_eq!(simulator.stats().requests, 0);
}
