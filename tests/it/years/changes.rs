//! What a person changes about a job that runs every night: each change is carried out without loss, or refused with the command to type.

use keyapi_export::simulator::{Density, Moment, RunningSimulator};
use keyapi_export::units::{DAY_SECONDS, EpochSeconds};

use super::{range_of, truth};
use crate::support::{
    Ended, Found, Job, holds_exactly_the_truth, identities, is_whole, now, parquet_files, region, same, serve,
    table_is_in_step,
};

fn serve_weeks_until_now() -> RunningSimulator {
    let today = EpochSeconds::new(now()).day_start();
    serve(|service| {
        service.world.regions = ["US", "GB"].map(region).to_vec();
        service.world.from = Moment(today.shifted(-16 * DAY_SECONDS));
        service.world.to = Moment(today.shifted(2 * DAY_SECONDS));
        service.world.rows = 600;
        service.world.density = Density::Uniform;
    })
}

/// The command between backticks that begins so.
fn command_of(ended: &Ended, beginning: &str) -> String {
    let found = ended.stderr.split('`').find(|words| words.starts_with(beginning));
    found.unwrap_or_else(|| panic!("no command is told that begins with {beginning}: {ended}")).to_owned()
}

/// The output holds these regions' rows of what the run was asked, and is sound.
fn carried_out(simulator: &RunningSimulator, job: &Job, flags: &str, codes: &[&str]) -> Vec<Found> {
    let ended = job.run_with(flags);
    assert_eq!(ended.code, 0, "{flags}: {ended}");
    let rows: Vec<Found> = codes.iter().flat_map(|code| truth(simulator, code, range_of(&ended))).collect();
    same(&identities(&job.out()), &rows);
    table_is_in_step(&job.out());
    is_whole(job);
    rows
}

/// Nothing is asked, and readers see what they saw.
fn refused(simulator: &RunningSimulator, job: &Job, flags: &str, rows: &[Found]) -> Ended {
    let before = simulator.stats().requests;
    let ended = job.run_with(flags);
    assert_eq!((ended.code, simulator.stats().requests), (2, before), "{flags}: {ended}");
    same(&identities(&job.out()), rows);
    is_whole(job);
    ended
}

fn each_change_is_carried_out_or_refused_with_the_command_to_type(simulator: &RunningSimulator, job: Job) {
    let job = job.with_range_text("-7d", "now-1d").with("--max-in-flight 2");
    carried_out(simulator, &job, "--region US", &["US"]);
    carried_out(simulator, &job, "--region US,GB", &["GB", "US"]);
    let rows = carried_out(simulator, &job, "--region US,GB --from -14d", &["GB", "US"]);

    let ended = refused(simulator, &job, "--region US,GB --from -14d --partition month", &rows);
    let typed = job.types(&command_of(&ended, "keyapi-export rebuild"));
    assert_eq!(typed.code, 0, "{typed}");
    same(&identities(&job.out()), &rows);
    let month = "--region US,GB --from -14d --partition month";
    carried_out(simulator, &job, month, &["GB", "US"]);

    let ended = refused(simulator, &job, &format!("{month} --is-ad true"), &rows);
    let elsewhere = job.run_with(&format!("{month} --is-ad true {}", command_of(&ended, "--out")));
    assert_eq!(elsewhere.code, 0, "{elsewhere}");
    assert!(elsewhere.summary["rows"].as_u64().unwrap() < rows.len() as u64, "{elsewhere}");

    // A shorter range of fewer regions takes nothing away.
    let ended = job.run_with("--region US --from -3d --partition month");
    assert_eq!(ended.code, 0, "{ended}");
    same(&identities(&job.out()), &rows);
    is_whole(&job);
}

#[test]
fn each_change_of_a_nightly_job_into_a_folder_is_carried_out_or_refused() {
    let simulator = serve_weeks_until_now();
    each_change_is_carried_out_or_refused_with_the_command_to_type(&simulator, Job::of(&simulator));
}

#[cfg(feature = "cloud")]
#[test]
fn each_change_of_a_nightly_job_into_a_table_in_a_bucket_is_carried_out_or_refused() {
    let Some(lake) = crate::support::Lake::start() else { return };
    let simulator = serve_weeks_until_now();
    let job = Job::of(&simulator).into_lake(&lake).with("--table delta");
    each_change_is_carried_out_or_refused_with_the_command_to_type(&simulator, job);
}

#[test]
fn many_tiny_files_are_told_once_with_the_command_that_makes_fewer() {
    let simulator = serve(|service| {
        service.world.rows = 300;
        service.world.to = "2025-12-12".parse().unwrap();
    });
    let job = Job::of(&simulator);
    let tells = |ended: &Ended| {
        assert_eq!(ended.code, 0, "{ended}");
        ended.stderr.contains("by day files are small for readers")
    };
    let first = job.run();
    let former = parquet_files(&job.out()).len();
    assert!(tells(&first) && former >= 8, "{first}");
    assert!(!tells(&job.run_with("--fresh")));
    let typed = job.types(&command_of(&first, "keyapi-export rebuild"));
    assert_eq!((typed.code, parquet_files(&job.out()).len()), (0, 1), "{typed}");
    let ended = job.run_with("--partition none --fresh");
    assert!(!tells(&ended), "{ended}");
    holds_exactly_the_truth(&simulator, &job);
}
