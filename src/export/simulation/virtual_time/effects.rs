//! Carrying the machine's effects out on models of service, journal and output, and telling it what came of them.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;

use super::super::model::{Answer, tied_to};
use super::{BEGAN, Came, Comes, Commit, Deal, Flight, Stops, VirtualTime};
use crate::export::machine::{Due, Effect, Event};
use crate::fetch::job::{Dice, Heard, JobId, Work};
use crate::fetch::pool::Sending;
use crate::fetch::retry::Patience;
use crate::journal::record::Upkeep;
use crate::plan::answer::Doubt;
use crate::plan::event::PlanEvent;
use crate::plan::evidence::observation::Turn;
use crate::plan::fact::{PageAddress, PageFact};
use crate::units::{Credits, EpochSeconds};

impl VirtualTime {
    pub(super) fn carry_out(&mut self) {
        while let Some(effect) = self.machine.next_effect() {
            match effect {
                Effect::Send(sending) => self.send(sending),
                Effect::Keep(job) => self.keep(job),
                Effect::Discard(job, _) => self.discard(job),
                Effect::Record(events, upkeep) => self.record(events, upkeep),
                Effect::Publish(due) => self.publish(due),
                Effect::Abandon(_) => panic!("an answer took longer than a drain"),
                Effect::Learn(_) | Effect::Tell(_) | Effect::Note(_) => {}
            }
        }
    }

    /// Jobs that began: each is dealt how its first attempt is answered.
    pub(super) fn note_jobs(&mut self) {
        let begun = self.machine.pool().begun();
        if self.flights.len() as u64 + (begun - self.jobs_seen) != self.machine.pool().len() as u64 {
            let gone = |job: &&JobId| self.machine.pool().work(**job).is_none();
            let gone: Vec<JobId> = self.flights.keys().filter(gone).copied().collect();
            gone.into_iter().for_each(|job| self.note_end(job));
        }
        for number in self.jobs_seen..begun {
            let Some(work) = self.machine.pool().work(JobId(number)).cloned() else { continue };
            let (deal, patience) = match &work {
                Work::Page(task) => {
                    self.watch.begins(&task.address);
                    // One that began with it may be stopped already.
                    let pool = self.machine.pool();
                    let begun_with_it = (number..begun).filter(|job| pool.work(JobId(*job)).is_some()).count();
                    self.out.alone = if pool.len() == begun_with_it { self.out.alone + 1 } else { 0 };
                    let is_parked = self.machine.planner().is_parked(task.window);
                    (self.deal(), if is_parked { Patience::Short } else { Patience::Full })
                }
                Work::HealthProbe(_) => (self.draw(), Patience::Short),
            };
            self.flights.insert(JobId(number), Flight::new(work, patience, deal));
        }
        self.jobs_seen = begun;
    }

    fn deal(&mut self) -> Deal {
        let is_early = self.random.random();
        let (least, most) = self.drive.latency;
        let slow = if self.random.random_range(0..50) == 0 { 10 } else { 1 };
        Deal { is_early, latency: Duration::from_millis(self.random.random_range(least..=most) * slow) }
    }

    fn draw(&mut self) -> Deal {
        let (least, most) = self.drive.latency;
        let latency = Duration::from_millis(self.dice.random_range(least..=most));
        Deal { is_early: self.dice.random(), latency }
    }

    fn send(&mut self, Sending { job, work, .. }: Sending) {
        let fresh = self.draw();
        let comes = self.stopped_by_a_bound();
        let Some(flight) = self.flights.get_mut(&job) else { panic!("{job:?} never began") };
        let deal = flight.deal.take().unwrap_or(fresh);
        flight.sent_at = self.now;
        flight.turn = if address_of(&work).is_none_or(|address| self.journal.holds_page_before(address)) {
            Turn::InTurn
        } else {
            Turn::Early
        };
        let address = address_of(&work);
        let is_decided = address.is_none_or(|address| self.journal.holds_what_leads_to(address));
        assert!(is_decided, "{address:?} is asked for, and no decision that is durable leads to it");
        let is_called_back = address.is_some_and(|page| self.machine.regions().is_called_back(&page.region));
        assert!(!is_called_back, "{address:?} is asked for, and its region is left alone");
        if comes.is_none() {
            // The page of a job under way may turn out to be at fault, and is asked as often as one of a parked window from then on.
            let is_free = flight.failures > 0 && self.machine.pool().is_short(job);
            self.watch.sends(self.now, &work, flight.needs_token() && !is_free);
        }
        let service = &mut self.out.service;
        service.now = self.now;
        flight.comes = comes.or_else(|| match service.admits(self.now) {
            Err(retry_after) => Some(Comes::Answer(Answer::Throttled(retry_after))),
            Ok(()) => deal.is_early.then(|| Comes::Answer(service.answer(work.query()))),
        });
        self.sent += 1;
        self.arrivals.push(Reverse((self.now + deal.latency, self.sent, job)));
    }

    /// Credits or quota that are used up just now.
    fn stopped_by_a_bound(&mut self) -> Option<Comes> {
        let (share, comes) = match self.stops() {
            Stops::Credits(share) => (share, Comes::OutOfCredits),
            Stops::Quota(share) => (share, Comes::Quota),
            _ => return None,
        };
        let is_now = self.stopper.random::<f64>() < share;
        // A key that is spent stays so until somebody pays.
        self.is_spent |= is_now && matches!(comes, Comes::Quota);
        (is_now || self.is_spent).then_some(comes)
    }

    /// An answer arrives.
    pub(super) fn hear(&mut self, job: JobId) {
        let spread = self.dice.random();
        let Some(flight) = self.flights.get_mut(&job) else { panic!("{job:?} never began") };
        let service = &mut self.out.service;
        service.now = self.now;
        let comes = flight.comes.take().unwrap_or_else(|| Comes::Answer(service.answer(flight.work.query())));
        let heard = match comes {
            Comes::OutOfCredits => Heard::OutOfCredits { spent: Credits::new(1), max: Credits::new(1) },
            Comes::Quota => Heard::Quota { message: "the quota is used up".to_owned() },
            Comes::Answer(Answer::Page { rows, ids, region }) => match &flight.work {
                Work::Page(task) => {
                    let tied = tied_to(task, (&rows, &ids), &region);
                    let doubt = tied.doubt.clone();
                    if matches!(doubt, Some(Doubt::KnownRowMissing(_))) {
                        self.watch.throttled(self.now, flight.sent_at, None, flight.throttled);
                    }
                    flight.page = Some(Came { rows, ids, tied });
                    Heard::Page { doubt }
                }
                Work::HealthProbe(_) => {
                    self.watch.answered(&flight.work.query().region);
                    Heard::Page { doubt: None }
                }
            },
            Comes::Answer(Answer::Refused) => Heard::Refused { code: 400, message: "refused".to_owned(), wait: None },
            Comes::Answer(Answer::Forbidden) => {
                Heard::Refused { code: 403, message: "forbidden".to_owned(), wait: None }
            }
            Comes::Answer(Answer::Throttled(retry_after)) => {
                flight.throttled += 1;
                flight.was_throttled = true;
                let of = (&flight.work.query().region, flight.sent_at);
                self.watch.refused(self.now, of, retry_after, flight.throttled);
                Heard::Throttled { why: "too many requests".to_owned(), wait: retry_after }
            }
            Comes::Answer(Answer::Broken) => {
                flight.failures += 1;
                flight.was_throttled = false;
                self.watch.failed(flight.failures, flight.patience, &flight.work);
                Heard::Failed { why: "broken".to_owned(), wait: None }
            }
        };
        if self.traces && !matches!(heard, Heard::Page { doubt: None }) {
            println!("{:?} {:?} brings {heard:?}", self.now, flight.work.query());
        }
        let is_trouble = heard.why().is_some() || heard.doubt().is_some();
        let is_probe = flight.work.is_probe();
        let jitter = if is_trouble && !is_probe { self.dice.random() } else { 0.0 };
        let moment = self.moment();
        self.machine.handle(Event::Heard { job, heard, dice: Dice { spread, jitter } }, &moment);
        self.note_end(job);
        self.note_jobs();
        self.carry_out();
        if !is_probe && !self.flights.contains_key(&job) {
            self.maybe_slice_or_die();
        }
    }

    fn note_end(&mut self, job: JobId) {
        if self.machine.pool().work(job).is_none()
            && let Some(flight) = self.flights.remove(&job)
            && let Work::Page(task) = &flight.work
        {
            self.watch.ends(&task.address);
        }
    }

    fn keep(&mut self, job: JobId) {
        let Some(flight) = self.flights.get_mut(&job) else { panic!("{job:?} never began") };
        let (Some(came), Work::Page(task)) = (flight.page.take(), &flight.work) else { panic!("nothing came") };
        let (Came { rows, ids, tied }, turn) = (came, flight.turn);
        self.watch.answered(&task.address.region);
        let fact = PageFact {
            fetched_at: EpochSeconds::new(BEGAN + self.now.as_secs() as i64),
            slots: ids.len() as u32 - tied.twins,
            rows: tied.rows,
            check: tied.check,
            address: task.address.clone(),
        };
        self.commit(Commit::Page { job, fact, rows, ids, turn });
    }

    /// The answer seems to be that to another question, so nothing of it is kept.
    fn discard(&mut self, job: JobId) {
        let Some(flight) = self.flights.get_mut(&job) else { return };
        assert!(flight.page.take().is_some(), "nothing came");
        flight.failures += 1;
        flight.was_throttled = false;
        self.watch.failed(flight.failures, flight.patience, &flight.work);
        self.watch.answered(&flight.work.query().region);
    }

    fn record(&mut self, events: Vec<PlanEvent>, upkeep: Upkeep) {
        assert!(!events.is_empty(), "a decision of nothing");
        self.commit(Commit::Decision { events, upkeep });
    }

    /// Publishes the first of what is offered.
    fn publish(&mut self, due: Vec<Due>) {
        let is_due = self.cuts || self.machine.is_ending() || self.machine.planner().is_done();
        match due.into_iter().next().filter(|_| is_due) {
            Some(Due::Slice { region, range, .. }) => {
                self.commit(Commit::Slice(PlanEvent::SlicePublished { region, until: range.end }));
            }
            Some(Due::Fill { region, range, .. }) => {
                self.commit(Commit::Slice(PlanEvent::RangeFilled { region, range }));
            }
            None => {
                let moment = self.moment_at(0);
                self.machine.handle(Event::NothingDue, &moment);
            }
        }
    }

    /// Hands something to the journal, which makes it durable at once or in a while, in the order of asking.
    fn commit(&mut self, commit: Commit) {
        let (least, most) = self.drive.commit;
        if most == 0 {
            self.commit_is_heard_of(commit, Duration::ZERO);
            return;
        }
        let takes = Duration::from_millis(self.stopper.random_range(least..=most));
        let before = self.commits.back().map_or(Duration::ZERO, |(at, ..)| *at);
        self.commits.push_back(((self.now + takes).max(before), self.now, commit));
    }

    /// Something is durable, and the machine hears of it.
    pub(super) fn commit_is_heard_of(&mut self, commit: Commit, took: Duration) {
        self.make_durable(&commit);
        let moment = self.moment();
        match commit {
            Commit::Page { job, fact, .. } => {
                self.machine.handle(Event::Kept { job, fact: Arc::new(fact), took }, &moment);
                self.note_end(job);
                self.note_jobs();
            }
            Commit::Decision { events, .. } => {
                self.machine.handle(Event::Recorded(events), &moment);
                self.note_jobs();
                self.check_windows();
            }
            Commit::Slice(event) => {
                self.machine.handle(Event::Published { event, parts: vec![] }, &moment);
                self.note_jobs();
                self.check_windows();
                self.machine.offer(&moment);
            }
        }
    }

    pub(super) fn make_durable(&mut self, commit: &Commit) {
        match commit {
            Commit::Page { fact, rows, ids, turn, .. } => {
                self.trace_page(fact);
                if self.checks {
                    self.checker.read(fact, *turn);
                }
                self.out.service.arrived(ids);
                self.journal.keep(fact.clone(), (rows, ids));
                self.out.pages += 1;
                self.last_durable = self.now;
            }
            Commit::Decision { events, upkeep } => {
                self.journal.record(events, upkeep);
                events.iter().for_each(|event| self.count(event));
            }
            Commit::Slice(event) => {
                self.journal.record(std::slice::from_ref(event), &Upkeep::default());
                self.count(event);
            }
        }
    }

    fn trace_page(&self, fact: &PageFact) {
        if self.traces {
            let row = |row: Option<&crate::plan::fact::RowKey>| row.map(|row| (row.second.get(), row.video.0));
            let ends = (row(fact.rows.first()), row(fact.rows.last()));
            println!("{:?} page {} slots {} {ends:?}", fact.address.purpose, fact.address.page.get(), fact.slots);
        }
    }

    fn count(&mut self, event: &PlanEvent) {
        self.checker.decided(event, self.machine.planner());
        if self.traces {
            println!("{event:?}");
        }
        match event {
            PlanEvent::WindowSplit { .. } => self.out.splits += 1,
            PlanEvent::WindowParked { .. } => self.out.parked += 1,
            PlanEvent::ScanStarted { why, .. } => *self.out.scans.entry(format!("{why:?}")).or_default() += 1,
            _ => {}
        }
    }

    /// Windows tile what is not done, and nothing settled is unsettled again.
    fn check_windows(&self) {
        let planner = self.machine.planner();
        for plan in planner.regions() {
            let mut at = plan.done_until;
            for (start, window) in &plan.windows {
                assert_eq!(*start, at, "windows of {} do not tile", plan.region);
                at = planner.window_range(*window).unwrap().end;
            }
            assert!(plan.is_done() || at == plan.range.end, "windows of {} end at {at}", plan.region);
            let cut = self.journal.cut(&plan.region);
            let watermark = if plan.is_done() { plan.range.end } else { planner.watermark(&plan.region) };
            if watermark < cut {
                let open = self.checker.uncertified(planner);
                let open: Vec<String> = open.iter().filter(|one| !one.waits()).map(ToString::to_string).collect();
                panic!("{}: the low watermark went from {cut} back to {watermark}; uncertified: {open:?}", plan.region);
            }
        }
    }
}

fn address_of(work: &Work) -> Option<&PageAddress> {
    match work {
        Work::Page(task) => Some(&task.address),
        Work::HealthProbe(_) => None,
    }
}
