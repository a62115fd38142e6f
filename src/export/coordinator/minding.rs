//! Carrying out what is decided about regions: asking a refused page again, harmless pages, and giving a region up.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;

use super::{Loop, Returned};
use crate::api::contract::{PageQuery, Region, TimeOrder};
use crate::export::buyer::{Asks, Visited};
use crate::export::clock::Drought;
use crate::export::regions::{Failing, Next, OnRefusal, Progress};
use crate::export::{Ending, ExportError};
use crate::plan::event::RegionFault;
use crate::plan::planner::Task;
use crate::units::PageNumber;

/// Why a harmless page is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// To tell a page that cannot be had from a service that is unwell.
    Blame,
    /// To see whether a failing region is well again.
    Look,
    /// To see whether the service answers at all.
    Proof,
}

/// What ends the waiting of errands, region by region.
pub(super) struct Stops(BTreeMap<Region, watch::Sender<bool>>);

impl Stops {
    pub(super) fn new(regions: &[Region]) -> Self {
        Self(regions.iter().map(|region| (region.clone(), watch::Sender::new(false))).collect())
    }

    pub(super) fn all(&self) {
        self.0.values().for_each(|stop| {
            stop.send_replace(true);
        });
    }

    pub(super) fn of(&self, region: &Region) -> Option<watch::Receiver<bool>> {
        self.0.get(region).map(watch::Sender::subscribe)
    }

    fn set(&self, region: &Region, is_over: bool) {
        if let Some(stop) = self.0.get(region) {
            stop.send_if_modified(|before| std::mem::replace(before, is_over) != is_over);
        }
    }
}

impl Loop<'_> {
    pub(super) async fn weigh_refusal(
        &mut self,
        task: Task,
        is_aid: bool,
        (code, message): (u16, String),
    ) -> Result<(), ExportError> {
        let region = task.address.region.clone();
        let fault = RegionFault::Refused { code, message };
        match self.regions.refused(&region, (task.window, is_aid), fault, self.began.elapsed()) {
            OnRefusal::AskAgain(rest) if self.ending.is_none() => self.send(Box::new(task), Asks::Confirming(rest)),
            OnRefusal::AskAgain(_) | OnRefusal::Leave => {}
            OnRefusal::Page => {
                tracing::warn!(code, "a page is refused; its window is tried again after the others");
                let events = self.planner.park(task.window);
                self.record(events).await?;
            }
        }
        Ok(())
    }

    /// Does what is due about the regions.
    pub(super) async fn mind_regions(&mut self) -> Result<(), ExportError> {
        if self.ending.is_some() || self.broken.is_some() {
            return Ok(());
        }
        self.sync_regions();
        // Each round gives a region up, or is the last.
        for _ in 0..=self.planner.regions().len() {
            let (standing, now) = (self.standing(), self.began.elapsed());
            match self.regions.next(&standing, |region| self.planner.is_on_way(region), now) {
                Next::Nothing => break,
                Next::GiveUp(region, fault) => self.give_up(&region, &fault).await?,
                Next::Prove(region, rest) => self.visit(region, Reason::Proof, rest),
                Next::Look(region, rest) => self.visit(region, Reason::Look, rest),
                Next::Refused { code, message } => self.end(Ending::Refused { code, message }),
                Next::Unwell { why } => self.end(Ending::Unwell { why }),
            }
            if self.ending.is_some() {
                break;
            }
        }
        Ok(())
    }

    async fn give_up(&mut self, region: &Region, fault: &RegionFault) -> Result<(), ExportError> {
        tracing::warn!(%region, "{fault}; what is left of it is listed as a gap");
        let events = self.planner.give_up(region, fault);
        self.record(events).await?;
        if self.planner.is_done() {
            // Only harmless pages can be on their way, and nobody needs them any more.
            self.parts.stop.send_replace(true);
        }
        Ok(())
    }

    /// Makes the plan and the errands follow what is thought of the regions.
    pub(super) fn sync_regions(&mut self) {
        for region in &self.parts.order.regions {
            let is_aside = self.regions.is_aside(region);
            if is_aside {
                self.planner.set_aside(region);
            } else {
                self.planner.take_up(region);
            }
            if self.ending.is_none() && self.broken.is_none() {
                self.stops.set(region, is_aside);
            }
        }
        self.parts.buyer.floor.hold(self.regions.holds());
    }

    /// Looks at what fails, whether or not anything comes back.
    pub(super) async fn look_at_regions(&mut self) -> Result<(), ExportError> {
        let (standing, now) = (self.standing(), self.began.elapsed());
        for (region, _) in standing.iter().filter(|(_, progress)| *progress == Progress::Open) {
            if let Some(failing) = self.failing(region) {
                self.regions.look(&standing, region, &failing, now);
            }
        }
        self.mind_regions().await
    }

    /// Whether no page comes because what is left are failing regions, and others are still to be asked whether the service is well.
    pub(super) fn silence_is_explained(&self) -> bool {
        self.regions.explain_silence(&self.standing(), |region| self.failing(region).is_some())
    }

    fn failing(&self, region: &Region) -> Option<Failing> {
        let found = self.parts.buyer.floor.failures(region)?;
        let since = found.since.saturating_duration_since(self.began);
        Some(Failing { attempts: found.attempts, since, why: found.why })
    }

    fn standing(&self) -> Vec<(Region, Progress)> {
        let gaps = self.planner.gaps();
        let of = |region: &Region, is_done: bool| match is_done {
            false => Progress::Open,
            true if gaps.iter().any(|gap| gap.region == *region && gap.fault.is_some()) => Progress::GivenUp,
            true => Progress::Done,
        };
        self.planner.regions().iter().map(|plan| (plan.region.clone(), of(&plan.region, plan.is_done()))).collect()
    }

    /// Asks a harmless page: the region's newest, without a range.
    pub(super) fn visit(&mut self, region: Region, reason: Reason, rest: Duration) {
        let query = PageQuery {
            region: region.clone(),
            filters: self.parts.order.filters.clone(),
            min_create_time: None,
            max_create_time: None,
            order: TimeOrder::NewestFirst,
            page: PageNumber::FIRST,
        };
        let buyer = self.parts.buyer.clone();
        // What it shows, it shows of the moment after the rest.
        let began = self.began.elapsed() + rest;
        self.errands.spawn(async move {
            let visited = buyer.visit(&query, rest).await;
            Returned::Visit { region, reason, began, visited }
        });
    }

    pub(super) fn take_visit(&mut self, region: &Region, reason: Reason, began: Duration, visited: Visited) {
        let now = self.began.elapsed();
        let came = visited == Visited::Page;
        if came {
            self.regions.came(region, None, (began, now));
            self.drought = if reason == Reason::Proof { Drought::none() } else { self.drought };
        }
        match reason {
            Reason::Blame => self.blame.visited(came.then_some(now)),
            Reason::Look if !came => self.regions.looked_in_vain(region),
            Reason::Look => {}
            Reason::Proof => {
                let met = if let Visited::Met(fault) = &visited { Some(fault.clone()) } else { None };
                self.regions.proved(met);
            }
        }
        if let Visited::Spent(ending) = visited {
            self.end(ending);
        }
    }
}
