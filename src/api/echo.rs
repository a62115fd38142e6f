//! Echoes of the key in an answer: found in every spelling that a service may give them, and blotted out.
//!
//! A service that repeats the key may have escaped it for JSON, a URL or HTML, or packed it into base64 or hexadecimal digits. The
//! invariant: what [`Blotter::blot`] gives back holds the key in none of these. It changes nothing else.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// What stands where the key stood in an answer.
const BLOT: &[u8] = b"[key removed]";
/// A shorter key is no secret, and would be found in the middle of other words.
const SHORTEST_KEY: usize = 8;
/// Escapes of escapes: so many backslashes, or so many `25` after a `%`.
const DEEPEST_ESCAPE: usize = 8;

/// Finds the key.
#[derive(Clone)]
pub(super) struct Blotter {
    needles: Vec<Needle>,
}

impl fmt::Debug for Blotter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Blotter")
    }
}

/// One text to look for, whose letters may each be escaped.
#[derive(Clone)]
struct Needle {
    text: Vec<u8>,
    alphabet: Alphabet,
}

/// Which letters are the same.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Alphabet {
    /// Upper and lower case are.
    Plain,
    /// Those of both variants of base64 are.
    Base64,
}

impl Alphabet {
    fn takes(self, wanted: u8, found: u8) -> bool {
        match (self, wanted) {
            (Self::Plain, _) => wanted.eq_ignore_ascii_case(&found),
            (Self::Base64, b'+') => matches!(found, b'+' | b'-'),
            (Self::Base64, b'/') => matches!(found, b'/' | b'_'),
            (Self::Base64, _) => wanted == found,
        }
    }
}

impl Blotter {
    /// A blotter for this key; of a key that is too short to be one it finds nothing.
    pub(super) fn new(key: &SecretString) -> Self {
        let key = key.expose_secret().as_bytes();
        if key.len() < SHORTEST_KEY {
            return Self { needles: Vec::new() };
        }
        let hexadecimal: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let plain = [key.to_vec(), hexadecimal.into_bytes()];
        let plain = plain.map(|text| Needle { text, alphabet: Alphabet::Plain });
        // What stands before the key shifts its digits, in three ways.
        let packed = (0..3).map(|before| Needle { text: base64_inside(key, before), alphabet: Alphabet::Base64 });
        Self { needles: plain.into_iter().chain(packed).collect() }
    }

    /// The body with a blot in place of every echo.
    pub(super) fn blot(&self, body: Vec<u8>) -> Vec<u8> {
        let Some(mut echo) = self.find(&body, 0) else { return body };
        let mut clean = Vec::with_capacity(body.len());
        let mut from = 0;
        loop {
            let (start, end) = echo;
            clean.extend_from_slice(body.get(from..start).unwrap_or_default());
            clean.extend_from_slice(BLOT);
            from = end;
            match self.find(&body, from) {
                Some(next) => echo = next,
                None => break,
            }
        }
        clean.extend_from_slice(body.get(from..).unwrap_or_default());
        clean
    }

    /// The first echo at or after `from`: where it starts and ends.
    fn find(&self, body: &[u8], from: usize) -> Option<(usize, usize)> {
        (from..body.len()).find_map(|start| {
            let ends = self.needles.iter().filter_map(|needle| needle.end_of_match(body, start));
            ends.max().map(|end| (start, end))
        })
    }
}

impl Needle {
    /// Where the needle ends that starts exactly here, however its letters are spelled.
    fn end_of_match(&self, body: &[u8], start: usize) -> Option<usize> {
        if !self.may_start(body, start) {
            return None;
        }
        // A letter may be spelled in several lengths, so all ends so far are followed.
        let mut ends = vec![start];
        for wanted in &self.text {
            let mut next = Vec::new();
            for end in ends {
                each_spelling(body, end, |found, end| {
                    if self.alphabet.takes(*wanted, found) && !next.contains(&end) {
                        next.push(end);
                    }
                });
            }
            if next.is_empty() {
                return None;
            }
            ends = next;
        }
        ends.into_iter().max()
    }

    /// A quick look at two letters, which nearly always tells.
    fn may_start(&self, body: &[u8], start: usize) -> bool {
        let mut letters = self.text.iter().zip(body.iter().skip(start)).take(2);
        let is_escape = |found: &u8| matches!(found, b'\\' | b'%' | b'&');
        match (letters.next(), letters.next()) {
            (Some((_, found)), _) if is_escape(found) => true,
            (Some((wanted, found)), Some((next, after))) => {
                self.alphabet.takes(*wanted, *found) && (is_escape(after) || self.alphabet.takes(*next, *after))
            }
            _ => false,
        }
    }
}

/// Calls with each letter that may be meant at `at`, and where its spelling ends.
fn each_spelling(body: &[u8], at: usize, mut call: impl FnMut(u8, usize)) {
    let byte = |at: usize| body.get(at).copied();
    let Some(first) = byte(at) else { return };
    call(first, at + 1);
    match first {
        b'\\' => {
            let run = (1..=DEEPEST_ESCAPE).take_while(|run| byte(at + run - 1) == Some(b'\\'));
            for run in run {
                let after = at + run;
                match (byte(after), number(body, after + 1, 4, 16), number(body, after + 1, 2, 16)) {
                    (Some(b'u'), Some(letter), _) => call(letter, after + 5),
                    (Some(b'x'), _, Some(letter)) => call(letter, after + 3),
                    (Some(letter), ..) => call(letter, after + 1),
                    (None, ..) => {}
                }
            }
        }
        b'%' => {
            let doubled =
                |times: &usize| (0..*times).all(|time| body.get(at + 1 + 2 * time..at + 3 + 2 * time) == Some(b"25"));
            for times in (0..=DEEPEST_ESCAPE).take_while(doubled) {
                let digits = at + 1 + 2 * times;
                if let Some(letter) = number(body, digits, 2, 16) {
                    call(letter, digits + 2);
                }
            }
        }
        b'&' => {
            let rest = body.get(at..).unwrap_or_default();
            for (name, letter) in ENTITIES.iter().filter(|(name, _)| rest.starts_with(name)) {
                call(*letter, at + name.len());
            }
            let (digits, radix) = if rest.starts_with(b"&#x") || rest.starts_with(b"&#X") { (3, 16) } else { (2, 10) };
            if rest.starts_with(b"&#") {
                for length in (1..=4).filter(|length| byte(at + digits + length) == Some(b';')) {
                    if let Some(letter) = number(body, at + digits, length, radix) {
                        call(letter, at + digits + length + 1);
                    }
                }
            }
        }
        _ => {}
    }
}

/// The named characters that HTML cannot do without.
const ENTITIES: [(&[u8], u8); 5] =
    [(b"&amp;", b'&'), (b"&lt;", b'<'), (b"&gt;", b'>'), (b"&quot;", b'"'), (b"&apos;", b'\'')];

/// The character whose number these digits are, where it is one byte.
fn number(body: &[u8], at: usize, length: usize, radix: u32) -> Option<u8> {
    let digits = std::str::from_utf8(body.get(at..at + length)?).ok()?;
    u8::try_from(u32::from_str_radix(digits, radix).ok()?).ok()
}

/// The digits of base64 that are the key's alone where so many bytes stand before it, modulo 3, and any after it.
fn base64_inside(key: &[u8], before: usize) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = |place: usize| {
        let byte = place.checked_sub(before * 8).and_then(|place| key.get(place / 8));
        byte.map_or(0, |byte| usize::from(byte >> (7 - place % 8) & 1))
    };
    let first = (before * 8).div_ceil(6);
    let last = (before + key.len()) * 8 / 6;
    let digit = |digit: usize| (0..6).fold(0, |value, bit| value << 1 | bits(digit * 6 + bit));
    (first..last).filter_map(|place| DIGITS.get(digit(place)).copied()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Holds everything that some format escapes.
    const ODD_KEY: &str = r#"sk_"li\ve"/<t>&'4%\\+Zz~"#;

    fn blotted(key: &str, body: &str) -> String {
        let blotter = Blotter::new(&SecretString::from(key));
        String::from_utf8(blotter.blot(body.as_bytes().to_vec())).unwrap()
    }

    fn percent(key: &str) -> String {
        key.bytes()
            .map(
                |byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") },
            )
            .collect()
    }

    fn html(key: &str) -> String {
        let pairs = [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;"), ("'", "&#39;")];
        pairs.iter().fold(key.to_owned(), |text, (plain, entity)| text.replace(plain, entity))
    }

    fn base64(text: &str) -> String {
        let digits = base64_inside(text.as_bytes(), 0);
        String::from_utf8(digits).unwrap()
    }

    fn in_json(key: &str) -> String {
        let json = serde_json::to_string(key).unwrap();
        json[1..json.len() - 1].to_owned()
    }

    #[test]
    fn the_key_is_found_in_every_spelling() {
        for key in ["sk_live_4tV9qLmZ2x", ODD_KEY] {
            let inner = in_json(key);
            let twice = in_json(&inner);
            let unicode: String = key.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
            let spellings = [
                key.to_owned(),
                inner.clone(),
                inner.replace('/', "\\/"),
                inner.replace('<', "\\u003c").replace('>', "\\u003E").replace('&', "\\u0026"),
                twice,
                unicode,
                percent(key),
                percent(key).to_lowercase(),
                percent(&percent(key)),
                html(key),
                key.bytes().map(|byte| format!("&#x{byte:x};")).collect(),
                key.to_uppercase(),
                key.bytes().map(|byte| format!("{byte:02X}")).collect(),
            ];
            for spelling in spellings {
                let body = format!("before {spelling} between {spelling}, after");
                assert_eq!(blotted(key, &body), "before [key removed] between [key removed], after", "{spelling}");
            }
        }
    }

    #[test]
    fn the_key_is_found_inside_base64_whatever_stands_around_it() {
        assert_eq!(base64("Bearer x~y?z"), "QmVhcmVyIHh+eT96");
        for around in ["", "a", "ab", "Bearer ", "user:"] {
            for after in ["", "!", "more"] {
                let packed = base64(&format!("{around}{ODD_KEY}{after}"));
                for packed in [packed.clone(), packed.replace('+', "-").replace('/', "_"), packed.replace('/', "\\/")] {
                    let shown = blotted(ODD_KEY, &format!("<{packed}>"));
                    assert!(shown.contains("[key removed]") && shown.len() < 40, "{shown}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_echo_stays_as_it_is() {
        for body in [r#"{"a":"\ud83d % %zz &amp &#; \\"}"#, "sk_live_4tV9qLmZ2", "", "\\", "%", "&#", "a key_"] {
            assert_eq!(blotted("sk_live_4tV9qLmZ2x", body), body);
        }
        let bytes = b"\xff\xfe fine".to_vec();
        assert_eq!(Blotter::new(&SecretString::from("sk_live_1")).blot(bytes.clone()), bytes);
    }

    /// The documentation tries the simulator with the key `x`, and every x of every row was blotted out once.
    #[test]
    fn a_key_that_is_no_secret_blots_nothing_out() {
        assert_eq!(blotted("x", "next"), "next");
    }

    #[test]
    fn the_key_is_in_no_debug_text() {
        assert_eq!(format!("{:?}", Blotter::new(&SecretString::from("sk_live_secret"))), "Blotter");
    }

    proptest! {
        #[test]
        fn no_body_keeps_an_echo(key in "[!-~]{8,40}", before in "\\PC{0,20}", after in "\\PC{0,20}") {
            let [escaped, packed] = [in_json(&key), base64(&format!("{before}{key}{after}"))];
            for body in [format!("{before}{key}{after}"), format!("{before}{escaped}{after}"), packed] {
                let shown = blotted(&key, &body);
                prop_assert!(shown.contains("[key removed]"), "{}", shown);
                prop_assert!(!shown.contains(&key));
            }
        }

        #[test]
        fn any_bytes_are_looked_through(key in "[!-~]{8,40}", body in prop::collection::vec(any::<u8>(), 0..200)) {
            let blotter = Blotter::new(&SecretString::from(key.as_str()));
            let clean = blotter.blot(body);
            prop_assert_eq!(blotter.blot(clean.clone()), clean);
        }
    }
}
