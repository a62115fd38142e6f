//! What the last process left half-done: each part is brought to where the manifest has it, shown, or forgotten.

use std::collections::BTreeSet;

use super::{Age, unlisted};
use crate::export::{ExportError, clock};
use crate::failpoint::{self, CrashStep};
use crate::journal::Journal;
use crate::journal::record::{Change, PartRecord, PartState};
use crate::sink::coverage::Reader;
use crate::sink::manifest::Manifest;
use crate::sink::publish::{Output, OutputError};
use crate::units::TimeRange;

/// Brings every part of the journal to where the manifest has it, or forgets it: its pages are still there, so it is written anew.
pub(super) async fn recover(
    (journal, output): (&Journal, &Output),
    manifest: &mut Manifest,
    age: Age,
    latest: Option<&str>,
) -> Result<(), ExportError> {
    let listed: BTreeSet<String> = manifest.parts.iter().map(|part| part.path.clone()).collect();
    let is_listed = |part: &PartRecord| age == Age::Current && listed.contains(&part.path);
    let (mut change, mut waiting, mut revealed) = (Change::default(), Vec::new(), Vec::new());
    let former: BTreeSet<String> = manifest.former_paths().cloned().collect();
    let mut unknown = Vec::new();
    let mut gone = if age == Age::Current { manifest.superseded.clone() } else { Vec::new() };
    for (part, state) in journal.parts()? {
        match state {
            // What a shard has listed and not shown waits for `merge`.
            PartState::Held if is_listed(&part) && !output.shows_what_replaces() => {
                change.published.push(part.path);
            }
            PartState::Prepared | PartState::Held if is_listed(&part) => {
                // What is not there any more is found so like any other part.
                reveal(output, &part).await?;
                change.published.push(part.path);
            }
            PartState::Prepared => match reveal(output, &part).await? {
                true => {
                    failpoint::pass(CrashStep::RecoveryRevealed);
                    revealed.push(part);
                }
                false => {
                    output.set_aside(&part.path).await?;
                    journal.forget_part(&part.path).await?;
                    failpoint::pass(CrashStep::RecoveryForgotten);
                }
            },
            // Rows that are carried over are carried over anew; and a run that was given up has no end to wait for. Its last process
            // may have died just after it had given the part its name.
            PartState::Held if part.carried || Some(part.run.as_str()) != latest => match listed.contains(&part.path) {
                true => journal.forget_part(&part.path).await?,
                false => gone.push(part.path),
            },
            PartState::Held => waiting.push(part.path),
            PartState::Published if age == Age::Current && !is_listed(&part) => unknown.push(part),
            PartState::Published => {}
            PartState::Superseded => gone.push(part.path),
        }
    }
    let superseded = unlisted::settle(output, manifest, (&unknown, &former)).await?;
    gone.extend(superseded.iter().cloned());
    change.superseded.extend(superseded);
    show(output, manifest, &revealed, age).await?;
    change.published.extend(revealed.into_iter().map(|part| part.path));
    if change != Change::default() {
        journal.commit_change(change).await?;
        failpoint::pass(CrashStep::RecoveryPublished);
    }
    output.remove(&gone).await?;
    // Until then the manifest names what is about to go, also where it was written again here.
    if age == Age::Current {
        manifest.superseded.clear();
    }
    for path in &gone {
        journal.forget_part(path).await?;
    }
    if !output.shows_what_replaces() {
        waiting.extend(listed);
    }
    output.discard_staging_but(&waiting)?;
    failpoint::pass(CrashStep::RecoveryDiscarded);
    Ok(())
}

/// Parts of a run that was given up wait for no end any more. Its last process may have died just after it had given them their names.
pub(in crate::export) async fn take_held_of_others_back(
    journal: &Journal,
    output: &Output,
    run: &str,
) -> Result<(), ExportError> {
    let held = journal.parts()?.into_iter().filter(|(part, state)| *state == PartState::Held && part.run != run);
    let paths: Vec<String> = held.map(|(part, _)| part.path).collect();
    output.remove(&paths).await?;
    for path in &paths {
        // Others that are staged may be a shard's, and wait for `merge`.
        output.staging().remove(path).map_err(OutputError::from)?;
        journal.forget_part(path).await?;
    }
    Ok(())
}

/// Whether a part that was written could be given its name.
async fn reveal(output: &Output, part: &PartRecord) -> Result<bool, ExportError> {
    match output.reveal(part).await {
        Ok(_) => Ok(true),
        Err(OutputError::Lost { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Lists parts that the last process had given their names before it could list them.
async fn show(output: &Output, manifest: &mut Manifest, revealed: &[PartRecord], age: Age) -> Result<(), ExportError> {
    if revealed.is_empty() || age == Age::Former {
        return Ok(());
    }
    for part in revealed {
        let by = Reader { run: &part.run, at: manifest.began_at };
        let gaps: Vec<TimeRange> = manifest.account.gaps.iter().map(|gap| gap.range).collect();
        manifest.account.coverage.read(&part.region, &part.range.without(&gaps), by);
        manifest.parts.retain(|listed| listed.path != part.path);
        manifest.parts.push(part.clone());
    }
    manifest.written_at = clock::wall();
    Ok(output.commit(manifest).await?)
}

/// Parts that the output's own manifest lists and this state does not know: the state was lost, or is a new one.
pub(super) async fn take_over(journal: &Journal, manifest: &Manifest) -> Result<(), ExportError> {
    let known: BTreeSet<String> = journal.parts()?.into_iter().map(|(part, _)| part.path).collect();
    let unknown: Vec<PartRecord> = manifest.parts.iter().filter(|part| !known.contains(&part.path)).cloned().collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let change = Change { taken_over: unknown, ..Change::default() };
    journal.commit_change(change).await?;
    failpoint::pass(CrashStep::TakeoverPublished);
    Ok(())
}
