//! The program itself, over HTTP: what it prints, spends, records and writes.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use keyapi_export::recording::Recording;
use keyapi_export::simulator::{
    Access, Bound, FilterName, PastLastPage, RateHeaders, RunningReplay, RunningSimulator, Simulator,
    SimulatorSettings, TieOrder,
};
use serde_json::Value;

use super::worlds::healthy;
use crate::support::{Job, TOKEN, exports_exactly, truth_of, unfiltered};

/// Every name that is promised, but for the filters.
const NAMES: [&str; 10] = [
    "min_bound",
    "max_bound",
    "sort",
    "ties",
    "page_size",
    "past_the_end",
    "last_page",
    "time_unit",
    "page_overlap",
    "rate_limit",
];

fn serve(change: impl FnOnce(&mut SimulatorSettings)) -> RunningSimulator {
    let mut settings = healthy();
    settings.contract.token = TOKEN.to_owned();
    change(&mut settings);
    Simulator::start(settings).unwrap()
}

/// `check` for the whole world of a simulator, as fast as this machine is.
fn check(base_url: &str, flags: &str) -> Output {
    let range = healthy().world.range();
    let (from, to) = (range.start.get().to_string(), range.end.get().to_string());
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyapi-export"));
    command.args(["check", "--from", &from, "--to", &to, "--base-url", base_url]);
    for (flag, value) in [("--region", "US"), ("--qps", "2000")] {
        if !flags.contains(flag) {
            command.args([flag, value]);
        }
    }
    command.args(flags.split_whitespace()).env_clear().env("KEYAPI_TOKEN", TOKEN).output().unwrap()
}

fn json(output: &Output) -> Value {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{}", stderr(output)))
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn verdicts(told: &Value) -> BTreeMap<String, String> {
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let findings = told["properties"].as_array().unwrap().iter();
    findings.map(|finding| (text(finding, "name"), text(finding, "verdict"))).collect()
}

fn replayed(folder: &Path) -> RunningReplay {
    let settings = SimulatorSettings::default();
    Simulator::replay(Recording::read(folder).unwrap(), settings.listen).unwrap()
}

#[test]
fn every_promised_property_is_told_with_its_evidence_and_its_price() {
    let simulator = serve(|service| service.contract.max_bound = Bound::Exclusive);
    let output = check(&simulator.base_url(), "--json");
    let told = json(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(told["requests_spent"], simulator.stats().requests);
    assert!(simulator.stats().requests <= 40);
    let verdicts = verdicts(&told);
    assert!(NAMES.iter().all(|name| verdicts.contains_key(*name)), "{verdicts:?}");
    assert_eq!(verdicts.keys().filter(|name| name.starts_with("filter_")).count(), 7);
    assert_eq!((verdicts["min_bound"].as_str(), verdicts["max_bound"].as_str()), ("inclusive", "exclusive"));
    for finding in told["properties"].as_array().unwrap() {
        let is_known = finding["verdict"] != "unknown";
        assert!(!is_known || !finding["evidence"].as_array().unwrap().is_empty(), "{finding}");
    }
    assert_eq!(told["key"]["verdict"], "accepted");
    assert!(told["latency"]["near_ms"].is_u64() && told["latency"]["deep_page"].is_u64());
    let table = String::from_utf8(check(&simulator.base_url(), "--credits 9").stdout).unwrap();
    assert!(table.contains("max_bound                   unknown"), "{table}");
    assert!(table.contains("9 requests were sent") && table.contains("its credits are spent"), "{table}");
}

#[test]
fn a_recording_gives_the_same_verdicts_and_nothing_away() {
    let simulator = serve(|service| {
        (service.contract.min_bound, service.contract.tie_order) = (Bound::Exclusive, TieOrder::Unmirrored);
        (service.contract.last_page, service.contract.past_last_page) = (50, PastLastPage::RepeatLast);
        service.contract.ignored_filters = vec![FilterName::ProductId];
        (service.faults.server_error, service.faults.reset, service.faults.cut_body) = (0.03, 0.03, 0.03);
    });
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("recording");
    let live = json(&check(&simulator.base_url(), &format!("--json --record {}", recording.display())));
    let replay = replayed(&recording);
    let again = check(&replay.base_url(), "--json");
    let told = json(&again);
    assert_eq!(verdicts(&told), verdicts(&live), "{}", stderr(&again));
    assert_eq!((&told["requests_spent"], &told["key"]["verdict"]), (&live["requests_spent"], &live["key"]["verdict"]));

    let text = std::fs::read_to_string(recording.join("answers.jsonl")).unwrap();
    assert_eq!(text.lines().count() as u64, live["requests_spent"].as_u64().unwrap());
    assert!(!text.contains(TOKEN) && !text.contains("tiktokcdn"));
    let range = simulator.world().range();
    for row in truth_of(simulator.world(), &["US".parse().unwrap()], &unfiltered(), range) {
        assert!(!text.contains(&row.2), "{row:?}");
    }
    // Whoever asks something else is told what was recorded.
    let other = check(&replay.base_url(), "--json --region GB");
    assert_eq!(other.status.code(), Some(6), "{}", stderr(&other));
    assert!(json(&other)["key"]["why"].as_str().unwrap().contains("not in the recording"), "{}", json(&other));
    assert!(stderr(&other).contains("keyapi-export check --region US --from"), "{}", stderr(&other));
}

#[test]
fn the_rate_limit_and_its_headers_are_found_with_credits_of_their_own() {
    let simulator = serve(|service| {
        (service.limits.requests_per_second, service.limits.rate_headers) = (20, RateHeaders::Told);
    });
    let told = json(&check(&simulator.base_url(), "--json --credits 8 --qps auto --rate --rate-credits 150"));
    assert_eq!(verdicts(&told)["rate_limit"], "limited", "{told}");
    let limit = told["rate"]["requests_per_second"].as_f64().unwrap();
    // A slow machine is served less than it may have, and a bucket's savings are no rate.
    assert!((1.0..40.0).contains(&limit), "{limit}");
    assert_eq!(told["rate"]["headers"][0], serde_json::json!(["x-ratelimit-limit", "20"]));
    assert!(told["rate"]["requests"].as_u64().unwrap() <= 150 && told["requests_spent"].as_u64().unwrap() <= 158);
    assert_eq!(told["requests_spent"], simulator.stats().requests);
}

#[test]
fn what_was_written_is_taken_by_a_run_and_loses_nothing() {
    let exclusive = |service: &mut SimulatorSettings| {
        (service.contract.min_bound, service.contract.max_bound) = (Bound::Exclusive, Bound::Exclusive);
        service.contract.last_page = 60;
    };
    let simulator = serve(exclusive);
    let job = Job::of(&simulator);
    let file = job.folder().join("checked.toml");
    let output = check(&serve(exclusive).base_url(), &format!("--write {}", file.display()));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let written = std::fs::read_to_string(&file).unwrap();
    for line in ["[verified]", "min_bound = \"exclusive\"", "max_bound = \"exclusive\"", "last_page = 60"] {
        assert!(written.contains(line), "{line}: {written}");
    }
    let job = job.with(&format!("--config {}", file.display())).with("--anchor-pages 100000");
    let ended = exports_exactly(&simulator, &job);
    assert!(!ended.stderr.contains("[verified]"), "{ended}");
}

/// The facts of another service: a bound that is said to be inclusive and is not, pages that are said to be there and are not.
#[test]
fn wrong_facts_lose_no_row_and_are_told() {
    for (min, max, says) in [
        (Bound::Exclusive, Bound::Exclusive, "min_bound = 'inclusive'\nmax_bound = 'inclusive'\nlast_page = 100000"),
        (Bound::Inclusive, Bound::Inclusive, "min_bound = 'exclusive'\nmax_bound = 'exclusive'\nlast_page = 20"),
    ] {
        let simulator = serve(|service| {
            (service.contract.min_bound, service.contract.max_bound) = (min, max);
            service.contract.last_page = 60;
        });
        let job = Job::of(&simulator);
        let file = job.folder().join("wrong.toml");
        std::fs::write(&file, format!("[verified]\n{says}\nrequests_per_second = 5000.0\n")).unwrap();
        exports_exactly(&simulator, &job.with(&format!("--config {}", file.display())));
    }
}

#[test]
fn a_key_that_may_not_and_one_that_has_nothing_left_end_as_a_run_does() {
    let denied = serve(|service| service.contract.access = Access::Denied);
    let output = check(&denied.base_url(), "--json");
    assert_eq!((output.status.code(), json(&output)["key"]["verdict"].as_str()), (Some(6), Some("refused_403")));
    assert!(denied.stats().requests <= 2);
    let spent = serve(|service| service.limits.credits = Some(5));
    let output = check(&spent.base_url(), "--json");
    assert_eq!((output.status.code(), json(&output)["key"]["verdict"].as_str()), (Some(4), Some("quota_spent")));
    assert_eq!(verdicts(&json(&output))["sort"], "honoured", "what was found out before is told");
}

#[test]
fn what_is_no_recording_is_refused_before_anything_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyapi-export"));
    let output = command.args(["simulate", "--replay"]).arg(folder.path()).env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("about.json") && stderr(&output).contains("check --record"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_simulator_of_the_settings_file_is_checked_like_a_service() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/demo.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyapi-export"));
    command.args(["check", "--json", "--qps", "200", "--credits", "12", "--config"]).arg(file).env_clear();
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(verdicts(&json(&output))["sort"], "honoured");
}
