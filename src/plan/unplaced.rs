//! Pages of which no row says who and when it is. A service whose rows have changed answers every question so: it is asked a few times
//! and no more, and what it answered proves nothing. Pure.

use super::event::{Contradiction, PlanEvent, RegionFault};
use super::fact::{PageFact, Purpose};
use super::planner::{Decision, Planner};
use super::profile::Unplaced;
use super::region::RegionPlan;
use super::window::Window;
use crate::api::contract::Region;

/// What is said of a region whose pages are all so.
const WHY: &str = "page after page holds no row with a `video_id` and a `create_time` that can be read";

impl Planner {
    /// Begins anew with what a former process ended at: the rows may be as they should by now.
    pub fn forget_unplaced(&mut self) {
        self.profile.unplaced = Unplaced::default();
    }

    /// What ends the run, or a region of it, because page after page holds rows that cannot be placed.
    pub(super) fn leave_unplaced(&self) -> Option<Decision> {
        let mut open = self.regions.iter().filter(|plan| !plan.is_done());
        let found = self.unplaced_regions().find(|plan| self.is_the_regions_own(plan) && !self.is_on_way(&plan.region));
        if let Some(plan) = found {
            let events = self.give_up(&plan.region, &RegionFault::Unwell { why: WHY.to_owned() });
            return (!events.is_empty()).then_some(Decision::Record(events));
        }
        let first = self.unplaced_regions().find(|plan| !self.is_the_regions_own(plan))?;
        let is_all = open.all(|plan| self.profile.unplaced.is_all(&plan.region));
        is_all.then(|| Decision::Stop(Contradiction::RowsUnplaced { region: first.region.clone() }))
    }

    /// Whether nothing is asked of the region for now.
    pub(super) fn is_left_alone(&self, region: &Region) -> bool {
        self.set_aside.contains(region) || self.profile.unplaced.is_all(region)
    }

    fn unplaced_regions(&self) -> impl Iterator<Item = &RegionPlan> {
        self.regions.iter().filter(|plan| !plan.is_done() && self.profile.unplaced.is_all(&plan.region))
    }

    /// Whether it is the region's own trouble: others answer as they should, those that have since or are done, or have a trouble of their own, in
    /// which nothing is asked of them.
    fn is_the_regions_own(&self, plan: &RegionPlan) -> bool {
        let others = || self.regions.iter().filter(|other| other.region != plan.region);
        let mut open =
            others().filter(|other| !other.is_done() && !self.profile.unplaced.is_all(&other.region)).peekable();
        let all_are_set_aside = open.peek().is_some() && open.all(|other| self.set_aside.contains(&other.region));
        self.profile.unplaced.others_answer(&plan.region)
            || all_are_set_aside
            || others().any(|other| other.is_done() && other.has_shown_rows())
    }

    /// Takes what a page says of this.
    pub(super) fn learn_unplaced(&mut self, page: &PageFact) {
        let is_again = page.rows.is_empty() && self.is_read_again(page);
        self.profile.unplaced.take(page, is_again);
    }

    /// Whether a page is one of a window whose seconds were read before.
    fn is_read_again(&self, page: &PageFact) -> bool {
        let window = match page.address.purpose {
            Purpose::Walk { window, .. } => self.windows.get(&window),
            _ => None,
        };
        let was_done = |window: &Window| {
            let ranges = self.region(&window.region).map(|plan| &plan.again.ranges);
            ranges.is_some_and(|ranges| ranges.iter().any(|range| range.overlaps(window.range)))
        };
        window.is_some_and(|window| window.is_read_again() || was_done(window))
    }

    /// Takes that a region was given up, for whatever reason.
    pub(super) fn region_given_up(&mut self, event: &PlanEvent) {
        if let PlanEvent::WindowGivenUp { window, .. } = event
            && let Some(region) = self.window_region(*window).cloned()
        {
            self.profile.unplaced.forget(&region);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::contract::{Filters, PageQuery, SOURCE};
    use crate::plan::fact::{PageAddress, RowKey, VideoKey, WindowId};
    use crate::plan::planner::{PlanContext, Task};
    use crate::plan::profile::UNPLACED_IN_A_ROW;
    use crate::plan::testing::{read_on, served};
    use crate::units::{EpochSeconds, PageNumber, TimeRange};

    /// Full pages that come to so many.
    const PAGES_UNPLACED: u32 = UNPLACED_IN_A_ROW / SOURCE.page_size;

    fn region(code: &str) -> Region {
        code.parse().unwrap()
    }

    fn new_plan(regions: &[&str]) -> Planner {
        let regions: Vec<Region> = regions.iter().map(|code| region(code)).collect();
        let range = TimeRange::new(EpochSeconds::new(0), EpochSeconds::new(1_000));
        let mut plan = Planner::new(&regions, Filters::default(), range);
        plan.opening().iter().for_each(|event| plan.apply_event(event));
        plan
    }

    /// What is asked next, once all decisions before it are applied.
    fn next(plan: &mut Planner) -> Decision {
        loop {
            match plan.next(None, &PlanContext::usual()) {
                Decision::Record(events) => events.iter().for_each(|event| plan.apply_event(event)),
                decision => return decision,
            }
        }
    }

    fn answer(task: &Task, rows: &[i64], slots: u32) -> PageFact {
        let row = |second: &i64| RowKey { second: EpochSeconds::new(*second), video: VideoKey(*second as u64) };
        let rows = rows.iter().map(row).collect();
        let fetched_at = EpochSeconds::new(1);
        PageFact { address: task.address.clone(), fetched_at, slots, rows, check: Default::default() }
    }

    /// Answers so many questions of US with rows that cannot be placed, and gives how each was measured.
    fn answer_unplaced(plan: &mut Planner, pages: u32) -> Vec<bool> {
        plan.set_aside(&region("GB"));
        let mut habits = Vec::new();
        for _ in 0..pages {
            let Decision::Ask(task) = next(plan) else { panic!("nothing is asked") };
            habits.push(task.expected.is_unplaced);
            plan.apply_page(&answer(&task, &[], 10));
        }
        plan.take_up(&region("GB"));
        habits
    }

    #[test]
    fn a_run_whose_pages_hold_no_row_that_can_be_placed_stops_after_a_few() {
        let mut plan = new_plan(&["US"]);
        let habits = answer_unplaced(&mut plan, PAGES_UNPLACED);
        assert!(!habits[0] && habits[1..].iter().all(|is_habit| *is_habit), "the first alone is asked again");
        let stop = Decision::Stop(Contradiction::RowsUnplaced { region: region("US") });
        assert_eq!(next(&mut plan), stop);
        plan.forget_unplaced();
        assert!(matches!(next(&mut plan), Decision::Ask(_)), "the next start asks on");
    }

    #[test]
    fn a_row_that_can_be_placed_begins_the_count_anew() {
        let mut plan = new_plan(&["US"]);
        answer_unplaced(&mut plan, PAGES_UNPLACED - 1);
        let Decision::Ask(task) = next(&mut plan) else { panic!("nothing is asked") };
        plan.apply_page(&answer(&task, &[5, 6], 10));
        assert_eq!(answer_unplaced(&mut plan, 2), [false, true]);
        assert!(matches!(next(&mut plan), Decision::Ask(_)));
    }

    /// Where the first pages alone are so, reading them again is no reason to stop.
    #[test]
    fn the_same_pages_read_again_are_not_page_after_page() {
        let mut unplaced = Unplaced::default();
        for scan in 0..PAGES_UNPLACED {
            for page in 1..PAGES_UNPLACED {
                let purpose = Purpose::Walk { window: WindowId(0), scan };
                let address = PageAddress { region: region("US"), purpose, page: PageNumber::new(page).unwrap() };
                let fetched_at = EpochSeconds::new(1);
                let page = PageFact { address, fetched_at, slots: 10, rows: vec![], check: Default::default() };
                unplaced.take(&page, false);
            }
        }
        assert_eq!((unplaced.is_habit(&region("US")), unplaced.is_all(&region("US"))), (true, false));
        let purpose = Purpose::Walk { window: WindowId(1), scan: 0 };
        let address = PageAddress { region: region("US"), purpose, page: PageNumber::FIRST };
        let fetched_at = EpochSeconds::new(1);
        let other = PageFact { address, fetched_at, slots: 10, rows: vec![], check: Default::default() };
        unplaced.take(&other, true);
        assert!(!unplaced.is_all(&region("US")), "it is read again");
        unplaced.take(&other, false);
        assert!(unplaced.is_all(&region("US")), "another window shows others");
    }

    /// A window that may hold more than is served was cut in two again and again, and each half showed the few rows of one place.
    #[test]
    fn the_same_page_in_ever_smaller_windows_is_not_page_after_page() {
        let mut plan = new_plan(&["US"]);
        let mut cut = |window: u32| {
            let Decision::Ask(task) = next(&mut plan) else { panic!("{window}: nothing is asked") };
            assert_eq!((task.window, task.query.page), (WindowId(window), PageNumber::FIRST));
            plan.apply_page(&answer(&task, &[], 10));
            let range = plan.window_range(WindowId(window)).unwrap();
            let at = range.start.shifted(range.seconds() / 2);
            let new = WindowId(window + 1);
            let cuts = [
                PlanEvent::WindowSplit { window: WindowId(window), at, new },
                PlanEvent::WindowBounded { window: WindowId(window) },
            ];
            cuts.iter().for_each(|event| plan.apply_event(event));
            // The earlier half is empty.
            while let Decision::Ask(task) = next(&mut plan)
                && task.window == WindowId(window)
            {
                plan.apply_page(&answer(&task, &[], 0));
            }
        };
        (0..PAGES_UNPLACED).for_each(&mut cut);
        assert!(matches!(next(&mut plan), Decision::Ask(_)));
    }

    #[test]
    fn a_region_alone_is_given_up_once_another_answers() {
        let mut plan = new_plan(&["US", "GB"]);
        answer_unplaced(&mut plan, PAGES_UNPLACED);
        let Decision::Ask(task) = next(&mut plan) else { panic!("GB is not asked") };
        assert_eq!((task.address.region.as_str(), plan.gaps().len()), ("GB", 0));
        plan.apply_page(&answer(&task, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 10));
        let Decision::Ask(task) = next(&mut plan) else { panic!("GB is not asked on") };
        let gaps: Vec<_> = plan.gaps().iter().map(|gap| (gap.region.as_str(), gap.range.seconds())).collect();
        assert_eq!((task.address.region.as_str(), gaps), ("GB", vec![("US", 1_000)]));
    }

    /// A start that does not read another region's pages any more, since that is done, ended the run as if nobody answered.
    #[test]
    fn a_region_alone_is_given_up_where_another_was_done_by_a_process_before() {
        let mut plan = new_plan(&["US", "GB"]);
        let row = RowKey { second: EpochSeconds::new(5), video: VideoKey(5) };
        plan.apply_event(&PlanEvent::WindowFinished {
            window: WindowId(1),
            ending: crate::plan::event::Ending::RowBeyond,
            rows: 1,
            pages: 1,
            excess: 0,
            beyond: vec![],
            opening: vec![],
            edges: vec![row],
        });
        for _ in 0..PAGES_UNPLACED {
            let Decision::Ask(task) = next(&mut plan) else { panic!("US is not asked") };
            plan.apply_page(&answer(&task, &[], 10));
        }
        let next = plan.leave_unplaced();
        assert!(matches!(next, Some(Decision::Record(_))), "{next:?}");
    }

    /// A service may add a row that nobody can place to each page, also to those that would be empty.
    #[test]
    fn a_list_that_goes_on_with_one_such_row_a_page_does_not_go_on_for_ever() {
        let mut plan = new_plan(&["US"]);
        let mut pages = 0;
        while let Decision::Ask(task) = next(&mut plan) {
            plan.apply_page(&answer(&task, &[], 1));
            pages += 1;
        }
        assert_eq!(pages, UNPLACED_IN_A_ROW);
        assert!(matches!(next(&mut plan), Decision::Stop(Contradiction::RowsUnplaced { .. })));
    }

    /// The last page that is served holds three such rows, and comes again in place of every page beyond it. Each time it was taken for another
    /// page, so that the run ended with 6 after 80 rows.
    #[test]
    fn a_last_page_of_such_rows_that_comes_again_is_the_same_page() {
        let mut plan = new_plan(&["US"]);
        let mut pages = 0;
        read_on(&mut plan, |task, at| {
            pages += 1;
            let page = task.query.page.get().min(5);
            let clamped = Task {
                query: PageQuery { page: PageNumber::new(page).unwrap(), ..task.query.clone() },
                ..task.clone()
            };
            let mut page = served(&clamped, 168, at, |_| true);
            page.check.print = page.rows.iter().map(|row| row.video.0 + 1).sum();
            page.rows.retain(|row| row.second.get() < 160);
            Some(page)
        });
        assert!(plan.is_done(), "after {pages} pages");
        assert!(pages < 40, "{pages}");
    }

    /// Nothing is asked of a region that is set aside while no other answers, so that neither would wait for it.
    #[test]
    fn a_region_is_given_up_where_the_others_are_set_aside() {
        let mut plan = new_plan(&["US", "GB"]);
        answer_unplaced(&mut plan, PAGES_UNPLACED);
        plan.set_aside(&region("GB"));
        assert!(plan.leave_unplaced().is_some());
        plan.take_up(&region("GB"));
        assert!(plan.leave_unplaced().is_none(), "it may answer");
    }

    #[test]
    fn all_regions_together_stop_the_run() {
        let mut plan = new_plan(&["US", "GB"]);
        answer_unplaced(&mut plan, PAGES_UNPLACED);
        for _ in 0..PAGES_UNPLACED {
            let Decision::Ask(task) = next(&mut plan) else { panic!("GB is not asked") };
            plan.apply_page(&answer(&task, &[], 10));
        }
        assert!(matches!(next(&mut plan), Decision::Stop(Contradiction::RowsUnplaced { .. })));
    }
}
