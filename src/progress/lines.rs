//! Events and heartbeats as log lines: info for each part and stage, debug for each page, warn where something degrades.

use std::time::Duration;

use crate::progress::{Event, View};

/// Waits at least this long are worth a person's attention; shorter ones belong to finding the rate.
const NOTABLE_WAIT: Duration = Duration::from_secs(5);

/// Writes the line of one event, where it has one.
pub(super) fn log(event: &Event) {
    match event {
        Event::RunStarted { range, regions, attempts } => {
            let codes: Vec<&str> = regions.iter().map(|start| start.region.as_str()).collect();
            let attempts = attempts.get();
            tracing::info!(regions = codes.join(","), %range, credits.attempts = attempts, "run started");
        }
        Event::WindowResumed { region, window, position } => {
            tracing::debug!(%region, %window, %position, "window resumed");
        }
        Event::Attempt(outcome) => tracing::trace!(?outcome, "attempt ended"),
        Event::PageDurable { region, rows, window, position } => {
            let position = position.map(tracing::field::display);
            tracing::debug!(%region, page.rows = rows.get(), %window, position, "page durable");
        }
        Event::RateChanged { per_second } => tracing::debug!(pace.per_second = per_second, "rate changed"),
        Event::Held { wait, why } if *wait >= NOTABLE_WAIT => {
            tracing::warn!(duration_ms = milliseconds(*wait), why, "all requests wait");
        }
        Event::Held { wait, why } => tracing::debug!(duration_ms = milliseconds(*wait), why, "all requests wait"),
        Event::WindowFinished { region, window } => tracing::debug!(%region, %window, "window finished"),
        Event::PartPublished { path, rows, bytes } => {
            tracing::info!(part.path = path, part.rows = rows.get(), part.bytes = bytes.get(), "part published");
        }
        Event::GapListed { region, range, why } => tracing::warn!(%region, %range, why, "gap listed"),
        Event::UnprovenListed { region, range, why } => tracing::warn!(%region, %range, why, "unproven range listed"),
        Event::StageFinished { stage, duration } => {
            tracing::info!(stage, duration_ms = milliseconds(*duration), "stage finished");
        }
    }
}

/// Writes the line that says that the run is alive, and how far it is.
pub(super) fn heartbeat(view: &View) {
    let rounded = |number: f64| (number * 10.0).round() / 10.0;
    tracing::info!(
        rows = view.rows.get(),
        credits.attempts = view.attempts.get(),
        settled_percent = rounded(view.settled_share * 100.0),
        pages_per_second = view.pages_per_second.map(rounded),
        pace.per_second = view.permitted_per_second.map(rounded),
        throttled = view.throttled,
        failed = view.failed,
        parts = view.parts,
        part_bytes = view.part_bytes.get(),
        gaps = view.gaps,
        held_ms = view.held.as_ref().map(|(left, _)| milliseconds(*left)),
        remaining_s = view.remaining.map(|left| left.as_secs()),
        "running"
    );
}

fn milliseconds(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
