//! Published parts written anew: the same rows in the same order, cut, laid out and packed in another way.
//!
//! Blocking. Memory is that of one batch of rows and of one row group. A part is read only where its bytes are those that were
//! recorded, since it goes once it is written anew.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::TimestampMillisecondType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use parquet::errors::ParquetError;

use crate::journal::kept::KeptFields;
use crate::journal::record::PartRecord;
use crate::sink::carry::{builder, count_kept};
use crate::sink::columns::{self, CREATE_TIME};
use crate::sink::former;
use crate::sink::layout::{Partition, Slice};
use crate::sink::part::{BATCH_ROWS, PartError, PartFile, Parts};
use crate::sink::staging::{StagingError, sha256_of};
use crate::units::{EpochSeconds, RowCount, TimeRange};

const MILLISECONDS: i64 = 1_000;

/// A published part, and where it lies.
pub type Source = (PartRecord, PathBuf);

impl Parts {
    /// Writes the rows of `sources`, which follow each other in time and hold `range`, into new staged parts of `run`: cut where the layout's
    /// folders are and where a part has `most_rows`, never within a second. A piece without rows makes no part.
    ///
    /// # Errors
    /// Where a source is not what was recorded or cannot be read, or the disk fails.
    pub fn rewrite(
        &self,
        sources: &[Source],
        range: TimeRange,
        most_rows: RowCount,
        run: &str,
    ) -> Result<Vec<PartRecord>, PartError> {
        for (part, file) in sources {
            let opened = File::open(file).map_err(StagingError::of("opening the part", file))?;
            let found = sha256_of(opened).map_err(StagingError::of("reading", file))?;
            if found != part.sha256 {
                let found = "it has another checksum than is recorded".to_owned();
                return Err(PartError::Damaged { path: part.path.clone(), found });
            }
        }
        let Some((first, _)) = sources.first() else { return Ok(Vec::new()) };
        let slice = |range| Slice { region: first.region.clone(), range, run: run.to_owned() };
        let slices: Vec<Slice> = self.pieces(sources, range, most_rows)?.into_iter().map(slice).collect();
        let mut rewriter = Rewriter { parts: self, slices: slices.iter(), open: None, written: Vec::new() };
        for (part, file) in sources {
            rewriter.take_all(part, file)?;
        }
        let mut written = rewriter.finish()?;
        if let Some(first) = written.first_mut() {
            first.duplicates = sources.iter().map(|(part, _)| part.duplicates).sum();
        }
        Ok(written)
    }

    /// Where the rows are cut. Where they may fill more than one part, their times are read first.
    fn pieces(&self, sources: &[Source], range: TimeRange, most: RowCount) -> Result<Vec<TimeRange>, PartError> {
        let rows = sources.iter().fold(RowCount::ZERO, |sum, (part, _)| sum.plus(part.rows));
        let mut cutter = Cutter::new(self.layout.partition, range, most);
        if rows > most {
            for (part, file) in sources {
                for batch in times(part, file)? {
                    let batch = batch.map_err(|source| unreadable(part)(source.into()))?;
                    let moments = moments(&batch).map_err(unreadable(part))?;
                    moments.iter().for_each(|moment| {
                        cutter.row(EpochSeconds::new(moment.div_euclid(MILLISECONDS)));
                    });
                }
            }
        }
        Ok(cutter.pieces())
    }
}

fn unreadable(part: &PartRecord) -> impl FnOnce(ParquetError) -> PartError {
    let path = part.path.clone();
    move |source| PartError::Former { path, source }
}

fn opened(file: &Path) -> Result<File, PartError> {
    Ok(File::open(file).map_err(StagingError::of("opening the part", file))?)
}

fn times(part: &PartRecord, file: &Path) -> Result<ParquetRecordBatchReader, PartError> {
    let builder = builder(opened(file)?, part)?;
    let wanted = ProjectionMask::columns(builder.parquet_schema(), [CREATE_TIME]);
    builder.with_projection(wanted).with_batch_size(BATCH_ROWS).build().map_err(unreadable(part))
}

/// The times of a batch's rows, milliseconds since the epoch.
fn moments(batch: &RecordBatch) -> Result<&[i64], ParquetError> {
    let found =
        batch.column_by_name(CREATE_TIME).and_then(|column| column.as_primitive_opt::<TimestampMillisecondType>());
    match found {
        Some(moments) if moments.null_count() == 0 => Ok(moments.values()),
        _ => Err(ParquetError::General(format!("a row has no time in `{CREATE_TIME}`"))),
    }
}

/// Cuts rows that come in the order of time into parts. Pure.
#[derive(Debug)]
struct Cutter {
    partition: Partition,
    range: TimeRange,
    most: RowCount,
    /// The last row's second.
    second: Option<EpochSeconds>,
    /// Where the folder of that row ends.
    folder_end: EpochSeconds,
    /// Rows of the part that is being filled.
    rows: u64,
    cuts: Vec<EpochSeconds>,
}

impl Cutter {
    fn new(partition: Partition, range: TimeRange, most: RowCount) -> Self {
        let folder_end = partition.partition_end(range.start);
        Self { partition, range, most, second: None, folder_end, rows: 0, cuts: Vec::new() }
    }

    fn row(&mut self, second: EpochSeconds) {
        if second >= self.folder_end {
            self.folder_end = self.partition.partition_end(second);
            self.rows = 0;
        }
        if self.rows >= self.most.get() && self.second != Some(second) {
            self.cuts.push(second);
            self.rows = 0;
        }
        self.second = Some(second);
        self.rows += 1;
    }

    fn pieces(self) -> Vec<TimeRange> {
        let mut pieces = Vec::new();
        for folder in self.partition.cut(self.range) {
            let within = self.cuts.iter().copied().filter(|cut| folder.start < *cut && *cut < folder.end);
            let mut start = folder.start;
            for end in within.chain([folder.end]) {
                pieces.push(TimeRange::new(start, end));
                start = end;
            }
        }
        pieces
    }
}

/// Rows on their way into the pieces, one after the other.
struct Rewriter<'a> {
    parts: &'a Parts,
    slices: std::slice::Iter<'a, Slice>,
    open: Option<Piece<'a>>,
    written: Vec<PartRecord>,
}

/// The part that is being written.
struct Piece<'a> {
    file: PartFile<'a>,
    end: i64,
    /// Rows that wait, so that the last ones are known to be.
    waiting: RecordBatch,
    extra_fields: KeptFields,
}

impl Rewriter<'_> {
    fn take_all(&mut self, part: &PartRecord, file: &Path) -> Result<(), PartError> {
        let reader = builder(opened(file)?, part)?.with_batch_size(BATCH_ROWS).build();
        let mut rows = 0;
        for batch in reader.map_err(unreadable(part))? {
            let batch = batch.map_err(|source| unreadable(part)(source.into()))?;
            let batch = former::to_current(&batch, &part.region).map_err(|source| unreadable(part)(source.into()))?;
            rows += batch.num_rows() as u64;
            self.take(part, batch)?;
        }
        if rows == part.rows.get() {
            return Ok(());
        }
        let found = format!("it holds {}, and {} are recorded", RowCount::new(rows), part.rows);
        Err(PartError::Damaged { path: part.path.clone(), found })
    }

    fn take(&mut self, part: &PartRecord, mut rest: RecordBatch) -> Result<(), PartError> {
        while rest.num_rows() > 0 {
            if self.open.is_none() {
                self.open_next(part)?;
            }
            let Some(piece) = &mut self.open else { continue };
            let end = piece.end;
            let inside = moments(&rest).map_err(unreadable(part))?.partition_point(|moment| *moment < end);
            piece.add(&rest.slice(0, inside))?;
            rest = rest.slice(inside, rest.num_rows() - inside);
            if rest.num_rows() > 0 {
                self.close()?;
            }
        }
        Ok(())
    }

    fn open_next(&mut self, part: &PartRecord) -> Result<(), PartError> {
        let Some(slice) = self.slices.next() else {
            let found = "it holds rows outside its range".to_owned();
            return Err(PartError::Damaged { path: part.path.clone(), found });
        };
        self.open = Some(Piece {
            file: PartFile::new(self.parts, slice)?,
            end: slice.range.end.get().saturating_mul(MILLISECONDS),
            waiting: RecordBatch::new_empty(columns::schema()),
            extra_fields: KeptFields::default(),
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), PartError> {
        if let Some(piece) = self.open.take() {
            self.written.extend(piece.finish()?);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<PartRecord>, PartError> {
        self.close()?;
        Ok(self.written)
    }
}

impl Piece<'_> {
    fn add(&mut self, rows: &RecordBatch) -> Result<(), PartError> {
        count_kept(rows, &mut self.extra_fields);
        if self.waiting.num_rows() + rows.num_rows() > BATCH_ROWS {
            self.file.write(&self.waiting)?;
            self.waiting = rows.clone();
            return Ok(());
        }
        let joined = concat_batches(&columns::schema(), [&self.waiting, rows]);
        self.waiting = joined.map_err(|source| PartError::Columns { path: CREATE_TIME.to_owned(), source })?;
        Ok(())
    }

    fn finish(mut self) -> Result<Option<PartRecord>, PartError> {
        self.file.write_last(&self.waiting)?;
        let (kept_in_extra, extra_fields) = (self.extra_fields.total(), self.extra_fields);
        Ok(self.file.finish()?.map(|part| PartRecord { kept_in_extra, extra_fields, carried: true, ..part }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::layout::Layout;
    use crate::sink::testing::{given, page, parts, range, read, row, slice, triples};
    use crate::units::DAY_SECONDS;

    /// Parts of these rows, one for each range of the day.
    fn published(folder: &Path, made: &[(TimeRange, &[i64])]) -> (Parts, Vec<Source>) {
        let parts = parts(folder);
        let sources = made.iter().enumerate().map(|(place, (range, seconds))| {
            let rows: Vec<String> = seconds.iter().map(|second| row(*second, &format!("{second}"), 1)).collect();
            let staged = parts.stage(&slice(*range), given(vec![page(1, &rows)])).unwrap();
            let (part, file) = (staged.unwrap(), folder.join(format!("{place}.parquet")));
            std::fs::rename(parts.staging.file(&part.path), &file).unwrap();
            (part, file)
        });
        let sources = sources.collect();
        (parts, sources)
    }

    fn seconds(parts: &Parts, part: &PartRecord) -> Vec<i64> {
        triples(&parts.staging.file(&part.path)).into_iter().map(|(second, ..)| second).collect()
    }

    #[test]
    fn parts_become_one_with_the_same_rows_and_the_other_way_round() {
        let folder = tempfile::tempdir().unwrap();
        let day = DAY_SECONDS;
        let made: [(TimeRange, &[i64]); 3] =
            [(range(0, 60), &[0, 5, 59]), (range(60, day), &[61]), (range(day, 2 * day), &[day, day + 7])];
        let (fine, sources) = published(folder.path(), &made);
        let coarse = Parts { layout: Layout { partition: Partition::Month, snapshot: None }, ..fine.clone() };
        let all = range(0, 2 * day);
        let month = coarse.rewrite(&sources, all, RowCount::new(100), "b1").unwrap();
        let [part] = month.as_slice() else { panic!("{month:?}") };
        assert_eq!((part.range, part.rows.get(), part.carried), (all, 6, true));
        assert!(part.path.contains("/month=2026-01/") && part.path.ends_with("-b1.parquet"), "{}", part.path);
        assert_eq!(seconds(&coarse, part), [0, 5, 59, 61, day, day + 7]);
        let file = coarse.staging.file(&part.path);
        let days = fine.rewrite(&[(part.clone(), file.clone())], all, RowCount::new(100), "b2").unwrap();
        assert_eq!(days.iter().map(|part| part.range).collect::<Vec<_>>(), [range(0, day), range(day, 2 * day)]);
        let read_all: Vec<_> = days.iter().map(|part| read(&fine.staging.file(&part.path))).collect();
        assert_eq!(concat_batches(&columns::schema(), &read_all).unwrap(), read(&file));
    }

    #[test]
    fn a_part_is_full_at_its_rows_and_no_second_is_cut_in_two() {
        let cut = |seconds: &[i64], most: u64| {
            let mut cutter = Cutter::new(Partition::Day, range(0, 2 * DAY_SECONDS), RowCount::new(most));
            seconds.iter().for_each(|second| cutter.row(range(*second, 0).start));
            cutter.pieces()
        };
        let day = DAY_SECONDS;
        assert_eq!(cut(&[1, 2, 2, 2, 3, 4, day, day + 1], 2), [range(0, 3), range(3, day), range(day, 2 * day),]);
        assert_eq!(cut(&[], 1), [range(0, day), range(day, 2 * day)]);
        let folder = tempfile::tempdir().unwrap();
        let (parts, sources) = published(folder.path(), &[(range(0, 60), &[1, 2, 3, 4, 5])]);
        let written = parts.rewrite(&sources, range(0, 60), RowCount::new(2), "b1").unwrap();
        let ranges: Vec<_> = written.iter().map(|part| (part.range, part.rows.get())).collect();
        assert_eq!(ranges, [(range(0, 3), 2), (range(3, 5), 2), (range(5, 60), 1)]);
    }

    #[test]
    fn a_part_of_schema_version_1_gets_the_columns_of_now() {
        let folder = tempfile::tempdir().unwrap();
        let (parts, mut sources) = published(folder.path(), &[(range(0, 60), &[1, 2])]);
        let current = read(&sources[0].1);
        let former = former::as_version_1(&current);
        let mut content = Vec::new();
        let mut writer = parquet::arrow::ArrowWriter::try_new(&mut content, former.schema(), None).unwrap();
        writer.write(&former).unwrap();
        writer.close().unwrap();
        std::fs::write(&sources[0].1, &content).unwrap();
        (sources[0].0.schema, sources[0].0.sha256) = (1, sha256_of(content.as_slice()).unwrap());
        let written = parts.rewrite(&sources, range(0, 60), RowCount::new(9), "b1").unwrap();
        assert_eq!((written.len(), written[0].schema), (1, columns::SCHEMA_VERSION));
        assert_eq!(read(&parts.staging.file(&written[0].path)), current);
    }

    #[test]
    fn a_part_that_is_not_what_was_recorded_is_not_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (parts, mut sources) = published(folder.path(), &[(range(0, 60), &[1, 2])]);
        sources[0].0.rows = RowCount::new(3);
        let refused = parts.rewrite(&sources, range(0, 60), RowCount::new(9), "b1").unwrap_err().to_string();
        assert!(refused.contains("holds 2 rows"), "{refused}");
        let mut bytes = std::fs::read(&sources[0].1).unwrap();
        bytes[10] ^= 1;
        std::fs::write(&sources[0].1, bytes).unwrap();
        let refused = parts.rewrite(&sources, range(0, 60), RowCount::new(9), "b1").unwrap_err().to_string();
        assert!(refused.contains("is damaged: it has another checksum"), "{refused}");
    }
}
