//! What a summary says, as a person and as a program reads it.

use std::fs;

use super::*;

fn range(start: i64, end: i64) -> TimeRange {
    TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(end))
}

fn complete() -> Summary {
    Summary {
        is_quota_spent: false,
        outcome: ExitCode::Complete,
        run: "20260101T000000Z-1".to_owned(),
        range: range(1_764_547_200, 1_765_152_000),
        regions: vec!["US".parse().unwrap(), "GB".parse().unwrap()],
        shard: None,
        output: "out/demo".to_owned(),
        rows: RowCount::new(212_341),
        parts: 14,
        bytes: ByteCount::new(32_715_571),
        requests: Requests {
            attempts: Credits::new(21_310),
            answered: Credits::new(21_270),
            retries: 40,
            throttled: 12,
            possibly_charged: Credits::ZERO,
        },
        former: Former::default(),
        elsewhere: vec![],
        journal: Kept::default(),
        settled_share: None,
        requests_of_this_start: 21_310,
        duration: Duration::from_millis(62_345),
        confirm_after_s: 20,
        gaps: Vec::new(),
        unproven: Vec::new(),
        warnings: vec![],
        rejected: 0,
        kept_in_extra: 5,
        extra_fields: BTreeMap::from([("music_id".to_owned(), 4), ("width".to_owned(), 1)]),
        duplicates: 163,
        newest: BTreeMap::from([("US".parse().unwrap(), EpochSeconds::new(1_765_151_990))]),
        next: None,
    }
}

fn with_gaps(count: i64) -> Summary {
    let gap = |index: i64| Shortfall {
        region: "US".parse().unwrap(),
        range: range(1_764_550_000 + index * 100, 1_764_550_001 + index * 100),
        why: "status 500 eight times, then once more in the last round".to_owned(),
        fault: None,
        lacks: None,
    };
    Summary {
        outcome: ExitCode::Incomplete,
        gaps: (0..count).map(gap).collect(),
        rejected: 2,
        next: Some("run the same command again to read the gaps".to_owned()),
        ..complete()
    }
}

#[test]
fn a_complete_run_is_told_with_its_price() {
    insta::assert_snapshot!(complete());
}

#[test]
fn a_run_with_gaps_lists_them_up_to_a_bound() {
    insta::assert_snapshot!(with_gaps(12));
    assert_eq!(with_gaps(10).to_string().matches("status 500").count(), 10);
    assert!(!with_gaps(10).to_string().contains("more;"));
}

#[test]
fn a_narrow_terminal_gets_whole_words() {
    let told = Summary { next: Some("the same command goes on ".repeat(8)), ..with_gaps(2) }.folded(60);
    assert!(told.lines().all(|line| line.len() <= 60), "{told}");
    assert!(told.contains("command goes\n            on the same"), "{told}");
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&with_gaps(2).folded(40)), words(&with_gaps(2).to_string()));
    assert_eq!(complete().folded(500), complete().to_string());
}

#[test]
fn a_shard_says_that_the_range_is_not_all_its_own() {
    assert!(!complete().to_string().contains("shard") && !complete().to_json().unwrap().contains("shard"));
    let shard = Summary { shard: Some("2/4".to_owned()), ..complete() };
    assert!(shard.to_string().contains("US GB, of which this is shard 2/4\n"));
    assert!(shard.to_json().unwrap().contains(r#""shard": "2/4""#));
}

#[test]
fn one_of_a_thing_is_told_as_one() {
    let requests = Requests { attempts: Credits::new(1), retries: 1, ..complete().requests };
    let one = Summary { requests, parts: 1, rows: RowCount::new(1), duplicates: 1, kept_in_extra: 1, ..complete() };
    let told = one.to_string();
    for word in
        ["1 row in 1 part ", "1 request,", "1 retry,", "floor of 1 credit,", "1 duplicate dropped", "1 value kept"]
    {
        assert!(told.contains(word), "{word}: {told}");
    }
}

#[test]
fn a_start_that_had_nothing_to_do_says_so() {
    let idle = Summary { requests_of_this_start: 0, duration: Duration::from_millis(40), ..complete() };
    assert!(idle.to_string().contains("00:00:00, no request was sent"));
    let empty = Summary { rows: RowCount::ZERO, ..idle };
    assert!(empty.to_string().contains("no rows, so no floor"));
    assert_eq!(empty.price_over_floor(), None);
}

#[test]
fn the_json_form_is_written_whole_in_place_of_the_former_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("summary.json");
    fs::write(&path, "former").unwrap();
    with_gaps(1).write_json(&path).unwrap();
    insta::assert_snapshot!(fs::read_to_string(&path).unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// An interrupted run said "0 rows, gaps none" of thousands of pages that it had bought.
#[test]
fn an_unfinished_run_tells_what_is_safe() {
    let kept = Kept { pages: 27, rows: RowCount::new(265) };
    let next = Some("the same command goes on".to_owned());
    let stopped =
        Summary { outcome: ExitCode::Interrupted, journal: kept, settled_share: Some(0.349_99), next, ..complete() };
    let early = Summary { parts: 0, rows: RowCount::ZERO, bytes: ByteCount::ZERO, ..stopped.clone() };
    let nothing = Summary { journal: Kept::default(), ..early.clone() };
    insta::assert_snapshot!([stopped, early, nothing].map(|summary| summary.to_string()).join("\n\n"));
}

#[test]
fn a_place_for_the_summary_is_made_and_tried_beforehand() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/place/summary.json");
    prepare(&path).unwrap();
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    complete().write_json(&path).unwrap();
    prepare(&path).unwrap();
    assert!(fs::read_to_string(&path).unwrap().contains("complete"));
    for impossible in
        [folder.path().to_owned(), path.join("below/a/file.json"), PathBuf::from("/"), PathBuf::from("/dev/null")]
    {
        assert!(prepare(&impossible).is_err(), "{}", impossible.display());
    }
}

#[test]
fn a_summary_that_cannot_be_written_names_its_file() {
    let error = complete().write_json(Path::new("no/such/folder/summary.json")).unwrap_err();
    assert!(error.to_string().starts_with("writing the summary to no/such/folder/summary.json: "));
}
