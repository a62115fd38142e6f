//! The values that people write in a flag, a variable or the file: `10s`, `64MiB`, `auto`.
//!
//! Each is read from text or refused with what would be right, and prints itself so that it can be read again.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::redact::quoted;
use crate::units::ByteCount;

/// The slowest rate that can be asked for, requests a second: one in ten seconds.
pub const SLOWEST_RATE: f64 = 0.1;
/// The fastest, which no service allows.
const FASTEST_RATE: f64 = 1_000_000.0;

/// A written value that has no meaning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not a length of time.
    #[error("`{}` is not a length of time; write a whole number and ms, s, m, h or d, such as 15m", quoted(.0))]
    Duration(String),
    /// Not a size.
    #[error("`{}` is not a size; write a whole number and B, KiB, MiB or GiB, such as 64MiB", quoted(.0))]
    Bytes(String),
    /// Not a rate.
    #[error("`{}` is not a rate; write auto, or requests a second, at least {SLOWEST_RATE}, such as 12.5", quoted(.0))]
    Qps(String),
    /// None of a few words.
    #[error("`{}` is not one of {choices}", quoted(text))]
    Choice {
        /// What was written.
        text: String,
        /// The words that have a meaning.
        choices: String,
    },
    /// Not a moment.
    #[error("`{}` is not a moment: {why}", quoted(text))]
    Time {
        /// What was written.
        text: String,
        /// What is wrong with it and what would be right.
        why: &'static str,
    },
}

/// What TOML or the environment may hold where a person's text is meant.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected text or a number")]
enum Written {
    Whole(i64),
    Real(f64),
    Text(String),
}

/// Reads a value from text or from a bare number, which is taken as if it had been written as text.
///
/// # Errors
/// Whatever the value's own reading says.
pub(crate) fn written<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Written::deserialize(deserializer)? {
        Written::Whole(number) => number.to_string(),
        Written::Real(number) => number.to_string(),
        Written::Text(text) => text,
    })
}

/// Reads and writes a type through its text.
macro_rules! through_text {
    ($name:ty) => {
        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        $crate::config::value::reading_through_text!($name);
    };
}
pub(crate) use through_text;

/// Reads a type through its text.
macro_rules! reading_through_text {
    ($name:ty) => {
        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::config::value::written(deserializer)?.parse().map_err(::serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use reading_through_text;

/// Reads and writes a choice by the names that its flag has.
macro_rules! through_choices {
    ($name:ty) => {
        impl ::std::str::FromStr for $name {
            type Err = $crate::config::value::ValueError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                <Self as ::clap::ValueEnum>::from_str(text, false).map_err(|_| {
                    $crate::config::value::ValueError::Choice {
                        text: text.to_owned(),
                        choices: $crate::config::value::names(<Self as ::clap::ValueEnum>::value_variants()),
                    }
                })
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                formatter.write_str(&$crate::config::value::names(&[*self]))
            }
        }

        $crate::config::value::through_text!($name);
    };
}
pub(crate) use through_choices;

/// The names of some choices, with commas.
pub(crate) fn names(choices: &[impl ValueEnum]) -> String {
    let named = choices.iter().filter_map(ValueEnum::to_possible_value);
    named.map(|value| value.get_name().to_owned()).collect::<Vec<_>>().join(", ")
}

/// A length of time as people write it: one whole number and one of `ms`, `s`, `m`, `h`, `d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanDuration(Duration);

const DURATION_UNITS_MS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl HumanDuration {
    /// So many whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The plain length.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for HumanDuration {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        amount(text, &DURATION_UNITS_MS)
            .map(|total_ms| Self(Duration::from_millis(total_ms)))
            .ok_or_else(|| ValueError::Duration(text.to_owned()))
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total_ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        write_amount(formatter, total_ms, &DURATION_UNITS_MS)
    }
}

through_text!(HumanDuration);

/// A size as people write it: one whole number and one of `B`, `KiB`, `MiB`, `GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanBytes(ByteCount);

const BYTE_UNITS: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

impl HumanBytes {
    /// So many mebibytes.
    pub const fn from_mebibytes(count: u64) -> Self {
        Self(ByteCount::new(count.saturating_mul(1 << 20)))
    }

    /// The plain size.
    pub const fn get(self) -> ByteCount {
        self.0
    }
}

impl FromStr for HumanBytes {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        amount(text, &BYTE_UNITS)
            .map(|bytes| Self(ByteCount::new(bytes)))
            .ok_or_else(|| ValueError::Bytes(text.to_owned()))
    }
}

impl fmt::Display for HumanBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.get() {
            0 => formatter.write_str("0B"),
            bytes => write_amount(formatter, bytes, &BYTE_UNITS),
        }
    }
}

through_text!(HumanBytes);

/// How many requests a second may be sent, over all workers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Qps {
    /// Learn the limit while running.
    Auto,
    /// At most so many a second; finite and at least [`SLOWEST_RATE`].
    PerSecond(f64),
}

impl FromStr for Qps {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text == "auto" {
            return Ok(Self::Auto);
        }
        match text.parse::<f64>() {
            Ok(rate) if (SLOWEST_RATE..=FASTEST_RATE).contains(&rate) => Ok(Self::PerSecond(rate)),
            _ => Err(ValueError::Qps(text.to_owned())),
        }
    }
}

impl fmt::Display for Qps {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => formatter.write_str("auto"),
            Self::PerSecond(rate) => write!(formatter, "{rate}"),
        }
    }
}

impl Serialize for Qps {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::PerSecond(rate) => serializer.serialize_f64(*rate),
        }
    }
}

reading_through_text!(Qps);

/// The whole number before the unit times the unit's size; none where either cannot be read or the product is too large.
fn amount(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits_end = text.find(|character: char| !character.is_ascii_digit())?;
    let (digits, unit) = text.split_at_checked(digits_end)?;
    let (_, size) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    digits.parse::<u64>().ok()?.checked_mul(*size)
}

/// Prints an amount in the largest unit that holds it as a whole number.
fn write_amount(formatter: &mut fmt::Formatter<'_>, total: u64, units: &[(&str, u64)]) -> fmt::Result {
    let fits = |size: u64| total >= size && total.is_multiple_of(size);
    match units.iter().rev().find(|(_, size)| fits(*size)) {
        Some((name, size)) => write!(formatter, "{}{name}", total / size),
        None => write!(formatter, "0{}", units.get(1).or(units.first()).map_or("", |(name, _)| name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_told_in_the_smallest_unit() {
        assert_eq!("0MiB".parse::<HumanBytes>().unwrap().to_string(), "0B");
    }

    #[test]
    fn lengths_and_sizes_print_as_they_are_best_read() {
        for text in ["250ms", "10s", "15m", "1h", "2d"] {
            assert_eq!(text.parse::<HumanDuration>().unwrap().to_string(), text);
        }
        for text in ["7B", "64KiB", "256MiB", "1GiB"] {
            assert_eq!(text.parse::<HumanBytes>().unwrap().to_string(), text);
        }
        assert_eq!("90s".parse::<HumanDuration>().unwrap().to_string(), "90s");
        assert_eq!("1024 KiB".parse::<HumanBytes>().unwrap(), HumanBytes::from_mebibytes(1));
        assert_eq!("0s".parse::<HumanDuration>().unwrap().to_string(), "0s");
    }

    #[test]
    fn a_value_without_its_unit_is_refused_with_an_example() {
        for text in ["", "10", "s", "1.5h", "-3s", "10 parsecs", "99999999999999999999d"] {
            assert!(text.parse::<HumanDuration>().is_err(), "{text}");
        }
        assert_eq!(
            "10".parse::<HumanDuration>().unwrap_err().to_string(),
            "`10` is not a length of time; write a whole number and ms, s, m, h or d, such as 15m"
        );
        assert_eq!(
            "64MB".parse::<HumanBytes>().unwrap_err().to_string(),
            "`64MB` is not a size; write a whole number and B, KiB, MiB or GiB, such as 64MiB"
        );
    }

    #[test]
    fn a_rate_is_auto_or_at_least_one_in_ten_seconds() {
        assert_eq!("auto".parse(), Ok(Qps::Auto));
        assert_eq!("12.5".parse(), Ok(Qps::PerSecond(12.5)));
        assert_eq!("0.1".parse(), Ok(Qps::PerSecond(0.1)));
        for text in ["0", "0.09", "1e-300", "-1", "NaN", "inf", "1e300", "fast"] {
            assert!(text.parse::<Qps>().is_err(), "{text}");
        }
    }
}
