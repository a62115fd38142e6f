//! The run's two notions of time, made safe against clocks that are set and machines that sleep.
//!
//! Pacing and waiting use the monotonic clock and nothing here. The wall clock dates stretches, which must age over restarts and
//! over a machine's sleep, and must not stand still because somebody set the clock back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::units::EpochSeconds;

/// Looks that lie further apart than this were not late: the process was suspended meanwhile.
const LONGEST_LOOK: Duration = Duration::from_secs(1);

/// The wall clock, except that it is never behind what has passed since the process began.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunClock {
    began: Instant,
    began_wall: EpochSeconds,
}

impl RunClock {
    /// A clock that begins with the wall clock of this moment.
    pub(super) fn start() -> Self {
        Self { began: Instant::now(), began_wall: wall() }
    }

    /// The moment, whole seconds.
    pub(super) fn now(&self) -> EpochSeconds {
        self.given(wall())
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

/// How long nothing has come while the process could have taken it: an hour of suspension is not the service's fault.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drought {
    dry: Duration,
    looked: Instant,
}

impl Drought {
    /// None yet.
    pub(super) fn none() -> Self {
        Self { dry: Duration::ZERO, looked: Instant::now() }
    }

    /// Looks at the clock, which is to be done far more often than every [`LONGEST_LOOK`]; answers how long it has lasted.
    pub(super) fn look(&mut self) -> Duration {
        let now = Instant::now();
        self.dry += now.saturating_duration_since(self.looked).min(LONGEST_LOOK);
        self.looked = now;
        self.dry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: i64) -> EpochSeconds {
        EpochSeconds::new(second)
    }

    #[tokio::test(start_paused = true)]
    async fn a_wall_clock_that_is_set_back_does_not_stop_the_run_from_ageing() {
        let clock = RunClock { began: Instant::now(), began_wall: second(1_000) };
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(clock.given(second(1_060)), second(1_060));
        assert_eq!(clock.given(second(-5)), second(1_060), "set back");
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(clock.given(second(55)), second(1_120));
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_that_slept_has_aged() {
        // The monotonic clock stands still meanwhile.
        let clock = RunClock { began: Instant::now(), began_wall: second(1_000) };
        assert_eq!(clock.given(second(4_600)), second(4_600));
    }

    #[tokio::test(start_paused = true)]
    async fn a_drought_lasts_as_long_as_nothing_comes_and_no_longer_for_a_suspension() {
        let mut drought = Drought::none();
        for _ in 0..40 {
            tokio::time::advance(Duration::from_millis(250)).await;
            drought.look();
        }
        assert_eq!(drought.look(), Duration::from_secs(10));
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert_eq!(drought.look(), Duration::from_secs(11));
    }
}
