//! `check`: what the contract leaves open, found out with a few credits and told as a table, as settings, and as a recording.

use std::path::{Path, PathBuf};

use crate::check::exchange::Exchange;
use crate::check::rate::RateReport;
use crate::check::redact::redacted;
use crate::check::report::Report;
use crate::check::sender::{Pace, Sender, Stop};
use crate::check::{Check, Scope, written};
use crate::cli::CheckArguments;
use crate::config::{Qps, Settings};
use crate::export::Interrupt;
use crate::failure::{ExitCode, Failure};
use crate::fetch::throttle::Rate;
use crate::recording::{About, Recording, RecordingError};
use crate::replaced::{self, Readers};
use crate::telemetry::Log;
use crate::units::EpochSeconds;

use super::places::Places;
use super::written::Guarded;
use super::{run, signals, statuses};

/// How a check ended early.
enum Early {
    Stopped(Stop),
    Interrupted(Option<Interrupt>),
}

/// Asks the service, tells what was found out, and writes what was asked for.
///
/// # Errors
/// A key or a question that is refused, a service that is unwell, a file that cannot be written. What was found out is told all the same.
pub async fn check(settings: Settings, arguments: &CheckArguments, log: &Log) -> Result<ExitCode, Failure> {
    let scope = scope(&settings)?;
    if let Some(file) = &arguments.write {
        let places = Places::of(&settings, None).ok();
        Guarded::new(&settings, arguments.config(), places.as_ref()).allow([("--write", Some(file.as_path()))])?;
        replaced::prepare(file).map_err(|error| unwritable(file, &error))?;
    }
    let mut recorder = Recorder::new(&scope, arguments)?;
    let simulator = run::embedded_simulator(&settings)?;
    let client = run::client(&settings, simulator.as_ref())?;
    let mut interrupt = signals::listen(log, |_| ())?;
    let mut sender = Sender::new(&client, pace(&settings, arguments));
    let mut check = Check::new(scope);
    let early = tokio::select! {
        stop = sender.carry_out(&mut check, |sender| recorder.keep(sender)) => stop.map(Early::Stopped),
        signal = interrupt.wait_for(Option::is_some) => Some(Early::Interrupted(signal.ok().and_then(|signal| *signal))),
    };
    let wants_rate = arguments.rate && matches!(early, None | Some(Early::Stopped(Stop::Credits)));
    let question = check.question_with_rows().filter(|_| wants_rate);
    let (rate, early) = match question {
        None => (None, early),
        Some(question) => tokio::select! {
            measured = sender.measure_rate(&question, arguments.rate_credits) => match measured {
                Ok(rate) => (Some(rate), early),
                Err(stop) => (None, Some(Early::Stopped(stop))),
            },
            signal = interrupt.wait_for(Option::is_some) => (None, Some(Early::Interrupted(signal.ok().and_then(|signal| *signal)))),
        },
    };
    recorder.keep(&sender);
    let mut rate_limit = check.finding("rate_limit", sender.rate_limit(rate.as_ref()));
    rate_limit.evidence.extend(rate.as_ref().map(RateReport::evidence));
    let report = Report::of(&check, (sender.spent(), sender.throttled), rate, rate_limit);
    let report = Report { stopped: early.as_ref().map(told), ..report };
    tell(&report, arguments)?;
    recorder.end()?;
    early.map_or(Ok(ExitCode::Complete), ended)
}

fn scope(settings: &Settings) -> Result<Scope, Failure> {
    settings.require_regions()?;
    let now: EpochSeconds = super::now();
    let range = settings.question.range(now)?;
    let mut regions = settings.question.regions.iter().cloned();
    let Some(region) = regions.next() else { return Err(Failure::new(ExitCode::Bug, "no region is asked")) };
    if regions.next().is_some() {
        tracing::info!(region = region.as_str(), "of several regions the first is asked");
    }
    Ok(Scope { region, from: range.start.get(), to: range.end.get() })
}

fn pace(settings: &Settings, arguments: &CheckArguments) -> Pace {
    let rate = match settings.pace.qps {
        Qps::Auto => Rate::Auto,
        Qps::PerSecond(rate) => Rate::Fixed(rate),
    };
    Pace { rate, credits: arguments.credits, give_up_after: settings.pace.give_up_after.get() }
}

fn tell(report: &Report, arguments: &CheckArguments) -> Result<(), Failure> {
    let text = if arguments.json { super::json(report)? } else { report.text() };
    super::print(text.as_bytes())?;
    if let Some(file) = &arguments.write {
        let settings = written::settings(report, &super::now().to_string());
        replaced::replace(file, settings.as_bytes(), Readers::AsUsual).map_err(|error| unwritable(file, &error))?;
        tracing::info!(file = %file.display(), "the settings were written; `run --config` takes them");
    }
    Ok(())
}

/// Keeps the answers as they come, so that what was paid for is there whatever happens next.
struct Recorder {
    folder: Option<PathBuf>,
    about: About,
    failed: Option<RecordingError>,
}

impl Recorder {
    fn new(scope: &Scope, arguments: &CheckArguments) -> Result<Self, Failure> {
        let rate_credits = arguments.rate.then_some(arguments.rate_credits);
        let about = About::new(scope.region.as_str(), (scope.from, scope.to), (arguments.credits, rate_credits));
        let mut recorder = Self { folder: arguments.record.clone(), about, failed: None };
        recorder.write(&[]);
        recorder.end_with(ExitCode::Usage)?;
        Ok(recorder)
    }

    fn keep(&mut self, sender: &Sender<'_>) {
        self.write(&sender.exchanges);
    }

    fn write(&mut self, exchanges: &[Exchange]) {
        if let Some(folder) = &self.folder {
            let recording = Recording { about: self.about.clone(), answers: redacted(exchanges) };
            self.failed = recording.write(folder).err();
        }
    }

    fn end(&mut self) -> Result<(), Failure> {
        self.end_with(ExitCode::LocalDamage)
    }

    fn end_with(&mut self, code: ExitCode) -> Result<(), Failure> {
        self.failed.take().map_or(Ok(()), |error| {
            Err(Failure::from_error(code, &error).with_hint("name a folder that can be written with --record"))
        })
    }
}

fn unwritable(file: &Path, error: &std::io::Error) -> Failure {
    Failure::new(ExitCode::Usage, format!("writing {}: {error}", file.display()))
        .with_hint("name a file that can be written with --write")
}

fn told(early: &Early) -> String {
    match early {
        Early::Stopped(Stop::Credits) => "its credits are spent".to_owned(),
        Early::Stopped(Stop::Quota(message)) => format!("the key's quota is used up: {message}"),
        Early::Stopped(Stop::Refused(code, message)) => {
            format!("the service refuses the request with {code}: {message}")
        }
        Early::Stopped(Stop::Unwell(why)) => format!("no answer came: {why}"),
        Early::Stopped(Stop::Unreachable(why)) => format!("the service cannot be reached: {why}"),
        Early::Interrupted(_) => "it was interrupted".to_owned(),
    }
}

/// What an early end is for the caller. Spent credits are none: the check was to cost no more.
fn ended(early: Early) -> Result<ExitCode, Failure> {
    let why = told(&early);
    let (code, hint) = match early {
        Early::Stopped(Stop::Credits) => return Ok(ExitCode::Complete),
        Early::Stopped(Stop::Quota(_)) => {
            (ExitCode::BudgetReached, "buy credits, or wait until the quota is renewed".to_owned())
        }
        Early::Stopped(Stop::Refused(code, _)) => (ExitCode::Refused, statuses::refusal_hint(code)),
        Early::Stopped(Stop::Unwell(_)) => (ExitCode::ServiceUnwell, "try again when the service is well".to_owned()),
        Early::Stopped(Stop::Unreachable(_)) => {
            (ExitCode::Usage, "check --base-url, and what this machine trusts and can look up".to_owned())
        }
        Early::Interrupted(Some(interrupt)) => return Ok(signals::code_of(interrupt)),
        Early::Interrupted(None) => return Ok(ExitCode::Interrupted),
    };
    Err(Failure::new(code, why).with_hint(hint))
}
