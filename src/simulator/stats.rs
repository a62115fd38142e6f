//! What the service counts: requests, credits, faults and repeated purchases.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Repeated purchases that are listed by name; all are counted.
const MAX_LISTED: usize = 100;
/// Requests whose moments are remembered; all are counted.
const MAX_ARRIVALS: usize = 1 << 20;

/// What has happened so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Requests that arrived, whatever became of them.
    pub requests: u64,
    /// Requests that passed key, rate limit and quota.
    pub admitted: u64,
    /// Complete answers that carried a page, empty pages included.
    pub pages: u64,
    /// Those of them without a row.
    pub empty_pages: u64,
    /// Rows in them.
    pub rows: u64,
    /// Answers by HTTP status, cut ones included.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests above the rate limit.
    pub throttled: u64,
    /// Requests without credits left.
    pub out_of_credits: u64,
    /// Error codes in a 200, of every kind.
    pub errors_inside: u64,
    /// Connections reset in place of an answer.
    pub resets: u64,
    /// Bodies cut halfway.
    pub cut_bodies: u64,
    /// Answers that hung.
    pub stalls: u64,
    /// Requests whose client left before the answer.
    pub abandoned: u64,
    /// The most requests that were under way at once.
    pub max_in_flight: u64,
    /// Credits charged.
    pub credits: u64,
    /// How often a page was bought again: complete answers with a page to a question that had one before.
    pub repeated_purchases: u64,
    /// The questions of the first 100 of them.
    pub repeated_questions: Vec<String>,
    /// When the first request arrived, milliseconds since the epoch; 0 before it.
    pub first_request_ms: u64,
    /// When the last request arrived, milliseconds since the epoch; 0 before the first.
    pub last_request_ms: u64,
}

/// What became of a request in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestOutcome {
    /// A complete answer with this many rows.
    Page(u64),
    /// A complete answer without a page.
    Refusal,
    /// Above the rate limit.
    Throttled,
    /// No credits left.
    OutOfCredits,
    /// The connection was reset.
    Reset,
    /// The body was cut.
    Cut,
}

/// The counters, and what they need to remember.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    stats: Stats,
    in_flight: u64,
    arrivals: Vec<Duration>,
    questions: HashMap<u64, Question>,
}

/// What is remembered of one question.
#[derive(Clone, Copy, Debug, Default)]
struct Question {
    attempts: u32,
    pages: u32,
}

impl Ledger {
    /// Everything so far.
    pub(super) fn stats(&self) -> Stats {
        self.stats.clone()
    }

    /// When the first [`MAX_ARRIVALS`] requests arrived.
    pub(super) fn arrivals(&self) -> Vec<Duration> {
        self.arrivals.clone()
    }

    /// A request arrived; returns its number, from 1.
    pub(super) fn arrive(&mut self, now_ms: u64, uptime: Duration) -> u64 {
        self.stats.requests += 1;
        if self.arrivals.len() < MAX_ARRIVALS {
            self.arrivals.push(uptime);
        }
        if self.stats.first_request_ms == 0 {
            self.stats.first_request_ms = now_ms;
        }
        self.stats.last_request_ms = now_ms;
        self.in_flight += 1;
        self.stats.max_in_flight = self.stats.max_in_flight.max(self.in_flight);
        self.stats.requests
    }

    /// Takes one of `credits`, if one is left; returns whether it was.
    pub(super) fn charge(&mut self, credits: Option<u64>) -> bool {
        let left = credits.is_none_or(|credits| self.stats.credits < credits);
        self.stats.credits += u64::from(left);
        left
    }

    /// Gives a credit back.
    pub(super) fn refund(&mut self) {
        self.stats.credits = self.stats.credits.saturating_sub(1);
    }

    /// The question is answered now; returns how often it was before, and how many requests have been admitted.
    pub(super) fn admit(&mut self, question: u64) -> (u32, u64) {
        self.stats.admitted += 1;
        let known = self.questions.entry(question).or_default();
        known.attempts += 1;
        (known.attempts - 1, self.stats.admitted)
    }

    /// An answer with this status begins.
    pub(super) fn answer(&mut self, status: u16) {
        *self.stats.statuses.entry(status).or_default() += 1;
    }

    /// An error code travels in a 200.
    pub(super) fn error_inside(&mut self) {
        self.stats.errors_inside += 1;
    }

    /// An answer hangs.
    pub(super) fn stall(&mut self) {
        self.stats.stalls += 1;
    }

    /// The request is over.
    pub(super) fn finish(&mut self, outcome: RequestOutcome, identity: &str, question: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        match outcome {
            RequestOutcome::Page(rows) => self.sell(rows, identity, question),
            RequestOutcome::Refusal => {}
            RequestOutcome::Throttled => self.stats.throttled += 1,
            RequestOutcome::OutOfCredits => self.stats.out_of_credits += 1,
            RequestOutcome::Reset => self.stats.resets += 1,
            RequestOutcome::Cut => self.stats.cut_bodies += 1,
        }
    }

    /// The client left before the answer.
    pub(super) fn abandon(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.stats.abandoned += 1;
    }

    fn sell(&mut self, rows: u64, identity: &str, question: u64) {
        self.stats.pages += 1;
        self.stats.empty_pages += u64::from(rows == 0);
        self.stats.rows += rows;
        let known = self.questions.entry(question).or_default();
        known.pages += 1;
        if known.pages > 1 {
            self.stats.repeated_purchases += 1;
            if self.stats.repeated_questions.len() < MAX_LISTED {
                self.stats.repeated_questions.push(identity.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_bought_twice_is_named() {
        let mut ledger = Ledger::default();
        for (question, identity) in [(1, "a"), (2, "b"), (1, "a"), (1, "a")] {
            ledger.arrive(5, Duration::ZERO);
            ledger.finish(RequestOutcome::Page(10), identity, question);
        }
        ledger.finish(RequestOutcome::Cut, "b", 2);
        assert_eq!(ledger.stats().repeated_purchases, 2);
        assert_eq!(ledger.stats().repeated_questions, ["a", "a"]);
        assert_eq!((ledger.stats().pages, ledger.stats().rows, ledger.stats().cut_bodies), (4, 40, 1));
    }

    #[test]
    fn credits_end_exactly_where_they_are_used_up() {
        let mut ledger = Ledger::default();
        assert_eq!([(); 4].map(|()| ledger.charge(Some(2))), [true, true, false, false]);
        ledger.refund();
        assert!(ledger.charge(Some(2)));
        assert_eq!(ledger.stats().credits, 2);
        assert!(ledger.charge(None));
    }

    #[test]
    fn the_most_requests_under_way_are_remembered() {
        let mut ledger = Ledger::default();
        ledger.arrive(7, Duration::ZERO);
        ledger.arrive(8, Duration::ZERO);
        ledger.abandon();
        ledger.arrive(9, Duration::ZERO);
        let stats = ledger.stats();
        assert_eq!((stats.max_in_flight, stats.first_request_ms, stats.last_request_ms), (2, 7, 9));
    }
}
