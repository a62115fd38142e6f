//! A row of an answer: who and when, or why nobody can tell.
//!
//! Pure. It reads three members of a row and sorts the rest, as text. No declared type is trusted: the vendor's pages declare
//! strings where numbers come and the reverse. Where a member stands twice, the last one that can be used counts.

use std::borrow::Cow;

use crate::units::EpochSeconds;

use super::contract::SOURCE;
pub use super::identity::Identity;
use super::lexer::{Lexer, Malformed, Name, inside};
use super::number;
use super::packed::Members;
use super::surrogates::repair_surrogates;
use super::words::quoted;

/// Characters of a value from which on it is likely to be a row's own.
const LEAST_OWN: usize = 8;

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

/// Whether a row that cannot be placed holds a value that is likely to be its own: a text or a number of some length; the names of an
/// object's fields are none.
pub fn says_something(text: &str) -> bool {
    let first_of_value = |word: &str| word.starts_with(|first: char| first.is_ascii_digit());
    let words = text.split(|character: char| !character.is_alphanumeric() && !matches!(character, '_' | '-'));
    let mut long = words.filter(|word| word.chars().count() >= LEAST_OWN);
    if text.starts_with('{') { long.any(first_of_value) } else { long.next().is_some() }
}

/// Reads a row's identity: `video_id` as text or whole number, `create_time` as a whole number of seconds after 1970,
/// however it is spelled, or the text of one (text in examples of this endpoint, a number on its siblings).
///
/// # Errors
/// Why the row cannot be placed, for a person. Such a row is kept whole, never dropped.
pub fn identity(row: &str) -> Result<Identity, String> {
    let mut lexer = Lexer::new(row);
    let read = read_row(&mut lexer, &mut Members::default()).and_then(|read| lexer.end().map(|()| read));
    read.map_or_else(|_| Err(format!("the row is {}", kind(row))), |read| read.identity)
}

/// A row where it stands in its page.
#[derive(Clone, Debug)]
pub struct RowText<'a> {
    /// Its JSON text.
    pub text: &'a str,
    /// Who and when it is, or why nobody can tell: see [`identity`].
    pub identity: Result<Identity, String>,
}

/// Reads the row that stands next, whatever it is; its members take the place of those in `members`.
///
/// # Errors
/// Where no JSON value stands there.
pub(super) fn read_row<'a>(lexer: &mut Lexer<'a>, members: &mut Members<'a>) -> Result<RowText<'a>, Malformed> {
    members.clear();
    if lexer.next_byte() != Some(b'{') {
        let text = lexer.value()?;
        let identity = Err(format!("the row is {}", kind(text)));
        return Ok(RowText { text, identity });
    }
    let start = lexer.position();
    let mut seen = Seen::of(members);
    lexer.entries(|lexer| {
        // Nearly all rows come in the vendor's order, and what is expected need not be looked for.
        if SOURCE.fields.get(seen.expected).is_some_and(|field| lexer.passes_name(field)) {
            let value = lexer.value()?;
            seen.see_documented(seen.expected, value);
        } else {
            let name = lexer.name()?;
            let value = lexer.value()?;
            seen.see(name, value);
        }
        Ok(())
    })?;
    let identity = seen.identity();
    Ok(RowText { text: lexer.since(start), identity })
}

/// What was seen of a row's members.
struct Seen<'a, 'm> {
    video_id: Member<'a>,
    create_time: Member<'a>,
    region: Member<'a>,
    has_odd_name: bool,
    members: &'m mut Members<'a>,
    /// Where the next member stands among the documented fields, if rows come in the vendor's order.
    expected: usize,
}

impl<'a, 'm> Seen<'a, 'm> {
    fn of(members: &'m mut Members<'a>) -> Self {
        let (video_id, create_time, region) = Default::default();
        Self { video_id, create_time, region, has_odd_name: false, members, expected: 0 }
    }

    fn see(&mut self, name: Name<'a>, value: &'a str) {
        let Some(name) = name.text() else {
            self.has_odd_name = true;
            return;
        };
        match SOURCE.fields.iter().position(|field| *field == name) {
            Some(place) => self.see_documented(place, value),
            None => self.members.add(name, value),
        }
    }

    fn see_documented(&mut self, place: usize, value: &'a str) {
        self.expected = place + 1;
        self.members.set(place, value);
        match place {
            place if place == SOURCE.id => self.video_id.see(value),
            place if place == SOURCE.time => self.create_time.see_number(value),
            place if place == SOURCE.region => self.region.see(value),
            _ => {}
        }
    }

    fn identity(self) -> Result<Identity, String> {
        identity_of(self.has_odd_name, (self.video_id, self.create_time, self.region))
    }
}

fn identity_of(
    has_odd_name: bool,
    (video_id, create_time, region): (Member<'_>, Member<'_>, Member<'_>),
) -> Result<Identity, String> {
    if has_odd_name {
        return Err("the row is an object with a name that is no text".to_owned());
    }
    let video_id = video_id.text(SOURCE.id_name(), "a text or a whole number")?.into_owned();
    let written = create_time.text(SOURCE.time_name(), "a number of seconds")?;
    let second = number::whole(&written)
        .map(EpochSeconds::new)
        .filter(|second| second.get() > 0 && *second <= EpochSeconds::MAX)
        .ok_or_else(|| {
            format!("`{}` {} is not a number of seconds since 1970", SOURCE.time_name(), quoted(&written))
        })?;
    let region = if let Member::Text(region) = region { Some(region.into_owned()) } else { None };
    Ok(Identity { second, video_id, region })
}

/// What was seen of a member.
#[derive(Default)]
enum Member<'a> {
    #[default]
    Missing,
    Unusable(&'a str),
    Text(Cow<'a, str>),
}

impl<'a> Member<'a> {
    fn see(&mut self, value: &'a str) {
        self.take(value, scalar_text(value));
    }

    /// As [`see`](Self::see), but also a number with a fraction or an exponent, as many encoders write a whole one.
    fn see_number(&mut self, value: &'a str) {
        let is_number = matches!(value.as_bytes().first(), Some(b'-' | b'0'..=b'9'));
        self.take(value, scalar_text(value).or_else(|| is_number.then_some(Cow::Borrowed(value))));
    }

    fn take(&mut self, value: &'a str, text: Option<Cow<'a, str>>) {
        match (text, &self) {
            (Some(text), _) => *self = Self::Text(text),
            (None, Self::Text(_)) => {}
            (None, _) => *self = Self::Unusable(value),
        }
    }

    fn text(self, name: &str, wanted: &str) -> Result<Cow<'a, str>, String> {
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
fn scalar_text(raw: &str) -> Option<Cow<'_, str>> {
    let text = match raw.as_bytes().first()? {
        b'"' if memchr::memchr(b'\\', raw.as_bytes()).is_some() => {
            Cow::Owned(serde_json::from_str::<String>(&repair_surrogates(raw)).ok()?)
        }
        b'"' => Cow::Borrowed(inside(raw)),
        b'0'..=b'9' | b'-' if raw.bytes().skip(1).all(|byte| byte.is_ascii_digit()) => Cow::Borrowed(raw),
        _ => return None,
    };
    let text = match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    };
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_takes_text_and_numbers() {
        let of = |create_time: &str, video_id: &str| {
            identity(&format!(r#"{{"create_time":{create_time},"video_id":{video_id}}}"#))
        };
        let expected =
            Identity { second: EpochSeconds::new(5), video_id: "7590123280372190477".to_owned(), region: None };
        assert_eq!(of("5", "7590123280372190477").unwrap(), expected);
        assert_eq!(of("\" 5 \"", "\"7590123280372190477\"").unwrap(), expected);
        for spelling in ["5.0", "0.5e1", "\"5.00\"", "5E0"] {
            assert_eq!(of(spelling, "\"7590123280372190477\"").unwrap(), expected, "{spelling}");
        }
        assert_eq!(of("5.5", "\"7\"").unwrap_err(), "`create_time` 5.5 is not a number of seconds since 1970");
        assert!(of("5", "7.5901e18").is_err(), "an id that went through a float is another");
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
