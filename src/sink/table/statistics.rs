//! What a table tells of a file so that readers need not open it, by the file's own footer. Pure.
//!
//! Bounds are told of the time, the id and whole numbers, and only where the file has them exactly, since readers answer from them
//! which rows are there and what the least and greatest value is. Nulls are counted of every column but lists.

use jiff::Timestamp;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::statistics::Statistics;
use serde_json::{Map, Value, json};

use bytes::Bytes;

use crate::sink::columns::{COLUMNS, Kind, VIDEO_ID};
use crate::sink::history::Values;
use crate::units::ByteCount;

/// What a footer takes, bytes, nearly always.
const USUAL_FOOTER_BYTES: u64 = 64 << 10;

/// How many of a file's last bytes hold its footer, as far as that is known: the usual number before anything was read.
///
/// # Errors
/// Where they hold no footer.
pub fn footer_bytes(tail: Option<&Bytes>, file: ByteCount) -> Result<Option<u64>, ParquetError> {
    match tail {
        None => Ok(Some(file.get().min(USUAL_FOOTER_BYTES))),
        Some(tail) => match read(tail, file) {
            Err(ParquetError::NeedMoreData(bytes)) if bytes > tail.len() => Ok(Some(bytes as u64)),
            Err(error) => Err(error),
            Ok(_) => Ok(None),
        },
    }
}

/// The statistics of a file by its last bytes, as the text that the log keeps.
///
/// # Errors
/// Where they hold no footer.
pub fn statistics(tail: &Bytes, file: ByteCount) -> Result<String, ParquetError> {
    Ok(of(&read(tail, file)?).to_string())
}

/// Adds how often fields of the service have values, by the text of such statistics.
pub fn add_values(told: &str, values: &mut Values) {
    let Ok(told) = serde_json::from_str::<Value>(told) else { return };
    let rows = told.get("numRecords").and_then(Value::as_u64).unwrap_or_default();
    let nulls = told.get("nullCount").and_then(Value::as_object).into_iter().flatten();
    values.rows += rows;
    for (name, nulls) in nulls.filter(|(name, _)| !name.starts_with('_')) {
        let filled = rows.saturating_sub(nulls.as_u64().unwrap_or(rows));
        *values.by_field.entry(name.clone()).or_default() += filled;
    }
}

fn read(tail: &Bytes, file: ByteCount) -> Result<ParquetMetaData, ParquetError> {
    let mut reader = ParquetMetaDataReader::new();
    reader.try_parse_sized(tail, file.get())?;
    reader.finish()
}

/// What is known of a column over all row groups.
#[derive(Default)]
struct Known {
    nulls: Option<u64>,
    bounds: Option<(Bound, Bound)>,
}

#[derive(Clone, PartialEq, PartialOrd)]
enum Bound {
    Number(i64),
    Text(String),
}

impl Bound {
    fn told(&self, kind: Kind) -> Option<Value> {
        match (self, kind) {
            (Self::Number(milliseconds), Kind::Moment) => {
                let moment = Timestamp::from_millisecond(*milliseconds).ok()?;
                Some(json!(moment.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()))
            }
            (Self::Number(number), _) => Some(json!(number)),
            (Self::Text(text), _) => Some(json!(text)),
        }
    }
}

fn of(metadata: &ParquetMetaData) -> Value {
    let rows: i64 = metadata.row_groups().iter().map(|group| group.num_rows()).sum();
    let (mut least, mut greatest, mut nulls) = (Map::new(), Map::new(), Map::new());
    for (place, leaf) in metadata.file_metadata().schema_descr().columns().iter().enumerate() {
        let [name] = leaf.path().parts() else { continue };
        let Some(column) = COLUMNS.iter().find(|column| column.name == name) else { continue };
        let groups = metadata.row_groups().iter().filter(|group| group.num_rows() > 0);
        let found: Option<Vec<Known>> = groups.map(|group| known(group.columns().get(place)?.statistics()?)).collect();
        let Some(found) = found else { continue };
        if let Some(count) = found.iter().map(|one| one.nulls).sum::<Option<u64>>() {
            nulls.insert(name.clone(), json!(count));
        }
        if let Some((low, high)) = bounds(found).filter(|_| tells_bounds(column.name, column.kind)) {
            least.extend(low.told(column.kind).map(|value| (name.clone(), value)));
            greatest.extend(high.told(column.kind).map(|value| (name.clone(), value)));
        }
    }
    json!({ "numRecords": rows, "minValues": least, "maxValues": greatest, "nullCount": nulls })
}

fn tells_bounds(name: &str, kind: Kind) -> bool {
    name == VIDEO_ID || matches!(kind, Kind::Moment | Kind::Whole8 | Kind::Whole32 | Kind::Whole64)
}

/// The bounds over all row groups; none where one of them does not tell.
fn bounds(found: Vec<Known>) -> Option<(Bound, Bound)> {
    let all: Option<Vec<(Bound, Bound)>> = found.into_iter().map(|one| one.bounds).collect();
    all?.into_iter().reduce(|(low, high), (other_low, other_high)| {
        let low = if other_low < low { other_low } else { low };
        let high = if other_high > high { other_high } else { high };
        (low, high)
    })
}

fn known(statistics: &Statistics) -> Option<Known> {
    let is_exact = statistics.min_is_exact() && statistics.max_is_exact();
    let bounds = match statistics {
        Statistics::Int32(values) => values
            .min_opt()
            .zip(values.max_opt())
            .map(|(low, high)| (Bound::Number(i64::from(*low)), Bound::Number(i64::from(*high)))),
        Statistics::Int64(values) => {
            values.min_opt().zip(values.max_opt()).map(|(low, high)| (Bound::Number(*low), Bound::Number(*high)))
        }
        Statistics::ByteArray(values) => values.min_opt().zip(values.max_opt()).and_then(|(low, high)| {
            let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(|text| Bound::Text(text.to_owned()));
            text(low.data()).zip(text(high.data()))
        }),
        _ => None,
    };
    Some(Known { nulls: statistics.null_count_opt(), bounds: bounds.filter(|_| is_exact) })
}
