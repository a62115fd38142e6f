//! A start that ends with a forecast: the run that would read the range is begun, or gone on with, as far as a forecast needs.

use std::sync::Arc;

use super::{Found, find, void_if_by_a_wrong_clock};
use crate::api::contract::Region;
use crate::export::commits::Commits;
use crate::export::forecast::Forecast;
use crate::export::keeps::Keeps;
use crate::export::learned::PLANNED_RUN;
use crate::export::next::Next;
use crate::export::session::Session;
use crate::export::state::OpenState;
use crate::export::{ExportError, ExportRequest, Tools};
use crate::journal::record::{RangeEnds, RunRecord};
use crate::units::TimeRange;

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
    let Found { opened, latest, next, .. } = find(request, journal).await?;
    let commits = Arc::new(Commits::new(journal, Arc::clone(&opened.output), opened.manifest.clone()));
    let session = |run: RunRecord| Session::new(request, tools, state, (&opened.output, &commits), run);
    let keeps = match (next, latest) {
        (Next::GoOn | Next::LookAgain, Some(run)) => return session(run).forecast(RangeEnds::Absolute).await,
        (Next::Extend, Some(run)) => return session(run).forecast_extended(request.range, request.ends).await,
        // What the run lacks is asked for behind it, by a run of its own.
        (Next::CloseAndBegin(Keeps::All), Some(run)) if run.begun.range == request.range => {
            return session(run).forecast(RangeEnds::Absolute).await;
        }
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
    void_if_by_a_wrong_clock(journal, &id, &result).await?;
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
