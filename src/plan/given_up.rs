//! Regions that cannot be had while others can: what of them is not read becomes a gap, and the others go on. Pure.

use super::event::{Ending, PlanEvent, RegionFault};
use super::fact::WindowId;
use super::planner::{Listed, Planner};
use super::region::RegionPlan;
use super::window::WindowState;
use crate::api::contract::Region;
use crate::units::TimeRange;

impl Planner {
    /// The decisions that end a region: what its walks have settled stays, the rest is a gap. None where it is done. Nobody may
    /// be on the way for it.
    pub fn give_up(&self, region: &Region, fault: &RegionFault) -> Vec<PlanEvent> {
        let Some(plan) = self.region(region) else { return Vec::new() };
        let mut next = self.next_window;
        let mut events = Vec::new();
        let windows = plan.windows.values().filter_map(|id| Some((*id, self.windows.get(id)?)));
        for (id, window) in windows.filter(|(_, window)| !window.is_over()) {
            let mut lost = id;
            if let Some((walk, watermark)) = self.proven_within(window) {
                lost = WindowId(next);
                next += 1;
                events.push(PlanEvent::WindowSplit { window: id, at: watermark, new: lost });
                events.extend(self.settle_believed(window, walk));
                events.push(self.finished(id, Ending::RowBeyond, walk));
            }
            events.push(PlanEvent::WindowGivenUp { window: lost, fault: fault.clone() });
        }
        events
    }

    /// Asks nothing of a region until [`Planner::take_up`].
    pub fn set_aside(&mut self, region: &Region) {
        self.set_aside.insert(region.clone());
    }

    /// Asks a region again that was set aside.
    pub fn take_up(&mut self, region: &Region) {
        self.set_aside.remove(region);
    }

    /// Whether a worker is on the way for a region.
    pub fn is_on_way(&self, region: &Region) -> bool {
        self.windows.values().any(|window| window.region == *region && window.is_assigned())
    }

    pub(super) fn asked_regions(&self) -> impl Iterator<Item = &RegionPlan> {
        self.regions.iter().filter(|plan| !self.is_left_alone(&plan.region))
    }

    /// Whether a stretch of time is a gap because its whole region could not be had: then nothing in it is known to be broken.
    pub(super) fn is_of_a_region(&self, region: &Region, range: TimeRange) -> bool {
        let mut gaps = self.gaps.iter().filter(|gap| gap.fault.is_some());
        gaps.any(|gap| gap.region == *region && gap.range.overlaps(range))
    }

    /// Folds a window in that was given up; neighbours that were given up for the same reason are one gap.
    pub(super) fn give_window_up(&mut self, id: WindowId, fault: &RegionFault) {
        let Some(window) = self.windows.get_mut(&id) else { return };
        window.state = WindowState::Over;
        let (region, range) = (window.region.clone(), window.range);
        match self.gaps.last_mut() {
            Some(gap) if gap.region == region && gap.range.end == range.start && gap.fault.as_ref() == Some(fault) => {
                gap.range = TimeRange::new(gap.range.start, range.end);
            }
            _ => {
                let (why, fault) = (fault.to_string(), Some(fault.clone()));
                self.gaps.push(Listed { region: region.clone(), range, why, fault, may_pass: false, lacks: None });
            }
        }
        self.merge_done(&region);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::contract::Filters;
    use crate::plan::fact::{PageFact, Purpose, RowKey, VideoKey};
    use crate::plan::planner::{Decision, PlanContext, Task};
    use crate::plan::reopen::Reopening;
    use crate::units::EpochSeconds;

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(end))
    }

    fn region(code: &str) -> Region {
        code.parse().unwrap()
    }

    fn fault() -> RegionFault {
        RegionFault::Refused { code: 403, message: "no".to_owned() }
    }

    fn new_plan() -> Planner {
        let mut plan = Planner::new(&[region("US"), region("GB")], Filters::default(), range(0, 1_000));
        let opening = plan.opening();
        opening.iter().for_each(|event| plan.apply_event(event));
        plan
    }

    fn next_task(plan: &mut Planner) -> Option<Task> {
        loop {
            match plan.next(None, &PlanContext::usual()) {
                Decision::Record(events) => events.iter().for_each(|event| plan.apply_event(event)),
                Decision::Ask(task) => return Some(*task),
                _ => return None,
            }
        }
    }

    fn full_page(task: &Task, first: i64) -> PageFact {
        let row = |second: i64| RowKey { second: EpochSeconds::new(second), video: VideoKey(second as u64) };
        let rows: Vec<RowKey> = match task.address.purpose {
            Purpose::Newest => (0..10).rev().map(|place| row(990 + place)).collect(),
            _ => (0..10).map(|place| row(first + place)).collect(),
        };
        PageFact {
            address: task.address.clone(),
            fetched_at: EpochSeconds::new(1),
            slots: 10,
            rows,
            check: Default::default(),
        }
    }

    #[test]
    fn a_region_that_never_answered_is_one_gap_and_the_others_go_on() {
        let mut plan = new_plan();
        let events = plan.give_up(&region("US"), &fault());
        events.iter().for_each(|event| plan.apply_event(event));
        let gaps: Vec<_> = plan.gaps().iter().map(|gap| (gap.region.as_str(), gap.range, gap.fault.clone())).collect();
        assert_eq!(gaps, [("US", range(0, 1_000), Some(fault()))]);
        assert!(!plan.is_done() && plan.give_up(&region("US"), &fault()).is_empty());
        assert_eq!(next_task(&mut plan).unwrap().address.region, region("GB"));
    }

    #[test]
    fn what_a_walk_has_settled_is_no_gap_and_neighbouring_gaps_are_one() {
        let mut plan = new_plan();
        plan.set_aside(&region("GB"));
        for first in [10, 0, 20] {
            let task = next_task(&mut plan).unwrap();
            plan.apply_page(&full_page(&task, first));
        }
        let watermark = plan.watermark(&region("US"));
        assert!(watermark > EpochSeconds::new(0));
        let windows = plan.walks().count();
        let events = plan.give_up(&region("US"), &fault());
        assert!(windows >= 1 && events.iter().any(|event| matches!(event, PlanEvent::WindowFinished { .. })));
        events.iter().for_each(|event| plan.apply_event(event));
        let gaps: Vec<_> = plan.gaps().iter().map(|gap| gap.range).collect();
        assert_eq!(gaps, [TimeRange::new(watermark, EpochSeconds::new(1_000))]);
    }

    #[test]
    fn a_region_that_is_set_aside_is_asked_for_nothing_until_it_is_taken_up() {
        let mut plan = new_plan();
        plan.set_aside(&region("US"));
        plan.set_aside(&region("GB"));
        assert_eq!(next_task(&mut plan), None);
        plan.take_up(&region("US"));
        assert_eq!(next_task(&mut plan).unwrap().address.region, region("US"));
    }

    #[test]
    fn a_regions_gap_is_read_again_like_a_range_that_nobody_has_read() {
        let mut plan = new_plan();
        for code in ["US", "GB"] {
            let events = plan.give_up(&region(code), &fault());
            events.iter().for_each(|event| plan.apply_event(event));
        }
        let events = plan.reopening(&region("US"), range(0, 1_000), &Reopening::Gap).unwrap();
        let is_narrow =
            |event: &PlanEvent| matches!(event, PlanEvent::WindowBounded { .. } | PlanEvent::WindowParked { .. });
        assert!(!events.iter().any(is_narrow), "{events:?}");
        events.iter().for_each(|event| plan.apply_event(event));
        assert!(next_task(&mut plan).is_some());
    }
}
