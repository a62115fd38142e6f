//! A moment as a person writes it, kept as written: `-7d` stays `-7d` in the question and is resolved for each run.
//!
//! Pure: the moment of the run comes in as an argument.

use std::fmt;
use std::str::FromStr;

use crate::config::value::{ValueError, through_text};
use crate::units::{DAY_SECONDS, EpochSeconds};

/// A moment: RFC 3339, a date (its midnight UTC), epoch seconds, `now`, or relative to now such as `-7d` or `now-12h`.
///
/// Two are equal when they are written alike, because the text is part of the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeSpec {
    text: String,
    meaning: Meaning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    At(EpochSeconds),
    /// Midnight UTC, so many days before the midnight that began today.
    MidnightDaysAgo(u32),
    /// So many seconds before the moment itself.
    SecondsAgo(u32),
}

const EXAMPLES: &str = "write a date (2026-01-01), RFC 3339 (2026-01-01T06:30:00Z), epoch seconds (1767225600), now, \
                        or a time before now (-7d, -12h, now-1d)";
const RELATIVE: &str = "a time before now is a whole number and d, h, m or s, such as -7d, -12h or now-1d";
const TOO_FEW_DIGITS: &str = "as epoch seconds it would lie near 1970; write a date as 2026-01-01";
const TOO_MANY_DIGITS: &str = "it is too large for epoch seconds; milliseconds must be divided by 1000";
const FAR_OFFSET: &str = "its offset from UTC is a day or more; write it as in 2026-01-01T06:30:00+08:00";
const NO_OFFSET: &str = "it has no offset from UTC; add Z for UTC, as in 2026-01-01T06:30:00Z";
const TOO_EARLY: &str =
    "it lies before 1970, and no video is so old; look at its year again, which is written as in 2026-01-01";
const FRACTION: &str = "the service knows whole seconds only; leave the fraction out";

/// Epoch seconds below this (1973-03-03) are taken for a mistyped date, 0 excepted.
const FIRST_PLAUSIBLE_SECOND: i64 = 100_000_000;

impl TimeSpec {
    /// The moment itself, written `now`.
    pub fn now() -> Self {
        Self { text: "now".to_owned(), meaning: Meaning::SecondsAgo(0) }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether what is meant moves with the moment of the run.
    pub const fn is_relative(&self) -> bool {
        !matches!(self.meaning, Meaning::At(_))
    }

    /// Whether it is the same second whenever on one day of UTC a run begins: it is absolute, or counts whole days.
    pub const fn is_the_same_all_day(&self) -> bool {
        !matches!(self.meaning, Meaning::SecondsAgo(_))
    }

    /// The second that is meant by a run that begins at `now`.
    ///
    /// Whole days resolve to midnight UTC: `-7d` is the midnight seven days before the one that began today, so that a
    /// daily job asks for whole days. Hours, minutes and seconds count from `now` itself. Saturates.
    pub fn resolve(&self, now: EpochSeconds) -> EpochSeconds {
        match self.meaning {
            Meaning::At(second) => second,
            Meaning::MidnightDaysAgo(days) => now.day_start().shifted(-i64::from(days) * DAY_SECONDS),
            Meaning::SecondsAgo(seconds) => now.shifted(-i64::from(seconds)),
        }
    }
}

impl FromStr for TimeSpec {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let meaning = meaning_of(text).map_err(|why| ValueError::Time { text: text.to_owned(), why })?;
        Ok(Self { text: text.to_owned(), meaning })
    }
}

impl fmt::Display for TimeSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

through_text!(TimeSpec);

fn meaning_of(text: &str) -> Result<Meaning, &'static str> {
    let relative = text.strip_prefix("now").unwrap_or(text);
    if relative.is_empty() && !text.is_empty() {
        return Ok(Meaning::SecondsAgo(0));
    }
    if let Some(amount) = relative.strip_prefix('-') {
        return before_now(amount);
    }
    if text.starts_with("now") {
        return Err(RELATIVE);
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return epoch_seconds(text);
    }
    calendar(text)
}

fn before_now(amount: &str) -> Result<Meaning, &'static str> {
    let (digits, unit) = amount.split_at_checked(amount.len().saturating_sub(1)).ok_or(RELATIVE)?;
    let digits_only = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse::<u32>().ok().filter(|_| digits_only).ok_or(RELATIVE)?;
    let seconds = |size: u32| number.checked_mul(size).map(Meaning::SecondsAgo).ok_or(RELATIVE);
    match unit {
        "d" => Ok(Meaning::MidnightDaysAgo(number)),
        "h" => seconds(3_600),
        "m" => seconds(60),
        "s" => seconds(1),
        _ => Err(RELATIVE),
    }
}

fn epoch_seconds(digits: &str) -> Result<Meaning, &'static str> {
    let seconds = digits.parse::<i64>().map_err(|_| TOO_MANY_DIGITS)?;
    if seconds > EpochSeconds::MAX.get() {
        return Err(TOO_MANY_DIGITS);
    }
    if seconds != 0 && seconds < FIRST_PLAUSIBLE_SECOND {
        return Err(TOO_FEW_DIGITS);
    }
    Ok(Meaning::At(EpochSeconds::new(seconds)))
}

/// No place on earth is a day ahead of UTC, or behind it.
const MOST_OFFSET_S: i32 = 86_399;

fn calendar(text: &str) -> Result<Meaning, &'static str> {
    let offset = jiff::fmt::temporal::Pieces::parse(text).ok().and_then(|pieces| pieces.to_numeric_offset());
    if offset.is_some_and(|offset| offset.seconds().abs() > MOST_OFFSET_S) {
        return Err(FAR_OFFSET);
    }
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return if moment.subsec_nanosecond() == 0 { since_1970(moment.as_second()) } else { Err(FRACTION) };
    }
    let written = jiff::fmt::temporal::Pieces::parse(text).map_err(|_| EXAMPLES)?;
    match (written.time(), written.to_numeric_offset()) {
        (Some(_), None) => Err(NO_OFFSET),
        (Some(_), Some(_)) => beyond_the_clock(written.date()),
        (None, _) => midnight_of(written.date()),
    }
}

fn midnight_of(date: jiff::civil::Date) -> Result<Meaning, &'static str> {
    match date.to_zoned(jiff::tz::TimeZone::UTC) {
        Ok(midnight) => since_1970(midnight.timestamp().as_second()),
        Err(_) => beyond_the_clock(date),
    }
}

fn since_1970(second: i64) -> Result<Meaning, &'static str> {
    if second < 0 { Err(TOO_EARLY) } else { Ok(Meaning::At(EpochSeconds::new(second))) }
}

/// The calendar's last hours lie beyond the last second that the clock has: they mean that one.
fn beyond_the_clock(date: jiff::civil::Date) -> Result<Meaning, &'static str> {
    if date.year() < 1970 { Err(TOO_EARLY) } else { Ok(Meaning::At(EpochSeconds::MAX)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-03-10T15:20:30Z.
    const NOW: EpochSeconds = EpochSeconds::new(1_773_156_030);

    fn resolved(text: &str) -> String {
        text.parse::<TimeSpec>().unwrap().resolve(NOW).to_string()
    }

    fn refusal(text: &str) -> String {
        text.parse::<TimeSpec>().unwrap_err().to_string()
    }

    #[test]
    fn no_offset_is_a_day() {
        assert!("2026-01-01T06:30:00+25:00".parse::<TimeSpec>().unwrap_err().to_string().contains("a day or more"));
        assert!("2026-01-01T06:30:00+14:00".parse::<TimeSpec>().is_ok());
    }

    #[test]
    fn absolute_moments_do_not_depend_on_now() {
        assert_eq!(resolved("2026-01-01"), "2026-01-01T00:00:00Z");
        assert_eq!(resolved("2026-01-01T06:30:00Z"), "2026-01-01T06:30:00Z");
        assert_eq!(resolved("2026-01-01T06:30:00+02:00"), "2026-01-01T04:30:00Z");
        assert_eq!(resolved("1767225600"), "2026-01-01T00:00:00Z");
        assert_eq!(resolved("0"), "1970-01-01T00:00:00Z");
        assert_eq!(resolved("1970-01-01"), "1970-01-01T00:00:00Z");
        for last in ["9999-12-31", "9999-12-31T23:59:59Z", "9999-12-31T00:00:00-05:00"] {
            assert_eq!(last.parse::<TimeSpec>().unwrap().resolve(NOW), EpochSeconds::MAX, "{last}");
        }
    }

    #[test]
    fn relative_days_resolve_to_midnight_and_shorter_times_count_from_now() {
        assert_eq!(resolved("now"), "2026-03-10T15:20:30Z");
        assert_eq!(resolved("-0d"), "2026-03-10T00:00:00Z");
        assert_eq!(resolved("-7d"), "2026-03-03T00:00:00Z");
        assert_eq!(resolved("now-1d"), "2026-03-09T00:00:00Z");
        assert_eq!(resolved("-12h"), "2026-03-10T03:20:30Z");
        assert_eq!(resolved("now-90s"), "2026-03-10T15:19:00Z");
    }

    #[test]
    fn the_text_is_kept_as_written() {
        assert_eq!(" -7d ".parse::<TimeSpec>().unwrap().as_str(), "-7d");
        assert_ne!("-1d".parse::<TimeSpec>().unwrap(), "now-1d".parse::<TimeSpec>().unwrap());
    }

    #[test]
    fn a_refusal_names_the_input_and_says_what_would_be_right() {
        let relative = "a time before now is a whole number and d, h, m or s, such as -7d, -12h or now-1d";
        for text in ["-7", "-d", "-7w", "now+1d", "nowadays", "-1.5h", "-+7d", "-"] {
            assert_eq!(refusal(text), format!("`{text}` is not a moment: {relative}"));
        }
        for text in ["2026", "20260101"] {
            assert!(refusal(text).contains("near 1970"), "{text}");
        }
        assert!(refusal("1767225600000").contains("divided by 1000"));
        assert!(refusal("2026-01-01T06:30:00").contains("add Z"));
        assert!(refusal("2026-01-01T06:30:00.5Z").contains("whole seconds"));
        for text in ["0205-12-01", "1969-12-31", "1969-12-31T23:59:59Z", "0000-01-01T00:00:00Z"] {
            assert!(refusal(text).contains("look at its year again"), "{text}");
        }
        for text in ["", "yesterday", "2026-13-01", "01/02/2026"] {
            assert!(refusal(text).contains("write a date"), "{text}");
        }
    }
}
