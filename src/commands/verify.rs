//! `verify`: the output against its manifest, offline.

use std::fmt::Write as _;

use serde::Serialize;

use crate::cli::VerifyArguments;
use crate::config::Settings;
use crate::failure::{ExitCode, Failure};
use crate::sink::verify::{Report, VerifyError};
use crate::telemetry::Log;
use crate::units::{ByteCount, RowCount};

use super::signals;

/// The version of the JSON form: a field that is renamed or changes its meaning raises it, a new field does not.
const VERIFY_VERSION: u32 = 1;
/// What to do about a folder that cannot be read.
const LOOK_AT_THE_DISK: &str = "look whether this user may read the folder, and whether its disk answers";

/// What to do about an output that lacks something.
const READS_IT: &str = "the same `run` command reads gaps and what was not read, and unproven ranges once more; rejected rows are in _rejected";

/// What was found, as `--json` prints it.
#[derive(Serialize)]
struct Document<'report> {
    version: u32,
    /// `complete`, `incomplete` or `local_damage`, as the exit code is named.
    outcome: ExitCode,
    exit_code: u8,
    output: &'report str,
    /// Whether folder and manifest agree.
    agrees: bool,
    parts: u64,
    rows: RowCount,
    bytes: ByteCount,
    problems: &'report [String],
    missing: &'report [String],
    elsewhere: &'report [String],
    hints: &'report [String],
}

/// Compares the output with its manifest and prints what was found.
///
/// # Errors
/// An output that cannot be read.
pub async fn verify(settings: Settings, arguments: &VerifyArguments, log: &Log) -> Result<ExitCode, Failure> {
    signals::end_at_once(log)?;
    let written = &settings.output.folder;
    let address = super::places::named(written)?;
    let report = crate::sink::verify::verify(address).await.map_err(|error| failure(&error))?;
    let (folder, code) = (written.display().to_string(), code(&report));
    let told = if arguments.json { json(&report, &folder, code)? } else { text(&report, &folder) };
    super::print(told.as_bytes())?;
    log.concluded(&concluded(&report, &folder, code));
    Ok(code)
}

fn failure(error: &VerifyError) -> Failure {
    let hint = match error {
        VerifyError::NoManifest { .. } => {
            return Failure::from_error(ExitCode::Usage, error).with_hint("name the folder that --out named for `run`");
        }
        VerifyError::Manifest(error) => return super::unreadable_manifest(error),
        VerifyError::Store(of_store) => match super::store_failure(of_store) {
            Some((code, hint)) => return Failure::from_error(code, error).with_hint(hint),
            None => LOOK_AT_THE_DISK,
        },
        VerifyError::Scratch(_) => "name a folder with room for one part with TMPDIR",
        VerifyError::CutShort(_) => "run it again; if it ends so again, please report it",
    };
    Failure::from_error(ExitCode::LocalDamage, error).with_hint(hint)
}

fn code(report: &Report) -> ExitCode {
    match (report.agrees(), report.is_complete()) {
        (false, _) => ExitCode::LocalDamage,
        (true, false) => ExitCode::Incomplete,
        (true, true) => ExitCode::Complete,
    }
}

fn verdict(code: ExitCode) -> &'static str {
    match code {
        ExitCode::Complete => "sound and complete",
        ExitCode::Incomplete => "sound, but something of the range is missing",
        _ => "damaged: folder and manifest disagree",
    }
}

/// Why it does not end with 0: the verdict, and the first thing that it rests on.
fn concluded(report: &Report, folder: &str, code: ExitCode) -> Failure {
    let first = report.problems.first().or(report.shortfalls.first());
    let reason = first.map(|first| format!(": {first}")).unwrap_or_default();
    let hint = report.advice.first().map_or(READS_IT, String::as_str);
    Failure::new(code, format!("{folder}: {}{reason}", verdict(code))).with_hint(hint)
}

fn json(report: &Report, folder: &str, code: ExitCode) -> Result<String, Failure> {
    let document = Document {
        version: VERIFY_VERSION,
        outcome: code,
        exit_code: code.number(),
        output: folder,
        agrees: report.agrees(),
        parts: report.parts,
        rows: report.rows,
        bytes: report.bytes,
        problems: &report.problems,
        missing: &report.shortfalls,
        elsewhere: &report.elsewhere,
        hints: &report.advice,
    };
    super::json(&document)
}

fn text(report: &Report, folder: &str) -> String {
    let verdict = verdict(code(report));
    let parts = super::parts(report.parts);
    let mut text = format!("{folder}: {verdict}\n{parts}, {}, {}\n", report.rows, report.bytes);
    for problem in &report.problems {
        let _ = writeln!(text, "problem: {problem}");
    }
    for shortfall in &report.shortfalls {
        let _ = writeln!(text, "missing: {shortfall}");
    }
    for elsewhere in &report.elsewhere {
        let _ = writeln!(text, "elsewhere: {elsewhere}");
    }
    let (report_advice, is_short) = (report.advice.iter().map(String::as_str), code(report) == ExitCode::Incomplete);
    for advice in report_advice.chain(is_short.then_some(READS_IT)) {
        let _ = writeln!(text, "hint: {advice}");
    }
    text
}
