//! The whole way: recover, plan, fetch, journal, part, publish. The only place that knows all stages.
//!
//! `opening` opens the state and the output, and brings both to the same; `next` says which run is worked on, `keeps` what one that begins need not read, `order` sees to that, and
//! `session` is one start of it; `machine` is the run's one loop, pure, and `driver` carries out what it wants; `blame` tells a page that
//! cannot be had from a service that is unwell; `cutting` and `publisher` turn settled time into parts; `commits` holds the manifest; `delivery` says what the output
//! holds; `rebuild` writes its parts anew, without a request. Resume is the ordinary start: a first run is an empty journal.

mod audit;
mod blame;
pub mod clock;
mod commits;
mod counters;
mod cutting;
mod delivery;
mod driver;
mod fill;
mod forecast;
mod keeps;
mod machine;
mod merge;
mod next;
mod opening;
mod order;
mod page;
mod publisher;
mod rebuild;
mod regions;
mod repair;
mod session;
mod shards;
mod sizes;
#[cfg(test)]
mod simulation;
mod stager;
pub mod standing;
mod state;
mod state_aside;
mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;

use crate::api::client::{Client, ClientError};
use crate::api::contract::{Filters, Region};
use crate::fetch::throttle::Rate;
use crate::journal::JournalError;
use crate::journal::kept::KeptFields;
use crate::plan::event::{Contradiction, PlanEvent};
use crate::plan::learned::Verified;
use crate::plan::planner::Listed;
use crate::plan::reopen::NotDone;
use crate::plan::walk::Consistency;
use crate::progress::Progress;
use crate::replica::{Away, ReplicaError};
use crate::sink::account::{Account, Lacking};
use crate::sink::address::Address;
use crate::sink::history::Unusual;
use crate::sink::identity::Identity;
use crate::sink::layout::Partition;
use crate::sink::part::PartError;
use crate::sink::publish::OutputError;
use crate::sink::rejected::RejectedError;
use crate::sink::shard::{ShardName, Tile};
use crate::sink::store::Writers;
use crate::units::{ByteCount, Credits, EpochSeconds, RowCount, TimeRange};

pub use crate::journal::Counts;
pub use crate::journal::record::RangeEnds as Ends;
pub use audit::{AUDIT, Audit, Audited, Bill, CONFIDENCE, REFRESH_SECONDS, Stopped, TARGET, audit};
pub use forecast::{Forecast, forecast};
pub use keeps::Reread;
pub use machine::Probing;
pub use merge::{MergeError, MergedOutput, merge};
pub use order::export;
pub use rebuild::{Contents, Rebuild, Rebuilt, Which, rebuild};
pub use session::{TIMED, Timed};

/// What a person asked for, resolved as far as it can be without the state.
#[derive(Clone, Debug)]
pub struct Order {
    /// What the state and the output belong to.
    pub identity: Identity,
    /// The queried regions, at least one.
    pub regions: Vec<Region>,
    /// The user's filters.
    pub filters: Filters,
    /// The range, resolved at this moment.
    pub range: TimeRange,
    /// Whether this machine's clock decided about an end of it.
    pub ends: Ends,
    /// This moment.
    pub now: EpochSeconds,
    /// Whether to begin a new run whatever the state says.
    pub start: Start,
    /// What becomes of a state that cannot be gone on from.
    pub damaged: State,
    /// What is done about seconds that the output holds already; where nobody says so, it depends on the range.
    pub reread: Option<Reread>,
    /// How long parts are kept, in seconds; older ones may be missing.
    pub retain_seconds: Option<i64>,
    /// Whether the output is kept as a table too, and how.
    pub table: Option<KeptTable>,
    /// Rows that no column can take, up to which a run counts as complete.
    pub max_rejected: u64,
    /// The state folder.
    pub state: PathBuf,
    /// Where the state is kept, if that is a bucket; the folder is then the one that a start works in.
    pub away: Option<Away>,
    /// The output.
    pub output: Address,
    /// Who else may write into it, where it is in a bucket.
    pub writers: Writers,
    /// Which part of the question is read, where not all of it is.
    pub shard: Option<Shard>,
    /// How the output is cut into folders.
    pub partition: Partition,
    /// Whether each run keeps its own snapshot.
    pub history: History,
    /// Parquet's packing.
    pub packaging: crate::sink::columns::Packaging,
    /// Rows at which a part is full.
    pub part_rows: RowCount,
    /// What may be spent and for how long.
    pub budget: Budget,
    /// How time is cut and walked.
    pub plan: PlanOrder,
    /// How fast.
    pub rate: Rate,
    /// The limit that was found out before, requests a second: it stands where no earlier run learned one.
    pub verified_rate: Option<f64>,
    /// Requests on their way at once, at least 1.
    pub max_in_flight: usize,
    /// How long to go on without a durable page.
    pub give_up_after: Duration,
    /// Where no more is asked than a forecast needs: its bounds.
    pub probing: Option<Probing>,
}

/// How an output is kept as a table of Delta too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptTable {
    /// How long files stay that the table lists no more, in seconds; none where nothing is removed.
    pub superseded_seconds: Option<i64>,
}

/// One shard of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its name.
    pub name: ShardName,
    /// What it reads.
    pub tiles: Vec<Tile>,
}

impl Order {
    /// ` --state …` as a command has to say it that is typed for this output; nothing where the state lies beside the output, as it does by
    /// itself.
    pub fn named_state(&self) -> String {
        let state = self.away.as_ref().map_or_else(|| self.state.display().to_string(), Away::told);
        if state == format!("{}.state", self.output) { String::new() } else { format!(" --state {state}") }
    }

    /// What of it is not there, by an account.
    fn lacking(&self, account: &Account, range: TimeRange) -> Lacking {
        match &self.shard {
            None => account.lacking(&self.regions, range),
            Some(shard) => account.lacking_of(&shard.tiles),
        }
    }
}

/// Whether the latest run is gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// An unfinished run is finished first.
    GoOn,
    /// A new run begins and pays for everything again.
    Fresh,
}

/// What becomes of a state that is damaged, or of another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is refused, and left as it is.
    Refused,
    /// It is moved aside, and what the manifest says is gone on from.
    MovedAside,
}

/// Whether a run replaces what it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// It does.
    Replaced,
    /// It keeps a snapshot of its own.
    Kept,
}

/// The bounds of a run's price and of a start's time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Budget {
    /// Credits over all starts of the run.
    pub max_credits: Option<Credits>,
    /// Time of this start.
    pub time: Option<Duration>,
}

/// How time is cut and walked.
#[derive(Clone, Copy, Debug)]
pub struct PlanOrder {
    /// Pages that a window is sized for.
    pub window_pages: u32,
    /// The least pages of a stretch before a scheduled anchor.
    pub anchor_pages: u32,
    /// The age at which a stretch is left.
    pub stretch_age: Duration,
    /// How credits are traded for immunity to drift.
    pub consistency: Consistency,
    /// How far apart two answers must be to be two witnesses of an end; with zero none is confirmed.
    pub confirm_after: Duration,
    /// What was found out about the service before.
    pub verified: Verified,
}

/// What the export works with.
#[derive(Clone, Debug)]
pub struct Tools {
    /// Sends requests.
    pub client: Client,
    /// Hears what happens.
    pub progress: Progress,
    /// Says when to stop.
    pub interrupt: watch::Receiver<Option<Interrupt>>,
}

/// Who asked the run to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// SIGINT.
    Keyboard,
    /// SIGTERM.
    Terminate,
    /// SIGHUP.
    Hangup,
}

/// How an export ended, where it ended by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every second is covered and every row delivered.
    Complete,
    /// Delivered, but for what is listed.
    Incomplete,
    /// `max_credits` are used up.
    CreditsSpent {
        /// What was spent.
        spent: Credits,
        /// What may be spent.
        max: Credits,
    },
    /// The key's quota is used up.
    QuotaSpent {
        /// The service's words.
        message: String,
    },
    /// The start's time is over.
    TimeSpent,
    /// No page came for too long.
    Unwell {
        /// The last failure, for a person.
        why: String,
    },
    /// Nothing was ever heard from the service, and as it is addressed nothing will be.
    Unreachable {
        /// What is wrong with the way to it, for a person.
        why: String,
    },
    /// The service refuses the key or the question.
    Refused {
        /// The status or code.
        code: u16,
        /// The service's words.
        message: String,
    },
    /// The service does not mean what its contract says.
    Contradicted(Contradiction),
    /// A signal came.
    Interrupted(Interrupt),
    /// A forecast has what it needs, or may ask for no more.
    Probed,
}

/// What an export came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// The run's name.
    pub run: String,
    /// The run's range.
    pub range: TimeRange,
    /// Whether there was nothing left to do.
    pub work: Work,
    /// The ledger of the run over all its starts.
    pub counts: Counts,
    /// Attempts before this start.
    pub attempts_before: u64,
    /// Live parts of the run: count, rows and bytes, and what was dropped or kept apart.
    pub delivered: Delivered,
    /// What former runs left in the asked range: parts, and their rows.
    pub former: (u64, u64),
    /// What was bought and is not published yet.
    pub kept: Kept,
    /// What could not be read.
    pub gaps: Vec<Listed>,
    /// What could not be proven.
    pub unproven: Vec<Listed>,
    /// Holes and gaps of the output outside what was asked.
    pub elsewhere: Vec<Listed>,
    /// What of the run is unlike the runs before it.
    pub unusual: Vec<Unusual>,
    /// The second of the newest row that the run has seen of each region; none of a region without rows.
    pub newest: BTreeMap<Region, EpochSeconds>,
}

/// Whether a start had anything to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// It had.
    Done,
    /// The run was finished before.
    NothingLeft,
}

/// What lies in the output by this run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Files.
    pub parts: u64,
    /// Their rows.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Rows that were read more than once.
    pub duplicates: u64,
    /// Values that `_extra` keeps, by field.
    pub extra_fields: KeptFields,
    /// Rows that `_rejected` keeps.
    pub rejected: u64,
    /// Usable rows outside what was asked for.
    pub outside: u64,
    /// Rows that name another region than the queried one as their own.
    pub other_region: u64,
}

/// What the journal keeps until it is published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Pages.
    pub pages: u64,
    /// Their rows; some of them may stand in a part already.
    pub rows: u64,
}

/// Why an export could not go on at all.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The state in a bucket.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The output folder.
    #[error(transparent)]
    Output(OutputError),
    /// A part.
    #[error(transparent)]
    Part(PartError),
    /// The rejected rows.
    #[error(transparent)]
    Rejected(#[from] RejectedError),
    /// The HTTP client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// State and output do not belong together.
    #[error("the state {state} belongs to another output ({was}) than the one in {output} ({now})")]
    OtherOutput {
        /// The state folder.
        state: String,
        /// The name of the output that it belongs to.
        was: String,
        /// The output folder.
        output: String,
        /// The name of the output that lies there.
        now: String,
    },
    /// The output has a table, and none is asked for.
    #[error("the output {output} is a Delta table too, and `output.table` is none")]
    HasTable {
        /// The output.
        output: String,
    },
    /// Parts have columns of another type than the table's.
    #[error("{parts} parts of the output {output} are of the first schema, which has no table")]
    TooOldForTable {
        /// The output.
        output: String,
        /// How many.
        parts: usize,
    },
    /// There is no manifest to go on from in place of a state.
    #[error("{why}; and {output} holds no manifest from which to go on without it")]
    NothingToGoOnFrom {
        /// What is the matter with the state.
        why: String,
        /// The output folder.
        output: String,
    },
    /// A state could not be moved aside.
    #[error("moving the state {state} aside failed: {source}")]
    Aside {
        /// The state folder.
        state: String,
        /// Why.
        source: std::io::Error,
    },
    /// An end of the range was taken from a clock that is not to be believed.
    #[error(transparent)]
    Clock(#[from] clock::WrongClock),
    /// The range holds nothing.
    #[error("the range {0} is empty")]
    EmptyRange(TimeRange),
    /// Parts are gone that hold rows of earlier runs.
    #[error(
        "{missing} parts that hold rows of earlier runs are not what run {run} left in the output, such as {example}; they lie \
         outside its range, so it cannot read them again"
    )]
    PartsMissing {
        /// The run.
        run: String,
        /// How many.
        missing: usize,
        /// One of them.
        example: String,
    },
    /// Parts went while the run was at work.
    #[error(
        "{count} published parts are no longer what they were, such as {example}: something else removed or changed them while \
         the run went on"
    )]
    PartsVanished {
        /// How many.
        count: usize,
        /// One of them.
        example: String,
    },
    /// The output folder is another one, or has lost everything.
    #[error("the output {output} has no manifest and none of the {parts} parts that this state's runs published there")]
    NothingThere {
        /// How many parts.
        parts: usize,
        /// The output folder.
        output: String,
    },
    /// An unfinished run asks something else, and only `run` may close it.
    #[error("the unfinished run {run} of this state asks {was}, and {asked} is asked now")]
    AsksSomethingElse {
        /// The run.
        run: String,
        /// What it asks.
        was: String,
        /// What is asked now.
        asked: String,
    },
    /// There is no output to be written anew.
    #[error("{output} has no manifest, so it is no output folder")]
    NoOutput {
        /// The folder.
        output: String,
    },
    /// A run may still be gone on with, which knows the parts as they are.
    #[error("the output {output} is not written anew while run {run} is unfinished")]
    Unfinished {
        /// The output folder.
        output: String,
        /// The run.
        run: String,
    },
    /// A run may still be gone on with, which knows what is missing.
    #[error("the output {output} is not audited while run {run} is unfinished")]
    NotAudited {
        /// The output folder.
        output: String,
        /// The run.
        run: String,
    },
    /// No second of an output is there to be looked at.
    #[error(
        "the output {output} holds no second that could be read again: all that it says it has read is listed as missing or unproven"
    )]
    NothingToAudit {
        /// The output folder.
        output: String,
    },
    /// A run that is not in the state may still be gone on with.
    #[error("the state {state} does not know run {run}, which has not said of the output {output} that it is complete")]
    UnknownToState {
        /// The output folder.
        output: String,
        /// The state folder.
        state: String,
        /// The run.
        run: String,
    },
    /// Parts are not what they should be, so that their rows would be lost.
    #[error("{count} parts of the output are missing or have another size, such as {example}")]
    PartsNotWhole {
        /// How many.
        count: usize,
        /// One of them.
        example: String,
    },
    /// Parts hold the same seconds.
    #[error("the parts contradict each other: {0}")]
    Overlap(#[from] crate::sink::chains::Overlap),
    /// The disk does not hold both copies.
    #[error(
        "the disk of {output} has {free} free, and the parts that are written anew take about {needed} beside the former ones"
    )]
    NoRoom {
        /// The output folder.
        output: String,
        /// What is free.
        free: ByteCount,
        /// What is needed.
        needed: ByteCount,
    },
    /// How much room there is cannot be told.
    #[error("asking how much room the disk of {output} has: {source}")]
    Room {
        /// The output folder.
        output: String,
        /// Why.
        source: std::io::Error,
    },
    /// The accounts of shards cannot be merged.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// Shards of another question, or of another cut, have read what is not merged yet.
    #[error("shard {theirs} of the output {output} was asked something else than shard {shard} is: {differences}")]
    OtherShards {
        /// The output folder.
        output: String,
        /// The shard.
        shard: ShardName,
        /// The other one.
        theirs: ShardName,
        /// In what they differ, for a person.
        differences: String,
    },
    /// The state holds an unfinished shard of another question.
    #[error("the state {state} holds run {run} of another question, which is not finished")]
    OtherRun {
        /// The state folder.
        state: String,
        /// The run.
        run: String,
    },
    /// A part lies on both sides of where two shards meet.
    #[error("the part {part} lies on both sides of {boundary}, where two shards meet")]
    PartAcross {
        /// Its path.
        part: String,
        /// Where they meet.
        boundary: EpochSeconds,
    },
    /// A range cannot be opened again.
    #[error(transparent)]
    NotDone(#[from] NotDone),
    /// A decision that the journal keeps cannot be read back.
    #[error("a decision in the journal cannot be read: {0}")]
    Decision(#[from] serde_json::Error),
    /// The system gives no thread.
    #[error("starting the thread that writes parts: {0}")]
    Thread(#[source] std::io::Error),
    /// The thread that writes parts broke down.
    #[error(transparent)]
    Stager(#[from] stager::StagerGone),
    /// A task of ours broke down.
    #[error("a task of the program broke down: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// The planner has nothing to do and is not done.
    #[error("the plan has nothing left to ask, yet {0} is not covered")]
    Stuck(String),
}

/// Under which name the journal keeps the account of the output, should its manifest be lost: the account as JSON, with the
/// generation of its manifest.
pub const KEPT_ACCOUNT: &str = "account";

/// A decision as the journal keeps it.
fn event_json(event: &PlanEvent) -> Result<String, ExportError> {
    Ok(serde_json::to_string(event)?)
}
