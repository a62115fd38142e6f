//! What a run tells Prometheus, and whom it pings: through failures, kills and successes, and without ever being changed by it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use keyapi_export::metrics::names;
use keyapi_export::simulator::RunningSimulator;

use crate::support::{Job, Parrot, TOKEN, files_below, holds_exactly_the_truth, is_whole, region, serve, until};

/// What must be in no log, file or list.
const HOOK_TOKEN: &str = "hooktokentellnobody";

fn job(simulator: &RunningSimulator) -> Job {
    let job = Job::of(simulator);
    let file = file_of(&job);
    job.with(&format!("--metrics-file {}", file.display()))
}

fn file_of(job: &Job) -> PathBuf {
    job.folder().join("metrics/export.prom")
}

/// A file's series, without the label that all of them have.
struct Told(BTreeMap<String, f64>);

impl Told {
    fn by(job: &Job) -> Self {
        Self::of(&std::fs::read_to_string(file_of(job)).unwrap(), job)
    }

    fn of(text: &str, job: &Job) -> Self {
        let output = std::fs::canonicalize(job.folder()).unwrap().join("out");
        let label = format!("output=\"{}\"", output.display());
        let series = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(series.contains(&label), "{line}");
            let series = series.replace(&format!("{label},"), "").replace(&format!("{{{label}}}"), "");
            (series.trim_start_matches("keyapi_export_").to_owned(), value.parse().unwrap())
        });
        Self(series.collect())
    }

    fn get(&self, series: &str) -> Option<f64> {
        self.0.get(series).copied()
    }

    #[track_caller]
    fn is(&self, series: &str, value: impl Into<f64>) {
        assert_eq!(self.get(series), Some(value.into()), "{series} of {:#?}", self.0);
    }

    fn sum(&self, family: &str) -> f64 {
        let own = self.0.iter().filter(|(series, _)| series.starts_with(&format!("{family}{{")));
        own.map(|(_, value)| value).sum()
    }

    fn ends(&self, outcome: &str) -> Option<f64> {
        self.get(&format!("ends_total{{outcome=\"{outcome}\"}}"))
    }
}

/// promtool, where this machine has it.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn promtool(arguments: &[&str], input: &str) -> Option<(bool, String)> {
    let spawned = Command::new("promtool")
        .args(arguments)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn();
    let Ok(mut child) = spawned else {
        eprintln!("skipped: promtool is not there");
        return None;
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Some((output.status.success(), told))
}

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn a_complete_run_tells_what_it_asked_and_what_it_has() {
    let simulator = serve(|service| service.world.rows = 600);
    let job = job(&simulator).with("--max-credits 5000");
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    let told = Told::by(&job);
    told.is("running", 0);
    told.is("last_exit_code", 0);
    told.is("starts_total", 1);
    told.is("run_settled_ratio", 1);
    told.is("run_max_credits", 5_000);
    let requests = u32::try_from(simulator.stats().requests).unwrap();
    told.is("run_spent_credits", requests);
    assert_eq!(told.sum("requests_total"), f64::from(requests));
    assert_eq!(told.get("last_published_rows"), ended.summary["rows"].as_f64());
    assert_eq!(told.get("last_success_range_end_timestamp_seconds"), ended.summary["range"]["end"].as_f64());
    let newest = ended.summary["newest"]["US"].as_f64();
    assert!(newest.is_some() && newest < ended.summary["range"]["end"].as_f64(), "{ended}");
    assert_eq!(told.get("newest_row_timestamp_seconds{region=\"US\"}"), newest);
    assert_eq!(told.get("last_success_timestamp_seconds"), told.get("last_end_timestamp_seconds"));
    assert!(told.get("held_seconds").is_none(), "nobody waits after the end");
    let left: Vec<_> = files_below(&job.folder().join("metrics"));
    assert!(left.iter().all(|file| file.ends_with("export.prom") || file.ends_with(".export.prom.lock")), "{left:?}");

    // Nothing is left to do: a success too, and nothing was asked for it.
    assert_eq!(job.run().code, 0);
    let again = Told::by(&job);
    again.is("starts_total", 2);
    assert_eq!(again.ends("complete"), Some(2.0));
    assert_eq!(again.sum("requests_total"), f64::from(requests));
    assert!(again.get("last_success_timestamp_seconds") >= told.get("last_end_timestamp_seconds"));
    assert_eq!(again.get("newest_row_timestamp_seconds{region=\"US\"}"), newest);
}

#[test]
fn a_run_that_fails_is_killed_goes_on_and_succeeds_tells_exactly_that() {
    let simulator = serve(|service| {
        service.faults.server_error = 1.0;
        service.world.rows = 3_000;
    });
    let job = job(&simulator).with("--give-up-after 1s");
    assert_eq!(job.run().code, 5);
    let failed = Told::by(&job);
    failed.is("running", 0);
    failed.is("last_exit_code", 5);
    failed.is("last_success_timestamp_seconds", 0);
    assert_eq!(failed.ends("service_unwell"), Some(1.0));
    assert!(failed.get("requests_total{outcome=\"failed\"}") > Some(0.0));

    simulator.change(|service| (service.faults.server_error, service.limits.latency_ms) = (0.0, 10.0)).unwrap();
    let running = job.start();
    until("some pages", || simulator.stats().pages > 60);
    let at_work = Told::by(&job);
    at_work.is("running", 1);
    at_work.is("last_exit_code", 5);
    assert!(running.kill(), "the run was over");
    let killed = Told::by(&job);
    killed.is("running", 1);
    killed.is("starts_total", 2);

    simulator.change(|service| service.limits.latency_ms = 0.0).unwrap();
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    let done = Told::by(&job);
    done.is("running", 0);
    done.is("last_exit_code", 0);
    done.is("starts_total", 3);
    let ends = ["service_unwell", "killed", "complete", "bug"].map(|outcome| done.ends(outcome));
    assert_eq!(ends, [Some(1.0), Some(1.0), Some(1.0), Some(0.0)]);
    // The counter lost nothing that the ledger knows, whatever the file had not told of when the process was killed.
    assert_eq!(Some(done.sum("requests_total")), ended.summary["requests"]["attempts"].as_f64());
    assert_eq!(done.sum("run_requests"), done.sum("requests_total"));
    let possibly = ended.summary["requests"]["possibly_charged"].as_f64();
    assert_eq!(done.get("run_possibly_charged_credits"), possibly);
    holds_exactly_the_truth(&simulator, &job);
    is_whole(&job);
    if let Some((accepted, words)) = promtool(&["check", "metrics"], &std::fs::read_to_string(file_of(&job)).unwrap()) {
        assert!(accepted && words.is_empty(), "{words}");
    }
}

#[test]
fn the_last_success_is_kept_over_failures_of_every_kind() {
    let simulator = serve(|service| service.world.rows = 600);
    let job = job(&simulator);
    assert_eq!(job.run().code, 0);
    let success = Told::by(&job).get("last_success_timestamp_seconds");
    assert!(success > Some(1_700_000_000.0));
    simulator.change(|service| service.contract.token = "another key".to_owned()).unwrap();
    let other_range = "--to 2025-12-03";
    let failures = [
        (job.run_with(&format!("{other_range} --reread all")), 6, "refused"),
        (job.run_with("--from 2037-01-01 --to 2038-01-01"), 2, "usage"),
        (job.run_with(&format!("{other_range} --reread all --base-url http://192.0.2.1:9")), 2, "usage"),
    ];
    for (ended, code, _) in &failures {
        assert_eq!(ended.code, *code, "{ended}");
    }
    let told = Told::by(&job);
    assert_eq!(told.get("last_success_timestamp_seconds"), success);
    assert_eq!(["refused", "complete"].map(|outcome| told.ends(outcome)), [Some(1.0), Some(1.0)]);
    told.is("last_exit_code", 2);
    told.is("starts_total", 3);
    // The run that was refused has published nothing; those after it could not say what they came to.
    told.is("last_published_rows", 0);
}

#[test]
fn an_end_by_a_signal_is_told_with_its_code() {
    let simulator = serve(|service| service.limits.latency_ms = 10.0);
    let job = job(&simulator);
    let running = job.start();
    until("some pages", || simulator.stats().pages > 30);
    running.signal("TERM");
    assert_eq!(running.wait().code, 143);
    Told::by(&job).is("last_exit_code", 143);

    let pages = simulator.stats().pages;
    let running = job.start();
    until("some pages more", || simulator.stats().pages > pages + 30);
    simulator.change(|service| service.limits.latency_ms = 60_000.0).unwrap();
    let asked = simulator.stats().requests;
    until("a request that is not answered", || simulator.stats().requests > asked);
    running.signal("TERM");
    until("the word of the first signal", || running.told("a second signal ends at once"));
    running.signal("INT");
    assert_eq!(running.wait().code, 130);
    let told = Told::by(&job);
    told.is("running", 0);
    told.is("last_exit_code", 130);
    assert_eq!(
        ["terminated", "interrupted", "killed"].map(|outcome| told.ends(outcome)),
        [Some(1.0), Some(1.0), Some(0.0)]
    );
}

#[test]
fn a_start_beside_one_at_work_leaves_the_file_to_it() {
    let simulator = serve(|service| service.limits.latency_ms = 10.0);
    let job = job(&simulator);
    let running = job.start();
    until("some pages", || simulator.stats().pages > 30);
    let second = job.run();
    assert_eq!(second.code, 11, "{second}");
    assert!(second.stderr.contains("another start is at work and writes the metrics file"), "{second}");
    let told = Told::by(&job);
    told.is("running", 1);
    told.is("starts_total", 1);
    assert_eq!(running.wait().code, 0);
    let told = Told::by(&job);
    told.is("starts_total", 1);
    told.is("last_exit_code", 0);
}

#[cfg(unix)]
#[test]
fn the_file_is_for_everybody_whatever_the_umask_and_keeps_a_mode_that_somebody_gave_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let simulator = serve(|service| service.world.rows = 100);
    let job = job(&simulator);
    let script = job.folder().join("for_me_alone.sh");
    std::fs::write(&script, "umask 0077; exec \"$@\"").unwrap();
    let job = job.under(&format!("/bin/sh {}", script.display()));
    let mode = |job: &Job| std::fs::metadata(file_of(job)).unwrap().permissions().mode() & 0o777;
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    assert_eq!(mode(&job), 0o644);
    std::fs::set_permissions(file_of(&job), std::fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(job.run().code, 0);
    assert_eq!(mode(&job), 0o640);
}

#[test]
fn a_file_that_cannot_be_written_ends_the_run_before_it_asks() {
    let simulator = serve(|_| {});
    let job = Job::of(&simulator);
    std::fs::write(job.folder().join("taken"), "").unwrap();
    let places = [
        job.folder().display().to_string(),
        format!("{}/taken/x.prom", job.folder().display()),
        "/dev/null".to_owned(),
    ];
    for place in places {
        let ended = job.run_with(&format!("--metrics-file {place}"));
        assert_eq!(ended.code, 2, "{ended}");
        let error = ended.error();
        assert!(error.contains(&format!("writing the metrics to {place}: ")), "{error}");
        assert!(error.contains("--metrics-file; nothing was sent"), "{error}");
        assert!(!ended.stderr.contains("the metrics file could not be written"), "told twice: {ended}");
    }
    assert_eq!(simulator.stats().requests, 0);
}

/// The journal was refused as the metrics' file ("nothing was sent or written"), and written over all the same.
#[test]
fn a_file_that_was_refused_is_not_written_at_the_end_either() {
    let simulator = serve(|service| service.world.rows = 600);
    let job = Job::of(&simulator);
    assert_eq!(job.run().code, 0);
    let part = files_below(&job.out().join("data")).into_iter().find(|file| file.extension().is_some()).unwrap();
    let journal = job.state().join("journal.sqlite");
    let key = job.folder().join("key");
    std::fs::write(&key, TOKEN).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let link = job.folder().join("link");
    std::os::unix::fs::symlink(&key, &link).unwrap();
    let requests = simulator.stats().requests;
    for own in [&journal, &job.out().join("_manifest.json"), &part, &key, &link] {
        let before = std::fs::read(own).unwrap();
        for flags in ["", "--shard 9/4 ", "--max-in-flight 2 --region DE "] {
            let flags = format!("{flags}--token-file {} --metrics-file {}", key.display(), own.display());
            let ended = job.run_with(&flags);
            assert_eq!(ended.code, 2, "{ended}");
            assert!(std::fs::read(own).unwrap() == before, "{} is another: {ended}", own.display());
        }
    }
    assert_eq!(simulator.stats().requests, requests);
    assert_eq!(job.run().code, 0);
    is_whole(&job);
}

/// The answer to one request, whole.
fn asked(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "{request} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_run_at_work_can_be_scraped_and_serves_nothing_else() {
    let simulator = serve(|service| service.limits.latency_ms = 20.0);
    let job = Job::of(&simulator).with("--metrics-listen 127.0.0.1:0");
    let running = job.start();
    until("some pages", || simulator.stats().pages > 30);
    let log = std::fs::read_to_string(job.folder().join("stderr.0")).unwrap();
    let served = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut served = served.filter(|line| line["message"] == "metrics are served");
    let address = served.next().unwrap()["address"].as_str().unwrap().to_owned();
    let answer = asked(&address, "GET /metrics");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    let told = Told::of(body, &job);
    told.is("running", 1);
    assert!(told.get("run_requests{outcome=\"answered\"}") > Some(0.0), "{body}");
    assert!(asked(&address, "GET /").starts_with("HTTP/1.1 404 "));
    assert!(asked(&address, "GET /debug/pprof").starts_with("HTTP/1.1 404 "));
    assert!(asked(&address, "POST /metrics").starts_with("HTTP/1.1 405 "));
    // Whoever holds its connections keeps nobody but other scrapes waiting.
    let idle: Vec<_> = (0..40).filter_map(|_| TcpStream::connect(&address).ok()).collect();
    simulator.change(|service| service.limits.latency_ms = 0.0).unwrap();
    let ended = running.wait();
    assert_eq!(ended.code, 0, "{ended}");
    drop(idle);
    if let Some((accepted, words)) = promtool(&["check", "metrics"], body) {
        assert!(accepted && words.is_empty(), "{words}");
    }
}

#[test]
fn an_address_in_use_ends_the_run_before_it_asks() {
    let simulator = serve(|_| {});
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let job = job(&simulator);
    let ended = job.run_with(&format!("--metrics-listen {address}"));
    assert_eq!(ended.code, 2, "{ended}");
    insta::assert_snapshot!(ended.error().replace(&address.to_string(), "127.0.0.1:PORT"));
    assert_eq!(simulator.stats().requests, 0);
    // Whoever reads the file hears of it.
    Told::by(&job).is("last_exit_code", 2);
    let not_one = job.run_with("--metrics-listen :9464");
    assert_eq!(not_one.code, 2);
    assert!(not_one.stderr.contains("write ADDRESS:PORT, such as 127.0.0.1:9464"), "{not_one}");
}

/// Whoever is pinged, and the request lines that came.
struct Hook {
    parrot: Parrot,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Hook {
    fn answering(answer: &'static str) -> Self {
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let heard = Arc::clone(&asked);
        let parrot = Parrot::start(move |request| {
            assert!(request.key.is_empty(), "the key was sent to somebody else");
            heard.lock().unwrap().push(request.head[0].clone());
            vec![answer.as_bytes().to_vec()]
        });
        Self { parrot, asked }
    }

    fn well() -> Self {
        Self::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nOK")
    }

    /// The job with all three addresses.
    fn on(&self, job: Job) -> Job {
        self.at("start", self.at("success", self.at("failure", job)))
    }

    fn at(&self, when: &str, job: Job) -> Job {
        let url = format!("{}/{HOOK_TOKEN}/{when}/{{exit_code}}?token={HOOK_TOKEN}", self.parrot.base_url());
        job.with_variable(&format!("KEYAPI_EXPORT_NOTIFY__{}", when.to_uppercase()), &url)
    }

    /// What was pinged since the last look, such as `failure/4`.
    fn heard(&self) -> Vec<String> {
        let lines = std::mem::take(&mut *self.asked.lock().unwrap());
        let told = |line: &String| {
            let path = line.strip_prefix(&format!("GET /{HOOK_TOKEN}/")).unwrap_or_else(|| panic!("{line}"));
            path.split('?').next().unwrap().to_owned()
        };
        lines.iter().map(told).collect()
    }
}

/// Neither stream nor any file below the job's folder holds the token of an address.
fn is_silent(job: &Job) {
    for file in files_below(job.folder()) {
        let bytes = std::fs::read(&file).unwrap();
        for secret in [HOOK_TOKEN, TOKEN] {
            let tells = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!tells, "{} tells a token", file.display());
        }
    }
}

#[test]
fn a_beginning_and_an_end_are_pinged_once_each_and_no_token_is_told() {
    let simulator = serve(|service| service.world.rows = 600);
    let hook = Hook::well();
    let loudest = "trace,hyper=trace,hyper_util=trace,reqwest=trace";
    let job = hook.on(job(&simulator)).with_variable("KEYAPI_EXPORT_LOG", loudest);
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    assert_eq!(hook.heard(), ["start/0", "success/0"]);
    assert_eq!(job.run().code, 0);
    assert_eq!(hook.heard(), ["start/0", "success/0"], "also where nothing is left to do");
    let spent = job.run_with("--to 2025-12-03 --reread all --max-credits 2");
    assert_eq!(spent.code, 4, "{spent}");
    assert_eq!(hook.heard(), ["start/0", "failure/4"]);
    let unmeant = job.run_with("--from 2037-01-01 --to 2038-01-01");
    assert_eq!(unmeant.code, 2);
    assert_eq!(hook.heard(), ["start/0", "failure/2"]);
    is_silent(&job);
}

#[test]
fn a_ping_that_is_refused_redirected_or_failed_is_a_warning_and_nothing_else() {
    let simulator = serve(|service| service.world.rows = 600);
    let moved =
        Hook::answering("HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let gone = Hook::answering("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let job = moved.at("start", gone.at("success", job(&simulator)));
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    assert_eq!((moved.heard(), gone.heard()), (vec!["start/0".to_owned()], vec!["success/0".to_owned()]), "once each");
    for (setting, status) in [("notify.start", "302"), ("notify.success", "404")] {
        let warned = ended.stderr.lines().filter(|line| line.contains(setting) && line.contains(status));
        assert_eq!(warned.count(), 1, "{ended}");
    }
    // Nobody listens any more.
    drop(gone);
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    assert!(ended.stderr.contains("a notification was not delivered"), "{ended}");
    Told::by(&job).is("last_exit_code", 0);
    is_silent(&job);
}

#[test]
fn a_ping_that_hangs_ends_by_itself() {
    let simulator = serve(|service| service.world.rows = 600);
    // It takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/{HOOK_TOKEN}", silent.local_addr().unwrap());
    let job = job(&simulator).with_variable("KEYAPI_EXPORT_NOTIFY__SUCCESS", &url);
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    assert!(ended.stderr.contains("no complete answer within 10 s"), "{ended}");
    is_silent(&job);
}

#[test]
fn an_address_that_cannot_be_pinged_is_refused_without_a_word_of_it() {
    let simulator = serve(|_| {});
    for wrong in [HOOK_TOKEN.to_owned(), format!("ftp://h/{HOOK_TOKEN}"), format!("https:{HOOK_TOKEN}/ x:y@[")] {
        let job = Job::of(&simulator).with_variable("KEYAPI_EXPORT_NOTIFY__FAILURE", &wrong);
        let ended = job.run();
        assert_eq!(ended.code, 2, "{wrong}: {ended}");
        assert!(ended.error().contains("`notify.failure` from the environment variable"), "{ended}");
        is_silent(&job);
    }
    assert_eq!(simulator.stats().requests, 0);
}

/// The words of a text that are names of metrics.
fn metrics_named_in(text: &str) -> Vec<&str> {
    let is_of_name = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    text.split(|letter| !is_of_name(letter)).filter(|word| word.starts_with("keyapi_export_")).collect()
}

#[test]
fn the_alerts_and_their_tests_speak_of_metrics_that_are_told() {
    let known: Vec<&str> = names().collect();
    for file in ["deploy/prometheus/alerts.yaml", "deploy/prometheus/alerts.test.yaml"] {
        let text = std::fs::read_to_string(shipped(file)).unwrap();
        let named = metrics_named_in(&text);
        assert!(named.len() > 10, "{file}");
        let unknown: Vec<_> = named.iter().filter(|name| !known.contains(name)).collect();
        assert!(unknown.is_empty(), "{file} speaks of {unknown:?}");
    }
}

#[test]
fn the_docs_list_every_metric() {
    let text = std::fs::read_to_string(shipped("docs/operations.md")).unwrap();
    let rows: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("| `keyapi_export_")).collect();
    let listed: Vec<String> =
        rows.iter().map(|row| format!("keyapi_export_{}", row.split(['`', '{']).next().unwrap())).collect();
    let known: Vec<&str> = names().collect();
    assert_eq!(listed, known);
}

#[test]
fn prometheus_accepts_the_alerts_and_they_fire_as_they_should() {
    let (alerts, tests) = (shipped("deploy/prometheus/alerts.yaml"), shipped("deploy/prometheus/alerts.test.yaml"));
    let recipe = shipped("deploy/prometheus/prometheus.yaml");
    for (what, file) in [("check", ("rules", &alerts)), ("test", ("rules", &tests)), ("check", ("config", &recipe))] {
        let arguments = [what, file.0, file.1.to_str().unwrap()];
        let Some((accepted, words)) = promtool(&arguments, "") else { return };
        assert!(accepted, "{words}");
    }
}

#[test]
fn every_region_is_told_of_by_its_code() {
    let simulator = serve(|service| {
        service.world.rows = 400;
        service.world.regions = ["US", "GB"].map(region).to_vec();
    });
    let job = job(&simulator).with_regions(&["US", "GB"]);
    assert_eq!(job.run().code, 0);
    let told = Told::by(&job);
    for code in ["US", "GB"] {
        assert!(told.get(&format!("newest_row_timestamp_seconds{{region=\"{code}\"}}")).is_some(), "{code}");
    }
}
