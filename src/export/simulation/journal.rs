//! The journal and the output, as a model: what is durable, in its order, and which rows a slice that is cut holds.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::contract::{Filters, Region};
use crate::journal::record::Upkeep;
use crate::plan::event::PlanEvent;
use crate::plan::fact::{PageAddress, PageFact, Purpose, RowKey, WindowId};
use crate::plan::planner::Planner;
use crate::units::{EpochSeconds, PageNumber, TimeRange};

/// One entry of the order that decisions and pages share.
#[derive(Clone, Debug)]
enum Entry {
    Event(PlanEvent),
    Page(PageFact),
}

/// What is durable of a run.
#[derive(Debug)]
pub(super) struct Journal {
    regions: Vec<Region>,
    filters: Filters,
    range: TimeRange,
    entries: Vec<Entry>,
    closed: BTreeSet<WindowId>,
    begun: BTreeSet<(WindowId, u32)>,
    bought: BTreeSet<PageAddress>,
    /// Up to where each region is published.
    cut: BTreeMap<Region, EpochSeconds>,
    /// The rows, by id, that are delivered as rows of a region.
    delivered: Delivered,
    /// Rows that pages of another region alone have shown: the asked region, the row's second and its id.
    foreign: Vec<(Region, EpochSeconds, u64)>,
}

/// Of each region, whether the row of an id is delivered as one of its rows.
pub(super) type Delivered = BTreeMap<Region, Vec<bool>>;

impl Journal {
    /// The journal of a run that asks for these regions.
    pub(super) fn new(regions: Vec<Region>, filters: Filters, range: TimeRange) -> Self {
        let cut = regions.iter().map(|region| (region.clone(), range.start)).collect();
        let (closed, begun, bought) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Self {
            regions,
            filters,
            range,
            entries: vec![],
            closed,
            begun,
            bought,
            cut,
            delivered: Delivered::new(),
            foreign: vec![],
        }
    }

    /// Keeps decisions as the journal does, as text.
    pub(super) fn record(&mut self, events: &[PlanEvent], upkeep: &Upkeep) {
        for event in events {
            let text = serde_json::to_string(event).unwrap();
            let event: PlanEvent = serde_json::from_str(&text).unwrap();
            match &event {
                PlanEvent::ScanStarted { window, scan, .. } => {
                    self.begun.insert((*window, *scan));
                }
                PlanEvent::RangeReopened { region, range, .. } => {
                    self.cut.entry(region.clone()).and_modify(|cut| *cut = (*cut).min(range.start));
                }
                PlanEvent::SlicePublished { region, until } => {
                    self.cut.insert(region.clone(), *until);
                }
                _ => {}
            }
            self.entries.push(Entry::Event(event));
        }
        self.closed.extend(&upkeep.closed);
        for (region, range) in &upkeep.not_its_own {
            self.foreign.retain(|(of, second, _)| of != region || !range.contains(*second));
        }
    }

    /// Keeps a page with the rows that it showed. A row is delivered if it was asked for and no slice that should hold it has been
    /// cut yet; a row without a time of its own always is. Nothing is of a page that answers another question.
    pub(super) fn keep(&mut self, fact: PageFact, (rows, ids): (&[RowKey], &[u64])) {
        assert!(self.bought.insert(fact.address.clone()), "{:?} was bought twice", fact.address);
        if !fact.check.is_astray() {
            self.deliver(&fact, rows, ids);
        }
        self.entries.push(Entry::Page(fact));
    }

    fn deliver(&mut self, fact: &PageFact, rows: &[RowKey], ids: &[u64]) {
        let cut = self.cut[&fact.address.region];
        let is_left_out = |row: &&RowKey| row.second < cut || !fact.rows.contains(row);
        let late: BTreeSet<u64> = rows.iter().filter(is_left_out).map(|row| row.video.0).collect();
        let region = &fact.address.region;
        if fact.check.own_region == 0 && fact.check.other_region > 0 {
            let shown = rows.iter().filter(|row| !late.contains(&row.video.0));
            self.foreign.extend(shown.map(|row| (region.clone(), row.second, row.video.0)));
            return;
        }
        ids.iter().filter(|id| !late.contains(id)).for_each(|id| set(&mut self.delivered, region, *id));
    }

    /// Whether the scan that a page belongs to is one that was decided on.
    pub(super) fn holds_what_leads_to(&self, address: &PageAddress) -> bool {
        match address.purpose {
            Purpose::Walk { window, scan } => self.begun.contains(&(window, scan)),
            _ => true,
        }
    }

    /// Whether the page before this one in its question is durable, or there is none.
    pub(super) fn holds_page_before(&self, address: &PageAddress) -> bool {
        let number = address.page.get();
        let before = PageNumber::new(number.saturating_sub(1));
        let is_walk = matches!(address.purpose, Purpose::Walk { .. });
        !is_walk
            || before.is_ok_and(|page| self.bought.contains(&PageAddress { page, ..address.clone() }))
            || number == 1
    }

    /// Up to where a region is published.
    pub(super) fn cut(&self, region: &Region) -> EpochSeconds {
        self.cut[region]
    }

    /// What is delivered.
    pub(super) fn into_delivered(self) -> Delivered {
        let mut delivered = self.delivered;
        self.foreign.iter().for_each(|(region, _, id)| set(&mut delivered, region, *id));
        delivered
    }

    /// The plan as the next process finds it.
    pub(super) fn replay(&self) -> Planner {
        let mut planner = Planner::new(&self.regions, self.filters.clone(), self.range);
        for entry in &self.entries {
            match entry {
                Entry::Event(event) => planner.apply_event(event),
                Entry::Page(page) if self.is_closed(page) => {}
                Entry::Page(page) => planner.apply_page(page),
            }
        }
        planner
    }

    fn is_closed(&self, page: &PageFact) -> bool {
        matches!(page.address.purpose, Purpose::Walk { window, .. } if self.closed.contains(&window))
    }
}

fn set(delivered: &mut Delivered, region: &Region, id: u64) {
    let (rows, index) = (delivered.entry(region.clone()).or_default(), id as usize);
    if rows.len() <= index {
        rows.resize(index + 1, false);
    }
    rows[index] = true;
}
