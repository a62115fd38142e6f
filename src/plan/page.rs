//! Reading one page of an ascending walk: is it ordered, within bounds, and apart from its predecessor? Pure.

use std::collections::BTreeSet;

use super::fact::{PageFact, RowKey, VideoKey};
use super::walk::Lesson;
use crate::units::EpochSeconds;

/// What one page is, seen against the page before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// No page of this stretch has come.
    Nothing,
    /// No row at all.
    Empty,
    /// Rows, none of which can be placed in time.
    Unusable,
    /// Rows in order.
    Rows,
    /// Every row lies outside what was asked; the first of this second.
    OutsideAsked(EpochSeconds),
    /// The same rows as its predecessor's.
    SamePage,
    /// Its predecessor's rows without the first, and one more.
    ShiftedByOne,
    /// Rows go back in time.
    Disordered,
    /// A row that came before, from this second on; another may have been skipped. An insertion before the page looks the
    /// same as ties in another order, even for a row that stands alone in its second: its twin may be the skipped one.
    Repeated(EpochSeconds),
}

/// A page and what stands around it.
#[derive(Debug)]
pub struct Reading<'a> {
    /// The page.
    pub page: &'a PageFact,
    /// `min_create_time` as sent.
    pub asked_min: EpochSeconds,
    /// `max_create_time` as sent.
    pub asked_max: EpochSeconds,
    /// The rows of the page before it in the same stretch.
    pub previous: &'a [RowKey],
    /// The last second before it in the same stretch.
    pub frontier: Option<EpochSeconds>,
    /// The ids that this stretch showed in that second.
    pub at_frontier: &'a BTreeSet<VideoKey>,
    /// A second that is read again, within which repeats are expected.
    pub healing: Option<EpochSeconds>,
}

impl Reading<'_> {
    /// What the page is, in a walk whose rows have an order, and what it teaches.
    pub fn finding(&self) -> (Finding, Vec<Lesson>) {
        let rows: Vec<RowKey> = self.asked().collect();
        let plain = match (self.page.slots, self.page.rows.first(), rows.is_empty()) {
            (0, _, _) => Some(Finding::Empty),
            (_, None, _) => Some(Finding::Unusable),
            (_, Some(first), true) => Some(Finding::OutsideAsked(first.second)),
            _ if !self.is_ordered(&rows) => Some(Finding::Disordered),
            _ if rows == self.previous => Some(Finding::SamePage),
            _ => None,
        };
        match plain {
            Some(finding) => (finding, Vec::new()),
            None => self.against_predecessor(&rows),
        }
    }

    /// What the page is where rows have no order.
    pub fn unordered(&self) -> Finding {
        match (self.page.slots, self.asked().next(), self.page.rows.first()) {
            (0, _, _) => Finding::Empty,
            (_, None, Some(first)) => Finding::OutsideAsked(first.second),
            (_, None, None) => Finding::Unusable,
            (_, Some(_), _) if self.asked().eq(self.previous.iter().copied()) => Finding::SamePage,
            (_, Some(_), _) => Finding::Rows,
        }
    }

    /// A row at exactly an asked bound proves that the bound is inclusive.
    pub fn bound_lessons(&self) -> Vec<Lesson> {
        let at = |second: EpochSeconds| self.page.rows.iter().any(|row| row.second == second);
        let min = at(self.asked_min).then_some(Lesson::MinIsInclusive);
        let max = at(self.asked_max).then_some(Lesson::MaxIsInclusive);
        min.into_iter().chain(max).collect()
    }

    fn asked(&self) -> impl Iterator<Item = RowKey> {
        self.page.rows.iter().copied().filter(|row| self.asked_min <= row.second && row.second <= self.asked_max)
    }

    fn is_ordered(&self, rows: &[RowKey]) -> bool {
        rows.is_sorted_by_key(|row| row.second)
            && match (self.frontier, rows.first()) {
                (Some(frontier), Some(first)) => first.second >= frontier || self.opens_with_tail(rows) > 0,
                _ => true,
            }
    }

    fn against_predecessor(&self, rows: &[RowKey]) -> (Finding, Vec<Lesson>) {
        let inserted = self.opens_with_tail(rows);
        if inserted > 0 && inserted + 1 == self.previous.len() && inserted + 1 == rows.len() && inserted >= 4 {
            return (Finding::ShiftedByOne, Vec::new());
        }
        match self.first_repeat(rows) {
            Some(second) => (Finding::Repeated(second), vec![Lesson::Repeat]),
            None => (Finding::Rows, Vec::new()),
        }
    }

    /// How many of the page's first rows are its predecessor's last ones, in the same order.
    fn opens_with_tail(&self, rows: &[RowKey]) -> usize {
        let longest = rows.len().min(self.previous.len());
        (1..=longest)
            .rev()
            .find(|&length| {
                let tail = self.previous.get(self.previous.len() - length..);
                tail.is_some() && tail == rows.get(..length)
            })
            .unwrap_or(0)
    }

    /// The earliest second of a row that this stretch showed before, or that stands twice on the page.
    fn first_repeat(&self, rows: &[RowKey]) -> Option<EpochSeconds> {
        let mut seen: BTreeSet<RowKey> = self.previous.iter().copied().collect();
        rows.iter()
            .filter(|row| {
                let known = self.frontier == Some(row.second) && self.at_frontier.contains(&row.video);
                !seen.insert(**row) || known
            })
            .map(|row| row.second)
            .filter(|second| Some(*second) != self.healing)
            .min()
    }
}
