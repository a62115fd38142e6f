//! What follows from what came back: answers, durable pages, failures, refusals, and what was published.

use std::sync::Arc;
use std::time::Duration;

use crate::fetch::job::{Dice, Fetched, Heard, JobId, Work};
use crate::fetch::pool::{Heeded, JobOutcome, Kept, Over};
use crate::journal::record::PartRecord;
use crate::plan::event::PlanEvent;
use crate::plan::fact::{PageFact, Purpose, WindowId};
use crate::plan::planner::{Decision, NoPage, Task};
use crate::progress::{AttemptOutcome, Event as Told};
use crate::units::{PageNumber, RowCount};

use super::minding::Reason;
use super::staff::Then;
use super::{Effect, Landed, Machine, Moment, Note, Publishing};
use crate::export::Ending;
use crate::export::attribution::FaultVerdict;
use crate::export::regions::may_lie_beyond_the_end;

impl Machine {
    /// An attempt came back: what it means for everybody at once, and for its job.
    pub(super) fn hear(&mut self, id: JobId, heard: Heard, dice: Dice, moment: &Moment) {
        let outcome = match &heard {
            Heard::Page { .. } => Some(AttemptOutcome::Answered),
            Heard::Throttled { .. } | Heard::Slowed { .. } => Some(AttemptOutcome::Throttled),
            Heard::Failed { .. } | Heard::Unanswered { .. } | Heard::Unreached { .. } => Some(AttemptOutcome::Failed),
            Heard::Quota { .. } | Heard::Refused { .. } | Heard::OutOfCredits { .. } => None,
        };
        let is_probe = self.pool.work(id).is_some_and(Work::is_probe);
        let Some(Heeded { hold, astray, then }) = self.pool.heard(id, heard, dice, moment.now) else { return };
        let outcome = if astray.is_some() { Some(AttemptOutcome::Failed) } else { outcome };
        if let Some((wait, why)) = hold {
            let per_second = self.pool.rate();
            self.tell(Told::Held { wait, why });
            self.tell(Told::RateChanged { per_second });
        }
        if let Some(outcome) = outcome.filter(|_| !is_probe) {
            self.tell(Told::Attempt(outcome));
        }
        self.effects.extend(astray.map(|why| Effect::Discard(id, why)));
        match then {
            JobOutcome::Keep => self.effects.push_back(Effect::Keep(id)),
            JobOutcome::GoesOn => {}
            JobOutcome::Over(over) => {
                self.end_at_once(&over);
                self.landed.push_back(Landed::Job(over));
            }
        }
    }

    /// What is so for everybody, now: nobody sends another request to learn the same.
    fn end_at_once(&mut self, over: &Over) {
        if over.work.is_probe() {
            return;
        }
        match &over.how {
            Fetched::OutOfCredits { spent, max } => self.end(Ending::CreditsSpent { spent: *spent, max: *max }),
            Fetched::Unreachable { why } => self.end(Ending::Unreachable { why: why.clone() }),
            // A refusal may be the region's alone, or this page's; also that there is nothing left to spend.
            Fetched::Refused { .. } | Fetched::Quota { .. } | Fetched::Failed { .. } => {}
            Fetched::Well | Fetched::TooEarly | Fetched::Stopped => {}
        }
    }

    /// A page is durable: from here on its credit is safe.
    pub(super) fn take_kept(&mut self, id: JobId, fact: Arc<PageFact>, took: Duration) {
        self.landed.extend(self.pool.kept(id, took).map(|kept| Landed::Page(kept, fact)));
    }

    pub(super) fn take_published(&mut self, event: PlanEvent, parts: Vec<PartRecord>) {
        self.landed.push_back(Landed::Published { event, parts });
    }

    /// Takes in what came back, one by one, until a decision has to become durable first.
    pub(super) fn land_all(&mut self, moment: &Moment) {
        while self.recording.is_none() {
            if std::mem::take(&mut self.minds) {
                self.mind_regions(moment);
                continue;
            }
            let Some(landed) = self.landed.pop_front() else { return };
            self.changed();
            self.minds = true;
            match landed {
                Landed::Page(kept, fact) => self.take_page(&kept, &fact, moment),
                Landed::Job(over) => self.take_over(over, moment),
                Landed::Published { event, parts } => self.apply_published(&event, parts),
            }
        }
    }

    fn take_page(&mut self, Kept { task, began, heard }: &Kept, fact: &PageFact, moment: &Moment) {
        let window = task.window;
        self.planner.came_back(task);
        self.planner.apply_page(fact);
        self.attribution.came(&task.address, moment.now);
        self.regions.came(&fact.address.region, Some(window), (*began, *heard));
        self.sync_regions();
        self.last_page = moment.awake;
        self.pages += 1;
        self.tell_page(window, fact);
        self.go_on_with(window, moment);
    }

    /// A job is over without a page.
    fn take_over(&mut self, over: Over, moment: &Moment) {
        let Over { job, work, began, has_failed, how } = over;
        let task = match work {
            Work::Page(task) => task,
            Work::HealthProbe(query) => return self.take_probe((job, &query.region), how, moment),
        };
        self.planner.came_back(&task);
        match how {
            Fetched::Refused { .. } if self.planner.give_up_ahead(&task) => {}
            // It is asked again in its turn, and that is a retry.
            Fetched::Failed { .. } if self.planner.give_up_ahead(&task) => {
                self.attribution.stopped(task.address.clone(), moment.now);
            }
            // A refusal that is weighed is the one thing by which a page may be asked again for the sake of its region.
            Fetched::Refused { code, message } => {
                self.last_page = moment.awake;
                if !self.is_settled_by_the_walk(&task, code, moment) {
                    return self.weigh_refusal(&task, (code, message), moment);
                }
            }
            Fetched::Failed { why } => self.take_failure(&task, began, why, moment),
            Fetched::Stopped if has_failed => self.attribution.stopped(task.address.clone(), moment.now),
            Fetched::Quota { message } => self.regions.spent(&task.address.region, message, moment.now),
            Fetched::OutOfCredits { .. } | Fetched::Unreachable { .. } => {}
            Fetched::Stopped | Fetched::Well | Fetched::TooEarly => {}
        }
        self.regions.failed(&task.address.region, task.window);
    }

    /// Whether a refused page may only lie beyond the end: then the walk settles the doubt by reading from its last second again, and
    /// a count goes on without it.
    fn is_settled_by_the_walk(&mut self, task: &Task, code: u16, moment: &Moment) -> bool {
        if task.address.page == PageNumber::FIRST || !may_lie_beyond_the_end(code) {
            return false;
        }
        match task.address.purpose {
            Purpose::Count { .. } => self.planner.count_refused(&task.address),
            Purpose::Place { .. } => {
                let events = self.planner.park(&task.address, task.window);
                self.record(events, Then::Nothing);
            }
            Purpose::Walk { .. } => return self.goes_on_without(task, NoPage::BeyondTheEnd, moment),
            _ => return false,
        }
        true
    }

    /// Whether a walk goes on without a page that is not its question's first: by reading from its last second again.
    fn goes_on_without(&mut self, task: &Task, why: NoPage, moment: &Moment) -> bool {
        if task.address.page == PageNumber::FIRST || !matches!(task.address.purpose, Purpose::Walk { .. }) {
            return false;
        }
        match self.planner.without_page((&task.address, why), task.window, &self.context(moment)) {
            Some(Decision::Record(events)) => {
                self.record(events, Then::Nothing);
                true
            }
            _ => false,
        }
    }

    /// A window whose page cannot be had is parked, unless it is the service that is unwell and not the page.
    fn take_failure(&mut self, task: &Task, began: Duration, why: String, moment: &Moment) {
        let now = moment.now;
        match self.attribution.failed(task.address.clone(), (began, now)) {
            FaultVerdict::Wait => {}
            FaultVerdict::Probe => self.probe(task.query.region.clone(), (Reason::Attribution, Duration::ZERO), now),
            FaultVerdict::Page => {
                self.effects.push_back(Effect::Note(Note::Parked { why }));
                self.leave_page(task, moment);
            }
        }
    }

    /// A page cannot be had: how deep pages are served nobody knows, so its walk goes on without a later one; else its window is tried again
    /// later. Nothing hangs on a page to count by but how sure a forecast is.
    pub(super) fn leave_page(&mut self, task: &Task, moment: &Moment) {
        if matches!(task.address.purpose, Purpose::Count { .. }) {
            return self.planner.count_failed(&task.address.region);
        }
        if !self.goes_on_without(task, NoPage::NotHad, moment) {
            let events = self.planner.park(&task.address, task.window);
            self.record(events, Then::Nothing);
        }
    }

    fn apply_published(&mut self, event: &PlanEvent, parts: Vec<PartRecord>) {
        self.publishing = Publishing::Idle;
        self.planner.apply_event(event);
        for part in parts {
            self.tell(Told::PartPublished { path: part.path, rows: part.rows, bytes: part.bytes });
        }
    }

    pub(super) fn tell_decision(&mut self, event: &PlanEvent) {
        let of_window = |id: &WindowId| {
            let range = self.planner.window_range(*id)?;
            Some((self.planner.window_region(*id)?.clone(), range))
        };
        let told = match event {
            PlanEvent::WindowFinished { window, .. } => {
                of_window(window).map(|(region, window)| Told::WindowFinished { region, window })
            }
            PlanEvent::GapListed { window, why } => {
                of_window(window).map(|(region, range)| Told::GapListed { region, range, why: why.clone() })
            }
            PlanEvent::WindowGivenUp { window, fault } => {
                of_window(window).map(|(region, range)| Told::GapListed { region, range, why: fault.to_string() })
            }
            PlanEvent::UnprovenListed { region, range, why, .. } => {
                Some(Told::UnprovenListed { region: region.clone(), range: *range, why: why.clone() })
            }
            _ => None,
        };
        self.effects.extend(told.map(Effect::Tell));
    }

    fn tell_page(&mut self, window: WindowId, fact: &PageFact) {
        let position = self.planner.walk_watermark(window);
        let Some(window) = self.planner.window_range(window) else { return };
        self.tell(Told::PageDurable {
            region: fact.address.region.clone(),
            rows: RowCount::new(u64::from(fact.slots)),
            window,
            position,
        });
    }
}
