//! `status`: how far the run of a state is, read beside whoever holds it. Where there is no state, the manifest is told.
//!
//! `facts` reads, in a time that does not grow with the pages that were bought; `report` works out what they mean, `picture` and
//! `text` draw it. Nothing is written, and nothing of the run is held up.

pub(super) mod facts;
mod picture;
pub(super) mod report;
mod text;

use std::time::Duration;

use crate::cli::StatusArguments;
use crate::config::Settings;
use crate::failure::{ExitCode, Failure};
use crate::telemetry::Log;

use super::now;
use super::places::Places;
use super::signals;
use facts::Facts;
use report::Status;

/// Tells how far the run is; with `--watch` again and again, until no run is at work.
///
/// # Errors
/// A state or a manifest that cannot be read; neither of them there.
pub async fn status(settings: Settings, arguments: &StatusArguments, log: &Log) -> Result<ExitCode, Failure> {
    signals::end_at_once(log)?;
    let places = Places::of(&settings, None)?;
    let Some(every) = arguments.every() else {
        return super::print(told(&look(&places).await?, arguments, Lines::Many)?.as_bytes());
    };
    watch(&places, arguments, every).await
}

/// How a JSON object is laid out.
#[derive(Clone, Copy)]
enum Lines {
    Many,
    One,
}

async fn look(places: &Places) -> Result<Status, Failure> {
    Ok(Status::of(&Facts::read(places).await?, now()))
}

fn told(status: &Status, arguments: &StatusArguments, lines: Lines) -> Result<String, Failure> {
    if !arguments.json {
        return Ok(text::text(status));
    }
    match lines {
        Lines::Many => super::json(status),
        Lines::One => super::json_line(status),
    }
}

/// On a terminal each look takes the place of the one before; elsewhere one follows the other.
async fn watch(places: &Places, arguments: &StatusArguments, every: Duration) -> Result<ExitCode, Failure> {
    let redraws = crate::stderr::may_draw(&std::io::stdout()) && !arguments.json;
    let mut before: Option<String> = None;
    loop {
        let status = look(places).await?;
        let told = told(&status, arguments, Lines::One)?;
        let lead = match &before {
            Some(before) if redraws => erased(before),
            Some(_) if !arguments.json => "\n".to_owned(),
            _ => String::new(),
        };
        super::print(format!("{lead}{told}").as_bytes())?;
        if !status.running {
            return Ok(ExitCode::Complete);
        }
        before = Some(told);
        tokio::time::sleep(every).await;
    }
}

/// What takes a text off the terminal: up to its first line, and everything below goes (ECMA-48, CPL and ED). Lines are no longer
/// than 80 columns but for the reasons of gaps, which may leave something behind on a narrow terminal.
fn erased(text: &str) -> String {
    let columns = crate::stderr::columns().unwrap_or(80).max(1);
    let rows: usize = text.lines().map(|line| line.chars().count().max(1).div_ceil(columns)).sum();
    format!("\u{1b}[{rows}F\u{1b}[J")
}
