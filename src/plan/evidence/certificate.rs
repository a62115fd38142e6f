//! The kernel: which seconds follow from a set of observations, by which rule, and on what that rests. Pure, without budgets.
//!
//! A second is whole where its zone is: every rank that may be of it was seen to hold a row of its own. The rank of a row within its
//! second changes with every request, the ranks that a second has do not; so if as many different rows are known of a zone as it
//! has places, none is missing. Rows that are inserted only move others to later pages, which are read later.

use std::collections::{BTreeMap, BTreeSet};

use super::both_ends;
use super::ends::{EndLook, are_apart};
use super::habit;
use super::observation::{Observation, ObservationId, Rules, ScanId, Turn};
use super::placement::{Edge, OpenSide, Reading, Side, Zone};
use super::premise::{Certificate, Missing, Premise, Refutation, Rule};
use crate::plan::fact::{RowKey, VideoKey};
use crate::units::{EpochSeconds, PageNumber, TimeRange};

/// The observations of one region, put into readings.
#[derive(Clone, Debug)]
pub struct Kernel<'a> {
    pub(super) rules: Rules,
    pub(super) readings: Vec<Reading<'a>>,
    /// Rows that stood out of order in any reading.
    pub(super) strays: BTreeSet<VideoKey>,
    /// Each second's rows that stood in order wherever they were seen, and where.
    pub(super) shown: BTreeMap<EpochSeconds, Vec<Sighting>>,
    looks: Vec<EndLook>,
    ends: Vec<(usize, usize)>,
    believes_short: bool,
    refuted: BTreeSet<Refutation>,
}

/// One row on one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The row.
    pub video: VideoKey,
    /// The page, and when it was made.
    pub on: (EpochSeconds, ObservationId),
}

/// What one look at a second comes to, before anything confirms it.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The certificate that it is, or needs another to be.
    pub certificate: Certificate,
    /// The rows of the second.
    pub ids: BTreeSet<VideoKey>,
    /// Whether it leaps further than the rows beside it explain, or to the end, so that it takes another one apart in time.
    pub leaps: bool,
    /// The number of the empty page that it takes for the end.
    pub empty_page: Option<PageNumber>,
}

impl<'a> Kernel<'a> {
    /// The kernel of these observations of one region, which may come in any order; what is refuted certifies nothing.
    pub fn new(
        observations: impl IntoIterator<Item = &'a Observation>,
        rules: Rules,
        refuted: &BTreeSet<Refutation>,
    ) -> Self {
        let mut scans: BTreeMap<ScanId, BTreeMap<PageNumber, &Observation>> = BTreeMap::new();
        for page in observations {
            scans.entry(page.scan.id()).or_default().insert(page.page, page);
        }
        let of_nothing = scans.values().flat_map(BTreeMap::values).filter_map(|page| EndLook::of_nothing(page));
        let mut looks: Vec<EndLook> = of_nothing.collect();
        let readings: Vec<Reading<'_>> = scans.values().flat_map(|pages| runs(pages, &rules)).collect();
        let mut strays: BTreeSet<VideoKey> = readings.iter().flat_map(Reading::strays).collect();
        strays.extend(refuted.iter().filter_map(|refutation| match refutation {
            Refutation::Date(video) => Some(*video),
            _ => None,
        }));
        looks.extend(readings.iter().filter_map(|reading| EndLook::of(reading, &rules)));
        let ends = pairs(&looks, |one, other| one.confirms(other, &rules));
        let shown = sightings(&readings, &strays);
        let readings = readings.into_iter().map(|reading| reading.bracketed(&strays)).collect();
        let refuted = refuted.clone();
        let mut kernel = Self { rules, readings, strays, shown, looks, ends, believes_short: false, refuted };
        kernel.believes_short = habit::is_shown(&kernel);
        kernel
    }

    /// Why every row of the second has been seen.
    ///
    /// # Errors
    /// What is missing, of that which comes nearest.
    pub fn certify(&self, second: EpochSeconds) -> Result<Certificate, Missing> {
        let (claims, mut missing) = self.look(second);
        let apart = self.rules.confirm_after;
        let waiting = claims.iter().filter(|claim| claim.leaps).map(|claim| match claim.empty_page {
            Some(_) => Missing::EndWitness(apart),
            None => Missing::SecondReading(apart),
        });
        missing.extend(waiting);
        let mut certificates = self.confirmed(claims);
        certificates.extend(self.beyond(second));
        let is_withdrawn = !certificates.is_empty();
        certificates.retain(|certificate| certificate.stands(&self.refuted));
        missing.extend(is_withdrawn.then_some(Missing::Withdrawn));
        let nearest = missing.into_iter().max_by_key(|piece| piece.nearness()).unwrap_or(Missing::Reading);
        certificates.into_iter().next().ok_or(nearest)
    }

    /// Every certificate of the second, by whichever rule.
    pub fn certificates(&self, second: EpochSeconds) -> Vec<Certificate> {
        let mut certificates = self.confirmed(self.look(second).0);
        certificates.extend(self.beyond(second));
        certificates.retain(|certificate| certificate.stands(&self.refuted));
        certificates
    }

    /// What each look at the second comes to, and what those lack that come to nothing.
    pub fn look(&self, second: EpochSeconds) -> (Vec<Claim>, Vec<Missing>) {
        let (mut claims, mut missing) = (Vec::new(), Vec::new());
        let mut take = |result: Result<Claim, Missing>| match result {
            Ok(claim) => claims.push(claim),
            Err(piece) => missing.push(piece),
        };
        for reading in self.readings.iter().filter(|reading| reading.may_hold(second)) {
            let claim = self.claim(reading, second);
            claim.iter().filter_map(|claim| self.with_partner(reading, claim)).for_each(|claim| take(Ok(claim)));
            take(claim);
            for page in self.pages_of(reading, second) {
                take(self.claim(&page, second));
            }
        }
        claims.extend(both_ends::claims(self, second));
        (claims, missing)
    }

    /// Each page of a longer reading that may show the second by itself.
    fn pages_of(&self, reading: &'a Reading<'a>, second: EpochSeconds) -> impl Iterator<Item = Reading<'a>> {
        let shows = move |page: &&Observation| {
            let seconds = page.rows.iter().map(|row| row.second);
            let is_between = seconds.clone().min() <= Some(second) && Some(second) <= seconds.max();
            is_between || page.page.get() == 1
        };
        let pages = reading.pages.iter().copied().filter(|_| reading.pages.len() > 1).filter(shows);
        pages.map(|page| Reading::new(vec![page], None).bracketed(&self.strays))
    }

    /// What one reading says of the second.
    fn claim(&self, reading: &Reading<'_>, second: EpochSeconds) -> Result<Claim, Missing> {
        let zone = reading.zone(second, self.rules.witnesses).map_err(|side| match side {
            OpenSide::Older => Missing::OlderBracket,
            OpenSide::Newer if reading.ended.is_some() => Missing::EndWitness(self.rules.confirm_after),
            OpenSide::Newer => Missing::NewerBracket,
        })?;
        let count = self.count(reading, &zone, second);
        let is_one_page = zone.pages.0 == zone.pages.1;
        let is_whole = is_one_page && count.free == 0 && count.repeats == 0;
        let (known, places) = (count.ids.len() + count.imported.len(), zone.rows.len() + count.unseen as usize);
        if !is_whole && known != places {
            return Err(match (count.free, places.checked_sub(known)) {
                (0, Some(ids)) => Missing::Ids(u32::try_from(ids).unwrap_or(u32::MAX)),
                (0, None) => Missing::SecondReading(self.rules.confirm_after),
                (free, _) => Missing::FullPages(free),
            });
        }
        let imported = if is_whole { Vec::new() } else { count.imported };
        let is_end = matches!(zone.newer, Side::Edge(Edge::End, _));
        let rule = match () {
            () if count.is_habit => Rule::Habit,
            () if is_end => Rule::End,
            () if is_whole => Rule::OnePage,
            () if places == 0 => Rule::Between,
            () => Rule::Filled,
        };
        let mut certificate = self.certificate(reading, &zone, (second, rule));
        self.rest_on_imported(&mut certificate, &imported, is_one_page);
        let trusts_free = count.is_habit || (is_end && count.free_at_end > 0);
        certificate.premises.extend(trusts_free.then_some(Premise::ShortHidesNothing));
        // What takes a free place may come twice as well, and push a row out.
        certificate.premises.extend((count.is_habit && !is_one_page).then_some(Premise::StableTies));
        let at = |row: &&RowKey| row.second == second;
        let mut ids: BTreeSet<VideoKey> = zone.rows.iter().filter(at).map(|row| row.video).collect();
        ids.extend(imported.iter().map(|sighting| sighting.video));
        // Beyond the last row only the witnesses of the end speak.
        if is_end && ids.is_empty() {
            return Err(Missing::EndWitness(self.rules.confirm_after));
        }
        if imported.is_empty() && ids.is_empty() {
            let between = TimeRange::new(zone.older.second().shifted(1), zone.newer.second());
            certificate.seconds = between.intersection(reading.pages.first().map_or(between, |page| page.scan.sure));
        }
        let leaps = is_end || self.leaps(reading, &zone, (!ids.is_empty()).then_some(second));
        let empty_page = reading.ended.filter(|_| is_end).map(|end| end.page);
        Ok(Claim { certificate, ids, leaps, empty_page })
    }

    /// The claim of the last second, if another witness shows the same last row. That row is the last of its second only where ties
    /// stand in one order: otherwise each look would show another one, or by chance the same.
    fn with_partner(&self, reading: &Reading<'_>, claim: &Claim) -> Option<Claim> {
        claim.empty_page?;
        let partner = self.partner(reading)?;
        let mut certified = Claim { leaps: false, ..claim.clone() };
        let certificate = &mut certified.certificate;
        certificate.premises.extend(&partner.premises);
        certificate.premises.extend([Premise::StableTies, Premise::TroublePasses]);
        certificate.observations.extend(&partner.observations);
        Some(certified)
    }

    fn count(&self, reading: &Reading<'_>, zone: &Zone, second: EpochSeconds) -> Count {
        let ids: BTreeSet<VideoKey> = zone.rows.iter().map(|row| row.video).collect();
        let unseen = reading.unseen(zone.pages, self.rules.page_size);
        let is_end = matches!(zone.newer, Side::Edge(Edge::End, _));
        let free_at_end = unseen.free_at_end;
        let free = unseen.free + if is_end { 0 } else { free_at_end };
        let is_habit = self.believes_short && free > 0;
        let free = if is_habit { 0 } else { free };
        let first_made = reading.pages.get(zone.pages.0).map(|page| page.made);
        let sightings = self.shown.get(&second).map(Vec::as_slice).unwrap_or_default();
        // A row that came since may have been inserted, and would fill the place of one that is missing.
        let is_before = |sighting: &&Sighting| Some(sighting.on.0) < first_made && !ids.contains(&sighting.video);
        let mut imported: BTreeMap<VideoKey, Sighting> = BTreeMap::new();
        for sighting in sightings.iter().filter(is_before) {
            imported.entry(sighting.video).or_insert(*sighting);
        }
        let repeats = zone.rows.len() - ids.len();
        let imported = imported.into_values().collect();
        Count { ids, imported, repeats, unseen: free + unseen.unplaced, free, free_at_end, is_habit }
    }

    fn certificate(&self, reading: &Reading<'_>, zone: &Zone, (second, rule): (EpochSeconds, Rule)) -> Certificate {
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

    fn rest_on_end(
        &self,
        reading: &Reading<'_>,
        (premises, observations): (&mut BTreeSet<Premise>, &mut BTreeSet<(EpochSeconds, ObservationId)>),
    ) {
        premises.extend([Premise::EmptyIsEnd, Premise::NoDeletion]);
        let is_early = reading.ended.is_some_and(|end| end.turn == Turn::Early);
        premises.extend(is_early.then_some(Premise::NoInsertion));
        observations.extend(reading.ended.map(|end| (end.made, end.id())));
    }

    fn rest_on_imported(&self, certificate: &mut Certificate, imported: &[Sighting], is_one_page: bool) {
        for sighting in imported {
            certificate.premises.extend([Premise::Dates, Premise::NoDeletion]);
            // Nobody knows whether a single page was asked before the other had come.
            certificate.premises.extend(is_one_page.then_some(Premise::NoInsertion));
            certificate.dated.insert(BTreeSet::from([sighting.video]));
            certificate.observations.insert(sighting.on);
        }
    }

    /// Whether seconds without rows beside it are more than the rows around explain.
    fn leaps(&self, reading: &Reading<'_>, zone: &Zone, second: Option<EpochSeconds>) -> bool {
        let (older, newer) = (zone.older.second(), zone.newer.second());
        let is_end = matches!(zone.newer, Side::Edge(Edge::End, _));
        let distance = match second {
            None => newer.since(older),
            Some(second) if is_end => second.since(older),
            Some(second) => second.since(older).max(newer.since(second)),
        };
        distance > 1 && distance - 1 > self.rules.leap.saturating_mul(reading.mean_distance(zone.pages))
    }

    /// The claims that stand by themselves, and those that another confirms.
    fn confirmed(&self, claims: Vec<Claim>) -> Vec<Certificate> {
        let (leaping, plain): (Vec<Claim>, Vec<Claim>) = claims.into_iter().partition(|claim| claim.leaps);
        let agree = |one: &Claim, other: &Claim| {
            // Two empty pages of one number may be the last page that the service serves.
            let is_other_page = one.empty_page.is_none() || one.empty_page != other.empty_page;
            one.ids == other.ids
                && is_other_page
                && are_apart(&one.certificate.observations, &other.certificate.observations, &self.rules)
        };
        let both = pairs(&leaping, agree).into_iter().filter_map(|(one, other)| {
            Some(together(&leaping.get(one)?.certificate, &leaping.get(other)?.certificate))
        });
        let both: Vec<Certificate> = both.collect();
        plain.into_iter().map(|claim| claim.certificate).chain(both).collect()
    }

    /// What the witnesses of the end say about a second after the last row.
    fn beyond(&self, second: EpochSeconds) -> impl Iterator<Item = Certificate> {
        let certificates =
            self.ends.iter().filter_map(|(one, other)| Some(self.looks.get(*one)?.with(self.looks.get(*other)?)));
        certificates.filter(move |certificate| certificate.seconds.contains(second))
    }

    /// Another witness of the end to which a reading came.
    fn partner(&self, reading: &Reading<'_>) -> Option<&EndLook> {
        let end = reading.ended?.id();
        let is_own = |look: &EndLook| look.observations.iter().any(|(_, id)| *id == end);
        self.ends.iter().find_map(|(one, other)| {
            let (one, other) = (self.looks.get(*one)?, self.looks.get(*other)?);
            match (is_own(one), is_own(other)) {
                (true, _) => Some(other),
                (_, true) => Some(one),
                _ => None,
            }
        })
    }
}

/// The places of a zone and what is known of them.
struct Count {
    ids: BTreeSet<VideoKey>,
    imported: Vec<Sighting>,
    repeats: usize,
    /// Places that may hold a row unseen.
    unseen: u32,
    free: u32,
    free_at_end: u32,
    is_habit: bool,
}

/// Two that say the same apart in time: passing trouble can have met one of them only.
fn together(one: &Certificate, other: &Certificate) -> Certificate {
    let mut premises = &one.premises | &other.premises;
    premises.remove(&Premise::AnswersWhole);
    premises.insert(Premise::TroublePasses);
    Certificate {
        seconds: one.seconds.intersection(other.seconds),
        rule: one.rule,
        premises,
        dated: &one.dated | &other.dated,
        observations: &one.observations | &other.observations,
    }
}

/// The pages of one scan in runs without a gap.
fn runs<'a>(pages: &BTreeMap<PageNumber, &'a Observation>, rules: &Rules) -> Vec<Reading<'a>> {
    let mut readings = Vec::new();
    let mut run: Vec<&Observation> = Vec::new();
    for page in pages.values().copied() {
        let follows = run.last().is_some_and(|last| last.page.next() == Some(page.page));
        if !follows || page.is_empty() {
            let ended = (follows && page.is_empty()).then_some(page);
            readings.push(Reading::new(std::mem::take(&mut run), ended));
        }
        // A page that holds more than its places has moved the ranks of those after it.
        if !page.is_empty() && page.slots() <= rules.page_size {
            run.push(page);
        }
    }
    readings.push(Reading::new(run, None));
    readings.retain(|reading| !reading.pages.is_empty());
    readings
}

fn sightings(readings: &[Reading<'_>], strays: &BTreeSet<VideoKey>) -> BTreeMap<EpochSeconds, Vec<Sighting>> {
    let mut shown: BTreeMap<EpochSeconds, Vec<Sighting>> = BTreeMap::new();
    for page in readings.iter().flat_map(|reading| &reading.pages) {
        for row in page.rows.iter().filter(|row| !strays.contains(&row.video)) {
            shown.entry(row.second).or_default().push(Sighting { video: row.video, on: (page.made, page.id()) });
        }
    }
    shown.values_mut().for_each(|sightings| sightings.sort_unstable_by_key(|sighting| sighting.on));
    shown
}

/// The pairs of indexes that are related.
fn pairs<T>(all: &[T], is_related: impl Fn(&T, &T) -> bool) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (index, one) in all.iter().enumerate() {
        let others = all.iter().enumerate().skip(index + 1);
        found.extend(others.filter(|(_, other)| is_related(one, other)).map(|(other, _)| (index, other)));
    }
    found
}
