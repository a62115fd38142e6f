//! `--error-format json`: each command that does not end with 0 says why in one JSON object, the last line of stderr.

use std::fs;
use std::process::Command;

use keyapi_export::simulator::Access;
use serde_json::Value;

use crate::support::{Ended, Job, parquet_files, serve, until};

const VARIABLE: &str = "KEYAPI_EXPORT_REPORT__ERROR_FORMAT";

/// The last line of stderr, which holds the code that the process ended with, and is the only one that tells an error.
fn object(code: i32, stderr: &str) -> Value {
    let last = stderr.lines().last().unwrap_or_else(|| panic!("nothing was said"));
    let told: Value = serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    assert_eq!(told["exit_code"], code, "{stderr}");
    assert!(told["error"].as_str().is_some_and(|error| !error.is_empty()), "{stderr}");
    assert!(!told["exit_name"].as_str().unwrap().is_empty() && told.get("hint").is_some(), "{stderr}");
    assert_eq!((&told["message"], told["time"].is_string()), (&told["error"], true), "{stderr}");
    assert!(!stderr.contains("\nhint: ") && !stderr.starts_with("error: "), "{stderr}");
    assert_eq!(stderr.matches("\"error\":").count(), 1, "it is told once: {stderr}");
    told
}

fn of(ended: &Ended) -> Value {
    object(ended.code, &ended.stderr)
}

/// A call of the program with nothing of this machine's environment that could change what it says.
fn called(arguments: &str, variables: &[(&str, &str)]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyapi-export"));
    command.args(arguments.split_whitespace());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("KEYAPI_")) {
        command.env_remove(name);
    }
    let output = command.envs(variables.iter().copied()).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_call_that_cannot_be_meant_is_told_as_an_object() {
    let calls = [
        "--error-format json verfy",
        "--error-format=json",
        "run --error-format json --resume",
        "status --error-format json --watch 0s",
        "verify --error-format json --log-format loud",
        "simulate --error-format json --port x",
        "man --error-format json nothing",
        "run --error-format json --max-in-flight 0",
        "status --error-format json --config none.toml",
    ];
    let told = calls.map(|call| {
        let (code, stderr) = called(call, &[]);
        assert_eq!(code, 2, "{call}: {stderr}");
        let told = object(code, &stderr);
        assert_eq!(told["exit_name"], "usage", "{call}");
        let hint = told["hint"].as_str().unwrap_or_else(|| panic!("{call}: no hint: {stderr}"));
        format!("{call}\n  error  {}\n  hint   {hint}", told["error"].as_str().unwrap())
    });
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn the_variable_says_the_same_as_the_flag_and_the_flag_wins() {
    let (code, stderr) = called("status --nonsense", &[(VARIABLE, "json")]);
    assert_eq!(object(code, &stderr)["exit_name"], "usage");
    let (code, stderr) = called("status --nonsense --error-format text", &[(VARIABLE, "json")]);
    assert!(code == 2 && stderr.starts_with("error: "), "{stderr}");
    let (code, stderr) = called("status --error-format yaml", &[]);
    assert!(code == 2 && stderr.starts_with("error: "), "{stderr}");
    assert_eq!(called("schema --error-format json", &[]), (0, String::new()));
}

#[test]
fn the_file_says_so_too_once_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("job.toml");
    fs::write(&file, "[report]\nerror_format = \"json\"\n").unwrap();
    let (code, stderr) = called(&format!("status --config {0} --out {0}.none", file.display()), &[]);
    assert_eq!((code, object(code, &stderr)["exit_name"].as_str()), (2, Some("usage")));
}

#[test]
fn the_ends_of_a_run_are_told_as_objects() {
    let simulator = serve(|service| service.odd.garbage = 0.02);
    let job = Job::of(&simulator).with("--error-format json");
    let budget = job.run_with("--max-credits 20");
    let told = of(&budget);
    assert_eq!((budget.code, told["exit_name"].as_str()), (4, Some("budget_reached")), "{budget}");
    assert_eq!(told["hint"], budget.summary["next"], "{budget}");
    let incomplete = job.run();
    assert_eq!((incomplete.code, of(&incomplete)["exit_name"].as_str()), (3, Some("incomplete")), "{incomplete}");
    let other = job.run_with("--is-ad true");
    assert_eq!((other.code, of(&other)["exit_name"].as_str()), (2, Some("usage")), "{other}");
    assert!(of(&other)["hint"].as_str().unwrap().contains("--out"), "{other}");
}

#[test]
fn refusals_interruptions_and_locks_are_told_as_objects() {
    let denied = serve(|service| service.contract.access = Access::Denied);
    for flags in ["--error-format json --log-format text", "--error-format json --log-format json"] {
        let refused = Job::of(&denied).with(flags).run();
        assert_eq!((refused.code, of(&refused)["exit_name"].as_str()), (6, Some("refused")), "{refused}");
    }
    let simulator = serve(|service| service.limits.latency_ms = 100.0);
    let job = Job::of(&simulator).with("--error-format json");
    let running = job.start();
    until("the first page", || simulator.stats().pages > 0);
    let locked = job.run();
    assert_eq!((locked.code, of(&locked)["exit_name"].as_str()), (11, Some("locked")), "{locked}");
    running.signal("TERM");
    let ended = running.wait();
    assert_eq!((ended.code, of(&ended)["exit_name"].as_str()), (143, Some("terminated")), "{ended}");
}

#[test]
fn what_status_and_verify_find_is_told_as_an_object() {
    let simulator = serve(|_| {});
    let job = Job::of(&simulator);
    let nothing = job.call("status --json --error-format json").wait();
    assert_eq!((nothing.code, of(&nothing)["exit_name"].as_str()), (2, Some("usage")), "{nothing}");
    let nothing = job.call("verify --error-format json").wait();
    assert_eq!((nothing.code, of(&nothing)["exit_name"].as_str()), (2, Some("usage")), "{nothing}");
    assert_eq!(job.run().code, 0);
    let sound = job.call("verify --error-format json").wait();
    assert_eq!((sound.code, sound.stderr.as_str()), (0, ""), "{sound}");
    fs::remove_file(&parquet_files(&job.out())[0]).unwrap();
    let damaged = job.call("verify --json --error-format json").wait();
    let told = of(&damaged);
    assert_eq!((damaged.code, told["exit_name"].as_str()), (7, Some("local_damage")), "{damaged}");
    assert!(told["error"].as_str().unwrap().contains("damaged") && told["hint"].is_string(), "{damaged}");
}

/// A log of JSON was ended by two lines of plain text where the command line or the settings could not be read.
#[test]
fn a_json_log_tells_the_error_and_the_outcome_also_where_nothing_else_could_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("job.toml");
    fs::write(&file, "[pace]\nqsp = 1\n").unwrap();
    let unknown_key = format!("status --log-format=json --config {}", file.display());
    let variable = "KEYAPI_EXPORT_REPORT__LOG_FORMAT";
    for (call, variables) in [
        ("verfy --log-format json", vec![]),
        ("run --log-format json --max-in-flight 0", vec![]),
        (unknown_key.as_str(), vec![]),
        ("status --nonsense", vec![(variable, "json")]),
        ("run --region US", vec![(variable, "json"), ("KEYAPI_EXPORT_PACE__QSP", "1")]),
    ] {
        let (code, stderr) = called(call, &variables);
        assert_eq!(code, 2, "{call}: {stderr}");
        let records: Vec<Value> = stderr
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{call}: {stderr}")))
            .collect();
        let [error, ended] = records.as_slice() else { panic!("{call}: {stderr}") };
        assert!(error["exit_code"] == 2 && error["hint"].is_string() && error["level"] == "error", "{call}: {stderr}");
        assert!(
            ended["message"] == "ended" && ended["outcome"] == "usage" && ended["exit_code"] == 2,
            "{call}: {stderr}"
        );
    }
    let (code, stderr) = called("verfy --log-format json --error-format json", &[]);
    assert_eq!((code, stderr.lines().count()), (2, 2), "{stderr}");
    object(code, &stderr);
    let (_, stderr) = called("verfy --log-format text", &[(variable, "json")]);
    assert!(stderr.starts_with("error: "), "{stderr}");
}
