//! One JSON value as its column holds it, or the finding that the column cannot.
//!
//! The rule for "without loss": the column's value means what was sent. A number and the text of that number are the same value,
//! and so are `12`, `12.0` and `1.2e1`; how it was spelled (as text or number, leading zeros, trailing zeros of a fraction) is not kept. A
//! decimal fits where every digit of it does. Everything else, such as text in a count, the empty text in a flag, a count beyond
//! 64 bits, or an amount with more places than the column has, is a [`Fit::Misfit`]: null in the column and the original in
//! `_extra`. No number passes through a float. Pure.

use std::borrow::Cow;

use crate::api::lexer::{each_item, each_member};
use crate::api::number;
use crate::api::reply::repair_surrogates;
use crate::sink::columns::{DECIMAL_DIGITS, DECIMAL_PLACES};

/// What became of a value on its way into a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Fit<T> {
    /// It was null or missing: null in the column, nothing lost.
    Absent,
    /// The column holds it.
    Exact(T),
    /// The column holds it but for halves of surrogate pairs, which became U+FFFD: the original is kept beside it.
    Repaired(T),
    /// The column cannot hold it: null there, and the original is kept.
    Misfit,
}

impl<T> Fit<T> {
    fn and_then<U>(self, convert: impl FnOnce(T) -> Option<U>) -> Fit<U> {
        let repaired = matches!(self, Self::Repaired(_));
        match self {
            Self::Absent => Fit::Absent,
            Self::Misfit => Fit::Misfit,
            Self::Exact(value) | Self::Repaired(value) => Fit::from(convert(value), repaired),
        }
    }

    fn from(value: Option<T>, repaired: bool) -> Self {
        match value {
            Some(value) if repaired => Self::Repaired(value),
            Some(value) => Self::Exact(value),
            None => Self::Misfit,
        }
    }
}

/// A product category, as `product_category_list` holds them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Category {
    /// `category_id`.
    pub id: Option<String>,
    /// `category_name`.
    pub name: Option<String>,
}

/// A JSON text or number, as text; a number keeps its spelling.
pub fn text(raw: &str) -> Fit<Cow<'_, str>> {
    match raw.as_bytes().first() {
        Some(b'n') => Fit::Absent,
        Some(b'"') => string(raw),
        Some(b'-' | b'0'..=b'9') => Fit::Exact(Cow::Borrowed(raw)),
        _ => Fit::Misfit,
    }
}

/// A whole number, or the text of one.
pub fn whole(raw: &str) -> Fit<i64> {
    match few_digits(raw) {
        Some(number) => Fit::Exact(number),
        None => text(raw).and_then(|text| number::whole(&text)),
    }
}

/// The whole number that is spelled by nothing but digits, few enough to fit whatever they are, as a number or as a text: which nearly
/// all are.
fn few_digits(raw: &str) -> Option<i64> {
    let digits = within_quotes(raw).unwrap_or(raw).as_bytes();
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

/// A decimal number, or the text of one, as a whole number of its [`DECIMAL_PLACES`]th places: 19.9 is 199000.
pub fn decimal(raw: &str) -> Fit<i128> {
    match few_digits(raw) {
        Some(number) => Fit::from(places_of(number), false),
        None => text(raw).and_then(|text| number::scaled(&text, DECIMAL_PLACES, MOST_DIGITS)),
    }
}

/// A whole amount in the column's smallest places, where it has no more digits than the column.
fn places_of(number: i64) -> Option<i128> {
    let places = 10_i128.pow(u32::from(DECIMAL_PLACES.unsigned_abs()));
    Some(i128::from(number) * places).filter(|amount| *amount < 10_i128.pow(u32::from(DECIMAL_DIGITS)))
}

/// `true`, `false`, 1 or 0, or the text of one in either case.
pub fn flag(raw: &str) -> Fit<bool> {
    let value = match raw {
        "true" | "false" => Fit::Exact(Cow::Borrowed(raw)),
        _ => text(raw),
    };
    value.and_then(|text| match text.as_ref() {
        "1" => Some(true),
        "0" => Some(false),
        word if word.eq_ignore_ascii_case("true") => Some(true),
        word if word.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    })
}

/// A list of texts or whole numbers, or the JSON text of one.
pub fn text_list(raw: &str) -> Fit<Vec<String>> {
    list(raw, |item| match item.as_bytes().first() {
        Some(b'"') => text(item).and_then(|text| Some(text.into_owned())),
        _ if item.bytes().all(|byte| byte.is_ascii_digit()) => Fit::Exact(item.to_owned()),
        _ => Fit::Misfit,
    })
}

/// A list of categories with no other fields than the two that are known, or the JSON text of one.
pub fn category_list(raw: &str) -> Fit<Vec<Category>> {
    list(raw, category)
}

fn list<T>(raw: &str, item: impl Fn(&str) -> Fit<T>) -> Fit<Vec<T>> {
    // Most videos sell nothing, and of an empty list nothing is to be read.
    if within_quotes(raw).unwrap_or(raw) == "[]" {
        return Fit::Exact(Vec::new());
    }
    let (json, mut repaired) = match raw.as_bytes().first() {
        Some(b'n') => return Fit::Absent,
        Some(b'[') => (Cow::Borrowed(raw), false),
        _ => match string(raw) {
            Fit::Exact(text) => (text, false),
            Fit::Repaired(text) => (text, true),
            Fit::Absent | Fit::Misfit => return Fit::Misfit,
        },
    };
    let mut raw_items = Vec::new();
    if each_item(&json, |raw| raw_items.push(raw)).is_err() {
        return Fit::Misfit;
    }
    let mut items = Vec::with_capacity(raw_items.len());
    for raw_item in raw_items {
        match item(raw_item) {
            Fit::Exact(value) => items.push(value),
            Fit::Repaired(value) => {
                repaired = true;
                items.push(value);
            }
            Fit::Absent | Fit::Misfit => return Fit::Misfit,
        }
    }
    Fit::from(Some(items), repaired)
}

fn category(raw: &str) -> Fit<Category> {
    let (mut category, mut repaired, mut fits) = (Category::default(), false, true);
    let read = each_member(raw, |name, raw| {
        let slot = match name.as_ref() {
            "category_id" => &mut category.id,
            "category_name" => &mut category.name,
            _ => return fits = false,
        };
        let value = text(raw);
        repaired |= matches!(value, Fit::Repaired(_));
        match value {
            Fit::Exact(text) | Fit::Repaired(text) if slot.is_none() => *slot = Some(text.into_owned()),
            Fit::Absent => {}
            _ => fits = false,
        }
    });
    if read.is_ok() && fits { Fit::from(Some(category), repaired) } else { Fit::Misfit }
}

/// The content of a JSON string; borrowed where it holds no escape.
fn string(raw: &str) -> Fit<Cow<'_, str>> {
    let Some(inner) = within_quotes(raw) else { return Fit::Misfit };
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Fit::Exact(Cow::Borrowed(inner));
    }
    match serde_json::from_str::<String>(raw) {
        Ok(text) => Fit::Exact(Cow::Owned(text)),
        Err(_) => Fit::from(serde_json::from_str(&repair_surrogates(raw)).ok().map(Cow::Owned), true),
    }
}

/// What stands between the quotes that a text begins and ends with, by its bytes: every value of every row comes by here, and to strip
/// a character at either end takes a call each.
fn within_quotes(raw: &str) -> Option<&str> {
    match raw.as_bytes() {
        [b'"', .., b'"'] => raw.get(1..raw.len() - 1),
        _ => None,
    }
}

/// Digits that a decimal column holds.
const MOST_DIGITS: usize = DECIMAL_DIGITS as usize;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_takes_strings_and_the_spelling_of_numbers() {
        assert_eq!(text(r#""a\n\"b""#), Fit::Exact("a\n\"b".into()));
        assert_eq!(text("7590123280372190477"), Fit::Exact("7590123280372190477".into()));
        assert_eq!(text("null"), Fit::Absent);
        for odd in ["true", "{}", "[]"] {
            assert_eq!(text(odd), Fit::Misfit, "{odd}");
        }
    }

    #[test]
    fn a_lone_surrogate_is_repaired_and_says_so() {
        assert_eq!(text(r#""a\ud83d""#), Fit::Repaired("a\u{fffd}".into()));
        assert_eq!(text(r#""\ud83d\ude00""#), Fit::Exact("😀".into()));
        assert_eq!(text_list(r#""[\"\\ud83d\"]""#), Fit::Repaired(vec!["\u{fffd}".to_owned()]));
    }

    #[test]
    fn a_whole_number_may_be_spelled_in_many_ways() {
        for spelling in ["15", "\"15\"", "15.0", "\"15.00\"", "\"015\"", "1.5e1"] {
            assert_eq!(whole(spelling), Fit::Exact(15), "{spelling}");
        }
        assert_eq!(whole("-9223372036854775808"), Fit::Exact(i64::MIN));
        assert_eq!(whole("null"), Fit::Absent);
        let too_large = "1180591620717411303424";
        for odd in ["\"\"", "\"abc\"", "1.5", "1e-3", "\"+5\"", "\" 5\"", "\"5.\"", "\"-\"", "true", too_large] {
            assert_eq!(whole(odd), Fit::Misfit, "{odd}");
        }
    }

    #[test]
    fn a_decimal_fits_where_every_digit_does() {
        assert_eq!(decimal("19.9"), Fit::Exact(199_000));
        assert_eq!(decimal("\"2627.73\""), Fit::Exact(26_277_300));
        assert_eq!(decimal("-0.0001"), Fit::Exact(-1));
        assert_eq!(decimal("12.500000000000000000000"), Fit::Exact(125_000));
        assert_eq!(decimal("99999999999999.9999"), Fit::Exact(999_999_999_999_999_999));
        assert_eq!(decimal("-99999999999999.9999"), Fit::Exact(-999_999_999_999_999_999));
        for spelling in
            ["1234.5", "1.2345e3", "12345E-1", "\"01234.50\"", "12345000000000000000000e-19", "0.0012345e+6"]
        {
            assert_eq!(decimal(spelling), Fit::Exact(12_345_000), "{spelling}");
        }
        for zero in ["0", "-0", "0.000000000", "0e999999999999", "\"0.0\""] {
            assert_eq!(decimal(zero), Fit::Exact(0), "{zero}");
        }
        assert_eq!(decimal("null"), Fit::Absent);
        for odd in
            ["100000000000000", "0.00001", "99999999999999.99990001", "1e400", "1e-400", "1e99999999999999999999"]
        {
            assert_eq!(decimal(odd), Fit::Misfit, "{odd}");
        }
        for odd in [
            "\"inf\"", "\"NaN\"", "\"\"", "\" 5\"", "\"+5\"", "\"5.\"", "\".5\"", "\"1e\"", "\"1,5\"", "\"$5\"", "true",
        ] {
            assert_eq!(decimal(odd), Fit::Misfit, "{odd}");
        }
    }

    #[test]
    fn a_flag_is_a_truth_value_or_the_text_of_one() {
        for yes in ["true", "1", "\"true\"", "\"True\"", "\"1\""] {
            assert_eq!(flag(yes), Fit::Exact(true), "{yes}");
        }
        for no in ["false", "0", "\"false\"", "\"0\""] {
            assert_eq!(flag(no), Fit::Exact(false), "{no}");
        }
        for odd in ["\"\"", "2", "\"yes\"", "[]"] {
            assert_eq!(flag(odd), Fit::Misfit, "{odd}");
        }
        assert_eq!(flag("null"), Fit::Absent);
    }

    #[test]
    fn product_ids_beyond_a_double_keep_every_digit() {
        let ids = vec!["1732322694475518433".to_owned(), "7".to_owned()];
        assert_eq!(text_list(r#""[1732322694475518433, \"7\"]""#), Fit::Exact(ids.clone()));
        assert_eq!(text_list(r#"[1732322694475518433,"7"]"#), Fit::Exact(ids));
        assert_eq!(text_list(r#""[]""#), Fit::Exact(vec![]));
        assert_eq!(text_list("null"), Fit::Absent);
        for odd in [r#""""#, r#""null""#, r#""[1.5]""#, r#""[null]""#, r#""[[1]]""#, r#""x""#, "7", "{}"] {
            assert_eq!(text_list(odd), Fit::Misfit, "{odd}");
        }
    }

    #[test]
    fn categories_are_read_out_of_their_string() {
        let sent =
            r#""[{ \"category_name\":\"Beauty & Personal Care\",\"category_id\":\"601450\"},{\"category_id\":7}]""#;
        let named = Category { id: Some("601450".to_owned()), name: Some("Beauty & Personal Care".to_owned()) };
        let unnamed = Category { id: Some("7".to_owned()), name: None };
        assert_eq!(category_list(sent), Fit::Exact(vec![named, unnamed]));
        for odd in [r#""[{\"level\":1}]""#, r#""[7]""#, r#""[{\"category_id\":true}]""#, r#""{}""#] {
            assert_eq!(category_list(odd), Fit::Misfit, "{odd}");
        }
    }

    proptest! {
        #[test]
        fn every_64_bit_number_survives(number: i64) {
            prop_assert_eq!(whole(&number.to_string()), Fit::Exact(number));
            prop_assert_eq!(whole(&format!("\"{number}\"")), Fit::Exact(number));
        }

        #[test]
        fn every_text_survives(sent: String) {
            let raw = serde_json::to_string(&sent).unwrap();
            prop_assert_eq!(text(&raw), Fit::Exact(Cow::Owned(sent)));
        }

        #[test]
        fn every_amount_that_the_column_has_survives_in_each_spelling(
            amount in -999_999_999_999_999_999_i128..=999_999_999_999_999_999, zeros in 0_usize..30,
        ) {
            let sign = if amount < 0 { "-" } else { "" };
            let (whole, places) = (amount.unsigned_abs() / 10_000, amount.unsigned_abs() % 10_000);
            let plain = format!("{sign}{whole}.{places:04}{}", "0".repeat(zeros));
            prop_assert_eq!(decimal(&plain), Fit::Exact(amount));
            prop_assert_eq!(decimal(&format!("\"{plain}\"")), Fit::Exact(amount));
            let shifted = format!("{amount}{}e-{}", "0".repeat(zeros), zeros + 4);
            prop_assert_eq!(decimal(&shifted), Fit::Exact(amount));
        }

        #[test]
        fn nothing_that_comes_makes_a_conversion_fail_hard(raw: String) {
            let _ = (text(&raw), whole(&raw), decimal(&raw), flag(&raw), text_list(&raw), category_list(&raw));
        }
    }
}
