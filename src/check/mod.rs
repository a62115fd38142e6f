//! `check`: what the contract leaves unknown, found out with few credits.
//!
//! Pure but for [`sender`]: rules say what to ask next and what the answers mean, from the observations alone ([`seen`]), so that the
//! same answers give the same verdicts, wherever they come from. The invariant: what is not shown is unknown, and no verdict rests on a
//! fact of which the vendor says nothing.

pub mod answer;
pub mod exchange;
pub mod finding;
mod meaning;
pub mod question;
pub mod rate;
pub mod redact;
pub mod report;
mod rules;
pub mod seen;
pub mod sender;
pub mod written;

#[cfg(test)]
mod testing;

use std::collections::BTreeMap;

use answer::{Answer, AnswerOutcome};
use finding::{Finding, RuleVerdict};
use question::Question;
use seen::{Halt, Seen};

pub use rules::{Latency, Scope};

/// The answers that a check may have before its planner gives up: more than its rules could ask for.
const MOST_ANSWERS: usize = 400;

/// A check under way, as a state: answers in, questions out.
#[derive(Clone, Debug)]
pub struct Check {
    scope: Scope,
    seen: Seen,
}

impl Check {
    /// A check that has asked nothing.
    pub fn new(scope: Scope) -> Self {
        Self { scope, seen: Seen::default() }
    }

    /// What it is about.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// What it has seen.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// What to ask next; none once every rule has its verdict, or the key has nothing left to spend.
    pub fn next(&self) -> Option<Question> {
        let is_over = |answer: &Answer| matches!(answer.outcome, AnswerOutcome::Quota { .. });
        if self.seen.answers().any(|(_, answer)| is_over(answer)) || self.seen.answers().count() >= MOST_ANSWERS {
            return None;
        }
        rules::all().iter().find_map(|rule| match rule.judge(&self.seen, &self.scope) {
            Err(Halt::Ask(question)) => Some(*question),
            _ => None,
        })
    }

    /// Takes what came of a question.
    pub fn take(&mut self, answer: Answer) {
        self.seen.take(answer);
    }

    /// What is known now of each property; what would have to be asked first is unknown.
    pub fn findings(&self) -> Vec<Finding> {
        rules::all()
            .iter()
            .map(|rule| {
                let verdict = match rule.judge(&self.seen, &self.scope) {
                    Ok(verdict) => verdict,
                    Err(Halt::Unknown(why)) => RuleVerdict::unknown([], why),
                    Err(Halt::Ask(_)) => RuleVerdict::unknown([], "the credits ended before it was asked"),
                };
                self.finding(rule.name(), verdict)
            })
            .collect()
    }

    /// A question that is known to bring rows; none before one did.
    pub fn question_with_rows(&self) -> Option<Question> {
        let is_plain = |asked: &Question| asked.filters.is_empty() && asked.page <= 1;
        let found = self.seen.pages().find(|(sight, asked)| is_plain(asked) && !sight.page.rows.is_empty());
        found.map(|(_, asked)| asked.clone())
    }

    /// What is known of the key.
    pub fn key(&self) -> Finding {
        self.finding("key", rules::key(&self.seen))
    }

    /// How long answers take.
    pub fn latency(&self) -> Latency {
        rules::latency(&self.seen)
    }

    /// The verdicts by name, for those who compare two checks.
    pub fn verdicts(&self) -> BTreeMap<String, String> {
        self.findings().into_iter().chain([self.key()]).map(|finding| (finding.name, finding.verdict)).collect()
    }

    /// A verdict with its evidence named and its meaning told.
    pub fn finding(&self, name: &str, RuleVerdict { word, rests_on, why }: RuleVerdict) -> Finding {
        let told = |number: &usize| {
            let id = self.seen.get(*number).and_then(|answer| answer.request_id.clone());
            id.unwrap_or_else(|| format!("answer {}", number + 1))
        };
        Finding {
            name: name.to_owned(),
            evidence: rests_on.iter().map(told).collect(),
            meaning: meaning::of(name, &word).to_owned(),
            verdict: word,
            why,
        }
    }
}
