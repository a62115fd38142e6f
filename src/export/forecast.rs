//! What an export will cost, before it is begun: the run that would read it is begun, or gone on with, as far as a forecast needs.
//!
//! A forecast is a start of that run which publishes nothing. What it asks is durable like any page, so the `run` that follows goes on
//! from there. A run that only a forecast has begun is given up without a word to readers where something else is asked next.

use std::sync::Arc;

use crate::api::contract::Region;
use crate::fetch::throttle::LearnedRate;
use crate::journal::Journal;
use crate::journal::record::{RangeEnds, RunRecord};
use crate::plan::planner::Planner;
use crate::plan::probing::RegionForecast;
use crate::sink::layout::Slice;
use crate::sink::part::Parts;
use crate::sink::staging::Staging;
use crate::units::{Credits, TimeRange};

use super::commits::Commits;
use super::keeps::Keeps;
use super::next::Next;
use super::request::{self, Found};
use super::session::Session;
use super::state::OpenState;
use super::{Ending, ExportError, ExportRequest, Tools};

/// Under which name the run is kept that nobody has gone on with since a forecast began it.
pub(super) const PLANNED_RUN: &str = "planned_run";
/// Rows below which a sample says nothing of sizes.
const LEAST_SAMPLED: u64 = 20;

/// What an export is going to be.
#[derive(Clone, Debug)]
pub struct Forecast {
    /// The run that goes on with it; none where nothing is left to read, or a finished one would read something again.
    pub run: Option<String>,
    /// The range, as the run has it.
    pub range: TimeRange,
    /// Each region; none where nothing is left to read.
    pub regions: Vec<RegionForecast>,
    /// Windows that are begun, beside the first of each region: each costs about half a page.
    pub windows: u64,
    /// Requests of this forecast.
    pub spent: u64,
    /// Requests of the run before it.
    pub spent_before: u64,
    /// How many requests an answered page took; 1 where none failed.
    pub attempts_a_page: f64,
    /// What is known of the rate.
    pub rate: LearnedRate,
    /// How long an answer took; none where none came.
    pub latency_seconds: Option<f64>,
    /// How large rows are in a part; none where there are too few to tell.
    pub sample: Option<RowSizes>,
    /// How it ended.
    pub ending: Ending,
}

/// How large rows are in a part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowSizes {
    /// Rows that were written to find out.
    pub rows: u64,
    /// Bytes that each further row takes.
    pub bytes_a_row: f64,
    /// Bytes of a part without rows.
    pub bytes_a_part: f64,
}

impl Forecast {
    /// Of a range of which nothing is left to read.
    pub(super) fn nothing(range: TimeRange) -> Self {
        Self {
            run: None,
            range,
            regions: Vec::new(),
            windows: 0,
            spent: 0,
            spent_before: 0,
            attempts_a_page: 1.0,
            rate: LearnedRate::default(),
            latency_seconds: None,
            sample: None,
            ending: Ending::Probed,
        }
    }
}

/// Says what the request's export is going to be. It sends at most as many requests as `request.probing` says; none where nothing is left to
/// read.
///
/// # Errors
/// Like an export; also where an unfinished run asks something else.
pub async fn forecast(request: &ExportRequest, tools: &Tools) -> Result<Forecast, ExportError> {
    if request.range.is_empty() {
        return Err(ExportError::EmptyRange(request.range));
    }
    let state = OpenState::open(&request.state, request.away.as_ref(), request.damaged).await?;
    let result = foretell(request, tools, &state).await;
    let closed = state.close().await;
    let forecast = result?;
    closed?;
    Ok(forecast)
}

async fn foretell(request: &ExportRequest, tools: &Tools, state: &OpenState) -> Result<Forecast, ExportError> {
    let journal = &state.journal;
    let Found { opened, latest, next, .. } = request::find(request, journal).await?;
    let commits = Arc::new(Commits::new(journal, Arc::clone(&opened.output), opened.manifest.clone()));
    let session = |run: RunRecord| Session::new(request, tools, state, (&opened.output, &commits), run);
    let keeps = match (next, latest) {
        (Next::GoOn | Next::LookAgain, Some(run)) => return session(run).forecast(RangeEnds::Absolute).await,
        (Next::Extend, Some(run)) => return session(run).forecast_extended(request.range, request.ends).await,
        (Next::CloseAndBegin(_), Some(run)) => return Err(asks_something_else(request, &run)),
        (Next::Begin(keeps) | Next::CloseAndBegin(keeps), _) => keeps,
        (Next::GoOn | Next::LookAgain | Next::Extend, None) => Keeps::All,
    };
    let reads = request.reads(&opened, &commits, keeps).await;
    if reads.iter().all(|reads| reads.ranges.is_empty()) {
        return Ok(Forecast::nothing(request.range));
    }
    let run = journal.begin_run_anew(request.new_run(reads)).await?;
    journal.learn(PLANNED_RUN, &run.begun.id).await?;
    let id = run.begun.id.clone();
    let result = session(run).forecast(request.ends).await;
    request::void_if_by_a_wrong_clock(journal, &id, &result).await?;
    result
}

fn asks_something_else(request: &ExportRequest, run: &RunRecord) -> ExportError {
    let told = |regions: &[Region], range: TimeRange| {
        let regions: Vec<String> = regions.iter().map(ToString::to_string).collect();
        format!("{} of {range}", regions.join(" "))
    };
    ExportError::AsksSomethingElse {
        run: run.begun.id.clone(),
        was: told(&run.begun.regions(), run.begun.range),
        asked: told(&request.regions, request.range),
    }
}

/// Whether nobody has gone on with a run since a forecast began it.
pub(super) fn is_planned_only(journal: &Journal, run: &RunRecord) -> Result<bool, ExportError> {
    Ok(journal.learned(PLANNED_RUN)?.as_ref() == Some(&run.begun.id))
}

/// Tells of a run that a forecast began and that something else takes the place of.
pub(super) fn tell_of_a_planned_run(journal: &Journal, run: &RunRecord) {
    let credits = Credits::new(journal.held_pages());
    tracing::warn!(
        run = run.begun.id,
        "something else is asked than the forecast was made for, so the pages that it bought are given up: about {credits}"
    );
}

/// Windows that are begun, but for the first of each region.
pub(super) fn windows(planner: &Planner) -> u64 {
    let open = |plan: &crate::plan::region::RegionPlan| plan.windows.len().saturating_sub(1) as u64;
    planner.regions().iter().map(open).sum()
}

/// Requests for each page that came.
pub(super) fn attempts_a_page(attempts: u64, pages: u64) -> f64 {
    if pages == 0 { 1.0 } else { (attempts as f64 / pages as f64).max(1.0) }
}

/// Writes the pages that the journal holds as a part, whole and with every other page, and takes both away again. Blocks.
pub(super) fn measure(
    parts: &Parts,
    slice: &Slice,
    journal: &Journal,
    staging: &Staging,
) -> Result<Option<RowSizes>, ExportError> {
    let write = |step: usize| -> Result<(u64, u64), ExportError> {
        let pages = journal.pages(&slice.region, slice.range)?.step_by(step);
        let Some(part) = parts.stage(slice, pages).map_err(ExportError::Part)? else { return Ok((0, 0)) };
        let file = staging.file(&part.path);
        // What cannot be taken away now is discarded by the next start.
        let _left = std::fs::remove_file(&file);
        Ok((part.rows.get(), part.bytes.get()))
    };
    let ((all, all_bytes), (half, half_bytes)) = (write(1)?, write(2)?);
    if half < LEAST_SAMPLED || all <= half || all_bytes <= half_bytes {
        return Ok(None);
    }
    let bytes_a_row = (all_bytes - half_bytes) as f64 / (all - half) as f64;
    let bytes_a_part = (all_bytes as f64 - bytes_a_row * all as f64).max(0.0);
    Ok(Some(RowSizes { rows: all, bytes_a_row, bytes_a_part }))
}
