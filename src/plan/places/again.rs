//! One question that is asked again and again: whether the service has one answer to it. Pure.
//!
//! Of several copies of a store one may lack rows. Each answer is whole, in order and full then, and which rows come depends on who gave it; every
//! page behind those rows stands at another place. Rows that come or go while a run reads move a page too, and never back to where it stood.

use crate::api::contract::SOURCE;
use crate::plan::fact::PageFact;
use crate::units::EpochSeconds;

/// How often a question is asked: where each second answer is another one, or one in three, that shows itself in 97 of 100 series.
const TIMES: usize = 12;
/// Series that are begun, since other questions came in between.
const MOST_SERIES: u32 = 3;
/// Answers to a question that was just asked, all of whose rows stand elsewhere, which no trouble that has passed explains.
const JUMPS: u32 = 3;

/// At which seconds the rows of a page stood; rows of one second may change places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stood {
    /// All of them as one number.
    print: u64,
    /// The first and the last; none of an empty page.
    ends: Option<(EpochSeconds, EpochSeconds)>,
    is_full: bool,
}

/// One question, and what came each time.
#[derive(Clone, Debug, Default)]
pub(super) struct AskedAgain {
    question: Option<(EpochSeconds, u32)>,
    /// None where a page does not tell.
    came: Vec<Option<Stood>>,
    /// Series that were begun, and pages that came for them.
    series: u32,
    asked: u32,
    /// How often the same question, asked twice running, had answers without a row in common.
    jumps: u32,
    is_told: bool,
    are_different: bool,
    were_different: bool,
}

impl AskedAgain {
    /// Takes a page that was asked for by its number.
    pub(super) fn take(&mut self, anchor: EpochSeconds, page: &PageFact) {
        let question = (anchor, page.address.page.get());
        if self.question != Some(question) {
            (self.question, self.came) = (Some(question), Vec::new());
        }
        let now = Stood::of(page);
        let mut since = self.came.iter().skip_while(|before| **before != now).flatten();
        self.are_different |= now.is_some_and(|now| since.any(|between| between.is_another_than(now)));
        let last = self.came.last().copied().flatten();
        self.jumps += u32::from(last.zip(now).is_some_and(|(last, now)| last.is_apart_from(now)));
        self.are_different |= self.jumps >= JUMPS;
        if self.came.len() < TIMES {
            self.came.push(now);
        }
        self.series += u32::from(self.came.len() == 2);
        self.asked += u32::from(self.came.len() >= 2);
        self.is_told |= self.came.len() >= TIMES && self.came.iter().flatten().any(|stood| stood.is_full);
    }

    /// The question that is being asked again; none where that has not begun.
    pub(super) fn question(&self) -> Option<(EpochSeconds, u32)> {
        self.question.filter(|_| (2..TIMES).contains(&self.came.len()))
    }

    /// How many pages came again.
    pub(super) fn asked(&self) -> u32 {
        self.asked
    }

    /// Whether nothing is left to ask.
    pub(super) fn is_over(&self) -> bool {
        self.is_told || self.are_different || self.came.len() >= TIMES || self.series > MOST_SERIES
    }

    /// Whether an answer came again after another one.
    pub(super) fn are_different(&self) -> bool {
        self.are_different
    }

    /// Whether that was so before it was begun anew, or may be.
    pub(super) fn is_odd(&self) -> bool {
        self.were_different || self.jumps > 0
    }

    /// What was found is held no more: it may have been a trouble that has passed.
    pub(super) fn begin_anew(&mut self) {
        let were_different = self.are_different || self.were_different;
        *self = Self { were_different, ..Self::default() };
    }
}

impl Stood {
    fn of(page: &PageFact) -> Option<Self> {
        let mut seconds = page.rows.iter().map(|row| row.second);
        let tells = page.is_placed() && seconds.clone().is_sorted() && !page.check.is_astray();
        let mixed =
            |all: u64, second: EpochSeconds| (all ^ second.get().unsigned_abs()).wrapping_mul(0x0000_0100_0000_01b3);
        let print = seconds.clone().fold(0xcbf2_9ce4_8422_2325, mixed);
        let (first, last) = (seconds.next(), seconds.next_back());
        let ends = first.map(|first| (first, last.unwrap_or(first)));
        tells.then_some(Self { print, ends, is_full: page.slots >= SOURCE.page_size })
    }

    /// Whether it stands at another place of the list. A page with free places may have left rows out.
    fn is_another_than(&self, other: Self) -> bool {
        match (self.ends, other.ends) {
            (Some(one), Some(two)) if self.is_full && other.is_full => one != two || self.print != other.print,
            _ => self.is_apart_from(other),
        }
    }

    /// Whether it has no second in common with the other.
    fn is_apart_from(&self, other: Self) -> bool {
        match (self.ends, other.ends) {
            (Some(one), Some(two)) => one.1 < two.0 || two.1 < one.0,
            (one, two) => one != two,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fact::{PageAddress, Purpose};
    use crate::plan::testing::{at, page_of, us};
    use crate::units::PageNumber;

    /// Takes page 3 of one question, which begins with these seconds in turn; none is an empty one.
    fn told(firsts: &[Option<i64>]) -> AskedAgain {
        let mut again = AskedAgain::default();
        for (first, question) in firsts.iter().zip(1..) {
            let purpose = Purpose::Place { anchor: at(0), question };
            let address = PageAddress { region: us(), purpose, page: PageNumber::new(3).unwrap() };
            let rows = first.map_or(0..0, |first| first..first + 10);
            again.take(at(0), &page_of(address, at(1_000), rows));
        }
        again
    }

    #[test]
    fn an_answer_that_comes_back_after_another_shows_two_of_them() {
        let (one, other) = (Some(20), Some(33));
        for two in [vec![one, other, one], vec![other, one, one, other], vec![one, None, one], vec![None, one, None]] {
            assert!(told(&two).are_different() && told(&two).is_over(), "{two:?}");
        }
        for moved in [vec![one; 12], vec![one, other, other], vec![Some(22), Some(21), one]] {
            assert!(!told(&moved).are_different(), "rows came or went: {moved:?}");
        }
        assert!(!told(&[one; 11]).is_over() && told(&[one; 12]).is_over());
        // Other questions in between, each of which had two answers.
        let mut jumping = told(&[one, other]);
        let pages = [(4, 30), (4, 43), (5, 40), (5, 53)];
        for (page, first) in pages {
            assert!(!jumping.are_different());
            let purpose = Purpose::Place { anchor: at(0), question: 9 };
            let address = PageAddress { region: us(), purpose, page: PageNumber::new(page).unwrap() };
            jumping.take(at(0), &page_of(address, at(1_000), first..first + 10));
        }
        assert!(jumping.are_different());
        let mut later = told(&[one, other, one]);
        later.begin_anew();
        assert!(later.is_odd() && !later.are_different() && !later.is_over());
    }

    #[test]
    fn a_page_with_free_places_tells_nothing_of_what_it_left_out() {
        let mut again = told(&[Some(20)]);
        let purpose = Purpose::Place { anchor: at(0), question: 2 };
        let address = PageAddress { region: us(), purpose, page: PageNumber::new(3).unwrap() };
        again.take(at(0), &page_of(address.clone(), at(1_000), 20..29));
        again.take(at(0), &page_of(address.clone(), at(1_000), 20..30));
        assert!(!again.are_different() && again.asked() == 2);
        again.take(at(0), &page_of(address.clone(), at(1_000), 35..39));
        again.take(at(0), &page_of(address, at(1_000), 20..30));
        assert!(again.are_different(), "but where its rows stand elsewhere");
    }
}
