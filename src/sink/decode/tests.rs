//! Rows as they come, and what becomes of each odd value.

use arrow::array::{Array, AsArray as _};
use arrow::datatypes::{Decimal128Type, Int8Type, Int32Type, Int64Type, TimestampMillisecondType};
use proptest::prelude::*;

use super::*;
use crate::sink::columns::{CREATE_TIME, EXTRA, FETCHED_AT, QUERY_REGION, REQUEST_ID};
use crate::sink::testing::{EXAMPLE, NEW_YEAR, page, page_of};

/// The page of one row.
fn one(text: &str) -> FetchedRows {
    FetchedRows::read(page(1, &[text.to_owned()])).unwrap()
}

/// One row with these members beside its identity.
fn decoded(members: &str) -> (RecordBatch, u64) {
    let mut batch = RowBatch::new("US".parse().unwrap());
    batch.append(&one(&format!(r#"{{"create_time":"{NEW_YEAR}","video_id":"7"{members}}}"#)), 0).unwrap();
    (batch.take().unwrap(), batch.kept().total())
}

/// The rows of an answer.
fn of_answer(body: &[u8]) -> (RecordBatch, u64) {
    let mut batch = RowBatch::new("US".parse().unwrap());
    let rows = FetchedRows::read(page_of(3, body)).unwrap();
    (0..rows.len()).for_each(|place| batch.append(&rows, place).unwrap());
    (batch.take().unwrap(), batch.kept().total())
}

fn text<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a str> {
    batch.column_by_name(name).unwrap().as_string::<i32>().iter().next().unwrap()
}

fn extra(batch: &RecordBatch) -> serde_json::Value {
    text(batch, EXTRA).map_or(serde_json::Value::Null, |text| serde_json::from_str(text).unwrap())
}

#[test]
fn the_vendors_example_fits_its_columns_and_leaves_nothing_over() {
    let (batch, _) = of_answer(EXAMPLE.as_bytes());
    assert_eq!(batch.num_rows(), 1);
    let column = |name: &str| batch.column_by_name(name).unwrap();
    let whole = |name: &str| column(name).as_primitive::<Int64Type>().value(0);
    assert_eq!(column(CREATE_TIME).as_primitive::<TimestampMillisecondType>().value(0), 1_767_213_318_000);
    assert_eq!(text(&batch, VIDEO_ID), Some("7590123280372190477"));
    assert!(!column("created_by_ai").as_boolean().value(0));
    assert!(column("is_ad").as_boolean().value(0));
    assert_eq!(whole("data_size"), 1_127_263);
    assert_eq!((whole("total_digg_cnt"), whole("total_views_30d_cnt")), (11, 174));
    assert_eq!(column("duration").as_primitive::<Int32Type>().value(0), 15);
    assert_eq!(column("height").as_primitive::<Int32Type>().value(0), 1280);
    assert_eq!(column("sales_flag").as_primitive::<Int8Type>().value(0), 0);
    assert_eq!(column("total_video_sale_gmv_amt").as_primitive::<Decimal128Type>().value(0), 0);
    assert_eq!(column("video_products").as_list::<i32>().value(0).len(), 0);
    assert_eq!(text(&batch, "unique_id"), Some("ania.salon"));
    assert_eq!(text(&batch, "video_desc"), Some(""));
    assert_eq!(column(FETCHED_AT).as_primitive::<TimestampMillisecondType>().value(0), 1_767_300_000_003);
    assert_eq!(text(&batch, QUERY_REGION), Some("US"));
    assert_eq!(text(&batch, REQUEST_ID), Some("request-3"));
    assert_eq!(text(&batch, EXTRA), None);
    let without: Vec<&str> = COLUMNS.iter().map(|column| column.name).filter(|name| column(name).is_null(0)).collect();
    assert_eq!(without, [EXTRA]);
}

#[test]
fn a_value_that_its_column_cannot_hold_is_kept_as_it_came() {
    let (batch, kept) = decoded(
        r#","created_by_ai":"","duration":1.5,"sales_flag":300,"total_digg_cnt":1180591620717411303424,"ratio":{"w":1}"#,
    );
    assert_eq!(
        text(&batch, EXTRA),
        Some(
            r#"{"created_by_ai":"","duration":1.5,"ratio":{"w":1},"sales_flag":300,"total_digg_cnt":1180591620717411303424}"#
        )
    );
    assert_eq!(kept, 5);
    for name in ["created_by_ai", "duration", "sales_flag", "total_digg_cnt", "ratio"] {
        assert!(batch.column_by_name(name).unwrap().is_null(0), "{name}");
    }
}

#[test]
fn an_unknown_field_is_kept_and_counted() {
    let (batch, kept) = decoded(r#","music_id":7590123280372190477123,"\"odd\"":[1, 2],"width":null"#);
    assert_eq!(text(&batch, EXTRA), Some(r#"{"music_id":7590123280372190477123,"\"odd\"":[1, 2]}"#));
    assert_eq!(kept, 2);
}

/// Found by the fuzzer: one such number made the whole of `_extra` unreadable.
#[test]
fn a_value_that_no_reader_takes_is_kept_as_text() {
    let deep = format!("{}1{}", "[".repeat(127), "]".repeat(127));
    let (batch, kept) = decoded(&format!(r#","total_digg_cnt":1e999,"new":[1e400],"deep":{deep}"#));
    let kept_text = |name: &str| extra(&batch)[name].as_str().map(str::to_owned);
    assert_eq!(kept_text("total_digg_cnt").as_deref(), Some("1e999"));
    assert_eq!(kept_text("new").as_deref(), Some("[1e400]"));
    assert_eq!(kept_text("deep"), Some(deep));
    assert_eq!(kept, 3);
}

#[test]
fn null_and_missing_leave_nothing_in_extra() {
    let (batch, kept) = decoded(r#","duration":null,"video_products":null,"product_category_list":null"#);
    assert_eq!((text(&batch, EXTRA), kept), (None, 0));
}

#[test]
fn half_a_surrogate_pair_is_repaired_and_its_spelling_kept() {
    let (batch, kept) = decoded(r#","video_desc":"a\ud83d","mystery":"\ude00""#);
    assert_eq!(text(&batch, "video_desc"), Some("a\u{fffd}"));
    assert_eq!(extra(&batch), serde_json::json!({"video_desc": r"a\ud83d", "mystery": r#""\ude00""#}));
    assert_eq!(kept, 2);
}

/// As the page's text has it once it is made JSON.
#[test]
fn a_byte_that_is_not_utf_8_is_kept_as_well() {
    let body = b"{\"create_time\":5,\"video_id\":\"7\",\"video_desc\":\"caf\xe9\"}";
    let mut batch = RowBatch::new("US".parse().unwrap());
    batch.append(&one(&crate::api::reply::readable(body)), 0).unwrap();
    assert_eq!(batch.kept().total(), 1);
    let batch = batch.take().unwrap();
    assert_eq!(text(&batch, "video_desc"), Some("caf\u{fffd}"));
    assert_eq!(extra(&batch), serde_json::json!({"video_desc": r"caf\udce9"}));
}

#[test]
fn the_earlier_value_of_a_field_that_stands_twice_is_kept() {
    let (batch, _) = decoded(r#","ratio":"540p","ratio":"720p""#);
    assert_eq!(text(&batch, "ratio"), Some("720p"));
    assert_eq!(extra(&batch), serde_json::json!({"ratio": "540p"}));
}

#[test]
fn values_are_counted_by_their_fields() {
    let mut batch = RowBatch::new("US".parse().unwrap());
    for members in [r#","new":1,"duration":"x""#, r#","new":2,"new":3"#, ""] {
        batch.append(&one(&format!(r#"{{"create_time":5,"video_id":"7"{members}}}"#)), 0).unwrap();
    }
    let named: Vec<(&str, u64)> = batch.kept().by_name().iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(named, [("duration", 1), ("new", 3)]);
}

#[test]
fn numbers_that_json_does_not_know_cost_neither_the_row_nor_themselves() {
    let row = r#"{"create_time":5,"video_id":"7","total_video_sale_gmv_amt":NaN,"duration":-Infinity,"width":0720}"#;
    let (batch, kept) = of_answer(format!("\u{feff}{{\"code\":0,\"data\":[{row},null]}}\0").as_bytes());
    assert_eq!(kept, 2);
    assert_eq!(extra(&batch), serde_json::json!({"total_video_sale_gmv_amt": "NaN", "duration": "-Infinity"}));
    assert_eq!(batch.column_by_name("width").unwrap().as_primitive::<Int32Type>().value(0), 720);
    assert_eq!(batch.num_rows(), 1);
}

#[test]
fn an_identity_that_had_to_be_trimmed_keeps_what_was_sent() {
    let mut batch = RowBatch::new("US".parse().unwrap());
    batch.append(&one(r#"{"create_time":" 5 ","video_id":" 7 "}"#), 0).unwrap();
    batch.append(&one(r#"{"create_time":5,"video_id":7}"#), 0).unwrap();
    let batch = batch.take().unwrap();
    let ids = batch.column_by_name(VIDEO_ID).unwrap().as_string::<i32>();
    assert_eq!((ids.value(0), ids.value(1)), ("7", "7"));
    assert_eq!(extra(&batch), serde_json::json!({"create_time": " 5 ", "video_id": " 7 "}));
    assert!(batch.column_by_name(EXTRA).unwrap().is_null(1));
}

#[test]
fn products_and_categories_come_out_of_their_strings() {
    let (batch, kept) = decoded(
        r#","video_products":"[1732322694475518433,12]","product_category_list":"[{ \"category_name\":\"Beauty\",\"category_id\":\"601450\"}]""#,
    );
    let products = batch.column_by_name("video_products").unwrap().as_list::<i32>().value(0);
    let products: Vec<_> = products.as_string::<i32>().iter().flatten().map(str::to_owned).collect();
    assert_eq!(products, ["1732322694475518433", "12"]);
    let categories = batch.column_by_name("product_category_list").unwrap().as_list::<i32>().value(0);
    let field = |index| categories.as_struct().column(index).as_string::<i32>().value(0).to_owned();
    assert_eq!((field(0), field(1), kept), ("601450".to_owned(), "Beauty".to_owned(), 0));
}

#[test]
fn a_raw_control_character_does_not_cost_the_row() {
    let body = format!(r#"{{"code":0,"data":[{{"create_time":{NEW_YEAR},"video_id":"7","video_desc":"a@b"}}]}}"#);
    let (batch, _) = of_answer(body.replace('@', "\n").as_bytes());
    assert_eq!(text(&batch, "video_desc"), Some("a\nb"));
}

/// JSON values as an unreliable service might send them.
fn odd_value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|flag| flag.to_string()),
        any::<i128>().prop_map(|number| number.to_string()),
        any::<i64>().prop_map(|number| format!("\"{number}\"")),
        proptest::num::f64::NORMAL.prop_map(|number| format!("{number:e}")),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just(r#""\ud800x""#.to_owned()),
        Just(r#""[{\"category_id\":\"\\udc00\"}]""#.to_owned()),
        Just(r#"[1,{"a":"\ud800"}]"#.to_owned()),
    ]
}

#[test]
fn a_page_whose_rows_are_cut_is_named() {
    let mut cut = page(4, &[format!(r#"{{"create_time":{NEW_YEAR},"video_id":"7"}}"#)]);
    cut.body.pop();
    let text = FetchedRows::read(cut).unwrap_err().to_string();
    assert_eq!(text, "stored page 4 cannot be read: its rows are cut");
}

proptest! {
    #[test]
    fn nothing_that_was_sent_is_lost(values in prop::collection::vec(odd_value(), SOURCE.fields.len() - 2)) {
        let names: Vec<&str> = SOURCE.fields.into_iter().filter(|name| ![CREATE_TIME, VIDEO_ID].contains(name)).collect();
        let members: String = names.iter().zip(&values).map(|(name, value)| format!(",\"{name}\":{value}")).collect();
        let (batch, kept) = decoded(&members);
        let extra = extra(&batch);
        for (name, value) in names.iter().zip(&values) {
            let in_column = !batch.column_by_name(name).unwrap().is_null(0);
            let in_extra = extra.get(name).is_some();
            prop_assert_eq!(in_column || in_extra, value != "null", "{} {}", name, value);
        }
        prop_assert_eq!(kept as usize, extra.as_object().map_or(0, serde_json::Map::len));
    }
}
