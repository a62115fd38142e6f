//! What a page teaches about the service itself.

use std::cmp::Reverse;

use crate::api::contract::TimeOrder;
use crate::plan::fact::PageFact;
use crate::plan::page::{Finding, ROWS_AT_MAX, View, ascents};
use crate::plan::short::LookVerdict;
use crate::plan::walk::{LastPage, Lesson, Scan};
use crate::units::EpochSeconds;

pub(super) fn lesson_of(verdict: LookVerdict) -> Lesson {
    match verdict {
        LookVerdict::HidNothing => Lesson::ShortPageHidNothing,
        LookVerdict::HidRows => Lesson::ShortPageHidRows,
    }
}

/// Rows at exactly an asked bound, on a page in order, prove that the bound is inclusive.
pub(super) fn bound_lessons(page: &PageFact, scan: &Scan) -> Vec<Lesson> {
    let is_ordered = match scan.order() {
        TimeOrder::OldestFirst => page.rows.is_sorted_by_key(|row| row.second),
        TimeOrder::NewestFirst => page.rows.is_sorted_by_key(|row| Reverse(row.second)),
        // No walk asks so.
        TimeOrder::MostViewedFirst => false,
    };
    if !is_ordered {
        return Vec::new();
    }
    let at = |second: EpochSeconds| page.rows.iter().filter(move |row| row.second == second).map(|row| row.video);
    let at_max = (at(scan.asked_max).count() >= ROWS_AT_MAX).then_some(Lesson::AtMax);
    at(scan.asked_min).map(Lesson::AtMin).chain(at_max).collect()
}

impl LastPage {
    /// Takes what tells a page's rows from others, and says whether the page of rows before it held the same.
    pub(super) fn is_again(&mut self, page: &PageFact) -> bool {
        page.slots > 0 && std::mem::replace(&mut self.print, page.check.print) == page.check.print && self.print != 0
    }
}

/// Whether a page is another than the one before it, which was not the same rows. Of pages without a row that can be placed and that tells
/// itself apart, only how many they hold tells that.
pub(super) fn is_another(page: &PageFact, before: &LastPage) -> bool {
    page.rows != before.previous || page.slots != before.previous_slots
}

pub(super) fn lessons_of(page: &PageFact, view: &View) -> Vec<Lesson> {
    let mut lessons = Vec::new();
    match view.finding {
        Finding::Repeated(_) => lessons.push(Lesson::Repeat(page.fetched_at)),
        Finding::Disordered => lessons.push(Lesson::Disorder),
        Finding::Rows if view.strays.is_empty() => {
            lessons.push(Lesson::Ascents(ascents(&view.rows)));
        }
        _ => {}
    }
    if !view.strays.is_empty() {
        lessons.push(Lesson::Strays(u32::try_from(view.strays.len()).unwrap_or(u32::MAX)));
    }
    lessons
}
