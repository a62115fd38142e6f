//! `simulate`: the service, for whoever wants to try something without a key.

use std::path::Path;

use crate::config::Settings;
use crate::failure::{ExitCode, Failure};
use crate::recording::Recording;
use crate::simulator::{Simulator, SimulatorError, SimulatorFlags, SimulatorSettings};
use crate::telemetry::Log;

use super::signals;

/// Serves the simulated service, or what was recorded of one, until it is interrupted, and prints its address to stdout.
///
/// # Errors
/// A setting out of its bounds, a folder that holds no recording, an address that cannot be served on.
pub async fn simulate(
    settings: Settings,
    (flags, replay): (&SimulatorFlags, Option<&Path>),
    log: &Log,
) -> Result<ExitCode, Failure> {
    let from_file = settings.simulator.as_ref().map(from_table).transpose()?.unwrap_or_default();
    let wanted =
        flags.over(from_file).map_err(|error| Failure::from_error(ExitCode::Usage, &error).with_hint(SETTINGS_HINT))?;
    let mut interrupt = signals::listen(log, |_| ())?;
    if let Some(folder) = replay {
        let recording = Recording::read(folder).map_err(|error| {
            Failure::from_error(ExitCode::Usage, &error)
                .with_hint("name a folder that `keyapi-export check --record FOLDER` wrote")
        })?;
        let flags = recording.about.flags();
        let replay = Simulator::replay(recording, wanted.listen).map_err(|error| cannot_serve(&error))?;
        super::print(format!("{}\n", replay.base_url()).as_bytes())?;
        tracing::info!(
            base_url = replay.base_url(),
            check = flags,
            "the recording is served; `check` with these flags asks the same again"
        );
        let _signal = interrupt.wait_for(Option::is_some).await;
        return Ok(ExitCode::Complete);
    }
    let simulator = Simulator::start(wanted).map_err(|error| cannot_serve(&error))?;
    super::print(format!("{}\n", simulator.base_url()).as_bytes())?;
    tracing::info!(base_url = simulator.base_url(), "the simulator serves; what it knows is at /_truth and /_stats");
    // The sender lives as long as the process, so this waits for a signal.
    let _signal = interrupt.wait_for(Option::is_some).await;
    simulator.stop();
    Ok(ExitCode::Complete)
}

/// What to do about a setting that cannot be.
const SETTINGS_HINT: &str = "`keyapi-export simulate --help` names every setting";

/// Why the service could not begin, and what to do about it.
pub(super) fn cannot_serve(error: &SimulatorError) -> Failure {
    let hint = match error {
        SimulatorError::Settings(_) => SETTINGS_HINT,
        SimulatorError::Listen { .. } => "name another address of this machine with --listen; port 0 takes a free one",
        SimulatorError::Threads(_) => "let this user start more threads",
    };
    Failure::from_error(ExitCode::Usage, error).with_hint(hint)
}

/// The `[simulator]` table of a configuration file.
pub(super) fn from_table(table: &serde_json::Value) -> Result<SimulatorSettings, Failure> {
    serde_json::from_value(table.clone()).map_err(|error| {
        Failure::new(ExitCode::Usage, format!("reading the table [simulator]: {error}")).with_hint(SETTINGS_HINT)
    })
}
