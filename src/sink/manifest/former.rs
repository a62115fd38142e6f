//! Manifests of versions 1 and 2, told in the terms of this one. Pure.
//!
//! Both named the question with its regions and range, and what its last run covered; of former runs they kept the parts alone, each of
//! which holds its stretch of time whole. So the seconds of those parts are covered, and what lay between them without a row is
//! not known to be. In version 1 parts lay in the output folder itself (`query_region=…`, where it is `data/query_region=…`
//! here), with the columns of schema version 1.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Manifest, ManifestError, Status};
use crate::api::contract::Region;
use crate::journal::record::PartRecord;
use crate::sink::account::{Account, Lack, Rejected};
use crate::sink::coverage::{Coverage, Reader};
use crate::sink::identity::Identity;
use crate::sink::layout::{self, DATA, Partition};
use crate::units::{EpochSeconds, RowCount, TimeRange};

/// Hexadecimal digits that a run's name had after the moment at which it began.
const RANDOM_DIGITS: usize = 4;

#[derive(Deserialize)]
struct Former {
    manifest_version: u32,
    tool_version: String,
    schema_version: u32,
    question: Question,
    fingerprint: String,
    run: String,
    range: TimeRange,
    status: Status,
    parts: Vec<PartRecord>,
    covered: BTreeMap<Region, Vec<TimeRange>>,
    gaps: Vec<Lack>,
    unproven: Vec<Lack>,
    rejected_rows: RowCount,
    counters: BTreeMap<String, u64>,
    written_at: EpochSeconds,
}

#[derive(Deserialize)]
struct Question {
    source: Source,
    filters: serde_json::Value,
    regions: Vec<Region>,
}

#[derive(Deserialize)]
struct Source {
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    simulator: Option<serde_json::Value>,
}

pub(super) fn parse(json: &[u8]) -> Result<Manifest, ManifestError> {
    let former: Former = serde_json::from_slice(json)?;
    let account = account(&former);
    let is_beside = former.manifest_version == 1;
    let parts: Vec<PartRecord> = former.parts.into_iter().map(|part| moved(part, is_beside)).collect();
    Ok(Manifest {
        manifest_version: former.manifest_version,
        generation: 0,
        write_id: None,
        tool_version: former.tool_version,
        schema_version: former.schema_version,
        identity: identity(former.question.source, former.question.filters, &parts),
        began_at: began(&former.run, former.written_at),
        run: former.run,
        regions: former.question.regions,
        range: former.range,
        status: former.status,
        max_rejected: 0,
        confirm_after_seconds: 0,
        retain_seconds: None,
        parts,
        superseded: Vec::new(),
        table: None,
        account,
        rejected_rows: former.rejected_rows,
        history: Default::default(),
        unusual: Vec::new(),
        counters: former.counters,
        shard: None,
        merged: Vec::new(),
        written_at: former.written_at,
    })
}

/// Where a part of version 1 lies once it is adopted, and what its columns are.
fn moved(part: PartRecord, is_beside: bool) -> PartRecord {
    if is_beside { PartRecord { path: format!("{DATA}/{}", part.path), schema: 1, ..part } } else { part }
}

/// Where a part of version 1 lay.
pub(crate) fn path_of_version_1(path: &str) -> Option<&str> {
    path.strip_prefix(DATA)?.strip_prefix('/')
}

fn identity(source: Source, filters: serde_json::Value, parts: &[PartRecord]) -> Identity {
    let levels: Vec<&str> = parts.iter().take(1).flat_map(|part| part.path.split('/')).collect();
    let has = |name: &str| levels.iter().any(|level| level.starts_with(name));
    let partition = match (has("date="), has("month="), levels.is_empty()) {
        (true, ..) | (.., true) => Partition::Day,
        (_, true, _) => Partition::Month,
        _ => Partition::None,
    };
    let path = source.path.unwrap_or_else(|| crate::api::contract::SOURCE.path.to_owned());
    Identity { path, filters, partition, snapshot: has(layout::SNAPSHOT), simulator: source.simulator }
}

/// When a run began: its name starts with the moment.
fn began(run: &str, written_at: EpochSeconds) -> EpochSeconds {
    let digits = run.len().checked_sub(RANDOM_DIGITS).and_then(|length| run.get(..length));
    let moment = digits.and_then(|digits| i64::from_str_radix(digits, 16).ok()).map(EpochSeconds::new);
    moment.filter(|moment| *moment <= written_at).unwrap_or(written_at)
}

fn account(former: &Former) -> Account {
    let Former { run, range, written_at, .. } = former;
    let mut coverage = Coverage::default();
    former.question.regions.iter().for_each(|region| coverage.ask(region));
    for part in former.parts.iter().filter(|part| part.run != *run || !range.covers(part.range)) {
        let gaps = former.gaps.iter().filter(|gap| gap.region == part.region).map(|gap| gap.range).collect::<Vec<_>>();
        let by = Reader { run: &part.run, at: began(&part.run, *written_at) };
        coverage.read(&part.region, &part.range.without(&gaps), by);
    }
    for (region, covered) in &former.covered {
        coverage.read(region, covered, Reader { run, at: began(run, *written_at) });
    }
    let asked = former.question.regions.first().filter(|_| former.rejected_rows > RowCount::ZERO);
    let rejected = asked.map(|region| Rejected {
        region: region.clone(),
        range: *range,
        run: run.clone(),
        rows: former.rejected_rows,
    });
    Account {
        // The same each time that it is read, until it is written.
        id: former.fingerprint.chars().take(16).chain(['-']).chain(run.chars()).collect(),
        coverage,
        gaps: former.gaps.clone(),
        unproven: former.unproven.clone(),
        rejected: rejected.into_iter().collect(),
        expired: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION_1: &[u8] = include_bytes!("../../../tests/fixtures/manifest_1.json");

    #[test]
    fn a_manifest_of_version_1_says_what_was_read_when_and_where_its_parts_go() {
        let manifest = parse(VERSION_1).unwrap();
        let us: Region = "US".parse().unwrap();
        assert_eq!((manifest.manifest_version, manifest.generation), (1, 0));
        assert_eq!(manifest.regions, std::slice::from_ref(&us));
        let [stretch] = manifest.account.coverage.stretches(&us) else { panic!("{:?}", manifest.account) };
        assert_eq!(stretch.range(), manifest.range);
        assert_eq!(
            (stretch.read_at, manifest.began_at),
            (EpochSeconds::new(0x6b07_7688), EpochSeconds::new(0x6b07_7688))
        );
        let [part] = manifest.parts.as_slice() else { panic!("{:?}", manifest.parts) };
        assert!(part.path.starts_with("data/query_region=US/date=2025-12-01/part-"), "{}", part.path);
        assert!(path_of_version_1(&part.path).unwrap().starts_with("query_region=US/"));
        assert_eq!(part.schema, 1);
        assert_eq!((manifest.identity.partition, manifest.identity.snapshot), (Partition::Day, false));
        assert_eq!(manifest.identity.path, "/v1/tiktok/video/list/analytics");
        assert!(manifest.is_whole());
        assert_eq!(parse(VERSION_1).unwrap().account.id, manifest.account.id);
    }

    #[test]
    fn the_seconds_of_former_runs_parts_are_covered_but_for_gaps() {
        let mut text: serde_json::Value = serde_json::from_slice(VERSION_1).unwrap();
        let mut part = text["parts"][0].clone();
        let day = 86_400;
        let start = text["range"]["start"].as_i64().unwrap();
        part["run"] = "6b0000001111".into();
        part["range"] = serde_json::json!({"start": start - 2 * day, "end": start - day});
        part["path"] = "query_region=US/date=2025-11-29/part-x-6b0000001111.parquet".into();
        text["parts"].as_array_mut().unwrap().push(part);
        text["rejected_rows"] = 3.into();
        let manifest = parse(&serde_json::to_vec(&text).unwrap()).unwrap();
        let us: Region = "US".parse().unwrap();
        let second = EpochSeconds::new;
        let covered = [(start - 2 * day, start - day), (start, start + day)];
        let covered = covered.map(|(start, end)| TimeRange::new(second(start), second(end)));
        assert_eq!(manifest.account.coverage.of(&us), covered);
        assert_eq!(manifest.account.coverage.holes(&us), [TimeRange::new(second(start - day), second(start))]);
        assert!(!manifest.is_whole(), "rows were rejected");
    }
}
