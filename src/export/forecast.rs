//! What an export will cost, before it is begun: the run that would read it is begun, or gone on with, as far as a forecast needs.
//!
//! A forecast is a start of that run which publishes nothing. What it asks is durable like any page, so the `run` that follows goes on
//! from there. A run that only a forecast has begun is given up without a word to readers where something else is asked next.

use crate::fetch::throttle::LearnedRate;
use crate::journal::Journal;
use crate::plan::planner::Planner;
use crate::plan::probing::RegionForecast;
use crate::sink::layout::Slice;
use crate::sink::part::Parts;
use crate::sink::staging::Staging;
use crate::units::TimeRange;

use super::{Ending, ExportError};

/// Rows below which a sample says nothing of sizes.
const LEAST_SAMPLED: u64 = 20;

/// What an export is going to be.
#[derive(Clone, Debug)]
pub struct Forecast {
    /// The run that goes on with it; none where nothing is left to read, or a finished one would read something again.
    pub run: Option<String>,
    /// The range, as the run has it.
    pub range: TimeRange,
    /// Each region; none where nothing is left to read.
    pub regions: Vec<RegionForecast>,
    /// Windows that are begun, beside the first of each region: each costs about half a page.
    pub windows: u64,
    /// Requests of this forecast.
    pub spent: u64,
    /// Requests of the run before it.
    pub spent_before: u64,
    /// How many requests an answered page took; 1 where none failed.
    pub attempts_a_page: f64,
    /// What is known of the rate.
    pub rate: LearnedRate,
    /// How long an answer took; none where none came.
    pub latency_seconds: Option<f64>,
    /// How large rows are in a part; none where there are too few to tell.
    pub sample: Option<RowSizes>,
    /// How it ended.
    pub ending: Ending,
}

/// How large rows are in a part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowSizes {
    /// Rows that were written to find out.
    pub rows: u64,
    /// Bytes that each further row takes.
    pub bytes_a_row: f64,
    /// Bytes of a part without rows.
    pub bytes_a_part: f64,
}

impl Forecast {
    /// Of a range of which nothing is left to read.
    pub(super) fn nothing(range: TimeRange) -> Self {
        Self {
            run: None,
            range,
            regions: Vec::new(),
            windows: 0,
            spent: 0,
            spent_before: 0,
            attempts_a_page: 1.0,
            rate: LearnedRate::default(),
            latency_seconds: None,
            sample: None,
            ending: Ending::Probed,
        }
    }
}

/// Windows that are begun, but for the first of each region.
pub(super) fn windows(planner: &Planner) -> u64 {
    let open = |plan: &crate::plan::region::RegionPlan| plan.windows.len().saturating_sub(1) as u64;
    planner.regions().iter().map(open).sum()
}

/// Requests for each page that came.
pub(super) fn attempts_a_page(attempts: u64, pages: u64) -> f64 {
    if pages == 0 { 1.0 } else { (attempts as f64 / pages as f64).max(1.0) }
}

/// Writes the pages that the journal holds as a part, whole and with every other page, and takes both away again. Blocks.
pub(super) fn measure(
    parts: &Parts,
    slice: &Slice,
    journal: &Journal,
    staging: &Staging,
) -> Result<Option<RowSizes>, ExportError> {
    let write = |step: usize| -> Result<(u64, u64), ExportError> {
        let pages = journal.pages(&slice.region, slice.range)?.step_by(step);
        let Some(part) = parts.stage(slice, pages).map_err(ExportError::Part)? else { return Ok((0, 0)) };
        let file = staging.file(&part.path);
        // What cannot be taken away now is discarded by the next start.
        let _left = std::fs::remove_file(&file);
        Ok((part.rows.get(), part.bytes.get()))
    };
    let ((all, all_bytes), (half, half_bytes)) = (write(1)?, write(2)?);
    if half < LEAST_SAMPLED || all <= half || all_bytes <= half_bytes {
        return Ok(None);
    }
    let bytes_a_row = (all_bytes - half_bytes) as f64 / (all - half) as f64;
    let bytes_a_part = (all_bytes as f64 - bytes_a_row * all as f64).max(0.0);
    Ok(Some(RowSizes { rows: all, bytes_a_row, bytes_a_part }))
}
