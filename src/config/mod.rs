//! What a person may set: one typed struct for each concern, each key with one meaning, one unit and one default.
//!
//! Settings are data from a person; nothing that is built from them (clients, limiters, handles) lives here. The key for
//! the service is not a setting: [`token`] reads it apart, so that no print of the settings can hold it.

pub mod error;
pub(crate) mod file;
pub mod keys;
pub mod layers;
pub mod notify;
pub(crate) mod redact;
pub mod time;
pub mod token;
pub mod validate;
pub mod value;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::ValueEnum;
use serde::{Deserialize, Deserializer, Serialize};

use crate::api::contract::{self, Filters, Region};
use crate::api::proxy::ProxyAddress;
use crate::choices::{Consistency, Encodings, Partition, Reread, Tuning};
use crate::config::value::through_choices;
use crate::units::Credits;

pub use error::ConfigError;
pub use layers::Sources;
pub use notify::{NotifyAddress, NotifySettings};
pub use time::TimeSpec;
pub use value::{HumanBytes, HumanDuration, Qps};

/// Every setting of the program, merged from its layers and validated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What is asked.
    pub question: QuestionSettings,
    /// Whom to ask, and how.
    pub service: ServiceSettings,
    /// How fast to ask.
    pub pace: PaceSettings,
    /// How time is cut and walked.
    pub plan: PlanSettings,
    /// What `check` found out about the service.
    #[serde(skip_serializing_if = "is_default")]
    pub verified: VerifiedSettings,
    /// What a run may cost.
    #[serde(skip_serializing_if = "is_default")]
    pub budget: BudgetSettings,
    /// Where rows go, and in what shape.
    pub output: OutputSettings,
    /// Where the journal lives.
    #[serde(skip_serializing_if = "is_default")]
    pub state: StateSettings,
    /// What the run tells.
    pub report: ReportSettings,
    /// Whom to ping. Never printed: the addresses may hold tokens.
    #[serde(skip_serializing)]
    pub notify: NotifySettings,
    /// The embedded service: where this table stands, `run` starts it and asks it in place of the real one, without a
    /// key. Its keys are the simulator's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simulator: Option<serde_json::Value>,
}

/// What is asked: regions, a half-open range of create-time, filters. The filters belong to the output's identity; regions and range
/// may change from run to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuestionSettings {
    /// Region codes, each asked on its own; at least one for `run`. A list, or text with commas. Repeats are dropped.
    #[serde(deserialize_with = "regions")]
    pub regions: Vec<Region>,
    /// The first moment inside the range; needed by `run`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<TimeSpec>,
    /// The first moment after the range. Default `now`; whatever lies after the run's beginning is clamped to it.
    pub to: TimeSpec,
    /// The documented filters; an absent one is not sent.
    #[serde(skip_serializing_if = "Filters::is_empty")]
    pub filters: Filters,
}

impl Default for QuestionSettings {
    fn default() -> Self {
        Self { regions: Vec::new(), from: None, to: TimeSpec::now(), filters: Filters::default() }
    }
}

/// Whom to ask, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceSettings {
    /// Scheme, host and optional port. https, except for this machine. Default the vendor's `https://api.keyapi.ai`.
    pub base_url: String,
    /// The endpoint's path below `base_url`. Default the documented one.
    pub path: String,
    /// The header that carries the key. Default `Authorization`.
    pub auth_header: String,
    /// The word before the key in that header; empty sends the key alone. Default `Bearer`.
    pub auth_scheme: String,
    /// How long a connection may take to open. Default 10s.
    pub connect_timeout: HumanDuration,
    /// How long a request may take from its first byte sent to its last byte read. Default 60s.
    pub request_timeout: HumanDuration,
    /// The largest answer that is read, compressed or not. Default 16MiB.
    pub body_limit: HumanBytes,
    /// A file that holds the key and nothing else, readable by its owner only; wins over `KEYAPI_TOKEN`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// The proxy through which the service is reached: `http://` or `https://`, host and port, perhaps user name and password. Never
    /// printed. None by default, whatever the environment says.
    #[serde(skip_serializing)]
    pub proxy: Option<ProxyAddress>,
}

impl Default for ServiceSettings {
    fn default() -> Self {
        Self {
            base_url: contract::SOURCE.base_url.to_owned(),
            path: contract::SOURCE.path.to_owned(),
            auth_header: "Authorization".to_owned(),
            auth_scheme: "Bearer".to_owned(),
            connect_timeout: HumanDuration::from_secs(10),
            request_timeout: HumanDuration::from_secs(60),
            body_limit: HumanBytes::from_mebibytes(16),
            token_file: None,
            proxy: None,
        }
    }
}

/// How fast to ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PaceSettings {
    /// Requests a second over all workers: `auto` learns the limit, a number is a ceiling. Default `auto`.
    pub qps: Qps,
    /// Requests on their way at once, 1 to 1024; also the number of workers. Default 16.
    pub max_in_flight: u32,
    /// How long to go on without a single durable page before the service counts as unwell (exit 5). Default 15m.
    pub give_up_after: HumanDuration,
}

impl Default for PaceSettings {
    fn default() -> Self {
        Self { qps: Qps::Auto, max_in_flight: 32, give_up_after: HumanDuration::from_secs(15 * 60) }
    }
}

/// How time is cut and walked. May change between the starts of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlanSettings {
    /// Pages that a window is sized for, 1 to 100000. Default 2000.
    pub window_pages: u32,
    /// Pages of a scan before a re-anchoring is considered, 1 to 100000. Default 300.
    pub anchor_pages: u32,
    /// The age from which a scan is re-anchored with fewer pages, where that is nearly free; at six times that age at any price. Default 10m.
    pub stretch_age: HumanDuration,
    /// How well the walk resists rows that come and go meanwhile, and at what price. Default `anchored`.
    pub consistency: Consistency,
    /// How long after a region's first answer its oldest and newest page are asked again, 0s to 1h; 0s asks neither. Default 20s.
    pub confirm_after: HumanDuration,
    /// What becomes of time that the output holds already. Default: `missing` where both ends of the range are absolute, `all` where one
    /// is relative, and with snapshots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reread: Option<Reread>,
}

impl Default for PlanSettings {
    fn default() -> Self {
        let Tuning { window_pages, anchor_pages, stretch_age, consistency, confirm_after } = Tuning::default();
        let seconds = |length: i64| HumanDuration::from_secs(length.unsigned_abs());
        Self {
            window_pages,
            anchor_pages,
            stretch_age: seconds(stretch_age),
            consistency,
            confirm_after: seconds(confirm_after),
            reread: None,
        }
    }
}

impl PlanSettings {
    /// What the plan hears of it.
    pub fn tuning(&self) -> Tuning {
        let seconds = |length: HumanDuration| i64::try_from(length.get().as_secs()).unwrap_or(i64::MAX);
        Tuning {
            window_pages: self.window_pages,
            anchor_pages: self.anchor_pages,
            stretch_age: seconds(self.stretch_age),
            consistency: self.consistency,
            confirm_after: seconds(self.confirm_after),
        }
    }
}

through_choices!(Reread);
through_choices!(Consistency);

/// What `check --write` found out about the service. A run saves the requests that would find it out; what it sees itself counts more,
/// so that a fact that is wrong costs credits and loses no row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VerifiedSettings {
    /// Whether `min_create_time` takes its own second in. Unknown by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_bound: Option<BoundKind>,
    /// Whether `max_create_time` takes its own second in. Unknown by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bound: Option<BoundKind>,
    /// The last page of a query that is served, 1 to 100000. The documented 100000 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_page: Option<u32>,
    /// The rate limit, requests a second, more than 0: where the learned rate begins, where no earlier run learned one. Unknown by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<f64>,
}

/// Whether a time bound takes its own second in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BoundKind {
    /// It does.
    Inclusive,
    /// It does not.
    Exclusive,
}

through_choices!(BoundKind);

/// What a run may cost; both are resumable ends (exit 4).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetSettings {
    /// Credits that one run may spend over all its starts, at least 1. No limit by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_credits: Option<Credits>,
    /// How long one start may take. No limit by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_budget: Option<HumanDuration>,
    /// What a credit costs, in any currency, above 0: `plan` then tells a price. None by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credit_price: Option<f64>,
    /// Credits of the key's quota, at least 1: `plan` then tells which share of it an export takes. None by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<Credits>,
}

/// Where rows go, and in what shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputSettings {
    /// The output folder, or `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX`; the Parquet files lie in its `data/`.
    /// Default `out`.
    pub folder: PathBuf,
    /// The stretch of create-time (UTC) that shares a folder. Default `day`.
    pub partition: Partition,
    /// Keep history: a level `snapshot=YYYY-MM-DD` for each run in place of replacing what a run covers. Default false.
    pub snapshot: bool,
    /// What the parts are beside files: `delta` keeps a Delta log of them in `data/_delta_log`. Default `none`.
    pub table: Table,
    /// How long files that the table lists no more are kept for readers of its former versions. Default `7d`.
    pub table_keeps: HumanDuration,
    /// Rows in a row group, at least 1; memory is bounded by one. Default 262144.
    pub row_group_rows: u32,
    /// Rows at which a part is finished, at least 1. Default 1000000.
    pub part_rows: u64,
    /// Bytes at which a part is finished. Default 256MiB.
    pub part_bytes: HumanBytes,
    /// zstd's level, 1 (fast) to 22 (small), for the columns that it makes smaller. Default 3.
    pub zstd_level: u8,
    /// How long parts are kept: older ones may be missing, and are never read again. No bound by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retain: Option<HumanDuration>,
    /// Rejected rows up to which a run counts as complete. Default 0.
    pub max_rejected: u64,
    /// Which readers the files are for. Default `compatible`.
    pub encoding: Encodings,
    /// Your word that no other process ever writes into the output: only then is a bucket taken whose store does not heed the
    /// conditions of a write. Default false.
    pub single_writer: bool,
}

impl Default for OutputSettings {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("out"),
            partition: Partition::Day,
            snapshot: false,
            table: Table::None,
            table_keeps: HumanDuration::from_secs(7 * 86_400),
            row_group_rows: 262_144,
            part_rows: 1_000_000,
            part_bytes: HumanBytes::from_mebibytes(256),
            zstd_level: 3,
            retain: None,
            max_rejected: 0,
            encoding: Encodings::Compatible,
            single_writer: false,
        }
    }
}

through_choices!(Partition);

/// What an output's parts are beside files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Table {
    /// Nothing: readers go by the files.
    None,
    /// A Delta table: readers go by its log.
    Delta,
}

through_choices!(Table);

through_choices!(Encodings);

/// Where the journal lives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StateSettings {
    /// The folder of what was paid for, or one in a bucket. Default: beside the output folder, under its name with `.state` appended;
    /// of a bucket in the working folder, under the name of bucket and prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// The folder below which a start works whose state is in a bucket. Default: the system's folder for temporary files, `TMPDIR`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work_folder: Option<PathBuf>,
    /// Requests that may be sent beyond what a bucket's state knows of: the most pages that are bought again where a machine is lost with its
    /// disk. Default 1000.
    pub requests_at_risk: u32,
    /// How long something may wait before it is added to a bucket's state. Default 10s.
    pub ship_every: HumanDuration,
    /// How often the lease of a bucket's state is renewed; one that missed three is taken over. Default 10s.
    pub lease_interval: HumanDuration,
}

impl Default for StateSettings {
    fn default() -> Self {
        Self {
            folder: None,
            work_folder: None,
            requests_at_risk: 1_000,
            ship_every: HumanDuration::from_secs(10),
            lease_interval: HumanDuration::from_secs(10),
        }
    }
}

/// What the run tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReportSettings {
    /// A file that gets the final summary as JSON. None by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<PathBuf>,
    /// A file that gets the report of the run as one HTML page, at its end. None by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<PathBuf>,
    /// A file that gets the metrics for Prometheus: written at the beginning, every 15 s, and at each end. None by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_file: Option<PathBuf>,
    /// An address of this machine on which the same metrics are served as `/metrics` while a start is at work. None by default.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "listen_address")]
    pub metrics_listen: Option<SocketAddr>,
    /// The shape of log lines on stderr. Default `auto`.
    pub log_format: LogFormat,
    /// The shape of the error that ends a command. Default `text`.
    pub error_format: ErrorFormat,
    /// Leave the progress bars out on a terminal too. Default false.
    pub no_progress: bool,
}

/// The shape of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One readable line each.
    Text,
    /// One JSON object a line.
    Json,
}

through_choices!(LogFormat);

/// The shape of a final error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ErrorFormat {
    /// `error:` and `hint:` for a person.
    #[default]
    Text,
    /// One JSON object, the last line of stderr.
    Json,
}

through_choices!(ErrorFormat);

/// In which shapes a process tells what it has to tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shapes {
    /// Of the error that ends it.
    pub errors: ErrorFormat,
    /// Of its log.
    pub log: LogFormat,
}

impl Shapes {
    /// Whether everything that is told is to be an object.
    pub fn are_objects(self) -> bool {
        self.errors == ErrorFormat::Json || self.log == LogFormat::Json
    }
}

impl Settings {
    /// The merged configuration as a file that would give it again, but for the proxy and the addresses to be pinged. Holds no secret: the key is
    /// not a setting.
    ///
    /// # Errors
    /// When a path is not UTF-8, or the simulator's table holds what TOML cannot.
    pub fn merged_toml(&self) -> Result<String, ConfigError> {
        toml::to_string(self).map_err(|source| ConfigError::Print { why: source.to_string() })
    }
}

/// Whether a table says nothing, and need not be printed.
fn is_default<T: Default + PartialEq>(table: &T) -> bool {
    *table == T::default()
}

/// Reads an address to serve on, or says what would be right.
pub(crate) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let wrong = || {
        format!("`{}` is not an address to serve on; write ADDRESS:PORT, such as 127.0.0.1:9464", redact::quoted(text))
    };
    text.trim().parse().map_err(|_| wrong())
}

fn listen_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    socket_address(&String::deserialize(deserializer)?).map(Some).map_err(serde::de::Error::custom)
}

/// Reads region codes from a list or from text with commas; keeps the first of each.
fn regions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Region>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected region codes, such as [\"US\", \"GB\"] or \"US,GB\"")]
    enum Written {
        Text(String),
        List(Vec<String>),
    }
    let codes = match Written::deserialize(deserializer)? {
        Written::Text(text) => vec![text],
        Written::List(list) => list,
    };
    let mut regions = Vec::new();
    for code in codes.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|code| !code.is_empty()) {
        let region = code.parse::<Region>().map_err(serde::de::Error::custom)?;
        if !regions.contains(&region) {
            regions.push(region);
        }
    }
    Ok(regions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_merged_configuration_reads_back_as_itself() {
        let mut settings = Settings::default();
        settings.question.from = Some("-7d".parse().unwrap());
        settings.question.filters.is_ad = Some(true);
        settings.simulator = Some(serde_json::json!({"seed": 7, "faults": {"reset": 0.01}}));
        let text = settings.merged_toml().unwrap();
        assert_eq!(toml::from_str::<Settings>(&text).unwrap(), settings);
        insta::assert_snapshot!(text);
    }
}
