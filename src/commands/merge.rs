//! `merge`: what all shards of a question have read becomes one output. Nothing is sent, and no key is needed.

use crate::config::Settings;
use crate::export::{self, ExportError, MergeError, MergedOutput};
use crate::failure::{ExitCode, Failure};
use crate::sink::account::Lack;
use crate::telemetry::Log;

use super::places;
use super::{failures, signals};

/// Gaps and unproven stretches that are named before they are only counted.
const NAMED: usize = 10;

/// Merges the shards of the output, and tells what it holds.
///
/// # Errors
/// Shards that are missing, not done, or asked different things; nothing is changed then.
pub async fn merge(settings: Settings, log: &Log) -> Result<ExitCode, Failure> {
    // Whatever is done is durable, and what is not is done again by the same command.
    signals::end_at_once(log)?;
    let output = places::output(&settings)?;
    let folder = places::folder_of_shards(&output)?;
    let merged = export::merge(folder).await.map_err(|error| failure(&error, folder))?;
    super::print(text(&merged, &settings.output.folder.display().to_string()).as_bytes())?;
    Ok(if merged.is_whole { ExitCode::Complete } else { ExitCode::Incomplete })
}

fn failure(error: &ExportError, output: &std::path::Path) -> Failure {
    let hint = match error {
        ExportError::Merge(MergeError::NoShards { .. }) => "name the folder that --out named for `run --shard`",
        ExportError::Merge(MergeError::Missing { .. }) => {
            "bring each of them to its end with the same `run --shard` command, then merge; nothing was changed"
        }
        ExportError::Merge(MergeError::Different { .. }) => {
            "ask all shards the same, best with dates in place of days ago, then merge; nothing was changed"
        }
        ExportError::Merge(MergeError::Changed { .. } | MergeError::NotTiled(_)) => {
            "something else has written there since: run those shards with --fresh, then merge; nothing was changed"
        }
        ExportError::PartsNotWhole { .. } => {
            "the same `run --shard` commands look at every part and read again what is missing; nothing was changed"
        }
        other => return failures::failure(other, output),
    };
    let code = match error {
        ExportError::PartsNotWhole { .. } => ExitCode::LocalDamage,
        _ => ExitCode::Usage,
    };
    Failure::from_error(code, error).with_hint(hint)
}

fn text(merged: &MergedOutput, folder: &str) -> String {
    let MergedOutput { shards, parts, rows, bytes, range, lacking, is_whole, seams } = merged;
    let done = match shards {
        0 => "nothing was to be done: all shards were merged before".to_owned(),
        1 => "1 shard was merged".to_owned(),
        more => format!("{more} shards were merged"),
    };
    let whole = if *is_whole { "complete" } else { "incomplete" };
    let mut told = format!("{folder}: {done}\n{whole}  {range}, {}, {rows}, {bytes}\n", super::parts(*parts));
    let line = |what: &str, lack: &Lack| format!("{what}  {} {}: {}\n", lack.region, lack.range, lack.why);
    let lacks = lacking.gaps.iter().map(|lack| line("gap", lack));
    let lacks: Vec<String> = lacks.chain(lacking.unproven.iter().map(|lack| line("unproven", lack))).collect();
    told.extend(lacks.iter().take(NAMED).map(String::as_str));
    if lacks.len() > NAMED {
        told.push_str(&format!("and {} more\n", lacks.len() - NAMED));
    }
    if lacking.rejected.get() > 0 {
        told.push_str(&format!("rejected  {}, see _rejected\n", lacking.rejected));
    }
    if *seams > 0 {
        told.push_str(&format!("{seams} times two shards did not see the same where they meet\n"));
    }
    if !lacking.gaps.is_empty() {
        told.push_str("next  the same `run` command without --shard reads the gaps again, and nothing else, where its ends are dates\n");
    }
    told
}
