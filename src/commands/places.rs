//! Where a command's output and state are, however they are written: a folder each, or a bucket and a folder.

use std::path::{Path, PathBuf};

use crate::config::{Settings, StateSettings};
use crate::failure::{ExitCode, Failure};
use crate::folder;
use crate::replica::Away;
use crate::sink::address::{Address, BucketAddress};
use crate::sink::publish::OutputError;
use crate::sink::shard::ShardName;

/// How the default state's name goes on after the output's.
const STATE: &str = ".state";
/// By what a state is known.
const JOURNAL: &str = "journal.sqlite";

/// The output and the state, resolved: folders are absolute, without links, and neither inside the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) output: Address,
    /// The state's folder; of one in a bucket the folder that a start works in.
    pub(super) state: PathBuf,
    /// Where the state is kept, if that is a bucket.
    pub(super) away: Option<Away>,
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
        let away = away(&settings.state, shard)?;
        let state = match (&settings.state.folder, &away, &output) {
            (_, Some(away), _) => to_work_in(&settings.state, &away.address)?,
            (Some(folder), None, _) => {
                let folder = resolved("state.folder", folder)?;
                shard.map_or(folder.clone(), |shard| folder.join(shard.file_name()))
            }
            (None, None, Address::Folder(output)) => beside(output, shard)?,
            (None, None, Address::Bucket(bucket)) => in_the_working_folder(bucket)?,
        };
        if let (Some(away), Address::Bucket(output)) = (&away, &output) {
            refuse_one_below_the_other(output, &away.address)?;
        }
        if shard.is_some() {
            folder_of_shards(&output)?;
        }
        if let Address::Folder(folder) = &output {
            refuse_one_inside_the_other(folder, &state)?;
            if settings.state.folder.is_none() && shard.is_none() {
                refuse_a_former_state(written, &state)?;
            }
        }
        Ok(Self { output, state, away })
    }

    /// Where the state is, for a person.
    pub(super) fn told_state(&self) -> PathBuf {
        told_state(&self.state, self.away.as_ref())
    }
}

/// Where a state is, for a person.
pub(super) fn told_state(folder: &Path, away: Option<&Away>) -> PathBuf {
    away.map_or_else(|| folder.to_owned(), |away| PathBuf::from(away.told()))
}

/// Where the output is that the settings mean; a folder as it was written.
///
/// # Errors
/// An address that names no bucket.
pub(super) fn named(written: &Path) -> Result<Address, Failure> {
    Address::parse(written).map_err(|error| {
        Failure::new(ExitCode::Usage, format!("`output.folder = {}` names no output: {error}", written.display()))
            .with_hint("write the path of a folder, or s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX")
    })
}

/// The same, with a folder resolved.
///
/// # Errors
/// The same, and a path that cannot be resolved.
pub(super) fn output(settings: &Settings) -> Result<Address, Failure> {
    match named(&settings.output.folder)? {
        Address::Folder(folder) => Ok(Address::Folder(resolved("output.folder", &folder)?)),
        bucket @ Address::Bucket(_) => Ok(bucket),
    }
}

/// The folder of an output that shards write into, or that is merged.
///
/// # Errors
/// An output in a bucket.
pub(super) fn folder_of_shards(output: &Address) -> Result<&Path, Failure> {
    output.folder().ok_or_else(|| {
        let error = OutputError::NoShards { output: output.to_string() };
        Failure::from_error(ExitCode::Usage, &error).with_hint(SHARDS_HINT)
    })
}

/// What to do about shards in a bucket.
pub(super) const SHARDS_HINT: &str = "give the shards a folder that all of them reach with --out, and copy it into the bucket once it is merged: \
                                      data/ first, _SUCCESS last; or ask without --shard, since one process may write into a bucket";

/// Where the state is kept, if the settings name a bucket; each shard's below that, under its name.
///
/// # Errors
/// An address that names no bucket.
pub(super) fn away(settings: &StateSettings, shard: Option<ShardName>) -> Result<Option<Away>, Failure> {
    let Some(written) = &settings.folder else { return Ok(None) };
    let address = Address::parse(written).map_err(|error| {
        Failure::new(ExitCode::Usage, format!("`state.folder = {}` names no state: {error}", written.display()))
            .with_hint("write the path of a folder, or s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX")
    })?;
    let Address::Bucket(mut address) = address else { return Ok(None) };
    if let Some(shard) = shard {
        let levels = [address.prefix.as_str(), &shard.file_name()].map(str::to_owned);
        address.prefix = levels.into_iter().filter(|level| !level.is_empty()).collect::<Vec<_>>().join("/");
    }
    Ok(Some(Away {
        address,
        requests_at_risk: u64::from(settings.requests_at_risk),
        ship_every: settings.ship_every.get(),
        lease_interval: settings.lease_interval.get(),
    }))
}

/// The folder that a start works in whose state is in a bucket: the same for each start on a machine.
fn to_work_in(settings: &StateSettings, state: &BucketAddress) -> Result<PathBuf, Failure> {
    let below = settings.work_folder.clone().unwrap_or_else(std::env::temp_dir);
    let name = format!("keyapi-export-{}-{}{STATE}", state.provider.scheme(), state.folder_name());
    Ok(resolved("state.work_folder", &below)?.join(name))
}

fn refuse_one_below_the_other(output: &BucketAddress, state: &BucketAddress) -> Result<(), Failure> {
    let levels = |address: &BucketAddress| {
        let own = address.prefix.split('/').filter(|level| !level.is_empty()).map(str::to_owned);
        std::iter::once(format!("{}://{}", address.provider.scheme(), address.name)).chain(own).collect::<Vec<_>>()
    };
    let (of_output, of_state) = (levels(output), levels(state));
    if !of_output.starts_with(&of_state) && !of_state.starts_with(&of_output) {
        return Ok(());
    }
    let (output, state) = (Address::Bucket(output.clone()), Address::Bucket(state.clone()));
    Err(Failure::new(ExitCode::Usage, format!("of the output {output} and the state {state} one lies below the other"))
        .with_hint("give each a prefix of its own, such as --out s3://lake/videos --state s3://lake/videos.state"))
}

fn refuse_one_inside_the_other(output: &Path, state: &Path) -> Result<(), Failure> {
    let relation = if output == state {
        "are the same folder"
    } else if folder::holds(output, state) {
        "lie one inside the other: the output holds the state"
    } else if folder::holds(state, output) {
        "lie one inside the other: the state holds the output"
    } else {
        return Ok(());
    };
    let (output, state) = (output.display(), state.display());
    Err(Failure::new(ExitCode::Usage, format!("the output {output} and the state {state} {relation}"))
        .with_hint("give each a folder of its own, such as --out data/videos --state data/videos.state"))
}

/// The default once took the output's name as it was written, with its slash and its links: what lies there was paid for.
fn refuse_a_former_state(written: &Path, state: &Path) -> Result<(), Failure> {
    let mut former = written.as_os_str().to_owned();
    former.push(STATE);
    let former = resolved("output.folder", Path::new(&former))?;
    if former == state || state.exists() || !former.join(JOURNAL).exists() {
        return Ok(());
    }
    let (former, state) = (former.display(), state.display());
    Err(Failure::new(
        ExitCode::Usage,
        format!("an earlier version kept the state of this output in {former}; its place is {state}"),
    )
    .with_hint(format!(
        "mv {former} {state}, then run the same command: without it everything would be paid for again"
    )))
}

/// The state's default place where the output is in a bucket: the working folder, under the bucket's and the prefix' name.
fn in_the_working_folder(bucket: &BucketAddress) -> Result<PathBuf, Failure> {
    resolved("output.folder", Path::new(&format!("{}{STATE}", bucket.folder_name())))
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
    let refused = |why: &dyn std::fmt::Display| {
        Failure::new(ExitCode::Usage, format!("`{key} = {}` names no folder: {why}", written.display()))
            .with_hint("write the path of a folder, such as --out data/videos or --state data/videos.state")
    };
    let folder = folder::resolve(written).map_err(|error| refused(&error))?;
    match folder.metadata() {
        // What is there may have taken the folder's place by accident, so it is trouble with the disk, as a missing folder is.
        Ok(found) if !found.is_dir() => Err(Failure::new(
            ExitCode::LocalDamage,
            format!("`{key} = {}` is no folder: something else is there", folder.display()),
        )
        .with_hint(
            "move away what is there, or name a folder, such as --out data/videos or --state data/videos.state",
        )),
        _ => Ok(folder),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        std::fs::write(&file, "x").unwrap();
        for refused in
            [places(&file, None), places(&folder.path().join("out"), Some(&file)), places(Path::new("/dev/null"), None)]
        {
            assert!(refused.unwrap_err().to_string().contains("is no folder: something else is there"));
        }
    }

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
        assert!(
            matches!(&one_word.output, Address::Folder(folder) if folder.is_absolute())
                && one_word.state.ends_with("st")
        );
    }

    #[test]
    fn the_state_of_a_bucket_lies_in_the_working_folder() {
        let bucket = Path::new("s3://lake/videos/us/");
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        let found = places(bucket, None).unwrap();
        assert_eq!(
            (found.output.to_string().as_str(), found.state),
            ("s3://lake/videos/us", here.join("lake-videos-us.state"))
        );
        assert!(places(bucket, Some(Path::new("s"))).unwrap().state.ends_with("s"));
        let both = places(bucket, Some(Path::new("s3://lake/videos.state/"))).unwrap();
        assert_eq!(both.told_state(), Path::new("s3://lake/videos.state"));
        assert!(both.state.ends_with("keyapi-export-s3-lake-videos.state.state"), "{}", both.state.display());
        places(bucket, Some(Path::new("gs://lake/videos/us"))).unwrap();
        for (output, state) in [
            ("ftp://lake/x", None),
            ("x", Some("ftp://lake/x")),
            ("s3://lake/x", Some("s3://lake/x")),
            ("s3://lake/x", Some("s3://lake/x/state")),
            ("s3://lake/x/y", Some("s3://lake/x")),
            ("s3://lake", Some("s3://lake/state")),
        ] {
            let refused = places(Path::new(output), state.map(Path::new)).unwrap_err();
            assert_eq!(refused.code(), ExitCode::Usage, "{refused}");
        }
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
