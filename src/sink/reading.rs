//! What published parts hold, row by row: their seconds, and the rows of some of them. Blocking; memory is that of one batch of rows and of
//! what is asked for.

use std::collections::BTreeSet;
use std::fs::File;
use std::ops::ControlFlow;
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
use crate::sink::videos::Videos;
use crate::units::{EpochSeconds, TimeRange};

/// A row's second and its `video_id`.
pub type RowId = (EpochSeconds, String);

/// The column of a row's own region.
pub(super) const OWN_REGION: &str = "region";

/// Tells the second of every row of `part`, which lies at `file`, in the order of time.
///
/// # Errors
/// Where the part cannot be read.
pub fn each_second(part: &PartRecord, file: &Path, mut tell: impl FnMut(EpochSeconds)) -> Result<(), PartError> {
    each_batch(part, file, &[CREATE_TIME], |batch| {
        seconds(batch).flatten().for_each(&mut tell);
        ControlFlow::Continue(())
    })
}

/// Those of the `wanted` rows that `part` holds.
///
/// # Errors
/// Where the part cannot be read.
pub fn rows_held((part, file): (&PartRecord, &Path), wanted: &BTreeSet<RowId>) -> Result<BTreeSet<RowId>, PartError> {
    each_row(part, file, |row| wanted.contains(&row).then_some(row))
}

/// The same of rows as the plan knows them.
///
/// # Errors
/// Where the part cannot be read.
pub fn keys_held((part, file): (&PartRecord, &Path), wanted: &BTreeSet<RowKey>) -> Result<BTreeSet<RowKey>, PartError> {
    let key = |(second, id): RowId| RowKey { second, video: VideoKey::of(&id) };
    each_row(part, file, |row| Some(key(row)).filter(|key| wanted.contains(key)))
}

/// The rows of `part` in these ranges, which are in order and apart.
///
/// # Errors
/// Where the part cannot be read.
pub fn rows_within(part: &PartRecord, file: &Path, ranges: &[TimeRange]) -> Result<BTreeSet<RowId>, PartError> {
    each_row(part, file, |row| is_within(ranges, row.0).then_some(row))
}

fn is_within(ranges: &[TimeRange], second: EpochSeconds) -> bool {
    let after = ranges.partition_point(|range| range.end <= second);
    ranges.get(after).is_some_and(|range| range.contains(second))
}

/// Those of the `wanted` videos that `part` holds, in whatever second.
///
/// # Errors
/// Where the part cannot be read.
pub fn videos_held(part: &PartRecord, file: &Path, wanted: &BTreeSet<String>) -> Result<BTreeSet<String>, PartError> {
    let mut found = BTreeSet::new();
    each_batch(part, file, &[VIDEO_ID], |batch| {
        let held = texts(batch, VIDEO_ID).flatten().filter(|video| wanted.contains(*video));
        found.extend(held.map(str::to_owned));
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Notes the videos of `part` in these ranges, which are in order and apart.
///
/// # Errors
/// Where the part cannot be read.
pub(super) fn note_videos(
    part: &PartRecord,
    file: &Path,
    ranges: &[TimeRange],
    videos: &mut Videos,
) -> Result<(), PartError> {
    each_video((part, file), ranges, |video| {
        videos.insert(video);
    })
}

/// Tells the video of every row of `part`, which lies at `file`, in these ranges, which are in order and apart.
///
/// # Errors
/// Where the part cannot be read.
pub(super) fn each_video(
    (part, file): (&PartRecord, &Path),
    ranges: &[TimeRange],
    mut tell: impl FnMut(&str),
) -> Result<(), PartError> {
    each_batch(part, file, &[CREATE_TIME, VIDEO_ID], |batch| {
        let rows = seconds(batch).zip(texts(batch, VIDEO_ID)).filter_map(|(second, video)| second.zip(video));
        rows.filter(|(second, _)| is_within(ranges, *second)).for_each(|(_, video)| tell(video));
        ControlFlow::Continue(())
    })
}

/// The first own region that a row of `part` names.
///
/// # Errors
/// Where the part cannot be read.
pub fn own_region(part: &PartRecord, file: &Path) -> Result<Option<String>, PartError> {
    let mut found = None;
    each_batch(part, file, &[OWN_REGION], |batch| {
        found = texts(batch, OWN_REGION).flatten().next().map(str::to_owned);
        ControlFlow::Break(())
    })?;
    Ok(found)
}

/// What is wanted of the rows of `part`.
fn each_row<T: Ord>(
    part: &PartRecord,
    file: &Path,
    wanted: impl Fn(RowId) -> Option<T>,
) -> Result<BTreeSet<T>, PartError> {
    let mut found = BTreeSet::new();
    each_batch(part, file, &[CREATE_TIME, VIDEO_ID], |batch| {
        let rows = seconds(batch).zip(texts(batch, VIDEO_ID)).filter_map(|(second, video)| second.zip(video));
        found.extend(rows.filter_map(|(second, video)| wanted((second, video.to_owned()))));
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

fn each_batch(
    part: &PartRecord,
    file: &Path,
    columns: &[&str],
    mut look: impl FnMut(&RecordBatch) -> ControlFlow<()>,
) -> Result<(), PartError> {
    let unreadable = |source| PartError::Former { path: part.path.clone(), source };
    let opened = File::open(file).map_err(StagingError::of("opening the part", file))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(opened).map_err(unreadable)?;
    let wanted = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    let reader = builder.with_projection(wanted).with_batch_size(BATCH_ROWS).build().map_err(unreadable)?;
    for batch in reader {
        let batch = batch.map_err(|source| unreadable(source.into()))?;
        if look(&batch).is_break() {
            break;
        }
    }
    Ok(())
}

fn seconds(batch: &RecordBatch) -> impl Iterator<Item = Option<EpochSeconds>> {
    let moments =
        batch.column_by_name(CREATE_TIME).and_then(|column| column.as_primitive_opt::<TimestampMillisecondType>());
    let seconds = moments.into_iter().flat_map(|moments| moments.iter());
    seconds.map(|moment| moment.map(|moment| EpochSeconds::new(moment.div_euclid(1_000))))
}

fn texts<'a>(batch: &'a RecordBatch, column: &str) -> impl Iterator<Item = Option<&'a str>> {
    let texts = batch.column_by_name(column).and_then(|column| column.as_string_opt::<i32>());
    texts.into_iter().flat_map(|texts| texts.iter())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::{given, page, parts, range, row, slice};

    #[test]
    fn a_part_tells_its_seconds_and_the_rows_of_some_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let parts = parts(folder.path());
        let rows: Vec<String> =
            (0..4).map(|n| row(n * 10, &format!("{n}"), n).replacen('{', r#"{"region":"US","#, 1)).collect();
        let part = parts.stage(&slice(range(0, 60)), given(vec![page(1, &rows)])).unwrap().unwrap();
        let file = parts.staging.file(&part.path);
        let second = |second: i64| range(second, second + 1).start;
        let mut told = Vec::new();
        each_second(&part, &file, |second| told.push(second)).unwrap();
        assert_eq!(told, [0, 10, 20, 30].map(second));
        let found = rows_within(&part, &file, &[range(5, 11), range(30, 40)]).unwrap();
        assert_eq!(found, [(second(10), "1".to_owned()), (second(30), "3".to_owned())].into_iter().collect());
        let wanted = ["2", "9"].map(str::to_owned).into_iter().collect();
        assert_eq!(videos_held(&part, &file, &wanted).unwrap(), ["2".to_owned()].into_iter().collect());
        assert_eq!(own_region(&part, &file).unwrap().as_deref(), Some("US"));
    }

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
