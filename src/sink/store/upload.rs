//! Staged files that go up into a bucket: small ones at once, others in pieces, streamed from the disk.
//!
//! An upload in pieces stays in the bucket, unseen and paid for, until it is completed or given up. So its id is noted in
//! the staging folder, synced, before a piece is sent, and the next start gives up what it finds noted. (A process that dies between
//! the store's answer and the note leaves an empty upload that only the bucket's own rule about unfinished uploads removes.)

use std::fs::File;
use std::io::Read as _;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path as Location;
use object_store::{ObjectStoreExt as _, PutPayload};
use serde::{Deserialize, Serialize};

use super::{Objects, StoreError, failed};
use crate::failpoint::{self, Step};
use crate::sink::staging::{Note, Staging, StagingError};

/// Up to this size a file goes up in one request, bytes.
const AT_ONCE_BYTES: u64 = 8 << 20;
/// The size of a piece, bytes: every store takes pieces of 5 MiB and more, of one size but for the last.
const PIECE_BYTES: usize = 8 << 20;
/// Pieces that are on their way at once; as many are in memory.
const PIECES_AT_ONCE: usize = 2;

/// What the staging folder keeps of what is to be cleared away in the bucket, should the process die.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Pending {
    /// An upload in pieces.
    Upload {
        /// The object's whole name.
        object: String,
        /// The store's id of the upload.
        id: String,
    },
    /// An object that is only there to be refused.
    Probe {
        /// Its whole name.
        object: String,
    },
}

impl Pending {
    /// Notes it, synced.
    pub(super) fn note(&self, staging: &Staging) -> Result<Note, StoreError> {
        // Two texts have JSON forms.
        let json = serde_json::to_vec(self).unwrap_or_default();
        Ok(staging.note(&json)?)
    }

    async fn clear(&self, objects: &dyn Objects) -> object_store::Result<()> {
        let cleared = match self {
            Self::Upload { object, id } => objects.abort_multipart(&Location::parse(object)?, id).await,
            Self::Probe { object } => objects.delete(&Location::parse(object)?).await,
        };
        match cleared {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            cleared => cleared,
        }
    }
}

/// Uploads what is staged for a path as `location`, over what is there. Memory is that of a few pieces.
///
/// # Errors
/// Where the file cannot be read or the store fails; nothing is left of the upload then, as far as the store answers.
pub(super) async fn upload(
    objects: &dyn Objects,
    location: &Location,
    (staging, path): (&Staging, &str),
    named: &str,
) -> Result<(), StoreError> {
    let place = staging.file(path);
    let mut file = File::open(&place).map_err(StagingError::of("opening", &place))?;
    let bytes = file.metadata().map_err(StagingError::of("looking at", &place))?.len();
    if bytes > failpoint::upload_at_once(AT_ONCE_BYTES) {
        return in_pieces((objects, location), staging, pieces(file, bytes, &place), named).await;
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content).map_err(StagingError::of("reading", &place))?;
    objects.put(location, PutPayload::from(content)).await.map_err(failed("uploading", named))?;
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
    (objects, location): (&dyn Objects, &Location),
    staging: &Staging,
    pieces: impl Iterator<Item = Result<Bytes, StagingError>>,
    named: &str,
) -> Result<(), StoreError> {
    let id = objects.create_multipart(location).await.map_err(failed("beginning the upload of", named))?;
    let pending = Pending::Upload { object: location.to_string(), id: id.clone() };
    let note = pending.note(staging)?;
    failpoint::pass(Step::UploadBegun);
    let send = |(number, piece): (usize, Result<Bytes, StagingError>)| {
        let id = &id;
        async move {
            let sent = objects.put_part(location, id, number, piece?.into()).await;
            sent.map_err(failed("uploading", named))
        }
    };
    let sent =
        futures::stream::iter(pieces.enumerate()).map(send).buffered(PIECES_AT_ONCE).try_collect::<Vec<_>>().await;
    let completed = match sent {
        Ok(parts) => {
            failpoint::pass(Step::UploadSent);
            let completed = objects.complete_multipart(location, &id, parts).await;
            completed.map(drop).map_err(failed("completing the upload of", named))
        }
        Err(error) => Err(error),
    };
    match completed {
        Ok(()) => Ok(staging.forget(note)?),
        // The answer may have been lost; giving up what is completed changes nothing. The caller looks at what is there.
        Err(error) => {
            if pending.clear(objects).await.is_ok() {
                staging.forget(note)?;
            }
            Err(error)
        }
    }
}

/// Clears away what a former process noted and did not bring to its end. What the store will not clear away is told, and stays noted.
///
/// # Errors
/// Where the disk fails.
pub(super) async fn abort_all(objects: &dyn Objects, staging: &Staging, told: &str) -> Result<(), StoreError> {
    for (note, json) in staging.notes()? {
        match serde_json::from_slice::<Pending>(&json) {
            Ok(pending) => match pending.clear(objects).await {
                Ok(()) => tracing::info!(output = told, ?pending, "what an earlier process had begun was given up"),
                Err(error) => {
                    tracing::warn!(
                        output = told,
                        ?pending,
                        "what an earlier process had begun could not be given up: {error}"
                    );
                    continue;
                }
            },
            // It was cut short as it was written: no piece had been sent yet.
            Err(_) => tracing::warn!(
                output = told,
                "a note about an unfinished upload was cut short; the bucket's own rule about such uploads removes it"
            ),
        }
        staging.forget(note)?;
    }
    Ok(())
}
