//! What a service served lately, which is the measure of its limit. Pure; time is a duration since the process began, handed in.

use std::time::Duration;

/// The fewest answers and the shortest stretch, seconds, that measure anything.
const ENOUGH: u32 = 8;
const MEASURED: f64 = 0.2;

/// Answers other than 429 of the stretch under way and of the one before it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Served {
    now: Stretch,
    before: Option<Stretch>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Stretch {
    since: Duration,
    answers: u32,
}

impl Served {
    /// One answer more.
    pub(super) fn count(&mut self) {
        self.now.answers = self.now.answers.saturating_add(1);
    }

    /// Answers of both stretches.
    pub(super) fn answers(&self) -> u32 {
        self.now.answers + self.before.map_or(0, |before| before.answers)
    }

    /// Answers of the stretch under way.
    pub(super) fn answers_now(&self) -> u32 {
        self.now.answers
    }

    /// How long the stretch under way is, seconds.
    pub(super) fn seconds(&self, now: Duration) -> f64 {
        now.saturating_sub(self.now.since).as_secs_f64()
    }

    /// Answers a second of the stretch under way.
    pub(super) fn rate(&self, now: Duration) -> f64 {
        f64::from(self.now.answers) / self.seconds(now)
    }

    /// Answers a second of both stretches, where they are enough to tell.
    pub(super) fn measure(&self, now: Duration) -> Option<f64> {
        let since = self.before.map_or(self.now.since, |before| before.since);
        let seconds = now.saturating_sub(since).as_secs_f64();
        (self.answers() >= ENOUGH && seconds >= MEASURED).then(|| f64::from(self.answers()) / seconds)
    }

    /// Begins the next stretch.
    pub(super) fn turn(&mut self, now: Duration) {
        self.before = Some(self.now);
        self.now = Stretch { since: now, answers: 0 };
    }

    /// Begins anew: what was served until now measures nothing that follows.
    pub(super) fn forget(&mut self, now: Duration) {
        (self.now, self.before) = (Stretch { since: now, answers: 0 }, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn two_stretches_measure_together_and_few_answers_measure_nothing() {
        let mut served = Served::default();
        (0..7).for_each(|_| served.count());
        assert_eq!(served.measure(at(2.0)), None, "too few");
        served.count();
        assert_eq!(served.measure(at(0.1)), None, "too short");
        assert_eq!(served.measure(at(2.0)), Some(4.0));
        served.turn(at(2.0));
        (0..12).for_each(|_| served.count());
        assert_eq!((served.rate(at(4.0)), served.measure(at(4.0))), (6.0, Some(5.0)));
        served.turn(at(4.0));
        assert_eq!((served.answers(), served.answers_now(), served.measure(at(5.0))), (12, 0, Some(4.0)));
        served.forget(at(5.0));
        assert_eq!((served.answers(), served.measure(at(9.0))), (0, None));
    }
}
