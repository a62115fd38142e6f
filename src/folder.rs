//! Folders whose names outlive a power cut.
//!
//! A file system may forget the name of a new folder, and with it everything below, until the folder above it is synced. So
//! each folder is made durable before the next one is made inside it. One that is there already may have been made by a
//! process that died before its sync; it is synced again, and the ones above it are durable by the same rule.

use std::io;
use std::path::Path;

/// Makes a folder and those above it that are missing, and makes all their names durable.
///
/// # Errors
/// Where the system does not allow it.
pub fn make(folder: &Path) -> io::Result<()> {
    let folder = std::path::absolute(folder)?;
    let missing = folder.ancestors().take_while(|ancestor| !ancestor.is_dir()).count();
    let mut steps: Vec<&Path> = folder.ancestors().take(missing + 1).collect();
    steps.reverse();
    for (place, step) in steps.into_iter().enumerate() {
        let is_there = place == 0;
        if !is_there {
            std::fs::create_dir(step).or_else(|error| if step.is_dir() { Ok(()) } else { Err(error) })?;
        }
        sync_name(step)?;
    }
    Ok(())
}

/// Makes a folder's own name durable, where the folder above it may be read: what others made is theirs to keep.
///
/// # Errors
/// Where the disk fails.
pub fn sync_name(folder: &Path) -> io::Result<()> {
    match folder.canonicalize()?.parent().map(sync) {
        Some(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Some(synced) => synced,
        None => Ok(()),
    }
}

/// Makes the names in a folder durable. Only Unix opens a folder as a file; elsewhere the file system keeps names by itself.
///
/// # Errors
/// Where the disk fails.
pub fn sync(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { std::fs::File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_folders_are_made_one_inside_the_other() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("a/b/c");
        make(&deep).unwrap();
        assert!(deep.is_dir());
        make(&deep).unwrap();
    }

    #[test]
    fn a_file_in_a_folders_place_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a"), "").unwrap();
        assert!(make(&root.path().join("a/b")).is_err());
    }
}
