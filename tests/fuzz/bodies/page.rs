//! An answer's status and body.

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::TimestampMillisecondType;
use keyapi_export::api::reply::{Heard, PageAnswer, ReplyVerdict, Row, judge, readable, with_envelope};
use keyapi_export::api::signals::Signals;
use keyapi_export::journal::record::StoredPage;
use keyapi_export::sink::columns::{CREATE_TIME, EXTRA, VIDEO_ID};
use keyapi_export::sink::decode::{FetchedRows, RowBatch};
use keyapi_export::units::{EpochSeconds, TimeRange};

/// The statuses that the first byte of an input chooses from.
const STATUSES: [u16; 14] = [200, 204, 301, 400, 401, 402, 403, 404, 422, 429, 500, 502, 503, 599];
/// The longest piece of a service's words that is shown to a person, characters.
const LONGEST_QUOTE: usize = 300;

/// The first byte chooses the status, the others are the body.
pub(crate) fn page(bytes: &[u8]) {
    let Some((first, body)) = bytes.split_first() else { return };
    let status = STATUSES[usize::from(*first) % STATUSES.len()];
    let signals = Signals { is_html: first & 64 != 0, is_rate_spent: first & 128 != 0, ..Signals::default() };
    let heard = Heard { status, signals: &signals, body, broken: None };
    let verdict = judge(heard);
    assert_eq!(verdict, judge(heard), "the same answer means the same");
    match verdict {
        ReplyVerdict::Page(answer) => {
            assert!((200..300).contains(&status), "a page with status {status}");
            keeps_every_slot(&answer, body);
        }
        ReplyVerdict::Quota { message } | ReplyVerdict::Refused { message, .. } => {
            assert!(message.chars().count() <= LONGEST_QUOTE && !message.contains(char::is_control), "{message:?}");
        }
        ReplyVerdict::Transient { why } | ReplyVerdict::Throttled { why, .. } => {
            assert!(!why.is_empty() && why.chars().count() <= LONGEST_QUOTE, "{why:?}");
        }
    }
}

/// Every place of the page is either a row with an identity, which becomes one row of the output, or is rejected with a reason.
fn keeps_every_slot(answer: &PageAnswer, body: &[u8]) {
    let text = readable(body);
    if text.is_empty() {
        assert!(answer.rows.is_empty(), "rows out of nothing");
        return;
    }
    let slots = with_envelope(body, |_, read| read.map(|read| read.data.len())).expect("a page is an envelope");
    let (mut usable, mut delivered) = (Vec::new(), Vec::new());
    let mut rejected = 0;
    for (row, place) in answer.rows.iter().zip(0..) {
        match row {
            Row::Usable(identity) => {
                usable.push((identity.second, identity.video_id.as_str()));
                delivered.push(place);
            }
            Row::Unusable { why, text } => {
                assert!(!why.is_empty() && !text.is_empty());
                rejected += 1;
            }
        }
    }
    assert_eq!(usable.len() + rejected, slots, "rows and rejected rows are all places of the page");
    let stored = StoredPage {
        sequence: 1,
        fetched_at_ms: 5,
        request_id: answer.request_id.clone(),
        span: TimeRange::new(EpochSeconds::new(0), EpochSeconds::MAX.shifted(1)),
        body: answer.packed.encode(&delivered),
    };
    let rows = FetchedRows::read(stored).expect("rows that were packed");
    assert_eq!(rows.len(), usable.len(), "judged and decoded rows differ");
    let mut batch = RowBatch::new("US".parse().expect("a region"));
    for (place, wanted) in usable.iter().enumerate() {
        let row = rows.get(place).expect("a row");
        assert_eq!((row.second, row.video_id), *wanted, "judged and decoded rows differ");
        batch.append(&rows, place).expect("a row with an identity has columns");
    }
    let batch = batch.take().expect("columns fit together");
    assert_eq!(batch.num_rows(), usable.len());
    for (place, (second, video_id)) in usable.into_iter().enumerate() {
        holds(&batch, place, second, video_id);
    }
}

/// The output's row says who and when, and its `_extra` is nothing or a JSON object.
fn holds(batch: &RecordBatch, place: usize, second: EpochSeconds, video_id: &str) {
    let column = |name| batch.column_by_name(name).expect("a documented column");
    assert_eq!(column(CREATE_TIME).as_primitive::<TimestampMillisecondType>().value(place), second.get() * 1_000);
    assert_eq!(column(VIDEO_ID).as_string::<i32>().value(place), video_id);
    let extra = column(EXTRA).as_string::<i32>();
    if extra.iter().nth(place).flatten().is_some() {
        let read: Result<serde_json::Map<String, serde_json::Value>, _> = serde_json::from_str(extra.value(place));
        assert!(read.is_ok(), "`_extra` is no object: {}", extra.value(place));
    }
}

/// The vendor's example, shapes of an empty page, odd rows, and the documented errors.
pub(super) fn good() -> Vec<Vec<u8>> {
    let example = include_str!("../../fixtures/vendor_page.json");
    let odd = r#"{"code":0,"message":"success","data":[
        {"create_time":1767213318,"video_id":7590123280372190477,"duration":"12","total_video_sale_gmv_amt":1.5},
        {"create_time":"1767213319","video_id":"7","video_desc":"\ud83d \u0000 \"x\"","new_field":{"a":[1,null]}},
        {"create_time":null,"video_id":"8"}, [1], "text", 7, {"video_id":"9","video_id":"10","create_time":5},
        {"create_time":"5","video_id":"11","product_category_list":[{"a":1},"b",2],"is_ad":"true","region":17}
    ],"requestId":"f9edb062"}"#;
    let inside = r#"{"code":"429","data":null,"message":"qps limit exceeded"}"#;
    let lenient = "\u{feff}{\"code\":0,\"data\":[null,{\"create_time\":5,\"video_id\":\"7\",\"gmv\":NaN,\"a\":-Infinity,\"a\":007}]}\0";
    let answers: [(u8, &str); 11] = [
        (0, example),
        (0, odd),
        (0, r#"{"code":0,"data":[]}"#),
        (0, r#"{"code":0,"data":null,"message":"success"}"#),
        (0, r#"{"code":0}"#),
        (0, inside),
        (0, lenient),
        (1, ""),
        (5, r#"{"code":402,"data":null,"message":"apiKey quota is not enough"}"#),
        (10, r#"{"code":500,"data":null,"message":"Usage Limit Exceeded, Please Contact Administrator"}"#),
        (11, "<html><body>502 Bad Gateway</body></html>"),
    ];
    answers.iter().map(|(status, body)| std::iter::once(*status).chain(body.bytes()).collect()).collect()
}
