//! What a walk leaves unread, or read and not settled, is listed.

use super::{Unproven, WalkContext, WalkStep, one_second};
use crate::plan::event::{Ending, ScanReason};
use crate::plan::walk::Walk;
use crate::units::{EpochSeconds, TimeRange};

impl Walk {
    /// What the walk leaves before it is settled is listed: seconds whose readings did not agree, and short pages.
    pub(super) fn with_what_stays_open(&self, step: WalkStep, context: &WalkContext<'_>) -> WalkStep {
        let short = |until: EpochSeconds, is_followed: bool| {
            let why = "a page was short here, and the walk had to leave it before it was read in other alignments";
            let open = self.open_short_pages(is_followed).filter(|_| !context.short.is_habit);
            let open = open.map(move |range| TimeRange::new(range.start, range.end.min(until).max(range.start)));
            open.filter(|range| !range.is_empty()).map(|range| (range, why.to_owned()))
        };
        let left_behind = |at: EpochSeconds| {
            let why = "its rows came twice, and its readings did not agree before the walk had to leave it";
            let heals = self.open_heals().filter(move |heal| heal.second() < at);
            heals.map(move |heal| (one_second(heal.second()), why.to_owned()))
        };
        match step {
            WalkStep::Anchor { at, why, mut unproven } => {
                unproven.extend(left_behind(at));
                if why == ScanReason::PastFullSecond {
                    // It goes on to where rows are known to follow.
                    unproven.extend(short(at, false));
                }
                WalkStep::Anchor { at, why, unproven }
            }
            WalkStep::Finish { ending, mut unproven } => {
                unproven.extend(left_behind(self.range.end));
                // Listed no sooner than with the end: until that is confirmed, a full page from the other end may still show it whole.
                let last = self.last_short(context).filter(|_| ending == Ending::EmptyPage);
                let is_last = |range: TimeRange| last.as_ref().is_some_and(|(last, _)| last.covers(range));
                unproven.extend(short(self.range.end, true).filter(|(range, _)| !is_last(*range)));
                unproven.extend(last);
                WalkStep::Finish { ending, unproven }
            }
            other => other,
        }
    }

    /// Gives one second up as unproven and goes on after it.
    pub(in crate::plan) fn past_second(&self, second: EpochSeconds, why: &str) -> WalkStep {
        self.past_second_with(second, vec![(one_second(second), why.to_owned())])
    }

    pub(in crate::plan) fn past_second_with(&self, second: EpochSeconds, unproven: Unproven) -> WalkStep {
        let at = second.shifted(1);
        if at >= self.range.end {
            return WalkStep::Finish { ending: Ending::RowBeyond, unproven };
        }
        WalkStep::Anchor { at, why: ScanReason::PastFullSecond, unproven }
    }

    /// Gives up everything from what is settled to the second that the walk does not get past.
    pub(super) fn past_stuck(&self, second: EpochSeconds) -> WalkStep {
        let why = "the walk began anew many times and did not get past it".to_owned();
        let at = second.shifted(1);
        let unproven = vec![(TimeRange::new(self.read_until().min(second), at), why)];
        if at >= self.range.end {
            return WalkStep::Finish { ending: Ending::RowBeyond, unproven };
        }
        WalkStep::Anchor { at, why: ScanReason::PastFullSecond, unproven }
    }
}
