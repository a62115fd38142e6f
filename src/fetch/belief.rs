//! What the limit is believed to be, and how long it is believed before it is probed. Pure; time is a duration since the process
//! began, handed in.
//!
//! The rules: the measure of a limit is what was served; a limit that is news is searched on at once, and one that was met
//! again is probed more and more seldom.

use std::time::Duration;

/// Beyond this multiple of the limit it is none: the service allows more than it did.
pub(super) const PASSED: f64 = 1.3;
/// What a probe that met a 429 adds to the limit, as a share of how far the rate was above it. The rest may have been a bucket's
/// savings.
const PROBED: f64 = 0.5;
/// A limit that is met again within this share of itself is the same one; and where a second has few requests, within so many of
/// them, which is how exactly a second measures, up to the last share.
const SAME: f64 = 0.03;
const SAME_REQUESTS: f64 = 2.0;
const MOST_SAME: f64 = 0.15;
/// How long a limit is believed: for so many requests and so long once it was met again, twice as long after each further time,
/// and at most so long, which is for how long one is believed that an earlier run met. Where its requests take longer, they count.
const BELIEVED_REQUESTS: f64 = 250.0;
const FIRST_BELIEF: Duration = Duration::from_secs(5);
const LONGEST_BELIEF: Duration = Duration::from_secs(60);
const LONGEST_SLOW_BELIEF: Duration = Duration::from_secs(300);
/// Where the service asks for a wait with its 429s, a probe costs it: the share of the time that may go into them.
const PROBE_COST: f64 = 0.02;

/// The limit, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Belief {
    limit: Option<f64>,
    /// The limit that was believed before the last probe.
    before_probe: Option<f64>,
    is_searching: bool,
    probe_at: Duration,
    lasts: Duration,
}

impl Belief {
    /// What an earlier run met, or nothing.
    pub(super) fn new(limit: Option<f64>) -> Self {
        let probe_at = LONGEST_BELIEF;
        Self { limit, before_probe: None, is_searching: false, probe_at, lasts: Duration::ZERO }
    }

    /// Requests a second.
    pub(super) fn limit(&self) -> Option<f64> {
        self.limit
    }

    /// Whether the limit is news, so that the rate goes on to grow.
    pub(super) fn is_searching(&self) -> bool {
        self.is_searching
    }

    /// Whether it is time to go beyond the limit.
    pub(super) fn is_probed(&self, now: Duration) -> bool {
        now >= self.probe_at
    }

    /// The limit that a 429 speaks of which was met at `rate`, where `measured` was served, or something or nothing.
    pub(super) fn met(&self, rate: f64, measured: Option<f64>, answers: u32) -> Option<f64> {
        match (self.limit, measured) {
            (Some(limit), _) if rate > limit && rate <= limit * PASSED => Some(limit + (rate - limit) * PROBED),
            (_, Some(measured)) => Some(measured),
            // Where nothing is served at all, nothing is learned of how much would be.
            (limit, None) if answers == 0 => limit,
            (limit, None) => Some(limit.map_or(rate, |limit| limit.min(rate))),
        }
    }

    /// Believes in the limit that was met at `rate`, from the end of the hold on; `asked` is the wait that the service asked for.
    pub(super) fn believe(&mut self, met: f64, rate: f64, from: Duration, asked: Duration) {
        let is_near = |known: f64| (met - known).abs() <= known * (SAME + SAME_REQUESTS / known).min(MOST_SAME);
        self.is_searching = !self.limit.is_some_and(is_near) && !self.before_probe.is_some_and(is_near);
        self.probe_at = from;
        if !self.is_searching {
            self.lasts = (self.lasts * 2).min(LONGEST_BELIEF).max(first_belief(met));
            self.probe_at += self.lasts.max(asked.div_f64(PROBE_COST));
        }
        if self.limit.is_some_and(|limit| rate > limit) {
            self.before_probe = self.limit;
        }
        self.limit = Some(met);
    }
}

fn first_belief(limit: f64) -> Duration {
    let seconds = (BELIEVED_REQUESTS / limit).min(LONGEST_SLOW_BELIEF.as_secs_f64());
    Duration::from_secs_f64(seconds).max(FIRST_BELIEF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_served_is_the_limit_and_a_probe_lifts_it_by_half() {
        let new = Belief::new(None);
        assert_eq!(new.met(128.0, Some(97.0), 90), Some(97.0));
        assert_eq!(new.met(128.0, None, 3), Some(128.0));
        assert_eq!(new.met(128.0, None, 0), None);
        let known = Belief::new(Some(100.0));
        assert_eq!(known.met(110.0, Some(108.0), 90), Some(105.0));
        assert_eq!(known.met(140.0, Some(135.0), 90), Some(135.0));
        assert_eq!((known.met(90.0, None, 3), known.met(90.0, None, 0)), (Some(90.0), Some(100.0)));
    }

    #[test]
    fn news_is_searched_on_and_what_is_met_again_is_believed_longer_and_longer() {
        let (start, none) = (Duration::from_secs(100), Duration::ZERO);
        let mut belief = Belief::new(None);
        belief.believe(80.0, 128.0, start, none);
        assert!(belief.is_searching() && belief.is_probed(start));
        let mut believed = vec![];
        for _ in 0..6 {
            belief.believe(81.0, 80.0, start, none);
            believed.push((belief.probe_at - start).as_secs());
        }
        assert_eq!((believed, belief.is_searching()), (vec![5, 10, 20, 40, 60, 60], false));
        belief.believe(81.0, 80.0, start, Duration::from_secs(2));
        assert_eq!((belief.probe_at - start).as_secs(), 100, "a probe that costs two seconds is worth it seldom");
        // A probe that a bucket's savings carried beyond the limit, and what came down again.
        belief.believe(89.0, 98.0, start, none);
        assert!(belief.is_searching());
        belief.believe(80.5, 86.0, start, none);
        assert!(!belief.is_searching());
    }
}
