//! A bucket in memory that can be told to misbehave in the ways that real ones do.

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Location;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::{Bucket, Objects, Store, Writers};

/// What goes wrong, once; but for the last two, which do until something else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A put lands, and its answer says that something was there already.
    SaysThatItExists,
    /// A put lands, and its answer is lost.
    AnswerIsLost,
    /// Nothing lands, and the answer says that something was there already.
    ConflictOfNothing,
    /// A piece of an upload does not arrive.
    PieceIsLost,
    /// An upload is completed, and the answer is lost.
    CompletionIsLost,
    /// An upload is begun, and the answer is lost.
    BeginningIsLost,
    /// No condition is heeded.
    NoConditions,
    /// Nothing is put or read.
    NothingIsReached,
}

/// The bucket.
#[derive(Debug, Default)]
pub(crate) struct Misbehaving {
    inner: InMemory,
    fault: Mutex<Option<Fault>>,
    begun: Mutex<Vec<(Location, MultipartId)>>,
    lists_no_uploads: AtomicBool,
}

impl Misbehaving {
    /// An empty one.
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Lets this go wrong next.
    pub(crate) fn next(&self, fault: Fault) {
        *self.fault.lock().unwrap() = Some(fault);
    }

    /// Whether it tells which uploads are open; it does so at first.
    pub(crate) fn lists_uploads(&self, lists: bool) {
        self.lists_no_uploads.store(!lists, Ordering::Relaxed);
    }

    /// Lets nothing go wrong any more.
    pub(crate) fn mend(&self) {
        *self.fault.lock().unwrap() = None;
    }

    /// The output below a prefix of it, as another process would open it.
    pub(crate) fn store(self: &Arc<Self>, writers: Writers) -> Arc<dyn Store> {
        Arc::new(Bucket::new(Arc::<Self>::clone(self), "lake/videos", "s3://bucket/lake/videos", writers))
    }

    /// The names of all objects, below the prefix of the output.
    pub(crate) async fn names(&self) -> Vec<String> {
        use futures::TryStreamExt as _;
        let listed: Vec<ObjectMeta> = self.inner.list(None).try_collect().await.unwrap();
        let names = listed.iter().map(|object| object.location.to_string());
        names.map(|name| name.strip_prefix("lake/videos/").expect("all is below the prefix").to_owned()).collect()
    }

    /// Uploads in pieces that were neither completed nor given up.
    pub(crate) fn open_uploads(&self) -> usize {
        self.begun.lock().unwrap().len()
    }

    fn ended(&self, id: &MultipartId) {
        self.begun.lock().unwrap().retain(|(_, begun)| begun != id);
    }

    fn strikes(&self, which: &[Fault]) -> Option<Fault> {
        let mut fault = self.fault.lock().unwrap();
        let struck = fault.filter(|fault| which.contains(fault))?;
        if !matches!(struck, Fault::NoConditions | Fault::NothingIsReached) {
            *fault = None;
        }
        Some(struck)
    }
}

fn exists(location: &Location) -> Error {
    Error::AlreadyExists { path: location.to_string(), source: "on purpose".into() }
}

fn lost() -> Error {
    Error::Generic { store: "test", source: "the answer is lost, on purpose".into() }
}

impl fmt::Display for Misbehaving {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a bucket that misbehaves")
    }
}

#[async_trait]
impl ObjectStore for Misbehaving {
    async fn put_opts(&self, location: &Location, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        use Fault::{AnswerIsLost, ConflictOfNothing, NoConditions, NothingIsReached, SaysThatItExists};
        match self.strikes(&[SaysThatItExists, AnswerIsLost, ConflictOfNothing, NoConditions, NothingIsReached]) {
            None => self.inner.put_opts(location, payload, options).await,
            Some(NothingIsReached) => Err(lost()),
            Some(ConflictOfNothing) => Err(exists(location)),
            Some(NoConditions) => {
                options.mode = PutMode::Overwrite;
                self.inner.put_opts(location, payload, options).await
            }
            Some(fault) => {
                self.inner.put_opts(location, payload, options).await?;
                Err(if fault == SaysThatItExists { exists(location) } else { lost() })
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        at: &Location,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, location: &Location, options: GetOptions) -> Result<GetResult> {
        match self.strikes(&[Fault::NothingIsReached]) {
            None => self.inner.get_opts(location, options).await,
            Some(_) => Err(lost()),
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Location>>) -> BoxStream<'static, Result<Location>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Location>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Location>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Location, to: &Location, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[async_trait]
impl Objects for Misbehaving {
    async fn uploads_of(&self, object: &Location) -> Result<Vec<MultipartId>> {
        if self.lists_no_uploads.load(Ordering::Relaxed) {
            return Err(lost());
        }
        let begun = self.begun.lock().unwrap();
        Ok(begun.iter().filter(|(location, _)| location == object).map(|(_, id)| id.clone()).collect())
    }
}

#[async_trait]
impl MultipartStore for Misbehaving {
    async fn create_multipart(&self, location: &Location) -> Result<MultipartId> {
        let id = self.inner.create_multipart(location).await?;
        self.begun.lock().unwrap().push((location.clone(), id.clone()));
        self.strikes(&[Fault::BeginningIsLost]).map_or(Ok(id), |_| Err(lost()))
    }

    async fn put_part(&self, at: &Location, id: &MultipartId, number: usize, piece: PutPayload) -> Result<PartId> {
        match self.strikes(&[Fault::PieceIsLost]) {
            Some(_) => Err(lost()),
            None => self.inner.put_part(at, id, number, piece).await,
        }
    }

    async fn complete_multipart(&self, at: &Location, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        let completed = self.inner.complete_multipart(at, id, parts).await?;
        self.ended(id);
        self.strikes(&[Fault::CompletionIsLost]).map_or(Ok(completed), |_| Err(lost()))
    }

    async fn abort_multipart(&self, at: &Location, id: &MultipartId) -> Result<()> {
        // Real stores answer 404 (S3's NoSuchUpload) where it is completed already.
        let unknown = |error: Error| Error::NotFound { path: at.to_string(), source: error.into() };
        self.inner.abort_multipart(at, id).await.map_err(unknown)?;
        self.ended(id);
        Ok(())
    }
}
