//! How the program ends: one exit code for each kind of end, and the one shape of an error that a person sees.
//!
//! Every module has its own errors; each becomes a [`Failure`] once, at the edge. Nothing here decides or logs.

use std::error::Error;
use std::fmt;

use secrecy::ExposeSecret;
use serde::{Serialize, Serializer};

use crate::config::error::ConfigError;
use crate::config::redact::{on_one_line, told};
use crate::config::token::{TokenError, token_variable};

/// What the process tells its caller. The numbers are a promise to scripts and do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// Every second of the range is covered, and every row is in the output.
    Complete = 0,
    /// A broken invariant of the program itself.
    Bug = 1,
    /// Usage or configuration; nothing was sent.
    Usage = 2,
    /// Finished with gaps, unproven ranges or rejected rows, which are listed.
    Incomplete = 3,
    /// The credits, the quota or the time budget are used up; the same command goes on.
    BudgetReached = 4,
    /// The service is unwell; the same command goes on.
    ServiceUnwell = 5,
    /// The service refuses the key or the question.
    Refused = 6,
    /// The local disk or the state is full or damaged.
    LocalDamage = 7,
    /// Another run holds the state or the output.
    Locked = 11,
    /// The terminal or session was closed (SIGHUP); the same command goes on.
    HungUp = 129,
    /// Interrupted from the keyboard; the same command goes on.
    Interrupted = 130,
    /// Asked to end by SIGTERM; the same command goes on.
    Terminated = 143,
}

impl ExitCode {
    /// Every code, in the order of its number.
    pub const ALL: [Self; 12] = [
        Self::Complete,
        Self::Bug,
        Self::Usage,
        Self::Incomplete,
        Self::BudgetReached,
        Self::ServiceUnwell,
        Self::Refused,
        Self::LocalDamage,
        Self::Locked,
        Self::HungUp,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// The number that the process ends with.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// One word for it, the same in logs and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Bug => "bug",
            Self::Usage => "usage",
            Self::Incomplete => "incomplete",
            Self::BudgetReached => "budget_reached",
            Self::ServiceUnwell => "service_unwell",
            Self::Refused => "refused",
            Self::LocalDamage => "local_damage",
            Self::Locked => "locked",
            Self::HungUp => "hung_up",
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
        }
    }

    /// Whether the run stopped on its way, and the same command goes on where it did.
    pub const fn is_resumable(self) -> bool {
        matches!(self, Self::BudgetReached | Self::ServiceUnwell | Self::HungUp | Self::Interrupted | Self::Terminated)
    }

    /// Whether the run ended before it had asked for its whole range.
    pub const fn is_unfinished(self) -> bool {
        self.is_resumable() || matches!(self, Self::Refused)
    }

    /// What it means, as `--help` says it.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Bug => "a bug in this program",
            Self::Usage => "usage or configuration",
            Self::Incomplete => "finished with gaps, unproven ranges or rejected rows",
            Self::BudgetReached => "credits, quota or time budget reached; the same command goes on",
            Self::ServiceUnwell => "the service is unwell; the same command goes on",
            Self::Refused => "refused by the service",
            Self::LocalDamage => "local disk or state: full or damaged; or a clock that cannot be right",
            Self::Locked => "another run holds the state or the output",
            Self::HungUp => "hung up (SIGHUP); the same command goes on",
            Self::Interrupted => "interrupted; the same command goes on",
            Self::Terminated => "terminated; the same command goes on",
        }
    }
}

impl fmt::Display for ExitCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Serialize for ExitCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

/// An error at the edge of the program: how to exit, what was being done to what and why it failed, what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    code: ExitCode,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// An end with `code`; `message` says what was being done, to what, and why it failed.
    ///
    /// What was written wrongly may hold the key, also where nobody expects it; so no error about usage repeats it. It is one line,
    /// whatever a path or a value in it holds.
    pub fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self { code, message: safe(code, message.into()), hint: None }
    }

    /// The same from a module's error and all its causes. A cause that its effect's text already holds is not repeated.
    pub fn from_error(code: ExitCode, error: &dyn Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            let text = inner.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = inner.source();
        }
        Self::new(code, message)
    }

    /// Adds what to do next, best a command.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(safe(self.code, hint.into()));
        self
    }

    /// How the process ends.
    pub const fn code(&self) -> ExitCode {
        self.code
    }

    /// What was being done, to what, and why it failed.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do next.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "error: {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(formatter, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl Error for Failure {}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(ExitCode::Usage, error.to_string()).with_hint(error.hint())
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        Self::new(ExitCode::Usage, error.to_string()).with_hint(error.hint())
    }
}

/// A text on one line, and about usage without the key; others hold of what a person wrote nothing but paths.
fn safe(code: ExitCode, text: String) -> String {
    if code != ExitCode::Usage {
        return on_one_line(&text);
    }
    let key = token_variable();
    on_one_line(&told(&text, key.as_ref().map(ExposeSecret::expose_secret)))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("writing part-1")]
    struct Outer(#[source] io::Error);

    #[test]
    fn the_numbers_are_the_promised_ones() {
        let numbers: Vec<u8> = ExitCode::ALL.iter().map(|code| code.number()).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 11, 129, 130, 143]);
    }

    #[test]
    fn an_error_is_told_with_its_causes_and_a_hint() {
        let failure = Failure::from_error(ExitCode::LocalDamage, &Outer(io::Error::other("no space left")))
            .with_hint("free some space, then run the same command");
        assert_eq!(
            failure.to_string(),
            "error: writing part-1: no space left\nhint: free some space, then run the same command"
        );
        assert_eq!(failure.code().number(), 7);
    }

    #[test]
    fn an_error_about_usage_tells_no_key() {
        let failure = Failure::new(ExitCode::Usage, "seed = sk_live_tellnobody").with_hint("not sk_live_tellnobody");
        assert!(!failure.to_string().contains("tellnobody"), "{failure}");
    }

    #[test]
    fn an_error_is_one_line_whatever_a_path_in_it_holds() {
        for code in [ExitCode::Usage, ExitCode::LocalDamage] {
            let failure = Failure::new(code, "the output /a\r\nb\u{1b}[2J is no folder").with_hint("not /a\r\nb");
            assert_eq!(failure.to_string(), "error: the output /a\\r\\nb\\u{1b}[2J is no folder\nhint: not /a\\r\\nb");
        }
    }

    #[test]
    fn a_cause_that_is_already_told_is_not_repeated() {
        let source = io::Error::other("no such file");
        let error = ConfigError::ReadFile { path: "job.toml".into(), source };
        let failure = Failure::from_error(ExitCode::Usage, &error);
        assert_eq!(failure.message(), "reading the configuration job.toml: no such file");
    }
}
