//! Which of some rows a published part holds, by their second and id.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::TimestampMillisecondType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::journal::record::PartRecord;
use crate::plan::fact::{RowKey, VideoKey};
use crate::sink::columns::{CREATE_TIME, VIDEO_ID};
use crate::sink::part::{BATCH_ROWS, PartError};
use crate::sink::staging::StagingError;
use crate::units::EpochSeconds;

/// A row's second and its `video_id`.
pub type RowId = (EpochSeconds, String);

/// Those of the `wanted` rows that `part`, which lies at `file`, holds. Blocks; memory is that of one batch of two columns.
///
/// # Errors
/// Where the part cannot be read.
pub fn rows_held((part, file): (&PartRecord, &Path), wanted: &BTreeSet<RowId>) -> Result<BTreeSet<RowId>, PartError> {
    find((part, file), |id| wanted.contains(&id).then_some(id))
}

/// The same of rows as the plan knows them.
///
/// # Errors
/// Where the part cannot be read.
pub fn keys_held((part, file): (&PartRecord, &Path), wanted: &BTreeSet<RowKey>) -> Result<BTreeSet<RowKey>, PartError> {
    let key = |(second, id): RowId| RowKey { second, video: VideoKey::of(&id) };
    find((part, file), |id| Some(key(id)).filter(|key| wanted.contains(key)))
}

/// What is wanted of a part's rows.
fn find<T: Ord>(
    (part, file): (&PartRecord, &Path),
    wanted: impl Fn(RowId) -> Option<T>,
) -> Result<BTreeSet<T>, PartError> {
    let unreadable = |source| PartError::Former { path: part.path.clone(), source };
    let opened = File::open(file).map_err(StagingError::of("opening the part", file))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(opened).map_err(unreadable)?;
    let columns = ProjectionMask::columns(builder.parquet_schema(), [CREATE_TIME, VIDEO_ID]);
    let reader = builder.with_projection(columns).with_batch_size(BATCH_ROWS).build().map_err(unreadable)?;
    let mut held = BTreeSet::new();
    for batch in reader {
        let batch = batch.map_err(|source| unreadable(source.into()))?;
        held.extend(ids(&batch).filter_map(&wanted));
    }
    Ok(held)
}

fn ids(batch: &RecordBatch) -> impl Iterator<Item = RowId> {
    let moments =
        batch.column_by_name(CREATE_TIME).and_then(|column| column.as_primitive_opt::<TimestampMillisecondType>());
    let videos = batch.column_by_name(VIDEO_ID).and_then(|column| column.as_string_opt::<i32>());
    let pairs = moments.zip(videos).into_iter().flat_map(|(moments, videos)| moments.iter().zip(videos.iter()));
    pairs.filter_map(|(moment, video)| Some((EpochSeconds::new(moment? / 1_000), video?.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::{given, page, parts, range, row, slice};

    #[test]
    fn a_row_is_found_by_its_second_and_its_id_together() {
        let folder = tempfile::tempdir().unwrap();
        let parts = parts(folder.path());
        let rows: Vec<String> = (0..4).map(|n| row(n * 10, &format!("{n}"), n)).collect();
        let part = parts.stage(&slice(range(0, 60)), given(vec![page(1, &rows)])).unwrap().unwrap();
        let file = parts.staging.file(&part.path);
        let second = |second: i64| range(second, second + 1).start;
        let wanted = [(10, "1"), (20, "1"), (30, "3"), (40, "4")].map(|(at, id)| (second(at), id.to_owned()));
        let found = rows_held((&part, &file), &wanted.into_iter().collect()).unwrap();
        assert_eq!(found, [(second(10), "1".to_owned()), (second(30), "3".to_owned())].into_iter().collect());
    }
}
