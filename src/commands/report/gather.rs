//! What a report needs beyond the status: the parts' rows by time, their nulls, and the run's requests over time.

use std::collections::BTreeMap;
use std::path::Path;

use crate::api::contract::Region;
use crate::export::{TIMED, Timed};
use crate::failure::{ExitCode, Failure};
use crate::journal::JournalView;
use crate::journal::record::PartRecord;
use crate::progress::Timeline;
use crate::sink::copies::Copies;
use crate::sink::manifest::Manifest;
use crate::sink::nulls::Nulls;
use crate::sink::publish::Output;
use crate::sink::reading::each_second;
use crate::sink::store::{self, Writers};
use crate::units::TimeRange;

use super::super::look::Look;
use super::super::places::Places;
use super::super::status::facts::Facts;
use super::super::status::report::Status;
use super::super::store_failure;
use super::chart::Columns;
use crate::summary::Summary;

/// Everything that a report tells.
pub(super) struct Gathered {
    pub(super) status: Status,
    pub(super) range: TimeRange,
    pub(super) columns: Columns,
    /// Rows of each region by column; a part that could not be read is spread over its time.
    pub(super) rows: BTreeMap<Region, Vec<f64>>,
    /// The run's requests over time; none where no start of it has told them.
    pub(super) timeline: Option<Timeline>,
    pub(super) nulls: Nulls,
    /// Live parts that hold something of the range.
    pub(super) parts: Vec<PartRecord>,
    /// Parts whose files could not be read, and the first reason.
    pub(super) unreadable: Vec<String>,
    pub(super) manifest: Option<Manifest>,
    /// What the start came to that the report is the end of.
    pub(super) summary: Option<Summary>,
}

impl Gathered {
    /// Reads the state, or the manifest where there is none, and the parts of the last run's range.
    ///
    /// # Errors
    /// Neither state nor manifest is there, or the one that is cannot be read; no run has begun.
    pub(super) async fn read(places: &Places, summary: Option<Summary>) -> Result<Self, Failure> {
        let facts = Facts::read(places).await?;
        let status = Status::of(&facts, super::super::now());
        let Some(run) = &facts.run else {
            return Err(Failure::new(
                ExitCode::Usage,
                format!("no run has begun in {}", places.told_state().display()),
            )
            .with_hint("`run` begins one; then there is something to report"));
        };
        let (range, columns) = (run.range, Columns::of(run.range));
        let is_asked = |part: &&PartRecord| run.regions.contains(&part.region) && part.range.overlaps(range);
        let parts: Vec<PartRecord> = facts.parts.iter().filter(is_asked).cloned().collect();
        let mut gathered = Self {
            status,
            range,
            columns,
            rows: BTreeMap::new(),
            timeline: timeline(places, &run.id).await,
            nulls: Nulls::default(),
            parts: Vec::new(),
            unreadable: Vec::new(),
            manifest: Output::look(&places.output).await.ok().flatten(),
            summary,
        };
        let copies = copies(places)?;
        gathered.parts = parts;
        tokio::task::spawn_blocking(move || gathered.look_into_all(&copies)).await.map_err(cut_short)
    }

    fn look_into_all(mut self, copies: &Copies) -> Self {
        let parts = std::mem::take(&mut self.parts);
        for part in &parts {
            match copies.local(part) {
                Ok(file) => self.look_into(&file, part),
                Err(error) => self.unreadable.push(format!("{}: {error}", part.path)),
            }
        }
        Self { parts, ..self }
    }

    fn look_into(&mut self, file: &Path, part: &PartRecord) {
        if let Err(error) = self.nulls.count(file) {
            self.unreadable.push(format!("{}: {error}", part.path));
        }
        let columns = self.columns;
        let rows = self.rows.entry(part.region.clone()).or_insert_with(|| vec![0.0; columns.count()]);
        let mut add = |column: Option<usize>, count: f64| {
            if let Some(sum) = column.and_then(|column| rows.get_mut(column)) {
                *sum += count;
            }
        };
        #[expect(clippy::cast_precision_loss, reason = "for a picture")]
        let all = part.rows.get() as f64;
        // A part within one column need not be read.
        let last = columns.of_second(part.range.end.shifted(-1));
        if last.is_some() && columns.of_second(part.range.start) == last {
            add(last, all);
        } else if let Err(error) = each_second(part, file, |second| add(columns.of_second(second), 1.0)) {
            self.unreadable.push(format!("{}: {error}", part.path));
        }
    }
}

async fn timeline(places: &Places, run: &str) -> Option<Timeline> {
    let there = Look::at(places).await.ok()??;
    let view = JournalView::open(there.folder()).ok()??;
    let timed: Timed = serde_json::from_str(&view.learned(TIMED).ok()??).ok()?;
    (timed.run == run && !timed.timeline.stretches.is_empty()).then_some(timed.timeline)
}

/// The parts of the output; those of a bucket are copied, one after the other.
fn copies(places: &Places) -> Result<Copies, Failure> {
    let store = store::open(&places.output, Writers::Any).map_err(|error| match store_failure(&error) {
        Some((code, hint)) => Failure::from_error(code, &error).with_hint(hint),
        None => Failure::from_error(ExitCode::LocalDamage, &error).with_hint("make the output readable for this user"),
    })?;
    Copies::of(store).map_err(|error| {
        Failure::new(ExitCode::LocalDamage, format!("a folder for copies of the parts could not be made: {error}"))
            .with_hint("name a folder with room for one part with TMPDIR")
    })
}

fn cut_short(error: tokio::task::JoinError) -> Failure {
    Failure::new(ExitCode::Bug, format!("reading the parts was cut short: {error}"))
        .with_hint("run it again; if it ends so again, please report it")
}
