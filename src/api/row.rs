//! A row of an answer: who and when, or why nobody can tell.
//!
//! Pure. It reads three members of a row and leaves the rest as text. No declared type is trusted: the vendor's pages declare
//! strings where numbers come and the reverse. Where a member stands twice, the last one that can be used counts.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::units::EpochSeconds;

use super::members::each_member;
use super::words::quoted;

/// What makes a row a row: who and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `create_time`.
    pub second: EpochSeconds,
    /// `video_id`, as text: it is beyond what a float holds.
    pub video_id: String,
    /// The row's own `region`; none where it is missing, empty or no text.
    pub region: Option<String>,
}

/// A row of an answer: its identity, or why it has none, with its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// Can be placed.
    Usable(Identity),
    /// Cannot be placed.
    Unusable {
        /// What is wrong, for a person.
        why: String,
        /// The row's JSON text as it came.
        text: String,
    },
}

/// Reads a row's identity: `video_id` as text or whole number, `create_time` as a whole number of seconds after 1970, or
/// the text of one (text in examples of this endpoint, a number on its siblings).
///
/// # Errors
/// Why the row cannot be placed, for a person. Such a row is kept whole, never dropped.
pub fn identity(row: &str) -> Result<Identity, String> {
    let (mut video_id, mut create_time, mut region) = (Member::Missing, Member::Missing, Member::Missing);
    let read = each_member(row, |name, value| match name.as_ref() {
        "video_id" => video_id.see(value),
        "create_time" => create_time.see(value),
        "region" => region.see(value),
        _ => {}
    });
    read.map_err(|_| {
        format!("the row is {}", if row.starts_with('{') { "an object with a name that no text is" } else { kind(row) })
    })?;
    let video_id = video_id.text("video_id", "a text or a whole number")?;
    let written = create_time.text("create_time", "a number of seconds")?;
    let second = written
        .parse::<i64>()
        .ok()
        .map(EpochSeconds::new)
        .filter(|second| second.get() > 0 && *second <= EpochSeconds::MAX)
        .ok_or_else(|| format!("`create_time` {} is not a number of seconds since 1970", quoted(&written)))?;
    let region = if let Member::Text(region) = region { Some(region) } else { None };
    Ok(Identity { second, video_id, region })
}

/// What was seen of a member.
enum Member<'a> {
    Missing,
    Unusable(&'a str),
    Text(String),
}

impl<'a> Member<'a> {
    fn see(&mut self, value: &'a RawValue) {
        match (scalar_text(value.get()), &self) {
            (Some(text), _) => *self = Self::Text(text),
            (None, Self::Text(_)) => {}
            (None, _) => *self = Self::Unusable(value.get()),
        }
    }

    fn text(self, name: &str, wanted: &str) -> Result<String, String> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Missing => Err(format!("`{name}` is missing")),
            Self::Unusable(raw) => Err(format!("`{name}` is {}, and not {wanted}", kind(raw))),
        }
    }
}

/// What a JSON text is, for a person.
fn kind(raw: &str) -> &'static str {
    match raw.trim_start().as_bytes().first() {
        Some(b'n') => "null",
        Some(b't' | b'f') => "true or false",
        Some(b'"') if raw.trim_matches(['"', ' ']).is_empty() => "an empty text",
        Some(b'"') => "a text",
        Some(b'[') => "a list",
        Some(b'{') => "an object",
        Some(b'-' | b'0'..=b'9') => "a number",
        _ => "no JSON value",
    }
}

/// The text of a JSON string or whole number, trimmed; none for anything else and for the empty text.
fn scalar_text(raw: &str) -> Option<String> {
    let text = match raw.as_bytes().first()? {
        b'"' => serde_json::from_str::<String>(&repair_surrogates(raw)).ok()?,
        b'0'..=b'9' | b'-' if raw.bytes().skip(1).all(|byte| byte.is_ascii_digit()) => raw.to_owned(),
        _ => return None,
    };
    let trimmed = text.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

/// A row's text with every surrogate escape that has no partner replaced by `\ufffd`, which strict parsers demand.
/// Borrowed where there is none.
pub fn repair_surrogates(row: &str) -> Cow<'_, str> {
    let lone = lone_surrogates(row);
    if lone.is_empty() {
        return Cow::Borrowed(row);
    }
    let mut repaired = String::with_capacity(row.len());
    let mut from = 0;
    for at in lone {
        repaired.push_str(row.get(from..at).unwrap_or_default());
        repaired.push_str("\\ufffd");
        from = at + 6;
    }
    repaired.push_str(row.get(from..).unwrap_or_default());
    Cow::Owned(repaired)
}

/// The byte offsets of `\uXXXX` escapes that are half a surrogate pair.
fn lone_surrogates(row: &str) -> Vec<usize> {
    let mut lone = Vec::new();
    let mut at = 0;
    while let Some(found) = row.get(at..).and_then(|rest| rest.find('\\')) {
        let escape = at + found;
        at = match unit_at(row, escape) {
            Some(0xD800..=0xDBFF) if matches!(unit_at(row, escape + 6), Some(0xDC00..=0xDFFF)) => escape + 12,
            Some(0xD800..=0xDFFF) => {
                lone.push(escape);
                escape + 6
            }
            _ => escape + 2,
        };
    }
    lone
}

fn unit_at(row: &str, at: usize) -> Option<u16> {
    let digits = row.get(at..at + 6)?.strip_prefix("\\u")?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_surrogates_are_replaced_and_pairs_are_kept() {
        assert_eq!(repair_surrogates(r#""\ud83d\ude00 \ud83d x \ude00""#), r#""\ud83d\ude00 \ufffd x \ufffd""#);
        assert_eq!(repair_surrogates(r#""\\ud83d""#), r#""\\ud83d""#);
        assert_eq!(repair_surrogates(r#""\ud83d"#), r#""\ufffd"#);
        assert!(matches!(repair_surrogates("plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn identity_takes_text_and_numbers() {
        let of = |create_time: &str, video_id: &str| {
            identity(&format!(r#"{{"create_time":{create_time},"video_id":{video_id}}}"#))
        };
        let expected =
            Identity { second: EpochSeconds::new(5), video_id: "7590123280372190477".to_owned(), region: None };
        assert_eq!(of("5", "7590123280372190477").unwrap(), expected);
        assert_eq!(of("\" 5 \"", "\"7590123280372190477\"").unwrap(), expected);
        assert!(of("5.5", "\"7\"").is_err());
    }

    #[test]
    fn a_row_without_identity_says_what_is_wrong_with_it() {
        for (row, why) in [
            ("null", "the row is null"),
            ("[1]", "the row is a list"),
            ("7", "the row is a number"),
            ("\"x\"", "the row is a text"),
            ("true", "the row is true or false"),
            ("{}", "`video_id` is missing"),
            (r#"{"video_id":null,"create_time":5}"#, "`video_id` is null, and not a text or a whole number"),
            (r#"{"video_id":" ","create_time":5}"#, "`video_id` is an empty text, and not a text or a whole number"),
            (r#"{"video_id":"7"}"#, "`create_time` is missing"),
            (r#"{"video_id":"7","create_time":{}}"#, "`create_time` is an object, and not a number of seconds"),
            (
                r#"{"video_id":"7","create_time":1767213318000}"#,
                "`create_time` 1767213318000 is not a number of seconds since 1970",
            ),
        ] {
            assert_eq!(identity(row).unwrap_err(), why);
        }
    }

    #[test]
    fn of_a_member_that_stands_twice_the_last_usable_one_counts() {
        let twice = identity(r#"{"video_id":"9","create_time":4,"video_id":"10","create_time":5,"create_time":null}"#);
        assert_eq!(twice.unwrap(), Identity { second: EpochSeconds::new(5), video_id: "10".to_owned(), region: None });
    }
}
