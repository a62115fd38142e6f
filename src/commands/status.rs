//! `status`: how far the run of a state is, read from the journal beside whoever holds it.

use std::fmt::Write as _;

use serde::Deserialize;

use crate::api::contract::Filters;
use crate::config::Settings;
use crate::export::KEPT_ACCOUNT;
use crate::failure::{ExitCode, Failure};
use crate::journal::record::{PartState, Replayed, RunRecord};
use crate::journal::{JournalError, JournalView};
use crate::plan::planner::Planner;
use crate::sink::account::Account;
use crate::units::{EpochSeconds, TimeRange};

use super::places::Places;
use super::signals;

/// The part of a stored identity that a plan needs.
#[derive(Deserialize)]
struct Asked {
    filters: Filters,
}

/// Tells how far the run is.
///
/// # Errors
/// A state that cannot be read.
pub async fn status(settings: Settings) -> Result<ExitCode, Failure> {
    signals::end_at_once()?;
    let folder = Places::of(&settings)?.state;
    let unreadable = |error: JournalError| Failure::from_error(ExitCode::LocalDamage, &error);
    let Some(view) = JournalView::open(&folder).map_err(unreadable)? else {
        return Err(Failure::new(ExitCode::Usage, format!("{} holds no state", folder.display()))
            .with_hint("name the folder that `run` used: --state, or the --out that it lies beside"));
    };
    let Some(run) = view.latest_run().map_err(unreadable)? else {
        return super::print(b"no run has begun\n");
    };
    let mut text = describe(&view, &run).map_err(unreadable)?;
    if let Some(account) = account(&view).map_err(unreadable)? {
        describe_account(&mut text, &account, &run);
    }
    super::print(text.as_bytes())
}

fn describe(view: &JournalView, run: &RunRecord) -> Result<String, JournalError> {
    let begun = &run.begun;
    let outcome = run.outcome.map_or("unfinished: it runs, or the same command goes on", |outcome| outcome.name());
    let mut text = format!("run {}: {outcome}\n", begun.id);
    let _ = writeln!(text, "range     {}", begun.range);
    let _ = writeln!(text, "output    {} {}", begun.output, begun.partition);
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

/// What the output held when its manifest was last written at a start's beginning or end; none where another version kept it.
fn account(view: &JournalView) -> Result<Option<Account>, JournalError> {
    Ok(view.learned(KEPT_ACCOUNT)?.and_then(|text| serde_json::from_str(&text).ok()))
}

/// For each region of the output, from when to when it was read and how long ago, and what lies between that nobody has read.
fn describe_account(text: &mut String, account: &Account, run: &RunRecord) {
    for region in account.coverage.regions() {
        let stretches = account.coverage.stretches(region);
        let (Some(first), Some(last)) = (stretches.first(), stretches.last()) else { continue };
        let read_at = |pick: fn(EpochSeconds, EpochSeconds) -> EpochSeconds| {
            stretches.iter().map(|stretch| stretch.read_at).reduce(pick).unwrap_or(first.read_at)
        };
        let (oldest, newest) = (read_at(Ord::min), read_at(Ord::max));
        let range = TimeRange::new(first.start, last.end);
        let _ = writeln!(text, "held      {region} {range}, read from {oldest} on, last at {newest}");
    }
    for lack in account.elsewhere(&run.begun.regions(), run.begun.range) {
        let _ = writeln!(text, "hole      {} {}: {}", lack.region, lack.range, lack.why);
    }
}

/// The plan as the journal makes it; none where its entries are of another version.
fn planner(view: &JournalView, run: &RunRecord) -> Result<Option<Planner>, JournalError> {
    let asked = view.question()?.and_then(|question| serde_json::from_str::<Asked>(&question.json).ok());
    let Some(asked) = asked else { return Ok(None) };
    let mut planner = Planner::reading(&run.begun.reads, asked.filters, run.begun.range);
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
