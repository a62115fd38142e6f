//! Whether it is one region that is throttled and not the key: whatever is asked of it comes back as 429, while others are answered in
//! between. Then it is that region's trouble, and holds nobody else. Pure; time is a duration since the process began.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::api::contract::Region;
use crate::fetch::holds::allowed;

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
    /// Until when the service asked to wait with it, where they are the region's own trouble.
    held_until: Duration,
}

impl LoneThrottling {
    /// A page of the region came.
    pub(super) fn answered(&mut self, region: &Region) {
        self.rows.remove(region);
        self.rows.values_mut().for_each(|row| row.is_other_answered = true);
    }

    /// An attempt was throttled, and asked to wait so long.
    pub(super) fn throttled(&mut self, region: &Region, wait: Option<Duration>, now: Duration) -> Whose {
        let row = self.rows.entry(region.clone()).or_default();
        let is_next = std::mem::take(&mut row.is_other_answered);
        row.times += u32::from(is_next);
        if row.times < IN_A_ROW {
            return Whose::Keys;
        }
        row.held_until = row.held_until.max(now + allowed(wait.unwrap_or_default()));
        if row.times == IN_A_ROW && is_next { Whose::RegionsSinceNow } else { Whose::Regions }
    }

    /// Whether nothing is asked of the region for now.
    pub(super) fn holds(&self, region: &Region, now: Duration) -> bool {
        self.rows.get(region).is_some_and(|row| now < row.held_until)
    }

    /// When the first region may be asked again after `now` that may not be at `now`.
    pub(super) fn wake_at(&self, now: Duration) -> Option<Duration> {
        self.rows.values().map(|row| row.held_until).filter(|until| *until > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_throttled_alone_where_others_are_answered_in_between() {
        let (us, gb): (Region, Region) = ("US".parse().unwrap(), "GB".parse().unwrap());
        let mut lone = LoneThrottling::default();
        let throttled = |lone: &mut LoneThrottling, region: &Region| lone.throttled(region, None, Duration::ZERO);
        assert!((0..50).all(|_| throttled(&mut lone, &gb) == Whose::Keys), "nobody else was asked");
        for _ in 0..IN_A_ROW - 1 {
            lone.answered(&us);
            assert_eq!([throttled(&mut lone, &gb), throttled(&mut lone, &gb)], [Whose::Keys; 2], "these are one");
        }
        lone.answered(&us);
        assert_eq!([throttled(&mut lone, &gb), throttled(&mut lone, &gb)], [Whose::RegionsSinceNow, Whose::Regions]);
        assert_eq!(throttled(&mut lone, &us), Whose::Keys, "it is answered in between");
        lone.answered(&us);
        assert_eq!(throttled(&mut lone, &gb), Whose::Regions);
        lone.answered(&gb);
        assert_eq!(throttled(&mut lone, &gb), Whose::Keys);
    }

    #[test]
    fn a_wait_that_is_asked_for_holds_the_region_alone() {
        let (us, gb): (Region, Region) = ("US".parse().unwrap(), "GB".parse().unwrap());
        let (now, wait) = (Duration::from_secs(7), Duration::from_secs(30));
        let mut lone = LoneThrottling::default();
        lone.throttled(&gb, Some(wait), now);
        for _ in 0..IN_A_ROW {
            assert_eq!((lone.holds(&gb, now), lone.wake_at(now)), (false, None), "it holds everybody so far");
            lone.answered(&us);
            lone.throttled(&gb, Some(wait), now);
        }
        assert_eq!((lone.holds(&gb, now), lone.holds(&us, now), lone.wake_at(now)), (true, false, Some(now + wait)));
        assert_eq!((lone.holds(&gb, now + wait), lone.wake_at(now + wait)), (false, None));
        lone.answered(&gb);
        assert!(!lone.holds(&gb, now), "it is answered");
    }
}
