//! What happens to the process itself: being the first of a container, and being suspended.

use std::process::Command;
use std::time::Duration;

use crate::support::{Job, holds_exactly_the_truth, is_whole, serve, until};

/// How a process namespace of its own is asked for, with and without the right to make one.
const NAMESPACES: [&str; 2] =
    ["unshare --pid --fork --kill-child --", "unshare --user --map-root-user --pid --fork --kill-child --"];

/// A command that starts another as process 1, where this system allows it.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn process_1() -> Option<&'static str> {
    let works = |command: &&str| {
        let words: Vec<&str> = command.split_whitespace().collect();
        Command::new(words[0]).args(&words[1..]).arg("true").output().is_ok_and(|ended| ended.status.success())
    };
    let found = NAMESPACES.into_iter().find(works);
    if found.is_none() {
        eprintln!("skipped: this system lets no process have a namespace of its own");
    }
    found
}

/// The kernel gives process 1 no default handling of signals: what is not handled is ignored, and `docker stop` would kill.
#[test]
fn process_1_of_a_container_drains_and_ends_with_143() {
    let Some(command) = process_1() else { return };
    let simulator = serve(|service| service.limits.latency_ms = 20.0);
    let job = Job::of(&simulator).under(command);
    let running = job.start();
    until("some pages", || simulator.stats().pages > 60);
    running.signal_inner("TERM");
    let ended = running.wait();
    assert_eq!(ended.code, 143, "{ended}");
    assert_eq!(ended.summary["requests"]["attempts"], simulator.stats().requests, "{ended}");
    simulator.change(|service| service.limits.latency_ms = 0.0).unwrap();
    assert_eq!(job.run().code, 0);
    holds_exactly_the_truth(&simulator, &job);
    is_whole(&job);
}

#[test]
fn process_1_of_a_container_ends_at_once_at_the_second_signal() {
    let Some(command) = process_1() else { return };
    let simulator = serve(|service| service.limits.latency_ms = 5.0);
    let job = Job::of(&simulator).under(command);
    let running = job.start();
    until("some pages", || simulator.stats().pages > 60);
    simulator.change(|service| service.limits.latency_ms = 60_000.0).unwrap();
    let asked = simulator.stats().requests;
    until("a request that is not answered", || simulator.stats().requests > asked);
    running.signal_inner("TERM");
    until("the word of the first signal", || running.told("a second signal ends at once"));
    running.signal_inner("INT");
    let ended = running.wait();
    assert_eq!(ended.code, 130, "{ended}");
    // No summary: it did not wait for the answers, which would have taken longer than a drain.
    assert!(ended.summary.is_null(), "{ended}");
}

/// Whether this test itself runs where hangups are ignored, which its children inherit.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn ignores_hangups() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or("1");
    let ignores = u64::from_str_radix(mask.trim(), 16).unwrap() & 1 == 1;
    if ignores {
        eprintln!("skipped: hangups are ignored here, or nothing tells whether they are");
    }
    ignores
}

/// A session that was closed killed the run at once, with its credits in doubt.
#[test]
fn a_hangup_drains_and_ends_with_129() {
    if ignores_hangups() {
        return;
    }
    let simulator = serve(|service| service.limits.latency_ms = 20.0);
    let job = Job::of(&simulator);
    let running = job.start();
    until("some pages", || simulator.stats().pages > 60);
    running.signal("HUP");
    let ended = running.wait();
    assert_eq!(ended.code, 129, "{ended}");
    assert_eq!(ended.summary["outcome"], "hung_up");
    assert_eq!(ended.summary["requests"]["attempts"], simulator.stats().requests, "{ended}");
    assert!(ended.summary["journal"]["pages"].as_u64().unwrap() > 0, "{ended}");
    assert!(ended.stdout.contains("safe in the journal"), "{ended}");
    simulator.change(|service| service.limits.latency_ms = 0.0).unwrap();
    assert_eq!(job.run().code, 0);
    holds_exactly_the_truth(&simulator, &job);
    is_whole(&job);
}

#[test]
fn a_hangup_while_answers_are_waited_for_ends_at_once() {
    if ignores_hangups() {
        return;
    }
    let simulator = serve(|service| service.limits.latency_ms = 5.0);
    let job = Job::of(&simulator);
    let running = job.start();
    until("some pages", || simulator.stats().pages > 60);
    simulator.change(|service| service.limits.latency_ms = 60_000.0).unwrap();
    let asked = simulator.stats().requests;
    until("a request that is not answered", || simulator.stats().requests > asked);
    running.signal("TERM");
    until("the word of the first signal", || running.told("a second signal ends at once"));
    running.signal("HUP");
    assert_eq!(running.wait().code, 129);
}

#[test]
fn a_run_under_nohup_does_not_hear_a_hangup() {
    let simulator = serve(|service| service.limits.latency_ms = 5.0);
    let job = Job::of(&simulator).under("nohup");
    let running = job.start();
    until("some pages", || simulator.stats().pages > 60);
    running.signal("HUP");
    simulator.change(|service| service.limits.latency_ms = 0.0).unwrap();
    let ended = running.wait();
    assert_eq!(ended.code, 0, "{ended}");
    holds_exactly_the_truth(&simulator, &job);
}

/// The grace of a container is thirty seconds, and these answers take ten minutes.
#[test]
fn answers_that_do_not_come_are_given_up_after_a_signal_and_counted() {
    let simulator = serve(|service| service.limits.latency_ms = 5.0);
    let job =
        Job::of(&simulator).with("--max-in-flight 4").with_variable("KEYAPI_EXPORT_SERVICE__REQUEST_TIMEOUT", "10m");
    let running = job.start();
    until("some pages", || simulator.stats().pages > 60);
    simulator.change(|service| (service.faults.stall, service.faults.stall_s) = (1.0, 600.0)).unwrap();
    until("answers that hang", || simulator.stats().stalls >= 2);
    running.signal("TERM");
    let ended = running.wait();
    assert_eq!(ended.code, 143, "{ended}");
    let requests = &ended.summary["requests"];
    let [attempts, in_doubt] = ["attempts", "possibly_charged"].map(|name| requests[name].as_u64().unwrap());
    assert!((1..=4).contains(&in_doubt), "{ended}");
    assert_eq!(attempts + in_doubt, simulator.stats().requests, "{ended}");
    simulator.change(|service| service.faults.stall = 0.0).unwrap();
    assert_eq!(job.run().code, 0);
    holds_exactly_the_truth(&simulator, &job);
    is_whole(&job);
}

/// A suspended process was told by its own clock that the service had been silent, and gave up as soon as it woke.
#[test]
fn a_suspended_run_goes_on_without_a_burst_and_blames_nobody() {
    const RATE: usize = 50;
    let suspension = Duration::from_secs(5);
    let simulator = serve(|service| service.world.rows = 4_000);
    let job = Job::of(&simulator).with(&format!("--qps {RATE}")).with("--give-up-after 3s");
    let running = job.start();
    until("some pages", || simulator.stats().pages > 60);
    running.signal("STOP");
    // Not a wait for something to happen: it is the suspension.
    std::thread::sleep(suspension);
    running.signal("CONT");
    let ended = running.wait();
    assert_eq!(ended.code, 0, "{ended}");
    holds_exactly_the_truth(&simulator, &job);
    is_whole(&job);
    let arrivals = simulator.arrivals();
    let woke =
        arrivals.windows(2).position(|pair| pair[1] - pair[0] > suspension / 2).expect("it was not suspended") + 1;
    let in_a_second = |from: usize| {
        let first = arrivals[from];
        arrivals[from..].iter().take_while(|at| **at - first < Duration::from_secs(1)).count()
    };
    let busiest = (woke..arrivals.len()).map(in_a_second).max().unwrap();
    // The missed permits alone would be five seconds' worth. Half a second's worth is left for a machine that stutters.
    assert!(busiest <= RATE + RATE / 2, "{busiest} requests in a second at a rate of {RATE}");
    assert!(arrivals.len() - woke > RATE, "too few requests after it woke to prove anything");
}
