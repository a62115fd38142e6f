//! What is known of one end of a region's time: the outermost rows that walks have shown, and what its page answered. Pure.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::api::contract::SOURCE;
use crate::plan::fact::RowKey;
use crate::units::{EpochSeconds, TimeRange};

/// Rows at each end that are remembered: four pages, and one before them ...
pub(super) const ROWS_KEPT: usize = 41;
/// ... or so many, where all are of the outermost second.
const ROWS_KEPT_OF_ONE_SECOND: usize = 1_000;

/// One end of a region's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Where its rows begin.
    Oldest,
    /// Where they end.
    Newest,
}

/// What is known of one end.
#[derive(Clone, Debug, Default)]
pub(super) struct Side {
    /// The outermost rows that walks have shown.
    pub(super) seen: BTreeSet<RowKey>,
    /// The outermost second of which rows may have been forgotten; all that lie beyond it are remembered.
    pub(super) forgotten: Option<EpochSeconds>,
    /// The last answer to the question about it.
    pub(super) answer: Option<Answer>,
    /// Answers in a row that lacked the outermost row which walks have shown.
    pub(super) poor: u32,
    pub(super) asked: u32,
    /// Questions before the range was extended.
    pub(super) asked_before: u32,
    /// How often it had been asked when what its answer showed was last read again.
    pub(super) read_again: u32,
    /// Whether it was ever contradicted: then it is asked anew after the walk that followed.
    pub(super) was_contradicted: bool,
    /// Whether its page could not be had, or what stays in doubt of it was listed.
    pub(super) is_settled: bool,
}

/// An answer to the question about an end.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) at: EpochSeconds,
    /// Whether it held any row slot.
    pub(super) has_slots: bool,
    /// Its rows of the run's range.
    pub(super) rows: Vec<RowKey>,
    /// Whether it came oldest first where the newest were asked for, so that it says nothing of the end.
    pub(super) is_contrary: bool,
    /// The outermost second that walks had shown by then.
    pub(super) outermost: Option<EpochSeconds>,
}

impl Side {
    /// A walk has shown a row.
    pub(super) fn see(&mut self, end: End, row: RowKey) {
        if !self.seen.insert(row) {
            return;
        }
        while self.seen.len() > self.room(end) {
            let forgotten = match end {
                End::Oldest => self.seen.pop_last(),
                End::Newest => self.seen.pop_first(),
            };
            forgotten.iter().for_each(|row| self.forget_up_to(end, row.second));
        }
    }

    /// How many rows are remembered: those of the outermost second whole, so that one which no walk has seen can be told.
    fn room(&self, end: End) -> usize {
        if self.innermost(end) == self.outermost(end) { ROWS_KEPT_OF_ONE_SECOND } else { ROWS_KEPT }
    }

    /// Of these seconds more rows came than the edges of their window: what lies beyond the innermost of those is whole, as far as it is
    /// remembered.
    pub(super) fn forget_but(&mut self, end: End, range: TimeRange, edges: &[RowKey]) {
        let edge = if end == End::Oldest { edges.last() } else { edges.first() };
        let whole = edge.map(|row| row.second).zip(self.innermost(end));
        let (first, last) = (range.start, range.end.shifted(-1));
        let forgotten = match end {
            End::Oldest => whole.map_or(first, |(edge, innermost)| edge.min(innermost).max(first)),
            End::Newest => whole.map_or(last, |(edge, innermost)| edge.max(innermost).min(last)),
        };
        self.forget_up_to(end, forgotten);
    }

    /// Rows of this second may have been forgotten.
    fn forget_up_to(&mut self, end: End, second: EpochSeconds) {
        let forgotten = self.forgotten.unwrap_or(second);
        self.forgotten = Some(match end {
            End::Oldest => forgotten.min(second),
            End::Newest => forgotten.max(second),
        });
    }

    fn innermost(&self, end: End) -> Option<EpochSeconds> {
        self.outermost(match end {
            End::Oldest => End::Newest,
            End::Newest => End::Oldest,
        })
    }

    /// The outermost second that walks have shown.
    pub(super) fn outermost(&self, end: End) -> Option<EpochSeconds> {
        let row = match end {
            End::Oldest => self.seen.first(),
            End::Newest => self.seen.last(),
        };
        row.map(|row| row.second)
    }

    /// Whether as many rows of its outermost second came as fill a page.
    pub(super) fn fills_a_page(&self, end: End) -> bool {
        let last = self.outermost(end);
        let rows = self.seen.iter().filter(|row| Some(row.second) == last);
        rows.take(SOURCE.page_size as usize).count() >= SOURCE.page_size as usize
    }

    /// The innermost second of rows that no walk has seen, as far as is remembered.
    pub(super) fn unseen(&self, end: End, rows: &[RowKey]) -> Option<EpochSeconds> {
        let is_remembered = |row: &&RowKey| match (end, self.forgotten) {
            (_, None) => true,
            (End::Oldest, Some(forgotten)) => row.second < forgotten,
            (End::Newest, Some(forgotten)) => row.second > forgotten,
        };
        let unseen = rows.iter().filter(is_remembered).filter(|row| !self.seen.contains(row)).map(|row| row.second);
        match end {
            End::Oldest => unseen.max(),
            End::Newest => unseen.min(),
        }
    }

    /// The next second inwards from this one, or this one, of a row that a walk has seen; none where there is none.
    pub(super) fn inside(&self, end: End, second: EpochSeconds) -> Option<EpochSeconds> {
        let mut seen = self.seen.iter().map(|row| row.second);
        match end {
            End::Oldest => seen.find(|seen| *seen >= second),
            End::Newest => seen.rev().find(|seen| *seen <= second),
        }
    }

    /// From a second to the end of the run's range, or from its start through the second.
    pub(super) fn beyond(&self, end: End, second: Option<EpochSeconds>, range: TimeRange) -> TimeRange {
        match (end, second) {
            (_, None) => range,
            (End::Oldest, Some(second)) => TimeRange::new(range.start, second.shifted(1).min(range.end)),
            (End::Newest, Some(second)) => TimeRange::new(second.max(range.start), range.end),
        }
    }
}

#[cfg(test)]
mod tests;
