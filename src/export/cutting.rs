//! What of all that may be published is worth a part now, by what the journal holds, and how it is cut.

use crate::api::contract::{Region, SOURCE};
use crate::journal::{Journal, JournalError};
use crate::plan::reads::NotRead;
use crate::sink::layout::{Layout, Slice};
use crate::units::{EpochSeconds, RowCount, TimeRange};

use super::fill::Fill;
use super::machine::{Due, Urgency, next_edge};

/// What is published next.
#[derive(Debug)]
pub(super) enum Ready {
    /// A slice, the one that is likely to follow it, and what of its region is not read.
    Slice((Slice, Option<Slice>), NotRead),
    /// Time in which nothing was found, and what of its region is not read.
    Nothing(Slice, NotRead),
    /// A range that was read again.
    Fill(Fill),
}

/// What a settled range begins with.
enum Cut {
    Rows(Slice),
    Nothing(Slice),
}

impl Cut {
    fn with_rows(self) -> Option<Slice> {
        match self {
            Self::Rows(slice) => Some(slice),
            Self::Nothing(_) => None,
        }
    }
}

/// How slices are cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cutting {
    pub(super) layout: Layout,
    /// Rows at which a part is full.
    pub(super) part_rows: RowCount,
    /// Pages in the journal above which what is settled is published although its partition is not.
    pub(super) pressing_pages: u64,
}

impl Cutting {
    /// The first of what may be published that is worth it, cut.
    ///
    /// # Errors
    /// A journal that cannot be read.
    pub(super) fn first(&self, due: Vec<Due>, run: &str, journal: &Journal) -> Result<Option<Ready>, JournalError> {
        for due in due {
            let ready = match due {
                Due::Slice { range, urgency, .. } if !self.looks(range, journal.held_pages(), urgency) => None,
                Due::Slice { region, range, not_read, urgency } => {
                    let cut = |range, held_pages| self.slice((&region, run), range, (held_pages, urgency), journal);
                    match cut(range, journal.held_pages())? {
                        Some(Cut::Rows(slice)) => {
                            // What presses may press no more by then.
                            let next = cut(TimeRange::new(slice.range.end, range.end), 0)?.and_then(Cut::with_rows);
                            Some(Ready::Slice((slice, next), not_read))
                        }
                        Some(Cut::Nothing(slice)) => Some(Ready::Nothing(slice, not_read)),
                        None => None,
                    }
                }
                Due::Fill { region, range, not_read, unproven, rows_before } => {
                    let apart = [not_read.all.as_slice(), &unproven].concat();
                    let slices = self.slices(&region, range, &apart, journal)?;
                    Some(Ready::Fill(Fill { region, range, slices, not_read, unproven, rows_before }))
                }
            };
            if ready.is_some() {
                return Ok(ready);
            }
        }
        Ok(None)
    }

    fn slice(
        &self,
        (region, run): (&Region, &str),
        settled: TimeRange,
        (held_pages, urgency): (u64, Urgency),
        journal: &Journal,
    ) -> Result<Option<Cut>, JournalError> {
        let named = |range| Slice { region: region.clone(), range, run: run.to_owned() };
        if let Some(empty) = self.empty_stretch(region, settled, journal)? {
            return Ok(Some(Cut::Nothing(named(empty))));
        }
        let rows_in = |range| journal.count_rows(region, range);
        let next = self.next((settled.start, settled.end), held_pages, urgency, rows_in)?;
        Ok(next.map(|range| Cut::Rows(named(range))))
    }

    /// The folders' worth of time at the beginning of a settled range in which nothing was found, where it reaches into another
    /// folder: fifty years of nothing are one step, and not eighteen thousand.
    fn empty_stretch(
        &self,
        region: &Region,
        settled: TimeRange,
        journal: &Journal,
    ) -> Result<Option<TimeRange>, JournalError> {
        let partition = self.layout.partition;
        if partition.partition_end(settled.start) >= settled.end {
            return Ok(None);
        }
        let found = journal.first_held(region, settled)?;
        let empty = TimeRange::new(settled.start, partition.partition_start(found.unwrap_or(settled.end)));
        Ok(Some(empty).filter(|empty| !empty.is_empty()))
    }

    /// Whether it is worth counting the rows.
    fn looks(&self, range: TimeRange, held_pages: u64, urgency: Urgency) -> bool {
        let is_whole = range.end >= self.layout.partition.partition_end(range.start);
        is_whole || urgency != Urgency::Calm || held_pages >= self.pressing_pages
    }

    /// A reopened range, cut into parts.
    fn slices(
        &self,
        region: &Region,
        range: TimeRange,
        gaps: &[TimeRange],
        journal: &Journal,
    ) -> Result<Vec<TimeRange>, JournalError> {
        let rows_in = |range| journal.count_rows(region, range);
        let mut slices = Vec::new();
        let mut from = range.start;
        while from < range.end {
            let until = next_edge(gaps, from, range.end).unwrap_or(range.end);
            if let Some(empty) = self.empty_stretch(region, TimeRange::new(from, until), journal)? {
                from = empty.end;
                continue;
            }
            let next = self.next((from, until), journal.held_pages(), Urgency::Flush, rows_in)?;
            let slice = next.unwrap_or(TimeRange::new(from, until));
            slices.push(slice);
            from = slice.end;
        }
        Ok(slices)
    }

    /// The next slice's seconds in `[from, settled)`, or none yet. `rows_in` tells how many row slots a range holds.
    fn next(
        &self,
        (from, settled): (EpochSeconds, EpochSeconds),
        held_pages: u64,
        urgency: Urgency,
        rows_in: impl Fn(TimeRange) -> Result<RowCount, JournalError>,
    ) -> Result<Option<TimeRange>, JournalError> {
        let partition_end = self.layout.partition.partition_end(from);
        let whole = TimeRange::new(from, settled.min(partition_end));
        if whole.is_empty() {
            return Ok(None);
        }
        let rows = rows_in(whole)?;
        let is_full = rows.get() >= self.part_rows.get();
        // Under pressure a slice is worth its file only where it frees a good share of what presses.
        let relieves = rows.get() >= self.pressing_pages.saturating_mul(u64::from(SOURCE.page_size)) / 4;
        let is_pressed = held_pages >= self.pressing_pages && relieves;
        let is_due = settled >= partition_end || urgency == Urgency::Flush || is_pressed || is_full;
        if !is_due {
            return Ok(None);
        }
        // A part may be a quarter over its target rather than leave a crumb behind.
        if rows.get() <= self.part_rows.get().saturating_mul(5) / 4 {
            return Ok(Some(whole));
        }
        self.longest_fitting(whole, rows_in).map(Some)
    }

    fn longest_fitting(
        &self,
        whole: TimeRange,
        rows_in: impl Fn(TimeRange) -> Result<RowCount, JournalError>,
    ) -> Result<TimeRange, JournalError> {
        let (mut fits, mut exceeds) = (1, whole.seconds());
        while exceeds - fits > 1 {
            let middle = fits + (exceeds - fits) / 2;
            let rows = rows_in(TimeRange::new(whole.start, whole.start.shifted(middle)))?;
            if rows.get() <= self.part_rows.get() { fits = middle } else { exceeds = middle }
        }
        Ok(TimeRange::new(whole.start, whole.start.shifted(fits)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::fill::tests::{self as scene, Scene};
    use crate::sink::layout::Partition;
    use crate::units::DAY_SECONDS;

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(end))
    }

    fn next(settled: i64, held: u64, urgency: Urgency, rows_a_second: u64) -> Option<TimeRange> {
        let layout = Layout { partition: Partition::Day, snapshot: None };
        let cutting = Cutting { layout, part_rows: RowCount::new(1_000), pressing_pages: 300 };
        let rows = |range: TimeRange| Ok(RowCount::new(u64::try_from(range.seconds()).unwrap() * rows_a_second));
        cutting.next((EpochSeconds::new(0), EpochSeconds::new(settled)), held, urgency, rows).unwrap()
    }

    #[test]
    fn a_slice_waits_for_its_partition_a_full_part_pressure_or_the_end() {
        assert_eq!(next(500, 10, Urgency::Calm, 1), None);
        assert_eq!(next(500, 500, Urgency::Calm, 1), None);
        assert_eq!(next(500, 500, Urgency::Calm, 2), Some(range(0, 500)));
        assert_eq!(next(500, 10, Urgency::Flush, 1), Some(range(0, 500)));
        assert_eq!(next(1_100, 10, Urgency::Calm, 1), Some(range(0, 1_100)));
        assert_eq!(next(DAY_SECONDS + 9, 10, Urgency::Calm, 0), Some(range(0, DAY_SECONDS)));
        assert_eq!(next(0, 500, Urgency::Flush, 1), None);
    }

    #[tokio::test]
    async fn the_slice_that_is_said_to_follow_is_the_next_one() {
        let mut scene = Scene::begin().await;
        scene.buy(&[1, 2, 3, 4, 5, 6, 7, 8]).await;
        scene.buy(&[101, 102, 103, 104, 105, 106, 107]).await;
        scene.buy(&[201, 202]).await;
        let layout = Layout { partition: Partition::Day, snapshot: None };
        let cutting = Cutting { layout, part_rows: RowCount::new(8), pressing_pages: 300 };
        let mut due = scene::range(0, 600);
        let mut told = Vec::new();
        loop {
            let (region, urgency, not_read) = (scene::us(), Urgency::Flush, NotRead::default());
            let due_now = Due::Slice { region, range: due, not_read, urgency };
            let first = cutting.first(vec![due_now], "r1", &scene.publisher.journal).unwrap();
            let Some(Ready::Slice((slice, next), _)) = first else { panic!("{first:?}") };
            due = TimeRange::new(slice.range.end, due.end);
            told.push((slice, next.clone()));
            if next.is_none() {
                break;
            }
        }
        assert!(told.len() > 1 && due.is_empty(), "{told:?}");
        for ((_, next), (slice, _)) in told.iter().zip(told.iter().skip(1)) {
            assert_eq!(next.as_ref(), Some(slice));
        }
    }

    #[test]
    fn a_slice_with_too_many_rows_is_cut_at_the_target() {
        assert_eq!(next(5_000, 10, Urgency::Calm, 1), Some(range(0, 1_000)));
        assert_eq!(next(5_000, 10, Urgency::Calm, 5_000), Some(range(0, 1)));
    }
}
