//! How many rows a stretch of time holds, from the numbers of its pages. Pure.
//!
//! Page k of a question that is asked oldest first stands behind exactly 10 (k - 1) rows. So the last page that holds a row of the
//! stretch gives the number of all of them, and it is found by guessing from the density seen so far and narrowing down: a page
//! with rows lies before the end, one without beyond it. A question that serves too few pages is gone on with from the last second
//! that it showed, in another *leg*. Where legs enough would cost too much, pages far behind random moments are a sample: each
//! tells how long so many rows take there.
//!
//! A number is called exact only where its evidence is whole: every page that was seen before the last was full and in order, no row
//! stood on two of them, and the last one shows the newest row that is known, or rows beyond the stretch follow. An empty page alone is
//! no end. What cannot be seen is taken on trust: that the pages between were full, and that no row came or went meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use super::fact::PageFact;
use crate::api::contract::SOURCE;
use crate::units::{EpochSeconds, TimeRange};

mod interval;
mod sampled;

pub use interval::Interval;
use sampled::Sampled;

/// Legs of one stretch, at most: more than anybody pays for.
const MOST_LEGS: usize = 1_000;
/// Pages of a leg after which a guess whose end is not in sight is at least half of what is counted, ...
const GUESSES: usize = 5;
/// ... and after which every other one halves what is open, so that no shape of the data costs more than that.
const MOST_GUESSES: usize = 10;
/// How often the distance from what is known to lie beyond is doubled, and the stride where the end stays away.
const MOST_DOUBLED: i32 = 16;
/// Credits that a further leg takes: its first page, and its last.
const LEG_CREDITS: f64 = 2.0;
/// By how much what is not counted may be more, and less, where nothing but its length is known.
const UNSEEN_SPREAD: f64 = 3.0;
/// The same where two pages are all that was seen.
const WILD_SPREAD: f64 = 20.0;
/// By how much a number may be less and more that is counted, but not soundly.
const UNSOUND: (f64, f64) = (0.9, 1.3);

/// The pages that were counted by, by the second that they were asked from and their number.
pub(super) type CountedPages = BTreeMap<EpochSeconds, BTreeMap<u32, PageFact>>;

/// The newest row that is known of a region.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newest {
    pub(super) second: EpochSeconds,
    /// Rows of its second; none where there may be more than were seen.
    pub(super) rows: Option<usize>,
    /// Rows a second on the newest page.
    pub(super) density: f64,
}

/// What is known of a stretch of time by the numbers of its pages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tally<'a> {
    /// The stretch.
    pub(super) range: TimeRange,
    pub(super) pages: &'a CountedPages,
    /// Pages that the service refused like those beyond an end.
    pub(super) refused: &'a BTreeSet<(EpochSeconds, u32)>,
    /// Where it lies in the stretch or before it; none where rows after the stretch are known.
    pub(super) newest: Option<Newest>,
    /// Whether what seems to be the newest row is.
    pub(super) newest_is_known: bool,
    /// The last page that the service serves.
    pub(super) cap: u32,
    /// Credits that may be spent on it.
    pub(super) credits: u32,
    /// Where samples begin, 0 to 1.
    pub(super) seed: f64,
}

/// What a tally comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Count {
    pub(super) rows: Interval,
    pub(super) is_exact: bool,
    /// The page by which more would be known: the second it is asked from, and its number.
    pub(super) ask: Option<(EpochSeconds, u32)>,
}

/// Pages that are asked from one second on.
struct Leg<'a> {
    anchor: EpochSeconds,
    /// Rows of the stretch before the anchor.
    before: f64,
    /// Rows before the anchor that stand on its first pages, since the bound is asked a second wider.
    early: f64,
    /// The last page that holds a row of the stretch, and the first beyond it.
    last: Option<(u32, &'a PageFact)>,
    beyond: Option<u32>,
    /// Its pages that the service refused, all of them beyond the last.
    refused: usize,
    pages: &'a BTreeMap<u32, PageFact>,
}

/// How a leg stands.
enum Stands {
    Ask(u32),
    Whole {
        is_sure: bool,
    },
    /// It serves no more pages: the second to go on from, the rows of the stretch before it, and whether their number is sure.
    Capped {
        anchor: EpochSeconds,
        before: f64,
        is_sure: bool,
    },
}

impl Tally<'_> {
    /// What is known, and what to ask next.
    pub(super) fn count(&self) -> Count {
        let (mut anchor, mut before, mut is_sure) = (self.range.start, 0.0, true);
        let mut cap = self.cap;
        let mut chain = BTreeSet::new();
        for _ in 0..MOST_LEGS {
            chain.insert(anchor);
            let nothing = BTreeMap::new();
            let pages = self.pages.get(&anchor).unwrap_or(&nothing);
            let leg = match self.leg(anchor, before, pages) {
                Ok(leg) => leg,
                Err(page) => return self.unfinished(None, (anchor, before), &chain, (page, cap)),
            };
            match self.stands(&leg, cap) {
                Stands::Ask(page) => return self.unfinished(Some(&leg), (anchor, before), &chain, (page, cap)),
                Stands::Whole { is_sure: whole } => {
                    let rows = Interval::exactly(leg.counted(self.range.end));
                    let is_sound = leg.is_sound();
                    return self.finished(rows, is_sure && whole && is_sound);
                }
                Stands::Capped { anchor: next, before: so_far, is_sure: sure } => {
                    is_sure &= sure && leg.is_sound();
                    // What one leg could not serve, the next will not.
                    cap = cap.min(leg.last.map_or(cap, |(page, _)| page).max(1));
                    (anchor, before) = (next, so_far);
                }
            }
        }
        self.finished(Interval::exactly(before), false)
    }

    /// Where something is not sure, short pages may have left rows out, or a second above the cap may hold more.
    fn finished(&self, rows: Interval, is_exact: bool) -> Count {
        let share = self.filled_share();
        let rows = if is_exact {
            rows
        } else {
            Interval { low: rows.low * share * UNSOUND.0, estimate: rows.estimate * share, high: rows.high * UNSOUND.1 }
        };
        Count { rows, is_exact, ask: None }
    }

    /// The share of places that held a row, on pages that another followed.
    fn filled_share(&self) -> f64 {
        let followed = self.pages.values().flat_map(|pages| {
            let last = pages.iter().rev().find(|(_, page)| page.slots > 0).map_or(0, |(number, _)| *number);
            pages.range(..last).map(|(_, page)| f64::from(page.slots) / f64::from(SOURCE.page_size))
        });
        let (sum, many) = followed.fold((0.0, 0.0), |(sum, many), share| (sum + share, many + 1.0));
        if many > 0.0 { (sum / many).min(1.0) } else { 1.0 }
    }

    /// The leg as its pages show it; the page that tells where it begins, where that is not known.
    fn leg<'a>(&self, anchor: EpochSeconds, before: f64, pages: &'a BTreeMap<u32, PageFact>) -> Result<Leg<'a>, u32> {
        let early_on = |page: &PageFact| page.rows.iter().filter(|row| row.second < anchor).count();
        let is_all_early = |page: &PageFact| page.slots > 0 && early_on(page) == page.rows.len();
        let first = pages.iter().find(|(_, page)| !is_all_early(page));
        let last_early =
            pages.iter().take_while(|(_, page)| is_all_early(page)).last().map_or(0, |(number, _)| *number);
        let early = match first {
            Some((number, page)) if *number == last_early + 1 || early_on(page) > 0 => {
                f64::from((number - 1) * SOURCE.page_size) + early_on(page) as f64
            }
            Some((number, _)) => return Err(last_early + (number - last_early) / 2),
            None => return Err((last_early * 2).max(1)),
        };
        let holds = |page: &&PageFact| page.rows.iter().any(|row| row.second < self.range.end);
        let last = pages.iter().rev().find(|(_, page)| holds(page)).map(|(number, page)| (*number, page));
        let after = last.map_or(0, |(number, _)| number);
        let empty = pages.range(after + 1..).map(|(number, _)| *number).next();
        let refused = || self.refused.range((anchor, after + 1)..(anchor, u32::MAX)).map(|(_, number)| *number);
        let beyond = empty.into_iter().chain(refused().next()).min();
        Ok(Leg { anchor, before, early, last, beyond, refused: refused().count(), pages })
    }

    fn stands(&self, leg: &Leg<'_>, cap: u32) -> Stands {
        let Some((number, page)) = leg.last else { return Stands::Whole { is_sure: true } };
        let past = page.rows.iter().filter(|row| row.second >= self.range.end).count();
        let shown = page.rows.iter().map(|row| row.second).max().unwrap_or(leg.anchor);
        let of_newest = |newest: &Newest| page.rows.iter().filter(|row| row.second == newest.second).count();
        let shows_newest = self.newest.filter(|newest| shown >= newest.second);
        let shows_all = shows_newest.is_some_and(|newest| Some(of_newest(&newest)) == newest.rows);
        let is_next_beyond = leg.beyond == Some(number + 1);
        let next_is_past = is_next_beyond && leg.pages.get(&(number + 1)).is_some_and(|page| page.slots > 0);
        if past > 0
            || next_is_past
            || (shows_newest.is_some() && (shows_all || is_next_beyond || page.slots < SOURCE.page_size))
        {
            return Stands::Whole { is_sure: self.newest.is_none() || self.newest_is_known };
        }
        if !is_next_beyond && number < cap {
            return Stands::Ask(self.guess(leg, (number, shown), cap));
        }
        let at_shown = page.rows.iter().filter(|row| row.second == shown).count();
        let all = leg.counted(self.range.end);
        match at_shown < page.rows.len() && shown > leg.anchor {
            true => Stands::Capped { anchor: shown, before: all - at_shown as f64, is_sure: true },
            // Its last page is one second, which may go on: what of it lies beyond is not counted.
            false if shown.shifted(1) < self.end() => {
                Stands::Capped { anchor: shown.shifted(1).max(leg.anchor.shifted(1)), before: all, is_sure: false }
            }
            false => Stands::Whole { is_sure: false },
        }
    }

    /// The first second after the last row that is known.
    fn end(&self) -> EpochSeconds {
        self.newest.map_or(self.range.end, |newest| newest.second.shifted(1).min(self.range.end))
    }

    /// Where the end is likely to be: as many pages on as the time left takes at the density seen, less what that may be wrong by. A page
    /// that holds rows tells more than one beyond the end, so what is known to lie beyond is kept away from, the further the more
    /// guesses were beyond.
    fn guess(&self, leg: &Leg<'_>, (number, shown): (u32, EpochSeconds), cap: u32) -> u32 {
        let left = self.pages_left(leg, (number, shown));
        let missed = leg.pages.range(number + 1..).count() + leg.refused;
        let asked = leg.pages.len() + leg.refused;
        let error = if number == 1 { left / 3.0 } else { (left / f64::from(SOURCE.page_size)).sqrt() + left / 100.0 };
        let Some(beyond) = leg.beyond else {
            // Where the end stays away, strides get longer, the more so the longer it does: then the density says little of what is left.
            let stayed_away = asked.checked_sub(GUESSES).map(doubled);
            let stride = stayed_away.map_or(0.0, |times| (f64::from(number) / 2.0).min(8.0 * left * times));
            let step = (left - error).max(stride).round().clamp(1.0, f64::from(cap));
            return number.saturating_add(step as u32).min(cap);
        };
        let open = f64::from(beyond - number);
        let away = error.max(1.0) * doubled(missed);
        let halves = asked >= MOST_GUESSES && asked.is_multiple_of(2);
        let step = if halves { open / 2.0 } else { (left - error).min((open - away).max(open / 2.0)) };
        (number + step.round().max(1.0) as u32).min(beyond - 1).min(cap)
    }

    /// Pages that lie after the last one seen, from the density of what was counted.
    fn pages_left(&self, leg: &Leg<'_>, (number, shown): (u32, EpochSeconds)) -> f64 {
        let left = self.end().since(shown).max(0) as f64;
        // Of everything that was counted, in earlier legs too: a first page alone may lie in a burst.
        let from = if leg.before > 0.0 { self.range.start } else { leg.first_second() };
        let rows = leg.before + f64::from(number * SOURCE.page_size) - leg.early;
        let overall = rows.max(1.0) / (shown.since(from) + 1).max(1) as f64;
        let earlier = leg.pages.range(..number).rev().find_map(|(page, fact)| {
            let second = fact.rows.iter().map(|row| row.second).max()?;
            Some((f64::from((number - page) * SOURCE.page_size), shown.since(second).max(1) as f64))
        });
        let density = match earlier {
            // What is left is as short as the last step: that is what it is most like.
            Some((rows, seconds)) if left < 2.0 * seconds => rows / seconds,
            Some(_) => overall,
            None if leg.before > 0.0 => overall,
            None => self.newest.map_or(overall, |newest| (overall * newest.density.max(f64::MIN_POSITIVE)).sqrt()),
        };
        density * left / f64::from(SOURCE.page_size)
    }

    /// What is known so far of a stretch whose end is not found, and what to ask.
    fn unfinished(
        &self,
        leg: Option<&Leg<'_>>,
        (anchor, before): (EpochSeconds, f64),
        chain: &BTreeSet<EpochSeconds>,
        (page, cap): (u32, u32),
    ) -> Count {
        let last = leg.and_then(|leg| leg.last);
        let shown = last.and_then(|(_, page)| page.rows.iter().map(|row| row.second).max());
        let from = shown.map_or(anchor, |shown| shown.shifted(1).min(self.end()));
        let counted = leg.map_or(before, |leg| leg.counted(self.range.end));
        let open = TimeRange::new(from, self.end().max(from));
        let pages_left = match (leg, last.zip(shown)) {
            (Some(leg), Some(((number, _), shown))) => self.pages_left(leg, (number, shown)),
            _ => self.density_before(anchor, before) * open.seconds() as f64 / f64::from(SOURCE.page_size),
        };
        let most = leg.and_then(|leg| Some(leg.before + f64::from((leg.beyond? - 1) * SOURCE.page_size) - leg.early));
        let samples = self.samples(chain, open);
        // Two pages say little of what lies between them, and so does the density where the end stays away.
        let has_stayed_away = leg.is_some_and(|leg| leg.beyond.is_none() && leg.pages.len() >= MOST_GUESSES);
        let is_wild = (before <= 0.0 && last.is_none_or(|(number, _)| number == 1)) || has_stayed_away;
        let spread = if is_wild { WILD_SPREAD } else { UNSEEN_SPREAD };
        let left = Sampled { open, samples, guess: pages_left * f64::from(SOURCE.page_size), spread };
        let rows = left.rows();
        let rows = rows.map(|rows| counted + rows);
        // An empty page may be a cap, so before anything else is counted it bounds nothing from above.
        let is_bounded = last.is_some_and(|(number, _)| number > 1);
        let rows = match most.map(|most| most.max(counted)) {
            Some(most) if rows.estimate >= most => Interval {
                low: counted,
                estimate: f64::midpoint(counted, most),
                high: if is_bounded { most } else { rows.high },
            },
            Some(most) if is_bounded => rows.map(|rows| rows.min(most)),
            _ => rows,
        };
        let rows = Interval { low: rows.low.floor(), estimate: rows.estimate, high: rows.high.ceil() };
        let has_no_end = most.is_none();
        let is_far = has_no_end && LEG_CREDITS * pages_left / f64::from(cap) > f64::from(self.credits);
        let ask = if is_far { self.sample(&left, self.beyond(chain, open), (pages_left, cap)) } else { (anchor, page) };
        Count { rows, is_exact: false, ask: (self.credits > 0).then_some(ask) }
    }

    fn density_before(&self, anchor: EpochSeconds, before: f64) -> f64 {
        let seconds = anchor.since(self.range.start).max(1) as f64;
        let seen = if before > 0.0 { Some(before / seconds) } else { None };
        seen.or(self.newest.map(|newest| newest.density)).unwrap_or(1.0)
    }
}

/// 2 to this power, up to a bound.
fn doubled(times: usize) -> f64 {
    2.0_f64.powi(i32::try_from(times).unwrap_or(i32::MAX).min(MOST_DOUBLED))
}

impl Leg<'_> {
    /// Rows of the stretch up to the last page that is known, that page's among them.
    fn counted(&self, end: EpochSeconds) -> f64 {
        let Some((number, page)) = self.last else { return self.before };
        let past = page.rows.iter().filter(|row| row.second >= end).count();
        let places = f64::from((number - 1) * SOURCE.page_size) + f64::from(page.slots);
        self.before + (places - past as f64 - self.early).max(0.0)
    }

    /// Whether every page that was seen before the last was full, all in order, and no row stood on two of them: else their numbers do not
    /// say how many rows lie before them.
    fn is_sound(&self) -> bool {
        let last = self.last.map_or(0, |(number, _)| number);
        let mut seen = BTreeSet::new();
        let is_sound = |(number, page): (&u32, &PageFact)| {
            let is_full = page.slots >= SOURCE.page_size || *number == last;
            is_full
                && page.rows.is_sorted_by_key(|row| row.second)
                && page.rows.iter().all(|row| seen.insert(row.video))
        };
        self.pages.range(..=last).all(is_sound)
    }

    /// The second of the first row, where the first page is known.
    fn first_second(&self) -> EpochSeconds {
        let first = self
            .pages
            .get(&1)
            .and_then(|page| page.rows.iter().map(|row| row.second).filter(|second| *second >= self.anchor).min());
        first.unwrap_or(self.anchor)
    }
}

#[cfg(test)]
mod tests;
