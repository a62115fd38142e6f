//! The rate limit: whether a request is admitted, by a bucket or by the calendar. Reads no clock.

use std::time::Duration;

use super::settings::{LimitKind, LimitSettings};

/// When a request arrives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// Since the service started.
    pub(super) uptime: Duration,
    /// Since the epoch, by the wall clock.
    pub(super) wall: Duration,
}

/// What the limit remembers between requests.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    /// Permits that were taken from the bucket and have not come back.
    taken: f64,
    last: Duration,
    calendar_second: u64,
    used_in_second: u32,
}

impl Limiter {
    /// Whether the request is admitted; a refused one takes no permit.
    pub(super) fn admit(&mut self, limits: &LimitSettings, arrival: Arrival) -> bool {
        match (limits.requests_per_second, limits.limit_kind) {
            (0, _) => true,
            (_, LimitKind::Bucket) => self.admit_from_bucket(limits, arrival.uptime),
            (most, LimitKind::Calendar) => self.admit_in_second(most, arrival.wall.as_secs()),
        }
    }

    fn admit_from_bucket(&mut self, limits: &LimitSettings, uptime: Duration) -> bool {
        let refilled = uptime.saturating_sub(self.last).as_secs_f64() * f64::from(limits.requests_per_second);
        self.taken = (self.taken - refilled).max(0.0);
        self.last = uptime.max(self.last);
        let capacity = match limits.bucket_capacity {
            0 => limits.requests_per_second,
            capacity => capacity,
        };
        // A hair of tolerance, so that rounding never costs a request that comes exactly on time.
        let admitted = self.taken + 1.0 <= f64::from(capacity) + 1e-6;
        if admitted {
            self.taken += 1.0;
        }
        admitted
    }

    fn admit_in_second(&mut self, most: u32, second: u64) -> bool {
        if second != self.calendar_second {
            (self.calendar_second, self.used_in_second) = (second, 0);
        }
        let admitted = self.used_in_second < most;
        self.used_in_second += u32::from(admitted);
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(limit_kind: LimitKind, bucket_capacity: u32) -> LimitSettings {
        LimitSettings { requests_per_second: 10, limit_kind, bucket_capacity, ..LimitSettings::default() }
    }

    fn admitted(limits: &LimitSettings, arrivals_ms: impl Iterator<Item = u64>) -> Vec<u64> {
        let mut limiter = Limiter::default();
        let at = |ms| Arrival { uptime: Duration::from_millis(ms), wall: Duration::from_millis(ms) };
        arrivals_ms.filter(|ms| limiter.admit(limits, at(*ms))).collect()
    }

    #[test]
    fn a_bucket_of_one_spaces_requests_evenly() {
        let times = admitted(&limits(LimitKind::Bucket, 1), 0..1_000);
        assert_eq!(times, [0, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
    }

    #[test]
    fn a_bucket_lets_a_burst_through_and_then_its_rate() {
        let times = admitted(&limits(LimitKind::Bucket, 0), 0..2_000);
        assert_eq!(times.iter().filter(|ms| **ms < 10).count(), 10);
        assert_eq!(times.len(), 29);
    }

    #[test]
    fn the_calendar_counts_anew_with_each_second() {
        let times = admitted(&limits(LimitKind::Calendar, 0), (900..2_100).step_by(2));
        assert_eq!(times.iter().filter(|ms| **ms < 1_000).count(), 10);
        assert_eq!(times.iter().filter(|ms| (1_000..2_000).contains(*ms)).count(), 10);
        assert_eq!(times.len(), 30);
    }

    #[test]
    fn without_a_limit_all_are_admitted() {
        assert_eq!(admitted(&LimitSettings::default(), std::iter::repeat_n(0, 500)).len(), 500);
    }
}
