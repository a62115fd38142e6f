//! What a run says of each region: what it has read, and what of that is missing or not proven.

use std::collections::BTreeMap;

use super::Delivery;
use crate::api::contract::Region;
use crate::export::ExportError;
use crate::journal::record::{PartRecord, PartState};
use crate::plan::planner::{Listed, Planner};
use crate::plan::region::RegionPlan;
use crate::sink::account::{Lack, Share};
use crate::sink::history::{Reading, Values};
use crate::sink::manifest::Manifest;
use crate::sink::reading::each_second;
use crate::units::{DAY_SECONDS, EpochSeconds, RowCount};

impl Delivery<'_> {
    /// What the run has read of each region, as later runs are held against it.
    pub(super) async fn readings(&self, planner: &Planner, shares: &[Share]) -> Result<Vec<Reading>, ExportError> {
        let (began_at, own) = (self.publisher.began_at, self.publisher.own_parts()?);
        let is_recent = began_at.since(self.range.end) < DAY_SECONDS / 24;
        let mut readings = Vec::new();
        for share in shares {
            let newest =
                planner.regions().iter().find(|plan| plan.region == share.region).and_then(|plan| plan.extent.newest);
            let mut reading = Reading {
                region: share.region.clone(),
                at: began_at,
                days: Reading::whole_days(&share.read),
                end: is_recent.then_some(self.range.end),
                newest,
                values: Values::default(),
            };
            let own: Vec<&PartRecord> =
                own.iter().filter(|part| part.region == share.region && !part.carried).collect();
            reading.values = self.publisher.output.values_of(&own).await?;
            for part in own {
                for (day, rows) in self.rows_by_day(part).await? {
                    reading.days.entry(day).and_modify(|sum| *sum += rows);
                }
            }
            readings.push(reading);
        }
        Ok(readings)
    }

    /// The rows of a part by their days. A part within one day is not read: of a bucket it would be copied for that.
    async fn rows_by_day(&self, part: &PartRecord) -> Result<BTreeMap<EpochSeconds, u64>, ExportError> {
        let day = part.range.start.day_start();
        if part.range.end <= day.shifted(DAY_SECONDS) {
            return Ok([(day, part.rows.get())].into_iter().collect());
        }
        let (part, file) = (part.clone(), self.publisher.output.local(part).await?);
        let counted = tokio::task::spawn_blocking(move || {
            let mut days = BTreeMap::new();
            each_second(&part, &file, |second| *days.entry(second.day_start()).or_default() += 1).map(|()| days)
        });
        Ok(counted.await??)
    }

    /// What the run says of each region once all of it is shown.
    pub(super) fn shares(&self, planner: &Planner) -> Result<Vec<Share>, ExportError> {
        let rejected = self.rejected()?;
        let lacking = planner.lacking();
        let share = |plan: &RegionPlan| Share {
            region: plan.region.clone(),
            range: plan.range,
            read: planner.covered(plan),
            gaps: lacks_of(&lacking, &plan.region),
            unproven: lacks_of(planner.unproven(), &plan.region),
            rejected: RowCount::new(rejected.get(&plan.region).copied().unwrap_or(0)),
        };
        Ok(planner.regions().iter().map(share).collect())
    }

    /// The same while what takes the place of something is not shown yet.
    pub(super) async fn shares_so_far(&self, planner: &Planner) -> Result<Vec<Share>, ExportError> {
        let held = self.publisher.own_parts_that(|state| state == PartState::Held)?;
        let mut shares = self.shares(planner)?;
        for share in &mut shares {
            let mut hidden = self.publisher.occupied(&share.region).await?;
            hidden.extend(held.iter().filter(|part| part.region == share.region).map(|part| part.range));
            share.read = share.read.iter().flat_map(|range| range.without(&hidden)).collect();
            let is_shown = |lack: &Lack| share.read.iter().any(|range| range.overlaps(lack.range));
            share.unproven.retain(is_shown);
        }
        Ok(shares)
    }

    /// What a closed run has left is a gap, unless a former run had read it.
    pub(super) async fn tell_left(&self, planner: &Planner, shares: &mut [Share]) {
        for share in shares {
            let of_others =
                |manifest: &Manifest| manifest.account.coverage.of_others(&share.region, &self.publisher.run);
            let known = self.publisher.commits.read(of_others).await;
            let left = planner.left_of_region(&share.region);
            let why = format!("run {} was closed before it had read this", self.publisher.run);
            let lack = |range| Lack { region: share.region.clone(), range, why: why.clone(), fault: None, lacks: None };
            share.gaps.extend(left.iter().flat_map(|range| range.without(&known)).map(lack));
        }
    }
}

fn lacks_of(listed: &[Listed], region: &Region) -> Vec<Lack> {
    let of_region = listed.iter().filter(|one| one.region == *region).cloned();
    of_region.map(|Listed { region, range, why, fault, lacks, .. }| Lack { region, range, why, fault, lacks }).collect()
}
