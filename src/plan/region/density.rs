//! How densely a region's rows lie, as far as its windows have shown it.

use super::RegionPlan;
use crate::api::contract::SOURCE;
use crate::plan::fact::{PageFact, Purpose};
use crate::units::TimeRange;

/// What a region's windows are cut by.
#[derive(Clone, Debug, Default)]
pub struct Sizing {
    /// Whether the first window has been cut yet.
    pub is_cut: bool,
    pub(super) finished_rows: u64,
    pub(super) finished_seconds: i64,
    pub(super) first_density: f64,
}

impl RegionPlan {
    /// Counts a finished window into the density: the part of it that lies between the first and the last row that are known, or all of
    /// it where rows came although it lies beside these.
    pub fn count_finished(&mut self, range: TimeRange, rows: u64) {
        let until = self.last_second().map_or(range.end, |newest| range.end.min(newest.shifted(1)));
        let from = self.extent.oldest.map_or(range.start, |oldest| range.start.max(oldest));
        let between = until.since(from).max(0);
        self.sizing.finished_rows += rows;
        self.sizing.finished_seconds += if between == 0 && rows > 0 { range.seconds() } else { between };
        self.answers.has_answered |= rows > 0;
    }

    /// A window is finished whose seconds had been counted before.
    pub fn finished_again(&mut self, rows: u64) {
        self.answers.has_answered |= rows > 0;
    }

    /// Row places on the pages of its finished windows.
    pub fn finished_rows(&self) -> u64 {
        self.sizing.finished_rows
    }

    /// Rows a second, as seen so far: `walked` adds what running windows saw, as (rows, seconds). Until a window has been walked
    /// it is what was counted, or else a guess from the first pages, rather too high than too low.
    pub fn density(&self, walked: (u64, i64)) -> f64 {
        let rows = self.sizing.finished_rows + walked.0;
        let seconds = self.sizing.finished_seconds + walked.1;
        // So many rows have come, or would have if the guess were right.
        let many = f64::from(SOURCE.page_size) * 20.0;
        let enough = rows as f64 >= many || self.sizing.first_density * seconds as f64 >= many;
        match enough && seconds > 0 {
            true => rows.max(1) as f64 / seconds as f64,
            false => self.counted_density().unwrap_or(self.sizing.first_density),
        }
    }

    /// Rows a second up to the furthest page that was asked to count by, whose number tells how many rows lie before its last.
    fn counted_density(&self) -> Option<f64> {
        let is_asked =
            |page: &&PageFact| matches!(page.address.purpose, Purpose::Count { .. }) && !page.rows.is_empty();
        let legs = self.counted.pages.iter().filter_map(|(anchor, pages)| {
            let page = pages.values().rev().find(is_asked)?;
            let last = page.rows.iter().map(|row| row.second).max()?;
            let from = self.extent.oldest.map_or(*anchor, |oldest| oldest.max(*anchor));
            Some((f64::from(page.address.page.get() * SOURCE.page_size), last.since(from).max(0) + 1))
        });
        let (rows, seconds) = legs.fold((0.0, 0), |sum, leg| (sum.0 + leg.0, sum.1 + leg.1));
        (seconds > 0).then(|| rows / seconds as f64)
    }
}
