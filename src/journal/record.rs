//! The values that the journal keeps, as the other stages see them. The tables behind them are drawn in `schema`.

use serde::{Deserialize, Serialize};

use crate::api::contract::Region;
use crate::plan::fact::PageFact;
use crate::units::{ByteCount, EpochSeconds, RowCount, TimeRange};

/// A row that has no usable `video_id` or `create_time`, kept whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedRow {
    /// Its place on the page, from 0.
    pub index: u32,
    /// What is wrong with it, for a person.
    pub why: String,
    /// The row's JSON text as it came.
    pub text: String,
}

/// A page as it is handed to the journal: the fact, and the answer that was paid for.
#[derive(Clone, Debug)]
pub struct NewPage {
    /// What the plan learns from it.
    pub fact: PageFact,
    /// When the answer had arrived, milliseconds since the epoch.
    pub fetched_at_ms: i64,
    /// The envelope's `requestId`, where there was one.
    pub request_id: Option<String>,
    /// The answer's body, decompressed, byte for byte.
    pub body: Vec<u8>,
    /// Rows that no column can take.
    pub rejected: Vec<RejectedRow>,
    /// Where the walk stood: the second that stands for the page where it has no usable row.
    pub position: EpochSeconds,
}

/// A page's answer as the sink reads it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPage {
    /// Its place in the journal's order; a later page has a larger one.
    pub sequence: i64,
    /// When the answer had arrived, milliseconds since the epoch.
    pub fetched_at_ms: i64,
    /// The envelope's `requestId`, where there was one.
    pub request_id: Option<String>,
    /// The seconds that its usable rows span.
    pub span: TimeRange,
    /// The answer's body, decompressed, byte for byte.
    pub body: Vec<u8>,
}

/// One Parquet file of the output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRecord {
    /// The file's path below the output folder, with `/` between its levels.
    pub path: String,
    /// The queried region.
    pub region: Region,
    /// The slice of time that the part holds whole.
    pub range: TimeRange,
    /// The run that wrote it.
    pub run: String,
    /// Its rows.
    pub rows: RowCount,
    /// The file's size.
    pub bytes: ByteCount,
    /// The file's SHA-256, lower-case hexadecimal.
    pub sha256: String,
    /// Rows that were read more than once and stand once.
    pub duplicates: u64,
    /// Values that their column could not hold and that `_extra` keeps.
    pub kept_in_extra: u64,
}

/// How far a part has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartState {
    /// Written and synced under its staging name; the journal knows its checksum.
    Prepared,
    /// Under its final name.
    Published,
    /// Replaced by a later part, and removed.
    Superseded,
}
