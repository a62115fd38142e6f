//! `plan`: what an export will cost, before it is begun. It begins the run as far as a forecast needs, and `run` goes on with that.
//!
//! `forecast` of the export asks; `told` works out what it means in credits, time and files, `text` says it to a person, and `dry` shows
//! what would be asked without asking it.

mod dry;
mod text;
mod told;

use serde::Serialize;

use crate::cli::PlanArguments;
use crate::config::Settings;
use crate::export::{self, DamagedState, Ending, Forecast, Probing, Start, Tools};
use crate::failure::{ExitCode, Failure};
use crate::limits;
use crate::progress::Progress;
use crate::telemetry::Log;

use super::places::Places;
use super::{failures, run, signals};
use told::Told;

/// Says what the export of the settings' question will cost.
///
/// # Errors
/// Like `run`: what the service refuses, a state or an output that another holds, a disk that is full. What was bought is kept.
pub async fn plan(settings: Settings, arguments: &PlanArguments, log: &Log) -> Result<ExitCode, Failure> {
    settings.require_regions()?;
    let request = run::request(&settings, (Places::of(&settings, None)?, None), (Start::GoOn, DamagedState::Refused))?;
    if arguments.dry_run {
        let dry = dry::Dry::of(&settings, &request)?;
        return super::print(shown(&dry, arguments.json, dry::Dry::text)?.as_bytes());
    }
    limits::require(u64::from(settings.pace.max_in_flight) * if settings.simulator.is_some() { 2 } else { 1 })?;
    let probing = Probing { credits: arguments.probe_credits, seed: rand::random() };
    let request = export::ExportRequest { probing: Some(probing), ..request };
    let simulator = run::embedded_simulator(&settings)?;
    let client = run::client(&settings, simulator.as_ref())?;
    let tools = Tools { client, progress: Progress::new(), interrupt: signals::listen(log, |_| ())? };
    let forecast = export::forecast(&request, &tools).await.map_err(|error| failures::failure_of(&error, &request))?;
    if let Some(failure) = why_none(&forecast, arguments.probe_credits) {
        return Err(failure);
    }
    let told = Told::of(&forecast, &settings, &request);
    super::print(shown(&told, arguments.json, text::text)?.as_bytes())
}

fn shown<T: Serialize>(told: &T, as_json: bool, text: impl FnOnce(&T) -> String) -> Result<String, Failure> {
    if as_json { super::json(told) } else { Ok(text(told)) }
}

/// What ended the forecast before it could be one.
fn why_none(forecast: &Forecast, probe_credits: u32) -> Option<Failure> {
    const KEPT: &str = "what was bought is kept, and is not paid for again";
    let failure = match &forecast.ending {
        // The forecast's own bound is no failure: what is known by then is told.
        Ending::CreditsSpent { .. } if forecast.spent >= u64::from(probe_credits) => return None,
        Ending::Complete | Ending::Incomplete | Ending::Probed => return None,
        Ending::CreditsSpent { spent, max } => Failure::new(
            ExitCode::BudgetReached,
            format!("{spent} of {max} that the run may cost are used, so nothing more can be asked for a forecast"),
        )
        .with_hint(format!("raise --max-credits; {KEPT}")),
        Ending::QuotaSpent { message } => {
            Failure::new(ExitCode::BudgetReached, format!("the key's quota is used up (\"{message}\")"))
                .with_hint(format!("once there is quota again the same command goes on; {KEPT}"))
        }
        Ending::TimeSpent => {
            Failure::new(ExitCode::BudgetReached, "the time budget is over before the forecast was made")
                .with_hint(format!("raise --time-budget; {KEPT}"))
        }
        Ending::Interrupted(interrupt) => Failure::new(signals::code_of(*interrupt), "the forecast was interrupted")
            .with_hint(format!("the same command goes on; {KEPT}")),
        ending => failures::refusal(ending)?,
    };
    Some(failure)
}
