//! What a bucket does to a manifest, to uploads and to conditions, also where its answers are wrong.

use std::collections::BTreeSet;
use std::io::Write as _;

use object_store::path::Path as Location;
use tempfile::TempDir;

use super::testing::{Fault, Misbehaving};
use super::*;
use crate::sink::manifest::Manifest;
use crate::sink::staging::Names;
use crate::sink::testing::{manifest, range};

fn staging() -> (TempDir, Staging) {
    let folder = tempfile::tempdir().unwrap();
    let staging = Staging::open(folder.path()).unwrap().naming(Names::ByContent);
    (folder, staging)
}

/// A manifest of a generation, written by somebody.
fn text(generation: u64, by: &str) -> Vec<u8> {
    let written = Manifest { generation, write_id: Some(by.to_owned()), ..manifest(range(0, 60), vec![]) };
    written.to_json().unwrap()
}

async fn replace(store: &dyn Store, generation: u64, by: &str) -> Result<Replacement, StoreError> {
    let (_folder, staging) = staging();
    let expected = Some(generation - 1).filter(|expected| *expected > 0);
    let json = text(generation, by);
    store.replace_manifest(&staging, NextManifest { json: &json, expected, write_id: Some(by) }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_eight_writers_exactly_one_replaces_the_manifest_and_nothing_of_the_others_is_seen() {
    let bucket = Misbehaving::new();
    for race in 1..=30 {
        let (mut ready, mut writers) = (Vec::new(), Vec::new());
        for _ in 0..8 {
            let store = bucket.store(Writers::Any);
            store.read_manifest().await.unwrap();
            ready.push(store);
        }
        for (writer, store) in ready.into_iter().enumerate() {
            let by = format!("{race}-{writer}");
            writers.push(tokio::spawn(async move { (replace(&*store, race, &by).await.unwrap(), by) }));
        }
        let mut won = Vec::new();
        let mut refused = BTreeSet::new();
        for writer in writers {
            match writer.await.unwrap() {
                (Replacement::Done, by) => won.push(by),
                (Replacement::Refused { found }, _) => drop(refused.insert(found)),
            }
        }
        assert_eq!(won.len(), 1, "race {race}: {won:?}");
        let there = bucket.store(Writers::Any).read_manifest().await.unwrap().unwrap();
        assert_eq!(there, text(race, &won[0]));
        assert_eq!(refused, BTreeSet::from([there]), "the others are told who was faster");
    }
    assert_eq!(bucket.names().await, ["_manifest.json"]);
}

#[tokio::test]
async fn a_write_of_our_own_is_told_from_others_whatever_its_answer_was() {
    for fault in [Fault::SaysThatItExists, Fault::AnswerIsLost, Fault::ConflictOfNothing] {
        let bucket = Misbehaving::new();
        let store = bucket.store(Writers::Any);
        assert_eq!(store.read_manifest().await.unwrap(), None);
        for generation in 1..=2 {
            bucket.next(fault);
            let by = format!("mine-{generation}");
            assert_eq!(replace(&*store, generation, &by).await.unwrap(), Replacement::Done, "{fault:?}");
            let there = bucket.store(Writers::Any).read_manifest().await.unwrap();
            assert!(there == Some(text(generation, &by)), "{fault:?}");
        }
        // Somebody else was faster, and the store says so in the same way.
        let other = bucket.store(Writers::Any);
        other.read_manifest().await.unwrap();
        assert_eq!(replace(&*other, 3, "theirs").await.unwrap(), Replacement::Done);
        let refused = Replacement::Refused { found: text(3, "theirs") };
        assert_eq!(replace(&*store, 3, "mine-3").await.unwrap(), refused, "{fault:?}");
        let late = bucket.store(Writers::Any);
        late.read_manifest().await.unwrap();
        assert_eq!(replace(&*late, 3, "late").await.unwrap(), refused, "it is not the generation that was expected");
    }
}

#[tokio::test]
async fn a_manifest_that_is_gone_is_written_again() {
    let bucket = Misbehaving::new();
    let store = bucket.store(Writers::Any);
    store.read_manifest().await.unwrap();
    replace(&*store, 1, "first").await.unwrap();
    store.unlink("_manifest.json").await.unwrap();
    assert_eq!(replace(&*store, 2, "second").await.unwrap(), Replacement::Done);
}

#[tokio::test]
async fn with_one_writer_alone_a_look_at_the_generation_has_to_do() {
    let bucket = Misbehaving::new();
    bucket.next(Fault::NoConditions);
    let store = bucket.store(Writers::One);
    store.probe(&staging().1).await.unwrap();
    assert_eq!(replace(&*store, 1, "mine").await.unwrap(), Replacement::Done);
    assert_eq!(replace(&*bucket.store(Writers::One), 2, "theirs").await.unwrap(), Replacement::Done);
    let refused = Replacement::Refused { found: text(2, "theirs") };
    assert_eq!(replace(&*store, 2, "mine").await.unwrap(), refused);
}

#[tokio::test]
async fn a_store_is_tried_before_it_is_relied_on_and_nothing_of_that_is_left() {
    let (_folder, staging) = staging();
    for fault in [None, Some(Fault::SaysThatItExists)] {
        let bucket = Misbehaving::new();
        fault.into_iter().for_each(|fault| bucket.next(fault));
        bucket.store(Writers::Any).probe(&staging).await.unwrap();
        assert_eq!(bucket.names().await, Vec::<String>::new());
    }
    let bucket = Misbehaving::new();
    bucket.next(Fault::NoConditions);
    let refused = bucket.store(Writers::Any).probe(&staging).await.unwrap_err().to_string();
    assert!(refused.contains("does not heed the conditions of a write"), "{refused}");
    assert_eq!(bucket.names().await, Vec::<String>::new());
    assert_eq!(staging.notes().unwrap(), []);
}

/// A staged file that goes up in three pieces.
fn large(staging: &Staging) -> Vec<u8> {
    let content: Vec<u8> =
        (0..20_000_000_u32).map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap()).collect();
    let mut file = staging.create("data/large.parquet").unwrap();
    file.write_all(&content).unwrap();
    file.seal().unwrap();
    content
}

#[tokio::test]
async fn a_large_file_goes_up_in_pieces_and_is_what_it_was() {
    let ((folder, staging), bucket) = (staging(), Misbehaving::new());
    let content = large(&staging);
    let store = bucket.store(Writers::Any);
    for fault in [None, Some(Fault::CompletionIsLost)] {
        fault.into_iter().for_each(|fault| bucket.next(fault));
        store.reveal(&staging, "data/large.parquet").await.unwrap();
        let copy = store.local("data/large.parquet", &folder.path().join("copy")).await.unwrap();
        assert!(std::fs::read(&*copy).unwrap() == content);
        assert!(copy.is_copy());
        drop(copy);
        assert!(!folder.path().join("copy").exists());
        assert_eq!((bucket.open_uploads(), staging.notes().unwrap()), (0, vec![]));
    }
}

#[tokio::test]
async fn an_upload_that_fails_is_given_up_also_where_nobody_was_told_that_it_began() {
    // What is left after each, of uploads and of notes: without a list nobody knows of what nobody was told.
    for (lists_uploads, left) in [(true, [(0, 0); 3]), (false, [(1, 1), (1, 1), (2, 1)])] {
        let ((_folder, staging), bucket) = (staging(), Misbehaving::new());
        large(&staging);
        bucket.lists_uploads(lists_uploads);
        let store = bucket.store(Writers::Any);
        for (fault, left) in [Fault::BeginningIsLost, Fault::PieceIsLost, Fault::BeginningIsLost].into_iter().zip(left)
        {
            bucket.next(fault);
            let text = store.reveal(&staging, "data/large.parquet").await.unwrap_err().to_string();
            assert!(text.contains("s3://bucket/lake/videos/data/large.parquet"), "{text}");
            assert_eq!((bucket.open_uploads(), bucket.names().await.len()), left, "{fault:?}, {lists_uploads}");
        }
    }
}

/// A machine is lost in the middle of an upload: its state, its disk and its process are gone.
#[tokio::test]
async fn what_a_lost_machine_had_begun_is_given_up_by_whoever_comes_next() {
    for lists_uploads in [true, false] {
        let bucket = Misbehaving::new();
        bucket.lists_uploads(lists_uploads);
        let object = Location::from("lake/videos/data/large.parquet");
        let folder = Location::from("lake/videos/_uploads");
        let objects: Arc<dyn Objects> = Arc::<Misbehaving>::clone(&bucket);
        let lost = upload::Notes { objects, folder, told: String::new(), lists_uploads: Arc::default() };
        // The second upload knows from the first one what the store can do.
        for _ in ["the first", "the second"] {
            let (_, note) = lost.begin(&object, "").await.unwrap();
            let note = note.unwrap().filename().unwrap().to_owned();
            assert_eq!((bucket.open_uploads(), bucket.names().await), (1, vec![format!("_uploads/{note}")]));
            bucket.store(Writers::Any).abort_uploads().await.unwrap();
            assert_eq!((bucket.open_uploads(), bucket.names().await), (0, vec![]), "{lists_uploads}");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_put_where_none_stands_is_put_once_whatever_the_answer_says() {
    let (_folder, staging) = staging();
    for fault in [None, Some(Fault::SaysThatItExists), Some(Fault::AnswerIsLost)] {
        let bucket = Misbehaving::new();
        fault.into_iter().for_each(|fault| bucket.next(fault));
        let (one, other) = (bucket.store(Writers::Any), bucket.store(Writers::Any));
        assert_eq!(one.create(&staging, "data/_delta_log/0.json", b"a").await.unwrap(), Creation::Done, "{fault:?}");
        assert_eq!(one.create(&staging, "data/_delta_log/0.json", b"a").await.unwrap(), Creation::Done);
        let refused = other.create(&staging, "data/_delta_log/0.json", b"b").await.unwrap();
        assert_eq!(refused, Creation::Refused { found: b"a".to_vec() });
        assert_eq!(one.read("data/_delta_log/0.json").await.unwrap(), Some(b"a".to_vec()));
        assert_eq!(one.read("data/_delta_log/1.json").await.unwrap(), None);
    }
    let bucket = Misbehaving::new();
    let alone = bucket.store(Writers::One);
    assert_eq!(alone.create(&staging, "x", b"abc").await.unwrap(), Creation::Done);
    assert_eq!(alone.create(&staging, "x", b"b").await.unwrap(), Creation::Refused { found: b"abc".to_vec() });
    assert_eq!(&alone.tail("x", ByteCount::new(3), 2).await.unwrap()[..], b"bc");
    assert_eq!(&alone.tail("x", ByteCount::new(3), 9).await.unwrap()[..], b"abc");
}
