//! The rows that no column could take: how many there are, which came in their own place since, and where they are written.

use std::collections::{BTreeMap, BTreeSet};

use super::Delivery;
use crate::api::contract::Region;
use crate::api::row::identity;
use crate::export::ExportError;
use crate::journal::{JournalError, MORE_PAGES, ShownSince};
use crate::plan::planner::Planner;
use crate::sink::reading::{RowId, rows_held};
use crate::sink::rejected::{RejectedLine, rejected_path};
use crate::units::TimeRange;

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
    pub(super) async fn forget_what_is_delivered(&self, planner: &Planner) -> Result<(), ExportError> {
        self.forget_what_came_again(planner).await?;
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

    /// Where rows of a page could not be placed, and its seconds were read again since, whatever was on it came then: what cannot be told
    /// from others is not looked for.
    async fn forget_what_came_again(&self, planner: &Planner) -> Result<(), ExportError> {
        let journal = &self.publisher.journal;
        let is_listed = |page: &ShownSince| {
            let listed = planner.unproven().iter().chain(planner.gaps());
            let near = TimeRange::new(page.position, page.position.shifted(2));
            listed.filter(|listed| listed.region == page.region).any(|listed| listed.range.overlaps(near))
        };
        let shown = journal.shown_since()?;
        let pages: BTreeSet<String> =
            shown.pages.iter().filter(|page| !is_listed(page)).map(|page| page.page.clone()).collect();
        if pages.is_empty() {
            return Ok(());
        }
        let mut numbers = Vec::new();
        for row in journal.rejected(&self.publisher.run)?.take(MOST_COMPARED) {
            let row = row?;
            // Of a row that came on more pages than are named, all with a row outside what was asked are looked at.
            let is_shown = |page: &String| match page == MORE_PAGES {
                true => identity(&row.row.text).is_ok() && !shown.open.contains(&row.region),
                false => pages.contains(page),
            };
            // What came on another page as well is how the service gives it.
            let is_forgotten = is_shown(&row.page) && row.other_pages.iter().all(is_shown);
            numbers.extend(is_forgotten.then_some(row.number));
        }
        Ok(journal.forget_rejected(numbers).await?)
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
