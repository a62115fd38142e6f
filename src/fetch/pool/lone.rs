//! Whether it is one region that is throttled and not the key: whatever is asked of it comes back as 429, while others are answered in
//! between. Then it is that region's trouble, and holds nobody else. Pure.

use std::collections::BTreeMap;

use crate::api::contract::Region;

/// Throttled attempts of a region without a page of it between, each after a page of another region, from which on they are its own
/// trouble. Where the key's limit is met every region is throttled alike, and so many in a row are unlikely even then: of 3,000 honest
/// simulated services three were misread with 4.
const IN_A_ROW: u32 = 8;

/// Whose trouble a throttled attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The key's, as far as is known: it asks too fast.
    Keys,
    /// The region's own, as this attempt shows: what those before it taught of the key's rate was wrong.
    RegionsSinceNow,
    /// The region's own.
    Regions,
}

/// Regions whose last attempts were throttled.
#[derive(Debug, Default)]
pub(super) struct LoneThrottling {
    rows: BTreeMap<Region, Row>,
}

/// One region's throttled attempts since its last page.
#[derive(Debug, Default)]
struct Row {
    /// Those that came after a page of another region.
    times: u32,
    /// Whether another region was answered since the last of them.
    is_other_answered: bool,
}

impl LoneThrottling {
    /// A page of the region came.
    pub(super) fn answered(&mut self, region: &Region) {
        self.rows.remove(region);
        self.rows.values_mut().for_each(|row| row.is_other_answered = true);
    }

    /// An attempt was throttled.
    pub(super) fn throttled(&mut self, region: &Region) -> Whose {
        let row = self.rows.entry(region.clone()).or_default();
        let is_next = std::mem::take(&mut row.is_other_answered);
        row.times += u32::from(is_next);
        match row.times {
            ..IN_A_ROW => Whose::Keys,
            IN_A_ROW if is_next => Whose::RegionsSinceNow,
            _ => Whose::Regions,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_throttled_alone_where_others_are_answered_in_between() {
        let (us, gb): (Region, Region) = ("US".parse().unwrap(), "GB".parse().unwrap());
        let mut lone = LoneThrottling::default();
        assert!((0..50).all(|_| lone.throttled(&gb) == Whose::Keys), "nobody else was asked");
        for _ in 0..IN_A_ROW - 1 {
            lone.answered(&us);
            assert_eq!([lone.throttled(&gb), lone.throttled(&gb)], [Whose::Keys; 2], "these are one");
        }
        lone.answered(&us);
        assert_eq!([lone.throttled(&gb), lone.throttled(&gb)], [Whose::RegionsSinceNow, Whose::Regions]);
        assert_eq!(lone.throttled(&us), Whose::Keys, "it is answered in between");
        lone.answered(&us);
        assert_eq!(lone.throttled(&gb), Whose::Regions);
        lone.answered(&gb);
        assert_eq!(lone.throttled(&gb), Whose::Keys);
    }
}
