//! Waiting for a permit: every request of every worker passes here, one after the other.
//!
//! [`super::gate`] decides; the waiting is tokio's, so tests run in paused time. The invariant: a permit is given in the order
//! of asking, and never before the gate gives it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::again::RetryGate;
use super::gate::Gate;
use super::reach::Reach;
use super::throttle::{LearnedRate, Rate};

pub use super::gate::Permit;

/// The longest sleep before the rate is looked at again.
const LONGEST_NAP: Duration = Duration::from_secs(1);

/// The one gate of a process; clones are the same gate.
#[derive(Clone, Debug)]
pub struct Pacer {
    began: Instant,
    gate: Arc<Mutex<Gate>>,
    /// Whoever has it is the next to get a permit.
    turn: Arc<tokio::sync::Mutex<()>>,
    again: Arc<RetryGate>,
    reach: Arc<Mutex<Reach>>,
}

impl Pacer {
    /// A gate that begins at the asked rate, or at what was learned.
    pub fn new(rate: Rate, learned: LearnedRate, most_in_flight: usize) -> Self {
        Self {
            began: Instant::now(),
            gate: Arc::new(Mutex::new(Gate::new(rate, learned, most_in_flight))),
            turn: Arc::default(),
            again: Arc::default(),
            reach: Arc::default(),
        }
    }

    /// Waits for a permit. Dropping the future gives its place in the queue up and no slot away.
    pub async fn admit(&self) -> Permit {
        let _turn = self.turn.lock().await;
        loop {
            let now = self.now();
            let admitted = self.gate().admit(now);
            match admitted {
                Ok(permit) => return permit,
                Err(until) => tokio::time::sleep(until.saturating_sub(now).min(LONGEST_NAP)).await,
            }
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
        self.gate().answered(now, permit);
        self.again.answered(now);
    }

    /// A page took so long to become durable, which keeps its worker busy as latency does.
    pub fn kept(&self, took: Duration) {
        self.gate().kept(took);
    }

    /// The service answered 429: everybody is held. Answers for how long, where this answer was the one that did it.
    pub fn throttled(&self, permit: Permit, retry_after: Option<Duration>) -> Option<Duration> {
        let now = self.now();
        self.gate().throttled(now, permit, retry_after, rand::random())
    }

    /// An answer asks everybody to wait; answers for how long, where this answer did it.
    pub fn asked_to_wait(&self, wait: Option<Duration>) -> Option<Duration> {
        let now = self.now();
        self.gate().asked_to_wait(now, wait?)
    }

    /// The service answered, whatever it says.
    pub fn heard(&self) {
        self.reach().heard();
    }

    /// No answer came; whether the trouble lies in the address is `is_lasting`. Answers whether the service is out of reach.
    pub fn unheard(&self, is_lasting: bool) -> bool {
        let mut reach = self.reach();
        if is_lasting {
            return reach.lasting(self.now());
        }
        reach.passing();
        false
    }

    /// An attempt failed. Where nearly everything fails, everybody is held; answers for how long.
    pub fn failed(&self) -> Option<Duration> {
        let now = self.now();
        self.gate().failed(now, rand::random())
    }

    /// Requests a second, now.
    pub fn rate(&self) -> f64 {
        self.gate().rate()
    }

    /// What the next run should know.
    pub fn learned(&self) -> LearnedRate {
        self.gate().learned()
    }

    /// How many workers the rate can use.
    pub fn useful_workers(&self) -> usize {
        self.gate().useful_workers()
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn reach(&self) -> MutexGuard<'_, Reach> {
        self.reach.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use proptest::prelude::*;

    use super::super::gate::SLACK;
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
                        admitted.push((asked, pacer.now(), pacer.gate().held_until()));
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
        use crate::fetch::retry::{Next, Patience, Retry, Trouble};
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
                    let Next::Rest(rest, _) = retry.after(Trouble::Failed, rand::random()) else { break };
                    tokio::time::sleep(rest).await;
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
