//! The events that the machine takes in, and the effects that it gives out.

use std::sync::Arc;
use std::time::Duration;

use crate::api::contract::Region;
use crate::export::Interrupt;
use crate::fetch::job::{Dice, Heard, JobId};
use crate::fetch::pool::Sending;
use crate::fetch::throttle::LearnedRate;
use crate::journal::record::{PartRecord, Upkeep};
use crate::plan::event::{PlanEvent, RegionFault};
use crate::plan::fact::PageFact;
use crate::plan::reads::NotRead;
use crate::progress;
use crate::sink::union::Naming;
use crate::units::TimeRange;

/// What happens to a run.
#[derive(Debug)]
pub(in crate::export) enum Event {
    /// An attempt came back; where it brought a page, nothing of it is kept yet.
    Heard {
        /// Whose.
        job: JobId,
        /// What it brought.
        heard: Heard,
        /// For what follows.
        dice: Dice,
    },
    /// The page of a job is durable.
    Kept {
        /// Whose.
        job: JobId,
        /// What it proves.
        fact: Arc<PageFact>,
        /// How long that took.
        took: Duration,
    },
    /// Decisions are durable.
    Recorded(Vec<PlanEvent>),
    /// Of what might be published nothing is worth it yet.
    NothingDue,
    /// A slice or a reopened range is published and recorded.
    Published {
        /// What was recorded.
        event: PlanEvent,
        /// Its parts.
        parts: Vec<PartRecord>,
    },
    /// Time has passed.
    Woke,
    /// What is looked at now and then is to be looked at: the rate, for people and for the next run.
    Look,
    /// A signal came.
    Interrupted(Interrupt),
    /// Something of our own broke: nothing more is begun.
    Broke(Broken),
}

/// What broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::export) enum Broken {
    /// A job's page could not be kept, or its request not be reserved.
    Job(JobId),
    /// A decision could not be recorded.
    Recording,
    /// Publishing.
    Publishing,
    /// Something else.
    Other,
}

/// What is to be done, in this order.
#[derive(Debug)]
pub(in crate::export) enum Effect {
    /// Reserve a credit and send a request; answered with [`Event::Heard`].
    Send(Sending),
    /// Make the page of a job durable; answered with [`Event::Kept`].
    Keep(JobId),
    /// Keep nothing of the page of a job: it seems to answer another question, and is asked again. Why, for a person.
    Discard(JobId, String),
    /// Make decisions durable, in one transaction; answered with [`Event::Recorded`]. What they do to stored pages comes
    /// with them.
    Record(Vec<PlanEvent>, Upkeep),
    /// Publish the first of these that is worth it; answered with [`Event::Published`] or [`Event::NothingDue`].
    Publish(Vec<Due>),
    /// Keep the rate for the next run.
    Learn(LearnedRate),
    /// Tell whoever watches.
    Tell(progress::Event),
    /// Tell the log.
    Note(Note),
    /// Wait no longer for answers: their credits stay reserved.
    Abandon(Abandoned),
}

/// What is waited for no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::export) enum Abandoned {
    /// Answers.
    Answers,
    /// Answers, and what is being published: its rows are safe in the journal.
    Everything,
}

/// What a log should say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::export) enum Note {
    /// A page could not be had; its walk goes on without it, or its window is tried again after the others.
    Parked {
        /// Its last failure.
        why: String,
    },
    /// A page is refused, and it is this page alone; its walk goes on without it, or its window is tried again after the others.
    Refused {
        /// The status or code.
        code: u16,
    },
    /// A region is given up; what is left of it is listed as a gap.
    GivenUp {
        /// The region.
        region: Region,
        /// What it is at fault for.
        fault: RegionFault,
    },
    /// All is read, and what confirms it is asked later. Once a start.
    WaitsToConfirm {
        /// How long it waits.
        wait: Duration,
    },
    /// Failed pages wait for the budget of all retries. Once a start.
    WaitsForToken {
        /// How long one of them waited.
        waited: Duration,
    },
}

/// What may be published.
#[derive(Clone, Debug)]
pub(in crate::export) enum Due {
    /// A slice of what is settled, from the left.
    Slice {
        /// The region.
        region: Region,
        /// From what is published on to where the next slice must end.
        range: TimeRange,
        /// What of the region is not read.
        not_read: NotRead,
        /// Why it would be cut.
        urgency: Urgency,
    },
    /// A reopened range that is read again, whole.
    Fill {
        /// The region.
        region: Region,
        /// The range.
        range: TimeRange,
        /// What of it could not be read, or was left.
        not_read: NotRead,
        /// What of it was read, and may lack rows: in order, and apart from what was not read.
        unproven: Vec<TimeRange>,
        /// Which rows stay that the run had delivered of it.
        rows_before: Naming,
    },
}

/// Why a slice is cut now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::export) enum Urgency {
    /// Only whole partitions, and what presses.
    Calm,
    /// Full parts as well: to look for them costs time.
    Look,
    /// Everything that is settled.
    Flush,
}
