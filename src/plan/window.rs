//! A stretch of one region's time that one walk reads. Pure.

use std::collections::BTreeSet;

use super::evidence::run::WindowEvidence;
use super::fact::{PageAddress, RowKey};
use super::walk::{Bounded, Scan, Walk};
use crate::api::contract::Region;
use crate::units::{EpochSeconds, TimeRange};

/// How far a window has come.
#[derive(Clone, Debug)]
pub enum WindowState {
    /// Nobody has begun it.
    Waiting,
    /// Its walk has begun.
    Walking(Box<Walk>),
    /// It is covered, or listed as a gap.
    Over,
}

/// How often a window's seconds have been read again because their pages did not prove them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rereads {
    /// How often.
    pub times: u32,
    /// Not before this second.
    pub not_before: Option<EpochSeconds>,
}

/// A window.
#[derive(Clone, Debug)]
pub struct Window {
    /// Its region.
    pub region: Region,
    /// Its seconds.
    pub range: TimeRange,
    /// How far it has come.
    pub state: WindowState,
    /// Whether it is read within its own bounds to the empty page.
    pub bounded: bool,
    /// Whether rows of it came before it was read within its own bounds: then an empty answer is doubted.
    holds_rows: bool,
    /// How often it has been parked since its last page.
    pub parked: u32,
    /// The pages that workers are asking for on its behalf; not journalled, since no worker outlives its process.
    pub on_way: BTreeSet<PageAddress>,
    /// The scan of which a page failed that was asked before its turn: its pages are asked one by one.
    pub one_by_one: Option<u32>,
    /// The rows of its first page, where that was whole and in order; else none.
    pub opening: Vec<RowKey>,
    /// The rows of its first seconds that its left neighbour saw before it began.
    pub expected: Vec<RowKey>,
    /// What its pages prove.
    pub evidence: WindowEvidence,
    /// Whether its seconds are read again since their pages did not prove them.
    pub again: Rereads,
    scans: u32,
}

impl Window {
    /// A window that nobody has begun.
    pub fn new(region: Region, range: TimeRange) -> Self {
        Self {
            region,
            range,
            state: WindowState::Waiting,
            bounded: false,
            holds_rows: false,
            parked: 0,
            on_way: BTreeSet::new(),
            one_by_one: None,
            opening: Vec::new(),
            expected: Vec::new(),
            evidence: WindowEvidence::new(range.start),
            again: Rereads::default(),
            scans: 0,
        }
    }

    /// Whether nobody has begun it and nothing stands against beginning it.
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, WindowState::Waiting) && !self.is_assigned() && self.parked == 0
    }

    /// Whether its seconds have been read before: then it is small, is not cut, and has been counted.
    pub fn is_read_again(&self) -> bool {
        self.again.times > 0
    }

    /// Whether it need not wait until trouble had time to pass.
    pub fn is_due(&self, now: EpochSeconds) -> bool {
        self.again.not_before.is_none_or(|until| until <= now)
    }

    /// Whether its walk is to begin anew, within the window's own bounds: then nothing of it counts any more.
    pub fn begins_anew(&self) -> bool {
        self.walk().is_some_and(|walk| self.bounded != walk.is_bounded())
    }

    /// Its low watermark: up to where (exclusive) its rows are all there, as its walk says and its pages prove; none before the walk begins.
    pub fn watermark(&self) -> Option<EpochSeconds> {
        let walk = self.walk()?;
        if self.begins_anew() {
            return Some(self.range.start);
        }
        Some(walk.watermark().min(self.evidence.covered_until()).max(self.range.start))
    }

    /// Whether a worker reads it.
    pub fn is_assigned(&self) -> bool {
        !self.on_way.is_empty()
    }

    /// Whether it is covered or listed.
    pub fn is_over(&self) -> bool {
        matches!(self.state, WindowState::Over)
    }

    /// Its walk, once it has begun and until it is over.
    pub fn walk(&self) -> Option<&Walk> {
        if let WindowState::Walking(walk) = &self.state { Some(walk) } else { None }
    }

    /// The number of the scan that would come next.
    pub fn next_scan(&self) -> u32 {
        self.scans
    }

    /// Begins a scan, as it was decided.
    pub fn begin(&mut self, scan: Scan) {
        self.scans = self.scans.max(scan.number + 1);
        let reached = self.walk().and_then(Walk::frontier);
        let holds_rows = self.holds_rows || reached.is_some_and(|second| self.range.contains(second));
        let known = self.walk().map(|walk| walk.last_known_of(self.range)).unwrap_or_default();
        let bounded = self.bounded.then(|| Bounded::new(holds_rows, known));
        match &mut self.state {
            WindowState::Walking(walk) => walk.restart(scan, bounded),
            _ => self.state = WindowState::Walking(Box::new(Walk::new(self.range, bounded, scan))),
        }
    }

    /// It is read within its own bounds from now on, anew.
    pub fn bound(&mut self) {
        self.holds_rows |= self.walk().is_some_and(|walk| walk.shows_a_row_of(self.range));
        self.bounded = true;
        self.state = WindowState::Waiting;
    }

    /// The page after its last is refused.
    pub fn refused(&mut self) {
        if let WindowState::Walking(walk) = &mut self.state {
            walk.refused();
        }
    }

    /// Takes the time of later windows over.
    pub fn extend(&mut self, end: EpochSeconds) {
        self.range.end = end;
        if let WindowState::Walking(walk) = &mut self.state {
            walk.end_at(end);
        }
    }

    /// What it has brought is not believed: it is begun anew.
    pub fn ask_anew(&mut self) {
        self.state = WindowState::Waiting;
        self.parked = 0;
        self.evidence = WindowEvidence::new(self.range.start);
    }

    /// Whether it may give its time to its left neighbour: it has brought nothing of it.
    pub fn brought_nothing(&self) -> bool {
        !self.bounded && !self.is_over() && self.walk().is_none_or(|walk| walk.frontier().is_none())
    }

    /// Keeps `[start, at)` and gives the rest as a window of its own.
    pub fn split_off(&mut self, at: EpochSeconds) -> Self {
        let mut part = Self::new(self.region.clone(), TimeRange::new(at, self.range.end));
        part.bounded = self.bounded;
        part.parked = self.parked;
        part.again = self.again;
        part.holds_rows = self.walk().is_some_and(|walk| walk.shows_a_row_of(part.range));
        self.range.end = at;
        // Which of the two the rows were seen in, nobody remembers.
        self.holds_rows = false;
        if let WindowState::Walking(walk) = &mut self.state {
            walk.end_at(at);
        }
        part
    }
}
