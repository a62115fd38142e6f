//! The Delta log of an output as a reader of tables takes it: by the log's own files, and by nothing that the program says of it elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::rows::{Found, identities_of_files};

/// A log, a list of actions for each version.
pub(crate) struct TableLog {
    out: PathBuf,
    versions: Vec<Vec<Value>>,
}

impl TableLog {
    /// The log of an output; none where it has none. Holds what the format asks of one: versions from 0 on without a hole, the protocol and
    /// the columns in the first one, no file added and removed in one version, none removed that was not there.
    pub(crate) fn read(out: &Path) -> Option<Self> {
        let folder = out.join("data/_delta_log");
        let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
            .ok()?
            .map(|entry| entry.unwrap().path())
            .filter(|path| is_version(path))
            .collect();
        files.sort();
        let mut versions = Vec::new();
        for (version, file) in files.iter().enumerate() {
            assert!(file.ends_with(format!("{version:020}.json")), "version {version} is missing: {files:?}");
            let text = std::fs::read_to_string(file).unwrap();
            versions.push(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect());
        }
        let log = Self { out: out.to_owned(), versions };
        log.is_sound();
        Some(log).filter(|log| !log.versions.is_empty())
    }

    /// The last version.
    pub(crate) fn latest(&self) -> usize {
        self.versions.len() - 1
    }

    /// The actions of a kind in a version.
    pub(crate) fn actions(&self, version: usize, kind: &str) -> Vec<&Value> {
        self.versions[version].iter().filter_map(|action| action.get(kind)).collect()
    }

    /// The files that a version lists, by their paths below the output, with what the log tells of each.
    pub(crate) fn files(&self, version: usize) -> BTreeMap<String, Value> {
        let mut files = BTreeMap::new();
        for version in 0..=version {
            for remove in self.actions(version, "remove") {
                files.remove(&path_of(remove));
            }
            for add in self.actions(version, "add") {
                files.insert(path_of(add), add.clone());
            }
        }
        files
    }

    /// The identities of all rows of a version.
    pub(crate) fn rows(&self, version: usize) -> Vec<Found> {
        let files: Vec<PathBuf> = self.files(version).keys().map(|path| self.out.join(path)).collect();
        identities_of_files(&self.out, &files)
    }

    fn is_sound(&self) {
        let mut listed = BTreeSet::new();
        let mut generation = 0;
        for version in 0..self.versions.len() {
            let paths = |kind: &str| self.actions(version, kind).into_iter().map(path_of).collect::<BTreeSet<_>>();
            let (added, removed) = (paths("add"), paths("remove"));
            assert!(added.is_disjoint(&removed), "version {version} adds and removes the same");
            assert!(removed.is_subset(&listed), "version {version} removes what is not there");
            listed = listed.difference(&removed).cloned().chain(added).collect();
            assert_eq!(self.actions(version, "protocol").len(), usize::from(version == 0));
            assert!(version > 0 || self.actions(version, "metaData").len() == 1);
            let of_manifest = self.actions(version, "txn")[0]["version"].as_u64().unwrap();
            assert!(of_manifest > generation, "version {version} is of an earlier manifest than the one before it");
            generation = of_manifest;
        }
    }
}

fn is_version(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "json")
}

fn path_of(action: &Value) -> String {
    format!("data/{}", action["path"].as_str().unwrap())
}

/// The log's last version lists what the manifest lists, and says of it what is true. Does nothing where the output is no table.
pub(crate) fn table_is_in_step(out: &Path) {
    let text = std::fs::read(out.join("_manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&text).unwrap();
    let Some(log) = TableLog::read(out) else {
        assert_eq!(manifest["table"], Value::Null, "the manifest tells of a table, and there is no log");
        return;
    };
    assert_eq!(manifest["table"]["version"], log.latest());
    let files = log.files(log.latest());
    let parts = manifest["parts"].as_array().unwrap();
    let listed: BTreeSet<&str> = parts.iter().map(|part| part["path"].as_str().unwrap()).collect();
    assert_eq!(files.keys().map(String::as_str).collect::<BTreeSet<_>>(), listed);
    for part in parts {
        let add = &files[part["path"].as_str().unwrap()];
        assert_eq!(add["size"], part["bytes"]);
        assert_eq!(add["partitionValues"]["query_region"], part["region"]);
        let statistics: Value = serde_json::from_str(add["stats"].as_str().unwrap()).unwrap();
        assert_eq!(statistics["numRecords"], part["rows"]);
        assert!(statistics["minValues"]["create_time"].is_string(), "{statistics}");
    }
    let last = log.actions(log.latest(), "txn")[0];
    assert_eq!(last["appId"], manifest["id"]);
    assert!(last["version"].as_u64() <= manifest["generation"].as_u64());
}
