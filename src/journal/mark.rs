//! The mark of a state folder: that a journal was begun there, and the least that it must know.
//!
//! A database does not say that its log was lost: it goes on from what was moved out of the log before. So once after each such move, as
//! soon as the log holds more, the mark is told how much the journal knows by then. A journal that later knows less has lost its log,
//! and what was paid for with it.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::error::JournalError;
use super::lock::HeldFolder;
use crate::replaced::{self, Readers};

/// Made once the database is durable, and never removed.
pub(super) const NAME: &str = "begun";
const TEXT: &str = "A journal was begun in this folder. What it holds was paid for.\n";
/// Bytes of the mark that are read.
const MOST_BYTES: u64 = 1_024;

/// What a journal knows, in one order: a run's number, and its attempts that ended.
pub(super) type Known = (i64, u64);

/// Whether the journal of this database was begun.
pub(super) fn is_there(database: &Path) -> bool {
    fs::symlink_metadata(beside(database)).is_ok()
}

/// Makes the mark, durably. One that is there is replaced by itself: answers that are paid for are only kept where that can be done, so it
/// is tried before the first request.
pub(super) fn make(state: &HeldFolder) -> Result<(), JournalError> {
    let path = state.path().join(NAME);
    let written = match fs::symlink_metadata(&path) {
        Ok(_) => read(&path).and_then(|text| replaced::replace(&path, &text, Readers::AsUsual)),
        Err(_) => fs::write(&path, TEXT).and_then(|()| File::open(&path)?.sync_all()),
    };
    match written {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Err(JournalError::DiskFull { file: path }),
        Err(error) => Err(JournalError::file("writing", &path)(error)),
        Ok(()) => state.sync(),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(MOST_BYTES).read_to_end(&mut text)?;
    Ok(text)
}

/// The least that the journal of this database must know; none where the mark tells nothing.
pub(super) fn least(database: &Path) -> Option<Known> {
    let text = String::from_utf8(read(&beside(database)).ok()?).ok()?;
    let told = text.lines().find_map(|line| line.strip_prefix("It knows of run "))?;
    let (run, attempts) = told.strip_suffix(" requests.")?.split_once(", and of ")?;
    Some((run.parse().ok()?, attempts.parse().ok()?))
}

/// Tells the mark, at the right moments, what is known.
#[derive(Debug)]
pub(super) struct Marker {
    database: PathBuf,
    /// What was known when the log was last moved; none once the mark was told of more.
    moved_at: Option<Known>,
}

impl Marker {
    /// Of a database whose log is empty.
    pub(super) fn new(database: &Path, known: Option<Known>) -> Self {
        Self { database: database.to_owned(), moved_at: Some(known.unwrap_or_default()) }
    }

    /// The log was moved into the database.
    pub(super) fn moved(&mut self, known: Known) {
        self.moved_at = Some(known);
    }

    /// `known` is durable, in the log.
    ///
    /// # Errors
    /// The mark could not be written; it says what it said.
    pub(super) fn knows(&mut self, known: Known) -> io::Result<()> {
        if self.moved_at.is_none_or(|at| known <= at) {
            return Ok(());
        }
        let (run, attempts) = known;
        let text = format!("{TEXT}It knows of run {run}, and of {attempts} requests.\n");
        replaced::replace(&beside(&self.database), text.as_bytes(), Readers::AsUsual)?;
        self.moved_at = None;
        Ok(())
    }
}

fn beside(database: &Path) -> PathBuf {
    database.with_file_name(NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its files may be written, and no new one can be made: so it was found out with each answer, after it was paid for.
    #[test]
    fn a_mark_that_cannot_be_replaced_is_found_out_when_the_state_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let held = HeldFolder::take(folder.path()).unwrap();
        let path = folder.path().join(NAME);
        make(&held).unwrap();
        fs::write(&path, "It knows of run 3, and of 14 requests.").unwrap();
        make(&held).unwrap();
        assert_eq!(least(&folder.path().join("journal.sqlite")), Some((3, 14)), "it says what it said");
        fs::create_dir(replaced::beside(&path, "new").unwrap()).unwrap();
        assert!(matches!(make(&held), Err(JournalError::File { .. })), "{:?}", make(&held));
    }

    #[test]
    fn the_mark_is_told_once_after_each_move_and_only_of_more() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("journal.sqlite");
        assert_eq!((is_there(&database), least(&database)), (false, None));
        let mut marker = Marker::new(&database, None);
        marker.knows((0, 0)).unwrap();
        assert!(!is_there(&database));
        marker.knows((1, 3)).unwrap();
        marker.knows((1, 9)).unwrap();
        assert_eq!(least(&database), Some((1, 3)));
        marker.moved((1, 20));
        marker.knows((1, 20)).unwrap();
        assert_eq!(least(&database), Some((1, 3)));
        marker.knows((2, 0)).unwrap();
        assert_eq!(least(&database), Some((2, 0)));
    }

    #[test]
    fn the_mark_is_not_told_of_what_the_database_knew_without_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("journal.sqlite");
        let mut marker = Marker::new(&database, Some((1, 5)));
        marker.knows((1, 5)).unwrap();
        assert_eq!(least(&database), None);
        marker.knows((1, 6)).unwrap();
        assert_eq!(least(&database), Some((1, 6)));
    }

    #[test]
    fn a_mark_of_a_former_version_or_a_damaged_one_tells_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("journal.sqlite");
        for text in [TEXT, "", "It knows of run 1, and of many requests.", "It knows of run 1"] {
            fs::write(folder.path().join(NAME), text).unwrap();
            assert_eq!((is_there(&database), least(&database)), (true, None), "{text}");
        }
    }
}
