//! A service that changes while it is read: what was there all the time is in the output, and nothing that never was.

use std::collections::BTreeSet;

use keyapi_export::simulator::{Presence, RunningSimulator, ShortPages, TieOrder};

use crate::support::{Ended, Found, Job, identities, region, serve, unfiltered};

/// Seconds that the run itself calls unproven or lost.
fn is_listed(ended: &Ended, second: i64) -> bool {
    ["gaps", "unproven"].iter().any(|list| {
        ended.summary[list].as_array().unwrap().iter().any(|listed| {
            let bound = |name: &str| listed["range"][name].as_i64().unwrap();
            bound("start") <= second && second < bound("end")
        })
    })
}

/// Every row that was always there and is not in a listed second is in the output once, and no row is made up.
fn holds_what_stayed(simulator: &RunningSimulator, job: &Job, ended: &Ended) {
    assert!(ended.code == 0 || ended.code == 3, "{ended}");
    let found = identities(&job.out());
    let distinct: BTreeSet<&Found> = found.iter().collect();
    assert_eq!(distinct.len(), found.len(), "some rows stand twice");
    let truth = simulator.world().truth(&region("US"), &unfiltered(), job.range());
    let row = |row: &keyapi_export::simulator::TruthRow| ("US".to_owned(), row.second.get(), row.video_id.clone());
    let possible: BTreeSet<Found> = truth.iter().map(row).collect();
    assert!(found.iter().all(|row| possible.contains(row)), "rows that never were");
    let stayed = truth.iter().filter(|row| row.presence == Presence::Always).map(row);
    let missing: Vec<Found> = stayed.filter(|row| !distinct.contains(row) && !is_listed(ended, row.1)).collect();
    assert!(missing.is_empty(), "{} rows are missing and not listed: {:?}\n{ended}", missing.len(), &missing[..1]);
}

#[test]
fn rows_that_appear_meanwhile_push_no_other_row_out() {
    for seed in 1..4 {
        let simulator = serve(|service| {
            service.seed = seed;
            service.drift.inserts_per_1000 = 200.0;
        });
        let job = Job::of(&simulator);
        holds_what_stayed(&simulator, &job, &job.run());
    }
}

#[test]
fn rows_that_come_and_go_meanwhile_push_no_other_row_out_of_an_atomic_walk() {
    for seed in 1..4 {
        let simulator = serve(|service| {
            service.seed = seed;
            service.world.rows = 2_000;
            (service.drift.inserts_per_1000, service.drift.deletes_per_1000) = (200.0, 200.0);
        });
        let job = Job::of(&simulator).with("--consistency atomic");
        holds_what_stayed(&simulator, &job, &job.run());
    }
}

#[test]
fn rows_of_one_second_in_another_order_each_time_are_all_there_or_listed() {
    let simulator = serve(|service| {
        service.contract.tie_order = TieOrder::Fresh;
        service.world.dense_seconds =
            vec!["2025-12-05T12:00:00Z=40".parse().unwrap(), "2025-12-09T12:00:00Z=9".parse().unwrap()];
    });
    let job = Job::of(&simulator);
    holds_what_stayed(&simulator, &job, &job.run());
}

#[test]
fn short_pages_that_hide_their_last_row_hide_nothing_for_good() {
    // Whether a short page stands at the end of a window is a matter of seed and workers.
    for seed in 1..=4 {
        for workers in [3, 5, 7, 11] {
            let simulator = serve(|service| {
                service.seed = seed;
                service.world.rows = 1_000;
                (service.contract.short_pages, service.contract.short_fraction) = (ShortPages::Hidden, 0.05);
                service.limits.latency_ms = 2.0;
            });
            let job = Job::of(&simulator).with(&format!("--max-in-flight {workers}"));
            holds_what_stayed(&simulator, &job, &job.run());
        }
    }
}
