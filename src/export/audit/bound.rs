//! What so many pages prove, and how many pages it takes to prove it. Pure.

/// How sure a stated bound is.
pub const CONFIDENCE: f64 = 0.95;
/// The share that an audit is to find where nobody says how much it may cost.
pub const TARGET: f64 = 0.01;
/// How likely that is to be: more than 95 %, so that it is that also where rows lie so that a few holes are underestimated.
const FOUND: f64 = 0.975;
/// Halvings after which a share is exact to the last digit that a person reads.
const HALVINGS: u32 = 60;

/// The largest share of pages that differ with which so few of so many would still differ with the [`CONFIDENCE`]'s risk: the upper end of
/// Clopper and Pearson's exact one-sided interval. 1 where nothing was looked at.
pub(super) fn at_most(differ: u64, pages: u64) -> f64 {
    if differ >= pages {
        return 1.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if chance_of_at_most(differ, pages, middle) > 1.0 - CONFIDENCE { low = middle } else { high = middle }
    }
    high
}

/// The pages of which one differs, with the likelihood of [`FOUND`], where this share of all does; at least 1.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive number of pages, far below 2^52"
)]
pub(super) fn pages_for(share: f64) -> u64 {
    let share = share.clamp(1e-9, 1.0);
    if share >= FOUND {
        return 1;
    }
    ((1.0 - FOUND).ln() / (-share).ln_1p()).ceil() as u64
}

/// The chance that at most `few` of `pages` independent pages differ, each with this share as its chance: the binomial distribution, by
/// logarithms, since a power of a large number of pages is no number any more.
#[expect(clippy::cast_precision_loss, reason = "counts of pages are far below 2^52")]
fn chance_of_at_most(few: u64, pages: u64, share: f64) -> f64 {
    let (hit, miss) = (share.ln(), (-share).ln_1p());
    let mut ways = 0.0;
    let mut sum = 0.0;
    for count in 0..=few {
        if count > 0 {
            ways += ((pages - count + 1) as f64).ln() - (count as f64).ln();
        }
        sum += (ways + count as f64 * hit + (pages - count) as f64 * miss).exp();
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reference values: the binomial distribution summed in whole numbers by another program, and for x = 0: 1 - 0.05^(1/n).
    #[test]
    fn the_bound_is_that_of_clopper_and_pearson() {
        let cases = [(0, 300, 0.009_936), (0, 1, 0.95), (0, 10, 0.258_866), (5, 300, 0.034_722), (50, 100, 0.586_378)];
        for (differ, pages, expected) in cases {
            let found = at_most(differ, pages);
            assert!((found - expected).abs() < 2e-5, "{differ} of {pages}: {found}");
        }
        assert_eq!([at_most(0, 0), at_most(7, 7)], [1.0, 1.0]);
        assert!(at_most(3, 1_000_000) < 1e-5);
    }

    #[test]
    fn one_percent_takes_a_few_hundred_pages() {
        assert_eq!([pages_for(0.01), pages_for(0.005), pages_for(0.5), pages_for(1.0)], [368, 736, 6, 1]);
        assert!(at_most(0, 299) <= TARGET && at_most(0, 298) > TARGET);
        assert!(at_most(0, pages_for(TARGET)) <= TARGET);
    }
}
