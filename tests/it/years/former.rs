//! An output of a former format is gone on with.

use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use keyapi_export::units::{DAY_SECONDS, TimeRange};
use parquet::arrow::ArrowWriter;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{ends_whole, manifest, truth};
use crate::support::{Job, batches, files_below, parquet_files, serve};

/// Turns an output into what version 1 left: parts beside the manifest, amounts as doubles, no `_query_region`.
fn as_version_1(job: &Job) {
    let out = job.out();
    let mut told = manifest(job);
    let coverage = told["coverage"].clone();
    let mut parts = told["parts"].as_array().unwrap().clone();
    for part in &mut parts {
        let path = part["path"].as_str().unwrap().to_owned();
        let former = path.strip_prefix("data/").unwrap();
        let content = version_1_of(&batches(&out.join(&path)));
        std::fs::create_dir_all(out.join(former).parent().unwrap()).unwrap();
        std::fs::write(out.join(former), &content).unwrap();
        part["path"] = former.into();
        part["bytes"] = content.len().into();
        let digest = Sha256::digest(&content);
        part["sha256"] = digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
    }
    std::fs::remove_dir_all(out.join("data")).unwrap();
    let one: Value = serde_json::from_slice(include_bytes!("../../fixtures/manifest_1.json")).unwrap();
    let covered = coverage["US"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| serde_json::json!({"start": one["start"], "end": one["end"]}));
    let mut former = one;
    former["covered"] = serde_json::json!({"US": covered.collect::<Vec<_>>()});
    for name in ["run", "range", "status", "written_at"] {
        former[name] = told[name].take();
    }
    former["parts"] = parts.into();
    std::fs::write(out.join("_manifest.json"), serde_json::to_vec(&former).unwrap()).unwrap();
    std::fs::remove_dir_all(job.state()).unwrap();
}

fn version_1_of(batches: &[RecordBatch]) -> Vec<u8> {
    let fields = batches[0].schema();
    let fields = fields.fields().iter().filter(|field| field.name() != "_query_region").map(|field| {
        let is_amount = matches!(field.data_type(), DataType::Decimal128(..));
        let kind = if is_amount { DataType::Float64 } else { field.data_type().clone() };
        Field::new(field.name(), kind, true)
    });
    let schema = std::sync::Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let mut content = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut content, schema.clone(), None).unwrap();
    for batch in batches {
        let columns = schema
            .fields()
            .iter()
            .map(|field| cast(batch.column_by_name(field.name()).unwrap(), field.data_type()).unwrap());
        writer.write(&RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()).unwrap();
    }
    writer.close().unwrap();
    content
}

#[test]
fn an_output_of_format_1_is_gone_on_with_and_nothing_of_it_is_bought_again() {
    let simulator = serve(|service| service.world.rows = 2_000);
    let whole = simulator.world().range();
    let some = TimeRange::new(whole.start, whole.start.shifted(10 * DAY_SECONDS + 40_000));
    let job = Job::of(&simulator).with_range(some);
    assert_eq!(job.run().code, 0);
    let had = truth(&simulator, "US", some);
    as_version_1(&job);
    assert_eq!(job.verify().code, 7, "its parts lie where nobody looks");
    ends_whole(&simulator, &job, "", (0, 0));
    let manifest = manifest(&job);
    assert_eq!(manifest["manifest_version"], 3);
    assert!(manifest["parts"].as_array().unwrap().iter().all(|part| part["schema"] == 1), "{manifest}");
    assert!(files_below(&job.out()).iter().all(|file| !file.display().to_string().contains("out/query_region=")));
    // More of the same: only what is missing is read.
    let all = format!("--from {} --to {}", whole.start, whole.end);
    let missing = truth(&simulator, "US", whole).len() - had.len();
    ends_whole(&simulator, &job, &all, (missing, 1));
    // The last days again: the rows of a former part that lie before them are carried over, with the columns of now.
    // Sixteen share so short a stretch at times among more than its ends pay for: once in some thirty runs two requests more were asked.
    let last = format!("--from {} --to {} --reread all --max-in-flight 8", some.end.shifted(-20_000), whole.end);
    let rows = truth(&simulator, "US", TimeRange::new(some.end.shifted(-20_000), whole.end)).len();
    ends_whole(&simulator, &job, &last, (rows, 1));
    let regions_told = |file: &PathBuf| batches(file)[0].column_by_name("_query_region").is_some();
    let with_region = parquet_files(&job.out()).into_iter().filter(regions_told).count();
    assert!(with_region > 10, "{with_region}");
    let manifest_says = super::manifest(&job);
    assert!(
        manifest_says["parts"].as_array().unwrap().iter().any(|part| part["carried"] == true),
        "nothing was carried"
    );
    let count: u64 = manifest_says["parts"].as_array().unwrap().iter().map(|part| part["rows"].as_u64().unwrap()).sum();
    assert_eq!(count, truth(&simulator, "US", whole).len() as u64);
}
