use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::progress::tally::RegionView;
use crate::summary::{Former as FormerParts, Kept, Requests};
use crate::units::{ByteCount, EpochSeconds, RowCount, TimeRange};

/// 2026-01-05T04:15:00Z.
const STARTED: f64 = 1_767_586_500.0;
const OUTPUT: &str = "/data/\"daily\"\\x\ny";

fn spent(attempts: u64, answered: u64, throttled: u64) -> Spent {
    Spent { attempts, answered, throttled, retries: attempts - answered, possibly_charged: 0 }
}

fn run(began_at: i64, before: Spent, spent: Spent) -> RunView {
    RunView { began_at: EpochSeconds::new(began_at), before, spent }
}

fn at_work() -> View {
    let region = RegionView {
        region: "US".parse().unwrap(),
        rows: RowCount::new(1_010),
        settled_seconds: 250,
        range_seconds: 1_000,
    };
    View {
        regions: vec![region],
        settled_share: 0.25,
        published_rows: RowCount::new(500),
        last_page_ago: Some(Duration::from_millis(1_250)),
        permitted_per_second: Some(12.5),
        held: Some((Duration::from_millis(2_500), "429".to_owned())),
        remaining: Some(Duration::from_secs(90)),
        ..View::default()
    }
}

fn range(start: i64, end: i64) -> TimeRange {
    TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(end))
}

fn summary(outcome: ExitCode) -> Summary {
    Summary {
        is_quota_spent: false,
        outcome,
        run: "1".to_owned(),
        range: range(1_766_966_400, 1_767_571_200),
        regions: vec!["US".parse().unwrap(), "GB".parse().unwrap()],
        shard: None,
        output: OUTPUT.to_owned(),
        rows: RowCount::new(2_000),
        parts: 14,
        bytes: ByteCount::new(300_000),
        requests: Requests::default(),
        former: FormerParts::default(),
        elsewhere: Vec::new(),
        warnings: Vec::new(),
        journal: Kept::default(),
        settled_share: None,
        requests_of_this_start: 0,
        duration: Duration::ZERO,
        confirm_after_s: 20,
        gaps: Vec::new(),
        unproven: Vec::new(),
        rejected: 0,
        kept_in_extra: 0,
        extra_fields: BTreeMap::new(),
        duplicates: 0,
        newest: BTreeMap::from([("US".parse().unwrap(), EpochSeconds::new(1_767_571_190))]),
        next: None,
    }
}

/// What is told, with the parts that change from test to test.
struct Scene {
    view: View,
    runs: Vec<RunView>,
    end: Option<End>,
    now: f64,
}

impl Scene {
    fn begun() -> Self {
        Self { view: View::default(), runs: Vec::new(), end: None, now: STARTED }
    }

    fn ended(code: ExitCode, summary: Option<Summary>, runs: Vec<RunView>) -> Self {
        let end = Some(End { code, at: STARTED + 100.0, summary });
        Self { view: at_work(), runs, end, now: STARTED + 100.0 }
    }

    fn text(&self, former: &str) -> String {
        let moment = Moment {
            output: OUTPUT,
            started_at: STARTED,
            now: self.now,
            max_credits: Some(Credits::new(50_000)),
            view: &self.view,
            runs: &self.runs,
            end: self.end.as_ref(),
        };
        tell(&moment, &Former::read(former))
    }
}

/// The number of a series, named without the label of the output.
fn value(text: &str, family: &str, label: Label<'_>) -> Option<f64> {
    let labels: Vec<(&str, &str)> = std::iter::once(("output", OUTPUT)).chain(label).collect();
    Former::read(text).get(&series(&format!("keyapi_export_{family}"), &labels))
}

/// A release changes no snapshot.
fn without_version(text: &str) -> String {
    text.replace(env!("CARGO_PKG_VERSION"), "VERSION")
}

fn plain(text: &str, family: &str) -> Option<f64> {
    value(text, family, None)
}

#[test]
fn a_first_start_tells_no_number_that_it_does_not_know() {
    insta::assert_snapshot!(without_version(&Scene::begun().text("")));
}

#[test]
fn a_start_at_work_tells_how_far_it_is() {
    let runs = vec![run(1_767_586_500, Spent::default(), spent(120, 101, 12))];
    let scene = Scene { view: at_work(), runs, end: None, now: STARTED + 15.0 };
    insta::assert_snapshot!(without_version(&scene.text("")));
}

#[test]
fn an_end_tells_what_came_of_it() {
    let runs = vec![run(1_767_586_500, Spent::default(), spent(220, 201, 12))];
    let missing = |seconds: i64| Shortfall {
        region: "US".parse().unwrap(),
        range: range(10, 10 + seconds),
        why: "HTTP 500".to_owned(),
        fault: None,
        lacks: None,
    };
    let with_gaps = Summary { gaps: vec![missing(1), missing(60)], rejected: 3, ..summary(ExitCode::Incomplete) };
    insta::assert_snapshot!(without_version(&Scene::ended(ExitCode::Incomplete, Some(with_gaps), runs).text("")));
}

#[test]
fn every_family_that_is_told_is_named() {
    let runs = vec![run(1_767_586_500, Spent::default(), spent(1, 1, 0))];
    let scene = Scene { view: at_work(), runs: runs.clone(), end: None, now: STARTED };
    let told = scene.text("") + &Scene::ended(ExitCode::Complete, Some(summary(ExitCode::Complete)), runs).text("");
    for family in of::ALL {
        assert!(told.contains(&format!("\n{}{{", family.name)), "{} is never told", family.name);
    }
    let names: std::collections::BTreeSet<&str> = of::ALL.iter().map(|family| family.name).collect();
    assert_eq!(names.len(), of::ALL.len());
}

#[test]
fn a_run_that_fails_is_killed_goes_on_and_succeeds_tells_exactly_that() {
    let of_run = |before, now| vec![run(1_767_586_500, before, now)];
    let (first, second_, third) = (spent(100, 90, 10), spent(250, 230, 10), spent(400, 370, 20));
    let failed =
        Scene::ended(ExitCode::ServiceUnwell, Some(summary(ExitCode::ServiceUnwell)), of_run(Spent::default(), first));
    let failed = failed.text("");
    assert_eq!(plain(&failed, "last_exit_code"), Some(5.0));
    assert_eq!(plain(&failed, "last_success_timestamp_seconds"), Some(0.0));

    // Killed: the last thing that it told is that it was at work.
    let killed = Scene { view: at_work(), runs: of_run(first, second_), end: None, now: STARTED + 15.0 }.text(&failed);
    assert_eq!((plain(&killed, "running"), plain(&killed, "last_exit_code")), (Some(1.0), Some(5.0)));

    // What it asked after that is in the ledger, and is counted by the start that goes on.
    let before = spent(260, 240, 10);
    let goes_on = Scene { view: View::default(), runs: Vec::new(), end: None, now: STARTED }.text(&killed);
    assert_eq!(value(&goes_on, "ends_total", Some(("outcome", "killed"))), Some(1.0));
    assert_eq!(plain(&goes_on, "starts_total"), Some(3.0));
    assert_eq!(
        value(&goes_on, "run_requests", Some(("outcome", "answered"))),
        Some(230.0),
        "not yet known, so as it was"
    );

    let done = Scene::ended(ExitCode::Complete, Some(summary(ExitCode::Complete)), of_run(before, third)).text(&killed);
    let ends = |outcome| value(&done, "ends_total", Some(("outcome", outcome)));
    assert_eq!((ends("service_unwell"), ends("killed"), ends("complete")), (Some(1.0), Some(1.0), Some(1.0)));
    assert_eq!(plain(&done, "running"), Some(0.0));
    assert_eq!(plain(&done, "last_success_timestamp_seconds"), Some(STARTED + 100.0));
    let total = |outcome| value(&done, "requests_total", Some(("outcome", outcome)));
    assert_eq!((total("answered"), total("throttled"), total("failed")), (Some(370.0), Some(20.0), Some(10.0)));
    assert_eq!(plain(&done, "run_spent_credits"), Some(400.0));

    // The next night fails: the success is kept, and so is what was counted.
    let next_run = vec![run(1_767_672_900, Spent::default(), spent(7, 0, 0))];
    let next = Scene::ended(ExitCode::Refused, None, next_run).text(&done);
    assert_eq!(plain(&next, "last_success_timestamp_seconds"), Some(STARTED + 100.0));
    assert_eq!(plain(&next, "last_success_range_end_timestamp_seconds"), Some(1_767_571_200.0));
    assert_eq!(value(&next, "requests_total", Some(("outcome", "answered"))), Some(370.0));
    assert_eq!(value(&next, "requests_total", Some(("outcome", "failed"))), Some(17.0));
    assert_eq!(value(&next, "newest_row_timestamp_seconds", Some(("region", "US"))), Some(1_767_571_190.0));
    assert_eq!(plain(&next, "last_published_rows"), Some(2_000.0));
}

#[test]
fn a_run_of_which_the_file_has_never_told_is_counted_from_where_this_start_took_it_up() {
    let scene = Scene::ended(ExitCode::Complete, None, vec![run(5, spent(1_000, 900, 50), spent(1_100, 1_000, 50))]);
    let text = scene.text("");
    assert_eq!(value(&text, "requests_total", Some(("outcome", "answered"))), Some(100.0));
    assert_eq!(value(&text, "run_requests", Some(("outcome", "answered"))), Some(1_000.0));
}

#[test]
fn a_start_that_closes_one_run_and_begins_another_counts_both() {
    let former =
        Scene { view: at_work(), runs: vec![run(5, Spent::default(), spent(80, 80, 0))], end: None, now: STARTED };
    let former = former.text("");
    let runs = vec![run(5, spent(90, 90, 0), spent(100, 100, 0)), run(9, Spent::default(), spent(30, 30, 0))];
    let text = Scene::ended(ExitCode::Complete, None, runs).text(&former);
    assert_eq!(value(&text, "requests_total", Some(("outcome", "answered"))), Some(130.0));
    assert_eq!(plain(&text, "run_start_timestamp_seconds"), Some(9.0));
}

#[test]
fn what_a_file_told_of_another_output_is_not_this_ones() {
    let former = Scene::ended(ExitCode::Complete, Some(summary(ExitCode::Complete)), Vec::new()).text("");
    let text = Scene::begun().text(&former.replace("\\ny\"", "\\ny2\""));
    assert_eq!(text, Scene::begun().text(""));
}

#[test]
fn a_region_that_is_not_asked_any_more_is_not_told_of_after_the_next_result() {
    let former = Scene::ended(ExitCode::Complete, Some(summary(ExitCode::Complete)), Vec::new()).text("");
    let of_gb =
        Summary { regions: vec!["GB".parse().unwrap()], newest: BTreeMap::new(), ..summary(ExitCode::Complete) };
    let text = Scene::ended(ExitCode::Complete, Some(of_gb), Vec::new()).text(&former);
    assert_eq!(value(&former, "newest_row_timestamp_seconds", Some(("region", "US"))), Some(1_767_571_190.0));
    assert!(!text.contains("region=\"US\""), "{text}");
}

#[test]
fn the_end_of_a_start_without_a_word_of_the_former_one_is_no_kill() {
    let former = Scene::ended(ExitCode::Locked, None, Vec::new()).text("");
    let text = Scene::begun().text(&former);
    assert_eq!(value(&text, "ends_total", Some(("outcome", "killed"))), Some(0.0));
    assert_eq!(value(&text, "ends_total", Some(("outcome", "locked"))), Some(1.0));
}
