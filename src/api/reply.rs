//! What an answer means: its envelope, its rows' identity, and its class in the table of failures.
//!
//! Pure. It never trusts a declared type: the vendor's pages declare strings where numbers come and the reverse.
//! The invariant: [`judge`] says [`Verdict::Page`] only where both the HTTP status and the envelope's `code` say success.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::units::EpochSeconds;

/// The longest piece of a service's message that is quoted to a person, in characters.
const QUOTED_CHARACTERS: usize = 300;

/// The documented envelope: `{code, message, data, requestId}`; error bodies come without `requestId`.
#[derive(Debug)]
pub struct Envelope<'a> {
    /// 0 is success (documented).
    pub code: Option<i64>,
    /// For a person.
    pub message: Option<String>,
    /// The service's name for this answer.
    pub request_id: Option<String>,
    /// The rows, each as its own JSON text. `[]`, `null` and no `data` at all are the same empty page (which of them ends a
    /// walk is unknown).
    pub data: Vec<&'a RawValue>,
}

/// A body that is no envelope.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Not JSON, or cut.
    #[error("the body is not the documented JSON envelope ({0})")]
    NotAnEnvelope(#[from] serde_json::Error),
    /// `data` is something else than a list.
    #[error("`data` is neither a list nor null")]
    DataIsNoList,
}

#[derive(Deserialize)]
struct WireEnvelope<'a> {
    #[serde(default)]
    code: Option<serde_json::Value>,
    #[serde(default)]
    message: Option<serde_json::Value>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(default, rename = "requestId")]
    request_id: Option<serde_json::Value>,
}

/// The body as strict JSON text: invalid UTF-8 becomes U+FFFD, and control characters that stand raw inside a string
/// (reported of `video_desc`) are escaped. Borrowed where nothing had to change.
pub fn readable(body: &[u8]) -> Cow<'_, str> {
    let text = match simdutf8::basic::from_utf8(body) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(body),
    };
    if text.bytes().any(|byte| byte < 0x20) { Cow::Owned(escape_controls(&text)) } else { text }
}

fn escape_controls(text: &str) -> String {
    let mut strict = String::with_capacity(text.len() + 64);
    let (mut in_string, mut escaped) = (false, false);
    for character in text.chars() {
        if in_string && u32::from(character) < 0x20 {
            strict.push_str(&format!("\\u{:04x}", u32::from(character)));
            escaped = false;
            continue;
        }
        match character {
            '"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = in_string && character == '\\' && !escaped;
        strict.push(character);
    }
    strict
}

/// Reads the envelope around the rows, leaving each row as text.
///
/// # Errors
/// Where the text is no JSON object, or `data` is neither a list nor null.
pub fn envelope(text: &str) -> Result<Envelope<'_>, BodyError> {
    let wire: WireEnvelope<'_> = serde_json::from_str(text)?;
    let data = match wire.data.map(RawValue::get) {
        None | Some("null") => Vec::new(),
        Some(list) if list.starts_with('[') => serde_json::from_str(list)?,
        Some(_) => return Err(BodyError::DataIsNoList),
    };
    Ok(Envelope {
        code: wire.code.as_ref().and_then(whole_number),
        message: wire.message.map(|value| plain_text(&value)),
        request_id: wire.request_id.filter(|value| !value.is_null()).map(|value| plain_text(&value)),
        data,
    })
}

fn whole_number(value: &serde_json::Value) -> Option<i64> {
    match value {
        serde_json::Value::Number(number) => number.as_i64(),
        serde_json::Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn plain_text(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
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

#[derive(Deserialize)]
struct WireIdentity<'a> {
    #[serde(borrow, default)]
    create_time: Option<&'a RawValue>,
    #[serde(borrow, default)]
    video_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    region: Option<&'a RawValue>,
}

/// Reads a row's identity: `video_id` as text or whole number, `create_time` as a whole number of seconds after 1970, or
/// the text of one (text in examples of this endpoint, a number on its siblings).
///
/// # Errors
/// Why the row cannot be placed, for a person. Such a row is kept whole, never dropped.
pub fn identity(row: &str) -> Result<Identity, String> {
    let wire: WireIdentity<'_> = serde_json::from_str(row).map_err(|_| "the row is not a JSON object".to_owned())?;
    let video_id = scalar_text(wire.video_id).ok_or("`video_id` is missing, empty or no text")?;
    let written = scalar_text(wire.create_time).ok_or("`create_time` is missing, empty or no number")?;
    let second = written
        .parse::<i64>()
        .ok()
        .map(EpochSeconds::new)
        .filter(|second| second.get() > 0 && *second <= EpochSeconds::MAX)
        .ok_or_else(|| format!("`create_time` {} is not a number of seconds since 1970", quoted(&written)))?;
    Ok(Identity { second, video_id, region: scalar_text(wire.region) })
}

/// The text of a JSON string or whole number, trimmed; none for anything else and for the empty text.
fn scalar_text(raw: Option<&RawValue>) -> Option<String> {
    let raw = raw?.get();
    let text = match raw.as_bytes().first()? {
        b'"' => serde_json::from_str::<String>(&repair_surrogates(raw)).ok()?,
        b'0'..=b'9' | b'-' if raw.bytes().skip(1).all(|byte| byte.is_ascii_digit()) => raw.to_owned(),
        _ => return None,
    };
    let trimmed = text.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
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

/// A successful answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageAnswer {
    /// The service's name for this answer.
    pub request_id: Option<String>,
    /// Its rows, in the order that they came.
    pub rows: Vec<Row>,
}

/// What to make of one answer. The order of the checks is the order of the variants but for the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Status 200 and `code` 0.
    Page(PageAnswer),
    /// The key has nothing left to spend: 402 (documented), 403 with quota words, or a message that speaks of quota or usage
    /// limit whatever the status (reported of a sister product), also one of success where no row comes with it.
    Quota {
        /// The service's words.
        message: String,
    },
    /// 429 (documented), as a status or as `code` in a 200.
    Throttled,
    /// 400, 401, 403, 404 or such a `code`: asking again changes nothing.
    Refused {
        /// The status, or the `code` inside a 200.
        code: u16,
        /// The service's words.
        message: String,
    },
    /// Anything else: asking again may help.
    Transient {
        /// What came, for a person.
        why: String,
    },
}

/// Sorts an answer into its class: quota words first, then 429, the other statuses, then the envelope's `code`
/// (documented: both can carry the error).
pub fn judge(status: u16, body: &[u8]) -> Verdict {
    let text = readable(body);
    let read = envelope(&text);
    let code = read.as_ref().ok().and_then(|envelope| envelope.code);
    let message = message_of(&text, &read);
    if let (200..=299, Ok(envelope), Some(0)) = (status, &read, code) {
        // An empty page ends a walk, so one that speaks of quota is not believed to be one.
        if envelope.data.is_empty() && speaks_of_quota(&message) {
            return Verdict::Quota { message };
        }
        return Verdict::Page(page_answer(envelope));
    }
    let effective = effective_code(status, code);
    if effective == 402 || speaks_of_quota(&message) {
        return Verdict::Quota { message };
    }
    match effective {
        429 => Verdict::Throttled,
        400 | 401 | 403 | 404 => Verdict::Refused { code: effective, message },
        _ => Verdict::Transient { why: describe(status, code, read.as_ref().err(), &message) },
    }
}

/// The status where it is an error, else the `code` inside, else 0 for what is neither.
fn effective_code(status: u16, code: Option<i64>) -> u16 {
    if (200..=299).contains(&status) { code.and_then(|code| u16::try_from(code).ok()).unwrap_or(0) } else { status }
}

fn page_answer(envelope: &Envelope<'_>) -> PageAnswer {
    let rows = envelope.data.iter().map(|raw| match identity(raw.get()) {
        Ok(identity) => Row::Usable(identity),
        Err(why) => Row::Unusable { why, text: raw.get().to_owned() },
    });
    PageAnswer { request_id: envelope.request_id.clone(), rows: rows.collect() }
}

fn message_of(text: &str, read: &Result<Envelope<'_>, BodyError>) -> String {
    match read {
        Ok(envelope) => quoted(envelope.message.as_deref().unwrap_or_default()),
        Err(_) if text.trim_start().starts_with('<') => "an HTML page".to_owned(),
        Err(_) => quoted(text.trim()),
    }
}

fn quoted(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(QUOTED_CHARACTERS).collect()
}

/// Whether a message speaks of an exhausted quota and not of the rate: "quota" or "usage limit", and neither "qps" nor
/// "rate" as a word.
fn speaks_of_quota(message: &str) -> bool {
    let lower = message.to_lowercase();
    let of_rate = lower.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| matches!(word, "qps" | "rate"));
    !of_rate && (lower.contains("quota") || lower.contains("usage limit"))
}

fn describe(status: u16, code: Option<i64>, error: Option<&BodyError>, message: &str) -> String {
    match (code, error) {
        (Some(code), _) => format!("HTTP {status}, code {code}: {message}"),
        (None, Some(error)) if (200..=299).contains(&status) => format!("HTTP {status}, but {error}"),
        (None, _) if message.is_empty() => format!("HTTP {status} with no message"),
        (None, _) => format!("HTTP {status}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../tests/fixtures/vendor_page.json");

    fn verdict(status: u16, body: &str) -> Verdict {
        judge(status, body.as_bytes())
    }

    fn quota(message: &str) -> Verdict {
        Verdict::Quota { message: message.to_owned() }
    }

    #[test]
    fn the_vendors_example_is_a_page_of_one_row() {
        let Verdict::Page(page) = verdict(200, EXAMPLE) else { panic!("no page") };
        assert_eq!(page.request_id.as_deref(), Some("f9edb062-585d-4cbd-a7f5-851067490ef1"));
        let identity = Identity {
            second: EpochSeconds::new(1_767_213_318),
            video_id: "7590123280372190477".to_owned(),
            region: Some("US".to_owned()),
        };
        assert_eq!(page.rows, vec![Row::Usable(identity)]);
    }

    #[test]
    fn the_vendors_example_has_exactly_the_documented_fields() {
        let text = readable(EXAMPLE.as_bytes());
        let row: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(envelope(&text).unwrap().data[0].get()).unwrap();
        let mut names: Vec<&str> = row.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, crate::api::contract::FIELDS);
    }

    #[test]
    fn every_documented_error_body_has_its_class() {
        let refused = |code: u16, message: &str| Verdict::Refused { code, message: message.to_owned() };
        let body = |code: u16, message: &str| format!(r#"{{"code":{code},"data":null,"message":"{message}"}}"#);
        let missing = "Missing required parameter: handle";
        assert_eq!(verdict(400, &body(400, missing)), refused(400, missing));
        assert_eq!(verdict(401, &body(401, "apiKey is null")), refused(401, "apiKey is null"));
        assert_eq!(verdict(402, &body(402, "apiKey quota is not enough")), quota("apiKey quota is not enough"));
        assert_eq!(verdict(429, &body(429, "qps limit exceeded")), Verdict::Throttled);
        let broken = Verdict::Transient { why: "HTTP 500, code 500: Internal server error".to_owned() };
        assert_eq!(verdict(500, &body(500, "Internal server error")), broken);
    }

    #[test]
    fn an_error_inside_a_200_is_the_same_error() {
        assert_eq!(verdict(200, r#"{"code":429,"data":null,"message":"qps limit exceeded"}"#), Verdict::Throttled);
        assert_eq!(verdict(200, r#"{"code":"402","data":null,"message":"pay"}"#), quota("pay"));
        let refused = Verdict::Refused { code: 401, message: "apiKey is null".to_owned() };
        assert_eq!(verdict(200, r#"{"code":401,"data":null,"message":"apiKey is null"}"#), refused);
        assert!(matches!(verdict(200, r#"{"code":77,"message":"odd"}"#), Verdict::Transient { .. }));
        assert!(matches!(verdict(200, r#"{"message":"no code"}"#), Verdict::Transient { .. }));
    }

    #[test]
    fn quota_words_are_quota_whatever_the_status_but_rate_words_are_not() {
        let sister = "Usage Limit Exceeded, Please Contact Administrator to Increase Quota";
        assert_eq!(verdict(500, &format!(r#"{{"code":500,"message":"{sister}"}}"#)), quota(sister));
        assert_eq!(verdict(429, r#"{"code":429,"message":"daily quota used up"}"#), quota("daily quota used up"));
        assert_eq!(verdict(429, r#"{"code":429,"message":"qps quota exceeded"}"#), Verdict::Throttled);
        assert_eq!(verdict(429, r#"{"code":429,"message":"rate limit quota exceeded"}"#), Verdict::Throttled);
        assert_eq!(verdict(500, r#"{"code":500,"message":"generated quota"}"#), quota("generated quota"));
        assert_eq!(verdict(200, r#"{"code":10002,"message":"quota used up"}"#), quota("quota used up"));
        // Success in everything but its words: believed, it would end the walk as if no row were left.
        assert_eq!(verdict(200, r#"{"code":0,"data":[],"message":"quota used up"}"#), quota("quota used up"));
        let with_rows = verdict(200, r#"{"code":0,"data":[{}],"message":"90 % of your quota is used up"}"#);
        assert!(matches!(with_rows, Verdict::Page(_)), "{with_rows:?}");
    }

    #[test]
    fn what_is_not_json_is_transient_and_says_what_came() {
        let page = "<html>502 Bad Gateway quota</html>";
        assert_eq!(verdict(502, page), Verdict::Transient { why: "HTTP 502: an HTML page".to_owned() });
        assert!(matches!(verdict(200, &EXAMPLE[..400]), Verdict::Transient { .. }));
        assert!(matches!(verdict(200, r#"{"code":0,"data":{"list":[]}}"#), Verdict::Transient { .. }));
        assert!(matches!(verdict(302, ""), Verdict::Transient { .. }));
    }

    #[test]
    fn every_shape_of_an_empty_page_is_the_empty_page() {
        for body in
            [r#"{"code":0,"data":[]}"#, r#"{"code":0,"data":null}"#, r#"{"code":0}"#, r#"{"code":0,"data": [ ] }"#]
        {
            assert_eq!(verdict(200, body), Verdict::Page(PageAnswer { request_id: None, rows: vec![] }), "{body}");
        }
    }

    #[test]
    fn raw_control_characters_inside_strings_are_escaped_and_nothing_else() {
        let body =
            "{\n\"code\":0,\t\"data\":[{\"video_id\":\"7\",\"create_time\":\"5\",\"video_desc\":\"a\u{1}\n\\\"b\"}]}";
        let text = readable(body.as_bytes());
        assert_eq!(envelope(&text).unwrap().data[0].get().matches("\\u000a").count(), 1);
        assert!(matches!(verdict(200, body), Verdict::Page(page) if matches!(page.rows[0], Row::Usable(_))));
        assert!(matches!(readable(b"{\"code\":0}"), Cow::Borrowed(_)));
    }

    #[test]
    fn lone_surrogates_are_replaced_and_pairs_are_kept() {
        assert_eq!(repair_surrogates(r#""\ud83d\ude00 \ud83d x \ude00""#), r#""\ud83d\ude00 \ufffd x \ufffd""#);
        assert_eq!(repair_surrogates(r#""\\ud83d""#), r#""\\ud83d""#);
        assert_eq!(repair_surrogates(r#""\ud83d"#), r#""\ufffd"#);
        assert!(matches!(repair_surrogates("plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn identity_takes_text_and_numbers_and_refuses_the_rest_by_name() {
        let of = |create_time: &str, video_id: &str| {
            identity(&format!(r#"{{"create_time":{create_time},"video_id":{video_id}}}"#))
        };
        let expected =
            Identity { second: EpochSeconds::new(5), video_id: "7590123280372190477".to_owned(), region: None };
        assert_eq!(of("5", "7590123280372190477").unwrap(), expected);
        assert_eq!(of("\" 5 \"", "\"7590123280372190477\"").unwrap(), expected);
        for (create_time, video_id) in
            [("null", "\"7\""), ("5.5", "\"7\""), ("\"\"", "\"7\""), ("5", "\"\""), ("5", "{}")]
        {
            assert!(of(create_time, video_id).is_err(), "{create_time} {video_id}");
        }
        assert_eq!(
            of("1767213318000", "7").unwrap_err(),
            "`create_time` 1767213318000 is not a number of seconds since 1970"
        );
        assert!(identity("[1]").is_err());
        assert!(identity("{}").is_err());
    }
}
