//! Charts as SVG. Pure. They scale in their width alone, so all text stands beside them, in HTML.

use std::fmt::Write as _;

use crate::units::{DAY_SECONDS, EpochSeconds, TimeRange};

/// The height of a chart, in units of its own; its width is its number of columns.
const HEIGHT: f64 = 100.0;
/// Columns of a chart of time, at most.
const MOST_COLUMNS: i64 = 400;
/// How long a column may be, seconds: an hour, a quarter of a day, a day, a week, four weeks.
const LENGTHS: [(i64, &str); 5] = [
    (3_600, "hour"),
    (DAY_SECONDS / 4, "6 hours"),
    (DAY_SECONDS, "day"),
    (7 * DAY_SECONDS, "week"),
    (28 * DAY_SECONDS, "4 weeks"),
];
/// The longest range that is told by the hour, seconds.
const BY_THE_HOUR: i64 = 4 * DAY_SECONDS;

/// Columns of equal length that hold a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) range: TimeRange,
    pub(super) length: i64,
    /// What a column is, such as `day`.
    pub(super) name: &'static str,
}

impl Columns {
    /// Columns of an hour for a few days, of a day for about a year, and of weeks for more.
    pub(super) fn of(range: TimeRange) -> Self {
        let fits = |(length, _): &&(i64, &str)| match *length {
            3_600 => range.seconds() <= BY_THE_HOUR,
            21_600 => range.seconds() <= 4 * BY_THE_HOUR,
            length => range.seconds() / length < MOST_COLUMNS,
        };
        let (length, name) =
            LENGTHS.iter().find(fits).copied().unwrap_or((range.seconds() / MOST_COLUMNS + 1, "column"));
        let start = range.start.get().div_euclid(length) * length;
        Self { range: TimeRange::new(EpochSeconds::new(start), range.end), length, name }
    }

    pub(super) fn count(self) -> usize {
        let count = (self.range.seconds() + self.length - 1) / self.length;
        usize::try_from(count).unwrap_or(0)
    }

    /// The column that a second falls into.
    pub(super) fn of_second(self, second: EpochSeconds) -> Option<usize> {
        let column = usize::try_from(second.since(self.range.start).div_euclid(self.length)).ok()?;
        Some(column).filter(|column| *column < self.count())
    }

    pub(super) fn start(self, column: usize) -> EpochSeconds {
        self.range.start.shifted(i64::try_from(column).unwrap_or(0) * self.length)
    }

    /// Where a second lies, in columns.
    #[expect(clippy::cast_precision_loss, reason = "for a picture")]
    fn place(self, second: EpochSeconds) -> f64 {
        second.since(self.range.start) as f64 / self.length as f64
    }
}

/// One series of a chart: its class and a value for each column.
pub(super) struct Series<'a> {
    pub(super) class: &'a str,
    pub(super) values: Vec<f64>,
}

/// Bars of one column each, the series upon each other. `label` is read aloud in place of the picture; `titles` tell of each column.
pub(super) fn bars(series: &[Series<'_>], label: &str, titles: &[String]) -> String {
    let count = series.iter().map(|one| one.values.len()).max().unwrap_or(0);
    let sum = |column: usize| series.iter().filter_map(|one| one.values.get(column)).sum::<f64>();
    let most = (0..count).map(sum).fold(0.0, f64::max);
    let mut body = String::new();
    for column in 0..count {
        let mut below = 0.0;
        let _ = write!(body, "<g>");
        for one in series {
            let value = one.values.get(column).copied().unwrap_or(0.0);
            if value <= 0.0 {
                continue;
            }
            let (height, base) = (value / most * HEIGHT, below / most * HEIGHT);
            let _ = write!(
                body,
                r#"<rect class="{}" x="{:.2}" y="{:.2}" width="{:.2}" height="{:.2}"/>"#,
                one.class,
                column_float(column) + 0.06,
                HEIGHT - base - height,
                0.88,
                height.max(0.6)
            );
            below += value;
        }
        if let Some(title) = titles.get(column) {
            let _ = write!(
                body,
                r#"<rect class="hit" x="{column}" y="0" width="1" height="{HEIGHT}"><title>{}</title></rect>"#,
                super::html::escaped(title)
            );
        }
        let _ = write!(body, "</g>");
    }
    svg("chart", count, label, &body)
}

/// A strip that tells of each second what it is; later ranges lie over earlier ones.
pub(super) fn strip(columns: Columns, layers: &[(&str, &[TimeRange])], label: &str) -> String {
    let mut body = format!(r#"<rect class="unread" x="0" y="0" width="{}" height="{HEIGHT}"/>"#, columns.count());
    for (class, ranges) in layers {
        for range in *ranges {
            let range = range.intersection(columns.range);
            let (from, to) = (columns.place(range.start), columns.place(range.end));
            // However short, it shows.
            let width = (to - from).max(column_float(columns.count()) / 400.0);
            let from = from.min((column_float(columns.count()) - width).max(0.0));
            let _ = write!(body, r#"<rect class="{class}" x="{from:.3}" y="0" width="{width:.3}" height="{HEIGHT}"/>"#);
        }
    }
    svg("strip", columns.count(), label, &body)
}

/// Lines over columns; a value that is none breaks the line.
pub(super) fn lines(series: &[(&str, Vec<Option<f64>>)], label: &str) -> String {
    let count = series.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
    let most = series.iter().flat_map(|(_, values)| values.iter().flatten()).copied().fold(0.0, f64::max);
    let mut body = String::new();
    for (class, values) in series {
        let mut path = String::new();
        let mut is_broken = true;
        for (column, value) in values.iter().enumerate() {
            let Some(value) = value else {
                is_broken = true;
                continue;
            };
            let height = HEIGHT - if most > 0.0 { value / most * (HEIGHT - 4.0) } else { 0.0 } - 2.0;
            let x = column_float(column);
            let verb = if is_broken { "M" } else { "L" };
            let _ = write!(path, "{verb}{x:.2} {height:.2}L{:.2} {height:.2}", x + 1.0);
            is_broken = false;
        }
        let _ = write!(body, r#"<path class="line {class}" d="{path}"/>"#);
    }
    svg("chart", count, label, &body)
}

/// A bar of a share, 0 to 1.
pub(super) fn meter(share: f64, class: &str) -> String {
    let width = (share.clamp(0.0, 1.0) * 100.0).max(if share > 0.0 { 0.8 } else { 0.0 });
    format!(
        r#"<svg class="meter" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true"><rect class="track" width="100" height="6"/><rect class="{class}" width="{width:.2}" height="6"/></svg>"#
    )
}

fn svg(class: &str, width: usize, label: &str, body: &str) -> String {
    let label = super::html::escaped(label);
    format!(
        r#"<svg class="{class}" viewBox="0 0 {} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{label}">{body}</svg>"#,
        width.max(1)
    )
}

#[expect(clippy::cast_precision_loss, reason = "a number of columns")]
fn column_float(column: usize) -> f64 {
    column as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(end))
    }

    #[test]
    fn the_longer_the_range_the_longer_its_columns() {
        let of = |days: i64| {
            let columns = Columns::of(range(0, days * DAY_SECONDS));
            (columns.name, columns.count())
        };
        assert_eq!([of(1), of(3), of(10)], [("hour", 24), ("hour", 72), ("6 hours", 40)]);
        assert_eq!(
            [of(30), of(365), of(1_000), of(5_000)],
            [("day", 30), ("day", 365), ("week", 143), ("4 weeks", 179)]
        );
        assert!(of(100_000).1 <= 402);
    }

    #[test]
    fn a_column_begins_where_its_length_does() {
        let columns = Columns::of(range(5_000, 90_000));
        assert_eq!((columns.start(0).get(), columns.of_second(EpochSeconds::new(5_000))), (3_600, Some(0)));
        assert_eq!(columns.of_second(EpochSeconds::new(7_200)), Some(1));
        assert_eq!(
            (columns.of_second(EpochSeconds::new(0)), columns.of_second(EpochSeconds::new(95_000))),
            (None, None)
        );
    }

    #[test]
    fn a_chart_holds_no_number_that_is_none() {
        let empty = [Series { class: "a", values: vec![] }];
        let none = [Series { class: "a", values: vec![0.0; 3] }];
        let texts = [
            bars(&empty, "", &[]),
            bars(&none, "<&>", &["<b>".to_owned()]),
            lines(&[("p", vec![None, Some(0.0), None])], ""),
            strip(Columns::of(range(0, 10)), &[("gap", &[range(0, 1)])], ""),
            meter(f64::NAN, "x"),
        ];
        for text in texts {
            assert!(!text.contains("NaN") && !text.contains("inf") && !text.contains("<b>"), "{text}");
        }
    }
}
