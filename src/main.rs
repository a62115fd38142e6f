//! The program: read the command line, merge the settings, start the log, do the command, end with its code.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use keyapi_export::cli::{self, Command, Invocation};
use keyapi_export::commands;
use keyapi_export::config::{Settings, Shapes};
use keyapi_export::failure::{ExitCode, Failure};
use keyapi_export::limits;
use keyapi_export::progress::Screen;
use keyapi_export::stderr::Stderr;
use keyapi_export::telemetry::{self, Log};

/// How long the end of the process waits for a stderr that takes nothing.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long it waits for what still blocks a thread, such as a look-up that hangs. Not at all would be wrong: older C libraries, glibc 2.36 among
/// them, break down where a thread is let go in the moment in which it ends.
const LAST_THREADS: Duration = Duration::from_millis(500);

fn main() -> std::process::ExitCode {
    limits::keep_no_core();
    let stderr = Stderr::start(io::stderr());
    tell_panics(&stderr);
    // A panic is told by the hook, and ends with the code of a bug.
    let shapes = cli::shapes_of_process();
    let code = catch_unwind(AssertUnwindSafe(|| start(&stderr, shapes))).unwrap_or_else(|_panic| {
        if shapes.are_objects() {
            let failure = Failure::new(ExitCode::Bug, ExitCode::Bug.meaning())
                .with_hint("the line before this one says where; please report it");
            telemetry::tell_failure(&failure, shapes, &stderr);
        }
        ExitCode::Bug
    });
    stderr.flush(LAST_WORDS);
    code.into()
}

fn start(stderr: &Stderr, mut shapes: Shapes) -> ExitCode {
    let (code, failure) = match Invocation::of_process() {
        Ok(invocation) => match act(invocation, stderr, &mut shapes) {
            Ok(code) => (code, None),
            Err(failure) => (failure.code(), Some(failure)),
        },
        Err(unread) => unread.tell(stderr, shapes),
    };
    if let Some(failure) = failure {
        telemetry::tell_failure(&failure, shapes, stderr);
    }
    code
}

/// Does the command; what fails before the log stands is the caller's to tell.
fn act(invocation: Invocation, stderr: &Stderr, shapes: &mut Shapes) -> Result<ExitCode, Failure> {
    match &invocation.command {
        Command::Schema(arguments) => return commands::schema(arguments),
        Command::Completions { shell } => return commands::completions(*shell),
        Command::Man { command } => return commands::man(command.as_deref()),
        _ => {}
    }
    let settings = Settings::load(&invocation.sources)?;
    *shapes = Shapes { errors: settings.report.error_format, log: settings.report.log_format };
    let screen = if settings.report.no_progress { Screen::Lines } else { Screen::of_process(stderr) };
    let log = telemetry::start(*shapes, &screen, stderr)?;
    let says_partition = invocation.sources.say("output.partition")?;
    let runtime = limits::runtime()?;
    let done = runtime.block_on(perform(invocation.command, (settings, says_partition), &screen, &log));
    runtime.shutdown_timeout(LAST_THREADS);
    let code = done.unwrap_or_else(|failure| {
        log.failed(&failure);
        failure.code()
    });
    log.last_word(code);
    Ok(code)
}

async fn perform(
    command: Command,
    (settings, says_partition): (Settings, bool),
    screen: &Screen,
    log: &Log,
) -> Result<ExitCode, Failure> {
    match command {
        Command::Run(arguments) => Ok(commands::run(settings, &arguments, screen, log).await),
        Command::Plan(arguments) => commands::plan(settings, &arguments, log).await,
        Command::Status(arguments) => commands::status(settings, &arguments, log).await,
        Command::Verify(arguments) => commands::verify(settings, &arguments, log).await,
        Command::Report(arguments) => commands::report(settings, &arguments, log).await,
        Command::Audit(arguments) => commands::audit(settings, &arguments, log).await,
        Command::Merge(_) => commands::merge(settings, log).await,
        Command::Rebuild(_) => commands::rebuild(settings, says_partition, log).await,
        Command::Compact(arguments) => commands::compact(settings, arguments.below, log).await,
        Command::Check(arguments) => commands::check(settings, &arguments, log).await,
        Command::Simulate(arguments) => {
            commands::simulate(settings, (&arguments.flags, arguments.replay.as_deref()), log).await
        }
        Command::Schema(arguments) => commands::schema(&arguments),
        Command::Completions { shell } => commands::completions(shell),
        Command::Man { command } => commands::man(command.as_deref()),
    }
}

/// A panic's words go the way of all others: the standard library would wait for a stderr that nobody reads.
fn tell_panics(stderr: &Stderr) {
    let stderr = stderr.clone();
    std::panic::set_hook(Box::new(move |panic| {
        let trace = std::backtrace::Backtrace::capture();
        let trace = if trace.status() == std::backtrace::BacktraceStatus::Captured {
            format!("\n{trace}")
        } else {
            String::new()
        };
        stderr.write(format!("error: a bug in this program: {panic}{trace}\n").as_bytes());
    }));
}
