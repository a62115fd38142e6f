//! Which region the rows of its pages name as their own.

use super::RegionPlan;
use crate::plan::answer::RegionHabit;
use crate::plan::fact::{PageFact, Purpose, Standing};
use crate::units::TimeRange;

/// Pages of another region that are remembered, should later ones contradict them; they come at a region's beginning.
const MOST_DOUBTED: usize = 200;

/// Which region the rows of its pages name as their own.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Pages of which every row names the region as its own, and those of which every row names another.
    pub(super) own_pages: u32,
    pub(super) other_pages: u32,
    /// What walks' pages cover that were taken although every row of them names another region.
    pub of_another_region: Vec<TimeRange>,
    /// What such pages of other questions cover.
    pub probes_of_another_region: Vec<TimeRange>,
}

impl RegionPlan {
    /// What earlier pages have shown of the rows' own region.
    pub fn habit(&self) -> RegionHabit {
        match (self.names.own_pages, self.names.other_pages) {
            (0, 0) => RegionHabit::Unknown,
            (_, 0) => RegionHabit::Own,
            _ => RegionHabit::Another,
        }
    }

    /// Whether pages were taken of which every row names the region, and others of which every row names another.
    pub fn has_shown_its_own_and_another(&self) -> bool {
        self.names.own_pages > 0 && self.names.other_pages > 0
    }

    /// Whether pages of another region were taken that later ones contradict.
    pub fn has_mixed_regions(&self) -> bool {
        let has_mixed = !self.names.of_another_region.is_empty() || !self.names.probes_of_another_region.is_empty();
        self.names.own_pages > 0 && has_mixed
    }

    pub(super) fn learn_region(&mut self, page: &PageFact) {
        let check = page.check;
        let answers = check.standing == Standing::Answers;
        self.names.own_pages += u32::from(answers && check.own_region > 0 && check.other_region == 0);
        let is_walk = matches!(page.address.purpose, Purpose::Walk { .. });
        let is_own = answers && check.own_region > 0;
        if let Some((last, span)) =
            self.names.of_another_region.last_mut().zip(page.span()).filter(|_| is_own && is_walk)
        {
            // What lies before it was skipped with the rows of another region, more rows of its first second too.
            last.end = last.end.max(span.start.shifted(1));
        }
        if answers && check.own_region == 0 && check.other_region > 0 {
            self.names.other_pages += 1;
        }
        if answers && check.own_region == 0 && check.other_region > 0 {
            let span = page.span().map(|span| span.intersection(self.range)).filter(|span| !span.is_empty());
            let doubted =
                if is_walk { &mut self.names.of_another_region } else { &mut self.names.probes_of_another_region };
            doubted.extend(span.filter(|_| doubted.len() < MOST_DOUBTED));
        }
    }
}
