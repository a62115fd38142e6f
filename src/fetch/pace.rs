//! Waiting for a permit: every request of every worker passes here, one after the other.
//!
//! `governor` decides (GCRA, evenly spaced, no burst) on a clock of ours; the waiting is tokio's, so tests run in paused time.
//! The invariant: a permit is given in the order of asking, never while everybody is held, and never before its slot.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

use super::again::RetryGate;
use super::throttle::{LearnedRate, Rate, Throttle};

/// How late a permit may be taken and still count as taken in its slot: timers are this coarse, and a slot that is lost for
/// each of them would leave a share of the limit unused.
const SLACK: Duration = Duration::from_millis(20);
/// The longest sleep before the rate is looked at again.
const LONGEST_NAP: Duration = Duration::from_secs(1);

/// governor's clock: it shows what the pacer sets, the slot that is being asked for.
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

    /// Takes the slot at `now`, or says when the next one is.
    fn take(&mut self, now: Duration) -> Result<(), Duration> {
        let period = Duration::from_secs_f64(1.0 / self.rate);
        let due = self.last.map_or(now, |last| last + period);
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

/// The one gate of a process; clones are the same gate.
#[derive(Clone, Debug)]
pub struct Pacer {
    began: Instant,
    throttle: Arc<Mutex<Throttle>>,
    slots: Arc<tokio::sync::Mutex<Slots>>,
    load: Arc<Mutex<Load>>,
    again: Arc<RetryGate>,
    most_in_flight: usize,
}

/// What the answers say of the service's latency and health.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    latency_seconds: f64,
    keeping_seconds: f64,
    failures_in_a_row: u32,
}

/// A permit to send one request now.
#[derive(Clone, Copy, Debug)]
pub struct Permit {
    sent_at: Duration,
}

impl Pacer {
    /// A gate that begins at the asked rate, or at what was learned.
    pub fn new(rate: Rate, learned: LearnedRate, most_in_flight: usize) -> Self {
        let throttle = Throttle::new(rate, learned);
        Self {
            began: Instant::now(),
            slots: Arc::new(tokio::sync::Mutex::new(Slots::new(throttle.rate(), None))),
            throttle: Arc::new(Mutex::new(throttle)),
            load: Arc::default(),
            again: Arc::default(),
            most_in_flight: most_in_flight.max(1),
        }
    }

    /// Waits for a permit. Dropping the future gives its place in the queue up and no slot away.
    pub async fn admit(&self) -> Permit {
        let mut slots = self.slots.lock().await;
        loop {
            let now = self.now();
            let (rate, held_until) = {
                let throttle = self.throttle();
                (throttle.rate(), throttle.held_until())
            };
            if (slots.rate - rate).abs() > f64::EPSILON {
                *slots = Slots::new(rate, slots.last);
            }
            let until = if now < held_until {
                held_until
            } else {
                match slots.take(now) {
                    Ok(()) => return Permit { sent_at: now },
                    Err(until) => until,
                }
            };
            tokio::time::sleep(until.saturating_sub(now).min(LONGEST_NAP)).await;
        }
    }

    /// Waits for leave to ask a failed page again, which the budget of all retries gives; answers how long that took. A permit
    /// is needed all the same. Dropping the future gives its place in the queue up and nothing of the budget away.
    pub async fn leave_to_ask_again(&self) -> Duration {
        self.again.leave(|| self.now()).await
    }

    /// The service answered, and not with a 429.
    pub fn answered(&self, permit: Permit) {
        let now = self.now();
        self.throttle().answered(now);
        self.again.answered(now);
        let mut load = self.load();
        load.failures_in_a_row = 0;
        load.latency_seconds = smoothed(load.latency_seconds, now.saturating_sub(permit.sent_at));
    }

    /// A page took so long to become durable, which keeps its worker busy as latency does.
    pub fn kept(&self, took: Duration) {
        let mut load = self.load();
        load.keeping_seconds = smoothed(load.keeping_seconds, took);
    }

    /// The service answered 429: everybody is held. Answers for how long, where this answer was the one that did it.
    pub fn throttled(&self, permit: Permit, retry_after: Option<Duration>) -> Option<Duration> {
        let now = self.now();
        let mut throttle = self.throttle();
        let before = throttle.held_until();
        throttle.throttled(now, permit.sent_at, retry_after, rand::random());
        (throttle.held_until() > before).then(|| throttle.held_until().saturating_sub(now))
    }

    /// An attempt failed. Where nearly everything fails, everybody is held; answers for how long.
    pub fn failed(&self) -> Option<Duration> {
        let failures = {
            let mut load = self.load();
            load.failures_in_a_row += 1;
            load.failures_in_a_row
        };
        let patience = u32::try_from(self.most_in_flight.clamp(8, 64)).unwrap_or(64);
        if failures < patience || failures % patience != 0 {
            return None;
        }
        let now = self.now();
        let mut throttle = self.throttle();
        throttle.broken(now, failures / patience, rand::random());
        Some(throttle.held_until().saturating_sub(now))
    }

    /// Requests a second, now.
    pub fn rate(&self) -> f64 {
        self.throttle().rate()
    }

    /// What the next run should know.
    pub fn learned(&self) -> LearnedRate {
        self.throttle().learned()
    }

    /// How many workers the rate can use: rate times latency (Little's law), half as many again for latency's tail, at least
    /// two and at most what is allowed.
    pub fn useful_workers(&self) -> usize {
        let load = *self.load();
        let in_flight = self.rate() * (load.latency_seconds + load.keeping_seconds) * 1.5;
        (in_flight.ceil().min(1e6) as usize + 2).clamp(1, self.most_in_flight)
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load(&self) -> MutexGuard<'_, Load> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An average that forgets: a tenth of the new value, the first one whole.
fn smoothed(average: f64, new: Duration) -> f64 {
    if average == 0.0 { new.as_secs_f64() } else { average * 0.9 + new.as_secs_f64() * 0.1 }
}

// governor's `Reference` is what makes a plain duration a point in its time.
const _: fn() = || {
    fn is_reference<T: Reference>() {}
    is_reference::<Duration>();
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One thing that may happen to a gate.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Admit,
        Sleep(u64),
        Refuse(Option<u64>),
        Answer,
        Fail,
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            12 => Just(Step::Admit),
            3 => prop_oneof![0_u64..40, 0_u64..3_000_000].prop_map(Step::Sleep),
            1 => prop::option::of(0_u64..5).prop_map(Step::Refuse),
            4 => Just(Step::Answer),
            2 => Just(Step::Fail),
        ]
    }

    /// Carries steps out in virtual time. Gives back when each permit was asked for, when it came, and until when everybody was
    /// held then.
    fn carried_out(pacer: impl FnOnce() -> Pacer, steps: &[Step]) -> Vec<(Duration, Duration, Duration)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (pacer, mut admitted, mut last) = (pacer(), Vec::new(), None);
            for step in steps {
                match (step, last) {
                    (Step::Admit, _) => {
                        let asked = pacer.now();
                        last = Some(pacer.admit().await);
                        admitted.push((asked, pacer.now(), pacer.throttle().held_until()));
                    }
                    (Step::Sleep(milliseconds), _) => tokio::time::sleep(Duration::from_millis(*milliseconds)).await,
                    (Step::Refuse(seconds), Some(permit)) => {
                        pacer.throttled(permit, seconds.map(Duration::from_secs));
                    }
                    (Step::Answer, Some(permit)) => pacer.answered(permit),
                    (Step::Fail, _) => drop(pacer.failed()),
                    (Step::Refuse(_) | Step::Answer, None) => {}
                }
            }
            admitted
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn no_window_of_any_schedule_holds_more_than_its_permits(
            rate in 1_u32..2_000, steps in prop::collection::vec(any_step(), 0..250),
        ) {
            let rate = f64::from(rate);
            let admitted = carried_out(|| Pacer::new(Rate::Fixed(rate), LearnedRate::default(), 16), &steps);
            for (first, (_, began, _)) in admitted.iter().enumerate() {
                for (last, (_, ended, _)) in admitted.iter().enumerate().skip(first) {
                    let permits = (last - first + 1) as f64;
                    // The slack is what a timer may be late by without losing its slot; it is no burst, since it is spent once.
                    let most = rate * (*ended - *began + SLACK).as_secs_f64() + 1.0;
                    prop_assert!(permits <= most + 1e-6, "{permits} permits from {began:?} to {ended:?}, not {most}");
                }
            }
            prop_assert!(admitted.iter().all(|(_, at, held_until)| at >= held_until), "a permit while everybody is held");
        }

        #[test]
        fn a_permit_comes_exactly_when_it_is_due(
            rate in 1_u32..1_000, pauses in prop::collection::vec(0_u64..30, 1..200),
        ) {
            let period = Duration::from_secs_f64(1.0 / f64::from(rate));
            let steps: Vec<Step> = pauses.iter().flat_map(|pause| [Step::Sleep(*pause), Step::Admit]).collect();
            let admitted = carried_out(|| Pacer::new(Rate::Fixed(f64::from(rate)), LearnedRate::default(), 16), &steps);
            for (number, (asked, came, _)) in admitted.iter().enumerate() {
                // Of slots that were not used in time, none is owed; those that were are a period apart.
                let before = number.checked_sub(1).and_then(|before| admitted.get(before)).map_or(Duration::ZERO, |one| one.1 + period);
                let due = before.max(*asked);
                // Timers are as coarse as a millisecond, and a nap may end one early and take another.
                prop_assert!(*came <= due + Duration::from_millis(3), "asked {asked:?}, due {due:?}, came {came:?}");
            }
        }
    }

    /// A storm of an hour, seen from all workers: each asks its page up to eight times, and then begins anew.
    #[tokio::test(start_paused = true)]
    async fn an_hour_of_failures_costs_few_attempts() {
        use crate::fetch::retry::{Patience, Retry};
        const WORKERS: usize = 16;
        let pacer = Pacer::new(Rate::Fixed(100.0), LearnedRate::default(), WORKERS);
        let attempts = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let worker = |pacer: Pacer, attempts: Arc<std::sync::atomic::AtomicU32>| async move {
            loop {
                let mut retry = Retry::new(Patience::Full);
                loop {
                    let _permit = pacer.admit().await;
                    attempts.fetch_add(1, Ordering::Relaxed);
                    pacer.failed();
                    let Some(backoff) = retry.next_wait(rand::random()) else { break };
                    tokio::time::sleep(backoff).await;
                    pacer.leave_to_ask_again().await;
                }
                pacer.leave_to_ask_again().await;
            }
        };
        let mut workers = tokio::task::JoinSet::new();
        (0..WORKERS).for_each(|_| drop(workers.spawn(worker(pacer.clone(), Arc::clone(&attempts)))));
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        workers.shutdown().await;
        // Sixteen failures, and a pause that grows to a minute: about 60 pauses, and the climb to them.
        let attempts = attempts.load(Ordering::Relaxed);
        assert!((200..=1_500).contains(&attempts), "{attempts} attempts");
    }

    #[tokio::test(start_paused = true)]
    async fn permits_are_evenly_spaced_and_never_early() {
        let pacer = Pacer::new(Rate::Fixed(100.0), LearnedRate::default(), 8);
        let start = Instant::now();
        for number in 0..500_u32 {
            pacer.admit().await;
            let earliest = Duration::from_millis(10) * number;
            assert!(start.elapsed() + SLACK >= earliest, "permit {number} after {:?}", start.elapsed());
        }
        let took = start.elapsed().as_secs_f64();
        assert!((4.95..5.1).contains(&took), "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn late_wakers_lose_no_slot() {
        let pacer = Pacer::new(Rate::Fixed(1_000.0), LearnedRate::default(), 8);
        let start = Instant::now();
        for _ in 0..5_000 {
            pacer.admit().await;
        }
        let rate = 5_000.0 / start.elapsed().as_secs_f64();
        assert!(rate > 980.0 && rate < 1_030.0, "{rate}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_of_an_hour_is_followed_by_no_burst() {
        let pacer = Pacer::new(Rate::Fixed(10.0), LearnedRate::default(), 8);
        pacer.admit().await;
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        let start = Instant::now();
        for _ in 0..11 {
            pacer.admit().await;
        }
        assert!(start.elapsed() >= Duration::from_millis(970), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_holds_everybody_and_not_longer() {
        let pacer = Pacer::new(Rate::Fixed(100.0), LearnedRate::default(), 8);
        let permit = pacer.admit().await;
        let held = pacer.throttled(permit, Some(Duration::from_secs(5)));
        assert!(held.is_some_and(|hold| hold >= Duration::from_secs(4)));
        let start = Instant::now();
        pacer.admit().await;
        let waited = start.elapsed().as_secs_f64();
        assert!((4.9..6.1).contains(&waited), "{waited}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_waiter_takes_no_slot() {
        let pacer = Pacer::new(Rate::Fixed(1.0), LearnedRate::default(), 8);
        pacer.admit().await;
        let impatient = tokio::time::timeout(Duration::from_millis(100), pacer.admit()).await;
        assert!(impatient.is_err());
        let start = Instant::now();
        pacer.admit().await;
        assert!(start.elapsed() < Duration::from_millis(1_000));
    }

    #[tokio::test(start_paused = true)]
    async fn workers_follow_rate_times_latency() {
        let pacer = Pacer::new(Rate::Fixed(100.0), LearnedRate::default(), 64);
        assert_eq!(pacer.useful_workers(), 2);
        for _ in 0..50 {
            let permit = pacer.admit().await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            pacer.answered(permit);
        }
        let workers = pacer.useful_workers();
        assert!((30..=34).contains(&workers), "{workers}");
    }
}
