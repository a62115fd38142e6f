//! `rebuild` and `compact`: the same rows in other files, for no request, wherever they die.

use std::path::Path;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use keyapi_export::failpoint::CrashStep;
use keyapi_export::simulator::{RunningSimulator, SimulatorSettings};
use keyapi_export::units::{DAY_SECONDS, TimeRange};

use crate::support::{
    Ended, Job, batches, files_below, holds_exactly_the_truth, identities, identities_of_manifest, is_whole,
    parquet_files, same, serve, truth_of, unfiltered, until,
};

/// Passings of one step by one start that are looked at, at most.
const MOST_PASSINGS: u32 = 40;

/// Every row with every column, in the order of region and time, as readers see it.
fn table(job: &Job) -> RecordBatch {
    let all: Vec<RecordBatch> = parquet_files(&job.out()).iter().flat_map(|file| batches(file)).collect();
    concat_batches(&all[0].schema(), &all).unwrap()
}

fn manifest(job: &Job) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(job.out().join("_manifest.json")).unwrap()).unwrap()
}

fn done(job: &Job, command: &str, flags: &str) -> Ended {
    let ended = job.does(command, flags, &[]).unwrap();
    assert_eq!(ended.code, 0, "{command} {flags}: {ended}");
    ended
}

/// What the output says of itself but for its parts: coverage, gaps, what is unproven or rejected, the last run.
fn account(job: &Job) -> serde_json::Value {
    let mut told = manifest(job);
    for name in ["parts", "superseded", "generation", "identity", "written_at"] {
        told.as_object_mut().unwrap().remove(name);
    }
    told
}

fn but_for_counters(mut account: serde_json::Value) -> serde_json::Value {
    account.as_object_mut().unwrap().remove("counters");
    account
}

/// Nothing is there that the manifest does not list, and nothing is left of what was done.
fn is_tidy(job: &Job) {
    let told = manifest(job);
    let listed = told["parts"].as_array().unwrap().iter().map(|part| job.out().join(part["path"].as_str().unwrap()));
    let mut listed: Vec<_> = listed.collect();
    listed.sort();
    assert_eq!(parquet_files(&job.out()), listed);
    assert_eq!(files_below(&job.out().join(".staging")), Vec::<std::path::PathBuf>::new());
}

/// A service whose rows have odd values, and a job of a few days in small parts.
fn small_parts(change: impl FnOnce(&mut SimulatorSettings)) -> (RunningSimulator, Job) {
    let simulator = serve(|service| {
        service.world.regions = ["US", "GB"].map(crate::support::region).to_vec();
        service.world.from = "2025-12-30T00:00:00Z".parse().unwrap();
        service.world.to = "2026-01-03T00:00:00Z".parse().unwrap();
        service.world.rows = 600;
        (service.odd.unknown_field, service.odd.null_field) = (0.1, 0.1);
        change(service);
    });
    let job = Job::of(&simulator).with_regions(&["US", "GB"]).with_variable("KEYAPI_EXPORT_OUTPUT__PART_ROWS", "60");
    (simulator, job)
}

#[test]
fn a_day_becomes_a_month_and_a_day_again_with_the_same_rows() {
    let (simulator, job) = small_parts(|_| {});
    assert_eq!(job.run().code, 0);
    holds_exactly_the_truth(&simulator, &job);
    let (rows, told, requests) = (table(&job), account(&job), simulator.stats().requests);
    let refused = job.run_with("--partition month");
    assert!(refused.code == 2 && refused.error().contains("`rebuild` with the new --partition"), "{refused}");
    let ended = done(&job, "rebuild", "--partition month --part-rows 1000000 --zstd-level 9 --encoding compact");
    assert!(ended.stdout.contains("no request was sent"), "{ended}");
    assert_eq!((table(&job), account(&job)), (rows.clone(), told.clone()));
    // Two months of two regions.
    assert_eq!(parquet_files(&job.out()).len(), 4);
    assert!(files_below(&job.out()).iter().all(|file| !file.display().to_string().contains("date=")));
    is_tidy(&job);
    is_whole(&job);
    let again = job.run_with("--partition month");
    assert!(again.code == 0 && again.stdout.contains("no request was sent"), "{again}");
    let refused = job.run();
    assert!(refused.code == 2 && refused.error().contains("rebuild"), "{refused}");
    // Without a word about it the partition stays.
    done(&job, "rebuild", "");
    assert_eq!(manifest(&job)["identity"]["partition"], "month");
    done(&job, "rebuild", "--partition day");
    assert_eq!((table(&job), account(&job)["coverage"].clone()), (rows, told["coverage"].clone()));
    is_tidy(&job);
    is_whole(&job);
    assert!(job.run().stdout.contains("no request was sent"));
    assert_eq!(simulator.stats().requests, requests);
}

#[test]
fn a_later_range_goes_on_in_the_new_layout() {
    let (simulator, job) = small_parts(|_| {});
    let whole = simulator.world().range();
    let first = TimeRange::new(whole.start, whole.start.shifted(DAY_SECONDS));
    let job = job.with_range(first).with("--max-in-flight 16");
    assert_eq!(job.run().code, 0);
    let before = simulator.stats().requests;
    done(&job, "rebuild", "--partition none");
    let ended = job.run_with(&format!("--partition none --to {}", whole.end));
    assert_eq!(ended.code, 0, "{ended}");
    let truth = truth_of(simulator.world(), &job.regions(), &unfiltered(), whole);
    same(&identities(&job.out()), &truth);
    assert!(files_below(&job.out()).iter().all(|file| !file.display().to_string().contains("date=")));
    let had = truth_of(simulator.world(), &job.regions(), &unfiltered(), job.range()).len();
    let (asked, missing) = (simulator.stats().requests - before, (truth.len() - had) as u64);
    assert!(asked <= missing / 10 + 20, "{asked} requests for {missing} rows that were missing");
    is_whole(&job);
}

#[test]
fn small_neighbours_become_one_and_others_stay() {
    let (simulator, job) = small_parts(|_| {});
    assert_eq!(job.run().code, 0);
    let (rows, requests, before) = (table(&job), simulator.stats().requests, parquet_files(&job.out()));
    let nothing = done(&job, "compact", "--below 1B");
    assert!(nothing.stdout.contains("nothing was to be done"), "{nothing}");
    assert_eq!(parquet_files(&job.out()), before);
    done(&job, "compact", "--part-rows 1000000");
    let after = parquet_files(&job.out());
    assert!(after.len() == 8 && before.len() > 16, "{} parts of {}", after.len(), before.len());
    assert_eq!((table(&job), simulator.stats().requests), (rows, requests));
    is_tidy(&job);
    is_whole(&job);
    assert!(done(&job, "compact", "").stdout.contains("nothing was to be done"));
}

#[test]
fn gaps_stay_gaps_and_are_read_by_the_next_run_alone() {
    let second = 1_767_225_600 + 3_600;
    let (simulator, job) = small_parts(|service| {
        service.world.dense_seconds = vec![format!("{second}=12").parse().unwrap()];
        service.faults.poison = vec![second.to_string().parse().unwrap()];
    });
    let ended = job.run();
    assert_eq!(ended.code, 3, "{ended}");
    let (rows, told) = (table(&job), account(&job));
    done(&job, "rebuild", "--partition month --part-rows 1000000");
    assert_eq!((table(&job), account(&job)), (rows, told));
    assert_eq!(job.verify().code, 3);
    simulator.change(|service| service.faults.poison.clear()).unwrap();
    let before = simulator.stats().requests;
    let ended = job.run_with("--partition month");
    assert_eq!(ended.code, 0, "{ended}");
    holds_exactly_the_truth(&simulator, &job);
    is_whole(&job);
    let asked = simulator.stats().requests - before;
    assert!(asked <= 40, "{asked} requests for one second");
}

#[test]
fn an_unfinished_run_is_brought_to_its_end_first() {
    let (simulator, job) = small_parts(|_| {});
    assert_eq!(job.does("rebuild", "", &[]).unwrap().code, 2, "there is no output");
    assert_eq!(job.run_with("--max-credits 30").code, 4);
    let files = files_below(&job.out());
    let elsewhere = format!("--state {}", job.folder().join("another").display());
    for (flags, words) in [("--partition month", "is unfinished"), (elsewhere.as_str(), "does not know run")] {
        let refused = job.does("rebuild", flags, &[]).unwrap();
        assert!(refused.code == 2 && refused.error().contains(words), "{refused}");
        assert!(refused.error().contains("same `run` command"), "{refused}");
    }
    assert_eq!(files_below(&job.out()), files);
    assert_eq!(job.run().code, 0);
    done(&job, "rebuild", "--partition month");
    holds_exactly_the_truth(&simulator, &job);
}

#[test]
fn a_run_at_work_is_not_disturbed() {
    let (simulator, job) = small_parts(|service| service.limits.latency_ms = 50.0);
    let running = job.start();
    until("the first pages", || simulator.stats().pages > 4);
    let refused = job.does("rebuild", "", &[]).unwrap();
    assert_eq!(refused.code, 11, "{refused}");
    simulator.change(|service| service.limits.latency_ms = 0.0).unwrap();
    assert_eq!(running.wait().code, 0);
    holds_exactly_the_truth(&simulator, &job);
}

#[test]
fn a_part_that_is_damaged_or_gone_stops_it_before_anything_is_changed() {
    let (_simulator, job) = small_parts(|_| {});
    assert_eq!(job.run().code, 0);
    let file = parquet_files(&job.out())[1].clone();
    let whole = std::fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    damaged[20] ^= 0xff;
    for content in [Some(damaged), None] {
        match content {
            Some(content) => std::fs::write(&file, content).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        let refused = job.does("rebuild", "--partition month", &[]).unwrap();
        assert!(refused.code == 7 && refused.error().contains("`verify` tells"), "{refused}");
        assert!(refused.error().contains(file.file_name().unwrap().to_str().unwrap()), "{refused}");
        assert_eq!(files_below(&job.out().join(".staging")), Vec::<std::path::PathBuf>::new());
    }
    std::fs::write(&file, &whole).unwrap();
    done(&job, "rebuild", "--partition month");
    is_whole(&job);
}

#[test]
fn it_dies_at_any_step_and_the_next_start_makes_it_good() {
    if !cfg!(debug_assertions) {
        println!("skipped: a release build has no steps to die at");
        return;
    }
    let (simulator, job) = small_parts(|service| service.world.rows = 240);
    assert_eq!(job.run().code, 0);
    let (rows, told, requests) = (table(&job), account(&job), simulator.stats().requests);
    let truth = identities(&job.out());
    let left = tempfile::tempdir().unwrap();
    copy(job.folder(), left.path());
    let mut deaths = 0;
    for step in CrashStep::ALL {
        for passing in 1..=MOST_PASSINGS {
            for folder in ["out", "state"] {
                std::fs::remove_dir_all(job.folder().join(folder)).unwrap();
                copy(&left.path().join(folder), &job.folder().join(folder));
            }
            let armed = [("KEYAPI_FAILPOINT", format!("{}:{passing}", step.name()))];
            if job.does("rebuild", "--partition month --part-rows 100", &armed).is_some() {
                break;
            }
            deaths += 1;
            let story = format!("dead at passing {passing} of {}", step.name());
            println!("{story}");
            same(&identities_of_manifest(&job.out()), &truth);
            if job.out().join("_SUCCESS").exists() {
                same(&identities(&job.out()), &truth);
            }
            let partition = manifest(&job)["identity"]["partition"].as_str().unwrap().to_owned();
            // Every other time it is a run that comes next.
            if deaths % 2 == 0 {
                let ended = job.run_with(&format!("--partition {partition}"));
                assert!(ended.code == 0 && ended.stdout.contains("no request was sent"), "{story}: {ended}");
                assert_eq!(table(&job), rows, "{story}");
                // A run that says again that it is complete counts its own parts, and these are of the rebuild.
                assert_eq!(but_for_counters(account(&job)), but_for_counters(told.clone()), "{story}");
                is_tidy(&job);
                is_whole(&job);
            }
            done(&job, "rebuild", "--partition month");
            assert_eq!(table(&job), rows, "{story}");
            assert_eq!(but_for_counters(account(&job)), but_for_counters(told.clone()), "{story}");
            assert_eq!(manifest(&job)["identity"]["partition"], "month", "{story}");
            is_tidy(&job);
            is_whole(&job);
        }
    }
    assert!(deaths > 20, "it died {deaths} times only");
    assert_eq!(simulator.stats().requests, requests);
}

/// Copies a folder with everything in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() { copy(&path, &to.join(name)) } else { std::fs::copy(&path, to.join(name)).map(drop).unwrap() }
    }
}
