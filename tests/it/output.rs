//! How the output is laid out, and that it grows while the run goes on.

use std::collections::BTreeSet;

use arrow::array::AsArray as _;

use crate::support::{Job, batches, exports_exactly, holds_exactly_the_truth, is_whole, parquet_files, serve, until};

/// The folders of the parts below the output, each once.
fn folders(job: &Job) -> BTreeSet<String> {
    let below =
        |file: &std::path::PathBuf| file.parent().unwrap().strip_prefix(job.out()).unwrap().display().to_string();
    parquet_files(&job.out()).iter().map(below).collect()
}

#[test]
fn rows_lie_below_the_day_that_they_were_published_on() {
    let simulator = serve(|_| {});
    let job = Job::of(&simulator);
    exports_exactly(&simulator, &job);
    assert_eq!(folders(&job).len(), 31, "{:?}", folders(&job));
    for file in parquet_files(&job.out()) {
        let path = file.display().to_string();
        let day = path.split("date=").nth(1).unwrap().split('/').next().unwrap();
        for batch in batches(&file) {
            let times = batch.column_by_name("create_time").unwrap();
            let times = times.as_primitive::<arrow::datatypes::TimestampMillisecondType>();
            for milliseconds in times.values() {
                let moment = jiff::Timestamp::from_millisecond(*milliseconds).unwrap();
                assert!(moment.to_string().starts_with(day), "{moment} lies below {day}");
            }
        }
    }
}

#[test]
fn a_month_or_nothing_may_share_a_folder() {
    let simulator = serve(|service| {
        service.world.from = "2025-11-20".parse().unwrap();
        service.world.to = "2025-12-20".parse().unwrap();
    });
    let by_month = Job::of(&simulator).with("--partition month");
    exports_exactly(&simulator, &by_month);
    assert_eq!(
        folders(&by_month),
        ["data/query_region=US/month=2025-11", "data/query_region=US/month=2025-12"].map(String::from).into()
    );
    let whole = Job::of(&simulator).with("--partition none");
    assert_eq!(whole.run().code, 0);
    holds_exactly_the_truth(&simulator, &whole);
    is_whole(&whole);
    assert_eq!(folders(&whole), ["data/query_region=US"].map(String::from).into());
}

#[test]
fn parts_appear_while_the_run_goes_on_and_the_journal_stays_small() {
    const MAX_IN_FLIGHT: u64 = 4;
    const WINDOW_PAGES: u64 = 100;
    let simulator = serve(|service| {
        service.world.rows = 20_000;
        service.limits.latency_ms = 2.0;
    });
    // Without folders for days it is the journal's fill alone that makes parts.
    let job = Job::of(&simulator)
        .with("--partition none")
        .with(&format!("--max-in-flight {MAX_IN_FLIGHT}"))
        .with_variable("KEYAPI_EXPORT_PLAN__WINDOW_PAGES", &WINDOW_PAGES.to_string());
    let mut running = job.start();
    let (mut early_parts, mut most_held, mut looks) = (BTreeSet::new(), 0, 0);
    until("the end of the run", || {
        let parts = parquet_files(&job.out());
        let told = job.status();
        if !running.is_alive() {
            return true;
        }
        early_parts.extend(parts);
        if let Some(held) = told.stdout.split("journal").nth(1) {
            most_held = most_held.max(held.split_whitespace().next().unwrap().parse::<u64>().unwrap());
            looks += 1;
        }
        false
    });
    let ended = running.wait();
    assert_eq!(ended.code, 0, "{ended}");
    holds_exactly_the_truth(&simulator, &job);
    assert!(looks >= 5, "the run was looked at {looks} times only");
    assert!(early_parts.len() >= 2, "parts that appeared before the end: {early_parts:?}");
    assert!(most_held > 0 && most_held <= MAX_IN_FLIGHT * WINDOW_PAGES * 3 / 2, "{most_held} pages were held");
}

#[test]
fn parts_are_cut_at_the_rows_that_are_set() {
    let simulator = serve(|_| {});
    let job = Job::of(&simulator).with("--partition none").with_variable("KEYAPI_EXPORT_OUTPUT__PART_ROWS", "500");
    exports_exactly(&simulator, &job);
    for file in parquet_files(&job.out()) {
        let rows: usize = batches(&file).iter().map(arrow::array::RecordBatch::num_rows).sum();
        assert!((1..=750).contains(&rows), "{} has {rows} rows", file.display());
    }
}

#[test]
fn verify_finds_a_part_that_is_damaged_and_one_that_is_gone() {
    let simulator = serve(|service| service.world.rows = 1_000);
    let job = Job::of(&simulator);
    exports_exactly(&simulator, &job);
    let files = parquet_files(&job.out());
    let whole = std::fs::read(&files[3]).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 0xff;
    std::fs::write(&files[3], &damaged).unwrap();
    let name = files[3].file_name().unwrap().to_str().unwrap();
    let verified = job.verify();
    assert!(verified.code == 7 && verified.stdout.contains(name), "{verified}");
    std::fs::write(&files[3], &whole).unwrap();
    assert_eq!(job.verify().code, 0);
    std::fs::remove_file(&files[3]).unwrap();
    let verified = job.verify();
    assert!(verified.code == 7 && verified.stdout.contains(name), "{verified}");
    let fresh = job.run_with("--fresh");
    assert_eq!(fresh.code, 0, "{fresh}");
    holds_exactly_the_truth(&simulator, &job);
    is_whole(&job);
}
