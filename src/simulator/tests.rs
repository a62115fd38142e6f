//! The simulator as its users meet it: over real HTTP, and through its truth.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::*;
use crate::api::contract::{Filters, PageQuery, Region, SOURCE, TimeOrder};
use crate::units::{EpochSeconds, LAST_PAGE, PageNumber, RowCount, TimeRange};

/// A client of one simulator.
struct Client {
    http: reqwest::Client,
    base_url: String,
}

/// An answer, read whole.
#[derive(Debug)]
struct Reply {
    status: u16,
    body: String,
    retry_after: Option<String>,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn rows(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.body);
        self.json()["data"].as_array().cloned().unwrap_or_default()
    }

    fn message(&self) -> String {
        self.json()["message"].as_str().unwrap().to_owned()
    }
}

impl Client {
    fn of(simulator: &RunningSimulator) -> Self {
        // An error only says that another test was first.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        Self { http: reqwest::Client::builder().no_proxy().build().unwrap(), base_url: simulator.base_url() }
    }

    async fn send(&self, path: &str, pairs: &[(&str, String)]) -> reqwest::Result<Reply> {
        let query = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<String>>().join("&");
        let request = self.http.get(format!("{}{path}?{query}", self.base_url)).bearer_auth("sk_live_x");
        let response = request.send().await?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        Ok(Reply { status, body: response.text().await?, retry_after })
    }

    async fn page(&self, query: &PageQuery) -> Reply {
        self.send(SOURCE.path, &query.pairs()).await.unwrap()
    }

    async fn first(&self) -> Reply {
        self.page(&query(1)).await
    }

    /// The ids of every page up to the empty one, in order.
    async fn read_all(&self, mut query: PageQuery) -> Vec<(i64, String)> {
        let mut read = Vec::new();
        loop {
            let rows = self.page(&query).await.rows();
            if rows.is_empty() {
                return read;
            }
            read.extend(rows.iter().map(identity));
            query.page = query.page.next().unwrap();
        }
    }
}

fn identity(row: &Value) -> (i64, String) {
    (row["create_time"].as_str().unwrap().parse().unwrap(), row["video_id"].as_str().unwrap().to_owned())
}

fn us() -> Region {
    "US".parse().unwrap()
}

fn query(page: u32) -> PageQuery {
    PageQuery {
        region: us(),
        filters: Filters::default(),
        min_create_time: None,
        max_create_time: None,
        order: TimeOrder::OldestFirst,
        page: PageNumber::new(page).unwrap(),
    }
}

fn start(change: impl FnOnce(&mut SimulatorSettings)) -> (RunningSimulator, Client) {
    let mut settings = SimulatorSettings::default();
    settings.world.rows = 1_000;
    change(&mut settings);
    let simulator = Simulator::start(settings).unwrap();
    let client = Client::of(&simulator);
    (simulator, client)
}

fn truth(simulator: &RunningSimulator, filters: &Filters) -> BTreeSet<(i64, String)> {
    let world = simulator.world();
    let rows = world.truth(&us(), filters, world.range());
    rows.into_iter().map(|row| (row.second.get(), row.video_id)).collect()
}

/// Asserts that a whole paged read is the truth, each row once, and ordered; returns how many rows there are.
async fn reads_the_truth(change: impl FnOnce(&mut SimulatorSettings), filters: Filters) -> usize {
    let (simulator, client) = start(change);
    let read = client.read_all(PageQuery { filters: filters.clone(), ..query(1) }).await;
    assert!(read.iter().map(|(second, _)| second).is_sorted());
    let truth = truth(&simulator, &filters);
    assert_eq!(read.len(), truth.len());
    assert_eq!(read.into_iter().collect::<BTreeSet<_>>(), truth);
    truth.len()
}

#[tokio::test]
async fn a_whole_paged_read_is_the_truth_for_every_density() {
    for density in [Density::Uniform, Density::Daily, Density::Bursty, Density::OneHour, Density::OneSecond] {
        let rows = reads_the_truth(|settings| settings.world.density = density, Filters::default()).await;
        assert_eq!(rows, 1_000, "{density:?}");
    }
}

#[tokio::test]
async fn a_whole_paged_read_is_the_truth_for_every_filter() {
    let none = Filters::default;
    let (simulator, _client) = start(|_| {});
    let world = simulator.world();
    let sold = world.truth(&us(), &Filters { sales_flag: Some(1), ..none() }, world.range());
    let json: Value = serde_json::from_str(&world.row_json(&us(), &sold[0].video_id).unwrap()).unwrap();
    let inside = |name: &str| serde_json::from_str::<Value>(json[name].as_str().unwrap()).unwrap();
    let filters = [
        Filters { sales_flag: Some(2), ..none() },
        Filters { created_by_ai: Some(true), ..none() },
        Filters { min_duration: Some(10), max_duration: Some(30), ..none() },
        Filters { is_ad: Some(true), ..none() },
        Filters { product_id: Some(inside("video_products")[0].to_string()), ..none() },
        Filters {
            product_category_id: Some(inside("product_category_list")[0]["category_id"].as_str().unwrap().to_owned()),
            sales_flag: Some(1),
            ..none()
        },
    ];
    for filters in filters {
        let rows = reads_the_truth(|_| {}, filters.clone()).await;
        assert!((1..800).contains(&rows), "{filters:?}: {rows}");
    }
}

#[tokio::test]
async fn the_same_seed_is_the_same_world_and_another_seed_is_not() {
    let first = |seed| async move {
        let (_simulator, client) = start(|settings| settings.seed = seed);
        client.first().await.rows()
    };
    assert_eq!(first(5).await, first(5).await);
    assert_ne!(first(5).await, first(6).await);
}

#[tokio::test]
async fn newest_first_is_oldest_first_reversed_and_unknown_regions_are_empty() {
    let (_simulator, client) = start(|_| {});
    let mut newest = client.read_all(PageQuery { order: TimeOrder::NewestFirst, ..query(1) }).await;
    newest.reverse();
    assert_eq!(newest, client.read_all(query(1)).await);
    let elsewhere = client.page(&PageQuery { region: "ZZ".parse().unwrap(), ..query(1) }).await;
    assert_eq!(elsewhere.json()["data"], Value::Array(Vec::new()));
}

#[tokio::test]
async fn each_bound_is_inclusive_or_not_as_it_is_set() {
    let cases = [
        (Bound::Inclusive, Bound::Inclusive, 40),
        (Bound::Exclusive, Bound::Inclusive, 25),
        (Bound::Inclusive, Bound::Exclusive, 15),
        (Bound::Exclusive, Bound::Exclusive, 0),
    ];
    for (min_bound, max_bound, expected) in cases {
        let (simulator, client) = start(|settings| {
            settings.world.rows = 0;
            let dense = |text: &str| text.parse().unwrap();
            settings.world.dense_seconds = vec![dense("2025-12-05T00:00:00Z=15"), dense("2025-12-05T00:00:01Z=25")];
            (settings.contract.min_bound, settings.contract.max_bound) = (min_bound, max_bound);
        });
        let (min, max) = (Some(EpochSeconds::new(1_764_892_800)), Some(EpochSeconds::new(1_764_892_801)));
        let read = client.read_all(PageQuery { min_create_time: min, max_create_time: max, ..query(1) }).await;
        assert_eq!(read.len(), expected, "{min_bound:?} {max_bound:?}");
        assert_eq!(truth(&simulator, &Filters::default()).len(), 40);
    }
}

#[tokio::test]
async fn pages_end_where_the_rows_end_in_each_empty_shape() {
    for (empty_page, data) in [
        (EmptyPage::Brackets, Some(Value::Array(Vec::new()))),
        (EmptyPage::Null, Some(Value::Null)),
        (EmptyPage::Missing, None),
    ] {
        let (_simulator, client) = start(|settings| {
            settings.world.rows = 25;
            settings.contract.empty_page = empty_page;
        });
        assert_eq!(client.page(&query(3)).await.rows().len(), 5);
        let empty = client.page(&query(4)).await.json();
        assert_eq!(empty.get("data").cloned(), data);
        assert_eq!((&empty["code"], empty["requestId"].as_str().unwrap().len()), (&Value::from(0), 36));
    }
}

#[tokio::test]
async fn past_the_cap_lies_what_is_set() {
    for (past_last_page, status, code, rows) in [
        (PastLastPage::BadRequest, 400, 400, 0),
        (PastLastPage::NotFound, 404, 404, 0),
        (PastLastPage::BadRequestInside, 200, 400, 0),
        (PastLastPage::Forbidden, 403, 403, 0),
        (PastLastPage::ServerError, 500, 500, 0),
        (PastLastPage::Empty, 200, 0, 0),
        (PastLastPage::RepeatLast, 200, 0, 10),
    ] {
        let (_simulator, client) = start(|settings| {
            settings.contract.last_page = 50;
            settings.contract.past_last_page = past_last_page;
        });
        let last = client.page(&query(50)).await.rows();
        assert_eq!(last.len(), 10);
        let past = client.page(&query(51)).await;
        assert_eq!((past.status, &past.json()["code"]), (status, &Value::from(code)), "{past_last_page:?}");
        let past = past.json()["data"].as_array().cloned().unwrap_or_default();
        assert_eq!(past.len(), rows);
        assert!(rows == 0 || past == last);
    }
}

#[tokio::test]
async fn a_row_offset_shifts_by_rows() {
    let (_simulator, client) = start(|settings| settings.contract.page_num = PageNum::RowOffset);
    let (one, two) = (client.first().await.rows(), client.page(&query(2)).await.rows());
    assert_eq!(one[1..], two[..9]);
}

#[tokio::test]
async fn an_ignored_sort_is_stable_and_complete_but_in_no_order() {
    let (simulator, client) = start(|settings| settings.contract.sort = Sort::Ignored);
    let read = client.read_all(query(1)).await;
    assert!(!read.is_sorted());
    assert_eq!(read, client.read_all(query(1)).await);
    assert_eq!(read.into_iter().collect::<BTreeSet<_>>(), truth(&simulator, &Filters::default()));
}

#[tokio::test]
async fn filtered_short_pages_lose_a_row_each_and_the_truth_knows() {
    let short = |settings: &mut SimulatorSettings| settings.contract.short_pages = ShortPages::Filtered;
    assert_eq!(reads_the_truth(short, Filters::default()).await, 900);
    let (simulator, client) = start(short);
    for page in 1..=100 {
        assert_eq!(client.page(&query(page)).await.rows().len(), 9);
    }
    let world = simulator.world();
    assert_eq!(world.slots(&us(), &Filters::default(), world.range()), RowCount::new(1_000));
}

#[tokio::test]
async fn a_hidden_row_shows_where_pages_are_cut_elsewhere() {
    let (simulator, client) = start(|settings| settings.contract.short_pages = ShortPages::Hidden);
    assert_eq!(truth(&simulator, &Filters::default()).len(), 1_000);
    let page = client.first().await.rows();
    assert_eq!(page.len(), 9);
    assert_eq!(client.first().await.rows(), page, "asking the same page again shows nothing new");
    let last = EpochSeconds::new(identity(&page[8]).0);
    let again = client.page(&PageQuery { min_create_time: Some(last), ..query(1) }).await.rows();
    assert!(again.iter().any(|row| !page.contains(row)) && again.contains(&page[8]));
}

#[tokio::test]
async fn fresh_ties_are_never_the_same_twice_and_stay_in_their_second() {
    let (simulator, client) = start(|settings| {
        settings.world.rows = 35;
        settings.world.density = Density::OneSecond;
        settings.contract.tie_order = TieOrder::Fresh;
    });
    let mut readings = Vec::new();
    for _ in 0..4 {
        readings.push(client.first().await.rows());
    }
    assert!(readings.iter().any(|rows| *rows != readings[0]));
    let truth = truth(&simulator, &Filters::default());
    assert!(readings.iter().flatten().all(|row| truth.contains(&identity(row))));
}

#[tokio::test]
async fn a_bad_request_is_told_in_the_vendors_words() {
    let (_simulator, client) = start(|_| {});
    let reply =
        client.send(SOURCE.path, &[("page_num", "1".to_owned()), ("page_size", "10".to_owned())]).await.unwrap();
    assert_eq!(reply.status, 400);
    assert_eq!(reply.body, r#"{"code":400,"data":null,"message":"Missing required parameter: region"}"#);
    assert_eq!(client.send("/v2", &[]).await.unwrap().status, 404);
}

#[tokio::test]
async fn keys_are_checked_and_may_be_echoed() {
    let (simulator, client) = start(|settings| settings.contract.token = "sk_live_other".to_owned());
    let reply = client.first().await;
    assert_eq!((reply.status, reply.message()), (401, "apiKey is null".to_owned()));
    simulator.change(|settings| settings.contract.key_echo = KeyEcho::Echoed).unwrap();
    assert!(client.first().await.body.contains("sk_live_x"));
    simulator
        .change(|settings| {
            (settings.contract.token, settings.contract.access) = ("sk_live_x".to_owned(), Access::Denied)
        })
        .unwrap();
    assert_eq!(client.first().await.status, 403);
    let bare = client.http.get(format!("{}{}", simulator.base_url(), SOURCE.path)).send().await.unwrap();
    assert_eq!(bare.status().as_u16(), 401);
    assert_eq!(simulator.stats().credits, 0);
}

#[tokio::test]
async fn credits_end_in_each_disguise() {
    for (quota_form, status, words) in [
        (QuotaForm::PaymentRequired, 402, "apiKey quota is not enough"),
        (QuotaForm::Forbidden, 403, "apiKey quota is not enough"),
        (QuotaForm::Inside, 200, "apiKey quota is not enough"),
        (QuotaForm::Words, 200, "apiKey quota is not enough"),
        (QuotaForm::Success, 200, "apiKey quota is not enough"),
        (QuotaForm::ServerError, 500, "Usage Limit Exceeded, Please Contact Administrator to Increase Quota"),
    ] {
        let (simulator, client) = start(|settings| {
            settings.limits.credits = Some(3);
            settings.limits.quota_form = quota_form;
        });
        for page in 1..=3 {
            assert_eq!(client.page(&query(page)).await.rows().len(), 10);
        }
        let reply = client.page(&query(4)).await;
        assert_eq!((reply.status, reply.message().as_str()), (status, words));
        assert_eq!((simulator.stats().credits, simulator.stats().out_of_credits), (3, 1));
        simulator.change(|settings| settings.limits.credits = Some(4)).unwrap();
        assert_eq!(client.page(&query(4)).await.rows().len(), 10);
    }
}

#[tokio::test]
async fn errors_are_free_where_that_is_set() {
    for (error_charge, credits) in [(ErrorCharge::Charged, 2), (ErrorCharge::Free, 1)] {
        let (simulator, client) = start(|settings| settings.limits.error_charge = error_charge);
        client.first().await;
        assert_eq!(client.send(SOURCE.path, &[]).await.unwrap().status, 400);
        assert_eq!(simulator.stats().credits, credits);
    }
}

#[tokio::test]
async fn requests_above_the_limit_are_turned_away_and_cost_nothing() {
    for (throttle_form, status) in [(ThrottleForm::Status, 429), (ThrottleForm::Inside, 200)] {
        let (simulator, client) = start(|settings| {
            settings.limits.requests_per_second = 1;
            settings.limits.bucket_capacity = 2;
            settings.limits.throttle_form = throttle_form;
            settings.limits.retry_after_s = 60;
        });
        let mut replies = Vec::new();
        for page in 1..=3 {
            replies.push(client.page(&query(page)).await);
        }
        let turned = replies.pop().unwrap();
        assert!(replies.iter().all(|reply| reply.rows().len() == 10 && reply.retry_after.is_none()));
        assert_eq!((turned.status, turned.retry_after.as_deref()), (status, Some("60")));
        assert_eq!(turned.body, r#"{"code":429,"data":null,"message":"qps limit exceeded"}"#);
        let stats = simulator.stats();
        assert_eq!((stats.throttled, stats.credits, stats.admitted, stats.requests), (1, 2, 2, 3));
    }
}

#[tokio::test]
async fn every_fault_is_what_it_says_and_is_counted() {
    let (simulator, client) = start(|_| {});
    let set = |change: fn(&mut FaultSettings)| {
        simulator
            .change(|settings| (settings.faults = FaultSettings::default(), change(&mut settings.faults)).1)
            .unwrap();
    };
    set(|faults| faults.server_error = 1.0);
    let error = client.first().await;
    assert_eq!((error.status, error.message().as_str()), (500, "Internal server error"));
    set(|faults| faults.bad_gateway = 1.0);
    let gateway = client.first().await;
    assert!(gateway.status == 502 && gateway.body.starts_with("<html>"), "{}", gateway.body);
    set(|faults| faults.error_inside = 1.0);
    let inside = client.first().await;
    assert!(inside.status == 200 && inside.json()["code"] != 0 && inside.json()["data"].is_null());
    set(|faults| faults.not_json = 1.0);
    let noise = client.first().await;
    assert!(noise.status == 200 && serde_json::from_str::<Value>(&noise.body).is_err());
    set(|faults| faults.cut_body = 1.0);
    let cut = client.send(SOURCE.path, &query(1).pairs()).await.unwrap_err();
    assert!(cut.is_decode() || cut.is_body(), "the head came, the body broke off: {cut:?}");
    set(|faults| faults.reset = 1.0);
    let reset = client.send(SOURCE.path, &query(1).pairs()).await.unwrap_err();
    assert!(reset.is_request() && format!("{reset:?}").contains("ConnectionReset"), "{reset:?}");
    set(|_| {});
    assert_eq!(client.first().await.rows().len(), 10);
    let stats = simulator.stats();
    assert_eq!((stats.errors_inside, stats.cut_bodies, stats.resets, stats.pages), (1, 1, 1, 1));
    assert_eq!(stats.statuses.into_iter().collect::<Vec<(u16, u64)>>(), [(200, 4), (500, 1), (502, 1)]);
    assert_eq!((stats.repeated_purchases, stats.credits), (0, 7));
}

#[tokio::test]
async fn a_stalled_request_is_abandoned_by_its_client() {
    let (simulator, client) = start(|settings| settings.faults.stall = 1.0);
    let page = query(1);
    let pairs = page.pairs();
    let given_up = tokio::time::timeout(Duration::from_millis(200), client.send(SOURCE.path, &pairs)).await;
    assert!(given_up.is_err());
    drop(client);
    let patience = Instant::now();
    while simulator.stats().abandoned == 0 {
        assert!(patience.elapsed() < Duration::from_secs(10), "{:?}", simulator.stats());
        tokio::task::yield_now().await;
    }
    assert_eq!((simulator.stats().stalls, simulator.stats().pages, simulator.stats().credits), (1, 0, 1));
}

#[tokio::test]
async fn faults_repeat_with_the_seed_and_pass_with_the_attempts() {
    let statuses = || async {
        let (_simulator, client) = start(|settings| settings.faults.server_error = 0.3);
        let mut statuses = Vec::new();
        for page in (1..=20).chain(1..=20) {
            statuses.push(client.page(&query(page)).await.status);
        }
        statuses
    };
    let first = statuses().await;
    assert_eq!(first, statuses().await);
    assert_ne!(first[..20], first[20..]);
    assert!(first.contains(&500) && first.contains(&200));
}

#[tokio::test]
async fn a_poisoned_second_fails_every_page_that_holds_it_until_it_heals() {
    let (simulator, client) = start(|_| {});
    let rows = client.first().await.rows();
    let second = EpochSeconds::new(identity(&rows[4]).0);
    simulator.change(|settings| settings.faults.poison = vec![Moment(second)]).unwrap();
    assert_eq!(client.first().await.status, 500);
    let around = PageQuery { min_create_time: Some(second), max_create_time: Some(second), ..query(1) };
    assert_eq!(client.page(&around).await.status, 500);
    let after = PageQuery { min_create_time: Some(second.shifted(1)), ..query(1) };
    assert_eq!(client.page(&after).await.rows().len(), 10);
    simulator.change(|settings| settings.faults.poison.clear()).unwrap();
    assert_eq!(client.first().await.rows(), rows);
}

#[tokio::test]
async fn odd_rows_are_served_as_the_truth_tells_them() {
    let (simulator, client) = start(|settings| {
        settings.world.rows = 300;
        settings.odd = OddSettings {
            null_field: 0.1,
            missing_field: 0.1,
            decimal_amount: 0.1,
            number_as_text: 0.1,
            text_as_number: 0.1,
            unknown_field: 0.1,
            control_character: 0.1,
            lone_surrogate: 0.1,
            huge_description: 0.02,
            garbage: 0.05,
            wrong_date: 0.05,
            ..OddSettings::default()
        };
    });
    let world = simulator.world();
    let mut served = String::new();
    for page in 1..=30 {
        served.push_str(&client.page(&query(page)).await.body);
    }
    let truth = world.truth(&us(), &Filters::default(), world.range());
    for row in &truth {
        assert!(served.contains(&world.row_json(&us(), &row.video_id).unwrap()), "{row:?}");
    }
    let count = |rows: RowCount| usize::try_from(rows.get()).unwrap();
    let garbage = count(world.garbage_rows(&us(), &Filters::default(), world.range()));
    let wrong = count(world.wrong_dates(&us(), &Filters::default(), world.range()));
    assert!(garbage > 3 && wrong > 3);
    assert_eq!(truth.len() + garbage + wrong, 300);
}

#[tokio::test]
async fn drift_changes_rows_and_the_truth_says_which() {
    let (simulator, client) = start(|settings| {
        settings.drift = DriftSettings {
            inserts_per_1000: 300.0,
            deletes_per_1000: 200.0,
            late_rows: 7,
            late_after_requests: 50,
            ..DriftSettings::default()
        };
    });
    let mut newest = Vec::new();
    for _ in 0..100 {
        newest = client.page(&PageQuery { order: TimeOrder::NewestFirst, ..query(1) }).await.rows();
    }
    let world = simulator.world();
    let truth = world.truth(&us(), &Filters::default(), world.range());
    let count = |presence| truth.iter().filter(|row| row.presence == presence).count();
    let last_hour = TimeRange::new(world.range().end.shifted(-3_600), world.range().end);
    let late = world.truth(&us(), &Filters::default(), last_hour);
    assert!(late.iter().filter(|row| row.presence == Presence::Appeared).count() >= 7);
    assert!(newest.iter().any(|row| late.iter().any(|late| late.video_id == identity(row).1)));
    assert!((30..=37).contains(&count(Presence::Appeared)), "{}", count(Presence::Appeared));
    assert_eq!(count(Presence::Vanished), 20);
    assert_eq!(truth.len(), 1_037);
    let read: BTreeSet<(i64, String)> = client.read_all(query(1)).await.into_iter().collect();
    assert!(read.len() > 900);
}

#[tokio::test]
async fn a_later_moment_has_new_rows_late_ones_and_larger_counts_and_lacks_deleted_ones() {
    const DAY: i64 = 86_400;
    let begin = SimulatorSettings::default().world.from.0;
    let at = |day: i64| {
        let moment = begin.shifted(day * DAY);
        let (simulator, client) = start(|settings| settings.world.as_of = Some(Moment(moment)));
        (simulator, client, moment)
    };
    let (first, _, _) = at(10);
    let (second, client, moment) = at(11);
    let (before, after) = (truth(&first, &Filters::default()), truth(&second, &Filters::default()));
    let read: Vec<(i64, String)> = client.read_all(query(1)).await;
    assert_eq!(read.len(), after.len());
    assert_eq!(read.into_iter().collect::<BTreeSet<_>>(), after);
    assert!(after.iter().all(|row| row.0 <= moment.get()));
    let yesterday = moment.get() - DAY;
    assert!(after.difference(&before).any(|row| row.0 <= yesterday), "none came late");
    assert!(after.difference(&before).all(|row| row.0 > yesterday - 3 * DAY));
    let gone: Vec<_> = before.difference(&after).collect();
    assert!(!gone.is_empty() && gone.iter().all(|row| (1..=11).contains(&((moment.get() - row.0) / DAY))), "{gone:?}");

    let row = |simulator: &RunningSimulator, id: &str| -> Value {
        serde_json::from_str(&simulator.world().row_json(&us(), id).unwrap()).unwrap()
    };
    let (mut grown, mut others) = (0, 0);
    for (_, id) in before.intersection(&after) {
        let (then, now) = (row(&first, id), row(&second, id));
        let views = |row: &Value| row["total_views_cnt"].as_i64().unwrap();
        assert!(views(&then) <= views(&now));
        grown += usize::from(views(&then) < views(&now));
        others += usize::from(then["video_desc"] != now["video_desc"] || then["user_id"] != now["user_id"]);
    }
    assert!(grown > before.len() / 4 && others == 0, "{grown} of {} rows, {others}", before.len());
    assert!(first.world().row_json(&us(), &after.last().unwrap().1).is_none());

    let (drifting, drifted) = start(|settings| {
        settings.world.as_of = Some(Moment(moment));
        settings.drift = DriftSettings { inserts_per_1000: 10_000.0, ..DriftSettings::default() };
    });
    for _ in 0..20 {
        drifted.first().await;
    }
    let rows = truth(&drifting, &Filters::default());
    assert!(rows.len() >= after.len() + 190 && rows.iter().all(|row| row.0 <= moment.get()), "{}", rows.len());

    let none = begin.shifted(-1);
    let (empty, _) = start(|settings| settings.world.as_of = Some(Moment(none)));
    assert_eq!(truth(&empty, &Filters::default()).len(), 0);
    let (long_after, _, _) = at(100);
    let rows = truth(&long_after, &Filters::default()).len();
    assert!((920..980).contains(&rows), "{rows} of 1,000");
}

#[tokio::test]
async fn gzip_is_sent_to_those_who_accept_it() {
    let (_simulator, client) = start(|settings| settings.contract.compression = Compression::Gzip);
    let pairs = query(1).pairs();
    let raw = reqwest::Client::builder().no_proxy().no_gzip().no_zstd().no_brotli().build().unwrap();
    let url = format!("{}{}?region=US&page_num=1&page_size=10", client.base_url, SOURCE.path);
    let ask = |encoding: &'static str| raw.get(&url).bearer_auth("x").header("accept-encoding", encoding).send();
    let packed = ask("br, gzip").await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert!(packed.bytes().await.unwrap().starts_with(&[0x1f, 0x8b]));
    assert!(ask("br").await.unwrap().headers().get("content-encoding").is_none());
    assert_eq!(client.send(SOURCE.path, &pairs).await.unwrap().rows().len(), 10);
}

#[tokio::test]
async fn the_truth_is_told_over_http_too() {
    let (simulator, client) = start(|_| {});
    let region = ("region", "US".to_owned());
    let told = client.send("/_truth", std::slice::from_ref(&region)).await.unwrap().body;
    let told: BTreeSet<(i64, String)> = told
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|row| (row["create_time"].as_i64().unwrap(), row["video_id"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(told, truth(&simulator, &Filters::default()));

    let day = [region, ("from", "2025-12-03".to_owned()), ("to", "1764806400".to_owned()), ("is_ad", "1".to_owned())];
    let lines = client.send("/_truth", &day).await.unwrap().body.lines().count();
    let range = TimeRange::new(EpochSeconds::new(1_764_720_000), EpochSeconds::new(1_764_806_400));
    let filters = Filters { is_ad: Some(true), ..Filters::default() };
    assert_eq!(lines, simulator.world().truth(&us(), &filters, range).len());

    let id = told.first().unwrap().1.clone();
    let row = client.send("/_row", &[("region", "US".to_owned()), ("video_id", id.clone())]).await.unwrap();
    assert_eq!(row.json()["video_id"], id.as_str());
    client.first().await;
    client.first().await;
    let stats: Stats = serde_json::from_str(&client.send("/_stats", &[]).await.unwrap().body).unwrap();
    assert_eq!((stats.requests, stats.repeated_purchases, stats.rows), (2, 1, 20));
    assert_eq!(stats.repeated_questions.len(), 1);
    assert_eq!(stats, simulator.stats());
}

#[tokio::test]
async fn a_stopped_service_frees_its_address_for_the_next() {
    let (simulator, client) = start(|_| {});
    client.first().await;
    let address = simulator.address();
    assert_eq!(simulator.stop().requests, 1);
    assert!(client.send(SOURCE.path, &query(1).pairs()).await.is_err());
    let (again, client) = start(|settings| settings.listen = address);
    assert_eq!(again.address(), address);
    assert_eq!(client.first().await.rows().len(), 10);
}

#[test]
fn what_cannot_be_served_is_refused_with_its_name() {
    let refusal = |change: fn(&mut SimulatorSettings)| {
        let mut settings = SimulatorSettings::default();
        change(&mut settings);
        Simulator::start(settings).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let ahead = "the simulator's settings cannot be used: ";
    assert_eq!(
        refusal(|settings| settings.world.regions.clear()),
        format!("{ahead}simulator.world.regions is empty; name at least one region, such as US")
    );
    assert_eq!(
        refusal(|settings| (settings.faults.reset, settings.faults.stall) = (0.7, 0.7)),
        format!("{ahead}the fractions of simulator.faults add up to 1.4, which is above 1")
    );
    assert!(refusal(|settings| settings.world.to = settings.world.from).contains("must hold a second"));
    assert!(refusal(|settings| settings.faults.cut_body = f64::NAN).contains("simulator.faults"));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = SimulatorSettings { listen: taken.local_addr().unwrap(), ..SimulatorSettings::default() };
    assert!(
        Simulator::start(settings).err().unwrap().to_string().starts_with("the simulator cannot listen on 127.0.0.1:")
    );
}

#[test]
fn the_last_page_of_a_full_query_is_as_near_as_the_first() {
    let mut settings = SimulatorSettings::default();
    settings.world.rows = LAST_PAGE * 10 + 5;
    let world = World::new(&settings);
    let selection = world::Selection {
        filters: Filters::default(),
        offsets: world.offsets(world.range()),
        sort: world::SortKey::Time,
        direction: world::Direction::Ascending,
    };
    let ties = world::Ties { order: TieOrder::Stable, request: 0 };
    let page = |start| world.page("US", (&selection, ties), start..start + 10);
    assert_eq!(page(999_990).len(), 10);
    assert_eq!(page(1_000_000).len(), 5);
    let began = Instant::now();
    (0..1_000).for_each(|number| assert_eq!(page(number * 1_000).len(), 10));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}
