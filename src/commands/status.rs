//! `status`: how far the run of a state is, read from the journal beside whoever holds it.

use std::fmt::Write as _;

use serde::Deserialize;

use crate::api::contract::{Filters, Region};
use crate::config::Settings;
use crate::failure::{ExitCode, Failure};
use crate::journal::record::{PartState, Replayed, RunRecord};
use crate::journal::{JournalError, JournalView};
use crate::plan::planner::Planner;
use crate::units::TimeRange;

use super::places::Places;

/// The part of a stored question that a plan needs.
#[derive(Deserialize)]
struct Asked {
    regions: Vec<Region>,
    filters: Filters,
}

/// Tells how far the run is.
///
/// # Errors
/// A state that cannot be read.
pub async fn status(settings: Settings) -> Result<ExitCode, Failure> {
    let folder = Places::of(&settings)?.state;
    let unreadable = |error: JournalError| Failure::from_error(ExitCode::LocalDamage, &error);
    let Some(view) = JournalView::open(&folder).map_err(unreadable)? else {
        return Err(Failure::new(ExitCode::Usage, format!("{} holds no state", folder.display()))
            .with_hint("name the folder that `run` used: --state, or the --out that it lies beside"));
    };
    let Some(run) = view.latest_run().map_err(unreadable)? else {
        return super::print(b"no run has begun\n");
    };
    let text = describe(&view, &run).map_err(unreadable)?;
    super::print(text.as_bytes())
}

fn describe(view: &JournalView, run: &RunRecord) -> Result<String, JournalError> {
    let begun = &run.begun;
    let outcome = run.outcome.map_or("unfinished: it runs, or the same command goes on", |outcome| outcome.name());
    let mut text = format!("run {}: {outcome}\n", begun.id);
    let _ = writeln!(text, "range     {}", begun.range);
    let _ = writeln!(text, "output    {} by {}", begun.output, begun.partition);
    if let Some(planner) = planner(view, run)? {
        describe_plan(&mut text, &planner);
    }
    let counts = view.counts()?;
    let _ = writeln!(
        text,
        "requests  {} ended, {} answered, {} retries, {} throttled, {} reserved or possibly charged",
        counts.attempts, counts.answered_pages, counts.retries, counts.throttled, counts.possibly_charged
    );
    let live = view.parts()?.into_iter().filter(|(_, state)| *state == PartState::Published);
    let (parts, rows) = live.fold((0, 0), |sum, (part, _)| (sum.0 + 1, sum.1 + part.rows.get()));
    let _ = writeln!(text, "parts     {parts} with {rows} rows");
    let _ = writeln!(text, "journal   {} pages wait to be published", view.held_pages()?);
    Ok(text)
}

/// The plan as the journal makes it; none where its entries are of another version.
fn planner(view: &JournalView, run: &RunRecord) -> Result<Option<Planner>, JournalError> {
    let asked = view.question()?.and_then(|question| serde_json::from_str::<Asked>(&question.json).ok());
    let Some(asked) = asked else { return Ok(None) };
    let mut planner = Planner::new(&asked.regions, asked.filters, run.begun.range);
    for entry in view.replay()? {
        match entry {
            Replayed::Page { fact, .. } => planner.apply_page(&fact),
            Replayed::Event { json, .. } => match serde_json::from_str(&json) {
                Ok(event) => planner.apply_event(&event),
                Err(_) => return Ok(None),
            },
        }
    }
    Ok(Some(planner))
}

fn describe_plan(text: &mut String, planner: &Planner) {
    for plan in planner.regions() {
        let settled = if plan.is_done() { plan.range.end } else { planner.settled(&plan.region) };
        let share = |seconds: i64| seconds as f64 / plan.range.seconds().max(1) as f64 * 100.0;
        let seconds = |ranges: Vec<TimeRange>| ranges.into_iter().map(TimeRange::seconds).sum::<i64>();
        let walks =
            planner.walks().filter(|(region, window, _)| **region == plan.region && window.start >= plan.done_until);
        let walked: i64 = walks.map(|(_, window, position)| position.since(window.start).max(0)).sum();
        let _ = writeln!(
            text,
            "{:<9} {:.1} % of the time read, without a hole until {settled}; {:.1} % covered by parts, up to {}",
            plan.region.to_string(),
            share(seconds(planner.done(plan)) + walked),
            share(seconds(planner.covered(plan))),
            plan.published_until
        );
    }
    for gap in planner.lacking() {
        let _ = writeln!(text, "gap       {} {}: {}", gap.region, gap.range, gap.why);
    }
    for unproven in planner.unproven() {
        let _ = writeln!(text, "unproven  {} {}: {}", unproven.region, unproven.range, unproven.why);
    }
}
