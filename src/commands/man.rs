//! `man`: the manual pages, made of the same command line as the help.

use clap::Command;
use clap_mangen::Man;

use crate::failure::{ExitCode, Failure};

/// Prints the manual page of the program, or that of one of its commands, to stdout.
///
/// # Errors
/// A command that is not there; a stdout that cannot be written.
pub fn man(name: Option<&str>) -> Result<ExitCode, Failure> {
    let mut program = crate::cli::command().disable_help_subcommand(true);
    // Building gives each command the name of its page, such as keyapi-export-run.
    program.build();
    let page = match name {
        None => Some(program.clone()),
        Some(name) => program.find_subcommand(name).cloned(),
    };
    let page = page.ok_or_else(|| unknown(&program, name.unwrap_or_default()))?;
    let mut roff = Vec::new();
    Man::new(page)
        .source(concat!("keyapi-export ", env!("CARGO_PKG_VERSION")))
        .render(&mut roff)
        .map_err(|error| Failure::new(ExitCode::Bug, format!("rendering a manual page: {error}")))?;
    super::print(&roff)
}

fn unknown(program: &Command, name: &str) -> Failure {
    let known: Vec<&str> = program.get_subcommands().map(Command::get_name).collect();
    Failure::new(ExitCode::Usage, format!("there is no command `{name}`"))
        .with_hint(format!("name one of {}, or none for the page of the program", known.join(", ")))
}
