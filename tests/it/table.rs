//! An output that is a Delta table too: its log, read as a reader of tables reads it, beside the manifest and the service's truth.

use std::collections::BTreeMap;
use std::fs;

use keyapi_export::failpoint::CrashStep;
use keyapi_export::simulator::{Density, Moment, RunningSimulator};
use keyapi_export::units::{DAY_SECONDS, EpochSeconds, TimeRange};
use serde_json::{Value, json};

use crate::support::{
    Ended, Found, Job, TableLog, asks_nothing_more, exports_exactly, holds_exactly_the_truth, is_whole, now,
    parquet_files, same, seconds, serve, small, table_is_in_step, truth_of, until,
};

fn log(job: &Job) -> TableLog {
    TableLog::read(&job.out()).unwrap()
}

fn manifest(job: &Job) -> Value {
    serde_json::from_slice(&fs::read(job.out().join("_manifest.json")).unwrap()).unwrap()
}

fn done(job: &Job, command: &str, flags: &str) -> Ended {
    let ended = job.does(command, flags, &[]).unwrap();
    assert_eq!(ended.code, 0, "{command} {flags}: {ended}");
    ended
}

#[test]
fn a_run_keeps_a_log_of_its_parts_with_their_types_partitions_and_bounds() {
    let (simulator, job) = small(|_| {});
    let job = job.with("--table delta").with_variable("KEYAPI_EXPORT_OUTPUT__PART_ROWS", "100");
    exports_exactly(&simulator, &job);
    table_is_in_step(&job.out());
    let log = log(&job);
    assert!(log.latest() > 1, "slices are published one by one");
    let metadata = log.actions(0, "metaData")[0];
    assert_eq!(metadata["partitionColumns"], json!(["query_region", "date"]));
    let schema: Value = serde_json::from_str(metadata["schemaString"].as_str().unwrap()).unwrap();
    let type_of = |name: &str| {
        let fields = schema["fields"].as_array().unwrap().iter();
        fields.filter(|field| field["name"] == name).map(|field| field["type"].clone()).next().unwrap()
    };
    assert_eq!(type_of("create_time"), "timestamp");
    assert_eq!(type_of("total_video_sale_gmv_amt"), "decimal(18,4)");
    assert_eq!((type_of("query_region"), type_of("date")), (json!("string"), json!("date")));
    assert_eq!(type_of("product_category_list")["elementType"]["type"], "struct");
    for (path, add) in log.files(log.latest()) {
        assert!(path.contains(&format!("date={}/", add["partitionValues"]["date"].as_str().unwrap())));
        let told: Value = serde_json::from_str(add["stats"].as_str().unwrap()).unwrap();
        let bounds = ["minValues", "maxValues"].map(|name| told[name]["create_time"].as_str().unwrap().to_owned());
        let one = std::collections::BTreeMap::from([(path.clone(), ())]);
        let files: Vec<_> = one.keys().map(|path| job.out().join(path)).collect();
        let rows: Vec<Found> = crate::support::identities_of_files(&job.out(), &files);
        let moment =
            |row: &Found| jiff::Timestamp::from_second(row.1).unwrap().strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string();
        assert_eq!(bounds, [moment(&rows[0]), moment(&rows[rows.len() - 1])]);
    }
}

/// A service of a day: the first one wherever there is room, a later one in its place.
fn serve_day(day: u64, range: TimeRange, in_place_of: Option<RunningSimulator>) -> RunningSimulator {
    let listen = in_place_of.map(|former| {
        let listen = former.address();
        former.stop();
        listen
    });
    serve(|service| {
        service.seed = day;
        (service.world.from, service.world.to) = (Moment(range.start), Moment(range.end));
        service.world.rows = 2_000;
        service.world.density = Density::Uniform;
        service.listen = listen.unwrap_or(service.listen);
    })
}

fn range_of(ended: &Ended) -> TimeRange {
    let bound = |name: &str| ended.summary["range"][name].as_i64().unwrap();
    seconds(bound("start"), bound("end"))
}

/// The rows of a range among others.
fn within(rows: &[Found], range: TimeRange) -> Vec<Found> {
    rows.iter().filter(|row| range.contains(EpochSeconds::new(row.1))).cloned().collect()
}

#[test]
fn whoever_polls_the_table_while_days_are_read_again_sees_one_of_two_truths() {
    let (job, last) = each_poll_sees_one_of_two_truths(|job| job, log);
    let told = job.status();
    assert!(told.stdout.contains(&format!("version {last} of a Delta table")), "{told}");
}

#[cfg(feature = "cloud")]
#[test]
fn whoever_polls_a_table_in_a_bucket_sees_one_of_two_truths() {
    let Some(lake) = crate::support::Lake::start() else { return };
    let polled = tempfile::tempdir().unwrap();
    let look = |_: &Job| {
        lake.pull(polled.path());
        TableLog::read(polled.path()).unwrap()
    };
    each_poll_sees_one_of_two_truths(|job| job.into_lake(&lake), look);
}

/// Gives the job, and the table's last version.
fn each_poll_sees_one_of_two_truths(place: impl Fn(Job) -> Job, look: impl Fn(&Job) -> TableLog) -> (Job, usize) {
    let today = EpochSeconds::new(now()).day_start();
    let world = TimeRange::new(today.shifted(-4 * DAY_SECONDS), today.shifted(2 * DAY_SECONDS));
    let first = serve_day(1, world, None);
    let job = Job::of(&first)
        .with_range_text("-3d", "now")
        .with("--table delta")
        .with_variable("KEYAPI_EXPORT_OUTPUT__PART_ROWS", "200");
    let job = place(job);
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    let former = range_of(&ended);
    let truth = |simulator: &RunningSimulator| truth_of(simulator.world(), &job.regions(), &job.filters, former);
    let early = truth(&first);
    let before = log(&job).latest();
    same(&log(&job).rows(before), &early);
    until("the clock to move on", || now() > former.end.get());
    let second = serve_day(2, world, Some(first));
    let late = truth(&second);
    let mut running = job.start();
    let mut seen: BTreeMap<usize, bool> = BTreeMap::new();
    while running.is_alive() {
        let log = look(&job);
        seen.entry(log.latest()).or_insert_with(|| {
            let rows = within(&log.rows(log.latest()), former);
            let is_late = rows.iter().any(|row| late.contains(row));
            same(&rows, if is_late { &late } else { &early });
            is_late
        });
    }
    let ended = running.wait();
    assert_eq!(ended.code, 0, "{ended}");
    let log = log(&job);
    let last = log.latest();
    same(&within(&log.rows(last), former), &late);
    assert_eq!(log.actions(last, "remove").len(), log.files(before).len(), "all former parts went at once");
    same(&log.rows(before), &early);
    table_is_in_step(&job.out());
    assert_eq!(parquet_files(&job.out()).len(), log.files(last).len() + log.files(before).len());
    is_whole(&job);
    (job, last)
}

#[test]
fn superseded_files_stay_for_as_long_as_they_are_to_and_then_go() {
    let (simulator, job) = small(|_| {});
    let job = job.with("--table delta");
    exports_exactly(&simulator, &job);
    let former = parquet_files(&job.out());
    done(&job, "rebuild", "");
    let log = log(&job);
    let (last, both) = (log.latest(), parquet_files(&job.out()));
    assert_eq!(both.len(), former.len() + log.files(last).len(), "the former parts are still there");
    assert_eq!(manifest(&job)["table"]["superseded"].as_array().unwrap().len(), former.len());
    same(&log.rows(last - 1), &log.rows(last));
    asks_nothing_more(&simulator, &job);
    let soon = [("KEYAPI_EXPORT_OUTPUT__TABLE_KEEPS", "0s".to_owned())];
    let ended = job.run_where(&soon).unwrap();
    assert_eq!(ended.code, 0, "{ended}");
    assert_eq!(parquet_files(&job.out()).len(), log.files(last).len());
    holds_exactly_the_truth(&simulator, &job);
    is_whole(&job);
}

#[test]
fn a_table_begins_with_all_parts_that_are_there_and_is_not_given_up_by_a_setting_that_was_left_out() {
    let (simulator, mut job) = small(|_| {});
    exports_exactly(&simulator, &job);
    assert!(TableLog::read(&job.out()).is_none());
    job.set("--table delta");
    let requests = simulator.stats().requests;
    let ended = job.run();
    assert_eq!((ended.code, simulator.stats().requests), (0, requests), "{ended}");
    let log = log(&job);
    assert_eq!((log.latest(), log.files(0).len()), (0, parquet_files(&job.out()).len()));
    table_is_in_step(&job.out());
    is_whole(&job);
    job.set("--table none");
    let refused = job.run();
    assert!(refused.code == 2 && refused.error().contains("say --table delta"), "{refused}");
    assert_eq!(simulator.stats().requests, requests);
}

#[test]
fn an_output_that_is_laid_out_anew_is_a_table_of_other_partitions_from_one_version_on() {
    let (simulator, job) = small(|_| {});
    let job = job.with("--table delta");
    exports_exactly(&simulator, &job);
    let before = log(&job).latest();
    done(&job, "rebuild", "--partition month");
    let log = log(&job);
    assert_eq!(log.latest(), before + 1, "it is one version");
    assert_eq!(log.actions(before + 1, "metaData")[0]["partitionColumns"], json!(["query_region", "month"]));
    table_is_in_step(&job.out());
    same(&log.rows(before), &log.rows(before + 1));
    assert!(log.actions(before + 1, "add").iter().all(|add| add["dataChange"] == false), "the rows are the same");
    assert!(log.actions(before, "add").iter().all(|add| add["dataChange"] == true));
    let verified = job.verify();
    assert_eq!(verified.code, 0, "{verified}");
}

#[test]
fn a_log_that_was_lost_or_written_by_somebody_else_is_named_and_a_lost_one_is_begun_anew() {
    let (simulator, job) = small(|_| {});
    let job = job.with("--table delta").with_variable("KEYAPI_EXPORT_OUTPUT__PART_ROWS", "100");
    exports_exactly(&simulator, &job);
    let (folder, last) = (job.out().join("data/_delta_log"), log(&job).latest());
    let file = |version: usize| folder.join(format!("{version:020}.json"));
    fs::write(file(last + 1), "{\"commitInfo\":{}}\n").unwrap();
    let (verified, refused) = (job.verify(), job.run());
    assert!(verified.code == 7 && verified.stdout.contains("was not written for this output"), "{verified}");
    assert!(refused.code == 7 && refused.error().contains("written by somebody else"), "{refused}");
    fs::remove_file(file(last + 1)).unwrap();
    let text = fs::read(file(last)).unwrap();
    fs::remove_file(file(last)).unwrap();
    let (verified, refused) = (job.verify(), job.run());
    assert!(verified.code == 7, "{verified}");
    assert!(refused.code == 7 && refused.error().contains("lacks data/_delta_log"), "{refused}");
    fs::write(file(last), text).unwrap();
    is_whole(&job);
    fs::remove_dir_all(&folder).unwrap();
    asks_nothing_more(&simulator, &job);
    table_is_in_step(&job.out());
    assert_eq!(log(&job).latest(), 0);
    is_whole(&job);
}

/// The manifest alone was lost, or restored from a copy that is older: the log is gone on from.
#[test]
fn a_manifest_that_is_older_than_the_log_goes_on_from_it() {
    let (simulator, job) = small(|_| {});
    let job = job.with("--table delta");
    exports_exactly(&simulator, &job);
    let (path, versions) = (job.out().join("_manifest.json"), log(&job).latest());
    let older = fs::read(&path).unwrap();
    done(&job, "rebuild", "");
    assert_eq!(log(&job).latest(), versions + 1);
    fs::remove_file(&path).unwrap();
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    table_is_in_step(&job.out());
    holds_exactly_the_truth(&simulator, &job);
    fs::write(&path, older).unwrap();
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    table_is_in_step(&job.out());
    holds_exactly_the_truth(&simulator, &job);
}

#[test]
fn what_the_manifest_says_and_the_log_lacks_is_told_and_put_there_by_the_next_start() {
    if !cfg!(debug_assertions) {
        println!("skipped: a release build has no steps to die at");
        return;
    }
    let (simulator, job) = small(|_| {});
    let job = job.with("--table delta");
    let dead = job.run_where(&[("KEYAPI_FAILPOINT", CrashStep::ManifestRevealed.name().to_owned() + ":3")]);
    assert!(dead.is_none(), "it ended");
    let told = manifest(&job)["table"]["version"].as_u64().unwrap();
    let verified = job.verify();
    assert!(verified.stdout.contains(&format!("lacks version {told}")), "{verified}");
    let status = job.status();
    assert!(status.stdout.contains("the next start puts it there"), "{status}");
    assert_eq!(job.run().code, 0);
    table_is_in_step(&job.out());
    holds_exactly_the_truth(&simulator, &job);
    is_whole(&job);
}

#[test]
fn shards_begin_a_table_once_they_are_merged() {
    let (simulator, job) = small(|_| {});
    let job = job.with("--table delta");
    for shard in ["1/2", "2/2"] {
        let state = job.folder().join(shard.replace('/', "-of-")).display().to_string();
        let ended = job.run_with(&format!("--shard {shard} --state {state}"));
        assert_eq!(ended.code, 0, "{ended}");
    }
    assert!(TableLog::read(&job.out()).is_none());
    let merged = job.does_without_state("merge", &[]).unwrap();
    assert_eq!(merged.code, 0, "{merged}");
    assert_eq!(log(&job).latest(), 0);
    table_is_in_step(&job.out());
    holds_exactly_the_truth(&simulator, &job);
    is_whole(&job);
}

#[cfg(feature = "cloud")]
#[test]
fn a_bucket_is_a_table_too() {
    let Some(lake) = crate::support::Lake::start() else { return };
    let (simulator, job) = small(|_| {});
    let job = job.into_lake(&lake).with("--table delta").with_variable("KEYAPI_EXPORT_OUTPUT__PART_ROWS", "100");
    exports_exactly(&simulator, &job);
    table_is_in_step(&job.out());
    let former = parquet_files(&job.out()).len();
    done(&job, "rebuild", "");
    let log = log(&job);
    assert_eq!(parquet_files(&job.out()).len(), former + log.files(log.latest()).len());
    let ended = job.run_where(&[("KEYAPI_EXPORT_OUTPUT__TABLE_KEEPS", "0s".to_owned())]).unwrap();
    assert_eq!(ended.code, 0, "{ended}");
    assert_eq!(parquet_files(&job.out()).len(), log.files(log.latest()).len());
    table_is_in_step(&job.out());
    is_whole(&job);
}
