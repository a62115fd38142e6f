//! A start that asks no more than a forecast needs, and what it comes to.

use tokio::time::Instant;

use super::Session;
use crate::api::contract::Region;
use crate::export::ExportError;
use crate::export::forecast::{Forecast, RowSizes, attempts_a_page, measure, windows};
use crate::journal::Limits;
use crate::journal::record::RangeEnds;
use crate::plan::planner::Planner;
use crate::plan::reopen::Reopening;
use crate::sink::layout::{Layout, Partition, Slice};
use crate::sink::part::Parts;
use crate::units::{Credits, TimeRange};

impl Session<'_> {
    /// Asks what a forecast of the run needs, and publishes nothing. Of one that had ended it asks nothing.
    pub(in crate::export) async fn forecast(self, ends: RangeEnds) -> Result<Forecast, ExportError> {
        let began = Instant::now();
        let planner = self.replayed_plan().await?;
        if self.run.outcome.is_some() {
            let missing = self.find_missing(&planner).await?;
            return Ok(self.of_what_is_missing(&planner, &missing.ranges));
        }
        self.check_pages().await?;
        let before = self.journal.ledger(Limits { max_credits: None, block: 1 })?.counts();
        let credits = self.request.probing.map_or(0, |probing| u64::from(probing.credits));
        let most = before.attempts + before.possibly_charged + credits;
        let most = self.request.budget.max_credits.map_or(most, |max| max.get().min(most));
        // With a block of its own each request is reserved by itself, so none is left over that counts as spent.
        let ledger = self.journal.ledger(Limits { max_credits: Some(Credits::new(most)), block: 1 })?;
        self.show_ledger(&ledger);
        let run = self.work(ledger.clone(), self.publisher()?, ends)?;
        let ended = run.run(planner, began).await?;
        let spent = ledger.counts();
        let sample = self.sample(&ended.planner).await?;
        Ok(Forecast {
            run: Some(self.run.begun.id.clone()),
            range: self.run.begun.range,
            regions: ended.planner.forecast(),
            windows: windows(&ended.planner),
            spent: spent.attempts.saturating_sub(before.attempts),
            spent_before: before.attempts,
            attempts_a_page: attempts_a_page(
                spent.attempts.saturating_sub(before.attempts),
                spent.answered_pages.saturating_sub(before.answered_pages),
            ),
            rate: ended.rate,
            latency_seconds: ended.latency_seconds,
            sample,
            ending: ended.ending,
        })
    }

    /// The same, of a run that goes on to a later end.
    pub(in crate::export) async fn forecast_extended(
        mut self,
        asked: TimeRange,
        ends: RangeEnds,
    ) -> Result<Forecast, ExportError> {
        let mut planner = self.replayed_plan().await?;
        self.extend_range(&mut planner, asked).await?;
        self.forecast(ends).await
    }

    /// What a run that has ended would read again.
    fn of_what_is_missing(&self, planner: &Planner, missing: &[(Region, TimeRange, Reopening)]) -> Forecast {
        let missing: Vec<(Region, TimeRange)> =
            missing.iter().map(|(region, range, _)| (region.clone(), *range)).collect();
        Forecast { regions: planner.forecast_again(&missing), ..Forecast::nothing(self.run.begun.range) }
    }

    /// How large the rows are that the journal holds, as parts of the run: written once with all of them, and once with every other
    /// page, so that what a file takes by itself is told apart.
    async fn sample(&self, planner: &Planner) -> Result<Option<RowSizes>, ExportError> {
        let layout = Layout { partition: Partition::None, snapshot: None };
        let parts = Parts::new(self.output.staging(), layout, self.request.packaging);
        let most = planner.regions().iter().max_by_key(|plan| self.journal.count_rows(&plan.region, plan.range).ok());
        let Some(plan) = most else { return Ok(None) };
        let slice =
            Slice { region: plan.region.clone(), range: plan.range, run: format!("{}-sample", self.run.begun.id) };
        let (journal, staging) = (self.journal.clone(), self.output.staging());
        let measured = tokio::task::spawn_blocking(move || measure(&parts, &slice, &journal, &staging));
        measured.await?
    }
}
