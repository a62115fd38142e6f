//! Full pages of which not each row can be placed, or was asked for.

use super::Before;
use crate::api::contract::SOURCE;
use crate::plan::fact::{PageFact, RowKey};
use crate::plan::short::Follows;
use crate::plan::walk::Walk;

impl Walk {
    /// A row that cannot be placed, or was not asked for, stands in a place of its page that another row may have for a while, as where an
    /// advertisement is put before the others. So such a page is believed like a short one, and asked again apart in time.
    pub(super) fn watch_unplaced(
        &mut self,
        (page, rows): (&PageFact, &[RowKey]),
        came: &[RowKey],
        (before, follows): (Before, Follows),
    ) {
        if let Some(mut doubt) = self.short_pages.unplaced.take() {
            doubt.followed_by(came, follows);
            self.believe(&doubt);
        }
        if page.slots >= SOURCE.page_size && !page.is_placed() {
            self.short_pages.unplaced = self.doubt_about(page, rows, before);
        }
    }
}
