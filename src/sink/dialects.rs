//! The columns as others write them: an Arrow schema, a JSON Schema, and statements that make a table of the output's rows in an engine.
//!
//! All come from [`COLUMNS`], and from the levels of the folders, which a reader gives as columns after them. Pure.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use serde_json::{Map, Value, json};

use crate::sink::columns::{
    self, COLUMNS, CREATE_TIME, Column, DECIMAL_DIGITS, DECIMAL_PLACES, FETCHED_AT, Kind, QUERY_REGION, SCHEMA_VERSION,
    SCHEMA_VERSION_KEY, VIDEO_ID,
};
use crate::sink::layout::{Level, LevelKind};

/// The name of the table that a statement makes.
const TABLE: &str = "videos";

/// An engine that a statement is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// DuckDB: a table to insert into.
    DuckDb,
    /// Spark SQL: a table of its own or, with a LOCATION, over the output's files.
    Spark,
    /// ClickHouse: a table to insert into, in which the later fetch of a video takes the place of the earlier one.
    ClickHouse,
}

/// An Arrow stream that holds the schema and no rows. Every Arrow library opens it.
///
/// # Errors
/// Where Arrow cannot write its own schema.
pub fn arrow_stream(levels: &[Level]) -> Result<Vec<u8>, ArrowError> {
    let level = |level: &Level| {
        let kind = match level.kind {
            LevelKind::Text => DataType::Utf8,
            LevelKind::Date => DataType::Date32,
        };
        Arc::new(Field::new(level.name, kind, true))
    };
    let fields = columns::schema().fields().iter().cloned().chain(levels.iter().map(level)).collect::<Vec<_>>();
    let version = (SCHEMA_VERSION_KEY.to_owned(), SCHEMA_VERSION.to_string());
    let schema = Schema::new_with_metadata(fields, [version]);
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    writer.finish()?;
    writer.into_inner()
}

/// A JSON Schema of one row as an object, as readers write it that know moments as RFC 3339 and decimals as numbers.
pub fn json_schema(levels: &[Level]) -> Value {
    let described = |mut kind: Value, meaning: &str| {
        if let Some(kind) = kind.as_object_mut() {
            kind.insert("description".to_owned(), json!(meaning));
        }
        kind
    };
    let columns = COLUMNS.iter().map(|column| (column.name, described(json_type(column.kind), column.meaning)));
    let levels = levels.iter().map(|level| {
        let kind = match level.kind {
            LevelKind::Text => json!({ "type": "string" }),
            LevelKind::Date => json!({ "type": "string", "format": "date" }),
        };
        (level.name, described(kind, level.meaning))
    });
    let properties: Map<String, Value> = columns.chain(levels).map(|(name, kind)| (name.to_owned(), kind)).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": format!("schema version {SCHEMA_VERSION}"),
        "title": TABLE,
        "type": "object",
        "properties": properties,
    })
}

fn json_type(kind: Kind) -> Value {
    match kind {
        Kind::Text => json!({ "type": ["string", "null"] }),
        Kind::Moment => json!({ "type": ["string", "null"], "format": "date-time" }),
        Kind::Flag => json!({ "type": ["boolean", "null"] }),
        Kind::Whole8 => json!({ "type": ["integer", "null"], "minimum": i8::MIN, "maximum": i8::MAX }),
        Kind::Whole32 => json!({ "type": ["integer", "null"], "minimum": i32::MIN, "maximum": i32::MAX }),
        Kind::Whole64 => json!({ "type": ["integer", "null"], "minimum": i64::MIN, "maximum": i64::MAX }),
        Kind::Decimal => json!({ "type": ["number", "null"] }),
        Kind::TextList => json!({ "type": ["array", "null"], "items": { "type": ["string", "null"] } }),
        Kind::CategoryList => {
            let text = || json!({ "type": ["string", "null"] });
            let fields: Map<String, Value> = category_names().into_iter().map(|name| (name, text())).collect();
            json!({ "type": ["array", "null"], "items": { "type": ["object", "null"], "properties": fields } })
        }
    }
}

fn category_names() -> Vec<String> {
    columns::category_fields().iter().map(|field| field.name().clone()).collect()
}

/// The statements that make the table, each with its semicolon; the last one ends with a line end.
pub fn statements(engine: Engine, levels: &[Level]) -> String {
    let columns =
        COLUMNS.iter().map(|Column { name, kind, meaning, .. }| (*name, column_type(engine, name, *kind), *meaning));
    let levels_told = levels.iter().map(|level| (level.name, level_type(engine, level.kind).to_owned(), level.meaning));
    let all: Vec<(&str, String, &str)> = columns.chain(levels_told).collect();
    let lines: Vec<String> = all.iter().map(|(name, kind, meaning)| line(engine, name, kind, meaning)).collect();
    let names: Vec<String> = levels.iter().map(|level| quoted(engine, level.name)).collect();
    let head = format!("-- schema version {SCHEMA_VERSION}\nCREATE TABLE {TABLE} (\n{}\n)", lines.join(",\n"));
    match engine {
        Engine::DuckDb => {
            let comment = |(name, _, meaning): &(&str, String, &str)| {
                format!("COMMENT ON COLUMN {TABLE}.{} IS {};\n", quoted(engine, name), text(engine, meaning))
            };
            format!("{head};\n{}", all.iter().map(comment).collect::<String>())
        }
        Engine::Spark => format!("{head}\nUSING parquet\nPARTITIONED BY ({});\n", names.join(", ")),
        // What is sorted by the key's end comes together for the replacement; a snapshot's rows stay apart.
        Engine::ClickHouse => {
            let snapshot = levels.iter().filter(|level| level.name == "snapshot").map(|level| level.name);
            let key: Vec<String> = [QUERY_REGION, CREATE_TIME, VIDEO_ID]
                .into_iter()
                .chain(snapshot)
                .map(|name| quoted(engine, name))
                .collect();
            let version = quoted(engine, FETCHED_AT);
            format!("{head}\nENGINE = ReplacingMergeTree({version})\nORDER BY ({});\n", key.join(", "))
        }
    }
}

fn line(engine: Engine, name: &str, kind: &str, meaning: &str) -> String {
    let column = format!("  {} {kind}", quoted(engine, name));
    match engine {
        Engine::DuckDb => column,
        Engine::Spark | Engine::ClickHouse => format!("{column} COMMENT {}", text(engine, meaning)),
    }
}

fn quoted(engine: Engine, name: &str) -> String {
    match engine {
        Engine::DuckDb => format!("\"{name}\""),
        Engine::Spark | Engine::ClickHouse => format!("`{name}`"),
    }
}

/// A text in quotes. Spark reads two quotes within a text as the end of one and the beginning of another.
fn text(engine: Engine, words: &str) -> String {
    let quote = if engine == Engine::Spark { "\\'" } else { "''" };
    format!("'{}'", words.replace('\'', quote))
}

/// ClickHouse has no list that is null, and sorts by what is none: these four are never null in a part.
fn column_type(engine: Engine, name: &str, kind: Kind) -> String {
    let bare = bare_type(engine, kind);
    let is_never_null = [CREATE_TIME, VIDEO_ID, QUERY_REGION, FETCHED_AT].contains(&name);
    match (engine, kind) {
        (Engine::ClickHouse, Kind::TextList | Kind::CategoryList) => bare,
        (Engine::ClickHouse, _) if !is_never_null => format!("Nullable({bare})"),
        _ => bare,
    }
}

fn bare_type(engine: Engine, kind: Kind) -> String {
    let of = |duckdb: &str, spark: &str, clickhouse: &str| {
        let word = match engine {
            Engine::DuckDb => duckdb,
            Engine::Spark => spark,
            Engine::ClickHouse => clickhouse,
        };
        word.to_owned()
    };
    match kind {
        Kind::Text => of("VARCHAR", "STRING", "String"),
        Kind::Moment => of("TIMESTAMP WITH TIME ZONE", "TIMESTAMP", "DateTime64(3, 'UTC')"),
        Kind::Flag => of("BOOLEAN", "BOOLEAN", "Bool"),
        Kind::Whole8 => of("TINYINT", "TINYINT", "Int8"),
        Kind::Whole32 => of("INTEGER", "INT", "Int32"),
        Kind::Whole64 => of("BIGINT", "BIGINT", "Int64"),
        Kind::Decimal => {
            let decimal = of("DECIMAL", "DECIMAL", "Decimal");
            format!("{decimal}({DECIMAL_DIGITS}, {DECIMAL_PLACES})")
        }
        Kind::TextList => of("VARCHAR[]", "ARRAY<STRING>", "Array(Nullable(String))"),
        Kind::CategoryList => {
            let fields = |between: &str, kind: &str| {
                let fields = category_names().into_iter().map(|name| format!("{name}{between}{kind}"));
                fields.collect::<Vec<_>>().join(", ")
            };
            of(
                &format!("STRUCT({})[]", fields(" ", "VARCHAR")),
                &format!("ARRAY<STRUCT<{}>>", fields(": ", "STRING")),
                &format!("Array(Tuple({}))", fields(" ", "Nullable(String)")),
            )
        }
    }
}

const fn level_type(engine: Engine, kind: LevelKind) -> &'static str {
    match (engine, kind) {
        (Engine::DuckDb, LevelKind::Text) => "VARCHAR",
        (Engine::Spark, LevelKind::Text) => "STRING",
        (Engine::ClickHouse, LevelKind::Text) => "LowCardinality(String)",
        (Engine::DuckDb | Engine::Spark, LevelKind::Date) => "DATE",
        (Engine::ClickHouse, LevelKind::Date) => "Date",
    }
}

#[cfg(test)]
mod tests {
    use arrow::ipc::reader::StreamReader;

    use super::*;
    use crate::sink::layout::Partition;

    #[test]
    fn the_statements_of_each_engine_read_well() {
        let of = |engine| statements(engine, &Partition::Day.levels(false));
        insta::assert_snapshot!([Engine::DuckDb, Engine::Spark, Engine::ClickHouse].map(of).join("\n"));
    }

    #[test]
    fn a_statement_has_the_levels_of_its_partition_and_keeps_snapshots_apart() {
        let tail = |engine, partition: Partition| {
            let all = statements(engine, &partition.levels(true));
            all.split_once("\n)\n").map(|(_, tail)| tail.to_owned()).unwrap_or_default()
        };
        let spark = tail(Engine::Spark, Partition::Month);
        assert_eq!(spark, "USING parquet\nPARTITIONED BY (`query_region`, `snapshot`, `month`);\n");
        let clickhouse = tail(Engine::ClickHouse, Partition::None);
        assert!(clickhouse.ends_with("ORDER BY (`_query_region`, `create_time`, `video_id`, `snapshot`);\n"));
    }

    #[test]
    fn the_arrow_stream_is_the_parts_schema_with_the_levels() {
        let stream = arrow_stream(&Partition::Day.levels(false)).unwrap();
        let read = StreamReader::try_new(stream.as_slice(), None).unwrap().schema();
        let (columns, levels) = read.fields().split_at(COLUMNS.len());
        assert_eq!(columns, columns::schema().fields().as_ref());
        let levels: Vec<_> = levels.iter().map(|field| (field.name().as_str(), field.data_type().clone())).collect();
        assert_eq!(levels, [("query_region", DataType::Utf8), ("date", DataType::Date32)]);
        assert_eq!(read.metadata()[SCHEMA_VERSION_KEY], SCHEMA_VERSION.to_string());
    }

    #[test]
    fn the_json_schema_has_every_column_and_level() {
        let schema = json_schema(&Partition::Month.levels(false));
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(properties.len(), COLUMNS.len() + 2);
        assert_eq!(properties["sales_flag"]["maximum"], 127);
        assert_eq!(properties["month"]["type"], "string");
        assert!(COLUMNS.iter().all(|column| properties[column.name]["description"] == column.meaning));
    }
}
