//! One attempt at one page: a request, and what it brought. Retries nothing and decides nothing.

use crate::api::client::{Client, Reply};
use crate::api::contract::PageQuery;
use crate::api::reply::{PageAnswer, Verdict, judge};

use super::job::Heard;

/// A page as it came.
#[derive(Debug)]
pub struct Came {
    /// What it says.
    pub answer: PageAnswer,
    /// The answer as it came.
    pub reply: Reply,
}

/// Sends `query` and says what came of it.
///
/// # Errors
/// What came in place of a page; never [`Heard::Page`].
pub async fn attempt(client: &Client, query: &PageQuery) -> Result<Came, Heard> {
    let reply = client.send(query).await.map_err(|error| Heard::Failed { why: error.to_string() })?;
    match judge(reply.status, &reply.body) {
        Verdict::Page(answer) => Ok(Came { answer, reply }),
        Verdict::Throttled => Err(Heard::Throttled { retry_after: reply.retry_after }),
        Verdict::Quota { message } => Err(Heard::Quota { message }),
        Verdict::Refused { code, message } => Err(Heard::Refused { code, message }),
        Verdict::Transient { why } => Err(Heard::Failed { why }),
    }
}
