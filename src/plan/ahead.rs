//! One second that fills page after page: no page of it depends on another, so several workers may ask for them. Pure.
//!
//! Pages are folded in by their number, whatever order they come in; one that comes before its turn waits. While all that
//! came lies within the second, the next page follows from nothing else, so it is folded in at once. Beyond the second its
//! turn depends on what the walk decides, so that is journalled ([`PlanEvent::PageTaken`]): a replay, in which pages may
//! come in another order than the plan saw them in, gives the same walk.

use super::choose::ask;
use super::event::PlanEvent;
use super::fact::{PageAddress, Purpose, WindowId};
use super::planner::{Decision, Planner, Task};
use super::walk::Walk;
use super::window::Window;
use crate::units::PageNumber;

impl Planner {
    /// A page of a dense second that another worker reads.
    pub(super) fn help(&self) -> Option<Decision> {
        self.in_order().find_map(|(id, window)| self.task_ahead(id, window)).map(ask)
    }

    /// The walk's next page: asked, or taken where it has come already, or waited for where it is on its way.
    pub(super) fn in_turn(&self, id: WindowId, window: &Window, walk: &Walk, page: PageNumber) -> Decision {
        if walk.is_waiting(page.get()) {
            let others = walk.waiting_pages() > 1 || self.is_any_on_way(window, walk);
            let scan = walk.scan().number;
            return Decision::Record(vec![PlanEvent::PageTaken { window: id, scan, page, has_more: others }]);
        }
        if self.counted_already(window, walk, page).is_some() {
            return Decision::take_counted(id, walk, page);
        }
        let task = self.walk_task(id, window, walk, page);
        match window.on_way.contains(&task.address) {
            true => self.task_ahead(id, window).map_or(Decision::Idle, ask),
            false => ask(task),
        }
    }

    /// Whether pages of its scan have come before their turn, or may.
    pub(super) fn is_ahead(&self, window: &Window, walk: &Walk) -> bool {
        walk.waiting_pages() > 0 || self.is_any_on_way(window, walk)
    }

    fn is_any_on_way(&self, window: &Window, walk: &Walk) -> bool {
        let scan = walk.scan().number;
        let is_of_it = |address: &PageAddress| matches!(address.purpose, Purpose::Walk { scan: of, .. } if of == scan);
        window.on_way.iter().any(is_of_it)
    }

    fn task_ahead(&self, id: WindowId, window: &Window) -> Option<Task> {
        let walk = window.walk().filter(|walk| window.parked == 0 && window.one_by_one != Some(walk.scan().number))?;
        let is_on_way = |number| window.on_way.contains(&self.walk_task(id, window, walk, number).address);
        let number = walk.next_ahead(is_on_way, self.profile.last_page())?;
        Some(self.walk_task(id, window, walk, number))
    }

    /// Where a page failed, or was refused, that its walk does not wait for, no more are asked before their turn; whether it
    /// was such a page. Nothing follows from it: it is asked again in its turn.
    pub fn give_up_ahead(&mut self, task: &Task) -> bool {
        let Purpose::Walk { window, scan } = task.address.purpose else { return false };
        let Some(window) = self.windows.get_mut(&window) else { return true };
        let Some(walk) = window.walk() else { return window.is_over() };
        if walk.scan().number == scan && (!walk.is_wide() || task.address.page.get() == walk.scan_pages() + 1) {
            return false;
        }
        window.one_by_one = Some(scan);
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::contract::Filters;
    use crate::api::contract::SOURCE;
    use crate::plan::fact::{PageFact, RowKey, VideoKey};
    use crate::plan::planner::PlanContext;
    use crate::units::{EpochSeconds, TimeRange};

    /// Rows of the second in question; the others follow one a second.
    const DENSE_ROWS: u64 = 413;
    const ROWS: u64 = 520;

    fn context() -> PlanContext {
        let mut context = PlanContext::usual();
        context.tuning.anchor_pages = 35;
        context
    }

    fn answer(task: &Task) -> PageFact {
        let row = |place: u64| RowKey {
            second: EpochSeconds::new(10 + place.saturating_sub(DENSE_ROWS - 1) as i64),
            video: VideoKey(place + 1),
        };
        let all: Vec<RowKey> =
            (0..ROWS).map(row).filter(|row| Some(row.second) >= task.query.min_create_time).collect();
        let skip = (task.query.page.get() as usize - 1) * SOURCE.page_size as usize;
        let mut rows: Vec<RowKey> = all.into_iter().skip(skip).take(SOURCE.page_size as usize).collect();
        if task.address.purpose == Purpose::Newest {
            rows = (ROWS - 10..ROWS).rev().map(row).collect();
        }
        let (address, slots) = (task.address.clone(), rows.len() as u32);
        PageFact { address, fetched_at: EpochSeconds::new(1_000), slots, rows, check: Default::default() }
    }

    fn new_planner() -> Planner {
        let region = "US".parse().unwrap();
        Planner::new(&[region], Filters::default(), TimeRange::new(EpochSeconds::new(0), EpochSeconds::new(10_000)))
    }

    /// What became durable, in order: the journal's order, in which a page may stand before others that the plan saw first.
    enum Entry {
        Event(PlanEvent),
        Page(PageFact),
    }

    struct Run {
        planner: Planner,
        log: Vec<Entry>,
        /// Tasks on their way, and those of them whose page is durable and has not been folded in.
        on_way: Vec<Task>,
        durable: Vec<Task>,
        asked: u64,
        most_on_way: usize,
    }

    impl Run {
        fn new() -> Self {
            let (planner, log) = (new_planner(), vec![]);
            let mut run = Self { planner, log, on_way: vec![], durable: vec![], asked: 0, most_on_way: 0 };
            let opening = run.planner.opening();
            run.record(opening);
            run
        }

        fn record(&mut self, events: Vec<PlanEvent>) {
            for event in events {
                self.planner.apply_event(&event);
                self.log.push(Entry::Event(event));
            }
        }

        fn hire(&mut self, workers: usize) {
            while self.on_way.len() + self.durable.len() < workers {
                match self.planner.next(None, &context()) {
                    Decision::Record(events) => self.record(events),
                    Decision::Ask(task) => {
                        self.planner.set_out(&task);
                        self.asked += 1;
                        self.on_way.push(*task);
                    }
                    Decision::Idle | Decision::Wait(_) => break,
                    Decision::Stop(why) => panic!("{why}"),
                }
            }
            let of_one =
                self.on_way.iter().filter(|task| self.on_way.first().is_some_and(|one| one.window == task.window));
            self.most_on_way = self.most_on_way.max(of_one.count());
        }

        fn commit(&mut self, choice: usize) {
            if !self.on_way.is_empty() {
                let task = self.on_way.swap_remove(choice % self.on_way.len());
                self.log.push(Entry::Page(answer(&task)));
                self.durable.push(task);
            }
        }

        fn fold(&mut self, choice: usize) {
            if !self.durable.is_empty() {
                let task = self.durable.swap_remove(choice % self.durable.len());
                self.planner.came_back(&task);
                self.planner.apply_page(&answer(&task));
            }
        }

        /// The plan as a new process would have it, once everything that is durable is folded in.
        fn replayed(&self) -> Planner {
            let mut planner = new_planner();
            for entry in &self.log {
                match entry {
                    Entry::Event(event) => planner.apply_event(event),
                    Entry::Page(page) => planner.apply_page(page),
                }
            }
            planner
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

        /// Pages become durable and are folded in in any order: a replay gives the same walks, no page is asked twice, and
        /// every row has been read at the end.
        #[test]
        fn in_whatever_order_pages_come_a_replay_gives_the_same_walk(choices in prop::collection::vec((any::<bool>(), 0..64_usize), 400), workers in 1..20_usize) {
            let mut run = Run::new();
            let mut choices = choices.into_iter().cycle();
            let mut steps = 0;
            while !run.planner.is_done() {
                run.hire(workers);
                let (commits, choice) = choices.next().unwrap();
                if (commits && !run.on_way.is_empty()) || run.durable.is_empty() { run.commit(choice) } else { run.fold(choice) }
                if run.durable.is_empty() {
                    let (mut live, mut again) = (run.planner.clone(), run.replayed());
                    for planner in [&mut live, &mut again] {
                        planner.windows.values_mut().for_each(|window| window.on_way.clear());
                    }
                    // What was learned of the service may name other rows: those that were seen first.
                    let view = |planner: &Planner| format!("{:?} {:?}", planner.windows, planner.watermark(&planner.regions[0].region));
                    prop_assert_eq!(view(&live), view(&again));
                }
                steps += 1;
                prop_assert!(steps < 1_000);
            }
            let mut pages: Vec<&PageAddress> = run.log.iter().filter_map(|entry| if let Entry::Page(page) = entry { Some(&page.address) } else { None }).collect();
            let asked = pages.len();
            pages.sort();
            pages.dedup();
            prop_assert_eq!(pages.len(), asked);
            prop_assert!(run.planner.unproven().is_empty());
            let videos: std::collections::BTreeSet<u64> = run.log.iter().flat_map(|entry| match entry {
                Entry::Page(page) => page.rows.iter().map(|row| row.video.0).collect(),
                Entry::Event(_) => vec![],
            }).collect();
            prop_assert_eq!(videos.len() as u64, ROWS);
            prop_assert!(workers < 8 || run.most_on_way > 1, "nobody helped");
        }
    }
}
