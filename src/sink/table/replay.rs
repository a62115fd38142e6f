//! What a log lists, by its own files alone: as a reader takes it. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Files, Listed, Shape, Superseded, Table, log_file};
use crate::sink::layout::DATA;
use crate::units::{ByteCount, EpochSeconds};

/// A log that is not this output's, or no log.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A line of it is no action.
    #[error("{file} cannot be read: {source}")]
    Unreadable {
        /// Its path below the output.
        file: String,
        /// Why.
        source: serde_json::Error,
    },
    /// Somebody else has written a version.
    #[error("{file} was not written for this output")]
    Foreign {
        /// Its path below the output.
        file: String,
    },
}

/// A log as far as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// The id of the output whose log it is; that of the first version where nobody said so.
    output: Option<String>,
    /// The next version.
    versions: u64,
    files: Files,
    removed: BTreeMap<String, Superseded>,
    shape: Option<Shape>,
}

#[derive(Deserialize)]
struct Action {
    add: Option<File>,
    remove: Option<File>,
    #[serde(rename = "metaData")]
    metadata: Option<Metadata>,
    txn: Option<Transaction>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    path: String,
    #[serde(default)]
    size: u64,
    /// Milliseconds since the epoch.
    #[serde(default)]
    deletion_timestamp: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    partition_columns: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Transaction {
    app_id: String,
}

impl Replay {
    /// How many versions were read.
    pub const fn versions(&self) -> u64 {
        self.versions
    }

    /// Of the log of this output; where it is not known, of whose log it turns out to be.
    pub fn of(output: Option<&str>) -> Self {
        Self { output: output.map(str::to_owned), ..Self::default() }
    }

    /// Takes in the next version's text.
    ///
    /// # Errors
    /// Where it cannot be read, or another output made it.
    pub fn take(&mut self, text: &[u8]) -> Result<(), ReplayError> {
        let file = log_file(self.versions);
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let actions: Vec<Action> = lines
            .map(serde_json::from_slice)
            .collect::<Result<_, _>>()
            .map_err(|source| ReplayError::Unreadable { file: file.clone(), source })?;
        let made_by = actions.iter().find_map(|action| action.txn.as_ref()).map(|txn| &txn.app_id);
        if made_by.is_none() || self.output.as_ref().is_some_and(|output| Some(output) != made_by) {
            return Err(ReplayError::Foreign { file });
        }
        self.output = made_by.cloned();
        actions.into_iter().for_each(|action| self.apply(action));
        self.versions += 1;
        Ok(())
    }

    fn apply(&mut self, action: Action) {
        let below_the_output = |path: &str| format!("{DATA}/{path}");
        if let Some(add) = action.add {
            let (path, bytes) = (below_the_output(&add.path), ByteCount::new(add.size));
            self.removed.remove(&path);
            self.files.insert(path, Listed { bytes, sha256: None });
        }
        if let Some(remove) = action.remove {
            let (path, bytes) = (below_the_output(&remove.path), ByteCount::new(remove.size));
            self.files.remove(&path);
            let at = EpochSeconds::new(remove.deletion_timestamp / 1000);
            self.removed.insert(path.clone(), Superseded { path, bytes, at });
        }
        if let Some(metadata) = action.metadata {
            // By which columns it was told is not known, so it is told anew.
            self.shape = Some(Shape { schema_version: 0, partitioned_by: metadata.partition_columns });
        }
    }

    /// Every file that some version has listed.
    pub fn all_files(&self) -> impl Iterator<Item = &String> {
        self.files.keys().chain(self.removed.keys())
    }

    /// The files of the last version.
    pub const fn files(&self) -> &Files {
        &self.files
    }

    /// The table as the log has it.
    pub fn into_table(self) -> (Table, Files) {
        let superseded = self.removed.into_values().collect();
        let table = Table { version: self.versions.checked_sub(1), shape: self.shape, actions: Vec::new(), superseded };
        (table, self.files)
    }
}
