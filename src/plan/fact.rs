//! What the planner learns from one durable page, and the address of that page in the plan.

use serde::{Deserialize, Serialize};

use crate::api::contract::Region;
use crate::units::{EpochSeconds, PageNumber, TimeRange};

/// A window's number, unique within a run and never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WindowId(pub u32);

/// A video's identity for comparisons inside the plan: the id itself where it is a plain number below 2^63, else a 63-bit
/// hash with the top bit set. Rows are deduplicated by the id's text, never by this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VideoKey(pub u64);

/// One row as the plan sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RowKey {
    /// The row's `create_time`.
    pub second: EpochSeconds,
    /// The row's `video_id`.
    pub video: VideoKey,
}

/// Why a page was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "purpose")]
pub enum Purpose {
    /// A page of a window's walk; scans of a window count from 0.
    Walk {
        /// The window that owns the walk.
        window: WindowId,
        /// Which of the window's scans (one for each anchor).
        scan: u32,
    },
    /// The newest page of the region's range, which places splits.
    Newest,
    /// The region's range without the user's filters: evidence for an empty answer. Its pages count the questions.
    WithoutFilters,
    /// The region without range and filters, newest first: evidence for an empty answer. Its pages count the questions.
    WithoutRange,
    /// From the region's range to a row outside it that is known, without filters, the range first: evidence that epoch seconds
    /// are understood, and that the range holds nothing. Its pages count the questions.
    KnownSecond,
    /// The oldest page of the region's range, asked again before its beginning is believed. Its pages count the questions.
    ConfirmOldest,
    /// The newest page of the region's range, asked again before its end is believed. Its pages count the questions.
    ConfirmNewest,
    /// The region's rows from a second on, oldest first: a short page that was believed, asked again. Its pages count the questions.
    Recheck {
        /// The second.
        from: EpochSeconds,
    },
    /// A page, by its number, of the region's rows from a second on, oldest first: tells whether as many rows came as lie before its own.
    Place {
        /// The second.
        anchor: EpochSeconds,
        /// Counts the region's questions from 1.
        question: u32,
    },
    /// A known row's second asked as a bound: tells which bounds are inclusive. Its pages count the questions.
    Bounds,
    /// A page, by its number, of the region's rows from this second on, oldest first: tells how many rows lie before its own.
    Count {
        /// The first second that is counted; the lower bound is asked a second wider.
        anchor: EpochSeconds,
    },
}

/// A page's address in the plan. Two requests with the same address are the same purchase.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PageAddress {
    /// The queried region.
    pub region: Region,
    /// Why it was asked.
    #[serde(flatten)]
    pub purpose: Purpose,
    /// Its number in its query.
    pub page: PageNumber,
}

impl VideoKey {
    /// The key of a video's id: a hash (FNV-1a) where the id is no plain number.
    pub fn of(id: &str) -> Self {
        let plain = id.parse::<u64>().ok().filter(|number| number.leading_zeros() > 0 && number.to_string() == id);
        let hash = || {
            let mixed = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
            mixed | (1 << 63)
        };
        Self(plain.unwrap_or_else(hash))
    }
}

/// Whether a page's rows are those that were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// They are, but for single ones.
    #[default]
    Answers,
    /// All of them lie outside the asked time, also when asked again.
    Outside,
    /// All of them are of another region, also when asked again, though the region's earlier pages were of its own.
    OtherRegion,
}

/// How a page stands to its question: decided once, by `answer`, and stored with the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Whether its rows are those that were asked for.
    pub standing: Standing,
    /// Usable rows outside the asked time.
    pub outside: u32,
    /// Rows that name the asked region as their own.
    pub own_region: u32,
    /// Rows that name another region as their own.
    pub other_region: u32,
    /// Tells the page's rows from those of another answer, whatever their order: by its usable rows, and by the text of those that cannot be
    /// placed, where that is a row's own. 0 where it has neither.
    pub print: u64,
}

impl Check {
    /// Whether the page says nothing of what was asked.
    pub fn is_astray(self) -> bool {
        self.standing != Standing::Answers
    }
}

/// Rows of which none can be placed, from which on a page that stayed so when it was asked again says nothing of its seconds; fewer are single
/// rows, and are set aside.
pub const UNPLACED_ROWS: u32 = 3;

/// What one durable page proves: its rows in the order that they came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageFact {
    /// Where it stands in the plan.
    pub address: PageAddress,
    /// When the answer had arrived.
    pub fetched_at: EpochSeconds,
    /// How many rows the answer held, usable or not, each once; 0 is the empty page.
    pub slots: u32,
    /// The rows with a usable `video_id` and `create_time` that were asked for; also those outside the asked time where all are, or where older
    /// ones may stand before the others.
    pub rows: Vec<RowKey>,
    /// How it stands to its question.
    pub check: Check,
}

impl PageFact {
    /// The half-open range of seconds that the page's usable rows span; none where it has none.
    pub fn span(&self) -> Option<TimeRange> {
        let first = self.rows.iter().map(|row| row.second).min()?;
        let last = self.rows.iter().map(|row| row.second).max()?;
        Some(TimeRange::new(first, last.shifted(1)))
    }

    /// Whether each of its rows has a usable id and time.
    pub fn is_placed(&self) -> bool {
        u32::try_from(self.rows.len()) == Ok(self.slots)
    }

    /// Whether its usable rows come oldest first, and not all of one second.
    pub fn is_oldest_first(&self) -> bool {
        let ends = self.rows.first().zip(self.rows.last());
        ends.is_some_and(|(first, last)| first.second < last.second) && self.rows.is_sorted_by_key(|row| row.second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_video_key_is_its_number_or_a_hash_apart_from_all_numbers() {
        assert_eq!(VideoKey::of("7590123280372190477"), VideoKey(7_590_123_280_372_190_477));
        for odd in ["007", "abc", "18446744073709551615", "-1"] {
            assert!(VideoKey::of(odd).0 >> 63 == 1, "{odd}");
        }
        assert_ne!(VideoKey::of("abc"), VideoKey::of("abd"));
    }
}
