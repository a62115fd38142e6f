//! The run's two notions of time, made safe against clocks that are set and machines that sleep.
//!
//! Pacing and waiting use the monotonic clock and nothing here. The wall clock dates stretches, which must age over restarts and
//! over a machine's sleep, and must not stand still because somebody set the clock back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::units::EpochSeconds;

/// Looks that lie further apart than this were not late: the process was suspended meanwhile.
const LONGEST_LOOK: Duration = Duration::from_secs(1);

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
