//! What a check reports of each property.

use serde::Serialize;

/// What is known of one property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The property's name.
    pub name: String,
    /// One word for it; `unknown` where it cannot be known.
    pub verdict: String,
    /// The answers that it rests on, by the service's own names for them, or by their number in the check.
    pub evidence: Vec<String>,
    /// What they showed, for a person.
    pub why: String,
    /// What it means for settings and for a run.
    pub meaning: String,
}

/// The verdict where nothing can be known.
pub const UNKNOWN: &str = "unknown";

/// What a rule came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleVerdict {
    /// One word.
    pub word: String,
    /// The numbers of the answers that it rests on.
    pub rests_on: Vec<usize>,
    /// What they showed.
    pub why: String,
}

impl RuleVerdict {
    /// A verdict that rests on these answers.
    pub fn new(word: impl Into<String>, rests_on: impl IntoIterator<Item = usize>, why: impl Into<String>) -> Self {
        let mut rests_on: Vec<usize> = rests_on.into_iter().collect();
        rests_on.sort_unstable();
        rests_on.dedup();
        Self { word: word.into(), rests_on, why: why.into() }
    }

    /// Nothing can be known although these answers came.
    pub fn unknown(rests_on: impl IntoIterator<Item = usize>, why: impl Into<String>) -> Self {
        Self::new(UNKNOWN, rests_on, why)
    }
}
