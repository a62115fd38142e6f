//! Carrying an export request out: which run a start works on, and what is read by one that begins.

use std::sync::Arc;

use crate::api::contract::Region;
use crate::journal::Journal;
use crate::journal::record::{NewRun, PartRecord, RangeEnds, RunRecord};
use crate::plan::reads::Reads;
use crate::sink::manifest::{Manifest, Status};
use crate::sink::shard;
use crate::units::TimeRange;

use super::clock::{ClockCheck, Skew};
use super::commits::Commits;
use super::keeps::Keeps;
use super::learned::{VOID_RUN, is_planned_only, tell_of_a_planned_run};
use super::next::{Ask, Holds, Next, goes_on_forward, next};
use super::opening::{self, Opened};
use super::session::Session;
use super::state::OpenState;
use super::{
    DamagedState, Ending, ExportError, ExportOutcome, ExportRequest, History, Start, Tools, Work, shards, state_aside,
};

mod forecast;

pub use forecast::forecast;

/// Carries a request out: goes on with the run that the state holds, or closes it, or begins one.
///
/// # Errors
/// Where it cannot go on at all; how it ended by itself is in the outcome. Whatever happens, what was paid for is kept.
pub async fn export(request: &ExportRequest, tools: &Tools) -> Result<ExportOutcome, ExportError> {
    if request.range.is_empty() {
        return Err(ExportError::EmptyRange(request.range));
    }
    match attempt(request, tools).await {
        Err(ExportError::Journal(error))
            if request.away.is_none()
                && request.damaged == DamagedState::MovedAside
                && error.is_about_a_bad_state() =>
        {
            state_aside::move_aside(request, &error).await?;
            attempt(request, tools).await
        }
        result => result,
    }
}

async fn attempt(request: &ExportRequest, tools: &Tools) -> Result<ExportOutcome, ExportError> {
    if let Some(shard) = &request.shard
        && let Some(outcome) = shards::merged_already(request, shard).await?
    {
        return Ok(outcome);
    }
    let state = OpenState::open(&request.state, request.away.as_ref(), request.damaged).await?;
    let result = runs(request, tools, &state).await;
    // What the run has to say matters more than a journal that could not be put away, unless there is nothing else to say.
    let closed = state.close().await;
    let outcome = result?;
    closed?;
    Ok(outcome)
}

async fn runs(request: &ExportRequest, tools: &Tools, state: &OpenState) -> Result<ExportOutcome, ExportError> {
    let journal = &state.journal;
    let Found { opened, latest, next } = find(request, journal).await?;
    let commits = Arc::new(Commits::new(journal, Arc::clone(&opened.output), opened.manifest.clone()));
    let session = |run: RunRecord| Session::new(request, tools, state, (&opened.output, &commits), run);
    match (next, latest) {
        // What a shard has read of another question is in no other shard's account.
        (Next::Extend | Next::CloseAndBegin(_), Some(run)) if request.shard.is_some() => {
            Err(ExportError::OtherRun { state: request.state.display().to_string(), run: run.begun.id })
        }
        (Next::GoOn | Next::LookAgain, Some(run)) => session(run).run(RangeEnds::Absolute).await,
        (Next::Extend, Some(run)) => session(run).extend(request.range, request.ends).await,
        (Next::CloseAndBegin(keeps), Some(run)) => {
            let closed = session(run).close().await?;
            if !matches!(closed.ending, Ending::Complete | Ending::Incomplete) {
                return Ok(closed);
            }
            begin(request, tools, state, &opened, (&commits, keeps)).await
        }
        (Next::Begin(keeps), _) => begin(request, tools, state, &opened, (&commits, keeps)).await,
        // Without a run there is none to go on with.
        (Next::GoOn | Next::LookAgain | Next::Extend | Next::CloseAndBegin(_), None) => {
            begin(request, tools, state, &opened, (&commits, Keeps::All)).await
        }
    }
}

/// What a start finds.
pub(super) struct Found {
    pub(super) opened: Opened,
    /// The state's latest run, unless nothing of it may be gone on with.
    pub(super) latest: Option<RunRecord>,
    /// What to do.
    pub(super) next: Next,
}

/// Opens the output, and says what is to be done.
pub(super) async fn find(request: &ExportRequest, journal: &Journal) -> Result<Found, ExportError> {
    let opened = opening::open(&request.wanted(), journal).await?;
    let latest = journal.latest_run()?;
    let void_run = journal.learned(VOID_RUN)?;
    let is_void = |run: &RunRecord| opened.is_ahead_of_state || void_run.as_ref() == Some(&run.begun.id);
    let latest = latest.filter(|run| !is_void(run));
    let holds = request.holds(&opened, latest.as_ref());
    request.tell_of_a_lost_state(&opened, latest.as_ref());
    let next = match (next(&request.ask(), latest.as_ref(), holds), &latest) {
        (Next::CloseAndBegin(keeps), Some(run)) if is_planned_only(journal, run)? => {
            tell_of_a_planned_run(journal, run);
            Next::Begin(keeps)
        }
        (next, _) => next,
    };
    Ok(Found { opened, latest, next })
}

/// Nothing of a run is gone on with whose range a wrong clock decided.
pub(super) async fn void_if_by_a_wrong_clock<T>(
    journal: &Journal,
    run: &str,
    result: &Result<T, ExportError>,
) -> Result<(), ExportError> {
    if let Err(ExportError::Clock(_)) = result {
        journal.learn(VOID_RUN, run).await?;
    }
    Ok(())
}

/// Begins a run. Whatever is still unfinished was not to be gone on with.
async fn begin(
    request: &ExportRequest,
    tools: &Tools,
    state: &OpenState,
    opened: &Opened,
    (commits, keeps): (&Arc<Commits>, Keeps),
) -> Result<ExportOutcome, ExportError> {
    if let Some(Skew::Harmful(wrong)) = tools.client.clocks().map(|clocks| request.clock_check().compare(clocks)) {
        return Err(wrong.into());
    }
    let journal = &state.journal;
    if opened.is_restored {
        opening::give_missing_up(journal, &opened.output, &opened.lost).await?;
    }
    let reads = request.reads(opened, commits, keeps).await;
    let reads_nothing = reads.iter().all(|reads| reads.ranges.is_empty());
    let run = journal.begin_run_anew(request.new_run(reads)).await?;
    let id = run.begun.id.clone();
    opening::take_held_of_others_back(journal, &opened.output, &id).await?;
    let session = Session::new(request, tools, state, (&opened.output, commits), run);
    let result = session.run(request.ends).await;
    void_if_by_a_wrong_clock(journal, &id, &result).await?;
    let work = if reads_nothing { Work::NothingLeft } else { Work::Done };
    result.map(|outcome| ExportOutcome { work, ..outcome })
}

impl ExportRequest {
    fn clock_check(&self) -> ClockCheck {
        ClockCheck { range: self.range, ends: self.ends }
    }

    fn ask(&self) -> Ask<'_> {
        let Self { regions, range, ends, start, reread, history, now, .. } = self;
        Ask { regions, range: *range, ends: *ends, start: *start, reread: *reread, history: *history, now: *now }
    }

    fn holds(&self, opened: &Opened, latest: Option<&RunRecord>) -> Holds {
        let Some(run) = latest else { return self.holds_by_its_manifest(&opened.manifest) };
        let is_asked = |part: &&PartRecord| self.regions.contains(&part.region) && part.range.overlaps(self.range);
        let is_read_again = |part: &&PartRecord| part.run == run.begun.id && !part.carried;
        let (own, others): (Vec<_>, Vec<_>) = opened.lost.iter().filter(is_asked).partition(is_read_again);
        let of = |region: &Region| -> Vec<TimeRange> {
            own.iter().filter(|part| part.region == *region).map(|part| part.range).collect()
        };
        // A shard does not make room for another run: what is gone is read once it has ended.
        if run.outcome.is_none() && self.shard.is_none() && others.iter().any(|part| self.keeps(run, part)) {
            return Holds::LessThanItKeeps;
        }
        let lacking = self.lacking(&opened.manifest.account, self.range);
        let is_left = lacking.unread.iter().any(|(region, range)| !range.without(&of(region)).is_empty());
        if !others.is_empty() || is_left {
            Holds::LessThanItSays
        } else if own.is_empty() && lacking.gaps.is_empty() && lacking.unread.is_empty() {
            Holds::NoGap
        } else {
            Holds::WhatWasLeft
        }
    }

    /// Whether a run does not read all that a part held of what is asked here.
    fn keeps(&self, run: &RunRecord, part: &PartRecord) -> bool {
        let reads = run.begun.reads.iter().filter(|reads| reads.region == part.region);
        let reads: Vec<TimeRange> = reads.flat_map(|reads| reads.ranges.iter().copied()).collect();
        let kept = self.range.intersection(part.range).without(&reads);
        // What is older than what is retained may be gone.
        kept.iter().any(|kept| !kept.is_empty() && self.settled_before().is_none_or(|settled| kept.end > settled))
    }

    /// What of the request is there, where the state knows of no run and the output's manifest alone tells of its last one.
    fn holds_by_its_manifest(&self, manifest: &Manifest) -> Holds {
        let (mut told, mut asked) = (manifest.regions.clone(), self.regions.clone());
        told.sort();
        asked.sort();
        let is_its_day = manifest.began_at.day_start() == self.now.day_start();
        let goes_on = goes_on_forward(manifest.range, self.range) && (self.history == History::Replaced || is_its_day);
        match manifest.status {
            _ if told != asked => Holds::WhatWasLeft,
            Status::Complete if manifest.range == self.range && manifest.is_whole() => Holds::AllByItsManifest,
            Status::Running if goes_on => Holds::SomeByItsManifest,
            Status::Incomplete | Status::Complete if goes_on && !manifest.lacking().unread.is_empty() => {
                Holds::SomeByItsManifest
            }
            _ => Holds::WhatWasLeft,
        }
    }

    /// What a run reads, once the output stands as it does.
    pub(super) async fn reads(&self, opened: &Opened, commits: &Commits, keeps: Keeps) -> Vec<Reads> {
        let settled = self.settled_before();
        let reads = |manifest: &Manifest, region: &Region| {
            let kept = keeps.of(region, (manifest, &opened.lost_of(region)), settled);
            match &self.shard {
                None => Reads::of(region.clone(), self.range, &kept),
                Some(shard) => shard::reads(&shard.tiles, region, self.range, &kept),
            }
        };
        commits.read(|manifest| self.regions.iter().map(|region| reads(manifest, region)).collect()).await
    }

    fn tell_of_a_lost_state(&self, opened: &Opened, latest: Option<&RunRecord>) {
        let is_used = opened.manifest.account.coverage.regions().next().is_some();
        if is_used && latest.is_none() && self.start == Start::GoOn {
            let state = self.state.display();
            tracing::warn!(
                "the state {state} knows of no run of this output, so it was lost or is a new one; what the output's manifest says was \
                 read is gone on from, and is bought again only where a run reads everything again anyway"
            );
        }
    }

    pub(super) fn new_run(&self, reads: Vec<Reads>) -> NewRun {
        let ending = self.shard.as_ref().map(|shard| shard.name.run_ending()).unwrap_or_default();
        NewRun {
            id: format!("{:x}{:04x}{ending}", self.now.get(), rand::random::<u16>()),
            range: self.range,
            reads,
            // A shard's days are those of all shards, however late it goes on.
            ends: if self.shard.is_some() { RangeEnds::Absolute } else { self.ends },
            began_at: self.now,
            output: self.output.to_string(),
            partition: self.identity.layout_text(),
        }
    }
}
