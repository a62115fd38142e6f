//! The plan as the journal has it, and what a start decides before it asks anything.

use std::collections::BTreeSet;

use super::Session;
use crate::api::contract::Region;
use crate::export::{ExportError, event_json};
use crate::journal::record::{Replayed, Upkeep};
use crate::plan::event::PlanEvent;
use crate::plan::planner::{Backlog, PlanContext, Planner};

/// Windows that are begun anew at a start because what they showed contradicts the contract.
const MOST_CONTRADICTED: usize = 1_000;
/// Where the regions are kept of which this output has ever held a row: a list of codes.
const KNOWN_REGIONS: &str = "known_regions";

impl Session<'_> {
    /// Regions of which this output has ever held a row. Their parts may be gone since, so the list is kept.
    async fn known_regions(&self) -> Result<BTreeSet<Region>, ExportError> {
        let before = self.listed(KNOWN_REGIONS)?;
        let held = self.journal.parts()?.into_iter().map(|(part, _)| part).filter(|part| part.rows.get() > 0);
        let known: BTreeSet<Region> = before.iter().cloned().chain(held.map(|part| part.region)).collect();
        if known != before {
            self.journal.learn(KNOWN_REGIONS, &serde_json::to_string(&known)?).await?;
        }
        Ok(known)
    }

    /// The plan as the journal's pages and decisions make it; opens the run where nothing is decided yet.
    pub(super) async fn replayed_plan(&self) -> Result<Planner, ExportError> {
        let begun = &self.run.begun;
        let planner = Planner::reading(&begun.reads, self.request.filters.clone(), begun.range);
        let mut planner = planner.verified(self.request.verified);
        for entry in self.journal.replay()? {
            match entry {
                Replayed::Event { json, .. } => planner.apply_event(&serde_json::from_str(&json)?),
                Replayed::Page { fact, .. } => planner.apply_page(&fact),
            }
        }
        // A part may have been published just before the crash that kept its slice from being recorded.
        for part in self.own_parts()? {
            let is_next = planner.regions().iter().any(|plan| {
                let published_until = plan.past_kept(plan.published_until);
                plan.region == part.region && part.range.start <= published_until && published_until < part.range.end
            });
            if !part.carried && is_next {
                let event = PlanEvent::SlicePublished { region: part.region, until: part.range.end };
                self.journal.commit_events(vec![event_json(&event)?], Upkeep::default()).await?;
                planner.apply_event(&event);
            }
        }
        let mut opening = planner.opening();
        if !opening.is_empty() {
            let known = self.known_regions().await?;
            let known = self.request.regions.iter().filter(|region| known.contains(region));
            opening.extend(known.map(|region| PlanEvent::RegionKnown { region: region.clone() }));
        }
        if !opening.is_empty() && self.run.outcome.is_none() {
            let texts = opening.iter().map(event_json).collect::<Result<_, _>>()?;
            self.journal.commit_events(texts, Upkeep::default()).await?;
            opening.iter().for_each(|event| planner.apply_event(event));
        }
        planner.forget_unplaced();
        if self.run.outcome.is_none() {
            self.ask_contradictions_anew(&mut planner).await?;
        }
        Ok(planner)
    }

    /// What ended a former process as a contradiction is asked anew, so that stored pages never stop a run for ever.
    async fn ask_contradictions_anew(&self, planner: &mut Planner) -> Result<(), ExportError> {
        let context = PlanContext {
            now: self.request.now,
            idle_workers: 1,
            tuning: self.request.tuning,
            backlog: Backlog::Small,
            is_publishing: false,
        };
        for _ in 0..MOST_CONTRADICTED {
            let Some(event) = planner.contradicted(&context) else { return Ok(()) };
            self.journal.commit_events(vec![event_json(&event)?], Upkeep::default()).await?;
            planner.apply_event(&event);
        }
        Ok(())
    }
}
