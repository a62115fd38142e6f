//! The command line: the commands, their flags, and which setting each flag stands for.
//!
//! A flag is only another way to write a setting: its text is handed to [`crate::config`], which merges and checks it. The
//! help of a flag tells its default, its key in the file and its variable, taken from the settings themselves.

mod unread;

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{BoolishValueParser, PossibleValue, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::api::contract::Region;
use crate::choices::{Consistency, Encodings, Partition, Reread};
use crate::config::{
    ErrorFormat, HumanBytes, HumanDuration, LogFormat, Qps, Settings, Shapes, Sources, Table, TimeSpec, keys,
    socket_address,
};
use crate::failure::ExitCode;
use crate::simulator::SimulatorFlags;

pub use unread::Unread;

/// Exports the whole of a paged, paid, rate-limited API query to Parquet: every row once, every credit once.
#[derive(Debug, Parser)]
#[command(name = "keyapi-export", version, max_term_width = 120, after_help = after_help())]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// The shape of the error that ends a command: text, or json for one object as the last line of stderr
    #[arg(long, global = true, value_name = "FORMAT")]
    error_format: Option<ErrorFormat>,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Export the range to Parquet; the same command again resumes, and does nothing when nothing is left
    Run(Box<RunArguments>),
    /// Say what an export will cost: rows, credits, time and files, for a few credits that `run` then need not pay again
    Plan(Box<PlanArguments>),
    /// Read the journal: how far the run is, what it cost, what is left; asks nothing of the service
    Status(StatusArguments),
    /// Read the output again and compare it with its manifest; asks nothing of the service
    Verify(VerifyArguments),
    /// Read random pages of a finished output again: how much can be missing of it, at most; spends --credits
    Audit(AuditArguments),
    /// Write the report of the last run as one HTML page; asks nothing of the service
    Report(ReportArguments),
    /// Join what all shards of a question have read into one output; asks nothing of the service
    Merge(MergeArguments),
    /// Write the output anew from its own parts, with another partition, part size or packing; asks nothing of the service
    Rebuild(RebuildArguments),
    /// Merge small neighbouring parts of the output, each folder by itself; asks nothing of the service
    Compact(CompactArguments),
    /// Find out with few credits what the service's contract leaves open, for one region
    Check(Box<CheckArguments>),
    /// Serve a simulated service on this machine, for trials without a key
    Simulate(SimulateArguments),
    /// Print the schema of the Parquet files, for a person, for Arrow, as a JSON Schema, or as a statement that makes a table
    Schema(SchemaArguments),
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page of the program, or of one of its commands
    Man {
        /// The command, such as run
        command: Option<String>,
    },
}

/// The flags of `run`. The values of settings are only checked here; [`Invocation`] hands on their text.
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
    /// The service's scheme, host and port: https, except for this machine
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// A file that holds the key, readable by its owner only; wins over the variable KEYAPI_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
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
    /// The service's scheme, host and port: https, except for this machine
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// A file that holds the key, readable by its owner only; wins over the variable KEYAPI_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Requests a second: auto learns the limit, a number is a ceiling
    #[arg(long, value_name = "RATE")]
    qps: Option<Qps>,
    /// How long to go on without a single answer, such as 15m; then exit 5
    #[arg(long, value_name = "LENGTH")]
    give_up_after: Option<HumanDuration>,
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
    /// The service's scheme, host and port: https, except for this machine
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// A file that holds the key, readable by its owner only; wins over the variable KEYAPI_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
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

/// Credits that an audit may spend, at most: what it keeps of each page is in memory.
const MOST_AUDIT_CREDITS: u64 = 100_000;

/// The one command whose flags are not settings of an export.
const SIMULATE: &str = "simulate";

/// The flags that count before the command line is understood.
const ERROR_FORMAT: &str = "error_format";
const LOG_FORMAT: &str = "log_format";

/// The command that lays an output out anew.
const REBUILD: &str = "rebuild";

/// The command that writes a report wherever none is named.
const REPORT: &str = "report";

/// Which setting each flag stands for, by the flag's identity in clap.
const FLAGS: [(&str, &str); 32] = [
    ("out", "output.folder"),
    ("state", "state.folder"),
    (LOG_FORMAT, "report.log_format"),
    (ERROR_FORMAT, "report.error_format"),
    ("region", "question.regions"),
    ("from", "question.from"),
    ("to", "question.to"),
    ("sales_flag", "question.filters.sales_flag"),
    ("created_by_ai", "question.filters.created_by_ai"),
    ("min_duration", "question.filters.min_duration"),
    ("max_duration", "question.filters.max_duration"),
    ("product_category_id", "question.filters.product_category_id"),
    ("is_ad", "question.filters.is_ad"),
    ("product_id", "question.filters.product_id"),
    ("base_url", "service.base_url"),
    ("token_file", "service.token_file"),
    ("qps", "pace.qps"),
    ("max_in_flight", "pace.max_in_flight"),
    ("max_credits", "budget.max_credits"),
    ("partition", "output.partition"),
    ("table", "output.table"),
    ("anchor_pages", "plan.anchor_pages"),
    ("consistency", "plan.consistency"),
    ("confirm_after", "plan.confirm_after"),
    ("reread", "plan.reread"),
    ("time_budget", "budget.time_budget"),
    ("give_up_after", "pace.give_up_after"),
    ("summary", "report.summary"),
    ("report", "report.report"),
    ("metrics_file", "report.metrics_file"),
    ("metrics_listen", "report.metrics_listen"),
    ("no_progress", "report.no_progress"),
];

/// The same of the flags that only `rebuild` and `compact` have.
const PACKING_FLAGS: [(&str, &str); 5] = [
    ("part_rows", "output.part_rows"),
    ("part_bytes", "output.part_bytes"),
    ("row_group_rows", "output.row_group_rows"),
    ("zstd_level", "output.zstd_level"),
    ("encoding", "output.encoding"),
];

fn all_flags() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    FLAGS.iter().chain(&PACKING_FLAGS)
}

/// One call of the program, read: the command, and where its settings come from.
#[derive(Debug)]
pub struct Invocation {
    /// What to do.
    pub command: Command,
    /// The file and the flags that were given, over this process's environment.
    pub sources: Sources,
}

impl Invocation {
    /// Reads the process's arguments.
    ///
    /// # Errors
    /// What is no call of a command; see [`Invocation::read`].
    pub fn of_process() -> Result<Self, Unread> {
        Self::read(std::env::args_os())
    }

    /// Reads `arguments`, the program's name first.
    ///
    /// # Errors
    /// A mistake, by name; a wish for help or version comes this way too.
    pub fn read(arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Self, Unread> {
        let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        Self::try_read(&arguments).map_err(|error| {
            Unread::new(error, arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect())
        })
    }

    fn try_read(arguments: &[OsString]) -> Result<Self, clap::Error> {
        let matches = command().try_get_matches_from(arguments)?;
        let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command()))?;
        let Some((name, given)) = matches.subcommand() else {
            return Err(command().error(ErrorKind::MissingSubcommand, "a command is needed"));
        };
        let file = given.try_get_one::<PathBuf>("config").ok().flatten().cloned();
        let flags = given_flags(given, name)?;
        Ok(Self { command: cli.command, sources: Sources::of_process(file, flags) })
    }
}

/// The whole command line, each flag's help with its default, its key and its variable.
pub fn command() -> clap::Command {
    let defaults = serde_json::to_value(Settings::default()).unwrap_or_default();
    let mut command = Cli::command();
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    command = command.mut_args(|arg| with_place(arg, &defaults, ""));
    // The simulator's flags carry names of their own world, and say their places themselves.
    for name in names {
        // A number below zero is a value that is too small, and not a flag.
        command = command.mut_subcommand(&name, |sub| sub.allow_negative_numbers(true));
        if name != SIMULATE {
            let of = name.clone();
            command = command.mut_subcommand(name, |sub| sub.mut_args(|arg| with_place(arg, &defaults, &of)));
        }
    }
    command
}

/// The flags that were given and stand for a setting, as text. Several values are joined with commas.
fn given_flags(matches: &ArgMatches, command_name: &str) -> Result<Vec<(String, String)>, clap::Error> {
    let was_given = |flag: &str| {
        matches.try_contains_id(flag).is_ok() && matches.value_source(flag) == Some(ValueSource::CommandLine)
    };
    let mut flags = Vec::new();
    let is_setting = |flag: &str| command_name != SIMULATE || matches!(flag, LOG_FORMAT | ERROR_FORMAT);
    for (flag, key) in all_flags().filter(|(flag, _)| is_setting(flag) && was_given(flag)) {
        let values: Option<Vec<&str>> = matches.get_raw(flag).into_iter().flatten().map(OsStr::to_str).collect();
        let not_text = || command().error(ErrorKind::InvalidUtf8, format!("the value of `{flag}` is not UTF-8 text"));
        flags.push(((*key).to_owned(), values.ok_or_else(not_text)?.join(",")));
    }
    Ok(flags)
}

/// The flag of this command with its default, its key and its variable in its help.
fn with_place(arg: Arg, defaults: &serde_json::Value, command_name: &str) -> Arg {
    let Some((_, key)) = all_flags().find(|(flag, _)| arg.get_id() == flag) else { return arg };
    let default = match defaults.pointer(&format!("/{}", key.replace('.', "/"))) {
        // Without a word about it, what is written anew stays laid out as it is.
        _ if command_name == REBUILD && *key == "output.partition" => "that of the output".to_owned(),
        _ if command_name == REPORT && *key == "report.report" => {
            "beside the output, under its name with .report.html appended".to_owned()
        }
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(serde_json::Value::Array(list)) if list.is_empty() => "none".to_owned(),
        Some(other) => other.to_string(),
        None if *key == "state.folder" => "the output's with .state appended".to_owned(),
        None if *key == "plan.reread" => "missing; all for a relative range or snapshots".to_owned(),
        None => "none".to_owned(),
    };
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let variable = keys::environment_name(key);
    arg.help(format!("{help} [default: {default}]"))
        .long_help(format!("{help}\n[default: {default}] [file: {key}] [env: {variable}]"))
}

/// Reads a filter that the service knows as a number, not as yes or no.
fn sales_flag(text: &str) -> Result<u8, String> {
    let known = text.parse::<u8>().ok().filter(|flag| *flag <= 2);
    known.ok_or_else(|| "write 0 (without product promotion), 1 (video sales) or 2 (live sales)".to_owned())
}

/// The shortest time between two looks.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// Reads how often to look.
fn interval(text: &str) -> Result<HumanDuration, String> {
    let length: HumanDuration = text.parse().map_err(|_| "write a whole number and its unit, such as 5s".to_owned())?;
    if length.get() < SHORTEST_INTERVAL { Err("write 100ms or more, such as 5s".to_owned()) } else { Ok(length) }
}

/// The shapes that the arguments, the program's name first, or otherwise the variables ask for. They are known also where the rest of the
/// arguments or the settings cannot be read; what names no shape asks for none.
pub fn shapes(arguments: &[String], variable: impl Fn(&str) -> Option<String>) -> Shapes {
    Shapes {
        errors: asked_for(ERROR_FORMAT, arguments, &variable).unwrap_or_default(),
        log: asked_for(LOG_FORMAT, arguments, &variable).unwrap_or_default(),
    }
}

/// What a flag, or otherwise its setting's variable, asks for.
fn asked_for<T: ValueEnum>(flag: &str, arguments: &[String], variable: impl Fn(&str) -> Option<String>) -> Option<T> {
    let long = format!("--{}", flag.replace('_', "-"));
    let next = arguments.iter().skip(1).map(Some).chain([None]);
    let value = |(argument, next): (&String, Option<&String>)| match argument.strip_prefix(long.as_str())? {
        "" => next.cloned(),
        rest => rest.strip_prefix('=').map(str::to_owned),
    };
    let given = arguments.iter().zip(next).find_map(value);
    let key = FLAGS.iter().find(|(known, _)| *known == flag).map(|(_, key)| keys::environment_name(key));
    let text = given.or_else(|| variable(&key?))?;
    T::from_str(&text, false).ok()
}

/// The same for this process.
pub fn shapes_of_process() -> Shapes {
    let arguments: Vec<String> = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    shapes(&arguments, |name| std::env::var(name).ok())
}

/// Reads a whole number.
fn whole<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits {
            "it is too large".to_owned()
        } else {
            "write a whole number in digits alone, such as 30".to_owned()
        }
    })
}

/// Reads a whole number above zero.
fn at_least_one<T: std::str::FromStr + Default + PartialEq>(text: &str) -> Result<T, String> {
    let number: T = whole(text)?;
    if number == T::default() { Err("write 1 or more".to_owned()) } else { Ok(number) }
}

/// Reads yes or no as clap does, and says what would be right.
#[derive(Clone, Debug)]
struct YesOrNo;

impl TypedValueParser for YesOrNo {
    type Value = bool;

    fn parse_ref(&self, command: &clap::Command, arg: Option<&Arg>, value: &OsStr) -> Result<bool, clap::Error> {
        BoolishValueParser::new().parse_ref(command, arg, value).map_err(|_| {
            let mut error = clap::Error::new(ErrorKind::ValueValidation).with_cmd(command);
            let flag = arg.map(ToString::to_string).unwrap_or_default();
            error.insert(ContextKind::InvalidArg, ContextValue::String(flag));
            error.insert(ContextKind::InvalidValue, ContextValue::String(value.to_string_lossy().into_owned()));
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec!["write true or false".into()]));
            error
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(["true", "false"].into_iter().map(PossibleValue::new)))
    }
}

fn after_help() -> String {
    let line = |code: &ExitCode| format!("  {:>3}  {}", code.number(), code.meaning());
    let codes: Vec<String> = ExitCode::ALL.iter().map(line).collect();
    format!(
        "Settings: flags over environment variables over the file over defaults; `run --help` names each.\n\
         The key for the service is read from KEYAPI_TOKEN or --token-file, never from an argument.\n\
         The log's level is read from KEYAPI_EXPORT_LOG: error, warn, info (default), debug or trace.\n\n\
         Exit codes:\n{}",
        codes.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(arguments: &[&str]) -> Vec<(String, String)> {
        Invocation::read(arguments).unwrap().sources.flags
    }

    #[test]
    fn every_flag_stands_for_a_known_setting() {
        let mut all = command();
        all.build();
        let run = all.find_subcommand("run").unwrap();
        for (flag, key) in FLAGS {
            assert!(keys::all().iter().any(|known| known == key), "{key}");
            assert!(run.get_arguments().any(|arg| arg.get_id() == flag), "{flag}");
        }
        let not_settings = ["config", "fresh", "adopt", "help", "shard", "shard_index_from", "shards"];
        let mapped = |arg: &&Arg| FLAGS.iter().any(|(flag, _)| arg.get_id() == flag);
        let left: Vec<_> = run.get_arguments().filter(|arg| !mapped(arg)).map(|arg| arg.get_id().as_str()).collect();
        assert_eq!(left.iter().filter(|flag| !not_settings.contains(flag)).count(), 0, "{left:?}");
        let rebuild = command().find_subcommand("rebuild").unwrap().clone();
        for (flag, key) in PACKING_FLAGS {
            assert!(keys::all().iter().any(|known| known == key), "{key}");
            assert!(rebuild.get_arguments().any(|arg| arg.get_id() == flag), "{flag}");
        }
        command().debug_assert();
    }

    #[test]
    fn given_flags_are_handed_on_as_written() {
        let given =
            flags(&["keyapi-export", "run", "--region", "US,GB", "--region", "DE", "--from", "-7d", "--qps=10"]);
        let expected = [("question.regions", "US,GB,DE"), ("question.from", "-7d"), ("pace.qps", "10")];
        assert_eq!(given, expected.map(|(key, text)| (key.to_owned(), text.to_owned())));
        assert_eq!(
            flags(&["keyapi-export", "run", "--no-progress"]),
            [("report.no_progress".to_owned(), "true".to_owned())]
        );
        assert_eq!(flags(&["keyapi-export", "status"]), []);
        let packed = flags(&["keyapi-export", "rebuild", "--partition", "month", "--zstd-level", "9"]);
        let expected = [("output.partition", "month"), ("output.zstd_level", "9")];
        assert_eq!(packed, expected.map(|(key, text)| (key.to_owned(), text.to_owned())));
    }

    #[test]
    fn the_shape_of_errors_is_known_before_the_rest() {
        let of = |line: &str, variable: Option<&str>| {
            let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            shapes(&arguments, |name| variable.filter(|_| name.ends_with("ERROR_FORMAT")).map(str::to_owned)).errors
        };
        for line in ["p --error-format json x", "p x --error-format=json", "p x --nonsense --error-format json"] {
            assert_eq!(of(line, Some("text")), ErrorFormat::Json, "{line}");
        }
        assert_eq!(of("p run", Some("json")), ErrorFormat::Json);
        for line in
            ["p run", "p --error-format", "p --error-format yaml", "p --error-formats json", "--error-format=json=x"]
        {
            assert_eq!(of(line, None), ErrorFormat::Text, "{line}");
        }
    }

    #[test]
    fn a_watch_looks_every_second_or_as_often_as_it_says() {
        let every = |line: &str| match Invocation::read(line.split_whitespace()).unwrap().command {
            Command::Status(arguments) => arguments.every(),
            _ => None,
        };
        assert_eq!(every("p status"), None);
        assert_eq!(every("p status --watch --json"), Some(Duration::from_secs(1)));
        assert_eq!(every("p status --watch 5s"), Some(Duration::from_secs(5)));
        for line in
            ["p run --max-credits -1", "p simulate --rows -5", "p check --credits 0", "p plan --probe-credits 0"]
        {
            let told = Invocation::read(line.split_whitespace()).unwrap_err();
            assert!(format!("{told:?}").contains("ValueValidation"), "{line}: {told:?}");
        }
        for text in ["0s", "5", "often"] {
            assert!(Invocation::read(["p", "status", "--watch", text]).is_err(), "{text}");
        }
    }

    #[test]
    fn every_flag_reaches_its_setting() {
        let arguments = "keyapi-export run --region US --from 2026-01-01 --to now-1d --sales-flag 1 --created-by-ai false \
             --min-duration 5 --max-duration 60 --product-category-id 601450 --is-ad 1 --product-id 0017 --out o --state s \
             --base-url http://127.0.0.1:1 --token-file t --qps 12.5 --max-in-flight 3 --max-credits 9 --partition month --table delta \
             --anchor-pages 7 --consistency deep --confirm-after 5s --time-budget 2h --give-up-after 1m --summary j --report h --metrics-file m.prom --metrics-listen 127.0.0.1:9464 --log-format json \
             --error-format json --no-progress --fresh --adopt --reread missing";
        let invocation = Invocation::read(arguments.split_whitespace()).unwrap();
        let sources = Sources { environment: std::collections::BTreeMap::new(), ..invocation.sources };
        assert_eq!(sources.flags.len(), FLAGS.len());
        insta::assert_snapshot!(Settings::load(&sources).unwrap().merged_toml().unwrap());
    }
}
