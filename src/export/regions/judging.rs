//! What follows from what speaks against regions: which is given up, who is asked to tell a region from the key or the service, and how a
//! run ends where nobody can.

use std::collections::BTreeMap;
use std::time::Duration;

use super::account::SPENT;
use super::{Case, Next, Progress, Regions, Standing};
use crate::api::contract::Region;
use crate::plan::event::RegionFault;

/// How often the harmless page of a failing region is asked.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How often other regions are asked whether the service answers at all.
pub(super) const MOST_PROOFS: u32 = 4;

impl Regions {
    /// Where nobody can tell a refused region from a refused key, or a failing one from the service: who is asked, or how it ends.
    pub(super) fn judge(&mut self, regions: &[(Region, Progress)], is_on_way: impl Fn(&Region) -> bool) -> Next {
        let refused = |wanted: Option<u16>| {
            let codes = self.cases.values().filter_map(|case| match &case.fault {
                RegionFault::Refused { code, message } => Some((*code, message.clone(), case.standing)),
                RegionFault::Unwell { .. } => None,
            });
            codes.filter(move |(code, ..)| wanted.is_none_or(|wanted| wanted == *code)).collect::<Vec<_>>()
        };
        let ends = |found: &[(u16, String, Standing)]| {
            let settled = found.iter().find(|(.., standing)| matches!(standing, Standing::Settled(_)));
            settled.map(|(code, message, _)| Next::Refused { code: *code, message: message.clone() })
        };
        let others: Vec<_> = regions.iter().filter(|(region, _)| !self.cases.contains_key(region)).collect();
        // The key that two regions are refused for is no region's matter, where no other has answered it or may do so yet.
        let of_key = refused(Some(401));
        let may_answer = |(region, progress): &(Region, Progress)| {
            *progress == Progress::Done || self.well.contains_key(region) || is_on_way(region)
        };
        if of_key.len() > 1
            && !others.iter().any(|other| may_answer(other))
            && let Some(end) = ends(&of_key)
        {
            return end;
        }
        if self.is_spent_for_all()
            && let Some(end) = ends(&refused(Some(SPENT)))
        {
            return end;
        }
        if others.iter().any(|(_, progress)| *progress == Progress::Open) {
            return Next::Nothing;
        }
        let done: Vec<_> = others.iter().filter(|(_, progress)| *progress == Progress::Done).collect();
        let place = usize::try_from(self.proofs).unwrap_or(0);
        let asked = (!done.is_empty()).then(|| done.get(place % done.len())).flatten();
        match (asked, self.proofs < MOST_PROOFS, &self.met) {
            (Some(_), true, _) if self.is_proving => Next::Nothing,
            (Some((region, _)), true, _) => {
                self.is_proving = true;
                let rest = if place == 0 { Duration::ZERO } else { Duration::from_secs(1 << place.min(5)) };
                Next::Prove((*region).clone(), rest)
            }
            (_, _, Some(RegionFault::Unwell { why })) => Next::Unwell { why: why.clone() },
            (_, _, Some(RegionFault::Refused { code, message })) => {
                ends(&refused(None)).unwrap_or(Next::Refused { code: *code, message: message.clone() })
            }
            (_, _, None) => {
                let found = refused(None);
                let is_open = |(.., standing): &(u16, String, Standing)| *standing == Standing::Suspected;
                let all = found.len() == self.cases.len() && !found.iter().any(is_open);
                if all { ends(&found).unwrap_or(Next::Nothing) } else { Next::Nothing }
            }
        }
    }

    /// No page came for as long as a service may fail: what is open is at fault, if a region that is done still answers. Whether there is
    /// something to find out by that.
    pub(in crate::export) fn are_silent(&mut self, regions: &[(Region, Progress)], why: &str, now: Duration) -> bool {
        if !regions.iter().any(|(_, progress)| *progress == Progress::Done) {
            return false;
        }
        let known = self.cases.len();
        for (region, _) in regions.iter().filter(|(_, progress)| *progress == Progress::Open) {
            self.cases.entry(region.clone()).or_insert_with(|| Case {
                fault: RegionFault::Unwell { why: why.to_owned() },
                since: now,
                times: 1,
                asks: None,
                is_looking: false,
                answers: false,
                is_aside: true,
                standing: Standing::Settled(now),
            });
        }
        self.cases.len() > known
    }

    pub(super) fn settle_unwell(&mut self, is_on_way: impl Fn(&Region) -> bool, now: Duration) {
        let regions: Vec<Region> = self.cases.keys().cloned().collect();
        for region in regions {
            let patience = self.may_fail_for(&region);
            let Some(case) = self.cases.get_mut(&region) else { continue };
            let is_unwell = matches!(case.fault, RegionFault::Unwell { .. }) && case.standing == Standing::Suspected;
            let is_over = case.times > 0 && now.saturating_sub(case.since) >= patience;
            if is_unwell && is_over && !is_on_way(&region) {
                case.standing = Standing::Settled(now);
            }
        }
    }

    pub(super) fn given_up(&self, is_on_way: impl Fn(&Region) -> bool) -> Option<(Region, RegionFault)> {
        self.cases.iter().find_map(|(region, case)| {
            let Standing::Settled(at) = case.standing else { return None };
            (self.another_answered(region, at) && !is_on_way(region)).then(|| (region.clone(), case.fault.clone()))
        })
    }

    /// Whether another region has answered what was sent since then.
    pub(super) fn another_answered(&self, region: &Region, at: Duration) -> bool {
        self.well.iter().any(|(other, began)| other != region && *began >= at)
    }

    /// A region that was confirmed to fail is looked at only where nobody else is left to be asked.
    pub(super) fn look_again(
        &mut self,
        is_on_way: impl Fn(&Region) -> bool,
        alone: bool,
        now: Duration,
    ) -> Option<Next> {
        let patience: BTreeMap<Region, Duration> =
            self.cases.keys().map(|region| (region.clone(), self.may_fail_for(region))).collect();
        let wants = |case: &Case| alone || case.standing == Standing::Suspected;
        let unwell = |case: &Case| matches!(case.fault, RegionFault::Unwell { .. }) && wants(case);
        let mut unwell = self.cases.iter_mut().filter(|(_, case)| unwell(case));
        let (region, case) = unwell.find(|(region, case)| !case.is_looking && !is_on_way(region))?;
        case.is_looking = true;
        let left = patience.get(region).copied().unwrap_or_default().saturating_sub(now.saturating_sub(case.since));
        let is_settled = case.standing != Standing::Suspected;
        let rest = if case.times == 0 { Duration::ZERO } else { LOOK_EVERY };
        let rest = if is_settled { LOOK_EVERY } else { rest.min(left) };
        Some(Next::Look(region.clone(), rest))
    }
}
