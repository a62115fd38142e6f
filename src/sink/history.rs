//! How many rows days had, how old the newest row was, and which fields had values, over the runs of an output: what a later run is held
//! against. Pure.
//!
//! Nothing here fails a run. A service that is refreshed on the day after (T+1, documented) shows fewer rows of a day the sooner it is
//! asked, so days are compared with days that were as old when they were read: the same days of the week, of earlier runs.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::api::contract::Region;
use crate::units::{DAY_SECONDS, EpochSeconds, TimeRange};

/// Days of a region that are remembered: twelve of each day of the week.
const MOST_DAYS: usize = 84;
/// Runs of a region whose newest row is remembered.
const MOST_RUNS: usize = 30;
/// A day that was read so many days after its end, or later, is as old as it will be.
const OLDEST: i64 = 3;
/// Former days of the same kind, at the least: fewer tell no usual number.
const LEAST_DAYS: usize = 3;
/// Former runs, at the least, before a usual age is known.
const LEAST_RUNS: usize = 4;
/// A usual number of rows below which chance alone makes large differences.
const LEAST_ROWS: u64 = 50;
/// The share of the usual rows that is far fewer.
const FAR_FEWER: f64 = 0.5;
/// How much older than usual the newest row must be at least, seconds, beside twice as old.
const MUCH_OLDER_S: i64 = 6 * 3_600;
/// Values of a field that are expected in a run's rows, at the least, before it is told that there is none: fewer may lack by chance.
const LEAST_VALUES: u64 = 30;
/// In how many rows of a million a share is kept.
const MILLION: u64 = 1_000_000;
/// Warnings of a run that are told, at most.
const MOST_WARNINGS: usize = 20;

/// What is remembered of all regions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History(BTreeMap<Region, Remembered>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    /// For each day, by its first second, the rows that it had when it was read, by how many days after its end that was.
    #[serde(default)]
    days: BTreeMap<EpochSeconds, BTreeMap<i64, u64>>,
    /// How old the newest row was at the end of the range of runs, seconds; the last run's last.
    #[serde(default)]
    newest_age_s: Vec<i64>,
    /// Fields that had values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    fields: BTreeMap<String, UsualField>,
}

/// How often a field has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct UsualField {
    /// In so many rows of a million, when it had one last.
    in_a_million: u64,
    /// Runs since then in which no row had one.
    runs_without: usize,
}

/// Values of some rows, by field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// The rows.
    pub rows: u64,
    /// For each field, in how many of them it has a value.
    pub by_field: BTreeMap<String, u64>,
}

/// What one run has read of a region.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The region.
    pub region: Region,
    /// When the run began.
    pub at: EpochSeconds,
    /// Days that it read whole, by their first second, and the rows that they have.
    pub days: BTreeMap<EpochSeconds, u64>,
    /// The end of its range, where that is about now: only then the age of the newest row tells something.
    pub end: Option<EpochSeconds>,
    /// The second of its newest row.
    pub newest: Option<EpochSeconds>,
    /// The values of its rows.
    pub values: Values,
}

/// Something that is unlike what it was before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Unusual {
    /// A day has far fewer rows than the same days of earlier runs.
    FewRows {
        /// The region.
        region: Region,
        /// The day's first second.
        day: EpochSeconds,
        /// Its rows.
        rows: u64,
        /// The median of the former days.
        usual: u64,
        /// The fewest of them.
        fewest: u64,
        /// How many former days there were.
        days: usize,
        /// How many days after its end it was read, as were they; 3 stands for more too.
        read_after_days: i64,
    },
    /// The newest row is older than usual.
    OldRows {
        /// The region.
        region: Region,
        /// Its second; none where the run saw no row.
        newest: EpochSeconds,
        /// How old it was at the end of the range, seconds.
        age_s: i64,
        /// The median of the former runs.
        usual_s: i64,
        /// The oldest of them.
        oldest_s: i64,
        /// How many former runs there were.
        runs: usize,
    },
    /// Fields that had values before have none in any row.
    EmptyFields {
        /// The region.
        region: Region,
        /// The fields.
        fields: Vec<String>,
        /// The rows.
        rows: u64,
    },
}

impl fmt::Display for Unusual {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FewRows { region, day, rows, usual, fewest, days, read_after_days } => {
                let day: String = day.to_string().chars().take(10).collect();
                let when = match read_after_days {
                    1 => "a day after its end".to_owned(),
                    after if *after >= OLDEST => format!("{OLDEST} days after its end or later"),
                    after => format!("{after} days after its end"),
                };
                write!(
                    formatter,
                    "region {region} has {rows} rows of {day}, where {usual} are usual: {days} former days of the same weekday, read {when} \
                     too, had {fewest} at the least"
                )
            }
            Self::OldRows { region, newest, age_s, usual_s, oldest_s, runs } => write!(
                formatter,
                "the newest row of region {region} is of {newest}, {} before the end of the range, where {} are usual: the {runs} runs before \
                 had {} at the most",
                hours(*age_s),
                hours(*usual_s),
                hours(*oldest_s)
            ),
            Self::EmptyFields { region, fields, rows } => write!(
                formatter,
                "none of the {rows} rows of region {region} has a value of {}, which rows of earlier runs had",
                fields.join(", ")
            ),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "hours for a person")]
fn hours(seconds: i64) -> String {
    format!("{:.1} h", seconds as f64 / 3_600.0)
}

impl Reading {
    /// The days that lie in `read` whole, as keys for their rows.
    pub fn whole_days(read: &[TimeRange]) -> BTreeMap<EpochSeconds, u64> {
        let merged = TimeRange::merged(read);
        let days = merged.iter().flat_map(|range| {
            let first = range.start.shifted(DAY_SECONDS - 1).day_start();
            // What is compared is bounded, so nothing further back is needed.
            let last = range.end.day_start();
            let first = first.max(last.shifted(-DAY_SECONDS * i64::try_from(MOST_DAYS).unwrap_or(i64::MAX)));
            (0..).map(move |number| first.shifted(number * DAY_SECONDS)).take_while(move |day| *day < last)
        });
        days.map(|day| (day, 0)).collect()
    }

    fn age_of(&self, day: EpochSeconds) -> i64 {
        (self.at.since(day.shifted(DAY_SECONDS)).div_euclid(DAY_SECONDS) + 1).clamp(1, OLDEST)
    }
}

impl History {
    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What of a reading is unlike what was before.
    pub fn unusual(&self, reading: &Reading) -> Vec<Unusual> {
        let Some(known) = self.0.get(&reading.region) else { return Vec::new() };
        let days = reading.days.iter().filter_map(|(day, rows)| known.few_rows(reading, *day, *rows));
        let days = days.chain(known.old_rows(reading)).take(MOST_WARNINGS - 1);
        days.chain(known.empty_fields(reading)).collect()
    }

    /// The history with a reading.
    pub fn with(mut self, reading: &Reading) -> Self {
        let known = self.0.entry(reading.region.clone()).or_default();
        for (day, rows) in &reading.days {
            known.days.entry(*day).or_default().insert(reading.age_of(*day), *rows);
        }
        while known.days.len() > MOST_DAYS {
            known.days.pop_first();
        }
        known.newest_age_s.extend(reading.newest_age_s());
        let surplus = known.newest_age_s.len().saturating_sub(MOST_RUNS);
        known.newest_age_s.drain(..surplus);
        known.remember_fields(&reading.values);
        self
    }
}

impl Reading {
    fn newest_age_s(&self) -> Option<i64> {
        Some(self.end?.since(self.newest?).max(0))
    }
}

impl Remembered {
    fn few_rows(&self, reading: &Reading, day: EpochSeconds, rows: u64) -> Option<Unusual> {
        let read_after_days = reading.age_of(day);
        let is_same = |other: &EpochSeconds| *other != day && other.since(day) % (7 * DAY_SECONDS) == 0;
        let same = self.days.iter().filter(|(other, _)| is_same(other));
        let mut former: Vec<u64> = same.filter_map(|(_, by_age)| by_age.get(&read_after_days).copied()).collect();
        former.sort_unstable();
        let (usual, fewest) = (median(&former)?, former.first().copied()?);
        let is_few = as_float(rows) < FAR_FEWER * as_float(usual) && rows < fewest;
        (former.len() >= LEAST_DAYS && usual >= LEAST_ROWS && is_few).then(|| Unusual::FewRows {
            region: reading.region.clone(),
            day,
            rows,
            usual,
            fewest,
            days: former.len(),
            read_after_days,
        })
    }

    fn old_rows(&self, reading: &Reading) -> Option<Unusual> {
        let (newest, age_s) = (reading.newest?, reading.newest_age_s()?);
        let mut former = self.newest_age_s.clone();
        former.sort_unstable();
        let (usual_s, oldest_s) = (median(&former)?, former.last().copied()?);
        let is_old = age_s > oldest_s && age_s > usual_s.saturating_mul(2).max(usual_s.saturating_add(MUCH_OLDER_S));
        (former.len() >= LEAST_RUNS && is_old).then(|| Unusual::OldRows {
            region: reading.region.clone(),
            newest,
            age_s,
            usual_s,
            oldest_s,
            runs: former.len(),
        })
    }
}

impl Remembered {
    fn empty_fields(&self, reading: &Reading) -> Option<Unusual> {
        let Values { rows, by_field } = &reading.values;
        let is_empty = |(name, usual): &(&String, &UsualField)| {
            let expected = rows.saturating_mul(usual.in_a_million) / MILLION;
            expected >= LEAST_VALUES && by_field.get(*name) == Some(&0)
        };
        let fields: Vec<String> = self.fields.iter().filter(is_empty).map(|(name, _)| name.clone()).collect();
        (!fields.is_empty()).then(|| Unusual::EmptyFields { region: reading.region.clone(), fields, rows: *rows })
    }

    /// A field that had no value for so many runs is known no more.
    fn remember_fields(&mut self, values: &Values) {
        for (name, count) in &values.by_field {
            match (count.saturating_mul(MILLION).checked_div(values.rows), self.fields.get_mut(name)) {
                (Some(in_a_million), _) if *count > 0 => {
                    self.fields.insert(name.clone(), UsualField { in_a_million, runs_without: 0 });
                }
                (Some(_), Some(usual)) => usual.runs_without += 1,
                _ => {}
            }
        }
        self.fields.retain(|_, usual| usual.runs_without < MOST_RUNS);
    }
}

/// The middle of sorted numbers, of two the lower.
fn median<T: Copy>(sorted: &[T]) -> Option<T> {
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}

#[expect(clippy::cast_precision_loss, reason = "rows are far below 2^52")]
fn as_float(rows: u64) -> f64 {
    rows as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us() -> Region {
        "US".parse().unwrap()
    }

    fn day(number: i64) -> EpochSeconds {
        EpochSeconds::new(20_000 * DAY_SECONDS + number * DAY_SECONDS)
    }

    /// What a run reads on a day, an hour after midnight: the day before, or the one that many days ago.
    fn reading(on: i64, days_ago: i64, rows: u64) -> Reading {
        let days = [(day(on - days_ago), rows)].into_iter().collect();
        let at = day(on).shifted(3_600);
        let newest = Some(at.shifted(-20 * 3_600));
        Reading { region: us(), at, days, end: Some(at), newest, values: Values::default() }
    }

    /// What nights of a fortnight and more have left: each reads the day before.
    fn nights(rows: &[u64]) -> History {
        let readings = (1..).zip(rows).map(|(on, rows)| reading(on, 1, *rows));
        readings.fold(History::default(), |history, reading| history.with(&reading))
    }

    fn kinds(unusual: &[Unusual]) -> Vec<&'static str> {
        let kind = |one: &Unusual| match one {
            Unusual::FewRows { .. } => "few",
            Unusual::OldRows { .. } => "old",
            Unusual::EmptyFields { .. } => "empty",
        };
        unusual.iter().map(kind).collect()
    }

    #[test]
    fn far_fewer_rows_than_the_same_weekdays_had_are_told_with_the_numbers() {
        // Sundays have a fifth of the rows of other days, and that is usual.
        let weeks = |count: usize| [1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 200].repeat(count);
        let rows_of_the_next = |weeks_before: usize, weekday: i64, rows: u64| {
            let history = nights(&weeks(weeks_before));
            kinds(&history.unusual(&reading(weeks_before as i64 * 7 + weekday, 1, rows)))
        };
        for (weeks_before, weekday, rows, expected) in [
            (4, 1, 300, &["few"][..]),
            (4, 1, 499, &["few"]),
            (4, 1, 500, &[]),
            (4, 1, 950, &[]),
            (4, 7, 190, &[]),
            (4, 7, 90, &["few"]),
            (4, 7, 0, &["few"]),
            (3, 1, 300, &["few"]),
            (2, 1, 300, &[]),
            (0, 1, 0, &[]),
        ] {
            let told = rows_of_the_next(weeks_before, weekday, rows);
            assert_eq!(told, expected, "{rows} rows on weekday {weekday} after {weeks_before} weeks");
        }
        let history = nights(&weeks(4));
        let told: Vec<String> = history.unusual(&reading(29, 1, 300)).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "region US has 300 rows of 2024-11-01, where 1000 are usual: 4 former days of the same weekday, read a day after its end \
              too, had 1000 at the least"
            ]
        );
    }

    #[test]
    fn a_day_is_held_against_days_that_were_as_old_when_they_were_read() {
        // A day after its end a third of the rows is there, and three days after all of them.
        let mut history = History::default();
        for on in 1..=29 {
            history = history.with(&reading(on, 1, 300)).with(&reading(on, 4, 900));
        }
        assert_eq!(kinds(&history.unusual(&reading(30, 1, 290))), [""; 0]);
        assert_eq!(kinds(&history.unusual(&reading(30, 5, 290))), ["few"]);
    }

    #[test]
    fn few_rows_and_one_low_day_before_are_no_news() {
        assert_eq!(kinds(&nights(&[30; 35]).unusual(&reading(36, 1, 3))), [""; 0], "chance");
        let with_a_holiday = [[1_000; 7].as_slice(), &[100; 7], &[1_000; 14]].concat();
        assert_eq!(kinds(&nights(&with_a_holiday).unusual(&reading(29, 1, 120))), [""; 0], "as few came before");
        assert_eq!(kinds(&nights(&with_a_holiday).unusual(&reading(29, 1, 90))), ["few"]);
    }

    #[test]
    fn a_newest_row_that_is_older_than_ever_is_told() {
        let history = nights(&[1_000; 10]);
        let at_age = |hours: i64| {
            let reading = reading(11, 1, 1_000);
            Reading { newest: Some(reading.at.shifted(-hours * 3_600)), ..reading }
        };
        for (hours, expected) in [(20, &[][..]), (30, &[]), (40, &[]), (41, &["old"]), (90, &["old"])] {
            assert_eq!(kinds(&history.unusual(&at_age(hours))), expected, "{hours} hours");
        }
        assert_eq!(kinds(&nights(&[1_000; 3]).unusual(&at_age(90))), [""; 0], "too few runs");
        assert_eq!(kinds(&history.unusual(&Reading { end: None, ..at_age(90) })), [""; 0], "a range of the past");
        let told = history.unusual(&at_age(90))[0].to_string();
        assert!(told.contains("90.0 h before the end of the range, where 20.0 h are usual"), "{told}");
    }

    /// A documented field that came no more was told in the report alone.
    #[test]
    fn a_field_that_has_no_value_any_more_is_told_until_that_is_usual() {
        let with = |rows: u64, of: &[(&str, u64)]| {
            let by_field = of.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
            Reading { values: Values { rows, by_field }, ..reading(1, 1, 0) }
        };
        let first = with(1_000, &[("ratio", 1_000), ("music_id", 20), ("width", 0)]);
        assert_eq!(History::default().unusual(&first), [], "nothing is known before");
        let mut history = History::default().with(&first);
        let fields = |history: &History, reading: &Reading| match &history.unusual(reading)[..] {
            [] => Vec::new(),
            [Unusual::EmptyFields { fields, .. }] => fields.clone(),
            other => panic!("{other:?}"),
        };
        let gone = |rows| with(rows, &[("ratio", 0), ("music_id", 0), ("width", 0)]);
        assert_eq!(fields(&history, &gone(1_000)), ["ratio"], "of the other twenty are expected");
        assert_eq!(fields(&history, &gone(2_000)), ["music_id", "ratio"]);
        assert_eq!(fields(&history, &gone(29)), [""; 0], "chance");
        assert_eq!(fields(&history, &with(1_000, &[("ratio", 1)])), [""; 0]);
        assert_eq!(fields(&history, &with(1_000, &[])), [""; 0], "not looked at");
        let told = history.unusual(&gone(1_000))[0].to_string();
        assert!(told.starts_with("none of the 1000 rows of region US has a value of ratio,"), "{told}");
        history = history.with(&with(0, &[]));
        for _ in 0..MOST_RUNS {
            assert_eq!(fields(&history, &gone(1_000)), ["ratio"]);
            history = history.with(&gone(1_000));
        }
        assert_eq!(fields(&history, &gone(1_000)), [""; 0], "it is usual by now");
        let text = serde_json::to_string(&History::default().with(&first)).unwrap();
        assert_eq!(serde_json::from_str::<History>(&text).unwrap(), History::default().with(&first));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let history = nights(&[1_000; 400]);
        assert_eq!((history.0[&us()].days.len(), history.0[&us()].newest_age_s.len()), (MOST_DAYS, MOST_RUNS));
        let text = serde_json::to_string(&history).unwrap();
        assert_eq!(serde_json::from_str::<History>(&text).unwrap(), history);
    }

    #[test]
    fn only_whole_days_count() {
        let range = |start: i64, end: i64| TimeRange::new(day(0).shifted(start), day(0).shifted(end));
        let days = |read: &[TimeRange]| Reading::whole_days(read).into_keys().collect::<Vec<_>>();
        assert_eq!(days(&[range(0, 2 * DAY_SECONDS)]), [day(0), day(1)]);
        assert_eq!(days(&[range(1, 2 * DAY_SECONDS + 5)]), [day(1)]);
        assert_eq!(days(&[range(0, 100), range(100, DAY_SECONDS)]), [day(0)]);
        assert_eq!(days(&[range(0, DAY_SECONDS - 1)]), []);
    }
}
