//! The Delta log of an output: what its parts are to readers of tables.
//!
//! The log lies in [`LOG`], one file a version. It follows the manifest: the actions of a version are written into the manifest that makes
//! it, before the file is put. So whoever opens the output after a death finds there what the log still lacks. Each version says in its
//! `txn` which output made it (`appId`) and in which generation of the manifest (`version`).
//!
//! ```text
//! OUT/data/_delta_log/00000000000000000007.json    one action a line: commitInfo, protocol, metaData, txn, remove, add
//! ```
//! Readers of protocol 1 take it, and writers of protocol 2. A file that a version removes stays for a while, for readers of a former
//! version; [`Superseded`] says since when. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::journal::record::PartRecord;
use crate::sink::columns::{COLUMNS, Column, Kind, SCHEMA_VERSION};
use crate::sink::identity::Identity;
use crate::sink::layout::{DATA, Level, LevelKind};
use crate::units::{ByteCount, EpochSeconds};

mod replay;
mod statistics;

pub use replay::{Replay, ReplayError};
pub use statistics::{add_values, footer_bytes, statistics};

/// The folder of the log, below the output.
pub const LOG: &str = "data/_delta_log";

/// What the manifest says of the table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// The version of the log that lists the manifest's parts; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// What the table's columns were told to be last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
    /// The actions of that version, in the manifest that made it: the lines of its file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Value>,
    /// Files that only former versions list, and that still lie there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub superseded: Vec<Superseded>,
}

/// What a table's columns are, and by which of them its files are laid out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// The version of the parts' columns.
    pub schema_version: u32,
    /// The levels of the parts' paths, which are columns of the table.
    pub partitioned_by: Vec<String>,
}

/// A file that the table lists no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Superseded {
    /// Its path below the output.
    pub path: String,
    /// Its size.
    pub bytes: ByteCount,
    /// Since when.
    pub at: EpochSeconds,
}

/// The path of a version's file, below the output.
pub fn log_file(version: u64) -> String {
    format!("{LOG}/{version:020}.json")
}

/// Whether a path below the output is of the log.
pub fn is_of_the_log(path: &str) -> bool {
    path.strip_prefix(LOG).is_some_and(|rest| rest.starts_with('/'))
}

/// The text of a version's file.
pub fn log_text(actions: &[Value]) -> String {
    actions.iter().map(|action| format!("{action}\n")).collect()
}

/// The version of the first columns that a table can have: parts before it held amounts as doubles.
pub const FIRST_SCHEMA: u32 = 2;

impl Shape {
    /// That of an output.
    pub fn of(identity: &Identity) -> Self {
        let levels = identity.partition.levels(identity.snapshot);
        Self {
            schema_version: SCHEMA_VERSION,
            partitioned_by: levels.iter().map(|level| level.name.to_owned()).collect(),
        }
    }

    /// The table's schema as the log writes it.
    fn schema(&self) -> Value {
        let levels = self.partitioned_by.iter().map(|level| {
            let is_date = Level::named(level).is_some_and(|level| level.kind == LevelKind::Date);
            field(level, &json!(if is_date { "date" } else { "string" }))
        });
        let columns = COLUMNS.iter().map(|Column { name, kind, .. }| field(name, &type_of(*kind)));
        json!({ "type": "struct", "fields": columns.chain(levels).collect::<Vec<_>>() })
    }
}

fn field(name: &str, kind: &Value) -> Value {
    json!({ "name": name, "type": kind, "nullable": true, "metadata": {} })
}

fn type_of(kind: Kind) -> Value {
    let list = |element: Value| json!({ "type": "array", "elementType": element, "containsNull": true });
    match kind {
        Kind::Text => json!("string"),
        Kind::Moment => json!("timestamp"),
        Kind::Flag => json!("boolean"),
        Kind::Whole8 => json!("byte"),
        Kind::Whole32 => json!("integer"),
        Kind::Whole64 => json!("long"),
        Kind::Decimal => {
            json!(format!("decimal({},{})", crate::sink::columns::DECIMAL_DIGITS, crate::sink::columns::DECIMAL_PLACES))
        }
        Kind::TextList => list(json!("string")),
        Kind::CategoryList => {
            let text = |name: &str| field(name, &json!("string"));
            list(json!({ "type": "struct", "fields": [text("category_id"), text("category_name")] }))
        }
    }
}

/// A file that the log lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its size.
    pub bytes: ByteCount,
    /// Its SHA-256; none where only the log is known, which does not tell it.
    pub sha256: Option<String>,
}

/// The files that a version of the log lists, by their paths below the output.
pub type Files = BTreeMap<String, Listed>;

/// The files of a manifest's parts.
pub fn files_of(parts: &[PartRecord]) -> Files {
    let listed = |part: &PartRecord| Listed { bytes: part.bytes, sha256: Some(part.sha256.clone()) };
    parts.iter().map(|part| (part.path.clone(), listed(part))).collect()
}

/// What brings the table from what a log lists to a manifest's parts.
#[derive(Debug)]
pub struct Difference<'a> {
    /// Parts that it does not list yet, or that stand there with another content.
    pub added: Vec<&'a PartRecord>,
    /// Files that are no part any more.
    pub removed: Vec<(String, ByteCount)>,
}

impl<'a> Difference<'a> {
    /// Between what is listed and what should be.
    pub fn between(listed: &Files, parts: &'a [PartRecord]) -> Self {
        let is_listed = |part: &&PartRecord| {
            listed.get(&part.path).is_some_and(|was| {
                was.bytes == part.bytes && was.sha256.as_ref().is_none_or(|sha256| *sha256 == part.sha256)
            })
        };
        let live: BTreeSet<&String> = parts.iter().map(|part| &part.path).collect();
        let removed = listed.iter().filter(|(path, _)| !live.contains(path));
        Self {
            added: parts.iter().filter(|part| !is_listed(part)).collect(),
            removed: removed.map(|(path, listed)| (path.clone(), listed.bytes)).collect(),
        }
    }

    /// Whether there is none.
    pub fn is_nothing(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

/// What a version changes for who follows the table version by version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Which rows there are.
    Changed,
    /// In which files they lie, and nothing else.
    Same,
}

/// Who makes a version, and when.
#[derive(Clone, Copy, Debug)]
pub struct Maker<'a> {
    /// The output's id.
    pub output: &'a str,
    /// The generation of the manifest that holds its actions.
    pub generation: u64,
    /// When that manifest is written.
    pub at: EpochSeconds,
    /// The program's version.
    pub tool_version: &'a str,
    /// What it changes.
    pub rows: Rows,
}

impl Maker<'_> {
    fn at_ms(self) -> i64 {
        self.at.get().saturating_mul(1000)
    }
}

impl Table {
    /// The table after another version, which lists `shape`'s files with `difference`; `statistics` are those of the added parts, by path.
    /// Where nothing changes there is no new version, and the actions of the last one are in the log already.
    #[must_use]
    pub fn after(
        &self,
        maker: Maker<'_>,
        shape: &Shape,
        difference: &Difference<'_>,
        statistics: &BTreeMap<String, String>,
    ) -> Self {
        let is_shaped = self.shape.as_ref() == Some(shape);
        if difference.is_nothing() && is_shaped && self.version.is_some() {
            return Self { actions: Vec::new(), ..self.clone() };
        }
        let mut actions = vec![commit_info(maker, difference)];
        if self.version.is_none() {
            actions.push(json!({ "protocol": { "minReaderVersion": 1, "minWriterVersion": 2 } }));
        }
        if !is_shaped {
            actions.push(metadata(maker, shape));
        }
        let transaction = json!({ "appId": maker.output, "version": maker.generation, "lastUpdated": maker.at_ms() });
        actions.push(json!({ "txn": transaction }));
        actions.extend(difference.removed.iter().map(|(path, bytes)| remove(maker, path, *bytes)));
        actions.extend(difference.added.iter().map(|part| add(maker, part, statistics.get(&part.path))));
        let gone = difference.removed.iter();
        let gone = gone.map(|(path, bytes)| Superseded { path: path.clone(), bytes: *bytes, at: maker.at });
        let is_added = |path: &String| difference.added.iter().any(|part| part.path == *path);
        let superseded = self.superseded.iter().filter(|one| !is_added(&one.path)).cloned().chain(gone).collect();
        let version = Some(self.version.map_or(0, |version| version + 1));
        Self { version, shape: Some(shape.clone()), actions, superseded }
    }

    /// Takes out the files that were superseded at a moment or before, and are none of these parts: they are to be removed.
    pub fn take_superseded(&mut self, moment: EpochSeconds, parts: &[PartRecord]) -> Vec<Superseded> {
        let live: BTreeSet<&String> = parts.iter().map(|part| &part.path).collect();
        let all = std::mem::take(&mut self.superseded);
        let (old, kept) = all.into_iter().partition(|one| one.at <= moment && !live.contains(&one.path));
        self.superseded = kept;
        old
    }
}

fn commit_info(maker: Maker<'_>, difference: &Difference<'_>) -> Value {
    let is_append = difference.removed.is_empty();
    let (operation, parameters) = match maker.rows {
        Rows::Changed => ("WRITE", json!({ "mode": if is_append { "Append" } else { "Overwrite" } })),
        Rows::Same => ("OPTIMIZE", json!({})),
    };
    json!({ "commitInfo": {
        "timestamp": maker.at_ms(),
        "operation": operation,
        "operationParameters": parameters,
        "isBlindAppend": is_append,
        "engineInfo": format!("keyapi-export/{}", maker.tool_version),
    } })
}

fn metadata(maker: Maker<'_>, shape: &Shape) -> Value {
    json!({ "metaData": {
        "id": guid(maker.output),
        "format": { "provider": "parquet", "options": {} },
        "schemaString": shape.schema().to_string(),
        "partitionColumns": shape.partitioned_by,
        "configuration": {},
        "createdTime": maker.at_ms(),
    } })
}

/// The table's id, in the form that the format asks for; of one output always the same.
fn guid(output: &str) -> String {
    use sha2::{Digest as _, Sha256};
    let digits: String = Sha256::digest(output.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let piece = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    // The digits of version (8: made of something else) and variant.
    format!("{}-{}-8{}-8{}-{}", piece(0, 8), piece(8, 12), piece(13, 16), piece(17, 20), piece(20, 32))
}

fn remove(maker: Maker<'_>, path: &str, bytes: ByteCount) -> Value {
    json!({ "remove": {
        "path": path_in_the_table(path),
        "deletionTimestamp": maker.at_ms(),
        "dataChange": maker.rows == Rows::Changed,
        "extendedFileMetadata": true,
        "partitionValues": partition_values(path),
        "size": bytes.get(),
    } })
}

fn add(maker: Maker<'_>, part: &PartRecord, statistics: Option<&String>) -> Value {
    let rows = || json!({ "numRecords": part.rows.get() }).to_string();
    json!({ "add": {
        "path": path_in_the_table(&part.path),
        "partitionValues": partition_values(&part.path),
        "size": part.bytes.get(),
        "modificationTime": maker.at_ms(),
        "dataChange": maker.rows == Rows::Changed,
        "stats": statistics.cloned().unwrap_or_else(rows),
    } })
}

/// A part's path below the table's root. Its letters are such as a URL takes as they are.
fn path_in_the_table(path: &str) -> &str {
    path.strip_prefix(DATA).and_then(|rest| rest.strip_prefix('/')).unwrap_or(path)
}

fn partition_values(path: &str) -> Value {
    let levels = path_in_the_table(path).split('/').filter_map(|level| level.split_once('='));
    levels.map(|(name, value)| (name.to_owned(), json!(value))).collect::<serde_json::Map<_, _>>().into()
}

#[cfg(test)]
mod tests;
