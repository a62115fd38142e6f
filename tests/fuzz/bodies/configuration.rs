//! A settings file, and the environment.

use std::collections::BTreeMap;
use std::path::Path;

use keyapi_export::config::keys::ENVIRONMENT_PREFIX;
use keyapi_export::config::layers::Sources;
use keyapi_export::config::{NotifySettings, Settings};
use keyapi_export::units::EpochSeconds;

/// What stands between the file and the variables of an input.
const BETWEEN: &str = "\n---\n";

/// A TOML file; after a line `---`, variables as `NAME=value`, one a line.
pub(crate) fn configuration(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (file, variables) = text.split_once(BETWEEN).unwrap_or((&text, ""));
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let named = |(name, value): (&str, &str)| (format!("{ENVIRONMENT_PREFIX}{name}"), value.to_owned());
    let folder = super::folder();
    let path = folder.path().join("job.toml");
    std::fs::write(&path, file).expect("a file to load");
    match load(&path, variables.map(named).collect()) {
        Ok(settings) => is_meant(&settings, &path),
        Err(error) => {
            let places = ["job.toml", "environment variable", "the command line", "`", "filters"];
            assert!(places.iter().any(|place| error.text.contains(place)), "names no place: {}", error.text);
            assert!(!error.hint.is_empty());
        }
    }
}

struct Refusal {
    text: String,
    hint: String,
}

fn load(path: &Path, environment: BTreeMap<String, String>) -> Result<Settings, Refusal> {
    let sources = Sources { file: Some(path.to_owned()), environment, flags: Vec::new() };
    Settings::load(&sources).map_err(|error| Refusal { text: error.to_string(), hint: error.hint() })
}

/// What was accepted can be resolved at any moment, and written down it is the same again, but for what is never written down: the
/// addresses to be pinged.
fn is_meant(settings: &Settings, path: &Path) {
    for now in [0, 1_767_225_600, EpochSeconds::MAX.get()] {
        if let Ok(range) = settings.question.range(EpochSeconds::new(now)) {
            assert!(!range.is_empty());
        }
    }
    // Only the simulator's open table can hold what TOML cannot.
    let Ok(merged) = settings.merged_toml() else { return };
    std::fs::write(path, &merged).expect("a file to load again");
    let written = Settings { notify: NotifySettings::default(), ..settings.clone() };
    match load(path, BTreeMap::new()) {
        Ok(again) => assert!(again == written, "the merged configuration is another one:\n{merged}"),
        Err(refusal) => panic!("the merged configuration is refused: {}\n{merged}", refusal.text),
    }
}

/// The configurations of this repository, and some variables.
pub(super) fn good() -> Vec<Vec<u8>> {
    let files = [
        include_str!("../../../config/reference.toml"),
        include_str!("../../../config/demo.toml"),
        include_str!("../../../config/daily.toml"),
        include_str!("../../../config/backfill.toml"),
    ];
    let mut inputs: Vec<Vec<u8>> = files.iter().map(|file| file.as_bytes().to_vec()).collect();
    let variables = "PACE__QPS=12.5\nQUESTION__REGIONS=US,GB\nQUESTION__FROM=-7d\nBUDGET__MAX_CREDITS=100\n\
                     SIMULATOR__FAULTS__RESET=0.5\nOUTPUT__PARTITION=month\nSERVICE__BASE_URL=http://127.0.0.1:1\n";
    inputs.push(format!("[question]\nregions = [\"US\"]\nfrom = 2026-01-01{BETWEEN}{variables}").into_bytes());
    inputs
}
