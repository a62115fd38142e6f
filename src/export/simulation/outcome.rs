//! What a run came to, and what of the truth it misses.

use std::collections::BTreeMap;

use super::behaviour::Short;
use super::checker::{Checker, Uncertified};
use super::journal::Delivered;
use super::model::{Service, Shown};
use super::watch::Watch;
use crate::api::contract::Region;
use crate::plan::planner::{Listed, Planner};
use crate::units::{EpochSeconds, TimeRange};

/// What came of it.
#[derive(Debug)]
pub(super) struct SimulationOutcome {
    pub(super) planner: Planner,
    pub(super) service: Service,
    pub(super) stopped: Option<String>,
    /// Attempts, retries among them, but for those that were answered with 429.
    pub(super) requests: u64,
    /// Durable pages.
    pub(super) pages: u64,
    /// Requests at the end that one worker sent while no other had anything to do.
    pub(super) alone: u64,
    pub(super) splits: u64,
    /// How often a window was parked because its page could not be had.
    pub(super) parked: u64,
    pub(super) scans: BTreeMap<String, u64>,
    /// Starts that ended before the run was done.
    pub(super) stops: u32,
    /// Starts that ended because the service gave nothing, and whether the last one did.
    pub(super) unwell: u32,
    pub(super) is_unwell: bool,
    /// Virtual seconds from the first start to the end.
    pub(super) seconds: f64,
    pub(super) watch: Watch,
    pub(super) delivered: Delivered,
    pub(super) checker: Option<Checker>,
}

impl SimulationOutcome {
    /// Before anything happened.
    pub(super) fn new(planner: Planner, service: Service) -> Self {
        Self {
            planner,
            service,
            stopped: None,
            requests: 0,
            pages: 0,
            alone: 0,
            splits: 0,
            parked: 0,
            scans: BTreeMap::new(),
            stops: 0,
            unwell: 0,
            is_unwell: false,
            seconds: 0.0,
            watch: Watch::default(),
            delivered: Delivered::new(),
            checker: None,
        }
    }

    /// Whether it stopped because a service that holds no row of the range with a usable id and time shows none.
    pub(super) fn has_no_usable_row(&self, range: TimeRange) -> bool {
        let is_said = self.stopped.as_ref().is_some_and(|why| why.contains("holds no row with a `video_id`"));
        let rows = self.service.unchanged().filter(|(_, row)| range.contains(EpochSeconds::new(row.second)));
        is_said && rows.map(|(_, row)| row.shown).all(|shown| shown == Shown::Garbage)
    }

    /// What could not be read or proven.
    pub(super) fn listed(&self) -> impl Iterator<Item = &Listed> {
        self.planner.gaps().iter().chain(self.planner.unproven())
    }

    pub(super) fn listed_seconds(&self) -> i64 {
        self.listed().map(|listed| listed.range.seconds()).sum()
    }

    /// What is done, not listed and not certified by the pages that came.
    pub(super) fn uncertified(&self) -> Vec<Uncertified> {
        let checker = self.checker.iter();
        checker.flat_map(|checker| checker.uncertified(&self.planner)).collect()
    }

    /// Rows of the truth that are neither delivered nor listed.
    pub(super) fn missing(&self, range: TimeRange) -> Vec<(Region, i64, u64)> {
        let ranges = self.listed_ranges();
        let hides = matches!(self.service.behaviour.short, Short::AtTheEnd(_) | Short::Anywhere(_));
        self.service
            .unchanged()
            .filter(|(_, row)| range.contains(EpochSeconds::new(row.second)))
            // Rows without a second cannot be looked for where pages leave rows out.
            .filter(|(_, row)| row.shown != Shown::Garbage || !hides)
            // Of the last page nothing tells whether a row was left out.
            .filter(|(region, row)| !self.service.is_never_shown(region, row, range))
            // The truth holds no rows of a wrong date.
            .filter(|(_, row)| !matches!(row.shown, Shown::Wrong(_)))
            .filter(|(region, row)| !self.is_delivered(region, row.id))
            // Nor whether one that is never shown stood in its place, where no rows of one second were seen to change places.
            .filter(|(region, row)| {
                self.planner.profile().order.ties_move || !self.service.is_hidden_by_a_twin(region, row)
            })
            .filter(|(region, row)| !holds(&ranges, region, row.second))
            .map(|(region, row)| (region.clone(), row.second, row.id))
            .collect()
    }

    /// Rows that are delivered as rows of another region than their own, at seconds that are not listed.
    pub(super) fn surplus(&self) -> Vec<(Region, i64, u64)> {
        let ranges = self.listed_ranges();
        let others = |own: &Region| self.delivered.keys().filter(|of| *of != own).cloned().collect::<Vec<_>>();
        self.service
            .unchanged()
            .flat_map(|(own, row)| others(own).into_iter().map(move |of| (of, row.second, row.id)))
            .filter(|(of, second, id)| self.is_delivered(of, *id) && !holds(&ranges, of, *second))
            .collect()
    }

    fn is_delivered(&self, region: &Region, id: u64) -> bool {
        self.delivered.get(region).and_then(|there| there.get(id as usize)).is_some_and(|there| *there)
    }

    fn listed_ranges(&self) -> BTreeMap<&Region, Vec<TimeRange>> {
        let mut ranges: BTreeMap<&Region, Vec<TimeRange>> = BTreeMap::new();
        for listed in self.listed() {
            ranges.entry(&listed.region).or_default().push(listed.range);
        }
        ranges
    }
}

fn holds(ranges: &BTreeMap<&Region, Vec<TimeRange>>, region: &Region, second: i64) -> bool {
    ranges.get(region).is_some_and(|list| list.iter().any(|range| range.contains(EpochSeconds::new(second))))
}
