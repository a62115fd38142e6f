//! Carrying out what is decided about regions: asking a refused page again, harmless pages, and giving a region up.

use std::time::Duration;

use crate::api::contract::{PageQuery, Region, TimeOrder};
use crate::fetch::job::{Asks, Fetched, JobId};
use crate::fetch::pool::{Failures, Over};
use crate::fetch::retry::Patience;
use crate::plan::event::RegionFault;
use crate::plan::fact::Purpose;
use crate::plan::planner::Task;
use crate::units::PageNumber;

use super::staff::Then;
use super::{Effect, Landed, Machine, Moment, Note};
use crate::export::Ending;
use crate::export::regions::account::SPENT;
use crate::export::regions::{Failing, Next, OnRefusal, Progress, RefusedPage};

/// Why a harmless page is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// To tell a page that cannot be had from a service that is unwell.
    Attribution,
    /// To see whether a failing region is well again.
    Look,
    /// To see whether the service answers at all.
    Proof,
}

impl Machine {
    pub(super) fn weigh_refusal(&mut self, task: &Task, (code, message): (u16, String), moment: &Moment) {
        let fault = RegionFault::Refused { code, message };
        // What an aid's address counts may be its questions, each of which is a first page.
        let refused = match (task.query.page, task.address.purpose) {
            (PageNumber::FIRST, Purpose::Walk { .. }) => RefusedPage::First,
            (PageNumber::FIRST, _) => RefusedPage::Aid,
            _ => RefusedPage::Later,
        };
        match self.regions.refused(&task.address.region, (task.window, refused), fault, moment.now) {
            OnRefusal::AskAgain(rest) if !self.is_ending() => {
                self.begin_again(task.clone(), Asks::Confirming(rest), moment);
            }
            OnRefusal::AskAgain(_) | OnRefusal::Leave => {}
            OnRefusal::Page => {
                self.effects.push_back(Effect::Note(Note::Refused { code }));
                self.leave_page(task, moment);
            }
        }
    }

    /// Does the next thing that is due about the regions.
    pub(super) fn mind_regions(&mut self, moment: &Moment) {
        // Where everything is read or given up, nobody needs to know more.
        if self.is_ending() || self.planner.is_done() {
            return;
        }
        self.sync_regions();
        let (standing, now) = (self.standing(), moment.now);
        match self.regions.next(&standing, |region| self.planner.is_on_way(region), now) {
            Next::Nothing => return,
            Next::GiveUp(region, fault) => self.give_up(region, fault),
            Next::Prove(region, rest) => self.probe(region, (Reason::Proof, rest), now),
            Next::Look(region, rest) => self.probe(region, (Reason::Look, rest), now),
            Next::Refused { code, message } => self.end(ending_of(code, message)),
            Next::Unwell { why } => self.end(Ending::Unwell { why }),
        }
        // There may be more.
        self.minds = true;
    }

    fn give_up(&mut self, region: Region, fault: RegionFault) {
        let events = self.planner.give_up(&region, &fault);
        self.effects.push_back(Effect::Note(Note::GivenUp { region, fault }));
        if !events.is_empty() {
            self.record(events, Then::Nothing);
        }
    }

    /// Makes the plan and the jobs follow what is thought of the regions.
    pub(super) fn sync_regions(&mut self) {
        let all: Vec<Region> = self.planner.regions().iter().map(|plan| plan.region.clone()).collect();
        let called_back = all.iter().filter(|region| self.regions.is_called_back(region)).cloned().collect();
        for region in &all {
            if self.regions.is_aside(region) {
                self.planner.set_aside(region);
            } else {
                self.planner.take_up(region);
            }
        }
        let stopped = self.pool.stop_regions(called_back);
        self.landed.extend(stopped.into_iter().map(Landed::Job));
        self.pool.hold(self.regions.holds() || self.is_refusal_to_be_weighed());
        self.pool.doubt(self.regions.doubts_the_key());
    }

    /// Whether a refusal came back that is not taken in yet: until it is, it may be the key's.
    fn is_refusal_to_be_weighed(&self) -> bool {
        let is_refusal =
            |over: &Over| matches!(over.how, Fetched::Refused { .. } | Fetched::Quota { .. }) && !over.work.is_probe();
        self.landed.iter().any(|landed| matches!(landed, Landed::Job(over) if is_refusal(over)))
    }

    /// Looks at what fails, whether or not anything comes back.
    pub(super) fn look_at_regions(&mut self, moment: &Moment) {
        let standing = self.standing();
        for (region, _) in standing.iter().filter(|(_, progress)| *progress == Progress::Open) {
            if let Some(failing) = self.failing(region) {
                self.regions.look(&standing, region, &failing, moment.now);
            }
        }
        self.minds = true;
    }

    /// Whether no page comes because what is left are failing regions, and others are still to be asked whether the service is
    /// well.
    pub(super) fn silence_is_explained(&self) -> bool {
        self.regions.explain_silence(&self.standing(), |region| self.failing(region).is_some())
    }

    fn failing(&self, region: &Region) -> Option<Failing> {
        let found = self.pool.failures(region).or_else(|| self.throttled_at_the_end(region))?;
        Some(Failing { attempts: found.attempts, since: found.since, why: found.why.clone() })
    }

    /// What comes as 429 alone is the key's trouble, or the region's where others are answered in between. Once those are done nobody is asked in
    /// between: then it counts as failing, and whether it is the key is shown by a harmless page of another.
    fn throttled_at_the_end(&self, region: &Region) -> Option<&Failures> {
        let throttled = self.pool.throttled(region)?;
        let standing = self.standing();
        let others = || standing.iter().filter(|(other, _)| other != region);
        let is_silent = |other: &Region| {
            self.pool.throttled(other).is_some() || self.pool.failures(other).is_some() || self.regions.is_aside(other)
        };
        let is_end = others().any(|(_, progress)| *progress == Progress::Done)
            && others().all(|(other, progress)| *progress != Progress::Open || is_silent(other));
        is_end.then_some(throttled)
    }

    pub(super) fn standing(&self) -> Vec<(Region, Progress)> {
        let gaps = self.planner.gaps();
        let of = |region: &Region, is_done: bool| match is_done {
            // It would answer: what is left of it is to wait until its ends may be confirmed.
            false if self.waiting.contains(region) => Progress::Done,
            false => Progress::Open,
            true if gaps.iter().any(|gap| gap.region == *region && gap.fault.is_some()) => Progress::GivenUp,
            true => Progress::Done,
        };
        self.planner.regions().iter().map(|plan| (plan.region.clone(), of(&plan.region, plan.is_done()))).collect()
    }

    /// Asks a harmless page: the region's newest, without a range.
    pub(super) fn probe(&mut self, region: Region, (reason, rest): (Reason, Duration), now: Duration) {
        if self.is_ending() {
            return;
        }
        let query = PageQuery {
            region,
            filters: self.settings.filters.clone(),
            min_create_time: None,
            max_create_time: None,
            order: TimeOrder::NewestFirst,
            page: PageNumber::FIRST,
        };
        self.asked = self.asked.saturating_add(1);
        // What it shows, it shows of the moment after the rest.
        let job = self.pool.probe(query, rest, now);
        self.probes.insert(job, (reason, now + rest));
    }

    pub(super) fn take_probe(&mut self, (job, region): (JobId, &Region), how: Fetched, moment: &Moment) {
        let Some((reason, began)) = self.probes.remove(&job) else { return };
        if (reason, &how) == (Reason::Attribution, &Fetched::TooEarly) {
            // That it came too early says nothing of the service, and the page that failed would be taken for what a service does that is unwell.
            return self.probe(region.clone(), (reason, Duration::ZERO), moment.now);
        }
        let came = how == Fetched::Well;
        if came {
            self.regions.came(region, None, (began, moment.now));
            self.last_page = if reason == Reason::Proof { moment.awake } else { self.last_page };
        }
        match reason {
            Reason::Attribution => {
                self.attribution.probed(came.then_some(moment.now));
                let attribution = &self.attribution;
                self.pool.shorten(|page| attribution.patience_with(page) == Patience::Short);
            }
            Reason::Look if !came => self.regions.looked_in_vain(region),
            Reason::Look => {}
            Reason::Proof => {
                let met = self.met(&how);
                self.regions.proved(met);
            }
        }
        match how {
            // What was asked to see whether the key is spent has answered before.
            Fetched::Quota { message } if reason == Reason::Proof => self.end(Ending::QuotaSpent { message }),
            Fetched::Quota { message } => self.regions.spent(region, message, moment.now),
            Fetched::OutOfCredits { spent, max } => self.end(Ending::CreditsSpent { spent, max }),
            _ => {}
        }
    }

    /// What a harmless page met that did not come.
    fn met(&self, how: &Fetched) -> Option<RegionFault> {
        match how {
            Fetched::Refused { code, message } => Some(RegionFault::Refused { code: *code, message: message.clone() }),
            Fetched::Failed { why } | Fetched::Unreachable { why } => Some(RegionFault::Unwell { why: why.clone() }),
            // Else a service that answers everybody with 429 would be asked for proofs without end.
            Fetched::TooEarly => {
                let why = self.pool.last_failure().unwrap_or("it was asked too early").to_owned();
                Some(RegionFault::Unwell { why })
            }
            _ => None,
        }
    }
}

/// How a run ends that is refused like this.
pub(super) fn ending_of(code: u16, message: String) -> Ending {
    if code == SPENT { Ending::QuotaSpent { message } } else { Ending::Refused { code, message } }
}
