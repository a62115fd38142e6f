//! Parts with the columns of a former schema version, read as this version's: a column that was not there yet holds nulls.
//!
//! Version 1 had amounts as doubles and no `_query_region`. A double prints as the decimal that was sent, unless that had more digits
//! than any amount has; where its digits do not fit the column here, it goes to `_extra` as every such value does.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, Decimal128Builder, Float64Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{DataType, FieldRef, Fields, Float64Type};
use arrow::error::ArrowError;

use crate::api::contract::Region;
use crate::sink::columns::{self, CREATE_TIME, EXTRA, Kind, QUERY_REGION, VIDEO_ID};
use crate::sink::value::{Fit, decimal};

/// Whether a part of a schema version may have these columns: those of this version are exactly what is written here, and a former one
/// may lack some, and had amounts as doubles. What has a column that is not known here is of a later version, or not ours.
pub(super) fn may_have(version: u32, fields: &Fields) -> bool {
    let current = columns::schema();
    let was = |field: &FieldRef, found: &FieldRef| {
        found.data_type() == field.data_type()
            || (*field.data_type() == Kind::Decimal.data_type() && *found.data_type() == DataType::Float64)
    };
    let is_known =
        |found: &FieldRef| current.fields().iter().any(|field| field.name() == found.name() && was(field, found));
    let has = |name: &str| fields.iter().any(|field| field.name() == name);
    match version {
        columns::SCHEMA_VERSION => fields == current.fields(),
        1..columns::SCHEMA_VERSION => has(CREATE_TIME) && has(VIDEO_ID) && fields.iter().all(is_known),
        _ => false,
    }
}

#[cfg(test)]
fn first_schema() -> arrow::datatypes::SchemaRef {
    use arrow::datatypes::{Field, Schema};
    let current = columns::schema();
    let fields = current.fields().iter().filter(|field| field.name() != QUERY_REGION);
    let amount = Kind::Decimal.data_type();
    let former = fields.map(|field| match *field.data_type() == amount {
        true => Arc::new(Field::new(field.name(), DataType::Float64, true)),
        false => Arc::clone(field),
    });
    Arc::new(Schema::new(former.collect::<Vec<_>>()))
}

/// Rows of a version whose columns [`may_have`] takes, with this version's columns. `region` is the one that was asked.
///
/// # Errors
/// Where the columns do not fit together.
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
            match batch.column_by_name(field.name()) {
                None => new_null_array(field.data_type(), batch.num_rows()),
                Some(found) => match found.as_primitive_opt::<Float64Type>() {
                    Some(amounts) => exact(amounts, field.name(), &mut kept)?,
                    None => Arc::clone(found),
                },
            }
        };
        arrays.push(array);
    }
    // `_extra` is the last column.
    arrays.push(Arc::new(StringArray::from(kept)));
    RecordBatch::try_new(current, arrays)
}

fn texts(batch: &RecordBatch, name: &str) -> Result<Vec<Option<String>>, ArrowError> {
    let Some(found) = batch.column_by_name(name) else { return Ok(vec![None; batch.num_rows()]) };
    let texts = found.as_string_opt::<i32>();
    let texts = texts.ok_or_else(|| ArrowError::SchemaError(format!("`{name}` holds no text")))?;
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
        let part = parts.stage(&slice(range(0, 60)), given(vec![page(1, &rows)])).unwrap().unwrap();
        let current = read(&parts.staging.file(&part.path));
        let former = as_version_1(&current);
        assert_eq!(former.num_columns() + 1, current.num_columns());
        assert_eq!(to_current(&former, &part.region).unwrap(), current);
        assert_eq!(to_current(&current, &part.region).unwrap(), current);
    }

    #[test]
    fn a_column_that_was_not_there_yet_holds_nulls() {
        let folder = tempfile::tempdir().unwrap();
        let parts = parts(folder.path());
        let rows = [row(1, "1", 7), row(2, "2", 8)];
        let part = parts.stage(&slice(range(0, 60)), given(vec![page(1, &rows)])).unwrap().unwrap();
        let current = read(&parts.staging.file(&part.path));
        let kept: Vec<usize> = (0..current.num_columns())
            .filter(|at| !["total_digg_cnt", EXTRA].contains(&current.schema().field(*at).name().as_str()))
            .collect();
        let former = current.project(&kept).unwrap();
        assert!(may_have(1, former.schema().fields()) && !may_have(columns::SCHEMA_VERSION, former.schema().fields()));
        let now = to_current(&former, &part.region).unwrap();
        assert_eq!(now.column_by_name("total_digg_cnt").unwrap().null_count(), 2);
        assert_eq!(now.project(&kept).unwrap(), former);
        let stranger = columns::schema().fields().iter().map(|field| field.as_ref().clone().with_name("x")).collect();
        assert!(!may_have(1, &stranger) && !may_have(columns::SCHEMA_VERSION + 1, columns::schema().fields()));
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
