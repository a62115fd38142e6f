//! One window's walk: which page comes next, and what proves the end. A pure state machine.
//!
//! A walk asks ascending pages from an anchor to the end of the run, so that moving its window's end moves no page.
//! [`Walk::apply`] folds a durable page in and depends on nothing but the pages and decisions before it, so a replay gives
//! the same walk; [`Walk::step`] decides, and may look at settings and at the clock.
//! The invariant: a walk finishes on positive evidence only, and what it doubts it reads again from an earlier anchor.

use std::collections::BTreeSet;

use super::event::{Ending, StretchReason};
use super::fact::{PageFact, RowKey, VideoKey};
use super::heal::Heal;
use super::page::{Finding, Reading};
use crate::api::contract::PAGE_SIZE;
use crate::units::{EpochSeconds, PageNumber, TimeRange};

/// How a walk trades credits for immunity to rows that come and go while it reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// Re-anchors when it is nearly free: the default.
    #[default]
    Anchored,
    /// Re-anchors after every page; about twice the credits.
    Atomic,
    /// Re-anchors at the cap alone; the fewest credits.
    Deep,
}

/// What a decision may look at beside the walk itself.
#[derive(Clone, Copy, Debug)]
pub struct WalkContext {
    /// The moment of the decision.
    pub now: EpochSeconds,
    /// The least pages of a stretch before a scheduled anchor.
    pub anchor_pages: u32,
    /// The age in seconds at which a stretch is left.
    pub stretch_age: i64,
    /// The level that was asked.
    pub consistency: Consistency,
    /// The last page that the service serves.
    pub cap: u32,
    /// Short pages are this service's habit and prove nothing.
    pub short_is_habit: bool,
    /// The lower bound is known to be inclusive.
    pub min_is_inclusive: bool,
    /// The newest second of the region that any page showed.
    pub known_newest: Option<EpochSeconds>,
    /// The newest second that the descending page showed: an end there needs no second look.
    pub probed_newest: Option<EpochSeconds>,
}

/// A walk's next move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalkStep {
    /// Ask this page of the running stretch.
    Ask(PageNumber),
    /// Begin a stretch.
    Anchor {
        /// The first wanted second.
        at: EpochSeconds,
        /// Why.
        why: StretchReason,
        /// Seconds that stay unproven by it.
        unproven: Option<(TimeRange, String)>,
    },
    /// The window is read.
    Finish {
        /// What proves it.
        ending: Ending,
        /// Seconds that stay unproven.
        unproven: Option<(TimeRange, String)>,
    },
    /// A bounded window holds more than the cap: cut it here and read both halves.
    Bisect(EpochSeconds),
    /// Rows come in no order, however they are asked.
    SortIgnored,
    /// `page_num` counts rows.
    PageNumberCountsRows,
    /// Rows outside what was asked, and no others, the first of this second.
    RangeNotHonoured(EpochSeconds),
}

/// What a page taught about the service itself, beside the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lesson {
    /// A row stood at exactly the asked lower bound.
    MinIsInclusive,
    /// A row stood at exactly the asked upper bound.
    MaxIsInclusive,
    /// A short page's surroundings showed nothing new.
    ShortPageHidNothing,
    /// A short page's surroundings showed rows that it hid.
    ShortPageHidRows,
    /// Rows followed an empty, repeated or refused page after this many good ones.
    MoreAfter {
        /// The good pages before it.
        pages: u32,
    },
    /// A row came twice within a stretch: rows were inserted before it, or ties came in another order.
    Repeat,
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

/// The largest share of a stretch's pages that a scheduled anchor may cost.
const ANCHOR_PRICE: f64 = 0.000_3;

/// A window's walk, once it has begun.
#[derive(Clone, Debug)]
pub struct Walk {
    range: TimeRange,
    bounded: bool,
    stretch: Stretch,
    /// Pages of this stretch so far, and those with rows of the stretch before it.
    pages: u32,
    good_pages_before: u32,
    /// The last page of this stretch, as read.
    finding: Finding,
    previous: Vec<RowKey>,
    /// The last second seen in order, with every id that any stretch saw in it.
    frontier: Option<EpochSeconds>,
    at_frontier: BTreeSet<VideoKey>,
    /// This stretch's ids at the frontier: a second one of the same is a repeat.
    stretch_at_frontier: BTreeSet<VideoKey>,
    /// The first second of the last ordered page: below it nothing more is expected.
    settled: EpochSeconds,
    /// Whether this stretch has shown a row that no stretch before it did.
    brought_new: bool,
    short_doubt: Option<ShortDoubt>,
    heal: Option<Heal>,
    overlaps: u32,
    bounded_seen: BTreeSet<VideoKey>,
    bounded_repeats: u64,
    total_slots: u64,
    total_pages: u64,
}

/// A short page whose surroundings are still to be read in another alignment.
#[derive(Clone, Debug)]
struct ShortDoubt {
    /// Where to read again: a second in the middle of the short page.
    from: EpochSeconds,
    /// Up to where every row should be known: the first second of the page after it.
    until: Option<EpochSeconds>,
    known: BTreeSet<VideoKey>,
}

impl Walk {
    /// A walk of `range` whose first stretch begins.
    pub fn new(range: TimeRange, bounded: bool, stretch: Stretch) -> Self {
        Self {
            range,
            bounded,
            stretch,
            pages: 0,
            good_pages_before: 0,
            finding: Finding::Nothing,
            previous: Vec::new(),
            frontier: None,
            at_frontier: BTreeSet::new(),
            stretch_at_frontier: BTreeSet::new(),
            settled: range.start,
            brought_new: false,
            short_doubt: None,
            heal: None,
            overlaps: 0,
            bounded_seen: BTreeSet::new(),
            bounded_repeats: 0,
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
        self.bounded
    }

    /// Row slots that its pages held.
    pub fn total_slots(&self) -> u64 {
        self.total_slots
    }

    /// Durable pages of all its stretches.
    pub fn total_pages(&self) -> u64 {
        self.total_pages
    }

    /// The last second seen in order; none before the first row, and none while rows have no order.
    pub fn frontier(&self) -> Option<EpochSeconds> {
        if self.bounded { None } else { self.frontier }
    }

    /// Up to where (exclusive) the walk has every row, as far as is known: nothing below it is read again.
    pub fn settled(&self) -> EpochSeconds {
        if self.bounded {
            return self.range.start;
        }
        let doubted = self.short_doubt.as_ref().map_or(EpochSeconds::MAX, |doubt| doubt.from);
        self.settled.min(doubted).max(self.range.start).min(self.range.end)
    }

    /// Moves the window's end: a split gave the later part away.
    pub fn shorten(&mut self, end: EpochSeconds) {
        self.range.end = end;
    }

    /// Where the walk stands when a page has no usable row.
    pub fn position(&self) -> EpochSeconds {
        self.frontier.unwrap_or(self.stretch.anchor)
    }

    /// Begins another stretch, as it was decided.
    pub fn restart(&mut self, stretch: Stretch, bounded: bool) {
        let last_was_good = !matches!(self.finding, Finding::Empty | Finding::SamePage);
        self.good_pages_before = self.pages - u32::from(!last_was_good && self.pages > 0);
        self.pages = 0;
        self.finding = Finding::Nothing;
        self.previous.clear();
        self.stretch_at_frontier.clear();
        self.brought_new = false;
        self.bounded = bounded;
        self.bounded_seen.clear();
        self.bounded_repeats = 0;
        self.settled = self.settled.min(stretch.anchor.max(self.range.start));
        match stretch.why {
            StretchReason::Repeat => self.begin_healing(stretch.anchor),
            _ => self.heal = None,
        }
        if stretch.why == StretchReason::PastFullSecond {
            self.settled = stretch.anchor;
        }
        if self.frontier != Some(stretch.anchor) {
            self.frontier = None;
            self.at_frontier.clear();
        }
        if stretch.why != StretchReason::ShortPage {
            self.short_doubt = None;
        }
        self.stretch = stretch;
    }

    fn begin_healing(&mut self, second: EpochSeconds) {
        match &mut self.heal {
            Some(heal) if heal.second() == second => heal.begin_reading(),
            _ => {
                let known = if self.frontier == Some(second) { self.at_frontier.clone() } else { BTreeSet::new() };
                self.heal = Some(Heal::new(second, known));
            }
        }
    }

    /// Folds one durable page of the running stretch in, and says what it taught about the service.
    pub fn apply(&mut self, page: &PageFact) -> Vec<Lesson> {
        self.pages += 1;
        self.total_pages += 1;
        self.total_slots += u64::from(page.slots);
        let reading = Reading {
            page,
            asked_min: self.stretch.asked_min,
            asked_max: self.stretch.asked_max,
            previous: &self.previous,
            frontier: if self.pages == 1 { None } else { self.frontier },
            at_frontier: &self.stretch_at_frontier,
            healing: self.heal.as_ref().and_then(Heal::unfinished),
        };
        let (finding, mut lessons) = if self.bounded { (reading.unordered(), Vec::new()) } else { reading.finding() };
        lessons.extend(reading.bound_lessons());
        match finding {
            Finding::Rows if self.bounded => self.take_unordered(page),
            Finding::Rows | Finding::ShiftedByOne => lessons.extend(self.take_rows(page)),
            _ => {}
        }
        self.overlaps = if matches!(finding, Finding::ShiftedByOne) { self.overlaps + 1 } else { 0 };
        if let (Finding::Empty, Some(heal)) = (finding, &mut self.heal) {
            heal.pass();
        }
        self.finding = finding;
        lessons
    }

    fn take_unordered(&mut self, page: &PageFact) {
        for row in page.rows.iter().filter(|row| self.range.contains(row.second)) {
            if !self.bounded_seen.insert(row.video) {
                self.bounded_repeats += 1;
            }
        }
        self.previous = self.asked(page).collect();
    }

    fn take_rows(&mut self, page: &PageFact) -> Vec<Lesson> {
        let mut lessons = Vec::new();
        let ordered: Vec<RowKey> = self.asked(page).collect();
        let is_first_of_short_doubt = self.pages == 1 && self.stretch.why == StretchReason::ShortPage;
        if is_first_of_short_doubt && let Some(doubt) = self.short_doubt.take() {
            lessons.push(doubt.verdict(&ordered));
        }
        let had_new = self.brought_new;
        for row in &ordered {
            self.take_row(*row);
        }
        if self.brought_new && !had_new && self.stretch.why == StretchReason::Doubt {
            lessons.push(Lesson::MoreAfter { pages: self.good_pages_before });
        }
        if let Some(first) = ordered.first() {
            self.settled = self.settled.max(first.second);
        }
        if let Some(heal) = &mut self.heal {
            heal.read(&ordered, self.pages == 1);
        }
        self.watch_short_pages(page, &ordered);
        self.previous = ordered;
        lessons
    }

    /// The page's rows within what was asked: the others are no evidence.
    fn asked(&self, page: &PageFact) -> impl Iterator<Item = RowKey> {
        let (min, max) = (self.stretch.asked_min, self.stretch.asked_max);
        page.rows.iter().copied().filter(move |row| min <= row.second && row.second <= max)
    }

    fn take_row(&mut self, row: RowKey) {
        if self.frontier.is_none_or(|frontier| row.second > frontier) {
            self.frontier = Some(row.second);
            self.at_frontier.clear();
            self.stretch_at_frontier.clear();
        }
        if self.frontier == Some(row.second) {
            self.brought_new |= self.at_frontier.insert(row.video);
            self.stretch_at_frontier.insert(row.video);
        }
    }

    /// A short page is doubted once its successor has come; the two are then read again from the middle of the first.
    fn watch_short_pages(&mut self, page: &PageFact, ordered: &[RowKey]) {
        // A doubt whose successor has come and that was not followed up is a habit by now.
        self.short_doubt.take_if(|doubt| doubt.until.is_some());
        if let Some(doubt) = &mut self.short_doubt {
            doubt.until = ordered.first().map(|row| row.second);
            doubt.known.extend(ordered.iter().map(|row| row.video));
            return;
        }
        let first_look = self.pages > 1 || self.stretch.why != StretchReason::ShortPage;
        if page.slots < PAGE_SIZE
            && first_look
            && let Some(middle) = ordered.get(ordered.len() / 2)
        {
            let known = ordered.iter().chain(&self.previous).map(|row| row.video).collect();
            self.short_doubt = Some(ShortDoubt { from: middle.second, until: None, known });
        }
    }

    /// Decides the next move after the last page, or at the start of a stretch.
    pub fn step(&self, context: &WalkContext) -> WalkStep {
        match self.finding {
            Finding::Nothing => self.ask_next(),
            Finding::OutsideAsked(seen) => WalkStep::RangeNotHonoured(seen),
            Finding::ShiftedByOne if self.overlaps >= 2 => WalkStep::PageNumberCountsRows,
            Finding::ShiftedByOne => self.ask_next(),
            _ if self.bounded => self.bounded_step(context),
            Finding::Disordered => self.disordered_step(),
            Finding::Repeated(second) => anchor(second.max(self.stretch.anchor), StretchReason::Repeat),
            Finding::SamePage => self.doubt_step(context),
            Finding::Empty => self.empty_step(context),
            Finding::Unusable => self.go_on(context),
            Finding::Rows => self.rows_step(context),
        }
    }

    /// Decides after the service refused a page beyond the first: a doubt, no durable page. None where it cannot be settled.
    pub fn refused_step(&self, context: &WalkContext) -> Option<WalkStep> {
        match (self.pages, self.bounded) {
            (0, _) => None,
            (_, true) => Some(self.halve()),
            (_, false) => Some(self.doubt_step(context)),
        }
    }

    fn ask_next(&self) -> WalkStep {
        match PageNumber::new(self.pages + 1) {
            Ok(page) => WalkStep::Ask(page),
            Err(_) => self.cap_step(),
        }
    }

    fn rows_step(&self, context: &WalkContext) -> WalkStep {
        if let Some(step) = self.heal.as_ref().and_then(|heal| self.heal_step(heal)) {
            return step;
        }
        let asks_too_early = context.min_is_inclusive && self.stretch.asked_min < self.stretch.anchor;
        if asks_too_early && self.frontier.is_some_and(|frontier| frontier < self.stretch.anchor) {
            // A full page of a second that is not wanted: the bound is exact by now, so it is asked exactly.
            return anchor(self.stretch.anchor, self.stretch.why);
        }
        if self.frontier.is_some_and(|frontier| frontier >= self.range.end) {
            return WalkStep::Finish { ending: Ending::RowBeyond, unproven: None };
        }
        if let (Some(doubt), false) = (&self.short_doubt, context.short_is_habit)
            && doubt.until.is_some()
        {
            return anchor(doubt.from.max(self.stretch.anchor), StretchReason::ShortPage);
        }
        self.go_on(context)
    }

    fn go_on(&self, context: &WalkContext) -> WalkStep {
        if self.pages >= context.cap {
            return self.cap_step();
        }
        match self.frontier {
            Some(frontier) if self.heal_is_over() && frontier > self.stretch.anchor && self.anchor_is_due(context) => {
                anchor(frontier, StretchReason::Scheduled)
            }
            _ => self.ask_next(),
        }
    }

    fn heal_is_over(&self) -> bool {
        self.heal.as_ref().is_none_or(|heal| heal.unfinished().is_none())
    }

    fn anchor_is_due(&self, context: &WalkContext) -> bool {
        let old = context.now.since(self.stretch.started_at) >= context.stretch_age;
        let price = self.at_frontier.len() as f64 / f64::from(PAGE_SIZE);
        match context.consistency {
            Consistency::Atomic => true,
            Consistency::Deep => false,
            Consistency::Anchored => {
                old || (self.pages >= context.anchor_pages && price < ANCHOR_PRICE * f64::from(self.pages))
            }
        }
    }

    fn heal_step(&self, heal: &Heal) -> Option<WalkStep> {
        if heal.needs_another_reading() {
            return Some(anchor(heal.second(), StretchReason::Repeat));
        }
        let why = "its rows come in another order on every request, and no readings of it agreed";
        heal.has_failed().then(|| self.past_second(heal.second(), why))
    }

    /// Gives one second up as unproven and goes on after it.
    fn past_second(&self, second: EpochSeconds, why: &str) -> WalkStep {
        let range = TimeRange::new(second, second.shifted(1));
        let unproven = Some((range, why.to_owned()));
        if range.end >= self.range.end {
            return WalkStep::Finish { ending: Ending::RowBeyond, unproven };
        }
        WalkStep::Anchor { at: range.end, why: StretchReason::PastFullSecond, unproven }
    }

    fn cap_step(&self) -> WalkStep {
        let at = self.position();
        if at > self.stretch.anchor {
            return anchor(at, StretchReason::Cap);
        }
        self.past_second(at, "it holds more rows than the service serves pages of")
    }

    fn disordered_step(&self) -> WalkStep {
        if self.stretch.why == StretchReason::Disorder {
            return WalkStep::SortIgnored;
        }
        anchor(self.settled.max(self.stretch.anchor), StretchReason::Disorder)
    }

    fn empty_step(&self, context: &WalkContext) -> WalkStep {
        if let Some(step) = self.heal.as_ref().and_then(|heal| self.heal_step(heal)) {
            return step;
        }
        let rows_follow = match (context.known_newest, self.frontier) {
            (Some(newest), Some(frontier)) => newest > frontier || context.probed_newest != Some(frontier),
            (Some(newest), None) => newest >= self.stretch.anchor,
            (None, _) => false,
        };
        if rows_follow { self.doubt_step(context) } else { self.end_of_rows(None) }
    }

    /// Settles a doubt by reading again from the last second seen: what follows there is the truth.
    fn doubt_step(&self, context: &WalkContext) -> WalkStep {
        let settled_already = self.stretch.why == StretchReason::Doubt && !self.brought_new;
        if !settled_already {
            return anchor(self.position(), StretchReason::Doubt);
        }
        let at = self.position();
        match context.known_newest {
            Some(newest) if newest > at && newest < self.range.end => {
                let why = format!("nothing came after {at}, though a row of {newest} had been seen");
                self.end_of_rows(Some((TimeRange::new(at, self.range.end), why)))
            }
            Some(newest) if newest > at => {
                let why = format!("nothing came after {at}, though later windows hold rows");
                self.end_of_rows(Some((TimeRange::new(at, self.range.end), why)))
            }
            _ => self.end_of_rows(None),
        }
    }

    fn end_of_rows(&self, unproven: Option<(TimeRange, String)>) -> WalkStep {
        WalkStep::Finish { ending: Ending::EmptyPage, unproven }
    }

    fn bounded_step(&self, context: &WalkContext) -> WalkStep {
        // An empty page after a full one may be the end or a cap that nobody documented.
        let last_was_full = self.previous.len() >= PAGE_SIZE as usize && self.pages > 2;
        match self.finding {
            Finding::Empty if last_was_full => self.halve(),
            Finding::Empty => {
                let why = "rows come in no order and some came twice, so others may not have come at all".to_owned();
                let unproven = (self.bounded_repeats > 0).then_some((self.range, why));
                WalkStep::Finish { ending: Ending::EmptyPage, unproven }
            }
            Finding::SamePage => self.halve(),
            _ if self.pages < context.cap => self.ask_next(),
            _ => self.halve(),
        }
    }

    /// A bounded window that may hold more than the service serves is cut in two, each read anew.
    fn halve(&self) -> WalkStep {
        if self.range.seconds() >= 2 {
            return WalkStep::Bisect(self.range.start.shifted(self.range.seconds() / 2));
        }
        let why = "this second may hold more rows than the service serves pages of".to_owned();
        WalkStep::Finish { ending: Ending::EmptyPage, unproven: Some((self.range, why)) }
    }
}

fn anchor(at: EpochSeconds, why: StretchReason) -> WalkStep {
    WalkStep::Anchor { at, why, unproven: None }
}

impl ShortDoubt {
    fn verdict(&self, rows: &[RowKey]) -> Lesson {
        let hidden = rows
            .iter()
            .filter(|row| row.second >= self.from && self.until.is_some_and(|until| row.second < until))
            .any(|row| !self.known.contains(&row.video));
        if hidden { Lesson::ShortPageHidRows } else { Lesson::ShortPageHidNothing }
    }
}
