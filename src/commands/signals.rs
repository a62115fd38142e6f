//! SIGINT and SIGTERM: the first asks the run to stop, the second ends the process at once.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::export::Interrupt;
use crate::failure::{ExitCode, Failure};

/// Listens from now on; the first signal is shown to whoever holds the receiver.
///
/// # Errors
/// A system that takes no handler.
pub(super) fn listen() -> Result<watch::Receiver<Option<Interrupt>>, Failure> {
    let failed = |error| Failure::new(ExitCode::LocalDamage, format!("listening for signals: {error}"));
    let keyboard = signal(SignalKind::interrupt()).map_err(failed)?;
    let terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(tell(keyboard, terminate, sender));
    Ok(receiver)
}

async fn tell(mut keyboard: Signal, mut terminate: Signal, sender: watch::Sender<Option<Interrupt>>) {
    loop {
        let interrupt = tokio::select! {
            _ = keyboard.recv() => Interrupt::Keyboard,
            _ = terminate.recv() => Interrupt::Terminate,
        };
        if sender.borrow().is_some() {
            // Everything that counts is durable already; the next start goes on from there.
            std::process::exit(i32::from(code_of(interrupt).number()));
        }
        tracing::warn!(
            "stopping: requests on their way are waited for; a second signal ends at once, and loses nothing that is durable"
        );
        sender.send_replace(Some(interrupt));
    }
}

/// The exit code of a run that a signal ended.
pub(super) fn code_of(interrupt: Interrupt) -> ExitCode {
    match interrupt {
        Interrupt::Keyboard => ExitCode::Interrupted,
        Interrupt::Terminate => ExitCode::Terminated,
    }
}
