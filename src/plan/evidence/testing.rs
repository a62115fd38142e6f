//! Pages made by hand, for the tests of this folder.

use super::observation::{Observation, Series, Turn};
use crate::plan::fact::{Purpose, RowKey, VideoKey, WindowId};
use crate::units::{EpochSeconds, PageNumber, TimeRange};

pub(super) fn second(at: i64) -> EpochSeconds {
    EpochSeconds::new(at)
}

/// A list of the seconds 0 to 99, oldest first.
pub(super) fn series(scan: u32) -> Series {
    Series {
        region: "US".parse().unwrap(),
        purpose: Purpose::Walk { window: WindowId(0), scan },
        question: 1,
        is_newest_first: false,
        sure: TimeRange::new(second(0), second(100)),
    }
}

/// A page of `(second, id)`, asked in its turn; its number is its moment.
pub(super) fn page(series: &Series, number: u32, rows: &[(i64, u64)]) -> Observation {
    let row = |&(at, id): &(i64, u64)| RowKey { second: second(at), video: VideoKey(id) };
    Observation {
        series: series.clone(),
        page: PageNumber::new(number).unwrap(),
        turn: Turn::InTurn,
        made: second(i64::from(number)),
        rows: rows.iter().map(row).collect(),
        unplaced: 0,
    }
}

/// The page at another moment.
pub(super) fn made(at: i64, page: Observation) -> Observation {
    Observation { made: second(at), ..page }
}
