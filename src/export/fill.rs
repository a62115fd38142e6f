//! A reopened range, once it is read again: published whole, in place of whatever the run had published of it.
//!
//! The order is the promise: everything staged and synced, prepared in the journal, revealed, listed in the manifest; then one
//! transaction publishes the new parts, gives the former ones up and says that the range is filled; then former files are removed and
//! pages released. Before that transaction the next start does all of it again, since the pages are there; after it nothing is
//! left to do but to remove. Where former runs' parts are to be replaced, the parts wait for the run's end, as all such do.

use crate::api::contract::Region;
use crate::journal::JournalError;
use crate::journal::record::{Change, PartRecord};
use crate::plan::event::PlanEvent;
use crate::plan::reads::NotRead;
use crate::sink::carry::rows_within;
use crate::sink::layout::Slice;
use crate::units::TimeRange;

use super::ExportError;
use super::publisher::{Published, Publisher};

/// A reopened range that is read again, as it is to be published.
#[derive(Debug)]
pub(super) struct Fill {
    pub(super) region: Region,
    pub(super) range: TimeRange,
    /// The range, cut into parts; none of them holds a gap, or what is unproven, and something else.
    pub(super) slices: Vec<TimeRange>,
    /// What of the range could not be read this time either, or was left.
    pub(super) not_read: NotRead,
    /// What of the range was read this time, and may lack rows; apart from what was not read.
    pub(super) unproven: Vec<TimeRange>,
}

impl Publisher {
    /// Publishes a reopened range whole, in place of whatever this run had published of it. Cancelling it is like a crash.
    pub(super) async fn fill(&self, fill: Fill) -> Result<Published, ExportError> {
        let before = self.own_parts_in(&fill.region, fill.range)?;
        let is_new = self.is_new(&fill.region, fill.range).await?;
        let is_whole = |range: &&TimeRange| is_new || !fill.not_read.is_left(**range);
        let mut parts = Vec::new();
        for range in fill.slices.iter().filter(is_whole) {
            let slice = Slice { region: fill.region.clone(), range: *range, run: self.run.clone() };
            if let Some(staged) = self.stage(&slice).await? {
                let known = [self.former_parts(&fill.region)?, before.clone()].concat();
                parts.push(self.take_in(staged, known, &fill.not_read.in_part).await?);
            }
        }
        let mut kept = Vec::new();
        for doubtful in fill.not_read.all.iter().chain(&fill.unproven) {
            self.keep_the_richer(doubtful.intersection(fill.range), &before, &mut parts, &mut kept).await?;
        }
        for wider in before.iter().filter(|part| !fill.range.covers(part.range)) {
            parts.extend(self.carry(wider, wider.range.without(&[fill.range])).await?);
        }
        let event = PlanEvent::RangeFilled { region: fill.region.clone(), range: fill.range };
        let stays = |path: &String| kept.contains(path) || parts.iter().any(|part| part.path == *path);
        let superseded: Vec<String> = before.into_iter().map(|part| part.path).filter(|path| !stays(path)).collect();
        let published = self.show(&fill, &parts, &superseded).await?;
        let events = vec![super::event_json(&event)?];
        let change = Change { superseded: superseded.clone(), published, events, ..Change::default() };
        self.journal.commit_change(change).await?;
        self.output.remove(&superseded).await?;
        self.journal.release_bodies(&fill.region, fill.range.end).await?;
        Ok(Published { event, parts })
    }

    /// Shows readers the filled range, where nothing of former runs stands there, and gives the paths of what it has shown; else the
    /// parts wait for the run's end.
    async fn show(&self, fill: &Fill, parts: &[PartRecord], superseded: &[String]) -> Result<Vec<String>, ExportError> {
        if !self.is_new(&fill.region, fill.range).await? {
            for part in parts {
                self.keep_elsewhere(part).await?;
                self.journal.hold_part_again(part.clone()).await?;
            }
            return Ok(Vec::new());
        }
        for part in parts {
            self.journal.replace_part(part.clone()).await?;
            self.journal.shipped().await?;
            self.output.reveal(part).await?;
        }
        self.commit_new(parts, (&fill.region, &fill.range.without(&fill.not_read.all)), superseded).await?;
        Ok(parts.iter().map(|part| part.path.clone()).collect())
    }

    /// Rows that were delivered are not given up for fewer: where a gap failed again, or what was unproven is so again, what stood
    /// there stays.
    async fn keep_the_richer(
        &self,
        doubtful: TimeRange,
        before: &[PartRecord],
        parts: &mut Vec<PartRecord>,
        kept: &mut Vec<String>,
    ) -> Result<(), ExportError> {
        let inside: Vec<&PartRecord> = before.iter().filter(|part| doubtful.covers(part.range)).collect();
        // After a crash in mid-fill new parts may stand beside those whose place they take.
        let beside = doubtful.without(&inside.iter().map(|part| part.range).collect::<Vec<_>>());
        let is_wider = |part: &&PartRecord| part.range.overlaps(doubtful) && !doubtful.covers(part.range);
        let mut had: u64 = inside.iter().map(|part| part.rows.get()).sum();
        for wider in before.iter().filter(is_wider) {
            had += self.rows_in(wider, &beside).await?;
        }
        let has: u64 = parts.iter().filter(|part| doubtful.covers(part.range)).map(|part| part.rows.get()).sum();
        if has >= had {
            return Ok(());
        }
        parts.retain(|part| !doubtful.covers(part.range));
        kept.extend(inside.iter().map(|part| part.path.clone()));
        for wider in before.iter().filter(is_wider) {
            parts.extend(self.carry(wider, beside.clone()).await?);
        }
        Ok(())
    }

    /// How many rows of one of this run's parts lie in these seconds.
    async fn rows_in(&self, part: &PartRecord, ranges: &[TimeRange]) -> Result<u64, ExportError> {
        if !ranges.iter().any(|range| range.overlaps(part.range)) {
            return Ok(0);
        }
        let (part, ranges) = (part.clone(), ranges.to_vec());
        let file = self.output.local(&part).await?;
        Ok(self.stager.run(move || rows_within((&part, &file), &ranges)).await??)
    }

    /// Parts of this run that hold some of a range.
    fn own_parts_in(&self, region: &Region, range: TimeRange) -> Result<Vec<PartRecord>, JournalError> {
        let own = self.own_parts()?.into_iter().filter(|part| part.region == *region && !part.carried);
        Ok(own.filter(|part| part.range.overlaps(range)).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tempfile::TempDir;

    use super::super::commits::Commits;
    use super::super::publisher::Replaces;
    use super::super::stager::Stager;
    use super::*;
    use crate::api::envelope::envelope;
    use crate::journal::record::{NewPage, NewRun, PartState, RangeEnds, Replayed};
    use crate::journal::{Journal, Limits};
    use crate::plan::fact::{PageAddress, PageFact, Purpose, RowKey, VideoKey, WindowId};
    use crate::plan::reads::Reads;
    use crate::sink::account::Account;
    use crate::sink::columns::Packaging;
    use crate::sink::layout::Layout;
    use crate::sink::part::Parts;
    use crate::sink::publish::Output;
    use crate::sink::testing::{identity, manifest};
    use crate::units::{EpochSeconds, PageNumber};

    /// 2026-01-01T00:00:00Z.
    const NEW_YEAR: i64 = 1_767_225_600;

    fn us() -> Region {
        "US".parse().unwrap()
    }

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange::new(EpochSeconds::new(NEW_YEAR + start), EpochSeconds::new(NEW_YEAR + end))
    }

    /// A run of ten minutes, with its journal and output.
    struct Scene {
        folder: TempDir,
        publisher: Publisher,
        pages: u32,
    }

    impl Scene {
        async fn begin() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let journal = Journal::open(&folder.path().join("state")).unwrap();
            let run = NewRun {
                id: "r1".to_owned(),
                range: range(0, 600),
                reads: vec![Reads::whole(us(), range(0, 600))],
                ends: RangeEnds::Absolute,
                began_at: EpochSeconds::new(NEW_YEAR + 900),
                output: "out".to_owned(),
                partition: "day".to_owned(),
            };
            journal.begin_run(run).await.unwrap();
            let (output, _) = Output::open(&folder.path().join("out"), &identity(), &[]).await.unwrap();
            let layout = Layout::default();
            let output = Arc::new(output);
            let mut running = manifest(range(0, 0), vec![]);
            running.account = Account::default();
            let publisher = Publisher {
                replica: None,
                parts: Parts::new(output.staging(), layout, Packaging::default()),
                commits: Arc::new(Commits::new(&journal, Arc::clone(&output), running)),
                journal,
                output,
                stager: Stager::start().unwrap(),
                layout,
                run: "r1".to_owned(),
                began_at: EpochSeconds::new(NEW_YEAR + 900),
                replaces: Replaces::WhatItCovers,
            };
            Self { folder, publisher, pages: 0 }
        }

        /// A durable page of rows at these seconds; ids tell readings apart.
        async fn buy(&mut self, seconds: &[i64]) {
            self.pages += 1;
            let purpose = Purpose::Walk { window: WindowId(0), stretch: 0 };
            let key =
                |second: &i64| RowKey { second: EpochSeconds::new(NEW_YEAR + second), video: VideoKey(*second as u64) };
            let row = |second: &i64| format!(r#"{{"create_time":{},"video_id":"{second}"}}"#, NEW_YEAR + second);
            let rows: Vec<String> = seconds.iter().map(row).collect();
            let page = NewPage {
                fact: PageFact {
                    address: PageAddress { region: us(), purpose, page: PageNumber::new(self.pages).unwrap() },
                    fetched_at: EpochSeconds::new(NEW_YEAR + 900),
                    slots: seconds.len() as u32,
                    rows: seconds.iter().map(key).collect(),
                    check: Default::default(),
                },
                fetched_at_ms: 0,
                request_id: None,
                body: envelope(&format!(r#"{{"code":0,"data":[{}]}}"#, rows.join(","))).unwrap().packed.encode_all(),
                delivers: !seconds.is_empty(),
                rejected: vec![],
                position: EpochSeconds::new(NEW_YEAR),
            };
            let ledger = self.publisher.journal.ledger(Limits { max_credits: None, block: 1 }).unwrap();
            self.publisher.journal.commit_page(page, ledger.admit().await.unwrap()).await.unwrap();
        }

        async fn fill(&self, within: TimeRange, slices: &[TimeRange], gaps: &[TimeRange]) -> Published {
            let not_read = NotRead { all: gaps.to_vec(), left: vec![], in_part: gaps.to_vec() };
            let fill = Fill { region: us(), range: within, slices: slices.to_vec(), not_read, unproven: vec![] };
            self.publisher.fill(fill).await.unwrap()
        }

        async fn fill_unproven(&self, within: TimeRange, slices: &[TimeRange], unproven: &[TimeRange]) -> Published {
            let (slices, unproven) = (slices.to_vec(), unproven.to_vec());
            let fill = Fill { region: us(), range: within, slices, not_read: NotRead::default(), unproven };
            self.publisher.fill(fill).await.unwrap()
        }

        /// Range and rows of every live part, from the files themselves; and no other Parquet is there.
        fn live(&self) -> Vec<(TimeRange, u64)> {
            let parts = self.publisher.journal.parts().unwrap().into_iter();
            let live: Vec<PartRecord> =
                parts.filter(|(_, state)| *state == PartState::Published).map(|(part, _)| part).collect();
            let folder = self.folder.path().join("out/data/query_region=US/date=2026-01-01");
            let mut files: Vec<_> =
                std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
            files.sort();
            assert_eq!(files, live.iter().map(|part| self.publisher.output.part_file(part)).collect::<Vec<_>>());
            for part in &live {
                let found = std::fs::metadata(self.publisher.output.part_file(part)).unwrap().len();
                assert_eq!(found, part.bytes.get(), "{}", part.path);
            }
            live.into_iter().map(|part| (part.range, part.rows.get())).collect()
        }

        fn filled(&self) -> usize {
            let events = self.publisher.journal.replay().unwrap().into_iter();
            events
                .filter(|entry| matches!(entry, Replayed::Event { json, .. } if json.contains("range_filled")))
                .count()
        }
    }

    #[tokio::test]
    async fn a_part_of_the_same_range_takes_the_place_of_the_former_one() {
        let mut scene = Scene::begin().await;
        scene.buy(&[10, 11]).await;
        scene.fill(range(10, 20), &[range(10, 20)], &[]).await;
        assert_eq!(scene.live(), [(range(10, 20), 2)]);
        scene.buy(&[10, 12, 13]).await;
        let published = scene.fill(range(10, 20), &[range(10, 20)], &[]).await;
        assert_eq!((published.parts.len(), scene.live()), (1, vec![(range(10, 20), 3)]));
        assert_eq!((scene.filled(), scene.publisher.journal.held_pages()), (2, 0));
        // Nothing is there any more, and it was read whole.
        scene.fill(range(10, 20), &[range(10, 20)], &[]).await;
        assert_eq!(scene.live(), []);
    }

    #[tokio::test]
    async fn a_gap_that_fails_again_keeps_what_was_delivered_of_it() {
        let mut scene = Scene::begin().await;
        scene.buy(&[30, 31, 32]).await;
        scene.fill(range(30, 40), &[range(30, 40)], &[range(30, 40)]).await;
        for reading in [&[][..], &[33, 34]] {
            scene.buy(reading).await;
            scene.fill(range(30, 40), &[range(30, 40)], &[range(30, 40)]).await;
            assert_eq!(scene.live(), [(range(30, 40), 3)], "{reading:?} are fewer");
        }
        scene.buy(&[30, 31, 32, 33]).await;
        scene.fill(range(30, 40), &[range(30, 40)], &[range(30, 40)]).await;
        assert_eq!(scene.live(), [(range(30, 40), 4)]);
    }

    /// The trouble came back while a doubt was read again: three paid rows were given up for one.
    #[tokio::test]
    async fn what_is_unproven_again_keeps_the_reading_with_more_rows() {
        let mut scene = Scene::begin().await;
        scene.buy(&[10, 30, 31, 32, 50]).await;
        scene.fill(range(0, 60), &[range(0, 60)], &[]).await;
        // Done twice, as after a crash before its transaction.
        for reading in [&[31][..], &[31]] {
            scene.buy(reading).await;
            scene.fill_unproven(range(30, 40), &[range(30, 40)], &[range(30, 40)]).await;
            assert_eq!(scene.live(), [(range(0, 30), 1), (range(30, 40), 3), (range(40, 60), 1)], "{reading:?}");
        }
        scene.buy(&[30, 31, 32, 33]).await;
        scene.fill_unproven(range(30, 40), &[range(30, 40)], &[range(30, 40)]).await;
        assert_eq!(scene.live(), [(range(0, 30), 1), (range(30, 40), 4), (range(40, 60), 1)]);
        scene.buy(&[31]).await;
        scene.fill(range(30, 40), &[range(30, 40)], &[]).await;
        assert_eq!(scene.live()[1], (range(30, 40), 1), "what is proven is the truth, with however few rows");
    }

    #[tokio::test]
    async fn only_what_is_unproven_again_is_kept_of_a_wider_part() {
        let mut scene = Scene::begin().await;
        scene.buy(&[10, 30, 31, 36, 50]).await;
        scene.fill(range(0, 60), &[range(0, 60)], &[]).await;
        scene.buy(&[30, 31, 32, 38]).await;
        scene.fill_unproven(range(30, 40), &[range(30, 35), range(35, 36), range(36, 40)], &[range(35, 36)]).await;
        let live = [(range(0, 30), 1), (range(30, 35), 3), (range(36, 40), 1), (range(40, 60), 1)];
        assert_eq!(scene.live(), live, "of the doubt there was nothing before");
    }

    #[tokio::test]
    async fn a_gap_that_became_smaller_keeps_only_its_own_rows() {
        let mut scene = Scene::begin().await;
        scene.buy(&[30, 34, 36]).await;
        scene.fill(range(30, 40), &[range(30, 40)], &[range(30, 40)]).await;
        let slices = [range(30, 34), range(34, 35), range(35, 40)];
        // Done twice, as after a crash before its transaction.
        for pages in [&[30, 31, 36, 37, 38][..], &[30, 31, 36, 37, 38]] {
            scene.buy(pages).await;
            scene.fill(range(30, 40), &slices, &[range(34, 35)]).await;
            assert_eq!(scene.live(), [(range(30, 34), 2), (range(34, 35), 1), (range(35, 40), 3)]);
        }
    }

    /// Neighbouring gaps are one: of a part that reaches as far, what lies beyond the range was carried over with the gap and once more.
    #[tokio::test]
    async fn a_gap_that_reaches_beyond_the_range_is_kept_within_it() {
        let mut scene = Scene::begin().await;
        scene.buy(&[10, 22, 24, 33, 50]).await;
        scene.fill(range(0, 60), &[range(0, 60)], &[]).await;
        scene.buy(&[22]).await;
        scene.fill(range(20, 30), &[range(20, 30)], &[range(20, 40)]).await;
        assert_eq!(scene.live(), [(range(0, 20), 1), (range(20, 30), 2), (range(30, 60), 2)]);
    }

    #[tokio::test]
    async fn a_part_that_reaches_beyond_the_range_keeps_what_lies_there() {
        let mut scene = Scene::begin().await;
        scene.buy(&[10, 12, 14, 19, 20]).await;
        scene.fill(range(10, 30), &[range(10, 30)], &[]).await;
        // Done twice, as after a crash before its transaction.
        for pages in [&[13, 14, 15][..], &[13, 14, 15]] {
            scene.buy(pages).await;
            scene.fill(range(13, 18), &[range(13, 18)], &[]).await;
            assert_eq!(scene.live(), [(range(10, 13), 2), (range(13, 18), 3), (range(18, 30), 2)]);
        }
    }

    /// What was kept of a part beside a fill was taken for another run's: the next fill left it standing, with its rows twice.
    #[tokio::test]
    async fn what_one_fill_kept_beside_it_the_next_one_replaces() {
        let mut scene = Scene::begin().await;
        scene.buy(&[10, 12, 14, 19, 20]).await;
        scene.fill(range(10, 30), &[range(10, 30)], &[]).await;
        scene.buy(&[13, 14, 15]).await;
        scene.fill(range(13, 18), &[range(13, 18)], &[]).await;
        scene.buy(&[12, 13, 14, 15, 16, 19]).await;
        scene.fill(range(11, 20), &[range(11, 20)], &[]).await;
        assert_eq!(scene.live(), [(range(10, 11), 1), (range(11, 20), 6), (range(20, 30), 1)]);
    }

    #[tokio::test]
    async fn a_crash_after_the_parts_were_revealed_is_made_good_by_doing_it_again() {
        let mut scene = Scene::begin().await;
        scene.buy(&[10, 15]).await;
        scene.fill(range(10, 20), &[range(10, 20)], &[]).await;
        scene.buy(&[10, 11, 15, 16]).await;
        // What the start after the crash finds: prepared, revealed, and by its recovery published.
        let slice = Slice { region: us(), range: range(10, 15), run: "r1".to_owned() };
        let part = scene.publisher.stage(&slice).await.unwrap().unwrap();
        scene.publisher.journal.replace_part(part.clone()).await.unwrap();
        scene.publisher.output.reveal(&part).await.unwrap();
        scene.publisher.journal.publish_part(&part.path).await.unwrap();
        assert_eq!(scene.live().len(), 2, "both stand there for a while");
        scene.fill(range(10, 20), &[range(10, 15), range(15, 20)], &[]).await;
        assert_eq!(scene.live(), [(range(10, 15), 2), (range(15, 20), 2)]);
    }
}
