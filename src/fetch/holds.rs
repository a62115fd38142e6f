//! When nobody may send: after 429s, while nearly everything fails, and where the service asks for it. Pure; time is a duration
//! since the process began, handed in.
//!
//! The rules: requests that were sent before a 429 was heeded never count as another one; a 429 that follows on none makes a
//! short pause; where one follows on another without anything served between them, the holds double up to a minute, and one
//! request alone tries whether a hold is over.

use std::time::Duration;

/// The pause after a 429 that follows on none, in requests of the rate, and the longest: a bucket gains as many permits.
const PAUSE: f64 = 8.0;
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// The hold after a 429 that follows on another, doubled with each further one, and the longest.
const FIRST_HOLD: Duration = Duration::from_millis(250);
const LONGEST_HOLD: Duration = Duration::from_secs(60);
/// The hold where nearly everything fails, doubled likewise.
const FIRST_BREAK: Duration = Duration::from_secs(1);
/// A wait beyond this that is asked for is cut to it: the run's own patience decides, not a typing error of a server.
const LONGEST_ASKED_HOLD: Duration = Duration::from_secs(3_600);
/// A 429 follows on another unless a request was served that was sent so long after that one's hold.
const CALM: Duration = Duration::from_secs(1);
/// 429s in a row from which on one request alone tries first, and how long the others wait for its answer.
const TRIED: u32 = 2;
const TRIAL: Duration = Duration::from_secs(2);

/// The holds of a process.
#[derive(Clone, Debug)]
pub(super) struct Holds {
    until: Duration,
    /// The end of the last hold that a 429 began.
    heeded: Option<Duration>,
    /// 429s in a row, each of a request that was sent after the hold of the one before it.
    in_a_row: u32,
    trial: Trial,
}

/// Whether one request alone tries if a hold is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trial {
    None,
    Due,
    Sent(Duration),
}

impl Holds {
    pub(super) fn new() -> Self {
        Self { until: Duration::ZERO, heeded: None, in_a_row: 0, trial: Trial::None }
    }

    /// Until when nobody may send.
    pub(super) fn until(&self) -> Duration {
        self.until
    }

    /// 429s in a row until now.
    pub(super) fn in_a_row(&self) -> u32 {
        self.in_a_row
    }

    /// Whether a 429 of a request that was sent at `sent_at` says something new.
    pub(super) fn is_news(&self, sent_at: Duration) -> bool {
        self.heeded.is_none_or(|heeded| sent_at >= heeded)
    }

    /// A request was sent. Where it is the trial, the others wait for its answer.
    pub(super) fn sent(&mut self, now: Duration) {
        if self.trial == Trial::Due {
            self.trial = Trial::Sent(now);
            self.until = now + TRIAL;
        }
    }

    /// A request that was sent at `sent_at` was served.
    pub(super) fn served(&mut self, now: Duration, sent_at: Duration) {
        if self.trial == Trial::Sent(sent_at) {
            self.end_trial(now);
        }
        // Where something is served between two 429s, the rate is to blame and no longer hold is called for.
        if let Some(heeded) = self.heeded.filter(|heeded| sent_at >= *heeded) {
            self.in_a_row = if sent_at >= heeded + CALM { 0 } else { self.in_a_row.min(1) };
        }
    }

    /// A 429 that is news came, while requests went at `rate` a second: everybody waits, the longer of what is `asked` and of
    /// what is due, so that a wait of nothing does not switch the backoff off. `spread` in `0..1` keeps many processes apart.
    pub(super) fn refused(&mut self, now: Duration, rate: f64, asked: Duration, spread: f64) {
        self.end_trial(now);
        let due = match self.in_a_row {
            0 => Duration::from_secs_f64(PAUSE / rate).min(LONGEST_PAUSE),
            others => backoff(FIRST_HOLD, others - 1, spread),
        };
        self.until = self.until.max(now + due.max(allowed(asked)));
        self.heeded = Some(self.until);
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.trial = if self.in_a_row >= TRIED { Trial::Due } else { Trial::None };
    }

    /// Nearly everything fails.
    pub(super) fn broken(&mut self, now: Duration, failures_in_a_row: u32, spread: f64) {
        self.until = self.until.max(now + backoff(FIRST_BREAK, failures_in_a_row, spread));
    }

    /// The service asks to wait.
    pub(super) fn asked(&mut self, now: Duration, wait: Duration) {
        self.until = self.until.max(now + allowed(wait));
    }

    /// The wait for the trial's answer ends; another hold that began since stays.
    fn end_trial(&mut self, now: Duration) {
        if let Trial::Sent(at) = self.trial
            && self.until == at + TRIAL
        {
            self.until = now;
        }
        self.trial = Trial::None;
    }
}

/// An asked wait within its bound.
pub(super) fn allowed(asked: Duration) -> Duration {
    asked.min(LONGEST_ASKED_HOLD)
}

fn backoff(first: Duration, times: u32, spread: f64) -> Duration {
    let doubled = first.saturating_mul(2_u32.saturating_pow(times.min(16))).min(LONGEST_HOLD);
    doubled.mul_f64(1.0 + 0.25 * spread.clamp(0.0, 1.0)).min(LONGEST_HOLD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// Refuses whatever is sent; answers for how long each refusal held.
    fn refused(holds: &mut Holds, asked: &[f64]) -> Vec<f64> {
        let hold = |asked: &f64| {
            let now = holds.until() + at(0.1);
            holds.sent(now);
            holds.refused(now, 100.0, at(*asked), 0.0);
            ((holds.until() - now).as_secs_f64() * 1e3).round() / 1e3
        };
        asked.iter().map(hold).collect()
    }

    #[test]
    fn the_first_429_makes_a_pause_and_holds_double_up_to_a_minute() {
        let mut holds = Holds::new();
        let held = refused(&mut holds, &[0.0; 11]);
        assert_eq!(held, [0.08, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
    }

    #[test]
    fn what_is_asked_counts_where_it_is_longer() {
        let mut holds = Holds::new();
        assert_eq!(refused(&mut holds, &[7.0, 0.0, 90.0, 0.2]), [7.0, 0.25, 90.0, 1.0]);
        assert_eq!(refused(&mut holds, &[1e9]), [3_600.0]);
    }

    #[test]
    fn a_shorter_hold_leaves_a_longer_one_as_it_is() {
        let mut holds = Holds::new();
        holds.asked(at(0.0), at(30.0));
        holds.refused(at(1.0), 100.0, at(2.0), 0.0);
        assert_eq!(holds.until(), at(30.0));
        holds.broken(at(2.0), 0, 0.0);
        assert_eq!(holds.until(), at(30.0));
    }

    #[test]
    fn what_is_served_in_between_shortens_the_next_hold() {
        let mut holds = Holds::new();
        refused(&mut holds, &[0.0; 6]);
        let sent_at = holds.until();
        holds.served(sent_at + at(0.1), sent_at);
        assert_eq!(refused(&mut holds, &[0.0; 2]), [0.25, 0.5]);
        let sent_at = holds.until() + CALM;
        holds.served(sent_at + at(0.1), sent_at);
        assert_eq!(refused(&mut holds, &[0.0]), [0.08]);
        holds.served(holds.until(), holds.until() - at(0.05));
        assert_eq!(holds.in_a_row(), 1, "what was sent before the 429 says nothing");
    }

    #[test]
    fn one_request_tries_and_the_others_wait_for_its_answer() {
        let mut holds = Holds::new();
        refused(&mut holds, &[0.0; 3]);
        let sent_at = holds.until();
        holds.sent(sent_at);
        assert_eq!(holds.until(), sent_at + TRIAL);
        holds.asked(sent_at, at(1.0));
        holds.served(sent_at + at(0.3), sent_at);
        assert_eq!(holds.until(), sent_at + at(0.3));
        refused(&mut holds, &[0.0; 2]);
        let sent_at = holds.until();
        holds.sent(sent_at);
        holds.asked(sent_at, at(30.0));
        holds.served(sent_at + at(0.3), sent_at);
        assert_eq!(holds.until(), sent_at + at(30.0), "what was asked for in between stays");
    }
}
