//! One region of the run: where its rows are, how densely, how far it is done, and whether an empty answer can be believed.
//! Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::RegionHabit;
use super::ends::Ends;
use super::event::Contradiction;
use super::fact::{PageFact, Purpose, RowKey, Standing, VideoKey, WindowId};
use super::page::longest_run;
use super::reads::{Beside, Reads};
use super::tally::CountedPages;
use crate::api::contract::{PAGE_SIZE, Region};
use crate::units::{EpochSeconds, TimeRange};

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

/// How often a question is asked before an empty answer to it is held against the service.
const MOST_QUESTIONS: u32 = 3;
/// First pages that lie after the newest one, in a row, which no deletion explains.
const LATE_OPENINGS: u32 = 2;
/// Pages of another region that are remembered, should later ones contradict them; they come at a region's beginning.
const MOST_DOUBTED: usize = 200;

/// A region's facts.
#[derive(Clone, Debug)]
pub struct RegionPlan {
    /// Its code.
    pub region: Region,
    /// From the first second that is read to the last; empty where nothing is.
    pub range: TimeRange,
    /// The seconds within it that are not read, in order: what the output holds of them is kept, or others read it.
    pub kept: Vec<TimeRange>,
    /// What others read of it.
    pub beside: Beside,
    /// Rows that the walk before a neighbour's time saw of that time, once it has ended with one; of no use to the plan.
    pub seen_beyond: Option<Vec<RowKey>>,
    /// Every second below is covered, or is listed as a gap.
    pub done_until: EpochSeconds,
    /// Every row below is in a published part.
    pub published_until: EpochSeconds,
    /// Its windows that are not merged into `done_until`, by their first second.
    pub windows: BTreeMap<EpochSeconds, WindowId>,
    /// The second of the first row.
    pub oldest: Option<EpochSeconds>,
    /// The last second of any row that was seen within the range.
    pub newest: Option<EpochSeconds>,
    /// The last second of any row on the newest page.
    pub probed_newest: Option<EpochSeconds>,
    /// The rows of the newest page.
    pub newest_rows: Vec<RowKey>,
    /// Whether the newest page has been read, or could not be.
    pub newest_read: bool,
    /// Whether the newest page came oldest first, so that nothing is known of the newest row.
    pub newest_is_unknown: bool,
    /// Whether the first window has been cut yet.
    pub is_cut: bool,
    /// The last stretch of time after a window's end that its walk has shown to be empty.
    pub empty: TimeRange,
    /// Rows that were read again, or are, because their pages did not prove them; about.
    pub rows_again: u64,
    finished_rows: u64,
    finished_seconds: i64,
    first_density: f64,
    first_pages_empty: u32,
    /// Whether a walk has brought any row, usable or not.
    has_answered: bool,
    without_filters: Option<bool>,
    times_without_filters: u32,
    without_range: Option<Option<EpochSeconds>>,
    times_without_range: u32,
    /// Whether several rows came without a range, on one page.
    shows_several: bool,
    known_second: Option<bool>,
    times_known_second: u32,
    /// A row of the range that the question around the known row brought.
    known_inside: Option<EpochSeconds>,
    /// Whether another row of the range came with it.
    is_in_company: bool,
    /// What would confirm an empty answer could not be had.
    pub evidence_failed: bool,
    /// Questions of each kind that were asked before all was asked anew.
    asked_before: (u32, u32, u32),
    /// Pages of which every row names the region as its own, and those of which every row names another.
    own_pages: u32,
    other_pages: u32,
    /// What walks' pages cover that were taken although every row of them names another region.
    pub of_another_region: Vec<TimeRange>,
    /// What such pages of other questions cover.
    pub probes_of_another_region: Vec<TimeRange>,
    /// Rows that walks showed after the last of the newest page, up to one more than a page of them.
    past_newest: BTreeSet<VideoKey>,
    /// How often in a row the range, asked from its start, began after the newest row of the newest page.
    opened_late: u32,
    /// The first second of page 1 of the range, asked from its start, where it held rows.
    opening: Option<EpochSeconds>,
    /// Where its rows begin and end, and whether that is confirmed.
    pub ends: Ends,
    /// Seconds that were done and were, or are, read again.
    pub(super) read_again: Vec<TimeRange>,
    /// How often its range was extended.
    extensions: u32,
    /// Whether the output has held rows of it, so that its code is known to mean something.
    pub is_known: bool,
    /// The pages that its rows were counted by, and pages of walks that tell the same.
    pub(super) counted_pages: CountedPages,
    /// Those that were refused; not journalled, since they are asked for a forecast alone.
    pub(super) count_refused: BTreeSet<(EpochSeconds, u32)>,
    /// Whether a page to count by could not be had; not journalled either.
    pub(super) count_failed: bool,
}

impl RegionPlan {
    /// A region of which nothing is known, in a run over `asked`.
    pub fn reading(reads: &Reads, asked: TimeRange) -> Self {
        let range = reads.hull(asked.start);
        Self {
            region: reads.region.clone(),
            range,
            kept: reads.kept(),
            beside: reads.beside,
            seen_beyond: None,
            done_until: range.start,
            published_until: range.start,
            windows: BTreeMap::new(),
            oldest: None,
            newest: None,
            probed_newest: None,
            newest_rows: Vec::new(),
            newest_read: false,
            newest_is_unknown: false,
            is_cut: false,
            empty: TimeRange::new(range.start, range.start),
            rows_again: 0,
            finished_rows: 0,
            finished_seconds: 0,
            first_density: 0.0,
            first_pages_empty: 0,
            has_answered: false,
            without_filters: None,
            times_without_filters: 0,
            without_range: None,
            times_without_range: 0,
            shows_several: false,
            known_second: None,
            times_known_second: 0,
            known_inside: None,
            is_in_company: false,
            evidence_failed: false,
            asked_before: (0, 0, 0),
            own_pages: 0,
            other_pages: 0,
            of_another_region: Vec::new(),
            probes_of_another_region: Vec::new(),
            past_newest: BTreeSet::new(),
            opened_late: 0,
            opening: None,
            ends: Ends::default(),
            read_again: Vec::new(),
            extensions: 0,
            is_known: false,
            counted_pages: CountedPages::new(),
            count_refused: BTreeSet::new(),
            count_failed: false,
        }
    }

    /// The seconds that are read, in order.
    pub fn read(&self) -> Vec<TimeRange> {
        self.range.without(&self.kept)
    }

    /// The first second at or after `second` that is not kept.
    pub fn past_kept(&self, second: EpochSeconds) -> EpochSeconds {
        self.kept.iter().find(|kept| kept.contains(second)).map_or(second, |kept| kept.end)
    }

    /// The range goes on to a later end.
    pub fn extend(&mut self, new: TimeRange) {
        if self.is_done() && self.ends.refuted(self.newest).is_none() {
            self.ends.is_read();
        }
        if self.range.is_empty() {
            self.range = TimeRange::new(new.start, new.start);
            (self.done_until, self.published_until) = (new.start, new.start);
            self.empty = self.range;
        }
        if self.range.end < new.start {
            self.kept.push(TimeRange::new(self.range.end, new.start));
            if self.done_until == self.range.end {
                self.done_until = new.start;
            }
        }
        self.range.end = new.end;
        self.extensions += 1;
        self.ends.extend();
        // What lay at the former end may go on now.
        self.counted_pages.values_mut().for_each(|pages| pages.retain(|_, page| page.slots >= PAGE_SIZE));
        self.count_refused.clear();
        (self.newest_read, self.newest_is_unknown, self.probed_newest) = (false, false, None);
        self.newest_rows.clear();
        self.past_newest.clear();
        if !self.has_answered {
            self.ask_anew();
        }
    }

    /// Its seconds are read again: where it has never shown a row, whether it is empty is asked anew too.
    pub(super) fn reopen(&mut self, range: TimeRange) {
        self.ends.reopened(range);
        self.read_again.push(range);
        if !self.has_answered {
            self.ends.extend();
            self.ask_anew();
        }
    }

    /// The number of the next question for the newest page.
    pub fn next_newest(&self) -> u32 {
        1 + self.extensions
    }

    /// Whether every second is covered or listed.
    pub fn is_done(&self) -> bool {
        self.done_until >= self.range.end
    }

    /// Whether the first walk's first page has come, with rows.
    pub fn has_rows(&self) -> bool {
        self.oldest.is_some()
    }

    /// Whether the first walk's first page has come, without rows, and nothing else has.
    pub fn looks_empty(&self) -> bool {
        self.first_pages_empty > 0 && !self.has_answered
    }

    /// How often the first walk's first page came empty.
    pub fn times_empty(&self) -> u32 {
        self.first_pages_empty
    }

    /// Whether the range has an answer without the user's filters that is empty as well.
    pub fn is_empty_without_filters(&self) -> bool {
        self.without_filters == Some(false)
    }

    /// Where the time of a neighbour begins that goes on to the end of the range; none where this run reads that end.
    pub fn neighbour(&self) -> Option<EpochSeconds> {
        let last = self.kept.last().filter(|kept| kept.end == self.range.end);
        last.filter(|_| self.beside.after.is_some()).map(|kept| kept.start)
    }

    /// Whether what the region's newest page would tell is known, or of no use: where a neighbour reads the end, rows may be
    /// everywhere.
    pub fn knows_its_extent(&self) -> bool {
        self.newest_read || self.neighbour().is_some()
    }

    /// The last second that may hold a row, as far as is known.
    pub fn last_second(&self) -> Option<EpochSeconds> {
        if let Some(neighbour) = self.neighbour() {
            return Some(neighbour.shifted(-1));
        }
        if self.newest_is_unknown { Some(self.range.end.shifted(-1)) } else { self.newest }
    }

    /// What earlier pages have shown of the rows' own region.
    pub fn habit(&self) -> RegionHabit {
        match (self.own_pages, self.other_pages) {
            (0, 0) => RegionHabit::Unknown,
            (_, 0) => RegionHabit::Own,
            _ => RegionHabit::Another,
        }
    }

    /// Whether pages were taken of which every row names the region, and others of which every row names another.
    pub fn has_shown_its_own_and_another(&self) -> bool {
        self.own_pages > 0 && self.other_pages > 0
    }

    /// Whether pages of another region were taken that later ones contradict.
    pub fn has_mixed_regions(&self) -> bool {
        let has_mixed = !self.of_another_region.is_empty() || !self.probes_of_another_region.is_empty();
        self.own_pages > 0 && has_mixed
    }

    /// Whether the newest page lacks exactly a page of the newest rows, or shows none but rows before the first page of all: what
    /// counting from 0 gives.
    pub fn newest_is_second(&self) -> bool {
        let lies_before = self.probed_newest.is_some() && self.probed_newest < self.opening;
        lies_before || self.past_newest.len() == PAGE_SIZE as usize
    }

    /// Whether the first page lies after the newest one, also when it is asked again: what counting from 0 gives of less than two pages.
    pub fn opens_after_the_newest(&self) -> bool {
        self.opened_late >= LATE_OPENINGS
    }

    /// Learns from page 1 of the range, asked from its start.
    pub fn learn_opening(&mut self, page: &PageFact) {
        let first = page.rows.iter().map(|row| row.second).min();
        self.opening = first.or(self.opening);
        if let (Some(first), Some(newest)) = (first, self.probed_newest) {
            self.opened_late = if first > newest { self.opened_late + 1 } else { 0 };
        }
    }

    /// What contradicted the contract is asked anew.
    pub fn ask_anew(&mut self) {
        self.asked_before = (self.times_without_filters, self.times_without_range, self.times_known_second);
        (self.without_filters, self.without_range, self.known_second) = (None, None, None);
        (self.known_inside, self.is_in_company, self.evidence_failed) = (None, false, false);
        (self.first_pages_empty, self.opened_late, self.opening) = (0, 0, None);
        self.past_newest.clear();
    }

    /// The newest row is gone, and with it may be what lies before it: the last second that is known is that of the row before.
    pub fn row_gone(&mut self, range: TimeRange) {
        let gone = range.end.shifted(-1);
        self.ends.row_gone(range);
        self.newest_rows.retain(|row| row.second != gone);
        if self.newest == Some(gone) {
            self.newest = self.ends.newest().max(self.newest_rows.first().map(|row| row.second));
        }
    }

    fn learn_region(&mut self, page: &PageFact) {
        let check = page.check;
        let answers = check.standing == Standing::Answers;
        self.own_pages += u32::from(answers && check.own_region > 0 && check.other_region == 0);
        let is_walk = matches!(page.address.purpose, Purpose::Walk { .. });
        let is_own = answers && check.own_region > 0;
        if let Some((last, span)) = self.of_another_region.last_mut().zip(page.span()).filter(|_| is_own && is_walk) {
            // What lies before it was skipped with the rows of another region, more rows of its first second too.
            last.end = last.end.max(span.start.shifted(1));
        }
        if answers && check.own_region == 0 && check.other_region > 0 {
            self.other_pages += 1;
        }
        if answers && check.own_region == 0 && check.other_region > 0 {
            let span = page.span().map(|span| span.intersection(self.range)).filter(|span| !span.is_empty());
            let doubted = if is_walk { &mut self.of_another_region } else { &mut self.probes_of_another_region };
            doubted.extend(span.filter(|_| doubted.len() < MOST_DOUBTED));
        }
    }

    fn learn_ends(&mut self, page: &PageFact) {
        let room = PAGE_SIZE as usize + 1;
        let passed = |row: &&RowKey| self.range.contains(row.second) && Some(row.second) > self.probed_newest;
        if self.probed_newest.is_some() && self.past_newest.len() < room {
            self.past_newest.extend(page.rows.iter().filter(passed).map(|row| row.video));
        }
    }

    /// Learns from any page of the region where rows are. `is_first` says that it is page 1 of the region's first seconds.
    pub fn apply(&mut self, page: &PageFact, is_first: bool) {
        self.learn_region(page);
        let (range, kept) = (self.range, &self.kept);
        // A row of the neighbour's time contradicts a walk that found an end before it.
        let neighbour = if page.address.purpose == Purpose::ConfirmNewest { self.neighbour() } else { None };
        let is_kept = |second| kept.iter().any(|kept| kept.contains(second) && Some(kept.start) != neighbour);
        let is_read = |second| range.contains(second) && !is_kept(second);
        self.ends.learn(page, is_read);
        let inside = page.rows.iter().map(|row| row.second).filter(|second| self.range.contains(*second));
        let (first, last) = (inside.clone().min(), inside.max());
        match page.address.purpose {
            Purpose::Walk { .. } => {
                self.has_answered |= page.slots > 0;
                self.first_pages_empty += u32::from(is_first && page.slots == 0);
                self.oldest = self.oldest.or(first);
                self.newest = self.newest.max(last);
                self.learn_ends(page);
            }
            Purpose::Newest => self.apply_newest(page, last),
            Purpose::WithoutFilters => {
                self.times_without_filters += 1;
                self.without_filters = Some(page.slots > 0 && !page.check.is_astray());
            }
            Purpose::WithoutRange => {
                self.times_without_range += 1;
                // The newest row that stands in the order of the others: one of a wrong date is not found by it.
                let oldest_first: Vec<RowKey> = page.rows.iter().rev().copied().collect();
                self.without_range = Some(longest_run(&oldest_first).last().map(|row| row.second));
                self.shows_several |= page.rows.len() > 1;
            }
            Purpose::KnownSecond => {
                self.times_known_second += 1;
                self.known_second = Some(page.slots > 0 && !page.check.is_astray());
                // What lies in the range comes first; a row of it further down has a wrong date.
                let first = page.rows.first().map(|row| row.second);
                self.known_inside = first.filter(|second| self.range.contains(*second));
                self.is_in_company = page.rows.get(1).is_some_and(|row| self.range.contains(row.second));
            }
            Purpose::ConfirmOldest | Purpose::ConfirmNewest => {
                self.has_answered |= page.slots > 0 && !page.check.is_astray();
                self.oldest = self.oldest.or(first);
                self.newest = self.newest.max(last);
            }
            Purpose::Bounds | Purpose::Count { .. } => {}
        }
        let is_probe = matches!(page.address.purpose, Purpose::Walk { .. } | Purpose::Newest);
        if is_probe && let (Some(first), Some(last)) = (first, last) {
            let density = page.rows.len() as f64 / (last.since(first) + 1) as f64;
            self.first_density = if self.is_cut { self.first_density } else { self.first_density.max(density) };
        }
    }

    fn apply_newest(&mut self, page: &PageFact, last: Option<EpochSeconds>) {
        self.newest_read = true;
        self.probed_newest = last;
        self.newest = self.newest.max(last);
        self.newest_rows = page.rows.iter().copied().filter(|row| self.range.contains(row.second)).collect();
        self.newest_is_unknown = page.check.is_astray() || page.is_oldest_first();
    }

    /// Counts a finished window into the density: the part of it that lies between the first and the last row that are known, or all of
    /// it where rows came although it lies beside these.
    pub fn count_finished(&mut self, range: TimeRange, rows: u64) {
        let until = self.last_second().map_or(range.end, |newest| range.end.min(newest.shifted(1)));
        let from = self.oldest.map_or(range.start, |oldest| range.start.max(oldest));
        let between = until.since(from).max(0);
        self.finished_rows += rows;
        self.finished_seconds += if between == 0 && rows > 0 { range.seconds() } else { between };
        self.has_answered |= rows > 0;
    }

    /// A window is finished whose seconds had been counted before.
    pub fn finished_again(&mut self, rows: u64) {
        self.has_answered |= rows > 0;
    }

    /// Row places on the pages of its finished windows.
    pub fn finished_rows(&self) -> u64 {
        self.finished_rows
    }

    /// Rows a second, as seen so far: `walked` adds what running windows saw, as (rows, seconds). Until a window has been walked
    /// it is what was counted, or else a guess from the first pages, rather too high than too low.
    pub fn density(&self, walked: (u64, i64)) -> f64 {
        let rows = self.finished_rows + walked.0;
        let seconds = self.finished_seconds + walked.1;
        // So many rows have come, or would have if the guess were right.
        let many = f64::from(PAGE_SIZE) * 20.0;
        let enough = rows as f64 >= many || self.first_density * seconds as f64 >= many;
        match enough && seconds > 0 {
            true => rows.max(1) as f64 / seconds as f64,
            false => self.counted_density().unwrap_or(self.first_density),
        }
    }

    /// Rows a second up to the furthest page that was asked to count by, whose number tells how many rows lie before its last.
    fn counted_density(&self) -> Option<f64> {
        let is_asked =
            |page: &&PageFact| matches!(page.address.purpose, Purpose::Count { .. }) && !page.rows.is_empty();
        let legs = self.counted_pages.iter().filter_map(|(anchor, pages)| {
            let page = pages.values().rev().find(is_asked)?;
            let last = page.rows.iter().map(|row| row.second).max()?;
            let from = self.oldest.map_or(*anchor, |oldest| oldest.max(*anchor));
            Some((f64::from(page.address.page.get() * PAGE_SIZE), last.since(from).max(0) + 1))
        });
        let (rows, seconds) = legs.fold((0.0, 0), |sum, leg| (sum.0 + leg.0, sum.1 + leg.1));
        (seconds > 0).then(|| rows / seconds as f64)
    }

    /// What an empty first page means, once every needed answer is there.
    ///
    /// # Errors
    /// Where the answers contradict each other.
    pub fn emptiness(&self, has_filters: bool) -> Result<Emptiness, Contradiction> {
        if self.evidence_failed {
            return Ok(Emptiness::Unproven);
        }
        if has_filters {
            match self.without_filters {
                None => return Ok(Emptiness::Ask(Purpose::WithoutFilters)),
                Some(true) => return Ok(Emptiness::Believed),
                Some(false) => {}
            }
        }
        let (region, range) = (self.region.clone(), self.range);
        let asked_known = self.times_known_second - self.asked_before.2;
        match (self.without_range, self.known_second) {
            (None, _) => Ok(Emptiness::Ask(Purpose::WithoutRange)),
            // No row anywhere confirms the time bounds then, but there is none that they could hide either.
            (Some(None), _) if self.is_known => Ok(Emptiness::Believed),
            (Some(None), _) => Ok(Emptiness::Unproven),
            (Some(Some(_)), None) => Ok(Emptiness::Ask(Purpose::KnownSecond)),
            (Some(Some(_)), Some(false)) if asked_known < MOST_QUESTIONS - 1 => {
                Ok(Emptiness::Ask(Purpose::KnownSecond))
            }
            // The row may be gone: is there another?
            (Some(Some(_)), Some(false)) if self.times_without_range - self.asked_before.1 < 2 => {
                Ok(Emptiness::Ask(Purpose::WithoutRange))
            }
            (Some(Some(_)), Some(false)) if asked_known < MOST_QUESTIONS => Ok(Emptiness::Ask(Purpose::KnownSecond)),
            (Some(Some(seen)), Some(false)) => Err(Contradiction::SecondsNotUnderstood { region, seen }),
            (Some(Some(_)), Some(true)) => {
                match self.known_inside {
                    None => Ok(Emptiness::Believed),
                    // The row may have come since, so the range is asked again before it is said to hide rows.
                    Some(_) if self.was_asked_again(has_filters) && !self.is_in_company => Ok(Emptiness::OneRow),
                    Some(seen) if self.was_asked_again(has_filters) => {
                        Err(Contradiction::RangeHidesRows { region, range, seen })
                    }
                    Some(_) if has_filters => Ok(Emptiness::Ask(Purpose::WithoutFilters)),
                    Some(_) => Ok(Emptiness::AskAgain),
                }
            }
        }
    }

    /// Whether no more than one row of it has come at all, whose second may be a wrong one.
    pub fn shows_one_row_alone(&self) -> bool {
        !self.shows_several && !self.has_rows()
    }

    /// Whether the question that the known row contradicts has come empty again after the row was seen.
    fn was_asked_again(&self, has_filters: bool) -> bool {
        let without_filters = self.times_without_filters - self.asked_before.0;
        let times = if has_filters { without_filters } else { self.first_pages_empty };
        times >= MOST_QUESTIONS
    }

    /// The number of the next question about the range without filters.
    pub fn next_without_filters(&self) -> u32 {
        self.times_without_filters + 1
    }

    /// The number of the next question about the region without a range.
    pub fn next_without_range(&self) -> u32 {
        self.times_without_range + 1
    }

    /// The number of the next question around the known row.
    pub fn next_known_second(&self) -> u32 {
        self.times_known_second + 1
    }

    /// A second that holds a row, as the region without a range has shown it.
    pub fn known_row(&self) -> Option<EpochSeconds> {
        self.without_range.flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fact::PageAddress;
    use crate::units::PageNumber;

    fn answered(is_known: bool, has_filters: bool) -> Result<Emptiness, Contradiction> {
        let region: Region = "US".parse().unwrap();
        let range = TimeRange::new(EpochSeconds::new(0), EpochSeconds::new(100));
        let mut plan = RegionPlan { is_known, ..RegionPlan::reading(&Reads::whole(region.clone(), range), range) };
        let mut asked = vec![];
        while let Ok(Emptiness::Ask(purpose)) = plan.emptiness(has_filters) {
            asked.push(purpose);
            let address = PageAddress { region: region.clone(), purpose, page: PageNumber::FIRST };
            let page = PageFact {
                address,
                fetched_at: EpochSeconds::new(1),
                slots: 0,
                rows: vec![],
                check: Default::default(),
            };
            plan.apply(&page, false);
        }
        assert_eq!(asked.len(), if has_filters { 2 } else { 1 }, "{asked:?}");
        plan.emptiness(has_filters)
    }

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(end))
    }

    /// Where rows are known from second 10 through 19.
    fn with_rows(range: TimeRange) -> RegionPlan {
        let reads = Reads::whole("US".parse().unwrap(), range);
        let (oldest, newest) = (Some(EpochSeconds::new(10)), Some(EpochSeconds::new(19)));
        RegionPlan { oldest, newest, ..RegionPlan::reading(&reads, range) }
    }

    /// Windows beside the known rows counted their rows and no second, so the density rose until each window was a second long.
    #[test]
    fn a_finished_window_counts_the_seconds_that_its_rows_may_lie_in() {
        type Finished<'a> = &'a [(TimeRange, u64)];
        let cases: [(&str, Finished<'_>, f64); 5] = [
            ("between the known rows", &[(range(0, 100), 500)], 50.0),
            ("a part of these", &[(range(15, 100), 500)], 100.0),
            ("beside them, with rows", &[(range(50, 150), 500)], 5.0),
            ("beside them, with rows, twice", &[(range(50, 150), 500), (range(150, 250), 300)], 4.0),
            ("beside them, without", &[(range(0, 20), 500), (range(50, 150), 0)], 50.0),
        ];
        for (what, finished, density) in cases {
            let mut plan = with_rows(range(0, 1_000));
            finished.iter().for_each(|(range, rows)| plan.count_finished(*range, *rows));
            assert_eq!(plan.density((0, 0)), density, "{what}");
        }
    }

    /// A run that goes on to a later end forgot that windows had taken an end for that of all rows.
    #[test]
    fn what_was_taken_for_the_end_is_remembered_until_all_is_read() {
        for (done_until, newest, refuted) in [
            (30, 50, Some(range(20, 40))),
            (100, 19, None),
            // Rows that came beyond are still to be looked for.
            (100, 50, Some(range(20, 40))),
        ] {
            let mut plan = with_rows(range(0, 100));
            plan.ends.nothing_follows(range(20, 40));
            (plan.done_until, plan.newest) = (EpochSeconds::new(done_until), Some(EpochSeconds::new(newest)));
            plan.extend(range(100, 200));
            assert_eq!(plan.ends.refuted(Some(EpochSeconds::new(150))), refuted, "{done_until} {newest}");
        }
    }

    #[test]
    fn a_region_without_any_row_is_believed_to_be_empty_only_where_the_output_has_held_rows_of_it() {
        for has_filters in [false, true] {
            assert_eq!(answered(true, has_filters), Ok(Emptiness::Believed));
            assert_eq!(answered(false, has_filters), Ok(Emptiness::Unproven));
        }
    }
}
