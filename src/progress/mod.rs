//! What happens, told sideways: one [`Event`] enum, and its readers (bars, heartbeat, log lines).
//!
//! The stages hold a [`Progress`] and send events; they never see a bar. Sending takes a short lock and folds the event
//! into a [`Tally`], so nothing queues and a slow terminal never slows the export. Nothing here writes to stdout.

mod frame;
mod lines;
mod reader;
pub mod tally;
pub mod timeline;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::api::contract::Region;
use crate::stderr::{self, Stderr};
use crate::units::{ByteCount, Credits, EpochSeconds, RowCount, TimeRange};

pub use reader::{HEARTBEAT, Reader};
pub use tally::{Tally, View};
pub use timeline::Timeline;

/// Something that happened, as a person who watches the run would tell it.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A start began to ask; what former starts of the run did is told with it.
    RunStarted {
        /// The half-open range that every region is asked for.
        range: TimeRange,
        /// The regions, with the rows that former starts made durable.
        regions: Vec<RegionStart>,
        /// The attempts of former starts.
        attempts: Credits,
    },
    /// A former start left this window read up to `position`. Before its first page of this start.
    WindowResumed {
        /// The window's region.
        region: Region,
        /// The window.
        window: TimeRange,
        /// The first second that is not settled.
        position: EpochSeconds,
    },
    /// One request ended.
    Attempt(AttemptOutcome),
    /// A page is in the journal.
    PageDurable {
        /// The window's region.
        region: Region,
        /// The page's rows.
        rows: RowCount,
        /// The window as it is cut at this moment.
        window: TimeRange,
        /// The first second that the window's walk has not settled; may lie beyond the window. None before the walk begins.
        position: Option<EpochSeconds>,
    },
    /// The admitted rate changed.
    RateChanged {
        /// Requests a second.
        per_second: f64,
    },
    /// All requests wait.
    Held {
        /// For how long.
        wait: Duration,
        /// What the service said, for a person.
        why: String,
    },
    /// A window's end is proven. Sent once for each window, also for those that former starts finished.
    WindowFinished {
        /// The window's region.
        region: Region,
        /// The window as it was cut at its end.
        window: TimeRange,
    },
    /// A part is under its final name.
    PartPublished {
        /// Its path below the output folder.
        path: String,
        /// Its rows.
        rows: RowCount,
        /// Its size.
        bytes: ByteCount,
    },
    /// A range could not be read.
    GapListed {
        /// The region.
        region: Region,
        /// The seconds that are missing.
        range: TimeRange,
        /// Why, for a person.
        why: String,
    },
    /// A range was read, but its completeness cannot be proven.
    UnprovenListed {
        /// The region.
        region: Region,
        /// The seconds in doubt.
        range: TimeRange,
        /// Why, for a person.
        why: String,
    },
    /// A stage is through.
    StageFinished {
        /// Its name, such as `recover`, `fetch` or `publish`.
        stage: &'static str,
        /// How long it took.
        duration: Duration,
    },
}

/// A region at the beginning of a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionStart {
    /// The region.
    pub region: Region,
    /// The rows that former starts made durable.
    pub rows: RowCount,
    /// The seconds of it that the run reads, by all its starts: neither what was read before it, nor what belongs to others.
    pub range_seconds: i64,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// A page came.
    Answered,
    /// The service asked to slow down.
    Throttled,
    /// Anything else.
    Failed,
}

/// What a run has asked over all its starts, as its ledger counts it. Monotonic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Requests that were sent and ended.
    pub attempts: u64,
    /// Requests that a page answered.
    pub answered: u64,
    /// Requests that the service asked to slow down for.
    pub throttled: u64,
    /// Requests that asked for a page again.
    pub retries: u64,
    /// Requests that were on their way when a process died; whether they were charged is unknown.
    pub possibly_charged: u64,
}

/// A run that this start works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunView {
    /// When it began: its first start, not this one.
    pub began_at: EpochSeconds,
    /// What its former starts have asked.
    pub before: Spent,
    /// The same with this one.
    pub spent: Spent,
}

/// Reads a run's ledger. Called at each look, so it must be quick.
pub type Meter = Box<dyn Fn() -> Spent + Send + Sync>;

struct Metered {
    began_at: EpochSeconds,
    before: Spent,
    meter: Meter,
}

/// The end of the telling that the stages hold; cheap to clone, never blocks for long, never fails.
#[derive(Clone)]
pub struct Progress {
    tally: Arc<Mutex<Tally>>,
    /// A start works on one run, or closes one and begins another.
    runs: Arc<Mutex<Vec<Metered>>>,
    /// The requests of the run that is worked on.
    timeline: Arc<Mutex<Timeline>>,
    started: Instant,
    started_at: EpochSeconds,
}

impl fmt::Debug for Progress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Progress").field("tally", &self.tally).finish_non_exhaustive()
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress {
    /// A telling that begins at this moment.
    pub fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            tally: Arc::default(),
            runs: Arc::default(),
            timeline: Arc::default(),
            started: Instant::now(),
            started_at: EpochSeconds::new(i64::try_from(since.as_secs()).unwrap_or(i64::MAX)),
        }
    }

    /// Tells `event`: to the log at once, to the bars and the heartbeat with their next tick.
    #[expect(clippy::needless_pass_by_value, reason = "an event is made to be sent, and senders read better so")]
    pub fn send(&self, event: Event) {
        lines::log(&event);
        self.tally().apply(&event, self.started.elapsed());
    }

    /// What can be told at this moment.
    pub fn view(&self) -> View {
        let now = self.started.elapsed();
        let mut tally = self.tally();
        tally.sample(now);
        tally.view(now)
    }

    /// From now on [`Progress::runs`] tells of this run too, as `meter` reads its ledger.
    pub fn measure(&self, began_at: EpochSeconds, meter: Meter) {
        let before = meter();
        self.metered().push(Metered { began_at, before, meter });
    }

    /// The runs that this start works or has worked on, the last one last.
    pub fn runs(&self) -> Vec<RunView> {
        let look = |run: &Metered| RunView { began_at: run.began_at, before: run.before, spent: (run.meter)() };
        self.metered().iter().map(look).collect()
    }

    /// From now on requests are those of a run of which this is known.
    pub fn go_on_from(&self, timeline: Timeline) {
        *self.timed() = timeline;
    }

    /// A request has ended, after so long.
    pub fn request_ended(&self, outcome: AttemptOutcome, took: Duration) {
        let passed = i64::try_from(self.started.elapsed().as_secs()).unwrap_or(i64::MAX);
        self.timed().ended(self.started_at.shifted(passed), outcome, took);
    }

    /// The requests so far of the run that is worked on.
    pub fn timeline(&self) -> Timeline {
        self.timed().clone()
    }

    fn timed(&self) -> MutexGuard<'_, Timeline> {
        self.timeline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn metered(&self) -> MutexGuard<'_, Vec<Metered>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        // A fold that panicked leaves numbers for a display behind, nothing that others rely on.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What stands behind stderr.
#[derive(Clone, Debug)]
pub enum Screen {
    /// A terminal with bars on it.
    Bars(Stderr),
    /// A file, a pipe, or a terminal whose user wants no bars: whole lines only.
    Lines,
}

impl Screen {
    /// Bars where stderr is a terminal that they can be drawn on, else lines.
    pub fn of_process(stderr: &Stderr) -> Self {
        if stderr::may_draw(&std::io::stderr()) { Self::Bars(stderr.clone()) } else { Self::Lines }
    }
}
