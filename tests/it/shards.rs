//! A question that several processes share: together they give what one gives, whoever dies, and nothing is said to be there before all
//! of it is.

use std::path::PathBuf;

use keyapi_export::simulator::{Moment, RunningSimulator, SimulatorSettings};
use keyapi_export::units::TimeRange;
use serde_json::Value;

use crate::support::{
    Ended, Job, files_below, holds_exactly_the_truth, identities, identities_of_manifest, is_whole, parquet_files,
    region, same, serve, truth_of, unfiltered,
};

/// Two regions of eight days, and a job of one worker, so that what is asked does not depend on who is faster.
fn a_week(change: impl FnOnce(&mut SimulatorSettings)) -> (RunningSimulator, Job) {
    let simulator = serve(|service| {
        service.world.regions = ["US", "GB"].map(region).to_vec();
        service.world.to = "2025-12-09".parse().unwrap();
        service.world.rows = 600;
        change(service);
    });
    let job = Job::of(&simulator).with_regions(&["US", "GB"]).with("--max-in-flight 1");
    (simulator, job)
}

fn shard(job: &Job, name: &str) -> Ended {
    job.run_with(&format!("--shard {name}"))
}

fn all_shards(job: &Job, flags: &str) {
    for number in 1..=4 {
        let ended = job.run_with(&format!("--shard {number}/4 {flags}"));
        assert_eq!(ended.code, 0, "{ended}");
    }
}

fn merge(job: &Job) -> Ended {
    merge_where(job, &[]).unwrap()
}

fn merge_where(job: &Job, variables: &[(&str, String)]) -> Option<Ended> {
    // The state that a plain run has is none of the merge's business.
    job.does_without_state("merge", variables)
}

fn merges(job: &Job) {
    let ended = merge(job);
    assert_eq!(ended.code, 0, "{ended}");
}

fn of_whole(job: &Job) -> Vec<PathBuf> {
    ["_manifest.json", "_SUCCESS", ".lock"]
        .map(|name| job.out().join(name))
        .into_iter()
        .filter(|file| file.exists())
        .collect()
}

fn account(job: &Job, name: &str) -> (PathBuf, Value) {
    let file = job.out().join(format!("_shards/{name}.json"));
    let json = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    (file, json)
}

#[test]
fn four_shards_give_what_one_run_gives_for_four_more_requests_a_region_at_most() {
    let (simulator, one) = a_week(|_| {});
    let one = one.with("--confirm-after 1s");
    let ended = one.run();
    assert_eq!(ended.code, 0, "{ended}");
    let of_one = simulator.stats().requests;
    let job = Job::of(&simulator).with_regions(&["GB", "US"]).with("--max-in-flight 1").with("--confirm-after 1s");
    assert_eq!(merge(&job).code, 2, "no shard has begun");
    all_shards(&job, "");
    assert_eq!(of_whole(&job), Vec::<PathBuf>::new(), "only merge writes them");
    let of_four = simulator.stats().requests - of_one;
    assert!(of_four <= of_one + 4 * 2, "four shards asked {of_four} times, one run {of_one}");
    merges(&job);
    same(&identities(&job.out()), &identities(&one.out()));
    same(&identities_of_manifest(&job.out()), &identities(&one.out()));
    let places = |job: &Job| -> Vec<String> {
        let folder = |file: PathBuf| file.parent().unwrap().strip_prefix(job.out()).unwrap().display().to_string();
        parquet_files(&job.out()).into_iter().map(folder).collect()
    };
    assert_eq!(places(&job), places(&one), "the same parts in the same folders");
    is_whole(&job);
    // Whatever comes after finds an output like any other.
    let requests = simulator.stats().requests;
    let again = merge(&job);
    assert!(again.code == 0 && again.stdout.contains("nothing was to be done"), "{again}");
    let again = shard(&job, "2/4");
    assert!(again.code == 0 && again.stdout.contains("shard 2/4 was finished before"), "{again}");
    let plain = job.run();
    assert!(plain.code == 0 && plain.stdout.contains("no request was sent"), "{plain}");
    let status = job.status();
    assert!(status.code == 0 && status.stdout.contains("100.0 %"), "{status}");
    let rebuilt = job.does("rebuild", "--partition month", &[]).unwrap();
    assert_eq!(rebuilt.code, 0, "{rebuilt}");
    same(&identities(&job.out()), &identities(&one.out()));
    is_whole(&job);
    assert_eq!(simulator.stats().requests, requests);
}

#[test]
fn a_shard_that_was_killed_goes_on_and_one_that_is_missing_is_named() {
    let (simulator, job) = a_week(|_| {});
    let killed = job.start_as("--shard 3/4", &[("KEYAPI_FAILPOINT", "part.published:2".to_owned())]).survives();
    assert!(killed.is_none(), "it was to die");
    for name in ["1/4", "2/4"] {
        assert_eq!(shard(&job, name).code, 0);
    }
    let refused = merge(&job);
    assert_eq!(refused.code, 2, "{refused}");
    let error = refused.error();
    assert!(error.contains("shard 3/4 has not ended") && error.contains("shard 4/4 has no account"), "{error}");
    assert_eq!(of_whole(&job).len(), 1, "the lock that merge took, and nothing else: {:?}", of_whole(&job));
    let spent = shard(&job, "4/4 --max-credits 8");
    assert_eq!(spent.code, 4, "{spent}");
    assert_eq!(shard(&job, "3/4").code, 0);
    let refused = merge(&job);
    assert!(refused.code == 2 && refused.error().contains("shard 4/4 has"), "{refused}");
    assert_eq!(shard(&job, "4/4").code, 0);
    merges(&job);
    holds_exactly_the_truth(&simulator, &job);
    is_whole(&job);
    let stats = simulator.stats();
    assert!(stats.repeated_purchases <= 1 + 4, "bought twice: {:?}", stats.repeated_questions);
}

#[test]
fn shards_that_were_asked_different_things_are_refused_by_each_other_and_by_merge() {
    let (_simulator, job) = a_week(|_| {});
    assert_eq!(shard(&job, "1/2").code, 0);
    for (flags, words) in [
        ("--shard 2/2 --from 2025-12-02", "its range is [2025-12-01T00:00:00Z"),
        ("--shard 2/2 --region US", "its regions are GB,US, and now they are US"),
        ("--shard 2/3", "it is one of 2, and now there are 3"),
        ("--shard 2/2 --is-ad true", "filters"),
    ] {
        let refused = job.run_with(flags);
        assert!(refused.code == 2 && refused.error().contains(words), "{flags}: {refused}");
    }
    // Where they could not see each other, as on disks that are put together later, merge does.
    let other = Job::of(&_simulator).with_regions(&["US", "GB"]).with("--max-in-flight 1");
    assert_eq!(other.run_with("--shard 2/2 --from 2025-12-02").code, 0);
    let (_, theirs) = account(&other, "2-of-2");
    let (file, _) = account(&job, "1-of-2");
    std::fs::write(file.with_file_name("2-of-2.json"), theirs.to_string()).unwrap();
    for path in files_below(&other.out().join("data")) {
        let target = job.out().join(path.strip_prefix(other.out()).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(&path, &target).unwrap();
    }
    let refused = merge(&job);
    assert!(
        refused.code == 2 && refused.error().contains("shard 2/2 was asked something else than shard 1/2"),
        "{refused}"
    );
    assert!(!job.out().join("_manifest.json").exists());
}

#[test]
fn a_run_of_the_whole_question_and_shards_keep_out_of_each_others_way() {
    let (simulator, job) = a_week(|service| service.limits.latency_ms = 20.0);
    assert_eq!(shard(&job, "1/2").code, 0);
    for command in ["rebuild", "compact"] {
        let refused = job.does(command, "", &[]).unwrap();
        assert_eq!(refused.code, 2, "{command}: {refused}");
    }
    let refused = job.run_with(&format!("--state {}", job.folder().join("plain").display()));
    assert!(refused.code == 2 && refused.error().contains("`merge` has not taken in: 1/2"), "{refused}");
    let mut at_work = job.start_with("--shard 2/2");
    crate::support::until("the shard to begin", || {
        job.out().join("_shards/2-of-2.json").exists() || !at_work.is_alive()
    });
    let elsewhere = job.folder().join("elsewhere");
    for refused in [shard(&job, &format!("2/2 --state {}", elsewhere.display())), job.run(), merge(&job)] {
        assert!(refused.code == 11 && refused.error().contains("shard 2/2"), "{refused}");
    }
    assert_eq!(at_work.wait().code, 0);
    merges(&job);
    holds_exactly_the_truth(&simulator, &job);
    let other = Job::of(&simulator).with_regions(&["US", "GB"]).with("--max-in-flight 1");
    let mut at_work = other.start();
    crate::support::until("the run to begin", || other.out().join("_manifest.json").exists() || !at_work.is_alive());
    let refused = shard(&other, "1/2");
    assert!(refused.code == 11 && refused.error().contains("of the whole question has not ended"), "{refused}");
    assert_eq!(at_work.wait().code, 0);
}

/// The next night, at the same address, with other rows.
fn another_night(yesterday: RunningSimulator, change: impl FnOnce(&mut SimulatorSettings)) -> RunningSimulator {
    let listen = yesterday.address();
    yesterday.stop();
    serve(|service| {
        service.world.regions = ["US", "GB"].map(region).to_vec();
        service.world.to = "2025-12-09".parse().unwrap();
        service.world.rows = 600;
        (service.seed, service.listen) = (2, listen);
        change(service);
    })
}

#[test]
fn what_shards_read_again_is_shown_at_once_by_merge_wherever_that_dies() {
    let (first, job) = a_week(|_| {});
    all_shards(&job, "");
    merges(&job);
    let former = identities(&job.out());
    let second = another_night(first, |_| {});
    // Half of a day before is kept.
    let later = Job::of(&second).with_regions(&["US", "GB"]);
    let asked = "--from 2025-12-02T12:00:00Z --fresh";
    all_shards(&job, asked);
    same(&identities(&job.out()), &former);
    is_whole(&job);
    let noon = "2025-12-02T12:00:00Z".parse::<Moment>().unwrap().0;
    let new = TimeRange::new(noon, later.range().end);
    let mut truth: Vec<_> = truth_of(second.world(), &later.regions(), &unfiltered(), new);
    truth.extend(former.iter().filter(|row| row.1 < noon.get()).cloned());
    let steps = [
        ("success.cleared", &former),
        ("part.renamed:3", &former),
        ("held.revealed", &former),
        ("manifest.renamed", &truth),
        ("former.unlinked:2", &truth),
        ("success.renamed", &truth),
    ];
    for (step, shown) in steps {
        let died = merge_where(&job, &[("KEYAPI_FAILPOINT", step.to_owned())]);
        assert!(died.is_none(), "it was to die at {step}: {}", died.unwrap());
        same(&identities_of_manifest(&job.out()), shown);
    }
    merges(&job);
    same(&identities(&job.out()), &truth);
    is_whole(&job);
    assert!(files_below(&job.out().join("_shards")).iter().all(|file| !file.display().to_string().contains("staged")));
}

#[test]
fn gaps_and_rejected_rows_of_shards_are_those_of_the_output() {
    let (simulator, job) = a_week(|service| service.odd.garbage = 0.01);
    let codes: Vec<i32> = (1..=4).map(|number| shard(&job, &format!("{number}/4")).code).collect();
    assert!(codes.iter().all(|code| [0, 3].contains(code)) && codes.contains(&3), "{codes:?}");
    // What a second that failed to the end would have left.
    let (file, mut told) = account(&job, "2-of-4");
    let tile = told["shard"]["tiles"][0].clone();
    let start = tile["range"]["start"].as_i64().unwrap() + 7_200;
    let range = serde_json::json!({"start": start, "end": start + 3_600});
    told["gaps"] = serde_json::json!([{"region": tile["region"], "range": range, "why": "HTTP 500"}]);
    told["status"] = "incomplete".into();
    std::fs::write(&file, told.to_string()).unwrap();
    let merged = merge(&job);
    assert_eq!(merged.code, 3, "{merged}");
    assert!(merged.stdout.contains("HTTP 500") && merged.stdout.contains("rejected "), "{merged}");
    assert!(!job.out().join("_SUCCESS").exists());
    let listed: u64 =
        (1..=4).map(|number| account(&job, &format!("{number}-of-4")).1["rejected_rows"].as_u64().unwrap()).sum();
    let manifest: Value = serde_json::from_slice(&std::fs::read(job.out().join("_manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["rejected_rows"], listed);
    let kept = files_below(&job.out().join("_rejected"));
    let lines: usize = kept.iter().map(|file| std::fs::read_to_string(file).unwrap().lines().count()).sum();
    assert_eq!(lines as u64, listed);
    assert_eq!(job.verify().code, 3);
    let requests = simulator.stats().requests;
    let again = shard(&job, "2/4");
    assert!(again.code == 3 && again.stdout.contains("without --shard"), "{again}");
    assert_eq!(simulator.stats().requests, requests, "a shard that is merged does nothing");
    // A run of the whole question reads the gap and nothing else.
    let plain = job.run();
    assert!(plain.summary["gaps"].as_array().unwrap().is_empty(), "{plain}");
    assert!((1..10).contains(&(simulator.stats().requests - requests)), "{plain}");
    holds_exactly_the_truth(&simulator, &job);
}

#[test]
fn a_row_that_a_neighbour_saw_and_its_owner_lacks_makes_its_second_a_gap_that_the_next_run_reads() {
    let (simulator, job) = a_week(|_| {});
    all_shards(&job, "");
    let (file, mut told) = account(&job, "1-of-4");
    let seam = &mut told["shard"]["seams"][0];
    assert!(!seam["rows"].as_array().unwrap().is_empty(), "its walk ended with a row of its neighbour's time");
    let mut unknown = seam["rows"][0].clone();
    unknown["video"] = 12_345.into();
    seam["rows"].as_array_mut().unwrap().push(unknown.clone());
    std::fs::write(&file, told.to_string()).unwrap();
    let merged = merge(&job);
    assert!(merged.code == 3 && merged.stdout.contains("shard 1/4 saw rows of it"), "{merged}");
    assert_eq!(job.verify().code, 3);
    let before = simulator.stats().requests;
    let plain = job.run();
    assert_eq!(plain.code, 0, "{plain}");
    assert!(simulator.stats().requests - before < 10, "{plain}");
    holds_exactly_the_truth(&simulator, &job);
    is_whole(&job);
}

#[test]
fn a_shard_is_told_by_a_variable_and_takes_its_share_of_the_credits() {
    let (simulator, job) = a_week(|_| {});
    let numbered = |index: &str, flags: &str| {
        let flags = format!("--shard-index-from JOB_COMPLETION_INDEX --shards 4 {flags}");
        job.start_as(&flags, &[("JOB_COMPLETION_INDEX", index.to_owned())]).wait()
    };
    let spent = numbered("0", "--max-credits 10");
    assert!(spent.code == 4 && spent.stdout.contains("3 credits of 3 credits are used"), "{spent}");
    assert!(job.state().join("1-of-4").is_dir(), "each shard has a state of its own");
    for wrong in ["4", "-1", "one"] {
        assert_eq!(numbered(wrong, "").code, 2, "{wrong}");
    }
    for index in ["0", "1", "2", "3"] {
        assert_eq!(numbered(index, "").code, 0);
    }
    merges(&job);
    holds_exactly_the_truth(&simulator, &job);
    let refused = job.run_with("--shard 1/4 --to now");
    assert!(refused.code == 2 && refused.error().contains("question.to = now"), "{refused}");
    let refused = job.run_with("--shard 1/4 --shards 4");
    assert_eq!(refused.code, 2, "{refused}");
}

/// A shard had come to its end, and its account was lost: the same command bought all of it again, and its former parts stood in the way of
/// `merge`.
#[test]
fn an_account_that_is_lost_is_written_again_from_the_state_for_nothing() {
    let (simulator, job) = a_week(|_| {});
    all_shards(&job, "");
    let (file, before) = account(&job, "2-of-4");
    let requests = simulator.stats().requests;
    std::fs::remove_file(&file).unwrap();
    let ended = shard(&job, "2/4");
    assert_eq!((ended.code, simulator.stats().requests), (0, requests), "{ended}");
    let (_, after) = account(&job, "2-of-4");
    for key in ["shard", "parts", "range", "status"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    merges(&job);
    holds_exactly_the_truth(&simulator, &job);
}

/// It was told as a damaged `_manifest.json`, which there is not before the first merge; and one that was copied over another was believed.
#[test]
fn an_account_that_cannot_be_believed_is_told_by_its_name() {
    let (simulator, job) = a_week(|_| {});
    all_shards(&job, "");
    let requests = simulator.stats().requests;
    let (file, told) = account(&job, "2-of-4");
    let whole = told.to_string();
    let of_another = account(&job, "3-of-4").1.to_string();
    for (found, why) in
        [(&whole[..whole.len() / 2], "cannot be read"), (of_another.as_str(), "the account of shard 3/4")]
    {
        std::fs::write(&file, found).unwrap();
        for ended in [shard(&job, "2/4"), shard(&job, "1/4"), merge(&job)] {
            assert_eq!(ended.code, 7, "{ended}");
            let error = ended.error();
            assert!(error.contains("_shards/2-of-4.json") && error.contains(why), "{error}");
            assert!(error.contains("run --shard 2/4") && !error.contains("_manifest.json"), "{error}");
        }
    }
    // What the error advises.
    std::fs::remove_file(&file).unwrap();
    assert_eq!(shard(&job, "2/4").code, 0);
    assert_eq!(simulator.stats().requests, requests);
    merges(&job);
    holds_exactly_the_truth(&simulator, &job);
}
