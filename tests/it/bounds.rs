//! What is known before the first credit is looked at before it: folders, settings, limits of the system, a state that was lost.
//! Each refusal names what is wrong and what helps, with the code of the table, and sends nothing.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use keyapi_export::simulator::RunningSimulator;
use rusqlite::Connection;

use crate::support::{
    END_LOOKS, Ended, Job, TOKEN, asks_nothing_more, holds_exactly_the_truth, is_whole, parquet_files, serve, until,
};

/// The program in a folder, with these arguments and nothing of this machine's environment but a key.
fn program(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyapi-export"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KEYAPI_") {
            command.env_remove(name);
        }
    }
    command.env("KEYAPI_TOKEN", TOKEN);
    command
}

/// `run` for everything that the service has, in a folder, with more flags.
fn run(simulator: &RunningSimulator, folder: &Path, flags: &[&str]) -> Output {
    let range = simulator.world().range();
    let (url, from, to) = (simulator.base_url(), range.start.to_string(), range.end.to_string());
    let mut arguments = vec!["run", "--region", "US", "--qps", "2000", "--base-url", &url];
    for (flag, value) in [("--from", &from), ("--to", &to)] {
        if !flags.contains(&flag) {
            arguments.extend([flag, value.as_str()]);
        }
    }
    arguments.extend(flags);
    program(folder, &arguments).output().unwrap()
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Ends with 2 and these words, and sends nothing.
fn refuses(simulator: &RunningSimulator, output: &Output, words: &[&str]) {
    let text = told(output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("error: ") && text.contains("hint: "), "{text}");
    for word in words {
        assert!(text.contains(word), "`{word}` is not told: {text}");
    }
    assert_eq!(simulator.stats().requests, 0, "something was sent");
}

fn small() -> RunningSimulator {
    serve(|service| service.world.rows = 200)
}

#[test]
fn the_default_folder_and_folders_of_one_word_work() {
    for flags in [&[][..], &["--out", "name"], &["--out", "./dot"], &["--out", "a/b", "--state", "st"]] {
        let (simulator, folder) = (small(), tempfile::tempdir().unwrap());
        let output = run(&simulator, folder.path(), flags);
        assert_eq!(output.status.code(), Some(0), "{flags:?}: {}", told(&output));
    }
}

#[test]
fn however_a_folder_is_written_it_has_one_state() {
    let (simulator, folder) = (small(), tempfile::tempdir().unwrap());
    std::fs::create_dir(folder.path().join("other")).unwrap();
    symlink("out", folder.path().join("link")).unwrap();
    let first = run(&simulator, folder.path(), &["--out", "out"]);
    assert_eq!(first.status.code(), Some(0), "{}", told(&first));
    let requests = simulator.stats().requests;
    let absolute = folder.path().join("out/").display().to_string();
    for written in ["out/", "./out", "other/../out", "link", "link/", &absolute] {
        let again = run(&simulator, folder.path(), &["--out", written]);
        assert_eq!(again.status.code(), Some(0), "{written}: {}", told(&again));
        assert_eq!(simulator.stats().requests, requests, "{written} was bought again");
        let status = program(folder.path(), &["status", "--out", written]).output().unwrap();
        assert!(told(&status).contains("complete"), "{written}: {}", told(&status));
    }
    assert!(!folder.path().join("out/.state").exists());
}

#[test]
fn folders_of_which_one_holds_the_other_are_refused() {
    let (simulator, folder) = (small(), tempfile::tempdir().unwrap());
    symlink(".", folder.path().join("here")).unwrap();
    for (out, state) in [("o", "o/s"), ("s/o", "s"), ("o", "./o/"), ("o", "here/o/s")] {
        let output = run(&simulator, folder.path(), &["--out", out, "--state", state]);
        refuses(&simulator, &output, &["the output", "the state", "--state"]);
    }
}

#[test]
fn a_setting_is_what_it_says_or_it_is_refused_with_its_place() {
    let (simulator, folder) = (small(), tempfile::tempdir().unwrap());
    let wrong = [
        ("[pace]\nmax_in_flight = 1.5\n", "line 2"),
        ("[pace]\nmax_in_flight = \"4\"\n", "line 2"),
        ("[pace]\n\n\nmax_in_flight = -1\n", "line 4"),
        ("[pace]\nqps = 0.01\n", "at least 0.1"),
        ("[pace]\nqps = inf\n", "pace.qps"),
        ("[pace]\nqps = true\n", "pace.qps"),
        ("[budget]\nmax_credits = true\n", "budget.max_credits"),
        ("[budget]\nmax_credits = 0\n", "line 2"),
        ("[output]\nsnapshot = 3\n", "true or false"),
        ("[output]\nsnapshot = \"yes\"\n", "true or false"),
        ("[question]\nfilters.product_id = 17\n", "text in quotes"),
        ("[service]\npath = \"/x#y\"\n", "service.path"),
        ("[service]\npath = \"/x?y=1\"\n", "service.path"),
    ];
    for (text, word) in wrong {
        std::fs::write(folder.path().join("job.toml"), text).unwrap();
        refuses(&simulator, &run(&simulator, folder.path(), &["--config", "job.toml"]), &[word]);
    }
    for value in ["1.5", "true", "4x", "0x10", "+4"] {
        let mut command = program(folder.path(), &["run", "--region", "US", "--from", "-1d"]);
        let output = command.env("KEYAPI_EXPORT_PACE__MAX_IN_FLIGHT", value).output().unwrap();
        refuses(&simulator, &output, &["KEYAPI_EXPORT_PACE__MAX_IN_FLIGHT", "whole number"]);
    }
    for (from, to) in [("-4294967295d", "now"), ("-3d", "-50000d"), ("2026-01-02", "2026-01-01")] {
        refuses(&simulator, &run(&simulator, folder.path(), &["--from", from, "--to", to]), &["--from"]);
    }
    for from in ["0205-12-01", "1969-12-31"] {
        let output = run(&simulator, folder.path(), &["--from", from]);
        assert!(output.status.code() == Some(2) && told(&output).contains("before 1970"), "{}", told(&output));
    }
    let long = format!("a={}", "[".repeat(50_000));
    std::fs::write(folder.path().join("job.toml"), long).unwrap();
    let output = run(&simulator, folder.path(), &["--config", "job.toml"]);
    refuses(&simulator, &output, &["line 1"]);
    assert!(told(&output).len() < 2_000);
}

/// A FIFO once kept the program waiting for ever, and a device filled the memory.
#[test]
fn a_file_of_settings_or_of_the_key_is_a_regular_file_of_some_length() {
    let (simulator, folder) = (small(), tempfile::tempdir().unwrap());
    assert!(Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap().success());
    std::fs::write(folder.path().join("long"), "# a comment\n".repeat(100_000)).unwrap();
    for file in ["/dev/zero", "pipe", ".", "long"] {
        for flag in ["--config", "--token-file"] {
            let output = run(&simulator, folder.path(), &[flag, file]);
            refuses(&simulator, &output, &[]);
        }
    }
}

#[test]
fn a_key_in_the_wrong_place_is_not_told() {
    let (simulator, folder) = (small(), tempfile::tempdir().unwrap());
    let texts = [
        format!("{TOKEN}\n"),
        format!("KEYAPI_TOKEN={TOKEN}\n"),
        format!("KEYAPI_TOKEN=\"{TOKEN}\"\n"),
        format!("{TOKEN} = 1\n"),
        format!("[service]\nauth_scheme = \"Bearer {TOKEN}\"\n"),
        format!("[service]\nauth_header = \"Authorization: {TOKEN}\"\n"),
        format!("[service]\ntoken_file = \"{TOKEN}/x\"\n"),
        format!("[service]\ntoken_file = \"{TOKEN}\"\n"),
        format!("[service]\nbase_url = \"{TOKEN}\"\n"),
        format!("[pace]\nqps = \"{TOKEN}\"\n"),
        format!("[pace]\nmax_in_flight = \"{TOKEN}\"\n"),
        format!("[question]\nfrom = \"{TOKEN}\"\n"),
    ];
    for text in texts {
        std::fs::write(folder.path().join("c"), &text).unwrap();
        std::fs::set_permissions(folder.path().join("c"), PermissionsExt::from_mode(0o600)).unwrap();
        for knows_it in [true, false] {
            let mut command = program(folder.path(), &["run", "--region", "US", "--config", "c", "--from", "-1d"]);
            if !knows_it {
                command.env_remove("KEYAPI_TOKEN");
            }
            let output = command.output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{}", told(&output));
            assert!(!told(&output).contains(TOKEN), "told for {}", text.replace(TOKEN, "(the key)"));
        }
    }
    assert_eq!(simulator.stats().requests, 0);
}

/// A command that starts another under a limit of the system, where this machine has one.
fn limited(limit: &str) -> Option<String> {
    let command = format!("prlimit --{limit}");
    let words: Vec<&str> = command.split_whitespace().collect();
    let works = Command::new(words[0]).args(&words[1..]).arg("true").output().is_ok_and(|ended| ended.status.success());
    if !works {
        println!("skipped: no `prlimit` here");
    }
    works.then_some(command)
}

fn ends_before_a_request(simulator: &RunningSimulator, ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code, 2, "{ended}");
    for word in words {
        assert!(ended.error().contains(word), "`{word}` is not told: {ended}");
    }
    assert_eq!(simulator.stats().requests, 0);
}

#[test]
fn too_few_descriptors_or_bytes_are_told_before_anything_is_sent() {
    let simulator = small();
    for (limit, words) in [
        ("nofile=7:7", ["too many open files", "to begin with", "ulimit -n"]),
        ("nofile=48:48", ["too many open files", "may open 48", "ulimit -n"]),
        ("nofile=120:120", ["too many open files", "set --max-in-flight", "ulimit -n"]),
        ("fsize=3000000:3000000", ["3000000 bytes", "journal", "ulimit -f"]),
    ] {
        let Some(command) = limited(limit) else { return };
        let job = Job::of(&simulator).with("--max-in-flight 64").under(&command);
        ends_before_a_request(&simulator, &job.run(), &words);
    }
}

#[test]
fn a_low_limit_of_descriptors_is_raised_as_far_as_is_allowed() {
    let simulator = serve(|_| {});
    let Some(command) = limited("nofile=64:4096") else { return };
    let job = Job::of(&simulator).with("--max-in-flight 64").under(&command);
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    holds_exactly_the_truth(&simulator, &job);
}

/// The signal of a file that may not grow has no code of the table: it once ended the process by itself.
#[test]
fn a_file_that_may_not_grow_ends_the_run_with_7_and_nothing_is_lost() {
    let simulator = serve(|service| service.limits.latency_ms = 10.0);
    if limited("fsize=unlimited").is_none() {
        return;
    }
    let job = Job::of(&simulator).with("--max-in-flight 4");
    let running = job.start();
    until("some pages", || simulator.stats().pages > 60);
    running.limit("fsize=65536:65536");
    let ended = running.wait();
    assert_eq!(ended.code, 7, "{ended}");
    simulator.change(|service| service.limits.latency_ms = 0.0).unwrap();
    let again = job.run();
    assert_eq!(again.code, 0, "{again}");
    holds_exactly_the_truth(&simulator, &job);
    assert!(simulator.stats().repeated_purchases <= 4 + END_LOOKS, "{:?}", simulator.stats().repeated_questions);
}

#[test]
fn no_image_of_the_process_is_kept() {
    let simulator = serve(|service| service.limits.latency_ms = 20.0);
    let job = Job::of(&simulator);
    let running = job.start();
    until("a request", || simulator.stats().requests > 0);
    let limits = running.limits();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    running.kill();
}

/// An emptied database was once taken for a new one: everything was bought again, with exit 0.
#[test]
fn a_database_that_was_emptied_or_lost_is_refused_and_not_begun_anew() {
    let simulator = serve(|service| service.limits.latency_ms = 3.0);
    let job = Job::of(&simulator).with("--partition none --max-in-flight 16");
    let running = job.start();
    until("some pages", || simulator.stats().pages > 60);
    running.kill();
    simulator.change(|service| service.limits.latency_ms = 0.0).unwrap();
    let (database, log) = (job.state().join("journal.sqlite"), job.state().join("journal.sqlite-wal"));
    let (sound, sound_log) = (std::fs::read(&database).unwrap(), std::fs::read(&log).unwrap());
    assert!(!sound_log.is_empty(), "nothing is in the log");
    let requests = simulator.stats().requests;
    let lost = |damage: &dyn Fn(), words: &str| {
        damage();
        let listed = crate::support::files_below(&job.state());
        let ended = job.run();
        assert_eq!(ended.code, 7, "{ended}");
        assert!(ended.error().contains(words) && ended.error().contains("journal.sqlite"), "{ended}");
        assert!(ended.error().contains("hint: restore"), "{ended}");
        assert_eq!(job.status().code, 7);
        assert_eq!(simulator.stats().requests, requests, "something was sent");
        assert_eq!(crate::support::files_below(&job.state()), listed, "the state was changed");
    };
    lost(&|| std::fs::write(&database, "").unwrap(), "it is empty");
    lost(&|| std::fs::remove_file(&database).unwrap(), "it is not there");
    // Without its log: the mark alone knows.
    std::fs::remove_file(&log).unwrap();
    lost(&|| std::fs::write(&database, "").unwrap(), "it is empty");
    lost(&|| std::fs::remove_file(&database).unwrap(), "it is not there");
    Connection::open(&database).unwrap().execute_batch("CREATE TABLE t (c); DROP TABLE t").unwrap();
    assert_eq!(job.run().code, 7);
    // A log without a mark, as an earlier version left it.
    std::fs::remove_file(job.state().join("begun")).unwrap();
    std::fs::write(&log, &sound_log).unwrap();
    lost(&|| std::fs::write(&database, "").unwrap(), "it is empty");
    std::fs::write(&database, &sound).unwrap();
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    holds_exactly_the_truth(&simulator, &job);
    assert!(simulator.stats().repeated_purchases <= 18, "{:?}", simulator.stats().repeated_questions);
}

/// A database goes on without a word from what was moved out of its log before.
#[test]
fn a_log_that_was_emptied_or_lost_is_refused_and_what_it_held_is_not_bought_again() {
    let simulator = serve(|service| service.limits.latency_ms = 3.0);
    let job = Job::of(&simulator).with("--partition none --max-in-flight 16");
    let log = job.state().join("journal.sqlite-wal");
    for pages in [60, 140] {
        let running = job.start();
        until("some pages", || simulator.stats().pages > pages);
        running.kill();
        let sound = std::fs::read(&log).unwrap();
        assert!(!sound.is_empty(), "nothing is in the log");
        let requests = simulator.stats().requests;
        let lost: [(&str, &dyn Fn()); 3] = [
            ("emptied", &|| std::fs::write(&log, "").unwrap()),
            ("lost", &|| std::fs::remove_file(&log).unwrap()),
            ("zeros", &|| std::fs::write(&log, vec![0; sound.len()]).unwrap()),
        ];
        for (how, damage) in lost {
            damage();
            let ended = job.run();
            assert_eq!(ended.code, 7, "{how} after {pages}: {ended}");
            assert!(ended.error().contains("what its log held is gone"), "{how}: {ended}");
            assert_eq!(simulator.stats().requests, requests, "something was sent");
        }
        std::fs::write(&log, &sound).unwrap();
    }
    simulator.change(|service| service.limits.latency_ms = 0.0).unwrap();
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    holds_exactly_the_truth(&simulator, &job);
    assert!(simulator.stats().repeated_purchases <= 34, "{:?}", simulator.stats().repeated_questions);
}

#[test]
fn a_part_that_vanishes_in_mid_run_is_found_before_success_is_said() {
    for damage in
        [|part: &Path| std::fs::remove_file(part).unwrap(), |part: &Path| std::fs::write(part, "cut").unwrap()]
    {
        let simulator = serve(|service| service.limits.latency_ms = 5.0);
        let job = Job::of(&simulator).with("--max-in-flight 4");
        let running = job.start();
        until("the first part", || !parquet_files(&job.out()).is_empty());
        damage(&parquet_files(&job.out())[0]);
        let ended = running.wait();
        assert_eq!(ended.code, 7, "{ended}");
        assert!(ended.error().contains("no longer what they were"), "{ended}");
        assert!(!job.out().join("_SUCCESS").exists(), "{ended}");
        simulator.change(|service| service.limits.latency_ms = 0.0).unwrap();
        let again = job.run();
        assert_eq!(again.code, 0, "{again}");
        holds_exactly_the_truth(&simulator, &job);
        is_whole(&job);
        asks_nothing_more(&simulator, &job);
    }
}

#[test]
fn a_link_in_the_place_of_a_file_or_folder_of_ours_is_not_followed() {
    let simulator = small();
    let job = Job::of(&simulator);
    let elsewhere = job.folder().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::write(elsewhere.join("precious"), "mine").unwrap();
    for (folder, name) in [
        (job.out(), ".staging"),
        (job.out(), "_rejected"),
        (job.out(), "_damaged"),
        (job.out(), "data"),
        (job.out(), ".lock"),
        (job.state(), "ballast.new"),
        (job.state(), "journal.sqlite"),
        (job.state(), "lock"),
    ] {
        for place in [job.out(), job.state()] {
            let _nothing_yet = std::fs::remove_dir_all(place);
        }
        std::fs::create_dir_all(&folder).unwrap();
        let target =
            if folder == job.out() && name != ".lock" { elsewhere.clone() } else { elsewhere.join("precious") };
        symlink(target, folder.join(name)).unwrap();
        let ended = job.run();
        assert_eq!(ended.code, 7, "{name}: {ended}");
        assert!(ended.error().contains(name) && ended.error().contains("symbolic link"), "{name}: {ended}");
        assert_eq!(std::fs::read(elsewhere.join("precious")).unwrap(), b"mine");
        assert_eq!(simulator.stats().requests, 0, "{name}");
        std::fs::remove_file(folder.join(name)).unwrap();
    }
    assert_eq!(job.run().code, 0);
}

/// Each empty day was once published by itself, and a mistyped year took weeks.
#[test]
fn years_of_nothing_are_passed_over_in_a_few_steps() {
    let simulator = small();
    let end = simulator.world().range().end.to_string();
    for partition in ["day", "month"] {
        let job = Job::of(&simulator).with_range_text("1971-01-01", &end).with(&format!("--partition {partition}"));
        let ended = job.run();
        assert_eq!(ended.code, 0, "{ended}");
        holds_exactly_the_truth(&simulator, &job);
        is_whole(&job);
        let journal = Connection::open(job.state().join("journal.sqlite")).unwrap();
        let steps = "SELECT count(*) FROM events WHERE json LIKE '%slice_published%'";
        let steps: u32 = journal.query_row(steps, [], |row| row.get(0)).unwrap();
        let parts = u32::try_from(parquet_files(&job.out()).len()).unwrap();
        assert!(steps >= parts && steps <= 2 * parts + 8, "{steps} steps for {parts} parts");
    }
}
