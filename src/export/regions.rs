//! Whether a region is at fault, and not one page, the key or the service. Pure; time is a duration since the process began.
//!
//! A refusal is believed after it was repeated, apart in time; a failing region after it failed for as long as a service may. Either
//! is the region's own only once another region has answered a request that was sent afterwards. Where none does, it is the key or the
//! service.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::api::contract::Region;
use crate::plan::event::RegionFault;
use crate::plan::fact::WindowId;

pub(super) mod account;
mod judging;

/// The waits before a refused page is asked again. A page that is refused after all of them is refused for good.
const CONFIRMATIONS: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];
/// Failed attempts in a row, over all pages of a region, after which it is asked one harmless page now and then, and nothing else.
const MOST_FAILURES: u32 = 24;
/// How often that number doubles, each time that the harmless page came and no other since: beside pages that cannot be had, each needs
/// time for all of its attempts.
const MOST_DOUBLED: u32 = 6;
/// Failed attempts in a row without which time alone says nothing against a region.
const FEWEST_FAILURES: u32 = 3;
/// How long a region may fail that failed to the end of the last run: it must not cost every night the whole patience.
const SHORT_PATIENCE: Duration = Duration::from_secs(60);

/// What the answers of one process say of the regions of its run.
#[derive(Debug)]
pub(super) struct Regions {
    patience: Duration,
    /// Regions that failed to the end of the last run and have not answered since.
    unwell_before: BTreeSet<Region>,
    cases: BTreeMap<Region, Case>,
    /// When the last request began that brought a page of a region.
    well: BTreeMap<Region, Duration>,
    /// How often a failing region's harmless page came since another page of it did.
    looked: BTreeMap<Region, u32>,
    /// When the last answer came that was a page, whosever.
    last_page: Option<Duration>,
    is_proving: bool,
    proofs: u32,
    /// What the last proof that did not come met.
    met: Option<RegionFault>,
}

/// What speaks against a region.
#[derive(Clone, Debug)]
struct Case {
    fault: RegionFault,
    /// The first refusal, or the first of the failures in a row.
    since: Duration,
    /// Refusals of the page that is asked again, or looks at a failing region.
    times: u32,
    /// The window whose refused page is asked again.
    asks: Option<WindowId>,
    /// Whether a look at a failing region is on its way.
    is_looking: bool,
    /// Whether another page of the region came after the refusal.
    answers: bool,
    is_aside: bool,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It may pass.
    Suspected,
    /// It was refused while another region's refusal was being confirmed and nothing was answered: it waits for what that shows.
    Waiting,
    /// It was confirmed at this moment.
    Settled(Duration),
}

/// What follows for a page that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnRefusal {
    /// It is asked again after a rest.
    AskAgain(Duration),
    /// Nothing: its region is asked for nothing more until this is settled.
    Leave,
    /// It is this page alone: its walk goes on without it, or its window is tried again after the others.
    Page,
}

/// Which page of a region was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefusedPage {
    /// The first of a walk's question: without it nothing is read.
    First,
    /// A later one of any question, which may be one too many: it is gone on without.
    Later,
    /// A first one that only helps the walks.
    Aid,
}

/// A region's failed attempts in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failing {
    pub(super) attempts: u32,
    pub(super) since: Duration,
    pub(super) why: String,
}

/// How far a region is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Something of it is to be read.
    Open,
    /// It is read.
    Done,
    /// It was given up.
    GivenUp,
}

/// What is to be done about the regions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing yet.
    Nothing,
    /// What is left of a region becomes a gap.
    GiveUp(Region, RegionFault),
    /// A harmless page of another region is asked after a rest, to see whether the service answers at all.
    Prove(Region, Duration),
    /// The harmless page of a failing region is asked after a rest.
    Look(Region, Duration),
    /// The service refuses everything.
    Refused { code: u16, message: String },
    /// The service fails.
    Unwell { why: String },
}

impl Default for Regions {
    fn default() -> Self {
        Self::new(Duration::MAX, BTreeSet::new())
    }
}

impl Regions {
    /// Nothing is known. `patience` is how long a service may fail; `unwell_before` failed to the end of the last run.
    pub(super) fn new(patience: Duration, unwell_before: BTreeSet<Region>) -> Self {
        Self {
            patience,
            unwell_before,
            cases: BTreeMap::new(),
            well: BTreeMap::new(),
            looked: BTreeMap::new(),
            last_page: None,
            is_proving: false,
            proofs: 0,
            met: None,
        }
    }

    /// Regions that failed to the end of this run, or of the one before and have not answered since.
    pub(super) fn unwell(&self) -> &BTreeSet<Region> {
        &self.unwell_before
    }

    /// A page came that was asked for at `began` and answered at `heard`, which may be long before it is durable and told here: of a
    /// window, or a harmless one.
    pub(super) fn came(&mut self, region: &Region, window: Option<WindowId>, (began, heard): (Duration, Duration)) {
        self.last_page = self.last_page.max(Some(heard));
        (self.proofs, self.met) = (0, None);
        self.unwell_before.remove(region);
        let well = self.well.entry(region.clone()).or_default();
        *well = began.max(*well);
        let fails = |case: &Case| matches!(case.fault, RegionFault::Unwell { .. });
        if window.is_some() {
            self.looked.remove(region);
        } else if self.cases.get(region).is_some_and(fails) {
            *self.looked.entry(region.clone()).or_default() += 1;
        }
        let keeps = |of: &Region, case: &mut Case| {
            let is_own = of == region;
            // What was answered before a region was refused says nothing of that, whenever it is durable.
            if case.standing == Standing::Waiting {
                return heard <= case.since;
            }
            match &case.fault {
                _ if !is_own => true,
                RegionFault::Unwell { .. } => false,
                RegionFault::Refused { .. } if case.asks == window && heard > case.since => false,
                RegionFault::Refused { .. } => match case.standing {
                    Standing::Settled(at) => began < at,
                    _ => {
                        case.answers |= began > case.since;
                        case.is_aside &= !case.answers;
                        true
                    }
                },
            }
        };
        self.cases.retain(keeps);
    }

    /// A page of a region was refused.
    pub(super) fn refused(
        &mut self,
        region: &Region,
        (window, refused): (WindowId, RefusedPage),
        fault: RegionFault,
        now: Duration,
    ) -> OnRefusal {
        let may_be_alone = match refused {
            RefusedPage::First => false,
            RefusedPage::Later => !matches!(fault, RegionFault::Refused { code: 401, .. }),
            RefusedPage::Aid => !matches!(fault, RegionFault::Refused { code: 401 | 403, .. }),
        };
        let is_confirming = self.cases.iter().any(|(other, case)| other != region && self.is_unrefuted(case));
        let Some(case) = self.cases.get_mut(region).filter(|case| matches!(case.fault, RegionFault::Refused { .. }))
        else {
            let standing = if is_confirming { Standing::Waiting } else { Standing::Suspected };
            let asks = (!is_confirming).then_some(window);
            let (is_looking, answers) = (false, false);
            let case =
                Case { fault, since: now, times: 1, asks, is_looking, answers, is_aside: is_confirming, standing };
            self.cases.insert(region.clone(), case);
            return if is_confirming { OnRefusal::Leave } else { OnRefusal::AskAgain(CONFIRMATIONS[0]) };
        };
        if case.asks != Some(window) || case.standing != Standing::Suspected {
            case.is_aside = true;
            return OnRefusal::Leave;
        }
        case.fault = fault;
        case.times += 1;
        if let Some(rest) = usize::try_from(case.times - 1).ok().and_then(|place| CONFIRMATIONS.get(place)) {
            return OnRefusal::AskAgain(*rest);
        }
        if case.answers || may_be_alone {
            self.cases.remove(region);
            return OnRefusal::Page;
        }
        (case.is_aside, case.standing) = (true, Standing::Settled(now));
        OnRefusal::Leave
    }

    /// The page that was refused before could not be had for another reason, or is not wanted any more: nothing is known of the
    /// refusal then.
    pub(super) fn failed(&mut self, region: &Region, window: WindowId) {
        let is_its = |case: &Case| case.asks == Some(window) && case.standing == Standing::Suspected;
        if self.cases.get(region).is_some_and(is_its) {
            self.cases.remove(region);
        }
    }

    /// A look at a failing region did not bring its page.
    pub(super) fn looked_in_vain(&mut self, region: &Region) {
        if let Some(case) = self.cases.get_mut(region) {
            case.is_looking = false;
            case.times += 1;
        }
    }

    /// A proof is over; `met` is what came in place of a page.
    pub(super) fn proved(&mut self, met: Option<RegionFault>) {
        self.is_proving = false;
        if met.is_some() {
            self.proofs += 1;
            self.met = met;
        }
    }

    /// Looks at a region's failures while others are, or are not, answered.
    pub(super) fn look(&mut self, regions: &[(Region, Progress)], region: &Region, failing: &Failing, now: Duration) {
        if let Some(case) = self.cases.get_mut(region) {
            if let RegionFault::Unwell { why } = &mut case.fault {
                failing.why.clone_into(why);
            }
            return;
        }
        let others = || regions.iter().filter(|(other, _)| other != region);
        let answered = self.well.iter().any(|(other, began)| other != region && *began >= failing.since);
        let alone = others().all(|(other, progress)| *progress != Progress::Open || self.cases.contains_key(other));
        let is_over = now.saturating_sub(failing.since) >= self.may_fail_for(region);
        let many = failing.attempts >= self.most_failures(region) && (answered || alone);
        if others().next().is_some() && (many || (is_over && failing.attempts >= FEWEST_FAILURES)) {
            let fault = RegionFault::Unwell { why: failing.why.clone() };
            let (standing, since) = (Standing::Suspected, failing.since);
            let (is_looking, answers, is_aside) = (false, false, true);
            let case = Case { fault, since, times: 0, asks: None, is_looking, answers, is_aside, standing };
            self.cases.insert(region.clone(), case);
        }
    }

    /// Whether nothing is asked of a region for now.
    pub(super) fn is_aside(&self, region: &Region) -> bool {
        self.cases.get(region).is_some_and(|case| case.is_aside)
    }

    /// Whether those who wait for their turn to ask for a region come back: all but the one who asks a refused page again.
    pub(super) fn is_called_back(&self, region: &Region) -> bool {
        self.cases.get(region).is_some_and(|case| {
            let asks_again = case.asks.is_some() && case.standing == Standing::Suspected;
            case.is_aside && !asks_again
        })
    }

    /// Whether nobody sends anything but the one who asks a refused page again: nothing has been answered since it was refused.
    pub(super) fn holds(&self) -> bool {
        self.cases.values().any(|case| {
            let asks_again = case.asks.is_some() && case.standing == Standing::Suspected;
            asks_again && !self.is_answered_since(case)
        })
    }

    /// Whether a refusal is being confirmed, or was, and nothing has been answered since.
    fn is_unrefuted(&self, case: &Case) -> bool {
        let refused = matches!(case.fault, RegionFault::Refused { .. });
        refused && case.standing != Standing::Waiting && !self.is_answered_since(case)
    }

    /// Whether the service has answered anybody since a region was refused. What may be the key is not refuted by an answer to what was
    /// sent before: that may have been given before the key was revoked, and have come later.
    fn is_answered_since(&self, case: &Case) -> bool {
        match case.fault {
            RegionFault::Refused { code: 401 | account::SPENT, .. } => {
                self.well.values().any(|began| *began > case.since)
            }
            _ => self.last_page.is_some_and(|heard| heard > case.since),
        }
    }

    /// A refusal that nothing has refuted yet, confirmed or not.
    pub(super) fn refusal(&self) -> Option<(u16, String)> {
        self.cases.values().find_map(|case| match &case.fault {
            RegionFault::Refused { code, message } => Some((*code, message.clone())),
            RegionFault::Unwell { .. } => None,
        })
    }

    /// Whether what is not read is only what fails, while there are others to ask: then silence says nothing of the service yet.
    pub(super) fn explain_silence(&self, regions: &[(Region, Progress)], fails: impl Fn(&Region) -> bool) -> bool {
        let open = || regions.iter().filter(|(_, progress)| *progress == Progress::Open);
        let is_known = |region: &Region| self.cases.contains_key(region) || fails(region);
        open().all(|(region, _)| is_known(region)) && regions.iter().any(|(_, progress)| *progress == Progress::Done)
    }

    /// What follows, once. A [`Next::Prove`] or [`Next::Look`] is to be carried out. `is_on_way` says whether anybody is on the way
    /// for a region.
    pub(super) fn next(
        &mut self,
        regions: &[(Region, Progress)],
        is_on_way: impl Fn(&Region) -> bool,
        now: Duration,
    ) -> Next {
        self.settle_unwell(&is_on_way, now);
        if let Some((region, fault)) = self.given_up(&is_on_way) {
            if matches!(fault, RegionFault::Unwell { .. }) {
                self.unwell_before.insert(region.clone());
            }
            self.cases.remove(&region);
            // What waited for this is asked again, and weighed by itself.
            if !self.cases.values().any(|case| self.is_unrefuted(case)) {
                self.cases.retain(|_, case| case.standing != Standing::Waiting);
            }
            return Next::GiveUp(region, fault);
        }
        let is_open = |(region, case): (&Region, &Case)| match case.standing {
            Standing::Settled(at) => !self.another_answered(region, at),
            _ => false,
        };
        if self.cases.iter().any(is_open) {
            let next = self.judge(regions, &is_on_way);
            if next != Next::Nothing {
                return next;
            }
        }
        let known = |region: &Region| self.cases.contains_key(region);
        let alone = regions.iter().all(|(region, progress)| *progress != Progress::Open || known(region));
        self.look_again(&is_on_way, alone && !self.is_proving, now).unwrap_or(Next::Nothing)
    }

    fn most_failures(&self, region: &Region) -> u32 {
        let looked = self.looked.get(region).copied().unwrap_or(0);
        MOST_FAILURES << looked.min(MOST_DOUBLED)
    }

    fn may_fail_for(&self, region: &Region) -> Duration {
        if self.unwell_before.contains(region) { self.patience.min(SHORT_PATIENCE) } else { self.patience }
    }
}

/// Whether a page beyond a walk's first that is refused like this may only lie beyond the last one that is served.
pub(super) fn may_lie_beyond_the_end(code: u16) -> bool {
    matches!(code, 400 | 404 | 410 | 416 | 422)
}

#[cfg(test)]
mod tests;
