//! The program: read the command line, merge the settings, start the log, do the command, end with its code.

use keyapi_export::cli::{Command, Invocation};
use keyapi_export::commands;
use keyapi_export::config::Settings;
use keyapi_export::failure::{ExitCode, Failure};
use keyapi_export::limits;
use keyapi_export::progress::Screen;
use keyapi_export::telemetry;

fn main() -> std::process::ExitCode {
    limits::keep_no_core();
    let code = start(Invocation::of_process()).unwrap_or_else(|failure| {
        failure.report();
        failure.code()
    });
    code.into()
}

fn start(invocation: Invocation) -> Result<ExitCode, Failure> {
    match &invocation.command {
        Command::Schema => return commands::schema(),
        Command::Completions { shell } => return commands::completions(*shell),
        _ => {}
    }
    let settings = Settings::load(&invocation.sources)?;
    let screen = if settings.report.no_progress { Screen::Lines } else { Screen::of_process() };
    telemetry::start(telemetry::line_shape(settings.report.log_format), &screen)?;
    let runtime = limits::runtime()?;
    let ended = runtime.block_on(perform(invocation.command, settings, &screen));
    // What still blocks a thread, such as a look-up that hangs, keeps nobody waiting.
    runtime.shutdown_background();
    ended
}

async fn perform(command: Command, settings: Settings, screen: &Screen) -> Result<ExitCode, Failure> {
    match command {
        Command::Run(arguments) => commands::run(settings, &arguments, screen).await,
        Command::Status(_) => commands::status(settings).await,
        Command::Verify(_) => commands::verify(settings).await,
        Command::Simulate(arguments) => commands::simulate(settings, &arguments.flags).await,
        Command::Schema => commands::schema(),
        Command::Completions { shell } => commands::completions(shell),
    }
}
