//! The key is known to the service and to nobody else: not to the log at its loudest, the state, the output, an error, or the list
//! of processes; not even when the service repeats it in every message.

use keyapi_export::simulator::{KeyEcho, QuotaForm, RunningSimulator, SimulatorSettings};

use crate::support::{Ended, Job, TOKEN, files_below, serve, until};

/// Serves a healthy service but for `change`, which repeats the caller's key in each of its messages.
fn serve_a_parrot(change: impl FnOnce(&mut SimulatorSettings)) -> RunningSimulator {
    serve(|service| {
        service.world.rows = 600;
        service.contract.key_echo = KeyEcho::Echoed;
        change(service);
    })
}

fn loud(simulator: &RunningSimulator) -> Job {
    Job::of(simulator).with_variable("KEYAPI_EXPORT_LOG", "trace")
}

fn holds_the_key(bytes: &[u8]) -> bool {
    // Half of it would be too much already.
    let half = &TOKEN.as_bytes()[..TOKEN.len() / 2 + 4];
    bytes.windows(half.len()).any(|window| window == half)
}

/// Neither what was told nor any file that the job left holds the key.
fn is_silent(job: &Job, ended: &Ended) {
    assert!(!holds_the_key(ended.stdout.as_bytes()), "stdout tells the key");
    if let Some(line) = ended.stderr.lines().find(|line| holds_the_key(line.as_bytes())) {
        panic!("stderr tells the key: {}", line.replace(TOKEN, "(the key)"));
    }
    let files = files_below(job.folder());
    assert!(files.iter().any(|file| file.starts_with(job.state())), "no state was searched");
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!holds_the_key(&bytes), "{} holds the key", file.display());
    }
}

#[test]
fn a_whole_run_among_faults_does_not_tell_the_key_at_the_loudest_log() {
    let simulator = serve_a_parrot(|service| {
        let faults = &mut service.faults;
        (faults.server_error, faults.error_inside, faults.not_json, faults.reset) = (0.05, 0.05, 0.02, 0.02);
        (service.limits.requests_per_second, service.limits.bucket_capacity) = (100, 5);
    });
    let job = loud(&simulator);
    let running = job.start();
    until("the first request", || simulator.stats().requests > 0);
    let entry = running.process_list_entry();
    assert!(!entry.is_empty() && !holds_the_key(&entry), "the list of processes tells the key");
    let ended = running.wait();
    assert_eq!(ended.code, 0, "{ended}");
    assert!(simulator.stats().errors_inside > 0 && simulator.stats().throttled > 0, "{:?}", simulator.stats());
    assert!(ended.stderr.contains("\"level\":\"trace\"") || ended.stderr.contains("\"level\":\"debug\""), "not loud");
    is_silent(&job, &ended);
}

#[test]
fn a_refusal_that_repeats_the_key_does_not_tell_it() {
    let simulator = serve_a_parrot(|service| service.contract.token = "another key".to_owned());
    let job = loud(&simulator);
    let ended = job.run();
    assert_eq!(ended.code, 6);
    is_silent(&job, &ended);
}

#[test]
fn a_quota_that_repeats_the_key_does_not_tell_it() {
    for form in [QuotaForm::PaymentRequired, QuotaForm::Forbidden, QuotaForm::Inside, QuotaForm::ServerError] {
        let simulator = serve_a_parrot(|service| {
            (service.limits.credits, service.limits.quota_form) = (Some(40), form);
        });
        let job = loud(&simulator);
        let ended = job.run();
        assert_eq!(ended.code, 4);
        is_silent(&job, &ended);
    }
}

#[test]
fn a_service_that_is_unwell_and_repeats_the_key_does_not_tell_it() {
    let simulator = serve_a_parrot(|service| service.faults.server_error = 1.0);
    let job = loud(&simulator);
    let ended = job.run_with("--give-up-after 2s");
    assert_eq!(ended.code, 5);
    is_silent(&job, &ended);
}

#[cfg(unix)]
#[test]
fn a_key_from_a_file_is_sent_and_not_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let simulator = serve_a_parrot(|service| service.contract.token = TOKEN.to_owned());
    // Outside the job's folder, which is searched.
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("key");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let job = loud(&simulator).without_variable("KEYAPI_TOKEN").with(&format!("--token-file {}", file.display()));
    let ended = job.run();
    assert_eq!(ended.code, 0, "{}", ended.stderr.replace(TOKEN, "(the key)"));
    is_silent(&job, &ended);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let exposed = job.run();
    assert_eq!(exposed.code, 2);
    assert!(exposed.error().contains("readable by others"), "{exposed}");
    is_silent(&job, &exposed);
}

#[test]
fn a_key_is_not_sent_in_clear_text_to_another_machine() {
    let simulator = serve(|_| {});
    let job = loud(&simulator);
    let ended = job.run_with("--base-url http://192.0.2.1:9");
    assert_eq!(ended.code, 2);
    assert!(ended.error().contains("only over TLS"), "{ended}");
}
