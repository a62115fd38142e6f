//! Drives the machine in the program: carries its effects out, and tells it what came of them. Decides nothing.
//!
//! The order is the promise: a credit from a durable reservation, then the request; the page's commit, then the machine hears
//! of the page; a decision's commit, then the machine hears of the decision.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use crate::api::contract::Region;
use crate::failpoint::{self, CrashStep};
use crate::fetch::job::{Dice, JobId};
use crate::fetch::pool::Sending;
use crate::fetch::throttle::LearnedRate;
use crate::journal::record::{NewPage, Upkeep};
use crate::journal::{self, Attempt, JournalError, Ledger};
use crate::plan::event::PlanEvent;
use crate::plan::planner::Planner;

use super::clock::{ClockCheck, RunClock, Skew};
use super::cutting::{Cutting, Ready};
use super::learned::UNWELL_REGIONS;
use super::machine::{Abandoned, Broken, Conclusion, Due, Effect, Event, Machine, Moment, Settings};
use super::publisher::{Published, Publisher};
use super::regions::Regions;
use super::standing::Standing;
use super::{Ending, ExportError, ExportRequest, Tools};

mod tasks;
mod telling;

use tasks::{Returned, kept, log_failure, sent};
use telling::{learn, log, tell_standing};

/// How often the machine looks up when nothing happens.
const TICK: Duration = Duration::from_millis(250);

/// How often the run says how it stands: often for a person who watches, seldom beside the commits of its pages.
const STANDING_EVERY: Duration = Duration::from_secs(2);
/// When it says so first: its regions are begun by then.
const STANDING_FIRST: Duration = Duration::from_millis(500);

/// What a run's loop works with.
pub(super) struct Parts<'a> {
    pub(super) request: &'a ExportRequest,
    pub(super) tools: &'a Tools,
    pub(super) ledger: Ledger,
    pub(super) publisher: Publisher,
    pub(super) cutting: Cutting,
    /// What an earlier run learned of the rate.
    pub(super) learned: LearnedRate,
    /// What former runs say of the regions.
    pub(super) regions: Regions,
    /// What a wrong clock could have spoilt.
    pub(super) clocks: ClockCheck,
}

/// How a loop ended.
pub(super) struct LoopEnd {
    pub(super) planner: Planner,
    pub(super) ending: Ending,
    /// What is known of the rate.
    pub(super) rate: LearnedRate,
    /// How long an answer took; none where none came.
    pub(super) latency_seconds: Option<f64>,
}

type Recording = Pin<Box<dyn Future<Output = Result<Vec<PlanEvent>, ExportError>> + Send>>;
type Telling = Pin<Box<dyn Future<Output = Result<(), JournalError>> + Send>>;
type Publishing = Pin<Box<dyn Future<Output = Result<Published, ExportError>> + Send>>;

/// The loop while it runs.
struct Driver<'a> {
    parts: Parts<'a>,
    machine: Machine,
    unwell_before: BTreeSet<Region>,
    tasks: JoinSet<Returned>,
    /// Pages that came and are not durable yet, each with the attempt that was paid for it.
    came: BTreeMap<JobId, Box<(NewPage, Attempt)>>,
    recording: Option<Recording>,
    publishing: Option<Publishing>,
    /// How the run stands, on its way into the journal; nobody waits for it.
    telling: Option<Telling>,
    tell_at: Instant,
    /// What broke of our own; the answers in flight are waited for all the same, since they are paid for.
    error: Option<ExportError>,
    clock: RunClock,
    tick: Interval,
    is_interrupted: bool,
    /// Whether the first answer has shown the service's clock.
    is_clock_checked: bool,
}

impl Parts<'_> {
    /// Runs until the plan is done or something ends it. Gives the plan back as it stands then.
    pub(super) async fn run(mut self, planner: Planner, began: Instant) -> Result<LoopEnd, ExportError> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let regions = std::mem::take(&mut self.regions);
        let unwell_before = regions.unwell().clone();
        let is_clock_checked = self.tools.client.has_answered();
        let mut driver = Driver {
            machine: Machine::new(Settings::from(self.request), regions, planner, self.learned),
            unwell_before,
            parts: self,
            tasks: JoinSet::new(),
            came: BTreeMap::new(),
            recording: None,
            publishing: None,
            telling: None,
            tell_at: Instant::now() + STANDING_FIRST,
            error: None,
            clock: RunClock::start(began),
            tick,
            is_interrupted: false,
            is_clock_checked,
        };
        let conclusion = driver.drive().await;
        driver.conclude(conclusion).await
    }
}

impl Driver<'_> {
    async fn drive(&mut self) -> Conclusion {
        loop {
            self.set_going();
            self.tell_standing();
            if let Some(conclusion) = self.machine.conclusion() {
                return conclusion;
            }
            let event = self.next_event().await;
            self.tell(event);
        }
    }

    /// Nothing is on its way any more, but for what was given up.
    async fn conclude(mut self, conclusion: Conclusion) -> Result<LoopEnd, ExportError> {
        self.tasks.shutdown().await;
        match (self.error.take(), conclusion) {
            (Some(error), _) => Err(error),
            (None, Conclusion::Ended(ending)) => {
                self.machine.learn_rate();
                drop(self.telling.take());
                let standing = self.standing();
                tell_standing(&self.parts.publisher.journal, &standing).await?;
                while let Some(effect) = self.machine.next_effect() {
                    if let Effect::Learn(learned) = effect {
                        learn(&self.parts.publisher.journal, learned).await?;
                    }
                }
                if *self.machine.unwell_regions() != self.unwell_before {
                    let text = serde_json::to_string(self.machine.unwell_regions())?;
                    self.parts.publisher.journal.learn(UNWELL_REGIONS, &text).await?;
                }
                let (rate, latency_seconds) = self.machine.pace();
                Ok(LoopEnd { planner: self.machine.into_planner(), ending, rate, latency_seconds })
            }
            (None, Conclusion::Stuck(open)) => Err(ExportError::Stuck(open)),
            (None, Conclusion::Broken) => Err(ExportError::Stuck("what broke".to_owned())),
        }
    }

    fn set_going(&mut self) {
        let moment = self.moment();
        self.machine.offer(&moment);
        self.machine.hire(&moment);
        self.carry_out();
    }

    fn tell(&mut self, event: Event) {
        let moment = self.moment();
        self.machine.handle(event, &moment);
        self.carry_out();
    }

    fn moment(&mut self) -> Moment {
        let (now, awake) = self.clock.look();
        Moment { now, awake, wall: self.clock.now(), held_pages: self.parts.publisher.journal.held_pages() }
    }

    /// Waits for whatever happens next.
    async fn next_event(&mut self) -> Event {
        let moment = self.moment();
        let wake_at = self.machine.wake_at(&moment).map(|at| self.clock.at(at));
        let mut interrupt = self.parts.tools.interrupt.clone();
        tokio::select! {
            Some(returned) = self.tasks.join_next() => self.take_back(returned),
            recorded = next(&mut self.recording) => self.take_recorded(recorded),
            published = next(&mut self.publishing) => self.take_published(published),
            _told = next(&mut self.telling) => {
                // Only a display goes without it; what ails the journal shows with the next page.
                self.telling = None;
                Event::Woke
            }
            _ = self.tick.tick() => Event::Look,
            Ok(signal) = interrupt.wait_for(Option::is_some), if !self.is_interrupted => {
                self.is_interrupted = true;
                signal.map_or(Event::Woke, Event::Interrupted)
            }
            () = until(wake_at) => Event::Woke,
        }
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.machine.next_effect() {
            match effect {
                Effect::Send(sending) => self.send(sending),
                Effect::Keep(job) => self.keep(job),
                Effect::Discard(job, why) => self.discard(job, &why),
                Effect::Record(events, upkeep) => self.record(events, upkeep),
                Effect::Publish(due) => self.publish(due),
                Effect::Learn(learned) => self.learn(learned),
                Effect::Tell(event) => self.parts.tools.progress.send(event),
                Effect::Note(note) => log(&note),
                Effect::Abandon(what) => self.abandon(what),
            }
        }
    }

    fn send(&mut self, sending: Sending) {
        let Tools { client, progress, .. } = self.parts.tools;
        self.tasks.spawn(sent((client.clone(), progress.clone()), self.parts.ledger.clone(), sending));
    }

    fn discard(&mut self, job: JobId, why: &str) {
        let Some(came) = self.came.remove(&job) else { return };
        let (page, paid) = *came;
        paid.ended(journal::AttemptEnd::Astray);
        log_failure(&page.fact.address, why);
    }

    fn keep(&mut self, job: JobId) {
        let Some(came) = self.came.remove(&job) else { return };
        failpoint::pass(CrashStep::PageAnswered);
        let journal = self.parts.publisher.journal.clone();
        self.tasks.spawn(async move { kept(&journal, job, *came).await });
    }

    fn record(&mut self, events: Vec<PlanEvent>, upkeep: Upkeep) {
        let journal = self.parts.publisher.journal.clone();
        self.recording = Some(Box::pin(async move {
            let texts = events.iter().map(super::event_json).collect::<Result<_, _>>()?;
            journal.commit_events(texts, upkeep).await?;
            Ok(events)
        }));
    }

    fn publish(&mut self, due: Vec<Due>) {
        let publisher = self.parts.publisher.clone();
        match self.parts.cutting.first(due, &publisher.run, &publisher.journal) {
            Ok(Some(Ready::Slice(slices, not_read))) => {
                self.publishing = Some(Box::pin(async move { publisher.publish(slices, not_read).await }));
            }
            Ok(Some(Ready::Nothing(empty, not_read))) => {
                self.publishing = Some(Box::pin(async move { publisher.pass_over(empty, not_read).await }));
            }
            Ok(Some(Ready::Fill(fill))) => {
                self.publishing = Some(Box::pin(async move { publisher.fill(fill).await }));
            }
            Ok(None) => self.tell_within(Event::NothingDue),
            Err(error) => {
                let broke = self.broke(Broken::Publishing, error.into());
                self.tell_within(broke);
            }
        }
    }

    /// What is known at once is told while effects are carried out; what follows from it is carried out with them.
    fn tell_within(&mut self, event: Event) {
        let moment = self.moment();
        self.machine.handle(event, &moment);
    }

    fn learn(&mut self, learned: LearnedRate) {
        let journal = self.parts.publisher.journal.clone();
        self.tasks.spawn(async move {
            match learn(&journal, learned).await {
                Ok(()) => Returned::Learned,
                Err(error) => Returned::Broke(Broken::Other, error),
            }
        });
    }

    /// Says how the run stands, where that is due. It shares a transaction with what else is written.
    fn tell_standing(&mut self) {
        let now = Instant::now();
        if now < self.tell_at || self.telling.is_some() {
            return;
        }
        self.tell_at = now + STANDING_EVERY;
        let (journal, standing) = (self.parts.publisher.journal.clone(), self.standing());
        self.telling = Some(Box::pin(async move { tell_standing(&journal, &standing).await }));
    }

    fn standing(&self) -> Standing {
        let publisher = &self.parts.publisher;
        let (view, held_pages) = (self.parts.tools.progress.view(), publisher.journal.held_pages());
        Standing::of(&publisher.run, self.clock.now(), self.machine.planner(), &view, held_pages)
    }

    fn abandon(&mut self, what: Abandoned) {
        self.tasks.abort_all();
        self.came.clear();
        if what == Abandoned::Everything {
            self.publishing = None;
        }
    }

    fn take_back(&mut self, returned: Result<Returned, JoinError>) -> Event {
        match returned {
            Ok(Returned::Heard { job, heard, page }) => {
                self.came.extend(page.map(|page| (job, page)));
                self.check_clocks();
                Event::Heard { job, heard, dice: Dice { spread: rand::random(), jitter: rand::random() } }
            }
            Ok(Returned::Kept { job, fact, took }) => Event::Kept { job, fact, took },
            Ok(Returned::Learned) => Event::Woke,
            Ok(Returned::Broke(what, error)) => self.broke(what, error.into()),
            Err(error) if error.is_cancelled() => Event::Woke,
            Err(error) => self.broke(Broken::Other, error.into()),
        }
    }

    /// Looks at the clocks that the first answer showed; nothing more may be asked by ours where it could have spoilt the range.
    fn check_clocks(&mut self) {
        if self.is_clock_checked || !self.parts.tools.client.has_answered() {
            return;
        }
        self.is_clock_checked = true;
        match self.parts.tools.client.clocks().map_or(Skew::Small, |clocks| self.parts.clocks.compare(clocks)) {
            Skew::Small => {}
            Skew::Harmless(wrong) => tracing::warn!(
                clock.here = %wrong.clocks.ours,
                clock.service = %wrong.clocks.service,
                "this machine's clock and the service's differ; the range does not depend on it"
            ),
            Skew::Harmful(wrong) => {
                let broke = self.broke(Broken::Other, wrong.into());
                self.tell_within(broke);
            }
        }
    }

    fn take_recorded(&mut self, recorded: Result<Vec<PlanEvent>, ExportError>) -> Event {
        self.recording = None;
        recorded.map_or_else(|error| self.broke(Broken::Recording, error), Event::Recorded)
    }

    fn take_published(&mut self, published: Result<Published, ExportError>) -> Event {
        self.publishing = None;
        match published {
            Ok(Published { event, parts }) => Event::Published { event, parts },
            Err(error) => self.broke(Broken::Publishing, error),
        }
    }

    /// The first cause is the one that is told.
    fn broke(&mut self, what: Broken, error: ExportError) -> Event {
        self.error.get_or_insert(error);
        Event::Broke(what)
    }
}

async fn next<T>(running: &mut Option<Pin<Box<dyn Future<Output = T> + Send>>>) -> T {
    match running {
        Some(running) => running.await,
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
