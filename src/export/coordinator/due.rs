//! What is to be published next: slices from the left of each region, or a range that was read again.

use super::{DRAIN, Loop};
use crate::export::fill::Fill;
use crate::export::publisher::Urgency;
use crate::export::{Ending, ExportError};
use crate::plan::region::RegionPlan;
use crate::sink::layout::Slice;
use crate::units::{EpochSeconds, TimeRange};

/// How often a full part is looked for while pages come, in pages.
const LOOK_EVERY_PAGES: u64 = 512;

impl Loop<'_> {
    /// Begins to publish the next slice that is due, where none is being published.
    pub(super) fn begin_publishing(&mut self) -> Result<(), ExportError> {
        if self.publishing.is_some() {
            return Ok(());
        }
        let Some(urgency) = self.urgency() else { return Ok(()) };
        for plan in self.planner.regions() {
            if self.planner.reopened().iter().any(|open| open.region == plan.region) {
                // Slices wait: they would release pages that a reopened range still needs.
                if let Some(fill) = self.due_fill(plan)? {
                    let publisher = self.parts.publisher.clone();
                    self.publishing = Some(Box::pin(async move { publisher.fill(fill).await }));
                    return Ok(());
                }
            } else if let Some(due) = self.due_slice(plan, urgency)? {
                let named = |range| Slice { region: plan.region.clone(), range, run: self.parts.publisher.run.clone() };
                let gone = self.planner.gaps_of(&plan.region);
                let publisher = self.parts.publisher.clone();
                self.publishing = Some(match due {
                    Due::Rows(range) => {
                        let slice = named(range);
                        Box::pin(async move { publisher.publish(slice, gone).await })
                    }
                    Due::Nothing(range) => {
                        let empty = named(range);
                        Box::pin(async move { publisher.pass_over(empty, gone).await })
                    }
                });
                return Ok(());
            }
        }
        Ok(())
    }

    fn due_slice(&self, plan: &RegionPlan, urgency: Urgency) -> Result<Option<Due>, ExportError> {
        let from = plan.published_until;
        let settled = if plan.is_done() { plan.range.end } else { self.planner.settled(&plan.region) };
        // A part holds a gap whole or not at all, so that its range says nothing that is not so.
        let edge = next_edge(&self.planner.gaps_of(&plan.region), from, settled);
        let is_flushed = plan.is_done() || edge.is_some();
        let urgency = if is_flushed { Urgency::Flush } else { urgency };
        let until = edge.unwrap_or(settled);
        let journal = &self.parts.publisher.journal;
        let looks = until >= self.parts.cutting.layout.partition.partition_end(from)
            || urgency == Urgency::Flush
            || journal.held_pages() >= self.parts.cutting.pressing_pages
            || self.pages.is_multiple_of(LOOK_EVERY_PAGES);
        if !looks || until <= from {
            return Ok(None);
        }
        if let Some(empty) = self.empty_stretch(plan, TimeRange::new(from, until))? {
            return Ok(Some(Due::Nothing(empty)));
        }
        let rows_in = |range| journal.count_rows(&plan.region, range);
        Ok(self.parts.cutting.next((from, until), journal.held_pages(), urgency, rows_in)?.map(Due::Rows))
    }

    /// The folders' worth of time at the beginning of a settled range in which nothing was found, where it reaches into another
    /// folder: fifty years of nothing are one step, and not eighteen thousand.
    fn empty_stretch(&self, plan: &RegionPlan, settled: TimeRange) -> Result<Option<TimeRange>, ExportError> {
        let partition = self.parts.cutting.layout.partition;
        if partition.partition_end(settled.start) >= settled.end {
            return Ok(None);
        }
        let found = self.parts.publisher.journal.first_held(&plan.region, settled)?;
        let empty = TimeRange::new(settled.start, partition.partition_start(found.unwrap_or(settled.end)));
        Ok(Some(empty).filter(|empty| !empty.is_empty()))
    }

    /// The first reopened range of a region, once it is read, cut into parts.
    fn due_fill(&self, plan: &RegionPlan) -> Result<Option<Fill>, ExportError> {
        let Some(range) = self.planner.next_fill(&plan.region) else { return Ok(None) };
        let journal = &self.parts.publisher.journal;
        let mut gaps = self.planner.gaps_of(&plan.region);
        gaps.retain(|gap| gap.overlaps(range));
        let rows_in = |range| journal.count_rows(&plan.region, range);
        let mut slices = Vec::new();
        let mut from = range.start;
        while from < range.end {
            let until = next_edge(&gaps, from, range.end).unwrap_or(range.end);
            if let Some(empty) = self.empty_stretch(plan, TimeRange::new(from, until))? {
                from = empty.end;
                continue;
            }
            let next = self.parts.cutting.next((from, until), journal.held_pages(), Urgency::Flush, rows_in)?;
            let slice = next.unwrap_or(TimeRange::new(from, until));
            slices.push(slice);
            from = slice.end;
        }
        Ok(Some(Fill { region: plan.region.clone(), range, slices, gaps }))
    }

    /// Whether the time budget is over by more than what a stop may take: what is settled then waits for the next start.
    fn is_overdue(&self) -> bool {
        self.parts.order.budget.time.is_some_and(|budget| self.began.elapsed() > budget.saturating_add(DRAIN))
    }

    /// How urgent publishing is; none where the run must end soon and everything is safe in the journal.
    fn urgency(&self) -> Option<Urgency> {
        match &self.ending {
            _ if self.hurried => None,
            None => Some(Urgency::Calm),
            Some(Ending::Contradicted(_)) => None,
            Some(Ending::TimeSpent) if self.is_overdue() => None,
            Some(_) => Some(Urgency::Flush),
        }
    }
}

/// What is to be published next.
enum Due {
    /// A slice with rows, which becomes a part.
    Rows(TimeRange),
    /// Time in which nothing was found.
    Nothing(TimeRange),
}

/// The first beginning or end of a gap after `from`, up to and with `until`.
fn next_edge(gaps: &[TimeRange], from: EpochSeconds, until: EpochSeconds) -> Option<EpochSeconds> {
    let edges = gaps.iter().flat_map(|gap| [gap.start, gap.end]);
    edges.filter(|edge| *edge > from && *edge <= until).min()
}
