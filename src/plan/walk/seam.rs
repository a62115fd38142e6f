//! What a walk shows where two windows meet, and its readings of seconds beyond its own end.

use std::collections::BTreeSet;

use super::Walk;
use super::step::{WalkStep, anchor};
use crate::api::contract::SOURCE;
use crate::plan::event::{Ending, ScanReason};
use crate::plan::fact::{RowKey, VideoKey};
use crate::plan::page::{Finding, longest_run};
use crate::units::{EpochSeconds, PageNumber, TimeRange};

/// Readings of the seconds at one seam that may each bring a row that none before showed, or fail, before they are listed.
const MOST_READINGS: u32 = 3;
/// Pages of all readings of one seam.
const MOST_PAGES: u32 = 10;

/// A walk that reads seconds beyond its own end again.
#[derive(Clone, Debug)]
pub(super) struct SeamReading {
    seconds: TimeRange,
    /// The ids that any look at these seconds has shown.
    known: BTreeSet<VideoKey>,
    readings: u32,
    /// Pages of all readings.
    pages: u32,
    /// Whether the running reading has shown an id that no look before it did.
    brought_new: bool,
    stage: SeamStage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SeamStage {
    Reading,
    /// The reading is past the seconds, or at the end of all rows.
    Whole,
    /// A page came without rows in order.
    Broken,
}

impl SeamReading {
    fn new(seconds: TimeRange, seen: &[RowKey]) -> Self {
        let known = seen.iter().filter(|row| seconds.contains(row.second)).map(|row| row.video).collect();
        Self { seconds, known, readings: 1, pages: 0, brought_new: false, stage: SeamStage::Reading }
    }

    fn again(self) -> Self {
        Self { readings: self.readings + 1, brought_new: false, stage: SeamStage::Reading, ..self }
    }

    /// Takes the rows of one page within what was asked, and how many places it filled; `number` is its number.
    pub(super) fn read(&mut self, number: u32, slots: u32, asked: &[RowKey]) {
        self.pages += 1;
        let rows = longest_run(asked);
        let is_ordered = !rows.is_empty() && rows.len() * 4 >= asked.len() * 3;
        for row in rows.iter().filter(|row| self.seconds.contains(row.second)) {
            self.brought_new |= self.known.insert(row.video);
        }
        let is_past = rows.last().is_some_and(|row| row.second >= self.seconds.end);
        let is_end = slots == 0 && number > 1;
        self.stage = match (is_ordered, is_past || is_end) {
            (_, true) if is_end || is_ordered => SeamStage::Whole,
            (true, _) => SeamStage::Reading,
            (false, _) => SeamStage::Broken,
        };
    }

    fn step(&self, pages: u32) -> WalkStep {
        let may_go_on = self.pages < MOST_PAGES;
        match self.stage {
            SeamStage::Whole if !self.brought_new => finish(Vec::new()),
            SeamStage::Reading if may_go_on => {
                PageNumber::new(pages + 1).map_or_else(|_| self.give_up(), WalkStep::Ask)
            }
            SeamStage::Whole | SeamStage::Broken if may_go_on && self.readings < MOST_READINGS => {
                anchor(self.seconds.start, ScanReason::Seam { until: self.seconds.end })
            }
            _ => self.give_up(),
        }
    }

    fn give_up(&self) -> WalkStep {
        let why = "two windows meet here, and each reading of it showed other rows, or none could be had";
        finish(vec![(self.seconds, why.to_owned())])
    }
}

/// What a walk shows of its seams.
impl Walk {
    /// The rows of the window's first page, where it is whole and in order, from the window's start on. A page with free places
    /// says nothing of what it lacks.
    pub(in crate::plan) fn opening(&self) -> Option<Vec<RowKey>> {
        let is_first = self.scan.number == 0 && self.so_far.pages == 1 && !self.is_bounded();
        let is_whole = self.last.finding == Finding::Rows && self.last.previous_slots >= SOURCE.page_size;
        (is_first && is_whole).then(|| self.sure_rows(self.range.start))
    }

    /// The rows of the last page from `start` on, without those of a wrong date and those that may be.
    pub(in crate::plan) fn sure_rows(&self, start: EpochSeconds) -> Vec<RowKey> {
        let mut rows = longest_run(&self.last.previous);
        rows.retain(|row| row.second >= start && !self.last.held.contains(row));
        rows
    }

    /// Begins to read seconds beyond the walk's own end, from this one on.
    pub(super) fn read_seam(&self, start: EpochSeconds, end: EpochSeconds, before: Option<SeamReading>) -> SeamReading {
        let begin = || SeamReading::new(TimeRange::new(start, end), &self.sure_rows(self.range.end));
        before.map_or_else(begin, SeamReading::again)
    }

    /// Whether it reads seconds beyond its own end.
    pub(in crate::plan) fn is_beyond_its_end(&self) -> bool {
        self.mode.seam().is_some()
    }

    /// How often it went back since its last page seems to have skipped rows.
    pub(in crate::plan) fn went_back(&self) -> u32 {
        self.doubts.went_back
    }

    /// The next move of a walk that reads beyond its own end.
    pub(super) fn seam_step(&self) -> Option<WalkStep> {
        self.mode.seam().map(|seam| seam.step(self.so_far.pages))
    }

    /// Where a page beyond the walk's own end cannot be had, its window is read all the same.
    pub(in crate::plan) fn leave_seam(&self) -> Option<WalkStep> {
        self.mode.seam().map(SeamReading::give_up)
    }
}

fn finish(unproven: Vec<(TimeRange, String)>) -> WalkStep {
    WalkStep::Finish { ending: Ending::RowBeyond, unproven }
}

#[cfg(test)]
mod tests;
