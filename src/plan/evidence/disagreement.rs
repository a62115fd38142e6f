//! Looks at one second that disagree: when were answers not whole? Pure.
//!
//! Of two looks the one that lacks a row is the poorer. A row that came or went looks the same, so the poorer look refutes nothing
//! where another one apart in time agrees with it. Otherwise answers were not whole from after the last agreement before it up to the
//! first agreement after it, of whatever seconds; where there is none, from the first observation, or to the last.

use std::collections::BTreeSet;

use super::certificate::{Claim, Kernel};
use super::ends::are_apart;
use super::observation::ObservationId;
use super::placement::Reading;
use super::premise::{Premise, Refutation};
use super::readings::Sighting;
use crate::plan::fact::VideoKey;
use crate::units::{EpochSeconds, TimeRange};

/// A look at one second as it was made.
struct Look {
    claim: Claim,
    first: EpochSeconds,
    last: EpochSeconds,
}

/// What looks that disagree refute: that answers were whole, that free places hide nothing, that ties stand in one order.
pub fn refutations(kernel: &Kernel<'_>) -> BTreeSet<Refutation> {
    let mut refuted = if some_look_lacks_a_row(kernel) { of_answers(kernel) } else { BTreeSet::new() };
    refuted.extend((kernel.looks_around.hiding > 0).then_some(Refutation::Premise(Premise::ShortHidesNothing)));
    refuted.extend(ties_move(kernel, Ways::Same).then_some(Refutation::Premise(Premise::StableTies)));
    refuted.extend(ties_move(kernel, Ways::Any).then_some(Refutation::Premise(Premise::MirroredTies)));
    refuted
}

/// Whether a reading that may tell of a second lacks a row of it; cheap, and where it is false no two looks disagree.
fn some_look_lacks_a_row(kernel: &Kernel<'_>) -> bool {
    kernel.shown.iter().any(|(second, sightings)| telling(kernel, *second, sightings).1)
}

/// How many readings may tell of a second, and whether one of them lacks a row of it.
fn telling(kernel: &Kernel<'_>, second: EpochSeconds, sightings: &[Sighting]) -> (usize, bool) {
    let at = TimeRange::new(second, second.shifted(1));
    let lacks = |reading: &&Reading<'_>| {
        sightings.iter().any(|sighting| !reading.rows_within(at).any(|row| row.video == sighting.video))
    };
    let all = || kernel.readings.iter().filter(|reading| reading.may_close(second));
    (all().count(), all().any(|reading| lacks(&reading)))
}

/// Which readings are compared with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ways {
    /// Those in the same order.
    Same,
    /// All of them.
    Any,
}

/// Whether two rows of one second have changed places from one reading to another.
fn ties_move(kernel: &Kernel<'_>, ways: Ways) -> bool {
    kernel.shown.iter().filter(|(_, sightings)| sightings.len() > 2).any(|(second, _)| {
        let mut orders: [Vec<Vec<VideoKey>>; 2] = Default::default();
        for reading in kernel.readings.iter().filter(|reading| reading.spans(*second)) {
            let [oldest, newest] = &mut orders;
            let is_apart = ways == Ways::Same && reading.pages.iter().any(|page| page.series.is_newest_first);
            if is_apart { newest } else { oldest }.extend(reading.ties(*second));
        }
        orders
            .iter()
            .any(|orders| orders.iter().zip(orders.iter().skip(1)).any(|(one, other)| changes_places(one, other)))
    })
}

/// Whether the rows that both hold stand in another order; where one holds a row twice, nobody knows.
pub fn changes_places(one: &[VideoKey], other: &[VideoKey]) -> bool {
    let place = |video: &VideoKey| other.iter().position(|seen| seen == video);
    let is_once = |all: &[VideoKey]| all.iter().collect::<BTreeSet<_>>().len() == all.len();
    let places: Vec<usize> = one.iter().filter_map(place).collect();
    !places.is_sorted() && is_once(one) && is_once(other)
}

fn of_answers(kernel: &Kernel<'_>) -> BTreeSet<Refutation> {
    // One reading alone neither agrees nor disagrees, but with a row that only another's edge showed.
    let is_told = |(second, sightings): &(&EpochSeconds, &Vec<Sighting>)| {
        let (readings, lacks) = telling(kernel, **second, sightings);
        readings > 1 || lacks
    };
    let seconds = kernel.shown.iter().filter(is_told).map(|(second, sightings)| (looks(kernel, *second), sightings));
    let seconds: Vec<(Vec<Look>, &Vec<Sighting>)> = seconds.collect();
    let poorer = seconds.iter().flat_map(|(looks, sightings)| {
        let is_poorer = move |look: &&Look| {
            let lacks = sightings.iter().any(|sighting| !look.claim.ids.contains(&sighting.video));
            lacks && !is_confirmed(kernel, look, looks, sightings)
        };
        looks.iter().filter(is_poorer)
    });
    let poorer: Vec<&Look> = poorer.collect();
    let poor: BTreeSet<_> = poorer.iter().flat_map(|look| &look.claim.certificate.observations).copied().collect();
    let agreed = agreements(&seconds, &poor);
    poorer.into_iter().map(|look| refuted(look.first, look.last, &agreed)).collect()
}

/// The moments at which two looks agree, neither of which is the poorer one anywhere.
fn agreements(
    seconds: &[(Vec<Look>, &Vec<Sighting>)],
    poor: &BTreeSet<(EpochSeconds, ObservationId)>,
) -> BTreeSet<EpochSeconds> {
    let mut agreed = BTreeSet::new();
    for (looks, _) in seconds {
        let whole = || looks.iter().filter(|look| look.claim.certificate.observations.is_disjoint(poor));
        for look in whole() {
            if whole().any(|other| other.claim.ids == look.claim.ids && is_another(look, other)) {
                agreed.extend([look.first, look.last]);
            }
        }
    }
    agreed
}

fn looks(kernel: &Kernel<'_>, second: EpochSeconds) -> Vec<Look> {
    // A list that ends after a full page may end at the last page that is served: then it lacks rows, and no answer does.
    let may_go_on =
        |claim: &Claim| claim.empty_page.is_some() && !claim.certificate.premises.contains(&Premise::ShortHidesNothing);
    let claims = kernel.answers(second).into_iter().filter(|claim| !may_go_on(claim));
    claims.filter_map(|claim| claim.certificate.made().map(|(first, last)| Look { claim, first, last })).collect()
}

fn is_another(one: &Look, other: &Look) -> bool {
    one.claim.certificate.observations.is_disjoint(&other.claim.certificate.observations)
}

/// Whether a look apart in time lacks the same rows, so that they came or went.
fn is_confirmed(kernel: &Kernel<'_>, look: &Look, looks: &[Look], sightings: &[Sighting]) -> bool {
    let lacking = |look: &Look| -> BTreeSet<VideoKey> {
        sightings.iter().map(|sighting| sighting.video).filter(|video| !look.claim.ids.contains(video)).collect()
    };
    let apart = |other: &&Look| {
        are_apart(&look.claim.certificate.observations, &other.claim.certificate.observations, &kernel.rules)
    };
    looks.iter().filter(apart).any(|other| lacking(look).is_subset(&lacking(other)))
}

fn refuted(first: EpochSeconds, last: EpochSeconds, agreed: &BTreeSet<EpochSeconds>) -> Refutation {
    let before = agreed.range(..first).next_back().map_or(EpochSeconds::new(i64::MIN), |moment| moment.shifted(1));
    let after = agreed.range(last.shifted(1)..).next().map_or(EpochSeconds::new(i64::MAX), |moment| moment.shifted(-1));
    Refutation::Answers(before, after)
}

#[cfg(test)]
mod tests;
