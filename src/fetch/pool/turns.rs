//! Whose turn it is: all jobs of a process, who rests, who waits for a retry token or for a permit, and how many are under way. Pure.
//!
//! RetryToken and permits are given in the order of asking; leave never beyond the budget of retries.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use super::{Over, Sending};
use crate::fetch::gate::Permit;
use crate::fetch::job::{Asks, FetchJob, Fetched, JobId, Stands};
use crate::fetch::retry::{RetryBudget, RetryToken};

/// The jobs of a process, and where each of them stands.
#[derive(Debug, Default)]
pub(super) struct Turns {
    budget: RetryBudget,
    jobs: BTreeMap<JobId, FetchJob>,
    begun: u64,
    wants_permit: VecDeque<JobId>,
    wants_token: VecDeque<JobId>,
    rests: BinaryHeap<Reverse<(Duration, JobId)>>,
    permit_due: Option<Duration>,
    token_due: Option<Duration>,
    under_way: usize,
    resting: usize,
    longest_wait: Duration,
}

impl Turns {
    /// Takes a job in; one that begins with a rest has it until then.
    pub(super) fn add(&mut self, job: FetchJob, rests_until: Duration) -> JobId {
        let id = JobId(self.begun);
        self.begun += 1;
        self.resting += usize::from(job.is_resting());
        match job.stands {
            Stands::WantsToken { .. } => self.wants_token.push_back(id),
            Stands::Rests(_) => self.rests.push(Reverse((rests_until, id))),
            _ => self.wants_permit.push_back(id),
        }
        self.jobs.insert(id, job);
        id
    }

    pub(super) fn job(&self, id: JobId) -> Option<&FetchJob> {
        self.jobs.get(&id)
    }

    pub(super) fn job_mut(&mut self, id: JobId) -> Option<&mut FetchJob> {
        self.jobs.get_mut(&id)
    }

    /// The numbers of these jobs.
    pub(super) fn ids(&self, is_wanted: impl Fn(&FetchJob) -> bool) -> Vec<JobId> {
        self.jobs.iter().filter(|(_, job)| is_wanted(job)).map(|(id, _)| *id).collect()
    }

    /// Jobs that are not over.
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Jobs that were ever taken in.
    pub(super) fn begun(&self) -> u64 {
        self.begun
    }

    /// Jobs of which nothing is under way because they rest between attempts.
    pub(super) fn resting(&self) -> usize {
        self.resting
    }

    /// The longest that a job has waited for a retry token.
    pub(super) fn longest_wait(&self) -> Duration {
        self.longest_wait
    }

    /// The service has answered, which earns a part of a retry token.
    pub(super) fn answered(&mut self, now: Duration) {
        self.budget.answered(now);
    }

    /// When something may go on that no answer brings about.
    pub(super) fn wake_at(&self) -> Option<Duration> {
        let rest = self.rests.peek().map(|Reverse((at, _))| *at);
        [rest, self.permit_due, self.token_due].into_iter().flatten().min()
    }

    pub(super) fn want_permit(&mut self, id: JobId) {
        self.stand(id, Stands::WantsPermit);
        self.wants_permit.push_back(id);
    }

    /// A job rests until then, and asks for a permit after it, or for a retry token first.
    pub(super) fn rest(&mut self, id: JobId, until: Duration, token: RetryToken) {
        self.stand(id, Stands::Rests(token));
        self.rests.push(Reverse((until, id)));
    }

    /// A job goes from one place to another; those who rest and those who are under way are counted.
    pub(super) fn stand(&mut self, id: JobId, stands: Stands) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        self.resting -= usize::from(job.is_resting());
        self.under_way -= usize::from(job.is_under_way());
        job.stands = stands;
        self.resting += usize::from(job.is_resting());
        self.under_way += usize::from(job.is_under_way());
    }

    /// Takes a job out.
    pub(super) fn end(&mut self, id: JobId, how: Fetched) -> Option<Over> {
        let job = self.jobs.remove(&id)?;
        self.resting -= usize::from(job.is_resting());
        self.under_way -= usize::from(job.is_under_way());
        Some(Over { job: id, work: job.work, began: job.began, has_failed: job.has_failed, how })
    }

    /// Takes these jobs out, of which nothing is under way.
    pub(super) fn end_idle(&mut self, is_meant: impl Fn(&FetchJob) -> bool) -> Vec<Over> {
        let idle = self.ids(|job| !job.is_under_way() && is_meant(job));
        self.wants_permit.retain(|id| !idle.contains(id));
        self.wants_token.retain(|id| !idle.contains(id));
        idle.into_iter().filter_map(|id| self.end(id, Fetched::Stopped)).collect()
    }

    /// Nobody gets a turn any more; what is under way stays.
    pub(super) fn stop(&mut self) -> Vec<Over> {
        (self.permit_due, self.token_due) = (None, None);
        self.rests.clear();
        self.end_idle(|_| true)
    }

    /// Gives rests their end, and retry tokens as far as the budget goes.
    pub(super) fn go_on(&mut self, now: Duration) {
        self.end_rests(now);
        self.give_leave(now);
    }

    fn end_rests(&mut self, now: Duration) {
        while let Some(Reverse((at, id))) = self.rests.peek().copied()
            && at <= now
        {
            self.rests.pop();
            match self.jobs.get(&id).map(|job| job.stands) {
                Some(Stands::Rests(RetryToken::Wanted)) => {
                    self.stand(id, Stands::WantsToken { since: now });
                    self.wants_token.push_back(id);
                }
                Some(Stands::Rests(RetryToken::Free)) => self.want_permit(id),
                _ => {}
            }
        }
    }

    fn give_leave(&mut self, now: Duration) {
        self.token_due = self.token_due.filter(|due| *due > now);
        while let Some(id) = self.wants_token.front().copied() {
            match self.budget.take(now) {
                Ok(()) => {
                    self.wants_token.pop_front();
                    if let Some(FetchJob { stands: Stands::WantsToken { since }, .. }) = self.jobs.get(&id) {
                        self.longest_wait = self.longest_wait.max(now.saturating_sub(*since));
                    }
                    self.want_permit(id);
                }
                Err(wait) => {
                    let at = now + wait;
                    self.token_due = Some(self.token_due.map_or(at, |due| due.min(at)));
                    return;
                }
            }
        }
    }

    /// Permits go to those who may have one, while fewer than `places` are under way, as long as there are permits: to whose answers lacked a known
    /// row most often, and of several to the first in the queue. Who has got one is to be sent. `permit` gives one, or says when there may be one.
    pub(super) fn give_permits(
        &mut self,
        (places, now): (usize, Duration),
        may_have: impl Fn(JobId, &FetchJob) -> bool,
        mut permit: impl FnMut() -> Result<Permit, Duration>,
    ) -> Vec<Sending> {
        self.permit_due = self.permit_due.filter(|due| *due > now);
        let mut sent = Vec::new();
        let is_next = |turns: &Self, id: JobId| turns.jobs.get(&id).is_none_or(|job| may_have(id, job));
        // Of many that lack a known row each that is asked holds all, so one of them is settled first: what it shows is so for the others.
        let missing = |turns: &Self, id: JobId| turns.jobs.get(&id).map_or(0, FetchJob::times_missing);
        let is_any_missing = self.wants_permit.iter().any(|id| missing(self, *id) > 0);
        while self.under_way < places
            && let Some((place, id)) = {
                let mut waiting = self.wants_permit.iter().copied().enumerate().filter(|(_, id)| is_next(self, *id));
                match is_any_missing {
                    true => waiting.max_by_key(|(place, id)| (missing(self, *id), Reverse(*place))),
                    false => waiting.next(),
                }
            }
        {
            match permit() {
                Ok(permit) => {
                    self.wants_permit.remove(place);
                    self.stand(id, Stands::OnItsWay(permit));
                    sent.extend(self.jobs.get_mut(&id).map(|job| {
                        let asks = job.asks;
                        job.asks = if asks == Asks::First { Asks::Again } else { asks };
                        Sending { job: id, work: job.work.clone(), asks }
                    }));
                }
                Err(until) => {
                    self.permit_due = Some(self.permit_due.map_or(until, |due| due.min(until)));
                    break;
                }
            }
        }
        sent
    }
}
