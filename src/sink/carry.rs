//! Rows of a former part that a new run did not ask for again are carried over into new parts, before the former one goes.

use std::fs::File;
use std::path::Path;

use arrow::array::{Array, AsArray as _, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMillisecondType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;

use crate::api::lexer::each_member;
use crate::journal::kept::KeptFields;
use crate::journal::record::PartRecord;
use crate::sink::columns::{CREATE_TIME, EXTRA};
use crate::sink::former;
use crate::sink::layout::Slice;
use crate::sink::part::{BATCH_ROWS, PartError, PartFile, Parts};
use crate::sink::staging::StagingError;
use crate::units::TimeRange;

impl Parts {
    /// Writes the rows of `former`, a published part that lies at `file`, that are inside `keep` into new staged parts of `run`:
    /// one for each range of `keep` and folder of the layout that holds rows. The former part is left as it is. Blocks; memory is
    /// that of one row group. The rows are the same and in the same order, so nothing is decoded again; those
    /// of a former schema get this one's columns.
    ///
    /// # Errors
    /// Where the former part cannot be read, has other columns than its record says, or the disk fails.
    pub fn carry_over(
        &self,
        (former, file): (&PartRecord, &Path),
        keep: &[TimeRange],
        run: &str,
    ) -> Result<Vec<PartRecord>, PartError> {
        let within = keep.iter().map(|range| range.intersection(former.range));
        let pieces = within.flat_map(|range| self.layout.partition.cut(range));
        let carried = pieces.map(|range| {
            let slice = Slice { region: former.region.clone(), range, run: run.to_owned() };
            self.carry((former, file), &slice)
        });
        carried.filter_map(Result::transpose).collect()
    }

    fn carry(&self, (former, file): (&PartRecord, &Path), slice: &Slice) -> Result<Option<PartRecord>, PartError> {
        let unreadable = |source| PartError::Former { path: former.path.clone(), source };
        let opened = File::open(file).map_err(StagingError::of("opening the former part", file))?;
        let mut part = PartFile::new(self, slice)?;
        let mut extra_fields = KeptFields::default();
        for batch in reader(opened, former)? {
            let rows = inside(&batch.map_err(|source| unreadable(source.into()))?, slice.range).map_err(unreadable)?;
            let rows = former::to_current(&rows, &slice.region).map_err(|source| unreadable(source.into()))?;
            count_kept(&rows, &mut extra_fields);
            part.write(&rows)?;
        }
        let kept_in_extra = extra_fields.total();
        // What the run has read itself stays its own, in whichever part it lies.
        let carried = former.carried || former.run != slice.run;
        Ok(part.finish()?.map(|record| PartRecord { kept_in_extra, extra_fields, carried, ..record }))
    }
}

/// How many rows of `former`, a part that lies at `file`, are inside `ranges`, which do not overlap. Reads their times alone. Blocks.
///
/// # Errors
/// As [`Parts::carry_over`].
pub fn rows_within((former, file): (&PartRecord, &Path), ranges: &[TimeRange]) -> Result<u64, PartError> {
    let unreadable = |source| PartError::Former { path: former.path.clone(), source };
    let opened = File::open(file).map_err(StagingError::of("opening the former part", file))?;
    let builder = builder(opened, former)?;
    let times = ProjectionMask::columns(builder.parquet_schema(), [CREATE_TIME]);
    let mut rows = 0_u64;
    for batch in builder.with_projection(times).build().map_err(unreadable)? {
        let batch = batch.map_err(|source| unreadable(source.into()))?;
        for range in ranges {
            rows += inside(&batch, *range).map_err(unreadable)?.num_rows() as u64;
        }
    }
    Ok(rows)
}

pub(super) fn reader(file: File, former: &PartRecord) -> Result<ParquetRecordBatchReader, PartError> {
    let unreadable = |source| PartError::Former { path: former.path.clone(), source };
    builder(file, former)?.with_batch_size(BATCH_ROWS).build().map_err(unreadable)
}

/// A reader of a published part in the making, whose columns are those of a version that is known.
pub(super) fn builder(file: File, former: &PartRecord) -> Result<ParquetRecordBatchReaderBuilder<File>, PartError> {
    let unreadable = |source| PartError::Former { path: former.path.clone(), source };
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(unreadable)?;
    if former::may_have(former.schema, builder.schema().fields()) {
        Ok(builder)
    } else {
        Err(PartError::FormerSchema { path: former.path.clone() })
    }
}

pub(super) fn inside(batch: &RecordBatch, range: TimeRange) -> Result<RecordBatch, ParquetError> {
    let moments =
        batch.column_by_name(CREATE_TIME).and_then(|column| column.as_primitive_opt::<TimestampMillisecondType>());
    let moments = moments.ok_or_else(|| ParquetError::General(format!("it has no times in `{CREATE_TIME}`")))?;
    let (start, end) = (range.start.get().saturating_mul(1000), range.end.get().saturating_mul(1000));
    let inside: BooleanArray =
        moments.iter().map(|moment| moment.map(|moment| start <= moment && moment < end)).collect();
    Ok(filter_record_batch(batch, &inside)?)
}

/// Counts the values that `_extra` keeps, by field.
pub(super) fn count_kept(batch: &RecordBatch, fields: &mut KeptFields) {
    let Some(extras) = batch.column_by_name(EXTRA).and_then(|column| column.as_string_opt::<i32>()) else { return };
    if extras.null_count() < extras.len() {
        for text in extras.iter().flatten() {
            // What is no object was not written by this program, and is carried over all the same.
            let _counted = each_member(text, |name, _| fields.add(&name, 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::sink::layout::{Layout, Partition};
    use crate::sink::testing::{given, page, parts, range, read, row, slice, triples};
    use crate::units::DAY_SECONDS;

    /// A part of five rows, at 0, 10, 20, 30 and 40 s, the last with two values that no column could hold.
    fn former(folder: &Path) -> (Parts, PartRecord, PathBuf) {
        let parts = parts(folder);
        let mut rows: Vec<String> = (0..4).map(|n| row(n * 10, &format!("{n}"), n)).collect();
        rows.push(row(40, "4", 4).replace('}', r#","ratio":[],"is_ad":"?","new":1}"#));
        let record = parts.stage(&slice(range(0, 60)), given(vec![page(1, &rows)])).unwrap().unwrap();
        let published = folder.join("former.parquet");
        std::fs::rename(parts.staging.file(&record.path), &published).unwrap();
        (parts, record, published)
    }

    #[test]
    fn the_rows_outside_the_new_range_are_carried_over_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let (parts, record, file) = former(folder.path());
        let keep = [range(0, 10), range(30, 60)];
        let carried = parts.carry_over((&record, &file), &keep, "r2").unwrap();
        assert_eq!(carried.iter().map(|part| part.range).collect::<Vec<_>>(), keep);
        let rows: Vec<_> = carried.iter().map(|part| triples(&parts.staging.file(&part.path))).collect();
        assert_eq!(rows[0], [(0, "0".to_owned(), 0)]);
        assert_eq!(rows[1], [(30, "3".to_owned(), 3), (40, "4".to_owned(), 4)]);
        assert!(carried.iter().all(|part| part.run == "r2" && part.path.ends_with("-r2.parquet")));
        assert_eq!(carried.iter().map(|part| part.kept_in_extra).collect::<Vec<_>>(), [0, 3]);
        assert_eq!(carried[1].extra_fields, record.extra_fields, "each field keeps its count");
        assert!(file.exists());
    }

    #[test]
    fn every_column_is_carried_over_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let (parts, record, file) = former(folder.path());
        let carried = parts.carry_over((&record, &file), &[range(-5, 90)], "r2").unwrap();
        assert_eq!(carried[0].range, record.range);
        assert_eq!(read(&parts.staging.file(&carried[0].path)), read(&file));
    }

    #[test]
    fn a_range_without_rows_makes_no_part() {
        let folder = tempfile::tempdir().unwrap();
        let (parts, record, file) = former(folder.path());
        assert_eq!(parts.carry_over((&record, &file), &[range(1, 9), range(500, 600)], "r2").unwrap(), []);
    }

    #[test]
    fn a_part_of_a_coarser_folder_is_cut_where_the_new_folders_are() {
        let folder = tempfile::tempdir().unwrap();
        let coarse = Layout { partition: Partition::Month, snapshot: None };
        let parts = Parts { layout: coarse, ..parts(folder.path()) };
        let rows = [row(5, "1", 1), row(DAY_SECONDS + 5, "2", 2)];
        let record = parts.stage(&slice(range(0, 2 * DAY_SECONDS)), given(vec![page(1, &rows)])).unwrap().unwrap();
        let file = parts.staging.file(&record.path);
        let fine = Parts { layout: Layout::default(), ..parts.clone() };
        let carried = fine.carry_over((&record, &file), &[record.range], "r2").unwrap();
        assert!(carried[0].path.contains("/date=2026-01-01/") && carried[1].path.contains("/date=2026-01-02/"));
    }

    #[test]
    fn a_former_part_that_is_damaged_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (parts, record, file) = former(folder.path());
        std::fs::write(&file, b"PAR1 nothing PAR1").unwrap();
        let text = parts.carry_over((&record, &file), &[range(0, 60)], "r2").unwrap_err().to_string();
        assert!(text.starts_with("the former part data/query_region=US/date=2026-01-01/part-"), "{text}");
    }
}
