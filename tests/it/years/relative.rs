//! A range that moves with the clock, and a run of it that did not end.

use rusqlite::Connection;

use super::{ENDS, now, range_of, serve_today, truth};
use crate::support::{Found, Job, identities, is_whole, same, until};

/// How many runs the state knows.
fn runs(job: &Job) -> i64 {
    let journal = Connection::open(job.state().join("journal.sqlite")).unwrap();
    journal.query_row("SELECT count(*) FROM runs", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_relative_run_that_dies_is_gone_on_with_up_to_the_new_end_for_the_price_of_one() {
    let simulator = serve_today(5_000);
    let job = Job::of(&simulator).with_range_text("-36000s", "now").with("--max-in-flight 4");
    simulator.change(|service| service.limits.latency_ms = 5.0).unwrap();
    let mut began = None;
    for pages in [40, 90, 140] {
        let end = now();
        until("the clock to move on", || now() > end);
        let mut running = job.start();
        until("some pages", || simulator.stats().pages > pages || !running.is_alive());
        assert!(running.kill(), "the run was over before it was killed");
        began.get_or_insert(end + 1);
    }
    let end = now();
    until("the clock to move on", || now() > end);
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    assert_eq!(runs(&job), 1, "the same run");
    let range = range_of(&ended);
    assert!(range.end.get() > end, "{range}");
    same(&identities(&job.out()), &truth(&simulator, "US", range));
    is_whole(&job);
    let rows = truth(&simulator, "US", range).len() as u64;
    let asked = simulator.stats().requests;
    // Three deaths with four requests on their way, and what each new end costs.
    assert!(asked <= rows.div_ceil(10) + 3 * 4 + 4 * ENDS, "{asked} requests for {rows} rows");
    assert!(simulator.stats().repeated_purchases <= 3 * 4 + 8, "{:?}", simulator.stats());
}

#[test]
fn a_run_that_spent_its_credits_goes_on_the_same_day_and_makes_room_on_a_later_one() {
    let simulator = serve_today(3_000);
    let job = Job::of(&simulator).with_range_text("-36000s", "now").with("--max-in-flight 2").with("--max-credits 60");
    let first = job.run();
    assert_eq!(first.code, 4, "{first}");
    let again = job.run();
    assert_eq!((again.code, runs(&job)), (4, 1), "its budget holds: {again}");
    assert_eq!(simulator.stats().requests, 60);
    let yesterday = "UPDATE runs SET spent_at = spent_at - 86400";
    Connection::open(job.state().join("journal.sqlite")).unwrap().execute(yesterday, []).unwrap();
    let paid: Vec<Found> = identities(&job.out());
    let later = job.run_with("--max-credits 100");
    assert_eq!(later.code, 4, "{later}");
    assert_eq!((runs(&job), simulator.stats().requests), (2, 160), "a budget of its own");
    assert_eq!(later.summary["requests"]["attempts"], 100, "{later}");
    let published = identities(&job.out());
    assert!(paid.iter().all(|row| published.contains(row)), "what was paid for is published");
    assert!(published.len() >= 400, "{} rows of 60 pages and more", published.len());
    let ended = job.run_with("--max-credits 1000");
    assert_eq!((ended.code, runs(&job)), (0, 2), "{ended}");
    let range = range_of(&ended);
    let found = identities(&job.out()).into_iter().filter(|row| row.1 >= range.start.get()).collect::<Vec<_>>();
    same(&found, &truth(&simulator, "US", range));
}
