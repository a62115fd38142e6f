//! A question cut into shards: which process reads what, and what each says of its part. Pure.
//!
//! Every shard computes the same tiles from the same question, so that they need not talk to each other: the regions in order, each cut at
//! the boundaries of the output's folders, and so shared out that each shard has about the same time. A shard's own account has the
//! form of a manifest, with a [`ShardPart`] in it, and lies in `_shards/`; `merge` makes one manifest of all of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::api::contract::Region;
use crate::plan::fact::RowKey;
use crate::plan::reads::{Beside, Reads};
use crate::sink::layout::Partition;
use crate::units::{EpochSeconds, TimeRange};

/// Where the accounts of shards lie, below the output folder.
pub const SHARDS: &str = "_shards";
/// The most shards of one question.
pub const MOST_SHARDS: u32 = 1_000;

/// One shard of a question: its number from 1, of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ShardName {
    index: u32,
    of: u32,
}

/// What is no shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardNameError {
    /// Not two numbers.
    #[error("`{0}` is not a shard; write its number and how many there are, such as 1/4")]
    NotTwoNumbers(String),
    /// Too many, or none.
    #[error("{0} shards are not possible: it is 1 to {MOST_SHARDS}")]
    Count(u32),
    /// Not one of them.
    #[error("there is no shard {index} of {of}: they are numbered from 1 to {of}")]
    Index {
        /// The number.
        index: u32,
        /// How many there are.
        of: u32,
    },
}

impl ShardName {
    /// The shard `index`, from 1, of `of`.
    ///
    /// # Errors
    /// Numbers that name none.
    pub fn new(index: u32, of: u32) -> Result<Self, ShardNameError> {
        if !(1..=MOST_SHARDS).contains(&of) {
            return Err(ShardNameError::Count(of));
        }
        if !(1..=of).contains(&index) {
            return Err(ShardNameError::Index { index, of });
        }
        Ok(Self { index, of })
    }

    /// All shards of a question, in order.
    pub fn all(of: u32) -> impl Iterator<Item = Self> {
        (1..=of).map(move |index| Self { index, of })
    }

    /// Its number, from 1.
    pub const fn index(self) -> u32 {
        self.index
    }

    /// How many there are.
    pub const fn of(self) -> u32 {
        self.of
    }

    /// As files and runs are named: `2-of-4`.
    pub fn file_name(self) -> String {
        format!("{}-of-{}", self.index, self.of)
    }

    /// The shard whose account has this file name, without its ending.
    pub fn of_file_name(name: &str) -> Option<Self> {
        let (index, of) = name.split_once("-of-")?;
        Self::new(index.parse().ok()?, of.parse().ok()?).ok()
    }

    /// Its share of a whole number: all shares together are that number, and the first ones have one more where it does not divide.
    pub fn share_of(self, whole: u64) -> u64 {
        let (index, of) = (u64::from(self.index), u64::from(self.of));
        whole / of + u64::from(index <= whole % of)
    }

    /// The name of its account's file, below the output folder.
    pub fn account(self) -> String {
        format!("{SHARDS}/{}.json", self.file_name())
    }

    /// The ending of the names of all runs of a shard.
    pub fn run_ending(self) -> String {
        format!("_{}", self.file_name())
    }
}

impl fmt::Display for ShardName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.index, self.of)
    }
}

impl FromStr for ShardName {
    type Err = ShardNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number =
            |digits: &str| digits.parse::<u32>().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let numbers = text.trim().split_once('/').and_then(|(index, of)| number(index).zip(number(of)));
        let (index, of) = numbers.ok_or_else(|| ShardNameError::NotTwoNumbers(text.to_owned()))?;
        Self::new(index, of)
    }
}

/// A stretch of one region that one shard reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tile {
    /// The region.
    pub region: Region,
    /// The seconds.
    pub range: TimeRange,
}

/// Of each shard, what it reads: at most one stretch of a region, in order. A question with fewer folders than shards leaves some without
/// any. The order in which the regions are named does not matter.
pub fn tiles(regions: &[Region], range: TimeRange, partition: Partition, of: u32) -> Vec<Vec<Tile>> {
    let mut regions = regions.to_vec();
    regions.sort();
    regions.dedup();
    // Without folders for time, days are cut: what lies before is of no concern to what lies after.
    let cells = match partition {
        Partition::None => Partition::Day.cut(range),
        Partition::Day | Partition::Month => partition.cut(range),
    };
    let whole = i128::from(range.seconds()) * regions.len() as i128;
    let mut shares: Vec<Vec<Tile>> = vec![Vec::new(); of as usize];
    let mut before: i128 = 0;
    for region in &regions {
        for cell in &cells {
            // A cell is the share's in which its middle lies.
            let middle = 2 * before + i128::from(cell.seconds());
            let index = usize::try_from(middle * i128::from(of) / (2 * whole).max(1)).unwrap_or(usize::MAX);
            before += i128::from(cell.seconds());
            let Some(share) = shares.get_mut(index) else { continue };
            match share.last_mut() {
                Some(last) if last.region == *region => last.range.end = cell.end,
                _ => share.push(Tile { region: region.clone(), range: *cell }),
            }
        }
    }
    shares
}

/// What a run that reads these tiles reads of a region, where `kept` is there already.
pub fn reads(tiles: &[Tile], region: &Region, question: TimeRange, kept: &[TimeRange]) -> Reads {
    let Some(tile) = tiles.iter().find(|tile| tile.region == *region) else {
        return Reads { region: region.clone(), ranges: Vec::new(), beside: Beside::default() };
    };
    let beside = Beside {
        before: tile.range.start > question.start,
        after: (tile.range.end < question.end).then_some(question.end),
    };
    Reads { beside, ..Reads::of(region.clone(), tile.range, kept) }
}

/// What the walk before a neighbour's time saw of that time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seam {
    /// The region.
    pub region: Region,
    /// The first second of the neighbour.
    pub at: EpochSeconds,
    /// The rows that it saw there.
    pub rows: Vec<RowKey>,
}

/// What makes a shard's account of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardPart {
    /// Which shard.
    pub name: ShardName,
    /// What of the question it reads.
    pub tiles: Vec<Tile>,
    /// The generation of the output's manifest from which it began; 0 where there was none.
    pub base: u64,
    /// What it saw of its neighbours' time.
    #[serde(default)]
    pub seams: Vec<Seam>,
}

/// A shard's account that `merge` has taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    /// Which shard.
    pub name: ShardName,
    /// The run that it told of.
    pub run: String,
    /// The account's generation.
    pub generation: u64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NEW_YEAR: i64 = 1_767_225_600;
    const DAY: i64 = 86_400;

    fn regions(codes: &[&str]) -> Vec<Region> {
        codes.iter().map(|code| code.parse().unwrap()).collect()
    }

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(end))
    }

    #[test]
    fn a_shard_is_written_as_a_person_counts() {
        let name: ShardName = "2/4".parse().unwrap();
        assert_eq!(
            (name.to_string(), name.file_name(), name.account()),
            ("2/4".to_owned(), "2-of-4".to_owned(), "_shards/2-of-4.json".to_owned())
        );
        assert_eq!(ShardName::of_file_name("2-of-4"), Some(name));
        for wrong in ["", "2", "2/", "0/4", "5/4", "1/0", "1/1001", "a/4", "+1/4", "1/4/2"] {
            assert!(wrong.parse::<ShardName>().is_err(), "{wrong}");
        }
        assert_eq!(
            "5/4".parse::<ShardName>().unwrap_err().to_string(),
            "there is no shard 5 of 4: they are numbered from 1 to 4"
        );
    }

    #[test]
    fn shards_are_cut_by_region_and_time_at_midnight() {
        let week = range(NEW_YEAR + 3_600, NEW_YEAR + 4 * DAY);
        let two = tiles(&regions(&["US", "GB"]), week, Partition::Day, 4);
        let told: Vec<Vec<String>> = two
            .iter()
            .map(|share| share.iter().map(|tile| format!("{} {}", tile.region, tile.range)).collect())
            .collect();
        assert_eq!(
            told,
            [
                ["GB [2026-01-01T01:00:00Z, 2026-01-03T00:00:00Z)"],
                ["GB [2026-01-03T00:00:00Z, 2026-01-05T00:00:00Z)"],
                ["US [2026-01-01T01:00:00Z, 2026-01-03T00:00:00Z)"],
                ["US [2026-01-03T00:00:00Z, 2026-01-05T00:00:00Z)"],
            ]
        );
        assert_eq!(two, tiles(&regions(&["GB", "US", "GB"]), week, Partition::Day, 4), "however the regions are named");
        let month = tiles(&regions(&["US"]), week, Partition::Month, 4);
        assert_eq!(month.iter().map(Vec::len).collect::<Vec<_>>(), [0, 0, 1, 0], "a folder has one shard");
    }

    #[test]
    fn neighbours_are_told_of_each_other() {
        let week = range(NEW_YEAR, NEW_YEAR + 4 * DAY);
        let shares = tiles(&regions(&["US"]), week, Partition::Day, 2);
        let us = "US".parse().unwrap();
        let of = |tiles: &[Tile]| reads(tiles, &us, week, &[]).beside;
        assert_eq!(of(&shares[0]), Beside { before: false, after: Some(week.end) });
        assert_eq!(of(&shares[1]), Beside { before: true, after: None });
        assert_eq!(reads(&shares[0], &"GB".parse().unwrap(), week, &[]).ranges, []);
    }

    proptest! {
        #[test]
        fn shares_are_the_whole(whole in 0..u64::MAX, of in 1..=MOST_SHARDS) {
            let shares: Vec<u128> = ShardName::all(of).map(|name| u128::from(name.share_of(whole))).collect();
            prop_assert_eq!(shares.iter().sum::<u128>(), u128::from(whole));
            prop_assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
        }

        #[test]
        fn tiles_hold_each_second_of_each_region_once(
            start in 0..2_000_000_000_i64,
            seconds in 1..20_000_000_i64,
            of in 1..40_u32,
            count in 1..5_usize,
            partition in prop::sample::select(vec![Partition::Day, Partition::Month, Partition::None]),
        ) {
            let whole = range(start, start + seconds);
            let codes = regions(&["US", "GB", "DE", "FR"][..count]);
            let shares = tiles(&codes, whole, partition, of);
            prop_assert_eq!(shares.len(), of as usize);
            for region in &codes {
                let mut of_region: Vec<TimeRange> = shares.iter().flatten().filter(|tile| tile.region == *region).map(|tile| tile.range).collect();
                of_region.sort();
                prop_assert_eq!(of_region.first().unwrap().start, whole.start);
                prop_assert_eq!(of_region.last().unwrap().end, whole.end);
                for pair in of_region.windows(2) {
                    prop_assert_eq!(pair[0].end, pair[1].start);
                    let midnight = if partition == Partition::None { Partition::Day } else { partition };
                    prop_assert_eq!(midnight.partition_start(pair[1].start), pair[1].start);
                }
            }
            for share in &shares {
                let mut named: Vec<&Region> = share.iter().map(|tile| &tile.region).collect();
                named.dedup();
                prop_assert_eq!(named.len(), share.len(), "one stretch of a region");
            }
        }
    }
}
