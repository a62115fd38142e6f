//! Nights of a seven-day refresh against one world that goes on: rows keep their ids and their counts grow, some are shown late, and some
//! are deleted. `NIGHTS=30` plays a month of them.

use std::collections::BTreeMap;

use arrow::array::AsArray as _;
use keyapi_export::simulator::{Moment, RunningSimulator};
use keyapi_export::units::{EpochSeconds, TimeRange};
use serde_json::{Map, Value};

use super::nights::{IN_FLIGHT, ends, kill_after};
use super::{ENDS, asking, day, days, truth};
use crate::support::{
    Found, Job, TableLog, as_served, batches, documented, identities, identities_of_manifest, parquet_files, region,
    same, serve, table_is_in_step,
};

/// Nights of the short form.
const SHORT: i64 = 6;
/// Days that a night reads.
const REFRESHED: i64 = 7;
/// From this night on the output is a table too, whose superseded files the next night removes.
const TABLE_FROM: i64 = 4;
/// Each such night the process is killed, and started again.
const KILLED_EVERY: i64 = 5;
/// Rows of a region on one day.
const ROWS_A_DAY: u32 = 60;
/// How long after midnight a night begins, seconds.
const BEGINS: i64 = 2 * 3_600;
/// What is asked for, which is all that the service has.
const CODES: [&str; 2] = ["GB", "US"];

/// The rows of a region's days, as they were in the night that read them last.
type Held = BTreeMap<(&'static str, i64), Vec<Found>>;

/// The service as it is in this night.
fn serve_night(night: i64, nights: i64) -> RunningSimulator {
    let moment = |second| Moment(EpochSeconds::new(second));
    serve(|service| {
        service.world.regions = CODES.map(region).to_vec();
        (service.world.from, service.world.to) = (moment(day(-REFRESHED)), moment(day(nights + 1)));
        service.world.rows = ROWS_A_DAY * u32::try_from(nights + 1 + REFRESHED).unwrap();
        service.world.as_of = Some(moment(day(night) + BEGINS));
    })
}

/// A row with everything that is documented of it, in the place of its id.
fn with_fields(code: &str, fields: Map<String, Value>) -> Found {
    (code.to_owned(), fields["create_time"].as_i64().unwrap(), Value::Object(fields).to_string())
}

/// The rows of a region and range, as the service has them now.
fn served(tonight: &RunningSimulator, code: &str, range: TimeRange) -> Vec<Found> {
    let row = |found: &Found| as_served(&tonight.world().row_json(&region(code), &found.2).unwrap());
    truth(tonight, code, range).iter().map(|found| with_fields(code, row(found))).collect()
}

/// The rows of the output: of a table, those of its last version, else those of all files.
fn at_rest(job: &Job) -> Vec<Found> {
    let files = match TableLog::read(&job.out()) {
        Some(log) => log.files(log.latest()).into_keys().map(|path| job.out().join(path)).collect(),
        None => parquet_files(&job.out()),
    };
    let mut rows = Vec::new();
    for batch in files.iter().flat_map(|file| batches(file)) {
        let codes = batch.column_by_name("_query_region").unwrap().as_string::<i32>();
        rows.extend((0..batch.num_rows()).map(|place| with_fields(codes.value(place), documented(&batch, place))));
    }
    rows
}

fn id(row: &Found) -> String {
    let fields: Value = serde_json::from_str(&row.2).unwrap();
    fields["video_id"].as_str().unwrap().to_owned()
}

/// After a kill the days that are read again are as they were the night before; of the new day there may be a part.
fn shows_nothing_of_a_part(job: &Job, tonight: &RunningSimulator, held: &Held, night: i64) {
    // A bucket is copied when a command ends.
    assert_eq!(job.status().code, 0);
    let (before, new): (Vec<Found>, Vec<Found>) = at_rest(job).into_iter().partition(|row| row.1 < day(night - 1));
    same(&before, &held.values().flatten().cloned().collect::<Vec<_>>());
    let all: Vec<Found> = CODES.iter().flat_map(|code| served(tonight, code, days(night - 1, night))).collect();
    assert!(new.iter().all(|row| all.contains(row)), "a row of the new day is none that was served");
    same(&new, &new);
}

/// What became of rows that had been read before, over all nights; without any of a kind, nothing is shown of it.
#[derive(Debug, Default)]
struct Changes {
    late: usize,
    deleted: usize,
    counted: usize,
    /// Rows that changed after the last night that read their day.
    unseen: usize,
}

impl Changes {
    /// Between two states of the same days.
    fn add(&mut self, before: &[Found], after: &[Found]) {
        let by_id = |rows: &[Found]| rows.iter().map(|row| (id(row), row.clone())).collect::<BTreeMap<_, _>>();
        let (before, after) = (by_id(before), by_id(after));
        self.late += after.keys().filter(|id| !before.contains_key(*id)).count();
        self.deleted += before.keys().filter(|id| !after.contains_key(*id)).count();
        self.counted += before.iter().filter(|(id, row)| after.get(*id).is_some_and(|now| now != *row)).count();
    }
}

#[test]
fn a_refresh_of_many_nights_holds_what_each_day_was_in_its_last_night() {
    play(|job| job);
}

#[cfg(feature = "cloud")]
#[test]
fn a_refresh_of_many_nights_into_a_bucket_holds_what_each_day_was_in_its_last_night() {
    let Some(lake) = crate::support::Lake::start() else { return };
    play(|job| job.into_lake(&lake).with_variable("KEYAPI_UPLOAD_AT_ONCE", "16384"));
    assert_eq!(lake.open_uploads(), 0);
}

/// Plays `NIGHTS` nights, or a few, of a job that `place` gives its place.
fn play(place: impl Fn(Job) -> Job) {
    let nights = std::env::var("NIGHTS").map_or(SHORT, |text| text.parse().unwrap());
    assert!(nights >= KILLED_EVERY, "NIGHTS={nights} is too few: none would be killed");
    let mut held = Held::new();
    let mut job: Option<Job> = None;
    let mut changes = Changes::default();
    for night in 1..=nights {
        let tonight = serve_night(night, nights);
        let mut at_work =
            job.take().unwrap_or_else(|| place(Job::of(&tonight).with(&format!("--max-in-flight {IN_FLIGHT}"))));
        if night == TABLE_FROM {
            at_work = at_work.with("--table delta").with_variable("KEYAPI_EXPORT_OUTPUT__TABLE_KEEPS", "0s");
        }
        let range = days(night - REFRESHED, night);
        let flags = format!("--base-url {} --reread all {}", tonight.base_url(), asking(range, &CODES));
        let kills = u64::from(night % KILLED_EVERY == 0);
        for _ in 0..kills {
            kill_after(&tonight, &at_work, &flags, 12);
            shows_nothing_of_a_part(&at_work, &tonight, &held, night);
        }
        let mut read = 0;
        for code in CODES {
            for day in night - REFRESHED..night {
                let rows = served(&tonight, code, days(day, day + 1));
                read += rows.len() as u64;
                if let Some(before) = held.insert((code, day), rows) {
                    changes.add(&before, &held[&(code, day)]);
                }
            }
        }
        let most = read.div_ceil(10) + (ENDS + kills * IN_FLIGHT) * CODES.len() as u64;
        ends(&at_work, &tonight, &flags, (0, most));
        table_is_in_step(&at_work.out());
        let expected: Vec<Found> = held.values().flatten().cloned().collect();
        let ids: Vec<Found> = expected.iter().map(|row| (row.0.clone(), row.1, id(row))).collect();
        same(&identities(&at_work.out()), &ids);
        same(&identities_of_manifest(&at_work.out()), &ids);
        same(&at_rest(&at_work), &expected);
        let left = held.iter().filter(|((_, day), _)| *day < night - REFRESHED);
        let mut unseen = Changes::default();
        left.for_each(|((code, day), rows)| unseen.add(rows, &served(&tonight, code, days(*day, day + 1))));
        changes.unseen = unseen.counted;
        println!("night {night}: {} rows, {kills} kills, {changes:?}", expected.len());
        job = Some(at_work);
    }
    let Changes { late, deleted, counted, unseen } = changes;
    assert!(late > 0 && deleted > 0 && counted > 0 && unseen > 0, "{changes:?}");
}
