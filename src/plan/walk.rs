//! One window's walk: what its durable pages have shown. A pure state machine; `step` decides its next move.
//!
//! A walk asks ascending pages from an anchor to the end of the run, so that moving its window's end moves no page.
//! [`Walk::apply`] depends on nothing but the pages and decisions before it, so a replay gives the same walk.
//! The invariant: a walk finishes on positive evidence only, and what it doubts it reads again from an earlier anchor.

use std::collections::BTreeSet;

use super::bounded::Bounded;
use super::event::StretchReason;
use super::fact::{PageFact, RowKey, VideoKey};
use super::heal::{Heal, changes_places};
use super::learned::PROVEN_AFTER;
use super::page::{Finding, Reading, View, ascents};
use super::short::{Follows, Place, ShortDoubt, Verdict};
use crate::api::contract::PAGE_SIZE;
use crate::units::{EpochSeconds, TimeRange};

pub use super::step::{Consistency, WalkContext, WalkStep};

/// What a page taught about the service itself, beside the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lesson {
    /// A row stood at exactly the asked lower bound.
    AtMin(VideoKey),
    /// A row stood at exactly the asked upper bound.
    AtMax(VideoKey),
    /// Rows came after a short page.
    ShortPageFollowed,
    /// A short page's surroundings showed nothing new.
    ShortPageHidNothing,
    /// A short page's surroundings showed rows that it hid.
    ShortPageHidRows,
    /// A short page's surroundings did not show whether it hid rows.
    ShortPageStaysOpen,
    /// Rows followed an empty, repeated or refused page after this many good ones.
    MoreAfter {
        /// The good pages before it.
        pages: u32,
    },
    /// A row came twice within a stretch: rows were inserted before it, or ties came in another order.
    Repeat,
    /// Rows whose date does not fit the order of the others.
    Strays(u32),
    /// A page whose seconds went up this often and never down.
    Ascents(u32),
    /// A page out of order.
    Disorder,
    /// Rows of one second came in another order than before.
    TiesMove,
    /// A page of this number held rows.
    Served(u32),
}

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
    anchor_order: Vec<VideoKey>,
    /// Row slots of the last page of this stretch that held any.
    pub(super) previous_slots: u32,
    /// Whether a page with free places was ever followed by another that held something.
    pub(super) goes_on_after_short: bool,
    /// Rows at the last page's end that leap ahead.
    pub(super) held: Vec<RowKey>,
    /// The last second seen in order, with every id that any stretch saw in it, and the last second before it.
    pub(super) frontier: Option<EpochSeconds>,
    pub(super) at_frontier: BTreeSet<VideoKey>,
    before_frontier: Option<EpochSeconds>,
    /// This stretch's ids at the frontier: a second one of the same is a repeat.
    stretch_at_frontier: BTreeSet<VideoKey>,
    /// The first second of the last ordered page: below it nothing more is expected.
    settled: EpochSeconds,
    /// How often seconds went up since rows last came out of order.
    ascents: u32,
    /// Whether this stretch has shown a row that no stretch before it did.
    pub(super) brought_new: bool,
    /// Doubts in a row that brought nothing, this stretch's not counted.
    pub(super) fruitless: u32,
    /// The second that the last doubt began at, and how many began there in a row.
    doubts_at: Option<(EpochSeconds, u32)>,
    /// Rows whose dates are wrong: they were the last seen, and did not come when their second was asked.
    misdated: BTreeSet<VideoKey>,
    /// Where to go on if the stretch's first page lacks the rows of its anchor.
    pub(super) lost_anchor: Option<EpochSeconds>,
    /// The furthest second that any stretch reached, and stretches that have begun since.
    furthest: Option<EpochSeconds>,
    stretches_here: u32,
    /// Pages that brought no row that was not known, less twice those that did.
    stale_pages: u32,
    /// Whether a jump past a second that stays in doubt has been tried since the last new row.
    pub(super) has_jumped: bool,
    /// Whether the end was read again for rows that only the newest page showed.
    pub(super) end_was_checked: bool,
    /// The last seconds that were listed as unproven: nothing more is expected of them.
    listed: TimeRange,
    pub(super) short: Option<ShortDoubt>,
    /// The short page after the doubted one.
    short_next: Option<ShortDoubt>,
    /// From the first to the last short page that was believed.
    believed: Option<TimeRange>,
    /// Seconds whose rows came twice, while their readings do not agree.
    pub(super) heals: Vec<Heal>,
    pub(super) overlaps: u32,
    /// Pages in a row of which no row can be placed.
    pub(super) unusable: u32,
    total_slots: u64,
    total_pages: u64,
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
            goes_on_after_short: false,
            held: Vec::new(),
            frontier: None,
            at_frontier: BTreeSet::new(),
            before_frontier: None,
            stretch_at_frontier: BTreeSet::new(),
            settled: range.start,
            ascents: 0,
            brought_new: false,
            fruitless: 0,
            doubts_at: None,
            misdated: BTreeSet::new(),
            lost_anchor: None,
            furthest: None,
            stretches_here: 0,
            stale_pages: 0,
            has_jumped: false,
            end_was_checked: false,
            listed: TimeRange::new(range.start, range.start),
            short: None,
            short_next: None,
            believed: None,
            heals: Vec::new(),
            overlaps: 0,
            unusable: 0,
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

    /// Up to where (exclusive) the walk has every row, as far as is known: nothing below it is read again.
    pub fn settled(&self) -> EpochSeconds {
        if self.is_bounded() {
            return self.range.start;
        }
        let doubted = self.short.as_ref().map_or(EpochSeconds::MAX, ShortDoubt::from);
        let healing = self.open_heals().map(Heal::second).min().unwrap_or(EpochSeconds::MAX);
        self.settled.min(doubted).min(healing).max(self.range.start).min(self.range.end)
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
        self.believed.into_iter().chain(bounded).chain(self.open_short_pages()).reduce(hull)
    }

    /// The seconds of short pages that were not the last and that nothing has settled.
    pub(super) fn open_short_pages(&self) -> impl Iterator<Item = TimeRange> {
        let is_past = self.frontier.is_some_and(|frontier| frontier >= self.range.end);
        let open = self.short.iter().chain(&self.short_next).filter(move |doubt| doubt.is_followed() || is_past);
        open.map(ShortDoubt::range)
    }

    fn believe(&mut self, range: TimeRange) {
        self.believed = Some(self.believed.map_or(range, |known| hull(known, range)));
    }

    /// Where the walk stands when a page has no usable row.
    pub fn position(&self) -> EpochSeconds {
        self.frontier.unwrap_or(self.stretch.anchor)
    }

    /// From the window's end to the first row beyond it, none where none has been seen: nothing lies between.
    pub fn empty_beyond(&self) -> Option<TimeRange> {
        let first = self.previous.iter().map(|row| row.second).filter(|second| *second >= self.range.end).min()?;
        Some(TimeRange::new(self.range.end, first))
    }

    /// Moves the window's end: a split gave the later part away.
    pub fn shorten(&mut self, end: EpochSeconds) {
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

/// Beginning a stretch.
impl Walk {
    /// Begins another stretch, as it was decided.
    pub fn restart(&mut self, stretch: Stretch, bounded: Option<Bounded>) {
        self.remember_doubts(&stretch);
        if stretch.why == StretchReason::Doubt {
            let (at, times) = self.doubts_at.unwrap_or((stretch.anchor, 0));
            self.doubts_at = Some((stretch.anchor, if at == stretch.anchor { times + 1 } else { 1 }));
        }
        self.stretches_here += 1;
        self.lost_anchor = None;
        let last_was_good = !matches!(self.finding, Finding::Empty | Finding::SamePage);
        self.good_pages_before = self.pages - u32::from(!last_was_good && self.pages > 0);
        let finding = std::mem::replace(&mut self.finding, Finding::Nothing);
        self.pages = 0;
        self.promote_held(stretch.anchor);
        let at_anchor = |row: &&RowKey| row.second == stretch.anchor;
        self.anchor_order = self.previous.iter().filter(at_anchor).map(|row| row.video).collect();
        self.previous.clear();
        self.previous_slots = 0;
        self.held.clear();
        self.stretch_at_frontier.clear();
        self.brought_new = false;
        self.overlaps = 0;
        match (&mut self.bounded, bounded) {
            (Some(reading), Some(_)) => reading.begin_reading(),
            (state, bounded) => *state = bounded,
        }
        if stretch.why != StretchReason::KnownRow {
            self.move_to(&stretch, finding);
        }
        self.stretch = stretch;
    }

    /// A stretch that goes on from a row that leapt ahead takes it for the last second seen.
    fn promote_held(&mut self, anchor: EpochSeconds) {
        if self.held.last().is_some_and(|row| row.second == anchor) && Some(anchor) > self.frontier {
            for row in std::mem::take(&mut self.held) {
                self.take_row(row);
            }
        }
    }

    fn remember_doubts(&mut self, stretch: &Stretch) {
        match stretch.why {
            StretchReason::Doubt if self.stretch.why == StretchReason::Doubt && !self.brought_new => {
                self.fruitless += 1;
            }
            StretchReason::Doubt => self.fruitless = 0,
            StretchReason::Scheduled => self.end_was_checked |= self.finding == Finding::Empty,
            StretchReason::PastFullSecond => self.has_jumped = true,
            _ => {}
        }
    }

    fn move_to(&mut self, stretch: &Stretch, finding: Finding) {
        let goes_on = self.frontier == Some(stretch.anchor);
        let continues = matches!(stretch.why, StretchReason::Scheduled | StretchReason::Cap) && goes_on;
        match stretch.why {
            StretchReason::PastFullSecond => self.settled = stretch.anchor,
            StretchReason::ShortPage => {}
            _ => self.settled = self.settled.min(stretch.anchor.max(self.range.start)),
        }
        self.begin_healing(stretch, finding);
        if !continues {
            self.short_next = None;
        }
        if let Some(doubt) = &mut self.short {
            match stretch.why {
                StretchReason::ShortPage => doubt.begin_look(stretch.anchor),
                _ if continues => {}
                _ => doubt.interrupt(),
            }
        }
        let reads_it_anew =
            |doubt: &mut ShortDoubt| !doubt.is_looking() && !continues && stretch.anchor <= doubt.from();
        if matches!(stretch.why, StretchReason::PastFullSecond | StretchReason::Restart) {
            self.short = None;
        }
        self.short.take_if(|doubt| stretch.why != StretchReason::ShortPage && reads_it_anew(doubt));
        if !goes_on {
            self.frontier = None;
            self.before_frontier = None;
            self.at_frontier.clear();
        }
    }

    /// A second that is being healed is read again from its beginning; one that the walk leaves is listed by then.
    fn begin_healing(&mut self, stretch: &Stretch, finding: Finding) {
        self.heals.retain(|heal| heal.second() >= stretch.anchor);
        self.heals.iter_mut().for_each(Heal::begin_reading);
        if let (Finding::Repeated(second), StretchReason::Repeat) = (finding, stretch.why)
            && self.heals.iter().all(|heal| heal.second() != second)
        {
            let known = if self.frontier == Some(second) { self.at_frontier.clone() } else { BTreeSet::new() };
            self.heals.push(Heal::new(second, known, std::mem::take(&mut self.anchor_order)));
        }
    }
}

/// Folding pages in.
impl Walk {
    /// Folds one durable page of the running stretch in, and says what it taught about the service.
    pub fn apply(&mut self, page: &PageFact) -> (Vec<Lesson>, Vec<RowKey>) {
        self.pages += 1;
        self.total_pages += 1;
        self.total_slots += u64::from(page.slots);
        if page.slots > 0 {
            self.goes_on_after_short |= self.pages > 1 && (1..PAGE_SIZE).contains(&self.previous_slots);
            self.previous_slots = page.slots;
        }
        let reading = Reading {
            page,
            asked_min: self.stretch.asked_min,
            asked_max: self.stretch.asked_max,
            previous: &self.previous,
            held: &self.held,
            frontier: if self.pages == 1 { None } else { self.frontier },
            at_frontier: &self.stretch_at_frontier,
            order_is_proven: self.has_ascended(),
            misdated: &self.misdated,
            settled: self.settled(),
            listed: self.listed,
            healing: self.heals.iter().map(Heal::second).collect(),
        };
        let asked: Vec<RowKey> = reading.asked().collect();
        let mut lessons = bound_lessons(page, &self.stretch);
        if let Some(bounded) = &mut self.bounded {
            self.finding = reading.unordered();
            bounded.apply(page, self.finding, &asked);
            lessons.extend((self.finding == Finding::Rows).then_some(Lesson::Served(page.address.page.get())));
            self.previous = asked;
            return (lessons, Vec::new());
        }
        let view = reading.view();
        self.finding = view.finding;
        self.unusable = if self.finding == Finding::Unusable { self.unusable + 1 } else { 0 };
        if self.stretch.why == StretchReason::KnownRow {
            self.brought_new = asked.iter().any(|row| self.frontier.is_none_or(|frontier| row.second > frontier));
            return (lessons, Vec::new());
        }
        if self.loses_anchor(&asked) {
            return (lessons, Vec::new());
        }
        lessons.extend(lessons_of(&view));
        lessons.extend((self.pages == 1 && self.ties_moved(&asked)).then_some(Lesson::TiesMove));
        let strays = view.strays.clone();
        self.take(page, view, asked, &mut lessons);
        (lessons, strays)
    }

    /// Where a walk goes on from the last second seen, its rows are known and must come again. If none does, their date was
    /// wrong, or they are gone; either way what lies before them is not known to be whole.
    fn loses_anchor(&mut self, rows: &[RowKey]) -> bool {
        let goes_on = matches!(self.stretch.why, StretchReason::Scheduled | StretchReason::Cap);
        let is_known = self.frontier == Some(self.stretch.anchor) && !self.at_frontier.is_empty();
        if self.pages > 1 || !goes_on || !is_known {
            return false;
        }
        if rows.iter().any(|row| self.at_frontier.contains(&row.video)) {
            return false;
        }
        self.misdated.append(&mut self.at_frontier);
        self.lost_anchor = Some(self.before_frontier.unwrap_or(self.range.start));
        true
    }

    /// Whether the anchor's rows come in another order than before.
    fn ties_moved(&self, rows: &[RowKey]) -> bool {
        let now: Vec<VideoKey> = rows.iter().map(|row| row.video).collect();
        changes_places(&self.anchor_order, &now)
    }

    fn take(&mut self, page: &PageFact, view: View, asked: Vec<RowKey>, lessons: &mut Vec<Lesson>) {
        self.overlaps = if view.finding == Finding::ShiftedByOne { self.overlaps + 1 } else { 0 };
        match view.finding {
            Finding::Rows | Finding::ShiftedByOne => {
                lessons.push(Lesson::Served(page.address.page.get()));
                self.held = view.held;
                self.take_rows(page, (&view.rows, &view.strays), lessons);
                self.previous = asked;
            }
            Finding::Empty => {
                self.heals.iter_mut().for_each(Heal::pass);
                self.short.iter_mut().for_each(ShortDoubt::ends);
                let verdict = self.short.as_mut().and_then(|doubt| doubt.look(&[], true));
                lessons.extend(verdict.map(lesson_of));
                self.end_looks();
            }
            Finding::Disordered => self.ascents = 0,
            _ => {}
        }
    }

    fn take_rows(&mut self, page: &PageFact, (rows, strays): (&[RowKey], &[RowKey]), lessons: &mut Vec<Lesson>) {
        let had_new = self.brought_new;
        let before = Before { frontier: self.frontier, second: self.before_frontier, settled: self.settled() };
        let known_before = (self.frontier, self.at_frontier.len());
        for row in rows {
            self.take_row(*row);
        }
        let is_stale = known_before == (self.frontier, self.at_frontier.len());
        self.stale_pages = if is_stale { self.stale_pages + 1 } else { self.stale_pages.saturating_sub(2) };
        if self.frontier > self.furthest {
            (self.furthest, self.stretches_here) = (self.frontier, 0);
        }
        if self.brought_new && !had_new && self.stretch.why == StretchReason::Doubt {
            lessons.push(Lesson::MoreAfter { pages: self.good_pages_before });
        }
        if self.brought_new {
            self.has_jumped = false;
        }
        if let (Some(first), true) = (rows.first(), self.has_ascended()) {
            self.settled = self.settled.max(first.second);
        }
        let (opens, is_full) = (self.pages == 1, page.slots >= PAGE_SIZE);
        self.heals.iter_mut().for_each(|heal| heal.read(rows, strays, opens, is_full));
        lessons.extend(self.heals.iter().any(Heal::has_moved).then_some(Lesson::TiesMove));
        self.watch_short_pages(page, rows, before, lessons);
    }

    fn take_row(&mut self, row: RowKey) {
        // While a bound is not known, a row of the second before the anchor may come; it was read before.
        if row.second < self.stretch.anchor {
            return;
        }
        let is_new = match self.frontier {
            Some(frontier) if row.second < frontier => return,
            Some(frontier) => row.second > frontier,
            None => true,
        };
        if is_new {
            self.ascents = self.ascents.saturating_add(u32::from(self.frontier.is_some()));
            self.before_frontier = self.frontier.or(self.before_frontier);
            self.frontier = Some(row.second);
            self.at_frontier.clear();
            self.stretch_at_frontier.clear();
        }
        self.brought_new |= self.at_frontier.insert(row.video);
        self.stretch_at_frontier.insert(row.video);
    }

    /// A short page is doubted once rows have come after it.
    fn watch_short_pages(&mut self, page: &PageFact, rows: &[RowKey], before: Before, lessons: &mut Vec<Lesson>) {
        let is_full = page.slots >= PAGE_SIZE;
        let follows = if self.pages == 1 { Follows::Anchored(self.stretch.anchor) } else { Follows::NextPage };
        match &mut self.short {
            Some(doubt) if doubt.is_looking() => {
                lessons.extend(doubt.look(rows, is_full).map(lesson_of));
                lessons.extend(doubt.has_failed().then_some(Lesson::ShortPageStaysOpen));
                if doubt.is_looking() {
                    return;
                }
                self.end_looks();
            }
            Some(doubt) if doubt.is_pending() => {
                doubt.followed_by(rows, follows);
                lessons.extend(doubt.is_followed().then_some(Lesson::ShortPageFollowed));
            }
            // The walk went on without a look, so short pages are a habit.
            _ => {
                self.short.take().iter().for_each(|doubt| self.believe(doubt.range()));
                self.short = self.short_next.take();
                self.short.iter_mut().for_each(|doubt| doubt.followed_by(rows, follows));
            }
        }
        if !is_full {
            let doubt = self.doubt_about(rows, before);
            let is_replaced = self.short.as_ref().is_none_or(|doubt| doubt.is_pending() && !doubt.is_followed());
            if is_replaced { self.short = doubt } else { self.short_next = doubt }
        }
    }

    fn doubt_about(&self, rows: &[RowKey], before: Before) -> Option<ShortDoubt> {
        let (first, last) = (rows.first()?.second, self.held.last().or(rows.last())?.second);
        let is_over = |heal: &Heal| heal.is_over() && heal.second() == first;
        let is_listed = self.listed.contains(first) && self.listed.contains(last);
        if is_listed || (first == last && self.heals.iter().any(is_over)) {
            return None;
        }
        let from = before.frontier.filter(|_| self.pages > 1).unwrap_or(self.stretch.anchor);
        let from = from.min(first).max(before.settled);
        let look_from = if from == last { before.second.unwrap_or(from) } else { from };
        let known = rows.iter().chain(&self.held).chain(&self.previous).map(|row| row.video);
        let known = known.chain(self.stretch_at_frontier.iter().copied()).collect();
        let first_video = rows.first()?.video;
        Some(ShortDoubt::new(Place { look_from, from, first_video, first, last }, known))
    }

    fn end_looks(&mut self) {
        let settled = self.short.take_if(|doubt| doubt.is_settled());
        settled.iter().filter(|doubt| !doubt.is_proven()).for_each(|doubt| self.believe(doubt.range()));
    }
}

/// Where the walk stood before a page.
#[derive(Clone, Copy, Debug)]
struct Before {
    frontier: Option<EpochSeconds>,
    /// The last second before the frontier.
    second: Option<EpochSeconds>,
    settled: EpochSeconds,
}

fn lesson_of(verdict: Verdict) -> Lesson {
    match verdict {
        Verdict::HidNothing => Lesson::ShortPageHidNothing,
        Verdict::HidRows => Lesson::ShortPageHidRows,
    }
}

fn hull(one: TimeRange, other: TimeRange) -> TimeRange {
    TimeRange::new(one.start.min(other.start), one.end.max(other.end))
}

/// Rows at exactly an asked bound, on a page in order, prove that the bound is inclusive.
fn bound_lessons(page: &PageFact, stretch: &Stretch) -> Vec<Lesson> {
    if !page.rows.is_sorted_by_key(|row| row.second) {
        return Vec::new();
    }
    let at = |second: EpochSeconds| page.rows.iter().filter(move |row| row.second == second).map(|row| row.video);
    at(stretch.asked_min).map(Lesson::AtMin).chain(at(stretch.asked_max).map(Lesson::AtMax)).collect()
}

fn lessons_of(view: &View) -> Vec<Lesson> {
    let mut lessons = Vec::new();
    match view.finding {
        Finding::Repeated(_) => lessons.push(Lesson::Repeat),
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
