//! What the sink's tests share: pages made by hand, and parts read back.

use std::fs::File;
use std::path::Path;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::TimestampMillisecondType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::api::reply;
use crate::journal::record::{PartRecord, StoredPage};
use crate::sink::account::Account;
use crate::sink::columns::{self, CREATE_TIME, Packaging, VIDEO_ID};
use crate::sink::coverage::{Coverage, Reader};
use crate::sink::identity::Identity;
use crate::sink::layout::{Layout, Partition, Slice};
use crate::sink::manifest::{MANIFEST_VERSION, Manifest, Status};
use crate::sink::part::Parts;
use crate::sink::staging::Staging;
use crate::units::{ByteCount, EpochSeconds, RowCount, TimeRange};

/// 2026-01-01T00:00:00Z.
pub(super) const NEW_YEAR: i64 = 1_767_225_600;
/// The vendor's example answer.
pub(super) const EXAMPLE: &str = include_str!("../../tests/fixtures/vendor_page.json");

/// Seconds after [`NEW_YEAR`], half-open.
pub(crate) fn range(start: i64, end: i64) -> TimeRange {
    TimeRange::new(EpochSeconds::new(NEW_YEAR + start), EpochSeconds::new(NEW_YEAR + end))
}

pub(super) fn slice(range: TimeRange) -> Slice {
    Slice { region: "US".parse().unwrap(), range, run: "r1".to_owned() }
}

/// A small row: `second` counts from [`NEW_YEAR`], `likes` tells two answers apart.
pub(super) fn row(second: i64, id: &str, likes: i64) -> String {
    format!(r#"{{"create_time":"{}","video_id":"{id}","total_digg_cnt":{likes}}}"#, NEW_YEAR + second)
}

/// A stored page of these rows; its span is that of its usable ones.
pub(super) fn page(sequence: i64, rows: &[String]) -> StoredPage {
    page_of(sequence, format!(r#"{{"code":0,"message":"success","data":[{}]}}"#, rows.join(",")).as_bytes())
}

/// The stored page of an answer, all of whose usable rows are delivered.
pub(super) fn page_of(sequence: i64, body: &[u8]) -> StoredPage {
    reply::with_envelope(body, |_, read| {
        let packed = read.unwrap().packed;
        let seconds: Vec<EpochSeconds> = (0..packed.len()).map(|place| packed.get(place).unwrap().second).collect();
        let first = seconds.iter().min().copied().unwrap_or_default();
        let last = seconds.iter().max().copied().unwrap_or_default();
        StoredPage {
            sequence,
            fetched_at_ms: 1_767_300_000_000 + sequence,
            request_id: Some(format!("request-{sequence}")),
            span: TimeRange::new(first, last.shifted(1)),
            body: packed.encode_all(),
        }
    })
}

/// Pages as the journal gives them back.
pub(super) fn given(mut pages: Vec<StoredPage>) -> impl Iterator<Item = Result<StoredPage, std::io::Error>> {
    pages.sort_by_key(|page| (page.span.start, page.sequence));
    pages.into_iter().map(Ok)
}

pub(super) fn parts(folder: &Path) -> Parts {
    Parts::new(Staging::open(folder).unwrap(), Layout::default(), Packaging::default())
}

/// Everything that a part holds.
pub(super) fn read(file: &Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap().build().unwrap();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    concat_batches(&columns::schema(), &batches).unwrap()
}

/// Second (after [`NEW_YEAR`]), id and likes of a part's rows.
pub(crate) fn triples(file: &Path) -> Vec<(i64, String, i64)> {
    let batch = read(file);
    let moments = batch.column_by_name(CREATE_TIME).unwrap().as_primitive::<TimestampMillisecondType>();
    let ids = batch.column_by_name(VIDEO_ID).unwrap().as_string::<i32>();
    let likes = batch.column_by_name("total_digg_cnt").unwrap().as_primitive::<arrow::datatypes::Int64Type>();
    let rows = 0..batch.num_rows();
    rows.map(|row| (moments.value(row) / 1000 - NEW_YEAR, ids.value(row).to_owned(), likes.value(row))).collect()
}

/// A part of the region US by the run `r1`, without rows.
pub(crate) fn part(path: &str, range: TimeRange) -> PartRecord {
    PartRecord {
        path: path.to_owned(),
        region: "US".parse().unwrap(),
        range,
        run: "r1".to_owned(),
        rows: RowCount::ZERO,
        bytes: ByteCount::ZERO,
        sha256: String::new(),
        duplicates: 0,
        kept_in_extra: 0,
        extra_fields: Default::default(),
        schema: columns::SCHEMA_VERSION,
        carried: false,
    }
}

/// Whose the tests' outputs are.
pub(crate) fn identity() -> Identity {
    let (path, filters) = ("/v1/videos".to_owned(), serde_json::json!({}));
    Identity { path, filters, partition: Partition::Day, snapshot: false, simulator: None }
}

/// A manifest of a run over `range` that has covered all of it and wrote these parts.
pub(crate) fn manifest(range: TimeRange, parts: Vec<PartRecord>) -> Manifest {
    let mut coverage = Coverage::default();
    coverage.read(&"US".parse().unwrap(), &[range], Reader { run: "r1", at: range.end });
    Manifest {
        manifest_version: MANIFEST_VERSION,
        generation: 1,
        write_id: None,
        tool_version: "0.1.0".to_owned(),
        schema_version: columns::SCHEMA_VERSION,
        identity: identity(),
        run: "r1".to_owned(),
        began_at: range.end,
        regions: vec!["US".parse().unwrap()],
        range,
        status: Status::Complete,
        max_rejected: 0,
        confirm_after_seconds: 20,
        retain_seconds: None,
        parts,
        superseded: vec![],
        table: None,
        account: Account { id: "o1".to_owned(), coverage, ..Account::default() },
        rejected_rows: RowCount::ZERO,
        history: Default::default(),
        unusual: Vec::new(),
        counters: [("pages".to_owned(), 3)].into(),
        shard: None,
        merged: vec![],
        written_at: range.end,
    }
}
