//! Prometheus' text format, version 0.0.4: written, and read back as far as it was written here. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It goes up and down.
    Gauge,
    /// It only grows.
    Counter,
}

/// A metric: all series of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
}

pub(super) const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, help }
}

pub(super) const fn counter(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, help }
}

/// One number of one series.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) family: Family,
    /// The series as it is written: name and labels.
    pub(super) series: String,
    pub(super) value: f64,
}

/// A series as it is written. Values are escaped: backslash, quote and line feed (Prometheus, "Exposition formats").
pub(super) fn series(name: &str, labels: &[(&str, &str)]) -> String {
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let told: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
    format!("{name}{{{}}}", told.join(","))
}

/// The samples below the two lines of their family, the families in the order of `families`; one without a sample is left out.
pub(super) fn exposition(families: &[Family], samples: &[Sample]) -> String {
    let mut text = String::new();
    for family in families {
        let own: Vec<&Sample> = samples.iter().filter(|sample| sample.family.name == family.name).collect();
        if own.is_empty() {
            continue;
        }
        let kind = match family.kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        // Writing to a text does not fail.
        let _ = writeln!(text, "# HELP {} {}\n# TYPE {} {kind}", family.name, family.help, family.name);
        for Sample { series, value, .. } in own {
            let _ = writeln!(text, "{series} {value}");
        }
    }
    text
}

/// What a file told: its series as they are written, each with its number. Lines that are not ours are passed over.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Former(BTreeMap<String, f64>);

impl Former {
    pub(super) fn read(text: &str) -> Self {
        let sample = |line: &str| {
            let (series, value) = line.trim().rsplit_once(' ')?;
            let value = value.parse::<f64>().ok().filter(|value| value.is_finite())?;
            Some((series.to_owned(), value))
        };
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
    }

    pub(super) fn get(&self, series: &str) -> Option<f64> {
        self.0.get(series).copied()
    }

    /// Every series that begins so, in the order of their names.
    pub(super) fn beginning_with(&self, start: &str) -> impl Iterator<Item = (&str, f64)> {
        let all = self.0.iter().map(|(series, value)| (series.as_str(), *value));
        all.filter(move |(series, _)| series.starts_with(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: Family = counter("x_total", "Things.");
    const LEVEL: Family = gauge("y", "A level.");

    #[test]
    fn families_come_with_their_two_lines_and_without_samples_not_at_all() {
        let sample = |family: Family, labels: &[(&str, &str)], value| Sample {
            family,
            series: series(family.name, labels),
            value,
        };
        let samples = [
            sample(LEVEL, &[("a", "1"), ("b", "2")], 0.25),
            sample(COUNT, &[("a", "1")], 1_767_225_600.0),
            sample(LEVEL, &[("a", "2")], 1_767_225_600.125),
        ];
        let none = gauge("z", "Never told.");
        assert_eq!(
            exposition(&[COUNT, LEVEL, none], &samples),
            "# HELP x_total Things.\n# TYPE x_total counter\nx_total{a=\"1\"} 1767225600\n# HELP y A level.\n# TYPE y gauge\n\
             y{a=\"1\",b=\"2\"} 0.25\ny{a=\"2\"} 1767225600.125\n"
        );
    }

    #[test]
    fn labels_are_escaped_and_what_was_written_is_read_back() {
        let awkward = series("y", &[("output", "/a \"b\"\\c\nd")]);
        assert_eq!(awkward, r#"y{output="/a \"b\"\\c\nd"}"#);
        let former = Former::read(&format!("# TYPE y gauge\n{awkward} 3\n\nx{{a=\"1\"}} NaN\nhalf a li"));
        assert_eq!(former.get(&awkward), Some(3.0));
        assert_eq!(former.0.len(), 1, "no line that says no number: {former:?}");
    }
}
