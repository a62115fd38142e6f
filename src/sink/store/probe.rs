//! Whether a store heeds the conditions of a write: tried out on an object of its own, before anything rests on it.

use object_store::path::Path as Location;
use object_store::{Error, ObjectStoreExt as _, PutMode, PutPayload, PutResult, UpdateVersion};

use super::upload::Pending;
use super::{Objects, StoreError, failed};
use crate::sink::staging::Staging;

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
    let note = Pending::Probe { object: location.to_string() }.note(staging)?;
    let tried = conditions(objects, location).await;
    match objects.delete(location).await {
        Ok(()) | Err(Error::NotFound { .. }) => staging.forget(note)?,
        // What was found out is worth more; the next start removes it.
        Err(error) if tried.is_ok() => return Err(failed("removing the probe of", told)(error)),
        Err(_) => {}
    }
    verdict(tried, told)
}

/// The same where nothing is noted: an object that is left over is for its caller to find.
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
