//! The tables of `journal.sqlite`, drawn; and the rule by which a file is known, made or refused.
//!
//! Version rule: `PRAGMA user_version` holds [`VERSION`]. A file without tables is new and gets them, with the version, in one
//! transaction. Any other version is refused by name, never converted in silence; whoever changes a table raises it.
//!
//! Times are epoch seconds unless a name ends in `_ms`. Ranges are half-open. A *checksum* is the 8 bytes of an XXH3
//! over the parts that its table names, each preceded by its length (see [`checksum`]): it finds what a disk spoils, and names nothing
//! to others. Numbers in blobs are little-endian.
//!
//! | table | column | type | meaning |
//! | --- | --- | --- | --- |
//! | `question` | `one` | integer, key | always 1: a state belongs to one output |
//! | | `fingerprint`, `json` | text | what tells identities apart; the identity, for people |
//! | `runs` | `number` | integer, key | counts up; the largest is the current run |
//! | | `id` | text, unique | the run's name |
//! | | `range_start`, `range_end` | integer | the asked range, resolved; as it was last extended |
//! | | `reads` | text | what is read of it, as JSON: a list of `Reads`, as it was when the run began |
//! | | `ends` | text | `absolute` or `by_clock`: whether an end of the range was taken from the clock |
//! | | `spent_at` | integer or null | when the start began that used the run's credits up; null where something else ended the last one |
//! | | `began_at` | integer | when it began |
//! | | `output`, `partition` | text | where its output lay and how it is laid out, for a person |
//! | | `outcome` | text or null | `complete`, `incomplete`, `closed`; null while unfinished |
//! | | `reserved` | integer | attempts that may have been sent; never above `max_credits` |
//! | | `attempts`, `pages`, `pages_with_rows`, `retries`, `throttled`, `astray` | integer | attempts that ended, and of which kind |
//! | `pages` | `sequence` | integer, key | one order for pages and events |
//! | | `run` | integer | `runs.number` |
//! | | `region` | text | the queried region |
//! | | `purpose` | text | `walk`, `newest`, `without_filters`, `without_range`, `known_second`, `bounds`, `confirm_oldest`, `confirm_newest`, `count`, `recheck`, `place` |
//! | | `window`, `scan` | integer | of a walk's page; -1 for the other purposes, but that `window` is the second that a `count`, `recheck` or `place` begins at, and `scan` a `place`'s question |
//! | | `page` | integer | `page_num`; run, purpose, window, scan, region and page together are unique |
//! | | `fetched_at`, `slots`, `position` | integer | arrival; rows on the page; where the walk stood |
//! | | `first`, `last` | integer or null | first and last second of the usable rows, both inclusive |
//! | | `standing` | text | `answers`, `outside`, `other_region`: whether the page answers its question |
//! | | `outside`, `own_region`, `other_region` | integer | usable rows outside the asked time; rows that name the asked region, and another |
//! | | `print` | integer | tells its rows from those of another answer, those that cannot be placed among them; the bits of a u64 |
//! | `row_keys` | `sequence` | integer, key | `pages.sequence`; gone some time after the window is closed |
//! | | `keys` | blob | 16 bytes a row that the plan learns from, in the page's order: second (i64), video key (u64) |
//! | | `checksum` | blob | of the page's row in `pages` as text, and of `keys` |
//! | `bodies` | `sequence` | integer, key | `pages.sequence`; gone some time after it is released |
//! | | `region`, `first`, `end` | text, integer | the seconds of the delivered rows; the page's position where it has none |
//! | | `slots` | integer | rows on the page |
//! | | `fetched_at_ms`, `request_id` | integer, text or null | for the columns of the same names in the output |
//! | | `length`, `body` | integer, blob | bytes before compression; the delivered rows, packed as `api::packed` says, in a block of LZ4 |
//! | | `checksum` | blob | of sequence, region, first, end, fetched_at_ms, request_id and the body before compression |
//! | `released` | `sequence` | integer, key | `bodies.sequence`: the body is owed to nobody any more, and lies there until its neighbours are released too |
//! | `events` | `sequence` | integer, key | in the same order as `pages` |
//! | | `json`, `checksum` | text, blob | the planner's decision; of sequence and text |
//! | `closed_windows` | `run`, `window` | integer, key | windows whose pages the planner needs no more |
//! | `rejected` | `number` | integer, key | order of arrival |
//! | | `run`, `region`, `hash` | integer, text, blob | unique together; SHA-256 of `text`, and of its place where it says nothing |
//! | | `page`, `place`, `why`, `text` | text, integer, text, text | the page's address, and after `; ` those of others that it came on, of which `…` stands for more; place on the first; what is wrong; the row |
//! | `parts` | `path` | text, key | below the output folder |
//! | | `state` | text | `prepared`, `held`, `published`, `superseded` |
//! | | `record` | text | a `PartRecord` as JSON |
//! | `learned` | `name`, `json` | text, key; text | what was learned of the service, across runs |
//!
//! `pages`, `row_keys`, `bodies`, `released`, `events`, `closed_windows` and `rejected` hold the current run only. Bodies are kept of
//! pages that answer the user's own question: the kinds of evidence, `without_filters`, `without_range`, `known_second` and `bounds`, hold rows that
//! were not asked for and must never reach the output.
//!
//! Tables that grow with every page have no index beside their key: each page would change another leaf of it, and all of them
//! together would be as much to write as the page's body. What an index would tell is read once, when the journal is opened, and
//! known in memory from then on: `bought` by address, `held` by time.

use std::hash::Hasher as _;
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};
use twox_hash::XxHash3_64;

use super::error::JournalError;

/// What stands between the addresses of pages that a rejected row came on.
pub(super) const BETWEEN_PAGES: &str = "; ";
/// What stands for more of them than are kept.
pub const MORE_PAGES: &str = "…";
/// Characters of them beyond which no more are kept.
pub(super) const MOST_PAGES_CHARS: i64 = 1_000;

/// The version of the tables that this program reads and writes.
pub const VERSION: i64 = 8;

/// The database's name in the state folder.
pub(super) const FILE: &str = "journal.sqlite";

const TABLES: &str = "
CREATE TABLE question (one INTEGER PRIMARY KEY CHECK (one = 1), fingerprint TEXT NOT NULL, json TEXT NOT NULL) STRICT;
CREATE TABLE runs (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, range_start INTEGER NOT NULL, range_end INTEGER NOT NULL,
    reads TEXT NOT NULL, ends TEXT NOT NULL, spent_at INTEGER,
    began_at INTEGER NOT NULL, output TEXT NOT NULL, partition TEXT NOT NULL,
    outcome TEXT CHECK (outcome IN ('complete', 'incomplete', 'closed')),
    reserved INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, pages INTEGER NOT NULL DEFAULT 0,
    pages_with_rows INTEGER NOT NULL DEFAULT 0, retries INTEGER NOT NULL DEFAULT 0, throttled INTEGER NOT NULL DEFAULT 0,
    astray INTEGER NOT NULL DEFAULT 0,
    CHECK (attempts <= reserved)
) STRICT;
CREATE TABLE pages (
    sequence INTEGER PRIMARY KEY, run INTEGER NOT NULL, region TEXT NOT NULL, purpose TEXT NOT NULL,
    window INTEGER NOT NULL, scan INTEGER NOT NULL, page INTEGER NOT NULL, fetched_at INTEGER NOT NULL,
    slots INTEGER NOT NULL, position INTEGER NOT NULL, first INTEGER, last INTEGER,
    standing TEXT NOT NULL CHECK (standing IN ('answers', 'outside', 'other_region')),
    outside INTEGER NOT NULL, own_region INTEGER NOT NULL, other_region INTEGER NOT NULL, print INTEGER NOT NULL
) STRICT;
CREATE TABLE row_keys (sequence INTEGER PRIMARY KEY, keys BLOB NOT NULL, checksum BLOB NOT NULL) STRICT;
CREATE TABLE bodies (
    sequence INTEGER PRIMARY KEY, region TEXT NOT NULL, first INTEGER NOT NULL, end INTEGER NOT NULL,
    slots INTEGER NOT NULL, fetched_at_ms INTEGER NOT NULL, request_id TEXT,
    length INTEGER NOT NULL,
    checksum BLOB NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE TABLE events (sequence INTEGER PRIMARY KEY, json TEXT NOT NULL, checksum BLOB NOT NULL) STRICT;
CREATE TABLE closed_windows (run INTEGER NOT NULL, window INTEGER NOT NULL, PRIMARY KEY (run, window)) STRICT, WITHOUT ROWID;
CREATE TABLE rejected (
    number INTEGER PRIMARY KEY, run INTEGER NOT NULL, region TEXT NOT NULL, hash BLOB NOT NULL, page TEXT NOT NULL,
    place INTEGER NOT NULL, why TEXT NOT NULL, text TEXT NOT NULL, UNIQUE (run, region, hash)
) STRICT;
CREATE TABLE parts (
    path TEXT PRIMARY KEY, state TEXT NOT NULL CHECK (state IN ('prepared', 'held', 'published', 'superseded')), record TEXT NOT NULL
) STRICT;
CREATE TABLE released (sequence INTEGER PRIMARY KEY) STRICT;
CREATE TABLE learned (name TEXT PRIMARY KEY, json TEXT NOT NULL) STRICT;
";

/// Every table, in the order in which pieces of a journal number them (`changes`): a new one comes last.
pub(super) const TABLES_IN_ORDER: [&str; 11] = [
    "question",
    "runs",
    "pages",
    "row_keys",
    "bodies",
    "events",
    "closed_windows",
    "rejected",
    "parts",
    "learned",
    "released",
];

/// Tables that hold the current run only, emptied when another begins.
pub(super) const OF_ONE_RUN: [&str; 7] =
    ["pages", "row_keys", "bodies", "released", "events", "closed_windows", "rejected"];

/// What a database file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing in it yet.
    New,
    /// A journal of this version.
    Journal,
}

/// Tells a new file from a journal of this version, and refuses everything else by name.
pub(super) fn inspect(connection: &Connection, file: &Path) -> Result<Found, JournalError> {
    let failed = JournalError::read("reading the format's version", file);
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(&failed)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(&failed)?;
    match (found, tables) {
        (VERSION, _) => Ok(Found::Journal),
        (0, 0) => Ok(Found::New),
        (0, _) => Err(JournalError::Foreign { file: file.to_owned() }),
        (found, _) => Err(JournalError::Version { file: file.to_owned(), found, known: VERSION }),
    }
}

/// Makes the tables of a new file, with the version, in one transaction.
pub(super) fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

/// The 8 bytes of an XXH3 (64 bits, no seed, little-endian) over the parts, each preceded by its length as 8 bytes, so that no two
/// lists of parts that differ read the same.
pub(super) fn checksum(parts: &[&[u8]]) -> [u8; 8] {
    let mut digest = XxHash3_64::new();
    for part in parts {
        digest.write(&(part.len() as u64).to_le_bytes());
        digest.write(part);
    }
    digest.finish().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_tells_where_one_part_ends() {
        assert_ne!(checksum(&[b"ab", b"c"]), checksum(&[b"a", b"bc"]));
        assert_ne!(checksum(&[b"a"]), checksum(&[b"a", b""]));
        assert_eq!(checksum(&[b"a", b"b"]), checksum(&[b"a", b"b"]));
        // It is stored, so it is the same in every build.
        assert_eq!(checksum(&[b"a page", &[7; 1_000]]), [156, 253, 191, 183, 49, 65, 131, 1]);
    }

    #[test]
    fn another_version_is_refused_by_name() {
        let mut connection = Connection::open_in_memory().unwrap();
        let file = Path::new("journal.sqlite");
        assert_eq!(inspect(&connection, file).unwrap(), Found::New);
        create(&mut connection).unwrap();
        assert_eq!(inspect(&connection, file).unwrap(), Found::Journal);
        connection.pragma_update(None, "user_version", 9).unwrap();
        let text = inspect(&connection, file).unwrap_err().to_string();
        assert_eq!(text, "opening journal.sqlite: its format is version 9, this program knows version 8");
    }

    #[test]
    fn a_database_of_someone_else_is_refused() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
        assert!(matches!(inspect(&connection, Path::new("x")), Err(JournalError::Foreign { .. })));
    }

    #[test]
    fn every_table_is_drawn_in_the_documentation() {
        let mut connection = Connection::open_in_memory().unwrap();
        create(&mut connection).unwrap();
        let source = include_str!("schema.rs");
        let drawn: String = source.lines().take_while(|line| line.starts_with("//!")).collect();
        let mut statement = connection
            .prepare("SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table'")
            .unwrap();
        let columns = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).unwrap();
        for column in columns {
            let (table, column) = column.unwrap();
            assert!(drawn.contains(&format!("`{table}`")), "{table}");
            assert!(drawn.contains(&format!("`{column}`")), "{table}.{column}");
        }
    }
}
