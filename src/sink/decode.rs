//! A stored page as rows, and rows as Arrow columns.
//!
//! A row stays packed until it is written, so that rows which wait for their neighbours are small. Each of its values is then
//! read on its own from its own JSON text: whatever a column cannot take is still there, letter by letter, for `_extra`. One way
//! for every row, so there is no fast path that could disagree with a slow one. Pure.
//!
//! `_extra` is the text of a JSON object, or null. It holds, under the field's name: unknown fields; originals of values
//! that left their column null; earlier values of a field that stands twice in a row; and, where the column does have a value, the
//! string as JSON spelled it (escapes visible), because halves of surrogate pairs in it had to become U+FFFD. Of a field that stands
//! twice the last value is the column's, so all of them are kept. `NaN` and what else is no JSON number is a string by
//! then, of the same letters. A kept value
//! that strict JSON readers would refuse stands there as a string that holds its JSON text. Null and missing are both null.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Decimal128Builder, Int8Builder, Int32Builder, Int64Builder, ListArray, ListBuilder,
    RecordBatch, StringBuilder, StructArray, TimestampMillisecondBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;

use crate::api::contract::{Region, SOURCE};
use crate::api::packed::{PackedRow, PackedRows, UnpackedRow};
use crate::api::reply;
use crate::journal::kept::KeptFields;
use crate::journal::record::StoredPage;
use crate::sink::columns::{self, COLUMNS, Kind, VIDEO_ID};
use crate::sink::value::{self, Category, Fit};

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

/// A stored page whose bytes are no rows. The journal's checksum holds for them, so no version of this program wrote them so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stored page {sequence} cannot be read: its rows are cut")]
pub struct Cut {
    /// The page's place in the journal's order.
    pub sequence: i64,
}

/// A page as its rows are read from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedRows {
    /// What they share.
    pub fetch: Fetch,
    rows: PackedRows,
}

impl FetchedRows {
    /// The rows of a stored page that are to be delivered.
    ///
    /// # Errors
    /// Where its bytes are no rows.
    pub fn read(page: StoredPage) -> Result<Self, Cut> {
        let StoredPage { sequence, fetched_at_ms, request_id, body, .. } = page;
        let rows = PackedRows::decode(&body).ok_or(Cut { sequence })?;
        Ok(Self { fetch: Fetch { sequence, fetched_at_ms, request_id }, rows })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The row at that place, from 0.
    ///
    /// # Errors
    /// Where there is none.
    pub fn get(&self, place: usize) -> Result<PackedRow<'_>, Cut> {
        self.rows.get(place).ok_or(Cut { sequence: self.fetch.sequence })
    }
}

/// Rows on their way into columns.
pub struct RowBatch {
    schema: SchemaRef,
    fields: Vec<Builder>,
    region: Region,
    query_region: StringBuilder,
    fetched_at: TimestampMillisecondBuilder,
    request_id: StringBuilder,
    extra: StringBuilder,
    rows: usize,
    /// Bytes of their packed text.
    bytes: usize,
    kept: KeptFields,
}

impl RowBatch {
    /// A batch without rows, for rows that `region` was asked for.
    pub fn new(region: Region) -> Self {
        Self {
            schema: columns::schema(),
            fields: COLUMNS.iter().take(SOURCE.fields.len()).map(Builder::new).collect(),
            region,
            query_region: StringBuilder::new(),
            fetched_at: moments(),
            request_id: StringBuilder::new(),
            extra: StringBuilder::new(),
            rows: 0,
            bytes: 0,
            kept: KeptFields::default(),
        }
    }

    /// How many rows wait in this batch.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of their text, packed.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Values that `_extra` keeps, by field, counted over every batch so far.
    pub const fn kept(&self) -> &KeptFields {
        &self.kept
    }

    /// Adds the row at a place of its page.
    ///
    /// # Errors
    /// Where there is none; nothing is added then.
    pub fn append(&mut self, page: &FetchedRows, place: usize) -> Result<(), Cut> {
        let row = page.get(place)?;
        let UnpackedRow { documented, others } = row.unpack().ok_or(Cut { sequence: page.fetch.sequence })?;
        let mut extra = Extra::default();
        for ((builder, raw), name) in self.fields.iter_mut().zip(documented).zip(SOURCE.fields) {
            let Some(raw) = raw else {
                builder.append_absent();
                continue;
            };
            match builder.append(raw, &row) {
                Outcome::Held => {}
                Outcome::Repaired => extra.keep_spelling(name, raw),
                Outcome::Misfit => extra.keep(name, raw),
            }
        }
        others.iter().for_each(|(name, raw)| extra.keep(name, raw));
        self.query_region.append_value(self.region.as_str());
        extra.names.iter().for_each(|name| self.kept.add(name, 1));
        self.fetched_at.append_value(page.fetch.fetched_at_ms);
        self.request_id.append_option(page.fetch.request_id.as_deref());
        self.extra.append_option(extra.finish());
        self.rows += 1;
        self.bytes += row.bytes();
        Ok(())
    }

    /// The rows as one record batch; this one is empty afterwards.
    ///
    /// # Errors
    /// Never, unless the table of columns contradicts itself.
    pub fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let mut arrays = self.fields.iter_mut().map(Builder::finish).collect::<Result<Vec<_>, _>>()?;
        arrays.push(Arc::new(self.query_region.finish()));
        arrays.push(Arc::new(self.fetched_at.finish()));
        arrays.push(Arc::new(self.request_id.finish()));
        arrays.push(Arc::new(self.extra.finish()));
        (self.rows, self.bytes) = (0, 0);
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
    }
}

fn moments() -> TimestampMillisecondBuilder {
    TimestampMillisecondBuilder::new().with_data_type(Kind::Moment.data_type())
}

/// The members of `_extra` as they gather.
#[derive(Default)]
struct Extra<'a> {
    text: String,
    names: Vec<&'a str>,
}

impl<'a> Extra<'a> {
    /// Keeps a value as it came, or as a string where a strict reader would choke on it.
    fn keep(&mut self, name: &'a str, raw: &str) {
        match reply::repair_surrogates(raw) {
            Cow::Borrowed(_) if is_strict(raw) => self.push(name, raw),
            _ => self.push(name, &json_string(raw)),
        }
    }

    /// Keeps a string's spelling: what stands between its quotes, escapes visible.
    fn keep_spelling(&mut self, name: &'a str, raw: &str) {
        let spelling = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(raw);
        self.push(name, &json_string(spelling));
    }

    fn push(&mut self, name: &'a str, json: &str) {
        let before = if self.names.is_empty() { '{' } else { ',' };
        // Writing into a String cannot fail.
        let _ = write!(self.text, "{before}{}:{json}", json_string(name));
        self.names.push(name);
    }

    fn finish(mut self) -> Option<String> {
        if self.names.is_empty() {
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
    Decimal(Decimal128Builder),
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
            Kind::Decimal => Self::Decimal(Decimal128Builder::new().with_data_type(Kind::Decimal.data_type())),
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

    fn append(&mut self, raw: &str, row: &PackedRow<'_>) -> Outcome {
        match self {
            Self::Text(column) => put(value::text(raw), |text| column.append_option(text)),
            Self::VideoId(column) => {
                column.append_value(row.video_id);
                told_apart(value::text(raw), |sent| *sent == row.video_id)
            }
            Self::CreateTime(column) => {
                column.append_value(row.second.get().saturating_mul(1000));
                told_apart(value::whole(raw), |sent| *sent == row.second.get())
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
mod tests;
