//! `plan`: what it says of the rows and the price, what it spends, and that the run goes on with it.

use keyapi_export::simulator::{PastLastPage, RunningSimulator, SimulatorSettings};
use keyapi_export::units::{DAY_SECONDS, TimeRange};
use serde_json::Value;

use crate::support::{
    END_LOOKS, Ended, Job, holds_exactly_the_truth, identities, is_whole, parquet_files, serve, truth_of,
};

fn told(ended: &Ended) -> Value {
    assert_eq!(ended.code, 0, "{ended}");
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended}"))
}

fn plan(job: &Job, flags: &str) -> Value {
    told(&job.plan(&format!("--json {flags}")))
}

fn rows_of(simulator: &RunningSimulator, job: &Job) -> u64 {
    truth_of(simulator.world(), &job.regions(), &job.filters, job.range()).len() as u64
}

fn holds(interval: &Value, truth: u64) -> bool {
    let bound = |name: &str| interval[name].as_u64().unwrap();
    bound("low") <= bound("estimate")
        && bound("estimate") <= bound("high")
        && (bound("low")..=bound("high")).contains(&truth)
}

fn is_exactly(interval: &Value, truth: u64) -> bool {
    ["low", "estimate", "high"].iter().all(|name| interval[name] == truth)
}

fn days(change: impl FnOnce(&mut SimulatorSettings)) -> (RunningSimulator, Job) {
    let simulator = serve(|service| {
        service.world.to = "2025-12-08".parse().unwrap();
        change(service);
    });
    let job = Job::of(&simulator);
    (simulator, job)
}

/// The run goes on with what the forecast has bought: no page comes twice, the rows are the truth, and the price is as it was told.
#[test]
fn a_forecast_counts_the_rows_and_the_run_goes_on_with_what_it_bought() {
    for (rows, workers) in [(4_000, 16), (2_500, 1), (130, 16)] {
        let (simulator, job) = days(|service| service.world.rows = rows);
        let job = job.with(&format!("--max-in-flight {workers}"));
        let (truth, forecast) = (rows_of(&simulator, &job), plan(&job, ""));
        assert_eq!(forecast["exact"], true, "{forecast}");
        assert!(is_exactly(&forecast["rows"], truth), "{truth}: {forecast}");
        let spent = simulator.stats().requests;
        assert_eq!(forecast["requests_spent"], spent);
        assert!(spent <= 22, "{spent}");
        assert!(parquet_files(&job.out()).is_empty(), "a forecast publishes nothing");

        let run = job.run();
        assert_eq!(run.code, 0, "{run}");
        holds_exactly_the_truth(&simulator, &job);
        is_whole(&job);
        let stats = simulator.stats();
        assert!(stats.repeated_purchases <= END_LOOKS, "bought twice: {:?}", stats.repeated_questions);
        assert_eq!(run.summary["requests"]["attempts"], stats.requests);
        assert!(holds(&forecast["credits"], stats.requests), "{}: {forecast}", stats.requests);
        assert!(stats.requests <= truth.div_ceil(10) * 103 / 100 + 14, "{}", stats.requests);

        let covered = plan(&job, "");
        assert!(is_exactly(&covered["credits"], 0) && is_exactly(&covered["rows"], 0), "{covered}");
        assert_eq!((&covered["requests_spent"], simulator.stats().requests), (&Value::from(0), stats.requests));
        let words = job.plan("");
        assert!(words.stdout.contains("`run` would send no request"), "{words}");
    }
}

/// What is known is not asked again: a second forecast costs nothing and says the same.
#[test]
fn a_second_forecast_asks_nothing_and_says_the_same() {
    let (simulator, job) = days(|_| {});
    let (first, asked) = (plan(&job, ""), simulator.stats().requests);
    let second = plan(&job, "");
    assert_eq!(simulator.stats().requests, asked);
    assert_eq!((&second["rows"], &second["requests_spent"]), (&first["rows"], &Value::from(0)));
    assert_eq!(second["requests_spent_before"], asked);
}

#[test]
fn regions_share_the_credits_of_a_forecast() {
    let (simulator, job) = days(|service| {
        service.world.regions = ["US", "GB", "DE"].map(|code| code.parse().unwrap()).to_vec();
    });
    let job = job.with_regions(&["US", "GB", "DE"]);
    let forecast = plan(&job, "");
    assert!(is_exactly(&forecast["rows"], rows_of(&simulator, &job)), "{forecast}");
    assert_eq!(forecast["regions"].as_array().unwrap().len(), 3);
    let few = days(|service| service.world.regions = job.regions());
    let other = Job::of(&few.0).with_regions(&["US", "GB", "DE"]);
    let forecast = plan(&other, "--probe-credits 10");
    assert!(holds(&forecast["rows"], rows_of(&few.0, &other)), "{forecast}");
    assert_eq!(few.0.stats().requests, 10);
    assert_eq!(forecast["exact"], false);
}

/// An empty page may be a cap: where the service serves few pages, the rest is sampled, and nothing of it is called exact.
#[test]
fn a_service_that_serves_few_pages_is_sampled() {
    let (simulator, job) = days(|service| service.contract.last_page = 12);
    let forecast = plan(&job, "--probe-credits 40");
    assert!(holds(&forecast["rows"], rows_of(&simulator, &job)), "{forecast}");
    assert_eq!(forecast["exact"], false, "{forecast}");
    assert!(simulator.stats().requests <= 40);
}

/// Pages beyond the last one bring that one again: each number was believed, and 2,000,600 rows were foretold of 3,000.
#[test]
fn a_page_that_comes_again_beyond_the_last_is_not_counted_by() {
    for last_page in [12, 40, 120] {
        let (simulator, job) = days(|service| {
            service.world.rows = 3_000;
            (service.contract.last_page, service.contract.past_last_page) = (last_page, PastLastPage::RepeatLast);
        });
        let (forecast, truth) = (plan(&job, ""), rows_of(&simulator, &job));
        let estimate = forecast["rows"]["estimate"].as_u64().unwrap();
        assert!((truth / 2..truth * 2).contains(&estimate), "{last_page}: {truth}: {forecast}");
        assert!(!is_exactly(&forecast["rows"], estimate) || estimate == truth, "{last_page}: {forecast}");
    }
}

#[test]
fn a_dry_run_sends_nothing_writes_nothing_and_needs_no_key() {
    let (simulator, job) = days(|_| {});
    let job = job.without_variable("KEYAPI_TOKEN");
    let dry = plan(&job, "--dry-run");
    assert_eq!(dry["windows"][0]["region"], "US");
    let urls: Vec<&str> = dry["requests"].as_array().unwrap().iter().map(|one| one["url"].as_str().unwrap()).collect();
    assert!(urls.iter().all(|url| url.starts_with(job.base_url()) && url.contains("region=US")), "{urls:?}");
    let words = job.plan("--dry-run");
    assert!(words.code == 0 && words.stdout.contains("nothing was sent"), "{words}");
    assert_eq!(simulator.stats().requests, 0);
    assert!(!job.out().exists() && !job.state().exists());
}

/// A person plans, sees the price, and takes a smaller range, or another partition: both must simply work.
#[test]
fn after_a_forecast_a_run_may_ask_something_else() {
    let (simulator, mut job) = days(|_| {});
    plan(&job, "");
    let spent = simulator.stats().requests;
    job.set("--partition month");
    let run = job.run();
    assert_eq!(run.code, 0, "{run}");
    holds_exactly_the_truth(&simulator, &job);
    assert!(simulator.stats().repeated_purchases <= END_LOOKS, "another layout goes on with what was bought");
    assert_eq!(run.summary["requests"]["attempts"], simulator.stats().requests);
    assert!(spent > 0);

    let (simulator, job) = days(|_| {});
    plan(&job, "");
    let range = job.range();
    let day = job.with_range(TimeRange::new(range.start, range.start.shifted(2 * DAY_SECONDS)));
    let run = day.run();
    assert_eq!(run.code, 0, "{run}");
    holds_exactly_the_truth(&simulator, &day);
    assert!(
        identities(&day.out()).len() as u64 == rows_of(&simulator, &day),
        "nothing of the planned range is published"
    );
}

#[test]
fn what_ends_a_run_ends_a_forecast_with_the_same_code() {
    let (_simulator, job) = days(|service| service.contract.token = "another".to_owned());
    let refused = job.plan("");
    assert_eq!(refused.code, 6, "{refused}");
    let (simulator, job) = days(|service| service.limits.credits = Some(4));
    let spent = job.plan("");
    assert_eq!(spent.code, 4, "{spent}");
    assert!(spent.error().contains("quota"), "{spent}");
    simulator.stop();
    let (simulator, job) = days(|_| {});
    let few = job.plan("--max-credits 3");
    assert_eq!((few.code, simulator.stats().requests), (4, 3), "{few}");
    let forecast = plan(&job, "--probe-credits 3");
    assert_eq!(simulator.stats().requests, 6, "{forecast}");
    // An unfinished run of something else is not closed for a forecast.
    let unfinished = job.run_with("--max-credits 30");
    assert_eq!(unfinished.code, 4, "{unfinished}");
    let range = job.range();
    let day = job.with_range(TimeRange::new(range.start, range.start.shifted(DAY_SECONDS)));
    let other = day.plan("");
    assert_eq!(other.code, 2, "{other}");
    assert!(other.error().contains("unfinished run"), "{other}");
}

/// A third of all requests fail or are throttled: the forecast says the same, within its credits.
#[test]
fn a_forecast_gets_through_trouble_within_its_credits() {
    let (simulator, job) = days(|service| {
        service.faults.server_error = 0.2;
        service.faults.reset = 0.1;
    });
    let forecast = plan(&job, "");
    assert!(holds(&forecast["rows"], rows_of(&simulator, &job)), "{forecast}");
    assert_eq!(forecast["requests_spent"], simulator.stats().requests);
    assert!(simulator.stats().requests <= 60);
}
