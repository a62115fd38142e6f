//! What one reading says of one second, by the zone of places that may hold it: OnePage, Filled, Between, End and Habit. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::certificate::{Claim, Kernel};
use super::observation::{ObservationId, Turn};
use super::placement::{Edge, OpenSide, Reading, Side, Zone};
use super::premise::{Certificate, Missing, Premise, Rule};
use super::readings::Sighting;
use crate::plan::fact::{RowKey, VideoKey};
use crate::units::{EpochSeconds, TimeRange};

impl Kernel<'_> {
    /// What one reading says of the second.
    pub(super) fn claim(&self, reading: &Reading<'_>, second: EpochSeconds) -> Result<Claim, Missing> {
        let zone = reading.zone(second, self.rules.witnesses).map_err(|side| match side {
            OpenSide::Older => Missing::OlderBracket,
            OpenSide::Newer if reading.ended.is_some() => Missing::EndWitness(self.rules.confirm_after),
            OpenSide::Newer => Missing::NewerBracket,
        })?;
        let count = self.count(reading, &zone, second);
        let is_one_page = zone.pages.0 == zone.pages.1;
        let is_whole = is_one_page && count.unseen.free == 0 && count.repeats == 0;
        let (known, places) = (count.ids.len() + count.imported.len(), zone.rows.len() + count.unseen.free as usize);
        if !is_whole && known != places {
            return Err(match (count.unseen.free, places.checked_sub(known)) {
                (0, Some(ids)) => Missing::Ids(u32::try_from(ids).unwrap_or(u32::MAX)),
                (0, None) => Missing::SecondReading(self.rules.confirm_after),
                (free, _) => Missing::FullPages(free),
            });
        }
        let imported = if is_whole { Vec::new() } else { count.imported };
        let is_end = matches!(zone.newer, Side::Edge(Edge::End, _));
        let is_habit = count.unseen.believed > 0;
        let rule = match () {
            () if is_habit => Rule::Habit,
            () if is_end => Rule::End,
            () if is_whole => Rule::OnePage,
            () if places == 0 => Rule::Between,
            () => Rule::Filled,
        };
        let mut certificate = self.certificate(reading, &zone, (second, rule));
        self.rest_on_imported(&mut certificate, &imported, is_one_page);
        let trusts_free = is_habit || count.unseen.at_end > 0;
        certificate.premises.extend(trusts_free.then_some(Premise::ShortHidesNothing));
        // What takes a place and cannot be told from others may come twice as well, and push a row out.
        let is_blind = is_habit || count.unseen.unplaced > 0;
        certificate.premises.extend((is_blind && !is_one_page).then_some(Premise::StableTies));
        let at = |row: &&RowKey| row.second == second;
        let mut ids: BTreeSet<VideoKey> = zone.rows.iter().filter(at).map(|row| row.video).collect();
        ids.extend(imported.iter().map(|sighting| sighting.video));
        // Beyond the last row only the witnesses of the end speak.
        if is_end && ids.is_empty() {
            return Err(Missing::EndWitness(self.rules.confirm_after));
        }
        if imported.is_empty() && ids.is_empty() {
            let between = TimeRange::new(zone.older.second().shifted(1), zone.newer.second());
            certificate.seconds = between.intersection(reading.pages.first().map_or(between, |page| page.series.sure));
        }
        let leaps = is_end || self.leaps(reading, &zone, (!ids.is_empty()).then_some(second));
        let empty_page = reading.ended.filter(|_| is_end).map(|end| end.page);
        Ok(Claim { certificate, ids, leaps, empty_page })
    }

    /// Places of these pages that may hold a row unseen.
    pub(super) fn unseen(&self, reading: &Reading<'_>, pages: (usize, usize)) -> Unseen {
        let mut unseen = Unseen::default();
        for index in pages.0..=pages.1 {
            let Some(page) = reading.pages.get(index) else { continue };
            unseen.unplaced += page.unplaced;
            match page.free(self.rules.page_size) {
                0 => {}
                free if reading.is_last(index) => unseen.at_end += free,
                free if self.looks_around.believe(page, &self.rules) => unseen.believed += free,
                free => unseen.free += free,
            }
        }
        unseen
    }

    pub(super) fn count(&self, reading: &Reading<'_>, zone: &Zone, second: EpochSeconds) -> Count {
        let ids: BTreeSet<VideoKey> = zone.rows.iter().map(|row| row.video).collect();
        let unseen = self.unseen(reading, zone.pages);
        let first = reading.pages.get(zone.pages.0).copied();
        let sightings = self.shown.get(&second).map(Vec::as_slice).unwrap_or_default();
        // A row that came since may have been inserted, and would fill the place of one that is missing.
        let is_before =
            |sighting: &&Sighting| first.is_some_and(|page| sighting.is_before(page)) && !ids.contains(&sighting.video);
        let mut imported: BTreeMap<VideoKey, Sighting> = BTreeMap::new();
        for sighting in sightings.iter().filter(is_before) {
            imported.entry(sighting.video).or_insert(*sighting);
        }
        let repeats = zone.rows.len() - ids.len();
        let imported = imported.into_values().collect();
        Count { ids, imported, repeats, unseen }
    }

    pub(super) fn certificate(
        &self,
        reading: &Reading<'_>,
        zone: &Zone,
        (second, rule): (EpochSeconds, Rule),
    ) -> Certificate {
        let mut premises = BTreeSet::from([Premise::Order, Premise::AnswersWhole]);
        let pages = reading.pages.get(zone.pages.0..=zone.pages.1).unwrap_or_default();
        let mut observations: BTreeSet<_> = pages.iter().map(|page| (page.made, page.id())).collect();
        premises.extend((pages.len() > 1).then_some(Premise::NoDeletion));
        premises.extend((!reading.is_in_turn(zone.pages)).then_some(Premise::NoInsertion));
        let mut dated = BTreeSet::new();
        for side in [&zone.older, &zone.newer] {
            match side {
                Side::Rows(rows, _) => {
                    premises.insert(Premise::Dates);
                    dated.insert(rows.clone());
                }
                Side::Edge(edge, _) => {
                    premises.insert(Premise::Bounds);
                    if *edge == Edge::End {
                        self.rest_on_end(reading, (&mut premises, &mut observations));
                    }
                }
            }
        }
        let seconds = TimeRange::new(second, second.shifted(1));
        Certificate { seconds, rule, premises, dated, observations }
    }

    pub(super) fn rest_on_end(
        &self,
        reading: &Reading<'_>,
        (premises, observations): (&mut BTreeSet<Premise>, &mut BTreeSet<(EpochSeconds, ObservationId)>),
    ) {
        premises.extend([Premise::EmptyIsEnd, Premise::NoDeletion]);
        let is_early = reading.ended.is_some_and(|end| end.turn == Turn::Early);
        premises.extend(is_early.then_some(Premise::NoInsertion));
        observations.extend(reading.ended.map(|end| (end.made, end.id())));
    }

    pub(super) fn rest_on_imported(&self, certificate: &mut Certificate, imported: &[Sighting], is_one_page: bool) {
        for sighting in imported {
            certificate.premises.extend([Premise::Dates, Premise::NoDeletion]);
            // Nobody knows whether a single page was asked before the other had come.
            certificate.premises.extend(is_one_page.then_some(Premise::NoInsertion));
            certificate.dated.insert(BTreeSet::from([sighting.video]));
            certificate.observations.insert(sighting.on);
        }
    }

    /// Whether seconds without rows beside it are more than the rows around explain.
    pub(super) fn leaps(&self, reading: &Reading<'_>, zone: &Zone, second: Option<EpochSeconds>) -> bool {
        let (older, newer) = (zone.older.second(), zone.newer.second());
        let is_end = matches!(zone.newer, Side::Edge(Edge::End, _));
        let distance = match second {
            None => newer.since(older),
            Some(second) if is_end => second.since(older),
            Some(second) => second.since(older).max(newer.since(second)),
        };
        self.is_leap(distance, || reading.mean_distance(zone.pages))
    }

    /// Whether so many seconds without a row are more than their mean distance, which is at least 1, explains.
    pub(super) fn is_leap(&self, distance: i64, mean: impl Fn() -> i64) -> bool {
        let between = distance - 1;
        between > self.rules.leap.max(0) && between > self.rules.leap.saturating_mul(mean())
    }
}

/// The places of a zone and what is known of them.
pub(super) struct Count {
    ids: BTreeSet<VideoKey>,
    imported: Vec<Sighting>,
    repeats: usize,
    unseen: Unseen,
}

/// Places that may hold a row unseen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unseen {
    /// Rows that cannot be placed.
    pub(super) unplaced: u32,
    /// Free places.
    pub(super) free: u32,
    /// Free places that are believed to be empty, since looks around them found nothing.
    pub(super) believed: u32,
    /// Free places of the list's last page.
    pub(super) at_end: u32,
}
