//! How fast requests may go: a pure controller of the rate that learns an unknown limit from its 429s.
//!
//! Time is a duration since the process began, handed in. The rules: requests sent before a cut never cause another one;
//! a 429 holds everybody; a limit that was met is remembered and tried again seldom.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the user asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// Find the limit.
    Auto,
    /// At most this many requests a second; 429s lower it for a while.
    Fixed(f64),
}

/// What a run leaves to the next one of the same state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LearnedRate {
    /// The limit that was met, requests a second.
    pub limit: Option<f64>,
    /// The highest rate that was used whole without a 429, requests a second.
    pub used: Option<f64>,
}

/// The share of a rate that was used without a 429 at which the next run begins: the limit may have changed since.
const AGAIN: f64 = 0.5;
/// The first rate of a run that knows nothing, requests a second.
const FIRST_RATE: f64 = 2.0;
/// The slowest rate, requests a second: one request in 10 s.
const SLOWEST_RATE: f64 = 0.1;
/// The fastest rate that is ever tried, requests a second.
const FASTEST_RATE: f64 = 20_000.0;
/// What a 429 leaves of the rate; the first one, which ends a doubling that went anywhere beyond the limit, leaves less.
const CUT: f64 = 0.85;
const FIRST_CUT: f64 = 0.7;
/// The shortest stretch, seconds, over which the rate that really went out is measured.
const MEASURED: f64 = 0.2;
/// The share of the remembered limit that is used between probes.
const CRUISE: f64 = 0.975;
/// Up to this share of the remembered limit the rate grows fast.
const NEAR: f64 = 0.9;
/// Growth a second: far from the limit, near it, and while probing beyond it; shares of the limit.
const FAR_STEP: f64 = 0.05;
const NEAR_STEP: f64 = 0.01;
/// How long a remembered limit is believed before it is probed.
const PROBE_AFTER: Duration = Duration::from_secs(60);
/// The first hold after a 429 that asks for no longer one by `Retry-After`, and the longest.
const FIRST_HOLD: Duration = Duration::from_secs(1);
const LONGEST_HOLD: Duration = Duration::from_secs(60);
/// A `Retry-After` beyond this is cut to it: the run's own patience decides, not a typing error of a server.
const LONGEST_ASKED_HOLD: Duration = Duration::from_secs(3_600);
/// The share of its permits that a second must use before the rate grows: an unused rate teaches nothing.
const USED: f64 = 0.7;

/// The controller.
#[derive(Clone, Debug)]
pub struct Throttle {
    most: f64,
    rate: f64,
    /// The lowest rate that met a 429 lately.
    limit: Option<f64>,
    used: Option<f64>,
    limit_since: Duration,
    last_cut: Option<Duration>,
    held_until: Duration,
    streak: u32,
    epoch_start: Duration,
    epoch_answers: u32,
    /// Answers a second of the epoch before this one; 0 where there was none since the last hold.
    last_epoch_rate: f64,
}

impl Throttle {
    /// A controller that begins at what was asked, or at what an earlier run `learned`, or slowly.
    pub fn new(asked: Rate, learned: LearnedRate) -> Self {
        let (most, rate, limit) = match (asked, learned.limit, learned.used) {
            (Rate::Fixed(rate), ..) => (rate, rate, None),
            (Rate::Auto, Some(limit), _) => (FASTEST_RATE, limit * NEAR, Some(limit)),
            (Rate::Auto, None, Some(used)) => (FASTEST_RATE, (used * AGAIN).max(FIRST_RATE), None),
            (Rate::Auto, None, None) => (FASTEST_RATE, FIRST_RATE, None),
        };
        Self {
            most: most.clamp(SLOWEST_RATE, FASTEST_RATE),
            rate: rate.clamp(SLOWEST_RATE, FASTEST_RATE),
            limit,
            used: learned.used,
            limit_since: Duration::ZERO,
            last_cut: None,
            held_until: Duration::ZERO,
            streak: 0,
            epoch_start: Duration::ZERO,
            epoch_answers: 0,
            last_epoch_rate: 0.0,
        }
    }

    /// Requests a second, now.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// What the next run should know.
    pub fn learned(&self) -> LearnedRate {
        LearnedRate { limit: self.limit, used: self.used }
    }

    /// Until when nobody may send.
    pub fn held_until(&self) -> Duration {
        self.held_until
    }

    /// A request that was sent at `sent_at` met a 429. `spread` in `0..1` keeps many processes apart.
    pub fn throttled(&mut self, now: Duration, sent_at: Duration, retry_after: Option<Duration>, spread: f64) {
        if self.last_cut.is_some_and(|cut| sent_at < cut) {
            return;
        }
        // The longer of the two: a wait of nothing must not switch the backoff off.
        let hold = backoff(self.streak, spread).max(retry_after.unwrap_or_default().min(LONGEST_ASKED_HOLD));
        self.streak += 1;
        self.held_until = self.held_until.max(now + hold);
        self.last_cut = Some(self.held_until);
        let is_first = self.limit.is_none() && self.most >= FASTEST_RATE;
        // After a doubling, what was admitted is no measure of the limit: less was sent. Later on, what was sent is none,
        // since a stretch after a hold begins with answers that are still on their way.
        let met = if is_first { self.rate.min(self.sent_rate(now)) } else { self.rate };
        let cut = if is_first { FIRST_CUT } else { CUT };
        self.limit = Some(met);
        self.limit_since = self.held_until;
        self.rate = (met * cut).max(SLOWEST_RATE);
        self.begin_epoch(self.held_until);
    }

    /// Requests a second that were answered lately.
    fn sent_rate(&self, now: Duration) -> f64 {
        let elapsed = now.saturating_sub(self.epoch_start).as_secs_f64();
        let running = if elapsed >= MEASURED { f64::from(self.epoch_answers) / elapsed } else { 0.0 };
        match running.max(self.last_epoch_rate) {
            0.0 => self.rate,
            sent => sent,
        }
    }

    /// Nearly everything fails: hold everybody, without blaming the rate.
    pub fn broken(&mut self, now: Duration, failures_in_a_row: u32, spread: f64) {
        self.held_until = self.held_until.max(now + backoff(failures_in_a_row, spread));
        self.begin_epoch(self.held_until);
    }

    /// An answer that blames no rate asks everybody to wait.
    pub fn asked_to_wait(&mut self, now: Duration, wait: Duration) {
        if !wait.is_zero() {
            self.held_until = self.held_until.max(now + wait.min(LONGEST_ASKED_HOLD));
            self.begin_epoch(self.held_until);
        }
    }

    /// An answer came that was no 429.
    pub fn answered(&mut self, now: Duration) {
        if now < self.held_until {
            return;
        }
        self.streak = 0;
        self.epoch_answers += 1;
        let elapsed = now.saturating_sub(self.epoch_start).as_secs_f64();
        if elapsed < 1.0 {
            return;
        }
        let answered_rate = f64::from(self.epoch_answers) / elapsed;
        if answered_rate >= USED * self.rate {
            self.used = Some(self.used.map_or(self.rate, |used| used.max(self.rate)));
            self.grow(now, elapsed);
        }
        self.begin_epoch(now);
        self.last_epoch_rate = answered_rate;
    }

    fn begin_epoch(&mut self, now: Duration) {
        self.epoch_start = now;
        self.epoch_answers = 0;
        self.last_epoch_rate = 0.0;
    }

    fn grow(&mut self, now: Duration, seconds: f64) {
        let seconds = seconds.min(2.0);
        let grown = match self.limit {
            None if self.most < FASTEST_RATE => self.rate + self.most * FAR_STEP * seconds,
            None => self.rate * 2.0,
            Some(limit) if self.rate < limit * NEAR => (self.rate + limit * FAR_STEP * seconds).min(limit * NEAR),
            Some(limit) if now.saturating_sub(self.limit_since) >= PROBE_AFTER => {
                self.rate + limit * NEAR_STEP * seconds
            }
            Some(limit) => (self.rate + limit * NEAR_STEP * seconds).min(self.rate.max(limit * CRUISE)),
        };
        self.rate = grown.clamp(SLOWEST_RATE, self.most);
        // A limit that was passed for good is none: from here on the walk up continues until the next 429.
        self.limit = self.limit.map(|limit| limit.max(self.rate));
    }
}

fn backoff(times: u32, spread: f64) -> Duration {
    let doubled = FIRST_HOLD.saturating_mul(2_u32.saturating_pow(times.min(16))).min(LONGEST_HOLD);
    doubled.mul_f64(1.0 + 0.25 * spread.clamp(0.0, 1.0)).min(LONGEST_HOLD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// Drives a throttle against a bucket of `limit` a second for `seconds`; answers (sent, refused, final rate).
    fn against_a_bucket(throttle: &mut Throttle, limit: f64, seconds: f64) -> (u32, u32, f64) {
        let (mut now, mut tokens, mut sent, mut refused) = (0.0_f64, limit, 0, 0);
        while now < seconds {
            let next = (now + 1.0 / throttle.rate()).max(throttle.held_until().as_secs_f64());
            tokens = (tokens + (next - now) * limit).min(limit);
            now = next;
            sent += 1;
            if tokens >= 1.0 {
                tokens -= 1.0;
                throttle.answered(at(now));
            } else {
                refused += 1;
                throttle.throttled(at(now), at(now), None, 0.0);
            }
        }
        (sent, refused, throttle.rate())
    }

    #[test]
    fn auto_finds_nine_tenths_of_an_unknown_limit_with_few_refusals() {
        for limit in [3.0, 20.0, 100.0, 1_000.0] {
            let mut throttle = Throttle::new(Rate::Auto, LearnedRate::default());
            let (sent, refused, rate) = against_a_bucket(&mut throttle, limit, 200.0);
            assert!(rate >= 0.9 * limit && rate <= 1.1 * limit, "limit {limit}: {rate}");
            assert!(f64::from(sent - refused) >= 0.88 * limit * 200.0, "limit {limit}: {sent} sent");
            assert!(
                f64::from(refused) <= (0.01 * f64::from(sent)).max(16.0),
                "limit {limit}: {refused} refused of {sent}"
            );
        }
    }

    #[test]
    fn what_was_learned_is_where_the_next_run_begins() {
        let mut throttle = Throttle::new(Rate::Auto, LearnedRate { limit: Some(100.0), used: Some(130.0) });
        assert!((throttle.rate() - 90.0).abs() < 1e-9);
        let (_, refused, _) = against_a_bucket(&mut throttle, 100.0, 50.0);
        assert_eq!(refused, 0);
        let unlimited = Throttle::new(Rate::Auto, LearnedRate { limit: None, used: Some(64.0) });
        assert!((unlimited.rate() - 32.0).abs() < 1e-9);
    }

    #[test]
    fn a_fixed_rate_is_a_ceiling_that_a_refusal_lowers_for_a_while() {
        let mut throttle = Throttle::new(Rate::Fixed(100.0), LearnedRate { limit: Some(20.0), used: None });
        assert!((throttle.rate() - 100.0).abs() < 1e-9);
        throttle.throttled(at(10.0), at(9.9), None, 0.0);
        assert!((throttle.rate() - 85.0).abs() < 1e-9);
        let (_, _, rate) = against_a_bucket(&mut throttle, 1_000.0, 120.0);
        assert!((rate - 100.0).abs() < 1e-9, "{rate}");
    }

    #[test]
    fn requests_sent_before_a_cut_never_cause_another() {
        let mut throttle = Throttle::new(Rate::Fixed(100.0), LearnedRate::default());
        throttle.throttled(at(10.0), at(9.9), None, 0.0);
        let (rate, held) = (throttle.rate(), throttle.held_until());
        throttle.throttled(at(10.1), at(9.95), None, 0.0);
        throttle.throttled(at(10.2), at(10.0), Some(at(30.0)), 0.0);
        assert_eq!((throttle.rate(), throttle.held_until()), (rate, held));
    }

    #[test]
    fn holds_double_up_to_a_minute_and_retry_after_is_honoured() {
        let mut throttle = Throttle::new(Rate::Auto, LearnedRate::default());
        let mut now = 0.0;
        let mut holds = vec![];
        for _ in 0..8 {
            throttle.throttled(at(now), at(now), None, 0.0);
            holds.push(throttle.held_until().as_secs_f64() - now);
            now = throttle.held_until().as_secs_f64() + 0.1;
        }
        let whole: Vec<i64> = holds.iter().map(|hold| hold.round() as i64).collect();
        assert_eq!(whole, [1, 2, 4, 8, 16, 32, 60, 60]);
        // The longer of the two counts: 0, or too short a wait, does not switch the backoff off.
        for (asked, held) in [(90.0, 90.0), (0.0, 60.0), (7.0, 60.0), (1e9, 3_600.0)] {
            throttle.throttled(at(now), at(now), Some(at(asked)), 0.0);
            assert!((throttle.held_until().as_secs_f64() - now - held).abs() < 1e-3, "{asked}");
            now = throttle.held_until().as_secs_f64() + 0.1;
        }
    }

    #[test]
    fn a_wait_that_is_asked_for_without_blame_holds_everybody_and_leaves_the_rate() {
        let mut throttle = Throttle::new(Rate::Auto, LearnedRate::default());
        let rate = throttle.rate();
        throttle.asked_to_wait(at(5.0), at(10.0));
        throttle.asked_to_wait(at(6.0), at(2.0));
        assert_eq!((throttle.rate(), throttle.held_until()), (rate, at(15.0)));
        assert_eq!(throttle.learned().limit, None);
    }
}
