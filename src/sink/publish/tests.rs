//! Parts that become visible, replace others, or died on the way.

use std::path::Path;

use super::*;
use crate::sink::columns::Packaging;
use crate::sink::layout::{Layout, Partition};
use crate::sink::part::Parts;
use crate::sink::rejected::RejectedLine;
use crate::sink::testing::{given, identity, manifest, page, range, row, slice};

async fn open(folder: &Path) -> Result<(Output, Option<Manifest>), OutputError> {
    Output::open(folder, &identity(), &[]).await
}

fn stage(output: &Output) -> PartRecord {
    let parts = Parts::new(output.staging(), Layout::default(), Packaging::default());
    parts.stage(&slice(range(0, 60)), given(vec![page(1, &[row(5, "7", 1)])])).unwrap().unwrap()
}

#[tokio::test]
async fn a_part_is_invisible_until_it_is_revealed_and_revealing_again_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (output, none) = open(&folder.path().join("new/out")).await.unwrap();
    assert_eq!(none, None);
    let part = stage(&output);
    assert!(!output.holds(&part).await.unwrap());
    assert_eq!(output.store.parquet_files().await.unwrap(), Vec::<String>::new());
    assert_eq!(output.reveal(&part).await.unwrap(), Revealed::Moved);
    assert_eq!(output.reveal(&part).await.unwrap(), Revealed::Already);
    assert!(output.holds(&part).await.unwrap());
    assert_eq!(output.store.parquet_files().await.unwrap(), [part.path]);
}

#[tokio::test]
async fn a_crash_between_prepare_and_reveal_is_made_good_by_revealing() {
    let folder = tempfile::tempdir().unwrap();
    let part = stage(&open(folder.path()).await.unwrap().0);
    let (output, _) = open(folder.path()).await.unwrap();
    assert_eq!(output.reveal(&part).await.unwrap(), Revealed::Moved);
    output.discard_staging_but(&[]).unwrap();
    assert!(output.holds(&part).await.unwrap());
}

#[tokio::test]
async fn a_crash_after_reveal_leaves_a_part_that_the_journal_knows() {
    let folder = tempfile::tempdir().unwrap();
    let (output, _) = open(folder.path()).await.unwrap();
    let part = stage(&output);
    output.reveal(&part).await.unwrap();
    drop(output);
    assert!(matches!(open(folder.path()).await.unwrap_err(), OutputError::Foreign { count: 1, .. }));
    let (output, _) = Output::open(folder.path(), &identity(), std::slice::from_ref(&part.path)).await.unwrap();
    assert_eq!(output.reveal(&part).await.unwrap(), Revealed::Already);
}

#[tokio::test]
async fn a_part_that_is_neither_staged_nor_there_is_lost_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let (output, _) = open(folder.path()).await.unwrap();
    let part = stage(&output);
    std::fs::write(output.staging.file(&part.path), b"cut").unwrap();
    let text = output.reveal(&part).await.unwrap_err().to_string();
    assert!(text.contains(&part.path) && text.contains("3 B are staged"), "{text}");
    output.discard_staging_but(&[]).unwrap();
    assert!(matches!(output.reveal(&part).await.unwrap_err(), OutputError::Lost { .. }));
}

#[tokio::test]
async fn two_runs_cannot_hold_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let held = open(folder.path()).await.unwrap();
    assert!(matches!(open(folder.path()).await.unwrap_err(), OutputError::Locked { .. }));
    drop(held);
    assert!(open(folder.path()).await.is_ok());
}

#[tokio::test]
async fn another_questions_folder_and_foreign_parquet_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (output, _) = open(folder.path()).await.unwrap();
    let part = stage(&output);
    output.reveal(&part).await.unwrap();
    let mut written = manifest(range(0, 60), vec![part]);
    output.commit(&mut written).await.unwrap();
    drop(output);
    let month = Identity { partition: Partition::Month, ..identity() };
    let text = Output::open(folder.path(), &month, &[]).await.unwrap_err().to_string();
    assert!(text.ends_with("another question: it is laid out by day, and not by month"), "{text}");
    assert_eq!(open(folder.path()).await.unwrap().1, Some(written));
    std::fs::write(folder.path().join("data/query_region=US/mine.parquet"), b"").unwrap();
    let text = open(folder.path()).await.unwrap_err().to_string();
    assert!(text.contains("1 files") && text.contains("data/query_region=US/mine.parquet"), "{text}");
}

#[test]
fn opening_may_run_on_any_worker_thread() {
    fn on_any_thread<F: Send>(_: F) {}
    on_any_thread(Output::open(Path::new("out"), &identity(), &[]));
}

#[tokio::test]
async fn success_comes_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let (output, _) = open(folder.path()).await.unwrap();
    output.clear_success().await.unwrap();
    output.write_success().await.unwrap();
    assert!(folder.path().join(SUCCESS).exists());
    output.clear_success().await.unwrap();
    assert!(!folder.path().join(SUCCESS).exists());
}

#[tokio::test]
async fn a_damaged_part_is_moved_where_no_reader_looks_and_nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let (output, _) = open(folder.path()).await.unwrap();
    let part = stage(&output);
    output.reveal(&part).await.unwrap();
    assert_eq!(output.standing(&part).await.unwrap(), Standing::Whole);
    let mut kept = vec![];
    for content in ["first", "second"] {
        std::fs::write(output.part_file(&part), content).unwrap();
        let found = ByteCount::new(content.len() as u64);
        assert_eq!(output.standing(&part).await.unwrap(), Standing::Damaged { found });
        kept.push(output.set_aside(&part.path).await.unwrap().unwrap());
        assert_eq!(output.standing(&part).await.unwrap(), Standing::Missing);
    }
    assert_eq!(output.set_aside(&part.path).await.unwrap(), None);
    let contents: Vec<String> = kept.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    assert_eq!(contents, ["first", "second"]);
    assert_eq!(output.store.parquet_files().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn superseded_parts_are_removed_once_and_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let (output, _) = open(folder.path()).await.unwrap();
    let part = stage(&output);
    output.reveal(&part).await.unwrap();
    output.remove(std::slice::from_ref(&part.path)).await.unwrap();
    assert!(!output.part_file(&part).exists());
    output.remove(&[part.path]).await.unwrap();
}

#[tokio::test]
async fn rejected_rows_are_replaced_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (output, _) = open(folder.path()).await.unwrap();
    for text in ["1", "2"] {
        let line = RejectedLine { page: "p".to_owned(), index: 0, why: "w".to_owned(), text: text.to_owned() };
        let lines = std::iter::once(Ok::<_, std::io::Error>(line));
        let staged = output.staging().stage_rejected((&"US".parse().unwrap(), "r1"), lines).unwrap().unwrap();
        output.reveal_rejected(&staged).await.unwrap();
    }
    let text = std::fs::read_to_string(folder.path().join("_rejected/US-r1.jsonl")).unwrap();
    assert_eq!(text, "{\"page\":\"p\",\"index\":0,\"why\":\"w\",\"text\":\"2\"}\n");
}

#[tokio::test]
async fn a_manifest_takes_the_place_of_the_one_before_it_and_of_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (output, _) = open(folder.path()).await.unwrap();
    let mut mine = manifest(range(0, 60), vec![]);
    for generation in [2, 3] {
        output.commit(&mut mine).await.unwrap();
        assert_eq!(mine.generation, generation);
    }
    std::fs::remove_file(folder.path().join(MANIFEST)).unwrap();
    output.commit(&mut mine).await.unwrap();
    let theirs = Manifest { generation: 9, ..mine.clone() };
    std::fs::write(folder.path().join(MANIFEST), theirs.to_json().unwrap()).unwrap();
    let text = output.commit(&mut mine).await.unwrap_err().to_string();
    assert!(text.ends_with("generation 4 was expected, and 9 is there"), "{text}");
    let found = std::fs::read(folder.path().join(MANIFEST)).unwrap();
    assert_eq!(Manifest::parse(&found).unwrap(), theirs, "what is there stays");
}

/// Parts of an output of format 1 lie beside its manifest. A process may die between any two of them.
#[tokio::test]
async fn the_parts_of_an_output_of_format_1_are_moved_into_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let text = include_bytes!("../../../tests/fixtures/manifest_1.json");
    let one: serde_json::Value = serde_json::from_slice(text).unwrap();
    let path = one["parts"][0]["path"].as_str().unwrap();
    let file = folder.path().join(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "rows").unwrap();
    std::fs::write(folder.path().join(MANIFEST), text).unwrap();
    let asked = Identity { path: crate::api::contract::SOURCE.path.to_owned(), ..identity() };
    for _ in ["moves it", "finds it moved"] {
        let (output, found) = Output::open(folder.path(), &asked, &[]).await.unwrap();
        let found = found.unwrap();
        assert_eq!(std::fs::read_to_string(output.part_file(&found.parts[0])).unwrap(), "rows");
        assert!(!folder.path().join("query_region=US").exists(), "no empty folder is left");
    }
    let month = Identity { partition: Partition::Month, ..asked };
    assert!(matches!(Output::open(folder.path(), &month, &[]).await, Err(OutputError::AnotherQuestion { .. })));
}

/// The state was lost after a part got its name, and before the manifest listed it.
#[tokio::test]
async fn a_part_of_the_manifests_run_that_nobody_knows_is_moved_aside() {
    let folder = tempfile::tempdir().unwrap();
    let (output, _) = open(folder.path()).await.unwrap();
    output.commit(&mut manifest(range(0, 60), vec![])).await.unwrap();
    let part = stage(&output);
    output.reveal(&part).await.unwrap();
    drop(output);
    let (output, _) = open(folder.path()).await.unwrap();
    assert_eq!(output.standing(&part).await.unwrap(), Standing::Missing);
    assert_eq!(std::fs::read_dir(folder.path().join("_damaged")).unwrap().count(), 1);
}

/// An output that is a table too, with one part that its manifest and its log list.
async fn table_of_one_part(folder: &Path) -> (Output, PartRecord, Manifest) {
    let (output, _) = open(folder).await.unwrap();
    let part = stage(&output);
    output.reveal(&part).await.unwrap();
    let mut told =
        Manifest { generation: 0, table: Some(Default::default()), ..manifest(range(0, 60), vec![part.clone()]) };
    output.commit(&mut told).await.unwrap();
    (output, part, told)
}

#[tokio::test]
async fn a_version_that_was_committed_and_not_put_is_put_by_whoever_opens_the_output_next() {
    let folder = tempfile::tempdir().unwrap();
    let (output, _part, mut told) = table_of_one_part(folder.path()).await;
    let file = folder.path().join("data/_delta_log/00000000000000000000.json");
    let text = std::fs::read(&file).unwrap();
    drop(output);
    std::fs::remove_file(&file).unwrap();
    let (output, _) = open(folder.path()).await.unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), text, "the same bytes");
    // Nothing has changed, so there is no other version; and the manifest does not repeat what the log has.
    output.commit(&mut told).await.unwrap();
    let table = told.table.clone().unwrap();
    assert_eq!((table.version, table.actions.len()), (Some(0), 0));
    assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
}

#[tokio::test]
async fn what_a_table_has_listed_is_removed_by_the_vacuum_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (output, part, mut told) = table_of_one_part(folder.path()).await;
    told.parts.clear();
    output.commit(&mut told).await.unwrap();
    let path = std::slice::from_ref(&part.path);
    output.remove(path).await.unwrap();
    assert!(output.holds(&part).await.unwrap());
    assert_eq!(output.vacuum(told.written_at.shifted(-1), &[]).await.unwrap(), []);
    assert!(output.holds(&part).await.unwrap());
    assert_eq!(output.vacuum(told.written_at, &[]).await.unwrap().len(), 1);
    assert!(!output.holds(&part).await.unwrap());
    output.commit(&mut told).await.unwrap();
    assert_eq!(told.table.unwrap().superseded, []);
}
