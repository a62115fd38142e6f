//! What the output folder says of itself: `_manifest.json`.
//!
//! It is the folder's owner (its identity), its list of contents, and the account of what was read and when, over all runs. Times are
//! epoch seconds, ranges half-open. A change of a name or a meaning is a new [`MANIFEST_VERSION`]; `former` reads the versions
//! before it, and a version that is not known is refused, never guessed. Pure.
//!
//! Replacing the manifest is the one moment at which anything changes for a reader who goes by it. Each one has a generation, and is
//! put in the place of the one before it and of no other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::api::contract::Region;
use crate::journal::record::PartRecord;
use crate::sink::account::{Account, Lacking};
use crate::sink::history::{History, Unusual};
use crate::sink::identity::Identity;
use crate::sink::layout::{Slice, slice_of};
use crate::sink::shard::{Merged, ShardPart};
use crate::sink::table::Table;
use crate::units::{EpochSeconds, RowCount, TimeRange};

pub(super) mod former;
mod sound;

/// The version of the manifest's format.
pub const MANIFEST_VERSION: u32 = 3;
/// The manifest's name in the output folder.
pub const MANIFEST: &str = "_manifest.json";
/// The name of the file that says: complete.
pub const SUCCESS: &str = "_SUCCESS";

/// How far the run that wrote a manifest had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is running, or was when it ended without a word.
    Running,
    /// Every second of its range is covered, for each of its regions.
    Complete,
    /// It has ended, and something of its range is not there.
    Incomplete,
}

/// The contents of `_manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the format that it was read from; [`MANIFEST_VERSION`] when it was written.
    pub manifest_version: u32,
    /// Counts the manifests of this output; this one took the place of the one before it.
    pub generation: u64,
    /// What tells the write of this text from every other: a word for the state that wrote it, `-`, and a random one; of an output in a
    /// bucket only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_id: Option<String>,
    /// The program's version.
    pub tool_version: String,
    /// The version of the columns of the parts that this version writes.
    pub schema_version: u32,
    /// What the folder holds the answer to.
    pub identity: Identity,
    /// The run that wrote this.
    pub run: String,
    /// When that run began.
    pub began_at: EpochSeconds,
    /// The regions that it was asked for.
    pub regions: Vec<Region>,
    /// The range that it was asked for.
    pub range: TimeRange,
    /// How far it had come.
    pub status: Status,
    /// Rejected rows that do not keep its range from being complete.
    #[serde(default)]
    pub max_rejected: u64,
    /// How long after a region's first answer that run asked for its ends again before it believed them, seconds; with 0 it believed
    /// them at once.
    #[serde(default)]
    pub confirm_after_seconds: u64,
    /// How long parts are kept, in seconds: older ones may be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retain_seconds: Option<i64>,
    /// Every live part, of this run and of former ones; their paths are below the output folder, so they begin with `data/`.
    pub parts: Vec<PartRecord>,
    /// Paths of parts that this manifest replaced: they are gone, or about to go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub superseded: Vec<String>,
    /// What readers of tables are told, where the output is kept as a table too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Table>,
    /// What the output holds and lacks, over all runs.
    #[serde(flatten)]
    pub account: Account,
    /// Rows of this run that no column can take, kept under `_rejected`.
    pub rejected_rows: RowCount,
    /// What else was counted of this run.
    pub counters: BTreeMap<String, u64>,
    /// What days and newest rows were like over the runs, which later runs are held against.
    #[serde(default, skip_serializing_if = "History::is_empty")]
    pub history: History,
    /// What of this run is unlike the runs before it; nothing of it keeps its range from being complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unusual: Vec<Unusual>,
    /// Of which part of the question this is the account; none in the manifest of a whole output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardPart>,
    /// The accounts of shards that the last `merge` has taken in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<Merged>,
    /// When this was written.
    pub written_at: EpochSeconds,
}

/// A manifest that cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not a manifest, or damaged.
    #[error("{MANIFEST} cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// It says what this program never writes.
    #[error("{MANIFEST} is damaged: {0}")]
    Damaged(String),
    /// From another version of the program.
    #[error(
        "{MANIFEST} has format version {0}, and this program knows 1 to {MANIFEST_VERSION}: use the version that wrote it"
    )]
    Version(u64),
}

impl ManifestError {
    /// The same of a file that has another name: a shard's account.
    pub fn told_of(&self, file: &str) -> String {
        let told = self.to_string();
        told.strip_prefix(MANIFEST).map(|rest| format!("{file}{rest}")).unwrap_or(told)
    }
}

#[derive(Deserialize)]
struct Versioned {
    manifest_version: u64,
}

impl Manifest {
    /// Paths of former parts that may still lie there: they are about to go, or stay for readers of former versions of the table.
    pub fn former_paths(&self) -> impl Iterator<Item = &String> {
        let of_the_table = self.table.iter().flat_map(|table| table.superseded.iter().map(|one| &one.path));
        self.superseded.iter().chain(of_the_table)
    }

    /// Reads a manifest's JSON text. One of a former version is told in the terms of this one.
    ///
    /// # Errors
    /// Where it is no manifest, damaged, or of a version that is not known.
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        let Versioned { manifest_version } = serde_json::from_slice(json)?;
        let manifest = match manifest_version {
            1 | 2 => former::parse(json)?,
            known if known == u64::from(MANIFEST_VERSION) => serde_json::from_slice(json)?,
            other => return Err(ManifestError::Version(other)),
        };
        match sound::fault(&manifest) {
            None => Ok(manifest),
            Some(fault) => Err(ManifestError::Damaged(fault)),
        }
    }

    /// The manifest where these files, which it does not list, are not in their places: what its runs read of them alone is not covered.
    #[must_use]
    pub fn without(mut self, files: &[String]) -> Self {
        for Slice { region, range, run } in files.iter().filter_map(|path| slice_of(path)) {
            let of_region = self.parts.iter().filter(|part| part.region == region).map(|part| part.range);
            let alone = range.without(&of_region.collect::<Vec<_>>());
            self.account.coverage.lose_of(&region, &alone, &run);
        }
        self
    }

    /// The generation of a manifest's JSON text; 0 of a former version, which had none.
    ///
    /// # Errors
    /// Where it is no manifest.
    pub fn generation_of(json: &[u8]) -> Result<u64, ManifestError> {
        #[derive(Deserialize)]
        struct Counted {
            #[serde(default)]
            generation: u64,
        }
        Ok(serde_json::from_slice::<Counted>(json)?.generation)
    }

    /// The id of the write that put a manifest's JSON text where it was found; none where it has none, or is no manifest.
    pub fn write_id_of(json: &[u8]) -> Option<String> {
        #[derive(Deserialize)]
        struct Written {
            write_id: Option<String>,
        }
        serde_json::from_slice::<Written>(json).ok()?.write_id
    }

    /// The manifest as JSON text, for people too.
    ///
    /// # Errors
    /// Never, unless a part of it has no JSON form.
    pub fn to_json(&self) -> Result<Vec<u8>, ManifestError> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        Ok(json)
    }

    /// What of the run's regions and range is not there; in a shard's account, of its own part.
    pub fn lacking(&self) -> Lacking {
        let account = self.account.kept_from(self.retained_from(self.written_at));
        match &self.shard {
            None => account.lacking(&self.regions, self.range),
            Some(shard) => account.lacking_of(&shard.tiles),
        }
    }

    /// Whether the whole output has taken in a shard's account as it stands.
    pub fn has_merged(&self, account: &Self) -> bool {
        let is_it = |merged: &Merged| {
            let name = account.shard.as_ref().map(|shard| shard.name);
            name == Some(merged.name) && merged.run == account.run && merged.generation == account.generation
        };
        self.merged.iter().any(is_it)
    }

    /// Whether all of the run's regions and range is there: what [`SUCCESS`] stands for.
    pub fn is_whole(&self) -> bool {
        let lacking = self.lacking();
        lacking.is_nothing() && lacking.rejected.get() <= self.max_rejected
    }

    /// The seconds before which parts may be missing, as of `now`.
    pub fn retained_from(&self, now: EpochSeconds) -> Option<EpochSeconds> {
        self.retain_seconds.map(|seconds| now.shifted(-seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_of_another_version_is_refused_before_it_is_read() {
        let text = Manifest::parse(br#"{"manifest_version":4,"who":"knows"}"#).unwrap_err().to_string();
        assert!(text.contains("format version 4"), "{text}");
        assert!(matches!(Manifest::parse(b"{"), Err(ManifestError::Unreadable(_))));
    }
}
