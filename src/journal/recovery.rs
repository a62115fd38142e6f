//! Opening the journal: from a folder to a database that is known to be whole, and to what the writer must know of it.
//!
//! The order matters: lock, whether a journal was begun here, ballast, format, damage check, then the log is moved into the database and synced. That last
//! step makes durable whatever a failed sync of an earlier process may have left in the kernel's memory only.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::ballast::{self, Ballast};
use super::book::Account;
use super::bought::Bought;
use super::changes::{self, NotApplied};
use super::error::{JournalError, is_full};
use super::held::Held;
use super::lock::{HeldFolder, refuse_no_file};
use super::mark;
use super::reader::{Cursor, Reader};
use super::schema::{self, FILE, Found};
use crate::failpoint::{self, CrashStep};
use crate::folder;

/// How long a statement waits for a person's own tool that holds the database.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a page of the database. A packed answer has about 3 KiB: five fill a page of this size, and two leave a third of one
/// half as large empty, which would be written and synced with them.
pub(super) const PAGE_BYTES: i64 = 16_384;
/// Memory for pages that the writer may need again, in KiB: what a transaction touches, which adds at the end of each table. It is told only
/// once the size of a page is known: the database counts what it keeps in pages, by default in those of 4 KiB that it takes a new file to
/// have, and would keep four times the memory.
pub(super) const WRITER_CACHE_KIB: i64 = 2_048;
/// Statements kept prepared, above the number that the journal uses.
const STATEMENTS: usize = 64;

/// The journal as it was found, ready to be written.
#[derive(Debug)]
pub(super) struct Opened {
    // Declared in the order in which they are let go: the lock last.
    pub(super) connection: Connection,
    pub(super) ballast: Ballast,
    pub(super) folder: HeldFolder,
    pub(super) file: PathBuf,
    /// The current run's number and ledger.
    pub(super) run: Option<(i64, Account)>,
    pub(super) cursor: Cursor,
    /// Pages that hold a body.
    pub(super) held: Held,
    /// What the current run has bought.
    pub(super) bought: Bought,
}

/// Opens the journal of a state folder for writing, and makes what is missing.
pub(super) fn open(folder: &Path) -> Result<Opened, JournalError> {
    let folder = HeldFolder::take(folder)?;
    failpoint::pass(CrashStep::StateLocked);
    let file = folder.path().join(FILE);
    refuse_others(folder.path())?;
    refuse_emptied(&file)?;
    refuse_unwritable(folder.path())?;
    let ballast = Ballast::load(folder.path())?;
    failpoint::pass(CrashStep::BallastWritten);
    let connection = open_database(&folder, &file)?;
    failpoint::pass(CrashStep::DatabaseOpened);
    folder.sync()?;
    mark::make(&folder)?;
    failpoint::pass(CrashStep::StateSynced);
    let reader = open_reader(&file)?;
    let (run, cursor) = (reader.account()?, reader.cursor()?);
    refuse_forgotten(&file, run.as_ref())?;
    let (held, bought) = (reader.held()?, reader.bought()?);
    Ok(Opened { connection, ballast, folder, file, run, cursor, held, bought })
}

/// Makes a journal of the pieces that another one has shipped, in their order, in place of what lies in the folder. It has no mark before it is
/// opened. Blocking.
///
/// # Errors
/// A folder that another run holds; [`JournalError::NoPiece`] for a piece that is none; whatever the operating system refuses.
pub fn restore<E: From<JournalError>>(
    folder: &Path,
    pieces: impl Iterator<Item = Result<(String, Vec<u8>), E>>,
) -> Result<(), E> {
    let folder = HeldFolder::take(folder)?;
    let file = folder.path().join(FILE);
    refuse_others(folder.path())?;
    refuse_of_another_user(folder.path())?;
    for name in [FILE.to_owned(), format!("{FILE}-wal"), format!("{FILE}-shm"), mark::NAME.to_owned()] {
        let old = folder.path().join(name);
        match fs::remove_file(&old) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(JournalError::file("removing", &old)(error).into());
            }
            _ => {}
        }
    }
    let failed = |error: rusqlite::Error| match is_full(&error) {
        true => JournalError::DiskFull { file: file.clone() },
        false => JournalError::read("restoring the database", &file)(error),
    };
    let mut connection = open_empty(&file).map_err(failed)?;
    let transaction = connection.transaction().map_err(failed)?;
    for piece in pieces {
        let (name, piece) = piece?;
        changes::apply(&transaction, &piece).map_err(|error| match error {
            NotApplied::NoPiece(why) => JournalError::NoPiece { piece: name, why },
            NotApplied::Database(error) => failed(error),
        })?;
    }
    transaction.commit().map_err(failed)?;
    drop(connection);
    let synced = fs::File::open(&file).and_then(|file| file.sync_all());
    Ok(synced.map_err(JournalError::file("syncing", &file))?)
}

/// In a folder for temporary files somebody else may have made it before.
#[cfg(unix)]
fn refuse_of_another_user(folder: &Path) -> Result<(), JournalError> {
    use std::os::unix::fs::MetadataExt as _;
    let refused = JournalError::file("using the folder", folder);
    match fs::metadata(folder) {
        Ok(found) if found.uid() == rustix::process::geteuid().as_raw() => Ok(()),
        Ok(_) => Err(refused(std::io::Error::new(std::io::ErrorKind::PermissionDenied, "it belongs to another user"))),
        Err(error) => Err(refused(error)),
    }
}

#[cfg(not(unix))]
fn refuse_of_another_user(_folder: &Path) -> Result<(), JournalError> {
    Ok(())
}

/// A new database with the tables of a journal, which is not synced.
fn open_empty(file: &Path) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open(file)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    schema::create(&mut connection)?;
    Ok(connection)
}

/// Opens a second, read-only connection.
pub(super) fn open_reader(file: &Path) -> Result<Reader, JournalError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = JournalError::read("opening the database", file);
    let connection = Connection::open_with_flags(file, flags).map_err(&failed)?;
    connection.busy_timeout(PATIENCE).map_err(&failed)?;
    Ok(Reader::new(connection, file.to_owned()))
}

/// Opens the journal of a state folder for reading, whoever holds it; none where there is none.
pub(super) fn open_view(folder: &Path) -> Result<Option<Reader>, JournalError> {
    let file = folder.join(FILE);
    refuse_no_file(&file)?;
    refuse_emptied(&file)?;
    if !fs::exists(&file).map_err(JournalError::file("looking for", &file))? {
        return Ok(None);
    }
    let reader = open_reader(&file)?;
    match reader.inspect()? {
        Found::New if mark::is_there(&file) => Err(emptied(&file, "it has no tables")),
        Found::New => Ok(None),
        Found::Journal => Ok(Some(reader)),
    }
}

/// Our files are ours: a link in the place of one would have them written, or cut to nothing, elsewhere; and what is no file cannot be opened.
fn refuse_others(state: &Path) -> Result<(), JournalError> {
    let log = [format!("{FILE}-wal"), format!("{FILE}-shm"), format!("{FILE}-journal")];
    let names = [FILE, mark::NAME, ballast::NAME, ballast::NEW].map(str::to_owned);
    names.into_iter().chain(log).map(|name| state.join(name)).try_for_each(|file| {
        folder::refuse_link(&file).map_err(JournalError::file("opening", &file))?;
        refuse_no_file(&file)
    })
}

/// A database that may be read alone is refused before it is opened: its log would be made with the same rights, and would stand in the
/// way after they are mended.
fn refuse_unwritable(state: &Path) -> Result<(), JournalError> {
    let names = [FILE.to_owned(), format!("{FILE}-wal"), format!("{FILE}-shm")];
    names.into_iter().map(|name| state.join(name)).try_for_each(|file| {
        folder::refuse_unwritable(&file).map_err(JournalError::file("opening for reading and writing", &file))
    })
}

/// A database that is missing or empty, where it was begun or its log is left, was lost. To begin anew would pay for all of it
/// again, and the database would throw the log away; so it is refused before anything is opened.
fn refuse_emptied(file: &Path) -> Result<(), JournalError> {
    let size = |file: &Path| fs::metadata(file).map(|found| found.len()).ok();
    let log = file.with_file_name(format!("{FILE}-wal"));
    let was_begun = mark::is_there(file) || size(&log).is_some_and(|bytes| bytes > 0);
    match size(file) {
        None if was_begun => Err(emptied(file, "it is not there")),
        Some(0) if was_begun => Err(emptied(file, "it is empty")),
        _ => Ok(()),
    }
}

/// A journal that knows less than its mark does has lost its log. What is left of it stays as it is.
fn refuse_forgotten(file: &Path, run: Option<&(i64, Account)>) -> Result<(), JournalError> {
    let known = run.map(|(number, account)| (*number, account.tally.attempts));
    match mark::least(file).is_some_and(|least| known.unwrap_or_default() < least) {
        true => Err(emptied(file, "what its log held is gone")),
        false => Ok(()),
    }
}

fn emptied(file: &Path, found: &'static str) -> JournalError {
    JournalError::Emptied { file: file.to_owned(), found }
}

fn open_database(state: &HeldFolder, file: &Path) -> Result<Connection, JournalError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |error: rusqlite::Error| match is_full(&error) {
        true => JournalError::DiskFull { file: file.to_owned() },
        false => JournalError::read("opening the database", file)(error),
    };
    let mut connection = Connection::open_with_flags(file, flags).map_err(failed)?;
    connection.busy_timeout(PATIENCE).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Before anything is changed, so that a foreign database stays as it is.
    let found = schema::inspect(&connection, file)?;
    if found == Found::New && mark::is_there(file) {
        return Err(emptied(file, "it has no tables"));
    }
    configure(&connection).map_err(failed)?;
    // Read once more, so that the mode that is asked for next is the file's own; and before anything is written, since a mode that
    // fell back after a failed sync would sync the same file again.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(failed)?;
    confirm_log(&connection, file)?;
    match found {
        Found::New => {
            failpoint::pass(CrashStep::DatabaseConfigured);
            // A log whose database has no durable name would look like one whose database was lost.
            state.sync()?;
            schema::create(&mut connection).map_err(failed)?;
        }
        Found::Journal => check(&connection, file)?,
    }
    checkpoint(&connection, "TRUNCATE").map_err(failed)?;
    Ok(connection)
}

/// Makes sure that the write-ahead log is on. Asked to turn it on, the database names the new mode before the change is
/// durable, and falls back in silence when that fails; so it is asked again once the file has been read.
fn confirm_log(connection: &Connection, file: &Path) -> Result<(), JournalError> {
    let doing = "turning the write-ahead log on";
    let failed = JournalError::read(doing, file);
    let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).map_err(failed)?;
    if mode == "wal" {
        return Ok(());
    }
    let why =
        format!("the database stays in mode {mode}; the file system may not allow it, or its disk is full or fails");
    Err(JournalError::Read { doing, file: file.to_owned(), why })
}

/// The log is moved by the writer itself: done within a commit, a failed sync of that move would go unnoticed; done while a
/// connection is let go, it would be a second sync after a failed one.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    // Of a new file alone; another keeps what it was made with.
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // A negative number is one of KiB.
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)
}

/// Moves the log into the database and syncs it; what a reader still needs stays in the log.
pub(super) fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<()> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))
}

/// The database's own check of every page of the file, without the order of its indexes.
fn check(connection: &Connection, file: &Path) -> Result<(), JournalError> {
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(JournalError::read("checking the database", file))?;
    match verdict.as_str() {
        "ok" => Ok(()),
        _ => Err(JournalError::damaged(file, verdict.replace('\n', " "), "the database's own check refused it")),
    }
}
