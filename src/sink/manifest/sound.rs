//! Whether a manifest can be gone by at all: what this program never writes was written by somebody else, or is damage. Pure.
//!
//! Files are moved and removed by what a manifest names, so this is looked at before anything else. What only makes it contradict itself
//! is for `verify` to tell.

use std::collections::BTreeSet;

use super::Manifest;
use crate::sink::coverage::Stretch;
use crate::sink::layout::lies_in_the_table;

/// No output is written so often; and readers of JSON know no larger whole number exactly.
const MOST_GENERATIONS: u64 = 1 << 53;

/// What is wrong with a manifest, for a person; nothing where it is sound.
pub(super) fn fault(manifest: &Manifest) -> Option<String> {
    let Manifest { generation, .. } = manifest;
    if *generation > MOST_GENERATIONS {
        return Some(format!("no output has {generation} generations"));
    }
    let listed = || manifest.parts.iter().map(|part| &part.path);
    if let Some(path) = listed().chain(manifest.former_paths()).find(|path| !lies_in_the_table(path)) {
        return Some(format!("no part is written to {path}"));
    }
    let mut seen: BTreeSet<&String> = manifest.superseded.iter().collect();
    if let Some(path) = listed().find(|path| !seen.insert(path)) {
        return Some(format!("{path} is listed twice"));
    }
    manifest.account.coverage.regions().find_map(|region| {
        let twice = overlap(manifest.account.coverage.stretches(region))?;
        Some(format!("region {region}: its time is covered twice, or ends before it begins, at {}", twice.start))
    })
}

/// A stretch that is none, or begins before the end of the one before it.
fn overlap(stretches: &[Stretch]) -> Option<&Stretch> {
    let mut sorted: Vec<&Stretch> = stretches.iter().collect();
    sorted.sort_by_key(|stretch| (stretch.start, stretch.end));
    let pairs = sorted.iter().zip(sorted.iter().skip(1));
    let twice = pairs.filter(|(one, other)| other.start < one.end).map(|(_, other)| *other).next();
    twice.or_else(|| sorted.iter().copied().find(|stretch| stretch.end < stretch.start))
}

#[cfg(test)]
mod tests {
    use crate::sink::manifest::{Manifest, ManifestError};
    use crate::sink::testing::{manifest, range};

    /// What is wrong once something of a sound manifest's text has been changed.
    fn fault(change: impl FnOnce(&mut serde_json::Value)) -> String {
        let mut text = serde_json::to_value(manifest(range(0, 60), vec![])).unwrap();
        let part = serde_json::json!({
            "path": "data/query_region=US/p.parquet", "region": "US", "range": range(0, 60), "run": "r1", "rows": 1, "bytes": 1,
            "sha256": "", "duplicates": 0, "kept_in_extra": 0,
        });
        text["parts"] = serde_json::json!([part]);
        assert!(Manifest::parse(text.to_string().as_bytes()).is_ok());
        change(&mut text);
        match Manifest::parse(text.to_string().as_bytes()) {
            Err(ManifestError::Damaged(fault)) => fault,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_generation_that_nothing_can_follow_is_refused() {
        assert_eq!(fault(|it| it["generation"] = u64::MAX.into()), format!("no output has {} generations", u64::MAX));
    }

    #[test]
    fn no_file_outside_the_table_is_named() {
        for path in ["../../victim", "data/../../victim", "/etc/passwd", "_SUCCESS", "data//x", "data/./x", "data", ""]
        {
            let wrong = format!("no part is written to {path}");
            assert_eq!(fault(|it| it["parts"][0]["path"] = path.into()), wrong);
            assert_eq!(fault(|it| it["superseded"] = serde_json::json!([path])), wrong);
        }
    }

    #[test]
    fn nothing_is_listed_twice() {
        let twice = "data/query_region=US/p.parquet is listed twice";
        assert_eq!(fault(|it| it["parts"] = serde_json::json!([it["parts"][0], it["parts"][0]])), twice);
        assert_eq!(fault(|it| it["superseded"] = serde_json::json!([it["parts"][0]["path"]])), twice);
    }

    #[test]
    fn no_second_is_covered_twice_and_no_stretch_is_turned_round() {
        let stretches = |it: &serde_json::Value| it["coverage"]["US"].as_array().unwrap().clone();
        let wrong = "region US: its time is covered twice, or ends before it begins";
        let twice = fault(|it| it["coverage"]["US"] = [stretches(it), stretches(it)].concat().into());
        assert!(twice.starts_with(wrong), "{twice}");
        let turned = fault(|it| {
            let (start, end) = (it["coverage"]["US"][0]["start"].clone(), it["coverage"]["US"][0]["end"].clone());
            (it["coverage"]["US"][0]["start"], it["coverage"]["US"][0]["end"]) = (end, start);
        });
        assert!(turned.starts_with(wrong), "{turned}");
    }
}
