//! One second whose rows came twice: read again until its readings agree. Pure.
//!
//! A repeat means that another row may have been skipped, since a page has a slot for each row. The second is whole when the
//! ids of all readings together are exactly as many as one whole reading had slots for it, and two readings had as many, or
//! when it came whole on a single page, which no shift can tear.

use std::collections::BTreeSet;

use super::fact::{RowKey, VideoKey};
use crate::units::EpochSeconds;

/// The most whole readings of one second before it is listed as unproven.
const MOST_READINGS: u32 = 14;
/// Pages of readings after which no further reading of the second is begun.
const MOST_PAGES: u32 = 300;
/// Slots beyond twice the known ids after which a reading is taken for one without end.
const ENDLESS_SLOTS: usize = 100;

/// The state of one second's healing.
#[derive(Clone, Debug)]
pub struct Heal {
    second: EpochSeconds,
    union: BTreeSet<VideoKey>,
    slots: u32,
    slots_before: Option<u32>,
    readings: u32,
    pages: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The walk is still within the second.
    Reading,
    /// The walk is past it and the readings do not agree yet.
    Unsettled,
    Healed,
    Failed,
    /// One reading showed far more slots than there are ids, and no end.
    Endless,
    /// It was listed as unproven: nothing more is expected of it.
    Listed,
}

impl Heal {
    /// A second that is about to be read again, with the ids that are known of it.
    pub fn new(second: EpochSeconds, known: BTreeSet<VideoKey>) -> Self {
        Self { second, union: known, slots: 0, slots_before: None, readings: 0, pages: 0, state: State::Reading }
    }

    /// The second in question.
    pub fn second(&self) -> EpochSeconds {
        self.second
    }

    /// Whether it is being read.
    pub fn is_reading(&self) -> bool {
        self.state == State::Reading
    }

    /// Whether nothing more is expected of it: its readings agreed, or it is listed.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Healed | State::Listed)
    }

    /// It was listed as unproven.
    pub fn list(&mut self) {
        self.state = State::Listed;
    }

    /// Whether the walk must go back to it.
    pub fn needs_another_reading(&self) -> bool {
        self.state == State::Unsettled
    }

    /// Whether a reading of it does not end, so that the walk has to go past it.
    pub fn is_endless(&self) -> bool {
        self.state == State::Endless
    }

    /// Whether its readings never agreed.
    pub fn has_failed(&self) -> bool {
        self.state == State::Failed
    }

    /// Begins another reading, unless it is over.
    pub fn begin_reading(&mut self) {
        if self.is_over() {
            return;
        }
        self.slots = 0;
        self.state = State::Reading;
    }

    /// Takes the rows of one ordered page; `opens` says whether it is the reading's first.
    pub fn read(&mut self, rows: &[RowKey], opens: bool) {
        if self.state != State::Reading {
            return;
        }
        self.pages += 1;
        let slots_before_page = self.slots;
        for row in rows.iter().filter(|row| row.second == self.second) {
            self.slots += 1;
            self.union.insert(row.video);
        }
        if self.slots as usize > 2 * self.union.len() + ENDLESS_SLOTS {
            self.state = State::Endless;
        } else if rows.last().is_some_and(|row| row.second > self.second) {
            if opens && slots_before_page == 0 { self.state = State::Healed } else { self.pass() }
        }
    }

    /// The reading is whole: the walk is past the second.
    pub fn pass(&mut self) {
        if self.state != State::Reading {
            return;
        }
        self.readings += 1;
        let as_many = u32::try_from(self.union.len()).is_ok_and(|ids| ids == self.slots);
        let agrees = self.slots_before == Some(self.slots);
        self.slots_before = Some(self.slots);
        self.state = match (as_many && agrees, self.readings < MOST_READINGS && self.pages < MOST_PAGES) {
            (true, _) => State::Healed,
            (false, true) => State::Unsettled,
            (false, false) => State::Failed,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(list: &[(i64, u64)]) -> Vec<RowKey> {
        list.iter().map(|&(second, id)| RowKey { second: EpochSeconds::new(second), video: VideoKey(id) }).collect()
    }

    fn heal(known: &[u64]) -> Heal {
        Heal::new(EpochSeconds::new(5), known.iter().copied().map(VideoKey).collect())
    }

    #[test]
    fn a_second_that_comes_whole_on_one_page_is_healed_at_once() {
        let mut heal = heal(&[1]);
        heal.read(&rows(&[(5, 1), (5, 2), (6, 9)]), true);
        assert!(!heal.needs_another_reading() && !heal.has_failed() && heal.is_over());
    }

    #[test]
    fn two_equal_readings_whose_ids_fill_every_slot_heal_it() {
        let mut heal = heal(&[1, 2]);
        heal.read(&rows(&[(5, 1), (5, 3)]), true);
        heal.read(&rows(&[(5, 1), (6, 9)]), false);
        assert!(heal.needs_another_reading());
        heal.begin_reading();
        heal.read(&rows(&[(5, 2), (5, 3)]), true);
        heal.read(&rows(&[(5, 1), (6, 9)]), false);
        assert!(!heal.needs_another_reading() && !heal.has_failed());
    }

    #[test]
    fn readings_that_never_agree_fail_after_a_bounded_number() {
        let mut heal = heal(&[1, 2, 3]);
        for reading in 1..=MOST_READINGS {
            heal.begin_reading();
            heal.read(&rows(&[(5, 1), (5, 1)]), true);
            heal.read(&rows(&[(6, 9)]), false);
            assert_eq!(heal.needs_another_reading(), reading < MOST_READINGS);
        }
        assert!(heal.has_failed());
    }
}
