//! The evidence of one window while it is read: in memory only where seconds are open. Pure.
//!
//! A page that shows nothing odd is taken as soon as it comes: it is full, in order, and goes on from the page before it without a row
//! of that. The kernel would certify its seconds by OnePage, Filled or Between, so nothing else is kept of it. What is odd stays, with
//! what follows it, until the window ends; then the kernel is asked.

use std::collections::BTreeMap;

use super::ledger::{Ledger, Uncovered};
use super::observation::{Observation, Rules, Series, Turn};
use super::premise::Refutation;
use crate::plan::fact::{PageFact, Purpose, RowKey, Standing, VideoKey};
use crate::units::{EpochSeconds, PageNumber, TimeRange};

/// Pages that are kept of one window, about 0.3 KB each. Beyond that its walk is believed up to where it is.
const MOST_OPEN: usize = 2_000;

/// A page's scan and its number there.
type Place = (u32, u32);

/// What the pages of one window prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowEvidence {
    /// What each scan asks.
    series: BTreeMap<u32, Series>,
    /// Every second of the window below is covered, or too much was open to tell.
    covered_until: EpochSeconds,
    /// The last page that was taken.
    last: Option<Taken>,
    /// Pages that may help to cover an open second.
    open: BTreeMap<Place, Page>,
    /// Whether a page came that answers another question: lists may have changed under the pages that followed.
    has_strayed: bool,
    /// The last page that lies before what was asked, or that follows one and holds rows of both: they are another question's where the lower
    /// bound is kept to.
    early: Option<Place>,
    /// What is known of its seconds from a window that was read before it.
    former: Vec<Observation>,
}

/// The last page that was taken, of those that go on from each other.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Taken {
    place: Place,
    /// Its last second.
    second: EpochSeconds,
    /// The rows of that second, on this page and on those before it.
    videos: Vec<VideoKey>,
}

/// One page, without what its scan says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Page {
    turn: Turn,
    made: EpochSeconds,
    rows: Vec<RowKey>,
    slots: u32,
}

impl WindowEvidence {
    /// Nothing is known of a window that begins with this second.
    pub fn new(start: EpochSeconds) -> Self {
        Self {
            series: BTreeMap::new(),
            covered_until: start,
            last: None,
            open: BTreeMap::new(),
            has_strayed: false,
            early: None,
            former: Vec::new(),
        }
    }

    /// Scan `number` of the window begins, and asks this.
    pub fn begin(&mut self, number: u32, series: Series) {
        self.series.insert(number, series);
    }

    /// Takes over what another window's pages may help to cover these seconds, which are all of this one.
    pub fn take_over(&mut self, other: &Self, range: TimeRange) {
        let touches = |page: &Observation| {
            let seconds = || page.rows.iter().map(|row| row.second);
            seconds().min().is_none_or(|first| first <= range.end)
                && seconds().max().is_none_or(|last| last.shifted(1) >= range.start)
        };
        self.former = other.observations().filter(touches).collect();
    }

    /// Takes a page of one of its scans in.
    pub fn fold(&mut self, fact: &PageFact, turn: Turn) {
        let Purpose::Walk { scan, .. } = fact.address.purpose else { return };
        let start = self.series.get(&scan).map(|series| series.sure.start);
        let is_mostly_apart = !fact.is_placed() && fact.check.outside.saturating_mul(2) > fact.slots;
        let place = (scan, fact.address.page.get());
        let lies_before = fact.check.standing == Standing::Outside
            && fact.is_oldest_first()
            && fact.rows.iter().all(|row| Some(row.second) < start);
        let ends_early = is_mostly_apart && self.early.is_some_and(|(scan, page)| (scan, page + 1) == place);
        if lies_before || ends_early {
            self.early = Some(place);
        } else {
            self.has_strayed |= fact.check.is_astray() || is_mostly_apart;
        }
        if fact.check.is_astray() || !self.series.contains_key(&scan) {
            return;
        }
        let page = Page { turn, made: fact.fetched_at, rows: fact.rows.clone(), slots: fact.slots };
        self.open.entry(place).or_insert(page);
        if place.1 == PageNumber::FIRST.get() {
            self.take_first(place);
        }
        while self.take_next() {}
        if self.open.len() > MOST_OPEN {
            let last = self.open.values().flat_map(|page| &page.rows).map(|row| row.second).max();
            self.covered_until = self.covered_until.max(last.unwrap_or(self.covered_until));
            self.open.clear();
        }
    }

    /// A page of one of its scans is refused as beyond an end, which says of the list what an empty page does.
    pub fn refused(&mut self, place: (u32, u32), at: EpochSeconds) {
        if self.series.contains_key(&place.0) {
            self.open.entry(place).or_insert(Page { turn: Turn::InTurn, made: at, rows: Vec::new(), slots: 0 });
        }
    }

    /// Whether places of its pages hold what cannot be told from others, so that it may rest on rows of one second keeping their order.
    pub fn is_blind(&self, rules: Rules) -> bool {
        let is_placed = |page: &Page| u32::try_from(page.rows.len()) == Ok(page.slots);
        !self.open.is_empty()
            && (rules.is_habit
                || self.open.values().any(|page| !is_placed(page))
                || self.former.iter().any(|page| page.unplaced > 0))
    }

    /// Every second of the window below is covered by pages that show nothing odd, each of which another followed.
    pub fn covered_until(&self) -> EpochSeconds {
        self.covered_until
    }

    /// Whether a page of it answered another question, where the lower bound is kept to or is not.
    pub fn has_strayed(&self, min_stays_loose: bool) -> bool {
        self.has_strayed || (self.early.is_some() && !min_stays_loose)
    }

    /// The seconds of these of which it takes the kernel to tell whether they are covered.
    pub fn undecided(&self, range: TimeRange) -> TimeRange {
        // Where rows of these seconds came after a page that reaches beyond them, that page may have ended with a wrong date.
        let goes_back = |last: &Taken| {
            let later = self.open.iter().filter(|(place, _)| **place > last.place);
            later.flat_map(|(_, page)| &page.rows).any(|row| row.second < range.end)
        };
        let reaches_beyond = |last: &Taken| last.second >= range.end && !goes_back(last);
        let is_past = self.last.as_ref().is_some_and(|last| reaches_beyond(last) || self.ends_after(last));
        if is_past {
            TimeRange::new(range.end, range.end)
        } else {
            TimeRange::new(range.start.max(self.covered_until), range.end)
        }
    }

    /// What of these seconds no certificate covers, by the window's pages alone, where this is known not to hold.
    pub fn uncovered(&self, range: TimeRange, rules: Rules, refuted: &[Refutation]) -> Vec<Uncovered> {
        let mut ledger = Ledger::new(rules, range);
        refuted.iter().for_each(|refutation| ledger.refute(refutation.clone()));
        self.observations().for_each(|page| ledger.fold(page));
        ledger.settle_as_told()
    }

    fn observations(&self) -> impl Iterator<Item = Observation> {
        let own = self.open.iter().filter_map(|((scan, number), page)| {
            let placed = u32::try_from(page.rows.len()).unwrap_or(u32::MAX);
            Some(Observation {
                series: self.series.get(scan)?.clone(),
                page: PageNumber::new(*number).ok()?,
                turn: page.turn,
                made: page.made,
                rows: page.rows.clone(),
                unplaced: page.slots.saturating_sub(placed),
            })
        });
        own.chain(self.former.iter().cloned())
    }

    /// Takes the page after the last one that was taken.
    fn take_next(&mut self) -> bool {
        let Some(last) = &self.last else { return false };
        let place = (last.place.0, last.place.1 + 1);
        let Some(next) = self.open.get(&place).filter(|next| next.is_full() && next.goes_on_from(last)) else {
            return false;
        };
        let Some((first, end)) = next.ends() else { return false };
        let mut videos = next.at(end);
        if end == last.second {
            videos.extend(&last.videos);
        }
        self.covered_until = self.covered_until.max(last.second);
        self.last = Some(Taken { place, second: end, videos });
        if first < end {
            self.forget(place);
        }
        true
    }

    /// Takes the first page of a scan that begins with what is covered.
    fn take_first(&mut self, place: Place) {
        let Some((page, series)) = self.open.get(&place).zip(self.series.get(&place.0)) else { return };
        let Some((covered, (_, end))) = self.reaches(page, series).zip(page.ends().filter(|_| page.is_full())) else {
            return;
        };
        let videos = page.at(end);
        self.covered_until = self.covered_until.max(covered);
        self.last = Some(Taken { place, second: end, videos });
        self.forget(place);
    }

    /// Up to where all is covered once the first page of a scan is taken; none where something is open before it.
    fn reaches(&self, page: &Page, series: &Series) -> Option<EpochSeconds> {
        let start = series.sure.start;
        let is_within = page.rows.first().is_some_and(|row| row.second >= start.shifted(-1));
        let last = self.last.as_ref().filter(|last| last.second >= start);
        // What the last page ends with is no wrong date if it comes again.
        let is_same = last.is_some_and(|last| page.rows.iter().any(|row| last.videos.contains(&row.video)));
        match is_within && !series.is_newest_first && page.is_plain() {
            true if is_same => last.map(|last| last.second),
            true if start <= self.covered_until => Some(self.covered_until),
            _ => None,
        }
    }

    /// Whether the list goes on after the last page that was taken with one that is odd in nothing but its free places, and ends then:
    /// nothing but another witness of that end can be missing.
    fn ends_after(&self, last: &Taken) -> bool {
        let page = |pages: u32| self.open.get(&(last.place.0, last.place.1 + pages));
        let is_end = |page: Option<&Page>| page.is_some_and(|page| page.slots == 0);
        is_end(page(1)) || (is_end(page(2)) && page(1).is_some_and(|next| next.is_plain() && next.goes_on_from(last)))
    }

    /// Forgets what is of no use any more: the pages before the last one that was taken, but for the one that brackets its rows.
    fn forget(&mut self, last: Place) {
        let until = self.covered_until;
        let is_open = |page: &Page| page.rows.is_empty() || page.rows.iter().any(|row| row.second >= until);
        self.open.retain(|place, page| if place.0 == last.0 { place.1 + 1 >= last.1 } else { is_open(page) });
    }
}

impl Page {
    fn is_full(&self) -> bool {
        self.slots == Rules::USUAL.page_size && self.is_plain()
    }

    /// Whether its rows can all be placed, are in order, and come once.
    fn is_plain(&self) -> bool {
        let is_again =
            |(index, row): (usize, &RowKey)| self.rows.iter().skip(index + 1).any(|other| other.video == row.video);
        let is_placed = u32::try_from(self.rows.len()) == Ok(self.slots);
        is_placed && self.rows.is_sorted_by_key(|row| row.second) && !self.rows.iter().enumerate().any(is_again)
    }

    fn goes_on_from(&self, last: &Taken) -> bool {
        let is_new =
            |row: &RowKey| row.second > last.second || (row.second == last.second && !last.videos.contains(&row.video));
        self.rows.iter().all(is_new)
    }

    fn ends(&self) -> Option<(EpochSeconds, EpochSeconds)> {
        self.rows.first().zip(self.rows.last()).map(|(first, last)| (first.second, last.second))
    }

    fn at(&self, second: EpochSeconds) -> Vec<VideoKey> {
        self.rows.iter().filter(|row| row.second == second).map(|row| row.video).collect()
    }
}

#[cfg(test)]
mod tests;
