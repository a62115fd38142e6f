//! Outputs that agree with their manifest, and each way in which one does not.

use std::path::PathBuf;

use super::*;
use crate::api::contract::Region;
use crate::sink::account::Rejected;
use crate::sink::columns::Packaging;
use crate::sink::coverage::Reader;
use crate::sink::part::Parts;
use crate::sink::publish::Output;
use crate::sink::testing::{given, identity, manifest, page, part, range, row, slice};
use crate::units::TimeRange;

/// A folder of two parts, one minute each, and the manifest and mark of a complete run.
struct Folder {
    folder: tempfile::TempDir,
    output: Output,
    manifest: Manifest,
}

impl Folder {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (output, _) = Output::open(folder.path(), &identity(), &[]).await.unwrap();
        let mut whole = Self { folder, output, manifest: manifest(range(0, 120), vec![]) };
        whole.publish(range(0, 60), &[row(5, "7", 1), row(6, "8", 1)]).await;
        whole.publish(range(60, 120), &[row(65, "9", 1)]).await;
        whole.finish().await;
        whole
    }

    async fn publish(&mut self, range: TimeRange, rows: &[String]) {
        let parts = Parts::new(self.output.staging(), Layout::default(), Packaging::default());
        let part = parts.stage(&slice(range), given(vec![page(1, rows)])).unwrap().unwrap();
        self.output.reveal(&part).await.unwrap();
        self.manifest.parts.push(part);
    }

    fn covers(&mut self, region: &str, ranges: &[TimeRange]) {
        let region = region.parse().unwrap();
        let ever = TimeRange::new(EpochSeconds::new(0), EpochSeconds::MAX);
        self.manifest.account.coverage.lose(&region, &[ever]);
        self.manifest.account.coverage.read(&region, ranges, Reader { run: "r1", at: EpochSeconds::new(0) });
    }

    async fn finish(&mut self) {
        self.output.commit(&mut self.manifest).await.unwrap();
        self.output.write_success().await.unwrap();
    }

    fn file(&self, part: usize) -> PathBuf {
        self.output.part_file(&self.manifest.parts[part])
    }

    async fn report(&self) -> Report {
        verify(self.folder.path()).await.unwrap()
    }

    /// The one problem, without the path of a part before it.
    async fn problem(&self) -> String {
        let report = self.report().await;
        let [problem] = report.problems.as_slice() else { panic!("{:?}", report.problems) };
        problem.split_once(".parquet ").map_or(problem.clone(), |(_, phrase)| phrase.to_owned())
    }
}

#[tokio::test]
async fn a_whole_output_agrees_and_is_complete() {
    let folder = Folder::new().await;
    let report = folder.report().await;
    assert!(report.is_complete(), "{report:?}");
    assert_eq!((report.parts, report.rows.get()), (2, 3));
}

#[tokio::test]
async fn a_part_that_was_touched_is_damage() {
    let folder = Folder::new().await;
    let content = std::fs::read(folder.file(0)).unwrap();
    let mut flipped = content.clone();
    flipped[content.len() / 2] ^= 1;
    std::fs::write(folder.file(0), flipped).unwrap();
    assert_eq!(folder.problem().await, "has another checksum than is recorded");
    std::fs::write(folder.file(0), &content[1..]).unwrap();
    assert!(folder.problem().await.ends_with("are recorded"));
    std::fs::remove_file(folder.file(0)).unwrap();
    assert_eq!(folder.problem().await, "is missing");
}

/// Found by the fuzzer: a page that claims more levels than it has makes the Parquet reader panic, which ended the check.
#[tokio::test]
async fn a_part_that_breaks_its_reader_is_one_problem() {
    let mut folder = Folder::new().await;
    let rows: Vec<String> = (0..20).map(|number| row(120 + number, &format!("{}", 100 + number), 1)).collect();
    folder.publish(range(120, 180), &rows).await;
    folder.manifest.range = range(0, 180);
    folder.covers("US", &[range(0, 180)]);
    let mut content = std::fs::read(folder.file(2)).unwrap();
    // The first page of `create_time`: the length of its levels, then one run of 20.
    let levels = [2, 0, 0, 0, 20 << 1, 1];
    let at = content.windows(levels.len()).position(|bytes| bytes == levels).unwrap();
    content[at + 4..at + 6].copy_from_slice(&[0xDD, 1]);
    std::fs::write(folder.file(2), &content).unwrap();
    folder.manifest.parts[2].sha256 = sha256_of(content.as_slice()).unwrap();
    folder.finish().await;
    assert_eq!(folder.problem().await, "is no readable Parquet: its reader broke down");
}

#[tokio::test]
async fn a_part_that_is_not_what_it_should_be_comes_with_what_helps() {
    let folder = Folder::new().await;
    let content = std::fs::read(folder.file(0)).unwrap();
    let advice = async || folder.report().await.advice.join("\n");
    assert_eq!(advice().await, "");
    std::fs::write(folder.file(0), &content[1..]).unwrap();
    assert_eq!(advice().await, "the same `run` command reads its 2 rows again, and pays for them");
    std::fs::write(folder.file(0), vec![0; content.len()]).unwrap();
    assert!(advice().await.starts_with("move data/query_region=US/date=2026-01-01/part-"));
    let mut folder = Folder::new().await;
    folder.manifest.range = range(60, 120);
    folder.finish().await;
    std::fs::remove_file(folder.file(0)).unwrap();
    assert!(folder.report().await.advice[0].starts_with("restore data/query_region=US/"));
}

/// A part that was read again is revealed under the name of what it replaces, and only then listed.
#[tokio::test]
async fn a_part_that_a_killed_run_was_reading_again_is_no_damage() {
    let mut killed = Folder::new().await;
    killed.manifest.status = Status::Running;
    let gap = Lack {
        region: "US".parse().unwrap(),
        range: range(0, 60),
        why: "it is being read again".to_owned(),
        fault: None,
        lacks: None,
    };
    killed.covers("US", &[range(60, 120)]);
    killed.manifest.account.gaps.push(gap);
    killed.finish().await;
    killed.output.clear_success().await.unwrap();
    std::fs::write(killed.file(0), "another").unwrap();
    let report = killed.report().await;
    assert!(report.agrees() && !report.is_complete(), "{report:?}");
    assert!(report.shortfalls.iter().any(|lack| lack.ends_with("is being read again")), "{report:?}");
}

#[tokio::test]
async fn a_parquet_file_that_nobody_lists_is_named() {
    let folder = Folder::new().await;
    std::fs::copy(folder.file(0), folder.folder.path().join("data/query_region=US/stray.parquet")).unwrap();
    assert_eq!(folder.report().await.problems, ["data/query_region=US/stray.parquet is not in _manifest.json"]);
}

#[tokio::test]
async fn rows_outside_the_recorded_range_or_count_are_found() {
    let mut folder = Folder::new().await;
    folder.manifest.parts[0].rows = RowCount::new(5);
    folder.finish().await;
    assert_eq!(folder.problem().await, "holds 2 rows, but 5 rows are recorded");
    // The second part's rows under a name and a record that claim a later minute.
    let mut folder = Folder::new().await;
    let claimed = Slice { run: "r1".to_owned(), ..slice(range(180, 240)) };
    let path = Layout::default().path(&claimed).unwrap();
    std::fs::rename(folder.file(1), folder.folder.path().join(&path)).unwrap();
    let part = &mut folder.manifest.parts[1];
    (part.path, part.range) = (path, claimed.range);
    folder.covers("US", &[range(0, 240)]);
    folder.finish().await;
    assert!(folder.problem().await.starts_with("holds video 9 of 1767225665000 ms, outside its range"));
}

/// The second part's rows under a name and a record of another region.
#[tokio::test]
async fn a_part_whose_rows_were_asked_of_another_region_is_found() {
    let mut folder = Folder::new().await;
    let gb: Region = "GB".parse().unwrap();
    let claimed = Slice { region: gb.clone(), ..slice(range(60, 120)) };
    let path = Layout::default().path(&claimed).unwrap();
    let target = folder.folder.path().join(&path);
    std::fs::create_dir_all(target.parent().unwrap()).unwrap();
    std::fs::rename(folder.file(1), target).unwrap();
    (folder.manifest.parts[1].path, folder.manifest.parts[1].region) = (path, gb.clone());
    folder.manifest.regions.push(gb);
    folder.covers("GB", &[range(0, 120)]);
    folder.finish().await;
    assert_eq!(folder.problem().await, "holds a row of region US, not GB");
}

#[tokio::test]
async fn a_part_in_the_wrong_folder_is_found() {
    let mut folder = Folder::new().await;
    let path = folder.manifest.parts[0].path.replace("date=2026-01-01", "date=2026-01-02");
    let target = folder.folder.path().join(&path);
    std::fs::create_dir_all(target.parent().unwrap()).unwrap();
    std::fs::rename(folder.file(0), target).unwrap();
    folder.manifest.parts[0].path = path;
    folder.finish().await;
    assert!(folder.problem().await.starts_with("is not where region US and [2026-01-01T00:00:00Z"));
}

#[tokio::test]
async fn a_video_that_stands_twice_in_a_region_is_found_across_parts() {
    let mut folder = Folder::new().await;
    folder.publish(range(120, 180), &[row(130, "7", 1), row(131, "11", 1)]).await;
    folder.covers("US", &[range(0, 180)]);
    folder.finish().await;
    assert_eq!(folder.problem().await, "region US holds 1 videos more than once");
}

#[tokio::test]
async fn parts_that_hold_the_same_seconds_are_found() {
    let mut folder = Folder::new().await;
    folder.publish(range(50, 70), &[row(66, "12", 1)]).await;
    folder.finish().await;
    let problems = folder.report().await.problems;
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("both hold [2026-01-01T00:00:50Z, 2026-01-01T00:01:00Z)"), "{problems:?}");
}

#[test]
fn rows_out_of_order_are_found() {
    let part = part("p", range(0, 60));
    let second = |seconds: i64| range(seconds, seconds).start.get() * 1000;
    let follow = |rows: [(i64, &str); 2]| {
        let mut check = SortCheck { part: &part, last: None };
        rows.iter().try_for_each(|(seconds, id)| check.next(second(*seconds), id))
    };
    assert_eq!(follow([(5, "a"), (5, "b")]), Ok(()));
    assert_eq!(follow([(5, "b"), (6, "a")]), Ok(()));
    for wrong in [[(5, "b"), (5, "a")], [(5, "a"), (5, "a")], [(6, "a"), (5, "b")]] {
        assert!(follow(wrong).unwrap_err().starts_with("is not sorted at video"));
    }
}

#[tokio::test]
async fn success_and_manifest_must_say_the_same() {
    let mut folder = Folder::new().await;
    folder.output.clear_success().await.unwrap();
    assert!(folder.problem().await.contains("_SUCCESS is missing"));
    folder.manifest.status = Status::Running;
    folder.finish().await;
    assert!(folder.problem().await.starts_with("_SUCCESS is there, but"));
    folder.manifest.status = Status::Complete;
    folder.manifest.regions.push("GB".parse().unwrap());
    folder.covers("GB", &[range(0, 100)]);
    folder.finish().await;
    assert_eq!(folder.report().await.problems.len(), 2);
}

#[tokio::test]
async fn what_the_manifest_itself_lacks_is_no_damage() {
    let mut folder = Folder::new().await;
    let lack = Lack {
        region: "US".parse().unwrap(),
        range: range(60, 120),
        why: "HTTP 500".to_owned(),
        fault: None,
        lacks: None,
    };
    folder.manifest.status = Status::Incomplete;
    folder.covers("US", &[range(0, 60)]);
    folder.manifest.range = range(-60, 120);
    let rejected =
        Rejected { region: lack.region.clone(), range: range(0, 120), run: "r1".to_owned(), rows: RowCount::new(2) };
    folder.manifest.account.gaps.push(lack);
    folder.manifest.account.rejected.push(rejected);
    folder.finish().await;
    folder.output.clear_success().await.unwrap();
    let report = folder.report().await;
    assert!(report.agrees() && !report.is_complete());
    insta::assert_snapshot!(report.shortfalls.join("\n"), @r"
    run r1 ended incomplete
    region US lacks [2025-12-31T23:59:00Z, 2026-01-01T00:00:00Z)
    region US has a gap [2026-01-01T00:01:00Z, 2026-01-01T00:02:00Z): HTTP 500
    2 rows could not be placed and are kept under _rejected
    ");
}

#[tokio::test]
async fn parts_that_a_killed_run_had_just_published_are_no_damage() {
    let mut killed = Folder::new().await;
    killed.manifest.status = Status::Running;
    killed.covers("US", &[range(0, 60)]);
    let newer = killed.manifest.parts.pop().unwrap();
    killed.output.clear_success().await.unwrap();
    killed.output.commit(&mut killed.manifest).await.unwrap();
    let report = verify(killed.folder.path()).await.unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    let said = format!("1 parts of run {} are newer than {MANIFEST}", newer.run);
    assert!(report.shortfalls.contains(&said), "{:?}", report.shortfalls);
    killed.manifest.run = "another".to_owned();
    killed.output.commit(&mut killed.manifest).await.unwrap();
    assert_eq!(verify(killed.folder.path()).await.unwrap().problems.len(), 1);
}

#[tokio::test]
async fn a_folder_without_a_manifest_is_not_guessed_at() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(verify(folder.path()).await, Err(VerifyError::NoManifest { .. })));
    let nowhere = folder.path().join("nowhere");
    assert!(matches!(verify(&nowhere).await, Err(VerifyError::NoManifest { .. })));
    std::fs::write(folder.path().join(MANIFEST), b"{}").unwrap();
    assert!(matches!(verify(folder.path()).await, Err(VerifyError::Manifest(_))));
}

#[tokio::test]
async fn what_lies_outside_the_last_run_is_told_and_lacks_nothing() {
    let mut folder = Folder::new().await;
    folder.covers("US", &[range(-900, -600), range(0, 120)]);
    folder.covers("GB", &[range(0, 10), range(20, 30)]);
    folder.finish().await;
    let report = folder.report().await;
    assert!(report.is_complete(), "{report:?}");
    insta::assert_snapshot!(report.elsewhere.join("\n"), @r"
    region GB has a gap [2026-01-01T00:00:10Z, 2026-01-01T00:00:20Z): no run has read it
    region US has a gap [2025-12-31T23:50:00Z, 2026-01-01T00:00:00Z): no run has read it
    ");
}

#[tokio::test]
async fn parts_that_are_older_than_they_are_kept_may_be_gone_and_no_others() {
    let mut folder = Folder::new().await;
    folder.manifest.retain_seconds = Some(now().since(range(60, 60).start));
    folder.finish().await;
    std::fs::remove_file(folder.file(0)).unwrap();
    assert!(folder.report().await.is_complete());
    std::fs::remove_file(folder.file(1)).unwrap();
    assert_eq!(folder.problem().await, "is missing");
}

/// What a commit has replaced may still be there when the process dies.
#[tokio::test]
async fn files_that_a_commit_has_replaced_are_no_strangers() {
    let mut folder = Folder::new().await;
    let gone = folder.manifest.parts.pop().unwrap();
    folder.manifest.superseded.push(gone.path);
    folder.finish().await;
    assert!(folder.report().await.agrees());
}

#[tokio::test]
async fn a_part_of_schema_version_1_is_read_by_its_own_columns() {
    let mut folder = Folder::new().await;
    let batch = crate::sink::testing::read(&folder.file(0));
    let former = former::as_version_1(&batch);
    let mut content = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut content, former.schema(), None).unwrap();
    writer.write(&former).unwrap();
    writer.close().unwrap();
    std::fs::write(folder.file(0), &content).unwrap();
    let part = &mut folder.manifest.parts[0];
    (part.bytes, part.sha256) = (ByteCount::new(content.len() as u64), sha256_of(content.as_slice()).unwrap());
    folder.finish().await;
    assert!(folder.problem().await.contains("other columns"));
    folder.manifest.parts[0].schema = 1;
    folder.finish().await;
    assert!(folder.report().await.is_complete());
}

/// For a while the service gave another time: what came then stands beside what came before and after.
#[test]
fn videos_that_stand_under_two_times_are_found_with_all_that_lies_between() {
    let folder = tempfile::tempdir().unwrap();
    let staging = crate::sink::staging::Staging::open(folder.path()).unwrap();
    let parts = Parts::new(staging.clone(), Layout::default(), Packaging::default());
    let staged = |time: TimeRange, rows: &[String]| {
        let part = parts.stage(&slice(time), given(vec![page(1, rows)])).unwrap().unwrap();
        let file = staging.file(&part.path);
        (part, file)
    };
    let all = [
        staged(range(0, 60), &[row(5, "7", 1), row(6, "8", 1)]),
        staged(range(60, 120), &[row(65, "9", 1), row(70, "x", 1)]),
        staged(range(120, 180), &[row(125, "8", 1), row(130, "7", 1), row(140, "10", 1)]),
        staged(range(180, 240), &[row(190, "11", 1), row(200, "x", 1)]),
    ];
    assert!(moved_videos(&all[..2]).unwrap().is_empty());
    let told =
        |parts| moved_videos(parts).unwrap().into_iter().map(|moved| (moved.range, moved.videos)).collect::<Vec<_>>();
    assert_eq!(told(&all[..3]), [(range(5, 131), 2)]);
    assert_eq!(told(&all), [(range(5, 201), 3)]);
}
