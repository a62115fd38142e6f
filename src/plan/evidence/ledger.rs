//! Which seconds of a region are covered, and what each rests on. Pure.
//!
//! Observations may be folded in any order and more than once. What is covered is kept as intervals; only observations that
//! touch an open second stay in memory, with the page after them. A refutation takes back exactly what rests on it.

use std::collections::{BTreeMap, BTreeSet};

use super::certificate::Kernel;
use super::disagreement;
use super::observation::{Observation, ObservationId, Rules};
use super::premise::{Certificate, Missing, Premise, Refutation};
use crate::units::{EpochSeconds, TimeRange};

/// The evidence about one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    rules: Rules,
    range: TimeRange,
    /// Observations that touch an open second.
    open: BTreeMap<ObservationId, Observation>,
    /// Certificates of disjoint seconds, by their first one.
    covered: BTreeMap<EpochSeconds, Certificate>,
    refuted: BTreeSet<Refutation>,
}

/// Seconds that no certificate covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uncovered {
    /// Which.
    pub seconds: TimeRange,
    /// What they lack.
    pub missing: Missing,
}

impl Ledger {
    /// Nothing is known of the region's range.
    pub fn new(rules: Rules, range: TimeRange) -> Self {
        Self { rules, range, open: BTreeMap::new(), covered: BTreeMap::new(), refuted: BTreeSet::new() }
    }

    /// Takes a page in. The same page again changes nothing.
    pub fn fold(&mut self, observation: Observation) {
        self.open.entry(observation.id()).or_insert(observation);
    }

    /// Something does not hold: what rests on it is open again, and nothing is certified by it from now on.
    pub fn refute(&mut self, refutation: Refutation) {
        self.refuted.insert(refutation);
        self.covered.retain(|_, certificate| certificate.stands(&self.refuted));
    }

    /// Derives what follows from the open observations: what their disagreements refute, then which seconds they cover. Returns what
    /// stays open, in order.
    pub fn settle(&mut self) -> Vec<Uncovered> {
        let found = disagreement::refutations(&self.kernel());
        found.into_iter().for_each(|refutation| self.refute(refutation));
        self.settle_as_told()
    }

    /// The same without asking what the open observations refute, where others know that.
    pub fn settle_as_told(&mut self) -> Vec<Uncovered> {
        let kernel = self.kernel();
        let mut certificates = self.of_plain_pages(&kernel);
        let mut covered = self.covered();
        covered.extend(certificates.iter().map(|certificate| certificate.seconds));
        let (gaps, cuts) = (self.range.without(&covered), self.cuts());
        let mut uncovered = Vec::new();
        for gap in gaps {
            for seconds in alike(gap, &cuts) {
                match kernel.certify(seconds.start) {
                    Ok(certificate) => certificates.push(Certificate { seconds, ..certificate }),
                    Err(missing) => uncovered.push(Uncovered { seconds, missing }),
                }
            }
        }
        self.covered.extend(certificates.into_iter().map(|certificate| (certificate.seconds.start, certificate)));
        joined(uncovered)
    }

    /// Forgets the observations that touch no open second. What is covered stays so until it is refuted; then it has to be read again.
    pub fn forget(&mut self) {
        let uncovered = self.range.without(&self.covered());
        let is_open = |range: TimeRange| uncovered.iter().any(|open| open.overlaps(range));
        let touched: BTreeSet<ObservationId> =
            self.open.values().filter(|page| is_open(touches(page))).map(Observation::id).collect();
        // The page before one that stays brackets the rows at its beginning; the page after a forgotten one may still come.
        let stays = |id: &ObservationId| {
            let next = id.page.next().map(|page| ObservationId { page, ..*id });
            next.is_none_or(|next| touched.contains(&next) || !self.open.contains_key(&next))
        };
        let kept: BTreeSet<ObservationId> =
            self.open.keys().filter(|id| touched.contains(id) || stays(id)).copied().collect();
        self.open.retain(|id, _| kept.contains(id));
    }

    /// The seconds that are covered; neighbours may touch.
    pub fn covered(&self) -> Vec<TimeRange> {
        self.covered.values().map(|certificate| certificate.seconds).collect()
    }

    /// The certificates, in the order of their seconds.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.covered.values()
    }

    /// Everything that what is covered takes for granted.
    pub fn premises(&self) -> BTreeSet<Premise> {
        self.covered.values().flat_map(|certificate| &certificate.premises).copied().collect()
    }

    /// Observations in memory.
    pub fn open_observations(&self) -> usize {
        self.open.len()
    }

    fn kernel(&self) -> Kernel<'_> {
        Kernel::new(self.open.values(), self.rules, &self.refuted)
    }

    /// What pages that show nothing odd cover of what is not covered yet, each second once.
    fn of_plain_pages(&self, kernel: &Kernel<'_>) -> Vec<Certificate> {
        let gaps = self.range.without(&self.covered());
        let mut certificates = Vec::new();
        let mut next = self.range.start;
        for certificate in kernel.plain_pages() {
            let seconds = TimeRange::new(certificate.seconds.start.max(next), certificate.seconds.end);
            let from = gaps.partition_point(|gap| gap.end <= seconds.start);
            let open = gaps.iter().skip(from).map(|gap| gap.intersection(seconds)).take_while(|open| !open.is_empty());
            certificates.extend(open.map(|seconds| Certificate { seconds, ..certificate.clone() }));
            next = next.max(certificate.seconds.end);
        }
        certificates
    }

    /// Where seconds begin and end that have the same rows and bounds around them, in order.
    fn cuts(&self) -> Vec<EpochSeconds> {
        let mut cuts = Vec::new();
        for page in self.open.values() {
            cuts.extend([page.series.sure.start, page.series.sure.end]);
            cuts.extend(page.rows.iter().flat_map(|row| [row.second, row.second.shifted(1)]));
        }
        cuts.sort_unstable();
        cuts.dedup();
        cuts
    }
}

/// Cuts seconds into stretches within which every second has the same rows and bounds around it.
fn alike(seconds: TimeRange, cuts: &[EpochSeconds]) -> Vec<TimeRange> {
    let from = cuts.partition_point(|cut| *cut <= seconds.start);
    let within = cuts.iter().skip(from).copied().take_while(|cut| *cut < seconds.end);
    let ends: Vec<EpochSeconds> = within.chain([seconds.end]).collect();
    let starts = [seconds.start].into_iter().chain(ends.iter().copied());
    starts.zip(&ends).map(|(start, end)| TimeRange::new(start, *end)).collect()
}

/// The seconds that a page may help to cover: with no row in place, all that was asked.
fn touches(page: &Observation) -> TimeRange {
    let seconds = || page.rows.iter().map(|row| row.second);
    let (Some(first), Some(last)) = (seconds().min(), seconds().max()) else {
        return page.series.sure;
    };
    let (first, last) = match page.page.get() == 1 {
        true if page.series.is_newest_first => (first, page.series.sure.end),
        true => (page.series.sure.start.min(first), last),
        false => (first, last),
    };
    TimeRange::new(first, last.shifted(1))
}

/// Neighbours that lack the same, as one.
fn joined(all: Vec<Uncovered>) -> Vec<Uncovered> {
    let mut joined: Vec<Uncovered> = Vec::new();
    for next in all {
        match joined.last_mut() {
            Some(last) if last.seconds.end == next.seconds.start && last.missing == next.missing => {
                last.seconds.end = next.seconds.end;
            }
            _ => joined.push(next),
        }
    }
    joined
}

#[cfg(test)]
mod tests;
