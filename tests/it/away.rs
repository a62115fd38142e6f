//! A state in a bucket, as a person meets it: machines that are lost with their disks, two starts at once, and one that is cut off.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use keyapi_export::failpoint::CrashStep;
use keyapi_export::simulator::{Density, RunningSimulator};

use crate::support::{
    Job, Lake, asks_nothing_more, exports_exactly, holds_exactly_the_truth, is_whole, serve, small, until,
};

/// Requests on their way at once.
const MAX_IN_FLIGHT: u64 = 8;
/// Requests that the bucket may not know of.
const AT_RISK: u64 = 60;
/// How often the lease is renewed.
const LEASE: &str = "700ms";

/// 600 pages, slow enough that a test can aim.
fn serve_slowly() -> RunningSimulator {
    serve(|service| {
        service.world.rows = 6_000;
        service.world.density = Density::Bursty;
        (service.limits.latency_ms, service.limits.latency_p99_factor) = (4.0, 4.0);
    })
}

/// A job whose state is in the bucket, and whose machine keeps nothing.
struct Away {
    job: Job,
    state: Lake,
}

impl Away {
    fn of(job: Job, lake: &Lake) -> Self {
        let state = lake.beside(".state");
        let job = job
            .into_lake(lake)
            .with(&format!("--max-in-flight {MAX_IN_FLIGHT}"))
            .with(&format!("--state {}", state.address()))
            .with_variable("KEYAPI_EXPORT_STATE__REQUESTS_AT_RISK", &AT_RISK.to_string())
            .with_variable("KEYAPI_EXPORT_STATE__LEASE_INTERVAL", LEASE);
        let work = job.folder().join("work").display().to_string();
        Self { job: job.with_variable("KEYAPI_EXPORT_STATE__WORK_FOLDER", &work), state }
    }

    fn work(&self) -> PathBuf {
        self.job.folder().join("work")
    }

    /// The machine is gone, with its disk.
    fn loses_its_disk(&self) {
        std::fs::remove_dir_all(self.work()).unwrap();
    }

    fn head(&self) -> serde_json::Value {
        let copy = tempfile::tempdir().unwrap();
        self.state.pull(copy.path());
        serde_json::from_slice(&std::fs::read(copy.path().join("state.json")).unwrap()).unwrap()
    }
}

#[test]
fn a_state_in_a_bucket_is_gone_on_from_elsewhere_and_costs_nothing() {
    let Some(lake) = Lake::start() else { return };
    let (simulator, job) = small(|_| {});
    let away = Away::of(job, &lake);
    exports_exactly(&simulator, &away.job);
    assert!(away.head()["holder"].is_null(), "a run that ended holds nothing");
    assert!(away.state.names().iter().all(|name| name == "state.json" || name.starts_with("segments/")));
    assert!(!away.job.state().exists() && crate::support::files_below(&away.work()).is_empty());
    let (before, address) = (simulator.stats().requests, away.state.address());
    let told = away.job.does("status", &format!("--state {address}"), &[]).unwrap();
    assert!(told.code == 0 && told.stdout.contains(lake.address()), "{told}");
    asks_nothing_more(&simulator, &away.job);
    let compacted = away.job.does("compact", &format!("--state {address}"), &[]).unwrap();
    assert_eq!(compacted.code, 0, "{compacted}");
    assert_eq!(simulator.stats().requests, before);
    holds_exactly_the_truth(&simulator, &away.job);
}

/// What is stopped by a signal ships everything and lets go, so that the next start neither waits nor asks anything again.
#[test]
fn a_run_that_is_stopped_loses_nothing_with_its_disk() {
    let Some(lake) = Lake::start() else { return };
    let simulator = serve_slowly();
    let away = Away::of(Job::of(&simulator), &lake);
    let running = away.job.start();
    until("the run to get on", || simulator.stats().requests >= 200);
    running.signal("TERM");
    let stopped = running.wait();
    assert_eq!(stopped.code, 143, "{stopped}");
    assert!(away.head()["holder"].is_null() && crate::support::files_below(&away.work()).is_empty());
    let ended = away.job.run();
    assert!(ended.code == 0 && !ended.stderr.contains("another run holds"), "{ended}");
    holds_exactly_the_truth(&simulator, &away.job);
    let stats = simulator.stats();
    assert_eq!(
        (stats.repeated_purchases, stats.requests),
        (0, ended.summary["requests"]["attempts"].as_u64().unwrap())
    );
}

/// A container that is killed with its disk, twice: no more is bought again than the setting says, and the ledger holds.
#[test]
fn a_machine_that_is_lost_with_its_disk_costs_no_more_than_the_bound() {
    let Some(lake) = Lake::start() else { return };
    let simulator = serve_slowly();
    let away = Away::of(Job::of(&simulator).with_variable("KEYAPI_EXPORT_OUTPUT__PART_ROWS", "1000"), &lake);
    for (kills, moment) in [200, 400].into_iter().enumerate() {
        let mut running = away.job.start();
        until("the run to get on", || simulator.stats().requests >= moment || !running.is_alive());
        assert!(running.kill(), "the run was over");
        away.loses_its_disk();
        println!("after {} kills: {} pages were bought again", kills, simulator.stats().repeated_purchases);
    }
    let ended = away.job.run();
    assert_eq!(ended.code, 0, "{ended}");
    holds_exactly_the_truth(&simulator, &away.job);
    is_whole(&away.job);
    let stats = simulator.stats();
    println!("{} of {} requests were repeated, {} may be", stats.repeated_purchases, stats.requests, 2 * AT_RISK);
    assert!(stats.repeated_purchases <= 2 * AT_RISK, "{stats:?}");
    let counted = &ended.summary["requests"];
    let surely = counted["attempts"].as_u64().unwrap();
    let perhaps = surely + counted["possibly_charged"].as_u64().unwrap();
    assert!(surely <= stats.requests && stats.requests <= perhaps, "{} requests, {ended}", stats.requests);
    assert!(perhaps - surely <= 2 * AT_RISK, "{ended}");
    asks_nothing_more(&simulator, &away.job);
}

#[test]
fn of_two_starts_at_once_one_ends_with_11_and_sends_nothing() {
    let Some(lake) = Lake::start() else { return };
    let simulator = serve_slowly();
    let away = Away::of(Job::of(&simulator), &lake);
    let elsewhere = [("KEYAPI_EXPORT_STATE__WORK_FOLDER", away.job.folder().join("other").display().to_string())];
    let idle = serve(|_| {});
    let mut first = away.job.start();
    until("the first to hold the state", || simulator.stats().requests > 0 || !first.is_alive());
    let second = away.job.start_as(&format!("--base-url {}", idle.base_url()), &elsewhere).wait();
    assert_eq!(second.code, 11, "{second}");
    assert!(second.error().contains("is held by another run: process "), "{second}");
    assert_eq!(idle.stats().requests, 0);
    let first = first.wait();
    assert_eq!(first.code, 0, "{first}");
    holds_exactly_the_truth(&simulator, &away.job);
}

/// Another run holds the state from now on.
fn take_over(state: &Lake) {
    let copy = tempfile::tempdir().unwrap();
    state.pull(copy.path());
    let head = copy.path().join("state.json");
    let mut taken: serde_json::Value = serde_json::from_slice(&std::fs::read(&head).unwrap()).unwrap();
    taken["epoch"] = (taken["epoch"].as_u64().unwrap() + 1).into();
    taken["holder"]["id"] = "another".into();
    std::fs::write(head, taken.to_string()).unwrap();
    state.push(copy.path());
}

#[test]
fn an_audit_whose_state_is_taken_over_ends_as_a_run_does() {
    let Some(lake) = Lake::start() else { return };
    let (simulator, job) = small(|_| {});
    let away = Away::of(job, &lake);
    exports_exactly(&simulator, &away.job);
    let before = simulator.stats().requests;
    let flags = format!("--state {} --base-url {} --credits 400 --qps 10", away.state.address(), simulator.base_url());
    let audited = std::thread::scope(|scope| {
        let state = away.state.clone();
        let requests = || simulator.stats().requests;
        scope.spawn(move || {
            until("the audit to ask", || requests() > before);
            take_over(&state);
        });
        away.job.does("audit", &flags, &[]).unwrap()
    });
    assert_eq!(audited.code, 11, "{audited}");
    assert!(audited.stderr.contains("was taken over by another run"), "{audited}");
}

/// Passes on what comes, and notes who has sent something; cut off it passes on nothing and answers nobody.
struct Passage {
    at: SocketAddr,
    is_cut: Arc<AtomicBool>,
}

impl Passage {
    fn to(there: &str, name: char, log: &Arc<Mutex<String>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (at, is_cut) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let (there, cut, log) = (there.to_owned(), Arc::clone(&is_cut), Arc::clone(log));
        std::thread::spawn(move || {
            for here in listener.incoming().map_while(Result::ok) {
                let Ok(beyond) = TcpStream::connect(&there) else { continue };
                let (from, to) = (here.try_clone().unwrap(), beyond.try_clone().unwrap());
                let (one, other, log) = (Arc::clone(&cut), Arc::clone(&cut), Arc::clone(&log));
                std::thread::spawn(move || passes(from, to, &one, || log.lock().unwrap().push(name)));
                std::thread::spawn(move || passes(beyond, here, &other, || {}));
            }
        });
        Self { at, is_cut }
    }

    fn cut(&self) {
        self.is_cut.store(true, Ordering::Release);
    }
}

fn passes(mut from: TcpStream, mut to: TcpStream, is_cut: &AtomicBool, note: impl Fn()) {
    let mut bytes = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        note();
        // What is cut off hangs, as behind a cable that was pulled.
        if is_cut.load(Ordering::Acquire) {
            continue;
        }
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _closed = to.shutdown(Shutdown::Both);
}

/// A holder that does not reach the bucket any more, but the service: it stops before its successor begins, and ends by itself.
#[test]
fn a_holder_that_is_cut_off_and_its_successor_never_both_send() {
    let Some(lake) = Lake::start() else { return };
    let Some(store) = lake.listens_at() else {
        println!("skipped: only connections without TLS to an S3 can be cut");
        return;
    };
    let simulator = serve_slowly();
    let away = Away::of(Job::of(&simulator).with("--qps 100"), &lake);
    let (senders, unused) = (Arc::default(), Arc::default());
    let to_the_bucket = Passage::to(store, '-', &unused);
    let service = simulator.base_url().strip_prefix("http://").unwrap().to_owned();
    let (of_holder, of_successor) = (Passage::to(&service, 'h', &senders), Passage::to(&service, 's', &senders));
    let url = |passage: &Passage| format!("http://{}", passage.at);
    let through = [("AWS_ENDPOINT_URL", url(&to_the_bucket))];
    let holder = away.job.start_as(&format!("--base-url {}", url(&of_holder)), &through);
    until("the holder to buy pages", || simulator.stats().requests > 60);
    to_the_bucket.cut();
    let other = [("KEYAPI_EXPORT_STATE__WORK_FOLDER", away.job.folder().join("other").display().to_string())];
    let successor = away.job.start_as(&format!("--base-url {} --qps 2000", url(&of_successor)), &other).wait();
    assert_eq!(successor.code, 0, "{successor}");
    let holder = holder.wait();
    assert_eq!(holder.code, 7, "{holder}");
    assert!(holder.error().contains("could not be written"), "{holder}");
    let senders: String = senders.lock().unwrap().clone();
    let first = senders.find('s').unwrap();
    assert!(senders[..first].len() > 60 && !senders[first..].contains('h'), "{senders}");
    let repeated = simulator.stats().repeated_purchases;
    assert!(repeated <= AT_RISK, "{repeated}");
    holds_exactly_the_truth(&simulator, &away.job);
}

/// The steps that only a run passes whose state is in a bucket.
const OF_THE_STATE: [CrashStep; 3] = [CrashStep::HeldKept, CrashStep::SegmentPut, CrashStep::SegmentShipped];
/// Those that are died at in any case; `CRASH_AWAY=all` dies at all steps.
const ALWAYS: [CrashStep; 3] = [CrashStep::HeldKept, CrashStep::SegmentPut, CrashStep::UploadBegun];
/// Requests that each start may spend on the ends of a region.
const END_LOOKS: u64 = 2;

/// A run that reads everything again, so that all of it waits for the run's end, dies with its machine, whose disk is lost.
#[test]
fn the_steps_of_a_state_in_a_bucket_are_survived_without_the_disk() {
    if !cfg!(debug_assertions) {
        println!("skipped: a release build has no steps to die at");
        return;
    }
    let is_long = std::env::var_os("CRASH_AWAY").is_some();
    let Some(lake) = Lake::start() else { return };
    let simulator = serve(|service| service.world.rows = 800);
    let away = Away::of(Job::of(&simulator).with_variable("KEYAPI_EXPORT_OUTPUT__PART_ROWS", "100"), &lake);
    // Copies of parts that wait are of several objects then.
    let job = away.job.with_variable("KEYAPI_EXPORT_STATE__LEASE_INTERVAL", "400ms");
    let job = job.with_variable("KEYAPI_UPLOAD_AT_ONCE", "4096");
    let away = Away { job, ..away };
    exports_exactly(&simulator, &away.job);
    let once = simulator.stats().requests;
    let mut passed = 0;
    for step in CrashStep::ALL.iter().copied().filter(|step| is_long || ALWAYS.contains(step)) {
        let before = simulator.stats().requests;
        // The first segments are shipped before anything is bought.
        let passing = if matches!(step, CrashStep::SegmentPut | CrashStep::SegmentShipped) { ":4" } else { "" };
        let armed = [("KEYAPI_FAILPOINT", format!("{}{passing}", step.name()))];
        let survived = away.job.start_as("--reread all", &armed).survives();
        let is_passed = survived.is_none();
        if let Some(ended) = survived {
            assert_eq!(ended.code, 0, "with {} armed: {ended}", step.name());
        }
        assert!(is_passed || !OF_THE_STATE.contains(&step), "no run passes {}", step.name());
        passed += u32::from(is_passed);
        if is_passed {
            away.loses_its_disk();
            let ended = away.job.run();
            assert_eq!(ended.code, 0, "dead at {}: {ended}", step.name());
        }
        holds_exactly_the_truth(&simulator, &away.job);
        is_whole(&away.job);
        let cost = simulator.stats().requests - before;
        println!("dead at {} ({is_passed}): {cost} requests, {once} without", step.name());
        assert!(cost <= once + AT_RISK + 2 * END_LOOKS, "{}: {cost} requests, {once} without", step.name());
        let (output, state) = (lake.names(), away.state.names());
        let is_known = |name: &String| {
            ["data/", "_manifest.json", "_SUCCESS", "_rejected/"].iter().any(|known| name.starts_with(known))
        };
        assert!(output.iter().all(is_known), "{} left an orphan: {output:?}", step.name());
        let is_state = |name: &String| name == "state.json" || name.starts_with("segments/");
        assert!(state.iter().all(is_state), "{} left something: {state:?}", step.name());
        assert_eq!(lake.open_uploads(), 0, "{} left an upload", step.name());
    }
    println!("{passed} steps were died at");
}
