//! The rows that no column could take: how many there are, which came in their own place since, and where they are written.

use std::collections::{BTreeMap, BTreeSet};

use super::Delivery;
use crate::api::contract::Region;
use crate::api::row::identity;
use crate::export::ExportError;
use crate::journal::JournalError;
use crate::sink::reading::{RowId, rows_held};
use crate::sink::rejected::{RejectedLine, rejected_path};

/// Rejected rows that are looked for among the delivered ones: a service that rejects more has other troubles.
const MOST_COMPARED: usize = 10_000;

impl Delivery<'_> {
    pub(super) fn rejected(&self) -> Result<BTreeMap<Region, u64>, JournalError> {
        let mut rejected = BTreeMap::new();
        for row in self.publisher.journal.rejected(&self.publisher.run)? {
            *rejected.entry(row?.region).or_default() += 1;
        }
        Ok(rejected)
    }

    /// Rows that came where they do not belong, as with the answer to another question, are rejected no more once they came in their
    /// own place and are delivered.
    pub(super) async fn forget_what_is_delivered(&self) -> Result<(), ExportError> {
        let mut rejected: BTreeMap<(Region, RowId), Vec<i64>> = BTreeMap::new();
        for row in self.publisher.journal.rejected(&self.publisher.run)?.take(MOST_COMPARED) {
            let row = row?;
            if let Ok(found) = identity(&row.row.text) {
                rejected.entry((row.region, (found.second, found.video_id))).or_default().push(row.number);
            }
        }
        let mut delivered = Vec::new();
        for part in self.publisher.own_parts()? {
            let here = rejected.keys().filter(|(region, id)| *region == part.region && part.range.contains(id.0));
            let wanted: BTreeSet<RowId> = here.map(|(_, id)| id.clone()).collect();
            if wanted.is_empty() {
                continue;
            }
            let (file, region) = (self.publisher.output.local(&part).await?, part.region.clone());
            let found = tokio::task::spawn_blocking(move || rows_held((&part, &file), &wanted));
            let found = found.await.map_err(ExportError::from)??.into_iter();
            delivered.extend(found.filter_map(|id| rejected.get(&(region.clone(), id))).flatten().copied());
        }
        if delivered.is_empty() {
            return Ok(());
        }
        Ok(self.publisher.journal.forget_rejected(delivered).await?)
    }

    pub(super) async fn write_rejected(&self) -> Result<(), ExportError> {
        for region in &self.request.regions {
            let of = region.clone();
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
            match staged.await.map_err(ExportError::from)?? {
                Some(staged) => self.publisher.output.reveal_rejected(&staged).await?,
                None => self.publisher.output.remove_rejected(&rejected_path(&of, &self.publisher.run)).await?,
            }
        }
        Ok(())
    }
}
