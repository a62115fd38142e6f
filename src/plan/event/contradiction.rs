//! What ends a run: answers that no asking again can mend.

use crate::api::contract::Region;
use crate::units::{EpochSeconds, TimeRange};

/// What cannot be mended by asking again: the service does not mean what its contract says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// `page_num` counts rows.
    #[error(
        "region {region}: every page begins one row after its predecessor, so `page_num` counts rows here, not pages; a walk \
         would cost ten times the credits"
    )]
    PageNumberCountsRows {
        /// Where it was seen.
        region: Region,
    },
    /// `page_num` counts from 0, so page 1 is the second.
    #[error(
        "region {region}: page 1 of a question never shows the rows that are known to be its first, so `page_num` seems to count \
         from 0 here; ten rows would be missing of every question"
    )]
    PagesCountedFromZero {
        /// Where it was seen.
        region: Region,
    },
    /// No row says who and when it is.
    #[error(
        "region {region}: page after page holds no row with a `video_id` and a `create_time` that can be read, so the service seems to \
         have changed what its rows hold"
    )]
    RowsUnplaced {
        /// Where it was seen.
        region: Region,
    },
    /// Every question has the same answer.
    #[error("region {region}: different questions are all answered with the same rows, so none of them is answered")]
    SameAnswer {
        /// Where it was seen.
        region: Region,
    },
    /// The range parameters do nothing, or mean another unit.
    #[error("region {region}: asked for create_time within {range}, the service answered rows of {seen} alone")]
    RangeNotHonoured {
        /// Where it was seen.
        region: Region,
        /// What was asked.
        range: TimeRange,
        /// The first row's second.
        seen: EpochSeconds,
    },
    /// The region answers nothing for the range, but rows without one that lie within it.
    #[error("region {region}: the range {range} answers no row, yet a row of {seen} is there when no range is asked")]
    RangeHidesRows {
        /// Where it was seen.
        region: Region,
        /// What was asked.
        range: TimeRange,
        /// The hidden row's second.
        seen: EpochSeconds,
    },
    /// A known row cannot be found by its own second.
    #[error(
        "region {region}: a row of {seen} is not found when the time around it is asked, so epoch seconds are not understood"
    )]
    SecondsNotUnderstood {
        /// Where it was seen.
        region: Region,
        /// The known row's second.
        seen: EpochSeconds,
    },
}
