//! An output lives for years and its questions change: regions come and go, nights are missed, folders move, states are lost.

mod changes;
mod copies;
mod former;
mod nights;
mod refreshes;
mod relative;
mod states;

use std::path::{Path, PathBuf};

use keyapi_export::simulator::{Moment, RunningSimulator};
use keyapi_export::units::{DAY_SECONDS, EpochSeconds, TimeRange};
use serde_json::Value;

use crate::support::{
    Ended, Found, Job, around_now, asks_nothing_more, holds_exactly_the_truth, identities, identities_of_manifest,
    is_whole, now, parquet_files, region, same, seconds, serve, truth_of, unfiltered, until,
};

/// 2025-12-01T00:00:00Z.
const DECEMBER: i64 = 1_764_547_200;
/// Requests beyond the rows' own pages that a run of one stretch of time costs each region: what is asked to find its ends, and to
/// share it.
const ENDS: u64 = 14;

fn day(number: i64) -> i64 {
    DECEMBER + number * DAY_SECONDS
}

fn days(from: i64, to: i64) -> TimeRange {
    seconds(day(from), day(to))
}

fn asking(range: TimeRange, codes: &[&str]) -> String {
    format!("--from {} --to {} --region {}", range.start, range.end, codes.join(","))
}

fn truth(simulator: &RunningSimulator, code: &str, range: TimeRange) -> Vec<Found> {
    truth_of(simulator.world(), &[region(code)], &unfiltered(), range)
}

fn serve_weeks() -> RunningSimulator {
    serve(|service| {
        service.world.regions = ["US", "GB", "FR"].map(region).to_vec();
        (service.world.from, service.world.to) =
            (Moment(EpochSeconds::new(day(0))), Moment(EpochSeconds::new(day(20))));
        service.world.rows = 2_000;
    })
}

/// A start ends whole and has asked no more than the pages of so many rows, and the ends of so many stretches.
fn ends_whole(simulator: &RunningSimulator, job: &Job, flags: &str, (rows, stretches): (usize, u64)) -> Ended {
    let before = simulator.stats().requests;
    let ended = job.run_with(flags);
    assert_eq!(ended.code, 0, "{flags}: {ended}");
    let asked = simulator.stats().requests - before;
    let most = (rows as u64).div_ceil(10) + ENDS * stretches;
    assert!(asked <= most, "{asked} requests where {most} are enough: {flags}: {ended}");
    assert!(stretches > 0 || asked == 0, "{flags}: {ended}");
    is_whole(job);
    ended
}

fn manifest(job: &Job) -> Value {
    serde_json::from_slice(&std::fs::read(job.out().join("_manifest.json")).unwrap()).unwrap()
}

#[test]
fn a_refused_region_that_is_left_out_leaves_nothing_to_do() {
    let simulator = serve(|service| {
        service.world.regions = ["US", "GB", "FR"].map(region).to_vec();
        service.world.rows = 1_000;
        service.faults.refused_regions = vec!["GB=403:not in your plan".parse().unwrap()];
    });
    let job = Job::of(&simulator).with_regions(&["US", "GB", "FR"]);
    assert_eq!(job.run().code, 3);
    assert!(!job.out().join("_SUCCESS").exists());
    let ended = ends_whole(&simulator, &job, "--region FR,US", (0, 0));
    assert_eq!(ended.summary["former"]["rows"], 2_000, "{ended}");
    assert!(ended.summary["elsewhere"][0]["why"].as_str().unwrap().contains("not in your plan"), "{ended}");
    // It may be asked for again, and is then the only one that is read.
    simulator.change(|service| service.faults.refused_regions.clear()).unwrap();
    ends_whole(&simulator, &job, "", (1_000, 1));
    holds_exactly_the_truth(&simulator, &job);
}

/// The job after its folders were given other names: as if the disk had been mounted elsewhere.
fn moved(job: Job, out: &str, state: &str) -> Job {
    std::fs::rename(job.out(), job.folder().join(out)).unwrap();
    std::fs::rename(job.state(), job.folder().join(state)).unwrap();
    job.with_places(out, state)
}

#[test]
fn output_and_state_may_be_moved_and_the_service_too() {
    let simulator = serve(|service| service.world.rows = 1_000);
    let job = Job::of(&simulator).with("--max-in-flight 2");
    assert_eq!(job.run_with("--max-credits 40").code, 4);
    let job = moved(job, "elsewhere", "elsewhere.state");
    assert_eq!(job.run().code, 0);
    holds_exactly_the_truth(&simulator, &job);
    let asked = simulator.stats().requests;
    assert!(asked <= 100 + 3 * ENDS, "{asked} requests");
    let job = moved(job, "third", "third.state");
    asks_nothing_more(&simulator, &job);
    let other = serve(|service| service.world.rows = 1_000);
    let ended = job.run_with(&format!("--base-url {}", other.base_url()));
    assert_eq!((ended.code, other.stats().requests), (0, 0), "{ended}");
}

#[test]
fn another_layout_on_the_same_output_is_refused_with_or_without_its_state() {
    let simulator = serve(|service| service.world.rows = 500);
    let job = Job::of(&simulator);
    assert_eq!(job.run().code, 0);
    let requests = simulator.stats().requests;
    let refuses = |flags: &str, variables: &[(&str, String)], words: &str| {
        let ended = job.start_as(flags, variables).wait();
        assert_eq!(ended.code, 2, "{ended}");
        assert!(ended.error().contains("use another --out") && ended.error().contains(words), "{ended}");
    };
    let snapshot = [("KEYAPI_EXPORT_OUTPUT__SNAPSHOT", "true".to_owned())];
    refuses("--partition month", &[], "month");
    refuses("--is-ad true", &[], "is_ad");
    refuses("", &snapshot, "snapshot");
    std::fs::remove_dir_all(job.state()).unwrap();
    for (flags, variables, words) in
        [("--partition none", &[][..], "by none"), ("--is-ad true", &[], "is_ad"), ("", &snapshot, "with snapshots")]
    {
        refuses(flags, variables, words);
    }
    // What was refused leaves nothing in the new state.
    assert_eq!(job.run().code, 0);
    assert_eq!(simulator.stats().requests, requests);
}

#[test]
fn a_state_of_another_output_is_refused() {
    let simulator = serve(|service| service.world.rows = 500);
    let (job, other) = (Job::of(&simulator), Job::of(&simulator));
    assert_eq!((job.run().code, other.run().code), (0, 0));
    let requests = simulator.stats().requests;
    let ended = job.run_with(&format!("--state {}", other.state().display()));
    assert_eq!(ended.code, 2, "{ended}");
    assert!(ended.error().contains("belongs to another output"), "{ended}");
    assert_eq!(simulator.stats().requests, requests);
    asks_nothing_more(&simulator, &job);
    asks_nothing_more(&simulator, &other);
}

/// A backfill into the folder of a daily job whose last run is unfinished.
#[test]
fn another_question_closes_an_unfinished_run_and_loses_nothing_of_it() {
    let simulator = serve_weeks();
    let job = Job::of(&simulator).with("--max-in-flight 3");
    let first = format!("{} --max-credits 60", asking(days(8, 16), &["US", "GB"]));
    assert_eq!(job.run_with(&first).code, 4);
    let backfill = asking(days(0, 4), &["FR"]);
    let rows = truth(&simulator, "FR", days(0, 4)).len();
    let ended = ends_whole(&simulator, &job, &backfill, (rows, 1));
    assert!(ended.stderr.contains("the unfinished run is closed"), "{ended}");
    let found = identities(&job.out());
    let had = found.len() - rows;
    assert!(had >= 400, "{had} rows of 60 pages");
    let both = || [truth(&simulator, "GB", days(8, 16)), truth(&simulator, "US", days(8, 16))].concat();
    assert!(found.iter().filter(|row| row.0 != "FR").all(|row| both().contains(row)));
    let rest = both().len() - had;
    // Each worker had read a stretch of its own, so several holes are left.
    ends_whole(&simulator, &job, &asking(days(8, 16), &["GB", "US"]), (rest, 6));
    same(&identities(&job.out()), &[truth(&simulator, "FR", days(0, 4)), both()].concat());
}

/// What replaces something is shown at once: who goes by the manifest sees the day before, or the whole new day.
#[test]
fn a_reader_of_the_manifest_sees_before_or_after() {
    let world = days(0, 6);
    let serve_day = |seed: u64, listen: Option<std::net::SocketAddr>| {
        serve(|service| {
            service.seed = seed;
            (service.world.from, service.world.to) = (Moment(world.start), Moment(world.end));
            service.world.rows = 3_000;
            if let Some(listen) = listen {
                service.listen = listen;
            }
        })
    };
    let first = serve_day(1, None);
    let job = Job::of(&first).with_range(days(0, 4));
    assert_eq!(job.run().code, 0);
    let before = truth(&first, "US", days(0, 4));
    let listen = first.address();
    first.stop();
    let second = serve_day(2, Some(listen));
    second.change(|service| service.limits.latency_ms = 4.0).unwrap();
    let flags = "--reread all --max-in-flight 2 --from 2025-12-02 --to 2025-12-07";
    let mut kills = 0;
    for pages in [60, 120, 180, 240] {
        let mut running = job.start_with(flags);
        until("some pages", || second.stats().pages > pages || !running.is_alive());
        kills += u32::from(running.kill());
        let seen = identities_of_manifest(&job.out());
        let old: Vec<Found> = seen.iter().filter(|row| row.1 < day(4)).cloned().collect();
        same(&old, &before);
        // New days come one by one.
        let new = truth(&second, "US", days(4, 6));
        assert!(seen.iter().filter(|row| row.1 >= day(4)).all(|row| new.contains(row)));
        same(&identities(&job.out()), &seen);
        assert!(!job.out().join("_SUCCESS").exists());
    }
    assert_eq!(kills, 4);
    let ended = job.run_with(flags);
    assert_eq!(ended.code, 0, "{ended}");
    let kept = before.into_iter().filter(|row| row.1 < day(1));
    let after: Vec<Found> = kept.chain(truth(&second, "US", days(1, 6))).collect();
    same(&identities(&job.out()), &after);
    same(&identities_of_manifest(&job.out()), &after);
    is_whole(&job);
}

#[test]
fn parts_that_are_older_than_they_are_kept_are_not_bought_again() {
    let simulator = serve_weeks();
    let job = Job::of(&simulator).with_range(days(0, 10));
    assert_eq!(job.run().code, 0);
    let age = (now() - day(4)) / 3_600;
    let retain = [("KEYAPI_EXPORT_OUTPUT__RETAIN", format!("{age}h"))];
    let old: Vec<PathBuf> =
        parquet_files(&job.out()).into_iter().filter(|file| is_before(file, "2025-12-04")).collect();
    assert_eq!(old.len(), 3, "{old:?}");
    old.iter().for_each(|file| std::fs::remove_file(file).unwrap());
    let before = simulator.stats().requests;
    for flags in ["", "--to 2025-12-12"] {
        let ended = job.start_as(flags, &retain).wait();
        assert_eq!(ended.code, 0, "{ended}");
        is_whole(&job);
    }
    let rows = truth(&simulator, "US", days(10, 11)).len() as u64;
    let asked = simulator.stats().requests - before;
    assert!(asked <= rows.div_ceil(10) + ENDS, "{asked} requests for {rows} rows");
    same(&identities(&job.out()), &truth(&simulator, "US", days(3, 11)));
}

/// What was given up because of its age is there for who asks for it and does not give it up, also once the state is lost.
#[test]
fn a_part_that_was_too_old_to_be_missed_is_read_again_by_a_run_that_keeps_it() {
    let simulator = serve_weeks();
    for is_state_lost in [false, true] {
        let job = Job::of(&simulator).with_range(days(0, 10));
        assert_eq!(job.run().code, 0);
        let age = |from| vec![("KEYAPI_EXPORT_OUTPUT__RETAIN", format!("{}h", (now() - day(from)) / 3_600))];
        let old = parquet_files(&job.out()).into_iter().filter(|file| is_before(file, "2025-12-04"));
        old.for_each(|file| std::fs::remove_file(file).unwrap());
        let before = simulator.stats().requests;
        for flags in ["", "--reread all", "--reread missing"] {
            assert_eq!(job.start_as(flags, &age(4)).wait().code, 0);
            is_whole(&job);
            if flags.is_empty() {
                assert_eq!(simulator.stats().requests, before);
            }
        }
        same(&identities(&job.out()), &truth(&simulator, "US", days(3, 10)));
        if is_state_lost {
            std::fs::remove_dir_all(job.state()).unwrap();
        }
        let rows = truth(&simulator, "US", days(2, 3)).len() as u64;
        let before = simulator.stats().requests;
        assert_eq!(job.start_as("--from 2025-12-03 --to 2025-12-11", &age(2)).wait().code, 0);
        let asked = simulator.stats().requests - before;
        assert!((1..=rows.div_ceil(10) + ENDS).contains(&asked), "{asked} requests for {rows} rows");
        is_whole(&job);
        let rows = truth(&simulator, "US", days(0, 2)).len();
        ends_whole(&simulator, &job, "", (rows, 1));
        same(&identities(&job.out()), &truth(&simulator, "US", days(0, 10)));
        asks_nothing_more(&simulator, &job);
    }
}

fn is_before(file: &Path, date: &str) -> bool {
    let level = file.components().find_map(|level| level.as_os_str().to_str()?.strip_prefix("date="));
    level.is_some_and(|day| day < date)
}

#[test]
fn rejected_rows_withhold_success_unless_so_many_are_allowed() {
    let simulator = serve(|service| {
        service.world.rows = 1_000;
        service.odd.garbage = 0.02;
    });
    let job = Job::of(&simulator);
    let ended = job.run();
    assert_eq!(ended.code, 3, "{ended}");
    let rejected = ended.summary["rejected"].as_u64().unwrap();
    assert!(rejected > 1 && !job.out().join("_SUCCESS").exists(), "{ended}");
    let allows = |most: u64| job.start_as("", &[("KEYAPI_EXPORT_OUTPUT__MAX_REJECTED", most.to_string())]).wait();
    assert_eq!(allows(rejected - 1).code, 3);
    let requests = simulator.stats().requests;
    let ended = allows(rejected);
    assert_eq!(ended.code, 0, "{ended}");
    is_whole(&job);
    assert_eq!(allows(rejected - 1).code, 3);
    assert!(!job.out().join("_SUCCESS").exists());
    assert_eq!(simulator.stats().requests, requests);
}

/// The moment at which a wall clock stands, in whole seconds.
fn serve_today(rows: u32) -> RunningSimulator {
    serve(|service| {
        service.world.rows = rows;
        around_now(service, 40_000, 40_000);
    })
}

fn range_of(ended: &Ended) -> TimeRange {
    let bound = |name: &str| ended.summary["range"][name].as_i64().unwrap();
    seconds(bound("start"), bound("end"))
}
