//! `audit`: what was lost is found, what is complete is not accused, and the next run reads what is missing.

use keyapi_export::simulator::{RunningSimulator, SimulatorSettings, TieOrder};

use crate::support::{
    Ended, Job, around_now, holds_exactly_the_truth, identities, is_whole, same, serve, truth_of, unfiltered,
};

/// Requests after which hidden rows show; a run takes fewer, and is given the rest by hand.
const HIDDEN_FOR: u64 = 350;

/// A month of two regions, whose run takes about 250 requests.
fn month(change: impl FnOnce(&mut SimulatorSettings)) -> (RunningSimulator, Job) {
    let simulator = serve(|service| {
        service.world.regions = ["US", "GB"].map(crate::support::region).to_vec();
        service.world.rows = 1_000;
        change(service);
    });
    let job = Job::of(&simulator).with_regions(&["US", "GB"]);
    (simulator, job)
}

/// An audit at the job's service.
fn audited(job: &Job, flags: &str) -> (Ended, serde_json::Value) {
    let ended = job.does("audit", &format!("--json --base-url {} {flags}", job.base_url()), &[]).unwrap();
    let told = serde_json::from_str(&ended.stdout).unwrap_or_default();
    (ended, told)
}

/// Lets requests go by until hidden rows show.
fn show(simulator: &RunningSimulator, job: &Job) {
    let left = HIDDEN_FOR.saturating_sub(simulator.stats().requests) + 1;
    let (ended, told) = audited(job, &format!("--credits {left}"));
    assert!(told["requests_spent"].as_u64() <= Some(left), "{ended}");
    while simulator.stats().requests <= HIDDEN_FOR {
        audited(job, "--credits 1");
    }
}

#[test]
fn a_complete_output_is_not_accused_and_stays_as_it_is() {
    let (simulator, job) = month(|service| service.contract.tie_order = TieOrder::Fresh);
    assert_eq!(job.run().code, 0);
    let (rows, before) = (identities(&job.out()), simulator.stats().requests);
    let (ended, told) = audited(&job, "--credits 120");
    assert_eq!(ended.code, 0, "{ended}");
    assert_eq!((told["rows_missing"].as_u64(), told["rows_deleted"].as_u64()), (Some(0), Some(0)), "{ended}");
    assert!(told["rows_checked"].as_u64() > Some(900), "{ended}");
    assert_eq!(told["requests_spent"].as_u64(), Some(simulator.stats().requests - before));
    assert!(told["requests_spent"].as_u64() <= Some(120), "{ended}");
    let bound = told["missing_at_most_95"].as_f64().unwrap();
    assert!((0.02..0.05).contains(&bound), "{bound} of 108 pages");
    is_whole(&job);
    assert!(job.run().stdout.contains("no request was sent"));
    assert_eq!(identities(&job.out()), rows);
}

#[test]
fn rows_that_the_run_was_not_shown_are_found_and_the_next_run_reads_them() {
    let (simulator, job) = month(|service| {
        service.drift.hidden = 0.05;
        service.drift.hidden_in_a_row = 25;
        service.drift.hidden_for_requests = HIDDEN_FOR;
    });
    assert_eq!(job.run().code, 0);
    let truth = truth_of(simulator.world(), &job.regions(), &unfiltered(), job.range());
    let lost = truth.len() - identities(&job.out()).len();
    assert!(lost > 40, "{lost}");
    show(&simulator, &job);
    let (ended, told) = audited(&job, "");
    assert_eq!(ended.code, 3, "{ended}");
    let found = told["rows_missing"].as_u64().unwrap() as usize;
    assert!(found > 20 && found <= lost, "{found} of {lost}: {ended}");
    assert!(told["missing_at_most_95"].as_f64() >= Some(0.05), "{ended}");
    assert!(told["requests_spent"].as_u64() <= told["credits"].as_u64(), "{ended}");
    assert!(!job.out().join("_SUCCESS").exists());
    let verified = job.verify();
    assert!(verified.code == 3 && verified.stdout.contains("an audit found rows here"), "{verified}");
    let before = (simulator.stats().requests, identities(&job.out()).len());
    let filled = job.run();
    assert_eq!(filled.code, 0, "{filled}");
    let after = identities(&job.out());
    assert!(after.len() >= before.1 + found, "{} rows, then {}, and {found} were missing", before.1, after.len());
    let asked = simulator.stats().requests - before.0;
    assert!(asked < 250, "{asked} requests for {found} rows");
    is_whole(&job);
    // What no page fell on is still missing; a whole reading has it.
    assert_eq!(job.run_with("--reread all").code, 0);
    holds_exactly_the_truth(&simulator, &job);
}

#[test]
fn what_came_shortly_after_its_day_is_not_taken_for_a_loss() {
    let (simulator, job) = month(|service| {
        around_now(service, 40 * 3_600, -3_600);
        service.drift.hidden = 0.2;
        service.drift.hidden_for_requests = HIDDEN_FOR;
    });
    assert_eq!(job.run().code, 0);
    show(&simulator, &job);
    let (ended, told) = audited(&job, "--credits 100");
    assert_eq!((ended.code, told["rows_missing"].as_u64()), (0, Some(0)), "{ended}");
    assert!(told["rows_came_later"].as_u64() > Some(20), "{ended}");
    is_whole(&job);
}

#[test]
fn what_the_service_deleted_since_is_told_and_accuses_nobody() {
    let (_simulator, job) = month(|_| {});
    assert_eq!(job.run().code, 0);
    // The same world, of which rows vanish with each request.
    let (shrinking, _) = month(|service| service.drift.deletes_per_1000 = 3_000.0);
    let ended = job.does("audit", &format!("--json --credits 100 --base-url {}", shrinking.base_url()), &[]).unwrap();
    let told: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((ended.code, told["rows_missing"].as_u64()), (0, Some(0)), "{ended}");
    assert!(told["rows_deleted"].as_u64() > Some(20), "{ended}");
    is_whole(&job);
}

#[test]
fn trouble_of_the_service_costs_no_more_than_the_credits_and_accuses_nobody() {
    let (_simulator, job) = month(|_| {});
    assert_eq!(job.run().code, 0);
    let (troubled, _) = month(|service| {
        service.faults.server_error = 0.1;
        service.faults.other_region = 0.05;
        service.faults.stale = 0.05;
    });
    let flags = format!("--json --credits 60 --qps 100 --base-url {}", troubled.base_url());
    let ended = job.does("audit", &flags, &[]).unwrap();
    let told: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((ended.code, told["rows_missing"].as_u64()), (0, Some(0)), "{ended}");
    assert!(troubled.stats().requests <= 60, "{ended}");
    assert!(told["pages"].as_u64() > Some(20), "{ended}");
    is_whole(&job);
}

#[test]
fn an_audit_that_cannot_be_is_refused_with_what_to_do() {
    let (simulator, job) = month(|_| {});
    let nothing = audited(&job, "").0;
    assert!(nothing.code == 2 && nothing.error().contains("name the folder"), "{nothing}");
    assert_eq!(job.run_with("--max-credits 20").code, 4);
    let before = simulator.stats().requests;
    let unfinished = audited(&job, "").0;
    assert!(unfinished.code == 2 && unfinished.error().contains("unfinished"), "{unfinished}");
    assert_eq!(job.run().code, 0);
    let asked = simulator.stats().requests;
    let key = job.does("audit", &format!("--base-url {}", job.base_url()), &[("KEYAPI_TOKEN", String::new())]).unwrap();
    assert_eq!((key.code, simulator.stats().requests), (2, asked), "{key}");
    assert!(before < asked);
    let zero = audited(&job, "--credits 0").0;
    assert_eq!(zero.code, 2, "{zero}");
    same(&identities(&job.out()), &truth_of(simulator.world(), &job.regions(), &unfiltered(), job.range()));
}
