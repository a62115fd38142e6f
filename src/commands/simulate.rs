//! `simulate`: the service, for whoever wants to try something without a key.

use crate::config::Settings;
use crate::failure::{ExitCode, Failure};
use crate::simulator::{Simulator, SimulatorFlags, SimulatorSettings};
use crate::telemetry::Log;

use super::signals;

/// Serves the simulated service until it is interrupted, and prints its address to stdout.
///
/// # Errors
/// A setting out of its bounds, an address that cannot be served on.
pub async fn simulate(settings: Settings, flags: &SimulatorFlags, log: &Log) -> Result<ExitCode, Failure> {
    let from_file = settings.simulator.as_ref().map(from_table).transpose()?.unwrap_or_default();
    let wanted = flags.over(from_file).map_err(|error| Failure::from_error(ExitCode::Usage, &error))?;
    let mut interrupt = signals::listen(log, |_| ())?;
    let simulator = Simulator::start(wanted).map_err(|error| Failure::from_error(ExitCode::Usage, &error))?;
    super::print(format!("{}\n", simulator.base_url()).as_bytes())?;
    tracing::info!(base_url = simulator.base_url(), "the simulator serves; what it knows is at /_truth and /_stats");
    // The sender lives as long as the process, so this waits for a signal.
    let _signal = interrupt.wait_for(Option::is_some).await;
    simulator.stop();
    Ok(ExitCode::Complete)
}

/// The `[simulator]` table of a configuration file.
pub(super) fn from_table(table: &serde_json::Value) -> Result<SimulatorSettings, Failure> {
    serde_json::from_value(table.clone()).map_err(|error| {
        Failure::new(ExitCode::Usage, format!("reading the table [simulator]: {error}"))
            .with_hint("`keyapi-export simulate --help` names every setting")
    })
}
