//! A run's rows are exactly the service's rows, however the service turns out where its contract is silent.

use arrow::array::AsArray as _;
use keyapi_export::api::contract::Filters;
use keyapi_export::simulator::{
    Bound, Compression, Density, EmptyPage, OversizedPage, PastLastPage, RunningSimulator, ShortPages,
    SimulatorSettings, Sort, TieOrder, World,
};

use crate::support::{
    END_LOOKS, Job, as_served, batches, documented, exports_exactly, exports_exactly_among_doubts,
    holds_exactly_the_truth, is_whole, parquet_files, region, serve,
};

fn exports_exactly_from(change: impl FnOnce(&mut SimulatorSettings)) {
    let simulator = serve(change);
    exports_exactly(&simulator, &Job::of(&simulator));
}

#[test]
fn evenly_spread_rows_are_exported_exactly() {
    exports_exactly_from(|service| {
        service.world.density = Density::Uniform;
        service.world.rows = 20_000;
    });
}

#[test]
fn rows_with_busy_evenings_are_exported_exactly() {
    exports_exactly_from(|service| service.world.density = Density::Daily);
}

#[test]
fn rows_in_bursts_are_exported_exactly() {
    exports_exactly_from(|service| service.world.density = Density::Bursty);
}

#[test]
fn rows_of_a_single_hour_are_exported_exactly() {
    exports_exactly_from(|service| service.world.density = Density::OneHour);
}

#[test]
fn rows_of_a_single_second_are_exported_exactly() {
    exports_exactly_from(|service| {
        service.world.density = Density::OneSecond;
        service.world.rows = 2_000;
    });
}

#[test]
fn a_crowded_second_among_others_is_exported_exactly() {
    exports_exactly_from(|service| {
        service.world.dense_seconds = vec!["2025-12-05T12:00:00Z=350".parse().unwrap()];
    });
}

/// 200 rows come from the first, the others from the last.
#[test]
fn a_second_above_the_cap_is_exported_exactly_from_both_ends() {
    exports_exactly_from(|service| {
        service.contract.last_page = 20;
        service.world.rows = 1_000;
        service.world.dense_seconds = vec!["2025-12-05T12:00:00Z=350".parse().unwrap()];
    });
}

#[test]
fn a_second_that_fills_hundreds_of_pages_is_read_by_several_workers_and_exactly() {
    let simulator = serve(|service| {
        service.world.rows = 1_000;
        service.world.dense_seconds = vec!["2025-12-05T12:00:00Z=5000".parse().unwrap()];
        service.limits.latency_ms = 10.0;
    });
    exports_exactly(&simulator, &Job::of(&simulator).with("--max-in-flight 12"));
}

/// Few workers make windows that are longer than the cap.
fn exports_exactly_beyond_a_cap_of_50_pages(past_last_page: PastLastPage) {
    let simulator = serve(|service| {
        service.contract.last_page = 50;
        service.contract.past_last_page = past_last_page;
        service.world.density = Density::Daily;
        service.world.rows = 6_000;
    });
    exports_exactly(&simulator, &Job::of(&simulator).with("--max-in-flight 2"));
}

#[test]
fn a_cap_of_50_pages_that_answers_400_loses_nothing() {
    exports_exactly_beyond_a_cap_of_50_pages(PastLastPage::BadRequest);
}

#[test]
fn a_cap_of_50_pages_that_answers_404_loses_nothing() {
    exports_exactly_beyond_a_cap_of_50_pages(PastLastPage::NotFound);
}

#[test]
fn a_cap_of_50_pages_that_answers_nothing_loses_nothing() {
    exports_exactly_beyond_a_cap_of_50_pages(PastLastPage::Empty);
}

#[test]
fn a_cap_of_50_pages_that_answers_400_inside_a_200_loses_nothing() {
    exports_exactly_beyond_a_cap_of_50_pages(PastLastPage::BadRequestInside);
}

/// Both were taken for a region or a service that is out of order, and the run ended with 6 or 5, at each start.
#[test]
fn a_cap_of_50_pages_that_answers_403_loses_nothing() {
    exports_exactly_beyond_a_cap_of_50_pages(PastLastPage::Forbidden);
}

#[test]
fn a_cap_of_50_pages_that_answers_500_loses_nothing() {
    exports_exactly_beyond_a_cap_of_50_pages(PastLastPage::ServerError);
}

#[test]
fn a_cap_of_50_pages_that_repeats_its_last_page_loses_nothing() {
    exports_exactly_beyond_a_cap_of_50_pages(PastLastPage::RepeatLast);
}

#[test]
fn each_inclusivity_of_the_bounds_gives_the_same_rows() {
    for min_bound in [Bound::Inclusive, Bound::Exclusive] {
        for max_bound in [Bound::Inclusive, Bound::Exclusive] {
            let simulator = serve(|service| {
                (service.contract.min_bound, service.contract.max_bound) = (min_bound, max_bound);
                service.world.rows = 3_000;
                // So many rows a second that every bound of the range has rows on it and beside it.
                service.world.from = "2025-12-01T23:00:00Z".parse().unwrap();
                service.world.to = "2025-12-02T01:00:00Z".parse().unwrap();
                let edges = ["2025-12-01T23:19:59Z=3", "2025-12-01T23:20:00Z=4", "2025-12-02T00:39:59Z=5"];
                service.world.dense_seconds = edges.map(|edge| edge.parse().unwrap()).to_vec();
                service.world.dense_seconds.push("2025-12-02T00:40:00Z=6".parse().unwrap());
            });
            let world = simulator.world().range();
            let inner = keyapi_export::units::TimeRange::new(world.start.shifted(1_200), world.end.shifted(-1_200));
            exports_exactly(&simulator, &Job::of(&simulator).with_range(inner));
        }
    }
}

#[test]
fn an_end_that_is_told_by_null_or_by_nothing_is_an_end() {
    for empty_page in [EmptyPage::Null, EmptyPage::Missing] {
        exports_exactly_from(|service| service.contract.empty_page = empty_page);
    }
}

#[test]
fn compressed_answers_are_exported_exactly() {
    exports_exactly_from(|service| service.contract.compression = Compression::Gzip);
}

#[test]
fn any_order_within_a_second_is_exported_exactly() {
    for tie_order in [TieOrder::Stable, TieOrder::Unmirrored] {
        exports_exactly_from(|service| {
            service.contract.tie_order = tie_order;
            service.contract.oversized_page = OversizedPage::Clamped;
            service.world.density = Density::Bursty;
        });
    }
}

#[test]
fn pages_that_are_shorter_than_asked_end_nothing() {
    let simulator = serve(|service| {
        service.contract.short_pages = ShortPages::Filtered;
        service.contract.short_fraction = 0.3;
    });
    // Twenty short pages are doubted before they count as the service's habit. Each is looked at as a whole twice, by the same
    // question: a service that leaves rows out may leave out another one each time.
    exports_exactly_among_doubts(&simulator, &Job::of(&simulator), 60);
}

#[test]
fn a_service_that_ignores_the_sort_is_exported_exactly() {
    let simulator = serve(|service| {
        service.contract.sort = Sort::Ignored;
        service.world.rows = 2_000;
    });
    // The first page is asked once more before the disorder is believed, and once as the first of a bounded window.
    exports_exactly_among_doubts(&simulator, &Job::of(&simulator), 3);
}

#[test]
fn several_regions_are_exported_exactly_into_one_output() {
    let simulator = serve(|service| {
        service.world.regions = ["US", "GB", "DE"].map(region).to_vec();
        service.world.rows = 2_000;
    });
    exports_exactly(&simulator, &Job::of(&simulator).with_regions(&["US", "DE"]));
}

#[test]
fn filters_are_sent_and_the_rest_is_not_bought() {
    let simulator = serve(|_| {});
    let filters = Filters {
        sales_flag: Some(0),
        created_by_ai: Some(false),
        min_duration: Some(10),
        max_duration: Some(300),
        ..Filters::default()
    };
    let flags = "--sales-flag 0 --created-by-ai false --min-duration 10 --max-duration 300";
    let job = Job::of(&simulator).with_filters(filters, flags);
    exports_exactly(&simulator, &job);
    assert!(simulator.stats().rows < 4_000, "every row was bought");
}

#[test]
fn faults_of_every_kind_lose_no_row() {
    let simulator = serve(|service| {
        let faults = &mut service.faults;
        (faults.server_error, faults.bad_gateway, faults.error_inside) = (0.03, 0.03, 0.03);
        (faults.not_json, faults.reset, faults.cut_body) = (0.03, 0.03, 0.03);
        (faults.stall, faults.stall_s) = (0.01, 30.0);
    });
    let job = Job::of(&simulator).with_variable("KEYAPI_EXPORT_SERVICE__REQUEST_TIMEOUT", "1s");
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    holds_exactly_the_truth(&simulator, &job);
    is_whole(&job);
    let stats = simulator.stats();
    assert!(stats.resets > 0 && stats.cut_bodies > 0 && stats.stalls > 0 && stats.errors_inside > 0, "{stats:?}");
    assert!(stats.repeated_purchases <= END_LOOKS, "bought twice: {:?}", stats.repeated_questions);
    let retries = ended.summary["requests"]["retries"].as_u64().unwrap();
    assert!(retries > 0, "{ended}");
}

#[test]
fn a_rate_limit_throttles_and_loses_no_row() {
    let simulator = serve(|service| {
        service.world.rows = 2_000;
        (service.limits.requests_per_second, service.limits.bucket_capacity) = (100, 5);
        service.limits.retry_after_s = 1;
    });
    exports_exactly(&simulator, &Job::of(&simulator).with("--qps 150"));
    assert!(simulator.stats().throttled > 0);
}

/// Every row of the output, field by field, is the row that was served; gives the number of rows.
fn holds_every_field(world: &World, job: &Job) -> usize {
    let mut rows = 0;
    for batch in parquet_files(&job.out()).iter().flat_map(|file| batches(file)) {
        let videos = batch.column_by_name("video_id").unwrap().as_string::<i32>();
        for place in 0..batch.num_rows() {
            let video_id = videos.value(place);
            let served = world.row_json(&region("US"), video_id).unwrap();
            assert_eq!(documented(&batch, place), as_served(&served), "{served}");
            rows += 1;
        }
    }
    rows
}

#[test]
fn every_documented_field_of_every_row_is_the_one_that_was_served() {
    let simulator = serve(|_| {});
    let job = Job::of(&simulator);
    exports_exactly(&simulator, &job);
    assert_eq!(holds_every_field(simulator.world(), &job), 4_000);
}

fn serve_odd_values() -> RunningSimulator {
    serve(|service| {
        let odd = &mut service.odd;
        (odd.null_field, odd.missing_field, odd.decimal_amount) = (0.05, 0.05, 0.2);
        (odd.number_as_text, odd.text_as_number, odd.unknown_field) = (0.1, 0.1, 0.1);
        (odd.control_character, odd.lone_surrogate) = (0.05, 0.05);
        (odd.huge_description, odd.huge_bytes) = (0.005, 60_000);
    })
}

#[test]
fn odd_values_lose_no_row_and_no_value() {
    let simulator = serve_odd_values();
    let job = Job::of(&simulator);
    exports_exactly(&simulator, &job);
    assert_eq!(holds_every_field(simulator.world(), &job), 4_000);
}

#[test]
fn what_no_column_can_hold_is_kept_beside_the_row() {
    let simulator = serve_odd_values();
    let job = Job::of(&simulator);
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    let (mut unknown_fields, mut halves) = (0, 0);
    for batch in parquet_files(&job.out()).iter().flat_map(|file| batches(file)) {
        let extras = batch.column_by_name("_extra").unwrap().as_string::<i32>();
        let videos = batch.column_by_name("video_id").unwrap().as_string::<i32>();
        for (extra, video_id) in extras.iter().zip(videos).map(|(extra, video)| (extra, video.unwrap())) {
            let served = simulator.world().row_json(&region("US"), video_id).unwrap();
            let kept: serde_json::Value = serde_json::from_str(extra.unwrap_or("{}")).unwrap();
            for name in ["music_id", "is_promoted", "region_rank"] {
                // Numbers must come through letter by letter, so the texts are compared.
                if let Some((_, sent)) = served.split_once(&format!("\"{name}\":")) {
                    let extra = extra.unwrap_or_else(|| panic!("{name} is lost: {served}"));
                    let told = extra.split_once(&format!("\"{name}\":")).unwrap().1;
                    assert_eq!(told.trim_end_matches('}'), sent.trim_end_matches('}'), "{extra}");
                    unknown_fields += 1;
                }
            }
            let has_half = served.contains("\\ud83d ") || served.contains("\\uDE02 ");
            assert_eq!(kept.get("video_desc").is_some(), has_half, "{served}\n{kept}");
            halves += usize::from(has_half);
        }
    }
    assert!(unknown_fields > 200 && halves > 100, "{unknown_fields} unknown fields, {halves} halves");
}

#[test]
fn rows_that_lie_about_their_time_do_not_move_the_walk() {
    let simulator = serve(|service| service.odd.wrong_date = 0.01);
    let job = Job::of(&simulator);
    let ended = job.run();
    // A time of 0 is taken for none; the other lies are rows outside the range.
    assert_eq!(ended.code, 3, "{ended}");
    let lies = simulator.world().wrong_dates(&region("US"), &Filters::default(), job.range()).get();
    assert!((1..=lies).contains(&ended.summary["rejected"].as_u64().unwrap()), "{lies} lies: {ended}");
    assert!(ended.summary["gaps"].as_array().unwrap().is_empty(), "{ended}");
    assert!(ended.summary["unproven"].as_array().unwrap().is_empty(), "{ended}");
    holds_exactly_the_truth(&simulator, &job);
}
