//! The command line: the commands, their flags, and which setting each flag stands for.
//!
//! A flag is only another way to write a setting: its text is handed to [`crate::config`], which merges and checks it. The
//! help of a flag tells its default, its key in the file and its variable, taken from the settings themselves.

mod arguments;
mod unread;
mod values;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::config::{ErrorFormat, Settings, Shapes, Sources, keys};
use crate::failure::ExitCode;

pub use arguments::{
    AuditArguments, CheckArguments, CompactArguments, MergeArguments, PlaceArguments, PlanArguments, RebuildArguments,
    ReportArguments, RunArguments, SchemaArguments, SchemaFormat, ShardArguments, SimulateArguments, StatusArguments,
    VerifyArguments,
};
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
    use std::time::Duration;

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
