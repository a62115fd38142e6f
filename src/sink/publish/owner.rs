//! Whose an output folder is, looked at before anything is written into it.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::Path;

use super::{DAMAGED, LOCK, NAMED, OutputError, REJECTED};
use crate::folder;
use crate::sink::identity::Identity;
use crate::sink::layout::{DATA, is_of_run};
use crate::sink::manifest::{MANIFEST, Manifest, SUCCESS, former};
use crate::sink::shard::SHARDS;
use crate::sink::staging::StagingError;
use crate::sink::store::Store;
use crate::sink::table::is_of_the_log;

/// What lies in the output under a name of ours lies in the output itself: a link there would have it written elsewhere.
pub(super) fn refuse_links(output: &Path) -> Result<(), OutputError> {
    let names = [LOCK, MANIFEST, SUCCESS, DATA, REJECTED, DAMAGED, SHARDS];
    names.into_iter().map(|name| output.join(name)).try_for_each(|place| {
        folder::refuse_link(&place).map_err(|error| StagingError::of("opening", &place)(error).into())
    })
}

/// A folder, for a person.
pub(super) fn described(folder: &Path) -> String {
    format!("folder {}", folder.display())
}

pub(super) fn lock(folder: &Path) -> Result<File, OutputError> {
    let locked = lock_file(&folder.join(LOCK))?;
    locked.ok_or_else(|| OutputError::Locked { output: described(folder) })
}

/// The lock at a path, held; none where another process holds it.
pub(super) fn lock_file(path: &Path) -> Result<Option<File>, OutputError> {
    let mut options = File::options();
    let file =
        options.create(true).truncate(false).write(true).open(path).map_err(StagingError::of("creating", path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(StagingError::of("locking", path)(source).into()),
    }
}

pub(super) fn refuse_another_owner(
    output: &str,
    asked: &Identity,
    manifest: Option<&Manifest>,
) -> Result<(), OutputError> {
    let Some(manifest) = manifest else { return Ok(()) };
    let differences = manifest.identity.differences(asked, !manifest.parts.is_empty());
    if differences.is_empty() {
        return Ok(());
    }
    let is_layout_alone = manifest.identity.is_only_laid_out_otherwise(asked);
    Err(OutputError::AnotherQuestion {
        output: output.to_owned(),
        differences: differences.join("; "),
        is_layout_alone,
    })
}

/// Moves the parts of an output of format 1, which lie beside the manifest, to where this one keeps them. What is done is not done
/// again, so that a process which dies here is gone on for by the next; the manifest is replaced only afterwards.
pub(super) async fn move_into_the_table(store: &dyn Store, manifest: &Manifest) -> Result<(), OutputError> {
    let mut moved = Vec::new();
    for part in &manifest.parts {
        let Some(former) = former::path_of_version_1(&part.path) else { continue };
        if store.size(&part.path).await?.is_none() && store.size(former).await?.is_some() {
            store.move_to(former, &part.path).await?;
            moved.push(former.to_owned());
        }
    }
    if !moved.is_empty() {
        tracing::info!(parts = moved.len(), "the parts of an output of format 1 were moved into {DATA}/");
        store.remove_empty_folders_of(&moved)?;
    }
    Ok(())
}

/// Every file that a reader of Parquet would find and that is neither listed nor known.
pub(super) async fn foreign_files(
    store: &dyn Store,
    manifest: Option<&Manifest>,
    known: &[String],
) -> Result<Vec<String>, OutputError> {
    let listed = manifest.iter().flat_map(|manifest| manifest.parts.iter().map(|part| &part.path));
    let former = manifest.iter().flat_map(|manifest| manifest.former_paths());
    let ours: BTreeSet<&String> = listed.chain(former).chain(known).collect();
    let mut found = store.parquet_files().await?;
    found.retain(|path| !ours.contains(path) && !is_of_the_log(path));
    Ok(found)
}

/// What the manifest's own run has revealed is ours; anything else is somebody else's.
pub(super) fn refuse_foreign_files(
    output: &str,
    found: &[String],
    manifest: Option<&Manifest>,
) -> Result<(), OutputError> {
    let is_ours = |path: &&String| manifest.is_some_and(|manifest| is_of_run(path, &manifest.run));
    let foreign: Vec<&str> = found.iter().filter(|path| !is_ours(path)).map(String::as_str).collect();
    if foreign.is_empty() {
        return Ok(());
    }
    let examples = foreign.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    Err(OutputError::Foreign { output: output.to_owned(), count: foreign.len(), examples })
}
