//! Whether a store heeds the conditions of a write: tried out on an object of its own, before anything rests on it.

use object_store::path::Path as Location;
use object_store::{Error, ObjectStoreExt as _, PutMode, PutPayload, PutResult, UpdateVersion};

use serde::{Deserialize, Serialize};

use super::{Objects, StoreError, failed};
use crate::sink::staging::Staging;

/// What the staging folder keeps of an object that is only there to be refused, should the process die.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Pending {
    Probe {
        /// Its whole name.
        object: String,
    },
}

/// Tries the two conditions that the manifest needs: that nothing is there, and that what is there is a certain version.
///
/// # Errors
/// [`StoreError::Unconditional`] where the store does what a condition forbids, or knows no conditions; or the store fails.
pub(super) async fn probe(
    objects: &dyn Objects,
    location: &Location,
    staging: &Staging,
    told: &str,
) -> Result<(), StoreError> {
    // A text has a JSON form.
    let json = serde_json::to_vec(&Pending::Probe { object: location.to_string() }).unwrap_or_default();
    let note = staging.note(&json)?;
    let tried = conditions(objects, location).await;
    match objects.delete(location).await {
        Ok(()) | Err(Error::NotFound { .. }) => staging.forget(note)?,
        // What was found out is worth more; the next start removes it.
        Err(error) if tried.is_ok() => return Err(failed("removing the probe of", told)(error)),
        Err(_) => {}
    }
    verdict(tried, told)
}

/// Removes what former processes left that died within this. What the store will not remove is told, and stays noted.
///
/// # Errors
/// Where the disk fails.
pub(super) async fn clear(objects: &dyn Objects, staging: &Staging, told: &str) -> Result<(), StoreError> {
    for (note, json) in staging.notes()? {
        // One that was cut short as it was written tells of nothing: there was no object yet.
        if let Ok(Pending::Probe { object }) = serde_json::from_slice(&json)
            && let Ok(location) = Location::parse(&object)
            && let Err(error) = objects.delete(&location).await
            && !matches!(error, Error::NotFound { .. })
        {
            tracing::warn!(output = told, object, "what an earlier process had tried the store with stays: {error}");
            continue;
        }
        staging.forget(note)?;
    }
    Ok(())
}

/// The same as [`probe`] where nothing is noted: an object that is left over is for its caller to find.
///
/// # Errors
/// The same.
pub(super) async fn require(objects: &dyn Objects, location: &Location, told: &str) -> Result<(), StoreError> {
    let tried = conditions(objects, location).await;
    let _left_over = objects.delete(location).await;
    verdict(tried, told)
}

fn verdict(tried: object_store::Result<Option<&'static str>>, told: &str) -> Result<(), StoreError> {
    match tried {
        Ok(None) => Ok(()),
        Ok(Some(found)) => Err(StoreError::Unconditional { output: told.to_owned(), found: found.to_owned() }),
        Err(error) if is_about_conditions(&error) => {
            Err(StoreError::Unconditional { output: told.to_owned(), found: error.to_string() })
        }
        Err(error) => Err(failed("trying a conditional write in", told)(error)),
    }
}

/// What the store did that it should not have done.
async fn conditions(objects: &dyn Objects, location: &Location) -> object_store::Result<Option<&'static str>> {
    let put = |text: &'static str, mode: PutMode| {
        objects.put_opts(location, PutPayload::from_static(text.as_bytes()), mode.into())
    };
    let first = match put("first", PutMode::Create).await {
        Ok(put) => version(put),
        // Nobody else has an object of this name: the answer to our own write was lost on its way.
        Err(Error::AlreadyExists { .. }) => {
            let found = objects.head(location).await?;
            UpdateVersion { e_tag: found.e_tag, version: found.version }
        }
        Err(error) => return Err(error),
    };
    if !is_refused(put("again", PutMode::Create).await)? {
        return Ok(Some("it replaced an object that was only to be made where none was"));
    }
    put("second", PutMode::Update(first.clone())).await?;
    if !is_refused(put("third", PutMode::Update(first)).await)? {
        return Ok(Some("it replaced an object although that was another version than the one to be replaced"));
    }
    Ok(None)
}

fn version(put: PutResult) -> UpdateVersion {
    UpdateVersion { e_tag: put.e_tag, version: put.version }
}

fn is_refused(answer: object_store::Result<PutResult>) -> object_store::Result<bool> {
    match answer {
        Ok(_) => Ok(false),
        Err(Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// A store that knows no conditions says so, in one way or another (RFC 9110, 501).
fn is_about_conditions(error: &Error) -> bool {
    match error {
        Error::NotImplemented { .. } | Error::NotSupported { .. } => true,
        Error::Generic { .. } => error.to_string().contains("501 Not Implemented"),
        _ => false,
    }
}
