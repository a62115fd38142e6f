//! One window's walk: what its durable pages have shown. A pure state machine; `step` decides its next move.
//!
//! A walk asks ascending pages from an anchor to the end of the run, so that moving its window's end moves no page.
//! [`Walk::apply`] depends on nothing but the pages and decisions before it, so a replay gives the same walk.
//! The invariant: a walk finishes on positive evidence only, and what it doubts it reads again from an earlier anchor.

use std::collections::BTreeSet;

use super::fact::{RowKey, VideoKey};
use super::heal::Heal;
use super::page::{Finding, PROVEN_AFTER};
use super::recheck::{Believed, ShortPage, apart};
use super::short::ShortDoubt;
use crate::api::contract::SOURCE;
use crate::units::{EpochSeconds, TimeRange};
use ahead::Ahead;
use mode::Mode;

mod ahead;
mod bounded;
mod ending;
mod fold;
mod from_end;
mod lesson;
mod mode;
mod position;
mod restart;
mod seam;
mod seen;
mod scan;
pub mod step;
mod torn;

pub(super) use ahead::PAGES_FOR_ONE_AHEAD;
pub(super) use bounded::Bounded;
pub use lesson::{Lesson, Shown};
pub use scan::Scan;
use seen::SeenRows;
pub use step::{Consistency, WalkContext, WalkStep};

/// Doubts in a row that may begin at one second, also where each brings something new.
const MOST_DOUBTS: u32 = 8;
/// Scans that may begin before the walk gets further than it was.
const MOST_STRETCHES: u32 = 40;
/// Pages of known rows in a row, beside twice those that the rows fill, after which they are taken for endless.
const MOST_STALE_PAGES: u32 = 30;

/// A window's walk, once it has begun.
#[derive(Clone, Debug)]
pub struct Walk {
    range: TimeRange,
    scan: Scan,
    /// How it reads.
    mode: Mode,
    /// This scan so far.
    so_far: SoFar,
    /// What it has tried where it doubts what it sees.
    doubts: Doubts,
    /// The last page of this scan, as read.
    last: LastPage,
    /// The known rows that this scan goes on from.
    anchor: AnchorRows,
    /// Its pages with free places.
    short_pages: ShortPages,
    /// How far it has come.
    reach: Reach,
    /// The last seconds that were listed as unproven: nothing more is expected of them.
    listed: TimeRange,
    /// Seconds whose rows came twice, while their readings do not agree.
    heals: Vec<Heal>,
    /// Whether any page held rows of which none can be placed.
    has_unplaced: bool,
    /// A second that fills many pages.
    dense: Dense,
    /// What all its scans brought.
    totals: Totals,
}

/// A scan so far.
#[derive(Clone, Debug)]
struct SoFar {
    /// Its durable pages.
    pages: u32,
    /// Whether it has shown a row that no scan before it did.
    brought_new: bool,
    /// Whether it began at the last second seen.
    goes_on: bool,
    /// Whether its first page lay before what was asked.
    opened_early: bool,
    /// Whether every page of it with rows was full of rows in order.
    is_clean: bool,
}

/// The last page of a scan, as read.
#[derive(Clone, Debug)]
struct LastPage {
    /// When it came.
    at: EpochSeconds,
    /// What it is.
    finding: Finding,
    /// Its rows.
    previous: Vec<RowKey>,
    /// Row slots of the last page of this scan that held any.
    previous_slots: u32,
    /// What tells all of its rows from others; 0 where nothing does.
    print: u64,
    /// Rows at the last page's end that leap ahead.
    held: Vec<RowKey>,
    /// Pages in a row that were their predecessor without the first row.
    overlaps: u32,
    /// The rows of the last page, where all pages of the scan lay before what was asked; none where one did not.
    early: Option<Vec<RowKey>>,
    /// The first row of a page that nothing joins to what came before, and its number.
    unjoined: Option<(Option<VideoKey>, u32)>,
    /// Pages in a row of which no row can be placed.
    unusable: u32,
    /// Its rows of the second of which one came twice: they are rows of it all the same.
    repeated: BTreeSet<VideoKey>,
}

/// How far a walk has come.
#[derive(Clone, Debug)]
struct Reach {
    /// The last second seen in order, with every id that any scan saw in it, and the last second before it.
    frontier: Option<EpochSeconds>,
    at_frontier: BTreeSet<VideoKey>,
    before_frontier: Option<EpochSeconds>,
    /// This scan's ids at the frontier: a second one of the same is a repeat.
    scan_at_frontier: BTreeSet<VideoKey>,
    /// The low watermark of what was read: the first second of the last ordered page, below which nothing more is expected.
    watermark: EpochSeconds,
    /// The low watermark when the scan began, which stays so, also where it reads the time before again.
    watermark_before: EpochSeconds,
    /// How often seconds went up since rows last came out of order.
    ascents: u32,
    /// The furthest second seen before this scan.
    reached_before: Option<EpochSeconds>,
    /// The furthest second that any scan reached.
    furthest: Option<EpochSeconds>,
    /// The last second before the last page, and the first of it; none where it is its scan's first.
    junction: Option<(EpochSeconds, EpochSeconds)>,
}

/// The known rows that a scan goes on from.
#[derive(Clone, Debug)]
struct AnchorRows {
    /// The ids of the anchor's second as the last page before this scan showed them.
    order: Vec<VideoKey>,
    /// Rows whose dates are wrong: they were the last seen, and did not come when their second was asked.
    misdated: BTreeSet<VideoKey>,
    /// The known rows of the second that a scan goes on from, until one of them comes again.
    awaited: BTreeSet<VideoKey>,
    /// Whether rows of the anchor's second have come.
    is_known: bool,
    /// Up to where all was read when the scan began; until one of them comes, no more is known.
    sure_until: EpochSeconds,
    /// Where to go on if the scan lacks the rows of its anchor.
    lost: Option<EpochSeconds>,
    /// Whether the scan's first page was full of its anchor's second.
    opens_torn: bool,
    /// Whether that second was listed for it, so that what follows it will be asked anew and is not settled.
    torn_was_listed: bool,
}

/// What a walk has tried where it doubts what it sees.
#[derive(Clone, Debug, Default)]
struct Doubts {
    /// Pages with rows of the scan before this one.
    good_pages_before: u32,
    /// The row that the scans before ended with at an empty page, and these pages; the last scans that ended alike.
    ended_at: Vec<(VideoKey, u32)>,
    /// Doubts in a row that brought nothing, this scan's not counted.
    fruitless: u32,
    /// The second that the last doubt began at, and how many began there in a row.
    doubts_at: Option<(EpochSeconds, u32)>,
    /// Scans that have begun since it got further.
    scans_here: u32,
    /// Pages that brought no row that was not known, less twice those that did.
    stale_pages: u32,
    /// Whether a jump past a second that stays in doubt has been tried since the last new row.
    has_jumped: bool,
    /// Whether what contradicts what is known is being asked again, long enough after; until a new row comes.
    is_confirming: bool,
    /// Whether the end was read again for rows that only the newest page showed.
    end_was_checked: bool,
    /// How often it went back since its last page seems to have skipped rows.
    went_back: u32,
}

/// Pages with free places.
#[derive(Clone, Debug, Default)]
struct ShortPages {
    /// Whether a page with free places was ever followed by another that held something.
    rows_follow: bool,
    /// Whether one of this scan was.
    follow_here: bool,
    /// Whether the last page has more rows than the short one before it, and the widest leap between two such.
    is_refilled: bool,
    leap: Option<ShortPage>,
    /// The one that is doubted.
    doubted: Option<ShortDoubt>,
    /// The one after it.
    next: Option<ShortDoubt>,
    /// Those that were believed.
    believed: Vec<Believed>,
    /// A full page of which not each row can be placed, or was asked for: such a row may stand in the place of another.
    unplaced: Option<ShortDoubt>,
}

/// A second that fills many pages.
#[derive(Clone, Debug, Default)]
struct Dense {
    /// Its pages that came before their turn.
    ahead: Ahead,
    /// The last one above the cap that was read from its last row on.
    read_from_end: Option<EpochSeconds>,
}

/// What all scans of a walk brought.
#[derive(Clone, Debug, Default)]
struct Totals {
    /// Row slots.
    slots: u64,
    /// Durable pages.
    pages: u64,
    /// The rows by their seconds.
    seen: SeenRows,
}

impl Walk {
    /// A walk of `range` whose first scan begins; a bounded one trusts no order.
    pub fn new(range: TimeRange, bounded: Option<Bounded>, scan: Scan) -> Self {
        Self {
            range,
            scan,
            mode: Mode::new(bounded),
            so_far: SoFar { pages: 0, brought_new: false, goes_on: true, opened_early: false, is_clean: true },
            doubts: Doubts::default(),
            last: LastPage {
                at: scan.started_at,
                finding: Finding::Nothing,
                previous: Vec::new(),
                previous_slots: 0,
                print: 0,
                held: Vec::new(),
                overlaps: 0,
                early: Some(Vec::new()),
                unjoined: None,
                repeated: BTreeSet::new(),
                unusable: 0,
            },
            anchor: AnchorRows {
                order: Vec::new(),
                misdated: BTreeSet::new(),
                awaited: BTreeSet::new(),
                is_known: false,
                sure_until: range.start,
                lost: None,
                opens_torn: false,
                torn_was_listed: false,
            },
            short_pages: ShortPages::default(),
            reach: Reach {
                frontier: None,
                at_frontier: BTreeSet::new(),
                before_frontier: None,
                scan_at_frontier: BTreeSet::new(),
                watermark: range.start,
                watermark_before: range.start,
                ascents: 0,
                reached_before: None,
                furthest: None,
                junction: None,
            },
            listed: TimeRange::new(range.start, range.start),
            heals: Vec::new(),
            has_unplaced: false,
            dense: Dense::default(),
            totals: Totals::default(),
        }
    }

    /// The running scan.
    pub fn scan(&self) -> &Scan {
        &self.scan
    }

    /// Whether it reads within its window's bounds to the empty page, trusting no order.
    pub fn is_bounded(&self) -> bool {
        self.mode.bounded().is_some()
    }

    /// Row slots that its pages held.
    pub fn total_slots(&self) -> u64 {
        self.totals.slots
    }

    /// Durable pages of all its scans.
    pub fn total_pages(&self) -> u64 {
        self.totals.pages
    }

    /// Durable pages of the running scan.
    pub fn scan_pages(&self) -> u32 {
        self.so_far.pages
    }

    /// Whether so many doubts began at this second that no more should.
    pub(super) fn has_doubted_enough(&self, at: EpochSeconds) -> bool {
        self.doubts.doubts_at.is_some_and(|(doubted, times)| doubted == at && times >= MOST_DOUBTS)
    }

    /// The second that the walk does not get past, however it begins anew; it is given up.
    pub(super) fn stuck_at(&self) -> Option<EpochSeconds> {
        let second = self.reach.furthest.unwrap_or(self.scan.anchor);
        (self.doubts.scans_here >= MOST_STRETCHES && !self.is_bounded()).then_some(second)
    }

    /// The rows of these seconds that are the last that it has shown in order.
    pub(super) fn last_known_of(&self, range: TimeRange) -> BTreeSet<VideoKey> {
        let is_own = self.reach.frontier.is_some_and(|second| range.contains(second));
        if is_own { self.reach.at_frontier.clone() } else { BTreeSet::new() }
    }

    /// Whether page after page brings what is known, far more often than the second's rows would take.
    pub(super) fn is_endless(&self) -> bool {
        let pages = u32::try_from(self.reach.at_frontier.len()).unwrap_or(u32::MAX) / SOURCE.page_size;
        self.doubts.stale_pages > MOST_STALE_PAGES.saturating_add(2 * pages)
    }

    /// Whether this walk has shown by itself that rows come in ascending order.
    pub(super) fn has_ascended(&self) -> bool {
        self.reach.ascents >= PROVEN_AFTER
    }

    /// The seconds of short pages that were believed although nothing proved them whole.
    pub(in crate::plan) fn believed(&self) -> Vec<Believed> {
        let bounded = self.mode.bounded().filter(|reading| reading.has_short_pages()).map(|_| self.range);
        let bounded = bounded.map(|range| Believed { range, least: Vec::new() });
        let is_past = self.reach.frontier.is_some_and(|frontier| frontier >= self.range.end);
        let open = self.short_pages.doubted.iter().chain(&self.short_pages.next).filter(|doubt| !doubt.is_listed());
        let open = open.filter(|doubt| is_past || doubt.is_followed()).chain(&self.short_pages.unplaced);
        let open = open.map(|doubt| doubt.believed(self.last.at));
        apart(self.short_pages.believed.iter().cloned().chain(bounded).chain(open))
    }

    /// The seconds of short pages that nothing has settled; of those alone that rows have followed, where that is asked.
    pub(super) fn open_short_pages(&self, is_followed: bool) -> impl Iterator<Item = TimeRange> {
        let open = self.short_pages.doubted.iter().chain(&self.short_pages.next);
        open.filter(move |doubt| !is_followed || doubt.is_followed()).map(ShortDoubt::range)
    }

    /// The widest leap between a short page and one with more rows.
    pub(super) fn leap(&self) -> Option<&ShortPage> {
        self.short_pages.leap.as_ref()
    }

    pub(super) fn believe(&mut self, doubt: &ShortDoubt) {
        let all = std::mem::take(&mut self.short_pages.believed);
        self.short_pages.believed = apart(all.into_iter().chain([doubt.believed(self.last.at)]));
    }

    /// Moves the window's end: a split gave the later part away, or the time of later windows was taken over.
    pub fn end_at(&mut self, end: EpochSeconds) {
        self.range.end = end;
    }

    /// These seconds are listed as unproven: doubts within them are over.
    pub fn is_listed(&mut self, range: TimeRange) {
        let own_end = self.range.end;
        let is_in = |doubted: TimeRange| range.start <= doubted.start && doubted.end.min(own_end) <= range.end;
        self.short_pages.doubted.take_if(|doubt| !doubt.is_looking() && is_in(doubt.range()));
        if self.short_pages.doubted.is_none() {
            self.short_pages.doubted = self.short_pages.next.take();
        }
        let listed = self.heals.iter_mut().filter(|heal| range.contains(heal.second()));
        listed.for_each(Heal::list);
        // Once the walk has gone on, a listing of more than that second takes nothing back of what followed it.
        let is_first = self.so_far.pages == 1;
        self.anchor.torn_was_listed |= is_first && self.anchor.opens_torn && range.contains(self.scan.anchor);
        let touches = range.start <= self.listed.end && self.listed.start <= range.end;
        let start = if touches { range.start.min(self.listed.start) } else { range.start };
        self.listed = TimeRange::new(start, if touches { range.end.max(self.listed.end) } else { range.end });
    }

    /// Whether these seconds are listed as unproven.
    pub(super) fn is_listed_whole(&self, range: TimeRange) -> bool {
        self.listed.covers(range)
    }

    /// Whether the anchor's second is listed as unproven.
    pub(super) fn torn_is_listed(&self) -> bool {
        self.listed.contains(self.scan.anchor)
    }

    /// The seconds that are read again and have not agreed.
    pub(super) fn open_heals(&self) -> impl Iterator<Item = &Heal> {
        self.heals.iter().filter(|heal| !heal.is_over())
    }
}
