//! A state as a folder of this machine, for who only looks at it: one in a bucket is made anew in a folder that goes with the look.

use std::path::{Path, PathBuf};

use super::now;
use super::places::Places;
use super::{BUCKET_HINT, store_failure};
use crate::failure::{ExitCode, Failure};
use crate::replica::{self, Head, Holder, ReplicaError};
use crate::sink::copies::Scratch;

/// What is looked at.
pub(super) struct Look {
    folder: PathBuf,
    head: Option<Head>,
    _scratch: Option<Scratch>,
}

impl Look {
    /// The state; none where a bucket holds none.
    ///
    /// # Errors
    /// A bucket that does not answer, or holds what is no state.
    pub(super) async fn at(places: &Places) -> Result<Option<Self>, Failure> {
        let Some(away) = &places.away else {
            return Ok(Some(Self { folder: places.state.clone(), head: None, _scratch: None }));
        };
        let scratch = Scratch::new().map_err(|error| {
            Failure::new(ExitCode::LocalDamage, format!("making a folder for a copy of the state: {error}"))
                .with_hint("name a folder with room for it with TMPDIR")
        })?;
        let folder = scratch.folder().to_owned();
        let head = replica::look(&away.address, &folder).await.map_err(|error| unreadable(&error))?;
        Ok(head.map(|head| Self { folder, head: Some(head), _scratch: Some(scratch) }))
    }

    /// Where its journal lies.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether a process seems to be at work, where that is not for the folder's lock to say.
    pub(super) fn is_held(&self) -> Option<bool> {
        let now = now().get();
        let is_alive = |holder: &Holder| holder.seems_alive(now);
        self.head.as_ref().map(|head| head.holder.as_ref().is_some_and(is_alive))
    }
}

fn unreadable(error: &ReplicaError) -> Failure {
    let (code, hint) = match error {
        ReplicaError::Store(of_store) => {
            store_failure(of_store).unwrap_or((ExitCode::LocalDamage, BUCKET_HINT.to_owned()))
        }
        error if error.is_about_a_bad_state() => (
            ExitCode::LocalDamage,
            "restore the state from a copy; `run --adopt` leaves it aside and goes on from the output's manifest"
                .to_owned(),
        ),
        _ => (ExitCode::LocalDamage, "mend the cause, then ask again".to_owned()),
    };
    Failure::from_error(code, error).with_hint(hint)
}
