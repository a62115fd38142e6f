//! Outputs in a bucket, as a person meets them. Where no server for one can be started, each test says that it is skipped.

use crate::support::{Ended, Job, Lake, exports_exactly, holds_exactly_the_truth, serve, small, until};

/// The files of the table are those that the manifest lists, and nothing else of the program's is left.
fn nothing_is_left_over(lake: &Lake, job: &Job) {
    let text = std::fs::read(job.out().join("_manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let mut wanted: Vec<String> =
        manifest["parts"].as_array().unwrap().iter().map(|part| part["path"].as_str().unwrap().to_owned()).collect();
    wanted.extend(["_SUCCESS", "_manifest.json"].map(str::to_owned));
    wanted.sort();
    // A part that was between upload and commit as another process began is moved aside, where no reader looks.
    let seen: Vec<String> = lake.names().into_iter().filter(|name| !name.starts_with("_damaged/")).collect();
    assert_eq!(seen, wanted);
    assert_eq!(lake.open_uploads(), 0);
}

#[test]
fn a_bucket_is_filled_described_and_verified_like_a_folder() {
    let Some(lake) = Lake::start() else { return };
    let (simulator, job) = small(|_| {});
    let job = job.into_lake(&lake).with_variable("KEYAPI_UPLOAD_AT_ONCE", "4096");
    exports_exactly(&simulator, &job);
    nothing_is_left_over(&lake, &job);
    let told = job.status();
    assert!(told.code == 0 && told.stdout.contains(lake.address()), "{told}");
    std::fs::remove_dir_all(job.state()).unwrap();
    let by_manifest = job.status();
    assert!(by_manifest.code == 0 && by_manifest.stdout.contains(lake.address()), "{by_manifest}");
    let before = simulator.stats().requests;
    let again = job.run();
    assert_eq!((again.code, simulator.stats().requests), (0, before), "a lost state costs nothing: {again}");
    let compacted = job.does("compact", "", &[]).unwrap();
    assert_eq!(compacted.code, 0, "{compacted}");
    holds_exactly_the_truth(&simulator, &job);
    nothing_is_left_over(&lake, &job);
    let part = lake.names().into_iter().find(|name| name.starts_with("data/")).unwrap();
    std::fs::write(job.out().join(&part), "other bytes").unwrap();
    job.push();
    let damaged = job.verify();
    assert!(damaged.code == 7 && damaged.stdout.contains(&part), "{damaged}");
}

/// Nothing can keep two processes with two states apart before they meet at the manifest.
#[test]
fn of_two_writers_with_two_states_the_earlier_one_ends_with_11_and_nothing_of_it_is_seen() {
    let Some(lake) = Lake::start() else { return };
    let simulator = serve(|service| service.world.rows = 2_000);
    let job = Job::of(&simulator).into_lake(&lake).with_variable("KEYAPI_EXPORT_OUTPUT__PART_ROWS", "100");
    let earlier = job.start_with("--qps 8 --max-in-flight 1");
    until("the earlier one to publish something", || lake.names().iter().any(|name| name.starts_with("data/")));
    let state = job.folder().join("another.state").display().to_string();
    // Where the earlier one commits in just the moment in which the later one takes the bucket over, that one is refused.
    let mut later = job.run_with(&format!("--state {state}"));
    until("the later one to take the bucket over", || {
        let is_refused = later.code == 11;
        if is_refused {
            later = job.run_with(&format!("--state {state}"));
        }
        !is_refused
    });
    assert_eq!(later.code, 0, "{later}");
    let earlier = earlier.wait();
    assert_eq!(earlier.code, 11, "{earlier}");
    assert!(earlier.error().contains("was replaced meanwhile"), "{earlier}");
    holds_exactly_the_truth(&simulator, &job);
    nothing_is_left_over(&lake, &job);
}

/// Writers that begin at once, each with a state of its own, into a bucket that holds nothing: `LAKE_RACES` rounds of 8, else one of 3.
#[test]
fn of_writers_that_begin_at_once_one_wins_and_nothing_of_the_others_is_seen() {
    let rounds: Option<u32> = std::env::var("LAKE_RACES").ok().map(|rounds| rounds.parse().unwrap());
    let writers = if rounds.is_some() { 8 } else { 3 };
    for round in 0..rounds.unwrap_or(1) {
        let Some(lake) = Lake::start() else { return };
        let (simulator, job) = small(|_| {});
        let job = job.into_lake(&lake).with_variable("KEYAPI_EXPORT_OUTPUT__PART_ROWS", "20");
        let state = |writer: u32| format!("--state {}/{writer}.state", job.folder().display());
        let begun: Vec<_> = (0..writers).map(|writer| job.start_with(&state(writer))).collect();
        let mut codes: Vec<i32> = begun.into_iter().map(|writer| writer.wait().code).collect();
        codes.sort_unstable();
        println!("round {round}: {codes:?}");
        // Who begins after another has ended finds everything there.
        assert!(codes[0] == 0 && codes.iter().all(|code| matches!(code, 0 | 11)), "{codes:?}");
        nothing_is_left_over(&lake, &job);
        holds_exactly_the_truth(&simulator, &job);
        let verified = job.verify();
        assert_eq!(verified.code, 0, "{verified}");
    }
}

#[test]
fn shards_are_refused_in_a_bucket_before_anything_is_sent() {
    let (simulator, job) = small(|_| {});
    let is_refused = |refused: &Ended| {
        assert_eq!(refused.code, 2, "{refused}");
        let error = refused.error();
        let told = "is in a bucket, and shards can write into a folder alone";
        assert!(error.contains(told) && error.contains("hint: give the shards a folder"), "{error}");
    };
    is_refused(&job.run_with("--out s3://lake/videos --shard 1/2"));
    assert_eq!(simulator.stats().requests, 0);
    let Some(lake) = Lake::start() else { return };
    is_refused(&job.into_lake(&lake).does_without_state("merge", &[]).unwrap());
}

/// What was written for folders reads and changes a bucket too.
#[test]
fn a_bucket_is_planned_audited_and_reported_like_a_folder() {
    let Some(lake) = Lake::start() else { return };
    let (simulator, job) = small(|_| {});
    let job = job.into_lake(&lake);
    exports_exactly(&simulator, &job);
    let before = simulator.stats().requests;
    let planned = job.plan("");
    assert_eq!((planned.code, simulator.stats().requests), (0, before), "{planned}");
    let page = job.folder().join("page.html");
    let reported = job.does("report", &format!("--report {}", page.display()), &[]).unwrap();
    assert_eq!(reported.code, 0, "{reported}");
    assert!(std::fs::read_to_string(page).unwrap().contains(lake.address()));
    let audited = job.does("audit", &format!("--base-url {} --credits 20", job.base_url()), &[]).unwrap();
    assert_eq!(audited.code, 0, "{audited}");
    nothing_is_left_over(&lake, &job);
    assert_eq!(crate::support::files_below(&job.staging()), Vec::<std::path::PathBuf>::new(), "no copy is left");
}

#[test]
fn an_address_that_cannot_be_used_is_refused_and_told() {
    let (_simulator, job) = small(|_| {});
    for (out, told) in
        [("s3a://lake/x", "`s3a://` is no scheme"), ("s3://", "names no bucket"), ("gs://b/../x", "is no prefix")]
    {
        let refused = job.run_with(&format!("--out {out}"));
        assert_eq!(refused.code, 2, "{refused}");
        let error = refused.error();
        assert!(error.contains(told) && error.contains("hint: ") && error.contains("s3://BUCKET/PREFIX"), "{error}");
    }
    let Some(lake) = Lake::start() else { return };
    let job = job.into_lake(&lake);
    let nowhere = job.run_with("--out s3://nobody-has-this/videos");
    assert_eq!(nowhere.code, 7, "{nowhere}");
    assert!(nowhere.error().contains("hint: look whether the bucket is there"), "{nowhere}");
}
