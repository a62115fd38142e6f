//! Whether an empty answer for a whole region can be believed, and what is asked to find out.

use super::RegionPlan;
use crate::plan::event::Contradiction;
use crate::plan::fact::{Purpose, RowKey};
use crate::plan::page::longest_run;
use crate::units::EpochSeconds;

/// What an empty first page may mean, as far as other answers have shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emptiness {
    /// Another answer is needed.
    Ask(Purpose),
    /// The range should be asked once more.
    AskAgain,
    /// The question was understood, so the range holds nothing.
    Believed,
    /// The region holds nothing at all, so nothing shows that its code means anything.
    Unproven,
    /// One row of the range came, but not when the range was asked: its date may be wrong.
    OneRow,
}

/// What tells whether a region is empty.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    pub(super) first_pages_empty: u32,
    /// Whether a walk has brought any row, usable or not.
    pub(super) has_answered: bool,
    pub(super) without_filters: Option<bool>,
    pub(super) times_without_filters: u32,
    pub(super) without_range: Option<Option<EpochSeconds>>,
    pub(super) times_without_range: u32,
    /// Whether several rows came without a range, on one page.
    pub(super) shows_several: bool,
    pub(super) known_second: Option<bool>,
    pub(super) times_known_second: u32,
    /// The second of a known row that did not come when the time around it was asked.
    pub(super) not_found: Option<EpochSeconds>,
    /// A row of the range that the question around the known row brought.
    pub(super) known_inside: Option<EpochSeconds>,
    /// Whether another row of the range came with it.
    pub(super) is_in_company: bool,
    /// What would confirm an empty answer could not be had.
    pub failed: bool,
    /// Questions of each kind that were asked before all was asked anew.
    pub(super) asked_before: (u32, u32, u32),
    /// Whether the output has held rows of it, so that its code is known to mean something.
    pub is_known: bool,
}

impl Answers {
    /// Learns from a page that was asked without a range, newest first: the newest row that stands in the order of the others, since one of a
    /// wrong date is not found by it. Another than the one that was not found, where there is one: that may be gone, or its date wrong.
    pub(super) fn take_without_range(&mut self, rows: &[RowKey]) {
        self.times_without_range += 1;
        self.shows_several |= rows.len() > 1;
        let newest = |is_tried: &dyn Fn(&RowKey) -> bool| {
            let oldest_first: Vec<RowKey> = rows.iter().rev().filter(|row| is_tried(row)).copied().collect();
            longest_run(&oldest_first).last().map(|row| row.second)
        };
        let other = newest(&|row| Some(row.second) != self.not_found);
        self.without_range = Some(other.or_else(|| newest(&|_| true)));
    }

    /// Learns whether anything came when the time around a known row was asked.
    pub(super) fn take_known_second(&mut self, is_found: bool) {
        self.times_known_second += 1;
        self.known_second = Some(is_found);
        self.not_found = if is_found { None } else { self.without_range.flatten() };
    }
}

/// How often a question is asked before an empty answer to it is held against the service.
const MOST_QUESTIONS: u32 = 3;

impl RegionPlan {
    /// Whether the first walk's first page has come, without rows, and nothing else has.
    pub fn looks_empty(&self) -> bool {
        self.answers.first_pages_empty > 0 && !self.answers.has_answered
    }

    /// Whether no more than one row of it has come at all, whose second may be a wrong one.
    pub fn shows_one_row_alone(&self) -> bool {
        !self.answers.shows_several && !self.has_rows()
    }

    /// How often the first walk's first page came empty.
    pub fn times_empty(&self) -> u32 {
        self.answers.first_pages_empty
    }

    /// Whether the range has an answer without the user's filters that is empty as well.
    pub fn is_empty_without_filters(&self) -> bool {
        self.answers.without_filters == Some(false)
    }

    /// What contradicted the contract is asked anew.
    pub fn ask_anew(&mut self) {
        self.answers.asked_before =
            (self.answers.times_without_filters, self.answers.times_without_range, self.answers.times_known_second);
        (self.answers.without_filters, self.answers.without_range, self.answers.known_second) = (None, None, None);
        self.answers.not_found = None;
        (self.answers.known_inside, self.answers.is_in_company, self.answers.failed) = (None, false, false);
        (self.answers.first_pages_empty, self.newest_page.opened_late, self.extent.opening) = (0, 0, None);
        self.newest_page.opened_in_time = false;
        self.newest_page.forget_passed();
    }

    /// What an empty first page means, once every needed answer is there.
    ///
    /// # Errors
    /// Where the answers contradict each other.
    pub fn emptiness(&self, has_filters: bool) -> Result<Emptiness, Contradiction> {
        if self.answers.failed {
            return Ok(Emptiness::Unproven);
        }
        if has_filters {
            match self.answers.without_filters {
                None => return Ok(Emptiness::Ask(Purpose::WithoutFilters)),
                Some(true) => return Ok(Emptiness::Believed),
                Some(false) => {}
            }
        }
        let (region, range) = (self.region.clone(), self.range);
        let asked_known = self.answers.times_known_second - self.answers.asked_before.2;
        match (self.answers.without_range, self.answers.known_second) {
            (None, _) => Ok(Emptiness::Ask(Purpose::WithoutRange)),
            // No row anywhere confirms the time bounds then, but there is none that they could hide either.
            (Some(None), _) if self.answers.is_known => Ok(Emptiness::Believed),
            (Some(None), _) => Ok(Emptiness::Unproven),
            (Some(Some(_)), None) => Ok(Emptiness::Ask(Purpose::KnownSecond)),
            (Some(Some(_)), Some(false)) if asked_known < MOST_QUESTIONS - 1 => {
                Ok(Emptiness::Ask(Purpose::KnownSecond))
            }
            // The row may be gone: is there another?
            (Some(Some(_)), Some(false)) if self.answers.times_without_range - self.answers.asked_before.1 < 2 => {
                Ok(Emptiness::Ask(Purpose::WithoutRange))
            }
            (Some(Some(_)), Some(false)) if asked_known < MOST_QUESTIONS => Ok(Emptiness::Ask(Purpose::KnownSecond)),
            (Some(Some(seen)), Some(false)) => Err(Contradiction::SecondsNotUnderstood { region, seen }),
            (Some(Some(_)), Some(true)) => {
                match self.answers.known_inside {
                    None => Ok(Emptiness::Believed),
                    // The row may have come since, so the range is asked again before it is said to hide rows.
                    Some(_) if self.was_asked_again(has_filters) && !self.answers.is_in_company => {
                        Ok(Emptiness::OneRow)
                    }
                    Some(seen) if self.was_asked_again(has_filters) => {
                        Err(Contradiction::RangeHidesRows { region, range, seen })
                    }
                    Some(_) if has_filters => Ok(Emptiness::Ask(Purpose::WithoutFilters)),
                    Some(_) => Ok(Emptiness::AskAgain),
                }
            }
        }
    }

    /// Whether the question that the known row contradicts has come empty again after the row was seen.
    fn was_asked_again(&self, has_filters: bool) -> bool {
        let without_filters = self.answers.times_without_filters - self.answers.asked_before.0;
        let times = if has_filters { without_filters } else { self.answers.first_pages_empty };
        times >= MOST_QUESTIONS
    }

    /// The number of the next question about the range without filters.
    pub fn next_without_filters(&self) -> u32 {
        self.answers.times_without_filters + 1
    }

    /// The number of the next question about the region without a range.
    pub fn next_without_range(&self) -> u32 {
        self.answers.times_without_range + 1
    }

    /// The number of the next question around the known row.
    pub fn next_known_second(&self) -> u32 {
        self.answers.times_known_second + 1
    }

    /// A second that holds a row, as the region without a range has shown it.
    pub fn known_row(&self) -> Option<EpochSeconds> {
        self.answers.without_range.flatten()
    }
}

#[cfg(test)]
mod tests;
