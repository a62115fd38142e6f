//! How fast requests may go: a pure controller of the rate that learns an unknown limit from its 429s.
//!
//! Time is a duration since the process began, handed in. The rules: the rate grows only where it was used whole; after a 429
//! it goes on from what was served; a limit that was met is remembered and probed seldom. `belief` knows the limit,
//! `holds` when nobody may send, and `served` measures.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::belief::{Belief, PASSED};
use super::holds::{Holds, allowed};
use super::served::Served;

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
/// The share of its permits that a stretch must use before the rate grows: an unused rate teaches nothing.
const USED: f64 = 0.7;
/// How long a stretch is, seconds, far from any limit and near one.
const FAR_STRETCH: f64 = 0.5;
const NEAR_STRETCH: f64 = 1.0;
/// So many answers count for a second of growth at least: few answers tell little.
const TELLING: f64 = 20.0;
/// Growth in a stretch far from any limit, up to this share of it.
const FAR_GROWTH: f64 = 2.0;
const NEAR: f64 = 0.9;
/// The share of the limit that is used between probes.
const CRUISE: f64 = 0.985;
/// Growth a second as shares of the limit: near one that is news, and while one is probed that was met before; or, where that is
/// more, as a share of how far the rate is beyond it.
const STEP: f64 = 0.05;
const PROBE_STEP: f64 = 0.01;
const PROBE_GROWTH: f64 = 0.25;
/// Growth in a stretch beyond a limit that is none any more.
const PASSED_GROWTH: f64 = 1.25;
/// The share of what was served that is used after a 429, so that what is on its way finds room; and after one that follows on
/// another although the service asked for a wait and got it.
const BACK: f64 = 0.96;
const BACK_AGAIN: f64 = 0.85;
/// What a 429 leaves of the rate where nothing tells how much is served: the first one, and one that follows on another.
const CUT: f64 = 0.85;
const CUT_AGAIN: f64 = 0.5;
/// Fewer 429s in a row than this, with nothing served between them, blame that anything is sent and not the rate: a window is
/// spent.
const SPENT: u32 = 4;

/// The controller.
#[derive(Clone, Debug)]
pub struct Throttle {
    most: f64,
    rate: f64,
    used: Option<f64>,
    belief: Belief,
    holds: Holds,
    served: Served,
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
            used: learned.used,
            belief: Belief::new(limit),
            holds: Holds::new(),
            served: Served::default(),
        }
    }

    /// Requests a second, now.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// What the next run should know.
    pub fn learned(&self) -> LearnedRate {
        LearnedRate { limit: self.belief.limit().map(|limit| limit.max(self.rate)), used: self.used }
    }

    /// Until when nobody may send.
    pub fn held_until(&self) -> Duration {
        self.holds.until()
    }

    /// A request was sent. Where it is the one that tries whether a hold is over, everybody else waits for its answer.
    pub fn sent(&mut self, now: Duration) {
        self.holds.sent(now);
    }

    /// A request that was sent at `sent_at` met a 429. `spread` in `0..1` keeps many processes apart.
    pub fn throttled(&mut self, now: Duration, sent_at: Duration, retry_after: Option<Duration>, spread: f64) {
        if !self.holds.is_news(sent_at) {
            return;
        }
        let asked = allowed(retry_after.unwrap_or_default());
        let measured = self.served.measure(now).map(|served| served.min(self.rate));
        let met = self.belief.met(self.rate, measured, self.served.answers());
        let cut = self.cut(met.filter(|_| measured.is_some()), asked);
        self.holds.refused(now, cut, asked, spread);
        if let Some(met) = met {
            self.belief.believe(met, self.rate, self.holds.until(), asked);
        }
        self.rate = cut;
        // In a pause of ours a bucket goes on to fill, and a window to pass. What a long wait saves would measure too much.
        self.served.forget(if asked.is_zero() { now } else { self.holds.until() });
    }

    /// What a 429 leaves of the rate; `met` is the limit where it was measured.
    fn cut(&self, met: Option<f64>, asked: Duration) -> f64 {
        let is_spent = self.served.answers() == 0 && self.holds.in_a_row() < SPENT;
        let cut = match (met, self.holds.in_a_row()) {
            (Some(met), 1..) if !asked.is_zero() => met * BACK_AGAIN,
            (Some(met), _) => met * BACK,
            (None, 0) => self.rate * CUT,
            (None, _) if is_spent => self.rate,
            (None, _) => self.rate * CUT_AGAIN,
        };
        cut.clamp(SLOWEST_RATE, self.most)
    }

    /// Nearly everything fails: hold everybody, without blaming the rate.
    pub fn broken(&mut self, now: Duration, failures_in_a_row: u32, spread: f64) {
        self.holds.broken(now, failures_in_a_row, spread);
        self.served.forget(self.holds.until());
    }

    /// An answer that blames no rate asks everybody to wait.
    pub fn asked_to_wait(&mut self, now: Duration, wait: Duration) {
        if !wait.is_zero() {
            self.holds.asked(now, wait);
            self.served.forget(self.holds.until());
        }
    }

    /// A request that was sent at `sent_at` got an answer that was no 429.
    pub fn answered(&mut self, now: Duration, sent_at: Duration) {
        self.holds.served(now, sent_at);
        self.served.count();
        let stretch = if self.is_far() { FAR_STRETCH } else { NEAR_STRETCH };
        let seconds = self.served.seconds(now);
        if seconds < stretch {
            return;
        }
        if now >= self.holds.until() && self.served.rate(now) >= USED * self.rate {
            self.used = Some(self.used.map_or(self.rate, |used| used.max(self.rate)));
            let telling = f64::from(self.served.answers_now()) / TELLING;
            self.grow(now, telling.min(seconds).min(2.0 * stretch));
        }
        self.served.turn(now);
    }

    /// Whether no limit is near.
    fn is_far(&self) -> bool {
        self.belief.limit().map_or(self.most >= FASTEST_RATE, |limit| self.rate < limit * NEAR)
    }

    fn grow(&mut self, now: Duration, seconds: f64) {
        let step = |share: f64, of: f64| self.rate + of * share * seconds;
        let grown = match self.belief.limit() {
            None if self.most < FASTEST_RATE => step(STEP, self.most),
            None => self.rate * FAR_GROWTH,
            Some(limit) if self.rate < limit * NEAR => (self.rate * FAR_GROWTH).min(limit * NEAR),
            Some(limit) if self.rate < limit * CRUISE => step(STEP, limit).min(limit * CRUISE),
            Some(limit) if self.rate > limit * PASSED => self.rate * PASSED_GROWTH,
            Some(limit) if self.belief.is_probed(now) => step(self.probe_step(limit), limit),
            Some(_) => self.rate,
        };
        self.rate = grown.clamp(SLOWEST_RATE, self.most);
    }

    fn probe_step(&self, limit: f64) -> f64 {
        let first = if self.belief.is_searching() { STEP } else { PROBE_STEP };
        first.max((self.rate / limit - 1.0) * PROBE_GROWTH)
    }
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
                throttle.answered(at(now), at(now));
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
            // The upper bound was 1.1 as long as a limit was probed once a minute: the end may fall into a probe that lives on what a
            // full bucket saved, which is a second's worth here.
            assert!(rate >= 0.9 * limit && rate <= PASSED * limit, "limit {limit}: {rate}");
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

    /// A limit that was met once and is none any more.
    #[test]
    fn the_next_run_learns_no_limit_below_what_was_used() {
        let mut throttle = Throttle::new(Rate::Auto, LearnedRate { limit: Some(10.0), used: None });
        let (_, refused, rate) = against_a_bucket(&mut throttle, 10_000.0, 100.0);
        assert!(refused == 0 && rate > 20.0, "{refused} refused, {rate}");
        assert_eq!(throttle.learned().limit, Some(rate));
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
    fn however_often_it_is_refused_the_rate_never_falls_below_the_slowest() {
        let mut throttle = Throttle::new(Rate::Fixed(100.0), LearnedRate::default());
        for _ in 0..200 {
            let now = throttle.held_until() + at(0.1);
            throttle.throttled(now, now, None, 0.0);
        }
        assert!((throttle.rate() - SLOWEST_RATE).abs() < 1e-9, "{}", throttle.rate());
    }

    #[test]
    fn holds_double_up_to_a_minute_and_retry_after_is_honoured() {
        let mut throttle = Throttle::new(Rate::Auto, LearnedRate::default());
        let mut now = 0.0;
        let mut holds = vec![];
        for _ in 0..11 {
            throttle.throttled(at(now), at(now), None, 0.0);
            holds.push(throttle.held_until().as_secs_f64() - now);
            now = throttle.held_until().as_secs_f64() + 0.1;
        }
        // They began with a second, when each 429 held everybody so long; it is the fourth in a row now.
        let thousandths: Vec<i64> = holds.iter().map(|hold| (hold * 1e3).round() as i64).collect();
        assert_eq!(thousandths, [250, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
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

    /// Answers evenly, `rate` a second, from the end of the hold on; answers when it ended.
    fn answered(throttle: &mut Throttle, rate: f64, seconds: f64) -> f64 {
        let begin = throttle.held_until().as_secs_f64();
        let count = (rate * seconds) as u32;
        (1..=count).map(|n| at(begin + f64::from(n) / rate)).for_each(|now| throttle.answered(now, now));
        begin + seconds
    }

    #[test]
    fn what_passes_while_everybody_is_held_is_no_time_in_which_anything_could_be_served() {
        let mut throttle = Throttle::new(Rate::Fixed(200.0), LearnedRate::default());
        throttle.throttled(at(1.0), at(1.0), Some(at(30.0)), 0.0);
        let now = answered(&mut throttle, 100.0, 0.9);
        throttle.throttled(at(now), at(now), None, 0.0);
        assert!((90.0..=100.0).contains(&throttle.rate()), "{}", throttle.rate());
    }

    /// What was sent before a hold may be answered in it.
    #[test]
    fn the_rate_does_not_grow_while_everybody_is_held() {
        let mut throttle = Throttle::new(Rate::Auto, LearnedRate::default());
        for _ in 0..6 {
            let now = throttle.held_until() + at(0.1);
            throttle.throttled(now, now, None, 0.0);
        }
        let rate = throttle.rate();
        throttle.answered(throttle.held_until() - at(1.0), at(0.0));
        assert!((throttle.rate() - rate).abs() < 1e-9, "{rate}, and then {}", throttle.rate());
    }

    #[test]
    fn after_a_429_the_rate_goes_on_from_what_was_served() {
        let mut throttle = Throttle::new(Rate::Fixed(200.0), LearnedRate::default());
        let now = answered(&mut throttle, 150.0, 2.0);
        throttle.throttled(at(now), at(now), None, 0.0);
        assert!((144.0..150.0).contains(&throttle.rate()), "{}", throttle.rate());
        assert!(throttle.held_until() < at(now + 0.1), "no hold for everybody");
        let served = throttle.rate();
        // The window is spent, whatever the rate: it stays, until nothing was served for long.
        let mut rates = vec![];
        for _ in 0..5 {
            let now = throttle.held_until();
            throttle.throttled(now, now, None, 0.0);
            rates.push(throttle.rate() / served);
        }
        assert_eq!(rates, [1.0, 1.0, 1.0, 0.5, 0.25]);
        assert!((0.95..1.05).contains(&(throttle.learned().limit.unwrap() / 150.0)), "what was met before stays known");
    }
}
