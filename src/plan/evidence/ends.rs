//! The end of all rows: who says that a row is the last, and which two are witnesses of it. Pure.
//!
//! An empty page alone proves nothing: it may be the service's last page, or an answer that is wrongly empty. So an end takes two
//! looks that show the same last rows, apart in time, and not two empty pages of the same number.

use std::collections::BTreeSet;

use super::observation::{Observation, ObservationId, Rules, Turn};
use super::placement::Reading;
use super::premise::{Certificate, Premise, Rule};
use crate::plan::fact::VideoKey;
use crate::units::{EpochSeconds, TimeRange};

/// One answer that shows the last rows of all.
#[derive(Clone, Debug)]
pub struct EndLook {
    /// The last rows, oldest first, as many as bracket a second; none where no row came at all.
    pub tail: Vec<VideoKey>,
    /// From the second after the last row to the end of what was asked.
    pub beyond: TimeRange,
    /// The number of the empty page; none where the newest rows were asked first.
    pub empty_page: Option<u32>,
    /// What it rests on beside the order, the dates and the bounds.
    pub premises: BTreeSet<Premise>,
    /// Its observations.
    pub observations: BTreeSet<(EpochSeconds, ObservationId)>,
}

impl EndLook {
    /// What a reading shows of the end, if it comes to it.
    pub fn of(reading: &Reading<'_>, rules: &Rules) -> Option<Self> {
        let is_newest_first = reading.pages.first()?.series.is_newest_first;
        match (is_newest_first, reading.ended) {
            (true, _) if reading.pages.first()?.page.get() == 1 => Self::from_newest(reading, rules),
            (false, Some(end)) => Self::from_empty(reading, end, rules),
            _ => None,
        }
    }

    /// A first page that is empty: no row at all.
    pub fn of_nothing(page: &Observation) -> Option<Self> {
        (page.is_empty() && page.page.get() == 1).then(|| Self {
            tail: Vec::new(),
            beyond: page.series.sure,
            empty_page: Some(1),
            premises: BTreeSet::from([Premise::EmptyIsEnd]),
            observations: BTreeSet::from([(page.made, page.id())]),
        })
    }

    fn from_newest(reading: &Reading<'_>, rules: &Rules) -> Option<Self> {
        let page = reading.pages.first()?;
        let mut look = Self::with_tail(reading, 0, rules)?;
        look.premises.extend((page.free(rules.page_size) > 0).then_some(Premise::ShortHidesNothing));
        Some(look)
    }

    fn from_empty(reading: &Reading<'_>, end: &Observation, rules: &Rules) -> Option<Self> {
        let last = reading.pages.last()?;
        let mut look = Self::with_tail(reading, reading.pages.len() - 1, rules)?;
        look.empty_page = Some(end.page.get());
        look.premises.extend([Premise::EmptyIsEnd, Premise::NoDeletion]);
        look.premises.extend((last.free(rules.page_size) > 0).then_some(Premise::ShortHidesNothing));
        look.premises.extend((end.turn == Turn::Early).then_some(Premise::NoInsertion));
        look.observations.insert((end.made, end.id()));
        Some(look)
    }

    /// The look whose last rows stand on the page of this index.
    fn with_tail(reading: &Reading<'_>, index: usize, rules: &Rules) -> Option<Self> {
        let page = reading.pages.get(index)?;
        let rows: Vec<_> = reading.rows_on(index).collect();
        let from = rows.len().saturating_sub(rules.witnesses.max(1));
        let tail: Vec<VideoKey> = rows.iter().skip(from).map(|row| row.video).collect();
        let last = rows.iter().skip(from).map(|row| row.second).max()?;
        let is_all = page.page.get() == 1 && reading.pages.len() == 1;
        let is_usable = page.unplaced == 0 && (tail.len() >= rules.witnesses || is_all);
        is_usable.then(|| Self {
            tail,
            beyond: TimeRange::new(last.shifted(1), page.series.sure.end),
            empty_page: None,
            premises: BTreeSet::new(),
            observations: BTreeSet::from([(page.made, page.id())]),
        })
    }

    /// Whether the two are two witnesses of one end.
    pub fn confirms(&self, other: &Self, rules: &Rules) -> bool {
        let is_other_rank = self.tail.is_empty() || self.empty_page.is_none() || self.empty_page != other.empty_page;
        // A list that ends earlier would confirm an end that the other only seems to have.
        let is_one_end = self.beyond.end == other.beyond.end;
        self.tail == other.tail
            && is_one_end
            && is_other_rank
            && are_apart(&self.observations, &other.observations, rules)
    }

    /// What two witnesses of one end prove: nothing comes after it.
    pub fn with(&self, other: &Self) -> Certificate {
        let mut premises = &self.premises | &other.premises;
        premises.extend([Premise::Order, Premise::Bounds, Premise::TroublePasses]);
        premises.extend((!self.tail.is_empty()).then_some(Premise::Dates));
        let group: BTreeSet<VideoKey> = self.tail.iter().copied().collect();
        Certificate {
            seconds: self.beyond.intersection(other.beyond),
            rule: Rule::End,
            premises,
            dated: BTreeSet::from([group]).into_iter().filter(|group| !group.is_empty()).collect(),
            observations: &self.observations | &other.observations,
        }
    }
}

/// Whether all of one lie so far before all of the other that no passing trouble can have met both.
pub fn are_apart(
    one: &BTreeSet<(EpochSeconds, ObservationId)>,
    other: &BTreeSet<(EpochSeconds, ObservationId)>,
    rules: &Rules,
) -> bool {
    let distance = |before: &BTreeSet<(EpochSeconds, ObservationId)>,
                    after: &BTreeSet<(EpochSeconds, ObservationId)>| {
        before.last().zip(after.first()).is_some_and(|(last, first)| first.0.since(last.0) >= rules.confirm_after)
    };
    distance(one, other) || distance(other, one)
}
