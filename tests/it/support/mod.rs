//! What the tests of whole runs share: a job as a person would start it, what it told, and the rows that it left.
//!
//! The program is the real one, in a process of its own; the service is the simulator in this process; rows are read back
//! from the Parquet files and from nothing else.

mod fields;
mod job;
#[cfg(feature = "cloud")]
mod lake;
mod parrot;
mod rows;
mod table;

use std::time::{Duration, Instant};

use keyapi_export::api::contract::{Filters, Region};
use keyapi_export::simulator::{Density, Moment, RunningSimulator, Simulator, SimulatorSettings};
use keyapi_export::units::{EpochSeconds, TimeRange};

pub(crate) use fields::{as_served, documented};
pub(crate) use job::{Ended, Job, TOKEN};
#[cfg(feature = "cloud")]
pub(crate) use lake::Lake;
pub(crate) use parrot::{Asked, Parrot, Pieces};
pub(crate) use rows::{
    Found, batches, files_below, identities, identities_of_files, identities_of_manifest, parquet_files, truth_of,
};
pub(crate) use table::{TableLog, table_is_in_step};

/// How long anything may take before a test calls it stuck. Generous, because no test is about time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Starts a service whose settings are the healthy ones but for `change`.
pub(crate) fn serve(change: impl FnOnce(&mut SimulatorSettings)) -> RunningSimulator {
    let mut settings = SimulatorSettings::default();
    settings.world.rows = 4_000;
    change(&mut settings);
    Simulator::start(settings).unwrap()
}

/// Seconds since 1970, by this machine's clock.
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// The world reaches from `before` seconds ago to `after` seconds from now, as full in every hour: what such a test sees
/// must not depend on the time of day at which it runs.
pub(crate) fn around_now(service: &mut SimulatorSettings, before: i64, after: i64) {
    let moment = |second| Moment(EpochSeconds::new(second));
    (service.world.from, service.world.to) = (moment(now() - before), moment(now() + after));
    service.world.density = Density::Uniform;
}

/// A small world and a job of one worker, so that every number but sizes and times is the same each time.
pub(crate) fn small(change: impl FnOnce(&mut SimulatorSettings)) -> (RunningSimulator, Job) {
    let simulator = serve(|service| {
        service.world.rows = 500;
        service.world.to = "2025-12-04".parse().unwrap();
        change(service);
    });
    let job = Job::of(&simulator).with("--max-in-flight 1");
    (simulator, job)
}

/// Waits until `happened`; panics with `what` where it never does.
pub(crate) fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let began = Instant::now();
    while !happened() {
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The end of a region is looked at twice where nothing else confirms it: a page from the last second seen, and the empty one
/// after it. Where the last window, as it happens to be cut, began at just that second, both are questions that were asked.
pub(crate) const END_LOOKS: u64 = 2;

/// Runs the job to its end and holds everything that an undisturbed run promises: exit 0, exactly the truth, no page
/// bought twice but at a region's end, `_SUCCESS`, an agreeing `verify`, and a second start that asks nothing.
pub(crate) fn exports_exactly(simulator: &RunningSimulator, job: &Job) -> Ended {
    exports_exactly_among_doubts(simulator, job, END_LOOKS * job.regions().len() as u64)
}

/// The same of a service that gives reason to doubt its answers. A doubt is settled by reading again from an earlier second,
/// and where that second is the one that was read from before, the same question is asked again: at most so often.
pub(crate) fn exports_exactly_among_doubts(simulator: &RunningSimulator, job: &Job, most_repeats: u64) -> Ended {
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    holds_exactly_the_truth(simulator, job);
    let stats = simulator.stats();
    assert!(stats.repeated_purchases <= most_repeats, "bought twice: {:?}", stats.repeated_questions);
    is_whole(job);
    asks_nothing_more(simulator, job);
    ended
}

/// The output holds exactly the rows that the service has for the job's question, each once.
pub(crate) fn holds_exactly_the_truth(simulator: &RunningSimulator, job: &Job) {
    let found = identities(&job.out());
    let truth = truth_of(simulator.world(), &job.regions(), &job.filters, job.range());
    assert!(!truth.is_empty(), "a truth without rows proves nothing");
    same(&found, &truth);
}

/// Compares as sets, and shows only a few of what is missing or too much.
pub(crate) fn same(found: &[Found], truth: &[Found]) {
    let set = |rows: &[Found]| rows.iter().cloned().collect::<std::collections::BTreeSet<_>>();
    let (had, wanted) = (set(found), set(truth));
    let few = |rows: std::collections::btree_set::Difference<'_, Found>| {
        let count = rows.clone().count();
        (count, rows.take(3).cloned().collect::<Vec<_>>())
    };
    let (missing, surplus) = (few(wanted.difference(&had)), few(had.difference(&wanted)));
    assert!(
        missing.0 == 0 && surplus.0 == 0,
        "{} rows are right, missing: {missing:?}, too much: {surplus:?}",
        had.len()
    );
    assert_eq!(found.len(), had.len(), "some rows stand twice");
}

/// The output says of itself that it is complete, and `verify` agrees.
pub(crate) fn is_whole(job: &Job) {
    assert!(job.out().join("_SUCCESS").is_file());
    let verified = job.verify();
    assert_eq!(verified.code, 0, "{verified}");
    assert!(verified.stdout.contains("sound and complete"), "{verified}");
}

/// The same command again sends no request and says why.
pub(crate) fn asks_nothing_more(simulator: &RunningSimulator, job: &Job) {
    let before = (simulator.stats().requests, parquet_files(&job.out()));
    let again = job.run();
    assert_eq!(again.code, 0, "{again}");
    assert!(again.stdout.contains("no request was sent"), "{again}");
    assert!(again.stdout.contains("was finished before"), "{again}");
    assert_eq!(again.summary["requests_of_this_start"], 0, "{again}");
    assert_eq!((simulator.stats().requests, parquet_files(&job.out())), before, "{again}");
}

/// A region code.
pub(crate) fn region(code: &str) -> Region {
    code.parse().unwrap()
}

/// No filter at all.
pub(crate) fn unfiltered() -> Filters {
    Filters::default()
}

/// The half-open range between two epoch seconds.
pub(crate) fn seconds(start: i64, end: i64) -> TimeRange {
    TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(end))
}
