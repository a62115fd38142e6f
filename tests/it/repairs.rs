//! What a finished or a running job finds missing is read again by the next start: gaps, lost parts, damaged parts; that, and
//! nothing else.

use keyapi_export::simulator::{Density, RunningSimulator, SimulatorSettings};

use crate::support::{
    Ended, Job, asks_nothing_more, batches, files_below, holds_exactly_the_truth, identities, is_whole, parquet_files,
    region, same, serve, truth_of, unfiltered, until,
};

/// Two seconds with more rows than a page holds, apart from each other: 2025-12-10T02:00:00Z and 2025-12-10T09:00:00Z.
const BROKEN: [i64; 2] = [1_765_332_000, 1_765_357_200];
/// Requests that one second costs which fails again: two attempts, a look whether the service is well, the same once more, and
/// one round more, since failures of several seconds meet. As seen, four to six.
const FAILS_AGAIN: u64 = 12;
/// Requests that a healed second of 12 rows costs: two pages, and one more where what precedes it fills the first.
const HEALED: u64 = 6;

/// Two crowded seconds in half a day, both poisoned.
fn serve_poison(change: impl FnOnce(&mut SimulatorSettings)) -> RunningSimulator {
    serve(|service| {
        service.world.rows = 1_000;
        service.world.from = "2025-12-10T00:00:00Z".parse().unwrap();
        service.world.to = "2025-12-10T12:00:00Z".parse().unwrap();
        service.world.dense_seconds = BROKEN.iter().map(|second| format!("{second}=12").parse().unwrap()).collect();
        service.faults.poison = BROKEN.iter().map(|second| second.to_string().parse().unwrap()).collect();
        change(service);
    })
}

fn heal(simulator: &RunningSimulator, seconds: &[i64]) {
    let healed = |moment: &keyapi_export::simulator::Moment| seconds.contains(&moment.0.get());
    simulator.change(|service| service.faults.poison.retain(|moment| !healed(moment))).unwrap();
}

/// The listed gaps, as region and first second. Each must be that one second.
fn gaps(ended: &Ended) -> Vec<(String, i64)> {
    let listed = ended.summary["gaps"].as_array().unwrap().iter().map(|gap| {
        let bound = |name: &str| gap["range"][name].as_i64().unwrap();
        assert_eq!(bound("end"), bound("start") + 1, "the gap is not narrow: {ended}");
        (gap["region"].as_str().unwrap().to_owned(), bound("start"))
    });
    let mut gaps: Vec<(String, i64)> = listed.collect();
    gaps.sort();
    gaps
}

/// The start ends with these gaps and with everything else.
fn ends_with_gaps(simulator: &RunningSimulator, job: &Job, expected: &[(&str, i64)]) -> Ended {
    let ended = job.run();
    has_all_but(simulator, job, &ended, expected);
    ended
}

fn has_all_but(simulator: &RunningSimulator, job: &Job, ended: &Ended, expected: &[(&str, i64)]) {
    assert_eq!(ended.code, 3, "{ended}");
    let expected: Vec<(String, i64)> = expected.iter().map(|(code, second)| ((*code).to_owned(), *second)).collect();
    assert_eq!(gaps(ended), expected, "{ended}");
    let mut truth = truth_of(simulator.world(), &job.regions(), &unfiltered(), job.range());
    truth.retain(|row| !expected.contains(&(row.0.clone(), row.1)));
    let mut found = identities(&job.out());
    found.retain(|row| !expected.contains(&(row.0.clone(), row.1)));
    same(&found, &truth);
    assert!(!job.out().join("_SUCCESS").exists());
    let verified = job.verify();
    assert_eq!(verified.code, 3, "{verified}");
    for (code, _) in &expected {
        assert!(verified.stdout.contains(&format!("region {code} has a gap")), "{verified}");
    }
}

/// The same command ends whole, and has asked no more than this.
fn fills(simulator: &RunningSimulator, job: &Job, most_requests: u64) -> Ended {
    let before = simulator.stats().requests;
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    let asked = simulator.stats().requests - before;
    assert!((1..=most_requests).contains(&asked), "{asked} requests: {ended}");
    assert_eq!(ended.summary["requests_of_this_start"], asked, "{ended}");
    holds_exactly_the_truth(simulator, job);
    is_whole(job);
    asks_nothing_more(simulator, job);
    ended
}

/// One long story, because the first run alone has to fail for most of a minute before it believes that a second is broken.
#[test]
fn gaps_of_several_regions_are_read_again_by_each_start_until_they_come() {
    let simulator = serve_poison(|service| service.world.regions = vec![region("US"), region("GB")]);
    let job = Job::of(&simulator).with_regions(&["US", "GB"]);
    let all = [("GB", BROKEN[0]), ("GB", BROKEN[1]), ("US", BROKEN[0]), ("US", BROKEN[1])];
    let first = ends_with_gaps(&simulator, &job, &all);
    assert!(first.stdout.contains("the same command reads the gaps again"), "{first}");
    let parts = parquet_files(&job.out());

    // They fail again, for a bounded price.
    let before = simulator.stats().requests;
    let ended = ends_with_gaps(&simulator, &job, &all);
    let asked = simulator.stats().requests - before;
    assert!(asked <= 4 * FAILS_AGAIN, "{asked} requests: {ended}");

    // One in each region comes, the other does not.
    heal(&simulator, &BROKEN[1..]);
    ends_with_gaps(&simulator, &job, &[("GB", BROKEN[0]), ("US", BROKEN[0])]);

    // The budget of the run holds for what is read again, and the process may be killed at any moment.
    heal(&simulator, &BROKEN);
    let spent = simulator.stats().requests;
    let ended = job.run_with(&format!("--max-credits {}", spent + 1));
    assert_eq!(ended.code, 4, "{ended}");
    assert_eq!(simulator.stats().requests, spent + 1, "{ended}");
    let verified = job.verify();
    assert_eq!(verified.code, 3, "{verified}");
    simulator.change(|service| service.limits.latency_ms = 300.0).unwrap();
    let mut running = job.start();
    until("a request of the repair", || simulator.stats().requests > spent + 1 || !running.is_alive());
    assert!(running.kill(), "the repair was over before it was killed");
    let verified = job.verify();
    assert_eq!(verified.code, 3, "{verified}");
    simulator.change(|service| service.limits.latency_ms = 0.0).unwrap();

    let ended = fills(&simulator, &job, 2 * HEALED);
    assert_eq!(ended.summary["run"], first.summary["run"], "the same run goes on");
    let grown = parquet_files(&job.out());
    assert!(parts.iter().all(|part| grown.contains(part)), "{parts:?} {grown:?}");
}
