//! One second that fills every page that the service serves: read from its last row on, newest first, until it meets what was
//! read from the first. Pure.
//!
//! The two readings together hold every row where the second's rows stand in the same order for both. That they do is shown
//! where they meet: the rows of the first reading's last page come again, the other way round, one by one, and no row came
//! twice or stood between them.

use std::collections::BTreeSet;

use super::Walk;
use super::ending::doubts_needed;
use super::step::{WalkContext, WalkStep, anchor};
use crate::api::contract::SOURCE;
use crate::plan::event::{Ending, ScanReason};
use crate::plan::fact::{PageFact, VideoKey};
use crate::plan::heal::Heal;
use crate::units::EpochSeconds;

/// The reading from the second's end.
#[derive(Clone, Debug)]
pub(super) struct FromEnd {
    second: EpochSeconds,
    /// The rows of the reading from the first row, and those of its last page, the last first.
    known: BTreeSet<VideoKey>,
    tail: Vec<VideoKey>,
    /// Rows of this reading that the other does not have, and how many of the tail have come again.
    new: BTreeSet<VideoKey>,
    met: usize,
    stage: FromEndStage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FromEndStage {
    Reading,
    /// The two readings have met in one order.
    Met,
    /// The rows stand in another order, or pages left rows out.
    Failed,
}

impl FromEnd {
    /// Takes the next page of the reading; whether it showed by meeting the other that rows lie behind the other's last page.
    pub(super) fn read(&mut self, page: &PageFact) -> bool {
        let is_whole = page.slots >= SOURCE.page_size && page.rows.len() == page.slots as usize;
        for row in &page.rows {
            // While a bound is not known, rows of the second after it may come first.
            let may_come_first = row.second > self.second && self.new.is_empty() && self.met == 0;
            if self.stage == FromEndStage::Reading && !may_come_first {
                self.take(row.second, row.video);
            }
        }
        if !is_whole && self.stage == FromEndStage::Reading {
            self.stage = FromEndStage::Failed;
        }
        self.stage == FromEndStage::Met && !self.new.is_empty()
    }

    fn take(&mut self, second: EpochSeconds, video: VideoKey) {
        let meets = self.tail.get(self.met) == Some(&video);
        let is_known = self.known.contains(&video);
        self.stage = match (second == self.second, meets) {
            (true, true) if self.met + 1 == self.tail.len() => FromEndStage::Met,
            (true, true) => FromEndStage::Reading,
            // A row that stands between those of the other reading, or that came before, shows another order.
            (true, false) if !is_known && self.met == 0 && self.new.insert(video) => FromEndStage::Reading,
            _ => FromEndStage::Failed,
        };
        self.met += usize::from(meets);
    }

    /// Whether it has met the other reading.
    pub(super) fn has_met(&self) -> bool {
        self.stage == FromEndStage::Met
    }

    /// Whether its next page is wanted.
    pub(super) fn is_going_on(&self) -> bool {
        self.stage == FromEndStage::Reading
    }
}

impl Walk {
    /// Gives one second up as unproven and goes on after it; where it fills page after page it is read from its end first.
    pub(super) fn past_full_second(&self, second: EpochSeconds, context: &WalkContext<'_>, why: &str) -> WalkStep {
        match self.can_turn_to_the_end(second, context) {
            true => anchor(second, ScanReason::FromEnd),
            false => self.past_second(second, why),
        }
    }

    /// Whether this scan read the second in order from its first row on, and its last page lies within it.
    pub(super) fn can_turn_to_the_end(&self, second: EpochSeconds, context: &WalkContext<'_>) -> bool {
        // Before rows have shown an order, others may lie before those that came.
        let is_first = context.order.is_proven || self.has_ascended() || self.scan.anchor == second;
        let is_within = self.last.previous.len() == SOURCE.page_size as usize
            && self.last.previous.iter().all(|row| row.second == second);
        let is_sure = self.so_far.is_clean
            && !self.is_bounded()
            && !context.short.pages_hide
            && self.heals.iter().all(Heal::is_over);
        let is_wanted =
            second < self.range.end && !self.listed.contains(second) && self.dense.read_from_end != Some(second);
        is_within && is_sure && is_wanted && self.reach.frontier == Some(second) && is_first
    }

    /// The second that is being read from its end, and how many rows that showed which had not come before; none where the two readings have
    /// not met.
    pub(super) fn read_from_end(&self) -> Option<(EpochSeconds, Option<u64>)> {
        let reading = self.mode.other_end()?;
        let came = |video: &&VideoKey| self.reach.at_frontier.contains(*video);
        let more = reading.new.iter().filter(|video| !came(video)).count() as u64;
        let is_known = reading.has_met() && self.reach.frontier == Some(reading.second);
        Some((reading.second, is_known.then_some(more)))
    }

    /// Begins the reading from a second's other end, with what it has to meet.
    pub(super) fn turn_to_the_end(&mut self, second: EpochSeconds, before: Option<Box<FromEnd>>) -> FromEnd {
        self.dense.read_from_end = Some(second);
        let (known, tail) = match before {
            // Asked once more with a bound that has been learned, it has the same to meet.
            Some(before) => (before.known, before.tail),
            None => {
                let tail = self.last.previous.iter().rev().map(|row| row.video).collect();
                (self.reach.scan_at_frontier.clone(), tail)
            }
        };
        let (new, met, stage) = (BTreeSet::new(), 0, FromEndStage::Reading);
        FromEnd { second, known, tail, new, met, stage }
    }

    /// What follows from the pages of a reading from the second's end.
    pub(super) fn step_from_end(&self, reading: &FromEnd, context: &WalkContext<'_>) -> WalkStep {
        let second = reading.second;
        let asks_too_late = context.bounds.max_is_inclusive && self.scan.asked_max > second && reading.new.is_empty();
        match reading.stage {
            FromEndStage::Met if second.shifted(1) >= self.range.end => {
                WalkStep::Finish { ending: Ending::BothEnds, unproven: Vec::new() }
            }
            FromEndStage::Met => self.past_second_with(second, Vec::new()),
            FromEndStage::Failed => self.leave_from_end(second, context),
            FromEndStage::Reading if self.so_far.pages > 0 && reading.met == 0 && asks_too_late => {
                anchor(second, ScanReason::FromEnd)
            }
            FromEndStage::Reading if self.so_far.pages >= context.pages.cap => self.leave_from_end(second, context),
            FromEndStage::Reading => self.ask_next(context),
        }
    }

    /// What was read of the second from both ends does not meet. It stays unproven, but where what seemed to be its end may have
    /// been a wrong answer it is read once more from its first row on.
    pub(super) fn leave_from_end(&self, second: EpochSeconds, context: &WalkContext<'_>) -> WalkStep {
        let is_capped = self.doubts.good_pages_before >= context.pages.cap;
        if !is_capped
            && !self.has_doubted_enough(second)
            && self.doubts.fruitless + 1 < doubts_needed(self.doubts.good_pages_before)
        {
            return anchor(second, ScanReason::Doubt);
        }
        let why = "it holds more rows than the service serves pages of, and reading it from both ends did not show that none is missing";
        self.past_second(second, why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fact::{PageAddress, Purpose, RowKey, WindowId};
    use crate::units::PageNumber;

    fn page(rows: &[(i64, u64)]) -> PageFact {
        let rows: Vec<RowKey> = rows
            .iter()
            .map(|&(second, id)| RowKey { second: EpochSeconds::new(second), video: VideoKey(id) })
            .collect();
        let purpose = Purpose::Walk { window: WindowId(0), scan: 1 };
        let address = PageAddress { region: "US".parse().unwrap(), purpose, page: PageNumber::FIRST };
        PageFact { address, fetched_at: EpochSeconds::new(0), slots: SOURCE.page_size, rows, check: Default::default() }
    }

    /// A second of which rows 1 to 20 were read, of those 11 to 20 on the last page.
    fn reading() -> FromEnd {
        FromEnd {
            second: EpochSeconds::new(5),
            known: (1..=20).map(VideoKey).collect(),
            tail: (11..=20).rev().map(VideoKey).collect(),
            new: BTreeSet::new(),
            met: 0,
            stage: FromEndStage::Reading,
        }
    }

    fn of_second(ids: impl IntoIterator<Item = u64>) -> Vec<(i64, u64)> {
        ids.into_iter().map(|id| (5, id)).collect()
    }

    #[test]
    fn two_readings_meet_where_one_is_the_other_the_other_way_round() {
        let mut reading = reading();
        // The second after it comes first while it is not known whether the bound is inclusive.
        let mut first: Vec<(i64, u64)> = vec![(6, 99), (6, 98)];
        first.extend(of_second((27..=34).rev()));
        assert!(!reading.read(&page(&first)) && reading.is_going_on());
        assert!(!reading.read(&page(&of_second((17..=26).rev()))) && reading.is_going_on());
        assert!(reading.read(&page(&of_second((7..=16).rev()))));
        assert_eq!(reading.stage, FromEndStage::Met);
    }

    #[test]
    fn readings_in_another_order_do_not_meet() {
        let wrong = [
            vec![of_second(1..=10)],                                                   // the same way round
            vec![of_second((11..=20).rev().map(|id| if id == 15 { 50 } else { id }))], // a row between
            vec![of_second((31..=40).rev()), of_second((22..=31).rev())],              // one comes twice
            vec![of_second((12..=21).rev().map(|id| if id == 20 { 3 } else { id }))],  // an early row at the end
            vec![vec![(5, 30), (6, 31), (5, 29), (5, 28), (5, 27), (5, 26), (5, 25), (5, 24), (5, 23), (5, 22)]],
            vec![vec![(5, 30), (4, 31), (4, 29), (4, 28), (4, 27), (4, 26), (4, 25), (4, 24), (4, 23), (4, 22)]],
        ];
        for pages in wrong {
            let mut reading = reading();
            pages.iter().for_each(|rows| assert!(!reading.read(&page(rows))));
            assert_eq!(reading.stage, FromEndStage::Failed, "{pages:?}");
        }
    }

    #[test]
    fn a_page_with_a_free_place_or_a_row_without_an_id_proves_nothing() {
        let mut short = page(&of_second((22..=30).rev()));
        for slots in [9, 10, 0] {
            short.slots = slots;
            let mut reading = reading();
            assert!(!reading.read(&short));
            assert_eq!(reading.stage, FromEndStage::Failed, "{slots}");
        }
    }
}
