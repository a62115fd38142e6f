//! When to ask again after a failure that may pass: exponential backoff with full jitter for one page, and one budget for all
//! pages together. Pure; time, a duration since the process began, and dice are handed in.

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
/// The shortest wait for the budget, so that rounding never makes one of nothing.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// What an answered page adds to the budget: in the long run retries are at most a third of all attempts, and so cost at most
/// half as much again as the answers. A service that fails less often than that never notices the budget.
const EARNED_BY_AN_ANSWER: f64 = 0.5;
/// What a second adds, retries: without it a service that answers nothing could never show that it is well again.
const EARNED_A_SECOND: f64 = 1.0;
/// What a process may spend before it has earned anything, retries.
const FIRST_SAVED: f64 = 10.0;
/// The most that is saved, retries: what a storm after a long calm may cost beside what the seconds add.
const MOST_SAVED: f64 = 50.0;

/// The attempts of one page.
#[derive(Debug)]
pub struct Retry {
    waits: ExponentialBackoff,
    left: usize,
    token: RetryToken,
}

/// How often a page is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// As often as a page is worth.
    Full,
    /// Just often enough to know that it was no accident: its window has been parked.
    Short,
}

/// Why an attempt brought no page, where asking again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// 429: it came too early.
    Throttled,
    /// Anything else that may pass.
    Failed,
}

/// What follows for the page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    /// It is asked again as soon as there is a permit. It is not at fault, and everybody is held, so it loses no attempt.
    Permit,
    /// It is asked again after a rest, and with a retry token or without.
    Rest(Duration, RetryToken),
    /// Its attempts are used up.
    Never,
}

/// Whether a retry takes a token of the budget of all retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryToken {
    /// It has.
    Wanted,
    /// It has not: that a page of a parked window fails while others come is no storm.
    Free,
}

impl Retry {
    /// The attempts that `patience` allows.
    pub fn new(patience: Patience) -> Self {
        let (attempts, token) = match patience {
            Patience::Full => (MOST_ATTEMPTS, RetryToken::Wanted),
            Patience::Short => (FEW_ATTEMPTS, RetryToken::Free),
        };
        let builder = ExponentialBuilder::new()
            .with_min_delay(FIRST_WAIT)
            .with_max_delay(LONGEST_WAIT)
            .with_max_times(attempts - 1);
        Self { waits: builder.build(), left: attempts - 1, token }
    }

    /// Whether the page may be asked again after it has failed once more.
    pub fn is_left(&self) -> bool {
        self.left > 0
    }

    /// Whether it is asked just often enough to know that it was no accident.
    #[cfg(test)]
    pub fn is_short(&self) -> bool {
        self.token == RetryToken::Free
    }

    /// The page is asked as often as one of a parked window from now on: the service is known to be well.
    pub fn shorten(&mut self) {
        if self.left >= FEW_ATTEMPTS {
            *self = Self::new(Patience::Short);
        }
    }

    /// What follows from an attempt that brought no page. `dice` in `0..1` is the jitter: the rest is anywhere between nothing
    /// and its upper end.
    pub fn after(&mut self, trouble: Trouble, dice: f64) -> Next {
        if trouble == Trouble::Throttled {
            return Next::Permit;
        }
        self.left = self.left.saturating_sub(1);
        let longest = self.waits.next();
        longest.map_or(Next::Never, |longest| Next::Rest(longest.mul_f64(dice.clamp(0.0, 1.0)), self.token))
    }
}

/// How many attempts may be spent on asking again, over all pages of a process: a bucket that answers fill, and time a little.
///
/// Each page's own bound of attempts does not bound their sum: in a storm every worker has a page that fails, and each new
/// window brings one more. Where the bucket is empty a failed page waits; it loses no attempt by that, and nothing is lost.
/// The breaker stands beside it: it ends sending altogether while nothing but failures comes.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    saved: f64,
    filled_at: Duration,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { saved: FIRST_SAVED, filled_at: Duration::ZERO }
    }
}

impl RetryBudget {
    /// A page was answered.
    pub fn answered(&mut self, now: Duration) {
        self.fill(now);
        self.earn(EARNED_BY_AN_ANSWER);
    }

    /// Takes one retry, or says how long the seconds alone take to earn one; answers may earn it sooner.
    ///
    /// # Errors
    /// The wait, where the budget holds no whole retry.
    pub fn take(&mut self, now: Duration) -> Result<(), Duration> {
        self.fill(now);
        if self.saved >= 1.0 {
            self.saved -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.saved) / EARNED_A_SECOND).max(SHORTEST_WAIT))
    }

    fn fill(&mut self, now: Duration) {
        let seconds = now.saturating_sub(self.filled_at).as_secs_f64();
        self.filled_at = now.max(self.filled_at);
        self.earn(seconds * EARNED_A_SECOND);
    }

    fn earn(&mut self, retries: f64) {
        self.saved = (self.saved + retries).min(MOST_SAVED);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn eight_attempts_are_seven_waits_that_double_up_to_half_a_minute() {
        let mut retry = Retry::new(Patience::Full);
        for longest in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000] {
            let next = retry.after(Trouble::Failed, 1.0);
            assert_eq!(next, Next::Rest(Duration::from_millis(longest), RetryToken::Wanted));
        }
        assert_eq!(retry.after(Trouble::Failed, 1.0), Next::Never);
    }

    #[test]
    fn the_jitter_reaches_down_to_no_wait_at_all() {
        let next = Retry::new(Patience::Full).after(Trouble::Failed, 0.0);
        assert_eq!(next, Next::Rest(Duration::ZERO, RetryToken::Wanted));
    }

    #[test]
    fn a_page_of_a_parked_window_has_one_retry_and_needs_no_leave_for_it() {
        let mut retry = Retry::new(Patience::Short);
        assert_eq!(retry.after(Trouble::Failed, 1.0), Next::Rest(FIRST_WAIT, RetryToken::Free));
        assert_eq!(retry.after(Trouble::Failed, 1.0), Next::Never);
    }

    #[test]
    fn a_page_that_is_to_be_given_up_sooner_has_no_more_attempts_than_it_had() {
        let mut retry = Retry::new(Patience::Full);
        retry.shorten();
        assert_eq!(retry.after(Trouble::Failed, 1.0), Next::Rest(FIRST_WAIT, RetryToken::Free));
        retry.shorten();
        assert_eq!(retry.after(Trouble::Failed, 1.0), Next::Never);
    }

    #[test]
    fn a_429_costs_a_page_none_of_its_attempts() {
        let mut retry = Retry::new(Patience::Short);
        assert!((0..100).all(|_| retry.after(Trouble::Throttled, 1.0) == Next::Permit));
        assert_eq!(retry.after(Trouble::Failed, 1.0), Next::Rest(FIRST_WAIT, RetryToken::Free));
    }

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// One thing that may happen to a budget.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Answer,
        Ask,
        Wait(u64),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![3 => Just(Step::Answer), 5 => Just(Step::Ask), 1 => (0_u64..20_000).prop_map(Step::Wait)]
    }

    proptest! {
        #[test]
        fn retries_are_bounded_by_answers_and_seconds_over_any_stretch_of_any_schedule(
            steps in prop::collection::vec(any_step(), 0..600), from in 0_usize..600,
        ) {
            let (mut budget, mut now) = (RetryBudget::default(), Duration::ZERO);
            let (mut answers, mut retries, mut began) = (0_u32, 0_u32, Duration::ZERO);
            for (step, number) in steps.into_iter().zip(0..) {
                if number == from {
                    (answers, retries, began) = (0, 0, now);
                }
                match step {
                    Step::Answer => {
                        budget.answered(now);
                        answers += 1;
                    }
                    Step::Ask => retries += u32::from(budget.take(now).is_ok()),
                    Step::Wait(milliseconds) => now += Duration::from_millis(milliseconds),
                }
                let earned = f64::from(answers) * EARNED_BY_AN_ANSWER + (now - began).as_secs_f64() * EARNED_A_SECOND;
                prop_assert!(f64::from(retries) <= MOST_SAVED + earned + 1e-6, "{retries} retries, {earned} earned");
            }
        }

        #[test]
        fn whoever_waits_as_long_as_he_is_told_may_ask(steps in prop::collection::vec(any_step(), 0..200)) {
            let (mut budget, mut now) = (RetryBudget::default(), Duration::ZERO);
            for step in steps {
                match step {
                    Step::Answer => budget.answered(now),
                    Step::Wait(milliseconds) => now += Duration::from_millis(milliseconds),
                    Step::Ask => {
                        if let Err(wait) = budget.take(now) {
                            prop_assert!(wait <= at(1.0 / EARNED_A_SECOND));
                            now += wait + Duration::from_micros(1);
                            prop_assert!(budget.take(now).is_ok());
                        }
                    }
                }
            }
        }

        #[test]
        fn a_service_that_fails_three_in_ten_is_hardly_slowed_down(seed in any::<u64>()) {
            use rand::{RngExt as _, SeedableRng as _};
            let mut random = rand::rngs::StdRng::seed_from_u64(seed);
            // Ten requests a second; whether each of a page's attempts fails is drawn.
            let (mut budget, mut now, mut waited, mut attempts) = (RetryBudget::default(), Duration::ZERO, Duration::ZERO, 0);
            for _page in 0..2_000 {
                now += at(0.1);
                attempts += 1;
                while random.random_bool(0.3) {
                    if let Err(wait) = budget.take(now) {
                        waited += wait;
                        now += wait + Duration::from_micros(1);
                        prop_assert!(budget.take(now).is_ok());
                    }
                    now += at(0.1);
                    attempts += 1;
                }
                budget.answered(now);
            }
            // A streak of bad luck may empty the budget once in a while, and an unlucky seed has several.
            prop_assert!(waited < at(0.05 * 0.1 * f64::from(attempts)), "{waited:?} waited for {attempts} attempts");
        }
    }

    #[test]
    fn an_hour_without_an_answer_costs_an_attempt_a_second_and_what_was_saved() {
        let mut budget = RetryBudget::default();
        (0..1_000).for_each(|_| budget.answered(Duration::ZERO));
        let (mut now, mut retries) = (Duration::ZERO, 0);
        while now < Duration::from_secs(3_600) {
            match budget.take(now) {
                Ok(()) => retries += 1,
                Err(wait) => now += wait,
            }
        }
        assert!((3_640..=3_651).contains(&retries), "{retries}");
    }

    #[test]
    fn a_clock_that_stands_still_or_a_suspension_saves_no_more_than_the_most() {
        let mut budget = RetryBudget::default();
        budget.answered(at(7_200.0));
        let taken = (0..1_000).filter(|_| budget.take(at(7_200.0)).is_ok()).count();
        assert_eq!(taken, 50);
        assert!(budget.take(at(3.0)).is_err(), "time that goes back earns nothing");
    }
}
