//! One bad region does not take the others with it: refused, dead, quiet, at the start, in mid-run and for a time.

use keyapi_export::simulator::{DeadForm, RunningSimulator, SimulatorSettings};

use crate::support::{
    Ended, Found, Job, around_now, holds_exactly_the_truth, identities, is_whole, now, region, same, serve, truth_of,
    unfiltered, until,
};

const OTHERS: [&str; 3] = ["US", "FR", "DE"];

fn serve_four(change: impl FnOnce(&mut SimulatorSettings)) -> RunningSimulator {
    serve(|service| {
        service.world.regions = ["US", "GB", "FR", "DE"].map(region).to_vec();
        service.world.rows = 1_000;
        change(service);
    })
}

fn job_of_four(simulator: &RunningSimulator) -> Job {
    Job::of(simulator).with_regions(&["US", "GB", "FR", "DE"])
}

fn refuses(how: &str) -> impl FnOnce(&mut SimulatorSettings) {
    let refused = how.parse().unwrap();
    |service| service.faults.refused_regions = vec![refused]
}

fn heals(simulator: &RunningSimulator) {
    let healed = |service: &mut SimulatorSettings| {
        service.faults.refused_regions.clear();
        service.faults.dead_regions.clear();
    };
    simulator.change(healed).unwrap();
}

fn rows_of(rows: Vec<Found>, codes: &[&str]) -> Vec<Found> {
    rows.into_iter().filter(|row| codes.contains(&row.0.as_str())).collect()
}

fn truth(simulator: &RunningSimulator, job: &Job, codes: &[&str]) -> Vec<Found> {
    let codes: Vec<_> = codes.iter().map(|code| region(code)).collect();
    truth_of(simulator.world(), &codes, &unfiltered(), job.range())
}

/// The others are whole, the one region's gap has a name and a reason, and nothing claims more.
fn is_whole_but_for_gb(ended: &Ended, simulator: &RunningSimulator, job: &Job, kind: &str) {
    assert_eq!(ended.code, 3, "{ended}");
    same(&rows_of(identities(&job.out()), &OTHERS), &truth(simulator, job, &OTHERS));
    let gaps = ended.summary["gaps"].as_array().unwrap();
    assert!(!gaps.is_empty() && gaps.iter().all(|gap| gap["region"] == "GB"), "{ended}");
    assert!(gaps.iter().all(|gap| gap["fault"]["kind"] == kind), "{ended}");
    let covered: Vec<(i64, i64)> = gaps
        .iter()
        .map(|gap| (gap["range"]["start"].as_i64().unwrap(), gap["range"]["end"].as_i64().unwrap()))
        .collect();
    let is_listed = |row: &Found| covered.iter().any(|(start, end)| *start <= row.1 && row.1 < *end);
    let outside =
        |rows: Vec<Found>| rows_of(rows, &["GB"]).into_iter().filter(|row| !is_listed(row)).collect::<Vec<_>>();
    same(&outside(identities(&job.out())), &outside(truth(simulator, job, &["GB"])));
    assert!(!job.out().join("_SUCCESS").exists());
    assert_eq!(job.verify().code, 3);
}

/// Once the region answers, the same command reads it and nothing else.
fn is_completed(simulator: &RunningSimulator, job: &Job) {
    heals(simulator);
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    holds_exactly_the_truth(simulator, job);
    is_whole(job);
}

fn is_refused_at_the_start(how: &str, flags: &str) {
    let simulator = serve_four(refuses(how));
    let job = job_of_four(&simulator).with(flags);
    let ended = job.run();
    is_whole_but_for_gb(&ended, &simulator, &job, "refused");
    let (code, words) = how.split_once('=').unwrap().1.split_once(':').unwrap();
    assert!(ended.stdout.contains(code) && ended.stdout.contains(words), "{ended}");
    let refused = simulator.stats().statuses.get(&code.parse().unwrap()).copied().unwrap_or_default();
    assert!(refused <= 8, "{refused} refused requests");
    is_completed(&simulator, &job);
}

#[test]
fn a_region_that_is_refused_with_403_is_a_gap_and_the_others_are_exported() {
    is_refused_at_the_start("GB=403:no access to region GB in your plan", "--max-in-flight 16");
}

#[test]
fn a_region_that_is_refused_with_404_is_a_gap_for_a_worker_alone_too() {
    is_refused_at_the_start("GB=404:no such region", "--max-in-flight 1");
}

/// A key that answers everything else is not refused.
#[test]
fn a_region_that_is_refused_with_401_while_others_answer_is_a_gap() {
    is_refused_at_the_start("GB=401:not for this region", "--max-in-flight 1");
}

/// Refused once the service has answered so many requests: too few for the whole region, enough for some of it.
fn is_refused_in_mid_run(flags: &str, answered: u64) {
    let simulator = serve_four(|service| {
        refuses("GB=403:your plan has changed")(service);
        service.faults.regions_fail_after = answered;
    });
    let job = job_of_four(&simulator).with(flags);
    let ended = job.run();
    is_whole_but_for_gb(&ended, &simulator, &job, "refused");
    is_completed(&simulator, &job);
}

#[test]
fn what_was_paid_for_of_a_region_that_is_refused_in_mid_run_is_published() {
    is_refused_in_mid_run("--max-in-flight 16", 90);
}

#[test]
fn what_was_paid_for_of_a_region_that_is_refused_in_mid_run_is_published_by_one_worker() {
    is_refused_in_mid_run("--max-in-flight 1", 150);
}

#[test]
fn regions_that_are_all_refused_end_with_6_after_few_requests() {
    let all = ["US", "GB", "FR", "DE"].map(|code| format!("{code}=403:not in your plan").parse().unwrap());
    let simulator = serve_four(|service| service.faults.refused_regions = all.to_vec());
    for workers in ["1", "16"] {
        let job = job_of_four(&simulator).with(&format!("--max-in-flight {workers}"));
        let before = simulator.stats().requests;
        let ended = job.run();
        assert_eq!(ended.code, 6, "{ended}");
        assert!(ended.error().contains("403: not in your plan"), "{ended}");
        let spent = simulator.stats().requests - before;
        assert!(spent <= 8, "{spent} requests with {workers} workers");
    }
    heals(&simulator);
    let job = job_of_four(&simulator);
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
}

fn single_refusals_are_asked_again(code: u16, flags: &str) {
    let simulator = serve(|service| {
        service.world.rows = 2_000;
        (service.faults.refusal, service.faults.refusal_code) = (0.02, code);
    });
    let job = Job::of(&simulator).with(flags);
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    let refused = simulator.stats().statuses.get(&code).copied().unwrap_or_default();
    assert!(refused > 0, "nothing was refused, so nothing is shown: {ended}");
    assert!(ended.summary["requests"]["retries"].as_u64().unwrap() > 0, "{ended}");
    holds_exactly_the_truth(&simulator, &job);
    is_whole(&job);
}

#[test]
fn a_401_amid_good_answers_is_asked_again_and_the_run_goes_on() {
    single_refusals_are_asked_again(401, "--max-in-flight 16");
}

#[test]
fn a_403_amid_good_answers_is_asked_again_by_one_worker() {
    single_refusals_are_asked_again(403, "--max-in-flight 1");
}

#[test]
fn a_404_amid_good_answers_is_asked_again_and_the_run_goes_on() {
    single_refusals_are_asked_again(404, "--max-in-flight 4");
}

fn a_dead_region_is_a_gap(form: DeadForm, after: u64) {
    let simulator = serve_four(|service| {
        service.faults.dead_regions = vec![region("GB")];
        service.faults.dead_form = form;
        service.faults.stall_s = 600.0;
        service.faults.regions_fail_after = after;
    });
    let job = job_of_four(&simulator)
        .with("--give-up-after 6s")
        .with_variable("KEYAPI_EXPORT_SERVICE__REQUEST_TIMEOUT", "1s");
    let ended = job.run();
    is_whole_but_for_gb(&ended, &simulator, &job, "unwell");
    is_completed(&simulator, &job);
}

#[test]
fn a_region_that_always_fails_is_a_gap_and_the_others_are_exported() {
    a_dead_region_is_a_gap(DeadForm::ServerError, 0);
}

#[test]
fn a_region_that_fails_from_mid_run_on_is_a_gap_after_what_was_paid_for() {
    a_dead_region_is_a_gap(DeadForm::ServerError, 90);
}

#[test]
fn a_region_that_always_hangs_is_a_gap_and_the_others_are_exported() {
    a_dead_region_is_a_gap(DeadForm::Stall, 0);
}

/// Nobody else is asked once the others are done, so what came as 429 was taken for the key's trouble, and each start ended with 5.
#[test]
fn a_region_that_answers_429_alone_once_the_others_are_done_is_a_gap() {
    let simulator = serve_four(|service| service.faults.dead_regions = vec![region("GB")]);
    let job = job_of_four(&simulator).with("--give-up-after 6s");
    let ended = job.run();
    is_whole_but_for_gb(&ended, &simulator, &job, "unwell");
    heals(&simulator);
    simulator.change(refuses("GB=429:too many requests")).unwrap();
    let ended = job.run();
    is_whole_but_for_gb(&ended, &simulator, &job, "unwell");
    is_completed(&simulator, &job);
}

/// One request hung for longer than a service may be silent, nobody else was asked, and each start ended with 5.
#[test]
fn a_region_that_hangs_alone_once_the_others_are_done_is_a_gap() {
    let simulator = serve_four(|service| service.faults.dead_regions = vec![region("GB")]);
    let job = job_of_four(&simulator)
        .with("--give-up-after 4s")
        .with_variable("KEYAPI_EXPORT_SERVICE__REQUEST_TIMEOUT", "7s");
    let ended = job.run();
    is_whole_but_for_gb(&ended, &simulator, &job, "unwell");
    let hangs = |service: &mut SimulatorSettings| {
        service.faults.dead_form = DeadForm::Stall;
        service.faults.stall_s = 600.0;
    };
    simulator.change(hangs).unwrap();
    let ended = job.run();
    is_whole_but_for_gb(&ended, &simulator, &job, "unwell");
    is_completed(&simulator, &job);
}

#[test]
fn a_service_that_answers_429_to_everybody_once_some_regions_are_done_ends_with_5() {
    let simulator = serve_four(|service| service.faults.dead_regions = vec![region("GB")]);
    let job = job_of_four(&simulator).with("--give-up-after 6s");
    assert_eq!(job.run().code, 3);
    heals(&simulator);
    let everybody = ["US", "GB", "FR", "DE"].map(|code| format!("{code}=429:too many requests").parse().unwrap());
    simulator.change(|service| service.faults.refused_regions = everybody.to_vec()).unwrap();
    let ended = job.run();
    assert_eq!(ended.code, 5, "{ended}");
    is_completed(&simulator, &job);
}

#[test]
fn a_relative_range_goes_on_to_new_days_beside_a_dead_region() {
    let simulator = serve(|service| {
        service.world.regions = ["US", "GB"].map(region).to_vec();
        around_now(service, 7_200, 7_200);
        service.faults.dead_regions = vec![region("GB")];
    });
    let job =
        Job::of(&simulator).with_regions(&["US", "GB"]).with_range_text("-3600s", "now").with("--give-up-after 4s");
    let end = |ended: &Ended| ended.summary["range"]["end"].as_i64().unwrap();
    let first = job.run();
    assert_eq!(first.code, 3, "{first}");
    let second = job.run();
    assert_eq!(second.code, 3, "{second}");
    assert!(end(&second) > end(&first), "the range stands still: {second}");
    let newest = identities(&job.out()).iter().map(|row| row.1).max().unwrap();
    assert!(newest >= end(&first), "no new row came");
}

#[test]
fn a_service_that_fails_as_a_whole_ends_with_5_also_with_several_regions() {
    let simulator = serve_four(|service| service.faults.server_error = 1.0);
    let job = job_of_four(&simulator).with("--give-up-after 4s");
    let ended = job.run();
    assert_eq!(ended.code, 5, "{ended}");
    simulator.change(|service| service.faults.server_error = 0.0).unwrap();
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    holds_exactly_the_truth(&simulator, &job);
}

/// A 402 for one region ended the run with 4, at every start anew.
#[test]
fn a_region_that_alone_says_that_nothing_is_left_to_spend_is_a_gap() {
    let simulator = serve_four(refuses("GB=402:this market is not part of your package"));
    let job = job_of_four(&simulator);
    for _ in 0..2 {
        let ended = job.run();
        is_whole_but_for_gb(&ended, &simulator, &job, "refused");
        assert!(format!("{ended}").contains("not part of your package"), "{ended}");
    }
    is_completed(&simulator, &job);
}

/// A question that is refused for good in words of a rate is refused, and no rate that passes: it ended with 5.
#[test]
fn a_region_that_is_refused_in_words_of_a_rate_is_a_gap_and_everything_refused_so_ends_with_6() {
    let words = "requests are limited to 10 per second for this market";
    let simulator = serve_four(refuses(&format!("GB=403:{words}")));
    let job = job_of_four(&simulator).with("--give-up-after 60s");
    let ended = job.run();
    is_whole_but_for_gb(&ended, &simulator, &job, "refused");
    assert!(format!("{ended}").contains(words), "{ended}");
    let alone = job_of_four(&simulator).with_regions(&["GB"]).with("--give-up-after 3s");
    let ended = alone.run();
    assert_eq!(ended.code, 6, "{ended}");
    assert!(format!("{ended}").contains(words), "{ended}");
}

/// Whether it is one region or the key is asked of one other region, and of no more where that has answered before.
#[test]
fn a_quota_that_is_used_up_in_a_run_of_several_regions_is_not_hammered() {
    let simulator = serve_four(|service| {
        service.limits.credits = Some(150);
        service.limits.latency_ms = 5.0;
    });
    let job = job_of_four(&simulator).with("--max-in-flight 4");
    let ended = job.run();
    assert_eq!(ended.code, 4, "{ended}");
    assert!(ended.stdout.contains("the key's quota is used up"), "{ended}");
    assert!(simulator.stats().out_of_credits <= 8, "{:?}", simulator.stats());
    // Nothing is left from the start: each region is asked once or twice.
    let told = simulator.stats().out_of_credits;
    assert_eq!(job.run().code, 4);
    assert!(simulator.stats().out_of_credits - told <= 6, "{:?}", simulator.stats());
    simulator.change(|service| service.limits.credits = None).unwrap();
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    holds_exactly_the_truth(&simulator, &job);
}

#[test]
fn a_quota_that_is_used_up_beside_a_refused_region_ends_with_4() {
    let simulator = serve_four(|service| {
        refuses("GB=403:not in your plan")(service);
        service.limits.credits = Some(120);
    });
    let job = job_of_four(&simulator);
    let ended = job.run();
    assert_eq!(ended.code, 4, "{ended}");
    simulator.change(|service| service.limits.credits = None).unwrap();
    let ended = job.run();
    is_whole_but_for_gb(&ended, &simulator, &job, "refused");
    is_completed(&simulator, &job);
}

#[test]
fn a_budget_that_is_used_up_beside_a_refused_region_ends_with_4() {
    let simulator = serve_four(refuses("GB=403:not in your plan"));
    let job = job_of_four(&simulator);
    let ended = job.run_with("--max-credits 120");
    assert_eq!(ended.code, 4, "{ended}");
    let ended = job.run();
    is_whole_but_for_gb(&ended, &simulator, &job, "refused");
}

#[test]
fn kills_beside_a_refused_region_change_nothing_of_what_comes_out() {
    let simulator = serve_four(|service| {
        refuses("GB=403:not in your plan")(service);
        service.faults.regions_fail_after = 60;
        service.limits.latency_ms = 10.0;
    });
    let job = job_of_four(&simulator).with("--max-in-flight 4");
    for pages in [40, 80, 120, 160] {
        let mut running = job.start();
        until("some pages, or the end", || simulator.stats().pages > pages || !running.is_alive());
        let _it_may_have_ended = running.kill();
    }
    let ended = job.run();
    is_whole_but_for_gb(&ended, &simulator, &job, "refused");
    is_completed(&simulator, &job);
}

/// The service keeps a region's code and drops all its rows: the second day's answer is an empty one in every way.
#[test]
fn a_region_that_has_had_rows_and_has_none_any_more_is_complete() {
    let world = |service: &mut SimulatorSettings, regions: &[&str]| {
        service.world.regions = regions.iter().map(|code| region(code)).collect();
        around_now(service, 7_200, 7_200);
    };
    let first = serve(|service| world(service, &["US", "GB"]));
    let job = Job::of(&first).with_regions(&["US", "GB"]).with_range_text("-1800s", "now");
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    let listen = first.address();
    first.stop();
    let end = ended.summary["range"]["end"].as_i64().unwrap();
    for _ in 0..2 {
        let quiet = serve(|service| {
            world(service, &["US"]);
            service.listen = listen;
        });
        let moved_on = || now() > end + 1;
        until("the range to move on", moved_on);
        let ended = job.run();
        assert_eq!(ended.code, 0, "{ended}");
        quiet.stop();
    }
}

/// A run that reads everything again and loses a region in mid-run takes nothing away that it has not replaced: what the output held of the
/// gap stays, beside what came of it, and each row is there once.
#[test]
fn what_the_output_held_of_a_region_that_fails_while_it_is_read_again_stays() {
    for partition in ["day", "none"] {
        let simulator = serve_four(|_| ());
        let job = job_of_four(&simulator).with("--max-in-flight 4").with(&format!("--partition {partition}"));
        assert_eq!(job.run().code, 0);
        let job = job.with("--reread all");
        for answered in [60, 20, 10] {
            let before = simulator.stats().requests;
            let fails = |service: &mut SimulatorSettings| {
                refuses("GB=403:your plan has changed")(service);
                service.faults.regions_fail_after = before + answered;
            };
            simulator.change(fails).unwrap();
            let ended = job.run();
            assert_eq!(ended.code, 3, "{partition} {answered}: {ended}");
            holds_exactly_the_truth(&simulator, &job);
            assert_eq!(job.verify().code, 3, "{partition} {answered}");
        }
        is_completed(&simulator, &job);
    }
}
