//! Every exit code is reached, names what was wrong and what to do, and loses nothing that was paid for.

use std::time::Duration;

use keyapi_export::simulator::{Access, Density, ErrorCharge, QuotaForm, RunningSimulator, SimulatorSettings};

use crate::support::{
    END_LOOKS, Ended, Found, Job, asks_nothing_more, files_below, holds_exactly_the_truth, identities, is_whole,
    parquet_files, region, same, serve, truth_of, unfiltered, until,
};

/// The output holds nothing but true rows, each once, and `_SUCCESS` does not claim more.
fn is_an_honest_beginning(simulator: &RunningSimulator, job: &Job) {
    assert!(!job.out().join("_SUCCESS").exists());
    let truth = truth_of(simulator.world(), &job.regions(), &job.filters, job.range());
    let found = identities(&job.out());
    assert!(found.iter().all(|row| truth.binary_search(row).is_ok()), "rows that are not true");
    let distinct: std::collections::BTreeSet<_> = found.iter().collect();
    assert_eq!(distinct.len(), found.len(), "rows that stand twice");
    let verified = job.verify();
    assert_eq!(verified.code, 3, "{verified}");
}

/// The same command goes on, ends complete, and buys no page that was bought before.
fn goes_on(simulator: &RunningSimulator, job: &Job, flags: &str) {
    let ended = job.run_with(flags);
    assert_eq!(ended.code, 0, "{ended}");
    holds_exactly_the_truth(simulator, job);
    is_whole(job);
    let stats = simulator.stats();
    assert!(stats.repeated_purchases <= END_LOOKS, "bought twice: {:?}", stats.repeated_questions);
}

fn tells(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, code, "{ended}");
    let told = format!("{}{}", ended.stdout, ended.stderr);
    for word in words {
        assert!(told.contains(word), "`{word}` is not told: {ended}");
    }
    if !ended.summary.is_null() {
        assert_eq!(ended.summary["exit_code"], code, "{ended}");
    }
}

#[test]
fn credits_that_are_spent_end_with_4_and_more_of_them_go_on() {
    let simulator = serve(|_| {});
    let job = Job::of(&simulator);
    let ended = job.run_with("--max-credits 150");
    tells(&ended, 4, &["150 credits of 150 credits are used", "larger --max-credits goes on"]);
    assert_eq!(simulator.stats().requests, 150);
    is_an_honest_beginning(&simulator, &job);
    goes_on(&simulator, &job, "--max-credits 1000");
}

fn a_quota_ends_with_4(form: QuotaForm, words: &str) {
    let simulator = serve(|service| {
        service.limits.credits = Some(150);
        service.limits.quota_form = form;
        service.limits.latency_ms = 5.0;
        service.faults.server_error = 0.1;
        service.limits.error_charge = ErrorCharge::Free;
    });
    let job = Job::of(&simulator).with("--max-in-flight 4");
    let ended = job.run();
    tells(&ended, 4, &["the key's quota is used up", words, "the same command goes on"]);
    assert_eq!(simulator.stats().pages, 150);
    // A quota that is used up is not hammered: only what was on its way hears of it.
    assert!(simulator.stats().out_of_credits <= 4, "{:?}", simulator.stats());
    is_an_honest_beginning(&simulator, &job);
    let healed = |service: &mut SimulatorSettings| {
        service.limits.credits = None;
        service.faults.server_error = 0.0;
    };
    simulator.change(healed).unwrap();
    goes_on(&simulator, &job, "");
}

#[test]
fn a_quota_that_is_told_by_402_ends_with_4() {
    a_quota_ends_with_4(QuotaForm::PaymentRequired, "apiKey quota is not enough");
}

#[test]
fn a_quota_that_is_told_by_403_ends_with_4() {
    a_quota_ends_with_4(QuotaForm::Forbidden, "apiKey quota is not enough");
}

#[test]
fn a_quota_that_is_told_inside_a_200_ends_with_4() {
    a_quota_ends_with_4(QuotaForm::Inside, "apiKey quota is not enough");
}

#[test]
fn a_quota_that_is_told_by_words_inside_a_200_ends_with_4() {
    a_quota_ends_with_4(QuotaForm::Words, "apiKey quota is not enough");
}

/// An empty page ends a walk: believed, it would have ended the export in the middle, and called it complete.
#[test]
fn a_quota_that_is_told_on_an_empty_page_of_success_ends_with_4() {
    a_quota_ends_with_4(QuotaForm::Success, "apiKey quota is not enough");
}

#[test]
fn a_quota_that_is_told_by_500_and_words_ends_with_4() {
    a_quota_ends_with_4(QuotaForm::ServerError, "Usage Limit Exceeded");
}

#[test]
fn a_time_budget_that_is_over_ends_with_4_and_the_next_start_goes_on() {
    let simulator = serve(|service| service.limits.latency_ms = 200.0);
    let job = Job::of(&simulator);
    let ended = job.run_with("--time-budget 1s");
    tells(&ended, 4, &["the time budget is over", "the same command goes on"]);
    is_an_honest_beginning(&simulator, &job);
    simulator.change(|service| service.limits.latency_ms = 0.0).unwrap();
    goes_on(&simulator, &job, "");
}

#[test]
fn a_service_that_only_answers_500_ends_with_5_and_goes_on_when_it_is_well() {
    let simulator = serve(|service| service.faults.server_error = 1.0);
    let job = Job::of(&simulator);
    let ended = job.run_with("--give-up-after 3s");
    tells(&ended, 5, &["no page came for too long", "run the same command when the service is well again"]);
    simulator.change(|service| service.faults.server_error = 0.0).unwrap();
    goes_on(&simulator, &job, "");
}

#[test]
fn a_service_that_falls_ill_in_mid_run_ends_with_5_and_keeps_what_was_bought() {
    let simulator = serve(|service| service.limits.latency_ms = 10.0);
    let job = Job::of(&simulator).with("--give-up-after 3s");
    let running = job.start();
    until("some pages", || simulator.stats().pages > 100);
    simulator.change(|service| service.faults.bad_gateway = 1.0).unwrap();
    tells(&running.wait(), 5, &["no page came for too long"]);
    is_an_honest_beginning(&simulator, &job);
    simulator.change(|service| service.faults.bad_gateway = 0.0).unwrap();
    goes_on(&simulator, &job, "");
}

#[test]
fn a_run_that_gives_up_names_the_last_failure() {
    let ill = serve(|service| service.faults.server_error = 1.0);
    tells(&Job::of(&ill).run_with("--give-up-after 2s"), 5, &["500"]);
    let gone = serve(|_| {});
    let job = Job::of(&gone).with("--give-up-after 2s");
    gone.stop();
    tells(&job.run(), 5, &["connection"]);
}

#[test]
fn a_key_that_is_not_known_ends_with_6_and_the_right_one_goes_on() {
    let simulator = serve(|service| service.contract.token = "another key".to_owned());
    let job = Job::of(&simulator);
    tells(
        &job.run(),
        6,
        &["refuses the request with 401: apiKey is null", "check the key in KEYAPI_TOKEN or --token-file"],
    );
    assert!(simulator.stats().requests <= 16, "a refused key was hammered: {:?}", simulator.stats());
    simulator.change(|service| service.contract.token.clear()).unwrap();
    goes_on(&simulator, &job, "");
}

#[test]
fn a_key_without_access_ends_with_6() {
    let simulator = serve(|service| service.contract.access = Access::Denied);
    let job = Job::of(&simulator);
    tells(&job.run(), 6, &["refuses the request with 403", "no access to this endpoint", "ask the vendor"]);
}

#[test]
fn a_key_that_is_revoked_in_mid_run_ends_with_6_and_keeps_what_was_bought() {
    let simulator = serve(|service| service.limits.latency_ms = 10.0);
    let job = Job::of(&simulator).with("--max-in-flight 16");
    let running = job.start();
    until("some pages", || simulator.stats().pages > 100);
    let before = simulator.stats();
    simulator.change(|service| service.contract.token = "sk_live_a_new_key".to_owned()).unwrap();
    tells(&running.wait(), 6, &["refuses the request with 401"]);
    let refused = simulator.stats().statuses.get(&401).copied().unwrap_or_default();
    // Those on their way, and the three that ask again before a refusal is believed.
    assert!(refused <= 16 + 3, "a revoked key was hammered: {refused} of {before:?}");
    is_an_honest_beginning(&simulator, &job);
    tells(&job.run(), 6, &["refuses the request with 401"]);
    let job = job.with_variable("KEYAPI_TOKEN", "sk_live_a_new_key");
    goes_on(&simulator, &job, "");
}

#[test]
fn rows_without_identity_end_with_3_and_are_kept_whole() {
    let simulator = serve(|service| service.odd.garbage = 0.01);
    let job = Job::of(&simulator);
    let ended = job.run();
    let garbage = simulator.world().garbage_rows(&region("US"), &unfiltered(), job.range()).get();
    assert!(garbage > 10, "no garbage to reject");
    tells(&ended, 3, &["Finished, but not whole", &format!("{garbage} rejected"), "_rejected"]);
    assert_eq!(ended.summary["rejected"], garbage, "{ended}");
    holds_exactly_the_truth(&simulator, &job);
    let files = files_below(&job.out().join("_rejected"));
    let lines: Vec<serde_json::Value> = files
        .iter()
        .flat_map(|file| std::fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
        .map(|line| serde_json::from_str(&line).unwrap())
        .collect();
    assert_eq!(lines.len() as u64, garbage, "{files:?}");
    for line in &lines {
        assert!(line["why"].as_str().is_some_and(|why| !why.is_empty()), "{line}");
        assert!(line["text"].as_str().is_some_and(|text| !text.is_empty()), "{line}");
    }
    let requests = simulator.stats().requests;
    assert_eq!(job.run().code, 3, "the same command says the same");
    assert_eq!(simulator.stats().requests, requests, "and buys nothing");
}

#[test]
fn a_region_that_holds_nothing_ends_with_3_after_a_few_requests() {
    let simulator = serve(|_| {});
    let job = Job::of(&simulator).with_regions(&["ZZ"]);
    let ended = job.run();
    tells(&ended, 3, &["0 rows", "ZZ", "unproven"]);
    assert!(simulator.stats().requests <= 4, "{:?}", simulator.stats());
    assert_eq!(parquet_files(&job.out()).len(), 0);
    assert!(!job.out().join("_SUCCESS").exists());
}

#[test]
fn an_empty_range_of_a_region_with_rows_is_complete() {
    let simulator = serve(|service| service.world.density = Density::OneHour);
    let world = simulator.world().range();
    let empty = keyapi_export::units::TimeRange::new(world.start, world.start.shifted(86_400));
    let job = Job::of(&simulator).with_range(empty);
    let ended = job.run();
    tells(&ended, 0, &["Complete: 0 rows"]);
    assert!(simulator.stats().requests <= 4, "{:?}", simulator.stats());
    is_whole(&job);
    // The proof that the region answers was once written to the journal in a form that no later start could read.
    asks_nothing_more(&simulator, &job);
    assert_eq!(job.status().code, 0);
}

/// Whether a listed range of `--summary` holds the second.
fn is_listed(ended: &Ended, list: &str, second: i64) -> bool {
    let ranges = ended.summary[list].as_array().unwrap();
    let bound = |listed: &serde_json::Value, name: &str| listed["range"][name].as_i64().unwrap();
    ranges.iter().any(|listed| bound(listed, "start") <= second && second < bound(listed, "end"))
}

/// Outside the listed ranges the output is the truth.
fn is_exact_but_for(list: &str, ended: &Ended, simulator: &RunningSimulator, job: &Job) {
    let truth = truth_of(simulator.world(), &job.regions(), &job.filters, job.range());
    let outside = |rows: Vec<Found>| rows.into_iter().filter(|row| !is_listed(ended, list, row.1)).collect::<Vec<_>>();
    same(&outside(identities(&job.out())), &outside(truth));
    assert!(!job.out().join("_SUCCESS").exists());
    let verified = job.verify();
    assert_eq!(verified.code, 3, "{verified}");
}

#[test]
fn a_second_that_always_fails_is_a_gap_and_ends_with_3() {
    let simulator = serve(|service| {
        service.world.rows = 1_000;
        service.world.dense_seconds = vec!["2025-12-15T12:00:00Z=12".parse().unwrap()];
        service.faults.poison = vec!["2025-12-15T12:00:00Z".parse().unwrap()];
    });
    let job = Job::of(&simulator);
    let ended = job.start().wait_for(Duration::from_secs(3_600));
    tells(&ended, 3, &["Finished, but not whole", "2025-12-15"]);
    assert!(is_listed(&ended, "gaps", 1_765_800_000), "{ended}");
    assert!(!is_listed(&ended, "gaps", 1_765_800_000 - 3_600), "the gap is not narrow: {ended}");
    is_exact_but_for("gaps", &ended, &simulator, &job);
}

fn serve_a_second_above_the_cap() -> RunningSimulator {
    serve(|service| {
        service.contract.last_page = 20;
        service.world.rows = 1_000;
        service.world.dense_seconds = vec!["2025-12-15T12:00:00Z=900".parse().unwrap()];
    })
}

#[test]
fn a_second_that_is_larger_than_the_cap_ends_with_3_and_is_named() {
    let simulator = serve_a_second_above_the_cap();
    let job = Job::of(&simulator);
    let ended = job.run();
    tells(&ended, 3, &["unproven", "2025-12-15T12:00:00Z"]);
    assert!(is_listed(&ended, "unproven", 1_765_800_000), "{ended}");
    is_exact_but_for("unproven", &ended, &simulator, &job);
}

#[test]
fn only_the_crowded_second_itself_is_unproven() {
    let simulator = serve_a_second_above_the_cap();
    let job = Job::of(&simulator);
    let ended = job.run();
    assert!(!is_listed(&ended, "unproven", 1_765_800_001), "{ended}");
    is_exact_but_for("unproven", &ended, &simulator, &job);
}

#[test]
fn a_second_run_of_the_same_state_or_output_ends_with_11() {
    let simulator = serve(|service| service.limits.latency_ms = 50.0);
    let job = Job::of(&simulator);
    let mut running = job.start();
    until("the first request", || simulator.stats().requests > 0);
    // It holds its locks and sends nothing, so what the service sees now is the others'.
    running.signal("STOP");
    tells(&job.run(), 11, &["another run holds", "wait for the other run, or give this question a state of its own"]);
    let requests = simulator.stats().requests;
    tells(&job.run(), 11, &["another run holds"]);
    let elsewhere = job.folder().join("state of its own").display().to_string().replace(' ', "_");
    tells(&job.run_with(&format!("--state {elsewhere}")), 11, &["another run holds the output folder", "wait for"]);
    assert_eq!(simulator.stats().requests, requests, "a start that found the folder held sent something");
    running.signal("CONT");
    assert!(running.is_alive());
    assert_eq!(running.wait().code, 0);
    holds_exactly_the_truth(&simulator, &job);
    assert!(simulator.stats().repeated_purchases <= END_LOOKS);
}

fn an_interruption_is_resumable(signal: &str, code: i32) {
    let simulator = serve(|service| service.limits.latency_ms = 20.0);
    let job = Job::of(&simulator);
    let running = job.start();
    until("some pages", || simulator.stats().pages > 60);
    running.signal(signal);
    let ended = running.wait();
    tells(&ended, code, &["Interrupted", "the same command goes on where this ended"]);
    // What was on its way was waited for and kept, so nothing is bought again and nothing is unaccounted for.
    assert_eq!(ended.summary["requests"]["attempts"], simulator.stats().requests, "{ended}");
    is_an_honest_beginning(&simulator, &job);
    simulator.change(|service| service.limits.latency_ms = 0.0).unwrap();
    goes_on(&simulator, &job, "");
}

#[test]
fn an_interruption_from_the_keyboard_ends_with_130_and_goes_on() {
    an_interruption_is_resumable("INT", 130);
}

#[test]
fn a_request_to_terminate_ends_with_143_and_goes_on() {
    an_interruption_is_resumable("TERM", 143);
}

#[test]
fn a_second_signal_ends_at_once_and_loses_nothing_durable() {
    let simulator = serve(|service| service.limits.latency_ms = 5.0);
    let job = Job::of(&simulator).with("--max-in-flight 16");
    let running = job.start();
    until("some pages", || simulator.stats().pages > 60);
    simulator.change(|service| service.limits.latency_ms = 15_000.0).unwrap();
    running.signal("TERM");
    // The first one is told before the second one is sent; two that come together may be taken for one.
    until("the word of the first signal", || running.told("a second signal ends at once"));
    running.signal("TERM");
    assert_eq!(running.wait().code, 143);
    simulator.change(|service| service.limits.latency_ms = 0.0).unwrap();
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    holds_exactly_the_truth(&simulator, &job);
    assert!(simulator.stats().repeated_purchases <= 16, "{:?}", simulator.stats());
}

#[test]
fn two_meanings_of_the_contract_that_would_cost_a_fortune_end_with_6() {
    use keyapi_export::simulator::{PageNum, TimeUnit};
    let rows = serve(|service| service.contract.page_num = PageNum::RowOffset);
    tells(&Job::of(&rows).run_with("--max-in-flight 16"), 6, &["`page_num` counts rows", "nothing more was bought"]);
    assert!(rows.stats().requests < 40, "{:?}", rows.stats());
    let milliseconds = serve(|service| service.contract.time_unit = TimeUnit::Milliseconds);
    tells(&Job::of(&milliseconds).run_with("--max-in-flight 16"), 6, &["region US", "nothing more was bought"]);
    assert!(milliseconds.stats().requests < 40, "{:?}", milliseconds.stats());
}
