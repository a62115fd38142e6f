//! Whoever watches a start from outside: Prometheus, and the addresses that are pinged. Told of its beginning and of each end.

use crate::config::Settings;
use crate::failure::{ExitCode, Failure};
use crate::folder;
use crate::metrics::Metrics;
use crate::notify::Notifier;
use crate::progress::Progress;
use crate::summary::Summary;

/// The watchers of one start.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) metrics: Metrics,
    notifier: Notifier,
}

impl Watch {
    /// Prepares what the settings name; tells nobody yet.
    pub(super) fn new(settings: &Settings, progress: &Progress) -> Self {
        // One output has one name however it is written. What cannot be resolved fails soon, and is named as it was written.
        let written = &settings.output.folder;
        let output = folder::resolve(written).unwrap_or_else(|_| written.clone()).display().to_string();
        let file = settings.report.metrics_file.clone();
        let metrics = Metrics::new(output, file, settings.budget.max_credits, progress.clone());
        Self { metrics, notifier: Notifier::new(settings.notify.clone()) }
    }

    /// Says that the start begins.
    ///
    /// # Errors
    /// A metrics file that cannot be written, an address that cannot be served on.
    pub(super) fn begin(&mut self, settings: &Settings) -> Result<(), Failure> {
        self.notifier.begin();
        let refused = |hint| move |error| Failure::from_error(ExitCode::Usage, &error).with_hint(hint);
        self.metrics
            .begin()
            .map_err(refused("name a file that can be written with --metrics-file; nothing was sent"))?;
        if let Some(address) = settings.report.metrics_listen {
            let served = self.metrics.serve(address).map_err(refused(
                "choose an address of this machine and a free port with --metrics-listen, one for each run at work; nothing was sent",
            ))?;
            tracing::info!(address = %served, "metrics are served");
        }
        Ok(())
    }

    /// Says how it ended.
    pub(super) async fn end(&mut self, code: ExitCode, summary: Option<&Summary>) {
        self.metrics.end(code, summary).await;
        self.notifier.end(code).await;
    }
}
