//! What the output folder says of itself: `_manifest.json`.
//!
//! It is the folder's owner (the question's fingerprint) and its list of contents. Times are epoch seconds, ranges half-open. A change of
//! a name or a meaning is a new [`MANIFEST_VERSION`], and a version that is not known is refused, never guessed. Pure.
//!
//! Version 1 had the same fields. Its parts lay in the output folder itself and their paths said so (`query_region=…`, where
//! they say `data/query_region=…` here), and had the columns of schema version 1.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::api::contract::Region;
use crate::journal::record::PartRecord;
use crate::plan::event::RegionFault;
use crate::sink::layout::DATA;
use crate::units::{EpochSeconds, RowCount, TimeRange};

/// The version of the manifest's format.
pub const MANIFEST_VERSION: u32 = 2;
/// The version of outputs whose parts lie beside the manifest.
const BESIDE_THE_MANIFEST: u64 = 1;
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
    /// Every second of its range is covered.
    Complete,
    /// It has ended, and something of its range is not covered.
    Incomplete,
}

/// A stretch of time that lacks something, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lack {
    /// The queried region.
    pub region: Region,
    /// The seconds.
    pub range: TimeRange,
    /// What is the matter, for a person.
    pub why: String,
    /// Where it is the whole region that could not be had: why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<RegionFault>,
}

/// The contents of `_manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`] when it was written.
    pub manifest_version: u32,
    /// The program's version.
    pub tool_version: String,
    /// The version of the parts' columns.
    pub schema_version: u32,
    /// The question that owns the folder, as it was asked.
    pub question: serde_json::Value,
    /// The question's fingerprint.
    pub fingerprint: String,
    /// The run that wrote this.
    pub run: String,
    /// The run's range.
    pub range: TimeRange,
    /// How far it had come.
    pub status: Status,
    /// Every live part, of this run and of former ones; their paths are below the output folder, so they begin with [`DATA`].
    pub parts: Vec<PartRecord>,
    /// For each queried region, also those with nothing yet: the seconds that finished windows of this run cover.
    pub covered: BTreeMap<Region, Vec<TimeRange>>,
    /// What could not be read.
    pub gaps: Vec<Lack>,
    /// What was read and is not proven to be all.
    pub unproven: Vec<Lack>,
    /// Rows that no column can take, kept under `_rejected`.
    pub rejected_rows: RowCount,
    /// What else was counted.
    pub counters: BTreeMap<String, u64>,
    /// When this was written.
    pub written_at: EpochSeconds,
}

/// A manifest that cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not a manifest, or damaged.
    #[error("{MANIFEST} cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// From a former version of the program, which kept parts elsewhere and with other columns.
    #[error(
        "{MANIFEST} has format version {BESIDE_THE_MANIFEST}, of a former version of this program, whose parts lie beside it \
         and not in {DATA}/; this version writes {MANIFEST_VERSION}"
    )]
    BesideTheManifest,
    /// From another version of the program.
    #[error(
        "{MANIFEST} has format version {0}, and this program knows {MANIFEST_VERSION}: use the version that wrote it"
    )]
    Version(u64),
}

#[derive(Deserialize)]
struct Versioned {
    manifest_version: u64,
}

impl Manifest {
    /// Reads a manifest's JSON text.
    ///
    /// # Errors
    /// Where it is no manifest, or of a version that is not known.
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        let Versioned { manifest_version } = serde_json::from_slice(json)?;
        match manifest_version {
            BESIDE_THE_MANIFEST => Err(ManifestError::BesideTheManifest),
            known if known == u64::from(MANIFEST_VERSION) => Ok(serde_json::from_slice(json)?),
            other => Err(ManifestError::Version(other)),
        }
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

    /// For each region, the seconds of the run's range that no finished window covers.
    pub fn uncovered(&self) -> Vec<(Region, TimeRange)> {
        let missing = |ranges: &Vec<TimeRange>| self.range.without(ranges);
        let each = self.covered.iter().map(|(region, ranges)| (region, missing(ranges)));
        each.flat_map(|(region, missing)| missing.into_iter().map(|range| (region.clone(), range))).collect()
    }

    /// Whether every second of the range is covered, and nothing is a gap or unproven: what [`SUCCESS`] stands for.
    pub fn is_whole(&self) -> bool {
        self.gaps.is_empty() && self.unproven.is_empty() && self.uncovered().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_of_another_version_is_refused_before_it_is_read() {
        let text = Manifest::parse(br#"{"manifest_version":3,"who":"knows"}"#).unwrap_err().to_string();
        assert!(text.contains("format version 3"), "{text}");
        assert!(matches!(Manifest::parse(b"{"), Err(ManifestError::Unreadable(_))));
    }
}
