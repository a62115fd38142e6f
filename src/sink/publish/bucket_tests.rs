//! The same output in a bucket, where no lock keeps others out.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::sink::address::Address;
use crate::sink::columns::Packaging;
use crate::sink::layout::Layout;
use crate::sink::part::Parts;
use crate::sink::store::testing::{Fault, Misbehaving};
use crate::sink::store::{StoreError, Writers};
use crate::sink::testing::{given, identity, manifest, page, range, row, slice};

/// A process with a state of its own.
struct Process {
    state: TempDir,
    output: Output,
    manifest: Option<Manifest>,
}

fn target(state: &TempDir) -> Target {
    let address = Address::parse(Path::new("s3://bucket/lake/videos")).unwrap();
    let writer = state.path().file_name().unwrap().to_str().unwrap().to_owned();
    Target { address, local: state.path().to_owned(), writers: Writers::Any, writer }
}

async fn start_with(bucket: &Arc<Misbehaving>, state: TempDir, known: &[String]) -> Result<Process, OutputError> {
    let output = Output::of(bucket.store(Writers::Any), Vec::new(), &target(&state));
    output.try_out().await?;
    let manifest = output.read(&identity()).await?;
    output.take(manifest.as_ref(), known).await?;
    Ok(Process { state, output, manifest })
}

async fn start(bucket: &Arc<Misbehaving>) -> Process {
    start_with(bucket, tempfile::tempdir().unwrap(), &[]).await.unwrap()
}

impl Process {
    fn stage(&self, run: &str) -> PartRecord {
        let parts = Parts::new(self.output.staging(), Layout::default(), Packaging::default());
        let slice = crate::sink::layout::Slice { run: run.to_owned(), ..slice(range(0, 60)) };
        parts.stage(&slice, given(vec![page(1, &[row(5, "7", 1)])])).unwrap().unwrap()
    }

    async fn commit(&self, run: &str, parts: Vec<PartRecord>) -> Result<Manifest, OutputError> {
        let mut next = Manifest { run: run.to_owned(), generation: 0, ..manifest(range(0, 60), parts) };
        self.output.commit(&mut next).await.map(|()| next)
    }
}

#[tokio::test]
async fn a_part_goes_up_under_a_name_of_its_own_and_stays_staged_until_it_is_listed() {
    let bucket = Misbehaving::new();
    let process = start(&bucket).await;
    let (one, again) = (process.stage("r1"), process.stage("r1"));
    assert_eq!(one.path, again.path, "the same content has the same name");
    assert!(one.path.ends_with(&format!("-r1.{}.parquet", &one.sha256[..16])), "{}", one.path);
    assert_eq!(process.output.standing(&one).await.unwrap(), Standing::Missing);
    for _ in ["puts it", "puts it again"] {
        assert_eq!(process.output.reveal(&one).await.unwrap(), Revealed::Moved);
    }
    assert_eq!(process.output.standing(&one).await.unwrap(), Standing::Whole);
    assert_eq!(process.output.staging.size(&one.path), Some(one.bytes));
    process.commit("r1", vec![one.clone()]).await.unwrap();
    assert_eq!(process.output.staging.size(&one.path), None);
    assert_eq!(process.output.reveal(&one).await.unwrap(), Revealed::Already);
    let copy = process.output.local(&one).await.unwrap();
    assert_eq!(std::fs::metadata(&*copy).unwrap().len(), one.bytes.get());
    drop(copy);
    process.output.remove(std::slice::from_ref(&one.path)).await.unwrap();
    assert_eq!(bucket.names().await, [MANIFEST]);
}

#[tokio::test]
async fn who_opens_a_bucket_later_is_the_one_that_may_write() {
    let bucket = Misbehaving::new();
    let first = start(&bucket).await;
    let listed = first.stage("r1");
    first.output.reveal(&listed).await.unwrap();
    let before = first.commit("r1", vec![listed.clone()]).await.unwrap();
    let second = start(&bucket).await;
    assert_eq!(second.manifest, Some(before.clone()), "claiming changes nothing that a reader sees");
    let late = Parts::new(first.output.staging(), Layout::default(), Packaging::default());
    let late = late.stage(&slice(range(60, 120)), given(vec![page(2, &[row(65, "8", 1)])])).unwrap().unwrap();
    first.output.reveal(&late).await.unwrap();
    second.commit("r2", vec![listed.clone()]).await.unwrap();
    let text = first.commit("r1", vec![listed.clone(), late.clone()]).await.unwrap_err().to_string();
    assert_eq!(
        text,
        "the manifest of the output s3://bucket/lake/videos was replaced meanwhile by something else: generation 1 was \
         expected, and 2 is there"
    );
    assert_eq!(bucket.names().await, [MANIFEST.to_owned(), listed.path], "what is not listed was taken back");
    assert_eq!(first.output.staging.size(&late.path), Some(late.bytes), "and is not lost");
}

#[tokio::test]
async fn a_claim_alone_is_enough_to_be_refused() {
    let bucket = Misbehaving::new();
    let first = start(&bucket).await;
    first.commit("r1", vec![]).await.unwrap();
    let _second = start(&bucket).await;
    // The manifest still tells of the first one's run; nobody will list its part.
    let part = first.stage("r1");
    first.output.reveal(&part).await.unwrap();
    let text = first.commit("r1", vec![part]).await.unwrap_err().to_string();
    assert!(text.ends_with("generation 1 was expected, and that of another process is there"), "{text}");
    assert_eq!(bucket.names().await, [MANIFEST]);
}

#[tokio::test]
async fn who_cannot_upload_since_another_took_over_is_told_so() {
    let bucket = Misbehaving::new();
    let first = start(&bucket).await;
    first.commit("r1", vec![]).await.unwrap();
    let (taken_back, part) = (first.stage("r1"), first.stage("r2"));
    first.output.reveal(&taken_back).await.unwrap();
    bucket.next(Fault::ConflictOfNothing);
    assert!(matches!(first.output.reveal(&part).await, Err(OutputError::Store(_))));
    let _other =
        start_with(&bucket, tempfile::tempdir().unwrap(), std::slice::from_ref(&taken_back.path)).await.unwrap();
    bucket.next(Fault::ConflictOfNothing);
    assert!(matches!(first.output.reveal(&part).await, Err(OutputError::Replaced { .. })));
    assert_eq!(bucket.names().await, [MANIFEST]);
}

#[tokio::test]
async fn who_finds_the_parts_of_a_process_that_began_meanwhile_has_lost_and_does_not_blame_them() {
    let bucket = Misbehaving::new();
    let state = tempfile::tempdir().unwrap();
    let late = Output::of(bucket.store(Writers::Any), Vec::new(), &target(&state));
    let nothing = late.read(&identity()).await.unwrap();
    let other = start(&bucket).await;
    other.commit("r1", vec![]).await.unwrap();
    other.output.reveal(&other.stage("r1")).await.unwrap();
    let refused = late.take(nothing.as_ref(), &[]).await.unwrap_err();
    assert!(matches!(refused, OutputError::Replaced { .. }), "{refused}");
}

#[tokio::test]
async fn what_a_copy_of_the_same_state_may_list_yet_is_not_taken_back() {
    let bucket = Misbehaving::new();
    let mut first = start(&bucket).await;
    let second = start(&bucket).await;
    first.output.writer.clone_from(&second.output.writer);
    let (one, same) = (first.stage("r1"), second.stage("r1"));
    assert_eq!(one.path, same.path);
    first.output.reveal(&one).await.unwrap();
    second.commit("r1", vec![]).await.unwrap();
    first.commit("r1", vec![one]).await.unwrap_err();
    second.output.reveal(&same).await.unwrap();
    second.commit("r1", vec![same.clone()]).await.unwrap();
    assert_eq!(second.output.standing(&same).await.unwrap(), Standing::Whole);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_eight_processes_in_an_empty_bucket_one_publishes_and_nothing_of_the_others_is_left() {
    for race in 0..30 {
        let bucket = Misbehaving::new();
        let (mut started, mut processes) = (Vec::new(), Vec::new());
        for _ in 0..8 {
            started.push(start(&bucket).await);
        }
        for (number, process) in started.into_iter().enumerate() {
            processes.push(tokio::spawn(async move {
                let run = format!("r{number}");
                let part = process.stage(&run);
                process.output.reveal(&part).await.unwrap();
                (process.commit(&run, vec![part.clone()]).await, part)
            }));
        }
        let mut won = Vec::new();
        for process in processes {
            match process.await.unwrap() {
                (Ok(_), part) => won.push(part.path),
                (Err(OutputError::Replaced { .. }), _) => {}
                (Err(error), _) => panic!("race {race}: {error}"),
            }
        }
        assert_eq!(won.len(), 1, "race {race}");
        assert_eq!(bucket.names().await, [MANIFEST.to_owned(), won.remove(0)], "race {race}");
    }
}

#[tokio::test]
async fn a_part_that_a_killed_process_left_is_gone_on_with_or_moved_aside() {
    let bucket = Misbehaving::new();
    let killed = start(&bucket).await;
    killed.commit("r1", vec![]).await.unwrap();
    let part = killed.stage("r1");
    killed.output.reveal(&part).await.unwrap();
    let next = start_with(&bucket, killed.state, std::slice::from_ref(&part.path)).await.unwrap();
    assert_eq!(next.output.reveal(&part).await.unwrap(), Revealed::Moved);
    let theirs = next.stage("r9");
    next.output.reveal(&theirs).await.unwrap();
    let foreign = start_with(&bucket, tempfile::tempdir().unwrap(), std::slice::from_ref(&part.path)).await;
    assert!(matches!(foreign, Err(OutputError::Foreign { count: 1, .. })));
    next.output.remove(&[theirs.path]).await.unwrap();
    drop(next);
    let with_another_state = start(&bucket).await;
    assert_eq!(with_another_state.output.standing(&part).await.unwrap(), Standing::Missing);
    let names = bucket.names().await;
    assert!(names.len() == 2 && names[0].starts_with("_damaged/") && names[0].ends_with(".damaged"), "{names:?}");
}

#[tokio::test]
async fn success_and_rejected_rows_come_and_go() {
    let bucket = Misbehaving::new();
    let process = start(&bucket).await;
    process.output.write_success().await.unwrap();
    let line = crate::sink::rejected::RejectedLine {
        page: "p".to_owned(),
        index: 0,
        why: "w".to_owned(),
        text: "t".to_owned(),
    };
    let lines = std::iter::once(Ok::<_, std::io::Error>(line));
    let staged = process.output.staging().stage_rejected((&"US".parse().unwrap(), "r1"), lines).unwrap().unwrap();
    process.output.reveal_rejected(&staged).await.unwrap();
    assert_eq!(bucket.names().await, [SUCCESS, "_rejected/US-r1.jsonl"]);
    assert_eq!(std::fs::read_dir(process.state.path().join(".staging")).unwrap().count(), 0);
    process.output.clear_success().await.unwrap();
    process.output.remove_rejected(&staged.path).await.unwrap();
    process.output.remove_rejected(&staged.path).await.unwrap();
    assert_eq!(bucket.names().await, Vec::<String>::new());
}

#[tokio::test]
async fn who_was_overtaken_leaves_the_success_of_the_other_alone() {
    let bucket = Misbehaving::new();
    let (slow, fast) = (start(&bucket).await, start(&bucket).await);
    fast.commit("r1", Vec::new()).await.unwrap();
    fast.output.write_success().await.unwrap();
    assert!(matches!(slow.output.clear_success().await, Err(OutputError::Replaced { .. })));
    let claims = start(&bucket).await;
    let later = start(&bucket).await;
    assert!(matches!(claims.output.clear_success().await, Err(OutputError::Replaced { .. })));
    assert!(bucket.names().await.contains(&SUCCESS.to_owned()));
    later.output.clear_success().await.unwrap();
    assert!(!bucket.names().await.contains(&SUCCESS.to_owned()));
}

#[tokio::test]
async fn a_bucket_that_heeds_no_conditions_is_refused_before_anything_is_read() {
    let bucket = Misbehaving::new();
    bucket.next(Fault::NoConditions);
    let refused = start_with(&bucket, tempfile::tempdir().unwrap(), &[]).await;
    assert!(matches!(refused, Err(OutputError::Store(StoreError::Unconditional { .. }))));
}
