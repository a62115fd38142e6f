//! The same for a person: readable at 80 columns, without colours. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use indicatif::{FormattedDuration, HumanBytes, HumanCount};

use crate::summary::Shortfall;
use crate::units::{EpochSeconds, TimeRange};

use super::picture::{self, Axis, COLUMNS, LEGEND};
use super::report::{RegionStatus, RunStatus, Status};

/// Gaps and the like of a region that are listed; the JSON has all.
const LISTED: usize = 10;

/// The whole text, a line each.
pub(super) fn text(status: &Status) -> String {
    let (Some(run), Some(outcome), Some(range)) = (&status.run, status.outcome, status.range) else {
        return "no run has begun\n".to_owned();
    };
    let mut text = String::new();
    line(&mut text, "run", &format!("{run}: {}", in_words(outcome)));
    line(&mut text, "range", &range.to_string());
    if let (Some(output), Some(partition)) = (&status.output, &status.partition) {
        line(&mut text, "output", &format!("{output} {partition}"));
    }
    write_regions(&mut text, status, range);
    write_credits(&mut text, status);
    write_holdings(&mut text, status);
    write_runs(&mut text, &status.runs);
    text
}

fn in_words(outcome: &'static str) -> &'static str {
    match outcome {
        "running" => "running",
        "unfinished" => "unfinished, nothing at work: the same command goes on",
        "closed" => "closed for another run",
        other => other,
    }
}

fn line(text: &mut String, name: &str, told: &str) {
    let _ = writeln!(text, "{}", format!("{name:<9} {told}").trim_end());
}

fn write_regions(text: &mut String, status: &Status, range: TimeRange) {
    let pictures: Vec<String> = status.regions.iter().map(|region| drawn(region, range)).collect();
    let width = pictures.iter().map(|picture| picture.chars().count()).max().unwrap_or(0);
    let (from, to) = (range.start.to_string(), range.end.to_string());
    if width >= from.len() + to.len() {
        line(text, "", &format!("{from}{to:>room$}", room = width - from.len()));
    }
    for (region, picture) in status.regions.iter().zip(&pictures) {
        line(text, region.region.as_str(), picture);
        line(text, "", &told(region));
        write_listed(text, "gap", &region.gaps);
        write_listed(text, "unproven", &region.unproven);
    }
    let used = |marks: &[char]| pictures.iter().any(|picture| picture.contains(marks));
    let legend: Vec<&str> = LEGEND.iter().filter(|(marks, _)| used(marks)).map(|(_, meaning)| *meaning).collect();
    for told in wrapped(&legend) {
        line(text, "", &told);
    }
    if status.unlisted > 0 {
        line(
            text,
            "more",
            &format!(
                "{} gaps and unproven ranges; the manifest has all of them at the end",
                HumanCount(status.unlisted)
            ),
        );
    }
}

/// The meanings in lines no longer than the pictures above.
fn wrapped(meanings: &[&str]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for meaning in meanings {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 2 + meaning.chars().count() <= COLUMNS => {
                line.push_str(", ");
                line.push_str(meaning);
            }
            _ => lines.push((*meaning).to_owned()),
        }
    }
    lines
}

fn drawn(region: &RegionStatus, range: TimeRange) -> String {
    let ranges = |listed: &[Shortfall]| listed.iter().map(|one| one.range).collect::<Vec<_>>();
    let at_work = region.reading.iter().filter(|walk| walk.position < walk.window.end);
    let positions: Vec<EpochSeconds> = at_work.map(|walk| walk.position).collect();
    let axis = Axis {
        range: Some(range),
        covered: &region.covered,
        read: region.read.as_deref().unwrap_or_default(),
        positions: &positions,
        gaps: &ranges(&region.gaps),
        unproven: &ranges(&region.unproven),
        parts: &region.densities,
    };
    picture::line(&axis, COLUMNS)
}

fn told(region: &RegionStatus) -> String {
    let mut told = vec![format!("{} of the time in the output", percent(region.covered_share))];
    if let Some(read) = region.read_share.filter(|read| *read > region.covered_share) {
        told.push(format!("{} read", percent(read)));
    }
    told.push(format!("{} rows", HumanCount(region.rows.get())));
    match (region.oldest_read_at, region.newest_read_at) {
        (Some(oldest), Some(newest)) if oldest != newest => {
            told.push(format!("\n          read by runs from {oldest} to {newest}"));
        }
        _ => {}
    }
    told.join(", ").replace(", \n", "\n")
}

/// Rounded down, so that 100 % is all of it.
fn percent(share: f64) -> String {
    format!("{:.1} %", (share * 1_000.0).floor() / 10.0)
}

fn write_listed(text: &mut String, name: &str, listed: &[Shortfall]) {
    for one in listed.iter().take(LISTED) {
        line(text, name, &format!("{} {}: {}", one.region, one.range, one.why));
    }
    if listed.len() > LISTED {
        line(text, name, &format!("and {} more; --json has all", HumanCount((listed.len() - LISTED) as u64)));
    }
}

fn write_credits(text: &mut String, status: &Status) {
    if let Some(requests) = &status.requests {
        let (sent, answered) = (HumanCount(requests.attempts.get()), HumanCount(requests.answered.get()));
        let doubt = if status.running { "reserved or possibly charged" } else { "possibly charged" };
        let more = format!(
            "{} retries, {} throttled, {} {doubt}",
            HumanCount(requests.retries),
            HumanCount(requests.throttled),
            HumanCount(requests.possibly_charged.get())
        );
        line(text, "credits", &format!("{sent} requests, {answered} answered\n          {more}"));
    }
    if !status.running {
        return;
    }
    let rate = status.rate.map(|rate| format!("{rate:.1} pages/s over the last minute"));
    let permitted = status.permitted_rate.map(|rate| format!("{rate:.1} requests/s are allowed"));
    let known: Vec<String> = rate.into_iter().chain(permitted).collect();
    line(text, "rate", &if known.is_empty() { "not measured yet".to_owned() } else { known.join(", ") });
    let left = status.eta_seconds.map(|left| format!("about {}", FormattedDuration(Duration::from_secs(left))));
    line(text, "left", left.as_deref().unwrap_or("not measured yet"));
}

fn write_holdings(text: &mut String, status: &Status) {
    let (rows, bytes) = (HumanCount(status.rows.get()), HumanBytes(status.bytes.get()));
    line(text, "parts", &format!("{} with {rows} rows, {bytes}", HumanCount(status.parts)));
    if let Some(table) = &status.table {
        let behind = if table.is_in_the_log { "" } else { ", not in its log yet: the next start puts it there" };
        line(text, "table", &format!("version {} of a Delta table{behind}", HumanCount(table.version)));
        if table.superseded_files > 0 {
            let (files, bytes) = (HumanCount(table.superseded_files), HumanBytes(table.superseded_bytes.get()));
            line(text, "", &format!("{files} files with {bytes} are kept for readers of former versions"));
        }
    }
    if let Some(pages) = status.waiting_pages.filter(|pages| *pages > 0) {
        line(text, "journal", &format!("{} pages wait to be published", HumanCount(pages)));
    }
    if let Some(rejected) = status.rejected.filter(|rejected| rejected.get() > 0) {
        line(text, "rejected", &format!("{} rows, kept in _rejected", HumanCount(rejected.get())));
    }
    write_listed(text, "hole", &status.elsewhere);
    if let Some(at) = status.said_at {
        let ago = status.at.since(at).max(0);
        line(text, "said", &format!("{ago} s ago, by the process: what is read"));
    }
}

fn write_runs(text: &mut String, runs: &[RunStatus]) {
    for (run, place) in runs.iter().zip(0..) {
        let ratio = run.price_over_floor.map(|ratio| format!(", {ratio:.4} times the floor")).unwrap_or_default();
        let price = format!("{} credits{ratio}", HumanCount(run.credits));
        let name = if place == 0 { "runs" } else { "" };
        line(text, name, &format!("{} {}, {price}", run.began_at, run.outcome));
    }
}
