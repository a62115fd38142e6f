//! The files that a command is told to write: none of them may be one that the command reads, or that output or state are made of.
//!
//! Asked before anything is written: a file that was refused, or that nobody has asked about yet, stays as it is.

use std::path::{Path, PathBuf};

use crate::config::Settings;
use crate::failure::{ExitCode, Failure};
use crate::folder;

use super::places::Places;

/// What to do about a file that may not be written.
const HINT: &str = "name a file beside the output, such as data/videos.summary.json; nothing was sent or written";
/// Variables that name a file which some command reads: authorities, and keys of the stores.
const READ_BY_VARIABLE: [&str; 9] = [
    "SSL_CERT_FILE",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AZURE_FEDERATED_TOKEN_FILE",
];

/// Files by what names each of them.
type Named = Vec<(String, PathBuf)>;

/// What a command reads and what it keeps.
#[derive(Clone, Debug)]
pub(super) struct Guarded {
    inputs: Named,
    places: Option<Places>,
}

impl Guarded {
    /// The files that these settings, read from that file, name to be read; and output and state, where the command has them.
    pub(super) fn new(settings: &Settings, config: Option<&Path>, places: Option<&Places>) -> Self {
        let token = settings.service.token_file.clone().map(|file| ("service.token_file".to_owned(), file));
        let config = config.map(|file| ("--config".to_owned(), file.to_owned()));
        let variables =
            READ_BY_VARIABLE.into_iter().filter_map(|name| Some((name.to_owned(), std::env::var_os(name)?)));
        let variables = variables.map(|(name, file)| (name, PathBuf::from(file)));
        Self { inputs: resolved(token.into_iter().chain(config).chain(variables)), places: places.cloned() }
    }

    /// Refuses a file to be written that is one of these, by whatever name, and two that are one.
    ///
    /// # Errors
    /// The setting by its key, and what else is there. What cannot be resolved can be neither read nor written.
    pub(super) fn allow<'a>(
        &self,
        files: impl IntoIterator<Item = (&'a str, Option<&'a Path>)>,
    ) -> Result<(), Failure> {
        let named = files.into_iter().filter_map(|(key, file)| Some((key.to_owned(), file?.to_owned())));
        let files = resolved(named);
        for (place, (key, file)) in files.iter().enumerate() {
            let is_same = |(other, path): &&(String, PathBuf)| other != key && folder::holds(path, file);
            let others = || files.iter().take(place);
            let what = if let Some((input, _)) = self.inputs.iter().find(is_same) {
                format!("is the file that `{input}` names, which is read and not written")
            } else if let Some(of) = self.places.as_ref().and_then(|places| of_its_own(places, file)) {
                of.to_owned()
            } else if let Some((other, _)) = others().find(is_same) {
                format!("is the file that `{other}` names, too")
            } else {
                continue;
            };
            return Err(Failure::new(ExitCode::Usage, format!("`{key} = {}` {what}", file.display())).with_hint(HINT));
        }
        Ok(())
    }
}

/// The files of a run.
pub(super) fn of_run(settings: &Settings) -> [(&str, Option<&Path>); 3] {
    let report = &settings.report;
    [
        ("report.summary", report.summary.as_deref()),
        ("report.report", report.report.as_deref()),
        ("report.metrics_file", report.metrics_file.as_deref()),
    ]
}

fn resolved(files: impl Iterator<Item = (String, PathBuf)>) -> Named {
    files.filter_map(|(key, file)| Some((key, folder::resolve(&file).ok()?))).collect()
}

/// What a file is of output or state, if it is.
fn of_its_own(places: &Places, file: &Path) -> Option<&'static str> {
    if folder::holds(&places.state, file) {
        return Some("is a file of the state, which holds what was paid for");
    }
    places.output.folder().filter(|output| is_of_the_output(output, file)).map(|_| "is a file of the output")
}

/// Whether a file is what readers are shown or what the output says of itself, whose names begin with `_` or a dot.
fn is_of_the_output(output: &Path, file: &Path) -> bool {
    let Ok(below) = file.strip_prefix(output) else { return false };
    let first = below.components().next().map(|name| name.as_os_str().to_string_lossy().into_owned());
    first.is_none_or(|name| name == "data" || name.starts_with(['_', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(folder: &Path) -> Settings {
        let mut settings = Settings::default();
        settings.output.folder = folder.join("out");
        settings
    }

    fn refusal(settings: &Settings, config: Option<&Path>) -> Option<String> {
        let places = Places::of(settings, None).unwrap();
        let guarded = Guarded::new(settings, config, Some(&places));
        guarded.allow(of_run(settings)).err().map(|failure| failure.to_string())
    }

    #[test]
    fn no_file_is_written_over_what_the_output_or_the_state_is_made_of() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(folder.path());
        let mut told = |summary: &str, report: Option<&str>| {
            settings.report.summary = Some(folder.path().join(summary));
            settings.report.report = report.map(|report| folder.path().join(report));
            refusal(&settings, None)
        };
        for own in
            ["out.state/journal.sqlite", "out/_manifest.json", "out/_SUCCESS", "out/data/x.json", "out/.lock", "out"]
        {
            let error = told(own, None).unwrap_or_default();
            assert!(error.contains("report.summary") && error.contains(own), "{own}: {error}");
        }
        let error = told("s.json", Some("out/../s.json")).unwrap_or_default();
        assert!(error.contains("report.report") && error.contains("report.summary"), "{error}");
        for beside in ["out.summary.json", "out/summary.json", "data/s.json", "out.state.json"] {
            assert_eq!(told(beside, Some("r.html")), None, "{beside}");
        }
    }

    /// The key's file and the configuration were replaced by a summary, a report or metrics that were given their names.
    #[cfg(unix)]
    #[test]
    fn no_file_is_written_over_what_the_command_reads_by_whatever_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["key", "job.toml"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
            std::os::unix::fs::symlink(name, folder.path().join(format!("link to {name}"))).unwrap();
        }
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("missing"), folder.path().join("link to missing")).unwrap();
        for (input, setting) in [("key", "service.token_file"), ("job.toml", "--config"), ("missing", "--config")] {
            let path = folder.path().join(input);
            for name in [input.to_owned(), format!("./{input}"), format!("a/../{input}"), format!("link to {input}")] {
                for key in ["report.summary", "report.report", "report.metrics_file"] {
                    let mut settings = settings(folder.path());
                    let is_token = setting == "service.token_file";
                    settings.service.token_file = is_token.then(|| path.clone());
                    let report = &mut settings.report;
                    *match key {
                        "report.summary" => &mut report.summary,
                        "report.report" => &mut report.report,
                        _ => &mut report.metrics_file,
                    } = Some(folder.path().join(&name));
                    let error = refusal(&settings, (!is_token).then_some(&path)).unwrap_or_default();
                    assert!(error.contains(key) && error.contains(setting), "{key} {name}: {error}");
                }
            }
        }
    }
}
