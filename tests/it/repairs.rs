//! What a finished or a running job finds missing is read again by the next start: gaps, lost parts, damaged parts; that, and
//! nothing else.

use std::path::{Path, PathBuf};

use keyapi_export::simulator::{RunningSimulator, SimulatorSettings};
use keyapi_export::units::{EpochSeconds, TimeRange};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

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

/// A month with a part for each day, or fewer.
fn whole_job(simulator: &RunningSimulator) -> Job {
    let job = Job::of(simulator);
    assert_eq!(job.run().code, 0);
    job
}

fn rows_of(file: &Path) -> u64 {
    batches(file).iter().map(|batch| batch.num_rows() as u64).sum()
}

/// What may be asked to read these rows again: their pages, and for each stretch of time what it costs to share it between
/// workers.
fn price(rows: u64, stretches: u64) -> u64 {
    rows.div_ceil(10) + 8 * stretches
}

fn damaged_files(job: &Job) -> Vec<PathBuf> {
    files_below(&job.out().join("_damaged"))
}

#[test]
fn a_part_that_is_gone_or_cut_is_read_again_and_nothing_else() {
    let simulator = serve(|_| {});
    let job = whole_job(&simulator);
    let files = parquet_files(&job.out());
    let lost = [&files[3], &files[4], &files[20]];
    let rows: u64 = lost.iter().map(|file| rows_of(file)).sum();
    std::fs::remove_file(lost[0]).unwrap();
    std::fs::remove_file(lost[1]).unwrap();
    std::fs::write(lost[2], "cut").unwrap();
    let verified = job.verify();
    assert_eq!(verified.code, 7, "{verified}");
    for file in lost {
        assert!(verified.stdout.contains(file.file_name().unwrap().to_str().unwrap()), "{verified}");
    }
    assert_eq!(verified.stdout.matches("hint: the same `run` command reads its").count(), 3, "{verified}");
    let ended = fills(&simulator, &job, price(rows, 3));
    let words = format!("{rows} rows, for about {} credits", rows.div_ceil(10));
    assert!(ended.stderr.contains(&words), "`{words}` is not told: {ended}");
    assert!(ended.stderr.contains("is missing") && ended.stderr.contains("it has 3 B"), "{ended}");
    let aside: Vec<String> = damaged_files(&job).iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    assert_eq!(aside, ["cut"], "what was found is kept");
    assert_eq!(parquet_files(&job.out()), files, "the same parts stand in the same places");
}

#[test]
fn a_part_whose_size_is_right_and_whose_bytes_are_not_is_moved_away_by_a_person() {
    let simulator = serve(|service| service.world.rows = 1_000);
    let job = whole_job(&simulator);
    let file = &parquet_files(&job.out())[7];
    let rows = rows_of(file);
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(file, bytes).unwrap();
    // A start looks at names and sizes only.
    asks_nothing_more(&simulator, &job);
    let verified = job.verify();
    let path = file.strip_prefix(job.out()).unwrap().display();
    assert_eq!(verified.code, 7, "{verified}");
    assert!(verified.stdout.contains(&format!("hint: move {path} away; then the same `run`")), "{verified}");
    std::fs::rename(file, job.folder().join("kept")).unwrap();
    fills(&simulator, &job, price(rows, 1));
}

#[test]
fn what_is_read_again_is_bounded_by_the_budget_of_the_run() {
    let simulator = serve(|_| {});
    let job = whole_job(&simulator);
    let files = parquet_files(&job.out());
    files.iter().skip(5).step_by(5).for_each(|file| std::fs::remove_file(file).unwrap());
    let before = simulator.stats().requests;
    let ended = job.run_with(&format!("--max-credits {}", before + 20));
    assert_eq!(ended.code, 4, "{ended}");
    assert_eq!(simulator.stats().requests, before + 20, "{ended}");
    let gaps = ended.summary["gaps"].as_array().unwrap();
    assert!(!gaps.is_empty() && gaps.iter().all(|gap| gap["why"].as_str().unwrap().contains("is missing")), "{ended}");
    let status = job.status();
    assert!(status.stdout.contains("unfinished") && status.stdout.contains("gap       US"), "{status}");
    let verified = job.verify();
    assert!(verified.code == 3 && verified.stdout.contains("is missing, so its time is read again"), "{verified}");
    assert!(!job.out().join("_SUCCESS").exists());
    assert_eq!(job.run().code, 0);
    holds_exactly_the_truth(&simulator, &job);
    is_whole(&job);
    asks_nothing_more(&simulator, &job);
}

#[test]
fn an_unfinished_run_also_finds_what_is_lost() {
    let simulator = serve(|_| {});
    let job = Job::of(&simulator).with("--max-in-flight 2");
    assert_eq!(job.run_with("--max-credits 250").code, 4);
    let files = parquet_files(&job.out());
    assert!(files.len() > 4, "{files:?}");
    // The last one reaches into time that a walk is still reading.
    let lost = [&files[0], &files[2], files.last().unwrap()];
    let rows: u64 = lost.iter().map(|file| rows_of(file)).sum();
    lost.iter().for_each(|file| std::fs::remove_file(file).unwrap());
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    assert!(ended.stderr.contains("what the lost parts held is bought again"), "{ended}");
    holds_exactly_the_truth(&simulator, &job);
    is_whole(&job);
    asks_nothing_more(&simulator, &job);
    let undisturbed = serve(|_| {});
    assert_eq!(Job::of(&undisturbed).with("--max-in-flight 2").run().code, 0);
    let (asked, usual) = (simulator.stats().requests, undisturbed.stats().requests);
    assert!(asked <= usual + price(rows, 4) + 20, "{asked} requests in place of {usual}");
}

/// From one day of December up to another.
fn days(from: i64, to: i64) -> TimeRange {
    let midnight = |day: i64| EpochSeconds::new(1_764_547_200 + (day - 1) * 86_400);
    TimeRange::new(midnight(from), midnight(to))
}

/// A run does not read what it keeps of a former one: with that gone it ended with 0 and without it.
#[test]
fn what_an_unfinished_run_keeps_of_a_former_one_is_read_again_where_it_is_lost() {
    let simulator = serve(|_| {});
    let former = Job::of(&simulator).with_range(days(10, 11));
    assert_eq!(former.run().code, 0);
    let kept = parquet_files(&former.out());
    let job = former.with("--max-in-flight 2").with_range(days(8, 20));
    assert_eq!(job.run_with("--max-credits 100").code, 4);
    let rows: u64 = kept.iter().map(|file| rows_of(file)).sum();
    kept.iter().for_each(|file| std::fs::remove_file(file).unwrap());
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    assert!(rows > 0 && ended.stderr.contains("what it keeps of former runs is gone"), "{ended}");
    holds_exactly_the_truth(&simulator, &job);
    is_whole(&job);
    asks_nothing_more(&simulator, &job);
}

/// What lies between a lost part and what is kept of a former run was never done again: each start bought the part, and ended with 1.
#[test]
fn a_part_right_before_what_is_kept_of_a_former_run_is_read_again_once() {
    let simulator = serve(|_| {});
    let former = Job::of(&simulator).with_range(days(10, 11));
    assert_eq!(former.run().code, 0);
    let job = former.with_range(days(9, 15));
    assert_eq!(job.run().code, 0);
    let before = parquet_files(&job.out()).into_iter().next().unwrap();
    assert!(before.to_str().unwrap().contains("2025-12-09"), "{}", before.display());
    std::fs::remove_file(&before).unwrap();
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    holds_exactly_the_truth(&simulator, &job);
    is_whole(&job);
    asks_nothing_more(&simulator, &job);
}

#[test]
fn a_repair_that_is_killed_again_and_again_ends_with_the_truth() {
    let mut random = StdRng::seed_from_u64(20_260_102);
    let simulator = serve(|service| service.world.regions = vec![region("US"), region("GB")]);
    let job = Job::of(&simulator).with_regions(&["US", "GB"]).with("--max-in-flight 4");
    assert_eq!(job.run().code, 0);
    simulator.change(|service| service.limits.latency_ms = 3.0).unwrap();
    let mut kills = 0;
    for _ in 0..10 {
        // Between two starts the disk loses more.
        let files = parquet_files(&job.out());
        for _ in 0..3 {
            let _it_may_be_gone = std::fs::remove_file(&files[random.random_range(0..files.len())]);
        }
        let more = random.random_range(0..40);
        let goal = simulator.stats().requests + more;
        let mut running = job.start();
        until("the next kill", || simulator.stats().requests >= goal || !running.is_alive());
        kills += u64::from(running.kill());
        let found = identities(&job.out());
        let distinct: std::collections::BTreeSet<_> = found.iter().collect();
        assert_eq!(distinct.len(), found.len(), "rows that stand twice");
    }
    assert!(kills >= 5, "only {kills} kills met a repair");
    assert_eq!(job.run().code, 0);
    holds_exactly_the_truth(&simulator, &job);
    is_whole(&job);
    asks_nothing_more(&simulator, &job);
}

#[test]
fn an_output_that_is_another_one_is_not_bought_again_without_a_word() {
    let simulator = serve(|service| service.world.rows = 1_000);
    let job = whole_job(&simulator);
    let away = job.folder().join("moved");
    std::fs::rename(job.out(), &away).unwrap();
    let requests = simulator.stats().requests;
    for _ in 0..2 {
        let ended = job.run();
        assert_eq!(ended.code, 7, "{ended}");
        assert!(ended.error().contains("none of the") && ended.error().contains("mount or restore"), "{ended}");
    }
    assert_eq!(simulator.stats().requests, requests);
    std::fs::remove_dir_all(job.out()).unwrap();
    std::fs::rename(&away, job.out()).unwrap();
    asks_nothing_more(&simulator, &job);
    std::fs::remove_dir_all(job.out()).unwrap();
    assert_eq!(job.run_with("--fresh").code, 0);
    holds_exactly_the_truth(&simulator, &job);
    is_whole(&job);
}

#[test]
fn what_the_output_says_of_itself_is_said_again_for_nothing() {
    let simulator = serve(|service| service.world.rows = 1_000);
    let job = whole_job(&simulator);
    for name in ["_SUCCESS", "_manifest.json"] {
        std::fs::remove_file(job.out().join(name)).unwrap();
        asks_nothing_more(&simulator, &job);
        is_whole(&job);
    }
}

/// What a damaged manifest says no more: the parts that it lists are fewer than those that were paid for.
fn drop_a_part(job: &Job, number: usize) -> PathBuf {
    let file = job.out().join("_manifest.json");
    let mut manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let part = manifest["parts"].as_array_mut().unwrap().remove(number);
    std::fs::write(&file, manifest.to_string()).unwrap();
    job.out().join(part["path"].as_str().unwrap())
}

#[test]
fn a_part_that_a_damaged_manifest_dropped_is_listed_again_or_bought_again_and_never_thrown_away() {
    let simulator = serve(|service| service.world.rows = 1_000);
    let job = whole_job(&simulator);
    let dropped = drop_a_part(&job, 3);
    let before = simulator.stats().requests;
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    let path = dropped.strip_prefix(job.out()).unwrap().display().to_string();
    assert!(ended.stderr.contains("does not list") && ended.stderr.contains(&path), "{ended}");
    assert!(dropped.exists());
    holds_exactly_the_truth(&simulator, &job);
    is_whole(&job);
    assert_eq!(simulator.stats().requests, before);

    // Its file is gone too: that is a lost part like any other.
    let rows = rows_of(&dropped);
    std::fs::remove_file(drop_a_part(&job, 3)).unwrap();
    fills(&simulator, &job, price(rows, 1));
}

/// The manifest alone says what was read, and it is damaged: what nobody lists is moved aside, and its time is not taken for read.
#[test]
fn a_part_that_a_damaged_manifest_dropped_is_bought_again_where_the_state_is_lost_too() {
    let simulator = serve(|service| service.world.rows = 1_000);
    for table in ["none", "delta"] {
        let job = Job::of(&simulator).with(&format!("--table {table}"));
        assert_eq!(job.run().code, 0);
        let dropped = drop_a_part(&job, 3);
        let rows = rows_of(&dropped);
        std::fs::remove_dir_all(job.state()).unwrap();
        fills(&simulator, &job, price(rows, 1));
        assert_eq!(damaged_files(&job).len(), 1);
    }
}

/// `run` refuses what `verify` finds, before it moves or removes anything.
#[test]
fn a_manifest_that_says_what_is_never_written_is_refused_and_nothing_is_touched() {
    let simulator = serve(|service| service.world.rows = 1_000);
    let job = whole_job(&simulator);
    let file = job.out().join("_manifest.json");
    let sound: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let victim = job.folder().join("victim");
    std::fs::write(&victim, "").unwrap();
    let (files, requests) = (files_below(&job.out()), simulator.stats().requests);
    let damages: [fn(&mut serde_json::Value); 6] = [
        |it| it["generation"] = u64::MAX.into(),
        |it| it["parts"][0]["path"] = "../victim".into(),
        |it| it["superseded"] = serde_json::json!(["../victim"]),
        |it| it["superseded"] = serde_json::json!([it["parts"][0]["path"]]),
        |it| it["parts"] = [vec![it["parts"][0].clone()], it["parts"].as_array().unwrap().clone()].concat().into(),
        |it| it["coverage"]["US"] = [it["coverage"]["US"][0].clone(), it["coverage"]["US"][0].clone()].to_vec().into(),
    ];
    for damage in damages {
        let mut manifest = sound.clone();
        damage(&mut manifest);
        std::fs::write(&file, manifest.to_string()).unwrap();
        for ended in [job.run(), job.run(), job.verify()] {
            assert_eq!(ended.code, 7, "{ended}");
            assert!(ended.stderr.contains("_manifest.json is damaged: "), "{ended}");
        }
        assert_eq!(files_below(&job.out()), files);
    }
    assert!(victim.exists());
    assert_eq!(simulator.stats().requests, requests);
    // Moved away, it is written again for nothing.
    std::fs::remove_file(&file).unwrap();
    asks_nothing_more(&simulator, &job);
    is_whole(&job);
}
