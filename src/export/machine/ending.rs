//! When and how a start ends: by itself, at a bound, by a signal, or because something of our own broke.
//!
//! What was paid for is waited for, at most for [`DRAIN`]; what is settled is published first where there is time for it.

use std::time::Duration;

use super::minding::ending_of;
use super::{Abandoned, Broken, Conclusion, Effect, Landed, Machine, Moment, Publishing};
use crate::export::{Ending, Interrupt};
use crate::progress::Event as Told;

/// How long requests on their way are waited for after a stop; SIGTERM's grace is often 30 s.
pub(super) const DRAIN: Duration = Duration::from_secs(20);
/// When to look again at a silence that is explained.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

impl Machine {
    /// Whether nothing more is begun.
    pub(in crate::export) fn is_ending(&self) -> bool {
        self.ending.is_some() || self.is_broken
    }

    /// How it ended, once nothing is on its way any more.
    pub(in crate::export) fn conclusion(&self) -> Option<Conclusion> {
        let is_published = self.publishing == Publishing::NothingDue;
        let is_still = self.pool.is_empty() && self.recording.is_none() && self.landed.is_empty();
        let waits = self.waits_until.is_some() && !self.is_ending() && !self.planner.is_done();
        if !is_still || waits || !(is_published || self.is_broken) {
            return None;
        }
        Some(match (&self.ending, &self.stuck) {
            (_, Some(open)) => Conclusion::Stuck(open.clone()),
            _ if self.is_broken => Conclusion::Broken,
            (Some(ending), _) => Conclusion::Ended(ending.clone()),
            (None, _) if self.settings.probing.is_some() => Conclusion::Ended(Ending::Probed),
            (None, _) if self.planner.is_done() => Conclusion::Ended(Ending::Complete),
            (None, _) => Conclusion::Stuck(self.what_is_open()),
        })
    }

    /// The first ending counts.
    pub(super) fn end(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
        self.changed();
    }

    pub(super) fn interrupt(&mut self, signal: Interrupt, moment: &Moment) {
        self.hurried = true;
        self.end(Ending::Interrupted(signal));
        self.drained_by = Some(moment.now + DRAIN);
    }

    pub(super) fn take_broken(&mut self, what: Broken) {
        self.is_broken = true;
        match what {
            Broken::Job(id) => self.landed.extend(self.pool.give_up(id).map(Landed::Job)),
            Broken::Recording => self.recording = None,
            Broken::Publishing => self.publishing = Publishing::NothingDue,
            Broken::Other => {}
        }
    }

    /// The bounds of a start that time alone decides on.
    pub(super) fn look_at_time(&mut self, moment: &Moment) {
        if self.time_is_over().is_some_and(|at| moment.now >= at) {
            self.end(Ending::TimeSpent);
        }
        // Those that wait on purpose would answer.
        if self.is_dry(moment) && self.waits_until.is_none() && !self.silence_is_explained() {
            let why = self.pool.last_failure().unwrap_or("no answer came").to_owned();
            // A service that refuses is not unwell, also where there was no time to ask as often as one likes to be sure.
            let refused =
                self.regions.refusal().or_else(|| self.pool.slowed()).map(|(code, message)| ending_of(code, message));
            match refused {
                Some(ending) => self.end(ending),
                None if self.regions.are_silent(&self.standing(), &why, moment.now) => {
                    self.minds = true;
                    self.land_all(moment);
                }
                None => self.end(Ending::Unwell { why }),
            }
        }
    }

    /// Stops what ends, and gives up what does not come: its credits stay reserved, so it counts as possibly charged. What is
    /// being published is waited for, however long it takes, unless a signal came: its rows are safe in the journal.
    pub(super) fn stop_if_it_ends(&mut self, moment: &Moment) {
        // Where a region was given up, only harmless pages can be on their way at the end, and nobody needs them any more.
        let is_over = self.planner.is_done() && self.recording.is_none() && !self.probes.is_empty();
        if !self.is_ending() && !is_over {
            self.drained_by = None;
            return;
        }
        // What is read may be opened again: then others are asked.
        let stopped = if self.is_ending() { self.pool.stop() } else { self.pool.stop_probes() };
        self.landed.extend(stopped.into_iter().map(Landed::Job));
        let by = *self.drained_by.get_or_insert(moment.now + DRAIN);
        let is_waiting = !self.pool.is_empty() || (self.hurried && self.publishing == Publishing::Busy);
        if moment.now >= by && is_waiting {
            let given_up = self.pool.abandon();
            self.landed.extend(given_up.into_iter().map(Landed::Job));
            let what = if self.hurried { Abandoned::Everything } else { Abandoned::Answers };
            if self.hurried {
                self.publishing = Publishing::NothingDue;
            }
            self.effects.push_back(Effect::Abandon(what));
        }
        self.land_all(moment);
    }

    pub(super) fn drain_ends(&self) -> Option<Duration> {
        self.drained_by.filter(|_| self.hurried || !self.pool.is_empty())
    }

    pub(super) fn time_is_over(&self) -> Option<Duration> {
        self.settings.time.filter(|_| !self.is_ending())
    }

    /// When no page will have come for too long, if none comes and nothing suspends the process; or when to look again at a
    /// silence that is explained.
    pub(super) fn dry_at(&self, moment: &Moment) -> Option<Duration> {
        let is_asking = !self.is_ending() && !self.pool.is_empty();
        let dry = moment.awake.saturating_sub(self.last_page);
        let left = self.settings.give_up_after.saturating_sub(dry);
        is_asking.then(|| moment.now + if left.is_zero() { LOOK_AGAIN } else { left })
    }

    fn is_dry(&self, moment: &Moment) -> bool {
        let is_asking = !self.is_ending() && !self.pool.is_empty();
        is_asking && moment.awake.saturating_sub(self.last_page) >= self.settings.give_up_after
    }

    /// What fails; and the rate, for people and for the next run.
    pub(super) fn look(&mut self, moment: &Moment) {
        self.changed();
        self.look_at_regions(moment);
        let rate = self.pool.rate();
        if (rate - self.rate_told).abs() > f64::EPSILON {
            self.rate_told = rate;
            self.tell(Told::RateChanged { per_second: rate });
        }
        self.learn_rate();
    }

    /// Keeps the rate for the next run, where it differs enough to be worth a write.
    pub(in crate::export) fn learn_rate(&mut self) {
        let learned = self.pool.learned();
        let before = self.rate_learned;
        if has_moved(before.limit, learned.limit) || has_moved(before.used, learned.used) {
            self.rate_learned = learned;
            self.effects.push_back(Effect::Learn(learned));
        }
    }

    pub(super) fn what_is_open(&self) -> String {
        let open = self.planner.regions().iter().filter(|plan| !plan.is_done());
        open.map(|plan| format!("{} from {}", plan.region, plan.done_until)).collect::<Vec<_>>().join(", ")
    }
}

/// Whether a rate differs enough to be worth a write.
fn has_moved(before: Option<f64>, now: Option<f64>) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => (now - before).abs() > before * 0.05,
        (before, now) => before.is_some() != now.is_some(),
    }
}
