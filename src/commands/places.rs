//! Where a command's output and state are: one folder each, however they are written.

use std::path::{Path, PathBuf};

use crate::config::Settings;
use crate::failure::{ExitCode, Failure};
use crate::folder;
use crate::sink::shard::ShardName;

/// How the default state's name goes on after the output's.
const STATE: &str = ".state";
/// By what a state is known.
const JOURNAL: &str = "journal.sqlite";

/// The output and the state, resolved: absolute, without links, and neither inside the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) output: PathBuf,
    pub(super) state: PathBuf,
}

impl Places {
    /// The places that the settings mean. Makes nothing. Each shard has a state of its own: beside the output, under its name and the
    /// shard's; or below the folder that is named.
    ///
    /// # Errors
    /// A path that cannot be resolved, an output without a name to call the state by, two folders of which one holds the
    /// other, and a state that an earlier version kept elsewhere.
    pub(super) fn of(settings: &Settings, shard: Option<ShardName>) -> Result<Self, Failure> {
        let written = &settings.output.folder;
        let output = output(settings)?;
        let state = match (&settings.state.folder, shard) {
            (Some(folder), None) => resolved("state.folder", folder)?,
            (Some(folder), Some(shard)) => resolved("state.folder", folder)?.join(shard.file_name()),
            (None, shard) => beside(&output, shard)?,
        };
        let places = Self { output, state };
        places.refuse_one_inside_the_other()?;
        if settings.state.folder.is_none() && shard.is_none() {
            places.refuse_a_former_state(written)?;
        }
        Ok(places)
    }

    fn refuse_one_inside_the_other(&self) -> Result<(), Failure> {
        let (output, state) = (self.output.display(), self.state.display());
        let relation = if self.output == self.state {
            "are the same folder"
        } else if folder::holds(&self.output, &self.state) {
            "lie one inside the other: the output holds the state"
        } else if folder::holds(&self.state, &self.output) {
            "lie one inside the other: the state holds the output"
        } else {
            return Ok(());
        };
        Err(Failure::new(ExitCode::Usage, format!("the output {output} and the state {state} {relation}"))
            .with_hint("give each a folder of its own, such as --out data/videos --state data/videos.state"))
    }

    /// The default once took the output's name as it was written, with its slash and its links: what lies there was paid for.
    fn refuse_a_former_state(&self, written: &Path) -> Result<(), Failure> {
        let mut former = written.as_os_str().to_owned();
        former.push(STATE);
        let former = resolved("output.folder", Path::new(&former))?;
        if former == self.state || self.state.exists() || !former.join(JOURNAL).exists() {
            return Ok(());
        }
        let (former, state) = (former.display(), self.state.display());
        Err(Failure::new(
            ExitCode::Usage,
            format!("an earlier version kept the state of this output in {former}; its place is {state}"),
        )
        .with_hint(format!(
            "mv {former} {state}, then run the same command: without it everything would be paid for again"
        )))
    }
}

/// The output's place.
pub(super) fn output(settings: &Settings) -> Result<PathBuf, Failure> {
    resolved("output.folder", &settings.output.folder)
}

/// The state's default place: beside the output, under its name.
fn beside(output: &Path, shard: Option<ShardName>) -> Result<PathBuf, Failure> {
    let Some(name) = output.file_name() else {
        return Err(Failure::new(
            ExitCode::Usage,
            format!("the output {} has no name to call its state by", output.display()),
        )
        .with_hint("name the state's folder with --state, or choose another --out"));
    };
    let mut name = name.to_owned();
    if let Some(shard) = shard {
        name.push(format!(".{}", shard.file_name()));
    }
    name.push(STATE);
    Ok(output.with_file_name(name))
}

fn resolved(key: &str, written: &Path) -> Result<PathBuf, Failure> {
    folder::resolve(written).map_err(|error| {
        Failure::new(ExitCode::Usage, format!("`{key} = {}` names no folder: {error}", written.display()))
            .with_hint("write the path of a folder, such as --out data/videos or --state data/videos.state")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(output: &Path, state: Option<&Path>) -> Result<Places, Failure> {
        let mut settings = Settings::default();
        settings.output.folder = output.to_owned();
        settings.state.folder = state.map(Path::to_owned);
        Places::of(&settings, None)
    }

    #[test]
    fn the_state_lies_beside_the_output_however_that_is_written() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        for written in ["x", "x/", "./x", "a/../x", "x/."] {
            assert_eq!(places(&root.join(written), None).unwrap().state, root.join("x.state"), "{written}");
        }
        assert!(places(Path::new("/"), None).unwrap_err().message().contains("no name"));
        let one_word = places(Path::new("out"), Some(Path::new("st"))).unwrap();
        assert!(one_word.output.is_absolute() && one_word.state.ends_with("st"));
    }

    #[test]
    fn folders_that_hold_each_other_are_refused_and_both_are_named() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().canonicalize().unwrap().join(name);
        for (output, state) in [("x", "x/state"), ("s/x", "s"), ("x", "./x/"), ("x", "y/../x/.state")] {
            let refused = places(&at(output), Some(&at(state))).unwrap_err();
            assert_eq!(refused.code(), ExitCode::Usage);
            assert!(refused.message().contains(&at(output).display().to_string()), "{refused}");
        }
        places(&at("x"), Some(&at("xstate"))).unwrap();
    }

    #[test]
    fn a_state_in_its_former_place_is_not_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("x/.state")).unwrap();
        std::fs::write(root.join("x/.state").join(JOURNAL), "").unwrap();
        let refused = places(&root.join("x/"), None).unwrap_err().to_string();
        assert!(refused.contains("mv "), "{refused}");
        std::fs::rename(root.join("x/.state"), root.join("x.state")).unwrap();
        places(&root.join("x/"), None).unwrap();
    }
}
