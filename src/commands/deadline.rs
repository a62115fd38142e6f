//! A run that was asked to stop is over in time, whatever it is busy with.
//!
//! Requests on their way are waited for, and what is done is told; but whoever sends SIGTERM kills soon after. So a thread of its
//! own, which no task can keep busy, ends the process before that: everything that counts is durable already.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::export::Interrupt;
use crate::failure::{ExitCode, Failure};
use crate::metrics::Metrics;
use crate::telemetry::Log;

use super::signals;

/// After a signal the process is over within this; what sends it often waits for 30 s, and the drain takes 20 s at most.
const LONGEST_STOP: Duration = Duration::from_secs(24);

/// Ends the process [`LONGEST_STOP`] after a signal, with the signal's code, if it has not ended by itself.
///
/// # Errors
/// A system that gives no thread.
pub(super) fn enforce(
    mut interrupt: watch::Receiver<Option<Interrupt>>,
    metrics: &Metrics,
    log: &Log,
) -> Result<(), Failure> {
    let (runtime, metrics, log) = (Handle::current(), metrics.clone(), log.clone());
    let watch = move || {
        let signal = runtime.block_on(interrupt.wait_for(Option::is_some)).ok().and_then(|signal| *signal);
        if let Some(signal) = signal {
            std::thread::sleep(LONGEST_STOP);
            let code = signals::code_of(signal);
            metrics.end_at_once(code);
            log.last_word(code);
            log.flush(signals::LAST_WORDS);
            std::process::exit(i32::from(code.number()));
        }
    };
    let started = std::thread::Builder::new().name("deadline".to_owned()).spawn(watch);
    started.map(drop).map_err(|error| {
        Failure::new(ExitCode::LocalDamage, format!("starting the thread that ends a run in time: {error}"))
    })
}
