//! What a check tells: each property with its verdict, as JSON and as text. Pure.

use std::fmt::Write as _;

use serde::Serialize;

use super::finding::Finding;
use super::rate::RateReport;
use super::{Check, Latency};

/// Everything that a check found out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The region.
    pub region: String,
    /// The range, epoch seconds, half-open.
    pub from: i64,
    /// See `from`.
    pub to: i64,
    /// Requests that were sent, whatever came of them; each is taken for a credit.
    pub requests_spent: u64,
    /// Those of them that came too fast for the service.
    pub throttled: u64,
    /// What ended the check before its questions; none where nothing did.
    pub stopped: Option<String>,
    /// Whether the service takes the key.
    pub key: Finding,
    /// How long answers take.
    pub latency: Latency,
    /// Each property.
    pub properties: Vec<Finding>,
    /// What was measured of the rate; none without `--rate`.
    pub rate: Option<RateReport>,
}

impl Report {
    /// What `check` has found out with so many requests.
    pub fn of(
        check: &Check,
        (requests_spent, throttled): (u64, u64),
        rate: Option<RateReport>,
        rate_limit: Finding,
    ) -> Self {
        let scope = check.scope();
        let mut properties = check.findings();
        properties.push(rate_limit);
        Self {
            region: scope.region.to_string(),
            from: scope.from,
            to: scope.to,
            requests_spent,
            throttled,
            stopped: None,
            key: check.key(),
            latency: check.latency(),
            properties,
            rate,
        }
    }

    /// The verdict on a property; none where there is no such property.
    pub fn verdict(&self, name: &str) -> Option<&str> {
        self.properties.iter().find(|finding| finding.name == name).map(|finding| finding.verdict.as_str())
    }

    /// The table for a person.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for finding in [&self.key].into_iter().chain(&self.properties) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{:<27} {:<16} {}", finding.name, finding.verdict, finding.meaning);
            let _ = writeln!(text, "{:<27} {}{}", "", finding.why, evidence(&finding.evidence));
        }
        let _ = writeln!(text, "{:<27} {}", "latency", self.latency());
        if let Some(why) = &self.stopped {
            let _ = writeln!(text, "\nthe check ended early: {why}");
        }
        let throttled =
            if self.throttled == 0 { String::new() } else { format!(", {} of them too fast", self.throttled) };
        let were = if self.requests_spent == 1 { "request was" } else { "requests were" };
        let _ = writeln!(text, "\n{} {were} sent{throttled}", self.requests_spent);
        text
    }

    fn latency(&self) -> String {
        let ms = |time: Option<u64>| time.map_or_else(|| "unknown".to_owned(), |ms| format!("{ms} ms"));
        let deep = self.latency.deep_page.map(|page| format!(", page {page}: {}", ms(self.latency.deep_ms)));
        format!("first pages: {}{}", ms(self.latency.near_ms), deep.unwrap_or_default())
    }
}

/// A few of the names of answers, cut short; the JSON has them whole.
fn evidence(ids: &[String]) -> String {
    const SHOWN: usize = 4;
    if ids.is_empty() {
        return String::new();
    }
    let short = |id: &String| id.split('-').next().unwrap_or(id).chars().take(12).collect::<String>();
    let shown: Vec<String> = ids.iter().take(SHOWN).map(short).collect();
    let more = if ids.len() > SHOWN { format!(" and {} more", ids.len() - SHOWN) } else { String::new() };
    format!(" [{}{more}]", shown.join(" "))
}
