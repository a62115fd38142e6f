//! A stored page as rows, and rows as Arrow columns.
//!
//! A row stays JSON text until it is written, so that rows which wait for their neighbours are small. Each of its values is then
//! read on its own from its own text: whatever a column cannot take is still there, letter by letter, for `_extra`. One way
//! for every row, so there is no fast path that could disagree with a slow one. Pure.
//!
//! `_extra` is the text of a JSON object, or null. It holds, under the field's name: unknown fields; originals of values
//! that left their column null; earlier values of a field that stands twice in a row; and, where the column does have a value, the
//! string as JSON spelled it (escapes visible), because halves of surrogate pairs in it had to become U+FFFD. A kept value
//! that strict JSON readers would refuse stands there as a string that holds its JSON text. Null and missing are both null.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int8Builder, Int32Builder, Int64Builder, ListArray, ListBuilder,
    RecordBatch, StringBuilder, StructArray, TimestampMillisecondBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use serde_json::value::RawValue;

use crate::api::contract::FIELDS;
use crate::api::reply::{self, BodyError, Identity};
use crate::journal::record::StoredPage;
use crate::sink::columns::{self, COLUMNS, Kind, VIDEO_ID};
use crate::sink::value::{self, Category, Entries, Fit};

/// What the rows of one page share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The page's place in the journal's order.
    pub sequence: i64,
    /// When the answer had arrived, milliseconds since the epoch.
    pub fetched_at_ms: i64,
    /// The service's name for the answer.
    pub request_id: Option<String>,
}

/// A usable row, as its JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRow {
    /// Who and when.
    pub identity: Identity,
    /// The row's JSON text.
    pub text: Box<str>,
    /// The page that it came with.
    pub fetch: Arc<Fetch>,
}

/// The usable rows of a page, in its order. Rows without identity are left out: the journal keeps those as rejected.
///
/// # Errors
/// Where the body is no envelope, which a page that was judged as one cannot be.
pub fn rows(page: &StoredPage) -> Result<Vec<RawRow>, BodyError> {
    let text = reply::readable(&page.body);
    let envelope = reply::envelope(&text)?;
    let fetch = Arc::new(Fetch {
        sequence: page.sequence,
        fetched_at_ms: page.fetched_at_ms,
        request_id: page.request_id.clone().or(envelope.request_id),
    });
    let usable = envelope.data.iter().filter_map(|raw| {
        let identity = reply::identity(raw.get()).ok()?;
        Some(RawRow { identity, text: raw.get().into(), fetch: Arc::clone(&fetch) })
    });
    Ok(usable.collect())
}

/// Rows on their way into columns.
pub struct RowBatch {
    schema: SchemaRef,
    fields: Vec<Builder>,
    fetched_at: TimestampMillisecondBuilder,
    request_id: StringBuilder,
    extra: StringBuilder,
    rows: usize,
    kept_in_extra: u64,
}

impl Default for RowBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl RowBatch {
    /// A batch without rows.
    pub fn new() -> Self {
        Self {
            schema: columns::schema(),
            fields: COLUMNS.iter().take(FIELDS.len()).map(Builder::new).collect(),
            fetched_at: moments(),
            request_id: StringBuilder::new(),
            extra: StringBuilder::new(),
            rows: 0,
            kept_in_extra: 0,
        }
    }

    /// How many rows wait in this batch.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Values that their column could not hold, counted over every batch so far.
    pub const fn kept_in_extra(&self) -> u64 {
        self.kept_in_extra
    }

    /// Adds a row.
    ///
    /// # Errors
    /// Where the text is no JSON object, which a row with an identity cannot be; nothing is added then.
    pub fn append(&mut self, row: &RawRow) -> Result<(), serde_json::Error> {
        let members = Members::read(&row.text)?;
        let mut extra = Extra::default();
        for ((builder, raw), name) in self.fields.iter_mut().zip(members.documented).zip(FIELDS) {
            let Some(raw) = raw.map(RawValue::get) else {
                builder.append_absent();
                continue;
            };
            match builder.append(raw, &row.identity) {
                Outcome::Held => {}
                Outcome::Repaired => extra.keep_spelling(name, raw),
                Outcome::Misfit => extra.keep(name, raw),
            }
        }
        self.kept_in_extra += extra.members;
        members.others.iter().for_each(|(name, raw)| extra.keep(name, raw.get()));
        self.fetched_at.append_value(row.fetch.fetched_at_ms);
        self.request_id.append_option(row.fetch.request_id.as_deref());
        self.extra.append_option(extra.finish());
        self.rows += 1;
        Ok(())
    }

    /// The rows as one record batch; this one is empty afterwards.
    ///
    /// # Errors
    /// Never, unless the table of columns contradicts itself.
    pub fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let mut arrays = self.fields.iter_mut().map(Builder::finish).collect::<Result<Vec<_>, _>>()?;
        arrays.push(Arc::new(self.fetched_at.finish()));
        arrays.push(Arc::new(self.request_id.finish()));
        arrays.push(Arc::new(self.extra.finish()));
        self.rows = 0;
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
    }
}

fn moments() -> TimestampMillisecondBuilder {
    TimestampMillisecondBuilder::new().with_data_type(Kind::Moment.data_type())
}

/// A row's members, sorted into the documented fields and all others.
struct Members<'a> {
    documented: [Option<&'a RawValue>; FIELDS.len()],
    others: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Members<'a> {
    fn read(text: &'a str) -> Result<Self, serde_json::Error> {
        let Entries(entries) = serde_json::from_str(text)?;
        let mut members = Self { documented: [None; FIELDS.len()], others: Vec::new() };
        let mut expected = 0;
        for (name, raw) in entries {
            let place = place_of(&name, expected);
            match place.and_then(|place| members.documented.get_mut(place)) {
                None => members.others.push((name, raw)),
                Some(slot) => members.others.extend(slot.replace(raw).map(|earlier| (name, earlier))),
            }
            expected = place.map_or(expected, |place| place + 1);
        }
        Ok(members)
    }
}

/// Where a field stands among the documented ones. Rows come in the vendor's order, so `expected` is nearly always right.
fn place_of(name: &str, expected: usize) -> Option<usize> {
    if FIELDS.get(expected).is_some_and(|field| *field == name) {
        return Some(expected);
    }
    FIELDS.iter().position(|field| *field == name)
}

/// The members of `_extra` as they gather.
#[derive(Default)]
struct Extra {
    text: String,
    members: u64,
}

impl Extra {
    /// Keeps a value as it came, or as a string where a strict reader would choke on it.
    fn keep(&mut self, name: &str, raw: &str) {
        match reply::repair_surrogates(raw) {
            Cow::Borrowed(_) if is_strict(raw) => self.push(name, raw),
            _ => self.push(name, &json_string(raw)),
        }
    }

    /// Keeps a string's spelling: what stands between its quotes, escapes visible.
    fn keep_spelling(&mut self, name: &str, raw: &str) {
        let spelling = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(raw);
        self.push(name, &json_string(spelling));
    }

    fn push(&mut self, name: &str, json: &str) {
        let before = if self.members == 0 { '{' } else { ',' };
        // Writing into a String cannot fail.
        let _ = write!(self.text, "{before}{}:{json}", json_string(name));
        self.members += 1;
    }

    fn finish(mut self) -> Option<String> {
        if self.members == 0 {
            return None;
        }
        self.text.push('}');
        Some(self.text)
    }
}

/// Whether a reader that makes values of it takes the text inside an object: no number beyond what a float holds, no nesting without end.
fn is_strict(raw: &str) -> bool {
    // A string holds neither, and long descriptions are what is kept most often.
    raw.starts_with('"') || serde_json::from_str::<serde_json::Value>(&format!("[{raw}]")).is_ok()
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

enum Outcome {
    Held,
    Repaired,
    Misfit,
}

/// The builder of one documented column.
enum Builder {
    Text(StringBuilder),
    VideoId(StringBuilder),
    CreateTime(TimestampMillisecondBuilder),
    Flag(BooleanBuilder),
    Whole8(Int8Builder),
    Whole32(Int32Builder),
    Whole64(Int64Builder),
    Decimal(Float64Builder),
    TextList(ListBuilder<StringBuilder>),
    CategoryList(CategoryLists),
}

impl Builder {
    fn new(column: &columns::Column) -> Self {
        match column.kind {
            Kind::Text if column.name == VIDEO_ID => Self::VideoId(StringBuilder::new()),
            Kind::Text => Self::Text(StringBuilder::new()),
            Kind::Moment => Self::CreateTime(moments()),
            Kind::Flag => Self::Flag(BooleanBuilder::new()),
            Kind::Whole8 => Self::Whole8(Int8Builder::new()),
            Kind::Whole32 => Self::Whole32(Int32Builder::new()),
            Kind::Whole64 => Self::Whole64(Int64Builder::new()),
            Kind::Decimal => Self::Decimal(Float64Builder::new()),
            Kind::TextList => {
                Self::TextList(ListBuilder::new(StringBuilder::new()).with_field(columns::element(DataType::Utf8)))
            }
            Kind::CategoryList => Self::CategoryList(CategoryLists::default()),
        }
    }

    fn append_absent(&mut self) {
        match self {
            Self::Text(column) | Self::VideoId(column) => column.append_null(),
            Self::CreateTime(column) => column.append_null(),
            Self::Flag(column) => column.append_null(),
            Self::Whole8(column) => column.append_null(),
            Self::Whole32(column) => column.append_null(),
            Self::Whole64(column) => column.append_null(),
            Self::Decimal(column) => column.append_null(),
            Self::TextList(column) => column.append_null(),
            Self::CategoryList(column) => column.append(None),
        }
    }

    fn append(&mut self, raw: &str, identity: &Identity) -> Outcome {
        match self {
            Self::Text(column) => put(value::text(raw), |text| column.append_option(text)),
            Self::VideoId(column) => {
                column.append_value(&identity.video_id);
                told_apart(value::text(raw), |sent| *sent == identity.video_id)
            }
            Self::CreateTime(column) => {
                column.append_value(identity.second.get().saturating_mul(1000));
                told_apart(value::whole(raw), |sent| *sent == identity.second.get())
            }
            Self::Flag(column) => put(value::flag(raw), |flag| column.append_option(flag)),
            Self::Whole8(column) => put(narrowed(value::whole(raw)), |number| column.append_option(number)),
            Self::Whole32(column) => put(narrowed(value::whole(raw)), |number| column.append_option(number)),
            Self::Whole64(column) => put(value::whole(raw), |number| column.append_option(number)),
            Self::Decimal(column) => put(value::decimal(raw), |number| column.append_option(number)),
            Self::TextList(column) => put(value::text_list(raw), |texts| {
                column.append_option(texts.map(|texts| texts.into_iter().map(Some)));
            }),
            Self::CategoryList(column) => put(value::category_list(raw), |list| column.append(list)),
        }
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Text(column) | Self::VideoId(column) => Arc::new(column.finish()),
            Self::CreateTime(column) => Arc::new(column.finish()),
            Self::Flag(column) => Arc::new(column.finish()),
            Self::Whole8(column) => Arc::new(column.finish()),
            Self::Whole32(column) => Arc::new(column.finish()),
            Self::Whole64(column) => Arc::new(column.finish()),
            Self::Decimal(column) => Arc::new(column.finish()),
            Self::TextList(column) => Arc::new(column.finish()),
            Self::CategoryList(column) => Arc::new(column.finish()?),
        })
    }
}

fn put<T>(fit: Fit<T>, append: impl FnOnce(Option<T>)) -> Outcome {
    let (value, outcome) = match fit {
        Fit::Absent => (None, Outcome::Held),
        Fit::Exact(value) => (Some(value), Outcome::Held),
        Fit::Repaired(value) => (Some(value), Outcome::Repaired),
        Fit::Misfit => (None, Outcome::Misfit),
    };
    append(value);
    outcome
}

/// The outcome of a column that takes the row's identity: what was sent is kept where it is not the same.
fn told_apart<T>(fit: Fit<T>, same: impl FnOnce(&T) -> bool) -> Outcome {
    match fit {
        Fit::Exact(sent) if same(&sent) => Outcome::Held,
        Fit::Repaired(_) => Outcome::Repaired,
        _ => Outcome::Misfit,
    }
}

fn narrowed<T: TryFrom<i64>>(fit: Fit<i64>) -> Fit<T> {
    match fit {
        Fit::Absent => Fit::Absent,
        Fit::Exact(number) | Fit::Repaired(number) => T::try_from(number).map_or(Fit::Misfit, Fit::Exact),
        Fit::Misfit => Fit::Misfit,
    }
}

/// The builder of a column of category lists.
#[derive(Default)]
struct CategoryLists {
    ids: StringBuilder,
    names: StringBuilder,
    lengths: Vec<usize>,
    present: Vec<bool>,
}

impl CategoryLists {
    fn append(&mut self, list: Option<Vec<Category>>) {
        self.present.push(list.is_some());
        let list = list.unwrap_or_default();
        self.lengths.push(list.len());
        for category in list {
            self.ids.append_option(category.id);
            self.names.append_option(category.name);
        }
    }

    fn finish(&mut self) -> Result<ListArray, ArrowError> {
        let texts: Vec<ArrayRef> = vec![Arc::new(self.ids.finish()), Arc::new(self.names.finish())];
        let categories = StructArray::try_new(columns::category_fields(), texts, None)?;
        let offsets = OffsetBuffer::from_lengths(std::mem::take(&mut self.lengths));
        let present = NullBuffer::from(std::mem::take(&mut self.present));
        let field = columns::element(DataType::Struct(columns::category_fields()));
        ListArray::try_new(field, offsets, Arc::new(categories), Some(present))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray as _};
    use arrow::datatypes::{Float64Type, Int8Type, Int32Type, Int64Type, TimestampMillisecondType};
    use proptest::prelude::*;

    use super::*;
    use crate::sink::columns::{CREATE_TIME, EXTRA, FETCHED_AT, REQUEST_ID};
    use crate::sink::testing::{EXAMPLE, NEW_YEAR, page};

    fn raw(text: &str) -> RawRow {
        let fetch = Fetch { sequence: 1, fetched_at_ms: 5, request_id: None };
        RawRow { identity: reply::identity(text).unwrap(), text: text.into(), fetch: Arc::new(fetch) }
    }

    /// One row with these members beside its identity.
    fn decoded(members: &str) -> (RecordBatch, u64) {
        let mut batch = RowBatch::new();
        batch.append(&raw(&format!(r#"{{"create_time":"{NEW_YEAR}","video_id":"7"{members}}}"#))).unwrap();
        (batch.take().unwrap(), batch.kept_in_extra())
    }

    fn text<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a str> {
        batch.column_by_name(name).unwrap().as_string::<i32>().iter().next().unwrap()
    }

    fn extra(batch: &RecordBatch) -> serde_json::Value {
        text(batch, EXTRA).map_or(serde_json::Value::Null, |text| serde_json::from_str(text).unwrap())
    }

    #[test]
    fn the_vendors_example_fits_its_columns_and_leaves_nothing_over() {
        let mut stored = page(3, &[]);
        stored.body = EXAMPLE.as_bytes().to_vec();
        let mut batch = RowBatch::new();
        rows(&stored).unwrap().iter().for_each(|row| batch.append(row).unwrap());
        let batch = batch.take().unwrap();
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
        assert_eq!(column("total_video_sale_gmv_amt").as_primitive::<Float64Type>().value(0), 0.0);
        assert_eq!(column("video_products").as_list::<i32>().value(0).len(), 0);
        assert_eq!(text(&batch, "unique_id"), Some("ania.salon"));
        assert_eq!(text(&batch, "video_desc"), Some(""));
        assert_eq!(column(FETCHED_AT).as_primitive::<TimestampMillisecondType>().value(0), stored.fetched_at_ms);
        assert_eq!(text(&batch, REQUEST_ID), Some("request-3"));
        assert_eq!(text(&batch, EXTRA), None);
        let without: Vec<&str> =
            COLUMNS.iter().map(|column| column.name).filter(|name| column(name).is_null(0)).collect();
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
    fn an_unknown_field_is_kept_and_is_no_failure_of_a_column() {
        let (batch, kept) = decoded(r#","music_id":7590123280372190477123,"\"odd\"":[1, 2],"width":null"#);
        assert_eq!(text(&batch, EXTRA), Some(r#"{"music_id":7590123280372190477123,"\"odd\"":[1, 2]}"#));
        assert_eq!(kept, 0);
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
        assert_eq!(kept, 1);
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
        assert_eq!(kept, 1);
    }

    #[test]
    fn the_earlier_value_of_a_field_that_stands_twice_is_kept() {
        let (batch, _) = decoded(r#","ratio":"540p","ratio":"720p""#);
        assert_eq!(text(&batch, "ratio"), Some("720p"));
        assert_eq!(extra(&batch), serde_json::json!({"ratio": "540p"}));
    }

    #[test]
    fn an_identity_that_had_to_be_trimmed_keeps_what_was_sent() {
        let mut batch = RowBatch::new();
        batch.append(&raw(r#"{"create_time":" 5 ","video_id":" 7 "}"#)).unwrap();
        batch.append(&raw(r#"{"create_time":5,"video_id":7}"#)).unwrap();
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
        let mut stored = page(1, &[]);
        let body = format!(r#"{{"code":0,"data":[{{"create_time":{NEW_YEAR},"video_id":"7","video_desc":"a@b"}}]}}"#);
        stored.body = body.replace('@', "\n").into_bytes();
        let mut batch = RowBatch::new();
        batch.append(&rows(&stored).unwrap()[0]).unwrap();
        assert_eq!(text(&batch.take().unwrap(), "video_desc"), Some("a\nb"));
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

    proptest! {
        #[test]
        fn nothing_that_was_sent_is_lost(values in prop::collection::vec(odd_value(), FIELDS.len() - 2)) {
            let names: Vec<&str> = FIELDS.into_iter().filter(|name| ![CREATE_TIME, VIDEO_ID].contains(name)).collect();
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
}
