//! An output folder: its manifest, and a part.

use std::path::Path;

use keyapi_export::api::contract::Region;
use keyapi_export::api::envelope::envelope;
use keyapi_export::journal::record::{PartRecord, StoredPage};
use keyapi_export::sink::account::Account;
use keyapi_export::sink::columns::{Packaging, SCHEMA_VERSION, VIDEO_ID};
use keyapi_export::sink::coverage::{Coverage, Reader};
use keyapi_export::sink::identity::Identity;
use keyapi_export::sink::layout::{Layout, Partition, Slice};
use keyapi_export::sink::manifest::{MANIFEST, MANIFEST_VERSION, Manifest, SUCCESS, Status};
use keyapi_export::sink::part::Parts;
use keyapi_export::sink::staging::{Staging, sha256_of};
use keyapi_export::sink::verify::verify as verify_output;
use keyapi_export::units::{EpochSeconds, RowCount, TimeRange};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Where the part of an input lies. A manifest may name other places; nothing lies there.
const PART: &str = "data/query_region=US/date=2026-01-01/part-20260101T000000Z-20260101T010000Z-r1.parquet";
/// Seconds that the part holds.
const HOUR: TimeRange = TimeRange { start: EpochSeconds::new(1_767_225_600), end: EpochSeconds::new(1_767_229_200) };

/// Whether the checksums of an input are as they come, or made right, so that what lies behind them is reached.
const AS_THEY_COME: u8 = 0;

/// One byte that says whether to make checksums right, four that are the manifest's length, the manifest, and the part.
pub(crate) fn verify(bytes: &[u8]) {
    let Some(([how, length @ ..], rest)) = bytes.split_first_chunk::<5>() else { return };
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX).min(rest.len());
    let (manifest, part) = rest.split_at(length);
    let manifest = if *how == AS_THEY_COME { manifest.to_vec() } else { made_right(manifest, part) };
    let folder = super::folder();
    lay(folder.path(), &manifest, part);
    match super::block_on(verify_output(folder.path())) {
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains(MANIFEST), "names no place: {text}");
        }
        Ok(report) => {
            assert!(report.problems.iter().chain(&report.shortfalls).all(|said| !said.is_empty()));
            if report.agrees() && report.parts == 1 {
                assert_eq!(report.rows.get(), rows_in(&folder.path().join(PART)), "agrees on rows that are not there");
            }
        }
    }
}

fn lay(folder: &Path, manifest: &[u8], part: &[u8]) {
    let file = folder.join(PART);
    std::fs::create_dir_all(file.parent().expect("a folder above")).expect("the part's folder");
    std::fs::write(file, part).expect("a part");
    std::fs::write(folder.join(MANIFEST), manifest).expect("a manifest");
    std::fs::write(folder.join(SUCCESS), b"").expect("a marker");
}

/// The manifest with the part's true size and checksum, where it is a manifest at all.
fn made_right(manifest: &[u8], part: &[u8]) -> Vec<u8> {
    let Ok(mut read) = serde_json::from_slice::<serde_json::Value>(manifest) else { return manifest.to_vec() };
    let sha256 = sha256_of(part).expect("a checksum of bytes in memory");
    for record in read.get_mut("parts").and_then(|parts| parts.as_array_mut()).into_iter().flatten() {
        if let Some(record) = record.as_object_mut() {
            record.insert("bytes".to_owned(), part.len().into());
            record.insert("sha256".to_owned(), sha256.clone().into());
        }
    }
    serde_json::to_vec(&read).unwrap_or_default()
}

/// Rows by the column of ids. What stands in the others is the checksum's to prove, which this target makes right.
fn rows_in(file: &Path) -> u64 {
    let opened = std::fs::File::open(file).expect("the part that agrees");
    let builder = ParquetRecordBatchReaderBuilder::try_new(opened).expect("Parquet");
    let ids = ProjectionMask::columns(builder.parquet_schema(), [VIDEO_ID]);
    let reader = builder.with_projection(ids).build().expect("Parquet");
    reader.map(|batch| batch.expect("rows").num_rows() as u64).sum()
}

/// A sound output with its checksums as they are, and with those that are made right.
pub(super) fn good() -> Vec<Vec<u8>> {
    let (record, part) = staged();
    let manifest = manifest(record).to_json().expect("JSON");
    let length = u32::try_from(manifest.len()).expect("a short manifest").to_le_bytes();
    let input = |how: u8| [&[how], &length[..], &manifest, &part].concat();
    vec![input(AS_THEY_COME), input(1)]
}

fn staged() -> (PartRecord, Vec<u8>) {
    let folder = super::folder();
    let staging = Staging::open(folder.path()).expect("a staging folder");
    let parts = Parts::new(staging.clone(), Layout::default(), Packaging::default());
    let slice = Slice { region: "US".parse().expect("a region"), range: HOUR, run: "r1".to_owned() };
    let page = StoredPage {
        sequence: 1,
        fetched_at_ms: 1_767_300_000_000,
        request_id: Some("request-1".to_owned()),
        span: HOUR,
        body: envelope(&body()).expect("a page").packed.encode_all(),
    };
    let pages = std::iter::once(Ok::<_, std::io::Error>(page));
    let record = parts.stage(&slice, pages).expect("a part").expect("rows");
    assert_eq!(record.path, PART);
    let bytes = std::fs::read(staging.file(&record.path)).expect("the staged part");
    (record, bytes)
}

fn body() -> String {
    let row = |number: i64| {
        let second = HOUR.start.get() + number * 60;
        format!(r#"{{"create_time":"{second}","video_id":"{}","total_digg_cnt":{number}}}"#, 7_000 + number)
    };
    let rows: Vec<String> = (0..20).map(row).collect();
    format!(r#"{{"code":0,"data":[{}]}}"#, rows.join(","))
}

fn manifest(record: PartRecord) -> Manifest {
    let us: Region = "US".parse().expect("a region");
    let mut coverage = Coverage::default();
    coverage.read(&us, &[HOUR], Reader { run: "r1", at: HOUR.end });
    Manifest {
        manifest_version: MANIFEST_VERSION,
        generation: 1,
        write_id: None,
        tool_version: "0.1.0".to_owned(),
        schema_version: SCHEMA_VERSION,
        identity: Identity {
            path: "/v1/videos".to_owned(),
            filters: serde_json::json!({}),
            partition: Partition::Day,
            snapshot: false,
            simulator: None,
        },
        run: "r1".to_owned(),
        began_at: HOUR.end,
        regions: vec![us],
        range: HOUR,
        status: Status::Complete,
        max_rejected: 0,
        confirm_after_seconds: 20,
        retain_seconds: None,
        parts: vec![record],
        superseded: vec![],
        table: None,
        account: Account { id: "o1".to_owned(), coverage, ..Account::default() },
        rejected_rows: RowCount::ZERO,
        history: Default::default(),
        unusual: Vec::new(),
        counters: [("pages".to_owned(), 1)].into(),
        shard: None,
        merged: Vec::new(),
        written_at: HOUR.end,
    }
}
