//! Echoes of the key in an answer: found in every spelling that a service may give them, and blotted out.
//!
//! A service that repeats the key may have escaped it for JSON, a URL or HTML, or packed it into base64, or its bytes into hexadecimal or
//! decimal numbers; docs/operations.md lists these spellings. The invariant: what [`Blotter::blot`] gives back holds the key in none of these. It changes nothing else.
//!
//! Every answer is looked through, so the usual one costs two scans. An echo without an escape holds a short piece of the key, a
//! *window*, letter by letter: an automaton looks for those. Any other has a first escape, with a letter of the key behind it
//! and the letters before it as they are: those are tried at each escape. Only where an echo may start is it matched with care.

use std::fmt;

use aho_corasick::{AhoCorasick, Input, MatchKind};
use secrecy::{ExposeSecret, SecretString};

/// What stands where the key stood in an answer.
const BLOT: &[u8] = b"[key removed]";
/// A shorter key is no secret, and would be found in the middle of other words.
const SHORTEST_KEY: usize = 8;
/// Escapes of escapes: so many backslashes, or so many `25` after a `%`.
const DEEPEST_ESCAPE: usize = 8;
/// Digits of a character's number, with zeros before it.
const LONGEST_NUMBER: usize = 8;
/// Bytes of a window: rare enough in an answer, and few enough that its spellings in upper and lower case stay few.
const WINDOW_BYTES: usize = 4;

/// Finds the key.
#[derive(Clone)]
pub(super) struct Blotter {
    needles: Vec<Needle>,
    /// Finds the windows of all needles; none where there is nothing to look for.
    windows: Option<AhoCorasick>,
    /// Where each letter stands in the needles, by its byte: most escapes in an answer mean a letter that none has.
    places: Vec<Vec<Place>>,
}

/// Where a letter stands.
#[derive(Clone, Copy)]
struct Place {
    /// In which needle, by its place among them.
    needle: usize,
    /// How many of the needle's letters stand before it.
    letters: usize,
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
    /// Where its window begins.
    window: usize,
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

    /// The letters that are taken for this one.
    fn spellings(self, wanted: u8) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(move |found| self.takes(wanted, *found))
    }
}

impl Blotter {
    /// A blotter for this key; of a key that is too short to be one it finds nothing.
    pub(super) fn new(key: &SecretString) -> Self {
        let key = key.expose_secret().as_bytes();
        if key.len() < SHORTEST_KEY {
            return Self { needles: Vec::new(), windows: None, places: Vec::new() };
        }
        let plain = std::iter::once(key.to_vec()).chain(numbers_of(key));
        let plain = plain.map(|text| Needle::new(text, Alphabet::Plain));
        // What stands before the key shifts its digits, in three ways.
        let packed = (0..3).map(|before| Needle::new(base64_inside(key, before), Alphabet::Base64));
        let needles: Vec<Needle> = plain.chain(packed).collect();
        let patterns = needles.iter().flat_map(Needle::window_spellings);
        // The automaton grows with the windows alone, so building it cannot fail; without it every place would be tried.
        let windows = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(patterns).ok();
        let places_of = |letter| {
            let in_needle = |(needle, of): (usize, &Needle)| {
                of.letters_before(letter).map(move |letters| Place { needle, letters }).collect::<Vec<_>>()
            };
            needles.iter().enumerate().flat_map(in_needle).collect()
        };
        let places = (0..=u8::MAX).map(places_of).collect();
        Self { needles, windows, places }
    }

    /// The body with a blot in place of every echo.
    pub(super) fn blot(&self, body: Vec<u8>) -> Vec<u8> {
        let echoes = self.find(&body);
        if echoes.is_empty() {
            return body;
        }
        let mut clean = Vec::with_capacity(body.len());
        let mut from = 0;
        for (start, end) in echoes {
            clean.extend_from_slice(body.get(from..start).unwrap_or_default());
            clean.extend_from_slice(BLOT);
            from = end;
        }
        clean.extend_from_slice(body.get(from..).unwrap_or_default());
        clean
    }

    /// Where echoes start and end: from the left, each as long as it can be, none within another.
    fn find(&self, body: &[u8]) -> Vec<(usize, usize)> {
        let mut echoes: Vec<(usize, usize)> = Vec::new();
        for start in self.candidates(body) {
            let is_inside = echoes.last().is_some_and(|(_, end)| start < *end);
            let ends = self.needles.iter().filter_map(|needle| needle.end_of_match(body, start));
            if let Some(end) = ends.max().filter(|_| !is_inside) {
                echoes.push((start, end));
            }
        }
        echoes
    }

    /// Every place at which an echo may start, in order; an echo starts nowhere else.
    fn candidates(&self, body: &[u8]) -> Vec<usize> {
        if self.needles.is_empty() {
            return Vec::new();
        }
        let Some(windows) = &self.windows else { return (0..body.len()).collect() };
        let mut candidates = Vec::new();
        let mut from = 0;
        while let Some(found) = windows.find(Input::new(body).range(from..)) {
            candidates.extend(self.needles.iter().filter_map(|needle| found.start().checked_sub(needle.window)));
            // Windows may overlap.
            from = found.start() + 1;
        }
        for escape in memchr::memchr3_iter(b'\\', b'%', b'&', body) {
            each_spelling(body, escape, |letter, end| {
                if end > escape + 1 {
                    candidates.extend(self.starts_before(body, escape, letter));
                }
            });
        }
        candidates.sort_unstable();
        candidates.dedup();
        candidates
    }

    /// Where an echo may start whose first escape is the one here, meaning `letter`.
    fn starts_before(&self, body: &[u8], escape: usize, letter: u8) -> impl Iterator<Item = usize> {
        let places = self.places.get(usize::from(letter)).into_iter().flatten();
        places.filter_map(move |place| {
            let start = escape.checked_sub(place.letters)?;
            let (needle, before) = (self.needles.get(place.needle)?, body.get(start..escape)?);
            // From the escape backwards: the letter right before it is another nearly always.
            let mut pairs = needle.text.get(..place.letters)?.iter().zip(before).rev();
            pairs.all(|(wanted, found)| needle.alphabet.takes(*wanted, *found)).then_some(start)
        })
    }
}

impl Needle {
    /// A needle whose window is the piece with the fewest spellings.
    fn new(text: Vec<u8>, alphabet: Alphabet) -> Self {
        let spellings =
            |piece: &[u8]| piece.iter().map(|letter| alphabet.spellings(*letter).count()).product::<usize>();
        let pieces = text.windows(WINDOW_BYTES).enumerate();
        let window = pieces.min_by_key(|(_, piece)| spellings(piece)).map_or(0, |(window, _)| window);
        Self { text, alphabet, window }
    }

    /// How many letters stand before each that this one is taken for.
    fn letters_before(&self, letter: u8) -> impl Iterator<Item = usize> {
        let is_taken = move |wanted: &u8| self.alphabet.takes(*wanted, letter);
        self.text.iter().enumerate().filter(move |(_, wanted)| is_taken(wanted)).map(|(letters, _)| letters)
    }

    /// Every spelling of the window without an escape.
    fn window_spellings(&self) -> Vec<Vec<u8>> {
        self.text.iter().skip(self.window).take(WINDOW_BYTES).fold(vec![Vec::new()], |spelled, letter| {
            let longer = |text: Vec<u8>| {
                self.alphabet.spellings(*letter).map(move |found| text.iter().copied().chain([found]).collect())
            };
            spelled.into_iter().flat_map(longer).collect()
        })
    }

    /// Where the needle ends that starts exactly here, however its letters are spelled.
    fn end_of_match(&self, body: &[u8], start: usize) -> Option<usize> {
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
                let Some(letter) = byte(after) else { continue };
                // Octal, as a shell and C write it; and a number in braces.
                if let Some(meant) = number(body, after, 3, 8) {
                    call(meant, after + 3);
                }
                if letter == b'u' && byte(after + 1) == Some(b'{') {
                    let is_closed = |length: &usize| byte(after + 2 + length) == Some(b'}');
                    for length in (1..=LONGEST_NUMBER).filter(is_closed) {
                        if let Some(meant) = number(body, after + 2, length, 16) {
                            call(meant, after + 3 + length);
                        }
                    }
                }
                let digits = match letter {
                    b'u' => 4,
                    b'x' => 2,
                    _ => 0,
                };
                // Nearly no escape has digits, so they are read of those alone.
                match (digits > 0).then(|| number(body, after + 1, digits, 16)).flatten() {
                    Some(meant) => call(meant, after + 1 + digits),
                    None => call(letter, after + 1),
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
                if let Some(letter) = number(body, digits + 1, 4, 16).filter(|_| byte(digits) == Some(b'u')) {
                    call(letter, digits + 5);
                }
            }
        }
        b'&' => {
            let rest = body.get(at..).unwrap_or_default();
            // In most texts it is the word "and".
            if !byte(at + 1).is_some_and(|next| next.is_ascii_alphabetic() || next == b'#') {
                return;
            }
            for (name, letter) in ENTITIES.iter().filter(|(name, _)| rest.starts_with(name)) {
                call(*letter, at + name.len());
            }
            let (digits, radix) = if rest.starts_with(b"&#x") || rest.starts_with(b"&#X") { (3, 16) } else { (2, 10) };
            if rest.starts_with(b"&#") {
                for length in (1..=LONGEST_NUMBER).filter(|length| byte(at + digits + length) == Some(b';')) {
                    if let Some(letter) = number(body, at + digits, length, radix) {
                        call(letter, at + digits + length + 1);
                    }
                }
            }
        }
        _ => {}
    }
}

/// The characters of ASCII that HTML has names for.
const ENTITIES: [(&[u8], u8); 43] = [
    (b"&amp;", b'&'),
    (b"&lt;", b'<'),
    (b"&gt;", b'>'),
    (b"&quot;", b'"'),
    (b"&apos;", b'\''),
    (b"&AMP;", b'&'),
    (b"&LT;", b'<'),
    (b"&GT;", b'>'),
    (b"&QUOT;", b'"'),
    (b"&excl;", b'!'),
    (b"&num;", b'#'),
    (b"&dollar;", b'$'),
    (b"&percnt;", b'%'),
    (b"&lpar;", b'('),
    (b"&rpar;", b')'),
    (b"&ast;", b'*'),
    (b"&midast;", b'*'),
    (b"&plus;", b'+'),
    (b"&comma;", b','),
    (b"&period;", b'.'),
    (b"&sol;", b'/'),
    (b"&colon;", b':'),
    (b"&semi;", b';'),
    (b"&equals;", b'='),
    (b"&quest;", b'?'),
    (b"&commat;", b'@'),
    (b"&lsqb;", b'['),
    (b"&lbrack;", b'['),
    (b"&bsol;", b'\\'),
    (b"&rsqb;", b']'),
    (b"&rbrack;", b']'),
    (b"&Hat;", b'^'),
    (b"&lowbar;", b'_'),
    (b"&UnderBar;", b'_'),
    (b"&grave;", b'`'),
    (b"&DiacriticalGrave;", b'`'),
    (b"&lcub;", b'{'),
    (b"&lbrace;", b'{'),
    (b"&verbar;", b'|'),
    (b"&vert;", b'|'),
    (b"&VerticalLine;", b'|'),
    (b"&rcub;", b'}'),
    (b"&rbrace;", b'}'),
];

/// The character whose number these digits are, where it is one byte.
fn number(body: &[u8], at: usize, length: usize, radix: u32) -> Option<u8> {
    let digits = body.get(at..at + length)?;
    // Nearly nothing behind an escape is a number, and most of that shows by its first letter.
    if !digits.first().is_some_and(|first| first.is_ascii_hexdigit() || *first == b'+') {
        return None;
    }
    let digits = std::str::from_utf8(digits).ok()?;
    u8::try_from(u32::from_str_radix(digits, radix).ok()?).ok()
}

/// The key's bytes as numbers: hexadecimal digits, also with something between, and decimal numbers in a list.
fn numbers_of(key: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let hexadecimal: Vec<String> = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let decimal: Vec<String> = key.iter().map(ToString::to_string).collect();
    let of_digits = ["", " ", ":", "-", ", 0x", ",0x", " 0x"].map(|between| hexadecimal.join(between));
    let of_numbers = [",", ", ", " "].map(|between| decimal.join(between));
    of_digits.into_iter().chain(of_numbers).map(String::into_bytes)
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
                key.bytes().map(|byte| format!("&#x{byte:06x};")).collect(),
                key.bytes().map(|byte| format!("&#{byte:05};")).collect(),
                key.replace('_', "&lowbar;").replace('/', "&sol;"),
                key.bytes().map(|byte| format!("%u{byte:04x}")).collect(),
                key.bytes().map(|byte| format!("\\u{{{byte:x}}}")).collect(),
                key.bytes().map(|byte| format!("\\{byte:03o}")).collect(),
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
    fn the_keys_bytes_are_found_as_numbers() {
        let key = "sk_live_4tV9qLmZ2x";
        let hex: Vec<String> = key.bytes().map(|byte| format!("{byte:02X}")).collect();
        let decimal: Vec<String> = key.bytes().map(|byte| byte.to_string()).collect();
        for spelling in [hex.join(" "), hex.join(":"), hex.join("-"), decimal.join(","), decimal.join(", ")] {
            assert_eq!(blotted(key, &format!("[{spelling}]")), "[[key removed]]", "{spelling}");
        }
        assert_eq!(blotted(key, &format!("0x{}", hex.join(", 0x"))), "0x[key removed]");
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

    /// A body of pieces of the key, escapes, and their beginnings.
    fn body_of_pieces() -> impl Strategy<Value = Vec<u8>> {
        let inner = in_json(ODD_KEY);
        let mut pieces: Vec<String> =
            ["\\", "%", "%25", "&", "&#", "&amp;", "\\u00", "\\x", "x", ""].map(str::to_owned).to_vec();
        for text in
            [ODD_KEY.to_owned(), inner, percent(ODD_KEY), html(ODD_KEY), ODD_KEY.to_uppercase(), base64(ODD_KEY)]
        {
            pieces.extend((0..4).map(|quarter| {
                let letters: Vec<char> = text.chars().collect();
                letters[quarter * letters.len() / 4..(quarter + 1) * letters.len() / 4].iter().collect()
            }));
            pieces.push(text);
        }
        prop::collection::vec(prop::sample::select(pieces), 0..8).prop_map(|pieces| pieces.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn looking_at_the_candidates_alone_finds_what_looking_everywhere_finds(body in body_of_pieces()) {
            let quick = Blotter::new(&SecretString::from(ODD_KEY));
            let thorough = Blotter { windows: None, ..quick.clone() };
            prop_assert_eq!(quick.find(&body), thorough.find(&body));
        }

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
