//! Status, words, headers and body, and the class that they make together.

use std::borrow::Cow;
use std::time::Duration;

use super::*;
use crate::units::EpochSeconds;

const EXAMPLE: &str = include_str!("../../../tests/fixtures/vendor_page.json");

fn judged(status: u16, signals: &Signals, body: &str) -> ReplyVerdict {
    judge(Heard { status, signals, body: body.as_bytes(), broken: None })
}

fn verdict(status: u16, body: &str) -> ReplyVerdict {
    judged(status, &Signals::default(), body)
}

fn quota(message: &str) -> ReplyVerdict {
    ReplyVerdict::Quota { message: message.to_owned() }
}

fn refused(code: u16, message: &str) -> ReplyVerdict {
    ReplyVerdict::Refused { code, message: message.to_owned() }
}

fn throttled(why: &str) -> ReplyVerdict {
    ReplyVerdict::Throttled { why: why.to_owned(), refusal: None }
}

fn error(code: i64, message: &str) -> String {
    serde_json::json!({"code": code, "data": null, "message": message}).to_string()
}

/// An envelope of these members; `ROW` stands for a row.
fn said(members: &str) -> String {
    format!("{{{}}}", members.replace("ROW", r#"{"video_id":"7","create_time":5}"#))
}

/// The class alone.
fn class(verdict: &ReplyVerdict) -> &'static str {
    match verdict {
        ReplyVerdict::Page(page) if page.rows.is_empty() => "empty",
        ReplyVerdict::Page(_) => "page",
        ReplyVerdict::Quota { .. } => "quota",
        ReplyVerdict::Throttled { .. } => "throttled",
        ReplyVerdict::Refused { .. } => "refused",
        ReplyVerdict::Transient { .. } => "transient",
    }
}

const WAIT: Signals = Signals {
    retry_after: Some(Duration::from_secs(15)),
    is_rate_spent: false,
    is_html: false,
    location: None,
    rate: Vec::new(),
};
const SPENT: Signals =
    Signals { retry_after: None, is_rate_spent: true, is_html: false, location: None, rate: Vec::new() };
const HTML: Signals =
    Signals { retry_after: None, is_rate_spent: false, is_html: true, location: None, rate: Vec::new() };
const PLAIN: Signals =
    Signals { retry_after: None, is_rate_spent: false, is_html: false, location: None, rate: Vec::new() };

#[test]
fn the_table_of_classes() {
    let page = "<!DOCTYPE html><title>Log in</title>";
    let table: [(&str, u16, &Signals, String); 82] = [
        // A rate limit in its disguises.
        ("throttled", 429, &PLAIN, error(429, "qps limit exceeded")),
        ("throttled", 429, &PLAIN, String::new()),
        ("throttled", 429, &HTML, page.to_owned()),
        ("throttled", 420, &PLAIN, String::new()),
        ("throttled", 200, &PLAIN, error(429, "")),
        ("throttled", 200, &PLAIN, error(40_100, "Too many requests. Please retry in some time.")),
        ("throttled", 200, &PLAIN, error(42_901, "")),
        ("throttled", 200, &PLAIN, error(-1, "请求过于频繁")),
        ("throttled", 200, &PLAIN, error(0, "rate limit exceeded")),
        ("throttled", 200, &PLAIN, "Too Many Requests".to_owned()),
        ("throttled", 200, &PLAIN, r#"{"code":1,"msg":"slow down"}"#.to_owned()),
        ("throttled", 403, &PLAIN, error(403, "API rate limit exceeded")),
        ("throttled", 403, &WAIT, error(403, "Forbidden")),
        ("throttled", 403, &SPENT, error(403, "Forbidden")),
        ("throttled", 403, &WAIT, page.to_owned()),
        ("throttled", 400, &PLAIN, error(400, "request frequency is too high")),
        ("throttled", 400, &WAIT, String::new()),
        ("throttled", 400, &SPENT, String::new()),
        ("throttled", 500, &PLAIN, error(500, "rate limit quota per second exceeded")),
        ("throttled", 503, &WAIT, "<html>maintenance</html>".to_owned()),
        ("throttled", 509, &PLAIN, "Bandwidth Limit Exceeded".to_owned()),
        ("throttled", 503, &WAIT, error(503, "maintenance")),
        // An account with nothing left.
        ("quota", 402, &PLAIN, String::new()),
        ("quota", 402, &PLAIN, error(402, "pay")),
        ("quota", 200, &PLAIN, error(402, "")),
        ("quota", 200, &PLAIN, error(10_010, "Insufficient credits, please recharge")),
        ("quota", 200, &PLAIN, error(0, "账户余额不足")),
        ("quota", 403, &PLAIN, error(403, "Plan limit exceeded, upgrade your plan")),
        ("quota", 400, &PLAIN, error(400, "balance is not enough")),
        ("quota", 429, &PLAIN, error(429, "You exceeded your current quota, check your plan and billing details")),
        ("quota", 500, &PLAIN, error(500, "Usage Limit Exceeded")),
        ("quota", 401, &PLAIN, error(401, "Your subscription has expired")),
        ("quota", 500, &PLAIN, error(500, "Free tier limit reached")),
        ("quota", 500, &PLAIN, error(500, "Insufficient points")),
        ("quota", 500, &PLAIN, error(500, "Wallet empty")),
        ("quota", 503, &PLAIN, error(503, "Request allowance exhausted")),
        ("quota", 500, &PLAIN, error(500, "monthly limit reached")),
        // That there is nothing, under a code of the vendor's own.
        ("refused", 200, &PLAIN, error(10_404, "No data found")),
        ("refused", 200, &PLAIN, error(20_001, "暂无数据")),
        ("refused", 200, &PLAIN, error(1, "no more results")),
        ("transient", 200, &PLAIN, error(1, "no data node available")),
        ("transient", 500, &PLAIN, error(500, "No data found")),
        // Success in other words, beside a list.
        ("page", 200, &PLAIN, said(r#""code":"SUCCESS","data":[ROW]"#)),
        ("page", 200, &PLAIN, said(r#""code":200,"message":"success","data":[ROW]"#)),
        ("page", 200, &PLAIN, said(r#""data":[ROW]"#)),
        ("empty", 200, &PLAIN, said(r#""code":200,"message":"success","data":[]"#)),
        ("transient", 200, &PLAIN, said(r#""code":200,"message":"busy","data":[]"#)),
        ("transient", 200, &PLAIN, said(r#""code":1,"message":"busy","data":[ROW]"#)),
        ("transient", 500, &PLAIN, said(r#""data":[ROW]"#)),
        // The gateway's own pages.
        ("transient", 200, &HTML, page.to_owned()),
        ("transient", 200, &PLAIN, format!("\u{feff}\n{page}")),
        ("transient", 200, &HTML, String::new()),
        ("transient", 401, &HTML, page.to_owned()),
        ("transient", 403, &PLAIN, "<html>Access denied: your quota of patience</html>".to_owned()),
        ("transient", 404, &HTML, "Not found".to_owned()),
        ("transient", 422, &PLAIN, "<?xml version='1.0'?><Error/>".to_owned()),
        ("transient", 502, &PLAIN, page.to_owned()),
        ("page", 200, &HTML, EXAMPLE.to_owned()),
        ("refused", 403, &HTML, error(403, "no access")),
        // Refusals.
        ("refused", 301, &PLAIN, String::new()),
        ("refused", 302, &HTML, page.to_owned()),
        ("refused", 307, &PLAIN, String::new()),
        ("refused", 308, &WAIT, String::new()),
        ("refused", 400, &PLAIN, error(400, "bad parameter")),
        ("refused", 401, &WAIT, error(401, "apiKey is null")),
        ("refused", 404, &PLAIN, "Not Found".to_owned()),
        ("refused", 405, &PLAIN, String::new()),
        ("refused", 410, &PLAIN, error(410, "this version is gone")),
        ("refused", 415, &PLAIN, String::new()),
        ("refused", 422, &PLAIN, r#"{"detail":[{"msg":"the frequency exceeds the limit"}]}"#.to_owned()),
        ("refused", 501, &PLAIN, error(501, "not implemented")),
        ("refused", 505, &PLAIN, String::new()),
        ("refused", 451, &PLAIN, error(451, "not here")),
        ("refused", 200, &PLAIN, error(422, "bad")),
        // What may pass.
        ("transient", 408, &PLAIN, String::new()),
        ("transient", 409, &PLAIN, String::new()),
        ("transient", 425, &PLAIN, String::new()),
        ("transient", 503, &PLAIN, String::new()),
        ("transient", 500, &WAIT, error(500, "Internal server error")),
        ("transient", 200, &PLAIN, error(10_001, "system busy")),
        // The end.
        ("empty", 204, &PLAIN, String::new()),
        ("transient", 200, &PLAIN, String::new()),
    ];
    for (expected, status, signals, body) in &table {
        let verdict = judged(*status, signals, body);
        assert_eq!(class(&verdict), *expected, "HTTP {status} {signals:?} {body}: {verdict:?}");
    }
}

/// A status that means something else is outweighed only by words that leave no doubt.
#[test]
fn words_beside_a_status_that_says_otherwise() {
    let table: [(&str, u16, String); 15] = [
        ("transient", 500, error(500, "Memory usage limit exceeded")),
        ("transient", 500, error(500, "Retry budget exhausted")),
        ("transient", 503, error(503, "maintenance today, maximum downtime 2h")),
        ("transient", 200, error(504, "plan exceeded its budget")),
        ("quota", 500, error(500, "You are out of API calls")),
        ("quota", 200, error(500, "余额不足")),
        ("throttled", 500, error(500, "Quota of requests per 10s used up")),
        ("refused", 400, error(400, "exchange rate of region GB is not available")),
        ("refused", 400, error(400, "invalid sort field: engagement rate")),
        ("refused", 403, error(403, "IP not in allowlist, access limited to 10 requests")),
        ("refused", 400, error(400, "time range must not exceed 60 seconds, wait for approval")),
        ("refused", 200, error(403, "access limited to 10 requests")),
        ("throttled", 403, error(403, "Too many requests")),
        ("throttled", 403, error(403, "API calls are limited to 10/s")),
        ("throttled", 200, error(10_001, "access limited to 10 requests")),
    ];
    for (expected, status, body) in &table {
        assert_eq!(class(&verdict(*status, body)), *expected, "HTTP {status} {body}");
    }
}

#[test]
fn a_refusal_in_words_of_the_rate_alone_is_told_as_what_it_may_be() {
    let of = |status, signals: &Signals| match judged(status, signals, &error(status.into(), "Too many requests")) {
        ReplyVerdict::Throttled { refusal, .. } => refusal,
        other => panic!("{other:?}"),
    };
    assert_eq!(of(403, &PLAIN), Some((403, "Too many requests".to_owned())));
    for (status, signals) in [(403, &WAIT), (403, &SPENT), (429, &PLAIN), (500, &PLAIN)] {
        assert_eq!(of(status, signals), None, "{status} {signals:?}");
    }
}

#[test]
fn a_body_that_came_broken_leaves_its_status_and_headers() {
    let of = |status, signals: &Signals| {
        judge(Heard { status, signals, body: b"", broken: Some("the answer's body broke off: invalid gzip header") })
    };
    for (expected, status, signals) in [
        ("throttled", 429, &PLAIN),
        ("throttled", 503, &WAIT),
        ("throttled", 403, &SPENT),
        ("quota", 402, &PLAIN),
        ("refused", 401, &PLAIN),
        ("transient", 401, &HTML),
        ("transient", 200, &PLAIN),
        ("transient", 204, &PLAIN),
        ("transient", 500, &PLAIN),
    ] {
        assert_eq!(class(&of(status, signals)), expected, "{status} {signals:?}");
    }
    assert_eq!(
        of(200, &PLAIN),
        ReplyVerdict::Transient { why: "HTTP 200, and the answer's body broke off: invalid gzip header".to_owned() }
    );
}

#[test]
fn a_redirect_names_its_target() {
    let to = Signals { location: Some("https://new.example/v2".to_owned()), ..PLAIN };
    let ReplyVerdict::Refused { code, message } = judged(301, &to, "<html>moved</html>") else { panic!("not refused") };
    assert_eq!(code, 301);
    assert!(message.contains("https://new.example/v2") && message.contains("not followed"), "{message}");
}

/// A page that broke off in the middle of a description was once taken for an exhausted quota.
#[test]
fn the_words_of_rows_never_matter() {
    let row =
        r#"{"video_id":"7","create_time":5,"video_desc":"too many requests, insufficient credits, quota used up"}"#;
    let with = |code: i64| format!(r#"{{"code":{code},"message":"success","data":[{row}]}}"#);
    assert_eq!(class(&verdict(200, &with(0))), "page");
    assert_eq!(class(&verdict(200, &with(10_001))), "transient");
    let whole = with(0);
    assert_eq!(class(&verdict(200, &whole[..whole.len() - 3])), "transient");
    let told = r#"{"code":0,"data":[{}],"message":"90 % of your quota is used up, rate limit near"}"#;
    assert_eq!(class(&verdict(200, told)), "page");
}

#[test]
fn the_vendors_example_is_a_page_of_one_row() {
    let ReplyVerdict::Page(page) = verdict(200, EXAMPLE) else { panic!("no page") };
    assert_eq!(page.request_id.as_deref(), Some("f9edb062-585d-4cbd-a7f5-851067490ef1"));
    let identity = Identity {
        second: EpochSeconds::new(1_767_213_318),
        video_id: "7590123280372190477".to_owned(),
        region: Some("US".to_owned()),
    };
    assert_eq!(page.rows, vec![Row::Usable(identity)]);
}

#[test]
fn the_vendors_example_has_exactly_the_documented_fields() {
    let text = readable(EXAMPLE.as_bytes());
    let row: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(envelope(&text).unwrap().data[0].text).unwrap();
    let mut names: Vec<&str> = row.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, crate::api::contract::SOURCE.fields);
}

#[test]
fn every_documented_error_body_has_its_class() {
    let missing = "Missing required parameter: handle";
    assert_eq!(verdict(400, &error(400, missing)), refused(400, missing));
    assert_eq!(verdict(401, &error(401, "apiKey is null")), refused(401, "apiKey is null"));
    assert_eq!(verdict(402, &error(402, "apiKey quota is not enough")), quota("apiKey quota is not enough"));
    assert_eq!(verdict(429, &error(429, "qps limit exceeded")), throttled("HTTP 429, code 429: qps limit exceeded"));
    let broken = ReplyVerdict::Transient { why: "HTTP 500, code 500: Internal server error".to_owned() };
    assert_eq!(verdict(500, &error(500, "Internal server error")), broken);
}

#[test]
fn an_error_inside_a_200_is_the_same_error() {
    assert_eq!(verdict(200, &error(429, "qps limit exceeded")), throttled("HTTP 200, code 429: qps limit exceeded"));
    assert_eq!(verdict(200, r#"{"code":"402","data":null,"message":"pay"}"#), quota("pay"));
    assert_eq!(verdict(200, &error(401, "apiKey is null")), refused(401, "apiKey is null"));
    assert!(matches!(verdict(200, r#"{"code":77,"message":"odd"}"#), ReplyVerdict::Transient { .. }));
    assert!(matches!(verdict(200, r#"{"message":"no code"}"#), ReplyVerdict::Transient { .. }));
}

#[test]
fn what_is_not_json_is_transient_and_says_what_came() {
    let why = |status, body: &str| match verdict(status, body) {
        ReplyVerdict::Transient { why } => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        why(502, "<html>502 Bad Gateway quota</html>"),
        "HTTP 502: an HTML page, as a gateway sends it and not the service"
    );
    assert!(why(200, "upstream request timeout").contains("upstream request timeout"));
    assert!(why(200, &EXAMPLE[..400]).starts_with("HTTP 200, but the body is not the documented JSON envelope"));
    assert!(why(200, r#"{"code":0,"data":{"list":7}}"#).contains("`data` is neither"));
}

#[test]
fn what_is_told_of_an_answer_is_short() {
    let long = "y".repeat(3_000_000);
    for (status, body) in
        [(200, error(77, &long)), (200, format!("\"{long}\"")), (500, long.clone()), (422, error(1, &long))]
    {
        let told = match verdict(status, &body) {
            ReplyVerdict::Transient { why } => why,
            ReplyVerdict::Refused { message, .. } => message,
            other => panic!("{}", class(&other)),
        };
        assert!(told.chars().count() <= 300 && !told.is_empty(), "{}", told.len());
    }
}

#[test]
fn every_shape_of_an_empty_page_is_the_empty_page() {
    for body in [r#"{"code":0,"data":[]}"#, r#"{"code":0,"data":null}"#, r#"{"code":0}"#, r#"{"code":0,"data": [ ] }"#]
    {
        assert_eq!(verdict(200, body), ReplyVerdict::Page(PageAnswer::default()), "{body}");
    }
}

/// A service that told with each answer what was left: its last page was taken for an empty account, and every start ended with 4.
#[test]
fn words_of_success_that_tell_what_is_left_are_no_failure() {
    for words in
        ["success, remaining quota 993", "OK. credits left: 0", "Success (rate limit 20/s)", "成功，剩余额度 12"]
    {
        let body = format!(r#"{{"code":0,"message":"{words}","data":[]}}"#);
        assert_eq!(verdict(200, &body), ReplyVerdict::Page(PageAnswer::default()), "{words}");
    }
    for words in [
        "insufficient quota",
        "apiKey quota is not enough",
        "successive requests exceed the rate limit",
        "OK, but your quota is exhausted",
    ] {
        let body = format!(r#"{{"code":0,"message":"{words}","data":[]}}"#);
        assert!(!matches!(verdict(200, &body), ReplyVerdict::Page(_)), "{words}");
    }
}

#[test]
fn a_page_that_strict_readers_refuse_is_a_page() {
    for body in [
        "\u{feff}{\"code\":0,\"data\":[{\"video_id\":\"7\",\"create_time\":5}]}",
        "{\"code\":0,\"data\":[{\"video_id\":\"7\",\"create_time\":5}]}\0\0",
        r#"{"code":0,"data":[{"video_id":"7","create_time":5,"gmv":NaN,"x":-Infinity}]}"#,
        r#"{"code":0,"code":0,"data":[{"video_id":"7","create_time":4,"create_time":5}]}"#,
        "{\n\"code\":0,\t\"data\":[{\"video_id\":\"7\",\"create_time\":\"5\",\"video_desc\":\"a\u{1}\n\\\"b\"}]}",
    ] {
        let ReplyVerdict::Page(page) = verdict(200, body) else { panic!("no page: {body}") };
        let seven = Identity { second: EpochSeconds::new(5), video_id: "7".to_owned(), region: None };
        assert_eq!(page.rows, [Row::Usable(seven)], "{body}");
    }
    let ReplyVerdict::Page(page) = verdict(200, r#"{"code":0,"data":[null,{"video_id":"7","create_time":5}]}"#) else {
        panic!("no page")
    };
    assert_eq!(page.rows[0], Row::Unusable { why: "the row is null".to_owned(), text: "null".to_owned() });
    assert!(matches!(readable(b"{\"code\":0}"), Cow::Borrowed(_)));
}
