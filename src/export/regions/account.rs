//! Whether a key that is said to be spent is, or only one region cannot be had for it. Pure.
//!
//! What is bought is one for all regions. So where another region answers what is asked afterwards, it is the region's own refusal; where none
//! does, or one says the same that has answered before, it is the key's.

use std::time::Duration;

use super::{Case, Regions, Standing};
use crate::api::contract::Region;
use crate::plan::event::RegionFault;

/// The status of an account with nothing left (documented), by which a fault of it is known.
pub(in crate::export) const SPENT: u16 = 402;

impl Regions {
    /// An answer for a region said that the key is spent, and was confirmed.
    pub(in crate::export) fn spent(&mut self, region: &Region, message: String, now: Duration) {
        if self.cases.get(region).is_some_and(is_of_account) {
            return;
        }
        let standing = if self.doubts_the_key() { Standing::Waiting } else { Standing::Settled(now) };
        let fault = RegionFault::Refused { code: SPENT, message };
        let (is_looking, answers, is_aside) = (false, false, true);
        let case = Case { fault, since: now, times: 1, asks: None, is_looking, answers, is_aside, standing };
        self.cases.insert(region.clone(), case);
    }

    /// Whether it is still to be seen if the key is spent: one request at a time shows that.
    pub(in crate::export) fn doubts_the_key(&self) -> bool {
        let is_open = |case: &Case| matches!(case.standing, Standing::Settled(_)) && !self.is_answered_since(case);
        self.cases.values().any(|case| is_of_account(case) && is_open(case))
    }

    /// Whether a region that has answered before says what another one said: then nobody else is asked.
    pub(super) fn is_spent_for_all(&self) -> bool {
        let waits = |case: &Case| is_of_account(case) && case.standing == Standing::Waiting;
        self.cases.iter().any(|(region, case)| waits(case) && self.well.contains_key(region))
    }
}

fn is_of_account(case: &Case) -> bool {
    matches!(case.fault, RegionFault::Refused { code: SPENT, .. })
}
