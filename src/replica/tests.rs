//! The lease and the segments, over a bucket in memory that misbehaves: what holds whatever the store does.

use std::sync::Arc;
use std::time::Duration;

use super::place::Swap;
use super::*;
use crate::sink::address::Provider;
use crate::sink::store::testing::{Fault, Misbehaving};

const INTERVAL: Duration = Duration::from_millis(60);

fn place(bucket: &Arc<Misbehaving>) -> Place {
    Place::of(Arc::<Misbehaving>::clone(bucket), "lake/videos", "s3://bucket/lake/videos")
}

fn away() -> Away {
    let address =
        BucketAddress { provider: Provider::Amazon, name: "bucket".to_owned(), prefix: "lake/videos".to_owned() };
    Away { address, requests_at_risk: 10, ship_every: Duration::from_secs(60), lease_interval: INTERVAL }
}

/// A state that is held, and the journal that is shipped.
struct Held {
    replica: Replica,
    journal: Journal,
    folder: tempfile::TempDir,
}

async fn hold(bucket: &Arc<Misbehaving>) -> Result<Held, ReplicaError> {
    hold_as(bucket, Beginning::AsFound).await
}

async fn hold_as(bucket: &Arc<Misbehaving>, beginning: Beginning) -> Result<Held, ReplicaError> {
    let folder = tempfile::tempdir().unwrap();
    let replica = Replica::open_at(place(bucket), &away(), folder.path(), beginning).await?;
    let journal = Journal::open_shipped(folder.path(), replica.shipping()).unwrap();
    replica.attach(&journal).await;
    Ok(Held { replica, journal, folder })
}

impl Held {
    async fn learn(&self, name: &str) {
        self.journal.learn(name, "1").await.unwrap();
        self.journal.shipped().await.unwrap();
    }

    /// The process is gone, and its disk: nothing renews the lease any more.
    fn dies(self) {
        drop(self);
    }

    async fn ends(self) -> Result<(), ReplicaError> {
        self.replica.finish().await?;
        self.journal.close().await.unwrap();
        self.replica.tidy().await;
        assert!(!self.folder.path().exists(), "the folder is left");
        Ok(())
    }

    fn knows(&self, name: &str) -> bool {
        self.journal.learned(name).unwrap().is_some()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_shipped_is_there_for_the_next_holder() {
    let bucket = Misbehaving::new();
    let first = hold(&bucket).await.unwrap();
    first.learn("one").await;
    first.learn("two").await;
    first.ends().await.unwrap();
    let second = hold(&bucket).await.unwrap();
    assert!(second.knows("one") && second.knows("two"));
    second.learn("three").await;
    second.journal.learn("lost", "1").await.unwrap();
    second.dies();
    let third = hold(&bucket).await.unwrap();
    assert!(third.knows("one") && third.knows("three"));
    third.ends().await.unwrap();
    let names = bucket.names().await;
    assert!(names.iter().all(|name| name == "state.json" || name.starts_with("segments/")), "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_is_held_by_one_and_a_live_holder_keeps_it() {
    let bucket = Misbehaving::new();
    let first = hold(&bucket).await.unwrap();
    for _ in 0..3 {
        assert!(matches!(hold(&bucket).await, Err(ReplicaError::Held { .. })));
    }
    first.learn("one").await;
    first.ends().await.unwrap();
    let (one, other) = tokio::join!(hold(&bucket), hold(&bucket));
    let held = [one, other].into_iter().filter_map(Result::ok).collect::<Vec<_>>();
    assert_eq!(held.len(), 1, "of two that begin at once one holds it");
}

/// Each answer that may be lost or wrong, while a head is replaced or a segment is put.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_or_wrong_answer_costs_neither_the_lease_nor_a_segment() {
    let bucket = Misbehaving::new();
    let held = hold(&bucket).await.unwrap();
    for (number, fault) in
        [Fault::AnswerIsLost, Fault::SaysThatItExists, Fault::ConflictOfNothing].into_iter().enumerate()
    {
        bucket.next(fault);
        held.learn(&format!("{fault:?}")).await;
        bucket.next(fault);
        tokio::time::sleep(INTERVAL * 2).await;
        held.learn(&format!("{number}")).await;
    }
    held.ends().await.unwrap();
    let next = hold(&bucket).await.unwrap();
    assert!(
        ["AnswerIsLost", "SaysThatItExists", "ConflictOfNothing", "0", "1", "2"].iter().all(|name| next.knows(name))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_whose_head_was_replaced_ends_and_its_successor_keeps_what_counts() {
    let bucket = Misbehaving::new();
    let first = hold(&bucket).await.unwrap();
    first.learn("one").await;
    let place = place(&bucket);
    let (head, version) = place.head().await.unwrap().unwrap();
    let other = Holder { id: "other".to_owned(), name: "another".to_owned(), since: 0, renewed_at: 0, interval_ms: 60 };
    assert!(matches!(place.swap(&head.taken_by(other), Some(&version)).await.unwrap(), Swap::Done(_)));
    // What it ships from here on counts for nothing, and it hears so.
    let late = async {
        first.journal.learn("late", "1").await.unwrap();
        first.journal.shipped().await
    };
    let refused = late.await.unwrap_err();
    assert!(
        matches!(&refused, JournalError::Lapsed(Lapse::Taken { holder, .. }) if holder.starts_with("another")),
        "{refused}"
    );
    assert!(matches!(first.replica.finish().await, Err(ReplicaError::Lapsed(Lapse::Taken { .. }))));
    let next = hold(&bucket).await.unwrap();
    assert!(next.knows("one") && !next.knows("late"));
}

/// Whether something may be sent at this moment.
async fn may_send(held: &Held) -> bool {
    tokio::time::timeout(Duration::from_millis(1), held.journal.leave_to_send()).await.is_ok_and(|leave| leave.is_ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_that_does_not_reach_the_bucket_stops_and_goes_on_or_ends() {
    let bucket = Misbehaving::new();
    let held = hold(&bucket).await.unwrap();
    assert!(may_send(&held).await);
    bucket.next(Fault::NothingIsReached);
    tokio::time::sleep(INTERVAL * 3).await;
    assert!(!may_send(&held).await, "two renewals are missing");
    bucket.mend();
    held.journal.leave_to_send().await.unwrap();
    held.learn("one").await;
    bucket.next(Fault::NothingIsReached);
    held.journal.learn("two", "1").await.unwrap();
    let ended = held.journal.shipped().await.unwrap_err();
    assert!(matches!(ended, JournalError::Lapsed(Lapse::Silent { .. })), "{ended}");
    assert!(held.journal.leave_to_send().await.is_err());
    bucket.mend();
    let next = hold(&bucket).await.unwrap();
    assert!(next.knows("one"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_segments_give_way_to_the_whole() {
    let bucket = Misbehaving::new();
    let held = hold(&bucket).await.unwrap();
    for number in 0..150 {
        held.learn(&format!("{}", number % 7)).await;
    }
    held.ends().await.unwrap();
    let segments = bucket.names().await.into_iter().filter(|name| name.starts_with("segments/")).count();
    assert!(segments < 130, "{segments}");
    let next = hold(&bucket).await.unwrap();
    assert!((0..7).all(|number| next.knows(&number.to_string())));
    let (head, _) = place(&bucket).head().await.unwrap().unwrap();
    let left = bucket.names().await.into_iter().filter(|name| name.starts_with("segments/")).count();
    assert_eq!(left, head.numbers().count(), "segments that no head names were removed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_segment_is_refused_by_name_and_may_be_left_aside() {
    use object_store::{ObjectStoreExt as _, PutPayload};
    let bucket = Misbehaving::new();
    let held = hold(&bucket).await.unwrap();
    held.learn("one").await;
    held.ends().await.unwrap();
    let (head, _) = place(&bucket).head().await.unwrap().unwrap();
    let name = head.numbers().next().unwrap().name();
    let location = object_store::path::Path::from(format!("lake/videos/{name}"));
    bucket.put(&location, PutPayload::from_static(b"something else")).await.unwrap();
    let refused = hold(&bucket).await.err().unwrap();
    assert!(refused.is_about_a_bad_state() && refused.to_string().contains(&name), "{refused}");
    let anew = hold_as(&bucket, Beginning::Empty).await.unwrap();
    assert!(!anew.knows("one"));
    anew.learn("two").await;
    anew.ends().await.unwrap();
    assert!(hold(&bucket).await.unwrap().knows("two"));
    let names = bucket.names().await;
    assert!(names.iter().any(|name| name.starts_with("state.aside-")) && names.contains(&name), "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_conditions_is_refused() {
    let bucket = Misbehaving::new();
    bucket.next(Fault::NoConditions);
    assert!(matches!(hold(&bucket).await, Err(ReplicaError::Store(StoreError::Unconditional { .. }))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_is_looked_at_beside_its_holder() {
    let bucket = Misbehaving::new();
    let held = hold(&bucket).await.unwrap();
    held.learn("one").await;
    let copy = tempfile::tempdir().unwrap();
    let head = look_at(&place(&bucket), copy.path()).await.unwrap().unwrap();
    assert!(head.holder.is_some_and(|holder| holder.seems_alive(lease::wall())));
    let view = JournalView::open(copy.path()).unwrap().unwrap();
    assert!(view.learned("one").unwrap().is_some());
    held.learn("two").await;
    assert!(look_at(&place(&Misbehaving::new()), copy.path()).await.unwrap().is_none());
}
