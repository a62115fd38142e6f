//! `schema`: what the columns are, for a person and in the words of others.

use std::io::IsTerminal as _;

use crate::cli::{SchemaArguments, SchemaFormat};
use crate::failure::{ExitCode, Failure};
use crate::sink::columns;
use crate::sink::dialects::{Engine, arrow_stream, json_schema, statements};

/// Prints the columns to stdout, in the form that is asked for.
///
/// # Errors
/// A stdout that cannot be written, or that is a terminal where the form is no text.
pub fn schema(arguments: &SchemaArguments) -> Result<ExitCode, Failure> {
    let levels = arguments.partition.levels(arguments.snapshot);
    let engine = match arguments.format {
        SchemaFormat::Text => return super::print(columns::describe().as_bytes()),
        SchemaFormat::JsonSchema => return super::print(super::json(&json_schema(&levels))?.as_bytes()),
        SchemaFormat::Arrow => {
            refuse_a_terminal()?;
            let stream = arrow_stream(&levels).map_err(|error| Failure::from_error(ExitCode::Bug, &error))?;
            return super::print(&stream);
        }
        SchemaFormat::DuckDb => Engine::DuckDb,
        SchemaFormat::Spark => Engine::Spark,
        SchemaFormat::ClickHouse => Engine::ClickHouse,
    };
    super::print(statements(engine, &levels).as_bytes())
}

fn refuse_a_terminal() -> Result<(), Failure> {
    if !std::io::stdout().is_terminal() {
        return Ok(());
    }
    let failure = Failure::new(ExitCode::Usage, "the Arrow schema is no text, and stdout is a terminal");
    Err(failure.with_hint("send it into a file: keyapi-export schema --format arrow >videos.arrows"))
}
