//! Answers that a trouble spoils row by row.

use super::{PLACES, Row, Shown, mix};
use crate::export::simulation::behaviour::Trouble;

/// Takes rows out of an answer, or puts others into it.
pub(super) fn spoil(rows: &mut Vec<Row>, trouble: Trouble) {
    match trouble {
        Trouble::Part(share) => rows.retain(|row| (mix(row.id) % 1_000) as f64 >= share * 1_000.0),
        Trouble::Advertised if !rows.is_empty() => {
            rows.truncate(PLACES - 1);
            rows.insert(0, Row { second: 1, id: u64::MAX, shown: Shown::Right, is_first: false });
        }
        Trouble::Twice if rows.len() > 1 => {
            rows.pop();
            rows.extend(rows.first().copied());
        }
        _ => {}
    }
}
