//! Repeatable chance: every draw is a pure function of the seed, a purpose and a key, so a world is the same on every
//! machine and a fault strikes the same request again when the run is repeated.

/// A sequence of draws (SplitMix64) that begins where its seed, purpose and key say.
pub(super) struct Dice(u64);

/// What a sequence of draws is for; sequences for different purposes are independent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// When the rows of a region were created.
    Density = 1,
    /// The fields of a row.
    Row = 2,
    /// The fields of a user.
    User = 3,
    /// The fields of a product.
    Product = 4,
    /// Whether a row is odd, and how.
    Odd = 5,
    /// Which rows the service drops after paging.
    Ghost = 6,
    /// What goes wrong with a request.
    Fault = 7,
    /// How long a request takes.
    Latency = 8,
    /// Which rows come and go while the service runs.
    Drift = 9,
    /// The order of rows where no order by time is kept.
    Arrangement = 10,
    /// Which row a page hides.
    Hiding = 11,
    /// A request's id.
    RequestId = 12,
    /// What sets the ids of one region apart.
    Identity = 13,
    /// How late a row is shown, and at what age it is deleted.
    Life = 14,
}

impl Dice {
    /// The sequence for `key` under `purpose`.
    pub(super) fn new(seed: u64, purpose: Purpose, key: u64) -> Self {
        let start = scramble(seed ^ scramble(purpose as u64));
        Self(scramble(start ^ scramble(key)))
    }

    /// Any 64 bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scramble(self.0)
    }

    /// A number in `[0, 1)`.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A whole number in `[0, bound)`; 0 where `bound` is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// True for about `fraction` of all sequences.
    pub(super) fn hits(&mut self, fraction: f64) -> bool {
        self.unit() < fraction
    }

    /// One of `choices`; the type's default where there are none.
    pub(super) fn pick<T: Copy + Default>(&mut self, choices: &[T]) -> T {
        let place = self.below(choices.len() as u64) as usize;
        choices.get(place).copied().unwrap_or_default()
    }

    /// A draw of the standard normal distribution.
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// A stable 64-bit hash of a text.
pub(super) fn hash_text(text: &str) -> u64 {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    scramble(text.bytes().fold(0xcbf2_9ce4_8422_2325, mix))
}

/// Where `position` goes when `[0, length)` is shuffled by `key`: a bijection, in constant time and memory.
///
/// Four Feistel rounds over the next even power of two, walked until the result lies inside.
pub(super) fn shuffled(position: u64, length: u64, key: u64) -> u64 {
    if length < 2 {
        return position;
    }
    let half_bits = (64 - (length - 1).leading_zeros()).div_ceil(2);
    let mut place = feistel(position, half_bits, key);
    while place >= length {
        place = feistel(place, half_bits, key);
    }
    place
}

fn feistel(value: u64, half_bits: u32, key: u64) -> u64 {
    let mask = (1_u64 << half_bits) - 1;
    let (mut left, mut right) = (value >> half_bits, value & mask);
    for round in 0..4 {
        let mixed = scramble(right ^ key.rotate_left(round * 16)) & mask;
        (left, right) = (right, left ^ mixed);
    }
    (left << half_bits) | right
}

/// SplitMix64's finaliser: every input bit moves every output bit.
fn scramble(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_key_draws_the_same_and_another_key_does_not() {
        let draw = |seed, key| Dice::new(seed, Purpose::Row, key).next();
        assert_eq!(draw(1, 7), draw(1, 7));
        assert_ne!(draw(1, 7), draw(1, 8));
        assert_ne!(draw(1, 7), draw(2, 7));
        assert_ne!(draw(1, 7), Dice::new(1, Purpose::Odd, 7).next());
    }

    #[test]
    fn a_fraction_is_hit_about_as_often_as_it_says() {
        let hits = (0..20_000).filter(|key| Dice::new(3, Purpose::Fault, *key).hits(0.1)).count();
        assert!((1_800..2_200).contains(&hits), "{hits}");
    }

    #[test]
    fn a_shuffle_places_every_position_once() {
        for length in [1, 2, 3, 8, 35, 200, 6_000] {
            let mut places: Vec<u64> = (0..length).map(|position| shuffled(position, length, 99)).collect();
            places.sort_unstable();
            assert_eq!(places, (0..length).collect::<Vec<u64>>());
        }
        let order = |key| (0..200).map(|position| shuffled(position, 200, key)).collect::<Vec<u64>>();
        assert_ne!(order(1), order(2));
    }
}
