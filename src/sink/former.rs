//! Parts with the columns of schema version 1, read as this version's.
//!
//! Version 1 had amounts as doubles and no `_query_region`. A double prints as the decimal that was sent, unless that had more digits
//! than any amount has; where its digits do not fit the column here, it goes to `_extra` as every such value does.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, Decimal128Builder, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use arrow::error::ArrowError;

use crate::api::contract::Region;
use crate::sink::columns::{self, EXTRA, Kind, QUERY_REGION};
use crate::sink::value::{Fit, decimal};

/// The columns of a schema version; none where it is not known.
pub(super) fn schema_of(version: u32) -> Option<SchemaRef> {
    match version {
        1 => Some(first_schema()),
        columns::SCHEMA_VERSION => Some(columns::schema()),
        _ => None,
    }
}

fn first_schema() -> SchemaRef {
    let current = columns::schema();
    let fields = current.fields().iter().filter(|field| field.name() != QUERY_REGION);
    let amount = Kind::Decimal.data_type();
    let former = fields.map(|field| match *field.data_type() == amount {
        true => Arc::new(Field::new(field.name(), DataType::Float64, true)),
        false => Arc::clone(field),
    });
    Arc::new(Schema::new(former.collect::<Vec<_>>()))
}

/// Rows of any version that is known, with this version's columns. `region` is the one that was asked.
///
/// # Errors
/// Where the columns are of no version that is known.
pub(super) fn to_current(batch: &RecordBatch, region: &Region) -> Result<RecordBatch, ArrowError> {
    let current = columns::schema();
    if batch.schema().fields() == current.fields() {
        return Ok(batch.clone());
    }
    let mut kept = texts(batch, EXTRA)?;
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for field in current.fields().iter().filter(|field| field.name() != EXTRA) {
        let array = if field.name() == QUERY_REGION {
            Arc::new(StringArray::from(vec![region.as_str(); batch.num_rows()]))
        } else {
            let found = column(batch, field.name())?;
            match found.as_primitive_opt::<Float64Type>() {
                Some(amounts) => exact(amounts, field.name(), &mut kept)?,
                None => Arc::clone(found),
            }
        };
        arrays.push(array);
    }
    // `_extra` is the last column.
    arrays.push(Arc::new(StringArray::from(kept)));
    RecordBatch::try_new(current, arrays)
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, ArrowError> {
    batch.column_by_name(name).ok_or_else(|| ArrowError::SchemaError(format!("there is no column `{name}`")))
}

fn texts(batch: &RecordBatch, name: &str) -> Result<Vec<Option<String>>, ArrowError> {
    let found = column(batch, name)?.as_string_opt::<i32>();
    let texts = found.ok_or_else(|| ArrowError::SchemaError(format!("`{name}` holds no text")))?;
    Ok(texts.iter().map(|text| text.map(str::to_owned)).collect())
}

fn exact(amounts: &Float64Array, name: &str, kept: &mut [Option<String>]) -> Result<ArrayRef, ArrowError> {
    let mut exact = Decimal128Builder::with_capacity(amounts.len()).with_data_type(Kind::Decimal.data_type());
    for (amount, extra) in amounts.iter().zip(kept) {
        let text = amount.map(|amount| amount.to_string());
        match text.as_deref().map(decimal) {
            Some(Fit::Exact(value) | Fit::Repaired(value)) => exact.append_value(value),
            Some(Fit::Misfit) => {
                exact.append_null();
                *extra = Some(with_member(extra.as_deref(), name, text.as_deref().unwrap_or("null")));
            }
            Some(Fit::Absent) | None => exact.append_null(),
        }
    }
    Ok(Arc::new(exact.finish()))
}

/// The text of a JSON object with one member more.
fn with_member(object: Option<&str>, name: &str, value: &str) -> String {
    let open = object.and_then(|text| text.trim_end().strip_suffix('}')).unwrap_or("{");
    let comma = if open.trim_end().ends_with('{') { "" } else { "," };
    format!("{open}{comma}\"{name}\":{value}}}")
}

#[cfg(test)]
pub(super) fn as_version_1(batch: &RecordBatch) -> RecordBatch {
    let schema = first_schema();
    let arrays = schema.fields().iter().map(|field| {
        let found = Arc::clone(batch.column_by_name(field.name()).unwrap());
        arrow::compute::cast(&found, field.data_type()).unwrap()
    });
    RecordBatch::try_new(schema.clone(), arrays.collect()).unwrap()
}

#[cfg(test)]
mod tests {
    use arrow::array::Array as _;

    use super::*;
    use crate::sink::testing::{given, page, parts, range, read, row, slice};

    #[test]
    fn rows_of_version_1_come_back_as_they_would_be_written_here() {
        let folder = tempfile::tempdir().unwrap();
        let parts = parts(folder.path());
        let amounts = ["19.9", "0", "2627.73", "null"];
        let rows: Vec<String> = amounts
            .iter()
            .enumerate()
            .map(|(place, amount)| {
                let row = row(i64::try_from(place).unwrap(), &place.to_string(), 1);
                row.replace('}', &format!(r#","total_video_sale_gmv_amt":{amount}}}"#))
            })
            .collect();
        let part = parts.stage(&slice(range(0, 60)), given(vec![page(1, &rows)])).unwrap().part.unwrap();
        let current = read(&parts.staging.file(&part.path));
        let former = as_version_1(&current);
        assert_eq!(former.num_columns() + 1, current.num_columns());
        assert_eq!(to_current(&former, &part.region).unwrap(), current);
        assert_eq!(to_current(&current, &part.region).unwrap(), current);
    }

    #[test]
    fn an_amount_that_does_not_fit_is_kept_as_text() {
        let mut kept = vec![None, Some(r#"{"new":1}"#.to_owned()), Some("{}".to_owned())];
        let amounts = Float64Array::from(vec![0.000_01, 1e30, 2.5]);
        let exact = exact(&amounts, "amount", &mut kept).unwrap();
        assert_eq!((exact.is_null(0), exact.is_null(1), exact.is_null(2)), (true, true, false));
        let texts: Vec<&str> = kept.iter().map(|text| text.as_deref().unwrap()).collect();
        assert_eq!(texts, [r#"{"amount":0.00001}"#, r#"{"new":1,"amount":1000000000000000000000000000000}"#, "{}"]);
    }
}
