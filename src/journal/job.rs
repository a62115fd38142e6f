//! What the writer may be asked to write. One job is all or nothing; jobs that arrive together share a transaction.

use rusqlite::ErrorCode;
use tokio::sync::oneshot;

use super::attempt::{Attempt, SharedBook};
use super::book::AttemptEnd;
use super::changes::Extent;
use super::error::JournalError;
use super::record::{Change, NewPage, NewRun, PartRecord, RunOutcome, StoredQuestion, Upkeep};
use super::shipping::Changes;
use crate::api::contract::Region;
use crate::failpoint::CrashStep;
use crate::plan::fact::{PageAddress, Purpose, WindowId};
use crate::units::EpochSeconds;

/// One thing to write.
#[derive(Debug)]
pub(super) enum Job {
    /// Keep the question; refuse another one.
    Question(StoredQuestion),
    /// Keep the question in place of the one that is there.
    QuestionAnew(StoredQuestion),
    /// Begin a run. Written alone.
    BeginRun {
        run: NewRun,
        forerunner: Forerunner,
    },
    /// End the latest run. Written alone.
    FinishRun {
        run: String,
        outcome: RunOutcome,
    },
    /// Tell when the start began that used the latest run's credits up, if one did.
    Spent {
        run: String,
        at: Option<EpochSeconds>,
    },
    /// Keep a page, and the end of the attempt that brought it.
    Page {
        page: Box<NewPage>,
        attempt: Option<Attempt>,
    },
    /// Forget rejected rows: they came in their own place too.
    ForgetRejected(Vec<i64>),
    /// Keep decisions, and do what they do to stored pages.
    Events {
        events: Vec<String>,
        upkeep: Upkeep,
    },
    /// Drop the bodies of a region's pages that end at or before a moment.
    Release {
        region: Region,
        below: EpochSeconds,
    },
    Part(PartStep),
    /// Several steps, all or nothing.
    Change(Change),
    Learn {
        name: String,
        json: String,
    },
    /// Fill the reservation of a ledger, whose run must be the current one.
    Reserve(SharedBook),
    /// Hand out what was committed since that was asked last; with `last`, what is reserved and unsent is given back before. Answered by a
    /// channel of its own.
    Changes {
        extent: Extent,
        last: bool,
        answer: oneshot::Sender<Result<Changes, JournalError>>,
    },
    /// Write what is known, move the log into the database, and end. Written alone.
    Close,
    /// End as a killed process does. Written alone.
    #[cfg(test)]
    Crash,
    /// Let the database grow no more, as on a full disk.
    #[cfg(test)]
    Fill,
}

/// What must be, or become, of the latest run when another begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forerunner {
    /// It must have an outcome.
    HasEnded,
    /// It becomes incomplete where it has none.
    IsGivenUp,
}

/// A step in a part's life.
#[derive(Debug)]
pub(super) enum PartStep {
    /// Written under its staging name.
    Prepare(Box<PartRecord>),
    /// The same, to take the place of a published part of the same path.
    Replace(Box<PartRecord>),
    /// Written under its staging name, where it stays until its run ends.
    Hold(Box<PartRecord>),
    /// The same, to take the place of a published part of the same path.
    HoldAgain(Box<PartRecord>),
    /// A part that never came to be, or one that was replaced and is gone.
    Forget(String),
    /// Whatever it was, it is gone.
    GiveUp(String),
    /// Under its final name.
    Publish(String),
    /// Replaced.
    Supersede(String),
}

/// A job with the place for its answer: a sequence, a count, or 0.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) job: Job,
    pub(super) answer: oneshot::Sender<Result<i64, JournalError>>,
}

impl Job {
    /// Tells the ledger that a page's attempt ended, so that both become durable together.
    pub(super) fn settle(&mut self) {
        if let Self::Page { page, attempt } = self
            && let Some(attempt) = attempt.take()
        {
            attempt.ended(if page.fact.slots > 0 { AttemptEnd::PageWithRows } else { AttemptEnd::EmptyPage });
        }
    }

    /// What is true once it is durable, where a test may want to know.
    pub(super) fn step(&self) -> Option<CrashStep> {
        match self {
            Self::Question(_) | Self::QuestionAnew(_) => Some(CrashStep::QuestionKept),
            Self::BeginRun { .. } => Some(CrashStep::RunBegun),
            Self::FinishRun { .. } => Some(CrashStep::RunFinished),
            Self::Page { .. } => Some(CrashStep::PageCommitted),
            Self::Events { .. } => Some(CrashStep::DecisionCommitted),
            Self::Release { .. } => Some(CrashStep::BodiesReleased),
            Self::Part(PartStep::Prepare(_)) => Some(CrashStep::PartPrepared),
            Self::Part(PartStep::Hold(_) | PartStep::HoldAgain(_)) => Some(CrashStep::PartHeld),
            Self::Part(PartStep::Publish(_)) => Some(CrashStep::PartPublished),
            _ => None,
        }
    }

    /// Whether the job changes what later jobs are written under, so that it shares no transaction.
    pub(super) fn is_alone(&self) -> bool {
        match self {
            Self::BeginRun { .. } | Self::FinishRun { .. } | Self::Changes { .. } | Self::Close => true,
            #[cfg(test)]
            Self::Crash => true,
            _ => false,
        }
    }
}

/// Why a job was not written.
#[derive(Debug)]
pub(super) enum Halt {
    /// Refused by a rule of the journal: nothing of the job was written, the others of its transaction stand.
    Refused(JournalError),
    /// The database failed: nothing of the whole transaction is written.
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Halt {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}

impl Halt {
    /// Reads a broken uniqueness rule as a refusal.
    pub(super) fn on_conflict(refusal: JournalError) -> impl FnOnce(rusqlite::Error) -> Self {
        move |error| match error.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation) => Self::Refused(refusal),
            _ => Self::Failed(error),
        }
    }
}

/// A purpose as its table stores it: name, window and scan, -1 where it has none.
pub(super) fn purpose_columns(purpose: Purpose) -> (&'static str, i64, i64) {
    match purpose {
        Purpose::Walk { window, scan } => ("walk", i64::from(window.0), i64::from(scan)),
        Purpose::Newest => ("newest", -1, -1),
        Purpose::WithoutFilters => ("without_filters", -1, -1),
        Purpose::WithoutRange => ("without_range", -1, -1),
        Purpose::KnownSecond => ("known_second", -1, -1),
        Purpose::ConfirmOldest => ("confirm_oldest", -1, -1),
        Purpose::ConfirmNewest => ("confirm_newest", -1, -1),
        Purpose::Bounds => ("bounds", -1, -1),
        // Its anchor stands in place of a window: a page is still one row of the same columns.
        Purpose::Count { anchor } => ("count", anchor.get(), -1),
        Purpose::Recheck { from } => ("recheck", from.get(), -1),
        Purpose::Place { anchor, question } => ("place", anchor.get(), i64::from(question)),
    }
}

/// The purpose that its table stores so.
pub(super) fn purpose_from(name: &str, window: i64, scan: i64) -> Option<Purpose> {
    match name {
        "walk" => {
            Some(Purpose::Walk { window: WindowId(u32::try_from(window).ok()?), scan: u32::try_from(scan).ok()? })
        }
        "newest" => Some(Purpose::Newest),
        "without_filters" => Some(Purpose::WithoutFilters),
        "without_range" => Some(Purpose::WithoutRange),
        "known_second" => Some(Purpose::KnownSecond),
        "confirm_oldest" => Some(Purpose::ConfirmOldest),
        "confirm_newest" => Some(Purpose::ConfirmNewest),
        "bounds" => Some(Purpose::Bounds),
        "recheck" => Some(Purpose::Recheck { from: EpochSeconds::new(window) }),
        "place" => Some(Purpose::Place { anchor: EpochSeconds::new(window), question: u32::try_from(scan).ok()? }),
        "count" => Some(Purpose::Count { anchor: EpochSeconds::new(window) }),
        _ => None,
    }
}

/// A page's address for a person: `US window 3 scan 0 page 17`.
pub(super) fn address_text(address: &PageAddress) -> String {
    let PageAddress { region, purpose, page } = address;
    match purpose {
        Purpose::Walk { window, scan } => format!("{region} window {} scan {scan} {page}", window.0),
        Purpose::Newest => format!("{region} newest {page}"),
        Purpose::WithoutFilters => format!("{region} without filters {page}"),
        Purpose::WithoutRange => format!("{region} without range {page}"),
        Purpose::KnownSecond => format!("{region} known second {page}"),
        Purpose::ConfirmOldest => format!("{region} confirm oldest {page}"),
        Purpose::ConfirmNewest => format!("{region} confirm newest {page}"),
        Purpose::Bounds => format!("{region} bounds {page}"),
        Purpose::Recheck { from } => format!("{region} recheck from {from} {page}"),
        Purpose::Place { anchor, question } => format!("{region} place {question} from {anchor} {page}"),
        Purpose::Count { anchor } => format!("{region} count from {anchor} {page}"),
    }
}
