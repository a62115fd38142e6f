//! The planner's decisions, as they are journalled before any request follows from them.
//!
//! Recovery replays these and never derives them anew, so a field's meaning never changes: a new meaning is a new variant.

use serde::{Deserialize, Serialize};

use super::ends::End;
use super::fact::{RowKey, WindowId};
use super::places::CountedRows;
use super::recheck::ShortPage;
use crate::api::contract::Region;
pub use crate::api::fault::RegionFault;
use crate::units::{EpochSeconds, PageNumber, TimeRange};

mod contradiction;
mod lacks;

pub use contradiction::Contradiction;
pub use lacks::Lacks;

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum PlanEvent {
    /// A region's whole range became its first window.
    WindowOpened {
        /// The new window.
        window: WindowId,
        /// Its region.
        region: Region,
        /// The run's range.
        range: TimeRange,
    },
    /// A window kept `[start, at)`; `[at, end)` became a new one.
    WindowSplit {
        /// The window that was cut.
        window: WindowId,
        /// The first second of the new window.
        at: EpochSeconds,
        /// The new window.
        new: WindowId,
    },
    /// A walk began to read from an anchor, page 1.
    ScanStarted {
        /// The walking window.
        window: WindowId,
        /// Counts the window's scans from 0.
        scan: u32,
        /// The first second that is wanted.
        anchor: EpochSeconds,
        /// `min_create_time` as it is sent.
        asked_min: EpochSeconds,
        /// `max_create_time` as it is sent.
        asked_max: EpochSeconds,
        /// When.
        at: EpochSeconds,
        /// Why here.
        why: ScanReason,
    },
    /// Every second of the window is covered.
    WindowFinished {
        /// The finished window.
        window: WindowId,
        /// What proves it.
        ending: Ending,
        /// Row slots that its pages held.
        rows: u64,
        /// Pages that it took.
        pages: u64,
        /// Rows of its last page that lie beyond its end: they say nothing of its density.
        #[serde(default, skip_serializing_if = "is_none")]
        excess: u64,
        /// Rows beyond its end that its last page showed, where their owner had not begun: at most a page of them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        beyond: Vec<RowKey>,
        /// The rows of its first page, where its left neighbour had not ended.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        opening: Vec<RowKey>,
        /// Its rows among the outermost that walks have shown of its region: at most four pages of them and one row an end,
        /// or 1,000 rows of one second.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        edges: Vec<RowKey>,
    },
    /// A stretch of time that could not be read; the rest of the window was.
    GapListed {
        /// The window, which holds nothing but the gap.
        window: WindowId,
        /// Why, for a person.
        why: String,
    },
    /// A window of a region that the service refuses, or fails on, while it answers others. What of it is not read is a gap.
    WindowGivenUp {
        /// The window, of which nothing is settled.
        window: WindowId,
        /// What is the matter with its region.
        fault: RegionFault,
    },
    /// This output has held rows of a region, so its code means something, also where it has no row any more.
    RegionKnown {
        /// The region.
        region: Region,
    },
    /// A stretch of time whose completeness could not be proven.
    UnprovenListed {
        /// Its region.
        region: Region,
        /// The seconds.
        range: TimeRange,
        /// Why, for a person.
        why: String,
        /// Which later starts of a run that has ended read it again.
        #[serde(default)]
        again: Again,
        /// Where its pages do not prove it: what is missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lacks: Option<Lacks>,
    },
    /// Seconds of a window that is finished, whose pages do not prove them, are read again by a window of their own.
    SecondsReadAgain {
        /// The new window, which has exactly the range.
        window: WindowId,
        /// The number of what is done after the range, where it was one with what is done before it.
        rest: WindowId,
        /// Its region.
        region: Region,
        /// The seconds; nothing of them is published.
        range: TimeRange,
        /// How often they have been read again, this time among them.
        times: u32,
        /// When they may be, so that trouble had time to pass; none for at once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_before: Option<EpochSeconds>,
        /// About how many rows that takes, for the region's budget.
        rows: u64,
        /// What is missing.
        lacks: Lacks,
    },
    /// The service does not honour the sort: unfinished windows are read whole within strict bounds.
    SortIgnored,
    /// A window that is read within its own bounds to the empty page, since no row beyond its end can be had.
    WindowBounded {
        /// The window.
        window: WindowId,
    },
    /// Short pages of a finished window were believed, since short pages had never hidden anything.
    ShortPagesBelieved {
        /// Its region.
        region: Region,
        /// From the first to the last of them.
        range: TimeRange,
        /// The one that showed least; none where rows come in no order, or too many of one second.
        least: Option<ShortPage>,
        /// Some others, from the one that showed least.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        others: Vec<ShortPage>,
    },
    /// Of a region's short pages that were believed, one held more rows when asked again, or could not be had: all are read again or listed.
    ShortPagesRefuted {
        /// The region.
        region: Region,
    },
    /// Seconds of a region are believed because rows of one second keep their order.
    TiesBelieved {
        /// The region.
        region: Region,
        /// The seconds.
        ranges: Vec<TimeRange>,
    },
    /// Rows of one second came in another order than before: nothing is believed of that any more.
    TiesMove,
    /// So many rows of some seconds came, and of the range's others nobody knows.
    RowsCounted {
        /// Their region.
        region: Region,
        /// The range.
        range: TimeRange,
        /// The seconds, in order, and their rows.
        counted: Vec<CountedRows>,
    },
    /// By the numbers of its pages more rows lie in a region than came: those seconds are read again or listed.
    RowsMissed {
        /// The region.
        region: Region,
    },
    /// A page that would tell by its number how many rows lie before it cannot be had.
    PlaceUntold {
        /// Its region.
        region: Region,
        /// The page; none in a journal of an earlier version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        page: Option<PageNumber>,
    },
    /// A short page was found to hide rows: those that were believed are listed as unproven, and none is believed any more.
    ShortPagesHide,
    /// Rows followed what looked like an end: ends are doubted more from now on, also by a process that does not see those pages.
    FalseEndSeen {
        /// The last page that the service serves, where that explains it.
        last_page: Option<u32>,
    },
    /// Every row of a region below `until` is in a published part, so the pages below it may be released.
    SlicePublished {
        /// The region.
        region: Region,
        /// The first second that is not published.
        until: EpochSeconds,
    },
    /// Seconds that were done are read again, by a new window: a gap, or what a lost part held.
    RangeReopened {
        /// The new window, which has exactly the range.
        window: WindowId,
        /// The number of what is done after the range, where it was one with what is done before it.
        rest: WindowId,
        /// Its region.
        region: Region,
        /// The seconds. What was listed about them is not listed any more.
        range: TimeRange,
        /// Why, for a person.
        why: String,
        /// Whether it is because the start before listed them as unproven.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        was_unproven: bool,
    },
    /// The run's range goes on to a later end: a region's new seconds have a window of their own.
    RangeExtended {
        /// The new window.
        window: WindowId,
        /// Its region.
        region: Region,
        /// The new seconds.
        range: TimeRange,
    },
    /// The run is closed, and nothing of the window is read.
    WindowLeft {
        /// The window.
        window: WindowId,
    },
    /// Every row of a reopened range is in a published part.
    RangeFilled {
        /// The region.
        region: Region,
        /// The range, as it was reopened.
        range: TimeRange,
    },
    /// A page that came before its turn, and does not lie within one second with the page before it, was taken in.
    PageTaken {
        /// The walking window.
        window: WindowId,
        /// Its scan.
        scan: u32,
        /// The page.
        page: PageNumber,
        /// Whether others that were asked before their turn wait or are on their way.
        has_more: bool,
    },
    /// A walk takes a page that its region was counted by, in place of buying it again.
    CountTaken {
        /// The walking window.
        window: WindowId,
        /// Its scan.
        scan: u32,
        /// The page.
        page: PageNumber,
    },
    /// The service does not keep to the lower bound: windows are cut no more, since each would read what lies before it.
    MinIsLoose,
    /// A question about the lower bound that is like no other could not be answered: none is asked any more.
    MinimumUntold,
    /// A window takes over the time of those after it, up to `until`: they have brought nothing.
    WindowsJoined {
        /// The window.
        window: WindowId,
        /// Its new end.
        until: EpochSeconds,
    },
    /// What contradicted the service's contract in a former process is asked anew: the window begins again.
    AskedAnew {
        /// The window.
        window: WindowId,
    },
    /// An end of a region is asked for no more: its page cannot be had, or what stays in doubt of it is listed.
    EndSettled {
        /// The region.
        region: Region,
        /// Which end.
        end: End,
    },
    /// A window before others ended with an empty page, which says that nothing follows its last row: a row beyond the window refutes it.
    NothingFollows {
        /// The region.
        region: Region,
        /// From its last row to the window's end.
        range: TimeRange,
    },
    /// A known row was not found by its second, nor long enough after: it is gone, and so may be what lies before it.
    RowGone {
        /// Its region.
        region: Region,
        /// From the last second seen before it through its own.
        range: TimeRange,
    },
    /// The page after a window's last does not come: its walk doubts the end there as it doubts an empty page's.
    PageRefused {
        /// The window.
        window: WindowId,
    },
    /// The service refuses a page of a window as it does beyond an end: its list has no rows from there on, as an empty page would say.
    EndRefused {
        /// The window.
        window: WindowId,
        /// The page's scan.
        scan: u32,
        /// The page.
        page: PageNumber,
        /// When.
        at: EpochSeconds,
    },
    /// A worker could not read a window; it is tried again after the others.
    WindowParked {
        /// The window.
        window: WindowId,
        /// How often it has been parked since its last page.
        times: u32,
    },
}

fn is_none(excess: &u64) -> bool {
    *excess == 0
}

/// Which later starts of a run that has ended read an unproven scan again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Again {
    /// None: it was read to the last page that the service serves, and would be again.
    #[default]
    Never,
    /// The next one. What is found twice, by two starts, is taken for a property of the service and not for its trouble of a while.
    Once,
    /// Each: nothing that it costs brought anything yet.
    Always,
}

/// Why a scan began where it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum ScanReason {
    /// The window's first.
    First,
    /// Enough pages or time had passed, and the price was small.
    Scheduled,
    /// The last page that the service serves was reached.
    Cap,
    /// An empty, repeated or refused page stood where rows may follow.
    Doubt,
    /// A page was short; its surroundings are read in another alignment.
    ShortPage,
    /// Rows came out of order.
    Disorder,
    /// A row came twice, so another may have been skipped in its second.
    Repeat,
    /// The second before fills the service's cap; what lies after it is read.
    PastFullSecond,
    /// The window's way of reading changed, or a bounded reading was not clean, so it begins anew.
    Restart,
    /// Nothing came after the last second, though a row of this second had been seen: is it still there?
    KnownRow,
    /// What contradicts what is known is asked again, long enough after.
    Confirm,
    /// The last page of a window that was read within its own bounds, or the empty page behind it, is asked again, long enough after.
    ConfirmEnd,
    /// A second fills all pages that the service serves: it is read from its last row on, newest first.
    FromEnd,
    /// A window's first page lacks a row that its left neighbour saw: these seconds are read again, by the neighbour beyond its own
    /// end, or by the window itself.
    Seam {
        /// The second after the last that is in question.
        until: EpochSeconds,
    },
}

/// What proves that a window is read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// A row at or beyond the window's end, on an ordered page.
    RowBeyond,
    /// The window's last second fills all pages that the service serves, and was read from both ends until they met.
    BothEnds,
    /// The page after the last row was empty, or refused with nothing known after it.
    EmptyPage,
    /// The region's range is empty, and other answers show that the question was understood.
    NothingThere,
    /// Nothing: what was left of it is listed.
    Listed,
}
