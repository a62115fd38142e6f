//! The tasks that the driver spawns: one attempt, and the commit of its page.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::api::client::Client;
use crate::export::machine::Broken;
use crate::export::page::new_page;
use crate::fetch::attempt::{Came, attempt};
use crate::fetch::job::{Asks, Heard, JobId, Work};
use crate::fetch::pool::Sending;
use crate::journal::record::NewPage;
use crate::journal::{Attempt, AttemptEnd, Journal, JournalError, Ledger, LedgerError};
use crate::plan::answer::tie;
use crate::plan::fact::{PageAddress, PageFact};
use crate::progress::{AttemptOutcome, Progress};

/// A task that came back.
pub(super) enum Returned {
    /// An attempt; with its page, if it brought one that is to be kept.
    Heard {
        job: JobId,
        heard: Heard,
        page: Option<Box<(NewPage, Attempt)>>,
    },
    Kept {
        job: JobId,
        fact: Arc<PageFact>,
        took: Duration,
    },
    Learned,
    Broke(Broken, JournalError),
}

/// Reserves a credit, sends the request, and makes of its answer what it is. Once it is on its way it is waited for, also
/// while the run stops.
pub(super) async fn sent((client, progress): (Client, Progress), ledger: Ledger, sending: Sending) -> Returned {
    let Sending { job, work, asks } = sending;
    let admitted = match asks {
        Asks::First => ledger.admit().await,
        Asks::Again | Asks::Confirming(_) => ledger.admit_again().await,
    };
    let paid = match admitted {
        Ok(paid) => paid,
        Err(LedgerError::Exhausted { spent, max }) => {
            return Returned::Heard { job, heard: Heard::OutOfCredits { spent, max }, page: None };
        }
        Err(LedgerError::Journal(error)) => return Returned::Broke(Broken::Job(job), error),
    };
    let began = Instant::now();
    let attempted = tokio::select! {
        attempted = attempt(&client, work.query()) => attempted,
        // Another process may send from here on, and what came could not be kept where that one looks.
        () = ledger.runs_out() => Err(Heard::Unanswered { why: "the lease of the state ran out".to_owned() }),
    };
    progress.request_ended(outcome(&attempted), began.elapsed());
    match (attempted, &work) {
        (Ok(Came { answer, reply }), Work::Page(task)) => {
            let tied = tie(&task.query, task.expected, &answer);
            let heard = Heard::Page { doubt: tied.doubt.clone() };
            let page = new_page(task, answer, tied, reply);
            Returned::Heard { job, heard, page: Some(Box::new((page, paid))) }
        }
        (Ok(Came { answer, .. }), Work::HealthProbe(_)) => {
            paid.ended(if answer.rows.is_empty() { AttemptEnd::EmptyPage } else { AttemptEnd::PageWithRows });
            Returned::Heard { job, heard: Heard::Page { doubt: None }, page: None }
        }
        (Err(heard), _) => {
            if let (Work::Page(task), Some(why)) = (&work, heard.why()) {
                log_failure(&task.address, why);
            }
            paid.ended(how(&heard));
            Returned::Heard { job, heard, page: None }
        }
    }
}

fn outcome(attempted: &Result<Came, Heard>) -> AttemptOutcome {
    match attempted {
        Ok(_) => AttemptOutcome::Answered,
        Err(Heard::Throttled { .. } | Heard::Slowed { .. }) => AttemptOutcome::Throttled,
        Err(_) => AttemptOutcome::Failed,
    }
}

fn how(heard: &Heard) -> AttemptEnd {
    match heard {
        Heard::Throttled { .. } | Heard::Slowed { .. } => AttemptEnd::Throttled,
        Heard::Quota { .. } => AttemptEnd::Quota,
        Heard::Refused { .. } => AttemptEnd::Refused,
        Heard::Page { .. } | Heard::OutOfCredits { .. } => AttemptEnd::Failed,
        Heard::Failed { .. } | Heard::Unanswered { .. } | Heard::Unreached { .. } => AttemptEnd::Failed,
    }
}

pub(super) fn log_failure(page: &PageAddress, why: &str) {
    tracing::debug!(page.region = %page.region, page.number = page.page.get(), why, "attempt failed");
}

/// From the end of this on the page's credit is safe.
pub(super) async fn kept(journal: &Journal, job: JobId, (page, paid): (NewPage, Attempt)) -> Returned {
    let began = Instant::now();
    let fact = Arc::new(page.fact.clone());
    if let Err(error) = journal.commit_page(page, paid).await {
        return Returned::Broke(Broken::Job(job), error);
    }
    let took = began.elapsed();
    tracing::debug!(
        page.region = %fact.address.region,
        page.number = fact.address.page.get(),
        page.rows = fact.rows.len(),
        commit.duration_ms = took.as_millis(),
        "page is durable"
    );
    Returned::Kept { job, fact, took }
}
