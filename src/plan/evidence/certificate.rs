//! The kernel: which seconds follow from a set of observations, by which rule, and on what that rests. Pure, without budgets.
//!
//! A second is whole where its zone is: every rank that may be of it was seen to hold a row of its own. The rank of a row within its
//! second changes with every request, the ranks that a second has do not; so if as many different rows are known of a zone as it
//! has places, none is missing. Rows that are inserted only move others to later pages, which are read later.

use std::collections::{BTreeMap, BTreeSet};

use super::ends::{EndLook, are_apart};
use super::observation::{Observation, Rules, SeriesId};
use super::placement::Reading;
use super::premise::{Certificate, Missing, Premise, Refutation};
use super::readings::{Sighting, is_at_end, runs, sightings};
use crate::plan::fact::VideoKey;
use crate::units::{EpochSeconds, PageNumber};

mod both_ends;
pub mod habit;

use habit::Looks;

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
    /// What looks around short pages have shown.
    pub(super) looks_around: Looks,
    /// What lists prove that were read from their first page to their end.
    wholes: Vec<Claim>,
    pub(super) refuted: BTreeSet<Refutation>,
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

impl Claim {
    /// Whether it would stand beside another that confirms it, which takes the place of answers that are whole.
    fn stands_as_half(&self, refuted: &BTreeSet<Refutation>) -> bool {
        together(&self.certificate, &self.certificate).stands(refuted)
    }
}

impl<'a> Kernel<'a> {
    /// The kernel of these observations of one region, which may come in any order; what is refuted certifies nothing.
    pub fn new(
        observations: impl IntoIterator<Item = &'a Observation>,
        rules: Rules,
        refuted: &BTreeSet<Refutation>,
    ) -> Self {
        let mut series: BTreeMap<SeriesId, BTreeMap<PageNumber, &Observation>> = BTreeMap::new();
        for page in observations {
            series.entry(page.series.id()).or_default().insert(page.page, page);
        }
        let of_nothing = series.values().flat_map(BTreeMap::values).filter_map(|page| EndLook::of_nothing(page));
        let mut looks: Vec<EndLook> = of_nothing.collect();
        let readings: Vec<Reading<'_>> = series.values().flat_map(|pages| runs(pages, &rules)).collect();
        let mut strays: BTreeSet<VideoKey> = readings.iter().flat_map(Reading::strays).collect();
        strays.extend(refuted.iter().filter_map(|refutation| match refutation {
            Refutation::Date(video) => Some(*video),
            _ => None,
        }));
        looks.extend(readings.iter().filter_map(|reading| EndLook::of(reading, &rules)));
        let ends = pairs(&looks, |one, other| one.confirms(other, &rules)).collect();
        let shown = sightings(&readings, &strays);
        let bracketed = |mut reading: Reading<'a>| {
            reading.is_at_end = is_at_end(&reading, &shown, &rules);
            reading.bracketed(&strays)
        };
        let readings: Vec<Reading<'_>> = readings.into_iter().map(bracketed).collect();
        let refuted = refuted.clone();
        let looks_around = Looks::default();
        let mut kernel =
            Self { rules, readings, strays, shown, looks, ends, looks_around, wholes: Vec::new(), refuted };
        kernel.looks_around = Looks::of(&kernel);
        kernel.wholes = kernel.readings.iter().filter_map(|reading| kernel.whole(reading)).collect();
        kernel
    }

    /// Why every row of the second has been seen.
    ///
    /// # Errors
    /// What is missing, of that which comes nearest.
    pub fn certify(&self, second: EpochSeconds) -> Result<Certificate, Missing> {
        let is_ordered = !self.refuted.contains(&Refutation::Premise(Premise::Order));
        let closing = self.readings.iter().filter(|reading| is_ordered && reading.may_close(second));
        let claims = closing.filter_map(|reading| {
            let claim = self.claim(reading, second).ok()?;
            self.with_partner(reading, &claim).or(Some(claim))
        });
        let mut plain = claims.filter(|claim| !claim.leaps);
        if let Some(claim) = plain.find(|claim| claim.certificate.stands(&self.refuted)) {
            return Ok(claim.certificate);
        }
        let (claims, mut missing) = self.look(second);
        let apart = self.rules.confirm_after;
        let (leaping, plain): (Vec<&Claim>, Vec<&Claim>) = claims.iter().partition(|claim| claim.leaps);
        let waiting = leaping.iter().map(|claim| match claim.empty_page {
            Some(_) => Missing::EndWitness(apart),
            None => Missing::SecondReading(apart),
        });
        missing.extend(waiting);
        let alone = || plain.iter().map(|claim| claim.certificate.clone());
        let sound: Vec<&Claim> = leaping.iter().copied().filter(|claim| claim.stands_as_half(&self.refuted)).collect();
        let mut all = alone().chain(self.confirmed(&sound)).chain(self.beyond(second));
        if let Some(certificate) = all.find(|certificate| certificate.stands(&self.refuted)) {
            return Ok(certificate);
        }
        // What two answers disagree about takes another look and no more, so that a certificate which nothing else takes back comes nearest.
        // Of two that confirm each other nothing says that answers were whole, so any two stand for all.
        let all = alone().chain(self.confirmed(&leaping).take(1)).chain(self.beyond(second));
        let taken_back = all.filter_map(|certificate| certificate.refuted(&self.refuted));
        let withdrawn = taken_back.min_by_key(|premise| *premise != Premise::AnswersWhole);
        let is_beyond = self.looks.iter().any(|look| look.beyond.contains(second));
        missing.extend(is_beyond.then_some(Missing::EndWitness(apart)));
        missing.extend(withdrawn.map(Missing::Withdrawn));
        Err(missing.into_iter().max_by_key(|piece| piece.nearness()).unwrap_or(Missing::Reading))
    }

    /// Every certificate of the second, by whichever rule.
    pub fn certificates(&self, second: EpochSeconds) -> Vec<Certificate> {
        let claims = self.look(second).0;
        let (leaping, plain): (Vec<&Claim>, Vec<&Claim>) = claims.iter().partition(|claim| claim.leaps);
        let alone = plain.into_iter().map(|claim| claim.certificate.clone());
        let all = alone.chain(self.confirmed(&leaping)).chain(self.beyond(second));
        all.filter(|certificate| certificate.stands(&self.refuted)).collect()
    }

    /// What each look at the second comes to, and what those lack that come to nothing.
    pub fn look(&self, second: EpochSeconds) -> (Vec<Claim>, Vec<Missing>) {
        let (mut claims, mut missing) = (Vec::new(), Vec::new());
        let mut take = |result: Result<Claim, Missing>| match result {
            Ok(claim) => claims.push(claim),
            Err(piece) => missing.push(piece),
        };
        let is_ordered = !self.refuted.contains(&Refutation::Premise(Premise::Order));
        for reading in self.readings.iter().filter(|reading| is_ordered && reading.may_hold(second)) {
            let claim = self.claim(reading, second);
            claim.iter().filter_map(|claim| self.with_partner(reading, claim)).for_each(|claim| take(Ok(claim)));
            take(claim);
            for page in self.pages_of(reading, second) {
                take(self.claim(&page, second));
            }
        }
        claims.extend(both_ends::claims(self, second));
        claims.extend(self.wholes.iter().filter(|claim| claim.certificate.seconds.contains(second)).cloned());
        (claims, missing)
    }

    /// What each answer shows of the second, before anything confirms it: a reading, or where that shows too little each of its pages.
    pub fn answers(&self, second: EpochSeconds) -> Vec<Claim> {
        let mut claims = both_ends::claims(self, second);
        if self.refuted.contains(&Refutation::Premise(Premise::Order)) {
            claims.extend(self.wholes.iter().filter(|claim| claim.certificate.seconds.contains(second)).cloned());
            return claims;
        }
        for reading in self.readings.iter().filter(|reading| reading.may_hold(second)) {
            match self.claim(reading, second) {
                Ok(claim) => claims.push(claim),
                Err(_) => {
                    claims.extend(self.pages_of(reading, second).filter_map(|page| self.claim(&page, second).ok()))
                }
            }
        }
        claims
    }

    /// Each page of a longer reading, and each two that follow each other, that may show the second by themselves: what is odd about the
    /// others says nothing of these.
    fn pages_of(&self, reading: &'a Reading<'a>, second: EpochSeconds) -> impl Iterator<Item = Reading<'a>> {
        let spans = reading.spans(second);
        let shows = move |pages: &[&Observation]| {
            let seconds = pages.iter().flat_map(|page| &page.rows).map(|row| row.second);
            let is_between = spans && seconds.clone().min() <= Some(second) && Some(second) <= seconds.max();
            is_between || pages.iter().any(|page| page.page.get() == 1)
        };
        let parts = [1, 2].into_iter().filter(|pages| reading.pages.len() > *pages);
        let parts = parts.flat_map(|pages| reading.pages.windows(pages)).filter(move |pages| shows(pages));
        parts.map(|pages| Reading::new(pages.to_vec(), None).bracketed(&self.strays))
    }

    /// The claim of the last second, if another witness shows the same last row. That row is the last of its second only where ties
    /// stand in one order: otherwise each look would show another one, or by chance the same.
    fn with_partner(&self, reading: &Reading<'_>, claim: &Claim) -> Option<Claim> {
        claim.empty_page?;
        let partner = self.partner(reading)?;
        let mut certified = Claim { leaps: false, ..claim.clone() };
        let certificate = &mut certified.certificate;
        certificate.premises.extend(&partner.premises);
        certificate.premises.extend([Premise::MirroredTies, Premise::TroublePasses]);
        certificate.observations.extend(&partner.observations);
        Some(certified)
    }

    /// What each two of these claims come to that confirm each other; one after the other, since of many claims there are very many such pairs.
    fn confirmed(&self, leaping: &[&Claim]) -> impl Iterator<Item = Certificate> {
        let agree = |one: &&Claim, other: &&Claim| {
            // Two empty pages of one number may be the last page that the service serves.
            let is_other_page = one.empty_page.is_none() || one.empty_page != other.empty_page;
            one.ids == other.ids
                && is_other_page
                && are_apart(&one.certificate.observations, &other.certificate.observations, &self.rules)
        };
        pairs(leaping, agree)
            .filter_map(|(one, other)| Some(together(&leaping.get(one)?.certificate, &leaping.get(other)?.certificate)))
    }

    /// What the witnesses of the end say about a second after the last row.
    fn beyond(&self, second: EpochSeconds) -> impl Iterator<Item = Certificate> {
        let pairs = self.ends.iter().filter_map(|(one, other)| Some((self.looks.get(*one)?, self.looks.get(*other)?)));
        let both = pairs.filter(move |(one, other)| one.beyond.contains(second) && other.beyond.contains(second));
        both.map(|(one, other)| one.with(other))
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

/// The pairs of indexes that are related, as they are asked for.
fn pairs<T>(all: &[T], is_related: impl Fn(&T, &T) -> bool + Copy) -> impl Iterator<Item = (usize, usize)> {
    all.iter().enumerate().flat_map(move |(index, one)| {
        let others = all.iter().enumerate().skip(index + 1);
        others.filter(move |(_, other)| is_related(one, other)).map(move |(other, _)| (index, other))
    })
}
