//! Short pages that were believed are asked for once more, long enough after. Pure.
//!
//! Looks around a short page agree with each other where all of them lack the same rows for a while: parts of a search index are down.
//! So looks that come close together are one witness. Of a region's pages that were believed so, the one that showed least is asked again
//! before the region is done, apart in time. If rows come that its walk did not see, none of them is believed: all are read again. If it
//! comes with more rows than it had, and its walk saw those later, or full, it was short for a while only, and the next of some is asked too.
//! Where all of these do, short pages are no habit of the service: pages may have had fewer places for a while, so that the first ones with all of
//! theirs leapt over rows. Then none is believed either. For the same reason a full answer that ends before the row which followed the short page is
//! gone on from: what stands between is asked for too.
//!
//! A full page is believed so, too, where some of its rows cannot be placed or were not asked for: each stands in the place of another row that the
//! page may have left out, for a while. If it is still so when it is asked again, and shows no other row, that is how the service is. If it is not,
//! its walk saw the row elsewhere; where that is so of all that are remembered, the others are not believed.
//!
//! A page may still be short when it is asked again, and pages have fewer places for longer than is waited. Then rows were skipped where the first
//! page with more of them followed, and a page from the row before that leap shows them, however few places it has. The widest is asked about.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::fact::{PageFact, RowKey, VideoKey};
use crate::api::contract::SOURCE;
use crate::units::{EpochSeconds, PageNumber, TimeRange};

/// Answers in a row that show nothing of a page, before what was believed is listed.
const MOST_ASKED: u32 = 4;
/// Short pages of a region that are remembered to be asked again, one after the other.
const MOST_PAGES: usize = 4;
/// How often a region's short pages are read again because one had left rows out; then they are listed.
const MOST_REFUTED: u32 = 2;
/// Rows around a page that are remembered; of one with more it is not asked again.
const MOST_KNOWN: usize = 1_000;
/// Seconds of believed pages that are told apart in one window, beyond which the nearest are taken as one.
const MOST_APART: usize = 8;

/// A short page that is believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShortPage {
    /// The seconds in which it may have left rows out.
    pub range: TimeRange,
    /// The lower bound and the number that it was asked with, and is asked again, where page 1 from the first of them on need not show all its
    /// places: where that second fills pages, or may, and where it was full.
    #[serde(default)]
    pub amid: Option<(EpochSeconds, PageNumber)>,
    /// The rows that are known around it.
    pub rows: Vec<VideoKey>,
    /// Its row slots: from 1 to 9, or 10 where not each of its rows can be placed or was asked for.
    pub slots: u32,
    /// The second of its last row.
    pub ends: EpochSeconds,
    /// When the last page came that spoke for it.
    pub at: EpochSeconds,
    /// Where a page with more rows came after it: by how many times the distance of rows from each other the seconds between the two leap.
    /// What is asked again is not the page then, but what follows its last row; `range` and `rows` are those of the leap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leap: Option<i64>,
}

/// Short pages of a window that are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Believed {
    /// From the first to the last of them.
    pub(super) range: TimeRange,
    /// Those that showed least, the least first; none where rows come in no order, or too many of one second.
    pub(super) least: Vec<ShortPage>,
}

/// What became of a region's short pages that are believed.
#[derive(Clone, Debug, Default)]
pub struct Recheck {
    /// Those that are asked again, one after the other.
    least: Vec<ShortPage>,
    /// The widest leap behind a short page, which is asked about once they came as they were.
    leap: Option<ShortPage>,
    /// How often the first of them was, and when last.
    asked: u32,
    asked_at: Option<EpochSeconds>,
    /// The last second of a full answer beyond which the page's seconds go on: the rest of them is asked for from there.
    reached: Option<EpochSeconds>,
    /// Questions about this page and those before it.
    questions: u32,
    /// Whether it came as it was.
    agrees: bool,
    /// Pages that were believed, and how many of those that were asked again were short, or had an odd row, for a while only.
    believed: usize,
    passed: usize,
    /// How many were the region's last page, which says nothing of others.
    lasts: usize,
    /// Seconds of which no short page is believed any more, to be read again.
    refuted: Vec<TimeRange>,
    /// How often there were such.
    times_refuted: u32,
}

impl ShortPage {
    /// The page, where few enough rows are known around it to remember them.
    pub(super) fn remembered(self) -> Option<Self> {
        (self.rows.len() <= MOST_KNOWN).then_some(self)
    }

    /// Whether it was full, and not each of its rows could be placed or was asked for.
    fn is_full(&self) -> bool {
        self.slots >= SOURCE.page_size
    }

    /// Whether it may be its region's last, which is short by nature, also where its rows lie behind the range, and whose end is confirmed
    /// anyway; a full one is not. `newest` is the region's last second that is known.
    pub(super) fn may_be_the_last(&self, newest: Option<EpochSeconds>) -> bool {
        !self.is_full() && newest.is_none_or(|newest| self.ends >= newest)
    }

    /// Whether an answer shows more rows in its seconds than it held: all rows between the page before it and its last second were its own.
    fn was_poorer(&self, page: &PageFact) -> bool {
        let is_within = |row: &&RowKey| self.range.start < row.second && row.second < self.ends;
        page.rows.iter().filter(is_within).count() >= self.slots as usize
    }
}

/// Pages nearest to each other become one where there are many.
pub(super) fn apart(believed: impl Iterator<Item = Believed>) -> Vec<Believed> {
    let mut all: Vec<Believed> = believed.collect();
    all.sort_unstable_by_key(|one| one.range);
    while let Some(place) = nearest(&all) {
        let next = all.remove(place + 1);
        if let Some(one) = all.get_mut(place) {
            one.range = TimeRange::new(one.range.start, one.range.end.max(next.range.end));
            one.least.extend(next.least);
            one.least.sort_by_key(|page| page.slots);
            one.least.truncate(MOST_PAGES);
        }
    }
    all
}

/// Which of them is to be joined with the one after it: those that touch, and the nearest where there are too many.
fn nearest(all: &[Believed]) -> Option<usize> {
    let gaps = all.windows(2).enumerate().filter_map(|(place, pair)| {
        let [one, next] = pair else { return None };
        Some((next.range.start.since(one.range.end).max(0), place))
    });
    gaps.min().filter(|(gap, _)| *gap == 0 || all.len() > MOST_APART).map(|(_, place)| place)
}

impl Recheck {
    /// Short pages of a window are believed.
    pub(super) fn believe(&mut self, least: &ShortPage) {
        if self.agrees {
            self.forget();
        }
        if least.leap.is_some() {
            self.leap.take_if(|widest| widest.leap < least.leap);
            self.leap.get_or_insert_with(|| least.clone());
            return;
        }
        self.believed += 1;
        // The one that is being asked again stays the first.
        let asked = usize::from(self.asked > 0);
        let place = asked + self.least.iter().skip(asked).filter(|page| page.slots <= least.slots).count();
        self.least.insert(place.min(self.least.len()), least.clone());
        self.least.truncate(MOST_PAGES);
    }

    /// Takes what came of the page; whether it shows that a row was left out, or nothing as often as is asked. `newest` is the region's
    /// last second that is known.
    pub(super) fn take(&mut self, page: &PageFact, newest: Option<EpochSeconds>) -> bool {
        self.questions += 1;
        let Some(least) = self.asked_again().cloned() else { return false };
        (self.asked, self.asked_at) = (self.asked + 1, Some(page.fetched_at));
        let known: BTreeSet<VideoKey> = least.rows.iter().copied().collect();
        let within = || page.rows.iter().filter(|row| least.range.contains(row.second));
        let shows_more = within().any(|row| !known.contains(&row.video));
        let is_leap = least.leap.is_some();
        // Behind a leap the next rows show as much as the one before it.
        let shows_it = within().chain(page.rows.iter().filter(|_| is_leap)).any(|row| known.contains(&row.video));
        // A page of rows before it, or of none that can be placed, tells nothing, and never will.
        let is_full = page.slots >= SOURCE.page_size || (page.slots > 0 && page.rows.is_empty());
        let is_before = is_full && page.rows.iter().all(|row| row.second < least.range.start);
        self.agrees = !shows_more && (shows_it || is_before) && !page.check.is_astray();
        let is_refuted = !self.agrees && (shows_more || self.asked >= MOST_ASKED);
        // Beyond the last row of a full page rows may have been leapt over.
        if let Some(last) = self.goes_on_from(page).filter(|_| self.agrees && shows_it) {
            (self.reached, self.asked, self.asked_at, self.agrees) = (Some(last), 1, None, false);
            return false;
        }
        // A full one says nothing of pages with free places; where all its rows can be placed by now, others may have lacked some.
        let was_short = !least.is_full() && !is_leap;
        let is_last = was_short && self.reached.is_none() && page.rows.iter().any(|row| Some(row.second) >= newest);
        let has_passed = match was_short {
            true => self.reached.is_some() || page.slots >= SOURCE.page_size || least.was_poorer(page),
            false => page.is_placed() && !is_leap,
        };
        let next_is_full = was_short && self.least.get(1).is_some_and(ShortPage::is_full);
        self.passed += usize::from(self.agrees && shows_it && has_passed && !is_last);
        self.lasts += usize::from(self.agrees && is_last);
        if self.agrees && (has_passed || is_last || next_is_full) && self.least.len() > 1 {
            self.least.remove(0);
            self.ask_anew();
        }
        if self.agrees && self.leap.is_some() && !self.least.is_empty() {
            self.least.clear();
            self.ask_anew();
        }
        // Others were believed than those that are remembered.
        let all_passed = self.passed > 0 && self.passed + self.lasts >= MOST_PAGES;
        is_refuted || (all_passed && self.believed >= MOST_PAGES)
    }

    /// The last second of a full answer, where the seconds of the page that is asked again go on beyond it.
    fn goes_on_from(&self, page: &PageFact) -> Option<EpochSeconds> {
        let is_full = page.slots >= SOURCE.page_size;
        let least = self.asked_again().filter(|least| is_full && least.amid.is_none())?;
        let last = page.rows.iter().map(|row| row.second).max()?;
        let from = self.reached.unwrap_or(least.range.start);
        (from < last && last.shifted(1) < least.range.end).then_some(last)
    }

    /// None of the short pages in these seconds is believed any more.
    pub(super) fn refute(&mut self, ranges: impl Iterator<Item = TimeRange>) {
        self.refuted.extend(ranges);
        self.refuted = TimeRange::merged(&self.refuted);
        self.times_refuted += 1;
        self.forget();
    }

    /// Nothing has come yet of the page that is asked again from now on.
    fn ask_anew(&mut self) {
        (self.asked, self.asked_at, self.reached, self.agrees) = (0, None, None, false);
    }

    fn forget(&mut self) {
        self.least.clear();
        self.leap = None;
        self.ask_anew();
        (self.believed, self.passed, self.lasts) = (0, 0, 0);
    }

    /// What was refuted is read again, or listed; or else the page that is asked again could not be had.
    pub(super) fn is_settled(&mut self) {
        if self.refuted.is_empty() {
            self.forget();
        }
        self.refuted.clear();
    }

    /// The page that is asked again, or the leap that is asked about.
    fn asked_again(&self) -> Option<&ShortPage> {
        self.least.first().or(self.leap.as_ref())
    }

    /// The seconds of the page that is asked again.
    pub(super) fn range(&self) -> Option<TimeRange> {
        self.asked_again().map(|page| page.range)
    }

    /// Seconds of which no short page is believed any more, to be read again.
    pub(super) fn refuted(&self) -> &[TimeRange] {
        &self.refuted
    }

    /// Whether short pages have been read again as often as is done, and rows are left out all the same.
    pub(super) fn is_spent(&self) -> bool {
        self.times_refuted > MOST_REFUTED
    }

    /// When the page is to be asked again: not before what was refuted is read again, or listed.
    pub(super) fn due(&self, confirm_after: i64) -> Option<EpochSeconds> {
        let page = self.asked_again().filter(|_| !self.agrees && self.refuted.is_empty())?;
        Some(self.asked_at.unwrap_or(page.at).shifted(confirm_after))
    }

    /// The second from which it is asked, and the number of the question.
    pub(super) fn question(&self) -> Option<(EpochSeconds, u32)> {
        let from = self.reached.or(self.asked_again().map(|page| page.range.start))?;
        Some((from, self.questions + 1))
    }

    /// The upper bound that it is asked with, where `max` is the region's: some seconds lower, where the page surely ends before that.
    pub(super) fn max_of_its_own(&self, max: EpochSeconds) -> EpochSeconds {
        let own = max.shifted(-i64::from(self.questions) - 1);
        let is_beyond = |page: &ShortPage| page.ends < own && page.range.end < own;
        if self.asked_again().is_some_and(is_beyond) { own } else { max }
    }

    /// The lower bound and the number that the page is asked with, where that is not page 1 from that second on.
    pub(super) fn amid(&self) -> Option<(EpochSeconds, PageNumber)> {
        self.asked_again()?.amid
    }
}

#[cfg(test)]
mod tests;
