//! One attempt at one page: a request, and what it brought. Retries nothing and decides nothing.

use crate::api::client::{Client, Reply, TransportError, apart_where_long};
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
    let reply = client.send(query).await.map_err(|error| unanswered(&error))?;
    let wait = reply.signals.retry_after;
    let judged = apart_where_long(reply.body.len(), move || (judge(reply.heard()), reply)).await;
    let Some((verdict, reply)) = judged else {
        return Err(Heard::Failed { why: "the program is ending".to_owned(), wait });
    };
    match verdict {
        Verdict::Page(answer) => Ok(Came { answer, reply }),
        Verdict::Throttled { why } => Err(Heard::Throttled { why: format!("too many requests ({why})"), wait }),
        Verdict::Quota { message } => Err(Heard::Quota { message }),
        Verdict::Refused { code, message } => Err(Heard::Refused { code, message, wait }),
        Verdict::Transient { why } => Err(Heard::Failed { why, wait }),
    }
}

fn unanswered(error: &TransportError) -> Heard {
    let why = error.to_string();
    match error.in_vain() {
        Some(what) => Heard::Unreached { what, why },
        None => Heard::Unanswered { why },
    }
}
