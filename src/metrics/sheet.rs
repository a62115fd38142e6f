//! What is told at one moment: this start's numbers, and what the file told before. Pure.
//!
//! Counters and the last success outlive a process, so they go on from where the former file left them. A number that this start
//! does not know yet stays as it was, so that no series breaks off while a run is being opened.

use crate::failure::ExitCode;
use crate::progress::{RunView, Spent, View};
use crate::summary::{Shortfall, Summary};
use crate::units::Credits;

use super::families as of;
use super::text::{Family, Former, Sample, exposition, series};

/// The outcome of a start that ended without a word.
const KILLED: &str = "killed";

/// A start at one moment. Moments are seconds since the epoch.
#[derive(Debug)]
pub(super) struct Moment<'a> {
    /// The output's folder.
    pub(super) output: &'a str,
    pub(super) started_at: f64,
    pub(super) now: f64,
    pub(super) max_credits: Option<Credits>,
    pub(super) view: &'a View,
    /// The runs that it has worked on, the last one last.
    pub(super) runs: &'a [RunView],
    pub(super) end: Option<&'a End>,
}

/// How the start ended.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) code: ExitCode,
    pub(super) at: f64,
    /// What the run came to; none where the start could not say.
    pub(super) summary: Option<Summary>,
}

/// The metrics of a moment as Prometheus reads them.
pub(super) fn tell(moment: &Moment<'_>, former: &Former) -> String {
    let mut sheet = Sheet { output: moment.output, former, samples: Vec::new() };
    sheet.process(moment);
    sheet.last_end(moment);
    sheet.run(moment);
    sheet.totals(moment);
    sheet.live(moment);
    if let Some(summary) = moment.end.and_then(|end| end.summary.as_ref()) {
        sheet.result(summary);
    } else {
        sheet.former_result();
    }
    exposition(&of::ALL, &sheet.samples)
}

struct Sheet<'a> {
    output: &'a str,
    former: &'a Former,
    samples: Vec<Sample>,
}

/// A further label and its value; none for a family with one series.
type Label<'a> = Option<(&'a str, &'a str)>;

impl Sheet<'_> {
    fn series(&self, family: Family, label: Label<'_>) -> String {
        let labels: Vec<(&str, &str)> = std::iter::once(("output", self.output)).chain(label).collect();
        series(family.name, &labels)
    }

    fn former(&self, family: Family, label: Label<'_>) -> Option<f64> {
        self.former.get(&self.series(family, label))
    }

    fn put(&mut self, family: Family, label: Label<'_>, value: f64) {
        let series = self.series(family, label);
        self.samples.push(Sample { family, series, value });
    }

    /// The number, or else the former one; neither where there is none.
    fn keep(&mut self, family: Family, label: Label<'_>, value: Option<f64>) {
        if let Some(value) = value.or_else(|| self.former(family, label)) {
            self.put(family, label, value);
        }
    }

    fn add(&mut self, family: Family, label: Label<'_>, more: f64) {
        let before = self.former(family, label).unwrap_or_default();
        self.put(family, label, before + more);
    }

    fn process(&mut self, moment: &Moment<'_>) {
        self.put(of::BUILD_INFO, Some(("version", env!("CARGO_PKG_VERSION"))), 1.0);
        self.put(of::RUNNING, None, truth(moment.end.is_none()));
        self.put(of::START, None, moment.started_at);
        self.put(of::UPDATE, None, moment.now);
        self.add(of::STARTS, None, 1.0);
        for code in ExitCode::ALL {
            let ended_so = moment.end.is_some_and(|end| end.code == code);
            self.add(of::ENDS, Some(("outcome", code.name())), truth(ended_so));
        }
        // Whoever still said that it runs is gone: this start could take its place.
        let was_killed = self.former(of::RUNNING, None) == Some(1.0);
        self.add(of::ENDS, Some(("outcome", KILLED)), truth(was_killed));
    }

    fn last_end(&mut self, moment: &Moment<'_>) {
        let end = moment.end;
        let success = end.filter(|end| end.code == ExitCode::Complete);
        self.keep(of::LAST_EXIT_CODE, None, end.map(|end| f64::from(end.code.number())));
        self.keep(of::LAST_END, None, end.map(|end| end.at));
        self.keep(of::LAST_DURATION, None, end.map(|end| to_the_millisecond(end.at - moment.started_at)));
        let succeeded_at = success.map(|end| end.at).or_else(|| self.former(of::LAST_SUCCESS, None));
        self.put(of::LAST_SUCCESS, None, succeeded_at.unwrap_or_default());
        let range_end = success.and_then(|end| end.summary.as_ref()).map(|summary| second(summary.range.end.get()));
        self.keep(of::LAST_SUCCESS_RANGE_END, None, range_end);
    }

    fn run(&mut self, moment: &Moment<'_>) {
        let run = moment.runs.last();
        self.keep(of::RUN_START, None, run.map(|run| second(run.began_at.get())));
        for (outcome, of_it) in OUTCOMES {
            self.keep(of::RUN_REQUESTS, Some(("outcome", outcome)), run.map(|run| number(of_it(&run.spent))));
        }
        self.keep(of::RUN_RETRIES, None, run.map(|run| number(run.spent.retries)));
        self.keep(of::RUN_POSSIBLY_CHARGED, None, run.map(|run| number(run.spent.possibly_charged)));
        let used = |run: &RunView| number(run.spent.attempts.saturating_add(run.spent.possibly_charged));
        self.keep(of::RUN_SPENT, None, run.map(used));
        if let Some(max) = moment.max_credits {
            self.put(of::RUN_MAX, None, number(max.get()));
        }
        let is_complete = moment.end.is_some_and(|end| end.code == ExitCode::Complete);
        let is_told = !moment.view.regions.is_empty();
        let settled = if is_complete { Some(1.0) } else { is_told.then_some(moment.view.settled_share) };
        self.keep(of::RUN_SETTLED, None, settled);
        let ended = moment.end.and_then(|end| end.summary.as_ref()).map(|summary| summary.rows.get());
        let rows = ended.or_else(|| is_told.then(|| moment.view.published_rows.get()));
        self.keep(of::RUN_ROWS, None, rows.map(number));
    }

    /// What the runs of this start have asked since the former file was written. A run that it told of is counted from where it
    /// left off, so that what a killed start had asked since is not lost; any other from where this start took it up.
    fn totals(&mut self, moment: &Moment<'_>) {
        let told_run = self.former(of::RUN_START, None);
        let is_told = |run: &RunView| told_run == Some(second(run.began_at.get()));
        let since = |told: Option<f64>, of_it: Count| {
            let of_run = |run: &RunView| {
                let before = told.filter(|_| is_told(run)).unwrap_or_else(|| number(of_it(&run.before)));
                (number(of_it(&run.spent)) - before).max(0.0)
            };
            moment.runs.iter().map(of_run).sum::<f64>()
        };
        for (outcome, of_it) in OUTCOMES {
            let label = Some(("outcome", outcome));
            let more = since(self.former(of::RUN_REQUESTS, label), of_it);
            self.add(of::REQUESTS, label, more);
        }
        let more = since(self.former(of::RUN_RETRIES, None), |spent| spent.retries);
        self.add(of::RETRIES, None, more);
    }

    fn live(&mut self, moment: &Moment<'_>) {
        let view = moment.view;
        self.keep(
            of::LAST_PAGE,
            None,
            view.last_page_ago.map(|ago| to_the_millisecond(moment.now - ago.as_secs_f64())),
        );
        if moment.end.is_some() {
            return;
        }
        if let Some(rate) = view.permitted_per_second {
            self.put(of::PERMITTED, None, rate);
        }
        let held = view.held.as_ref().map_or(0.0, |(left, _)| left.as_secs_f64());
        self.put(of::HELD, None, to_the_millisecond(held));
        if let Some(left) = view.remaining {
            self.put(of::REMAINING, None, number(left.as_secs()));
        }
    }

    fn result(&mut self, summary: &Summary) {
        for region in &summary.regions {
            let newest = summary.newest.get(region).map(|moment| second(moment.get()));
            self.keep(of::NEWEST_ROW, Some(("region", region.as_str())), newest);
        }
        self.put(of::LAST_ROWS, None, number(summary.rows.get()));
        self.put(of::LAST_PARTS, None, number(summary.parts));
        self.put(of::LAST_BYTES, None, number(summary.bytes.get()));
        self.put(of::LAST_REJECTED, None, number(summary.rejected));
        let kinds = [("gap", &summary.gaps), ("unproven", &summary.unproven), ("elsewhere", &summary.elsewhere)];
        for (kind, ranges) in kinds {
            let label = Some(("kind", kind));
            self.put(of::LAST_MISSING_RANGES, label, number(ranges.len() as u64));
            let seconds = |ranges: &[Shortfall]| ranges.iter().map(|missing| missing.range.seconds()).sum::<i64>();
            self.put(of::LAST_MISSING_SECONDS, label, second(seconds(ranges)));
        }
    }

    /// What the latest start came to that could say so.
    fn former_result(&mut self) {
        let families = [
            of::NEWEST_ROW,
            of::LAST_ROWS,
            of::LAST_PARTS,
            of::LAST_BYTES,
            of::LAST_REJECTED,
            of::LAST_MISSING_RANGES,
            of::LAST_MISSING_SECONDS,
        ];
        for family in families {
            let own = self.series(family, None);
            let start = own.trim_end_matches('}');
            let own = self.former.beginning_with(start).filter(|(series, _)| {
                // Another output's name may begin like this one's; its closing quote tells them apart.
                series.get(start.len()..).is_some_and(|rest| rest.starts_with([',', '}']))
            });
            let told = own.map(|(series, value)| Sample { family, series: series.to_owned(), value });
            self.samples.extend(told.collect::<Vec<_>>());
        }
    }
}

/// One of a ledger's numbers.
type Count = fn(&Spent) -> u64;

/// How requests end, and how many of a run's did so.
const OUTCOMES: [(&str, Count); 3] = [
    ("answered", |spent| spent.answered),
    ("throttled", |spent| spent.throttled),
    ("failed", |spent| spent.attempts.saturating_sub(spent.answered.saturating_add(spent.throttled))),
];

fn truth(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has no other numbers; counts are far below 2^52")]
fn number(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has no other numbers; moments are far below 2^52")]
fn second(seconds: i64) -> f64 {
    seconds as f64
}

fn to_the_millisecond(seconds: f64) -> f64 {
    (seconds * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests;
