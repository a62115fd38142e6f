//! The one loop of a run, as a pure machine: events in, effects out. Program and simulation drive this same code.
//!
//! `vocabulary` has the events and the effects, `staff` gives workers something to do, `landing` says what follows from what came back, `minding` from what is
//! thought of the regions, `due` what is to be published, and
//! `ending` when and how it stops. Nothing here waits, sends, writes or reads a clock: a [`Moment`] comes with every event, and
//! what is to be done goes out as an [`Effect`].
//!
//! The invariants: the planner lives here alone and sees only what is durable, since a page and a decision are handed in only
//! once they are; while a decision is becoming durable nothing is folded in, so that it is applied to what it was made of; and
//! no request goes out that follows from a decision before it is durable. When the machine is over, nothing is on its way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::api::contract::{Filters, Region};
use crate::fetch::job::{Asks, JobId};
use crate::fetch::pool::{Kept, Over, Pool};
use crate::fetch::throttle::{LearnedRate, Rate};
use crate::journal::record::PartRecord;
use crate::plan::event::PlanEvent;
use crate::plan::fact::PageFact;
use crate::plan::planner::Planner;
use crate::plan::walk::step::Tuning;
use crate::progress;
use crate::units::EpochSeconds;

use super::attribution::Attribution;
use super::regions::Regions;
use super::{Ending, ExportRequest};

mod due;
mod ending;
mod landing;
mod minding;
mod staff;
mod vocabulary;

pub(super) use due::next_edge;
pub(super) use staff::upkeep;
pub(super) use vocabulary::{Abandoned, Broken, Due, Effect, Event, Note, Urgency};

/// What a person may set of the loop.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The user's filters.
    pub(super) filters: Filters,
    /// How time is cut and walked.
    pub(super) tuning: Tuning,
    /// How fast.
    pub(super) rate: Rate,
    /// Requests on their way at once, at least 1.
    pub(super) max_in_flight: usize,
    /// How long to go on without a durable page.
    pub(super) give_up_after: Duration,
    /// Time of this start.
    pub(super) time: Option<Duration>,
    /// Where no more is asked than a forecast needs: its bounds.
    pub(super) probing: Option<Probing>,
}

/// The bounds of a forecast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probing {
    /// Requests that it may send.
    pub credits: u32,
    /// Where samples lie, 0 to 1.
    pub seed: f64,
}

impl From<&ExportRequest> for Settings {
    fn from(request: &ExportRequest) -> Self {
        Self {
            filters: request.filters.clone(),
            tuning: request.tuning,
            rate: request.rate,
            max_in_flight: request.max_in_flight,
            give_up_after: request.give_up_after,
            time: request.budget.time,
            probing: request.probing,
        }
    }
}

/// The moment of an event, and what stands at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Since the process began, by the monotonic clock.
    pub(super) now: Duration,
    /// The same without the time for which the process was suspended.
    pub(super) awake: Duration,
    /// By the wall clock, for people and for what ages over restarts.
    pub(super) wall: EpochSeconds,
    /// Pages in the journal that are not published.
    pub(super) held_pages: u64,
}

/// The longest that a wait for a second lasts before the clock is looked at again, in seconds.
const LONGEST_NAP: u64 = 60;

/// What came back and waits until the planner may see it.
#[derive(Debug)]
enum Landed {
    Page(Kept, Arc<PageFact>),
    Job(Over),
    Published { event: PlanEvent, parts: Vec<PartRecord> },
}

/// Whether something is being published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Publishing {
    /// Nothing is, and something may be due.
    Idle,
    /// Nothing is, and nothing was due when it was last asked.
    NothingDue,
    /// It was asked for.
    Busy,
}

/// How a machine is over.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Conclusion {
    /// It ended by itself, or was ended.
    Ended(Ending),
    /// The planner has nothing to do and is not done: what is open.
    Stuck(String),
    /// Something of our own broke.
    Broken,
}

/// One start of a run, while it asks.
#[derive(Debug)]
pub(super) struct Machine {
    settings: Settings,
    planner: Planner,
    pool: Pool,
    attribution: Attribution,
    regions: Regions,
    /// Why each health probe on its way is asked, and from when on it says something.
    probes: BTreeMap<JobId, (minding::Reason, Duration)>,
    /// Whether something may be due about the regions.
    minds: bool,
    /// What follows once the decision on its way to the journal is durable.
    recording: Option<staff::Then>,
    /// Whether it opens something again: publishing, which releases pages, waits for it.
    is_reopening: bool,
    landed: VecDeque<Landed>,
    publishing: Publishing,
    ending: Option<Ending>,
    is_broken: bool,
    stuck: Option<String>,
    /// Whether a signal came: what is on its way is waited for no longer than a grace.
    hurried: bool,
    /// Until when answers are waited for, once it stops.
    drained_by: Option<Duration>,
    /// When a page was last folded in, without suspensions.
    last_page: Duration,
    pages: u64,
    /// Requests of this start: jobs that were begun, and what was asked again.
    asked: u32,
    /// Busy and useful workers when nobody could be given anything to do; until something comes, nobody can.
    idle_at: Option<(usize, usize)>,
    /// Regions of which nothing is left but to wait for that second or a later one.
    waiting: BTreeSet<Region>,
    /// The second that the plan waits for, where nobody has anything to do before.
    waits_until: Option<EpochSeconds>,
    rate_told: f64,
    rate_learned: LearnedRate,
    told_of_token: bool,
    told_of_wait: bool,
    effects: VecDeque<Effect>,
}

impl Machine {
    /// A machine that goes on with a plan of which everything is durable.
    pub(super) fn new(settings: Settings, regions: Regions, planner: Planner, learned: LearnedRate) -> Self {
        // A page that waits to be believed must not outlast the patience with a service that brings no page.
        let apart = settings.tuning.confirming().min(settings.give_up_after / 2);
        Self {
            pool: Pool::new(settings.rate, learned, settings.max_in_flight).confirming_after(apart),
            settings,
            planner,
            attribution: Attribution::default(),
            regions,
            probes: BTreeMap::new(),
            minds: true,
            recording: None,
            is_reopening: false,
            landed: VecDeque::new(),
            publishing: Publishing::Idle,
            ending: None,
            is_broken: false,
            stuck: None,
            hurried: false,
            drained_by: None,
            last_page: Duration::ZERO,
            pages: 0,
            asked: 0,
            idle_at: None,
            waiting: BTreeSet::new(),
            waits_until: None,
            rate_told: 0.0,
            rate_learned: LearnedRate::default(),
            told_of_token: false,
            told_of_wait: false,
            effects: VecDeque::new(),
        }
    }

    /// Takes an event in, and whatever follows from it alone.
    pub(super) fn handle(&mut self, event: Event, moment: &Moment) {
        match event {
            Event::Heard { job, heard, dice } => self.hear(job, heard, dice, moment),
            Event::Kept { job, fact, took } => self.take_kept(job, fact, took),
            Event::Recorded(events) => self.take_recorded(&events, moment),
            Event::NothingDue => self.publishing = Publishing::NothingDue,
            Event::Published { event, parts } => self.take_published(event, parts),
            Event::Woke if self.waits_until.is_some_and(|until| until <= moment.wall) => self.wait_is_over(moment),
            Event::Woke => {}
            Event::Look => self.look(moment),
            Event::Interrupted(signal) => self.interrupt(signal, moment),
            Event::Broke(what) => self.take_broken(what),
        }
        self.land_all(moment);
        self.look_at_time(moment);
        self.stop_if_it_ends(moment);
        self.send(moment);
    }

    /// What is to be done next.
    pub(super) fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When it has to be [woken](Event::Woke) at the latest.
    pub(super) fn wake_at(&self, moment: &Moment) -> Option<Duration> {
        let ends = [self.drain_ends(), self.time_is_over(), self.dry_at(moment), self.wait_ends(moment)];
        ends.into_iter().chain([self.pool.wake_at()]).flatten().min()
    }

    /// When the plan has something to do again, by itself. A clock that is set meanwhile is looked at once a second.
    fn wait_ends(&self, moment: &Moment) -> Option<Duration> {
        let until = self.waits_until.filter(|_| !self.is_ending())?;
        let left = u64::try_from(until.since(moment.wall)).unwrap_or(0).clamp(1, LONGEST_NAP);
        Some(moment.now + Duration::from_secs(left))
    }

    /// What was waited for is asked now.
    fn wait_is_over(&mut self, moment: &Moment) {
        self.waits_no_more(moment);
        self.changed();
    }

    /// Nothing is waited for any more; until now it was no silence of the service that nothing came.
    fn waits_no_more(&mut self, moment: &Moment) {
        if self.waits_until.take().is_some() {
            self.last_page = moment.awake;
        }
        self.waiting.clear();
    }

    /// Regions that failed to the end of this run, or of the one before and have not answered since.
    pub(super) fn unwell_regions(&self) -> &BTreeSet<Region> {
        self.regions.unwell()
    }

    /// The plan as it stands.
    pub(super) fn planner(&self) -> &Planner {
        &self.planner
    }

    /// What is known of the rate, and how long an answer takes, seconds; none before the first.
    pub(super) fn pace(&self) -> (LearnedRate, Option<f64>) {
        (self.pool.learned(), self.pool.latency())
    }

    /// The plan as it stands.
    pub(super) fn into_planner(self) -> Planner {
        self.planner
    }

    /// Something happened by which another worker may find something to do, and something more may be due.
    fn changed(&mut self) {
        self.idle_at = None;
        if self.publishing == Publishing::NothingDue {
            self.publishing = Publishing::Idle;
        }
    }

    fn tell(&mut self, event: progress::Event) {
        self.effects.push_back(Effect::Tell(event));
    }

    /// Gives rests their end, retry tokens and permits; none to a region that is left alone, also while a decision is becoming durable.
    fn send(&mut self, moment: &Moment) {
        if self.minds {
            self.sync_regions();
        }
        let sending = self.pool.go_on(moment.now);
        let again = sending.iter().filter(|sending| sending.asks != Asks::First).count();
        self.asked = self.asked.saturating_add(u32::try_from(again).unwrap_or(u32::MAX));
        self.effects.extend(sending.into_iter().map(Effect::Send));
        if !self.told_of_token
            && let Some(waited) = self.pool.notable_wait()
        {
            self.told_of_token = true;
            self.effects.push_back(Effect::Note(Note::WaitsForToken { waited }));
        }
    }
}

/// What the simulation looks at.
#[cfg(test)]
impl Machine {
    /// What is thought of the regions.
    pub(super) fn regions(&self) -> &Regions {
        &self.regions
    }

    /// The jobs.
    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }
}
