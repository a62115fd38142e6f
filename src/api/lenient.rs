//! Nearly JSON becomes JSON: what services write that strict readers refuse, mended where only one meaning is possible.
//!
//! Pure. What is mended: a byte order mark, NUL bytes and white space around the JSON; bytes that are not UTF-8, each of which becomes half of a
//! surrogate pair, `\udce9` for the byte E9, so that a column shows U+FFFD and `_extra` keeps which byte it was; control
//! characters that stand raw inside a string, and escapes that JSON does not know; `NaN`, `Infinity` and other numbers that are no
//! JSON numbers, such as `007` or `+5`; `undefined`, `None`, `True` and `False`, as other languages write them; a comma before a closing bracket. Odd
//! numbers become strings of the same letters, so that a column takes them where it can and
//! `_extra` keeps them where it cannot. The invariant: what is JSON already is given back as it came, and an answer
//! that was cut does not become whole.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::lexer::is_json;

/// The body as JSON text, as far as it can be mended. Borrowed where nothing had to change.
pub fn readable(body: &[u8]) -> Cow<'_, str> {
    let text = decoded(body);
    mended(&text).map_or(text, Cow::Owned)
}

/// The text with each byte that is not UTF-8 as half of a surrogate pair.
fn with_bytes_spelled(body: &[u8]) -> String {
    let mut text = String::with_capacity(body.len() + 64);
    for chunk in body.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing into a String cannot fail.
            let _ = write!(text, "\\udc{byte:02x}");
        }
    }
    text
}

/// The body as text, without what stands around it; not mended.
pub(super) fn decoded(body: &[u8]) -> Cow<'_, str> {
    match simdutf8::basic::from_utf8(body) {
        Ok(text) => Cow::Borrowed(bare(text)),
        Err(_) => Cow::Owned(bare(&with_bytes_spelled(body)).to_owned()),
    }
}

/// The text without what stands around it and means nothing.
fn bare(text: &str) -> &str {
    text.trim_matches(|character: char| {
        character.is_whitespace() || character.is_control() || matches!(character, '\u{feff}' | '\u{200b}')
    })
}

/// The text mended, or as it is where it is JSON already.
pub(super) fn strict(text: &str) -> Cow<'_, str> {
    mended(text).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The text mended; none where it is JSON already.
fn mended(text: &str) -> Option<String> {
    if is_json(text) {
        return None;
    }
    let mut strict = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '"' => mend_string(rest, &mut strict),
            _ if is_of_word(first) => mend_word(rest, &mut strict),
            ']' | '}' => {
                let kept = strict.trim_end();
                strict.truncate(kept.strip_suffix(',').unwrap_or(kept).len());
                strict.push(first);
                1
            }
            _ => {
                strict.push(first);
                first.len_utf8()
            }
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    Some(strict)
}

/// Copies the string that `rest` begins with, up to its closing quote; answers how many bytes it had.
fn mend_string(rest: &str, strict: &mut String) -> usize {
    strict.push('"');
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => {
                strict.push('"');
                return at + 1;
            }
            '\\' => {
                let after = rest.get(at + 1..).unwrap_or_default();
                if is_escape(after) {
                    strict.push('\\');
                    strict.extend(characters.next().map(|(_, escaped)| escaped));
                } else {
                    strict.push_str("\\\\");
                }
            }
            _ if u32::from(character) < 0x20 => {
                // Writing into a String cannot fail.
                let _ = write!(strict, "\\u{:04x}", u32::from(character));
            }
            _ => strict.push(character),
        }
    }
    rest.len()
}

/// Whether what follows a backslash makes an escape of it.
fn is_escape(after: &str) -> bool {
    match after.as_bytes().first() {
        Some(b'u') => after.get(1..5).is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit())),
        Some(letter) => br#""\/bfnrt"#.contains(letter),
        None => false,
    }
}

const fn is_of_word(character: char) -> bool {
    matches!(character, 'a'..='z' | 'A'..='Z' | '0'..='9' | '+' | '-' | '.' | '_')
}

/// Copies the word that `rest` begins with, in quotes where it is a number that JSON does not know; answers its bytes.
fn mend_word(rest: &str, strict: &mut String) -> usize {
    let length = rest.find(|character| !is_of_word(character)).unwrap_or(rest.len());
    let word = rest.get(..length).unwrap_or_default();
    let is_number = word.starts_with(|first: char| !first.is_ascii_alphabetic() && first != '_') || is_no_number(word);
    match word {
        "undefined" | "None" => strict.push_str("null"),
        "True" => strict.push_str("true"),
        "False" => strict.push_str("false"),
        _ if is_number && !is_json(word) => {
            // Writing into a String cannot fail.
            let _ = write!(strict, "\"{word}\"");
        }
        _ => strict.push_str(word),
    }
    length
}

/// `NaN` and the infinities, in any spelling that a program prints.
fn is_no_number(word: &str) -> bool {
    let word = word.trim_start_matches(['+', '-']);
    ["nan", "inf", "infinity"].iter().any(|name| word.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: &str) -> String {
        readable(body.as_bytes()).into_owned()
    }

    #[test]
    fn json_is_given_back_as_it_came() {
        for json in ["{\"code\":0}", "{\n\t\"a\": [1, -2.5e3, true, null, \"\\ud83d \\u0000\"]}", "[]", "\"NaN\""] {
            assert!(matches!(readable(json.as_bytes()), Cow::Borrowed(same) if same == json), "{json}");
        }
    }

    #[test]
    fn what_stands_around_the_json_is_left_out() {
        for body in ["\u{feff}{}", "{}\0\0\0", " \r\n{}\n\n", "\u{feff}\u{feff}\n{}\u{1a}"] {
            assert!(matches!(readable(body.as_bytes()), Cow::Borrowed("{}")), "{body:?}");
        }
    }

    #[test]
    fn numbers_that_json_does_not_know_become_strings() {
        assert_eq!(
            text(r#"{"a":NaN,"b":[Infinity,-Infinity, +5,007,.5,-nan],"c":"NaN \" NaN","d":-1e5,"e":true}"#),
            r#"{"a":"NaN","b":["Infinity","-Infinity", "+5","007",".5","-nan"],"c":"NaN \" NaN","d":-1e5,"e":true}"#
        );
    }

    #[test]
    fn what_other_languages_write_becomes_what_json_means() {
        assert_eq!(
            text(r#"{"a":undefined,"b":[None, True,False,],"c":"None,]","d":{"e":1 , } ,}"#),
            r#"{"a":null,"b":[null, true,false],"c":"None,]","d":{"e":1 } }"#
        );
    }

    #[test]
    fn strings_are_mended_inside_alone() {
        assert_eq!(text("{\"a\":\"x\u{1}\n\\\"y\",\n\"b\":7}"), "{\"a\":\"x\\u0001\\u000a\\\"y\",\n\"b\":7}");
        assert_eq!(text(r#"["\'","\x41","\u12","\\"]"#), r#"["\\'","\\x41","\\u12","\\"]"#);
        assert_eq!(readable(b"[\"\xff\",NaN]"), r#"["\udcff","NaN"]"#);
    }

    /// A text that was cut in the middle of a letter, and one of another alphabet's old encoding.
    #[test]
    fn bytes_that_are_not_utf_8_can_be_told_afterwards() {
        assert_eq!(readable(b"{\"a\":\"caf\xe9 \xe4\xb8\"}"), r#"{"a":"caf\udce9 \udce4\udcb8"}"#);
    }

    #[test]
    fn other_words_and_cut_answers_stay_what_they_are() {
        for body in ["upstream request timeout", r#"{"a":nothing}"#, r#"{"a":[1,"b"#, r#"{"a":1"#, "{code:0}"] {
            assert!(!is_json(&text(body)), "{body}");
        }
    }
}
