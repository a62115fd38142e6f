//! Which published parts may become one: a chain holds its seconds whole, as each part does. Pure.
//!
//! Parts follow each other in a chain where every second between them was read and holds no row. Where a gap lies there, or some of a
//! gap was delivered, the chain ends, so that no part holds a gap and something else. Snapshots are answers of their own.

use std::collections::BTreeMap;

use crate::api::contract::Region;
use crate::journal::record::PartRecord;
use crate::sink::layout::{Partition, snapshot_of};
use crate::sink::manifest::Manifest;
use crate::units::{ByteCount, RowCount, TimeRange};

/// Parts of one region and snapshot that follow each other in time, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The region that was asked.
    pub region: Region,
    /// From the first second of the first part to the last of the last.
    pub range: TimeRange,
    /// The parts, in order.
    pub parts: Vec<PartRecord>,
}

/// Two parts hold the same seconds, so that one of them may be wrong.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{one} and {other} both hold {range}")]
pub struct Overlap {
    one: String,
    other: String,
    range: TimeRange,
}

impl Chain {
    fn of(part: &PartRecord) -> Self {
        Self { region: part.region.clone(), range: part.range, parts: vec![part.clone()] }
    }

    fn add(&mut self, part: &PartRecord) {
        self.range.end = part.range.end;
        self.parts.push(part.clone());
    }

    /// Its rows.
    pub fn rows(&self) -> RowCount {
        self.parts.iter().fold(RowCount::ZERO, |sum, part| sum.plus(part.rows))
    }
}

/// All parts of a manifest as chains, as long as they can be, in order.
///
/// # Errors
/// Where parts hold the same seconds.
pub fn chains(manifest: &Manifest) -> Result<Vec<Chain>, Overlap> {
    let mut groups: BTreeMap<(&Region, Option<&str>), Vec<&PartRecord>> = BTreeMap::new();
    for part in &manifest.parts {
        groups.entry((&part.region, snapshot_of(&part.path))).or_default().push(part);
    }
    let mut chains: Vec<Chain> = Vec::new();
    for ((region, snapshot), mut parts) in groups {
        parts.sort_by_key(|part| part.range);
        // Which of several snapshots has read a second that holds no row is not told.
        let read = if snapshot.is_none() { manifest.account.kept_from(None).sound(region, &[]) } else { Vec::new() };
        let in_gap = |part: &PartRecord| {
            manifest.account.gaps.iter().any(|gap| gap.region == *region && gap.range.overlaps(part.range))
        };
        let mut last: Option<&PartRecord> = None;
        for part in parts {
            if let Some(last) = last.filter(|last| last.range.end > part.range.start) {
                let range = last.range.intersection(part.range);
                return Err(Overlap { one: last.path.clone(), other: part.path.clone(), range });
            }
            let follows = last.is_some_and(|last| {
                let between = TimeRange::new(last.range.end, part.range.start);
                !in_gap(last) && !in_gap(part) && between.without(&read).iter().all(|range| range.is_empty())
            });
            match chains.last_mut().filter(|_| follows) {
                Some(chain) => chain.add(part),
                None => chains.push(Chain::of(part)),
            }
            last = Some(part);
        }
    }
    Ok(chains)
}

/// Neighbours among the parts of these chains that are smaller than `below` and lie in the same folder, each group to become one part of
/// at most `most_rows`. A part without such a neighbour is left as it is.
pub fn small_neighbours(chains: &[Chain], partition: Partition, below: ByteCount, most_rows: RowCount) -> Vec<Chain> {
    let mut groups: Vec<Chain> = Vec::new();
    for chain in chains {
        let mut group: Option<Chain> = None;
        for part in &chain.parts {
            let is_small = part.bytes < below;
            let fits = |group: &&mut Chain| {
                let folder = |range: TimeRange| partition.partition_value(range.start);
                folder(group.range) == folder(part.range) && group.rows().plus(part.rows) <= most_rows
            };
            match group.as_mut().filter(|_| is_small).filter(fits) {
                Some(group) => group.add(part),
                None => groups.extend(std::mem::replace(&mut group, is_small.then(|| Chain::of(part)))),
            }
        }
        groups.extend(group);
    }
    groups.retain(|group| group.parts.len() > 1);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::account::Lack;
    use crate::sink::testing::{self, part, range};
    use crate::units::DAY_SECONDS;

    fn sized(start: i64, end: i64, bytes: u64) -> PartRecord {
        PartRecord {
            rows: RowCount::new(10),
            bytes: ByteCount::new(bytes),
            ..part(&format!("data/query_region=US/part-{start}"), range(start, end))
        }
    }

    /// Everything from 0 to 100 is read, but for a gap of ten seconds.
    fn manifest(parts: Vec<PartRecord>) -> Manifest {
        let us: Region = "US".parse().unwrap();
        let mut manifest = testing::manifest(range(0, 100), parts);
        manifest.account.coverage.lose(&us, &[range(50, 60)]);
        manifest.account.gaps =
            vec![Lack { region: us, range: range(50, 60), why: "HTTP 500".to_owned(), fault: None, lacks: None }];
        manifest
    }

    fn ranges(chains: &[Chain]) -> Vec<(TimeRange, usize)> {
        chains.iter().map(|chain| (chain.range, chain.parts.len())).collect()
    }

    #[test]
    fn a_chain_goes_over_what_was_read_and_ends_at_a_gap_or_hole() {
        let parts = vec![sized(0, 10, 1), sized(10, 20, 1), sized(30, 50, 1), sized(60, 70, 1), sized(120, 130, 1)];
        let found = chains(&manifest(parts)).unwrap();
        assert_eq!(ranges(&found), [(range(0, 50), 3), (range(60, 70), 1), (range(120, 130), 1)]);
    }

    #[test]
    fn what_was_delivered_of_a_gap_stays_apart() {
        let found = chains(&manifest(vec![sized(40, 50, 1), sized(52, 55, 1), sized(60, 70, 1)])).unwrap();
        assert_eq!(ranges(&found), [(range(40, 50), 1), (range(52, 55), 1), (range(60, 70), 1)]);
    }

    #[test]
    fn snapshots_and_regions_stay_apart() {
        let of = |level: &str, region: &str, start| PartRecord {
            path: format!("data/query_region={region}/{level}part-{start}"),
            region: region.parse().unwrap(),
            ..sized(start, start + 10, 1)
        };
        let parts = vec![
            of("snapshot=2026-01-02/", "US", 0),
            of("snapshot=2026-01-02/", "US", 10),
            of("snapshot=2026-01-02/", "US", 30),
            of("snapshot=2026-01-03/", "US", 0),
            of("", "GB", 10),
        ];
        assert_eq!(
            chains(&manifest(parts)).unwrap().iter().map(|chain| chain.parts.len()).collect::<Vec<_>>(),
            [1, 2, 1, 1]
        );
    }

    #[test]
    fn parts_that_hold_the_same_seconds_are_refused() {
        let refused = chains(&manifest(vec![sized(0, 10, 1), sized(9, 20, 1)])).unwrap_err().to_string();
        assert!(refused.contains("both hold"), "{refused}");
    }

    #[test]
    fn only_small_neighbours_of_one_folder_are_merged_up_to_a_whole_part() {
        let parts = vec![
            sized(0, 10, 5),
            sized(10, 20, 5),
            sized(20, 30, 50),
            sized(30, 40, 5),
            sized(40, DAY_SECONDS, 5),
            sized(DAY_SECONDS, DAY_SECONDS + 10, 5),
        ];
        let mut whole = manifest(parts);
        whole.account.gaps.clear();
        let chains = chains(&whole).unwrap();
        let groups = |below, most| {
            ranges(&small_neighbours(&chains, Partition::Day, ByteCount::new(below), RowCount::new(most)))
        };
        assert_eq!(groups(10, 100), [(range(0, 20), 2), (range(30, DAY_SECONDS), 2)]);
        assert_eq!(groups(100, 30), [(range(0, 30), 3), (range(30, DAY_SECONDS), 2)]);
        assert_eq!(groups(5, 100), []);
    }
}
