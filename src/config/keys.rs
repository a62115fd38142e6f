//! The names of all settings, read from the structs themselves, and the search for one that nobody has.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

use crate::api::contract::Filters;
use crate::config::{
    BudgetSettings, NotifySettings, OutputSettings, PaceSettings, PlanSettings, QuestionSettings, ReportSettings,
    ServiceSettings, StateSettings, VerifiedSettings,
};

/// What the name of every environment variable of a setting begins with.
pub const ENVIRONMENT_PREFIX: &str = "KEYAPI_EXPORT_";
/// The table whose keys are the simulator's own.
pub const OPEN_TABLE: &str = "simulator";

/// Every key's path with dots, in the order of the structs; the simulator's keys are left to the simulator.
pub fn all() -> Vec<String> {
    let tables = [
        ("question", fields_of::<QuestionSettings>()),
        ("question.filters", fields_of::<Filters>()),
        ("service", fields_of::<ServiceSettings>()),
        ("pace", fields_of::<PaceSettings>()),
        ("plan", fields_of::<PlanSettings>()),
        ("verified", fields_of::<VerifiedSettings>()),
        ("budget", fields_of::<BudgetSettings>()),
        ("output", fields_of::<OutputSettings>()),
        ("state", fields_of::<StateSettings>()),
        ("report", fields_of::<ReportSettings>()),
        ("notify", fields_of::<NotifySettings>()),
    ];
    let paths = tables.iter().flat_map(|(table, fields)| fields.iter().map(move |field| format!("{table}.{field}")));
    paths.filter(|path| path != "question.filters").collect()
}

/// The name of the environment variable that sets `key`.
pub fn environment_name(key: &str) -> String {
    format!("{}{}", ENVIRONMENT_PREFIX, key.replace('.', "__").to_uppercase())
}

/// Whether `path` is a setting, or lies in the simulator's table.
pub(crate) fn is_known(path: &str) -> bool {
    let in_open_table = path.strip_prefix(OPEN_TABLE).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    in_open_table || all().iter().any(|known| known == path)
}

/// Last words under which somebody may set the service's key, which no setting holds.
const KEY_NAMES: [&str; 14] = [
    "token",
    "key",
    "api_key",
    "apikey",
    "api_token",
    "keyapi_token",
    "keyapi_key",
    "access_token",
    "auth_token",
    "authorization",
    "bearer",
    "secret",
    "password",
    "credentials",
];
const EVERY_KEY: &str = "config/reference.toml lists every key";

/// What to do about a key that no setting has: where the service's key belongs, or the known key that is nearest, where one is near.
pub(crate) fn advice(path: &str) -> String {
    let word = last_word(path).to_lowercase();
    if KEY_NAMES.contains(&word.as_str()) {
        return "the service's key is set by the variable KEYAPI_TOKEN, or stands alone in a file that `service.token_file` names"
            .to_owned();
    }
    let below = format!("{path}.");
    if let Some(key) = all().into_iter().find(|known| known.starts_with(&below)) {
        return format!("`{path}` is a table: write [{path}], and below it keys such as `{key}`; {EVERY_KEY}");
    }
    match nearest(path) {
        nearest if is_alike(&last_word(&nearest), &word) => format!("did you mean `{nearest}`? {EVERY_KEY}"),
        _ => EVERY_KEY.to_owned(),
    }
}

/// Whether one word may be meant by another: most of its letters are right, or it is the beginning.
fn is_alike(known: &str, word: &str) -> bool {
    !word.is_empty() && (known.starts_with(word) || 2 * edit_distance(known, word) < word.chars().count())
}

fn last_word(path: &str) -> String {
    path.rsplit('.').next().unwrap_or_default().to_owned()
}

/// The known key that is written most like `path`; one with the same last word wins.
fn nearest(path: &str) -> String {
    let word = last_word(path);
    let table = |path: &str| path.rsplit_once('.').map(|(table, _)| table.to_owned());
    let distance = |known: &String| {
        let last = last_word(known);
        // `service.token` is short for `service.token_file`, however near other words are.
        let is_short = !word.is_empty() && table(known) == table(path) && last.starts_with(&word);
        let by_word = if is_short { 0 } else { edit_distance(&last, &word) };
        (by_word, edit_distance(known, path))
    };
    all().into_iter().min_by_key(distance).unwrap_or_default()
}

/// How many insertions, removals and replacements of a letter, and exchanges of two neighbours, turn one text into the other.
pub(crate) fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    // The row before, and the letter that it is of.
    let mut former: Option<(Vec<usize>, char)> = None;
    for (line, letter) in left.chars().enumerate() {
        let mut next = vec![line + 1];
        for (place, ((above_left, above), other)) in row.iter().zip(row.iter().skip(1)).zip(&right).enumerate() {
            let replaced = above_left + usize::from(letter != *other);
            let beside = next.last().copied().unwrap_or_default() + 1;
            let exchanged = former.as_ref().zip(place.checked_sub(1)).and_then(|((row, before), place)| {
                let is_exchange = *before == *other && right.get(place) == Some(&letter);
                row.get(place).filter(|_| is_exchange).map(|cost| cost + 1)
            });
            next.push(replaced.min(above + 1).min(beside).min(exchanged.unwrap_or(usize::MAX)));
        }
        former = Some((std::mem::replace(&mut row, next), letter));
    }
    row.last().copied().unwrap_or_default()
}

/// The field names of a struct, as its derived reader asks for them. The reader is stopped before it reads anything.
fn fields_of<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // The probe always ends the reading with an error once it has seen the names; that is its purpose.
    let _ended = T::deserialize(Probe { fields: &mut fields });
    fields
}

struct Probe<'probe> {
    fields: &'probe mut &'static [&'static str],
}

#[derive(Debug)]
struct Ended;

impl fmt::Display for Ended {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("only the field names were wanted")
    }
}

impl std::error::Error for Ended {}

impl serde::de::Error for Ended {
    fn custom<T: fmt::Display>(_message: T) -> Self {
        Self
    }
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Ended;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Ended> {
        *self.fields = fields;
        Err(Ended)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Ended> {
        Err(Ended)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_with_its_path() {
        let keys = all();
        for key in ["question.regions", "question.filters.is_ad", "pace.qps", "output.zstd_level", "report.summary"] {
            assert!(keys.iter().any(|known| known == key), "{key} is missing from {keys:?}");
        }
        assert_eq!(environment_name("pace.max_in_flight"), "KEYAPI_EXPORT_PACE__MAX_IN_FLIGHT");
    }

    #[test]
    fn the_nearest_key_is_found_by_its_last_word_first() {
        assert_eq!(nearest("qps"), "pace.qps");
        assert_eq!(nearest("pace.max_inflight"), "pace.max_in_flight");
        assert_eq!(nearest("output.region"), "question.regions");
        assert_eq!(nearest("service.token"), "service.token_file");
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!((edit_distance("qps", "qsp"), edit_distance("abcd", "badc"), edit_distance("ab", "")), (1, 2, 2));
    }

    #[test]
    fn what_is_meant_is_told_and_nothing_where_nothing_is_near() {
        for path in [
            "pace.max_inflight",
            "max_in_flight",
            "output.region",
            "service.base",
            "qps",
            "pace.qsp",
            "report.sumary",
            "partition_key",
        ] {
            assert!(advice(path).starts_with("did you mean `"), "{path}: {}", advice(path));
        }
        for path in ["token", "key", "service.token", "service.api_key", "keyapi_token", "KEYAPI_TOKEN"] {
            assert!(advice(path).contains("the variable KEYAPI_TOKEN"), "{path}: {}", advice(path));
        }
        for path in ["service.user", "output.bucket", "colour", "x", ""] {
            assert_eq!(advice(path), EVERY_KEY, "{path}");
        }
    }

    #[test]
    fn only_the_simulators_table_is_open() {
        assert!(is_known("simulator"));
        assert!(is_known("simulator.anything.below"));
        assert!(!is_known("simulators"));
        assert!(!is_known("pace"));
    }
}
