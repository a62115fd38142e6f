//! `verify`: the output against its manifest, offline.

use std::fmt::Write as _;

use crate::config::Settings;
use crate::failure::{ExitCode, Failure};
use crate::sink::manifest::ManifestError;
use crate::sink::verify::{Report, VerifyError};

use super::signals;

/// Compares the output with its manifest and prints what was found.
///
/// # Errors
/// An output that cannot be read.
pub async fn verify(settings: Settings) -> Result<ExitCode, Failure> {
    signals::end_at_once()?;
    let folder = &settings.output.folder;
    let report = crate::sink::verify::verify(folder).await.map_err(|error| {
        let (code, hint) = match error {
            VerifyError::NoManifest { .. } => (ExitCode::Usage, Some("name the folder that --out named for `run`")),
            VerifyError::Manifest(ManifestError::Version(_)) => {
                (ExitCode::Usage, Some("use the version of this program that wrote it"))
            }
            _ => (ExitCode::LocalDamage, None),
        };
        let failure = Failure::from_error(code, &error);
        if let Some(hint) = hint { failure.with_hint(hint) } else { failure }
    })?;
    super::print(text(&report, &folder.display().to_string()).as_bytes())?;
    Ok(if !report.agrees() {
        ExitCode::LocalDamage
    } else if report.is_complete() {
        ExitCode::Complete
    } else {
        ExitCode::Incomplete
    })
}

fn text(report: &Report, folder: &str) -> String {
    let verdict = match (report.agrees(), report.is_complete()) {
        (false, _) => "damaged: folder and manifest disagree",
        (true, false) => "sound, but something of the range is missing",
        (true, true) => "sound and complete",
    };
    let mut text = format!("{folder}: {verdict}\n{} parts, {}, {}\n", report.parts, report.rows, report.bytes);
    for problem in &report.problems {
        let _ = writeln!(text, "problem: {problem}");
    }
    for shortfall in &report.shortfalls {
        let _ = writeln!(text, "missing: {shortfall}");
    }
    for elsewhere in &report.elsewhere {
        let _ = writeln!(text, "elsewhere: {elsewhere}");
    }
    for advice in &report.advice {
        let _ = writeln!(text, "hint: {advice}");
    }
    text
}
