//! An estimate and how far it may be off.

/// An estimate with its 90 % interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Interval {
    /// Only one in twenty lies below.
    pub low: f64,
    /// What is most likely.
    pub estimate: f64,
    /// Only one in twenty lies above.
    pub high: f64,
}

impl Interval {
    /// A number that is known.
    pub const fn exactly(value: f64) -> Self {
        Self { low: value, estimate: value, high: value }
    }

    /// The sum, as if both were wrong in the same direction.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { low: self.low + other.low, estimate: self.estimate + other.estimate, high: self.high + other.high }
    }

    /// Each of the three turned into another quantity, which grows with it.
    #[must_use]
    pub fn map(self, of: impl Fn(f64) -> f64) -> Self {
        Self { low: of(self.low), estimate: of(self.estimate), high: of(self.high) }
    }
}
