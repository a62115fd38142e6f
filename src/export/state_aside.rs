//! A state from which nothing can be gone on, moved aside: it is kept, for whoever can read it.

use std::path::PathBuf;

use crate::folder;
use crate::journal::JournalError;
use crate::sink::publish::Output;

use super::{ExportError, ExportRequest};

/// States that are kept beside each other before a person must look at them.
const MOST_ASIDE: u32 = 100;

/// Moves the state's folder to a name of its own beside it, where the output has a manifest from which to go on.
///
/// # Errors
/// Where it has none, or the disk fails.
pub(super) async fn move_aside(request: &ExportRequest, error: &JournalError) -> Result<(), ExportError> {
    let state = request.state.display().to_string();
    // One that cannot be read is a manifest all the same: whoever opens the output says what is the matter with it.
    if matches!(Output::look(&request.output).await, Ok(None)) {
        return Err(ExportError::NothingToGoOnFrom { why: error.to_string(), output: request.output.to_string() });
    }
    let failed = |source| ExportError::Aside { state: state.clone(), source };
    let aside = free_name(request).ok_or_else(|| failed(std::io::Error::other("too many states lie aside already")))?;
    folder::move_to(&request.state, &aside).map_err(failed)?;
    tracing::warn!(aside = %aside.display(), "{error}; the state was moved aside, and the output's manifest is gone on from");
    Ok(())
}

fn free_name(request: &ExportRequest) -> Option<PathBuf> {
    let named = |number: u32| {
        let mut name = request.state.clone().into_os_string();
        name.push(format!(".aside-{number}"));
        PathBuf::from(name)
    };
    (1..=MOST_ASIDE).map(named).find(|path| path.symlink_metadata().is_err())
}
