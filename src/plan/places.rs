//! Whether as many rows came as their places say. Pure.
//!
//! A page that comes in place of another for a while leaves nothing odd behind: each answer is whole and in order, and goes on from the one
//! before it; the rows between are never shown. But page k of a question stands behind exactly 10 (k - 1) rows. So before a region is
//! done, the page is asked for that should hold its last row, by the rows that came. If more rows lie before it, its time is halved, and
//! each half held against its own places; where rows are missing is read again.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::fact::PageFact;
use crate::api::contract::SOURCE;
use crate::units::{EpochSeconds, TimeRange};

mod answer;
mod counted;
mod leaps;
mod question;

use answer::{Answer, Came, place_of};
pub use counted::CountedRows;
use counted::{half, last_of, rows_of};
pub(super) use question::Telling;
pub use question::{Beginning, PlaceQuestion, Stands};

/// Rows up to which a stretch is not held against its places: a page that was skipped between its ends would have lain on one of those.
const FEW_ROWS: u64 = 19;
/// Rows more or fewer than came that are no sign of trouble: they come and go.
const MANY: i64 = 5;
/// Rows more than came that are more than come while a region is read again.
const FAR_MORE: i64 = 10;
/// Stretches of a region that are held against their places where rows between could not be counted, beside those that take as many
/// rows as the service serves pages of; an honest service has one.
const MOST_LEGS: u64 = 6;
/// Questions about one stretch, where rows are missing.
const MOST_QUESTIONS: usize = 11;
/// Questions about a region in all, beside one for each stretch, or as many as each may need where answers were odd.
const MOST_IN_ALL: u32 = 60;
/// Answers apart in time that tell nothing, or of fewer rows than came, before they are let be.
const MOST_POOR: u32 = 3;
/// Pages of a question that any service serves.
const LEAST_SERVED: u32 = 10;
/// How often what is missing is looked for before it is listed.
const MOST_MISSED: u32 = 2;
/// Stretches that are told apart; of more, neighbours become one.
const MOST_COUNTED: usize = 1_024;

/// What is known of a region's rows and their places.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// How many rows came, by the first of their seconds.
    counted: BTreeMap<EpochSeconds, CountedRows>,
    /// Ranges of which more was told than is told apart, by their first second: their end, and what tells all of that from anything else.
    thinned: BTreeMap<EpochSeconds, (EpochSeconds, u64)>,
    /// What pages told, by the second that they are counted from and the one that they tell of.
    answers: BTreeMap<(EpochSeconds, EpochSeconds), Answer>,
    questions: u32,
    times_missed: u32,
    last: Option<Came>,
    /// How often two pages held the same rows and came too far apart to tell something.
    times_same: u32,
    /// Pages of a question beyond which none could be had, or came empty where rows should be: the service seems to serve no more.
    served: Option<u32>,
    /// Whether that is so of few pages as well: then pages tell nothing.
    is_untold: bool,
    /// Whether the page that was asked from the region's first second on held nothing before that.
    pub(super) opens_clean: bool,
}

/// Seconds that touch, and so few rows that one question serves them.
struct Leg {
    anchor: EpochSeconds,
    rows: u64,
    stretches: Vec<CountedRows>,
}

impl Places {
    /// So many rows came of parts of a range, and of the rest nobody knows.
    pub(super) fn count(&mut self, range: TimeRange, counted: &[CountedRows]) {
        if self.holds(range, counted) {
            return;
        }
        self.forget(range);
        self.counted.extend(counted.iter().map(|one| (one.range.start, *one)));
        if self.counted.len() > MOST_COUNTED {
            self.thin();
            self.thinned.insert(range.start, (range.end, digest(counted)));
        }
    }

    /// Whether just this is known of a range, or was told of it last.
    pub(super) fn holds(&self, range: TimeRange, counted: &[CountedRows]) -> bool {
        let was_told = |(end, told): &(EpochSeconds, u64)| *end == range.end && *told == digest(counted);
        self.of(range).eq(counted) || self.thinned.get(&range.start).is_some_and(was_told)
    }

    /// How many rows came of some seconds is not known any more.
    pub(super) fn forget(&mut self, range: TimeRange) {
        self.forget_but(range, |_| None);
    }

    /// The same, where `told` may know how many rows came of the seconds beside them, and which of those holds the last.
    pub(super) fn forget_but(
        &mut self,
        range: TimeRange,
        told: impl Fn(TimeRange) -> Option<(u64, Option<(EpochSeconds, u64)>)>,
    ) {
        self.thinned.retain(|start, (end, _)| !TimeRange::new(*start, *end).overlaps(range));
        let cut: Vec<CountedRows> = self.of(range).copied().collect();
        self.counted.retain(|_, one| !one.range.overlaps(range));
        for one in cut {
            let before = TimeRange::new(one.range.start, range.start.max(one.range.start));
            let after = TimeRange::new(range.end.min(one.range.end), one.range.end);
            // Where all its rows lie before, those are still known; where it has none, neither side has any.
            let is_before = one.last.is_none_or(|last| last < range.start);
            for beside in [before, after].into_iter().filter(|beside| !beside.is_empty()) {
                let told = told(beside).map(|(rows, last)| {
                    let (last, last_rows) = last.unzip();
                    CountedRows { range: beside, rows, last, last_rows: last_rows.unwrap_or_default(), ..one }
                });
                let is_known = one.rows == 0 || (is_before && beside == before);
                let kept = Some(CountedRows { range: beside, ..one }).filter(|_| is_known);
                self.counted.extend(kept.or(told).map(|kept| (beside.start, kept)));
            }
        }
        self.answers.retain(|(anchor, mark), _| *mark <= range.start || *anchor >= range.end);
    }

    /// Its range goes on to a later end.
    pub(super) fn extend(&mut self) {
        (self.times_missed, self.last, self.times_same, self.is_untold) = (0, None, 0, false);
    }

    /// What was skipped is read again, or listed.
    pub(super) fn is_missed(&mut self) {
        self.times_missed += 1;
    }

    /// Whether what was skipped has been read again as often as is done.
    pub(super) fn is_spent(&self) -> bool {
        self.times_missed >= MOST_MISSED
    }

    /// A page of this number cannot be had: half as many may.
    pub(super) fn not_served(&mut self, page: u32) {
        let half = page / 2;
        if half < LEAST_SERVED {
            self.is_untold = true;
            return;
        }
        self.served = Some(self.served.map_or(half, |served| served.min(half)));
        self.answers.clear();
        self.last = None;
    }

    /// Takes a page that was asked for, counted from this second.
    pub(super) fn take(&mut self, anchor: EpochSeconds, page: &PageFact) {
        self.questions += 1;
        let came = Came::of(anchor, page);
        let number = page.address.page.get();
        if let Some(last) = self.last.replace(came).filter(|last| came.is_another_like(last)) {
            if came.is_right_after(&last) || self.times_same >= MOST_POOR {
                return self.not_served(number);
            }
            // A trouble may have ended in between: then it is the former page alone that came in place of this one. It is asked anew.
            self.times_same += 1;
            self.answers.retain(|(from, _), _| *from != anchor);
            return;
        }
        for (mark, rows) in self.marks_from(anchor) {
            self.answers.entry((anchor, mark)).or_insert(Answer::none(page.fetched_at)).take(page, (mark, rows));
        }
        self.answers.retain(|_, answer| answer.asked > 0);
        // Rows that are gone leave one page empty, and a trouble all of them for a while.
        let is_empty = |answer: &Answer| answer.more.is_none() && answer.asked >= MOST_POOR;
        if page.slots == 0 && number > LEAST_SERVED && self.answers.values().any(is_empty) {
            self.not_served(number);
        }
    }

    /// How the rows stand to their places.
    pub(super) fn stands(&self, telling: Telling, confirm_after: i64) -> Stands {
        let mut missed = Vec::new();
        if self.is_untold {
            return Stands::Whole;
        }
        let all = telling.is_odd || self.times_missed > 0;
        let mut legs = self.legs(telling.last_page, (all, all && (telling.is_mixed || !self.is_spent())));
        legs.retain(|leg| telling.only_from.is_none_or(|from| leg.anchor == from));
        let most = MOST_IN_ALL as usize + legs.len() * if all { MOST_QUESTIONS } else { 1 };
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let least = self.least_missing(telling.may_be_more);
        for leg in legs {
            match self.stands_of(&leg, (least, confirm_after)) {
                Stands::Whole => {}
                Stands::Ask(_) if self.questions >= most => {}
                ask @ Stands::Ask(_) => return ask,
                Stands::Missed(ranges) => missed.extend(ranges),
            }
        }
        if missed.is_empty() { Stands::Whole } else { Stands::Missed(missed) }
    }

    /// Whether a page told that as many rows lie in these seconds as came.
    pub(super) fn prove(&self, range: TimeRange) -> bool {
        let told = self.answers.get(&(range.start, range.end));
        told.and_then(|told| told.more).is_some_and(|more| more.abs() < MANY)
    }

    /// What a page tells of the beginning of a region that starts with this second, where so many pages of a question are served.
    pub(super) fn beginning(&self, start: EpochSeconds, last_page: u32) -> Beginning {
        let leg = self.legs(last_page, (false, false)).into_iter().find(|leg| leg.anchor == start && !self.is_untold);
        let Some((leg, last)) = leg.as_ref().and_then(|leg| Some((leg, leg.stretches.last()?))) else {
            return Beginning::Untold;
        };
        match self.answers.get(&(start, last.range.end)) {
            None => Beginning::Ask(self.ask((start, leg.rows), 0, None)),
            Some(answer) if answer.is_exact(last_of(&leg.stretches)) => Beginning::Whole,
            Some(answer) if answer.is_full && !answer.is_next_asked && answer.more == Some(0) => {
                Beginning::Ask(self.ask((start, leg.rows), 1, None))
            }
            Some(_) => Beginning::Untold,
        }
    }

    fn stands_of(&self, leg: &Leg, patience: (i64, i64)) -> Stands {
        match self.looks(leg.anchor, &leg.stretches, patience) {
            Looks::Whole => return Stands::Whole,
            Looks::Open(question) => return Stands::Ask(question),
            Looks::Poorer => {}
        }
        // Each half of what lacks rows is held against its own places, those with most rows first.
        let (mut asked, mut missed) = (1, Vec::new());
        let mut poorer = vec![leg.stretches.as_slice()];
        while let Some(place) = (0..poorer.len()).max_by_key(|place| poorer.get(*place).map(|one| rows_of(one))) {
            let stretches = poorer.swap_remove(place);
            let hull = stretches.first().zip(stretches.last());
            let Some(hull) = hull.map(|(first, last)| TimeRange::new(first.range.start, last.range.end)) else {
                continue;
            };
            if stretches.len() < 2 || asked + 2 > MOST_QUESTIONS {
                missed.push(hull);
                continue;
            }
            let (one, other) = stretches.split_at(half(stretches));
            let before = missed.len() + poorer.len();
            for half in [one, other] {
                asked += 1;
                match half.first().map(|first| self.looks(first.range.start, half, patience)) {
                    Some(Looks::Open(question)) => return Stands::Ask(question),
                    Some(Looks::Poorer) => poorer.push(half),
                    Some(Looks::Whole) | None => {}
                }
            }
            // What neither half shows lies somewhere in both.
            if missed.len() + poorer.len() == before {
                missed.push(hull);
            }
        }
        missed.sort_unstable();
        Stands::Missed(missed)
    }

    /// How stretches that follow each other look by the pages that were asked, where so many rows at least are missed, and what tells nothing
    /// is asked again so much later.
    fn looks(&self, anchor: EpochSeconds, stretches: &[CountedRows], (least, confirm_after): (i64, i64)) -> Looks {
        let Some(last) = stretches.last() else { return Looks::Whole };
        let rows = rows_of(stretches);
        let ask = |beyond: u64, due| Looks::Open(self.ask((anchor, rows), beyond, due));
        // Where the last row fills its page, the next one tells how many more there are.
        let beyond = u64::from(place_of(rows).1 == i64::from(SOURCE.page_size));
        let Some(answer) = self.answers.get(&(anchor, last.range.end)) else { return ask(beyond, None) };
        match answer.more {
            Some(more) if more >= least => Looks::Poorer,
            Some(_) if answer.is_full && !answer.is_next_asked && !answer.is_exact(last_of(stretches)) => ask(1, None),
            Some(more) if more > -MANY => Looks::Whole,
            _ if answer.asked < MOST_POOR => ask(0, Some(answer.at.shifted(confirm_after))),
            _ => Looks::Whole,
        }
    }

    /// So many rows more than came are missing: each may be one of ten that were skipped around a window's end. What is listed in the end are
    /// not a few that came late, nor, where others may lie there, as many as came since.
    fn least_missing(&self, may_be_more: bool) -> i64 {
        match (self.is_spent(), may_be_more) {
            (false, _) => 1,
            (true, false) => MANY,
            (true, true) => FAR_MORE,
        }
    }

    /// The page of the last of so many rows from a second on, or one so many pages beyond.
    fn ask(&self, (anchor, rows): (EpochSeconds, u64), beyond: u64, due: Option<EpochSeconds>) -> PlaceQuestion {
        let page = u32::try_from(place_of(rows).0 + beyond).unwrap_or(u32::MAX);
        let told = self.marks_from(anchor).into_iter().filter(|(_, rows)| place_of(*rows).0 <= u64::from(page));
        let ends = told.map(|(mark, _)| mark).max().unwrap_or(anchor);
        PlaceQuestion { anchor, page, number: self.questions + 1, ends, due }
    }

    fn of(&self, range: TimeRange) -> impl Iterator<Item = &CountedRows> {
        self.counted.values().filter(move |one| one.range.overlaps(range))
    }

    /// The seconds behind this one that touch, and how many rows came up to each.
    fn marks_from(&self, anchor: EpochSeconds) -> Vec<(EpochSeconds, u64)> {
        let mut marks = Vec::new();
        let (mut until, mut rows) = (anchor, 0);
        for one in self.counted.range(anchor..).map(|(_, one)| one) {
            if one.range.start != until {
                break;
            }
            (until, rows) = (one.range.end, rows + one.rows);
            marks.push((until, rows));
        }
        marks
    }

    /// Stretches of seconds that touch, none longer than the service serves pages of: the longest, or, where rows may have been skipped
    /// anywhere, all. Rows that came and are not counted are found again when their seconds are read again, but none of that is listed unless
    /// `unsure_too`.
    fn legs(&self, last_page: u32, (all, unsure_too): (bool, bool)) -> Vec<Leg> {
        let last_page = self.served.map_or(last_page, |served| served.min(last_page));
        let most = u64::from(last_page.saturating_sub(1)) * u64::from(SOURCE.page_size);
        let mut legs: Vec<Leg> = Vec::new();
        for one in self.counted.values().filter(|one| unsure_too || !one.is_unsure) {
            let goes_on = |leg: &&mut Leg| {
                let touches = leg.stretches.last().is_some_and(|last| last.range.end == one.range.start);
                touches && leg.rows + one.rows < most
            };
            match legs.last_mut().filter(goes_on) {
                Some(leg) => {
                    leg.rows += one.rows;
                    leg.stretches.push(*one);
                }
                None => legs.push(Leg { anchor: one.range.start, rows: one.rows, stretches: vec![*one] }),
            }
        }
        let in_all: u64 = legs.iter().map(|leg| leg.rows).sum();
        let few = if all { 0 } else { FEW_ROWS };
        // A question about the page behind that of its last row is served, too, or is not asked.
        let is_served =
            |(page, place): (u64, i64)| page + u64::from(place == i64::from(SOURCE.page_size)) <= u64::from(last_page);
        legs.retain(|leg| leg.rows > few && is_served(place_of(leg.rows)));
        legs.sort_by_key(|leg| std::cmp::Reverse(leg.rows));
        if !all {
            legs.truncate(usize::try_from(MOST_LEGS + in_all / most.max(1)).unwrap_or(usize::MAX));
        }
        legs
    }

    /// Neighbours become one.
    fn thin(&mut self) {
        let mut thinner: Vec<CountedRows> = Vec::new();
        for (one, place) in std::mem::take(&mut self.counted).into_values().zip(0..) {
            match thinner
                .last_mut()
                .filter(|last| place % 2 == 1 && last.range.end == one.range.start && !last.is_unsure)
            {
                Some(last) => {
                    last.range.end = one.range.end;
                    last.rows += one.rows;
                    (last.last, last.last_rows) =
                        one.last.map_or((last.last, last.last_rows), |_| (one.last, one.last_rows));
                    last.is_unsure = one.is_unsure;
                }
                None => thinner.push(one),
            }
        }
        self.counted = thinner.into_iter().map(|one| (one.range.start, one)).collect();
    }
}

/// What tells counted rows from others.
fn digest(counted: &[CountedRows]) -> u64 {
    let mut hasher = DefaultHasher::new();
    counted.hash(&mut hasher);
    hasher.finish()
}

/// How stretches look by the pages that were asked.
enum Looks {
    Whole,
    /// More rows lie there than came.
    Poorer,
    Open(PlaceQuestion),
}

#[cfg(test)]
mod tests;
