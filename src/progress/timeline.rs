//! Requests over time: how many, how they ended, and how long they took, in a bounded number of stretches. Pure: moments come in as
//! arguments.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::progress::AttemptOutcome;
use crate::units::EpochSeconds;

/// Stretches that are kept, at most; where there would be more, neighbours become one.
pub const MOST_STRETCHES: usize = 240;
/// Classes of latency: the first ends at [`FIRST_MS`], each other 1.5 times as far as the one before, so the last at about 4 minutes.
const CLASSES: usize = 28;
const FIRST_MS: f64 = 4.0;
const GROWTH: f64 = 1.5;

/// The requests of a run, in the order of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// How long a stretch is, seconds; longer once there have been many.
    pub stretch_s: i64,
    /// Those in which a request ended.
    pub stretches: Vec<Stretch>,
}

/// Requests that ended within a stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// Its first second.
    pub start: EpochSeconds,
    /// The first second after it.
    pub end: EpochSeconds,
    /// Requests that a page answered.
    pub answered: u64,
    /// Requests that the service asked to slow down for.
    pub throttled: u64,
    /// Requests that ended otherwise.
    pub failed: u64,
    /// How many took how long, by class; what is missing at the end is 0.
    pub latencies: Vec<u64>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { stretch_s: 1, stretches: Vec::new() }
    }
}

impl Timeline {
    /// A request ended at this moment, after so long. A clock that is set back changes no order.
    pub fn ended(&mut self, at: EpochSeconds, outcome: AttemptOutcome, took: Duration) {
        let stretch = match self.stretches.last_mut() {
            Some(last) if at < last.end => last,
            _ => {
                self.make_room();
                let start = EpochSeconds::new(at.get().div_euclid(self.stretch_s) * self.stretch_s);
                let start = self.stretches.last().map_or(start, |last| start.max(last.end));
                self.stretches.push(Stretch { start, end: start.shifted(self.stretch_s), ..Stretch::default() });
                let Some(last) = self.stretches.last_mut() else { return };
                last
            }
        };
        match outcome {
            AttemptOutcome::Answered => stretch.answered += 1,
            AttemptOutcome::Throttled => stretch.throttled += 1,
            AttemptOutcome::Failed => stretch.failed += 1,
        }
        let class = class_of(took);
        if stretch.latencies.len() <= class {
            stretch.latencies.resize(class + 1, 0);
        }
        if let Some(count) = stretch.latencies.get_mut(class) {
            *count += 1;
        }
    }

    fn make_room(&mut self) {
        if self.stretches.len() < MOST_STRETCHES {
            return;
        }
        self.stretch_s = self.stretch_s.saturating_mul(2);
        self.stretches =
            self.stretches.chunks(2).map(|pair| pair.iter().fold(Stretch::default(), Stretch::with)).collect();
    }
}

impl Stretch {
    /// Requests of it.
    pub fn requests(&self) -> u64 {
        self.answered + self.throttled + self.failed
    }

    /// How long this share of its requests took at most, milliseconds: the end of a class, so at most half more than it was.
    pub fn latency_ms(&self, share: f64) -> Option<f64> {
        quantile(&self.latencies, share)
    }

    fn with(mut self, other: &Self) -> Self {
        self.start = if self.end == EpochSeconds::default() { other.start } else { self.start };
        self.end = other.end;
        self.answered += other.answered;
        self.throttled += other.throttled;
        self.failed += other.failed;
        add(&mut self.latencies, &other.latencies);
        self
    }
}

/// Adds counts class by class.
pub fn add(sum: &mut Vec<u64>, more: &[u64]) {
    if sum.len() < more.len() {
        sum.resize(more.len(), 0);
    }
    sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
}

/// How long this share of the counted requests took at most, milliseconds; none where there are none.
#[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
pub fn quantile(latencies: &[u64], share: f64) -> Option<f64> {
    let all: u64 = latencies.iter().sum();
    let mut left = share * all as f64;
    let class = latencies.iter().position(|count| {
        left -= *count as f64;
        *count > 0 && left <= 0.0
    });
    class.map(|class| FIRST_MS * GROWTH.powi(i32::try_from(class).unwrap_or(i32::MAX)))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a class is within its bounds")]
fn class_of(took: Duration) -> usize {
    let class = (took.as_secs_f64() * 1_000.0 / FIRST_MS).log(GROWTH).ceil();
    (class.max(0.0) as usize).min(CLASSES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(requests: impl Iterator<Item = (i64, AttemptOutcome, u64)>) -> Timeline {
        let mut timeline = Timeline::default();
        requests.for_each(|(at, how, took)| timeline.ended(EpochSeconds::new(at), how, Duration::from_millis(took)));
        timeline
    }

    #[test]
    fn requests_are_counted_by_when_and_how_they_ended() {
        use AttemptOutcome::{Answered, Failed, Throttled};
        let timeline =
            timeline([(10, Answered, 90), (10, Throttled, 5), (12, Failed, 1_000), (11, Answered, 90)].into_iter());
        let told: Vec<_> =
            timeline.stretches.iter().map(|s| (s.start.get(), s.answered, s.throttled, s.failed)).collect();
        assert_eq!(told, [(10, 1, 1, 0), (12, 1, 0, 1)], "the clock was set back for the last");
    }

    #[test]
    fn however_long_a_run_takes_it_is_bounded_and_loses_no_request() {
        let timeline = timeline((0..10_000).map(|at| (at, AttemptOutcome::Answered, 50)));
        assert!(timeline.stretches.len() <= MOST_STRETCHES && timeline.stretches.len() > MOST_STRETCHES / 3);
        assert_eq!(timeline.stretches.iter().map(Stretch::requests).sum::<u64>(), 10_000);
        assert_eq!(timeline.stretches.iter().flat_map(|s| &s.latencies).sum::<u64>(), 10_000);
        assert!(timeline.stretches.is_sorted_by(|one, other| one.end <= other.start && one.start < one.end));
    }

    #[test]
    fn a_latency_is_told_within_its_class() {
        let slow = |at| if at < 95 { 50 } else { 900 };
        let timeline = timeline((0..100).map(|at| (7, AttemptOutcome::Answered, slow(at))));
        let at = |share| timeline.stretches[0].latency_ms(share).unwrap();
        assert!((50.0..75.0).contains(&at(0.5)), "{}", at(0.5));
        assert!((900.0..1_350.0).contains(&at(0.99)), "{}", at(0.99));
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(class_of(Duration::ZERO), 0);
        assert_eq!(class_of(Duration::from_secs(100_000)), CLASSES - 1);
    }
}
