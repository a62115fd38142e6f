//! Looks at one second that disagree: when were answers not whole? Pure.
//!
//! Of two looks the one that lacks a row is the poorer. A row that came or went looks the same, so the poorer look refutes nothing
//! where another one apart in time agrees with it. Otherwise answers were not whole from after the last agreement before it up to the
//! first agreement after it, of whatever seconds; where there is none, from the first observation, or to the last.

use std::collections::BTreeSet;

use super::certificate::{Claim, Kernel, Sighting};
use super::ends::are_apart;
use super::observation::ObservationId;
use super::premise::Refutation;
use crate::plan::fact::VideoKey;
use crate::units::EpochSeconds;

/// A look at one second as it was made.
struct Look {
    claim: Claim,
    first: EpochSeconds,
    last: EpochSeconds,
}

/// What looks that disagree refute.
pub fn refutations(kernel: &Kernel<'_>) -> BTreeSet<Refutation> {
    let seconds = kernel.shown.iter().map(|(second, sightings)| (looks(kernel, *second), sightings));
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
    let claims = kernel.look(second).0.into_iter();
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
