//! Trouble on the service's side that is no accident of one request: storms, and services that fail all the time.

use keyapi_export::simulator::{RunningSimulator, SimulatorSettings};

use crate::support::{Ended, Job, exports_exactly, holds_exactly_the_truth, is_whole, serve, until};

/// Requests on their way at once in these runs.
const MAX_IN_FLIGHT: u64 = 8;
/// What the budget of retries holds at most.
const SAVED_RETRIES: u64 = 50;

fn job(simulator: &RunningSimulator) -> Job {
    Job::of(simulator).with(&format!("--max-in-flight {MAX_IN_FLIGHT}"))
}

fn count(ended: &Ended, name: &str) -> u64 {
    ended.summary["requests"][name].as_u64().unwrap_or_else(|| panic!("no {name}: {ended}"))
}

/// After a storm the same command ends with the truth.
fn heals(simulator: &RunningSimulator, job: &Job, heal: impl FnOnce(&mut SimulatorSettings)) {
    simulator.change(heal).unwrap();
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    holds_exactly_the_truth(simulator, job);
    is_whole(job);
}

#[test]
fn a_service_that_fails_three_requests_in_ten_is_exported_exactly() {
    let simulator = serve(|service| {
        let faults = &mut service.faults;
        (faults.server_error, faults.reset, faults.cut_body, faults.not_json) = (0.1, 0.1, 0.05, 0.05);
    });
    let ended = exports_exactly(&simulator, &job(&simulator));
    let (answered, retries) = (count(&ended, "answered"), count(&ended, "retries"));
    assert!(retries > answered / 4, "too few failures to prove anything: {ended}");
}

/// Nothing bounded the sum of all pages' retries once: in a storm of some seconds they outnumbered the answers.
#[test]
fn in_a_storm_retries_stay_a_share_of_all_attempts() {
    let simulator = serve(|service| {
        service.world.rows = 40_000;
        service.faults.server_error = 0.6;
    });
    let job = Job::of(&simulator).with("--max-in-flight 64").with_variable("KEYAPI_EXPORT_PLAN__WINDOW_PAGES", "20");
    let ended = job.run_with("--time-budget 10s");
    assert_eq!(ended.code, 4, "{ended}");
    let (attempts, answered, retries) =
        (count(&ended, "attempts"), count(&ended, "answered"), count(&ended, "retries"));
    let seconds = ended.summary["duration_ms"].as_u64().unwrap() / 1_000 + 1;
    assert!(answered > 0 && attempts > 20, "no storm to speak of: {ended}");
    assert!(retries <= SAVED_RETRIES + answered / 2 + seconds, "{retries} retries in {seconds} s: {ended}");
    heals(&simulator, &job, |service| service.faults.server_error = 0.0);
}

fn an_outage_spends_few_attempts(fall_ill: impl FnOnce(&mut SimulatorSettings)) {
    let simulator = serve(|service| service.limits.latency_ms = 10.0);
    let job = job(&simulator).with("--give-up-after 12s").with_variable("KEYAPI_EXPORT_LOG", "debug");
    let running = job.start();
    until("some pages", || simulator.stats().pages > 100);
    simulator.change(fall_ill).unwrap();
    let before = simulator.stats().requests;
    let ended = running.wait();
    assert_eq!(ended.code, 5, "{ended}");
    assert!(ended.stderr.contains("all requests wait"), "the breaker stays closed");
    let spent = simulator.stats().requests - before;
    // What was on its way or begun, and then a few trials between the breaker's pauses: twelve seconds at hundreds of requests a
    // second would be thousands.
    assert!(spent <= 10 * MAX_IN_FLIGHT, "{spent} attempts in an outage");
    heals(&simulator, &job, |service| (service.faults.server_error, service.faults.reset) = (0.0, 0.0));
}

#[test]
fn an_outage_of_500s_opens_the_breaker_instead_of_spending_attempts() {
    an_outage_spends_few_attempts(|service| service.faults.server_error = 1.0);
}

#[test]
fn an_outage_of_resets_opens_the_breaker_instead_of_spending_attempts() {
    an_outage_spends_few_attempts(|service| service.faults.reset = 1.0);
}
