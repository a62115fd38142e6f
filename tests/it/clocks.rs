//! The machine's clock beside the service's: a relative range that a wrong clock made is not bought.

use keyapi_export::simulator::RunningSimulator;

use crate::support::{Job, around_now, holds_exactly_the_truth, is_whole, now, serve};

const HOURS: i32 = 3_600;

/// A service whose rows end now, and whose clock is that far from ours.
fn serve_apart(offset_s: i32, age_s: Option<u32>) -> RunningSimulator {
    serve(|service| {
        around_now(service, 5 * 86_400, 0);
        service.world.rows = 300;
        (service.contract.date_offset_s, service.contract.age_s) = (offset_s, age_s);
    })
}

#[test]
fn a_relative_range_of_a_wrong_clock_ends_with_7_after_one_request() {
    for offset in [-3 * HOURS, 3 * HOURS, 40 * 24 * HOURS] {
        let simulator = serve_apart(offset, None);
        let job = Job::of(&simulator).with_range_text("-3d", "now");
        let ended = job.run();
        assert_eq!(ended.code, 7, "{ended}");
        assert_eq!(simulator.stats().requests, 1, "{ended}");
        assert!(ended.error().contains("this machine's clock says"), "{ended}");
        // With the clock put right nothing of the wrong range is gone on with.
        simulator.change(|service| service.contract.date_offset_s = 0).unwrap();
        let right = job.run();
        assert_eq!(right.code, 0, "{right}");
        is_whole(&job);
    }
}

/// By a clock that is behind, the end of the range is moved back to what it takes for now.
#[test]
fn an_end_that_is_moved_back_to_now_counts_as_relative() {
    let simulator = serve_apart(3 * HOURS, None);
    let job = Job::of(&simulator).with_range_text(&(now() - 86_400).to_string(), &(now() + 86_400).to_string());
    assert_eq!(job.run().code, 7);
    assert_eq!(simulator.stats().requests, 1);
}

#[test]
fn a_written_range_is_exported_and_the_clocks_are_told() {
    let simulator = serve_apart(-3 * HOURS, None);
    let range = crate::support::seconds(now() - 2 * 86_400, now() - 86_400);
    let job = Job::of(&simulator).with_range(range);
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    assert_eq!(ended.stderr.matches("clock and the service's differ").count(), 1, "{ended}");
    holds_exactly_the_truth(&simulator, &job);
}

#[test]
fn clocks_that_agree_but_for_the_age_of_the_answer_are_no_news() {
    for (offset, age) in [(0, None), (-120, None), (240, None), (-2 * HOURS, Some(7_200))] {
        let simulator = serve_apart(offset, age);
        let job = Job::of(&simulator).with_range_text("-3d", "now");
        let ended = job.run();
        assert_eq!(ended.code, 0, "{offset} {age:?}: {ended}");
        assert!(!ended.stderr.contains("clock"), "{ended}");
    }
}
