//! One function for each command: settings in, an exit code or a failure out. What is asked for goes to stdout.

mod deadline;
mod places;
mod run;
mod signals;
mod simulate;
mod status;
mod verify;

pub use run::run;
pub use simulate::simulate;
pub use status::status;
pub use verify::verify;

use crate::failure::{ExitCode, Failure};

/// Prints the schema of the Parquet files to stdout.
///
/// # Errors
/// A stdout that cannot be written.
pub fn schema() -> Result<ExitCode, Failure> {
    print(crate::sink::columns::describe().as_bytes())
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
