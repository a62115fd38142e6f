//! A stored page as rows, and rows as Arrow columns.
//!
//! A row stays JSON text until it is written, so that rows which wait for their neighbours are small. Each of its values is then
//! read on its own from its own text: whatever a column cannot take is still there, letter by letter, for `_extra`. One way
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

use crate::api::contract::{FIELDS, Region};
use crate::api::envelope::short_request_id;
use crate::api::reply::{self, Envelope, Identity};
use crate::api::scan::Malformed;
use crate::journal::kept::KeptFields;
use crate::journal::record::{RejectedRow, StoredPage};
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
    /// Its place on the page, from 0.
    pub index: u32,
    /// The row's JSON text.
    pub text: Box<str>,
    /// The page that it came with.
    pub fetch: Arc<Fetch>,
}

/// What of a stored page cannot be delivered, and why: its place on the page, from 0, and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    /// The page's place in the journal's order.
    pub sequence: i64,
    /// What is kept apart.
    pub row: RejectedRow,
}

/// The rows of a page that were to be delivered when it was stored, in its order; and what of it turned out to be something else,
/// which a page that was judged by this same version never does.
pub fn rows(page: &StoredPage) -> (Vec<RawRow>, Vec<Aside>) {
    if page.delivered.is_empty() {
        return (Vec::new(), Vec::new());
    }
    reply::with_envelope(&page.body, |text, read| match read {
        Ok(envelope) => delivered_rows(page, &envelope),
        Err(error) => {
            let why = format!("the stored answer cannot be read: {error}");
            let row = RejectedRow { index: 0, why, text: text.to_owned() };
            (Vec::new(), vec![Aside { sequence: page.sequence, row }])
        }
    })
}

fn delivered_rows(page: &StoredPage, envelope: &Envelope<'_>) -> (Vec<RawRow>, Vec<Aside>) {
    let fetch = Arc::new(Fetch {
        sequence: page.sequence,
        fetched_at_ms: page.fetched_at_ms,
        request_id: page
            .request_id
            .as_deref()
            .or(envelope.request_id.as_deref())
            .map(|id| short_request_id(id).to_owned()),
    });
    let (mut rows, mut aside) = (Vec::with_capacity(page.delivered.len()), Vec::new());
    for index in page.delivered.iter().copied() {
        let row = usize::try_from(index).ok().and_then(|place| envelope.data.get(place));
        let text = row.map_or("", |row| row.text);
        match row.map_or_else(|| reply::identity(text), |row| row.identity.clone()) {
            Ok(identity) if page.span.contains(identity.second) => {
                rows.push(RawRow { identity, index, text: text.into(), fetch: Arc::clone(&fetch) });
            }
            Ok(identity) => aside.push(page.aside(index, text, &format!("its second is {} now", identity.second))),
            Err(why) => aside.push(page.aside(index, text, &why)),
        }
    }
    (rows, aside)
}

impl StoredPage {
    fn aside(&self, index: u32, text: &str, why: &str) -> Aside {
        let why = format!("the stored row is not what it was judged to be: {why}");
        Aside { sequence: self.sequence, row: RejectedRow { index, why, text: text.to_owned() } }
    }
}

impl RawRow {
    /// The row as what cannot be delivered.
    pub fn aside(&self, why: &str) -> Aside {
        let row = RejectedRow { index: self.index, why: why.to_owned(), text: self.text.to_string() };
        Aside { sequence: self.fetch.sequence, row }
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
    kept: KeptFields,
}

impl RowBatch {
    /// A batch without rows, for rows that `region` was asked for.
    pub fn new(region: Region) -> Self {
        Self {
            schema: columns::schema(),
            fields: COLUMNS.iter().take(FIELDS.len()).map(Builder::new).collect(),
            region,
            query_region: StringBuilder::new(),
            fetched_at: moments(),
            request_id: StringBuilder::new(),
            extra: StringBuilder::new(),
            rows: 0,
            kept: KeptFields::default(),
        }
    }

    /// How many rows wait in this batch.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Values that `_extra` keeps, by field, counted over every batch so far.
    pub const fn kept(&self) -> &KeptFields {
        &self.kept
    }

    /// Adds a row.
    ///
    /// # Errors
    /// Where the text is no JSON object, which a row with an identity cannot be; nothing is added then.
    pub fn append(&mut self, row: &RawRow) -> Result<(), Malformed> {
        let members = Members::read(&row.text)?;
        let mut extra = Extra::default();
        for ((builder, raw), name) in self.fields.iter_mut().zip(members.documented).zip(FIELDS) {
            let Some(raw) = raw else {
                builder.append_absent();
                continue;
            };
            match builder.append(raw, &row.identity) {
                Outcome::Held => {}
                Outcome::Repaired => extra.keep_spelling(name, raw),
                Outcome::Misfit => extra.keep(name, raw),
            }
        }
        members.others.iter().for_each(|(name, raw)| extra.keep(name, raw));
        self.query_region.append_value(self.region.as_str());
        extra.names.iter().for_each(|name| self.kept.add(name, 1));
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
        arrays.push(Arc::new(self.query_region.finish()));
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
    documented: [Option<&'a str>; FIELDS.len()],
    others: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> Members<'a> {
    fn read(text: &'a str) -> Result<Self, Malformed> {
        let Entries(entries) = Entries::read(text)?;
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
mod tests;
