use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::api::envelope::envelope;
use crate::export::ahead::Ahead;
use crate::export::commits::Commits;
use crate::export::publisher::Replaces;
use crate::export::stager::Stager;
use crate::journal::record::{NewPage, NewRun, PartState, RangeEnds, Replayed};
use crate::journal::{Journal, Limits};
use crate::plan::fact::{PageAddress, PageFact, Purpose, RowKey, VideoKey, WindowId};
use crate::plan::reads::Reads;
use crate::sink::account::Account;
use crate::sink::columns::Packaging;
use crate::sink::coverage::Reader;
use crate::sink::layout::Layout;
use crate::sink::manifest::Manifest;
use crate::sink::part::Parts;
use crate::sink::publish::Output;
use crate::sink::testing::{identity, manifest, triples};
use crate::units::{EpochSeconds, PageNumber};

/// 2026-01-01T00:00:00Z.
const NEW_YEAR: i64 = 1_767_225_600;

pub(in crate::export) fn us() -> Region {
    "US".parse().unwrap()
}

pub(in crate::export) fn range(start: i64, end: i64) -> TimeRange {
    TimeRange::new(EpochSeconds::new(NEW_YEAR + start), EpochSeconds::new(NEW_YEAR + end))
}

/// A range that is read again and cut into one part.
fn fill_of(range: TimeRange, not_read: NotRead) -> Fill {
    Fill { region: us(), range, slices: vec![range], not_read, unproven: vec![], rows_before: Naming::Any }
}

/// A run of ten minutes, with its journal and output.
pub(in crate::export) struct Scene {
    folder: TempDir,
    pub(in crate::export) publisher: Publisher,
    pages: u32,
}

impl Scene {
    pub(in crate::export) async fn begin() -> Self {
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
            ahead: Ahead::default(),
            layout,
            run: "r1".to_owned(),
            began_at: EpochSeconds::new(NEW_YEAR + 900),
            replaces: Replaces::WhatItCovers,
        };
        Self { folder, publisher, pages: 0 }
    }

    /// A durable page of rows at these seconds; ids tell readings apart.
    pub(in crate::export) async fn buy(&mut self, seconds: &[i64]) {
        let row = |second: &i64| format!(r#"{{"create_time":{},"video_id":"{second}"}}"#, NEW_YEAR + second);
        self.buy_rows(seconds, seconds.iter().map(row).collect()).await;
    }

    pub(in crate::export) async fn buy_rows(&mut self, seconds: &[i64], rows: Vec<String>) {
        self.pages += 1;
        let purpose = Purpose::Walk { window: WindowId(0), scan: 0 };
        let key =
            |second: &i64| RowKey { second: EpochSeconds::new(NEW_YEAR + second), video: VideoKey(*second as u64) };
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
        let not_read = NotRead { all: gaps.to_vec(), left: vec![], in_part: vec![] };
        let fill = Fill {
            region: us(),
            range: within,
            slices: slices.to_vec(),
            not_read,
            unproven: vec![],
            rows_before: Naming::Any,
        };
        self.publisher.fill(fill).await.unwrap()
    }

    async fn fill_unproven(&self, within: TimeRange, slices: &[TimeRange], unproven: &[TimeRange]) -> Published {
        let (slices, unproven) = (slices.to_vec(), unproven.to_vec());
        let fill = Fill {
            region: us(),
            range: within,
            slices,
            not_read: NotRead::default(),
            unproven,
            rows_before: Naming::Any,
        };
        self.publisher.fill(fill).await.unwrap()
    }

    async fn occupied_by_a_former_run(&self, seconds: TimeRange) {
        let reader = Reader { run: "r0", at: EpochSeconds::new(NEW_YEAR + 800) };
        let read = |manifest: &mut Manifest| manifest.account.coverage.read(&us(), &[seconds], reader);
        self.publisher.commits.note(read).await;
    }

    /// Range and rows of every live part, from the files themselves; and no other Parquet is there.
    pub(in crate::export) fn live(&self) -> Vec<(TimeRange, u64)> {
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

    /// The seconds of the rows of the live parts of this range, from the files themselves.
    pub(in crate::export) fn seconds_of(&self, range: TimeRange) -> Vec<i64> {
        let parts = self.publisher.own_parts().unwrap().into_iter().filter(|part| part.range == range);
        let rows = parts.flat_map(|part| triples(&self.publisher.output.part_file(&part)));
        rows.map(|(second, ..)| second).collect()
    }

    fn filled(&self) -> usize {
        let events = self.publisher.journal.replay().unwrap().into_iter();
        events.filter(|entry| matches!(entry, Replayed::Event { json, .. } if json.contains("range_filled"))).count()
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
    assert_eq!((published.parts.len(), scene.live()), (1, vec![(range(10, 20), 4)]));
    assert_eq!((scene.filled(), scene.publisher.journal.held_pages()), (2, 0));
    // What comes of it is nothing any more; what had come was paid for.
    scene.fill(range(10, 20), &[range(10, 20)], &[]).await;
    assert_eq!(scene.live(), [(range(10, 20), 4)]);
}

/// One of several replicas lacked some rows, and it answered last: rows that a page had shown, and that was paid for, were given up for a poorer
/// reading of the same seconds, and the run ended with 0.
#[tokio::test]
async fn a_row_that_was_once_shown_stays_however_poor_later_readings_are() {
    let mut scene = Scene::begin().await;
    scene.buy(&[10, 30, 31, 32, 36, 50]).await;
    scene.fill(range(0, 60), &[range(0, 60)], &[]).await;
    for (reading, delivered) in
        [(&[31, 33][..], &[30, 31, 32, 33][..]), (&[33], &[30, 31, 32, 33]), (&[], &[30, 31, 32, 33])]
    {
        scene.buy(reading).await;
        scene.fill(range(30, 40), &[range(30, 35)], &[]).await;
        assert_eq!(scene.seconds_of(range(30, 35)), delivered, "{reading:?}");
        let around = [range(0, 30), range(35, 40), range(40, 60)].map(|range| scene.seconds_of(range));
        assert_eq!(around, [vec![10], vec![36], vec![50]], "{reading:?}");
    }
}

/// Rows that were taken although they name another region are read again for the sake of the region's own.
#[tokio::test]
async fn rows_of_another_region_do_not_stay_where_the_region_has_shown_its_own() {
    let mut scene = Scene::begin().await;
    let row = |(second, of): &(i64, &str)| {
        format!(r#"{{"create_time":{},"video_id":"{second}","region":"{of}"}}"#, NEW_YEAR + second)
    };
    scene.buy_rows(&[30, 31, 32], [(30, "GB"), (31, "us"), (32, "GB")].iter().map(row).collect()).await;
    scene.fill(range(30, 40), &[range(30, 40)], &[]).await;
    scene.buy(&[33]).await;
    let fill = Fill { rows_before: Naming::NoOther, ..fill_of(range(30, 40), NotRead::default()) };
    scene.publisher.fill(fill).await.unwrap();
    assert_eq!(scene.seconds_of(range(30, 40)), [31, 33]);
}

/// Its second is another one by now: it stands there, and not where it had been as well.
#[tokio::test]
async fn a_video_that_changed_its_second_between_two_readings_stands_once() {
    let mut scene = Scene::begin().await;
    scene.buy(&[10, 12, 14]).await;
    scene.fill(range(10, 20), &[range(10, 20)], &[]).await;
    scene
        .buy_rows(
            &[10, 17],
            vec![
                format!(r#"{{"create_time":{},"video_id":"10"}}"#, NEW_YEAR + 10),
                format!(r#"{{"create_time":{},"video_id":"12"}}"#, NEW_YEAR + 17),
            ],
        )
        .await;
    scene.fill(range(10, 20), &[range(10, 15), range(15, 20)], &[]).await;
    assert_eq!((scene.seconds_of(range(10, 15)), scene.seconds_of(range(15, 20))), (vec![10, 14], vec![17]));
}

#[tokio::test]
async fn a_gap_that_fails_again_keeps_what_was_delivered_of_it() {
    let mut scene = Scene::begin().await;
    scene.buy(&[30, 31, 32]).await;
    scene.fill(range(30, 40), &[range(30, 40)], &[range(30, 40)]).await;
    for (reading, rows) in [(&[][..], 3), (&[33, 34], 5), (&[30, 31, 32, 33], 5)] {
        scene.buy(reading).await;
        scene.fill(range(30, 40), &[range(30, 40)], &[range(30, 40)]).await;
        assert_eq!(scene.live(), [(range(30, 40), rows)], "{reading:?}");
    }
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
    assert_eq!(scene.live()[1], (range(30, 40), 4), "also where this one is proven");
}

#[tokio::test]
async fn what_is_kept_of_a_wider_part_stands_in_the_slices_of_the_reading() {
    let mut scene = Scene::begin().await;
    scene.buy(&[10, 30, 31, 36, 50]).await;
    scene.fill(range(0, 60), &[range(0, 60)], &[]).await;
    scene.buy(&[30, 31, 32, 38]).await;
    scene.fill_unproven(range(30, 40), &[range(30, 35), range(35, 36), range(36, 40)], &[range(35, 36)]).await;
    let live = [(range(0, 30), 1), (range(30, 35), 3), (range(36, 40), 2), (range(40, 60), 1)];
    assert_eq!(scene.live(), live, "of the doubt there was nothing before");
}

/// A part of one day with more rows made up for one of another day that came with none.
#[tokio::test]
async fn what_was_delivered_of_a_gap_is_kept_slice_by_slice() {
    let mut scene = Scene::begin().await;
    let (slices, gap) = ([range(30, 40), range(40, 50)], range(30, 50));
    scene.buy(&[30, 31, 41]).await;
    scene.fill(gap, &slices, &[gap]).await;
    scene.buy(&[30, 31, 32, 33]).await;
    scene.fill(gap, &slices, &[gap]).await;
    assert_eq!(scene.live(), [(range(30, 40), 4), (range(40, 50), 1)]);
}

/// Neither reading of a gap shows all that the other does: both stay.
#[tokio::test]
async fn what_either_reading_of_a_gap_has_shown_is_delivered() {
    let mut scene = Scene::begin().await;
    let gap = range(30, 40);
    for (reading, rows) in [(&[30, 31, 32][..], 3), (&[33, 34, 30], 5), (&[36], 6)] {
        scene.buy(reading).await;
        let not_read = NotRead { all: vec![gap], left: vec![], in_part: vec![gap] };
        scene.publisher.fill(fill_of(gap, not_read)).await.unwrap();
        assert_eq!(scene.live(), [(gap, rows)]);
    }
}

/// What waits for the run's end is staged under the name of its slice, as what is read again of the same seconds is.
#[tokio::test]
async fn what_waits_for_the_runs_end_is_not_written_over_by_fewer_rows() {
    for (in_part, delivered) in [(&[][..], &[30, 31, 32, 33][..]), (&[range(30, 40)], &[30, 31, 32, 33])] {
        let mut scene = Scene::begin().await;
        scene.occupied_by_a_former_run(range(0, 600)).await;
        for reading in [&[30, 31, 32][..], &[33], &[]] {
            scene.buy(reading).await;
            let gap = range(30, 40);
            let not_read = NotRead { all: vec![gap], left: vec![], in_part: in_part.to_vec() };
            scene.publisher.fill(fill_of(gap, not_read)).await.unwrap();
        }
        let held = scene.publisher.own_parts_that(|state| state == PartState::Held).unwrap();
        let [part] = held.as_slice() else { panic!("one part waits: {held:?}") };
        let rows = triples(&scene.publisher.output.part_file(part));
        let seconds: Vec<i64> = rows.into_iter().map(|(second, ..)| second).collect();
        assert_eq!(seconds, delivered);
        assert_eq!(part.rows.get(), delivered.len() as u64);
    }
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
    let part = scene.publisher.stage(&slice, None).await.unwrap().unwrap();
    scene.publisher.journal.replace_part(part.clone()).await.unwrap();
    scene.publisher.output.reveal(&part).await.unwrap();
    scene.publisher.journal.publish_part(&part.path).await.unwrap();
    assert_eq!(scene.live().len(), 2, "both stand there for a while");
    scene.fill(range(10, 20), &[range(10, 15), range(15, 20)], &[]).await;
    assert_eq!(scene.live(), [(range(10, 15), 2), (range(15, 20), 2)]);
}
