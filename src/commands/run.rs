//! `run`: settings become an export request, the export carries it out, its outcome becomes a summary and an exit code.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use secrecy::SecretString;
use tokio::time::Instant;

use crate::api::client::{Client, ClientSettings};
use crate::api::contract::Region;
use crate::cli::RunArguments;
use crate::config::token::{read_token, token_variable};
use crate::config::{self, Qps, Settings};
use crate::export::{
    Budget, DamagedState, Ending, Ends, ExportOutcome, ExportRequest, History, KeptTable, Start, Tools, Work, export,
};
use crate::failure::{ExitCode, Failure};
use crate::fetch::throttle::Rate;
use crate::limits;
use crate::plan::event::Lacks;
use crate::plan::event::RegionFault;
use crate::plan::planner::Listed;
use crate::plan::profile::Verified;
use crate::progress::{Progress, Reader, Screen};
use crate::replica::GRACE;
use crate::simulator::{RunningSimulator, Simulator};
use crate::sink::columns::Packaging;
use crate::sink::history::Unusual;
use crate::sink::identity::Identity;
use crate::sink::shard::ShardName;
use crate::sink::store::Writers;
use crate::summary::{self, Former, Kept, Shortfall, Summary, Warning};
use crate::telemetry::Log;
use crate::units::{ByteCount, DAY_SECONDS, RowCount, TimeRange};

use super::now;
use super::places::{self, Places};
use super::watch::Watch;
use super::written::{self, Guarded};
use super::{deadline, failures, report, shard, signals};

/// How long the summary may take to be taken from stdout.
const SUMMARY_PATIENCE: Duration = Duration::from_secs(5);

/// Exports the question's range, and tells how that ended: on stdout, in the summary's file, to those who watch, and as the log's
/// last record.
pub async fn run(settings: Settings, arguments: &RunArguments, screen: &Screen, log: &Log) -> ExitCode {
    let progress = Progress::new();
    let mut watch = Watch::new(&settings, &progress);
    let carried_out = carry_out(&settings, arguments, (screen, log), (&mut watch, progress));
    // A panic is told by the process's hook; those who watch hear of that end like of any other.
    let (code, summary) = match AssertUnwindSafe(carried_out).catch_unwind().await {
        Ok(Ok((summary, failure))) => {
            tell(&summary, &settings).await;
            match failure {
                Some(failure) => log.failed(&failure),
                None => log.concluded(&told_on_stdout(&summary)),
            }
            (summary.outcome, Some(summary))
        }
        Ok(Err(failure)) => {
            log.failed(&failure);
            (failure.code(), None)
        }
        Err(_panic) => (ExitCode::Bug, None),
    };
    watch.end(code, summary.as_ref()).await;
    log.ended(code, summary.map(|summary| summary.log_fields()).unwrap_or_default());
    code
}

/// Why the run does not end with 0, where that is no error of its own.
fn told_on_stdout(summary: &Summary) -> Failure {
    let failure = Failure::new(summary.outcome, summary.outcome.meaning());
    match &summary.next {
        Some(next) => failure.with_hint(next),
        None => failure,
    }
}

/// The run itself: what it came to, and what the service did to end it.
async fn carry_out(
    settings: &Settings,
    arguments: &RunArguments,
    (screen, log): (&Screen, &Log),
    (watch, progress): (&mut Watch, Progress),
) -> Result<(Summary, Option<Failure>), Failure> {
    let shard = shard::name_of(&arguments.shard)?;
    let places = Places::of(settings, shard)?;
    Guarded::new(settings, arguments.config(), Some(&places)).allow(written::of_run(settings))?;
    watch.begin(settings)?;
    settings.require_regions()?;
    let start = if arguments.fresh { Start::Fresh } else { Start::GoOn };
    let damaged = if arguments.adopt { DamagedState::MovedAside } else { DamagedState::Refused };
    let request = request(settings, (places, shard), (start, damaged))?;
    limits::require(u64::from(settings.pace.max_in_flight) * if settings.simulator.is_some() { 2 } else { 1 })?;
    if let Some(file) = &settings.report.summary {
        summary::prepare(file).map_err(|error| {
            Failure::from_error(ExitCode::Usage, &error).with_hint("name a file that can be written; nothing was sent")
        })?;
    }
    if let Some(file) = &settings.report.report {
        if shard.is_some() {
            let why = "report.report is set, and a shard has no report of its own";
            return Err(Failure::new(ExitCode::Usage, why)
                .with_hint("leave it out, and use `report` once the shards are merged"));
        }
        report::prepare(file)?;
    }
    let simulator = embedded_simulator(settings)?;
    let client = client(settings, simulator.as_ref())?;
    let metrics = watch.metrics.clone();
    let tools = Tools { client, progress, interrupt: signals::listen(log, move |code| metrics.end_at_once(code))? };
    deadline::enforce(tools.interrupt.clone(), &watch.metrics, log)?;
    let began = Instant::now();
    let reader = Reader::start(tools.progress.clone(), screen);
    let result = export(&request, &tools).await;
    reader.finish().await;
    let outcome = result.map_err(|error| failures::failure_of(&error, &request))?;
    let settled = tools.progress.view().settled_share;
    let output = settings.output.folder.display().to_string();
    Ok((Summary { output, ..summary(&request, &outcome, began, settled) }, failures::refusal(&outcome.ending)))
}

/// Tells what the run came to. What cannot be told is logged: it does not change how the run ended.
async fn tell(summary: &Summary, settings: &Settings) {
    let stdout = console::Term::stdout();
    let columns = stdout.is_term().then(|| usize::from(stdout.size().1));
    let text = columns.map_or_else(|| summary.to_string(), |columns| summary.folded(columns));
    if let Err(error) = super::print_within(text + "\n", SUMMARY_PATIENCE).await {
        tracing::error!(error = %error, "the summary could not be written to stdout");
    }
    let written = settings.report.summary.as_ref().map(|file| summary.write_json(file));
    if let Some(Err(error)) = written {
        tracing::error!(error = %error, "the summary's file could not be written");
    }
    let Some(file) = settings.report.report.clone() else { return };
    let written = async { report::write(&Places::of(settings, None)?, Some(summary), &file).await };
    if let Err(failure) = written.await {
        tracing::error!(error = %failure, "the report could not be written");
    }
}

pub(super) fn request(
    settings: &Settings,
    (places, shard): (Places, Option<ShardName>),
    (start, damaged): (Start, DamagedState),
) -> Result<ExportRequest, Failure> {
    let now = now();
    let output = &settings.output;
    let ends = if settings.question.depends_on(now) { Ends::ByClock } else { Ends::Absolute };
    let identity = identity(settings)?;
    let range = settings.question.range(now)?;
    Ok(ExportRequest {
        shard: shard.map(|name| shard::of(name, settings, (range, now))).transpose()?,
        partition: identity.partition,
        identity,
        regions: settings.question.regions.clone(),
        filters: settings.question.filters.clone(),
        range,
        ends,
        now,
        start,
        damaged,
        reread: settings.plan.reread,
        retain_seconds: output.retain.map(|length| i64::try_from(length.get().as_secs()).unwrap_or(i64::MAX)),
        table: table(output),
        max_rejected: output.max_rejected,
        state: places.state,
        away: places.away,
        output: places.output,
        writers: writers(output),
        history: if output.snapshot { History::Kept } else { History::Replaced },
        packaging: packaging(output),
        part_rows: part_rows(output),
        budget: Budget {
            max_credits: shard::credits(settings.budget.max_credits, shard)?,
            time: settings.budget.time_budget.map(|budget| budget.get()),
        },
        tuning: settings.plan.tuning(),
        verified: verified(&settings.verified),
        verified_rate: settings.verified.requests_per_second,
        rate: match shard::rate(settings.pace.qps, shard) {
            Qps::Auto => Rate::Auto,
            Qps::PerSecond(rate) => Rate::Fixed(rate),
        },
        max_in_flight: usize::try_from(settings.pace.max_in_flight).unwrap_or(usize::MAX),
        give_up_after: settings.pace.give_up_after.get(),
        probing: None,
    })
}

fn verified(settings: &config::VerifiedSettings) -> Verified {
    let is_inclusive = |kind: config::BoundKind| kind == config::BoundKind::Inclusive;
    Verified {
        min_inclusive: settings.min_bound.map(is_inclusive),
        max_inclusive: settings.max_bound.map(is_inclusive),
        last_page: settings.last_page,
    }
}

pub(super) fn packaging(output: &config::OutputSettings) -> Packaging {
    Packaging {
        row_group_rows: usize::try_from(output.row_group_rows).unwrap_or(usize::MAX),
        compression_level: i32::from(output.zstd_level),
        encodings: output.encoding,
        ..Packaging::default()
    }
}

/// A row takes about 200 bytes of a part, as measured, so a part's size is bounded by its rows.
const PART_BYTES_A_ROW: u64 = 200;

pub(super) fn writers(output: &config::OutputSettings) -> Writers {
    if output.single_writer { Writers::One } else { Writers::Any }
}

const fn table(output: &config::OutputSettings) -> Option<KeptTable> {
    match output.table {
        config::Table::None => None,
        config::Table::Delta => {
            Some(KeptTable { superseded_seconds: Some(output.table_keeps.get().as_secs().cast_signed()) })
        }
    }
}

pub(super) fn part_rows(output: &config::OutputSettings) -> RowCount {
    RowCount::new(output.part_rows.min(output.part_bytes.get().get() / PART_BYTES_A_ROW).max(1))
}

/// What the state and the output belong to: regions and ranges are a run's, and where the service is asked is no matter.
fn identity(settings: &Settings) -> Result<Identity, Failure> {
    let filters = serde_json::to_value(&settings.question.filters);
    let filters = filters.map_err(|error| Failure::from_error(ExitCode::Bug, &error))?;
    Ok(Identity {
        path: settings.service.path.clone(),
        filters,
        partition: settings.output.partition,
        snapshot: settings.output.snapshot,
        simulator: settings.simulator.clone(),
    })
}

pub(super) fn embedded_simulator(settings: &Settings) -> Result<Option<RunningSimulator>, Failure> {
    let Some(table) = &settings.simulator else { return Ok(None) };
    let simulator = super::simulate::from_table(table)?;
    Simulator::start(simulator).map(Some).map_err(|error| super::simulate::cannot_serve(&error))
}

pub(super) fn client(settings: &Settings, simulator: Option<&RunningSimulator>) -> Result<Client, Failure> {
    let service = &settings.service;
    // Where a lease runs out, nothing may be sent any more soon after.
    let away = places::away(&settings.state, None)?;
    let soon = away.map_or(Duration::MAX, |away| away.lease_interval / GRACE);
    let (base_url, token) = match simulator {
        Some(simulator) => (simulator.base_url(), SecretString::from("simulated")),
        None => (service.base_url.clone(), read_token(service, token_variable())?),
    };
    let client = ClientSettings {
        base_url,
        path: service.path.clone(),
        auth_header: service.auth_header.clone(),
        auth_scheme: service.auth_scheme.clone(),
        connect_timeout: service.connect_timeout.get().min(soon),
        request_timeout: service.request_timeout.get(),
        body_limit: service.body_limit.get(),
        // What is asked on this machine alone needs none.
        proxy: service.proxy.clone().filter(|_| simulator.is_none()),
        idle_connections: usize::try_from(settings.pace.max_in_flight).unwrap_or(usize::MAX),
    };
    Client::new(&client, token).map_err(|error| {
        let failure = Failure::from_error(ExitCode::Usage, &error);
        match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    })
}

fn summary(request: &ExportRequest, outcome: &ExportOutcome, began: Instant, settled: f64) -> Summary {
    let counts = &outcome.counts;
    Summary {
        outcome: code_of(&outcome.ending),
        is_quota_spent: matches!(outcome.ending, Ending::QuotaSpent { .. }),
        run: outcome.run.clone(),
        range: outcome.range,
        regions: request.regions.clone(),
        shard: request.shard.as_ref().map(|shard| shard.name.to_string()),
        output: request.output.to_string(),
        rows: RowCount::new(outcome.delivered.rows),
        parts: outcome.delivered.parts,
        bytes: ByteCount::new(outcome.delivered.bytes),
        former: Former { parts: outcome.former.0, rows: RowCount::new(outcome.former.1) },
        requests: super::requests(counts),
        journal: Kept { pages: outcome.kept.pages, rows: RowCount::new(outcome.kept.rows) },
        settled_share: code_of(&outcome.ending).is_unfinished().then_some(settled),
        requests_of_this_start: counts.attempts.saturating_sub(outcome.attempts_before),
        duration: began.elapsed(),
        confirm_after_s: request.tuning.confirming().as_secs(),
        gaps: outcome.gaps.iter().map(shortfall).collect(),
        unproven: outcome.unproven.iter().map(shortfall).collect(),
        elsewhere: outcome.elsewhere.iter().map(shortfall).collect(),
        warnings: outcome.unusual.iter().map(warning).collect(),
        rejected: outcome.delivered.rejected,
        kept_in_extra: outcome.delivered.extra_fields.total(),
        extra_fields: outcome.delivered.extra_fields.by_name().clone(),
        duplicates: outcome.delivered.duplicates,
        newest: outcome.newest.clone(),
        next: next_of(request, outcome),
    }
}

fn shortfall(listed: &Listed) -> Shortfall {
    let Listed { region, range, why, fault, lacks, .. } = listed.clone();
    let lacks = lacks.map(Lacks::name);
    Shortfall { region, range, why, fault, lacks }
}

fn warning(unusual: &Unusual) -> Warning {
    Warning { text: unusual.to_string(), numbers: serde_json::to_value(unusual).unwrap_or_default() }
}

fn code_of(ending: &Ending) -> ExitCode {
    match ending {
        Ending::Complete | Ending::Probed => ExitCode::Complete,
        Ending::Incomplete => ExitCode::Incomplete,
        Ending::CreditsSpent { .. } | Ending::QuotaSpent { .. } | Ending::TimeSpent => ExitCode::BudgetReached,
        Ending::Unwell { .. } => ExitCode::ServiceUnwell,
        Ending::Unreachable { .. } => ExitCode::Usage,
        Ending::Refused { .. } | Ending::Contradicted(_) => ExitCode::Refused,
        Ending::Interrupted(interrupt) => signals::code_of(*interrupt),
    }
}

/// What becomes of what was bought.
const GOES_ON: &str = "the same command goes on where this ended, and pays for no page again that it has";

/// What a person does next; of a shard, once it is done.
fn next_of(request: &ExportRequest, outcome: &ExportOutcome) -> Option<String> {
    let of_whole = next(request, outcome);
    let Some(shard) = &request.shard else { return of_whole };
    match (&outcome.ending, outcome.work) {
        _ if shard.tiles.is_empty() => Some(format!(
            "nothing: the question has fewer folders than there are shards, so shard {} has none to read",
            shard.name
        )),
        (Ending::Complete | Ending::Incomplete, Work::Done) => Some(format!(
            "once all {} shards are done: keyapi-export merge --out {}{}",
            shard.name.of(),
            request.output,
            of_whole
                .filter(|_| outcome.ending == Ending::Incomplete)
                .map(|next| format!("; before, {next}"))
                .unwrap_or_default()
        )),
        (Ending::Complete, Work::NothingLeft) => Some(format!(
            "nothing: shard {} was finished before, so no request was sent; once all {} are done, `merge` joins them",
            shard.name,
            shard.name.of()
        )),
        (Ending::Incomplete, Work::NothingLeft) => {
            Some("what is missing of a shard that is merged is read by the same command without --shard".to_owned())
        }
        (Ending::CreditsSpent { spent, max }, _) => Some(format!(
            "{spent} of {max} are used, which are this shard's share; the same command with a larger --max-credits, of which each of the {} shards has \
             its share, goes on where this ended, and pays for no page again that it has",
            shard.name.of()
        )),
        _ => of_whole,
    }
}

/// What a person does next, where something is left to do.
fn next(request: &ExportRequest, outcome: &ExportOutcome) -> Option<String> {
    Some(match &outcome.ending {
        Ending::Complete if outcome.work == Work::NothingLeft => {
            "nothing: the run of this range was finished before, and all its parts are there, so no request was sent; --fresh would pay for all of it \
             again"
                .to_owned()
        }
        Ending::Complete | Ending::Probed => return None,
        Ending::Incomplete if outcome.gaps.is_empty() && outcome.unproven.is_empty() => {
            "read the rejected rows in _rejected: each line says what is wrong with its row".to_owned()
        }
        Ending::Incomplete if let Some((region, fault)) = faulty_region(outcome) => match fault {
            RegionFault::Refused { .. } => format!(
                "the same command asks for region {region} again; ask the vendor whether the key may have it, or leave it out"
            ),
            RegionFault::Unwell { .. } => {
                reads(request, outcome, &format!("the gaps of region {region} again"))
            }
        },
        Ending::Incomplete if outcome.delivered.rows == 0 && outcome.former.1 == 0 => {
            "check the region codes: nothing shows that the service knows them".to_owned()
        }
        Ending::Incomplete if !outcome.gaps.is_empty() => {
            reads(request, outcome, "the gaps again")
        }
        Ending::Incomplete if outcome.unproven.iter().any(|listed| listed.may_pass) => {
            match request.ends {
                Ends::Absolute => reads(request, outcome, "the unproven ranges once more"),
                Ends::ByClock => ANEW.to_owned(),
            }
        }
        Ending::Incomplete => format!("what is unproven stayed so when it was read again; {}", all_anew(request, outcome)),
        Ending::CreditsSpent { spent, max } => {
            let more = max.get().saturating_mul(2);
            format!(
                "{spent} of {max} are used; the same command with a larger --max-credits goes on where this ended, such as \
                 --max-credits {more}, and pays for no page again that it has"
            )
        }
        Ending::QuotaSpent { message } => {
            format!("the key's quota is used up (\"{message}\"); once there is quota again {GOES_ON}")
        }
        Ending::TimeSpent => format!("the time budget is over; {GOES_ON}"),
        Ending::Interrupted(_) => GOES_ON.to_owned(),
        Ending::Unwell { .. } | Ending::Unreachable { .. } => format!("once the service is well again {GOES_ON}"),
        Ending::Refused { .. } => format!("once the cause is fixed {GOES_ON}"),
        Ending::Contradicted(_) => return None,
    })
}

/// Of a range that moves with the clock.
const ANEW: &str = "the same command begins a run of the range as it is then, and reads all of it";

/// How what is missing is read, and nothing else.
fn reads(request: &ExportRequest, outcome: &ExportOutcome, what: &str) -> String {
    let TimeRange { start, end } = outcome.range;
    match request.ends {
        Ends::Absolute => format!("the same command reads {what}, and nothing else"),
        Ends::ByClock => {
            format!(
                "the same command with --from {start} --to {end} reads {what}, and nothing else; without them {ANEW}"
            )
        }
    }
}

/// How the days around what is unproven are read anew, by a run that has learned nothing yet and pays for them.
fn all_anew(request: &ExportRequest, outcome: &ExportOutcome) -> String {
    let unproven = || outcome.unproven.iter();
    let first = unproven().map(|listed| listed.range.start.day_start()).min();
    let end = unproven().map(|listed| listed.range.end.shifted(DAY_SECONDS - 1).day_start()).max();
    match (first, end, request.history) {
        (Some(first), Some(end), History::Replaced) => {
            let (start, end) = (first.max(outcome.range.start), end.min(outcome.range.end));
            format!(
                "the same command with --from {start} --to {end} --reread all reads these days anew, and pays for all of them"
            )
        }
        _ => "--fresh reads the whole range again and pays for all of it".to_owned(),
    }
}

/// The first region that could not be had as a whole.
fn faulty_region(outcome: &ExportOutcome) -> Option<(&Region, &RegionFault)> {
    outcome.gaps.iter().find_map(|gap| Some((&gap.region, gap.fault.as_ref()?)))
}
