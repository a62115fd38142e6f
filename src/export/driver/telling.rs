//! What is told beside the data: to the log, and to the journal for the next start and for whoever looks on.

use crate::export::learned::LEARNED_RATE;
use crate::export::machine::Note;
use crate::export::standing::{STANDING, Standing};
use crate::fetch::throttle::LearnedRate;
use crate::journal::{Journal, JournalError};

pub(super) async fn learn(journal: &Journal, learned: LearnedRate) -> Result<(), JournalError> {
    // Two numbers can always be written.
    let text = serde_json::to_string(&learned).unwrap_or_default();
    journal.learn(LEARNED_RATE, &text).await
}

pub(super) async fn tell_standing(journal: &Journal, standing: &Standing) -> Result<(), JournalError> {
    // Numbers, names and ranges can always be written.
    let text = serde_json::to_string(standing).unwrap_or_default();
    journal.learn(STANDING, &text).await
}

pub(super) fn log(note: &Note) {
    match note {
        Note::Parked { why } => {
            tracing::warn!(
                why,
                "a page could not be had; its walk goes on from the row before it, or is tried again after the others"
            );
        }
        Note::Refused { code } => {
            tracing::warn!(
                code,
                "a page is refused; its walk goes on from the row before it, or is tried again after the others"
            );
        }
        Note::GivenUp { region, fault } => {
            tracing::warn!(%region, "{fault}; what is left of it is listed as a gap");
        }
        Note::WaitsToConfirm { wait } => tracing::info!(
            duration_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            "all is read; the oldest and the newest page are asked again after this, so that what came empty for a while is found out"
        ),
        Note::WaitsForToken { waited } => tracing::warn!(
            duration_ms = waited.as_millis(),
            "more than a third of all requests fail: failed pages wait until answers have earned another attempt"
        ),
    }
}
