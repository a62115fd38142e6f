//! JSON text read where it stands: each value as its own text, in one pass; nothing is declared, converted or copied.
//!
//! Pure. It takes exactly what RFC 8259 takes, without a bound on depth (it does not recurse), and says where a text stops being
//! JSON. A name that stands twice is seen twice; what that means is the caller's to say.

use std::borrow::Cow;

use super::surrogates::repair_surrogates;

/// Bytes that are looked through at once for control characters.
const PIECE: usize = 1_024;

/// A text that is no JSON, or not the kind of JSON that was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} should stand at byte {at}")]
pub struct Malformed {
    wanted: &'static str,
    at: usize,
}

/// A reader of one JSON text, from left to right.
#[derive(Debug)]
pub struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// Whether control characters stand anywhere: only then are they looked for in each string.
    has_controls: bool,
}

/// The name of an object's member, as it is written.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    quoted: &'a str,
}

impl<'a> Name<'a> {
    /// What it says, half of a surrogate pair as U+FFFD; none where it is no name of JSON.
    pub fn text(self) -> Option<Cow<'a, str>> {
        let inner = inside(self.quoted);
        match memchr::memchr(b'\\', inner.as_bytes()) {
            None => Some(Cow::Borrowed(inner)),
            Some(_) => serde_json::from_str(&repair_surrogates(self.quoted)).ok().map(Cow::Owned),
        }
    }
}

/// Shows `see` every member of the JSON object `json`, in the order that they came.
///
/// # Errors
/// Where `json` is not one JSON object, or holds a name that no text is; some members may have been seen by then.
pub fn each_member<'a>(json: &'a str, mut see: impl FnMut(Cow<'a, str>, &'a str)) -> Result<(), Malformed> {
    let mut lexer = Lexer::new(json);
    lexer.members(|lexer, name| {
        let name = name.text().ok_or_else(|| lexer.wanted("a name that is a text"))?;
        see(name, lexer.value()?);
        Ok(())
    })?;
    lexer.end()
}

/// Shows `see` every item of the JSON list `json`, in the order that they came.
///
/// # Errors
/// Where `json` is not one JSON list; some items may have been seen by then.
pub fn each_item<'a>(json: &'a str, mut see: impl FnMut(&'a str)) -> Result<(), Malformed> {
    let mut lexer = Lexer::new(json);
    lexer.items(|lexer| {
        see(lexer.value()?);
        Ok(())
    })?;
    lexer.end()
}

/// Whether the text is one JSON value.
pub fn is_json(text: &str) -> bool {
    let mut lexer = Lexer::new(text);
    lexer.value().and_then(|_| lexer.end()).is_ok()
}

impl<'a> Lexer<'a> {
    /// A reader that stands before the text's first byte.
    pub fn new(text: &'a str) -> Self {
        // Not one by one, so that many are compared at once.
        let is_control = |piece: &[u8]| piece.iter().fold(false, |found, byte| found | (*byte < b' '));
        let has_controls = text.as_bytes().chunks(PIECE).any(is_control);
        Self { text, at: 0, has_controls }
    }

    /// Bytes that are still to be read.
    pub fn left(&self) -> usize {
        self.text.len().saturating_sub(self.at)
    }

    /// The first byte of what comes next, which says what kind of value it is; none at the end.
    pub fn next_byte(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
        self.peek()
    }

    /// Reads one value of any kind, and gives its text.
    ///
    /// # Errors
    /// Where none stands here.
    pub fn value(&mut self) -> Result<&'a str, Malformed> {
        self.next_byte();
        let start = self.at;
        self.pass_value()?;
        Ok(self.since(start))
    }

    /// Reads an object. For each member `see` is called behind its colon, and must read exactly one value.
    ///
    /// # Errors
    /// Where no object stands here, and those of `see`.
    pub fn members(
        &mut self,
        mut see: impl FnMut(&mut Self, Name<'a>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.entries(|lexer| {
            let name = lexer.name()?;
            see(lexer, name)
        })
    }

    /// The same, but that `see` is called before each member's name, and must read that too.
    ///
    /// # Errors
    /// Where no object stands here, and those of `see`.
    pub(super) fn entries(&mut self, mut see: impl FnMut(&mut Self) -> Result<(), Malformed>) -> Result<(), Malformed> {
        self.pass(b'{', "a JSON object")?;
        if self.passes(b'}') {
            return Ok(());
        }
        loop {
            see(self)?;
            if !self.passes(b',') {
                return self.pass(b'}', "a comma or the end of the object");
            }
        }
    }

    /// Reads a list. For each item `see` is called, and must read exactly one value.
    ///
    /// # Errors
    /// Where no list stands here, and those of `see`.
    pub fn items(&mut self, mut see: impl FnMut(&mut Self) -> Result<(), Malformed>) -> Result<(), Malformed> {
        self.pass(b'[', "a JSON list")?;
        if self.passes(b']') {
            return Ok(());
        }
        loop {
            see(self)?;
            if !self.passes(b',') {
                return self.pass(b']', "a comma or the end of the list");
            }
        }
    }

    /// Where it stands, bytes from the text's beginning.
    pub const fn position(&self) -> usize {
        self.at
    }

    /// The text from there to here.
    pub fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Makes sure that nothing follows.
    ///
    /// # Errors
    /// Where something does.
    pub fn end(&mut self) -> Result<(), Malformed> {
        match self.next_byte() {
            None => Ok(()),
            Some(_) => Err(self.wanted("the end")),
        }
    }

    /// The finding that something else stands here.
    pub(super) const fn wanted(&self, wanted: &'static str) -> Malformed {
        Malformed { wanted, at: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Whether this byte comes next; it is passed then.
    fn passes(&mut self, byte: u8) -> bool {
        let passes = self.next_byte() == Some(byte);
        self.at += usize::from(passes);
        passes
    }

    fn pass(&mut self, byte: u8, wanted: &'static str) -> Result<(), Malformed> {
        if self.passes(byte) { Ok(()) } else { Err(self.wanted(wanted)) }
    }

    /// Whether a member of this name comes next, spelled letter by letter, with the colon right behind it; both are passed then. The name holds
    /// neither a quote nor an escape.
    pub(super) fn passes_name(&mut self, name: &str) -> bool {
        self.next_byte();
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let behind = rest.strip_prefix(b"\"").and_then(|rest| rest.strip_prefix(name.as_bytes()));
        let passes = behind.is_some_and(|behind| behind.starts_with(b"\":"));
        self.at += if passes { name.len() + 3 } else { 0 };
        passes
    }

    /// Passes a member's name and the colon behind it.
    ///
    /// # Errors
    /// Where no name stands here.
    pub(super) fn name(&mut self) -> Result<Name<'a>, Malformed> {
        if self.next_byte() != Some(b'"') {
            return Err(self.wanted("the name of a member"));
        }
        let start = self.at;
        self.pass_string()?;
        let quoted = self.since(start);
        self.pass(b':', "a colon")?;
        Ok(Name { quoted })
    }

    /// Passes one value with all that stands in it.
    fn pass_value(&mut self) -> Result<(), Malformed> {
        // How each object and list ends that is open here.
        let mut open: Vec<u8> = Vec::new();
        loop {
            match self.next_byte() {
                Some(b'{') => {
                    self.at += 1;
                    if !self.passes(b'}') {
                        open.push(b'}');
                        self.name()?;
                        continue;
                    }
                }
                Some(b'[') => {
                    self.at += 1;
                    if !self.passes(b']') {
                        open.push(b']');
                        continue;
                    }
                }
                first => self.pass_scalar(first)?,
            }
            if self.pass_ends(&mut open)? {
                return Ok(());
            }
        }
    }

    /// Behind a value: passes what ends there, up to where the next value is to come. Says whether no more comes.
    fn pass_ends(&mut self, open: &mut Vec<u8>) -> Result<bool, Malformed> {
        while let Some(close) = open.last().copied() {
            if self.passes(b',') {
                if close == b'}' {
                    self.name()?;
                }
                return Ok(false);
            }
            self.pass(close, "a comma or the end of an object or list")?;
            open.pop();
        }
        Ok(true)
    }

    fn pass_scalar(&mut self, first: Option<u8>) -> Result<(), Malformed> {
        match first {
            Some(b'"') => self.pass_string(),
            Some(b'-' | b'0'..=b'9') => self.pass_number(),
            Some(b't') => self.pass_word("true"),
            Some(b'f') => self.pass_word("false"),
            Some(b'n') => self.pass_word("null"),
            _ => Err(self.wanted("a value")),
        }
    }

    fn pass_word(&mut self, word: &'static str) -> Result<(), Malformed> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(self.wanted("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    /// Passes a string from its opening quote to behind its closing one.
    fn pass_string(&mut self) -> Result<(), Malformed> {
        self.at += 1;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let found = memchr::memchr2(b'"', b'\\', rest);
            let plain = rest.get(..found.unwrap_or(rest.len())).unwrap_or_default();
            let control = if self.has_controls { plain.iter().position(|byte| *byte < b' ') } else { None };
            self.at += control.unwrap_or(plain.len());
            match (control, self.peek()) {
                (None, Some(b'"')) => {
                    self.at += 1;
                    return Ok(());
                }
                (None, Some(_)) => self.pass_escape()?,
                (None, None) => return Err(self.wanted("the end of a text")),
                (Some(_), _) => return Err(self.wanted("an escape for a control character")),
            }
        }
    }

    fn pass_escape(&mut self) -> Result<(), Malformed> {
        let rest = self.text.as_bytes().get(self.at + 1..).unwrap_or_default();
        let length = match rest.first() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') if rest.get(1..5).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) => 6,
            _ => return Err(self.wanted("an escape that JSON has")),
        };
        self.at += length;
        Ok(())
    }

    fn pass_number(&mut self) -> Result<(), Malformed> {
        self.at += usize::from(self.peek() == Some(b'-'));
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.pass_digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.pass_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.pass_digits()?;
        }
        Ok(())
    }

    fn pass_digits(&mut self) -> Result<(), Malformed> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        if digits > 0 { Ok(()) } else { Err(self.wanted("a digit")) }
    }
}

/// What stands between a string's quotes.
pub(super) fn inside(quoted: &str) -> &str {
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    /// Whether another reader of JSON, which is widely used, takes the text.
    fn is_taken_elsewhere(text: &str) -> bool {
        serde_json::from_str::<IgnoredAny>(text).is_ok()
    }

    #[test]
    fn every_member_is_seen_in_its_order_and_repeated_names_too() {
        let mut seen = Vec::new();
        each_member(r#"{"a":1,"b":[ 2 ],"\u0061":null}"#, |name, value| seen.push((name.into_owned(), value))).unwrap();
        assert_eq!(seen, [("a".to_owned(), "1"), ("b".to_owned(), "[ 2 ]"), ("a".to_owned(), "null")]);
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        for json in ["", "[]", "null", "7", "\"a\"", "{", "{\"a\":1} {}"] {
            assert!(each_member(json, |_, _| {}).is_err(), "{json}");
        }
    }

    /// A row with such a name was rejected, though all of its values could be kept.
    #[test]
    fn half_of_a_surrogate_pair_in_a_name_is_a_letter_that_nobody_knows() {
        let mut seen = Vec::new();
        each_member("{\"k\\ud83d\":1}", |name, value| seen.push((name.into_owned(), value.to_owned()))).unwrap();
        assert_eq!(seen, [("k\u{fffd}".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn items_are_seen_without_the_space_around_them() {
        let mut seen = Vec::new();
        each_item(" [ 1 , \"a\" ,{} ]\n", |item| seen.push(item)).unwrap();
        assert_eq!(seen, ["1", "\"a\"", "{}"]);
        assert!(each_item("{}", |_| {}).is_err());
    }

    #[test]
    fn it_says_where_a_text_stops_being_json() {
        let said = |text: &str| each_member(text, |_, _| {}).unwrap_err().to_string();
        assert_eq!(said("[]"), "a JSON object should stand at byte 0");
        assert_eq!(said("{\"a\":[1,\"b"), "the end of a text should stand at byte 10");
        assert_eq!(said("{\"a\":NaN}"), "a value should stand at byte 5");
        assert_eq!(said("{\"a\":1} {}"), "the end should stand at byte 8");
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_json(&deep(1_000_000)));
        assert!(!is_json(&deep(1_000_000).replace("[]", "[")));
    }

    #[test]
    fn the_grammar_is_that_of_json() {
        for text in [
            "0",
            "-0",
            "-",
            "01",
            "1.",
            ".5",
            "1.5e+7",
            "1e",
            "1E-2",
            "+1",
            "--1",
            "1 2",
            "true",
            "truex",
            "nul",
            "\"\\u00e9\"",
            "\"\\u00g9\"",
            "\"\\x\"",
            "\"\u{1}\"",
            "\"\u{7f}\"",
            "\"a\nb\"",
            "\"\\ud83d\"",
            "\"",
            "\"\\",
            "\"\\u12\"",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1}",
            "{\"a\":1,}",
            "{\"a\"}",
            "{a:1}",
            "{\"a\":1]",
            "{1:2}",
            "[[]",
            "{\"a\":{\"b\":[{}, [ ]]}}",
            " \t\r\n[ ]\u{c}",
            "[\u{a0}]",
            "\u{feff}1",
            "1.5.5",
            "1e5e5",
            "\"é\"",
            "{}}",
        ] {
            assert_eq!(is_json(text), is_taken_elsewhere(text), "{text:?}");
        }
    }

    /// JSON with something wrong in it, often.
    fn nearly_json() -> impl Strategy<Value = String> {
        let scalar = prop_oneof![
            Just("null".to_owned()),
            Just("-1.5e3".to_owned()),
            any::<f64>().prop_map(|number| number.to_string()),
            any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
            any::<String>().prop_map(|text| format!("\"{text}\"")),
        ];
        let value = scalar.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
                prop::collection::vec((any::<String>(), inner), 0..4).prop_map(|members| {
                    let member =
                        |(name, value): (String, String)| format!("{}: {value}", serde_json::to_string(&name).unwrap());
                    format!("{{{}}}", members.into_iter().map(member).collect::<Vec<_>>().join(","))
                }),
            ]
        });
        (value, any::<prop::sample::Index>(), 0..4_u8, any::<char>()).prop_map(|(text, place, change, with)| {
            let mut letters: Vec<char> = text.chars().collect();
            let place = place.index(letters.len());
            match change {
                0 => letters.truncate(place),
                1 => letters.insert(place, with),
                2 => drop(letters.remove(place)),
                _ => {}
            }
            letters.into_iter().collect()
        })
    }

    proptest! {
        #[test]
        fn it_takes_what_another_reader_takes_and_nothing_else(text in nearly_json()) {
            prop_assert_eq!(is_json(&text), is_taken_elsewhere(&text), "{:?}", text);
        }

        #[test]
        fn any_text_is_read_without_harm(text: String) {
            prop_assert_eq!(is_json(&text), is_taken_elsewhere(&text));
        }
    }
}
