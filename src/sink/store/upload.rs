//! Staged files that go up into a bucket: small ones at once, others in pieces, streamed from the disk.
//!
//! An upload in pieces stays in the bucket, unseen and paid for, until it is completed or given up. So it is noted in the bucket itself
//! before it begins: the machine may be lost with its disk. The next start that claims the output gives up what it finds noted, whoever noted it.
//!
//! The store's id of an upload is not known before it has begun. A store that lists the uploads which are open is asked for those to the
//! object that the note names; whether it does so is seen at the first upload of a process. For any other the note is written once the id is
//! there: a process that dies in between leaves an upload without a piece, which only the bucket's own rule about such uploads removes.

use std::fs::File;
use std::io::Read as _;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path as Location;
use object_store::{Error, MultipartId, ObjectStoreExt as _, PutPayload};
use serde::{Deserialize, Serialize};

use super::{Objects, StoreError, failed};
use crate::failpoint::{self, CrashStep};
use crate::sink::staging::{Staging, StagingError};

/// Up to this size a file goes up in one request, bytes.
const AT_ONCE_BYTES: u64 = 8 << 20;
/// The size of a piece, bytes: every store takes pieces of 5 MiB and more, of one size but for the last.
const PIECE_BYTES: usize = 8 << 20;
/// Pieces that are on their way at once; as many are in memory.
const PIECES_AT_ONCE: usize = 2;

/// An upload in pieces that is to be given up, should the process die.
#[derive(Debug, Serialize, Deserialize)]
struct Begun {
    /// The object's whole name.
    object: String,
    /// The store's id of the upload; none where the store lists those that are open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<MultipartId>,
}

impl Begun {
    /// Gives it up. What is not there is completed, or given up already.
    async fn clear(&self, objects: &dyn Objects) -> object_store::Result<()> {
        let object = Location::parse(&self.object)?;
        let ids = match &self.id {
            Some(id) => vec![id.clone()],
            None => objects.uploads_of(&object).await?,
        };
        for id in ids {
            match objects.abort_multipart(&object, &id).await {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What is noted in a bucket of uploads into it.
pub(super) struct Notes {
    pub(super) objects: Arc<dyn Objects>,
    /// Where the notes lie.
    pub(super) folder: Location,
    /// The output, for a person.
    pub(super) told: String,
    /// Whether the store lists the uploads that are open, once that is known.
    pub(super) lists_uploads: Arc<OnceLock<bool>>,
}

impl Notes {
    /// Begins an upload; gives its id, and where it is noted.
    pub(super) async fn begin(
        &self,
        object: &Location,
        named: &str,
    ) -> Result<(MultipartId, Option<Location>), StoreError> {
        let begin =
            async || self.objects.create_multipart(object).await.map_err(failed("beginning the upload of", named));
        if !self.objects.keeps_uploads() {
            return Ok((begin().await?, None));
        }
        let note = self.folder.clone().join(format!("{:016x}.json", rand::random::<u64>()));
        let nameless = Begun { object: object.to_string(), id: None };
        if self.lists_uploads.get() != Some(&false) {
            self.put(&note, &nameless).await?;
        }
        let id = match begin().await {
            Ok(id) => id,
            Err(error) => {
                // The answer may have been lost.
                self.give_up(&nameless, &note).await;
                return Err(error);
            }
        };
        let lists_uploads = match self.lists_uploads.get() {
            Some(lists_uploads) => *lists_uploads,
            None => {
                let listed = self.objects.uploads_of(object).await;
                tracing::debug!(output = self.told, ?listed, "whether the store lists open uploads");
                *self.lists_uploads.get_or_init(|| listed.is_ok_and(|ids| ids.contains(&id)))
            }
        };
        if !lists_uploads {
            let begun = Begun { id: Some(id.clone()), ..nameless };
            if let Err(error) = self.put(&note, &begun).await {
                self.give_up(&begun, &note).await;
                return Err(error);
            }
        }
        Ok((id, Some(note)))
    }

    async fn put(&self, note: &Location, begun: &Begun) -> Result<(), StoreError> {
        // Texts have JSON forms.
        let json = serde_json::to_vec(begun).unwrap_or_default();
        let put = self.objects.put(note, PutPayload::from(json)).await;
        put.map(drop).map_err(failed("noting an upload in", &self.told))
    }

    /// Gives up an upload that failed, as far as the store answers: it stays noted otherwise.
    async fn give_up(&self, begun: &Begun, note: &Location) {
        match begun.clear(&*self.objects).await {
            Ok(()) => self.forget(note).await,
            Err(error) => {
                tracing::warn!(output = self.told, ?begun, "an upload that failed could not be given up yet: {error}")
            }
        }
    }

    /// Takes a note away of what has come to its end. One that stays does no harm: the next start finds nothing to give up.
    async fn forget(&self, note: &Location) {
        match self.objects.delete(note).await {
            Ok(()) | Err(Error::NotFound { .. }) => {}
            Err(error) => {
                tracing::warn!(output = self.told, %note, "the note of an upload stays until the next start: {error}");
            }
        }
    }

    /// Gives up whatever is noted. What the store will not give up is told, and stays noted.
    ///
    /// # Errors
    /// Where the notes cannot be listed or read.
    pub(super) async fn clear_all(&self) -> Result<(), StoreError> {
        if !self.objects.keeps_uploads() {
            return Ok(());
        }
        let listed = self.objects.list(Some(&self.folder)).map_ok(|object| object.location);
        let notes: Vec<Location> = listed.try_collect().await.map_err(failed("listing the uploads of", &self.told))?;
        for note in notes {
            let reading = || failed("reading", note.as_ref());
            let json = match self.objects.get(&note).await {
                Ok(found) => found.bytes().await.map_err(reading())?,
                Err(Error::NotFound { .. }) => continue,
                Err(error) => return Err(reading()(error)),
            };
            let cleared = match serde_json::from_slice::<Begun>(&json) {
                Ok(begun) => begun.clear(&*self.objects).await.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            let told = String::from_utf8_lossy(&json);
            match cleared {
                Ok(()) => {
                    tracing::info!(output = self.told, %told, "an upload that another process had begun was given up");
                    self.forget(&note).await;
                }
                Err(error) => tracing::warn!(
                    output = self.told,
                    %note,
                    %told,
                    "an upload that another process had begun could not be given up; the next start tries it again: {error}"
                ),
            }
        }
        Ok(())
    }
}

/// Uploads what is staged for a path as `location`, over what is there. Memory is that of a few pieces.
///
/// # Errors
/// Where the file cannot be read or the store fails; nothing is left of the upload then, as far as the store answers.
pub(super) async fn upload(
    notes: &Notes,
    location: &Location,
    (staging, path): (&Staging, &str),
    named: &str,
) -> Result<(), StoreError> {
    let place = staging.file(path);
    let mut file = File::open(&place).map_err(StagingError::of("opening", &place))?;
    let bytes = file.metadata().map_err(StagingError::of("looking at", &place))?.len();
    if bytes > failpoint::upload_at_once(AT_ONCE_BYTES) {
        return in_pieces(notes, location, pieces(file, bytes, &place), named).await;
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content).map_err(StagingError::of("reading", &place))?;
    notes.objects.put(location, PutPayload::from(content)).await.map_err(failed("uploading", named))?;
    Ok(())
}

/// A file of that size, piece by piece as they are taken.
fn pieces(mut file: File, bytes: u64, place: &std::path::Path) -> impl Iterator<Item = Result<Bytes, StagingError>> {
    let count = bytes.div_ceil(PIECE_BYTES as u64).max(1);
    (0..count).map(move |_| {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let taken = (&mut file).take(PIECE_BYTES as u64).read_to_end(&mut piece);
        taken.map(|_| Bytes::from(piece)).map_err(StagingError::of("reading", place))
    })
}

async fn in_pieces(
    notes: &Notes,
    location: &Location,
    pieces: impl Iterator<Item = Result<Bytes, StagingError>>,
    named: &str,
) -> Result<(), StoreError> {
    let (id, note) = notes.begin(location, named).await?;
    failpoint::pass(CrashStep::UploadBegun);
    let send = |(number, piece): (usize, Result<Bytes, StagingError>)| {
        let id = &id;
        async move {
            let sent = notes.objects.put_part(location, id, number, piece?.into()).await;
            sent.map_err(failed("uploading", named))
        }
    };
    let sent =
        futures::stream::iter(pieces.enumerate()).map(send).buffered(PIECES_AT_ONCE).try_collect::<Vec<_>>().await;
    let completed = match sent {
        Ok(parts) => {
            failpoint::pass(CrashStep::UploadSent);
            let completed = notes.objects.complete_multipart(location, &id, parts).await;
            completed.map(drop).map_err(failed("completing the upload of", named))
        }
        Err(error) => Err(error),
    };
    if let Some(note) = note {
        match &completed {
            Ok(()) => notes.forget(&note).await,
            // The answer may have been lost; giving up what is completed changes nothing. The caller looks at what is there.
            Err(_) => notes.give_up(&Begun { object: location.to_string(), id: Some(id) }, &note).await,
        }
    }
    completed
}
