//! One start of one run: the plan as the journal has it, what is missing of it, the loop, and what is left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::Instant;

use crate::api::contract::Region;
use crate::fetch::throttle::LearnedRate;
use crate::journal::record::{Change, PartRecord, PartState, RangeEnds, Replayed, RunRecord, Upkeep};
use crate::journal::{Journal, JournalError, Ledger, Limits};
use crate::plan::event::PlanEvent;
use crate::plan::planner::{Backlog, PlanContext, Planner};
use crate::plan::reopen::Reopening;
use crate::progress::{Event, RegionStart, Spent, Timeline};
use crate::replica::Replica;
use crate::sink::layout::{Layout, Partition, Slice};
use crate::sink::part::Parts;
use crate::sink::publish::Output;
use crate::units::{Credits, EpochSeconds, RowCount, TimeRange};

use super::clock::ClockCheck;
use super::commits::Commits;
use super::cutting::Cutting;
use super::delivery::{Delivery, Left};
use super::driver::{Ended, Parts as Loop};
use super::forecast::{Forecast, PLANNED_RUN, RowSizes, attempts_a_page, measure, windows};
use super::machine::upkeep;
use super::publisher::{Publisher, Replaces};
use super::regions::Regions;
use super::repair::{Ended as HadEnded, Repair};
use super::sizes::tell_tiny_files;
use super::stager::Stager;
use super::state::OpenState;
use super::{Ending, ExportError, History, Kept, Order, Outcome, Tools, Work};

/// Windows that are begun anew at a start because what they showed contradicts the contract.
const MOST_CONTRADICTED: usize = 1_000;
/// Where the learned rate is kept.
pub(super) const LEARNED_RATE: &str = "rate";
/// Where the regions are kept that failed to the end of their run: a list of codes.
pub(super) const UNWELL_REGIONS: &str = "unwell_regions";
/// Where the regions are kept of which this output has ever held a row: a list of codes.
const KNOWN_REGIONS: &str = "known_regions";

/// Where the last run's requests are kept over time, as its last start left them that ended by itself: see [`Timed`].
pub const TIMED: &str = "timeline";

/// A run's requests over time.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Timed {
    /// The run.
    pub run: String,
    /// Its requests.
    pub timeline: Timeline,
}

/// One start of one run.
pub(super) struct Session<'a> {
    /// What was asked, with the run's regions.
    order: Order,
    tools: &'a Tools,
    journal: &'a Journal,
    replica: Option<&'a Arc<Replica>>,
    output: &'a Arc<Output>,
    commits: &'a Arc<Commits>,
    run: RunRecord,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        order: &Order,
        tools: &'a Tools,
        state: &'a OpenState,
        (output, commits): (&'a Arc<Output>, &'a Arc<Commits>),
        run: RunRecord,
    ) -> Self {
        let order = Order { regions: run.begun.regions(), ..order.clone() };
        Self { order, tools, journal: &state.journal, replica: state.replica.as_ref(), output, commits, run }
    }

    /// Goes on with an unfinished run. One that had ended is gone on with where something of it is missing. `ends` says what this
    /// start took the run's range from.
    pub(super) async fn run(self, ends: RangeEnds) -> Result<Outcome, ExportError> {
        let mut planner = self.replayed_plan().await?;
        let repair = self.find_missing(&planner).await?;
        if self.run.outcome.is_some() && repair.is_empty() {
            return self.nothing_left(planner, &repair.beyond).await;
        }
        self.check_pages().await?;
        if !repair.is_empty() {
            self.repair(&mut planner, &repair).await?;
        }
        self.go_on(planner, ends).await
    }

    /// Asks what a forecast of the run needs, and publishes nothing. Of one that had ended it asks nothing.
    pub(super) async fn forecast(self, ends: RangeEnds) -> Result<Forecast, ExportError> {
        let began = Instant::now();
        let planner = self.replayed_plan().await?;
        if self.run.outcome.is_some() {
            let missing = self.find_missing(&planner).await?;
            return Ok(self.of_what_is_missing(&planner, &missing.ranges));
        }
        self.check_pages().await?;
        let before = self.journal.ledger(Limits { max_credits: None, block: 1 })?.counts();
        let credits = self.order.probing.map_or(0, |probing| u64::from(probing.credits));
        let most = before.attempts + before.possibly_charged + credits;
        let most = self.order.budget.max_credits.map_or(most, |max| max.get().min(most));
        // With a block of its own each request is reserved by itself, so none is left over that counts as spent.
        let ledger = self.journal.ledger(Limits { max_credits: Some(Credits::new(most)), block: 1 })?;
        self.show_ledger(&ledger);
        let run = self.work(ledger.clone(), self.publisher()?, ends)?;
        let ended = run.run(planner, began).await?;
        let spent = ledger.counts();
        let sample = self.sample(&ended.planner).await?;
        Ok(Forecast {
            run: Some(self.run.begun.id.clone()),
            range: self.run.begun.range,
            regions: ended.planner.forecast(),
            windows: windows(&ended.planner),
            spent: spent.attempts.saturating_sub(before.attempts),
            spent_before: before.attempts,
            attempts_a_page: attempts_a_page(
                spent.attempts.saturating_sub(before.attempts),
                spent.answered_pages.saturating_sub(before.answered_pages),
            ),
            rate: ended.rate,
            latency_seconds: ended.latency_seconds,
            sample,
            ending: ended.ending,
        })
    }

    /// The same, of a run that goes on to a later end.
    pub(super) async fn forecast_extended(
        mut self,
        asked: TimeRange,
        ends: RangeEnds,
    ) -> Result<Forecast, ExportError> {
        let mut planner = self.replayed_plan().await?;
        self.extend_range(&mut planner, asked).await?;
        self.forecast(ends).await
    }

    /// What a run that has ended would read again.
    fn of_what_is_missing(&self, planner: &Planner, missing: &[(Region, TimeRange, Reopening)]) -> Forecast {
        let missing: Vec<(Region, TimeRange)> =
            missing.iter().map(|(region, range, _)| (region.clone(), *range)).collect();
        Forecast { regions: planner.forecast_again(&missing), ..Forecast::nothing(self.run.begun.range) }
    }

    /// How large the rows are that the journal holds, as parts of the run: written once with all of them, and once with every other
    /// page, so that what a file takes by itself is told apart.
    async fn sample(&self, planner: &Planner) -> Result<Option<RowSizes>, ExportError> {
        let layout = Layout { partition: Partition::None, snapshot: None };
        let parts = Parts::new(self.output.staging(), layout, self.order.packaging);
        let most = planner.regions().iter().max_by_key(|plan| self.journal.count_rows(&plan.region, plan.range).ok());
        let Some(plan) = most else { return Ok(None) };
        let slice =
            Slice { region: plan.region.clone(), range: plan.range, run: format!("{}-sample", self.run.begun.id) };
        let (journal, staging) = (self.journal.clone(), self.output.staging());
        let measured = tokio::task::spawn_blocking(move || measure(&parts, &slice, &journal, &staging));
        measured.await?
    }

    /// Goes on with an unfinished run up to the end of a later range.
    pub(super) async fn extend(mut self, asked: TimeRange, ends: RangeEnds) -> Result<Outcome, ExportError> {
        let mut planner = self.replayed_plan().await?;
        let repair = self.find_missing(&planner).await?;
        self.check_pages().await?;
        if !repair.is_empty() {
            self.repair(&mut planner, &repair).await?;
        }
        self.extend_range(&mut planner, asked).await?;
        self.go_on(planner, ends).await
    }

    async fn extend_range(&mut self, planner: &mut Planner, asked: TimeRange) -> Result<(), ExportError> {
        let range = TimeRange::new(self.run.begun.range.start, asked.end);
        tracing::info!(run = self.run.begun.id, "the unfinished run goes on, up to {}", range.end);
        let change = Change { extends: Some((self.run.begun.id.clone(), range)), ..Change::default() };
        self.decide(planner, |planner| planner.extending(range.end), change).await?;
        self.run.begun.range = range;
        Ok(())
    }

    /// Publishes what an unfinished run has paid for, and ends it: what it has not read stays unread.
    pub(super) async fn close(self) -> Result<Outcome, ExportError> {
        tracing::warn!(
            run = self.run.begun.id,
            "the unfinished run is closed, since something else is asked now: what was paid for is published, and what it has not read \
             is not read for it"
        );
        let mut planner = self.replayed_plan().await?;
        let repair = self.find_missing(&planner).await?;
        self.check_pages().await?;
        if !repair.is_empty() {
            self.repair(&mut planner, &repair).await?;
        }
        self.decide(&mut planner, Planner::closing, Change::default()).await?;
        self.go_on(planner, RangeEnds::Absolute).await
    }

    /// Records decisions about the run as a whole, and follows them.
    async fn decide(
        &self,
        planner: &mut Planner,
        decide: impl FnOnce(&Planner) -> Vec<PlanEvent>,
        change: Change,
    ) -> Result<(), ExportError> {
        let decided = decide(planner);
        let events = decided.iter().map(super::event_json).collect::<Result<_, _>>()?;
        let upkeep = upkeep(planner, &decided);
        self.journal.commit_change(Change { events, upkeep, ..change }).await?;
        decided.iter().for_each(|event| planner.apply_event(event));
        Ok(())
    }

    async fn find_missing(&self, planner: &Planner) -> Result<Repair, ExportError> {
        let ended = if self.run.outcome.is_some() { HadEnded::Yes } else { HadEnded::No };
        Repair::find(self.output, planner, &self.own_parts()?, ended).await
    }

    async fn check_pages(&self) -> Result<(), ExportError> {
        let (journal, regions) = (self.journal.clone(), self.order.regions.clone());
        let checked = tokio::task::spawn_blocking(move || regions.iter().try_for_each(|one| journal.check_pages(one)));
        Ok(checked.await??)
    }

    async fn repair(&self, planner: &mut Planner, repair: &Repair) -> Result<(), ExportError> {
        repair.tell(&self.run.begun.id);
        self.output.clear_success().await?;
        for lost in &repair.lost {
            if let Some(file) = self.output.set_aside(&lost.part.path).await? {
                tracing::warn!(file = %file.display(), "the damaged part was moved aside");
            }
        }
        let goes_on = self.run.outcome.map(|_| self.run.begun.id.clone());
        let change = Change { goes_on, ..repair.open(planner)? };
        Ok(self.journal.commit_change(change).await?)
    }

    async fn go_on(self, planner: Planner, ends: RangeEnds) -> Result<Outcome, ExportError> {
        let began = Instant::now();
        if self.journal.learned(PLANNED_RUN)?.as_ref() == Some(&self.run.begun.id) {
            self.journal.learn(PLANNED_RUN, "").await?;
        }
        let ledger = self.journal.ledger(Limits {
            max_credits: self.order.budget.max_credits,
            block: u32::try_from(self.order.max_in_flight).unwrap_or(u32::MAX),
        })?;
        let attempts_before = ledger.counts().attempts;
        self.show_ledger(&ledger);
        self.tell_start(&planner, attempts_before)?;
        let publisher = self.publisher()?;
        if self.run.spent_at.is_some() {
            self.journal.tell_spent(&self.run.begun.id, None).await?;
        }
        let mut delivery = Delivery::new(&self.order, publisher.clone(), self.run.begun.range);
        delivery.look_around().await?;
        self.output.clear_success().await?;
        delivery.write_running(&planner).await?;
        let timed = self.journal.learned(TIMED)?.and_then(|text| serde_json::from_str::<Timed>(&text).ok());
        let timed = timed.filter(|timed| timed.run == self.run.begun.id);
        self.tools.progress.go_on_from(timed.map(|timed| timed.timeline).unwrap_or_default());
        let run = self.work(ledger.clone(), publisher, ends)?;
        let Ended { planner, ending, .. } = run.run(planner, began).await?;
        let timed = Timed { run: self.run.begun.id.clone(), timeline: self.tools.progress.timeline() };
        self.journal.learn(TIMED, &serde_json::to_string(&timed)?).await?;
        if let Some(why) = planner.learned().contradicted() {
            tracing::warn!(why, "the settings in [verified] do not fit this service; check it again");
        }
        let left = delivery.finish(&planner, &ending, &ledger).await?;
        if let Ending::CreditsSpent { .. } = ending {
            self.journal.tell_spent(&self.run.begun.id, Some(self.order.now)).await?;
        }
        if ending == Ending::Complete {
            tell_tiny_files(&self.order, self.commits, self.journal).await?;
        }
        let ending = if ending == Ending::Complete && !left.is_whole { Ending::Incomplete } else { ending };
        self.outcome((ending, Work::Done), (ledger.counts(), attempts_before), (left, newest(&planner)))
    }

    /// What the loop works with.
    fn work(&self, ledger: Ledger, publisher: Publisher, ends: RangeEnds) -> Result<Loop<'_>, ExportError> {
        // What another version wrote is no reason to stop: the rate is learned anew.
        let learned = self.journal.learned(LEARNED_RATE)?.and_then(|text| serde_json::from_str(&text).ok());
        Ok(Loop {
            order: &self.order,
            tools: self.tools,
            ledger,
            publisher,
            cutting: self.cutting(),
            learned: learned.unwrap_or(LearnedRate { limit: self.order.verified_rate, used: None }),
            regions: Regions::new(self.order.give_up_after, self.listed(UNWELL_REGIONS)?),
            clocks: ClockCheck { range: self.run.begun.range, ends },
        })
    }

    fn outcome(
        &self,
        (ending, work): (Ending, Work),
        (counts, attempts_before): (super::Counts, u64),
        (left, newest): (Left, BTreeMap<Region, EpochSeconds>),
    ) -> Result<Outcome, ExportError> {
        let Left { delivered, former, gaps, unproven, elsewhere, unusual, .. } = left;
        let (run, range, kept) = (self.run.begun.id.clone(), self.run.begun.range, self.kept()?);
        Ok(Outcome {
            ending,
            run,
            range,
            work,
            counts,
            attempts_before,
            delivered,
            former,
            kept,
            gaps,
            unproven,
            elsewhere,
            unusual,
            newest,
        })
    }

    /// A finished run of which everything is there. What a killed start left unsaid is said.
    async fn nothing_left(self, planner: Planner, beyond: &[PartRecord]) -> Result<Outcome, ExportError> {
        if let Some(example) = beyond.first() {
            return Err(ExportError::PartsMissing {
                run: self.run.begun.id.clone(),
                missing: beyond.len(),
                example: example.path.clone(),
            });
        }
        let ledger = self.journal.ledger(Limits { max_credits: None, block: 1 })?;
        self.show_ledger(&ledger);
        let delivery = Delivery::new(&self.order, self.publisher()?, self.run.begun.range);
        let left = delivery.confirm(&planner, &ledger).await?;
        let counts = ledger.counts();
        let attempts = counts.attempts;
        let ending = if left.is_whole { Ending::Complete } else { Ending::Incomplete };
        self.outcome((ending, Work::NothingLeft), (counts, attempts), (left, newest(&planner)))
    }

    fn kept(&self) -> Result<Kept, JournalError> {
        let ever = TimeRange::new(EpochSeconds::new(i64::MIN), EpochSeconds::MAX);
        let mut rows = 0;
        for region in &self.order.regions {
            rows += self.journal.count_rows(region, ever)?.get();
        }
        Ok(Kept { pages: self.journal.held_pages(), rows })
    }

    /// Regions of which this output has ever held a row. Their parts may be gone since, so the list is kept.
    async fn known_regions(&self) -> Result<BTreeSet<Region>, ExportError> {
        let before = self.listed(KNOWN_REGIONS)?;
        let held = self.journal.parts()?.into_iter().map(|(part, _)| part).filter(|part| part.rows.get() > 0);
        let known: BTreeSet<Region> = before.iter().cloned().chain(held.map(|part| part.region)).collect();
        if known != before {
            self.journal.learn(KNOWN_REGIONS, &serde_json::to_string(&known)?).await?;
        }
        Ok(known)
    }

    /// Regions that were kept under a name; none where another version wrote something else.
    fn listed(&self, name: &str) -> Result<BTreeSet<Region>, JournalError> {
        Ok(self.journal.learned(name)?.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    /// Parts of the run that are published, or wait for its end.
    fn own_parts(&self) -> Result<Vec<PartRecord>, JournalError> {
        let live = self.journal.parts()?.into_iter();
        let live = live.filter(|(_, state)| matches!(state, PartState::Published | PartState::Held));
        Ok(live.map(|(part, _)| part).filter(|part| part.run == self.run.begun.id).collect())
    }

    /// The plan as the journal's pages and decisions make it; opens the run where nothing is decided yet.
    async fn replayed_plan(&self) -> Result<Planner, ExportError> {
        let begun = &self.run.begun;
        let planner = Planner::reading(&begun.reads, self.order.filters.clone(), begun.range);
        let mut planner = planner.verified(self.order.plan.verified);
        for entry in self.journal.replay()? {
            match entry {
                Replayed::Event { json, .. } => planner.apply_event(&serde_json::from_str(&json)?),
                Replayed::Page { fact, .. } => planner.apply_page(&fact),
            }
        }
        // A part may have been published just before the crash that kept its slice from being recorded.
        for part in self.own_parts()? {
            let is_next = planner.regions().iter().any(|plan| {
                let published_until = plan.past_kept(plan.published_until);
                plan.region == part.region && part.range.start <= published_until && published_until < part.range.end
            });
            if !part.carried && is_next {
                let event = PlanEvent::SlicePublished { region: part.region, until: part.range.end };
                self.journal.commit_events(vec![super::event_json(&event)?], Upkeep::default()).await?;
                planner.apply_event(&event);
            }
        }
        let mut opening = planner.opening();
        if !opening.is_empty() {
            let known = self.known_regions().await?;
            let known = self.order.regions.iter().filter(|region| known.contains(region));
            opening.extend(known.map(|region| PlanEvent::RegionKnown { region: region.clone() }));
        }
        if !opening.is_empty() && self.run.outcome.is_none() {
            let texts = opening.iter().map(super::event_json).collect::<Result<_, _>>()?;
            self.journal.commit_events(texts, Upkeep::default()).await?;
            opening.iter().for_each(|event| planner.apply_event(event));
        }
        if self.run.outcome.is_none() {
            self.ask_contradictions_anew(&mut planner).await?;
        }
        Ok(planner)
    }

    /// What ended a former process as a contradiction is asked anew, so that stored pages never stop a run for ever.
    async fn ask_contradictions_anew(&self, planner: &mut Planner) -> Result<(), ExportError> {
        let plan = &self.order.plan;
        let context = PlanContext {
            now: self.order.now,
            idle_workers: 1,
            window_pages: plan.window_pages,
            anchor_pages: plan.anchor_pages,
            stretch_age: i64::try_from(plan.stretch_age.as_secs()).unwrap_or(i64::MAX),
            consistency: plan.consistency,
            confirm_after: i64::try_from(plan.confirm_after.as_secs()).unwrap_or(i64::MAX),
            backlog: Backlog::Small,
            is_publishing: false,
        };
        for _ in 0..MOST_CONTRADICTED {
            let Some(event) = planner.contradicted(&context) else { return Ok(()) };
            self.journal.commit_events(vec![super::event_json(&event)?], Upkeep::default()).await?;
            planner.apply_event(&event);
        }
        Ok(())
    }

    fn show_ledger(&self, ledger: &Ledger) {
        let counts = ledger.meter();
        let spent = move || {
            let counts = counts();
            Spent {
                attempts: counts.attempts,
                answered: counts.answered_pages,
                throttled: counts.throttled,
                retries: counts.retries,
                possibly_charged: counts.possibly_charged,
            }
        };
        self.tools.progress.measure(self.run.begun.began_at, Box::new(spent));
    }

    fn tell_start(&self, planner: &Planner, attempts: u64) -> Result<(), ExportError> {
        let range = self.run.begun.range;
        let mut regions = Vec::new();
        for region in &self.order.regions {
            let rows = self.own_parts()?.iter().filter(|part| part.region == *region).map(|part| part.rows.get()).sum();
            regions.push(RegionStart { region: region.clone(), rows: RowCount::new(rows) });
        }
        let progress = &self.tools.progress;
        progress.send(Event::RunStarted { range, regions, attempts: Credits::new(attempts) });
        for plan in planner.regions() {
            let (kept, done) = (range.without(&plan.read()), planner.done(plan));
            for window in TimeRange::merged(&[kept, done].concat()) {
                progress.send(Event::WindowFinished { region: plan.region.clone(), window });
            }
        }
        for (region, window, position) in planner.walks() {
            progress.send(Event::WindowResumed { region: region.clone(), window, position });
        }
        Ok(())
    }

    fn layout(&self) -> Layout {
        let began: EpochSeconds = self.run.begun.began_at;
        Layout { partition: self.order.partition, snapshot: (self.order.history == History::Kept).then_some(began) }
    }

    fn publisher(&self) -> Result<Publisher, ExportError> {
        let layout = self.layout();
        Ok(Publisher {
            journal: self.journal.clone(),
            replica: self.replica.cloned(),
            output: Arc::clone(self.output),
            commits: Arc::clone(self.commits),
            stager: Stager::start().map_err(ExportError::Thread)?,
            parts: Parts::new(self.output.staging(), layout, self.order.packaging),
            layout,
            run: self.run.begun.id.clone(),
            began_at: self.run.begun.began_at,
            replaces: match self.order.history {
                History::Replaced => Replaces::WhatItCovers,
                History::Kept => Replaces::SameSnapshot,
            },
        })
    }

    fn cutting(&self) -> Cutting {
        let window_pages = u64::from(self.order.plan.window_pages);
        let workers = self.order.max_in_flight as u64;
        Cutting {
            layout: self.layout(),
            part_rows: self.order.part_rows,
            pressing_pages: (workers * window_pages / 2).max(200),
        }
    }
}

/// The second of the newest row that each region's pages have shown.
fn newest(planner: &Planner) -> BTreeMap<Region, EpochSeconds> {
    planner.regions().iter().filter_map(|plan| Some((plan.region.clone(), plan.newest?))).collect()
}
