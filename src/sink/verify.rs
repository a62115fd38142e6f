//! Re-reads an output and compares it with its manifest; of a folder offline.
//!
//! What the parts hold is checked row by row; what they should hold is the manifest's word. A video that stands twice is found
//! by its order inside a part, by ranges that overlap between parts, and otherwise by its 64-bit key over all parts of a region and
//! snapshot: `KEYS_AT_ONCE` keys in memory, in as many passes over the ids as that takes. (Two ids that are no plain numbers could
//! share a key: a false alarm for one pair in 2^63, never a miss.) Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::{AsArray as _, RecordBatch, StringArray};
use arrow::datatypes::TimestampMillisecondType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;

use crate::journal::record::PartRecord;
use crate::sink::account::Lack;
use crate::sink::address::Address;
use crate::sink::columns::{CREATE_TIME, QUERY_REGION, VIDEO_ID};
use crate::sink::former;
use crate::sink::layout::{Layout, Slice, is_of_run, snapshot_of};
use crate::sink::manifest::{MANIFEST, Manifest, ManifestError, SUCCESS, Status};
use crate::sink::staging::sha256_of;
use crate::sink::store::{self, Store, StoreError, Writers};
use crate::sink::table::is_of_the_log;
use crate::units::{ByteCount, EpochSeconds, RowCount};

mod files;
mod moved;
mod seconds;
mod table;

use files::Files;
pub use moved::{Moved, moved_videos};

/// Keys of videos in memory at once: 32 MiB.
const KEYS_AT_ONCE: u64 = 4 << 20;
/// What is the matter with a part that is not there.
const MISSING: &str = "is missing";
/// Rows that are read at once.
const BATCH_ROWS: usize = 8192;

/// What re-reading found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Where the folder and its manifest disagree, a sentence each; damage.
    pub problems: Vec<String>,
    /// What the manifest itself says is missing, a sentence each.
    pub shortfalls: Vec<String>,
    /// What is not there outside the last run's regions and range, a sentence each; not what the last run was asked for.
    pub elsewhere: Vec<String>,
    /// What a person can do about parts that are not what they should be, a sentence each.
    pub advice: Vec<String>,
    /// Live parts of the manifest.
    pub parts: u64,
    /// Their rows, as the manifest has them.
    pub rows: RowCount,
    /// Their sizes, as the manifest has them.
    pub bytes: ByteCount,
}

impl Report {
    /// Whether folder and manifest agree.
    pub fn agrees(&self) -> bool {
        self.problems.is_empty()
    }

    /// Whether they agree and nothing is missing.
    pub fn is_complete(&self) -> bool {
        self.agrees() && self.shortfalls.is_empty()
    }
}

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Not an output folder.
    #[error("{output} has no {MANIFEST}, so it is no output{}", if output.contains("://") { "" } else { " folder" })]
    NoManifest {
        /// Its address.
        output: String,
    },
    /// The manifest cannot be trusted.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The folder cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no room for copies of what is in a bucket.
    #[error("making a folder for copies of the parts failed: {0}")]
    Scratch(#[from] std::io::Error),
    /// The check itself broke down.
    #[error("the check was cut short: {0}")]
    CutShort(#[from] tokio::task::JoinError),
}

/// Re-reads an output. A run that is writing there makes false alarms.
///
/// # Errors
/// Where there is no manifest that can be read; a damaged part is a problem in the report.
pub async fn verify(output: impl Into<Address>) -> Result<Report, VerifyError> {
    let address = output.into();
    if matches!(&address, Address::Folder(folder) if !folder.is_dir()) {
        return Err(VerifyError::NoManifest { output: address.to_string() });
    }
    verify_in(store::open(&address, Writers::Any)?).await
}

async fn verify_in(store: Arc<dyn Store>) -> Result<Report, VerifyError> {
    let json = store.read_manifest().await?;
    let manifest = Manifest::parse(&json.ok_or_else(|| VerifyError::NoManifest { output: store.told() })?)?;
    let says_success = store.size(SUCCESS).await?.is_some();
    let found = store.parquet_files().await?;
    let now = now();
    let of_the_table = table::compare(&*store, &manifest).await?;
    let report = tokio::task::spawn_blocking(move || {
        let mut report = promised(&manifest, says_success);
        let (foreign, newer) = unlisted(&manifest, &found);
        report.problems.extend(foreign.iter().map(|path| format!("{path} is not in {MANIFEST}")));
        if !newer.is_empty() {
            report.shortfalls.push(format!("{} parts of run {} are newer than {MANIFEST}", newer.len(), manifest.run));
        }
        of_the_table.tell(&mut report);
        check_parts(&mut Files::of(store)?, &manifest, now, &mut report);
        Ok(report)
    });
    report.await?
}

fn now() -> EpochSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EpochSeconds::new(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// What the manifest says of itself.
fn promised(manifest: &Manifest, says_success: bool) -> Report {
    let sum = |number: fn(&PartRecord) -> u64| manifest.parts.iter().map(number).sum();
    Report {
        problems: contradictions(manifest, says_success),
        shortfalls: shortfalls(manifest),
        elsewhere: elsewhere(manifest),
        advice: Vec::new(),
        parts: manifest.parts.len() as u64,
        rows: RowCount::new(sum(|part| part.rows.get())),
        bytes: ByteCount::new(sum(|part| part.bytes.get())),
    }
}

fn contradictions(manifest: &Manifest, says_success: bool) -> Vec<String> {
    let complete = manifest.status == Status::Complete;
    let mut problems = seconds::contradictions(manifest);
    if complete && !manifest.is_whole() {
        problems.push(format!("{MANIFEST} says complete, but does not account for every second of its range"));
    }
    if says_success && !(complete && manifest.is_whole()) {
        problems.push(format!("{SUCCESS} is there, but {MANIFEST} does not say that the range is complete"));
    }
    if complete && !says_success {
        problems.push(format!("{MANIFEST} says complete, but {SUCCESS} is missing; the same run command writes it"));
    }
    problems
}

fn shortfalls(manifest: &Manifest) -> Vec<String> {
    let mut lacks: Vec<String> = match manifest.status {
        Status::Complete => Vec::new(),
        Status::Running => vec![format!("run {} has not ended", manifest.run)],
        Status::Incomplete => vec![format!("run {} ended incomplete", manifest.run)],
    };
    let lacking = manifest.lacking();
    lacks.extend(lacking.unread.iter().map(|(region, range)| format!("region {region} lacks {range}")));
    lacks.extend(lacking.gaps.iter().map(gap_text));
    let unproven = lacking.unproven.iter();
    lacks.extend(unproven.map(|lack| format!("region {} is unproven in {}: {}", lack.region, lack.range, lack.why)));
    if lacking.rejected.get() > manifest.max_rejected {
        lacks.push(format!("{} could not be placed and are kept under _rejected", lacking.rejected));
    }
    lacks
}

fn gap_text(gap: &Lack) -> String {
    format!("region {} has a gap {}: {}", gap.region, gap.range, gap.why)
}

fn elsewhere(manifest: &Manifest) -> Vec<String> {
    manifest.account.elsewhere(&manifest.regions, manifest.range).iter().map(gap_text).collect()
}

/// Parts that the manifest does not list: strangers, and those that its own run has published since it was written. A run
/// that was killed leaves such parts behind, and its next start lists them.
fn unlisted<'a>(manifest: &Manifest, found: &'a [String]) -> (Vec<&'a String>, Vec<&'a String>) {
    let listed: BTreeSet<&str> = manifest.parts.iter().map(|part| part.path.as_str()).collect();
    let is_newer = |path: &&String| manifest.status == Status::Running && is_of_run(path, &manifest.run);
    let former: BTreeSet<&String> = manifest.former_paths().collect();
    let is_ours = |path: &&String| former.contains(path) || is_of_the_log(path);
    let unlisted = found.iter().filter(|path| !listed.contains(path.as_str()) && !is_ours(path));
    unlisted.partition(|path| !is_newer(path))
}

/// Parts that must not share a video: those of a region and a snapshot.
type Groups<'a> = BTreeMap<(&'a str, Option<&'a str>), Vec<&'a PartRecord>>;

fn check_parts(files: &mut Files, manifest: &Manifest, now: EpochSeconds, report: &mut Report) {
    let mut sound: Groups<'_> = BTreeMap::new();
    // What the run reads again is replaced under the same name.
    let is_read_again = |part: &PartRecord| {
        manifest.status == Status::Running && part.run == manifest.run && !seconds::is_covered(manifest, part)
    };
    let retained_from = manifest.retained_from(now);
    let may_be_gone = |part: &PartRecord| retained_from.is_some_and(|from| part.range.end <= from);
    for part in &manifest.parts {
        let checked = files.local(part).and_then(|file| {
            unless_it_panics(|| {
                check_part(&file, part)?;
                files.keep_keys(part, &file).map_err(|error| format!("cannot be compared: {error}"))
            })
        });
        match checked {
            Ok(()) => sound.entry((part.region.as_str(), snapshot_of(&part.path))).or_default().push(part),
            Err(problem) if may_be_gone(part) && problem == MISSING => {}
            Err(_) if is_read_again(part) => report.shortfalls.push(format!("{} is being read again", part.path)),
            Err(problem) => {
                report.problems.push(format!("{} {problem}", part.path));
                report.advice.push(advice(files, manifest, part));
            }
        }
    }
    let problems = &mut report.problems;
    for ((region, _), mut parts) in sound {
        parts.sort_by_key(|part| part.range);
        problems.extend(overlaps(&parts));
        match repeated_videos(files, &parts) {
            Ok(0) => {}
            Ok(repeated) => problems.push(format!("region {region} holds {repeated} videos more than once")),
            Err(source) => problems.push(format!("the videos of region {region} cannot be compared: {source}")),
        }
    }
}

/// How a part that is not what it should be comes back.
fn advice(files: &Files, manifest: &Manifest, part: &PartRecord) -> String {
    let PartRecord { path, .. } = part;
    if !manifest.regions.contains(&part.region) || !manifest.range.covers(part.range) {
        return format!("restore {path} from a copy: it lies outside what the latest run was asked for");
    }
    // `run` looks at names and sizes only.
    let first = if files.has_its_size(part) { format!("move {path} away; then ") } else { String::new() };
    format!("{first}the same `run` command reads its {} again, and pays for them", part.rows)
}

/// Neighbours in `parts`, which are sorted by range, that hold the same seconds.
fn overlaps(parts: &[&PartRecord]) -> Vec<String> {
    let pairs = parts.iter().zip(parts.iter().skip(1));
    let clashing = pairs.filter(|(one, other)| one.range.overlaps(other.range));
    clashing
        .map(|(one, other)| {
            format!("{} and {} both hold {}", one.path, other.path, one.range.intersection(other.range))
        })
        .collect()
}

/// The Parquet reader panics on some damage instead of naming it; that is one part's problem and no end of the check.
fn unless_it_panics(check: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
    checked.unwrap_or_else(|_| Err("is no readable Parquet: its reader broke down".to_owned()))
}

/// Compares one file with its record. The problem is a phrase that follows the part's path.
fn check_part(file: &Path, part: &PartRecord) -> Result<(), String> {
    let slice = Slice { region: part.region.clone(), range: part.range, run: part.run.clone() };
    if !Layout::explains(&part.path, &slice) {
        return Err(format!("is not where region {} and {} belong", part.region, part.range));
    }
    check_bytes(file, part)?;
    let rows = check_rows(file, part)?;
    if rows == part.rows { Ok(()) } else { Err(format!("holds {rows}, but {} are recorded", part.rows)) }
}

fn check_bytes(file: &Path, part: &PartRecord) -> Result<(), String> {
    let unreadable = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => MISSING.to_owned(),
        _ => format!("cannot be read: {source}"),
    };
    let opened = File::open(file).map_err(unreadable)?;
    let bytes = ByteCount::new(opened.metadata().map_err(unreadable)?.len());
    if bytes != part.bytes {
        return Err(format!("has {bytes}, but {} are recorded", part.bytes));
    }
    let sha256 = sha256_of(opened).map_err(unreadable)?;
    if sha256 == part.sha256 { Ok(()) } else { Err("has another checksum than is recorded".to_owned()) }
}

fn check_rows(file: &Path, part: &PartRecord) -> Result<RowCount, String> {
    let unreadable = |source: ParquetError| format!("is no readable Parquet: {source}");
    let mut check = SortCheck { part, last: None };
    let mut rows = 0;
    let names: &[&str] =
        if part.schema == 1 { &[CREATE_TIME, VIDEO_ID] } else { &[CREATE_TIME, QUERY_REGION, VIDEO_ID] };
    for batch in open((file, part.schema), names).map_err(unreadable)? {
        let batch = batch.map_err(|source| unreadable(source.into()))?;
        check.follow(&batch)?;
        rows += batch.num_rows() as u64;
    }
    Ok(RowCount::new(rows))
}

/// The rows of a part, checked one after another.
struct SortCheck<'a> {
    part: &'a PartRecord,
    last: Option<(i64, String)>,
}

impl SortCheck<'_> {
    fn follow(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let moments =
            batch.column_by_name(CREATE_TIME).and_then(|column| column.as_primitive_opt::<TimestampMillisecondType>());
        let (Some(moments), Some(ids)) = (moments, texts(batch, VIDEO_ID)) else {
            return Err("has other columns than this program writes".to_owned());
        };
        let asked = self.part.region.as_str();
        // Parts of schema version 1 do not say which region was asked.
        let regions = texts(batch, QUERY_REGION);
        if let Some(other) = regions.into_iter().flat_map(StringArray::iter).find(|region| *region != Some(asked)) {
            return Err(format!("holds a row of region {}, not {asked}", other.unwrap_or("null")));
        }
        for (moment, id) in moments.iter().zip(ids.iter()) {
            let (Some(moment), Some(id)) = (moment, id) else {
                return Err(format!("holds a row without `{CREATE_TIME}` or `{VIDEO_ID}`"));
            };
            self.next(moment, id)?;
        }
        Ok(())
    }

    fn next(&mut self, moment: i64, id: &str) -> Result<(), String> {
        let range = self.part.range;
        let (start, end) = (range.start.get().saturating_mul(1000), range.end.get().saturating_mul(1000));
        if moment < start || moment >= end {
            return Err(format!("holds video {id} of {moment} ms, outside its range {range}"));
        }
        if self.last.as_ref().is_some_and(|(before, last)| (*before, last.as_str()) >= (moment, id)) {
            return Err(format!("is not sorted at video {id}, or holds it twice"));
        }
        match &mut self.last {
            Some((before, last)) => {
                *before = moment;
                last.clear();
                last.push_str(id);
            }
            none => *none = Some((moment, id.to_owned())),
        }
        Ok(())
    }
}

/// How many keys stand more than once in `parts`.
fn repeated_videos(files: &Files, parts: &[&PartRecord]) -> Result<u64, ParquetError> {
    let rows: u64 = parts.iter().map(|part| part.rows.get()).sum();
    let passes = rows.div_ceil(KEYS_AT_ONCE);
    let mut repeated = 0;
    for pass in 0..passes {
        let mut keys = Vec::new();
        for part in parts {
            files.keys(part, |key| {
                if spread(key) % passes == pass {
                    keys.push(key);
                }
            })?;
        }
        keys.sort_unstable();
        repeated += keys.chunk_by(|one, other| one == other).filter(|same| same.len() > 1).count() as u64;
    }
    Ok(repeated)
}

/// Mixes a key's bits, so that ids which share their low bits do not share a pass.
const fn spread(key: u64) -> u64 {
    key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32
}

fn texts<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a StringArray> {
    batch.column_by_name(name)?.as_string_opt::<i32>()
}

/// Reads the named columns of a part that has exactly the columns of its schema version.
fn open((file, schema): (&Path, u32), names: &[&str]) -> Result<ParquetRecordBatchReader, ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(file)?)?;
    if !former::may_have(schema, builder.schema().fields()) {
        return Err(ParquetError::General("it has other columns than this program writes".to_owned()));
    }
    let wanted = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
    builder.with_projection(wanted).with_batch_size(BATCH_ROWS).build()
}

#[cfg(test)]
mod tests;
