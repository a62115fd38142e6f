//! What a person may set about the simulated service: one table for each concern, every field with its unit and bounds.
//!
//! The same structs are the `[simulator]` table of a settings file and the flags of `simulate`; their one set of
//! defaults is [`Default`]. Data only: nothing here draws, sends or reads a clock.

mod defaults;
mod flags;
mod values;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

pub use flags::SimulatorFlags;
pub use values::*;

use crate::api::contract::Region;
use crate::units::{EpochSeconds, LAST_PAGE, TimeRange};

/// The largest number of rows of one region, dense seconds included: 8 bytes of memory each.
pub const MAX_REGION_ROWS: u32 = 50_000_000;

/// Everything about a simulated service. The default is a healthy one: a month of one region, no limits,
/// no faults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
pub struct SimulatorSettings {
    /// The seed of the world, of every fault and of drift; any number.
    #[arg(long)]
    pub seed: u64,
    /// The address to serve on; port 0 takes a free one.
    #[arg(long)]
    pub listen: SocketAddr,
    /// Which rows there are.
    #[command(flatten)]
    pub world: WorldSettings,
    /// How the service turns out where the contract is silent.
    #[command(flatten)]
    pub contract: ContractSettings,
    /// Rate, credits and time.
    #[command(flatten)]
    pub limits: LimitSettings,
    /// What goes wrong with requests.
    #[command(flatten)]
    pub faults: FaultSettings,
    /// What is wrong with rows.
    #[command(flatten)]
    pub odd: OddSettings,
    /// What changes while the service runs.
    #[command(flatten)]
    pub drift: DriftSettings,
}

/// Which rows there are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "Which rows there are")]
pub struct WorldSettings {
    /// The regions that hold rows; at least one. Any other region is empty.
    #[arg(long, value_delimiter = ',')]
    pub regions: Vec<Region>,
    /// The first second that may hold rows (RFC 3339, date or epoch seconds); not before 2001-09-09T01:46:40Z.
    #[arg(long)]
    pub from: Moment,
    /// The first second after the world (RFC 3339, date or epoch seconds); before 2038-01-19.
    #[arg(long)]
    pub to: Moment,
    /// Rows of each region, 0 to 50,000,000; filtered short pages and garbage rows take their share of them.
    #[arg(long)]
    pub rows: u32,
    /// How rows lie in time.
    #[arg(long)]
    pub density: Density,
    /// A second with a stated number of rows on top, `MOMENT=ROWS`; may be repeated.
    #[arg(long)]
    pub dense_seconds: Vec<DenseSecond>,
    /// The moment at which the service is asked (RFC 3339, date or epoch seconds): no row is newer, one in ten came up to three days
    /// late, one in twenty is deleted at an age of one to ten days, and counts grow with age. Without it every row is there.
    #[arg(long)]
    pub as_of: Option<Moment>,
}

/// How the service turns out where the contract is silent or contradicts itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "How the service turns out where the contract is silent")]
pub struct ContractSettings {
    /// The key that is asked for; empty takes any key.
    #[arg(long)]
    pub token: String,
    /// What the key may do.
    #[arg(long)]
    pub access: Access,
    /// Whether error messages repeat the caller's key.
    #[arg(long)]
    pub key_echo: KeyEcho,
    /// The last page of a query that is served, 1 to 100,000.
    #[arg(long)]
    pub last_page: u32,
    /// What a page past the last one returns.
    #[arg(long)]
    pub past_last_page: PastLastPage,
    /// Whether `min_create_time` takes its own second in.
    #[arg(long)]
    pub min_bound: Bound,
    /// Whether `max_create_time` takes its own second in.
    #[arg(long)]
    pub max_bound: Bound,
    /// The unit of both time bounds.
    #[arg(long)]
    pub time_unit: TimeUnit,
    /// The order of rows that share a second.
    #[arg(long)]
    pub tie_order: TieOrder,
    /// Whether the asked sort is kept.
    #[arg(long)]
    pub sort: Sort,
    /// What `page_num` counts.
    #[arg(long)]
    pub page_num: PageNum,
    /// Whether each question has an answer of its own.
    #[arg(long)]
    pub answering: Answering,
    /// Whether the asked time is kept to.
    #[arg(long)]
    pub bounds: Bounds,
    /// What `min_create_time` is rounded down to, seconds, 1 to 1,000,000; 1 rounds nothing.
    #[arg(long)]
    pub min_rounded_to_s: u32,
    /// What a `page_size` above 10 does.
    #[arg(long)]
    pub oversized_page: OversizedPage,
    /// A filter that leaves nothing out; may be repeated.
    #[arg(long)]
    pub ignored_filters: Vec<FilterName>,
    /// Why pages are shorter than asked.
    #[arg(long)]
    pub short_pages: ShortPages,
    /// How many pages are short, 0 to 1; 1 makes every page short by one row.
    #[arg(long)]
    pub short_fraction: f64,
    /// What `data` is on a page without rows.
    #[arg(long)]
    pub empty_page: EmptyPage,
    /// Whether answers are compressed.
    #[arg(long)]
    pub compression: Compression,
    /// What stands around the JSON of an answer.
    #[arg(long)]
    pub framing: Framing,
    /// How far the `Date` header of answers is from this machine's clock, seconds; negative is behind it.
    #[arg(long, allow_hyphen_values = true)]
    pub date_offset_s: i32,
    /// The `Age` header of answers, as a cache adds it, seconds; none sends none.
    #[arg(long)]
    pub age_s: Option<u32>,
}

/// Rate, credits and time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "Rate, credits and time")]
pub struct LimitSettings {
    /// Requests a second that are admitted; 0 admits all.
    #[arg(long)]
    pub requests_per_second: u32,
    /// How the rate limit counts.
    #[arg(long)]
    pub limit_kind: LimitKind,
    /// Permits that a bucket holds at most, requests; 0 stands for one second's worth.
    #[arg(long)]
    pub bucket_capacity: u32,
    /// How a request above the limit is answered.
    #[arg(long)]
    pub throttle_form: ThrottleForm,
    /// Whether every answer tells the limit in `X-RateLimit-Limit`.
    #[arg(long)]
    pub rate_headers: RateHeaders,
    /// The `Retry-After` header of such an answer, seconds; 0 sends none.
    #[arg(long)]
    pub retry_after_s: u32,
    /// Credits that the key holds; absent is without limit.
    #[arg(long)]
    pub credits: Option<u64>,
    /// How an exhausted quota is told.
    #[arg(long)]
    pub quota_form: QuotaForm,
    /// Whether answers that carry no page cost a credit.
    #[arg(long)]
    pub error_charge: ErrorCharge,
    /// The median time that an answer takes, milliseconds; 0 to 60,000.
    #[arg(long)]
    pub latency_ms: f64,
    /// How much longer the slowest hundredth takes, as a factor of the median (lognormal), 1 to 1,000; 1 is no tail.
    #[arg(long)]
    pub latency_p99_factor: f64,
    /// What each 1,000 pages of depth add to an answer's time, milliseconds; 0 to 60,000.
    #[arg(long)]
    pub deep_page_ms: f64,
}

/// What goes wrong with requests. Fractions are of admitted requests, 0 to 1; their sum is at most 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "What goes wrong with requests: without another unit a share of them, 0 to 1")]
pub struct FaultSettings {
    /// HTTP 500 with the documented JSON.
    #[arg(long)]
    pub server_error: f64,
    /// HTTP 502 with HTML.
    #[arg(long)]
    pub bad_gateway: f64,
    /// An error `code` in a 200: 500, or one that is documented nowhere.
    #[arg(long)]
    pub error_inside: f64,
    /// A 200 whose body is no JSON.
    #[arg(long)]
    pub not_json: f64,
    /// The connection is reset (RST) in place of an answer.
    #[arg(long)]
    pub reset: f64,
    /// The body ends halfway through its `Content-Length`, and the connection with it.
    #[arg(long)]
    pub cut_body: f64,
    /// The answer hangs before its first byte.
    #[arg(long)]
    pub stall: f64,
    /// The page of the world's next region comes, as from a cache that does not know the parameter.
    #[arg(long)]
    pub other_region: f64,
    /// The page comes as if no time were asked.
    #[arg(long)]
    pub other_time: f64,
    /// The page after the asked one comes.
    #[arg(long)]
    pub next_page: f64,
    /// The answer to the question before comes, whoever asked it.
    #[arg(long)]
    pub stale: f64,
    /// A trouble that begins and ends, as of a search index that restarts: what every answer is meanwhile.
    #[arg(long)]
    pub trouble: TroubleForm,
    /// After how many admitted requests the trouble begins.
    #[arg(long)]
    pub trouble_after: u64,
    /// How long it lasts, seconds; 0 to 86,400.
    #[arg(long)]
    pub trouble_s: f64,
    /// How long a hanging answer hangs, seconds; 0 to 3,600.
    #[arg(long)]
    pub stall_s: f64,
    /// A second (RFC 3339, date or epoch seconds) whose pages always answer 500; may be repeated.
    #[arg(long)]
    pub poison: Vec<Moment>,
    /// A request that is refused, once, whatever it asks.
    #[arg(long)]
    pub refusal: f64,
    /// The status and code of such a refusal, 300 to 599.
    #[arg(long)]
    pub refusal_code: u16,
    /// A region that is always refused, `REGION=CODE:WORDS`; may be repeated.
    #[arg(long)]
    pub refused_regions: Vec<RefusedRegion>,
    /// A region that always fails; may be repeated.
    #[arg(long, value_delimiter = ',')]
    pub dead_regions: Vec<Region>,
    /// How such a region fails.
    #[arg(long)]
    pub dead_form: DeadForm,
    /// After how many admitted requests regions are refused or fail.
    #[arg(long)]
    pub regions_fail_after: u64,
}

/// What is wrong with rows. Fractions are of all rows, 0 to 1, drawn independently; the same row is always odd in the
/// same way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "What is wrong with rows: without another unit a share of them, 0 to 1")]
pub struct OddSettings {
    /// A field that is null.
    #[arg(long)]
    pub null_field: f64,
    /// A field that is not there.
    #[arg(long)]
    pub missing_field: f64,
    /// A sales amount with decimals.
    #[arg(long)]
    pub decimal_amount: f64,
    /// A documented number that comes as text.
    #[arg(long)]
    pub number_as_text: f64,
    /// A documented numeric text (ids and times too) that comes as a bare number.
    #[arg(long)]
    pub text_as_number: f64,
    /// A field that is not documented.
    #[arg(long)]
    pub unknown_field: f64,
    /// A raw control character inside the description, which strict JSON forbids.
    #[arg(long)]
    pub control_character: f64,
    /// Half of a surrogate pair inside the description, as an escape.
    #[arg(long)]
    pub lone_surrogate: f64,
    /// A huge description.
    #[arg(long)]
    pub huge_description: f64,
    /// How long a huge description is, bytes; 1 to 10,000,000.
    #[arg(long)]
    pub huge_bytes: u32,
    /// A row without a usable `video_id` or `create_time`, or that is no object at all.
    #[arg(long)]
    pub garbage: f64,
    /// A row that is null.
    #[arg(long)]
    pub null_row: f64,
    /// A sales amount that is `NaN` or an infinity, which JSON does not know.
    #[arg(long)]
    pub not_a_number: f64,
    /// A field that stands twice, with another value before the true one.
    #[arg(long)]
    pub repeated_field: f64,
    /// A row whose `create_time` is a plain lie: far outside the world, while it stands where its true time belongs.
    #[arg(long)]
    pub wrong_date: f64,
}

/// What changes while the service runs. Every change is drawn from the seed; which request sees it first depends on
/// the order in which requests arrive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "What changes while the service runs")]
pub struct DriftSettings {
    /// Rows that appear anywhere in time, for each 1,000 requests; 0 to 100,000.
    #[arg(long)]
    pub inserts_per_1000: f64,
    /// Rows that vanish anywhere in time, for each 1,000 requests; 0 to 100,000.
    #[arg(long)]
    pub deletes_per_1000: f64,
    /// Rows of each region that appear late in the last hour of the world, all at once; 0 to 1,000,000.
    #[arg(long)]
    pub late_rows: u32,
    /// After how many requests the late rows appear.
    #[arg(long)]
    pub late_after_requests: u64,
    /// The share of rows that the service does not show at first, 0 to 1: it has them, and serves its pages without them.
    #[arg(long)]
    pub hidden: f64,
    /// How many neighbours are hidden together, 1 to 1,000,000.
    #[arg(long)]
    pub hidden_in_a_row: u32,
    /// After how many requests hidden rows are shown.
    #[arg(long)]
    pub hidden_for_requests: u64,
}

/// A setting that no service could have.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum SettingsError {
    /// A number outside its bounds.
    #[error("simulator.{name} is {value}, which is not within {low} to {high}")]
    OutOfBounds {
        /// The setting, with its table.
        name: &'static str,
        /// What was set.
        value: f64,
        /// The least that may be set.
        low: f64,
        /// The most that may be set.
        high: f64,
    },
    /// The world has no region.
    #[error("simulator.world.regions is empty; name at least one region, such as US")]
    NoRegion,
    /// The world has no second, or seconds whose video ids would not have 19 digits.
    #[error("simulator.world is {0}, which must hold a second and lie between 2001-09-09T01:46:40Z and 2038-01-19")]
    Range(TimeRange),
    /// A dense second outside the world.
    #[error("simulator.world.dense_seconds names {second}, which is outside the world's {range}")]
    DenseSecond {
        /// The second.
        second: Moment,
        /// The world's range.
        range: TimeRange,
    },
    /// More faults than requests.
    #[error("the fractions of simulator.faults add up to {0}, which is above 1")]
    Faults(f64),
}

impl SimulatorSettings {
    /// Checks every bound.
    ///
    /// # Errors
    /// The first setting that is out of its bounds.
    pub fn validate(&self) -> Result<(), SettingsError> {
        self.world.validate()?;
        let faults = self.faults.fractions().iter().sum::<f64>();
        if faults > 1.0 + 1e-9 {
            return Err(SettingsError::Faults(faults));
        }
        self.bounded().into_iter().try_for_each(|(name, value, low, high)| within(name, value, low, high))
    }

    fn bounded(&self) -> Vec<(&'static str, f64, f64, f64)> {
        let (limits, faults, odd, drift) = (&self.limits, &self.faults, &self.odd, &self.drift);
        let mut bounded = vec![
            ("contract.last_page", f64::from(self.contract.last_page), 1.0, f64::from(LAST_PAGE)),
            ("contract.min_rounded_to_s", f64::from(self.contract.min_rounded_to_s), 1.0, 1_000_000.0),
            ("contract.short_fraction", self.contract.short_fraction, 0.0, 1.0),
            ("limits.latency_ms", limits.latency_ms, 0.0, 60_000.0),
            ("limits.latency_p99_factor", limits.latency_p99_factor, 1.0, 1_000.0),
            ("limits.deep_page_ms", limits.deep_page_ms, 0.0, 60_000.0),
            ("faults.stall_s", faults.stall_s, 0.0, 3_600.0),
            ("faults.trouble_s", faults.trouble_s, 0.0, 86_400.0),
            ("faults.refusal_code", f64::from(faults.refusal_code), 300.0, 599.0),
            ("odd.huge_bytes", f64::from(odd.huge_bytes), 1.0, 10_000_000.0),
            ("drift.inserts_per_1000", drift.inserts_per_1000, 0.0, 100_000.0),
            ("drift.deletes_per_1000", drift.deletes_per_1000, 0.0, 100_000.0),
            ("drift.late_rows", f64::from(drift.late_rows), 0.0, 1_000_000.0),
            ("drift.hidden", drift.hidden, 0.0, 1.0),
            ("drift.hidden_in_a_row", f64::from(drift.hidden_in_a_row), 1.0, 1_000_000.0),
        ];
        bounded.extend(faults.fractions().map(|value| ("faults (a fraction)", value, 0.0, 1.0)));
        bounded.extend(odd.fractions().map(|value| ("odd (a fraction)", value, 0.0, 1.0)));
        bounded
    }
}

impl WorldSettings {
    /// The seconds that may hold rows.
    pub fn range(&self) -> TimeRange {
        TimeRange::new(self.from.0, self.to.0)
    }

    fn validate(&self) -> Result<(), SettingsError> {
        let range = self.range();
        let sayable = TimeRange::new(EpochSeconds::new(1_000_000_000), EpochSeconds::new(i64::from(i32::MAX)));
        if range.is_empty() || !sayable.covers(range) {
            return Err(SettingsError::Range(range));
        }
        if self.regions.is_empty() {
            return Err(SettingsError::NoRegion);
        }
        if let Some(dense) = self.dense_seconds.iter().find(|dense| !range.contains(dense.second.0)) {
            return Err(SettingsError::DenseSecond { second: dense.second, range });
        }
        if let Some(moment) = self.as_of {
            let (low, high) = (sayable.start.get() as f64, sayable.end.get() as f64);
            within("world.as_of", moment.0.get() as f64, low, high)?;
        }
        let dense_rows = self.dense_seconds.iter().map(|dense| f64::from(dense.rows)).sum::<f64>();
        within("world.rows", f64::from(self.rows) + dense_rows, 0.0, f64::from(MAX_REGION_ROWS))
    }
}

impl FaultSettings {
    fn fractions(&self) -> [f64; 12] {
        [
            self.server_error,
            self.bad_gateway,
            self.error_inside,
            self.not_json,
            self.reset,
            self.cut_body,
            self.stall,
            self.other_region,
            self.other_time,
            self.next_page,
            self.stale,
            self.refusal,
        ]
    }
}

impl OddSettings {
    fn fractions(&self) -> [f64; 14] {
        [
            self.null_field,
            self.missing_field,
            self.decimal_amount,
            self.number_as_text,
            self.text_as_number,
            self.unknown_field,
            self.control_character,
            self.lone_surrogate,
            self.huge_description,
            self.garbage,
            self.null_row,
            self.not_a_number,
            self.repeated_field,
            self.wrong_date,
        ]
    }
}

fn within(name: &'static str, value: f64, low: f64, high: f64) -> Result<(), SettingsError> {
    if (low..=high).contains(&value) { Ok(()) } else { Err(SettingsError::OutOfBounds { name, value, low, high }) }
}
