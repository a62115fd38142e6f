//! Nights, one after the other, into one folder. `NIGHTS=30` plays a month of them.
//!
//! Each night the service has other rows, so whatever stands in the output tells which night it was read in.

use std::collections::{BTreeMap, BTreeSet};

use keyapi_export::simulator::{Moment, RunningSimulator};
use keyapi_export::units::{EpochSeconds, TimeRange};

use super::{ENDS, asking, day, days, ends_whole, moved, serve_weeks, truth};
use crate::support::{
    Ended, Found, Job, TableLog, identities, identities_of_manifest, parquet_files, region, same, serve,
    table_is_in_step, until,
};

/// Nights of the short form.
const SHORT: i64 = 10;
/// The same in a bucket.
const SHORT_IN_A_BUCKET: i64 = 6;
/// Days that a night asks again, and a night of the long form.
const AGAIN: i64 = 3;
const AGAIN_OF_MANY: i64 = 7;
/// Rows of a region on one day.
const ROWS_A_DAY: u32 = 100;
/// From this night on the output is a table too, whose superseded files the next night removes.
const TABLE_FROM: i64 = 4;
/// Requests on their way at once.
pub(super) const IN_FLIGHT: u64 = 2;

/// What befalls a night.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Nothing,
    /// Nothing is started.
    Missed,
    /// The process is killed three times, and started again.
    Killed,
    /// The process is killed, and nobody starts it again before the next night.
    Abandoned,
    /// The last of its regions is refused.
    Refused,
    /// Output and state have other places since yesterday.
    Moved,
    /// The state is gone since yesterday.
    StateLost,
    /// After the night's own run, whatever no run has read is asked for.
    Backfill,
}

/// In the order of the nights, over and over; the first night is followed by the first of them.
const EVENTS: [Event; 10] = [
    Event::Killed,
    Event::Refused,
    Event::Moved,
    Event::Missed,
    Event::StateLost,
    Event::Abandoned,
    Event::Nothing,
    Event::Backfill,
    Event::Missed,
    Event::Nothing,
];

/// The same of what is asked for.
const REGIONS: [&[&str]; 7] =
    [&["US"], &["US", "GB"], &["FR", "US", "GB"], &["GB", "FR"], &["US", "FR"], &["FR", "US", "GB"], &["GB", "US"]];

/// All regions of the service.
const ALL: &[&str] = &["US", "GB", "FR"];

/// A region, and a day of it.
type Day = (&'static str, i64);

/// What the output must hold: each day's rows, as they were in the night that read them last.
struct Expected {
    held: BTreeMap<Day, Vec<Found>>,
    /// Days that nobody has read, or not the last time that they were asked for, are not among them.
    sound: BTreeSet<Day>,
}

impl Expected {
    fn read(&mut self, tonight: &RunningSimulator, day: Day) {
        self.held.insert(day, truth(tonight, day.0, days(day.1, day.1 + 1)));
        self.sound.insert(day);
    }

    fn is_there(&self, job: &Job) {
        table_is_in_step(&job.out());
        let rows: Vec<Found> = self.held.values().flatten().cloned().collect();
        same(&identities(&job.out()), &rows);
        same(&identities_of_manifest(&job.out()), &rows);
    }

    /// The days of these regions before a night that are to be read yet, and in how many stretches.
    fn missing(&self, codes: &[&'static str], night: i64) -> (Vec<Day>, u64) {
        let all = codes.iter().flat_map(|code| (0..night).map(|day| (*code, day)));
        let missing: Vec<Day> = all.filter(|day| !self.sound.contains(day)).collect();
        let begins = missing.iter().filter(|(code, day)| !missing.contains(&(*code, day - 1))).count();
        (missing, begins as u64)
    }
}

fn serve_night(seed: i64, nights: i64, refused: Option<&str>) -> RunningSimulator {
    serve(|service| {
        service.seed = u64::try_from(seed).unwrap();
        service.world.regions = ["US", "GB", "FR"].map(region).to_vec();
        (service.world.from, service.world.to) =
            (Moment(EpochSeconds::new(day(0))), Moment(EpochSeconds::new(day(nights + 1))));
        service.world.rows = ROWS_A_DAY * u32::try_from(nights + 1).unwrap();
        service.faults.refused_regions =
            refused.map(|code| format!("{code}=403:not in your plan").parse().unwrap()).into_iter().collect();
    })
}

/// Starts the job and kills it once the service has sent so many pages more.
pub(super) fn kill_after(tonight: &RunningSimulator, job: &Job, flags: &str, pages: u64) {
    let until_pages = tonight.stats().pages + pages;
    tonight.change(|service| service.limits.latency_ms = 4.0).unwrap();
    let mut running = job.start_with(flags);
    until("some pages", || tonight.stats().pages > until_pages || !running.is_alive());
    assert!(running.kill(), "the night was over before it was killed: {flags}");
    tonight.change(|service| service.limits.latency_ms = 0.0).unwrap();
}

/// A start ends like this, and has asked no more than so many rows and stretches need, and what the kills before it cost.
pub(super) fn ends(job: &Job, tonight: &RunningSimulator, flags: &str, (code, most): (i32, u64)) -> Ended {
    let ended = job.run_with(flags);
    assert_eq!(ended.code, code, "{flags}: {ended}");
    let asked = tonight.stats().requests;
    assert!(asked <= most, "{asked} requests where {most} are enough: {flags}: {ended}");
    assert_eq!(job.out().join("_SUCCESS").exists(), code == 0, "{flags}: {ended}");
    assert_eq!(job.verify().code, code, "{flags}");
    ended
}

/// What a walk of these days costs at most.
fn price(expected: &Expected, read: &[Day], stretches: u64) -> u64 {
    let rows: usize = read.iter().map(|day| expected.held[day].len()).sum();
    (rows as u64).div_ceil(10) + ENDS * stretches
}

#[test]
fn each_night_of_many_holds_exactly_its_truth_and_costs_what_it_reads() {
    let job = play(SHORT, |job| job);
    let log = TableLog::read(&job.out()).unwrap();
    // One more start has nothing to read: what its predecessors superseded goes.
    assert_eq!(parquet_files(&job.out()).len(), log.files(log.latest()).len());
}

/// The same in a bucket, where files go up in pieces: at the end there is what the table lists, and nothing else.
#[cfg(feature = "cloud")]
#[test]
fn each_night_of_many_into_a_bucket_leaves_no_object_and_no_upload_behind() {
    let Some(lake) = crate::support::Lake::start() else { return };
    let job = play(SHORT_IN_A_BUCKET, |job| job.into_lake(&lake).with_variable("KEYAPI_UPLOAD_AT_ONCE", "16384"));
    let log = TableLog::read(&job.out()).unwrap();
    let mut wanted: Vec<String> = log.files(log.latest()).into_keys().collect();
    wanted.extend((0..=log.latest()).map(|version| format!("data/_delta_log/{version:020}.json")));
    wanted.extend(["_SUCCESS", "_manifest.json"].map(str::to_owned));
    wanted.sort();
    let seen: Vec<String> = lake.names().into_iter().filter(|name| !name.starts_with("_damaged/")).collect();
    assert_eq!(seen, wanted);
    assert_eq!(lake.open_uploads(), 0);
}

/// Plays `NIGHTS` nights, or else so many, of a job that `place` gives its place; and after them a backfill of all that was left.
fn play(short: i64, place: impl Fn(Job) -> Job) -> Job {
    let (nights, again) = std::env::var("NIGHTS").map_or((short, AGAIN), |text| (text.parse().unwrap(), AGAIN_OF_MANY));
    assert!(
        nights >= TABLE_FROM,
        "NIGHTS={nights} is too few: from night {TABLE_FROM} on there is a table, which is looked at in the end"
    );
    let mut expected = Expected { held: BTreeMap::new(), sound: BTreeSet::new() };
    let mut job: Option<Job> = None;
    let mut after_abandoned: Option<i64> = None;
    let mut events = EVENTS.iter().cycle();
    let mut questions = REGIONS.iter().cycle();
    for night in 1..=nights {
        let drawn = if night == 1 { Event::Nothing } else { *events.next().unwrap() };
        // What is abandoned is asked again in the next night.
        let event = if drawn == Event::Abandoned && night == nights { Event::Nothing } else { drawn };
        let codes = *questions.next().unwrap();
        // After a night that was abandoned, whatever that one was at is asked again.
        let (codes, first) = match after_abandoned.take() {
            Some(its_first) => (ALL, its_first),
            None => (codes, (night - again).max(0)),
        };
        println!("night {night}: {event:?}, {codes:?}");
        if event == Event::Missed {
            continue;
        }
        let refused = codes.last().copied().filter(|_| event == Event::Refused && codes.len() > 1);
        let tonight = serve_night(night, nights, refused);
        let mut at_work =
            job.take().unwrap_or_else(|| place(Job::of(&tonight).with(&format!("--max-in-flight {IN_FLIGHT}"))));
        if night == TABLE_FROM {
            at_work = at_work.with("--table delta").with_variable("KEYAPI_EXPORT_OUTPUT__TABLE_KEEPS", "0s");
        }
        match event {
            Event::Moved => at_work = moved(at_work, &format!("out-{night}"), &format!("state-{night}")),
            Event::StateLost => std::fs::remove_dir_all(at_work.state()).unwrap(),
            _ => {}
        }
        let range: TimeRange = days(first, night);
        let flags = format!("--base-url {} --reread all {}", tonight.base_url(), asking(range, codes));
        let asked: Vec<Day> = codes.iter().flat_map(|code| (first..night).map(|day| (*code, day))).collect();
        if event == Event::Abandoned {
            kill_after(&tonight, &at_work, &flags, 12);
            after_abandoned = Some(first);
            job = Some(at_work);
            continue;
        }
        let kills = if event == Event::Killed { 3 } else { 0 };
        for _ in 0..kills {
            kill_after(&tonight, &at_work, &flags, 6);
        }
        let (read, left): (Vec<Day>, Vec<Day>) = asked.into_iter().partition(|(code, _)| Some(*code) != refused);
        read.iter().for_each(|day| expected.read(&tonight, *day));
        expected.sound.retain(|day| !left.contains(day));
        let most = price(&expected, &read, codes.len() as u64) + kills * IN_FLIGHT;
        let code = if refused.is_some() { 3 } else { 0 };
        ends(&at_work, &tonight, &flags, (code, most));
        expected.is_there(&at_work);
        if event == Event::Backfill {
            backfill(&at_work, (night, nights), &mut expected);
        }
        job = Some(at_work);
    }
    let job = job.unwrap();
    backfill(&job, (nights, nights), &mut expected);
    job
}

/// Asks for all of all regions: what was never read, or not the last time, is read, and nothing else.
fn backfill(job: &Job, (night, nights): (i64, i64), expected: &mut Expected) {
    let tonight = serve_night(1_000 + night, nights, None);
    let (missing, stretches) = expected.missing(ALL, night);
    let flags = format!("--base-url {} {}", tonight.base_url(), asking(days(0, night), ALL));
    missing.iter().for_each(|day| expected.read(&tonight, *day));
    let most = price(expected, &missing, stretches);
    ends(job, &tonight, &flags, (0, most));
    expected.is_there(job);
    let asked = tonight.stats().requests;
    ends(job, &tonight, &flags, (0, asked));
}

/// Regions come and go, two nights are missed, and a backfill fills what they left, into the same folder.
#[test]
fn each_night_holds_its_truth_whatever_is_asked_and_a_backfill_buys_only_what_is_missing() {
    let simulator = serve_weeks();
    // What sharing costs grows with those who share; this is about what is read.
    let job = Job::of(&simulator).with_regions(&["US"]).with(&format!("--max-in-flight {IN_FLIGHT}"));
    let nights: [(i64, &[&str]); 6] =
        [(3, &["US"]), (4, &["US", "GB"]), (5, &["GB"]), (6, &["US", "GB", "FR"]), (12, &["US", "FR"]), (13, &["US"])];
    let mut asked: Vec<(&str, TimeRange)> = Vec::new();
    for (night, codes) in nights {
        let range = days(night - 3, night);
        asked.extend(codes.iter().map(|code| (*code, range)));
        let rows = codes.iter().map(|code| truth(&simulator, code, range).len()).sum();
        let flags = format!("{} --reread all", asking(range, codes));
        ends_whole(&simulator, &job, &flags, (rows, codes.len() as u64));
        let held = |code: &str| {
            let of_region = asked.iter().filter(|(of, _)| *of == code).map(|(_, range)| *range);
            TimeRange::merged(&of_region.collect::<Vec<_>>())
        };
        let expected: Vec<Found> = ["FR", "GB", "US"]
            .iter()
            .flat_map(|code| held(code).into_iter().flat_map(|range| truth(&simulator, code, range)))
            .collect();
        same(&identities(&job.out()), &expected);
        same(&identities_of_manifest(&job.out()), &expected);
    }
    let status = job.status();
    for hole in ["hole      US [2025-12-07T00:00:00Z, 2025-12-10T00:00:00Z)", "hole      FR [2025-12-07"] {
        assert!(status.stdout.contains(hole), "{status}");
    }
    let verified = job.verify();
    assert!(verified.stdout.contains("elsewhere: region US has a gap [2025-12-07T00:00:00Z"), "{verified}");
    let range = days(0, 13);
    let missing = |code: &str, range| truth(&simulator, code, range).len();
    let rows =
        missing("US", days(6, 9)) + missing("FR", days(0, 3)) + missing("FR", days(6, 9)) + missing("FR", days(12, 13));
    let flags = asking(range, &["US", "FR"]);
    let ended = ends_whole(&simulator, &job, &flags, (rows, 4));
    assert_eq!(ended.summary["elsewhere"], serde_json::json!([]), "{ended}");
    let all = |code| truth(&simulator, code, range);
    same(&identities(&job.out()), &[all("FR"), truth(&simulator, "GB", days(1, 6)), all("US")].concat());
    ends_whole(&simulator, &job, &flags, (0, 0));
    // Part of it, and of its regions, was read before too.
    ends_whole(&simulator, &job, &asking(days(2, 11), &["FR"]), (0, 0));
}
