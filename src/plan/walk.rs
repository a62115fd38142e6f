//! One window's walk: what its durable pages have shown. A pure state machine; `step` decides its next move.
//!
//! A walk asks ascending pages from an anchor to the end of the run, so that moving its window's end moves no page.
//! [`Walk::apply`] depends on nothing but the pages and decisions before it, so a replay gives the same walk.
//! The invariant: a walk finishes on positive evidence only, and what it doubts it reads again from an earlier anchor.

use std::collections::BTreeSet;

use super::ahead::Ahead;
use super::bounded::Bounded;
use super::event::StretchReason;
use super::fact::{RowKey, VideoKey};
use super::from_end::FromEnd;
use super::heal::Heal;
use super::learned::PROVEN_AFTER;
use super::page::Finding;
use super::seam::SeamReading;
use super::short::ShortDoubt;
use crate::api::contract::{PAGE_SIZE, TimeOrder};
use crate::units::{EpochSeconds, TimeRange};

mod lesson;

pub use super::step::{Consistency, WalkContext, WalkStep};
pub use lesson::{Lesson, Shown};

/// How a stretch asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Counts from 0 within the window.
    pub number: u32,
    /// The first wanted second.
    pub anchor: EpochSeconds,
    /// `min_create_time` as sent.
    pub asked_min: EpochSeconds,
    /// `max_create_time` as sent.
    pub asked_max: EpochSeconds,
    /// When it began.
    pub started_at: EpochSeconds,
    /// Why it began.
    pub why: StretchReason,
}

impl Stretch {
    /// In which order it asks.
    pub fn order(&self) -> TimeOrder {
        if self.why == StretchReason::FromEnd { TimeOrder::NewestFirst } else { TimeOrder::OldestFirst }
    }
}

/// Doubts in a row that may begin at one second, also where each brings something new.
const MOST_DOUBTS: u32 = 8;
/// Stretches that may begin before the walk gets further than it was.
const MOST_STRETCHES: u32 = 40;
/// Pages of known rows in a row, beside twice those that the rows fill, after which they are taken for endless.
const MOST_STALE_PAGES: u32 = 30;

/// A window's walk, once it has begun.
#[derive(Clone, Debug)]
pub struct Walk {
    pub(super) range: TimeRange,
    pub(super) stretch: Stretch,
    /// Reading within the window's own bounds, trusting no order.
    pub(super) bounded: Option<Bounded>,
    /// Pages of this stretch so far, and those with rows of the stretch before it.
    pub(super) pages: u32,
    pub(super) good_pages_before: u32,
    /// The last page of this stretch, as read.
    pub(super) finding: Finding,
    pub(super) previous: Vec<RowKey>,
    /// The ids of the anchor's second as the last page before this stretch showed them.
    pub(super) anchor_order: Vec<VideoKey>,
    /// Row slots of the last page of this stretch that held any.
    pub(super) previous_slots: u32,
    /// The row that the stretches before ended with at an empty page, and these pages; the last stretches that ended alike.
    pub(super) ended_at: Vec<(VideoKey, u32)>,
    /// Whether a page with free places was ever followed by another that held something.
    pub(super) goes_on_after_short: bool,
    /// Rows at the last page's end that leap ahead.
    pub(super) held: Vec<RowKey>,
    /// The last second seen in order, with every id that any stretch saw in it, and the last second before it.
    pub(super) frontier: Option<EpochSeconds>,
    pub(super) at_frontier: BTreeSet<VideoKey>,
    pub(super) before_frontier: Option<EpochSeconds>,
    /// This stretch's ids at the frontier: a second one of the same is a repeat.
    pub(super) stretch_at_frontier: BTreeSet<VideoKey>,
    /// The first second of the last ordered page: below it nothing more is expected.
    pub(super) settled: EpochSeconds,
    /// How often seconds went up since rows last came out of order.
    pub(super) ascents: u32,
    /// Whether this stretch has shown a row that no stretch before it did.
    pub(super) brought_new: bool,
    /// Whether this stretch began at the last second seen, and the furthest second seen before it.
    pub(super) goes_on: bool,
    pub(super) reached_before: Option<EpochSeconds>,
    /// Doubts in a row that brought nothing, this stretch's not counted.
    pub(super) fruitless: u32,
    /// The second that the last doubt began at, and how many began there in a row.
    pub(super) doubts_at: Option<(EpochSeconds, u32)>,
    /// Rows whose dates are wrong: they were the last seen, and did not come when their second was asked.
    pub(super) misdated: BTreeSet<VideoKey>,
    /// The known rows of the second that a stretch goes on from, until one of them comes again.
    pub(super) awaited: BTreeSet<VideoKey>,
    /// Up to where all was read when the stretch began; until one of them comes, no more is known.
    pub(super) sure_until: EpochSeconds,
    /// Where to go on if the stretch lacks the rows of its anchor.
    pub(super) lost_anchor: Option<EpochSeconds>,
    /// The furthest second that any stretch reached, and stretches that have begun since.
    pub(super) furthest: Option<EpochSeconds>,
    pub(super) stretches_here: u32,
    /// Pages that brought no row that was not known, less twice those that did.
    pub(super) stale_pages: u32,
    /// Whether a jump past a second that stays in doubt has been tried since the last new row.
    pub(super) has_jumped: bool,
    /// Whether what contradicts what is known is being asked again, long enough after; until a new row comes.
    pub(super) is_confirming: bool,
    /// Whether the end was read again for rows that only the newest page showed.
    pub(super) end_was_checked: bool,
    /// The last seconds that were listed as unproven: nothing more is expected of them.
    pub(super) listed: TimeRange,
    pub(super) short: Option<ShortDoubt>,
    /// The short page after the doubted one.
    pub(super) short_next: Option<ShortDoubt>,
    /// From the first to the last short page that was believed.
    pub(super) believed: Option<TimeRange>,
    /// Seconds whose rows came twice, while their readings do not agree.
    pub(super) heals: Vec<Heal>,
    pub(super) overlaps: u32,
    /// Seconds beyond its own end that it reads again before it finishes.
    pub(super) seam: Option<SeamReading>,
    /// The last second before the last page, and the first of it; none where it is its stretch's first.
    pub(super) junction: Option<(EpochSeconds, EpochSeconds)>,
    /// How often it went back since its last page seems to have skipped rows.
    pub(super) went_back: u32,
    /// The rows of the last page, where all pages of the stretch lay before what was asked; none where one did not.
    pub(super) early: Option<Vec<RowKey>>,
    /// The first row of a page that followed pages before the asked time without a joint, and its number.
    pub(super) unjoined: Option<(Option<VideoKey>, u32)>,
    /// Pages in a row of which no row can be placed.
    pub(super) unusable: u32,
    /// Whether any page held rows of which none can be placed.
    pub(super) has_unplaced: bool,
    /// Whether the stretch's first page was full of its anchor's second.
    pub(super) opens_torn: bool,
    /// Whether that second was listed for it, so that what follows it will be asked anew and is not settled.
    pub(super) torn_was_listed: bool,
    /// Whether every page of this stretch with rows was full of rows in order.
    pub(super) is_clean: bool,
    /// Pages of a dense second that came before their turn.
    pub(super) ahead: Ahead,
    /// A second above the cap, while it is read from its last row on.
    pub(super) from_end: Option<Box<FromEnd>>,
    /// The last second that was read so.
    pub(super) read_from_end: Option<EpochSeconds>,
    pub(super) total_slots: u64,
    pub(super) total_pages: u64,
}

impl Walk {
    /// A walk of `range` whose first stretch begins; a bounded one trusts no order.
    pub fn new(range: TimeRange, bounded: Option<Bounded>, stretch: Stretch) -> Self {
        Self {
            range,
            stretch,
            bounded,
            pages: 0,
            good_pages_before: 0,
            finding: Finding::Nothing,
            previous: Vec::new(),
            anchor_order: Vec::new(),
            previous_slots: 0,
            ended_at: Vec::new(),
            goes_on_after_short: false,
            held: Vec::new(),
            frontier: None,
            at_frontier: BTreeSet::new(),
            before_frontier: None,
            stretch_at_frontier: BTreeSet::new(),
            settled: range.start,
            ascents: 0,
            brought_new: false,
            goes_on: true,
            reached_before: None,
            fruitless: 0,
            doubts_at: None,
            misdated: BTreeSet::new(),
            awaited: BTreeSet::new(),
            sure_until: range.start,
            lost_anchor: None,
            furthest: None,
            stretches_here: 0,
            stale_pages: 0,
            has_jumped: false,
            is_confirming: false,
            end_was_checked: false,
            listed: TimeRange::new(range.start, range.start),
            short: None,
            short_next: None,
            believed: None,
            heals: Vec::new(),
            overlaps: 0,
            seam: None,
            junction: None,
            went_back: 0,
            early: Some(Vec::new()),
            unjoined: None,
            unusable: 0,
            has_unplaced: false,
            opens_torn: false,
            torn_was_listed: false,
            is_clean: true,
            ahead: Ahead::default(),
            from_end: None,
            read_from_end: None,
            total_slots: 0,
            total_pages: 0,
        }
    }

    /// The running stretch.
    pub fn stretch(&self) -> &Stretch {
        &self.stretch
    }

    /// Whether it reads within its window's bounds to the empty page, trusting no order.
    pub fn is_bounded(&self) -> bool {
        self.bounded.is_some()
    }

    /// Row slots that its pages held.
    pub fn total_slots(&self) -> u64 {
        self.total_slots
    }

    /// Durable pages of all its stretches.
    pub fn total_pages(&self) -> u64 {
        self.total_pages
    }

    /// Durable pages of the running stretch.
    pub fn stretch_pages(&self) -> u32 {
        self.pages
    }

    /// The last second seen in order; none before the first row, and none while rows have no order.
    pub fn frontier(&self) -> Option<EpochSeconds> {
        if self.is_bounded() { None } else { self.frontier }
    }

    /// Up to where (exclusive) the walk has every row, as far as is known: nothing below it is read again. The last page counts only
    /// once another has followed it: should that be the same, one of the two came in place of another.
    pub fn settled(&self) -> EpochSeconds {
        self.read_until().min(self.before_last_page().unwrap_or(EpochSeconds::MAX)).max(self.range.start)
    }

    /// Where the last page would have to be looked for again, had another come in its place; none where a stretch's first page began
    /// with rows that were known.
    pub(super) fn before_last_page(&self) -> Option<EpochSeconds> {
        let first = (self.pages == 1 && self.stretch.why == StretchReason::First).then_some(self.stretch.anchor);
        self.junction.map(|(before, _)| before).or(first)
    }

    /// Up to where (exclusive) its pages have shown every row, the last page among them.
    pub(super) fn read_until(&self) -> EpochSeconds {
        if self.is_bounded() {
            return self.range.start;
        }
        let doubted = self.short.as_ref().map_or(EpochSeconds::MAX, ShortDoubt::from);
        let healing = self.open_heals().map(Heal::second).min().unwrap_or(EpochSeconds::MAX);
        let torn = if self.torn_was_listed { self.stretch.anchor.shifted(1) } else { EpochSeconds::MAX };
        let awaiting = if self.awaited.is_empty() { EpochSeconds::MAX } else { self.sure_until };
        self.settled.min(doubted).min(healing).min(torn).min(awaiting).max(self.range.start).min(self.range.end)
    }

    /// Below this second nothing may be given to another window: the walk has been there.
    pub fn reached(&self) -> EpochSeconds {
        self.frontier.unwrap_or(self.stretch.anchor).max(self.settled)
    }

    /// Whether so many doubts began at this second that no more should.
    pub(super) fn has_doubted_enough(&self, at: EpochSeconds) -> bool {
        self.doubts_at.is_some_and(|(doubted, times)| doubted == at && times >= MOST_DOUBTS)
    }

    /// The second that the walk does not get past, however it begins anew; it is given up.
    pub(super) fn stuck_at(&self) -> Option<EpochSeconds> {
        let second = self.furthest.unwrap_or(self.stretch.anchor);
        (self.stretches_here >= MOST_STRETCHES && !self.is_bounded()).then_some(second)
    }

    /// Whether page after page brings what is known, far more often than the second's rows would take.
    pub(super) fn is_endless(&self) -> bool {
        let pages = u32::try_from(self.at_frontier.len()).unwrap_or(u32::MAX) / PAGE_SIZE;
        self.stale_pages > MOST_STALE_PAGES.saturating_add(2 * pages)
    }

    /// Whether this walk has shown by itself that rows come in ascending order.
    pub(super) fn has_ascended(&self) -> bool {
        self.ascents >= PROVEN_AFTER
    }

    /// The seconds of short pages that were believed although nothing proved them whole.
    pub(super) fn believed(&self) -> Option<TimeRange> {
        let bounded = self.bounded.as_ref().filter(|reading| reading.has_short_pages()).map(|_| self.range);
        let is_past = self.frontier.is_some_and(|frontier| frontier >= self.range.end);
        let last = self.short.iter().chain(&self.short_next).filter(|_| is_past).map(ShortDoubt::range);
        self.believed.into_iter().chain(bounded).chain(self.open_short_pages()).chain(last).reduce(hull)
    }

    /// The seconds of short pages that rows have followed and that nothing has settled.
    pub(super) fn open_short_pages(&self) -> impl Iterator<Item = TimeRange> {
        let open = self.short.iter().chain(&self.short_next).filter(|doubt| doubt.is_followed());
        open.map(ShortDoubt::range)
    }

    pub(super) fn believe(&mut self, range: TimeRange) {
        self.believed = Some(self.believed.map_or(range, |known| hull(known, range)));
    }

    /// Where the walk stands when a page has no usable row.
    pub fn position(&self) -> EpochSeconds {
        self.frontier.unwrap_or(self.stretch.anchor)
    }

    /// The last second that its pages have shown, also where it leaps ahead.
    pub(super) fn last_shown(&self) -> Option<EpochSeconds> {
        self.held.last().map(|row| row.second).max(self.frontier)
    }

    /// From the window's end to the first row beyond it, none where none has been seen: nothing lies between.
    pub fn empty_beyond(&self) -> Option<TimeRange> {
        let first = self.previous.iter().map(|row| row.second).filter(|second| *second >= self.range.end).min()?;
        Some(TimeRange::new(self.range.end, first))
    }

    /// Rows of the last page beyond the window's end.
    pub fn rows_beyond(&self) -> u64 {
        self.previous.iter().filter(|row| row.second >= self.range.end).count() as u64
    }

    /// Moves the window's end: a split gave the later part away, or the time of later windows was taken over.
    pub fn end_at(&mut self, end: EpochSeconds) {
        self.range.end = end;
    }

    /// These seconds are listed as unproven: doubts within them are over.
    pub fn is_listed(&mut self, range: TimeRange) {
        let own_end = self.range.end;
        let is_in = |doubted: TimeRange| range.start <= doubted.start && doubted.end.min(own_end) <= range.end;
        self.short.take_if(|doubt| !doubt.is_looking() && is_in(doubt.range()));
        if self.short.is_none() {
            self.short = self.short_next.take();
        }
        let listed = self.heals.iter_mut().filter(|heal| range.contains(heal.second()));
        listed.for_each(Heal::list);
        self.torn_was_listed |= self.opens_torn && range.contains(self.stretch.anchor);
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
        self.listed.contains(self.stretch.anchor)
    }

    /// The seconds that are read again and have not agreed.
    pub(super) fn open_heals(&self) -> impl Iterator<Item = &Heal> {
        self.heals.iter().filter(|heal| !heal.is_over())
    }
}

fn hull(one: TimeRange, other: TimeRange) -> TimeRange {
    TimeRange::new(one.start.min(other.start), one.end.max(other.end))
}
