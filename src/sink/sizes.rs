//! Whether files are of a size that suits readers, and by which partition they would be. Pure.

use std::collections::BTreeMap;

use crate::journal::record::PartRecord;
use crate::sink::layout::{Partition, snapshot_second};
use crate::units::RowCount;

/// Files smaller than this are tiny, and as large as that they are worth a folder, bytes.
const TINY_FILE: f64 = 1_048_576.0;
const GOOD_FILE: f64 = 4_194_304.0;
/// Folders larger than this are huge, bytes.
const HUGE_FOLDER: f64 = 107_374_182_400.0;
/// Bytes of a part without rows: its description of each column.
pub const BYTES_A_PART: f64 = 15_000.0;
/// Of fewer tiny files than these nobody needs to hear.
const FEW_FILES: usize = 8;

/// What lies in an output, or would lie there; each may be an estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Holding {
    /// Files.
    pub files: f64,
    /// Folders of the lowest level.
    pub folders: f64,
    /// Bytes in all files.
    pub bytes: f64,
}

impl Holding {
    /// How large a file is, bytes.
    pub fn bytes_a_file(self) -> f64 {
        self.bytes / self.files.max(1.0)
    }
}

/// A partition that suits readers better than this one, where files are tiny or folders huge; `under` says what would lie there by each.
pub fn better(partition: Partition, under: impl Fn(Partition) -> Holding) -> Option<Partition> {
    let now = under(partition);
    let is_tiny = now.bytes_a_file() < TINY_FILE && now.files > 1.0;
    let is_huge = now.bytes / now.folders.max(1.0) > HUGE_FOLDER;
    let better = match (is_tiny, is_huge, partition) {
        (true, _, Partition::Day) if under(Partition::Month).bytes_a_file() >= GOOD_FILE => Some(Partition::Month),
        (true, _, Partition::Day | Partition::Month) => Some(Partition::None),
        (_, true, Partition::None) => Some(Partition::Month),
        (_, true, Partition::Month) => Some(Partition::Day),
        _ => None,
    };
    better.filter(|better| under(*better).files < now.files || is_huge)
}

/// That many tiny files, and by which partition there would be how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiny {
    /// How many there are.
    pub files: u64,
    /// Bytes of each, on average.
    pub bytes_a_file: u64,
    /// The partition that suits readers better.
    pub better: Partition,
    /// How many there would be then.
    pub files_then: u64,
}

/// Whether an output's parts are tiny, and another partition would help; `part_rows` are those of a part, at most.
pub fn tiny(parts: &[PartRecord], partition: Partition, part_rows: RowCount) -> Option<Tiny> {
    if parts.len() < FEW_FILES {
        return None;
    }
    let is = Holding { files: parts.len() as f64, ..holding(parts, partition, part_rows) };
    let under = |other: Partition| if other == partition { is } else { holding(parts, other, part_rows) };
    let better = better(partition, under).filter(|_| is.bytes_a_file() < TINY_FILE)?;
    Some(Tiny {
        files: parts.len() as u64,
        // Both saturate, and are whole numbers in what an output can hold.
        bytes_a_file: is.bytes_a_file() as u64,
        better,
        files_then: under(better).files as u64,
    })
}

/// What the parts' rows would take by another partition, of which each folder holds as few files as `part_rows` allows.
fn holding(parts: &[PartRecord], partition: Partition, part_rows: RowCount) -> Holding {
    let mut rows = BTreeMap::new();
    for part in parts {
        let folder = (&part.region, snapshot_second(&part.path), partition.partition_value(part.range.start));
        *rows.entry(folder).or_insert(0) += part.rows.get();
    }
    let files: u64 = rows.values().map(|rows: &u64| rows.div_ceil(part_rows.get().max(1)).max(1)).sum();
    let bytes: u64 = parts.iter().map(|part| part.bytes.get()).sum();
    let spared = BYTES_A_PART * (parts.len() as f64 - files as f64);
    Holding { files: files as f64, folders: rows.len() as f64, bytes: (bytes as f64 - spared).max(0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::{NEW_YEAR, part};
    use crate::units::{ByteCount, DAY_SECONDS, EpochSeconds, TimeRange};

    fn days(count: i64, bytes: u64) -> Vec<PartRecord> {
        let part = |day: i64| {
            let start = EpochSeconds::new(NEW_YEAR + day * DAY_SECONDS);
            PartRecord {
                run: "r".to_owned(),
                rows: RowCount::new(1_000),
                bytes: ByteCount::new(bytes),
                ..part(
                    &format!("data/query_region=US/date=d{day}/part.parquet"),
                    TimeRange::new(start, start.shifted(DAY_SECONDS)),
                )
            }
        };
        (0..count).map(part).collect()
    }

    #[test]
    fn many_tiny_files_are_told_with_the_partition_that_makes_fewer() {
        let of = |parts: &[PartRecord]| tiny(parts, Partition::Day, RowCount::new(1_000_000));
        let told = of(&days(59, 300_000)).unwrap();
        assert_eq!(told, Tiny { files: 59, bytes_a_file: 300_000, better: Partition::Month, files_then: 2 });
        assert_eq!(of(&days(59, 30_000)).unwrap().better, Partition::None);
        assert_eq!(of(&days(59, 2_000_000)), None);
        assert_eq!(of(&days(7, 30_000)), None, "so few that nobody minds");
        assert_eq!(tiny(&days(59, 30_000), Partition::None, RowCount::new(1_000_000)), None, "nothing is larger");
        assert_eq!(
            tiny(&days(59, 30_000), Partition::Day, RowCount::new(1_000)),
            None,
            "they are as they were asked for"
        );
    }

    #[test]
    fn of_huge_folders_the_next_smaller_stretch_is_named() {
        let huge = |partition| match partition {
            Partition::None => Holding { files: 900.0, folders: 1.0, bytes: 2.0e11 },
            _ => Holding { files: 900.0, folders: 30.0, bytes: 2.0e11 },
        };
        assert_eq!(better(Partition::None, huge), Some(Partition::Month));
        assert_eq!(better(Partition::Month, huge), None);
    }
}
