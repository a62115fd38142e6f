//! The documented envelope around the rows: `{code, message, data, requestId}`; error bodies come without `requestId`.
//!
//! What is read although it is not as documented, since it holds the rows of a paid page all the same: rows one or two levels deeper
//! (`data.list`), or under another name where there is no `data`, or with nothing around them; a `code` that is absent, or says success in
//! another way, beside a list of rows; a list that stands in `data` as a text of JSON; and an envelope that other text stands around.
//!
//! Pure. One pass over the text finds the envelope, each row as text, who and when each row is, and where its values stand; its size is bounded by the
//! body's. A member that stands twice: the last one counts, but of `data` the last that holds a row, since an empty page ends a walk; two that tell
//! of other videos are no page.

use std::borrow::Cow;

use super::data::{DEEPEST_ROWS, Data, MOST_ROWS, data, is_nothing};
use super::lenient::{decoded, strict};
use super::lexer::{Lexer, Malformed};
use super::packed::PackedRows;
use super::row::RowText;
use super::surrogates::repair_surrogates;
use super::words::says_success;

pub use super::lenient::readable;

/// Bytes of a `requestId`, at most; what is beyond is cut off. The vendor's example has 36, and every row repeats it.
pub const LONGEST_REQUEST_ID: usize = 256;
/// Bytes of an error's words that are looked at, at most.
const LONGEST_WORDS: usize = 4_096;
/// Bytes of words that stand in lists or objects, at most; longer ones are looked at as they came.
const LONGEST_NESTED: usize = 65_536;
/// How deep words may stand in lists and objects.
const DEEPEST_WORDS: usize = 8;
/// Names under which services give an error's words, in small letters alone; the documented one first. `errorMessage`, `error_message`
/// and `ErrorMessage` are one.
const WORDS: [&str; 28] = [
    "message",
    "msg",
    "errormessage",
    "errmsg",
    "errormsg",
    "errordescription",
    "detail",
    "details",
    "error",
    "errors",
    "reason",
    "description",
    "title",
    "statusmessage",
    "statusmsg",
    "resultmessage",
    "resultmsg",
    "retmsg",
    "returnmsg",
    "submsg",
    "info",
    "baseresp",
    // Names of what went wrong, told where there are no words.
    "errorcode",
    "errcode",
    "subcode",
    "errortype",
    "type",
    "status",
];

/// An answer's envelope, its rows as text.
#[derive(Debug)]
pub struct Envelope<'a> {
    /// 0 is success (documented); also where another success stands beside a list of rows.
    pub code: Option<i64>,
    /// For a person; of an error that has no `message`, what stands under another usual name.
    pub message: Option<String>,
    /// Everything that stands under a usual name, and a `code` that is a word: what an error is known by, for no person.
    pub all_words: String,
    /// The service's name for this answer, at most [`LONGEST_REQUEST_ID`] bytes of it.
    pub request_id: Option<String>,
    /// The rows, each as its own JSON text with its identity. `[]`, `null`, `{}`, `""`, `false` and no `data` at all are the same empty page (which of them ends a
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
    #[error("`data` is neither a list nor null, and holds no list of rows")]
    DataIsNoList,
    /// `data` is there twice, with other videos each time, or two lists of rows are in it.
    #[error("`data` is there twice, and not the same")]
    TwoPages,
    /// More rows than any page has.
    #[error("`data` holds more than {MOST_ROWS} rows")]
    TooManyRows,
}

impl From<Malformed> for BodyError {
    fn from(error: Malformed) -> Self {
        Self::NotAnEnvelope(error.to_string())
    }
}

/// Reads the envelope and its rows, each row as text with its identity.
///
/// # Errors
/// Where the text is no JSON object and no list of rows, or holds more than 10,000 rows or two pages; and where `data` is something that
/// is no list and holds none of rows, unless `code` says that it is an error: then nothing in its place is looked at.
pub fn envelope(text: &str) -> Result<Envelope<'_>, BodyError> {
    let (mut code, mut request_id, mut data, mut elsewhere) = (None, None, None, Data::Nothing);
    let mut words: Vec<(usize, &str)> = Vec::new();
    let mut lexer = Lexer::new(text);
    if lexer.next_byte() == Some(b'[') {
        return bare_list(lexer);
    }
    lexer.members(|lexer, name| {
        let name = name.text().ok_or_else(|| lexer.wanted("a name that is a text"))?;
        match name.as_ref() {
            "code" => code = Some(lexer.value()?),
            "requestId" => request_id = Some(lexer.value()?),
            "data" => {
                let found = self::data(lexer, DEEPEST_ROWS)?;
                data = Some(data.take().unwrap_or(Data::Nothing).or_later(found));
            }
            name => match rank(name) {
                Some(rank) => {
                    let value = lexer.value()?;
                    words.extend((!is_nothing(value)).then_some((rank, value)));
                }
                None => {
                    let found = self::data(lexer, DEEPEST_ROWS)?;
                    if found.is_of_videos() {
                        elsewhere = std::mem::replace(&mut elsewhere, Data::Nothing).or_later(found);
                    }
                }
            },
        }
        Ok(())
    })?;
    lexer.end()?;
    let data = data.unwrap_or(elsewhere);
    let number = code_of(code, &data, &words);
    let (data, packed) = match data {
        Data::Nothing => Default::default(),
        Data::Rows(rows, packed) => (rows, packed),
        Data::TooManyRows => return Err(BodyError::TooManyRows),
        Data::TwoPages => return Err(BodyError::TwoPages),
        // An error has no rows, whatever stands in their place.
        Data::NoList if number.map_or(!words.is_empty(), |code| code != 0) => Default::default(),
        Data::NoList => return Err(BodyError::DataIsNoList),
    };
    let is_page = number == Some(0) && !data.is_empty();
    words.extend(code.filter(|raw| number.is_none() && !is_nothing(raw)).map(|raw| (WORDS.len(), raw)));
    // Of those that stand twice the last one counts.
    let best = words.iter().rev().min_by_key(|(rank, _)| *rank);
    Ok(Envelope {
        code: number,
        message: best.map(|(_, value)| told(value)),
        // Nearly every answer is a page, and nothing is looked for in its words.
        all_words: if is_page { String::new() } else { all_words(&words) },
        request_id: request_id.filter(|raw| *raw != "null").map(request_id_of),
        data,
        packed,
    })
}

/// A list of rows, or an empty one, without anything around it.
fn bare_list(mut lexer: Lexer<'_>) -> Result<Envelope<'_>, BodyError> {
    let found = data(&mut lexer, 0)?;
    lexer.end()?;
    let is_page = found.is_of_videos() || !found.holds_rows();
    match found {
        Data::TooManyRows => Err(BodyError::TooManyRows),
        Data::Rows(data, packed) if is_page => {
            Ok(Envelope { code: Some(0), message: None, all_words: String::new(), request_id: None, data, packed })
        }
        _ => Err(BodyError::NotAnEnvelope("a list, and none of rows".to_owned())),
    }
}

/// The `code`; 0 where another success, or none, stands beside what tells of one: a list of rows, or, where no word speaks against it, an
/// empty one, or nothing at all where a word or the code says so.
fn code_of(code: Option<&str>, data: &Data<'_>, words: &[(usize, &str)]) -> Option<i64> {
    let number = code.and_then(whole_number);
    let none_speaks_against_it = || words.iter().all(|(_, raw)| says_success(&told(raw)));
    let is_said = || !words.is_empty() || code.is_some_and(|raw| !is_nothing(raw));
    let is_told = match data {
        Data::Rows(rows, _) if rows.is_empty() => none_speaks_against_it(),
        Data::Nothing => is_said() && none_speaks_against_it(),
        data => data.is_of_videos(),
    };
    let is_success = match (code, number) {
        (Some(raw), None) => is_nothing(raw) || raw == "true" || says_success(&told(raw)),
        (_, number) => matches!(number, None | Some(200)),
    };
    if is_told && is_success { Some(0) } else { number }
}

/// Reads the envelope of a body that may be only nearly JSON, and calls with its text and what was read: as [`readable`] and
/// [`envelope`] one after the other. What can be read as it came is JSON, so it is not looked through for what to mend.
pub fn with_envelope<T>(body: &[u8], call: impl FnOnce(&str, Result<Envelope<'_>, BodyError>) -> T) -> T {
    let text = decoded(body);
    let why = match envelope(&text) {
        Err(BodyError::NotAnEnvelope(why)) => why,
        Err(BodyError::DataIsNoList) => {
            let spelled_out = with_data_spelled_out(&text).unwrap_or_default();
            return match envelope(&spelled_out) {
                Ok(read) => call(&spelled_out, Ok(read)),
                Err(_) => call(&text, Err(BodyError::DataIsNoList)),
            };
        }
        read => return call(&text, read),
    };
    let whole = strict(&text);
    let read = envelope(&whole);
    if !matches!(read, Err(BodyError::NotAnEnvelope(_))) {
        return call(&whole, read);
    }
    // What other text stands around is believed where it is a success, which no error's page holds.
    let inner = within_braces(&text).map(strict);
    match inner.as_deref().map(|inner| (inner, envelope(inner))) {
        Some((inner, Ok(read))) if read.code == Some(0) => call(inner, Ok(read)),
        _ => call(&whole, Err(BodyError::NotAnEnvelope(why))),
    }
}

/// The envelope with the JSON in place of `data` that is a text of JSON; none where it is no such text.
fn with_data_spelled_out(text: &str) -> Option<String> {
    let mut lexer = Lexer::new(text);
    let mut data = None;
    let members = lexer.members(|lexer, name| {
        let from = text.len() - lexer.left();
        let value = lexer.value()?;
        if name.text().is_some_and(|name| name == "data") {
            data = Some((from, text.len() - lexer.left(), value));
        }
        Ok(())
    });
    let (from, to, value) = data.filter(|_| members.is_ok())?;
    let inner = serde_json::from_str::<String>(&repair_surrogates(value)).ok()?;
    let is_json = inner.trim_start().starts_with(['[', '{']);
    if is_json { Some([text.get(..from)?, &inner, text.get(to..)?].concat()) } else { None }
}

/// From the first brace to the last one, where other text stands around them.
fn within_braces(text: &str) -> Option<&str> {
    let inner = text.get(text.find('{')?..=text.rfind('}')?)?;
    (inner.len() < text.len()).then_some(inner)
}

/// Where a member stands among [`WORDS`].
fn rank(name: &str) -> Option<usize> {
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    WORDS.iter().position(|known| *known == name)
}

/// Words for a person: of an object that has words of its own those, of any other value its text.
fn told(raw: &str) -> String {
    let Some(value) = nested(raw) else { return plain_text(raw, LONGEST_WORDS) };
    within(&own_words(&value).unwrap_or_else(|| value.to_string()), LONGEST_WORDS).to_owned()
}

/// A list or an object, its texts as characters; none where it is neither, or too long.
fn nested(raw: &str) -> Option<serde_json::Value> {
    let is_nested = raw.starts_with(['{', '[']) && raw.len() <= LONGEST_NESTED;
    is_nested.then(|| serde_json::from_str(&repair_surrogates(raw)).ok()).flatten()
}

/// The text under the best of an object's usual names; of a list that of its first value.
fn own_words(value: &serde_json::Value) -> Option<String> {
    let value = value.as_array().map_or(Some(value), |values| values.first())?;
    let ranked = value.as_object()?.iter().filter_map(|(name, value)| Some((rank(name)?, value.as_str()?)));
    let best = ranked.filter(|(_, text)| !text.is_empty()).min_by_key(|(rank, _)| *rank);
    best.map(|(_, text)| text.to_owned())
}

/// The texts of all words, each a sentence of its own. An address is no word: it may lead to a page about billing.
fn all_words(words: &[(usize, &str)]) -> String {
    let mut all = String::new();
    for (_, raw) in words {
        match nested(raw) {
            Some(value) => gather(&value, DEEPEST_WORDS, &mut all),
            None => sentence(&plain_text(raw, LONGEST_WORDS), &mut all),
        }
    }
    all
}

fn gather(value: &serde_json::Value, depth: usize, all: &mut String) {
    let Some(deeper) = depth.checked_sub(1) else { return };
    match value {
        serde_json::Value::String(text) => sentence(text, all),
        serde_json::Value::Array(values) => values.iter().for_each(|value| gather(value, deeper, all)),
        serde_json::Value::Object(members) => members.values().for_each(|value| gather(value, deeper, all)),
        _ => {}
    }
}

fn sentence(text: &str, all: &mut String) {
    let room = LONGEST_WORDS.saturating_sub(all.len());
    let is_address = text.starts_with("http://") || text.starts_with("https://");
    if room > 0 && !is_address {
        all.extend([within(text, room), ". "]);
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
        let row = |id: u32| format!(r#"{{"video_id":"{id}","create_time":5,"n":{{}}}}"#);
        let twice = |one: &str, two: &str| {
            envelope(&format!(r#"{{"code":0,"data":[{one}],"data":[{two}]}}"#)).map(|read| read.data.len())
        };
        assert_eq!(twice(&row(7), &row(7)).unwrap(), 1);
        assert_eq!(twice(&row(7), "").unwrap(), 1);
        // A page in place of another, or half of one, would be believed.
        assert_eq!(twice(&row(7), &row(8)), Err(BodyError::TwoPages));
        assert_eq!(twice(&row(7), &format!("{},{}", row(7), row(8))), Err(BodyError::TwoPages));
    }

    /// Every answer was thrown away, asked again until the run gave up, and paid for each time.
    #[test]
    fn rows_are_found_where_nobody_documented_them() {
        let row = |id: u32| format!(r#"{{"video_id":"{id}","create_time":5}}"#);
        let rows = |text: String| envelope(&text).map(|read| read.data.len());
        for at in [
            r#""data":{"list":[R],"total":1}"#,
            r#""data":{"data":{"videos":[R]}}"#,
            r#""result":[R]"#,
            r#""data":{"tags":["a"],"list":[R]}"#,
        ] {
            assert_eq!(rows(format!(r#"{{"code":0,{}}}"#, at.replace('R', &row(7)))), Ok(1), "{at}");
            let text = format!(r#"{{"code":0,{}}}"#, at.replace('R', "").replace(r#""tags":["a"],"#, ""));
            let empty = envelope(&text).unwrap();
            assert_eq!((empty.code, empty.data.len()), (Some(0), 0), "{at}");
        }
        // Which of two would be the page, nobody knows; and what stands beside `data` is something else.
        assert_eq!(
            rows(format!(r#"{{"code":0,"data":{{"a":[{}],"b":[{}]}}}}"#, row(7), row(8))),
            Err(BodyError::TwoPages)
        );
        assert_eq!(
            rows(format!(r#"{{"code":0,"data":{{"list":[{{"id":1}}],"hot":[{}]}}}}"#, row(8))),
            Err(BodyError::TwoPages)
        );
        assert_eq!(rows(format!(r#"{{"code":0,"data":null,"hot":[{}]}}"#, row(7))), Ok(0));
        for other in [r#""data":{"list":["a"]}"#, r#""data":{"total":0}"#, r#""data":{"a":{"b":{"c":[]}}}"#] {
            assert_eq!(rows(format!(r#"{{"code":0,{other}}}"#)), Err(BodyError::DataIsNoList), "{other}");
        }
    }

    #[test]
    fn a_list_of_rows_is_a_page_also_with_nothing_around_it() {
        let row = |id: u32| format!(r#"{{"video_id":"{id}","create_time":5}}"#);
        let read = envelope_of(&format!(" [{},{}]", row(7), row(8)));
        assert_eq!(read, Ok((Some(0), 2)));
        assert_eq!(envelope_of("[]"), Ok((Some(0), 0)));
        assert_eq!(envelope_of(&format!("[{},{{}}]", row(7))), Ok((Some(0), 2)), "each place of a page is kept");
        for no_page in
            [r#"[{"error":"no such field"}]"#, r#"["a"]"#, "[[]]", &format!("[{}", row(7)), &format!("[{}]]", row(7))]
        {
            assert!(envelope_of(no_page).is_err(), "{no_page}");
        }
    }

    fn envelope_of(text: &str) -> Result<(Option<i64>, usize), BodyError> {
        envelope(text).map(|read| (read.code, read.data.len()))
    }

    #[test]
    fn nothing_in_the_place_of_a_list_is_an_empty_page_where_that_is_a_success() {
        for empty in [
            r#"{"code":200,"message":"success","data":null}"#,
            r#"{"code":200,"message":"success"}"#,
            r#"{"message":"success","data":null}"#,
            r#"{"status":"ok"}"#,
            r#"{"code":"success","data":{}}"#,
            r#"{"code":0,"data":{"list":null,"total":null}}"#,
            r#"{"code":0,"data":{"list":null,"total":0,"has_more":false}}"#,
            r#"{"code":0,"data":{"page":{"list":null,"size":10}}}"#,
        ] {
            assert_eq!(envelope_of(empty), Ok((Some(0), 0)), "{empty}");
        }
        // What says that it is none is none, and so is what does not say what it is.
        for (other, code) in [
            (r#"{"code":200,"message":"quota exceeded","data":null}"#, Some(200)),
            (r#"{"message":"busy","data":null}"#, None),
            (r#"{"data":null}"#, None),
            ("{}", None),
        ] {
            assert_eq!(envelope_of(other), Ok((code, 0)), "{other}");
        }
        for other in [r#"{"code":0,"data":{"total":0}}"#, r#"{"code":0,"data":{"list":null,"note":"gone"}}"#] {
            assert_eq!(envelope_of(other), Err(BodyError::DataIsNoList), "{other}");
        }
    }

    #[test]
    fn an_envelope_is_read_within_other_text_where_it_is_a_success() {
        let whole = r#"{"code":0,"data":[{"video_id":"7","create_time":5}]}"#;
        let rows = |text: &str| with_envelope(text.as_bytes(), |_, read| read.map(|read| read.data.len()).ok());
        for (before, after) in
            [("", "<!-- 0.03s -->"), ("cb(", ");"), ("<br /><b>Warning</b>: a.php\n", ""), (")]}',\n", "")]
        {
            assert_eq!(rows(&format!("{before}{whole}{after}")), Some(1), "{before} {after}");
        }
        let cut = whole.get(..whole.len() - 2).unwrap();
        for no_page in [format!("{whole}{whole}"), format!("cb({cut}"), whole.replace(":0,", ":1,") + "<!-- -->"] {
            assert_eq!(rows(&no_page), None, "{no_page}");
        }
    }

    #[test]
    fn a_list_of_rows_that_is_a_text_of_json_is_read() {
        let read = |data: &str| {
            let text = format!(r#"{{"requestId":"r","data" : {data} ,"code":0}}"#);
            with_envelope(text.as_bytes(), |_, read| {
                read.map(|read| (read.data.len(), read.packed.encode_all().is_empty()))
            })
        };
        let rows =
            serde_json::to_string(r#"[{"video_id":"7","create_time":5,"video_desc":"a \"b\" \u00e9"}]"#).unwrap();
        assert_eq!(read(&rows), Ok((1, false)));
        assert_eq!(read(r#""{\"list\":[{\"video_id\":\"7\",\"create_time\":5}]}""#), Ok((1, false)));
        assert_eq!(read(r#""[]""#).map(|read| read.0), Ok(0));
        for data in [r#""no rows""#, r#""[1,""#, "7"] {
            assert_eq!(read(data), Err(BodyError::DataIsNoList), "{data}");
        }
    }

    #[test]
    fn words_are_found_under_other_names() {
        let words = |text: &str| envelope(text).unwrap().message;
        assert_eq!(words(r#"{"code":1,"error":"a","msg":"b"}"#).as_deref(), Some("b"));
        assert_eq!(words(r#"{"detail":[{"loc":["query"]}]}"#).as_deref(), Some(r#"[{"loc":["query"]}]"#));
        assert_eq!(words(r#"{"message":null,"error":"a"}"#).as_deref(), Some("a"));
        assert_eq!(words(r#"{"credit":"none left"}"#), None);
        assert_eq!(words(r#"{"errCode":3,"errMsg":"a"}"#).as_deref(), Some("a"));
        assert_eq!(words(r#"{"ErrorMessage":"a","status":"error"}"#).as_deref(), Some("a"));
        assert_eq!(words(r#"{"code":"RATE_LIMIT","data":{}}"#).as_deref(), Some("RATE_LIMIT"));
        // Of what is nested its own words, as characters.
        assert_eq!(words(r#"{"error":{"code":"E1","message":"\u4f59\u989d"}}"#).as_deref(), Some("余额"));
        assert_eq!(words(r#"{"message":{"en":"\u4f59"}}"#).as_deref(), Some(r#"{"en":"余"}"#));
        assert_eq!(words(r#"{"base_resp":{"status_code":3,"status_msg":"a"}}"#).as_deref(), Some("a"));
    }

    #[test]
    fn an_error_is_known_by_all_its_words() {
        let words = |text: &str| envelope(text).unwrap().all_words;
        assert_eq!(words(r#"{"code":7,"message":"error","detail":{"a":["b",{"c":"d"}],"n":1}}"#), "error. b. d. ");
        assert_eq!(words(r#"{"code":"E_7","message":"error","data":null}"#), "error. E_7. ");
        assert_eq!(words(r#"{"error":{"message":"down","see":"https://x.example/billing"}}"#), "down. ");
        assert_eq!(words(r#"{"code":0,"message":"success","data":[{"video_id":"7","create_time":5}]}"#), "");
    }

    #[test]
    fn an_error_keeps_its_words_whatever_stands_in_place_of_its_rows() {
        for data in ["{}", "\"\"", "false", "{\"list\":[]}", "7", "\"none\"", "{ }"] {
            let text = format!(r#"{{"code":1005,"message":"Insufficient credits","data":{data}}}"#);
            let read = envelope(&text).unwrap();
            assert_eq!((read.code, read.message.as_deref()), (Some(1005), Some("Insufficient credits")), "{data}");
        }
        // Of a page it must be nothing, or an empty list; what holds something else may hold rows.
        for (data, is_page) in [
            ("{}", true),
            ("{ }", true),
            ("\"\"", true),
            ("false", true),
            ("{\"list\":[]}", true),
            ("{\"list\":7}", false),
            ("7", false),
        ] {
            let read =
                envelope(&format!(r#"{{"code":0,"message":"success","data":{data}}}"#)).map(|read| read.data.len());
            assert_eq!(read.ok(), is_page.then_some(0), "{data}");
        }
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
