//! What a run, `status`, `verify` and the main errors say, word for word. Read the snapshots as prose.
//!
//! One worker and a small world, so that every number but sizes and times is the same each time.

use keyapi_export::simulator::{Access, PageNum, TimeUnit};

use crate::support::{Ended, Job, parquet_files, small, until};

/// The text with what differs from run to run named instead.
fn redacted(job: &Job, text: &str) -> String {
    let text = text.replace(&job.folder().display().to_string(), "FOLDER").replace(job.base_url(), "SERVICE");
    text.lines().map(redacted_line).collect::<Vec<_>>().join("\n")
}

fn redacted_line(line: &str) -> String {
    if line.starts_with("  time  ") {
        return "  time      TIME, RATE".to_owned();
    }
    if line.starts_with("said  ") {
        return "said      SECONDS ago, by the process: what is read".to_owned();
    }
    if let Some((_, run)) = line.split_once("Z ").filter(|_| line.starts_with("runs  ")) {
        return format!("runs      MOMENT {run}");
    }
    if let Some((counts, _)) = line.split_once(" rows, ").filter(|_| line.starts_with("parts  ")) {
        return format!("{counts} rows, SIZE");
    }
    let line = between(line, " parts (", ")", "SIZE");
    without_runs(&between(&line, " rows, ", " B", "SIZE"))
}

/// A run's name is a word of twelve hexadecimal digits, and nothing else here is.
fn without_runs(line: &str) -> String {
    let ends_a_word = |letter: char| !letter.is_ascii_alphanumeric();
    let is_a_run = |word: &str| word.len() == 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let word = |piece: &str| {
        let word = piece.trim_end_matches(ends_a_word);
        if is_a_run(word) { piece.replace(word, "RUN") } else { piece.to_owned() }
    };
    line.split_inclusive(ends_a_word).map(word).collect()
}

/// `line` with `name` in place of what stands between the first `before` and the next `after`.
fn between(line: &str, before: &str, after: &str, name: &str) -> String {
    let Some((start, rest)) = line.split_once(before) else { return line.to_owned() };
    let Some((_, end)) = rest.split_once(after) else { return line.to_owned() };
    format!("{start}{before}{name}{after}{end}")
}

/// The texts, each under the code that it came with.
fn told<'a>(job: &Job, ends: impl IntoIterator<Item = (&'a str, &'a Ended)>) -> String {
    let text = |(title, ended): (&str, &Ended)| {
        let error = if ended.stderr.contains("error: ") { ended.error() } else { String::new() };
        let words = [redacted(job, &ended.stdout), redacted(job, &error)];
        let words: Vec<String> = words.into_iter().filter(|words| !words.is_empty()).collect();
        format!("## {title}: exit {}\n{}", ended.code, words.join("\n(stderr)\n"))
    };
    ends.into_iter().map(text).collect::<Vec<_>>().join("\n\n")
}

#[test]
fn a_run_tells_what_it_came_to() {
    let (_simulator, job) = small(|_| {});
    let at_the_budget = job.run_with("--max-credits 20");
    let unfinished = job.status();
    let complete = job.run();
    let finished = job.status();
    let again = job.run();
    let text = told(
        &job,
        [
            ("run --max-credits 20", &at_the_budget),
            ("status", &unfinished),
            ("run", &complete),
            ("status", &finished),
            ("run", &again),
            ("verify", &job.verify()),
        ],
    );
    insta::assert_snapshot!(text);
}

#[test]
fn a_run_with_rejected_rows_and_an_empty_region_tells_so() {
    let (_simulator, job) = small(|service| service.odd.garbage = 0.02);
    let rejected = job.run();
    let verified = job.verify();
    let (_other, empty) = small(|_| {});
    let empty = empty.with_regions(&["ZZ"]);
    let nothing = empty.run();
    let text = format!(
        "{}\n\n{}",
        told(&job, [("run with garbage rows", &rejected), ("verify", &verified)]),
        told(&empty, [("run of an empty region", &nothing), ("verify", &empty.verify()), ("status", &empty.status())])
    );
    insta::assert_snapshot!(text);
}

#[test]
fn each_refusal_by_the_service_says_what_to_do() {
    let texts = [
        ("a wrong key", small(|service| service.contract.token = "another key".to_owned())),
        ("a key without access", small(|service| service.contract.access = Access::Denied)),
        ("page_num that counts rows", small(|service| service.contract.page_num = PageNum::RowOffset)),
        ("times in milliseconds", small(|service| service.contract.time_unit = TimeUnit::Milliseconds)),
        ("a quota that is used up", small(|service| service.limits.credits = Some(20))),
    ]
    .map(|(title, (_simulator, job))| told(&job, [(title, &job.run())]));
    let text = texts.join("\n\n");
    insta::assert_snapshot!(text);
}

#[test]
fn each_refusal_of_a_command_says_what_to_do() {
    let (simulator, job) = small(|_| {});
    let foreign = job.out().join("mine.parquet");
    std::fs::create_dir_all(job.out()).unwrap();
    std::fs::write(&foreign, "mine").unwrap();
    let stranger = job.run();
    std::fs::remove_file(&foreign).unwrap();
    let quoted = job.run_where(&[("KEYAPI_TOKEN", "'sk_live_in_quotes'\n".to_owned())]).unwrap();
    std::fs::write(job.folder().join("file"), "").unwrap();
    let no_place = job.run_with(&format!("--summary {}", job.folder().join("file/summary.json").display()));
    let started = job.run_with("--max-credits 20");
    assert_eq!(started.code, 4, "{started}");
    let another_partition = job.run_with("--partition month");
    let another_question = job.run_with("--is-ad true");
    let another_state = job.folder().join("another").display().to_string();
    let another_owner = job.run_with(&format!("--is-ad true --state {another_state}"));
    simulator.change(|service| service.limits.latency_ms = 100.0).unwrap();
    let requests = simulator.stats().requests;
    let running = job.start();
    until("the next request", || simulator.stats().requests > requests);
    let locked = job.run();
    let output_locked = job.run_with(&format!("--state {another_state}2"));
    running.kill();
    simulator.change(|service| service.limits.latency_ms = 0.0).unwrap();
    assert_eq!(job.run().code, 0);
    std::fs::remove_file(&parquet_files(&job.out())[1]).unwrap();
    let damaged = job.verify();
    std::fs::remove_dir_all(job.out()).unwrap();
    let missing = job.run();
    let text = told(
        &job,
        [
            ("somebody else's parquet", &stranger),
            ("a key in quotes", &quoted),
            ("a summary that has no place", &no_place),
            ("another partition", &another_partition),
            ("another question", &another_question),
            ("another owner of the output", &another_owner),
            ("another run at work", &locked),
            ("another run in the output", &output_locked),
            ("verify, with a part that is gone", &damaged),
            ("an output that is gone", &missing),
        ],
    );
    insta::assert_snapshot!(text);
}

#[test]
fn status_of_nothing_says_where_to_look() {
    let (_simulator, job) = small(|_| {});
    let text = told(&job, [("status", &job.status())]);
    insta::assert_snapshot!(text);
}

#[test]
fn verify_of_a_folder_that_is_not_there_says_where_to_look() {
    let (_simulator, job) = small(|_| {});
    let verified = job.verify();
    assert_eq!(verified.code, 2, "{verified}");
    assert!(verified.error().contains("--out"), "{verified}");
}
