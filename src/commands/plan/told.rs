//! What a forecast means in credits, time, bytes and files: the object that `plan --json` prints. Pure.
//!
//! It has a version: a field that is renamed or changes its meaning raises it, a new field does not. Each quantity has its 90 %
//! interval; `credits` counts from this forecast on, with what it spent itself.

use serde::Serialize;

use crate::api::contract::{Region, SOURCE};
use crate::config::{Qps, Settings};
use crate::export::{ExportRequest, Forecast};
use crate::plan::probing::RegionForecast;
use crate::plan::tally::Interval;
use crate::plan::walk::step::Consistency;
use crate::sink::layout::Partition;
use crate::sink::sizes::{self, BYTES_A_PART, Holding};
use crate::units::TimeRange;

/// The version of the JSON form.
const PLAN_VERSION: u32 = 1;
/// What a window costs beside its rows, pages: about half a page, and its seam.
const WINDOW_CREDITS: f64 = 0.6;
/// The same at most.
const MOST_WINDOW_CREDITS: f64 = 2.0;
/// The fewest pages for which a window is shared.
const SHARED_PAGES: f64 = 24.0;
/// What each region costs beside its rows: its newest page and the looks at both ends; at most, where its end or region is doubted.
const REGION_CREDITS: f64 = 5.0;
const MOST_REGION_CREDITS: f64 = 14.0;
/// Rows that are read twice where walks begin anew, as a share; at most.
const READ_TWICE: f64 = 0.0005;
const MOST_READ_TWICE: f64 = 0.005;
/// By how much a learned rate, and a given one, may turn out otherwise.
const LEARNED_MAY_DIFFER: f64 = 1.25;
const GIVEN_MAY_DIFFER: f64 = 1.1;
/// The rate that a run begins at which knows none, requests a second.
const FIRST_RATE: f64 = 2.0;
/// How long an answer takes where none was asked for, and at least, seconds.
const USUAL_LATENCY: f64 = 0.1;
const LEAST_LATENCY: f64 = 0.001;
/// Bytes of a row in a part, where there are too few rows to measure: what the demo takes, what parts are sized by, and more.
const BYTES_A_ROW: Interval = Interval { low: 60.0, estimate: 120.0, high: 300.0 };
/// A row in a small sample takes more than one among many, whose texts repeat: by these factors of the measured size.
const IN_A_PART: Interval = Interval { low: 0.5, estimate: 0.8, high: 1.15 };
/// How many rows a deletion hides that falls into a scan which is being read, as measured.
const HIDDEN_BY_A_DELETION: (f64, f64) = (0.5, 0.7);

/// An interval of whole numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Whole {
    pub(super) low: u64,
    pub(super) estimate: u64,
    pub(super) high: u64,
}

/// An interval of amounts of money, or of shares.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Amount {
    pub(super) low: f64,
    pub(super) estimate: f64,
    pub(super) high: f64,
}

/// What an export will cost.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Told {
    version: u32,
    /// The run that `run` goes on with; none where nothing is left to read.
    pub(super) run: Option<String>,
    pub(super) range: TimeRange,
    /// Rows of all that the run reads.
    pub(super) rows: Whole,
    /// Credits from this forecast on, its own among them.
    pub(super) credits: Whole,
    /// How long `run` will take.
    pub(super) seconds: Whole,
    pub(super) bytes: Whole,
    pub(super) files: Whole,
    /// Whether `rows` is their number, and no estimate.
    pub(super) exact: bool,
    /// Requests that this forecast sent.
    pub(super) requests_spent: u64,
    /// Requests of the same run before it.
    pub(super) requests_spent_before: u64,
    /// Rows that are bought already, this forecast's among them.
    pub(super) rows_bought: u64,
    pub(super) rate: Pace,
    /// What the credits cost; null where `budget.credit_price` is not set.
    pub(super) price: Option<Amount>,
    /// The share of `budget.quota`; null where that is not set.
    pub(super) quota_share: Option<Amount>,
    /// Whether `budget.max_credits` may end the run before it is complete.
    pub(super) max_credits: Option<u64>,
    pub(super) exposure: Exposure,
    pub(super) output: Shape,
    pub(super) regions: Vec<RegionTold>,
}

/// How fast it will go.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Pace {
    /// Requests a second; where none is known, between what was tried and what this machine can send.
    pub(super) low: f64,
    pub(super) high: f64,
    /// `given`, `learned` or `unknown`.
    pub(super) source: &'static str,
}

/// What rows that are deleted while the run reads may hide.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Exposure {
    pub(super) level: Consistency,
    /// Pages of a scan that a deletion moves, and about how long one takes to be read. Whoever reads the JSON knows them by their former names.
    #[serde(rename = "stretch_pages")]
    pub(super) scan_pages: u64,
    #[serde(rename = "stretch_seconds")]
    pub(super) scan_seconds: u64,
    /// Rows that a deletion within it hides.
    pub(super) hidden_low: f64,
    pub(super) hidden_high: f64,
}

/// The files.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Shape {
    pub(super) partition: Partition,
    pub(super) files_a_day: f64,
    pub(super) bytes_a_file: u64,
    /// Where files would be tiny or folders huge: what to take in place of it.
    pub(super) better_partition: Option<Partition>,
    pub(super) files_then: Option<u64>,
}

/// A region's part in it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct RegionTold {
    pub(super) region: Region,
    pub(super) rows: Whole,
    pub(super) exact: bool,
    /// From the first row that is known to the last.
    pub(super) span: Option<TimeRange>,
}

impl Told {
    /// What a forecast means under these settings.
    pub(super) fn of(forecast: &Forecast, settings: &Settings, request: &ExportRequest) -> Self {
        let regions = with_unknown(&forecast.regions);
        let rows = regions.iter().map(|region| region.rows).fold(Interval::default(), Interval::plus);
        let bought: u64 = regions.iter().map(|region| region.bought).sum();
        let left = rows.map(|rows| (rows - bought as f64).max(0.0));
        let is_nothing = regions.is_empty();
        let to_come = if is_nothing { Interval::default() } else { credits(left, forecast, settings, &regions) };
        let credits = to_come.map(|credits| credits + forecast.spent as f64);
        let pace = pace(forecast, settings);
        let seconds = if is_nothing { Interval::default() } else { seconds(to_come, &pace, settings) };
        let (shape, files, bytes) = shape(&regions, forecast, settings, request);
        let budget = &settings.budget;
        Self {
            version: PLAN_VERSION,
            run: forecast.run.clone(),
            range: forecast.range,
            rows: whole(rows),
            credits: whole(credits),
            seconds: whole(seconds),
            bytes: whole(bytes),
            files: whole(files),
            exact: regions.iter().all(|region| region.is_exact),
            requests_spent: forecast.spent,
            requests_spent_before: forecast.spent_before,
            rows_bought: bought,
            price: budget.credit_price.map(|price| amount(credits.map(|credits| credits.ceil() * price))),
            quota_share: budget.quota.map(|quota| amount(credits.map(|credits| credits / quota.get().max(1) as f64))),
            max_credits: budget.max_credits.map(|max| max.get()),
            exposure: exposure(&pace, settings, &regions),
            rate: pace,
            output: shape,
            regions: regions.iter().map(region_told).collect(),
        }
    }
}

/// Regions that nobody could ask for any more are taken to be like the others.
fn with_unknown(regions: &[RegionForecast]) -> Vec<RegionForecast> {
    let known: Vec<&RegionForecast> = regions.iter().filter(|region| !region.is_unknown).collect();
    let mean = known.iter().map(|region| region.rows.estimate).sum::<f64>() / known.len().max(1) as f64;
    let most = known.iter().map(|region| region.rows.high).fold(0.0, f64::max);
    let guess = Interval { low: 0.0, estimate: mean, high: 3.0 * most };
    let of = |region: &RegionForecast| match region.is_unknown {
        true => RegionForecast { rows: guess, is_exact: false, ..region.clone() },
        false => region.clone(),
    };
    regions.iter().map(of).collect()
}

/// What the rest costs at the level that is set.
fn credits(left: Interval, forecast: &Forecast, settings: &Settings, regions: &[RegionForecast]) -> Interval {
    let page = f64::from(SOURCE.page_size);
    let many = regions.len() as f64;
    let shared = regions.iter().map(|region| region.shared_rows).sum::<f64>() / many.max(1.0);
    // At `atomic` each page begins with the rows of the last second before it.
    let rows_a_page = match settings.plan.consistency {
        Consistency::Atomic => (page - shared).max(page / 2.0),
        Consistency::Anchored | Consistency::Deep => page,
    };
    let windows = |pages: f64| {
        let at_once = f64::from(settings.pace.max_in_flight) * 2.0;
        let by_size = pages / f64::from(settings.plan.window_pages);
        (pages / SHARED_PAGES).min(at_once.max(by_size)) + forecast.windows as f64
    };
    let pages = left.map(|rows| (rows / rows_a_page).ceil());
    let most_a_page = if rows_a_page < page { page / 2.0 } else { rows_a_page };
    let most = (left.high / most_a_page).ceil() * (1.0 + MOST_READ_TWICE);
    Interval {
        low: (left.low / page).ceil(),
        estimate: pages.estimate * (1.0 + READ_TWICE)
            + WINDOW_CREDITS * windows(pages.estimate)
            + REGION_CREDITS * many,
        high: (most + MOST_WINDOW_CREDITS * windows(pages.high) + MOST_REGION_CREDITS * many)
            * forecast.attempts_a_page,
    }
}

fn pace(forecast: &Forecast, settings: &Settings) -> Pace {
    let at_once = f64::from(settings.pace.max_in_flight);
    let able = at_once / forecast.latency_seconds.unwrap_or(USUAL_LATENCY).max(LEAST_LATENCY);
    match (settings.pace.qps, forecast.rate.limit) {
        (Qps::PerSecond(rate), _) => {
            let rate = rate.min(able);
            Pace { low: rate / GIVEN_MAY_DIFFER, high: rate, source: "given" }
        }
        (Qps::Auto, Some(limit)) => {
            let rate = limit.min(able);
            Pace { low: rate / LEARNED_MAY_DIFFER, high: rate * LEARNED_MAY_DIFFER, source: "learned" }
        }
        (Qps::Auto, None) => {
            let tried = forecast.rate.used.unwrap_or(FIRST_RATE).min(able);
            Pace { low: tried, high: able.max(tried), source: "unknown" }
        }
    }
}

/// The ends are confirmed after a while, which a short run waits for.
fn seconds(to_come: Interval, pace: &Pace, settings: &Settings) -> Interval {
    let wait = if to_come.estimate > 0.0 { settings.plan.confirm_after.get().as_secs_f64() } else { 0.0 };
    let likely = match pace.source {
        "given" => pace.high,
        _ => (pace.low * pace.high).sqrt(),
    };
    Interval {
        low: to_come.low / pace.high,
        estimate: (to_come.estimate / likely).max(wait),
        high: (to_come.high / pace.low) + wait,
    }
}

fn exposure(pace: &Pace, settings: &Settings, regions: &[RegionForecast]) -> Exposure {
    let plan = &settings.plan;
    let pages: f64 = regions.iter().map(|region| region.rows.estimate / f64::from(SOURCE.page_size)).sum();
    let workers = f64::from(settings.pace.max_in_flight);
    let share = (pages / workers).min(f64::from(plan.window_pages)).max(1.0);
    let scan = match plan.consistency {
        Consistency::Atomic => 1.0,
        Consistency::Anchored => f64::from(plan.anchor_pages).min(share),
        Consistency::Deep => share,
    };
    let rate = (pace.low * pace.high).sqrt().max(0.001);
    let age = plan.stretch_age.get().as_secs_f64();
    let long = (scan * workers.min(pages.max(1.0)) / rate).min(if plan.consistency == Consistency::Deep {
        f64::INFINITY
    } else {
        age
    });
    let (low, high) = if plan.consistency == Consistency::Atomic { (0.0, 0.0) } else { HIDDEN_BY_A_DELETION };
    Exposure {
        level: plan.consistency,
        scan_pages: scan.ceil() as u64,
        scan_seconds: long.ceil() as u64,
        hidden_low: low,
        hidden_high: high,
    }
}

/// The files: how they turn out, how many, and how large all of them are.
fn shape(
    regions: &[RegionForecast],
    forecast: &Forecast,
    settings: &Settings,
    request: &ExportRequest,
) -> (Shape, Interval, Interval) {
    let (a_row, a_part) = match forecast.sample {
        Some(sample) => (IN_A_PART.map(|share| share * sample.bytes_a_row), sample.bytes_a_part),
        None => (BYTES_A_ROW, BYTES_A_PART),
    };
    let files_of = |partition: Partition| files(regions, partition, request);
    let bytes_of = |files: Interval| {
        let rows = regions.iter().map(|region| region.rows).fold(Interval::default(), Interval::plus);
        Interval {
            low: rows.low * a_row.low + files.low * a_part / 2.0,
            estimate: rows.estimate * a_row.estimate + files.estimate * a_part,
            high: rows.high * a_row.high + files.high * a_part * 2.0,
        }
    };
    let partition = settings.output.partition;
    let files = files_of(partition);
    let bytes = bytes_of(files);
    let bytes_a_file = bytes.estimate / files.estimate.max(1.0);
    let under = |partition: Partition| {
        let files = files_of(partition);
        let folders: usize = regions.iter().map(|region| folders(region, partition)).sum();
        Holding { files: files.estimate, folders: folders as f64, bytes: bytes_of(files).estimate }
    };
    let better = sizes::better(partition, under);
    let days: f64 =
        regions.iter().filter_map(|region| region.span).map(|span| (span.seconds() as f64 / 86_400.0).max(1.0)).sum();
    let files_a_day = if days > 0.0 { files.estimate / days } else { 0.0 };
    let shape = Shape {
        partition,
        files_a_day: rounded(files_a_day),
        bytes_a_file: bytes_a_file.round() as u64,
        better_partition: better,
        files_then: better.map(|better| files_of(better).estimate.round() as u64),
    };
    (shape, files, bytes)
}

/// A folder holds one file at least, and more where its rows fill more.
fn files(regions: &[RegionForecast], partition: Partition, request: &ExportRequest) -> Interval {
    let of = |region: &RegionForecast| {
        let folders = folders(region, partition) as f64;
        let full = request.part_rows.get().max(1) as f64;
        let filled = |rows: f64| {
            if rows > 0.0 { folders.min(rows) * (rows / folders.max(1.0) / full).ceil().max(1.0) } else { 0.0 }
        };
        // A folder of few rows may hold none.
        let Interval { low, estimate, high } = region.rows;
        Interval { low: filled(low).min(folders.max(1.0)), estimate: filled(estimate), high: 1.5 * filled(high) + 1.0 }
    };
    regions.iter().map(of).fold(Interval::default(), Interval::plus)
}

fn folders(region: &RegionForecast, partition: Partition) -> usize {
    let Some(span) = region.span else { return 0 };
    partition.cut(span).len()
}

fn region_told(region: &RegionForecast) -> RegionTold {
    let RegionForecast { region, rows, is_exact, span, .. } = region.clone();
    RegionTold { region, rows: whole(rows), exact: is_exact, span }
}

fn whole(interval: Interval) -> Whole {
    let Interval { low, estimate, high } = interval;
    // Saturates: what is no number of anything is 0.
    Whole { low: low.floor() as u64, estimate: estimate.round() as u64, high: high.ceil() as u64 }
}

fn amount(interval: Interval) -> Amount {
    let Interval { low, estimate, high } = interval.map(rounded);
    Amount { low, estimate, high }
}

/// To four places, which is as much as an estimate can say.
fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}
