//! Streams that take nothing: closed, full, without a reader, or with one that does not read. A log is dropped before a run is.

use keyapi_export::simulator::RunningSimulator;

use crate::support::{Ended, Job, holds_exactly_the_truth, is_whole, serve, until};

/// A job whose process is started by a line of a shell, in which `"$@"` stands for it.
fn started_by(simulator: &RunningSimulator, line: &str) -> Job {
    let job = Job::of(simulator);
    let script = job.folder().join("start.sh");
    let pipe = job.folder().join("pipe").display().to_string();
    std::fs::write(&script, line.replace("PIPE", &pipe)).unwrap();
    let command = format!("sh {}", script.display());
    job.under(&command)
}

/// The read end stays open in the process itself, so nobody reads and nobody is gone.
const A_PIPE_THAT_NOBODY_READS: &str = "mkfifo PIPE; exec 9<>PIPE; exec \"$@\" 2>PIPE";

fn small() -> RunningSimulator {
    serve(|service| service.world.rows = 1_500)
}

fn is_done(simulator: &RunningSimulator, job: &Job, ended: &Ended, how: &str) {
    assert_eq!(ended.code, 0, "{how}: {ended}");
    assert_eq!(ended.summary["outcome"], "complete", "{how}");
    holds_exactly_the_truth(simulator, job);
}

#[test]
fn a_run_ends_well_whatever_its_streams_are() {
    let simulator = small();
    for redirection in ["2>/dev/full", ">/dev/full", "2>&-", ">&-", "<&-", "<&- >&- 2>&-", ">/dev/full 2>&1"] {
        let job = started_by(&simulator, &format!("exec \"$@\" {redirection}"));
        is_done(&simulator, &job, &job.run(), redirection);
    }
}

#[test]
fn a_run_goes_on_when_the_reader_of_its_log_is_gone() {
    let simulator = small();
    let job = started_by(&simulator, "mkfifo PIPE; head -n 1 <PIPE >/dev/null & exec \"$@\" 2>PIPE");
    let job = job.with_variable("KEYAPI_EXPORT_LOG", "debug");
    is_done(&simulator, &job, &job.run(), "head -n 1");
}

#[test]
fn a_run_goes_on_when_nobody_reads_what_it_says() {
    let simulator = small();
    for line in [A_PIPE_THAT_NOBODY_READS, "mkfifo PIPE; exec 9<>PIPE; exec \"$@\" >PIPE 2>&1"] {
        let job = started_by(&simulator, line).with_variable("KEYAPI_EXPORT_LOG", "trace");
        is_done(&simulator, &job, &job.run(), line);
    }
}

#[test]
fn a_run_that_nobody_listens_to_ends_when_it_is_told_to() {
    let simulator = serve(|service| service.limits.latency_ms = 20.0);
    let job = started_by(&simulator, A_PIPE_THAT_NOBODY_READS).with_variable("KEYAPI_EXPORT_LOG", "trace");
    let running = job.start();
    until("enough pages to fill the pipe", || simulator.stats().pages > 300);
    running.signal("TERM");
    let ended = running.wait();
    assert_eq!(ended.code, 143, "{ended}");
    assert_eq!(ended.summary["requests"]["possibly_charged"], 0);
    simulator.change(|service| service.limits.latency_ms = 0.0).unwrap();
    assert_eq!(job.run().code, 0);
    holds_exactly_the_truth(&simulator, &job);
    is_whole(&job);
}

fn records(ended: &Ended) -> Vec<serde_json::Value> {
    ended.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn a_log_of_json_ends_with_what_became_of_the_run() {
    let simulator = small();
    let job = Job::of(&simulator);
    let complete = job.run();
    let last: serde_json::Value = serde_json::from_str(complete.stderr.lines().last().unwrap()).unwrap();
    assert_eq!((last["message"].as_str(), last["level"].as_str()), (Some("ended"), Some("info")));
    assert_eq!((last["outcome"].as_str(), last["exit_code"].as_u64()), (Some("complete"), Some(0)));
    assert_eq!(last["rows"], complete.summary["rows"]);
    assert_eq!(last["requests"], complete.summary["requests"]["attempts"]);
}

#[test]
fn a_log_of_json_carries_the_final_error() {
    let simulator = serve(|service| service.contract.token = "another key".to_owned());
    let job = Job::of(&simulator);
    let refused = job.run();
    assert_eq!(refused.code, 6, "{refused}");
    let records = records(&refused);
    let [.., error, last] = records.as_slice() else { panic!("no records: {refused}") };
    assert!(error["message"].as_str().unwrap().contains("refuses"), "{refused}");
    assert!(error["hint"].as_str().unwrap().contains("KEYAPI_TOKEN"), "{refused}");
    assert_eq!(last["outcome"], "refused");
    assert!(refused.error().starts_with("error: the service refuses"), "a person reads it too: {refused}");
    // Where JSON is asked for, every line is an object; and no level silences the end.
    let job = Job::of(&simulator).with("--log-format json").with_variable("KEYAPI_EXPORT_LOG", "off");
    let refused = job.run();
    assert_eq!(self::records(&refused).len(), refused.stderr.lines().count(), "{refused}");
    assert_eq!(self::records(&refused).len(), 2, "{refused}");
}

/// It was found out after everything was bought, and its code replaced the run's own.
#[test]
fn a_summary_that_cannot_be_written_ends_with_2_before_a_request() {
    let simulator = small();
    let job = Job::of(&simulator);
    std::fs::write(job.folder().join("file"), "").unwrap();
    for place in ["file/summary.json", "."] {
        let ended = job.run_with(&format!("--summary {}", job.folder().join(place).display()));
        assert_eq!(ended.code, 2, "{ended}");
        assert!(ended.error().contains("writing the summary to"), "{ended}");
    }
    assert_eq!(simulator.stats().requests, 0);
}

#[test]
fn a_summary_that_cannot_be_written_at_the_end_leaves_the_code_as_it_is() {
    let simulator = serve(|service| service.limits.latency_ms = 10.0);
    let job = Job::of(&simulator);
    let place = job.folder().join("place");
    let running = job.start_with(&format!("--max-credits 40 --summary {}", place.join("summary.json").display()));
    until("the first page", || simulator.stats().pages > 0);
    std::fs::remove_dir_all(&place).unwrap();
    let ended = running.wait();
    assert_eq!(ended.code, 4, "{ended}");
    assert!(ended.stderr.contains("the summary's file could not be written"), "{ended}");
}
