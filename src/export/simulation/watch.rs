//! What the code that decides on retries and on the rate promises, checked at every request. It counts by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::api::contract::Region;
use crate::fetch::job::Work;
use crate::fetch::retry::Patience;
use crate::plan::fact::PageAddress;

/// Failures of one page after which a job gives it up, and of a page of a parked window.
const MOST_FAILURES: u32 = 8;
const FEW_FAILURES: u32 = 2;
/// Retries are at most half of the answers, one a second, and so many.
const SAVED: f64 = 50.0;
/// The shortest hold after a 429 that follows on another and names none.
const SHORTEST_HOLD: Duration = Duration::from_millis(250);
/// The shortest pause after one that follows on none: what was sent in the moment in which that came, was sent before it was heeded.
const SHORTEST_PAUSE: Duration = Duration::from_nanos(1);
/// The longest one that doubles.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// A longer `Retry-After` is cut to this.
const LONGEST_HOLD: Duration = Duration::from_secs(3_600);

/// 429s of a region without a page of it, each after a page of another, from which on they are its own trouble.
const ALONE: u32 = 8;

/// The promises of one process, and what its run came to.
#[derive(Debug, Default)]
pub(super) struct Watch {
    began: Duration,
    answers: u64,
    retries: u64,
    failed: BTreeSet<PageAddress>,
    under_way: BTreeSet<PageAddress>,
    quiet_until: Option<Duration>,
    /// Of each region that was refused since its last page: how often alone, whether another was answered since, and until when it
    /// asked to be left alone.
    alone: BTreeMap<Region, (u32, bool, Duration)>,
    /// 429s that were heeded since a page came.
    refused_in_a_row: u32,
    /// Retries of all processes, for which a token was needed.
    pub(super) all_retries: u64,
    /// The most 429s of one job.
    pub(super) most_throttled: u32,
    /// The most failures of one job.
    pub(super) most_failures: u32,
}

impl Watch {
    /// The next process knows nothing of this one's failures.
    pub(super) fn restart(&mut self, now: Duration) {
        let (all_retries, most_throttled, most_failures) = (self.all_retries, self.most_throttled, self.most_failures);
        *self = Self { began: now, all_retries, most_throttled, most_failures, ..Self::default() };
    }

    /// A job begins: no two are sent for the same page.
    pub(super) fn begins(&mut self, address: &PageAddress) {
        assert!(self.under_way.insert(address.clone()), "{address:?} is asked for twice at once");
    }

    /// A job is over.
    pub(super) fn ends(&mut self, address: &PageAddress) {
        self.under_way.remove(address);
    }

    /// A request goes out, for a page or to look whether the service is well.
    pub(super) fn sends(&mut self, now: Duration, work: &Work, needs_token: bool) {
        let region = &work.query().region;
        let address = if let Work::Page(task) = work { Some(&task.address) } else { None };
        assert!(self.quiet_until.is_none_or(|until| now >= until), "a request went out while everybody is held");
        let is_left_alone = self.alone.get(region).is_some_and(|(times, _, until)| *times >= ALONE && now < *until);
        assert!(!is_left_alone, "{region} is asked, and it asked to wait");
        if !needs_token || !address.is_some_and(|address| self.failed.contains(address)) {
            return;
        }
        self.retries += 1;
        self.all_retries += 1;
        let earned = self.answers as f64 / 2.0 + now.saturating_sub(self.began).as_secs_f64();
        let (retries, answers) = (self.retries, self.answers);
        assert!(retries as f64 <= SAVED + earned, "{retries} retries for {answers} answers, {earned} earned");
    }

    /// A page of a region came.
    pub(super) fn answered(&mut self, region: &Region) {
        self.answers += 1;
        self.refused_in_a_row = 0;
        self.alone.remove(region);
        self.alone.values_mut().for_each(|(_, is_other_answered, _)| *is_other_answered = true);
    }

    /// A request for a region met a 429 that asks to wait. What comes of one region alone holds it alone.
    pub(super) fn refused(
        &mut self,
        now: Duration,
        (region, sent_at): (&Region, Duration),
        retry_after: Option<Duration>,
        of_this_job: u32,
    ) {
        let (times, is_other_answered, until) = self.alone.entry(region.clone()).or_default();
        let is_next = std::mem::take(is_other_answered);
        *times += u32::from(is_next);
        if *times < ALONE {
            self.throttled(now, sent_at, retry_after, of_this_job);
        } else {
            if *times == ALONE && is_next {
                // The key's rate was blamed until now, and was not at fault: holding everybody begins anew.
                (self.quiet_until, self.refused_in_a_row) = (None, 0);
            }
            *until = (*until).max(now + retry_after.unwrap_or_default().min(LONGEST_HOLD));
            self.most_throttled = self.most_throttled.max(of_this_job);
        }
    }

    /// A request that was sent at `sent_at` met a 429. If that was after the last one that was heeded, everybody is held: as long
    /// as the service asks for; and where no page came between them, longer each time. One that follows on none makes a pause.
    pub(super) fn throttled(
        &mut self,
        now: Duration,
        sent_at: Duration,
        retry_after: Option<Duration>,
        of_this_job: u32,
    ) {
        self.most_throttled = self.most_throttled.max(of_this_job);
        if self.quiet_until.is_none_or(|until| sent_at >= until) {
            let due = match self.refused_in_a_row {
                0 => SHORTEST_PAUSE,
                others => SHORTEST_HOLD.saturating_mul(1 << (others - 1).min(16)).min(LONGEST_BACKOFF),
            };
            self.refused_in_a_row += 1;
            self.quiet_until = Some(now + retry_after.unwrap_or_default().max(due).min(LONGEST_HOLD));
        }
    }

    /// A job's attempt failed, for the so-manieth time.
    pub(super) fn failed(&mut self, failures: u32, patience: Patience, work: &Work) {
        let Work::Page(task) = work else { return };
        let most = if patience == Patience::Full { MOST_FAILURES } else { FEW_FAILURES };
        assert!(failures <= most, "attempt {failures} at {:?}", task.address);
        self.most_failures = self.most_failures.max(failures);
        self.failed.insert(task.address.clone());
    }
}
