//! What the output says of itself: the manifest while a run goes on and at its end, the rejected rows, `_SUCCESS`.

use std::collections::{BTreeMap, BTreeSet};

use crate::journal::record::{PartRecord, PartState, RunOutcome};
use crate::journal::{JournalError, Ledger};
use crate::plan::planner::{Listed, Planner};
use crate::sink::columns::SCHEMA_VERSION;
use crate::sink::manifest::{Lack, MANIFEST_VERSION, Manifest, Status};
use crate::sink::rejected::RejectedLine;
use crate::units::{EpochSeconds, RowCount};

use super::publisher::Publisher;
use super::session::is_whole;
use super::{Delivered, Ending, ExportError, Order};

/// The last steps of a start, and the first.
pub(super) struct Delivery<'a> {
    order: &'a Order,
    publisher: Publisher,
    fingerprint: String,
    /// Parts that were not there when this start began.
    missing_before: BTreeSet<String>,
}

impl<'a> Delivery<'a> {
    pub(super) fn new(order: &'a Order, publisher: Publisher, fingerprint: String) -> Self {
        Self { order, publisher, fingerprint, missing_before: BTreeSet::new() }
    }

    /// Looks at every part, so that the end can tell what has vanished since.
    pub(super) async fn look_around(&mut self) -> Result<(), ExportError> {
        self.missing_before = self.not_whole().await?.into_iter().map(|part| part.path).collect();
        Ok(())
    }

    async fn not_whole(&self) -> Result<Vec<PartRecord>, ExportError> {
        let mut missing = Vec::new();
        for part in self.live_parts()? {
            if !self.publisher.output.holds(&part).await? {
                missing.push(part);
            }
        }
        Ok(missing)
    }

    /// Nothing may say that the output is whole while a part of it has vanished or changed since this start began. Parts of
    /// earlier runs that were gone before are not this run's to judge.
    async fn refuse_what_vanished(&self) -> Result<(), ExportError> {
        let (run, range) = (&self.publisher.run, self.publisher.run_range);
        let mut lost = self.not_whole().await?;
        lost.retain(|part| {
            let is_own = part.run == *run && range.covers(part.range);
            is_own || !self.missing_before.contains(&part.path)
        });
        match lost.first() {
            None => Ok(()),
            Some(first) => Err(ExportError::PartsVanished { count: lost.len(), example: first.path.clone() }),
        }
    }

    /// Says that a run is at work, before it changes anything.
    pub(super) async fn write_running(&self, planner: &Planner) -> Result<(), ExportError> {
        self.write(planner, Status::Running, BTreeMap::new()).await
    }

    /// Ends a start: what was replaced goes, the manifest tells the state, and `_SUCCESS` comes last, if it is earned.
    pub(super) async fn finish(
        &self,
        planner: &Planner,
        ending: &Ending,
        ledger: &Ledger,
    ) -> Result<Delivered, ExportError> {
        let is_done = *ending == Ending::Complete;
        if is_done {
            self.replace_the_rest(planner).await?;
            self.refuse_what_vanished().await?;
        }
        self.write_rejected().await?;
        let delivered = self.delivered()?;
        let is_whole = is_done && is_whole(planner);
        let status = if is_whole { Status::Complete } else { Status::Incomplete };
        self.write(planner, status, counters(planner, ledger, &delivered)).await?;
        if is_whole {
            self.publisher.output.write_success().await?;
        }
        if is_done {
            let outcome =
                if is_whole && delivered.rejected == 0 { RunOutcome::Complete } else { RunOutcome::Incomplete };
            self.publisher.journal.finish_run(&self.publisher.run, outcome).await?;
        }
        Ok(delivered)
    }

    /// Says again what a run that has ended said of its output, where it is not said there any more.
    pub(super) async fn confirm(&self, planner: &Planner, ledger: &Ledger) -> Result<Delivered, ExportError> {
        let delivered = self.delivered()?;
        let is_whole = is_whole(planner);
        if !self.publisher.output.is_described(is_whole).await? {
            let status = if is_whole { Status::Complete } else { Status::Incomplete };
            self.write(planner, status, counters(planner, ledger, &delivered)).await?;
            if is_whole {
                self.publisher.output.write_success().await?;
            }
        }
        Ok(delivered)
    }

    async fn replace_the_rest(&self, planner: &Planner) -> Result<(), ExportError> {
        for plan in planner.regions() {
            self.publisher.replace(&plan.region, plan.range.end, &planner.gaps_of(&plan.region)).await?;
            self.publisher.journal.release_bodies(&plan.region, EpochSeconds::MAX).await?;
        }
        Ok(())
    }

    async fn write_rejected(&self) -> Result<(), ExportError> {
        for region in &self.order.regions {
            let (journal, run, region) = (self.publisher.journal.clone(), self.publisher.run.clone(), region.clone());
            let staging = self.publisher.output.staging();
            let staged = tokio::task::spawn_blocking(move || {
                let rows = journal.rejected(&run)?;
                let of_region = rows.filter(|row| row.as_ref().map_or(true, |row| row.region == region));
                let lines = of_region.map(|row| {
                    row.map(|row| RejectedLine {
                        page: row.page,
                        index: row.row.index,
                        why: row.row.why,
                        text: row.row.text,
                    })
                });
                staging.stage_rejected((&region, &run), lines).map_err(ExportError::from)
            });
            if let Some(staged) = staged.await.map_err(ExportError::from)?? {
                self.publisher.output.reveal_rejected(&staged).await?;
            }
        }
        Ok(())
    }

    /// What lies in the output by this run.
    pub(super) fn delivered(&self) -> Result<Delivered, ExportError> {
        let rejected = self.publisher.journal.rejected(&self.publisher.run)?;
        let mut sum = Delivered::default();
        for row in rejected {
            row?;
            sum.rejected += 1;
        }
        (sum.outside, sum.other_region) = self.publisher.journal.rows_astray()?;
        // Parts outside the range hold rows that were carried over: this run did not read them.
        let (run, range) = (&self.publisher.run, self.publisher.run_range);
        for part in self.live_parts()?.iter().filter(|part| part.run == *run && range.covers(part.range)) {
            sum.parts += 1;
            sum.rows += part.rows.get();
            sum.bytes += part.bytes.get();
            sum.duplicates += part.duplicates;
            sum.extra_fields.merge(&part.extra_fields);
        }
        Ok(sum)
    }

    fn live_parts(&self) -> Result<Vec<PartRecord>, JournalError> {
        let parts = self.publisher.journal.parts()?.into_iter();
        Ok(parts.filter(|(_, state)| *state == PartState::Published).map(|(part, _)| part).collect())
    }

    async fn write(
        &self,
        planner: &Planner,
        status: Status,
        counters: BTreeMap<String, u64>,
    ) -> Result<(), ExportError> {
        let manifest = Manifest {
            manifest_version: MANIFEST_VERSION,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            schema_version: SCHEMA_VERSION,
            question: self.order.question.clone(),
            fingerprint: self.fingerprint.clone(),
            run: self.publisher.run.clone(),
            range: self.publisher.run_range,
            status,
            parts: self.live_parts()?,
            covered: planner.regions().iter().map(|plan| (plan.region.clone(), planner.covered(plan))).collect(),
            gaps: lacks(&planner.lacking()),
            unproven: lacks(planner.unproven()),
            rejected_rows: RowCount::new(counters.get("rejected_rows").copied().unwrap_or(0)),
            counters,
            written_at: super::clock::wall(),
        };
        Ok(self.publisher.output.write_manifest(&manifest).await?)
    }
}

fn lacks(listed: &[Listed]) -> Vec<Lack> {
    let lack = |Listed { region, range, why, fault }| Lack { region, range, why, fault };
    listed.iter().cloned().map(lack).collect()
}

fn counters(planner: &Planner, ledger: &Ledger, delivered: &Delivered) -> BTreeMap<String, u64> {
    let (counts, learned) = (ledger.counts(), planner.learned());
    let named = [
        ("attempts", counts.attempts),
        ("answered_pages", counts.answered_pages),
        ("pages_with_rows", counts.pages_with_rows),
        ("retries", counts.retries),
        ("throttled", counts.throttled),
        ("answers_of_another_question", counts.astray),
        ("possibly_charged", counts.possibly_charged),
        ("rows_read_more_than_once", delivered.duplicates),
        ("values_kept_in_extra", delivered.extra_fields.total()),
        ("rejected_rows", delivered.rejected),
        ("pages_that_repeated_rows", learned.repeats),
        ("short_pages_that_hid_rows", learned.hiding_short_pages),
        ("window_seams_that_differed", learned.seams),
        ("rows_outside_the_question", delivered.outside),
        ("rows_of_another_region", delivered.other_region),
    ];
    let by_field = delivered.extra_fields.by_name().iter();
    let by_field = by_field.map(|(field, count)| (format!("values_kept_in_extra.{field}"), *count));
    named.into_iter().map(|(name, count)| (name.to_owned(), count)).chain(by_field).collect()
}
