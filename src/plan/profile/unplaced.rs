//! Regions whose pages hold no row that says who and when it is. Pure.

use std::collections::BTreeMap;

use crate::api::contract::{Region, SOURCE};
use crate::plan::fact::{PageFact, Purpose, WindowId};

/// Rows of a region, page after page without one that can be placed, that show that all of its pages are so: those of eight full pages. A
/// region of few rows may hold some such pages, and rows that can be placed after them; a service may add such a row to each page, also
/// beyond the last one. What is read again shows the same rows, and does not count.
pub(in crate::plan) const UNPLACED_IN_A_ROW: u32 = 8 * SOURCE.page_size;

/// What was seen of such pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unplaced {
    /// Of each region whose last page is such a one: those since its last page that was not.
    of: BTreeMap<Region, InARow>,
    /// Pages of any region that had a row which can be placed.
    placed: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct InARow {
    /// How many rows of each window's scans.
    rows: BTreeMap<(WindowId, u32), u32>,
    /// Pages that had a row which can be placed, before the first of these.
    placed_before: u64,
}

impl InARow {
    /// How many rows they are at least: scans of one window may show the same.
    fn distinct(&self) -> u32 {
        let mut windows: BTreeMap<WindowId, u32> = BTreeMap::new();
        for ((window, _), rows) in &self.rows {
            let most = windows.entry(*window).or_default();
            *most = (*most).max(*rows);
        }
        windows.values().sum()
    }
}

impl Unplaced {
    /// Takes a durable page, which may show what a page before it did.
    pub fn take(&mut self, page: &PageFact, is_again: bool) {
        let region = &page.address.region;
        if !page.rows.is_empty() {
            self.placed += 1;
            self.of.remove(region);
        } else if page.slots > 0 && !page.check.is_astray() {
            let new = InARow { rows: BTreeMap::new(), placed_before: self.placed };
            let row = self.of.entry(region.clone()).or_insert(new);
            if let (Purpose::Walk { window, scan }, false) = (page.address.purpose, is_again) {
                *row.rows.entry((window, scan)).or_default() += page.slots;
            }
        }
    }

    /// Whether the region's last page was such a one, and was asked again: another is believed at once.
    pub fn is_habit(&self, region: &Region) -> bool {
        self.of.contains_key(region)
    }

    /// Whether all pages of the region seem to be so.
    pub fn is_all(&self, region: &Region) -> bool {
        self.of.get(region).is_some_and(|row| row.distinct() >= UNPLACED_IN_A_ROW)
    }

    /// Whether other regions have answered with rows since the region's first such page.
    pub(in crate::plan) fn others_answer(&self, region: &Region) -> bool {
        self.of.get(region).is_some_and(|row| self.placed > row.placed_before)
    }

    /// A window is read anew, or was cut in two that are: they show the same rows again.
    pub(in crate::plan) fn is_read_anew(&mut self, id: WindowId) {
        self.of.values_mut().for_each(|row| row.rows.retain(|(window, _), _| *window != id));
    }

    /// The region is asked anew.
    pub fn forget(&mut self, region: &Region) {
        self.of.remove(region);
    }
}
