//! SIGINT, SIGTERM and SIGHUP: the first asks the run to stop, the second ends the process at once; where nothing runs, the first does.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::export::Interrupt;
use crate::failure::{ExitCode, Failure};
use crate::telemetry::Log;

/// How long the second signal's end waits for what is said on stderr.
pub(super) const LAST_WORDS: Duration = Duration::from_millis(200);
/// SIGHUP's number on every Unix (POSIX).
const HANGUP: u32 = 1;

/// Listens from now on; the first signal is shown to whoever holds the receiver, the second ends the process, after `before_the_end`.
///
/// A SIGHUP that was ignored when the process began, as under `nohup`, stays ignored. Linux tells that; elsewhere it is taken for
/// one that counts.
///
/// # Errors
/// A system that takes no handler.
pub(super) fn listen(
    log: &Log,
    before_the_end: impl Fn(ExitCode) + Send + 'static,
) -> Result<watch::Receiver<Option<Interrupt>>, Failure> {
    let (sender, receiver) = watch::channel(None);
    let end = {
        let log = log.clone();
        move |code| {
            before_the_end(code);
            log.ended(code, serde_json::Map::new());
            log.last_word(code);
            log.flush(LAST_WORDS);
            std::process::exit(i32::from(code.number()));
        }
    };
    tokio::spawn(tell(Signals::handled()?, sender, end));
    Ok(receiver)
}

/// Lets the first signal end the process at once, for a command that only reads. That is what a signal does by itself, except to
/// process 1 of a container.
///
/// # Errors
/// A system that takes no handler.
pub(super) fn end_at_once(log: &Log) -> Result<(), Failure> {
    let (mut signals, log) = (Signals::handled()?, log.clone());
    tokio::spawn(async move {
        let code = code_of(signals.next().await);
        log.last_word(code);
        log.flush(LAST_WORDS);
        std::process::exit(i32::from(code.number()));
    });
    Ok(())
}

struct Signals {
    keyboard: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    fn handled() -> Result<Self, Failure> {
        let handled = |kind| {
            signal(kind).map_err(|error| Failure::new(ExitCode::LocalDamage, format!("listening for signals: {error}")))
        };
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Ok(Self {
            keyboard: handled(SignalKind::interrupt())?,
            terminate: handled(SignalKind::terminate())?,
            hangup: if is_ignored(&status, HANGUP) { None } else { Some(handled(SignalKind::hangup())?) },
        })
    }

    async fn next(&mut self) -> Interrupt {
        tokio::select! {
            _ = self.keyboard.recv() => Interrupt::Keyboard,
            _ = self.terminate.recv() => Interrupt::Terminate,
            () = next_of(&mut self.hangup) => Interrupt::Hangup,
        }
    }
}

async fn next_of(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

async fn tell(mut signals: Signals, sender: watch::Sender<Option<Interrupt>>, end_at_once: impl Fn(ExitCode)) {
    loop {
        let interrupt = signals.next().await;
        if sender.borrow().is_some() {
            // Everything that counts is durable already; the next start goes on from there.
            end_at_once(code_of(interrupt));
        }
        // Short enough for a terminal of 80 columns, where lines are cut beside bars.
        tracing::warn!("stopping; a second signal ends at once, without loss");
        sender.send_replace(Some(interrupt));
    }
}

/// The exit code of a run that a signal ended.
pub(super) fn code_of(interrupt: Interrupt) -> ExitCode {
    match interrupt {
        Interrupt::Keyboard => ExitCode::Interrupted,
        Interrupt::Terminate => ExitCode::Terminated,
        Interrupt::Hangup => ExitCode::HungUp,
    }
}

/// Whether a process ignores a signal, by the text of Linux's `/proc/self/status`: the line `SigIgn` is a mask, in hexadecimal
/// digits, whose lowest bit is signal 1 (proc_pid_status(5)).
fn is_ignored(status: &str, number: u32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or_default();
    mask >> (number - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_signal_is_read_from_the_mask() {
        let status =
            |mask: &str| format!("Name:\tx\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\nSigCgt:\t0000000000000001\n");
        assert!(is_ignored(&status("0000000000001001"), HANGUP));
        assert!(!is_ignored(&status("0000000000001000"), HANGUP), "SIGPIPE alone");
        assert!(!is_ignored(&status("fffffffffffffffe"), HANGUP));
        assert!(!is_ignored(&status("none"), HANGUP));
        assert!(!is_ignored("", HANGUP), "another Unix");
    }
}
