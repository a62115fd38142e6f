//! The rows of an output, read back as any reader would: from the files that `*.parquet` finds.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::table::TableLog;
use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::TimestampMillisecondType;
use keyapi_export::api::contract::{Filters, Region};
use keyapi_export::simulator::World;
use keyapi_export::units::TimeRange;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// A row's identity: queried region, `create_time` in epoch seconds, `video_id`.
pub(crate) type Found = (String, i64, String);

/// Every file below a folder, hidden ones too, sorted.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return files };
    for entry in entries {
        // A file may go while the program works in the folder.
        let Ok(entry) = entry else { continue };
        let path = entry.path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

/// The files that a reader's `**/*.parquet` finds.
pub(crate) fn parquet_files(out: &Path) -> Vec<PathBuf> {
    let mut files = files_below(out);
    files.retain(|path| path.extension().is_some_and(|extension| extension == "parquet"));
    files
}

/// All rows of a file.
pub(crate) fn batches(file: &Path) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap().build().unwrap();
    reader.map(Result::unwrap).collect()
}

/// The identities of all rows, in the files' order: of an output that is a table too, of the files that the log's last version lists. Each
/// file must lie below `data` and be sorted by time and id, and its rows must say the region that its folder says.
pub(crate) fn identities(out: &Path) -> Vec<Found> {
    match TableLog::read(out) {
        Some(log) => log.rows(log.latest()),
        None => identities_of_files(out, &parquet_files(out)),
    }
}

/// The same of some files.
pub(crate) fn identities_of_files(out: &Path, files: &[PathBuf]) -> Vec<Found> {
    let mut all = Vec::new();
    for file in files {
        assert!(file.starts_with(out.join("data")), "{} lies outside the table", file.display());
        let region = queried_region(file);
        let rows: Vec<Found> = batches(file).iter().flat_map(|batch| identities_of(batch, &region)).collect();
        assert!(rows.is_sorted(), "{} is not sorted", file.display());
        all.extend(rows);
    }
    all
}

/// The same of the files that the manifest lists, and of no others.
pub(crate) fn identities_of_manifest(out: &Path) -> Vec<Found> {
    let text = std::fs::read(out.join("_manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let listed = manifest["parts"].as_array().unwrap().iter().map(|part| out.join(part["path"].as_str().unwrap()));
    let rows_of = |file: PathBuf| {
        let region = queried_region(&file);
        batches(&file).iter().flat_map(|batch| identities_of(batch, &region)).collect::<Vec<_>>()
    };
    listed.flat_map(rows_of).collect()
}

fn identities_of(batch: &RecordBatch, region: &str) -> Vec<Found> {
    let times = batch.column_by_name("create_time").unwrap().as_primitive::<TimestampMillisecondType>();
    let videos = batch.column_by_name("video_id").unwrap().as_string::<i32>();
    let asked = batch.column_by_name("_query_region").unwrap().as_string::<i32>();
    assert!(asked.iter().all(|asked| asked == Some(region)), "rows of another region below that of {region}");
    let row = |place: usize| (region.to_owned(), times.value(place) / 1_000, videos.value(place).to_owned());
    (0..batch.num_rows()).map(row).collect()
}

/// The `query_region=` of a file's path.
fn queried_region(file: &Path) -> String {
    let level = file.components().find_map(|part| part.as_os_str().to_str()?.strip_prefix("query_region="));
    level.unwrap_or_else(|| panic!("{} lies below no query_region", file.display())).to_owned()
}

/// What an export of these regions, filters and range must hold.
pub(crate) fn truth_of(world: &World, regions: &[Region], filters: &Filters, range: TimeRange) -> Vec<Found> {
    let of_region = |region: &Region| {
        let rows = world.truth(region, filters, range);
        rows.into_iter().map(|row| (region.to_string(), row.second.get(), row.video_id)).collect::<Vec<_>>()
    };
    regions.iter().flat_map(of_region).collect()
}
