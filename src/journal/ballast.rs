//! A file that does nothing but take room, so that there is some to give up when the disk is full: enough for the answers in
//! flight to land.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::JournalError;

pub(super) const NAME: &str = "ballast";
pub(super) const NEW: &str = "ballast.new";
/// Room for some hundred compressed pages and the log's own overhead.
const BALLAST_BYTES: u64 = 4 * 1024 * 1024;

/// The ballast of one state folder.
#[derive(Debug)]
pub(super) struct Ballast {
    path: PathBuf,
}

impl Ballast {
    /// Makes sure that the ballast lies in the folder, whole and written through.
    pub(super) fn load(folder: &Path) -> Result<Self, JournalError> {
        let path = folder.join(NAME);
        if fs::metadata(&path).is_ok_and(|found| found.len() == BALLAST_BYTES) {
            return Ok(Self { path });
        }
        // Under another name until it is whole and synced, so that a ballast of the right size is one that holds room.
        let new = folder.join(NEW);
        match write(&new).and_then(|()| fs::rename(&new, &path)) {
            Ok(()) => Ok(Self { path }),
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Err(JournalError::DiskFull { file: path }),
            Err(error) => Err(JournalError::file("writing the ballast", &path)(error)),
        }
    }

    /// Gives the room up. A ballast that is gone already, or cannot be removed, changes nothing for the caller.
    pub(super) fn give_up(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Writes bytes that no file system can fold away: a sparse or compressed ballast would hold no room.
fn write(path: &Path) -> io::Result<()> {
    let mut file = io::BufWriter::new(File::create(path)?);
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..BALLAST_BYTES / 8 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.write_all(&state.to_le_bytes())?;
    }
    file.into_inner()?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ballast_is_made_again_after_it_was_given_up_or_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let length = || fs::metadata(&path).map(|found| found.len()).ok();
        Ballast::load(folder.path()).unwrap().give_up();
        assert_eq!(length(), None);
        fs::write(&path, "short").unwrap();
        Ballast::load(folder.path()).unwrap();
        assert_eq!(length(), Some(BALLAST_BYTES));
    }

    #[test]
    fn a_ballast_that_was_not_written_to_its_end_is_none() {
        let folder = tempfile::tempdir().unwrap();
        File::create(folder.path().join(NEW)).unwrap().set_len(BALLAST_BYTES).unwrap();
        Ballast::load(folder.path()).unwrap();
        let written = fs::read(folder.path().join(NAME)).unwrap();
        assert!(written.chunks(4_096).all(|block| block.iter().any(|byte| *byte != 0)));
        assert!(!folder.path().join(NEW).exists());
    }
}
