//! The settings that a check found out, as a file for `run --config`. Pure.

use std::fmt::Write as _;

use super::finding::UNKNOWN;
use super::report::Report;

/// A TOML file: the facts that a run takes as verified, and every verdict as a comment.
pub fn settings(report: &Report, when: &str) -> String {
    let mut text = format!(
        "# Found out by `keyapi-export check` on {when}, for region {}, with {} requests.\n#\n",
        report.region, report.requests_spent
    );
    for finding in &report.properties {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# {} = {}: {}", finding.name, finding.verdict, one_line(&finding.why));
    }
    text.push_str("\n# What a run takes as verified; what it sees itself counts more.\n[verified]\n");
    let known = |name: &str| report.verdict(name).filter(|verdict| *verdict != UNKNOWN);
    for name in ["min_bound", "max_bound"] {
        if let Some(verdict) = known(name) {
            let _ = writeln!(text, "{name} = \"{verdict}\"");
        }
    }
    if let Some(page) = known("last_page") {
        let _ = writeln!(text, "last_page = {page}");
    }
    if let Some(rate) = report.rate.as_ref().and_then(|rate| rate.requests_per_second) {
        let _ = writeln!(text, "requests_per_second = {rate:.2}");
    }
    text
}

fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
