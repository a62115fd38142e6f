//! Folding durable pages into the plan. Pure.

use super::Planner;
use crate::api::contract::{Region, TimeOrder};
use crate::plan::evidence::observation::Turn;
use crate::plan::fact::{PageAddress, PageFact, Purpose, WindowId};
use crate::plan::page::ROWS_AT_MAX;
use crate::plan::walk::PAGES_FOR_ONE_AHEAD as PAGES_IN_TURN;
use crate::plan::walk::{Lesson, Shown};
use crate::plan::window::{Window, WindowState};
use crate::units::{EpochSeconds, PageNumber};

impl Planner {
    /// Folds one durable page in.
    pub fn apply_page(&mut self, page: &PageFact) {
        let region = page.address.region.clone();
        let is_first = self.is_first_page(&page.address);
        let watermark = self.watermark(&region);
        if page.slots > 0 || page.address.page.get() > 1 {
            self.profile.take_answer(page);
        }
        let opens = is_first && self.asks_from_the_start(&page.address);
        if let Some(plan) = self.region_mut(&region) {
            plan.apply(page, is_first);
            if opens {
                plan.learn_opening(page);
                plan.again.places.opens_clean = page.slots > 0 && page.check.outside == 0;
            }
        }
        self.count_page(page);
        self.learn_unplaced(page);
        self.learn_order(page);
        self.learn_max(page);
        self.fold_evidence(page, turn_of(page));
        match page.address.purpose {
            Purpose::Walk { window, scan } => self.apply_walked(page, window, scan, watermark),
            Purpose::Newest => self.profile.take_newest(page),
            Purpose::Recheck { .. } => self.take_recheck(page),
            Purpose::Place { anchor, .. } => {
                if let Some(plan) = self.region_mut(&region) {
                    plan.again.places.take(anchor, page);
                }
            }
            Purpose::Bounds => {
                let known = self.region(&region).and_then(|plan| plan.newest_page.last_second);
                self.profile.answer_bounds(page, known);
            }
            _ => {}
        }
    }

    /// Rows at exactly the end of its region's range, on a page of the newest, show that the upper bound is inclusive. Asked exactly they do not
    /// come: a page that is full of them tells nothing of the rows before.
    fn learn_max(&mut self, page: &PageFact) {
        let is_newest = matches!(page.address.purpose, Purpose::Newest | Purpose::ConfirmNewest);
        let end = self.range_of(&page.address.region).end;
        let at_end = page.rows.iter().filter(|row| row.second == end).count();
        if is_newest && at_end >= ROWS_AT_MAX && !page.check.is_astray() {
            self.profile.take(Lesson::AtMax);
        }
    }

    /// A short page that was believed came again.
    fn take_recheck(&mut self, page: &PageFact) {
        let region = &page.address.region;
        let Some(plan) = self.regions.iter_mut().find(|plan| plan.region == *region) else { return };
        if plan.again.recheck.take(page, plan.extent.newest) {
            let refuted = self.believed.extract_if(.., |(of, _)| of == region);
            plan.again.recheck.refute(refuted.map(|(_, range)| range));
            self.profile.short.harmless = 0;
        }
    }

    /// Whether it is page 1 of the region's first seconds, before anything else is done.
    fn is_first_page(&self, address: &PageAddress) -> bool {
        let Purpose::Walk { window, .. } = address.purpose else { return false };
        let range = self.range_of(&address.region);
        let asks_all =
            |window: &Window| window.range.start == range.start && (!window.bounded || window.range.end == range.end);
        address.page.get() == 1 && self.windows.get(&window).is_some_and(asks_all)
    }

    /// Whether it is of a scan that begins with its region's first second.
    fn asks_from_the_start(&self, address: &PageAddress) -> bool {
        let Purpose::Walk { window, .. } = address.purpose else { return false };
        let walk = self.windows.get(&window).and_then(Window::walk);
        walk.is_some_and(|walk| walk.scan().anchor == self.range_of(&address.region).start)
    }

    pub(in crate::plan) fn apply_walked(&mut self, page: &PageFact, id: WindowId, scan: u32, watermark: EpochSeconds) {
        let Some(window) = self.windows.get_mut(&id) else { return };
        window.parked = 0;
        let WindowState::Walking(walk) = &mut window.state else { return };
        if walk.scan().number != scan {
            return;
        }
        let opens = page.address.page == PageNumber::FIRST && walk.scan().order() == TimeOrder::OldestFirst;
        if opens {
            let asked_min = walk.scan().asked_min;
            let plan = self.regions.iter().find(|plan| plan.region == page.address.region);
            let known = [plan.and_then(|plan| plan.extent.oldest), walk.known_before()].into_iter().flatten();
            self.profile.take_opening(page, asked_min, known.filter(|known| *known < asked_min).max());
        }
        let shown = walk.apply(page);
        window.keep_opening();
        self.take_shown(&page.address.region, shown, watermark);
    }

    /// A page that came before its turn, and waited, is folded in.
    pub(super) fn take_waiting(&mut self, id: WindowId, scan: u32, page: u32, has_more: bool) {
        let Some(region) = self.window_region(id).cloned() else { return };
        let watermark = self.watermark(&region);
        let Some(window) = self.windows.get_mut(&id) else { return };
        let WindowState::Walking(walk) = &mut window.state else { return };
        if walk.scan().number == scan {
            let shown = walk.take_waiting(page, has_more);
            self.take_shown(&region, shown, watermark);
        }
    }

    fn take_shown(&mut self, region: &Region, shown: Shown, watermark: EpochSeconds) {
        shown.lessons.into_iter().for_each(|lesson| self.profile.take(lesson));
        let late = shown.strays.into_iter().map(|row| row.second).filter(|second| *second < watermark);
        let range = self.range_of(region);
        let late = late.filter(|second| range.contains(*second));
        self.late.extend(late.map(|second| (region.clone(), second)));
    }
}

/// When a page was asked. A second that fills so many pages may be read by several workers; before that each page is asked in its turn.
fn turn_of(page: &PageFact) -> Turn {
    if page.address.page.get() <= PAGES_IN_TURN { Turn::InTurn } else { Turn::Early }
}

#[cfg(test)]
mod tests {
    use crate::api::contract::{Filters, Region};
    use crate::plan::fact::{PageAddress, PageFact, Purpose, RowKey, VideoKey};
    use crate::plan::planner::Planner;
    use crate::units::{EpochSeconds, PageNumber, TimeRange};

    /// The newest page held rows of the second after the range alone. Nothing was learned of that, so its end was asked in the same way again and
    /// again, and what had come was taken for all: 273 rows were missing with exit 0.
    #[test]
    fn rows_at_exactly_the_end_of_the_range_show_that_the_upper_bound_is_inclusive() {
        let region: Region = "US".parse().unwrap();
        let range = TimeRange::new(EpochSeconds::new(0), EpochSeconds::new(100));
        let is_inclusive = |purpose, seconds: &[i64]| {
            let mut plan = Planner::new(std::slice::from_ref(&region), Filters::default(), range);
            let rows = seconds
                .iter()
                .zip(1..)
                .map(|(second, video)| RowKey { second: EpochSeconds::new(*second), video: VideoKey(video) });
            let address = PageAddress { region: region.clone(), purpose, page: PageNumber::FIRST };
            let (rows, slots) = (rows.collect(), seconds.len() as u32);
            let page = PageFact { address, fetched_at: EpochSeconds::new(1), slots, rows, check: Default::default() };
            plan.apply_page(&page);
            plan.profile().bounds.max_inclusive
        };
        for purpose in [Purpose::Newest, Purpose::ConfirmNewest] {
            assert!(is_inclusive(purpose, &[100, 100, 100, 99]));
            assert!(!is_inclusive(purpose, &[100, 100, 99, 98]), "wrong dates may come in such numbers");
            assert!(!is_inclusive(purpose, &[99, 99, 99, 98]), "they lie in the range");
        }
        assert!(!is_inclusive(Purpose::ConfirmOldest, &[100, 100, 100]), "it is not asked for its end");
    }
}
