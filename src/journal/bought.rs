//! Which pages the current run has bought, and which of them the planner still learns from, in memory: so that the database needs
//! no index of addresses. Pure. Pages of a walk come nearly in a row, so a scan takes a few bytes however long it is.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::contract::Region;
use crate::plan::fact::{PageAddress, Purpose, WindowId};

/// Pages in runs without a hole: the first of each run, and the first behind it.
#[derive(Debug, Default)]
struct Runs(BTreeMap<u32, u32>);

impl Runs {
    fn contains(&self, page: u32) -> bool {
        self.0.range(..=page).next_back().is_some_and(|(_, end)| page < *end)
    }

    fn insert(&mut self, page: u32) {
        if self.contains(page) {
            return;
        }
        let before = self.0.range(..page).next_back().filter(|(_, end)| **end == page).map(|(start, _)| *start);
        let end = self.0.remove(&page.saturating_add(1)).unwrap_or(page.saturating_add(1));
        self.0.insert(before.unwrap_or(page), end);
    }
}

/// What the current run has bought.
#[derive(Debug, Default)]
pub(super) struct Bought {
    pages: BTreeMap<(Region, Purpose), Runs>,
    closed: BTreeSet<WindowId>,
    /// Pages of each open window that have row keys, as they came.
    keyed: BTreeMap<WindowId, Vec<i64>>,
    /// Pages of closed windows that have row keys still.
    left: BTreeSet<i64>,
}

impl Bought {
    /// Whether the run holds a page of this address.
    pub(super) fn contains(&self, address: &PageAddress) -> bool {
        let pages = self.pages.get(&(address.region.clone(), address.purpose));
        pages.is_some_and(|pages| pages.contains(address.page.get()))
    }

    pub(super) fn is_closed(&self, purpose: Purpose) -> bool {
        matches!(purpose, Purpose::Walk { window, .. } if self.closed.contains(&window))
    }

    pub(super) fn insert(&mut self, address: &PageAddress) {
        self.pages.entry((address.region.clone(), address.purpose)).or_default().insert(address.page.get());
    }

    /// The page has row keys.
    pub(super) fn insert_keys(&mut self, purpose: Purpose, sequence: i64) {
        match purpose {
            Purpose::Walk { window, .. } if self.closed.contains(&window) => {
                self.left.insert(sequence);
            }
            Purpose::Walk { window, .. } => self.keyed.entry(window).or_default().push(sequence),
            _ => {}
        }
    }

    pub(super) fn close(&mut self, window: WindowId) {
        self.closed.insert(window);
        self.left.extend(self.keyed.remove(&window).unwrap_or_default());
    }

    /// Row keys that may go when these windows close: those of closed windows, up to the first page of a window that stays open.
    /// Windows are read side by side, so to take one's keys from between the others' would change every page of the table.
    pub(super) fn forgettable(&self, closing: &[WindowId]) -> Vec<i64> {
        let is_open = |window: &WindowId| !closing.contains(window);
        let open = self.keyed.iter().filter(|(window, _)| is_open(window)).filter_map(|(_, pages)| pages.first());
        let bound = open.min().copied().unwrap_or(i64::MAX);
        let closing = self.keyed.iter().filter(|(window, _)| !is_open(window)).flat_map(|(_, pages)| pages);
        let left = self.left.range(..bound).copied();
        let mut pages: Vec<i64> = left.chain(closing.copied().filter(|page| *page < bound)).collect();
        pages.sort_unstable();
        pages
    }

    /// The page's row keys are gone.
    pub(super) fn forget(&mut self, sequence: i64) {
        self.left.remove(&sequence);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::units::PageNumber;

    fn walk(window: u32, page: u32) -> PageAddress {
        let purpose = Purpose::Walk { window: WindowId(window), scan: 0 };
        PageAddress { region: "US".parse().unwrap(), purpose, page: PageNumber::new(page).unwrap() }
    }

    #[test]
    fn an_address_is_its_region_purpose_and_page() {
        let mut bought = Bought::default();
        bought.insert(&walk(1, 5));
        assert!(bought.contains(&walk(1, 5)));
        assert!(!bought.contains(&walk(1, 4)) && !bought.contains(&walk(2, 5)));
        let other = PageAddress { region: "GB".parse().unwrap(), ..walk(1, 5) };
        assert!(!bought.contains(&other));
        assert!(!bought.contains(&PageAddress { purpose: Purpose::Newest, ..walk(1, 5) }));
    }

    #[test]
    fn keys_go_once_no_earlier_page_is_of_an_open_window() {
        let mut bought = Bought::default();
        for (window, sequence) in [(1, 10), (2, 11), (1, 12), (3, 13), (2, 14)] {
            bought.insert_keys(walk(window, 1).purpose, sequence);
        }
        assert_eq!(bought.forgettable(&[WindowId(2)]), [0_i64; 0]);
        bought.close(WindowId(2));
        assert_eq!(bought.forgettable(&[WindowId(1)]), [10, 11, 12]);
        bought.close(WindowId(1));
        [10, 11, 12].into_iter().for_each(|sequence| bought.forget(sequence));
        assert_eq!(bought.forgettable(&[WindowId(3)]), [13, 14]);
        assert!(bought.is_closed(walk(2, 9).purpose) && !bought.is_closed(walk(3, 9).purpose));
    }

    proptest! {
        #[test]
        fn runs_are_a_set(pages in prop::collection::vec(1..60_u32, 0..80)) {
            let mut runs = Runs::default();
            pages.iter().for_each(|page| runs.insert(*page));
            for page in 0..62 {
                prop_assert_eq!(runs.contains(page), pages.contains(&page), "{}", page);
            }
            let set: BTreeSet<u32> = pages.into_iter().collect();
            let holes = set.iter().filter(|page| !set.contains(&(**page + 1))).count();
            prop_assert_eq!(runs.0.len(), holes);
        }
    }
}
