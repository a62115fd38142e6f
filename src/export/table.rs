//! An output that is a table too, as a start meets it: whether one is asked for, and what its readers need no more.

use crate::journal::record::PartRecord;
use crate::sink::manifest::Manifest;
use crate::sink::publish::Output;
use crate::sink::table::FIRST_SCHEMA;
use crate::units::ByteCount;

use super::ExportError;
use super::wanted::Wanted;

/// What readers of the table rely on is not given up by a setting that was left out; and no table holds columns that have changed their
/// type since.
pub(super) fn refuse_another_table(request: &Wanted, found: Option<&Manifest>) -> Result<(), ExportError> {
    let Some(found) = found else { return Ok(()) };
    let output = || request.output.to_string();
    match (&request.table, &found.table) {
        (None, Some(_)) => Err(ExportError::HasTable { output: output() }),
        (Some(_), None) => match found.parts.iter().filter(|part| part.schema < FIRST_SCHEMA).count() {
            0 => Ok(()),
            parts => Err(ExportError::TooOldForTable { output: output(), parts }),
        },
        _ => Ok(()),
    }
}

/// Removes what the table superseded long enough ago.
pub(super) async fn vacuum(request: &Wanted, output: &Output, parts: &[PartRecord]) -> Result<(), ExportError> {
    let Some(seconds) = request.table.and_then(|table| table.superseded_seconds) else { return Ok(()) };
    let old = output.vacuum(request.now.shifted(-seconds), parts).await?;
    if !old.is_empty() {
        let bytes = ByteCount::new(old.iter().map(|one| one.bytes.get()).sum());
        tracing::info!(files = old.len(), %bytes, "files that only former versions of the table list were removed");
    }
    Ok(())
}
