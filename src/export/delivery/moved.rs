//! Videos that came with another `create_time` for a while, and what follows for the output.

use crate::api::contract::SOURCE;
use crate::export::machine::upkeep;
use crate::export::{ExportError, event_json};
use crate::journal::record::{Change, PartRecord};
use crate::plan::planner::Planner;
use crate::sink::verify::{Moved, moved_videos};

use super::Delivery;

/// Rows of a run that are looked through at its end whatever its pages were like: a few parts in a thousand of what they cost.
const MOST_ROWS_COMPARED: u64 = 2_000_000;

impl Delivery<'_> {
    /// Where the service gave rows a wrong `create_time` for a while, they stand in the output twice, each time within other seconds, and what lies
    /// between may have been skipped. The seconds from the one to the other are in doubt, and the next start reads them again. Where no page lay
    /// before rows that had come, only a run of moderate size into a folder is looked through, and fewer videos than a page has rows are the service's own.
    pub(super) async fn list_what_moved(&self, planner: &mut Planner) -> Result<(), ExportError> {
        let went_back = planner.profile().order.went_back > 0;
        let own = self.publisher.own_parts()?.into_iter().filter(|part| !part.carried);
        let own: Vec<PartRecord> = own.collect();
        let rows: u64 = own.iter().map(|part| part.rows.get()).sum();
        if !went_back && (rows > MOST_ROWS_COMPARED || self.publisher.output.stages_beside_the_state()) {
            return Ok(());
        }
        let mut parts = Vec::new();
        for part in own {
            let file = self.publisher.output.local(&part).await?;
            parts.push((part, file));
        }
        let moved = tokio::task::spawn_blocking(move || moved_videos(&parts).map_err(|why| why.to_string())).await;
        // An error would end every start of the run; what is damaged is told by `verify`, and how it comes back.
        let moved = match moved.unwrap_or_else(|why| Err(why.to_string())) {
            Ok(moved) => moved,
            Err(why) => {
                tracing::warn!(
                    why,
                    "the parts of this run could not be compared at its end; `keyapi-export verify` tells which is damaged"
                );
                return Ok(());
            }
        };
        let counts = |moved: &&Moved| went_back || moved.videos >= SOURCE.page_size as usize;
        let listed = planner.list_moved(moved.iter().filter(counts).map(|moved| (&moved.region, moved.range)));
        if !listed.is_empty() {
            let events = listed.iter().map(event_json).collect::<Result<_, _>>()?;
            let upkeep = upkeep(planner, &listed);
            self.publisher.journal.commit_change(Change { events, upkeep, ..Change::default() }).await?;
            listed.iter().for_each(|event| planner.apply_event(event));
        }
        Ok(())
    }
}
