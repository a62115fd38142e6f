//! What a state remembers beside its pages, and under which names.

use super::ExportError;
use crate::journal::Journal;
use crate::journal::record::RunRecord;
use crate::units::Credits;

/// Where the learned rate is kept.
pub(super) const LEARNED_RATE: &str = "rate";
/// Where the regions are kept that failed to the end of their run: a list of codes.
pub(super) const UNWELL_REGIONS: &str = "unwell_regions";
/// Under which name the run is kept that nobody has gone on with since a forecast began it.
pub(super) const PLANNED_RUN: &str = "planned_run";
/// Where the name of a run is kept whose range was taken from a wrong clock: nothing of it is gone on with.
pub(super) const VOID_RUN: &str = "run_by_a_wrong_clock";

/// Whether nobody has gone on with a run since a forecast began it.
pub(super) fn is_planned_only(journal: &Journal, run: &RunRecord) -> Result<bool, ExportError> {
    Ok(journal.learned(PLANNED_RUN)?.as_ref() == Some(&run.begun.id))
}

/// Tells of a run that a forecast began and that something else takes the place of.
pub(super) fn tell_of_a_planned_run(journal: &Journal, run: &RunRecord) {
    let credits = Credits::new(journal.held_pages());
    tracing::warn!(
        run = run.begun.id,
        "something else is asked than the forecast was made for, so the pages that it bought are given up: about {credits}"
    );
}
