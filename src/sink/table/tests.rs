//! What a version of the log says, and what a reader makes of it.

use super::*;
use crate::sink::layout::Partition;
use crate::sink::testing::{given, identity, page, parts, range, row, slice};
use crate::units::EpochSeconds;

fn maker(generation: u64) -> Maker<'static> {
    Maker { output: "o1", generation, at: EpochSeconds::new(1_000), tool_version: "0.1.0", rows: Rows::Changed }
}

fn part(second: i64, digits: &str) -> (PartRecord, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let rows = [row(second + 1, digits, 3), row(second + 2, &format!("{digits}9"), 5)];
    let staged = parts(folder.path()).stage(&slice(range(second, second + 60)), given(vec![page(1, &rows)]));
    (staged.unwrap().unwrap(), folder)
}

fn after(table: &Table, listed: &Files, generation: u64, parts: &[PartRecord]) -> Table {
    let difference = Difference::between(listed, parts);
    table.after(maker(generation), &Shape::of(&identity()), &difference, &BTreeMap::new())
}

fn kinds(table: &Table) -> Vec<&str> {
    table.actions.iter().map(|action| action.as_object().unwrap().keys().next().unwrap().as_str()).collect()
}

#[test]
fn each_version_brings_a_reader_from_the_parts_before_to_those_after() {
    let ((one, _), (two, _)) = (part(0, "7"), part(60, "8"));
    let first = after(&Table::default(), &Files::new(), 4, std::slice::from_ref(&one));
    assert_eq!((first.version, kinds(&first)), (Some(0), vec!["commitInfo", "protocol", "metaData", "txn", "add"]));
    let listed = files_of(std::slice::from_ref(&one));
    let second = after(&first, &listed, 5, std::slice::from_ref(&two));
    assert_eq!((second.version, kinds(&second)), (Some(1), vec!["commitInfo", "txn", "remove", "add"]));
    assert_eq!(
        second.superseded,
        [Superseded { path: one.path.clone(), bytes: one.bytes, at: EpochSeconds::new(1_000) }]
    );
    let mut replay = Replay::of(Some("o1"));
    for table in [&first, &second] {
        replay.take(log_text(&table.actions).as_bytes()).unwrap();
    }
    assert_eq!((replay.versions(), replay.files().keys().collect::<Vec<_>>()), (2, vec![&two.path]));
    let (table, files) = replay.into_table();
    assert_eq!(table.superseded, second.superseded);
    assert!(Difference::between(&files, std::slice::from_ref(&two)).is_nothing());
}

#[test]
fn nothing_changes_where_the_parts_are_the_same_and_the_actions_are_told_once() {
    let (one, _folder) = part(0, "7");
    let first = after(&Table::default(), &Files::new(), 4, std::slice::from_ref(&one));
    let again = after(&first, &files_of(std::slice::from_ref(&one)), 5, std::slice::from_ref(&one));
    assert_eq!(again, Table { actions: vec![], ..first });
}

#[test]
fn a_part_that_is_written_anew_under_its_name_is_added_again_and_never_removed_with_it() {
    let (one, _folder) = part(0, "7");
    let changed = PartRecord { sha256: "0".repeat(64), ..one.clone() };
    let first = after(&Table::default(), &Files::new(), 4, std::slice::from_ref(&one));
    let second = after(&first, &files_of(std::slice::from_ref(&one)), 5, std::slice::from_ref(&changed));
    assert_eq!((kinds(&second), second.superseded.len()), (vec!["commitInfo", "txn", "add"], 0));
}

#[test]
fn what_was_removed_and_comes_back_is_not_vacuumed() {
    let (one, _folder) = part(0, "7");
    let first = after(&Table::default(), &Files::new(), 4, std::slice::from_ref(&one));
    let gone = after(&first, &files_of(std::slice::from_ref(&one)), 5, &[]);
    let mut back = after(&gone, &Files::new(), 6, std::slice::from_ref(&one));
    assert_eq!((gone.superseded.len(), back.superseded.len()), (1, 0));
    let mut gone = gone;
    assert_eq!(gone.take_superseded(EpochSeconds::new(999), &[]), []);
    assert_eq!(gone.take_superseded(EpochSeconds::MAX, std::slice::from_ref(&one)), [], "it is a part");
    assert_eq!(gone.take_superseded(EpochSeconds::new(1_000), &[]).len(), 1);
    assert_eq!(back.take_superseded(EpochSeconds::MAX, &[]), []);
}

#[test]
fn another_partition_is_told_in_the_version_that_lays_the_files_out_anew() {
    let (one, _folder) = part(0, "7");
    let first = after(&Table::default(), &Files::new(), 4, std::slice::from_ref(&one));
    let by_month = Shape::of(&Identity { partition: Partition::Month, snapshot: true, ..identity() });
    let nothing = Difference::between(&files_of(std::slice::from_ref(&one)), std::slice::from_ref(&one));
    let second = first.after(maker(5), &by_month, &nothing, &BTreeMap::new());
    assert_eq!(kinds(&second), ["commitInfo", "metaData", "txn"]);
    assert_eq!(by_month.partitioned_by, ["query_region", "snapshot", "month"]);
}

#[test]
fn a_version_of_somebody_else_is_refused_and_so_is_what_is_no_log() {
    let first = after(&Table::default(), &Files::new(), 4, &[]);
    let text = log_text(&first.actions);
    assert!(matches!(Replay::of(Some("o2")).take(text.as_bytes()), Err(ReplayError::Foreign { .. })));
    assert!(matches!(Replay::of(None).take(b"{\"add\":"), Err(ReplayError::Unreadable { .. })));
    assert!(is_of_the_log(&log_file(3)) && !is_of_the_log("data/_delta_logs/x"));
}

#[test]
fn a_file_tells_its_exact_bounds_and_its_nulls() {
    let (one, folder) = part(0, "7");
    let staged = parts(folder.path()).staging.file(&one.path);
    let whole = bytes::Bytes::from(std::fs::read(staged).unwrap());
    let told: Value = serde_json::from_str(&statistics(&whole, one.bytes).unwrap()).unwrap();
    assert_eq!(told["numRecords"], 2);
    assert_eq!(told["minValues"]["video_id"], "7");
    assert_eq!(told["maxValues"]["video_id"], "79");
    assert_eq!((&told["minValues"]["total_digg_cnt"], &told["maxValues"]["total_digg_cnt"]), (&json!(3), &json!(5)));
    assert_eq!(told["minValues"]["create_time"], "2026-01-01T00:00:01.000Z");
    assert_eq!(told["maxValues"]["create_time"], "2026-01-01T00:00:02.000Z");
    assert_eq!((&told["nullCount"]["video_id"], &told["nullCount"]["ratio"]), (&json!(0), &json!(2)));
    assert_eq!(told["nullCount"]["video_products"], Value::Null);
    // A few bytes are not enough, and it says how many are.
    let few = whole.slice(whole.len() - 20..);
    let needed = footer_bytes(Some(&few), one.bytes).unwrap().unwrap();
    let tail = whole.slice(whole.len() - usize::try_from(needed).unwrap()..);
    assert_eq!(footer_bytes(Some(&tail), one.bytes).unwrap(), None);
    assert_eq!(statistics(&tail, one.bytes).unwrap(), told.to_string());
}
