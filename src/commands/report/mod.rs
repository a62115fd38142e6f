//! `report`, and `--report` of `run`: the last run as one page of HTML, which needs nothing but itself.
//!
//! `gather` reads state, manifest and parts; `page`, `requests` and `chart` tell what they mean, pure. Nothing is sent, and nothing of the output is
//! changed.

mod chart;
mod gather;
mod html;
mod page;
mod requests;

use std::path::{Path, PathBuf};

use crate::cli::ReportArguments;
use crate::config::Settings;
use crate::failure::{ExitCode, Failure};
use crate::replaced::{self, Readers};
use crate::sink::address::Address;
use crate::summary::Summary;
use crate::telemetry::Log;

use super::places::Places;
use super::signals;
use super::written::Guarded;
use gather::Gathered;

/// Writes the report of the last run.
///
/// # Errors
/// No run to report, a state that cannot be read, a file that cannot be written.
pub async fn report(settings: Settings, arguments: &ReportArguments, log: &Log) -> Result<ExitCode, Failure> {
    signals::end_at_once(log)?;
    let places = Places::of(&settings, None)?;
    let file = settings.report.report.clone().unwrap_or_else(|| beside(&settings.output.folder, &places));
    let guarded = Guarded::new(&settings, arguments.config(), Some(&places));
    guarded.allow([("report.report", Some(file.as_path()))])?;
    prepare(&file)?;
    write(&places, None, &file).await?;
    super::print(format!("{}\n", file.display()).as_bytes())
}

/// The report's default place: beside the output, under its name; of a bucket it is the working folder.
fn beside(written: &Path, places: &Places) -> PathBuf {
    let output = match &places.output {
        Address::Bucket(bucket) => &PathBuf::from(bucket.folder_name()),
        Address::Folder(_) if written.file_name().is_some() => written,
        Address::Folder(folder) => folder,
    };
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(".report.html");
    output.with_file_name(name)
}

/// Makes sure that the report can be written at the end.
///
/// # Errors
/// The file is a folder, or lies where nothing can be made.
pub(super) fn prepare(file: &Path) -> Result<(), Failure> {
    replaced::prepare(file).map_err(|error| {
        Failure::new(ExitCode::Usage, format!("writing the report to {}: {error}", file.display()))
            .with_hint("name a file that can be written with --report; nothing was sent")
    })
}

/// Writes the report of the last run; `summary` is what the start came to that has just ended.
///
/// # Errors
/// What cannot be read or written.
pub(super) async fn write(places: &Places, summary: Option<&Summary>, file: &Path) -> Result<(), Failure> {
    let page = page::page(&Gathered::read(places, summary.cloned()).await?);
    replaced::replace(file, page.as_bytes(), Readers::AsUsual).map_err(|error| {
        Failure::new(ExitCode::LocalDamage, format!("writing the report to {}: {error}", file.display()))
            .with_hint("free some space or name another file, then `report` writes it again")
    })
}
