//! How many rows came of some seconds. Pure.

use serde::{Deserialize, Serialize};

use crate::units::{EpochSeconds, TimeRange};

/// Rows that came of some seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CountedRows {
    /// The seconds.
    pub range: TimeRange,
    /// How many.
    pub rows: u64,
    /// The second of the last of them; none where there is none.
    pub last: Option<EpochSeconds>,
    /// How many came of that second; 0 where nobody knows.
    #[serde(default)]
    pub last_rows: u64,
    /// Whether others may have come that are not counted.
    #[serde(default)]
    pub is_unsure: bool,
}

/// The second of the last row, and how many rows it has; none of those where no other second has any.
pub(super) fn last_of(stretches: &[CountedRows]) -> Option<(EpochSeconds, Option<u64>)> {
    let (last, rows) = stretches.iter().rev().find_map(|one| Some((one.last?, one.last_rows)))?;
    Some((last, Some(rows).filter(|rows| *rows < rows_of(stretches))))
}

pub(super) fn rows_of(stretches: &[CountedRows]) -> u64 {
    stretches.iter().map(|one| one.rows).sum()
}

/// How many of two or more stretches hold about half of their rows.
pub(super) fn half(stretches: &[CountedRows]) -> usize {
    let most = rows_of(stretches) / 2;
    let mut rows = 0;
    let first = stretches.iter().take_while(|one| {
        rows += one.rows;
        rows <= most
    });
    first.count().clamp(1, stretches.len() - 1)
}
