//! A cache between the program and the service, which does not tell all questions apart.

use std::time::Duration;

use super::super::behaviour::Unkeyed;
use super::Answer;
use crate::api::contract::PageQuery;

/// Answers, and until when they are kept.
#[derive(Debug, Default)]
pub(super) struct Cache(Vec<(PageQuery, Duration, Answer)>);

impl Cache {
    /// What was answered to a question that it takes for this one.
    pub(super) fn get(&mut self, query: &PageQuery, unkeyed: Unkeyed, now: Duration) -> Option<Answer> {
        self.0.retain(|(_, until, _)| *until > now);
        let (.., answer) = self.0.iter().find(|(kept, ..)| are_one(kept, query, unkeyed))?;
        Some(answer.clone())
    }

    /// Keeps an answer, unless it is an error.
    pub(super) fn keep(&mut self, query: &PageQuery, answer: &Answer, until: Duration) {
        if matches!(answer, Answer::Page { .. }) {
            self.0.push((query.clone(), until, answer.clone()));
        }
    }
}

/// Whether a cache takes the two questions for one.
fn are_one(kept: &PageQuery, asked: &PageQuery, unkeyed: Unkeyed) -> bool {
    let mut kept = kept.clone();
    match unkeyed {
        Unkeyed::Region => kept.region = asked.region.clone(),
        Unkeyed::Min => kept.min_create_time = asked.min_create_time,
        Unkeyed::Max => kept.max_create_time = asked.max_create_time,
        Unkeyed::Page => kept.page = asked.page,
        Unkeyed::Order => kept.order = asked.order,
    }
    kept == *asked
}
