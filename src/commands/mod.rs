//! One function for each command: settings in, an exit code or a failure out. What is asked for goes to stdout.

mod audit;
mod check;
mod completions;
mod deadline;
mod failures;
mod look;
mod man;
mod merge;
mod places;
mod plan;
mod rebuild;
mod report;
mod run;
mod schema;
mod shard;
mod signals;
mod simulate;
mod status;
mod statuses;
mod verify;
mod watch;
mod written;

pub use audit::audit;
pub use check::check;
pub use completions::completions;
pub use man::man;
pub use merge::merge;
pub use plan::plan;
pub use rebuild::{compact, rebuild};
pub use report::report;
pub use run::run;
pub use schema::schema;
pub use simulate::simulate;
pub use status::status;
pub use verify::verify;

use std::time::{SystemTime, UNIX_EPOCH};

use crate::failure::{ExitCode, Failure};
use crate::journal::Counts;
use crate::sink::manifest::ManifestError;
use crate::sink::store::StoreError;
use crate::summary::Requests;
use crate::units::{Credits, EpochSeconds};

/// A number of parts, for a person.
fn parts<N: std::fmt::Display + PartialEq + From<u8>>(count: N) -> String {
    if count == N::from(1) { "1 part".to_owned() } else { format!("{count} parts") }
}

/// A command's answer as one JSON document on lines of its own.
fn json(document: &impl serde::Serialize) -> Result<String, Failure> {
    line_of(serde_json::to_string_pretty(document))
}

/// The same on one line.
fn json_line(document: &impl serde::Serialize) -> Result<String, Failure> {
    line_of(serde_json::to_string(document))
}

fn line_of(json: serde_json::Result<String>) -> Result<String, Failure> {
    json.map(|json| json + "\n").map_err(|error| Failure::from_error(ExitCode::Bug, &error))
}

/// Writes a command's whole answer to stdout. A reader that closed it early, such as `head`, is no failure.
fn print(text: &[u8]) -> Result<ExitCode, Failure> {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(ExitCode::LocalDamage, format!("writing to stdout: {error}")))
        }
        _ => Ok(ExitCode::Complete),
    }
}

/// The same for a run's summary, which must not keep the run from its end: a reader that takes nothing is waited for only so long.
async fn print_within(text: String, patience: std::time::Duration) -> std::io::Result<()> {
    use std::io::{ErrorKind, Write};
    let (done, written) = tokio::sync::oneshot::channel();
    // A thread of its own, since the runtime would wait for one of its own; it ends with the process.
    let thread = std::thread::Builder::new().name("stdout".to_owned()).spawn(move || {
        let mut stdout = std::io::stdout().lock();
        // Nobody listens any more where the patience was over.
        let _late = done.send(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()));
    })?;
    let told = tokio::time::timeout(patience, written).await;
    if told.is_ok() {
        drop(thread.join());
    }
    match told {
        Ok(Ok(Err(error))) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Ok(Ok(result)) => result,
        Ok(Err(_)) | Err(_) => Err(std::io::Error::new(ErrorKind::TimedOut, "nobody reads it")),
    }
}

/// What a run has asked, as summary and status tell it.
fn requests(counts: &Counts) -> Requests {
    Requests {
        attempts: Credits::new(counts.attempts),
        answered: Credits::new(counts.answered_pages),
        retries: counts.retries,
        throttled: counts.throttled,
        possibly_charged: Credits::new(counts.possibly_charged),
    }
}

/// What to do where a bucket does not do what it is asked.
const BUCKET_HINT: &str = "look whether the bucket is there and answers, and whether the provider's variables (AWS_*, GOOGLE_*, AZURE_STORAGE_*) \
                           name a key that may read, write, list and delete in it; then run the same command";

/// What to do about an output that is not what its address says, or whose store fails; none where only the disk is at fault.
fn store_failure(error: &StoreError) -> Option<(ExitCode, String)> {
    let (code, hint) = match error {
        StoreError::NoCloud { .. } => {
            (ExitCode::Usage, "name a folder with --out, or use a build with it: it is on by default")
        }
        StoreError::Setup { .. } => {
            (ExitCode::Usage, "see docs/outputs.md for the variables that name the store and its key")
        }
        StoreError::Unconditional { .. } => (
            ExitCode::Usage,
            "use a store that knows If-Match and If-None-Match; or, where no other process will ever write into this output, set \
             `output.single_writer = true`",
        ),
        StoreError::Object { path, .. } if path.contains("://") => (ExitCode::LocalDamage, BUCKET_HINT),
        StoreError::Object { .. } | StoreError::Disk(_) => return None,
    };
    Some((code, hint.to_owned()))
}

/// Why a manifest cannot be used, and what to do.
fn unreadable_manifest(error: &ManifestError) -> Failure {
    match error {
        ManifestError::Version(_) => {
            Failure::from_error(ExitCode::Usage, error).with_hint("use the version of this program that wrote it")
        }
        ManifestError::Unreadable(_) | ManifestError::Damaged(_) => {
            Failure::from_error(ExitCode::LocalDamage, error).with_hint(failures::DAMAGED_MANIFEST)
        }
    }
}

/// This second.
fn now() -> EpochSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EpochSeconds::new(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
