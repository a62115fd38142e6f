//! Addresses that are pinged when a start begins and when it ends, such as those of a dead man's switch.
//!
//! Each is asked once, with GET and for [`TIMEOUT`] at most. What becomes of it is at most a warning: a run never fails or waits
//! longer for it, and its exit code stays as it is. An address may hold a token, so no more than its host is ever told.

use std::time::Duration;

use tokio::task::JoinHandle;

use crate::api::plain::Plain;
use crate::config::{NotifyAddress, NotifySettings};
use crate::failure::ExitCode;

/// How long one ping may take.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Pings for one start.
#[derive(Debug)]
pub struct Notifier {
    settings: NotifySettings,
    http: Option<Plain>,
    /// The ping of the beginning, while it is on its way.
    beginning: Option<JoinHandle<()>>,
}

impl Notifier {
    /// Prepares the pings; sends nothing. Where the system gives no client there is a warning, and no ping.
    pub fn new(settings: NotifySettings) -> Self {
        if settings == NotifySettings::default() {
            return Self { settings, http: None, beginning: None };
        }
        let http = Plain::new(TIMEOUT).inspect_err(|error| tracing::warn!(%error, "nobody is notified of this start"));
        Self { settings, http: http.ok(), beginning: None }
    }

    /// Pings `notify.start` beside the run. Must be called inside a runtime.
    pub fn begin(&mut self) {
        if let (Some(http), Some(address)) = (self.http.clone(), self.settings.start.clone()) {
            self.beginning = Some(tokio::spawn(async move { ping(&http, "notify.start", &address, None).await }));
        }
    }

    /// Pings `notify.success` after exit code 0, else `notify.failure`; after the ping of the beginning, so that both come in order.
    pub async fn end(&mut self, code: ExitCode) {
        if let Some(beginning) = self.beginning.take() {
            // It has a time of its own and fails by no panic that anybody could mend here.
            let _over = beginning.await;
        }
        let (key, address) = match code {
            ExitCode::Complete => ("notify.success", &self.settings.success),
            _ => ("notify.failure", &self.settings.failure),
        };
        if let (Some(http), Some(address)) = (&self.http, address) {
            ping(http, key, address, Some(code)).await;
        }
    }
}

async fn ping(http: &Plain, key: &str, address: &NotifyAddress, code: Option<ExitCode>) {
    let host = address.host().to_owned();
    let why = match http.get(address.url(code.map(ExitCode::number))).await {
        Ok(status) if (200..300).contains(&status) => {
            tracing::debug!(setting = key, host, "notified");
            return;
        }
        Ok(status) => format!("the answer was {status}"),
        Err(error) => error.to_string(),
    };
    tracing::warn!(setting = key, host, error = why, "a notification was not delivered; the run is not affected");
}
