//! The process dies or ends its start, and the next one goes on with what is durable.

use std::time::Duration;

use rand::RngExt;

use super::VirtualTime;
use crate::export::Ending;
use crate::export::machine::Machine;
use crate::journal::record::Upkeep;
use crate::plan::planner::Planner;

/// Starts of one run that may end because the service gives nothing.
const MOST_UNWELL: u32 = 20;
/// Starts in a row that bring nothing, however they end, where it is known that nothing will come.
const MOST_BARREN: u32 = 3;

impl VirtualTime {
    /// The start ended by itself, or was ended, and the next one goes on.
    pub(super) fn start_again(&mut self, ending: &Ending) {
        if self.traces {
            println!("{:?} the start ends: {ending:?}", self.now);
        }
        self.out.stops += 1;
        self.out.unwell += u32::from(matches!(ending, Ending::Unwell { .. }));
        self.restart();
        self.out.is_unwell |= self.out.unwell >= MOST_UNWELL && !self.machine.planner().is_done();
        self.set_going();
    }

    /// The process is gone: what was on its way is lost, and the plan is what the journal says. Of what it had been handed
    /// the journal may have kept some, from the first on.
    pub(super) fn restart(&mut self) {
        self.restarts += 1;
        self.is_spent = false;
        self.barren = if self.last_durable > self.process_began { 0 } else { self.barren + 1 };
        let is_hopeless = self.barren >= MOST_BARREN && self.out.service.is_poisoned_at_the_end();
        self.out.is_unwell = is_hopeless && !self.machine.planner().is_done();
        self.lose_commits();
        self.now += Duration::from_millis(self.random.random_range(0..2_000_000));
        (self.process_began, self.last_durable) = (self.now, self.now);
        self.flights.clear();
        self.arrivals.clear();
        self.jobs_seen = 0;
        self.stop = None;
        self.watch.restart(self.now);
        let mut planner = self.journal.replay();
        if self.drive.commit == (0, 0) {
            self.compare(&planner);
        }
        if self.drive.extends > 0 {
            planner = self.extended(&planner);
        }
        let learned = self.machine.pool().learned();
        self.machine = Machine::new(self.drive.settings(self.stops()), self.drive.regions(), planner, learned);
    }

    /// The plan with a range that ends later, as a start makes it whose range ends at its own moment.
    fn extended(&mut self, planner: &Planner) -> Planner {
        let later = self.stopper.random_range(1..=self.drive.extends);
        self.drive.range.end = self.drive.range.end.shifted(later);
        self.journal.record(&planner.extending(self.drive.range.end), &Upkeep::default());
        self.journal.replay()
    }

    fn lose_commits(&mut self) {
        let handed = std::mem::take(&mut self.commits);
        if !handed.is_empty() {
            let kept = self.stopper.random_range(0..=handed.len());
            handed.iter().take(kept).for_each(|(.., commit)| self.make_durable(commit));
        }
    }

    /// A replay gives the plan that the dead process had.
    pub(super) fn compare(&self, replayed: &Planner) {
        let view = |planner: &Planner| {
            let windows = planner.regions().iter().map(|plan| (plan.done_until, plan.windows.clone()));
            windows.collect::<Vec<_>>()
        };
        let walks = |planner: &Planner| {
            planner.walks().map(|(region, range, watermark)| (region.clone(), range, watermark)).collect::<Vec<_>>()
        };
        let lived = self.machine.planner();
        assert_eq!(view(lived), view(replayed), "a replay gives another plan");
        let watermarks = |planner: &Planner| {
            planner.regions().iter().map(|plan| planner.watermark(&plan.region)).collect::<Vec<_>>()
        };
        // A page may be durable before a decision that it was folded in after. How far a walk is then may wait for its next page, and what it
        // has settled for its neighbour's, where that decision ended its window before the page's first row: a replay takes nothing back.
        if self.drive.commit == (0, 0) {
            assert_eq!(watermarks(lived), watermarks(replayed), "a replay settles otherwise");
            assert_eq!(walks(lived), walks(replayed), "a replay reads otherwise");
        } else {
            let settles_less =
                watermarks(lived).into_iter().zip(watermarks(replayed)).find(|(lived, replayed)| replayed < lived);
            assert_eq!(settles_less, None, "a replay settles less");
        }
    }
}
