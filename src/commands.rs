//! One function for each command.

use crate::cli::RunArguments;
use crate::config::Settings;
use crate::failure::{ExitCode, Failure};
use crate::progress::Screen;

/// Exports the question's range.
///
/// # Errors
/// Whatever ends the run before it is complete and is not an outcome of its own.
pub async fn run(_settings: Settings, _arguments: &RunArguments, _screen: &Screen) -> Result<ExitCode, Failure> {
    Err(missing("run"))
}

/// Tells how far the run is.
///
/// # Errors
/// A state that cannot be read.
pub async fn status(_settings: Settings) -> Result<ExitCode, Failure> {
    Err(missing("status"))
}

/// Compares the output with its manifest.
///
/// # Errors
/// An output that cannot be read.
pub async fn verify(_settings: Settings) -> Result<ExitCode, Failure> {
    Err(missing("verify"))
}

/// Serves the simulated service until it is interrupted.
///
/// # Errors
/// An address that cannot be served on.
pub async fn simulate(_settings: Settings) -> Result<ExitCode, Failure> {
    Err(missing("simulate"))
}

/// Prints the schema of the Parquet files to stdout.
///
/// # Errors
/// A stdout that cannot be written.
pub fn schema() -> Result<ExitCode, Failure> {
    Err(missing("schema"))
}

/// Prints the completions of a shell to stdout.
///
/// # Errors
/// A stdout that cannot be written.
pub fn completions(shell: clap_complete::Shell) -> Result<ExitCode, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut crate::cli::command(), "keyapi-export", &mut text);
    print(&text)
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

fn missing(command: &str) -> Failure {
    Failure::new(ExitCode::Bug, format!("`{command}` is not wired up"))
}
