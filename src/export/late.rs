//! What pages showed of time that was published before they came: questions that confirm an end, or count by a page's number, show rows as any
//! other page does. Each was paid for, so what it alone shows is put into the part of its seconds before the run ends.

use std::collections::BTreeSet;

use crate::api::contract::Region;
use crate::journal::record::PartRecord;
use crate::journal::{Journal, JournalError};
use crate::plan::planner::Planner;
use crate::plan::region::RegionPlan;
use crate::sink::decode::FetchedRows;
use crate::sink::part::PartError;
use crate::sink::reading::{RowId, rows_held, videos_held};
use crate::sink::union::Naming;
use crate::units::{EpochSeconds, TimeRange};

use super::ExportError;
use super::fill::Fill;
use super::publisher::Publisher;

/// Rows that are looked for in the parts; a run whose late pages show more of them has had other troubles.
const MOST_ROWS: usize = 100_000;

impl Publisher {
    /// Puts rows that came late, and that no part holds, where they belong. Done again after a crash, it finds what is left of it.
    pub(super) async fn deliver_late(&self, planner: &Planner) -> Result<(), ExportError> {
        // Rows that name another region than their region's others are of no use.
        for plan in planner.regions().iter().filter(|plan| !plan.has_shown_its_own_and_another()) {
            let read = planner.covered(plan);
            let lacking = self.lacking(plan, &read).await?;
            if lacking.is_empty() {
                continue;
            }
            tracing::info!(
                region = %plan.region,
                rows = lacking.len(),
                "pages that came after their time was published show rows of it that none before them did: they are added"
            );
            let not_read = planner.not_read(&plan.region);
            for range in self.places_of(&plan.region, &read, &lacking)? {
                let (region, not_read, rows_before) = (plan.region.clone(), not_read.clone(), Naming::Any);
                let (slices, unproven) = (vec![range], Vec::new());
                self.fill(Fill { region, range, slices, not_read, unproven, rows_before }).await?;
            }
        }
        Ok(())
    }

    /// Rows on late pages of a region that no part of this run holds, neither there nor in another second.
    async fn lacking(&self, plan: &RegionPlan, read: &[TimeRange]) -> Result<BTreeSet<RowId>, ExportError> {
        let (journal, region, range, of) = (self.journal.clone(), plan.region.clone(), plan.range, read.to_vec());
        let mut lacking = self.stager.run(move || rows_of_late_pages(&journal, &region, range, &of)).await??;
        let parts = self.parts_of(&plan.region)?;
        for part in &parts {
            if !lacking.iter().any(|row| part.range.contains(row.0)) {
                continue;
            }
            let (part, file) = (part.clone(), self.output.local(part).await?);
            let wanted = lacking.clone();
            let held = self.stager.run(move || rows_held((&part, &file), &wanted)).await??;
            lacking.retain(|row| !held.contains(row));
        }
        for part in &parts {
            if lacking.is_empty() {
                break;
            }
            let (part, file) = (part.clone(), self.output.local(part).await?);
            let wanted: BTreeSet<String> = lacking.iter().map(|(_, video)| video.clone()).collect();
            let held = self.stager.run(move || videos_held(&part, &file, &wanted)).await??;
            lacking.retain(|(_, video)| !held.contains(video));
        }
        Ok(lacking)
    }

    /// The parts' seconds that hold these rows; or those between parts, in one folder, that were read and hold nothing else.
    fn places_of(
        &self,
        region: &Region,
        read: &[TimeRange],
        rows: &BTreeSet<RowId>,
    ) -> Result<BTreeSet<TimeRange>, JournalError> {
        let parts: Vec<TimeRange> = self.parts_of(region)?.iter().map(|part| part.range).collect();
        let between = read.iter().flat_map(|range| range.without(&parts));
        let between = between.flat_map(|range| self.layout.partition.cut(range));
        let places: Vec<TimeRange> = parts.iter().copied().chain(between).collect();
        Ok(rows.iter().filter_map(|(second, _)| places.iter().find(|place| place.contains(*second)).copied()).collect())
    }

    fn parts_of(&self, region: &Region) -> Result<Vec<PartRecord>, JournalError> {
        Ok(self.own_parts()?.into_iter().filter(|part| part.region == *region && !part.carried).collect())
    }
}

fn rows_of_late_pages(
    journal: &Journal,
    region: &Region,
    range: TimeRange,
    read: &[TimeRange],
) -> Result<BTreeSet<RowId>, ExportError> {
    let is_read = |second: EpochSeconds| read.iter().any(|range| range.contains(second));
    let mut rows = BTreeSet::new();
    for page in journal.late_pages(region, range)? {
        let page = FetchedRows::read(page?).map_err(PartError::from)?;
        for place in 0..page.len() {
            let row = page.get(place).map_err(PartError::from)?;
            if is_read(row.second) && rows.len() < MOST_ROWS {
                rows.insert((row.second, row.video_id.to_owned()));
            }
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::contract::Filters;
    use crate::export::fill::tests::{Scene, range, us};
    use crate::plan::event::PlanEvent;
    use crate::plan::reads::NotRead;
    use crate::sink::layout::Slice;

    /// Pages that confirm an end, or are asked by their number, came when their time was published. What they alone showed was dropped with them: of
    /// 2,200 rows some that were paid for were in no part, and the run ended with 0.
    #[tokio::test]
    async fn what_a_late_page_alone_shows_is_put_where_it_belongs() {
        let mut scene = Scene::begin().await;
        let slice = |range| Slice { region: us(), range, run: "r1".to_owned() };
        scene.buy(&[10, 12, 14]).await;
        scene.publisher.publish((slice(range(0, 100)), None), NotRead::default()).await.unwrap();
        scene.publisher.pass_over(slice(range(100, 600)), NotRead::default()).await.unwrap();
        let mut planner = Planner::new(&[us()], Filters::default(), range(0, 600));
        planner.apply_event(&PlanEvent::SlicePublished { region: us(), until: range(0, 600).end });
        scene.publisher.deliver_late(&planner).await.unwrap();
        assert_eq!(scene.live(), [(range(0, 100), 3)], "none has come");
        scene.buy(&[10, 11, 14]).await;
        scene.buy(&[250]).await;
        // As whatever is published next does.
        scene.publisher.journal.release_bodies(&us(), range(0, 600).end).await.unwrap();
        for _ in 0..2 {
            scene.publisher.deliver_late(&planner).await.unwrap();
            assert_eq!(scene.seconds_of(range(0, 100)), [10, 11, 12, 14]);
            assert_eq!(scene.seconds_of(range(100, 600)), [250]);
        }
        assert_eq!(scene.publisher.journal.held_pages(), 0, "they are owed to nobody any more");
        // A video whose second has changed stands where it is.
        let row = format!(r#"{{"create_time":{},"video_id":"12"}}"#, range(400, 401).start.get());
        scene.buy_rows(&[400], vec![row]).await;
        scene.publisher.deliver_late(&planner).await.unwrap();
        assert_eq!(scene.live(), [(range(0, 100), 4), (range(100, 600), 1)]);
    }
}
