//! One start of one run: the plan as the journal has it, what is missing of it, the loop, and what is left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::Instant;

use crate::api::contract::Region;
use crate::fetch::throttle::LearnedRate;
use crate::journal::record::{Change, PartRecord, PartState, RangeEnds, RunRecord};
use crate::journal::{Journal, JournalError, Ledger, Limits};
use crate::plan::event::PlanEvent;
use crate::plan::planner::Planner;
use crate::plan::region::RegionPlan;
use crate::progress::{Event, RegionStart, Spent, Timeline};
use crate::replica::Replica;
use crate::sink::layout::Layout;
use crate::sink::part::Parts;
use crate::sink::publish::Output;
use crate::units::{Credits, EpochSeconds, RowCount, TimeRange};

use super::ahead::Ahead;
use super::clock::ClockCheck;
use super::commits::Commits;
use super::cutting::Cutting;
use super::delivery::{Delivery, Left};
use super::driver::{LoopEnd, Parts as Loop};
use super::learned::{LEARNED_RATE, PLANNED_RUN, UNWELL_REGIONS};
use super::machine::upkeep;
use super::publisher::{Publisher, Replaces};
use super::regions::Regions;
use super::repair::{HadEnded, Repair};
use super::sizes::tell_tiny_files;
use super::stager::Stager;
use super::state::OpenState;
use super::{Ending, ExportError, ExportOutcome, ExportRequest, History, Kept, Tools, Work};

mod forecasting;
mod replay;

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
    request: ExportRequest,
    tools: &'a Tools,
    journal: &'a Journal,
    replica: Option<&'a Arc<Replica>>,
    output: &'a Arc<Output>,
    commits: &'a Arc<Commits>,
    run: RunRecord,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        request: &ExportRequest,
        tools: &'a Tools,
        state: &'a OpenState,
        (output, commits): (&'a Arc<Output>, &'a Arc<Commits>),
        run: RunRecord,
    ) -> Self {
        let request = ExportRequest { regions: run.begun.regions(), ..request.clone() };
        Self { request, tools, journal: &state.journal, replica: state.replica.as_ref(), output, commits, run }
    }

    /// Goes on with an unfinished run. One that had ended is gone on with where something of it is missing. `ends` says what this
    /// start took the run's range from.
    pub(super) async fn run(self, ends: RangeEnds) -> Result<ExportOutcome, ExportError> {
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

    /// Goes on with an unfinished run up to the end of a later range.
    pub(super) async fn extend(mut self, asked: TimeRange, ends: RangeEnds) -> Result<ExportOutcome, ExportError> {
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
    pub(super) async fn close(self) -> Result<ExportOutcome, ExportError> {
        tracing::warn!(
            run = self.run.begun.id,
            "the unfinished run is closed, since something else is asked now, or what it keeps of former runs is gone: what was paid for \
             is published, and what it has not read is not read for it"
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
        let (journal, regions) = (self.journal.clone(), self.request.regions.clone());
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

    async fn go_on(self, planner: Planner, ends: RangeEnds) -> Result<ExportOutcome, ExportError> {
        let began = Instant::now();
        if self.journal.learned(PLANNED_RUN)?.as_ref() == Some(&self.run.begun.id) {
            self.journal.learn(PLANNED_RUN, "").await?;
        }
        let ledger = self.journal.ledger(Limits {
            max_credits: self.request.budget.max_credits,
            block: u32::try_from(self.request.max_in_flight).unwrap_or(u32::MAX),
        })?;
        let attempts_before = ledger.counts().attempts;
        self.show_ledger(&ledger);
        self.tell_start(&planner, attempts_before)?;
        let publisher = self.publisher()?;
        self.owe_what_came_late(&planner);
        if self.run.spent_at.is_some() {
            self.journal.tell_spent(&self.run.begun.id, None).await?;
        }
        let mut delivery = Delivery::new(&self.request, publisher.clone(), self.run.begun.range);
        delivery.look_around().await?;
        self.output.clear_success().await?;
        delivery.write_running(&planner).await?;
        let timed = self.journal.learned(TIMED)?.and_then(|text| serde_json::from_str::<Timed>(&text).ok());
        let timed = timed.filter(|timed| timed.run == self.run.begun.id);
        self.tools.progress.go_on_from(timed.map(|timed| timed.timeline).unwrap_or_default());
        let run = self.work(ledger.clone(), publisher, ends)?;
        let LoopEnd { mut planner, ending, .. } = run.run(planner, began).await?;
        let timed = Timed { run: self.run.begun.id.clone(), timeline: self.tools.progress.timeline() };
        self.journal.learn(TIMED, &serde_json::to_string(&timed)?).await?;
        if let Some(why) = planner.profile().contradicted() {
            tracing::warn!(why, "the settings in [verified] do not fit this service; check it again");
        }
        let left = delivery.finish(&mut planner, &ending, &ledger).await?;
        if let Ending::CreditsSpent { .. } = ending {
            self.journal.tell_spent(&self.run.begun.id, Some(self.request.now)).await?;
        }
        if ending == Ending::Complete {
            tell_tiny_files(&self.request, self.commits, self.journal).await?;
        }
        let ending = if ending == Ending::Complete && !left.is_whole { Ending::Incomplete } else { ending };
        self.outcome((ending, Work::Done), (ledger.counts(), attempts_before), (left, newest(&planner)))
    }

    /// Which of the pages that a former process has left came after the rows of their time were taken nobody knows.
    fn owe_what_came_late(&self, planner: &Planner) {
        for plan in planner.regions() {
            self.journal.take_up_to(&plan.region, plan.published_until);
            self.journal.owe(&plan.region, TimeRange::new(EpochSeconds::new(i64::MIN), plan.published_until));
        }
    }

    /// What the loop works with.
    fn work(&self, ledger: Ledger, publisher: Publisher, ends: RangeEnds) -> Result<Loop<'_>, ExportError> {
        // What another version wrote is no reason to stop: the rate is learned anew.
        let learned = self.journal.learned(LEARNED_RATE)?.and_then(|text| serde_json::from_str(&text).ok());
        Ok(Loop {
            request: &self.request,
            tools: self.tools,
            ledger,
            publisher,
            cutting: self.cutting(),
            learned: learned.unwrap_or(LearnedRate { limit: self.request.verified_rate, used: None }),
            regions: Regions::new(self.request.give_up_after, self.listed(UNWELL_REGIONS)?),
            clocks: ClockCheck { range: self.run.begun.range, ends },
        })
    }

    fn outcome(
        &self,
        (ending, work): (Ending, Work),
        (counts, attempts_before): (super::Counts, u64),
        (left, newest): (Left, BTreeMap<Region, EpochSeconds>),
    ) -> Result<ExportOutcome, ExportError> {
        let Left { delivered, former, gaps, unproven, elsewhere, unusual, .. } = left;
        let (run, range, kept) = (self.run.begun.id.clone(), self.run.begun.range, self.kept()?);
        Ok(ExportOutcome {
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
    async fn nothing_left(self, planner: Planner, beyond: &[PartRecord]) -> Result<ExportOutcome, ExportError> {
        if let Some(example) = beyond.first() {
            return Err(ExportError::PartsMissing {
                run: self.run.begun.id.clone(),
                missing: beyond.len(),
                example: example.path.clone(),
            });
        }
        let ledger = self.journal.ledger(Limits { max_credits: None, block: 1 })?;
        self.show_ledger(&ledger);
        let delivery = Delivery::new(&self.request, self.publisher()?, self.run.begun.range);
        let left = delivery.confirm(&planner, &ledger).await?;
        let counts = ledger.counts();
        let attempts = counts.attempts;
        let ending = if left.is_whole { Ending::Complete } else { Ending::Incomplete };
        self.outcome((ending, Work::NothingLeft), (counts, attempts), (left, newest(&planner)))
    }

    fn kept(&self) -> Result<Kept, JournalError> {
        let mut rows = 0;
        for region in &self.request.regions {
            rows += self.journal.count_rows(region, TimeRange::EVER)?.get();
        }
        Ok(Kept { pages: self.journal.held_pages(), rows })
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
        for region in &self.request.regions {
            let rows = self.own_parts()?.iter().filter(|part| part.region == *region).map(|part| part.rows.get()).sum();
            let reads = planner.region(region).map(RegionPlan::read).unwrap_or_default();
            let range_seconds = reads.iter().map(|range| range.seconds()).sum();
            regions.push(RegionStart { region: region.clone(), rows: RowCount::new(rows), range_seconds });
        }
        let progress = &self.tools.progress;
        progress.send(Event::RunStarted { range, regions, attempts: Credits::new(attempts) });
        for plan in planner.regions() {
            let kept = range.without(&plan.read());
            for window in planner.done(plan).iter().flat_map(|done| done.without(&kept)) {
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
        Layout { partition: self.request.partition, snapshot: (self.request.history == History::Kept).then_some(began) }
    }

    fn publisher(&self) -> Result<Publisher, ExportError> {
        let layout = self.layout();
        Ok(Publisher {
            journal: self.journal.clone(),
            replica: self.replica.cloned(),
            output: Arc::clone(self.output),
            commits: Arc::clone(self.commits),
            stager: Stager::start().map_err(ExportError::Thread)?,
            ahead: Ahead::default(),
            parts: Parts::new(self.output.staging(), layout, self.request.packaging),
            layout,
            run: self.run.begun.id.clone(),
            began_at: self.run.begun.began_at,
            replaces: match self.request.history {
                History::Replaced => Replaces::WhatItCovers,
                History::Kept => Replaces::SameSnapshot,
            },
        })
    }

    fn cutting(&self) -> Cutting {
        let window_pages = u64::from(self.request.tuning.window_pages);
        let workers = self.request.max_in_flight as u64;
        Cutting {
            layout: self.layout(),
            part_rows: self.request.part_rows,
            pressing_pages: (workers * window_pages / 2).max(200),
        }
    }
}

/// The second of the newest row that each region's pages have shown.
fn newest(planner: &Planner) -> BTreeMap<Region, EpochSeconds> {
    planner.regions().iter().filter_map(|plan| Some((plan.region.clone(), plan.extent.newest?))).collect()
}
