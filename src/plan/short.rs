//! A page with fewer rows than it has slots: are rows hidden in it? Pure.
//!
//! The page's surroundings are read again in other alignments ("looks") until full pages show that nothing was hidden, or
//! two looks in a row find nothing, or it is given up and listed. Services that filter rows after paging serve short pages
//! all the time; that this is their habit is for the planner to learn from the verdicts.

use std::collections::BTreeSet;

use super::fact::{RowKey, VideoKey};
use super::recheck::{Believed, ShortPage};
use crate::units::{EpochSeconds, PageNumber, TimeRange};

/// The most looks at one short page.
const MOST_LOOKS: u32 = 6;
/// Looks at the whole page that must find nothing.
const AGREEING_LOOKS: u32 = 2;

/// How far the doubt has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DoubtStage {
    /// No row after the page has come: it may be the last.
    Pending,
    /// A look should begin.
    Ready,
    Looking,
    /// No alignment showed enough.
    Failed,
}

/// What a look taught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookVerdict {
    /// Nothing new.
    HidNothing,
    /// A row that the page had left out.
    HidRows,
}

/// Where a short page stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// A second with rows before the page, from which a look reads it in another alignment.
    pub look_from: EpochSeconds,
    /// The second from which rows may be missing.
    pub from: EpochSeconds,
    /// The lower bound and the number that the page was asked with, where rows of that second fill a page before it.
    pub amid: Option<(EpochSeconds, PageNumber)>,
    /// The page's first row: a look that begins with it sees the same alignment.
    pub first_video: VideoKey,
    /// The page's last row in order: a look that does not show it has not seen the page's end.
    pub last_video: VideoKey,
    /// The page's first second.
    pub first: EpochSeconds,
    /// The page's last second, without rows that leap ahead.
    pub last: EpochSeconds,
    /// The second of its last row, wherever that lies.
    pub ends: EpochSeconds,
    /// Its row slots.
    pub slots: u32,
    /// The last second that was asked for with it: what comes behind that says nothing of it.
    pub asked_max: EpochSeconds,
}

/// The doubt about one short page.
#[derive(Clone, Debug)]
pub struct ShortDoubt {
    place: Place,
    /// Up to where (exclusive) rows may be missing, once it is known.
    until: Option<EpochSeconds>,
    /// The first second after the page's last one.
    next: Option<EpochSeconds>,
    known: BTreeSet<VideoKey>,
    stage: DoubtStage,
    /// Rows came after the page, and some of them in its last second.
    is_followed: bool,
    is_dense: bool,
    looks: u32,
    agreeing: u32,
    /// Those of them that saw the page in another alignment.
    otherwise: u32,
    has_hidden: bool,
    /// What of it is listed already, so that no look is worth its requests.
    listed: Option<TimeRange>,
    /// The running look.
    running: Look,
}

/// One look at the page.
#[derive(Clone, Debug)]
struct Look {
    /// Where it began, whether it found something, whether all its pages were full.
    began_at: EpochSeconds,
    found: bool,
    is_full: bool,
    /// Whether it sees the page as it came: one of its own begins with the same row; none before its first row.
    is_same: Option<bool>,
    /// Whether it has shown the page's last row.
    shows_end: bool,
    /// Whether its last page with rows was short.
    ends_short: bool,
}

impl ShortDoubt {
    /// The doubt about a page; `known` holds its rows, those of the page before, and those of its seconds; `listed` covers these where they
    /// are listed.
    pub fn new(place: Place, known: BTreeSet<VideoKey>, listed: Option<TimeRange>) -> Self {
        Self {
            place,
            until: None,
            next: None,
            known,
            stage: DoubtStage::Pending,
            is_followed: false,
            is_dense: false,
            looks: 0,
            agreeing: 0,
            otherwise: 0,
            has_hidden: false,
            listed,
            running: Look {
                began_at: place.from,
                found: false,
                is_full: false,
                is_same: None,
                shows_end: false,
                ends_short: false,
            },
        }
    }

    /// The doubt about a page that may be the last, and the one about the page that came when it was read on from there: one of both.
    pub fn joined(before: Option<Self>, after: Option<Self>) -> Option<Self> {
        match (before, after) {
            (Some(mut before), Some(after)) => {
                before.place.last = after.place.last.max(before.place.last);
                before.place.last_video = after.place.last_video;
                before.place.ends = after.place.ends.max(before.place.ends);
                before.place.asked_max = after.place.asked_max.max(before.place.asked_max);
                before.listed = before.listed.and(after.listed);
                before.known.extend(after.known);
                Some(before)
            }
            (before, after) => after.or(before),
        }
    }

    /// Whether a row is one of those that came around the page.
    pub fn knows(&self, video: VideoKey) -> bool {
        self.known.contains(&video)
    }

    /// The second from which rows may be missing.
    pub fn from(&self) -> EpochSeconds {
        self.place.from
    }

    /// The seconds in which rows may be missing.
    pub fn range(&self) -> TimeRange {
        let end = self.until.unwrap_or(self.next.unwrap_or(self.place.last).shifted(1));
        TimeRange::new(self.place.from, end.max(self.place.from.shifted(1)))
    }

    /// The page as it is believed after one that came at this moment.
    pub(super) fn believed(&self, at: EpochSeconds) -> Believed {
        let (range, rows) = (self.range(), self.known.iter().copied().collect());
        let Place { slots, ends, amid, .. } = self.place;
        Believed {
            range,
            least: ShortPage { range, amid, rows, slots, ends, at, leap: None }.remembered().into_iter().collect(),
        }
    }

    /// Whether rows came after the page, so that it was not the last.
    pub fn is_followed(&self) -> bool {
        self.is_followed
    }

    /// Whether the page waits for what comes after it.
    pub fn is_pending(&self) -> bool {
        self.stage == DoubtStage::Pending
    }

    /// Whether the looks showed too little, and not all of it is listed.
    pub fn has_failed(&self) -> bool {
        self.stage == DoubtStage::Failed && !self.is_listed()
    }

    /// Whether a look is running.
    pub fn is_looking(&self) -> bool {
        self.stage == DoubtStage::Looking
    }

    /// Where the next look should begin.
    pub fn next_look(&self) -> Option<EpochSeconds> {
        let mut places = self.alignments();
        let (one, other) = (places.next(), places.next());
        let at = if self.looks.is_multiple_of(3) { one } else { other.or(one) };
        at.filter(|_| self.stage == DoubtStage::Ready)
    }

    /// Where looks begin in turn: the page's last second, from which its end comes in another alignment, and before it, from
    /// where all of it comes again.
    fn alignments(&self) -> impl Iterator<Item = EpochSeconds> {
        let last = Some(self.place.last).filter(|last| self.until.is_some_and(|until| *last < until));
        let before = Some(self.place.look_from).filter(|before| Some(*before) != last);
        last.into_iter().chain(before)
    }

    /// Rows after the page: it was not the last.
    pub fn followed_by(&mut self, rows: &[RowKey], follows: Follows) {
        let Place { last, asked_max, .. } = self.place;
        let was_asked = |row: &RowKey| row.second <= asked_max && !self.known.contains(&row.video);
        let new: Vec<RowKey> = rows.iter().copied().filter(was_asked).collect();
        if new.is_empty() {
            return;
        }
        self.is_followed = true;
        self.is_dense |= self.place.first == last && new.iter().any(|row| row.second == last);
        self.known.extend(new.iter().map(|row| row.video));
        match follows {
            // From its anchor on, all is read anew.
            Follows::Anchored(anchor) => self.bounded_by(anchor.max(last)),
            // What the page hid may lie in the first second after it, so that one must be known to its end.
            Follows::NextPage => {
                self.next = self.next.or(new.iter().find(|row| row.second > last).map(|row| row.second));
                if let Some(next) = self.next.filter(|next| new.iter().any(|row| row.second > *next)) {
                    self.bounded_by(next.shifted(1));
                }
            }
        }
    }

    /// A page came after it of which no row can be placed in time; whether it is the first that follows.
    pub fn followed_by_unplaced(&mut self) -> bool {
        let is_first = self.is_pending() && !self.is_followed;
        self.is_followed |= is_first;
        is_first
    }

    /// Nothing needs to come after the page: all that may be missing lies below `until`.
    pub fn bounded_by(&mut self, until: EpochSeconds) {
        self.until = Some(until);
        self.stage = if self.listed.is_some() { DoubtStage::Failed } else { DoubtStage::Ready };
    }

    /// Whether all that it may have left out is listed.
    pub fn is_listed(&self) -> bool {
        self.stage == DoubtStage::Failed && self.listed.is_some_and(|listed| listed.covers(self.range()))
    }

    /// No row came after those that are known.
    pub fn ends(&mut self) {
        if self.stage == DoubtStage::Pending && self.is_followed {
            self.bounded_by(self.next.unwrap_or(self.place.last).shifted(1));
        }
    }

    /// A look begins at `anchor`.
    pub fn begin_look(&mut self, anchor: EpochSeconds) {
        self.until.get_or_insert(self.next.unwrap_or(self.place.last).shifted(1));
        (self.running.began_at, self.running.found, self.running.is_full) = (anchor, false, true);
        (self.running.is_same, self.running.shows_end, self.running.ends_short) = (None, false, false);
        self.stage = DoubtStage::Looking;
    }

    /// Another scan came between: the look has to begin anew.
    pub fn interrupt(&mut self) {
        if self.stage == DoubtStage::Looking {
            self.looks += 1;
            self.stage = if self.looks >= MOST_LOOKS { DoubtStage::Failed } else { DoubtStage::Ready };
        }
    }

    /// Takes the rows that are known since a page of the look, which opens with this second; a verdict once the look is past the short page.
    pub fn look(&mut self, rows: &[RowKey], opens: Option<EpochSeconds>, is_full: bool) -> Option<LookVerdict> {
        if self.stage != DoubtStage::Looking {
            return None;
        }
        let until = self.until.unwrap_or(self.place.last);
        self.running.is_full &= is_full;
        if let Some(first) = rows.first() {
            // Also where the look had to begin anew at the page's second, since no more pages are served.
            let opens_same = first.video == self.place.first_video;
            self.running.is_same = Some(opens_same || self.running.is_same == Some(true));
        }
        self.running.shows_end |= rows.iter().any(|row| row.video == self.place.last_video);
        let within = rows.iter().filter(|row| self.place.from <= row.second && row.second < until);
        let new: Vec<VideoKey> = within.map(|row| row.video).filter(|video| !self.known.contains(video)).collect();
        self.running.found |= !new.is_empty();
        self.known.extend(new);
        let until = self.widened(rows, opens, is_full).unwrap_or(until);
        let is_past = rows.last().is_none_or(|row| row.second >= until);
        if is_past { self.end_look() } else { None }
    }

    /// Whether the doubt is settled.
    pub fn is_settled(&self) -> bool {
        let agrees = self.may_agree() && !self.has_hidden && self.agreeing >= AGREEING_LOOKS && self.otherwise > 0;
        self.stage == DoubtStage::Ready && (self.is_proven() || agrees)
    }

    /// Whether full pages have shown every row of the seconds in doubt.
    pub fn is_proven(&self) -> bool {
        self.running.is_full && self.running.began_at <= self.place.from && self.running.shows_end && self.looks > 0
    }

    /// Within one second that fills pages, only a second with rows before it makes another alignment.
    fn may_agree(&self) -> bool {
        !self.is_dense || self.place.look_from < self.place.first
    }

    /// A page of the look that is short itself may have left out what lies before the page after it: then these seconds are in doubt too.
    fn widened(&mut self, rows: &[RowKey], opens: Option<EpochSeconds>, is_full: bool) -> Option<EpochSeconds> {
        let follows_short = std::mem::replace(&mut self.running.ends_short, !is_full && opens.is_some());
        let until = opens.filter(|_| follows_short)?.shifted(1).max(self.until?);
        self.known.extend(rows.iter().filter(|row| row.second < until).map(|row| row.video));
        self.until = Some(until);
        self.until
    }

    fn end_look(&mut self) -> Option<LookVerdict> {
        self.looks += 1;
        let is_other = self.running.is_same == Some(false) && self.running.shows_end;
        // An empty page ends a look as well, and shows nothing of the page.
        let sees_all = self.running.began_at <= self.place.from && self.running.shows_end;
        self.agreeing = if self.running.found { 0 } else { self.agreeing + u32::from(sees_all) };
        self.otherwise = if self.running.found { 0 } else { self.otherwise + u32::from(is_other) };
        self.has_hidden |= self.running.found;
        self.stage = DoubtStage::Ready;
        // Within one second no look can begin at every row, so what hides its pages' ends cannot be outwitted.
        let cannot_be = self.is_dense && self.has_hidden && !self.running.is_full;
        let sees_the_same = self.agreeing >= AGREEING_LOOKS && self.otherwise == 0;
        if cannot_be || sees_the_same || (self.looks >= MOST_LOOKS && !self.is_settled()) {
            self.stage = DoubtStage::Failed;
        }
        match self.running.found {
            true => Some(LookVerdict::HidRows),
            // What a page hides at its end lies before the row that the next page begins with.
            false => (self.may_agree() && is_other && self.next.is_some()).then_some(LookVerdict::HidNothing),
        }
    }
}

/// How the rows after a short page were asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// As the next page of the same scan.
    NextPage,
    /// As the first page of a scan from this second.
    Anchored(EpochSeconds),
}

#[cfg(test)]
mod tests;
