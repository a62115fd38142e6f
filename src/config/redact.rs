//! What an error may quote of what a person wrote: no key, and no more than a line or two.
//!
//! A key is often put in the wrong place: its file given as the configuration, a whole header as the header's name. So
//! whatever looks like one is told by its length alone. Pure.

/// Characters of a value that an error quotes.
const LONGEST_VALUE: usize = 200;
/// Characters of a whole error.
const LONGEST_TEXT: usize = 1_500;
/// How the vendor's keys and their kin begin (documented: `sk_live_…`).
const KEY_BEGINNINGS: [&str; 4] = ["sk_", "sk-", "pk_", "pk-"];
/// The least characters of a word that begins like a key.
const LEAST_KEY: usize = 8;
/// The least characters of a word of letters and digits that is taken for a key whatever it begins with.
const LEAST_OPAQUE: usize = 24;

/// A value as an error may quote it, on one line: what may be a key is left out, and the rest is cut.
pub(crate) fn quoted(value: &str) -> String {
    on_one_line(&cut(&without_keys(value, |word| looks_like_key(word) || is_opaque(word)), LONGEST_VALUE))
}

/// The text with its control characters spelled out (`\n`), so that it neither breaks a line nor moves a terminal's cursor.
pub(crate) fn on_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() { line.extend(letter.escape_default()) } else { line.push(letter) }
    }
    line
}

/// A whole error as a person may see it: neither `key` nor a word that begins like one, and not longer than a paragraph.
pub(crate) fn told(text: &str, key: Option<&str>) -> String {
    let known = key.map(str::trim).filter(|key| key.len() >= LEAST_KEY);
    let text = known.map_or_else(|| text.to_owned(), |key| text.replace(key, &left_out(key)));
    cut(&without_keys(&text, looks_like_key), LONGEST_TEXT)
}

/// The text with its words that are keys left out; also the word after `Bearer`, whatever it looks like.
fn without_keys(text: &str, is_key: impl Fn(&str) -> bool) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut follows_bearer = false;
    for piece in text.split_inclusive(|letter: char| !is_of_word(letter)) {
        let word = piece.trim_end_matches(|letter: char| !is_of_word(letter));
        let is_told_key = follows_bearer && word.len() >= LEAST_KEY;
        if is_key(word) || is_told_key {
            safe.push_str(&left_out(word));
            safe.push_str(piece.get(word.len()..).unwrap_or_default());
        } else {
            safe.push_str(piece);
        }
        follows_bearer = word.eq_ignore_ascii_case("bearer") || (follows_bearer && word.is_empty());
    }
    safe
}

fn is_of_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-')
}

fn looks_like_key(word: &str) -> bool {
    let lower = word.get(..3).map(str::to_ascii_lowercase);
    word.len() >= LEAST_KEY && lower.is_some_and(|start| KEY_BEGINNINGS.contains(&start.as_str()))
}

fn is_opaque(word: &str) -> bool {
    let holds = |kind: fn(&u8) -> bool| word.as_bytes().iter().any(kind);
    word.len() >= LEAST_OPAQUE && holds(u8::is_ascii_digit) && holds(u8::is_ascii_alphabetic)
}

fn left_out(word: &str) -> String {
    format!("({} characters that may be a key)", word.chars().count())
}

fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_key_is_told_by_its_length() {
        assert_eq!(quoted("sk_live_4tV9qLmZ2xPq7Rw"), "(23 characters that may be a key)");
        assert_eq!(quoted("SK_LIVE_1234/x"), "(12 characters that may be a key)/x");
        assert_eq!(quoted("Bearer abcd1234"), "Bearer (8 characters that may be a key)");
        assert_eq!(
            quoted("Authorization: Bearer  abcd1234 x"),
            "Authorization: Bearer  (8 characters that may be a key) x"
        );
        assert_eq!(quoted("9f86d081884c7d659a2feaa0c55ad015"), "(32 characters that may be a key)");
    }

    #[test]
    fn ordinary_values_are_quoted_as_they_are() {
        for value in
            ["many", "/etc/keyapi/job.toml", "2026-01-01T06:30:00Z", "601450", "Bearer x", "question.filters.is_ads"]
        {
            assert_eq!(quoted(value), value);
        }
    }

    #[test]
    fn a_value_stays_on_its_line() {
        assert_eq!(quoted("/v1\r\n/x\u{1b}[2J\té"), "/v1\\r\\n/x\\u{1b}[2J\\té");
    }

    #[test]
    fn a_known_key_is_left_out_wherever_it_stands() {
        let text = "reading /x/correcthorse/y: no such file; correcthorse";
        assert_eq!(
            told(text, Some(" correcthorse\n")),
            "reading /x/(12 characters that may be a key)/y: no such file; (12 characters that may be a key)"
        );
        assert_eq!(told("a b", Some("a")), "a b", "no key is so short");
    }

    #[test]
    fn neither_a_value_nor_an_error_is_longer_than_its_bound() {
        let long = "é ".repeat(9_000);
        assert_eq!(quoted(&long).chars().count(), LONGEST_VALUE + 1);
        assert_eq!(told(&long, None).chars().count(), LONGEST_TEXT + 1);
    }
}
