//! One attempt at one page: permit, request, verdict. Keeps the pacer informed; retries nothing.

use crate::api::client::{Client, Reply};
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
    /// 429: everybody is held; ask again. Says for how long, where this answer began the hold.
    Throttled(Option<std::time::Duration>),
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
    /// Asking again may help. Says for how long everybody is held, where this failure tripped the breaker.
    Failed {
        /// What came, for a person.
        why: String,
        /// The breaker's pause.
        pause: Option<std::time::Duration>,
    },
}

/// Sends `query` with a permit that was given for it, and tells the pacer what came of it.
pub async fn attempt(client: &Client, pacer: &Pacer, permit: Permit, query: &PageQuery) -> Outcome {
    let reply = match client.send(query).await {
        Ok(reply) => reply,
        Err(error) => return Outcome::Failed { why: error.to_string(), pause: pacer.failed() },
    };
    match judge(reply.status, &reply.body) {
        Verdict::Page(answer) => {
            pacer.answered(permit);
            Outcome::Page { answer, reply }
        }
        Verdict::Throttled => Outcome::Throttled(pacer.throttled(permit, reply.retry_after)),
        Verdict::Quota { message } => Outcome::Quota { message },
        Verdict::Refused { code, message } => Outcome::Refused { code, message },
        Verdict::Transient { why } => Outcome::Failed { why, pause: pacer.failed() },
    }
}
