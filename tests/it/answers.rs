//! Answers that belong to another question: asked again, counted, and never evidence; and services that answer all questions so.

use keyapi_export::simulator::{Answering, Bounds, PageNum, RunningSimulator, SimulatorSettings};

use crate::support::{Ended, Job, holds_exactly_the_truth, is_whole, serve};

/// 3,000 rows of each of two regions.
fn two_regions(change: impl FnOnce(&mut SimulatorSettings)) -> RunningSimulator {
    serve(|service| {
        service.world.regions = vec!["US".parse().unwrap(), "GB".parse().unwrap()];
        service.world.rows = 3_000;
        change(service);
    })
}

fn counter(job: &Job, name: &str) -> u64 {
    let manifest = std::fs::read(job.out().join("_manifest.json")).unwrap();
    serde_json::from_slice::<serde_json::Value>(&manifest).unwrap()["counters"][name].as_u64().unwrap()
}

/// Whatever came in place of what was asked is asked again, at 1 worker and at 16, and nothing of it is delivered.
fn is_asked_again(change: impl Fn(&mut SimulatorSettings)) {
    for workers in [1, 16] {
        let simulator = two_regions(&change);
        let job = Job::of(&simulator);
        let ended = job.run_with(&format!("--max-in-flight {workers}"));
        assert_eq!(ended.code, 0, "{ended}");
        holds_exactly_the_truth(&simulator, &job);
        is_whole(&job);
        assert!(counter(&job, "answers_of_another_question") > 0, "{ended}");
    }
}

#[test]
fn pages_of_another_region_are_asked_again() {
    is_asked_again(|service| service.faults.other_region = 0.05);
}

#[test]
fn pages_of_another_time_are_asked_again() {
    is_asked_again(|service| service.faults.other_time = 0.02);
}

/// Of one worker that is the page before, which the page itself shows. Of several it may lie beyond the window's end.
#[test]
fn answers_to_the_question_before_lose_no_row() {
    let simulator = two_regions(|service| service.faults.stale = 0.01);
    let job = Job::of(&simulator);
    let ended = job.run_with("--max-in-flight 1");
    assert_eq!(ended.code, 0, "{ended}");
    holds_exactly_the_truth(&simulator, &job);
    is_whole(&job);
}

fn is_refused(ended: &Ended, words: &str) {
    assert_eq!(ended.code, 6, "{ended}");
    assert!(ended.stderr.contains(words), "{ended}");
}

/// What a stored page shows once stopped the run for ever: only `--fresh` was left when the service was right again.
fn is_found_out_and_goes_on(change: impl FnOnce(&mut SimulatorSettings), words: &str) {
    let simulator = two_regions(change);
    let job = Job::of(&simulator);
    is_refused(&job.run_with("--max-in-flight 4"), words);
    assert!(simulator.stats().requests < 80, "{:?}", simulator.stats());
    // It is asked anew, for as little, while it stays so.
    is_refused(&job.run_with("--max-in-flight 4"), words);
    assert!(simulator.stats().requests < 160, "{:?}", simulator.stats());
    simulator.change(|service| service.contract = SimulatorSettings::default().contract).unwrap();
    let ended = job.run();
    // Which rows a wrong answer put just beside a worker's time is chance. They are kept apart, which is 3 and nothing else.
    let kept_apart = ended.summary["rejected"].as_u64().unwrap();
    assert_eq!(ended.code, if kept_apart > 0 { 3 } else { 0 }, "{ended}");
    holds_exactly_the_truth(&simulator, &job);
    let verified = job.verify();
    assert_eq!(verified.code, ended.code, "{verified}");
    assert!(verified.stdout.contains("sound"), "{verified}");
}

#[test]
fn pages_that_are_counted_from_zero_are_refused_within_the_first_ones() {
    is_found_out_and_goes_on(|service| service.contract.page_num = PageNum::PagesFromZero, "count from 0");
}

#[test]
fn the_same_rows_to_every_question_are_refused_within_the_first_ones() {
    is_found_out_and_goes_on(|service| service.contract.answering = Answering::AlwaysTheSame, "the same rows");
}

/// A row before the asked minimum once made the run end with 7 for ever.
#[test]
fn a_minimum_that_is_rounded_down_loses_no_row() {
    for seconds in [60, 3_600, 86_400] {
        let simulator = two_regions(|service| service.contract.min_rounded_to_s = seconds);
        let job = Job::of(&simulator).with_regions(&["US"]);
        let ended = job.run_with("--max-credits 1000 --max-in-flight 4");
        assert!(matches!(ended.code, 0 | 3), "{seconds}: {ended}");
        holds_exactly_the_truth(&simulator, &job);
    }
}

#[test]
fn an_ignored_time_loses_no_row_where_every_row_is_asked_for() {
    let simulator = two_regions(|service| service.contract.bounds = Bounds::Ignored);
    let job = Job::of(&simulator).with_regions(&["US"]);
    let ended = job.run_with("--max-credits 1000 --max-in-flight 4");
    assert!(matches!(ended.code, 0 | 3), "{ended}");
    holds_exactly_the_truth(&simulator, &job);
}
