//! The documented envelope around the rows: `{code, message, data, requestId}`; error bodies come without `requestId`.
//!
//! Pure. One pass over the text finds the envelope, each row as text, who and when each row is, and where its values stand; its size is bounded by the
//! body's. A member that stands twice: the last one counts, but of `data` the last that holds a row, since an empty page ends a walk.

use std::borrow::Cow;

use super::contract::PAGE_SIZE;
use super::lenient::{decoded, mended};
use super::packed::PackedRows;
use super::row::{RowText, repair_surrogates, scan};
use super::scan::{Malformed, Scanner};

pub use super::lenient::readable;

/// Rows of one answer, at most. A page has ten (documented), and the bound leaves room for a service that serves longer ones;
/// it is there because a row of three bytes takes a hundred in memory.
pub const MOST_ROWS: usize = 10_000;
/// Bytes of a `requestId`, at most; what is beyond is cut off. The vendor's example has 36, and every row repeats it.
pub const LONGEST_REQUEST_ID: usize = 256;
/// Bytes of an error's words that are looked at, at most.
const LONGEST_WORDS: usize = 4_096;
/// Names under which services give an error's words; the documented one first.
const WORDS: [&str; 14] = [
    "message",
    "msg",
    "error_message",
    "errmsg",
    "error_msg",
    "error_description",
    "detail",
    "details",
    "error",
    "errors",
    "reason",
    "description",
    "title",
    "Message",
];

/// An answer's envelope, its rows as text.
#[derive(Debug)]
pub struct Envelope<'a> {
    /// 0 is success (documented).
    pub code: Option<i64>,
    /// For a person; of an error that has no `message`, what stands under another usual name.
    pub message: Option<String>,
    /// The service's name for this answer, at most [`LONGEST_REQUEST_ID`] bytes of it.
    pub request_id: Option<String>,
    /// The rows, each as its own JSON text with its identity. `[]`, `null` and no `data` at all are the same empty page (which of them ends a
    /// walk is unknown).
    pub data: Vec<RowText<'a>>,
    /// Those that have an identity, packed.
    pub packed: PackedRows,
}

/// A body that is no envelope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not JSON, or cut.
    #[error("the body is not the documented JSON envelope ({0})")]
    NotAnEnvelope(String),
    /// `data` is something else than a list.
    #[error("`data` is neither a list nor null")]
    DataIsNoList,
    /// More rows than any page has.
    #[error("`data` holds more than {MOST_ROWS} rows")]
    TooManyRows,
}

impl From<Malformed> for BodyError {
    fn from(error: Malformed) -> Self {
        Self::NotAnEnvelope(error.to_string())
    }
}

/// What stands under `data`.
#[derive(Debug)]
enum Data<'a> {
    Nothing,
    Rows(Vec<RowText<'a>>, PackedRows),
    TooManyRows,
    NoList,
}

impl Data<'_> {
    const fn holds_rows(&self) -> bool {
        match self {
            Self::Rows(rows, _) => !rows.is_empty(),
            Self::TooManyRows => true,
            Self::Nothing | Self::NoList => false,
        }
    }
}

/// Reads the envelope and its rows, each row as text with its identity.
///
/// # Errors
/// Where the text is no JSON object, or `data` is neither null nor a list of at most [`MOST_ROWS`].
pub fn envelope(text: &str) -> Result<Envelope<'_>, BodyError> {
    let (mut code, mut request_id, mut data) = (None, None, Data::Nothing);
    let mut words: Option<(usize, &str)> = None;
    let mut scanner = Scanner::new(text);
    scanner.members(|scanner, name| {
        let name = name.text().ok_or_else(|| scanner.wanted("a name that is a text"))?;
        match name.as_ref() {
            "code" => code = Some(scanner.value()?),
            "requestId" => request_id = Some(scanner.value()?),
            "data" => {
                let found = self::data(scanner)?;
                data = if data.holds_rows() && !found.holds_rows() {
                    std::mem::replace(&mut data, Data::Nothing)
                } else {
                    found
                };
            }
            name => {
                let value = scanner.value()?;
                let rank = WORDS.iter().position(|known| *known == name);
                let is_better = rank.is_some_and(|rank| words.is_none_or(|(best, _)| rank <= best));
                words = rank.filter(|_| is_better && value != "null").map(|rank| (rank, value)).or(words);
            }
        }
        Ok(())
    })?;
    scanner.end()?;
    let (data, packed) = match data {
        Data::Nothing => Default::default(),
        Data::Rows(rows, packed) => (rows, packed),
        Data::TooManyRows => return Err(BodyError::TooManyRows),
        Data::NoList => return Err(BodyError::DataIsNoList),
    };
    Ok(Envelope {
        code: code.and_then(whole_number),
        message: words.map(|(_, value)| plain_text(value, LONGEST_WORDS)),
        request_id: request_id.filter(|raw| *raw != "null").map(request_id_of),
        data,
        packed,
    })
}

/// Reads what stands under `data`, and its rows as far as the bound goes.
fn data<'a>(scanner: &mut Scanner<'a>) -> Result<Data<'a>, Malformed> {
    if scanner.next_byte() != Some(b'[') {
        return Ok(if scanner.value()? == "null" { Data::Nothing } else { Data::NoList });
    }
    let mut rows = Vec::with_capacity(PAGE_SIZE as usize);
    let mut packed = PackedRows::default();
    let mut is_over = false;
    scanner.items(|scanner| {
        if rows.len() >= MOST_ROWS {
            is_over = true;
            return scanner.value().map(drop);
        }
        let (row, members) = scan(scanner)?;
        if let (Ok(identity), Ok(index)) = (&row.identity, u32::try_from(rows.len())) {
            packed.push(index, identity, &members);
        }
        rows.push(row);
        Ok(())
    })?;
    Ok(if is_over { Data::TooManyRows } else { Data::Rows(rows, packed) })
}

/// Reads the envelope of a body that may be only nearly JSON, and calls with its text and what was read: as [`readable`] and
/// [`envelope`] one after the other. What can be read as it came is JSON, so it is not looked through for what to mend.
pub fn with_envelope<T>(body: &[u8], call: impl FnOnce(&str, Result<Envelope<'_>, BodyError>) -> T) -> T {
    let text = decoded(body);
    match envelope(&text) {
        Err(BodyError::NotAnEnvelope(why)) => match mended(&text) {
            Some(text) => call(&text, envelope(&text)),
            None => call(&text, Err(BodyError::NotAnEnvelope(why))),
        },
        read => call(&text, read),
    }
}

fn request_id_of(raw: &str) -> String {
    plain_text(raw, LONGEST_REQUEST_ID)
}

/// At most so many bytes of a service's name for an answer.
pub fn short_request_id(text: &str) -> &str {
    within(text, LONGEST_REQUEST_ID)
}

fn whole_number(raw: &str) -> Option<i64> {
    let text = plain_text(raw, 64);
    let digits = text.trim();
    digits.parse().ok().or_else(|| digits.strip_suffix(".0")?.parse().ok())
}

/// What a JSON text says: the content of a string, the text of anything else; at most so many bytes of it.
fn plain_text(raw: &str, bytes: usize) -> String {
    let content = match raw.starts_with('"') {
        true => serde_json::from_str::<String>(&repair_surrogates(raw)).map_or(Cow::Borrowed(raw), Cow::Owned),
        false => Cow::Borrowed(raw),
    };
    within(&content, bytes).to_owned()
}

fn within(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_is_read_around_its_rows() {
        let read = envelope(r#"{"code":"0","message":"ok","data":[ {"a":1} ,null],"requestId":7}"#).unwrap();
        assert_eq!((read.code, read.message.as_deref(), read.request_id.as_deref()), (Some(0), Some("ok"), Some("7")));
        assert_eq!(read.data.iter().map(|row| row.text).collect::<Vec<_>>(), [r#"{"a":1}"#, "null"]);
    }

    #[test]
    fn of_members_that_stand_twice_the_last_counts_and_no_row_is_lost() {
        let read = envelope(r#"{"code":500,"data":[1],"data":null,"code":0,"data":[ ],"message":"a","message":"b"}"#);
        let read = read.unwrap();
        assert_eq!((read.code, read.data.len(), read.message.as_deref()), (Some(0), 1, Some("b")));
        assert_eq!(envelope(r#"{"data":[1],"data":[2,3]}"#).unwrap().data.len(), 2);
    }

    #[test]
    fn words_are_found_under_other_names() {
        let words = |text: &str| envelope(text).unwrap().message;
        assert_eq!(words(r#"{"code":1,"error":"a","msg":"b"}"#).as_deref(), Some("b"));
        assert_eq!(words(r#"{"detail":[{"loc":["query"]}]}"#).as_deref(), Some(r#"[{"loc":["query"]}]"#));
        assert_eq!(words(r#"{"message":null,"error":"a"}"#).as_deref(), Some("a"));
        assert_eq!(words(r#"{"credit":"none left"}"#), None);
    }

    #[test]
    fn what_is_nearly_json_is_mended_before_it_is_read() {
        for body in [
            &b"{\"code\":0,\"data\":[1,2]}"[..],
            b" {\"code\":0,\"data\":[NaN]}\0",
            b"[1]",
            b"<p>",
            b"{\"data\":7}",
            b"\xff{",
        ] {
            let text = readable(body);
            let apart = format!("{text} {:?}", envelope(&text));
            assert_eq!(with_envelope(body, |text, read| format!("{text} {read:?}")), apart);
        }
    }

    #[test]
    fn what_an_answer_holds_is_bounded() {
        let long = "R".repeat(1_500_000);
        let read = envelope(&format!(r#"{{"code":0,"message":"{long}","requestId":"{long}"}}"#))
            .map(|read| (read.message.map_or(0, |text| text.len()), read.request_id.map_or(0, |text| text.len())));
        assert_eq!(read.unwrap(), (LONGEST_WORDS, LONGEST_REQUEST_ID));
        let many = |rows: usize| format!(r#"{{"code":0,"data":[{}]}}"#, vec!["{}"; rows].join(","));
        assert_eq!(envelope(&many(MOST_ROWS)).unwrap().data.len(), MOST_ROWS);
        assert_eq!(envelope(&many(MOST_ROWS + 1)).unwrap_err(), BodyError::TooManyRows);
        let error = envelope(&format!("\"{long}\"")).unwrap_err().to_string();
        assert!(error.len() < 500, "{}", error.len());
    }
}
