//! The page: what was gathered, as HTML for a person. Pure.
//!
//! It stands alone: no script, no font, no picture from elsewhere, and a policy that lets none be loaded. Whatever is not a number is
//! escaped.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{FormattedDuration, HumanBytes, HumanCount};

use crate::api::contract::SOURCE;
use crate::summary::Shortfall;
use crate::units::{EpochSeconds, TimeRange};

use super::super::status::report::{RegionStatus, RunStatus};
use super::chart::{Columns, Series, bars, meter, strip};
use super::gather::Gathered;
use super::html::{as_float, as_float_of, card, counted, day, escaped, legend, moment, percent, span};
use super::requests::requests;

const STYLE: &str = include_str!("style.css");
/// What the policy lets through: this style and nothing else. A test computes it.
const STYLE_HASH: &str = "sha256-VDclCEJlzej3JTzD4eTjFnXLwJyqCmvq9XKCnxyVnG4=";
/// Regions that have a chart of their own; all others share one.
const MOST_CHARTS: usize = 12;
/// Rows of a table; what is left out is counted.
const MOST_ROWS: usize = 100;

/// The whole page.
pub(super) fn page(gathered: &Gathered) -> String {
    let title = format!("Export {}", output(gathered));
    let sections = [
        header(gathered),
        tiles(gathered),
        warnings(gathered),
        next(gathered),
        coverage(gathered),
        shortfalls(gathered),
        requests(gathered.timeline.as_ref()),
        credits(gathered),
        quality(gathered),
        files(gathered),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '{STYLE_HASH}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{}\n<footer>Written by keyapi-export {} at {}. This page loads \
         nothing and runs nothing.</footer>\n</main>\n</body>\n</html>\n",
        escaped(&title),
        sections.join("\n"),
        env!("CARGO_PKG_VERSION"),
        moment(gathered.status.at),
    )
}

fn output(gathered: &Gathered) -> String {
    let folder = gathered.status.output.clone().unwrap_or_default();
    folder.rsplit('/').find(|name| !name.is_empty()).unwrap_or("output").to_owned()
}

/// The verdict, and how it is coloured.
fn verdict(gathered: &Gathered) -> (String, &'static str) {
    let (status, outcome) = (&gathered.status, gathered.status.outcome);
    let lacks = |of: fn(&RegionStatus) -> usize| status.regions.iter().map(of).sum::<usize>();
    let is_whole = lacks(|region| region.gaps.len()) + lacks(|region| region.unproven.len()) == 0;
    match outcome {
        Some("complete") if is_whole => ("Complete".to_owned(), "ok"),
        // Something was found missing after its end.
        Some("complete" | "incomplete" | "closed") => ("Finished, but not whole".to_owned(), ""),
        Some("running") => ("Running".to_owned(), ""),
        _ => match &gathered.summary {
            Some(summary) => (format!("Stopped: {}", summary.outcome.meaning()), "bad"),
            None => ("Unfinished".to_owned(), "bad"),
        },
    }
}

fn header(gathered: &Gathered) -> String {
    let status = &gathered.status;
    let (told, class) = verdict(gathered);
    let codes: Vec<String> = status.regions.iter().map(|region| region.region.to_string()).collect();
    let began = status.began_at.map(moment).unwrap_or_default();
    format!(
        "<header><p class=\"over\">Export report</p><div class=\"head\"><h1>{}</h1><span class=\"pill {class}\">{}</span></div>\
         <p class=\"sub\">{} · {} {} · run <code>{}</code>, begun {}<br><code>{}</code></p></header>",
        escaped(&output(gathered)),
        escaped(&told),
        span(gathered.range),
        if codes.len() == 1 { "region" } else { "regions" },
        escaped(&codes.join(", ")),
        escaped(status.run.as_deref().unwrap_or_default()),
        began,
        escaped(status.output.as_deref().unwrap_or_default()),
    )
}

fn tile(name: &str, value: &str, more: &str) -> String {
    let more = if more.is_empty() { String::new() } else { format!("<em>{more}</em>") };
    format!("<div class=\"tile\"><span>{name}</span><b>{value}</b>{more}</div>")
}

fn tiles(gathered: &Gathered) -> String {
    let status = &gathered.status;
    let rows: u64 = gathered.parts.iter().map(|part| part.rows.get()).sum();
    let bytes: u64 = gathered.parts.iter().map(|part| part.bytes.get()).sum();
    let covered =
        status.regions.iter().map(|region| region.covered_share).sum::<f64>() / as_float(status.regions.len().max(1));
    let gaps: usize = status.regions.iter().map(|region| region.gaps.len()).sum();
    let unproven: usize = status.regions.iter().map(|region| region.unproven.len()).sum();
    let mut tiles = vec![
        tile(
            "Rows in the range",
            &HumanCount(rows).to_string(),
            &format!("{} in {}", HumanBytes(bytes), counted(gathered.parts.len() as u64, "file")),
        ),
        tile(
            "Covered",
            &percent(covered),
            &format!("{}, {} unproven", counted(gaps as u64, "gap"), HumanCount(unproven as u64)),
        ),
    ];
    if let Some(requests) = &status.requests {
        tiles.push(tile("Credits spent", &HumanCount(requests.attempts.get()).to_string(), &price(gathered)));
        tiles.push(tile(
            "Asked to slow down",
            &HumanCount(requests.throttled).to_string(),
            &format!("{} asked again", counted(requests.retries, "page")),
        ));
    }
    if let Some(summary) = &gathered.summary {
        let took = FormattedDuration(Duration::from_secs(summary.duration.as_secs()));
        let rate = summary
            .requests_per_second()
            .map_or("no request was sent".to_owned(), |rate| format!("{rate:.1} requests a second"));
        tiles.push(tile("This start took", &took.to_string(), &rate));
    }
    if let Some(newest) = newest(gathered) {
        tiles.push(tile("Newest row", &day(newest), moment(newest).replace(&day(newest), "").trim()));
    }
    format!("<section class=\"tiles\">{}</section>", tiles.concat())
}

/// A number of things of this name, for a person.
fn price(gathered: &Gathered) -> String {
    let Some(run) = latest(gathered) else { return String::new() };
    match (run.price_over_floor, run.rows.map(|rows| rows.get())) {
        (Some(price), _) => format!("{price:.3} times the floor"),
        (None, Some(0)) => "no rows, so no floor".to_owned(),
        (None, _) if run.outcome == "running" || run.outcome == "unfinished" => "price known at the end".to_owned(),
        (None, _) => "its rows were written anew since".to_owned(),
    }
}

fn newest(gathered: &Gathered) -> Option<EpochSeconds> {
    gathered.summary.as_ref()?.newest.values().copied().max()
}

fn latest(gathered: &Gathered) -> Option<&RunStatus> {
    gathered.status.runs.first()
}

fn warnings(gathered: &Gathered) -> String {
    let mut told: Vec<String> = warned(gathered);
    if let Some(first) = gathered.unreadable.first() {
        told.push(format!(
            "{} could not be read for this report, such as {first}",
            counted(gathered.unreadable.len() as u64, "part")
        ));
    }
    if told.is_empty() {
        return String::new();
    }
    let items: String = told.iter().map(|one| format!("<li>{}</li>", escaped(one))).collect();
    format!("<section class=\"card alert\"><h2>Worth a look</h2><ul>{items}</ul></section>")
}

/// What is unlike the runs before, as the run's own manifest says it.
fn warned(gathered: &Gathered) -> Vec<String> {
    let own = gathered.manifest.as_ref().filter(|manifest| Some(&manifest.run) == gathered.status.run.as_ref());
    own.map(|manifest| manifest.unusual.iter().map(ToString::to_string).collect()).unwrap_or_default()
}

fn next(gathered: &Gathered) -> String {
    match gathered.summary.as_ref().and_then(|summary| summary.next.as_deref()) {
        Some(next) => {
            format!("<section class=\"card next\"><h2>What to do next</h2><p>{}</p></section>", escaped(next))
        }
        None => String::new(),
    }
}

fn axis(range: TimeRange, is_short: bool) -> String {
    let middle = range.start.shifted(range.seconds() / 2);
    let told = |second: EpochSeconds| if is_short { moment(second) } else { day(second) };
    let (first, last) = (told(range.start), told(range.end));
    format!(
        "<div class=\"axis\"><span>{first}</span><span class=\"wide\">{}</span><span>{last}</span></div>",
        told(middle)
    )
}

fn coverage(gathered: &Gathered) -> String {
    let columns = gathered.columns;
    let regions = &gathered.status.regions;
    let charts: String = if regions.len() <= MOST_CHARTS {
        regions.iter().map(|region| region_chart(gathered, region, regions.len() > 1)).collect()
    } else {
        let mut sum = vec![0.0; columns.count()];
        for rows in gathered.rows.values() {
            sum.iter_mut().zip(rows).for_each(|(sum, rows)| *sum += rows);
        }
        figure(columns, sum, &format!("Rows of {} regions together", regions.len()), "") + &region_table(regions)
    };
    let legend = legend(&[
        ("rows", "rows"),
        ("covered", "covered"),
        ("unproven", "unproven"),
        ("gap", "gap"),
        ("unread", "not read"),
    ]);
    let note = format!(
        "Rows per {}, by the time at which videos were made (UTC); below it, what of the time is there.",
        columns.name
    );
    card("Coverage and rows over time", &note, &(charts + &legend))
}

fn figure(columns: Columns, rows: Vec<f64>, label: &str, below: &str) -> String {
    let most = rows.iter().copied().fold(0.0, f64::max);
    let is_short = columns.length < crate::units::DAY_SECONDS;
    let named = |column: usize| if is_short { moment(columns.start(column)) } else { day(columns.start(column)) };
    let titles: Vec<String> =
        rows.iter().enumerate().map(|(column, rows)| format!("{}: {} rows", named(column), count_of(*rows))).collect();
    let label = format!("{label} per {}; at most {}", columns.name, count_of(most));
    format!(
        "<figure><div class=\"peak\">at most {} rows per {}</div>{}{below}{}</figure>",
        count_of(most),
        columns.name,
        bars(&[Series { class: "rows", values: rows }], &label, &titles),
        axis(columns.range, is_short)
    )
}

fn region_chart(gathered: &Gathered, region: &RegionStatus, is_named: bool) -> String {
    let columns = gathered.columns;
    let rows = gathered.rows.get(&region.region).cloned().unwrap_or_else(|| vec![0.0; columns.count()]);
    let (gaps, unproven) = (ranges(&region.gaps), ranges(&region.unproven));
    let layers: [(&str, &[TimeRange]); 3] = [("covered", &region.covered), ("unproven", &unproven), ("gap", &gaps)];
    let label = format!("Region {}: {} covered", region.region, percent(region.covered_share));
    let strip = strip(columns, &layers, &label);
    let code = escaped(region.region.as_str());
    let name = if is_named {
        let sum: f64 = rows.iter().sum();
        format!("<h3>{code} · {} rows · {} covered</h3>", count_of(sum), percent(region.covered_share))
    } else {
        String::new()
    };
    name + &figure(columns, rows, &format!("Rows of region {}", region.region), &strip)
}

fn ranges(shortfalls: &[Shortfall]) -> Vec<TimeRange> {
    shortfalls.iter().map(|shortfall| shortfall.range).collect()
}

fn region_table(regions: &[RegionStatus]) -> String {
    let row = |region: &RegionStatus| {
        format!(
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            escaped(region.region.as_str()),
            HumanCount(region.rows.get()),
            percent(region.covered_share),
            region.gaps.len(),
            region.unproven.len()
        )
    };
    table(
        "<th>Region</th><th class=\"n\">Rows</th><th class=\"n\">Covered</th><th class=\"n\">Gaps</th><th class=\"n\">Unproven</th>",
        &regions.iter().map(row).collect::<Vec<_>>(),
    )
}

/// A table with as many rows as are told; the rest is counted.
fn table(head: &str, rows: &[String]) -> String {
    let told: String = rows.iter().take(MOST_ROWS).map(String::as_str).collect();
    let left = rows.len().saturating_sub(MOST_ROWS);
    let more = if left > 0 {
        format!("<p class=\"note\">and {} more; the manifest lists all</p>", HumanCount(left as u64))
    } else {
        String::new()
    };
    format!("<table><thead><tr>{head}</tr></thead><tbody>{told}</tbody></table>{more}")
}

fn shortfalls(gathered: &Gathered) -> String {
    let regions = &gathered.status.regions;
    let of = |kind: &str, class: &str, one: &Shortfall| {
        format!(
            "<tr><td><span class=\"{class}\">{kind}</span></td><td>{}</td><td>{}</td><td class=\"t\">{}</td></tr>",
            escaped(one.region.as_str()),
            span(one.range),
            escaped(&one.why)
        )
    };
    let gaps = regions.iter().flat_map(|region| &region.gaps).map(|one| of("gap", "gap", one));
    let unproven = regions.iter().flat_map(|region| &region.unproven).map(|one| of("unproven", "unproven", one));
    let elsewhere = gathered.status.elsewhere.iter().map(|one| of("elsewhere", "unread", one));
    let rows: Vec<String> = gaps.chain(unproven).chain(elsewhere).collect();
    if rows.is_empty() {
        let note = "None. Every second of the range was read, and nothing that came speaks against its being all.";
        return card("Gaps and unproven ranges", note, "");
    }
    let note = "Gaps could not be read. Unproven time was read, and nothing proves that all of its rows came. The same command reads gaps \
                again, and unproven time once more.";
    card("Gaps and unproven ranges", note, &table("<th>What</th><th>Region</th><th>Time</th><th>Why</th>", &rows))
}

fn credits(gathered: &Gathered) -> String {
    let Some(requests) = &gathered.status.requests else { return String::new() };
    let rows = latest(gathered).and_then(|run| run.rows);
    let floor = rows.map(|rows| rows.get().div_ceil(SOURCE.page_size as u64));
    let (attempts, answered) = (requests.attempts.get(), requests.answered.get());
    let most = as_float_of(attempts.max(floor.unwrap_or(0)).max(1));
    let row = |name: &str, count: u64, class: &str| {
        format!(
            "<tr><td>{name}</td><td class=\"n\">{}</td><td class=\"m\">{}</td></tr>",
            HumanCount(count),
            meter(as_float_of(count) / most, class)
        )
    };
    let mut lines = vec![row("Requests sent", attempts, "answered"), row("Answered with a page", answered, "covered")];
    if let Some(floor) = floor {
        lines.push(row("Floor: the run's rows divided by ten", floor, "floor"));
    }
    lines.push(row("Asked again", requests.retries, "unproven"));
    lines.push(row("Asked to slow down", requests.throttled, "unproven"));
    if requests.possibly_charged.get() > 0 {
        lines.push(row("Sent when a process died: possibly charged", requests.possibly_charged.get(), "gap"));
    }
    let credits = table("<th>Requests</th><th class=\"n\">Count</th><th></th>", &lines);
    let note =
        "A page holds at most ten rows and costs one credit, so no export can cost less than its rows divided by ten.";
    card("Credits against the floor", note, &(credits + &former(gathered)))
}

fn former(gathered: &Gathered) -> String {
    let runs = &gathered.status.runs;
    if runs.len() < 2 {
        return String::new();
    }
    let row = |run: &RunStatus| {
        format!(
            "<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n wide\">{}</td><td class=\"n\">{}</td></tr>",
            moment(run.began_at),
            run.outcome,
            HumanCount(run.credits),
            run.rows.map_or_else(|| "–".to_owned(), |rows| HumanCount(rows.get()).to_string()),
            run.price_over_floor.map_or_else(|| "–".to_owned(), |price| format!("{price:.3}"))
        )
    };
    let head = "<th>Run begun</th><th>Outcome</th><th class=\"n\">Credits</th><th class=\"n wide\">Rows</th><th class=\"n\">× floor</th>";
    format!("<h3>The last runs</h3>{}", table(head, &runs.iter().map(row).collect::<Vec<_>>()))
}

fn quality(gathered: &Gathered) -> String {
    let nulls = &gathered.nulls;
    // Where nothing had to be kept, `_extra` is null, as it should be.
    let told = nulls.columns.iter().filter(|(name, _)| *name != "_extra");
    let mut columns: Vec<(&String, Option<u64>)> = told.map(|(name, count)| (name, *count)).collect();
    columns.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let full = columns.iter().filter(|(_, count)| *count == Some(0)).count();
    let row = |(name, count): &(&String, Option<u64>)| {
        let share = count.map(|count| as_float_of(count) / as_float_of(nulls.rows.max(1)));
        format!(
            "<tr><td><code>{}</code></td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"m\">{}</td></tr>",
            escaped(name),
            count.map_or_else(|| "not told".to_owned(), |count| HumanCount(count).to_string()),
            share.map(percent).unwrap_or_default(),
            share.map(|share| meter(share, "null")).unwrap_or_default()
        )
    };
    let with_nulls: Vec<String> = columns.iter().filter(|(_, count)| *count != Some(0)).map(row).collect();
    let nulls_told = if with_nulls.is_empty() {
        format!("<p>No column holds a null, in {}.</p>", counted(nulls.rows, "row"))
    } else {
        format!("<p class=\"note\">The other {full} columns hold no null.</p>")
            + &table("<th>Column</th><th class=\"n\">Nulls</th><th class=\"n\">Share</th><th></th>", &with_nulls)
    };
    let mut extra: BTreeMap<&str, u64> = BTreeMap::new();
    let mut duplicates = 0;
    for part in &gathered.parts {
        duplicates += part.duplicates;
        part.extra_fields.by_name().iter().for_each(|(name, count)| *extra.entry(name).or_default() += count);
    }
    let kept: u64 = extra.values().sum();
    let rejected = gathered.status.rejected.map_or(0, |rows| rows.get());
    let other =
        gathered.manifest.as_ref().and_then(|manifest| manifest.counters.get("rows_of_another_region")).copied();
    let mut counted = vec![
        ("Rows without a usable id or time, kept in _rejected", rejected),
        ("Values kept in _extra", kept),
        ("Rows that were read more than once and stand once", duplicates),
    ];
    counted.extend(other.map(|rows| ("Rows that name another region than the asked one", rows)));
    let line =
        |(name, count): &(&str, u64)| format!("<tr><td>{name}</td><td class=\"n\">{}</td></tr>", HumanCount(*count));
    let counts =
        table("<th>Rows and values</th><th class=\"n\">Count</th>", &counted.iter().map(line).collect::<Vec<_>>());
    let mut fields: Vec<(&str, u64)> = extra.into_iter().collect();
    fields.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let field = |(name, count): &(&str, u64)| {
        format!("<tr><td><code>{}</code></td><td class=\"n\">{}</td></tr>", escaped(name), HumanCount(*count))
    };
    let fields: Vec<String> = fields.iter().map(field).collect();
    let extra = if fields.is_empty() {
        String::new()
    } else {
        format!("<h3>What _extra keeps</h3>{}", table("<th>Field</th><th class=\"n\">Values</th>", &fields))
    };
    card(
        "Data quality",
        "Of the files that hold something of the range.",
        &format!("{counts}{extra}<h3>Nulls</h3>{nulls_told}"),
    )
}

fn files(gathered: &Gathered) -> String {
    let row = |part: &crate::journal::record::PartRecord| {
        format!(
            "<tr><td><code>{}</code></td><td class=\"n\">{}</td><td class=\"n wide\">{}</td></tr>",
            escaped(&part.path),
            HumanCount(part.rows.get()),
            HumanBytes(part.bytes.get())
        )
    };
    let rows: Vec<String> = gathered.parts.iter().map(row).collect();
    if rows.is_empty() {
        return card("Files", "None yet.", "");
    }
    let note = "Parquet, below the output folder; each is listed in <code>_manifest.json</code> with its SHA-256.";
    card("Files", note, &table("<th>File</th><th class=\"n\">Rows</th><th class=\"n wide\">Size</th>", &rows))
}

/// Rows of a column, for a person.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rows of a picture, never negative")]
fn count_of(rows: f64) -> HumanCount {
    HumanCount(rows.round() as u64)
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn base64(bytes: &[u8]) -> String {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let all = chunk.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
            for place in 0..=chunk.len() {
                text.push(LETTERS[(all >> (18 - 6 * place) & 63) as usize] as char);
            }
            text.push_str(&"=".repeat(3 - chunk.len()));
        }
        text
    }

    #[test]
    fn the_policy_lets_this_style_through_and_nothing_else() {
        assert_eq!(base64(b"Man"), "TWFu");
        assert_eq!(base64(b"Ma"), "TWE=");
        assert_eq!(STYLE_HASH, format!("sha256-{}", base64(&Sha256::digest(STYLE.as_bytes()))));
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import") && !STYLE.contains("</"));
    }
}
