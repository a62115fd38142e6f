//! What an error means comes from its status, its words and its headers together; and a page that strict readers refuse is a page.

use keyapi_export::simulator::{
    Access, Compression, EmptyPage, Framing, LimitKind, QuotaForm, RunningSimulator, SimulatorSettings, ThrottleForm,
};

use crate::support::{
    Asked, Ended, Job, Parrot, exports_exactly, exports_exactly_among_doubts, holds_exactly_the_truth, region, serve,
    unfiltered,
};

fn count(ended: &Ended, name: &str) -> u64 {
    ended.summary["requests"][name].as_u64().unwrap_or_else(|| panic!("no {name}: {ended}"))
}

fn ends(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, code, "{ended}");
    for word in words {
        assert!(ended.stderr.contains(word) || ended.stdout.contains(word), "`{word}` is not told: {ended}");
    }
}

/// A service below a calendar limit that it tells in this form, asked as fast as the exporter finds out.
fn throttled_in(form: ThrottleForm) -> u64 {
    let simulator = serve(|service| {
        service.world.rows = 1_500;
        service.limits.requests_per_second = 20;
        service.limits.limit_kind = LimitKind::Calendar;
        (service.limits.throttle_form, service.limits.retry_after_s) = (form, 1);
    });
    let ended = exports_exactly(&simulator, &Job::of(&simulator).with("--qps auto"));
    assert!(count(&ended, "throttled") > 0, "{form:?} was never throttled: {ended}");
    let failed = count(&ended, "attempts") - count(&ended, "answered") - count(&ended, "throttled");
    assert_eq!(failed, 0, "{form:?} was taken for trouble: {ended}");
    count(&ended, "attempts")
}

#[test]
fn a_rate_limit_costs_the_same_however_it_is_told() {
    let plain = throttled_in(ThrottleForm::Status);
    for form in [ThrottleForm::Words, ThrottleForm::Forbidden, ThrottleForm::Unavailable] {
        let attempts = throttled_in(form);
        // Where the calendar's second begins is luck, so a handful either way means nothing.
        assert!(attempts <= plain + plain / 10 + 15, "{form:?}: {attempts} attempts against {plain}");
    }
}

#[test]
fn an_account_with_nothing_left_ends_the_run_whatever_its_words() {
    let simulator = serve(|service| {
        (service.limits.credits, service.limits.quota_form) = (Some(40), QuotaForm::Credits);
    });
    let job = Job::of(&simulator).with("--max-in-flight 16");
    ends(&job.run(), 4, &["Insufficient credits, please recharge", "the same command goes on"]);
    let refused = simulator.stats().out_of_credits;
    assert!(refused <= 16, "an empty account was asked {refused} times");
    simulator.change(|service| service.limits.credits = None).unwrap();
    assert_eq!(job.run().code, 0);
    holds_exactly_the_truth(&simulator, &job);
}

fn refused_as(access: Access, words: &[&str]) -> (RunningSimulator, Ended) {
    let simulator = serve(|service| service.contract.access = access);
    let ended = Job::of(&simulator).with("--give-up-after 30s").run();
    ends(&ended, 6, words);
    assert!(simulator.stats().requests <= 20, "{} requests to be refused", simulator.stats().requests);
    (simulator, ended)
}

#[test]
fn a_lasting_refusal_of_everything_ends_soon_with_the_services_words() {
    refused_as(Access::Unprocessable, &["422", "min_create_time must be within the last 180 days"]);
}

#[test]
fn a_redirect_is_named_with_its_target_and_without_what_may_be_secret() {
    let (_simulator, ended) = refused_as(Access::Moved, &["301", "https://moved.example/v2/list", "base_url"]);
    assert!(!ended.stderr.contains("secret"), "{ended}");
    let error = ended.error().lines().take(2).collect::<Vec<_>>().join(" ");
    assert_eq!(error.matches("base_url").count(), 1, "what to do is told once: {ended}");
}

/// The last failure was once told only where it was no 429, so that such a run ended with "no answer came".
#[test]
fn a_run_that_meets_nothing_but_429_says_so() {
    let parrot = Parrot::start(|_: &Asked| {
        let body = r#"{"code":429,"data":null,"message":"qps limit exceeded"}"#;
        let head = format!(
            "HTTP/1.1 429 X\r\nConnection: close\r\nRetry-After: 1800\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        vec![[head.as_bytes(), body.as_bytes()].concat()]
    });
    let job = Job::of(&serve(|service| service.world.rows = 10)).with(&format!("--base-url {}", parrot.base_url()));
    let ended = job.run_with("--give-up-after 1s");
    ends(&ended, 5, &[]);
    let wanted = "too many requests (HTTP 429, code 429: qps limit exceeded, and the service asks to wait 30 minutes)";
    assert!(ended.error().contains(wanted), "{ended}");
}

#[test]
fn a_gateways_page_is_not_the_services_refusal() {
    let simulator = serve(|service| service.world.rows = 10);
    for status in ["200 OK", "401 X", "403 X", "404 X"] {
        let parrot = Parrot::start(move |_: &Asked| {
            let body = "<html><title>Attention required</title></html>";
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            vec![[head.as_bytes(), body.as_bytes()].concat()]
        });
        let job = Job::of(&simulator).with(&format!("--base-url {}", parrot.base_url()));
        ends(&job.run_with("--give-up-after 1s"), 5, &["an HTML page, as a gateway sends it"]);
    }
}

#[test]
fn a_port_that_speaks_no_tls_is_named_and_ends_soon() {
    let simulator = serve(|service| service.world.rows = 10);
    let address = simulator.base_url().replace("http://", "https://");
    let ended = Job::of(&simulator).with(&format!("--base-url {address}")).run_with("--give-up-after 5m");
    ends(&ended, 2, &["does not speak TLS", "hint: check --base-url"]);
    assert_eq!(simulator.stats().requests, 0);
}

/// In an image without a CA bundle the demo failed: the HTTP library wants authorities also where no TLS is spoken.
#[test]
fn certificate_authorities_are_needed_for_tls_alone() {
    let simulator = serve(|service| service.world.rows = 200);
    let nowhere =
        |job: Job| job.with_variable("SSL_CERT_FILE", "/nowhere/ca.pem").with_variable("SSL_CERT_DIR", "/nowhere");
    let without_authorities = || nowhere(Job::of(&simulator));
    exports_exactly(&simulator, &without_authorities());
    let asked = simulator.stats().requests;
    let address = simulator.base_url().replace("http://", "https://");
    let ended = without_authorities().with(&format!("--base-url {address}")).run();
    ends(
        &ended,
        2,
        &["no certificate authority", "SSL_CERT_FILE=/nowhere/ca.pem", "hint: install the system's CA bundle"],
    );
    assert_eq!(simulator.stats().requests, asked);
}

fn exports_exactly_from(change: impl FnOnce(&mut SimulatorSettings)) -> (RunningSimulator, Ended) {
    let simulator = serve(|service| {
        service.world.rows = 1_000;
        change(service);
    });
    let ended = exports_exactly(&simulator, &Job::of(&simulator));
    (simulator, ended)
}

#[test]
fn an_end_that_is_told_by_204_is_an_end() {
    exports_exactly_from(|service| service.contract.empty_page = EmptyPage::NoContent);
}

/// What is refused is confirmed, and so is the end, so some questions are asked again.
#[test]
fn an_end_that_is_told_by_404_is_an_end() {
    let simulator = serve(|service| {
        (service.world.rows, service.contract.empty_page) = (1_000, EmptyPage::NotFound);
    });
    exports_exactly_among_doubts(&simulator, &Job::of(&simulator), 16);
}

#[test]
fn what_stands_around_the_json_costs_nothing() {
    for framing in [Framing::ByteOrderMark, Framing::TrailingNul] {
        exports_exactly_from(|service| service.contract.framing = framing);
    }
}

#[test]
fn gzip_of_several_members_is_read_whole() {
    exports_exactly_from(|service| service.contract.compression = Compression::GzipMembers);
}

#[test]
fn numbers_that_json_does_not_know_and_repeated_fields_cost_no_row_and_are_counted() {
    let (simulator, ended) = exports_exactly_from(|service| {
        (service.odd.not_a_number, service.odd.repeated_field) = (0.05, 0.05);
    });
    let fields = &ended.summary["extra_fields"];
    for name in ["total_video_sale_gmv_amt", "duration", "create_time"] {
        assert!(fields[name].as_u64().is_some_and(|count| count > 5), "{name}: {ended}\n{fields}");
    }
    let total: u64 = fields.as_object().unwrap().values().filter_map(serde_json::Value::as_u64).sum();
    assert_eq!(ended.summary["kept_in_extra"], total);
    assert_eq!(simulator.stats().errors_inside, 0);
}

/// They were once counted as one.
#[test]
fn rows_that_are_null_are_each_counted_and_take_no_good_row_with_them() {
    let simulator = serve(|service| {
        service.world.rows = 2_000;
        service.odd.null_row = 0.02;
    });
    let job = Job::of(&simulator);
    let ended = job.run();
    let nulls = simulator.world().garbage_rows(&region("US"), &unfiltered(), job.range()).get();
    assert!(nulls > 10, "no rows are null");
    ends(&ended, 3, &["_rejected"]);
    let told = ended.summary["rejected"].as_u64().unwrap();
    // One at the edge of a page that is read again in another alignment may count twice.
    assert!((nulls..=nulls + 5).contains(&told), "{told} told, {nulls} are null: {ended}");
    holds_exactly_the_truth(&simulator, &job);
}
