//! A row of the output and a row as it was served, both as the same plain JSON, so that they can be compared field by field.
//!
//! Written from the documentation of the schema, without any of the exporter's code.

use arrow::array::{Array, AsArray as _, ListArray, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Int8Type, Int32Type, Int64Type, TimestampMillisecondType};
use keyapi_export::api::contract::SOURCE;
use serde_json::{Map, Value, json};

/// The documented fields of row `place`, as the columns hold them; null ones are left out.
pub(crate) fn documented(batch: &RecordBatch, place: usize) -> Map<String, Value> {
    let mut fields = Map::new();
    for name in SOURCE.fields {
        let column = batch.column_by_name(name).unwrap_or_else(|| panic!("there is no column {name}"));
        if column.is_valid(place) {
            fields.insert(name.to_owned(), cell(column.as_ref(), place));
        }
    }
    fields
}

fn cell(column: &dyn Array, place: usize) -> Value {
    match column.data_type() {
        DataType::Utf8 => json!(column.as_string::<i32>().value(place)),
        DataType::Boolean => json!(column.as_boolean().value(place)),
        DataType::Int8 => json!(column.as_primitive::<Int8Type>().value(place)),
        DataType::Int32 => json!(column.as_primitive::<Int32Type>().value(place)),
        DataType::Int64 => json!(column.as_primitive::<Int64Type>().value(place)),
        DataType::Decimal128(18, 4) => json!(column.as_primitive::<Decimal128Type>().value_as_string(place)),
        DataType::Timestamp(..) => {
            let milliseconds = column.as_primitive::<TimestampMillisecondType>().value(place);
            assert_eq!(milliseconds % 1_000, 0, "create_time is sent in whole seconds");
            json!(milliseconds / 1_000)
        }
        DataType::List(_) => list(column.as_list::<i32>(), place),
        other => panic!("no column of the schema is {other}"),
    }
}

fn list(column: &ListArray, place: usize) -> Value {
    let items = column.value(place);
    let item = |at: usize| match items.data_type() {
        DataType::Struct(fields) => {
            let entries = items.as_struct();
            let named = fields.iter().zip(entries.columns());
            named.map(|(field, values)| (field.name().clone(), cell(values.as_ref(), at))).collect::<Map<_, _>>().into()
        }
        _ => cell(items.as_ref(), at),
    };
    (0..items.len()).map(item).collect()
}

/// The documented fields of a row's JSON text, as the columns should hold them; null ones are left out.
pub(crate) fn as_served(text: &str) -> Map<String, Value> {
    let row: Map<String, Value> = serde_json::from_str(&strict(text)).unwrap_or_else(|why| panic!("{why}: {text}"));
    let known = row.into_iter().filter(|(name, value)| SOURCE.fields.contains(&name.as_str()) && !value.is_null());
    known.map(|(name, value)| (name.clone(), typed(&name, &value))).collect()
}

/// The text as strict JSON: control characters as escapes, and halves of surrogate pairs as U+FFFD.
fn strict(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        if character.is_control() && character.is_ascii() {
            out.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            out.push(character);
        }
    }
    // The simulator writes no other escape of a surrogate than these halves.
    out.replace("\\ud83d", "\\ufffd").replace("\\uDE02", "\\ufffd")
}

/// A plain amount with four places.
fn four_places(amount: &str) -> String {
    let (whole, places) = amount.split_once('.').unwrap_or((amount, ""));
    assert!(places.len() <= 4 && !amount.contains(['e', 'E']), "{amount} is not served");
    format!("{whole}.{places:0<4}")
}

fn typed(name: &str, value: &Value) -> Value {
    let plain = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match name {
        "created_by_ai" | "is_ad" => json!(plain == "true" || plain == "1"),
        "total_video_sale_gmv_amt" => json!(four_places(&plain)),
        "video_products" => {
            let ids: Vec<u64> = serde_json::from_str(&plain).unwrap();
            ids.into_iter().map(|id| json!(id.to_string())).collect()
        }
        "product_category_list" => serde_json::from_str(&plain).unwrap(),
        "create_time" | "data_size" | "duration" | "height" | "width" | "sales_flag" => {
            json!(plain.parse::<i64>().unwrap())
        }
        _ if name.starts_with("total_") => json!(plain.parse::<i64>().unwrap()),
        _ => json!(plain),
    }
}
