//! A walk that begins to read again, from the second that `step` decided on: what it keeps of the scan before. Pure.

use std::collections::BTreeSet;

use super::ahead::Ahead;
use super::bounded::Bounded;
use super::{Doubts, Scan, Walk};
use crate::plan::event::ScanReason;
use crate::plan::fact::RowKey;
use crate::plan::heal::Heal;
use crate::plan::page::Finding;
use crate::plan::short::ShortDoubt;
use crate::units::EpochSeconds;

/// Beginning a scan.
impl Walk {
    /// Begins another scan, as it was decided.
    pub fn restart(&mut self, scan: Scan, bounded: Option<Bounded>) {
        if scan.why == ScanReason::Restart && scan.asked_max > self.scan.asked_max {
            // It is another question, of which nothing is in doubt yet.
            self.doubts = Doubts::default();
        }
        self.remember_doubts(&scan);
        let watermark = self.watermark();
        let is_aside = scan.why == ScanReason::KnownRow;
        let mode = self.mode_of(&scan, bounded);
        if matches!(scan.why, ScanReason::Seam { .. }) && !mode.is_apart() {
            self.doubts.went_back += 1;
        }
        if scan.why == ScanReason::Doubt {
            let (at, times) = self.doubts.doubts_at.unwrap_or((scan.anchor, 0));
            self.doubts.doubts_at = Some((scan.anchor, if at == scan.anchor { times + 1 } else { 1 }));
        }
        self.doubts.scans_here += 1;
        self.anchor.lost = None;
        let last_was_good = !matches!(self.last.finding, Finding::Empty | Finding::SamePage);
        self.doubts.good_pages_before = self.so_far.pages - u32::from(!last_was_good && self.so_far.pages > 0);
        self.dense.ahead = Ahead::default();
        (self.so_far.is_clean, self.anchor.opens_torn, self.anchor.torn_was_listed) = (true, false, false);
        let finding = std::mem::replace(&mut self.last.finding, Finding::Nothing);
        if finding == Finding::Empty && scan.asked_max <= self.scan.asked_max {
            let end = self.last.previous.last().map(|row| (row.video, self.so_far.pages));
            self.doubts.ended_at.retain(|(video, pages)| end.is_some_and(|end| end.0 == *video && end.1 != *pages));
            self.doubts.ended_at.extend(end);
        }
        self.so_far.pages = 0;
        self.promote_held(scan.anchor);
        let at_anchor = |row: &&RowKey| row.second == scan.anchor;
        self.anchor.order = self.last.previous.iter().filter(at_anchor).map(|row| row.video).collect();
        self.last.previous.clear();
        (self.last.previous_slots, self.last.print) = (0, 0);
        self.last.early = Some(Vec::new());
        self.last.held.clear();
        self.reach.scan_at_frontier.clear();
        self.so_far.brought_new = false;
        self.last.overlaps = 0;
        self.mode = mode;
        if !self.mode.is_apart() && !is_aside {
            self.move_to(&scan, finding);
        }
        self.reach.watermark_before = watermark.min(self.reach.watermark);
        self.scan = scan;
    }

    /// From where rows that came twice are read again: from before the anchor while its known rows have not come.
    pub(super) fn again_from(&self, second: EpochSeconds) -> EpochSeconds {
        if self.anchor.awaited.is_empty() {
            return second.max(self.scan.anchor);
        }
        self.reach.before_frontier.unwrap_or(self.range.start).max(self.read_until())
    }

    /// A scan that goes on from a row that leapt ahead takes it for the last second seen.
    fn promote_held(&mut self, anchor: EpochSeconds) {
        if self.last.held.last().is_some_and(|row| row.second == anchor) && Some(anchor) > self.reach.frontier {
            let sure = self.reach.frontier;
            for row in std::mem::take(&mut self.last.held) {
                self.take_row(row);
            }
            // Where the anchor's row does not come, none of those that leapt ahead shows how far the walk was.
            self.reach.before_frontier = sure;
        }
    }

    fn remember_doubts(&mut self, scan: &Scan) {
        match scan.why {
            ScanReason::Doubt if self.scan.why == ScanReason::Doubt && !self.so_far.brought_new => {
                self.doubts.fruitless += 1;
            }
            ScanReason::FromEnd if self.scan.why == ScanReason::Doubt && !self.so_far.brought_new => {
                self.doubts.fruitless += 1;
            }
            ScanReason::Doubt if self.scan.why == ScanReason::FromEnd => {}
            ScanReason::Doubt | ScanReason::FromEnd => self.doubts.fruitless = 0,
            ScanReason::Scheduled => self.doubts.end_was_checked |= self.last.finding == Finding::Empty,
            ScanReason::Confirm => {
                (self.doubts.fruitless, self.doubts.doubts_at, self.doubts.is_confirming) = (0, None, true)
            }
            ScanReason::PastFullSecond => self.doubts.has_jumped = true,
            _ => {}
        }
    }

    fn move_to(&mut self, scan: &Scan, finding: Finding) {
        let goes_on = self.reach.frontier == Some(scan.anchor);
        self.anchor.is_known = self.has_seen(scan.anchor);
        self.count_again_from(scan.anchor);
        self.short_pages.follow_here = false;
        (self.so_far.goes_on, self.reach.reached_before) = (goes_on, self.reach.furthest);
        let continues = matches!(scan.why, ScanReason::Scheduled | ScanReason::Cap) && goes_on;
        match scan.why {
            ScanReason::PastFullSecond => self.reach.watermark = scan.anchor,
            ScanReason::ShortPage => {}
            _ => self.reach.watermark = self.reach.watermark.min(scan.anchor.max(self.range.start)),
        }
        self.anchor.awaited = if continues || (goes_on && scan.why == ScanReason::Doubt) {
            self.reach.at_frontier.clone()
        } else {
            BTreeSet::new()
        };
        self.anchor.sure_until = self.reach.watermark;
        self.begin_healing(scan, finding);
        if let Some(doubt) = &mut self.short_pages.doubted {
            match scan.why {
                ScanReason::ShortPage => doubt.begin_look(scan.anchor),
                _ if continues => {}
                _ => doubt.interrupt(),
            }
        }
        let reads_it_anew = |doubt: &mut ShortDoubt| !doubt.is_looking() && !continues && scan.anchor <= doubt.from();
        if matches!(scan.why, ScanReason::PastFullSecond | ScanReason::Restart) {
            (self.short_pages.doubted, self.short_pages.next) = (None, None);
        }
        // What a scan from a later second does not read stays in doubt.
        self.short_pages.next.take_if(reads_it_anew);
        self.short_pages.doubted.take_if(|doubt| scan.why != ScanReason::ShortPage && reads_it_anew(doubt));
        if !goes_on {
            self.reach.frontier = None;
            self.reach.before_frontier = None;
            self.reach.at_frontier.clear();
        }
    }

    /// A second that is being healed is read again from its beginning; one that the walk leaves is listed by then.
    fn begin_healing(&mut self, scan: &Scan, finding: Finding) {
        self.heals.retain(|heal| heal.second() >= scan.anchor);
        self.heals.iter_mut().for_each(Heal::begin_reading);
        let mut known = std::mem::take(&mut self.last.repeated);
        if let (Finding::Repeated(second), ScanReason::Repeat) = (finding, scan.why)
            && self.heals.iter().all(|heal| heal.second() != second)
        {
            if self.reach.frontier == Some(second) {
                known.extend(&self.reach.at_frontier);
            }
            self.heals.push(Heal::new(second, known, std::mem::take(&mut self.anchor.order)));
        }
    }
}

#[cfg(test)]
mod tests;
