//! How an unfinished run stands, as its process says it every few seconds: for whoever looks on from outside, so that a look costs
//! the same however many pages were bought. Nothing of the run depends on it. Pure.

use serde::{Deserialize, Serialize};

use crate::plan::planner::{Listed, Planner};
use crate::plan::region::RegionPlan;
use crate::progress::View;
use crate::sink::account::{Lack, Share};
use crate::units::{EpochSeconds, RowCount, TimeRange};

/// Under which name the journal keeps it.
pub const STANDING: &str = "standing";
/// Gaps, and likewise unproven ranges, that are told; the manifest has all of them at the end.
const MOST_LISTED: usize = 1_000;

/// How a run stood at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The run.
    pub run: String,
    /// When this was said.
    pub at: EpochSeconds,
    /// Pages a second over the last minute; none before it is measured.
    pub pages_per_second: Option<f64>,
    /// Requests a second that are admitted: learned or set.
    pub permitted_per_second: Option<f64>,
    /// How long the rest may take, seconds; none before it is measured.
    pub remaining_s: Option<u64>,
    /// Pages that wait to be published.
    pub held_pages: u64,
    /// Gaps and unproven ranges beyond those that are told.
    pub unlisted: u64,
    /// The regions of the run.
    pub regions: Vec<RegionStanding>,
}

/// One region of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionStanding {
    /// What the run says of the region.
    pub share: Share,
    /// The seconds that it has read, in order; gaps are not among them.
    pub read: Vec<TimeRange>,
    /// The windows that it is reading.
    pub walks: Vec<Walking>,
}

/// A window that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walking {
    /// The window.
    #[serde(flatten)]
    pub window: TimeRange,
    /// The first second of it that is not settled.
    pub position: EpochSeconds,
}

impl Standing {
    /// How the run of this plan stands.
    pub(super) fn of(run: &str, at: EpochSeconds, planner: &Planner, view: &View, held_pages: u64) -> Self {
        let (gaps, unproven) = (planner.lacking(), planner.unproven());
        let unlisted = gaps.len().saturating_sub(MOST_LISTED) + unproven.len().saturating_sub(MOST_LISTED);
        let told = (first(&gaps), first(unproven));
        Self {
            run: run.to_owned(),
            at,
            pages_per_second: view.pages_per_second,
            permitted_per_second: view.permitted_per_second,
            remaining_s: view.remaining.map(|left| left.as_secs()),
            held_pages,
            unlisted: unlisted as u64,
            regions: planner.regions().iter().map(|plan| region(planner, plan, told)).collect(),
        }
    }
}

fn first(listed: &[Listed]) -> &[Listed] {
    listed.get(..MOST_LISTED).unwrap_or(listed)
}

fn region(planner: &Planner, plan: &RegionPlan, (gaps, unproven): (&[Listed], &[Listed])) -> RegionStanding {
    let of_region = |listed: &[Listed]| -> Vec<Lack> {
        let of_region = listed.iter().filter(|one| one.region == plan.region).cloned();
        of_region
            .map(|Listed { region, range, why, fault, lacks, .. }| Lack { region, range, why, fault, lacks })
            .collect()
    };
    let walking = planner.walks().filter(|(region, window, _)| **region == plan.region && !window.is_empty());
    let walks: Vec<Walking> = walking
        .map(|(_, window, position)| Walking { window, position: position.max(window.start).min(window.end) })
        .collect();
    let mut done = planner.done(plan);
    done.extend(walks.iter().map(|walk| TimeRange::new(walk.window.start, walk.position)));
    let mut not_read = planner.gaps_of(&plan.region);
    not_read.extend(&plan.kept);
    not_read.extend(planner.left_of_region(&plan.region));
    RegionStanding {
        share: Share {
            region: plan.region.clone(),
            range: plan.range,
            read: planner.covered(plan),
            gaps: of_region(gaps),
            unproven: of_region(unproven),
            rejected: RowCount::ZERO,
        },
        read: TimeRange::merged(&done).into_iter().flat_map(|range| range.without(&not_read)).collect(),
        walks,
    }
}
