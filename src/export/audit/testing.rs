//! What the tests of an audit share.

use rand::{RngExt as _, SeedableRng as _};

use crate::units::{EpochSeconds, TimeRange};

pub(super) fn range(start: i64, end: i64) -> TimeRange {
    TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(end))
}

/// Random numbers in `0..1` from a seed.
pub(super) fn dice(seed: u64) -> impl FnMut() -> f64 {
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    move || random.random()
}
