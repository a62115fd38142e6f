//! The values that the journal keeps, as the other stages see them. The tables behind them are drawn in `schema`.

use serde::{Deserialize, Serialize};

use super::book::Counts;
use super::kept::KeptFields;
use crate::api::contract::Region;
use crate::plan::fact::{PageFact, WindowId};
use crate::plan::reads::Reads;
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
    /// The rows that are delivered, packed; opaque to the journal.
    pub body: Vec<u8>,
    /// Whether any row is delivered: its span is that of the page, else its position.
    pub delivers: bool,
    /// Rows that are kept apart.
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
    /// The seconds that its delivered rows span.
    pub span: TimeRange,
    /// The rows that are delivered, packed; the others are not the sink's concern.
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
    /// Values that `_extra` keeps: of unknown fields, and those that their column could not hold.
    pub kept_in_extra: u64,
    /// The same by field; empty in records that were written before there was such a count.
    #[serde(default)]
    pub extra_fields: KeptFields,
    /// The version of its columns; left out where it is the latest that had none.
    #[serde(default = "first_told_schema", skip_serializing_if = "is_first_told_schema")]
    pub schema: u32,
    /// Whether its rows were carried over from a part that its run replaced, and were not read by it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub carried: bool,
}

/// The version of the columns of parts whose records do not tell it.
const fn first_told_schema() -> u32 {
    2
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
const fn is_first_told_schema(schema: &u32) -> bool {
    *schema == first_told_schema()
}

/// How far a part has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartState {
    /// Written and synced under its staging name; the journal knows its checksum.
    Prepared,
    /// The same, and it stays there until its run ends, since it takes the place of parts that readers see.
    Held,
    /// Under its final name.
    Published,
    /// Replaced by a later part, and removed.
    Superseded,
}

/// What the state was made for: the identity of the output that it belongs to. Regions and ranges are a run's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredQuestion {
    /// Decides whether two questions are the same.
    pub fingerprint: String,
    /// The question in full, for people and for messages; opaque to the journal.
    pub json: String,
}

/// A run that is about to begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewRun {
    /// Its name, unique in the state folder.
    pub id: String,
    /// The asked range, resolved to absolute seconds.
    pub range: TimeRange,
    /// What of it is read, for each asked region; as it was when the run began.
    pub reads: Vec<Reads>,
    /// Whether an end of the range was taken from the clock.
    pub ends: RangeEnds,
    /// When it began.
    pub began_at: EpochSeconds,
    /// Where its output lay then, for a person.
    pub output: String,
    /// How its output is laid out, for a person.
    pub partition: String,
}

/// What the ends of a run's range were taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeEnds {
    /// Both were written as they are.
    Absolute,
    /// At least one counts from the moment at which the run began.
    ByClock,
}

impl RangeEnds {
    /// Its name in the journal.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Absolute => "absolute",
            Self::ByClock => "by_clock",
        }
    }

    /// The one of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Absolute, Self::ByClock].into_iter().find(|ends| ends.name() == name)
    }
}

impl NewRun {
    /// The regions that it was asked for.
    pub fn regions(&self) -> Vec<Region> {
        self.reads.iter().map(|reads| reads.region.clone()).collect()
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// Every second of its range is proven and delivered.
    Complete,
    /// Delivered, with gaps or unproven ranges that are listed.
    Incomplete,
    /// Given up for another run: what was paid for is delivered, and the rest was never asked for.
    Closed,
}

impl RunOutcome {
    /// Its name in the journal.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
            Self::Closed => "closed",
        }
    }

    /// The outcome of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Complete, Self::Incomplete, Self::Closed].into_iter().find(|outcome| outcome.name() == name)
    }
}

/// A run as the journal knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// What it began with; its range as it was last extended.
    #[serde(flatten)]
    pub begun: NewRun,
    /// How it ended; none while it is unfinished.
    pub outcome: Option<RunOutcome>,
    /// When the start began that used its credits up; none where something else ended its last start.
    pub spent_at: Option<EpochSeconds>,
}

/// A run as its row alone tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormerRun {
    /// Its name.
    pub id: String,
    /// Its range, as it was last extended.
    pub range: TimeRange,
    /// What it read of each region; none where another version wrote that.
    pub reads: Option<Vec<Reads>>,
    /// When it began.
    pub began_at: EpochSeconds,
    /// How it ended; none while it is unfinished.
    pub outcome: Option<RunOutcome>,
    /// What it has asked.
    pub counts: Counts,
}

/// What decisions do to stored pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// Windows whose pages are replayed no more.
    pub closed: Vec<WindowId>,
    /// Where pages of which every row names another region are delivered no more.
    pub not_its_own: Vec<(Region, TimeRange)>,
}

impl Upkeep {
    /// Does this after that.
    pub fn extend(&mut self, more: Self) {
        self.closed.extend(more.closed);
        self.not_its_own.extend(more.not_its_own);
    }
}

/// Several things that become durable together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Parts that were published and are not live any more, by path.
    pub superseded: Vec<String>,
    /// Parts that this journal has not known, and that are published.
    pub taken_over: Vec<PartRecord>,
    /// Prepared or held parts that lie under their final names, by path.
    pub published: Vec<String>,
    /// Decisions, in their order.
    pub events: Vec<String>,
    /// What the decisions do to stored pages.
    pub upkeep: Upkeep,
    /// A run that had ended, and must be the latest: it goes on.
    pub goes_on: Option<String>,
    /// The new range of the latest run.
    pub extends: Option<(String, TimeRange)>,
}

/// One entry of the run's history, as the planner reads it back after a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// A decision of the planner.
    Event {
        /// Its place in the order that events and pages share.
        sequence: i64,
        /// The planner's own JSON text.
        json: String,
    },
    /// A durable page of a window that is not closed, or of none.
    Page {
        /// Its place in the order that events and pages share.
        sequence: i64,
        /// What the plan learned from it.
        fact: PageFact,
        /// Where the walk stood: see [`NewPage::position`].
        position: EpochSeconds,
    },
}

impl Replayed {
    /// Its place in the order that events and pages share.
    pub fn sequence(&self) -> i64 {
        match self {
            Self::Event { sequence, .. } | Self::Page { sequence, .. } => *sequence,
        }
    }
}

/// A rejected row with the page that it came on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RejectedRecord {
    /// Its number in the journal.
    #[serde(skip)]
    pub number: i64,
    /// The queried region.
    pub region: Region,
    /// The address of the first page that it came on, for a person.
    pub page: String,
    /// Those of the others, and a sign where there are more.
    #[serde(skip)]
    pub other_pages: Vec<String>,
    /// The row.
    #[serde(flatten)]
    pub row: RejectedRow,
}
