//! Where a region's rows begin and end, and whether that is confirmed by answers apart in time. Pure.
//!
//! Answers fail together: a search index that restarts shows every worker an empty page for a while. So an end that a walk found is
//! believed only once the region's newest and oldest pages, asked again long enough after, show nothing that no walk has seen.

use std::collections::BTreeSet;

use super::fact::{PageFact, Purpose, RowKey};
use crate::units::{EpochSeconds, TimeRange};
pub use side::End;
use side::{Answer, ROWS_KEPT, Side};

mod side;

/// How often an end is asked for before what stays in doubt is listed.
const MOST_ASKED: u32 = 4;
/// Answers apart in time that must lack a row which was seen, before it counts as deleted.
const DELETED_AFTER: u32 = 2;

/// What is to be done about an end before it is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// Nothing: it is confirmed, or what stays in doubt is listed.
    Done,
    /// Its page is asked, but not before this second.
    Ask(EpochSeconds),
    /// These seconds hold rows that no walk has seen: they are read again.
    Unseen(TimeRange),
    /// These seconds stay in doubt and are to be listed: rows that no walk has seen stay, or the end's page comes empty.
    Doubtful(TimeRange),
}

/// What is known of a region's ends.
#[derive(Clone, Debug, Default)]
pub struct Ends {
    first_answer: Option<EpochSeconds>,
    /// When the last page of a walk had arrived.
    last_walked: Option<EpochSeconds>,
    /// The row that a walk ended with, of the last second that it had shown by then.
    last_row: Option<RowKey>,
    oldest: Side,
    newest: Side,
    /// What was believed to be gone with a row that was not found any more.
    gone: Option<TimeRange>,
    /// Where windows before others ended with an empty page.
    nothing_follows: Vec<TimeRange>,
    /// How often such seconds were read again, since rows are known beyond them.
    pub(super) refutations: u32,
}

impl Ends {
    /// Learns from any page of the region. `is_read` tells which seconds the run reads.
    pub fn learn(&mut self, page: &PageFact, is_read: impl Fn(EpochSeconds) -> bool) {
        self.first_answer.get_or_insert(page.fetched_at);
        let inside = |row: &&RowKey| is_read(row.second);
        match page.address.purpose {
            Purpose::Walk { .. } => {
                self.last_walked = self.last_walked.max(Some(page.fetched_at));
                if !page.check.is_astray() {
                    page.rows.iter().filter(inside).for_each(|row| self.see(*row));
                    let last = page.rows.iter().rfind(inside).copied();
                    self.last_row = last.filter(|row| Some(row.second) >= self.newest()).or(self.last_row);
                }
            }
            Purpose::ConfirmOldest | Purpose::ConfirmNewest => {
                let rows = page.rows.iter().filter(inside).copied().collect();
                let end = if page.address.purpose == Purpose::ConfirmOldest { End::Oldest } else { End::Newest };
                let is_contrary = end == End::Newest && page.is_oldest_first();
                let (at, has_slots, outermost) = (page.fetched_at, page.slots > 0, self.side(end).outermost(end));
                self.answered(end, Answer { at, has_slots, rows, is_contrary, outermost });
            }
            _ => {}
        }
    }

    /// How many rows of these seconds walks have shown, and how many the last second of those; none where more may have come than are remembered.
    pub fn rows_of(&self, range: TimeRange) -> Option<(u64, Option<(EpochSeconds, u64)>)> {
        let first = |side: &Side| side.seen.first().is_some_and(|first| first.second < range.start);
        let last = |side: &Side| side.seen.last().is_some_and(|last| last.second >= range.end);
        let sides = [(&self.newest, first(&self.newest)), (&self.oldest, last(&self.oldest))];
        let (side, _) = sides.into_iter().find(|(side, reaches_beyond)| *reaches_beyond || side.forgotten.is_none())?;
        let rows = side.seen.iter().map(|row| row.second).filter(|second| range.contains(*second));
        let last = rows.clone().next_back();
        let last = last.map(|last| (last, rows.clone().filter(|second| *second == last).count() as u64));
        Some((rows.count() as u64, last))
    }

    /// From when on an answer is no witness of the same moment as the region's first.
    pub fn apart_from(&self, confirm_after: i64) -> Option<EpochSeconds> {
        self.first_answer.map(|first| first.shifted(confirm_after))
    }

    /// Behind the first and before the last of these seconds the outermost rows are remembered one by one.
    pub fn remembered(&self) -> impl Iterator<Item = EpochSeconds> {
        let newest = self.newest.seen.first().map(|row| row.second.shifted(1));
        newest.into_iter().chain(self.oldest.seen.last().map(|row| row.second))
    }

    /// The number of the next question about an end.
    pub fn next_question(&self, end: End) -> u32 {
        self.side(end).asked_before + self.side(end).asked + 1
    }

    /// The range goes on to a later end: both are confirmed anew, and what walks have shown stays known. So does where windows ended
    /// before others that are still to be read.
    pub fn extend(&mut self) {
        self.first_answer = None;
        for side in [&mut self.oldest, &mut self.newest] {
            let Side { seen, forgotten, asked, asked_before, .. } = std::mem::take(side);
            *side = Side { seen, forgotten, asked_before: asked_before + asked, ..Side::default() };
        }
    }

    /// A row is believed to be gone, and with it may be what lies before it.
    pub fn row_gone(&mut self, range: TimeRange) {
        self.gone = Some(self.gone.map_or(range, |gone| hull(gone, range)));
        for side in [&mut self.oldest, &mut self.newest] {
            side.seen.retain(|row| row.second.shifted(1) != range.end);
        }
    }

    /// All was read up to the end, and nothing refuted that windows ended before others.
    pub fn is_read(&mut self) {
        self.nothing_follows.clear();
    }

    /// An empty page said that nothing follows the rows before these seconds.
    pub fn nothing_follows(&mut self, range: TimeRange) {
        self.nothing_follows.push(range);
    }

    /// These seconds are read again.
    pub fn reopened(&mut self, range: TimeRange) {
        self.refutations += u32::from(self.nothing_follows.iter().any(|taken| taken.overlaps(range)));
        self.nothing_follows.retain(|taken| !taken.overlaps(range));
        let newest_was_read_again = self.newest.read_again;
        self.read_again();
        // Of an end whose answer says nothing, a walk that reads its last row again is the one witness.
        let says_nothing = self.newest.answer.as_ref().is_some_and(|answer| answer.is_contrary);
        if says_nothing && !self.newest().is_some_and(|last| range.contains(last)) {
            self.newest.read_again = newest_was_read_again;
        }
    }

    /// Seconds that were taken for the end of all rows, where rows are known beyond them, with those right behind them that were taken
    /// for it too. `newest` is the newest second known.
    pub fn refuted(&self, newest: Option<EpochSeconds>) -> Option<TimeRange> {
        let newest = newest.max(self.newest())?;
        let mut refuted = self.nothing_follows.iter().copied().find(|range| newest >= range.end)?;
        while let Some(next) = self.nothing_follows.iter().find(|next| next.start == refuted.end && !next.is_empty()) {
            refuted.end = next.end;
        }
        Some(refuted)
    }

    /// The last second that walks have shown, without rows that are gone.
    pub fn newest(&self) -> Option<EpochSeconds> {
        self.newest.seen.last().map(|row| row.second)
    }

    /// The last second with so many rows from there to the end that they fill pages of this many rows, and none in the `margin` seconds
    /// before it, within the last four pages.
    pub fn fills_pages_from(&self, page: usize, margin: i64) -> Option<EpochSeconds> {
        let Side { seen, forgotten, .. } = &self.newest;
        let seconds: Vec<EpochSeconds> = seen.iter().rev().take(ROWS_KEPT).map(|row| row.second).collect();
        let mut counts = (page..=seconds.len()).step_by(page.max(1));
        counts.find_map(|count| {
            let (first, before) = (*seconds.get(count.checked_sub(1)?)?, seconds.get(count));
            let is_first = before.map_or(forgotten.is_none(), |before| before.shifted(margin) < first);
            is_first.then_some(first)
        })
    }

    /// The rows of the run's range on the page that last answered for the newest end, newest first; empty where there is none.
    pub fn newest_page(&self) -> &[RowKey] {
        self.newest.answer.as_ref().filter(|answer| !answer.is_contrary).map_or(&[], |answer| &answer.rows)
    }

    /// What the answers showed is being read again.
    pub fn read_again(&mut self) {
        self.gone = None;
        for side in [&mut self.oldest, &mut self.newest] {
            side.read_again = side.asked;
        }
    }

    /// Of these seconds, the outermost rows that walks have shown.
    pub fn edges(&self, range: TimeRange) -> Vec<RowKey> {
        let rows: BTreeSet<RowKey> = self.oldest.seen.union(&self.newest.seen).copied().collect();
        rows.into_iter().filter(|row| range.contains(row.second)).collect()
    }

    /// Learns from a window of these seconds that is over: how many row slots its pages held, and what its edges showed.
    pub fn learn_edges(&mut self, range: TimeRange, slots: u64, edges: &[RowKey]) {
        edges.iter().for_each(|row| self.see(*row));
        if slots > edges.len() as u64 {
            self.oldest.forget_but(End::Oldest, range, edges);
            self.newest.forget_but(End::Newest, range, edges);
        }
    }

    fn see(&mut self, row: RowKey) {
        self.oldest.see(End::Oldest, row);
        self.newest.see(End::Newest, row);
    }

    /// An end is not asked for any more.
    pub fn settle(&mut self, end: End) {
        self.side_mut(end).is_settled = true;
        if end == End::Newest {
            self.nothing_follows.clear();
        }
    }

    /// Whether as many answers in a row lacked the outermost row which walks have shown as make it a deleted one.
    pub(super) fn lacks_its_outermost(&self, end: End) -> bool {
        self.side(end).poor >= DELETED_AFTER
    }

    /// What is to be done about an end. `newest_page` is the newest row of the page that was asked at first: where a walk ended with
    /// it, that page is a witness from the region's beginning.
    pub fn confirmation(
        &self,
        end: End,
        confirm_after: i64,
        range: TimeRange,
        newest_page: Option<RowKey>,
    ) -> Confirmation {
        let side = self.side(end);
        if side.is_settled {
            return Confirmation::Done;
        }
        let last = side.outermost(end);
        let is_witnessed = match end {
            End::Oldest => true,
            End::Newest => newest_page.map(|row| row.second) == last && !self.may_end_elsewhere(),
        };
        let base = if is_witnessed && !side.was_contradicted { self.first_answer } else { self.last_walked };
        let due = base.unwrap_or(range.start).shifted(confirm_after);
        let Some(answer) = &side.answer else { return Confirmation::Ask(due) };
        let Answer { at, has_slots, rows, .. } = answer;
        let is_spent = side.asked >= MOST_ASKED;
        let doubtful = side.beyond(end, last, range);
        if answer.is_contrary {
            // What a walk finds there once more is the witness, unless it went on.
            let goes_on = last != answer.outermost;
            return match side.read_again == side.asked {
                false => Confirmation::Unseen(doubtful),
                true if !goes_on => Confirmation::Done,
                true if is_spent => Confirmation::Doubtful(doubtful),
                true => Confirmation::Ask(self.last_walked.unwrap_or(*at).shifted(confirm_after)),
            };
        }
        // Nobody knows whether others were not seen between those and the next that was.
        let unseen =
            side.unseen(end, rows).map(|unseen| hull(doubtful, side.beyond(end, side.inside(end, unseen), range)));
        let is_back = |gone: &TimeRange| end == End::Newest && rows.iter().any(|row| row.second.shifted(1) >= gone.end);
        if let Some(wide) = unseen.or(self.gone.filter(is_back)) {
            // Others saw rows in it that no walk has read up to.
            let taken = self.nothing_follows.iter().filter(|taken| end == End::Newest && taken.overlaps(wide));
            let wide = taken.fold(wide, |wide, taken| hull(wide, *taken));
            return match side.read_again == side.asked {
                false => Confirmation::Unseen(wide),
                true if is_spent => Confirmation::Doubtful(wide),
                true => Confirmation::Ask(at.shifted(confirm_after)),
            };
        }
        if side.poor > 0 {
            let is_deleted = *has_slots && side.poor >= DELETED_AFTER;
            return match is_spent {
                _ if is_deleted => Confirmation::Done,
                true => Confirmation::Doubtful(doubtful),
                false => Confirmation::Ask(at.shifted(confirm_after)),
            };
        }
        if *at < due && !is_spent { Confirmation::Ask(due) } else { Confirmation::Done }
    }

    /// Whether the last second fills a page, and the newest one did not begin with the row that the walk ended with: then it says nothing of
    /// where the rows of that second end.
    fn may_end_elsewhere(&self) -> bool {
        let answer = self.newest.answer.as_ref().filter(|_| self.newest.fills_a_page(End::Newest));
        answer.is_some_and(|answer| answer.rows.first() != self.last_row.as_ref())
    }

    /// What is in doubt where an end is: from the outermost row that is known.
    pub fn doubtful(&self, end: End, range: TimeRange) -> TimeRange {
        let side = self.side(end);
        side.beyond(end, side.outermost(end), range)
    }

    fn answered(&mut self, end: End, answer: Answer) {
        let side = self.side_mut(end);
        side.asked += 1;
        let outermost = answer.outermost;
        let unseen = side.unseen(end, &answer.rows).is_some();
        side.was_contradicted |= unseen;
        let shows_it = outermost.is_none() || answer.rows.iter().any(|row| Some(row.second) == outermost);
        side.poor = if unseen || shows_it { 0 } else { side.poor + 1 };
        side.answer = Some(answer);
    }

    fn side(&self, end: End) -> &Side {
        match end {
            End::Oldest => &self.oldest,
            End::Newest => &self.newest,
        }
    }

    fn side_mut(&mut self, end: End) -> &mut Side {
        match end {
            End::Oldest => &mut self.oldest,
            End::Newest => &mut self.newest,
        }
    }
}

fn hull(one: TimeRange, other: TimeRange) -> TimeRange {
    TimeRange::new(one.start.min(other.start), one.end.max(other.end))
}

#[cfg(test)]
mod tests;
