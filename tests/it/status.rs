//! `status` in each state that a job may be in: beside a run, stopped, finished, with a gap, without a state; its picture and its JSON.

use std::fs;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{Ended, Job, serve, small, until};

/// A second with more rows than a page holds: 2025-12-10T02:00:00Z.
const BROKEN: i64 = 1_765_332_000;
/// Of the summary and of this.
const VERSION: u64 = 1;

fn one_object(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended}"))
}

fn status(job: &Job) -> Value {
    let ended = job.call("status --json").wait();
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended}");
    one_object(&ended)
}

/// The object without what differs from run to run.
fn redacted(mut told: Value, job: &Job) -> String {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match name.as_str() {
                        "at" | "began_at" | "said_at" | "oldest_read_at" | "newest_read_at" if !value.is_null() => {
                            *value = json!("MOMENT");
                        }
                        "run" => *value = json!("RUN"),
                        "bytes" => *value = json!("BYTES"),
                        _ => walk(value),
                    }
                }
            }
            Value::Array(values) => values.iter_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut told);
    serde_json::to_string_pretty(&told).unwrap().replace(&job.folder().display().to_string(), "FOLDER")
}

#[test]
fn the_json_of_a_finished_run_has_its_price_and_says_nothing_of_a_process() {
    let (_simulator, job) = small(|_| {});
    let run = job.run();
    assert_eq!(run.code, 0, "{run}");
    let told = status(&job);
    assert_eq!(told["credits"], run.summary["requests"]["attempts"]);
    assert_eq!((&told["requests"], &told["rows"]), (&run.summary["requests"], &run.summary["rows"]));
    assert_eq!(told["runs"][0]["price_over_floor"], run.summary["price_over_floor"]);
    insta::assert_snapshot!(redacted(told, &job));
}

#[test]
fn a_stopped_run_tells_what_is_read_and_what_is_not() {
    let (_simulator, job) = small(|_| {});
    let run = job.run_with("--max-credits 20");
    assert_eq!(run.code, 4, "{run}");
    let told = status(&job);
    assert_eq!((&told["outcome"], &told["running"]), (&json!("unfinished"), &json!(false)));
    assert_eq!((&told["rate"], &told["eta_seconds"]), (&Value::Null, &Value::Null), "nothing is at work");
    assert_eq!(told["credits"], 20);
    assert_eq!(told["waiting_pages"], run.summary["journal"]["pages"]);
    let region = &told["regions"][0];
    let (covered, read) = (region["covered_share"].as_f64().unwrap(), region["read_share"].as_f64().unwrap());
    assert!(0.0 < covered && covered <= read && read < 1.0, "{told}");
    assert_eq!(region["covered"][0]["start"], told["range"]["start"]);
    let text = job.status().stdout;
    let picture = text.lines().find(|line| line.starts_with("US ")).unwrap();
    assert_eq!(picture.chars().count(), 70, "{text}");
    assert!(picture.ends_with("...") && text.contains(". not read"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() < 80 || line.starts_with("output ")), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn beside_a_run_the_process_is_seen_and_goes_on() {
    let simulator = serve(|service| service.limits.latency_ms = 20.0);
    let job = Job::of(&simulator).with("--max-in-flight 2");
    let mut running = job.start();
    until("word of how the run stands", || job.state().exists() && one_object_or_none(&job).is_some_and(is_at_work));
    assert!(running.is_alive());
    let text = job.status().stdout;
    assert!(text.contains(": running\n") && text.contains("> being read") && text.contains("\nleft "), "{text}");
    simulator.change(|service| service.limits.latency_ms = 0.0).unwrap();
    let ended = running.wait();
    assert_eq!(ended.code, 0, "{ended}");
    let told = status(&job);
    assert_eq!((&told["outcome"], &told["running"]), (&json!("complete"), &json!(false)));
    assert!(told["regions"].as_array().unwrap().iter().all(|region| region["covered_share"] == 1.0), "{told}");
}

fn one_object_or_none(job: &Job) -> Option<Value> {
    let ended = job.call("status --json").wait();
    (ended.code == 0).then(|| one_object(&ended))
}

fn is_at_work(told: Value) -> bool {
    let reads = |region: &Value| !region["reading"].as_array().unwrap().is_empty();
    told["running"] == true && told["said_at"].is_i64() && told["regions"].as_array().unwrap().iter().any(reads)
}

#[test]
fn a_watch_ends_with_the_run_and_tells_a_block_each_time() {
    let simulator = serve(|service| service.limits.latency_ms = 20.0);
    let job = Job::of(&simulator).with("--max-in-flight 2");
    let mut running = job.start();
    until("a run", || job.state().exists() && one_object_or_none(&job).is_some_and(|told| told["running"] == true));
    let (text, lines) = (job.call("status --watch 100ms"), job.call("status --watch 100ms --json"));
    until("some pages", || simulator.stats().pages > 40);
    assert!(running.is_alive());
    simulator.change(|service| service.limits.latency_ms = 0.0).unwrap();
    assert_eq!(running.wait().code, 0);
    let (text, lines) = (text.wait(), lines.wait());
    assert_eq!((text.code, lines.code), (0, 0), "{text}{lines}");
    let looks: Vec<Value> = lines.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ends: Vec<&Value> = looks.iter().map(|look| &look["running"]).collect();
    assert!(ends.len() > 1 && ends[..ends.len() - 1].iter().all(|running| **running == true), "{lines}");
    assert_eq!(looks.last().unwrap()["outcome"], "complete");
    assert!(text.stdout.matches("\nrun ").count() > 0 && !text.stdout.contains('\u{1b}'), "{text}");
    assert!(text.stdout.split("\n\n").last().unwrap().contains(": complete\n"), "{text}");
}

#[test]
fn a_gap_is_seen_in_picture_share_and_list() {
    let simulator = serve(|service| {
        service.world.rows = 1_000;
        service.world.from = "2025-12-10T00:00:00Z".parse().unwrap();
        service.world.to = "2025-12-10T12:00:00Z".parse().unwrap();
        service.world.dense_seconds = vec![format!("{BROKEN}=12").parse().unwrap()];
        service.faults.poison = vec![BROKEN.to_string().parse().unwrap()];
    });
    let job = Job::of(&simulator);
    let run = job.run();
    assert_eq!(run.code, 3, "{run}");
    let told = status(&job);
    let region = &told["regions"][0];
    assert_eq!(region["gaps"], run.summary["gaps"]);
    assert_eq!(region["covered"].as_array().unwrap().len(), 2, "{told}");
    assert!(region["covered_share"].as_f64().unwrap() < 1.0 && region["read_share"].as_f64().unwrap() < 1.0, "{told}");
    let text = job.status().stdout;
    assert!(text.contains("99.9 % of the time") && !text.contains("100.0 %"), "{text}");
    assert!(text.contains("G gap") && text.contains("\ngap "), "{text}");
    let picture = text.lines().find(|line| line.starts_with("US ")).unwrap();
    assert_eq!(picture.matches('G').count(), 1, "{text}");
    simulator.change(|service| service.faults.poison.clear()).unwrap();
    assert_eq!(job.run().code, 0);
    assert_eq!(status(&job)["regions"][0]["gaps"], json!([]));
    assert!(job.status().stdout.contains("100.0 % of the time"));
}

/// A look cost as much as the pages that were bought: it folded and counted them.
#[test]
fn the_pages_are_not_read() {
    let (_simulator, job) = small(|_| {});
    assert_eq!(job.run_with("--max-credits 20").code, 4);
    let (before, text) = (redacted(status(&job), &job), job.status().stdout);
    let journal = Connection::open(job.state().join("journal.sqlite")).unwrap();
    for table in ["pages", "row_keys", "bodies", "released", "events", "closed_windows", "rejected"] {
        journal.execute_batch(&format!("DROP TABLE {table}")).unwrap();
    }
    drop(journal);
    assert_eq!(redacted(status(&job), &job), before);
    let without_time =
        |text: &str| text.lines().filter(|line| !line.starts_with("said")).collect::<Vec<_>>().join("\n");
    assert_eq!(without_time(&job.status().stdout), without_time(&text));
}

#[test]
fn without_a_state_the_manifest_is_told_and_one_that_is_damaged_is_refused() {
    let (_simulator, job) = small(|_| {});
    let nothing = job.status();
    assert_eq!(nothing.code, 2, "{nothing}");
    assert!(nothing.error().contains("holds no state") && nothing.error().contains("\nhint: "), "{nothing}");
    assert_eq!(job.run().code, 0);
    let with_state = status(&job);
    fs::remove_dir_all(job.state()).unwrap();
    let told = status(&job);
    for name in ["run", "range", "rows", "parts", "outcome"] {
        assert_eq!(told[name], with_state[name], "{name}");
    }
    assert_eq!(told["regions"][0]["covered"], with_state["regions"][0]["covered"]);
    assert_eq!((&told["credits"], &told["requests"]), (&Value::Null, &Value::Null), "the manifest does not know");
    fs::write(job.out().join("_manifest.json"), "{\"manifest_version\": 3, ").unwrap();
    for damaged in [job.status(), job.verify_as_json(), job.run()] {
        assert_eq!((damaged.code, damaged.stdout.as_str()), (7, ""), "{damaged}");
        assert!(damaged.error().contains("_manifest.json cannot be read"), "{damaged}");
        assert!(damaged.error().contains("\nhint: restore it"), "{damaged}");
    }
}

#[test]
fn the_json_of_verify_says_what_is_wrong_and_what_to_do() {
    let (_simulator, job) = small(|_| {});
    assert_eq!(job.run().code, 0);
    let sound = job.verify_as_json();
    let told = one_object(&sound);
    assert_eq!((sound.code, &told["exit_code"], &told["outcome"]), (0, &json!(0), &json!("complete")));
    assert_eq!(told["version"], VERSION);
    insta::assert_snapshot!(redacted(told, &job));
    fs::remove_file(&crate::support::parquet_files(&job.out())[0]).unwrap();
    let damaged = job.verify_as_json();
    let told = one_object(&damaged);
    assert_eq!((damaged.code, &told["exit_code"], &told["agrees"]), (7, &json!(7), &json!(false)));
    assert_eq!((told["problems"].as_array().unwrap().len(), told["hints"].as_array().unwrap().len()), (1, 1), "{told}");
}

/// Prints how long a look takes; run it by name. As seen, see `docs/operations.md`.
#[test]
#[ignore = "it makes a journal of half a gigabyte"]
fn of_a_million_pages() {
    let (_simulator, job) = small(|_| {});
    assert_eq!(job.run_with("--max-credits 20").code, 4);
    let journal = Connection::open(job.state().join("journal.sqlite")).unwrap();
    let many = |most: u32, insert: &str| {
        let numbers =
            format!("WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < {most} + 1000)");
        journal.execute_batch(&format!("BEGIN; {numbers} {insert}; COMMIT")).unwrap();
    };
    many(
        1_000_000,
        "INSERT INTO pages SELECT i, 1, 'US', 'walk', i / 2000 + 9, 0, i % 2000 + 1, 1764547200, 10, 1764547200, 1764547200, \
         1764547201, 'answers', 0, 10, 0, i FROM n",
    );
    many(1_000_000, "INSERT INTO row_keys SELECT i, randomblob(160), randomblob(8) FROM n");
    many(
        100_000,
        "INSERT INTO bodies SELECT i, 'US', 1764547200, 1764547201, 10, 0, NULL, 9000, randomblob(8), randomblob(2500) FROM n",
    );
    many(50_000, "INSERT INTO events SELECT i + 2000000, '{}', randomblob(8) FROM n");
    many(
        2_000,
        "INSERT INTO parts SELECT path || i, state, json_set(record, '$.path', path || i) FROM n, \
         (SELECT * FROM parts WHERE state = 'published' LIMIT 1)",
    );
    drop(journal);
    for command in ["status", "status --json"] {
        let looks: Vec<u128> = (0..10)
            .map(|_| {
                let began = std::time::Instant::now();
                assert_eq!(job.call(command).wait().code, 0);
                began.elapsed().as_millis()
            })
            .collect();
        println!("{command}: {looks:?} ms, the process's start included");
    }
}
