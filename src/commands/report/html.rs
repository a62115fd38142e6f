//! Pieces of a page: text that is safe, times and counts that read well, cards. Pure.

use crate::units::{EpochSeconds, TimeRange};
use indicatif::HumanCount;

/// How high a chart is in a print, in rows of a table, and what fits on a page.
const CHART_IN_ROWS: usize = 8;
const MOST_KEPT_TOGETHER: usize = 30;

/// Text as it may stand in HTML, also within an attribute.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // HTML knows no other control character.
            control if control.is_control() && !matches!(control, '\n' | '\t') => safe.push('\u{fffd}'),
            other => safe.push(other),
        }
    }
    safe
}

pub(super) fn moment(second: EpochSeconds) -> String {
    let text = second.to_string().replace('T', " ");
    text.strip_suffix(":00Z").or(text.strip_suffix('Z')).map_or(text.clone(), |text| format!("{text} UTC"))
}

pub(super) fn day(second: EpochSeconds) -> String {
    second.to_string().chars().take(10).collect()
}

pub(super) fn span(range: TimeRange) -> String {
    let is_day = |second: EpochSeconds| second == second.day_start();
    match is_day(range.start) && is_day(range.end) {
        true => format!("{} up to {}", day(range.start), day(range.end)),
        false => {
            let (start, end) = (moment(range.start), moment(range.end));
            let start = start.strip_suffix(" UTC").unwrap_or(&start);
            let end = if day(range.start) == day(range.end) { end.get(11..).unwrap_or(&end) } else { &end };
            format!("{start} up to {end}")
        }
    }
}

pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        0.0 => "0 %".to_owned(),
        100.0 => "100 %".to_owned(),
        tiny if tiny < 0.01 => "&lt; 0.01 %".to_owned(),
        // What is not all is never told as all.
        some => format!("{:.2} %", (some * 100.0).floor() / 100.0),
    }
}

pub(super) fn counted(count: u64, name: &str) -> String {
    format!("{} {name}{}", HumanCount(count), if count == 1 { "" } else { "s" })
}

/// What the run cost over the floor, or why that is not told.
pub(super) fn card(title: &str, note: &str, body: &str) -> String {
    // What fits on a printed page is kept together there.
    let height = body.matches("<tr>").count() + CHART_IN_ROWS * body.matches("<figure>").count();
    let class = if height <= MOST_KEPT_TOGETHER { "card brief" } else { "card" };
    format!("<section class=\"{class}\"><h2>{title}</h2><p class=\"note\">{note}</p>{body}</section>")
}

pub(super) fn legend(items: &[(&str, &str)]) -> String {
    let items: String =
        items.iter().map(|(class, name)| format!("<span><i class=\"{class}\"></i>{name}</span>")).collect();
    format!("<div class=\"legend\">{items}</div>")
}

#[expect(clippy::cast_precision_loss, reason = "for a picture")]
pub(super) fn as_float_of(count: u64) -> f64 {
    count as f64
}

pub(super) fn as_float(count: usize) -> f64 {
    as_float_of(count as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_markup() {
        assert_eq!(escaped("<a href='x' \"y\">&\u{7}"), "&lt;a href=&#39;x&#39; &quot;y&quot;&gt;&amp;\u{fffd}");
    }

    #[test]
    fn times_and_shares_read_well() {
        let at = EpochSeconds::new;
        assert_eq!(moment(at(1_767_225_600)), "2026-01-01 00:00 UTC");
        assert_eq!(moment(at(1_767_225_661)), "2026-01-01 00:01:01 UTC");
        assert_eq!(span(TimeRange::new(at(1_767_225_600), at(1_767_312_000))), "2026-01-01 up to 2026-01-02");
        let on = |start: i64, end: i64| span(TimeRange::new(at(1_767_225_600 + start), at(1_767_225_600 + end)));
        assert_eq!(on(0, 61), "2026-01-01 00:00 up to 00:01:01 UTC");
        assert_eq!(on(60, 86_460), "2026-01-01 00:01 up to 2026-01-02 00:01 UTC");
        assert_eq!([counted(1, "file"), counted(1_000, "file")], ["1 file", "1,000 files"]);
        assert_eq!([percent(0.0), percent(0.999_999), percent(1.0)], ["0 %", "99.99 %", "100 %"]);
        assert_eq!(percent(0.000_01), "&lt; 0.01 %");
    }
}
