//! The members of a JSON object one by one, each value as its own text: no declared type, no limit on names, nothing copied.
//!
//! Pure. A name that stands twice is seen twice; what that means is the caller's to say.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Shows `see` every member of the JSON object `json`, in the order that they came.
///
/// # Errors
/// Where `json` is not one JSON object; some members may have been seen by then.
pub fn each_member<'a>(json: &'a str, see: impl FnMut(Cow<'a, str>, &'a RawValue)) -> Result<(), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(json);
    Each(see).deserialize(&mut reader)?;
    reader.end()
}

struct Each<F>(F);

#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de, F: FnMut(Cow<'de, str>, &'de RawValue)> DeserializeSeed<'de> for Each<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(Cow<'de, str>, &'de RawValue)> Visitor<'de> for Each<F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'de>>(mut self, mut members: M) -> Result<(), M::Error> {
        while let Some((Name(name), value)) = members.next_entry()? {
            (self.0)(name, value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_is_seen_in_its_order_and_repeated_names_too() {
        let mut seen = Vec::new();
        each_member(r#"{"a":1,"b":[ 2 ],"a":null}"#, |name, value| seen.push((name.into_owned(), value.get())))
            .unwrap();
        assert_eq!(seen, [("a".to_owned(), "1"), ("b".to_owned(), "[ 2 ]"), ("a".to_owned(), "null")]);
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        for json in ["", "[]", "null", "7", "\"a\"", "{", "{\"a\":1} {}"] {
            assert!(each_member(json, |_, _| {}).is_err(), "{json}");
        }
    }
}
