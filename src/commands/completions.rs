//! `completions`: what a shell needs to complete the command line.

use clap_complete::Shell;

use crate::failure::{ExitCode, Failure};

/// The program's name, as it is typed.
const PROGRAM: &str = "keyapi-export";

/// Prints the completions of a shell to stdout.
///
/// # Errors
/// A stdout that cannot be written.
pub fn completions(shell: Shell) -> Result<ExitCode, Failure> {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut crate::cli::command(), PROGRAM, &mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let text = if shell == Shell::Bash { with_one_name(&text) } else { text.into_owned() };
    super::print(text.as_bytes())
}

/// The script of bash with one spelling of the program's name. clap_complete 4.6 names the state that a command leads to in one
/// way and asks for it in another where the name has a hyphen, so that nothing is completed past the command (clap-rs/clap#6421).
fn with_one_name(script: &str) -> String {
    script.replace(&PROGRAM.replace('-', "__subcmd__"), &PROGRAM.replace('-', "__"))
}
