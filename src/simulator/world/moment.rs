//! What the service holds at one moment of the world's time: which rows have come and are not deleted yet, and what was counted by then.

use crate::simulator::chance::Dice;
use crate::units::DAY_SECONDS;

/// The share of rows that are shown late, and by how many seconds at most.
const LATE: f64 = 0.1;
const LATEST: i64 = 3 * DAY_SECONDS;
/// The share of rows that are deleted, and at what ages, seconds.
const DELETED: f64 = 0.05;
const DELETED_FROM: i64 = DAY_SECONDS;
const DELETED_TO: i64 = 10 * DAY_SECONDS;
/// The age at which a row has half of its last counts, seconds.
const HALF: i64 = 2 * DAY_SECONDS;

/// The ages between which the service holds a row, seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    shown_at: i64,
    /// None where it is never deleted.
    deleted_at: Option<i64>,
}

impl Life {
    /// A row's life by its own draws.
    pub(super) fn draw(dice: &mut Dice) -> Self {
        let (is_late, is_deleted) = (dice.hits(LATE), dice.hits(DELETED));
        let mut within = |least: i64, most: i64| least + dice.below((most - least).unsigned_abs() + 1) as i64;
        let (late, age) = (within(1, LATEST), within(DELETED_FROM, DELETED_TO));
        Self { shown_at: if is_late { late } else { 0 }, deleted_at: is_deleted.then_some(age) }
    }

    /// Whether the service holds a row of this age; it is negative before the row was created.
    pub(super) fn holds(self, age: i64) -> bool {
        age >= self.shown_at && self.deleted_at.is_none_or(|deleted_at| age < deleted_at)
    }
}

/// What was counted of `last` at an age: it never goes back.
pub(super) fn counted(last: i64, age: i64) -> i64 {
    let age = age.max(0);
    last * age / (age + HALF)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::chance::Purpose;

    #[test]
    fn rows_come_at_once_or_late_and_few_are_deleted() {
        let lives: Vec<Life> = (0..20_000).map(|key| Life::draw(&mut Dice::new(3, Purpose::Life, key))).collect();
        let late: Vec<i64> = lives.iter().map(|life| life.shown_at).filter(|age| *age > 0).collect();
        assert!((1_800..2_200).contains(&late.len()), "{}", late.len());
        assert!(late.iter().all(|age| *age <= LATEST) && late.iter().any(|age| *age > 2 * DAY_SECONDS));
        let deleted: Vec<i64> = lives.iter().filter_map(|life| life.deleted_at).collect();
        assert!((850..1_150).contains(&deleted.len()), "{}", deleted.len());
        assert!(deleted.iter().all(|age| (DELETED_FROM..=DELETED_TO).contains(age)));
        assert!(lives.iter().any(|life| life.shown_at > 0 && life.deleted_at.is_some()));
    }

    #[test]
    fn a_row_is_held_from_the_second_in_which_it_is_shown_to_the_one_in_which_it_is_deleted() {
        let life = Life { shown_at: 10, deleted_at: Some(20) };
        assert_eq!([-1, 9, 10, 19, 20].map(|age| life.holds(age)), [false, false, true, true, false]);
        let lasting = Life { shown_at: 0, deleted_at: None };
        assert_eq!([-1, 0, i64::MAX].map(|age| lasting.holds(age)), [false, true, true]);
    }

    #[test]
    fn counts_grow_with_age_up_to_the_last_ones() {
        let counts: Vec<i64> = (-1..100).map(|day| counted(1_000, day * DAY_SECONDS)).collect();
        assert!(counts.is_sorted() && counts[..4] == [0, 0, 333, 500], "{counts:?}");
        assert_eq!(counted(31_622_776, i64::from(i32::MAX)), 31_620_231);
    }
}
