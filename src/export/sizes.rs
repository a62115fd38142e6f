//! Says once of an output that its files are tiny, and by which partition they would not be.

use crate::journal::Journal;
use crate::sink::sizes::tiny;

use super::commits::Commits;
use super::{ExportError, ExportRequest};

/// Where the partition is kept of which it was said.
const TOLD_TINY: &str = "told_tiny_files";

/// Logs it where it was not logged of this output and partition before.
pub(super) async fn tell_tiny_files(
    request: &ExportRequest,
    commits: &Commits,
    journal: &Journal,
) -> Result<(), ExportError> {
    let partition = request.partition.to_string();
    if request.shard.is_some() || journal.learned(TOLD_TINY)?.as_ref() == Some(&partition) {
        return Ok(());
    }
    let found = commits.read(|manifest| tiny(&manifest.parts, request.partition, request.part_rows)).await;
    let Some(tiny) = found else { return Ok(()) };
    tracing::info!(
        files = tiny.files,
        bytes_a_file = tiny.bytes_a_file,
        better_partition = %tiny.better,
        files_then = tiny.files_then,
        "by {partition} files are small for readers, {} KiB on average; `keyapi-export rebuild --out {}{} --partition {}` makes {} of \
         {} files for no request, and `--partition {}` goes on with them",
        tiny.bytes_a_file.div_ceil(1024),
        crate::folder::in_shell(&request.output.to_string()),
        request.named_state(""),
        tiny.better,
        tiny.files_then,
        tiny.files,
        tiny.better,
    );
    Ok(journal.learn(TOLD_TINY, &partition).await?)
}
