//! When the rows of a region were created.

use crate::simulator::chance::{Dice, Purpose};
use crate::simulator::settings::{Density, WorldSettings};
use crate::units::DAY_SECONDS;

/// How much the busiest hour differs from the mean of a day.
const DAILY_SWING: f64 = 0.85;
/// The rows of one burst, at least and below.
const BURST_ROWS: (u64, u64) = (24, 400);
/// The longest burst, seconds.
const BURST_SECONDS: u64 = 5;

/// The created seconds of one region as offsets from the world's first second, ascending; `salt` sets regions apart.
pub(super) fn offsets(settings: &WorldSettings, seed: u64, salt: u64) -> Vec<u32> {
    let seconds = u64::try_from(settings.range().seconds()).unwrap_or(0).max(1);
    let mut dice = Dice::new(seed, Purpose::Density, salt);
    let mut offsets = Vec::with_capacity(settings.rows as usize);
    match settings.density {
        Density::Uniform => even(&mut offsets, &mut dice, (0, seconds), settings.rows),
        Density::Daily => daily(&mut offsets, &mut dice, settings),
        Density::Bursty => bursty(&mut offsets, &mut dice, seconds, settings.rows),
        Density::OneHour => {
            let start = (seconds / 2).min(seconds.saturating_sub(3_600));
            even(&mut offsets, &mut dice, (start, seconds.min(3_600)), settings.rows);
        }
        Density::OneSecond => offsets.resize(settings.rows as usize, (seconds / 2) as u32),
    }
    for dense in &settings.dense_seconds {
        let offset = u32::try_from(dense.second.0.since(settings.from.0)).unwrap_or(0);
        offsets.extend(std::iter::repeat_n(offset, dense.rows as usize));
    }
    offsets.sort_unstable();
    offsets
}

/// `rows` offsets spread evenly over `length` seconds from `start`.
fn even(offsets: &mut Vec<u32>, dice: &mut Dice, (start, length): (u64, u64), rows: u32) {
    offsets.extend((0..rows).map(|_| (start + dice.below(length)) as u32));
}

/// Rows by the hour: drawn evenly and kept as often as their hour is busy.
fn daily(offsets: &mut Vec<u32>, dice: &mut Dice, settings: &WorldSettings) {
    let seconds = settings.range().seconds().max(1);
    let busiest_hour = dice.unit();
    while offsets.len() < settings.rows as usize {
        let offset = dice.below(seconds as u64);
        let second = settings.from.0.get() + offset as i64;
        let hour = second.rem_euclid(DAY_SECONDS) as f64 / DAY_SECONDS as f64;
        let activity = 1.0 + DAILY_SWING * (std::f64::consts::TAU * (hour - busiest_hour)).cos();
        if dice.hits(activity / (1.0 + DAILY_SWING)) {
            offsets.push(offset as u32);
        }
    }
}

/// Half of the rows evenly, half in bursts that come at random moments.
fn bursty(offsets: &mut Vec<u32>, dice: &mut Dice, seconds: u64, rows: u32) {
    even(offsets, dice, (0, seconds), rows / 2);
    while offsets.len() < rows as usize {
        let left = rows as usize - offsets.len();
        let (least, below) = BURST_ROWS;
        let size = (least + dice.below(below - least)).min(left as u64) as u32;
        let length = (1 + dice.below(BURST_SECONDS)).min(seconds);
        let start = dice.below(seconds - length + 1);
        even(offsets, dice, (start, length), size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::{DenseSecond, Moment};
    use crate::units::EpochSeconds;

    fn settings(density: Density) -> WorldSettings {
        WorldSettings { rows: 20_000, density, ..WorldSettings::default() }
    }

    #[test]
    fn every_density_gives_exactly_the_asked_rows_inside_the_world() {
        for density in [Density::Uniform, Density::Daily, Density::Bursty, Density::OneHour, Density::OneSecond] {
            let offsets = offsets(&settings(density), 5, 1);
            assert_eq!(offsets.len(), 20_000, "{density:?}");
            assert!(offsets.is_sorted());
            assert!(offsets.iter().all(|offset| i64::from(*offset) < 31 * DAY_SECONDS), "{density:?}");
        }
    }

    #[test]
    fn a_burst_fills_seconds_that_an_even_world_leaves_thin() {
        let busiest = |density| {
            let offsets = offsets(&settings(density), 5, 1);
            offsets.chunk_by(|left, right| left == right).map(<[u32]>::len).max().unwrap()
        };
        assert!(busiest(Density::Uniform) < 6);
        assert!(busiest(Density::Bursty) > 50);
        assert_eq!(busiest(Density::OneSecond), 20_000);
    }

    #[test]
    fn nights_are_quiet() {
        let mut hours = [0_u32; 24];
        for offset in offsets(&settings(Density::Daily), 5, 1) {
            hours[offset as usize / 3_600 % 24] += 1;
        }
        assert!(hours.iter().max().unwrap() > &(4 * hours.iter().min().unwrap()));
    }

    #[test]
    fn a_dense_second_comes_on_top() {
        let second = Moment(EpochSeconds::new(1_764_547_300));
        let dense_seconds = vec![DenseSecond { second, rows: 350 }];
        let offsets = offsets(&WorldSettings { dense_seconds, ..settings(Density::Uniform) }, 5, 1);
        assert_eq!(offsets.len(), 20_350);
        assert!(offsets.iter().filter(|offset| **offset == 100).count() >= 350);
    }

    #[test]
    fn a_world_of_one_second_holds_every_density() {
        let mut narrow = settings(Density::Bursty);
        narrow.to = Moment(narrow.from.0.shifted(1));
        assert!(offsets(&narrow, 5, 1).iter().all(|offset| *offset == 0));
    }
}
