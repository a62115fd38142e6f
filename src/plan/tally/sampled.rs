//! Time that is too long to be counted: pages far behind random moments tell how long so many rows take there.

use std::collections::{BTreeMap, BTreeSet};

use super::{Interval, MOST_DOUBLED, Tally};
use crate::api::contract::SOURCE;
use crate::plan::fact::PageFact;
use crate::units::{EpochSeconds, TimeRange};

/// The least share by which a sampled number may be wrong; the rest of the interval is measured.
const LEAST_SPREAD: f64 = 0.05;
/// By how much less deep a sample is asked after one that lay beyond the end.
const SHALLOWER: f64 = 4.0;
/// Of the normal distribution, 1.645 (90 %) times about a quarter more, and the more the fewer the samples.
const QUANTILE: f64 = 2.1;
const FEW_SAMPLES: f64 = 2.0;
/// Successive samples are this share of a turn apart, so that however many there are they lie about evenly.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// Time that is not counted, and what samples say of it.
pub(super) struct Sampled {
    pub(super) open: TimeRange,
    /// From which second, and rows a second there; in order.
    pub(super) samples: Vec<(EpochSeconds, f64)>,
    /// What the density of what was counted would make of it, and by how much that may be more or less.
    pub(super) guess: f64,
    pub(super) spread: f64,
}

impl Sampled {
    pub(super) fn rows(&self) -> Interval {
        if self.samples.len() < 3 {
            let Self { guess, spread, .. } = *self;
            // A page of rows more or less is nothing that a density could tell.
            let high = guess * spread + f64::from(SOURCE.page_size);
            return Interval { low: guess / spread, estimate: guess, high };
        }
        // Each sample stands for the time that is nearest to it.
        let between = |one: EpochSeconds, other: EpochSeconds| one.shifted(other.since(one) / 2);
        let seconds: Vec<EpochSeconds> = self.samples.iter().map(|(second, _)| *second).collect();
        let inner = seconds.windows(2).filter_map(|pair| Some(between(*pair.first()?, *pair.get(1)?)));
        let edges: Vec<EpochSeconds> = [self.open.start].into_iter().chain(inner).chain([self.open.end]).collect();
        let lengths: Vec<f64> =
            edges.windows(2).filter_map(|pair| Some(pair.get(1)?.since(*pair.first()?) as f64)).collect();
        let parts = || self.samples.iter().zip(&lengths).map(|((_, density), length)| (*density, *length));
        let total: f64 = parts().map(|(density, length)| density * length).sum();
        // Neighbours are alike, so half of what they differ by squared is what one of them may be wrong by squared.
        let pairs = parts().zip(parts().skip(1));
        let variance: f64 =
            pairs.map(|((one, a), (other, b))| (one - other).powi(2) / 2.0 * (a + b).powi(2) / 4.0).sum();
        let quantile = QUANTILE * (1.0 + FEW_SAMPLES / self.samples.len() as f64);
        let spread = (quantile * variance.sqrt()).max(LEAST_SPREAD * total);
        Interval { low: (total - spread).max(0.0), estimate: total, high: total + spread }
    }
}

impl Tally<'_> {
    /// The next page of a sample: at a moment apart from the others, and so deep that all of them lie through about half the time.
    pub(super) fn sample(&self, left: &Sampled, beyond: usize, (pages_left, cap): (f64, u32)) -> (EpochSeconds, u32) {
        let asked = left.samples.len() + beyond;
        let many = asked as f64;
        let all = f64::from(self.credits) + many;
        // Each is moved by chance as far as they lie apart, so that they do not beat with days.
        let moved = scattered(self.seed, asked) / all.max(1.0);
        let place = (self.seed + many * GOLDEN + moved).fract();
        let at = left.open.start.shifted((place * left.open.seconds() as f64) as i64);
        let missed = i32::try_from(beyond).unwrap_or(i32::MAX).min(MOST_DOUBLED);
        let deep = (pages_left / (2.0 * all.max(1.0))).min(f64::from(cap)) / SHALLOWER.powi(missed);
        let deep = deep.clamp(1.0, f64::from(cap));
        (at, deep as u32)
    }

    /// Samples in what is open that lay beyond its end, and so say nothing.
    pub(super) fn beyond(&self, chain: &BTreeSet<EpochSeconds>, open: TimeRange) -> usize {
        let sampled = self.pages.range(open.start..open.end).filter(|(anchor, _)| !chain.contains(anchor));
        sampled.filter(|(_, pages)| pages.values().all(|page| page.rows.is_empty())).count()
    }

    /// The pages that belong to no leg and lie in what is open: from which second on, rows a second, and how long they took.
    pub(super) fn samples(&self, chain: &BTreeSet<EpochSeconds>, open: TimeRange) -> Vec<(EpochSeconds, f64)> {
        let sampled = self.pages.range(open.start..open.end).filter(|(anchor, _)| !chain.contains(anchor));
        let density = |(anchor, pages): (&EpochSeconds, &BTreeMap<u32, PageFact>)| {
            let (number, page) = pages.iter().next_back()?;
            let shown = page.rows.iter().map(|row| row.second).max()?;
            let rows = f64::from(number * SOURCE.page_size) - 1.0;
            Some((*anchor, rows / (shown.since(*anchor) as f64 + 0.5)))
        };
        sampled.filter_map(density).collect()
    }
}

/// A number from 0 to 1 for each place in a row, as if by chance (SplitMix64's last step).
fn scattered(seed: f64, place: usize) -> f64 {
    let mixed = (seed.to_bits() ^ place as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}
