//! What a report needs beyond the status: the parts' rows by time, their nulls, and the run's requests over time.

use std::collections::BTreeMap;

use crate::api::contract::Region;
use crate::export::{TIMED, Timed};
use crate::failure::{ExitCode, Failure};
use crate::journal::JournalView;
use crate::journal::record::PartRecord;
use crate::progress::Timeline;
use crate::sink::manifest::{MANIFEST, Manifest};
use crate::sink::nulls::Nulls;
use crate::sink::reading::each_second;
use crate::units::TimeRange;

use super::super::places::Places;
use super::super::status::facts::Facts;
use super::super::status::report::Status;
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
    pub(super) fn read(places: &Places, summary: Option<Summary>) -> Result<Self, Failure> {
        let facts = Facts::read(places)?;
        let status = Status::of(&facts, super::super::run::now());
        let Some(run) = &facts.run else {
            return Err(Failure::new(ExitCode::Usage, format!("no run has begun in {}", places.state.display()))
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
            timeline: timeline(places, &run.id),
            nulls: Nulls::default(),
            parts: Vec::new(),
            unreadable: Vec::new(),
            manifest: manifest(places),
            summary,
        };
        parts.iter().for_each(|part| gathered.look_into(places, part));
        gathered.parts = parts;
        Ok(gathered)
    }

    fn look_into(&mut self, places: &Places, part: &PartRecord) {
        let file = places.output.join(&part.path);
        if let Err(error) = self.nulls.count(&file) {
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
        } else if let Err(error) = each_second(part, &file, |second| add(columns.of_second(second), 1.0)) {
            self.unreadable.push(format!("{}: {error}", part.path));
        }
    }
}

fn timeline(places: &Places, run: &str) -> Option<Timeline> {
    let view = JournalView::open(&places.state).ok()??;
    let timed: Timed = serde_json::from_str(&view.learned(TIMED).ok()??).ok()?;
    (timed.run == run && !timed.timeline.stretches.is_empty()).then_some(timed.timeline)
}

fn manifest(places: &Places) -> Option<Manifest> {
    Manifest::parse(&std::fs::read(places.output.join(MANIFEST)).ok()?).ok()
}
