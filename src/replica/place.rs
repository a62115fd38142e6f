//! The objects of a state in a bucket: each is put, fetched or removed here, and nothing is decided.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path as Location;
use object_store::{Error, ObjectStoreExt as _, PutMode, PutPayload, UpdateVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::ReplicaError;
use super::head::{Head, Kept};
use super::segment::{Digest, Number, Segment, told};
use crate::failpoint;
use crate::journal::record::PartRecord;
use crate::journal::{self, JournalError};
use crate::sink::address::{Address, BucketAddress};
use crate::sink::staging::StagingError;
use crate::sink::store::{self, Objects, StoreError};
use crate::units::ByteCount;

/// The head's name.
const HEAD: &str = "state.json";
/// Segments that are fetched at once.
const FETCHED_AT_ONCE: usize = 8;
/// Segments that wait to be applied, at most.
const WAITING: usize = 4;
/// Bytes of an object that holds a piece of a part.
const PIECE_BYTES: u64 = 8 << 20;

/// Where a state lies.
#[derive(Clone)]
pub(super) struct Place {
    objects: Arc<dyn Objects>,
    prefix: String,
    told: String,
}

/// What became of a head that was to take the place of another.
#[derive(Debug)]
pub(super) enum Swap {
    /// It is there, as this version.
    Done(UpdateVersion),
    /// Another one is there, or none; nothing was changed.
    Refused(Option<(Head, UpdateVersion)>),
}

impl Place {
    pub(super) fn open(address: &BucketAddress) -> Result<Self, StoreError> {
        let told = Address::Bucket(address.clone()).to_string();
        Ok(Self::of(store::objects(address, &told)?, &address.prefix, &told))
    }

    pub(super) fn of(objects: Arc<dyn Objects>, prefix: &str, told: &str) -> Self {
        Self { objects, prefix: prefix.to_owned(), told: told.to_owned() }
    }

    /// The state's address, for a person.
    pub(super) fn told(&self) -> String {
        self.told.clone()
    }

    fn location(&self, name: &str) -> Result<Location, StoreError> {
        let whole = if self.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix) };
        Location::parse(whole).map_err(|source| store::failed_at("naming", name)(source.into()))
    }

    fn named(&self, name: &str) -> String {
        format!("{}/{name}", self.told)
    }

    fn failed(&self, doing: &'static str, name: &str) -> impl FnOnce(Error) -> StoreError + use<> {
        store::failed_at(doing, &self.named(name))
    }

    /// Without conditions nothing keeps two processes apart.
    pub(super) async fn require_conditions(&self) -> Result<(), StoreError> {
        let name = self.location(&format!("_probe-{:016x}", rand::random::<u64>()))?;
        store::require_conditions(&*self.objects, &name, &self.told).await
    }

    /// The head, with its version; none where there is no state.
    pub(super) async fn head(&self) -> Result<Option<(Head, UpdateVersion)>, ReplicaError> {
        let found = match self.objects.get(&self.location(HEAD)?).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.failed("reading", HEAD)(error).into()),
        };
        let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        let json = found.bytes().await.map_err(self.failed("reading", HEAD))?;
        let head = Head::parse(&json).map_err(|why| ReplicaError::Head { file: self.named(HEAD), why })?;
        Ok(Some((head, version)))
    }

    /// Puts a head in the place of the one of that version, and of no other; where there is none, only if none is there. Each head that is put
    /// differs from every other, so what became of a put whose answer is lost is seen.
    pub(super) async fn swap(&self, next: &Head, before: Option<&UpdateVersion>) -> Result<Swap, ReplicaError> {
        let json = serde_json::to_vec_pretty(next)
            .map_err(|error| ReplicaError::Head { file: self.named(HEAD), why: error.to_string() })?;
        let mode = before.map_or(PutMode::Create, |before| PutMode::Update(before.clone()));
        let refused = match self.objects.put_opts(&self.location(HEAD)?, PutPayload::from(json), mode.into()).await {
            Ok(put) => return Ok(Swap::Done(UpdateVersion { e_tag: put.e_tag, version: put.version })),
            Err(refused) => refused,
        };
        let is_about_the_condition =
            matches!(refused, Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotFound { .. });
        match self.head().await? {
            Some((found, version)) if found == *next => Ok(Swap::Done(version)),
            found if is_about_the_condition => Ok(Swap::Refused(found)),
            _ => Err(self.failed("replacing", HEAD)(refused).into()),
        }
    }

    /// Puts a head aside under a name of its own, for whoever can read it.
    pub(super) async fn copy_head_aside(&self) -> Result<(), ReplicaError> {
        let aside = format!("state.aside-{:016x}.json", rand::random::<u64>());
        let copied = self.objects.copy(&self.location(HEAD)?, &self.location(&aside)?).await;
        copied.map_err(self.failed("copying", HEAD))?;
        tracing::warn!(
            aside = self.named(&aside),
            "the state was left aside, and the output's manifest is gone on from"
        );
        Ok(())
    }

    /// The version of a head that cannot be read.
    pub(super) async fn version(&self) -> Result<Option<UpdateVersion>, ReplicaError> {
        match self.objects.head(&self.location(HEAD)?).await {
            Ok(found) => Ok(Some(UpdateVersion { e_tag: found.e_tag, version: found.version })),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("reading", HEAD)(error).into()),
        }
    }

    /// Puts a segment. Again puts the same.
    pub(super) async fn put_segment(&self, segment: &Segment) -> Result<(), StoreError> {
        let name = segment.number.name();
        let put = self.objects.put(&self.location(&name)?, PutPayload::from(segment.bytes.clone())).await;
        put.map(drop).map_err(self.failed("writing", &name))
    }

    async fn segment(&self, number: Number) -> Result<bytes::Bytes, ReplicaError> {
        let name = number.name();
        let read = async { self.objects.get(&self.location(&name)?).await.map_err(self.failed("reading", &name)) };
        match read.await {
            Ok(found) => Ok(found.bytes().await.map_err(self.failed("reading", &name))?),
            Err(StoreError::Object { source: Error::NotFound { .. }, .. }) => {
                Err(self.damaged(number, "it is not there"))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn damaged(&self, number: Number, why: &str) -> ReplicaError {
        ReplicaError::Segment { file: self.named(&number.name()), why: why.to_owned() }
    }

    /// Makes the journal in a folder of what a head names, in place of what lies there.
    pub(super) async fn restore(&self, head: &Head, folder: &Path) -> Result<(), ReplicaError> {
        let (pieces, mut waiting) = tokio::sync::mpsc::channel(WAITING);
        let folder = folder.to_owned();
        let made = tokio::task::spawn_blocking(move || {
            let all = std::iter::from_fn(|| waiting.blocking_recv());
            journal::restore::<ReplicaError>(&folder, all)
        });
        let fetched =
            futures::stream::iter(head.numbers()).map(|number| async move { (number, self.segment(number).await) });
        let mut fetched = std::pin::pin!(fetched.buffered(FETCHED_AT_ONCE));
        let mut before = Digest::default();
        while let Some((number, bytes)) = fetched.next().await {
            let opened =
                bytes.and_then(|bytes| Segment::open(number, &before, &bytes).map_err(|why| self.damaged(number, why)));
            let piece = opened.map(|(piece, digest)| {
                before = digest;
                (self.named(&number.name()), piece)
            });
            // Who makes the journal says itself why it takes no more.
            let is_bad = piece.is_err();
            if pieces.send(piece).await.is_err() || is_bad {
                break;
            }
        }
        drop(pieces);
        let made = made.await.map_err(|error| JournalError::Stopped { file: HEAD.into(), cause: error.to_string() })?;
        made?;
        match told(&before) == head.sha256 {
            true => Ok(()),
            false => {
                Err(ReplicaError::Head { file: self.named(HEAD), why: "its last segment is another one".to_owned() })
            }
        }
    }

    /// Keeps a copy of a part that waits, in objects of [`PIECE_BYTES`]: an upload in parts would stay open where this process dies within it.
    pub(super) async fn keep_held(&self, path: &str, file: &Path) -> Result<(), ReplicaError> {
        let reading = |error| StagingError::of("reading", file)(error);
        let mut opened = tokio::fs::File::open(file).await.map_err(reading)?;
        let bytes = opened.metadata().await.map_err(reading)?.len();
        for name in held(path, bytes) {
            let mut piece = Vec::new();
            (&mut opened).take(piece_bytes()).read_to_end(&mut piece).await.map_err(reading)?;
            let put = self.objects.put(&self.location(&name)?, PutPayload::from(piece)).await;
            put.map_err(self.failed("writing", &name))?;
        }
        Ok(())
    }

    /// Fetches the copy of a part that waits, which has so many bytes; where there is none, or not the whole of one, the output's own folder
    /// holds it.
    pub(super) async fn fetch_held(&self, path: &str, bytes: ByteCount, file: &Path) -> Result<(), ReplicaError> {
        let writing = |error| StagingError::of("writing", file)(error);
        let mut written: Option<tokio::fs::File> = None;
        for name in held(path, bytes.get()) {
            let found = match self.objects.get(&self.location(&name)?).await {
                Ok(found) => found.bytes().await.map_err(self.failed("reading", &name))?,
                Err(Error::NotFound { .. }) if written.is_none() => return Ok(()),
                Err(Error::NotFound { .. }) => {
                    return tokio::fs::remove_file(file).await.map_err(writing).map_err(Into::into);
                }
                Err(error) => return Err(self.failed("reading", &name)(error).into()),
            };
            let file = match &mut written {
                Some(file) => file,
                none => none.insert(tokio::fs::File::create(file).await.map_err(writing)?),
            };
            file.write_all(&found).await.map_err(writing)?;
        }
        let Some(mut written) = written else { return Ok(()) };
        written.flush().await.map_err(writing)?;
        Ok(written.sync_all().await.map_err(writing)?)
    }

    /// Removes copies of parts that wait no more.
    pub(super) async fn remove_held_but(&self, parts: &[PartRecord]) {
        let kept: Vec<String> = parts.iter().flat_map(|part| held(&part.path, part.bytes.get())).collect();
        self.remove_below("held", |name| !kept.contains(name)).await;
    }

    /// Removes segments that no head names any more.
    pub(super) async fn remove_segments_but(&self, kept: &Kept) {
        self.remove_below("segments", |name| !kept.has(name)).await;
    }

    /// What is left over takes room and does no harm; the next start removes it.
    async fn remove_below(&self, folder: &str, is_removed: impl Fn(&String) -> bool) {
        let below = if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) };
        let Ok(location) = self.location(folder) else { return };
        let listed = self.objects.list(Some(&location)).map_ok(|object| object.location);
        let Ok(listed) = listed.try_collect::<Vec<Location>>().await else { return };
        for location in listed {
            let name = location.to_string().strip_prefix(&below).map(str::to_owned);
            if name.as_ref().is_some_and(&is_removed) {
                let _left_over = self.objects.delete(&location).await;
            }
        }
    }
}

/// The names of a copy's pieces: one at least.
fn held(path: &str, bytes: u64) -> impl Iterator<Item = String> + use<> {
    let first = format!("held/{}", path.replace('/', ","));
    let pieces = bytes.div_ceil(piece_bytes()).max(1);
    (0..pieces).map(move |number| if number == 0 { first.clone() } else { format!("{first},{number}") })
}

fn piece_bytes() -> u64 {
    failpoint::upload_at_once(PIECE_BYTES).max(1024)
}

impl fmt::Debug for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Place").field("told", &self.told).finish_non_exhaustive()
    }
}
