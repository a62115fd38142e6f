//! The requests of a run over time, as charts. Pure.

use indicatif::HumanCount;

use crate::progress::Timeline;
use crate::progress::timeline::{Stretch, add, quantile};
use crate::units::EpochSeconds;

use super::chart::{Series, bars, lines};
use super::html::{as_float_of, card, legend, moment};

/// Columns of a chart, at most.
const MOST_COLUMNS: usize = 120;
/// The longest time without a request that belongs to a start, seconds. What is longer is a pause between starts, and left out.
const LONGEST_IDLE_S: i64 = 60;

/// Stretches that are drawn as one.
#[derive(Default)]
struct Column {
    sum: Stretch,
    /// How long they are together, pauses left out.
    seconds: f64,
}

impl Column {
    fn of(stretches: &[Stretch]) -> Self {
        let mut column = Self { sum: stretches.first().cloned().unwrap_or_default(), seconds: 0.0 };
        for (place, more) in stretches.iter().enumerate() {
            column.seconds += as_float_of(more.end.since(more.start).unsigned_abs());
            if place > 0 {
                column.sum.end = more.end;
                column.sum.answered += more.answered;
                column.sum.throttled += more.throttled;
                column.sum.failed += more.failed;
                add(&mut column.sum.latencies, &more.latencies);
            }
        }
        column
    }

    fn rate(&self, of: fn(&Stretch) -> u64) -> f64 {
        as_float_of(of(&self.sum)) / self.seconds.max(1.0)
    }
}

/// The columns of a timeline: time without a request is there too, but for pauses.
fn columns(timeline: &Timeline) -> Vec<Column> {
    let step = timeline.stretch_s.max(1);
    let mut filled: Vec<Stretch> = Vec::new();
    for stretch in &timeline.stretches {
        let from = filled.last().map_or(stretch.start, |last| last.end);
        if stretch.start.since(from) <= LONGEST_IDLE_S.max(2 * step) {
            let mut start = from;
            while start < stretch.start {
                let end = start.shifted(step).min(stretch.start);
                filled.push(Stretch { start, end, ..Stretch::default() });
                start = end;
            }
        }
        filled.push(stretch.clone());
    }
    filled.chunks(filled.len().div_ceil(MOST_COLUMNS).max(1)).map(Column::of).collect()
}

/// How many requests there were over time, how they ended, and how long they took.
pub(super) fn requests(timeline: Option<&Timeline>) -> String {
    let Some(timeline) = timeline else {
        return card(
            "Requests",
            "No start of this run that ended by itself has told how its requests went over time.",
            "",
        );
    };
    let columns = columns(timeline);
    card(
        "Requests",
        "Requests a second, by how they ended, while the run was at work; pauses between starts are left out.",
        &(rates(&columns) + &latencies(&columns)),
    )
}

fn rates(columns: &[Column]) -> String {
    let title = |column: &Column| {
        let Stretch { start, answered, throttled, failed, .. } = &column.sum;
        format!("{}: {answered} answered, {throttled} asked to slow down, {failed} failed", moment(*start))
    };
    let titles: Vec<String> = columns.iter().map(title).collect();
    let value = |of: fn(&Stretch) -> u64| columns.iter().map(|column| column.rate(of)).collect::<Vec<f64>>();
    let series = [
        Series { class: "answered", values: value(|stretch| stretch.answered) },
        Series { class: "throttled", values: value(|stretch| stretch.throttled) },
        Series { class: "failed", values: value(|stretch| stretch.failed) },
    ];
    let most = per_second(value(Stretch::requests).into_iter().fold(0.0, f64::max));
    format!(
        "<figure><div class=\"peak\">at most {most} requests a second</div>{}{}</figure>{}",
        bars(&series, &format!("Requests a second over time, at most {most}"), &titles),
        axis(columns),
        legend(&[("answered", "answered"), ("throttled", "asked to slow down (429)"), ("failed", "failed")])
    )
}

fn latencies(columns: &[Column]) -> String {
    let at = |share: f64| columns.iter().map(|column| column.sum.latency_ms(share)).collect::<Vec<Option<f64>>>();
    let (half, most) = (at(0.5), at(0.95));
    let slowest = most.iter().flatten().copied().fold(0.0, f64::max);
    let mut all = Vec::new();
    columns.iter().for_each(|column| add(&mut all, &column.sum.latencies));
    let told = |share| quantile(&all, share).map_or_else(|| "–".to_owned(), milliseconds);
    format!(
        "<h3>How long an answer took</h3><p class=\"note\">half within {}, 95 of 100 within {}, 99 of 100 within {}</p><figure>\
         <div class=\"peak\">up to {}</div>{}{}</figure>{}",
        told(0.5),
        told(0.95),
        told(0.99),
        milliseconds(slowest),
        lines(&[("p95", most), ("p50", half)], "How long answers took over time"),
        axis(columns),
        legend(&[("p50", "half of all answers within"), ("p95", "95 of 100 within")])
    )
}

/// The first moment, that of the middle column, and the last one.
fn axis(columns: &[Column]) -> String {
    let start = |column: Option<&Column>| column.map(|column| moment(column.sum.start)).unwrap_or_default();
    let end: Option<EpochSeconds> = columns.last().map(|column| column.sum.end);
    format!(
        "<div class=\"axis\"><span>{}</span><span class=\"wide\">{}</span><span>{}</span></div>",
        start(columns.first()),
        start(columns.get(columns.len() / 2)),
        end.map(moment).unwrap_or_default()
    )
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "requests a second, never negative")]
fn per_second(rate: f64) -> String {
    if rate < 10.0 { format!("{rate:.1}") } else { HumanCount(rate.round() as u64).to_string() }
}

fn milliseconds(ms: f64) -> String {
    if ms >= 1_000.0 { format!("{:.1} s", ms / 1_000.0) } else { format!("{ms:.0} ms") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::progress::AttemptOutcome;

    fn drawn(moments: impl Iterator<Item = i64>) -> Vec<(i64, i64, u64)> {
        let mut timeline = Timeline::default();
        moments.for_each(|at| {
            timeline.ended(EpochSeconds::new(at), AttemptOutcome::Answered, Duration::from_millis(9));
        });
        columns(&timeline).iter().map(|one| (one.sum.start.get(), one.sum.end.get(), one.sum.answered)).collect()
    }

    #[test]
    fn time_without_a_request_is_drawn_and_a_pause_is_not() {
        assert_eq!(drawn([5, 5, 8].into_iter()), [(5, 6, 2), (6, 7, 0), (7, 8, 0), (8, 9, 1)]);
        assert_eq!(drawn([5, 86_400].into_iter()), [(5, 6, 1), (86_400, 86_401, 1)]);
    }

    #[test]
    fn a_rate_is_that_of_the_time_at_work() {
        let quiet_days = (0..300).map(|day| day * 86_400);
        let (all, most) = (drawn(quiet_days.clone()), MOST_COLUMNS);
        assert!(all.len() <= most && all.iter().map(|(_, _, count)| count).sum::<u64>() == 300, "{all:?}");
        let mut timeline = Timeline::default();
        quiet_days.take(240).for_each(|at| {
            timeline.ended(EpochSeconds::new(at), AttemptOutcome::Answered, Duration::from_millis(9));
        });
        assert!(columns(&timeline).iter().all(|column| (column.rate(Stretch::requests) - 1.0).abs() < 1e-9));
        assert_eq!([per_second(0.25), per_second(1_076.4)], ["0.2", "1,076"]);
    }

    #[test]
    fn no_request_is_told_as_none() {
        assert!(!requests(Some(&Timeline::default())).contains("NaN"));
    }
}
