//! Everything that can be wrong with what a person set: which key, in which place, why, and what would be right.

use std::path::PathBuf;

use crate::api::contract::FilterError;
use crate::config::redact::quoted;
use crate::units::TimeRange;

/// A setting that cannot be used. Always the person's to repair: exit 2.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there, or not readable.
    #[error("reading the configuration {}: {source}", quoted(&path.display().to_string()))]
    ReadFile {
        /// The file as named.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("reading the configuration {}, line {line}: it is not valid TOML: {why}", quoted(&path.display().to_string()))]
    ParseFile {
        /// The file as named.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What the parser said, without the line's text.
        why: String,
    },
    /// A key that no setting has.
    #[error("unknown key `{key}` in {place}")]
    UnknownKey {
        /// The key's path with dots.
        key: String,
        /// The file with the line, or the variable.
        place: String,
        /// What to do about it.
        hint: String,
    },
    /// A key that a setting has, with a value of the wrong kind.
    #[error("reading `{key}` from {place}: {why}")]
    WrongKind {
        /// The key's path with dots.
        key: String,
        /// The file with the line, the variable or the command line.
        place: String,
        /// What is there, and what would be right.
        why: String,
    },
    /// A value outside its bounds.
    #[error("`{key} = {value}`{} is not possible: {why}", from_place(place.as_ref()))]
    OutOfBounds {
        /// The key's path with dots.
        key: &'static str,
        /// The value as merged, as far as an error may quote it.
        value: String,
        /// The file with the line, the variable or the command line, where it is known.
        place: Option<String>,
        /// The bounds.
        why: String,
    },
    /// One end of the range lies before the first moment that the service can mean.
    #[error("`question.{end} = {text}` is not possible: it is {moment}, and no video is older than 1970")]
    BeforeEpoch {
        /// `from` or `to`.
        end: &'static str,
        /// The moment as written.
        text: String,
        /// What it comes to.
        moment: String,
    },
    /// A needed setting that no layer has.
    #[error("`{key}` is not set, and there is no default for it")]
    Missing {
        /// The key's path with dots.
        key: &'static str,
        /// The flag that sets it, with an example.
        flag: &'static str,
    },
    /// The range holds no second.
    #[error("the range from `{from}` to `{to}` holds no second: it is {range}")]
    EmptyRange {
        /// The beginning as written.
        from: String,
        /// The end as written.
        to: String,
        /// Both resolved.
        range: TimeRange,
    },
    /// Filters that no video can pass.
    #[error("the filters cannot be asked: {0}")]
    Filters(#[from] FilterError),
    /// The address cannot be asked safely.
    #[error("`service.base_url = {url}` cannot be used: {why}")]
    BaseUrl {
        /// The address, without any user name or password.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The merged configuration cannot be printed.
    #[error("printing the merged configuration: {why}")]
    Print {
        /// What the writer said.
        why: String,
    },
}

impl ConfigError {
    /// The same with the place of a value that is out of its bounds, where one is known.
    #[must_use]
    pub(crate) fn placed(self, place_of: impl FnOnce(&str) -> Option<String>) -> Self {
        match self {
            Self::OutOfBounds { key, value, why, .. } => Self::OutOfBounds { key, value, place: place_of(key), why },
            other => other,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::ReadFile { source, .. } if source.kind() != std::io::ErrorKind::NotFound => {
                "name a file of TOML in UTF-8 that can be read, such as --config config/demo.toml".to_owned()
            }
            Self::ReadFile { .. } => "name an existing file, such as --config config/demo.toml".to_owned(),
            Self::UnknownKey { hint, .. } => hint.clone(),
            Self::Missing { flag, .. } => format!("give {flag}, or set it in the file"),
            Self::EmptyRange { .. } => {
                "the range is half-open: --to must be after --from, and --from before now".to_owned()
            }
            Self::BeforeEpoch { .. } => {
                "give a shorter time before now, such as --from -30d, or a date, such as --from 2026-01-01".to_owned()
            }
            Self::BaseUrl { .. } => {
                "give https://HOST, or http://127.0.0.1:PORT for a service on this machine".to_owned()
            }
            Self::Filters(_) => "change or leave out that filter; `run --help` describes each".to_owned(),
            Self::ParseFile { .. } | Self::WrongKind { .. } | Self::OutOfBounds { .. } | Self::Print { .. } => {
                "config/reference.toml lists every key with its unit and default".to_owned()
            }
        }
    }
}

fn from_place(place: Option<&String>) -> String {
    place.map(|place| format!(" from {place}")).unwrap_or_default()
}
