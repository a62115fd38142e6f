//! The output's columns: one table from which the schema, the encodings and the `schema` command's text come.
//!
//! The schema is fixed, never inferred: every documented field in the vendor's order, then four of our own. Every column is
//! nullable, because the vendor's declared types are unreliable and fields may be null or missing. A change of a name, a type
//! or a meaning here is a new [`SCHEMA_VERSION`]; a change of an encoding is not.
//!
//! A part must open whole in readers of two years ago, so the rule for encodings is: plain, dictionary, and differences for `create_time`.
//! What was tried and left, because some reader refuses the whole file for it, however small it makes the column: BYTE_STREAM_SPLIT
//! of integers, DELTA_BYTE_ARRAY and DELTA_LENGTH_BYTE_ARRAY of text, any FLOAT or DOUBLE (their new order of values), and the
//! Arrow schema in the metadata, which makes one reader's types of a file differ from all others'. `tests/readers` opens
//! a part with each reader. Pure.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::{ColumnPath, SchemaDescriptor};

/// The version of the names, types and meanings below; in every part's metadata and in the manifest.
pub const SCHEMA_VERSION: u32 = 2;
/// The key of the schema version in a part's key-value metadata.
pub const SCHEMA_VERSION_KEY: &str = "keyapi_export.schema_version";
/// The video's creation time.
pub const CREATE_TIME: &str = "create_time";
/// The video's identity.
pub const VIDEO_ID: &str = "video_id";
/// The region that was asked for the row.
pub const QUERY_REGION: &str = "_query_region";
/// When the row's answer had arrived.
pub const FETCHED_AT: &str = "_fetched_at";
/// The service's name for the answer.
pub const REQUEST_ID: &str = "_request_id";
/// What no column could hold.
pub const EXTRA: &str = "_extra";

/// The parquet crate's dictionaries give up at 1 MiB and fall back to plain values; handles and avatars repeat over a whole row
/// group and need more. A row group's bound on memory bounds this too.
const WIDE_DICTIONARY_BYTES: usize = 64 << 20;
/// How often the bloom filter of `video_id` may say "perhaps" about an id that the row group does not hold.
const BLOOM_FALSE_POSITIVES: f64 = 0.01;

/// Digits of a decimal number, at most. 18 fit 64 bits, which is how the file keeps them.
pub const DECIMAL_DIGITS: u8 = 18;
/// How many of them stand after the point.
pub const DECIMAL_PLACES: i8 = 4;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// A moment: milliseconds since the epoch, in UTC.
    Moment,
    /// True or false.
    Flag,
    /// A whole number of 8 bits.
    Whole8,
    /// A whole number of 32 bits.
    Whole32,
    /// A whole number of 64 bits.
    Whole64,
    /// A decimal number, exactly: [`DECIMAL_DIGITS`] digits, [`DECIMAL_PLACES`] of them after the point.
    Decimal,
    /// A list of texts.
    TextList,
    /// A list of product categories, each an id and a name.
    CategoryList,
}

impl Kind {
    /// The Arrow type.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Moment => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            Self::Flag => DataType::Boolean,
            Self::Whole8 => DataType::Int8,
            Self::Whole32 => DataType::Int32,
            Self::Whole64 => DataType::Int64,
            Self::Decimal => DataType::Decimal128(DECIMAL_DIGITS, DECIMAL_PLACES),
            Self::TextList => DataType::List(element(DataType::Utf8)),
            Self::CategoryList => DataType::List(element(DataType::Struct(category_fields()))),
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Moment => "timestamp (ms, UTC)",
            Self::Flag => "boolean",
            Self::Whole8 => "int8",
            Self::Whole32 => "int32",
            Self::Whole64 => "int64",
            Self::Decimal => "decimal (18, 4)",
            Self::TextList => "list of text",
            Self::CategoryList => "list of struct (category_id text, category_name text)",
        }
    }

    /// The column's leaves in the file, below its name.
    const fn leaves(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::TextList => &[&["list", "element"]],
            Self::CategoryList => &[&["list", "element", "category_id"], &["list", "element", "category_name"]],
            _ => &[&[]],
        }
    }
}

/// The element of a list, under the name that the Parquet format asks for.
pub fn element(data_type: DataType) -> Arc<Field> {
    Arc::new(Field::new("element", data_type, true))
}

/// The fields of one product category.
pub fn category_fields() -> Fields {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    Fields::from(vec![text("category_id"), text("category_name")])
}

/// How a column is laid out in the file; each choice was measured on realistic rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    /// A dictionary of the usual size: few distinct values.
    Dictionary,
    /// A dictionary of up to [`WIDE_DICTIONARY_BYTES`]: long values that repeat far apart.
    WideDictionary,
    /// Differences: whole numbers of 64 bits that grow steadily.
    Delta,
    /// As it is: values that hardly repeat, or that zstd packs better by itself.
    Plain,
}

/// One column of the output.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name, which is the vendor's field name unless it begins with `_`.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    packing: Packing,
    /// What it means, for a person.
    pub meaning: &'static str,
}

const fn column(name: &'static str, kind: Kind, packing: Packing, meaning: &'static str) -> Column {
    Column { name, kind, packing, meaning }
}

const fn count(name: &'static str, meaning: &'static str) -> Column {
    column(name, Kind::Whole64, Packing::Plain, meaning)
}

/// Every column, in the file's order: the 31 documented fields, then our own.
pub const COLUMNS: [Column; 35] = [
    column("avatar", Kind::Text, Packing::WideDictionary, "address of the author's picture, not directly downloadable"),
    column(CREATE_TIME, Kind::Moment, Packing::Delta, "when the video was published; sent in whole seconds"),
    column("created_by_ai", Kind::Flag, Packing::Plain, "whether the video was made by AI"),
    column("data_size", Kind::Whole64, Packing::Plain, "size of the video, in bytes"),
    column("duration", Kind::Whole32, Packing::Dictionary, "length of the video, in seconds"),
    column("height", Kind::Whole32, Packing::Dictionary, "height of the picture, in pixels"),
    column("is_ad", Kind::Flag, Packing::Plain, "whether the video is an advertisement"),
    column(
        "product_category_list",
        Kind::CategoryList,
        Packing::WideDictionary,
        "categories of the associated products; sent as JSON inside a string",
    ),
    column("ratio", Kind::Text, Packing::Dictionary, "resolution class, such as 720p"),
    column("reflow_cover", Kind::Text, Packing::Plain, "address of the video's cover, not directly downloadable"),
    column("region", Kind::Text, Packing::Dictionary, "the row's own region, as sent"),
    column("sales_flag", Kind::Whole8, Packing::Dictionary, "main sales method; 0 is a video without sales"),
    count("total_comments_cnt", "comments"),
    count("total_digg_1d_cnt", "likes gained in the last day"),
    count("total_digg_30d_cnt", "likes gained in the last 30 days"),
    count("total_digg_7d_cnt", "likes gained in the last 7 days"),
    count("total_digg_cnt", "likes"),
    count("total_favorites_cnt", "times saved to a collection"),
    count("total_shares_cnt", "shares"),
    count("total_video_sale_cnt", "sales, estimated"),
    column(
        "total_video_sale_gmv_amt",
        Kind::Decimal,
        Packing::Dictionary,
        "sales value, estimated; the currency is not documented",
    ),
    count("total_views_1d_cnt", "views gained in the last day"),
    count("total_views_30d_cnt", "views gained in the last 30 days"),
    count("total_views_7d_cnt", "views gained in the last 7 days"),
    count("total_views_cnt", "views"),
    column("unique_id", Kind::Text, Packing::WideDictionary, "the author's handle; it may change"),
    column("user_id", Kind::Text, Packing::WideDictionary, "the author's stable id"),
    column("video_desc", Kind::Text, Packing::Plain, "the description, as written"),
    column(VIDEO_ID, Kind::Text, Packing::Plain, "the video's id; unique for a queried region"),
    column(
        "video_products",
        Kind::TextList,
        Packing::WideDictionary,
        "ids of the associated products; sent as JSON inside a string",
    ),
    column("width", Kind::Whole32, Packing::Dictionary, "width of the picture, in pixels"),
    column(QUERY_REGION, Kind::Text, Packing::Dictionary, "the region that was asked for the row"),
    column(FETCHED_AT, Kind::Moment, Packing::Plain, "when the answer that held the row had arrived"),
    column(REQUEST_ID, Kind::Text, Packing::WideDictionary, "the service's name for that answer"),
    column(
        EXTRA,
        Kind::Text,
        Packing::Dictionary,
        "JSON object: unknown fields, and originals of values that their column could not hold; null when there are none",
    ),
];

/// The Arrow schema of every part.
pub fn schema() -> SchemaRef {
    let fields = COLUMNS.iter().map(|column| Field::new(column.name, column.kind.data_type(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The columns as a text table, one line each: name, type, meaning.
pub fn describe() -> String {
    let width = |text: fn(&Column) -> &'static str| COLUMNS.iter().map(|column| text(column).len()).max().unwrap_or(0);
    let (names, kinds) = (width(|column| column.name), width(|column| column.kind.words()));
    let mut text = format!("schema version {SCHEMA_VERSION}; every column is nullable\n\n");
    for Column { name, kind, meaning, .. } in &COLUMNS {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{name:names$}  {kind:kinds$}  {meaning}", kind = kind.words());
    }
    text
}

/// How parts are packed. A person may set these; the defaults were measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packaging {
    /// Rows in a row group, at most; at least 1. More make a smaller file and need more memory.
    pub row_group_rows: usize,
    /// Memory that a row group may take while it is being written, in bytes: what reaches it ends early.
    pub row_group_bytes: usize,
    /// Level of zstd, 1 to 22.
    pub compression_level: i32,
}

impl Default for Packaging {
    fn default() -> Self {
        Self { row_group_rows: 128 << 10, row_group_bytes: 96 << 20, compression_level: 3 }
    }
}

/// The writer's settings for a part.
///
/// # Errors
/// Where the compression level is outside zstd's.
pub fn writer_properties(packaging: &Packaging) -> Result<WriterProperties, ParquetError> {
    let leaves = ArrowSchemaConverter::new().convert(&schema())?;
    let version = KeyValue::new(SCHEMA_VERSION_KEY.to_owned(), SCHEMA_VERSION.to_string());
    let id = ColumnPath::from(VIDEO_ID);
    let common = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(packaging.compression_level)?))
        .set_max_row_group_row_count(Some(packaging.row_group_rows.max(1)))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_key_value_metadata(Some(vec![version]))
        .set_sorting_columns(Some(sorting_columns(&leaves)))
        .set_column_bloom_filter_enabled(id.clone(), true)
        .set_column_bloom_filter_fpp(id, BLOOM_FALSE_POSITIVES);
    Ok(COLUMNS.iter().fold(common, packed).build())
}

/// `create_time`, then `video_id`, ascending: places among the file's leaves.
fn sorting_columns(leaves: &SchemaDescriptor) -> Vec<SortingColumn> {
    let place = |name: &str| leaves.columns().iter().position(|leaf| leaf.path().string() == name);
    let by = |place: usize| Some(SortingColumn { column_idx: i32::try_from(place).ok()?, ..ascending() });
    [CREATE_TIME, VIDEO_ID].into_iter().filter_map(place).filter_map(by).collect()
}

const fn ascending() -> SortingColumn {
    SortingColumn { column_idx: 0, descending: false, nulls_first: false }
}

fn packed(builder: WriterPropertiesBuilder, column: &Column) -> WriterPropertiesBuilder {
    column.kind.leaves().iter().fold(builder, |builder, leaf| {
        let path = std::iter::once(column.name).chain(leaf.iter().copied()).map(str::to_owned).collect();
        packed_leaf(builder, column.packing, ColumnPath::new(path))
    })
}

fn packed_leaf(builder: WriterPropertiesBuilder, packing: Packing, path: ColumnPath) -> WriterPropertiesBuilder {
    let encoding = match packing {
        Packing::Dictionary => return builder,
        Packing::WideDictionary => {
            return builder.set_column_dictionary_page_size_limit(path, WIDE_DICTIONARY_BYTES);
        }
        Packing::Delta => Encoding::DELTA_BINARY_PACKED,
        Packing::Plain => Encoding::PLAIN,
    };
    builder.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, encoding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::contract::FIELDS;

    #[test]
    fn every_documented_field_is_a_column_in_the_vendors_order() {
        let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).take(FIELDS.len()).collect();
        assert_eq!(names, FIELDS);
        assert_eq!(COLUMNS.len(), FIELDS.len() + 4);
    }

    #[test]
    fn the_sorting_columns_are_counted_among_leaves_not_columns() {
        let leaves = ArrowSchemaConverter::new().convert(&schema()).unwrap();
        let sorting = sorting_columns(&leaves);
        let names: Vec<String> =
            sorting.iter().map(|by| leaves.column(by.column_idx as usize).path().string()).collect();
        assert_eq!(names, [CREATE_TIME, VIDEO_ID]);
    }

    #[test]
    fn every_packing_names_a_leaf_that_exists() {
        let leaves = ArrowSchemaConverter::new().convert(&schema()).unwrap();
        let known: Vec<String> = leaves.columns().iter().map(|leaf| leaf.path().string()).collect();
        for column in COLUMNS {
            for leaf in column.kind.leaves() {
                let path: Vec<&str> = std::iter::once(column.name).chain(leaf.iter().copied()).collect();
                assert!(known.contains(&path.join(".")), "{path:?}");
            }
        }
    }

    #[test]
    fn the_description_has_a_line_for_every_column() {
        insta::assert_snapshot!(describe());
    }

    #[test]
    fn a_compression_level_that_zstd_does_not_have_is_refused() {
        assert!(writer_properties(&Packaging { compression_level: 99, ..Packaging::default() }).is_err());
        assert!(writer_properties(&Packaging::default()).is_ok());
    }
}
