//! Observations to readings, and where each row was seen. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::observation::{Observation, ObservationId, Rules, Turn};
use super::placement::Reading;
use crate::plan::fact::{Purpose, RowKey, VideoKey};
use crate::units::{EpochSeconds, PageNumber};

/// One row on one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The row.
    pub video: VideoKey,
    /// The page, and when it was made.
    pub on: (EpochSeconds, ObservationId),
    /// When that was asked.
    turn: Turn,
}

impl Sighting {
    /// Whether it was made before the page was asked for. Within one second only the scans of one window tell: each begins when
    /// the one before is over.
    pub(super) fn is_before(&self, page: &Observation) -> bool {
        let is_former = match (self.on.1.series.purpose, page.series.purpose) {
            (Purpose::Walk { window, scan }, Purpose::Walk { window: same, scan: later }) => {
                window == same && scan < later && self.turn == Turn::InTurn
            }
            _ => false,
        };
        self.on.0 < page.made || (self.on.0 == page.made && is_former)
    }
}

/// The pages of one series in runs without a gap.
pub(super) fn runs<'a>(pages: &BTreeMap<PageNumber, &'a Observation>, rules: &Rules) -> Vec<Reading<'a>> {
    let mut readings = Vec::new();
    let mut run: Vec<&Observation> = Vec::new();
    for page in pages.values().copied() {
        let follows = run.last().is_some_and(|last| last.page.next() == Some(page.page));
        if follows && run.last().is_some_and(|last| is_same(last, page)) {
            // The last page that is served, once more, or one page in place of the other: this one says nothing of its ranks.
            readings.push(Reading::new(std::mem::take(&mut run), None));
            continue;
        }
        if !follows || page.is_empty() {
            let ended = (follows && page.is_empty()).then_some(page);
            readings.push(Reading::new(std::mem::take(&mut run), ended));
        }
        // A page that holds more than its places has moved the ranks of those after it.
        if !page.is_empty() && page.slots() <= rules.page_size && !page.says_nothing() {
            run.push(page);
        }
    }
    readings.push(Reading::new(run, None));
    readings.retain(|reading| !reading.pages.is_empty());
    readings
}

/// Whether its last page has a free place, and nothing is known of what it asked beyond its rows.
pub(super) fn is_at_end(reading: &Reading<'_>, shown: &BTreeMap<EpochSeconds, Vec<Sighting>>, rules: &Rules) -> bool {
    let Some(page) = reading.pages.last().filter(|page| page.free(rules.page_size) > 0) else { return false };
    let (first, last) = (reading.rows().next(), reading.rows().next_back());
    let beyond = match (page.series.is_newest_first, first, last) {
        (true, Some(first), _) => page.series.sure.start..first.second.shifted(1).max(page.series.sure.start),
        (false, _, Some(last)) => last.second..page.series.sure.end.max(last.second),
        _ => return false,
    };
    let known: BTreeSet<VideoKey> = reading.rows().map(|row| row.video).collect();
    shown.range(beyond).flat_map(|(_, sightings)| sightings).all(|sighting| known.contains(&sighting.video))
}

/// Whether two pages show the same rows: all of them, or, where ties come in a fresh order on every request, all but those of the second
/// that the page ends in, or rows of the very same seconds, to the first of which no list goes back after the last.
fn is_same(one: &Observation, other: &Observation) -> bool {
    let is_shared = |row: &RowKey| other.rows.iter().any(|same| same.video == row.video);
    let (Some(first), Some(last)) = (one.rows.first(), one.rows.last()) else { return false };
    let mut before = one.rows.iter().filter(|row| row.second != last.second).peekable();
    let may_differ = before.peek().is_some() && before.all(is_shared);
    let seconds = |page: &'_ Observation| page.rows.iter().map(|row| row.second).collect::<Vec<_>>();
    let goes_back = first.second != last.second && seconds(one) == seconds(other);
    one.slots() == other.slots() && (may_differ || goes_back || one.rows.iter().all(is_shared))
}

pub(super) fn sightings(
    readings: &[Reading<'_>],
    strays: &BTreeSet<VideoKey>,
) -> BTreeMap<EpochSeconds, Vec<Sighting>> {
    let mut shown: BTreeMap<EpochSeconds, Vec<Sighting>> = BTreeMap::new();
    for page in readings.iter().flat_map(|reading| &reading.pages) {
        for row in page.rows.iter().filter(|row| !strays.contains(&row.video)) {
            shown.entry(row.second).or_default().push(Sighting {
                video: row.video,
                on: (page.made, page.id()),
                turn: page.turn,
            });
        }
    }
    shown.values_mut().for_each(|sightings| sightings.sort_unstable_by_key(|sighting| sighting.on));
    shown
}
