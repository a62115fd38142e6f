//! The output's columns: one table from which the schema, the encodings and the `schema` command's text come.
//!
//! The schema is fixed, never inferred: every documented field in the vendor's order, then four of our own. Every column is
//! nullable, because the vendor's declared types are unreliable and fields may be null or missing. A change of a name, a type
//! or a meaning here is a new [`SCHEMA_VERSION`]; a change of an encoding is not.
//!
//! A part must open whole in readers of two years ago, so the rule for encodings is: plain, dictionary, and differences of 64-bit
//! numbers. What some of them refuse, however small it makes the column, is written only where a person asks for
//! [`Encodings::Compact`]: BYTE_STREAM_SPLIT of integers and DELTA_BYTE_ARRAY of text. Never written are FLOAT and DOUBLE (their new
//! order of values), and the Arrow schema in the metadata, which makes one reader's types of a file differ from all others'.
//! `tests/readers` opens a part with each reader. Pure.
//!
//! More effort of zstd does not make every column smaller: among digits that look like chance it finds short repetitions that cost
//! more than they save. So each column says from which level on more effort pays, and is packed with the least below it.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::{ColumnPath, SchemaDescriptor};

pub use crate::choices::Encodings;

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

/// Bytes of a text in statistics, at most: an id has 19.
const LONGEST_BOUND: usize = 32;

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
    /// Whole numbers of 64 bits that are spread evenly: differences; compact, their bytes apart.
    Spread,
    /// Whole numbers, most of them small: as they are; compact, their bytes apart.
    Skewed,
    /// Lengths of a few hundred seconds: a dictionary; compact, their bytes apart.
    Short,
    /// Digits that go up with time: as they are; compact, without what each shares with the one before it.
    Ascending,
    /// As it is: values that hardly repeat, or that zstd packs better by itself.
    Plain,
}

/// The level of zstd from which on more effort makes a column smaller. Below it the column is packed with [`LEAST_EFFORT`].
type PaysFrom = i32;
/// Any effort pays: text that people wrote.
const ALWAYS: PaysFrom = LEAST_EFFORT;
/// Only much effort pays: numbers.
const MUCH: PaysFrom = 12;
/// Only an exhaustive search pays: digits that look like chance.
const UTMOST: PaysFrom = 16;
/// No effort pays: dictionary indexes, and what no level can pack.
const NEVER: PaysFrom = 23;
/// zstd's level where more effort does not pay.
const LEAST_EFFORT: i32 = 1;

/// One column of the output.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name, which is the vendor's field name unless it begins with `_`.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    packing: Packing,
    pays_from: PaysFrom,
    /// What it means, for a person.
    pub meaning: &'static str,
}

const fn column(
    name: &'static str,
    kind: Kind,
    (packing, pays_from): (Packing, PaysFrom),
    meaning: &'static str,
) -> Column {
    Column { name, kind, packing, pays_from, meaning }
}

const fn count(name: &'static str, meaning: &'static str) -> Column {
    column(name, Kind::Whole64, (Packing::Skewed, MUCH), meaning)
}

impl Column {
    /// Whether readers may skip pages by it: not by long texts and lists, which come in no order that follows time.
    fn is_skipped_by(&self) -> bool {
        self.name == VIDEO_ID || !matches!(self.kind, Kind::Text | Kind::TextList | Kind::CategoryList)
    }
}

/// Every column, in the file's order: the 31 documented fields, then our own.
pub const COLUMNS: [Column; 35] = [
    column(
        "avatar",
        Kind::Text,
        (Packing::WideDictionary, MUCH),
        "address of the author's picture, not directly downloadable",
    ),
    column(CREATE_TIME, Kind::Moment, (Packing::Delta, MUCH), "when the video was published; sent in whole seconds"),
    column("created_by_ai", Kind::Flag, (Packing::Plain, MUCH), "whether the video was made by AI"),
    column("data_size", Kind::Whole64, (Packing::Spread, NEVER), "size of the video, in bytes"),
    column("duration", Kind::Whole32, (Packing::Short, MUCH), "length of the video, in seconds"),
    column("height", Kind::Whole32, (Packing::Dictionary, NEVER), "height of the picture, in pixels"),
    column("is_ad", Kind::Flag, (Packing::Plain, MUCH), "whether the video is an advertisement"),
    column(
        "product_category_list",
        Kind::CategoryList,
        (Packing::WideDictionary, ALWAYS),
        "categories of the associated products; sent as JSON inside a string",
    ),
    column("ratio", Kind::Text, (Packing::Dictionary, NEVER), "resolution class, such as 720p"),
    column(
        "reflow_cover",
        Kind::Text,
        (Packing::Plain, UTMOST + 2),
        "address of the video's cover, not directly downloadable",
    ),
    column("region", Kind::Text, (Packing::Dictionary, NEVER), "the row's own region, as sent"),
    column("sales_flag", Kind::Whole8, (Packing::Dictionary, NEVER), "main sales method; 0 is a video without sales"),
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
        (Packing::Dictionary, ALWAYS),
        "sales value, estimated; the currency is not documented",
    ),
    count("total_views_1d_cnt", "views gained in the last day"),
    count("total_views_30d_cnt", "views gained in the last 30 days"),
    count("total_views_7d_cnt", "views gained in the last 7 days"),
    count("total_views_cnt", "views"),
    column("unique_id", Kind::Text, (Packing::WideDictionary, ALWAYS), "the author's handle; it may change"),
    column("user_id", Kind::Text, (Packing::WideDictionary, NEVER), "the author's stable id"),
    column("video_desc", Kind::Text, (Packing::Plain, ALWAYS), "the description, as written"),
    column(VIDEO_ID, Kind::Text, (Packing::Ascending, UTMOST), "the video's id; unique for a queried region"),
    column(
        "video_products",
        Kind::TextList,
        (Packing::WideDictionary, MUCH),
        "ids of the associated products; sent as JSON inside a string",
    ),
    column("width", Kind::Whole32, (Packing::Dictionary, NEVER), "width of the picture, in pixels"),
    column(QUERY_REGION, Kind::Text, (Packing::Dictionary, NEVER), "the region that was asked for the row"),
    column(FETCHED_AT, Kind::Moment, (Packing::Plain, NEVER), "when the answer that held the row had arrived"),
    column(REQUEST_ID, Kind::Text, (Packing::Plain, NEVER), "the service's name for that answer"),
    column(
        EXTRA,
        Kind::Text,
        (Packing::Dictionary, ALWAYS),
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
    /// Level of zstd, 1 to 22, for the columns that it makes smaller.
    pub compression_level: i32,
    /// Which readers it is for.
    pub encodings: Encodings,
}

impl Default for Packaging {
    fn default() -> Self {
        Self {
            row_group_rows: 256 << 10,
            row_group_bytes: 96 << 20,
            compression_level: 3,
            encodings: Encodings::Compatible,
        }
    }
}

/// What is known of a part when its first rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nature {
    /// Whether these are all its rows. Then each column is one page, and an index of pages would repeat the row group's own statistics.
    pub is_small: bool,
    /// Whether ids go up with time. Then the least and greatest id of a page tell nearly as much as a filter, which would take
    /// more room than most columns.
    pub ids_follow_time: bool,
}

/// Whether ids, in the order of time, go up with it: nine in ten are on the side of the middle one where their place is.
pub fn follow_time<'a>(ids: impl ExactSizeIterator<Item = Option<&'a str>> + Clone) -> bool {
    let middle = ids.len() / 2;
    let Some(Some(pivot)) = ids.clone().nth(middle) else { return false };
    let in_place = ids.clone().enumerate().filter(|(place, id)| id.is_some_and(|id| (id < pivot) == (*place < middle)));
    in_place.count() * 10 >= ids.len() * 9
}

/// The writer's settings for a part.
///
/// # Errors
/// Where the compression level is outside zstd's.
pub fn writer_properties(packaging: &Packaging, nature: Nature) -> Result<WriterProperties, ParquetError> {
    let leaves = ArrowSchemaConverter::new().convert(&schema())?;
    let version = KeyValue::new(SCHEMA_VERSION_KEY.to_owned(), SCHEMA_VERSION.to_string());
    let statistics = if nature.is_small { EnabledStatistics::Chunk } else { EnabledStatistics::Page };
    let common = WriterProperties::builder()
        .set_max_row_group_row_count(Some(packaging.row_group_rows.max(1)))
        .set_statistics_enabled(statistics)
        .set_statistics_truncate_length(Some(LONGEST_BOUND))
        .set_column_index_truncate_length(Some(LONGEST_BOUND))
        .set_offset_index_disabled(nature.is_small)
        .set_key_value_metadata(Some(vec![version]))
        .set_sorting_columns(Some(sorting_columns(&leaves)));
    // To name the odds is to ask for the filter.
    let filtered = match nature.ids_follow_time {
        true => common,
        false => common.set_column_bloom_filter_fpp(ColumnPath::from(VIDEO_ID), BLOOM_FALSE_POSITIVES),
    };
    COLUMNS
        .iter()
        .try_fold(filtered, |builder, column| packed(builder, column, packaging))
        .map(WriterPropertiesBuilder::build)
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

fn packed(
    builder: WriterPropertiesBuilder,
    column: &Column,
    packaging: &Packaging,
) -> Result<WriterPropertiesBuilder, ParquetError> {
    let asked = packaging.compression_level;
    ZstdLevel::try_new(asked)?;
    let level = ZstdLevel::try_new(if asked >= column.pays_from { asked } else { LEAST_EFFORT })?;
    Ok(column.kind.leaves().iter().fold(builder, |builder, leaf| {
        let path = std::iter::once(column.name).chain(leaf.iter().copied()).map(str::to_owned).collect();
        let path = ColumnPath::new(path);
        let builder = builder.set_column_compression(path.clone(), Compression::ZSTD(level));
        let builder = match column.is_skipped_by() {
            true => builder,
            false => builder.set_column_statistics_enabled(path.clone(), EnabledStatistics::Chunk),
        };
        packed_leaf(builder, (column.packing, packaging.encodings), path)
    }))
}

fn packed_leaf(
    builder: WriterPropertiesBuilder,
    (packing, encodings): (Packing, Encodings),
    path: ColumnPath,
) -> WriterPropertiesBuilder {
    let encoding = match (packing, encodings) {
        (Packing::Dictionary, _) | (Packing::Short, Encodings::Compatible) => return builder,
        (Packing::WideDictionary, _) => {
            return builder.set_column_dictionary_page_size_limit(path, WIDE_DICTIONARY_BYTES);
        }
        (Packing::Delta, _) | (Packing::Spread, Encodings::Compatible) => Encoding::DELTA_BINARY_PACKED,
        (Packing::Spread | Packing::Skewed | Packing::Short, Encodings::Compact) => Encoding::BYTE_STREAM_SPLIT,
        (Packing::Ascending, Encodings::Compact) => Encoding::DELTA_BYTE_ARRAY,
        (Packing::Plain, _) | (Packing::Skewed | Packing::Ascending, Encodings::Compatible) => Encoding::PLAIN,
    };
    builder.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, encoding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::contract::SOURCE;

    #[test]
    fn every_documented_field_is_a_column_in_the_vendors_order() {
        let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).take(SOURCE.fields.len()).collect();
        assert_eq!(names, SOURCE.fields);
        assert_eq!(COLUMNS.len(), SOURCE.fields.len() + 4);
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
        let nature = Nature { is_small: false, ids_follow_time: true };
        assert!(writer_properties(&Packaging { compression_level: 99, ..Packaging::default() }, nature).is_err());
        assert!(writer_properties(&Packaging::default(), nature).is_ok());
    }

    #[test]
    fn each_column_is_packed_with_the_effort_that_pays() {
        let level = |asked: i32, name: &str| {
            let packaging = Packaging { compression_level: asked, ..Packaging::default() };
            let nature = Nature { is_small: false, ids_follow_time: true };
            writer_properties(&packaging, nature).unwrap().compression(&ColumnPath::from(name))
        };
        let zstd = |level| Compression::ZSTD(ZstdLevel::try_new(level).unwrap());
        assert_eq!((level(3, "video_desc"), level(3, VIDEO_ID)), (zstd(3), zstd(1)));
        assert_eq!((level(15, "total_digg_cnt"), level(15, VIDEO_ID)), (zstd(15), zstd(1)));
        assert_eq!(level(19, VIDEO_ID), zstd(19));
    }

    #[test]
    fn ids_follow_time_where_nearly_all_go_up() {
        let follow = |ids: &[&str]| follow_time(ids.iter().map(|id| Some(*id)));
        assert!(follow(&["101", "103", "102", "104", "105", "107", "106", "108", "109", "110"]));
        assert!(!follow(&["5", "9", "1", "7", "3", "8", "2", "6", "4", "0"]));
        assert!(!follow(&[]) && !follow_time([None, None].into_iter()));
    }
}
