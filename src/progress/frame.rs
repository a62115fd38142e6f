//! What stands on a terminal while a run goes on: a bar for each region along its axis of time, and a line of totals below.
//!
//! Pure: the numbers and the terminal's size come in as arguments, the lines go out. There are fewer than the terminal has rows,
//! and each is made for its width; what is too long all the same, such as the words of a service, is cut where it is drawn.

use std::time::Duration;

use indicatif::{FormattedDuration, HumanBytes, HumanCount};

use crate::progress::View;
use crate::progress::tally::RegionView;

/// A terminal's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Default for Size {
    /// Where a terminal does not tell its size.
    fn default() -> Self {
        Self { rows: 24, columns: 80 }
    }
}

/// Rows that are left for log lines, the totals, and the line that counts the regions without a bar.
const ROWS_BESIDE_BARS: usize = 4;
/// The longest bar; a longer one tells no more.
const LONGEST_BAR: usize = 60;
/// A bar shorter than this tells nothing.
const SHORTEST_BAR: usize = 4;
/// The place of a region's code; a longer code moves what follows it.
const CODE_COLUMNS: usize = 6;

/// The lines of one moment.
pub(super) fn frame(view: &View, size: Size) -> Vec<String> {
    let room = size.rows.saturating_sub(ROWS_BESIDE_BARS).max(1);
    let columns = size.columns.saturating_sub(1);
    let shown = shown(&view.regions, room);
    let mut lines: Vec<String> = shown.iter().map(|region| bar(region, columns)).collect();
    if shown.len() < view.regions.len() {
        let done = view.regions.iter().filter(|region| is_done(region)).count();
        let (all, more) = (view.regions.len(), view.regions.len() - shown.len());
        lines.push(format!("  and {more} more regions; {done} of all {all} are done"));
    }
    lines.push(totals(view, columns));
    lines
}

/// As many regions as there is room for; those that are done give way to the others.
fn shown(regions: &[RegionView], room: usize) -> Vec<&RegionView> {
    if regions.len() <= room {
        return regions.iter().collect();
    }
    regions.iter().filter(|region| !is_done(region)).take(room).collect()
}

fn is_done(region: &RegionView) -> bool {
    region.settled_seconds >= region.range_seconds
}

fn bar(region: &RegionView, columns: usize) -> String {
    let code = region.region.to_string();
    let (settled, all) = (count(region.settled_seconds), count(region.range_seconds).max(1));
    let told = format!("{:>3} %  {} rows", settled.saturating_mul(100) / all, HumanCount(region.rows.get()));
    let code_columns = code.len().max(CODE_COLUMNS);
    let length = columns.saturating_sub(2 + code_columns + 1 + 1 + told.len().max(24)).min(LONGEST_BAR);
    if length < SHORTEST_BAR {
        return format!("  {code:<code_columns$} {told}");
    }
    let full = usize::try_from(settled.saturating_mul(length as u64) / all).unwrap_or(length).min(length);
    format!("  {code:<code_columns$} {}{} {told}", "━".repeat(full), "─".repeat(length - full))
}

/// The totals in one line, the most wanted first; what finds no room is left out, and so is what is not measured.
fn totals(view: &View, columns: usize) -> String {
    let mut words = words(view).into_iter();
    let mut line = format!("  {}", words.next().unwrap_or_default());
    for word in words {
        let longer = format!("{line} · {word}");
        if console::measure_text_width(&longer) <= columns {
            line = longer;
        }
    }
    line
}

fn words(view: &View) -> Vec<String> {
    let mut words = Vec::new();
    match (&view.held, view.remaining) {
        (Some((left, why)), _) => words.push(format!("waiting {} s: {why}", left.as_secs() + 1)),
        (None, Some(left)) => words.push(format!("about {} left", FormattedDuration(whole_seconds(left)))),
        (None, None) => {}
    }
    words.push(format!("{} rows", HumanCount(view.rows.get())));
    words.push(format!("{} credits", HumanCount(view.attempts.get())));
    match (view.pages_per_second, view.permitted_per_second) {
        (Some(rate), Some(permitted)) => words.push(format!("{rate:.1} of {permitted:.1} pages/s")),
        (Some(rate), None) => words.push(format!("{rate:.1} pages/s")),
        _ => {}
    }
    for (count, name) in [(view.gaps, "gaps"), (view.failed, "failed"), (view.throttled, "throttled")] {
        if count > 0 {
            words.push(format!("{} {name}", HumanCount(count)));
        }
    }
    if view.parts > 0 {
        words.push(format!("{} parts, {}", HumanCount(view.parts), HumanBytes(view.part_bytes.get())));
    }
    words
}

fn count(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or_default()
}

fn whole_seconds(length: Duration) -> Duration {
    Duration::from_secs(length.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{ByteCount, Credits, RowCount};

    fn region(code: &str, settled_seconds: i64) -> RegionView {
        RegionView {
            region: code.parse().unwrap(),
            rows: RowCount::new(1_234_567),
            settled_seconds,
            range_seconds: 1_000,
        }
    }

    fn view() -> View {
        View {
            regions: vec![region("GB", 250), region("US", 999)],
            rows: RowCount::new(2_469_134),
            attempts: Credits::new(246_950),
            throttled: 3,
            parts: 4,
            part_bytes: ByteCount::new(300 << 20),
            pages_per_second: Some(98.46),
            permitted_per_second: Some(100.0),
            remaining: Some(Duration::from_millis(3_725_400)),
            ..View::default()
        }
    }

    fn told(view: &View, rows: usize, columns: usize) -> String {
        let lines = frame(view, Size { rows, columns });
        assert!(lines.len() < rows, "{lines:?}");
        assert!(lines.iter().all(|line| line.chars().count() < columns), "{lines:?}");
        lines.join("\n")
    }

    #[test]
    fn a_frame_tells_the_most_wanted_at_every_width() {
        let widths = [160, 80, 60, 40];
        let frames = widths.map(|columns| format!("{columns} columns\n{}", told(&view(), 24, columns)));
        insta::assert_snapshot!(frames.join("\n\n"));
    }

    #[test]
    fn a_run_begins_at_nothing_and_no_forecast_is_told_before_it_is_measured() {
        let fresh = View { regions: vec![region("US", 0)], attempts: Credits::new(1), ..View::default() };
        let fresh = View { rows: RowCount::ZERO, ..fresh };
        let told = told(&fresh, 24, 80);
        assert!(told.contains("   0 %"), "{told}");
        assert!(told.ends_with("\n  0 rows · 1 credits"), "{told}");
        assert_eq!(frame(&View::default(), Size::default()), ["  0 rows · 0 credits"]);
    }

    #[test]
    fn a_forecast_gives_way_to_a_wait() {
        let held = View { held: Some((Duration::from_millis(1_500), "429".to_owned())), ..view() };
        assert!(told(&held, 24, 80).contains("\n  waiting 2 s: 429 · 2,469,134 rows"));
    }

    #[test]
    fn more_regions_than_rows_are_counted_and_those_at_work_are_shown() {
        let code = |place: i64| format!("R{place}");
        let regions = (0..50).map(|place| region(&code(place), if place < 40 { 1_000 } else { 10 })).collect();
        let many = View { regions, ..view() };
        let told = told(&many, 10, 80);
        assert!(!told.contains("R39") && told.contains("R40") && told.contains("R45"), "{told}");
        assert!(told.contains("and 44 more regions; 40 of all 50 are done"), "{told}");
    }
}
