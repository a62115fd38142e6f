//! What can go wrong with the journal, in words that a person can act on.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

use crate::units::Credits;

/// Why the journal did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process has the state folder.
    #[error("opening the state folder {}: another run holds it", folder.display())]
    Locked {
        /// The state folder.
        folder: PathBuf,
    },
    /// The operating system refused a file or a folder.
    #[error("{doing} {}: {source}", path.display())]
    File {
        /// What was being done, such as "making the state folder".
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The journal was written by another version of this program.
    #[error("opening {}: its format is version {found}, this program knows version {known}", file.display())]
    Version {
        /// The database file.
        file: PathBuf,
        /// The version that it carries.
        found: i64,
        /// The version that this program reads and writes.
        known: i64,
    },
    /// A database that this program did not make.
    #[error("opening {}: it is a database, but not a journal of this program", file.display())]
    Foreign {
        /// The database file.
        file: PathBuf,
    },
    /// What is stored cannot be what was written.
    #[error("reading {}: damaged at {place}: {why}", file.display())]
    Damaged {
        /// The database file.
        file: PathBuf,
        /// Where in it: a table and row, or what the database's own check names.
        place: String,
        /// What is wrong there.
        why: String,
    },
    /// The database is gone, or was emptied, in a folder in which it was begun.
    #[error("opening {}: {found}, although a journal was begun in its folder: what was paid for was lost there", file.display())]
    Emptied {
        /// The database file.
        file: PathBuf,
        /// What is there in its place.
        found: &'static str,
    },
    /// Something else stands in the place of a file of the state.
    #[error("{} is {found}, where a file of the state should be", file.display())]
    NoFile {
        /// The file.
        file: PathBuf,
        /// What is there in its place.
        found: &'static str,
    },
    /// A read failed for a reason that is not damage.
    #[error("{doing} in {}: {why}", file.display())]
    Read {
        /// What was being read.
        doing: &'static str,
        /// The database file.
        file: PathBuf,
        /// Why it failed.
        why: String,
    },
    /// The state folder was made for another question.
    #[error("the state belongs to another question: {}", differences(stored, asked))]
    OtherQuestion {
        /// The question in the journal, as JSON.
        stored: String,
        /// The question that was asked, as JSON.
        asked: String,
    },
    /// Something was to be recorded before any run began.
    #[error("no run has begun in this state")]
    NoRun,
    /// A run was to begin while another is unfinished.
    #[error("run {run} is unfinished; another cannot begin before it has ended")]
    RunUnfinished {
        /// The unfinished run.
        run: String,
    },
    /// The state already has a run of that name.
    #[error("the state already holds a run named {run}")]
    RunExists {
        /// The name.
        run: String,
    },
    /// A run was named that is not the latest.
    #[error("run {run} is not the latest run of this state")]
    UnknownRun {
        /// The name.
        run: String,
    },
    /// A ledger was asked for credits after another run had begun.
    #[error("the run that this ledger belongs to has ended")]
    RunEnded,
    /// The same page came twice: an error of this program, refused so that it shows.
    #[error("{page} was bought twice")]
    BoughtTwice {
        /// The page's address.
        page: String,
    },
    /// A part is not where the caller thinks it is.
    #[error("part {path} cannot become {wanted}: it is {found}")]
    PartState {
        /// The part's path.
        path: String,
        /// The state it should get.
        wanted: &'static str,
        /// What the journal knows about it.
        found: String,
    },
    /// The disk is full. Answers in flight are still tried; nothing new may be sent.
    #[error("writing {}: the disk is full", file.display())]
    DiskFull {
        /// The database file.
        file: PathBuf,
    },
    /// The first I/O failure stopped the journal for good; it is not tried again, because a second sync proves nothing.
    #[error("the journal {} has stopped: {cause}", file.display())]
    Stopped {
        /// The database file.
        file: PathBuf,
        /// The first failure.
        cause: String,
    },
    /// The file is not where it was opened: what would be written now, nobody could find again.
    #[error("the journal {} is not there any more: its folder was moved or removed while the run went on", file.display())]
    Vanished {
        /// Where it was.
        file: PathBuf,
    },
    /// The lease of the copy that is kept elsewhere is over.
    #[error(transparent)]
    Lapsed(Lapse),
    /// What was kept elsewhere is not what was written.
    #[error("reading {piece}: {why}")]
    NoPiece {
        /// Which piece.
        piece: String,
        /// What is wrong with it.
        why: NoPiece,
    },
    /// The journal was closed, or its writer has ended.
    #[error("the journal is closed")]
    Closed,
}

/// Why an attempt may not be sent.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The run has used what it may cost.
    #[error("{spent} of {max} are used")]
    Exhausted {
        /// What the run may have cost, over all its starts.
        spent: Credits,
        /// What it may cost.
        max: Credits,
    },
    /// The reservation could not be made durable.
    #[error("reserving credits: {0}")]
    Journal(#[from] JournalError),
}

/// Why a lease is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lapse {
    /// Another process holds the state.
    #[error("the state {state} was taken over by another run, {holder}, while this one could not renew its lease")]
    Taken {
        /// The state's address.
        state: String,
        /// Who holds it.
        holder: String,
    },
    /// The store does not answer.
    #[error("the state {state} could not be written for {seconds} s, so that nothing more was sent: {why}")]
    Silent {
        /// The state's address.
        state: String,
        /// For how long.
        seconds: u64,
        /// The last failure.
        why: String,
    },
    /// It was given back.
    #[error("the state {state} was given back already")]
    Released {
        /// The state's address.
        state: String,
    },
}

/// Bytes that are no piece of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no piece of a journal: {0}")]
pub struct NoPiece(pub(super) &'static str);

impl JournalError {
    /// Whether nothing can be gone on from in the state folder: it is damaged, emptied, foreign, or of another version.
    pub const fn is_about_a_bad_state(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. }
                | Self::Emptied { .. }
                | Self::NoFile { .. }
                | Self::Foreign { .. }
                | Self::Version { .. }
                | Self::NoPiece { .. }
        )
    }

    /// Wraps a failure of the operating system.
    pub(super) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { doing, path, source }
    }

    /// Wraps a failed read: damage where the database or a stored value says so.
    pub(super) fn read(doing: &'static str, file: &Path) -> impl Fn(rusqlite::Error) -> Self + use<> {
        let file = file.to_owned();
        move |error| {
            let (file, why) = (file.clone(), error.to_string());
            if is_damage(&error) {
                Self::Damaged { file, place: doing.to_owned(), why }
            } else {
                Self::Read { doing, file, why }
            }
        }
    }

    /// Names a stored value that cannot be what was written.
    pub(super) fn damaged(file: &Path, place: impl Into<String>, why: impl ToString) -> Self {
        Self::Damaged { file: file.to_owned(), place: place.into(), why: why.to_string() }
    }
}

/// Whether an error means that the file does not hold what was written.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase),
        None => matches!(
            error,
            rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::Utf8Error(..)
        ),
    }
}

/// Whether an error means that the disk is full; growing the shared index of the log reports it in its own way.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
        || error.sqlite_error().is_some_and(|cause| cause.extended_code == SQLITE_IOERR_SHMSIZE)
}

/// What differs between two questions, key by key, so that a person need not compare two walls of JSON.
fn differences(stored: &str, asked: &str) -> String {
    let read = |text: &str| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).ok();
    let (Some(was), Some(is)) = (read(stored), read(asked)) else {
        return format!("it holds {stored}, asked is {asked}");
    };
    let shown = |question: &serde_json::Map<String, serde_json::Value>, key: &str| {
        let text = question.get(key).map_or_else(|| "nothing".to_owned(), ToString::to_string);
        let short: String = text.chars().take(LONGEST_VALUE).collect();
        if short.len() < text.len() { format!("{short}…") } else { short }
    };
    let keys: std::collections::BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let differing = keys.into_iter().filter(|key| was.get(*key) != is.get(*key));
    let texts = differing.map(|key| format!("{key} is {} there, and {} was asked", shown(&was, key), shown(&is, key)));
    texts.collect::<Vec<_>>().join("; ")
}

/// Characters of a differing value that a message shows.
const LONGEST_VALUE: usize = 120;
