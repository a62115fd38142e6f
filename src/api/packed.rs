//! The rows of a page as they wait to be written: each value as its own JSON text, in the order of the documented fields.
//!
//! Pure. An answer is read once, when it comes, and what is kept of its usable rows is this: whoever writes them need not read JSON
//! again to find a value. Nothing of a row is lost but the space between its members and their order; a documented field that stands
//! twice keeps its last value, and the earlier ones stand among the other members.
//!
//! As bytes: the length of the text, the text, then for each row its numbers, preceded by how many bytes they take and how many
//! bytes of the text are the row's. A number is LEB128: seven bits a byte, the lowest first, the highest bit set where more follow. A
//! row's numbers: its second; the length of its `video_id`, which stands in quotes; for each documented field the length of its value
//! and one, or 0 where there is none, or 1 where it is the quoted `video_id`, letter by letter; how many other members there are; of
//! each the lengths of its name and its value. The texts stand in the same order.

use std::borrow::Cow;

use super::contract::SOURCE;
use super::identity::Identity;
use super::lexer::inside;
use crate::units::EpochSeconds;

/// In place of a value's length and one: there is none.
const ABSENT: u64 = 0;
/// In place of a value's length and one: it is the quoted `video_id`. No JSON value is empty, so no other is 1.
const SAME: u64 = 1;

/// Bytes of text that room is made for at once, at most.
const MOST_ROOM: usize = 64 << 10;
/// Bytes of numbers that a usual page has, at most.
const NUMBERS_ROOM: usize = 768;

/// The values of the documented fields of one row, each as JSON text, in the order of [`Source::fields`](super::contract::Source).
pub type Documented<'a> = [Option<&'a str>; SOURCE.fields.len()];

/// A row's members, sorted into the documented fields and all others.
#[derive(Clone, Debug)]
pub(super) struct Members<'a> {
    pub(super) documented: Documented<'a>,
    others: Vec<(Cow<'a, str>, &'a str)>,
}

impl Default for Members<'_> {
    fn default() -> Self {
        Self { documented: [None; SOURCE.fields.len()], others: Vec::new() }
    }
}

impl<'a> Members<'a> {
    /// Forgets those of the row before.
    pub(super) fn clear(&mut self) {
        self.documented = [None; SOURCE.fields.len()];
        self.others.clear();
    }

    /// Takes the value of a documented field.
    pub(super) fn set(&mut self, place: usize, raw: &'a str) {
        let Some(slot) = self.documented.get_mut(place) else { return };
        if let (Some(earlier), Some(name)) = (slot.replace(raw), SOURCE.fields.get(place)) {
            self.others.push((Cow::Borrowed(name), earlier));
        }
    }

    /// Takes a member that is none of the documented fields.
    pub(super) fn add(&mut self, name: Cow<'a, str>, raw: &'a str) {
        self.others.push((name, raw));
    }
}

/// The usable rows of a page, packed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackedRows {
    text: String,
    numbers: Vec<u8>,
    rows: Vec<Place>,
}

/// Where a row stands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// On its page, from 0; among the rows that were read back, from 0.
    index: u32,
    text: Span,
    numbers: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: usize,
    end: usize,
}

/// One packed row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedRow<'a> {
    /// `create_time`.
    pub second: EpochSeconds,
    /// `video_id`, as text.
    pub video_id: &'a str,
    /// The same in quotes.
    quoted: &'a str,
    /// The values, and how long they are.
    text: &'a str,
    numbers: &'a [u8],
}

/// The members of a packed row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnpackedRow<'a> {
    /// The documented fields.
    pub documented: Documented<'a>,
    /// All others, in the order that they came, each with its name.
    pub others: Vec<(&'a str, &'a str)>,
}

impl PackedRows {
    /// None yet, with room for the rows of a page whose JSON has so many bytes.
    pub(super) fn with_room(json: usize) -> Self {
        let text = String::with_capacity(json.min(MOST_ROOM));
        Self { text, numbers: Vec::with_capacity(NUMBERS_ROOM), rows: Vec::with_capacity(SOURCE.page_size as usize) }
    }

    /// Adds a row with its place on the page; rows come in the order of their places.
    pub(super) fn push(&mut self, index: u32, identity: &Identity, members: &Members<'_>) {
        let (text, numbers) = (self.text.len(), self.numbers.len());
        self.number(identity.second.get().unsigned_abs());
        self.number(identity.video_id.len() as u64);
        let quoted = self.text.len();
        self.text.extend(["\"", &identity.video_id, "\""]);
        let quoted = Span { start: quoted, end: self.text.len() };
        for (value, place) in members.documented.into_iter().zip(0..) {
            match value {
                Some(raw) if place == SOURCE.id && self.text.get(quoted.start..quoted.end) == Some(raw) => {
                    self.number(SAME)
                }
                Some(raw) => self.texts(1, raw),
                None => self.number(ABSENT),
            }
        }
        self.number(members.others.len() as u64);
        for (name, raw) in &members.others {
            self.texts(0, name);
            self.texts(0, raw);
        }
        let text = Span { start: text, end: self.text.len() };
        let numbers = Span { start: numbers, end: self.numbers.len() };
        self.rows.push(Place { index, text, numbers });
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The row of that place among these; none behind the last, and where what was read back is no row.
    pub fn get(&self, place: usize) -> Option<PackedRow<'_>> {
        let place = self.rows.get(place)?;
        let text = self.text.get(place.text.start..place.text.end)?;
        let numbers = self.numbers.get(place.numbers.start..place.numbers.end)?;
        PackedRow::read(text, numbers)
    }

    /// The rows with these places on the page, which ascend, as bytes.
    pub fn encode(&self, places: &[u32]) -> Vec<u8> {
        let kept: Vec<&Place> = self.rows.iter().filter(|row| places.binary_search(&row.index).is_ok()).collect();
        let bytes: usize = kept.iter().map(|row| row.text.length()).sum();
        let mut encoded = Vec::with_capacity(bytes + self.numbers.len() + 4 * kept.len() + 8);
        write(&mut encoded, bytes as u64);
        for row in &kept {
            encoded.extend_from_slice(self.text.get(row.text.start..row.text.end).unwrap_or_default().as_bytes());
        }
        for row in &kept {
            let numbers = self.numbers.get(row.numbers.start..row.numbers.end).unwrap_or_default();
            write(&mut encoded, numbers.len() as u64);
            write(&mut encoded, row.text.length() as u64);
            encoded.extend_from_slice(numbers);
        }
        encoded
    }

    /// All rows, as bytes.
    pub fn encode_all(&self) -> Vec<u8> {
        self.encode(&self.rows.iter().map(|row| row.index).collect::<Vec<_>>())
    }

    /// Reads rows back; none where the bytes are not whole rows.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Numbers { bytes, at: 0 };
        let text = reader.length()?;
        let start = reader.at;
        let text = std::str::from_utf8(bytes.get(start..start.checked_add(text)?)?).ok()?;
        let numbers = bytes.get(start + text.len()..)?;
        let mut reader = Numbers { bytes: numbers, at: 0 };
        let (mut rows, mut from) = (Vec::new(), 0_usize);
        while reader.at < numbers.len() {
            let (length, text) = (reader.length()?, reader.length()?);
            let end = reader.at.checked_add(length).filter(|end| *end <= numbers.len())?;
            let text = Span { start: from, end: from.checked_add(text)? };
            let index = u32::try_from(rows.len()).ok()?;
            rows.push(Place { index, text, numbers: Span { start: reader.at, end } });
            (reader.at, from) = (end, text.end);
        }
        let rows = Self { text: text.to_owned(), numbers: numbers.to_owned(), rows };
        let is_whole = from == rows.text.len() && (0..rows.len()).all(|place| rows.get(place).is_some());
        is_whole.then_some(rows)
    }

    fn number(&mut self, number: u64) {
        write(&mut self.numbers, number);
    }

    fn texts(&mut self, more: u64, text: &str) {
        self.number(text.len() as u64 + more);
        self.text.push_str(text);
    }
}

impl<'a> PackedRow<'a> {
    fn read(text: &'a str, numbers: &'a [u8]) -> Option<Self> {
        let mut reader = Numbers { bytes: numbers, at: 0 };
        let second = EpochSeconds::new(i64::try_from(reader.next()?).ok()?);
        let quoted = text.get(..reader.length()?.checked_add(2)?)?;
        let (text, numbers) = (text.get(quoted.len()..)?, numbers.get(reader.at..)?);
        Some(Self { second, video_id: inside(quoted), quoted, text, numbers })
    }

    /// Bytes of its text.
    pub const fn bytes(&self) -> usize {
        self.quoted.len() + self.text.len()
    }

    /// Its members; none where what was read back is no row.
    pub fn unpack(&self) -> Option<UnpackedRow<'a>> {
        let mut numbers = Numbers { bytes: self.numbers, at: 0 };
        let mut texts = Texts { text: self.text, at: 0 };
        let mut documented = [None; SOURCE.fields.len()];
        for value in &mut documented {
            *value = match numbers.next()? {
                ABSENT => None,
                SAME => Some(self.quoted),
                longer => Some(texts.next(usize::try_from(longer - 1).ok()?)?),
            };
        }
        let mut others = Vec::new();
        for _ in 0..numbers.length()? {
            others.push((texts.next(numbers.length()?)?, texts.next(numbers.length()?)?));
        }
        Some(UnpackedRow { documented, others })
    }
}

impl Span {
    const fn length(self) -> usize {
        self.end - self.start
    }
}

/// Numbers, read one after the other.
struct Numbers<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Numbers<'_> {
    fn next(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(self.next()?).ok()
    }
}

fn write(numbers: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        numbers.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    numbers.push(number as u8);
}

/// Texts, read one after the other.
struct Texts<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Texts<'a> {
    fn next(&mut self, length: usize) -> Option<&'a str> {
        let end = self.at.checked_add(length)?;
        let text = self.text.get(self.at..end)?;
        self.at = end;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::envelope::envelope;

    fn packed(rows: &[&str]) -> PackedRows {
        envelope(&format!(r#"{{"code":0,"data":[{}]}}"#, rows.join(","))).unwrap().packed
    }

    #[test]
    fn the_fields_of_an_identity_stand_where_they_are_looked_for() {
        let names = [SOURCE.time, SOURCE.region, SOURCE.id].map(|place| SOURCE.fields[place]);
        assert_eq!(names, ["create_time", "region", "video_id"]);
    }

    #[test]
    fn rows_come_back_with_every_member() {
        let rows = packed(&[
            r#"{"create_time":"5","video_id":"7","video_desc":"a\"b","new":[1, 2],"ratio":"1","ratio":"2"}"#,
            "null",
            r#"{"create_time":6,"video_id":8,"duration":null}"#,
        ]);
        let back = PackedRows::decode(&rows.encode(&[0, 2])).unwrap();
        assert_eq!(back.len(), 2);
        let first = back.get(0).unwrap();
        assert_eq!((first.second.get(), first.video_id), (5, "7"));
        let UnpackedRow { documented, others } = first.unpack().unwrap();
        let of = |name: &str| documented[SOURCE.fields.iter().position(|field| *field == name).unwrap()];
        assert_eq!(
            (of("video_desc"), of("create_time"), of("ratio")),
            (Some(r#""a\"b""#), Some("\"5\""), Some("\"2\""))
        );
        assert_eq!((of("duration"), &others[..]), (None, &[("new", "[1, 2]"), ("ratio", "\"1\"")][..]));
        let second = back.get(1).unwrap();
        assert_eq!((second.second.get(), second.video_id), (6, "8"));
        assert_eq!(second.unpack().unwrap().documented[4], Some("null"));
        assert!(back.get(2).is_none());
    }

    #[test]
    fn only_the_wanted_rows_are_kept() {
        let row = |id: u32| format!(r#"{{"create_time":5,"video_id":"{id}"}}"#);
        let all: Vec<String> = (0..5).map(row).collect();
        let rows = packed(&all.iter().map(String::as_str).collect::<Vec<_>>());
        let ids = |places: &[u32]| {
            let back = PackedRows::decode(&rows.encode(places)).unwrap();
            (0..back.len()).map(|place| back.get(place).unwrap().video_id.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(ids(&[1, 4]), ["1", "4"]);
        assert_eq!(ids(&[0, 1, 2, 3, 4]).len(), 5);
        assert!(ids(&[]).is_empty());
        // A place without a usable row costs no other.
        assert_eq!(ids(&[3, 9]), ["3"]);
    }

    #[test]
    fn bytes_that_are_cut_or_too_long_are_no_rows() {
        let bytes = packed(&[r#"{"create_time":5,"video_id":" 7 ","new":"ä"}"#]).encode(&[0]);
        assert!(PackedRows::decode(&bytes).is_some());
        for length in 0..bytes.len() {
            assert!(PackedRows::decode(&bytes[..length]).is_none(), "{length}");
        }
        assert!(PackedRows::decode(&[&bytes[..], &[0, 0]].concat()).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes: Vec<u8>) {
            let rows = PackedRows::decode(&bytes);
            prop_assert!(rows.is_none_or(|rows| (0..rows.len()).all(|place| rows.get(place).is_some())));
        }

        #[test]
        fn numbers_come_back(numbers: Vec<u64>) {
            let mut bytes = Vec::new();
            numbers.iter().for_each(|number| write(&mut bytes, *number));
            let mut reader = Numbers { bytes: &bytes, at: 0 };
            let back: Option<Vec<u64>> = numbers.iter().map(|_| reader.next()).collect();
            prop_assert_eq!(back, Some(numbers));
            prop_assert_eq!(reader.next(), None);
        }
    }
}
