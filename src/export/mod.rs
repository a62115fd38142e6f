//! The whole way: recover, plan, fetch, journal, part, publish. The only place that knows all stages.
//!
//! `opening` opens the state and the output, and brings both to the same; `next` says which run is worked on, `keeps` what one that begins need not read, `request` sees to that, and
//! `session` is one start of it; `machine` is the run's one loop, pure, and `driver` carries out what it wants; `attribution` tells a page that
//! cannot be had from a service that is unwell; `cutting` and `publisher` turn settled time into parts; `commits` holds the manifest; `delivery` says what the output
//! holds; `rebuild` writes its parts anew, without a request. Resume is the ordinary start: a first run is an empty journal.

mod ahead;
mod audit;
mod attribution;
pub mod clock;
mod commits;
mod counters;
mod cutting;
mod delivery;
mod driver;
mod error;
mod fill;
mod forecast;
mod keeps;
mod late;
mod learned;
mod machine;
mod merge;
mod next;
mod opening;
mod request;
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
mod wanted;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;

use crate::api::client::Client;
use crate::api::contract::{Filters, Region};
use crate::fetch::throttle::Rate;
use crate::journal::kept::KeptFields;
use crate::plan::event::{Contradiction, PlanEvent};
use crate::plan::planner::Listed;
use crate::plan::profile::Verified;
use crate::plan::walk::step::Tuning;
use crate::progress::Progress;
use crate::replica::Away;
use crate::sink::account::{Account, Lacking};
use crate::sink::address::Address;
use crate::sink::history::Unusual;
use crate::sink::identity::Identity;
use crate::sink::layout::Partition;
use crate::sink::shard::{ShardName, Tile};
use crate::sink::store::Writers;
use crate::units::{Credits, EpochSeconds, RowCount, TimeRange};

pub use crate::journal::Counts;
pub use crate::journal::record::RangeEnds as Ends;
pub use crate::plan::reads::Reread;
pub use audit::{AUDIT, Audit, Audited, Bill, CONFIDENCE, REFRESH_SECONDS, Stopped, TARGET, audit};
pub use error::ExportError;
pub use forecast::Forecast;
pub use machine::Probing;
pub use merge::{MergeError, MergedOutput, merge};
pub use rebuild::{Contents, Rebuild, Rebuilt, Which, rebuild};
pub use request::{export, forecast};
pub use session::{TIMED, Timed};

/// What a person asked for, resolved as far as it can be without the state.
#[derive(Clone, Debug)]
pub struct ExportRequest {
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
    pub damaged: DamagedState,
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
    pub tuning: Tuning,
    /// What was found out about the service before.
    pub verified: Verified,
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

impl ExportRequest {
    /// ` --state …` as a command has to say it that is typed for this output; nothing where the state lies beside the output, as it does by
    /// itself. What follows the name makes it that of another state.
    pub fn named_state(&self, suffix: &str) -> String {
        let state = self.away.as_ref().map_or_else(|| self.state.display().to_string(), Away::told);
        if state == format!("{}.state", self.output) {
            String::new()
        } else {
            format!(" --state {}", crate::folder::in_shell(&format!("{state}{suffix}")))
        }
    }

    /// The moment before which nothing is read again, whatever became of it; none where everything is begun anew.
    fn settled_before(&self) -> Option<EpochSeconds> {
        self.retain_seconds.filter(|_| self.start == Start::GoOn).map(|seconds| self.now.shifted(-seconds))
    }

    /// What of it is not there, by an account.
    fn lacking(&self, account: &Account, range: TimeRange) -> Lacking {
        let account = account.kept_from(self.settled_before());
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
pub enum DamagedState {
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
pub struct ExportOutcome {
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

/// Under which name the journal keeps the account of the output, should its manifest be lost: the account as JSON, with the
/// generation of its manifest.
pub const KEPT_ACCOUNT: &str = "account";

/// A decision as the journal keeps it.
fn event_json(event: &PlanEvent) -> Result<String, ExportError> {
    Ok(serde_json::to_string(event)?)
}
