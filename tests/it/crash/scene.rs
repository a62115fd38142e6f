//! A second day's run over the parts of a first one: two regions, several parts each, rejected rows, former parts that are
//! replaced, and one whose earliest rows are carried over because the range has moved on.
//!
//! Both days have rows of their own, so a former part that should have gone shows as rows that are not true. Each case begins
//! with the folders as the first day left them. Its range ends later than that of the case before, so that its questions are
//! new ones to the service, and whatever is sold again was bought twice by this case.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use keyapi_export::failpoint::CrashStep;
use keyapi_export::simulator::{DenseSecond, Density, Moment, RunningSimulator, Simulator, SimulatorSettings, Stats};
use keyapi_export::units::{EpochSeconds, TimeRange};
use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;

use super::disk::looked_up;
use crate::support::{
    END_LOOKS, Ended, Found, Job, TableLog, files_below, identities, identities_of_manifest, now, parquet_files, same,
    seconds, serve, table_is_in_step, truth_of, unfiltered, until,
};

/// Requests on their way at once.
pub(super) const MAX_IN_FLIGHT: u64 = 8;
/// Each start that goes on in a later second than the one before it adds a window of those few seconds to each region. Where no row
/// lies in it or after it, its one page is empty and nothing else tells that this is the end, so it is asked so often again
/// (`DOUBTS` of `plan/ending.rs`): the same question, on purpose.
const EMPTY_DOUBTS: u64 = 3;
/// How far back the job's range reaches from the moment that its run begins.
const REACH: i64 = 6_000;
/// Rows of each region in the first day's whole world; the range holds about two fifths of them.
const ROWS: u32 = 1_200;

/// The job, its service, and what the first day left.
pub(super) struct Scene {
    pub(super) job: Job,
    pub(super) simulator: RunningSimulator,
    left: TempDir,
    /// The first day's range, and the rows that it found there.
    former: TimeRange,
    early: Vec<Found>,
    /// Whether this case begins with the first day's output.
    keeps_the_first_day: bool,
    /// Runs that the state knows from the first day.
    runs_before: u32,
    /// What the service had counted when this case began.
    before: Stats,
}

/// What a case came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) runs: u64,
    pub(super) rows: u64,
    pub(super) carried: u64,
    pub(super) requests: u64,
    pub(super) repeated: u64,
}

impl std::ops::AddAssign for Figures {
    fn add_assign(&mut self, more: Self) {
        self.runs += more.runs;
        self.rows += more.rows;
        self.carried += more.carried;
        self.requests += more.requests;
        self.repeated += more.repeated;
    }
}

impl Scene {
    /// Runs the first day, whose first seconds hold rows.
    pub(super) fn new() -> Self {
        Self::of_world_from(-2_000, |job| job)
    }

    /// The same of an output that is a table too, and that has replaced all of its parts once: a start removes those that are kept for
    /// readers of the former version.
    pub(super) fn of_a_table() -> Self {
        Self::of_a_table_in(|job| job)
    }

    /// The same in a bucket.
    #[cfg(feature = "cloud")]
    pub(super) fn of_a_table_in_lake(lake: &crate::support::Lake) -> Self {
        Self::of_a_table_in(|job| job.into_lake(lake))
    }

    fn of_a_table_in(place: impl FnOnce(Job) -> Job) -> Self {
        let scene = Self::of_world_from(-2_000, |job| {
            let job = job.with_variable("KEYAPI_EXPORT_OUTPUT__TABLE", "delta");
            place(job.with_variable("KEYAPI_EXPORT_OUTPUT__TABLE_KEEPS", "0s"))
        });
        let rebuilt = scene.job.does("rebuild", "", &[]).unwrap();
        assert_eq!(rebuilt.code, 0, "{rebuilt}");
        let place = scene.left.path().join("out");
        std::fs::remove_dir_all(&place).unwrap();
        copy(&scene.job.out(), &place);
        let place = scene.left.path().join("state");
        std::fs::remove_dir_all(&place).unwrap();
        copy(&scene.job.state(), &place);
        scene
    }

    /// The same in a bucket.
    #[cfg(feature = "cloud")]
    pub(super) fn in_lake(lake: &crate::support::Lake) -> Self {
        Self::of_world_from(-2_000, |job| job.into_lake(lake).with_variable("KEYAPI_UPLOAD_AT_ONCE", "4096"))
    }

    /// The same, but the first half minute of the first day holds no row, so that nothing is carried over from it.
    pub(super) fn with_nothing_to_carry() -> Self {
        Self::of_world_from(30, |job| job)
    }

    /// The service's rows begin so many seconds after the first day's range.
    fn of_world_from(offset: i64, place: impl FnOnce(Job) -> Job) -> Self {
        let world = seconds(now() - REACH + offset, now() + 7_200);
        let simulator = serve(|service| day(1, world, service));
        let job = place(Job::of(&simulator))
            .with_regions(&["US", "GB"])
            .with_range_text(&format!("-{REACH}s"), "now")
            .with(&format!("--max-in-flight {MAX_IN_FLIGHT}"))
            .with_variable("KEYAPI_EXPORT_OUTPUT__PART_ROWS", "150")
            // Rows that cannot be placed are looked at apart.
            .with_variable("KEYAPI_EXPORT_OUTPUT__MAX_REJECTED", "1000");
        let ended = job.run();
        assert_eq!(ended.code, 0, "{ended}");
        let bound = |name: &str| ended.summary["range"][name].as_i64().unwrap();
        let former = seconds(bound("start"), bound("end"));
        let early = truth_of(simulator.world(), &job.regions(), &unfiltered(), former);
        same(&identities(&job.out()), &early);
        // The first seconds of the former range are dense: once the range has moved on, there are rows to be carried over.
        until("the range to move on", || now() > former.end.get() + 4);
        let left = tempfile::tempdir().unwrap();
        for folder in ["out", "state"] {
            copy(&job.folder().join(folder), &left.path().join(folder));
        }
        let listen = simulator.address();
        simulator.stop();
        let mut second_day = SimulatorSettings { listen, ..SimulatorSettings::default() };
        day(2, world, &mut second_day);
        let mut started = None;
        // Connections of the first day may hold the address for a moment.
        until("the address to be free", || {
            started = Simulator::start(second_day.clone()).ok();
            started.is_some()
        });
        let simulator = started.unwrap();
        let before = simulator.stats();
        Self { job, simulator, left, former, early, keeps_the_first_day: true, runs_before: 1, before }
    }

    /// The next case: the folders as the first day left them, and questions that nobody has asked yet.
    pub(super) fn again(self) -> Self {
        let asked = self.runs().last().map_or(0, |range| range.end.get());
        until("the clock to move on", || now() > asked);
        for folder in ["out", "state"] {
            let place = self.job.folder().join(folder);
            std::fs::remove_dir_all(&place).unwrap();
            copy(&self.left.path().join(folder), &place);
        }
        self.job.push();
        Self { before: self.simulator.stats(), keeps_the_first_day: true, runs_before: 1, ..self }
    }

    /// Takes away what the first day left.
    pub(super) fn without_a_first_day(mut self) -> Self {
        std::fs::remove_dir_all(self.job.out()).unwrap();
        self.job.push();
        self.keeps_the_first_day = false;
        self.without_state()
    }

    /// Takes the state away.
    pub(super) fn without_state(mut self) -> Self {
        std::fs::remove_dir_all(self.job.state()).unwrap();
        self.runs_before = 0;
        self
    }

    /// Whether a start dies at this step; it runs to its end where the step is not on its way.
    pub(super) fn dies_at(&self, step: CrashStep) -> bool {
        match self.job.run_where(&[("KEYAPI_FAILPOINT", step.name().to_owned())]) {
            None => {
                self.misleads_nobody(&format!("dead at {}", step.name()));
                true
            }
            Some(ended) => {
                assert_eq!(ended.code, 0, "with {} armed: {ended}", step.name());
                false
            }
        }
    }

    /// What is found beside a run that is dead: `_SUCCESS` only where the manifest says complete, and each row of the first day
    /// until a part of the second day has taken its second's place; for who goes by the manifest, all of them until all have.
    pub(super) fn misleads_nobody(&self, story: &str) {
        let manifest = std::fs::read(self.job.out().join("_manifest.json"));
        let manifest: serde_json::Value =
            manifest.map_or_else(|_| json!({}), |text| serde_json::from_slice(&text).unwrap());
        if TableLog::read(&self.job.out()).is_some() {
            self.misleads_no_reader_of_the_table(&manifest, story);
        }
        if self.job.out().join("_SUCCESS").exists() {
            assert_eq!(manifest["status"], "complete", "{story}: _SUCCESS stands beside a run that has not ended");
        }
        if self.keeps_the_first_day && manifest["run"].is_string() {
            let seen = identities_of_manifest(&self.job.out());
            let before: Vec<Found> = seen.iter().filter(|row| row.1 < self.former.end.get()).cloned().collect();
            let begins = self.runs().first().map_or(self.former.start, |range| range.start).get();
            // All of the first day's rows in the second one's range, or none of them.
            if before.iter().any(|row| row.1 >= begins && self.early.contains(row)) {
                same(&before, &self.early);
            }
        }
        // A third run has forgotten what the second one had settled.
        if !self.keeps_the_first_day || self.runs().len() > 1 {
            return;
        }
        let there: BTreeSet<Found> = identities(&self.job.out()).into_iter().collect();
        let parts: Vec<Held> = parquet_files(&self.job.out()).iter().map(|file| Held::by(file)).collect();
        let settled = self.settled();
        let is_replaced = |row: &Found| {
            let second = name_of(row.1);
            let is_held = parts.iter().any(|part| part.region == row.0 && part.start <= second && second < part.end);
            // A slice without rows makes no part, and replaces what was there all the same.
            is_held || manifest["status"] == "complete" || settled.get(&row.0).is_some_and(|until| row.1 < *until)
        };
        let lost = self.early.iter().filter(|row| !there.contains(row) && !is_replaced(row)).count();
        assert_eq!(lost, 0, "{story}: rows of the first day are gone before others took their place");
    }

    /// The log lists what the manifest lists, or is one version behind it; and every file that its last version lists is
    /// there.
    fn misleads_no_reader_of_the_table(&self, manifest: &serde_json::Value, story: &str) {
        let log = TableLog::read(&self.job.out()).unwrap();
        let told = usize::try_from(manifest["table"]["version"].as_u64().unwrap()).unwrap();
        assert!(told == log.latest() || told == log.latest() + 1, "{story}: {told} is told, {} is there", log.latest());
        let rows = log.rows(log.latest());
        assert!(!self.keeps_the_first_day || !rows.is_empty(), "{story}: readers of the table see nothing");
    }

    /// The same command to its end, and everything that must then be true. `kills` met a run that was buying pages.
    pub(super) fn ends_as_if_nothing_had_happened(&self, kills: u64, story: &str) -> Figures {
        let ended = self.job.run();
        assert_eq!(ended.code, 0, "{story}: {ended}");
        let carried = self.holds_the_truth(story);
        self.is_tidy(&ended, story);
        let figures = self.has_bought_each_page_once(kills, &format!("{story}: {ended}"));
        Figures { rows: identities(&self.job.out()).len() as u64, carried, ..figures }
    }

    /// Rows of the first day before the second one's first range, rows of the second day from there on. Returns how many are
    /// of the first.
    fn holds_the_truth(&self, story: &str) -> u64 {
        let runs = self.runs();
        let (first, last) = (runs.first().unwrap(), runs.last().unwrap());
        let is_kept = |row: &&Found| self.keeps_the_first_day && row.1 < first.start.get();
        let kept: Vec<Found> = self.early.iter().filter(is_kept).cloned().collect();
        let range = TimeRange::new(first.start, last.end);
        let new = truth_of(self.simulator.world(), &self.job.regions(), &unfiltered(), range);
        println!("{story}: {} runs, {} rows kept of {}, {} new", runs.len(), kept.len(), self.former, new.len());
        same(&identities(&self.job.out()), &[kept.as_slice(), &new].concat());
        kept.len() as u64
    }

    /// Nothing is left to clean up, and the output says of itself what it is.
    fn is_tidy(&self, ended: &Ended, story: &str) {
        assert!(self.job.out().join("_SUCCESS").is_file(), "{story}");
        let verified = self.job.verify();
        assert!(verified.code == 0 && verified.stdout.contains("sound and complete"), "{story}: {verified}");
        assert_eq!(files_below(&self.job.staging()), Vec::<std::path::PathBuf>::new(), "{story}");
        table_is_in_step(&self.job.out());
        let (run, last) = (ended.summary["run"].as_str().unwrap(), *self.runs().last().unwrap());
        for region in self.job.regions() {
            let garbage = |range| self.simulator.world().garbage_rows(&region, &unfiltered(), range).get();
            // What has no time cannot be told to lie outside the range, and a second more is asked on either side.
            let asked = garbage(last)..=garbage(seconds(last.start.get() - 1, last.end.get() + 1));
            let file = self.job.out().join(format!("_rejected/{region}-{run}.jsonl"));
            let lines = std::fs::read_to_string(file).map_or(0, |text| text.lines().count() as u64);
            assert!(asked.contains(&lines), "{story}: {lines} rejected rows of {region}, {asked:?} are right");
        }
    }

    /// The service sold no page twice but what was on its way, and counted no attempt that the journal had not reserved.
    fn has_bought_each_page_once(&self, kills: u64, story: &str) -> Figures {
        let runs = self.runs().len() as u64;
        let stats = self.simulator.stats();
        let requests = stats.requests - self.before.requests;
        let repeated = stats.repeated_purchases - self.before.repeated_purchases;
        let (ends, extensions) = (END_LOOKS * 2 * runs, self.extensions());
        let most = kills * MAX_IN_FLIGHT + ends + extensions * EMPTY_DOUBTS;
        assert!(
            repeated <= most,
            "{story}: {repeated} pages were bought twice, {most} may be ({extensions} extensions): {:?}",
            stats.repeated_questions
        );
        let sum = |column: &str| {
            let sql = format!("SELECT sum({column}) FROM runs WHERE number > ?1");
            let sum =
                |journal: &Connection| journal.query_row(&sql, [self.runs_before], |row| row.get::<_, i64>(0)).unwrap();
            u64::try_from(looked_up(&self.job.state(), sum)).unwrap()
        };
        let (surely, perhaps) = (sum("attempts"), sum("reserved"));
        assert!(
            surely <= requests && requests <= perhaps,
            "{story}: {surely} attempts, {perhaps} reserved, {requests} requests"
        );
        Figures { runs, requests, repeated, ..Figures::default() }
    }

    /// Windows that starts have added to the latest run, since its range ends at the moment of a start.
    fn extensions(&self) -> u64 {
        let sql = "SELECT count(*) FROM events WHERE json_extract(json, '$.event') = 'range_extended'";
        let count = |journal: &Connection| journal.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        u64::try_from(looked_up(&self.job.state(), count)).unwrap()
    }

    /// The ranges of the second day's runs, which are one after another.
    fn runs(&self) -> Vec<TimeRange> {
        let sql = "SELECT range_start, range_end FROM runs WHERE number > ?1 ORDER BY number";
        looked_up(&self.job.state(), |journal| {
            let Ok(mut statement) = journal.prepare(sql) else { return Vec::new() };
            let ranges = statement.query_map([self.runs_before], |row| Ok(seconds(row.get(0)?, row.get(1)?))).unwrap();
            ranges.map(Result::unwrap).collect()
        })
    }

    /// Up to where the latest run has published each region, as its journal says.
    fn settled(&self) -> BTreeMap<String, i64> {
        let sql = "SELECT json_extract(json, '$.region'), max(json_extract(json, '$.until')) FROM events \
                   WHERE json_extract(json, '$.event') = 'slice_published' GROUP BY 1";
        looked_up(&self.job.state(), |journal| {
            let Ok(mut statement) = journal.prepare(sql) else { return BTreeMap::new() };
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
        })
    }
}

/// The settings of a day's service.
fn day(seed: u64, world: TimeRange, service: &mut SimulatorSettings) {
    service.seed = seed;
    service.world.regions = ["US", "GB"].map(crate::support::region).to_vec();
    (service.world.from, service.world.to) = (Moment(world.start), Moment(world.end));
    // The second day has fewer rows, so that its slices are longer than the former parts: each former part goes with the slice
    // that holds all of its seconds.
    service.world.rows = if seed == 1 { ROWS } else { ROWS * 3 / 4 };
    service.world.density = Density::Uniform;
    // These are the first seconds of the first day's range, where the world begins before it.
    let began = world.start.get() + 2_000;
    let dense = |second: i64| DenseSecond { second: Moment(EpochSeconds::new(began + second)), rows: 4 };
    service.world.dense_seconds = (2..12).map(dense).collect();
    service.odd.garbage = 0.02;
}

/// What a part holds, as its path says.
struct Held {
    region: String,
    start: String,
    end: String,
}

impl Held {
    fn by(file: &Path) -> Self {
        let levels = file.components().filter_map(|level| level.as_os_str().to_str());
        let region = levels.filter_map(|level| level.strip_prefix("query_region=")).next().unwrap().to_owned();
        let mut words = file.file_stem().unwrap().to_str().unwrap().split('-').skip(1).map(str::to_owned);
        Self { region, start: words.next().unwrap(), end: words.next().unwrap() }
    }
}

/// A second as the names of parts write it.
fn name_of(second: i64) -> String {
    jiff::Timestamp::from_second(second).unwrap().strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Copies a folder with everything in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() { copy(&path, &to.join(name)) } else { std::fs::copy(&path, to.join(name)).map(drop).unwrap() }
    }
}
