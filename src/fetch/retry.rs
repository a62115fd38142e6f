//! When to ask again after a failure that may pass: exponential backoff with full jitter, bounded. Pure but for the dice.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Attempts of one page before its window is parked.
const MOST_ATTEMPTS: usize = 8;
/// Attempts of a page of a window that was parked already: it is narrowed down, which asks many such pages.
const FEW_ATTEMPTS: usize = 2;
/// The upper end of the first wait.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The upper end of the longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The waits between the attempts of one page.
#[derive(Debug)]
pub struct Retry {
    waits: ExponentialBackoff,
}

/// How often a page is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// As often as a page is worth.
    Full,
    /// Just often enough to know that it was no accident: its window has been parked.
    Short,
}

impl Retry {
    /// The waits that `patience` allows.
    pub fn new(patience: Patience) -> Self {
        let attempts = match patience {
            Patience::Full => MOST_ATTEMPTS,
            Patience::Short => FEW_ATTEMPTS,
        };
        let builder = ExponentialBuilder::new()
            .with_min_delay(FIRST_WAIT)
            .with_max_delay(LONGEST_WAIT)
            .with_max_times(attempts - 1);
        Self { waits: builder.build() }
    }

    /// How long to wait before the next attempt, or none where the attempts are used up. `dice` in `0..1` is the jitter:
    /// the wait is anywhere between nothing and its upper end.
    pub fn next_wait(&mut self, dice: f64) -> Option<Duration> {
        self.waits.next().map(|longest| longest.mul_f64(dice.clamp(0.0, 1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_attempts_are_seven_waits_that_double_up_to_half_a_minute() {
        let mut retry = Retry::new(Patience::Full);
        let longest: Vec<u128> = std::iter::from_fn(|| retry.next_wait(1.0)).map(|wait| wait.as_millis()).collect();
        assert_eq!(longest, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000]);
    }

    #[test]
    fn the_jitter_reaches_down_to_no_wait_at_all() {
        assert_eq!(Retry::new(Patience::Full).next_wait(0.0), Some(Duration::ZERO));
    }
}
