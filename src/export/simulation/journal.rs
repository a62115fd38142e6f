//! The journal and the output, as a model: what is durable, in its order, and which rows a slice that is cut holds.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::contract::{Filters, Region};
use crate::plan::event::PlanEvent;
use crate::plan::fact::{PageAddress, PageFact, Purpose, RowKey, WindowId};
use crate::plan::planner::Planner;
use crate::units::{EpochSeconds, TimeRange};

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
    delivered: Vec<bool>,
}

impl Journal {
    /// The journal of a run that asks for these regions.
    pub(super) fn new(regions: Vec<Region>, filters: Filters, range: TimeRange) -> Self {
        let cut = regions.iter().map(|region| (region.clone(), range.start)).collect();
        let (closed, begun, bought) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Self { regions, filters, range, entries: vec![], closed, begun, bought, cut, delivered: vec![] }
    }

    /// Keeps decisions as the journal does, as text.
    pub(super) fn record(&mut self, events: &[PlanEvent], closed: &[WindowId]) {
        for event in events {
            let text = serde_json::to_string(event).unwrap();
            let event: PlanEvent = serde_json::from_str(&text).unwrap();
            match &event {
                PlanEvent::StretchStarted { window, stretch, .. } => {
                    self.begun.insert((*window, *stretch));
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
        self.closed.extend(closed);
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
        for id in ids.iter().filter(|id| !late.contains(id)) {
            let index = *id as usize;
            if self.delivered.len() <= index {
                self.delivered.resize(index + 1, false);
            }
            self.delivered[index] = true;
        }
    }

    /// Whether the stretch that a page belongs to is one that was decided on.
    pub(super) fn holds_what_leads_to(&self, address: &PageAddress) -> bool {
        match address.purpose {
            Purpose::Walk { window, stretch } => self.begun.contains(&(window, stretch)),
            _ => true,
        }
    }

    /// Up to where a region is published.
    pub(super) fn cut(&self, region: &Region) -> EpochSeconds {
        self.cut[region]
    }

    /// The rows, by id, that are delivered.
    pub(super) fn into_delivered(self) -> Vec<bool> {
        self.delivered
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
