//! Opening a state: whose it is, which run is meant, and what the last process left half-done.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::api::contract::Region;
use crate::failpoint::{self, Step};
use crate::journal::record::{Change, NewRun, PartRecord, PartState, Replayed, RunOutcome, RunRecord, StoredQuestion};
use crate::journal::{Journal, JournalError, Limits};
use crate::plan::event::PlanEvent;
use crate::plan::planner::{Backlog, PlanContext, Planner};
use crate::progress::{Event, RegionStart};
use crate::sink::layout::Layout;
use crate::sink::part::Parts;
use crate::sink::publish::{Output, OutputError};
use crate::units::{Credits, EpochSeconds, RowCount, TimeRange};

use super::clock::{ClockCheck, Skew};
use super::cutting::Cutting;
use super::delivery::Delivery;
use super::driver::Parts as Loop;
use super::publisher::{Publisher, Replaces};
use super::regions::Regions;
use super::repair::{Ended, Repair, refuse_an_output_that_lost_everything};
use super::stager::Stager;
use super::{Ending, Ends, ExportError, History, Kept, Order, Outcome, Start, Tools, Work};

/// Windows that are begun anew at a start because what they showed contradicts the contract.
const MOST_CONTRADICTED: usize = 1_000;
/// Where the learned rate is kept.
pub(super) const LEARNED_RATE: &str = "rate";
/// Where the name of a run is kept whose range was taken from a wrong clock: nothing of it is gone on with.
const VOID_RUN: &str = "run_by_a_wrong_clock";
/// Where the regions are kept that failed to the end of their run: a list of codes.
pub(super) const UNWELL_REGIONS: &str = "unwell_regions";
/// Where the regions are kept of which this output has ever held a row: a list of codes.
const KNOWN_REGIONS: &str = "known_regions";

/// Carries an order out: finishes the unfinished run first, then begins a new one where the range asks for it.
///
/// # Errors
/// Where it cannot go on at all; how it ended by itself is in the outcome. Whatever happens, what was paid for is kept.
pub async fn export(order: &Order, tools: &Tools) -> Result<Outcome, ExportError> {
    if order.range.is_empty() {
        return Err(ExportError::EmptyRange(order.range));
    }
    let journal = Journal::open(&order.state)?;
    let result = runs(order, tools, &journal).await;
    // What the run has to say matters more than a journal that could not be put away, unless there is nothing else to say.
    let closed = journal.close().await;
    let outcome = result?;
    closed?;
    Ok(outcome)
}

async fn runs(order: &Order, tools: &Tools, journal: &Journal) -> Result<Outcome, ExportError> {
    let json = order.question.to_string();
    let fingerprint = fingerprint(&json);
    journal.remember_question(StoredQuestion { fingerprint: fingerprint.clone(), json }).await?;
    let known: Vec<String> = journal.parts()?.into_iter().map(|(part, _)| part.path).collect();
    let (output, manifest) = Output::open(&order.output, &fingerprint, &known).await?;
    let output = Arc::new(output);
    failpoint::pass(Step::OutputOpened);
    let latest = journal.latest_run()?;
    if let Some(run) = &latest {
        refuse_another_output(order, run)?;
        if order.start == Start::GoOn && manifest.is_none() {
            refuse_an_output_that_lost_everything(journal, &output, run).await?;
        }
    }
    recover_parts(journal, &output).await?;
    let listed = manifest.into_iter().flat_map(|manifest| manifest.parts);
    take_over(journal, &output, listed.filter(|part| !known.contains(&part.path))).await?;
    let void_run = journal.learned(VOID_RUN)?;
    let goes_on = |run: &RunRecord| order.start == Start::GoOn && void_run.as_ref() != Some(&run.begun.id);
    if let Some(run) = latest.as_ref().filter(|run| run.outcome.is_none() && goes_on(run)) {
        let outcome = Session::new(order, tools, journal, &output, run).run(Ends::Absolute).await?;
        let goes_on = matches!(outcome.ending, Ending::Complete | Ending::Incomplete);
        if !goes_on || !order.range_differs(run) {
            return Ok(outcome);
        }
    } else if let Some(run) = latest.filter(|run| run.outcome.is_some() && !order.range_differs(run))
        && order.start == Start::GoOn
    {
        return Session::new(order, tools, journal, &output, &run).run(Ends::Absolute).await;
    }
    if let Some(Skew::Harmful(wrong)) = tools.client.clocks().map(|clocks| order.clock_check().compare(clocks)) {
        return Err(wrong.into());
    }
    // Whatever is still unfinished here was not to be gone on with.
    let run = journal.begin_run_anew(order.new_run()).await?;
    let result = Session::new(order, tools, journal, &output, &run).run(order.ends).await;
    if let Err(ExportError::Clock(_)) = result {
        journal.learn(VOID_RUN, &run.begun.id).await?;
    }
    result
}

impl Order {
    fn clock_check(&self) -> ClockCheck {
        ClockCheck { range: self.range, ends: self.ends }
    }

    fn range_differs(&self, run: &RunRecord) -> bool {
        self.range != run.begun.range
    }

    fn new_run(&self) -> NewRun {
        NewRun {
            id: format!("{:x}{:04x}", self.now.get(), rand::random::<u16>()),
            range: self.range,
            began_at: self.now,
            output: place(&self.output),
            partition: self.partition_text(),
        }
    }

    fn partition_text(&self) -> String {
        let history = if self.history == History::Kept { ", with snapshots" } else { "" };
        format!("{}{history}", self.partition)
    }
}

/// An output folder's one name, however it was written. One that cannot be resolved is itself.
fn place(folder: &Path) -> String {
    crate::folder::resolve(folder).unwrap_or_else(|_| folder.to_owned()).display().to_string()
}

/// A state's parts lie in one output; and within a run, or for a range that is done, all parts are cut alike.
fn refuse_another_output(order: &Order, run: &RunRecord) -> Result<(), ExportError> {
    let goes_on = order.start == Start::GoOn && (run.outcome.is_none() || !order.range_differs(run));
    let is_elsewhere = place(Path::new(&run.begun.output)) != place(&order.output);
    let is_cut_otherwise = run.begun.partition != order.partition_text();
    if !(is_elsewhere || goes_on && is_cut_otherwise) {
        return Ok(());
    }
    let was = format!("{} by {}", run.begun.output, run.begun.partition);
    let now = format!("{} by {}", place(&order.output), order.partition_text());
    Err(ExportError::OtherOutput { run: run.begun.id.clone(), was, now })
}

fn fingerprint(json: &str) -> String {
    Sha256::digest(json.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Brings every part that was prepared to its end, or forgets it: its pages are still there, so it is written anew.
async fn recover_parts(journal: &Journal, output: &Output) -> Result<(), ExportError> {
    let mut superseded = Vec::new();
    for (part, state) in journal.parts()? {
        match state {
            PartState::Prepared => match output.reveal(&part).await {
                Ok(_) => {
                    failpoint::pass(Step::RecoveryRevealed);
                    journal.publish_part(&part.path).await?;
                    failpoint::pass(Step::RecoveryPublished);
                }
                Err(OutputError::Lost { .. }) => {
                    output.set_aside(&part.path).await?;
                    journal.forget_part(&part.path).await?;
                    failpoint::pass(Step::RecoveryForgotten);
                }
                Err(error) => return Err(error.into()),
            },
            PartState::Superseded => superseded.push(part.path),
            PartState::Published => {}
        }
    }
    output.remove(&superseded).await?;
    output.discard_staging()?;
    failpoint::pass(Step::RecoveryDiscarded);
    Ok(())
}

/// Parts that the output's own manifest lists and this state does not know: the state was lost, or is a new one. They are
/// this question's, so the state takes them over, and later runs replace what they cover.
async fn take_over(
    journal: &Journal,
    output: &Output,
    parts: impl Iterator<Item = PartRecord>,
) -> Result<(), ExportError> {
    for part in parts {
        if output.holds(&part).await? {
            let path = part.path.clone();
            journal.prepare_part(part).await?;
            failpoint::pass(Step::TakeoverPrepared);
            journal.publish_part(&path).await?;
            failpoint::pass(Step::TakeoverPublished);
        }
    }
    Ok(())
}

fn published_parts(journal: &Journal, run: &RunRecord) -> Result<Vec<PartRecord>, JournalError> {
    let live = journal.parts()?.into_iter().filter(|(_, state)| *state == PartState::Published);
    Ok(live.map(|(part, _)| part).filter(|part| part.run == run.begun.id).collect())
}

/// One start of one run.
struct Session<'a> {
    order: &'a Order,
    tools: &'a Tools,
    journal: &'a Journal,
    output: &'a Arc<Output>,
    run: &'a RunRecord,
}

impl<'a> Session<'a> {
    fn new(
        order: &'a Order,
        tools: &'a Tools,
        journal: &'a Journal,
        output: &'a Arc<Output>,
        run: &'a RunRecord,
    ) -> Self {
        Self { order, tools, journal, output, run }
    }

    /// Goes on with an unfinished run. One that had ended is gone on with where something of it is missing. `ends` says what this
    /// start took the run's range from.
    async fn run(self, ends: Ends) -> Result<Outcome, ExportError> {
        let mut planner = self.replayed_plan().await?;
        let ended = if self.run.outcome.is_some() { Ended::Yes } else { Ended::No };
        let published = self.published_parts()?;
        let range = self.run.begun.range;
        let repair = Repair::find(self.output, &planner, (&published, range), ended).await?;
        if ended == Ended::Yes && repair.is_empty() {
            return self.nothing_left(planner, &repair.beyond).await;
        }
        self.check_pages().await?;
        if !repair.is_empty() {
            self.repair(&mut planner, &repair).await?;
        }
        self.go_on(planner, ends).await
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

    async fn go_on(self, planner: Planner, ends: Ends) -> Result<Outcome, ExportError> {
        let began = Instant::now();
        let ledger = self.journal.ledger(Limits {
            max_credits: self.order.budget.max_credits,
            block: u32::try_from(self.order.max_in_flight).unwrap_or(u32::MAX),
        })?;
        let attempts_before = ledger.counts().attempts;
        self.tell_start(&planner, attempts_before)?;
        // What another version wrote is no reason to stop: the rate is learned anew.
        let learned = self.journal.learned(LEARNED_RATE)?.and_then(|text| serde_json::from_str(&text).ok());
        let publisher = self.publisher()?;
        let mut delivery = Delivery::new(self.order, publisher.clone(), fingerprint(&self.order.question.to_string()));
        delivery.look_around().await?;
        self.output.clear_success().await?;
        delivery.write_running(&planner).await?;
        let regions = Regions::new(self.order.give_up_after, self.listed(UNWELL_REGIONS)?);
        let run = Loop {
            order: self.order,
            tools: self.tools,
            ledger: ledger.clone(),
            publisher,
            cutting: self.cutting(),
            learned: learned.unwrap_or_default(),
            regions,
            clocks: ClockCheck { range: self.run.begun.range, ends },
        };
        let (planner, ending) = run.run(planner, began).await?;
        let delivered = delivery.finish(&planner, &ending, &ledger).await?;
        let ending = if ending == Ending::Complete && (delivered.rejected > 0 || !is_whole(&planner)) {
            Ending::Incomplete
        } else {
            ending
        };
        Ok(Outcome {
            ending,
            run: self.run.begun.id.clone(),
            range: self.run.begun.range,
            work: Work::Done,
            counts: ledger.counts(),
            attempts_before,
            delivered,
            kept: self.kept()?,
            gaps: planner.lacking(),
            unproven: planner.unproven().to_vec(),
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
        let delivery = Delivery::new(self.order, self.publisher()?, fingerprint(&self.order.question.to_string()));
        let counts = ledger.counts();
        Ok(Outcome {
            ending: if self.run.outcome == Some(RunOutcome::Complete) { Ending::Complete } else { Ending::Incomplete },
            run: self.run.begun.id.clone(),
            range: self.run.begun.range,
            work: Work::NothingLeft,
            counts,
            attempts_before: counts.attempts,
            delivered: delivery.confirm(&planner, &ledger).await?,
            kept: self.kept()?,
            gaps: planner.lacking(),
            unproven: planner.unproven().to_vec(),
        })
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

    fn published_parts(&self) -> Result<Vec<PartRecord>, JournalError> {
        published_parts(self.journal, self.run)
    }

    /// The plan as the journal's pages and decisions make it; opens the run where nothing is decided yet.
    async fn replayed_plan(&self) -> Result<Planner, ExportError> {
        let mut planner = Planner::new(&self.order.regions, self.order.filters.clone(), self.run.begun.range);
        for entry in self.journal.replay()? {
            match entry {
                Replayed::Event { json, .. } => planner.apply_event(&serde_json::from_str(&json)?),
                Replayed::Page { fact, .. } => planner.apply_page(&fact),
            }
        }
        // A part may have been published just before the crash that kept its slice from being recorded.
        for part in self.published_parts()? {
            let is_of_walk = self.run.begun.range.covers(part.range);
            let is_next = planner.regions().iter().any(|plan| {
                plan.region == part.region
                    && plan.published_until < part.range.end
                    && !plan.published_until.lt(&part.range.start)
            });
            if is_of_walk && is_next {
                let event = PlanEvent::SlicePublished { region: part.region, until: part.range.end };
                self.journal.commit_events(vec![super::event_json(&event)?], Vec::new()).await?;
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
            self.journal.commit_events(texts, Vec::new()).await?;
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
            backlog: Backlog::Small,
        };
        for _ in 0..MOST_CONTRADICTED {
            let Some(event) = planner.contradicted(&context) else { return Ok(()) };
            self.journal.commit_events(vec![super::event_json(&event)?], Vec::new()).await?;
            planner.apply_event(&event);
        }
        Ok(())
    }

    fn tell_start(&self, planner: &Planner, attempts: u64) -> Result<(), ExportError> {
        let range = self.run.begun.range;
        let mut regions = Vec::new();
        for region in &self.order.regions {
            let rows =
                self.published_parts()?.iter().filter(|part| part.region == *region).map(|part| part.rows.get()).sum();
            regions.push(RegionStart { region: region.clone(), rows: RowCount::new(rows) });
        }
        let progress = &self.tools.progress;
        progress.send(Event::RunStarted { range, regions, attempts: Credits::new(attempts) });
        for plan in planner.regions() {
            for window in planner.done(plan) {
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
            output: Arc::clone(self.output),
            stager: Stager::start().map_err(ExportError::Thread)?,
            parts: Parts::new(self.output.staging(), layout, self.order.packaging),
            layout,
            run: self.run.begun.id.clone(),
            run_range: self.run.begun.range,
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

pub(super) fn is_whole(planner: &Planner) -> bool {
    planner.lacking().is_empty() && planner.unproven().is_empty()
}
