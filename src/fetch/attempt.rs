//! One attempt at one page: permit, request, verdict. Keeps the pacer informed; retries nothing.

use std::time::Duration;

use crate::api::client::{Client, Reply, TransportError};
use crate::api::contract::PageQuery;
use crate::api::reply::{PageAnswer, Verdict, judge};

use super::pace::{Pacer, Permit};

/// What one attempt brought.
#[derive(Debug)]
pub enum Outcome {
    /// A page.
    Page {
        /// What it says.
        answer: PageAnswer,
        /// The answer as it came.
        reply: Reply,
    },
    /// Requests come too fast: everybody is held; ask again.
    Throttled {
        /// What came, for a person.
        why: String,
        /// For how long, where this answer began the hold.
        hold: Option<Duration>,
    },
    /// The key has nothing left to spend.
    Quota {
        /// The service's words.
        message: String,
    },
    /// Asking again changes nothing.
    Refused {
        /// The status or code.
        code: u16,
        /// The service's words.
        message: String,
    },
    /// Asking again may help. Says for how long everybody is held, where this failure began a hold.
    Failed {
        /// What came, for a person.
        why: String,
        /// The hold.
        pause: Option<Duration>,
    },
    /// Nothing was ever heard from the service, and as it is addressed nothing will be.
    Unreachable {
        /// What is wrong with the way to it, for a person.
        why: String,
    },
}

/// Sends `query` with a permit that was given for it, and tells the pacer what came of it. The wait that an answer asks
/// for holds everybody, whatever else it says, unless it is a page.
pub async fn attempt(client: &Client, pacer: &Pacer, permit: Permit, query: &PageQuery) -> Outcome {
    let reply = match client.send(query).await {
        Ok(reply) => reply,
        Err(error) => return unanswered(&error, pacer),
    };
    pacer.heard();
    let wait = reply.signals.retry_after;
    match judge(reply.heard()) {
        Verdict::Page(answer) => {
            pacer.answered(permit);
            Outcome::Page { answer, reply }
        }
        Verdict::Throttled { why } => Outcome::Throttled { why, hold: pacer.throttled(permit, wait) },
        Verdict::Quota { message } => Outcome::Quota { message },
        Verdict::Refused { code, message } => {
            pacer.asked_to_wait(wait);
            Outcome::Refused { code, message }
        }
        Verdict::Transient { why } => {
            let asked = pacer.asked_to_wait(wait);
            Outcome::Failed { why, pause: pacer.failed().max(asked) }
        }
    }
}

fn unanswered(error: &TransportError, pacer: &Pacer) -> Outcome {
    let why = error.to_string();
    if pacer.unheard(error.is_lasting()) {
        return Outcome::Unreachable { why };
    }
    Outcome::Failed { why, pause: pacer.failed() }
}
