//! The flags of each command. Those that stand for settings are only checked here: [`super::Invocation`] hands on their text.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::values::{YesOrNo, at_least_one, interval, sales_flag, whole};
use crate::api::contract::Region;
use crate::choices::{Consistency, Encodings, Partition, Reread};
use crate::config::{HumanBytes, HumanDuration, LogFormat, Qps, Table, TimeSpec, socket_address};
use crate::simulator::SimulatorFlags;

/// Credits that an audit may spend, at most: what it keeps of each page is in memory.
const MOST_AUDIT_CREDITS: u64 = 100_000;

/// The flags of `run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Begin a new run although the last one of this question is unfinished or covers the range; pays for every page again
    #[arg(long)]
    pub fresh: bool,
    /// Move a state aside that is damaged or of another version, and go on from the output's manifest
    #[arg(long)]
    pub adopt: bool,
    #[command(flatten)]
    place: PlaceArguments,
    #[command(flatten)]
    question: QuestionArguments,
    #[command(flatten)]
    effort: EffortArguments,
    /// Which part of the question is read.
    #[command(flatten)]
    pub shard: ShardArguments,
}

/// Which part of the question this process reads, where several share it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Several processes, one output")]
pub struct ShardArguments {
    /// Read this part of the question alone, such as 1/4: its number from 1, of how many; `merge` joins all of them
    #[arg(long, value_name = "I/N")]
    pub shard: Option<String>,
    /// The same where a variable holds the number, from 0: JOB_COMPLETION_INDEX, SLURM_ARRAY_TASK_ID; with --shards
    #[arg(long, value_name = "VARIABLE", requires = "shards", conflicts_with = "shard")]
    pub shard_index_from: Option<String>,
    /// How many parts there are
    #[arg(long, value_name = "N", requires = "shard_index_from", conflicts_with = "shard", value_parser = whole::<u32>)]
    pub shards: Option<u32>,
}

/// The flags of `schema`. They are no settings: it reads no file and no environment.
#[derive(Debug, Args)]
pub struct SchemaArguments {
    /// In which form; arrow is a stream for a file, all others are text
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub format: SchemaFormat,
    /// The output's partition, whose folders are columns too; text has them not
    #[arg(id = "levels_of", long = "partition", value_name = "STRETCH", default_value = "day")]
    pub partition: Partition,
    /// Of an output that keeps snapshots
    #[arg(long)]
    pub snapshot: bool,
}

/// In which form the columns are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaFormat {
    /// A table for a person: name, type, meaning
    Text,
    /// An Arrow stream without rows
    Arrow,
    /// A JSON Schema of one row
    JsonSchema,
    /// CREATE TABLE for DuckDB
    #[value(name = "ddl:duckdb")]
    DuckDb,
    /// CREATE TABLE for Spark SQL
    #[value(name = "ddl:spark")]
    Spark,
    /// CREATE TABLE for ClickHouse
    #[value(name = "ddl:clickhouse")]
    ClickHouse,
}

/// The flags of `merge`.
#[derive(Debug, Args)]
pub struct MergeArguments {
    #[command(flatten)]
    place: MergePlaceArguments,
}

#[derive(Debug, Args)]
struct MergePlaceArguments {
    /// The TOML file with settings; config/reference.toml shows every key
    #[arg(long, value_name = "FILE", env = "KEYAPI_EXPORT_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// The output folder that the shards wrote into
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// The shape of log lines on stderr: auto is text on a terminal and JSON elsewhere
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

/// The flags of `plan`: those of `run` that say what is asked and how, so that one may be written in place of the other.
#[derive(Debug, Args)]
pub struct PlanArguments {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Credits that the forecast may spend
    #[arg(long, value_name = "CREDITS", default_value = "60", value_parser = at_least_one::<u32>)]
    pub probe_credits: u32,
    /// Show the first windows and the addresses of the first requests; sends nothing and needs no key
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    place: PlaceArguments,
    #[command(flatten)]
    question: QuestionArguments,
    #[command(flatten)]
    effort: EffortArguments,
}

/// The flags of `status`.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// Print one JSON object; with --watch one a line
    #[arg(long)]
    pub json: bool,
    /// Look again every second, or as often as LENGTH says, such as 5s, until no run is at work
    #[arg(long, value_name = "LENGTH", num_args = 0..=1, default_missing_value = "1s", value_parser = interval)]
    watch: Option<HumanDuration>,
    #[command(flatten)]
    place: PlaceArguments,
}

impl RunArguments {
    /// The file that the settings are read from.
    pub fn config(&self) -> Option<&Path> {
        self.place.config.as_deref()
    }
}

impl ReportArguments {
    /// The file that the settings are read from.
    pub fn config(&self) -> Option<&Path> {
        self.place.config.as_deref()
    }
}

impl CheckArguments {
    /// The file that the settings are read from.
    pub fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }
}

impl StatusArguments {
    /// How often to look again; none where one look is wanted.
    pub fn every(&self) -> Option<Duration> {
        self.watch.map(HumanDuration::get)
    }
}

/// The flags of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    place: PlaceArguments,
}

/// The flags of `report`.
#[derive(Debug, Args)]
pub struct ReportArguments {
    /// The file that gets the page
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceArguments,
}

/// The flags of `audit`.
#[derive(Debug, Args)]
pub struct AuditArguments {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Requests that may be sent, 1 to 100000 [default: what it takes to find it where 1 % of all pages lack a row]
    #[arg(long, value_name = "CREDITS", value_parser = clap::value_parser!(u64).range(1..=MOST_AUDIT_CREDITS))]
    pub credits: Option<u64>,
    #[command(flatten)]
    place: PlaceArguments,
    #[command(flatten)]
    service: ServiceArguments,
    /// Requests a second: auto learns the limit, a number is a ceiling
    #[arg(long, value_name = "RATE")]
    qps: Option<Qps>,
    /// Requests on their way at once, 1 to 1024
    #[arg(long, value_name = "COUNT", value_parser = whole::<u32>)]
    max_in_flight: Option<u32>,
    /// How long to go on without a single page, such as 15m; then exit 5
    #[arg(long, value_name = "LENGTH")]
    give_up_after: Option<HumanDuration>,
}

/// The flags of `check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Credits that it may spend; the first go to what is worth most
    #[arg(long, value_name = "CREDITS", default_value = "40", value_parser = at_least_one::<u64>)]
    pub credits: u64,
    /// Find out the rate limit and its headers too
    #[arg(long)]
    pub rate: bool,
    /// Credits that this may spend beside the others
    #[arg(long, value_name = "CREDITS", default_value = "200", value_parser = at_least_one::<u64>)]
    pub rate_credits: u64,
    /// A file that gets what was found out as settings for `run --config`
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// A folder that gets the answers, without the key and with other ids and texts, for `simulate --replay`
    #[arg(long, value_name = "FOLDER")]
    pub record: Option<PathBuf>,
    /// The TOML file with settings; config/reference.toml shows every key
    #[arg(long, value_name = "FILE", env = "KEYAPI_EXPORT_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// The shape of log lines on stderr: auto is text on a terminal and JSON elsewhere
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// A region code, such as US; of several the first is asked
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    region: Vec<Region>,
    /// The first moment inside the range: 2026-01-01, RFC 3339, epoch seconds, -7d (midnight UTC), -12h, now-1d
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<TimeSpec>,
    /// The first moment after the range, written likewise; at the latest the moment the check begins
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<TimeSpec>,
    #[command(flatten)]
    service: ServiceArguments,
    /// Requests a second: auto learns the limit, a number is a ceiling
    #[arg(long, value_name = "RATE")]
    qps: Option<Qps>,
    /// How long to go on without a single answer, such as 15m; then exit 5
    #[arg(long, value_name = "LENGTH")]
    give_up_after: Option<HumanDuration>,
}

/// Which service is asked, and with which key.
#[derive(Debug, Args)]
struct ServiceArguments {
    /// The service's scheme, host and port: https, except for this machine
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// A file that holds the key, readable by its owner only; wins over the variable KEYAPI_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Where configuration, output and state are.
#[derive(Debug, Args)]
pub struct PlaceArguments {
    /// The TOML file with settings; config/reference.toml shows every key
    #[arg(long, value_name = "FILE", env = "KEYAPI_EXPORT_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// The output folder, or one at s3://, gs://, az://
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// The folder of the journal, which keeps what was paid for, or one at s3://, gs://, az://
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// The shape of log lines on stderr: auto is text on a terminal and JSON elsewhere
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

/// The flags of `rebuild`.
#[derive(Debug, Args)]
pub struct RebuildArguments {
    #[command(flatten)]
    place: PlaceArguments,
    /// The stretch of create-time (UTC) that shares a folder
    #[arg(long, value_name = "STRETCH")]
    partition: Option<Partition>,
    #[command(flatten)]
    packing: PackingArguments,
}

/// The flags of `compact`.
#[derive(Debug, Args)]
pub struct CompactArguments {
    #[command(flatten)]
    place: PlaceArguments,
    /// Parts smaller than this are merged with neighbours that are too
    #[arg(long, value_name = "SIZE", default_value = "32MiB")]
    pub below: HumanBytes,
    #[command(flatten)]
    packing: PackingArguments,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "How parts are packed")]
struct PackingArguments {
    /// Rows at which a part is finished
    #[arg(long, value_name = "ROWS", value_parser = whole::<u64>)]
    part_rows: Option<u64>,
    /// Bytes at which a part is finished, such as 256MiB
    #[arg(long, value_name = "SIZE")]
    part_bytes: Option<HumanBytes>,
    /// Rows in a row group; memory is bounded by one
    #[arg(long, value_name = "ROWS", value_parser = whole::<u32>)]
    row_group_rows: Option<u32>,
    /// zstd's level, 1 (fast) to 22 (small)
    #[arg(long, value_name = "LEVEL", value_parser = whole::<u8>)]
    zstd_level: Option<u8>,
    /// Which readers the files are for
    #[arg(long, value_name = "READERS")]
    encoding: Option<Encodings>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "What is asked")]
struct QuestionArguments {
    /// A region code, such as US; may be repeated, or a list with commas
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    region: Vec<Region>,
    /// The first moment inside the range: 2026-01-01, RFC 3339, epoch seconds, -7d (midnight UTC), -12h, now-1d
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<TimeSpec>,
    /// The first moment after the range, written likewise; at the latest the moment the run begins
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<TimeSpec>,
    /// Only videos with (1, 2) or without (0) product promotion
    #[arg(long, value_name = "0|1|2", value_parser = sales_flag)]
    sales_flag: Option<u8>,
    /// Only videos that are (true) or are not (false) made by AI
    #[arg(long, value_name = "BOOL", value_parser = YesOrNo)]
    created_by_ai: Option<bool>,
    /// Only videos of at least so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = whole::<u32>)]
    min_duration: Option<u32>,
    /// Only videos of at most so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = whole::<u32>)]
    max_duration: Option<u32>,
    /// Only videos whose products have this category
    #[arg(long, value_name = "ID")]
    product_category_id: Option<String>,
    /// Only videos that are (true) or are not (false) advertisements
    #[arg(long, value_name = "BOOL", value_parser = YesOrNo)]
    is_ad: Option<bool>,
    /// Only videos with this product
    #[arg(long, value_name = "ID")]
    product_id: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "How it is asked and told")]
struct EffortArguments {
    #[command(flatten)]
    service: ServiceArguments,
    /// Requests a second over all workers: auto learns the limit, a number is a ceiling
    #[arg(long, value_name = "RATE")]
    qps: Option<Qps>,
    /// Requests on their way at once, 1 to 1024
    #[arg(long, value_name = "COUNT", value_parser = whole::<u32>)]
    max_in_flight: Option<u32>,
    /// Credits that the run may spend over all its starts; exit 4 when they are spent
    #[arg(long, value_name = "CREDITS", value_parser = whole::<u64>)]
    max_credits: Option<u64>,
    /// The stretch of create-time (UTC) that shares a folder
    #[arg(long, value_name = "STRETCH")]
    partition: Option<Partition>,
    /// Keep the output as a table too: none, or delta for a Delta log in data/_delta_log
    #[arg(long, value_name = "FORMAT")]
    table: Option<Table>,
    /// Pages before a walk may begin anew at the last second it saw
    #[arg(long, value_name = "PAGES", value_parser = whole::<u32>)]
    anchor_pages: Option<u32>,
    /// How well the walk resists rows that come and go meanwhile, and at what price
    #[arg(long, value_name = "LEVEL")]
    consistency: Option<Consistency>,
    /// How long after the first answer a region's ends are asked again before they are believed, such as 20s; 0s never
    #[arg(long, value_name = "LENGTH")]
    confirm_after: Option<HumanDuration>,
    /// What to do about time that the output holds already
    #[arg(long, value_name = "WHAT")]
    reread: Option<Reread>,
    /// How long this start may take, such as 2h; exit 4 when it is over
    #[arg(long, value_name = "LENGTH")]
    time_budget: Option<HumanDuration>,
    /// How long to go on without a single durable page, such as 15m; then exit 5
    #[arg(long, value_name = "LENGTH")]
    give_up_after: Option<HumanDuration>,
    /// A file that gets the final summary as JSON
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// A file that gets the report of the run as one HTML page
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// A file that gets the metrics for Prometheus at the beginning, every 15 s and at each end; *.prom for node_exporter
    #[arg(long, value_name = "FILE")]
    metrics_file: Option<PathBuf>,
    /// An address on which the metrics are served as /metrics while this start is at work, such as 127.0.0.1:9464
    #[arg(long, value_name = "ADDRESS", value_parser = socket_address)]
    metrics_listen: Option<SocketAddr>,
    /// Leave the progress bars out on a terminal too
    #[arg(long)]
    no_progress: bool,
}

/// The flags of `simulate`.
#[derive(Debug, Args)]
pub struct SimulateArguments {
    /// The TOML file whose [simulator] table describes the service
    #[arg(long, value_name = "FILE", env = "KEYAPI_EXPORT_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// The shape of log lines on stderr: auto is text on a terminal and JSON elsewhere
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// Serve what `check --record FOLDER` recorded, in place of a simulated service; of the other flags --listen alone counts
    #[arg(long, value_name = "FOLDER")]
    pub replay: Option<PathBuf>,
    /// What the service is like
    #[command(flatten)]
    pub flags: SimulatorFlags,
}
