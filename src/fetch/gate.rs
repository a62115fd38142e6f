//! When the next request may go: the slots at the throttle's rate, the holds, and the breaker. Pure; time is a duration since
//! the process began, and dice are handed in.
//!
//! `governor` decides (GCRA, evenly spaced, no burst) on a clock of ours. The invariant: a permit is never given while
//! everybody is held, and never before its slot.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::throttle::{LearnedRate, Rate, Throttle};

/// How late a permit may be taken and still count as taken in its slot: timers are this coarse, and a slot that is lost for
/// each of them would leave a share of the limit unused.
pub(super) const SLACK: Duration = Duration::from_millis(20);
/// Failures in a row that trip the breaker: as many as requests may be on their way, within these bounds.
const LEAST_PATIENCE: usize = 8;
const MOST_PATIENCE: usize = 64;

/// A permit to send one request now.
#[derive(Clone, Copy, Debug)]
pub struct Permit {
    sent_at: Duration,
}

/// The one gate of a process, as a state.
#[derive(Debug)]
pub struct Gate {
    /// How fast to ask, and what was known of the limit when the process began.
    began_with: (Rate, LearnedRate),
    throttle: Throttle,
    slots: Slots,
    load: Load,
    most_in_flight: usize,
}

/// What the answers say of the service's latency and health.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    latency_seconds: f64,
    keeping_seconds: f64,
    failures_in_a_row: u32,
}

impl Gate {
    /// A gate that begins at the asked rate, or at what was learned.
    pub fn new(rate: Rate, learned: LearnedRate, most_in_flight: usize) -> Self {
        let throttle = Throttle::new(rate, learned);
        let slots = Slots::new(throttle.rate(), None);
        let most_in_flight = most_in_flight.max(1);
        Self { began_with: (rate, learned), throttle, slots, load: Load::default(), most_in_flight }
    }

    /// Forgets what was learned of the limit since the process began; everybody stays held for as long as they were.
    pub fn begin_again(&mut self, now: Duration) {
        let held = self.throttle.held_until().saturating_sub(now);
        let (rate, learned) = self.began_with;
        self.throttle = Throttle::new(rate, learned);
        if !held.is_zero() {
            self.throttle.asked_to_wait(now, held);
        }
    }

    /// A permit at `now`.
    ///
    /// # Errors
    /// Where there is none now: when to ask again. What happens until then may bring that moment forward.
    pub fn admit(&mut self, now: Duration) -> Result<Permit, Duration> {
        let rate = self.throttle.rate();
        if (self.slots.rate - rate).abs() > f64::EPSILON {
            self.slots = Slots::new(rate, self.slots.last);
        }
        if now < self.throttle.held_until() {
            return Err(self.throttle.held_until());
        }
        self.slots.take(now, self.throttle.held_until())?;
        self.throttle.sent(now);
        Ok(Permit { sent_at: now })
    }

    /// The service answered, and not with a 429.
    pub fn answered(&mut self, now: Duration, permit: Permit) {
        self.throttle.answered(now, permit.sent_at);
        self.load.failures_in_a_row = 0;
        self.load.latency_seconds = smoothed(self.load.latency_seconds, now.saturating_sub(permit.sent_at));
    }

    /// A page took so long to become durable, which keeps its worker busy as latency does.
    pub fn kept(&mut self, took: Duration) {
        self.load.keeping_seconds = smoothed(self.load.keeping_seconds, took);
    }

    /// The service answered 429: everybody pauses or is held. Answers for how long, where this answer was the one that did it.
    pub fn throttled(
        &mut self,
        now: Duration,
        permit: Permit,
        retry_after: Option<Duration>,
        dice: f64,
    ) -> Option<Duration> {
        let before = self.throttle.held_until();
        self.throttle.throttled(now, permit.sent_at, retry_after, dice);
        self.new_hold(now, before)
    }

    /// An answer that blames no rate asks to wait: everybody is held. Answers for how long, where this answer did it.
    pub fn asked_to_wait(&mut self, now: Duration, wait: Duration) -> Option<Duration> {
        let before = self.throttle.held_until();
        self.throttle.asked_to_wait(now, wait);
        self.new_hold(now, before)
    }

    fn new_hold(&self, now: Duration, before: Duration) -> Option<Duration> {
        (self.throttle.held_until() > before).then(|| self.throttle.held_until().saturating_sub(now))
    }

    /// An attempt failed. Where nearly everything fails, everybody is held; answers for how long.
    pub fn failed(&mut self, now: Duration, dice: f64) -> Option<Duration> {
        self.load.failures_in_a_row += 1;
        let failures = self.load.failures_in_a_row;
        let patience = u32::try_from(self.most_in_flight.clamp(LEAST_PATIENCE, MOST_PATIENCE)).unwrap_or(u32::MAX);
        if !failures.is_multiple_of(patience) {
            return None;
        }
        self.throttle.broken(now, failures / patience, dice);
        Some(self.throttle.held_until().saturating_sub(now))
    }

    /// Until when nobody may send.
    pub fn held_until(&self) -> Duration {
        self.throttle.held_until()
    }

    /// Requests a second, now.
    pub fn rate(&self) -> f64 {
        self.throttle.rate()
    }

    /// What the next run should know.
    pub fn learned(&self) -> LearnedRate {
        self.throttle.learned()
    }

    /// How long an answer takes, seconds, in a mean that forgets; none before the first.
    pub fn latency(&self) -> Option<f64> {
        Some(self.load.latency_seconds).filter(|latency| *latency > 0.0)
    }

    /// How many workers the rate can use: rate times latency (Little's law), half as many again for latency's tail, at least
    /// two and at most what is allowed.
    pub fn useful_workers(&self) -> usize {
        let in_flight = self.rate() * (self.load.latency_seconds + self.load.keeping_seconds) * 1.5;
        (in_flight.ceil().min(1e6) as usize + 2).clamp(1, self.most_in_flight)
    }
}

/// An average that forgets: a tenth of the new value, the first one whole.
fn smoothed(average: f64, new: Duration) -> f64 {
    if average == 0.0 { new.as_secs_f64() } else { average * 0.9 + new.as_secs_f64() * 0.1 }
}

/// governor's clock: it shows what the gate sets, the slot that is being asked for.
#[derive(Clone, Debug, Default)]
struct SlotClock(Arc<AtomicU64>);

impl SlotClock {
    fn set(&self, at: Duration) {
        self.0.store(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX), Ordering::Release);
    }
}

impl Clock for SlotClock {
    type Instant = Duration;

    fn now(&self) -> Self::Instant {
        Duration::from_nanos(self.0.load(Ordering::Acquire))
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, SlotClock, NoOpMiddleware<Duration>>;

/// The permits of one limiter at one rate, and the last slot that was taken.
#[derive(Debug)]
struct Slots {
    limiter: Limiter,
    clock: SlotClock,
    rate: f64,
    last: Option<Duration>,
}

impl Slots {
    fn new(rate: f64, last: Option<Duration>) -> Self {
        let clock = SlotClock::default();
        let limiter = RateLimiter::direct_with_clock(quota(rate), clock.clone());
        if let Some(last) = last {
            // The limiter begins where its predecessor ended, so that a new rate is no burst.
            clock.set(last);
            let _ = limiter.check();
        }
        Self { limiter, clock, rate, last }
    }

    /// Takes the slot at `now`, or says when the next one is. None is owed for the time before `open_since`: what was held must
    /// not end with a burst.
    fn take(&mut self, now: Duration, open_since: Duration) -> Result<(), Duration> {
        let period = Duration::from_secs_f64(1.0 / self.rate);
        let due = self.last.map_or(now, |last| last + period).max(open_since);
        let slot = if now >= due { due.max(now.saturating_sub(SLACK)) } else { now };
        self.clock.set(slot);
        match self.limiter.check() {
            Ok(()) => {
                self.last = Some(slot);
                Ok(())
            }
            Err(until) => Err(now + until.wait_time_from(slot).max(Duration::from_micros(100))),
        }
    }
}

fn quota(rate: f64) -> Quota {
    let period = Duration::from_secs_f64(1.0 / rate).max(Duration::from_nanos(1));
    Quota::with_period(period).unwrap_or(Quota::per_second(NonZeroU32::MIN)).allow_burst(NonZeroU32::MIN)
}

// governor's `Reference` is what makes a plain duration a point in its time.
const _: fn() = || {
    fn is_reference<T: Reference>() {}
    is_reference::<Duration>();
};

#[cfg(test)]
mod tests;
