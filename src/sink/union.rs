//! A staged part takes in what other parts hold of its seconds and it does not: no row goes that nothing takes the place of.

use std::fs::File;
use std::path::Path;

use arrow::array::{Array as _, AsArray as _, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::TimestampMillisecondType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use parquet::errors::ParquetError;

use crate::api::contract::Region;
use crate::journal::kept::KeptFields;
use crate::journal::record::PartRecord;
use crate::sink::carry::{count_kept, inside, reader};
use crate::sink::columns::{CREATE_TIME, VIDEO_ID};
use crate::sink::former;
use crate::sink::layout::Slice;
use crate::sink::part::{PartError, PartFile, Parts};
use crate::sink::reading::{OWN_REGION, each_video, note_videos};
use crate::sink::staging::StagingError;
use crate::sink::videos::Videos;
use crate::units::TimeRange;

/// A part, and where it lies.
pub type Source<'a> = (&'a PartRecord, &'a Path);

/// Rows by the region that they name as their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// Whatever they name.
    Any,
    /// All but those that name another region than the asked one.
    NoOther,
}

/// Which rows are taken in.
struct Choice<'a> {
    seconds: &'a [TimeRange],
    rows: Naming,
    without: Videos,
}

impl Parts {
    /// Writes a staged part anew, with the rows that `former` parts hold of `seconds` within it, but for videos that are there already: the
    /// part's own count before those of each former part in turn. Its name stays. Blocks; memory is that of a few batches, and eight bytes
    /// for each row of the part in these seconds.
    ///
    /// # Errors
    /// Where a part cannot be read, a former one has other columns than its record says, or the disk fails.
    pub fn take_in(
        &self,
        own: PartRecord,
        former: &[Source<'_>],
        seconds: &[TimeRange],
    ) -> Result<PartRecord, PartError> {
        let seconds = TimeRange::merged(&seconds.iter().map(|range| range.intersection(own.range)).collect::<Vec<_>>());
        let mut choice = Choice { seconds: &seconds, rows: Naming::Any, without: Videos::default() };
        former.iter().try_fold(own, |own, former| self.take_in_one(own, *former, &mut choice))
    }

    /// What is staged of each slice of one reading, with the rows that parts `before` it hold of the slice's seconds and the reading does not:
    /// written anew under its name where there are any, and made of them alone where nothing is staged. A video that the reading shows in
    /// another slice has changed its second, and stands there alone. Blocks; memory is that of [`Parts::take_in`] of the largest slice, and as
    /// much for the rows that the reading lacks.
    ///
    /// # Errors
    /// As [`Parts::take_in`].
    pub fn unite(
        &self,
        reading: Vec<(Slice, Option<PartRecord>)>,
        before: &[Source<'_>],
        rows: Naming,
    ) -> Result<Vec<PartRecord>, PartError> {
        let (mut lacking, mut lacks) = (Videos::default(), Vec::new());
        for (slice, staged) in &reading {
            lacks.push(self.note_lacking((slice, staged.as_ref()), before, &mut lacking)?);
        }
        let mut moved = Videos::default();
        if lacks.contains(&true) {
            for staged in reading.iter().filter_map(|(_, staged)| staged.as_ref()) {
                each_video((staged, &self.staging.file(&staged.path)), &[staged.range], |video| {
                    if lacking.contains(video) {
                        moved.insert(video);
                    }
                })?;
            }
        }
        let mut united = Vec::new();
        for ((slice, staged), lacks) in reading.into_iter().zip(lacks) {
            let of_slice: &[Source<'_>] = if lacks { before } else { &[] };
            let mut choice = Choice { seconds: &[slice.range], rows, without: moved.clone() };
            let part = of_slice.iter().try_fold(staged, |staged, before| match staged {
                _ if !before.0.range.overlaps(slice.range) => Ok(staged),
                Some(own) => self.take_in_one(own, *before, &mut choice).map(Some),
                None => self.copy(*before, &slice, &choice),
            })?;
            // What was dropped as a duplicate when they were made counts on.
            let within = before.iter().filter(|(part, _)| lacks && slice.range.covers(part.range));
            let dropped: u64 = within.map(|(part, _)| part.duplicates).sum();
            united.extend(part.map(|part| PartRecord { duplicates: part.duplicates + dropped, ..part }));
        }
        Ok(united)
    }

    /// Notes the videos that parts hold of a slice's seconds and what is staged of it does not; whether there are any.
    fn note_lacking(
        &self,
        (slice, staged): (&Slice, Option<&PartRecord>),
        before: &[Source<'_>],
        lacking: &mut Videos,
    ) -> Result<bool, PartError> {
        let (mut staged_videos, mut lacks) = (Videos::default(), false);
        let concerned = before.iter().filter(|(part, _)| part.range.overlaps(slice.range));
        for (place, (part, file)) in concerned.enumerate() {
            if let Some(staged) = staged.filter(|_| place == 0) {
                note_videos(staged, &self.staging.file(&staged.path), &[staged.range], &mut staged_videos)?;
            }
            each_video((part, file), &[slice.range], |video| {
                if !staged_videos.contains(video) {
                    lacks = true;
                    lacking.insert(video);
                }
            })?;
        }
        Ok(lacks)
    }

    fn take_in_one(
        &self,
        own: PartRecord,
        former: Source<'_>,
        choice: &mut Choice<'_>,
    ) -> Result<PartRecord, PartError> {
        let staged = self.staging.file(&own.path);
        let aside = self.staging.place_for_copy();
        std::fs::rename(&staged, &aside).map_err(StagingError::of("renaming", &staged))?;
        note_videos(&own, &aside, choice.seconds, &mut choice.without)?;
        let slice = Slice { region: own.region.clone(), range: own.range, run: own.run.clone() };
        let mut others = Rows::open(former, &slice)?;
        others.choice = Some(choice);
        let mut part = PartFile::new(self, &slice)?;
        let mut extra_fields = KeptFields::default();
        let mut write = |batch: &RecordBatch| {
            count_kept(batch, &mut extra_fields);
            part.write(batch)
        };
        let mut rows = Rows::open((&own, &aside), &slice)?;
        while let Some(batch) = rows.next()? {
            let Some(last) = batch.num_rows().checked_sub(1).and_then(|last| key(&batch, last)) else { continue };
            let mut before = Vec::new();
            while let Some((rows, is_all)) = others.up_to(&last)? {
                before.push(rows);
                if !is_all {
                    break;
                }
            }
            write(&in_order(&batch, &before).map_err(|source| source_error(&own, source))?)?;
        }
        while let Some(batch) = others.next()? {
            write(&batch)?;
        }
        let written = part.finish()?;
        std::fs::remove_file(&aside).map_err(StagingError::of("removing", &aside))?;
        let (duplicates, kept_in_extra) = (own.duplicates, extra_fields.total());
        Ok(written.map_or(own, |record| PartRecord { duplicates, kept_in_extra, extra_fields, ..record }))
    }

    /// The chosen rows of one part as a staged part of a slice; nothing where there are none.
    fn copy(&self, source: Source<'_>, slice: &Slice, choice: &Choice<'_>) -> Result<Option<PartRecord>, PartError> {
        let mut rows = Rows::open(source, slice)?;
        rows.choice = Some(choice);
        let mut part = PartFile::new(self, slice)?;
        let mut extra_fields = KeptFields::default();
        while let Some(batch) = rows.next()? {
            count_kept(&batch, &mut extra_fields);
            part.write(&batch)?;
        }
        let kept_in_extra = extra_fields.total();
        Ok(part.finish()?.map(|record| PartRecord { kept_in_extra, extra_fields, ..record }))
    }
}

fn source_error(part: &PartRecord, source: impl Into<ParquetError>) -> PartError {
    PartError::Former { path: part.path.clone(), source: source.into() }
}

/// The rows of one part within a slice, in order.
struct Rows<'a> {
    part: &'a PartRecord,
    slice: &'a Slice,
    reader: ParquetRecordBatchReader,
    /// Which of them, where that is told.
    choice: Option<&'a Choice<'a>>,
    /// What has been read and not been taken.
    waiting: Option<RecordBatch>,
}

impl<'a> Rows<'a> {
    fn open((part, file): Source<'a>, slice: &'a Slice) -> Result<Self, PartError> {
        let opened = File::open(file).map_err(StagingError::of("opening the part", file))?;
        Ok(Self { part, slice, reader: reader(opened, part)?, choice: None, waiting: None })
    }

    /// The next batch with rows; none at the end.
    fn next(&mut self) -> Result<Option<RecordBatch>, PartError> {
        if let Some(waiting) = self.waiting.take() {
            return Ok(Some(waiting));
        }
        for batch in self.reader.by_ref() {
            let batch = batch.map_err(|source| source_error(self.part, source))?;
            let rows = inside(&batch, self.slice.range).map_err(|source| source_error(self.part, source))?;
            let rows =
                former::to_current(&rows, &self.slice.region).map_err(|source| source_error(self.part, source))?;
            let rows =
                wanted(&rows, self.choice, &self.slice.region).map_err(|source| source_error(self.part, source))?;
            if rows.num_rows() > 0 {
                return Ok(Some(rows));
            }
        }
        Ok(None)
    }

    /// The next rows up to this one, and whether they were all of their batch; none where there is none.
    fn up_to(&mut self, last: &Key) -> Result<Option<(RecordBatch, bool)>, PartError> {
        let Some(batch) = self.next()? else { return Ok(None) };
        let rows = batch.num_rows();
        let count = (0..rows).take_while(|place| key(&batch, *place).is_some_and(|key| key <= *last)).count();
        if count < rows {
            self.waiting = Some(batch.slice(count, rows - count));
        }
        Ok((count > 0).then(|| (batch.slice(0, count), count == rows)))
    }
}

/// By what rows are in order.
type Key = (i64, String);

fn key(batch: &RecordBatch, place: usize) -> Option<Key> {
    let moments = batch.column_by_name(CREATE_TIME)?.as_primitive_opt::<TimestampMillisecondType>()?;
    let videos = batch.column_by_name(VIDEO_ID)?.as_string_opt::<i32>()?;
    (place < batch.num_rows()).then(|| (moments.value(place), videos.value(place).to_owned()))
}

/// The rows of a batch that are taken in.
fn wanted(batch: &RecordBatch, choice: Option<&Choice<'_>>, asked: &Region) -> Result<RecordBatch, ParquetError> {
    let Some(Choice { seconds, rows, without }) = choice else { return Ok(batch.clone()) };
    let is_within = |milliseconds: i64| {
        let second = milliseconds.div_euclid(1_000);
        seconds.iter().any(|range| range.start.get() <= second && second < range.end.get())
    };
    let regions = batch.column_by_name(OWN_REGION).and_then(|column| column.as_string_opt::<i32>());
    let names_another = |place: usize| {
        let named = regions.filter(|regions| regions.is_valid(place)).map(|regions| regions.value(place));
        named.is_some_and(|named| !named.eq_ignore_ascii_case(asked.as_str()))
    };
    let is_wanted = |place: usize| {
        key(batch, place).is_some_and(|(moment, video)| is_within(moment) && !without.contains(&video))
            && (*rows == Naming::Any || !names_another(place))
    };
    let wanted: BooleanArray = (0..batch.num_rows()).map(|place| Some(is_wanted(place))).collect();
    Ok(filter_record_batch(batch, &wanted)?)
}

/// The rows of a batch and of others that come before its last row, in the order of a part.
fn in_order(batch: &RecordBatch, others: &[RecordBatch]) -> Result<RecordBatch, ParquetError> {
    if others.is_empty() {
        return Ok(batch.clone());
    }
    let others = concat_batches(&batch.schema(), others)?;
    // Stretches of the one between rows of the other; sorting kernels would make the program larger by megabytes.
    let (mut pieces, mut from, mut taken) = (Vec::new(), 0, 0);
    for place in 0..batch.num_rows() {
        let next = key(batch, place);
        let before = (taken..others.num_rows()).take_while(|other| key(&others, *other) < next).count();
        if before > 0 {
            pieces.extend([batch.slice(from, place - from), others.slice(taken, before)]);
            (from, taken) = (place, taken + before);
        }
    }
    let rest = [batch.slice(from, batch.num_rows() - from), others.slice(taken, others.num_rows() - taken)];
    pieces.extend(rest);
    Ok(concat_batches(&batch.schema(), &pieces)?)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::sink::testing::{given, page, parts, range, row, slice, triples};

    /// A part of these seconds, each with a row whose `video_id` is the second, and where it lies.
    fn staged(parts: &Parts, run: &str, seconds: &[i64]) -> (PartRecord, PathBuf) {
        let rows: Vec<String> = seconds.iter().map(|second| row(*second, &second.to_string(), 1)).collect();
        let slice = Slice { run: run.to_owned(), ..slice(range(0, 600)) };
        let record = parts.stage(&slice, given(vec![page(1, &rows)])).unwrap().unwrap();
        let file = parts.staging.file(&record.path);
        (record, file)
    }

    fn seconds_of(file: &Path) -> Vec<i64> {
        triples(file).into_iter().map(|(second, ..)| second).collect()
    }

    #[test]
    fn what_did_not_come_of_seconds_that_were_read_in_part_is_taken_in_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let parts = parts(folder.path());
        let (old, old_file) = staged(&parts, "r0", &[5, 15, 25, 35, 45, 55, 65, 500]);
        let (older, older_file) = staged(&parts, "r1", &[26, 45, 501]);
        let (own, file) = staged(&parts, "r2", &[4, 15, 24, 46, 70]);
        let former = [(&old, old_file.as_path()), (&older, older_file.as_path())];
        let path = own.path.clone();
        let record = parts.take_in(own, &former, &[range(10, 50), range(60, 600)]).unwrap();
        assert_eq!(seconds_of(&file), [4, 15, 24, 25, 26, 35, 45, 46, 65, 70, 500, 501]);
        assert_eq!((record.rows.get(), &record.path, record.run.as_str()), (12, &path, "r2"));
        assert_eq!(seconds_of(&old_file).len(), 8, "former parts stay as they are");
        assert!(
            std::fs::read_dir(folder.path().join(crate::sink::staging::FOLDER)).is_ok_and(|left| left.count() == 3)
        );
    }

    #[test]
    fn more_rows_than_one_batch_stay_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let parts = parts(folder.path());
        let even: Vec<i64> = (0..4_000).map(|place| place * 2).collect();
        let third: Vec<i64> = (0..2_700).map(|place| place * 3).collect();
        let wide = |run: &str, seconds: &[i64]| {
            let rows: Vec<String> = seconds.iter().map(|second| row(*second, &second.to_string(), 1)).collect();
            let slice = Slice { run: run.to_owned(), ..slice(range(0, 10_000)) };
            parts.stage(&slice, given(vec![page(1, &rows)])).unwrap().unwrap()
        };
        let (old, own) = (wide("r0", &third), wide("r2", &even));
        let (old_file, file) = (parts.staging.file(&old.path), parts.staging.file(&own.path));
        let record = parts.take_in(own, &[(&old, &old_file)], &[range(0, 10_000)]).unwrap();
        let both: std::collections::BTreeSet<i64> = even.into_iter().chain(third).collect();
        assert_eq!(seconds_of(&file), both.iter().copied().collect::<Vec<_>>());
        assert_eq!(record.rows.get() as usize, both.len());
    }
}
