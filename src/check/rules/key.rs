//! The verdict on the key, and how long answers take.

use serde::Serialize;

use crate::check::answer::AnswerOutcome;
use crate::check::finding::RuleVerdict;
use crate::check::seen::Seen;

/// Pages up to here are near.
const NEAR: u32 = 3;
/// Pages from here on are deep.
const DEEP: u32 = 100;

/// How long pages took, milliseconds: medians, none where no such page came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Of the first pages.
    pub near_ms: Option<u64>,
    /// Of the deepest page with rows.
    pub deep_ms: Option<u64>,
    /// Which one that was.
    pub deep_page: Option<u32>,
}

/// Whether the service takes the key: what its answers so far say.
pub(in crate::check) fn key(seen: &Seen) -> RuleVerdict {
    let first = |wanted: fn(&AnswerOutcome) -> bool| seen.answers().find(|(_, answer)| wanted(&answer.outcome));
    if let Some((number, answer)) = first(|outcome| matches!(outcome, AnswerOutcome::Quota { .. }))
        && let AnswerOutcome::Quota { message } = &answer.outcome
    {
        return RuleVerdict::new("quota_spent", [number], format!("the key has nothing left to spend: {message}"));
    }
    if let Some((number, _)) = first(|outcome| matches!(outcome, AnswerOutcome::Page(_))) {
        return RuleVerdict::new("accepted", [number], "the service answers this key with pages");
    }
    if let Some((number, answer)) = seen.answers().next_back()
        && let AnswerOutcome::Refused { code, message } = &answer.outcome
    {
        return RuleVerdict::new(
            format!("refused_{code}"),
            [number],
            format!("every request is refused with {code}: {message}"),
        );
    }
    RuleVerdict::unknown([], "no answer came that says anything of the key")
}

/// How long answers take, near and deep.
pub(in crate::check) fn latency(seen: &Seen) -> Latency {
    let took = |number: usize| seen.get(number).map(|answer| answer.took_ms);
    let full = || seen.pages().filter(|(sight, _)| !sight.page.is_empty());
    let mut near: Vec<u64> =
        full().filter(|(_, asked)| asked.page <= NEAR).filter_map(|(sight, _)| took(sight.number)).collect();
    near.sort_unstable();
    let deepest = full().filter(|(_, asked)| asked.page >= DEEP).max_by_key(|(_, asked)| asked.page);
    Latency {
        near_ms: near.get(near.len() / 2).copied(),
        deep_ms: deepest.and_then(|(sight, _)| took(sight.number)),
        deep_page: deepest.map(|(_, asked)| asked.page),
    }
}
