//! Trouble that begins and ends while a run reads, the same for every worker: nothing is lost without a word, and after the trouble
//! the same command completes what is missing.

use keyapi_export::simulator::{RunningSimulator, SimulatorSettings, Sort, ThrottleForm, TroubleForm};

use crate::support::{
    Ended, Found, Job, exports_exactly, holds_exactly_the_truth, identities, is_whole, region, same, serve, truth_of,
    unfiltered,
};

/// An end is confirmed this long after the first answer, and each trouble is shorter.
const CONFIRMS: &str = "--confirm-after 4s";

fn serve_two(change: impl FnOnce(&mut SimulatorSettings)) -> RunningSimulator {
    serve(|service| {
        service.world.regions = ["US", "GB"].map(region).to_vec();
        service.world.rows = 1_500;
        change(service);
    })
}

fn job_of_two(simulator: &RunningSimulator, workers: &str) -> Job {
    Job::of(simulator).with_regions(&["US", "GB"]).with(CONFIRMS).with(&format!("--max-in-flight {workers}"))
}

/// What is missing lies in listed time; with 0 nothing is.
fn loses_nothing_without_a_word(ended: &Ended, simulator: &RunningSimulator, job: &Job) {
    assert!(matches!(ended.code, 0 | 3), "{ended}");
    let unproven = ended.summary["unproven"].as_array().unwrap().iter();
    let listed: Vec<(String, i64, i64)> = unproven
        .chain(ended.summary["gaps"].as_array().unwrap())
        .map(|one| {
            let second = |end: &str| one["range"][end].as_i64().unwrap();
            (one["region"].as_str().unwrap().to_owned(), second("start"), second("end"))
        })
        .collect();
    assert_eq!(listed.is_empty(), ended.code == 0, "{ended}");
    let is_listed =
        |row: &Found| listed.iter().any(|(region, start, end)| *region == row.0 && *start <= row.1 && row.1 < *end);
    let outside = |rows: Vec<Found>| rows.into_iter().filter(|row| !is_listed(row)).collect::<Vec<_>>();
    let truth = truth_of(simulator.world(), &job.regions(), &unfiltered(), job.range());
    same(&outside(identities(&job.out())), &outside(truth));
}

fn holds(change: impl Fn(&mut SimulatorSettings), workers: &str) {
    let simulator = serve_two(change);
    let job = job_of_two(&simulator, workers);
    let ended = job.run();
    loses_nothing_without_a_word(&ended, &simulator, &job);
    simulator.change(|service| service.faults.trouble = TroubleForm::None).unwrap();
    let again = job.run();
    assert_eq!(again.code, 0, "the first start: {ended}\nthe second: {again}");
    holds_exactly_the_truth(&simulator, &job);
    is_whole(&job);
}

/// Troubles of a kind: at the very beginning, in the middle, and about the end of a run of some 300 requests; and more of them where
/// `HTTP_TROUBLES` asks for more than five, spread over the run.
fn troubles(form: TroubleForm, workers: &str) {
    let wanted = std::env::var("HTTP_TROUBLES").map_or(5, |runs| runs.parse().unwrap());
    let spread = (0_u32..).map(|run| (u64::from(run * 37 % 310), 0.3 + f64::from(run * 7 % 30) / 10.0));
    let fixed = [(0, 0.5), (3, 2.0), (90, 0.5), (150, 2.5), (290, 1.5)];
    for when in fixed.into_iter().chain(spread).take(wanted) {
        holds(|service| begins(service, form, when), workers);
    }
}

/// A trouble after so many requests, for so many seconds.
fn begins(service: &mut SimulatorSettings, form: TroubleForm, (after, seconds): (u64, f64)) {
    (service.faults.trouble, service.faults.trouble_after, service.faults.trouble_s) = (form, after, seconds);
}

#[test]
fn pages_that_come_empty_for_a_while_lose_nothing_for_one_worker() {
    troubles(TroubleForm::Empty, "1");
}

#[test]
fn pages_that_come_empty_for_a_while_lose_nothing_for_sixteen() {
    troubles(TroubleForm::Empty, "16");
}

#[test]
fn answers_of_another_region_for_a_while_lose_nothing_for_one_worker() {
    troubles(TroubleForm::OtherRegion, "1");
}

#[test]
fn answers_of_another_region_for_a_while_lose_nothing_for_sixteen() {
    troubles(TroubleForm::OtherRegion, "16");
}

#[test]
fn answers_of_another_time_for_a_while_lose_nothing_for_one_worker() {
    troubles(TroubleForm::OtherTime, "1");
}

#[test]
fn answers_of_another_time_for_a_while_lose_nothing_for_sixteen() {
    troubles(TroubleForm::OtherTime, "16");
}

#[test]
fn pages_with_fewer_places_for_a_while_lose_nothing_for_one_worker() {
    troubles(TroubleForm::FewerPlaces, "1");
}

#[test]
fn pages_with_fewer_places_for_a_while_lose_nothing_for_sixteen() {
    troubles(TroubleForm::FewerPlaces, "16");
}

/// Rows that could not be placed for two seconds were kept apart for good: every later start ended with 3, and only `--fresh` was left.
#[test]
fn rows_without_an_id_for_a_while_lose_nothing_for_one_worker() {
    troubles(TroubleForm::WithoutIds, "1");
}

#[test]
fn rows_without_an_id_for_a_while_lose_nothing_for_sixteen() {
    troubles(TroubleForm::WithoutIds, "16");
}

/// A row that was not asked for stood before those of each page, in the place of the tenth: one row of ten was missing, and nothing told of it but that
/// one row was rejected. That one may stay rejected: it was served, and nobody asked for it.
fn others_in_their_places_lose_no_row(workers: &str) {
    for when in [(0, 0.5), (3, 2.0), (90, 0.5), (150, 2.5), (290, 1.5)] {
        let simulator = serve_two(|service| begins(service, TroubleForm::Advertised, when));
        let job = job_of_two(&simulator, workers);
        let ended = job.run();
        assert!(matches!(ended.code, 0 | 3), "{ended}");
        simulator.change(|service| service.faults.trouble = TroubleForm::None).unwrap();
        let again = if ended.code == 0 { ended } else { job.run() };
        let listed = |of: &str| again.summary[of].as_array().map(Vec::len);
        assert_eq!((listed("gaps"), listed("unproven")), (Some(0), Some(0)), "{again}");
        holds_exactly_the_truth(&simulator, &job);
    }
}

#[test]
fn rows_whose_places_others_have_for_a_while_are_not_lost_for_one_worker() {
    others_in_their_places_lose_no_row("1");
}

#[test]
fn rows_whose_places_others_have_for_a_while_are_not_lost_for_sixteen() {
    others_in_their_places_lose_no_row("16");
}

/// All rows come under other names from some moment on. That was asked on for as long as it went, at four credits a page.
#[test]
fn rows_that_no_page_can_place_end_the_run_soon_and_it_goes_on_once_they_are_right() {
    for (workers, after, most) in [("1", 0, 16), ("16", 0, 16), ("1", 90, 20), ("16", 90, 120)] {
        let simulator = serve(|service| {
            service.world.rows = 2_000;
            begins(service, TroubleForm::WithoutIds, (after, 86_000.0));
        });
        let job = Job::of(&simulator).with("--confirm-after 2s").with(&format!("--max-in-flight {workers}"));
        let ended = job.run();
        assert_eq!(ended.code, 6, "{ended}");
        assert!(ended.stderr.contains("page after page holds no row with a `video_id`"), "{ended}");
        assert!(ended.stderr.contains("_rejected") && ended.summary["rejected"].as_u64() >= Some(30), "{ended}");
        let asked = simulator.stats().requests;
        assert!(asked <= after + most, "{asked} requests after {after}: {ended}");
        simulator.change(|service| service.faults.trouble = TroubleForm::None).unwrap();
        let again = job.run();
        assert_eq!((again.code, again.summary["rejected"].as_u64()), (0, Some(0)), "{ended}\n{again}");
        holds_exactly_the_truth(&simulator, &job);
        is_whole(&job);
    }
}

/// Rows that are so for good come again where their seconds are read again, on pages beside others: each of them is kept.
#[test]
fn rows_that_stay_without_an_id_are_all_kept_where_whole_pages_are_so() {
    for seed in 1..=3 {
        let simulator = serve(|service| {
            service.seed = seed;
            (service.world.rows, service.odd.garbage) = (1_000, 0.7);
        });
        let job = Job::of(&simulator).with("--confirm-after 1s");
        let ended = job.run();
        assert_eq!(ended.code, 3, "{ended}");
        let count = |name: &str| ended.summary[name].as_u64().unwrap();
        assert_eq!(count("rows") + count("rejected"), 1_000, "{ended}");
    }
}

/// All that a start was answered came empty: the next one asks again, for some requests, and finds out.
#[test]
fn a_region_that_came_empty_all_the_time_is_read_by_the_next_start() {
    for regions in [&["US"][..], &["US", "GB"]] {
        let simulator = serve_two(|service| {
            (service.faults.trouble, service.faults.trouble_s) = (TroubleForm::Empty, 3_600.0);
        });
        let job = Job::of(&simulator).with_regions(regions).with("--confirm-after 1s");
        let ended = job.run();
        assert_eq!(ended.code, 3, "{ended}");
        assert!(
            ended.stdout.contains("the same command") || ended.stdout.contains("check the region codes"),
            "{ended}"
        );
        let again = job.run();
        assert_eq!(again.code, 3, "{again}");
        let asked = simulator.stats().requests;
        assert!(asked <= 12 * regions.len() as u64, "{asked}");
        simulator.change(|service| service.faults.trouble = TroubleForm::None).unwrap();
        let again = job.run();
        assert_eq!(again.code, 0, "{again}");
        holds_exactly_the_truth(&simulator, &job);
        is_whole(&job);
    }
}

/// Where a service does not sort as it is asked, or not newest first, its ends were once believed inside the same trouble.
fn unsorted(sort: Sort, workers: &str) {
    for when in [(3, 2.0), (90, 0.5), (150, 2.5)] {
        let trouble = |service: &mut SimulatorSettings| {
            service.contract.sort = sort;
            begins(service, TroubleForm::Empty, when);
        };
        holds(trouble, workers);
    }
}

#[test]
fn empty_pages_of_a_service_without_order_are_no_end() {
    unsorted(Sort::Ignored, "1");
    unsorted(Sort::Ignored, "16");
}

#[test]
fn empty_pages_of_a_service_that_never_answers_newest_first_are_no_end() {
    unsorted(Sort::AlwaysAscending, "1");
    unsorted(Sort::AlwaysAscending, "16");
}

/// A limit that answers empty pages in place of 429 slows the run down as a 429 does.
#[test]
fn empty_pages_above_a_rate_are_no_end() {
    for (per_second, workers) in [(20, "16"), (60, "16"), (60, "1")] {
        let limit = |service: &mut SimulatorSettings| {
            service.limits.requests_per_second = per_second;
            service.limits.bucket_capacity = 5;
            service.limits.throttle_form = ThrottleForm::EmptyPage;
        };
        let simulator = serve_two(limit);
        let job = job_of_two(&simulator, workers).with("--qps auto");
        let ended = job.run();
        assert_eq!(ended.code, 0, "{ended}");
        holds_exactly_the_truth(&simulator, &job);
    }
}

/// What confirms the ends of an honest region costs two requests, and the summary tells where nothing was confirmed. One worker asks the
/// same in both runs; of several, it is chance which pages are asked before others are known.
#[test]
fn an_honest_region_pays_two_requests_for_its_ends() {
    let simulator = serve_two(|_| {});
    let believes = Job::of(&simulator).with("--max-in-flight 1");
    let ended = exports_exactly(&simulator, &believes);
    let asked = simulator.stats().requests;
    assert!(ended.stdout.contains("confirm_after is 0s") && ended.summary["confirm_after_s"] == 0, "{ended}");
    let confirms = Job::of(&simulator).with("--confirm-after 1s --max-in-flight 1");
    let ended = confirms.run();
    assert_eq!(ended.code, 0, "{ended}");
    holds_exactly_the_truth(&simulator, &confirms);
    assert!(!ended.stdout.contains("confirm_after") && ended.summary["confirm_after_s"] == 1, "{ended}");
    assert!(simulator.stats().requests - asked <= asked + 2, "{asked} before; {ended}");
}

/// An empty region of a service that is well costs at most six requests, its confirmation included.
#[test]
fn an_empty_region_costs_at_most_six_requests() {
    let simulator = serve(|service| service.world.regions = ["US", "GB"].map(region).to_vec());
    let job = Job::of(&simulator).with_regions(&["NZ"]).with("--confirm-after 1s");
    job.run();
    let spent = simulator.stats().requests;
    assert!(spent <= 6, "{spent} requests");
}
