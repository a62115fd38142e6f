//! The run's two notions of time, made safe against clocks that are set and machines that sleep; and the machine's clock beside the
//! service's.
//!
//! Pacing and waiting use the monotonic clock and nothing here. The wall clock dates scans, which must age over restarts and
//! over a machine's sleep, and must not stand still because somebody set the clock back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::Ends;
use crate::api::client::Clocks;
use crate::units::{EpochSeconds, TimeRange};

/// Looks that lie further apart than this were not late: the process was suspended meanwhile.
const LONGEST_LOOK: Duration = Duration::from_secs(1);

/// The most that two clocks may differ, seconds. An answer may take a minute to come, and clocks that are kept differ by seconds;
/// a quarter of an hour around midnight moves `-7d` by a day.
const MOST_APART_S: i64 = 300;

/// What follows from two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skew {
    /// Nothing.
    Small,
    /// Nothing that was asked depends on it, but a person should know.
    Harmless(WrongClock),
    /// The range may be another than the one that was meant.
    Harmful(WrongClock),
}

/// This machine's clock and the service's differ too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this machine's clock says {} and the service's says {}, {} {}; the range {range} {}",
    clocks.ours, clocks.service, apart(clocks.ahead_s().unsigned_abs()), if clocks.ahead_s() > 0 { "earlier" } else { "later" },
    self.of_range()
)]
pub struct WrongClock {
    /// Both clocks.
    pub clocks: Clocks,
    /// The range that was asked.
    pub range: TimeRange,
    /// What its ends were taken from.
    pub ends: Ends,
}

impl WrongClock {
    /// What the clocks mean for the range, for a person.
    fn of_range(&self) -> &'static str {
        match self.ends {
            Ends::ByClock => "was taken from this machine's",
            Ends::Absolute if self.range.end > self.clocks.service => "is not over yet by the service's",
            Ends::Absolute => "depends on neither",
        }
    }
}

/// What a wrong clock could have spoilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClockCheck {
    /// The run's range.
    pub(super) range: TimeRange,
    /// What its ends were taken from, where this start took them; what a former start took was compared then.
    pub(super) ends: Ends,
}

impl ClockCheck {
    /// Compares the clocks. An end that was written as it is needs no clock, unless it lies in what the service still calls the
    /// future: rows of that time are yet to come.
    pub(super) fn compare(self, clocks: Clocks) -> Skew {
        let Self { range, ends } = self;
        let wrong = WrongClock { clocks, range, ends };
        if clocks.ahead_s().abs() <= MOST_APART_S {
            Skew::Small
        } else if self.ends == Ends::ByClock || self.range.end > clocks.service {
            Skew::Harmful(wrong)
        } else {
            Skew::Harmless(wrong)
        }
    }
}

/// A length of time for a person, in its largest unit.
fn apart(seconds: u64) -> String {
    match seconds {
        0..7_200 => format!("{} minutes", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// The clocks of a run. The wall clock is never behind what has passed since the process began.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunClock {
    began: Instant,
    began_wall: EpochSeconds,
    awake: Duration,
    looked: Instant,
}

impl RunClock {
    /// Clocks of a process that began then, with the wall clock of this moment.
    pub(super) fn start(began: Instant) -> Self {
        Self { began, began_wall: wall(), awake: Duration::ZERO, looked: began }
    }

    /// The moment, whole seconds.
    pub(super) fn now(&self) -> EpochSeconds {
        self.given(wall())
    }

    /// Looks at the clock, which is to be done far more often than every [`LONGEST_LOOK`]: what has passed since the process
    /// began, and how much of it the process was awake: an hour of suspension is not the service's fault.
    pub(super) fn look(&mut self) -> (Duration, Duration) {
        let now = Instant::now();
        self.awake += now.saturating_duration_since(self.looked).min(LONGEST_LOOK);
        self.looked = now;
        (now.saturating_duration_since(self.began), self.awake)
    }

    /// The moment that lies so long after the process began.
    pub(super) fn at(&self, since: Duration) -> Instant {
        self.began + since
    }

    fn given(&self, wall: EpochSeconds) -> EpochSeconds {
        let passed = i64::try_from(self.began.elapsed().as_secs()).unwrap_or(i64::MAX);
        wall.max(self.began_wall.shifted(passed))
    }
}

/// The moment by the wall clock, whole seconds.
pub(super) fn wall() -> EpochSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EpochSeconds::new(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: i64) -> EpochSeconds {
        EpochSeconds::new(second)
    }

    fn clocks(ours: i64, service: i64) -> Clocks {
        Clocks { ours: second(ours), service: second(service) }
    }

    #[test]
    fn clocks_that_are_far_apart_matter_where_the_range_was_taken_from_one() {
        const NOW: i64 = 1_773_156_030;
        let range = TimeRange::new(second(NOW - 1_000), second(NOW - 10));
        let of = |ours: i64, ends| ClockCheck { range, ends }.compare(clocks(ours, NOW));
        for near in [-300, -1, 0, 300] {
            assert_eq!(of(NOW + near, Ends::ByClock), Skew::Small, "{near}");
        }
        for far in [-86_400, -301, 301, 86_400] {
            assert!(matches!(of(NOW + far, Ends::ByClock), Skew::Harmful(_)), "{far}");
            assert!(matches!(of(NOW + far, Ends::Absolute), Skew::Harmless(_)), "{far}");
        }
    }

    /// By a clock that is a week ahead, tomorrow was over, and its rows were never asked for again.
    #[test]
    fn a_written_end_in_the_services_future_matters() {
        let range = TimeRange::new(second(0), second(5_000));
        let check = ClockCheck { range, ends: Ends::Absolute };
        assert!(matches!(check.compare(clocks(9_000, 4_999)), Skew::Harmful(_)));
        assert!(matches!(check.compare(clocks(9_000, 5_000)), Skew::Harmless(_)));
    }

    #[test]
    fn a_wrong_clock_is_told_with_both() {
        let range = TimeRange::new(second(1_767_225_600), second(1_767_230_000));
        let wrong = WrongClock { clocks: clocks(1_767_240_800, 1_767_230_000), range, ends: Ends::ByClock };
        assert_eq!(
            wrong.to_string(),
            "this machine's clock says 2026-01-01T04:13:20Z and the service's says 2026-01-01T01:13:20Z, 3 hours earlier; the \
             range [2026-01-01T00:00:00Z, 2026-01-01T01:13:20Z) was taken from this machine's"
        );
        let written = WrongClock { ends: Ends::Absolute, ..wrong };
        assert!(written.to_string().ends_with("01:13:20Z) depends on neither"));
        let later = WrongClock { clocks: clocks(1_767_240_800, 1_767_229_999), ..written };
        assert!(later.to_string().ends_with("01:13:20Z) is not over yet by the service's"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wall_clock_that_is_set_back_does_not_stop_the_run_from_ageing() {
        let clock = RunClock { began_wall: second(1_000), ..RunClock::start(Instant::now()) };
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(clock.given(second(1_060)), second(1_060));
        assert_eq!(clock.given(second(-5)), second(1_060), "set back");
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(clock.given(second(55)), second(1_120));
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_that_slept_has_aged() {
        // The monotonic clock stands still meanwhile.
        let clock = RunClock { began_wall: second(1_000), ..RunClock::start(Instant::now()) };
        assert_eq!(clock.given(second(4_600)), second(4_600));
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspension_counts_neither_as_the_service_s_silence_nor_as_nothing() {
        let mut clock = RunClock::start(Instant::now());
        for _ in 0..40 {
            tokio::time::advance(Duration::from_millis(250)).await;
            clock.look();
        }
        assert_eq!(clock.look().1, Duration::from_secs(10));
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert_eq!(clock.look(), (Duration::from_secs(3_610), Duration::from_secs(11)));
    }
}
