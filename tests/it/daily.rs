//! A job for every day: the same relative command on later days replaces what its range covers and keeps what it does not.
//!
//! The clock is real, so two days are two services at the same address whose rows have nothing in common: whatever stands
//! in the output afterwards tells which day it came from.

use keyapi_export::simulator::{Density, Moment, RunningSimulator, SimulatorSettings};
use keyapi_export::units::{DAY_SECONDS, EpochSeconds, TimeRange};

use crate::support::{
    END_LOOKS, Ended, Found, Job, identities, now, parquet_files, region, same, seconds, serve, truth_of, unfiltered,
    until,
};

/// The range that a run resolved for itself.
fn range_of(ended: &Ended) -> TimeRange {
    let bound = |name: &str| ended.summary["range"][name].as_i64().unwrap();
    seconds(bound("start"), bound("end"))
}

/// The service of a day: the first one wherever there is room, a later one in its place.
fn serve_day(day: u64, range: TimeRange, in_place_of: Option<RunningSimulator>) -> RunningSimulator {
    let settings = |service: &mut SimulatorSettings| {
        service.seed = day;
        (service.world.from, service.world.to) = (Moment(range.start), Moment(range.end));
        service.world.rows = 4_000;
        service.world.density = Density::Uniform;
    };
    match in_place_of {
        None => serve(settings),
        Some(yesterday) => {
            let listen = yesterday.address();
            yesterday.stop();
            serve(|service| {
                settings(service);
                service.listen = listen;
            })
        }
    }
}

fn truth(simulator: &RunningSimulator, range: TimeRange) -> Vec<Found> {
    truth_of(simulator.world(), &[region("US")], &unfiltered(), range)
}

fn ends_whole(job: &Job) -> Ended {
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    let verified = job.verify();
    assert_eq!(verified.code, 0, "{verified}");
    ended
}

#[test]
fn whole_days_are_replaced_by_the_next_run_of_the_same_command() {
    let today = EpochSeconds::new(now()).day_start();
    let world = TimeRange::new(today.shifted(-9 * DAY_SECONDS), today.shifted(2 * DAY_SECONDS));
    let first = serve_day(1, world, None);
    let job = Job::of(&first).with_range_text("-7d", "now");
    let ended = ends_whole(&job);
    same(&identities(&job.out()), &truth(&first, range_of(&ended)));
    // A run that began in the same second would have the same range, and nothing to do.
    let end = range_of(&ended).end.get();
    until("the clock to move on", || now() > end);
    let second = serve_day(2, world, Some(first));
    let ended = ends_whole(&job);
    assert!(second.stats().requests > 0, "{ended}");
    same(&identities(&job.out()), &truth(&second, range_of(&ended)));
    assert!(second.stats().repeated_purchases <= END_LOOKS, "{:?}", second.stats().repeated_questions);
}

#[test]
fn what_a_later_range_does_not_cover_is_kept() {
    let world = seconds(now() - 3_600, now() + 3_600);
    let first = serve_day(1, world, None);
    let job = Job::of(&first).with_range_text("-1200s", "now");
    let former = range_of(&ends_whole(&job));
    let early = truth(&first, former);
    assert!(early.len() > 100, "{} rows", early.len());
    until("the range to move on", || now() >= former.end.get() + 5);
    let second = serve_day(2, world, Some(first));
    let later = range_of(&ends_whole(&job));
    assert!(former.start < later.start && former.end < later.end, "{former} {later}");
    let kept = early.into_iter().filter(|row| row.1 < later.start.get());
    let expected: Vec<Found> = kept.chain(truth(&second, later)).collect();
    same(&identities(&job.out()), &expected);
    // A third day carries over what the second one had carried over.
    until("the range to move on", || now() >= later.end.get() + 2);
    let third = serve_day(3, world, Some(second));
    let last = range_of(&ends_whole(&job));
    let kept = expected.into_iter().filter(|row| row.1 < last.start.get());
    let expected: Vec<Found> = kept.chain(truth(&third, last)).collect();
    same(&identities(&job.out()), &expected);
}

#[test]
fn a_day_that_is_killed_and_run_again_ends_with_its_own_range() {
    let world = seconds(now() - 3_600, now() + 3_600);
    let first = serve_day(1, world, None);
    let job = Job::of(&first).with_range_text("-1200s", "now");
    let former = range_of(&ends_whole(&job));
    until("the range to move on", || now() >= former.end.get() + 2);
    let early = truth(&first, former);
    let second = serve_day(2, world, Some(first));
    second.change(|service| service.limits.latency_ms = 10.0).unwrap();
    let mut running = job.start();
    until("some pages of the second day", || second.stats().pages > 30 || !running.is_alive());
    assert!(running.kill());
    // The unfinished run is finished first, and then a new range is resolved and exported.
    let later = range_of(&ends_whole(&job));
    let kept = early.into_iter().filter(|row| row.1 < later.start.get()).collect::<Vec<_>>();
    let found = identities(&job.out());
    let distinct: std::collections::BTreeSet<_> = found.iter().map(|row| &row.2).collect();
    assert_eq!(distinct.len(), found.len(), "some rows stand twice");
    let covered: Vec<Found> = found.iter().filter(|row| row.1 >= later.start.get()).cloned().collect();
    same(&covered, &truth(&second, later));
    // Between the two starts lies what the unfinished run had covered: the second day's rows, and before it the first day's.
    let before: Vec<Found> = found.into_iter().filter(|row| row.1 < later.start.get()).collect();
    let second_day = truth(&second, seconds(former.start.get(), later.start.get()));
    assert!(before.iter().all(|row| kept.contains(row) || second_day.contains(row)), "rows of no day");
}

#[test]
fn snapshots_keep_the_history_that_replacing_would_lose() {
    let today = EpochSeconds::new(now()).day_start();
    let world = TimeRange::new(today.shifted(-3 * DAY_SECONDS), today.shifted(2 * DAY_SECONDS));
    let first = serve_day(1, world, None);
    let job = Job::of(&first).with_range_text("-2d", "now").with_variable("KEYAPI_EXPORT_OUTPUT__SNAPSHOT", "true");
    let ended = ends_whole(&job);
    same(&identities(&job.out()), &truth(&first, range_of(&ended)));
    let has_level = |path: &std::path::PathBuf| path.display().to_string().contains("/snapshot=");
    let files = parquet_files(&job.out());
    assert!(!files.is_empty() && files.iter().all(has_level), "{files:?}");
}
