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

/// How the healing of one second stands.
#[derive(Clone, Debug)]
pub struct Heal {
    second: EpochSeconds,
    union: BTreeSet<VideoKey>,
    /// Rows of a wrong date that stood among those of the second: they take a place of it wherever a reading shows them.
    misdated: BTreeSet<VideoKey>,
    slots: u32,
    slots_before: Option<u32>,
    readings: u32,
    pages: u32,
    /// The last page held rows of the second and had a free place; and whether rows came after such a page, so that it may
    /// have left some out.
    ended_short: bool,
    is_torn: bool,
    /// The ids in the order of the reading before and of this one; and whether any two ever changed places.
    order_before: Vec<VideoKey>,
    order: Vec<VideoKey>,
    has_moved: bool,
    stage: HealStage,
    /// Its last reading ended with nothing behind it, so that rows of it may follow where that was no end.
    at_end: bool,
}

/// One ordered page of a reading.
#[derive(Clone, Copy, Debug)]
pub struct HealPage<'a> {
    /// Its rows in order.
    pub rows: &'a [RowKey],
    /// Its rows of a wrong date, with those that the page before held back.
    pub strays: &'a [RowKey],
    /// All rows as they came.
    pub came: &'a [RowKey],
    /// Whether it is the reading's first.
    pub opens: bool,
    /// Whether it has no free place.
    pub is_full: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HealStage {
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
    /// A second that is about to be read again, with the ids that are known of it and the order in which they came last.
    pub fn new(second: EpochSeconds, known: BTreeSet<VideoKey>, order: Vec<VideoKey>) -> Self {
        Self {
            second,
            union: known,
            misdated: BTreeSet::new(),
            slots: 0,
            slots_before: None,
            readings: 0,
            pages: 0,
            ended_short: false,
            is_torn: false,
            order_before: order,
            order: Vec::new(),
            has_moved: false,
            stage: HealStage::Reading,
            at_end: false,
        }
    }

    /// The second in question.
    pub fn second(&self) -> EpochSeconds {
        self.second
    }

    /// Whether it is being read.
    pub fn is_reading(&self) -> bool {
        self.stage == HealStage::Reading
    }

    /// Whether nothing more is expected of it: its readings agreed, or it is listed.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, HealStage::Healed | HealStage::Listed)
    }

    /// It was listed as unproven.
    pub fn list(&mut self) {
        self.stage = HealStage::Listed;
    }

    /// Whether the walk must go back to it.
    pub fn needs_another_reading(&self) -> bool {
        self.stage == HealStage::Unsettled
    }

    /// Whether a reading of it does not end, so that the walk has to go past it.
    pub fn is_endless(&self) -> bool {
        self.stage == HealStage::Endless
    }

    fn compare_orders(&mut self) {
        let order = std::mem::take(&mut self.order);
        self.has_moved |= changes_places(&self.order_before, &order);
        self.order_before = order;
    }

    /// Whether two of its rows changed places between two readings, or may have, behind pages that leave rows out.
    pub fn has_moved(&self) -> bool {
        self.has_moved || (self.is_torn && self.stage == HealStage::Failed)
    }

    /// Whether its readings never agreed.
    pub fn has_failed(&self) -> bool {
        self.stage == HealStage::Failed
    }

    /// Begins another reading, unless it is over.
    pub fn begin_reading(&mut self) {
        if self.stage == HealStage::Listed || (self.stage == HealStage::Healed && !self.at_end) {
            return;
        }
        (self.slots, self.ended_short) = (0, false);
        self.order.clear();
        self.stage = HealStage::Reading;
    }

    /// Takes the rows of one ordered page.
    pub fn read(&mut self, page: &HealPage<'_>) {
        if self.stage != HealStage::Reading {
            return;
        }
        let rows = page.rows;
        self.is_torn |= self.ended_short;
        self.pages += 1;
        let slots_before_page = self.slots;
        let stand_in: Vec<VideoKey> =
            page.strays.iter().filter(|stray| self.stands_in(stray, page.came)).map(|stray| stray.video).collect();
        self.misdated.extend(stand_in);
        let stands_in = page.strays.iter().filter(|row| self.misdated.contains(&row.video));
        let is_own = |row: &&RowKey| row.second == self.second || self.misdated.contains(&row.video);
        let own: Vec<VideoKey> = rows.iter().filter(is_own).chain(stands_in).map(|row| row.video).collect();
        for video in own {
            self.slots += 1;
            self.union.insert(video);
            self.order.push(video);
        }
        let is_past = rows.last().is_some_and(|row| row.second > self.second);
        self.ended_short = !page.is_full && self.slots > slots_before_page;
        self.is_torn |= self.ended_short && is_past;
        if self.slots as usize > 2 * self.union.len() + ENDLESS_SLOTS {
            self.stage = HealStage::Endless;
        } else if is_past && page.opens && slots_before_page == 0 && !self.is_torn {
            self.compare_orders();
            (self.stage, self.at_end) = (HealStage::Healed, false);
        } else if is_past {
            self.pass();
        }
    }

    /// Whether a row of a wrong date stands between rows of the second: one at its edge may be its neighbour's.
    fn stands_in(&self, stray: &RowKey, came: &[RowKey]) -> bool {
        let place = came.iter().position(|row| row == stray).unwrap_or(0);
        let (before, after) = came.split_at(place);
        let holds = |rows: &[RowKey]| rows.iter().any(|row| row.second == self.second);
        (self.slots > 0 || holds(before)) && holds(after)
    }

    /// Nothing comes after the reading: it is whole where that is the end.
    pub fn end(&mut self) {
        if self.is_reading() {
            self.pass();
            self.at_end = true;
        }
    }

    /// The reading is whole: the walk is past the second.
    fn pass(&mut self) {
        self.at_end = false;
        self.readings += 1;
        self.compare_orders();
        let as_many = u32::try_from(self.union.len()).is_ok_and(|ids| ids == self.slots);
        let agrees = self.slots_before == Some(self.slots);
        self.slots_before = Some(self.slots);
        let may_go_on = self.readings < MOST_READINGS && self.pages < MOST_PAGES && !self.is_torn;
        self.stage = match (as_many && agrees && !self.is_torn, may_go_on) {
            (true, _) => HealStage::Healed,
            (false, true) => HealStage::Unsettled,
            (false, false) => HealStage::Failed,
        };
    }
}

/// Whether ids that stand in both lists stand in another order.
pub fn changes_places(before: &[VideoKey], after: &[VideoKey]) -> bool {
    let (old, new): (BTreeSet<&VideoKey>, BTreeSet<&VideoKey>) = (before.iter().collect(), after.iter().collect());
    let known = before.iter().filter(|video| new.contains(video));
    !known.eq(after.iter().filter(|video| old.contains(video)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(list: &[(i64, u64)]) -> Vec<RowKey> {
        list.iter().map(|&(second, id)| RowKey { second: EpochSeconds::new(second), video: VideoKey(id) }).collect()
    }

    fn heal(known: &[u64]) -> Heal {
        Heal::new(EpochSeconds::new(5), known.iter().copied().map(VideoKey).collect(), Vec::new())
    }

    fn read(heal: &mut Heal, list: &[(i64, u64)], opens: bool) {
        read_strays(heal, list, list, opens);
    }

    /// A page that came as `came`, of which the rows in `list` are in order.
    fn read_strays(heal: &mut Heal, list: &[(i64, u64)], came: &[(i64, u64)], opens: bool) {
        let (rows, came) = (rows(list), rows(came));
        let strays: Vec<RowKey> = came.iter().copied().filter(|row| !rows.contains(row)).collect();
        heal.read(&HealPage { rows: &rows, strays: &strays, came: &came, opens, is_full: true });
    }

    #[test]
    fn a_second_that_comes_whole_on_one_page_is_healed_at_once() {
        let mut heal = heal(&[1]);
        read(&mut heal, &[(5, 1), (5, 2), (6, 9)], true);
        assert!(!heal.needs_another_reading() && !heal.has_failed() && heal.is_over());
    }

    #[test]
    fn two_equal_readings_whose_ids_fill_every_slot_heal_it() {
        let mut heal = heal(&[1, 2]);
        read(&mut heal, &[(5, 1), (5, 3)], true);
        read(&mut heal, &[(5, 1), (6, 9)], false);
        assert!(heal.needs_another_reading());
        heal.begin_reading();
        read(&mut heal, &[(5, 2), (5, 3)], true);
        read(&mut heal, &[(5, 1), (6, 9)], false);
        assert!(!heal.needs_another_reading() && !heal.has_failed());
    }

    /// An empty page was no end: two readings up to there agreed, and what followed later was never counted.
    #[test]
    fn a_second_that_ended_with_nothing_behind_it_is_read_on_where_rows_follow() {
        let mut heal = heal(&[1, 2]);
        for _ in 0..2 {
            heal.begin_reading();
            read(&mut heal, &[(5, 1), (5, 2)], true);
            heal.end();
        }
        assert!(heal.is_over());
        heal.begin_reading();
        read(&mut heal, &[(5, 1), (5, 2)], true);
        read(&mut heal, &[(5, 2), (6, 9)], false);
        assert!(heal.needs_another_reading(), "it has three places, and two rows are known");
    }

    #[test]
    fn readings_that_never_agree_fail_after_a_bounded_number() {
        let mut heal = heal(&[1, 2, 3]);
        for reading in 1..=MOST_READINGS {
            heal.begin_reading();
            read(&mut heal, &[(5, 1), (5, 1)], true);
            read(&mut heal, &[(6, 9)], false);
            assert_eq!(heal.needs_another_reading(), reading < MOST_READINGS);
        }
        assert!(heal.has_failed());
    }

    /// A row of the next second whose date was wrong stood on the last page of a second, was taken for one of it, and filled the
    /// place of a row that no reading had shown.
    #[test]
    fn a_misdated_row_at_the_edge_takes_no_place() {
        let mut heal = heal(&[1, 2]);
        for _ in 0..2 {
            heal.begin_reading();
            read(&mut heal, &[(5, 1), (5, 2), (5, 1)], true);
            read_strays(&mut heal, &[(6, 9)], &[(9, 8), (6, 9)], false);
        }
        assert!(heal.needs_another_reading());
    }

    /// The same row was counted on one reading, as standing among others, and not on the next, as standing after them.
    #[test]
    fn a_misdated_row_takes_its_place_wherever_it_stands() {
        let mut heal = heal(&[1, 2]);
        read_strays(&mut heal, &[(5, 1), (5, 2)], &[(5, 1), (7, 3), (5, 2)], true);
        read(&mut heal, &[(6, 9)], false);
        heal.begin_reading();
        read(&mut heal, &[(5, 1), (5, 2), (7, 3)], true);
        read(&mut heal, &[(7, 10)], false);
        assert!(heal.is_over());
    }
}
