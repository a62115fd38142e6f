//! What came of a question, as far as a check looks at it: rows with who, when and what filters look at. Pure.

use serde_json::Value;

use super::question::Question;
use crate::api::reply::{Envelope, Identity, repair_surrogates, with_envelope};

/// One answered question.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What was asked.
    pub question: Question,
    /// What came.
    pub outcome: AnswerOutcome,
    /// The service's name for the answer; a refusal has none (documented).
    pub request_id: Option<String>,
    /// From sending to the last byte, milliseconds.
    pub took_ms: u64,
}

/// What came.
#[derive(Clone, Debug, PartialEq)]
pub enum AnswerOutcome {
    /// A page, also an empty one.
    Page(Page),
    /// Asking again changes nothing.
    Refused {
        /// The status, or the `code` inside a 200.
        code: u16,
        /// The service's words.
        message: String,
    },
    /// The key has nothing left to spend.
    Quota {
        /// The service's words.
        message: String,
    },
    /// Every attempt failed.
    Failed {
        /// The last failure, for a person.
        why: String,
    },
}

/// A page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Its rows that can be placed, in the order that they came.
    pub rows: Vec<Row>,
    /// Rows that cannot be placed.
    pub unusable: usize,
    /// What stood for the rows.
    pub shape: Shape,
}

/// What stands for the rows of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// A list.
    #[default]
    List,
    /// `null`.
    Null,
    /// No `data` at all.
    Missing,
    /// No body at all.
    NoContent,
}

/// A row, as far as it is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `create_time`, epoch seconds.
    pub second: i64,
    /// `video_id`.
    pub video_id: String,
    /// The row's own region.
    pub region: Option<String>,
    /// What filters look at.
    pub traits: Traits,
}

/// What filters look at; none where the field is missing, null or not what it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// `sales_flag`.
    pub sales_flag: Option<i64>,
    /// `created_by_ai`.
    pub created_by_ai: Option<bool>,
    /// `is_ad`.
    pub is_ad: Option<bool>,
    /// `duration`, seconds.
    pub duration: Option<i64>,
    /// The ids in `video_products`.
    pub products: Option<Vec<String>>,
    /// The `category_id`s in `product_category_list`.
    pub categories: Option<Vec<String>>,
}

impl Page {
    /// Reads a body that was judged to be a page.
    pub fn read(body: &[u8]) -> Self {
        with_envelope(body, |text, read| match read {
            Ok(envelope) => Self::of(text, &envelope),
            Err(_) => Self { shape: Shape::NoContent, ..Self::default() },
        })
    }

    /// Slots of the page that hold a row, usable or not.
    pub fn len(&self) -> usize {
        self.rows.len() + self.unusable
    }

    /// Whether no row came.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a row of this second is there.
    pub fn has_second(&self, second: i64) -> bool {
        self.rows.iter().any(|row| row.second == second)
    }

    /// Whether this row is there.
    pub fn has(&self, row: &Row) -> bool {
        self.rows.iter().any(|other| other.video_id == row.video_id)
    }

    /// How many of its rows stand on the other page too.
    pub fn shared_with(&self, other: &Self) -> usize {
        self.rows.iter().filter(|row| other.has(row)).count()
    }

    fn of(text: &str, envelope: &Envelope<'_>) -> Self {
        let mut page = Self { shape: shape(text, envelope), ..Self::default() };
        for row in &envelope.data {
            match &row.identity {
                Ok(identity) => page.rows.push(Row::of(identity, row.text)),
                Err(_) => page.unusable += 1,
            }
        }
        page
    }
}

impl Row {
    fn of(Identity { second, video_id, region }: &Identity, text: &str) -> Self {
        let fields = serde_json::from_str::<Value>(&repair_surrogates(text)).unwrap_or_default();
        Self { second: second.get(), video_id: video_id.clone(), region: region.clone(), traits: Traits::of(&fields) }
    }
}

impl Traits {
    fn of(fields: &Value) -> Self {
        let number = |name: &str| whole(fields.get(name)?);
        let inner = |name: &str| serde_json::from_str::<Vec<Value>>(fields.get(name)?.as_str()?).ok();
        let category = |item: &Value| item.get("category_id").map(plain);
        Self {
            sales_flag: number("sales_flag"),
            created_by_ai: fields.get("created_by_ai").and_then(truth),
            is_ad: fields.get("is_ad").and_then(truth),
            duration: number("duration"),
            products: inner("video_products").map(|items| items.iter().map(plain).collect()),
            categories: inner("product_category_list").map(|items| items.iter().filter_map(category).collect()),
        }
    }
}

fn shape(text: &str, envelope: &Envelope<'_>) -> Shape {
    if !envelope.data.is_empty() {
        return Shape::List;
    }
    match serde_json::from_str::<Value>(text).ok().and_then(|mut body| Some(body.get_mut("data")?.take())) {
        None => Shape::Missing,
        Some(Value::Null) => Shape::Null,
        Some(_) => Shape::List,
    }
}

/// No declared type is trusted: numbers come as text and the reverse.
fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) => text.parse().ok().or_else(|| whole(value).map(|number| number != 0)),
        _ => whole(value).map(|number| number != 0),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_whatever_type_its_fields_have() {
        let body = br#"{"code":0,"message":"ok","data":[{"create_time":"7","video_id":"1","region":"US","sales_flag":"2",
            "created_by_ai":"false","is_ad":1,"duration":15,"video_products":"[1732322694475518433]",
            "product_category_list":"[{\"category_name\":\"B\",\"category_id\":\"601450\"}]"},{"video_id":3}],"requestId":"r"}"#;
        let page = Page::read(body);
        assert_eq!((page.rows.len(), page.unusable, page.shape), (1, 1, Shape::List));
        let traits = &page.rows[0].traits;
        assert_eq!((traits.sales_flag, traits.created_by_ai, traits.is_ad), (Some(2), Some(false), Some(true)));
        assert_eq!(traits.products.as_deref(), Some(&["1732322694475518433".to_owned()][..]));
        assert_eq!(traits.categories.as_deref(), Some(&["601450".to_owned()][..]));
    }

    #[test]
    fn what_stands_for_no_rows_is_told_apart() {
        for (body, shape) in [
            (&br#"{"code":0,"data":[],"requestId":"r"}"#[..], Shape::List),
            (br#"{"code":0,"data":null}"#, Shape::Null),
            (br#"{"code":0,"message":"ok"}"#, Shape::Missing),
            (b"", Shape::NoContent),
        ] {
            let page = Page::read(body);
            assert_eq!((page.shape, page.is_empty()), (shape, true));
        }
    }
}
