//! Short pages: whether a service's free places have been shown to be its habit and to hide nothing. Pure.
//!
//! A look at a short page is another reading across it in another alignment. Once any look shows a row that the page had left
//! out, no free place is believed.

use std::collections::BTreeSet;

use super::Kernel;
use crate::plan::evidence::observation::{Observation, ObservationId, Rules};
use crate::plan::evidence::placement::Reading;
use crate::plan::fact::VideoKey;
use crate::units::TimeRange;

/// What the looks around short pages have shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looks {
    /// Those in another alignment that found nothing.
    pub agreeing: u32,
    /// Those that found a row which the page had left out.
    pub hiding: u32,
    /// The pages of which two looks found nothing, one of them in another alignment.
    settled: BTreeSet<ObservationId>,
}

/// Looks that must have found nothing of one page.
const AGREEING_LOOKS: usize = 2;

/// What one look at a short page comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// It shows a row that the page's reading does not.
    Finds,
    /// It shows no other, in the same alignment.
    SeesTheSame,
    /// It shows no other, in another alignment.
    FindsNothing,
}

impl Looks {
    /// All looks at all short pages that another page follows.
    pub fn of(kernel: &Kernel<'_>) -> Self {
        let mut looks = Self::default();
        for reading in &kernel.readings {
            let short: Vec<&Observation> = followed_short(reading, kernel.rules.page_size).collect();
            if short.is_empty() {
                continue;
            }
            let known: BTreeSet<VideoKey> = reading.rows().map(|row| row.video).collect();
            let others: Vec<&Reading<'_>> =
                kernel.readings.iter().filter(|other| is_other_series(reading, other)).collect();
            for page in short {
                looks.take(page, &others.iter().filter_map(|other| look(&known, page, other)).collect::<Vec<_>>());
            }
        }
        looks
    }

    fn take(&mut self, page: &Observation, all: &[Look]) {
        let count = |wanted: Look| all.iter().filter(|look| **look == wanted).count();
        let (hiding, agreeing) = (count(Look::Finds), count(Look::FindsNothing));
        self.hiding += u32::try_from(hiding).unwrap_or(u32::MAX);
        self.agreeing += u32::try_from(agreeing).unwrap_or(u32::MAX);
        if hiding == 0 && agreeing > 0 && all.len() >= AGREEING_LOOKS {
            self.settled.insert(page.id());
        }
    }

    /// Whether free places of the page are believed to be empty: enough looks found nothing, at this page or at all, and none found a
    /// row anywhere.
    pub fn believe(&self, page: &Observation, rules: &Rules) -> bool {
        let is_habit = rules.is_habit || (self.agreeing >= rules.looks && self.agreeing > 0);
        self.hiding == 0 && (is_habit || self.settled.contains(&page.id()))
    }
}

/// The pages with free places that another page follows.
fn followed_short<'a>(reading: &'a Reading<'_>, size: u32) -> impl Iterator<Item = &'a Observation> {
    let but_last = reading.pages.len() - 1;
    reading.pages.iter().copied().take(but_last).filter(move |page| page.free(size) > 0)
}

fn is_other_series(one: &Reading<'_>, other: &Reading<'_>) -> bool {
    one.pages.first().map(|page| page.series.id()) != other.pages.first().map(|page| page.series.id())
}

/// What another reading across a short page shows; none where it does not lie across it.
fn look(known: &BTreeSet<VideoKey>, short: &Observation, other: &Reading<'_>) -> Option<Look> {
    let seconds = || short.rows.iter().map(|row| row.second);
    let (first, last) = (seconds().min()?, seconds().max()?);
    if !other.reaches(first).0 || !other.reaches(last).1 {
        return None;
    }
    let opens = short.rows.first()?.video;
    let is_aligned = other.pages.iter().any(|page| page.rows.first().is_some_and(|row| row.video == opens));
    let finds = other.rows_within(TimeRange::new(first, last.shifted(1))).any(|row| !known.contains(&row.video));
    Some(match (finds, is_aligned) {
        (true, _) => Look::Finds,
        (false, true) => Look::SeesTheSame,
        (false, false) => Look::FindsNothing,
    })
}
