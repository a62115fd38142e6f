//! Videos of one run that stand in two of its parts, since the service gave them another `create_time` for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::path::Path;

use arrow::array::{AsArray as _, StringArray};
use arrow::datatypes::TimestampMillisecondType;
use parquet::errors::ParquetError;

use super::{open, spread, texts};
use crate::api::contract::Region;
use crate::journal::record::PartRecord;
use crate::sink::columns::{CREATE_TIME, VIDEO_ID};
use crate::sink::videos;
use crate::units::{EpochSeconds, TimeRange};

/// Keys of videos in memory at once: 4 MiB.
const KEYS_OF_A_PASS: u64 = 512 << 10;

/// Videos of a region that stand more than once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The region.
    pub region: Region,
    /// From the earliest to the latest second under which one of them stands.
    pub range: TimeRange,
    /// How many videos.
    pub videos: usize,
}

/// The videos that stand more than once in these parts, where their ranges overlap as one, in order of time. Of the parts, each with its file, one
/// after the other is read, in as many passes as `KEYS_OF_A_PASS` takes. Blocks.
///
/// # Errors
/// Where a part cannot be read.
pub fn moved_videos<F: Deref<Target = Path>>(parts: &[(PartRecord, F)]) -> Result<Vec<Moved>, ParquetError> {
    let mut regions: BTreeMap<&Region, Vec<&(PartRecord, F)>> = BTreeMap::new();
    for part in parts {
        regions.entry(&part.0.region).or_default().push(part);
    }
    let mut moved = Vec::new();
    for (region, parts) in regions {
        let rows: u64 = parts.iter().map(|(part, _)| part.rows.get()).sum();
        let passes = rows.div_ceil(KEYS_OF_A_PASS);
        let mut ranges = Vec::new();
        for pass in 0..passes {
            ranges.extend(moved_of(&parts, |key| spread(key) % passes == pass)?);
        }
        moved.extend(joined(region, ranges));
    }
    Ok(moved)
}

/// The same of the videos with such keys.
fn moved_of<F: Deref<Target = Path>>(
    parts: &[&(PartRecord, F)],
    is_of_pass: impl Fn(u64) -> bool,
) -> Result<Vec<TimeRange>, ParquetError> {
    let mut keys = Vec::new();
    each_row(parts, |key, _| keys.extend(Some(key).filter(|key| is_of_pass(*key))))?;
    keys.sort_unstable();
    let twice = keys.chunk_by(|one, other| one == other).filter(|same| same.len() > 1);
    let twice: BTreeSet<u64> = twice.filter_map(|same| same.first().copied()).collect();
    if twice.is_empty() {
        return Ok(Vec::new());
    }
    let mut spans: BTreeMap<u64, TimeRange> = BTreeMap::new();
    each_row(parts, |key, second| {
        if twice.contains(&key) {
            let span = spans.entry(key).or_insert(TimeRange::new(second, second.shifted(1)));
            *span = TimeRange::new(span.start.min(second), span.end.max(second.shifted(1)));
        }
    })?;
    Ok(spans.into_values().collect())
}

/// Shows `see` the key and the second of every row.
fn each_row<F: Deref<Target = Path>>(
    parts: &[&(PartRecord, F)],
    mut see: impl FnMut(u64, EpochSeconds),
) -> Result<(), ParquetError> {
    for (part, file) in parts {
        for batch in open((file, part.schema), &[CREATE_TIME, VIDEO_ID])? {
            let batch = batch?;
            let moments = batch
                .column_by_name(CREATE_TIME)
                .and_then(|column| column.as_primitive_opt::<TimestampMillisecondType>());
            let ids = texts(&batch, VIDEO_ID).into_iter().flat_map(StringArray::iter);
            for (moment, id) in moments.into_iter().flatten().zip(ids) {
                if let (Some(moment), Some(id)) = (moment, id) {
                    see(videos::key(id), EpochSeconds::new(moment.div_euclid(1_000)));
                }
            }
        }
    }
    Ok(())
}

fn joined(region: &Region, mut ranges: Vec<TimeRange>) -> Vec<Moved> {
    ranges.sort_unstable();
    let mut joined: Vec<Moved> = Vec::new();
    for range in ranges {
        match joined.last_mut().filter(|last| range.start <= last.range.end) {
            Some(last) => {
                last.range.end = last.range.end.max(range.end);
                last.videos += 1;
            }
            None => joined.push(Moved { region: region.clone(), range, videos: 1 }),
        }
    }
    joined
}
