//! The state folder and its lock: one process at a time, released by the kernel when that process dies.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::JournalError;
use crate::folder;

const LOCK: &str = "lock";

/// Whoever asks [`is_held`] has the lock for a moment itself, so one that is held is asked for so often, and so long after.
const LOOKS: u32 = 5;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// The state folder, held by this process until it is dropped.
#[derive(Debug)]
pub(super) struct HeldFolder {
    path: PathBuf,
    _lock: File,
}

impl HeldFolder {
    /// Makes the folder where it is missing, for its owner only, and takes its lock without waiting.
    pub(super) fn take(path: &Path) -> Result<Self, JournalError> {
        make_folder(path)?;
        let lock = path.join(LOCK);
        folder::refuse_link(&lock).map_err(JournalError::file("opening the lock", &lock))?;
        refuse_no_file(&lock)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock)
            .map_err(JournalError::file("opening the lock", &lock))?;
        let mut locked = file.try_lock();
        for _ in 1..LOOKS {
            if matches!(locked, Err(TryLockError::WouldBlock)) {
                std::thread::sleep(BETWEEN_LOOKS);
                locked = file.try_lock();
            }
        }
        match locked {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: file }),
            Err(TryLockError::WouldBlock) => Err(JournalError::Locked { folder: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(JournalError::file("locking", &lock)(source)),
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the names of the files in the folder durable, and the folder's own name where its parent may be read.
    pub(super) fn sync(&self) -> Result<(), JournalError> {
        let synced = folder::sync(&self.path).and_then(|()| folder::sync_name(&self.path));
        synced.map_err(JournalError::file("syncing the folder", &self.path))
    }
}

/// Refuses what is no file in the place of one of ours, before it is opened: a folder cannot be, and a pipe would wait for its other end.
pub(super) fn refuse_no_file(path: &Path) -> Result<(), JournalError> {
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => "a folder",
        Ok(found) if !found.is_file() && !found.is_symlink() => "no file",
        _ => return Ok(()),
    };
    Err(JournalError::NoFile { file: path.to_owned(), found })
}

/// Whether a process holds the state folder; none where the system does not tell. Makes nothing, and never waits.
pub(super) fn is_held(state: &Path) -> Option<bool> {
    refuse_no_file(&state.join(LOCK)).ok()?;
    let file = match File::open(state.join(LOCK)) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Some(false),
        Err(_) => return None,
    };
    // Let go at once with the file; those who look do not hinder each other.
    match file.try_lock_shared() {
        Ok(()) => Some(false),
        Err(TryLockError::WouldBlock) => Some(true),
        Err(TryLockError::Error(_)) => None,
    }
}

/// Where a file was when it was opened. A database that is removed while it is open takes everything that is written to it
/// without a word, and nobody finds it again.
#[derive(Debug)]
pub(super) struct Place {
    file: PathBuf,
    identity: Identity,
}

/// What tells a file from another one of the same name.
#[cfg(unix)]
type Identity = (u64, u64);
#[cfg(not(unix))]
type Identity = ();

impl Place {
    /// The place of a file that is there.
    pub(super) fn of(file: &Path) -> Result<Self, JournalError> {
        let identity = identity(file).map_err(JournalError::file("looking at", file))?;
        Ok(Self { file: file.to_owned(), identity })
    }

    /// Whether the same file is still there. A look that fails for another reason says nothing.
    pub(super) fn is_held(&self) -> bool {
        match identity(&self.file) {
            Ok(found) => found == self.identity,
            Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        }
    }
}

#[cfg(unix)]
fn identity(file: &Path) -> std::io::Result<Identity> {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::metadata(file)?;
    Ok((found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn identity(file: &Path) -> std::io::Result<Identity> {
    std::fs::metadata(file).map(drop)
}

/// The state is its owner's alone; folders above it that are missing are made as usual.
fn make_folder(path: &Path) -> Result<(), JournalError> {
    if let Some(parent) = path.parent() {
        folder::make(parent).map_err(JournalError::file("making the folder", parent))?;
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(JournalError::file("making the state folder", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_until_the_first_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/state");
        let held = HeldFolder::take(&path).unwrap();
        assert!(matches!(HeldFolder::take(&path), Err(JournalError::Locked { .. })));
        assert_eq!(is_held(&path), Some(true));
        drop(held);
        assert_eq!(is_held(&path), Some(false));
        HeldFolder::take(&path).unwrap();
        assert_eq!(is_held(&folder.path().join("none")), Some(false));
    }

    #[test]
    fn one_who_looks_keeps_nobody_out() {
        let folder = tempfile::tempdir().unwrap();
        drop(HeldFolder::take(folder.path()).unwrap());
        let look = File::open(folder.path().join(LOCK)).unwrap();
        look.lock_shared().unwrap();
        assert_eq!(is_held(folder.path()), Some(false), "another look is no run");
        let gone = std::thread::spawn(move || drop(look));
        let taken = HeldFolder::take(folder.path());
        gone.join().unwrap();
        assert!(taken.is_ok() || HeldFolder::take(folder.path()).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn the_folder_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let _held = HeldFolder::take(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_file_that_was_removed_or_replaced_is_not_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("deep/file"), folder.path().join("other"));
        std::fs::create_dir(folder.path().join("deep")).unwrap();
        std::fs::write(&path, "1").unwrap();
        std::fs::write(&other, "2").unwrap();
        let place = Place::of(&path).unwrap();
        assert!(place.is_held());
        std::fs::write(&path, "more").unwrap();
        assert!(place.is_held());
        std::fs::rename(&other, &path).unwrap();
        assert!(!place.is_held() || cfg!(not(unix)));
        std::fs::remove_dir_all(folder.path().join("deep")).unwrap();
        assert!(!place.is_held());
    }

    #[test]
    fn a_file_in_the_folders_place_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        std::fs::write(&path, "").unwrap();
        let text = HeldFolder::take(&path).unwrap_err().to_string();
        assert!(text.contains("state"), "{text}");
    }
}
