//! How the service keeps to the asked bounds, and what is asked to learn it.

use std::collections::BTreeSet;

use super::rounding::AskedMinimums;
use super::{ONE_TROUBLE, ServiceProfile};
use crate::plan::fact::{PageFact, VideoKey};
use crate::units::EpochSeconds;

/// Scans whose first page lay before what was asked, after which the lower bound is known not to be kept to.
const LOOSE_AFTER: u32 = 3;
/// Pages before what was asked that are read for the sake of what follows them, beside twice those that fitted.
pub const MOST_EARLY_PAGES: u32 = 300;
/// The number of the first question about the lower bound that is like no other; those about both bounds have lower ones.
const FIRST_MINIMUM_QUESTION: u32 = 4;
/// How many such questions a run asks at most.
const MOST_MINIMUM_QUESTIONS: u32 = 6;
/// Anchors whose rows did not come at first, while none came, which show that a question's page 1 is not its first.
pub(super) const LOST_ANCHORS: usize = 3;

/// How the service keeps to the asked bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The lower bound is inclusive.
    pub min_inclusive: bool,
    /// The upper bound is inclusive.
    pub max_inclusive: bool,
    /// Rows that stood at exactly the asked lower bound.
    pub(super) at_min: BTreeSet<VideoKey>,
    pub(super) questions: u32,
    /// The service does not keep to the lower bound: a scan's first pages may lie before it. Journalled.
    pub min_is_loose: bool,
    /// Scans whose first page lay before what was asked, and pages that did.
    pub early_openings: u32,
    /// When the first of those pages came.
    pub(super) early_since: Option<EpochSeconds>,
    /// Whether others came so much later that they are not of one trouble.
    pub early_apart: bool,
    pub(super) early_pages: u32,
    /// What rounding explains of that.
    pub minimums: AskedMinimums,
    /// What was answered to questions about the lower bound that are like no other.
    pub(super) minimum: MinimumAnswers,
    /// Pages of walks that brought rows.
    pub(super) fitting_pages: u32,
    /// Whether a scan that went on from known rows began with one of them, ...
    pub anchor_came: bool,
    /// ... and the anchors of those that did not, though a page came.
    pub(super) anchors_lost: BTreeSet<EpochSeconds>,
}

/// Which of a known row's neighbourhood is asked to learn the bounds; in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoundQuestion {
    /// From its second to its second: answered if both are inclusive.
    Both,
    /// From its second to the next: answered with it if the lower one is.
    Lower,
    /// From the second before to its own, where the lower is exclusive: answered if the upper one is inclusive.
    Upper,
}

/// What was answered to questions about the lower bound that are like no other, so that no cache can have taken them for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MinimumAnswers {
    /// How many such questions were asked, those that could not be answered too.
    asked: u32,
    /// When one first showed rows older than what was asked, ...
    older_since: Option<EpochSeconds>,
    /// ... and whether another did so much later that they are not of one trouble.
    older_apart: bool,
}

impl MinimumAnswers {
    /// A scan showed that the lower bound is kept to.
    pub(super) fn min_is_kept(&mut self) {
        (self.older_since, self.older_apart) = (None, false);
    }
}

/// A question about the lower bound that is like no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinimumQuestion {
    /// Its page number, which stands for it.
    pub number: u32,
    /// When the one before showed older rows: it is asked long enough after.
    pub since: Option<EpochSeconds>,
}

impl MinimumQuestion {
    /// Whether a question about the bounds of this number is one of these, in journals too.
    pub const fn has_number(number: u32) -> bool {
        number >= FIRST_MINIMUM_QUESTION
    }

    /// The one second that it asks for, before this one, which is the last known of the region: no other question ends there, and it is
    /// never in the future.
    pub fn second(self, known: EpochSeconds) -> EpochSeconds {
        known.shifted(-i64::from(self.number))
    }
}

impl BoundQuestion {
    /// The question that this number stands for, in journals too.
    const fn of(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Both),
            2 => Some(Self::Lower),
            3 => Some(Self::Upper),
            _ => None,
        }
    }
}

impl Bounds {
    /// What was asked is asked anew: what was answered before says nothing of how the service answers now.
    pub(super) fn forget_minimums(&mut self) {
        self.minimums = AskedMinimums::default();
    }
}

impl ServiceProfile {
    /// Whether enough scans began before what was asked to say that the lower bound is not kept to.
    pub fn min_seems_loose(&self) -> bool {
        self.bounds.early_openings >= LOOSE_AFTER
    }

    /// Whether answers to other questions come at times: a lower bound was kept to and was not, and neither rounding explains both nor that it
    /// is never kept to any more.
    pub fn answers_are_mixed(&self) -> bool {
        self.bounds.minimums.is_mixed && !self.order.sort_ignored && !self.min_stays_loose()
    }

    /// Learns from the first page of a scan that goes up from a second, where this is the last row known before that.
    pub fn take_opening(&mut self, page: &PageFact, asked_min: EpochSeconds, known: Option<EpochSeconds>) {
        let Some(first) = page.rows.first().map(|row| row.second).filter(|_| !self.bounds.minimums.alternates) else {
            return;
        };
        match known {
            _ if first < asked_min => self.bounds.minimums.early(first, asked_min),
            Some(known) if page.check.outside == 0 => self.bounds.minimums.kept(known, asked_min),
            _ => {}
        }
    }

    /// Whether the lower bound is known not to be kept to: questions that are like no other showed older rows, apart in time.
    pub fn min_stays_loose(&self) -> bool {
        self.bounds.min_is_loose && self.bounds.minimum.older_apart && !self.bounds.minimums.alternates
    }

    /// The next question about the lower bound; none where nothing speaks for it not being kept to, or the last one spoke against it.
    pub fn minimum_question(&self) -> Option<MinimumQuestion> {
        let MinimumAnswers { asked, older_since, older_apart } = self.bounds.minimum;
        let is_open = self.bounds.min_is_loose || self.min_seems_loose();
        let may_tell = !older_apart && (asked == 0 || older_since.is_some());
        let is_asked = is_open && may_tell && asked < MOST_MINIMUM_QUESTIONS && !self.bounds.minimums.alternates;
        (is_asked && !self.order.sort_ignored)
            .then_some(MinimumQuestion { number: FIRST_MINIMUM_QUESTION + asked, since: older_since })
    }

    /// A question about the lower bound was answered, with rows older than what was asked or without; `known` is the last second known of
    /// the region.
    fn answer_minimum(&mut self, page: &PageFact, known: Option<EpochSeconds>) {
        let MinimumAnswers { asked, older_since, older_apart } = &mut self.bounds.minimum;
        let question = MinimumQuestion { number: page.address.page.get(), since: *older_since };
        *asked = question.number.saturating_sub(FIRST_MINIMUM_QUESTION) + 1;
        let second = known.map(|known| question.second(known));
        let begins_early = page.rows.first().is_some_and(|row| Some(row.second) < second);
        if !begins_early || !page.is_oldest_first() {
            *older_since = None;
            return;
        }
        *older_apart = page.fetched_at.since(*older_since.get_or_insert(page.fetched_at)) >= ONE_TROUBLE;
    }

    /// A question about the lower bound could not be answered.
    pub fn minimum_is_untold(&mut self) {
        self.bounds.minimum.asked = MOST_MINIMUM_QUESTIONS;
    }

    /// Pages that lie before what was asked on a scan that began with such, in the mean: what reading some seconds again costs beside theirs.
    pub fn early_pages_a_scan(&self) -> u32 {
        self.bounds.early_pages / self.bounds.early_openings.max(1)
    }

    /// Whether yet another page that lies before what was asked is worth its price.
    pub fn may_read_early(&self) -> bool {
        self.bounds.early_pages <= MOST_EARLY_PAGES + 2 * self.bounds.fitting_pages
    }

    /// Whether page 1 of a question is not its first: known rows never come where their second is asked. `newest` is the newest second
    /// known, where the newest page looks like the second one.
    pub fn first_pages_are_missing(&self, newest: Option<EpochSeconds>) -> bool {
        let is_lost_at_the_end = newest.is_some_and(|newest| self.bounds.anchors_lost.contains(&newest));
        let are_lost = self.order_is_proven() && self.bounds.anchors_lost.len() >= LOST_ANCHORS;
        !self.bounds.anchor_came && (are_lost || is_lost_at_the_end)
    }

    /// The next question about the bounds, with the page number that stands for it; none once they are known.
    pub fn bound_question(&self) -> Option<(u32, BoundQuestion)> {
        let (min, max) = (self.bounds.min_inclusive, self.bounds.max_inclusive);
        // What is said to be exclusive is not asked: only a row that comes would tell anything.
        let may_min = self.verified.min_inclusive != Some(false);
        let may_max = self.verified.max_inclusive != Some(false);
        (self.bounds.questions + 1..=3).map_while(|number| Some((number, BoundQuestion::of(number)?))).find(
            |(_, question)| match question {
                BoundQuestion::Both => !(min && max) && may_min && may_max,
                BoundQuestion::Lower => !min && may_min,
                BoundQuestion::Upper => !min && !max && may_max,
            },
        )
    }

    /// Takes the answer to a question about the bounds of a row of this second.
    pub fn answer_bounds(&mut self, page: &PageFact, known: Option<EpochSeconds>) {
        if MinimumQuestion::has_number(page.address.page.get()) {
            return self.answer_minimum(page, known);
        }
        let is_there = page.rows.iter().any(|row| Some(row.second) == known);
        // The number alone tells what was asked: what is verified may be another thing in a later start.
        let number = page.address.page.get();
        let asked = BoundQuestion::of(number).filter(|_| number > self.bounds.questions);
        self.bounds.questions = self.bounds.questions.max(number);
        match asked.filter(|_| is_there) {
            Some(BoundQuestion::Both) => (self.bounds.min_inclusive, self.bounds.max_inclusive) = (true, true),
            Some(BoundQuestion::Lower) => self.bounds.min_inclusive = true,
            Some(BoundQuestion::Upper) => self.bounds.max_inclusive = true,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;
